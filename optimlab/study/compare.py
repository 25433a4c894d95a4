"""The protocol: repeat the whole procedure in every replicate, time the steps, and draw the conclusions."""

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

from .. import backends
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
from .run import host, time_steps, versions
from .side_by_side import at_once, side_by_side
from .statistics import t_interval
from .store import Store, read
from .summary import Found, best, deviation, pairs, row_label, rows, tuned_tests
from .table import tables
from .targets import target_of
from .usual_target import decided
from .verdict import verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OnRun = Callable[[Run, Record, int, int], None]

FIGURES = ("score", "loss", "sensitivity", "map")
"""The figures of :meth:`Comparison.plot`."""

SAID = 3
"""Number of sentences of the verdict in a comparison's ``repr``."""


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: its summary, and the records of its runs by key."""

    summary: Summary
    records: dict[str, Record]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return the rows of the table."""
        return self.summary.rows

    @property
    def verdict(self) -> list[str]:
        """Return the sentences that the rows support."""
        return [sentence.text for sentence in self.summary.verdict.sentences]

    @property
    def finished(self) -> bool:
        """Return True if any tuned contender finished a run; otherwise there is nothing to compare."""
        return any(row.finished for row in self.summary.tuned)

    def plot(self, what: str = "score") -> Figure:
        """Draw a figure of the report.

        Parameters
        ----------
        what: ``"score"``, the validation score against epochs; ``"loss"``, the training loss against epochs and
            seconds; ``"sensitivity"``, the best score against the learning rate; or ``"map"``, the score against the
            rate and each of the other searched hyperparameters.

        Raises
        ------
        InputError: the figure is unknown; or a map is asked for, but only the rate was searched.
        """
        figure: Figure = view(f"{lookup('figure', what, {name: name for name in FIGURES})} figure", self)
        return figure

    def _repr_html_(self) -> str:
        return together(*(Html(table._repr_html_()) for table in tables(self.summary)), bullets(self.verdict))

    def __repr__(self) -> str:
        summary, sentences = self.summary, self.verdict
        more = [f"and {len(sentences) - SAID} more sentences in .verdict"] if len(sentences) > SAID else []
        many = f"{len(summary.tuned)} optimizers, {summary.replicates} replicates"
        return "\n  ".join([f"<Comparison of {many}: {summary.heading}", *sentences[:SAID], *more]) + ">"

    def chosen(self, row: Row) -> list[Record]:
        """Return the records of a row's chosen runs, one per replicate, without those that are missing."""
        return [self.records[one.key] for one in row.replicates if one.key in self.records]


def read_comparison(folder: str | Path) -> Comparison:
    """Read a finished comparison from ``summary.json`` and ``runs.jsonl`` of a folder.

    Parameters
    ----------
    folder: the folder given to :func:`compare`.

    Raises
    ------
    InputError: a file is missing, is not one that :func:`compare` writes, or comes from an earlier protocol.

    >>> import tempfile
    >>> from optimlab.study import Problem, Study
    >>> folder = tempfile.mkdtemp()
    >>> study = Study(Problem(epochs=1), ("sgd",), (0.03, 0.1, 0.3), replicates=2, defaults=False)
    >>> comparison = compare(study, folder, jobs=1)
    >>> read_comparison(folder).verdict == comparison.verdict
    True
    """
    summary = read_summary(folder)
    return Comparison(summary, read(folder))


def read_summary(folder: str | Path) -> Summary:
    """Read the summary of the comparison in ``folder``.

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
    """Run ``study`` and compare its optimizers.

    Every finished run is stored in ``folder/runs.jsonl``, and runs found there are not repeated. You can stop it at any
    time: the next call continues.

    1. Each replicate draws its own split of the data, its own shift of the grid, and its own seed for the initial
       weights and the order of the rows. These are the same for all contenders.
    2. In each replicate, every contender is trained at each rate, with each setting of its other searched
       hyperparameters. A contender that searches less gets more rates, so that all have the same number of trials. The
       run with the best validation score is chosen, and its test score counts. Ties go to the lower validation loss,
       and a diverged run counts as 0. For speed, the run that reaches the target first counts. If the best rate lies at
       the edge of the grid, the grid is extended. The full protocol also tries random settings of all searchable
       hyperparameters.
    3. The training steps of the rows are timed, one after another, in this process.

    Short runs are trained side by side, on the backend ``"cupy"`` thousands at once, see
    :mod:`optimlab.study.side_by_side`. The result is written to ``folder/summary.json``. BLAS runs on one thread,
    because two are slower on small matrices.

    Parameters
    ----------
    study: the plan.
    folder: the folder of the results; created if it does not exist.
    jobs: number of processes that run at once. None: one per core, if the study is long enough for that to pay. The
        curves do not depend on it.
    dask: the address of a Dask scheduler, or a ``distributed.Client``, to run on; see
        :func:`optimlab.study.execution.workers`.
    on_run: function called after each run with the run, its record, the number of finished runs, and the total.

    Returns
    -------
    Comparison: the table, the verdict, and the records of all runs.

    Raises
    ------
    InputError: no run is possible on the problem; ``folder`` cannot be written, or it holds something else, such as
        another study or one of an earlier protocol.

    >>> import tempfile
    >>> from optimlab.study import Problem
    >>> study = Study(Problem(epochs=1), ("sgd", "adam"), (0.01, 0.03, 0.1), replicates=2, defaults=False)
    >>> comparison = compare(study, tempfile.mkdtemp(), jobs=1)
    >>> [row.label for row in comparison.rows]
    ['sgd', 'adam']
    """
    study.check()
    check_folder(study, folder)
    processes = (1 if dask is not None else usual_jobs(study)) if jobs is None else jobs
    with workers(processes, dask) as pool, Store[Record](folder) as store, one_thread():
        planned = claim(study, store)
        on_gpu = dask is None and backends.get(study.problem.backend).asynchronous
        runner = _Runner(store, at_once if on_gpu else pool, study.planned(), on_run)
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
    """Summarize the records of a study: ``found[kind][label][replicate]`` are the trials."""
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
            prior=tuned_tests(table, "test_score", problem.epochs).prior,
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
        unused=problem.unused(),
    )


STEP_SECONDS, FLOPS, PAYS = 4e-5, 2e10, 5.0
"""Rough figures: the overhead of a step in seconds, floating-point operations per second, and the seconds of work
above which it pays to start more processes."""


def usual_jobs(study: Study) -> int:
    """Return the number of processes that pays for a study: one per core, or one if the work takes a few seconds.

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
    """Return the baseline of the most frequent class; None unless its share is 10% above that of equal classes."""
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
        for split, share in shares.items():
            share.append(float((getattr(drawn, f"y_{split}") == most).mean()))
    name = Counter(names).most_common(1)[0][0]
    return Baseline(name, t_interval(shares["val"]), t_interval(shares["test"]))


class _Runner:
    """The function that returns the records of runs, from the store or executed now; it counts the finished ones."""

    def __init__(self, store: Store[Record], pool: Pool, total: int, on_run: OnRun | None) -> None:
        self.store, self.pool, self.total, self.count, self.on_run = store, pool, total, 0, on_run

    def __call__(self, runs: Sequence[Run]) -> list[Record]:
        return run_all(runs, self.store, execute=side_by_side, pool=self.pool, done=self._done)

    def _done(self, run: Run, record: Record) -> None:
        self.count += 1
        if self.on_run is not None:
            self.on_run(run, record, self.count, max(self.total, self.count))


def _search(study: Study, runner: _Runner) -> Found:
    """Run all trials of every row, then extend, in rounds, each grid whose best rate lies at its edge."""
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
    """Return the values of the searched hyperparameters in a run."""
    return tuple((name, record.run["hyperparameters"][name]) for name in contender.searched)


def _beyond(study: Study, trials: Sequence[Record]) -> list[float]:
    """Return the next rate beyond the edge if the best rate lies there; a lower rate if all runs diverged."""
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
    for label, replicates in found["tuned"].items():
        finished = [trials for trials in replicates if best(trials).status == "ok"]
        edges = [trials for trials in finished if _beyond(study, trials)]
        if edges:
            lr = concise(best(edges[0]).run["lr"])
            many = f"in {len(edges)} of {study.replicates} replicates"
            warnings.warn(
                f"{label}: the best learning rate, such as {lr}, is still at the edge of the grid {many}",
                stacklevel=4,
            )
        elif not finished and any(record.status == "diverged" for trials in replicates for record in trials):
            rates = [record.run["lr"] for trials in replicates for record in trials]
            warnings.warn(
                f"{label}: no run finished at any learning rate from {concise(min(rates))} to {concise(max(rates))}",
                stacklevel=4,
            )


def _timed(study: Study, found: Found) -> dict[str, Run]:
    """Return the run of each row whose steps are timed: the chosen run of the first replicate that finished.

    Default rows are not timed: their arithmetic is that of the tuned rate.
    """
    timed = {}
    for kind, trials in found.items():
        for c in study.contenders:
            chosen = map(best, trials[c.label])
            whole = next((r for r, record in enumerate(chosen) if record.status == "ok"), None)
            if kind != "default" and whole is not None:
                record = best(trials[c.label][whole])
                settings = tuple(record.run["hyperparameters"].items()) if kind == "searched" else _searched(c, record)
                timed[row_label(c.label, kind)] = study.run(c, whole, record.run["lr"], settings)
    return timed
