"""Data sets: plain arrays in three splits, from names, files and tables.

Imports common and backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import InputError, unknown
from .bundled import BUNDLED, PREFIX, read_bundled
from .checks import check, check_for_study
from .cifar import CIFAR10
from .dataset import Dataset, Scale
from .mnist import FASHION, MNIST
from .npz import read_npz
from .sources import Source
from .splits import drawn_validation, split_rows
from .table import MISSING, TASKS, Table, from_frame, read_table, split_and_said
from .table_files import FILES


def load(
    name: str | Path,
    root: str | Path | None = None,
    *,
    download: bool = True,
    target_column: str = "",
    missing: str = "refuse",
    task: str = "auto",
    leave_out: Sequence[str] = (),
    seed: int = 0,
) -> Dataset:
    """Load a data set by its name or from a file, with float32 inputs ``(rows, features)`` and int64 labels.

    ===================  =====================  ===============================================================
    name                 rows                   content
    ===================  =====================  ===============================================================
    ``"digits"``         1077 / 360 / 360       handwritten digits of 8 x 8 pixels, bundled (see
                                                ``digits.md``); a fixed split, stratified by class
    ``"mnist"``          50000 / 10000 / 10000  handwritten digits of 28 x 28 pixels
    ``"fashion_mnist"``  50000 / 10000 / 10000  pieces of clothing of 28 x 28 pixels
    ``"cifar10"``        40000 / 10000 / 10000  photographs of 32 x 32 pixels in colour
    ===================  =====================  ===============================================================

    The rows are those for training, validation and testing. The validation rows are the last 10,000 of the published
    training rows. Pixels are between 0 and 1, in row-major order. Each pixel of CIFAR-10 has three features, red, green
    and blue, as ``Standardize.fit(x, 3)`` expects. (In the published files, a row has 1024 red, then 1024 green, then
    1024 blue values.)

    Files are searched in ``root``, in the folder of the environment variable OPTIMLAB_DATA, and in the user's cache
    folder. In each of them, a subfolder named after the data set comes first. Files have the published names. MNIST has
    four files, as ``.gz`` or unpacked; Fashion-MNIST's have the same names, so give each its own subfolder. CIFAR-10 is
    ``cifar-10-python.tar.gz`` or the unpacked folder ``cifar-10-batches-py``. Missing files are downloaded to ``root``
    if given, else to the cache folder. Contents are compared with the published digests. Only an unpacked CIFAR-10 is
    used with a warning if it differs, because other programs may have rewritten it.

    An ``.npz`` file holds ``x_train``, ``y_train``, ``x_test``, ``y_test``, optionally ``x_val`` and ``y_val``, and
    optionally the names of the ``classes``. Integer targets are classes numbered from 0, and floating-point targets are
    a regression. Inputs with more than two axes, such as images, are flattened to rows. Bytes (uint8) are divided by
    255, and other numbers are used as they are. Without ``x_val`` there is no validation split;
    :meth:`Dataset.with_validation` takes one from the last training rows. Nothing is ever unpickled.

    A table is a ``.csv``, ``.tsv``, ``.txt`` or ``.parquet`` file with the names of the columns in its first line. It
    needs pandas: ``pip install '.[data]'``. Separator, decimal commas and encoding are detected. The rows are split
    into 60% for training, 20% for validation and 20% for testing, drawn with ``seed`` and stratified by class. Numbers
    are standardized by the training rows, and texts become one-hot categories. Constant columns and identifiers are
    left out, with a warning. The names ``"sklearn:iris"``, ``"sklearn:wine"``, ``"sklearn:breast_cancer"``,
    ``"sklearn:digits"`` and ``"sklearn:diabetes"`` are tables that come with scikit-learn. See ``docs/data.md``.

    Parameters
    ----------
    name: the name of a data set, or the path of a file.
    root: the first folder in which files are searched, and to which they are downloaded.
    download: whether missing files are downloaded.
    target_column: the column of a table to predict.
    missing: how to treat the missing values of a table. ``"refuse"`` raises an error, ``"drop"`` drops their rows, and
        ``"mean"`` fills in the mean of the training rows (for texts, a category of its own). The last two also drop
        rows without a target.
    task: the task of a table: ``"classification"``, ``"binary"`` or ``"regression"``. ``"auto"`` decides by the target:
        texts, and whole numbers with at most 20 different values, are classes; other numbers are a regression. Targets
        of a regression are standardized by the training rows; :meth:`Dataset.in_units` converts back.
    leave_out: columns of a table that are not inputs.
    seed: seed of the split of a table.

    Raises
    ------
    InputError: the name is unknown; a file is missing and cannot be downloaded, or it is damaged, altered or of another
        format; :func:`check` rejects the data; or a table has cells, columns or a target that cannot be used.

    >>> load("digits")
    <Dataset digits: 1077 training, 360 validation, 360 test rows of 64 features>
    """
    options: dict[str, Any] = {"missing": missing, "task": task, "leave_out": leave_out}
    if is_table(name):
        return split_and_said(load_table(name, target_column, **options), seed)
    if target_column or leave_out or (missing, task) != ("refuse", "auto"):
        raise InputError(f"{name}: target_column, missing, task and leave_out are for tables")
    if is_npz(name):
        return read_npz(Path(name).expanduser())
    if name == "digits":
        return _digits()
    if isinstance(name, str) and name in SOURCES:
        return SOURCES[name].load(root, download)
    raise unknown_data(name)


def unknown_data(name: str | Path) -> InputError:
    """Return the error for an unknown name of a data set, with similar names."""
    if str(name).lower().endswith((".xlsx", ".xls", ".ods", ".numbers")):
        return InputError(f"{name} is a spreadsheet: save its sheet as a CSV file, and give that")
    return unknown("data set", str(name), [*DATASETS, *BUNDLED.values(), f"the path of a file {', '.join(ENDINGS)}"])


def is_npz(name: str | Path) -> bool:
    """Return True if this is the path of an ``.npz`` file."""
    return str(name).endswith(".npz")


def is_table(name: str | Path) -> bool:
    """Return True if this names a table: a CSV or Parquet file, or a data set of scikit-learn."""
    return str(name).lower().endswith(FILES) or str(name).startswith(PREFIX)


def is_file(name: str | Path) -> bool:
    """Return True if this is the path of a file with the user's own data."""
    return is_npz(name) or str(name).lower().endswith(FILES)


def is_own(name: str | Path) -> bool:
    """Return True for data without a usual network and target: a file, or a data set of scikit-learn."""
    return is_file(name) or is_table(name)


def load_table(
    name: str | Path, target_column: str = "", *, missing: str = "refuse", task: str = "auto", leave_out: Any = ()
) -> Table:
    """Load a table as :func:`load` does, but neither split nor scaled."""
    if str(name).startswith(PREFIX):
        if target_column not in ("", "target"):
            raise InputError(f"{name} has the target column 'target', not {target_column!r}")
        return read_bundled(str(name), missing=missing, task=task, leave_out=leave_out)
    path = Path(name).expanduser()
    return read_table(path, target_column, missing=missing, task=task, leave_out=leave_out)


def _digits() -> Dataset:
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x, y, split = stored["x"], stored["y"], stored["split"]
    x = x.astype(np.float32) / 16
    parts = {}
    for k, name in enumerate(("train", "val", "test")):
        parts[f"x_{name}"], parts[f"y_{name}"] = x[split == k], y[split == k].astype(np.int64)
    return Dataset(**parts, classes=tuple("0123456789"), name="digits")


SOURCES: dict[str, Source] = {source.name: source for source in (MNIST, FASHION, CIFAR10)}
"""The data sets that are downloaded."""
DATASETS = ("digits", *SOURCES)
"""The names of all data sets with a fixed split."""
ENDINGS = (".npz", *FILES)
"""The endings of the files that :func:`load` reads."""

__all__ = [
    "BUNDLED",
    "DATASETS",
    "ENDINGS",
    "MISSING",
    "SOURCES",
    "TASKS",
    "Dataset",
    "Scale",
    "Table",
    "check",
    "check_for_study",
    "drawn_validation",
    "from_frame",
    "is_file",
    "is_npz",
    "is_own",
    "is_table",
    "load",
    "load_table",
    "split_rows",
    "unknown_data",
]
