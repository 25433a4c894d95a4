"""The performance profile of several optimizers on several problems."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..study.results import Joint
from .comparison import GREY, INK, finish, short_names, small_multiples


def profile_figure(joint: Joint) -> Figure:
    """Draw the share of problems solved within a factor of the fewest epochs, in a panel for each contender.

    The factor is on a logarithmic axis. One panel would not do: few problems give few shares, so staircases overlap.
    ``joint.profile`` must not be empty.
    """
    curves = joint.profile
    end = 1.15 * max(2.0, *(factor for stairs in curves.values() for factor, _ in stairs))
    steps = {
        name: ([factor for factor, _ in stairs] + [end], [share for _, share in stairs] + [stairs[-1][1]])
        for name, stairs in curves.items()
    }
    figure, panels = small_multiples(list(curves))
    short = short_names(panels)
    for name, axes in panels.items():
        for other in curves:
            if other != name:
                axes.step(*steps[other], where="post", color=GREY, linewidth=0.8)
        axes.step(*steps[name], where="post", color=INK, linewidth=1.8)
        axes.set_title(f"{short[name]}; fewest on {curves[name][0][1]:.0%}", y=1.0, fontsize=10, parse_math=False)
    first = next(iter(panels.values()))
    first.set_xscale("log")
    first.set_xlim(1, end)
    ticks = [t for t in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if t <= end]
    first.set_xticks(ticks, [f"{t:g}" for t in ticks])
    first.minorticks_off()
    first.set_ylim(-0.03, 1.03)
    first.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    finish(
        figure,
        "epochs to the target, as a multiple of the fewest",
        "share of problems",
        f"Performance profile over {len(joint.rankings[0].problems)} problems: higher, and earlier, is better; "
        "grey: the other optimizers",
    )
    return figure
