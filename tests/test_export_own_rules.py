"""Exported rules of every form: the files make the steps of the rule itself, called on NumPy's arrays."""

from __future__ import annotations

import inspect
import math
import os
import random
import subprocess
import types
import warnings

import numpy as np
import pytest
from compiling import built
from conftest import require

import optimlab as ol
from optimlab.rules import host

torch = require("torch")

PYTHON = ("torch", "numpy", "optax", "keras")
W = np.array([0.5, -1.25, 2.0, -0.0625])
GRADIENTS = np.random.default_rng(0).normal(size=(6, 4))
HYPERPARAMETERS = {"lr": 0.05, "beta": 0.5}


@pytest.fixture
def jax(monkeypatch):
    """JAX in float64, also for Keras."""
    found = require("jax")
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "jax"))
    with found.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require("keras")
        yield found


def module(rule, to):
    made = types.ModuleType("exported")
    text = ol.export_rule(rule, to)
    exec(compile(text, f"{rule.__name__}_{to}.py", "exec"), made.__dict__)
    return made


def own_test(made):
    """Run the test in a file."""
    next(value for name, value in vars(made).items() if name.startswith("test_"))()


def run_c(rule, compiler, folder, dtype="float64"):
    """Compile an exported file with its test, and run it."""
    flags = ["-x", "c", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-DTEST"]
    program = built(ol.export_rule(rule, "c", dtype=dtype), compiler, flags, ".out", folder)
    ended = subprocess.run([program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def run_javascript(rule, browser):
    page = browser.new_page()
    page.evaluate(f"(() => {{ {ol.export_rule(rule, 'javascript')}\ntest_{rule.__name__}(); }})()")
    page.close()


def given(rule):
    return {name: value for name, value in HYPERPARAMETERS.items() if name in inspect.signature(rule).parameters}


def states_of(rule):
    return [p.name for p in inspect.signature(rule).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD][2:]


def steps(rule, function, state):
    """The weights and the state after each step of a function of arrays."""
    counts = "t" in inspect.signature(function).parameters
    arrays, path = [W, *state], []
    for t, g in enumerate(GRADIENTS, 1):
        made = function(arrays[0], g.copy(), *arrays[1:], **given(rule), **({"t": t} if counts else {}))
        arrays = list(made) if isinstance(made, tuple) else [made]
        path.append(arrays)
    return path


def torch_steps(rule):
    """The weights and the state after each step of the exported optimizer, which leaves the gradients alone."""
    classes = [v for v in vars(module(rule, "torch")).values() if isinstance(v, type)]
    weights = [torch.tensor(part, requires_grad=True) for part in (W[:1], W[1:])]
    optimizer, path = classes[0](weights, **given(rule)), []
    for g in GRADIENTS:
        for w, part in zip(weights, (g[:1], g[1:]), strict=True):
            w.grad = torch.tensor(part)
        optimizer.step()
        np.testing.assert_array_equal(torch.cat([w.grad for w in weights]), g)
        states = [[optimizer.state[w][name] for w in weights] for name in states_of(rule)]
        path.append([torch.cat([part.detach() for part in parts]).numpy().copy() for parts in (weights, *states)])
    return path


def assert_same_path(found, expected):
    """Weights that leave every range are not compared: rounding decides what they become."""
    for step, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if not all((abs(array) < 1e4).all() for array in theirs):
            return
        for name, a, b in zip("wxyz", ours, theirs, strict=False):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=f"{name} in step {step}")


def assert_torch_makes_the_steps(rule):
    with np.errstate(all="ignore"):
        assert_same_path(torch_steps(rule), steps(rule, rule, [np.zeros(4) for _ in states_of(rule)]))


# ---- PyTorch: lists that are overwritten, and calls that are merged ----


def gradient_read_while_it_changes(w, g, *, lr=0.01):
    g = 2 * g - g * np.abs(g)
    return w - lr * g


def gradient_mixed_with_its_product(w, g, m, *, lr=0.01, beta=0.9):
    g = (1 - beta) * g + beta * g * m
    return w - lr * g, m + 1


def gradient_added_to_its_quotient(w, g, *, lr=0.01, beta=0.9):
    g = g / (1 + np.abs(g)) + beta * g
    return w - lr * g


def gradient_twice_in_a_sum(w, g, *, lr=0.01, beta=0.9):
    return beta * g + (1 - beta) * g * abs(lr)


def gradient_changed_and_kept(w, g, m, *, lr=0.01):
    old = g
    g = 2 * g
    g = g * np.abs(g) + g
    return w - lr * g, old


def mean_scaled_afterwards(w, g, m, *, lr=0.01, beta=0.9):
    return w - lr * m, beta * (m + g)


def weights_scaled_afterwards(w, g, *, lr=0.01):
    return (1 - lr) * (w + g)


def difference_used_again(w, g, m, s, *, lr=0.01, beta=0.9):
    d = g - m
    m = m + (1 - beta) * d
    s = beta * s + (1 - beta) * (d * d)
    return w - lr * m / (np.sqrt(s) + 1e-8), m, s


def difference_as_a_state(w, g, m, s, *, lr=0.01, beta=0.9):
    d = g - m
    m = m + (1 - beta) * d
    return w - lr * m, m, d


def difference_times_one_used_again(w, g, m, s, *, lr=0.01, beta=0.9):
    d = 1 * (g - m)
    m = m + (1 - beta) * d
    return w - lr * m, m, d * d


def variable_as_a_state(w, g, prev, *, lr=0.01):
    update = g / (1 + np.abs(g))
    return w - lr * (update + prev), update


def state_called_as_a_copy(w, g, m, m_old, *, lr=0.01):
    return w - lr * (m + m_old), g, m


@pytest.mark.parametrize(
    "rule",
    [
        gradient_read_while_it_changes,
        gradient_mixed_with_its_product,
        gradient_added_to_its_quotient,
        gradient_twice_in_a_sum,
        gradient_changed_and_kept,
        mean_scaled_afterwards,
        weights_scaled_afterwards,
        difference_used_again,
        difference_as_a_state,
        difference_times_one_used_again,
        variable_as_a_state,
        state_called_as_a_copy,
    ],
)
def test_torch_overwrites_and_merges_only_what_is_not_read_again(rule):
    assert_torch_makes_the_steps(rule)


def test_torch_means_of_differences_are_one_call():
    def towards(w, g, m, *, lr=0.01, beta=0.9):
        m = m + (1 - beta) * (g - m)
        return w - lr * m, m

    assert_torch_makes_the_steps(towards)
    assert "torch._foreach_lerp_(m, g, 1 - beta)" in ol.export_rule(towards, "torch")


# ---- scalars ----


def correction_that_nothing_uses(w, g, m, *, t, lr=0.01, beta=0.9):
    correction = 1 - beta**t
    unused = correction * lr  # noqa: F841
    m = beta * m + (1 - beta) * g
    return w - lr * m, m


@pytest.mark.parametrize("to", PYTHON)
def test_unused_scalars_are_left_out(to, jax):
    text = ol.export_rule(correction_that_nothing_uses, to)
    assert "correction =" not in text.partition('"""\n\n')[2]
    own_test(module(correction_that_nothing_uses, to))


def comparisons_of_scalars(w, g, *, t, lr=0.01, beta=0.9):
    w = w - (t > 5) * lr * g
    return w - ((t > 3) + (t > 1)) * beta * lr * g - -(t <= 2) * abs(t == 4) * g * 0.3


@host
def late(t, lr):
    if (t > 2) - (t > 4) >= lr:
        return 0.3 * (t > 1) - (t != 3)
    return -(t > 2)


def comparisons_of_a_function(w, g, *, t, lr=0.01):
    return w - late(t, lr) * lr * np.where(g > (t > 1) * lr, g, w)


@pytest.mark.parametrize("to", PYTHON)
@pytest.mark.parametrize("rule", [comparisons_of_scalars, comparisons_of_a_function])
def test_comparisons_are_numbers(rule, to, jax):
    own_test(module(rule, to))


# ---- functions of scalars ----

LENGTH = 10
FACTOR = np.float64(0.5)


@host
def warm(t, steps=LENGTH, *, power=FACTOR, most=float("inf")):
    return min(1.0, FACTOR * t / steps, most) ** power


def defaults_from_outside(w, g, *, t, lr=0.01):
    return w - warm(t) * lr * g


@host
def of_several(t):
    return max(t, 3, 2.5) - min(t, 4.0, 5, 2)


def least_of_several(w, g, *, t, lr=0.01):
    return w - of_several(t) * lr * g


@host
def decades(t):
    return math.log(t, 10) + math.log(t)


def logarithm_to_a_base(w, g, *, t, lr=0.01):
    return w - decades(t) * lr * g


FUNCTIONS = pytest.mark.parametrize("rule", [defaults_from_outside, least_of_several, logarithm_to_a_base])


@FUNCTIONS
@pytest.mark.parametrize("to", PYTHON)
def test_functions_in_python(rule, to, jax):
    own_test(module(rule, to))


@FUNCTIONS
def test_functions_in_c(rule, compiler, tmp_path):
    run_c(rule, compiler, tmp_path)


def test_functions_in_javascript(browser):
    run_javascript(least_of_several, browser)


def test_defaults_are_numbers():
    @host
    def scaled(t, scale=None):
        return t if scale is None else scale * t

    with pytest.raises(ol.RuleError, match="scaled: the default None must be a number"):
        ol.export_rule(lambda w, g, *, t: w - scaled(t) * g, "numpy")


# ---- names that the files use themselves ----


def two_learning_rates(w, g, *, lr=0.05, learning_rate=0.5):
    return w - lr * learning_rate * g


def learning_rate_alone(w, g, *, learning_rate=0.05):
    return w - learning_rate * g


@pytest.mark.parametrize("to", PYTHON)
def test_hyperparameters_called_learning_rate(to, jax):
    own_test(module(two_learning_rates, to))
    if to == "optax":
        parameters = inspect.signature(module(two_learning_rates, to).two_learning_rates).parameters
        assert list(parameters) == ["learning_rate", "learning_rate_2"]
        assert list(inspect.signature(module(learning_rate_alone, to).learning_rate_alone).parameters) == [
            "learning_rate"
        ]


@host
def gamma(t):
    return t / 2


@host
def of_own_words(t, register=2.0, ops=1.0, jnp=0.5):
    exp = math.exp(-t * jnp)
    yn = gamma(t) * abs(exp - ops)
    return max(yn, exp) / register


def names_of_libraries(w, g, j1, y1, *, t, lr=0.01, ceil=0.5):
    round = g * gamma(t) * of_own_words(t)
    return w - lr * round * ceil + lr * j1 * y1, j1 + g, y1 - g


@pytest.mark.parametrize("to", PYTHON)
def test_names_of_libraries_in_python(to, jax):
    own_test(module(names_of_libraries, to))


def test_names_of_libraries_in_c(compiler, tmp_path):
    run_c(names_of_libraries, compiler, tmp_path)


# ---- weights that overflow ----


def overflows(w, g, m):
    return w * w * w * 100 - g, m


def overflows_in_float32(w, g, *, lr=0.01):
    return w * 1e6 - lr * g


@pytest.mark.parametrize("rule", [overflows, overflows_in_float32])
def test_weights_that_overflow(rule, compiler, tmp_path, browser, jax):
    with np.errstate(over="ignore", invalid="ignore"):
        for to in ("torch", "numpy", "optax"):
            own_test(module(rule, to))
        for dtype in ("float64", "float32"):
            run_c(rule, compiler, tmp_path, dtype)
        run_javascript(rule, browser)


# ---- random rules ----


def random_rule(seed):
    """A rule that assigns to its arguments again and again, mixes its states, and returns any of its variables."""
    chance = random.Random(seed)
    states = ["m", "s", "u"][: chance.randrange(4)]
    arrays, scalars = (
        ["w", "g", *states],
        ["lr", "beta", "t", "0.5", "2", "1", "(1 - beta)", "(1 - beta**t)", "(t > 2)"],
    )

    def scalar():
        return chance.choice(scalars)

    def array(depth=0):
        if depth > 2:
            return chance.choice(arrays)
        a, b = array(depth + 1), array(depth + 1)
        forms = [
            *(chance.choice(arrays), f"({a} + {b})", f"({a} - {b})", f"{scalar()} * {a}", f"{a} * {b}", f"-{a}"),
            *(f"{a} / (np.abs({b}) + 0.5)", f"({a}) / 2", f"0.5 / (1 + ({a}) ** 2)", f"np.sqrt(np.abs({a}) + 0.1)"),
            *(f"np.maximum({a}, {scalar()})", f"np.minimum({a}, {b})", f"np.where({a} > {b}, {a}, {b})"),
            *(f"np.square({a})", f"beta * {chance.choice(arrays)} + (1 - beta) * {a}", f"({a} + {scalar()})"),
        ]
        return chance.choice(forms)

    lines = []
    for _ in range(chance.randrange(6)):
        name, value = chance.choice([*arrays, "g", "d", "scale"]), array()
        lines.append(f"{name} = {scalar() if name == 'scale' else value}")
        arrays += [name] if name == "d" else []
        scalars += [name] if name == "scale" else []
    results = [f"w - lr * ({array()})", *(chance.choice([name, array(), chance.choice(arrays)]) for name in states)]
    arguments = ", ".join(["w", "g", *states, "*", "t", "lr=0.01", "beta=0.9"])
    text = "".join(f"    {line}\n" for line in (*lines, f"return {', '.join(results)}"))
    scope = {"np": np}
    exec(f"def made_up({arguments}):\n{text}", scope)
    return scope["made_up"], text


def test_random_rules_in_torch_and_numpy():
    for seed in range(80):
        rule, text = random_rule(seed)
        try:
            assert_torch_makes_the_steps(rule)
            made = module(rule, "numpy")
            zeros = [np.zeros(4) for _ in states_of(rule)]
            with np.errstate(all="ignore"):
                assert_same_path(steps(rule, made.made_up, zeros), steps(rule, rule, zeros))
        except Exception as error:
            error.add_note(f"seed {seed}:\n{text}")
            raise
