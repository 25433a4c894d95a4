"""The figures of a hyperparameter search.

Scores near 1 differ by little in a picture, so the error, 1 - score, is drawn on a log axis.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..common.errors import concise, exact
from ..study.results import described
from ..tuning import Choice, Tuned
from .comparison import INK, PALETTE, headline, plain_axes

STAR = PALETTE[1]
LABELS = {"lr": "learning rate", "batch_size": "batch size (rows)"}
LABELS |= {"factor": "plateau: factor of the cut", "patience": "plateau: patience (epochs)"}


def trials_figure(tuned: Tuned) -> Figure:
    """Draw the objective of each trial in the order of the trials, and the best so far."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    plain_axes(axes)
    values = [_shown(tuned, record) for record in tuned.records]
    best = np.fmin.accumulate(values)
    axes.plot(values, "o", color=INK, markersize=5, alpha=0.8)
    axes.step(range(len(best)), best, where="post", color="#737373", linewidth=1.5, zorder=1)
    first = int(np.flatnonzero(np.isfinite(best))[0])
    axes.annotate(
        "best so far",
        (first, best[first]),
        xytext=(6, -9),
        textcoords="offset points",
        color="#595959",
        fontsize=9,
        va="top",
    )
    k = tuned.best["number"]
    axes.plot([k], [values[k]], "*", color=STAR, markersize=15, markeredgecolor="white")
    right = k > 0.6 * len(values)
    axes.annotate(
        f"trial {k}: {_written(tuned, values[k])}",
        (k, values[k]),
        xytext=(-9 if right else 9, -4),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        color=STAR,
        fontsize=9,
    )
    _diverged(axes, [r["number"] for r in tuned.records if r["status"] == "diverged"])
    _scale(tuned, axes)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial, in the order they were made", ylabel=_label(tuned))
    headline(figure, _title(tuned, "each trial at its best epoch (dots)"))
    return figure


def slices_figure(tuned: Tuned) -> Figure:
    """Draw the objective against each searched hyperparameter, a panel each; the others vary from dot to dot."""
    spaces = tuned.search.searched
    columns = min(len(spaces), 2 if len(spaces) in (2, 4) else 3)
    rows = ceil(len(spaces) / columns)
    figure = Figure(figsize=(max(5.5, 3.4 * columns + 0.6), 2.8 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes in grid[len(spaces) :]:
        axes.set_visible(False)
    for axes, name in zip(grid, spaces, strict=False):
        plain_axes(axes)
        _slice(tuned, axes, name)
    _scale(tuned, grid[0])
    for axes in grid[::columns]:
        axes.set_ylabel(_label(tuned), fontsize=10)
    headline(figure, _title(tuned, "each trial (dots), the best (star)"))
    return figure


def _slice(tuned: Tuned, axes: Axes, name: str) -> None:
    space = tuned.search.searched[name]
    places = {value: float(k) for k, value in enumerate(sorted(space.values()))} if isinstance(space, Choice) else {}

    def place(record: dict[str, Any]) -> float:
        value = record["hyperparameters"][name]
        return places[value] if places else float(value)

    whole = [r for r in tuned.records if r["status"] == "ok"]
    best = tuned.best
    axes.plot([place(r) for r in whole], [_shown(tuned, r) for r in whole], "o", color=INK, markersize=4.5, alpha=0.75)
    axes.plot([place(best)], [_shown(tuned, best)], "*", color=STAR, markersize=14, markeredgecolor="white")
    if isinstance(space, Choice):
        axes.set_xticks(list(places.values()), [exact(value) for value in places])
        axes.set_xlim(-0.5, len(places) - 0.5)
    elif space.scale == "log":
        axes.set_xscale("log")
        margin = (space.high / space.low) ** 0.04
        axes.set_xlim(space.low / margin, space.high * margin)
        if space.high / space.low < 100:  # else powers of ten are enough
            _plain_log(axes.xaxis, space.high / space.low, lambda v: f"{v:g}")
    elif space.scale == "pow2":
        axes.set_xscale("log", base=2)
        axes.set_xticks(space.values(), [f"{v:g}" for v in space.values()])
        axes.set_xlim(space.values()[0] / 2**0.3, space.values()[-1] * 2**0.3)
    elif space.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    value = best["hyperparameters"][name]
    axes.set_xlabel(f"{LABELS.get(name, name)}; best {concise(value, 3)}", fontsize=10, parse_math=False)
    _diverged(axes, [place(r) for r in tuned.records if r["status"] == "diverged"])


def _shown(tuned: Tuned, record: dict[str, Any]) -> float:
    """Return the errors or losses to draw: NaN if a trial diverged, half a row if there was no error at all."""
    if record["status"] != "ok":
        return float("nan")
    if tuned.search.objective == "val_loss":
        return float(record["val_loss"])
    rows: int = tuned.summary["rows"]["val"]
    return max(1 - float(record["val_score"]), 0.5 / rows)


def _written(tuned: Tuned, value: float) -> str:
    return f"{value:.4g}" if tuned.search.objective == "val_loss" else f"{100 * value:.2f}% error"


def _scale(tuned: Tuned, axes: Axes) -> None:
    """Set a logarithmic axis with a few plain numbers, and room at the top for the trials that diverged."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ratio = high / low
    axes.set_ylim(low / ratio**0.05, high * (ratio**0.1 if tuned.summary["diverged"] else 1))
    if tuned.search.objective == "val_loss":
        _plain_log(axes.yaxis, ratio, lambda v: f"{v:g}")
    else:
        _plain_log(axes.yaxis, ratio, lambda v: f"{100 * v:g}%" if v <= 1 else "")


def _plain_log(axis: Axis, ratio: float, written: Callable[[float], str]) -> None:
    """Put numbers at 1, 2 and 5 in each decade of a logarithmic axis, more on a short axis, fewer on a long one."""
    between = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if ratio < 3 else (1.0, 2.0, 5.0) if ratio < 1e4 else (1.0,)
    axis.set_major_locator(LogLocator(subs=between))
    axis.set_major_formatter(FuncFormatter(lambda v, _: written(v)))
    axis.set_minor_formatter(NullFormatter())


def _diverged(axes: Axes, places: list[Any]) -> None:
    """Draw crosses for diverged trials along the top."""
    axes.plot(places, [0.965] * len(places), "x", color=STAR, markersize=6, transform=axes.get_xaxis_transform())


def _label(tuned: Tuned) -> str:
    if tuned.search.objective == "val_loss":
        return f"validation loss ({described(tuned.search.problem.loss_function.name)})"
    return "validation error (" + ("share of rows)" if tuned.search.problem.score == "accuracy" else "1 - R²)")


def _title(tuned: Tuned, what: str) -> str:
    search = tuned.search
    what += "; at the top: diverged (crosses)" if tuned.summary["diverged"] else ""
    return f"Search: {what}\n{search}; {len(tuned.records)} trials ({search.sampler}, seed {search.seed})"
