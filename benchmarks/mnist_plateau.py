"""A learning rate that is cut when the validation loss stands still, on MNIST: document 001, after PyTorch.

    python benchmarks/mnist_plateau.py [--torch]

ReLU networks 784-64-32-10 (the document's whole program) and 784-256-128-10 (its explanation), SGD at 0.1, batch 32,
25 epochs, the rate a tenth after more than 5 epochs without a better validation loss. The document prints no figures.
It validates on MNIST's test images, whose loader it calls ``test`` before there is such a name; "as published" does
the same. The other rows validate on the last 10,000 training images, and look at the test images once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import common
import numpy as np
import twins
from common import INK, PALETTE, Settings
from matplotlib.figure import Figure
from twins import ENGINES, Records, Row

import optimlab as ol

SMALL, LARGE = (784, 64, 32, 10), (784, 256, 128, 10)


def row(name: str, sizes: tuple[int, ...]) -> Row:
    return Row(name, "sgd", 0.1, sizes=sizes, batch=32, plateau={"patience": 5})


PUBLISHED = row("784-64-32-10 as published", SMALL)
ROWS = (row("784-64-32-10", SMALL), row("784-256-128-10", LARGE), PUBLISHED)


def published(data: ol.Dataset) -> ol.Dataset:
    """All training images train, the test images validate."""
    x, y = np.concatenate([data.x_train, data.x_val]), np.concatenate([data.y_train, data.y_val])
    return replace(data, x_train=x, y_train=y, x_val=data.x_test, y_val=data.y_test)


def summarise(r: Row, engine: str, runs: list[dict[str, Any]], factor: float) -> dict[str, Any]:
    """``factor``: by how much the document's code prints the loss too large."""
    last = [run["curves"]["val_loss"][-1] for run in runs]
    cuts = [[k + 1 for k in np.flatnonzero(np.diff(run["curves"]["lr"])) + 1] for run in runs]
    return {
        "name": r.name,
        "engine": engine,
        "config": r.config(),
        "val_accuracy": common.interval([run["val_accuracy"] for run in runs])._asdict(),
        "test_accuracy": common.interval([run["test_accuracy"] for run in runs])._asdict(),
        "final_train_loss": common.interval([run["curves"]["train_loss"][-1] for run in runs])._asdict(),
        "final_val_loss": common.interval(last)._asdict(),
        "as_the_document_prints": float(np.mean(last)) * factor,
        "first_epoch_at_a_lower_rate": [[int(k) for k in of] for of in cuts],
    }


def draw(settings: Settings, records: Records) -> Figure:
    """Each seed's losses, and its rate beneath them."""
    rows = [r for r in ROWS if (r.name, "optimlab") in records]
    figure = Figure(figsize=(4.2 * len(rows) + 0.4, 5.2), layout="constrained")
    panels = figure.subplots(2, len(rows), sharex=True, sharey="row", height_ratios=(3, 1), squeeze=False)
    for k, r in enumerate(rows):
        loss, rate = panels[:, k]
        runs = records[r.name, "optimlab"]
        for quantity, colour in (("val_loss", PALETTE[1]), ("train_loss", PALETTE[0])):
            curves = np.array([run["curves"][quantity] for run in runs])
            epochs = np.arange(1, curves.shape[1] + 1)
            loss.plot(epochs, curves.T, color=colour, linewidth=0.8, alpha=0.5)
            loss.plot(epochs, curves.mean(axis=0), color=colour, linewidth=2)
            name = "validation" if quantity == "val_loss" else "training"
            at = len(epochs) // 2
            loss.annotate(name, (epochs[at], curves.mean(axis=0)[at]), xytext=(6, 6), textcoords="offset points",
                          color=colour, fontsize=9)  # fmt: skip
        for run in runs:
            rate.step(epochs, run["curves"]["lr"], where="mid", color=PALETTE[2], linewidth=1.2, alpha=0.7)
        loss.set(yscale="log", title=r.name)
        loss.title.set_fontsize(10)
        rate.set(yscale="log", xlabel="epoch")
        for axes in (loss, rate):
            common.plain_axes(axes)
    panels[0, 0].set_ylabel("loss (cross-entropy, nats)")
    panels[1, 0].set_ylabel("learning rate")
    figure.suptitle(
        "SGD at 0.1 on MNIST, the rate a tenth after more than 5 epochs without a better validation loss\n"
        f"thin: each of {len(settings.seeds)} seeds, thick: their mean",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


@common.command(data="mnist", epochs=25, torch=True)
def main(settings: Settings) -> None:
    data = common.with_validation(ol.datasets.load(settings.data))
    of_row = {r.name: published(data) if r is PUBLISHED else data for r in ROWS}
    records = twins.measure(settings, ROWS, lambda r: of_row[r.name])
    found = []
    for r in ROWS:
        rows = len(of_row[r.name].x_val)
        factor = rows / np.ceil(rows / r.batch)  # the sum of loss x batch over the number of batches
        for engine in ENGINES:
            if (r.name, engine) in records:
                found.append(summarise(r, engine, records[r.name, engine], factor))
    common.show(
        f"MNIST with ReduceLROnPlateau: {settings.epochs} epochs, {len(settings.seeds)} seeds",
        ("", "", "best validation\naccuracy %", "its test\naccuracy %", "validation loss\nat the end",
         "as the document\nwould print it", "first epoch at a lower rate,\nof each seed"),
        [
            (f["name"], f["engine"], common.percent(f["val_accuracy"]), common.percent(f["test_accuracy"]),
             f"{f['final_val_loss']['mean']:.4f}", f"{f['as_the_document_prints']:.2f}",
             "; ".join(" ".join(map(str, cuts)) or "none" for cuts in f["first_epoch_at_a_lower_rate"]))
            for f in found
        ],
        "mean ±95% interval of the mean (Student's t)",
    )  # fmt: skip
    says = [
        "The document prints no figures to hold these against.",
        "Its code adds up loss x batch size and divides by the number of batches: what it prints is the loss times 32 "
        "(training) or 31.9 (10,000 rows in 313 batches). The plateau is not misled, since its threshold is relative.",
        "As published, the rate is cut, and the best epoch chosen, on the test images: that row's test accuracy is no "
        "estimate for new images.",
    ]
    common.say(says)
    common.write(settings, data, {"rows": found, "says": says}, draw(settings, records))


if __name__ == "__main__":
    main()
