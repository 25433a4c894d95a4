"""optimlab race."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from ..common.calls import split
from ..common.errors import InputError
from ..common.files import json_text
from .options import contender, echo, folder, numbers, save_figure, say, show


@click.command()
@click.option(
    "--function",
    default="rosenbrock",
    show_default=True,
    metavar="NAME",
    help="quadratic, rosenbrock, beale, himmelblau, rastrigin, styblinski-tang, saddle or noisy-valley.",
)
@click.option(
    "--optimizers",
    metavar="NAMES",
    help="Optimizers, separated by commas; adam:torch is PyTorch's Adam, FILE.py:NAME a rule of your own. "
    "Hyperparameters and a schedule go in brackets.  [default: the nine classic rules]",
)
@click.option(
    "--convention", default="textbook", show_default=True, help="For optimizers without one: textbook, torch or keras."
)
@click.option("--steps", type=int, default=200, show_default=True, help="Updates of each run.")
@click.option("--start", metavar="X,Y", callback=numbers, help="Starting point.  [default: the function's own]")
@click.option(
    "--lr",
    "rates",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Fix a learning rate, untuned; may be repeated.",
)
@click.option(
    "--tolerance",
    type=float,
    default=1e-3,
    show_default=True,
    help="Share of the starting height above the minimum that counts as arrived.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise and of the trials' starts.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("optimlab-race"), show_default=True, help="Output folder."
)
@click.option(
    "--gif/--no-gif", default=True, show_default=True, help="Write an animation, also as MP4 if ffmpeg is installed."
)
@click.option(
    "--playground",
    is_flag=True,
    help="Instead of a race, write a page to try rules in a browser; --optimizers FILE.py:NAME adds yours.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def race(
    function: str,
    optimizers: str | None,
    convention: str,
    steps: int,
    start: tuple[float, ...] | None,
    rates: tuple[str, ...],
    tolerance: float,
    seed: int,
    out: Path,
    gif: bool,
    playground: bool,
    as_json: bool,
) -> None:
    """Race optimizers on a function of two variables, each at its best learning rate.

    \b
    All start at one point, and each tries the same 29 rates. The output folder
    then holds, under the function's name, the figure (PNG and SVG), the race as
    an animation (GIF, and MP4 if ffmpeg is installed), and every number (JSON).

    \b
    Examples:
      optimlab race --function beale
      optimlab race --function saddle --optimizers sgd,momentum,adam --no-gif
      optimlab race --optimizers "sgd, sgd(schedule=cosine, warmup=0.1)"
      optimlab race --lr adam=0.1 --start 0,2 --steps 500
      optimlab race --playground
    """
    named = None if optimizers is None else split(optimizers)
    if playground:
        _write_playground(out, [contender(one) for one in named or () if ".py" in one])
        return
    from ..optim.optimizers import CLASSIC
    from ..race.run import race as run_race

    names = CLASSIC if named is None else [contender(one) if ".py" in one else one for one in named]
    given = dict(_rate(text) for text in rates)
    begun = time.perf_counter()
    outcome = run_race(
        function, names, convention=convention, steps=steps, start=start, lr=given, tolerance=tolerance, seed=seed
    )
    written = _write(outcome, out, gif)
    if as_json:
        echo(json_text(outcome.summary()))
        return
    _print(outcome, out, written, time.perf_counter() - begun)


def _rate(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise InputError(f"--lr takes NAME=NUMBER, such as adam=0.1; got {text!r}") from None


def _write_playground(out: Path, own: list[Any]) -> None:
    from ..race.playground import write_playground

    path = folder(out) / "playground.html"
    write_playground(path, own)
    echo(f"Written {path}: open it in a browser")


def _write(outcome: Any, out: Path, gif: bool) -> list[str]:
    """Write everything into the folder, and return the names of the files."""
    from ..common.files import write_atomically
    from ..common.progress import progress_bar
    from ..plotting.animation import frames, shown_steps, write_gif, write_mp4
    from ..plotting.race import race_figure

    name, written = outcome.landscape.name, []
    pictures = len(shown_steps(outcome)) if gif else 0
    folder(out)

    write_atomically(out / f"{name}.json", json.dumps(outcome.record(), allow_nan=False) + "\n")
    written.append(f"{name}.json")
    with progress_bar("drawing", 2 + pictures) as advance:
        for file in save_figure(race_figure(outcome), out / name):
            written.append(file)
            advance(file)
        if gif:
            film = frames(outcome, advance)
            write_gif(film, out / f"{name}.gif")
            written.append(f"{name}.gif")
            try:
                if write_mp4(film, out / f"{name}.mp4"):
                    written.append(f"{name}.mp4")
            except InputError as error:  # the GIF shows the same
                echo(f"optimlab: {error}", err=True)
    return written


def _print(outcome: Any, out: Path, written: list[str], seconds: float) -> None:
    from ..race.table import table
    from ..race.words import sentence

    show(table(outcome))
    say(sentence(outcome) + ".")
    echo(f"\nWritten to {out}: {', '.join(written)} ({seconds:.0f} s)")
