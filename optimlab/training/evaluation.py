"""Repeated measurement of a network's loss and score on fixed data."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np

from ..backends import Array
from ..backends.operations import CannotRecord, Deferred
from ..nn.buffers import Buffers
from ..nn.formulas import same
from ..nn.losses import Loss
from ..nn.network import Network
from ..nn.passes import Evaluation
from .step import layers_recordable, network_settings, unchanged

ROWS = 1024
"""Number of rows evaluated at a time."""


class Evaluator:
    """A function that returns ``(loss, score)`` over all rows.

    The score is None if the loss has none. With replicas both are arrays.
    """

    def __init__(self, network: Network, x: Array, y: Array, loss: Loss) -> None:
        self.network, self.x, self.loss = network, x, loss
        backend = network.backend
        self.y = loss.prepared(backend, y, network.dtype)
        self._whole: Any = None
        if loss.score is not None:
            self._whole = loss.score.whole(y) if x.ndim == 2 else np.array([loss.score.whole(one) for one in y])
        self._buffers = Buffers(backend, network.dtype)
        self._pass = Evaluation()
        rows = x.shape[-2]
        self._parts = [slice(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]
        self._replicas = network.parameters.data.shape[:-1]
        self.results = backend.zeros((len(self._parts), 2 * math.prod(self._replicas)), network.dtype)
        self._program: Any = None
        self._settings: list[Any] | None = None

    def __call__(self) -> tuple[Any, Any]:
        with self.network.backend.quiet():
            program = self.recorded()
            (program.run if program else self._work)()
        found = self.network.backend.to_numpy(self.results).astype("float64")
        return self.measured(found.reshape(len(self._parts), 2, *self._replicas), self._whole)

    def measured(self, found: Any, whole: Any) -> tuple[Any, Any]:
        """Return loss and score from those of each part, of shape ``(parts, 2)`` or ``(parts, 2, replicas)``.

        ``whole`` is the score's reference, for replicas one for each.
        """
        rows = [part.stop - part.start for part in self._parts]
        loss = sum(n * value for n, value in zip(rows, found[:, 0], strict=True)) / sum(rows)
        score = self.loss.score
        return loss, None if score is None else score.value(found[:, 1].sum(axis=0), whole)

    def recorded(self) -> Any:
        """Return the program; None if a layer or the loss has code that cannot be recorded."""
        settings = network_settings(self.network)
        if self._settings is None or not unchanged(self._settings, settings):
            self._settings, self._program = settings, None
            backend = self.network.backend
            if isinstance(backend, Deferred) and self.loss.recordable and layers_recordable(self.network):
                with suppress(CannotRecord):
                    self._program = backend.record(self._work, self.network.dtype, self._working)
        return self._program

    def _working(self) -> list[Array]:
        return [*self._buffers.arrays(), *self._pass.working()]

    def _work(self) -> None:
        backend, buffers = self.network.backend, self._buffers
        for k, part in enumerate(self._parts):
            outputs = self._pass.forward(self.network.layers, self.x[..., part, :])
            targets = self.y[..., part, :]
            gradient = buffers.get("gradient", outputs.shape)
            value = self.loss(backend, outputs, targets, gradient, buffers)
            score = self.loss.score
            counted = value if score is None else score.summed(backend, outputs, targets, buffers)
            for j, number in enumerate((value, counted)):
                backend.map(same, (number.reshape(-1),), self.results[k, j * number.size : (j + 1) * number.size])
