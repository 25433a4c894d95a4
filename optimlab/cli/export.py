"""optimlab export."""

from __future__ import annotations

from pathlib import Path

import click

from .options import echo


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, metavar="FILE", type=click.Path(path_type=Path), help="A .csv, .parquet or .tex file."
)
@click.option("--curves", is_flag=True, help="One row per run and epoch, instead of one per run.")
def export(folder: Path, to: Path, curves: bool) -> None:
    """Write the runs of a comparison as one flat table, or its result in LaTeX.

    \b
    FOLDER is the folder of the comparison. CSV and Parquet hold every finished
    run; you can write them while the comparison still runs. A folder of several
    problems gives one table with a column "problem". LaTeX holds the comparison's
    table and needs the package booktabs.

    \b
    Examples:
      optimlab export optimlab-compare --to runs.csv
      optimlab export optimlab-compare --to curves.parquet --curves
      optimlab export optimlab-compare --to table.tex
    """
    from ..study.export import export as export_runs

    rows = export_runs(folder, to, curves=curves)
    echo(f"Written: {to} ({len(rows)} rows)")
