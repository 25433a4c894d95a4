"""Callbacks: what is done after each epoch of :func:`optimlab.fit`.

A callback is anything that can be called as ``callback(network, optimizer, history)``; if it returns True, training
ends. One that also has a method ``on_step(network, optimizer)`` is called so after every update; one with
``on_end(network, optimizer, history)`` once, however training ended. One that remembers things from epoch to epoch has
``state()``, plain data and arrays by name, and ``load(state, network)``, for :class:`Checkpoint` to keep.
Names and meanings follow Keras where it has the thing.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import schedules
from ..backends import Array
from ..errors import InputError, count, lookup, number
from ..network import Network
from ..optimizers import Optimizer
from .checkpoint import save_checkpoint
from .history import History
from .snapshot import restore, snapshot

MEASURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


class Best:
    """Watches one measure of the history and remembers its best value.

    Parameters
    ----------
    monitor: a list of the history, such as ``"val_loss"``; accuracies are to rise, losses to fall.
    min_delta: how much better than the best a value must be to count.

    Attributes
    ----------
    value, epoch: the best so far, and the number of its epoch from 1.
    """

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0.0) -> None:
        self.monitor = lookup("measure", monitor, {name: name for name in MEASURES})
        self.min_delta = number("min_delta", min_delta, low=0)
        self.rises = monitor.endswith("accuracy")
        self.value = -math.inf if self.rises else math.inf
        self.epoch = 0

    def improves(self, history: History) -> bool:
        """Whether the last epoch is the best, which is then remembered."""
        values = getattr(history, self.monitor)
        if not values:
            raise InputError(
                f"there is no {self.monitor} to watch: the data have no such split, or the loss no classes"
            )
        gain = values[-1] - self.value if self.rises else self.value - values[-1]
        if not gain > self.min_delta:
            return False
        self.value, self.epoch = values[-1], history.epochs
        return True

    def state(self) -> dict[str, Any]:
        return {"best": None if not self.epoch else self.value, "best_epoch": self.epoch}

    def load(self, state: dict[str, Any]) -> None:
        if state["best_epoch"]:
            self.value, self.epoch = state["best"], state["best_epoch"]


class EarlyStopping:
    """Ends training once a measure has not improved for ``patience`` epochs.

    As in Keras: an epoch improves if it is better than the best by more than ``min_delta``; training ends after
    ``patience`` epochs in a row that do not. With ``restore_best`` the network is then put back to its best epoch.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> stop = EarlyStopping("val_loss", patience=3)
    >>> history = ol.fit(net, ol.Adam(net.parameters, lr=0.03), data, epochs=200, callbacks=[stop])
    >>> history.status, history.epochs == stop.best.epoch + 3
    ('stopped', True)
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 10, min_delta: float = 0.0, *, restore_best: bool = True
    ) -> None:
        self.best = Best(monitor, min_delta)
        self.patience = count("patience", patience)
        self.restore_best = restore_best
        self.waited = 0
        self._kept: dict[str, Array] = {}

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> bool:
        if self.best.improves(history):
            self.waited = 0
            if self.restore_best:
                self._kept = snapshot(network)
            return False
        self.waited += 1
        if self.waited < self.patience:
            return False
        if self._kept:
            restore(network, self._kept)
        return True

    def state(self) -> dict[str, Any]:
        return {**self.best.state(), "waited": self.waited, **self._kept}

    def load(self, state: dict[str, Any], network: Network) -> None:
        self.best.load(state)
        self.waited = state["waited"]
        self._kept = {name: state[name].copy() for name in network.learned() if name in state}


class BestCheckpoint:
    """Keeps the network of the best epoch, and puts it back when training ends, however it ends.

    With a ``path`` each best network is also saved there, see :func:`optimlab.save_checkpoint`.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> keep = BestCheckpoint("val_accuracy")
    >>> history = ol.fit(net, ol.Adam(net.parameters, lr=0.03), data, epochs=10, callbacks=[keep])
    >>> ol.evaluate(net, data.x_val, data.y_val)[1] == max(history.val_accuracy)
    True
    """

    def __init__(self, monitor: str = "val_loss", path: str | Path | None = None) -> None:
        self.best = Best(monitor)
        self.path = path
        self._kept: dict[str, Array] = {}

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        if self.best.improves(history):
            self._kept = snapshot(network)
            if self.path is not None:
                extra = {"epoch": self.best.epoch, self.best.monitor: self.best.value}
                save_checkpoint(self.path, network, optimizer, extra=extra)

    def on_end(self, network: Network, optimizer: Optimizer, history: History) -> None:
        if self._kept:
            restore(network, self._kept)

    def state(self) -> dict[str, Any]:
        return {**self.best.state(), **self._kept}

    def load(self, state: dict[str, Any], network: Network) -> None:
        self.best.load(state)
        self._kept = {name: state[name].copy() for name in network.learned() if name in state}


class LearningRateScheduler:
    """Sets the learning rate of each epoch but the first: ``schedule(epoch)``, epochs counted from 0.

    (The first epoch has begun before any callback is called: give the optimizer ``schedule(0)``.) For a rate that
    changes with every step, give the schedule itself to the optimizer.

    Raises
    ------
    InputError: ``schedule`` counts steps.

    >>> import optimlab as ol
    >>> net = ol.MLP([64, 10], seed=0)
    >>> halve = LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)
    >>> opt = ol.SGD(net.parameters, lr=0.1)
    >>> ol.fit(net, opt, ol.datasets.load("digits"), epochs=3, callbacks=[halve]).lr
    [0.1, 0.05, 0.025]
    """

    def __init__(self, schedule: Callable[[int], float]) -> None:
        schedules.require_unit(schedule, "epoch", "LearningRateScheduler")
        self.schedule = schedule

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        optimizer.lr = self.schedule(history.epochs)


class ReduceLROnPlateau:
    """Cuts the learning rate when a measure no longer improves.

    Keyword arguments and meanings as in :class:`optimlab.schedules.ReduceLROnPlateau`: ``factor``, ``patience``,
    ``threshold``, ``cooldown``, ``min_lr``, ``convention``; the mode follows from the measure.

    >>> import optimlab as ol
    >>> net = ol.MLP([64, 10], seed=0)
    >>> cut = ReduceLROnPlateau("val_loss", factor=0.5, patience=1)
    >>> history = ol.fit(
    ...     net, ol.SGD(net.parameters, lr=8.0), ol.datasets.load("digits"), epochs=10, callbacks=[cut]
    ... )
    >>> history.lr[0], history.lr[-1] < 8.0
    (8.0, True)
    """

    def __init__(self, monitor: str = "val_loss", **options: Any) -> None:
        self.best = Best(monitor)
        self.options = {"mode": "max" if self.best.rises else "min", **options}
        schedules.ReduceLROnPlateau(1.0, **self.options)  # bad options are refused now, not after an epoch
        self.plateau: schedules.ReduceLROnPlateau | None = None

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self.best.improves(history)
        if self.plateau is None:
            self.plateau = schedules.ReduceLROnPlateau(optimizer.lr, **self.options)
        optimizer.lr = self.plateau(getattr(history, self.best.monitor)[-1])

    def state(self) -> dict[str, Any]:
        return {"plateau": None if self.plateau is None else self.plateau.state(), **self.best.state()}

    def load(self, state: dict[str, Any], network: Network) -> None:
        self.best.load(state)
        if state["plateau"] is not None:
            self.plateau = schedules.ReduceLROnPlateau(1.0, **self.options)
            self.plateau.load(state["plateau"])


class CSVLogger:
    """Writes one line an epoch to a CSV file, with a header; an existing file is replaced.

    Raises
    ------
    InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._header: list[str] = []

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        row = _last_epoch(history)
        new = not self._header
        self._header = self._header or list(row)
        with _opened(self.path, "w" if new else "a") as file:
            writer = csv.DictWriter(file, self._header)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def state(self) -> dict[str, Any]:
        return {"header": self._header, "size": _size(self.path) if self._header else 0}

    def load(self, state: dict[str, Any], network: Network) -> None:
        self._header = state["header"]
        _cut(self.path, state["size"])


class JSONLogger:
    """Appends one line of JSON an epoch to a file.

    Raises
    ------
    InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        with _opened(self.path, "a") as file:
            file.write(json.dumps(_last_epoch(history), allow_nan=False) + "\n")

    def state(self) -> dict[str, Any]:
        return {"size": _size(self.path)}

    def load(self, state: dict[str, Any], network: Network) -> None:
        _cut(self.path, state["size"])


def _last_epoch(history: History) -> dict[str, Any]:
    measured = {name: values[-1] for name, values in history.to_dict().items() if isinstance(values, list) and values}
    return {"epoch": history.epochs, **measured}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cut(path: Path, size: int) -> None:
    """Drop the epochs logged after the checkpoint: they are trained and logged again."""
    if _size(path) > size:
        os.truncate(path, size)


def _opened(path: Path, mode: str) -> Any:
    try:
        return path.open(mode, newline="")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
