"""Many copies of one small network trained at once, through a leading axis of every array.

On a network as small as the digits' the calls cost more than the arithmetic. R copies that differ in seed and
hyperparameters share each call: arrays are ``(R, batch, features)``, weights ``(R, inputs, outputs)``, the flat buffers
``(R, parameters)``. BLAS multiplies the copies one by one, everything else is elementwise or a sum along an axis that
lies as it did, so each copy's numbers are those it has alone, bit for bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import rules
from .backends import Array
from .backends.numpy import NumPyStep
from .datasets import Dataset
from .errors import InputError, count, number, unknown
from .kernels import trace
from .layers import Dropout, within
from .losses import Loss, correct
from .losses import get as get_loss
from .network import Network, seed_sequence
from .training import History
from .training.checks import check_batches, check_dataset, checked_data

BLOCK_BYTES = 1 << 18
"""Bytes of each state array that the update works on at a time: whole rows, so at least one."""


def stack(networks: Sequence[Network]) -> Network:
    """One network of which every array has a leading axis: the given ones, which must be alike, as its replicas.

    Raises
    ------
    InputError: none are given, they differ in their layers, one has dropout, which draws by its own stream, or a
        frozen parameter.

    >>> import optimlab as ol
    >>> nets = [ol.MLP([2, 3, 1], seed=seed) for seed in range(4)]
    >>> together = stack(nets)
    >>> together.parameters.data.shape, together.forward_unchecked(np.ones((5, 2), "float32"), False).shape
    ((4, 13), (4, 5, 1))
    """
    if not networks:
        raise InputError("give at least one network")
    first = networks[0]
    if first.backend.asynchronous:
        raise InputError("replicas are trained on a CPU; make the networks with another backend")
    if any(isinstance(layer, Dropout) for net in networks for layer in net.layers):
        raise InputError("a network with dropout cannot be a replica: each draws from a stream of its own")
    if any(_build(net) != _build(first) for net in networks):
        raise InputError("replicas must be networks of the same layers, shapes and dtype")
    if any(p.frozen for net in networks for p in net.parameters):
        raise InputError("a network with frozen parameters cannot be a replica: all of its weights would be trained")
    xp = first.backend.xp
    # the copy has the stacked arrays of all replicas in each place where a layer refers to its state
    stacked = {
        id(values): xp.stack([net.layers[k].state()[name] for net in networks])[:, None]
        for k, layer in enumerate(first.layers)
        for name, values in layer.state().items()
    }
    together = copy.deepcopy(first, stacked)
    for layer in within(together.layers):
        layer.lead = (len(networks),)
    flat = together.parameters
    flat.data = xp.stack([net.parameters.data for net in networks])
    flat.grad = xp.zeros_like(flat.data)
    flat.rebind()
    return together


def _build(network: Network) -> list[Any]:
    """What two networks have in common that differ in their numbers alone."""
    options = ("activation", "convention", "momentum", "eps")
    layers = [(type(layer), *(getattr(layer, name, None) for name in options)) for layer in network.layers]
    return [network.dtype, network.backend.name, layers, [(p.name, p.shape) for p in network.parameters]]


class _Step:
    """An elementwise rule over ``(R, parameters)``, with hyperparameters of each row's own."""

    def __init__(self, rule: rules.Rule, network: Network, settings: Sequence[Mapping[str, float]]) -> None:
        self.graph, kinds = trace(rule), rules.kinds_of(rule)
        xp, weights = network.backend.xp, network.parameters.data
        for name in {name: None for own in settings for name in own}:
            if name not in self.graph.hyperparameters:
                raise unknown(f"hyperparameter of {self.graph.name}", name, self.graph.hyperparameters)
            for own in settings:
                number(name, own.get(name, 0.0), where=": replicas take only numbers; use fit for a schedule")
                kinds[name].check(name, own.get(name, self.graph.hyperparameters[name]))
        self.settings = [{**self.graph.hyperparameters, **own} for own in settings]
        # replicas that differ in the seed alone share their scalars
        distinct = {tuple(own.items()): own for own in self.settings}
        self._distinct = list(distinct.values())
        self._which = [list(distinct).index(tuple(own.items())) for own in self.settings]
        arrays = {"w": weights, "g": network.parameters.grad}
        arrays |= {name: xp.full_like(weights, value) for name, value in self.graph.state.items()}
        self._step = NumPyStep(self.graph, [arrays], BLOCK_BYTES)
        self.t = 0

    def __call__(self) -> None:
        self.t += 1
        scalars = np.array([self.graph.scalars(t=self.t, **values) for values in self._distinct])
        self._step(scalars[self._which])


def fit_replicas(
    networks: Sequence[Network],
    rule: rules.Rule,
    settings: Sequence[Mapping[str, float]],
    data: Dataset | Sequence[Dataset],
    *,
    seeds: Sequence[int],
    epochs: int = 20,
    batch_size: int = 64,
    loss: str | Loss = "softmax_cross_entropy",
    watch: Callable[[Network, list[History], Array], Any] = lambda network, histories, before: None,
) -> list[History]:
    """Train all ``networks`` as :func:`optimlab.fit` would each of them, and give their histories.

    Parameters
    ----------
    rule: elementwise; ``settings[r]`` are the hyperparameters of replica r that are not the rule's defaults, numbers.
    data: of all replicas, or one for each; these have as many rows, and one object may stand several times.
    seeds: of the order of the data, one a replica.
    watch: called after each epoch with the stacked network, the histories, and the weights before the last update.

    ``seconds`` of a history is its share of the time. The networks given stay as they are: the weights trained are rows
    of ``parameters.data`` of the network that ``watch`` is given.

    Raises
    ------
    InputError: as :func:`stack`; data or batches that do not fit; a loss without classes; not one setting, one seed
        and one data set for each network.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> nets = [ol.MLP([64, 16, 10], seed=0) for _ in range(2)]
    >>> rates = [{"lr": 0.001}, {"lr": 0.5}]
    >>> slow, fast = fit_replicas(nets, ol.rules.textbook.sgd, rates, data, seeds=[0, 0], epochs=2)
    >>> slow.val_accuracy[-1] < fast.val_accuracy[-1]
    True
    """
    loss = get_loss(loss)
    each = [data] * len(networks) if isinstance(data, Dataset) else list(data)
    for one in {id(one): one for one in each}.values():
        check_dataset(one)
    if not loss.classifies:
        raise InputError(f"replicas are trained on classes, the loss {loss.name} has none")
    if not len(networks) == len(settings) == len(seeds) == len(each):
        raise InputError(
            f"{len(networks)} networks need as many settings, seeds and data sets, "
            f"got {len(settings)}, {len(seeds)}, {len(each)}"
        )
    network = stack(networks)
    epochs, batch_size = count("epochs", epochs), count("batch_size", batch_size)
    train = _Rows.of(network, [(one.x_train, one.y_train) for one in each], loss, "training")
    check_batches(network, train.each, batch_size)
    val = _Rows.of(network, [(one.x_val, one.y_val) for one in each], loss, "validation")
    step = _Step(rule, network, settings)
    trained = _Training(network, step, loss, train, batch_size, seeds)
    alive = trained.alive
    with network.backend.quiet():
        for _ in range(epochs):
            start = time.perf_counter()
            losses, right = trained.epoch()
            seconds = (time.perf_counter() - start) / len(networks)
            val_losses, val_accuracy = _evaluate(network, *val.by_replica(), loss)
            for r, history in enumerate(trained.histories):
                if not alive[r]:
                    continue
                entries = {"train_loss": losses[r], "val_loss": val_losses[r], "seconds": seconds}
                entries["lr"] = step.settings[r]["lr"]
                entries |= {"train_accuracy": right[r] / train.each, "val_accuracy": val_accuracy[r]}
                if all(map(math.isfinite, entries.values())):
                    history.append(**entries)
                else:
                    trained.diverged(r, history.steps)
            watch(network, trained.histories, trained.before)
            if not any(alive):
                break
    return trained.histories


class _Rows:
    """The rows of one split, of all replicas below each other: a data set that several share stands there once."""

    def __init__(self, x: Array, y: Array, each: int, first: Sequence[int]) -> None:
        self.x, self.y, self.each = x, y, each
        self.first = np.array(first)[:, None]
        """The place of each replica's first row."""

    @classmethod
    def of(cls, network: Network, data: Sequence[tuple[Any, Any]], loss: Loss, split: str) -> _Rows:
        """Of each replica's inputs and targets, checked.

        Raises
        ------
        InputError: the replicas have different numbers of rows, or rows that do not fit the network or the loss.
        """
        distinct = {id(x): (x, y) for x, y in data}
        checked = [checked_data(network, x, y, loss, split) for x, y in distinct.values()]
        each = len(checked[0][0])
        if any(len(x) != each for x, _ in checked):
            raise InputError(
                f"replicas must have as many {split} rows, got {', '.join(str(len(x)) for x, _ in checked)}"
            )
        places = {name: k * each for k, name in enumerate(distinct)}
        xp = network.backend.xp
        x, y = checked[0] if len(checked) == 1 else (xp.concatenate(parts) for parts in zip(*checked, strict=True))
        return cls(x, y, each, [places[id(x)] for x, _ in data])

    def by_replica(self) -> tuple[Array, Array]:
        """Inputs and targets with a leading axis of the replicas, or without it where all share them."""
        if len(self.x) == self.each:
            return self.x, self.y
        rows = self.first + np.arange(self.each)
        return self.x[rows], self.y[rows]


def evaluate_replicas(
    network: Network, data: Sequence[tuple[Any, Any]], loss: str | Loss = "softmax_cross_entropy"
) -> tuple[list[float], list[float]]:
    """Loss and accuracy of every replica in evaluation mode, as :func:`optimlab.evaluate` gives them one by one.

    ``data`` holds the inputs and targets of each.
    """
    loss = get_loss(loss)
    with network.backend.quiet():
        return _evaluate(network, *_Rows.of(network, data, loss, "given").by_replica(), loss)


def right_of_replicas(network: Network, data: Sequence[tuple[Any, Any]]) -> list[Any]:
    """Which rows each replica classifies rightly, in evaluation mode: one array of booleans each."""
    with network.backend.quiet():
        x, y = _Rows.of(network, data, get_loss("softmax_cross_entropy"), "given").by_replica()
        parts = [outputs.argmax(-1) == y[..., part] for part, outputs in network.evaluated(x)]
    return list(np.concatenate(parts, -1))


def _evaluate(network: Network, x: Array, y: Array, loss: Loss, rows: int = 1024) -> tuple[list[float], list[float]]:
    backend = network.backend
    replicas = len(network.parameters.data)
    total, right = backend.xp.zeros(replicas), backend.xp.zeros(replicas, int)
    for part, outputs in network.evaluated(x, rows):
        targets = y[..., part]
        right += correct(backend, outputs, targets)
        gradient = backend.xp.empty_like(outputs)
        values, _ = loss(backend, outputs, backend.xp.broadcast_to(targets, outputs.shape[:-1]), gradient)
        total += values * targets.shape[-1]
    rows = x.shape[-2]
    return [float(v) / rows for v in total], [int(r) / rows for r in right]


class _Training:
    """The arrays of a training of replicas, and where each of them is."""

    def __init__(
        self, network: Network, step: _Step, loss: Loss, rows: _Rows, batch_size: int, seeds: Sequence[int]
    ) -> None:
        self.network, self.step, self.loss, self.rows, self.batch_size = network, step, loss, rows, batch_size
        self.orders = {seed: np.random.default_rng(seed_sequence(seed)) for seed in seeds}
        self.seeds = list(seeds)
        self.histories = [History() for _ in seeds]
        self.alive = [True] * len(seeds)
        backend, replicas = network.backend, len(seeds)
        self._x = backend.empty((replicas, batch_size, rows.x.shape[1]), network.dtype)
        self.before = network.parameters.data.copy()
        self._gradient = backend.empty((replicas, batch_size, network.outputs), network.dtype)

    def diverged(self, r: int, step: int) -> None:
        self.alive[r] = False
        self.histories[r].status, self.histories[r].diverged_step = "diverged", step

    def epoch(self) -> tuple[list[float], list[int]]:
        network, backend, inputs, rows = self.network, self.network.backend, self.rows.x, self.rows.each
        xp, replicas = backend.xp, len(self.seeds)
        shuffled = {seed: order.permutation(rows) for seed, order in self.orders.items()}
        indices = backend.asarray([shuffled[seed] for seed in self.seeds] + self.rows.first)
        targets = self.rows.y[indices]
        total, right = xp.zeros(replicas), xp.zeros(replicas, int)
        for start in range(0, rows, self.batch_size):
            y = targets[:, start : start + self.batch_size]
            n = y.shape[1]
            # a short batch takes the front of the memory, so that it lies as it would alone
            x = self._x.reshape(-1)[: replicas * n * inputs.shape[1]].reshape(replicas, n, -1)
            backend.take(inputs, indices[:, start : start + n], x)
            outputs = network.forward_unchecked(x, training=True)
            gradient = self._gradient.reshape(-1)[: outputs.size].reshape(outputs.shape)
            values, _ = self.loss(backend, outputs, y, gradient)
            for history, alive in zip(self.histories, self.alive, strict=True):
                history.steps += alive
            if not bool(xp.isfinite(values).all()):
                for r in np.flatnonzero(~np.isfinite(backend.to_numpy(values))):
                    if self.alive[r]:
                        self.diverged(int(r), self.histories[r].steps)
            right += correct(backend, outputs, y)
            total += values * n
            for layer in reversed(network.layers):
                gradient = layer.backward(gradient, layer is not network.layers[0])
            if start + n == rows:
                self.before[...] = network.parameters.data
            self.step()
        return [float(t) / rows for t in total], [int(r) for r in right]
