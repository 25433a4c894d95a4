"""optimlab compare."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..common.errors import InputError, concise
from ..common.files import json_text
from .options import (
    TABLE,
    contender,
    echo,
    numbers,
    replaced,
    save_figure,
    say,
    say_decided,
    show,
    table_options,
    whole_numbers,
)

if TYPE_CHECKING:
    from ..study import Comparison, Contender, Study
    from ..study.results import Joint


@click.command()
@click.option("--study", "file", type=click.Path(path_type=Path), help="A study file (TOML); options override it.")
@click.option(
    "--dataset",
    metavar="NAME",
    help="digits, mnist, fashion_mnist, cifar10, sklearn:wine (iris, breast_cancer, diabetes, digits), or a file: "
    ".csv, .parquet, .npz.  [default: digits]",
)
@table_options
@click.option(
    "--target",
    type=float,
    help="Validation accuracy (R2 of a regression) to reach; speed is the epochs until then.  [default: the problem's; "
    "for your own data, nine tenths of what a linear model gains over the most frequent class]",
)
@click.option(
    "--optimizers",
    metavar="NAMES",
    help="Optimizers, separated by commas; adam:torch is PyTorch's Adam, FILE.py:NAME a rule of your own. "
    "Hyperparameters and a schedule go in brackets.  [default: the nine classic rules]",
)
@click.option(
    "--convention",
    metavar="NAME",
    help="For optimizers without one: textbook, torch or keras.  [default: textbook]",
)
@click.option("--rule", "rules", multiple=True, metavar="FILE.py:NAME", help="Add your own rule; may be repeated.")
@click.option(
    "--rates",
    metavar="NUMBERS",
    callback=numbers,
    help="Learning rates to try.  [default: 0.001 to 10, two per decade]",
)
@click.option("--epochs", type=int, help="Epochs of each run.  [default: 20]")
@click.option("--batch-size", type=int, help="Rows per batch.  [default: the problem's]")
@click.option(
    "--hidden", metavar="SIZES", help='Hidden layers, separated by commas; "" for none.  [default: the problem\'s]'
)
@click.option(
    "--replicates",
    type=int,
    help="Replicates of the whole procedure, each with its own split.  [default: 10; full: 30]",
)
@click.option("--seed", type=int, help="Another seed is a new study; it shows what replicates.  [default: 0]")
@click.option(
    "--full",
    is_flag=True,
    help="All rows and epochs, 30 replicates, rates from 0.00001 to 100, and a random search of all hyperparameters.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("optimlab-compare"), show_default=True, help="Output folder."
)
@click.option("--label", metavar="NAME", help="Name of the comparison in its tables, figures and report.")
@click.option("--resume/--no-resume", default=True, show_default=True, help="Reuse the runs in the output folder.")
@click.option(
    "--backend",
    metavar="NAME",
    help="Engine: compiled, numpy, or cupy, which trains all runs at once on a GPU.  [default: compiled if installed]",
)
@click.option("--jobs", type=int, help="Processes that run at once.  [default: all cores, if that is faster]")
@click.option("--dask", metavar="ADDRESS", help="Run on a dask.distributed cluster.")
@click.option("--dry-run", is_flag=True, help="Say what would run and about how long it would take.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table; infinity is null.")
def compare(
    file: Path | None,
    out: Path,
    resume: bool,
    jobs: int | None,
    dask: str | None,
    dry_run: bool,
    as_json: bool,
    **changes: Any,
) -> None:
    """Compare optimizers on one problem, each at its own best learning rates.

    \b
    The whole procedure is repeated in ten replicates. Each draws its own split of
    the data, its own grid of learning rates and its own seeds, the same for all
    optimizers, and chooses each rate by validation score. The output folder then
    holds report.html, runs.jsonl (finished runs are never run again),
    summary.json, and the figures (PNG and SVG). Large data sets are cut to a few
    thousand rows, and the output says so; --full takes everything.

    \b
    Another --target or --label on a finished folder needs no new run.

    \b
    Exit code: 0 if a run finished, 1 if none did, 2 for invalid input, 130 after
    Ctrl-C.

    \b
    Examples:
      optimlab compare --optimizers sgd,momentum,adam --epochs 10
      optimlab compare --optimizers adam,adam:torch,adam:keras --jobs 2
      optimlab compare --optimizers "adamw(schedule=cosine, weight_decay={0, 0.1}), sgd"
      optimlab compare --dataset mnist --out mnist
      optimlab compare --dataset mine.csv --target-column species --out mine
      optimlab compare --study study.toml --dry-run
    """
    from ..study.execution import processes
    from ..study.results import builtins

    studies = {name: _changed(study, **changes) for name, study in _read(file, **changes).items()}
    folders = {name: out if len(studies) == 1 else out / name for name in studies}
    _check(studies, folders, resume, jobs, dask)
    if dry_run:
        plans = {name: _plan(study, folders[name], jobs) for name, study in studies.items()}
        if as_json:
            echo(json_text(next(iter(plans.values())) if len(plans) == 1 else {"problems": plans}))
            return
        for name, study in studies.items():
            say_decided(study.problem)
            _say_plan(study, plans[name])
        return
    if not as_json:
        for study in studies.values():
            say_decided(study.problem)
    start = time.perf_counter()
    if any(_processes(study, jobs) > 1 for study in studies.values()):
        click.get_current_context().with_resource(processes())  # the figures are made where the runs were
    comparisons: dict[str, Comparison] = {}
    try:
        for name, study in studies.items():
            comparisons[name] = _run(study, folders[name], jobs, dask)
            if not as_json:
                _print(comparisons[name])
    except KeyboardInterrupt:
        echo(f"\noptimlab: interrupted; finished runs are kept in {out}; run the same command to continue", err=True)
        sys.exit(130)
    together = None
    if len(comparisons) > 1:
        from ..study.joint import joint

        together = joint(comparisons)
    if as_json:
        found = {name: builtins(c.summary) for name, c in comparisons.items()}
        one = next(iter(found.values()))
        echo(json_text(one if together is None else {"problems": found, "joint": builtins(together)}))
    elif together is not None:
        _print_joint(together)
    # the numbers are printed first, so that a failing figure or page cannot lose them
    written = {name: _write(c, folders[name], _processes(studies[name], jobs)) for name, c in comparisons.items()}
    if together is not None:
        written[""] = _write_joint(together, comparisons, out)
    if not as_json:
        for name, (files, _) in written.items():
            _say_written(folders.get(name, out), files, time.perf_counter() - start)
    failures = [failure for _, failed in written.values() for failure in failed]
    if failures:
        raise InputError("; ".join(failures))
    empty = [name for name, comparison in comparisons.items() if not comparison.finished]
    if empty:
        where = f" on {', '.join(empty)}" if len(comparisons) > 1 else ""
        echo(f"optimlab: no run finished{where}, so there is nothing to compare", err=True)
        sys.exit(1)


def _check(
    studies: dict[str, Study], folders: dict[str, Path], resume: bool, jobs: int | None, dask: str | None
) -> None:
    """Check everything that the runs will need before the first one starts; nothing is written."""
    from ..study.folder import check_folder
    from ..study.joint import check_joint_folder

    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {jobs}")
    if dask is not None and (jobs or 1) > 1:
        raise InputError("give --jobs or --dask, not both: a cluster brings its own workers")
    for name, folder in folders.items():
        if not resume and (folder / "runs.jsonl").exists():
            raise InputError(f"{folder} already holds runs; name another folder (--out), or leave out --no-resume")
        studies[name].check()
        check_folder(studies[name], folder)
    if len(studies) > 1:
        check_joint_folder(studies, next(iter(folders.values())).parent)


def _read(file: Path | None, **changes: Any) -> dict[str, Study]:
    """Return the studies of the file, or that of the data set, with the settings of the problem that the options give.

    The data set comes first: what neither the file nor an option sets is the usual value for it.
    """
    from ..study import Problem, Study, read_study
    from ..study.plan import FULL
    from ..study.problem import usual_problem
    from ..study.usual_target import suited

    names = ("dataset", *TABLE, "target", "epochs", "batch_size", "backend", "hidden")
    options = {name: changes[name] for name in names if changes[name] is not None}
    if "hidden" in options:
        options["hidden"] = whole_numbers("--hidden", options["hidden"])
    full = changes["full"]
    if file is not None:
        replaced(Problem(), **options)  # an error names the option
        return read_study(file, full=full, **options)
    usual = usual_problem(options.get("dataset", "digits"))
    problem = suited(replaced(usual if full else usual.quick(), **options), options)
    return {problem.name: Study(problem, **FULL) if full else Study(problem)}


def _changed(study: Study, **changes: Any) -> Study:
    """Return the study with the values that the other options give."""

    def given(name: str) -> Any:
        return changes[name]

    study = replaced(study, **{name: given(name) for name in ("replicates", "seed", "label")})
    if given("optimizers") is not None or given("convention") is not None or given("rules"):
        study = replace(study, optimizers=_contenders(study, given("optimizers"), given("convention"), given("rules")))
    if given("rates") is not None:
        study = replace(study, rates=given("rates"))
    return study


def _contenders(study: Study, names: str | None, convention: str | None, rules: tuple[str, ...]) -> tuple[Any, ...]:
    from ..study.contender import contenders, in_convention

    if names is None:
        named = [c if convention is None else in_convention(c, convention) for c in study.contenders]
    else:
        named = contenders(names, convention or "textbook")
    return (*named, *map(_own_rule, rules))


def _own_rule(text: str) -> Contender:
    own = contender(text)
    if own.rule is None:
        raise InputError(f"--rule takes FILE.py:NAME, the file and the function's name; got {text!r}")
    return own


def _run(study: Study, folder: Path, jobs: int | None, dask: str | None) -> Comparison:
    from ..study import compare as run_study
    from .live import watching

    with watching(study) as on_run:
        return run_study(study, folder, jobs=jobs, dask=dask, on_run=on_run)


def _processes(study: Study, jobs: int | None) -> int:
    """Return the number of processes for a study."""
    from ..study.compare import usual_jobs

    return usual_jobs(study) if jobs is None else jobs


def _plan(study: Study, folder: Path, jobs: int | None) -> dict[str, Any]:
    from ..study.estimate import estimate
    from ..study.usual_target import decided

    processes = _processes(study, jobs)
    train, val, test = study.problem.sizes()
    return {
        "label": study.label,
        "problem": str(study.problem),
        "optimizers": [c.label for c in study.contenders],
        "rates": list(study.rates),
        "replicates": study.replicates,
        "rows": {"training": train, "validation": val, "test": test},
        "left_out": study.problem.left_out(),
        "target": study.problem.target,
        "decided": list(decided(study.problem)),
        "not_searched": {c.label: c.unsearched() for c in study.contenders if study.search and c.unsearched()},
        "trials": max(len(study.grid(c, 0)) for c in study.contenders),
        "runs": study.planned(),
        "jobs": processes,
        "seconds": round(estimate(study, processes), 1),
        "folder": str(folder),
    }


def _say_plan(study: Study, plan: dict[str, Any]) -> None:
    rows = ", ".join(f"{count:,} {name}" for name, count in plan["rows"].items())
    drawn = "training and validation rows" if study.problem.shares_test else "rows"
    echo(
        (f"{study.label}: " if study.label else "") + f"{study.problem}, {study.protocol} protocol\n"
        f"optimizers: {', '.join(plan['optimizers'])}\n"
        f"{study.replicates} replicates, each with its own {drawn} ({rows}), shift of the grid, and seed\n"
        f"rates: {', '.join(map(concise, study.rates))}"
        + (f"; {study.search} random settings" if study.search else "")
        + (f"\n{plan['trials']} trials of each in every replicate, rates times settings" if study.budget > 1 else "")
        + "".join(f"\n{line}" for line in study.not_searched())
        + (f"\nleft out: {', '.join(plan['left_out'])}" if plan["left_out"] else "")
        + ("; --full takes all" if plan["left_out"] and study.protocol == "quick" else "")
        + f"\n{plan['runs']} runs into {plan['folder']}, about {_duration(plan['seconds'])} in {plan['jobs']} "
        f"{'process' if plan['jobs'] == 1 else 'processes'} (more where a best rate lies at the edge of the grid; "
        "fewer where runs are there already)"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _write(comparison: Comparison, folder: Path, processes: int) -> tuple[list[str], list[str]]:
    """Write the page and the figures; return the names of all files and the errors of those that failed."""
    drawn = ["sensitivity", "accuracy", "loss"] + ["map"] * any(row.searched for row in comparison.rows)
    figures = [partial(_figure, comparison, folder, name) for name in drawn]
    files, failed = _written([*figures, partial(_page, folder)], processes)  # what takes longest first
    return [*files, "runs.jsonl", "summary.json"], failed


def _page(folder: Path) -> list[str]:
    from ..report import write_report

    return [write_report(folder).name]


def _figure(comparison: Comparison, folder: Path, name: str) -> list[str]:
    from .. import plotting

    return save_figure(getattr(plotting, f"{name}_figure")(comparison), folder / name)


def _written(steps: Sequence[Callable[[], list[str]]], processes: int = 1) -> tuple[list[str], list[str]]:
    """Run each step; return the files they wrote, and the errors of those that failed."""
    from ..study.execution import in_processes

    files: list[str] = []
    failed: list[str] = []
    for written, failure in in_processes(processes, [partial(_tried, step) for step in steps]):
        files += written
        failed += [failure] if failure else []
    return files, list(dict.fromkeys(failed))


def _tried(step: Callable[[], list[str]]) -> tuple[list[str], str]:
    """Return the files that a step wrote, and its error."""
    try:
        return step(), ""
    except InputError as error:
        return [], str(error)


def _print(comparison: Comparison) -> None:
    from ..study.side_by_side import told
    from ..study.table import tables

    for table in tables(comparison.summary):
        show(table)
    for sentence in comparison.verdict:
        say(f"• {sentence}")
    for sentence in told(comparison.records.values()):
        say(sentence)
    for row in comparison.rows:
        for error in row.errors:
            say(f"{row.label}: a run failed: {error}")


def _say_written(folder: Path, files: list[str], seconds: float) -> None:
    echo(f"\nWritten to {folder}: {', '.join(files)} ({seconds:.0f} s)")


def _print_joint(joint: Joint) -> None:
    from ..study.joint_table import joint_table

    show(joint_table(joint))
    for sentence in joint.sentences:
        say(f"• {sentence}")


def _write_joint(joint: Joint, comparisons: dict[str, Comparison], out: Path) -> tuple[list[str], list[str]]:
    """Write what several problems say together; as :func:`_write`."""
    from ..plotting import profile_figure
    from ..report.joint import write_joint_report
    from ..study.joint import write_joint

    return _written(
        [
            lambda: write_joint(joint, out),
            lambda: [write_joint_report(joint, comparisons, out).name],
            lambda: save_figure(profile_figure(joint), out / "profile") if joint.profile else [],
        ]
    )
