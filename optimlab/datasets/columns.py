"""The columns of a table: numbers, or texts that name categories."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError, exact
from .table_files import Sheet, pandas

LEAVE_OUT = "leave the column out (leave_out=, --leave-out)"
_NO_DATES = f"write a number instead, such as the year or the days since the first date, or {LEAVE_OUT}"

_LARGEST = 1e100
"""Limit of a number; squares of larger ones may overflow."""
_MANY = 10
"""The most different numbers that may be codes of categories."""
_FEW = 20
"""The most different texts that are categories if they differ in more than half of the rows; more name the rows."""

_NUMBER = {
    ".": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"),
    ",": re.compile(r"[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?"),
}
_THOUSANDS = re.compile(
    r"[+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d{1,3}(?:\.\d{3})+(?:,\d*)?|\d{1,3}(?:[\s'’]\d{3})+(?:[.,]\d*)?)"
)
_UNIT = re.compile(r"([$€£]?)\s*[+-]?\d+(?:[.,]\d+)?\s*([%°$€£]?[A-Za-z/²³]*)")
_DATE = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}(?:[T ]+\d.*)?|\d{1,2}([./-])\d{1,2}\2(?:\d{4}|\d{2})(?:[ ,]+\d.*)?")
_IDENTIFIER = re.compile(r"(?i:(?:.*[\W_])?(?:id|ids|idx|index|uuid|guid|nr|no)|unnamed \d+)|.*[a-z]I[dD]|#")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    name: its name.
    values: float64, NaN if missing; or the index of each row's category, -1 if missing.
    categories: the distinct texts, sorted; empty for numbers.
    """

    name: str
    values: NDArray[Any]
    categories: tuple[str, ...] = ()

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Return a mask of the rows without a value."""
        mask: NDArray[np.bool_] = self.values < 0 if self.categories else np.isnan(self.values)
        return mask

    @property
    def different(self) -> int:
        """Return the number of distinct values."""
        return len(np.unique(self.values[~self.missing]))

    def taken(self, rows: Any) -> Column:
        """Return the column with these rows only."""
        if not self.categories:
            return Column(self.name, self.values[rows])
        return _category(self.name, self.values[rows], self.categories)

    def useless(self) -> str:
        """Return the reason why nothing can be learned from this column as an input; empty if something can."""
        missing, rows = self.missing.sum(), len(self.values)
        if missing == rows:
            return "it is empty"
        different = self.different
        if different == 1 and not (self.categories and missing):
            return f"every row holds {self.shown(int((~self.missing).argmax()))}"
        every = different == rows > 2
        if self.categories and (every or different > max(_FEW, (rows - missing) / 2)):
            return f"{different:,} different texts in {rows:,} rows: they name the rows"
        if not self.categories and every and _IDENTIFIER.fullmatch(self.name) and _whole(self.values):
            return "a different whole number in every row: an identifier"
        return ""

    def counts_rows(self) -> bool:
        """Return True for the numbers 0, 1, 2, ... or 1, 2, 3, and so on."""
        steps = np.arange(len(self.values)) + (self.values[0] == 1)
        return not self.categories and len(steps) > 2 and bool((self.values == steps).all())

    def shown(self, row: int) -> str:
        """Return the value of a row as text."""
        value = self.values[row]
        return repr(self.categories[int(value)]) if self.categories else exact(float(value))


@dataclass(frozen=True, eq=False)
class _Texts:
    """A column of texts before they are interpreted: the distinct texts, and the index of each row's text."""

    texts: list[str]
    codes: NDArray[np.intp]

    def share(self, pattern: re.Pattern[str]) -> float:
        """Return the share of the rows with a text that match."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))
        return float(counts[self.matches(pattern)].sum() / max(1, counts.sum()))

    def matches(self, pattern: re.Pattern[str]) -> NDArray[np.bool_]:
        return np.array([pattern.fullmatch(text) is not None for text in self.texts], bool)

    def contains(self, part: str) -> NDArray[np.bool_]:
        return np.array([part in text for text in self.texts], bool)

    def are_numbers(self, mark: str) -> bool:
        """Return True if these are numbers with this decimal mark, although some cells may be malformed."""
        matches, share = self.matches(_NUMBER[mark]), self.share(_NUMBER[mark])
        return share >= 0.9 or (share > 0.5 and int(matches.sum()) > _MANY)


def read_columns(sheet: Sheet) -> tuple[list[Column], list[str]]:
    """Return each column as numbers or categories, and remarks on how they were read.

    Raises
    ------
    InputError: a column of numbers has a cell that is not a number; a column holds dates, numbers in two notations or
        with units, or anything that is neither number nor text. The message names the column and the row.
    """
    read = {str(name): _read(str(name), sheet.frame[name]) for name in sheet.frame.columns}
    texts = {name: column for name, column in read.items() if isinstance(column, _Texts)}
    places = {name: _Place(name, sheet) for name in read}
    commas = {name: c for name, c in texts.items() if c.are_numbers(",") and c.contains(",").any()}
    point = next((name for name, c in texts.items() if c.are_numbers(".") and c.contains(".").any()), None)
    for name, column in commas.items():
        decimal = column.contains(",") & ~column.matches(_THOUSANDS)
        if not decimal.any() and (sheet.separator in ("", ",") or point is not None):
            example = places[name].cell(column, column.matches(_THOUSANDS))
            raise places[name].error(f"can be read in two ways: {example} may be a thousand or a decimal number")
        if point is not None:
            raise InputError(
                f"column {name!r} has decimal commas ({places[name].cell(column, column.contains(','))}), but column "
                f"{point!r} has decimal points: use one of them for all numbers"
            )
    columns = []
    for name, content in read.items():
        if isinstance(content, _Texts):
            columns.append(_meant(places[name], content, "," if name in commas else "."))
        elif isinstance(content, Column):
            columns.append(content)
        else:
            columns.append(_checked(places[name], Column(name, content)))
    return columns, ["numbers have decimal commas"] if commas else []


class _Place:
    """Names the cells of a column in errors."""

    def __init__(self, name: str, sheet: Sheet) -> None:
        self.name, self.unit, self.labels = name, sheet.unit, sheet.frame.index

    def cell(self, column: _Texts, which: NDArray[np.bool_]) -> str:
        """Return the first cell with one of these texts, and its position, such as ``'12a' in line 7``."""
        row = int(np.isin(column.codes, np.flatnonzero(which)).argmax())
        return f"{_short(column.texts[column.codes[row]])} in {self.at(row)}"

    def at(self, row: int) -> str:
        return f"{self.unit} {self.labels[row]}"

    def error(self, what: str) -> InputError:
        return InputError(f"column {self.name!r} {what}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _read(name: str, series: Any) -> NDArray[np.float64] | _Texts | Column:
    """Return a column of a frame as numbers (NaN if missing), as texts, or as categories if they are declared."""
    pd = pandas()
    types, dtype = pd.api.types, series.dtype
    if types.is_complex_dtype(dtype):
        raise InputError(f"column {name!r} holds complex numbers")
    if getattr(dtype, "kind", "") in "mM" or isinstance(dtype, pd.PeriodDtype):
        raise InputError(f"column {name!r} holds dates or times ({dtype}): {_NO_DATES}")
    if types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype):
        numbers: NDArray[np.float64] = series.to_numpy("float64", na_value=np.nan)
        return numbers
    try:
        codes, values = pd.factorize(series)
    except TypeError:
        raise InputError(f"column {name!r} holds lists or other objects; only numbers and texts are read") from None
    for value in values:
        if isinstance(value, bytes | tuple | frozenset):
            raise InputError(f"column {name!r} holds {type(value).__name__}; only numbers and texts are read")
    texts = [re.sub("^\N{MINUS SIGN}", "-", str(value).strip()) for value in values]
    if isinstance(dtype, pd.CategoricalDtype):
        return _category(name, codes, texts)
    distinct = sorted({text for text in texts if text})
    number = {text: k for k, text in enumerate(distinct)}
    known = np.array([number.get(text, -1) for text in texts] + [-1], np.intp)
    return _Texts(distinct, known[codes])


def _whole(values: NDArray[np.float64]) -> bool:
    return bool((values == np.floor(values)).all())


def _meant(place: _Place, column: _Texts, mark: str) -> Column:
    """Return a column of numbers if all texts are numbers, else of categories."""
    texts, number = column.texts, column.matches(_NUMBER[mark])
    if texts and number.all():
        values = np.array([float(text.replace(",", ".")) for text in texts] + [np.nan])
        return _checked(place, Column(place.name, values[column.codes]))
    if column.are_numbers(mark):
        wrong = ~number
        many = int(np.isin(column.codes, np.flatnonzero(wrong)).sum())
        rest = f"; {many - 1:,} more {'cells are' if many > 2 else 'cell is'} wrong" if many > 1 else ""
        good = int((column.codes >= 0).sum()) - many
        raise place.error(
            f"holds numbers in {good:,} cells, but {place.cell(column, wrong)} is not a number; correct it or "
            f"leave the cell empty{rest}"
        )
    for pattern, what, advice in (
        (_DATE, "dates", _NO_DATES),
        (_THOUSANDS, "numbers with thousands separators", f"write 1234.5 for 1,234.5, or {LEAVE_OUT}"),
    ):
        if column.share(pattern) >= 0.9:
            raise place.error(f"holds {what} ({place.cell(column, column.matches(pattern))}): {advice}")
    if len(texts) > _MANY and _one_unit(texts):
        example = place.cell(column, np.ones(len(texts), bool))
        raise place.error(f"holds numbers with a unit ({example}): write the number alone, or {LEAVE_OUT}")
    return _category(place.name, column.codes, texts)


def _one_unit(texts: Sequence[str]) -> bool:
    matches = [_UNIT.fullmatch(text) for text in texts]
    return all(matches) and len({match.groups() for match in matches if match}) == 1


def _checked(place: _Place, column: Column) -> Column:
    large = np.abs(column.values) > _LARGEST  # also if infinite
    if large.any():
        row = int(large.argmax())
        raise place.error(f"holds {column.values[row]:g} in {place.at(row)}: numbers must lie within {_LARGEST:g}")
    return column


def _category(name: str, codes: NDArray[Any], texts: Sequence[str]) -> Column:
    """Return a column with those texts that occur as categories; if none does, one of missing numbers."""
    used = np.unique(codes[codes >= 0])
    if not len(used):
        return Column(name, np.full(len(codes), np.nan))
    place = np.full(len(texts) + 1, -1, np.intp)
    place[used] = range(len(used))
    return Column(name, place[codes], tuple(texts[k] for k in used))


__all__ = ["LEAVE_OUT", "Column", "read_columns"]
