"""Speed and quality: document 002's table of optimizers, its words beside measured columns.

    python benchmarks/speed_quality.py

The document (after Géron's book) gives each optimizer a word for its speed and one for the quality of convergence.
Here the nine are compared on the bundled digits by ``ol.study.compare``: the same grid of learning rates for each, the
rate chosen by validation accuracy anew in each replicate of the whole procedure. Speed is the number of epochs to 95%
validation accuracy, at the rate that gets there first; quality is the test accuracy at the best rate. Words and
measurements are ranked, and Kendall's tau says how far they agree: 1 if the measured order is the words' order, 0 if
the words say nothing about it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import common
from common import INK, PALETTE, SOFT, Settings
from matplotlib.figure import Figure

import optimlab as ol
from optimlab.study import Study
from optimlab.study.statistics import t_interval

WORDS = {
    "sgd": ("slow", "very good"),
    "momentum": ("medium", "very good"),
    "nesterov": ("medium", "very good"),
    "adagrad": ("high", "stops early"),
    "rmsprop": ("high", "good"),
    "adam": ("high", "good"),
    "adamax": ("high", "good"),
    "nadam": ("high", "good"),
    "adamw": ("high", "good"),
}
"""Speed and quality of convergence in the document."""

SPEEDS = ("slow", "medium", "high")
QUALITIES = ("stops early", "good", "very good")


def summarise(comparison: Any) -> list[dict[str, Any]]:
    """The columns of the table, with intervals over the replicates."""
    found = []
    summary = comparison.summary
    leader = summary.row(summary.verdict.leader)
    for row in comparison.rows:
        losses = [record.curves.train_loss[-1] for record in comparison.chosen(row)]
        pair = summary.pair(row.label, leader.label, "test_score")
        found.append(
            {
                "optimizer": row.label,
                "words": WORDS[row.label],
                "lr": row.lr._asdict(),
                "epochs_to_target": row.epochs._asdict(),
                "hits": row.hits,
                "train_loss": t_interval(losses)._asdict(),
                "val_accuracy": row.val_score._asdict(),
                "test_accuracy": row.test_score._asdict(),
                "against_the_leader": row.test_score.mean - leader.test_score.mean,
                "told_apart": pair is not None and pair.told_apart,
            }
        )
    return found


def told_apart(comparison: Any, name: str) -> str:
    """List who is ahead of one optimizer and who behind it, as far as differences are significant after Holm."""
    tuned = {row.label for row in comparison.summary.tuned}
    pairs = [p for p in comparison.summary.pairs if p.told_apart and name in (p.first, p.second)]
    said = []
    for measure, words in (("test_score", "test accuracy"), ("epochs", "epochs")):
        own = [p for p in pairs if p.measure == measure and {p.first, p.second} <= tuned]
        ahead, behind = [p.better for p in own if p.worse == name], [p.worse for p in own if p.better == name]
        said += [f"in {words} {', '.join(ahead)} {'is' if len(ahead) == 1 else 'are'} ahead of it"] if ahead else []
        said += [f"in {words} it is ahead of {', '.join(behind)}"] if behind else []
    return "; ".join(said) or "it cannot be told apart from any other"


def agreement(found: list[dict[str, Any]]) -> dict[str, float]:
    """Kendall's tau-b of words and measurements."""
    from scipy.stats import kendalltau

    speed = [-f["epochs_to_target"]["mean"] for f in found]
    quality = [f["test_accuracy"]["mean"] for f in found]
    made = {}
    for key, order, word, measured in (("speed", SPEEDS, 0, speed), ("quality", QUALITIES, 1, quality)):
        made[key] = float(kendalltau([order.index(f["words"][word]) for f in found], measured).statistic)
    return made


def sentences(found: list[dict[str, Any]], tau: dict[str, float], comparison: Any) -> list[str]:
    """Say in sentences how the words fare in the measurements."""
    said = [f"Words against measurements, Kendall's tau: speed {tau['speed']:+.2f}, quality {tau['quality']:+.2f}."]
    for word in SPEEDS:
        of = [f for f in found if f["words"][0] == word]
        if of:
            epochs = [f["epochs_to_target"]["mean"] for f in of]
            names = ", ".join(f["optimizer"] for f in of)
            said.append(f"'{word}' speed ({names}): {listed(epochs, 1)} epochs to 95%.")
    for word in QUALITIES[::-1]:
        of = [f["test_accuracy"]["mean"] for f in found if f["words"][1] == word]
        said.append(f"'{word}' quality: test accuracy {listed([100 * value for value in of], 2)}%.")
    stops = next((f for f in found if f["words"][1] == "stops early"), None)
    if stops:
        said.append(
            f"{stops['optimizer']}, which 'stops early', reaches {common.percent(stops['test_accuracy'])}% on test; "
            f"{told_apart(comparison, stops['optimizer'])} (Holm's correction for all tests)."
        )
    said.append(
        "The document says neither problem nor network nor learning rates; here each rule has its own best rate."
    )
    return said


def listed(values: list[float], digits: int) -> str:
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def draw(found: list[dict[str, Any]], title: str) -> Figure:
    """Speed against quality, the words for speed as colours and those for quality as shapes."""
    colours = dict(zip(SPEEDS, (PALETTE[1], PALETTE[5], PALETTE[0]), strict=True))
    shapes = dict(zip(QUALITIES, ("X", "o", "s"), strict=True))
    figure = Figure(figsize=(8.2, 5), layout="constrained")
    axes = figure.subplots()
    for f in found:
        x, y = f["epochs_to_target"], f["test_accuracy"]
        speed, quality = f["words"]
        axes.errorbar(
            x["mean"], 100 * y["mean"], [[100 * (y["mean"] - y["low"])], [100 * (y["high"] - y["mean"])]],
            [[x["mean"] - x["low"]], [x["high"] - x["mean"]]],
            color=colours[speed], marker=shapes[quality], markersize=8, linewidth=1, capsize=2,
        )  # fmt: skip
        below = any(
            0 <= 100 * (other["test_accuracy"]["mean"] - y["mean"]) < 0.06 and other is not f for other in found
        )
        axes.annotate(f["optimizer"], (x["mean"], 100 * y["mean"]), xytext=(6, -12 if below else 6),
                      textcoords="offset points", color=colours[speed], fontsize=9)  # fmt: skip
    axes.set(xlabel="epochs to 95% validation accuracy (fewer: faster)", ylabel="test accuracy (%)")
    common.plain_axes(axes)
    key = [(f"speed '{s}'", colours[s], "|") for s in SPEEDS] + [(f"quality '{q}'", SOFT, shapes[q]) for q in QUALITIES]
    for k, (text, colour, shape) in enumerate(key):
        height = 0.30 - 0.048 * k
        axes.plot(0.03, height, shape, color=colour, markersize=7, markeredgewidth=2 if shape == "|" else 1,
                  transform=axes.transAxes, clip_on=False)  # fmt: skip
        axes.text(0.055, height, text, color=colour, fontsize=9, va="center", transform=axes.transAxes)
    axes.set_title(f"Speed and quality of nine optimizers, the document's words as colours and shapes\n{title}",
                   fontsize=10, loc="left", color=INK)  # fmt: skip
    return figure


@common.command(data="digits", epochs=20, seeds=30)
def main(settings: Settings) -> None:
    study = Study(replicates=len(settings.seeds), defaults=False)
    study = study.with_epochs(settings.epochs)
    study = replace(study, problem=replace(study.problem, dataset=settings.data))
    comparison = common.compared(settings, study, settings.name)
    found = summarise(comparison)
    tau = agreement(found)
    title = f"{study.problem}; mean and 95% interval of {len(settings.seeds)} replicates, each at its best rate"
    common.show(
        f"Speed and quality of convergence: {study.problem}, {len(settings.seeds)} replicates",
        ("", "document:\nspeed", "epochs\nto 95%", "document:\nquality", "test\naccuracy %", "against\nthe leader",
         "training loss\nat the end", "lr"),
        [
            (f["optimizer"], f["words"][0], common.plus_minus(f["epochs_to_target"], digits=1), f["words"][1],
             common.percent(f["test_accuracy"]),
             f"{100 * f['against_the_leader']:+.2f}{'*' if f['told_apart'] else ''}",
             common.plus_minus(f["train_loss"], digits=4), f"{f['lr']['median']:.2g}")
            for f in found
        ],
        "mean ±95% interval of the mean (Student's t); *: significant after Holm's correction",
    )  # fmt: skip
    says = sentences(found, tau, comparison)
    common.say(says)
    common.write(
        settings, ol.datasets.load(settings.data), {"rows": found, "kendall_tau": tau, "says": says}, draw(found, title)
    )


if __name__ == "__main__":
    main()
