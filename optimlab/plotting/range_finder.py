"""The figure of a learning-rate range test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .comparison import GREY, INK, PALETTE, plain_axes


def range_figure(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
    diverged_at: float | None,
) -> Figure:
    """Draw loss against rate: batches as grey dots, their average as a line, suggestion and divergence marked."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    plain_axes(axes)
    axes.plot(rates, losses, "o", color=GREY, markersize=3.5)
    axes.plot(rates, smoothed, color=INK, linewidth=2)
    axes.set_xscale("log")
    axes.set(xlabel="learning rate, raised each step", ylabel="training loss of the step's batch")
    if smoothed:  # one batch of a burst loss would flatten all the rest
        low, high = min(*smoothed, *losses), max(smoothed)
        margin = 0.1 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
    if suggestion is not None:
        k = int(np.argmin(np.abs(np.subtract(rates, suggestion))))
        axes.axvline(suggestion, color=PALETTE[1], linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.plot([suggestion], [smoothed[k]], "o", color=PALETTE[1], markersize=7)
        axes.annotate(
            f"suggestion {suggestion:.2g}:\nfalls fastest",
            (suggestion, smoothed[k]),
            xytext=(-10, -6),
            textcoords="offset points",
            ha="right",
            va="top",
            color=PALETTE[1],
            fontsize=9,
        )
    if diverged_at is not None:
        axes.axvline(diverged_at, color="#737373", linewidth=1, linestyle=(0, (1.5, 1)), zorder=1)
        axes.text(
            diverged_at,
            0.03,
            f"diverged at {diverged_at:.2g} ",
            color="#737373",
            fontsize=9,
            ha="right",
            va="bottom",
            rotation=90,
            transform=axes.get_xaxis_transform(),
        )
    axes.set_title("Learning-rate range test: each batch (dots) and their average (line)", fontsize=10)
    return figure
