"""Activation functions, each with its derivative beside it.

``forward`` writes ``f(x)`` to ``out``; ``backward`` writes ``dL/dx = dL/dy f'(x)`` to ``out``, given ``x``,
``y = f(x)`` and ``dy = dL/dy``. ``tmp`` holds ``scratch`` arrays of the same shape to work in. All are elementwise,
except softmax, and shaped ``(..., features)``. None overflows for any finite x.

An activation is also a function of its own, for lessons and plots::

    >>> gelu = get("gelu")
    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    >>> gelu.derivative(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.0833,  0.5   ,  1.0833])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from . import backends
from .backends import Array, Backend
from .errors import InputError, lookup, number


class Activation:
    """What all activations share. Subclasses write ``forward`` and ``backward``."""

    scratch: ClassVar[int] = 0
    elementwise: ClassVar[bool] = True
    gives_probabilities: ClassVar[bool] = False
    """True if the outputs are probabilities, so that no softmax should follow."""

    @property
    def has_kink(self) -> bool:
        """Whether the derivative jumps at zero."""
        return False

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        raise NotImplementedError

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        raise NotImplementedError

    def __call__(self, x: Array) -> Array:
        """``f(x)`` for a floating array of any backend."""
        b = backends.of(x)
        if x.dtype.kind != "f":
            raise InputError(f"an activation takes floating-point numbers, got {x.dtype}")
        out = b.xp.empty_like(x)
        self.forward(b, x, out, [b.xp.empty_like(x) for _ in range(self.scratch)])
        return out

    def derivative(self, x: Array) -> Array:
        """``f'(x)``, elementwise.

        Raises
        ------
        InputError: for softmax, whose derivative is a matrix per row.
        """
        if not self.elementwise:
            raise InputError(f"{type(self).__name__} has no elementwise derivative; use backward")
        b, y = backends.of(x), self(x)
        out = b.xp.empty_like(x)
        self.backward(b, x, y, b.xp.ones_like(x), out, [b.xp.empty_like(x) for _ in range(self.scratch)])
        return out


@dataclass(frozen=True)
class Identity(Activation):
    """y = x."""

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        out[...] = x

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        out[...] = dy


@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1 / (1 + e^-x);  y' = y (1 - y)."""

    gives_probabilities = True

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        b.special.expit(x, out=out)

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.subtract(1, y, out=out)
        out *= y
        out *= dy


@dataclass(frozen=True)
class Tanh(Activation):
    """y = tanh x;  y' = 1 - y^2."""

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.tanh(x, out=out)

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.multiply(y, y, out=out)
        b.xp.subtract(1, out, out=out)
        out *= dy


@dataclass(frozen=True)
class ReLU(Activation):
    """y = max(x, 0);  y' = 1 where x > 0, else 0 (0 at the kink)."""

    @property
    def has_kink(self) -> bool:
        return True

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.maximum(x, 0, out=out)

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.greater(x, 0, out=out)
        out *= dy


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """y = x where x > 0, else slope x;  y' = 1 or slope (slope at the kink). 0 <= slope < 1.

    Reference: Maas, Hannun & Ng (2013).
    """

    slope: float = 0.01

    @property
    def has_kink(self) -> bool:
        return True

    def __post_init__(self) -> None:
        number("slope", self.slope, low=0, below=1)

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.multiply(x, self.slope, out=out)
        b.xp.maximum(x, out, out=out)

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.greater(x, 0, out=out)
        out *= 1 - self.slope
        out += self.slope
        out *= dy


@dataclass(frozen=True)
class ELU(Activation):
    """y = x where x > 0, else alpha (e^x - 1);  y' = 1 or alpha e^x.

    Reference: Clevert, Unterthiner & Hochreiter (2016).
    """

    alpha: float = 1.0
    scratch = 1

    def __post_init__(self) -> None:
        number("alpha", self.alpha, positive=True)

    @property
    def has_kink(self) -> bool:
        return self.alpha != 1

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        (negative,) = tmp
        b.xp.minimum(x, 0, out=negative)
        b.xp.expm1(negative, out=negative)
        negative *= self.alpha
        b.xp.maximum(x, 0, out=out)
        out += negative

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        (factor,) = tmp
        b.xp.less_equal(x, 0, out=factor)
        factor *= self.alpha - 1
        factor += 1  # alpha where x <= 0, else 1
        b.xp.minimum(x, 0, out=out)
        b.xp.exp(out, out=out)  # 1 where x >= 0
        out *= factor
        out *= dy


@dataclass(frozen=True)
class GELU(Activation):
    """y = x P(x), P the standard normal distribution function;  y' = P(x) + x p(x), p its density.

    With ``approximate=True``, y = x (1 + tanh u) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3), which differs from
    the exact form by at most 4.7e-4;  y' = (1 + tanh u) / 2 + x (1 - tanh^2 u) / 2 du/dx.

    Reference: Hendrycks & Gimpel (2016).
    """

    approximate: bool = False
    scratch = 2

    _C: ClassVar[float] = (2 / np.pi) ** 0.5
    _K: ClassVar[float] = 0.044715
    _FAR: ClassVar[float] = 40.0
    """Beyond it p(x) is 0, and tanh u is 1, in either dtype; squares and cubes are taken short of it."""

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        if self.approximate:
            near, square = tmp
            self._tanh_u(b, x, out, near, square)
            out += 1
            out *= 0.5
        else:
            b.special.ndtr(x, out=out)
        out *= x

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        near, square = tmp
        if self.approximate:
            # with v = tanh u, y' = (1 + v)/2 (1 + (1 - v) x du/dx)
            self._tanh_u(b, x, out, near, square)
            square *= 3 * self._K
            square += 1
            near *= square
            near *= self._C  # x du/dx
            b.xp.subtract(1, out, out=square)
            near *= square
            near += 1
            out += 1
            out *= 0.5
            out *= near
        else:
            b.xp.clip(x, -self._FAR, self._FAR, out=near)
            b.xp.multiply(near, near, out=square)
            square *= -0.5
            b.xp.exp(square, out=square)
            square *= (2 * np.pi) ** -0.5
            near *= square
            b.special.ndtr(x, out=out)
            out += near
        out *= dy

    def _tanh_u(self, b: Backend, x: Array, out: Array, near: Array, square: Array) -> None:
        b.xp.clip(x, -self._FAR, self._FAR, out=near)
        b.xp.multiply(near, near, out=square)
        b.xp.multiply(square, self._K, out=out)
        out += 1
        out *= near
        out *= self._C
        b.xp.tanh(out, out=out)


@dataclass(frozen=True)
class Swish(Activation):
    """y = x sigmoid(x), also called SiLU;  y' = sigmoid(x) (1 + x (1 - sigmoid(x))).

    Reference: Ramachandran, Zoph & Le (2017).
    """

    scratch = 1

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        b.special.expit(x, out=out)
        out *= x

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        (other,) = tmp
        b.xp.negative(x, out=other)
        b.special.expit(other, out=out)  # 1 - sigmoid(x)
        out *= x
        out += 1
        b.special.expit(x, out=other)
        out *= other
        out *= dy


@dataclass(frozen=True)
class Softplus(Activation):
    """y = ln(1 + e^x);  y' = sigmoid(x)."""

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.logaddexp(x, 0, out=out)

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        b.special.expit(x, out=out)
        out *= dy


@dataclass(frozen=True)
class Mish(Activation):
    """y = x tanh(softplus(x));  with n = tanh(softplus(x)), y' = n + x (1 - n^2) sigmoid(x).

    Reference: Misra (2019).
    """

    scratch = 2

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.logaddexp(x, 0, out=out)
        b.xp.tanh(out, out=out)
        out *= x

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        n, sigmoid = tmp
        b.xp.logaddexp(x, 0, out=n)
        b.xp.tanh(n, out=n)
        b.special.expit(x, out=sigmoid)
        b.xp.multiply(n, n, out=out)
        b.xp.subtract(1, out, out=out)
        out *= sigmoid
        out *= x
        out += n
        out *= dy


@dataclass(frozen=True)
class Softmax(Activation):
    """y_i = e^x_i / sum_j e^x_j over the last axis;  dL/dx = y (dy - sum_j dy_j y_j).

    The row's maximum is subtracted first: e^x overflows in float32 from x = 89 on.
    """

    elementwise = False
    gives_probabilities = True

    def forward(self, b: Backend, x: Array, out: Array, tmp: list[Array]) -> None:
        with b.quiet():  # the difference of two huge numbers may overflow to -inf, whose e^x is 0
            b.xp.subtract(x, x.max(axis=-1, keepdims=True), out=out)
        b.xp.exp(out, out=out)
        out /= out.sum(axis=-1, keepdims=True)

    def backward(self, b: Backend, x: Array, y: Array, dy: Array, out: Array, tmp: list[Array]) -> None:
        b.xp.multiply(dy, y, out=out)
        total = out.sum(axis=-1, keepdims=True)
        b.xp.subtract(dy, total, out=out)
        out *= y


ACTIVATIONS: dict[str, Activation] = {
    "identity": Identity(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "elu": ELU(),
    "gelu": GELU(),
    "gelu_tanh": GELU(approximate=True),
    "swish": Swish(),
    "softplus": Softplus(),
    "mish": Mish(),
    "softmax": Softmax(),
}


def get(activation: str | Activation) -> Activation:
    """The activation of that name, or the object itself.

    >>> get("leaky_relu")
    LeakyReLU(slope=0.01)
    """
    if isinstance(activation, Activation):
        return activation
    return lookup("activation", activation, ACTIVATIONS)
