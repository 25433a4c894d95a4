"""Is a target informative, and which one would tell the contenders apart?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .results import LEVEL, Record, Row, Target
from .statistics import holm, paired_difference

EASY = 3
"""A target that every contender meets within so many epochs in the mean tells nothing."""
STEP = 0.005
"""Half a point of the score lies between the targets that are looked at."""


def target_of(
    value: float, planned: float, table: Sequence[Row], tuned: Mapping[str, Sequence[Sequence[Record]]], epochs: int
) -> Target:
    """The target as it turned out; with a proposal where everyone meets it at once, or no one at all."""
    rows = [row for row in table if row.kind == "tuned"]
    informative = any(row.hits for row in rows) and any(row.epochs.mean > EASY for row in rows)
    proposal = None if informative or len(rows) < 2 else proposed(tuned, epochs)
    return Target(value, planned, informative, None if proposal == value else proposal)


def proposed(tuned: Mapping[str, Sequence[Sequence[Record]]], epochs: int) -> float | None:
    """The target that tells most pairs of contenders apart, by the stored curves; the lowest of several such.

    A pair counts if its paired t-test survives Holm's correction for all pairs. None if no target tells any apart.
    """
    best = {label: [_best_so_far(trials, epochs) for trials in own] for label, own in tuned.items()}
    ends = [float(curves[:, -1].max()) for own in best.values() for curves in own]
    lowest, highest = round(min(ends) / STEP), round(max(ends) / STEP)
    told, found = 0, None
    for level in range(max(1, lowest // 2), highest + 1):
        target = round(level * STEP, 6)
        needed = [[float(((curves < target - 1e-12).sum(axis=1)).min()) + 1 for curves in own] for own in best.values()]
        p_values = [
            paired_difference(np.log(one).tolist(), np.log(other).tolist())[1] for one, other in combinations(needed, 2)
        ]
        apart = sum(p <= LEVEL for p in holm(p_values))
        if apart > told:
            told, found = apart, target
    return found


def _best_so_far(trials: Sequence[Record], epochs: int) -> NDArray[np.float64]:
    """The best validation score up to each epoch, a line per trial; one that diverged or failed reaches nothing."""
    curves = np.zeros((len(trials), epochs))
    for line, record in zip(curves, trials, strict=True):
        values = [value or 0.0 for value in record.curves.val_score[:epochs]] if record.status == "ok" else []
        line[: len(values)] = values
    return np.maximum.accumulate(curves, axis=1)
