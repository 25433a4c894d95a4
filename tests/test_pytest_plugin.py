"""The fixtures work in a user's project, fail with the culprit's name, and cost pytest's start nothing."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import optimlab as ol
from optimlab.rules import textbook

EXAMPLE = Path(__file__).parents[1] / "examples" / "test_my_rule.py"


# ---- in a project of its own ----


@pytest.mark.slow
def test_the_example_passes_when_copied(pytester):
    pytester.makepyfile(test_copied=EXAMPLE.read_text())
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=6)


RIGHT_OR_WRONG = """
import numpy as np
import pytest
from optimlab.nn.activations import Activation, get
from optimlab.nn.layers import Dense

x = np.random.default_rng(0).normal(size=(6, 4))


def squares(outputs, targets):
    return ((outputs - targets) ** 2).sum(), 2 * (outputs - targets)


def spoil(parent, change):
    class Spoiled(parent):
        def backward(self, dy, input_gradient=True):
            return change(self, dy, super().backward(dy, input_gradient))
    return Spoiled(4, 3)


def sign(layer, dy, dx):
    layer.W.grad[...] *= -1
    return dx


def factor(layer, dy, dx):
    layer.b.grad[...] /= len(dy)
    return dx


def entry(layer, dy, dx):
    layer.W.grad[2, 1] += 1e-3
    return dx


def inputs(layer, dy, dx):
    dx[4, 3] *= 2
    return dx


tanh_without_square = Activation("tanh_without_square", lambda x: np.tanh(x), lambda y, dy: dy * (1 - y))


def right(self_or_layer, dy, dx):
    return dx


@pytest.mark.parametrize("change", [right, sign, factor, entry, inputs])
def test_layer(gradcheck, change):
    gradcheck(spoil(Dense, change), x)


@pytest.mark.parametrize("activation", [get("tanh"), tanh_without_square])
def test_activation(gradcheck, activation):
    gradcheck(activation, x)


def test_right_loss(gradcheck):
    gradcheck(squares, x, x + 1)


def test_wrong_loss(gradcheck):
    def missing(outputs, targets):
        value, gradient = squares(outputs, targets)
        gradient[5, 0] = 0
        return value, gradient

    gradcheck(missing, x, x + 1)
"""


def test_gradcheck_passes_what_is_right_and_names_what_is_wrong(pytester):
    pytester.makepyfile(RIGHT_OR_WRONG)
    result = pytester.runpytest_inprocess("-W", "error")
    result.assert_outcomes(passed=3, failed=6)
    result.stdout.fnmatch_lines_random(
        [
            "E *GradientError: dense1.W[[]*[]]: backward gives *, finite differences *; 12 of the 39 entries * wrong",
            "E *GradientError: dense1.b[[]*[]]: backward gives *; 3 of the 39 entries checked are wrong",
            "E *GradientError: dense1.W[[]2, 1[]]: backward gives *; 1 of the 39 entries checked are wrong",
            "E *GradientError: entry [[]4, 3[]] of the inputs: backward gives *; 1 of the 39 *",
            "E *GradientError: entry [[]*[]] of the inputs: backward gives *; 24 of the 24 *",
            "E *GradientError: entry [[]5, 0[]] of the outputs: missing gives 0, finite differences -2 *",
        ]
    )


def test_a_rule_is_checked_in_a_project_of_its_own(pytester):
    pytester.makepyfile("""
        def rule(w, g, m, *, lr=0.1, beta=0.9):
            m = beta * m + g
            return w - lr * m, m

        def test_right(assert_rule_matches):
            assert_rule_matches(rule, lambda w, g, m, *, lr, beta: (w - lr * (beta * m + g), beta * m + g))

        def test_wrong(assert_rule_matches):
            assert_rule_matches(rule, lambda w, g, m, *, lr, beta: (w + lr * (beta * m + g), beta * m + g))
    """)
    result = pytester.runpytest_inprocess("-W", "error")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *AssertionError: w at step 1: rule *, reference * (weight *, whose gradient is *)"])


@pytest.mark.slow
def test_the_plugin_is_there_and_imports_nothing_heavy(pytester):
    pytester.makeconftest("""
        import sys

        def pytest_sessionfinish(session):
            plugin = session.config.pluginmanager.hasplugin("optimlab")
            print(f"plugin {plugin}, imported {sorted({'matplotlib', 'rich', 'click', 'torch'} & set(sys.modules))}")
    """)
    pytester.makepyfile("def test_one(): pass")
    result = pytester.runpytest_subprocess("-s", "-W", "error")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*plugin True, imported [[][]]"])


@pytest.mark.slow
def test_the_plugin_can_be_left_out(pytester):
    pytester.makepyfile("def test_one(gradcheck): pass")
    result = pytester.runpytest_subprocess("-p", "no:optimlab")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'gradcheck' not found"])


def test_fixture_and_function_are_one(gradcheck, assert_rule_matches):
    assert gradcheck is ol.gradcheck
    assert assert_rule_matches is ol.assert_rule_matches


# ---- assert_rule_matches: what it finds ----


def adam(w, g, m, s, *, t, lr, beta1, beta2, eps):
    """Kingma & Ba (2015), Algorithm 1, with epsilon inside the root."""
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g**2
    return w - lr * (m / (1 - beta1**t)) / math.sqrt(s / (1 - beta2**t) + eps), m, s


def correct(m, s, t, beta1, beta2):
    return m / (1 - beta1**t), s / (1 - beta2**t)


def wrong_sign(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    m = beta1 * m - (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat, s_hat = correct(m, s, t, beta1, beta2)
    return w - lr * m_hat / np.sqrt(s_hat + eps), m, s


def wrong_power(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * np.abs(g)
    m_hat, s_hat = correct(m, s, t, beta1, beta2)
    return w - lr * m_hat / np.sqrt(s_hat + eps), m, s


def epsilon_outside(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat, s_hat = correct(m, s, t, beta1, beta2)
    return w - lr * m_hat / (np.sqrt(s_hat) + eps**0.5), m, s


def epsilon_before_correction(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    return w - lr * (m / (1 - beta1**t)) / np.sqrt((s + eps) / (1 - beta2**t)), m, s


def old_moment(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    """The formula of the first step, kept: right until there is a second one."""
    s = beta2 * s + (1 - beta2) * g * g
    new = beta1 * m * (t < 2) + (1 - beta1) * g + beta1 * m * (t >= 2) * (t < 17)
    m_hat, s_hat = correct(new, s, t, beta1, beta2)
    return w - lr * m_hat / np.sqrt(s_hat + eps), new, s


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (wrong_sign, "m at step 1: rule "),
        (wrong_power, "s at step 1: rule "),
        (epsilon_outside, "w at step 1: rule "),
        (epsilon_before_correction, "w at step 1: rule "),
        (old_moment, "m at step 17: rule "),
    ],
)
def test_an_error_is_found_where_it_first_shows(rule, message, dtype):
    ol.assert_rule_matches(textbook.adam, adam, dtype=dtype)
    with pytest.raises(AssertionError, match=rf"^{message}\S+, reference \S+ \(weight \d+, whose gradient is \S+\)$"):
        ol.assert_rule_matches(rule, adam, dtype=dtype, eps=textbook.adam.__kwdefaults__["eps"])


def test_the_numbers_of_the_message_are_those_of_the_rule_and_the_reference():
    with pytest.raises(AssertionError) as failure:
        ol.assert_rule_matches(lambda w, g, c, *, lr=0.1: (w, 0 * g + 1.25), lambda w, g, c, *, lr: (w, 1.5))
    assert re.fullmatch(r"c at step 1: rule 1\.25, reference 1\.5 \(weight \d+, .*\)", str(failure.value))


def test_a_changed_learning_rate_tells_velocities_apart():
    """The two forms of momentum agree until the rate falls, halfway."""

    def rate_outside(w, g, m, *, lr=0.01, beta=0.9):
        m = beta * m - g
        return w + lr * m, m

    def rate_inside(w, g, m, *, lr, beta):
        # the state of the other form, had lr always been what it was at first
        return w + (beta * m - g) * 0.01, beta * m - g

    with pytest.raises(AssertionError, match=r"^w at step 11: "):
        ol.assert_rule_matches(rate_outside, rate_inside, steps=20)


def test_a_wrong_hyperparameter_hides_while_it_is_zero():
    def decayed(w, g, *, lr=0.1, weight_decay=0.0):
        return w - lr * g - weight_decay * w

    def reference(w, g, *, lr, weight_decay):
        return w - lr * (g + weight_decay * w)

    ol.assert_rule_matches(decayed, reference)
    with pytest.raises(AssertionError, match=r"^w at step 1: "):
        ol.assert_rule_matches(decayed, reference, weight_decay=0.01)


def test_a_state_may_start_anywhere_and_be_the_gradient_itself():
    def difference(w, g, previous=0.5, *, lr=0.1):
        return w - lr * (g - previous), g

    ol.assert_rule_matches(difference, lambda w, g, previous, *, lr: (w + lr * (previous - g), g))


def test_a_reference_that_fails_says_where():
    with pytest.raises(ZeroDivisionError) as failure:
        ol.assert_rule_matches(lambda w, g, *, lr=0.1: w - lr * g / np.abs(g), lambda w, g, *, lr: w - lr * g / abs(g))
    assert failure.value.__notes__ == ["in the reference, at step 1 for weight 0, whose gradient is 0.0"]


def test_a_rule_that_gives_nan_fails():
    with pytest.raises(AssertionError, match=r"^w at step 1: rule nan, reference .* gradient is -?0.0"):
        ol.assert_rule_matches(
            lambda w, g, *, lr=0.1: w - lr * g / np.abs(g), lambda w, g, *, lr: w - math.copysign(lr, g)
        )


def test_a_rule_keeps_dtype_and_shape():
    def wider(w, g, *, lr=0.1):
        return w - lr * g * (np.float64(1) if isinstance(w, np.ndarray) else 1.0)

    with pytest.raises(AssertionError, match=r"^the rule returned w as float64 of shape \(2, 3\), .* float32 of"):
        ol.assert_rule_matches(wider, lambda w, g, *, lr: w - lr * g)


def test_the_engine_must_give_what_the_function_gives():
    """A rule that is not a pure function: recorded twice with one factor, called with another."""
    factors = iter([1.0, 1.0])

    def impure(w, g, *, lr=0.1):
        return w - lr * next(factors, 2.0) * g

    with pytest.raises(AssertionError, match=r"^w at step 1: rule .*, the same in the engine "):
        ol.assert_rule_matches(impure, lambda w, g, *, lr: w - lr * 2.0 * g)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rule": lambda w, g, *, lr=0.1: w - lr * g / g.sum()}, ol.RuleError, "it uses .sum"),
        (
            {"reference": lambda w, g, *, lr: (w, g)},
            ol.InputError,
            "must return 1 values, like the rule, but it returned 2",
        ),
        ({"rate": 0.1}, ol.InputError, "unknown hyperparameter of sgd 'rate'"),
        ({"lr": -1.0}, ol.InputError, "lr must"),
        ({"steps": 0}, ol.InputError, "steps must be a whole number"),
        ({"dtype": "float16"}, ol.InputError, "unknown dtype 'float16'"),
        ({"rtol": 0.0}, ol.InputError, "rtol must be a positive number"),
        ({"seed": -1}, ol.InputError, "a seed must"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"rule": textbook.sgd, "reference": lambda w, g, *, lr: w - lr * g, **change}
    with pytest.raises(error, match=message):
        ol.assert_rule_matches(**arguments)
