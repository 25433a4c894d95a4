"""What lies between a network's matrix products, as loops that Numba compiles.

Each does in one pass what the formula it is named after does in several NumPy calls, with the same operations in the
same order, so that it is equal bit for bit. Sums, exponentials and logarithms stay NumPy's own.
"""

from __future__ import annotations

from typing import Any


def relu(x: Any, out: Any) -> None:
    """:class:`optimlab.activations.ReLU`, forward."""
    zero = x.dtype.type(0)
    for i in range(len(x)):
        out[i] = x[i] if (x[i] > zero) | (x[i] != x[i]) else zero


def relu_backward(x: Any, dy: Any, out: Any) -> None:
    """:class:`optimlab.activations.ReLU`, backward."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(len(x)):
        out[i] = (one if x[i] > zero else zero) * dy[i]


def shift(logits: Any, labels: Any, out: Any, picked: Any) -> None:
    """The first half of :func:`optimlab.losses.softmax_cross_entropy`: logits less their row's largest."""
    for i in range(logits.shape[0]):
        top = logits[i, 0]
        for j in range(1, logits.shape[1]):
            if (logits[i, j] > top) | (logits[i, j] != logits[i, j]):
                top = logits[i, j]
        for j in range(logits.shape[1]):
            out[i, j] = logits[i, j] - top
        picked[i] = out[i, labels[i]]


def normalise(out: Any, labels: Any, total: Any) -> None:
    """The second half: the gradient, from the exponentials and their sums."""
    n = total.dtype.type(len(total))
    share = total.dtype.type(1 / len(total))
    for i in range(out.shape[0]):
        divisor = total[i] * n
        for j in range(out.shape[1]):
            out[i, j] = out[i, j] / divisor
        out[i, labels[i]] = out[i, labels[i]] - share
