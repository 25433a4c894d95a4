"""Activation functions: each a formula, with its derivative below it.

``f(x)`` is elementwise, on arrays of any shape. ``f_backward`` returns ``dL/dx = dL/dy f'(x)``. Its arguments are
those of ``x``, ``y = f(x)`` and ``dy = dL/dy`` that it needs. If the derivative follows from ``y``, ``x`` is not kept.
Keyword-only arguments are parameters. No formula gives NaN for a finite ``x``: if ``e^x`` overflows to infinity, the
result is the limit. At a kink, the derivative is the one from the left; the derivative of ReLU6 at 6 is 0.

:data:`ACTIVATIONS` holds each pair by name as an :class:`Activation`. You can also call it in lessons and plots::

    >>> gelu = get("gelu")
    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    >>> gelu.derivative(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.0833,  0.5   ,  1.0833])
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from .. import backends
from ..backends import Array
from ..common.errors import InputError, exact, lookup, number, unknown
from ..kernels import Graph, erf, graph_of
from .formulas import product

# --- formulas


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(y: Array, dy: Array) -> Array:
    return dy * y * (1 - y)


def identity(x: Array) -> Array:
    """x."""
    return x


def identity_backward(dy: Array) -> Array:
    return dy


def tanh(x: Array) -> Array:
    """tanh x."""
    return np.tanh(x)


def tanh_backward(y: Array, dy: Array) -> Array:
    return dy * (1 - y**2)


def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``.  Reference: Bergstra, Desjardins, Lamblin & Bengio (2009)."""
    return x / (1 + np.abs(x))


def softsign_backward(y: Array, dy: Array) -> Array:
    return dy * (1 - np.abs(y)) ** 2


def relu(x: Array) -> Array:
    """max(x, 0).  Reference: Nair & Hinton (2010)."""
    return np.maximum(x, 0)


def relu_backward(y: Array, dy: Array) -> Array:
    return np.where(y > 0, dy, 0)


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6).  Reference: Krizhevsky (2010)."""
    return np.minimum(np.maximum(x, 0), 6)


def relu6_backward(y: Array, dy: Array) -> Array:
    return np.where(y > 0, np.where(y < 6, dy, 0), 0)


def leaky_relu(x: Array, *, slope: float = 0.01) -> Array:
    """x where x > 0, else slope x, with 0 <= slope < 1.  Reference: Maas, Hannun & Ng (2013)."""
    return np.where(x > 0, x, slope * x)


def leaky_relu_backward(y: Array, dy: Array, *, slope: float = 0.01) -> Array:
    return np.where(y > 0, dy, slope * dy)


def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha (e^x - 1), with alpha > 0.  Reference: Clevert, Unterthiner & Hochreiter (2016)."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_backward(y: Array, dy: Array, *, alpha: float = 1.0) -> Array:
    return np.where(y > 0, dy, dy * (y + alpha))


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Constants for which mean 0 and variance 1 are a fixed point of a layer whose weights have variance 1 / inputs."""


def selu(x: Array) -> Array:
    """scale elu(x), with the constants that keep mean 0 and variance 1.

    Reference: Klambauer, Unterthiner, Mayr & Hochreiter (2017).
    """
    return SELU_SCALE * elu(x, alpha=SELU_ALPHA)


def selu_backward(y: Array, dy: Array) -> Array:
    return np.where(y > 0, SELU_SCALE * dy, dy * (y + SELU_SCALE * SELU_ALPHA))


def softplus(x: Array) -> Array:
    """ln(1 + e^x).  Reference: Dugas, Bengio, Bélisle, Nadeau & Garcia (2001)."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_backward(x: Array, dy: Array) -> Array:
    return dy * sigmoid(x)


def swish(x: Array) -> Array:
    """x sigmoid(x), also called SiLU.  Reference: Ramachandran, Zoph & Le (2017)."""
    return x * sigmoid(x)


def swish_backward(x: Array, y: Array, dy: Array) -> Array:
    s = sigmoid(x)
    return dy * (s + y * (1 - s))


def hard_swish(x: Array) -> Array:
    """x relu6(x + 3) / 6.  Reference: Howard et al. (2019)."""
    return x * (relu6(x + 3) / 6)


def hard_swish_backward(x: Array, dy: Array) -> Array:
    return np.where(x > -3, np.where(x > 3, dy, dy * (x / 3 + 0.5)), 0)


def mish(x: Array) -> Array:
    """x tanh(softplus(x)), with n = e^x equal to x (n^2 + 2 n) / (n^2 + 2 n + 2).  Reference: Misra (2019)."""
    n = np.exp(np.minimum(x, 20))  # above 20 the quotient rounds to 1
    q = n * (n + 2)
    return x * (q / (q + 2))


def mish_backward(x: Array, dy: Array) -> Array:
    n = np.exp(np.minimum(x, 20))
    q = n * (n + 2)
    p = q / (q + 2)  # tanh(softplus(x))
    return dy * (p + x * (1 - p**2) * (n / (n + 1)))


def gelu(x: Array) -> Array:
    """x P(x), with P the standard normal distribution function.  Reference: Hendrycks & Gimpel (2016)."""
    return x * (0.5 + 0.5 * erf(0.5**0.5 * x))


def gelu_backward(x: Array, dy: Array) -> Array:
    density = (2 * math.pi) ** -0.5 * np.exp(-0.5 * x**2)
    return dy * (0.5 + 0.5 * erf(0.5**0.5 * x) + x * density)


def gelu_tanh(x: Array) -> Array:
    """x (1 + tanh u) / 2 = x sigmoid(2 u), with u = sqrt(2/pi) (x + 0.044715 x^3): within 4.8e-4 of gelu.

    Reference: Hendrycks & Gimpel (2016).
    """
    square = np.minimum(x**2, 1e4)  # the sigmoid saturates before this
    return x * sigmoid((8 / math.pi) ** 0.5 * x * (1 + 0.044715 * square))


def gelu_tanh_backward(x: Array, y: Array, dy: Array) -> Array:
    square = np.minimum(x**2, 1e4)
    s = sigmoid((8 / math.pi) ** 0.5 * x * (1 + 0.044715 * square))
    return dy * (s + y * (1 - s) * ((8 / math.pi) ** 0.5 * (1 + 3 * 0.044715 * square)))


# softmax consists of elementwise parts, with row sums and row maxima of shape (batch, 1) between them


def exponential(x: Array, top: Array) -> Array:
    """e^(x - top), with the row's maximum as ``top``, so that it cannot overflow."""
    return np.exp(x - top)


def share(e: Array, total: Array) -> Array:
    """e / total, with the row's sum as ``total``."""
    return e / total


def softmax_slope(y: Array, dy: Array, total: Array) -> Array:
    """y (dy - total), with the row's sum of y dy as ``total``."""
    return y * (dy - total)


def softmax(x: Array) -> Array:
    """y_i = e^x_i / sum_j e^x_j over the last axis."""
    e = exponential(x, x.max(axis=-1, keepdims=True))
    return share(e, e.sum(axis=-1, keepdims=True))


def softmax_backward(y: Array, dy: Array) -> Array:
    """dx = y (dy - sum_j y_j dy_j)."""
    return softmax_slope(y, dy, product(y, dy).sum(axis=-1, keepdims=True))


# --- what they have in common

_RANGES: dict[Callable[..., Array], dict[str, dict[str, Any]]] = {
    leaky_relu: {"slope": {"low": 0, "below": 1}},
    elu: {"alpha": {"positive": True}},
}
"""Ranges of the parameters that have one."""


@dataclass(frozen=True, repr=False)
class Activation:
    """An activation function: ``forward(x, *, ...)`` and ``backward(x, y, dy, *, ...)``.

    ``backward`` takes those of ``x``, ``y``, ``dy`` that it needs. Both functions have the same parameters with the
    same defaults; ``parameters`` overrides defaults by ``(name, value)`` pairs. Both functions are traced, so that
    every backend can run them.

    Raises
    ------
    RuleError: a function is not elementwise; the message names the operation.
    InputError: a signature does not fit an activation, or a parameter is out of range.

    >>> def bump(x, *, width=1.0):
    ...     return np.exp(-((x / width) ** 2))
    >>> def bump_backward(x, y, dy, *, width=1.0):
    ...     return -2 * x / width**2 * y * dy
    >>> bell = Activation("bump", bump, bump_backward)
    >>> bell.given(width=2), bell(np.array([0.0, 1.0])).round(3)
    (bump(width=2), array([1.   , 0.368]))
    """

    name: str
    forward: Callable[..., Array]
    backward: Callable[..., Array]
    parameters: tuple[tuple[str, float], ...] = ()
    gives_probabilities: bool = False
    """True if the outputs are probabilities, so that no softmax should follow."""

    def __post_init__(self) -> None:
        arrays, defaults = _signature(self.name, self.forward)
        needs, others = _signature(self.name, self.backward)
        if arrays != ("x",):
            raise InputError(f"activation {self.name}: forward takes one array, x, got {', '.join(arrays) or 'none'}")
        if needs[-1:] != ("dy",) or needs != tuple(name for name in ("x", "y", "dy") if name in needs):
            got = ", ".join(needs) or "none"
            raise InputError(
                f"activation {self.name}: backward takes dy, preceded by x and y if it needs them, got {got}"
            )
        if others != defaults:
            both = " and ".join(f"({_listed(values)})" for values in (defaults, others))
            raise InputError(f"activation {self.name}: forward and backward have different parameters, {both}")
        given = dict(self.parameters)
        for name in given:
            if name not in defaults:
                raise unknown(f"parameter of {self.name}", name, defaults)
        ranges = _RANGES.get(self.forward, {})
        values = ((k, number(k, given.get(k, default), **ranges.get(k, {}))) for k, default in defaults.items())
        object.__setattr__(self, "parameters", tuple(values))
        for side, graph in zip(("forward", "backward"), self.graphs if self.elementwise else (), strict=False):
            if len(graph.outputs) > 1 or graph.outputs[0].op == "slot" or graph.outputs[0].is_mask:
                raise InputError(f"activation {self.name}: {side} must return one array of numbers")

    def given(self, **parameters: float) -> Activation:
        """Return the same activation with other parameters.

        >>> get("leaky_relu").given(slope=0.2)
        leaky_relu(slope=0.2)
        """
        return replace(self, parameters=tuple({**dict(self.parameters), **parameters}.items()))

    @property
    def elementwise(self) -> bool:
        """True if each output depends on one input only; false only for softmax."""
        return self.forward is not softmax

    @property
    def needs(self) -> tuple[str, ...]:
        """The names among ``x``, ``y`` and ``dy`` that the backward pass takes.

        >>> get("relu").needs, get("swish").needs
        (('y', 'dy'), ('x', 'y', 'dy'))
        """
        return _signature(self.name, self.backward)[0]

    @property
    def graphs(self) -> tuple[Graph, Graph]:
        """The expression graphs of ``forward`` and ``backward``."""
        return graph_of(self.forward), graph_of(self.backward)

    @property
    def kinks(self) -> tuple[float, ...]:
        """The points where the derivative jumps.

        >>> get("relu").kinks, get("elu").kinks, get("elu").given(alpha=0.5).kinks
        ((0.0,), (), (0.0,))
        """
        return _kinks(self) if self.elementwise else ()

    @property
    def switches(self) -> tuple[float, ...]:
        """The points where a comparison in the formula changes its answer: kinks, and joints of two smooth pieces.

        >>> get("softplus").switches, get("hard_swish").switches
        ((0.0,), (-3.0, 3.0))
        """
        return _switches(self) if self.elementwise else ()

    @property
    def has_kink(self) -> bool:
        """True if the derivative jumps anywhere."""
        return bool(self.kinks)

    def __call__(self, x: Array) -> Array:
        """Return ``f(x)`` for a floating array of any backend."""
        return _values(self, self.forward, x)

    def derivative(self, x: Array) -> Array:
        """Return ``f'(x)``, elementwise.

        Raises
        ------
        InputError: the activation is softmax, whose derivative is a matrix per row.
        """
        if not self.elementwise:
            raise InputError(f"{self.name} has no elementwise derivative; use backward")
        arrays = {"x": x, "y": self(x), "dy": backends.of(x).xp.ones_like(x)}
        return _values(self, self.backward, *(arrays[name] for name in self.needs))

    def __repr__(self) -> str:
        return f"{self.name}({_listed(dict(self.parameters))})" if self.parameters else self.name


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name}={exact(value)}" for name, value in values.items())


def _values(f: Activation, function: Callable[..., Array], *arrays: Array) -> Array:
    """Compute ``function``, one of the two functions of ``f``, into a new array."""
    b, first = backends.of(arrays[0]), arrays[0]
    if first.dtype.kind != "f":
        raise InputError(f"an activation takes floating-point numbers, got {first.dtype}")
    with b.quiet():
        if not f.elementwise:
            return function(*arrays)
        out = b.xp.empty_like(first, order="C")
        b.map(function, tuple(map(b.asarray, arrays)), out, **dict(f.parameters))
    return out


@cache
def _signature(name: str, function: Callable[..., Array]) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return the names of the arrays that a function takes, and its parameters with their defaults."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise InputError(f"activation {name}: {function!r} is not a Python function") from None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        raise InputError(f"activation {name}: name the arrays and parameters that a function takes, without * or **")
    arrays = tuple(p.name for p in given if p.kind is not p.KEYWORD_ONLY)
    parameters = {p.name: p.default for p in given if p.kind is p.KEYWORD_ONLY}
    for p, default in parameters.items():
        if default is inspect.Parameter.empty:
            raise InputError(f"activation {name}: the parameter {p} needs a default, such as {p}=1.0")
        number(f"activation {name}: the default of {p}", default)
    return arrays, parameters


@cache
def _kinks(f: Activation) -> tuple[float, ...]:
    h, switches = 1e-6, np.array(f.switches)
    values = [f(switches + k * h) for k in (-2, -1, 1, 2)]
    jumps = abs((values[3] - values[2]) - (values[1] - values[0])) / h
    return tuple(float(x) for x in switches[jumps > 100 * h])


@cache
def _switches(f: Activation) -> tuple[float, ...]:
    """Find the switches between -100 and 100."""
    graph = f.graphs[0]
    scalars = graph.scalars(t=1, **dict(f.parameters))
    switches = [n for n in graph.nodes if n.is_mask or n.op in ("maximum", "minimum", "absolute", "sign")]
    leaves = {n: scalars[n.value] for node in switches for n in node.args if n.op == "slot"}

    def sides(x: Array) -> list[Array]:
        """Compare the first operand of each switch with the second, or with zero."""
        with np.errstate(all="ignore"):
            values = {**graph.values({"x": x}, scalars), **leaves}
        operands = ([values[a] for a in n.args] for n in switches)
        return [np.broadcast_to(first > (second[0] if second else 0), x.shape) for first, *second in operands]

    found = []
    grid = np.linspace(-100.0, 100.0, 20001) + 1e-3 / math.pi  # avoids round numbers
    for k, side in enumerate(sides(grid)):
        for at in np.flatnonzero(np.diff(side)):
            low, high = grid[at], grid[at + 1]
            while high - low > 1e-10:
                middle = (low + high) / 2
                low, high = (middle, high) if sides(np.array([middle]))[k][0] == side[at] else (low, middle)
            found.append(round(float(high), 8) + 0.0)  # no negative zero
    return tuple(sorted({*found}))


_ELEMENTWISE: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "identity": (identity, identity_backward),
    "sigmoid": (sigmoid, sigmoid_backward),
    "tanh": (tanh, tanh_backward),
    "softsign": (softsign, softsign_backward),
    "relu": (relu, relu_backward),
    "relu6": (relu6, relu6_backward),
    "leaky_relu": (leaky_relu, leaky_relu_backward),
    "elu": (elu, elu_backward),
    "selu": (selu, selu_backward),
    "softplus": (softplus, softplus_backward),
    "swish": (swish, swish_backward),
    "hard_swish": (hard_swish, hard_swish_backward),
    "mish": (mish, mish_backward),
    "gelu": (gelu, gelu_backward),
    "gelu_tanh": (gelu_tanh, gelu_tanh_backward),
}

ACTIVATIONS: dict[str, Activation] = {
    **{name: Activation(name, *pair, gives_probabilities=name == "sigmoid") for name, pair in _ELEMENTWISE.items()},
    "softmax": Activation("softmax", softmax, softmax_backward, gives_probabilities=True),
}


def get(activation: str | Activation) -> Activation:
    """Return the activation with this name, or ``activation`` itself if it is an object.

    >>> get("leaky_relu")
    leaky_relu(slope=0.01)
    """
    if isinstance(activation, Activation):
        return activation
    return lookup("activation", activation, ACTIVATIONS)
