"""Replicas in the shared memory of a GPU's thread blocks: NVIDIA's assembly of the kernel, run on the CPU (ptx.py)."""

import re
import sys

import device
import numpy as np
import ptx
import pytest
from test_cupy import blas, folder, machine  # noqa: F401  # fixtures
from test_replicas import OTHER, RULES, SHARED, network

import optimlab as ol
from optimlab import rules
from optimlab.backends import blocks
from optimlab.cli.compare import _print as print_comparison
from optimlab.kernels import block_source
from optimlab.study import Contender, Problem, Run, Study, compare
from optimlab.study.rows_score import unpacked
from optimlab.study.run import execute
from optimlab.study.side_by_side import at_once, side_by_side, told
from optimlab.training import replicas
from optimlab.training.replicas import fit_replicas

pytestmark = pytest.mark.usefixtures("blas")
IN_BLOCKS = "one thread block trained each network, in shared memory"
EVERY = [parameter.values[0] for parameter in RULES]
"""The elementwise rules of every convention."""


def assert_as_fit(options, chosen, epochs=1, batch_size=32, rate=0.01, tolerance=1e-5, backend="numpy"):
    """One replica for each rule, all in one launch, against :func:`fit` one by one; data and seeds take turns."""
    seeds = [k % 2 for k in range(len(chosen))]
    data = [(SHARED, OTHER)[seed] for seed in seeds]
    settings = [{"lr": rate * (1 + k % 3)} for k in range(len(chosen))]
    kept, said = [], []
    histories = fit_replicas(
        [network(**{**options, "backend": "cupy"})(seed) for seed in seeds],
        chosen,
        settings,
        data,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        watch=lambda stacked, histories, before: kept.append(stacked),
        say=said.append,
    )
    assert said == [IN_BLOCKS]
    for r, (rule, own, one, seed) in enumerate(zip(chosen, settings, data, seeds, strict=True)):
        net = network(**{**options, "backend": backend})(seed)
        optimizer = ol.Optimizer(net.parameters, rule, **own)
        alone = ol.fit(net, optimizer, one, epochs=epochs, batch_size=batch_size, seed=seed, progress=False)
        for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr"):
            assert getattr(histories[r], name) == pytest.approx(getattr(alone, name), rel=tolerance), (rule, name)
        assert (histories[r].steps, histories[r].status) == (alone.steps, alone.status)
        for name, values in net.learned().items():
            expected = net.backend.to_numpy(values)
            found = kept[0].learned()[name].get()[r].reshape(expected.shape)
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * abs(expected).max(), err_msg=str(rule))
    return histories


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("sizes", [(5, 9, 3), (5, 7, 6, 3), (5, 40, 3)], ids=str)
def test_every_rule_trains_as_fit_does(sizes, batch_norm, machine):  # noqa: F811
    """A bias before batch norm has a gradient of rounding alone, from which the rules make anything."""
    assert_as_fit({"sizes": sizes, "batch_norm": batch_norm, "use_bias": not batch_norm}, EVERY)
    assert machine.launches.count("epoch") == 2


# --- every part of a network


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "gelu", "batch_norm": "after", "convention": "torch", "dtype": "float64"},
        {"activation": "softmax", "standardize": ol.Standardize(np.full(5, 0.5), np.arange(5.0))},
    ],
    ids=["float64", "softmax and standardized"],
)
def test_every_layer(options, machine):  # noqa: F811
    tolerance = 1e-12 if options.get("dtype") == "float64" else 1e-5
    assert_as_fit(options, [rules.textbook.sgd, rules.textbook.momentum], batch_size=33, tolerance=tolerance)


@pytest.mark.slow
def test_dropout_draws_the_numbers_of_the_backend(machine):  # noqa: F811
    options = {"sizes": (5, 7, 3), "activation": "tanh", "dropout": 0.3}
    assert_as_fit(options, [rules.textbook.sgd, rules.textbook.adam], epochs=2, batch_size=33, backend="cupy")


@pytest.mark.slow
def test_two_classes_with_one_logit(machine):  # noqa: F811
    data = ol.Dataset(SHARED.x_train, SHARED.y_train == 1, SHARED.x_val, SHARED.y_val == 1)
    nets = [ol.MLP([5, 6, 1], seed=seed, backend="cupy") for seed in (0, 1)]
    rule, loss = rules.textbook.adam, "binary_cross_entropy"
    histories = fit_replicas(nets, rule, [{}, {}], data, seeds=[0, 1], epochs=2, batch_size=30, loss=loss)
    for seed, history in enumerate(histories):
        net = ol.MLP([5, 6, 1], seed=seed, backend="numpy")
        alone = ol.fit(net, ol.Optimizer(net.parameters, rule), data, epochs=2, batch_size=30, loss=loss, seed=seed)
        for name in ("train_loss", "val_loss", "train_accuracy"):
            assert getattr(history, name) == pytest.approx(getattr(alone, name), rel=1e-5)


@pytest.mark.slow
def test_products_of_several_rows_and_columns_per_thread(machine):  # noqa: F811
    digits = ol.datasets.load("digits")
    data = ol.Dataset(digits.x_train[:64], digits.y_train[:64], digits.x_val[:9], digits.y_val[:9])
    (history,) = fit_replicas(
        [ol.MLP([64, 64, 10], seed=0, backend="cupy")], rules.textbook.adam, [{}], data, seeds=[0], epochs=1
    )
    assert any("product<64, 64, 64, 64, 1, 64, 1, 4, 4>" in text for text, _ in machine.compiled)
    net = ol.MLP([64, 64, 10], seed=0, backend="numpy")
    alone = ol.fit(net, ol.Adam(net.parameters), data, epochs=1)
    assert (history.train_loss, history.val_loss) == (pytest.approx(alone.train_loss), pytest.approx(alone.val_loss))


@pytest.mark.slow
def test_those_that_diverge_are_named_at_their_step(machine):  # noqa: F811
    rates = [0.01, 1e3, 1e12, 30.0]
    nets = [network(activation="identity", backend="cupy")(0) for _ in rates]
    settings, options = [{"lr": lr} for lr in rates], {"epochs": 3, "batch_size": 16}
    histories = fit_replicas(nets, rules.textbook.momentum, settings, SHARED, seeds=[0] * 4, **options)
    for own, history in zip(settings, histories, strict=True):
        net = network(activation="identity")(0)
        alone = ol.fit(net, ol.Optimizer(net.parameters, rules.textbook.momentum, **own), SHARED, **options)
        found = (history.status, history.diverged_step, history.steps, history.epochs)
        assert found == (alone.status, alone.diverged_step, alone.steps, alone.epochs)
    assert len({history.diverged_step for history in histories}) >= 2


# --- what does not fit


class Own(ol.layers.Activate):
    """A layer of one's own, whose Python no kernel has."""


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["too large", "own layer"])
def test_what_does_not_fit_is_trained_with_a_leading_axis_and_told(own, machine):  # noqa: F811
    """At the last byte."""
    said, found = [], []
    nets = [network(backend="cupy")(seed) for seed in (0, 1)]
    if own:
        for net in nets:
            net.layers[1].__class__ = Own
    else:
        machine.shared = needed(nets[0], machine) - 1
    for _ in range(2):
        settings = [{"lr": 0.01}, {"lr": 0.03}]
        options = {"seeds": [0, 1], "epochs": 2, "batch_size": 16, "say": said.append}
        histories = fit_replicas(nets, rules.textbook.adam, settings, SHARED, **options)
        found.append([history.train_loss + history.val_loss for history in histories])
        machine.shared += 1
    reason = (
        "a part of the step is custom Python code" if own else "a network with its batch and the rule's state needs "
    )
    assert said[0].startswith(f"all networks shared batched products: {reason}")
    assert said[1] == (said[0] if own else IN_BLOCKS)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def needed(net, machine):  # noqa: F811
    """The bytes of shared memory that a replica of a network with Adam asks for."""
    fit_replicas([net], rules.textbook.adam, [{}], SHARED, seeds=[0], epochs=1, batch_size=16)
    return max(args[-1] for path, args, _ in machine.calls.values() if path == "cupy.cuda.driver.funcSetAttribute")


# --- planted mistakes


def one_epoch():
    options = {"sizes": (5, 4, 3), "batch_norm": True, "use_bias": False}
    assert_as_fit(options, [rules.textbook.momentum, rules.textbook.adam], batch_size=35)


def without(kernel, pattern, instead=""):
    """Change the kernel's text."""

    def changed(plan, graphs):
        text, count = re.subn(pattern, instead, kernel(plan, graphs))
        assert count
        return text

    return changed


MISTAKES = {
    "no barriers": (blocks.Plan, "kernel", lambda kernel: without(kernel, r" *__syncthreads\(\);\n")),
    "places that overlap": (blocks, "_free", lambda free: lambda size, taken, start: free(size, taken[:1], start)),
    "scalars of the next step": (replicas._Group, "table", lambda table: lambda group, t, n: table(group, t + 1, n)),
    "inexact numbers": (block_source, "number_text", lambda text: lambda value, dtype: text(value * 1.0001, dtype)),
    "lost state": (blocks.Plan, "kernel", lambda kernel: without(kernel, r"copy\(at<T>\(\d+\), state.*")),
    "lost averages": (blocks.Plan, "kernel", lambda kernel: without(kernel, r"copy\(at<T>\(\d+\), array0.*")),
    "one order for all": (
        blocks.Plan,
        "kernel",
        lambda kernel: without(kernel, r"row\) \* replicas \+ replica", "row)"),
    ),
    "the first rule for all": (blocks.Plan, "kernel", lambda kernel: without(kernel, r"rules\[replica\]", "0")),
}


def test_without_a_mistake_it_passes(machine):  # noqa: F811
    one_epoch()


@pytest.mark.slow
@pytest.mark.parametrize(("where", "name", "change"), MISTAKES.values(), ids=MISTAKES)
def test_planted_mistakes_fail(where, name, change, machine, monkeypatch):  # noqa: F811
    monkeypatch.setattr(where, name, change(getattr(where, name)))
    with pytest.raises((AssertionError, ptx.Wrong)):
        one_epoch()


# --- a comparison


def study_runs(backend, **options):
    """Runs of two replicates, three optimizers and two rates; one contender follows a schedule."""
    limits = {"train_rows": 96, "val_rows": 40, "test_rows": 40}
    problem = Problem(hidden=(6,), epochs=2, batch_size=32, backend=backend, **limits, **options)
    contenders = map(Contender.parse, ("sgd", "adam(beta1=0.8)", "sgd(schedule=cosine)"))
    return [Run(problem, c, lr, seed, seed) for c in contenders for lr in (0.01, 0.1) for seed in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [device.SHARED, 2000], ids=["in shared memory", "batched"])
def test_a_study_is_executed_side_by_side_and_says_how(shared, machine):  # noqa: F811
    machine.shared = shared
    runs = study_runs("cupy", redraw="train")
    found = dict(at_once(side_by_side, {run.key: run for run in runs}))
    assert machine.launches.count("epoch") == (4 if shared == device.SHARED else 0)
    for run, reference in zip(runs, study_runs("numpy", redraw="train"), strict=True):
        record, expected = found[run.key], execute(reference)
        for name in ("status", "best_epoch", "steps", "test_rows", "state_arrays", "val_score", "test_score"):
            assert getattr(record, name) == getattr(expected, name), (run, name)
        assert record.test_loss == pytest.approx(expected.test_loss, rel=1e-5)
        for name in ("train_loss", "val_loss"):
            assert getattr(record.curves, name) == pytest.approx(getattr(expected.curves, name), rel=1e-5)
        for name, ratios in record.curves.update_ratio.items():
            assert ratios == pytest.approx(expected.curves.update_ratio[name], rel=1e-3)
    way = IN_BLOCKS if shared == device.SHARED else "all networks shared batched products: a network with its batch"
    (sentence,) = told(found.values())
    assert sentence.startswith(f"On the GPU, {way}")
    assert [found[run.key].engine == "cupy" for run in runs] == [run.contender.schedule is not None for run in runs]


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["sklearn:diabetes", "sklearn:breast_cancer"])
def test_regressions_and_single_logits_too(dataset, machine):  # noqa: F811
    runs, references = (study_runs(backend, dataset=dataset, redraw="train") for backend in ("cupy", "numpy"))
    for record, reference in zip(side_by_side(runs), references, strict=True):
        expected = execute(reference)
        assert record.curves.train_loss == pytest.approx(expected.curves.train_loss, rel=1e-5)
        assert record.curves.val_score == pytest.approx(expected.curves.val_score, rel=1e-4)
        assert record.test_score == pytest.approx(expected.test_score, rel=1e-4, abs=1e-5)
        found, rows = (unpacked(one.test_rows) for one in (record, expected))
        np.testing.assert_allclose(found.astype(float), rows.astype(float), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*still at the edge of the grid")  # after a single epoch
def test_a_comparison_on_a_gpu_trains_side_by_side_and_prints_how(machine, tmp_path, monkeypatch, capsys):  # noqa: F811
    problem = Problem(hidden=(4,), epochs=1, batch_size=48, train_rows=96, val_rows=40, test_rows=40, backend="cupy")
    monkeypatch.setattr(sys.modules[compare.__module__], "time_steps", lambda problem, runs: {})
    study = Study(problem, ("sgd",), (0.03, 0.1, 0.3), replicates=2, defaults=False, extensions=0)
    comparison = compare(study, tmp_path)
    assert machine.launches.count("epoch") == 2
    print_comparison(comparison)
    assert f"On the GPU, {IN_BLOCKS}." in capsys.readouterr().out
