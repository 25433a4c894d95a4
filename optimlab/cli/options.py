"""What several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click


def numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """A callback for options that take numbers separated by commas."""
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers separated by commas, got {value!r}") from None


def console() -> Any:
    """The terminal; piped output has no width of its own, it leaves room for the tables."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=100)


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
