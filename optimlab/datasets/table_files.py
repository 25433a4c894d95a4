"""Tables in files, as pandas frames: CSV in any common dialect, and Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..common.errors import InputError, lacks, one_line

TEXT_FILES = (".csv", ".tsv", ".txt")
FILES = (*TEXT_FILES, ".parquet")
"""The endings of the files that are read as tables."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLE = 1 << 16
"""Number of characters from which the separator is detected."""


class Sheet(NamedTuple):
    """A pandas frame whose index has the position of each row, as a ``"line"`` of a file or a ``"row"`` (``unit``)."""

    frame: Any
    unit: str
    separator: str = ""
    notes: tuple[str, ...] = ()


def pandas() -> Any:
    """Import pandas.

    Raises
    ------
    InputError: pandas is not installed; the message says how to install it.
    """
    try:
        import pandas as found
    except ImportError:
        raise lacks("a table", "pandas", "data") from None
    return found


def read_sheet(path: Path) -> Sheet:
    """Read the table in a file. Nothing in it is executed or unpickled.

    Raises
    ------
    InputError: the file cannot be read or is damaged, or it is not a table with the names of the columns in its first
        line; the message names the line.
    """
    try:
        return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {one_line(error.strerror or error)}") from None


def _parquet(path: Path) -> Sheet:
    pd = pandas()
    content = path.read_bytes()
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise lacks("a Parquet file", "pyarrow", "data") from None
    except Exception as error:  # whatever damage may make the reader raise
        raise InputError(f"not a Parquet file, or a damaged one: {one_line(error)}") from None
    named = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index() if named else frame
    return Sheet(frame.set_axis(range(1, len(frame) + 1), axis=0), "row")


def _csv(path: Path) -> Sheet:
    pd = pandas()
    text = _decoded(path.read_bytes())
    if not text.strip():
        raise InputError("the file is empty")
    first = 1
    if declared := re.match(r"sep=(.)\r?\n", text):  # written for spreadsheets
        text, first = text[declared.end() :], 2
    separator = declared[1] if declared else _separator(text)
    header, lines = _checked(text, separator, first)
    frame = _parsed(text, separator, ".")
    numeric = pd.api.types.is_numeric_dtype
    texts = [k for k in frame if not numeric(frame[k].dtype)]
    if any(frame[k].astype(str).str.contains(r"\d,\d").any() for k in texts):
        # perhaps decimal commas: then keep numbers with a decimal point as texts, to distinguish them
        other = _parsed(text, separator, ",")
        points = [k for k in frame if numeric(frame[k].dtype) and not numeric(other[k].dtype)]
        frame = frame.assign(**{k: other[k] for k in points})
    if frame.shape != (len(lines), len(header)):
        raise InputError("cannot be read as a table: its lines are quoted in an unusual way")
    frame.index, frame.columns = lines, header
    empty = frame.isna().all(axis=1)  # as spreadsheets leave them below the last row
    frame = frame[~empty]
    notes = [] if separator == "," else [f"columns are separated by {SEPARATORS.get(separator, repr(separator))}"]
    return Sheet(frame, "line", separator, tuple(notes))


def _parsed(text: str, separator: str, decimal: str) -> Any:
    pd = pandas()
    # from 3.1 on, all numbers are converted exactly
    before = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
    try:
        return pd.read_csv(
            io.StringIO(text, newline=""),
            sep=separator,
            decimal=decimal,
            index_col=False,
            skipinitialspace=True,
            na_values=["?"],
            low_memory=False,
            **({"float_precision": "round_trip"} if before else {}),
        )
    except Exception as error:  # pandas has no common class for its errors
        raise InputError(f"cannot be read as a table: {one_line(error)}") from None


def _decoded(content: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark, UTF-16 with one, or the Windows variant of Latin 1."""
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ["utf-16"] if utf16 else ["utf-8-sig", "cp1252", "latin-1"]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise InputError("not a text file: it contains null bytes")
        return text
    raise InputError("not a text file: it is neither UTF-8 nor UTF-16 nor Latin 1")


def _separator(text: str) -> str:
    """Return the separator for which the header has several names, and most lines have as many values."""
    sample = text[:_SAMPLE]
    ranked = []
    for separator in SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=separator) if row]
        except csv.Error:
            continue
        widths = widths[:-1] if len(text) > _SAMPLE and len(widths) > 1 else widths
        if widths and widths[0] > 1:
            equal = sum(width == widths[0] for width in widths) / len(widths)
            ranked.append((equal, separator != ",", widths[0], separator))
    if not ranked:
        raise InputError(
            "the first line holds only one name: expected the names of at least two columns, separated by "
            "a comma, a semicolon, a tab or a vertical bar"
        )
    return max(ranked)[-1]


def _checked(text: str, separator: str, first: int) -> tuple[list[str], list[int]]:
    """Check that every row has as many values as the header; return the names, and the line of each row."""
    rows = _rows(text, separator, first)
    line, header = next(rows)
    names = [name.strip() for name in header]
    if all(map(_is_number, names)):
        raise InputError(f"line {line} holds numbers: expected the names of the columns in the first line")
    lines = []
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(f"line {line} has {len(row)} values, but the header has {len(names)}")
        lines.append(line)
    if not lines:
        raise InputError("there are no rows below the names of the columns")
    return names, lines


def _rows(text: str, separator: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line on which it begins; empty lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + first
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"line {line}: a quote is not closed, or text follows one ({error})") from None
        if len(row) > 1 or (row and row[0].strip()):
            yield line, row


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


__all__ = ["FILES", "Sheet", "pandas", "read_sheet"]
