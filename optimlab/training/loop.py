"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import losses, regularization
from ..backends import Array
from ..datasets import Dataset
from ..errors import InputError, count
from ..layers import BatchNorm
from ..losses import Loss
from ..network import Network, seed_sequence
from ..optimizers import Optimizer
from ..progress import progress_bar
from ..regularization import Clip, Constraint, Penalty
from .history import History
from .resume import load_run

Callback: TypeAlias = Callable[[Network, Optimizer, History], Any]


def fit(
    network: Network,
    optimizer: Optimizer,
    data: Dataset,
    *,
    epochs: int = 20,
    batch_size: int = 64,
    loss: str | Loss = "softmax_cross_entropy",
    penalties: Sequence[Penalty] = (),
    clip: Clip | None = None,
    constraints: Sequence[Constraint] = (),
    seed: int | np.random.SeedSequence = 0,
    callbacks: Sequence[Callback] = (),
    resume: str | Path | None = None,
    progress: bool | None = None,
) -> History:
    """Train ``network`` on ``data.x_train`` and watch it on ``data.x_val``.

    Every epoch goes once through all rows in an order drawn from ``seed``; the last batch holds what is left.
    A loss that becomes infinite or NaN ends the run with status ``"diverged"``, Ctrl-C with ``"interrupted"``;
    the history of the epochs before stays.

    Parameters
    ----------
    optimizer: made for ``network.parameters``.
    penalties: such as ``[ol.L2(1e-4)]``, whose gradients are added to the loss's; the losses of the history stay those
        of the data alone, the penalties have a list of their own there.
    clip: such as ``ol.ClipGlobalNorm(1.0)``, called on the gradients, those of the penalties included.
    constraints: such as ``[ol.MaxNorm(3.0)]``, called on the weights after each update. See
        :mod:`optimlab.regularization` for all three.
    callbacks: called as ``callback(network, optimizer, history)`` after each epoch; one that returns True ends the
        training, with status ``"stopped"``. See :mod:`optimlab.training.callbacks`.
    resume: a file that :class:`optimlab.Checkpoint` left: the run goes on from there, bit for bit. Network, optimizer,
        data and options have to be made as they were; ``epochs`` may be more.
    progress: True or False to show a progress bar or not; by default where standard error is a terminal.

    Raises
    ------
    InputError: data, labels, or options that cannot be trained on, found before the first step.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> history = ol.fit(net, ol.Adam(net.parameters, lr=0.01), data, epochs=5)
    >>> history.status, history.steps, history.val_accuracy[-1] > 0.9
    ('completed', 85, True)
    """
    if optimizer.parameters is not network.parameters:
        raise InputError("the optimizer was made for another network's parameters")
    loss = losses.get(loss)
    epochs = count("epochs", epochs)
    batch_size = count("batch_size", batch_size)
    x, y = checked_data(network, data.x_train, data.y_train, loss, "training")
    val = None if data.x_val is None else checked_data(network, data.x_val, data.y_val, loss, "validation")
    rows = len(x)
    check_batches(network, rows, batch_size)
    penalties = regularization.checked("penalties", penalties, network.parameters)
    constraints = regularization.checked("constraints", constraints, network.parameters)
    if clip is not None:
        regularization.checked("clip", [clip], network.parameters)
    order = np.random.default_rng(seed_sequence(seed))
    run = Run(network, optimizer, loss, batch_size, x, y, penalties, clip, constraints, order, callbacks)
    run.epochs, run.data = epochs, data.name
    history = run.history
    if resume is not None:
        load_run(resume, run)
    with network.backend.quiet(), progress_bar("training", epochs, shown=progress) as advance:
        try:
            for _ in range(history.epochs, epochs):
                start = time.perf_counter()
                train_loss, correct, penalty = run.epoch()
                seconds = time.perf_counter() - start
                entries = {"train_loss": train_loss, "seconds": seconds}
                if penalties:
                    entries["penalty"] = penalty
                if "lr" in optimizer.used:
                    entries["lr"] = optimizer.used["lr"]
                if loss.classifies:
                    entries["train_accuracy"] = correct / rows
                if val:
                    entries["val_loss"], accuracy = _evaluate(network, *val, loss)
                    if loss.classifies:
                        entries["val_accuracy"] = accuracy
                if not all(map(math.isfinite, entries.values())):
                    raise _Diverged
                history.append(**entries)
                advance(f"loss {train_loss:.4g}")
                answers = [callback(network, optimizer, history) for callback in callbacks]
                if any(answer is True for answer in answers):
                    history.status = "stopped"
                    break
        except _Diverged:
            history.status, history.diverged_step = "diverged", history.steps
        except KeyboardInterrupt:
            history.status = "interrupted"
        for callback in callbacks:
            if hasattr(callback, "on_end"):
                callback.on_end(network, optimizer, history)
    return history


def evaluate(
    network: Network, x: Any, y: Any, loss: str | Loss = "softmax_cross_entropy"
) -> tuple[float, float | None]:
    """``(loss, accuracy)`` in evaluation mode, means over all rows; accuracy is None for a loss without classes.

    Raises
    ------
    InputError: ``x`` or ``y`` does not fit the network.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 3], initializer="zeros")
    >>> loss, accuracy = evaluate(net, np.zeros((4, 2)), [0, 0, 0, 1])
    >>> round(loss, 4), accuracy
    (1.0986, 0.75)
    """
    loss = losses.get(loss)
    x, y = checked_data(network, x, y, loss, "given")
    with network.backend.quiet():
        value, accuracy = _evaluate(network, x, y, loss)
    return value, accuracy if loss.classifies else None


class _Diverged(Exception):
    pass


class Run:
    """One network, optimizer and training set, the arrays that batches are gathered into, and where training is.

    Attributes
    ----------
    history: of the epochs so far.
    epochs, data: how many there are to be, and the name of the data set.
    order: draws the order of the rows; ``order_state`` is what its state was when the present epoch began.
    position: rows of the present epoch that have been trained on.
    sums: loss, right answers and penalties over those rows.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        loss: Loss,
        batch_size: int,
        x: Array,
        y: Array,
        penalties: Sequence[Penalty],
        clip: Clip | None,
        constraints: Sequence[Constraint],
        order: np.random.Generator,
        callbacks: Sequence[Callback],
    ) -> None:
        self.network, self.optimizer, self.loss, self.batch_size = network, optimizer, loss, batch_size
        self.penalties, self.clip, self.constraints = penalties, clip, constraints
        self.x, self.y = x, y
        self.history = History(penalty=[] if penalties else None)
        self.order, self.order_state = order, order.bit_generator.state
        self.epochs, self.data = 0, ""
        self.position = 0
        self.sums: tuple[float, int, float] = (0.0, 0, 0.0)
        self.callbacks = list(callbacks)
        self.hooks = [callback.on_step for callback in callbacks if hasattr(callback, "on_step")]
        for callback in callbacks:
            if hasattr(callback, "attach"):
                callback.attach(self)
        backend, rows = network.backend, min(batch_size, len(x))
        self._x = backend.empty((rows, x.shape[1]), network.dtype)
        self._y = backend.empty(y.shape, y.dtype)  # all targets of the epoch, in its order
        self._gradient = backend.empty((rows, network.outputs), network.dtype)

    def epoch(self) -> tuple[float, int, float]:
        """Train on the rows left of this epoch; its loss (mean over all rows), how many were classified right, and the
        penalties."""
        network, optimizer, backend, history = self.network, self.optimizer, self.network.backend, self.history
        penalties, clip, constraints = self.penalties, self.clip, self.constraints
        rows = len(self.x)
        self.order_state = self.order.bit_generator.state
        indices = backend.asarray(self.order.permutation(rows))
        backend.take(self.y, indices, self._y)
        x_batch, gradient = self._x, self._gradient
        total, correct, penalised = self.sums
        for start in range(self.position, rows, self.batch_size):
            y = self._y[start : start + self.batch_size]
            n = len(y)
            if n < self.batch_size:
                x_batch, gradient = x_batch[:n], backend.xp.empty_like(gradient[:n])
            x = x_batch
            backend.take(self.x, indices[start : start + n], x)
            x = network.forward_unchecked(x, training=True)
            value, _ = self.loss(backend, x, y, gradient)
            if not math.isfinite(value):
                history.steps += 1
                raise _Diverged
            if self.loss.classifies:
                correct += int(backend.xp.count_nonzero(x.argmax(axis=-1) == y))
            total += value * n
            network.backward(gradient)
            for penalty in penalties:
                penalised += penalty(network.parameters) * n
            if clip is not None:
                clip(network.parameters)
            optimizer.step()
            for constraint in constraints:
                constraint(network.parameters)
            history.steps += 1
            if self.hooks:
                self.position, self.sums = start + n, (total, correct, penalised)
                for hook in self.hooks:
                    hook(network, optimizer)
        self.position, self.sums = 0, (0.0, 0, 0.0)
        return total / rows, correct, penalised / rows


def _evaluate(network: Network, x: Array, y: Array, loss: Loss, rows: int = 1024) -> tuple[float, float]:
    backend = network.backend
    total, correct = 0.0, 0
    for start in range(0, len(x), rows):
        targets = y[start : start + rows]
        outputs = network.forward_unchecked(x[start : start + rows], training=False)
        if loss.classifies:
            correct += int(backend.xp.count_nonzero(outputs.argmax(axis=-1) == targets))
        value, _ = loss(backend, outputs, targets, outputs)
        total += value * len(targets)
    return total / len(x), correct / len(x)


def check_batches(network: Network, rows: int, batch_size: int) -> None:
    """Refuse batches that ``network`` cannot be trained on.

    Raises
    ------
    InputError: a batch larger than the data; a last batch of one row for a network with batch norm.
    """
    if batch_size > rows:
        raise InputError(f"batch_size {batch_size} is larger than the {rows} rows of training data")
    if 1 in (batch_size, rows % batch_size) and any(isinstance(layer, BatchNorm) for layer in network.layers):
        raise InputError(
            f"batch norm cannot train on a batch of one row: {rows} rows in batches of {batch_size} leave one; "
            "choose another batch_size"
        )


def checked_data(network: Network, x: Any, y: Any, loss: Loss, split: str) -> tuple[Array, Array]:
    """The arrays of one split on the backend, or one clear error."""
    if x is None or y is None or not len(x):
        raise InputError(f"the {split} data are empty")
    if len(x) != len(y):
        raise InputError(f"the {split} data have {len(x)} rows of inputs but {len(y)} targets")
    x = network.check_inputs(x)
    # a NaN is the least and the largest; a mask of all numbers could take more memory than the training
    if not (math.isfinite(float(x.min())) and math.isfinite(float(x.max()))):
        raise InputError(f"the {split} inputs hold NaN or infinite values")
    y = loss.check(network.backend, y, (len(x), network.outputs))
    return x, network.backend.asarray(y, None if loss.classifies else network.dtype)
