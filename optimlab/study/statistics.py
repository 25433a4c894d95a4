"""Intervals, paired tests with Holm's correction, power, usable ranges of rates, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .results import LEVEL, Interval

POWER = 0.8
"""The probability with which a difference of the stated size is detected."""


def t_interval(values: Sequence[float], confidence: float = 0.95, step: float = 0.0) -> Interval:
    """Return Student's t interval of the mean: ``mean +- t s / sqrt(n)`` with n - 1 degrees of freedom.

    It is used for every number of replicates. A bootstrap interval (percentile or BCa) of a mean that promises 95%
    covers 91% at ten values and 93% at twenty or thirty. At each of these numbers, this one covers 95% for normal
    values, and 94% for values as skewed as a gamma distribution of shape 4.

    Parameters
    ----------
    values: at least two values.
    confidence: the confidence level.
    step: the distance between neighbouring values if they lie on a grid, such as 1 for whole epochs. The variance of
        rounding, ``step**2 / 12``, is then added to ``s**2``. Otherwise the interval of a few skewed whole numbers
        covers too rarely, and that of ten equal ones has no width.

    >>> t_interval([1.0, 2.0, 3.0]).half.__round__(4)  # 4.3027 / sqrt(3)
    2.4841
    >>> t_interval([2.0, 2.0, 2.0], step=1).half.__round__(4)  # 4.3027 / sqrt(3 * 12)
    0.7171
    """
    from scipy.special import stdtrit

    x = np.asarray(values, float)
    half = float(stdtrit(len(x) - 1, (1 + confidence) / 2)) * _standard_error(float(x.var(ddof=1)), len(x), step)
    mean = float(x.mean())
    return Interval(mean, mean - half, mean + half)


WEIGHT = 0.1
"""Degrees of freedom of the prior of a variance of epochs."""


def epochs_interval(values: Sequence[float], budget: int) -> Interval:
    """Return the interval of the mean epochs to a target, where a miss counts as ``budget + 1``.

    Epochs have a long tail upward, and if many runs miss, a long tail downward from ``budget + 1``. Student's interval
    around such a mean of ten covers about 92%, because it errs on the side of the tail. So it is taken on the logit
    scale: with ``a = 1/2`` and ``b = budget + 3/2``, the ends of what whole epochs stand for, the interval of the mean
    ``m`` is that of ``log((m - a) / (b - m))``, transformed back. Its standard error is that of :func:`t_interval` with
    ``step=1``, times the derivative. The longer arm lies on the side of the tail, and no end lies beyond a bound.

    If most of ten runs miss, or nearly all agree, their own spread promises too much. So a prior adds a tenth of a
    degree of freedom: the beta distribution between a and b that has this mean, and parameters that sum to 2 (it is
    uniform if the mean lies in the middle). Its variance is ``v = (m - a) (b - m) / 3``, and ``s**2`` becomes
    ``((n - 1) s**2 + v / 10) / (n - 1 + 1 / 10)``. Intervals of ten replicates become 2% wider.
    Where only one run in eight reaches the target, they still cover 91 to 94% only.

    Parameters
    ----------
    values: at least two numbers of epochs, each from 1 to ``budget + 1``.
    budget: the epochs of a run.

    >>> mean, low, high = epochs_interval([3, 4, 4, 9], budget=20)
    >>> mean, round(low, 2), round(high, 2)
    (5.0, 1.99, 10.85)
    """
    from scipy.special import stdtrit

    x = np.asarray(values, float)
    low, high = 0.5, budget + 1.5
    mean = float(x.mean())
    derivative = (high - low) / ((mean - low) * (high - mean))
    df, prior = len(x) - 1, (mean - low) * (high - mean) / 3
    variance = float(df * x.var(ddof=1) + WEIGHT * prior) / (df + WEIGHT)
    half = float(stdtrit(df, 0.975)) * _standard_error(variance, len(x), 1) * derivative
    odds = (mean - low) / (high - mean)
    ends = (low + (high - low) / (1 + math.exp(sign * half) / odds) for sign in (1, -1))
    return Interval(mean, *ends)


def _standard_error(variance: float, count: int, step: float) -> float:
    return math.sqrt((variance + step**2 / 12) / count)


def paired_difference(values: Sequence[float], others: Sequence[float], step: float = 0.0) -> tuple[Interval, float]:
    """Return the mean of paired differences ``values - others``, with its interval, and the p-value of no difference.

    The test is Student's two-sided paired t-test; ``step`` is as for :func:`t_interval`. If all differences are equal,
    as whole numbers of epochs may be, their spread is zero and says nothing about certainty. The p-value is then that
    of the sign test, ``2 / 2**n``, or 1 if all differences are zero.

    >>> difference, p = paired_difference([2.0, 3.1, 4.0], [1.0, 2.0, 3.0])
    >>> difference.low > 0, round(p, 4)
    (True, 0.001)
    >>> paired_difference([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    (Interval(mean=1.0, low=1.0, high=1.0), 0.25)
    """
    from scipy.special import stdtr

    differences = np.subtract(values, others)
    n = len(differences)
    interval = t_interval(differences.tolist(), step=step)
    # equal differences of floats may differ by rounding
    if np.ptp(differences) <= 1e-12 * max(1.0, float(np.abs(differences).max())):
        return interval, 1.0 if abs(interval.mean) <= 1e-12 else min(1.0, 2.0 ** (1 - n))
    t = interval.mean / _standard_error(float(differences.var(ddof=1)), n, step)
    return interval, float(2 * stdtr(n - 1, -abs(t)))


class PairTests(NamedTuple):
    """Tests of all pairs, in the order of :func:`itertools.combinations`."""

    p_values: list[float]
    differences: list[Interval]
    """The mean differences, with 95% intervals from the variance of the test. If p is below 5%, the interval does not
    contain zero."""
    prior: float
    """The prior's degrees of freedom."""


def pair_tests(values: Sequence[Sequence[float]]) -> PairTests:
    """Test every two of several contenders for a difference, each pair with what all of them say about the variance.

    ``values`` has one row per contender, and one column per replicate. The variance of a pair's differences, from n
    replicates, has only n - 1 degrees of freedom. At the strict levels of Holm's correction for a page, most power is
    lost to that. This is the moderated t-test, which also uses the other pairs: if ``s2`` is a pair's own variance, its
    estimate is ``(d0 s0 + d s2) / (d0 + d)`` with ``d = n - 1``, and t has ``d0 + d`` degrees of freedom. The prior
    ``d0`` and ``s0`` are chosen by the first two moments of ``log s2`` over the pairs. So d0 is large if the variances
    of the pairs are alike, and near 0 if they are not.

    Pairs share contenders, so they know less than their number suggests. With k contenders, d0 is at most
    ``(k - 2) (n - 1)``: all degrees of freedom that k - 2 further contenders bring. Two contenders have the usual
    paired t-test of :func:`paired_difference`. A pair whose differences are all equal does not count for the prior, has
    the variance ``s0``, at least the p-value of the sign test, and an interval of no width.

    Smyth (2004), Linear models and empirical Bayes methods for assessing differential expression in microarray
    experiments, section 6.2; the intervals are those of its software, limma.

    >>> values = [[1.0, 2.0, 3.0, 4.0], [1.1, 2.0, 3.2, 3.9], [3.1, 4.2, 4.9, 6.0]]
    >>> [round(p, 4) for p in pair_tests(values).p_values]
    [0.5068, 0.0, 0.0]
    """
    from scipy.special import digamma, stdtr, stdtrit

    table = np.asarray(values, float)
    contenders, n = table.shape
    d = n - 1
    both = list(combinations(table, 2))
    differences = np.array([one - other for one, other in both]).reshape(-1, n)
    means, variances = differences.mean(axis=1), differences.var(axis=1, ddof=1)
    # equal differences, such as those of a rule and its copy, say nothing about any spread
    spread = np.ptp(differences, axis=1) > 1e-12 * np.maximum(1.0, np.abs(differences).max(axis=1))
    logs = np.log(variances[spread]) - digamma(d / 2) + math.log(d / 2)
    prior = _prior(logs, d, (contenders - 2) * d)
    own = [paired_difference(*two) for two in both]
    if not prior:
        return PairTests([p for _, p in own], [interval for interval, _ in own], 0.0)
    expected = math.exp(logs.mean() + digamma(prior / 2) - math.log(prior / 2))
    shared = (prior * expected + d * np.where(spread, variances, expected)) / (prior + d)
    errors = np.sqrt(shared / n)
    p_values = 2 * stdtr(prior + d, -np.abs(means) / errors)
    halves = stdtrit(prior + d, 0.975) * errors
    intervals = [Interval(*ends) for ends in np.transpose([means, means - halves, means + halves]).tolist()]
    for k in np.flatnonzero(~spread):
        p_values[k], intervals[k] = max(p_values[k], own[k][1]), own[k][0]
    return PairTests(p_values.tolist(), intervals, prior)


def _prior(logs: NDArray[np.float64], d: int, most: int) -> float:
    """Return the degrees of freedom ``d0`` of the prior of variances, at most ``most``.

    ``logs`` are the logarithms of variances with d degrees of freedom, corrected for their bias. Their variance is
    ``trigamma(d / 2) + trigamma(d0 / 2)``.
    """
    from scipy.special import polygamma

    if len(logs) < 2 or most <= 0:
        return 0.0
    excess = float(logs.var(ddof=1) - polygamma(1, d / 2))

    def short(prior: float) -> float:
        return float(polygamma(1, prior / 2)) - excess

    low, high = 1e-3, float(most)
    if short(high) >= 0:
        return high
    if short(low) <= 0:
        return 0.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) > 0 else (low, middle)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple testing by Holm's step-down method.

    With the m p-values in ascending order, ``adjusted_k = max over j <= k of min(1, (m - j + 1) p_j)``. If every value
    below a level is called significant, the chance of any false positive is at most that level.

    Holm (1979), A simple sequentially rejective multiple test procedure.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    m, largest = len(p_values), 0.0
    adjusted = [1.0] * m
    for k, place in enumerate(sorted(range(m), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (m - k) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def share_ahead(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Return the share of replicates in which ``values`` is above ``others``, with its interval; a tie counts half.

    The interval is Agresti and Coull's: with ``z`` the 97.5% quantile of the normal distribution, add ``z^2 / 2``
    replicates that are ahead and ``z^2 / 2`` that are behind, and take the mean plus or minus ``z`` standard errors.
    The standard error is that of the scores 1, 1/2 and 0, so ties make the interval narrower, as they should. With 30%
    ties and ten replicates, Wilson's interval of the share covers 99%, this one 97%.

    Bouthillier et al. (2021), Accounting for variance in machine learning benchmarks, call a share of at least 0.75
    meaningful.

    Agresti and Coull (1998), Approximate is better than "exact" for interval estimation of binomial proportions.

    >>> share_ahead([1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0])
    Interval(mean=0.625, low=0.239..., high=0.887...)
    """
    differences = np.subtract(values, others)
    scores = (differences > 0) + 0.5 * (differences == 0)
    z2 = 1.959963984540054**2
    n = len(scores) + z2
    middle = (scores.sum() + z2 / 2) / n
    variance = ((scores**2).sum() + z2 / 2) / n - middle**2
    half = math.sqrt(z2 * variance / n)
    return Interval(float(scores.mean()), max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def detectable(deviation: float, replicates: int, tests: int, prior: float = 0.0) -> float:
    """Return the difference that so many replicates detect with a probability of 80%.

    ``d = delta s / sqrt(n)``, where ``s`` is the standard deviation of the paired differences. ``delta`` is the
    noncentrality at which Student's noncentral t exceeds ``t_{1 - level / (2 tests)}`` with that probability. This is
    the test of :func:`pair_tests` at the strictest level that Holm's correction for so many tests uses. (The usual
    shortcut, a sum of two t quantiles, is too optimistic at strict levels: by 4% at ten replicates and 81 tests.)

    Parameters
    ----------
    deviation: the standard deviation of a paired difference.
    replicates, tests: the number of replicates, and of tests in the family.
    prior: the degrees of freedom that the other pairs add, see :func:`pair_tests`.

    >>> detectable(1.0, 10, 1) > detectable(1.0, 40, 1)
    True
    """
    from scipy.special import nctdtrinc, stdtrit

    df = prior + replicates - 1
    delta = nctdtrinc(df, 1 - POWER, stdtrit(df, 1 - LEVEL / (2 * max(1, tests))))
    return float(delta * deviation / math.sqrt(replicates))


def replicates_for(
    difference: float, deviation: float, tests: int, prior: float = 0.0, most: int = 100_000
) -> int | None:
    """Return how many replicates detect a difference with a probability of 80%; None if more than ``most``.

    >>> replicates_for(1.0, 1.0, 1)  # as G*Power gives for a paired t-test with d = 1
    10
    """
    if difference <= 0:
        return None
    low, high = 2, most
    if detectable(deviation, high, tests, prior) > difference:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(deviation, middle, tests, prior) <= difference else (middle + 1, high)
    return low


def usable_decades(scores: Mapping[float, float], chosen: float, target: float) -> tuple[float, bool]:
    """Return the width, in decades, of the range of rates around ``chosen`` whose score reaches ``target``.

    The scores of the grid are interpolated linearly over log10 of the rate. The range extends from the chosen rate to
    both sides, as long as the interpolated score is at least the target. The second value returned is True if the range
    reaches an end of the grid: the width is then a lower bound. The width is 0 if the chosen rate misses the target.

    >>> usable_decades({0.01: 0.9, 0.1: 0.96, 1.0: 0.94}, 0.1, 0.95)  # 1/6 of a decade down, 1/2 up
    (0.6666..., False)
    """
    rates = sorted(scores)
    middle = rates.index(chosen)
    if scores[chosen] < target:
        return 0.0, False

    def reach(side: Sequence[float]) -> tuple[float, bool]:
        edge = chosen
        for lr in side:
            if scores[lr] < target:
                part = (scores[edge] - target) / (scores[edge] - scores[lr])
                return math.log10(edge) + part * (math.log10(lr) - math.log10(edge)), False
            edge = lr
        return math.log10(edge), True

    (high, open_above), (low, open_below) = reach(rates[middle + 1 :]), reach(rates[:middle][::-1])
    return high - low, open_above or open_below


def performance_profile(costs: Mapping[str, Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
    """Return, for each solver, the share of problems that it solves within a factor of the lowest cost.

    ``costs[solver][p]`` is the cost of problem p, infinity for a miss. The result has the points ``(factor, share)`` at
    which the share rises, from factor 1. A problem that no solver solves counts as unsolved for all.

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
    """Return the expected best score after k = 1, 2, ... of these trials, drawn at random with replacement.

    With the n scores sorted, ``E_k = sum_i s_i ((i/n)^k - ((i-1)/n)^k)``, so the curve does not depend on the order of
    the trials.

    Dodge et al. (2019), Show your work: improved reporting of experimental results, equation 4.

    >>> best_after([0.0, 1.0])
    [0.5, 0.75]
    """
    ordered, n = np.sort(np.asarray(scores, float)), len(scores)
    share = np.arange(n + 1) / n
    return [float(ordered @ np.diff(share**k)) for k in range(1, n + 1)]
