"""The figures of one training run: its curves, and what its diagnostics measured.

Colours are those of :mod:`optimlab.plotting.comparison`, and every line has its name beside its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..common.errors import InputError
from ..study.curves import look
from ..training.diagnostics import HEALTHY, Diagnostics
from ..training.history import History
from .comparison import DASHES, INK, PALETTE, end_labels, headline, plain_axes

TRAINING, VALIDATION, QUIET = INK, PALETTE[1], "#595959"

WIDE = 20.0
"""Values whose largest is more than this many times the smallest are drawn on a log axis."""

FEW = 25
"""Up to so many points are drawn as dots, too."""

Lines = Mapping[str, tuple[Sequence[float], int]]
"""Values and the number of a look (:func:`optimlab.study.curves.look`), by the name beside the line."""


def history_figure(history: History) -> Figure:
    """Draw loss, score and learning rate against epochs; the best epoch on the validation split has a ring.

    Raises
    ------
    InputError: no epoch was completed.
    """
    if not history.epochs:
        raise InputError(f"there is no completed epoch to draw: the run {history.ending()}")
    score = "r2" if history.train_r2 else "accuracy"
    names = ["loss", *([score] if getattr(history, f"train_{score}") else []), *(["lr"] if history.lr else [])]
    figure, panels = _panels(len(names))
    epochs = range(1, history.epochs + 1)
    for axes, name in zip(panels, names, strict=True):
        axes.set_xlabel("epoch")
        if name == "lr":
            axes.set_title("in the last step of each epoch", fontsize=9)
            axes.set_ylabel("learning rate")
            _draw(axes, epochs, {"": (history.lr, 0)}, log=True)
        else:
            _measure(axes, history, name)
    headline(figure, f"Run {history.ending()}")
    return figure


def _measure(axes: Axes, history: History, name: str) -> None:
    """Draw one measure on both splits."""
    train, val = getattr(history, f"train_{name}"), getattr(history, f"val_{name}")
    lines = {"training": (train, 0), "validation": (val, 1)}
    if name == "loss" and history.penalty:
        lines["penalties"] = (history.penalty, 2)
    axes.set_ylabel({"loss": "loss, mean of the rows", "accuracy": "accuracy", "r2": "R²"}[name])
    if val:
        value, epoch = history.best(f"val_{name}")
        axes.plot([epoch], [value], "o", color=VALIDATION, markersize=10, markerfacecolor="none", markeredgewidth=1.5)
        text = f"{100 * value:.2f}%" if name == "accuracy" else f"{value:.4g}"
        axes.set_title(f"validation best at epoch {epoch} (ring): {text}", fontsize=9)
    _draw(axes, range(1, history.epochs + 1), lines, log=name == "loss")
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def diagnostics_figure(watch: Diagnostics) -> Figure:
    """Draw update ratios, dead units, and how far training accuracy is above validation, each if it was measured.

    Raises
    ------
    InputError: nothing was measured.
    """
    measured = watch.measurements
    if not measured:
        raise InputError(
            f"there is nothing to draw: the run was shorter than {watch.every} steps, so none was measured"
        )
    steps = [m.step for m in measured]
    layers = [name for name in measured[-1].update_ratio if all(name in m.update_ratio for m in measured)]
    ratios = {name.partition(".")[0]: [m.update_ratio[name] for m in measured] for name in layers}
    dead = {name: [m.dead[name] for m in measured] for name in measured[-1].dead}
    shown = [bool(ratios), bool(dead), bool(watch.gaps)]
    if not any(shown):
        raise InputError(
            "there is nothing to draw: no weight is trained, no unit can be dead, and no accuracy is known"
        )
    figure, panels = _panels(sum(shown))
    places = iter(panels)
    if ratios:
        axes = next(places)
        axes.set(xlabel="step", ylabel="length of the step / length of the weights")
        axes.set_title(f"update ratio; dashed: {HEALTHY:g}, a usual one", fontsize=9)
        axes.set_yscale("log")
        axes.axhline(HEALTHY, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
        _draw(axes, steps, {name: (values, k) for k, (name, values) in enumerate(ratios.items())})
    if dead:
        axes = next(places)
        axes.set(xlabel="step", ylabel="units without a gradient", ylim=(-0.03, 1.03))
        axes.set_title("dead units: derivative 0 for every row", fontsize=9)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _draw(axes, steps, {name: (values, k) for k, (name, values) in enumerate(dead.items())})
    if watch.gaps:
        axes = next(places)
        axes.set(xlabel="epoch", ylabel="percentage points")
        axes.set_title("accuracy gap: training minus validation", fontsize=9)
        axes.axhline(0, color=QUIET, linewidth=1.2)
        _draw(axes, range(1, len(watch.gaps) + 1), {"": ([100 * gap for gap in watch.gaps], 0)})
    headline(figure, "; ".join(watch.verdict().splitlines()))
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.3 * count, 3.5), layout="constrained")
    panels = list(figure.subplots(1, count, squeeze=False).ravel())
    for axes in panels:
        plain_axes(axes)
    return figure, panels


def _draw(axes: Axes, x: Sequence[float], lines: Lines, *, log: bool = False) -> None:
    """Draw the lines that have values, and write their names beside them; ``log`` where they spread widely."""
    drawn = {name: line for name, line in lines.items() if line[0]}
    together = np.concatenate([values for values, _ in drawn.values()])
    if log and together.min() > 0 and together.max() > WIDE * together.min():
        axes.set_yscale("log")
    for values, k in drawn.values():
        colour, dash = look(k)
        style = {"color": PALETTE[colour], "linestyle": DASHES[dash], "marker": "o" if len(x) <= FEW else ""}
        axes.plot(x, values, **style, linewidth=1.8, markersize=3.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if len(x) == 1:
        axes.set(xlim=(x[0] - 0.5, x[0] + 0.03), xticks=x)
    ends = [(float(x[-1]), float(values[-1]), name, PALETTE[look(k)[0]]) for name, (values, k) in drawn.items() if name]
    end_labels(axes, [end for end in ends if np.isfinite(end[1])])
