"""explain for activations and losses: the formulas are right, and what is said of a curve was computed from it."""

from __future__ import annotations

import ast
import ctypes
import inspect
import json
import math
import re
import subprocess
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
from click.testing import CliRunner
from conftest import require

import optimlab as ol
from optimlab import rules
from optimlab.cli import main
from optimlab.lab.explanation import explain_activation, explain_loss, explain_rule, kind_of, source
from optimlab.lab.explanation.by_name import SOURCES
from optimlab.lab.explanation.of_losses import FORMULAS
from optimlab.nn.activations import ACTIVATIONS, Activation
from optimlab.nn.losses import LOSSES

ELEMENTWISE = [name for name, f in ACTIVATIONS.items() if f.elementwise]
VARIANTS = [
    *(ACTIVATIONS[name] for name in ELEMENTWISE),
    ACTIVATIONS["leaky_relu"].given(slope=0.3),
    ACTIVATIONS["elu"].given(alpha=2.5),
]
ELSEWHERE = {"erf": scipy.special.erf, "sigmoid": scipy.special.expit}
ARRAYS = SimpleNamespace(**{name: getattr(np, name) for name in dir(np) if name[0] != "_"}, **ELSEWHERE)
"""What ``np`` stands for in the lines of a formula."""

X = np.array([-9.3, -4.1, -2.2, -0.7, -0.1, 0.3, 1.4, 2.6, 4.7, 7.9])  # on no kink


def worked_out(equations, **known):
    """The values of a formula's lines, each from those above it."""
    with np.errstate(over="ignore"):
        for e in equations:
            code = compile(ast.unparse(e.value).replace("@changed", "_changed"), "<formula>", "eval")
            known[e.name.replace("@changed", "_changed")] = eval(code, {"np": ARRAYS}, known)
    return known


@pytest.mark.parametrize("f", VARIANTS, ids=repr)
def test_the_printed_lines_give_the_values_and_the_derivatives(f):
    explained = explain_activation(f)
    value, derivative = explained.equations
    known = worked_out(value, x=X, **dict(f.parameters))
    np.testing.assert_allclose(known["y"], f(X), rtol=1e-14)
    slope = worked_out(derivative, x=X, y=known["y"], **dict(f.parameters))["y_changed"]
    np.testing.assert_allclose(np.broadcast_to(slope, X.shape), f.derivative(X), rtol=1e-14)


@cache
def symbolic(f):
    """The printed formula as an expression of SymPy."""
    sympy = require("sympy")
    x = sympy.Symbol("x", real=True)

    def where(condition, yes, no):
        return sympy.Piecewise((yes, condition), (no, True))

    functions = SimpleNamespace(
        exp=sympy.exp,
        expm1=lambda v: sympy.exp(v) - 1,
        log1p=lambda v: sympy.log(1 + v),
        tanh=sympy.tanh,
        erf=sympy.erf,
        sigmoid=lambda v: 1 / (1 + sympy.exp(-v)),
        maximum=lambda a, b: where(a > b, a, b),
        minimum=lambda a, b: where(a < b, a, b),
        absolute=lambda v: where(v > 0, v, -v),
        where=where,
    )
    known = {"x": x, **{name: sympy.Float(value, 30) for name, value in f.parameters}}
    for e in explain_activation(f).equations[0]:
        known[e.name] = eval(compile(ast.unparse(e.value), "<formula>", "eval"), {"np": functions}, known)
    return x, sympy.sympify(known["y"])


@pytest.mark.quick("sigmoid", "gelu")
@pytest.mark.parametrize("f", VARIANTS, ids=repr)
def test_the_derivatives_are_those_of_the_formula_found_symbolically(f):
    x, y = symbolic(f)
    first = y.diff(x)
    second = first.diff(x)
    step = 1e-5
    difference = (f.derivative(X + step) - f.derivative(X - step)) / (2 * step)
    for k, at in enumerate(X):
        assert f.derivative(X[k : k + 1])[0] == pytest.approx(float(first.subs(x, at).evalf(30)), rel=1e-11, abs=1e-15)
        assert difference[k] == pytest.approx(float(second.subs(x, at).evalf(30)), rel=1e-7, abs=1e-9)


def test_the_lines_of_softmax_are_softmax():
    f, explained = ACTIVATIONS["softmax"], explain_activation("softmax")
    x, dy = np.random.default_rng(0).normal(size=(2, 5, 3), scale=4)
    rows = {"max": lambda v: v.max(axis=-1, keepdims=True), "sum": lambda v: v.sum(axis=-1, keepdims=True)}
    known = worked_out(explained.equations[0], x=x, **rows)
    np.testing.assert_allclose(known["y"], f(x), rtol=1e-14)
    dx = worked_out(explained.equations[1], y=known["y"], dy=dy, **rows)["dx"]
    np.testing.assert_allclose(dx, f.backward(f(x), dy), rtol=1e-13, atol=1e-16)


def test_the_derivatives_of_softmax_are_those_of_finite_differences():
    explained, f = explain_activation("softmax", at=[0.3, -1.0, 2.0, 0.0]), ACTIVATIONS["softmax"]
    x = np.array(explained.x)
    for j, moved in enumerate(1e-6 * np.eye(4)):
        difference = (f(x + moved) - f(x - moved)) / 2e-6
        np.testing.assert_allclose([slopes[j] for slopes in explained.slopes], difference, atol=1e-9)


FORMULA = {  # as a reader would write them
    "identity": ("y = x", "y′ = 1"),
    "sigmoid": ("y = σ(x)", "y′ = y (1 − y)"),
    "tanh": ("y = tanh(x)", "y′ = 1 − y²"),
    "softsign": ("y = x / (1 + |x|)", "y′ = (1 − |y|)²"),
    "relu": ("y = max(x, 0)", "y′ = (1 where y > 0, else 0)"),
    "leaky_relu": ("y = (x where x > 0, else slope x)", "y′ = (1 where y > 0, else slope)"),
    "softplus": ("y = max(x, 0) + ln(1 + e^(−|x|))", "y′ = σ(x)"),
    "swish": ("y = x σ(x)", "s = σ(x)\ny′ = s + y (1 − s)"),
    "hard_swish": (
        "y = x (min(max(x + 3, 0), 6) / 6)",
        "y′ = ((1 where x > 3, else x / 3 + 0.5) where x > −3, else 0)",
    ),
    "softmax": (
        "top = max(x)\ne = e^(x − top)\ntotal = sum(e)\ny = e / total",
        "total = sum(y dy)\ndx = y (dy − total)",
    ),
}


@pytest.mark.parametrize(("name", "lines"), FORMULA.items())
def test_the_formulas_in_unicode(name, lines):
    explained = ol.explain(name)
    assert (explained.formula, explained.derivative) == lines


@pytest.mark.quick("gelu", "relu")
@pytest.mark.parametrize("name", [*ACTIVATIONS, *LOSSES])
def test_the_latex_is_drawn_by_matplotlib(name):
    """mathtext refuses unbalanced braces and unknown commands; it has no environments."""
    from matplotlib.mathtext import MathTextParser

    lines = ol.explain(name).latex.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
    cases = re.compile(r"\\begin\{cases\}(((?!\\begin).)*?)\\end\{cases\}", re.DOTALL)
    while (plain := cases.sub(lambda m: m[1].replace("&", "").replace(r"\\", ""), lines)) != lines:
        lines = plain
    for line in lines.split(" \\\\\n"):
        left, right = (side.replace(r"\text", r"\mathrm") for side in line.split("&=", 1))
        MathTextParser("path").parse(f"${left} = {right}$")


# --- the curve

INFINITE = math.inf
SIGMOID = math.log((1 + math.sqrt(0.99)) / (1 - math.sqrt(0.99)))  # where y (1 - y) is 1% of 1/4
TANH = math.atanh(math.sqrt(0.99))
SATURATED = {  # from the derivatives, by hand
    "identity": [],
    "sigmoid": [(-INFINITE, -SIGMOID), (SIGMOID, INFINITE)],
    "tanh": [(-INFINITE, -TANH), (TANH, INFINITE)],
    "softsign": [(-INFINITE, -9), (9, INFINITE)],
    "relu": [(-INFINITE, 0)],
    "relu6": [(-INFINITE, 0), (6, INFINITE)],
    "leaky_relu": [],
    "elu": [(-INFINITE, math.log(0.01))],
    "selu": [(-INFINITE, math.log(0.01))],
    "softplus": [(-INFINITE, math.log(0.01 / 0.99))],
    "hard_swish": [(-INFINITE, -3)],
}


@pytest.mark.parametrize(("name", "ranges"), SATURATED.items())
def test_where_an_activation_saturates(name, ranges):
    found = explain_activation(name).saturated
    assert len(found) == len(ranges)
    for ours, expected in zip(found, ranges, strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("f", VARIANTS, ids=repr)
def test_the_ranges_are_where_the_derivative_is_small(f):
    explained = explain_activation(f)
    x = np.random.default_rng(0).uniform(-30, 30, 5000)
    within = np.zeros(len(x), bool)
    for low, high in explained.saturated:
        within |= (low < x) & (x < high)
    near_a_turn = np.any([abs(x - at) < 0.1 for at, _ in explained.turns], axis=0) if explained.turns else False
    small = abs(f.derivative(x)) < 0.01 * explained.steepest
    np.testing.assert_array_equal(small & ~near_a_turn, within)
    assert abs(f.derivative(x)).max() <= explained.steepest * (1 + 1e-6)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("swish", -1.2784645427610738, -0.2784645427610738),  # where 1 + x (1 - s) = 0, y = 1 + x
        ("hard_swish", -1.5, -0.375),
        ("gelu", -0.7517915246935645, -0.16997120747990369),
        ("mish", -1.1924312145154952, -0.30884341301725043),  # by mpmath
    ],
)
def test_turning_points(name, x, y):
    assert explain_activation(name).turns == (pytest.approx((x, y), abs=1e-6),)


def test_only_these_turn():
    turning = {name for name in ELEMENTWISE if explain_activation(name).turns}
    assert turning == {"swish", "hard_swish", "gelu", "gelu_tanh", "mish"}


def test_what_is_said_follows_the_parameters():
    steep = ol.explain("leaky_relu", slope=0.001)
    assert steep.saturated == (pytest.approx((-INFINITE, 0), abs=1e-9),)
    assert "Has a kink at x = 0: y′ jumps from 0.001 to 1." in steep.remarks
    assert "Does not saturate: |y′| is nowhere below 1% of its maximum, 1." in ol.explain("leaky_relu").remarks
    assert "leaky_relu(slope=0.001): x where x > 0" in str(steep)
    assert ol.explain("leaky_relu", {"slope": 0.001}).to_dict() == steep.to_dict()


def bump(x):
    return np.exp(-(x**2))


def bump_backward(x, y, dy):
    return -2 * x * y * dy


def test_an_activation_of_ones_own_is_explained():
    own = ol.explain(Activation("bump", bump, bump_backward), at=[0, 1])
    assert own.turns == ((0.0, 1.0),)
    assert own.formula == "y = e^(−x²)"
    assert own.derivative == "y′ = −2 x y"
    assert [ends[k] for ends in own.saturated for k in (0, 1)].count(INFINITE) == 1
    assert own.slopes == (0.0, pytest.approx(-2 / math.e))
    assert str(own).startswith("bump: an activation of your own.")


def test_the_figure_shows_what_was_found():
    figure = ol.explain("relu6").figure()
    (axes,) = figure.axes
    assert {"y", "y′", "saturated"} <= {text.get_text() for text in axes.texts}
    value, slope, *kinks = axes.lines
    x = value.get_xdata()
    np.testing.assert_array_equal(value.get_ydata(), ACTIVATIONS["relu6"](x))
    drawn = ~np.isnan(slope.get_ydata())
    np.testing.assert_array_equal(slope.get_ydata()[drawn], ACTIVATIONS["relu6"].derivative(x[drawn]))
    assert set(x[~drawn]) == {0, 6}
    assert [line.get_xdata()[0] for line in kinks] == [0, 6]
    assert slope.get_linestyle() != value.get_linestyle()  # told apart without colours
    assert axes.get_ylim()[1] > 6
    (left, right) = (patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches)
    assert (left.x1, right.x0) == (pytest.approx(0, abs=1e-6), pytest.approx(6, abs=1e-6))
    assert "kinks at x = 0, 6" in axes.get_title()


# --- losses


def test_the_formulas_of_the_losses_give_the_values_of_the_code():
    generator = np.random.default_rng(0)
    z, labels = generator.normal(size=(7, 4), scale=3), generator.integers(0, 4, 7)
    known = worked_out(
        explain_loss("softmax_cross_entropy").equations,
        z=z,
        n=7,
        t=np.eye(4)[labels],
        softmax=lambda v: scipy.special.softmax(v, axis=-1),
        sum=lambda v: v.sum(axis=-1),
        mean=np.mean,
    )
    value, gradient = ol.losses.softmax_cross_entropy(z, labels)
    assert known["L"] == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(known["dz"], gradient, rtol=1e-12, atol=1e-16)

    y, target = generator.normal(size=(2, 5, 3))
    known = worked_out(explain_loss("mean_squared_error").equations, y=y, t=target, n=15, mean=np.mean)
    value, gradient = ol.losses.mean_squared_error(y, target)
    assert known["L"] == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(known["dy"], gradient, rtol=1e-13)
    known = worked_out(explain_loss("mean_absolute_error").equations, y=y, t=target, n=15, mean=np.mean)
    value, gradient = ol.losses.mean_absolute_error(y, target)
    assert known["L"] == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(known["dy"], gradient, rtol=1e-13)
    z, label = generator.normal(size=(5, 1)), generator.integers(0, 2, 5)
    logistic = ol.activations.get("sigmoid")
    equations = explain_loss("binary_cross_entropy").equations
    known = worked_out(equations, z=z, t=label[:, None], n=5, mean=np.mean, sigmoid=logistic)
    value, gradient = ol.losses.binary_cross_entropy(z, label)
    assert known["L"] == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(known["dz"], gradient, rtol=1e-12)
    assert {*FORMULAS} == {*LOSSES}


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_the_example_is_that_of_finite_differences(name):
    """From the printed numbers alone."""
    explained = explain_loss(name)
    symbol = "z" if LOSSES[name].classifies else "y"
    rows = int(explained.example[-1]["row"])
    outputs = np.array([entry[symbol] for entry in explained.example]).reshape(rows, -1)
    if name == "softmax_cross_entropy":
        targets = np.array([entry["t"] for entry in explained.example]).reshape(rows, -1).argmax(axis=1)
    elif name == "binary_cross_entropy":
        targets = np.array([entry["t"] for entry in explained.example], int)
    else:
        targets = np.array([entry["t"] for entry in explained.example]).reshape(rows, -1)
    function = getattr(ol.losses, name)
    for k, entry in enumerate(explained.example):
        moved = np.zeros(outputs.size)
        moved[k] = 1e-6
        above, below = (function(outputs + s * moved.reshape(outputs.shape), targets)[0] for s in (1, -1))
        assert entry[f"d{symbol}"] == pytest.approx((above - below) / 2e-6, abs=1e-9)
    assert explained.value == pytest.approx(np.mean(explained.losses), rel=1e-15)
    assert explained.value == pytest.approx(function(outputs, targets)[0], rel=1e-15)
    assert f"L is their mean, {explained.value:.6g}." in " ".join(str(explained).split())


def test_the_example_of_cross_entropy_by_hand():
    """Take the first row: e^2, e^1, e^0 over their sum, whose right class is the first."""
    total = math.exp(2) + math.exp(1) + 1
    explained = explain_loss("softmax_cross_entropy")
    first, second, third = explained.example[:3]
    assert [e["softmax(z)"] for e in (first, second, third)] == pytest.approx([math.exp(k) / total for k in (2, 1, 0)])
    assert first["dz"] == pytest.approx((math.exp(2) / total - 1) / 2)
    assert explained.losses[0] == pytest.approx(math.log(total) - 2)


# --- sources


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_every_source(name, kind):
    text = source(name, kind)
    parts = ["exponential", "share", "product", "softmax_slope"] if name == "softmax" else [name, f"{name}_backward"]
    if kind == "numpy":
        assert re.findall(r"# (\w+)\ndef step\(", text) == parts
    else:
        starts = {
            "python": "def {}(",
            "llvm": "; {}\n",
            "javascript": "function {}_map(",
            "c": "void {}_map(",
            "cuda": "void {}_map(",
        }
        for part in parts:
            assert text.count(starts[kind].format(part)) == 1
    assert kind != "cuda" or text.count('extern "C" __global__') == len(parts)


def test_the_c_of_every_activation_gives_its_numbers(compiler, tmp_path):
    texts = {f.name: source(f, "c", dtype="float64") for f in VARIANTS[: len(ELEMENTWISE)]}
    code = "\n".join(texts.values()).replace("void ", 'extern "C" void ')
    (tmp_path / "all.cpp").write_text(code)
    built = tmp_path / "all.so"
    command = [compiler, "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-o", built, tmp_path / "all.cpp"]
    subprocess.run(command, check=True, timeout=60)
    library = ctypes.CDLL(str(built))
    x, dy = np.random.default_rng(0).normal(size=(2, 300), scale=4)
    for f in VARIANTS[: len(ELEMENTWISE)]:
        arrays = {"x": x, "y": f(x), "dy": dy}
        for function, graph in zip((f.forward, f.backward), f.graphs, strict=True):
            out = np.empty_like(x)
            numbers = np.array([*graph.scalars(t=1, **dict(f.parameters)), 0.0])
            given = [*(arrays[name] for name in graph.inputs), out, numbers]
            pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in given]
            getattr(library, f"{function.__name__}_map")(ctypes.c_longlong(len(x)), *pointers)
            expected = function(*(arrays[name] for name in graph.inputs), **dict(f.parameters))
            np.testing.assert_allclose(out, expected, rtol=2e-14, atol=1e-300)


@pytest.mark.parametrize("f", VARIANTS, ids=repr)
def test_the_numpy_lines_of_every_activation_give_its_numbers(f):
    x, dy = np.random.default_rng(0).normal(size=(2, 50), scale=4)
    arrays = {"x": x, "y": f(x), "dy": dy}
    texts = source(f, "numpy").split("\n\n")
    for function, graph, text in zip((f.forward, f.backward), f.graphs, texts, strict=True):
        scope = {op: getattr(ARRAYS, op) for op in {node.op for node in graph.nodes}} | {"copyto": np.copyto}
        scope["select"] = lambda mask, yes, no, out: np.copyto(out, np.where(mask, yes, no))
        exec(text, scope)
        given = {name: arrays[name].copy() for name in graph.inputs} | {"out": np.full_like(x, np.nan)}
        given |= {f"_h{k}": value for k, value in enumerate(graph.scalars(t=1, **dict(f.parameters)))}
        for name in inspect.signature(scope["step"]).parameters:
            given.setdefault(name, np.empty(x.shape, bool if name.startswith("_k") else float))
        scope["step"](**given)
        expected = function(*(arrays[name] for name in graph.inputs), **dict(f.parameters))
        np.testing.assert_allclose(given["out"], expected, rtol=1e-14)


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("softmax_cross_entropy", ["picked", "exponential", "entropy", "times", "cross_entropy_gradient"]),
        ("mean_squared_error", ["difference", "square", "times"]),
    ],
)
def test_every_loss_has_every_source_of_its_parts(name, parts, kind):
    text = source(name, kind)
    patterns = {"python": r"^def ([a-z]\w*)\(", "llvm": r"^; (\w+)", "numpy": r"^# (\w+)"}
    found = re.findall(patterns.get(kind, r"(?:void|function) (\w+)_map\("), text, re.MULTILINE)
    assert found == parts


# --- names and bad input


def test_no_name_stands_for_two_things():
    of_rules = {*rules.layerwise.__all__, *(name for c in rules.CONVENTIONS for name in rules.names(c))}
    assert not of_rules & {*ACTIVATIONS}
    assert not of_rules & {*LOSSES}
    assert not {*ACTIVATIONS} & {*LOSSES}


def test_explain_by_name_is_explain_of_that_kind():
    assert (kind_of("adam"), kind_of("muon"), kind_of("swish"), kind_of("mean_squared_error")) == (
        "rule",
        "rule",
        "activation",
        "loss",
    )
    assert str(ol.explain("adam", steps=2)) == str(explain_rule("adam", steps=2))
    assert str(ol.explain("swish", at=[1])) == str(explain_activation("swish", at=[1]))
    assert str(ol.explain(LOSSES["mean_squared_error"])) == str(explain_loss("mean_squared_error"))


OWN_LOSS = LOSSES["mean_squared_error"]._replace(name="mine")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ol.explain("adamm"), "unknown rule, activation or loss 'adamm'; did you mean 'adam'"),
        (lambda: ol.explain("swihs"), "did you mean 'swish'.* Known: sgd, .*, swish, .*, mean_squared_error"),
        (lambda: ol.explain("cross_entropy"), "did you mean .*'softmax_cross_entropy'"),
        (lambda: ol.explain(3), "unknown rule, activation or loss 3"),
        (lambda: source("swihs"), "did you mean 'swish'"),
        (lambda: ol.explain("swish", steps=5), "steps does not apply to swish, which is an activation"),
        (lambda: ol.explain("swish", gradients=[0.1]), "gradients does not apply to swish"),
        (lambda: ol.explain("swish", convention="torch"), "convention does not apply to swish"),
        (lambda: ol.explain("adam", at=[0.1]), "at does not apply to adam, which is a rule"),
        (
            lambda: ol.explain("mean_squared_error", at=[0.1]),
            "at does not apply to mean_squared_error, which is a loss",
        ),
        (lambda: ol.explain("mean_squared_error", slope=0.1), "slope does not apply to mean_squared_error"),
        (lambda: ol.explain("swish", slope=0.1), "unknown parameter of swish 'slope'"),
        (lambda: ol.explain("leaky_relu", slope=2), r"slope must lie in \[0, 1\)"),
        (lambda: ol.explain("swish", at=[]), "at least one x"),
        (lambda: ol.explain("swish", at=[math.nan]), "x must be a finite number"),
        (lambda: ol.explain(OWN_LOSS), "mine is a loss of your own"),
        (lambda: source("swish", "fortran"), "unknown source 'fortran'"),
        (lambda: source("swish", "c", convention="torch"), "convention does not apply to swish"),
        (lambda: ol.explain("softmax").figure(), "softmax has no figure"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ol.InputError, match=message):
        call()


# --- the command


def run(*arguments, **options):
    return CliRunner().invoke(main, ["explain", *map(str, arguments)], **options)


def test_the_command_prints_what_explain_returns():
    assert run("swish", "--at", "-1,0,2").stdout == f"{ol.explain('swish', at=[-1, 0, 2])}\n"
    assert run("elu", "--set", "alpha=0.5").stdout == f"{ol.explain('elu', alpha=0.5)}\n"
    assert run("mean_squared_error").stdout == f"{ol.explain('mean_squared_error')}\n"
    assert run("tanh", "--latex").stdout == f"{ol.explain('tanh').latex}\n"
    assert run("gelu", "--source", "cuda").stdout == f"{source('gelu', 'cuda')}\n"


@pytest.mark.parametrize("name", [*ACTIVATIONS, *LOSSES])
def test_json_is_strict_and_complete(name):
    told = json.loads(run(name, "--json").stdout, parse_constant=pytest.fail)
    assert told == json.loads(json.dumps(ol.explain(name).to_dict()))
    assert told["loss" if name in LOSSES else "activation"] == name
    assert name != "relu" or told["saturated"] == [[None, pytest.approx(0, abs=1e-9)]]


@pytest.mark.parametrize("name", [*ACTIVATIONS, *LOSSES])
def test_everything_can_be_spelled_in_ascii(name, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert str(ol.explain(name)).isascii()


@pytest.mark.slow
def test_the_figure_is_written_as_its_name_says(tmp_path):
    for ending, magic in {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}.items():
        result = run("swish", "--figure", tmp_path / f"swish{ending}")
        assert (result.exit_code, result.stderr) == (0, "")
        assert f"Written {tmp_path / 'swish'}{ending}" in result.stdout
        assert (tmp_path / f"swish{ending}").read_bytes().startswith(magic)
    assert json.loads(run("swish", "--json", "--figure", tmp_path / "a.png").stdout)["activation"] == "swish"
    assert len([*tmp_path.iterdir()]) == 4


def test_an_activation_in_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n"
        "from optimlab.nn.activations import Activation\n"
        "def bump(x):\n    return np.exp(-x * x)\n"
        "def bump_backward(x, y, dy):\n    return -2 * x * y * dy\n"
        "bell = Activation('bump', bump, bump_backward)\n"
    )
    assert "Turns at x = 0, where y = 1." in run(f"{path}:bell").stdout
    assert "bump_backward_map(" in run(f"{path}:bell", "--source", "c").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swihs"], "did you mean 'swish'"),
        (["swish", "--term", "s"], "--term is for rules; swish is an activation"),
        (["swish", "--step", "5"], "--step is for rules; swish is an activation"),
        (["swish", "--against", "torch"], "--against is for rules"),
        (["swish", "--convention", "torch"], "--convention is for rules"),
        (["swish:torch"], "only rules have conventions; swish is an activation"),
        (["adam", "--at", "0,1"], "--at is for activations; adam is a rule"),
        (["adam", "--figure", "adam.png"], "--figure is for activations; adam is a rule"),
        (["mean_squared_error", "--figure", "a.png"], "--figure is for activations; mean_squared_error is a loss"),
        (["mean_squared_error", "--set", "a=1"], "a does not apply to mean_squared_error"),
        (["swish", "--figure", "swish.gif"], "a figure is a file .png, .svg or .pdf, got swish.gif"),
        (["swish", "--figure", "nowhere/swish.png"], "cannot write nowhere"),
        (["swish", "--at", "a"], "expected numbers separated by commas"),
        (["swish", "--at", "nan"], "x must be a finite number"),
        (["softmax", "--figure", "softmax.png"], "softmax has no figure"),
        (["leaky_relu", "--set", "slope=1"], "slope must lie in [0, 1)"),
    ],
)
def test_the_command_refuses_bad_input_in_one_line(arguments, message):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
