"""The figure of a race: every path on a map of the function, and beside the maps the descent of each.

Paths of good optimizers overlap, so each has a map of its own, with the others in grey behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, sqrt
from textwrap import fill, wrap
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..common.errors import concise
from ..race.run import Race, Racer
from ..race.score import FLOOR, lowest
from ..race.words import conditions, outcome, sentence
from ..study.curves import look
from .comparison import DASHES, LINE, PALETTE, inches_of, plain_axes, short_names, spread

Floats = NDArray[np.float64]

INK, QUIET, BEHIND = "#333333", "#666666", "#8E9AA3"
BANDS, WIDTH, NAME = 9, 122, 20
TITLES = {1: 80, 2: 40, 3: 26}
"""Characters in a line above a map, by the number of maps in a row."""

# light throughout, so that every path stands out; the lowest ground is the darkest
GROUND = ListedColormap([(1 - 0.36 * d, 1 - 0.27 * d, 1 - 0.20 * d) for d in np.linspace(1, 0.1, BANDS)])
LEADER = {"arrowstyle": "-", "lw": 0.6, "shrinkA": 0, "shrinkB": 1, "relpos": (0, 0.5)}
HALO = [Stroke(linewidth=3.4, foreground="white"), Normal()]


def race_figure(race: Race) -> Figure:
    """Draw a map for each optimizer, with start (square), minima (stars) and end (dot), and the descent of all."""
    race = legible(race)
    figure, panels, show = drawing(race)
    show(race.steps)
    letters = TITLES[across(len(panels))]
    for racer, panel in zip(race.racers, panels, strict=True):
        panel.title.set_text(fill(f"{racer.name}: {outcome(race, racer)}", letters))
        for other in race.racers:
            if other is not racer:
                panel.plot(*other.path.T, color=BEHIND, linewidth=0.6, alpha=0.6, zorder=1.5)
    headline(figure).set_text(fill(sentence(race), WIDTH))
    footnote(figure, f"{conditions(race)} {key(race)} Grey: the paths of the others.")
    return figure


def legible(race: Race) -> Race:
    """Return the same race with names short enough for the figure."""
    names = short_names((racer.name for racer in race.racers), NAME, 1.6, 9)
    racers = [replace(racer, name=names[racer.name]) for racer in race.racers]
    return replace(race, racers=tuple(racers))


def headline(figure: Figure) -> Text:
    """Add an empty text on top; wrap what you write there at ``WIDTH`` letters."""
    top = 1 - 0.1 / figure.get_size_inches()[1]
    return figure.text(0.012, top, "", fontsize=12.5, va="top", color=INK, parse_math=False)


def footnote(figure: Figure, text: str) -> None:
    """Say at the bottom how the race was run and how to read the figure."""
    figure.text(0.012, 0.01, fill(text, 190), fontsize=8, va="bottom", color=QUIET, linespacing=1.4, parse_math=False)


def drawing(race: Race) -> tuple[Figure, list[Axes], Callable[[int], list[Artist]]]:
    """Return the figure, its maps, and a function that shows the race up to a step and returns what it changed."""
    beside = max(inches_of(label(race, racer), 9) for racer in race.racers)
    figure, panels, axes = layout(len(race.racers), beside, len(wrap(sentence(race), WIDTH)))
    draw_descent_axes(axes, race)
    curves = [descent(race, racer) for racer in race.racers]
    bold = [smooth(race, curve) for curve in curves]
    label_ends(axes, race, bold)
    growing: list[tuple[Line2D, Floats]] = []
    heads = []
    for k, (racer, panel) in enumerate(zip(race.racers, panels, strict=True)):
        style = style_of(k)
        colour = style["color"]
        draw_map(panel, race)
        panel.set_title(racer.name, color=colour, fontsize=9, pad=4, parse_math=False)
        panel.tick_params(labelsize=7)
        (path,) = panel.plot([], color=colour, linewidth=1.5, path_effects=HALO)
        (head,) = panel.plot([], "o", color=colour, markersize=6.5, markeredgecolor="white", zorder=6)
        (faint,) = axes.plot([], color=colour, linewidth=0.7, alpha=0.35)
        (line,) = axes.plot([], **style, linewidth=1.9)
        growing += [(path, racer.path)]
        growing += [
            (drawn, np.column_stack([np.arange(len(c)), c])) for drawn, c in ((faint, curves[k]), (line, bold[k]))
        ]
        heads.append((head, racer.path))

    def show(step: int) -> list[Artist]:
        for artist, points in growing:
            artist.set_data(*points[: step + 1].T)
        for artist, points in heads:
            artist.set_data(*points[: step + 1][-1:].T)
        return [artist for artist, _ in growing + heads]

    return figure, panels, show


def across(maps: int) -> int:
    """Return the number of maps in a row."""
    return min(3, ceil(sqrt(maps)))


def layout(maps: int, beside: float, lines: int) -> tuple[Figure, list[Axes], Axes]:
    """Lay out a panel for each map and one beside them for the descent, below a headline of ``lines`` lines.

    ``beside`` is the room for labels in inches. Panels are placed by hand: an automatic layout takes longer than
    everything else.
    """
    columns = across(maps)
    rows = ceil(maps / columns)
    above = 0.95 + 0.22 * max(0, lines - 2)
    height = max(5.85, 2.2 * rows + 0.8) + above
    figure = Figure(figsize=(12.5, height))
    margins = {"bottom": 1.25 / height, "top": 1 - above / height}
    grid = figure.add_gridspec(rows, columns, left=0.04, right=0.565, wspace=0.12, hspace=0.22, **margins)
    panels: list[Axes] = []
    for k in range(maps):
        shared = {"sharex": panels[0], "sharey": panels[0]} if panels else {}
        panels.append(figure.add_subplot(grid[divmod(k, columns)], **shared))
        panels[-1].label_outer()
    panels[0].set_ylabel("y", fontsize=8, labelpad=1)
    for panel in panels[max(0, maps - columns) :]:
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.set_xlabel("x", fontsize=8, labelpad=1)
    right = 0.975 - beside / 12.5
    return figure, panels, figure.add_subplot(figure.add_gridspec(1, 1, left=0.63, right=right, **margins)[0])


def style_of(k: int) -> dict[str, Any]:
    """Return colour and dash of the k-th optimizer."""
    colour, dash = look(k)
    return {"color": PALETTE[colour], "linestyle": DASHES[dash]}


def draw_map(axes: Axes, race: Race) -> None:
    """Draw the function's contours, the start and the minima."""
    landscape = race.landscape
    (x0, x1), (y0, y1) = view(race)
    x, y = np.meshgrid(np.linspace(x0, x1, 401), np.linspace(y0, y1, 401))
    height = landscape.value(x, y)
    # a picture, not shapes: nine maps of those make an SVG of megabytes
    bands = np.searchsorted(contour_levels(height), height)
    axes.imshow(bands, extent=(x0, x1, y0, y1), origin="lower", cmap=GROUND, vmin=0, vmax=BANDS - 1, zorder=0)
    for point in landscape.minima:
        axes.plot(*point, "*", color=INK, markersize=9, markeredgecolor="white", markeredgewidth=0.7, zorder=4)
    axes.plot(*race.start, "s", color=INK, markersize=5.5, markeredgecolor="white", zorder=5)
    axes.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal")


def view(race: Race) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the part of the bounds to show, in the bounds' proportions.

    It holds every path, the start and the minima. Without a minimum it is the whole.
    """
    if not race.landscape.minima:
        return race.landscape.bounds
    low, high = np.transpose(race.landscape.bounds)
    seen = np.concatenate([*(racer.path for racer in race.racers), race.landscape.minima]).clip(low, high)
    first, last = seen.min(axis=0), seen.max(axis=0)
    half = min(1.0, 1.2 * float(((last - first) / (high - low)).max())) * (high - low) / 2
    centre = ((first + last) / 2).clip(low + half, high - half)
    (x0, y0), (x1, y1) = (centre - half).tolist(), (centre + half).tolist()
    return (x0, x1), (y0, y1)


def contour_levels(height: Floats) -> Floats:
    """Return heights that cut the map into bands; their areas grow with the height, so lines are everywhere."""
    levels: Floats = np.quantile(height, np.linspace(0, 1, BANDS + 1)[1:-1] ** 1.5)
    return levels


def draw_descent_axes(axes: Axes, race: Race) -> None:
    """Set up the axes for :func:`descent`, and mark the tolerance."""
    plain_axes(axes)
    axes.set(xlabel="step", xlim=(0, last_step(race)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    curves = np.concatenate([descent(race, racer) for racer in race.racers])
    if not race.landscape.minima:
        axes.set(ylabel="height", ylim=(lowest(race.landscape), np.nanmax(curves)))
        return
    first = race.racers[0].gaps[0, 0]
    within = race.tolerance * first
    axes.set(ylabel="gap: height above the minimum", yscale="log")
    axes.set_ylim(min(within, float(np.nanmin(curves))) / 2, 2 * min(float(np.nanmax(curves)), 10 * first))
    axes.axhline(within, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)))


def last_step(race: Race) -> int:
    """Return the last step at which something is to be seen."""
    return race.steps if race.landscape.minima else max(len(racer.path) for racer in race.racers)


def descent(race: Race, racer: Racer) -> Floats:
    """Return what is drawn at each step: the median gap, cut at the floor.

    Without a minimum it is the height until the path left. After divergence it is NaN.
    """
    gaps = np.median(racer.gaps, axis=0)
    if race.landscape.minima:
        drawn = np.maximum(gaps, FLOOR * gaps[0])
    else:
        drawn = gaps + lowest(race.landscape)
        drawn[1:][gaps[:-1] == 0] = np.nan
    return np.where(np.isfinite(drawn), drawn, np.nan)


def window(race: Race) -> int:
    """Return the number of steps that the bold line averages."""
    return 2 * (race.steps // 40) + 1


def smooth(race: Race, curve: Floats) -> Floats:
    """Return the geometric mean over :func:`window` steps, fewer at the ends; leave heights, which may be negative."""
    if not race.landscape.minima:
        return curve
    half = window(race) // 2
    logs = np.log(curve[np.isfinite(curve)])
    means = [logs[max(0, k - half) : k + half + 1].mean() for k in range(len(logs))]
    return np.exp(means)


def label_ends(axes: Axes, race: Race, curves: list[Floats]) -> None:
    """Write names beside the axes, each joined to the end of its curve."""
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    ends = []
    for k, curve in enumerate(curves):
        last = int(np.isfinite(curve).sum()) - 1
        ends.append((last, float(curve[last]), k))
    ends.sort(key=lambda end: (end[1], -end[0]))
    box, figure = axes.get_position(), axes.get_figure(root=True)
    inches = box.height * (figure.get_size_inches()[1] if figure else 1.0)
    heights = spread(np.array([to_axes((step, value))[1] for step, value, _ in ends]), LINE / inches)
    for (step, value, k), height in zip(ends, heights, strict=True):
        colour = style_of(k)["color"]
        burst = outcome(race, race.racers[k]) == "diverged"
        if burst:
            axes.plot(step, value, "x", color=colour)
        axes.annotate(
            label(race, race.racers[k]),
            xy=(step, value),
            xytext=(1.03, height),
            textcoords="axes fraction",
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
            parse_math=False,
            arrowprops=None if burst else {**LEADER, "color": colour},
        )


def label(race: Race, racer: Racer) -> str:
    return f"{racer.name}  lr {concise(racer.lr)}" + " diverged" * (outcome(race, racer) == "diverged")


def key(race: Race) -> str:
    """Add a key to the figure."""
    if not race.landscape.minima:
        return "Square: start; dot: where it is last seen."
    return (
        "Square: start; star: lowest point; dot: end. Right: the gap (faint), its geometric mean "
        f"over {window(race)} steps (bold), {100 * race.tolerance:g}% of the start's (dashed)."
    )
