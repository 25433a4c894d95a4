"""Data sets: plain arrays in three splits.

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
    """A data set by name, or from the path of a file: float32 inputs ``(rows, features)``, int64 labels.

    ===================  =====================  ===============================================================
    name                 rows                   what
    ===================  =====================  ===============================================================
    ``"digits"``         1077 / 360 / 360       handwritten digits of 8 x 8 pixels, bundled (its origin is in
                                                ``digits.md``); a fixed split, stratified by class
    ``"mnist"``          50000 / 10000 / 10000  handwritten digits of 28 x 28 pixels
    ``"fashion_mnist"``  50000 / 10000 / 10000  pieces of clothing of 28 x 28 pixels
    ``"cifar10"``        40000 / 10000 / 10000  photographs of 32 x 32 pixels in colour
    ===================  =====================  ===============================================================

    The rows train, validate and test; the last 10,000 of the published training rows validate. Pixels are between 0
    and 1, row by row. Those of CIFAR-10 are three features each, red, green and blue, as ``Standardize.fit(x, 3)``
    expects them; in the published files a row is 1024 red, then 1024 green, then 1024 blue values.

    Files are looked for in ``root``, in the folder that the environment variable OPTIMLAB_DATA names, and in the
    user's cache folder; in each of them in a subfolder named after the data set, then directly. They have the
    published names: MNIST's four files, as ``.gz`` or unpacked (Fashion-MNIST's are called the same, so give each its
    subfolder); ``cifar-10-python.tar.gz``, or unpacked as the folder ``cifar-10-batches-py``. What is in none of them
    is downloaded, to ``root`` if given, else to the cache folder, unless ``download`` is False. Contents are compared
    with the published digests; only an unpacked CIFAR-10, which other programs may have written anew, is used with a
    warning if it differs.

    An ``.npz`` file holds ``x_train``, ``y_train``, ``x_test``, ``y_test``, perhaps ``x_val``, ``y_val``, and perhaps
    the names of the ``classes``. Labels are integers from 0; floating-point targets are numbers to
    predict. Inputs of more than two axes, as images are, become rows;
    bytes (uint8) are divided by 255, other numbers taken as they are. Without ``x_val`` there is no validation split:
    :meth:`Dataset.with_validation` makes one of the last training rows. Nothing is ever unpickled.

    A table is a file ``.csv``, ``.tsv``, ``.txt`` or ``.parquet`` with the names of the columns in its first line (this
    takes pandas: ``pip install '.[data]'``). Separators, decimal commas and the encoding are detected. 60% of the rows
    train, 20% validate and 20% test, drawn by ``seed``, stratified by class. Numbers are standardized by the training
    rows, texts become categories, one-hot. Constant columns and identifiers are left out, with a warning. The names
    ``"sklearn:iris"``, ``"sklearn:wine"``, ``"sklearn:breast_cancer"``, ``"sklearn:digits"`` and ``"sklearn:diabetes"``
    are the tables that scikit-learn brings along. ``docs/data.md`` shows all this by example.

    Parameters
    ----------
    target_column: of a table, what is to be predicted.
    missing: what becomes of missing values: ``"refuse"``, ``"drop"`` leaves out the rows, ``"mean"`` takes the mean of
        the training rows (for texts, a category of its own). Rows without a target are left out by both.
    task: ``"classification"``, ``"binary"``, ``"regression"``, or ``"auto"``: texts and at most 20 different whole
        numbers are classes, other numbers a regression. The targets of a regression are standardized by the training
        rows; :meth:`Dataset.in_units` converts back.
    leave_out: columns of a table that are no inputs.
    seed: of the split of a table.

    Raises
    ------
    InputError: unknown name; a file that is nowhere and cannot be downloaded, damaged, altered or of something else;
        data that :func:`check` refuses; a table with cells, columns or a target that cannot be used.

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
    """The error for a name of no data set, with the nearest ones that there are."""
    if str(name).lower().endswith((".xlsx", ".xls", ".ods", ".numbers")):
        return InputError(f"{name} is a spreadsheet: save its sheet as a CSV file, and give that")
    return unknown("data set", str(name), [*DATASETS, *BUNDLED.values(), f"the path of a file {', '.join(ENDINGS)}"])


def is_npz(name: str | Path) -> bool:
    """Whether this names an ``.npz`` file."""
    return str(name).endswith(".npz")


def is_table(name: str | Path) -> bool:
    """Whether this names a table: a CSV or Parquet file, or one of scikit-learn's sets."""
    return str(name).lower().endswith(FILES) or str(name).startswith(PREFIX)


def is_file(name: str | Path) -> bool:
    """Whether this is the path of a file with data of one's own."""
    return is_npz(name) or str(name).lower().endswith(FILES)


def is_own(name: str | Path) -> bool:
    """Whether this names data for which no network and target are known: a file, or one of scikit-learn's sets."""
    return is_file(name) or is_table(name)


def load_table(
    name: str | Path, target_column: str = "", *, missing: str = "refuse", task: str = "auto", leave_out: Any = ()
) -> Table:
    """The table that :func:`load` splits and scales, neither split nor scaled."""
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
"""The data sets that are not bundled."""
DATASETS = ("digits", *SOURCES)
"""Every name of a data set with a split of its own."""
ENDINGS = (".npz", *FILES)
"""Of the files that :func:`load` reads."""

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
