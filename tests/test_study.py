"""The comparison: its protocol, its store, its statistics."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from run_files import kept, names
from scipy import stats

import optimlab as ol
from optimlab.report.reading import read_results
from optimlab.study import Contender, Problem, Run, Store, Study, compare
from optimlab.study import compare as compare_function
from optimlab.study.run import execute, time_steps
from optimlab.study.statistics import paired_difference, t_interval

compare_module = sys.modules[compare_function.__module__]
TINY = Study(
    problem=Problem(hidden=(16,), epochs=2),
    optimizers=("sgd", "adam"),
    rates=(0.001, 0.03, 1.0, 100.0),
    tuning_seeds=(0, 1),
    confirmation_seeds=(100, 101, 102),
    defaults=False,
)


def without_times(record):
    return {k: v for k, v in record.items() if k not in ("seconds", "versions", "host", "curves")} | {
        "curves": {k: v for k, v in record.get("curves", {}).items() if k != "seconds"}
    }


# --- runs


def test_a_run_is_repeated_exactly_and_its_key_covers_all_of_it():
    run = Run(TINY.problem, Contender("adam"), 0.01, seed=3, test=True)
    assert without_times(execute(run)) == without_times(execute(run))
    others = [
        replace(run, lr=0.02),
        replace(run, seed=4),
        replace(run, test=False),
        replace(run, contender=Contender("adamw")),
        replace(run, problem=replace(run.problem, epochs=3)),
        replace(run, problem=replace(run.problem, dtype="float64")),
    ]
    assert len({r.key for r in [run, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("dtype", np.float64, "float64"),
        ("dtype", np.dtype("float64"), "float64"),
        ("epochs", np.int64(3), 3),
        ("batch_size", np.int32(5), 5),
        ("hidden", np.array([8]), (8,)),
        ("target", np.float64(0.5), 0.5),
    ],
)
def test_numpys_values_are_those_of_python(name, value, same):
    one, other = (Run(Problem(**{name: v}), Contender("sgd"), 0.1, 0) for v in (value, same))
    assert one.key == other.key
    assert json.loads(json.dumps(one.config())) == other.config()


def test_numpys_seeds_are_those_of_python():
    study = Study(tuning_seeds=np.arange(3), confirmation_seeds=np.arange(100, 110))
    assert json.loads(json.dumps(study.config())) == Study().config() | {"rates": list(Study().rates)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "rellu"}, "unknown activation 'rellu'; did you mean 'relu'"),
        ({"activation": None}, "activation must be a name, got None"),
        ({"initializer": ""}, "unknown initializer ''"),
        ({"initializer": None}, "initializer must be a name, got None"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"backend": "torch"}, "unknown backend 'torch'"),
        ({"dropout": 1.0}, r"dropout rate must lie in \[0, 1\)"),
        ({"batch_norm": "no"}, "batch_norm must be"),
        ({"hidden": 64}, "hidden must be the sizes of the hidden layers"),
        ({"hidden": "64"}, "hidden must be the sizes of the hidden layers"),
        ({"hidden": (10**26,)}, "a hidden layer has at most 1,000,000 units"),
    ],
)
def test_a_problem_is_refused_where_it_is_written(change, message):
    with pytest.raises(ol.InputError, match=message):
        Problem(**change)


def test_what_is_equal_has_one_key_however_it_is_written():
    exact = Study(
        Problem(hidden=(8,), target=1.0), (Contender("adam", hyperparameters={"beta1": 0.0}),), (1.0, 2.0, 4.0)
    )
    loose = Study(
        Problem(hidden=[8], target=1, dropout=0),
        [Contender("adam", hyperparameters=[("beta1", 0)])],
        np.array([1, 2, 4], "float32"),
        tuning_seeds=range(3),
    )
    assert exact == loose
    assert exact.config() == loose.config()
    for one, other in zip(*(s.tuning_runs(*s.contenders, s.rates) for s in (exact, loose)), strict=True):
        assert one.key == other.key
    assert Run(TINY.problem, Contender("sgd"), 1, 0).key == Run(TINY.problem, Contender("sgd"), 1.0, 0).key


def test_optimizers_are_paired_by_the_seed():
    """Same initial weights, same order of the data: with lr 0 nothing is left to differ."""
    problem = TINY.problem
    runs = [Run(problem, Contender(name), 0.0, seed=5) for name in ("sgd", "adam", "adagrad")]
    curves = [without_times(execute(run))["curves"] for run in runs]
    assert curves[0] == curves[1] == curves[2]


def test_the_test_split_is_looked_at_only_when_asked():
    record = execute(Run(TINY.problem, Contender("adam"), 0.01, seed=0))
    assert "test_accuracy" not in record
    record = execute(Run(TINY.problem, Contender("adam"), 0.01, seed=0, test=True))
    assert 0 < record["test_accuracy"] <= 1


def test_the_score_is_taken_at_the_best_validation_epoch():
    problem = replace(TINY.problem, epochs=6)
    record = execute(Run(problem, Contender("momentum"), 0.3, seed=0, test=True))
    accuracy, loss = record["curves"]["val_accuracy"], record["curves"]["val_loss"]
    best = max(range(6), key=lambda k: (accuracy[k], -loss[k]))
    assert record["best_epoch"] == best + 1
    shorter = execute(Run(replace(problem, epochs=best + 1), Contender("momentum"), 0.3, seed=0, test=True))
    assert record["test_accuracy"] == shorter["test_accuracy"]


def test_divergence_and_failure_are_results_not_exceptions(monkeypatch):
    record = execute(Run(TINY.problem, Contender("sgd"), 1e30, seed=0, test=True))
    assert record["status"] == "diverged"
    assert record["diverged_step"] >= 1
    assert record["val_accuracy"] is None or record["best_epoch"]
    json.dumps(record, allow_nan=False)
    monkeypatch.setattr("optimlab.study.run.fit", lambda *a, **k: 1 / 0)
    record = execute(Run(TINY.problem, Contender("sgd"), 0.1, seed=0))
    assert (record["status"], record["error"]) == ("error", "ZeroDivisionError: division by zero")


# --- the protocol


def test_the_whole_protocol_on_a_tiny_study(tmp_path):
    result = compare(TINY, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert len(lines) == len({line["key"] for line in lines}) == 2 * (4 * 2 + 3)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [row["optimizer"] for row in summary["optimizers"]] == ["sgd", "adam"]
    for row in result.rows:
        grid = result.tuning[row["optimizer"]]
        medians = {lr: np.median([r["val_accuracy"] or 0 for r in runs]) for lr, runs in grid.items()}
        assert medians[row["lr"]] == max(medians.values())
        seeds = [r["run"]["seed"] for r in result.confirmation[row["optimizer"]]]
        assert seeds == [100, 101, 102]
        tested = [r["test_accuracy"] for r in result.confirmation[row["optimizer"]]]
        assert row["test_accuracy"]["mean"] == pytest.approx(np.mean(tested))
        assert not row["at_edge"]


def test_finished_runs_are_never_run_again(tmp_path, monkeypatch):
    first = compare(TINY, tmp_path)
    content = (tmp_path / "runs.jsonl").read_bytes()
    plant(monkeypatch, lambda run: pytest.fail("ran again"))
    again = compare(TINY, tmp_path)
    times = ("microseconds_per_step", "seconds_to_target")
    assert [{**r, **dict.fromkeys(times)} for r in again.rows] == [{**r, **dict.fromkeys(times)} for r in first.rows]
    assert (tmp_path / "runs.jsonl").read_bytes() == content


def test_the_order_of_the_optimizers_does_not_matter(tmp_path):
    a = compare(TINY, tmp_path / "a")
    b = compare(replace(TINY, optimizers=("adam", "sgd")), tmp_path / "b")
    for name in TINY.optimizers:
        assert [without_times(r) for r in a.confirmation[name]] == [without_times(r) for r in b.confirmation[name]]


def test_a_run_that_failed_is_tried_again(tmp_path, monkeypatch):
    real, failures = execute, []

    def flaky(run):
        if not failures:
            failures.append(run.key)
            return {"key": run.key, "run": run.config(), "status": "error", "error": "OSError: bad luck"}
        return real(run)

    plant(monkeypatch, flaky)
    first = compare(TINY, tmp_path)
    assert first.rows[0]["errors"] == ["OSError: bad luck"]
    second = compare(TINY, tmp_path)
    assert second.rows[0]["errors"] == []
    assert Store(tmp_path).records[failures[0]]["status"] == "ok"


def plant(monkeypatch, fake):
    """Let the comparison execute its runs by ``fake``."""
    monkeypatch.setattr(compare_module, "execute_together", lambda runs: [fake(run) for run in runs])


def made_up(scores):
    """execute, replaced: a run's validation accuracy is a function of its rate."""

    def execute(run):
        record = {"key": run.key, "run": run.config(), "status": "ok", "val_loss": 1.0, "best_epoch": 1}
        accuracy = scores(run)
        record |= {"val_accuracy": accuracy, "test_accuracy": accuracy, "epochs_to_target": 1, "steps": 1}
        return {**record, "seconds": 0.0, "state_arrays": 0, "curves": {}}

    return execute


def test_the_grid_is_extended_where_the_best_lies_at_its_edge(tmp_path, monkeypatch):
    study = replace(TINY, optimizers=("sgd",), rates=(0.1, 1.0, 10.0))
    for name, best in (("up", 1000.0), ("down", 0.001)):
        plant(monkeypatch, made_up(lambda run, best=best: 1 - 0.1 * abs(math.log10(run.lr / best))))
        row = compare(study, tmp_path / name).rows[0]
        assert row["lr"] == pytest.approx(best)
        assert not row["at_edge"]
        assert row["trials"] == 2 * (3 + 3)


@pytest.mark.parametrize("rates", [(1e-300, 1e-299, 1e-298), (1e297, 1e298, 1e299), (1e-300, 1.0, 9e299)])
def test_a_grid_is_not_extended_to_rates_that_are_no_numbers(tmp_path, monkeypatch, rates):
    plant(monkeypatch, made_up(lambda run: min(1.0, 0.5 + 0.001 * abs(math.log10(run.lr)))))
    row = compare(replace(TINY, optimizers=("sgd",), rates=rates), tmp_path).rows[0]
    assert row["at_edge"]
    assert [rate["lr"] for rate in row["sensitivity"]] == list(rates)
    assert read_results(tmp_path).rows[0].lr == row["lr"]


def test_a_best_rate_still_at_the_edge_is_warned_of(tmp_path, monkeypatch):
    plant(monkeypatch, made_up(lambda run: min(1.0, 0.5 + 0.01 * math.log10(run.lr))))
    with pytest.warns(UserWarning, match="sgd: the best learning rate found.*still at the edge"):
        row = compare(replace(TINY, optimizers=("sgd",)), tmp_path).rows[0]
    assert row["at_edge"]


def test_a_diverged_run_counts_as_the_worst_score(tmp_path, monkeypatch):
    def scores(run):
        return 0.9 if run.lr == 1.0 else 0.6

    def diverging(run):
        record = made_up(scores)(run)
        if run.lr == 1.0 and run.seed in (0, 1) and not run.test:
            record |= {"status": "diverged", "val_accuracy": 0.99}
        return record

    plant(monkeypatch, diverging)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = compare(replace(TINY, optimizers=("sgd",)), tmp_path).rows[0]
    assert row["lr"] != 1.0
    assert row["diverged_share"] > 0


def test_planted_differences_are_told_and_ties_declared(tmp_path, monkeypatch):
    noise = {100: 0.0, 101: 0.004, 102: -0.003}

    def scores(run):
        value = 0.95 - 0.01 * abs(math.log10(run.lr / 0.03)) + noise.get(run.seed, 0.0)
        if run.contender.name == "adam":  # the same, but for noise of its own
            value += {100: 0.001, 101: -0.001, 102: -0.0005}.get(run.seed, 0.0)
        return value - (0.2 + 0.001 * (run.seed == 100) if run.contender.name == "adagrad" else 0.0)

    plant(monkeypatch, made_up(scores))
    rows = {r["optimizer"]: r for r in compare(replace(TINY, optimizers=("sgd", "adam", "adagrad")), tmp_path).rows}
    assert rows["sgd"]["tied"]
    assert rows["adam"]["tied"]
    assert not rows["adagrad"]["tied"]
    assert rows["adagrad"]["test_difference"]["high"] < 0


def test_a_target_missed_by_most_is_no_number(tmp_path, monkeypatch):
    def late(run):
        return {**made_up(lambda r: 0.9)(run), "epochs_to_target": 2 if run.seed == 100 else None}

    plant(monkeypatch, late)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = compare(replace(TINY, optimizers=("sgd",)), tmp_path).rows[0]
    assert (row["epochs_to_target"], row["hits"], row["runs"]) == (None, 1, 3)


# --- the store


def test_a_kill_loses_nothing_that_was_finished(tmp_path):
    """Killed twice in the middle; the third start goes on, and the result is that of an undisturbed study."""
    command = [sys.executable, "-m", "optimlab.cli", "compare", "--optimizers", "sgd,adam", "--epochs", "3", "--json"]
    for _ in range(2):
        process = subprocess.Popen([*command, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
        path, size = tmp_path / "killed" / "runs.jsonl", 0
        deadline = time.monotonic() + 60
        before = path.stat().st_size if path.exists() else 0
        while size <= before and time.monotonic() < deadline:
            time.sleep(0.01)
            size = path.stat().st_size if path.exists() else 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--out", str(tmp_path / "killed")], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)

    def runs(name):
        lines = [json.loads(line) for line in (tmp_path / name / "runs.jsonl").read_text().splitlines()]
        return {line["key"]: without_times(line) for line in lines}, len(lines)

    (killed, lines), (whole, _) = runs("killed"), runs("whole")
    assert killed == whole
    assert lines == len(killed)


def test_a_torn_last_line_is_dropped_with_a_warning(tmp_path):
    store = Store(tmp_path)
    for key in "ab":
        store.append(kept(key))
    with (tmp_path / "runs.jsonl").open("ab") as file:
        file.write(b'{"key": "c", "sta')
    with pytest.warns(UserWarning, match="dropped a last line that was cut off"):
        again = Store(tmp_path)
    assert names(again) == ["a", "b"]
    again.append(kept("d"))
    assert names(Store(tmp_path)) == ["a", "b", "d"]


@pytest.mark.parametrize("content", [b"not json\n", b"[1, 2]\n", b'{"no": "key"}\n', b"\xff\xfe\n"])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "runs.jsonl").write_bytes(content)
    with pytest.raises(ol.InputError, match=r"line 1: not a record"):
        Store(tmp_path)
    assert (tmp_path / "runs.jsonl").read_bytes() == content


def test_nan_is_stored_as_null(tmp_path):
    Store(tmp_path).append(kept("a", curves={"val_loss": [1.0, float("nan"), float("inf")]}))
    (record,) = Store(tmp_path).records.values()
    assert record["curves"]["val_loss"] == [1.0, None, None]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ol.InputError, match="cannot write to the output folder"):
        Store(tmp_path / "file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's always-full device")  # noqa: PTH110
def test_a_full_disk_stops_with_one_clear_error(tmp_path):
    with Store(tmp_path) as store:
        store.append(kept("a"))
        whole = store.path.read_bytes()
        store.path = type(store.path)("/dev/full")
        with pytest.raises(ol.InputError, match="cannot write /dev/full: No space left"):
            store.append(kept("b"))
    assert (tmp_path / "runs.jsonl").read_bytes() == whole
    assert names(store) == ["a"]


# --- studies that cannot be run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizers": ()}, "at least one optimizer"),
        ({"optimizers": ("adam", "adamm")}, "unknown optimizer 'adamm'; did you mean"),
        ({"optimizers": "adam"}, "optimizers must be several values, got 'adam'"),
        ({"optimizers": (3,)}, "an optimizer is named by text or is a Contender, got 3"),
        ({"optimizers": ("adam", "adam")}, "two optimizers are called 'adam'"),
        ({"rates": (0.1, 1.0)}, "at least three"),
        ({"rates": (0.1, -1.0, 1.0)}, "positive learning rates"),
        ({"rates": (0.1, float("nan"), 1.0)}, "positive learning rates"),
        ({"rates": (1.0, 0.1, 0.01)}, "must rise"),
        ({"rates": (1e-320, 0.1, 1.0)}, "a learning rate is at least 1e-300 and below 1e\\+300, got "),
        ({"rates": (0.1, 1.0, 1e300)}, "a learning rate is at least 1e-300 and below 1e\\+300, got 1e\\+300"),
        ({"rates": (0.1, "much", 1.0)}, "positive learning rates"),
        ({"rates": 0.1}, "rates must be several values, got 0.1"),
        ({"extensions": -1}, "extensions must be a whole number of at least 0, got -1"),
        ({"extensions": 0.5}, "extensions must be a whole number of at least 0, got 0.5"),
        ({"tuning_seeds": ()}, "at least one tuning seed"),
        ({"confirmation_seeds": (100,)}, "two confirmation seeds"),
        ({"confirmation_seeds": (0, 1, 2)}, "must be fresh"),
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
        ({"activation": "rleu"}, "unknown activation 'rleu'; did you mean 'relu'"),
        ({"dtype": "float16"}, "dtype"),
        ({"dropout": 2.0}, "dropout rate must lie in"),
        ({"batch_size": 2000}, "batch_size 2000 is larger than the 1077 rows"),
        ({"batch_norm": True, "batch_size": 269}, "1077 rows in batches of 269 leave one"),
    ],
)
def test_a_problem_that_cannot_be_run_leaves_no_folder_behind(tmp_path, change, message):
    with pytest.raises(ol.InputError, match=message):
        compare(replace(TINY, problem=replace(TINY.problem, **change)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_runs_may_become_another_study(tmp_path):
    """Ctrl-C before the first run ended, then other options: nothing is lost."""
    with Store(tmp_path) as store:
        compare_module.claim(TINY, store)
        compare_module.claim(TINY.with_epochs(3), store)
    assert json.loads((tmp_path / "study.json").read_text())["problem"]["epochs"] == 3


def test_ctrl_c_ends_the_timing(monkeypatch):
    """fit turns it into a status: the timing must not go on with the next optimizer."""
    fitted = []

    def interrupted(*args, **kwargs):
        fitted.append(1)
        return ol.History(status="interrupted")

    monkeypatch.setattr(sys.modules[execute.__module__], "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        time_steps(TINY.problem, {"sgd": Run(TINY.problem, Contender("sgd"), 0.1, 0)})
    assert fitted == [1]


# --- statistics


def test_the_t_interval_equals_scipys():
    values = np.random.default_rng(0).normal(size=7)
    mean, low, high = t_interval(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose([mean, low, high], [values.mean(), expected.low, expected.high], rtol=1e-12)


def test_the_paired_difference_equals_scipys():
    a, b = np.random.default_rng(1).normal(size=(2, 9))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose(paired_difference(a, b)[1:], [expected.low, expected.high], rtol=1e-12)


def test_intervals_cover_as_often_as_they_say():
    """10,000 samples of ten normal values: the mean lies in 95% of the intervals, within four standard errors."""
    samples = np.random.default_rng(2).normal(size=(10_000, 10))
    covered = np.mean([i.low <= 0 <= i.high for i in map(t_interval, samples)])
    assert abs(covered - 0.95) < 4 * (0.95 * 0.05 / 10_000) ** 0.5


def test_equal_values_have_an_interval_of_no_width():
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
