"""Data sets: plain arrays in three splits.

Imports common and backends.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from ..common.errors import unknown
from .checks import check, check_for_study
from .cifar import CIFAR10
from .dataset import Dataset
from .mnist import FASHION, MNIST
from .npz import read_npz
from .sources import Source
from .splits import split_rows


def load(name: str | Path, root: str | Path | None = None, *, download: bool = True) -> Dataset:
    """A data set by name, or from the path of an ``.npz`` file: float32 inputs ``(rows, features)``, int64 labels.

    ===================  ====================  =================================================================
    name                 rows                  what
    ===================  ====================  =================================================================
    ``"digits"``         1077 / 360 / 360      handwritten digits of 8 x 8 pixels, bundled (its origin is in
                                               ``digits.md``); a fixed split, stratified by class
    ``"mnist"``          50000 / 10000 / 10000 handwritten digits of 28 x 28 pixels
    ``"fashion_mnist"``  50000 / 10000 / 10000 pieces of clothing of 28 x 28 pixels
    ``"cifar10"``        40000 / 10000 / 10000 photographs of 32 x 32 pixels in colour
    ===================  ====================  =================================================================

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
    the names of the ``classes``. Labels are integers from 0. Inputs of more than two axes, as images are, become rows;
    bytes (uint8) are divided by 255, other numbers taken as they are. Without ``x_val`` there is no validation split:
    :meth:`Dataset.with_validation` makes one of the last training rows. Nothing is ever unpickled.

    Raises
    ------
    InputError: unknown name; a file that is nowhere and cannot be downloaded, damaged, altered or of something else;
        data that :func:`check` refuses.

    >>> load("digits")
    <Dataset digits: 1077 training, 360 validation, 360 test rows of 64 features>
    """
    if str(name).endswith(".npz"):
        return read_npz(Path(name).expanduser())
    if name == "digits":
        return _digits()
    if isinstance(name, str) and name in SOURCES:
        return SOURCES[name].load(root, download)
    raise unknown("data set", str(name), [*DATASETS, "the path of an .npz file"])


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
"""Every name :func:`load` knows."""

__all__ = ["DATASETS", "SOURCES", "Dataset", "check", "check_for_study", "load", "split_rows"]
