"""Penalties on the weights, limits on the gradients, constraints on the weights.

Each is called with ``net.parameters`` and works in place on the flat buffers. :func:`optimlab.fit` takes them as
``penalties=``, ``clip=`` and ``constraints=`` and calls them in the same order as Keras::

    backward -> penalties -> clip -> update -> constraints

You can write your own functions. A penalty adds its gradient to ``parameters.grad`` and returns its value; the return
value of the others is ignored. All functions here skip frozen parameters, as Keras does.

By hand, the same:

>>> import optimlab as ol
>>> net = ol.MLP([2, 1], use_bias=False, seed=0)
>>> net.parameters.data[...], net.parameters.grad[...] = [3.0, -4.0], 0.0
>>> L2(0.1)(net.parameters), net.parameters.grad
(1.25, array([ 0.3, -0.4], dtype=float32))
>>> ClipGlobalNorm(0.25)(net.parameters), net.parameters.grad
(array([0.5], dtype=float32), array([ 0.15, -0.2 ], dtype=float32))
>>> MaxNorm(1.0)(net.parameters)
>>> net.parameters.data
array([ 0.6, -0.8], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..backends import Array, Backend
from ..common.errors import InputError, number
from ..kernels import Formula
from .buffers import Buffers
from .formulas import product, square, times, total
from .parameters import Parameters, stretches

Penalty: TypeAlias = Callable[[Parameters], float]
Clip: TypeAlias = Callable[[Parameters], Any]
Constraint: TypeAlias = Callable[[Parameters], Any]


class _Term:
    """The base of the classes below. It looks up the arrays to work on once per group and ``parameters.version``."""

    role: ClassVar[str]
    """The argument of ``fit`` that takes this term."""
    has_kink: ClassVar[bool] = False
    """True if a penalty has no derivative at weight zero, which a gradient check must avoid."""
    group: str = ""
    """The group of parameters; clipping works on all."""
    _seen: tuple[Any, int, str] = (None, -1, "")
    _arrays: Any = None
    _buffers: Any = None

    def find(self, parameters: Parameters) -> Any:
        """Return the arrays to work on.

        Raises
        ------
        InputError: the group does not exist.
        """
        raise NotImplementedError

    def _found(self, parameters: Parameters) -> Any:
        seen = parameters, parameters.version, self.group
        if self._seen != seen:
            self._arrays = self.find(parameters)
            self._buffers = Buffers(parameters.backend, parameters.dtype)
            self._seen = seen
        return self._arrays

    def working(self) -> list[Array]:
        """Return the term's working arrays."""
        return self._buffers.arrays() if self._buffers else []

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, without arrays: the copy looks up its own."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__getstate__().items())})"


def magnitude(w: Array) -> Array:
    return np.abs(w)


def decayed(g: Array, w: Array, *, rate: float) -> Array:
    return g + rate * w


def signed(g: Array, w: Array, *, rate: float) -> Array:
    return g + rate * np.sign(w)


class _Penalty(_Term):
    """A penalty of ``factor`` times the sum of ``value``; ``gradient`` is added to the gradient of the loss."""

    role = "penalties"
    value: ClassVar[Formula]
    gradient: ClassVar[Formula]
    factor: ClassVar[float]

    def __init__(self, rate: float, group: str = "weights") -> None:
        self.rate = number(f"the rate of {type(self).__name__}", rate, low=0)
        self.group = group

    def find(self, parameters: Parameters) -> list[tuple[Array, Array]]:
        parts = stretches(parameters.select(self.group))
        return [(parameters.data[s], parameters.grad[s]) for s in parts]

    def add(self, parameters: Parameters) -> Array:
        """Add the gradient to ``parameters.grad``, and return the penalty as an array of one number."""
        backend, parts, cls = parameters.backend, self._found(parameters), type(self)
        value, part = self._buffers.get("value", (1,)), self._buffers.get("part", (1,))
        for k, (w, g) in enumerate(parts):
            each = self._buffers.get("each", w.shape)
            backend.map(cls.value, (w,), each)
            backend.column_sums(each, part if k else value)
            if k:
                backend.map(total, (value, part), value)
            backend.map(cls.gradient, (g, w), g, rate=self.rate)
        if not parts:
            return self._buffers.row("nothing", [0.0])
        backend.map(times, (value,), value, factor=self.factor * self.rate)
        return value

    def __call__(self, parameters: Parameters) -> float:
        """Add the gradient to ``parameters.grad``, and return the penalty."""
        return float(parameters.backend.to_numpy(self.add(parameters))[0])


def add_penalties(penalties: Sequence[Penalty], parameters: Parameters, buffers: Buffers) -> Array:
    """Add the gradients of all penalties, and return the sum of the penalties as an array of one number."""
    found: Array = buffers.row("no penalty", [0.0])
    for k, penalty in enumerate(penalties):
        if isinstance(penalty, _Penalty) and type(penalty).__call__ is _Penalty.__call__:
            value = penalty.add(parameters)
        else:  # a custom function, or a subclass with its own __call__
            value = buffers.get("penalty of one's own", (1,))
            value[...] = value_of(penalty, parameters)
        out = buffers.get("penalty", (1,))
        parameters.backend.map(total, (found if k == 0 else out, value), out)
        found = out
    return found


def value_of(penalty: Penalty, parameters: Parameters) -> Any:
    """Call a penalty, which adds its gradient, and return its value.

    Raises
    ------
    InputError: it returned something other than one real number, such as None.
    """
    value: Any = penalty(parameters)
    array = hasattr(value, "dtype")
    if not isinstance(value, int | float) and not (array and value.size == 1 and value.dtype.kind in "fiu"):
        name = getattr(penalty, "__name__", type(penalty).__name__)
        told = f"an array of shape {tuple(value.shape)}" if array and value.size != 1 else repr(value)
        raise InputError(
            f"{name} must add its gradient to parameters.grad and return its value, one real number; it returned {told}"
        )
    return value.reshape(-1)[0] if array else value


class L2(_Penalty):
    """The penalty ``rate / 2 * sum w^2``, with gradient ``rate * w``.

    The half makes it agree with PyTorch. Training with ``L2(rate)`` corresponds to ``weight_decay=rate`` in PyTorch's
    SGD, Adam, RMSprop and others that add ``weight_decay * w`` to the gradient. (AdamW does not: it shrinks the
    weights separately from the gradient.) Two things differ: PyTorch decays all parameters it is given, biases
    included, and it does so inside the optimizer, after clipping. Keras's ``regularizers.L2(l2)`` is
    ``l2 * sum w^2``, without the half: write ``L2(2 * l2)`` here.

    Parameters
    ----------
    rate: at least 0.
    group: as in :meth:`optimlab.nn.parameters.Parameters.select`.

    Raises
    ------
    InputError: the rate is negative; when called, the group is unknown.

    Reference: Hoerl & Kennard (1970); Krogh & Hertz (1992).

    >>> L2(1e-4)
    L2(rate=0.0001, group='weights')
    """

    recordable = True
    value, gradient, factor = square, decayed, 0.5


class L1(_Penalty):
    """The penalty ``rate * sum |w|``, with gradient ``rate * sign(w)``, which is 0 at 0.

    Equal to Keras's ``regularizers.L1(rate)`` and to ``rate * w.abs().sum()`` in PyTorch.

    Parameters
    ----------
    rate: at least 0.
    group: as in :meth:`optimlab.nn.parameters.Parameters.select`.

    Raises
    ------
    InputError: the rate is negative; when called, the group is unknown.

    Reference: Tibshirani (1996).

    >>> import optimlab as ol
    >>> net = ol.MLP([3, 1], seed=0)
    >>> net.parameters["dense1.W"].data[...] = [[2.0], [0.0], [-1.0]]
    >>> L1(0.5, "dense1.W")(net.parameters), net.parameters.grad
    (1.5, array([ 0.5,  0. , -0.5,  0. ], dtype=float32))
    """

    recordable = True
    has_kink = True
    value, gradient, factor = magnitude, signed, 1.0


class _Clip(_Term):
    role = "clip"

    def __init__(self, limit: float) -> None:
        self.limit = number(f"the limit of {type(self).__name__}", limit, positive=True)

    def find(self, parameters: Parameters) -> list[Array]:
        return [parameters.grad[s] for s in stretches(list(parameters))]


class ClipValue(_Clip):
    """Clipping of every entry of the gradient to [-limit, limit].

    Equal to PyTorch's ``clip_grad_value_`` and Keras's ``clipvalue``. It may change the gradient's direction.

    Raises
    ------
    InputError: the limit is not positive.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> net.parameters.grad[...] = [-5.0, 0.5, 2.0]
    >>> ClipValue(1.0)(net.parameters)
    >>> net.parameters.grad
    array([-1. ,  0.5,  1. ], dtype=float32)
    """

    recordable = True

    def __call__(self, parameters: Parameters) -> None:
        """Clip ``parameters.grad``."""
        for g in self._found(parameters):
            parameters.backend.map(clipped, (g,), g, limit=self.limit)


class ClipNorm(_Clip):
    """Clipping of each parameter tensor's gradient to a norm of at most ``limit``.

    ::

        g <- g limit / max(||g||, limit)

    Equal to Keras's ``clipnorm``. PyTorch's ``clip_grad_norm_``, called for one parameter at a time, differs slightly:
    it scales by ``limit / (||g|| + 1e-6)`` where this is below 1. Clipped norms then fall short of ``limit`` by one
    part in ``1e6 ||g||``, and gradients within 1e-6 of the limit shrink too. Here a gradient within the limit stays as
    it is, bit for bit. A gradient with NaN or infinity is left alone, because no scale would repair it.

    Raises
    ------
    InputError: the limit is not positive.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> net.parameters.grad[...] = [3.0, 4.0, 0.5]
    >>> ClipNorm(1.0)(net.parameters)
    >>> net.parameters.grad
    array([0.6, 0.8, 0.5], dtype=float32)
    """

    recordable = True

    def find(self, parameters: Parameters) -> list[Array]:
        return [parameters.grad[p.start : p.stop] for p in parameters if not p.frozen]

    def __call__(self, parameters: Parameters) -> None:
        """Clip ``parameters.grad``."""
        for g in self._found(parameters):
            _shrink(parameters.backend, [g], self.limit, self._buffers)


class ClipGlobalNorm(_Clip):
    """Clipping of the whole gradient to a norm of at most ``limit``. Its direction stays the same.

    Equal to Keras's ``global_clipnorm``, and to PyTorch's ``clip_grad_norm_`` except for the 1e-6 described at
    :class:`ClipNorm`. A gradient with NaN or infinity is left alone (PyTorch and Keras spread the NaN).

    Reference: Pascanu, Mikolov & Bengio (2013), Algorithm 1.

    Raises
    ------
    InputError: the limit is not positive.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> net.parameters.grad[...] = [2.0, 4.0, 4.0]
    >>> ClipGlobalNorm(3.0)(net.parameters), net.parameters.grad
    (array([6.], dtype=float32), array([1., 2., 2.], dtype=float32))
    """

    recordable = True

    def __call__(self, parameters: Parameters) -> Array:
        """Clip ``parameters.grad``, and return its norm before clipping as an array of one number."""
        return _shrink(parameters.backend, self._found(parameters), self.limit, self._buffers)


class MaxNorm(_Term):
    """A limit on the norm of each unit's incoming weights, a column of a Dense layer's ``W``.

    ::

        w <- w limit / max(||w||, limit)

    Equal to Keras's ``max_norm(limit, axis=0)``, except that Keras adds 1e-7 to the norm in the denominator, which
    shrinks every column slightly at every step. Only the weight matrices of the group are constrained, not its biases.
    A column whose squares overflow (in float32, weights above 1e19) stays as it is: the run is about to diverge.

    Parameters
    ----------
    limit: positive; Srivastava et al. found 3 to 4 to work well with dropout.
    group: as in :meth:`optimlab.nn.parameters.Parameters.select`.

    Raises
    ------
    InputError: the limit is not positive; when called, the group is unknown or has no weight matrix.

    Reference: Srivastava et al. (2014), section 5.1.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 2], seed=0)
    >>> net.parameters["dense1.W"].data[...] = [[3.0, 0.3], [4.0, 0.4]]
    >>> MaxNorm(1.0)(net.parameters)
    >>> net.parameters["dense1.W"].data
    array([[0.6, 0.3],
           [0.8, 0.4]], dtype=float32)
    """

    role = "constraints"

    def __init__(self, limit: float, group: str = "weights") -> None:
        self.limit = number("the limit of MaxNorm", limit, positive=True)
        self.group = group

    def find(self, parameters: Parameters) -> list[Array]:
        members = [p for p in parameters.select(self.group) if len(p.shape) == 2]
        if not members:
            raise InputError(f"MaxNorm constrains weight matrices, but the group {self.group!r} has none")
        return [p.data for p in members if not p.frozen]

    recordable = True

    def __call__(self, parameters: Parameters) -> None:
        """Scale the weights down to the limit."""
        backend = parameters.backend
        for w in self._found(parameters):
            squares, norms = self._buffers.get("squares", w.shape), self._buffers.get("norms", w.shape[1:])
            backend.map(square, (w,), squares)
            backend.column_sums(squares, norms)
            backend.map(unit_factor, (norms,), norms, limit=self.limit)
            backend.map(product, (w, norms), w)


def unit_factor(squares: Array, *, limit: float) -> Array:
    """limit / max(norm, limit); 1 if the sum of squares is not finite, which would turn the weights into zeros."""
    return np.where(squares - squares == 0, limit / np.maximum(np.sqrt(squares), limit), 1)


def clipped(g: Array, *, limit: float) -> Array:
    return np.minimum(np.maximum(g, -limit), limit)


def relative_square(g: Array, top: Array) -> Array:
    """(g / top)^2, with the largest magnitude as ``top``; 0 if all entries are 0."""
    part = g / np.where(top > 0, top, 1)
    return part * part


def larger(x: Array, y: Array) -> Array:
    return np.maximum(x, y)


def norm(top: Array, squares: Array) -> Array:
    return top * np.sqrt(squares)


def factor(top: Array, squares: Array, *, limit: float) -> Array:
    """limit / norm, at most 1; 1 if top is not finite. The squares have a sum of at least 1, unless all are 0."""
    relative = np.maximum(np.sqrt(squares), 1)
    return np.where(top - top == 0, np.minimum(limit / np.where(top > 0, top, 1) / relative, 1), 1)


def _shrink(backend: Backend, parts: list[Array], limit: float, buffers: Buffers) -> Array:
    """Scale ``parts`` together down to a norm of at most ``limit``, and return the norm before.

    Squares are relative to the largest entry, because they would overflow before the norm does.
    """
    top, one, squares, length = (buffers.get(key, (1,)) for key in ("top", "one", "squares", "norm"))
    if not parts:
        return buffers.row("nothing", [0.0])
    for k, g in enumerate(parts):
        each = buffers.get("each", g.shape)
        backend.map(magnitude, (g,), each)
        backend.row_max(each.reshape(1, -1), (one if k else top).reshape(1, 1))
        if k:
            backend.map(larger, (top, one), top)
    for k, g in enumerate(parts):
        each = buffers.get("each", g.shape)
        backend.map(relative_square, (g, top), each)
        backend.column_sums(each, one if k else squares)
        if k:
            backend.map(total, (squares, one), squares)
    backend.map(norm, (top, squares), length)
    backend.map(factor, (top, squares), one, limit=limit)
    for g in parts:
        backend.map(product, (g, one), g)
    return length


def checked(role: str, given: Any, parameters: Parameters) -> tuple[Any, ...]:
    """Check penalties or constraints before anything is computed, and return them as a tuple."""
    if not isinstance(given, Sequence):
        raise InputError(f"{role} must be a list, got {given!r}")
    for term in given:
        if not callable(term) or isinstance(term, type):
            raise InputError(f"expected functions of net.parameters in {role}, got {term!r}")
        if isinstance(term, _Term):
            if term.role != role:
                raise InputError(f"{term!r} belongs in {term.role}, not in {role}")
            term.find(parameters)
    return tuple(given)


__all__ = ["L1", "L2", "Clip", "ClipGlobalNorm", "ClipNorm", "ClipValue", "Constraint", "MaxNorm", "Penalty", "checked"]
