"""The present state of a training run, and one epoch of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..backends import Array, NotFinite
from ..nn.losses import Loss
from ..nn.network import Network
from ..nn.regularization import Clip, Constraint, Penalty
from ..optim.optimizers import Optimizer
from .checkpoint import fingerprint
from .engine import Engine, engine_of
from .history import History
from .lifecycle import Diverged, Lifecycle
from .step import Epoch

Sums = tuple[float, float, float]
"""Loss, score count, and penalties, each over the rows so far."""

AWAY = 0.02
"""Seconds for which compiled code may run before Python looks for Ctrl-C."""


class Run:
    """One training run: its network, optimizer and training set, and its progress.

    Attributes
    ----------
    history: the history of the epochs so far.
    life: calls the callbacks.
    epochs, data, val: the number of epochs to train, the name of the data set, its validation split.
    order: draws the order of the rows; ``order_state`` is its state at the start of the present epoch.
    position: number of rows of the present epoch that have been trained on.
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
        graph: bool,
    ) -> None:
        self.network, self.optimizer, self.loss, self.batch_size = network, optimizer, loss, batch_size
        self.penalties, self.clip, self.constraints = penalties, clip, constraints
        self.x, self.y = x, y
        self.history = History(penalty=[] if penalties else None)
        self.order, self.order_state = order, order.bit_generator.state
        self.epochs, self.data = 0, ""
        self.val: tuple[Array, Array] | None = None
        self.position = 0
        self._before: Sums = (0.0, 0.0, 0.0)
        self._first = 0
        self.life = Lifecycle(callbacks, network, optimizer, self.history)
        for callback in self.life.callbacks:
            if hasattr(callback, "attach"):
                callback.attach(self)
        targets = loss.prepared(network.backend, y, network.dtype)
        self.now = Epoch(network, x, targets, batch_size)
        self._graph, self._chunk = graph, 1
        self._engine: Engine | None = None

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each array of the data, computed once per run."""
        arrays = {"x_train": self.x, "y_train": self.y}
        if self.val is not None:
            arrays |= {"x_val": self.val[0], "y_val": self.val[1]}
        return {name: fingerprint(self.network.backend.to_numpy(array)) for name, array in arrays.items()}

    @property
    def engine(self) -> Engine:
        """The engine that takes the steps of this run."""
        if self._engine is None:
            self._engine = engine_of(self, self._graph)
        return self._engine

    @property
    def sums(self) -> Sums:
        """Loss, correct answers and penalties over the rows of the present epoch; synchronizes the device.

        Raises
        ------
        Diverged: one of the losses is not finite.
        """
        done = -(-self.position // self.batch_size)
        if done == self._first:
            return self._before
        found = self.network.backend.to_numpy(self.now.results[self._first : done]).T.astype("float64", order="C")
        found[::2] *= self.now.sizes[self._first : done]  # the count is a sum already
        if self._first:
            found[:, 0] += self._before
        # one after the other, so that a part of the epoch and the rest give the bits of the whole
        loss, counted, penalty = np.add.accumulate(found, axis=1)[:, -1].tolist()
        if not math.isfinite(loss) and not (finite := np.isfinite(found[0])).all():
            raise Diverged(late=len(finite) - 1 - int(finite.argmin()))
        return loss, counted, penalty

    @sums.setter
    def sums(self, value: Sums) -> None:
        """Set the sums over the rows up to ``position``."""
        self._before, self._first = value, -(-self.position // self.batch_size)

    def epoch(self) -> Sums:
        """Train on the remaining rows of this epoch.

        Return the epoch's loss (mean over all rows), its score count over all rows, and the penalties.
        """
        now, rows, engine = self.now, len(self.x), self.engine
        self.order_state = self.order.bit_generator.state
        now.arrange(self.order.permutation(rows))
        done = self._first
        now.at[0] = done
        hooks = self.life.on_step
        engine.begin(now.steps - done)
        while done < now.steps:
            rest = done >= now.full
            idle = self.life.idle(self.history.steps)
            times = 1 if rest else int(min(self._chunk, now.full - done, idle + 1))
            start = time.perf_counter()
            taken = None
            try:
                taken = engine.take(times, rest=rest)
            except NotFinite:
                pass  # a non-finite number ends its step before the update
            finally:  # count the steps taken even after Ctrl-C
                if taken is None:
                    taken = int(now.at[0]) - done
                self.optimizer.count(taken)
                self.history.steps += taken
                done += taken
                self.position = min(rows, done * self.batch_size)
            if taken < times:
                raise Diverged(late=-1)
            if times == self._chunk and time.perf_counter() - start < AWAY / 4:
                self._chunk *= 2
            if hooks and times > idle:
                for hook in hooks:
                    hook(self.network, self.optimizer)
                if done < now.steps:
                    engine.begin(now.steps - done)
        total, counted, penalised = self.sums
        self.position = 0
        self.sums = (0.0, 0.0, 0.0)
        return total / rows, counted, penalised / rows


__all__ = ["Diverged", "Run", "Sums"]
