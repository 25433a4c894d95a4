"""One training run, twice: in optimlab, and as a PyTorch user would write it.

A ``Row`` says what is trained. ``optimlab_run`` and ``torch_run`` return the same measures of it; they share nothing
but the data, so that where both agree neither copied the other's mistake.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import common
from common import Settings
from timing.rule_steps import TORCH

import optimlab as ol


class Printed(NamedTuple):
    """A run as a document printed it: the best validation accuracy, then the values at epochs 10, 20, 30 ..."""

    best: float
    best_epoch: int
    train_loss: tuple[float, ...]
    train_accuracy: tuple[float, ...]
    val_accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """A line of an experiment's table: what is trained, and what the document printed for it.

    Attributes
    ----------
    schedule: the rate; it counts epochs.
    torch_schedule: the same as ``torch_schedule(torch, optimizer)``.
    plateau: options of ``ReduceLROnPlateau`` on the validation loss.
    convention: of rule, initial weights and batch norm.
    first_seed: added to the seeds, for a row that is to begin elsewhere than the others.
    document: what the document printed.
    """

    name: str
    rule: str
    lr: float
    sizes: tuple[int, ...]
    batch: int
    schedule: ol.schedules.Schedule | None = None
    torch_schedule: Callable[[Any, Any], Any] | None = None
    plateau: dict[str, Any] | None = None
    batch_norm: bool = False
    convention: str = "torch"
    first_seed: int = 0
    document: Printed | None = None

    def config(self) -> dict[str, Any]:
        """Return everything that decides the outcome except the seed, the data and the number of epochs."""
        return {
            "row": self.name,
            "rule": self.rule,
            "lr": self.lr,
            "sizes": list(self.sizes),
            "batch": self.batch,
            "schedule": repr(self.schedule) if self.schedule else None,
            "plateau": self.plateau,
            "batch_norm": self.batch_norm,
            "convention": self.convention,
        }


def optimlab_run(row: Row, data: ol.Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """Curves by epoch, and the best validation accuracy with the test accuracy of its weights."""
    network = ol.MLP(row.sizes, batch_norm=row.batch_norm, convention=row.convention, seed=seed)
    hyper: dict[str, Any] = {"lr": row.lr}
    if row.schedule:
        hyper["lr"] = row.schedule
        if row.schedule.momentum(0) is not None:
            hyper["beta"] = row.schedule.momentum
    optimizer = ol.optimizers.get(row.rule)(network.parameters, convention=row.convention, **hyper)
    best = ol.BestCheckpoint("val_accuracy")
    callbacks: list[Any] = [best]
    if row.plateau:
        callbacks.append(ol.ReduceLROnPlateau("val_loss", convention=row.convention, **row.plateau))
    options = dict(epochs=epochs, batch_size=row.batch, seed=seed, callbacks=callbacks, progress=False)
    history = ol.fit(network, optimizer, data, **options)
    if history.status == "interrupted":
        raise KeyboardInterrupt
    curves = {name: getattr(history, name) for name in CURVES}
    result = {"status": "diverged" if history.status == "diverged" else "ok", "seconds": sum(history.seconds)}
    result |= {"val_accuracy": best.best.value, "best_epoch": best.best.epoch, "curves": curves}
    if data.x_test is not None:
        result["test_accuracy"] = ol.evaluate(network, data.x_test, data.y_test)[1]
    return result


CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")


def torch_network(sizes: Sequence[int], convention: str, batch_norm: bool = False) -> Any:
    """An MLP in PyTorch with the initial weights of the convention, on one thread."""
    import torch

    torch.set_num_threads(1)
    layers: list[Any] = []
    for inputs, outputs in itertools.pairwise(sizes):
        linear = torch.nn.Linear(inputs, outputs)
        if convention == "keras":
            torch.nn.init.xavier_uniform_(linear.weight)
            torch.nn.init.zeros_(linear.bias)
        layers += [linear, *([torch.nn.BatchNorm1d(outputs)] if batch_norm else []), torch.nn.ReLU()]
    # the last Dense layer has neither batch norm nor activation
    return torch.nn.Sequential(*layers[: -2 if batch_norm else -1])


def torch_epoch(network: Any, optimizer: Any, x: Any, y: Any, batch: int) -> tuple[float, float]:
    """Train for one epoch in an order that PyTorch draws, and return the mean loss and accuracy over its rows."""
    import torch

    network.train()
    total, correct = 0.0, 0
    for index in torch.randperm(len(x)).split(batch):
        labels = y[index]
        logits = network(x[index])
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(index)
        correct += int((logits.argmax(1) == labels).sum())
    return total / len(x), correct / len(x)


def torch_evaluate(network: Any, x: Any, y: Any) -> tuple[float, float]:
    """Return loss and accuracy in evaluation mode."""
    import torch

    network.eval()
    labels = torch.from_numpy(y)
    with torch.no_grad():
        logits = torch.cat([network(part) for part in torch.from_numpy(x).split(1000)])
        loss = torch.nn.functional.cross_entropy(logits, labels).item()
    return loss, (logits.argmax(1) == labels).double().mean().item()


def torch_run(row: Row, data: ol.Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """The same in PyTorch, eager, on one thread."""
    import time

    import torch

    torch.manual_seed(seed)
    network = torch_network(row.sizes, row.convention, row.batch_norm)
    name, settings = TORCH[row.rule]
    optimizer = getattr(torch.optim, name)(network.parameters(), lr=row.lr, **settings)
    schedule = row.torch_schedule(torch, optimizer) if row.torch_schedule else None
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", **row.plateau) if row.plateau else None
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    curves: dict[str, list[float]] = {name: [] for name in CURVES}
    best: dict[str, Any] = {"val_accuracy": -1.0}
    seconds = 0.0
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        curves["lr"].append(optimizer.param_groups[0]["lr"])
        train_loss, train_accuracy = torch_epoch(network, optimizer, x, y, row.batch)
        seconds += time.perf_counter() - start
        val_loss, val_accuracy = torch_evaluate(network, data.x_val, data.y_val)
        for key, value in zip(CURVES, (train_loss, train_accuracy, val_loss, val_accuracy), strict=False):
            curves[key].append(value)
        if val_accuracy > best["val_accuracy"]:
            best = {"val_accuracy": val_accuracy, "best_epoch": epoch}
            if data.x_test is not None:
                best["test_accuracy"] = torch_evaluate(network, data.x_test, data.y_test)[1]
        if schedule:
            schedule.step()
        if plateau:
            plateau.step(val_loss)
    return {"status": "ok", "seconds": seconds, **best, "curves": curves}


ENGINES = {"optimlab": optimlab_run, "PyTorch": torch_run}

Records = dict[tuple[str, str], list[dict[str, Any]]]
"""The runs by row and engine, one a seed."""


def measure(settings: Settings, rows: Sequence[Row], data: Callable[[Row], ol.Dataset]) -> Records:
    """Every row with every seed, in optimlab and, if asked for, in PyTorch; kept runs of PyTorch are there anyway.

    Ctrl-C ends the measuring; what is finished by then is reported, rows of fewer than two seeds left out.
    """
    runs = common.Runs(settings)
    records: Records = {}

    def make(engine: str, r: Row, seed: int) -> None:
        given = data(r)
        config = {**r.config(), "engine": engine, "epochs": settings.epochs, "seed": seed}
        config["data"] = common.about(given)["digest"]
        if engine == "optimlab" or settings.torch or runs.has(**config):
            made = runs.get(lambda: ENGINES[engine](r, given, seed, settings.epochs), **config)
            records.setdefault((r.name, engine), []).append(made)

    with common.until_interrupted():
        for engine in ENGINES:
            for r in rows:
                for seed in settings.seeds:
                    make(engine, r, r.first_seed + seed)
    return {key: made for key, made in records.items() if len(made) > 1}
