"""The figures as geometry: everything in percent of a plot's box, so that a browser can stretch it to any width.

A line keeps its thickness and a label its size when the box is stretched, because strokes do not scale and text is
not part of the drawing. The page's template turns these into SVG, its script looks up what lies under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..common.errors import concise
from ..common.tables import shortened
from ..study.curves import Band, look, regret, sensitivity
from ..study.results import Row, Summary
from ..study.table import rate
from ..training.diagnostics import HEALTHY
from .formats import MINUS, percent, plural, significant
from .lines import Lines
from .table import difference

DASHES = ("", "7 2.5", "2 2.5")
DRAWN, SHARED = 100, 2400
"""At most so many epochs of a curve are drawn (evenly spaced, the last among them); more would not be seen. Where there
are many rows, they share the second number, so that the page stays small."""
NAME = 22
"""The most characters of a name beside a line's end; a longer one loses its middle."""
LABEL = 17
"""Pixels from one label at the end of a line to the next."""


class Axis(NamedTuple):
    """A scale from ``low`` to ``high``, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the place of a value in percent of the axis; values beyond an end lie at most one length outside."""
        low, high = (math.log10(v) if self.log else v for v in (self.low, self.high))
        at = math.log10(value) if self.log and value > 0 else -math.inf if self.log else value
        return round(min(200.0, max(-100.0, 100 * (at - low) / (high - low))), 2)

    def ticks(self, most: int = 5) -> list[float]:
        """Return round values inside the axis, at most ``most``.

        >>> Axis(0, 20).ticks(), Axis(0.0007, 5, log=True).ticks()
        ([0.0, 5.0, 10.0, 15.0, 20.0], [0.001, 0.01, 0.1, 1.0])
        """
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            if last - first >= 2:
                every = math.ceil((last - first + 1) / most)
                return [float(f"1e{k}") for k in range(first, last + 1, every)]
            fine = [float(f"{m}e{k}") for k in range(first - 1, last + 1) for m in (1, 2, 5)]
            inside = [v for v in fine if self.low <= v <= self.high]
            if len(inside) > 1:
                return inside
        step = next(s for s in _round_steps((self.high - self.low) / most) if (self.high - self.low) / s < most + 1e-9)
        start = math.ceil(self.low / step - 1e-9)
        return [round(k * step, 12) for k in range(start, math.floor(self.high / step + 1e-9) + 1)]


def _round_steps(about: float) -> Iterable[float]:
    decade = math.floor(math.log10(about))
    return (float(f"{m}e{k}") for k in range(decade, decade + 3) for m in (1, 2, 5))


def log_axis(values: Iterable[float]) -> Axis:
    """Return a logarithmic axis around the positive values, with a little room."""
    positive = [min(max(v, 1e-300), 1e300) for v in values if v > 0]
    low, high = min(positive, default=0.1), max(positive, default=1.0)
    room = max(1.05, (high / low) ** 0.03)
    return Axis(low / room, high * room, log=True)


class Path(NamedTuple):
    """One SVG path: ``kind`` is its class in the style sheet, ``row`` the optimizer it belongs to."""

    kind: str
    d: str
    row: int | None = None
    colour: int | None = None
    dash: str = ""


@dataclass
class View:
    """Contents of a panel against one horizontal axis."""

    kind: str
    ticks: list[tuple[float, str]]
    paths: list[Path]


@dataclass
class Series:
    """The points that can be asked for their values."""

    row: int
    x: dict[str, list[float]]
    y: list[float]
    text: list[str]


@dataclass
class Label:
    """A name beside the end of a line, ``top`` pixels down; ``end`` is where the line itself ends.

    ``remark`` is left out where the page is narrow.
    """

    row: int
    name: str
    remark: str
    top: float
    end: float
    colour: int
    dash: str


@dataclass
class Panel:
    """One box with axes; ``row`` is the optimizer it is about, None if all."""

    title: str
    note: str
    height: int
    y_ticks: list[tuple[float, str]]
    views: list[View]
    series: list[Series]
    row: int | None = None
    labels: list[Label] = field(default_factory=list)
    key: int = -1
    """Its place in the page's list of points."""


def style(k: int) -> tuple[int, str]:
    """Return the number of the k-th optimizer's colour, and its dashes."""
    colour, dash = look(k)
    return colour, DASHES[dash]


def thinned(length: int, most: int = DRAWN) -> list[int]:
    """Return the numbers of the points that are drawn, of ``length``.

    >>> thinned(4), len(thinned(1000)) <= DRAWN + 1, thinned(1000)[-1]
    ([0, 1, 2, 3], True, 999)
    """
    return sorted({*range(0, length, max(1, math.ceil(length / most))), length - 1} - {-1})


def line(x: Sequence[float], y: Sequence[float]) -> str:
    """Return a path through points given in percent from the lower left corner; a single point is a dot."""
    joined = "L".join(f"{a:g} {100 - b:g}" for a, b in zip(x, y, strict=False))
    return f"M{joined}" + ("h.01" if len(x) == 1 else "") if joined else ""


def area(x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """Return the closed band between two lines."""
    there = [f"{a:g} {100 - b:g}" for a, b in zip(x, high, strict=False)]
    back = [f"{a:g} {100 - b:g}" for a, b in zip(x, low, strict=False)][::-1]
    return f"M{'L'.join(there + back)}Z" if len(there) > 1 else ""


def dots(places: Iterable[tuple[float, float]]) -> str:
    """Return one path of many dots: strokes of no length with round ends."""
    return "".join(f"M{a:.1f} {100 - b:.1f}h0" for a, b in places)


class Curve(NamedTuple):
    """A row's band of one quantity, placed in a panel."""

    x: dict[str, list[float]]
    median: list[float]
    low: list[float]
    high: list[float]
    text: list[str]


class Times(NamedTuple):
    """The two horizontal axes of a training curve, and the most points that a curve has on them."""

    epochs: Axis
    seconds: Axis
    most: int = DRAWN

    def ticks(self) -> dict[str, list[tuple[float, str]]]:
        """Return the labelled ticks of both axes; an epoch is a whole number."""
        whole = [v for v in self.epochs.ticks(4) if v == int(v)]
        found = (("epochs", self.epochs, whole), ("seconds", self.seconds, self.seconds.ticks(4)))
        return {name: [(axis.place(v), f"{v:g}") for v in values] for name, axis, values in found}


def times(summary: Summary, lines: Sequence[Lines]) -> Times:
    """Return axes that hold every row's training."""
    last = max((own.seconds[-1] for own in lines if own.seconds), default=1.0)
    most = max(SHARED // DRAWN, min(DRAWN, SHARED // len(summary.rows)))
    return Times(Axis(0, summary.epochs), Axis(0, last or 1.0), most)


def place(own: Lines, band: Band, axes: Times, y: Axis, say: Callable[[float, float, float], str]) -> Curve:
    """Return a band in percent; ``say`` puts a point's median, lowest and highest value into words."""
    passed = own.seconds
    kept = thinned(min(len(band.median), len(passed)), axes.most)
    median, low, high = ([y.place(values[k]) for k in kept] for values in band)
    x = {
        "epochs": [axes.epochs.place(k + 1) for k in kept],
        "seconds": [axes.seconds.place(passed[k]) for k in kept],
    }
    text = [
        f"epoch {k + 1}, {significant(passed[k], 3)} s: {say(band.median[k], band.low[k], band.high[k])}" for k in kept
    ]
    return Curve(x, median, low, high, text)


def _say(median: float, low: float, high: float) -> str:
    return f"{significant(median, 3)} ({significant(low, 3)} to {significant(high, 3)})"


def _say_percent(median: float, low: float, high: float) -> str:
    return f"{percent(median)}% ({percent(low)} to {percent(high)})"


def _tuned(summary: Summary) -> list[tuple[int, Row]]:
    return [(k, row) for k, row in enumerate(summary.rows) if row.kind == "tuned"]


def loss_panel(summary: Summary, lines: Sequence[Lines], axes: Times) -> Panel:
    """Return a panel with the training loss of all optimizers, each line labelled at its end."""
    shown = {k: lines[k].curves["train_loss"] for k, _ in _tuned(summary) if lines[k].curves["train_loss"].median}
    y = log_axis(v for loss in shown.values() for values in loss for v in values)
    placed = {k: place(lines[k], loss, axes, y, _say) for k, loss in shown.items()}
    placed = {k: curve for k, curve in placed.items() if curve.median}
    height = max(360, LABEL * len(placed) + 24)
    ticks = axes.ticks()
    views = [
        View(
            kind,
            ticks[kind],
            [Path("lead", f"M{c.x[kind][-1]:g} {100 - c.median[-1]:g}H100", k) for k, c in placed.items()]
            + [Path("band", area(c.x[kind], c.low, c.high), k, style(k)[0]) for k, c in placed.items()]
            + [Path("line", line(c.x[kind], c.median), k, *style(k)) for k, c in placed.items()],
        )
        for kind in ticks
    ]
    ends = [(k, summary.rows[k].label, rate(summary.rows[k].lr), c.median[-1]) for k, c in placed.items()]
    return Panel(
        title="",
        note="",
        height=height,
        y_ticks=[(y.place(v), f"{v:g}") for v in y.ticks()],
        views=views,
        series=[Series(k, c.x, c.median, c.text) for k, c in placed.items()],
        labels=_apart(ends, height),
    )


def _apart(ends: list[tuple[int, str, str, float]], height: int) -> list[Label]:
    """Return labels at the heights of their lines' ends, moved apart where they would overlap."""
    names = shortened([name for _, name, _, _ in ends], NAME)
    ordered = sorted(
        ((k, name, remark, y) for (k, _, remark, y), name in zip(ends, names, strict=True)), key=lambda end: -end[-1]
    )
    tops = [height * (1 - y / 100) for *_, y in ordered]
    for k in range(1, len(tops)):  # down
        tops[k] = max(tops[k], tops[k - 1] + LABEL)
    limit = height - LABEL / 2
    for k in reversed(range(len(tops))):  # and up again from the foot
        tops[k] = min(tops[k], limit)
        limit = tops[k] - LABEL
    return [
        Label(k, name, remark, round(top, 1), round(height * (1 - y / 100), 1), *style(k))
        for (k, name, remark, y), top in zip(ordered, tops, strict=True)
    ]


def accuracy_panels(summary: Summary, lines: Sequence[Lines], axes: Times) -> tuple[list[Panel], dict[str, list[Path]]]:
    """Return a panel of validation scores for each contender: tuned with its range, untuned, searched; and the target.

    The second part holds the lines of all contenders by axis, which are drawn behind each panel.
    """
    shown, target = _tuned(summary), summary.target.value
    bands = [own.curves["val_score"] for own in lines]
    ends = [bands[k].median[-1] for k, _ in shown if bands[k].median]
    y = Axis(max(0.0, min(0.8, target - 0.05, *(e - 0.05 for e in ends))), 1.0)
    curves = [place(own, band, axes, y, _say_percent) for own, band in zip(lines, bands, strict=True)]
    ticks = axes.ticks()
    behind = {
        kind: [Path("other", line(curves[k].x[kind], curves[k].median), k) for k, _ in shown if curves[k].median]
        for kind in ticks
    }
    panels = []
    for k, row in shown:
        own = curves[k]
        beside = [j for j, other in enumerate(summary.rows) if other.contender == row.contender and j != k]
        views = []
        for kind in ticks:
            paths = [Path("target", f"M0 {100 - y.place(target):g}H100")]
            paths += [Path(summary.rows[j].kind, line(curves[j].x[kind], curves[j].median), j) for j in beside]
            paths += [Path("band", area(own.x[kind], own.low, own.high), k)]
            paths += [Path("line", line(own.x[kind], own.median), k)]
            views.append(View(kind, ticks[kind], [p for p in paths if p.d]))
        panels.append(
            Panel(
                title=row.label,
                note=f"lr {rate(row.lr)}" if own.median else f"lr {rate(row.lr)}, no curve",
                height=130,
                y_ticks=[(y.place(v), f"{percent(v, 0)}%") for v in y.ticks(4)],
                views=views,
                series=[
                    Series(j, curves[j].x, curves[j].median, curves[j].text) for j in [k, *beside] if curves[j].median
                ],
                row=k,
            )
        )
    return panels, behind


def sensitivity_panels(summary: Summary) -> tuple[list[Panel], dict[str, list[Path]]]:
    """Return a panel for each contender: best validation score against the learning rate.

    Runs are dots, those that did not finish ticks on top, each replicate's chosen run a larger dot.
    """
    shown = _tuned(summary)
    trials = {k: [trial for one in row.replicates for trial in one.grid] for k, row in shown}
    x, y = log_axis(trial.lr for own in trials.values() for trial in own), Axis(0.0, 1.04)
    ticks = [(x.place(v), _power(v, x)) for v in x.ticks(4)]
    medians = {k: sensitivity(row) for k, row in shown}
    placed = {k: ([x.place(v) for v in rates], [y.place(v) for v in scores]) for k, (rates, scores) in medians.items()}
    behind = [Path("other", line(*placed[k]), k) for k, _ in shown if placed[k][0]]
    panels = []
    for k, row in shown:
        whole = [(x.place(t.lr), y.place(t.val_score)) for t in trials[k] if t.val_score is not None]
        gone = sorted({x.place(t.lr) for t in trials[k] if t.val_score is None})
        chosen = [(x.place(one.lr), y.place(one.val_score)) for one in row.replicates if one.status == "ok"]
        paths = [
            Path("target", f"M0 {100 - y.place(summary.target.value):g}H100"),
            Path("dots", dots(whole), k),
            Path("line", line(*placed[k]), k),
            Path("chosen", dots(chosen), k),
            Path("diverged", "".join(f"M{a:g} 0v7" for a in gone), k),
        ]
        rates, scores = (values[::EVERY] for values in medians[k])
        texts = [
            f"lr {concise(float(f'{lr:.2g}'))}: {percent(score, 1)}% in the median"
            for lr, score in zip(rates, scores, strict=True)
        ]
        panels.append(
            Panel(
                title=row.label,
                note=f"best at {_span(row)}",
                height=130,
                y_ticks=[(y.place(v), f"{percent(v, 0)}%") for v in (0.0, 0.5, 1.0)],
                views=[View("rates", ticks, [p for p in paths if p.d])],
                series=[Series(k, {"rates": placed[k][0][::EVERY]}, placed[k][1][::EVERY], texts)] if texts else [],
                row=k,
            )
        )
    return panels, {"rates": behind}


def _span(row: Row) -> str:
    low, high = (concise(float(f"{value:.2g}")) for value in (row.lr.low, row.lr.high))
    return low if low == high else f"{low} to {high}"


def regret_panels(summary: Summary) -> tuple[list[Panel], dict[str, list[Path]]]:
    """Return a panel for each contender with the validation score that a rate beside the best one loses."""
    lost = {k: regret(row) for k, row in _tuned(summary) if row.finished}
    lost = {k: curve for k, curve in lost.items() if curve[0]}
    x = log_axis(factor for factors, _ in lost.values() for factor in factors)
    y = Axis(min(LARGEST_LOSS, max((v for _, losses in lost.values() for v in losses), default=1.0)) or 0.01, 0.0)
    ticks = [(x.place(v), f"×{v:g}") for v in (0.1, 1.0, 10.0) if x.low <= v <= x.high]
    placed = {k: ([x.place(v) for v in factors], [y.place(v) for v in losses]) for k, (factors, losses) in lost.items()}
    panels = []
    for k, (factors, losses) in lost.items():
        middle = min(range(len(factors)), key=lambda at: abs(math.log10(factors[at])))
        asked = range(middle % EVERY, len(factors), EVERY)  # the best rate is among them
        panels.append(
            Panel(
                title=summary.rows[k].label,
                note="",
                height=130,
                y_ticks=[(y.place(v), f"{100 * v:g}".replace("-", MINUS)) for v in Axis(y.high, y.low).ticks(4)],
                views=[View("factors", ticks, [Path("line", line(*placed[k]), k)])],
                series=[
                    Series(
                        k,
                        {"factors": [placed[k][0][at] for at in asked]},
                        [placed[k][1][at] for at in asked],
                        [
                            f"at {significant(factors[at])} times its best rate: {percent(losses[at])} points lost"
                            for at in asked
                        ],
                    )
                ],
                row=k,
            )
        )
    return panels, {"factors": [Path("other", line(*placed[k]), k) for k in lost]}


EVERY = 3
"""One in so many points of a median over rates can be asked for its value."""
LARGEST_LOSS = 0.2
"""Of the score, shown in the figure of what a rate beside the best one loses; a curve leaves the figure below it."""


def _power(value: float, axis: Axis) -> str:
    """Return the label of a tick on a wide logarithmic axis: plain if short, else a power of ten."""
    if axis.low >= 5e-4 and axis.high < 5e4:
        return f"{value:g}"
    return f"10{str(round(math.log10(value))).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def ratio_panels(summary: Summary, lines: Sequence[Lines], axes: Times) -> tuple[list[tuple[Panel, Panel]], list[str]]:
    """Return panels with each layer's update/weight ratio and, beneath, the learning rate; and the layers' names."""
    shown = [(k, row, lines[k]) for k, row in _tuned(summary) if lines[k].ratios]
    layers = list(dict.fromkeys(layer for _, _, own in shown for layer in own.ratios))
    y = log_axis([HEALTHY, *(v for _, _, own in shown for ratio in own.ratios.values() for v in ratio.median)])
    ticks = axes.ticks()
    panels = []
    for k, row, own in shown:
        placed = {
            layer: place(own, band, axes, y, lambda *v, layer=layer: f"{layer} {_say(*v)}")
            for layer, band in own.ratios.items()
        }
        views = [
            View(
                kind,
                ticks[kind],
                [
                    Path("target", f"M0 {100 - y.place(HEALTHY):g}H100"),
                    *(
                        Path("line", line(c.x[kind], c.median), k, *style(layers.index(layer)))
                        for layer, c in placed.items()
                        if c.median
                    ),
                ],
            )
            for kind in ticks
        ]
        upper = Panel(
            title=row.label,
            note="",
            height=120,
            y_ticks=[(y.place(v), _power(v, y)) for v in y.ticks(4)],
            views=views,
            series=[Series(k, c.x, c.median, c.text) for c in placed.values() if c.median],
            row=k,
        )
        panels.append((upper, _rate_panel(k, own, axes)))
    return panels, layers


def _rate_panel(k: int, own: Lines, axes: Times) -> Panel:
    rates = own.curves["lr"]
    top = max(rates.median, default=0.0) or 1.0
    y = Axis(0.0, 1.15 * top)
    placed = place(own, rates, axes, y, lambda rate, low, high: f"learning rate {concise(rate, 3)}")
    return Panel(
        title="",
        note="learning rate",
        height=40,
        y_ticks=[(0.0, "0"), (y.place(top), significant(top))],
        views=[
            View(kind, t, [Path("rate", line(placed.x[kind], placed.median), k)]) for kind, t in axes.ticks().items()
        ],
        series=[Series(k, placed.x, placed.median, placed.text)],
        row=k,
    )


def budget_panel(summary: Summary) -> Panel | None:
    """Return the best score expected after each number of random trials; None without a search."""
    shown = [(k, row) for k, row in enumerate(summary.rows) if row.best_after]
    if not shown:
        return None
    names = [row.label for row in summary.rows]
    values = [v for _, row in shown for v in row.best_after]
    x = Axis(0, max(len(row.best_after) for _, row in shown))
    room = 0.05 * (max(values) - min(values)) or 0.01
    y = Axis(min(values) - room, max(values) + room)
    paths, series, ends = [], [], []
    for k, row in shown:
        own = names.index(row.contender) if row.contender in names else k
        kept = thinned(len(row.best_after))
        places, heights = [x.place(i + 1) for i in kept], [y.place(row.best_after[i]) for i in kept]
        paths.append(Path("line", line(places, heights), own, *style(own)))
        texts = [f"best of {plural(i + 1, 'trial')}: {percent(row.best_after[i])}% expected" for i in kept]
        series.append(Series(own, {"trials": places}, heights, texts))
        ends.append((own, row.contender, "", heights[-1]))
    height = max(300, LABEL * len(shown) + 24)
    ticks = [(x.place(v), f"{v:g}") for v in x.ticks() if v == int(v)]
    return Panel(
        title="",
        note="",
        height=height,
        y_ticks=[(y.place(v), f"{100 * v:g}%") for v in y.ticks()],
        views=[View("trials", ticks, paths)],
        series=series,
        labels=_apart(ends, height),
    )


class Forest(NamedTuple):
    """The paired differences on one axis, in percent of its width: zero, ticks, and (low, mean, high) of each row."""

    zero: float
    ticks: list[tuple[float, str]]
    marks: list[tuple[float, float, float]]


def forest(summary: Summary) -> Forest:
    """Return the interval of each row's difference in test score to its reference; the reference itself has zero.

    The axis covers the tuned rows that finished a run; another row may lie beyond it.
    """
    found = [difference(row, summary) for row in summary.rows]
    spans = [(0.0, 0.0, 0.0) if one is None else (one[0].low, one[0].mean, one[0].high) for one in found]
    inside = [span for row, span in zip(summary.rows, spans, strict=True) if row.kind == "tuned" and row.finished]
    low, high = min((span[0] for span in inside), default=0.0), max((span[2] for span in inside), default=0.0)
    low, high = min(0.0, low), max(0.0, high)
    room = 0.06 * (high - low) or 0.01
    axis = Axis(low - room, high + room)
    marks = [(axis.place(a), axis.place(b), axis.place(c)) for a, b, c in spans]
    return Forest(axis.place(0.0), [(axis.place(v), f"{100 * v:g}".replace("-", MINUS)) for v in axis.ticks(3)], marks)
