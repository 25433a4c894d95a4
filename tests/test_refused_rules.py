"""What is not an elementwise rule is refused, by the name of what stands in the way."""

from __future__ import annotations

import itertools
import math
import random
import time

import numpy as np
import pytest
import scipy.special

import optimlab as ol
from optimlab import RuleError, kernels, rules

GLOBAL_ARRAY = np.ones(3)
GLOBAL_FLOAT64 = np.float64(0.5)


@rules.host
def HOST(t, k):
    return t * k


def NESTED(x):
    for _ in range(400):
        x = 1 - 0.5 * x
    return x


def augmented(w, g, *, lr=0.1):
    w -= lr * g
    return w


def branching_on_an_array(w, g, *, lr=0.1):
    if g > 0:
        return w - lr * g
    return w


def branching_on_the_step(w, g, *, t, lr=0.1):
    if t == 1:
        return w
    return w - lr * g


def branching_on_inequality(w, g, *, lr=0.1):
    return w - lr * g if lr != 0 else w


def branching_on_less(w, g, *, t, lr=0.1):
    return w - lr * g if t < 10 else w


def looping(w, g, *, lr=0.1):
    for x in w:
        w = w - lr * x
    return w


def assigning(w, g, *, lr=0.1):
    w[0] = 1.0
    return w


def summing(w, g, *, lr=0.1):
    return w - lr * g / g.sum()


def variadic(w, g, *args, lr=0.1):
    return w


def variadic_keywords(w, g, **others):
    return w


def without_default(w, g, *, lr):
    return w - lr * g


def with_array_default(w, g, *, lr=GLOBAL_ARRAY):
    return w - lr * g


def with_a_default_that_is_no_number(w, g, *, lr=math.nan):
    return w - lr * g


def with_a_default_too_large(w, g, s=10**400, *, lr=0.1):
    return w - lr * g, s


def with_boolean_default(w, g, *, lr=True):
    return w - lr * g


def wrong_letters(g, w, *, lr=0.1):
    return w - lr * g


def only_weights(w):
    return w


def forgetting_the_state(w, g, m, *, lr=0.1):
    return w - lr * m


def returning_too_much(w, g, *, lr=0.1):
    return w - lr * g, g


def returning_a_list(w, g, m, *, lr=0.1):
    return [w - lr * g, m]


def returning_a_scalar(w, g, *, lr=0.1):
    return lr


def returning_a_mask(w, g, *, lr=0.1):
    return g > 0


def returning_nothing(w, g, *, lr=0.1):
    w - lr * g


REFUSED = {
    summing: ".sum",
    augmented: "w -= ...",
    branching_on_an_array: "a branch on an array",
    branching_on_the_step: "hyperparameter",
    branching_on_inequality: "hyperparameter",
    branching_on_less: "hyperparameter",
    looping: "iteration",
    assigning: "assignment into an array",
    variadic: "*args",
    variadic_keywords: "*others",
    without_default: "lr needs a default",
    with_array_default: "the default of lr",
    with_boolean_default: "the default of lr",
    with_a_default_that_is_no_number: "the default of lr",
    with_a_default_too_large: "the default of s",
    wrong_letters: "must begin with (w, g)",
    only_weights: "must begin with (w, g)",
    forgetting_the_state: "returns 1 value; it must return (new w, new m)",
    returning_too_much: "returns 2 values; it must return (new w)",
    returning_a_list: "returns 1 value;",
    returning_a_scalar: "returns scalar",
    returning_a_mask: "returns a boolean",
    returning_nothing: "returns None",
}


@pytest.mark.parametrize(("rule", "named"), REFUSED.items(), ids=[rule.__name__ for rule in REFUSED])
def test_what_is_no_elementwise_rule_is_refused_by_name(rule, named):
    with pytest.raises(RuleError) as caught:
        kernels.trace(rule)
    assert named in str(caught.value)
    assert f"rule {rule.__name__}" in str(caught.value)


REFUSED_EXPRESSIONS = {
    # not elementwise
    "np.sum(g)": "np.sum",
    "np.mean(g)": "np.mean",
    "g.mean()": ".mean",
    "np.linalg.norm(g)": "np.linalg.norm",
    "np.add.reduce(g)": "np.add.reduce",
    "w @ g": "@",
    "2.0 @ g": "@",
    "np.dot(w, g)": "np.dot",
    "w[0]": "indexing",
    "w[::-1]": "indexing",
    "len(w) * w": "len()",
    "w.shape[0] * w": ".shape",
    "w.T": ".T",
    "np.roll(g, 1)": "np.roll",
    "np.cumsum(g)": "np.cumsum",
    "np.clip(g, -1, 1, out=w)": "np.clip with out=",
    "np.clip(g, -1, 1, w)": "np.clip with out=",
    "np.clip(g, -1, 1, dtype='float64')": "np.clip with dtype=",
    "np.clip(lr, 0, g)": "np.clip of a scalar",  # NumPy: float64
    "np.clip(0.5, w, g)": "np.clip of a scalar",
    "np.clip(lr, 0, 1) * w": "hyperparameter",
    "np.clip(g, -1, GLOBAL_ARRAY)": "NumPy float64 value from outside",
    "np.clip(g > 0, 0, 1)": "comparison",
    "g.clip(-1, 1)": ".clip",
    "np.zeros_like(w)": "np.zeros_like",
    # branches on arrays
    "max(g, 0)": "a branch on an array",
    "g if g > 0 and w > 0 else w": "a branch on an array",
    "g if 0 < g < 1 else w": "a branch on an array",
    "sum(g) * w": "iteration",
    "g if 0.0 in g else w": "in",
    # functions whose last bit differs between engines, or that leave the arrays' dtype
    "np.arctan(g)": "np.arctan",
    "np.log10(g)": "np.log10; accepted on arrays: + - * / **, comparisons, np.absolute, np.square, np.sqrt, np.sign, "
    "np.maximum, np.minimum, np.where, np.exp, np.expm1, np.log, np.log1p, np.tanh, np.sin, np.cos, np.reciprocal, "
    "np.clip, scipy.special.erf",
    "np.float_power(g, 3)": "np.float_power",
    "scipy.special.expit(g)": "np.expit",
    "scipy.special.erf(lr) * g": "np.erf on a hyperparameter",
    "np.tanh(lr) * g": "np.tanh on a hyperparameter",
    "np.exp(g, out=w)": "np.exp with out=",
    "g ** math.inf": "the constant inf",
    "g ** 10**400": "constant",
    "g ** True": "bool from outside",
    "GLOBAL_FLOAT64 ** g": "NumPy float64 value from outside",
    "g ** GLOBAL_ARRAY": "NumPy float64 value from outside",
    "(g > 0) ** 1": "np.power on a comparison",
    "(g > 0) ** 3": "np.power on a comparison",
    "2 ** (g > 0)": "np.power on a comparison",
    "w // 2": "np.floor_divide",
    "w % 2": "np.remainder",
    "np.isnan(g) * w": "np.isnan",
    "(g > 0) & (w > 0)": "np.bitwise_and",
    "~(g > 0)": "np.invert",
    "(g > 0) + (w > 0)": "np.add on a comparison",
    "-(g > 0)": "np.negative on a comparison",
    "w - lr * (g > 0)": "comparison",  # NumPy: a Python float times a boolean array is float64
    "(g > 0) * w": "comparison",
    "w - (g > 0) * 2": "comparison",
    "np.where(g > 0, lr, 0.5) * w": "np.where between two scalars",
    "np.where(g > 0, 1, 0.0) * w": "np.where between two scalars",
    "np.where(g, w, g)": "np.where without a comparison",
    "np.where(g > 0)": "np.where",
    "np.where(g > 0, w > 0, g)": "np.where",
    "w.astype('float64')": ".astype",
    # mutation
    "np.multiply(w, g, out=w)": "out=",
    "np.sqrt(w, where=g > 0)": "where=",
    "np.sqrt(w, dtype='float64')": "dtype=",
    # scalars outside plain Python arithmetic
    "math.sqrt(lr) * w": "math function on a hyperparameter",
    "math.exp(-t) * w": "math function on a hyperparameter",
    "math.sqrt(g)": "math function on an array",
    "float(g) * w": "float()",
    "int(g) * w": "int()",
    "np.sqrt(1 - lr**t) * w": "np.sqrt on a hyperparameter",
    "np.maximum(lr, 0.5) * w": "np.maximum on a hyperparameter",
    "max(lr, 0.5) * w": "hyperparameter",
    "(lr or 1.0) * w": "a branch on a hyperparameter",
    "range(t) and w": "hyperparameter",
    "round(lr) * w": "round()",
    "math.floor(lr) * w": "math function on a hyperparameter",
    "(1 < t < 5) * w": "a branch on a hyperparameter",
    "(lr @ t) * w": "@ on a hyperparameter",
    "((t > 1) & (t < 5)) * w": "& on a hyperparameter; to combine two comparisons, multiply them",
    "(1 | t) * w": "| on a hyperparameter",
    "(t ^ 1) * w": "^ on a hyperparameter",
    "(t << 1) * w": "<< on a hyperparameter",
    "(2 >> t) * w": ">> on a hyperparameter",
    "~t * w": "~ on a hyperparameter",
    "divmod(t, 2)[0] * w": "divmod() on a hyperparameter",
    "divmod(2, t)[0] * w": "divmod() on a hyperparameter",
    "t[0] * w": "indexing [...] on a hyperparameter",
    "NESTED(lr) * w": "hundreds of nested operations on scalars",
    "HOST(g, t) * w": "HOST() on an array",
    "HOST(t, g) * w": "HOST() on an array",
    "HOST(t, 'a') * w": "HOST() of a str",
    # values from outside
    "w * GLOBAL_ARRAY": "NumPy float64 value from outside",
    "lr * GLOBAL_ARRAY * w": "outside",
    "GLOBAL_ARRAY * w": "NumPy float64 value from outside",
    "w * GLOBAL_FLOAT64": "NumPy float64 value from outside",
    "GLOBAL_FLOAT64 * w": "NumPy float64 value from outside",
    "lr * GLOBAL_FLOAT64 * w": "float64 from outside",
    "w ** np.float64(2)": "float64",
    "w * True": "bool from outside",
    "w * None": "NoneType from outside",
    "w * 'a'": "str from outside",
    "w * 1j": "complex from outside",
    "lr * 1j * w": "complex from outside",
    "w * [1.0]": "list from outside",
    "w * math.inf": "the constant inf",
    "lr * math.inf * w": "inf",
    "w * 10**400": "constant",
}


@pytest.mark.parametrize(("expression", "named"), REFUSED_EXPRESSIONS.items(), ids=REFUSED_EXPRESSIONS)
def test_an_expression_that_is_not_elementwise_is_refused_by_name(expression, named):
    scope = {**globals(), "math": math, "scipy": scipy}
    exec(f"def rule(w, g, *, t, lr=0.1):\n    return {expression}", scope)
    with pytest.raises(RuleError) as caught:
        kernels.trace(scope["rule"])
    assert named in str(caught.value)


@pytest.mark.parametrize("thing", [None, 3, "adam", [], np.ones(3), np.sqrt, len, print], ids=repr)
def test_what_is_no_function_of_weights_and_gradient_is_refused(thing):
    with pytest.raises(RuleError):
        kernels.trace(thing)


RANDOM = random.Random(0)
DRAWN = {
    "random": RANDOM.random,
    "gauss": lambda: RANDOM.gauss(0, 1),
    "NumPy": lambda: float(np.random.default_rng().normal()),
    "time": time.perf_counter,
    "counter": itertools.count().__next__,
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_number_that_changes_with_every_call_is_refused(draw):
    """It would be drawn once, while the rule is traced, and stay the same in every step."""

    def noisy(w, g, *, lr=0.1):
        return w - lr * (g + draw())

    with pytest.raises(RuleError, match=r"rule noisy computes a different formula at each call, .* random number"):
        ol.Optimizer(ol.MLP([2, 1]).parameters, noisy)

    def noise(x):
        return x * draw()

    with pytest.raises(RuleError, match="function noise computes a different formula at each call"):
        kernels.trace_function(noise)


def test_a_random_branch_is_refused():
    turns = itertools.cycle([True, False])

    def turning(w, g, *, lr=0.1):
        return w - lr * g if next(turns) else w + lr * g

    with pytest.raises(RuleError, match="rule turning computes a different formula"):
        kernels.trace(turning)


@pytest.mark.parametrize("cap", [np.inf, -np.inf])
def test_an_infinite_default_is_refused_with_what_to_write(cap):
    """Such a rule could be trained, but neither saved nor loaded."""

    def capped(w, g, *, lr=0.1, cap=float(cap)):
        return w - lr * np.minimum(g, cap)

    message = rf"the default of cap is {cap}, but a hyperparameter must be finite: .* such as {np.copysign(1e30, cap)}"
    for rule in (capped, ol.rules.LayerRule(capped)):
        with pytest.raises(ol.RuleError, match=message.replace("+", r"\+")):
            ol.Optimizer(ol.MLP([2, 1]).parameters, rule)


def test_a_large_default_and_an_infinite_initial_state_can_be_saved_and_loaded(tmp_path):
    def lowest(w, g, low=np.inf, *, lr=0.1, cap=1e30):
        low = np.minimum(low, g)
        return w - lr * np.minimum(low, cap), low

    net = ol.MLP([2, 1], seed=0)
    opt = ol.Optimizer(net.parameters, lowest)
    opt.load_state_dict(opt.state_dict())
    ol.save_checkpoint(tmp_path / "c.npz", net, opt)
    ol.load_checkpoint(tmp_path / "c.npz", net, opt)
    assert np.isinf(opt.state["low"]).all()
    assert opt.hyperparameters["cap"] == 1e30


def test_an_error_inside_a_rule_names_the_rule():
    def broken(w, g, *, lr=0.1):
        return w - lr * g / [][0]

    with pytest.raises(RuleError, match=r"^rule broken raises IndexError: list index out of range$"):
        kernels.trace(broken)


def test_a_hyperparameter_before_the_star_is_named():
    def before(w, g, lr=0.1):
        return w - lr * g

    with pytest.raises(RuleError, match=r"must return \(new w, new lr\); hyperparameters such as lr stand after \*"):
        kernels.trace(before)
