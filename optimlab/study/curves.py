"""Curves of several replicates as one line with a band, their horizontal axes, and their colours and dashes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .results import Record, Row


class Band(NamedTuple):
    """The median, lowest and highest value over the replicates, epoch by epoch."""

    median: list[float]
    low: list[float]
    high: list[float]


def band(curves: Sequence[Sequence[float | None]]) -> Band:
    """Return median, minimum and maximum over the replicates, up to the first epoch that a run did not finish.

    >>> band([[1.0, 0.5, 0.2], [3.0, 1.0, None]])
    Band(median=[2.0, 0.75], low=[1.0, 0.5], high=[3.0, 1.0])
    """

    def finite(curve: Sequence[float | None]) -> int:
        return next((k for k, v in enumerate(curve) if v is None or not math.isfinite(v)), len(curve))

    shortest = min(map(finite, curves), default=0)
    if not shortest:
        return Band([], [], [])
    values = np.array([curve[:shortest] for curve in curves], float)
    return Band(np.median(values, axis=0).tolist(), values.min(axis=0).tolist(), values.max(axis=0).tolist())


def epoch_seconds(records: Iterable[Record], epochs: int, microseconds_per_step: float | None) -> float:
    """Return the seconds of training per epoch: the steps per epoch of the longest run, times the time of a step.

    The time of a step is measured separately, because runs that share a machine slow each other down.

    >>> epoch_seconds([], epochs=20, microseconds_per_step=50.0)
    0.0
    """
    steps = max((record.steps for record in records), default=0)
    return float(steps / epochs * (microseconds_per_step or 0.0) / 1e6)


def sensitivity(row: Row, points: int = 60) -> tuple[list[float], list[float]]:
    """Return learning rates, and the median validation score over the replicates at each of them.

    Each replicate has its own grid, so its scores are interpolated linearly over the logarithm of the rate. A run that
    diverged or failed counts as 0. The rates returned are within the grids of at least half of the replicates.
    """
    lines = [
        ([math.log10(t.lr) for t in one.by_rate], [t.val_score or 0.0 for t in one.by_rate]) for one in row.replicates
    ]
    low, high = np.median([x[0] for x, _ in lines]), np.median([x[-1] for x, _ in lines])
    at = np.linspace(low, high, points)
    scores = np.array([np.interp(at, x, y, left=np.nan, right=np.nan) for x, y in lines])
    kept = np.isfinite(scores).any(axis=0)  # grids of a replicate each may have no rate in common
    return (10 ** at[kept]).tolist(), np.nanmedian(scores[:, kept], axis=0).tolist()


def regret(row: Row, decades: float = 2.0, points: int = 61) -> tuple[list[float], list[float]]:
    """Return multiples of the best rate, and the median over the replicates of the validation score lost there.

    Each replicate is measured from its own best rate and its own best score. A multiple outside the grid in half of
    the replicates is left out.
    """
    at, losses = np.linspace(-decades, decades, points), []
    for one in row.replicates:
        x = np.array([math.log10(t.lr) for t in one.by_rate]) - math.log10(one.lr)
        lost = [one.val_score - (t.val_score or 0.0) for t in one.by_rate]
        losses.append(np.interp(at, x, lost, left=np.nan, right=np.nan))
    lost_at = np.array(losses)
    kept = np.isfinite(lost_at).sum(axis=0) * 2 > len(losses)
    return (10 ** at[kept]).tolist(), np.nanmedian(lost_at[:, kept], axis=0).tolist()


def look(k: int) -> tuple[int, int]:
    """Return the colour (of nine) and the dash (of three) of the k-th line: 27 different pairs.

    >>> len({look(k) for k in range(27)})
    27
    """
    return k % 9, (k + k // 9) % 3
