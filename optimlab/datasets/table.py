"""Tables as data sets: the choice of target and inputs, their encoding, and their scaling by the training rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError, lookup, unknown
from .columns import LEAVE_OUT, Column, read_columns
from .dataset import Dataset, Scale
from .normalization import Standardize
from .splits import split_rows
from .table_files import Sheet, pandas, read_sheet

MISSING = ("refuse", "mean", "drop")
TASKS = ("auto", "classification", "binary", "regression")
ABSENT = "(missing)"
"""The category of missing texts."""
MOST_CATEGORIES = 1000
"""Limit of the categories of a column; each one becomes an input."""
MOST_CLASSES = 20
"""The most different whole numbers that a target of classes has; with more it is a quantity."""
LEAST_ROWS = 5
"""The fewest rows that can be split into 60, 20 and 20 percent."""


class Described(NamedTuple):
    """The description of a column: its kind (number, category, target or left out), missing values, and details."""

    name: str
    kind: str
    missing: int
    detail: str


@dataclass(frozen=True, eq=False)
class Table:
    """An encoded table whose numbers are neither filled nor scaled, because this needs the training rows of a split.

    Categories are those of the whole table. They define the inputs, and use no target.

    Attributes
    ----------
    numbers: float64 ``(rows, columns)``, NaN if missing.
    categories: float32 ``(rows, categories)``, one-hot.
    target: int64 class numbers, or float64 values.
    classes: names of the classes; empty for a regression.
    features: names of the inputs: the columns of numbers, then categories such as ``colour=red``.
    name: name of the data set.
    columns: the description of each column.
    notes: decisions made when the table was read, in sentences.
    warnings: the columns and rows that were left out, in sentences.
    """

    numbers: NDArray[np.float64]
    categories: NDArray[np.float32]
    target: NDArray[Any]
    classes: tuple[str, ...]
    features: tuple[str, ...]
    name: str = ""
    columns: tuple[Described, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def arrays(self) -> list[NDArray[Any]]:
        """Return all arrays that affect a run on this table."""
        return [self.numbers, self.categories, self.target]

    def labels(self) -> NDArray[Any]:
        """Return the strata of a split: the classes, or a single stratum for a regression."""
        return self.target if self.classes else np.zeros(len(self.target), np.intp)

    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of training, validation and test rows: 60, 20 and 20 percent."""
        part = max(1, round(len(self.target) / 5))
        return len(self.target) - 2 * part, part, part

    def split(self, seed: int = 0) -> list[NDArray[np.intp]]:
        """Draw the rows of the three splits, stratified by class."""
        return split_rows(self.labels(), self.sizes(), seed)

    def dataset(self, train: Any, val: Any, test: Any) -> Dataset:
        """Make the data set with these rows in each split.

        Missing numbers are filled with the mean of the training rows. Numbers, and the target of a regression, are
        standardized by the mean and standard deviation of the training rows. Categories stay 0 and 1.

        Raises
        ------
        InputError: a number is so far from the training rows that it is infinite in float32.
        """
        known = self.numbers[train]
        missing = np.isnan(known)
        counts = np.maximum(1, (~missing).sum(axis=0))
        mean = np.where(missing, 0.0, known).sum(axis=0) / counts
        (x_train, x_val, x_test), y, scale = self._inputs(train, val, test, mean), self.target, None
        if not self.classes:
            fitted = Standardize.fit(y[train, None])
            y = fitted(y[:, None])[:, 0].astype("float32")
            scale = Scale(float(fitted.mean[0]), float(fitted.std[0]))
        return Dataset(
            x_train,
            y[train],
            x_val,
            y[val],
            x_test,
            y[test],
            classes=self.classes,
            name=self.name,
            features=self.features,
            target_scale=scale,
        )

    def _inputs(self, train: Any, val: Any, test: Any, mean: NDArray[np.float64]) -> list[NDArray[np.float32]]:
        parts = [self.categories[rows] for rows in (train, val, test)]
        if not self.numbers.shape[1]:
            return parts
        numbers = [np.where(np.isnan(part := self.numbers[rows]), mean, part) for rows in (train, val, test)]
        scale = Standardize.fit(numbers[0])
        scaled = [scale(part) for part in numbers]
        for raw, part in zip(numbers, scaled, strict=True):
            if (far := np.abs(part) > np.finfo("float32").max).any():
                row, column = np.argwhere(far)[0]
                raise InputError(
                    f"column {self.features[column]!r} holds {raw[row, column]:g}, which lies {part[row, column]:.0e} "
                    "standard deviations from the mean of the training rows: leave the column out, or take its "
                    "logarithm"
                )
        return [
            np.concatenate([part.astype("float32"), other], axis=1) for part, other in zip(scaled, parts, strict=True)
        ]


def read_table(
    path: Path,
    target_column: str,
    *,
    missing: str = "refuse",
    task: str = "auto",
    leave_out: Iterable[str] = (),
) -> Table:
    """Read the table in a CSV or Parquet file, see :func:`optimlab.datasets.load`.

    Raises
    ------
    InputError: the file or its content cannot be used; the message names the column, and the line of the file.
    """
    sheet = read_sheet(path)
    try:
        return encoded(sheet, target_column, missing=missing, task=task, leave_out=leave_out, name=path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def from_frame(
    frame: Any,
    target_column: str,
    *,
    missing: str = "refuse",
    task: str = "auto",
    leave_out: Iterable[str] = (),
    name: str = "",
    seed: int = 0,
) -> Dataset:
    """Make a data set from a pandas frame, as :func:`optimlab.datasets.load` does from the table in a file.

    Rows are split into 60% for training, 20% for validation and 20% for testing.

    Parameters
    ----------
    frame: the table.
    target_column: the column to predict.
    missing, task, leave_out: as for :func:`optimlab.datasets.load`.
    name: name of the data set.
    seed: seed of the split.

    Raises
    ------
    InputError: this is not a frame, or its content cannot be used; the message names the column, and the row by its
        label.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"x": [1.0, 2.5] * 10, "colour": ["red", "blue"] * 10, "kind": ["a", "b"] * 10})
    >>> data = from_frame(frame, "kind")
    >>> data.features, data.classes, data.x_train.shape
    (('x', 'colour=blue', 'colour=red'), ('a', 'b'), (12, 3))
    """
    pd = pandas()
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"expected a pandas DataFrame, got {type(frame).__name__}")
    table = encoded(Sheet(frame, "row"), target_column, missing=missing, task=task, leave_out=leave_out, name=name)
    return split_and_said(table, seed)


def split_and_said(table: Table, seed: int = 0) -> Dataset:
    """Split a table with a seed, and warn of the rows and columns that were left out."""
    import warnings

    for text in table.warnings:
        warnings.warn(f"{table.name}: {text}" if table.name else text, stacklevel=3)
    return table.dataset(*table.split(seed))


def encoded(sheet: Sheet, target_column: str, *, missing: str, task: str, leave_out: Iterable[str], name: str) -> Table:
    """Encode a sheet: read the columns, leave out useless ones, treat missing values, and encode categories."""
    lookup("way to treat missing values", missing, dict.fromkeys(MISSING))
    lookup("task", task, dict.fromkeys(TASKS))
    sheet, notes = _named(sheet)
    names = list(sheet.frame.columns)
    _check_names(names, target_column, leave_out)
    if not len(sheet.frame):
        raise InputError("there are no rows")
    sheet = sheet._replace(frame=sheet.frame[[n for n in names if n not in set(leave_out)]])
    columns, remarks = read_columns(sheet)
    target = next(column for column in columns if column.name == target_column)
    columns, useless = _useful([column for column in columns if column is not target])
    kept = _rows(columns, target, missing)
    gaps = {column.name: int(column.missing.sum()) for column in [*columns, target]}
    warned = [f"column {column.name!r} is left out: {reason}" for column, reason in useless.items()]
    if not kept.all():
        many, rows = int((~kept).sum()), np.flatnonzero(kept)
        warned.append(f"{many:,} of {len(kept):,} rows are left out: a value is missing")
        target = target.taken(rows)
        columns, more = _useful([column.taken(rows) for column in columns])
        warned += [f"column {column.name!r} is left out: {reason}" for column, reason in more.items()]
        useless |= more
    if len(target.values) < LEAST_ROWS:
        raise InputError(f"only {len(target.values)} rows have all values; a split needs at least {LEAST_ROWS}")
    if not columns:
        raise InputError(f"no column is left to learn from: {'; '.join(warned) or 'there is only the target'}")
    y, classes, decision = _target(target, task)
    for column in columns:
        if len(column.categories) > MOST_CATEGORIES:
            raise InputError(
                f"column {column.name!r} has {len(column.categories):,} categories, but at most {MOST_CATEGORIES:,} "
                f"can be one-hot encoded: group them, or {LEAVE_OUT}"
            )
        if column.counts_rows():
            remarks.append(f"column {column.name!r} counts the rows: leave it out if it is not an input")
    filled = [c.name for c in columns if not c.categories and c.missing.any()]
    notes += [*sheet.notes, *remarks]
    notes += [f"missing numbers are filled with the mean of the training rows: {', '.join(filled)}"] if filled else []
    numbers = [column for column in columns if not column.categories]
    texts = [column for column in columns if column.categories]
    codes = [_one_hot(column) for column in texts]
    return Table(
        numbers=np.stack([c.values for c in numbers], axis=1) if numbers else np.empty((len(y), 0)),
        categories=np.concatenate([part for part, _ in codes] or [np.empty((len(y), 0), "float32")], axis=1),
        target=y,
        classes=classes,
        features=(*(c.name for c in numbers), *(feature for _, features in codes for feature in features)),
        name=name,
        columns=tuple(_described(names, target, columns, useless, leave_out, gaps, classes)),
        notes=(decision, *notes),
        warnings=tuple(warned),
    )


def _named(sheet: Sheet) -> tuple[Sheet, list[str]]:
    """Give each column a unique name, and drop unnamed columns that are empty."""
    given = [str(label).strip() for label in sheet.frame.columns]
    gone = [k for k, label in enumerate(given) if not label and sheet.frame.iloc[:, k].isna().all()]
    frame = sheet.frame.iloc[:, [k for k in range(len(given)) if k not in gone]]
    names: list[str] = []
    notes = []
    for k, label in enumerate(given, 1):
        if k - 1 in gone:
            continue
        name = label or f"unnamed {k}"
        if name in names:
            name = next(new for n in range(2, len(given) + 2) if (new := f"{label} ({n})") not in [*names, *given])
            notes.append(f"another column {label!r} was renamed {name!r}")
        names.append(name)
    return sheet._replace(frame=frame.set_axis(names, axis=1)), notes


def _check_names(names: Sequence[str], target_column: str, leave_out: Iterable[str]) -> None:
    if not target_column:
        raise InputError(f"name the column to predict, target_column= or --target-column: one of {', '.join(names)}")
    if target_column not in names:
        raise unknown("column", target_column, names)
    if f"{target_column} (2)" in names:
        raise InputError(f"two columns are called {target_column!r}, but only one can be the target: rename the other")
    if isinstance(leave_out, str):
        raise InputError(f"leave_out takes a list of columns, got {leave_out!r}")
    for name in leave_out:
        if name not in names:
            raise unknown("column to leave out", name, names)
        if name == target_column:
            raise InputError(f"column {name!r} is the target and cannot be left out")


def _useful(columns: Sequence[Column]) -> tuple[list[Column], dict[Column, str]]:
    reasons = {column: column.useless() for column in columns}
    return [c for c in columns if not reasons[c]], {c: reason for c, reason in reasons.items() if reason}


def _rows(columns: Sequence[Column], target: Column, missing: str) -> NDArray[np.bool_]:
    """Return a mask of the rows that are kept."""
    gaps = {column.name: column.missing for column in [target, *columns] if column.missing.any()}
    if gaps and missing == "refuse":
        listed = [f"{name!r} ({mask.sum():,} of {len(mask):,})" for name, mask in gaps.items()]
        listed = listed if len(listed) <= 6 else [*listed[:5], f"{len(listed) - 5} more columns"]
        raise InputError(
            f"values are missing in {', '.join(listed)}: choose missing='drop' to drop these rows, or "
            "missing='mean' to fill in the mean of the training rows (for texts, a category of its own); on the "
            "command line, --missing drop or --missing mean"
        )
    keep = ~target.missing  # a target cannot be filled in
    if missing == "drop":
        for column in columns:
            keep = keep & ~column.missing
    return keep


def _target(column: Column, task: str) -> tuple[NDArray[Any], tuple[str, ...], str]:
    """Return the targets, the names of the classes, and a note on the decision."""
    name, different, rows = column.name, column.different, len(column.values)
    whole = not column.categories and bool((column.values == np.floor(column.values)).all())
    if task == "auto":
        few = bool(column.categories) or (whole and different <= MOST_CLASSES)
        task, why = ("classification" if few else "regression"), " (task= or --task overrides this)"
    else:
        why = ""
    if different == 1:
        raise InputError(f"target column {name!r} holds {column.shown(0)} in every row: nothing to tell apart")
    if task == "regression":
        if column.categories:
            raise InputError(
                f"target column {name!r} holds texts, such as {column.shown(0)}, but a regression needs numbers"
            )
        return column.values, (), f"regression: {name!r} has {different:,} different numbers{why}"
    if different > rows / 2:
        raise InputError(
            f"target column {name!r} has {different:,} classes in {rows:,} rows: "
            + ("is it an identifier?" if column.categories else "for quantities, write task='regression' (--task)")
        )
    if task == "binary" and different != 2:
        raise InputError(f"target column {name!r} has {different:,} classes, but a binary task has two")
    values, codes = np.unique(column.values, return_inverse=True)
    classes = column.categories or tuple(
        str(int(value)) if value == int(value) else repr(float(value)) for value in values
    )
    return codes.astype("int64"), classes, f"classification: {name!r} has {different:,} classes{why}"


def _one_hot(column: Column) -> tuple[NDArray[np.float32], list[str]]:
    """Encode a column with one input for each category, and one for missing values if there are any."""
    names = [*column.categories, *([ABSENT] if column.missing.any() else [])]
    out = np.zeros((len(column.values), len(names)), "float32")
    out[np.arange(len(out)), column.values] = 1  # -1, missing, is the last
    return out, [f"{column.name}={name}" for name in names]


def _described(
    names: Sequence[str],
    target: Column,
    columns: Sequence[Column],
    useless: dict[Column, str],
    leave_out: Iterable[str],
    gaps: dict[str, int],
    classes: Sequence[str],
) -> list[Described]:
    """Return the description of each column, in the order of the table."""
    descriptions = {
        c.name: Described(c.name, "left out", int(c.missing.sum()), reason) for c, reason in useless.items()
    }
    descriptions |= {name: Described(name, "left out", 0, "as asked") for name in leave_out}
    for column in columns:
        kind = "category" if column.categories else "number"
        descriptions[column.name] = Described(column.name, kind, gaps[column.name], _values(column))
    detail = f"{len(classes)} classes" if classes else _values(target)
    descriptions[target.name] = Described(target.name, "target", gaps[target.name], detail)
    return [descriptions[name] for name in names]


def _values(column: Column) -> str:
    if column.categories:
        names = column.categories
        return ", ".join(names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"])
    values = column.values[~column.missing]
    return f"{values.min():g} to {values.max():g}"


__all__ = ["MISSING", "TASKS", "Described", "Table", "from_frame", "read_table", "split_and_said"]
