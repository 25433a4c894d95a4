"""RMSProp's training loss in optimlab and in PyTorch, on 5,000 images of CIFAR-10: is there a gap?

    python benchmarks/cifar10_rmsprop.py --torch

Over the three seeds of ``cifar10_optimizers.py``, RMSProp's training loss after 100 epochs was 0.92 in optimlab and
0.72 in PyTorch. This script takes many more seeds, tests the means (Welch) and the medians (a permutation test), and
checks that both follow the same path from the same initial weights through the same batches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cifar10
import common
import numpy as np
import twins
from cifar10_optimizers import ROWS as OPTIMIZERS
from common import INK, PALETTE, Settings
from matplotlib.figure import Figure
from scipy import stats

import optimlab as ol

ROW = OPTIMIZERS[2]
WATCHED = 100
"""Validation rows: a few, since the training loss is what is asked for."""
LAST = 10
"""Epochs of the second measure: the loss of a single epoch jumps."""
COMMON_EPOCHS = 5
"""Epochs that both make from the same weights, through the same batches."""


def few_validated(data: ol.Dataset) -> ol.Dataset:
    return replace(data, x_val=data.x_val[:WATCHED], y_val=data.y_val[:WATCHED])


def apart(data: ol.Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """How far the losses of the two are apart if they share weights and batches, in float64.

    PyTorch draws the weights and the order of the rows.
    """
    import torch

    torch.manual_seed(seed)
    theirs = twins.torch_network(ROW.sizes, ROW.convention).double()
    network = ol.MLP(ROW.sizes, convention=ROW.convention, dtype="float64")
    linear = [layer for layer in theirs if isinstance(layer, torch.nn.Linear)]
    for k, layer in enumerate(linear, 1):
        network.parameters[f"dense{k}.W"].data[...] = layer.weight.detach().numpy().T
        network.parameters[f"dense{k}.b"].data[...] = layer.bias.detach().numpy()
    optimizer = ol.optimizers.get(ROW.rule)(network.parameters, lr=ROW.lr, convention=ROW.convention)
    rule = torch.optim.RMSprop(theirs.parameters(), lr=ROW.lr)
    x, y = data.x_train.astype("float64"), data.y_train
    ours_by_epoch, theirs_by_epoch = [], []
    for _ in range(epochs):
        totals = np.zeros(2)
        for index in torch.randperm(len(x)).split(ROW.batch):
            rows = index.numpy()
            loss, gradient = ol.losses.softmax_cross_entropy(network.forward(x[rows], training=True), y[rows])
            network.backward(gradient)
            optimizer.step()
            their_loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
            rule.zero_grad()
            their_loss.backward()
            rule.step()
            totals += len(rows) * np.array([loss, their_loss.item()])
        ours_by_epoch.append(totals[0] / len(x))
        theirs_by_epoch.append(totals[1] / len(x))
    differences = np.abs(np.subtract(ours_by_epoch, theirs_by_epoch))
    return {"optimlab": ours_by_epoch, "PyTorch": theirs_by_epoch, "difference": float(differences.max())}


def median_gap(ours: Any, theirs: Any, axis: int = -1) -> Any:
    return np.median(ours, axis=axis) - np.median(theirs, axis=axis)


def tested(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """The gap of the means and of the medians, each with its two-sided p-value."""
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = welch.confidence_interval()
    shuffled = stats.permutation_test((ours, theirs), median_gap, vectorized=True, n_resamples=9_999, rng=0)
    return {
        "means": float(np.mean(ours) - np.mean(theirs)),
        "low": float(low),
        "high": float(high),
        "p_means": float(welch.pvalue),
        "medians": float(median_gap(ours, theirs)),
        "p_medians": float(shuffled.pvalue),
    }


MEASURES = {
    "after the last epoch": lambda curve: curve[-1],
    f"mean of the last {LAST} epochs": lambda curve: float(np.mean(curve[-LAST:])),
}


def draw(values: dict[str, dict[str, list[float]]], epochs: int) -> Figure:
    """A dot a run, and the median as a line: one panel a measure."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(values), sharex=True)
    for axes, (title, of) in zip(panels, values.items(), strict=True):
        for k, losses in enumerate(of.values()):
            heights = k + 0.5 * (np.arange(len(losses)) / max(len(losses) - 1, 1) - 0.5)
            axes.plot(losses, heights, "o", color=PALETTE[k], markersize=4.5, alpha=0.75)
            axes.plot([np.median(losses)] * 2, [k - 0.36, k + 0.36], color=INK, linewidth=1.5)
            axes.annotate("median", (np.median(losses), k + 0.38), fontsize=8.5, color=INK, ha="center")
        axes.set(xlabel="training loss (cross-entropy, nats)", ylim=(-0.6, len(of) - 0.3))
        axes.set_yticks(range(len(of)), list(of))
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        common.plain_axes(axes)
    figure.suptitle(
        f"RMSProp 0.001 for {epochs} epochs on 5,000 images of CIFAR-10, MLP 3072-100-100-10: a dot a seed",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


@common.command(data="cifar10", epochs=100, seeds=30, torch=True)
def main(settings: Settings) -> None:
    data = cifar10.load(settings.data)
    few = few_validated(data)
    records = twins.measure(settings, [ROW], lambda row: few)
    curves = {engine: [run["curves"]["train_loss"] for run in made] for (_, engine), made in records.items()}
    if not curves:
        raise ol.InputError("fewer than two seeds are finished; the same command goes on")
    values = {
        title: {engine: [measure(curve) for curve in made] for engine, made in curves.items()}
        for title, measure in MEASURES.items()
    }
    rows, says = [], []
    for title, of in values.items():
        found: dict[str, Any] = {"name": title}
        for engine, losses in of.items():
            found[engine] = {**common.interval(losses)._asdict(), "median": float(np.median(losses)), "runs": losses}
        if len(of) == 2:
            found["gap"] = gap = tested(of["optimlab"], of["PyTorch"])
            says.append(
                f"Training loss, {title}: optimlab's mean is {gap['means']:+.3f} from PyTorch's (95% interval "
                f"{gap['low']:+.3f} to {gap['high']:+.3f}, Welch p = {gap['p_means']:.2f}); the medians are "
                f"{gap['medians']:+.3f} apart (permutation p = {gap['p_medians']:.2f}). "
                f"Seeds: {len(of['optimlab'])} and {len(of['PyTorch'])}."
            )
        rows.append(found)
    result: dict[str, Any] = {"rows": rows}
    if len(curves) == 2:
        epochs = min(COMMON_EPOCHS, settings.epochs)
        result["same_start"] = same = apart(data, settings.seeds[0], epochs)
        says.append(
            f"From the same initial weights through the same batches, both drawn by PyTorch, the training losses of "
            f"{epochs} epochs differ by at most {same['difference']:.1g} in float64. A step is the same; what differs "
            "between the runs above is what was drawn."
        )
    common.show(
        f"RMSProp's training loss: {settings.epochs} epochs",
        ("", "optimlab: mean", "median", "PyTorch: mean", "median"),
        [
            (f["name"], *(text for e in twins.ENGINES
                          for text in ((common.plus_minus(f[e]), f"{f[e]['median']:.3f}") if e in f else ("-", "-"))))
            for f in rows
        ],
        "mean ±95% interval of the mean (Student's t)",
    )  # fmt: skip
    common.say(says)
    common.write(settings, data, {**result, "says": says}, draw(values, settings.epochs))


if __name__ == "__main__":
    main()
