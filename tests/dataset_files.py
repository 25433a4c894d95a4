"""Files in the layouts of MNIST and CIFAR-10, made by the tests: any content, any size, any form."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import pickletools
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from optimlab.common.errors import InputError
from optimlab.datasets import cifar, mnist

MB = 1 << 20

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
ROWS, TEST = 30, 12
BATCH = 20


def idx_bytes(values: Any) -> bytes:
    """An IDX file of unsigned bytes."""
    values = np.asarray(values, "uint8")
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def mnist_arrays(rows: int = ROWS, test: int = TEST, seed: int = 0) -> list[np.ndarray]:
    """Images and labels of training, then of test."""
    rng = np.random.default_rng(seed)
    parts = []
    for n in (rows, test):
        parts += [rng.integers(0, 256, (n, 28, 28), dtype="uint8"), (np.arange(n) % 10).astype("uint8")]
    return parts


def mnist_files(arrays: Any = None, packed: bool = True) -> dict[str, bytes]:
    """The four files by name."""
    content = dict(zip(IDX, map(idx_bytes, mnist_arrays() if arrays is None else arrays), strict=True))
    return {f"{name}.gz": gzip.compress(c, 1, mtime=0) for name, c in content.items()} if packed else content


def mnist_source(arrays: Any = None, mirrors: tuple[str, ...] = ("http://127.0.0.1:9/",), validation: int = 10) -> Any:
    """A source that expects exactly these files."""
    arrays = mnist_arrays() if arrays is None else arrays
    digests = tuple(hashlib.sha256(idx_bytes(a)).hexdigest() for a in arrays)
    rows = (len(arrays[0]), len(arrays[2]))
    return mnist.source("mnist", tuple("0123456789"), mirrors, digests, rows=rows, validation=validation)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """The files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def cifar_arrays(seed: int = 0, rows: int = BATCH) -> tuple[np.ndarray, list[int]]:
    """Rows and labels of one batch."""
    return np.random.default_rng(seed).integers(0, 256, (rows, 3072), dtype="uint8"), [k % 10 for k in range(rows)]


def python2_batch(data: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 wrote the published ones, instruction by instruction: text is bytes, NumPy's core is old."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    rows, features = data.shape
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + text(b"b") + b"\x87Rq\x09"
        b"(K\x01" + b"M" + struct.pack("<H", rows) + b"M" + struct.pack("<H", features) + b"\x86"
        b"cnumpy\ndtype\nq\x0a" + text(b"u1") + b"K\x00K\x01\x87Rq\x0b"
        b"(K\x03" + text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
        b"\x89T" + struct.pack("<i", data.size) + data.tobytes() + b"tb"
    )
    names = b"".join(text(b"some_picture_s_%06d.png" % k) for k in range(rows))
    return (
        b"\x80\x02}q\x01("
        + (text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5") + b"q\x03")
        + (text(b"labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([v]) for v in labels) + b"e")
        + (text(b"data") + b"q\x06" + array + text(b"filenames") + b"q\x0c]q\x0d(" + names + b"e")
        + b"u."
    )


def python3_batch(data: Any, labels: Any, protocol: int = 2, old: bool = False) -> bytes:
    """A batch written anew by this Python; ``old``: with the names that NumPy 1 gave its own functions."""
    content = pickle.dumps({"data": data, "labels": labels, "filenames": ["a.png"] * len(labels)}, protocol)
    if old:
        for start in reversed([at for op, _, at in pickletools.genops(content) if op.name == "FRAME"]):
            content = content[:start] + content[start + 9 :]
        for module in (b"multiarray", b"numeric"):
            long, short = b"numpy._core." + module, b"numpy.core." + module
            content = content.replace(bytes([0x8C, len(long)]) + long, bytes([0x8C, len(short)]) + short)
            content = content.replace(b"c" + long, b"c" + short)
    return content


def cifar_batches(make: Any = python2_batch) -> dict[str, bytes]:
    """The six batches by name."""
    return {name: make(*cifar_arrays(k)) for k, name in enumerate(cifar.BATCHES)}


def archive(members: list[tuple[tarfile.TarInfo | str, bytes]]) -> bytes:
    """A .tar.gz of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as file:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def cifar_archive(batches: dict[str, bytes] | None = None) -> bytes:
    """The published archive's layout: a folder, the batches, and a page."""
    folder = tarfile.TarInfo(cifar.FOLDER)
    folder.type = tarfile.DIRTYPE
    batches = cifar_batches() if batches is None else batches
    named = [(f"{cifar.FOLDER}/{name}", content) for name, content in batches.items()]
    return archive([(folder, b""), *named, (f"{cifar.FOLDER}/readme.html", b"<html></html>")])


def cifar_source(md5: str | None = None, size: int = 0, mirrors: tuple[str, ...] = ("http://127.0.0.1:9/",)) -> Any:
    """A source that expects batches of 20 rows."""
    return cifar.source(mirrors, md5, size, rows=BATCH, validation=BATCH)


def npz_bytes(**arrays: Any) -> bytes:
    """An ``.npz`` file as NumPy writes it."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def npz_arrays() -> dict[str, np.ndarray]:
    """Images of three colours in two splits."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (30, 4, 4, 3), dtype="uint8"),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(0, 256, (9, 4, 4, 3), dtype="uint8"),
        "y_test": np.arange(9) % 3,
    }


def peak(function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    """The most bytes the call held at once, and its result or the error it raised."""
    tracemalloc.start()
    try:
        result = function(*arguments)
    except InputError as error:
        result = error
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most, result
