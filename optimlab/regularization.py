"""Penalties on the weights, limits on the gradients, constraints on the weights.

Each is called with ``net.parameters`` and works in place on the flat buffers; :func:`optimlab.fit` takes them as
``penalties=``, ``clip=`` and ``constraints=`` and calls them in this order, the one of Keras::

    backward -> penalties -> clip -> update -> constraints

A function of your own is as good: a penalty adds its gradient to ``parameters.grad`` and returns its value; what the
others return is not looked at. All those here leave frozen parameters out, as Keras does.

By hand, the same:

>>> import optimlab as ol
>>> net = ol.MLP([2, 1], use_bias=False, seed=0)
>>> net.parameters.data[...], net.parameters.grad[...] = [3.0, -4.0], 0.0
>>> L2(0.1)(net.parameters), net.parameters.grad
(1.25, array([ 0.3, -0.4], dtype=float32))
>>> ClipGlobalNorm(0.25)(net.parameters), net.parameters.grad
(0.5, array([ 0.15, -0.2 ], dtype=float32))
>>> MaxNorm(1.0)(net.parameters)
>>> net.parameters.data
array([ 0.6, -0.8], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

from .backends import Array, Backend
from .errors import InputError, number
from .parameters import Parameters, stretches

Penalty: TypeAlias = Callable[[Parameters], float]
Clip: TypeAlias = Callable[[Parameters], Any]
Constraint: TypeAlias = Callable[[Parameters], Any]


class _Term:
    """What the classes below share: the arrays they work on, looked up once per ``parameters.version``."""

    role: ClassVar[str]
    """The argument of ``fit`` it is for."""
    has_kink: ClassVar[bool] = False
    """Whether a penalty has no derivative where a weight is zero: a gradient check keeps away from there."""
    _seen: tuple[Any, int] = (None, -1)
    _arrays: Any = None

    def find(self, parameters: Parameters) -> Any:
        """The arrays to work on.

        Raises
        ------
        InputError: there is no such group.
        """
        raise NotImplementedError

    def _found(self, parameters: Parameters) -> Any:
        if self._seen != (parameters, parameters.version):
            self._arrays = self.find(parameters)
            self._seen = (parameters, parameters.version)
        return self._arrays

    def __getstate__(self) -> dict[str, Any]:
        """A copy finds its own arrays."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__getstate__().items())})"


class _Stretch(NamedTuple):
    """One slice of the flat buffers, and an array of its length to work in."""

    w: Array
    g: Array
    tmp: Array


class _Penalty(_Term):
    role = "penalties"

    def __init__(self, rate: float, group: str = "weights") -> None:
        self.rate = number(f"the rate of {type(self).__name__}", rate, low=0)
        self.group = group

    def find(self, parameters: Parameters) -> list[_Stretch]:
        parts = stretches(parameters.select(self.group))
        # one array for all: they are worked on one after the other
        tmp = parameters.backend.empty(max((s.stop - s.start for s in parts), default=0), parameters.dtype)
        return [_Stretch(parameters.data[s], parameters.grad[s], tmp[: s.stop - s.start]) for s in parts]


class L2(_Penalty):
    """The penalty ``rate / 2 * sum w^2``, of gradient ``rate * w``.

    The half makes it PyTorch's: ``L2(rate)`` with a rule is that rule with ``weight_decay=rate`` in PyTorch's SGD,
    Adam, RMSprop and others that add ``weight_decay * w`` to the gradient (AdamW does not: it shrinks the weights
    apart from the gradient). Two things differ: PyTorch's acts on all parameters it is given, biases included, and
    inside the optimizer, after clipping. Keras's ``regularizers.L2(l2)`` is ``l2 * sum w^2``, without the half:
    ``L2(2 * l2)`` here.

    Parameters
    ----------
    rate: at least 0.
    group: as in :meth:`optimlab.parameters.Parameters.select`.

    Raises
    ------
    InputError: a negative rate; when called, an unknown group.

    Reference: Hoerl & Kennard (1970); Krogh & Hertz (1992).

    >>> L2(1e-4)
    L2(rate=0.0001, group='weights')
    """

    def __call__(self, parameters: Parameters) -> float:
        """Add the gradient to ``parameters.grad``; the value of the penalty."""
        backend, total = parameters.backend, 0.0
        for w, g, tmp in self._found(parameters):
            total += backend.dot(w, w)
            backend.xp.multiply(w, self.rate, out=tmp)
            g += tmp
        return self.rate / 2 * total


class L1(_Penalty):
    """The penalty ``rate * sum |w|``, of gradient ``rate * sign(w)``, which is 0 at 0.

    Equal to Keras's ``regularizers.L1(rate)`` and to ``rate * w.abs().sum()`` in PyTorch.

    Parameters
    ----------
    rate: at least 0.
    group: as in :meth:`optimlab.parameters.Parameters.select`.

    Raises
    ------
    InputError: a negative rate; when called, an unknown group.

    Reference: Tibshirani (1996).

    >>> import optimlab as ol
    >>> net = ol.MLP([3, 1], seed=0)
    >>> net.parameters["dense1.W"].data[...] = [[2.0], [0.0], [-1.0]]
    >>> L1(0.5, "dense1.W")(net.parameters), net.parameters.grad
    (1.5, array([ 0.5,  0. , -0.5,  0. ], dtype=float32))
    """

    has_kink = True

    def __call__(self, parameters: Parameters) -> float:
        """Add the gradient to ``parameters.grad``; the value of the penalty."""
        backend, total = parameters.backend, 0.0
        for w, g, tmp in self._found(parameters):
            backend.xp.sign(w, out=tmp)
            total += backend.dot(w, tmp)
            tmp *= self.rate
            g += tmp
        return self.rate * total


class _Clip(_Term):
    role = "clip"

    def __init__(self, limit: float) -> None:
        self.limit = number(f"the limit of {type(self).__name__}", limit, positive=True)

    def find(self, parameters: Parameters) -> list[Array]:
        return [parameters.grad[s] for s in stretches(list(parameters))]


class ClipValue(_Clip):
    """Every entry of the gradient brought into [-limit, limit].

    Equal to PyTorch's ``clip_grad_value_`` and Keras's ``clipvalue``. It may change the gradient's direction.

    Raises
    ------
    InputError: a limit that is not positive.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> net.parameters.grad[...] = [-5.0, 0.5, 2.0]
    >>> ClipValue(1.0)(net.parameters)
    >>> net.parameters.grad
    array([-1. ,  0.5,  1. ], dtype=float32)
    """

    def __call__(self, parameters: Parameters) -> None:
        """Clip ``parameters.grad``."""
        for g in self._found(parameters):
            parameters.backend.xp.clip(g, -self.limit, self.limit, out=g)


class ClipNorm(_Clip):
    """The gradient of each parameter tensor by itself scaled down to a norm of at most ``limit``::

        g <- g limit / max(||g||, limit)

    Equal to Keras's ``clipnorm``, and to PyTorch's ``clip_grad_norm_`` called for one parameter at a time, but for
    PyTorch's scale ``limit / (||g|| + 1e-6)``, which leaves a norm smaller than ``limit`` by one part in
    ``1e6 ||g||``, and shrinks gradients that reach ``limit`` but for those 1e-6 too. Here a gradient within the limit
    stays as it is, bit for bit. One that holds NaN or infinity is left alone: no scale would mend it.

    Raises
    ------
    InputError: a limit that is not positive.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> net.parameters.grad[...] = [3.0, 4.0, 0.5]
    >>> ClipNorm(1.0)(net.parameters)
    >>> net.parameters.grad
    array([0.6, 0.8, 0.5], dtype=float32)
    """

    def find(self, parameters: Parameters) -> list[Array]:
        return [parameters.grad[p.start : p.stop] for p in parameters if not p.frozen]

    def __call__(self, parameters: Parameters) -> None:
        """Clip ``parameters.grad``."""
        for g in self._found(parameters):
            _shrink(parameters.backend, [g], self.limit)


class ClipGlobalNorm(_Clip):
    """The gradient of all parameters together scaled down to a norm of at most ``limit``, its direction kept.

    Equal to Keras's ``global_clipnorm``, and to PyTorch's ``clip_grad_norm_`` but for the 1e-6 described at
    :class:`ClipNorm`. A gradient that holds NaN or infinity is left alone (PyTorch and Keras make more of it NaN).

    Reference: Pascanu, Mikolov & Bengio (2013), Algorithm 1.

    Raises
    ------
    InputError: a limit that is not positive.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> net.parameters.grad[...] = [2.0, 4.0, 4.0]
    >>> ClipGlobalNorm(3.0)(net.parameters), net.parameters.grad
    (6.0, array([1., 2., 2.], dtype=float32))
    """

    def __call__(self, parameters: Parameters) -> float:
        """Clip ``parameters.grad``; its norm before."""
        return _shrink(parameters.backend, self._found(parameters), self.limit)


class MaxNorm(_Term):
    """Each unit's incoming weights, a column of a Dense layer's ``W``, scaled down to a norm of at most ``limit``::

        w <- w limit / max(||w||, limit)

    Keras's ``max_norm(limit, axis=0)``, without the 1e-7 that Keras adds to the norm it divides by, which shrinks
    every column a little at every step. Of a group, the weight matrices alone are looked at: not the biases.

    Parameters
    ----------
    limit: positive; Srivastava et al. found 3 to 4 to serve well with dropout.
    group: as in :meth:`optimlab.parameters.Parameters.select`.

    Raises
    ------
    InputError: a limit that is not positive; when called, an unknown group or one without a weight matrix.

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
            raise InputError(f"MaxNorm is for weight matrices, the group {self.group!r} has none")
        return [p.data.T for p in members if not p.frozen]  # in memory, one unit's weights after the other's

    def __call__(self, parameters: Parameters) -> None:
        """Bring the weights within the limit."""
        xp = parameters.backend.xp
        for units in self._found(parameters):
            norms = xp.sqrt(xp.einsum("ij,ij->i", units, units))
            units *= (self.limit / xp.maximum(norms, self.limit))[:, None]


def _shrink(backend: Backend, parts: list[Array], limit: float) -> float:
    """Scale ``parts``, taken together, down to a norm of at most ``limit``; the norm before."""
    if backend.asynchronous and parts:
        unseen: float = _shrink_unseen(backend, parts, limit)
        return unseen
    largest, norm = 1.0, _norm(backend, parts)
    if norm == math.inf:
        # the squares overflow before the norm does
        largest = max(max(float(g.max()), -float(g.min())) for g in parts)
        if not math.isfinite(largest):
            return norm
        for g in parts:
            g /= largest
        norm = _norm(backend, parts)
    if norm * largest > limit:
        for g in parts:
            g *= limit / norm
    elif largest != 1:
        for g in parts:
            g *= largest
    return norm * largest


def _norm(backend: Backend, parts: list[Array]) -> float:
    return math.sqrt(sum(backend.dot(g, g) for g in parts))


def _shrink_unseen(backend: Backend, parts: list[Array], limit: float) -> Any:
    """The same without a look at the norm, for which a device would be waited for. Its squares are float64: those of
    float32 do not overflow; of gradients in float64 beyond 1e154 the norm is infinite, and they are left alone."""
    xp = backend.xp
    norm = xp.sqrt(sum(backend.dot(g, g) for g in parts))
    factor = xp.where(xp.isfinite(norm), limit / xp.maximum(norm, limit), 1.0)
    for g in parts:
        g *= factor.astype(g.dtype)
    return norm


def checked(role: str, given: Any, parameters: Parameters) -> tuple[Any, ...]:
    """The penalties, or constraints, as a tuple, or one clear error before anything is computed."""
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
