"""Scoring of a race: gaps to the lowest point, the score of a run, the course, the step of arrival."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .functions import Landscape

Floats = NDArray[np.float64]

FLOOR = 1e-10
"""Lower limit of a gap's share of the start's gap, so that no optimizer gains by rounding."""

BURST = 1e3
"""Factor over the start's gap at which a run counts as diverged."""

STRIDE = 0.05
"""Longest step in a landscape without a minimum, as a share of the diagonal of the bounds."""


def lowest(landscape: Landscape) -> float:
    """Return the height that gaps are measured from: that of the minima, or else the lowest within the bounds."""
    if landscape.minima:
        return min(float(landscape.value(x, y)) for x, y in landscape.minima)
    x, y = (np.linspace(*side, 401) for side in landscape.bounds)
    return float(landscape.value(*np.meshgrid(x, y)).min())


def gaps_along(landscape: Landscape, paths: Floats) -> Floats:
    """Return the height of each point of ``paths`` above :func:`lowest`, in the shape without the last axis.

    A run has diverged once its gap is not finite or exceeds 1000 times the start's gap. From there on its gap is
    infinite. In a landscape without a minimum, a run has arrived once it leaves the bounds below the start's height.
    From there on its gap is 0. A run that leaves the bounds above the start's height has diverged.
    """
    x, y = paths[..., 0], paths[..., 1]
    with np.errstate(all="ignore"):
        gaps = landscape.value(x, y) - lowest(landscape)
        first = gaps[..., :1]
        over = ~(gaps <= BURST * first)
        if not landscape.minima:
            outside = ~_inside(landscape, paths)
            arrived = np.logical_or.accumulate(outside & (gaps < first), axis=-1)
            over = (over | outside) & ~arrived
            gaps[arrived] = 0.0
    gaps[np.logical_or.accumulate(over, axis=-1)] = math.inf
    return np.asarray(np.maximum(gaps, 0.0))


def score(gaps: Floats) -> Floats:
    """Return the mean over all steps of log10 of the remaining share of the start's gap; lower is better.

    ::

        score = mean_k log10 max(gap_k / gap_0, 1e-10)        infinite for a run that diverged

    The score rewards descending early and far. The last gap alone would reward luck in the last step.

    >>> score(np.array([[5.0, 0.5, 0.05], [5.0, 5.0, np.inf]]))
    array([-1., inf])
    """
    with np.errstate(all="ignore"):
        made = np.log10(np.maximum(gaps / gaps[..., :1], FLOOR)).mean(axis=-1)
    return np.where(np.isfinite(made), made, math.inf)


def on_course(landscape: Landscape, paths: Floats, gaps: Floats) -> NDArray[np.bool_]:
    """Return True for each run that stayed on course.

    On course means that it never left the bounds, so that no leap across the landscape wins by luck. In a landscape
    without a minimum, leaving is the aim, and the largest rate would win by leaving in one leap. There, on course means
    that no step is longer than 5% of the bounds' diagonal, so that directions are compared, not speeds.
    """
    if landscape.minima:
        return np.asarray(_inside(landscape, paths).all(axis=-1))
    (x0, x1), (y0, y1) = landscape.bounds
    with np.errstate(all="ignore"):
        strides = np.hypot(*np.moveaxis(np.diff(paths, axis=-2), -1, 0))
    short = strides <= STRIDE * math.hypot(x1 - x0, y1 - y0)
    return np.asarray((short | (gaps[..., :-1] == 0)).all(axis=-1))


def _inside(landscape: Landscape, points: Floats) -> NDArray[np.bool_]:
    low, high = np.transpose(landscape.bounds)
    return np.asarray(((low <= points) & (points <= high)).all(axis=-1))


def first_within(gaps: Floats, tolerance: float) -> Floats:
    """Return the first step at which the gap is at most ``tolerance`` times the first gap; infinite if there is none.

    >>> first_within(np.array([[8.0, 2.0, 4.0, 1.0], [8.0, 7.0, 6.0, 5.0]]), 0.25)
    array([ 1., inf])
    """
    within = gaps <= tolerance * gaps[..., :1]
    return np.where(within.any(axis=-1), within.argmax(axis=-1), math.inf)
