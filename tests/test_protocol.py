"""The comparison's protocol beyond the grid: planted rules, study files, statistics, profiles, the folder's claim."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import optimlab as ol
from optimlab.cli import main
from optimlab.plotting import accuracy_figure, loss_figure, profile_figure, sensitivity_figure
from optimlab.report import write_report
from optimlab.rules.textbook import adam
from optimlab.study import PROBLEMS, Contender, Problem, Study, compare, read_study
from optimlab.study.plan import random_settings
from optimlab.study.profile import profile_of
from optimlab.study.statistics import best_after, paired_difference, performance_profile, t_interval, usable_decades
from optimlab.study.study_file import FULL

TINY = Study(
    problem=Problem(hidden=(16,), epochs=2, target=0.8),
    optimizers=("sgd", "adam"),
    rates=(0.001, 0.03, 1.0, 30.0),
    tuning_seeds=(0,),
    confirmation_seeds=(100, 101, 102),
)


# --- planted rules: what is the same is tied, what is slower is told


def twin(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    return adam(w, g, m, s, t=t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)


def shorter_memory(w, g, m, s, *, t, lr=1e-3, beta1=0.8, beta2=0.999, eps=1e-14):
    return adam(w, g, m, s, t=t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)


shorter_memory.__name__ = "twin"


def every_second_step(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    """Adam that sleeps through every odd step: it needs twice the epochs at any learning rate."""
    awake = (t + 1) % 2
    m = m + awake * (1 - beta1) * (g - m)
    s = s + awake * (1 - beta2) * (g * g - s)
    k = (t + 1) // 2
    return w - awake * lr * (m / (1 - beta1**k)) / np.sqrt(s / (1 - beta2**k) + eps), m, s


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    study = Study(
        problem=Problem(hidden=(16,), epochs=16, target=0.9),
        optimizers=("adam", Contender("twin", rule=twin), Contender("sleepy", rule=every_second_step)),
        rates=(2e-3, 4e-3, 4e-1),  # a grid on which all three choose the same rate
        tuning_seeds=(0,),
        confirmation_seeds=tuple(range(100, 108)),
        extensions=0,
        defaults=False,
    )
    return {r["label"]: r for r in compare(study, tmp_path_factory.mktemp("planted")).rows}


def test_a_rule_planted_twice_is_tied(planted):
    assert planted["twin"]["tied"]
    assert planted["twin"]["test_difference"]["mean"] == planted["adam"]["test_difference"]["mean"]
    assert planted["twin"]["speed"] in ("tied", "fastest")


def test_a_rule_planted_twice_as_slow_is_told_slower(planted):
    slow, fast = planted["sleepy"], planted["adam"]
    assert slow["lr"] == fast["lr"]
    assert slow["hits"] == slow["runs"]
    assert slow["speed"] == "slower"
    assert slow["epochs_difference"]["low"] > 0
    assert 1.5 < slow["epochs_to_target"] / fast["epochs_to_target"] < 3


# --- the rows


def test_the_untuned_default_is_a_row_of_its_own(tmp_path):
    result = compare(TINY, tmp_path)
    assert [r["label"] for r in result.rows] == ["sgd", "adam", "sgd, default", "adam, default"]
    for row in result.rows[2:]:
        assert (row["tuned"], row["trials"], row["usable_decades"]) == (False, 0, None)
        assert row["lr"] == Contender(row["optimizer"]).defaults()["lr"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["verdict"] == result.verdict
    assert {"processor", "cores", "blas"} <= set(summary["host"])


def test_steps_are_timed_apart_from_the_runs(tmp_path):
    for row in compare(TINY, tmp_path).rows:
        assert 1 < row["microseconds_per_step"] < 1e5
        if row["epochs_to_target"] is not None:
            steps = row["epochs_to_target"] * 17  # 1,077 rows in batches of 64
            assert row["seconds_to_target"] == pytest.approx(steps * row["microseconds_per_step"] * 1e-6)


def test_the_full_protocol_searches_all_hyperparameters_with_the_same_budget(tmp_path):
    study = replace(TINY, search=4, defaults=False)
    result = compare(study, tmp_path)
    rows = {r["label"]: r for r in result.rows}
    assert rows["sgd, searched"]["trials"] == rows["adam, searched"]["trials"] == 4
    assert len(rows["adam, searched"]["best_after"]) == 4
    assert rows["adam, searched"]["hyperparameters"]["beta1"] != 0.9
    runs = [json.loads(line)["run"] for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert sum(r["optimizer"] == "adam" and bool(r["hyperparameters"]) and not r["test"] for r in runs) == 4


@pytest.mark.parametrize("beta2", [0.9999999, 0.99999991, 1e-9, 0.1 + 0.2, 1 / 3])
def test_a_label_tells_a_number_exactly(beta2):
    assert float(Contender("adam", hyperparameters={"beta2": beta2}).label[len("adam (beta2=") : -1]) == beta2
    others = [Contender("adam", hyperparameters={"beta2": value}).label for value in (beta2, 0.9999998, 0.5)]
    assert len(set(others)) == 3


@pytest.mark.parametrize("lr", [0.0, -0.1, math.inf])
def test_a_rule_whose_default_rate_is_none_is_refused_before_any_run(lr):
    def no_rate(w, g, *, lr=lr):
        return w - lr * g

    with pytest.raises(ol.InputError, match=r"default learning rate of no_rate is .*: give lr a positive default"):
        Contender("no_rate", rule=no_rate)


def test_random_settings_depend_on_the_contender_alone():
    first = random_settings(Contender("adam"), 5)
    assert first == random_settings(Contender("adam"), 5) == random_settings(Contender("adam"), 8)[:5]
    assert first != random_settings(Contender("adamw"), 5)
    fixed = random_settings(Contender("adam", hyperparameters={"beta1": 0.5}), 50)
    assert all("beta1" not in dict(rest) for _, rest in fixed)
    for lr, rest in fixed:
        assert 1e-5 <= lr <= 100
        assert 0.9 <= dict(rest)["beta2"] < 1


def test_your_own_rule_takes_part_and_is_known_by_what_it_computes():
    assert Contender("twin", rule=twin).config() != Contender("twin", rule=every_second_step).config()
    other = Contender("twin", rule=shorter_memory)
    assert Contender("twin", rule=twin).config() != other.config(), "the same formula with another default"
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
        (("adam", "textbook", {"lr": 0.1}), "the learning rate is tuned"),
        (("adam", "textbook", {"beta1": 1.5}), r"beta1 must lie in \[0, 1\), got 1.5"),
        (("adam", "textbook", {"beta1": "a"}), "beta1 must"),
        (("adam", "textbook", 3), "hyperparameters are names with numbers, got 3"),
        (("adam", "textbook", (), "adam, default"), "a label cannot end as the rows of other kinds do"),
        (("adam", "textbook", (), "two\nlines"), "a label is text on one line"),
        (("lamb", "torch"), "lamb is the same in every convention"),
    ],
)
def test_contenders_that_cannot_take_part(arguments, message):
    with pytest.raises(ol.InputError, match=message):
        Contender(*arguments)


# --- statistics


@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
@pytest.mark.parametrize("shape", ["normal", "rounded"])
def test_intervals_cover_as_often_as_they_say(seeds, shape):
    """Paired differences, 10,000 studies: continuous as accuracies, or whole numbers as epochs to the target."""
    rng = np.random.default_rng(seeds)
    seed_effect = rng.normal(size=(10_000, seeds))
    a, b = (seed_effect + rng.normal(scale=2.0, size=seed_effect.shape) for _ in range(2))
    if shape == "rounded":
        a, b = np.round(a), np.round(b)
    intervals = [paired_difference(x, y) for x, y in zip(a, b, strict=True)]
    covered = np.mean([i.holds_zero for i in intervals])
    assert 0.93 < covered < 0.97


def test_usable_decades_stop_at_the_target_and_at_the_grid():
    medians = {0.01: 0.5, 0.1: 0.96, 1.0: 0.97, 10.0: 0.93, 100.0: 0.99}
    down = (0.96 - 0.95) / (0.96 - 0.5)
    up = (0.97 - 0.95) / (0.97 - 0.93)
    assert usable_decades(medians, 1.0, 0.95) == pytest.approx(1 + down + up)
    assert usable_decades(medians, 100.0, 0.95) == pytest.approx((0.99 - 0.95) / (0.99 - 0.93))
    assert usable_decades(medians, 10.0, 0.95) == 0
    assert usable_decades(medians, 1.0, 0.1) == pytest.approx(4)


def test_the_performance_profile_by_hand():
    """Dolan and Moré's definition, counted directly."""
    costs = {"a": [1.0, 3.0, math.inf, 2.0], "b": [2.0, 3.0, 4.0, 8.0], "c": [math.inf] * 4}
    profile = performance_profile(costs)

    def share(name, factor):
        best = [min(costs[s][p] for s in costs) for p in range(4)]
        return sum(costs[name][p] <= factor * best[p] for p in range(4) if costs[name][p] < math.inf) / 4

    for name in costs:
        for factor in (1.0, 1.5, 2.0, 3.9, 4.0, 100.0):
            reached = [s for f, s in profile[name] if f <= factor]
            assert reached[-1] == share(name, factor)


def test_best_after_k_trials_is_the_mean_over_all_draws():
    rng = np.random.default_rng(0)
    scores = rng.random(7)
    for k, expected in enumerate(best_after(scores.tolist()), 1):
        drawn = rng.choice(scores, size=(200_000, k)).max(axis=1)
        assert drawn.mean() == pytest.approx(expected, abs=4 * drawn.std() / 200_000**0.5 + 1e-12)


def test_no_interval_is_wider_than_for_fewer_seeds():
    values = [0.1, 0.2, 0.3, 0.4]
    assert t_interval(values * 4).half < t_interval(values).half


def test_a_profile_needs_five_problems(tmp_path):
    studies = {f"p{k}": replace(TINY, problem=replace(TINY.problem, hidden=(8 + k,)), defaults=False) for k in range(5)}
    folders = {name: tmp_path / name for name in studies}
    done = {name: compare(study, folders[name]) for name, study in studies.items()}
    assert profile_of({"p0": done["p0"]}, folders) is None
    profile = profile_of(done, folders)
    assert set(profile["curves"]) == {"sgd", "adam"}
    figure = profile_figure(profile)
    figure.savefig(tmp_path / "profile.png")
    assert {axes.get_title().partition(":")[0] for axes in figure.axes} == {"sgd", "adam"}
    for folder in folders.values():
        assert json.loads((folder / "summary.json").read_text())["profile"]["problems"] == list(studies)


# --- the folder's claim


def test_a_folder_of_another_study_is_refused_and_left_alone(tmp_path):
    compare(TINY, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ol.InputError, match=r"holds another study .*epochs 2 there, 3 now"):
        compare(TINY.with_epochs(3), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_study_may_grow(tmp_path):
    compare(TINY, tmp_path)
    before = (tmp_path / "runs.jsonl").read_bytes()
    compare(replace(TINY, optimizers=("sgd", "adam", "momentum"), confirmation_seeds=(100, 101, 102, 103)), tmp_path)
    after = (tmp_path / "runs.jsonl").read_bytes()
    assert after.startswith(before)


def test_runs_of_another_optimlab_are_not_taken_for_those_of_this_one(tmp_path, monkeypatch):
    """A rule, or a default, may have changed since: the key of a run would not tell."""
    compare(TINY, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr(sys.modules[compare.__module__], "__version__", "9.9")
    with pytest.raises(ol.InputError, match=rf"holds another study \(optimlab '{ol.__version__}' there, '9.9' now\)"):
        compare(TINY, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"problem": 1}', "{"])
def test_a_study_json_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(ol.InputError, match="not the description of a study"):
        compare(TINY, tmp_path)


# --- study files

FILE = """\
optimizers = ["sgd", "adam:torch"]
rates = [0.001, 0.1, 1]
confirmation_seeds = 3

[problem]
hidden = [32, 16]
epochs = 4
batch_norm = true

[[contenders]]
name = "adam"
label = "long memory"
hyperparameters = { beta2 = 0.9999 }
"""


def written(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


def test_a_study_file_says_everything(tmp_path):
    (study,) = read_study(written(tmp_path, FILE)).values()
    assert study.problem == Problem(hidden=(32, 16), epochs=4, batch_norm=True)
    assert [c.label for c in study.contenders] == ["sgd", "adam (torch)", "long memory"]
    assert study.rates == (0.001, 0.1, 1.0)
    assert study.confirmation_seeds == (100, 101, 102)
    (full,) = read_study(written(tmp_path, 'protocol = "full"')).values()
    assert (full.rates, full.search) == (FULL["rates"], FULL["search"])
    (mnist,) = read_study(written(tmp_path, '[problem]\ndataset = "mnist"\nepochs = 1')).values()
    assert mnist.problem == replace(PROBLEMS["mnist"], epochs=1)


def test_a_study_file_with_several_problems(tmp_path):
    studies = read_study(written(tmp_path, FILE + '[[problems]]\nname = "a"\n[[problems]]\nname = "b"\nhidden = [8]\n'))
    assert list(studies) == ["a", "b"]
    assert [s.problem.hidden for s in studies.values()] == [(32, 16), (8,)]
    assert all(s.problem.batch_norm for s in studies.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rates = [", "rates = ", r"not TOML: .*line 2"),
        ("rates", "rate", r"line 2, key 'rate': unknown key 'rate'; did you mean 'rates'"),
        ("0.001, 0.1, 1", "0.1, 0.01, 1", r"line 2, key 'rates': .*must rise"),
        ("0.001, 0.1, 1", "0.001, 'x'", r"line 2, key 'rates': expected a list of numbers"),
        ('"sgd"', '"sdg"', r"line 1, key 'optimizers': unknown optimizer 'sdg'; did you mean 'sgd'"),
        ('"sgd"', "3", r"line 1, key 'optimizers': expected names"),
        ("seeds = 3", "seeds = 1", r"line 3, key 'confirmation_seeds': expected at least 2"),
        ("epochs = 4", "epochs = 0", r"line 7, key 'epochs': epochs must be a whole number of at least 1"),
        ("epochs = 4", "epochs = 4.5", r"line 7, key 'epochs': expected a whole number, got 4.5"),
        ("epochs = 4", "epoch = 4", r"line 7, key 'epoch': unknown key 'epoch'; did you mean 'epochs'"),
        ("epochs = 4", "target = 2", r"line 7, key 'target': target is a validation accuracy"),
        ("epochs = 4", 'dataset = "mnits"', r"line 7, key 'dataset': unknown data set 'mnits'; did you mean 'mnist'"),
        ("epochs = 4", 'dataset = "my.npz"', r"line 7, key 'dataset': expected a target"),
        ("epochs = 4", 'activation = "rellu"', r"line 7, key 'activation': unknown activation 'rellu'"),
        ("epochs = 4", 'dtype = "float16"', r"line 7, key 'dtype': unknown dtype"),
        ("epochs = 4", "dropout = 1.5", r"line 7, key 'dropout': the dropout rate must lie"),
        ("= true", '= "yes"', r"line 8, key 'batch_norm': expected true or false"),
        ("beta2", "beta9", r"unknown hyperparameter of adam 'beta9'"),
        ('name = "adam"', 'title = "adam"', r"key 'contenders': expected a name"),
        ("label", "lable", r"line 12, key 'lable': unknown key 'lable'; did you mean 'label'"),
    ],
)
def test_a_malformed_study_file_is_told_by_line_and_key(tmp_path, old, new, message):
    with pytest.raises(ol.InputError, match=message):
        read_study(written(tmp_path, FILE.replace(old, new)))


MANY = (
    FILE
    + """\

[[contenders]]
name = "nadam"
[contenders.hyperparameters]
beta1 = 0.8

[[problems]]
name = "first"

[[problems]]
name = "second"
hidden = [8]

[[problems]]  # the third
name = "third"
epochs = 7
"""
)


def line_of(text, part):
    """The number of the last line with ``part``."""
    return max(k for k, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("confirmation_seeds = 3", "confirmation_seeds = [100, -1]", "confirmation_seeds", "got -1"),
        ("confirmation_seeds = 3", "confirmation_seeds = [100, 1.5]", "confirmation_seeds", "got 1.5"),
        ("confirmation_seeds = 3", "confirmation_seeds = [100, 100]", "confirmation_seeds", "named twice: 100"),
        ("confirmation_seeds = 3", "confirmation_seeds = [0, 1, 2]", "confirmation_seeds", "must be fresh"),
        ("confirmation_seeds = 3", "confirmation_seeds = [100]", "confirmation_seeds", "two confirmation seeds"),
        ("confirmation_seeds = 3", "tuning_seeds = []", "tuning_seeds", "at least one tuning seed"),
        ("confirmation_seeds = 3", "tuning_seeds = [105]", "tuning_seeds", "must be fresh"),
        ("confirmation_seeds = 3", "extensions = -1", "extensions", "extensions must be"),
        ("confirmation_seeds = 3", "search = -1", "search", "search must be"),
        ("confirmation_seeds = 3", 'protocol = "fast"', "protocol", "expected"),
        ("0.001, 0.1, 1]", "0.1, 1]", "rates", "at least three"),
        ("0.001, 0.1, 1]", "-0.1, 0.1, 1]", "rates", "positive learning rates"),
        ("hidden = [32, 16]", "hidden = [32, 0]", "hidden", "each hidden layer's size must be"),
        ("hidden = [8]", "hidden = [0]", "hidden", "each hidden layer's size must be"),
        ("hidden = [8]", "hiden = [8]", "hiden", "did you mean 'hidden'"),
        ("hidden = [8]", 'dataset = "mnits"', "dataset", "did you mean 'mnist'"),
        ("epochs = 7", "epochs = 0", "epochs", "epochs must be"),
        ("epochs = 7", "epochs = true", "epochs", "expected a whole number"),
        ("epochs = 7", "dropout = inf", "dropout", "dropout must be a finite number"),
        ('name = "third"', 'name = "first"', "name", "it is taken"),
        ('name = "third"', 'name = "FIRST"', "name", "the same as 'first'"),
        ('name = "third"', 'name = ".."', "name", "begins with a letter or digit"),
        ('name = "third"', "name = 3", "name", "expected a unique name"),
        ('name = "nadam"', 'name = "nadm"', "name", "did you mean 'nadam'"),
        ('name = "nadam"', 'name = "nadam"\nconvention = "jax"', "convention", "unknown convention 'jax'"),
        ("beta1 = 0.8", "beta1 = 8", "hyperparameters", "beta1 must lie"),
        ('label = "long memory"', "label = 3", "label", "expected a text"),
        ('label = "long memory"', 'label = "x, default"', "label", "a label cannot end"),
    ],
)
def test_an_error_is_told_at_the_line_that_makes_it(tmp_path, old, new, key, message):
    """Every key of a study, a problem and a contender, in whichever of several tables it stands."""
    assert MANY.count(old) == 1
    text = MANY.replace(old, new)
    with pytest.raises(ol.InputError) as error:
        read_study(written(tmp_path, text))
    where = line_of(text, "[contenders.hyperparameters]" if key == "hyperparameters" else new.splitlines()[-1])
    assert f"study.toml, line {where}, key '{key}': " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("problem.hidden = [4]\nproblem.epochs = 0\n", 2),
        ("rates = [0.1, 1, 10]\nproblem = { epochs = 0 }\n", 2),
        ("[problem] # epochs = 3\n'epochs' = 0\n", 2),
        ('rates = [\n  0.1, 1, 10,\n]\n[[problems]]\nname = "a"\n[[problems]]\nname = "b"\n"epochs" = 0\n', 8),
        ("[[problems]]\nname = 'a'\n[[problems]]\nhidden = [3]\n", 3),
    ],
)
def test_a_line_is_found_however_the_table_is_written(tmp_path, text, line):
    with pytest.raises(ol.InputError, match=f"line {line}, key '(epochs|name)'"):
        read_study(written(tmp_path, text))


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "a/b", "/tmp/x", "a\\b", "C:", "a ", "a.", ".hidden", "-rf", "con", "NUL.txt", "COM1", "a\tb"],
)
def test_a_problem_whose_name_is_no_folder_writes_nowhere(tmp_path, name):
    assert_no_folder(tmp_path, name)


@pytest.mark.parametrize("name", ["x" * 101, "é" * 51, "profile.png", "a\x00b", "\u202eb"])
def test_a_name_too_long_or_reserved_writes_nowhere(tmp_path, name):
    assert_no_folder(tmp_path, name)


def assert_no_folder(tmp_path, name):
    text = f"[[problems]]\nname = {json.dumps(name)}\n[[problems]]\nname = 'fine'\n"
    out = tmp_path / "deep" / "out"
    result = run("compare", "--study", written(tmp_path, text), "--out", out)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "line 2, key 'name': " in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a", "A"), ("ﬁ", "fi"), ("straße", "STRASSE")])
def test_two_problems_that_would_share_a_folder_are_refused(tmp_path, one, other):
    text = f'[[problems]]\nname = "{one}"\n[[problems]]\nname = "{other}"\n'
    with pytest.raises(ol.InputError, match=r"line 4, key 'name': .* cannot be the name of a folder"):
        read_study(written(tmp_path, text))


def test_full_as_an_option_and_in_the_file_are_the_same(tmp_path):
    """Neither overrides what the file says of rates and seeds."""
    own = "rates = [0.01, 0.1, 1]\nconfirmation_seeds = [200, 201]\nsearch = 3\n"
    for said in ("", own, "rates = [0.01, 0.1, 1]\n", "confirmation_seeds = 4\n", "search = 2\n"):
        plain = written(tmp_path, said)
        (by_option,) = read_study(plain, full=True).values()
        (by_file,) = read_study(written(tmp_path, f'protocol = "full"\n{said}')).values()
        assert by_option.config() == by_file.config()
    assert (by_option.rates, by_option.search) == (FULL["rates"], 2)
    (study,) = read_study(written(tmp_path, own), full=True).values()
    assert (study.rates, study.confirmation_seeds, study.search) == ((0.01, 0.1, 1.0), (200, 201), 3)
    options = ("--study", written(tmp_path, own), "--full", "--out", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(run("compare", *options).stdout)["rates"] == [0.01, 0.1, 1.0]


def test_no_study_file(tmp_path):
    with pytest.raises(ol.InputError, match="cannot read the study file"):
        read_study(tmp_path / "none.toml")


# --- the command


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_dry_run_says_how_many_and_writes_nothing(tmp_path):
    result = run("compare", "--study", written(tmp_path, FILE), "--out", tmp_path / "out", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["runs"] == 3 * (3 * 3 + 3 + 3)
    assert plan["seconds"] > 0
    assert not (tmp_path / "out").exists()
    assert "135 runs" not in run("compare", "--dry-run").stdout
    assert "423 runs" in run("compare", "--dry-run").stdout  # 9 x (9 x 3 + 10 + 10)


def test_options_change_what_the_file_says(tmp_path):
    options = (
        "--study",
        written(tmp_path, FILE),
        "--epochs",
        "2",
        "--optimizers",
        "adam,lion",
        "--convention",
        "keras",
    )
    plan = json.loads(run("compare", *options, "--out", tmp_path, "--dry-run", "--json").stdout)
    assert plan["optimizers"] == ["adam (keras)", "lion (keras)"]
    assert "2 epochs" in plan["problem"]


def test_a_convention_is_for_those_named_without(tmp_path):
    text = FILE.replace('"adam:torch"', '"adam:torch", "rmsprop"')
    options = ("--study", written(tmp_path, text), "--convention", "keras", "--out", tmp_path, "--dry-run", "--json")
    plan = json.loads(run("compare", *options).stdout)
    assert plan["optimizers"] == ["sgd (keras)", "adam (torch)", "rmsprop (keras)", "long memory"]


def test_a_dry_run_of_several_problems_is_one_json(tmp_path):
    text = FILE + '[[problems]]\nname = "a"\n[[problems]]\nname = "b"\nhidden = [8]\n'
    options = ("--study", written(tmp_path, text), "--out", tmp_path / "out", "--dry-run")
    plans = json.loads(run("compare", *options, "--json").stdout)["problems"]
    assert {name: plan["folder"] for name, plan in plans.items()} == {n: str(tmp_path / "out" / n) for n in ("a", "b")}
    assert run("compare", *options).stdout.count(f"{plans['a']['runs']} runs into") == 2


def test_a_dry_run_tells_what_cannot_be_run(tmp_path):
    (tmp_path / "mine.py").write_text("def mine(w, g, *, t, lr=0.1):\n    return w - lr / (t - 1) * g\n")
    options = ("--optimizers", "sgd", "--rule", f"{tmp_path / 'mine.py'}:mine", "--out", tmp_path / "out")
    result = run("compare", *options, "--dry-run")
    assert result.exit_code == 2
    assert "mine cannot be run: " in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_rule_that_fails_does_not_take_the_others_with_it(tmp_path):
    (tmp_path / "mine.py").write_text("def mine(w, g, *, t, lr=0.1):\n    return w - lr / (t - 1) * g\n")
    options = ("--optimizers", "sgd", "--rule", f"{tmp_path / 'mine.py'}:mine", "--epochs", "1", "--seeds", "2")
    result = run("compare", *options, "--rates", "0.1,0.3,1", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    rows = {row["label"]: row for row in json.loads(result.stdout)["optimizers"]}
    assert (rows["sgd"]["errors"], rows["mine"]["unfinished"]["error"]) == ([], 1)
    assert "float division by zero" in rows["mine"]["errors"][0]
    assert rows["mine"]["microseconds_per_step"] is None
    assert (tmp_path / "out" / "report.html").exists()


def test_a_rule_of_your_own_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text("def halved(w, g, *, lr=0.1):\n    return w - 0.5 * lr * g\n")
    options = ("--rule", f"{tmp_path / 'mine.py'}:halved", "--optimizers", "sgd", "--epochs", "1", "--seeds", "2")
    result = run("compare", *options, "--rates", "0.01,1,100", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert {r["label"] for r in json.loads(result.stdout)["optimizers"]} >= {"sgd", "halved"}
    (tmp_path / "torn.py").write_text("def halved(w, g, *, lr=0.1:\n")
    (tmp_path / "alone.py").write_text("import nothing_of_this_name\n")
    for wrong, message in (
        ("mine.py", "name a rule of your own as FILE.py:NAME"),
        (f"{tmp_path / 'mine.py'}:other", "has no function"),
        (f"{tmp_path / 'torn.py'}:halved", "torn.py failed: SyntaxError: invalid syntax"),
        (f"{tmp_path / 'alone.py'}:halved", "failed: ModuleNotFoundError: No module named"),
    ):
        result = run("compare", "--rule", wrong, "--out", tmp_path / "no")
        assert result.exit_code == 2
        assert message in result.stderr


def test_no_resume_refuses_a_folder_with_runs(tmp_path):
    (tmp_path / "runs.jsonl").write_text("")
    result = run("compare", "--no-resume", "--out", tmp_path)
    assert result.exit_code == 2
    assert "already holds runs" in result.stderr


# --- the figures


def test_figures_draw_names_as_they_are_and_a_loss_of_zero(tmp_path):
    """Dollars are no formula: this one would not even parse."""
    name = r"$\adam$ ^2_$"
    found = compare(replace(TINY, optimizers=("sgd", Contender("adam", label=name)), defaults=False), tmp_path)
    for record in found.confirmation["sgd"]:
        record["curves"]["train_loss"][-1] = 0.0
    profile = {"cost": "epochs", "problems": ["a"], "curves": {name: [(1.0, 0.5)], "sgd": [(1.0, 1.0)]}}
    for figure in (loss_figure(found), accuracy_figure(found), sensitivity_figure(found), profile_figure(profile)):
        figure.savefig(tmp_path / "figure.png")
        texts = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
        assert any(text.startswith(name) for text in texts)


def test_a_comparison_in_which_nothing_finishes_has_no_best(tmp_path):
    linear = Problem(hidden=(8, 8), activation="identity", epochs=2)
    study = replace(TINY, problem=linear, rates=(1e25, 1e26, 1e27), extensions=0, defaults=False)
    with pytest.warns(UserWarning, match=r"no run finished at any learning rate from 1e\+25 to 1e\+27") as warned:
        found = compare(study, tmp_path)
    assert not any("best" in str(warning.message) for warning in warned)
    assert found.verdict[0] == "No run at a chosen rate finished: there is nothing to compare."
    assert all(row["speed"] is None for row in found.rows)
    page = write_report(tmp_path).read_text()
    assert "no run at a chosen rate finished" in page
    assert "highest mean validation accuracy" not in page
