"""optimlab report."""

from __future__ import annotations

from pathlib import Path

import click

from .options import echo, save_figure


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Make report.html again from the comparison in FOLDER; nothing is run.

    \b
    A folder of several problems gets the report of each. Their joint answer, with
    its page and profile, is computed again from their present results.

    \b
    Example:
      optimlab report optimlab-compare
    """
    from ..report import write_report
    from ..study.folder import JOINT

    if (folder / JOINT).exists():
        _several(folder)
    else:
        echo(f"Written to {write_report(folder)}")


def _several(folder: Path) -> None:
    from ..plotting import profile_figure
    from ..report import write_report
    from ..report.joint import write_joint_report
    from ..study.compare import read_comparison
    from ..study.joint import joint, problem_names, write_joint

    found = {name: read_comparison(folder / name) for name in problem_names(folder)}
    answer = joint(found)
    for name in found:
        echo(f"Written to {write_report(folder / name)}")
    write_joint(answer, folder)  # a problem may have grown on its own since
    if answer.profile:
        save_figure(profile_figure(answer), folder / "profile")
    echo(f"Written to {write_joint_report(answer, found, folder)}")
