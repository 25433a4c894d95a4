"""Every engine equals the rule itself, bit for bit."""

from __future__ import annotations

import ctypes
import functools
import inspect
import itertools
import math
import platform
import re
import tracemalloc
from collections import Counter
from dataclasses import replace

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from compiling import shared_library
from conftest import assert_same_bits

from optimlab import backends, kernels, rules
from optimlab.backends import llvm
from optimlab.backends.numpy import NumPyStep, _select, _sign
from optimlab.rules import textbook

DTYPES = ["float32", "float64"]
T = 7  # the step that single updates are made at
FACTOR = 0.75  # a Python float from outside a rule is a constant of it

# ---- made-up rules: each puts the printers to a test of its own ----


def decay_where_same_sign(w, g, m, *, lr=0.1, beta=0.9):
    m = np.where(g > 0, m, beta * m + g)
    return w - lr * np.where(m * g >= 0, m, g), m


def every_comparison(w, g, a, b, *, lr=0.1):
    a = np.where(w > g, a, np.where(w <= 0, lr, b))
    b = np.where(a != b, g, np.where(a == g, w, 2.0))
    return np.where(w >= a, w - lr * g, np.where(g < lr, w, -w)), a, b


def kept_by_a_comparison(w, g, c, *, lr=0.1):
    return w - lr * np.where(g * c > 0, g, 0.0), np.where(w != g, c, 0.0)


def every_function(w, g, a, b, *, lr=0.1):
    a = np.square(np.sign(b)) - (-g) ** 2 + (+w) ** 0.5 + np.sign(g) * a
    return w - lr * np.sqrt(np.fabs(a)) / (np.power(g, 2) + abs(b)), a, np.sign(b)


def largest_and_smallest(w, g, a, b, *, cap=2.0):
    a = np.minimum(np.maximum(a, -cap), np.abs(g))
    return np.maximum(w, g), a, np.minimum(b, w)


def clipped(w, g, a, b, *, cap=2.0):
    a = np.clip(a, -cap, b) - np.clip(g, None, 0.5)
    return np.clip(w, g, a_max=cap) + np.clip(g, min=b), a, np.reciprocal(b) + w**-1 - g**1


def both_orders(w, g, m, *, lr=0.1):
    return (w - g) * (g - w) / (lr * (w / g) + g / w), np.where(w < g, m, -m) - np.where(g < w, m, -m)


def a_choice_of_temporaries(w, g, m, *, lr=0.1):
    w = w - lr * np.where(g > 0, w * m, m)
    return w - lr * np.where(g > m, m, w * g), m + np.where(w == m, m * g, w / g)


def reflected_operators(w, g, *, lr=0.1):
    return (2 - w) + lr / (1 + g) * (3 * w) - (1 / g) / 3


def swapped_states(w, g, u, v, *, lr=0.1):
    return w - lr * g, v, u


def rotated_states(w, g, a, b, c, *, lr=0.1):
    return w - lr * c, b, c, a


def one_value_in_two_places(w, g, m, v, *, lr=0.1):
    m = m + lr * g
    return w - m, m, m


def new_weights_in_every_place(w, g, m, v, *, lr=0.1):
    w = w - lr * g
    return w, w, w


def an_old_value_that_outlives_the_new(w, g, m, *, lr=0.1):
    old, m = lr * m, g * g
    return (w - m) * old, m


def a_choice_between_old_values(w, g, m, *, lr=0.1):
    old = lr * m
    return w - g, np.where(g > 0, old, w)


def a_comparison_of_what_is_replaced(w, g, m, *, lr=0.1):
    return w - g, lr * np.where(m > 0, g, w)


def state_left_alone(w, g, u, v, *, lr=0.1):
    return w - lr * u, u, v + g


def states_that_remember(w, g, before, gradient, *, lr=0.1):
    return w - lr * (g - gradient), w, g


def weights_from_a_state(w, g, m, *, lr=0.1):
    return m, w - lr * g


def nothing_changes(w, g, m):
    return w, m


def state_that_starts_at_a_half(w, g, s=0.5, *, lr=0.1):
    s = FACTOR * s + g
    return w - lr * s, s


def no_hyperparameters(w, g):
    return w - 0.125 * g


def scalar_arithmetic(w, g, *, t, lr=0.1, rho=0.9):
    warmed = (1 - rho**t) ** 0.5 / (-lr + 2 * t) - t ** -(1 + rho)
    return w - warmed * g + (-rho) ** t * w + ((-1.0) ** t * lr) * g


def scalar_comparisons(w, g, *, t, lr=0.1, rho=0.9):
    late = (t > 5) * abs(lr - rho) + (t % 3) / (1 + t // 2)
    return w - late * g - lr * (t == 7) * w + (t != 7) * (rho <= lr) * g


RULES = {f"{c}.{name}": rules.find(name, c) for c in rules.CONVENTIONS for name in rules.names(c)}
RULES |= {
    f"made_up.{rule.__name__}": rule
    for rule in (
        decay_where_same_sign,
        every_comparison,
        kept_by_a_comparison,
        every_function,
        largest_and_smallest,
        clipped,
        both_orders,
        a_choice_of_temporaries,
        reflected_operators,
        swapped_states,
        rotated_states,
        one_value_in_two_places,
        new_weights_in_every_place,
        an_old_value_that_outlives_the_new,
        a_choice_between_old_values,
        a_comparison_of_what_is_replaced,
        state_left_alone,
        states_that_remember,
        weights_from_a_state,
        nothing_changes,
        state_that_starts_at_a_half,
        no_hyperparameters,
        scalar_arithmetic,
        scalar_comparisons,
    )
}


def specimens(rule, dtype, n, seed=0):
    """The rule's arrays by name: numbers of every size, and all that is special about floats, in all combinations."""
    names = kernels.declaration(rule)[0]
    return {name: a.copy() for name, a in zip(names, drawn(dtype, n, seed, len(names)), strict=True)}


@functools.lru_cache(100)
def drawn(dtype, n, seed, count):
    generator = np.random.default_rng(seed)
    info = np.finfo(dtype)
    special = [0.0, 1.0, info.smallest_subnormal, 5 * info.smallest_subnormal, info.tiny, info.max, math.inf]
    special = np.array([s * x for x in special for s in (1, -1)] + [math.nan], dtype)
    arrays = []
    for _ in range(count):
        x = (generator.normal(size=n) * 10.0 ** generator.integers(-12, 12, n)).astype(dtype)
        arrays.append(np.where(generator.random(n) < 0.4, generator.choice(special, n), x))
    return arrays


def called(rule, arrays, t=T):
    """The arrays after a step, by calling the rule itself on them."""
    counted = {"t": t} if "t" in inspect.signature(rule).parameters else {}
    with np.errstate(all="ignore"):
        returned = rule(*arrays.values(), **counted)
    written = [name for name in arrays if name != "g"]
    after = {**arrays, **dict(zip(written, returned if isinstance(returned, tuple) else (returned,), strict=True))}
    return {name: a.copy() for name, a in after.items()}  # a rule may return its arguments


@functools.cache
def host_scalars(rule, t=T):
    graph = kernels.trace(rule)
    return graph.scalars(t=t, **graph.hyperparameters)


def assert_same_arrays(actual, expected, what):
    for name in expected:
        assert_same_bits(actual[name], expected[name], f"{what}: {name}")


def assert_same_as_numpy(rule, actual, expected, what):
    """For compiled texts. Which of 0 and -0 is the larger depends, in NumPy, on the processor; the texts follow x86."""
    picks = {"maximum", "minimum"} & {node.op for node in kernels.trace(rule).nodes}
    if picks and platform.machine() not in ("x86_64", "AMD64"):
        actual, expected = ({name: a + 0.0 for name, a in arrays.items()} for arrays in (actual, expected))  # -0 to 0
    assert_same_arrays(actual, expected, what)


@pytest.mark.parametrize("size", [7, 5000])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_a_choice_is_numpys_bit_for_bit_and_may_be_written_over_what_it_chooses_from(size, dtype):
    a, b = np.random.default_rng(0).normal(size=(2, size)).astype(dtype)
    a[:4], b[-4:] = [np.nan, -0.0, np.inf, 0.0], [-np.inf, np.nan, 0.0, -0.0]
    mask = np.random.default_rng(1).random(size) < 0.5
    for yes, no in ((a, b), (a, 0.0), (0.0, b), (1.5, -0.0), (a, a)):
        wanted = np.where(mask, yes, no).astype(dtype)
        for over in (None, a, b):
            out = np.empty_like(a) if over is None else over.copy()
            _select(mask, out if yes is over else yes, out if no is over else no, out)
            np.testing.assert_array_equal(out, wanted)
            np.testing.assert_array_equal(np.signbit(out), np.signbit(wanted))


@pytest.mark.parametrize("dtype", DTYPES)
def test_signs_are_numpys_whatever_the_number(dtype):
    x = specimens(textbook.sgd, dtype, 20_000)["g"]
    out = np.empty_like(x)
    with np.errstate(all="raise"):
        _sign(x, out)
    assert_same_bits(out, np.sign(x), "signs")
    _sign(x, x)
    assert_same_bits(x, out, "in place")


def test_a_rule_left_to_numpy_keeps_float32():
    # otherwise the comparisons below would compare float64 with float32
    for name, rule in RULES.items():
        assert {a.dtype for a in called(rule, specimens(rule, "float32", 3)).values()} == {np.dtype("float32")}, name


# ---- NumPy in blocks ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
class TestNumPyEngine:
    @pytest.mark.quick_each("rule", "dtype", "n", "block")
    @pytest.mark.parametrize(
        ("n", "block"), [(0, 5), (1, 1), (1, 5), (7, 3), (1000, 37), (1000, 1000), (40000, 4099), (40000, 1 << 20)]
    )
    def test_equals_the_rule_whatever_the_block(self, rule, dtype, n, block):
        arrays = specimens(rule, dtype, n)
        expected = called(rule, called(rule, arrays, t=1), t=2)
        step = NumPyStep(kernels.trace(rule), [arrays], block * np.dtype(dtype).itemsize)
        with np.errstate(all="ignore"):
            step(host_scalars(rule, t=1))
            step(host_scalars(rule, t=2))
        assert_same_arrays(arrays, expected, f"{n} in blocks of {block}")

    def test_updates_the_stretches_it_is_given_and_nothing_else(self, rule, dtype):
        arrays = specimens(rule, dtype, 500)
        stretches = [slice(3, 4), slice(10, 110), slice(110, 300), slice(477, 500)]
        inside = np.zeros(500, bool)
        for part in stretches:
            inside[part] = True
        after = called(rule, arrays)
        expected = {name: np.where(inside, after[name], arrays[name]) for name in arrays}
        step = NumPyStep(kernels.trace(rule), [{k: a[part] for k, a in arrays.items()} for part in stretches], 256)
        with np.errstate(all="ignore"):
            step(host_scalars(rule))
        assert_same_arrays(arrays, expected, "stretches")

    @pytest.mark.quick_each("rule", "dtype")
    def test_is_the_same_without_what_is_multiplied_or_divided_by_one(self, rule, dtype):
        """Blocks leave out such operations; a single block does not look for them."""
        arrays, graph = specimens(rule, dtype, 50), kernels.trace(rule)
        slots = range(len(graph.slots))
        for ones in [slots, *([k] for k in slots)]:
            scalars = [1.0 if k in ones else value for k, value in enumerate(host_scalars(rule))]
            results = []
            for block in (50, 20):
                results.append({name: a.copy() for name, a in arrays.items()})
                with np.errstate(all="ignore"):
                    NumPyStep(graph, [results[-1]], block * np.dtype(dtype).itemsize)(scalars)
            assert_same_arrays(results[1], results[0], f"slots {list(ones)} are 1")

    @pytest.mark.quick_each("rule", "dtype")
    def test_allocates_no_array_during_a_step(self, rule, dtype):
        arrays = specimens(rule, dtype, 40000)
        step, scalars = NumPyStep(kernels.trace(rule), [arrays]), host_scalars(rule)
        with np.errstate(all="ignore"):
            step(scalars)
            tracemalloc.start()
            step(scalars)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 8000  # a mask of the smallest block would take more


OPERATIONS = {
    "{a} + {b}": 4,
    "{a} - {b}": 4,
    "{a} * {b}": 2,
    "{p} * {a}": 6,
    "{a} * {p}": 6,
    "{a} / {p}": 6,
    "{a} + {p} * {b}": 4,
    "{p} / ({a} + 2)": 1,
    "{a} / ({b} * {b} + 1)": 1,
    "-{a}": 1,
    "{a} ** 2": 1,
    "abs({a}) ** 0.5": 1,
    "np.where({a} > {b}, {p} * {a}, {b})": 2,
    "np.where({a} * {p} > 0, {p}, {b})": 1,
}
SETTINGS = list(itertools.product([0.0, 0.75, 1.0], repeat=3))


def random_rule(draw):
    """Some lines of arithmetic; what it returns may be anything it has had in hand, its arguments too."""
    states = ["a", "b", "c"][: draw.randrange(4)]
    arrays, lines = ["w", "g", *states], []
    scalars = ["p", "q", "r", "(1 - p * q)", "(p + r)"]
    for k in range(draw.randrange(1, 9)):
        operation = draw.choices([*OPERATIONS], [*OPERATIONS.values()])[0]
        name = draw.choice([f"v{k}", *arrays])
        operands = {"a": draw.choice(arrays), "b": draw.choice(arrays), "p": draw.choice(scalars)}
        lines.append(f"    {name} = {operation.format(**operands)}\n")
        arrays.append(name)
    outputs = ", ".join(draw.choice(arrays[-5:] + arrays[:2]) for _ in ["w", *states])
    text = (
        f"def rule({', '.join(['w', 'g', *states])}, *, p=0.75, q=0.75, r=0.75):\n{''.join(lines)}    return {outputs}"
    )
    scope = {"np": np}
    exec(text, scope)
    return scope["rule"], text


@pytest.fixture(scope="module")
def nothing_kept():
    """Kernels are neither read from the disk nor written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llvm, "_read", lambda path: None)
        patch.setattr(llvm, "_keep", lambda path, code: None)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_kept")
@hypothesis.given(draw=st.randoms(use_true_random=False))
@hypothesis.settings(deadline=None, max_examples=40)
def test_any_rule_is_the_same_whatever_scalars_are_one_or_zero(draw):
    """An output may become an input where operations are left out, and values may need other places."""
    rule, text = random_rule(draw)
    graph = kernels.trace(rule)
    start = specimens(rule, "float32", 8, seed=draw.randrange(100))
    arrays, compiled = ({name: a.copy() for name, a in start.items()} for _ in range(2))
    step = NumPyStep(graph, [arrays], 3 * 4)
    loop = backends.get("auto").bind(graph, [compiled])  # compiled where llvmlite is installed
    rows = {name: np.tile(a, (len(SETTINGS), 1)) for name, a in start.items()}
    slots = [graph.scalars(t=1, **dict(zip("pqr", values, strict=True))) for values in SETTINGS]
    with np.errstate(all="ignore"):
        NumPyStep(graph, [rows], 5 * 8 * 4)(np.array(slots).reshape(len(SETTINGS), -1))
        for row, (values, scalars) in enumerate(zip(SETTINGS, slots, strict=True)):
            returned = rule(*start.values(), **dict(zip("pqr", values, strict=True)))
            returned = returned if isinstance(returned, tuple) else (returned,)
            for name, a in start.items():
                arrays[name][...] = compiled[name][...] = a
            step(scalars)
            loop(scalars)
            for name, after in zip(graph.written, returned, strict=True):
                what = f"{name} with {values} in\n{text}\n"
                assert_same_bits(arrays[name], after, what)
                assert_same_bits(rows[name][row], after, f"replica, {what}")
                assert_same_bits(compiled[name], after, f"compiled, {what}")


def test_no_stretch_at_all_is_no_work():
    NumPyStep(kernels.trace(textbook.sgd), [])((0.1,))


# ---- the C texts, compiled ----


@pytest.fixture(scope="module", params=DTYPES)
def library(request, compiler, tmp_path_factory):
    """All rules of one dtype in one shared library, and the names of their functions."""
    dtype, folder = request.param, tmp_path_factory.mktemp("compiled")
    # conventions have rules of the same name
    graphs = [replace(kernels.trace(rule), name=name.replace(".", "_")) for name, rule in RULES.items()]
    text = "\n".join(kernels.c_source(graph, dtype) for graph in graphs)
    made = shared_library(text, compiler, ["-x", "c", "-O2", "-ffp-contract=off"], folder)
    return dtype, ctypes.CDLL(str(made)), dict(zip(RULES, re.findall(r"void (\w+)\(", text), strict=True))


def arguments(rule, dtype, arrays):
    """Return the arguments of the compiled function: n, a pointer to each array, a pointer to the host scalars."""
    with np.errstate(all="ignore"):
        hp = np.array(host_scalars(rule), dtype)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays.values(), hp)]
    return hp, [ctypes.c_longlong(len(arrays["w"])), *pointers]


@pytest.mark.parametrize("name", RULES)
def test_the_c_text_equals_the_rule(name, library):
    rule, (dtype, made, functions) = RULES[name], library
    for n in (0, 1, 40001):
        arrays = specimens(rule, dtype, n, seed=n)
        expected = called(rule, arrays)
        hp, given = arguments(rule, dtype, arrays)
        made[functions[name]](*given)
        assert_same_as_numpy(rule, arrays, expected, f"{n} elements")
        assert hp.tobytes() == np.array(host_scalars(rule), dtype).tobytes()


# ---- what is computed on the host ----


def test_host_scalars_are_python_floats_computed_in_float64():
    beta1, beta2, lr, eps = 0.9, 0.999, 1e-3, 1e-7
    expected = [beta1, 1 - beta1, beta2, 1 - beta2, 1 - beta1**1000, 1 - beta2**1000, lr, eps]
    values = kernels.trace(textbook.adam).scalars(t=1000, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    assert Counter(values) == Counter(expected)
    assert {type(value) for value in values} == {float}


@pytest.mark.parametrize(("first", "steps"), [(1, 3), (250, 10), (257, 600), (5, 0)])
def test_the_host_scalars_of_many_steps_are_those_of_each(first, steps):
    graph, values = kernels.trace(textbook.adam), {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
    expected = [graph.scalars(t=t, **values) for t in range(first, first + steps)]
    assert graph.table(first, steps, values).tolist() == [list(row) for row in expected]


def test_a_step_that_is_never_taken_raises_nothing():
    def rule(w, g, *, t, lr=0.1):
        return w - lr / (20 - t) * g

    graph = kernels.trace(rule)
    assert graph.table(1, 19, {"lr": 0.1}).shape == (19, 1)
    with pytest.raises(
        kernels.ScalarError, match=r"rule cannot be computed with t=20, lr=0\.1: float division by zero"
    ):
        graph.table(15, 6, {"lr": 0.1})


def test_what_depends_on_scalars_alone_is_one_slot():
    scalars = kernels.trace(textbook.adamax).scalars(t=3, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-7)
    assert 0.002 / (1 - 0.9**3) in scalars
    assert 0.002 not in scalars


def test_equal_subexpressions_are_computed_once():
    graph = kernels.trace(textbook.nesterov)
    assert Counter(node.op for node in graph.nodes) == {"multiply": 3, "subtract": 2, "add": 1}  # beta m, lr g, beta m'
    for rule in RULES.values():
        assert len(set(kernels.trace(rule).slots)) == len(kernels.trace(rule).slots)


def test_what_no_output_needs_is_not_computed():
    def rule(w, g, *, lr=0.1):
        np.sqrt(g * g)
        return w - lr * g

    assert [node.op for node in kernels.trace(rule).nodes] == ["multiply", "subtract"]


def test_the_declaration_is_read_off_the_signature():
    assert kernels.declaration(state_that_starts_at_a_half) == (("w", "g", "s"), {"s": 0.5}, {"lr": 0.1})
    assert kernels.declaration(textbook.adam)[0] == ("w", "g", "m", "s")
    assert "t" not in kernels.declaration(textbook.adam)[2]


def test_a_negative_constant_keeps_its_sign_under_a_power():
    def alternating(w, g, *, t, lr=0.1):
        return w - (-1.0) ** t * lr * g

    graph = kernels.trace(alternating)
    assert [graph.scalars(t=t, lr=0.1) for t in (1, 2)] == [(-0.1,), (0.1,)]
