"""What several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..spelling import spelled
from ..tables import Table, width


def numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """A callback for options that take numbers separated by commas."""
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers separated by commas, got {value!r}") from None


def echo(text: str, *, err: bool = False) -> None:
    """Print a text as it is, to standard output or standard error.

    ``click.echo`` would write UTF-8 to an output that is said to be ASCII.
    """
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def say(text: str) -> None:
    """Print sentences, broken at spaces to fit the width of standard output."""
    screen = _screen()
    screen.print(spelled(text, screen.encoding), highlight=False, markup=False)


def show(table: Table) -> None:
    """Print a table, to fit the width of standard output."""
    _screen().print(table, crop=False)


def _screen() -> Any:
    from rich.console import Console

    return Console(width=width())


def save_figure(figure: Any, path: Path) -> list[str]:
    """Write a Matplotlib figure as PNG and SVG; the names of the files."""
    import io

    from ..files import write_atomically

    written = []
    for kind in ("png", "svg"):
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=150)
        write_atomically(path.with_name(f"{path.name}.{kind}"), content.getvalue())
        written.append(f"{path.name}.{kind}")
    return written
