"""Checks whether a target is informative, and proposals of one that tells the contenders apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .results import LEVEL, Record, Row, Target
from .statistics import holm, pair_tests

EASY = 3
"""A target is uninformative if every replicate reaches it, within this number of epochs on average per contender."""
STEP = 0.005
"""Distance between the targets that are tried: half a point of the score."""


def target_of(
    value: float, planned: float, table: Sequence[Row], tuned: Mapping[str, Sequence[Sequence[Record]]], epochs: int
) -> Target:
    """Return the target with the check, and a proposal if all contenders reach it at once, or none does.

    Rows with a failed run are left out, as in the verdict.
    """
    rows = [row for row in table if row.kind == "tuned" and not row.failed]
    informative = any(row.hits for row in rows) and not all(map(_easy, rows))
    sound = {row.contender: tuned[row.contender] for row in rows}
    proposal = None if informative or len(rows) < 2 else proposed(sound, epochs)
    return Target(value, planned, informative, None if proposal == value else proposal)


def _easy(row: Row) -> bool:
    """Return True if every replicate reaches the target, and soon: a miss counts as few epochs in a short run."""
    return row.hits == len(row.replicates) and row.epochs.mean <= EASY


def proposed(tuned: Mapping[str, Sequence[Sequence[Record]]], epochs: int) -> float | None:
    """Return the target that tells the most pairs of contenders apart by the stored curves; the lowest one if tied.

    A pair counts if its test is significant after Holm's correction for all pairs, and Bonferroni's for the targets
    that were tried: many are tried for the one that tells most. The result is None if no target tells any pair apart.
    """
    best = {label: [_best_so_far(trials, epochs) for trials in replicates] for label, replicates in tuned.items()}
    ends = [float(curves[:, -1].max()) for replicates in best.values() for curves in replicates]
    lowest, highest = round(min(ends) / STEP), round(max(ends) / STEP)
    needed: dict[tuple[tuple[float, ...], ...], float] = {}  # the lowest target of each table of epochs
    for level in range(max(1, lowest // 2), highest + 1):
        target = round(level * STEP, 6)
        table = tuple(
            tuple(float(((curves < target - 1e-12).sum(axis=1)).min()) + 1 for curves in replicates)
            for replicates in best.values()
        )
        if len(set(table)) > 1:  # otherwise there is nothing to test
            needed.setdefault(table, target)
    most, best_target = 0, None
    for table, target in needed.items():
        adjusted = holm(pair_tests(np.log(table).tolist()).p_values)
        apart = sum(p * len(needed) <= LEVEL for p in adjusted)
        if apart > most:
            most, best_target = apart, target
    return best_target


def _best_so_far(trials: Sequence[Record], epochs: int) -> NDArray[np.float64]:
    """Return the best validation score up to each epoch, one row per trial; 0 if it diverged or failed."""
    curves = np.zeros((len(trials), epochs))
    for line, record in zip(curves, trials, strict=True):
        values = [value or 0.0 for value in record.curves.val_score[:epochs]] if record.status == "ok" else []
        line[: len(values)] = values
    return np.maximum.accumulate(curves, axis=1)
