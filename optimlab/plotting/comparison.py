"""The figures of a comparison.

Nine lines are more than colour can keep apart, so scores and sensitivity are small multiples: one panel per
optimizer, the others in grey behind it. The loss figure labels each line at its end, in a palette safe for
colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from math import ceil
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from ..common.tables import shortened
from ..study.compare import Comparison
from ..study.curves import Band, band, epoch_seconds, look, sensitivity
from ..study.results import Row
from ..study.summary import in_percent
from ..study.table import rate

# Okabe & Ito (2008), colour universal design, with a grey and a brown for nine
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C510A", "#737373")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)))
INK, GREY = "#0072B2", "#C8C8C8"

NAME = 26
"""The most characters of a name in a figure; a longer one loses its middle."""

LINE = 0.18
"""Inches from one line of text to the next."""


def loss_figure(comparison: Comparison) -> Figure:
    """Draw training loss, the median over the replicates, against epochs and against the time of training."""
    rows = comparison.summary.tuned
    labels = short_names([row.label for row in rows])
    height = LINE * len(labels) + 1.2  # room for a label beside each line's end
    figure = Figure(figsize=(12, max(4.8, height)))
    by_epochs, by_seconds = figure.subplots(1, 2, sharey=True)
    ends: dict[Axes, list[tuple[float, float, str, str]]] = {by_epochs: [], by_seconds: []}
    seconds = [_epoch_seconds(comparison, row) for row in rows]
    unit, scale = (
        ("milliseconds", 1e3) if max(seconds, default=0.0) * comparison.summary.epochs < 0.5 else ("seconds", 1.0)
    )
    for k, row in enumerate(rows):
        loss = _curves(comparison, row, "train_loss").median
        if not loss:
            continue
        colour, dash = look(k)
        epochs = np.arange(1, len(loss) + 1)
        for axes, x in ((by_epochs, epochs), (by_seconds, epochs * scale * seconds[k])):
            axes.plot(x, loss, color=PALETTE[colour], linestyle=DASHES[dash], linewidth=1.8)
            ends[axes].append((float(x[-1]), loss[-1], f"{labels[row.label]} {rate(row.lr)}", PALETTE[colour]))
    by_epochs.set_yscale("log")
    by_epochs.set_ylabel(f"training loss ({comparison.summary.loss})")
    by_epochs.set_xlabel("epoch")
    by_epochs.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_seconds.set_xlabel(f"{unit} of training (steps made, times the time of one)")
    by_seconds.tick_params(labelleft=True)
    by_seconds.set_xlim(left=0)
    headline(
        figure,
        f"Training loss at the learning rate with the best validation {comparison.summary.measure} of each replicate "
        f"(its median beside the name); {_conditions(comparison)}",
    )
    widest = 0.2 + max((inches_of(name, 9) for found in ends.values() for *_, name, _ in found), default=0.0)
    margins(figure, left=0.9, right=widest, below=0.55, between=(widest + 0.6, 0.0))
    for axes, found in ends.items():
        plain_axes(axes)
        end_labels(axes, found)
    return figure


def accuracy_figure(comparison: Comparison) -> Figure:
    """Draw validation score against epochs: median and range over the replicates, a panel for each optimizer."""
    rows = {row.label: row for row in comparison.summary.tuned}
    figure, panels = small_multiples(list(rows))
    curves = {name: _curves(comparison, rows[name], "val_score") for name in panels}
    target = comparison.summary.target.value
    short = short_names(panels)
    for name, axes in panels.items():
        for other, (middle, _, _) in curves.items():
            if other != name:
                axes.plot(np.arange(1, len(middle) + 1), middle, color=GREY, linewidth=0.8)
        middle, low, high = curves[name]
        epochs = np.arange(1, len(middle) + 1)
        axes.axhline(target, color="#737373", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.fill_between(epochs, low, high, color=INK, alpha=0.25, linewidth=0)
        axes.plot(epochs, middle, color=INK, linewidth=1.8)
        axes.set_title(f"{short[name]}, lr {rate(rows[name].lr)}", y=1.0, fontsize=10, parse_math=False)
    first = next(iter(panels.values()))
    finals = np.concatenate([np.ravel(middle[-1:]) for middle, _, _ in curves.values()])
    lowest = float(finals.min(initial=1.0))
    first.set_ylim(max(0.0, min(target - 0.1, lowest - 0.05)), 1.0)
    first.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    first.xaxis.set_major_locator(MaxNLocator(integer=True))
    finish(
        figure,
        "epoch",
        f"validation {comparison.summary.measure}",
        f"Validation {comparison.summary.measure}: median (line) and range (band) of the replicates;\n"
        f"grey: the other optimizers; dashed: the {in_percent(target)} target.\n{_conditions(comparison)}",
    )
    return figure


def sensitivity_figure(comparison: Comparison) -> Figure:
    """Draw the best validation score against the learning rate: runs as dots, failed ones as ticks on top."""
    rows = {row.label: row for row in comparison.summary.tuned}
    figure, panels = small_multiples(list(rows))
    lines = {name: sensitivity(row) for name, row in rows.items()}
    spans = {name: f"best at {_span(row)}" for name, row in rows.items()}
    short = short_names(panels, inches=2.8 - max(inches_of(f": {span}", 10) for span in spans.values()))
    for name, axes in panels.items():
        row = rows[name]
        for other, (rates, medians) in lines.items():
            if other != name:
                axes.plot(rates, medians, color=GREY, linewidth=0.8)
        whole = [(t.lr, t.val_score) for one in row.replicates for t in one.grid if t.val_score is not None]
        gone = [t.lr for one in row.replicates for t in one.grid if t.val_score is None]
        if whole:
            axes.plot(*zip(*whole, strict=True), "o", color=INK, markersize=2.5, alpha=0.45, markeredgewidth=0)
        if gone:
            axes.plot(gone, [1.06] * len(gone), "|", color="#D55E00", markersize=6, alpha=0.6, clip_on=False)
        axes.plot(*lines[name], color=INK, linewidth=1.5)
        best = [one.lr for one in row.replicates]
        axes.plot(best, [one.val_score for one in row.replicates], "*", color="#D55E00", markersize=6, alpha=0.9)
        axes.set_title(f"{short[name]}: {spans[name]}", y=1.0, fontsize=10, pad=10, parse_math=False)
    first = next(iter(panels.values()))
    first.set_xscale("log")
    for axes in panels.values():  # most of the time of drawing went into ticks that show nothing
        axes.xaxis.set_minor_locator(NullLocator())
    first.xaxis.set_major_formatter(lambda rate, _: plain_power(rate))  # mathtext takes longer than all lines
    first.set_ylim(0.0, 1.03)
    first.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    finish(
        figure,
        "learning rate",
        f"best validation {comparison.summary.measure}",
        "Sensitivity to the learning rate: every run of the grids (dots), the median of the replicates (line), each\n"
        "replicate's best rate (star), runs that diverged or failed (tick on top); grey: the other optimizers.\n"
        f"{_conditions(comparison)}",
    )
    return figure


def plain_power(x: float) -> str:
    """Write a number on a logarithmic axis: a power of ten, or any other number as it is.

    >>> plain_power(0.001), plain_power(10.0), plain_power(0.0)
    ('10⁻³', '10¹', '0')
    """
    text, _, power = f"{x:.0e}".partition("e")
    if text != "1" or float(f"1e{power}") != x:
        return f"{x:g}"
    return "10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _span(row: Row) -> str:
    low, high = (f"{value:.2g}" for value in (row.lr.low, row.lr.high))
    return low if low == high else f"{low} to {high}"


def short_names(names: Iterable[str], most: int = NAME, inches: float = 1.9, size: float = 10) -> dict[str, str]:
    """Map each name to its text in a figure: at most ``most`` characters, and at most ``inches`` wide at that size."""
    whole = list(names)
    for letters in range(most, 7, -1):
        made = shortened(whole, letters)
        if all(inches_of(name, size) <= inches for name in made):
            break
    return dict(zip(whole, made, strict=True))


@cache
def inches_of(text: str, size: float) -> float:
    """Return the width of a text in inches at a font size in points."""
    width: float = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0]
    return width / 72


def headline(figure: Figure, text: str) -> None:
    """Write a title, wrapped to the figure's width; the figure grows with every line beyond the second."""
    width, height = figure.get_size_inches()
    lines = [line for part in text.split("\n") for line in wrap(part, int(11.5 * width))]
    height += LINE * max(0, len(lines) - 2)
    figure.set_size_inches(width, height)
    place = 1 - 0.08 / height if figure.get_layout_engine() is None else None  # an engine finds it
    figure.suptitle("\n".join(lines), fontsize=10, parse_math=False, y=place)


def margins(
    figure: Figure, *, left: float, below: float, right: float = 0.2, between: tuple[float, float] = (0.15, 0.4)
) -> None:
    """Place the axes below the headline, in inches, with gaps ``between`` columns and rows.

    Matplotlib's layout engines would measure every text twice, which takes longer than to draw the figure.
    """
    width, height = figure.get_size_inches()
    above = LINE * (figure.get_suptitle().count("\n") + 1) + 0.35
    grid, (across, down) = figure.axes[0].get_gridspec(), between
    columns, rows = (grid.ncols, grid.nrows) if grid else (1, 1)
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=below / height,
        top=1 - above / height,
        wspace=across * columns / (width - left - right - (columns - 1) * across),
        hspace=down * rows / (height - above - below - (rows - 1) * down),
    )


def finish(figure: Figure, x: str, y: str, text: str) -> None:
    """Write the labels that the panels of :func:`small_multiples` share, and the headline, and place the panels."""
    headline(figure, text)
    width, height = figure.get_size_inches()
    figure.supxlabel(x, fontsize=10, y=0.08 / height, va="bottom")
    figure.supylabel(y, fontsize=10, x=0.08 / width, ha="left")
    margins(figure, left=0.85, below=0.5)


def small_multiples(names: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    """Make a grid of panels that share both axes, one for each optimizer; :func:`finish` places them."""
    columns = min(3, len(names))
    rows = ceil(len(names) / columns)
    figure = Figure(figsize=(max(5.5, 3.1 * columns + 0.6), 2.1 * rows + 0.9))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid:
        plain_axes(axes)
        # there are no labels here, but Matplotlib would measure all ticks to place them
        axes.xaxis.set_label_coords(0.5, -0.2)
        axes.yaxis.set_label_coords(-0.2, 0.5)
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    for axes in grid[: len(names)][-columns:]:  # the lowest of each column, also above an empty place
        axes.tick_params(labelbottom=True)
    return figure, dict(zip(names, grid, strict=False))


def _curves(comparison: Comparison, row: Row, quantity: str) -> Band:
    """Return median, minimum and maximum over the replicates."""
    return band([getattr(record.curves, quantity) for record in comparison.chosen(row) if record.status != "error"])


def _epoch_seconds(comparison: Comparison, row: Row) -> float:
    step = row.microseconds_per_step
    return epoch_seconds(comparison.chosen(row), comparison.summary.epochs, step.median if step else None)


def _conditions(comparison: Comparison) -> str:
    return f"{comparison.summary.heading}; {comparison.summary.replicates} replicates"


def plain_axes(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def spread(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Move ascending ``heights`` in [0, 1] apart, as little as possible, until neighbours are ``gap`` apart."""
    steps = gap * np.arange(len(heights))
    means: list[float] = []  # of neighbours that touch: isotonic regression (SciPy's takes 0.4 s to import)
    counts: list[int] = []
    for height in heights - steps:
        mean, count = float(height), 1
        while means and means[-1] >= mean:
            mean = (mean * count + means[-1] * counts[-1]) / (count + counts[-1])
            count += counts.pop()
            means.pop()
        means.append(mean)
        counts.append(count)
    apart = np.repeat(means, counts) + steps
    return np.asarray(np.clip(apart, steps, max(1.0, steps[-1]) - steps[::-1]))


def end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names to the right of lines, as ``(last x, last y, name, colour)``, moved apart where they would overlap.

    The limits and the scale of the axes must be set before. A value beyond them, such as a loss of 0 on a log axis, is
    named at the edge.
    """
    if not ends:
        return
    low, high = axes.get_ylim()
    within = [(x, min(max(y, low), high), name, colour) for x, y, name, colour in ends]
    ordered = sorted(within, key=lambda end: end[1])
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    places = np.array([to_axes((x, y))[1] for x, y, _, _ in ordered])
    figure = axes.get_figure(root=True)
    inches = (figure.get_size_inches()[1] if figure else 4.8) - 1.2
    heights = spread(places, LINE / inches)
    for (x, y, name, colour), height in zip(ordered, heights, strict=True):
        axes.annotate(
            name,
            xy=(x, y),
            xytext=(1.02, height),
            textcoords="axes fraction",
            color="#262626",
            fontsize=9,
            va="center",
            annotation_clip=False,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 1.2, "shrinkA": 0, "shrinkB": 1, "relpos": (0, 0.5)},
        )
