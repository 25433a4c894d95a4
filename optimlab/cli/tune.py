"""optimlab tune."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..common.errors import InputError
from ..common.files import json_text
from .options import (
    TABLE,
    contender,
    echo,
    replaced,
    save_figure,
    say,
    show,
    table_options,
    whole_numbers,
)


@click.command()
@click.option(
    "--dataset",
    default="digits",
    show_default=True,
    metavar="NAME",
    help="digits, mnist, fashion_mnist, cifar10, sklearn:wine (iris, breast_cancer, diabetes, digits), or a file: "
    ".csv, .parquet, .npz.",
)
@table_options
@click.option(
    "--optimizer",
    default="adam",
    show_default=True,
    help="The optimizer; adam:torch is PyTorch's Adam, FILE.py:NAME a rule of your own.",
)
@click.option(
    "--convention",
    default="textbook",
    show_default=True,
    help="For an optimizer without one: textbook, torch or keras.",
)
@click.option(
    "--hidden", metavar="SIZES", help="Hidden layers, separated by commas.  [default: 64; mnist: 800; cifar10: 100,100]"
)
@click.option("--batch-size", type=int, help="Rows per batch, instead of a search: the same as --set batch_size=N.")
@click.option("--activation", default="relu", show_default=True, help="Activation of the hidden layers.")
@click.option("--initializer", default="he_normal", show_default=True, help="Initializer of the weights.")
@click.option("--bias-initializer", default="zeros", show_default=True, help="Initializer of the biases.")
@click.option(
    "--search",
    "searched",
    multiple=True,
    metavar="NAME=SPACE",
    help="A hyperparameter and its range; may be repeated. NAME is lr or any hyperparameter of the rule, batch_size, "
    "factor or patience (of a plateau that cuts the rate). SPACE is LOW:HIGH, LOW:HIGH:log, LOW:HIGH:complement "
    "(log of the distance from 1), LOW:HIGH:pow2 (powers of two), auto (the usual range of such a hyperparameter), or "
    "values separated by commas.  [default: lr=1e-4:1:log batch_size=32:256:pow2 factor=0.1:0.5 "
    "patience=2,5,10]",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=NUMBER", help="Fix one instead; may be repeated.")
@click.option("--trials", type=int, default=20, show_default=True, help="Number of trials.")
@click.option("--sampler", default="qmc", show_default=True, help="qmc, tpe or gp (which needs PyTorch).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampler.")
@click.option(
    "--seeds",
    default="0",
    show_default=True,
    metavar="NUMBERS",
    help="Seeds of the weights and of the order of the data; a trial trains with each, and its score is the mean.",
)
@click.option("--objective", default="val_score", show_default=True, help="val_score (accuracy or R2) or val_loss.")
@click.option("--epochs", type=int, default=100, show_default=True, help="Maximum number of epochs of a trial.")
@click.option(
    "--early-patience",
    type=int,
    default=10,
    show_default=True,
    help="Epochs without improvement that end a trial; with a plateau, twice the plateau's patience.",
)
@click.option(
    "--early-min-delta", type=float, default=1e-5, show_default=True, help="Smallest improvement for early stopping."
)
@click.option("--min-delta", type=float, default=1e-4, show_default=True, help="Smallest improvement for the plateau.")
@click.option("--min-lr", type=float, default=1e-5, show_default=True, help="Lowest rate that the plateau sets.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("optimlab-tune"), show_default=True, help="Output folder."
)
@click.option("--label", default="", metavar="NAME", help="Name of the search in its tables and figures.")
@click.option("--dry-run", is_flag=True, help="Say what would be searched, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead of tables.")
def tune(
    searched: tuple[str, ...],
    settings: tuple[str, ...],
    hidden: str | None,
    batch_size: int | None,
    seeds: str,
    out: Path,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Search for an optimizer's hyperparameters on one data set.

    \b
    Each trial trains one network until early stopping ends it, and is scored on
    the validation data. The best is then measured on the test data, and once
    more after training on training and validation data together. The output
    folder then holds journal.log (Optuna's), trials.jsonl, summary.json, best.npz
    and retrained.npz (the networks), and the figures trials and slices (PNG and
    SVG). If you stop the search, the same command continues it.

    \b
    Examples:
      optimlab tune --optimizer adam --search lr=1e-4:0.1:log --search beta1=0.8:0.99
      optimlab tune --dataset mine.csv --target-column species --out mine
      optimlab tune --set lr=0.002 --search factor=0.1:0.5 --search patience=2,5,10
    """
    from ..study.problem import usual_problem
    from ..study.usual_target import with_usual_batch
    from ..tuning import Search, tune
    from ..tuning.sampler import require
    from ..tuning.storage import check_folder

    dataset, convention = options.pop("dataset"), options.pop("convention")
    problem = with_usual_batch(replaced(usual_problem(dataset), **{name: options.pop(name) for name in TABLE}))
    named = ("activation", "initializer", "bias_initializer", "epochs")
    problem = replace(problem, **{name: options.pop(name) for name in named})
    if hidden is not None:
        problem = replaced(problem, hidden=whole_numbers("--hidden", hidden))
    fixed = {k: _number(k, v) for k, v in _by_name("--set", settings, "such as lr=0.01").items()}
    if batch_size is not None:
        if "batch_size" in fixed:
            raise InputError("give --batch-size or --set batch_size, not both")
        fixed["batch_size"] = replaced(problem, batch_size=batch_size).batch_size
    search = Search(
        problem=problem,
        optimizer=contender(options.pop("optimizer"), convention),
        convention=convention,
        spaces=_by_name("--search", searched, "such as lr=1e-4:1:log") or None,
        fixed=fixed,
        seeds=whole_numbers("--seeds", seeds),
        **options,
    )
    require(search)
    if not as_json:
        for note in search.problem.notes():
            say(f"{search.problem.name}: {note}")
    if dry_run:
        check_folder(out, search)
        _print_plan(search, out, as_json)
        return
    start = time.perf_counter()
    try:
        tuned = tune(search, out)
    except KeyboardInterrupt:
        echo(f"\noptimlab: interrupted; finished trials are kept in {out}; run the same command to continue", err=True)
        sys.exit(130)
    if as_json:
        echo((out / "summary.json").read_text().rstrip())
    else:
        _print(tuned)
    # the numbers are printed first, so that a failing figure cannot lose them
    figures = _save_figures(tuned, out)
    if not as_json:
        files = ["journal.log", "trials.jsonl", "summary.json", "best.npz", "retrained.npz", *figures]
        echo(f"\nWritten to {out}: {', '.join(files)} ({time.perf_counter() - start:.0f} s)")


def _by_name(option: str, texts: tuple[str, ...], example: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{option} takes NAME=VALUE, {example}; got {text!r}")
        if name.strip() in named:
            raise InputError(f"{option} names {name.strip()} twice")
        named[name.strip()] = value
    return named


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--set takes NAME=NUMBER, got {name}={text}") from None


def _save_figures(tuned: Any, folder: Path) -> list[str]:
    from ..plotting.tuning import slices_figure, trials_figure

    return save_figure(trials_figure(tuned), folder / "trials") + save_figure(slices_figure(tuned), folder / "slices")


def _print_plan(search: Any, folder: Path, as_json: bool) -> None:
    from ..tuning.table import first_trials, plan_table

    if as_json:
        echo(json_text({**search.config(), "trials": search.trials, "first": first_trials(search)}))
        return
    show(plan_table(search))
    echo(f"{search.trials} trials ({search.sampler}, seed {search.seed}) would be kept in {folder}; nothing was run.")


def _print(tuned: Any) -> None:
    from ..tuning.table import measures_table, results_table

    show(results_table(tuned))
    show(measures_table(tuned.summary))
    for sentence in tuned.summary["verdict"]:
        say(sentence)
