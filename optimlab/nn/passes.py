"""Forward and backward passes through the layers, each with separate working arrays.

A layer keeps its working arrays, and the values its backward pass needs, in attributes that begin with an underscore.
A training pass runs through the network's layers themselves. Every evaluation runs through doubles: objects of the
same class that share all other attributes. So an evaluation overwrites nothing that a training step still needs, and
several threads can evaluate one network at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..backends import Array
from .layers import Layer


class Pass:
    """A forward pass, and the backward pass that belongs to it.

    Attributes
    ----------
    layers: the layers of the last forward pass: the network's layers or their doubles.
    batch: the shape of the last batch without its features: ``(rows,)``, or ``(replicas, rows)`` with replicas; empty
        before the first pass.
    """

    def __init__(self) -> None:
        self.layers: Sequence[Layer] = []
        self.batch: tuple[int, ...] = ()

    def forward(self, layers: Sequence[Layer], x: Array, training: bool) -> Array:
        """Return the outputs of the last layer for ``x``."""
        self.layers, self.batch = layers, x.shape[:-1]
        for layer in layers:
            x = layer.forward(x, training)
        return x

    def backward(self, gradient: Array, lowest: int, input_gradient: bool) -> Array:
        """Return dL/dx from dL/d(outputs). Stop at layer ``lowest``, whose dL/dx is computed only on request."""
        for k, layer in reversed([*enumerate(self.layers)]):
            if k >= lowest:
                gradient = layer.backward(gradient, input_gradient or k > lowest)
        return gradient


class Evaluation(Pass):
    """A pass in evaluation mode through doubles of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self._of: list[Layer] = []

    def forward(self, layers: Sequence[Layer], x: Array, training: bool = False) -> Array:
        if self._of != layers:
            self._of, self.layers = [*layers], [layer.double() for layer in layers]
        else:
            for double, layer in zip(self.layers, layers, strict=True):
                double.follow(layer)
        return super().forward(self.layers, x, training)

    def working(self) -> list[Array]:
        """Return the working arrays of the doubles."""
        return [array for layer in self.layers for array in layer._buffers.arrays()]
