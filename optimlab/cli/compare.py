"""optimlab compare."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..errors import InputError
from .options import numbers


@click.command()
@click.option(
    "--optimizers",
    metavar="NAMES",
    help="Which to compare, separated by commas.  [default: the nine classic rules]",
)
@click.option(
    "--rates",
    metavar="NUMBERS",
    callback=numbers,
    help="The learning-rate grid.  [default: 0.001 to 10, two a decade]",
)
@click.option("--epochs", type=int, default=20, show_default=True, help="Epochs of each run.")
@click.option(
    "--seeds", type=int, default=10, show_default=True, help="Fresh seeds the chosen rates are confirmed with."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("optimlab-compare"), show_default=True, help="Output folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead of a table.")
def compare(
    optimizers: str | None, rates: tuple[float, ...] | None, epochs: int, seeds: int, out: Path, as_json: bool
) -> None:
    """Compare optimizers on handwritten digits, each at its own best learning rate.

    \b
    Tunes every optimizer on the same grid of learning rates (3 seeds, chosen by
    validation accuracy), then measures the choice with fresh seeds. Leaves in the
    output folder: runs.jsonl (every run; finished runs are never run again),
    summary.json, and the figures loss, accuracy and sensitivity (PNG and SVG).

    \b
    Example:
      optimlab compare --optimizers sgd,momentum,adam --epochs 10
    """
    from ..study import Study
    from ..study import compare as run_study

    if epochs < 1:
        raise InputError(f"--epochs must be at least 1, got {epochs}")
    if seeds < 2:
        raise InputError(f"--seeds must be at least 2 for an interval, got {seeds}")
    study = Study(confirmation_seeds=tuple(range(100, 100 + seeds))).with_epochs(epochs)
    if optimizers is not None:
        study = replace(study, optimizers=tuple(name.strip() for name in optimizers.split(",") if name.strip()))
    if rates is not None:
        study = replace(study, rates=rates)
    start = time.perf_counter()
    try:
        comparison = run_study(study, out)
    except KeyboardInterrupt:
        click.echo(f"\noptimlab: interrupted; finished runs are kept in {out}, the same command goes on", err=True)
        sys.exit(130)
    figures = _save_figures(comparison, out)
    if as_json:
        click.echo(json.dumps({"optimizers": comparison.rows}, indent=2))
        return
    _print(comparison, out, figures, time.perf_counter() - start)


def _save_figures(comparison: Any, folder: Path) -> list[str]:
    import io

    from .. import plotting
    from ..files import write_atomically

    written = []
    for name in ("loss", "accuracy", "sensitivity"):
        figure = getattr(plotting, f"{name}_figure")(comparison)
        for kind in ("png", "svg"):
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=150)
            write_atomically(folder / f"{name}.{kind}", content.getvalue())
            written.append(f"{name}.{kind}")
    return written


def _print(comparison: Any, folder: Path, figures: list[str], seconds: float) -> None:
    from rich.console import Console

    from ..study.table import table, verdict

    # piped output has no width of its own: leave room for the table
    console = Console() if sys.stdout.isatty() else Console(width=100)
    console.print(table(comparison))
    console.print(verdict(comparison), highlight=False)
    for row in comparison.rows:
        for error in row["errors"]:
            console.print(f"{row['optimizer']}: a run failed: {error}", highlight=False, markup=False)
    console.print(
        f"\nWritten to {folder}: runs.jsonl, summary.json, {', '.join(figures)} ({seconds:.0f} s)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
