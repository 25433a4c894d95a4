"""A training step as a CUDA graph: on a GPU small networks wait for launches, and a graph is one launch a step.

All that changes from step to step lies on the device: a counter, the order of the rows, and a table of the rule's host
scalars, a row a step, uploaded once an epoch. What is recorded is the layers, the loss and the kernels that training
without a graph calls, too. Tested on a stand-in for the device; never run on a GPU yet.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends import Array
from ..errors import InputError, one_line
from ..losses import correct
from .run import Run
from .tally import DeviceTally

WARM_UP = 2
"""Steps taken without a graph first, see :meth:`optimlab.backends.recording.Recorder.record`."""


class Graphed:
    """The full batches of an epoch by a graph; the rest is the loop's.

    Raises
    ------
    InputError: it cannot be: not on a GPU, callbacks that look at each step, a rule of whole matrices, no cuBLAS.
    """

    def __init__(self, run: Run) -> None:
        backend = run.network.backend
        if not backend.asynchronous:
            raise InputError(f"a CUDA graph needs the backend 'cupy', not {backend.name!r}")
        if run.life.on_step:
            raise InputError("a callback looks at every step")
        if not all(hasattr(update, "hp") for update in run.optimizer.bound()):
            raise InputError(f"{run.optimizer.name} is a rule of whole matrices")
        from ..backends.recording import Recorder

        self._run, self._backend = run, backend
        self._steps, self._batch = len(run.x) // run.batch_size, run.batch_size
        self._recorder = Recorder(backend)  # type: ignore[arg-type]
        self._at = backend.zeros(1, "int64")
        self._order = backend.zeros((self._steps, self._batch), "int64")
        self._chosen = backend.zeros((1, self._batch), "int64")
        self._y = backend.empty((self._batch, *run.y.shape[1:]), run.y.dtype)
        self._row, self._results = backend.zeros((1, 3), "float64"), backend.zeros((self._steps, 3), "float64")
        self._tables: list[Array] = []
        self._launch: Callable[[], None] | None = None
        self._version = -1
        self._kept: list[Any] = []

    def epoch(self, indices: Array, tally: DeviceTally) -> int:
        """Train on all full batches of rows taken in this order; how many rows that were."""
        optimizer, history, version = self._run.optimizer, self._run.history, self._run.network.parameters.version
        updates, first = optimizer.bound(), optimizer.t
        if self._version != version:  # other parameters are frozen: other kernels run
            self._launch, self._version = None, version
            self._tables = [self._backend.zeros((self._steps, u.hp.size), u.hp.dtype.name) for u in updates]
        try:
            scalars = [optimizer.advance() for _ in range(self._steps)]
        finally:
            optimizer.t = first
        for k, table in enumerate(self._tables):
            rows = np.zeros(table.shape, table.dtype)
            if scalars[0][k]:
                rows[...] = [step[k] for step in scalars]
            table[...] = self._backend.asarray(rows)
        self._order[...] = indices[: self._steps * self._batch].reshape(self._order.shape)
        self._at.fill(0)
        with self._recorder.working():
            for step in range(self._steps):
                if step == WARM_UP and self._launch is None:
                    self._launch = self._recorded()
                (self._launch or self._step)()
                optimizer.t += 1
                history.steps += 1
        tally.table[: self._steps] = self._results
        tally.counted(self._batch, self._steps)
        return self._steps * self._batch

    def _recorded(self) -> Callable[[], None]:
        try:
            return self._recorder.record(self._step)
        except Exception as error:  # whatever the step does that cannot be recorded, CUDA or CuPy says so
            fall_back(error)
            return self._step
        finally:
            # a larger batch makes the layers take other arrays; the graph goes on with these
            self._kept.append([dict(layer._buffers) for layer in self._run.network.layers])

    def _step(self) -> None:
        """The step that the counter says, and the counter's next; nothing here is known to the host."""
        run, backend, at, row = self._run, self._backend, self._at, self._row
        self._order.take(at, axis=0, out=self._chosen)
        backend.take(run.x, self._chosen[0], run.x_batch)
        backend.take(run.y, self._chosen[0], self._y)
        outputs = run.network.forward_unchecked(run.x_batch, training=True)
        row[0, 0], _ = run.loss(backend, outputs, self._y, run.gradient)
        if run.loss.classifies:
            row[0, 1] = correct(backend, outputs, self._y)
        run.network.backward(run.gradient)
        row[0, 2] = 0
        for penalty in run.penalties:
            row[0, 2] += penalty(run.network.parameters)
        if run.clip is not None:
            run.clip(run.network.parameters)
        for table, update in zip(self._tables, run.optimizer.bound(), strict=True):
            table.take(at, axis=0, out=update.hp.reshape(1, -1))
            update.launch()
        for constraint in run.constraints:
            constraint(run.network.parameters)
        self._results[at] = row
        self._at += 1


def graphed(run: Run) -> Callable[[Array, DeviceTally], int] | None:
    """What trains by the run's graph, or None, with a warning, where there can be none."""
    try:
        return Graphed(run).epoch
    except Exception as error:
        fall_back(error)
        return None


def fall_back(reason: object) -> None:
    warnings.warn(f"training goes on without a CUDA graph: {one_line(reason)}", RuntimeWarning, stacklevel=2)
