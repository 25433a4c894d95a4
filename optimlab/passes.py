"""One way through the layers and back, in working arrays that no other way shares.

A layer keeps what its backward pass needs, and the arrays it fills, in attributes that begin with an underscore. A
training pass runs through the network's own layers. Every other pass runs through doubles: objects of the same class
with the same attributes, except those. So an evaluation leaves alone what a training step is still going to use, and
several threads can evaluate one network at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .backends import Array
from .fusion import DenseActivate, fused
from .layers import Layer


class Pass:
    """A forward pass, and the backward pass that belongs to it.

    Attributes
    ----------
    layers: what the last forward pass ran through: the network's layers, or their doubles.
    rows: of the last forward pass; 0 before the first.
    """

    def __init__(self) -> None:
        self.layers: Sequence[Layer] = []
        self.rows = 0
        self._parts: list[tuple[int, Layer | DenseActivate]] = []
        self._parts_of: list[Any] = []

    def forward(self, layers: Sequence[Layer], x: Array, training: bool) -> Array:
        """The outputs of the last of ``layers`` for ``x``."""
        self.layers, self.rows = layers, len(x)
        # a layer with one attribute more may have a method that was replaced
        parts_of = [*layers, *[len(vars(layer)) for layer in layers]]
        if parts_of != self._parts_of:
            self._parts_of, self._parts = parts_of, fused(layers, layers[0].backend)
        for _, part in self._parts:
            x = part.forward(x, training)
        return x

    def backward(self, gradient: Array, lowest: int, input_gradient: bool) -> Array:
        """dL/dx from dL/d(outputs). Stops at layer number ``lowest``, whose dL/dx is worked out if asked for."""
        for k, part in reversed(self._parts):
            if k >= lowest:
                gradient = part.backward(gradient, input_gradient or k > lowest)
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
