"""The search: what it tries, that a kill changes nothing, what it measures, and how it refuses."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from click.testing import CliRunner
from conftest import assert_same_bits, require

import optimlab as ol
from optimlab.cli import main
from optimlab.study.problem import _Loaded
from optimlab.study.rows_score import contributions
from optimlab.tuning import Choice, Contender, Problem, Range, Search, parse, plan, sampler, storage, tune
from optimlab.tuning.evidence import effects, mcnemar
from optimlab.tuning.trial import best_of, run_trial

optuna = require("optuna")

TINY = Search(
    problem=Problem(hidden=(8,), epochs=3),
    spaces={"lr": "1e-3:0.3:log", "batch_size": "64:256:pow2", "beta1": "0.5:0.95", "patience": "1,2"},
    trials=6,
)
FAST = ["--hidden", "8", "--epochs", "3", "--search", "lr=1e-3:0.3:log", "--search", "beta1=0.5:0.95"]
COMMAND = [sys.executable, "-m", "optimlab", "tune", *FAST, "--json"]


def run(*arguments):
    return CliRunner().invoke(main, ["tune", *map(str, arguments)])


def without_times(value):
    """Return all that has to be the same in two searches of one seed."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in ("seconds", "made", "host")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def left_in(folder):
    """Trials, summary and weights."""
    lines = (folder / "trials.jsonl").read_text().splitlines()
    summary = json.loads((folder / "summary.json").read_text())
    arrays = {name: ol.training.checkpoint.read_checkpoint(folder / f"{name}.npz")[0] for name in ("best", "retrained")}
    return without_times([json.loads(line) for line in lines]), without_times(summary), arrays


def assert_left_the_same(a, b):
    (trials, summary, arrays), (trials_b, summary_b, arrays_b) = left_in(a), left_in(b)
    assert trials == trials_b
    assert summary == summary_b
    for name, weights in arrays.items():
        for key, values in weights.items():
            assert_same_bits(values, arrays_b[name][key], f"{name} {key}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return folder, tune(TINY, folder)


# --- spaces


@pytest.mark.parametrize(
    ("text", "whole", "values"),
    [
        ("0.8:0.99", False, [0.8, 0.99]),
        ("1e-10:1e-4:log", False, [1e-10, 1e-4]),
        ("64:256:pow2", True, [64, 128, 256]),
        ("100:300:pow2", True, [128, 256]),
        ("2,5,10", True, [2, 5, 10]),
        ("2:5", True, [2, 3, 4, 5]),
    ],
)
def test_spaces_are_read_as_they_are_written(text, whole, values):
    space = parse("x", text, whole=whole)
    assert space.values() == values
    assert parse("x", space, whole=whole) == space
    assert all(space.decode(space.encode(v)) == v for v in values)
    assert [type(v) for v in space.values()] == [type(v) for v in values]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1:0.1", "x: a range must rise, got 1:0.1"),
        ("1:1", "x: a range must rise"),
        ("0:1:log", "x: a log range must begin above 0"),
        ("-1:8:pow2", "x: a pow2 range must begin above 0"),
        ("65:127:pow2", "x: there is no power of two in 65:127"),
        ("1:2:cube", "x: unknown scale 'cube'; accepted: linear, log, pow2"),
        ("a:b", "x: expected LOW:HIGH, LOW:HIGH:log,"),
        ("fast", "x: expected LOW:HIGH"),
        ("", "x: expected LOW:HIGH"),
        ("1", "x: a choice needs two or more"),
        ("1,1", "x: a choice needs two or more"),
        ("nan:1", "x: low must be a finite number"),
        ("1:inf", "x: high must be a finite number"),
        ("1,nan", "x: value must be a finite number"),
    ],
)
def test_spaces_that_make_no_sense_are_refused(text, message):
    with pytest.raises(ol.InputError) as error:
        parse("x", text)
    assert str(error.value).startswith(message)


# --- what is tried


def planned(search):
    propose = sampler.proposals(search)
    return [propose([{}] * k) for k in range(search.trials)]


def test_trials_lie_in_their_spaces_and_spread_over_them():
    search = replace(TINY, trials=64)
    points = planned(search)
    assert {p["batch_size"] for p in points} == {64, 128, 256}
    assert {p["patience"] for p in points} == {1, 2}
    assert all(isinstance(p["batch_size"], int) and isinstance(p["patience"], int) for p in points)
    thirds = [np.histogram([search.searched[n].place(p[n]) for p in points], 8, (0, 1))[0] for n in ("lr", "beta1")]
    assert np.min(thirds) >= 6, "a Sobol' sequence leaves no eighth of a range with less than 6 of 64"
    assert points == planned(search)
    assert points[:20] == planned(replace(search, trials=20)) != planned(replace(search, trials=20, seed=1))


def test_no_messages_and_no_settings_of_optuna_are_left(finished, capfd):
    before = optuna.logging.get_verbosity()
    sampler.proposals(replace(TINY, sampler="tpe"))([])
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_samplers_that_learn_go_where_the_scores_are_good():
    """Scores planted with a peak at 0.01: after ten random draws, TPE and the Gaussian process come nearer to it."""
    require("torch")
    for name in ("tpe", "gp"):
        search = Search(problem=TINY.problem, spaces={"lr": "1e-5:10:log"}, sampler=name)
        propose, records = sampler.proposals(search), []
        for k in range({"tpe": 40, "gp": 15}[name]):
            values = propose(records)
            accuracy = float(np.exp(-((np.log10(values["lr"]) + 2) ** 2)))
            status = "diverged" if values["lr"] > 5 else "ok"
            records.append({"number": k, "hyperparameters": values, "status": status, "val_score": accuracy})
        late = [abs(np.log10(r["hyperparameters"]["lr"]) + 2) for r in records[11:]]
        assert np.median(late) < 0.75, f"{name}; chance is 1.5"


# --- a trial


def test_a_trial_is_scored_at_its_best_epoch_and_stops_after_twice_the_patience(finished):
    search = Search(problem=Problem(hidden=(16,), epochs=60), spaces={"patience": "1,2", "lr": "1e-3:1"})
    network, record = run_trial(search, 0, {"lr": 0.02, "patience": 2})
    (only,) = record["runs"]
    accuracy = only["curves"]["val_score"]
    assert record["val_score"] == max(accuracy) == accuracy[record["best_epoch"] - 1]
    assert only["epochs"] == 1 + accuracy.index(max(accuracy)) + 4 < 60
    assert min(only["curves"]["lr"]) < 0.02, "the plateau has cut"
    data = ol.datasets.load("digits")
    assert ol.evaluate(network, data.x_val, data.y_val)[1] == record["val_score"]


def test_without_a_plateau_the_rate_stays_and_early_patience_counts():
    search = Search(problem=Problem(hidden=(16,), epochs=60), spaces={"lr": "1e-3:1"}, early_patience=3)
    _, record = run_trial(search, 0, {"lr": 0.02})
    accuracy = record["runs"][0]["curves"]["val_score"]
    assert len(accuracy) == 1 + accuracy.index(max(accuracy)) + 3
    assert set(record["runs"][0]["curves"]["lr"]) == {0.02}


def test_hyperparameters_of_any_rule_and_convention_reach_the_optimizer(monkeypatch):
    search = Search(
        problem=TINY.problem,
        optimizer="rmsprop",
        convention="torch",
        spaces={"beta": "0.8:0.99", "eps": "1e-10:1e-4:log"},
        fixed={"lr": 0.003, "batch_size": 100},
    )
    seen = []
    monkeypatch.setattr("optimlab.tuning.trial.fit", lambda net, opt, data, **o: seen.append((opt, o)) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_trial(search, 0, {"beta": 0.85, "eps": 1e-6})
    ((opt, options),) = seen
    assert opt.hyperparameters.items() >= {"lr": 0.003, "beta": 0.85, "eps": 1e-6}.items()
    assert (opt.convention, options["batch_size"]) == ("torch", 100)


def test_a_rule_of_ones_own_with_what_it_fixes_is_searched(tmp_path):
    def signed(w, g, m, *, lr=0.001, beta=0.9, share=0.5):
        m = beta * m + (1 - beta) * g
        return w - lr * np.sign(share * m + (1 - share) * g), m

    mine = Contender("signed", rule=signed, hyperparameters={"beta": 0.8})
    search = Search(TINY.problem, mine, spaces={"lr": "1e-3:0.1:log", "share": "0.1:0.9"}, trials=2)
    tuned = tune(search, tmp_path)
    assert set(tuned.best["hyperparameters"]) == {"lr", "share"}
    assert search.fixed == {"beta": 0.8}
    with pytest.raises(ol.InputError, match="beta is both searched and fixed"):
        replace(search, spaces={"beta": "0.5:0.9"})


@pytest.mark.usefixtures("without_figures")
def test_the_command_takes_a_rule_of_ones_own_from_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def mine(w, g, *, lr=0.1, beta=0.5):\n    return w - lr * beta * g\n")
    arguments = [
        "--epochs",
        "1",
        "--trials",
        "1",
        "--hidden",
        "4",
        "--search",
        "lr=0.01:1:log",
        "--search",
        "beta=auto",
    ]
    result = run("--optimizer", f"{path}:mine", *arguments, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["best"]["hyperparameters"]) == {"lr", "beta"}
    assert f"mine.py:yours: {path} has no function" in run("--optimizer", f"{path}:yours").stderr


@pytest.mark.usefixtures("without_figures")
def test_a_batch_size_is_fixed_and_a_label_names_the_search(tmp_path):
    arguments = ("--hidden", "4", "--epochs", "1", "--trials", "1", "--search", "lr=0.01:1:log", "--out", tmp_path)
    result = run(*arguments, "--batch-size", "100", "--label", "mine")
    assert result.exit_code == 0, result.output
    assert "mine: digits, MLP 64-4-10, adam" in " ".join(result.stdout.split())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["search"]["fixed"]["batch_size"] == 100
    again = run(*arguments, "--set", "batch_size=100", "--label", "another", "--json")  # the same search: it goes on
    assert json.loads(again.stdout)["title"].startswith("another: digits")


@pytest.mark.parametrize("name", ["batch_size", "factor", "patience"])
def test_a_rule_cannot_have_a_hyperparameter_of_the_searchs_own(name):
    space = {}
    exec(f"def mine(w, g, *, lr=0.1, {name}=0.5):\n    return w - lr * {name} * g\n", space)
    with pytest.raises(
        ol.InputError, match=f"mine has a hyperparameter {name}, but this is also a setting of the search"
    ):
        Search(TINY.problem, Contender("mine", rule=space["mine"]), spaces={"lr": "1e-3:0.1:log"})


def test_several_seeds_are_scored_by_their_mean():
    search = replace(TINY, seeds=(3, 4))
    network, record = run_trial(search, 0, {"lr": 0.05, "batch_size": 64, "beta1": 0.9, "patience": 2})
    scores = [run["val_score"] for run in record["runs"]]
    assert [run["seed"] for run in record["runs"]] == [3, 4]
    assert scores[0] != scores[1]
    assert record["val_score"] == pytest.approx(np.mean(scores))
    assert record["best_seed"] == 3 + int(scores[1] > scores[0])
    data = ol.datasets.load("digits")
    assert ol.evaluate(network, data.x_val, data.y_val)[1] == max(scores)


def test_of_several_seeds_the_verdict_names_the_network_it_measured(tmp_path):
    """The validation accuracy is a mean over the seeds, the test accuracy that of one network."""
    tuned = tune(replace(TINY, trials=1, seeds=(3, 4)), tmp_path)
    seed = tuned.best["best_seed"]
    assert f"is that of its best seed's network (seed {seed}) on" in tuned.summary["verdict"][1]


@pytest.mark.parametrize("objective", ["val_score", "val_loss"])
@pytest.mark.parametrize("name", ["qmc", "tpe", "gp"])
def test_a_diverged_trial_is_the_worst_and_no_error(tmp_path, objective, name):
    search = Search(problem=TINY.problem, optimizer="sgd", spaces={"lr": [0.1, 1e30]}, objective=objective, trials=5)
    tuned = tune(replace(search, sampler=name, seed=1), tmp_path)
    status = {r["hyperparameters"]["lr"]: r["status"] for r in tuned.records}
    assert status == {0.1: "ok", 1e30: "diverged"}
    assert tuned.best["hyperparameters"]["lr"] == 0.1
    assert "trials diverged" in " ".join(tuned.summary["verdict"])
    (study,) = optuna.get_all_study_summaries(journal(tmp_path))
    assert study.best_trial.user_attrs["record"]["status"] == "ok"


def test_if_all_diverge_one_sentence_says_so(tmp_path):
    search = Search(problem=TINY.problem, optimizer="sgd", spaces={"lr": "1e29:1e30"}, trials=3)
    with pytest.raises(ol.InputError, match="all 3 trials diverged: search lower learning rates"):
        tune(search, tmp_path)
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 3


# --- what a search leaves


def journal(folder):
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    return optuna.storages.JournalStorage(backend)


def test_optunas_journal_and_our_trials_say_the_same(finished):
    folder, tuned = finished
    study = optuna.load_study(study_name=storage.STUDY, storage=journal(folder))
    ours = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    assert ours == tuned.records == [t.user_attrs["record"] for t in study.trials]
    assert len(ours) == TINY.trials
    for trial, record in zip(study.trials, ours, strict=True):
        assert trial.state.name == "COMPLETE"
        assert trial.value == record["val_score"]
        assert trial.params["log2_batch_size"] == np.log2(record["hyperparameters"]["batch_size"])
        assert trial.params["lr"] == record["hyperparameters"]["lr"]
    assert study.best_value == tuned.best["val_score"] == max(r["val_score"] for r in ours)


def test_the_networks_kept_are_those_measured(finished):
    folder, tuned = finished
    data, summary = ol.datasets.load("digits"), tuned.summary
    best, again = (TINY.problem.network(0) for _ in range(2))
    assert ol.load_checkpoint(folder / "best.npz", best)["number"] == tuned.best["number"]
    ol.load_checkpoint(folder / "retrained.npz", again)
    assert ol.evaluate(best, data.x_val, data.y_val)[1] == tuned.best["val_score"]
    assert ol.evaluate(best, data.x_test, data.y_test)[1] == summary["test"]["score"]
    assert ol.evaluate(again, data.x_test, data.y_test)[1] == summary["retrained"]["score"]
    a, b = (contributions(net, data.x_test, data.y_test) for net in (best, again))
    assert (summary["retrained"]["gained"], summary["retrained"]["lost"]) == ((b & ~a).sum(), (a & ~b).sum())
    assert summary["test"]["low"] < summary["test"]["score"] < summary["test"]["high"]


def test_the_second_network_is_trained_on_all_but_the_test_data_at_the_rates_found(tmp_path):
    search = Search(
        problem=Problem(hidden=(16,), epochs=40),
        optimizer="momentum",
        convention="keras",
        spaces={"lr": "0.3:0.4", "factor": "0.1:0.5"},
        fixed={"patience": 3, "batch_size": 64},
        trials=3,
    )
    tuned = tune(search, tmp_path)
    rates = tuned.best["runs"][0]["curves"]["lr"][: tuned.best["best_epoch"]]
    data = ol.datasets.load("digits")
    both = ol.Dataset(np.concatenate([data.x_train, data.x_val]), np.concatenate([data.y_train, data.y_val]))
    net = ol.MLP([64, 16, 10], initializer="he_normal", seed=0)
    opt = ol.Momentum(net.parameters, lr=rates[0], convention="keras")

    def follow(network, optimizer, history):
        if history.epochs < len(rates):
            optimizer.lr = rates[history.epochs]

    history = ol.fit(net, opt, both, epochs=len(rates), batch_size=64, callbacks=[follow])
    assert history.lr == rates
    assert len(set(rates)) > 1, "the plateau has cut before the best epoch"
    kept = search.problem.network(0)
    ol.load_checkpoint(tmp_path / "retrained.npz", kept)
    assert_same_bits(kept.parameters.data, net.parameters.data)
    assert (tuned.summary["retrained"]["rows"], tuned.summary["retrained"]["epochs"]) == (1437, len(rates))


def loaded(data):
    return _Loaded(data, None, ())


def test_the_test_split_chooses_nothing(tmp_path, monkeypatch):
    """With other test data the same trials are made, the same one is best, and the networks are the same."""
    tune(TINY, tmp_path / "a")
    data = ol.datasets.load("digits")
    other = replace(data, x_test=data.x_test[::-1][:90], y_test=data.y_test[:90])
    monkeypatch.setattr("optimlab.study.problem._load", lambda source: loaded(other))
    tune(TINY, tmp_path / "b")
    (trials, _, arrays), (trials_b, _, arrays_b) = left_in(tmp_path / "a"), left_in(tmp_path / "b")
    assert trials == trials_b
    assert all((arrays[n]["weights"] == arrays_b[n]["weights"]).all() for n in arrays)


def test_a_contenders_own_search_and_schedule_take_part(tmp_path):
    """The schedule takes the place of the plateau, and is as long as the most epochs."""
    search = replace(TINY, optimizer="adamw(schedule=linear, weight_decay={0, 0.1})", spaces=None, trials=2)
    assert {*search.searched} == {"lr", "batch_size", "weight_decay"}
    found = tune(search, tmp_path)
    for record in found.records:
        peak, rates = record["hyperparameters"]["lr"], record["runs"][0]["curves"]["lr"]
        per_epoch = -(-1077 // record["hyperparameters"]["batch_size"])
        expected = [peak * (1 - (k * per_epoch + per_epoch - 1) / (3 * per_epoch)) for k in range(3)]
        assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "rest", "message"),
    [
        ("adam(schedule=plateau)", {}, "a search has its own plateau"),
        ("adam(schedule=cosine)", {"spaces": {"factor": "0.1:0.5"}}, "follows a schedule, so no plateau can cut it"),
        ("adam(schedule=cosine)", {"fixed": {"patience": 3}}, "follows a schedule, so no plateau can cut it"),
        ("adam(beta1=linear(0.9))", {"spaces": {"beta1": "0.5:0.9"}}, "beta1 follows a schedule"),
        ("adam(beta1={0.5, 0.9})", {"fixed": {"beta1": 0.5}}, "beta1 is both searched and fixed"),
        ("adam(schedule=cosine(warmup=100))", {}, "is as long as the run"),
    ],
)
def test_a_contender_that_cannot_be_searched_is_refused(text, rest, message):
    with pytest.raises(ol.InputError, match=message):
        Search(problem=TINY.problem, optimizer=text, **rest)


# --- going on


def start(folder, *arguments):
    return subprocess.Popen(
        [*COMMAND, "--out", str(folder), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished_trials(folder):
    path = folder / "trials.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qmc", "tpe"])
def test_a_search_killed_again_and_again_ends_as_one_that_was_not(tmp_path, name):
    """Real processes and SIGKILL at random moments after another trial is finished."""
    search = replace(TINY, sampler=name, trials=15, problem=Problem(hidden=(16,), epochs=20))
    code = f"from optimlab.tuning import *; tune({search!r}, {str(tmp_path / 'killed')!r})"
    moment, killed = random.Random(name), 0
    while True:
        before = finished_trials(tmp_path / "killed")
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        while killed < 3 and process.poll() is None and finished_trials(tmp_path / "killed") < before + 3:
            time.sleep(0.002)
        if killed < 3:
            time.sleep(moment.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            killed += 1
        _, error = process.communicate(timeout=60)
        if process.returncode != -signal.SIGKILL:
            break
    assert (process.returncode, error, killed) == (0, "", 3)
    assert finished_trials(tmp_path / "killed") == 15
    tune(search, tmp_path / "whole")
    assert_left_the_same(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.quick("qmc")
@pytest.mark.parametrize("name", ["qmc", "tpe", "gp"])
def test_more_trials_go_on_from_fewer(tmp_path, name):
    if name == "gp":
        require("torch")
    search = replace(TINY, sampler=name, trials=13, problem=Problem(hidden=(8,), epochs=1))
    tune(search, tmp_path / "whole")
    for trials in (4, 11, 13):
        tune(replace(search, trials=trials), tmp_path / "parts")
    assert_left_the_same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.slow
def test_a_journal_cut_anywhere_is_gone_on_with(finished, tmp_path):
    """As a kill leaves it: every line whole but the last, which may be cut at any byte."""
    folder, _ = finished
    content = (folder / "journal.log").read_bytes()
    ends = [k + 1 for k, byte in enumerate(content) if byte == ord("\n")]
    cuts = [0, 1, 5, ends[0], ends[0] + 40, ends[1], ends[3], ends[4] + 700, len(content) - 1, len(content)]
    for k, cut in enumerate(cuts):
        (tmp_path / f"{k}").mkdir()
        (tmp_path / f"{k}" / "journal.log").write_bytes(content[:cut])
        tune(TINY, tmp_path / f"{k}")
        assert_left_the_same(tmp_path / f"{k}", folder)


def test_finished_trials_are_never_run_again_and_kept_networks_are_used(finished, tmp_path, monkeypatch):
    folder, tuned = finished
    monkeypatch.setattr("optimlab.tuning.trial.fit", lambda *a, **k: pytest.fail("trained again"))
    again = tune(TINY, folder)
    assert again.records == tuned.records
    assert without_times(again.summary) == without_times(tuned.summary)


def test_a_lost_or_damaged_network_is_made_again(finished, tmp_path):
    folder, _ = finished
    before = left_in(folder)[2]
    (folder / "best.npz").write_bytes(b"damaged")
    (folder / "retrained.npz").unlink()
    tune(TINY, folder)
    after = left_in(folder)[2]
    for name in ("best", "retrained"):
        assert_same_bits(after[name]["weights"], before[name]["weights"])


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    process, deadline = start(tmp_path, "--trials", "500"), time.monotonic() + 60
    while not finished_trials(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.005)
    second = run(*FAST, "--trials", "500", "--out", tmp_path)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to continue" in error
    assert "Traceback" not in error
    # while it ran, nobody else could write there
    assert second.exit_code == 2
    assert (
        second.stderr == f"optimlab: another process is writing to {tmp_path}: wait, or name another folder (--out)\n"
    )
    assert finished_trials(tmp_path) < 500


# --- folders that cannot be used


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "nadam"}, "optimizer 'adam', now 'nadam'"),
        ({"seed": 1}, "seed 0, now 1"),
        ({"problem": Problem(hidden=(9,), epochs=3)}, "hidden [8], now [9]"),
        ({"spaces": {"lr": "1e-3:0.2:log", "patience": "1,3"}}, "spaces.lr 0.001:0.3:log, now 0.001:0.2:log"),
        ({"fixed": {"beta2": 0.9}}, "fixed.beta2 absent, now 0.9"),
    ],
)
def test_a_folder_of_another_search_is_refused_and_left_alone(finished, change, message):
    folder, _ = finished
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ol.InputError) as error:
        tune(replace(TINY, **change), folder)
    assert "holds another search: " in str(error.value)
    assert message in str(error.value)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_search_of_another_optimlab_is_not_gone_on_with(finished, monkeypatch):
    folder, _ = finished
    monkeypatch.setattr(plan, "__version__", "9.9")
    with pytest.raises(ol.InputError, match=rf"holds another search: optimlab '{ol.__version__}', now '9.9'"):
        tune(TINY, folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", b"{}"),
        ("runs.jsonl", b""),
        ("journal.log", b"a diary\nof mine"),
        ("journal.log", b'{"op_code":0,"worker'),
        ("journal.log", b'{"op_code":0,"worker_id":"a","study_name":"other","directions":[1]}\n'),
        ("journal.log", b'{"op_code":99}\n'),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    if content == b'{"op_code":0,"worker':  # what a kill leaves of the first line
        tune(replace(TINY, trials=1), tmp_path)
        return
    with pytest.raises(ol.InputError, match=r"something other|is not the journal|other studies"):
        tune(TINY, tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        result = run(*FAST, "--trials", "2", "--out", out)
        assert result.exit_code == 2
        assert result.stderr.startswith("optimlab: cannot write to the output folder")
    assert (tmp_path / "file").read_text() == "kept"


# --- evidence


def test_mcnemars_p_is_that_of_a_fair_coin():
    a, b = np.zeros(50, bool), np.zeros(50, bool)
    a[:9], b[9:10] = True, True
    assert mcnemar(a, b) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(a, a) == 1.0


def planted(search, trials, score):
    propose, generator, records = sampler.proposals(replace(search, trials=trials)), np.random.default_rng(0), []
    for k in range(trials):
        values = propose(records)
        accuracy = score(values, generator)
        record = {"number": k, "hyperparameters": values, "status": "ok", "val_score": accuracy, "val_loss": 0.0}
        records.append(record)
    return effects(search, records)


def test_effects_are_told_where_there_are_some_and_only_then():
    search = Search(problem=TINY.problem, spaces={"lr": "1e-3:0.1:log", "beta1": "0.5:0.95", "patience": "1,2,3"})
    peak = planted(search, 30, lambda v, g: -abs(np.log10(v["lr"]) + 2) + g.normal(0, 0.1))
    assert peak["lr"] < 0.01
    assert min(peak["beta1"], peak["patience"]) > 0.05
    assert planted(search, 14, lambda v, g: 0.5) is None
    assert planted(search, 20, lambda v, g: 0.5) == {"lr": 1.0, "beta1": 1.0, "patience": 1.0}
    assert planted(replace(search, sampler="tpe"), 20, lambda v, g: 0.5) is None


@pytest.mark.slow
def test_pure_noise_is_rarely_taken_for_an_effect():
    """Of 200 searches without any effect at most 5% may tell one, within four standard errors."""
    search = Search(problem=TINY.problem, spaces={"lr": "1e-3:0.1:log", "beta1": "0.5:0.95", "patience": "1,2,3"})
    records = [{"hyperparameters": values, "status": "ok"} for values in planned(search)]
    generator, told = np.random.default_rng(1), 0
    for _ in range(200):
        for record in records:
            record.update(val_score=generator.normal(), val_loss=0.0)
        told += min(effects(search, records).values()) < 0.05
    assert told / 200 < 0.05 + 4 * (0.05 * 0.95 / 200) ** 0.5


def test_ties_go_to_the_lower_loss_and_then_to_the_earlier_trial():
    rows = [("ok", 0.9, 0.5), ("ok", 0.9, 0.4), ("ok", 0.9, 0.4), ("ok", 0.8, 0.1), ("diverged", None, None)]
    records = [{"number": k, "status": s, "val_score": a, "val_loss": b} for k, (s, a, b) in enumerate(rows)]
    assert best_of(TINY, records)["number"] == 1
    assert best_of(replace(TINY, objective="val_loss"), records)["number"] == 3
    assert best_of(TINY, records[4:]) is None


# --- the command


@pytest.mark.slow
def test_the_command_prints_what_was_found_in_80_columns_and_leaves_figures(tmp_path):
    result = run(*FAST, "--trials", "4", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "optimistic" in result.stdout
    assert "95% interval" in result.stdout
    table = result.stdout.split("The validation")[0]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 80
    files = {"journal.log", "trials.jsonl", "summary.json", "best.npz", "retrained.npz"}
    files |= {f"{name}.{kind}" for name in ("trials", "slices") for kind in ("png", "svg")}
    assert files <= {p.name for p in tmp_path.iterdir()}
    assert all(name in result.stdout for name in files)
    as_json = run(*FAST, "--trials", "4", "--out", tmp_path, "--json")
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "summary.json").read_text())


@pytest.mark.usefixtures("without_figures")
def test_a_dry_run_says_what_would_be_tried_and_writes_nothing(tmp_path):
    result = run(*FAST, "--trials", "4", "--out", tmp_path / "out", "--dry-run", "--set", "eps=1e-8")
    assert result.exit_code == 0
    assert "0.001 to 0.3, log scale" in result.stdout
    assert "fixed at 1e-08" in result.stdout
    as_json = run(*FAST, "--trials", "4", "--out", tmp_path / "out", "--dry-run", "--json")
    first = json.loads(as_json.stdout)["first"]
    assert not (tmp_path / "out").exists()
    run(*FAST, "--trials", "4", "--out", tmp_path / "out")
    tried = [json.loads(line) for line in (tmp_path / "out" / "trials.jsonl").read_text().splitlines()]
    assert [record["hyperparameters"] for record in tried[:3]] == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--search", "lr=1:0.1"], "lr: a range must rise, got 1:0.1"),
        (["--search", "lr=0:1:log"], "lr: a log range must begin above 0"),
        (["--search", "lr=0:1"], "lr must be a positive number, got 0.0"),
        (["--search", "beta1=0.5:1"], "beta1 must lie in [0, 1), got 1.0"),
        (["--search", "beta3=0.5:0.9"], "unknown hyperparameter 'beta3'; did you mean 'beta2', 'beta1'"),
        (["--search", "batch_size=64:2048:pow2"], "batch_size 2048 is larger than the 1077 rows of training data"),
        (["--set", "batch_size=5000"], "batch_size 5000 is larger"),
        (["--search", "batch_size=0.5:8"], "batch_size: expected whole numbers, got 0.5"),
        (["--search", "patience=0,2"], "patience must be a whole number of at least 1, got 0"),
        (["--set", "patience=2.5"], "patience must be a whole number of at least 1, got 2.5"),
        (["--search", "factor=0.5:1.5"], "factor must lie in [0, 1), got 1.5"),
        (["--search", "lr"], "--search takes NAME=VALUE"),
        (["--search", "lr=1:2", "--search", "lr=1:3"], "--search names lr twice"),
        (["--search", "lr=1:2", "--set", "lr=1"], "lr is both searched and fixed"),
        (["--set", "lr=fast"], "--set takes NAME=NUMBER, got lr=fast"),
        (
            ["--set", "lr=1", "--set", "batch_size=64", "--set", "factor=0.1", "--set", "patience=2"],
            "nothing to search",
        ),
        (["--sampler", "grid"], "unknown sampler 'grid'. Known: qmc, tpe, gp"),
        (["--optimizer", "adamm"], "unknown optimizer 'adamm'; did you mean 'adam'"),
        (["--convention", "jax"], "unknown convention 'jax'"),
        (["--objective", "accuracy"], "unknown objective 'accuracy'. Known: val_score, val_loss"),
        (["--dataset", "digit"], "unknown data set 'digit'; did you mean 'digits'"),
        (["--activation", "rellu"], "unknown activation 'rellu'; did you mean 'relu'"),
        (["--initializer", "he"], "unknown initializer 'he'"),
        (["--bias-initializer", "zero"], "unknown initializer of biases 'zero'; did you mean 'zeros'"),
        (["--hidden", "64,many"], "--hidden takes whole numbers"),
        (["--batch-size", "0"], "--batch-size must be a whole number of at least 1, got 0"),
        (["--batch-size", "9", "--set", "batch_size=9"], "give --batch-size or --set batch_size, not both"),
        (["--batch-size", "9", "--search", "batch_size=8:16"], "batch_size is both searched and fixed"),
        (["--label", "two\nlines"], "label must be text on one line, got 'two\\nlines'"),
        (["--hidden", "0"], "--hidden: each hidden layer's size must be a whole number of at least 1, got 0"),
        (["--trials", "0"], "trials must be a whole number of at least 1, got 0"),
        (["--epochs", "0"], "epochs must be a whole number of at least 1, got 0"),
        (["--seeds", "0,0"], "the seeds must differ, got 0, 0"),
        (["--seeds", ""], "at least one"),
        (["--seed", "-1"], "a seed must be a whole number of at least 0, got -1"),
        (["--early-patience", "0"], "early_patience must be a whole number"),
        (["--min-lr", "-1"], "min_lr must be a finite number of at least 0"),
        (["--trials", "many"], "'many' is not a valid integer"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, message, tmp_path):
    result = run("--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("name", ["batch_size", "patience"])
def test_a_whole_number_is_set_as_one(name, tmp_path):
    """``--set`` reads every number as a float."""
    others = [
        option for option in ("lr=0.01", "batch_size=64", "patience=5", "factor=0.5") if not option.startswith(name)
    ]
    settings = [part for option in (*others[:-1], f"{name}=64") for part in ("--set", option)]
    searched = ["--search", "beta1=0.5:0.95"]
    result = run("--hidden", "4", "--epochs", "2", *searched, *settings, "--trials", "1", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    fixed = json.loads(result.stdout)["search"]["fixed"]
    assert (fixed[name], type(fixed[name])) == (64, int)
    assert Search(problem=TINY.problem, fixed={name: 64.0}).fixed == {name: 64}


@pytest.mark.parametrize("value", [2.5, True, "64", None, float("nan"), float("inf"), 0, -1])
@pytest.mark.parametrize("name", ["batch_size", "patience"])
def test_what_is_no_whole_number_is_refused(name, value):
    with pytest.raises(ol.InputError, match=f"{name} must be a whole number of at least 1"):
        Search(problem=TINY.problem, fixed={name: value})


def test_a_trial_that_fails_is_one_clear_error_and_the_finished_ones_stay(tmp_path):
    def fails(w, g, *, t, lr=0.1):
        return w - lr / (t - 1) * g

    search = Search(TINY.problem, Contender("fails", rule=fails), spaces={"lr": "0.1:1"}, trials=2)
    with pytest.raises(ol.InputError, match=r"trial 0 \(lr=0\.\d+\) failed: .*division by zero; finished"):
        tune(search, tmp_path)


@pytest.mark.parametrize("how", ["another search", "a comparison", "a diary", "an edited journal", "a file", "in use"])
def test_a_dry_run_refuses_what_the_search_refuses(finished, tmp_path, how):
    out, arguments = tmp_path / "out", [*FAST, "--trials", "2"]
    out.mkdir()
    told = "holds something other than a search: runs.jsonl; name another folder (--out)"
    held = contextlib.nullcontext()
    if how == "another search":
        (out / "journal.log").write_bytes((finished[0] / "journal.log").read_bytes())
        told = f"{out} holds another search: "
    elif how == "a comparison":
        (out / "runs.jsonl").write_text("")
    elif how == "a diary":
        (out / "journal.log").write_text("a diary\n")
        told = f"{out}/journal.log is not the journal of a search"
    elif how == "an edited journal":
        content = (finished[0] / "journal.log").read_bytes()
        assert b'"status":"ok"' in content
        (out / "journal.log").write_bytes(content.replace(b'"status":"ok"', b'"status":7'))
        told = f"{out}/journal.log is not the journal of a search: ValueError: trial 0 has no complete record"
    elif how == "a file":
        (out / "file").write_text("")
        out, told = out / "file", "cannot write to the output folder"
    else:
        held, told = storage.locked(out), "another process is writing to"
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with held:
        errors = [run(*arguments, *dry, "--out", out) for dry in (["--dry-run"], [])]
    assert [error.exit_code for error in errors] == [2, 2]
    assert told in errors[0].stderr
    assert errors[0].stderr == errors[1].stderr
    after = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.name != ".lock"}
    assert after == {name: content for name, content in before.items() if name != ".lock"}


@pytest.mark.parametrize("value", [0.9999999, 0.1 + 0.2, 12345678.0])
def test_a_space_is_written_with_its_very_numbers(value):
    low, _, rest = str(Range(value, 2 * value)).partition(" to ")
    assert (float(low), float(rest)) == (value, 2 * value)
    assert [float(part) for part in str(Choice((value, 1.0))).split(" or ")] == [value, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [("optuna", [], "pip install '.[tune]'"), ("torch", ["--sampler", "gp"], "the sampler 'gp' needs PyTorch")],
)
def test_a_missing_library_is_named_with_what_installs_it(missing, arguments, message, tmp_path):
    code = f"import sys; sys.modules[{missing!r}] = None; from optimlab.cli import main; main()"
    command = [sys.executable, "-c", code, "tune", "--out", str(tmp_path / "out"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_notebook_without_ipywidgets_gets_no_warning_about_the_progress_bar_of_optuna():
    notebook = """if True:
        import sys
        from types import ModuleType
        sys.modules["ipykernel.zmqshell"] = ModuleType("zmqshell")
        sys.modules["IPython"] = ModuleType("IPython")
        sys.modules["IPython"].get_ipython = object
        sys.modules["ipywidgets"] = None
    """
    search = "    from optimlab.tuning import Search, sampler; sampler.require(Search()); import optuna"
    for then, warned in ((search, False), ("    import optuna", True)):
        result = subprocess.run([sys.executable, "-c", notebook + then], capture_output=True, text=True, check=True)
        assert ("IProgress not found" in result.stderr) is warned


def test_data_without_test_rows_are_not_measured(tmp_path, monkeypatch):
    data = ol.datasets.load("digits")
    monkeypatch.setattr("optimlab.study.problem._load", lambda source: loaded(replace(data, x_test=None, y_test=None)))
    tuned = tune(replace(TINY, trials=2), tmp_path)
    assert tuned.summary["test"] is tuned.summary["retrained"] is None
    assert "no test split" in tuned.summary["verdict"][1]


def test_batch_norm_is_refused_a_batch_of_one_row():
    problem = Problem(hidden=(8,), batch_norm=True)
    with pytest.raises(ol.InputError, match="batch of one row: 1077 rows in batches of 269 leave one"):
        Search(problem=problem, spaces={"batch_size": [64, 269]})  # 1077 = 4 · 269 + 1


# --- numbers to predict


def test_of_numbers_too_a_diverged_trial_is_worse_than_all_others(tmp_path):
    """An R² of few epochs may be negative."""
    problem = Problem("sklearn:diabetes", hidden=(8,), epochs=1)
    search = Search(problem, "sgd", spaces={"lr": [1e-9, 1e30]}, trials=3, sampler="tpe")
    records = tune(search, tmp_path, progress=False).records
    scores = {record["status"]: sampler.score(search, record) for record in records}
    assert scores["diverged"] < scores["ok"] < 0


def test_losses_on_the_test_rows_are_those_that_were_trained_on(tmp_path):
    problem = Problem("sklearn:diabetes", hidden=(8,), epochs=3, loss="mean_absolute_error")
    summary = tune(Search(problem, spaces={"lr": [0.01, 0.1]}, trials=2), tmp_path, progress=False).summary
    data = problem.data()
    for name, file in (("test", "best.npz"), ("retrained", "retrained.npz")):
        net = problem.network(0)
        ol.load_checkpoint(tmp_path / file, net)
        expected = np.abs(net.predict(data.x_test)[:, 0] - data.y_test.reshape(-1)).mean()
        assert summary[name]["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", ["val_score", "val_loss"])
def test_a_regression_is_searched_by_r2_or_by_its_loss(tmp_path, objective):
    search = Search(
        problem=Problem("sklearn:diabetes", hidden=(8,), epochs=6),
        spaces={"lr": "1e-3:0.1:log"},
        trials=3,
        objective=objective,
    )
    tuned = tune(search, tmp_path, progress=False)
    data, summary = search.problem.data(), tuned.summary
    best, again = (search.problem.network(0) for _ in range(2))
    ol.load_checkpoint(tmp_path / "best.npz", best)
    ol.load_checkpoint(tmp_path / "retrained.npz", again)
    r2 = [sklearn.metrics.r2_score(data.y_test, net.predict(data.x_test)) for net in (best, again)]
    assert [summary[k]["score"] for k in ("test", "retrained")] == pytest.approx(r2, rel=1e-4)
    chosen = tuned.best["val_score" if objective == "val_score" else "val_loss"]
    assert chosen == (max if objective == "val_score" else min)(r[objective] for r in tuned.records)
    assert tuned.best["val_score"] == pytest.approx(
        sklearn.metrics.r2_score(data.y_val, best.predict(data.x_val)), rel=1e-4
    )
    wrong = [(net.predict(data.x_test)[:, 0] - data.y_test.reshape(-1)) ** 2 for net in (best, again)]
    assert summary["retrained"]["gained"] == int((wrong[1] < wrong[0]).sum())
    assert summary["retrained"]["p"] == pytest.approx(scipy.stats.ttest_rel(*wrong).pvalue, rel=1e-3)
    said = " ".join(summary["verdict"])
    assert "validation R²" in said or "(R² " in said
    assert "its error is smaller on" in said
    assert "accuracy" not in said


# --- figures


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["val_score", "val_loss"])
def test_figures_show_every_trial_with_the_scales_searched(tmp_path, objective):
    from optimlab.plotting.tuning import slices_figure, trials_figure

    spaces = {"lr": [0.1, 0.3, 1e30], "batch_size": "64:256:pow2", "beta": "0.5:0.9", "patience": "1:3"}
    search = Search(problem=TINY.problem, optimizer="momentum", spaces=spaces, objective=objective, trials=9)
    tuned = tune(search, tmp_path)
    whole = sum(r["status"] == "ok" for r in tuned.records)
    assert 0 < whole < 9
    figure = trials_figure(tuned)
    figure.savefig(tmp_path / "trials.svg")
    (axes,) = figure.axes
    dots = np.asarray(axes.lines[0].get_ydata(), float)
    measure = [r[objective] if r["status"] == "ok" else np.nan for r in tuned.records]
    np.testing.assert_allclose(dots, measure if objective == "val_loss" else 1 - np.array(measure))
    assert np.nanmin(dots) == axes.lines[1].get_ydata()[-1], "the best so far ends at the best"
    (crosses,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(crosses.get_xdata()) == [r["number"] for r in tuned.records if r["status"] == "diverged"]
    figure = slices_figure(tuned)
    figure.savefig(tmp_path / "slices.png")
    panels = [a for a in figure.axes if a.get_visible()]
    assert [a.get_xlabel().split(";")[0] for a in panels] == [
        "learning rate",
        "batch size (rows)",
        "beta",
        "plateau: patience (epochs)",
    ]
    assert [a.get_xscale() for a in panels] == ["linear", "log", "linear", "linear"]
    assert all(len(a.lines[0].get_xdata()) == whole for a in panels)
    assert [t.get_text() for t in panels[0].get_xticklabels()] == ["0.1", "0.3", "1e+30"]
    assert figure.axes[0].get_yscale() == "log"


def test_a_space_of_ones_own_is_as_good_as_a_text():
    spaces = {"lr": Range(1e-3, 0.1, "log"), "patience": Choice((1, 2)), "batch_size": Range(64, 256, "pow2")}
    search = Search(problem=TINY.problem, spaces=spaces)
    texts = {"lr": "1e-3:0.1:log", "patience": "1,2", "batch_size": "64:256:pow2"}
    assert search.config() == Search(problem=TINY.problem, spaces=texts).config()
