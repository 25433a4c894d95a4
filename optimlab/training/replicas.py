"""Many networks of the same layers trained at once, through a leading axis of every array.

A small network leaves a GPU idle: R of them, which differ in seed, data and hyperparameters, share each launch and each
product. Arrays are ``(R, batch, features)``, weights ``(R, inputs, outputs)``, the flat buffers ``(R, parameters)``.
The step is the one of :func:`optimlab.fit`. On the NumPy backend each replica's numbers are those it has alone, bit for
bit: the matrices are multiplied one by one, everything else is elementwise or a sum along an axis that lies as it did.
(On a CPU the compiled backend trains networks faster one after the other.)
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import rules
from ..backends import Array
from ..backends.numpy import NumPyStep
from ..common.errors import InputError, count, number, unknown
from ..datasets import Dataset
from ..kernels import trace
from ..nn.layers import Dropout, within
from ..nn.losses import Loss
from ..nn.losses import get as get_loss
from ..nn.network import Network, seed_sequence
from . import History
from .checks import check_batches, check_dataset, checked_data
from .engine import Engine, engine_of
from .evaluation import Evaluator
from .lifecycle import Lifecycle
from .step import Epoch

BLOCK_BYTES = 1 << 18
"""Bytes of each state array that the update works on at a time: whole rows, so at least one."""


def stack(networks: Sequence[Network]) -> Network:
    """One network of which every array has a leading axis: the given ones, which must be alike, as its replicas.

    Raises
    ------
    InputError: none are given, they differ in their layers, or one has a frozen parameter.

    >>> import optimlab as ol
    >>> nets = [ol.MLP([2, 3, 1], seed=seed) for seed in range(4)]
    >>> stacked = stack(nets)
    >>> stacked.parameters.data.shape, stacked.forward_unchecked(np.ones((4, 5, 2), "float32"), False).shape
    ((4, 13), (4, 5, 1))
    """
    if not networks:
        raise InputError("give at least one network")
    first = networks[0]
    if any(_build(net) != _build(first) for net in networks):
        raise InputError("replicas must be networks of the same layers, shapes and dtype")
    if any(p.frozen for net in networks for p in net.parameters):
        raise InputError("a network with frozen parameters cannot be a replica: all of its weights would be trained")
    xp = first.backend.xp
    # the copy has the stacked arrays of all replicas in each place where a layer refers to its state
    states = {
        id(values): xp.stack([net.layers[k].state()[name] for net in networks])[:, None]
        for k, layer in enumerate(first.layers)
        for name, values in layer.state().items()
    }
    stacked = copy.deepcopy(first, states)
    for mine, *theirs in zip(within(stacked.layers), *(within(net.layers) for net in networks), strict=True):
        if isinstance(mine, Dropout):
            mine.generator = first.backend.stacked([layer.generator for layer in theirs])
    flat = stacked.parameters
    flat.data = xp.stack([net.parameters.data for net in networks])
    flat.grad = xp.zeros_like(flat.data)
    flat.rebind()
    return stacked


def _build(network: Network) -> list[Any]:
    """What two networks have in common that differ in their numbers alone."""
    options = ("activation", "convention", "momentum", "eps", "rate")
    layers = [(type(layer), *(getattr(layer, name, None) for name in options)) for layer in network.layers]
    return [network.dtype, network.backend.name, layers, [(p.name, p.shape) for p in network.parameters]]


class _Optimizer:
    """An elementwise rule over ``(R, parameters)``, with hyperparameters of each row's own."""

    def __init__(self, rule: rules.Rule, network: Network, settings: Sequence[Mapping[str, float]]) -> None:
        if isinstance(rule, rules.LayerRule):
            raise InputError("replicas are trained by an elementwise rule, this one is of whole matrices: use fit")
        self.graph, kinds = trace(rule), rules.kinds_of(rule)
        backend, weights = network.backend, network.parameters.data
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
        arrays |= {name: backend.xp.full_like(weights, value) for name, value in self.graph.state.items()}
        bind: Callable[..., Any] = backend.bind if backend.asynchronous else partial(NumPyStep, block_bytes=BLOCK_BYTES)
        self._step = bind(self.graph, [arrays])
        self.name, self.t = self.graph.name, 0

    @property
    def by_table(self) -> bool:
        return hasattr(self._step, "hp")

    def bound(self) -> list[Any]:
        return [self._step]

    def tables(self, steps: int) -> list[Any]:
        """The host scalars of the next updates: in each row those of all replicas."""
        tables = [self.graph.table(self.t + 1, steps, values) for values in self._distinct]
        return [np.stack(tables, axis=1)[:, self._which].reshape(steps, -1)]

    def step(self) -> None:
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
    graph: bool = False,
) -> list[History]:
    """Train all ``networks`` as :func:`optimlab.fit` would each of them, and give their histories.

    Parameters
    ----------
    rule: elementwise; ``settings[r]`` are the hyperparameters of replica r that are not the rule's defaults, numbers.
    data: of all replicas, or one for each; these have as many rows, and one object may stand several times.
    seeds: of the order of the data, one a replica.
    watch: called after each epoch with the stacked network, the histories, and the weights before the last update.
    graph: on a GPU, whether to make each step one launch of a CUDA graph, see :func:`optimlab.fit`.

    ``seconds`` of a history is its share of the time. The networks given stay as they are: the weights trained are rows
    of ``parameters.data`` of the network that ``watch`` is given. A replica that diverges is named at its step, the
    others go on.

    Raises
    ------
    InputError: as :func:`stack`; data or batches that do not fit; a rule of whole matrices; a loss without classes; not
        one setting, one seed and one data set for each network.

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
    run = _Training(network, _Optimizer(rule, network, settings), loss, train, batch_size, seeds)
    engine = engine_of(run, graph)  # type: ignore[arg-type]  # it has what an engine looks at
    validate = Evaluator(network, *val.by_replica(), loss)
    with network.backend.quiet():
        for _ in range(epochs):
            start = time.perf_counter()
            losses, right = run.epoch(engine)
            seconds = (time.perf_counter() - start) / len(networks)
            val_losses, val_accuracy = validate()
            for r in np.flatnonzero(run.alive).tolist():
                history = run.histories[r]
                entries = {"train_loss": losses[r], "val_loss": val_losses[r], "seconds": seconds}
                entries["lr"] = run.optimizer.settings[r]["lr"]
                entries |= {"train_accuracy": right[r] / train.each, "val_accuracy": val_accuracy[r]}
                if all(map(math.isfinite, entries.values())):
                    history.append(**{name: float(value) for name, value in entries.items()})
                else:
                    run.diverged(r, history.steps)
            watch(network, run.histories, run.before)
            if not run.alive.any():
                break
    return run.histories


class _Rows:
    """The rows of one split, of all replicas below each other: a data set that several share stands there once."""

    def __init__(self, xp: Any, x: Array, y: Array, each: int, first: Sequence[int]) -> None:
        self._xp = xp
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
        return cls(xp, x, y, each, [places[id(x)] for x, _ in data])

    def by_replica(self) -> tuple[Array, Array]:
        """Inputs and targets with a leading axis of the replicas; where all share them, without a copy."""
        if len(self.x) == self.each:
            shapes = ((len(self.first), *a.shape) for a in (self.x, self.y))
            x, y = (self._xp.broadcast_to(a, shape) for a, shape in zip((self.x, self.y), shapes, strict=True))
        else:
            rows = self._xp.ascontiguousarray(self.first + np.arange(self.each))
            x, y = self.x[rows], self.y[rows]
        return x, y


def evaluate_replicas(
    network: Network, data: Sequence[tuple[Any, Any]], loss: str | Loss = "softmax_cross_entropy"
) -> tuple[list[float], list[float]]:
    """Loss and accuracy of every replica in evaluation mode, as :func:`optimlab.evaluate` gives them one by one.

    ``data`` holds the inputs and targets of each.
    """
    loss = get_loss(loss)
    losses, accuracies = Evaluator(network, *_Rows.of(network, data, loss, "given").by_replica(), loss)()
    return losses.tolist(), accuracies.tolist()


def right_of_replicas(network: Network, data: Sequence[tuple[Any, Any]]) -> list[Any]:
    """Which rows each replica classifies rightly, in evaluation mode: one array of booleans each."""
    to_numpy = network.backend.to_numpy
    with network.backend.quiet():
        x, y = _Rows.of(network, data, get_loss("softmax_cross_entropy"), "given").by_replica()
        parts = [to_numpy(outputs.argmax(-1) == y[..., part]) for part, outputs in network.evaluated(x)]
    return list(np.concatenate(parts, -1))


class _Training:
    """A training of replicas, as an engine looks at it, and where each of them is."""

    penalties, clip, constraints = (), None, ()

    def __init__(
        self,
        network: Network,
        optimizer: _Optimizer,
        loss: Loss,
        rows: _Rows,
        batch_size: int,
        seeds: Sequence[int],
    ) -> None:
        self.network, self.optimizer, self.loss, self._rows = network, optimizer, loss, rows
        self._orders = {seed: np.random.default_rng(seed_sequence(seed)) for seed in seeds}
        self._seeds = list(seeds)
        self.histories = [History() for _ in seeds]
        self.alive = np.ones(len(seeds), bool)
        self.before = network.parameters.data.copy()
        targets = loss.prepared(network.backend, rows.y, network.dtype)
        self.now = Epoch(network, rows.x, targets, batch_size, rows.each)
        self.history = History()
        self.life = Lifecycle([], network, optimizer, self.history)  # type: ignore[arg-type]

    def diverged(self, r: int, step: int) -> None:
        self.alive[r] = False
        history = self.histories[r]
        history.status, history.steps, history.diverged_step = "diverged", step, step

    def epoch(self, engine: Engine) -> tuple[Any, Any]:
        """Train for an epoch: of each replica the mean loss over the rows, and how many were classified rightly."""
        now = self.now
        shuffled = {seed: order.permutation(self._rows.each) for seed, order in self._orders.items()}
        now.arrange(np.array([shuffled[seed] for seed in self._seeds]) + self._rows.first)
        now.at[0] = 0
        engine.begin(now.steps)
        for last in (False, True):
            if last:
                self.before[...] = self.network.parameters.data
            rest = last and now.steps > now.full
            taken = engine.take(1 if last else now.steps - 1, rest=rest)
            self.optimizer.t += taken
        found = self.network.backend.to_numpy(now.results).astype("float64").reshape(now.steps, 3, -1)
        for r in np.flatnonzero(self.alive).tolist():
            wrong = np.flatnonzero(~np.isfinite(found[:, 0, r]))
            if len(wrong):
                self.diverged(r, self.histories[r].steps + int(wrong[0]) + 1)
            else:
                self.histories[r].steps += now.steps
        # each by itself, as one alone: a sum depends on how the numbers lie
        losses = np.array([(now.sizes @ found[:, :, r].copy())[0] for r in range(len(self.alive))])
        return losses / self._rows.each, found[:, 1].sum(axis=0)
