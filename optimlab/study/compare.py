"""The protocol: tune every contender with one budget, confirm the choice with fresh seeds, time it, summarise."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ..backends.threads import one_thread
from ..errors import InputError, concise
from ..files import check_writable, json_ready, json_text, write_atomically
from ..version import __version__
from .execution import Pool, Together, run_all, workers
from .plan import LEAST_RATE, TOO_HIGH, Run, Study
from .record import Record
from .run import execute, execute_together, host, time_steps, together, versions
from .store import FILE, LOCK, Store, locked, read
from .summary import finished, listed, row_label, rows, score, verdict

OnRun = Callable[[Run, Record, int, int], None]


@dataclass(frozen=True)
class Comparison:
    """The outcome of a study.

    Attributes
    ----------
    rows: one dictionary per row of the table, as written to ``summary.json``: each contender at its tuned rate, then at
        its default one, then (full protocol) at its best random setting.
    verdict: the sentences that the rows support.
    tuning: per contender's label, the records of its grid, by rate.
    confirmation: per contender's label, the records at its tuned rate, in the order of the seeds.
    """

    study: Study
    rows: list[dict[str, Any]]
    verdict: list[str]
    tuning: dict[str, dict[float, list[Record]]]
    confirmation: dict[str, list[Record]]

    @property
    def finished(self) -> bool:
        """True if any run at a chosen rate finished; otherwise there is nothing to compare."""
        return any(finished(row) for row in self.rows if row["kind"] == "tuned")


def compare(
    study: Study, folder: str | Path, *, jobs: int = 1, dask: Any = None, on_run: OnRun | None = None
) -> Comparison:
    """Run ``study``, keeping every finished run in ``folder/runs.jsonl``; runs found there are not run again.

    1. Tuning: each rate of the grid with each tuning seed. The chosen rate has the highest median validation
       accuracy; ties go to the lower median validation loss. A diverged run counts as accuracy 0. Where the choice
       lies at the edge, the grid is extended. In the full protocol random settings of all searchable
       hyperparameters are tried too.
    2. Confirmation: the chosen rate with fresh seeds, the same for all contenders; so is the default rate. The test
       accuracy is that of the epoch with the best validation accuracy.
    3. Timing: a training step of each row, one after another in this process.

    Writes ``summary.json``. BLAS runs on one thread: on small matrices two are slower.

    Parameters
    ----------
    jobs: how many processes run at once. A run on digits takes about 35 ms, so that for the quick comparison one is as
        fast as two; the curves are the same.
    dask: the address of a Dask scheduler, or a ``distributed.Client``, to run on; see
        :func:`optimlab.study.execution.workers`.
    on_run: called with each run, its record, how many are done and how many there will be.

    Raises
    ------
    InputError: a problem on which no run can be made; ``folder`` cannot be written, or holds something else, such as
        another study.
    """
    study.problem.check()
    check_folder(study, folder)
    with workers(jobs, dask) as pool, Store(folder) as store, one_thread():
        claim(study, store)
        runner = _Runner(store, pool, jobs if dask is None else 2, study.planned(), on_run)
        tuning = _tune(study, runner)
        searched = {c: _by_setting(study, runner(study.search_runs(c))) for c in study.contenders if study.search}
        plans = {
            "tuned": {c.label: study.confirmation_runs(c, _best(tuning[c.label])) for c in study.contenders},
            "default": {c.label: study.confirmation_runs(c, c.defaults()["lr"]) for c in study.contenders},
            "searched": {c.label: study.confirmation_runs(c, *_best_setting(found)) for c, found in searched.items()},
        }
        if not study.defaults:
            del plans["default"]
        records = iter(runner([run for runs in plans.values() for own in runs.values() for run in own]))
        confirmed = {
            kind: {label: [next(records) for _ in own] for label, own in runs.items()} for kind, runs in plans.items()
        }
        timed = {
            row_label(label, kind): own[0]
            for kind, runs in plans.items()
            for label, own in runs.items()
            # a default's arithmetic is that at the tuned rate; what failed would fail again
            if kind != "default" and confirmed[kind][label][0]["status"] != "error"
        }
        times = time_steps(study.problem, timed)
    times |= {row_label(label, "default"): times[label] for label in tuning if label in times}
    table = rows(study, tuning, {c.label: found for c, found in searched.items()}, confirmed, times)
    said = verdict(study, table)
    summary = {
        "study": study.config(),
        "data": str(study.problem),
        "protocol": study.protocol,
        "reference": table[0]["reference"],
        "verdict": said,
        "optimizers": table,
        "profile": None,
        "versions": versions(),
        "host": host(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomically(store.folder / "summary.json", json_text(summary) + "\n")
    return Comparison(study, table, said, tuning, confirmed["tuned"])


class _Runner:
    """The records of runs, from the store or made now; counts what is done."""

    def __init__(self, store: Store, pool: Pool, jobs: int, total: int, on_run: OnRun | None) -> None:
        self.store, self.pool, self.total, self.count, self.on_run = store, pool, total, 0, on_run
        self.split = partial(together, jobs=jobs)

    def __call__(self, runs: Sequence[Run]) -> list[Record]:
        replicas = Together(self.split, execute_together)
        return run_all(runs, self.store, execute=execute, together=replicas, pool=self.pool, done=self._done)

    def _done(self, run: Run, record: Record) -> None:
        self.count += 1
        if self.on_run is not None:
            self.on_run(run, record, self.count, max(self.total, self.count))


def _tune(study: Study, runner: _Runner) -> dict[str, dict[float, list[Record]]]:
    """The whole grid of every contender, then in rounds what extends those whose best lies at the edge."""
    found: dict[str, dict[float, list[Record]]] = {c.label: {} for c in study.contenders}
    wanted = {c.label: list(study.rates) for c in study.contenders}
    for extension in range(study.extensions + 1):
        asked = [(c, lr) for c in study.contenders for lr in wanted[c.label]]
        if extension:
            runner.total += len(asked) * len(study.tuning_seeds)
        records = iter(runner([run for c, lr in asked for run in study.tuning_runs(c, [lr])]))
        for c, lr in asked:
            found[c.label][lr] = [next(records) for _ in study.tuning_seeds]
        for c in study.contenders:
            grid = found[c.label]
            best = _best(grid)
            ratio = 1.0
            if best == max(grid):
                ratio = study.rates[-1] / study.rates[-2]
            elif best == min(grid):
                ratio = study.rates[0] / study.rates[1]
            further = best * ratio
            wanted[c.label] = [further] if ratio != 1 and LEAST_RATE <= further < TOO_HIGH else []
    for label, rates in wanted.items():
        if rates:
            grid = found[label]
            some = any(record["status"] == "ok" for records in grid.values() for record in records)
            what = (
                f"the best learning rate found, {concise(_best(grid))}, is still at the edge of the grid"
                if some
                else f"no run finished at any learning rate from {concise(min(grid))} to {concise(max(grid))}"
            )
            warnings.warn(f"{label}: {what}", stacklevel=3)
    return {label: dict(sorted(grid.items())) for label, grid in found.items()}


def _best(grid: dict[float, list[Record]]) -> float:
    return max(grid, key=lambda lr: score(grid[lr]))


def _best_setting(found: list[list[Record]]) -> tuple[float, tuple[tuple[str, float], ...]]:
    run = max(found, key=score)[0]["run"]
    return run["lr"], tuple(run["hyperparameters"].items())


def _by_setting(study: Study, records: list[Record]) -> list[list[Record]]:
    n = len(study.tuning_seeds)
    return [records[k : k + n] for k in range(0, len(records), n)]


def check_folder(study: Study, folder: str | Path) -> None:
    """Refuse a folder in which :func:`compare` cannot run ``study``. Nothing is written there.

    Raises
    ------
    InputError: the folder cannot be written or is in use; or it holds another study, other files, or the summary of a
        larger comparison, which this one would overwrite.
    """
    folder = Path(folder)
    check_writable(folder, FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning about a line that was cut off comes when it is dropped
        records = read(folder) if (folder / FILE).exists() else {}
    if (folder / LOCK).exists():
        with locked(folder):
            pass
    _check_owner(study, folder, bool(records))


def claim(study: Study, store: Store) -> None:
    """Write the description of ``study`` into its folder, or refuse a folder that belongs to another study.

    A study may grow: with more optimizers, rates or seeds the runs that are there are used again.

    Raises
    ------
    InputError: as :func:`check_folder`.
    """
    _check_owner(study, store.folder, bool(store.records))
    mine = {"optimlab": __version__, **study.config()}
    write_atomically(store.folder / "study.json", json_text(mine) + "\n")


ELSEWHERE = "name another folder (--out FOLDER)"


def _check_owner(study: Study, folder: Path, has_runs: bool) -> None:
    mine = json_ready(study.config())
    here = {**mine["problem"], "optimlab": __version__}
    theirs = _description(folder / "study.json", "the description of a study")
    if theirs is not None and has_runs:
        there = {**theirs["problem"], "optimlab": theirs.get("optimlab")}
        changed = [
            f"{name} {there.get(name)!r} there, {here.get(name)!r} now"
            for name in sorted({*there, *here})
            if there.get(name) != here.get(name)
        ]
        if changed:
            raise InputError(
                f"the folder {folder} holds another study ({'; '.join(changed)}); "
                f"{ELSEWHERE}, or delete this one to start afresh"
            )
    if (folder / "journal.log").exists():
        raise InputError(f"the folder {folder} holds a search, not a comparison: journal.log; {ELSEWHERE}")
    reported = _description(folder / "summary.json", "the summary of a comparison", "study")
    lost = [] if reported is None else _lost(reported, mine)
    if lost:
        raise InputError(
            f"the folder {folder} holds a comparison that this one would overwrite: it also has {listed(lost)}; "
            f"{ELSEWHERE}, or include these, too"
        )


def _description(path: Path, what: str, part: str = "") -> dict[str, Any] | None:
    """Read the description of a study from a file, or from a ``part`` of it; None if there is no file."""
    try:
        found = json.loads(path.read_bytes())
        found = found[part] if part else found
        _ = {**found["problem"]}
        return dict(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{path} is not {what}; {ELSEWHERE}") from None


def _lost(theirs: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """List, in words, what the first comparison has and the second lacks."""

    def gone(name: str) -> list[Any]:
        return [value for value in theirs.get(name) or [] if value not in mine[name]]

    try:
        labels = [c["label"] for c in mine["optimizers"]]
        lost = [str(c["label"]) for c in theirs["optimizers"] if c["label"] not in labels]
        kinds = {"rates": "learning rate", "tuning_seeds": "tuning seed", "confirmation_seeds": "fresh seed"}
        lost += [f"the {kind} {value!r}" for name, kind in kinds.items() for value in gone(name)]
    except (TypeError, KeyError):
        return []
    if theirs.get("defaults") and not mine["defaults"]:
        lost.append("the default rates")
    if (theirs.get("search") or 0) > mine["search"]:
        lost.append(f"{theirs['search']} random settings of each")
    return lost if len(lost) <= 6 else [*lost[:5], f"{len(lost) - 5} more"]
