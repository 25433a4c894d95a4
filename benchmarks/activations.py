"""Activation functions, shallow and deep, on the bundled digits: document 002, "Funciones de activación".

    python benchmarks/activations.py

The document: the sigmoid has given way to functions that behave better; tanh is a good beginning; ReLU works very well
in most cases; LeakyReLU keeps the gradient from dying away. Each activation trains a network of one hidden layer and
one of eight, by momentum, its initial weights He's or Glorot's as suits it, at its own best learning rate: the same
grid for all, chosen by validation accuracy anew in each replicate of the whole procedure (``ol.study.compare``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import common
import numpy as np
from common import INK, PALETTE, Settings
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import optimlab as ol
from optimlab.study import Study
from optimlab.study.results import LEVEL
from optimlab.study.statistics import holm, paired_difference

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "swish", "mish", "gelu")
"""Those that document 002 names."""
NETWORKS = {"one hidden layer of 64": (64,), "eight hidden layers of 32": (32,) * 8}


def measure(settings: Settings, hidden: tuple[int, ...], name: str) -> dict[str, Any]:
    """The comparison of one optimizer, momentum, with this activation: its row, and the losses of its runs."""
    study = Study(
        optimizers=("momentum",),
        rates=(0.01, 0.03, 0.1, 0.3),
        replicates=len(settings.seeds),
        defaults=False,
    )
    problem = replace(study.problem, dataset=settings.data, hidden=hidden, activation=name, initializer="auto",
                      epochs=settings.epochs)  # fmt: skip
    folder = f"{settings.name}/{name}-{len(hidden)}"
    found = common.compared(settings, replace(study, problem=problem), folder)
    (row,) = found.rows
    return {
        "activation": name,
        "lr": row.lr._asdict(),
        "val_accuracy": row.val_score._asdict(),
        "test_accuracy": row.test_score._asdict(),
        "test_of_each_replicate": [one.test_score for one in row.replicates],
        "epochs_to_target": row.epochs._asdict(),
        "hits": row.hits,
        "replicates": len(row.replicates),
        "train_loss": np.median([record.curves.train_loss for record in found.chosen(row)], axis=0).tolist(),
    }


def draw(found: dict[str, list[dict[str, Any]]], settings: Settings) -> Figure:
    """Training loss by epoch, a panel a network."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, (network, rows) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        axes.set_yscale("log")
        ends = []
        for k, row in enumerate(rows):
            loss = row["train_loss"]
            dash = ("-", (0, (5, 1.5)), (0, (1.5, 1)))[k % 3]
            axes.plot(np.arange(1, len(loss) + 1), loss, color=PALETTE[k], linewidth=1.7, linestyle=dash, zorder=20 - k)
            ends.append((loss[-1], row["activation"], PALETTE[k]))
        axes.set(xlabel="epoch", xlim=(0.8, settings.epochs))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(network, fontsize=10, loc="left", color=INK)
        common.plain_axes(axes)
        common.end_labels(axes, settings.epochs, ends)
    figure.axes[0].set_ylabel("training loss (cross-entropy, nats)")
    figure.suptitle(
        f"Activations on digits, momentum, each at its best rate: median of {len(settings.seeds)} replicates",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


@common.command(data="digits", epochs=20, seeds=10)
def main(settings: Settings) -> None:
    found = {network: [measure(settings, hidden, name) for name in NAMES] for network, hidden in NETWORKS.items()}
    says = []
    for network, rows in found.items():
        relu = next(r for r in rows if r["activation"] == "relu")
        table = []
        others = [r for r in rows if r is not relu]
        compared = [paired_difference(r["test_of_each_replicate"], relu["test_of_each_replicate"]) for r in others]
        adjusted = dict(zip([r["activation"] for r in others], holm([p for _, p in compared]), strict=True))
        for r in rows:
            difference, _ = paired_difference(r["test_of_each_replicate"], relu["test_of_each_replicate"])
            r["against_relu"] = {**difference._asdict(), "p_holm": adjusted.get(r["activation"], 1.0)}
            star = "*" if r["against_relu"]["p_holm"] <= LEVEL else ""
            missed = "≥" if r["hits"] < r["replicates"] else ""
            table.append(
                (r["activation"], f"{r['lr']['median']:.2g}", f"{missed}{r['epochs_to_target']['mean']:.1f}",
                 f"{r['hits']}/{r['replicates']}", common.percent(r["val_accuracy"]),
                 common.percent(r["test_accuracy"]), "-" if r is relu else f"{100 * difference.mean:+.2f}{star}")
            )  # fmt: skip
        common.show(
            f"{network}: {settings.epochs} epochs, {len(settings.seeds)} replicates",
            (
                "",
                "lr",
                "epochs to 95%\n(mean)",
                "replicates that\nreached it",
                "validation %",
                "test %",
                "test, against\nReLU",
            ),
            table,
            "mean ±95% interval of the mean (Student's t); *: significant after Holm's correction",
        )
        told = [r for r in rows if r["against_relu"]["p_holm"] <= LEVEL]
        better = [r["activation"] for r in told if r["against_relu"]["mean"] > 0]
        worse = [r["activation"] for r in told if r["against_relu"]["mean"] < 0]
        says.append(
            f"{network}: better than ReLU on test: {', '.join(better) or 'none'}; worse: {', '.join(worse) or 'none'} "
            "(paired t-test, Holm's correction for the eight others)."
        )
    says.append("The document prints no figures; these are held against its words.")
    common.say(says)
    common.write(settings, ol.datasets.load(settings.data), {"networks": found, "says": says}, draw(found, settings))


if __name__ == "__main__":
    main()
