"""Optimizers: groups, hyperparameters that change, state that can be stored, and what is refused."""

import copy
import math
import pickle

import numpy as np
import pytest

import optimlab as ol
from optimlab.kernels import declaration
from optimlab.optim.optimizers import OPTIMIZERS
from optimlab.race import race
from optimlab.schedules import ReduceLROnPlateau, StepLR

ALL = list(OPTIMIZERS.values())


def make(cls, n=6, **options):
    net = ol.MLP([n, 3, 2], batch_norm=True, seed=0)
    return net.parameters, cls(net.parameters, **options)


def steps(parameters, opt, count, seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        parameters.grad[...] = generator.normal(size=parameters.grad.size)
        opt.step()
    return parameters.data.copy()


@pytest.mark.parametrize("cls", ALL)
def test_defaults_and_help_come_from_the_rule(cls):
    _, opt = make(cls)
    assert opt.hyperparameters == declaration(opt.rule)[2]
    text = str(__import__("inspect").signature(cls))
    assert all(f"{name}:" in text for name in opt.hyperparameters)


@pytest.mark.parametrize("cls", ALL)
def test_a_function_of_the_step_equals_setting_the_rate_by_hand(cls):
    rates = [0.1, 0.05, 0.2, 0.0, 0.01]
    parameters, opt = make(cls, lr=lambda step: rates[step])
    scheduled = steps(parameters, opt, 5)
    parameters, opt = make(cls)
    generator = np.random.default_rng(0)
    for rate in rates:
        parameters.grad[...] = generator.normal(size=parameters.grad.size)
        opt.lr = rate
        opt.step()
    np.testing.assert_array_equal(parameters.data, scheduled)


def test_lr_names_the_rate_of_the_next_step():
    _, opt = make(ol.SGD, lr=lambda step: 1 / (1 + step))
    assert opt.lr == 1.0
    opt.step()
    assert opt.lr == 0.5


def test_a_group_has_its_own_hyperparameters():
    """The group of biases moves as under an optimizer of those hyperparameters alone."""
    options = {"lr": 0.1, "weight_decay": 0.3}
    parameters, opt = make(ol.AdamW, **options, groups={"biases": {"weight_decay": 0.0, "lr": 0.5}})
    grouped = steps(parameters, opt, 4)
    parameters, opt = make(ol.AdamW, **options)
    plain = steps(parameters, opt, 4)
    parameters, opt = make(ol.AdamW, lr=0.5, weight_decay=0.0)
    special = steps(parameters, opt, 4)
    for p in parameters:
        expected = special if p.kind == "biases" else plain
        np.testing.assert_array_equal(grouped[p.start : p.stop], expected[p.start : p.stop])


def test_one_kernel_call_a_group():
    _, opt = make(ol.Adam, groups={"dense1": {"lr": 0.5}})
    calls = []
    opt.step()
    opt._runs = [lambda scalars, run=run: calls.append(run) for run in opt._runs]
    opt.step()
    assert len(calls) == 2


@pytest.mark.parametrize("cls", ALL)
def test_state_dict_round_trip_continues_bit_for_bit(cls):
    parameters, opt = make(cls)
    steps(parameters, opt, 3)
    middle, stored = parameters.data.copy(), pickle.loads(pickle.dumps(opt.state_dict()))
    end = steps(parameters, opt, 3, seed=1)
    fresh, again = make(cls, lr=0.9)  # the stored rate must win
    fresh.data[...] = middle
    again.load_state_dict(stored)
    assert again.t == 3
    np.testing.assert_array_equal(steps(fresh, again, 3, seed=1), end)


def test_state_dict_is_a_copy():
    parameters, opt = make(ol.Adam)
    stored = opt.state_dict()
    steps(parameters, opt, 1)
    assert not stored["state"]["m"].any()


def broken_states(good):
    yield {k: v for k, v in good.items() if k != "t"}, "lacks t"
    yield {**good, "rule": "sgd"}, "rule 'sgd'"
    yield {**good, "layout": [("other", (1,))]}, "other parameters"
    yield {**good, "t": -1}, "t must be"
    yield {**good, "missed": {"dense1.W": -1}}, "missed updates of dense1.W must be"
    yield {**good, "missed": {"dense1.W": 3}}, "at most t"
    yield {**good, "missed": {"dense9.W": 1}}, "this network's parameters"
    yield {**good, "state": {"m": good["state"]["m"]}}, "lacks the array 's'"
    yield {**good, "state": {**good["state"], "s": np.zeros(3)}}, "has shape"
    yield {**good, "hyperparameters": {"lr": -1.0}}, "lr must be"
    yield {**good, "groups": {"biases": {}}}, "groups"


def test_a_state_that_does_not_fit_is_refused_and_nothing_changes():
    parameters, opt = make(ol.Adam)
    steps(parameters, opt, 2)
    good = opt.state_dict()
    for bad, message in broken_states(good):
        with pytest.raises(ol.InputError, match=message):
            opt.load_state_dict(bad)
        now = opt.state_dict()
        assert now["t"] == good["t"]
        assert now["hyperparameters"] == good["hyperparameters"]
        assert all((now["state"][k] == good["state"][k]).all() for k in good["state"])


def test_a_copied_pair_of_network_and_optimizer_goes_on_alone():
    net = ol.MLP([6, 3, 2], seed=0)
    opt = ol.Adam(net.parameters)
    steps(net.parameters, opt, 2)
    twin, twin_opt = copy.deepcopy((net, opt))
    before = net.parameters.data.copy()
    assert twin_opt.parameters is twin.parameters
    moved = steps(twin.parameters, twin_opt, 2)
    np.testing.assert_array_equal(net.parameters.data, before)
    np.testing.assert_array_equal(steps(net.parameters, opt, 2), moved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, "lr must be a finite number of at least 0, got -0.1"),
        ({"lr": float("nan")}, "lr must be"),
        ({"lr": float("inf")}, "lr must be"),
        ({"lr": "fast"}, "lr must be"),
        ({"lr": True}, "lr must be"),
        ({"lr": None}, "lr must be"),
        ({"lr": np.ones(2)}, "lr must be"),
        ({"lr": StepLR}, r"lr must be a number or a function, not the class StepLR: write StepLR\(\.\.\.\)"),
        ({"lr": ReduceLROnPlateau(0.1)}, r"lr must .* follows a metric: .* callbacks=\[ol\.ReduceLROnPlateau\("),
        ({"lr": ReduceLROnPlateau(0.1).cut}, "follows a metric"),
        ({"lr": ol.ReduceLROnPlateau()}, "follows a metric"),
        ({"groups": {"biases": {"lr": ReduceLROnPlateau(0.1)}}}, "follows a metric"),
        ({"groups": {"biases": {"weight_decay": StepLR}}, "convention": "torch"}, "not the class StepLR: write StepLR"),
        ({"beta1": 1.0}, r"beta1 must lie in \[0, 1\), got 1.0"),
        ({"beta2": -0.5}, r"beta2 must lie in \[0, 1\)"),
        ({"eps": -1e-8}, "eps must be"),
        ({"beta": 0.9}, "unknown hyperparameter of adam 'beta'; did you mean 'beta2', 'beta1'"),
        ({"learning_rate": 0.1}, "unknown hyperparameter of adam 'learning_rate'"),
        ({"groups": {"bias": {"lr": 0.1}}}, "unknown parameter group 'bias'; did you mean 'biases'"),
        ({"groups": {"biases": {"lr": -1.0}}}, "lr must be"),
        ({"groups": {"biases": {"rate": 1.0}}}, "unknown hyperparameter"),
        ({"groups": {"biases": {}, "dense1": {}}}, "dense1.b is in two groups, 'biases' and 'dense1'"),
        ({"convention": "txtbook"}, "unknown convention 'txtbook'; did you mean 'textbook'"),
    ],
)
def test_bad_options_are_refused_with_what_is_accepted(options, message):
    with pytest.raises(ol.InputError, match=message):
        make(ol.Adam, **options)


def test_a_rate_that_turns_bad_stops_before_anything_is_changed():
    parameters, opt = make(ol.Adam, lr=lambda step: 0.1 if step < 2 else float("nan"))
    steps(parameters, opt, 2)
    before, state = parameters.data.copy(), opt.state_dict()
    with pytest.raises(ol.InputError, match="lr must be a finite number of at least 0, got nan at step 2"):
        opt.step()
    np.testing.assert_array_equal(parameters.data, before)
    assert opt.t == 2
    np.testing.assert_array_equal(opt.state["m"], state["state"]["m"])


def test_other_things_than_parameters_are_refused():
    with pytest.raises(ol.InputError, match=r"expected net\.parameters, got MLP"):
        ol.SGD(ol.MLP([2, 2]))


def test_an_unknown_optimizer_names_the_nearest():
    with pytest.raises(ol.InputError, match="did you mean 'adamw', 'adam'"):
        ol.optimizers.get("adamm_w")


def inverse(w, g, *, lr=0.1):
    return w - (1 / lr) * g


def rooted(w, g, *, t, lr=0.1):
    return w - lr * (3 - t) ** 0.5 * g


@ol.rules.host
def root(x):
    return x**0.5


def hosted(w, g, *, t, lr=0.1):
    return w - lr * root(3 - t) * g


@ol.rules.host
def real_root(x):
    return math.sqrt(x)


def outside(w, g, *, t, lr=0.1):
    return w - lr * real_root(3 - t) * g


def compared(w, g, *, t, lr=0.1):
    return w - lr * ((3 - t) ** 0.5 > 1) * g


def too_large(w, g, *, t, lr=0.1):
    return w - lr * g / 10 ** (400 * (t > 3))


NOT_COMPUTED = {
    inverse: "inverse cannot be computed with t=1, lr=0: .*division by zero",
    rooted: "rooted cannot be computed with t=4, lr=0.1: a scalar is complex",
    hosted: "hosted cannot be computed with t=4, lr=0.1: a scalar is complex",
    outside: "outside cannot be computed with t=4, lr=0.1: math domain error",
    compared: "compared cannot be computed with t=4, lr=0.1: a scalar is complex",
    too_large: "too_large cannot be computed with t=4, lr=0.1: int too large",
}


@pytest.mark.parametrize("rule", NOT_COMPUTED)
def test_scalars_that_cannot_be_computed_are_one_clear_error(rule):
    net = ol.MLP([2, 1], seed=0)
    opt = ol.Optimizer(net.parameters, rule, lr=0.0 if rule is inverse else 0.1)
    good = 0 if rule is inverse else 3
    steps(net.parameters, opt, good)
    before = net.parameters.data.copy()
    with pytest.raises(ol.InputError, match=NOT_COMPUTED[rule]):
        opt.step()
    with pytest.raises(ol.InputError, match=NOT_COMPUTED[rule]):
        opt.tables(4)
    assert opt.t == good
    np.testing.assert_array_equal(net.parameters.data, before)


def trained(rule):
    net = ol.MLP([64, 10], seed=0)
    ol.fit(net, ol.Optimizer(net.parameters, rule), ol.datasets.load("digits"), epochs=1)


@pytest.mark.parametrize("rule", [rooted, hosted, outside])
@pytest.mark.parametrize(
    "use",
    [
        trained,
        lambda rule: ol.explain(rule, steps=5),
        lambda rule: ol.export_rule(rule, "numpy"),
        lambda rule: race("rosenbrock", [rule]),
    ],
    ids=["fit", "explain", "export_rule", "race"],
)
def test_whatever_uses_the_scalars_gives_this_error(use, rule):
    with pytest.raises(ol.InputError, match=NOT_COMPUTED[rule].replace("0.1", ".*")):
        use(rule)


@pytest.mark.parametrize("rule", [rooted, hosted, outside, compared, too_large])
def test_a_table_fails_only_for_steps_that_are_taken(rule):
    """Scalars are computed many steps ahead."""
    opt = ol.Optimizer(ol.MLP([2, 1], seed=0).parameters, rule)
    expected = [opt.graph.scalars(t=t, lr=0.1) for t in (1, 2, 3)]
    np.testing.assert_array_equal(opt.tables(3)[0], expected)


# ---- rules of whole tensors: what they may return ----


def returning(result, state=True, where="all"):
    """A LayerRule that returns ``result(w, g, m)``, for vectors alone if ``where`` says so."""

    def with_state(w, g, m, *, lr=0.5):
        return result(w, g, m) if where == "all" or w.ndim == 1 else (w - lr * g, m)

    def bare(w, g, *, lr=0.5):
        return result(w, g, None)

    return ol.rules.LayerRule(with_state if state else bare)


REFUSED_RETURNS = {
    "bare weights beside a state": (lambda w, g, m: w - g, "returned 1 values"),
    "one of two": (lambda w, g, m: (w - g,), "returned 1 values"),
    "three of two": (lambda w, g, m: (w, m, m), "returned 3 values"),
    "nothing": (lambda w, g, m: None, "returned 1 values"),
    "none for a state": (lambda w, g, m: (w, None), "is a NoneType"),
    "a number for a state": (lambda w, g, m: (w, 0.5), "is a float"),
    "an array of no dimensions": (lambda w, g, m: (w, np.float32(1)), r"of shape \(\)"),
    "a list of numbers": (lambda w, g, m: (w.tolist(), m), "is a list"),
    "another shape": (lambda w, g, m: (w[:1], m), r"of shape \(1"),
    "flat": (lambda w, g, m: (w[None], m), r"of shape \(1, "),
    "complex": (lambda w, g, m: (w * 1j, m), "is complex"),
    "booleans": (lambda w, g, m: (w > 0, m), "is bool"),
    "objects": (lambda w, g, m: (w.astype(object), m), "is object"),
}


@pytest.mark.parametrize("where", ["all", "vectors"])
@pytest.mark.parametrize("kind", REFUSED_RETURNS)
def test_a_layer_rule_that_returns_something_else_changes_nothing(kind, where):
    """Vectors come after the matrices, or in a group of their own: nothing is written before all is known."""
    result, message = REFUSED_RETURNS[kind]
    for groups in (None, {"biases": {"lr": 0.1}}):
        parameters, _ = make(ol.SGD)
        opt = ol.Optimizer(parameters, returning(result, where=where), groups=groups)
        parameters.grad[...] = 1.0
        before = parameters.data.copy()
        with pytest.raises(ol.RuleError, match=rf"with_state must return w, m.*{message}"):
            opt.step()
        np.testing.assert_array_equal(parameters.data, before)
        assert not opt.state["m"].any()
        assert opt.t == 0


def test_an_error_within_a_layer_rule_changes_nothing():
    parameters, _ = make(ol.SGD)
    opt = ol.Optimizer(parameters, returning(lambda w, g, m: 1 / 0, where="vectors"))
    before = parameters.data.copy()
    with pytest.raises(ZeroDivisionError):
        opt.step()
    np.testing.assert_array_equal(parameters.data, before)
    assert opt.t == 0


ACCEPTED_RETURNS = {
    "bare": lambda w, g, m: w - 0.5 * g,
    "tuple": lambda w, g, m: (w - 0.5 * g,),
    "list": lambda w, g, m: [w - 0.5 * g],
    "float64": lambda w, g, m: w.astype("float64") - 0.5 * g,
    "transposed": lambda w, g, m: (w.T - 0.5 * g.T).T,
}


@pytest.mark.parametrize("kind", ACCEPTED_RETURNS)
def test_a_layer_rule_without_state_may_return_the_weights_alone(kind):
    parameters, _ = make(ol.SGD)
    opt = ol.Optimizer(parameters, returning(ACCEPTED_RETURNS[kind], state=False))
    before = parameters.data.copy()
    parameters.grad[...] = np.arange(parameters.grad.size)
    opt.step()
    np.testing.assert_allclose(parameters.data, before - 0.5 * parameters.grad, rtol=1e-6)


def test_states_of_a_layer_rule_may_change_places():
    """A history: what is returned for one state is the array of another."""

    @ol.rules.LayerRule
    def history(w, g, last, before, *, lr=1.0):
        return w - lr * before, g, last

    parameters, _ = make(ol.SGD)
    opt = ol.Optimizer(parameters, history)
    start, moved = parameters.data.copy(), []
    for step in range(1, 5):
        parameters.grad[...] = step
        opt.step()
        moved.append(np.unique((start - parameters.data).round(4)).tolist())
    assert moved == [[0], [0], [1], [3]]
