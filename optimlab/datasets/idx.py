"""IDX, the format of MNIST: a big-endian header, then bytes, plain or in gzip.

The size that a file claims in its header may be wrong. So the shape is given, the header must agree with it, and
nothing beyond that shape is read or allocated.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError, one_line
from .dataset import scaled

_BLOCK = 1 << 20
"""Bytes decompressed at a time."""


@dataclass(frozen=True)
class Idx:
    """The expected content of an IDX file of unsigned bytes: its shape, and the SHA-256 of the uncompressed file."""

    shape: tuple[int, ...]
    sha256: str | None = None

    @property
    def header(self) -> bytes:
        """Return the header: two zero bytes, 8 for unsigned bytes, the number of axes, then the length of each axis."""
        return struct.pack(f">HBB{len(self.shape)}I", 0, 8, len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        """Return the size in bytes of the uncompressed file."""
        return len(self.header) + math.prod(self.shape)

    @property
    def limit(self) -> int:
        """Return an upper bound of the file's bytes, compressed or not: gzip hardly enlarges anything."""
        return self.size + self.size // 100 + 65_536


def read_images(path: Path, idx: Idx) -> NDArray[np.float32]:
    """Read images as rows of pixels from 0 to 1. They are converted during decompression, without a second copy.

    Raises
    ------
    InputError: the file is not the expected one, or it is incomplete or altered.
    """
    out = np.empty((idx.shape[0], math.prod(idx.shape[1:])), "float32")
    flat = out.reshape(-1)

    def convert(start: int, values: NDArray[np.uint8]) -> None:
        scaled(values, flat[start : start + len(values)])

    _read(path, idx, convert)
    return out


def read_labels(path: Path, idx: Idx, classes: int) -> NDArray[np.int64]:
    """Read labels from 0 to ``classes - 1``.

    Raises
    ------
    InputError: the file is not the expected one, or it is incomplete or altered; or a label is too large.
    """
    out = np.empty(idx.shape, "int64")

    def convert(start: int, values: NDArray[np.uint8]) -> None:
        if values.max() >= classes:
            raise InputError(f"{path}: label {values.max()}, but labels must be 0 to {classes - 1}")
        out[start : start + len(values)] = values

    _read(path, idx, convert)
    return out


def check_idx(path: Path, idx: Idx) -> None:
    """Check a file by reading all of it.

    Raises
    ------
    InputError: the file is not the expected one, or it is incomplete or altered.
    """
    _read(path, idx, lambda start, values: None)


def _read(path: Path, idx: Idx, convert: Callable[[int, NDArray[np.uint8]], None]) -> None:
    """Pass the values to ``convert`` in blocks, each with the index of its first value."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            if path.stat().st_size > idx.limit:
                raise InputError(f"{path}: {path.stat().st_size} bytes, too long for an IDX file of {_text(idx.shape)}")
            raw.seek(0)
            _read_stream(path, idx, convert, gzip.GzipFile(fileobj=raw) if packed else raw)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {one_line(getattr(error, 'strerror', None) or error)}") from None


def _read_stream(
    path: Path, idx: Idx, convert: Callable[[int, NDArray[np.uint8]], None], stream: io.BufferedIOBase
) -> None:
    header = stream.read(len(idx.header))
    if header[:4] != idx.header[:4]:
        raise InputError(f"{path}: not an IDX file of bytes with {len(idx.shape)} axes: it begins with {header[:4]!r}")
    if len(header) < len(idx.header):
        raise InputError(f"{path}: ends within its header")
    if header != idx.header:
        lengths = struct.unpack(f">{len(idx.shape)}I", header[4:])
        raise InputError(f"{path}: expected {_text(idx.shape)} values, but its header says {_text(lengths)}")
    digest = hashlib.sha256(header)
    block = bytearray(_BLOCK)
    total = idx.size - len(header)
    done = 0
    while done < total:
        read = stream.readinto(memoryview(block)[: min(_BLOCK, total - done)])
        if not read:
            raise InputError(f"{path}: ends after {done} of {total} values")
        digest.update(memoryview(block)[:read])
        convert(done, np.frombuffer(block, "uint8", read))
        done += read
    if stream.read(1):
        raise InputError(f"{path}: continues after its last value")
    if idx.sha256 is not None and digest.hexdigest() != idx.sha256:
        raise InputError(f"{path}: not the published file: SHA-256 {digest.hexdigest()}, expected {idx.sha256}")


def _text(shape: tuple[Any, ...]) -> str:
    return " x ".join(map(str, shape))


__all__ = ["Idx", "check_idx", "read_images", "read_labels"]
