"""Data sets: plain arrays in three splits."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from ..errors import InputError, lookup


@dataclass(frozen=True)
class Dataset:
    """Inputs ``(rows, features)`` and targets ``(rows,)`` of up to three splits.

    Only the training split is required. ``classes`` names the classes of integer targets.

    Raises
    ------
    InputError: a split whose inputs and targets differ in length, or of which only one is given.

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

    def __post_init__(self) -> None:
        for split in ("train", "val", "test"):
            x, y = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            if (x is None) != (y is None):
                raise InputError(f"the {split} split needs both x_{split} and y_{split}, or neither")
            if x is not None and len(x) != len(y):
                raise InputError(f"x_{split} has {len(x)} rows, y_{split} {len(y)}")

    def __repr__(self) -> str:
        rows = [f"{len(self.x_train)} training"]
        rows += [f"{len(self.x_val)} validation"] if self.x_val is not None else []
        rows += [f"{len(self.x_test)} test"] if self.x_test is not None else []
        name = f" {self.name}" if self.name else ""
        return f"<Dataset{name}: {', '.join(rows)} rows of {np.shape(self.x_train)[1]} features>"


def _digits() -> Dataset:
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x, y, split = stored["x"], stored["y"], stored["split"]
    x = x.astype(np.float32) / 16
    parts = {}
    for k, name in enumerate(("train", "val", "test")):
        parts[f"x_{name}"], parts[f"y_{name}"] = x[split == k], y[split == k].astype(np.int64)
    return Dataset(**parts, classes=tuple("0123456789"), name="digits")


DATASETS = {"digits": _digits}


def load(name: str) -> Dataset:
    """A data set by name.

    ``"digits"``: 1,797 images of 8x8 handwritten digits, bundled (see ``digits.md`` for its origin), values from 0 to
    1, in a fixed split of 60% training, 20% validation and 20% test, stratified by class.

    Raises
    ------
    InputError: unknown name.

    >>> load("digits")
    <Dataset digits: 1077 training, 360 validation, 360 test rows of 64 features>
    """
    return lookup("data set", name, DATASETS)()
