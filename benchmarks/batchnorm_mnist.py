"""Batch norm on MNIST: the experiment of Ioffe & Szegedy (2015), section 4.1 and figure 1.

    python benchmarks/batchnorm_mnist.py

The paper trains three hidden layers of 100 sigmoids on binary images, for 50,000 steps of 60 images, with and without
batch norm. It shows the accuracy on the test images as training progresses, and how the inputs of one typical sigmoid
of the last hidden layer are distributed meanwhile. It says that the initial weights are small and Gaussian, and names
neither their deviation nor the rule and its rate. Here they have a deviation of 0.1, and plain gradient descent takes
steps of 0.1.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import common
import numpy as np
from common import INK, PALETTE, SOFT, Settings
from matplotlib.figure import Figure

import optimlab as ol

SIZES, BATCH, RATE, DEVIATION = (784, 100, 100, 100, 10), 60, 0.1, 0.1
EVERY, EARLY = 500, 50
"""Steps between two looks at the network, and between those of the first 500."""
WATCHED = 2_000
"""Test images whose way through the network is watched."""
UNIT = 0
"""The unit that is shown. All units start alike, so that the first is as typical as any."""
WAYS = {"without batch norm": False, "with batch norm": True}


def binary(data: ol.Dataset) -> ol.Dataset:
    """All training images, each pixel 0 or 1, to train on; the test images are only looked at."""
    whole = common.all_but_test(data)
    middle = 127 if whole.x_train.dtype == "uint8" else 0.5
    black, test = ((x > middle).astype("float32") for x in (whole.x_train, whole.x_test))
    return replace(whole, x_train=black, x_test=test)


def small_gaussian(generator: np.random.Generator, shape: tuple[int, int]) -> Any:
    return generator.normal(0, DEVIATION, shape)


class Watch:
    """A callback that measures the test accuracy and the inputs of the last hidden layer's sigmoids."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y, self.taken = x, y, 0
        self.steps: list[int] = []
        self.accuracy: list[float] = []
        self.percentiles: list[Any] = []

    def on_begin(self, network: ol.Network, optimizer: Any, history: ol.History) -> None:
        self.look(network)

    def on_step(self, network: ol.Network, optimizer: Any) -> None:
        self.taken += 1
        if self.taken % (EARLY if self.taken < EVERY else EVERY) == 0:
            self.look(network)

    def look(self, network: ol.Network) -> None:
        self.steps.append(self.taken)
        self.accuracy.append(ol.evaluate(network, self.x, self.y)[1])
        # the last hidden layer's sigmoids and the Dense layer after them left out, what remains computes their inputs
        below = ol.Network([copy.deepcopy(layer) for layer in network.layers[:-2]])
        self.percentiles.append(np.percentile(below.logits(self.x[:WATCHED]), (15, 50, 85), axis=0))


def trained(data: ol.Dataset, batch_norm: bool, seed: int, epochs: int) -> dict[str, Any]:
    """One run: what :class:`Watch` saw."""
    network = ol.MLP(SIZES, activation="sigmoid", batch_norm=batch_norm, initializer=small_gaussian, seed=seed)
    watch = Watch(data.x_test, data.y_test)
    optimizer = ol.SGD(network.parameters, lr=RATE)
    history = ol.fit(
        network, optimizer, data, epochs=epochs, batch_size=BATCH, seed=seed, callbacks=[watch], progress=False
    )
    if history.status == "interrupted":
        raise KeyboardInterrupt
    seen = np.array(watch.percentiles)
    return {
        "status": "diverged" if history.status == "diverged" else "ok",
        "seconds": sum(history.seconds),
        "steps": watch.steps,
        "test_accuracy": watch.accuracy,
        "percentiles": seen[:, :, UNIT].T.tolist(),
    }


def stability(run: dict[str, Any]) -> dict[str, float]:
    """Measure how far the median of the unit's inputs wanders, and by what factor their spread changes.

    The looks of the first steps are left out: batch norm's running averages have to settle first.
    """
    settled = np.array(run["steps"]) >= min(EARLY, run["steps"][-1])
    low, middle, high = np.array(run["percentiles"])[:, settled]
    spreads = np.maximum(high - low, 1e-12)
    return {"median_range": float(np.ptp(middle)), "spread_ratio": float(spreads.max() / spreads.min())}


def summarise(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "steps": runs[0]["steps"]}
    curves = np.array([run["test_accuracy"] for run in runs])
    made["test_accuracy"] = {**common.interval(curves[:, -1])._asdict(), "runs": curves[:, -1].tolist()}
    made["curves"] = curves.tolist()
    for quantity in ("median_range", "spread_ratio"):
        made[quantity] = [stability(run)[quantity] for run in runs]
    made["percentiles"] = [run["percentiles"] for run in runs]
    return made


def reached(found: dict[str, Any], accuracy: float) -> int | None:
    """The first look at which the mean over the seeds has that accuracy."""
    over = np.flatnonzero(np.mean(found["curves"], axis=0) >= accuracy)
    return found["steps"][over[0]] if len(over) else None


def by_seed(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def draw(found: list[dict[str, Any]]) -> Figure:
    """The three panels of the paper's figure; the distributions are those of the first seed."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1)
    first, *others = figure.subplots(1, 1 + len(found))
    last = found[0]["steps"][-1]
    lowest = 100.0
    for f, colour in zip(found, PALETTE, strict=False):
        curves = 100 * np.array(f["curves"])
        first.fill_between(f["steps"], curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        first.plot(f["steps"], curves.mean(axis=0), color=colour, linewidth=1.7)
        lowest = min(lowest, curves[:, -1].min())
    first.set(ylabel="test accuracy (%)", title="(a) accuracy")
    first.set_ylim(max(0, min(70, lowest - 5)), 101)
    for f, colour, height in zip(found, PALETTE, (0.08, 0.16), strict=False):
        first.text(0.97, height, f["name"], color=colour, fontsize=10, ha="right", transform=first.transAxes)
    for axes, f, colour, letter in zip(others, found, PALETTE, "bc", strict=False):
        low, middle, high = np.array(f["percentiles"][0])
        axes.fill_between(f["steps"], low, high, color=colour, alpha=0.2, linewidth=0)
        late = slice(len(middle) // 2, None)
        for values, name, level, offset in (
            (high, "85th percentile", high[late].max(), 3),
            (middle, "median", middle[late].max(), 3),
            (low, "15th percentile", low[late].min(), -10),
        ):
            axes.plot(f["steps"], values, color=colour, linewidth=1.7 if name == "median" else 0.9)
            axes.annotate(name, (last, level), xytext=(-3, offset), textcoords="offset points", color=INK,
                          fontsize=8.5, ha="right")  # fmt: skip
        axes.set(ylabel="input of one sigmoid", title=f"({letter}) {f['name']}")
    for axes in (first, *others):
        axes.set(xlabel="step", xlim=(0, max(last, 1)))
        axes.title.set_fontsize(10)
        common.plain_axes(axes)
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    heights = [limit for axes in others for limit in axes.get_ylim()]
    for axes in others:
        axes.axhline(0, color=SOFT, linewidth=0.6)
        axes.set_ylim(min(heights) - 0.2, max(heights) + 0.2)
    seeds = len(found[0]["curves"])
    figure.suptitle(
        f"MNIST, three hidden layers of 100 sigmoids. (a) mean and range of {seeds} seeds; "
        "(b, c) inputs of one unit of the last hidden layer, first seed",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


@common.command(data="mnist", epochs=50)
def main(settings: Settings) -> None:
    data = binary(ol.datasets.load(settings.data))
    runs = common.Runs(settings)
    about = {"rate": RATE, "deviation": DEVIATION, "epochs": settings.epochs, "data": common.about(data)["digest"]}
    kept: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    with common.until_interrupted():
        for seed in settings.seeds:
            for name, batch_norm in WAYS.items():
                run = runs.get(
                    lambda b=batch_norm, s=seed: trained(data, b, s, settings.epochs),
                    experiment=settings.name, row=name, seed=seed, **about,
                )  # fmt: skip
                kept[name].append(run)
    found = [summarise(name, made) for name, made in kept.items() if len(made) > 1]
    if len(found) < len(WAYS):
        raise ol.InputError("fewer than two seeds are finished; the same command goes on")
    last = found[0]["steps"][-1]
    common.show(
        f"Batch norm on MNIST: {last:,} steps, {len(found[0]['curves'])} seeds",
        ("", "test accuracy %\nat the end", "the median moves over\na range of, by seed",
         "largest spread by\nsmallest, by seed"),
        [
            (f["name"], common.percent(f["test_accuracy"]), by_seed(f["median_range"]), by_seed(f["spread_ratio"]))
            for f in found
        ],
        "accuracy: mean ±95% interval of the mean (Student's t); the others: inputs of one sigmoid of the last hidden "
        f"layer from step {EARLY} on, and the spread is that from the 15th to the 85th percentile",
    )  # fmt: skip
    plain, normal = found
    goal = plain["test_accuracy"]["mean"]
    sooner = reached(normal, goal)
    says = []
    if sooner is not None:
        says.append(
            f"With batch norm, the accuracy that {last:,} steps reach without it ({100 * goal:.2f}%) is there after "
            f"{sooner:,} steps."
        )
    says.append(
        f"From step {EARLY} on, the spread of the shown unit's inputs changes by a factor of "
        f"{by_seed(plain['spread_ratio'])} without batch norm and of {by_seed(normal['spread_ratio'])} with it "
        "(by seed)."
    )
    says.append(
        "The paper prints no figures for this experiment, only curves. It says that the network with batch norm has "
        "the higher test accuracy, and that batch norm makes the distributions more stable."
    )
    common.say(says)
    common.write(settings, data, {"rows": found, "says": says}, draw(found))


if __name__ == "__main__":
    main()
