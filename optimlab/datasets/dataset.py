"""The data set: plain arrays in three splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError, count, rows
from ..common.tables import Column, Table


class Scale(NamedTuple):
    """The mean and standard deviation by which the targets of a regression were standardized."""

    mean: float
    std: float


@dataclass(frozen=True)
class Dataset:
    """A data set: inputs and targets of up to three splits.

    Parameters
    ----------
    x_train, y_train: inputs ``(rows, features)`` and targets ``(rows,)`` for training.
    x_val, y_val: the same for validation; None if there are none.
    x_test, y_test: the same for testing; None if there are none.
    classes: names of the classes of integer targets.
    name: name of the data set.
    features: names of the inputs, if they have names.
    target_scale: the scale of standardized targets of a regression, see :meth:`in_units`.

    Raises
    ------
    InputError: the inputs and targets of a split differ in length, or one of them is missing, a sparse matrix, or not
        an array of rows.

    >>> Dataset(x_train=[[0.0], [1.0]], y_train=[0, 1])
    <Dataset: 2 training rows of 1 features>
    """

    x_train: Any
    y_train: Any
    x_val: Any = None
    y_val: Any = None
    x_test: Any = None
    y_test: Any = None
    classes: tuple[str, ...] = ()
    name: str = ""
    features: tuple[str, ...] = ()
    target_scale: Scale | None = None

    def __post_init__(self) -> None:
        for split in ("train", "val", "test"):
            x, y = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            if (x is None) != (y is None):
                raise InputError(f"the {split} split needs both x_{split} and y_{split}, or neither")
            if x is None:
                continue
            if rows(f"x_{split}", x) != rows(f"y_{split}", y):
                raise InputError(f"x_{split} has {len(x)} rows, but y_{split} has {len(y)}")
            _check_shape(f"x_{split}", x)

    @property
    def task(self) -> str:
        """Return the task: ``"binary"`` (two classes), ``"classification"``, or ``"regression"``.

        Targets with named classes, and integer targets, are classes. Other targets are a regression.

        >>> Dataset([[0.0], [1.0]], [3.5, 0.1]).task
        'regression'
        """
        if len(self.classes) == 2:
            return "binary"
        return "regression" if not self.classes and np.asarray(self.y_train).dtype.kind == "f" else "classification"

    def in_units(self, values: Any) -> Any:
        """Convert targets or predictions back to the units of their table.

        To convert an error, such as the mean absolute error, multiply it by ``target_scale.std``.

        >>> data = Dataset([[0.0], [1.0]], [-1.0, 1.0], target_scale=Scale(mean=100.0, std=5.0))
        >>> data.in_units(data.y_train)
        array([ 95., 105.])
        """
        scale = self.target_scale or Scale(0.0, 1.0)
        return np.asarray(values) * scale.std + scale.mean

    def with_validation(self, rows: int, train_rows: int | None = None) -> Dataset:
        """Return the data with the last training rows as the validation split. The arrays are views, not copies.

        Parameters
        ----------
        rows: number of validation rows.
        train_rows: number of training rows, taken from the beginning; by default all remaining rows.

        Raises
        ------
        InputError: there already is a validation split, or there are too few training rows.

        >>> Dataset(x_train=[[0.0], [1.0], [2.0], [3.0]], y_train=[0, 1, 1, 0]).with_validation(1, train_rows=2)
        <Dataset: 2 training, 1 validation rows of 1 features>
        """
        if self.x_val is not None:
            raise InputError(f"there already is a validation split, of {len(self.x_val)} rows")
        left = len(self.x_train) - count("rows", rows)
        used = left if train_rows is None else count("train_rows", train_rows)
        if not 0 < used <= left:
            wanted = f"{rows} validation" + (f" and {train_rows} training" if train_rows is not None else "")
            raise InputError(f"the {len(self.x_train)} training rows are too few for {wanted} rows")
        return replace(
            self,
            x_train=self.x_train[:used],
            y_train=self.y_train[:used],
            x_val=self.x_train[left:],
            y_val=self.y_train[left:],
        )

    def _repr_html_(self) -> str:
        splits = {"training": self.x_train, "validation": self.x_val, "test": self.x_test}
        body = [[name, f"{len(x):,}"] for name, x in splits.items() if x is not None]
        title = f"{self.name or 'Dataset'}: {self.task}, {np.shape(self.x_train)[1]:,} features"
        classes = f"{len(self.classes)} classes: {', '.join(self.classes)}" if self.classes else ""
        return Table([Column("split", "name"), Column("rows")], body, title, classes)._repr_html_()

    def __repr__(self) -> str:
        rows = [f"{len(self.x_train)} training"]
        rows += [f"{len(self.x_val)} validation"] if self.x_val is not None else []
        rows += [f"{len(self.x_test)} test"] if self.x_test is not None else []
        name = f" {self.name}" if self.name else ""
        return f"<Dataset{name}: {', '.join(rows)} rows of {np.shape(self.x_train)[1]} features>"


def _check_shape(name: str, x: Any) -> None:
    try:
        shape = np.shape(x)
    except ValueError:
        raise InputError(f"{name} has rows of different lengths") from None
    if len(shape) != 2:
        got = repr(x) if shape == () else f"the shape {shape}"
        advice = f"; for a single feature, use {name}.reshape(-1, 1)" if len(shape) == 1 else ""
        raise InputError(f"{name} must be an array of shape (rows, features), got {got}{advice}")


def scaled(pixels: NDArray[np.uint8], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Scale bytes to numbers from 0 to 1: ``pixels / 255`` in float32.

    >>> scaled(np.array([0, 51, 255], "uint8"))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    values: NDArray[np.float32] = np.divide(pixels, 255, out=out, dtype="float32")
    return values
