"""Every activation against PyTorch and scalar formulas, at the edges of the floating-point numbers, and as a graph."""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import numpy as np
import pytest
from conftest import assert_same_bits, require

from optimlab import InputError, RuleError, backends
from optimlab.nn import activations
from optimlab.nn.activations import ACTIVATIONS, Activation
from optimlab.nn.layers import Activate, Dense
from optimlab.nn.network import Network

torch = require("torch")
F = torch.nn.functional

NEVER = 1e9  # PyTorch's softplus turns into x above a threshold: keep it from doing so

TORCH = {
    "identity": lambda x: x * 1,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softsign": F.softsign,
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "swish": F.silu,
    "hard_swish": F.hardswish,
    "softplus": lambda x: F.softplus(x, threshold=NEVER),
    "mish": F.mish,
    "softmax": lambda x: F.softmax(x, dim=-1),
}


def logistic(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def log1pexp(x):
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def gelu_tanh_slope(x):
    u, du = (2 / math.pi) ** 0.5 * (x + 0.044715 * x**3), (2 / math.pi) ** 0.5 * (1 + 3 * 0.044715 * x**2)
    return (1 + math.tanh(u)) / 2 + x * du / (2 * math.cosh(min(abs(u), 300)) ** 2)


SCALE, ALPHA = 1.05070098735548, 1.67326324235438  # of Klambauer et al., section 2

SCALAR = {  # value and derivative of one number, as a textbook has them
    "identity": (lambda x: x, lambda x: 1),
    "sigmoid": (logistic, lambda x: logistic(x) * logistic(-x)),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2),
    "relu": (lambda x: max(x, 0), lambda x: float(x > 0)),
    "relu6": (lambda x: min(max(x, 0), 6), lambda x: float(0 < x < 6)),
    "leaky_relu": (lambda x: x if x > 0 else 0.01 * x, lambda x: 1 if x > 0 else 0.01),
    "elu": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1 if x > 0 else math.exp(x)),
    "selu": (
        lambda x: SCALE * (x if x > 0 else ALPHA * math.expm1(x)),
        lambda x: SCALE * (1 if x > 0 else ALPHA * math.exp(x)),
    ),
    "softplus": (log1pexp, logistic),
    "swish": (lambda x: x * logistic(x), lambda x: logistic(x) * (1 + x * logistic(-x))),
    "hard_swish": (
        lambda x: x * min(max(x + 3, 0), 6) / 6,
        lambda x: 0 if x <= -3 else 1 if x > 3 else (2 * x + 3) / 6,
    ),
    "mish": (
        lambda x: x * math.tanh(log1pexp(x)),
        lambda x: math.tanh(log1pexp(x)) + x * logistic(x) / math.cosh(min(log1pexp(x), 300)) ** 2,
    ),
    "gelu": (
        lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
        lambda x: math.erfc(-x / math.sqrt(2)) / 2 + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu_tanh": (
        lambda x: x * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
        gelu_tanh_slope,
    ),
}

ELEMENTWISE = [name for name, f in ACTIVATIONS.items() if f.elementwise]
VARIANTS = {
    "leaky_relu": (ACTIVATIONS["leaky_relu"].given(slope=0.3), lambda x: F.leaky_relu(x, 0.3)),
    "leaky_relu of slope 0": (ACTIVATIONS["leaky_relu"].given(slope=0), F.relu),
    "elu": (ACTIVATIONS["elu"].given(alpha=0.4), lambda x: F.elu(x, 0.4)),
    "steep elu": (ACTIVATIONS["elu"].given(alpha=3.0), lambda x: F.elu(x, 3.0)),
}
NEEDS = {  # whatever can be told from y leaves x out
    "identity": {"dy"},
    **{name: {"x", "dy"} for name in ("softplus", "hard_swish", "mish", "gelu")},
    **{name: {"x", "y", "dy"} for name in ("swish", "gelu_tanh")},
}
KINKS = {"relu": (0,), "leaky_relu": (0,), "selu": (0,), "relu6": (0, 6), "hard_swish": (-3, 3)}

GRID = np.concatenate([np.linspace(-30, 30, 2401), np.linspace(-1e-3, 1e-3, 201)])  # 0 included
SMOOTH = GRID[(abs(abs(GRID) - 3) > 1e-9) & (abs(GRID - 6) > 1e-9)]
"""Away from the kinks at which PyTorch's derivative differs from one release to the next."""
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
    """dL/dx, as a layer computes it."""
    arrays, out, b = {"x": x, "y": f(x), "dy": dy}, np.empty_like(x), backends.get("numpy")
    given = tuple(arrays[name] for name in f.needs)
    with b.quiet():
        if not f.elementwise:
            return f.backward(*given)
        b.map(f.backward, given, out, **dict(f.parameters))
    return out


def test_every_activation_has_its_references():
    assert set(TORCH) == set(ACTIVATIONS) == {*SCALAR, "softmax"}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value_and_derivative_agree_with_torch(name, dtype):
    f, x = ACTIVATIONS[name], SMOOTH.astype(dtype)
    value, slope = torch_value_and_slope(TORCH[name], x)
    assert_close(f(x), value)
    assert_close(f.derivative(x), slope)
    assert (f(x).dtype, f.derivative(x).dtype) == (dtype, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value_and_derivative_agree_with_formulas_of_one_number(name, dtype):
    f, x, (value, slope) = ACTIVATIONS[name], GRID.astype(dtype), SCALAR[name]
    assert_close(f(x), np.array([value(v) for v in x.tolist()]))
    assert_close(f.derivative(x), np.array([slope(v) for v in x.tolist()]))


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


@pytest.mark.parametrize("f", [*(ACTIVATIONS[name] for name in ELEMENTWISE), *(f for f, _ in VARIANTS.values())])
def test_the_derivative_is_that_of_finite_differences(f):
    x = np.linspace(-9, 9, 257) + 1e-3
    step = 1e-5
    difference = (f(x + step) - f(x - step)) / (2 * step)
    np.testing.assert_allclose(f.derivative(x), difference, atol=3e-10)


@pytest.mark.parametrize("f", [*(ACTIVATIONS[name] for name in ELEMENTWISE), *(f for f, _ in VARIANTS.values())])
def test_second_differences_of_the_value_are_first_differences_of_the_derivative(f):
    """Both are taken on the same three points; a wrong derivative of a wrong shape would part them."""
    x, step = np.linspace(-9, 9, 257) + 1e-3, 1e-3
    second = (f(x + step) - 2 * f(x) + f(x - step)) / step**2
    slope = (f.derivative(x + step / 2) - f.derivative(x - step / 2)) / step
    np.testing.assert_allclose(second, slope, atol=3e-6)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_finite_numbers_of_any_size_stay_finite_and_warn_of_nothing(name, dtype):
    f, info = ACTIVATIONS[name], np.finfo(dtype)
    sizes = [info.max / 2, 1e20, 1e4, 100.0, 89.0, info.tiny, info.smallest_subnormal, 0.0]
    x = np.array([sign * size for size in sizes for sign in (1, -1)], dtype)
    y, slope = f(x), f.derivative(x)  # a warning is an error here
    assert np.isfinite(y).all()
    assert np.isfinite(slope).all()
    assert abs(slope).max() < 1.8
    assert not np.isnan(f(np.array([info.max, -info.max], dtype))).any()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_whole_range_of_numbers_is_free_of_nan(name, dtype):
    """Numbers of every exponent and sign."""
    f, info = ACTIVATIONS[name], np.finfo(dtype)
    unsigned = f"u{info.bits // 8}"
    last = int(np.array(info.max, dtype).view(unsigned))
    positive = np.array([*range(0, last, last // 20000), last], unsigned).view(dtype)  # bits in the order of numbers
    x = np.concatenate([-positive[::-1], positive])
    y, slope = f(x), f.derivative(x)
    assert not np.isnan(y).any()
    assert np.isfinite(slope).all()
    value, derivative = SCALAR[name]
    near = abs(x) < 300  # where math does not overflow
    assert_close(y[near], np.array([value(v) for v in x[near].tolist()]))
    assert_close(slope[near], np.array([derivative(v) for v in x[near].tolist()]))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_not_a_number_is_passed_on_and_not_hidden(name):
    assert np.isnan(ACTIVATIONS[name](np.array([np.nan]))).all()


LIMITS = {  # f(x) and f'(x) far to the left, f(x) - c x and f'(x) far to the right, c the last
    "identity": (None, 1, 0, 1),
    "sigmoid": (0, 0, 1, 0),
    "tanh": (-1, 0, 1, 0),
    "softsign": (-1, 0, 1, 0),
    "relu": (0, 0, 0, 1),
    "relu6": (0, 0, 6, 0),
    "leaky_relu": (None, 0.01, 0, 1),
    "elu": (-1, 0, 0, 1),
    "selu": (-SCALE * ALPHA, 0, 0, SCALE),
    "gelu": (0, 0, 0, 1),
    "gelu_tanh": (0, 0, 0, 1),
    "swish": (0, 0, 0, 1),
    "hard_swish": (0, 0, 0, 1),
    "softplus": (0, 0, 0, 1),
    "mish": (0, 0, 0, 1),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_far_out_an_activation_is_at_its_limit(name, dtype):
    f, (left, left_slope, offset, right_slope) = ACTIVATIONS[name], LIMITS[name]
    far = np.array([1e8, 1e20, np.finfo(dtype).max / 2], dtype)
    np.testing.assert_allclose(f(far), offset + right_slope * far, rtol=1e-7)
    np.testing.assert_allclose(f.derivative(far), right_slope, rtol=1e-6, atol=1e-15)
    np.testing.assert_allclose(f(-far), -0.01 * far if name == "leaky_relu" else -far if left is None else left, 1e-6)
    np.testing.assert_allclose(f.derivative(-far), left_slope, rtol=1e-6, atol=3e-7 if dtype == "float32" else 1e-15)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nothing_is_lost_of_tiny_numbers(name, dtype):
    # where f(0) = 0, f(x) = f'(0) x; elsewhere f(x) = f(0): both to full relative accuracy
    f = ACTIVATIONS[name]
    tiny = np.array([1e-30, 1e-20, 1e-10], dtype)
    at_zero = {"sigmoid": 0.5, "softplus": math.log(2)}.get(name)
    slopes = {"gelu": 0.5, "gelu_tanh": 0.5, "swish": 0.5, "hard_swish": 0.5, "mish": 0.6}
    sides = {"relu": (0, 1), "relu6": (0, 1), "leaky_relu": (0.01, 1), "selu": (SCALE * ALPHA, SCALE)}
    left, right = sides.get(name, (slopes.get(name, 1),) * 2)
    for x, slope in ((tiny, right), (-tiny, left)):
        expected = slope * x.astype(np.float64) if at_zero is None else np.full(3, at_zero)
        np.testing.assert_allclose(f(x), expected, rtol=1e-6 if dtype == "float32" else 3e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "swish", "mish", "gelu_tanh"])
def test_the_left_tail_keeps_its_relative_accuracy(name, dtype):
    # from math's own exponential: what is written with tanh or cosh in SCALAR loses the tail itself
    x = np.array([-8.0, -12.0] if name != "gelu_tanh" else [-4.0, -5.0], dtype)
    e = np.exp(x.astype(np.float64))
    u = (2 / math.pi) ** 0.5 * (x.astype(np.float64) + 0.044715 * x.astype(np.float64) ** 3)
    tail = {
        "sigmoid": e / (1 + e),
        "softplus": np.log1p(e),
        "swish": x * e / (1 + e),
        "mish": x * np.tanh(np.log1p(e)),
        "gelu_tanh": x * np.exp(2 * u) / (1 + np.exp(2 * u)),
    }[name]
    np.testing.assert_allclose(ACTIVATIONS[name](x), tail, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_kinks_are_where_the_derivative_jumps_and_nowhere_else(name, dtype):
    f = ACTIVATIONS[name]
    assert f.kinks == KINKS.get(name, ())
    assert f.has_kink == bool(f.kinks)
    for kink in (-6, -3, 0, 1, 3, 6, 20):
        left, at, right = f.derivative(np.array([kink - 1e-5, kink, kink + 1e-5], dtype))
        assert (abs(right - left) > 1e-3) == (kink in f.kinks)
        assert at == pytest.approx(right if (name, kink) == ("relu6", 6) else left, abs=1e-4)


def test_kinks_follow_the_parameters():
    assert ACTIVATIONS["elu"].given(alpha=0.5).kinks == (0,)
    assert ACTIVATIONS["leaky_relu"].given(slope=0.99).kinks == (0,)
    assert ACTIVATIONS["softmax"].kinks == ()


def test_the_tanh_form_of_gelu_stays_near_the_exact_one():
    x = np.linspace(-20, 20, 100001)
    assert 4e-4 < abs(ACTIVATIONS["gelu"](x) - ACTIVATIONS["gelu_tanh"](x)).max() < 4.8e-4


def test_the_constants_of_selu_keep_mean_0_and_variance_1():
    """Their definition: the integrals of f and f^2 over the standard normal density."""
    x = np.linspace(-12, 12, 200001)
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    y = ACTIVATIONS["selu"](x)
    assert np.trapezoid(y * density, x) == pytest.approx(0, abs=1e-8)
    assert np.trapezoid(y * y * density, x) == pytest.approx(1, abs=1e-8)


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


@pytest.mark.parametrize(("edge", "found"), [(99.5, (-99.5, 99.5)), (100.5, ())])
def test_kinks_are_looked_for_between_minus_100_and_100(edge, found):
    def clipped(x, *, edge=1.0):
        return np.minimum(np.maximum(x, -edge), edge)

    def clipped_backward(x, dy, *, edge=1.0):
        return np.where(np.abs(x) < edge, dy, 0)

    own = Activation("clipped", clipped, clipped_backward).given(edge=edge)
    assert own.switches == own.kinks == found


def test_softmax_of_several_batches_is_that_of_each():
    x, dy = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    y = activations.softmax(x)
    for k in range(3):
        np.testing.assert_array_equal(y[k], activations.softmax(x[k]))
        np.testing.assert_array_equal(activations.softmax_backward(y, dy)[k], activations.softmax_backward(y[k], dy[k]))


def test_an_own_activation_gives_no_probabilities_unless_it_says_so():
    net = Network([Dense(2, 3), Activate(3, Activation("own", activations.tanh, activations.tanh_backward))], seed=0)
    given = net.predict_proba(np.ones((1, 2), "float32"))
    np.testing.assert_allclose(given.sum(), 1, rtol=1e-6)
    assert (given > 0).all()


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
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_takes_no_more_than_it_needs(name):
    assert set(ACTIVATIONS[name].needs) == NEEDS.get(name, {"y", "dy"})
    assert list(ACTIVATIONS[name].needs) == [n for n in ("x", "y", "dy") if n in ACTIVATIONS[name].needs]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("f", [*(ACTIVATIONS[name] for name in ELEMENTWISE), *(f for f, _ in VARIANTS.values())])
def test_the_traced_graphs_give_the_numbers_of_the_functions(f, dtype):
    x, dy = np.random.default_rng(0).normal(size=(2, 200), scale=5).astype(dtype)
    arrays = {"x": x, "y": f(x), "dy": dy}
    for function, graph in zip((f.forward, f.backward), f.graphs, strict=True):
        scalars = graph.scalars(t=1, **dict(f.parameters))
        with np.errstate(over="ignore"):
            (value,) = (graph.values(arrays, scalars)[node] for node in graph.outputs)
            expected = function(*(arrays[name] for name in graph.inputs), **dict(f.parameters))
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("f", [*ACTIVATIONS.values(), *(f for f, _ in VARIANTS.values())], ids=repr)
def test_copies_and_pickles_are_equal_and_have_the_same_hash(f):
    for other in (copy.deepcopy(f), pickle.loads(pickle.dumps(f)), f.given()):
        assert other == f
        assert hash(other) == hash(f)


def test_parameters_make_another_activation():
    leaky = ACTIVATIONS["leaky_relu"]
    assert leaky.given(slope=0.2) != leaky == leaky.given(slope=0.01)
    assert repr(leaky.given(slope=0.2)) == "leaky_relu(slope=0.2)"
    assert repr(ACTIVATIONS["relu"]) == "relu"
    assert leaky.given(slope=0.2).parameters == (("slope", 0.2),)


@pytest.mark.parametrize("slope", [-0.1, 1.0, math.nan, math.inf, "0.1", True])
def test_a_leaky_slope_out_of_range_is_refused(slope):
    with pytest.raises(InputError, match=r"slope must lie in \[0, 1\)"):
        ACTIVATIONS["leaky_relu"].given(slope=slope)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
def test_an_elu_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(InputError, match="alpha"):
        ACTIVATIONS["elu"].given(alpha=alpha)


def test_an_unknown_parameter_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="unknown parameter of elu 'alpa'; did you mean 'alpha'"):
        ACTIVATIONS["elu"].given(alpa=1.0)


@pytest.mark.parametrize("x", [np.array([1, 2]), np.array([True]), np.array([1j])], ids=lambda x: str(x.dtype))
def test_only_floating_point_numbers_are_taken(x):
    for method in (ACTIVATIONS["relu"], ACTIVATIONS["relu"].derivative):
        with pytest.raises(InputError, match="floating-point"):
            method(x)


@pytest.mark.parametrize(("name", "nearest"), [("rleu", "relu"), ("ReLU", "relu"), ("leakyrelu", "leaky_relu")])
def test_an_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(InputError, match=f"unknown activation '{name}'; did you mean .*'{nearest}'"):
        activations.get(name)


@pytest.mark.parametrize(
    "thing", [None, 3, Activation, activations.relu, []], ids=["None", "3", "class", "function", "list"]
)
def test_what_is_no_activation_is_refused(thing):
    with pytest.raises(InputError, match="unknown activation"):
        activations.get(thing)


# --- an activation of one's own


def snake(x, *, frequency=1.0):
    return x + (1 - np.cos(2 * frequency * x)) / (2 * frequency)


def snake_backward(x, dy, *, frequency=1.0):
    return dy * (1 + np.sin(2 * frequency * x))


def test_an_activation_of_ones_own_is_two_functions():
    f = Activation("snake", snake, snake_backward).given(frequency=3)
    x = np.linspace(-4, 4, 101)
    np.testing.assert_allclose(f(x), x + np.sin(3 * x) ** 2 / 3, atol=1e-14)
    np.testing.assert_allclose(f.derivative(x), (f(x + 1e-6) - f(x - 1e-6)) / 2e-6, atol=1e-8)
    assert (repr(f), f.needs, f.kinks) == ("snake(frequency=3)", ("x", "dy"), ())
    assert activations.get(f) is f


def test_kinks_of_ones_own_are_found_in_the_function_itself():
    f = Activation("hat", lambda x: np.maximum(1 - np.abs(x - 0.75), 0), lambda dy: dy)  # a wrong derivative
    assert f.kinks == (-0.25, 0.75, 1.75)


def test_a_parameter_of_ones_own_may_be_any_finite_number():
    f = Activation("line", lambda x, *, slope=-3.0: slope * x, lambda dy, *, slope=-3.0: slope * dy)
    assert f.given(slope=-2)(np.array([1.0]))[0] == -2
    with pytest.raises(InputError, match="slope must be a finite number"):
        f.given(slope=math.inf)


def passes(dy):
    return dy


REFUSED = {
    "a sum": (lambda x: x / x.sum(), passes, RuleError, r"not elementwise: it uses \.sum"),
    "a sum in backward": (lambda x: x, lambda dy: dy - np.sum(dy), RuleError, r"not elementwise: it uses .*sum"),
    "a branch": (lambda x: x if x > 0 else 0 * x, passes, RuleError, "a branch on an array"),
    "a global array": (lambda x: x * np.ones(3), passes, RuleError, "from outside"),
    "math": (lambda x: math.tanh(x), passes, RuleError, "float"),
    "two inputs": (lambda x, z: x + z, passes, InputError, "forward takes one array, x, got x, z"),
    "another name": (lambda z: z, passes, InputError, "forward takes one array, x, got z"),
    "no input": (lambda: 1.0, passes, InputError, "forward takes one array, x, got none"),
    "backward without dy": (lambda x: x, lambda x, y: y, InputError, "x and y if it needs them, got x, y"),
    "backward out of order": (lambda x: x, lambda y, x, dy: dy, InputError, "needs them, got y, x, dy"),
    "other parameters": (lambda x, *, a=1.0: a * x, passes, InputError, r"different parameters, \(a=1\) and \(\)"),
    "other defaults": (
        lambda x, *, a=1.0: a * x,
        lambda dy, *, a=2.0: a * dy,
        InputError,
        r"different parameters, \(a=1\) and \(a=2\)",
    ),
    "a default that is no number": (lambda x, *, a="1": x, passes, InputError, "default of a must be a finite number"),
    "no default": (lambda x, *, a: a * x, lambda dy, *, a: a * dy, InputError, "the parameter a needs a default"),
    "no function": (3, passes, InputError, "3 is not a Python function"),
    "arguments": (lambda *x: x[0], passes, InputError, "name the arrays"),
    "two values": (lambda x: (x, x), passes, InputError, "forward must return one array"),
    "no array": (lambda x: 1.0, passes, InputError, "forward must return one array"),
    "a comparison": (lambda x: x > 0, passes, InputError, "forward must return one array"),
}


@pytest.mark.parametrize(("forward", "back", "error", "match"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_elementwise_is_refused_when_it_is_made(forward, back, error, match):
    with pytest.raises(error, match=match):
        Activation("mine", forward, back)


def test_the_formulas_are_pairs_side_by_side():
    """In the file, each formula is followed by its derivative."""
    for name in ELEMENTWISE:
        f = ACTIVATIONS[name]
        assert (f.forward.__name__, f.backward.__name__) == (name, f"{name}_backward")
        end = inspect.getsourcelines(f.forward)[1] + len(inspect.getsourcelines(f.forward)[0])
        assert inspect.getsourcelines(f.backward)[1] == end + 2
