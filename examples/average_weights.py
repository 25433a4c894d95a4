"""The average of the weights is better than the last weights, where the learning rate is too high to settle.

    python examples/average_weights.py

A small network with batch norm learns the bundled digits by SGD at a constant, high rate: each batch of eight throws
the weights about, and the validation loss with them. Two averages are kept beside it: an exponential one, and the plain
mean of the second half of training. An average of weights has seen no data: batch norm's statistics are averaged like
the weights, or computed anew from the training data, and both are shown. Writes examples/figures/average_weights.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import optimlab as ol

DATA = ol.datasets.load("digits")
RATE, BATCH, DECAY = 1.0, 8, 0.99
KINDS = {"last": "last weights", "ema": "exponential average", "mean": "mean of second half"}
COLOURS = {"last": "#D55E00", "ema": "#0072B2", "mean": "#009E73"}  # Okabe & Ito (2008)
ANEW = " (statistics anew)"


class Watch:
    """A callback that keeps both averages and, after each epoch, the validation loss of all there is."""

    def __init__(self, network: ol.Network, mean_from: int) -> None:
        self.ema, self.mean = ol.AverageWeights(network, decay=DECAY), ol.AverageWeights(network)
        self.mean_from, self.epoch = mean_from, 0
        self.losses: dict[str, list[float]] = {}

    def on_step(self, network: ol.Network, optimizer: ol.Optimizer) -> None:
        self.ema.update()
        if self.epoch >= self.mean_from:
            self.mean.update()

    def __call__(self, network: ol.Network, optimizer: ol.Optimizer, history: ol.History) -> None:
        self.epoch = history.epochs
        self.losses.setdefault("last", []).append(history.val_loss[-1])
        for name, average in (("ema", self.ema), ("mean", self.mean)):
            averaged, anew = losses(average) if average.updates else (np.nan, np.nan)
            self.losses.setdefault(name, []).append(averaged)
            self.losses.setdefault(name + ANEW, []).append(anew)


def losses(average: ol.AverageWeights) -> tuple[float, float]:
    """Validation loss of an average with batch-norm statistics averaged, and computed anew."""
    with average.applied() as network:
        twin = network.copy()  # new statistics would otherwise go into the average
    averaged, _ = ol.evaluate(twin, DATA.x_val, DATA.y_val)
    ol.recompute_statistics(twin, DATA.x_train)
    return averaged, ol.evaluate(twin, DATA.x_val, DATA.y_val)[0]


def run(seed: int, epochs: int) -> dict[str, list[float]]:
    """Validation loss by epoch, for each kind of weights."""
    network = ol.MLP([64, 32, 10], batch_norm=True, seed=seed)
    watch = Watch(network, mean_from=epochs // 2)
    options = dict(epochs=epochs, batch_size=BATCH, seed=seed, callbacks=[watch], progress=False)
    ol.fit(network, ol.SGD(network.parameters, lr=RATE), DATA, **options)
    return watch.losses


def draw(curves: dict[str, Any], seeds: int) -> Figure:
    """Validation loss by epoch: each seed a thin line, their median a thick one."""
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.subplots()
    for kind, name in KINDS.items():
        values = curves[kind if kind == "last" else kind + ANEW]
        epochs = np.arange(1, values.shape[1] + 1)
        shown = ~np.isnan(values[0])
        axes.plot(epochs[shown], values[:, shown].T, color=COLOURS[kind], linewidth=0.7, alpha=0.45)
        median = np.median(values[:, shown], axis=0)
        axes.plot(epochs[shown], median, color=COLOURS[kind], linewidth=2.6)
        axes.annotate(
            f"{name}:\n{median[-1]:.3f} nats",
            (epochs[-1], median[-1]),
            xytext=(8, -14 if kind == "mean" else 10 if kind == "ema" else 0),
            textcoords="offset points",
            color=COLOURS[kind],
            fontsize=9,
            va="center",
            annotation_clip=False,
        )
    axes.set(yscale="log", xlabel="epoch", ylabel="validation loss (cross-entropy, nats)")
    axes.set_title(
        "Where the learning rate is too high to settle, the average of the weights is far better than the weights\n"
        f"Digits, MLP 64-32-10 with batch norm, SGD at rate {RATE:g}, batch {BATCH}; thick: median of {seeds} seeds\n"
        f"Averages: exponential, decay {DECAY} a step; plain mean since half of training; batch-norm statistics anew",
        fontsize=10,
        loc="left",
    )
    low, high = axes.get_ylim()
    ticks = [t for t in (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0) if low < t < high]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    return figure


def show(curves: dict[str, Any]) -> None:
    names = [(kind + more, name) for kind, name in KINDS.items() for more in ("", ANEW) if kind + more in curves]
    table = Table(title="Validation loss after the last epoch (nats)")
    for column in ("weights", "batch-norm statistics", "median", "lowest", "highest"):
        table.add_column(column, justify="left" if "statistics" in column or column == "weights" else "right")
    for key, name in names:
        last = curves[key][:, -1]
        statistics = "its own" if key == "last" else "anew" if key.endswith(ANEW) else "averaged"
        table.add_row(name, statistics, *(f"{f(last):.3f}" for f in (np.median, np.min, np.max)))
    Console().print(table)


def main(
    epochs: int = 30, seeds: Sequence[int] = range(5), folder: str | Path = Path(__file__).parent / "figures"
) -> dict[str, Any]:
    """Train, print, draw; returns the losses by kind of weights, shape ``(seeds, epochs)``."""
    runs = [run(seed, epochs) for seed in seeds]
    curves = {kind: np.array([r[kind] for r in runs]) for kind in runs[0]}
    show(curves)
    path = Path(folder) / "average_weights.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    # without the version of Matplotlib in it the file is the same each time
    draw(curves, len(seeds)).savefig(path, dpi=130, metadata={"Software": None})
    return curves


if __name__ == "__main__":
    main()
