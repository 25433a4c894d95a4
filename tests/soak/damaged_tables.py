"""Damage CSV files at random: only a one-line InputError or finite numbers may come out.

    python tests/soak/damaged_tables.py --files 5000

Each file is one of five tables in different dialects. It is damaged in up to three places: bytes are flipped, dropped,
repeated or cut off, as in ``fuzz_datasets.py``; quotes, separators, ends of lines and odd numbers are put in; cells are
replaced. The first failure is printed with the seed of its file.
"""

from __future__ import annotations

import argparse
import collections
import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

import optimlab as ol
from optimlab.datasets import MISSING

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from fuzz_datasets import mutated

PIECES = (
    *(b'"', b"'", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf"),
    *(b"nan", b"inf", b"-inf", b"1e999", b"1e308", b"-", b".", b"1,5", b"1_000", b"0x1f", b"2026-11-29", b"=1+1", b"y"),
    *(b",,", b'""', b"sep=;\n", b"#", b"\\", "\N{MINUS SIGN}".encode(), "é".encode("latin-1"), "é".encode("utf-16")),
)


CELLS = (
    b"",
    b"nan",
    b"NA",
    b"0",
    b"-1",
    b"1e3",
    b"1e300",
    b"1e-320",
    b"1e999",
    b"inf",
    b"0.5",
    b"7.",
    b"y",
    b"red",
    b" ",
)
"""What may take the place of a cell."""


def tables() -> list[bytes]:
    """Return five tables of 40 rows: commas, quotes, semicolons with decimal commas, tabs, and line ends of Windows."""
    rng = np.random.default_rng(0)
    drawn = zip(rng.normal(size=40), rng.integers(0, 9, 40), rng.integers(0, 3, 40), strict=True)
    colours, answers = ("red", "green", "blue"), ("no", "yes")
    rows = [(f"{a:.3f}", f"{b}", colours[c], answers[c % 2], f"{2 * a + b:.2f}") for a, b, c in drawn]

    def written(separator: str, columns: tuple[int, ...], end: str = "\n", quote: str = "", comma: bool = False) -> str:
        names = [("a", "b", "c", "d", "e")[k] for k in columns[:-1]] + ["y"]
        lines = [names, *([row[k].replace(".", ",") if comma else row[k] for k in columns] for row in rows)]
        return "".join(separator.join(f"{quote}{cell}{quote}" for cell in line) + end for line in lines)

    return [
        written(",", (0, 1, 2, 3)).encode(),
        written(",", (0, 1, 3, 2), quote='"').encode(),
        written(";", (0, 1, 2, 4), comma=True).encode(),
        written("\t", (0, 2, 4)).encode("utf-16"),
        b"\xef\xbb\xbf" + written(",", (1, 2, 0), end="\r\n").encode(),
    ]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return ``content`` with damage in up to three places."""
    for _ in range(rng.integers(1, 4)):
        kind, at, piece = rng.random(), rng.integers(len(content) + 1), PIECES[rng.integers(len(PIECES))]
        if kind < 0.2:
            content = mutated(content, [int(rng.integers(1 << 60))])
        elif kind < 0.5:
            content = content[:at] + piece + content[at:]
        elif cells := [*re.finditer(rb"[\w.-]+", content)]:
            cell = cells[rng.integers(len(cells))]
            content = content[: cell.start()] + CELLS[rng.integers(len(CELLS))] + content[cell.end() :]
    return content


def outcome(path: Path, missing: str) -> str:
    """Load a file and return how that ended: ``"loaded"`` or ``"refused"``.

    Raises
    ------
    AssertionError: the numbers are not finite, or the error is not one line that begins with the path.
    Warning: one of NumPy or pandas.
    """
    try:
        with warnings.catch_warnings(action="error"):
            warnings.filterwarnings("ignore", rf"{re.escape(path.stem)}: ")  # what became of rows and columns
            data = ol.datasets.load(path, target_column="y", missing=missing)
    except ol.InputError as error:
        text = str(error)
        assert text.startswith(str(path)), text
        assert text.isprintable(), repr(text)
        assert len(text) < 1000 + len(str(path)), text
        return "refused"
    for split in ("train", "val", "test"):
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        assert len(x) == len(y) > 0, split
        assert np.isfinite(x).all(), f"x_{split}"
        assert np.isfinite(y).all(), f"y_{split}"
    return "loaded"


def survey(files: int, first: int, folder: Path) -> collections.Counter[str]:
    """Load that many damaged files, the seed of each counted from ``first``, and return how often each way ended."""
    counts: collections.Counter[str] = collections.Counter()
    originals, path = tables(), folder / "damaged.csv"
    for seed in range(first, first + files):
        rng = np.random.default_rng(seed)
        path.write_bytes(damaged(originals[rng.integers(len(originals))], rng))
        try:
            counts[outcome(path, MISSING[rng.integers(len(MISSING))])] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}: {path.read_bytes()!r}") from error
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file; the others count on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for content in tables():
            path = Path(folder) / "whole.csv"
            path.write_bytes(content)
            assert outcome(path, "refuse") == "loaded"
        counts = survey(options.files, options.seed, Path(folder))
    print(", ".join(f"{count:,} {way}" for way, count in counts.items()))


if __name__ == "__main__":
    main()
