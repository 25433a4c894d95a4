"""Every rule against a scalar transcription of its source, and against what must hold of it.

The libraries themselves are met in test_parity.py.
"""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from conftest import assert_same_bits, require
from references import REFERENCES

import optimlab as ol
from optimlab import rules
from optimlab.rules import textbook

torch = require("torch")
hypothesis = require("hypothesis")
st = hypothesis.strategies

EVERY_RULE = [(convention, name) for convention in rules.CONVENTIONS for name in rules.names(convention)]
TEXTBOOK = list(textbook.__all__)

STEPS = 200
RATES = [0.03 * 0.98**step * (1.5 + math.sin(step)) for step in range(STEPS)]
OTHER_HYPERPARAMETERS = {
    "beta": 0.5,
    "beta1": 0.7,
    "beta2": 0.95,
    "beta3": 0.8,
    "rho": 0.8,
    "momentum": 0.6,
    "dampening": 0.3,
    "lr_decay": 0.02,
    "momentum_decay": 0.1,
    "eps": 1e-3,
    "weight_decay": 0.3,
}


def rule_of(convention, name):
    return rules.find(name, convention)


def keywords(rule, **values):
    """Those of the values that the rule takes."""
    return {k: v for k, v in values.items() if k in inspect.signature(rule).parameters}


def initial_state(rule, like):
    return [np.full_like(like, value) for value in ol.kernels.declaration(rule)[1].values()]


def as_tuple(returned):
    return returned if isinstance(returned, tuple) else (returned,)


@pytest.fixture(scope="module")
def problem():
    """Starting weights and their gradients over 200 steps; each weight's gradients have a scale of their own."""
    generator = np.random.default_rng(0)
    scales = 10.0 ** np.arange(-6, 5)
    gradients = generator.normal(size=(STEPS, len(scales))) * scales
    gradients[generator.random(gradients.shape) < 0.1] = 0.0  # a weight whose unit was off
    gradients[:, 3] = 0.0  # a weight never touched
    gradients[50:100] *= -1e-3
    return generator.normal(size=len(scales)), gradients


def reference_path(convention, name, problem, hyperparameters):
    weights, gradients = problem
    reference = REFERENCES[convention][name]
    paths = [reference(float(w), gradients[:, k].tolist(), RATES, **hyperparameters) for k, w in enumerate(weights)]
    return np.array([list(path) for path in paths]).T


def assert_close_paths(path, expected):
    """To 1e-12 of the largest value each weight takes: near a crossing of zero a relative error means nothing."""
    assert path.shape == expected.shape
    error = abs(path - expected).max(axis=0) / abs(expected).max(axis=0)
    assert error.max() < 1e-12, error


@pytest.mark.parametrize("others", [False, True], ids=["defaults", "other hyperparameters"])
@pytest.mark.parametrize(("convention", "name"), EVERY_RULE)
class TestEveryRuleIsItsSource:
    def given(self, rule, others):
        """Hyperparameters to run the rule with, and what of them the reference is told."""
        if others:
            return (keywords(rule, **OTHER_HYPERPARAMETERS),) * 2
        if rule.__module__ == textbook.__name__:  # its epsilon is nobody's but ours
            return {}, keywords(rule, eps=ol.kernels.declaration(rule)[2].get("eps"))
        return {}, {}

    def test_called_directly(self, convention, name, others, problem):
        rule = rule_of(convention, name)
        chosen, told = self.given(rule, others)
        w, gradients = problem
        state = initial_state(rule, w)
        path = []
        for step in range(STEPS):
            given = keywords(rule, t=step + 1, lr=RATES[step], **chosen)
            w, *state = as_tuple(rule(w, gradients[step], *state, **given))
            path.append(w)
        assert_close_paths(np.array(path), reference_path(convention, name, problem, told))

    def test_run_by_an_optimizer(self, convention, name, others, problem):
        rule = rule_of(convention, name)
        chosen, told = self.given(rule, others)
        w, gradients = problem
        parameters = ol.MLP([len(w), 1], use_bias=False, dtype="float64").parameters
        optimizer = ol.Optimizer(parameters, rule, lr=lambda step: RATES[step], **chosen)
        parameters.data[...] = w
        path = []
        for step in range(STEPS):
            parameters.grad[...] = gradients[step]
            optimizer.step()
            path.append(parameters.data.copy())
        assert_close_paths(np.array(path), reference_path(convention, name, problem, told))


@pytest.mark.parametrize("convention", rules.CONVENTIONS)
def test_every_exported_rule_has_a_reference(convention):
    assert set(rules.names(convention)) == set(REFERENCES[convention])


def test_the_other_hyperparameters_are_all_of_them_and_all_new():
    """Otherwise a rule's hyperparameter would be compared at its default only."""
    for convention, name in EVERY_RULE:
        defaults = ol.kernels.declaration(rule_of(convention, name))[2]
        assert set(defaults) - {"lr"} <= set(OTHER_HYPERPARAMETERS), name
        assert all(OTHER_HYPERPARAMETERS[k] != v for k, v in defaults.items() if k != "lr"), name


def test_every_rule_has_an_optimizer():
    """Of its name; the variants of RMSprop are options of one class, the layer-wise rules know no conventions."""
    variants = {name for _, name in EVERY_RULE if name.startswith("rmsprop_")}
    layerwise = {name for name, value in vars(rules.layerwise).items() if isinstance(value, rules.LayerRule)}
    assert set(ol.optimizers.OPTIMIZERS) == {name for _, name in EVERY_RULE} - variants | layerwise
    parameters = ol.MLP([1, 1]).parameters
    for convention, name in EVERY_RULE:
        cls = ol.optimizers.OPTIMIZERS[name.partition("_")[0] if name in variants else name]
        options = {"centered": "_centered" in name, "momentum": 0.5 if "_momentum" in name else None}
        made = cls(parameters, convention=convention, **options if cls is ol.RMSProp else {})
        assert made.rule is rule_of(convention, name)
        assert getattr(ol, cls.__name__) is cls
    for name in layerwise:
        assert ol.optimizers.OPTIMIZERS[name](parameters).rule is getattr(rules.layerwise, name)


# ---- Nesterov, literally ----


def rosenbrock_gradient(p):
    x, y = p
    return np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)])


def test_nesterov_at_the_look_ahead_point_is_the_literal_form():
    beta = 0.9
    theta, velocity = np.array([-1.2, 1.0]), np.zeros(2)
    w, m = theta.copy(), np.zeros(2)
    for step in range(STEPS):
        lr = 5e-4 / (1 + step / 100)
        velocity = beta * velocity - lr * rosenbrock_gradient(theta + beta * velocity)
        theta = theta + velocity
        w, m = textbook.nesterov(w, rosenbrock_gradient(w), m, lr=lr, beta=beta)
        np.testing.assert_allclose(w, theta + beta * velocity, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(m, velocity, rtol=1e-12, atol=1e-12)
    assert abs(theta - [-1.2, 1.0]).max() > 0.5  # it went somewhere


# ---- PyTorch, where its formula is the textbook's: constant learning rate, no epsilon ----

TORCH = {
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.01), {"lr": 0.01}),
    "momentum": (lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8), {"lr": 0.01, "beta": 0.8}),
    "nesterov": (lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8, nesterov=True), {"lr": 0.01, "beta": 0.8}),
    "adagrad": (lambda p: torch.optim.Adagrad(p, lr=0.05, eps=0), {"lr": 0.05, "eps": 0.0}),
    "rmsprop": (lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.95, eps=0), {"lr": 0.01, "beta": 0.95, "eps": 0.0}),
    "adam": (lambda p: torch.optim.Adam(p, lr=0.01, eps=0), {"lr": 0.01, "eps": 0.0}),
    "adamax": (lambda p: torch.optim.Adamax(p, lr=0.01, eps=0), {"lr": 0.01, "eps": 0.0}),
    "adamw": (
        lambda p: torch.optim.AdamW(p, lr=0.01, eps=0, weight_decay=0.1),
        {"lr": 0.01, "eps": 0.0, "weight_decay": 0.1},
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_agrees_with_torch_where_the_formulas_coincide(name, problem):
    weights, gradients = problem
    touched = np.flatnonzero(gradients[0])  # without epsilon, 0 / 0 elsewhere
    make, hyperparameters = TORCH[name]
    tensor = torch.tensor(weights[touched], requires_grad=True)
    theirs = make([tensor])
    parameters = ol.MLP([len(touched), 1], use_bias=False, dtype="float64").parameters
    ours = ol.optimizers.get(name)(parameters, **hyperparameters)
    parameters.data[...] = weights[touched]
    paths = []
    for g in gradients[:100, touched]:
        tensor.grad = torch.tensor(g)
        theirs.step()
        parameters.grad[...] = g
        ours.step()
        paths.append((parameters.data.copy(), tensor.detach().numpy().copy()))
    assert_close_paths(*map(np.array, zip(*paths, strict=True)))


# ---- what must hold of any rule ----


@pytest.mark.quick_each("convention", "name", "shape", "dtype")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
@pytest.mark.parametrize(("convention", "name"), EVERY_RULE)
def test_a_rule_keeps_dtype_and_shape(convention, name, shape, dtype):
    rule = rule_of(convention, name)
    arrays = [np.full(shape, 0.5, dtype) for _ in ol.kernels.declaration(rule)[0]]
    for value in as_tuple(rule(*arrays, **keywords(rule, t=3, lr=0.1, **OTHER_HYPERPARAMETERS))):
        assert value.dtype == dtype
        assert value.shape == shape


MOST_ARRAYS = max(len(ol.kernels.declaration(rule_of(*rule))[0]) for rule in EVERY_RULE)


@st.composite
def arrays_and_permutation(draw):
    """As many arrays as any rule takes, of one length and dtype, extremes included, and a permutation of places."""
    width = draw(st.sampled_from([32, 64]))
    n = draw(st.integers(1, 20))
    numbers = st.lists(st.floats(width=width), min_size=n, max_size=n)
    return [np.array(draw(numbers), f"float{width}") for _ in range(MOST_ARRAYS)], np.array(
        draw(st.permutations(range(n)))
    )


TAKEN = {key: (rule := rule_of(*key), len(ol.kernels.declaration(rule)[0]), keywords(rule, t=2)) for key in EVERY_RULE}


@pytest.mark.slow
@hypothesis.given(case=arrays_and_permutation())
@hypothesis.settings(deadline=None, max_examples=200)
def test_permuting_the_weights_permutes_the_update(case):
    """Of every rule, on each example: to draw one takes longer than to try all rules on it."""
    values, order = case
    shuffled = [a[order] for a in values]
    for key, (rule, count, given) in TAKEN.items():
        with np.errstate(all="ignore"):
            straight, permuted = (as_tuple(rule(*arrays[:count], **given)) for arrays in (values, shuffled))
        for a, b in zip(straight, permuted, strict=True):
            assert_same_bits(b, a[order], key)


@pytest.mark.parametrize("name", [name for name in TEXTBOOK if name != "adamw"])
def test_without_gradients_no_weight_moves(name):
    rule = getattr(textbook, name)
    w, zero = np.array([1.0, -2.0, 1e-30]), np.zeros(3)
    assert_same_bits(as_tuple(rule(w, zero, *initial_state(rule, w), **keywords(rule, t=1, lr=0.5)))[0], w)


def test_without_gradients_adamw_shrinks_every_weight_by_the_same_share():
    w = start = np.array([3.0, -1e-8, 5e4])
    m = s = np.zeros(3)
    for t in range(1, 11):
        w, m, s = textbook.adamw(w, np.zeros(3), m, s, t=t, lr=0.5, weight_decay=0.2)
    np.testing.assert_allclose(w / start, 0.9**10, rtol=1e-14)


# ---- what must hold of particular rules ----


@pytest.fixture
def drawn():
    """w, g, m, s with s positive."""
    w, g, m, s = np.random.default_rng(1).normal(size=(4, 1000)).astype("float32")
    return w, g, m, s * s


def test_adamw_without_decay_is_adam_bit_for_bit(drawn):
    for a, b in zip(textbook.adamw(*drawn, t=3, weight_decay=0.0), textbook.adam(*drawn, t=3), strict=True):
        assert_same_bits(a, b)


def test_momentum_and_nesterov_without_memory_are_sgd_bit_for_bit(drawn):
    w, g, m, _ = drawn
    for rule in (textbook.momentum, textbook.nesterov):
        assert_same_bits(rule(w, g, m, lr=0.3, beta=0.0)[0], textbook.sgd(w, g, lr=0.3))


@pytest.mark.parametrize("name", ["adagrad", "adam", "adamax"])
def test_the_first_step_has_length_lr_whatever_the_gradient(name):
    rule = getattr(textbook, name)
    g = np.array([1e-8, -1e-3, 1.0, -1e7])
    w = as_tuple(rule(np.zeros(4), g, *initial_state(rule, g), **keywords(rule, t=1, lr=0.25, eps=0.0)))[0]
    np.testing.assert_allclose(w, -0.25 * np.sign(g), rtol=1e-14)


@pytest.mark.parametrize("name", ["adagrad", "rmsprop", "adam", "adamax", "nadam", "adamw"])
def test_without_epsilon_an_adaptive_rule_does_not_see_the_gradients_scale(name):
    rule = getattr(textbook, name)
    gradients = np.random.default_rng(2).normal(size=(20, 50))
    ends = []
    for scale in (1.0, 2.0**40):  # a power of two: no rounding, so the same bits
        w = np.ones(50)
        state = initial_state(rule, w)
        for t, g in enumerate(scale * gradients, 1):
            w, *state = rule(w, g, *state, **keywords(rule, t=t, eps=0.0))
        ends.append(w)
    assert_same_bits(*ends)


@pytest.mark.parametrize("name", ["adagrad", "adam", "nadam", "adamw"])
def test_epsilon_stands_inside_the_root(name):
    # for a gradient far below sqrt(eps) the first step is lr g / sqrt(eps); outside the root it would be lr g / eps
    rule = getattr(textbook, name)
    g = np.array([1e-9])
    w = rule(np.zeros(1), g, *initial_state(rule, g), **keywords(rule, t=1, lr=1.0, eps=1e-4))[0]
    ahead = 1.9 if name == "nadam" else 1.0
    np.testing.assert_allclose(w, -ahead * g / 1e-2, rtol=1e-6)


def test_the_velocity_keeps_the_learning_rate_it_was_made_with():
    w, m = textbook.momentum(np.zeros(1), np.ones(1), np.zeros(1), lr=1.0, beta=0.5)
    w, m = textbook.momentum(w, np.ones(1), m, lr=0.0, beta=0.5)
    np.testing.assert_array_equal(w, [-1.5])
