"""Ranks of contenders on several problems: Friedman's test and Nemenyi's critical difference.

Demsar (2006), Statistical comparisons of classifiers over multiple data sets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.float64]
"""One row per problem, one column per contender; 1 is the best."""


def average_ranks(values: Sequence[Sequence[float]], *, highest_first: bool) -> Ranks:
    """Rank the contenders (columns) on each problem (row); equal values share the mean of their ranks.

    Values are rounded to 12 decimals first, because means of the same numbers may differ by rounding.

    >>> average_ranks([[0.9, 0.8, 0.9]], highest_first=True)
    array([[1.5, 3. , 1.5]])
    """
    from scipy.stats import rankdata

    table = np.round(np.asarray(values, float), 12)
    return np.asarray(rankdata(-table if highest_first else table, axis=1), float)


def friedman(ranks: Ranks) -> float:
    """Return the p-value of Friedman's test of equal mean ranks, corrected for ties.

    For two contenders it is that of the exact sign test. It is 1 if all ranks are tied.

    >>> round(friedman(average_ranks([[1, 2, 3]] * 4, highest_first=False)), 4)  # exp(-4)
    0.0183
    """
    from scipy.stats import binomtest, friedmanchisquare

    if not np.ptp(ranks, axis=1).any():
        return 1.0
    if ranks.shape[1] == 2:
        ahead = np.sign(ranks[:, 1] - ranks[:, 0])
        return float(binomtest(int((ahead > 0).sum()), int((ahead != 0).sum())).pvalue)
    return float(friedmanchisquare(*ranks.T).pvalue)


def critical_difference(contenders: int, problems: int, level: float) -> float:
    """Return Nemenyi's critical difference: mean ranks differ significantly if they differ by at least this.

    ``CD = q sqrt(k (k + 1) / (6 N))`` for k contenders on N problems, where ``q`` is the quantile of the studentized
    range with infinite degrees of freedom, divided by the square root of 2. If all contenders are equal, the chance of
    any significant difference is at most ``level``.

    Nemenyi (1963), Distribution-free multiple comparisons.

    >>> round(critical_difference(4, 14, 0.05), 2)  # as in Demsar (2006), section 3.2.2
    1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - level, contenders, math.inf)) / math.sqrt(2)
    return q * math.sqrt(contenders * (contenders + 1) / (6 * problems))


def fewest_problems(contenders: int, level: float) -> int:
    """Return the least number of problems that can tell any two contenders apart, if all problems rank them alike.

    >>> fewest_problems(3, 0.05), fewest_problems(2, 0.05)
    (3, 6)
    """
    from scipy.stats import chi2

    def attainable(problems: int) -> float:
        return 2.0 ** (1 - problems) if contenders == 2 else chi2.sf(problems * (contenders - 1), contenders - 1)

    by_nemenyi = math.ceil((critical_difference(contenders, 1, level) / (contenders - 1)) ** 2)
    return next(problems for problems in range(max(2, by_nemenyi), 1000) if attainable(problems) <= level)
