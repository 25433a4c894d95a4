"""The experiments of document 004: an MLP 784-800-10 trained with Adam, on MNIST and on Fashion-MNIST.

The document (Keras) searches learning rate and batch size, then the factor and patience of a plateau; it takes the best
model on validation, tests it, and goes on training it on the training and validation rows together. Of each search it
shows one outcome. Here the settings it found are trained with several seeds, in its own convention: Keras's initial
weights, Keras's Adam, Keras's plateau. ``--search`` also makes the searches.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import common
import numpy as np
import twins
from common import INK, PALETTE, SOFT, Settings
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from twins import Row

import optimlab as ol

SIZES = (784, 800, 10)


@dataclass(frozen=True)
class Printed:
    """The accuracies that the document printed for one setting."""

    val: float
    test: float
    again: float
    """On test, after more epochs on training and validation rows."""


@dataclass(frozen=True)
class Document:
    """One data set's half of the document.

    Attributes
    ----------
    lr: of Adam, as its first search found it.
    batch: the same.
    factor, patience: of the plateau, as its second search found them.
    again_lr, again_epochs: of the last training, on training and validation rows together.
    rates, batches: what the first search chose from, as :func:`optimlab.tuning.parse` reads it.
    fixed: epochs of one more row, which does not stop early; None for no such row.
    retrained: how many of the seeds are trained on afterwards; None for all.
    """

    data: str
    lr: float
    batch: int
    factor: float
    patience: int
    again_lr: float
    again_epochs: int
    plain: Printed
    plateau: Printed
    rates: str
    batches: str
    fixed: int | None = None
    retrained: int | None = None


def stopped_run(of: Document, data: ol.Dataset, seed: int, plateau: bool, limit: int, again: int) -> dict[str, Any]:
    """One trial of the document at given settings: early stopping, the best epoch's test, and training on.

    ``again``: epochs of training on; 0 for none.
    """
    network = ol.MLP(SIZES, convention="keras", seed=seed)
    optimizer = ol.Adam(network.parameters, lr=of.lr, convention="keras")
    stop = ol.EarlyStopping("val_accuracy", patience=patience(of, plateau), min_delta=1e-5, restore_best=False)
    best = ol.BestCheckpoint("val_accuracy")
    callbacks: list[Any] = [stop, best]
    if plateau:
        options = dict(factor=of.factor, patience=of.patience, threshold=1e-4, min_lr=1e-5, convention="keras")
        callbacks.append(ol.ReduceLROnPlateau("val_accuracy", **options))
    fit = dict(batch_size=of.batch, seed=seed, progress=False)
    history = ol.fit(network, optimizer, data, epochs=limit, callbacks=callbacks, **fit)
    test_loss, test = ol.evaluate(network, data.x_test, data.y_test)
    if history.status == "interrupted":
        raise KeyboardInterrupt
    found = {
        "val_accuracy": best.best.value,
        "best_epoch": best.best.epoch,
        "epochs": history.epochs,
        "test_loss": test_loss,
        "test_accuracy": test,
        "seconds": sum(history.seconds),
        "curves": {name: getattr(history, name) for name in twins.CURVES},
    }
    if not again:
        return found
    more = ol.Adam(network.parameters, lr=of.again_lr, convention="keras")
    after = ol.fit(network, more, common.all_but_test(data), epochs=again, **fit)
    if after.status == "interrupted":
        raise KeyboardInterrupt
    again_loss, again_test = ol.evaluate(network, data.x_test, data.y_test)
    curves = {name: getattr(after, name) for name in ("train_loss", "train_accuracy")}
    return {**found, "again_loss": again_loss, "again_accuracy": again_test, "again_curves": curves}


def patience(of: Document, plateau: bool) -> int:
    """The document's early stopping waits 10 epochs, or twice as long as its plateau."""
    return 2 * of.patience if plateau else 10


def torch_stopped_run(of: Document, data: ol.Dataset, seed: int, plateau: bool, limit: int) -> dict[str, Any]:
    """:func:`stopped_run` as a PyTorch user would write it, with early stopping and plateau as Keras defines them.

    It ends with the best epoch's test, and does not train on.
    """
    import copy

    import torch

    torch.manual_seed(seed)
    network = twins.torch_network(SIZES, "keras")
    optimizer = torch.optim.Adam(network.parameters(), lr=of.lr)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    # PyTorch cuts once more epochs than its patience have passed, Keras once as many have
    cut = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", of.factor, of.patience - 1, threshold=1e-4, threshold_mode="abs", min_lr=1e-5
    )
    curves: dict[str, list[float]] = {name: [] for name in twins.CURVES}
    best, best_epoch, kept, level, waited = -1.0, 0, {}, -1.0, 0
    start = time.perf_counter()
    for epoch in range(1, limit + 1):
        rate = optimizer.param_groups[0]["lr"]
        trained = twins.torch_epoch(network, optimizer, x, y, of.batch)
        validated = twins.torch_evaluate(network, data.x_val, data.y_val)
        for key, value in zip(twins.CURVES, (*trained, *validated, rate), strict=True):
            curves[key].append(value)
        accuracy = validated[1]
        if accuracy > best:
            best, best_epoch, kept = accuracy, epoch, copy.deepcopy(network.state_dict())
        level, waited = (accuracy, 0) if accuracy > level + 1e-5 else (level, waited + 1)
        if waited >= patience(of, plateau):
            break
        if plateau:
            cut.step(accuracy)
    seconds = time.perf_counter() - start
    network.load_state_dict(kept)
    test_loss, test = twins.torch_evaluate(network, data.x_test, data.y_test)
    return {
        "val_accuracy": best,
        "best_epoch": best_epoch,
        "epochs": len(curves["lr"]),
        "test_loss": test_loss,
        "test_accuracy": test,
        "seconds": seconds,
        "curves": curves,
    }


STOPPED = {"optimlab": stopped_run, "PyTorch": torch_stopped_run}


def settings_rows(settings: Settings, of: Document, data: ol.Dataset) -> tuple[list[dict[str, Any]], list[str]]:
    """The settings that the document found, with every seed, and sentences on what Ctrl-C left unfinished."""
    unfinished: list[str] = []
    runs = common.Runs(settings)
    limit, again = settings.epochs, 1 if settings.quick else of.again_epochs
    found = []
    if of.fixed:
        epochs = min(of.fixed, settings.epochs)
        fixed = Row(f"Adam {of.lr:g}, {epochs} epochs", "adam", of.lr, SIZES, of.batch, convention="keras")
        records = twins.measure(replace(settings, epochs=epochs), [fixed], lambda row: data)
        found = [summarise(name, engine, made, None) for (name, engine), made in records.items()]
    about = {"lr": of.lr, "batch": of.batch, "limit": limit, "again": again, "again_lr": of.again_lr}
    about |= {"data_name": of.data, "data": common.about(data)["digest"]}
    for name, plateau, printed in (
        (f"Adam {of.lr:g}, early stopping", False, of.plain),
        (f"plateau x{of.factor:g}, patience {of.patience}, early stopping", True, of.plateau),
    ):
        made: dict[str, list[dict[str, Any]]] = {engine: [] for engine in STOPPED}
        with common.until_interrupted():
            for k, seed in enumerate(settings.seeds):
                for engine, run in STOPPED.items():
                    config = {"row": name, "seed": seed, **about}
                    given = [of, data, seed, plateau, limit]
                    if engine == "optimlab":
                        config["again"] = again if of.retrained is None or k < of.retrained else 0
                        given.append(config["again"])
                    else:
                        config |= {"engine": engine, "again": 0}
                    if engine == "optimlab" or settings.torch or runs.has(**config):
                        made[engine].append(runs.get(lambda run=run, given=given: run(*given), **config))
        for engine, done in made.items():
            if done:
                found.append(summarise(name, engine, done, printed))
            if len(done) < len(settings.seeds) and (engine == "optimlab" or settings.torch):
                unfinished.append(f"{name}, {engine}: {len(done)} of {len(settings.seeds)} seeds were run.")
    return found, unfinished


def summarise(name: str, engine: str, runs: list[dict[str, Any]], printed: Printed | None) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "engine": engine, "document": printed and vars(printed)}
    for quantity in ("val_accuracy", "test_accuracy", "again_accuracy"):
        values = [run[quantity] for run in runs if quantity in run]
        if len(values) == 1:
            made[quantity] = {"mean": values[0], "runs": values}
        elif values:
            made[quantity] = {**common.interval(values)._asdict(), "runs": values}
            made[quantity]["one_more_run"] = common.spread(values)._asdict()
    made["best_epoch"] = [run["best_epoch"] for run in runs]
    made["epochs"] = [len(run["curves"]["val_accuracy"]) for run in runs]
    made["val_curves"] = [run["curves"]["val_accuracy"] for run in runs]
    return made


NAMES = {"val_accuracy": ("val", "validation"), "test_accuracy": ("test", "test"),
         "again_accuracy": ("again", "test after training on")}  # fmt: skip


def searched_rows(settings: Settings, of: Document) -> tuple[list[dict[str, Any]], list[str]]:
    """The document's two searches, by :func:`optimlab.tuning.tune`: one outcome each, as there.

    What is found is trained anew on training and validation rows, for as many epochs as the best one had; the document
    trains the found network on.
    """
    from optimlab.tuning import Problem, Search, tune

    # of the document's ten trials of the second search the quick mode makes two
    problem = Problem(
        settings.data, SIZES[1:-1], initializer="glorot_uniform", batch_size=of.batch, epochs=settings.epochs
    )
    found, unfinished = [], []
    for name, spaces, fixed, trials, printed in (
        ("search of rate and batch size", {"lr": of.rates, "batch_size": of.batches}, {}, 3, of.plain),
        ("search of factor and patience", {"factor": "0.1:0.5", "patience": "2,5,10"}, {"lr": of.lr}, 10, of.plateau),
    ):
        search = Search(
            problem, "adam:keras", spaces=spaces, fixed=fixed, trials=2 if settings.quick else trials, sampler="gp"
        )
        outcome = None
        with common.until_interrupted():
            outcome = tune(search, settings.out / settings.name / name.replace(" ", "-"))
        if outcome is None:
            unfinished.append(f"Interrupted in the {name}.")
            break
        best, summary = outcome.best, outcome.summary
        values = (best["val_score"], summary["test"]["score"], summary["retrained"]["score"])
        chosen = ", ".join(f"{key} {value:.4g}" for key, value in best["hyperparameters"].items())
        found.append(
            {
                "name": f"{name}, best of {len(outcome.records)}: {chosen}",
                "engine": "optimlab",
                "document": vars(printed),
                "best_epoch": [best["best_epoch"]],
                "trials": [{k: r[k] for k in ("hyperparameters", "val_score", "best_epoch")} for r in outcome.records],
                **{quantity: {"mean": value} for quantity, value in zip(NAMES, values, strict=True)},
            }
        )
    return found, unfinished


def report(settings: Settings, data: ol.Dataset, title: str, found: list[dict[str, Any]], notes: list[str]) -> None:
    """The table, what it says, the JSON file and the figure."""
    rows, says = [], []
    for f in found:
        document = f["document"] or {}
        cells = [f["name"], f["engine"]]
        for quantity, (short, long) in NAMES.items():
            cells.append(percent(f.get(quantity)))
            cells.append(f"{100 * document[short]:.2f}" if document else "-")
            if document and f["engine"] == "optimlab" and "one_more_run" in f[quantity] and not settings.quick:
                one = f[quantity]["one_more_run"]
                inside = one["low"] <= document[short] <= one["high"]
                says.append(
                    f"{f['name']}, {long}: the document's {100 * document[short]:.2f}% is "
                    f"{100 * (document[short] - f[quantity]['mean']):+.2f} points from our mean, "
                    f"{'inside' if inside else 'OUTSIDE'} the 95% interval for one more run, "
                    f"{100 * one['low']:.2f} to {100 * one['high']:.2f}%."
                )
        rows.append([*cells, " ".join(map(str, f["best_epoch"]))])
    says += [] if settings.quick else against_torch(found)
    common.show(
        f"{title}: {len(settings.seeds)} seeds",
        ("", "", "validation %", "document", "test %", "document", "trained on all\nbut test: test %", "document",
         "best epoch of\neach seed"),
        rows,
        "mean ±95% interval of the mean (Student's t); without ±: one run; the document's are single runs",
    )  # fmt: skip
    says += notes
    says += [
        f"{f['name']}, {f['engine']}: one run, {100 * f['test_accuracy']['mean']:.2f}% on test"
        + (f"; the document's {100 * f['document']['test']:.2f}%." if f["document"] else ".")
        for f in found
        if len(f["test_accuracy"].get("runs", ())) == 1
    ]
    says.append(
        "The document's validation figure is the best of several trials and of their epochs, chosen on the very rows "
        "it is measured on; ours is the best epoch of one training, averaged over the seeds."
    )
    common.say(says)
    common.write(settings, data, {"rows": found, "says": says}, draw(title, settings, found))


def against_torch(found: list[dict[str, Any]]) -> list[str]:
    """Say whether our mean test accuracy lies in the interval for one more run of PyTorch."""
    says = []
    for f in found:
        twin = next((g for g in found if (g["name"], g["engine"]) == (f["name"], "PyTorch")), None)
        if f["engine"] == "optimlab" and twin and "one_more_run" in twin["test_accuracy"]:
            ours, theirs, one = f["test_accuracy"]["mean"], twin["test_accuracy"], twin["test_accuracy"]["one_more_run"]
            inside = one["low"] <= ours <= one["high"]
            says.append(
                f"{f['name']}, test: our mean {100 * ours:.2f}% is {100 * (ours - theirs['mean']):+.2f} points from "
                f"PyTorch's, {'inside' if inside else 'OUTSIDE'} the 95% interval for one more of its runs, "
                f"{100 * one['low']:.2f} to {100 * one['high']:.2f}%."
            )
    return says


def percent(found: dict[str, Any] | None) -> str:
    """Return a mean as text, with its interval where there are several seeds."""
    if found is None:
        return "-"
    return common.percent(found) if "low" in found else f"{100 * found['mean']:.2f}"


def draw(title: str, settings: Settings, found: list[dict[str, Any]]) -> Figure:
    """Validation accuracy by epoch of each seed, one panel a setting; the best epochs as dots."""
    shown = [f for f in found if f["engine"] == "optimlab" and "val_curves" in f]
    figure = Figure(figsize=(4.2 * len(shown) + 0.4, 3.9), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    lowest = min(curve[min(2, len(curve) - 1)] for f in shown for curve in f["val_curves"])
    for axes, f in zip(panels, shown, strict=True):
        for k, (curve, best) in enumerate(zip(f["val_curves"], f["best_epoch"], strict=True)):
            colour = PALETTE[k % len(PALETTE)]
            values = 100 * np.array(curve)
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.2)
            axes.plot(best, values[best - 1], "o", color=colour, markersize=6)
        if f["document"]:
            level = 100 * f["document"]["val"]
            axes.axhline(level, color=SOFT, linewidth=1.1, linestyle=(0, (4, 3)))
            axes.annotate(f"document {level:.2f}", (0, level), xycoords=("axes fraction", "data"), xytext=(4, 3),
                          textcoords="offset points", color=SOFT, fontsize=9)  # fmt: skip
        axes.set_title(f["name"], fontsize=10, color=INK)
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        common.plain_axes(axes)
    panels[0].set_ylim(bottom=100 * lowest - 0.1)
    panels[0].set_ylabel("validation accuracy (%)")
    figure.suptitle(
        f"{title}: validation accuracy, a line a seed; dots: its best epoch", fontsize=10, color=INK, x=0.01, ha="left"
    )
    return figure


def experiment(settings: Settings, of: Document, title: str) -> None:
    """All of it, for one data set."""
    data = common.with_validation(ol.datasets.load(settings.data))
    found, notes = settings_rows(settings, of, data)
    if settings.search:
        searched, unfinished = searched_rows(settings, of)
        found, notes = found + searched, notes + unfinished
    else:
        notes.append("The document's two searches were not made here (--search).")
    report(settings, data, title, found, notes)
