"""CIFAR-10: six pickled batches, in the published archive or its unpacked folder."""

from __future__ import annotations

import gzip
import hashlib
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError, one_line
from .dataset import Dataset, scaled
from .pickles import read_pickle
from .sources import File, Source

if TYPE_CHECKING:
    import tarfile

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""The MD5 of each batch as published."""
_PIXELS = 1024
_MEMBERS = 100
"""Limit of the files in an archive; that of CIFAR-10 has nine."""


def source(
    mirrors: tuple[str, ...],
    md5: str | None,
    size: int = 170_498_071,
    batches: dict[str, str] | None = None,
    rows: int = 10_000,
    validation: int = 10_000,
) -> Source:
    """Make the source of CIFAR-10 with so many rows per batch; ``batches`` are the MD5s of the batches in a folder."""

    def read(paths: tuple[Path, ...]) -> Dataset:
        (path,) = paths
        if path.is_dir():
            given = _from_folder(path, _limit(rows))
        else:
            _check_archive(path, size, md5)
            given = _from_archive(path, _limit(rows))
        x = np.empty((len(BATCHES) * rows, 3 * _PIXELS), "float32")
        y = np.empty(len(x), "int64")
        found, other = set(), []
        for name, content in given:
            start = list(BATCHES).index(name) * rows
            _convert(f"{path / name}", content, x[start : start + rows], y[start : start + rows])
            found.add(name)
            if path.is_dir() and batches and hashlib.md5(content, usedforsecurity=False).hexdigest() != batches[name]:
                other.append(name)
        if missing := [name for name in BATCHES if name not in found]:
            raise InputError(f"{path}: {', '.join(missing)} missing")
        if other:
            warnings.warn(f"{path}: used, but not as published: {', '.join(other)}", stacklevel=2)
        train = len(x) - rows
        data = Dataset(
            x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:], classes=CLASSES, name="cifar10"
        )
        return data.with_validation(validation)

    file = File(ARCHIVE, (FOLDER, ARCHIVE), size, partial(_check_archive, size=size, md5=md5))
    split = (5 * rows - validation, validation, rows)
    return Source("cifar10", (file,), mirrors, split, 3 * _PIXELS, CLASSES, read)


def _limit(rows: int) -> int:
    """Return an upper bound of a batch's bytes: at worst two per value, and a label and file name per row."""
    return rows * (2 * 3 * _PIXELS + 200) + 65_536


def _check_archive(path: Path, size: int, md5: str | None) -> None:
    if md5 is None:
        return
    try:
        length = path.stat().st_size
        if length != size:
            raise InputError(f"{path}: {length} bytes, but the published archive has {size}")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if digest != md5:
        raise InputError(f"{path}: not the published archive: MD5 {digest}, expected {md5}")


def _from_folder(folder: Path, limit: int) -> Iterator[tuple[str, bytes]]:
    for name in BATCHES:
        path = folder / name
        try:
            if path.is_file():
                with path.open("rb") as file:
                    yield name, _whole(file, limit, path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _from_archive(path: Path, limit: int) -> Iterator[tuple[str, bytes]]:
    """Yield the batches in order. Nothing is unpacked to disk, and an archive with unusual members is rejected."""
    import tarfile  # when needed: it takes a tenth of the time of importing optimlab

    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as unpacked:
            bounded = _Bounded(unpacked, limit, path)
            with tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r:") as archive:
                seen = set()
                for count, member in enumerate(archive, 1):
                    _check_member(member, count, limit, path)
                    folder, _, name = member.name.partition("/")
                    if folder == FOLDER and name in BATCHES:
                        if name in seen or not member.isfile():
                            raise InputError(f"{path}: {name} is not a file, or occurs twice")
                        seen.add(name)
                        stream = cast(BinaryIO, archive.extractfile(member))
                        yield name, _whole(stream, limit, path / name)
    except InputError:
        raise
    except Exception as error:
        # whatever a damaged archive may make tarfile raise
        raise InputError(f"{path}: cannot be read as a .tar.gz: {one_line(error)}") from None


def _check_member(member: tarfile.TarInfo, count: int, limit: int, path: Path) -> None:
    name = one_line(member.name)
    if count > _MEMBERS:
        raise InputError(f"{path}: not CIFAR-10: it has more than {_MEMBERS} files")
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise InputError(f"{path}: not CIFAR-10: {name} is not a regular file or folder")
    if member.name.startswith(("/", "\\")) or ".." in member.name.replace("\\", "/").split("/"):
        raise InputError(f"{path}: {name} points outside its folder")
    if not 0 <= member.size <= limit:
        raise InputError(f"{path}: not CIFAR-10: {name} claims to have {member.size} bytes")


class _Bounded:
    """A stream that only moves forward, and reads or skips at most the size of a batch at once."""

    def __init__(self, stream: gzip.GzipFile, limit: int, path: Path) -> None:
        self.stream, self.limit, self.path = stream, limit, path

    def read(self, size: int) -> bytes:
        self._check(size)
        return self.stream.read(size)

    def seek(self, position: int) -> None:
        self._check(position - self.stream.tell())
        self.stream.seek(position)

    def tell(self) -> int:
        return self.stream.tell()

    def _check(self, size: int) -> None:
        if not 0 <= size <= self.limit:
            raise InputError(f"{self.path}: not CIFAR-10: it moves back, or forward by {size} bytes at once")


def _whole(stream: BinaryIO, limit: int, path: Path) -> bytes:
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{path}: too long for a batch of CIFAR-10: more than {limit} bytes")
    return content


def _convert(where: str, content: bytes, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
    """Convert one batch into its rows: planes of red, green and blue become pixels of three numbers."""
    try:
        batch = read_pickle(content)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not isinstance(batch, dict):
        raise InputError(f"{where}: not a batch of CIFAR-10, but a {type(batch).__name__}")
    data, labels = (batch.get(key.encode(), batch.get(key)) for key in ("data", "labels"))
    if not isinstance(data, np.ndarray) or data.shape != x.shape or data.dtype != np.uint8:
        got = f"{data.shape} {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise InputError(f"{where}: expected data of {len(x)} x {x.shape[1]} bytes, got {got}")
    y[...] = _labels(where, labels, len(y))
    pixels = x.reshape(len(x), _PIXELS, 3)
    for colour in range(3):
        scaled(data[:, colour * _PIXELS : (colour + 1) * _PIXELS], pixels[:, :, colour])


def _labels(where: str, labels: Any, rows: int) -> Any:
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu":
        labels = labels.tolist()
    # checked one by one: numpy would follow nested lists without end
    if not isinstance(labels, list) or len(labels) != rows or not all(type(v) is int for v in labels):
        raise InputError(f"{where}: expected {rows} labels, a list of integers")
    if not 0 <= min(labels) <= max(labels) < len(CLASSES):
        raise InputError(f"{where}: labels from {min(labels)} to {max(labels)}, but they must be 0 to 9")
    return labels


CIFAR10 = source(
    mirrors=("https://www.cs.toronto.edu/~kriz/",), md5="c58f30108f718f92721af3b95e74349a", batches=BATCHES
)

__all__ = ["CIFAR10", "source"]
