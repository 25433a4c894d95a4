"""Loss functions with their gradients, ``loss, gradient = f(outputs, targets)``, and the scores that go with them.

The loss is the mean over the batch, a Python float. The gradient of this mean has the outputs' shape and dtype.
Outputs may have any floating-point dtype; float16 is computed in float32, and its gradient is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import backends
from ..backends import Array, Backend
from ..common.errors import InputError, lookup
from ..kernels import Formula
from .activations import exponential, sigmoid, softplus
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


def binary_cross_entropy(logits: Array, labels: Any, out: Array = None) -> tuple[float, Array]:
    """Cross-entropy of the sigmoid of one logit per row against labels 0 and 1.

    ::

        L = mean_i (ln(1 + e^z_i) - t_i z_i)        dL/dz = (sigmoid(z) - t) / n

    It equals the softmax cross-entropy of the two logits 0 and z.

    Parameters
    ----------
    logits: shape ``(batch, 1)``, float.
    labels: shape ``(batch,)`` or ``(batch, 1)``, integers 0 and 1.
    out: where to write the gradient; a new array by default. May be ``logits`` itself.

    Raises
    ------
    InputError: wrong shapes or dtypes, labels other than 0 and 1.

    >>> import numpy as np
    >>> loss, gradient = binary_cross_entropy(np.array([[0.0], [-1000.0]]), [1, 0])
    >>> round(loss, 4), gradient
    (0.3466, array([[-0.25],
           [ 0.  ]]))
    """
    return _checked(_binary_cross_entropy, logits, labels, out)


def mean_squared_error(outputs: Array, targets: Any, out: Array = None) -> tuple[float, Array]:
    """Mean squared difference over all entries.

    ::

        L = mean (y - t)^2        dL/dy = 2 (y - t) / (number of entries)

    Parameters
    ----------
    outputs: shape ``(batch, features)``, float.
    targets: the same shape, float; for one feature also ``(batch,)``.
    out: where to write the gradient; a new array by default. May be ``outputs`` itself.

    Raises
    ------
    InputError: shapes differ, or targets are not finite numbers.

    >>> import numpy as np
    >>> mean_squared_error(np.array([[1.0, 3.0]]), [[1.0, 1.0]])
    (2.0, array([[0., 2.]]))
    """
    return _checked(_mean_squared_error, outputs, targets, out)


def mean_absolute_error(outputs: Array, targets: Any, out: Array = None) -> tuple[float, Array]:
    """Mean absolute difference over all entries. Outliers affect it less than the mean squared error.

    ::

        L = mean |y - t|        dL/dy = sign(y - t) / (number of entries)

    Parameters and errors are the same as for :func:`mean_squared_error`.

    >>> import numpy as np
    >>> mean_absolute_error(np.array([[1.0, 3.0]]), [[1.0, 1.0]])
    (1.0, array([[0. , 0.5]]))
    """
    return _checked(_mean_absolute_error, outputs, targets, out)


class Score(NamedTuple):
    """A measure of success that goes with a loss: higher is better, 1 is perfect."""

    name: str
    """``"accuracy"`` or ``"r2"``, as in the names of a history's lists."""
    summed: Callable[[Backend, Array, Array, Buffers], Array]
    """``summed(backend, outputs, targets, buffers)``: the score's count, summed over the rows, as an array of one
    number; for replicas, one number each."""
    whole: Callable[[Array], float]
    """``whole(targets)``: the reference for the sum over all rows, such as the number of rows."""
    value: Callable[[Any, Any], Any]
    """``value(sum, whole)``: the score itself."""


class Loss(NamedTuple):
    """A loss as the training loop uses it: targets are checked once, batches are not.

    Call it within ``backend.quiet()``. Huge outputs overflow, either harmlessly or to a loss that is not finite.
    """

    name: str
    function: Callable[[Backend, Array, Array, Array, Buffers], Array]
    """``function(backend, outputs, targets, gradient, buffers)``: write the gradient, and return the mean over the
    batch as an array of one number; for replicas, one number each."""
    check: Callable[[Backend, Any, tuple[int, ...]], Array]
    """``check(backend, targets, shape of the outputs)``: return the targets as an array of the backend."""
    score: Score | None = None
    """The score that goes with this loss, if any."""
    takes_logits: bool = False
    """True if the loss applies softmax or sigmoid itself. A network that ends in one is then an error."""

    def __call__(self, backend: Backend, outputs: Array, targets: Array, out: Array, buffers: Buffers) -> Array:
        return self.function(backend, outputs, targets, out, buffers)

    @property
    def classifies(self) -> bool:
        """True if targets are class labels."""
        return self.score is ACCURACY

    @property
    def recordable(self) -> bool:
        """True if the function uses only named operations of the backend, as its attribute ``recordable`` declares."""
        return bool(getattr(self.function, "recordable", False))

    def prepared(self, backend: Backend, targets: Array, dtype: str) -> Array:
        """Convert checked targets to the form that the loss takes: labels become a column of numbers."""
        return backend.asarray(targets[..., None] if self.classifies else targets, dtype)


def matching(place: Array, label: Array) -> Array:
    return np.where(place == label, 1, 0)


def right_side(z: Array, label: Array) -> Array:
    """1 if a logit lies on its label's side of 0, else 0."""
    return np.where(z > 0, label, 1 - label)


def _right(backend: Backend, outputs: Array, labels: Array, buffers: Buffers) -> Array:
    """Count the rows that are classified correctly, by the largest output or by the sign of a single logit.

    >>> import numpy as np
    >>> backend = backends.get("numpy")
    >>> outputs, labels = np.array([[1.0, 2.0], [3.0, 3.0], [0.0, 5.0]]), np.array([[1.0], [0.0], [0.0]])
    >>> _right(backend, outputs, labels, Buffers(backend, "float64"))
    array([2.])
    """
    place, right = buffers.get("place", (*outputs.shape[:-1], 1)), _single(buffers, "right", outputs)
    if outputs.shape[-1] == 1:
        backend.map(right_side, (outputs, labels), place)
    else:
        backend.row_argmax(outputs, place)
        backend.map(matching, (place, labels), place)
    backend.column_sums(place, right)
    return right


def squared_difference(y: Array, t: Array) -> Array:
    return (y - t) ** 2


def _squares(backend: Backend, outputs: Array, targets: Array, buffers: Buffers) -> Array:
    """Return the sum of squared errors."""
    squares, each = buffers.get("single", outputs.shape), buffers.get("place", (*outputs.shape[:-1], 1))
    total = _single(buffers, "right", outputs)
    backend.map(squared_difference, (outputs, targets), squares)
    backend.row_sums(squares, each)
    backend.column_sums(each, total)
    return total


def _variation(targets: Array) -> float:
    """Return the sum of squared differences from the mean of each output."""
    values = targets.astype("float64")
    return float(((values - values.mean(axis=0)) ** 2).sum())


def _r2(squares: Any, variation: Any) -> Any:
    equal = np.equal(variation, 0)
    of_equal_targets = np.where(np.equal(squares, 0), 1.0, 0.0)
    return np.where(equal, of_equal_targets, 1 - squares / np.where(equal, 1, variation))[()]


ACCURACY = Score("accuracy", _right, len, lambda right, rows: right / rows)
R2 = Score("r2", _squares, _variation, _r2)
"""The coefficient of determination, ``1 - sum (y - t)^2 / sum (t - mean t)^2``, summed over all rows and outputs."""


def _single(buffers: Buffers, key: str, outputs: Array) -> Array:
    """Return a working array for a single number, or for one number per replica."""
    lead = outputs.shape[:-2]
    return buffers.get(key, (*lead, 1, 1) if lead else (1,))


def _checked(loss: Loss, outputs: Array, targets: Any, out: Array) -> tuple[float, Array]:
    """Check arrays from the caller, and return their loss and gradient."""
    backend = backends.of(outputs)
    if outputs.ndim != 2 or not outputs.size or outputs.dtype.kind != "f":
        shape = tuple(outputs.shape)
        raise InputError(f"expected floating-point outputs of shape (batch, features), got {shape}, {outputs.dtype}")
    targets = loss.check(backend, targets, outputs.shape)
    if outputs.dtype.itemsize < 4:
        # float16 overflows at 65504, and a batch may have more rows; small terms of a mean would round to zero
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
    if classes < 2:
        raise InputError(
            "softmax_cross_entropy needs one output per class, but there is only one: use two outputs for two classes, "
            "or loss='binary_cross_entropy'; to predict numbers, use loss='mean_squared_error'"
        )
    if labels.shape == (n, classes):
        labels = _from_one_hot(backend, labels)
    if labels.shape != (n,):
        one_hot = f"or one-hot labels of shape {(n, classes)}"
        raise InputError(f"expected {n} labels, one per row, {one_hot}, got shape {tuple(labels.shape)}")
    if not xp.issubdtype(labels.dtype, xp.integer):
        raise InputError(
            f"labels must be integers from 0 to {classes - 1}, got dtype {labels.dtype}; to predict numbers, use "
            "loss='mean_squared_error'"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"labels must lie from 0 to {classes - 1}, the network's outputs; got {low} to {high}")
    return backend.asarray(labels, "int64")


def _from_one_hot(backend: Backend, labels: Array) -> Array:
    """Return the column of the 1 in each row."""
    xp, ones = backend.xp, labels == 1
    if not bool((ones | (labels == 0)).all() & (ones.sum(axis=1) == 1).all()):
        raise InputError(
            f"labels of shape {tuple(labels.shape)} must be one-hot: a single 1 in each row and 0 elsewhere; "
            "probabilities are not accepted"
        )
    return xp.argmax(ones, axis=1)


def logit_entropy(z: Array, label: Array) -> Array:
    """ln(1 + e^z) - label z, in a form without cancellation for confident correct answers."""
    return softplus((1 - 2 * label) * z)


def logit_gradient(z: Array, label: Array, *, share: float) -> Array:
    """share (sigmoid(z) - label)."""
    side = 1 - 2 * label
    return share * side * sigmoid(side * z)


def _logit_cross_entropy(backend: Backend, z: Array, labels: Array, out: Array, buffers: Buffers) -> Array:
    n, each, value = z.shape[-2], buffers.get("top", z.shape), _single(buffers, "loss", z)
    backend.map(logit_entropy, (z, labels), each)
    backend.column_sums(each, value)
    backend.map(times, (value,), value, factor=1 / n)
    backend.map(logit_gradient, (z, labels), out, share=1 / n)
    return value


def _check_binary(backend: Backend, labels: Any, shape: tuple[int, ...]) -> Array:
    labels = backends.given(backend, labels, "the labels")
    n, outputs = shape
    if outputs != 1:
        raise InputError(
            f"binary_cross_entropy takes one output, a logit, but there are {outputs}: give the network one output, or "
            "use loss='softmax_cross_entropy'"
        )
    if tuple(labels.shape) not in ((n,), (n, 1)):
        raise InputError(f"expected {n} labels, one per row, got shape {tuple(labels.shape)}")
    if labels.dtype.kind not in "biu" or int(labels.min()) < 0 or int(labels.max()) > 1:
        raise InputError(
            "binary_cross_entropy takes integer labels 0 and 1; to predict numbers, use loss='mean_squared_error'"
        )
    return backend.asarray(labels.reshape(n), "int64")


def absolute(x: Array) -> Array:
    return np.abs(x)


def sign_times(x: Array, *, factor: float) -> Array:
    return factor * np.sign(x)


def _mean_of(size: Formula, slope: Formula, steepness: float) -> Callable[..., Array]:
    """Make the loss that is the mean of ``size(y - t)`` over all entries, with derivative ``steepness * slope``."""

    def function(backend: Backend, outputs: Array, targets: Array, out: Array, buffers: Buffers) -> Array:
        n, features = outputs.shape[-2:]
        sizes, each = buffers.get("single", outputs.shape), buffers.get("top", (*outputs.shape[:-1], 1))
        value = _single(buffers, "loss", outputs)
        backend.map(difference, (outputs, targets), out)
        backend.map(size, (out,), sizes)
        backend.row_sums(sizes, each)
        backend.column_sums(each, value)
        backend.map(times, (value,), value, factor=1 / (n * features))
        backend.map(slope, (out,), out, factor=steepness / (n * features))
        return value

    return function


def _check_targets(backend: Backend, targets: Any, shape: tuple[int, ...]) -> Array:
    targets = backends.given(backend, targets, "the targets")
    if tuple(targets.shape) == tuple(shape[:1]) and shape[1:] == (1,):
        targets = targets[:, None]
    if targets.shape != tuple(shape):
        raise InputError(f"expected targets of the outputs' shape {tuple(shape)}, got {tuple(targets.shape)}")
    if targets.dtype.kind not in "fiu" or not bool(backend.xp.isfinite(targets).all()):
        raise InputError("targets must be finite real numbers")
    return targets


_squared_error, _absolute_error = _mean_of(square, times, 2), _mean_of(absolute, sign_times, 1)
for _function in (_cross_entropy, _logit_cross_entropy, _squared_error, _absolute_error):
    _function.recordable = True  # type: ignore[union-attr]
_softmax_cross_entropy = Loss("softmax_cross_entropy", _cross_entropy, _check_labels, ACCURACY, takes_logits=True)
_binary_cross_entropy = Loss("binary_cross_entropy", _logit_cross_entropy, _check_binary, ACCURACY, takes_logits=True)
_mean_squared_error = Loss("mean_squared_error", _squared_error, _check_targets, R2)
_mean_absolute_error = Loss("mean_absolute_error", _absolute_error, _check_targets, R2)

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (_softmax_cross_entropy, _binary_cross_entropy, _mean_squared_error, _mean_absolute_error)
}


def get(loss: str | Loss) -> Loss:
    """Return the loss with this name, or ``loss`` itself if it is an object.

    >>> get("mean_squared_error").classifies
    False
    """
    if isinstance(loss, Loss):
        return loss
    return lookup("loss", loss, LOSSES)


def usual(targets: Any, outputs: int) -> Loss:
    """Return the usual loss for these targets and this number of outputs.

    Two or more outputs count as classes: the loss is softmax cross-entropy. A single output with integer targets is a
    logit: the loss is binary cross-entropy. With other targets it is a prediction: the loss is mean squared error.
    To predict several numbers, name the loss.

    >>> usual([0, 1, 2], 3).name, usual([0, 1], 1).name, usual([0.5, 2.0], 1).name
    ('softmax_cross_entropy', 'binary_cross_entropy', 'mean_squared_error')
    """
    if outputs > 1:
        return _softmax_cross_entropy
    if not hasattr(targets, "dtype"):
        targets = backends.given(backends.get("numpy"), targets, "the targets")
    return _mean_squared_error if targets.dtype.kind == "f" else _binary_cross_entropy
