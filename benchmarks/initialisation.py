"""What initial weights do to a signal on its way through a deep network: document 002, "Inicialización".

    python benchmarks/initialisation.py

Glorot and He chose the variance of the weights so that the signal's stays the same from layer to layer. The document
gives Glorot's normal form rightly, but a uniform one with half the variance, and for He the mean of inputs and outputs
where He et al. have the inputs. First the mean square of the values before each activation, by layer; then what it
means for training: ten hidden layers on the bundled digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import common
import numpy as np
from common import INK, PALETTE, Settings
from matplotlib.figure import Figure

import optimlab as ol
from optimlab.nn.initializers import Initializer, Uniform, VarianceScaling

DEPTH, ROWS = 20, 500


def halved_glorot_uniform(generator: np.random.Generator, shape: tuple[int, int]) -> Any:
    """The document's: +-sqrt(3 / (inputs + outputs)), whose variance is 1 / (inputs + outputs)."""
    return Uniform((3 / sum(shape)) ** 0.5)(generator, shape)


@dataclass(frozen=True)
class Way:
    """An initialisation of a deep network; ``right`` where its paper means it for this activation."""

    name: str
    initializer: Initializer
    right: bool


HE = (
    Way("He: 2/in", VarianceScaling(2.0, "fan_in"), True),
    Way("document's He: 2/((in+out)/2)", VarianceScaling(2.0, "fan_avg"), False),
    Way("Glorot: 1/((in+out)/2)", VarianceScaling(1.0, "fan_avg"), False),
)
GLOROT = (
    Way("Glorot normal", VarianceScaling(1.0, "fan_avg"), True),
    Way("Glorot uniform: ±√(6/(in+out))", VarianceScaling(1.0, "fan_avg", "uniform"), True),
    Way("document's uniform: ±√(3/(in+out))", halved_glorot_uniform, False),
)
PANELS = (
    ("ReLU, layers of 256 and 64 in turn", "relu", (256, 64), HE),
    ("ReLU, all layers 128 wide", "relu", (128, 128), HE),
    ("tanh, all layers 128 wide", "tanh", (128, 128), GLOROT),
)


def mean_squares(way: Way, activation: str, widths: tuple[int, int], seed: int) -> list[float]:
    """Of the values before the activation, in each layer, for standard normal inputs."""
    generator = np.random.default_rng(seed)
    f = ol.activations.get(activation)
    h = generator.standard_normal((ROWS, widths[0]))
    found = []
    for layer in range(DEPTH):
        z = h @ way.initializer(generator, (widths[layer % 2], widths[(layer + 1) % 2]))
        found.append(float((z * z).mean()))
        h = f(z)
    return found


def trained(way: Way, activation: str, widths: tuple[int, int], data: ol.Dataset, seed: int, epochs: int) -> float:
    """Validation accuracy after training ten hidden layers, of a quarter of these widths, by momentum at 0.01."""
    hidden = [widths[(k + 1) % 2] // 4 for k in range(10)]
    sizes = [data.x_train.shape[1], *hidden, len(data.classes)]
    network = ol.MLP(sizes, activation=activation, initializer=way.initializer, seed=seed)
    optimizer = ol.Momentum(network.parameters, lr=0.01)
    history = ol.fit(network, optimizer, data, epochs=epochs, batch_size=32, seed=seed, progress=False)
    return history.val_accuracy[-1]


def draw(found: list[dict[str, Any]], seeds: int) -> Figure:
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1)
    for axes, (title, _, _, ways) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axes.set_yscale("log")
        ends, layers = [], np.arange(1, DEPTH + 1)
        for k, way in enumerate(ways):
            values = np.array(next(f for f in found if f["panel"] == title and f["name"] == way.name)["mean_squares"])
            colour, dash = PALETTE[k], "-" if way.right else (0, (4, 1.5))
            axes.fill_between(layers, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
            axes.plot(layers, np.exp(np.log(values).mean(axis=0)), color=colour, linewidth=2, linestyle=dash)
            ends.append((values.mean(axis=0), way.name, colour))
        axes.set_title(title, fontsize=10, loc="left", color=INK)
        axes.set(xlabel="layer", xticks=(1, 5, 10, 15, 20))
        common.plain_axes(axes)
        low, high = axes.get_ylim()
        axes.set_ylim(low / 2, max(high, 3) * 2)
        for k, (_, name, colour) in enumerate(ends):
            axes.text(0.03, 0.19 - 0.07 * k, name, color=colour, fontsize=9, transform=axes.transAxes)
    figure.axes[0].set_ylabel("mean square before the activation")
    figure.suptitle(
        f"The signal by depth, for inputs of mean square 1: mean and range of {seeds} seeds; "
        "dashed: not what the paper says for this activation",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


@common.command(data="digits", epochs=20, seeds=10)
def main(settings: Settings) -> None:
    data = ol.datasets.load(settings.data)
    runs = common.Runs(settings)
    found = []
    for title, activation, widths, ways in PANELS:
        for way in ways:
            about = {"experiment": "initialisation", "row": way.name, "activation": activation, "widths": widths}
            made = [
                runs.get(
                    lambda way=way, a=activation, w=widths, seed=seed: {
                        "mean_squares": mean_squares(way, a, w, seed),
                        "val_accuracy": trained(way, a, w, data, seed, settings.epochs),
                    },
                    **about, epochs=settings.epochs, seed=seed, data=settings.data,
                )
                for seed in settings.seeds
            ]  # fmt: skip
            squares = [run["mean_squares"] for run in made]
            per_layer = [(of[-1] / of[0]) ** (1 / (DEPTH - 1)) for of in squares]
            found.append(
                {
                    "panel": title,
                    "name": way.name,
                    "right": way.right,
                    "mean_squares": squares,
                    "factor_per_layer": common.interval(per_layer)._asdict(),
                    "val_accuracy": common.interval([run["val_accuracy"] for run in made])._asdict(),
                }
            )
    common.show(
        f"Initial weights: {len(settings.seeds)} seeds",
        ("", "", "signal: factor\na layer", f"mean square\nin layer {DEPTH}",
         f"digits, 10 hidden layers,\n{settings.epochs} epochs: validation %"),
        [
            (f["panel"], f["name"], common.plus_minus(f["factor_per_layer"]),
             f"{np.exp(np.log([of[-1] for of in f['mean_squares']]).mean()):.2g}", common.percent(f["val_accuracy"]))
            for f in found
        ],
        "mean ±95% interval of the mean (Student's t); mean squares: geometric mean over the seeds",
    )  # fmt: skip
    says = [
        "The document's uniform form has half of Glorot's variance: for small signals, where tanh is nearly the "
        "identity, each layer halves the mean square.",
        "The document's He equals He's where all layers are equally wide, and only there: with widths a and b in turn "
        "a pair of layers multiplies the mean square by 4ab/(a+b)², which is 0.64 for 256 and 64, or 0.80 a layer.",
    ]
    common.say(says)
    common.write(settings, data, {"rows": found, "says": says}, draw(found, len(settings.seeds)))


if __name__ == "__main__":
    main()
