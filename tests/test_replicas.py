"""Replicas of one network trained at once: each has, bit for bit, the record that it has alone."""

from dataclasses import replace

import numpy as np
import pytest

import optimlab as ol
from optimlab import rules
from optimlab.activations import ACTIVATIONS
from optimlab.replicas import evaluate_replicas, fit_replicas, stack
from optimlab.study import Contender, Problem, Run
from optimlab.study import run as run_module
from optimlab.study.run import TOGETHER, execute, execute_together, together

ROWS = {"train": 70, "val": 33, "test": 29}


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """Three noisy classes, of which a short last batch is left."""
    rng = np.random.default_rng(1)
    arrays = {}
    for split, rows in ROWS.items():
        arrays[f"y_{split}"] = np.arange(rows) % 3
        arrays[f"x_{split}"] = rng.normal(arrays[f"y_{split}"][:, None], 1.5, (rows, 5)).astype("float32")
    path = tmp_path_factory.mktemp("data") / "noisy.npz"
    np.savez(path, **arrays)
    return Problem(str(path), hidden=(7, 6), batch_size=16, epochs=3, target=0.6)


def compared(record):
    """All of a record but the times; as text, so that NaN equals NaN and 0 is not -0."""
    return repr(replace(record, seconds=0.0, curves=replace(record.curves, seconds=())))


def assert_as_alone(problem, contender, rates=(0.0, 0.003, 0.1), seeds=((0, 0), (1, 5))):
    """Seeds and splits of the runs: by default two replicates, each with its own data."""
    runs = [Run(problem, contender, lr, seed, split) for lr in rates for seed, split in seeds]
    assert together(runs) == [runs]
    found, expected = execute_together(runs), [execute(run) for run in runs]
    assert all(record.status != "error" for record in expected), expected
    for one, other in zip(found, expected, strict=True):
        assert compared(one) == compared(other)
    return found


RULES = [(name, convention) for convention in rules.CONVENTIONS for name in rules.names(convention)]


@pytest.mark.parametrize(("name", "convention"), RULES)
def test_every_rule_in_every_convention(problem, name, convention, monkeypatch):
    # a record made alone after all would prove nothing
    monkeypatch.setattr(run_module, "execute", None)
    assert_as_alone(problem, Contender(name, convention))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation(problem, activation):
    assert_as_alone(replace(problem, activation=activation), Contender("momentum"))


@pytest.mark.parametrize(
    "change",
    [
        {"batch_norm": True},
        {"batch_norm": True, "dtype": "float64"},
        {"dtype": "float64"},
        {"hidden": ()},
        {"batch_size": 70},
        {"batch_size": 35},
        {"batch_size": 69},
        {"batch_size": 1},
        {"batch_size": 64, "epochs": 1},
        {"initializer": "glorot_uniform"},
    ],
    ids=str,
)
def test_every_shape_of_a_problem(problem, change):
    assert_as_alone(replace(problem, **change), Contender("adam"))


def test_digits_in_groups_larger_than_a_block():
    rates = (0.001, 0.03, 1.0)
    assert_as_alone(Problem(epochs=1), Contender("adam"), rates, [(k, 7 * k) for k in range(10)])


@pytest.mark.parametrize("batch_size", [16, 35, 69, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_at_different_steps(problem, batch_size, dtype):
    """In the middle of an epoch or at its end, where the validation loss is the first that is not finite."""
    deep = replace(problem, activation="identity", batch_size=batch_size, dtype=dtype, epochs=6)
    found = assert_as_alone(deep, Contender("momentum"), np.geomspace(0.1, 3e3, 10).tolist(), ((0, 1),))
    assert len({record.diverged_step for record in found}) >= 3


def test_a_random_search(problem):
    """Replicas that differ in every hyperparameter, one with a factor that is exactly 1."""
    contender = Contender("adamw", "torch", {"weight_decay": 0.1})
    chosen = [(("beta1", 0.0), ("eps", 1e-3)), (("beta1", 0.5), ("beta2", 0.9)), ()]
    runs = [Run(problem, contender, lr, 0, 2, own) for lr, own in zip((0.01, 1.0, 0.1), chosen, strict=True)]
    for one, run in zip(execute_together(runs), runs, strict=True):
        assert compared(one) == compared(execute(run))


def test_a_record_does_not_depend_on_its_company(problem):
    runs = [Run(problem, Contender("adam"), lr, seed) for lr in (0.01, 1e30) for seed in (0, 1, 2)]
    whole = execute_together(runs)
    parts = [record for part in (runs[:2], runs[2:]) for record in execute_together(part)]
    assert list(map(compared, whole)) == list(map(compared, parts))


def test_batches_that_cannot_be_are_an_error_in_either_way(problem):
    for change in ({"batch_size": 71}, {"batch_size": 69, "batch_norm": True}, {"batch_size": 1, "batch_norm": True}):
        runs = [Run(replace(problem, **change), Contender("adam"), lr, 0) for lr in (0.1, 0.2)]
        assert execute_together(runs) == [execute(run) for run in runs]
        assert {record.status for record in execute_together(runs)} == {"error"}


# --- groups


def test_runs_are_grouped_where_they_may_be_trained_together(problem):
    both = Contender("sgd"), Contender("adam")
    runs = [Run(problem, c, lr, seed, seed) for c in both for lr in (0.1, 1.0) for seed in (0, 1)]
    assert [len(group) for group in together(runs)] == [4, 4]
    assert [group[0].contender for group in together(runs)] == list(both)
    assert [len(group) for group in together(runs, jobs=3)] == [1, 1, 2] * 2
    for jobs in (1, 2, 3, 50):
        groups = together(runs, jobs)
        assert sorted((run for group in groups for run in group), key=runs.index) == runs
        assert all(len({(run.problem, run.contender) for run in group}) == 1 for group in groups)
    many = [Run(problem, Contender("sgd"), 0.1, seed) for seed in range(TOGETHER + 1)]
    assert [len(group) for group in together(many)] == [15, 16]
    assert together([]) == []


@pytest.mark.parametrize(
    ("change", "contender"),
    [
        ({"dropout": 0.5}, Contender("sgd")),
        ({"hidden": (5000,)}, Contender("sgd")),
        ({}, Contender("lars")),
        ({}, Contender("lamb")),
        ({}, Contender("muon")),
    ],
    ids=str,
)
def test_what_is_trained_alone(problem, change, contender):
    runs = [Run(replace(problem, **change), contender, lr, 0) for lr in (0.1, 1.0)]
    assert together(runs) == [[run] for run in runs]


def test_a_group_with_a_run_that_cannot_be_made_is_run_one_by_one(problem):
    runs = [Run(problem, Contender("momentum"), lr, 0, hyperparameters=(("beta", beta),)) for lr, beta in [(0.1, 2.0)]]
    runs += [Run(problem, Contender("momentum"), 0.1, seed) for seed in (0, 1)]
    wrong, *right = execute_together(runs)
    assert (wrong.status, [r.status for r in right]) == ("error", ["ok", "ok"])
    assert "beta must lie in [0, 1), got 2.0" in wrong.error


def test_ctrl_c_ends_a_group(problem, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "fit_replicas", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute_together([Run(problem, Contender("sgd"), 0.1, seed) for seed in (0, 1)])


# --- by hand


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([], "at least one network"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 4, 1])], "same layers, shapes and dtype"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 3, 1], dtype="float64")], "same layers, shapes and dtype"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 3, 1], activation="tanh")], "same layers, shapes and dtype"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 3, 1], dropout=0.1)], "dropout"),
        ([ol.MLP([2, 3, 1], dropout=0.1)] * 2, "dropout"),
    ],
)
def test_networks_that_are_not_alike_are_refused(networks, message):
    with pytest.raises(ol.InputError, match=message):
        stack(networks)


def test_frozen_parameters_are_refused():
    nets = [ol.MLP([2, 3, 1], seed=seed) for seed in (0, 1)]
    nets[1].parameters.freeze("weights")
    with pytest.raises(ol.InputError, match="frozen"):
        stack(nets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": [{}]}, "2 networks need as many settings, seeds and data sets, got 1, 2, 2"),
        ({"seeds": [0]}, "2 networks need as many settings, seeds and data sets, got 2, 1, 2"),
        ({"loss": "mean_squared_error"}, "trained on classes"),
        ({"batch_size": 5000}, "larger than the 1077 rows"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"settings": [{"lr": 0.1}, {"beta": 0.9}]}, "unknown hyperparameter of sgd 'beta'"),
        ({"settings": [{}, {"lr": ol.schedules.StepLR(0.1, 10)}]}, "lr must be.*replicas take only numbers"),
        ({"settings": [{}, {"lr": -0.1}]}, "lr must be a finite number of at least 0, got -0.1$"),
    ],
)
def test_what_replicas_cannot_be_trained_with(options, message):
    nets = [ol.MLP([64, 10], seed=seed) for seed in (0, 1)]
    options = {"settings": [{}, {}], "seeds": [0, 1], **options}
    with pytest.raises(ol.InputError, match=message):
        fit_replicas(nets, rules.textbook.sgd, data=ol.datasets.load("digits"), **options)


def test_the_networks_given_stay_as_they_are_and_the_stack_is_evaluated_as_they_are():
    data = ol.datasets.load("digits")
    nets = [ol.MLP([64, 12, 10], seed=seed, batch_norm=True) for seed in (0, 1, 2)]
    before = [net.parameters.data.copy() for net in nets]
    losses, accuracies = evaluate_replicas(stack(nets), [(data.x_test, data.y_test)] * 3)
    assert list(zip(losses, accuracies, strict=True)) == [ol.evaluate(net, data.x_test, data.y_test) for net in nets]
    fit_replicas(nets, rules.textbook.adam, [{}] * 3, data, seeds=[0, 1, 2], epochs=1)
    for net, weights in zip(nets, before, strict=True):
        np.testing.assert_array_equal(net.parameters.data, weights)
