"""The protocol: repeat the whole procedure in every replicate, time the steps, and say what can be said."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.threads import one_thread
from ..common.errors import InputError, concise, lookup
from ..common.files import json_ready, write_atomically
from ..common.markup import Html, bullets, together
from ..common.views import view
from .contender import LEAST_RATE, TOO_HIGH, Contender
from .draws import Settings
from .execution import Pool, run_all, workers
from .folder import SUMMARY, check_folder, claim
from .plan import Run, Study
from .results import SCORES, VERSION, Baseline, Kind, Record, Row, Sizes, Summary, decoded, encoded
from .run import execute, host, time_steps, versions
from .statistics import t_interval
from .store import Store, read
from .summary import Found, best, deviation, pairs, row_label, rows
from .table import tables
from .targets import target_of
from .usual_target import decided
from .verdict import verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OnRun = Callable[[Run, Record, int, int], None]

FIGURES = ("score", "loss", "sensitivity", "map")
"""What :meth:`Comparison.plot` draws."""

SAID = 3
"""Sentences of the verdict in a comparison's short text."""


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: its summary, and the records of its runs by key."""

    summary: Summary
    records: dict[str, Record]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of the table."""
        return self.summary.rows

    @property
    def verdict(self) -> list[str]:
        """The sentences that the rows support."""
        return [sentence.text for sentence in self.summary.verdict.sentences]

    @property
    def finished(self) -> bool:
        """True if any tuned contender finished a run; otherwise there is nothing to compare."""
        return any(row.finished for row in self.summary.tuned)

    def plot(self, what: str = "score") -> Figure:
        """Draw one of the figures of the report.

        Parameters
        ----------
        what: ``"score"``, the validation score against epochs; ``"loss"``, the training loss against epochs and
            seconds; ``"sensitivity"``, the best score against the learning rate; ``"map"``, the score against the rate
            and what else was searched.

        Raises
        ------
        InputError: there is no such figure, or no map, because nothing but the rate was searched.
        """
        figure: Figure = view(f"{lookup('figure', what, {name: name for name in FIGURES})} figure", self)
        return figure

    def _repr_html_(self) -> str:
        return together(*(Html(table._repr_html_()) for table in tables(self.summary)), bullets(self.verdict))

    def __repr__(self) -> str:
        summary, said = self.summary, self.verdict
        more = [f"and {len(said) - SAID} more sentences in .verdict"] if len(said) > SAID else []
        many = f"{len(summary.tuned)} optimizers, {summary.replicates} replicates"
        return "\n  ".join([f"<Comparison of {many}: {summary.heading}", *said[:SAID], *more]) + ">"

    def chosen(self, row: Row) -> list[Record]:
        """The records that a row's score comes from, replicate by replicate; a missing one is left out."""
        return [self.records[one.key] for one in row.replicates if one.key in self.records]


def read_comparison(folder: str | Path) -> Comparison:
    """The comparison in ``folder``, from ``summary.json`` and ``runs.jsonl``.

    Raises
    ------
    InputError: a file is missing, or not what :func:`compare` writes; or it was made by an earlier protocol.
    """
    summary = read_summary(folder)
    return Comparison(summary, read(folder))


def read_summary(folder: str | Path) -> Summary:
    """The summary of the comparison in ``folder``.

    Raises
    ------
    InputError: as :func:`read_comparison`.
    """
    path = Path(folder) / SUMMARY
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise InputError(f"cannot read {path}: {reason}; name a folder that optimlab compare has finished") from None
    try:
        return decoded(Summary, content)
    except InputError as error:
        raise InputError(f"{folder} does not hold a finished comparison: {SUMMARY}: {error}") from None


def compare(
    study: Study, folder: str | Path, *, jobs: int | None = None, dask: Any = None, on_run: OnRun | None = None
) -> Comparison:
    """Run ``study``, keeping every finished run in ``folder/runs.jsonl``; runs found there are not run again.

    1. Each replicate draws its own split of the data, its own shift of the grid, and its own seed of initial weights
       and order of the rows, the same for all contenders.
    2. In each replicate every contender is trained at each rate, with each setting of what it searches beside the rate;
       one that searches less has more rates, so that all have as many trials. The run with the best validation score
       counts, with its test score (ties go to the lower validation loss; a diverged run counts as 0). Apart from
       that, the run that reaches the target first counts for speed. Where the best rate lies at the edge, the grid is
       extended. In the full protocol as many random settings of all searchable hyperparameters are tried too.
    3. Timing: a training step of each row, one after another in this process.

    Writes ``summary.json``. BLAS runs on one thread: on small matrices two are slower.

    Parameters
    ----------
    jobs: how many processes run at once; None: as many as there are cores, where that pays. The curves are the same.
    dask: the address of a Dask scheduler, or a ``distributed.Client``, to run on; see
        :func:`optimlab.study.execution.workers`.
    on_run: called with each run, its record, how many are done and how many there will be.

    Raises
    ------
    InputError: a problem on which no run can be made; ``folder`` cannot be written, or holds something else, such as
        another study or one by an earlier protocol.
    """
    study.check()
    check_folder(study, folder)
    processes = (1 if dask is not None else usual_jobs(study)) if jobs is None else jobs
    with workers(processes, dask) as pool, Store[Record](folder) as store, one_thread():
        planned = claim(study, store)
        runner = _Runner(store, pool, study.planned(), on_run)
        found = _search(study, runner)
        times = time_steps(study.problem, _timed(study, found))
        times |= {row_label(c.label, "default"): times[c.label] for c in study.contenders if c.label in times}
        records = dict(store.records)
    summary = summarized(study, found, records, times, planned)
    write_atomically(Path(folder) / SUMMARY, encoded(summary) + b"\n")
    return Comparison(summary, records)


def summarized(
    study: Study, found: Found, records: dict[str, Record], step_seconds: dict[str, Any], planned: dict[str, Any]
) -> Summary:
    """The summary of a study's records: ``found[kind][label][replicate]`` are the trials."""
    problem = study.problem
    table = rows(study, found, step_seconds)
    compared = pairs(study, table, records)
    target = target_of(problem.target, planned["target"], table, found["tuned"], problem.epochs)
    baseline = _baseline(study)
    test_rows = problem.sizes()[2] if problem.shares_test else None
    return Summary(
        version=VERSION,
        study=json_ready(study.config()),
        data=str(problem),
        protocol=study.protocol,
        target=target,
        replicates=study.replicates,
        planned_replicates=planned["replicates"],
        epochs=problem.epochs,
        rows=table,
        pairs=compared,
        baseline=baseline,
        verdict=verdict(
            table,
            compared,
            target,
            replicates=study.replicates,
            planned=planned["replicates"],
            epochs=problem.epochs,
            deviation=deviation(table, "test_score", problem.epochs),
            baseline=baseline,
            test_rows=test_rows,
            score=SCORES[problem.score],
        ),
        left_out=tuple(problem.left_out()),
        test_rows=test_rows,
        versions=versions(),
        host=host(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        label=study.label,
        score=problem.score,
        decided=decided(problem),
        sizes=Sizes(*problem.sizes()),
    )


STEP_SECONDS, FLOPS, PAYS = 4e-5, 2e10, 5.0
"""About what a step costs besides its arithmetic, floating-point operations per second, and the seconds of work from
which on starting more processes pays."""


def usual_jobs(study: Study) -> int:
    """How many processes pay for a study: all cores, or one where the work is of a few seconds.

    >>> from optimlab.study import Problem
    >>> usual_jobs(Study(Problem(epochs=1), ("sgd",), replicates=2))
    1
    """
    problem = study.problem
    rows = problem.sizes()[0]
    steps = study.planned() * problem.epochs * -(-rows // problem.batch_size)
    arithmetic = 6 * problem.network(0).parameters.data.size * problem.batch_size / FLOPS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if steps * (STEP_SECONDS + arithmetic) > PAYS else 1


def _baseline(study: Study) -> Baseline | None:
    """Of the most frequent class, where its share is at least a tenth more than that of equal classes."""
    data = study.problem.data()
    classes = len(data.classes)
    if not classes:
        return None
    if np.bincount(data.y_train, minlength=classes).max() < 1.1 * len(data.y_train) / classes:
        return None
    shares: dict[str, list[float]] = {"val": [], "test": []}
    names = []
    for replicate in range(study.replicates):
        drawn = study.problem.replicate(study.seed_of(replicate))
        most = int(np.bincount(drawn.y_train).argmax())
        names.append(data.classes[most])
        for split, own in shares.items():
            own.append(float((getattr(drawn, f"y_{split}") == most).mean()))
    name = Counter(names).most_common(1)[0][0]
    return Baseline(name, t_interval(shares["val"]), t_interval(shares["test"]))


class _Runner:
    """The records of runs, from the store or made now; counts what is done."""

    def __init__(self, store: Store[Record], pool: Pool, total: int, on_run: OnRun | None) -> None:
        self.store, self.pool, self.total, self.count, self.on_run = store, pool, total, 0, on_run

    def __call__(self, runs: Sequence[Run]) -> list[Record]:
        return run_all(runs, self.store, execute=execute, pool=self.pool, done=self._done)

    def _done(self, run: Run, record: Record) -> None:
        self.count += 1
        if self.on_run is not None:
            self.on_run(run, record, self.count, max(self.total, self.count))


def _search(study: Study, runner: _Runner) -> Found:
    """All trials of every row, then in rounds what extends the grids whose best lies at the edge."""
    replicates = range(study.replicates)
    makers: dict[Kind, Callable[[Contender, int], list[Run]]] = {"tuned": study.grid}
    if study.defaults:
        makers["default"] = study.default
    if study.search:
        makers["searched"] = study.random
    places = [(kind, c, r) for c in study.contenders for kind in makers for r in replicates]
    asked = [makers[kind](c, r) for kind, c, r in places]
    records = iter(runner([run for runs in asked for run in runs]))
    found: Found = {kind: {c.label: [[] for _ in replicates] for c in study.contenders} for kind in makers}
    for (kind, c, r), runs in zip(places, asked, strict=True):
        found[kind][c.label][r] = [next(records) for _ in runs]
    for _ in range(study.extensions):
        further = [
            (c, r, lr, _searched(c, best(found["tuned"][c.label][r])))
            for c in study.contenders
            for r in replicates
            for lr in _beyond(study, found["tuned"][c.label][r])
        ]
        if not further:
            break
        runner.total += len(further)
        for (c, r, *_), record in zip(further, runner([study.run(*one) for one in further]), strict=True):
            found["tuned"][c.label][r].append(record)
    _warn(study, found)
    return found


def _searched(contender: Contender, record: Record) -> Settings:
    """The values of the searched hyperparameters in a run."""
    return tuple((name, record.run["hyperparameters"][name]) for name in contender.searched)


def _beyond(study: Study, trials: Sequence[Record]) -> list[float]:
    """The next rate beyond the edge at which the best lies, if it does; where all diverged, a lower one."""
    chosen, rates = best(trials), [record.run["lr"] for record in trials]
    if all(record.status == "error" for record in trials):
        return []
    lr = chosen.run["lr"] if chosen.status == "ok" else min(rates)
    ratio = 1.0
    if lr == max(rates):
        ratio = study.rates[-1] / study.rates[-2]
    elif lr == min(rates):
        ratio = study.rates[0] / study.rates[1]
    return [lr * ratio] if ratio != 1 and LEAST_RATE <= lr * ratio < TOO_HIGH else []


def _warn(study: Study, found: Found) -> None:
    for label, own in found["tuned"].items():
        finished = [trials for trials in own if best(trials).status == "ok"]
        edges = [trials for trials in finished if _beyond(study, trials)]
        if edges:
            lr = concise(best(edges[0]).run["lr"])
            many = f"in {len(edges)} of {study.replicates} replicates"
            warnings.warn(
                f"{label}: the best learning rate found, such as {lr}, is still at the edge of the grid {many}",
                stacklevel=4,
            )
        elif not finished and any(record.status == "diverged" for trials in own for record in trials):
            rates = [record.run["lr"] for trials in own for record in trials]
            warnings.warn(
                f"{label}: no run finished at any learning rate from {concise(min(rates))} to {concise(max(rates))}",
                stacklevel=4,
            )


def _timed(study: Study, found: Found) -> dict[str, Run]:
    """The run of each row whose steps are timed: that of the first replicate that finished.

    A default's arithmetic is that at the tuned rate.
    """
    timed = {}
    for kind, trials in found.items():
        for c in study.contenders:
            chosen = map(best, trials[c.label])
            whole = next((r for r, record in enumerate(chosen) if record.status == "ok"), None)
            if kind != "default" and whole is not None:
                record = best(trials[c.label][whole])
                own = tuple(record.run["hyperparameters"].items()) if kind == "searched" else _searched(c, record)
                timed[row_label(c.label, kind)] = study.run(c, whole, record.run["lr"], own)
    return timed
