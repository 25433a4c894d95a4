"""CIFAR-10: six pickled batches, in one archive or a folder."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .dataset import Dataset
from .pickles import read_pickle
from .sources import File, Source

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def source(
    rows: int = 10_000, validation: int = 10_000, mirrors: tuple[str, ...] = (), md5: str | None = None
) -> Source:
    """CIFAR-10, of that many rows a batch."""

    def read(paths: tuple[Path, ...]) -> Dataset:
        x = np.empty((6 * rows, 3072), "float32")
        y = np.empty(6 * rows, "int64")
        found = set()
        for name, content in _batches(paths[0]):
            k = BATCHES.index(name)
            found.add(name)
            part = slice(k * rows, (k + 1) * rows)
            _convert(f"{paths[0]}, {name}", read_pickle(content), x[part], y[part])
        missing = [name for name in BATCHES if name not in found]
        if missing:
            raise InputError(f"{paths[0]}: holds no {', '.join(missing)}")
        train = 5 * rows
        data = Dataset(
            x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:], classes=CLASSES, name="cifar10"
        )
        return data.with_validation(validation)

    name = "cifar-10-python.tar.gz"
    return Source("cifar10", (File(name, (FOLDER, name), 170_498_071),), mirrors, read)


def _batches(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for name in BATCHES:
            if (path / name).is_file():
                yield name, (path / name).read_bytes()
        return
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            folder, _, name = member.name.partition("/")
            if folder == FOLDER and name in BATCHES and member.isreg():
                file = archive.extractfile(member)
                assert file is not None
                yield name, file.read()


def _convert(where: str, batch: Any, x: Any, y: Any) -> None:
    """One batch into its rows: the file's planes of red, green and blue become pixels of three numbers."""
    data = batch[b"data"] if b"data" in batch else batch["data"]
    labels = np.asarray(batch[b"labels"] if b"labels" in batch else batch["labels"])
    if data.shape != x.shape or data.dtype != np.uint8 or labels.shape != y.shape:
        raise InputError(f"{where}: expected {len(x)} rows of 3072 bytes, got {data.shape} and {labels.shape} labels")
    planes = data.reshape(-1, 3, 1024).transpose(0, 2, 1)
    np.divide(planes, 255, out=x.reshape(-1, 1024, 3), dtype="float32")
    y[...] = labels


CIFAR10 = source(
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    md5="c58f30108f718f92721af3b95e74349a",
)
