"""Loss functions with their gradients: ``loss, gradient = f(outputs, targets)``.

The loss is the mean over the batch, a Python float. The gradient is that of the mean and has the outputs' shape and
dtype. Outputs may have any floating-point dtype; float16 is computed in float32, and its gradient is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import backends
from ..backends import Array, Backend
from ..common.errors import InputError, lookup
from .activations import exponential
from .buffers import Buffers
from .formulas import difference, square, times


def softmax_cross_entropy(logits: Array, labels: Any, out: Array = None) -> tuple[float, Array]:
    """Cross-entropy of the softmax of ``logits`` against labels.

    ::

        L = mean_i (ln sum_j e^(z_ij) - z_i,label(i))        dL/dz = (softmax(z) - onehot(label)) / n

    Parameters
    ----------
    logits: shape ``(batch, classes)``, float.
    labels: shape ``(batch,)``, integers from 0 to classes - 1; or one-hot, shape ``(batch, classes)``.
    out: where to write the gradient; a new array by default. May be ``logits`` itself.

    Raises
    ------
    InputError: wrong shapes or dtypes, labels out of range.

    >>> import numpy as np
    >>> loss, gradient = softmax_cross_entropy(np.array([[0.0, 0.0], [1000.0, 0.0]]), [0, 0])
    >>> round(loss, 4), gradient
    (0.3466, array([[-0.25,  0.25],
           [ 0.  ,  0.  ]]))
    """
    return _checked(_softmax_cross_entropy, logits, labels, out)


def mean_squared_error(outputs: Array, targets: Any, out: Array = None) -> tuple[float, Array]:
    """Mean squared difference, over all entries.

    ::

        L = mean (y - target)^2        dL/dy = 2 (y - target) / (number of entries)

    Parameters
    ----------
    outputs, targets: shape ``(batch, features)``, float.
    out: where to write the gradient; a new array by default. May be ``outputs`` itself.

    Raises
    ------
    InputError: shapes that differ, targets that are not finite numbers.

    >>> import numpy as np
    >>> mean_squared_error(np.array([[1.0, 3.0]]), [[1.0, 1.0]])
    (2.0, array([[0., 2.]]))
    """
    return _checked(_mean_squared_error, outputs, targets, out)


class Loss(NamedTuple):
    """A loss as the training loop uses it: targets checked once, then batches without checks.

    To be called within ``backend.quiet()``: huge outputs overflow, harmlessly or to a loss that is not finite.
    """

    name: str
    function: Callable[[Backend, Array, Array, Array, Buffers], Array]
    """``function(backend, outputs, targets, gradient, buffers)``: write the gradient, and return the mean over the
    batch, a single number of the backend; for replicas, one each."""
    check: Callable[[Backend, Any, tuple[int, ...]], Array]
    """``check(backend, targets, shape of the outputs)``: the targets as an array of the backend."""
    classifies: bool
    """Whether targets are class labels, so that accuracy means something."""
    applies_softmax: bool = False
    """True if it takes logits; then a network that ends in softmax or sigmoid is refused."""

    def __call__(self, backend: Backend, outputs: Array, targets: Array, out: Array, buffers: Buffers) -> Array:
        return self.function(backend, outputs, targets, out, buffers)

    @property
    def recordable(self) -> bool:
        """Whether the function consists of named operations of the backend alone: it says so by an attribute of this
        name."""
        return bool(getattr(self.function, "recordable", False))

    def prepared(self, backend: Backend, targets: Array, dtype: str) -> Array:
        """Checked targets in the form that the loss takes: labels as a column of numbers."""
        return backend.asarray(targets[..., None] if self.classifies else targets, dtype)


def matching(place: Array, label: Array) -> Array:
    return np.where(place == label, 1, 0)


def correct(backend: Backend, outputs: Array, labels: Array, buffers: Buffers) -> Array:
    """How many rows have their largest output at their label: a single number of the backend, of replicas one each.

    >>> import numpy as np
    >>> backend = backends.get("numpy")
    >>> outputs, labels = np.array([[1.0, 2.0], [3.0, 3.0], [0.0, 5.0]]), np.array([[1.0], [0.0], [0.0]])
    >>> correct(backend, outputs, labels, Buffers(backend, "float64"))
    array([2.])
    """
    place, right = buffers.get("place", (*outputs.shape[:-1], 1)), _single(buffers, "right", outputs)
    backend.row_argmax(outputs, place)
    backend.map(matching, (place, labels), place)
    backend.column_sums(place, right)
    return right


def _single(buffers: Buffers, key: str, outputs: Array) -> Array:
    """A single number, of replicas one each."""
    lead = outputs.shape[:-2]
    return buffers.get(key, (*lead, 1, 1) if lead else (1,))


def _checked(loss: Loss, outputs: Array, targets: Any, out: Array) -> tuple[float, Array]:
    """The loss of arrays that come from outside."""
    backend = backends.of(outputs)
    if outputs.ndim != 2 or not outputs.size or outputs.dtype.kind != "f":
        shape = tuple(outputs.shape)
        raise InputError(f"expected floating-point outputs of shape (batch, features), got {shape}, {outputs.dtype}")
    targets = loss.check(backend, targets, outputs.shape)
    if outputs.dtype.itemsize < 4:
        # float16 ends at 65504, and a batch may have more rows; small parts of a mean would round to zero
        outputs = outputs.astype("float32")
    if out is None:
        out = backend.xp.empty(outputs.shape, outputs.dtype)
    elif (
        not backend.owns(out)
        or out.shape != outputs.shape
        or out.dtype != outputs.dtype
        or not getattr(out.flags, "writeable", True)
    ):
        raise InputError(f"out must be a writeable array of shape {tuple(outputs.shape)}, {outputs.dtype}")
    dtype = outputs.dtype.name
    with backend.quiet():
        value = loss(backend, outputs, loss.prepared(backend, targets, dtype), out, Buffers(backend, dtype))
    return float(backend.to_numpy(value)[0]), out


def picked(z: Array, top: Array, column: Array, label: Array) -> Array:
    """z - top at the label, 0 elsewhere."""
    return np.where(column == label, z - top, 0)


def entropy(total: Array, chosen: Array) -> Array:
    """ln sum_j e^(z_j - top) - (z_label - top)."""
    return np.log(total) - chosen


def cross_entropy_gradient(e: Array, total: Array, column: Array, label: Array, *, share: float) -> Array:
    """share (softmax(z) - onehot(label))."""
    y = e / total
    return share * np.where(column == label, y - 1, y)


def _cross_entropy(backend: Backend, z: Array, labels: Array, out: Array, buffers: Buffers) -> Array:
    n, shape = z.shape[-2], (*z.shape[:-1], 1)
    top, total, chosen = (buffers.get(key, shape) for key in ("top", "total", "chosen"))
    single, value = buffers.get("single", z.shape), _single(buffers, "loss", z)
    column = buffers.row("columns", range(z.shape[-1]))
    backend.row_max(z, top)
    backend.map(picked, (z, top, column, labels), single)
    backend.row_sums(single, chosen)
    backend.map(exponential, (z, top), out)
    backend.row_sums(out, total)
    backend.map(entropy, (total, chosen), chosen)
    backend.column_sums(chosen, value)
    backend.map(times, (value,), value, factor=1 / n)
    backend.map(cross_entropy_gradient, (out, total, column, labels), out, share=1 / n)
    return value


def _check_labels(backend: Backend, labels: Any, shape: tuple[int, ...]) -> Array:
    xp = backend.xp
    labels = backends.given(backend, labels, "the labels")
    n, classes = shape
    if labels.shape == (n, classes):
        labels = _from_one_hot(backend, labels)
    if labels.shape != (n,):
        one_hot = f"or one-hot labels of shape {(n, classes)}"
        raise InputError(f"expected {n} labels, one per row, {one_hot}, got shape {tuple(labels.shape)}")
    if not xp.issubdtype(labels.dtype, xp.integer):
        raise InputError(f"labels must be integers from 0 to {classes - 1}, got dtype {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"labels must lie from 0 to {classes - 1}, the network's outputs; got {low} to {high}")
    return backend.asarray(labels, "int64")


def _from_one_hot(backend: Backend, labels: Array) -> Array:
    """The column of the one in each row."""
    xp, ones = backend.xp, labels == 1
    if not bool((ones | (labels == 0)).all() & (ones.sum(axis=1) == 1).all()):
        raise InputError(
            f"labels of shape {tuple(labels.shape)} must be one-hot: a single 1 in each row and 0 elsewhere; "
            "probabilities are not accepted"
        )
    return xp.argmax(ones, axis=1)


def _squared_error(backend: Backend, outputs: Array, targets: Array, out: Array, buffers: Buffers) -> Array:
    n, features = outputs.shape[-2:]
    squares, each = buffers.get("single", outputs.shape), buffers.get("top", (*outputs.shape[:-1], 1))
    value = _single(buffers, "loss", outputs)
    backend.map(difference, (outputs, targets), out)
    backend.map(square, (out,), squares)
    backend.row_sums(squares, each)
    backend.column_sums(each, value)
    backend.map(times, (value,), value, factor=1 / (n * features))
    backend.map(times, (out,), out, factor=2 / (n * features))
    return value


def _check_targets(backend: Backend, targets: Any, shape: tuple[int, ...]) -> Array:
    targets = backends.given(backend, targets, "the targets")
    if targets.shape != tuple(shape):
        raise InputError(f"expected targets of the outputs' shape {tuple(shape)}, got {tuple(targets.shape)}")
    if targets.dtype.kind not in "fiu" or not bool(backend.xp.isfinite(targets).all()):
        raise InputError("targets must be finite real numbers")
    return targets


for _function in (_cross_entropy, _squared_error):
    _function.recordable = True  # type: ignore[union-attr]
_softmax_cross_entropy = Loss("softmax_cross_entropy", _cross_entropy, _check_labels, True, applies_softmax=True)
_mean_squared_error = Loss("mean_squared_error", _squared_error, _check_targets, False)

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (_softmax_cross_entropy, _mean_squared_error)}


def get(loss: str | Loss) -> Loss:
    """The loss of that name, or the object itself.

    >>> get("mean_squared_error").classifies
    False
    """
    if isinstance(loss, Loss):
        return loss
    return lookup("loss", loss, LOSSES)
