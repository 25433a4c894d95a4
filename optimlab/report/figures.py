"""The figures as geometry: everything in percent of a plot's box, so that a browser can stretch it to any width.

A line keeps its thickness and a label its size when the box is stretched, because strokes do not scale and text is
not part of the drawing. The page's template turns these into SVG, its script looks up what lies under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..diagnostics import HEALTHY
from ..errors import concise
from ..study.curves import Band, look
from ..tables import shortened
from .formats import MINUS, percent, plural, significant
from .reading import Results, Row

DASHES = ("", "7 2.5", "2 2.5")
DRAWN = 100
"""At most so many epochs of a curve are drawn (evenly spaced, the last among them); more would not be seen."""
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
        """Percent of the axis' length; what lies beyond an end is beyond it, by one more length at most."""
        low, high = (math.log10(v) if self.log else v for v in (self.low, self.high))
        at = math.log10(value) if self.log and value > 0 else -math.inf if self.log else value
        return round(min(200.0, max(-100.0, 100 * (at - low) / (high - low))), 2)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values inside, at most so many.

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
    """A logarithmic axis around the positive values, with a little room."""
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
    """What a panel shows against one horizontal axis."""

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
    stars: list[tuple[float, float]] = field(default_factory=list)
    key: int = -1
    """Its place in the page's list of points."""


def style(k: int) -> tuple[int, str]:
    """Number of the colour, and dashes, of the k-th optimizer."""
    colour, dash = look(k)
    return colour, DASHES[dash]


def thinned(length: int) -> list[int]:
    """Which of so many points are drawn.

    >>> thinned(4), len(thinned(1000)) <= DRAWN + 1, thinned(1000)[-1]
    ([0, 1, 2, 3], True, 999)
    """
    return sorted({*range(0, length, max(1, math.ceil(length / DRAWN))), length - 1} - {-1})


def line(x: Sequence[float], y: Sequence[float]) -> str:
    """A path through points given in percent from the lower left corner; a single point is a dot."""
    joined = "L".join(f"{a:g} {100 - b:g}" for a, b in zip(x, y, strict=False))
    return f"M{joined}" + ("h.01" if len(x) == 1 else "") if joined else ""


def area(x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """The closed band between two lines."""
    there = [f"{a:g} {100 - b:g}" for a, b in zip(x, high, strict=False)]
    back = [f"{a:g} {100 - b:g}" for a, b in zip(x, low, strict=False)][::-1]
    return f"M{'L'.join(there + back)}Z" if len(there) > 1 else ""


def dots(places: Iterable[tuple[float, float]]) -> str:
    """One path of many dots: strokes of no length with round ends."""
    return "".join(f"M{a:g} {100 - b:g}h.01" for a, b in places)


class Curve(NamedTuple):
    """A row's band of one quantity, placed in a panel."""

    x: dict[str, list[float]]
    median: list[float]
    low: list[float]
    high: list[float]
    text: list[str]


class Times(NamedTuple):
    """The two horizontal axes of a training curve."""

    epochs: Axis
    seconds: Axis

    def ticks(self) -> dict[str, list[tuple[float, str]]]:
        """Of both, labelled; an epoch is a whole number."""
        whole = [v for v in self.epochs.ticks(4) if v == int(v)]
        found = (("epochs", self.epochs, whole), ("seconds", self.seconds, self.seconds.ticks(4)))
        return {name: [(axis.place(v), f"{v:g}") for v in values] for name, axis, values in found}


def times(results: Results) -> Times:
    """Axes that hold every row's training."""
    last = max((row.seconds[-1] for row in results.rows if row.seconds), default=1.0)
    return Times(Axis(0, results.epochs), Axis(0, last or 1.0))


def place(row: Row, band: Band, axes: Times, y: Axis, say: Callable[[float, float, float], str]) -> Curve:
    """A band in percent; ``say`` puts a point's median, lowest and highest value into words."""
    passed = row.seconds
    kept = thinned(min(len(band.median), len(passed)))
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


def loss_panel(results: Results, axes: Times) -> Panel:
    """Training loss of all optimizers, each line labelled at its end."""
    shown = [(k, row) for k, row in enumerate(results.rows) if row.curves["train_loss"].median and row.kind == "tuned"]
    y = log_axis(v for _, row in shown for values in row.curves["train_loss"] for v in values)
    placed = {k: place(row, row.curves["train_loss"], axes, y, _say) for k, row in shown}
    height = max(360, LABEL * len(shown) + 24)
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
    return Panel(
        title="",
        note="",
        height=height,
        y_ticks=[(y.place(v), f"{v:g}") for v in y.ticks()],
        views=views,
        series=[Series(k, c.x, c.median, c.text) for k, c in placed.items()],
        labels=_apart([(k, row.label, concise(row.lr), placed[k].median[-1]) for k, row in shown], height),
    )


def _apart(ends: list[tuple[int, str, str, float]], height: int) -> list[Label]:
    """Labels at the heights of their lines' ends, moved apart where they would overlap."""
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


def accuracy_panels(results: Results, axes: Times) -> tuple[list[Panel], dict[str, list[Path]]]:
    """Validation accuracy, a panel a contender: its median and range, the same untuned or searched, the target.

    Also the lines of all, by axis, to be drawn behind each panel.
    """
    shown = [(k, row) for k, row in enumerate(results.rows) if row.kind == "tuned"]
    ends = [row.curves["val_accuracy"].median[-1] for _, row in shown if row.curves["val_accuracy"].median]
    y = Axis(max(0.0, min(0.8, results.target - 0.05, *(e - 0.05 for e in ends))), 1.0)
    curves = {k: place(r, r.curves["val_accuracy"], axes, y, _say_percent) for k, r in enumerate(results.rows)}
    ticks = axes.ticks()
    behind = {
        kind: [Path("other", line(curves[k].x[kind], curves[k].median), k) for k, _ in shown if curves[k].median]
        for kind in ticks
    }
    panels = []
    for k, row in shown:
        own = curves[k]
        beside = [j for j, other in enumerate(results.rows) if other.contender == row.contender and j != k]
        views = []
        for kind in ticks:
            paths = [Path("target", f"M0 {100 - y.place(results.target):g}H100")]
            paths += [Path(results.rows[j].kind, line(curves[j].x[kind], curves[j].median), j) for j in beside]
            paths += [Path("band", area(own.x[kind], own.low, own.high), k)]
            paths += [Path("line", line(own.x[kind], own.median), k)]
            views.append(View(kind, ticks[kind], [p for p in paths if p.d]))
        panels.append(
            Panel(
                title=row.label,
                note=f"lr {concise(row.lr)}" if own.median else f"lr {concise(row.lr)}: no run finished an epoch",
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


def sensitivity_panels(results: Results) -> tuple[list[Panel], dict[str, list[Path]]]:
    """Best validation accuracy against the learning rate: seeds as dots, diverged ticks on top, the choice starred."""
    shown = [(k, row) for k, row in enumerate(results.rows) if row.sensitivity]
    x = log_axis(rate.lr for _, row in shown for rate in row.sensitivity)
    y = Axis(0.0, 1.04)
    ticks = [(x.place(v), _power(v, x)) for v in x.ticks(4)]
    behind = [
        Path("other", line([x.place(r.lr) for r in row.sensitivity], [y.place(r.median) for r in row.sensitivity]), k)
        for k, row in shown
    ]
    panels = []
    for k, row in shown:
        rates = row.sensitivity
        places, medians = [x.place(r.lr) for r in rates], [y.place(r.median) for r in rates]
        seeds = [(x.place(r.lr), y.place(s)) for r in rates for s in r.scores if s is not None]
        diverged = [x.place(r.lr) for r in rates if None in r.scores]
        chosen = [(x.place(r.lr), y.place(r.median)) for r in rates if r.lr == row.lr]
        paths = [
            Path("target", f"M0 {100 - y.place(results.target):g}H100"),
            Path("line", line(places, medians), k),
            Path("dots", dots(seeds), k),
            Path("diverged", "".join(f"M{a:g} 0v7" for a in diverged), k),
        ]
        panels.append(
            Panel(
                title=row.label,
                note=f"best at {concise(row.lr)}",
                height=130,
                y_ticks=[(y.place(v), f"{percent(v, 0)}%") for v in (0.0, 0.5, 1.0)],
                views=[View("rates", ticks, [p for p in paths if p.d])],
                series=[Series(k, {"rates": places}, medians, [_rate_text(r.lr, r.scores, r.median) for r in rates])],
                row=k,
                stars=chosen,
            )
        )
    return panels, {"rates": behind}


def _rate_text(lr: float, scores: list[float | None], median: float) -> str:
    whole = [percent(s, 1) for s in scores if s is not None]
    said = f"lr {concise(lr)}: median {percent(median, 1)}%"
    if whole:
        said += f"; seeds {', '.join(whole)}"
    gone = len(scores) - len(whole)
    return said + (f"; {gone} of {len(scores)} did not finish" if gone else "")


def _power(value: float, axis: Axis) -> str:
    """A tick of a wide logarithmic axis: plain where short, else a power of ten."""
    if axis.low >= 5e-4 and axis.high < 5e4:
        return f"{value:g}"
    return f"10{str(round(math.log10(value))).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def ratio_panels(results: Results, axes: Times) -> tuple[list[tuple[Panel, Panel]], list[str]]:
    """Update/weight ratio of each layer over the epochs, and beneath it the learning rate; also the layers' names."""
    shown = [(k, row) for k, row in enumerate(results.rows) if row.kind == "tuned" and row.ratios]
    layers = list(dict.fromkeys(layer for _, row in shown for layer in row.ratios))
    y = log_axis([HEALTHY, *(v for _, row in shown for ratio in row.ratios.values() for v in ratio.median)])
    ticks = axes.ticks()
    panels = []
    for k, row in shown:
        placed = {
            layer: place(row, band, axes, y, lambda *v, layer=layer: f"{layer} {_say(*v)}")
            for layer, band in row.ratios.items()
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
        panels.append((upper, _rate_panel(k, row, axes)))
    return panels, layers


def _rate_panel(k: int, row: Row, axes: Times) -> Panel:
    rates = row.curves["lr"]
    top = max(rates.median, default=0.0) or 1.0
    y = Axis(0.0, 1.15 * top)
    placed = place(row, rates, axes, y, lambda rate, low, high: f"learning rate {concise(rate, 3)}")
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


def budget_panel(results: Results) -> Panel | None:
    """The best score expected after so many of the random trials, where there was a search."""
    shown = [(k, row) for k, row in enumerate(results.rows) if row.best_after]
    if not shown:
        return None
    names = [row.label for row in results.rows]
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


def profile_panels(results: Results) -> tuple[list[Panel], dict[str, list[Path]]]:
    """Dolan and Moré's performance profile, where several problems were compared."""
    names = [row.label for row in results.rows]
    curves = {} if results.profile is None else results.profile.curves
    shown = [(names.index(label), steps) for label, steps in curves.items() if label in names and steps]
    x = Axis(1.0, max((2.0, *(f for _, steps in shown for f, _ in steps))) * 1.05, log=True)
    y = Axis(0.0, 1.04)
    ticks = [(x.place(v), f"{v:g}×") for v in x.ticks()]
    places = {k: [(x.place(f), y.place(share)) for f, share in steps] for k, steps in shown}
    stairs = {
        k: f"M{at[0][0]:g} {100 - at[0][1]:g}" + "".join(f"H{a:g}V{100 - b:g}" for a, b in at[1:]) + "H100"
        for k, at in places.items()
    }
    panels = [
        Panel(
            title=names[k],
            note=f"best on {percent(steps[0][1], 0)}%",
            height=130,
            y_ticks=[(y.place(v), f"{percent(v, 0)}%") for v in (0.0, 0.5, 1.0)],
            views=[View("factors", ticks, [Path("line", stairs[k], k)])],
            series=[
                Series(
                    k,
                    {"factors": [a for a, _ in places[k]]},
                    [b for _, b in places[k]],
                    [f"within a factor {significant(f, 3)} of the best: {percent(s, 0)}%" for f, s in steps],
                )
            ],
            row=k,
        )
        for k, steps in shown
    ]
    return panels, {"factors": [Path("other", d, k) for k, d in stairs.items()]}


class Forest(NamedTuple):
    """The paired differences on one axis, in percent of its width: zero, ticks, and (low, mean, high) of each row."""

    zero: float
    ticks: list[tuple[float, str]]
    marks: list[tuple[float, float, float]]


def forest(results: Results) -> Forest:
    """The interval of each row's paired difference in test accuracy.

    The axis covers the tuned rows that finished a run; another row may lie beyond it.
    """
    spans = [row.test_difference for row in results.tuned if row.finished]
    low, high = min([0.0, *(s.low for s in spans)]), max([0.0, *(s.high for s in spans)])
    room = 0.06 * (high - low) or 0.01
    axis = Axis(low - room, high + room)
    marks = [
        (axis.place(d.low), axis.place(d.mean), axis.place(d.high)) for d in (r.test_difference for r in results.rows)
    ]
    return Forest(axis.place(0.0), [(axis.place(v), f"{100 * v:g}".replace("-", MINUS)) for v in axis.ticks(3)], marks)
