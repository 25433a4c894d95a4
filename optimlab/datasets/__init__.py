"""Data sets: plain arrays in three splits."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from ..errors import lookup
from .cifar import CIFAR10
from .dataset import Dataset
from .mnist import FASHION, MNIST
from .npz import read_npz


def _digits(root: str | Path | None = None) -> Dataset:
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x, y, split = stored["x"], stored["y"], stored["split"]
    x = x.astype(np.float32) / 16
    parts = {}
    for k, name in enumerate(("train", "val", "test")):
        parts[f"x_{name}"], parts[f"y_{name}"] = x[split == k], y[split == k].astype(np.int64)
    return Dataset(**parts, classes=tuple("0123456789"), name="digits")


SOURCES = {source.name: source for source in (MNIST, FASHION, CIFAR10)}
DATASETS: dict[str, Callable[..., Dataset]] = {"digits": _digits, **{name: s.load for name, s in SOURCES.items()}}


def load(name: str | Path, root: str | Path | None = None) -> Dataset:
    """A data set by name, or from the path of an ``.npz`` file.

    ``"digits"``: 1,797 images of 8x8 handwritten digits, bundled (see ``digits.md`` for its origin), values from 0 to
    1, in a fixed split of 60% training, 20% validation and 20% test, stratified by class.

    Raises
    ------
    InputError: unknown name.

    >>> load("digits")
    <Dataset digits: 1077 training, 360 validation, 360 test rows of 64 features>
    """
    if str(name).endswith(".npz"):
        return read_npz(Path(name))
    return lookup("data set", name, DATASETS)(root)


__all__ = ["DATASETS", "Dataset", "load"]
