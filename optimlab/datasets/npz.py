"""Data sets of one's own, in NumPy's ``.npz`` files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .dataset import Dataset


def read_npz(path: Path) -> Dataset:
    """The data set in an ``.npz`` file; see :func:`optimlab.datasets.load`."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as an .npz file: {error}") from None
    parts: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        if f"x_{split}" in arrays:
            parts[f"x_{split}"] = _features(arrays[f"x_{split}"])
        if f"y_{split}" in arrays:
            parts[f"y_{split}"] = arrays[f"y_{split}"].reshape(-1).astype("int64")
    if "x_train" not in parts or "y_train" not in parts:
        raise InputError(f"{path}: holds no x_train and y_train")
    classes = tuple(str(k) for k in range(int(parts["y_train"].max()) + 1))
    return Dataset(**parts, classes=classes, name=path.stem)


def _features(x: NDArray[Any]) -> NDArray[np.float32]:
    flat = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        scaled: NDArray[np.float32] = np.divide(flat, 255, dtype="float32")
        return scaled
    return flat.astype("float32", copy=False)
