"""Write a finished comparison's material for a paper into a folder; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..common.errors import InputError
from ..common.files import check_writable, write_atomically
from ..study.compare import read_comparison
from ..study.folder import JOINT
from ..study.joint import present_joint
from ..study.latex import escaped, joint_latex, latex
from ..study.results import Joint
from .figures import ONE_COLUMN, TWO_COLUMNS, figures, joint_figures, pdf
from .methods import cited, methods
from .references import bibliography

FOLDER = "paper"
WIDEST_COLUMN = 4.5
"""Inches; a wider figure spans the page."""
DOCUMENT = """\
% Everything at once, to look at: compile it with pdflatex and bibtex. In your paper, take what you need.
\\documentclass[twocolumn]{article}
\\usepackage[utf8]{inputenc}
\\usepackage[letterpaper,textwidth=6.75in,textheight=9in,columnsep=0.25in]{geometry}
\\usepackage{booktabs,graphicx}
\\begin{document}
\\section*{Methods}
\\input{methods}
\\input{table}
\\input{figures}
\\bibliographystyle{plain}
\\bibliography{references}
\\end{document}
"""


def write_paper(
    folder: str | Path, to: str | Path | None = None, *, widths: Sequence[float] = (ONE_COLUMN, TWO_COLUMNS)
) -> list[Path]:
    """Write table, figures, methods paragraph and references of the comparison in ``folder``; return the files.

    Parameters
    ----------
    folder: the folder of a finished comparison, on one problem or on several.
    to: the folder for the files; ``folder/paper`` if it is not given.
    widths: the widths of the figures in inches: one column of a page with two, and the whole page.

    Raises
    ------
    InputError: the folder holds no finished comparison, there is no width or one that is not of a page, or a file
        cannot be written.
    """
    folder = Path(folder)
    to = folder / FOLDER if to is None else Path(to)
    if not widths:
        raise InputError("give at least one width for the figures, in inches")
    joint: Joint | None = None
    if (folder / JOINT).exists():
        joint, summaries = present_joint(folder)
        drawn = joint_figures(joint)
    else:
        comparison = read_comparison(folder)
        summaries, drawn = {"": comparison.summary}, figures(comparison)
    names = [name for name in summaries if name]
    one = next(iter(summaries.values()))
    texts = {
        "table.tex": latex(one) if joint is None else joint_latex(joint),
        "figures.tex": "\n".join(_float(name, caption, widths[0]) for name, (_, caption) in drawn.items()),
        "methods.tex": methods(summaries, joint, latex=True),
        "methods.txt": methods(summaries, joint),
        "references.bib": bibliography(cited(summaries, joint), one.versions.get("optimlab", "")),
        "paper.tex": DOCUMENT,
    }
    files = {f"{name}-{width:g}in.pdf": (draw, width) for name, (draw, _) in drawn.items() for width in widths}
    check_writable(to, *texts, *files)
    made: dict[str, str | bytes] = {**texts, **{name: pdf(draw, width) for name, (draw, width) in files.items()}}
    to.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        write_atomically(to / name, content)
    return [
        *(to / name for name in made),
        *(path for name in names for path in write_paper(folder / name, to / name, widths=widths)),
    ]


def _float(name: str, caption: str, width: float) -> str:
    """Return a figure's LaTeX environment; a figure wider than a column spans both."""
    kind = "figure" if width <= WIDEST_COLUMN else "figure*"
    return (
        f"\\begin{{{kind}}}\n\\centering\n\\includegraphics{{{name}-{width:g}in.pdf}}\n"
        f"\\caption{{{escaped(caption)}}}\n\\label{{fig:{name}}}\n\\end{{{kind}}}\n"
    )
