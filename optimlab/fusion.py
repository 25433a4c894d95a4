"""A Dense layer and the activation behind it as one, for a backend that has them so.

Each pass then goes once over the memory between two matrix products, and in place: z = x W gives way to f(z + b), the
gradient by the activation's outputs to that by its inputs. Half as much goes through the cache, where the next product
finds what it reads. Outputs and gradients are what they are without it, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence

from .backends import Array, Backend
from .layers import Activate, Dense, Layer


class DenseActivate:
    """y = f(x W + b) with the backend's one loop for ``+ b`` and ``f``, and one for ``f'`` and ``db``.

    Only for an f whose derivative can be told from y as from f's input, as ReLU's can: the input is gone by then.
    """

    def __init__(self, dense: Dense, activate: Activate) -> None:
        self._dense, self._activate, self._function = dense, activate, activate.activation
        self._biased, self._back = dense.backend.fused[f"dense {activate.known}"]

    def forward(self, x: Array, training: bool) -> Array:
        dense, activate = self._dense, self._activate
        self._apart = activate.activation is not self._function or not dense.use_bias  # set otherwise since
        if self._apart:
            return activate.forward(dense.forward(x, training), training)
        y = activate._x = activate._y = dense.product(x)
        self._biased(y, dense.b.data)
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        dense, activate = self._dense, self._activate
        if self._apart or dense.b.frozen:
            return dense.backward(activate.backward(dy), input_gradient)
        self._back(activate._y, dy, dense.b.grad)
        return dense.product_backward(dy, input_gradient)


def fused(layers: Sequence[Layer], backend: Backend) -> list[tuple[int, Layer | DenseActivate]]:
    """The layers, where they can be two as one, each with the place of its first."""
    parts: list[tuple[int, Layer | DenseActivate]] = []
    for k, layer in enumerate(layers):
        if parts and isinstance(parts[-1][1], DenseActivate) and parts[-1][0] == k - 1:
            continue
        pair = _pair(layers[k : k + 3], backend)
        parts.append((k, pair or layer))
    return parts


def _pair(layers: Sequence[Layer], backend: Backend) -> DenseActivate | None:
    """The first two as one, if the third is a Dense: the gradient that it hands back is its own array, which nobody
    else reads, so that it may be overwritten."""
    match layers:
        case [Dense() as dense, Activate() as activate, Dense()]:
            # a subclass, or a method that was replaced on the object, may do something else
            known = all(type(k) in (Dense, Activate) and not {"forward", "backward"} & vars(k).keys() for k in layers)
            # NumPy does not add up a single column row after row
            plain = dense.use_bias and dense.outputs > 1 and not dense.lead
            if known and plain and not activate.keeps_inputs:
                return DenseActivate(dense, activate) if f"dense {activate.known}" in backend.fused else None
    return None
