"""The map of a searched hyperparameter against the learning rate."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from ..common.errors import InputError, concise
from ..study.compare import Comparison
from ..study.maps import Map, colour_range, maps_of
from .comparison import headline, short_names

COLOURS = "cividis"
"""Even in lightness, and the same to eyes that do not tell red from green."""
MOST_NUMBERS = 14
"""Of more rates the cells are too narrow for numbers."""


def map_figure(comparison: Comparison) -> Figure:
    """Draw the mean validation score at each rate and value of each searched hyperparameter, a panel for each.

    Raises
    ------
    InputError: only the learning rate was searched.
    """
    maps = maps_of(comparison.summary)
    if not maps:
        raise InputError("there is no map: only the learning rate was searched")
    heights = [0.42 * len(one.values) + 1.1 for one in maps]
    widest = max(len(one.rates) for one in maps)
    figure = Figure(figsize=(min(14.0, max(6.5, 0.62 * widest + 3.0)), sum(heights) + 0.9), layout="constrained")
    panels = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights).ravel()
    short = short_names(dict.fromkeys(one.contender for one in maps), most=60, inches=5.0)
    low, high = colour_range(maps)
    for one, axes in zip(maps, panels, strict=True):
        image = _draw(axes, one, low, high)
        axes.set_title(short[one.contender], fontsize=10, parse_math=False)
    below = any(score is not None and score < low for one in maps for line in one.scores for score in line)
    bar = figure.colorbar(image, ax=list(panels), extend="min" if below else "neither", pad=0.02, aspect=30)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low >= 0.04 else 1))
    bar.set_label(f"mean validation {comparison.summary.measure}", fontsize=9)
    many = comparison.summary.replicates
    headline(
        figure,
        f"Validation {comparison.summary.measure} at each rate and value: mean of {many} replicates of the best trial "
        "in the cell;\nstar: the highest; in brackets: how many replicates chose a run of the cell.\n"
        f"{comparison.summary.data}",
    )
    return figure


def _draw(axes: Axes, one: Map, low: float, high: float) -> AxesImage:
    scores = np.array([[np.nan if v is None else v for v in line] for line in one.scores], float)
    axes.set_facecolor("#E6E6E6")  # cells without enough runs
    image = axes.imshow(scores, cmap=COLOURS, vmin=low, vmax=high, aspect="auto", origin="lower")
    numbers = len(one.rates) <= MOST_NUMBERS
    every = 1 if numbers else -(-len(one.rates) // MOST_NUMBERS)
    places = range(0, len(one.rates), every)
    axes.set_xticks(list(places), [concise(float(f"{one.rates[k]:.2g}")) for k in places], fontsize=9)
    axes.set_yticks(range(len(one.values)), one.values, fontsize=9)
    axes.set_xlabel("learning rate (each replicate shifts the grid by up to half a step)", fontsize=9)
    axes.set_ylabel(one.name, fontsize=9, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    k, j = one.best
    axes.add_patch(
        Rectangle((j - 0.5, k - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=2.2, zorder=3, clip_on=False)
    )
    for (row, column), score in np.ndenumerate(scores):
        if np.isnan(score):
            continue
        chosen = one.chosen[row][column]
        text = f"{100 * score:.1f}" if numbers else ""
        text = f"{'★ ' if (row, column) == (k, j) else ''}{text}" + (f"\n({chosen})" if chosen else "")
        light = (score - low) / (high - low or 1.0) > 0.55
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color="#000000" if light else "#FFFFFF")
    return image
