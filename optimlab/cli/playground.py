"""optimlab playground."""

from __future__ import annotations

from pathlib import Path

import click

from .options import echo, folder


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("optimlab-playground"),
    show_default=True,
    help="Output folder.",
)
def playground(out: Path) -> None:
    """Write a page in which a small network trains before your eyes.

    \b
    The page needs no network. It has every rule with its hyperparameters, two
    networks side by side, and scenes to teach with. Its address holds all of it.

    \b
    Examples:
      optimlab playground
      optimlab playground --out lesson
    """
    from ..playground.write import write_network_page

    path = folder(out) / "network.html"
    write_network_page(path)
    echo(f"Written {path}: open it in a browser")
