"""Tables that fit any width without cutting off a number.

If a table is too wide, headings and sentences are wrapped first, then the middle of long names is cut. If that is not
enough, the columns are split into blocks, one below the other, and each block repeats the first column. Rich draws the
tables.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .markup import Html, tag, together
from .spelling import encoding_of_stdout, spelled

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

Kind = Literal["number", "name", "words", "path"]
"""The kind of a cell. Numbers are never broken, names may be shortened, words wrap at spaces, and paths anywhere."""

PIPE = 80
"""Characters per line of output that does not go to a terminal."""

NAME, HEADING, PATH = 16, 24, 16
"""Smallest widths of names, words of a heading, and paths, before the columns are split."""


class Column(NamedTuple):
    """A heading, which may have several lines, and the kind of the cells below it."""

    heading: str
    kind: Kind = "number"


class _Widths(NamedTuple):
    """Widths of a column in characters: unchanged, with wrapped words, and with shortened names as well."""

    natural: int
    broken: int
    least: int


@dataclass(frozen=True)
class Table:
    """A table with a title, columns, rows of cells, and a caption; ``print`` it, or pass it to a Rich console.

    Notebooks show it as an HTML table, in which a cell may be :class:`optimlab.common.markup.Html`.

    >>> print(Table([Column("optimizer", "name"), Column("lr")], [["sgd", "0.5"], ["adam", "0.001"]]))
    optimizer     lr
    ────────────────
    sgd          0.5
    adam       0.001
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""

    def __str__(self) -> str:
        return self.text(width(), encoding_of_stdout())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        sides = [
            f"padding: 0.1em 0.6em; text-align: {'right' if column.kind == 'number' else 'left'}"
            for column in self.columns
        ]
        head = [
            tag("th", " ".join(column.heading.split("\n")), scope="col", style=side)
            for column, side in zip(self.columns, sides, strict=True)
        ]
        body = []
        for first, *cells in self.rows:
            row = [tag("th", first, scope="row", style=sides[0])]
            row += [tag("td", cell, style=side) for cell, side in zip(cells, sides[1:], strict=True)]
            body.append(tag("tr", *row))
        title = tag("caption", self.title, style="caption-side: top; text-align: left") if self.title else Html()
        table = tag("table", title, tag("thead", tag("tr", *head)), tag("tbody", *body))
        return together(table, *self.caption.splitlines())

    def text(self, width: int, encoding: str | None = None) -> str:
        """Return the table as plain lines of at most ``width`` characters that ``encoding`` can represent."""
        from rich.console import Console

        lines: list[str] = []
        for part in self.parts(width, encoding):
            screen = Console(width=max(width, _width_of(part)), file=StringIO(), color_system=None, force_jupyter=False)
            with screen.capture() as captured:
                screen.print(part)
            lines += [line.rstrip() for line in captured.get().split("\n")[:-1]]
        return "\n".join(lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        for part in self.parts(options.max_width, console.encoding):
            yield from console.render(part, options.update_width(max(options.max_width, _width_of(part))))
        yield ""

    def parts(self, width: int, encoding: str | None = None) -> Iterator[Any]:
        """Yield Rich renderables from top to bottom: the title, the blocks of columns, the caption."""
        from rich.text import Text

        def told(text: str) -> str:
            return spelled(text, encoding)

        columns = [Column(told(heading), kind) for heading, kind in self.columns]
        rows = [[told(cell) for cell in row] for row in self.rows]
        widths = [_measured(column, [row[k] for row in rows]) for k, column in enumerate(columns)]
        notes = []
        if self.title:
            yield Text(told(self.title), style="table.title", overflow="fold")
        for number, (block, gap) in enumerate(_blocks(widths, width)):
            if number:
                yield Text("")
            cells = [[row[k] for k in block] for row in rows]
            for at, (k, room) in enumerate(block.items()):
                if columns[k].kind == "name":
                    names = shortened([row[k] for row in rows], room, told("…"))
                    for row, name in zip(cells, names, strict=True):
                        row[at] = name
                    notes += [f"{name}: {row[k]}" for name, row in zip(names, rows, strict=True) if "#" in name[-4:]]
            yield _block([columns[k] for k in block], list(block.values()), cells, gap, encoding)
        for line in dict.fromkeys([*told(self.caption).splitlines(), *(n for n in notes if n.count("#"))]):
            yield Text(line, style="table.caption", overflow="fold")


def width() -> int:
    """Return the line width of standard output: ``COLUMNS`` if set, else the terminal's width, or 80 in a pipe."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given) > 0:
        return int(given)
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else PIPE


def fixed(value: float, decimals: int) -> str:
    """Format a number with ``decimals`` decimals, or with an exponent and three digits if it is 10,000 or more.

    >>> fixed(3.14159, 2), fixed(-1e77, 2)
    ('3.14', '-1e+77')
    """
    return f"{value:.{decimals}f}" if abs(value) < 1e4 else f"{value:.3g}"


def shortened(names: Sequence[str], most: int, ellipsis: str = "…") -> list[str]:
    """Cut the middle out of names longer than ``most`` characters, but keep different names different.

    Names that no cut keeps apart are numbered.

    >>> shortened(["adam", "a_rule_of_my_own (beta1=0.9)", "a_rule_of_my_own (beta1=0.5)"], 14)
    ['adam', 'a_rule_…1=0.9)', 'a_rule_…1=0.5)']
    >>> shortened(["a" * 50, "a" * 60], 10)
    ['aaaa…aaa#1', 'aaaa…aaa#2']
    """
    from rich.cells import cell_len

    if all(cell_len(name) <= most for name in names):
        return list(names)

    def cut(tail: int, room: int) -> list[str]:
        head = room - tail
        made = []
        for name in names:
            fits = cell_len(name) <= most
            made.append(name if fits else _begin(name, head) + ellipsis + _begin(name[::-1], tail)[::-1])
        return made

    room = most - len(ellipsis)
    for tail in sorted(range(room + 1), key=lambda tail: abs(2 * tail - room)):
        made = cut(tail, room)
        if len(set(made)) == len(set(names)):
            return made
    room -= 1 + len(str(len(names)))
    distinct = list(dict.fromkeys(name for name in names if cell_len(name) > most))
    return [
        name if name not in distinct else f"{text}#{1 + distinct.index(name)}"
        for name, text in zip(names, cut(room // 2, room), strict=True)
    ]


def _begin(text: str, most: int) -> str:
    """Return as many of a text's first characters as fit."""
    from rich.cells import cell_len

    taken = 0
    for k, letter in enumerate(text):
        taken += cell_len(letter)
        if taken > most:
            return text[:k]
    return text


def _measured(column: Column, cells: Sequence[str]) -> _Widths:
    from rich.cells import cell_len

    def longest(texts: Sequence[str]) -> int:
        return max(map(cell_len, texts), default=0)

    heading, words = longest(column.heading.split("\n")), longest(column.heading.split())
    body, broken = longest(cells), longest([word for cell in cells for word in cell.split()])
    natural = max(heading, body)
    kept = {"number": body, "name": body, "words": min(broken, 2 * PATH), "path": min(body, PATH)}[column.kind]
    least = max(min(words, HEADING), kept)
    return _Widths(natural, least, min(least, NAME) if column.kind == "name" else least)


def _blocks(widths: Sequence[_Widths], width: int) -> list[tuple[dict[int, int], int]]:
    """Split the columns into blocks: the width of each column, and the gap between columns."""
    everything = range(len(widths))
    for gap in (2, 1):
        if _total([w.natural for w in widths], gap) <= width:
            return [({k: widths[k].natural for k in everything}, gap)]
    if _total([w.broken for w in widths], 1) <= width:
        return [(_filled(widths, everything, [w.broken for w in widths], width), 1)]
    least = [min(w.least, max(4, width // 4)) if w.least < w.broken else w.least for w in widths]
    groups: list[list[int]] = [[0]]
    for k in everything[1:]:
        if len(groups[-1]) > 1 and _total([least[j] for j in (*groups[-1], k)], 1) > width:
            groups.append([0])
        groups[-1].append(k)
    blocks = [_filled(widths, group, [least[k] for k in group], width) for group in groups]
    first = min(block[0] for block in blocks)
    return [
        (_filled(widths, [*block], [first, *(least[k] for k in group[1:])], width, 1), 1)
        for block, group in zip(blocks, groups, strict=True)
    ]


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _filled(
    widths: Sequence[_Widths], group: Sequence[int], given: Sequence[int], width: int, fixed: int = 0
) -> dict[int, int]:
    """Return the widths of a group's columns; columns that need spare room get it, from left to right."""
    block = dict(zip(group, given, strict=True))
    left = width - _total(list(given), 1)
    for k in list(group)[fixed:]:
        more = min(max(left, 0), widths[k].natural - block[k])
        block[k] += more
        left -= more
    return block


def _block(
    columns: Sequence[Column], widths: Sequence[int], rows: Sequence[Sequence[str]], gap: int, encoding: str | None
) -> Any:
    from rich import box, table
    from rich.text import Text

    line = spelled("─", encoding)
    ruled = box.Box(f"    \n    \n {2 * line} \n    \n    \n    \n    \n    \n", ascii=True)
    made = table.Table(box=ruled, padding=(0, gap - 1, 0, 0), pad_edge=False, show_edge=False)
    headings = [_broken(column.heading, w, spelled("…", encoding)) for column, w in zip(columns, widths, strict=True)]
    height = max(map(len, headings))
    for column, w, lines in zip(columns, widths, headings, strict=True):
        heading = "\n".join([*[""] * (height - len(lines)), *lines])
        made.add_column(Text(heading), justify="right" if column.kind == "number" else "left", width=w)
    for row in rows:
        made.add_row(
            *(
                Text(cell, no_wrap=column.kind in ("number", "name"), overflow="fold")
                for cell, column in zip(row, columns, strict=True)
            )
        )
    return made


def _broken(heading: str, width: int, ellipsis: str) -> list[str]:
    """Wrap a heading into lines of at most ``width`` characters."""
    from rich.cells import cell_len

    lines = []
    for line in heading.split("\n"):
        made = ""
        for word in shortened(line.split(), width, ellipsis):
            if made and cell_len(made) + 1 + cell_len(word) > width:
                lines.append(made)
                made = word
            else:
                made = f"{made} {word}" if made else word
        lines.append(made)
    return lines


def _width_of(part: Any) -> int:
    """Return the number of characters that a block needs, regardless of the console's width."""
    from rich.table import Table as Drawn

    if not isinstance(part, Drawn):
        return 0
    gap = 1 + part.padding[1]
    return _total([column.width or 0 for column in part.columns], gap)
