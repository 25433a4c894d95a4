"""The small data sets that come with scikit-learn, by names such as ``"sklearn:wine"``."""

from __future__ import annotations

from typing import Any

from ..common.errors import lacks, lookup
from .table import Table, encoded
from .table_files import Sheet

PREFIX = "sklearn:"
BUNDLED = {name: f"{PREFIX}{name}" for name in ("breast_cancer", "diabetes", "digits", "iris", "wine")}
"""The full name of each data set, by its name in scikit-learn."""


def read_bundled(name: str, *, missing: str = "refuse", task: str = "auto", leave_out: Any = ()) -> Table:
    """Read the table of a data set of scikit-learn.

    Raises
    ------
    InputError: the name is unknown, or scikit-learn is not installed.
    """
    full = lookup("data set", name, {known: known for known in BUNDLED.values()})
    short = full.removeprefix(PREFIX)
    try:
        from sklearn import datasets
    except ImportError:
        raise lacks(name, "scikit-learn", "data") from None
    loaded = getattr(datasets, f"load_{short}")(as_frame=True)
    frame = loaded.frame
    if "target_names" in loaded:
        frame["target"] = [str(loaded.target_names[k]) for k in frame["target"]]
    return encoded(Sheet(frame, "row"), "target", missing=missing, task=task, leave_out=leave_out, name=short)


__all__ = ["BUNDLED", "PREFIX", "read_bundled"]
