"""Damage data files at random, for as long as asked: only InputError or a correct data set may come out.

    python tests/soak/fuzz_datasets.py --minutes 60

Hypothesis mutates files in the layouts of MNIST, CIFAR-10 and NumPy: the file as it is, or what is inside its gzip, tar
or zip, packed again so that the damage gets past the checksums; and it strings together pickles of instructions that
do harm. Each load must end within seconds and megabytes. An audit hook ends everything if a load starts a program,
runs code, writes a file or opens a connection. The first failure is shrunk and printed.
"""

from __future__ import annotations

import argparse
import codecs
import collections
import faulthandler
import gzip
import hashlib
import io
import pickle
import random
import signal
import struct
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import dataset_files as made
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

import optimlab as ol
from optimlab.datasets import cifar, mnist
from optimlab.datasets.pickles import read_pickle

MEMORY = 8 << 20
"""Bytes a load of these small files may hold at most."""
SECONDS = 5.0
"""Processor time of a load, at most."""
FORBIDDEN = ("os.", "subprocess.", "socket.", "ctypes.", "shutil.", "exec", "code.", "webbrowser.", "marshal.")
HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")
EXAMPLES = 400
"""A round of Hypothesis; each has a seed of its own."""

armed = watching = False


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not (armed and watching) or event in HARMLESS:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(FORBIDDEN):
        sys.stderr.write(f"a load did {event} {str(arguments)[:300]}\n")
        faulthandler.dump_traceback()
        signal.raise_signal(signal.SIGKILL)


class Slow(BaseException):
    """A load took too long; no Exception, so that nothing takes it for damage."""


def out_of_time(*_: Any) -> None:
    raise Slow


# ---------------------------------------------------------------------------------------------- mutations

BOUNDS = [0, 1, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63]
KINDS = ["flip", "set", "cut", "grow", "drop", "repeat", "number", "text", "move"]
MUTATIONS = st.lists(st.integers(0, (1 << 60) - 1), max_size=3)
"""Each integer is a kind, a bound, an extent and a place."""
TEXTS = [
    b"O",
    b"|O",
    b"<f8",
    b"True",
    b"-1",
    b"99999999",
    b"../",
    b"/etc/passwd",
    b"cos\nsystem\n",
    b"\x8c\2os",
    b"nan",
]


def mutated(content: bytes, mutations: list[int]) -> bytes:
    """Places are near the front or the end more often than in the middle: headers and directories are there."""
    for packed in mutations:
        packed, which = divmod(packed, len(KINDS))
        packed, bound = divmod(packed, len(BOUNDS))
        packed, extent = divmod(packed, 1 << (2 + packed % 9))
        packed, near = divmod(packed, 12)
        packed, from_end = divmod(packed, 2)
        kind, number, size = KINDS[which], BOUNDS[bound], len(content)
        at = packed % min(size + 1, 16 << near)
        at = size - at if from_end else at
        end = min(size, at + 1 + extent)
        middle = content[at:end]
        if kind == "flip" and at < size:
            middle = bytes([content[at] ^ (1 << extent % 8)]) + content[at + 1 : end]
        elif kind == "set":
            middle = bytes([extent % 256]) * len(middle)
        elif kind == "cut":
            middle, end = b"", size
        elif kind == "grow":
            middle = bytes([number % 256]) * (extent + 1) + middle
        elif kind == "drop":
            middle = b""
        elif kind == "repeat":
            middle = middle * (2 + number % 7)
        elif kind == "number":
            width = (1, 2, 4, 8)[extent % 4]
            middle = (number % (1 << 8 * width)).to_bytes(width, "little" if extent % 8 < 4 else "big")
            end = min(size, at + width)
        elif kind == "text":
            middle = TEXTS[extent % len(TEXTS)]
            end = min(size, at + len(middle))
        elif kind == "move":
            middle = middle[::-1]
        content = content[:at] + middle + content[end:]
    return content


# ---------------------------------------------------------------------------------------------- targets

ROWS = (6, 4)
ARRAYS = made.mnist_arrays(*ROWS)
MNIST = made.mnist_files(ARRAYS)
PLAIN = made.mnist_files(ARRAYS, packed=False)
BATCH = 2
BATCHES = {
    form: {name: make(*made.cifar_arrays(k, BATCH)) for k, name in enumerate(cifar.BATCHES)}
    for form, make in {
        "python 2": made.python2_batch,
        **{p: (lambda d, y, p=p: made.python3_batch(d, y, p, old=p % 2 == 0)) for p in (2, 3, 4, 5)},
    }.items()
}
ARCHIVE = made.cifar_archive(BATCHES["python 2"])
NPZ = made.npz_arrays()


def images(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) / np.float32(255)


def assert_mnist(data: Any, exact: bool) -> None:
    assert_plain(data, (ROWS[0] - 2, 2, ROWS[1]), 784)
    if exact:
        np.testing.assert_array_equal(np.concatenate([data.x_train, data.x_val]), images(ARRAYS[0]))
        np.testing.assert_array_equal(np.concatenate([data.y_train, data.y_val]), ARRAYS[1])
        np.testing.assert_array_equal(data.x_test, images(ARRAYS[2]))
        np.testing.assert_array_equal(data.y_test, ARRAYS[3])


def assert_plain(data: Any, rows: tuple[int, ...], features: int) -> None:
    for n, split in zip(rows, ("train", "val", "test"), strict=True):
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        assert (x.shape, x.dtype, y.shape, y.dtype) == ((n, features), np.float32, (n,), np.int64)
        assert x.min() >= 0
        assert x.max() <= 1
        assert y.min() >= 0
        assert y.max() <= 9


def mnist_target(which: int, packed: str, checked: bool) -> Any:
    """One of the four files spoilt: as it is, in its gzip, or before it is packed."""

    def load(folder: Path, mutations: Any) -> None:
        name = list(MNIST)[which]
        if packed == "plain":
            content = mutated(PLAIN[name.removesuffix(".gz")], mutations)
        elif packed == "gzip":
            content = mutated(MNIST[name], mutations)
        else:
            content = gzip.compress(mutated(PLAIN[name.removesuffix(".gz")], mutations), 1)
        made.write(folder, {name: content})
        digests = tuple(hashlib.sha256(made.idx_bytes(a)).hexdigest() if checked else None for a in ARRAYS)
        source = mnist.source("mnist", tuple("0123456789"), (), digests, rows=ROWS, validation=2)
        assert_mnist(measured(source.load, folder, False), checked)

    return load


def cifar_target(form: Any, packed: str) -> Any:
    """One batch spoilt in a folder or an archive, the tar within its gzip, or the archive's own bytes."""

    def load(folder: Path, mutations: Any) -> None:
        batches = dict(BATCHES[form])
        if packed in ("folder", "batch in archive"):
            batches["data_batch_3"] = mutated(batches["data_batch_3"], mutations)
        if packed == "folder":
            made.write(folder / cifar.FOLDER, batches)
        else:
            content = {
                "batch in archive": lambda: made.cifar_archive(batches),
                "tar": lambda: gzip.compress(mutated(gzip.decompress(ARCHIVE), mutations), 1),
                "archive": lambda: mutated(ARCHIVE, mutations),
            }[packed]()
            made.write(folder, {cifar.ARCHIVE: content})
        source = cifar.source((), None, rows=BATCH, validation=2)
        data = measured(source.load, folder, False)
        assert_plain(data, (8, 2, 2), 3072)

    return load


def npz_target(inside: bool) -> Any:
    """The zip's bytes spoilt, or one of its arrays before it is packed with the right checksum."""

    def load(folder: Path, mutations: Any) -> None:
        content = made.npz_bytes(**NPZ)
        if inside:
            out = io.BytesIO()
            spoilt = sum(mutations) % len(NPZ)
            with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
                for k, name in enumerate(old.namelist()):
                    new.writestr(name, mutated(old.read(name), mutations) if k == spoilt else old.read(name))
            content = out.getvalue()
        else:
            content = mutated(content, mutations)
        made.write(folder, {"mine.npz": content})
        data = measured(ol.datasets.load, folder / "mine.npz")
        ol.datasets.check(data)
        assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.int64)

    return load


TARGETS = {
    **{
        f"idx, {('images', 'labels')[which]}, {packed}, {'digest' if checked else 'no digest'}": mnist_target(
            which, packed, checked
        )
        for which in (0, 1)
        for packed in ("plain", "gzip", "in gzip")
        for checked in (True, False)
    },
    **{f"cifar, folder, pickle {form}": cifar_target(form, "folder") for form in BATCHES},
    **{f"cifar, {packed}": cifar_target("python 2", packed) for packed in ("batch in archive", "tar", "archive")},
    "npz": npz_target(False),
    "npz, array": npz_target(True),
}

FORMATS = ("idx", "cifar", "npz")
GROUPS = {form: [target for target in TARGETS if target.startswith(form)] for form in FORMATS}

# ---------------------------------------------------------------------------------------------- pickles that do harm


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


class Evil:
    """What most attacks are: a call of a function with an argument."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


PIECES = [
    *(bytes([k]) for k in b"().01]}aebdelpqrstu\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94\x97\x98N2Q"),
    *(b"\x80" + bytes([k]) for k in (2, 4, 5)),
    *(b"K" + bytes([k]) for k in (0, 1, 2, 200)),
    *(b"J" + struct.pack("<I", k) for k in (5, 1 << 31, (1 << 32) - 1)),
    *(op + bytes([k]) for op in (b"q", b"h") for k in (0, 1, 9)),
    *(op + struct.pack("<I", k) for op in (b"r", b"j") for k in (0, 7, 1 << 20, (1 << 31) - 1)),
    *(b"U" + bytes([len(t)]) + t for t in (b"b", b"u1", b"O8", b"data", b"labels", b"latin1", b"__class__", b"|")),
    *(b"\x8c" + bytes([len(t)]) + t for t in (b"os", b"system", b"numpy", b"ndarray", b"eval", b"builtins", b"data")),
    b"T" + struct.pack("<i", 1 << 30),
    b"T" + struct.pack("<i", 6) + b"abcdef",
    b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    b"\x8e" + struct.pack("<Q", 1 << 50),
    b"\x96" + struct.pack("<Q", 2) + b"ab",
    b"\x95" + struct.pack("<Q", 9),
    b"I1\n",
    b"L99999999999999999999L\n",
    b"Vtext\n",
    b"S'text'\n",
    b"F1.5\n",
    b"G" + bytes(8),
    b"\x82\1",
    *(named(core + ".multiarray", "_reconstruct") for core in ("numpy.core", "numpy._core")),
    named("numpy.core.multiarray", "scalar"),
    named("numpy._core.numeric", "_frombuffer"),
    named("numpy", "ndarray"),
    named("numpy", "dtype"),
    named("_codecs", "encode"),
    named("os", "system"),
    named("builtins", "exec"),
    named("__builtin__", "getattr"),
    named("functools", "partial"),
    b"ios\nsystem\n",
    named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\0\x85U\1b\x87R",
    named("numpy", "dtype") + b"U\2u1K\0K\1\x87R",
    b"(K\1K\6\x85" + named("numpy", "dtype") + b"U\2u1K\0K\1\x87R\x89T\6\0\0\0abcdeftb",
    b"\x85" * 3000,
    b"]" * 3000,
    b"2" * 3000,
    b"cos\nsystem\nU\2ls\x85R",
    *(
        pickle.dumps(Evil(*call), protocol)[2 if protocol < 4 else 11 : -1]
        for call in ((eval, "print('run')"), (open, "was run", "w"), (exec, "import os; os.system('id')"))
        for protocol in (2, 4)
    ),
]
PLAIN_TYPES = (dict, list, tuple, int, str, bytes, bytearray, bool, type(None), np.ndarray)


def harmful(program: bytes) -> None:
    """Reading it fails, or gives plain data and stand-ins that can do nothing."""
    value = measured(read_pickle, program)
    seen, todo = set(), [value]
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        assert type(part) in PLAIN_TYPES or type(part).__module__ == "optimlab.datasets.pickles", type(part)
        todo += [*part.keys(), *part.values()] if isinstance(part, dict) else []
        todo += part if isinstance(part, list | tuple) else []


# ---------------------------------------------------------------------------------------------- the run

counts: collections.Counter[str] = collections.Counter()
loaded: collections.Counter[str] = collections.Counter()
most = {"bytes": 0, "seconds": 0.0}


def measured(function: Any, *arguments: Any) -> Any:
    """The call's result, its memory and time held to the limits, under the eye of the audit hook."""
    global watching
    start = time.process_time()
    tracemalloc.start()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    watching = True
    try:
        return function(*arguments)
    finally:
        watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        most["seconds"] = max(most["seconds"], time.process_time() - start)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        most["bytes"] = max(most["bytes"], used)
        assert used < MEMORY, f"held {used} bytes"


def one_round(number: int, folder: Path) -> None:
    options = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        verbosity=Verbosity.normal,
    )

    @seed(number)
    @settings(options, max_examples=3 * EXAMPLES)
    @given(st.sampled_from(FORMATS).flatmap(lambda form: st.sampled_from(GROUPS[form])), MUTATIONS)
    def files(target: str, mutations: Any) -> None:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        made.write(folder, MNIST) if target.startswith("idx") else None
        counts[target] += 1
        try:
            TARGETS[target](folder, mutations)
            loaded[target] += 1
        except ol.InputError as error:
            assert_message(error)

    @seed(number)
    @options
    @given(st.lists(st.sampled_from(PIECES), max_size=40), st.booleans())
    def pickles(pieces: list[bytes], ended: bool) -> None:
        counts["pickle made up"] += 1
        try:
            harmful(b"".join(pieces) + b"." * ended)
            loaded["pickle made up"] += 1
        except ol.InputError as error:
            assert_message(error)

    @seed(number)
    @options
    @given(
        st.sampled_from(sorted(BATCHES, key=str)), MUTATIONS, st.lists(st.sampled_from(PIECES), max_size=6), st.data()
    )
    def mixed(form: Any, mutations: Any, pieces: list[bytes], data: Any) -> None:
        counts["pickle of a batch, mixed"] += 1
        content = mutated(BATCHES[form]["data_batch_1"], mutations)
        at = data.draw(st.integers(0, len(content)))
        try:
            harmful(content[:at] + b"".join(pieces) + content[at:])
            loaded["pickle of a batch, mixed"] += 1
        except ol.InputError as error:
            assert_message(error)

    files()
    pickles()
    mixed()


def assert_message(error: Exception) -> None:
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) < 1000, len(text)


def report(start: float, number: int) -> None:
    print(
        f"{(time.time() - start) / 60:.1f} min, {number} rounds: {counts.total()} files, {loaded.total()} loaded, "
        f"{counts.total() - loaded.total()} refused; at most {most['bytes'] / 1e6:.1f} MB, {most['seconds']:.2f} s",
        flush=True,
    )


def main() -> None:
    global armed
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the next rounds count on")
    options = parser.parse_args()
    random.seed(options.seed)
    # damage may make numpy and zipfile warn; that is no failure
    warnings.simplefilter("ignore")
    faulthandler.enable()
    signal.signal(signal.SIGPROF, out_of_time)
    sys.addaudithook(audit)
    start, shown, number = time.time(), 0.0, options.seed
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        # what is imported on first use is imported now, outside the eye of the audit hook
        for codec in ("raw-unicode-escape", "cp437"):
            codecs.lookup(codec)
        for target in TARGETS.values():
            made.write(Path(folder), MNIST)
            target_folder = Path(folder)
            target(target_folder, [])
            for path in sorted(target_folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        most.update(bytes=0, seconds=0.0)
        armed = True
        while time.time() - start < 60 * options.minutes:
            one_round(number, Path(folder))
            number += 1
            if time.time() - shown > 30:
                report(start, number - options.seed)
                shown = time.time()
    report(start, number - options.seed)
    for target in sorted(counts):
        print(f"  {target}: {counts[target]}, of them {loaded[target]} loaded")


if __name__ == "__main__":
    main()
