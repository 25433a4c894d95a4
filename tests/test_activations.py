"""Every activation against PyTorch's autograd, and at the edges of the floating-point numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import assert_same_bits, require

from optimlab import InputError, activations, backends
from optimlab.activations import ACTIVATIONS, ELU, GELU, LeakyReLU

torch = require("torch")
F = torch.nn.functional

NEVER = 1e9  # PyTorch's softplus turns into x above a threshold: keep it from doing so

TORCH = {
    "identity": lambda x: x * 1,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "swish": F.silu,
    "softplus": lambda x: F.softplus(x, threshold=NEVER),
    "mish": F.mish,
    "softmax": lambda x: F.softmax(x, dim=-1),
}
ELEMENTWISE = [name for name, f in ACTIVATIONS.items() if f.elementwise]
VARIANTS = {
    "leaky_relu": (LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    "leaky_relu of slope 0": (LeakyReLU(0.0), F.relu),
    "elu": (ELU(0.4), lambda x: F.elu(x, 0.4)),
    "steep elu": (ELU(3.0), lambda x: F.elu(x, 3.0)),
}

GRID = np.concatenate([np.linspace(-30, 30, 2401), np.linspace(-1e-3, 1e-3, 201)])  # 0 included
TOLERANCE = {"float32": 2e-6, "float64": 1e-12}


def torch_value_and_slope(function, x, dy=None):
    """f(x) and dy f'(x), worked out in float64."""
    tensor = torch.tensor(x.astype(np.float64), requires_grad=True)
    y = function(tensor)
    y.backward(torch.ones_like(y) if dy is None else torch.tensor(dy.astype(np.float64)))
    return y.detach().numpy(), tensor.grad.numpy()


def assert_close(actual, expected):
    """To the tolerance of the dtype, relative to the larger of 1 and the value."""
    assert actual.shape == expected.shape
    error = abs(actual - expected) / np.maximum(1, abs(expected))
    assert error.max() < TOLERANCE[str(actual.dtype)]


def backward(f, x, dy):
    y, out = f(x), np.empty_like(x)
    f.backward(backends.get("numpy"), x, y, dy, out, [np.empty_like(x) for _ in range(f.scratch)])
    return out


def test_every_activation_has_a_counterpart_in_torch():
    assert set(TORCH) == set(ACTIVATIONS)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value_and_derivative_agree_with_torch(name, dtype):
    f, x = ACTIVATIONS[name], GRID.astype(dtype)
    value, slope = torch_value_and_slope(TORCH[name], x)
    assert_close(f(x), value)
    assert_close(f.derivative(x), slope)
    assert (f(x).dtype, f.derivative(x).dtype) == (dtype, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("f", "reference"), VARIANTS.values(), ids=VARIANTS)
def test_parameters_mean_what_they_mean_in_torch(f, reference, dtype):
    x = GRID.astype(dtype)
    value, slope = torch_value_and_slope(reference, x)
    assert_close(f(x), value)
    assert_close(f.derivative(x), slope)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_backward_is_the_derivative_times_what_comes_from_above(name, dtype):
    f, generator = ACTIVATIONS[name], np.random.default_rng(0)
    x, dy = (3 * generator.normal(size=(2, 20, 7))).astype(dtype)
    few_ulps = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(backward(f, x, dy), dy * f.derivative(x), rtol=few_ulps)
    assert_close(backward(f, x, dy), torch_value_and_slope(TORCH[name], x, dy)[1])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_finite_numbers_of_any_size_stay_finite_and_warn_of_nothing(name, dtype):
    f, info = ACTIVATIONS[name], np.finfo(dtype)
    sizes = [info.max, 1e20, 1e4, 100.0, 89.0, info.tiny, info.smallest_subnormal, 0.0]
    x = np.array([sign * size for size in sizes for sign in (1, -1)], dtype)
    y, slope = f(x), f.derivative(x)  # a warning is an error here
    assert np.isfinite(y).all()
    assert np.isfinite(slope).all()
    assert abs(slope).max() < 1.2


LIMITS = {  # f(x) and f'(x) far to the left, f(x) - c x and f'(x) far to the right, c the last
    "identity": (None, 1, 0, 1),
    "sigmoid": (0, 0, 1, 0),
    "tanh": (-1, 0, 1, 0),
    "relu": (0, 0, 0, 1),
    "leaky_relu": (None, 0.01, 0, 1),
    "elu": (-1, 0, 0, 1),
    "gelu": (0, 0, 0, 1),
    "gelu_tanh": (0, 0, 0, 1),
    "swish": (0, 0, 0, 1),
    "softplus": (0, 0, 0, 1),
    "mish": (0, 0, 0, 1),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_far_out_an_activation_is_at_its_limit(name, dtype):
    f, (left, left_slope, offset, right_slope) = ACTIVATIONS[name], LIMITS[name]
    far = np.array([1e4, 1e20, np.finfo(dtype).max], dtype)
    np.testing.assert_array_equal(f(far), offset + right_slope * far)
    np.testing.assert_allclose(f.derivative(far), right_slope, rtol=1e-6)
    np.testing.assert_allclose(f(-far), -0.01 * far if name == "leaky_relu" else -far if left is None else left)
    np.testing.assert_allclose(f.derivative(-far), left_slope, rtol=1e-6)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nothing_is_lost_of_tiny_numbers(name, dtype):
    # where f(0) = 0, f(x) = f'(0) x; elsewhere f(x) = f(0): both to full relative accuracy
    f = ACTIVATIONS[name]
    tiny = np.array([1e-30, 1e-20, 1e-10], dtype)
    at_zero = {"sigmoid": 0.5, "softplus": math.log(2)}.get(name)
    slopes = {"gelu": 0.5, "gelu_tanh": 0.5, "swish": 0.5, "mish": 0.6}
    left, right = {"relu": (0, 1), "leaky_relu": (0.01, 1)}.get(name, (slopes.get(name, 1),) * 2)
    for x, slope in ((tiny, right), (-tiny, left)):
        expected = slope * x.astype(np.float64) if at_zero is None else np.full(3, at_zero)
        np.testing.assert_allclose(f(x), expected, rtol=1e-6 if dtype == "float32" else 3e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "swish", "mish", "gelu"])
def test_the_left_tail_keeps_its_relative_accuracy(name, dtype):
    x = np.array([-8.0, -12.0], dtype)
    e = np.exp(x.astype(np.float64))
    normal = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    tail = {
        "sigmoid": e / (1 + e),
        "softplus": np.log1p(e),
        "swish": x * e / (1 + e),
        "mish": x * np.tanh(np.log1p(e)),
        "gelu": x * normal,
    }[name]
    np.testing.assert_allclose(ACTIVATIONS[name](x), tail, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu"])
def test_a_kink_is_reported_where_the_derivative_jumps(name, dtype):
    left, at, right = ACTIVATIONS[name].derivative(np.array([-1e-6, 0, 1e-6], dtype))
    assert ACTIVATIONS[name].has_kink == (abs(right - left) > 0.1)
    assert at == pytest.approx(left, abs=1e-5)


def test_only_those_with_a_kink_say_so():
    assert {name for name, f in ACTIVATIONS.items() if f.has_kink} == {"relu", "leaky_relu"}
    assert ELU(0.5).has_kink


def test_the_tanh_form_of_gelu_stays_near_the_exact_one():
    x = np.linspace(-20, 20, 100001)
    assert 4e-4 < abs(GELU()(x) - GELU(approximate=True)(x)).max() < 4.8e-4


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_softmax_and_its_backward_agree_with_torch(dtype):
    generator = np.random.default_rng(0)
    x, dy = (5 * generator.normal(size=(2, 30, 6))).astype(dtype)
    value, slope = torch_value_and_slope(TORCH["softmax"], x, dy)
    assert_close(ACTIVATIONS["softmax"](x), value)
    assert_close(backward(ACTIVATIONS["softmax"], x, dy), slope)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_softmax_rows_sum_to_one_whatever_the_logits(dtype):
    top = np.finfo(dtype).max
    x = np.array([[0, 0, 0], [1e4, -1e4, 0], [1e20, 1e20, -1e20], [top, -top, 0], [-top, -top, -top]], dtype)
    y = ACTIVATIONS["softmax"](x)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(y, [[1 / 3] * 3, [1, 0, 0], [0.5, 0.5, 0], [1, 0, 0], [1 / 3] * 3], rtol=1e-6)


def test_softmax_has_no_elementwise_derivative():
    with pytest.raises(InputError, match="use backward"):
        ACTIVATIONS["softmax"].derivative(np.ones((2, 3)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_input_is_left_as_it_was_and_leading_axes_are_free(name):
    f, x = ACTIVATIONS[name], np.random.default_rng(0).normal(size=(3, 4, 5))
    before = x.copy()
    y = f(x)
    assert_same_bits(x, before)
    assert_same_bits(y[1], f(x[1].copy()))


@pytest.mark.parametrize("slope", [-0.1, 1.0, math.nan, math.inf])
def test_a_leaky_slope_out_of_range_is_refused(slope):
    with pytest.raises(InputError, match="slope"):
        LeakyReLU(slope)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
def test_an_elu_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(InputError, match="alpha"):
        ELU(alpha)


@pytest.mark.parametrize(("name", "nearest"), [("rleu", "relu"), ("ReLU", "relu"), ("leakyrelu", "leaky_relu")])
def test_an_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(InputError, match=f"unknown activation '{name}'; did you mean .*'{nearest}'"):
        activations.get(name)


@pytest.mark.parametrize("thing", [None, 3, LeakyReLU, []], ids=repr)
def test_what_is_no_activation_is_refused(thing):
    with pytest.raises(InputError, match="unknown activation"):
        activations.get(thing)
