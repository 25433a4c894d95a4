"""The figure of an activation and its derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..nn.activations import Activation
from .comparison import GREY, INK, PALETTE, end_labels, plain_axes

Floats = NDArray[np.float64]

LEAST, MOST = 4.0, 12.0
"""How far the figure reaches on either side of 0, at least and at most."""

SLOPE = PALETTE[1]


def activation_figure(f: Activation, saturated: Sequence[tuple[float, float]]) -> Figure:
    """Draw y = f(x) and, dashed, y′; kinks are dotted lines, and the ranges where f is ``saturated`` are grey."""
    marks = [abs(x) for x in (*f.kinks, *np.ravel(saturated)) if math.isfinite(x)]
    reach = min(max(LEAST, 1.35 * max(marks, default=0.0)), MOST)
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    plain_axes(axes)
    x, y, slope = _curves(f, reach)
    axes.plot(x, y, color=INK, linewidth=2)
    axes.plot(x, slope, color=SLOPE, linewidth=2, linestyle=(0, (5, 1.5)))
    low, high = _heights(y[np.abs(x) <= max(marks, default=0.0)], y, slope)
    axes.set(xlim=(-reach, reach), ylim=(low, high), xlabel="x")
    for kink in f.kinks:
        axes.axvline(kink, color="#737373", linewidth=1, linestyle=(0, (1.5, 1.5)), zorder=1)
    for left, right in saturated:
        left, right = max(left, -reach), min(right, reach)
        if left < right:
            axes.axvspan(left, right, color=GREY, alpha=0.35, linewidth=0, zorder=0)
            axes.text(
                (left + right) / 2, 0.985, "saturated", transform=axes.get_xaxis_transform(), ha="center", va="top",
                fontsize=9, color="#595959",
            )  # fmt: skip
    end_labels(axes, [(reach, float(y[-1]), "y", INK), (reach, float(slope[-1]), "y′", SLOPE)])
    kinks = (
        f"; kink{'s' * (len(f.kinks) > 1)} at x = {', '.join(f'{k:g}' for k in f.kinks)} (dotted)" if f.kinks else ""
    )
    axes.set_title(f"{f!r} (line) and its derivative (dashed){kinks}", fontsize=10, parse_math=False)
    return figure


def _curves(f: Activation, reach: float) -> tuple[Floats, Floats, Floats]:
    """Return x, y and y′ for the lines; y′ is broken at kinks, where it jumps."""
    near = [k + side for k in f.kinks for side in (-1e-6, 0.0, 1e-6) if abs(k) < reach]
    x = np.sort(np.concatenate([np.linspace(-reach, reach, 801), near]))
    slope = f.derivative(x)
    slope[np.isin(x, f.kinks)] = np.nan
    return x, f(x), slope


def _heights(marked: Floats, y: Floats, slope: Floats) -> tuple[float, float]:
    """Return the limits of the axis. They cut off what would make the slope between the marks illegible."""
    low, high = float(min(y.min(), np.nanmin(slope))), float(max(y.max(), np.nanmax(slope)))
    most = max(4 * float(np.nanmax(abs(slope))), float(abs(marked).max(initial=0.0)))
    low, high = max(low, -most), min(high, most)
    margin = 0.06 * (high - low)
    return low - margin, high + margin
