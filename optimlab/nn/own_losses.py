"""Losses of one's own: a plain function ``(outputs, targets) -> (value, gradient)``, for the training loop."""

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
"""The largest integer up to which float32 has all."""


def chosen(network: Network, loss: str | Loss | LossFunction | None, targets: Any) -> Loss:
    """Return the loss to train ``network`` with: the usual one for None, one by name, or a function of one's own.

    A function is called as ``function(outputs, targets)`` with the arrays of a batch. It returns the mean over the
    batch, a number, and the gradient of this mean, in the shape of the outputs. Outputs have shape ``(batch, outputs)``
    and the dtype of the network. Targets have the shape of those that were given; integers stay integers, other numbers
    have the dtype of the network. On a GPU both are CuPy's arrays. The function may change them: they are copies.

    Accuracy is measured if the targets of training look like class labels: integers from 0 to outputs - 1, one a row,
    or 0 and 1 for a single output. A row is right if its label has the largest output, or if its single output is above
    0 for label 1 and not for label 0. For other targets the loss alone is measured.

    Raises
    ------
    InputError: the loss is unknown, or the targets are no real numbers.

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
    """Return the loss of a name, or of one of the functions in :mod:`optimlab.losses`; None for one of one's own.

    Raises
    ------
    InputError: it is none of these.

    >>> known(losses.mean_squared_error) is known("mean_squared_error"), known(lambda outputs, targets: (0.0, outputs))
    (True, None)
    """
    if isinstance(loss, Loss | str | type) or not callable(loss):
        return losses.get(loss)  # type: ignore[arg-type]
    named = losses.LOSSES.get(getattr(loss, "__name__", ""))
    return named if named is not None and loss is getattr(losses, named.name) else None


def own(function: LossFunction, network: Network, targets: Any, score: Score | None = None) -> Loss:
    """Return a function of one's own as a loss for such targets; ``score`` is measured beside it.

    By default this is the accuracy where :func:`chosen` says so, else nothing.

    Raises
    ------
    InputError: the targets are no real numbers.
    """
    name = getattr(function, "__name__", type(function).__name__)
    example = _targets(network.backend, targets)
    integers, shape = example.dtype.kind in "iu", tuple(example.shape[1:])
    if score is None and integers and not shape and _within(example, max(2, network.outputs)):
        score = ACCURACY

    def check(backend: Backend, targets: Any, outputs: tuple[int, ...]) -> Array:
        found = _targets(backend, targets)
        if len(found) != outputs[0]:
            raise InputError(f"expected targets of {outputs[0]} rows, got {len(found)}")
        if tuple(found.shape[1:]) != shape or (found.dtype.kind in "iu") != integers:
            raise InputError(
                f"all targets of {name} must be alike: those of training are {example.dtype} of shape "
                f"(rows{''.join(f', {n}' for n in shape)}), others {found.dtype} of shape {tuple(found.shape)}"
            )
        if integers and (int(found.max()) > EXACT or int(found.min()) < -EXACT):
            raise InputError(f"integer targets must lie from {-EXACT:,} to {EXACT:,}; give larger ones as floats")
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
            raise InputError(f"{name} gave a gradient with NaN or infinite entries, though its value is finite")
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
    """A value that a function of one's own returned, as an array of one number."""
    if isinstance(value, int | float):
        return backend.asarray([value], dtype)
    size, found = getattr(value, "size", 0), getattr(value, "dtype", None)
    if size != 1 or found is None or found.kind not in "fiu":
        told = f"an array of shape {tuple(value.shape)}" if size and found is not None else repr(value)
        raise InputError(f"{name} must return the mean over the batch, one real number, as its value; got {told}")
    return backend.asarray(value, dtype).reshape(1)


def _gradient(name: str, backend: Backend, gradient: Any, shape: tuple[int, ...]) -> Array:
    """A gradient that a function of one's own returned."""
    found = given(backend, gradient, f"the gradient of {name}")
    if tuple(found.shape) != tuple(shape) or found.dtype.kind not in "fiu":
        raise InputError(
            f"{name}: expected the gradient of outputs of shape {tuple(shape)}, got {found.dtype} of shape "
            f"{tuple(found.shape)}"
        )
    return found


PROBE = 8
"""Rows of targets by which a loss of one's own is recognized."""


def identity(loss: Loss, network: Network, targets: Array) -> str:
    """Return the name of a loss; of one's own also what it gives for the first targets, which tells it from another.

    The outputs are made up: they are probabilities, so that most losses accept them.
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
    except Exception as error:  # it may refuse what is made up
        return f"{loss.name} ({type(error).__name__} for made-up outputs)"
    size = float(abs(gradient).sum())
    return f"{loss.name} ({float(value[0]):.6g}, gradient {size:.6g}, for made-up outputs)"
