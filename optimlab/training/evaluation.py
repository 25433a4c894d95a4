"""Loss and accuracy of a network on data that stay the same, measured again and again."""

from __future__ import annotations

from typing import Any

from ..backends import Array
from ..backends.compiled import CannotRecord, CompiledBackend
from ..buffers import Buffers
from ..formulas import same
from ..losses import Loss, correct
from ..network import Network
from ..passes import Evaluation
from .step import layers_recordable, layers_settings, unchanged

ROWS = 1024
"""Rows that go through the network at a time."""


class Evaluator:
    """Call it for ``(loss, accuracy)``, means over all rows; replicas have one of each, arrays."""

    def __init__(self, network: Network, x: Array, y: Array, loss: Loss) -> None:
        self.network, self.x, self.loss = network, x, loss
        backend = network.backend
        self.y = loss.prepared(backend, y, network.dtype)
        self._buffers = Buffers(backend, network.dtype)
        self._pass = Evaluation()
        rows = x.shape[-2]
        self._parts = [slice(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]
        lead = network.parameters.data.shape[:-1]
        self._results = backend.zeros((len(self._parts), *lead, 2), network.dtype)
        self._program: Any = None
        self._settings: list[Any] = []
        self._recordable = isinstance(backend, CompiledBackend) and loss.recordable and layers_recordable(network)

    def __call__(self) -> tuple[Any, Any]:
        with self.network.backend.quiet():
            self._run()
        found = self.network.backend.to_numpy(self._results).astype("float64")
        rows = [part.stop - part.start for part in self._parts]
        loss = sum(n * value for n, value in zip(rows, found[..., 0], strict=True)) / sum(rows)
        return loss, found[..., 1].sum(axis=0) / sum(rows)

    def _run(self) -> None:
        if not self._recordable:
            self._work()
            return
        settings = layers_settings(self.network)
        if self._program is None or not unchanged(self._settings, settings):
            backend = self.network.backend
            assert isinstance(backend, CompiledBackend)
            try:
                self._pass.forward(self.network.layers, self.x[: self._parts[0].stop])  # which allocates
                with backend.recording(self.network.dtype) as program:
                    self._work()
                program.finish([*self._buffers.arrays(), *self._pass.working()])
            except CannotRecord:
                self._recordable = False
                self._work()
                return
            self._program, self._settings = program, settings
        self._program.run()

    def _work(self) -> None:
        backend, buffers = self.network.backend, self._buffers
        for k, part in enumerate(self._parts):
            outputs = self._pass.forward(self.network.layers, self.x[..., part, :])
            targets = self.y[..., part, :]
            if outputs.ndim > targets.ndim:  # replicas that share their data
                targets = targets[None]
            gradient = buffers.get("gradient", outputs.shape)
            value = self.loss(backend, outputs, targets, gradient, buffers)
            right = correct(backend, outputs, targets, buffers) if self.loss.classifies else value
            for j, number in enumerate((value, right)):
                place = self._results[k, ..., j : j + 1]
                backend.map(same, (number.reshape(place.shape),), place)
