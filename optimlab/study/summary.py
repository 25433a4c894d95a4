"""The rows and pairs of a summary, computed from the records of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import inf, log10
from operator import sub
from statistics import fmean, median, variance
from typing import Any

import numpy as np

from .contender import Contender
from .plan import Study
from .results import Interval, Kind, Measure, Pair, Record, Replicate, Row, Spread, Trial
from .rows_score import rows_error, unpacked
from .statistics import (
    PairTests,
    best_after,
    epochs_interval,
    holm,
    pair_tests,
    paired_difference,
    share_ahead,
    t_interval,
    usable_decades,
)

MEASURES: tuple[Measure, ...] = ("test_score", "epochs")
Trials = Sequence[Sequence[Record]]
"""The records of a contender's trials, replicate by replicate."""
Found = dict[Kind, dict[str, list[list[Record]]]]
"""The trials of every row, by kind and by the contender's label."""


def score(record: Record) -> tuple[float, float]:
    """Return the sort key for choosing a run: the highest validation score, then the lowest validation loss."""
    return record.val_counted, -(inf if record.val_loss is None or record.status != "ok" else record.val_loss)


def best(trials: Sequence[Record]) -> Record:
    """Return the trial with the best validation score; the first one if tied."""
    return max(trials, key=score)


def row_label(label: str, kind: Kind) -> str:
    """Return the label of a contender's row: its own label if tuned, else with the kind."""
    return label if kind == "tuned" else f"{label}, {kind}"


def rows(study: Study, found: Found, step_seconds: Mapping[str, Spread]) -> tuple[Row, ...]:
    """Make one row for each contender and kind.

    In each replicate, the run with the best validation score is chosen, and its test score counts. The epochs to the
    target are those of the run that reached it first.
    """
    return tuple(
        _row(study, contender, kind, trials[contender.label], step_seconds.get(row_label(contender.label, kind)))
        for kind, trials in found.items()
        for contender in study.contenders
    )


def _row(study: Study, contender: Contender, kind: Kind, trials: Trials, step: Spread | None) -> Row:
    problem = study.problem
    searched = {name: space.text for name, space in contender.searched.items()} if kind == "tuned" else {}
    replicates = tuple(
        _replicate(number, records, kind, problem.target, searched) for number, records in enumerate(trials)
    )
    everything = [record for records in trials for record in records]
    epochs = epochs_interval([_restricted(r.epochs, problem.epochs) for r in replicates], problem.epochs)
    hits = sum(r.epochs is not None for r in replicates)
    microseconds = None if step is None else Spread(*(1e6 * seconds for seconds in step))
    batches = -(-problem.sizes()[0] // problem.batch_size)
    widths = [
        usable_decades({t.lr: t.val_score or 0.0 for t in one.by_rate}, one.lr, problem.target)
        for one in replicates
        if kind == "tuned"
    ]
    curves = [best_after([r.val_counted for r in records]) for records in trials] if kind == "searched" else []
    return Row(
        label=row_label(contender.label, kind),
        contender=contender.label,
        optimizer=contender.name,
        convention=contender.convention,
        kind=kind,
        replicates=replicates,
        lr=_spread([r.lr for r in replicates]),
        fast_lr=_spread([r.fast_lr for r in replicates if r.fast_lr is not None]) if hits else None,
        trials=(min(map(len, trials)), max(map(len, trials))),
        val_score=t_interval([r.val_score for r in replicates]),
        test_score=t_interval([r.test_score for r in replicates]),
        test_error=_interval([r.test_error for r in replicates]),
        epochs=epochs,
        hits=hits,
        finished=sum(r.status == "ok" for r in replicates),
        failed=sum(r.status == "error" for r in everything),
        diverged_share=sum(r.status == "diverged" for r in everything) / len(everything),
        microseconds_per_step=microseconds,
        seconds_to_target=epochs.mean * batches * microseconds.median / 1e6 if hits and microseconds else None,
        state_bytes_per_weight=max(r.state_arrays for r in everything) * (8 if problem.dtype == "float64" else 4),
        usable_decades=fmean(width for width, _ in widths) if kind == "tuned" else None,
        usable_at_least=any(open_end for _, open_end in widths),
        best_after=tuple(fmean(values) for values in zip(*curves, strict=True)),
        errors=tuple(r.error for r in everything if r.status == "error"),
        not_searched=tuple(contender.unsearched()) if kind == "searched" else (),
        schedule=contender.schedule.text if contender.schedule else "",
        searched=searched,
        grid=study.planned_rates(contender) if kind == "tuned" else (),
    )


def _replicate(number: int, trials: Sequence[Record], kind: Kind, target: float, searched: Iterable[str]) -> Replicate:
    chosen, reached = best(trials), [r for r in trials if r.epochs_to(target)]
    fast = min(reached, key=lambda r: (r.epochs_to(target), *(-part for part in score(r))), default=None)
    rates = [r.run["lr"] for r in trials]
    return Replicate(
        number=number,
        key=chosen.key,
        lr=chosen.run["lr"],
        hyperparameters=dict(chosen.run["hyperparameters"]),
        status=chosen.status,
        val_score=chosen.val_counted,
        test_score=chosen.test_counted,
        test_error=chosen.test_error if chosen.status == "ok" else None,
        fast_key=fast.key if fast else None,
        fast_lr=fast.run["lr"] if fast else None,
        epochs=fast.epochs_to(target) if fast else None,
        at_edge=kind == "tuned" and chosen.status == "ok" and chosen.run["lr"] in (min(rates), max(rates)),
        grid=tuple(
            Trial(
                r.run["lr"],
                r.val_score if r.status == "ok" else None,
                r.epochs_to(target),
                {name: r.run["hyperparameters"][name] for name in searched},
            )
            for r in sorted(trials, key=lambda r: r.run["lr"])
        ),
    )


def _interval(values: Sequence[float | None]) -> Interval | None:
    """Return the interval of the mean; None if a replicate has no value."""
    whole = [value for value in values if value is not None]
    return t_interval(whole) if len(whole) == len(values) else None


def _restricted(epochs: int | None, budget: int) -> float:
    """Return the epochs to the target; a miss is one more than the budget, which is a lower bound."""
    return float(budget + 1 if epochs is None else epochs)


def _spread(rates: Sequence[float]) -> Spread:
    """Return the spread of rates, with the median of their logarithms."""
    return Spread(10 ** median(map(log10, rates)) if len(set(rates)) > 1 else rates[0], min(rates), max(rates))


def pairs(study: Study, table: Sequence[Row], records: Mapping[str, Record]) -> tuple[Pair, ...]:
    """Return all pairs that a verdict may mention, with p-values corrected together by Holm's method.

    Every two tuned rows are compared by test score and by epochs to the target, see
    :func:`optimlab.study.statistics.pair_tests`. Every other row is compared with the tuned row of the same contender
    by test score, in a paired t-test of its own: at the default rate, results scatter too differently to share an
    estimate. Rows with a failed run are left out. Epochs are tested by their logarithms, and so by their ratio, because
    replicates scatter by a factor.
    """
    sound = [row for row in table if not row.failed]
    tuned = {row.contender: row for row in sound if row.kind == "tuned"}
    compared: list[tuple[Row, Row, Measure, tuple[float, Interval] | None]] = []
    for measure in MEASURES:
        tests = tuned_tests(table, measure, study.problem.epochs)
        found = zip(tests.p_values, tests.differences, strict=True)
        compared += [(*two, measure, one) for two, one in zip(combinations(tuned.values(), 2), found, strict=True)]
    compared += [
        (row, tuned[row.contender], "test_score", None)
        for row in sound
        if row.kind != "tuned" and row.contender in tuned
    ]
    tested = [_pair(*names, study.problem.epochs, records) for names in compared]
    adjusted = holm([p for *_, p in tested])
    return tuple(Pair(**rest, p=p, adjusted=q) for (rest, p), q in zip(tested, adjusted, strict=True))


def tuned_tests(table: Sequence[Row], measure: Measure, budget: int) -> PairTests:
    """Return the tests of all pairs of tuned rows without a failed run."""
    values = [_values(row, measure, budget) for row in table if row.kind == "tuned" and not row.failed]
    if len(values) < 2:
        return PairTests([], [], 0.0)
    return pair_tests(values if measure == "test_score" else np.log(values).tolist())


def _pair(
    one: Row,
    other: Row,
    measure: Measure,
    test: tuple[float, Interval] | None,
    budget: int,
    records: Mapping[str, Record],
) -> tuple[dict[str, Any], float]:
    """Return the fields of a pair without its p-values, and its p-value.

    ``test`` has the p-value and the interval from the joint test of all pairs; without it, the pair is tested alone.
    Epochs are tested on the log scale, but their difference is in epochs.
    """
    values, others = (_values(row, measure, budget) for row in (one, other))
    difference, p = paired_difference(values, others, step=1 if measure == "epochs" else 0)
    if test is not None:
        p, difference = test[0], difference if measure == "epochs" else test[1]
    if measure == "epochs" and np.log(np.divide(values, others)).mean() * difference.mean <= 0:
        p = 1.0  # the ratio is tested, and the printed difference has the other sign
    ahead = share_ahead(values, others) if measure == "test_score" else share_ahead(others, values)
    misses = measure == "epochs" and any(r.epochs is None for row in (one, other) for r in row.replicates)
    error = _rows_error(one, other, records) if measure == "test_score" else None
    rest = {"first": one.label, "second": other.label, "measure": measure, "difference": difference, "ahead": ahead}
    return {**rest, "rows_error": error, "misses": misses}, p


def _values(row: Row, measure: Measure, budget: int) -> list[float]:
    if measure == "test_score":
        return [r.test_score for r in row.replicates]
    return [_restricted(r.epochs, budget) for r in row.replicates]


def _rows_error(one: Row, other: Row, records: Mapping[str, Record]) -> float | None:
    """Return the standard error due to a shared test set; None if the test sets differ or a run is missing."""
    texts = [[records[r.key].test_rows for r in row.replicates if r.key in records] for row in (one, other)]
    if not all(texts[0] + texts[1]) or any(len(values) < len(one.replicates) for values in texts):
        return None
    first, second = ([unpacked(text) for text in values] for values in texts)
    return rows_error(first, second) if len({len(values) for values in first + second}) == 1 else None


def deviation(table: Sequence[Row], measure: Measure, budget: int) -> float | None:
    """Return the typical standard deviation of a paired difference: the median over all pairs of tuned rows."""
    sound = [_values(row, measure, budget) for row in table if row.kind == "tuned" and not row.failed]
    variances = [variance(map(sub, one, other)) for one, other in combinations(sound, 2)]
    return median(variances) ** 0.5 if variances else None


def listed(names: Iterable[str]) -> str:
    """Join names with commas and "and".

    >>> listed("abc"), listed("a")
    ('a, b and c', 'a')
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def in_percent(share: float) -> str:
    """Format a share in percent.

    >>> in_percent(0.95), in_percent(0.975), in_percent(0.57)
    ('95%', '97.5%', '57%')
    """
    return f"{100 * share:.4g}%"
