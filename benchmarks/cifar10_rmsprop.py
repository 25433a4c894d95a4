"""RMSProp's training loss in optimlab and in PyTorch, on 5,000 images of CIFAR-10: is there a gap?

    python benchmarks/cifar10_rmsprop.py --torch

Over the three seeds of ``cifar10_optimizers.py``, RMSProp's training loss after 100 epochs was 0.92 in optimlab and
0.72 in PyTorch. The gap grows steadily and can be seen after 10 epochs already. So this script trains for 10 epochs
with ten times as many seeds, tests the means (Welch) and the medians (a permutation test), and checks that both follow
the same path from the same initial weights through the same batches.

It also counts dead units, which are zero for all training rows. The first step of RMSProp moves each weight by ten
times the rate, whatever the gradient. Summed over 3,072 inputs, none of them negative, this can kill a unit.
"""

from __future__ import annotations

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
COMMON_EPOCHS = 3
"""Epochs that both make from the same weights, through the same batches."""


def dead_units(weights: list[tuple[Any, Any]], x: Any) -> int:
    """Hidden units that output zero for every row, all layers together; ``weights`` are the (W, b) of each layer."""
    dead = 0
    for w, b in weights[:-1]:
        x = np.maximum(x @ w + b, 0)
        dead += int((x.max(axis=0) == 0).sum())
    return dead


def optimlab_run(data: ol.Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """Training losses by epoch, and the dead units after the first epoch and at the end."""
    network = ol.MLP(ROW.sizes, convention=ROW.convention, seed=seed)
    optimizer = ol.optimizers.get(ROW.rule)(network.parameters, lr=ROW.lr, convention=ROW.convention)
    dead: list[int] = []

    def count_dead(network: ol.Network, optimizer: Any, history: ol.History) -> None:
        if history.epochs in (1, epochs):
            parameters = network.parameters
            layers = range(1, len(ROW.sizes))
            weights = [(parameters[f"dense{k}.W"].data, parameters[f"dense{k}.b"].data) for k in layers]
            dead.append(dead_units(weights, data.x_train))

    options = dict(epochs=epochs, batch_size=ROW.batch, seed=seed, callbacks=[count_dead], progress=False)
    history = ol.fit(network, optimizer, data, **options)
    if history.status == "interrupted":
        raise KeyboardInterrupt
    return {"train_loss": history.train_loss, "dead_first": dead[0], "dead_last": dead[-1]}


def torch_run(data: ol.Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(seed)
    network = twins.torch_network(ROW.sizes, ROW.convention)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=ROW.lr)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    losses, dead = [], []
    for epoch in range(1, epochs + 1):
        losses.append(twins.torch_epoch(network, optimizer, x, y, ROW.batch)[0])
        if epoch in (1, epochs):
            linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
            weights = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear]
            dead.append(dead_units(weights, data.x_train))
    return {"train_loss": losses, "dead_first": dead[0], "dead_last": dead[-1]}


ENGINES = {"optimlab": optimlab_run, "PyTorch": torch_run}


def apart(data: ol.Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """Measure how far the losses of the two are apart if they share weights and batches, in float64.

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
    "training loss": lambda run: run["train_loss"][-1],
    "dead units of 200 after the first epoch": lambda run: run["dead_first"],
    "dead units of 200 at the end": lambda run: run["dead_last"],
}


def measured(settings: Settings, data: ol.Dataset) -> dict[str, list[dict[str, Any]]]:
    """The runs of each engine, seed by seed; engines with fewer than two are left out."""
    runs = common.Runs(settings)
    about = {"experiment": settings.name, **ROW.config(), "epochs": settings.epochs}
    about["data"] = common.about(data)["digest"]
    kept: dict[str, list[dict[str, Any]]] = {engine: [] for engine in ENGINES}
    with common.until_interrupted():
        for seed in settings.seeds:
            for engine, run in ENGINES.items():
                config = {**about, "engine": engine, "seed": seed}
                if engine == "optimlab" or settings.torch or runs.has(**config):
                    made = runs.get(lambda run=run, seed=seed: run(data, seed, settings.epochs), **config)
                    kept[engine].append(made)
    return {engine: made for engine, made in kept.items() if len(made) > 1}


def draw(values: dict[str, dict[str, list[float]]], epochs: int) -> Figure:
    """A dot a run: its loss by engine with the medians, and its loss by the number of dead units."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    by_engine, by_dead = figure.subplots(1, 2, sharey=True)
    losses, dead = values["training loss"], values["dead units of 200 at the end"]
    for k, (engine, of) in enumerate(losses.items()):
        across = k + 0.5 * (np.arange(len(of)) / max(len(of) - 1, 1) - 0.5)
        by_engine.plot(across, of, "o", color=PALETTE[k], markersize=4.5, alpha=0.75)
        by_engine.plot([k - 0.34, k + 0.34], [np.median(of)] * 2, color=INK, linewidth=1.5)
        by_engine.annotate("median", (k + 0.36, np.median(of)), fontsize=8.5, color=INK, va="center")
        by_dead.plot(dead[engine], of, "os"[k], color=PALETTE[k], markersize=4.5, alpha=0.75)
        by_dead.text(0.03, 0.95 - 0.07 * k, f"{'●■'[k]} {engine}", color=PALETTE[k], fontsize=9,
                     transform=by_dead.transAxes, va="top")  # fmt: skip
    by_engine.set(ylabel=f"training loss after {epochs} epochs (nats)", xlim=(-0.6, len(losses) - 0.2))
    by_engine.set_xticks(range(len(losses)), list(losses))
    by_dead.set(xlabel="dead units at the end, of 200")
    for axes in (by_engine, by_dead):
        common.plain_axes(axes)
    figure.suptitle(
        "RMSProp 0.001 on 5,000 images of CIFAR-10, MLP 3072-100-100-10: a dot a run", fontsize=10, color=INK,
        x=0.01, ha="left",
    )  # fmt: skip
    return figure


@common.command(data="cifar10", epochs=10, seeds=30, torch=True)
def main(settings: Settings) -> None:
    data = cifar10.load(settings.data)
    train = ol.Dataset(data.x_train, data.y_train, name=data.name, classes=data.classes)
    records = measured(settings, train)
    if not records:
        raise ol.InputError("fewer than two seeds are finished; the same command goes on")
    values = {
        title: {engine: [float(measure(run)) for run in made] for engine, made in records.items()}
        for title, measure in MEASURES.items()
    }
    rows, says = [], []
    for title, of in values.items():
        found: dict[str, Any] = {"name": title}
        for engine, measures in of.items():
            found[engine] = {**common.interval(measures)._asdict(), "median": float(np.median(measures))}
            found[engine]["runs"] = measures
        if len(of) == 2:
            found["gap"] = gap = tested(of["optimlab"], of["PyTorch"])
            says.append(
                f"{title}: optimlab's mean is {gap['means']:+.3g} from PyTorch's (95% interval {gap['low']:+.3g} to "
                f"{gap['high']:+.3g}, Welch p = {gap['p_means']:.2g}); the medians are {gap['medians']:+.3g} apart "
                f"(permutation p = {gap['p_medians']:.2g}). Seeds: {len(of['optimlab'])} and {len(of['PyTorch'])}."
            )
        rows.append(found)
    result: dict[str, Any] = {"rows": rows}
    losses, dead = ([value for of in values[title].values() for value in of] for title in
                    ("training loss", "dead units of 200 at the end"))  # fmt: skip
    if len(set(dead)) > 1:
        result["rank_correlation"] = tau = stats.spearmanr(dead, losses)._asdict()
        says.append(
            f"Runs with more dead units have the higher loss: rank correlation {tau['statistic']:.2f} over "
            f"{len(dead)} runs (p = {tau['pvalue']:.1g})."
            if tau["statistic"] > 0 and tau["pvalue"] < 0.05
            else "Whether runs with more dead units have the higher loss cannot be told: rank correlation "
            f"{tau['statistic']:.2f} over {len(dead)} runs (p = {tau['pvalue']:.2g})."
        )
    if len(records) == 2:
        epochs = min(COMMON_EPOCHS, settings.epochs)
        result["same_start"] = same = apart(train, settings.seeds[0], epochs)
        says.append(
            f"From the same initial weights through the same batches, both drawn by PyTorch, the training losses of "
            f"{epochs} epochs differ by at most {same['difference']:.1g} in float64."
        )
    common.show(
        f"RMSProp in optimlab and in PyTorch: {settings.epochs} epochs",
        ("", "optimlab: mean", "median", "PyTorch: mean", "median"),
        [
            (f["name"], *(text for e in ENGINES
                          for text in ((common.plus_minus(f[e]), f"{f[e]['median']:.3f}") if e in f else ("-", "-"))))
            for f in rows
        ],
        "mean ±95% interval of the mean (Student's t)",
    )  # fmt: skip
    common.say(says)
    common.write(settings, train, {**result, "says": says}, draw(values, settings.epochs))


if __name__ == "__main__":
    main()
