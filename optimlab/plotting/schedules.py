"""The figure of a schedule: rate above, momentum below, on one axis of steps or epochs."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .comparison import GREY, INK, PALETTE, plain_axes

DRAWN, NAMED = 60, 12
"""The most marks that are drawn, and the most that are labelled; more would hide the curve, or overlap."""


def schedule_figure(
    title: str, per: str, lr: Sequence[float], momentum: Sequence[float | None], boundaries: Sequence[int]
) -> Figure:
    """Draw rate and, if there is one, momentum at each step or epoch, with ``boundaries`` marked."""
    curves: list[tuple[str, Sequence[float | None], str]] = [("learning rate", lr, INK)]
    if any(m is not None for m in momentum):
        curves.append(("momentum", momentum, PALETTE[1]))
    figure = Figure(figsize=(8, 1.4 + 2.3 * len(curves)), layout="constrained")
    panels = figure.subplots(len(curves), sharex=True, squeeze=False).ravel()
    for axes, (name, values, colour) in zip(panels, curves, strict=True):
        plain_axes(axes)
        for k in boundaries if len(boundaries) <= DRAWN else ():
            axes.axvline(k, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        shown = np.array(values, float)  # None becomes NaN, a gap
        # stairs, since each value holds until the next; few enough dots show on which side of a boundary each lies
        dots = "o" if len(shown) <= 60 else ""
        axes.plot(shown, color=colour, linewidth=1.8, drawstyle="steps-post", marker=dots, markersize=3.5)
        axes.set_ylabel(name)
    if len(boundaries) <= NAMED:
        top = panels[0].secondary_xaxis("top")
        top.set_xticks(list(boundaries), [str(k) for k in boundaries], fontsize=8, color="#737373")
        top.spines["top"].set_visible(False)
        top.tick_params(length=0)
    panels[-1].set_xlabel(f"{per}, from 0")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(fill(title, 100), fontsize=10)
    return figure
