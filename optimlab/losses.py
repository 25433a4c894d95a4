"""Loss functions with their gradients: ``loss, gradient = f(outputs, targets)``.

The loss is the mean over the batch, a Python float. The gradient is that of the mean and has the outputs' shape and
dtype. Outputs may have any floating-point dtype; float16 is computed in float32, and its gradient is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import backends
from .backends import Array, Backend
from .errors import InputError, lookup


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

    To be called within ``backend.quiet()``: huge outputs overflow, harmlessly or to a loss that is not finite. The
    loss is a number of the backend, see :meth:`optimlab.backends.Backend.number`.
    """

    name: str
    function: Callable[[Backend, Array, Array, Array], tuple[float, Array]]
    check: Callable[[Backend, Any, tuple[int, ...]], Array]
    """``check(backend, targets, shape of the outputs)``: the targets as an array of the backend."""
    classifies: bool
    """Whether targets are class labels, so that accuracy means something."""
    applies_softmax: bool = False
    """True if it takes logits; then a network that ends in softmax or sigmoid is refused."""

    def __call__(self, backend: Backend, outputs: Array, targets: Array, out: Array) -> tuple[float, Array]:
        fused = backend.fused.get(self.name) if outputs.ndim == 2 and LOSSES.get(self.name) is self else None
        return (fused or self.function)(backend, outputs, targets, out)


def correct(backend: Backend, outputs: Array, labels: Array) -> Any:
    """How many rows have their largest output at their label: an integer of the backend, of replicas one each. As for a
    :class:`Loss`, nothing is checked.

    >>> import numpy as np
    >>> int(correct(backends.get("numpy"), np.array([[1.0, 2.0], [3.0, 3.0], [0.0, 5.0]]), np.array([1, 0, 0])))
    2
    """
    fused = backend.fused.get("correct")
    # a loss of one's own may have labels of another kind
    if fused and outputs.ndim == 2 and labels.dtype == "int64" and labels.shape == outputs.shape[:1]:
        return fused(outputs, labels)
    return backend.xp.count_nonzero(outputs.argmax(axis=-1) == labels, axis=-1)


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
    with backend.quiet():
        value, gradient = loss(backend, outputs, targets, out)
    return float(value), gradient


def _row_max(xp: Any, logits: Array) -> Array:
    """The maximum of each row, ``(..., 1)``. Along an axis of ten or so NumPy is slow: for many rows column after
    column is faster, and a maximum is the same in any order."""
    classes = logits.shape[-1]
    if logits.size < 256 * classes or classes > 32:
        return logits.max(axis=-1, keepdims=True)
    top = logits[..., :1].copy()
    for k in range(1, classes):
        xp.maximum(top, logits[..., k : k + 1], out=top)
    return top


def _cross_entropy(backend: Backend, logits: Array, labels: Array, out: Array) -> tuple[Any, Array]:
    """With a leading axis of replicas, an array of losses."""
    xp, n, replicas = backend.xp, logits.shape[-2], logits.ndim > 2
    rows = xp.arange(n)
    entries = (xp.arange(len(logits))[:, None], rows, labels) if replicas else (rows, labels)
    # the difference of two huge logits may overflow to -inf, whose e^x is 0
    xp.subtract(logits, _row_max(xp, logits), out=out)
    picked = out[entries]
    xp.exp(out, out=out)
    total = out.sum(axis=-1, keepdims=True)
    loss = (xp.log(total[..., 0]) - picked).sum(axis=-1)
    total *= n
    out /= total
    out[entries] -= 1 / n
    return (loss.astype("float64") if replicas else backend.number(loss)) / n, out


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


def _squared_error(backend: Backend, outputs: Array, targets: Array, out: Array) -> tuple[float, Array]:
    xp = backend.xp
    xp.subtract(outputs, targets, out=out)
    loss = backend.dot(out, out) / out.size
    out *= 2 / out.size
    return loss, out


def _check_targets(backend: Backend, targets: Any, shape: tuple[int, ...]) -> Array:
    targets = backends.given(backend, targets, "the targets")
    if targets.shape != tuple(shape):
        raise InputError(f"expected targets of the outputs' shape {tuple(shape)}, got {tuple(targets.shape)}")
    if targets.dtype.kind not in "fiu" or not bool(backend.xp.isfinite(targets).all()):
        raise InputError("targets must be finite real numbers")
    return targets


_softmax_cross_entropy = Loss("softmax_cross_entropy", _cross_entropy, _check_labels, True, applies_softmax=True)
_mean_squared_error = Loss("mean_squared_error", _squared_error, _check_targets, classifies=False)

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (_softmax_cross_entropy, _mean_squared_error)}


def get(loss: str | Loss) -> Loss:
    """The loss of that name, or the object itself.

    >>> get("mean_squared_error").classifies
    False
    """
    if isinstance(loss, Loss):
        return loss
    return lookup("loss", loss, LOSSES)
