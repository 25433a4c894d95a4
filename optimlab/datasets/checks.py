"""Checks that something can be learned and measured on data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common.errors import InputError
from .dataset import Dataset


def check(data: Dataset) -> None:
    """Check that a network can learn from a data set. Constant features are accepted if other features vary.

    Raises
    ------
    InputError: the inputs are not real numbers of shape ``(rows, features)`` with the same features in every split; a
        split has no rows; there are NaN or infinite values; the targets are not one class number of ``classes`` per
        row, or not finite numbers for a regression; all training rows have the same class or target, or equal inputs.

    >>> check(Dataset([[0.0], [1.0]], [3, 3], classes=("a", "b", "c", "d")))
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: y_train holds only class 3: nothing to tell apart
    """
    regression = data.task == "regression"
    if not regression and not data.classes:
        raise InputError("the classes have no names: pass classes= to the data set")
    for split in ("train", "val", "test"):
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        if x is not None:
            _check_inputs(f"x_{split}", np.asarray(x), np.shape(data.x_train)[1:])
            if regression:
                _check_inputs(f"y_{split}", np.asarray(y).reshape(len(x), -1), np.shape(data.y_train)[1:] or (1,))
            else:
                _check_targets(f"y_{split}", np.asarray(y), len(x), len(data.classes))
    x, y = np.asarray(data.x_train), np.asarray(data.y_train)
    if y.min() == y.max():
        only = "the same value in every row" if regression else f"only class {y[0]}"
        raise InputError(f"y_train holds {only}: nothing to tell apart")
    if (x.min(axis=0) == x.max(axis=0)).all():
        raise InputError("x_train holds the same values in every row: nothing to learn from")


def check_for_study(data: Dataset) -> None:
    """Check a data set as :func:`check` does, and that it has a validation and a test split.

    Raises
    ------
    InputError: as :func:`check`, or a split is missing.

    >>> check_for_study(Dataset([[0.0], [1.0]], [0, 1], classes=("a", "b")))
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: a study needs a validation split; make one with Dataset.with_validation
    """
    check(data)
    if data.x_val is None:
        raise InputError("a study needs a validation split; make one with Dataset.with_validation")
    if data.x_test is None:
        raise InputError("a study needs a test split")


def _check_inputs(name: str, x: Any, features: tuple[int, ...]) -> None:
    if x.ndim != 2 or not x.size or x.dtype.kind not in "fiub":
        raise InputError(f"{name} must be real numbers of shape (rows, features), got {x.dtype} of shape {x.shape}")
    if x.shape[1:] != features:
        raise InputError(f"{name} has {x.shape[1]} features, but x_train has {features[0]}")
    # a NaN anywhere makes both NaN
    if not (np.isfinite(x.min()) and np.isfinite(x.max())):
        raise InputError(f"{name} holds NaN or infinite values")


def no_labels(name: str, y: Any) -> InputError:
    """Return the error for targets that are not one integer per row; for one-hot rows it says what to write."""
    hint = f"; for one-hot rows write {name}.argmax(axis=1)" if y.ndim == 2 and y.shape[1] > 1 else ""
    return InputError(f"{name} must be one integer per row, got {y.dtype} of shape {y.shape}{hint}")


def _check_targets(name: str, y: Any, rows: int, classes: int) -> None:
    if y.shape != (rows,) or y.dtype.kind not in "iu":
        raise no_labels(name, y)
    if not 0 <= y.min() <= y.max() < classes:
        raise InputError(f"{name} holds labels from {y.min()} to {y.max()}, but they must be 0 to {classes - 1}")


__all__ = ["check", "check_for_study"]
