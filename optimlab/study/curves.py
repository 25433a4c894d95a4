"""Curves of several replicates as one line with a band, what they are drawn against, and how they are told apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .results import Record, Row


class Band(NamedTuple):
    """A curve's median over the replicates, and the lowest and highest of them, epoch by epoch."""

    median: list[float]
    low: list[float]
    high: list[float]


def band(curves: Sequence[Sequence[float | None]]) -> Band:
    """Median, minimum and maximum over the replicates, as far as every run got: a diverged run ends all three.

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
    """Seconds of training that an epoch takes: its steps, as the longest of the runs made them, times the time of one.

    The time of a step is measured apart, because runs that share a machine slow each other down.

    >>> epoch_seconds([], epochs=20, microseconds_per_step=50.0)
    0.0
    """
    steps = max((record.steps for record in records), default=0)
    return float(steps / epochs * (microseconds_per_step or 0.0) / 1e6)


def sensitivity(row: Row, points: int = 60) -> tuple[list[float], list[float]]:
    """Learning rates, and the median validation score there over the replicates.

    Each replicate has a grid of its own, so its scores are joined by lines over the logarithm of the rate; a run that
    diverged or failed counts as 0. The rates are those that the grids of at least half of the replicates span.
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
    """Factors of the best rate, and the validation score lost there: the median over the replicates.

    In each replicate the factor is that of its own best rate, and the loss that from its best score. A factor that
    leaves the grid in half of the replicates is left out.
    """
    at, found = np.linspace(-decades, decades, points), []
    for one in row.replicates:
        x = np.array([math.log10(t.lr) for t in one.by_rate]) - math.log10(one.lr)
        lost = [one.val_score - (t.val_score or 0.0) for t in one.by_rate]
        found.append(np.interp(at, x, lost, left=np.nan, right=np.nan))
    lost_at = np.array(found)
    kept = np.isfinite(lost_at).sum(axis=0) * 2 > len(found)
    return (10 ** at[kept]).tolist(), np.nanmedian(lost_at[:, kept], axis=0).tolist()


def look(k: int) -> tuple[int, int]:
    """Which of nine colours and which of three dashes the k-th line has: 27 pairs, no two alike.

    >>> len({look(k) for k in range(27)})
    27
    """
    return k % 9, (k + k // 9) % 3
