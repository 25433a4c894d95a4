"""Options and output that several commands share."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from ..common.errors import InputError
from ..common.spelling import spelled
from ..common.tables import Table, width
from ..rules import Rule
from ..rules.own import own_rule

if TYPE_CHECKING:
    from ..study import Contender, Problem

Plan = TypeVar("Plan", bound=Any)


class Chosen(NamedTuple):
    """An optimizer named on a command line; ``rule`` is a function of the user's own, else None."""

    name: str
    convention: str
    rule: Rule | None = None


def chosen(text: str, convention: str | None = None) -> Chosen:
    """Read ``adam``, ``adam:torch`` or ``FILE.py:NAME``; the file is the user's own and is run.

    Raises
    ------
    InputError: there is no such file, it does not run, or it has no such function.

    >>> chosen("adam:torch").convention, chosen("adam", "keras").convention, chosen("adam").convention
    ('torch', 'keras', 'textbook')
    """
    path, colon, name = text.strip().rpartition(":")
    if not path.endswith(".py") and not text.strip().endswith(".py"):
        return Chosen(path, name) if colon else Chosen(name, convention or "textbook")
    name, rule = own_rule(text)
    return Chosen(name, "textbook", rule)


def contender(text: str, convention: str | None = None) -> Contender:
    """Read an optimizer, such as ``adam:torch(beta2=0.99)``, as a contender of a comparison or a search."""
    from ..study import Contender

    return Contender.parse(text, convention or "textbook")


def numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Read an option's numbers, separated by commas; a callback of click."""
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers separated by commas, got {value!r}") from None


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read whole numbers separated by commas; an empty text gives no number.

    >>> whole_numbers("--hidden", "64,32")
    (64, 32)
    """
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise InputError(f"{option} takes whole numbers separated by commas, got {text!r}") from None


def replaced(plan: Plan, **given: Any) -> Plan:
    """Return ``plan`` with the fields that are given; None means that a field is not.

    Raises
    ------
    InputError: a field refuses its value; the message begins with the option of the field's name.

    >>> from optimlab.study import Problem
    >>> replaced(Problem(), epochs=None, batch_size=0)
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: --batch-size must be a whole number of at least 1, got 0
    """
    for name, value in given.items():
        try:
            plan = plan if value is None else replace(plan, **{name: value})
        except InputError as error:
            option, said = f"--{name.replace('_', '-')}", str(error)
            told = said.removeprefix(name) if said.startswith(f"{name} ") else f": {said}"
            raise InputError(f"{option}{told}") from None
    return plan


TABLE = ("target_column", "missing", "task", "leave_out")
"""The options that :func:`table_options` adds: fields of a problem."""


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a table is read."""
    for option in (
        click.option(
            "--leave-out",
            metavar="COLUMNS",
            callback=texts,
            help="Columns of a table that are not inputs, separated by commas; one with a comma in double quotes.",
        ),
        click.option(
            "--task",
            metavar="NAME",
            help="classification, binary or regression.  [default: decided by the target column]",
        ),
        click.option(
            "--missing",
            metavar="HOW",
            help="Missing values of a table: refuse, drop (the rows), or mean (of the training rows).  "
            "[default: refuse]",
        ),
        click.option("--target-column", metavar="COLUMN", help="Column of a table to predict (.csv, .parquet)."),
    ):
        command = option(command)
    return command


def texts(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Read an option's texts, separated by commas, a text with a comma in double quotes; a callback of click."""
    if value is None:
        return None
    try:
        parts = next(csv.reader([value], skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise click.BadParameter(f"a double quote is not closed, or text follows one: {value!r}") from None
    return tuple(part.strip() for part in parts if part.strip())


def say_decided(problem: Problem) -> None:
    """Say what was decided about the user's own data."""
    from ..study.usual_target import decided

    for sentence in decided(problem):
        say(f"{problem.name}: {sentence}")


def echo(text: str, *, err: bool = False) -> None:
    """Print a text unchanged to standard output or standard error.

    ``click.echo`` would write UTF-8 even where the output is declared ASCII.
    """
    with _whoever_reads():
        print(text, file=sys.stderr if err else sys.stdout, flush=True)


@contextmanager
def _whoever_reads() -> Iterator[None]:
    """Go on silently if the reader of standard output, such as ``head``, has gone: files are still to be written."""
    try:
        yield
    except BrokenPipeError:
        gone = os.open(os.devnull, os.O_WRONLY)
        os.dup2(gone, sys.stdout.fileno())
        os.close(gone)


def say(text: str) -> None:
    """Print sentences, wrapped to the width of standard output."""
    screen = _screen()
    with _whoever_reads():
        screen.print(spelled(text, screen.encoding), highlight=False, markup=False)


def show(table: Table) -> None:
    """Print a table that fits the width of standard output."""
    with _whoever_reads():
        _screen().print(table, crop=False)


def _screen() -> Any:
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            """Do nothing, where Rich would end the program."""
            raise BrokenPipeError

    return Screen(width=width())


def folder(out: Path) -> Path:
    """Make the output folder unless it is there, and return it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the output folder {out}: {error.strerror}") from None
    return out


def save_figure(figure: Any, path: Path) -> list[str]:
    """Write a Matplotlib figure as PNG and SVG, and return the names of the files."""
    # laid out once: with an engine, Matplotlib would draw everything again for each file
    figure.set_dpi(DPI)
    if (engine := figure.get_layout_engine()) is not None:
        with _missing_letters():
            engine.execute(figure)
        figure.set_layout_engine(None)
    written = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    for file in written:
        draw(figure, file)
    return [file.name for file in written]


DPI = 150
"""Dots per inch of a PNG."""


def draw(figure: Any, file: Path) -> None:
    """Write a Matplotlib figure in the format that the file's name ends in.

    Raises
    ------
    InputError: another ending than .png, .svg or .pdf, or the file cannot be written.
    """
    import io

    from ..common.files import write_atomically

    kind = file.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise InputError(f"a figure is a file .png, .svg or .pdf, got {file}")
    content = io.BytesIO()
    options: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}  # half the time of 6
    with _missing_letters():
        figure.savefig(content, format=kind, dpi=DPI, **options)
    write_atomically(file, content.getvalue())


@contextmanager
def _missing_letters() -> Iterator[None]:
    """Let letters that the font lacks be drawn as empty boxes; the page and the table show the name in full."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield
