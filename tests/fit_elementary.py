"""Fit the polynomials of ``llvm_functions.py`` and ``numpy_functions.py`` in optimlab/kernels.

``python tests/fit_elementary.py`` prints them. Each is a weighted least-squares fit, whose weights are raised where the
error is large (Lawson's iteration) until the error is nearly the same at all of its extremes. Function values come from
mpmath, with 40 digits.
"""

import mpmath
import numpy as np
from numpy.polynomial import Chebyshev, Polynomial


def fit(function, lower, upper, degree, weight, nodes=400, rounds=40):
    """Return the coefficients, constant first, and the largest ``weight * |error|`` over the nodes.

    ``function`` and ``weight`` take one number of mpmath.
    """
    t = -np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes)
    x = [mpmath.mpf(lower) + (mpmath.mpf(upper) - lower) * (mpmath.mpf(float(k)) + 1) / 2 for k in t]
    values = np.array([float(function(k)) for k in x])
    scale = np.array([float(weight(k)) for k in x])
    basis = np.polynomial.chebyshev.chebvander(t, degree)
    importance = np.ones(nodes)
    best = np.inf, np.zeros(degree + 1)
    for _ in range(rounds):
        row = importance * scale
        found = np.linalg.lstsq(basis * row[:, None], values * row, rcond=None)[0]
        error = np.abs(basis @ found - values) * scale
        if error.max() < best[0]:
            best = error.max(), found
        importance *= np.sqrt(0.1 + error / error.max())
        importance /= importance.max()
    coefficients = Chebyshev(best[1], domain=[float(lower), float(upper)]).convert(kind=Polynomial).coef
    return coefficients, best[0]


def cases():
    """Yield the name of each polynomial, its function, interval, degree, and the weight of its error in the result."""
    mpmath.mp.dps = 40
    tiny = mpmath.mpf(10) ** -9
    half = mpmath.log(2) / 2 * (1 + mpmath.mpf(2) ** -10)
    root = mpmath.sqrt(2)

    def exp_rest(r):
        return (mpmath.expm1(r) - r) / r**2

    def log_rest(f):
        return (mpmath.log1p(f) - f + f * f / 2) / f**3

    def tanh_rest(z):
        return (mpmath.tanh(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z

    def erf_rest(z):
        return mpmath.erf(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1

    def erfc_root(t):
        return mpmath.erfc(mpmath.mpf(9) / 8 + t) ** (mpmath.mpf(1) / 4)

    def stretched(x):  # u with erf(x) = u / sqrt(pi / 4 + u^2): it begins as x, and has no limit
        complement = mpmath.erfc(x)
        return mpmath.sqrt(mpmath.pi / 4) * mpmath.erf(x) / mpmath.sqrt(complement * (2 - complement))

    def stretched_rest(z):
        return (stretched(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z

    def stretched_weight(z):
        x = mpmath.sqrt(z)
        return z * x / stretched(x) * mpmath.erfc(x) * (2 - mpmath.erfc(x))

    yield "EXPM1", exp_rest, -half, half, 4, lambda r: r * r / abs(mpmath.expm1(r))
    yield "LOG1P", log_rest, 1 / root - 1, root - 1, 7, lambda f: abs(f**3 / mpmath.log1p(f))
    yield "TANH", tanh_rest, tiny, mpmath.mpf(0.5625) ** 2, 4, lambda z: z
    yield "ERF", erf_rest, tiny, mpmath.mpf(9 / 8) ** 2, 6, lambda z: 1
    yield "ERFC_ROOT", erfc_root, 0, 2.9375, 7, lambda t: 4 * erfc_root(t) ** 3
    yield "STRETCHED", stretched_rest, tiny, 16, 7, stretched_weight


def show(name, coefficients):
    """Print a row of coefficients, rounded to float32, as the source has it."""
    digits = (np.format_float_positional(np.float32(c), unique=True, trim="0") for c in coefficients)
    print(f"{name} = ({', '.join(digits)})")


if __name__ == "__main__":
    for name, *case in cases():
        coefficients, error = fit(*case)
        show(name, coefficients)
        print(f"    error {error * 2**24:.3f} units of 2^-24")
