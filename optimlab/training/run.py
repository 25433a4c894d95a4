"""One training run as it stands, and an epoch of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..backends import Array
from ..losses import Loss, correct
from ..network import Network
from ..optimizers import Optimizer
from ..regularization import Clip, Constraint, Penalty
from .checkpoint import fingerprint
from .history import History
from .lifecycle import Lifecycle
from .tally import DeviceTally, Sums, Tally


class Run:
    """One network, optimizer and training set, the arrays that batches are gathered into, and where training is.

    Attributes
    ----------
    history: of the epochs so far.
    life: calls the callbacks.
    epochs, data, val: the number of epochs to train, the name of the data set, its validation split.
    order: draws the order of the rows; ``order_state`` is what its state was when the present epoch began.
    position: rows of the present epoch that have been trained on.
    by_graph: trains on the full batches of an epoch by a CUDA graph, and gives how many rows these have.
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
        callbacks: Sequence[Any],
    ) -> None:
        self.network, self.optimizer, self.loss, self.batch_size = network, optimizer, loss, batch_size
        self.penalties, self.clip, self.constraints = penalties, clip, constraints
        self.x, self.y = x, y
        self.history = History(penalty=[] if penalties else None)
        self.order, self.order_state = order, order.bit_generator.state
        self.epochs, self.data = 0, ""
        self.val: tuple[Array, Array] | None = None
        self.position = 0
        self.sums = (0.0, 0, 0.0)
        self.life = Lifecycle(callbacks, network, optimizer, self.history)
        for callback in self.life.callbacks:
            if hasattr(callback, "attach"):
                callback.attach(self)
        backend, rows = network.backend, min(batch_size, len(x))
        self.by_graph: Callable[[Array, DeviceTally], int] | None = None
        self.x_batch = backend.empty((rows, x.shape[1]), network.dtype)
        self._y = backend.empty(y.shape, y.dtype)  # all targets of the epoch, in its order
        self.gradient = backend.empty((rows, network.outputs), network.dtype)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each array of the data, computed once per run."""
        arrays = {"x_train": self.x, "y_train": self.y}
        if self.val is not None:
            arrays |= {"x_val": self.val[0], "y_val": self.val[1]}
        return {name: fingerprint(self.network.backend.to_numpy(array)) for name, array in arrays.items()}

    @property
    def sums(self) -> Sums:
        """Loss, right answers and penalties over the rows of the present epoch; on a device, waits for it.

        Raises
        ------
        Diverged: one of the losses is not finite.
        """
        return self._tally.sums()

    @sums.setter
    def sums(self, value: Sums) -> None:
        backend = self.network.backend
        steps = -(-len(self.x) // self.batch_size)
        self._tally = DeviceTally(value, backend, steps) if backend.asynchronous else Tally(value)

    def epoch(self) -> Sums:
        """Train on the rows left of this epoch; its loss (mean over all rows), how many were classified right, and the
        penalties."""
        network, optimizer, backend, history = self.network, self.optimizer, self.network.backend, self.history
        penalties, clip, constraints = self.penalties, self.clip, self.constraints
        rows = len(self.x)
        self.order_state = self.order.bit_generator.state
        indices = backend.asarray(self.order.permutation(rows))
        backend.take(self.y, indices, self._y)
        x_batch, gradient = self.x_batch, self.gradient
        tally, classifies, right, hooks = self._tally, self.loss.classifies, 0, self.life.on_step
        if self.by_graph and not self.position:
            self.position = self.by_graph(indices, tally)  # type: ignore[arg-type]
        for start in range(self.position, rows, self.batch_size):
            y = self._y[start : start + self.batch_size]
            n = len(y)
            if n < self.batch_size:
                x_batch, gradient = x_batch[:n], backend.xp.empty_like(gradient[:n])
            x = x_batch
            backend.take(self.x, indices[start : start + n], x)
            x = network.forward_unchecked(x, training=True)
            value, _ = self.loss(backend, x, y, gradient)
            if classifies:
                right = correct(backend, x, y)
            tally.add(n, value, right)
            network.backward(gradient)
            for penalty in penalties:
                tally.penalise(n, penalty(network.parameters))
            if clip is not None:
                clip(network.parameters)
            optimizer.step()
            for constraint in constraints:
                constraint(network.parameters)
            history.steps += 1
            if hooks:
                self.position = start + n
                for hook in hooks:
                    hook(network, optimizer)
        total, right, penalised = tally.sums()
        self.position, self.sums = 0, (0.0, 0, 0.0)
        return total / rows, right, penalised / rows
