"""What a study runs, and where it keeps it: runs and their keys, problems and plans that cannot be, the store."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from run_files import compare_module, executed_by, kept, made, names

import optimlab as ol
from optimlab.study import Contender, Problem, Run, Store, Study, compare
from optimlab.study import run as run_module
from optimlab.study.run import execute, time_steps
from optimlab.training.engine import Recorded

TINY = Study(
    problem=Problem(hidden=(4,), epochs=2),
    optimizers=("sgd", "adam"),
    rates=(0.001, 0.03, 1.0, 100.0),
    replicates=3,
    defaults=False,
)


def without_times(record):
    """A record without what was timed."""
    found = asdict(record)
    found["curves"].pop("seconds")
    return {k: v for k, v in found.items() if k not in ("seconds", "versions", "host")}


# --- runs


def test_a_run_is_repeated_exactly_and_its_key_covers_all_of_it():
    run = Run(TINY.problem, Contender("adam"), 0.01, seed=3, split=2)
    assert without_times(execute(run)) == without_times(execute(run))
    others = [
        replace(run, lr=0.02),
        replace(run, seed=4),
        replace(run, split=3),
        replace(run, hyperparameters=(("beta1", 0.5),)),
        replace(run, contender=Contender("adamw")),
        replace(run, contender=Contender("adam", "torch")),
        replace(run, problem=replace(run.problem, epochs=3)),
        replace(run, problem=replace(run.problem, dtype="float64")),
        replace(run, problem=replace(run.problem, train_rows=100)),
        replace(run, problem=replace(run.problem, val_rows=100)),
        replace(run, problem=replace(run.problem, test_rows=100)),
        replace(run, problem=replace(run.problem, redraw="train")),
    ]
    assert len({r.key for r in [run, *others]}) == len(others) + 1


def test_every_engine_has_runs_of_its_own(tmp_path, monkeypatch):
    """Engines round differently: their runs have other keys, and a folder takes no runs of another."""
    engines = [name for name in ol.backends.names() if name != "cupy"]
    problems = [replace(TINY.problem, backend=name) for name in engines]
    assert len({Run(problem, Contender("adam"), 0.01, 3).key for problem in problems}) == len(engines)
    for problem in problems:
        record = execute(Run(problem, Contender("sgd"), 0.1, 0))
        assert (record.engine, record.run["problem"]["backend"]) == (problem.backend, problem.backend)
        assert record.run["problem"]["backend"] == problem.backend
    fastest = ol.backends.get("auto").name
    assert Run(TINY.problem, Contender("sgd"), 0.1, 0) != Run(problems[0], Contender("sgd"), 0.1, 0)
    assert TINY.problem.config() == replace(TINY.problem, backend=fastest).config()
    with executed_by(made):
        compare(replace(TINY, problem=problems[0]), tmp_path)
    monkeypatch.setattr("optimlab.backends.compiled.installed", lambda: problems[0].backend != "compiled")
    other = ol.backends.get("auto").name
    with pytest.raises(ol.InputError, match=f"another study \\(backend '{engines[0]}' there, '{other}' now\\)"):
        compare(TINY, tmp_path)


@pytest.mark.parametrize(("rows", "batch_size"), [(64, 64), (65, 64), (128, 64), (129, 64), (300, 64), (10, 1), (7, 3)])
@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_update_ratios_are_those_of_the_last_step_of_each_epoch(rows, batch_size, backend):
    """One batch, two, many, with and without a smaller last one; against weights copied after every step."""
    problem = Problem(hidden=(4,), epochs=3, batch_size=batch_size, train_rows=rows, val_rows=50, backend=backend)
    net, data = problem.network(0), problem.replicate(0)
    weights, expected = [net.parameters.data.copy()], []

    class Every:
        def on_step(self, network, optimizer):
            weights.append(network.parameters.data.copy())

        def __call__(self, network, optimizer, history):
            before, after = weights[-2:]
            moved = {p.name: (p.view(before), p.view(after)) for p in network.parameters if p.kind == "weights"}
            norms = {name: (np.linalg.norm(b), np.linalg.norm(a - b)) for name, (b, a) in moved.items()}
            expected.append({name: pytest.approx(step / size, rel=1e-5) for name, (size, step) in norms.items()})

    ol.fit(net, ol.Adam(net.parameters, lr=0.01), data, epochs=3, batch_size=batch_size, callbacks=[Every()])
    assert len(weights) == 1 + 3 * -(-rows // batch_size)
    record = execute(Run(problem, Contender("adam"), 0.01, 0))
    found = record.curves.update_ratio
    assert [{name: ratios[k] for name, ratios in found.items()} for k in range(3)] == expected


@pytest.mark.skipif("compiled" not in ol.backends.names(), reason="llvmlite is not installed")
def test_update_ratios_let_compiled_code_run_on(monkeypatch):
    """A callback stops it once an epoch, before the last of the seventeen steps."""
    taken, take = [], Recorded.take

    def counted(self, times, *, rest):
        taken.append(times)
        return take(self, times, rest=rest)

    monkeypatch.setattr(Recorded, "take", counted)
    monkeypatch.setattr("optimlab.training.run.AWAY", 1e9)  # never looks for Ctrl-C
    assert execute(Run(Problem(epochs=2), Contender("sgd"), 0.1, 0)).engine == "compiled"
    assert taken == [1, 2, 4, 8, 1, 1, 16, 1]


def test_runs_are_the_same_whatever_the_target():
    run = Run(TINY.problem, Contender("adam"), 0.01, seed=3)
    assert replace(run, problem=replace(run.problem, target=0.5)).key == run.key
    assert "target" not in run.config()["problem"]


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("dtype", np.float64, "float64"),
        ("dtype", np.dtype("float64"), "float64"),
        ("epochs", np.int64(3), 3),
        ("batch_size", np.int32(5), 5),
        ("hidden", np.array([8]), (8,)),
        ("target", np.float64(0.5), 0.5),
        ("train_rows", np.int64(50), 50),
    ],
)
def test_numpys_values_are_those_of_python(name, value, same):
    one, other = (Run(Problem(**{name: v}), Contender("sgd"), 0.1, 0) for v in (value, same))
    assert one.key == other.key
    assert json.loads(json.dumps(one.config())) == other.config()


def test_numpys_numbers_are_those_of_python_in_a_study_too():
    study = Study(replicates=np.int64(10), seed=np.int32(0), extensions=np.int64(4), search=np.int8(0))
    assert json.loads(json.dumps(study.config())) == Study().config()
    assert {type(getattr(study, name)) for name in ("replicates", "seed", "extensions", "search")} == {int}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "rellu"}, "unknown activation 'rellu'; did you mean 'relu'"),
        ({"activation": None}, "activation must be a name, got None"),
        ({"initializer": ""}, "unknown initializer ''"),
        ({"initializer": None}, "initializer must be a name, got None"),
        ({"bias_initializer": "zero"}, "unknown initializer of biases 'zero'; did you mean 'zeros'"),
        ({"bias_initializer": "auto"}, "unknown initializer of biases 'auto'"),
        ({"bias_initializer": None}, "unknown initializer of biases None"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"backend": "torch"}, "unknown backend 'torch'"),
        ({"dropout": 1.0}, r"dropout rate must lie in \[0, 1\)"),
        ({"batch_norm": "no"}, "batch_norm must be"),
        ({"hidden": 64}, "hidden must be the sizes of the hidden layers"),
        ({"hidden": "64"}, "hidden must be the sizes of the hidden layers"),
        ({"hidden": (10**26,)}, "a hidden layer may have at most 1,000,000 units"),
        ({"target": 0}, r"target must be a validation score in \(0, 1\], got 0"),
        ({"target": 1.01}, r"target must be a validation score in \(0, 1\], got 1.01"),
    ],
)
def test_a_problem_is_refused_where_it_is_written(change, message):
    with pytest.raises(ol.InputError, match=message):
        Problem(**change)


def test_biases_are_drawn_as_the_problem_says():
    """Zero biases are left out of a description, so that runs made before the setting existed keep their keys."""
    zero, drawn = Problem(), Problem(bias_initializer="glorot_uniform")
    assert "bias_initializer" not in zero.config()
    assert drawn.config()["bias_initializer"] == "glorot_uniform"
    keys = {Run(problem, Contender("adam"), 0.01, 0).key for problem in (zero, drawn)}
    assert len(keys) == 2
    biases = [problem.network(0).parameters["dense1.b"].data for problem in (zero, drawn)]
    assert not biases[0].any()
    assert 0.1 < abs(biases[1]).max() <= (6 / 128) ** 0.5


def test_what_is_equal_has_one_key_however_it_is_written():
    exact = Study(
        Problem(hidden=(8,), target=1.0), (Contender("adam", hyperparameters={"beta1": 0.0}),), (1.0, 2.0, 4.0)
    )
    loose = Study(
        Problem(hidden=[8], target=1, dropout=0),
        [Contender("adam", hyperparameters=[("beta1", 0)])],
        np.array([1, 2, 4], "float32"),
    )
    assert exact == loose
    assert exact.config() == loose.config()
    for one, other in zip(*(s.grid(s.contenders[0], 1) for s in (exact, loose)), strict=True):
        assert one.key == other.key
    assert Run(TINY.problem, Contender("sgd"), 1, 0).key == Run(TINY.problem, Contender("sgd"), 1.0, 0).key


def test_optimizers_are_paired_by_the_seed():
    """Same split, same initial weights, same order of the data: with lr 0 nothing is left to differ."""
    runs = [Run(TINY.problem, Contender(name), 0.0, seed=5, split=7) for name in ("sgd", "adam", "adagrad")]
    curves = [without_times(execute(run))["curves"] for run in runs]
    assert curves[0] == curves[1] == curves[2]


@pytest.mark.parametrize(("hidden", "lr", "seed"), [((16,), 1.0, 0), ((4,), 0.3, 1), ((4,), 1.0, 1)])
def test_the_scores_are_those_of_the_epoch_with_the_best_validation_accuracy(hidden, lr, seed):
    """The test score, too, is that of a run that ends with this epoch, whatever came after."""
    problem = replace(TINY.problem, hidden=hidden, epochs=6)
    run = Run(problem, Contender("momentum"), lr, seed)
    record = execute(run)
    accuracy, loss = record.curves.val_score, record.curves.val_loss
    best = max(range(6), key=lambda k: (accuracy[k], -loss[k]))
    assert best < 5, "the last epoch must not be the best, or this test says nothing"
    assert record.best_epoch == best + 1
    assert (record.val_score, record.val_loss) == (accuracy[best], loss[best])
    shorter = execute(replace(run, problem=replace(problem, epochs=best + 1)))
    assert (record.test_score, record.test_loss) == (shorter.test_score, shorter.test_loss)
    whole = execute(replace(run, problem=replace(problem, epochs=5)))
    assert whole.test_loss == record.test_loss, "later epochs change nothing"


def test_the_test_rows_that_are_right_are_kept_where_all_replicates_share_them():
    from optimlab.study.rows_score import unpacked

    shared = replace(TINY.problem, redraw="train", test_rows=101)
    record = execute(Run(shared, Contender("adam"), 0.01, seed=0))
    right = unpacked(record.test_rows)
    assert len(right) == 101
    assert right.mean() == pytest.approx(record.test_score)
    assert execute(Run(TINY.problem, Contender("adam"), 0.01, seed=0)).test_rows == ""


def test_divergence_and_failure_are_results_not_exceptions(monkeypatch):
    record = execute(Run(TINY.problem, Contender("sgd"), 1e30, seed=0))
    assert record.status == "diverged"
    assert record.diverged_step >= 1
    assert record.val_score is None or record.best_epoch
    assert (record.val_counted, record.test_counted, record.epochs_to(0.01)) == (0.0, 0.0, None)
    monkeypatch.setattr("optimlab.study.run.fit", lambda *a, **k: 1 / 0)
    record = execute(Run(TINY.problem, Contender("sgd"), 0.1, seed=0))
    assert (record.status, record.error) == ("error", "ZeroDivisionError: division by zero")
    assert (record.val_counted, record.test_counted, record.epochs_to(0.01)) == (0.0, 0.0, None)


@pytest.mark.parametrize("curve", [(0.5, 0.7, 0.7, 0.6), (None, 0.8, 0.1, 0.9), (0.2, 0.3, 0.1, 0.0)])
@pytest.mark.parametrize("target", [0.3, 0.5, 0.7, 0.70001, 1.0])
def test_the_target_is_reached_in_the_first_epoch_at_or_above_it(curve, target):
    from optimlab.study.results import Curves

    record = kept("a", curves=Curves(val_score=curve))
    expected = None
    for epoch in (4, 3, 2, 1):
        if curve[epoch - 1] is not None and curve[epoch - 1] >= target:
            expected = epoch
    assert record.epochs_to(target) == expected


def test_ctrl_c_ends_the_timing(monkeypatch):
    """fit turns it into a status: the timing must not go on with the next optimizer."""
    fitted = []

    def interrupted(*args, **kwargs):
        fitted.append(1)
        return ol.History(status="interrupted")

    monkeypatch.setattr(run_module, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        time_steps(TINY.problem, {"sgd": Run(TINY.problem, Contender("sgd"), 0.1, 0)})
    assert fitted == [1]


# --- studies that cannot be run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizers": ()}, "at least one optimizer"),
        ({"optimizers": ("adam", "adamm")}, "unknown optimizer 'adamm'; did you mean"),
        ({"optimizers": "adam"}, "optimizers must be a list, got 'adam'"),
        ({"optimizers": (3,)}, "an optimizer must be a name or a Contender, got 3"),
        ({"optimizers": ("adam", "adam")}, "two optimizers have the label 'adam'"),
        ({"rates": (0.1, 1.0)}, "at least three"),
        ({"rates": (0.1, -1.0, 1.0)}, "positive learning rates"),
        ({"rates": (0.1, float("nan"), 1.0)}, "positive learning rates"),
        ({"rates": (1.0, 0.1, 0.01)}, "must rise"),
        ({"rates": (1e-320, 0.1, 1.0)}, "a learning rate must be at least 1e-300 and below 1e\\+300, got "),
        ({"rates": (0.1, 1.0, 1e300)}, "a learning rate must be at least 1e-300 and below 1e\\+300, got 1e\\+300"),
        ({"rates": (0.1, "much", 1.0)}, "positive learning rates"),
        ({"rates": 0.1}, "rates must be a list, got 0.1"),
        ({"extensions": -1}, "extensions must be a whole number of at least 0, got -1"),
        ({"extensions": 0.5}, "extensions must be a whole number of at least 0, got 0.5"),
        ({"search": -1}, "search must be a whole number of at least 0, got -1"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": True}, "seed must be a whole number of at least 0, got True"),
        ({"seed": None}, "seed must be a whole number of at least 0, got None"),
        ({"replicates": 1}, "replicates must be at least 2, which an interval needs, and at most 10,000, got 1"),
        (
            {"replicates": 10_001},
            "replicates must be at least 2, which an interval needs, and at most 10,000, got 10001",
        ),
        ({"replicates": 2.5}, "replicates must be a whole number of at least 1, got 2.5"),
        ({"replicates": (1, 2)}, "replicates must be a whole number"),
        ({"problem": "digits"}, "problem must be a Problem"),
        ({"defaults": "no"}, "defaults must be True or False, got 'no'"),
    ],
)
def test_studies_that_cannot_be_run_are_refused(change, message):
    with pytest.raises(ol.InputError, match=message):
        replace(TINY, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 2000}, "batch_size 2000 is larger than the 1077 rows"),
        ({"train_rows": 50}, "batch_size 64 is larger than the 50 rows"),
        ({"batch_norm": True, "batch_size": 269}, "1077 rows in batches of 269 leave one"),
        ({"batch_norm": True, "train_rows": 65}, "65 rows in batches of 64 leave one"),
    ],
)
def test_a_problem_that_cannot_be_run_leaves_no_folder_behind(tmp_path, change, message):
    with pytest.raises(ol.InputError, match=message):
        compare(replace(TINY, problem=replace(TINY.problem, **change)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("beta2", [0.9999999, 0.99999991, 1e-9, 0.1 + 0.2, 1 / 3])
def test_a_label_tells_a_number_exactly(beta2):
    assert float(Contender("adam", hyperparameters={"beta2": beta2}).label[len("adam (beta2=") : -1]) == beta2
    others = [Contender("adam", hyperparameters={"beta2": value}).label for value in (beta2, 0.9999998, 0.5)]
    assert len(set(others)) == 3


@pytest.mark.parametrize("lr", [0.0, -0.1])
def test_a_rule_whose_default_rate_is_none_is_refused_before_any_run(lr):
    def no_rate(w, g, *, lr=lr):
        return w - lr * g

    with pytest.raises(ol.InputError, match=r"default learning rate of no_rate is .*: give lr a positive default"):
        Contender("no_rate", rule=no_rate)


def twin(w, g, m, *, lr=1e-3, beta=0.9):
    m = beta * m + (1 - beta) * g
    return w - lr * m, m


def shorter_memory(w, g, m, *, lr=1e-3, beta=0.8):
    m = beta * m + (1 - beta) * g
    return w - lr * m, m


def another(w, g, m, *, lr=1e-3, beta=0.9):
    m = beta * m + g
    return w - lr * m, m


def test_your_own_rule_takes_part_and_is_known_by_what_it_computes():
    shorter_memory.__name__ = another.__name__ = "twin"
    configs = [Contender("twin", rule=rule).config() for rule in (twin, another, shorter_memory)]
    assert configs[0] != configs[1]
    assert configs[0] != configs[2], "the same formula with another default"
    with pytest.raises(ol.RuleError, match="not elementwise"):
        Contender("norm", rule=lambda w, g, *, lr=0.1: w - lr * g / np.linalg.norm(g))
    with pytest.raises(ol.InputError, match="has no learning rate lr to tune"):
        Contender("none", rule=lambda w, g: w - g)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("adamm",), "unknown optimizer 'adamm'; did you mean 'adam'"),
        (("adam", "torhc"), "unknown convention 'torhc'; did you mean 'torch'"),
        (("adam", "textbook", {"beta3": 0.1}), "unknown hyperparameter of adam 'beta3'; did you mean 'beta"),
        (("adam", "textbook", {"lr": 0.1}), "the learning rate is always tuned"),
        (("adam", "textbook", {"beta1": 1.5}), r"beta1 must lie in \[0, 1\), got 1.5"),
        (("adam", "textbook", {"beta1": "a"}), "beta1 must"),
        (("adam", "textbook", 3), "hyperparameters must map names to numbers, got 3"),
        (("adam", "textbook", (), "adam, default"), "a label cannot end in .*, got .adam, default."),
        (("adam", "textbook", (), "two\nlines"), "a label must be text on one line"),
        (("lamb", "torch"), "lamb is the same in every convention"),
    ],
)
def test_contenders_that_cannot_take_part(arguments, message):
    with pytest.raises(ol.InputError, match=message):
        Contender(*arguments)


# --- the store


def without_times_of(folder):
    """The runs in a folder by key, without what was timed, and the number of lines."""
    lines = (folder / "runs.jsonl").read_bytes().splitlines()
    return {key: without_times(record) for key, record in Store(folder).records.items()}, len(lines)


PROGRAM = """
import sys
from optimlab.study import Problem, Study, compare
problem = Problem(hidden=(64,) * 6, epochs=2)
compare(Study(problem, ("sgd",), (0.01, 0.1, 1.0), replicates=2, extensions=1), sys.argv[1], jobs=1)
"""


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_finished(tmp_path, monkeypatch):
    """Killed twice in the middle; the third start goes on, and the result is that of an undisturbed study."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    path = tmp_path / "killed" / "runs.jsonl"
    for _ in range(2):
        before = path.stat().st_size if path.exists() else 0
        with subprocess.Popen([*command, str(path.parent)]) as process:
            while (not path.exists() or path.stat().st_size <= before) and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
    for folder in (path.parent, tmp_path / "whole"):
        monkeypatch.setattr(sys, "argv", ["-c", str(folder)])
        with warnings.catch_warnings(action="ignore"):  # one of a line that was cut off, and one of an edge
            exec(PROGRAM, {})
    (killed, lines), (whole, _) = without_times_of(path.parent), without_times_of(tmp_path / "whole")
    assert killed == whole
    assert lines == len(killed)


def test_a_torn_last_line_is_dropped_with_a_warning(tmp_path):
    store = Store(tmp_path)
    for name in "ab":
        store.append([kept(name)])
    with (tmp_path / "runs.jsonl").open("ab") as file:
        file.write(b'{"key": "c", "sta')
    with pytest.warns(UserWarning, match="dropped an incomplete last line"):
        again = Store(tmp_path)
    assert names(again) == ["a", "b"]
    again.append([kept("d")])
    assert names(Store(tmp_path)) == ["a", "b", "d"]


@pytest.mark.parametrize("content", [b"not json\n", b"[1, 2]\n", b'{"no": "key"}\n', b"\xff\xfe\n"])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "runs.jsonl").write_bytes(content)
    with pytest.raises(ol.InputError, match=r"line 1: not a record"):
        Store(tmp_path)
    assert (tmp_path / "runs.jsonl").read_bytes() == content


def test_nan_is_stored_as_null(tmp_path):
    from optimlab.study.results import Curves

    curves = Curves(val_loss=(1.0, math.nan, math.inf), update_ratio={"dense1.W": (math.nan,)})
    Store(tmp_path).append([kept("a", val_loss=math.nan, curves=curves)])
    (record,) = Store(tmp_path).records.values()
    assert record.val_loss is None
    assert record.curves == Curves(val_loss=(1.0, None, None), update_ratio={"dense1.W": (None,)})
    line = (tmp_path / "runs.jsonl").read_text()
    json.loads(line, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ol.InputError, match="cannot write to the output folder"):
        Store(tmp_path / "file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's always-full device")  # noqa: PTH110
def test_a_full_disk_stops_with_one_clear_error(tmp_path):
    with Store(tmp_path) as store:
        store.append([kept("a")])
        whole = store.path.read_bytes()
        store.path = type(store.path)("/dev/full")
        with pytest.raises(ol.InputError, match="cannot write /dev/full: No space left"):
            store.append([kept("b")])
    assert (tmp_path / "runs.jsonl").read_bytes() == whole
    assert names(store) == ["a"]


def test_a_folder_without_runs_may_become_another_study(tmp_path):
    """Ctrl-C before the first run ended, then other options: nothing is lost."""
    with Store(tmp_path) as store:
        compare_module.claim(TINY, store)
        compare_module.claim(TINY.with_epochs(3), store)
    assert json.loads((tmp_path / "study.json").read_text())["problem"]["epochs"] == 3
