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
    A folder of several problems gets their joint page and the report of each.

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
    from ..common.files import check_folder_name
    from ..report import write_report
    from ..report.joint import write_joint_report
    from ..study.compare import read_comparison
    from ..study.joint import joint, read_joint

    names = [problem.name for problem in read_joint(folder).problems]
    for name in names:
        check_folder_name(name)  # pages are written nowhere else
    found = {name: read_comparison(folder / name) for name in names}
    for name in found:
        echo(f"Written to {write_report(folder / name)}")
    echo(f"Written to {write_joint_report(joint(found), found, folder)}")
