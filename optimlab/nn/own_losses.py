"""Custom losses: a plain function ``(outputs, targets) -> (value, gradient)``, for the training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from ..backends import Array, Backend, given
from ..common.errors import InputError
from . import losses
from .buffers import Buffers
from .losses import ACCURACY, Loss, Score
from .network import Network

LossFunction: TypeAlias = Callable[[Array, Array], tuple[float, Array]]

EXACT = 2**24
"""The largest integer up to which float32 represents every integer."""


def chosen(network: Network, loss: str | Loss | LossFunction | None, targets: Any) -> Loss:
    """Return the loss to train ``network`` with: the usual one for None, a loss by name, or a custom function.

    A function is called as ``function(outputs, targets)`` with the arrays of a batch. It returns the mean over the
    batch, a number, and the gradient of this mean, in the shape of the outputs. Outputs have shape ``(batch, outputs)``
    and the dtype of the network. Targets keep the shape in which you pass them. Integers stay integers; other numbers
    get the dtype of the network. On a GPU both are CuPy arrays. The function may change them: they are copies.

    Accuracy is measured if the training targets look like class labels: one integer per row, from 0 to outputs - 1,
    or 0 and 1 for a single output. A row counts as correct if its label has the largest output. With a single output,
    it counts as correct if the output is above 0 exactly for label 1. For other targets only the loss is measured.

    Raises
    ------
    InputError: the loss is unknown, or the targets are not real numbers.

    >>> import numpy as np, optimlab as ol
    >>> def huber(outputs, targets):
    ...     error = outputs - targets
    ...     small = np.abs(error) < 1
    ...     value = np.where(small, error**2 / 2, np.abs(error) - 0.5).mean()
    ...     return value, np.clip(error, -1, 1) / error.size
    >>> net, x = ol.MLP([2, 1], seed=0), np.ones((4, 2))
    >>> ol.evaluate(net, x, np.zeros((4, 1)), loss=huber)[1] is None
    True
    >>> chosen(net, huber, [[0.5]]).name, chosen(net, None, [0.5]).name
    ('huber', 'mean_squared_error')
    """
    if loss is None:
        return losses.usual(targets, network.outputs)
    return known(loss) or own(loss, network, targets)  # type: ignore[arg-type]


def known(loss: str | Loss | LossFunction) -> Loss | None:
    """Return the loss for a name or for a function of :mod:`optimlab.losses`; None for a custom function.

    Raises
    ------
    InputError: ``loss`` is none of these.

    >>> known(losses.mean_squared_error) is known("mean_squared_error"), known(lambda outputs, targets: (0.0, outputs))
    (True, None)
    """
    if isinstance(loss, Loss | str | type) or not callable(loss):
        return losses.get(loss)  # type: ignore[arg-type]
    named = losses.LOSSES.get(getattr(loss, "__name__", ""))
    return named if named is not None and loss is getattr(losses, named.name) else None


def own(function: LossFunction, network: Network, targets: Any, score: Score | None = None) -> Loss:
    """Make a loss for these targets from a custom function; ``score`` is measured beside the loss.

    The default score is accuracy if :func:`chosen` says so, else none.

    Raises
    ------
    InputError: the targets are not real numbers.
    """
    name = getattr(function, "__name__", type(function).__name__)
    example = _targets(network.backend, targets)
    integers, shape = example.dtype.kind in "iu", tuple(example.shape[1:])
    if score is None and integers and not shape and _within(example, max(2, network.outputs)):
        score = ACCURACY

    def check(backend: Backend, targets: Any, outputs: tuple[int, ...]) -> Array:
        found = _targets(backend, targets)
        if len(found) != outputs[0]:
            raise InputError(f"expected {outputs[0]} rows of targets, got {len(found)}")
        if tuple(found.shape[1:]) != shape or (found.dtype.kind in "iu") != integers:
            raise InputError(
                f"all targets of {name} must be alike: the training targets are {example.dtype} of shape "
                f"(rows{''.join(f', {n}' for n in shape)}), others are {found.dtype} of shape {tuple(found.shape)}"
            )
        if integers and (int(found.max()) > EXACT or int(found.min()) < -EXACT):
            raise InputError(f"integer targets must lie from {-EXACT:,} to {EXACT:,}; pass larger ones as floats")
        # labels become a column later, see Loss.prepared
        return found if score is ACCURACY and not shape else found.reshape(len(found), -1)

    def call(backend: Backend, outputs: Array, targets: Array, out: Array, buffers: Buffers) -> Array:
        wanted = targets.reshape(len(outputs), *shape)
        found = function(outputs.copy(), wanted.astype("int64") if integers else wanted.copy())
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise InputError(f"{name} must return (value, gradient), got {type(found).__name__}")
        value, gradient = _value(name, backend, found[0], out.dtype.name), _gradient(name, backend, found[1], out.shape)
        out[...] = gradient
        # on a GPU nothing is read back before an epoch ends
        if not backend.asynchronous and math.isfinite(float(value[0])) and not bool(backend.xp.isfinite(out).all()):
            raise InputError(f"{name} returned a gradient with NaN or infinite entries, though its value is finite")
        return value

    return Loss(name, call, check, score)


def _targets(backend: Backend, targets: Any) -> Array:
    found = given(backend, targets, "the targets")
    if found.dtype.kind not in "fiub":
        raise InputError(f"targets must be real numbers, got dtype {found.dtype}")
    return found


def _within(labels: Array, classes: int) -> bool:
    return bool(labels.size) and int(labels.min()) >= 0 and int(labels.max()) < classes


def _value(name: str, backend: Backend, value: Any, dtype: str) -> Array:
    """Check the value that a custom loss returned, and return it as an array of one number."""
    if isinstance(value, int | float):
        return backend.asarray([value], dtype)
    size, found = getattr(value, "size", 0), getattr(value, "dtype", None)
    if size != 1 or found is None or found.kind not in "fiu":
        told = f"an array of shape {tuple(value.shape)}" if size and found is not None else repr(value)
        raise InputError(f"{name} must return the mean over the batch, one real number, as its value; got {told}")
    return backend.asarray(value, dtype).reshape(1)


def _gradient(name: str, backend: Backend, gradient: Any, shape: tuple[int, ...]) -> Array:
    """Check the gradient that a custom loss returned."""
    found = given(backend, gradient, f"the gradient of {name}")
    if tuple(found.shape) != tuple(shape) or found.dtype.kind not in "fiu":
        raise InputError(
            f"{name}: expected the gradient of outputs of shape {tuple(shape)}, got {found.dtype} of shape "
            f"{tuple(found.shape)}"
        )
    return found


PROBE = 8
"""Number of target rows used to recognize a custom loss."""


def identity(loss: Loss, network: Network, targets: Array) -> str:
    """Return the name of a loss. For a custom loss, also return its values for the first targets as a fingerprint.

    The outputs for this are invented. They are probabilities, so that most losses accept them.
    """
    if losses.LOSSES.get(loss.name) is loss:
        return loss.name
    backend, few = network.backend, targets[:PROBE]
    outputs = 1.0 + backend.xp.arange(len(few) * network.outputs, dtype="float64").reshape(len(few), -1)
    outputs /= outputs.sum(axis=1, keepdims=True) if network.outputs > 1 else 1 + outputs.max()
    gradient = backend.empty(outputs.shape, "float64")
    try:
        with backend.quiet():
            value = loss(
                backend, outputs, loss.prepared(backend, few, "float64"), gradient, Buffers(backend, "float64")
            )
    except Exception as error:  # the loss may reject invented outputs
        return f"{loss.name} ({type(error).__name__} for made-up outputs)"
    size = float(abs(gradient).sum())
    return f"{loss.name} ({float(value[0]):.6g}, gradient {size:.6g}, for made-up outputs)"
