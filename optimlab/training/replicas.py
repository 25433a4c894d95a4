"""Many networks with the same layers trained at once, through a leading axis of every array.

A single small network leaves a GPU mostly idle. So R networks, which differ in seed, data and hyperparameters, share
each launch and each matrix product. Arrays are ``(R, batch, features)``, weights ``(R, inputs, outputs)``, the flat
buffers ``(R, parameters)``. The step is the same as in :func:`optimlab.fit`.

On a CPU each replica gets the same numbers as alone, bit for bit. The NumPy backend multiplies matrices one by one, and
everything else is elementwise or a sum along an axis with unchanged memory layout. On the compiled backend the replicas
take turns, see :mod:`optimlab.training.turns`.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np

from .. import rules
from ..backends import Array
from ..backends.numpy import NumPyStep
from ..backends.operations import CannotRecord
from ..common.errors import InputError, count, number, unknown
from ..datasets import Dataset
from ..kernels import Graph, trace
from ..nn.layers import Dropout, Layer, within
from ..nn.losses import Loss
from ..nn.losses import get as get_loss
from ..nn.network import Network, seed_sequence
from . import History
from .checks import check_batches, check_dataset, checked_data
from .engine import Engine, engine_of
from .evaluation import Evaluator
from .lifecycle import Lifecycle
from .step import Epoch
from .turns import EvaluatedInTurns, InTurns, can_take_turns

BLOCK_BYTES = 1 << 18
"""Bytes of each state array that the update processes at a time, rounded to whole rows, at least one."""


def stack(networks: Sequence[Network]) -> Network:
    """Combine networks with the same layers into one network of replicas, with a leading axis in every array.

    Raises
    ------
    InputError: there are no networks, their layers differ, or one has a frozen parameter.

    >>> import optimlab as ol
    >>> nets = [ol.MLP([2, 3, 1], seed=seed) for seed in range(4)]
    >>> stacked = stack(nets)
    >>> stacked.parameters.data.shape, stacked.forward_unchecked(np.ones((4, 5, 2), "float32"), False).shape
    ((4, 13), (4, 5, 1))
    """
    if not networks:
        raise InputError("give at least one network")
    first, build = networks[0], _build(networks[0])
    if any(_build(net) != build for net in networks[1:]):
        raise InputError("replicas must be networks with the same layers, shapes and dtype")
    if any(p.frozen for net in networks for p in net.parameters):
        raise InputError("a network with frozen parameters cannot be a replica: all of its weights would be trained")
    xp = first.backend.xp
    # the copy has the stacked arrays of all replicas wherever a layer refers to its state
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
    """Return a network's structure, which is equal for two networks that differ only in their numbers."""
    layers = [(type(layer), layer.settings(), _fixed(layer)) for layer in within(network.layers)]
    return [network.dtype, network.backend.name, layers, [(p.name, p.shape) for p in network.parameters]]


def _fixed(layer: Layer) -> dict[str, bytes]:
    """Return the arrays of a layer's own that all replicas must share: neither parameters nor state."""
    state = {id(array) for array in layer.state().values()}
    own = {name: value for name, value in vars(layer).items() if name in (layer._kept or ()) and id(value) not in state}
    return {name: layer.backend.to_numpy(value).tobytes() for name, value in own.items() if layer.backend.owns(value)}


class _Group:
    """Neighbouring replicas with the same elementwise rule, with separate hyperparameters for each of them."""

    def __init__(self, rule: rules.Rule, graph: Graph, rows: slice, settings: Sequence[Mapping[str, float]]) -> None:
        self.rule, self.graph, self.rows, kinds = rule, graph, rows, rules.kinds_of(rule)
        for name in {name: None for own in settings for name in own}:
            if name not in self.graph.hyperparameters:
                raise unknown(f"hyperparameter of {self.graph.name}", name, self.graph.hyperparameters)
            for own in settings:
                number(name, own.get(name, 0.0), where=": replicas take only numbers; use fit for a schedule")
                kinds[name].check(name, own.get(name, self.graph.hyperparameters[name]))
        self.settings = [{**self.graph.hyperparameters, **own} for own in settings]
        # replicas that differ only in the seed share their scalars
        distinct = {tuple(own.items()): own for own in self.settings}
        self._distinct = list(distinct.values())
        self._which = [list(distinct).index(tuple(own.items())) for own in self.settings]

    def table(self, first: int, steps: int) -> Any:
        """Return the host scalars of the next updates, of shape ``(steps, replicas, scalars)``."""
        tables = [self.graph.table(first, steps, values) for values in self._distinct]
        return np.stack(tables, axis=1)[:, self._which]

    def scalars(self, t: int) -> Any:
        return np.array([self.graph.scalars(t=t, **values) for values in self._distinct])[self._which]

    def bind(self, network: Network) -> Any:
        """Return the function that updates the weights of the group."""
        backend, weights = network.backend, network.parameters.data[self.rows]
        arrays = {"w": weights, "g": network.parameters.grad[self.rows]}
        arrays |= {name: backend.xp.full_like(weights, value) for name, value in self.graph.state.items()}
        bind: Callable[..., Any] = backend.bind if backend.asynchronous else partial(NumPyStep, block_bytes=BLOCK_BYTES)
        return bind(self.graph, [arrays])


class _Optimizer:
    """Elementwise rules over ``(R, parameters)``, each on its own rows."""

    def __init__(
        self, rule: rules.Rule | Sequence[rules.Rule], network: Network, settings: Sequence[Mapping[str, float]]
    ) -> None:
        each = list(rule) if isinstance(rule, Sequence) else [rule] * len(settings)
        if len(each) != len(settings):
            raise InputError(f"{len(settings)} networks need as many rules, got {len(each)}")
        graphs: dict[int, Graph] = {}
        for one in each:
            if isinstance(one, rules.LayerRule):
                raise InputError("replicas need an elementwise rule, but this one works on whole matrices: use fit")
            if id(one) not in graphs:
                graphs[id(one)] = trace(one)
        starts = [k for k, one in enumerate(each) if k == 0 or one is not each[k - 1]]
        rows = [slice(start, stop) for start, stop in pairwise([*starts, len(each)])]
        self.groups = [_Group(each[part.start], graphs[id(each[part.start])], part, settings[part]) for part in rows]
        self.settings = [own for group in self.groups for own in group.settings]
        self.name, self.t, self._network = self.groups[0].graph.name, 0, network

    @cached_property
    def _steps(self) -> list[Any]:
        return [group.bind(self._network) for group in self.groups]

    @property
    def by_table(self) -> bool:
        return all(hasattr(step, "hp") for step in self._steps)

    def bound(self) -> list[Any]:
        return self._steps

    def tables(self, steps: int) -> list[Any]:
        """Return the host scalars of the next updates by each rule, those of all its replicas in each row."""
        return [group.table(self.t + 1, steps).reshape(steps, -1) for group in self.groups]

    def step(self) -> None:
        self.t += 1
        for group, step in zip(self.groups, self._steps, strict=True):
            step(group.scalars(self.t))


def fit_replicas(
    networks: Sequence[Network],
    rule: rules.Rule | Sequence[rules.Rule],
    settings: Sequence[Mapping[str, float]],
    data: Dataset | Sequence[Dataset],
    *,
    seeds: Sequence[int],
    epochs: int = 20,
    batch_size: int = 64,
    loss: str | Loss = "softmax_cross_entropy",
    watch: Callable[[Network, list[History], Array], Any] = lambda network, histories, before: None,
    graph: bool = False,
    say: Callable[[str], Any] = lambda sentence: None,
) -> list[History]:
    """Train all ``networks`` as :func:`optimlab.fit` would train each of them, and return their histories.

    Parameters
    ----------
    rule: an elementwise rule, or one for each network; equal ones are best next to each other.
    settings: one mapping per replica, with numbers for the hyperparameters that differ from the rule's defaults.
    data: one data set for all replicas, or one for each, with the same number of rows; the same object may occur
        several times.
    seeds: one seed per replica for the order of the data.
    watch: called after each epoch with the stacked network, the histories, and the weights before the last update.
    graph: on a GPU, True makes each step a single launch of a CUDA graph, see :func:`optimlab.fit`, if the networks are
        too large for shared memory.
    say: called with a sentence on how a GPU trains the replicas.

    The ``seconds`` of a history are its share of the time. ``networks`` themselves do not change: the trained weights
    are rows of ``parameters.data`` of the network passed to ``watch``. If a replica diverges, its history names the
    step, and the others continue.

    Raises
    ------
    InputError: as :func:`stack`; or data or batches do not fit, the rule works on whole matrices, or there is not one
        setting, one seed and one data set per network.

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
    if not len(networks) == len(settings) == len(seeds) == len(each):
        raise InputError(
            f"{len(networks)} networks need as many settings, seeds and data sets, "
            f"got {len(settings)}, {len(seeds)}, {len(each)}"
        )
    network = stack(networks)
    network.classifies = loss.classifies
    epochs, batch_size = count("epochs", epochs), count("batch_size", batch_size)
    train = _Rows.of(network, [(one.x_train, one.y_train) for one in each], loss, "training")
    check_batches(network, train.each, batch_size)
    val = _Rows.of(network, [(one.x_val, one.y_val) for one in each], loss, "validation")
    run = _Training(network, _Optimizer(rule, network, settings), loss, train, batch_size, seeds, epochs)
    engine = _engine(run, networks[0], graph, say)
    validate = _evaluator(network, val, loss)
    with network.backend.quiet():
        for _ in range(epochs):
            start = time.perf_counter()
            losses, counted = run.epoch(engine)
            seconds = (time.perf_counter() - start) / len(networks)
            val_losses, val_scores = validate()
            scores: dict[str, Any] = {}
            if loss.score is not None:
                scores[f"train_{loss.score.name}"] = loss.score.value(counted, train.whole)
                scores[f"val_{loss.score.name}"] = val_scores
            for r in np.flatnonzero(run.alive).tolist():
                history = run.histories[r]
                entries = {"train_loss": losses[r], "val_loss": val_losses[r], "seconds": seconds}
                if "lr" in run.optimizer.settings[r]:
                    entries["lr"] = run.optimizer.settings[r]["lr"]
                entries |= {name: values[r] for name, values in scores.items()}
                if all(map(math.isfinite, entries.values())):
                    history.append(**{name: float(value) for name, value in entries.items()})
                else:
                    run.diverged(r, history.steps)
            watch(network, run.histories, run.before)
            if not run.alive.any():
                break
    return run.histories


def _engine(run: Any, network: Network, graph: bool, say: Callable[[str], Any]) -> Engine:
    """Return the engine: on a GPU, one thread block for each replica if a replica fits into its shared memory."""
    if can_take_turns(network.backend):
        with suppress(CannotRecord):
            return InTurns(run)
    if not network.backend.asynchronous:
        return engine_of(run, graph)
    from .blocks import InBlocks, TooLarge

    try:
        engine = InBlocks(run, network)
    except TooLarge as error:
        say(f"all networks shared batched products: {error}")
        return engine_of(run, graph)
    say("one thread block trained each network, in shared memory")
    return engine


def _evaluator(network: Network, rows: _Rows, loss: Loss) -> Callable[[], tuple[Any, Any]]:
    """Return the function that measures each replica on its rows."""
    if can_take_turns(network.backend):
        with suppress(CannotRecord):
            return EvaluatedInTurns(network, *rows.of_each(), loss)
    return Evaluator(network, *rows.by_replica(), loss)


class _Rows:
    """The rows of one split, with all replicas stacked; a data set that several replicas share is stored once."""

    def __init__(self, xp: Any, x: Array, y: Array, each: int, first: Sequence[int], whole: Any) -> None:
        """Store the rows; ``first`` is the index of each replica's first row, ``whole`` its reference of the score."""
        self._xp = xp
        self.x, self.y, self.each, self.whole = x, y, each, whole
        self.first = np.array(first)[:, None]

    @classmethod
    def of(cls, network: Network, data: Sequence[tuple[Any, Any]], loss: Loss, split: str) -> _Rows:
        """Check each replica's inputs and targets, and make their rows.

        Raises
        ------
        InputError: the replicas have different numbers of rows, or rows that do not fit the network or the loss.
        """
        distinct = {(id(x), id(y)): (x, y) for x, y in data}
        checked = [checked_data(network, x, y, loss, split) for x, y in distinct.values()]
        each = len(checked[0][0])
        if any(len(x) != each for x, _ in checked):
            raise InputError(
                f"replicas must have the same number of {split} rows, got {', '.join(str(len(x)) for x, _ in checked)}"
            )
        places = {name: k * each for k, name in enumerate(distinct)}
        xp = network.backend.xp
        x, y = checked[0] if len(checked) == 1 else (xp.concatenate(parts) for parts in zip(*checked, strict=True))
        score, whole = loss.score, None
        if score is not None:
            of = {name: score.whole(y) for name, (_, y) in zip(distinct, checked, strict=True)}
            whole = np.array([of[id(x), id(y)] for x, y in data])
        return cls(xp, x, y, each, [places[id(x), id(y)] for x, y in data], whole)

    def of_each(self) -> tuple[list[Array], list[Array]]:
        """Return inputs and targets of each replica as views; replicas with the same rows have the same object."""
        parts = {k: slice(k, k + self.each) for k in self.first[:, 0].tolist()}
        x, y = ({k: a[part] for k, part in parts.items()} for a in (self.x, self.y))
        return [x[k] for k in self.first[:, 0].tolist()], [y[k] for k in self.first[:, 0].tolist()]

    def by_replica(self) -> tuple[Array, Array]:
        """Return inputs and targets with a leading axis of the replicas, without a copy if all share them."""
        if len(self.x) == self.each:
            shapes = ((len(self.first), *a.shape) for a in (self.x, self.y))
            x, y = (self._xp.broadcast_to(a, shape) for a, shape in zip((self.x, self.y), shapes, strict=True))
        else:
            rows = self._xp.asarray(self.first + np.arange(self.each))
            x, y = self.x[rows], self.y[rows]
        return x, y


def evaluate_replicas(
    network: Network, data: Sequence[tuple[Any, Any]], loss: str | Loss = "softmax_cross_entropy"
) -> tuple[list[float], list[float]]:
    """Return loss and score of every replica in evaluation mode, as :func:`optimlab.evaluate` would one by one.

    ``data`` has the inputs and targets of each replica.
    """
    loss = get_loss(loss)
    losses, scores = _evaluator(network, _Rows.of(network, data, loss, "given"), loss)()
    return losses.tolist(), scores.tolist()


class _Training:
    """A training run of replicas in the form an engine uses, with the progress of each."""

    penalties, clip, constraints = (), None, ()

    def __init__(
        self,
        network: Network,
        optimizer: _Optimizer,
        loss: Loss,
        rows: _Rows,
        batch_size: int,
        seeds: Sequence[int],
        epochs: int,
    ) -> None:
        self.epochs = epochs
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
        """Train for an epoch. Return each replica's mean loss over the rows and the count of its score."""
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
        found = self.network.backend.to_numpy(now.results).T.astype("float64", order="C").reshape(3, -1, now.steps)
        found[0] *= now.sizes
        losses, counted, _ = np.add.accumulate(found, axis=2)[..., -1]  # of each replica as if alone: in the same order
        finite = np.isfinite(found[0])
        whole, first = finite.all(axis=1), finite.argmin(axis=1)
        for r in np.flatnonzero(self.alive).tolist():
            if whole[r]:
                self.histories[r].steps += now.steps
            else:
                self.diverged(r, self.histories[r].steps + int(first[r]) + 1)
        return losses / self._rows.each, counted
