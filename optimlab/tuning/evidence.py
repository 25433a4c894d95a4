"""The results of a search: scores with intervals, tests, and a verdict in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import concise
from ..nn.losses import Loss
from ..nn.network import Network
from ..study.spaces import Range
from ..training import evaluate
from .plan import Search
from .trial import rank

Record = dict[str, Any]

EDGE = 0.05
"""A best value counts as at the edge of its range if it lies within this share of either end."""

LEAST = 15
"""The fewest trials for a test of effects: five in each third of a range."""


def measured(network: Network, x: Any, y: Any, rows: NDArray[Any], loss: Loss) -> dict[str, Any]:
    """Return the score with its 95% interval, and the loss; ``rows`` are the contributions of the rows to the score.

    The interval of an accuracy is Wilson's. That of R² is ``mean ± 1.96 s / sqrt(n)`` of the contributions.
    """
    value, _ = evaluate(network, x, y, loss)
    mean = float(rows.mean())
    if rows.dtype == bool:
        from scipy.stats import binomtest

        interval = binomtest(int(rows.sum()), len(rows)).proportion_ci(0.95, method="wilson")
        low, high = interval.low, interval.high
    else:
        half = 1.96 * float(rows.std(ddof=1)) / len(rows) ** 0.5 if len(rows) > 1 else float("inf")
        low, high = mean - half, mean + half
    return {"score": mean, "low": low, "high": high, "loss": value}


def same(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the p-value of equal scores of two networks: McNemar's for classes, the paired t-test's for numbers."""
    if a.dtype == bool:
        return mcnemar(a, b)
    from scipy.stats import ttest_rel

    return float(ttest_rel(a, b).pvalue) if len(a) > 1 and (a != b).any() else 1.0


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the p-value of equal error rates of two classifiers of the same rows, by McNemar's exact test.

    Reference: McNemar (1947).

    >>> mcnemar(np.array([True] * 5 + [False]), np.array([False] * 5 + [False]))
    0.0625
    """
    from scipy.stats import binomtest

    differing = int(np.count_nonzero(a != b))
    return float(binomtest(int(np.count_nonzero(a & ~b)), differing).pvalue) if differing else 1.0


def at_edge(search: Search, best: Record) -> list[str]:
    """Return the hyperparameters whose best value lies at the edge of a log range: a better one may lie beyond."""
    places = {
        name: space.place(best["hyperparameters"][name])
        for name, space in search.searched.items()
        if isinstance(space, Range) and space.scale == "log"
    }
    return [name for name, place in places.items() if not EDGE <= place <= 1 - EDGE]


def effects(search: Search, records: Sequence[Record]) -> dict[str, float] | None:
    """Return, for each hyperparameter, the p-value of no effect on the score within its space.

    It is Kruskal and Wallis's test of the scores in the thirds of a range, or at each choice, after Holm's correction
    for the number of hyperparameters. The result is None if there are fewer than 15 trials, or if the sampler learns
    from scores, so that the trials are not independent of them.
    """
    if search.sampler != "qmc" or len(records) < LEAST:
        return None
    from scipy.stats import kruskal, rankdata

    ordered = sorted({rank(search, record) for record in records})
    scores = np.array([ordered.index(rank(search, record)) for record in records])
    p: dict[str, float] = {}
    for name, space in search.searched.items():
        values = [record["hyperparameters"][name] for record in records]
        exact = len(space.values()) <= 3 and (not isinstance(space, Range) or space.whole or space.scale == "pow2")
        place = np.unique(values, return_inverse=True)[1] if exact else 3 * (rankdata(values) - 1) // len(values)
        groups = [scores[place == k] for k in np.unique(place)]
        p[name] = float(kruskal(*groups).pvalue) if len(groups) > 1 and len(ordered) > 1 else 1.0
    corrected, highest = {}, 0.0
    for k, name in enumerate(sorted(p, key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - k) * p[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in p}


def verdict(search: Search, summary: dict[str, Any]) -> list[str]:
    """Draw the conclusions of a search, in sentences that say what each number means."""
    best, rows = summary["best"], summary["rows"]
    trials = summary["search"]["trials"]
    score, classes = summary["measure"], search.problem.score == "accuracy"
    measure = (
        f"{score} of {best['val_score']:.2%}"
        if search.objective == "val_score"
        else (f"loss of {best['val_loss']:.4f} ({score} {best['val_score']:.2%})")
    )
    sentences = [
        f"The validation {measure} is the best of {trials} trials, each at its best epoch, on the same "
        f"{rows['val']:,} rows, so it is optimistic."
    ]
    if summary["test"] is None:
        return [*sentences, "The data have no test split, so the score to expect on new data is unknown."]
    test, again = summary["test"], summary["retrained"]
    network = "the same network" if len(search.seeds) == 1 else f"its best seed's network (seed {best['best_seed']})"
    sentences.append(
        f"The test {score} of {test['score']:.2%} is that of {network} on {rows['test']:,} held-out rows. On new "
        f"data, expect between {test['low']:.1%} and {test['high']:.1%} (95% interval)."
    )
    difference = again["score"] - test["score"]
    changed = f"it gets {again['gained']} more rows right and {again['lost']} more wrong"
    if not classes:
        changed = f"its error is smaller on {again['gained']} rows and larger on {again['lost']}"
    test_name = "McNemar's test" if classes else "paired t-test"
    chance = "a significant difference" if again["p"] < 0.05 else "which may be chance"
    sentences.append(
        f"Retrained from scratch on training and validation data together ({again['rows']:,} rows), for "
        f"{again['epochs']} epochs as in the best trial, it has a test {score} of {again['score']:.2%} "
        f"({100 * difference:+.2f} points): {changed}, {chance} ({test_name}, p = {again['p']:.2g})."
    )
    sentences.append(
        "Choose between the two before you look at their test scores: the better of two is optimistic again."
    )
    return [*sentences, *_on_spaces(search, summary)]


def _on_spaces(search: Search, summary: dict[str, Any]) -> list[str]:
    sentences = []
    for name in summary["at_edge"]:
        value = summary["best"]["hyperparameters"][name]
        sentences.append(f"The best {name}, {concise(value, 3)}, lies at the edge of its range: try a wider range.")
    if summary["effects"] is not None:
        clear = [name for name, p in summary["effects"].items() if p < 0.05]
        rest = [name for name in summary["effects"] if name not in clear]
        if clear:
            shown = ", ".join(f"{name} (p = {summary['effects'][name]:.2g})" for name in clear)
            sentences.append(
                f"Within the searched spaces the score depends on {shown} (Kruskal and Wallis, after Holm)."
            )
        if rest:
            sentences.append(f"These trials show no effect of {_listed(rest)}, which does not mean that there is none.")
    if summary["diverged"]:
        sentences.append(f"{summary['diverged']} of {summary['search']['trials']} trials diverged.")
    return sentences


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
