"""Replicas on a GPU, each trained by one thread block for many steps in shared memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..backends import blocks
from ..backends.cupy import kernel, largest_block, launch_blocks
from ..common.errors import InputError
from ..kernels.block_source import THREADS, most_slots, most_states
from ..nn.buffers import Buffers
from ..nn.layers import Dropout, within
from ..nn.losses import Loss
from ..nn.network import Network
from .step import Epoch, Step


class TooLarge(InputError):
    """An error for replicas that cannot be trained in shared memory; the message says why."""


class InBlocks:
    """An engine that takes all steps of an epoch in one launch; ``network`` is one of the replicas.

    Raises
    ------
    TooLarge: a network with its batch and the rules' state does not fit into a block's shared memory, or a part of the
        step is custom Python code.
    """

    def __init__(self, run: Any, network: Network) -> None:
        self._now, self._optimizer, stacked = run.now, run.optimizer, run.network
        self._plan, drawing = recorded(network, run.loss, run.now)
        groups = self._optimizer.groups
        graphs = list({group.graph: None for group in groups})
        self._bytes, most = self._plan.bytes(graphs), largest_block()
        if self._bytes > most:
            raise TooLarge(
                f"a network with its batch and the rule's state needs {-(-self._bytes // 1024)} KiB of shared memory, "
                f"but a thread block has {most // 1024} KiB"
            )
        self._kernel = kernel(self._plan.kernel(graphs), "epoch")
        backend, dtype, weights = stacked.backend, stacked.dtype, stacked.parameters.data
        replicas, size = weights.shape
        layers: list[Any] = list(within(stacked.layers))
        self._generators = [layers[k].generator for k in drawing]
        self._table = backend.zeros((self._now.steps, replicas, most_slots(graphs)), dtype)
        self._results = backend.zeros((self._now.steps, replicas, 3), dtype)
        state = backend.zeros((replicas, most_states(graphs), size), dtype)
        for group in groups:
            for k, value in enumerate(group.graph.state.values()):
                state[group.rows, k] = value
        which = [graphs.index(group.graph) for group in groups for _ in group.settings]
        streams = [part for generator in self._generators for part in generator.stream]
        others = [values for layer in stacked.layers for values in layer.state().values()]
        self._arrays = [backend.asarray(which, "int64"), state, *others, *streams, weights]

    def begin(self, steps: int) -> None:
        first = self._now.steps - steps
        for group in self._optimizer.groups:
            rows = group.table(self._optimizer.t + 1, steps)
            if rows.size:
                place = slice(first, None), group.rows, slice(rows.shape[-1])
                self._table[place] = self._now.backend.asarray(rows, self._table.dtype)

    def take(self, times: int, *, rest: bool) -> int:
        now = self._now
        if times:
            given = now.x, now.y, now.rest if rest else now.places, now.at, self._results, self._table, *self._arrays
            launch_blocks(self._kernel, now.replicas, THREADS, self._bytes, *given, np.int64(times), np.int64(rest))
            for generator, draw in zip(self._generators, self._plan.draws, strict=True):
                generator.skip(times * (draw.rest if rest else draw.full))
            now.at += times
            now.results[...] = self._results.transpose(0, 2, 1).reshape(now.results.shape)
        return times


def recorded(network: Network, loss: Loss, now: Epoch) -> tuple[blocks.Plan, list[int]]:
    """Return the plan of the steps of an epoch, and the places of the layers that draw random numbers.

    Raises
    ------
    TooLarge: a part of the step is custom Python code.
    """
    backend: Any = blocks.Recording()
    one = _double(network, backend)
    rows = int(now.sizes.sum())
    x, y = (np.empty((1, *a.shape[1:]), network.dtype) for a in (now.x, now.y))
    epoch = Epoch(one, x, y, now.batch_size, rows)
    buffers = Buffers(backend, network.dtype)
    recordings = []
    for rest in (False, True):
        step = Step(one, loss, epoch, lambda: None, buffers, rest=rest)
        if not step.recordable():
            raise TooLarge("a part of the step is custom Python code")
        backend.operations = []
        if step.rows:
            step()
        recordings.append(backend.operations)
    given = [(epoch.x, "x"), (epoch.y, "y"), (epoch.results, "result")]
    given += [(a, "places") for a in (epoch.places, epoch.rest, epoch.at, epoch.first)]
    others = [values for layer in one.layers for values in layer.state().values()]
    arrays = blocks.Arrays(one.parameters.data, one.parameters.grad, others, given)
    plan = blocks.plan_of(arrays, recordings, (now.batch_size, epoch.rest.shape[1]))
    layers = list(within(one.layers))
    drawing = [
        next(k for k, layer in enumerate(layers) if isinstance(layer, Dropout) and layer.generator is generator)
        for generator in plan.generators
    ]
    return plan, drawing


def _double(network: Network, backend: Any) -> Network:
    """Return a network of NumPy arrays with the same layers, whose operations ``backend`` records."""
    instead: dict[int, Any] = {id(network.backend): backend}
    for p in network.parameters:
        instead |= {id(values): np.zeros(p.shape, network.dtype) for values in (p._data, p._grad)}
    for layer in network.layers:
        instead |= {id(values): np.zeros(values.shape, network.dtype) for values in layer.state().values()}
    return copy.deepcopy(network, instead)


__all__ = ["InBlocks", "TooLarge"]
