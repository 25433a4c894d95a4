"""The figures of a comparison at the width of a paper's column: vector, in letters of 8 points.

Up to six optimizers share one panel: each has a colour that colour-blind readers tell apart, and a dash and a marker
that remain in print without colours. More of them get a panel each, with the others in grey behind.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil, floor, inf, log10, nan
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from ..common.errors import number
from ..plotting.comparison import GREY, INK, PALETTE, inches_of, short_names
from ..plotting.maps import COLOURS
from ..study.compare import Comparison
from ..study.curves import band, sensitivity
from ..study.maps import Map, colour_range, maps_of
from ..study.results import Joint, Row, Summary
from ..study.summary import in_percent
from ..study.table import ranked

ONE_COLUMN, TWO_COLUMNS = 3.25, 6.75
"""Inches: a column of a page with two, and both with the gap between them."""
SIZE = 8
"""Points, of every letter."""
TOGETHER = 6
"""At most so many optimizers share a panel."""
KEY = 0.62
"""Inches of a legend's sample of a line, and of the gap to the next."""
TALLEST = 9.0
"""Inches: a page has no more room."""
DASHES: tuple[Any, ...] = (
    "-",
    (0, (4, 1.2)),
    (0, (1, 1)),
    (0, (5, 1.2, 1, 1.2)),
    (0, (2.5, 1)),
    (0, (6, 1, 1, 1, 1, 1)),
)
MARKERS = "osD^vX"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "font.size": SIZE,
    **{f"{part}.labelsize": SIZE for part in ("axes", "xtick", "ytick")},
    **{f"{part}.titlesize": SIZE for part in ("axes", "figure")},
    "legend.fontsize": SIZE,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,  # TrueType, whose letters stay text that can be searched
    "pdf.compression": 9,
    "axes.unicode_minus": True,
}


class Line(NamedTuple):
    """One optimizer's line in a figure, and the band around it if there is one."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


Draw = Callable[[float], Figure]
AxesOf = Callable[[Axes, Mapping[str, Line]], None]


def figures(comparison: Comparison) -> dict[str, tuple[Draw, str]]:
    """Return the figures of a comparison by name: a function that draws at a width in inches, and a caption.

    ``validation`` and ``loss`` are training curves, ``sensitivity`` is the score at each learning rate, ``test`` is the
    test score of each row with its interval, and ``map``, if a hyperparameter was searched, the score at each rate and
    value.
    """
    summary = comparison.summary
    label = {row.label: row for row in summary.tuned}
    replicates = (
        f"median (line) and range (band) of {summary.replicates} replicates, each at the learning rate it chose"
    )
    measure, goal = summary.measure, in_percent(summary.target.value)
    maps = maps_of(summary)
    found: dict[str, tuple[Draw, str]] = {
        "validation": (
            lambda width: _panels(_curves(comparison, label, "val_score"), width, _validation(comparison.summary)),
            f"Validation {measure} by epoch: {replicates}. Dashed: the target of {goal}.",
        ),
        "loss": (
            lambda width: _panels(_curves(comparison, label, "train_loss"), width, _loss),
            f"Training loss ({summary.loss}) by epoch: {replicates}.",
        ),
        "sensitivity": (
            lambda width: _panels(
                {name: Line(*sensitivity(row)) for name, row in label.items()}, width, _rates(measure)
            ),
            f"Best validation {measure} at each learning rate: median of {summary.replicates} replicates.",
        ),
        "test": (
            lambda width: _intervals(ranked(summary.tuned), width, measure),
            f"Test {measure} at the best learning rate of each replicate: mean and 95% confidence interval over "
            f"{summary.replicates} replicates.",
        ),
    }
    if maps:
        found["map"] = (
            lambda width: _maps(maps, width, measure),
            f"Validation {measure} at each learning rate and each value of a searched hyperparameter: mean over "
            f"{summary.replicates} replicates of the best run in the cell. Framed: the highest; grey: too few runs.",
        )
    return found


def joint_figures(joint: Joint) -> dict[str, tuple[Draw, str]]:
    """Return the performance profile of several problems in the same form; nothing if there are no ranks."""
    if not joint.profile:
        return {}
    end = 1.15 * max(2.0, *(factor for stairs in joint.profile.values() for factor, _ in stairs))
    lines = {}
    for name, stairs in joint.profile.items():
        x, y = [*(factor for factor, _ in stairs), end], [*(share for _, share in stairs), stairs[-1][1]]
        lines[name] = Line(np.repeat(x, 2)[1:].tolist(), np.repeat(y, 2)[:-1].tolist())
    problems = len(joint.rankings[0].problems)
    caption = f"Performance profile over {problems} problems: share of the problems on which an optimizer needs at most"
    caption += " so many times the fewest epochs to the target."
    return {"profile": (lambda width: _panels(lines, width, _profile), caption)}


def pdf(draw: Draw, width: float) -> bytes:
    """Return a figure as PDF with embedded fonts; the same figure gives the same bytes.

    Raises
    ------
    InputError: the width is not one of a page, in inches.
    """
    width = number("the width of a figure in inches", width, low=2, high=20)
    content = io.BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        # letters that the font lacks are drawn as empty boxes; the table has the name in full
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        draw(width).savefig(content, format="pdf", metadata={"CreationDate": None, "Creator": "optimlab"})
    return content.getvalue()


def _curves(comparison: Comparison, rows: Mapping[str, Row], quantity: str) -> dict[str, Line]:
    """Return the curves of the chosen runs, without optimizers whose runs failed in a replicate."""
    lines = {}
    for name, row in rows.items():
        chosen = [r for r in comparison.chosen(row) if r.status != "error"]
        middle, low, high = band([getattr(record.curves, quantity) for record in chosen])
        lines[name] = Line(np.arange(1, len(middle) + 1).tolist(), middle, low, high)
    return lines


# ---- the kinds of panels: each sets the axes that all panels share ----


def _validation(summary: Summary) -> AxesOf:
    def axes_of(axes: Axes, lines: Mapping[str, Line]) -> None:
        target = summary.target.value
        ends = [line.y[-1] for line in lines.values() if line.y]
        axes.set_ylim(max(0.0, min([target - 0.1, *(end - 0.05 for end in ends)])), 1.0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.axhline(target, color="#737373", linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
        _epochs(axes)
        axes.set_ylabel(f"validation {summary.measure}")

    return axes_of


def _loss(axes: Axes, lines: Mapping[str, Line]) -> None:
    axes.set_yscale("log")
    values = [value for line in lines.values() for value in (*line.low, *line.high) if value > 0]
    _decades(axes.yaxis, max(values, default=1.0) / min(values, default=1.0))
    _epochs(axes)
    axes.set_ylabel("training loss")


def _rates(measure: str) -> AxesOf:
    def axes_of(axes: Axes, lines: Mapping[str, Line]) -> None:
        axes.set_xscale("log")
        _decades(axes.xaxis)
        axes.set_ylim(0.0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("learning rate")
        axes.set_ylabel(f"validation {measure}")

    return axes_of


def _profile(axes: Axes, lines: Mapping[str, Line]) -> None:
    axes.set_xscale("log")
    end = max(line.x[-1] for line in lines.values())
    ticks = [t for t in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if t <= end]
    axes.set_xlim(1, end)
    axes.set_xticks(ticks[:: ceil(len(ticks) / 5)], [f"{t:g}" for t in ticks[:: ceil(len(ticks) / 5)]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("epochs, as a multiple of the fewest")
    axes.set_ylabel("share of problems")


def _epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.set_xlabel("epoch")


def _decades(axis: Axis, ratio: float = inf) -> None:
    """Label powers of ten in letters of full size, without small exponents; add 2 and 5 if the range is short.

    ``ratio`` is that of the highest and the lowest value.
    """
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if ratio < 30 else LogLocator(numticks=5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))


def power(value: float) -> str:
    """Return the label of a tick on a logarithmic axis.

    >>> power(0.01), power(100.0), power(1e-5), power(0.5)
    ('0.01', '100', '10⁻⁵', '0.5')
    """
    exponent = round(log10(value))
    if 1e-3 <= value <= 1e3 or abs(log10(value) - exponent) > 1e-6:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


# ---- laying them out ----


def _panels(lines: Mapping[str, Line], width: float, axes_of: AxesOf) -> Figure:
    """Draw all lines in one panel with a legend, or many lines in a panel each."""
    return _together(lines, width, axes_of) if len(lines) <= TOGETHER else _apart(lines, width, axes_of)


def _together(lines: Mapping[str, Line], width: float, axes_of: AxesOf) -> Figure:
    columns = _columns(lines, width)
    legend = ceil(len(lines) / columns) * 0.17
    figure = Figure(figsize=(width, min(0.62 * width, 3.0) + legend), layout="constrained")
    axes = figure.subplots()
    axes_of(axes, lines)
    names = short_names(lines, most=100, inches=width / columns - KEY, size=SIZE)
    for k, (name, line) in enumerate(lines.items()):
        if len(line.low):
            axes.fill_between(line.x, line.low, line.high, color=PALETTE[k], alpha=0.15, linewidth=0)
        marks = _places(len(line.x), k)
        axes.plot(line.x, line.y, color=PALETTE[k], linestyle=DASHES[k], marker=MARKERS[k], markevery=marks, label="_")
        axes.plot(
            [], [], color=PALETTE[k], linestyle=DASHES[k], marker=MARKERS[k], label=f"\N{ZERO WIDTH SPACE}{names[name]}"
        )
    legend_of = figure.legend(loc="outside lower center", ncols=columns, handlelength=2.6, columnspacing=1.0)
    for text in legend_of.get_texts():
        text.set_parse_math(False)
    return figure


def _columns(lines: Mapping[str, Line], width: float) -> int:
    """Return how many names fit beside each other in a legend."""
    widest = max(inches_of(name, SIZE) for name in lines) + KEY
    return max(1, min(len(lines), floor((width - 0.1) / widest)))


def _places(points: int, k: int) -> list[int]:
    """Return the points of the k-th line that have a marker: about five, at other places on every line."""
    step = max(1, points // 5)
    return list(range(min(k * step // TOGETHER, max(points - 1, 0)), points, step))


def _apart(lines: Mapping[str, Line], width: float, axes_of: AxesOf) -> Figure:
    columns = max(2, floor(width / 1.6))
    while ceil(len(lines) / columns) * 1.05 + 0.5 > TALLEST and width / (columns + 1) > 0.8:
        columns += 1
    rows = ceil(len(lines) / columns)
    figure = Figure(figsize=(width, min(1.05 * rows + 0.5, TALLEST)), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.02)  # type: ignore[union-attr,call-arg]
    panels = dict(zip(lines, grid.ravel(), strict=False))
    names = short_names(lines, inches=(width - 0.5) / columns - 0.1, size=SIZE)
    for axes in grid.ravel()[len(lines) :]:
        axes.set_visible(False)
    for name, axes in panels.items():
        axes_of(axes, lines)
        axes.set(xlabel="", ylabel="")
        if width / columns < 1.1:  # fewer ticks, so that their numbers do not touch
            log = axes.get_xscale() == "log"
            axes.xaxis.set_major_locator(LogLocator(numticks=3) if log else MaxNLocator(nbins=2, integer=True))
        axes.plot(*_joined(line for other, line in lines.items() if other != name), color=GREY, linewidth=0.5)
        line = lines[name]
        if len(line.low):
            axes.fill_between(line.x, line.low, line.high, color=INK, alpha=0.25, linewidth=0)
        axes.plot(line.x, line.y, color=INK)
        axes.set_title(names[name], parse_math=False)
    for axes in grid.ravel()[max(0, len(lines) - columns) : len(lines)]:  # no other is below them
        axes.tick_params(labelbottom=True)
    probe = Figure().subplots()
    axes_of(probe, lines)
    figure.supxlabel(probe.get_xlabel(), fontsize=SIZE)
    figure.supylabel(probe.get_ylabel(), fontsize=SIZE)
    return figure


def _joined(lines: Iterable[Line]) -> tuple[list[float], list[float]]:
    """Join several lines into one with gaps, which is drawn much faster."""
    x: list[float] = []
    y: list[float] = []
    for line in lines:
        x += [*line.x, nan]
        y += [*line.y, nan]
    return x, y


def _intervals(rows: Sequence[Row], width: float, measure: str) -> Figure:
    """Draw a dot with its interval for each row, the best on top."""
    shown = sorted((row for row in rows if row.finished), key=lambda row: row.test_score.mean)
    figure = Figure(figsize=(width, min(0.19 * len(shown) + 0.55, TALLEST)), layout="constrained")
    axes = figure.subplots()
    names = short_names([row.label for row in shown], inches=0.4 * width, size=SIZE)
    for place, row in enumerate(shown):
        mean, low, high = row.test_score
        axes.plot([low, high], [place, place], color="#595959", linewidth=1.1)
        axes.plot([mean], [place], "o", color=INK)
    axes.set_yticks(range(len(shown)), [names[row.label] for row in shown], parse_math=False)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"test {measure}, %")
    return figure


def _maps(maps: list[Map], width: float, measure: str) -> Figure:
    """Draw a panel for each map, in colours that grow lighter with the score."""
    heights = [0.24 * len(one.values) + 0.55 for one in maps]
    figure = Figure(figsize=(width, min(sum(heights) + 0.6, TALLEST)), layout="constrained")
    panels = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights).ravel()
    names = short_names(dict.fromkeys(one.contender for one in maps), most=100, inches=width - 0.2, size=SIZE)
    low, high = colour_range(maps)
    for one, axes in zip(maps, panels, strict=True):
        scores = np.array([[nan if score is None else score for score in line] for line in one.scores])
        axes.set_facecolor("#E6E6E6")
        # not as an image: the cells stay vector graphics
        cells = axes.pcolormesh(
            np.ma.masked_invalid(scores), cmap=COLOURS, vmin=low, vmax=high, edgecolors="face", linewidth=0.2
        )
        row, column = one.best
        frame = Rectangle((column, row), 1, 1, fill=False, edgecolor="#D55E00", linewidth=1.5, clip_on=False, zorder=3)
        axes.add_patch(frame)
        step = ceil(len(one.rates) / max(2, floor((width - 1.2) / 0.5)))
        rates = {place + 0.5: power(float(f"{rate:.2g}")) for place, rate in enumerate(one.rates)}
        axes.set_xticks(list(rates)[::step], list(rates.values())[::step])
        axes.set_yticks([place + 0.5 for place in range(len(one.values))], one.values)
        axes.set_ylabel(one.name, parse_math=False)
        axes.set_title(names[one.contender], loc="right", parse_math=False)  # it may go beyond the axes, to the left
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    panels[-1].set_xlabel("learning rate")
    below = any(score is not None and score < low for one in maps for line in one.scores for score in line)
    extend = "min" if below else "neither"
    bar = figure.colorbar(cells, ax=list(panels), location="bottom", aspect=9 * width, extend=extend)
    assert bar.solids is not None
    bar.solids.set(rasterized=False, edgecolor="face")
    bar.ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    bar.ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low >= 0.04 else 1))
    bar.set_label(f"mean validation {measure}")
    return figure
