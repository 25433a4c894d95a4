"""Curves of several seeds as one line with a band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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
