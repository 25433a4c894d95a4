"""Initial weights and biases.

A NumPy generator draws them in float64. So a seed gives the same weights on every backend and, up to rounding, in
every dtype. An initializer is any function of ``(generator, shape)`` with ``shape = (inputs, outputs)``. For weights it
returns an array of this shape, for biases one of shape ``(outputs,)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..common.errors import lookup, number, unknown

Initializer: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


class Independent:
    """The base of initializers that draw all weights of a layer from one distribution; it can draw biases, too."""

    def __call__(self, generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        return self._draw(generator, shape, shape)

    def biases(self, generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Draw the biases of a layer whose weights have this ``shape``, from the distribution of these weights.

        Each bias is drawn as if it were one more weight of its unit. PyTorch and scikit-learn do the same.

        >>> b = INITIALIZERS["glorot_uniform"].biases(np.random.default_rng(0), (200, 100))
        >>> b.shape, bool(abs(b).max() <= (6 / 300) ** 0.5)
        ((100,), True)
        """
        return self._draw(generator, shape, shape[1:])

    def _draw(
        self, generator: np.random.Generator, layer: tuple[int, int], size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Draw an array of this ``size`` from the distribution of the weights of a ``layer``."""
        raise NotImplementedError


@dataclass(frozen=True)
class VarianceScaling(Independent):
    """Random weights with mean 0 and variance ``scale / n``.

    ``n`` is the number of inputs (``mode="fan_in"``), of outputs (``"fan_out"``) or their mean (``"fan_avg"``).
    ``distribution`` is ``"normal"``, ``"uniform"`` (on +-sqrt(3 scale / n), as a uniform on +-r has variance r^2/3) or
    ``"truncated"`` (a normal cut at two standard deviations and widened to the stated variance).

    =========  =====  ===========  ==========================================
    name       scale  mode         reference
    =========  =====  ===========  ==========================================
    glorot     1      ``fan_avg``  Glorot & Bengio (2010), equations 12 and 16
    he         2      ``fan_in``   He et al. (2015), equation 10
    lecun      1      ``fan_in``   LeCun et al. (1998), section 4.6
    torch      1/3    ``fan_in``   PyTorch's default: uniform on +-1 / sqrt(n)
    =========  =====  ===========  ==========================================

    >>> generator = np.random.default_rng(0)
    >>> w = VarianceScaling(2.0, "fan_in", "uniform")(generator, (300, 100))
    >>> bool(abs(w).max() <= (6 / 300) ** 0.5), round(float(w.var() * 300), 1)
    (True, 2.0)
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"

    def __post_init__(self) -> None:
        number("scale", self.scale, positive=True)
        for kind, value, known in (
            ("mode", self.mode, ("fan_in", "fan_out", "fan_avg")),
            ("distribution", self.distribution, ("normal", "truncated", "uniform")),
        ):
            if value not in known:
                raise unknown(kind, value, known)

    def _draw(
        self, generator: np.random.Generator, layer: tuple[int, int], size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        inputs, outputs = layer
        n = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[self.mode]
        sigma = (self.scale / n) ** 0.5
        if self.distribution == "uniform":
            return generator.uniform(-(3**0.5) * sigma, 3**0.5 * sigma, size)
        if self.distribution == "truncated":
            return _truncated_normal(generator, sigma, size)
        return generator.normal(0.0, sigma, size)


def _truncated_normal(
    generator: np.random.Generator, sigma: float, size: tuple[int, ...], cut: float = 2.0
) -> NDArray[np.float64]:
    """Draw from a normal cut at ``cut`` deviations, with standard deviation ``sigma`` after the cut.

    The normal distribution function is inverted between -cut and cut.
    """
    from scipy.special import ndtr, ndtri

    low, high = ndtr(-cut), ndtr(cut)
    density = np.exp(-(cut**2) / 2) / np.sqrt(2 * np.pi)
    variance = 1 - 2 * cut * density / (high - low)  # variance of a standard normal cut at +-cut
    values: NDArray[np.float64] = ndtri(generator.uniform(low, high, size))
    return values * (sigma / float(np.sqrt(variance)))


@dataclass(frozen=True)
class Orthogonal:
    """A random matrix with orthonormal rows or columns (whichever are fewer), times ``gain``.

    Reference: Saxe, McClelland & Ganguli (2014); uniform over such matrices after Mezzadri (2007).

    >>> w = Orthogonal()(np.random.default_rng(0), (5, 3))
    >>> np.allclose(w.T @ w, np.eye(3))
    True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        number("gain", self.gain)

    def __call__(self, generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        rows, columns = shape
        q, r = np.linalg.qr(generator.normal(size=(max(shape), min(shape))))
        q *= np.sign(np.diag(r))  # without this, QR's sign convention would bias the signs
        return self.gain * (q if rows >= columns else q.T)


@dataclass(frozen=True)
class Uniform(Independent):
    """Independent weights, uniform between -limit and limit.

    >>> bool(abs(Uniform(0.5)(np.random.default_rng(0), (100, 10))).max() <= 0.5)
    True
    """

    limit: float

    def __post_init__(self) -> None:
        number("limit", self.limit, low=0)

    def _draw(
        self, generator: np.random.Generator, layer: tuple[int, int], size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        return generator.uniform(-self.limit, self.limit, size)


@dataclass(frozen=True)
class Constant(Independent):
    """The same ``value`` for every weight.

    >>> Constant(0.5)(np.random.default_rng(0), (1, 2))
    array([[0.5, 0.5]])
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        number("value", self.value)

    def _draw(
        self, generator: np.random.Generator, layer: tuple[int, int], size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        return np.full(size, float(self.value))


INITIALIZERS: dict[str, Initializer] = {
    f"{name}_{distribution}": VarianceScaling(scale, mode, distribution)
    for name, scale, mode in (("glorot", 1.0, "fan_avg"), ("he", 2.0, "fan_in"), ("lecun", 1.0, "fan_in"))
    for distribution in ("normal", "truncated", "uniform")
}
INITIALIZERS["torch_uniform"] = VarianceScaling(1 / 3, "fan_in", "uniform")
INITIALIZERS |= {"orthogonal": Orthogonal(), "zeros": Constant(0.0), "ones": Constant(1.0)}

BIASES: dict[str, Initializer] = {
    name: initializer.biases for name, initializer in INITIALIZERS.items() if isinstance(initializer, Independent)
}
"""The initializers of biases, by name."""


def get(initializer: str | Initializer) -> Initializer:
    """Return the initializer with this name, or ``initializer`` itself if it is a function.

    >>> get("he_uniform")
    VarianceScaling(scale=2.0, mode='fan_in', distribution='uniform')
    """
    if callable(initializer):
        return initializer
    return lookup("initializer", initializer, INITIALIZERS)


def get_biases(initializer: str | Initializer) -> Initializer:
    """Return the function that draws biases for a name, for an :class:`Independent`, or for a function.

    A function is returned as it is.

    >>> get_biases("ones")(np.random.default_rng(0), (2, 3))
    array([1., 1., 1.])
    """
    if isinstance(initializer, Independent):
        return initializer.biases
    return initializer if callable(initializer) else lookup("initializer of biases", initializer, BIASES)
