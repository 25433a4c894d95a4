"""Curves of several seeds as one line with a band, what they are drawn against, and how they are told apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Band(NamedTuple):
    """A curve's median over the seeds, and the lowest and highest of them, epoch by epoch."""

    median: list[float]
    low: list[float]
    high: list[float]


def band(curves: Sequence[Sequence[float | None]]) -> Band:
    """Median, minimum and maximum over the seeds, as far as every run got: a diverged run ends all three.

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


def epoch_seconds(records: Iterable[Mapping[str, Any]], epochs: int, microseconds_per_step: float | None) -> float:
    """Seconds of training that an epoch takes: its steps, as the longest of the runs made them, times the time of one.

    The time of a step is measured apart, because runs that share a machine slow each other down.

    >>> epoch_seconds([{"steps": 3}, {"steps": 200}], epochs=20, microseconds_per_step=50.0)
    0.0005
    """
    steps = max((record.get("steps") or 0 for record in records), default=0)
    return float(steps / epochs * (microseconds_per_step or 0.0) / 1e6)


def look(k: int) -> tuple[int, int]:
    """Which of nine colours and which of three dashes the k-th line has: 27 pairs, no two alike.

    >>> len({look(k) for k in range(27)})
    27
    """
    return k % 9, (k + k // 9) % 3
