"""The training step, written once.

A step reads and writes arrays that are never reallocated, and uses only named operations of the backend. So the same
code runs in three ways. NumPy executes each operation in turn. The compiled backend records the operations and runs a
whole epoch in one call. A GPU captures them as a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backends import Array
from ..nn.buffers import Buffers
from ..nn.formulas import same
from ..nn.layers import Layer
from ..nn.losses import Loss
from ..nn.network import Network
from ..nn.regularization import Clip, Constraint, Penalty, add_penalties


class Epoch:
    """The arrays of an epoch that change from step to step.

    Attributes
    ----------
    at: the number of the next step, shape ``(1,)``, on the backend.
    sizes: the number of rows of each batch, on the host.
    results: for each step the mean loss, the score's count (correct answers, squared errors), and the penalties; with
        replicas, all losses and then all counts.
    places: the row indices of each full batch, one replica after the other; ``rest`` has those of the last, smaller
        batch.
    tables: for each update of the optimizer its host scalars, one row per step.

    Parameters
    ----------
    rows: number of rows per epoch, for each replica; by default all rows of ``x``.
    """

    def __init__(self, network: Network, x: Array, y: Array, batch_size: int, rows: int | None = None) -> None:
        backend = network.backend
        rows = len(x) if rows is None else rows
        self.backend, self.x, self.y, self.batch_size = backend, backend.asarray(x), y, batch_size
        self.replicas = math.prod(network.parameters.data.shape[:-1])
        self.full, left = divmod(rows, batch_size)
        self.steps = self.full + bool(left)
        self.sizes = np.array([batch_size] * self.full + [left] * bool(left), "float64")
        self.at, self.first = backend.zeros(1, "int64"), backend.zeros(1, "int64")
        self.places = backend.zeros((self.full, self.replicas * batch_size), "int64")
        self.rest = backend.zeros((1, self.replicas * left), "int64")
        self.results = backend.zeros((self.steps, 3 * self.replicas), network.dtype)
        self.tables: list[Array] = []

    def arrange(self, order: Any) -> None:
        """Set the order of the rows; with replicas, one order for each."""
        order, cut = order.reshape(self.replicas, -1), self.full * self.batch_size
        batches = order[:, :cut].reshape(self.replicas, self.full, self.batch_size).swapaxes(0, 1)
        self.places[...] = self.backend.asarray(batches.reshape(self.places.shape))
        self.rest[...] = self.backend.asarray(order[:, cut:].reshape(self.rest.shape))


class Step:
    """One training step; each call takes the next batch of the epoch.

    ``update`` changes the weights; ``rest`` is True for the last, smaller batch.
    """

    def __init__(
        self,
        network: Network,
        loss: Loss,
        epoch: Epoch,
        update: Callable[[], None],
        buffers: Buffers,
        penalties: Sequence[Penalty] = (),
        clip: Clip | None = None,
        constraints: Sequence[Constraint] = (),
        *,
        rest: bool = False,
    ) -> None:
        self.network, self.loss, self.epoch, self.update = network, loss, epoch, update
        self.penalties, self.clip, self.constraints = penalties, clip, constraints
        self.buffers = buffers
        backend = network.backend
        # there is a single last batch, at place 0
        self.places, self.index = (epoch.rest, epoch.first) if rest else (epoch.places, epoch.at)
        chosen = self.places.shape[1]
        self.rows = chosen // epoch.replicas
        self.chosen = backend.zeros((1, chosen), "int64")
        self.x, self.y = (buffers.get(key, (chosen, *a.shape[1:])) for key, a in (("x", epoch.x), ("y", epoch.y)))
        self.batch = (*network.parameters.data.shape[:-1], self.rows)
        self.inputs, self.targets = (a.reshape(*self.batch, *a.shape[1:]) for a in (self.x, self.y))
        self.gradient = buffers.get("gradient", (*self.batch, network.outputs))
        self.result = buffers.get("result", (3 * epoch.replicas,))

    def __call__(self) -> None:
        network, backend, buffers, epoch = self.network, self.network.backend, self.buffers, self.epoch
        backend.take(self.places, self.index, self.chosen)
        backend.take(epoch.x, self.chosen[0], self.x)
        backend.take(epoch.y, self.chosen[0], self.y)
        outputs = network.forward_unchecked(self.inputs, training=True)
        value = self.loss(backend, outputs, self.targets, self.gradient, buffers)
        score = self.loss.score
        counted = value if score is None else score.summed(backend, outputs, self.targets, buffers)
        network.backward(self.gradient)
        if len(self.batch) == 1:  # a diverging replica must not stop the others
            backend.stop_unless_finite(value)
        penalty = add_penalties(self.penalties, network.parameters, buffers)
        if self.clip is not None:
            self.clip(network.parameters)
        self.update()
        for constraint in self.constraints:
            constraint(network.parameters)
        for k, number in enumerate((value, counted, penalty)):
            place = slice(k * epoch.replicas, (k + 1) * epoch.replicas)
            backend.map(same, (number.reshape(-1),), self.result[place])
        backend.put(epoch.results, epoch.at, self.result)
        backend.count(epoch.at)

    def working(self, observed: bool = False) -> list[Array]:
        """Return the arrays whose contents do not matter between two steps.

        If the steps are ``observed``, those of the layers do: a callback may look at the units.
        """
        layers = [] if observed else [array for layer in self.network.layers for array in layer._buffers.arrays()]
        terms = [array for term in self._terms() for array in term.working()]
        return [*layers, *self.buffers.arrays(), *terms]

    def _terms(self) -> list[Any]:
        return [*self.penalties, *([] if self.clip is None else [self.clip]), *self.constraints]

    def recordable(self) -> bool:
        """Return True if the whole step consists of named operations of the backend."""
        return self.loss.recordable and layers_recordable(self.network) and all(map(_says_so, self._terms()))

    def settings(self) -> list[Any]:
        """Return the objects that a recording depends on. If any of them is replaced, record again."""
        own = [value for term in self._terms() for name, value in vars(term).items() if name[0] != "_"]
        return [*network_settings(self.network), *own]


def layers_recordable(network: Network) -> bool:
    """Return True if both passes consist of named operations of the backend.

    An overridden method, of a class or of an object, may do anything, so it does not count.
    """
    own = any(
        name in vars(network) or getattr(type(network), name) is not getattr(Network, name)
        for name in ("forward_unchecked", "backward")
    )
    return not own and all(
        _says_so(layer) and not {"forward", "backward"} & vars(layer).keys() for layer in network.layers
    )


def network_settings(network: Network) -> list[Any]:
    """Return the objects that a recording of a network depends on."""
    flat = network.parameters
    return [Layer.edits, flat.version, flat.data, flat.grad, *network.layers]


def _says_so(part: Any) -> bool:
    """Return True if the class of ``part`` itself declares it recordable: a subclass may do something else."""
    return "recordable" in vars(type(part)) and bool(part.recordable)


def unchanged(before: Sequence[Any], now: Sequence[Any]) -> bool:
    """Return True if two lists of settings have the same objects, or equal numbers."""
    return len(before) == len(now) and all(
        a is b or (isinstance(a, int | float | str) and a == b) for a, b in zip(before, now, strict=True)
    )


__all__ = ["Epoch", "Step", "layers_recordable", "network_settings", "unchanged"]
