"""The performance profile of several optimizers on several problems."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..study.curves import look
from .comparison import DASHES, PALETTE, plain_axes


def profile_figure(profile: dict[str, Any]) -> Figure:
    """Share of problems solved within a factor of the best optimizer's cost, a staircase each.

    ``profile`` is what :func:`optimlab.study.profile.profile_of` gives. The factor is on a log axis; where staircases
    lie on each other, the label names them together.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    curves = profile["curves"]
    last = max((x for stairs in curves.values() for x, _ in stairs), default=1.0)
    end = max(2.0, last) * 1.15
    ends: dict[float, list[tuple[str, str]]] = {}
    for k, (name, stairs) in enumerate(curves.items()):
        xs, ys = [x for x, _ in stairs] + [end], [y for _, y in stairs] + [stairs[-1][1]]
        place, dash = look(k)
        colour = PALETTE[place]
        axes.step(xs, ys, where="post", color=colour, linestyle=DASHES[dash], linewidth=1.8)
        ends.setdefault(ys[-1], []).append((name, colour))
    for share, named in ends.items():
        for k, (name, colour) in enumerate(named):
            axes.annotate(
                name,
                xy=(end, share),
                xytext=(6, -11 * (k - (len(named) - 1) / 2)),
                textcoords="offset points",
                color=colour,
                fontsize=9,
                va="center",
                annotation_clip=False,
                parse_math=False,
            )
    axes.set_xscale("log")
    axes.set_xlim(1, end)
    ticks = [t for t in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if t <= end]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel(f"factor of the best optimizer's {profile['cost']}")
    axes.set_ylabel("share of problems")
    problems = len(profile["problems"])
    axes.set_title(f"Performance profile over {problems} problems: higher, and earlier, is better", fontsize=10)
    plain_axes(axes)
    return figure
