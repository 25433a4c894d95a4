"""One erratum of the page, and what they all share: small training runs, numbers as text, figures."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, isinf, isnan
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import optimlab as ol

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
DIGITS = ol.datasets.load("digits")
RIGHT, WRONG, INK, SOFT = "#0072B2", "#D55E00", "#333333", "#737373"  # Okabe & Ito (2008); wrong is dashed as well


@dataclass
class Section:
    """One erratum on the page; ``says``, ``right`` and ``shows`` are its row of the table on top."""

    key: str
    document: str
    title: str
    says: str
    right: str
    shows: str
    body: Sequence[str]
    figure: Figure | None = None
    caption: str = ""


def run(rule: ol.rules.Rule, start: Sequence[float], gradient: Callable[[Any, int], Any], steps: int, **hyper: Any):
    """Weights before and after each step, shape ``(steps + 1, weights)``; ``gradient(w, step)`` is the loss's."""
    net = ol.MLP([len(start), 1], use_bias=False, dtype="float64")
    net.load(start)
    opt = ol.Optimizer(net.parameters, rule, **hyper)
    w = net.parameters.data
    path = [w.copy()]
    with np.errstate(all="ignore"):  # wrong rules may overflow
        for step in range(steps):
            net.parameters.grad[...] = gradient(w, step)
            opt.step()
            path.append(w.copy())
    return np.array(path)


def train(
    rule: ol.rules.Rule,
    data: ol.Dataset = DIGITS,
    *,
    epochs: int = 10,
    hidden: Sequence[int] = (32,),
    batch_size: int = 64,
    seed: int = 0,
    loss: Any = "softmax_cross_entropy",
    callbacks: Sequence[Any] = (),
    **hyper: Any,
) -> tuple[ol.Network, ol.History]:
    """A small ReLU network trained by ``rule``."""
    net = ol.MLP([64, *hidden, 10], seed=seed, dtype="float64")
    opt = ol.Optimizer(net.parameters, rule, **hyper)
    options = dict(epochs=epochs, batch_size=batch_size, seed=seed, loss=loss, callbacks=callbacks)
    return net, ol.fit(net, opt, data, progress=False, **options)


def losses(rule: ol.rules.Rule, data: ol.Dataset = DIGITS, **options: Any) -> list[float]:
    """Training loss by epoch."""
    return train(rule, data, **options)[1].train_loss


def by_epoch(function: Callable[[int], float], data: ol.Dataset = DIGITS, batch_size: int = 64) -> Any:
    """A function of the epoch as the schedule that an optimizer takes."""
    return ol.schedules.per_epoch(function, ceil(len(data.x_train) / batch_size))


def measured(experiment: str, row: str) -> dict[str, Any]:
    """A row of a benchmark's results: optimlab's measurements, and the numbers that the document printed."""
    rows = json.loads((RESULTS / f"{experiment}.json").read_text(encoding="utf-8"))["rows"]
    found = next(r for r in rows if r["name"] == row and r.get("engine", "optimlab") == "optimlab")
    return {**found, **found.get("optimlab", {})}


def num(x: float, digits: int = 3) -> str:
    """``x`` to so many significant digits."""
    if isnan(x) or isinf(x):
        return "NaN" if isnan(x) else "infinity"
    mantissa, exponent = f"{abs(x):.{digits - 1}e}".split("e")
    power = int(exponent)
    text = f"{float(f'{mantissa}e{power}'):,.{max(0, digits - 1 - power)}f}"
    return ("−" if x < 0 else "") + (text if -4 <= power < 6 else f"{mantissa}e{power}")


def percent(x: float, decimals: int = 1) -> str:
    return f"{100 * x:.{decimals}f}%"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(*functions: Callable[..., Any]) -> str:
    return "```python\n" + "\n\n\n".join(inspect.getsource(f).strip() for f in functions) + "\n```"


def panels(count: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8.4 if count > 1 else 5.6, 3.3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, count))
    for a in axes:
        a.spines[["top", "right"]].set_visible(False)
        a.grid(color="#E6E6E6", linewidth=0.6)
        a.set_axisbelow(True)
    figure.get_layout_engine().set(w_pad=0.12)
    return figure, list(axes)


def title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=10, loc="left", color=INK)


def pair(axes: Axes, x: Any, right: Any, wrong: Any, **style: Any) -> None:
    """Two curves in the colours of the page: wrong is dashed, and drawn on top of right."""
    axes.plot(x, right, color=RIGHT, linewidth=2, **style)
    axes.plot(x, wrong, color=WRONG, linewidth=2, linestyle=(0, (4, 1.5)), **style)


def label(axes: Axes, x: float, y: float, text: str, colour: str, **place: Any) -> None:
    axes.text(x, y, text, color=colour, fontsize=9, **{"va": "center", **place})
