"""Replicas on a CPU, trained one after another by compiled programs.

A step of the first replica is recorded. The programs of the others repeat the same operations on their own arrays. So
each gets the bits that it gets alone, but only the first has the cost of a recording.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backends import Array, Backend
from ..backends.operations import CannotRecord, Deferred
from ..nn.layers import Dropout, within
from ..nn.losses import Loss
from ..nn.network import Network
from ..optim.optimizers import Optimizer
from .engine import Tabled
from .evaluation import Evaluator
from .step import Epoch


def can_take_turns(backend: Backend) -> bool:
    """Return True if the backend makes programs for a CPU."""
    return isinstance(backend, Deferred) and not backend.asynchronous


class InTurns:
    """An engine in which every replica takes all steps of an epoch before the next one begins.

    A replica that diverges stops there.

    Raises
    ------
    CannotRecord: a part of the step is custom Python code.
    """

    def __init__(self, run: Any) -> None:
        network, now = run.network, run.now
        self._now, self._optimizer = now, run.optimizer
        backend, replicas = network.backend, len(network.parameters.data)
        self._places = backend.zeros((replicas, now.full, now.batch_size), "int64")
        self._rest = backend.zeros((replicas, *now.rest.reshape(1, replicas, -1)[:, 0].shape), "int64")
        self._at = backend.zeros((replicas, 1), "int64")
        self._results = backend.zeros((replicas, now.steps, 3), network.dtype)
        self._stopped = np.zeros(replicas, bool)
        self._generators = [layer.generator for layer in _dropouts(network)]
        self._tables: list[Array] = []
        """For each group of replicas with one rule, their host scalars."""
        self._programs: list[_Programs] = []
        for group in run.optimizer.groups:
            self._record(run, group)

    def _record(self, run: Any, group: Any) -> None:
        """Record the steps of the first replica of a group, and move them to the arrays of the others."""
        network, now, backend = run.network, run.now, run.network.backend
        first, *_ = members = range(len(self._at))[group.rows]
        one = replica(network, first)
        drawn = [backend.generator(0) for _ in self._generators]
        for layer, generator in zip(_dropouts(one), drawn, strict=True):
            layer.generator = generator
        alone = copy.copy(run)
        alone.network, alone.optimizer = one, Optimizer(one.parameters, group.rule)
        alone.now = epoch = Epoch(one, now.x, now.y, now.batch_size, int(now.sizes.sum()))
        engine = Tabled(alone)
        engine.begin(epoch.steps)
        programs = engine.programs()
        if programs is None:
            raise CannotRecord("a part of the step is custom Python code")
        table = backend.zeros((len(members), *epoch.tables[0].shape), network.dtype)
        state = [
            np.full((len(members), one.parameters.data.size), value, network.dtype)
            for value in group.graph.state.values()
        ]
        olds = [epoch.places, epoch.rest, epoch.at, epoch.results, *epoch.tables, *alone.optimizer.state.values()]
        stacks = [a[group.rows] for a in (self._places, self._rest, self._at, self._results)] + [table, *state]
        olds += _learned(network, first)
        news = [[*(a[k] for a in stacks), *_learned(network, r)] for k, r in enumerate(members)]
        full, rest = (program.moved(olds, news) if program else [None] * len(members) for program in programs)
        self._programs += [_Programs(*two, drawn) for two in zip(full, rest, strict=True)]
        self._tables.append(table)

    def begin(self, steps: int) -> None:
        now, first = self._now, self._now.steps - steps
        replicas = len(self._at)
        self._places[...] = now.places.reshape(now.full, replicas, -1).swapaxes(0, 1)
        self._rest[...] = now.rest.reshape(1, replicas, -1).swapaxes(0, 1)
        self._at[...] = first
        self._results[:, first:] = np.nan  # of the steps that a diverged replica does not take
        for group, table in zip(self._optimizer.groups, self._tables, strict=True):
            rows = group.table(self._optimizer.t + 1, steps)
            table[:, first:, : rows.shape[-1]] = rows.swapaxes(0, 1)

    def take(self, times: int, *, rest: bool) -> int:
        if times:
            for r in np.flatnonzero(~self._stopped).tolist():
                self._stopped[r] = self._taken(r, times, rest) < times
            self._now.at += times
            self._now.results[...] = self._results.transpose(1, 2, 0).reshape(self._now.results.shape)
        return times

    def _taken(self, r: int, times: int, rest: bool) -> int:
        """Take steps of one replica; return how many it took before a loss was not finite."""
        programs = self._programs[r]
        for drawn, own in zip(programs.drawn, self._generators, strict=True):
            drawn.state = own[r].state
        done: int = (programs.rest if rest else programs.full).run(times)
        for drawn, own in zip(programs.drawn, self._generators, strict=True):
            own[r].state = drawn.state
        return done


class _Programs(NamedTuple):
    """The programs of a replica for a full step and for the last, smaller one, and the generators they draw from."""

    full: Any
    rest: Any
    drawn: list[Any]


class EvaluatedInTurns:
    """A function that returns the loss and the score of each replica over its rows, like :class:`Evaluator`.

    ``x`` and ``y`` have the rows of each replica.

    Raises
    ------
    CannotRecord: a layer or the loss is custom Python code.
    """

    def __init__(self, network: Network, x: Sequence[Array], y: Sequence[Array], loss: Loss) -> None:
        self._of_one = one = Evaluator(replica(network, 0), x[0], y[0], loss)
        program = one.recorded()
        if program is None:
            raise CannotRecord("a layer or the loss is custom Python code")
        self._results = np.empty((len(x), *one.results.shape), network.dtype)
        self._whole = None if loss.score is None else np.array([loss.score.whole(rows) for rows in y])
        targets = {id(rows): loss.prepared(network.backend, rows, network.dtype) for rows in y}
        olds = [*_learned(network, 0), one.x, one.y, one.results]
        self._programs = program.moved(
            olds, [[*_learned(network, r), x[r], targets[id(y[r])], self._results[r]] for r in range(len(x))]
        )

    def __call__(self) -> tuple[Any, Any]:
        for program in self._programs:
            program.run()
        found = self._results.astype("float64")
        return self._of_one.measured(found.transpose(1, 2, 0), self._whole)


def replica(network: Network, r: int) -> Network:
    """Return a replica as a network whose arrays are views of the stacked ones."""
    stacked, own = network.parameters, network.parameters.of_replica(r)
    views: dict[int, Any] = {id(network.backend): network.backend, id(stacked): own}
    views |= {id(all_of_them): mine for all_of_them, mine in zip(stacked, own, strict=True)}
    views |= {id(values): values[r, 0] for layer in network.layers for values in layer.state().values()}
    return copy.deepcopy(network, views)


def _learned(network: Network, r: int) -> list[Array]:
    """Return what replica r has learned. The gradient is not among it: all share one, which stays in the cache."""
    return [network.parameters.data[r], *(values[r] for layer in network.layers for values in layer.state().values())]


def _dropouts(network: Network) -> list[Any]:
    return [layer for layer in within(network.layers) if isinstance(layer, Dropout)]


__all__ = ["EvaluatedInTurns", "InTurns", "can_take_turns", "replica"]
