"""What a step cannot do without: its matrix products, and the moving of the update's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import optimlab as ol

from .clock import Turn, seconds
from .jobs import DTYPE, Job, engines


def floor_epoch(job: Job, x: Any, update: Callable[[], None]) -> Turn:
    """The products of every step, forward and backward, but for the gradient of the inputs, which nobody needs; by the
    library that the fastest engine has for each."""
    generator = np.random.default_rng(0)
    backend = ol.backends.get(engines()[-1])
    empty = backend.empty
    weights = [generator.standard_normal(shape, dtype=DTYPE) / shape[0] ** 0.5 for shape in job.shapes if shape[1:]]
    weight_gradients = [empty(w.shape, DTYPE) for w in weights]
    outputs = [empty((job.batch, n), DTYPE) for n in job.sizes[1:]]
    gradients = [generator.standard_normal(y.shape, dtype=DTYPE) for y in outputs]

    def step(inputs: Any) -> None:
        n = len(inputs)
        values = [inputs, *(y[:n] for y in outputs)]
        for k, w in enumerate(weights):
            backend.matmul(values[k], w, values[k + 1])
        for k in range(len(weights) - 1, -1, -1):
            backend.matmul(values[k].T, gradients[k][:n], weight_gradients[k])
            if k:
                backend.matmul(gradients[k][:n], weights[k].T, gradients[k - 1][:n])
        update()

    def epoch() -> None:
        for start in range(0, len(x), job.batch):
            step(x[start : start + job.batch])

    return lambda round_: seconds(epoch)


def copier(graph: ol.kernels.Graph, size: int) -> Callable[[], None]:
    """A function that reads and writes as many bytes as one fused step of the rule, within as many arrays."""
    ring = [ol.backends.get("numpy").zeros(size, DTYPE) for _ in graph.inputs]
    for array in ring:
        array += 1
    whole, half = divmod(graph.arrays_moved, 2)  # a copy moves two arrays: one read, one written
    pairs = [(ring[k % len(ring)], ring[(k + 1) % len(ring)]) for k in range(whole + half)]
    if half:
        pairs[-1] = (pairs[-1][0][: size // 2], pairs[-1][1][: size // 2])

    def run() -> None:
        for target, source in pairs:
            np.copyto(target, source)

    return run
