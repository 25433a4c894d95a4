"""The functions that a formula may use: every engine against NumPy in a wider type, over the whole range of floats."""

from __future__ import annotations

import ctypes
import functools
import json
import math
from dataclasses import replace
from typing import NamedTuple
from xml.etree import ElementTree

import device
import numpy as np
import pytest
import scipy.special
from conftest import assert_same_bits
from matplotlib.mathtext import MathTextParser

import optimlab as ol
from optimlab import kernels
from optimlab.backends.numpy import NumPyStep
from optimlab.checks.rule_check import assert_rule_matches
from optimlab.lab.explanation import source
from optimlab.nn import activations

DTYPES = ["float32", "float64"]
COUNT = 200_000
WIDER = {"float32": np.float64, "float64": np.longdouble}


class Case(NamedTuple):
    """A function, and by how many units in the last place it may differ from NumPy's in a wider type, rounded."""

    function: object
    float32: int  # in C, CUDA and compiled
    float64: int
    javascript: int
    flushed: bool = False  # whether what should be a denormal number may be zero, because an intermediate overflows
    reference: object = None  # in the wider type; the function itself where it is None


CASES = {
    "exp": Case(np.exp, 1, 1, 1),
    "expm1": Case(np.expm1, 2, 2, 2),
    "log": Case(np.log, 1, 1, 1),
    "log1p": Case(np.log1p, 2, 2, 2),
    "tanh": Case(np.tanh, 2, 3, 3),
    "erf": Case(scipy.special.erf, 2, 3, 12, reference=lambda x: scipy.special.erf(x.astype("float64"))),
    "sin": Case(np.sin, 1, 1, 1),
    "cos": Case(np.cos, 1, 1, 1),
    "power": Case(lambda x: x**1.75, 1, 1, 1),
    "negative_power": Case(lambda x: x**-0.375, 1, 1, 1),
    "large_power": Case(lambda x: x**33, 1, 1, 1),
    "zeroth_power": Case(lambda x: x**0, 0, 0, 0),
    "exponential": Case(lambda x: 2**x, 1, 1, 1),
    "exponential_of_less": Case(lambda x: np.power(0.375, x), 1, 1, 1),
    "powers_of_one": Case(lambda x: 1.0**x, 0, 0, 0),
    "powers_of_minus_one": Case(lambda x: (-1) ** x, 0, 0, 0),
    "tower": Case(lambda x: x**x, 1, 1, 1),
    "cube": Case(lambda x: x**3, 1, 2, 2),
    "thirteenth_power": Case(lambda x: x**13.0, 12, 12, 12),
    "inverse_square": Case(lambda x: x**-2, 4, 4, 4, True),
    "inverse_root": Case(lambda x: x**-0.5, 1, 2, 2, reference=lambda x: 1 / np.sqrt(x)),
    "sigmoid": Case(activations.sigmoid, 3, 3, 3, True),
    "reciprocal": Case(np.reciprocal, 0, 0, 0),
    "inverse": Case(lambda x: x**-1, 0, 0, 0),
    "root": Case(np.sqrt, 0, 0, 0),
    "absolute": Case(np.abs, 0, 0, 0),
    "sign": Case(np.sign, 0, 0, 0),
    "square": Case(np.square, 0, 0, 0),
    "clip": Case(lambda x: np.clip(x, -1.5, 2), 0, 0, 0),
    "clip_from_below": Case(lambda x: np.clip(x, -1.5, None), 0, 0, 0),
    "clip_from_above": Case(lambda x: np.clip(x, max=2), 0, 0, 0),
    "clip_by_arrays": Case(lambda x: np.clip(x, -np.abs(x), np.square(x)), 0, 0, 0),
    "clip_by_crossed_bounds": Case(lambda x: np.clip(x, 3.0, x - x), 0, 0, 0),
}


def traced(name):
    called = CASES[name].function
    return replace(kernels.trace_function(lambda x: called(x)), name=name)


@functools.cache
def numbers(dtype, count):
    """Bit patterns of the whole range, numbers of everyday size, and all that is special."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    special = [0, 0.5, 1, 2, 3, math.pi, 5.9999, 6, 20, 88.7, 89, 103.9, 709.7, 745, math.inf, math.nan, info.max]
    special += [info.tiny, info.tiny / 3, info.smallest_subnormal, 5 * info.smallest_subnormal]
    special += [info.eps, 1 - info.epsneg, 1 + info.eps]
    kind = f"u{info.bits // 8}"
    bits = rng.integers(0, np.iinfo(kind).max, count // 2, kind, endpoint=True).view(dtype)
    bits[np.isnan(bits)] = math.nan  # none that signals
    everyday = rng.normal(size=count // 2) * 10.0 ** rng.uniform(-4, 2.5, count // 2)
    parts = [bits, everyday.astype(dtype), np.array(special, dtype), -np.array(special, dtype)]
    return np.concatenate(parts)


@functools.cache
def reference(name, dtype, count):
    case, x = CASES[name], numbers(dtype, count)
    with np.errstate(all="ignore"):
        if case.float64 == 0:  # correctly rounded already; a wider type would round twice
            return case.function(x)
        return (case.reference or case.function)(x.astype(WIDER[x.dtype.name])).astype(x.dtype)


def units(actual, expected):
    """The distance in units in the last place; infinity is the next number after the largest."""
    kind = f"i{actual.dtype.itemsize}"
    a, b = (np.abs(v).view(kind) for v in (actual, expected))
    apart = np.where(np.signbit(actual) == np.signbit(expected), abs(a - b), a.astype(float) + b)
    one_nan = np.isnan(actual) != np.isnan(expected)
    return np.where(np.isnan(actual) & np.isnan(expected), 0, np.where(one_nan, math.inf, apart))


def assert_close(name, actual, allowed, count=COUNT):
    """The values of that function for :func:`numbers` are right."""
    x = numbers(actual.dtype.name, count)
    expected = reference(name, actual.dtype.name, count)
    distance = units(actual, expected)
    if CASES[name].flushed:
        distance[(actual == 0) & (abs(expected) < np.finfo(x.dtype).tiny)] = 0
    worst = int(np.argmax(distance))
    assert distance[worst] <= allowed, f"{name}({x[worst]!r}): {actual[worst]!r}, expected {expected[worst]!r}"
    zeros = (actual == 0) & (expected == 0)
    assert (np.signbit(actual) == np.signbit(expected))[zeros].all(), f"{name}: the sign of a zero"


def pointers(*arrays):
    return [a.ctypes.data_as(ctypes.c_void_p) for a in arrays]


def host_scalars(graph, dtype):
    return np.array([*graph.scalars(t=1, **graph.hyperparameters), 0], dtype)


# ---- each function, in each language ----


@pytest.fixture(scope="module", params=DTYPES)
def library(request, compiler, tmp_path_factory):
    """All functions compiled from the C text."""
    texts = [kernels.c_source(traced(name), request.param) for name in CASES]
    text = 'extern "C" {\n' + "\n".join(texts) + "}"
    return request.param, device.host_library(text, compiler, tmp_path_factory.mktemp("functions"))


@pytest.mark.parametrize("name", CASES)
def test_c_over_the_whole_range(name, library):
    dtype, made = library
    x, graph = numbers(dtype, COUNT), traced(name)
    out, hp = np.empty_like(x), host_scalars(graph, dtype)
    made[f"{name}_map"](ctypes.c_longlong(len(x)), *pointers(x, out, hp))
    assert_close(name, out, getattr(CASES[name], dtype))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_in_blocks(name, dtype):
    """The same bits as the plain function, powers apart that became multiplications."""
    function = CASES[name].function
    graph, x = kernels.trace(lambda w, g: w * 0 + function(g)), numbers(dtype, 5000)
    # the engine has its own of these; the reference of an erf is SciPy's
    own = {"erf", "expm1", "log1p"} & {node.op for node in graph.nodes}
    allowed = 4 if own else 0
    arrays = {"w": np.ones_like(x), "g": x.copy()}
    with np.errstate(all="ignore"):
        NumPyStep(graph, [arrays], 37 * x.itemsize)(graph.scalars(t=1))
        expected = graph.values({"w": np.ones_like(x), "g": x}, np.array(graph.scalars(t=1), dtype))[graph.outputs[0]]
        assert units(arrays["w"], expected).max() <= allowed
        if graph.exact and not own:
            assert_same_bits(arrays["w"], 0 + function(x), name)
    assert_same_bits(arrays["g"], x, "the gradient")


@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_over_the_whole_range(dtype):
    """All functions of one array as one loop of the compiled backend."""
    pytest.importorskip("llvmlite")
    from optimlab.backends import llvm
    from optimlab.kernels.llvm_source import llvm_source
    from optimlab.kernels.sweep import Map, Seen, Sweep

    graph, x = (
        kernels.trace_function(lambda x: tuple(case.function(x) for case in CASES.values())),
        numbers(dtype, COUNT),
    )
    outputs = tuple(Seen(k, "full") for k in range(1, 1 + len(CASES)))
    text = llvm_source(Sweep([Map(graph, (Seen(0, "full"),), outputs, 1, 0)], scalars=len(graph.slots)), dtype)
    made, hp = np.empty((len(CASES), len(x)), dtype), host_scalars(graph, dtype)
    words = np.array([len(x), *(a.ctypes.data for a in (hp, x, *made))])
    llvm.KERNEL(llvm.address(text, "functions"))(words.ctypes.data)
    for actual, (name, case) in zip(made, CASES.items(), strict=True):
        assert_close(name, actual, getattr(case, dtype))


JAVASCRIPT = """
text => {
    const [xs, functions] = eval(text);
    const made = functions.flatMap(([f, hp]) => { f = eval(`(${f})`); return xs.map(x => f(x, hp)[0]); });
    return Array.from(new Uint8Array(Float64Array.from(made).buffer), b => String.fromCharCode(b)).join("");
}
"""


@pytest.mark.slow
def test_javascript_over_the_whole_range(browser):
    x, graphs = numbers("float64", 2000), {name: traced(name) for name in CASES}
    functions = [[kernels.javascript_function(g, "f"), host_scalars(g, "float64").tolist()] for g in graphs.values()]
    page = browser.new_page()
    made = page.evaluate(JAVASCRIPT, json.dumps([x.tolist(), functions])).encode("latin-1")
    page.close()
    for name, actual in zip(CASES, np.frombuffer(made).reshape(len(CASES), -1), strict=True):
        assert_close(name, actual, CASES[name].javascript, count=2000)


def test_which_functions_have_not_the_bits_of_the_plain_function():
    inexact = {name for name in CASES if not traced(name).exact}
    assert inexact == {"erf", "cube", "thirteenth_power", "inverse_square", "inverse_root"}
    assert not kernels.trace(lambda w, g, *, p=2.0: w - g**p).exact  # NumPy squares
    assert kernels.trace(lambda w, g, *, p=2.0: w - p**g * g**0.5 * g**2.5).exact


@pytest.mark.parametrize("exponent", [*range(-34, 35), *(k / 2 for k in range(-5, 6, 2))])
def test_any_constant_exponent(exponent):
    x = np.random.default_rng(0).uniform(0.5, 2, 200)
    x = np.concatenate([x, -x]) if exponent % 1 == 0 else x
    graph = kernels.trace_function(lambda x: x**exponent)
    (node,) = graph.outputs
    value = {**graph.values({"x": x}, graph.scalars(t=1))}[node]
    assert np.max(np.abs(value / np.float_power(x, exponent) - 1)) <= (1 + abs(exponent)) * 2**-52
    squarings = exponent % 1 == 0 and 0 < abs(exponent) <= 32
    assert ("power" in {node.op for node in graph.nodes}) is not (squarings or abs(exponent) == 0.5)
    assert len(graph.nodes) <= 2 * math.log2(1 + abs(exponent)) + 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_arrays_and_of_hyperparameters(dtype, compiler, tmp_path):
    def f(x, y, *, p=2.5, q=2.0):
        return x**y, x**p, p**x, x**q, q**-y

    graph = kernels.trace_function(f)
    assert "multiply" not in {node.op for node in graph.nodes}
    rng = np.random.default_rng(1)
    x, y = rng.choice(numbers(dtype, 5000), (2, 5000))
    outs, hp = [np.empty_like(x) for _ in range(5)], host_scalars(graph, dtype)
    library = device.host_library('extern "C" {\n' + kernels.c_source(graph, dtype) + "}", compiler, tmp_path)
    library.f_map(ctypes.c_longlong(len(x)), *pointers(x, y, *outs, hp))
    with np.errstate(all="ignore"):
        expected = [v.astype(dtype) for v in f(x.astype("float64"), y.astype("float64"))]
    for actual, wanted in zip(outs, expected, strict=True):
        assert units(actual, wanted).max() <= 1


# ---- function kernels: several outputs, rows, columns and numbers ----


def scaled(x, mean, weight, floor, *, slope=0.5):
    y = (x - mean) * weight
    return np.maximum(y, floor), slope * y + x


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_columns_and_numbers_are_broadcast_and_outputs_may_be_inputs(dtype, compiler, tmp_path):
    rng, graph = np.random.default_rng(0), kernels.trace_function(scaled)
    shapes = {"mean": "row", "weight": "column", "floor": "scalar"}
    sizes = [(5, 7), (1, 7), (5, 1), (1, 1)]
    c = device.host_library('extern "C" {\n' + kernels.c_source(graph, dtype, shapes) + "}", compiler, tmp_path)
    for aliased in (False, True):
        arrays = [rng.normal(size=size).astype(dtype) for size in sizes]
        expected = scaled(*(a.copy() for a in arrays))
        outs = [np.empty_like(arrays[0]), arrays[0] if aliased else np.empty_like(arrays[0])]
        given = pointers(*arrays, *outs, host_scalars(graph, dtype))
        c.scaled_map(ctypes.c_longlong(35), ctypes.c_longlong(7), *given)
        for out, wanted in zip(outs, expected, strict=True):
            assert_same_bits(out, wanted, f"aliased {aliased}")


def test_the_shape_of_a_gradient_may_be_another():
    graph = kernels.trace(lambda w, g, *, lr=0.1: w - lr * g)
    assert "long long n, long long columns, float *w_" in kernels.c_source(graph, "float32", {"g": "column"})
    assert "g_[i / columns]" in kernels.cuda_source(graph, "float32", {"g": "column"})
    assert kernels.c_source(graph, "float32", {}) == kernels.c_source(graph, "float32")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"h": "row"}, "unknown input of <lambda> 'h'"),
        ({"g": "columnn"}, "unknown shape 'columnn'; did you mean 'column'"),
        ({"w": "row"}, "<lambda> writes w, which must be a whole array, not a row"),
    ],
)
@pytest.mark.parametrize("printer", [kernels.c_source, kernels.cuda_source])
def test_shapes_that_cannot_be_are_refused(printer, shapes, message):
    with pytest.raises(ol.InputError, match=message):
        printer(kernels.trace(lambda w, g, *, lr=0.1: w - lr * g), "float32", shapes)


def test_an_argument_with_the_name_of_an_output_is_refused():
    with pytest.raises(ol.RuleError, match="rename its argument out2"):
        kernels.trace_function(lambda x, out2: (x, out2))
    assert kernels.trace_function(lambda x, out2: x * out2).written == ("out",)


def test_javascript_of_a_function_is_a_loop_over_its_output():
    text = kernels.javascript_source(replace(kernels.trace_function(scaled), name="scaled"))
    assert "function scaled_map(x_, mean_, weight_, floor_, out1_, out2_, hp) {" in text
    assert "i < out1_.length" in text


# ---- a rule that uses them ----


def squashed(w, g, m, *, lr=0.05, beta=0.9, p=0.8):
    """Moves by a squashed momentum.

    Reference: made up.
    """
    m = beta * m + (1 - beta) * np.clip(g, -1, 1)
    size = np.abs(m) ** p * np.exp(-np.square(m))
    return w - lr * np.sign(m) * size - lr * np.tanh(m**3) * scipy.special.erf(np.log1p(g**2)), m


def squashed_in_floats(w, g, m, *, lr, beta, p):
    m = beta * m + (1 - beta) * min(max(g, -1.0), 1.0)
    size = math.pow(abs(m), p) / math.exp(m * m)
    return w - lr * math.copysign(size, m) - lr * math.tanh(m * m * m) * math.erf(math.log1p(g * g)), m


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rule_may_use_them(dtype):
    assert_rule_matches(squashed, squashed_in_floats, dtype=dtype)


def test_a_wrong_rule_with_powers_is_still_found():
    def wrong(w, g, m, *, lr, beta, p):
        return squashed_in_floats(w, g, m, lr=lr, beta=beta, p=p + 1e-6)

    with pytest.raises(AssertionError, match="w at step"):
        assert_rule_matches(squashed, wrong)


def test_such_a_rule_trains():
    net = ol.MLP([64, 16, 10], seed=0)
    history = ol.fit(net, ol.Optimizer(net.parameters, squashed, lr=0.3), ol.datasets.load("digits"), epochs=3)
    assert history.val_accuracy[-1] > 0.8


def test_such_a_rule_is_explained_and_printed():
    explained = ol.explain(squashed, steps=2, gradients=[3.0, -0.5])
    assert explained.formula.splitlines() == [
        "mₜ = β mₜ₋₁ + (1 − β) min(max(gₜ, −1), 1)",
        "sizeₜ = |mₜ|^p e^(−mₜ²)",
        "wₜ = wₜ₋₁ − η sign(mₜ) sizeₜ − η tanh(mₜ³) erf(ln(1 + gₜ²))",
    ]
    assert r"\left|m_{t}\right|^{p} \, e^{-m_{t}^{2}}" in explained.latex
    assert (
        r"\tanh\left(m_{t}^{3}\right) \, \operatorname{erf}\left(\ln\left(1 + g_{t}^{2}\right)\right)"
        in explained.latex
    )
    w, m = 1.0, 0.0
    for gradient, step in zip([3.0, -0.5], explained.steps, strict=True):
        w, m = squashed_in_floats(w, gradient, m, lr=0.05, beta=0.9, p=0.8)
        assert step.weight == pytest.approx(w, rel=1e-14)
        assert step.terms["mₜ"] == pytest.approx(m, rel=1e-14)
    for kind, text in {"c": "powf(", "cuda": "erff(", "javascript": "Math.log1p(", "numpy": "tanh("}.items():
        assert text in source(squashed, kind)


# ---- formulas ----

FORMULAS = {
    "x * activations.sigmoid(x)": ("x σ(x)", r"x \, \sigma\left(x\right)"),
    "1 / (1 + np.exp(-a * x))": ("1 / (1 + e^(−a x))", r"\frac{1}{1 + e^{-a \, x}}"),
    "kernels.erf(x / 2)": ("erf(x / 2)", r"\operatorname{erf}\left(\frac{x}{2}\right)"),
    "np.exp(x)": ("e^x", "e^{x}"),
    "np.exp(x) ** 2": ("(e^x)²", r"\left(e^{x}\right)^{2}"),
    "a * np.expm1(x)": ("a (e^x − 1)", r"a \, \left(e^{x} - 1\right)"),
    "np.log(x)": ("ln(x)", r"\ln\left(x\right)"),
    "np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))": (
        "max(x, 0) + ln(1 + e^(−|x|))",
        r"\max\left(x, 0\right) + \ln\left(1 + e^{-\left|x\right|}\right)",
    ),
    "np.tanh(x) - np.sin(x) * np.cos(x)": (
        "tanh(x) − sin(x) cos(x)",
        r"\tanh\left(x\right) - \sin\left(x\right) \, \cos\left(x\right)",
    ),
    "x**3 + x * x": ("x³ + x x", r"x^{3} + x \, x"),
    "(x + 1) ** 13": ("(x + 1)¹³", r"\left(x + 1\right)^{13}"),
    "x**-3": ("1 / x³", r"\frac{1}{x^{3}}"),
    "x**-0.5": ("1 / √x", r"\frac{1}{\sqrt{x}}"),
    "x**a + a**x + 2**-x": ("x^a + a^x + 2^(−x)", "x^{a} + a^{x} + 2^{-x}"),
    "np.where(x > 0, x, a * x)": (
        "(x where x > 0, else a x)",
        r"\begin{cases} x & x > 0 \\ a \, x & \text{else} \end{cases}",
    ),
}


@pytest.mark.parametrize("expression", FORMULAS)
def test_formulas_of_functions(expression):
    graph = kernels.trace_function(
        eval(f"lambda x, *, a=0.5: {expression}", {"np": np, "kernels": kernels, "activations": activations})
    )
    (made,) = kernels.equations(graph)
    assert made.printed(kernels.unicode) == ("out", FORMULAS[expression][0])
    assert made.printed(kernels.latex) == (r"\mathrm{out}", FORMULAS[expression][1])
    if "cases" not in FORMULAS[expression][1]:  # which Matplotlib does not draw
        MathTextParser("path").parse(f"${FORMULAS[expression][1]}$".replace(r"\,", r"\/"))
    text = made.printed(kernels.mathml)[1].replace("&InvisibleTimes;", "·")
    drawn = "".join(ElementTree.fromstring(f"<math>{text}</math>").itertext())
    assert set(drawn) - {"{"} >= set(FORMULAS[expression][0]) - set(" √/|^()·whr,²³¹¹"), drawn


def test_a_variable_named_e_is_not_taken_for_the_number():
    def f(x):
        e = np.exp(x)
        return e * np.expm1(-x)

    made = kernels.equations(kernels.trace_function(f))
    assert [" = ".join(e.printed(kernels.unicode)) for e in made] == ["e = exp(x)", "out = e (exp(−x) − 1)"]
    assert made[0].printed(kernels.latex) == (r"\mathrm{e}", r"\exp\left(x\right)")

    (made,) = kernels.equations(kernels.trace(lambda w, g, *, e=0.1: w - e * np.exp(g)))
    assert made.printed(kernels.unicode) == ("wₜ", "wₜ₋₁ − e exp(gₜ)")


def test_local_names_of_functions_are_distinct():
    def f(x, y, *, a=0.5):
        s = activations.sigmoid(x)
        x = s * y
        a = x + a
        out = a * a
        return out + s, x

    made = kernels.equations(kernels.trace_function(f))
    lines = [" = ".join(e.printed(kernels.unicode)) for e in made]
    assert lines == ["s = σ(x)", "out2 = s y", "a′ = out2 + a", "out = a′ a′", "out1 = out + s"]
