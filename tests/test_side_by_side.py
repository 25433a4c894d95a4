"""Runs side by side on a CPU: each has the record that it has alone."""

from dataclasses import replace

import pytest

import optimlab as ol
from optimlab.study import Contender, Problem, Run
from optimlab.study import side_by_side as module
from optimlab.study.execution import here
from optimlab.study.run import execute
from optimlab.study.side_by_side import side_by_side

ROWS = {"train_rows": 96, "val_rows": 40, "test_rows": 40}
CONTENDERS = ("sgd", "adam(beta1=0.8)", "sgd(schedule=cosine)", "lamb")


def runs_of(problem, rates=(0.01, 0.1, 1e30), seeds=(0, 1)):
    contenders = [*map(Contender.parse, CONTENDERS), Contender("adam", "torch")]
    return [Run(problem, contender, lr, seed, seed) for contender in contenders for lr in rates for seed in seeds]


def without_times(record):
    return replace(record, seconds=0.0, curves=replace(record.curves, seconds=()))


@pytest.mark.quick_each("options", "backend")
@pytest.mark.parametrize("backend", sorted({"numpy", ol.backends.get("auto").name}))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_norm": True, "dropout": 0.2},
        {"redraw": "train"},
        {"dataset": "sklearn:breast_cancer", "redraw": "train"},
        {"dataset": "sklearn:diabetes", "train_rows": None, "val_rows": None, "test_rows": None},
    ],
    ids=["plain", "batch norm and dropout", "one test set", "two classes", "regression"],
)
def test_every_run_has_the_record_that_it_has_alone(options, backend):
    """With schedules, a rule of whole matrices and divergence among them, in the order given."""
    runs = runs_of(Problem(**{"hidden": (6,), "epochs": 3, "batch_size": 32, "backend": backend, **ROWS, **options}))
    found = side_by_side(runs)
    assert [record.run["seed"] for record in found] == [run.seed for run in runs]
    assert {record.status for record in found} == {"ok", "diverged"}
    for run, record in zip(runs, found, strict=True):
        assert without_times(record) == without_times(execute(run)), run


def test_replicas_are_used_where_they_pay(monkeypatch):
    """For the runs of one problem whose rule is elementwise and follows no schedule, if there are several."""
    trained, alone = [], []
    real, one = module._trained, module.alone
    monkeypatch.setattr(module, "_trained", lambda runs: trained.append(len(runs)) or real(runs))
    monkeypatch.setattr(module, "alone", lambda runs: alone.append(len(runs)) or one(runs))
    problem = Problem(hidden=(6,), epochs=1, **ROWS)
    other, plain = replace(problem, hidden=(7,)), replace(problem, hidden=(8,), backend="numpy")
    runs = runs_of(problem, rates=(0.1,)) + runs_of(other, rates=(0.1,), seeds=(0,)) + runs_of(plain, rates=(0.1,))
    side_by_side(runs)
    assert trained == [6, 3, 6]
    assert alone == [4 + 2 + 4]


def test_runs_that_cannot_be_trained_together_are_trained_alone(monkeypatch):
    monkeypatch.setattr(module, "_pays", lambda problem, count: True)
    monkeypatch.setattr(module, "_trained", lambda runs: 1 / 0)
    runs = runs_of(Problem(hidden=(6,), epochs=1, **ROWS), rates=(0.1,))
    found = side_by_side(runs)
    assert [without_times(record) for record in found] == [without_times(execute(run)) for run in runs]


def test_a_pool_gives_short_runs_in_chunks_and_long_ones_singly(monkeypatch):
    sizes = []

    def noted(runs):
        sizes.append(len(runs))
        return side_by_side(runs)

    runs = {run.key: run for run in runs_of(Problem(hidden=(6,), epochs=1, **ROWS))}
    assert dict(here(noted, runs)).keys() == runs.keys()
    assert sizes[0] > 2
    monkeypatch.setattr(Problem, "expected_seconds", lambda problem: 2.0)
    sizes.clear()
    assert dict(here(noted, runs)).keys() == runs.keys()
    assert sizes[0] == 1
    assert max(sizes) > 2
