"""The landscapes: gradients against complex steps of the value, minima against SciPy and against a grid."""

import numpy as np
import pytest
from scipy.optimize import minimize

from optimlab.common.errors import InputError
from optimlab.race import FUNCTIONS, get


def places(f, n=200):
    (x0, x1), (y0, y1) = f.bounds
    rng = np.random.default_rng(0)
    return rng.uniform(x0, x1, n), rng.uniform(y0, y1, n)


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_gradient_is_the_complex_step(f):
    x, y = places(f)
    h = 1e-30
    gx, gy = f.gradient(x, y)
    scale = 1 + np.abs(f.value(x, y))
    assert np.max(np.abs(gx - f.value(x + 1j * h, y).imag / h) / scale) < 1e-12
    assert np.max(np.abs(gy - f.value(x, y + 1j * h).imag / h) / scale) < 1e-12


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_scalars_and_arrays_agree(f):
    x, y = places(f, 10)
    one = [f.value(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(f.value(x, y), one, rtol=1e-15)
    both = [f.gradient(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(np.transpose(f.gradient(x, y)), both, rtol=1e-14)
    assert f.value(1e200, 1e200) is not None  # overflows to infinity or NaN, and does not raise


@pytest.mark.quick("rosenbrock", "saddle")
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_minima_are_where_they_are_said_to_be(f):
    (x0, x1), (y0, y1) = f.bounds
    x, y = np.meshgrid(np.linspace(x0, x1, 301), np.linspace(y0, y1, 301))
    lowest = f.value(x, y).min()
    if not f.minima:
        assert lowest == f.value(0.0, y1) < f.value(0.0, 0.0)
        return
    heights = [f.value(*point) for point in f.minima]
    assert np.ptp(heights) < 1e-12
    assert max(heights) <= lowest + 1e-12
    found = set()
    for k in np.argsort(f.value(x, y), axis=None)[:400:4]:
        end = minimize(lambda p: f.value(*p), (x.flat[k], y.flat[k]), jac=lambda p: f.gradient(*p), tol=1e-12)
        if end.fun < heights[0] + 1e-9:
            found.add(int(np.argmin([np.hypot(*(end.x - p)) for p in f.minima])))
            assert min(np.hypot(*(end.x - p)) for p in f.minima) < 1e-6
    assert len(found) == len(f.minima)


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_start_is_inside_and_off_the_minimum(f):
    for at, (low, high) in zip(f.start, f.bounds, strict=True):
        assert low < at < high
    assert np.hypot(*f.gradient(*f.start)) > 0.1


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'rosenbrock'"):
        get("rosenbrok")
