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


def bias_relu(z: Any, b: Any) -> None:
    """The bias of a :class:`optimlab.layers.Dense`, and the ReLU behind it, in place."""
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            value = z[i, j] + b[j]
            z[i, j] = value if (value > zero) | (value != value) else zero


def bias_relu_backward(y: Any, dy: Any, db: Any) -> None:
    """Back through both: ``dy`` becomes the gradient by what the bias is added to, ``db`` its sum over the rows. ``y``
    is above zero where the ReLU's input is."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            value = (one if y[i, j] > zero else zero) * dy[i, j]
            dy[i, j] = value
            db[j] = (db[j] if i else zero) + value


def gather(rows: Any, indices: Any, out: Any) -> None:
    """``out[...] = rows[indices]``, eight rows at a time: memory brings rows from eight places sooner than from one."""
    whole = len(indices) // 8 * 8
    for i in range(0, whole, 8):
        a, b, c, d = indices[i], indices[i + 1], indices[i + 2], indices[i + 3]
        e, f, g, h = indices[i + 4], indices[i + 5], indices[i + 6], indices[i + 7]
        for j in range(rows.shape[1]):
            out[i, j] = rows[a, j]
            out[i + 1, j] = rows[b, j]
            out[i + 2, j] = rows[c, j]
            out[i + 3, j] = rows[d, j]
            out[i + 4, j] = rows[e, j]
            out[i + 5, j] = rows[f, j]
            out[i + 6, j] = rows[g, j]
            out[i + 7, j] = rows[h, j]
    for i in range(whole, len(indices)):
        for j in range(rows.shape[1]):
            out[i, j] = rows[indices[i], j]


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


def correct(outputs: Any, labels: Any, count: Any) -> None:
    """:func:`optimlab.losses.correct`; the first of several largest counts, or the first NaN."""
    right = 0
    for i in range(outputs.shape[0]):
        best, top = 0, outputs[i, 0]
        for j in range(1, outputs.shape[1]):
            if (outputs[i, j] > top) | ((outputs[i, j] != outputs[i, j]) & (top == top)):
                best, top = j, outputs[i, j]
        right += best == labels[i]
    count[0] = right
