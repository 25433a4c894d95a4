"""Your own data sets in NumPy's ``.npz`` files."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..common.errors import InputError, one_line
from .checks import check, no_labels
from .dataset import Dataset, scaled

_SPLITS = ("train", "val", "test")
_RATIO = 1100
"""An upper bound of the bytes that one byte of a deflated file can stand for; the exact bound is 1032."""


def read_npz(path: Path) -> Dataset:
    """Read the data set in an ``.npz`` file, see :func:`optimlab.datasets.load`.

    Raises
    ------
    InputError: the file cannot be read, is not a zip archive or is damaged, or its arrays are not a data set.
    """
    arrays = _arrays(path)
    try:
        return _dataset(arrays, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _dataset(arrays: dict[str, NDArray[Any]], name: str) -> Dataset:
    for key in ("x_train", "y_train"):
        if key not in arrays:
            raise InputError(f"{key} is missing; expected x_train, y_train, x_test, y_test and optionally x_val, y_val")
    if "classes" in arrays:
        classes = _names(arrays.pop("classes"))
    elif arrays["y_train"].dtype.kind == "f" and arrays["y_train"].size:
        classes = ()  # a regression
    else:
        classes = tuple(map(str, range(_highest(arrays["y_train"]) + 1)))
    types = {f"x_{split}": arrays[f"x_{split}"].dtype for split in _SPLITS if f"x_{split}" in arrays}
    parts: dict[str, Any] = {}
    # each array is released when its features are made
    for split in _SPLITS:
        if (x := arrays.pop(f"x_{split}", None)) is not None:
            parts[f"x_{split}"] = _features(f"x_{split}", x)
        if (y := arrays.pop(f"y_{split}", None)) is not None:
            parts[f"y_{split}"] = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    data = Dataset(**parts, classes=classes, name=name)
    check(data)
    if len({dtype == np.uint8 for dtype in types.values()}) > 1:
        told = ", ".join(f"{key} is {dtype}" for key, dtype in types.items())
        raise InputError(f"{told}: only bytes are scaled to the range from 0 to 1, so give all splits the same dtype")
    # only now: numbers too large for int64 have been rejected
    for split in _SPLITS:
        if f"y_{split}" in parts:
            parts[f"y_{split}"] = parts[f"y_{split}"].astype("int64" if classes else "float32")
    return Dataset(**parts, classes=classes, name=name)


def _features(name: str, x: NDArray[Any]) -> NDArray[np.float32]:
    if x.ndim < 2 or not x.size or x.dtype.kind not in "fiub":
        raise InputError(f"{name} must be real numbers of shape (rows, ...), got {x.dtype} of shape {x.shape}")
    flat = x.reshape(len(x), -1)
    if flat.dtype == np.uint8:
        return scaled(flat)
    with np.errstate(over="ignore"):  # becomes infinite, and is rejected later
        values: NDArray[np.float32] = flat.astype("float32", copy=False)
    return values


def _highest(y: NDArray[Any]) -> int:
    if not y.size or y.dtype.kind not in "iu":
        raise no_labels("y_train", y)
    highest = int(y.max())
    if highest >= len(y):
        raise InputError(f"y_train holds label {highest}, but only {len(y)} rows; classes are numbered from 0")
    return highest


def _names(classes: NDArray[Any]) -> tuple[str, ...]:
    if classes.ndim != 1 or classes.dtype.kind != "U" or not classes.size:
        raise InputError(f"classes must be a list of names, got {classes.dtype} of shape {classes.shape}")
    return tuple(classes.tolist())


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    wanted = [f"{kind}_{split}" for split in _SPLITS for kind in ("x", "y")]
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            names = [name for name in (*wanted, "classes") if f"{name}.npy" in members]
            return {name: _array(archive, members[f"{name}.npy"], size) for name in names}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {one_line(error.strerror or error)}") from None
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not an .npz file, or a damaged one: {one_line(error)}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:
        # whatever damage may make the readers of zip and .npy raise
        raise InputError(f"{path}: damaged: {one_line(error)}") from None


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> NDArray[Any]:
    """Read one array. The size that it claims must agree with that of the file."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{info.filename} is compressed in a way that NumPy does not write")
    if info.compress_size > size or info.file_size > info.compress_size * _RATIO + 65_536:
        raise InputError(f"{info.filename} claims to have {info.file_size} bytes, which do not fit into the file")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise InputError(f"{info.filename} has version {version}; only 1.0 and 2.0 are read")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if dtype.kind not in "fiubU":
            what = "Python objects, which are not read" if dtype.hasobject else f"{dtype}, not numbers"
            raise InputError(f"{info.filename} holds {what}")
        left = info.file_size - file.tell()
        if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != left:
            raise InputError(f"{info.filename} claims the shape {shape}, but has {left} bytes")
        out = np.empty(math.prod(shape), dtype)
        _fill(out, file, info.filename)
    return out.reshape(shape, order="F" if fortran else "C")


def _fill(out: NDArray[Any], file: IO[bytes], name: str) -> None:
    target, done = out.view("uint8").data, 0
    while done < len(target):
        content = file.read(min(1 << 20, len(target) - done))
        if not content:
            raise InputError(f"{name} ends after {done} of {len(target)} bytes")
        target[done : done + len(content)] = content
        done += len(content)
    # the end, where zipfile compares the checksum
    file.read(1)


__all__ = ["read_npz"]
