"""Training with one set of hyperparameters: as a trial of the search, and again on all but the test data."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from ..datasets import Dataset
from ..nn.network import Network
from ..training import BestCheckpoint, EarlyStopping, History, LearningRateScheduler, ReduceLROnPlateau, fit
from .plan import Search

Record = dict[str, Any]


def run_trial(search: Search, number: int, values: dict[str, float]) -> tuple[Network | None, Record]:
    """Train with each seed of the search; return the best network, at its best epoch, and the trial's record.

    The record's score and loss are means over the seeds. A trial diverges if it does with any seed, and then has no
    network.
    """
    trained = [_train(search, values, seed) for seed in search.seeds]
    runs = [run for _, run in trained]
    record: Record = {"number": number, "hyperparameters": values, "status": "ok", "runs": runs}
    record["seconds"] = sum(run["seconds"] for run in runs)
    if any(run["status"] == "diverged" for run in runs):
        return None, {**record, "status": "diverged", "val_score": None, "val_loss": None, "best_epoch": None}
    network, best = max(trained, key=lambda pair: rank(search, pair[1]))
    record["val_score"] = fmean(run["val_score"] for run in runs)
    record["val_loss"] = fmean(run["val_loss"] for run in runs)
    return network, {**record, "best_epoch": best["best_epoch"], "best_seed": best["seed"]}


def rank(search: Search, record: Record) -> tuple[float, float]:
    """Return the sort key of a trial, larger is better: the objective, then the other measure."""
    if record["status"] != "ok":
        return -np.inf, -np.inf
    measures = record["val_score"], -record["val_loss"]
    return measures if search.objective == "val_score" else measures[::-1]


def best_of(search: Search, records: list[Record]) -> Record | None:
    """Return the best trial, the earliest one if tied; None if every trial so far diverged."""
    whole = [record for record in records if record["status"] == "ok"]
    return max(whole, key=lambda record: rank(search, record), default=None)


def _train(search: Search, values: dict[str, float], seed: int) -> tuple[Network, Record]:
    network = search.problem.network(seed)
    keep = BestCheckpoint(search.monitor)
    callbacks: list[Any] = [keep]
    patience = search.early_patience
    chosen = {**search.fixed, **values}
    if search.plateau:
        options = {name: chosen[name] for name in ("factor", "patience") if name in chosen}
        cut = ReduceLROnPlateau(
            search.monitor,
            threshold=search.min_delta,
            min_lr=search.min_lr,
            convention=search.contender.convention,
            **options,
        )
        patience = 2 * int(options.get("patience", PLATEAU_PATIENCE))
        callbacks.append(cut)
    callbacks.append(EarlyStopping(search.monitor, patience, search.early_min_delta, restore_best=False))
    history = _fit(search, network, search.problem.data(), chosen, search.problem.epochs, seed, callbacks)
    best = keep.best.epoch
    lists = {f"{split}_score": getattr(history, f"{split}_{search.problem.score}") for split in ("train", "val")}
    return network, {
        "seed": seed,
        "status": "diverged" if history.status == "diverged" or not best else "ok",
        "best_epoch": best or None,
        "val_score": lists["val_score"][best - 1] if best else None,
        "val_loss": history.val_loss[best - 1] if best else None,
        "epochs": history.epochs,
        "steps": history.steps,
        "diverged_step": history.diverged_step,
        "seconds": sum(history.seconds),
        "curves": {**{name: getattr(history, name) for name in CURVES}, **lists},
    }


CURVES = ("train_loss", "val_loss", "lr")
PLATEAU_PATIENCE = 10
"""The patience of a plateau if only its factor is given, as in PyTorch and Keras."""


def retrain(search: Search, record: Record) -> tuple[Network, History]:
    """Train from scratch on training and validation data together.

    The number of epochs is that of the best trial's best epoch, and each epoch has the rate that it had there. So
    nothing is monitored, and nothing can be chosen by the test data. An epoch now has more steps.
    """
    run = next(run for run in record["runs"] if run["seed"] == record["best_seed"])
    rates, data, epochs = run["curves"]["lr"], search.problem.data(), run["best_epoch"]
    both = replace(
        data,
        x_train=np.concatenate([data.x_train, data.x_val]),
        y_train=np.concatenate([data.y_train, data.y_val]),
        x_val=None,
        y_val=None,
    )
    follow = LearningRateScheduler(lambda epoch: rates[epoch])
    network = search.problem.network(run["seed"])
    chosen = {**search.fixed, **record["hyperparameters"]}
    return network, _fit(search, network, both, chosen, epochs, run["seed"], [follow] if search.plateau else [])


def _fit(
    search: Search,
    network: Network,
    data: Dataset,
    chosen: dict[str, float],
    epochs: int,
    seed: int,
    callbacks: list[Any],
) -> History:
    contender = search.contender
    rule = {name: value for name, value in chosen.items() if name not in ("lr", "batch_size", "factor", "patience")}
    lr = chosen.get("lr", contender.defaults()["lr"])
    batch_size = int(chosen.get("batch_size", search.problem.batch_size))
    per_epoch = -(-len(data.x_train) // batch_size)
    history = fit(
        network,
        contender.make(network, lr, rule, search.problem.epochs * per_epoch, per_epoch),
        data,
        epochs=epochs,
        batch_size=batch_size,
        loss=search.problem.loss_function,
        seed=seed,
        callbacks=callbacks,
        progress=False,
    )
    if history.status == "interrupted":
        raise KeyboardInterrupt
    return history
