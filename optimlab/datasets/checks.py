"""What data must be for a comparison to say something."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common.errors import InputError
from .dataset import Dataset


def check(data: Dataset) -> None:
    """Refuse arrays on which nothing can be learned; constant features are accepted while others vary.

    Raises
    ------
    InputError: inputs that are not real numbers of shape ``(rows, features)``, the same features in every split; no
        rows; NaN or infinite values; targets that are not one class number a row, or none of ``classes``, or, of a
        regression, not finite numbers; training rows of one class only, or all alike.

    >>> check(Dataset([[0.0], [1.0]], [3, 3], classes=("a", "b", "c", "d")))
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: y_train holds only class 3: nothing to tell apart
    """
    regression = data.task == "regression"
    if not regression and not data.classes:
        raise InputError("the classes have no names: give the data set classes=")
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
    """:func:`check`, and refuse data without a validation or a test split.

    Raises
    ------
    InputError: as :func:`check`; a split is missing.

    >>> check_for_study(Dataset([[0.0], [1.0]], [0, 1], classes=("a", "b")))
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: a study needs a validation split to choose by; Dataset.with_validation makes one
    """
    check(data)
    if data.x_val is None:
        raise InputError("a study needs a validation split to choose by; Dataset.with_validation makes one")
    if data.x_test is None:
        raise InputError("a study needs a test split to measure the choice with")


def _check_inputs(name: str, x: Any, features: tuple[int, ...]) -> None:
    if x.ndim != 2 or not x.size or x.dtype.kind not in "fiub":
        raise InputError(f"{name} must be real numbers of shape (rows, features), got {x.dtype} of shape {x.shape}")
    if x.shape[1:] != features:
        raise InputError(f"{name} has {x.shape[1]} features, x_train {features[0]}")
    # a NaN anywhere makes both NaN
    if not (np.isfinite(x.min()) and np.isfinite(x.max())):
        raise InputError(f"{name} holds NaN or infinite values")


def no_labels(name: str, y: Any) -> InputError:
    """The error for what is no integer a row; of one-hot rows it says what to write."""
    hint = f"; of one-hot rows write {name}.argmax(axis=1)" if y.ndim == 2 and y.shape[1] > 1 else ""
    return InputError(f"{name} must be one integer a row, got {y.dtype} of shape {y.shape}{hint}")


def _check_targets(name: str, y: Any, rows: int, classes: int) -> None:
    if y.shape != (rows,) or y.dtype.kind not in "iu":
        raise no_labels(name, y)
    if not 0 <= y.min() <= y.max() < classes:
        raise InputError(f"{name} holds labels from {y.min()} to {y.max()}, where 0 to {classes - 1} are accepted")


__all__ = ["check", "check_for_study"]
