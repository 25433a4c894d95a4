"""optimlab paper."""

from __future__ import annotations

from pathlib import Path

import click

from .options import echo, numbers


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Output folder.  [default: FOLDER/paper]")
@click.option(
    "--widths",
    metavar="INCHES",
    default="3.25,6.75",
    show_default=True,
    callback=numbers,
    help="Widths of the figures, separated by commas: one column, two columns.",
)
def paper(folder: Path, out: Path | None, widths: tuple[float, ...]) -> None:
    """Write the table, figures and text of a comparison for a paper; nothing is run.

    \b
    FOLDER is the folder of the comparison. You get the table in LaTeX (table.tex),
    the methods paragraph (methods.tex and methods.txt), the figures (PDF, in
    letters of 8 points, and figures.tex with their captions), the works cited
    (references.bib), and paper.tex, which shows everything. A folder of several
    problems gives the joint answer, and a folder for each problem.

    \b
    Examples:
      optimlab paper optimlab-compare
      optimlab paper optimlab-compare --out ../paper/study --widths 3.5
    """
    from ..paper import write_paper

    files = write_paper(folder, out, widths=widths)
    top = files[0].parent
    own = [path.name for path in files if path.parent == top]
    problems = dict.fromkeys(path.parent.name for path in files if path.parent != top)
    echo(f"Written to {top}: {', '.join([*own, *(f'{name}/' for name in problems)])}")
