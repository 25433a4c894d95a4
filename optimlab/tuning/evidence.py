"""What the numbers of a search mean, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import concise
from ..nn.network import Network
from ..study.spaces import Range
from ..training import evaluate
from .plan import Search
from .trial import rank

Record = dict[str, Any]

EDGE = 0.05
"""A best value in this share of its range at either end lies at its edge."""

LEAST = 15
"""Trials from which effects are told: five in each third of a range."""


def measured(network: Network, x: Any, y: Any, rows: NDArray[Any]) -> dict[str, Any]:
    """Score with its 95% interval, and loss; ``rows`` are the contributions of the rows to the score.

    The interval of an accuracy is Wilson's. That of R² is ``mean ± 1.96 s / sqrt(n)`` of the contributions.
    """
    loss, _ = evaluate(network, x, y)
    mean = float(rows.mean())
    if rows.dtype == bool:
        from scipy.stats import binomtest

        interval = binomtest(int(rows.sum()), len(rows)).proportion_ci(0.95, method="wilson")
        low, high = interval.low, interval.high
    else:
        half = 1.96 * float(rows.std(ddof=1)) / len(rows) ** 0.5 if len(rows) > 1 else float("inf")
        low, high = mean - half, mean + half
    return {"score": mean, "low": low, "high": high, "loss": loss}


def same(a: NDArray[Any], b: NDArray[Any]) -> float:
    """p-value that two networks are equally good on the rows: McNemar's, or of numbers the paired t-test's."""
    if a.dtype == bool:
        return mcnemar(a, b)
    from scipy.stats import ttest_rel

    return float(ttest_rel(a, b).pvalue) if len(a) > 1 and (a != b).any() else 1.0


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """p-value that two classifiers of the same rows err equally often: exact, on the rows where they differ.

    Reference: McNemar (1947).

    >>> mcnemar(np.array([True] * 5 + [False]), np.array([False] * 5 + [False]))
    0.0625
    """
    from scipy.stats import binomtest

    differing = int(np.count_nonzero(a != b))
    return float(binomtest(int(np.count_nonzero(a & ~b)), differing).pvalue) if differing else 1.0


def at_edge(search: Search, best: Record) -> list[str]:
    """The hyperparameters whose best value lies at the edge of its log range, such as the learning rate: better ones
    may lie beyond."""
    places = {
        name: space.place(best["hyperparameters"][name])
        for name, space in search.searched.items()
        if isinstance(space, Range) and space.scale == "log"
    }
    return [name for name, place in places.items() if not EDGE <= place <= 1 - EDGE]


def effects(search: Search, records: Sequence[Record]) -> dict[str, float] | None:
    """p-value for each hyperparameter, that it has no effect on the score over its space.

    Kruskal and Wallis's test of the scores in the thirds of a range, or at each choice, corrected for the number of
    hyperparameters by Holm. None where it would mean little: under 15 trials, or from a sampler that goes where scores
    are good, so that the trials are not independent of them.
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
    """What was found, in sentences that say what each number means."""
    best, rows = summary["best"], summary["rows"]
    trials = summary["search"]["trials"]
    score, classes = summary["measure"], search.problem.score == "accuracy"
    measure = (
        f"{score} of {best['val_score']:.2%}"
        if search.objective == "val_score"
        else (f"loss of {best['val_loss']:.4f} ({score} {best['val_score']:.2%})")
    )
    said = [
        f"The validation {measure} was chosen for being the best of {trials} trials, each at its best epoch, "
        f"on the same {rows['val']:,} rows: it is optimistic."
    ]
    if summary["test"] is None:
        return [*said, "The data have no test split: there is no number to expect on new data."]
    test, again = summary["test"], summary["retrained"]
    network = "the same network" if len(search.seeds) == 1 else f"its best seed's network (seed {best['best_seed']})"
    said.append(
        f"The test {score} of {test['score']:.2%} is that of {network} on {rows['test']:,} held-out "
        f"rows: what to expect on new data, from {test['low']:.1%} to {test['high']:.1%} (95% interval)."
    )
    difference = again["score"] - test["score"]
    changed = f"{again['gained']} rows more right and {again['lost']} more wrong"
    if not classes:
        changed = f"a smaller error on {again['gained']} rows and a larger one on {again['lost']}"
    test_name = "McNemar's" if classes else "paired t-test,"
    chance = "more than chance" if again["p"] < 0.05 else "within chance"
    said.append(
        f"Trained from scratch on training and validation data together ({again['rows']:,} rows) for {again['epochs']} "
        f"epochs, as many as the best trial needed, it is {again['score']:.2%}, {100 * difference:+.2f} points: "
        f"{changed}, {chance} ({test_name} p = {again['p']:.2g})."
    )
    said.append("Decide between the two before looking at the test data: the better of both would be optimistic again.")
    return [*said, *_on_spaces(search, summary)]


def _on_spaces(search: Search, summary: dict[str, Any]) -> list[str]:
    said = []
    for name in summary["at_edge"]:
        value = summary["best"]["hyperparameters"][name]
        said.append(f"The best {name}, {concise(value, 3)}, lies at the edge of its range: try a wider one.")
    if summary["effects"] is not None:
        clear = [name for name, p in summary["effects"].items() if p < 0.05]
        rest = [name for name in summary["effects"] if name not in clear]
        if clear:
            shown = ", ".join(f"{name} (p = {summary['effects'][name]:.2g})" for name in clear)
            said.append(f"Over the spaces searched the score depends on {shown}; Kruskal and Wallis's test, Holm.")
        if rest:
            said.append(f"These trials show no effect of {_listed(rest)}, which is not to say that there is none.")
    if summary["diverged"]:
        said.append(f"{summary['diverged']} of {summary['search']['trials']} trials diverged.")
    return said


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
