"""Dropout and max-norm on MNIST: three rows of table 2 of Srivastava et al. (2014).

    python benchmarks/dropout_mnist.py                     # the networks of the paper, an hour or more a row
    python benchmarks/dropout_mnist.py --epochs 10         # as far as 10 epochs get

The paper chose its settings on 10,000 validation images, then trained on all 60,000 for a million updates. This script
chooses nothing: the settings below are fixed in advance. It trains on the same 60,000 images for as many epochs as it
is told, and looks at the test images once, at the end. A run that is stopped goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import common
import numpy as np
from common import INK, PALETTE, SOFT, Settings
from matplotlib.figure import Figure
from scipy import stats

import optimlab as ol
from optimlab.nn.layers import Activate, Dense, Dropout, Layer

BATCH = 100
PAPER_UPDATES = 1_000_000


@dataclass(frozen=True)
class Row:
    """A row of the paper's table.

    Attributes
    ----------
    hidden: widths of the hidden layers.
    rate, momentum: of gradient descent; the rate falls along a line to a hundredth.
    dropout: of the inputs and of the hidden units.
    limit: of max-norm.
    error: the test error in the paper, a fraction.
    """

    name: str
    hidden: tuple[int, ...]
    activation: str
    rate: float
    momentum: float
    error: float
    dropout: tuple[float, float] | None = None
    limit: float | None = None

    def config(self) -> dict[str, Any]:
        return {"row": self.name, "hidden": list(self.hidden), "activation": self.activation, "rate": self.rate,
                "momentum": self.momentum, "dropout": self.dropout and list(self.dropout), "limit": self.limit,
                "batch": BATCH}  # fmt: skip


RECTIFIED = dict(hidden=(1024, 1024, 1024), activation="relu", momentum=0.95, dropout=(0.2, 0.5))
ROWS = (
    Row("784-800-800-10 logistic", (800, 800), "sigmoid", 0.1, 0.9, 0.0160),
    Row("3 x 1024 ReLU, dropout", rate=0.02, error=0.0125, **RECTIFIED),
    Row("3 x 1024 ReLU, dropout, max-norm", rate=0.05, error=0.0106, limit=2.0, **RECTIFIED),
)


def network_of(row: Row, features: int, classes: int, seed: int) -> ol.Network:
    of_inputs, of_hidden = row.dropout or (0.0, 0.0)
    layers: list[Layer] = [Dropout(features, of_inputs)] if row.dropout else []
    before = features
    initializer = "he_normal" if row.activation == "relu" else "glorot_normal"
    for width in row.hidden:
        layers += [Dense(before, width, initializer=initializer), Activate(width, row.activation)]
        layers += [Dropout(width, of_hidden)] if row.dropout else []
        before = width
    return ol.Network([*layers, Dense(before, classes, initializer="glorot_normal")], seed=seed)


def trained(row: Row, data: ol.Dataset, seed: int, settings: Settings) -> dict[str, Any]:
    """One run on all rows but the test's; it leaves a checkpoint, which a second start goes on from."""
    network = network_of(row, data.x_train.shape[1], len(data.classes), seed)
    falling = ol.schedules.LinearDecay(row.rate, end=row.rate / 100, total=settings.epochs)
    optimizer = ol.Momentum(network.parameters, lr=falling, beta=row.momentum)
    name = common.run_key({**row.config(), "seed": seed, "epochs": settings.epochs})
    path = settings.out / settings.name / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    history = ol.fit(
        network, optimizer, data, epochs=settings.epochs, batch_size=BATCH, seed=seed, progress=False,
        constraints=[ol.MaxNorm(row.limit)] if row.limit else (),
        callbacks=[ol.Checkpoint(path, every=500)], resume=path if path.exists() else None,
    )  # fmt: skip
    if history.status == "interrupted":
        raise KeyboardInterrupt
    path.unlink(missing_ok=True)
    loss, accuracy = ol.evaluate(network, data.x_test, data.y_test)
    return {
        "status": "diverged" if history.status == "diverged" else "ok",
        "seconds": sum(history.seconds),
        "updates": history.steps,
        "test_loss": loss,
        "test_error": 1 - accuracy,
        "test_rows": len(data.x_test),
        "curves": {name: getattr(history, name) for name in ("train_loss", "train_accuracy")},
    }


def summarise(row: Row, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The interval is that of the test images if there is one run, that of the runs if there are more."""
    errors = [run["test_error"] for run in runs]
    if len(errors) > 1:
        found = common.interval(errors)._asdict()
    else:
        rows = runs[0]["test_rows"]
        low, high = stats.binomtest(round(errors[0] * rows), rows).proportion_ci(method="wilson")
        found = {"mean": errors[0], "low": float(low), "high": float(high)}
    return {
        "name": row.name,
        "config": row.config(),
        "paper": row.error,
        "test_error": {**found, "runs": errors},
        "updates": runs[0]["updates"],
        "minutes": [run["seconds"] / 60 for run in runs],
        "train_loss": [run["curves"]["train_loss"] for run in runs],
    }


def draw(found: list[dict[str, Any]]) -> Figure:
    """Our test error with its interval beside the paper's; the training losses."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    errors, losses = figure.subplots(1, 2)
    for k, f in enumerate(found):
        of, height = f["test_error"], -k
        errors.plot([100 * of["low"], 100 * of["high"]], [height] * 2, color=PALETTE[k], linewidth=2)
        errors.plot(100 * of["mean"], height, "o", color=PALETTE[k])
        errors.annotate("here", (100 * of["mean"], height), xytext=(0, 6), textcoords="offset points", fontsize=8.5,
                        color=PALETTE[k], ha="center")  # fmt: skip
        errors.plot(100 * f["paper"], height, "D", color=SOFT, markerfacecolor="white")
        errors.annotate("paper", (100 * f["paper"], height), xytext=(0, -13), textcoords="offset points",
                        fontsize=8.5, color=SOFT, ha="center")  # fmt: skip
        for curve in f["train_loss"]:
            losses.plot(np.arange(1, len(curve) + 1), curve, color=PALETTE[k], linewidth=1.5)
    losses.set(xlabel="epoch", ylabel="training loss (cross-entropy, nats)", yscale="log")
    errors.set(xlabel="test error (%)", ylim=(-len(found) + 0.4, 0.6))
    errors.set_yticks([-k for k in range(len(found))], [f["name"] for f in found])
    last = max(len(curve) for f in found for curve in f["train_loss"])
    losses.set_xlim(0, last)
    for axes in (errors, losses):
        common.plain_axes(axes)
    common.end_labels(losses, last, [(f["train_loss"][0][-1], f["name"], PALETTE[k]) for k, f in enumerate(found)])
    figure.suptitle("MNIST: test error here and in Srivastava et al. (2014), and training losses", fontsize=10,
                    color=INK, x=0.01, ha="left")  # fmt: skip
    return figure


@common.command(data="mnist", epochs=200, seeds=1)
def main(settings: Settings) -> None:
    data = common.all_but_test(ol.datasets.load(settings.data))
    runs = common.Runs(settings)
    kept: dict[str, list[dict[str, Any]]] = {}
    with common.until_interrupted():
        for row in ROWS:
            for seed in settings.seeds:
                made = runs.get(
                    lambda row=row, seed=seed: trained(row, data, seed, settings),
                    experiment=settings.name, **row.config(), epochs=settings.epochs, seed=seed,
                    data=common.about(data)["digest"],
                )  # fmt: skip
                kept.setdefault(row.name, []).append(made)
    found = [summarise(row, kept[row.name]) for row in ROWS if row.name in kept]
    if not found:
        raise ol.InputError("no row is finished; the same command goes on")
    common.show(
        f"Dropout on MNIST: {settings.epochs} epochs",
        ("", "test error %", "95% interval", "paper", "minutes a run", "updates"),
        [
            (f["name"], f"{100 * f['test_error']['mean']:.2f}",
             f"{100 * f['test_error']['low']:.2f} to {100 * f['test_error']['high']:.2f}", f"{100 * f['paper']:.2f}",
             f"{np.mean(f['minutes']):.0f}", f"{f['updates']:,}")
            for f in found
        ],
        "of one run: Wilson's interval over the test images; of several: Student's t over the runs",
    )  # fmt: skip
    says = [
        f"{f['name']}: {100 * f['test_error']['mean']:.2f}%, the paper {100 * f['paper']:.2f}%: "
        f"{100 * (f['test_error']['mean'] - f['paper']):+.2f} points after {f['updates'] / PAPER_UPDATES:.1%} of the "
        "paper's million updates."
        for f in found
    ]
    says.append("No setting was searched: rates, momentum and the limit of max-norm were fixed before the first run.")
    common.say(says)
    common.write(settings, data, {"rows": found, "says": says}, draw(found))


if __name__ == "__main__":
    main()
