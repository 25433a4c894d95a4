"""Means with intervals, and paired differences, for the few seeds a study has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean with its 95% confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval's width: the number after the plus-minus sign."""
        return (self.high - self.low) / 2


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean: ``mean +- t s / sqrt(n)`` with n - 1 degrees of freedom.

    For at least two values. (With so few, a percentile bootstrap is too narrow.)

    >>> t_interval([1.0, 2.0, 3.0]).half.__round__(4)  # 4.3027 / sqrt(3)
    2.4841
    """
    from scipy.special import stdtrit

    x = np.asarray(values, float)
    t = stdtrit(len(x) - 1, (1 + confidence) / 2)
    half = float(t * x.std(ddof=1) / np.sqrt(len(x)))
    mean = float(x.mean())
    return Interval(mean, mean - half, mean + half)


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """Interval of the mean of ``values - reference``, run by run (the same seed in the same place).

    >>> paired_difference([2.0, 3.1, 4.0], [1.0, 2.0, 3.0]).low > 0
    True
    """
    return t_interval(np.subtract(values, reference).tolist())
