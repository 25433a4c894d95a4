"""Callbacks of :func:`optimlab.fit`. :mod:`optimlab.training.lifecycle` says when each method is called.

Names and meanings follow Keras where it has the same callback. Each callback can be used again: a new run starts
without anything from the last. Their order in the list does not matter, with one exception: if several restore the best
weights, the last to end decides. That is a :class:`BestCheckpoint` if there is one, else the last in the list.
"""

from __future__ import annotations

import csv
import inspect
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

from .. import schedules
from ..backends import Array
from ..common.errors import InputError, count, lookup, number, only
from ..nn.network import Network
from ..optim.optimizers import Optimizer
from .checkpoint import save_checkpoint
from .history import MEASURES, History
from .lifecycle import named
from .snapshot import restore, snapshot


class Best:
    """The best value so far of one measure of the history.

    Parameters
    ----------
    monitor: a list of the history, such as ``"val_loss"``. A lower loss is better, and a higher accuracy or R².
    min_delta: a value counts as better if it improves on the best by more than this.

    Attributes
    ----------
    value, epoch: the best value so far, and the number of its epoch, from 1; 0 before the first.
    """

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0.0) -> None:
        self.monitor = lookup("measure", monitor, {name: name for name in MEASURES})
        self.min_delta = number("min_delta", min_delta, low=0)
        self.rises = not monitor.endswith("loss")
        self.reset()

    def reset(self) -> None:
        """Forget all epochs."""
        self.value = -math.inf if self.rises else math.inf
        self.epoch = 0

    def improves(self, history: History) -> bool:
        """Return True, and remember the last epoch, if it is the best so far.

        Raises
        ------
        InputError: the history does not have the measure.
        """
        value = _latest(history, self.monitor)
        gain = value - self.value if self.rises else self.value - value
        if not gain > self.min_delta:
            return False
        self.value, self.epoch = value, history.epochs
        return True

    def state(self) -> dict[str, Any]:
        return {"best": self.value, "best_epoch": self.epoch}

    def load(self, state: dict[str, Any]) -> None:
        self.value, self.epoch = state["best"], state["best_epoch"]


def _latest(history: History, monitor: str) -> float:
    values: list[float] = getattr(history, monitor)
    if not values:
        raise InputError(f"there is no {monitor} to watch: the data have no such split, or the loss has no such score")
    return values[-1]


class EarlyStopping:
    """A callback that ends training if a measure has not improved for ``patience`` epochs, as in Keras.

    Parameters
    ----------
    monitor: the measure, a list of the history such as ``"val_loss"``.
    patience: number of epochs without an improvement after which training ends.
    min_delta: an epoch is an improvement if it is better than the best by more than this.
    restore_best: whether the network returns to its best epoch when training ends. It does so however training ends:
        by this callback, after the last epoch, by Ctrl-C, or because the loss diverges.

    Raises
    ------
    InputError: the measure is unknown or a value is out of range; in an epoch, the run does not have the measure.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> stop = EarlyStopping("val_loss", patience=3)
    >>> history = ol.fit(net, ol.Adam(net.parameters, lr=0.03), data, epochs=200, callbacks=[stop])
    >>> history.status, history.epochs == stop.best.epoch + 3
    ('stopped', True)
    >>> ol.evaluate(net, data.x_val, data.y_val)[0] == min(history.val_loss)
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        *,
        restore_best: bool = True,
        **other: Never,
    ) -> None:
        only(EarlyStopping, other)
        self.best = Best(monitor, min_delta)
        self.monitor = monitor
        self.patience = count("patience", patience)
        self.restore_best = restore_best
        self.waited = 0
        self._kept: dict[str, Array] = {}

    def on_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self.best.reset()
        self.waited, self._kept = 0, {}

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> bool:
        if self.best.improves(history):
            self.waited = 0
            if self.restore_best:
                self._kept = snapshot(network)
            return False
        self.waited += 1
        return self.waited >= self.patience

    def on_end(self, network: Network, optimizer: Optimizer, history: History) -> None:
        if self._kept:
            restore(network, self._kept)

    def state(self) -> dict[str, Any]:
        return {**self.best.state(), "waited": self.waited, **self._kept}

    def load(self, state: dict[str, Any], network: Network) -> None:
        self.best.load(state)
        self.waited = state["waited"]
        self._kept = {name: state[name] for name in network.learned() if name in state}


class BestCheckpoint:
    """A callback that restores the network of the best epoch when training ends, however it ends.

    Parameters
    ----------
    monitor: the measure, a list of the history such as ``"val_loss"``.
    path: a file to which each new best network is saved, see :func:`optimlab.save_checkpoint`; None for no file.

    Raises
    ------
    InputError: the measure is unknown; in an epoch, the run does not have it, or the file cannot be written.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> keep = BestCheckpoint("val_accuracy")
    >>> history = ol.fit(net, ol.Adam(net.parameters, lr=0.03), data, epochs=10, callbacks=[keep])
    >>> ol.evaluate(net, data.x_val, data.y_val)[1] == max(history.val_accuracy)
    True
    """

    last = True
    """This callback is called after all others, so that the file has the optimizer as they left it."""

    def __init__(self, monitor: str = "val_loss", path: str | Path | None = None, **other: Never) -> None:
        only(BestCheckpoint, other)
        self.best = Best(monitor)
        self.monitor = monitor
        self.path = path
        self._kept: dict[str, Array] = {}

    def on_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self.best.reset()
        self._kept = {}

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
        self._kept = {name: state[name] for name in network.learned() if name in state}


class LearningRateScheduler:
    """A callback that sets the learning rate at the beginning of each epoch.

    Parameter groups with their own rate keep it. For a rate that changes at every step, pass the schedule to the
    optimizer.

    Parameters
    ----------
    schedule: a function of the epoch, counted from 0, or of the epoch and the present rate as in Keras. It receives the
        rate if it has a second parameter without a default, or one called ``lr`` or ``learning_rate``.

    Raises
    ------
    InputError: ``schedule`` is not such a function, or it counts steps; when training begins, the optimizer's ``lr``
        is already a schedule; in an epoch, the rate is not a number of at least 0.

    >>> import optimlab as ol
    >>> net = ol.MLP([64, 10], seed=0)
    >>> halve = LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch else lr)
    >>> ol.fit(net, ol.SGD(net.parameters, lr=0.1), ol.datasets.load("digits"), epochs=3, callbacks=[halve]).lr
    [0.1, 0.05, 0.025]
    """

    def __init__(self, schedule: Callable[..., float]) -> None:
        self.schedule = schedule
        schedules.require_unit(schedules.checked_schedule("schedule", schedule), "epoch", "LearningRateScheduler")
        self._takes_rate = _takes_rate(schedule)

    def on_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        _settable(self, optimizer, optimizer.hyperparameters)

    def on_epoch_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        epoch = history.epochs
        optimizer.lr = self.schedule(epoch, optimizer.lr) if self._takes_rate else self.schedule(epoch)


def _takes_rate(schedule: Any) -> bool:
    """Return True if a function of the epoch also takes the learning rate."""
    wrong = InputError(f"LearningRateScheduler takes a function (epoch) or (epoch, lr), got {schedule!r}")
    if not callable(schedule):
        raise wrong
    try:
        parameters = list(inspect.signature(schedule).parameters.values())
    except ValueError:  # some functions written in C have no signature
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(required) > 2 or any(p.kind is p.KEYWORD_ONLY for p in required):
        raise wrong
    if not places and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise wrong
    return len(places) > 1 and (len(required) == 2 or places[1].name in ("lr", "learning_rate"))


class ReduceLROnPlateau:
    """A callback that cuts the learning rate when a measure no longer improves.

    As in PyTorch, it cuts the present rate and that of each parameter group with its own rate.

    Parameters
    ----------
    monitor: the measure, a list of the history such as ``"val_loss"``. The mode follows from it.
    options: ``factor``, ``patience``, ``threshold``, ``cooldown``, ``min_lr`` and ``convention``, with the meanings and
        defaults of :class:`optimlab.schedules.ReduceLROnPlateau`.

    Raises
    ------
    InputError: an option or measure is unknown, or a value is out of range; when training begins, the rate is a
        schedule.

    >>> import optimlab as ol
    >>> net = ol.MLP([64, 10], seed=0)
    >>> cut = ReduceLROnPlateau("val_loss", factor=0.5, patience=1)
    >>> history = ol.fit(
    ...     net, ol.SGD(net.parameters, lr=8.0), ol.datasets.load("digits"), epochs=10, callbacks=[cut]
    ... )
    >>> history.lr[0], history.lr[-1] < 8.0
    (8.0, True)
    """

    follows_metric = True

    def __init__(self, monitor: str = "val_loss", **options: Any) -> None:
        self.monitor = lookup("measure", monitor, {name: name for name in MEASURES})
        self._options = {"mode": "min" if monitor.endswith("loss") else "max", **options}
        self._listener = self._listening()

    def _listening(self) -> schedules.ReduceLROnPlateau:
        """Return a new plateau schedule. Its own rate is not used: the rates of the optimizer are cut."""
        return schedules.ReduceLROnPlateau(1.0, **self._options)

    def on_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self._listener = self._listening()
        self._rates(optimizer)

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        rates = self._rates(optimizer)
        if self._listener.hear(_latest(history, self.monitor), max(values["lr"] for values in rates)):
            for values in rates:
                values["lr"] = self._listener.cut(values["lr"])

    def _rates(self, optimizer: Optimizer) -> list[dict[str, Any]]:
        """Return the hyperparameters of the optimizer, and those of each group with its own rate."""
        groups = [values for values in optimizer.groups.values() if "lr" in values]
        return [_settable(self, optimizer, values) for values in (optimizer.hyperparameters, *groups)]

    def state(self) -> dict[str, Any]:
        return {name: value for name, value in self._listener.state().items() if name != "lr"}

    def load(self, state: dict[str, Any], network: Network) -> None:
        self._listener.load({**self._listener.state(), **state})


def _settable(callback: Any, optimizer: Optimizer, values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` if their ``lr`` is a number.

    Raises
    ------
    InputError: ``lr`` is a schedule, or there is none.
    """
    if callable(lookup(f"hyperparameter of {optimizer.name}", "lr", values)):
        raise InputError(
            f"{named(callback)} sets the learning rate, but so does {values['lr']!r}: give the optimizer a number "
            "as lr, or leave one of the two out"
        )
    return values


class CSVLogger:
    """A callback that writes a CSV file with a header and one line per epoch; a new run overwrites the file.

    Parameters
    ----------
    path: the file.

    Raises
    ------
    InputError: in an epoch, the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._header: list[str] = []

    def on_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self._header = []

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        row = {"epoch": history.epochs, **history.last()}
        new = not self._header
        self._header = self._header or list(row)
        with _opened(self.path, "w" if new else "a") as file:
            writer = csv.DictWriter(file, self._header)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def state(self) -> dict[str, Any]:
        return {"header": self._header, "lines": _lines(self.path) if self._header else 0}

    def load(self, state: dict[str, Any], network: Network) -> None:
        self._header = (
            state["header"] if self.path.exists() else []
        )  # a file that was deleted starts again with a header
        _cut(self.path, state["lines"])


class JSONLogger:
    """A callback that appends one line of JSON per epoch to a file, after those of earlier runs.

    Parameters
    ----------
    path: the file.

    Raises
    ------
    InputError: in an epoch, the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        with _opened(self.path, "a") as file:
            file.write(json.dumps({"epoch": history.epochs, **history.last()}, allow_nan=False) + "\n")

    def state(self) -> dict[str, Any]:
        return {"lines": _lines(self.path)}

    def load(self, state: dict[str, Any], network: Network) -> None:
        _cut(self.path, state["lines"])


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with _opened(path, "r") as file:
        return sum(1 for _ in file)


def _cut(path: Path, lines: int) -> None:
    """Remove the lines of epochs after the checkpoint: they are trained and logged again."""
    if path.exists():
        with path.open("rb+") as file:
            for _ in range(lines):
                file.readline()
            file.truncate()


def _opened(path: Path, mode: str) -> Any:
    try:
        return path.open(mode, newline="")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
