"""Functions of two variables to watch optimizers on, each with a hand-written gradient.

Functions and gradients take scalars or arrays of one shape. They consist of operations that
:func:`optimlab.kernels.trace_function` records, so that the playground's JavaScript can be generated from them. (They
use products, not powers: squaring a huge Python float with ``**`` raises an error, but a diverging path should reach
infinity.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.errors import lookup

Point = tuple[float, float]


@dataclass(frozen=True)
class Landscape:
    """A function of two variables, with its gradient and the setting of a race.

    Attributes
    ----------
    name, title: its name in programs, and its title for readers.
    value: ``value(x, y)``, the height.
    gradient: ``gradient(x, y)``, a pair.
    bounds: ``((x0, x1), (y0, y1))``, the region of interest.
    start: the start of a race.
    minima: the points of lowest height; empty if there are none.
    polynomial: True if it uses only sums and products, so that every engine computes the same bits.
    noise: standard deviation of the Gaussian noise that a race adds to each component of the gradient.
    reference: its source.
    """

    name: str
    title: str
    value: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], tuple[Any, Any]]
    bounds: tuple[Point, Point]
    start: Point
    minima: tuple[Point, ...]
    reference: str
    polynomial: bool = True
    noise: float = 0.0


def quadratic(x, y):
    """``(x^2 + 50 y^2) / 2``: fifty times steeper across than along."""
    return (x * x + 50 * y * y) / 2


def quadratic_gradient(x, y):
    return x, 50 * y


def rosenbrock(x, y):
    """``(1 - x)^2 + 100 (y - x^2)^2``: a bent valley, nearly flat along its floor."""
    a, b = 1 - x, y - x * x
    return a * a + 100 * b * b


def rosenbrock_gradient(x, y):
    b = y - x * x
    return -2 * (1 - x) - 400 * x * b, 200 * b


def beale(x, y):
    """``(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2``: a plateau with steep corners."""
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y * y, 2.625 - x + x * y * y * y
    return a * a + b * b + c * c


def beale_gradient(x, y):
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y * y, 2.625 - x + x * y * y * y
    return (
        2 * a * (y - 1) + 2 * b * (y * y - 1) + 2 * c * (y * y * y - 1),
        2 * a * x + 4 * b * x * y + 6 * c * x * y * y,
    )


def himmelblau(x, y):
    """``(x^2 + y - 11)^2 + (x + y^2 - 7)^2``: four minima, all of height 0."""
    a, b = x * x + y - 11, x + y * y - 7
    return a * a + b * b


def himmelblau_gradient(x, y):
    a, b = x * x + y - 11, x + y * y - 7
    return 4 * a * x + 2 * b, 2 * a + 4 * b * y


def rastrigin(x, y):
    """``20 + x^2 - 10 cos(2 pi x) + y^2 - 10 cos(2 pi y)``: a bowl full of local minima, one near each whole pair."""
    return 20 + x * x - 10 * np.cos(2 * math.pi * x) + y * y - 10 * np.cos(2 * math.pi * y)


def rastrigin_gradient(x, y):
    return (
        2 * x + 20 * math.pi * np.sin(2 * math.pi * x),
        2 * y + 20 * math.pi * np.sin(2 * math.pi * y),
    )


def styblinski_tang(x, y):
    """``(x^4 - 16 x^2 + 5 x + y^4 - 16 y^2 + 5 y) / 2``: four valleys, one of them deepest."""
    return (x * x * x * x - 16 * x * x + 5 * x + y * y * y * y - 16 * y * y + 5 * y) / 2


def styblinski_tang_gradient(x, y):
    return 2 * x * x * x - 16 * x + 2.5, 2 * y * y * y - 16 * y + 2.5


def saddle(x, y):
    """``(x^2 - y^2) / 2``: the gradient vanishes at the origin, which is not a minimum; there is none."""
    return (x * x - y * y) / 2


def saddle_gradient(x, y):
    return x, -y


def noisy_valley(x, y):
    """``(21 x^2 - 38 x y + 21 y^2) / 4``: a valley along the diagonal, twenty times steeper across than along.

    It equals ``(u^2 + 20 v^2) / 2`` with ``u = (x + y) / sqrt 2``, ``v = (x - y) / sqrt 2``.
    """
    return (21 * x * x + 21 * y * y - 38 * x * y) / 4


def noisy_valley_gradient(x, y):
    return (21 * x - 19 * y) / 2, (21 * y - 19 * x) / 2


FUNCTIONS: dict[str, Landscape] = {
    f.name: f
    for f in (
        Landscape(
            name="quadratic",
            title="Ill-conditioned valley",
            value=quadratic,
            gradient=quadratic_gradient,
            bounds=((-4.0, 4.0), (-3.0, 3.0)),
            start=(-3.5, 2.0),
            minima=((0.0, 0.0),),
            reference="Nocedal & Wright (2006), Numerical Optimization, section 3.3",
        ),
        Landscape(
            name="rosenbrock",
            title="Rosenbrock's bent valley",
            value=rosenbrock,
            gradient=rosenbrock_gradient,
            bounds=((-2.0, 2.0), (-1.0, 3.0)),
            start=(-1.2, 1.0),
            minima=((1.0, 1.0),),
            reference="Rosenbrock (1960), An automatic method for finding the greatest or least value of a function",
        ),
        Landscape(
            name="beale",
            title="Beale's plateau",
            value=beale,
            gradient=beale_gradient,
            bounds=((-4.5, 4.5), (-4.5, 4.5)),
            start=(1.0, 1.5),
            minima=((3.0, 0.5),),
            reference="Beale (1958), On an iterative method for finding a local minimum of a function",
        ),
        Landscape(
            name="himmelblau",
            title="Himmelblau's four minima",
            value=himmelblau,
            gradient=himmelblau_gradient,
            bounds=((-5.0, 5.0), (-5.0, 5.0)),
            start=(-0.5, -1.0),
            minima=(
                (3.0, 2.0),
                (-2.805118086952745, 3.131312518250573),
                (-3.779310253377747, -3.283185991286170),
                (3.584428340330492, -1.848126526964404),
            ),
            reference="Himmelblau (1972), Applied Nonlinear Programming",
        ),
        Landscape(
            name="rastrigin",
            title="Rastrigin's egg box",
            value=rastrigin,
            gradient=rastrigin_gradient,
            bounds=((-5.12, 5.12), (-5.12, 5.12)),
            start=(-3.3, 2.6),
            minima=((0.0, 0.0),),
            polynomial=False,
            reference="Rastrigin (1974), Systems of extremal control; this form: Mühlenbein et al. (1991)",
        ),
        Landscape(
            name="styblinski-tang",
            title="Styblinski-Tang's four valleys",
            value=styblinski_tang,
            gradient=styblinski_tang_gradient,
            bounds=((-5.0, 5.0), (-5.0, 5.0)),
            start=(0.5, 4.5),
            minima=((-2.903534027771177, -2.903534027771177),),
            reference="Styblinski & Tang (1990), Experiments in nonconvex optimization",
        ),
        Landscape(
            name="saddle",
            title="Saddle",
            value=saddle,
            gradient=saddle_gradient,
            bounds=((-2.0, 2.0), (-2.0, 2.0)),
            start=(-1.5, 0.01),
            minima=(),
            reference="Dauphin et al. (2014), Identifying and attacking the saddle point problem",
        ),
        Landscape(
            name="noisy-valley",
            title="Noisy diagonal valley",
            value=noisy_valley,
            gradient=noisy_valley_gradient,
            bounds=((-4.0, 4.0), (-4.0, 4.0)),
            start=(-3.5, -1.0),
            minima=((0.0, 0.0),),
            noise=2.0,
            reference="Bottou, Curtis & Nocedal (2018), Optimization methods for large-scale machine learning",
        ),
    )
}
"""All landscapes by name."""


def get(name: str) -> Landscape:
    """Return the landscape with this name.

    Raises
    ------
    InputError: the name is unknown; the message suggests the nearest.

    >>> valley = get("rosenbrock")
    >>> valley.value(1.0, 1.0), valley.gradient(0.0, 1.0)
    (0.0, (-2.0, 200.0))
    """
    return lookup("function", name, FUNCTIONS)
