"""optimlab report."""

from __future__ import annotations

from pathlib import Path

import click

from .options import echo


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Make report.html again from the comparison in FOLDER; nothing is run.

    \b
    Example:
      optimlab report optimlab-compare
    """
    from ..report import write_report

    echo(f"Written to {write_report(folder)}")
