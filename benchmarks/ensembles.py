"""Three ways to an ensemble: document 003, "Conjunto de modelos", on 5,000 images of CIFAR-10.

    python benchmarks/ensembles.py

The document: the performance rises gradually with the number of models; they may be the same model from several
initialisations, several checkpoints of one run, or an exponential average of the parameters. It prints no figures and
names no data; this takes document 000's network and images, normalised. Nothing is chosen on the validation rows, so
they serve as test. (A learning rate that rises and falls makes better checkpoints: ``examples/ensembles.py``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import cifar10
import cifar10_normalization
import common
import numpy as np
from common import INK, PALETTE, SOFT, Settings
from matplotlib.figure import Figure

import optimlab as ol

MEMBERS = 5
DECAY = 0.998
"""Of the exponential average, a step: it looks back over 500 steps, three epochs."""
WAYS = {"initialisations": f"{MEMBERS} initialisations", "checkpoints": f"last {MEMBERS} checkpoints of one run"}


def run(data: ol.Dataset, repeat: int, epochs: int) -> dict[str, Any]:
    """Accuracies: of ensembles by number of members (the mean over all ensembles of that many initialisations, and over
    the runs), and of the averaged parameters."""
    networks, checkpoints, averaged = [], [], []
    for member in range(MEMBERS):
        seed = MEMBERS * repeat + member
        network = ol.MLP(cifar10.SIZES, convention="torch", seed=seed)
        optimizer = ol.Momentum(network.parameters, lr=0.001, convention="torch")
        average, keep = ol.AverageWeights(network, decay=DECAY), ol.Snapshots(every=1)
        options = dict(epochs=epochs, batch_size=cifar10.BATCH, seed=seed, callbacks=[average, keep], progress=False)
        ol.fit(network, optimizer, data, **options)
        networks.append(network.predict_proba(data.x_val))
        last = [kept.predict_proba(data.x_val) for kept in keep.networks[-MEMBERS:][::-1]]
        checkpoints.append([accuracy(last[:n], data) for n in range(1, len(last) + 1)])
        with average.applied():
            averaged.append(accuracy([network.predict_proba(data.x_val)], data))
    sizes = range(1, MEMBERS + 1)
    return {
        "initialisations": [
            float(np.mean([accuracy(chosen, data) for chosen in combinations(networks, n)])) for n in sizes
        ],
        "checkpoints": np.mean(checkpoints, axis=0).tolist(),
        "average": float(np.mean(averaged)),
    }


def accuracy(probabilities: Sequence[Any], data: ol.Dataset) -> float:
    """Of the mean of the networks' probabilities, as :class:`optimlab.Ensemble` predicts."""
    return float((sum(probabilities).argmax(axis=1) == data.y_val).mean())


def draw(records: list[dict[str, Any]], settings: Settings) -> Figure:
    figure = Figure(figsize=(8.2, 4.6), layout="constrained")
    axes = figure.subplots()
    ends = []
    for k, (way, name) in enumerate(WAYS.items()):
        found = [common.interval(100 * column) for column in np.array([r[way] for r in records]).T]
        means, members = [f.mean for f in found], np.arange(1, len(found) + 1)
        bars, shift = [f.half for f in found], 0.04 * (k - 0.5)  # so that bars do not cover one another
        axes.errorbar(members + shift, means, bars, color=PALETTE[k], marker="o", linewidth=2, capsize=3)
        ends.append((means[-1], name, PALETTE[k]))
    for values, name, colour in (
        ([r["average"] for r in records], "average of the parameters of one run", PALETTE[2]),
        ([r["initialisations"][0] for r in records], "one network", SOFT),
    ):
        level = 100 * float(np.mean(values))
        axes.axhline(level, color=colour, linewidth=1.4, linestyle=(0, (4, 3)))
        ends.append((level, name, colour))
    axes.set(xlabel="networks in the ensemble", ylabel="accuracy on the validation rows (%)")
    axes.set(xticks=range(1, MEMBERS + 1), xlim=(0.8, MEMBERS + 0.15))
    common.plain_axes(axes)
    common.end_labels(axes, MEMBERS + 0.15, ends)
    axes.set_title(
        f"Ensembles on CIFAR-10, 5,000 images, MLP 3072-100-100-10, momentum 0.001, {settings.epochs} epochs\n"
        f"mean of {len(records)} repeats with its 95% interval",
        fontsize=10, loc="left", color=INK,
    )  # fmt: skip
    return figure


@common.command(data="cifar10", epochs=20, seeds=3)
def main(settings: Settings) -> None:
    data = cifar10_normalization.normalised(cifar10.load(settings.data))
    runs = common.Runs(settings)
    marked = common.about(data)["digest"]
    about = {
        "experiment": "ensembles",
        "row": f"all ensembles of {MEMBERS} networks",
        "epochs": settings.epochs,
        "decay": DECAY,
    }
    records = [
        runs.get(lambda seed=seed: run(data, seed, settings.epochs), **about, seed=seed, data=marked)
        for seed in settings.seeds
    ]
    single = [r["initialisations"][0] for r in records]
    rows = {
        "one network": single,
        "exponential average of the parameters": [r["average"] for r in records],
    }
    rows |= {name: [r[way][-1] for r in records] for way, name in WAYS.items()}
    found = [
        {
            "name": name,
            "accuracy": common.interval(values)._asdict(),
            "gain": common.interval(np.subtract(values, single))._asdict(),
            "runs": values,
        }
        for name, values in rows.items()
    ]
    common.show(
        f"Ensembles: {settings.epochs} epochs, {len(records)} repeats",
        ("", "accuracy %", "gain, points"),
        [(f["name"], common.percent(f["accuracy"]), common.plus_minus(f["gain"], 100, 2)) for f in found],
        "mean ±95% interval of the mean (Student's t); gains are paired: the same runs with and without",
    )
    rises = np.diff(np.mean([r["initialisations"] for r in records], axis=0))
    says = [
        "The document prints no figures. "
        + ("Each further initialisation raised the mean accuracy, as it says: by "
           if (rises > 0).all() else "Not each further initialisation raised the mean accuracy: by ")
        + ", ".join(f"{100 * rise:+.2f}" for rise in rises) + " points."
    ]  # fmt: skip
    common.say(says)
    curves = {way: [r[way] for r in records] for way in WAYS}
    common.write(settings, data, {"rows": found, "by_members": curves, "says": says}, draw(records, settings))


if __name__ == "__main__":
    main()
