"""Means with intervals, paired differences, performance profiles, and the best of k trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

    def percents(self) -> tuple[str, str]:
        """Mean and half the width in percent, with as many decimals as the width leaves a meaning to.

        >>> Interval(0.9, 0.891, 0.909).percents(), Interval(0.9, 0.88, 0.92).percents()
        (('90.00', '0.90'), ('90.0', '2.0'))
        """
        digits = 2 if self.half < 0.01 else 1
        return f"{100 * self.mean:.{digits}f}", f"{100 * self.half:.{digits}f}"

    @property
    def holds_zero(self) -> bool:
        """Whether zero lies in the interval: of a difference, that the two are tied."""
        return self.low <= 0 <= self.high


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean: ``mean +- t s / sqrt(n)`` with n - 1 degrees of freedom.

    For at least two values. Used for every number of seeds: a bootstrap interval (percentile or BCa) of a mean covers
    91% at ten values and 93% at twenty or thirty where it promises 95%; this one covers 95% of normal values, and 94%
    of values as skewed as a gamma distribution of shape 4, at each of these.

    >>> t_interval([1.0, 2.0, 3.0]).half.__round__(4)  # 4.3027 / sqrt(3)
    2.4841
    """
    from scipy.special import stdtrit

    x = np.asarray(values, float)
    t = stdtrit(len(x) - 1, (1 + confidence) / 2)
    half = float(t * x.std(ddof=1) / np.sqrt(len(x)))
    mean = float(x.mean())
    return Interval(mean, mean - half, mean + half)


SIGNS = 6
"""Differences of one sign from which on they are not as likely by chance as one in twenty: 2 / 2^6."""


def paired_difference(values: Sequence[float], reference: Sequence[float], confidence: float = 0.95) -> Interval:
    """Interval of the mean of ``values - reference``, run by run (the same seed in the same place).

    Differences that are all equal, as whole numbers of epochs may be, have no spread to tell how sure they are: the
    interval has no width, and where they are fewer than six it reaches to zero.

    >>> paired_difference([2.0, 3.1, 4.0], [1.0, 2.0, 3.0]).low > 0
    True
    >>> paired_difference([2.0, 3.0], [1.0, 2.0])
    Interval(mean=1.0, low=0.0, high=1.0)
    """
    differences = np.subtract(values, reference)
    found = t_interval(differences.tolist(), confidence)
    if len(differences) < SIGNS and np.ptp(differences) == 0:
        return Interval(found.mean, min(0.0, found.low), max(0.0, found.high))
    return found


def usable_decades(medians: Mapping[float, float], chosen: float, target: float) -> float:
    """Width, in decades, of the learning rates around ``chosen`` whose median score reaches ``target``.

    From the chosen rate to both sides, as far as the line through the grid's medians (over log10 of the rate) stays at
    the target or above; at most to the grid's ends. 0 where the chosen rate itself misses it.

    >>> usable_decades({0.01: 0.9, 0.1: 0.96, 1.0: 0.94}, 0.1, 0.95)  # 1/6 of a decade down, 1/2 up
    0.6666...
    """
    rates = sorted(medians)
    middle = rates.index(chosen)
    if medians[chosen] < target:
        return 0.0

    def reach(side: Sequence[float]) -> float:
        edge = chosen
        for lr in side:
            if medians[lr] < target:
                part = (medians[edge] - target) / (medians[edge] - medians[lr])
                return math.log10(edge) + part * (math.log10(lr) - math.log10(edge))
            edge = lr
        return math.log10(edge)

    return reach(rates[middle + 1 :]) - reach(rates[:middle][::-1])


def performance_profile(costs: Mapping[str, Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
    """For each solver, the share of problems it solves within a factor of the best solver's cost, as a staircase.

    ``costs[solver][p]`` is what problem p cost (a miss is infinity); the result lists ``(factor, share)`` where the
    share rises, from factor 1. A problem that no solver solves counts for none of them.

    Dolan and Moré (2002), Benchmarking optimization software with performance profiles.

    >>> performance_profile({"a": [1.0, 4.0], "b": [2.0, 2.0]})
    {'a': [(1.0, 0.5), (2.0, 1.0)], 'b': [(1.0, 0.5), (2.0, 1.0)]}
    """
    table = np.array(list(costs.values()), float)
    with np.errstate(invalid="ignore"):
        ratios = table / table.min(axis=0)
    profile = {}
    for name, row in zip(costs, ratios, strict=True):
        solved = np.sort(row[np.isfinite(row)])
        steps = [(float(r), int((solved <= r).sum()) / len(row)) for r in np.unique(solved)]
        profile[name] = steps if steps and steps[0][0] == 1.0 else [(1.0, 0.0), *steps]
    return profile


def best_after(scores: Sequence[float]) -> list[float]:
    """Expected best score after k = 1, 2, ... of these trials, drawn in a random order with replacement.

    With the n scores sorted, ``E_k = sum_i s_i ((i/n)^k - ((i-1)/n)^k)``: no luck of the order is left in the curve.

    Dodge et al. (2019), Show your work: improved reporting of experimental results, equation 4.

    >>> best_after([0.0, 1.0])
    [0.5, 0.75]
    """
    ordered, n = np.sort(np.asarray(scores, float)), len(scores)
    share = np.arange(n + 1) / n
    return [float(ordered @ np.diff(share**k)) for k in range(1, n + 1)]
