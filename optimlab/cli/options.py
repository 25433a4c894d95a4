"""What several commands share."""

from __future__ import annotations

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
