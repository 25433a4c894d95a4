"""The experiments of document 000: a small network on 5,000 images of CIFAR-10, as optimlab and PyTorch train it.

The document trains on the first 5,000 of CIFAR-10's training images and validates on the last 10,000, with an MLP
3072-100-100-10 in batches of 32. It initialises as PyTorch does. So do these experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import common
import numpy as np
from common import INK, PALETTE, Settings
from matplotlib.figure import Figure
from twins import ENGINES, Records, Row

import optimlab as ol

SIZES, BATCH = (3072, 100, 100, 10), 32
TRAIN, VALIDATION = 5_000, 10_000

WHY = (
    "The document made one run of each; ours is the mean over the seeds. Its weights, its order of the rows and the "
    "arithmetic of its GPU are not to be had again, so that a single run may differ by as much as the seeds do, and "
    "one in twenty lies outside such an interval.",
    "A step of optimlab is PyTorch's but for rounding (tests/test_network_parity.py, tests/test_parity.py): what "
    "differs between the two is what they drew, the weights and the order of the rows.",
    "The document's training loss and accuracy are means of batch means, in which the last batch of 8 rows weighs as "
    "much as one of 32 (0.64% of the mean instead of 0.16%); ours are means over the rows.",
)


def row(name: str, rule: str, lr: float, **more: Any) -> Row:
    """A row of these experiments."""
    return Row(name, rule, lr, sizes=SIZES, batch=BATCH, **more)


def load(name: str) -> ol.Dataset:
    """The document's rows, each pixel divided by 255, of the official files or of a file that holds fewer."""
    data = ol.datasets.load(name)
    x, y = data.x_train, data.y_train
    if data.x_val is not None:  # the document's validation rows are the last of the training files
        x, y = np.concatenate([x, data.x_val]), np.concatenate([y, data.y_val])
    if len(x) < 3:
        raise ol.InputError(f"{name} has {len(x)} rows, which cannot be split")
    train = min(TRAIN, len(x) // 3)
    if x.dtype == "uint8":
        x = ol.datasets.normalization.scale_255(x)
    x_val, y_val = x[train:][-VALIDATION:], y[train:][-VALIDATION:]
    return ol.Dataset(x[:train], y[:train], x_val, y_val, classes=data.classes, name=data.name)


def report(
    settings: Settings, data: ol.Dataset, title: str, rows: Sequence[Row], records: Records, notes: Sequence[str] = ()
) -> None:
    """The table, what it says, the JSON file and the figure."""
    found = [summarise(r, records) for r in rows]
    columns = ("", "best validation accuracy %\noptimlab", "\nPyTorch", "\ndocument",
               "training loss at the end\noptimlab", "\nPyTorch", "\ndocument")  # fmt: skip
    common.show(
        f"{title}: {settings.epochs} epochs, {len(settings.seeds)} seeds",
        columns,
        [cells(f, len(settings.seeds)) for f in found],
        "mean ±95% interval of the mean (Student's t); the document's are single runs",
    )
    sentences = [*(s for f in found for s in verdicts(f, settings.epochs)), *notes, *WHY]
    common.say(sentences)
    common.write(
        settings, data, {"title": title, "rows": found, "says": sentences}, draw(settings, title, rows, records)
    )


def summarise(r: Row, records: Records) -> dict[str, Any]:
    """One row of the table, as plain data."""
    made: dict[str, Any] = {"name": r.name, "config": r.config(), "document": r.document and r.document._asdict()}
    for engine in ENGINES:
        runs = records.get((r.name, engine))
        if not runs or any(run["status"] != "ok" for run in runs):
            continue
        best = [run["val_accuracy"] for run in runs]
        made[engine] = {
            "val_accuracy": {**common.interval(best)._asdict(), "runs": best},
            "one_more_run": {
                "val_accuracy": common.spread(best)._asdict(),
                "train_loss": common.spread([run["curves"]["train_loss"][-1] for run in runs])._asdict(),
            },
            "best_epoch": [run["best_epoch"] for run in runs],
            **{
                f"final_{name}": common.interval([run["curves"][name][-1] for run in runs])._asdict()
                for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
            },
            "seconds": [run["seconds"] for run in runs],
        }
    return made


def cells(found: dict[str, Any], seeds: int) -> list[str]:
    document = found["document"]
    losses, bests = [], []
    for engine in ENGINES:
        of = found.get(engine)
        best = of and common.percent(of["val_accuracy"]) + common.of_fewer(of["val_accuracy"], seeds)
        bests.append(best or "-")
        losses.append(common.plus_minus(of["final_train_loss"]) if of else "-")
    bests.append(f"{100 * document['best']:.2f}" if document else "-")
    losses.append(f"{document['train_loss'][-1]:.3f}" if document else "-")
    return [found["name"], *bests, *losses]


def verdicts(found: dict[str, Any], epochs: int) -> list[str]:
    """How far the row is from PyTorch's and the document's, in words; from the latter only after as many epochs."""
    ours, theirs, document = found.get("optimlab"), found.get("PyTorch"), found["document"]
    if not ours:
        return [f"{found['name']}: runs are not finished, or one diverged."]
    mean, loss = ours["val_accuracy"]["mean"], ours["final_train_loss"]["mean"]
    made = []
    if theirs:
        difference = 100 * (mean - theirs["val_accuracy"]["mean"])
        word = "within" if abs(difference) <= 1 else "NOT within"
        made.append(
            f"{found['name']}: {difference:+.2f} points against PyTorch, {word} one point; training loss "
            f"{loss - theirs['final_train_loss']['mean']:+.3f}."
        )
    if document and epochs == 10 * len(document["train_loss"]):
        of_one = ours["one_more_run"]
        accuracy, last = document["best"], document["train_loss"][-1]
        made.append(
            f"{found['name']}: the document's {100 * accuracy:.2f}% is {100 * (accuracy - mean):+.2f} points from our "
            f"mean, {place(accuracy, of_one['val_accuracy'], 100, 1)}; its training loss {last:.3f} is "
            f"{last - loss:+.3f} from ours, {place(last, of_one['train_loss'], 1, 3)}."
        )
    return made


def place(value: float, of: dict[str, float], scale: float, digits: int) -> str:
    """Whether the value may be one more run of ours."""
    word = "inside" if of["low"] <= value <= of["high"] else "OUTSIDE"
    return (
        f"{word} the 95% interval for one more run ({scale * of['low']:.{digits}f} to {scale * of['high']:.{digits}f})"
    )


def draw(settings: Settings, title: str, rows: Sequence[Row], records: Records) -> Figure:
    """Training loss and validation accuracy by epoch: our mean and range, the document's printed values as rings."""
    figure = Figure(figsize=(11.5, 4.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, quantity, name in zip(
        panels,
        ("train_loss", "val_accuracy"),
        ("training loss (cross-entropy, nats)", "validation accuracy (%)"),
        strict=True,
    ):
        scale = 100 if quantity == "val_accuracy" else 1
        ends = []
        for k, r in enumerate(rows):
            runs = records.get((r.name, "optimlab"), [])
            curves = scale * np.array([run["curves"][quantity] for run in runs if run["status"] == "ok"])
            if not len(curves):
                continue
            epochs, colour = np.arange(1, curves.shape[1] + 1), PALETTE[k]
            axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.2, linewidth=0)
            axes.plot(epochs, curves.mean(axis=0), color=colour, linewidth=1.7)
            if r.document:
                values = scale * np.array(getattr(r.document, quantity))
                at = 10 * np.arange(1, len(values) + 1)
                shown = at <= settings.epochs
                axes.plot(
                    at[shown], values[shown], "o", color=colour, markerfacecolor="white", markersize=5.5, zorder=3
                )
            ends.append((float(curves.mean(axis=0)[-1]), r.name, colour))
        axes.set(xlabel="epoch", ylabel=name, xlim=(0, settings.epochs * 1.01))
        common.plain_axes(axes)
        if quantity == "train_loss":
            axes.set_ylim(bottom=0)
        common.end_labels(axes, settings.epochs, ends)
    figure.suptitle(
        f"{title}\nCIFAR-10, 5,000 images, MLP 3072-100-100-10, batch 32. Lines: mean of {len(settings.seeds)} seeds, "
        "bands: their range; rings: what the document printed of its one run",
        fontsize=10,
        color=INK,
        x=0.01,
        ha="left",
    )
    return figure
