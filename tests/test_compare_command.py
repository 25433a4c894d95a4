"""The command ``optimlab compare`` beyond its table: dry runs, options over study files, rules of your own."""

import html
import importlib
import json
import re
import shlex
import sys

import pytest
from click.testing import CliRunner
from run_files import planted
from test_study_file import FILE, written

from optimlab.cli import main
from optimlab.study.joint import read_joint
from optimlab.study.results import builtins


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def quickly(monkeypatch):
    """A dry run trains nothing for its estimate."""
    monkeypatch.setattr("optimlab.study.estimate.estimate", lambda study, jobs=1: 90.0 / jobs)


def test_a_dry_run_estimates_by_training(tmp_path):
    options = ("--optimizers", "sgd", "--epochs", "1", "--rates", "0.1,1,10", "--replicates", "2")
    plan = json.loads(run("compare", *options, "--out", tmp_path / "out", "--dry-run", "--json").stdout)
    assert (plan["runs"], plan["jobs"]) == (2 * 4, 1)
    assert 0 <= plan["seconds"] < 60


def test_an_estimate_is_never_negative(monkeypatch):
    """More epochs may happen to take less time than fewer."""
    from optimlab.study import estimate
    from optimlab.study.plan import Study

    measured = iter([0.1, 0.1, 9.0, 0.2, 0.1])
    monkeypatch.setattr(estimate, "_seconds", lambda *about: next(measured))
    assert estimate.estimate(Study(optimizers=("sgd",))) == pytest.approx(0.2 * Study(optimizers=("sgd",)).planned())


def test_a_dry_run_says_how_many_and_writes_nothing(tmp_path, quickly):
    result = run("compare", "--study", written(tmp_path, FILE), "--out", tmp_path / "out", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["runs"] == 3 * 3 * (3 + 1)  # optimizers, replicates, rates and the default
    assert plan["seconds"] > 0
    assert not (tmp_path / "out").exists()
    usual = run("compare", "--dry-run", "--jobs", "2").stdout
    assert "about 45 s in 2 processes" in usual
    assert "\n900 runs into " in usual  # 9 optimizers x 10 replicates x (9 rates and the default)
    assert "10 replicates, each with its own rows (1,077 training, 360 validation, 360 test), shift" in usual


def test_options_change_what_the_file_says(tmp_path, quickly):
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


def test_sizes_and_label_are_those_of_the_options_and_the_page_says_how_to_repeat_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["optimlab.cli.compare"], "save_figure", lambda figure, path: [f"{path.name}.png"])
    options = ("--hidden", "6,5", "--batch-size", "100", "--label", "Smith's nets", "--target", "0.5")
    options += ("--optimizers", "sgd,adam", "--epochs", "2", "--replicates", "2")
    with planted(lambda run: "ok", lambda run: 0.5 + 0.4 * (run.contender.name == "sgd")):
        result = run("compare", *options, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        page, summary = ((tmp_path / "out" / name).read_text() for name in ("report.html", "summary.json"))
        heading = "Smith's nets: digits, MLP 64-6-5-10, batch 100, 2 epochs"
        assert heading in " ".join(result.stdout.split())
        assert "<title>2 optimizers: " + heading.replace("'", "&#39;") in page
        command = html.unescape(re.search('<pre tabindex="0" class="command">(.*?)</pre>', page, re.DOTALL)[1])
        again = run(*shlex.split(command)[1:], "--out", tmp_path / "again")
        assert again.exit_code == 0, again.output
        found = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("out", "again")]
        assert found[0]["study"] == found[1]["study"] == json.loads(summary)["study"]
        relabelled = run("compare", *options, "--label", "another", "--out", tmp_path / "out", "--json")
    assert json.loads(relabelled.stdout)["label"] == "another"
    assert json.loads(summary)["left_out"] == []  # what was asked for leaves nothing out
    runs = [(tmp_path / name / "runs.jsonl").read_bytes().count(b"\n") for name in ("out", "again")]
    assert runs[0] == runs[1]  # and its runs are there


def test_a_convention_is_for_those_named_without(tmp_path, quickly):
    text = FILE.replace('"adam:torch"', '"adam:torch", "rmsprop"')
    options = ("--study", written(tmp_path, text), "--convention", "keras", "--out", tmp_path, "--dry-run", "--json")
    plan = json.loads(run("compare", *options).stdout)
    assert plan["optimizers"] == ["sgd (keras)", "adam (torch)", "rmsprop (keras)", "long memory"]


def test_a_dry_run_of_several_problems_is_one_json(tmp_path, quickly):
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


def test_a_rule_that_fails_does_not_take_the_others_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["optimlab.cli.compare"], "save_figure", lambda figure, path: [f"{path.name}.png"])
    (tmp_path / "mine.py").write_text("def mine(w, g, *, t, lr=0.1):\n    return w - lr / (t - 1) * g\n")
    options = ("--optimizers", "sgd", "--rule", f"{tmp_path / 'mine.py'}:mine", "--epochs", "1", "--replicates", "2")
    result = run("compare", *options, "--rates", "0.1,0.3,1", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    rows = {row["label"]: row for row in json.loads(result.stdout)["rows"]}
    assert (rows["sgd"]["errors"], rows["mine"]["failed"]) == ([], 2 * 3)
    assert "float division by zero" in rows["mine"]["errors"][0]
    assert rows["mine"]["microseconds_per_step"] is None
    assert (tmp_path / "out" / "report.html").exists()


def test_a_rule_of_your_own_from_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["optimlab.cli.compare"], "save_figure", lambda figure, path: [f"{path.name}.png"])
    (tmp_path / "mine.py").write_text("def halved(w, g, *, lr=0.1):\n    return w - 0.5 * lr * g\n")
    options = ("--rule", f"{tmp_path / 'mine.py'}:halved", "--optimizers", "sgd", "--epochs", "1", "--replicates", "2")
    result = run("compare", *options, "--rates", "0.01,1,100", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert {r["label"] for r in json.loads(result.stdout)["rows"]} >= {"sgd", "halved"}
    (tmp_path / "torn.py").write_text("def halved(w, g, *, lr=0.1:\n")
    (tmp_path / "alone.py").write_text("import nothing_of_this_name\n")
    for wrong, message in (
        ("mine.py", "write your own rule as FILE.py:NAME"),
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


@pytest.mark.slow
def test_several_problems_are_one_folder_with_a_joint_answer(tmp_path, monkeypatch):
    """Printed, as JSON, and in files beside those of each problem; a folder that holds more is left alone."""
    text = FILE + '[[problems]]\nname = "a"\n[[problems]]\nname = "b"\nhidden = [8]\n'
    options = ("--study", written(tmp_path, text), "--out", tmp_path / "out")
    monkeypatch.setattr(importlib.import_module("optimlab.cli.compare"), "_write", lambda *_: ([], []))
    with planted(lambda run: "ok", lambda run: 0.5 + 0.4 * (run.contender.name == "sgd")):
        told, machine = run("compare", *options), run("compare", *options, "--json")
    assert told.exit_code == machine.exit_code == 0, told.output
    found = read_joint(tmp_path / "out")
    assert [problem.name for problem in found.problems] == ["a", "b"]
    said = " ".join(told.stdout.split())
    assert all(sentence.text in said for sentence in found.sentences)
    assert "mean rank" in said
    printed = json.loads(machine.stdout)
    assert {**printed["joint"], "made": ""} == {**builtins(found), "made": ""}
    assert set(printed["problems"]) == {"a", "b"}
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*") if path.name[0] != "."}
    own = {"runs.jsonl", "summary.json", "study.json"}
    top = {"joint.json", "report.html", "profile.png", "profile.svg"}
    assert files == top | {f"{name}/{file}" for name in ("a", "b") for file in own}
    one = run("compare", "--optimizers", "sgd", "--out", tmp_path / "out")
    assert (one.exit_code, "comparison on several problems" in one.stderr) == (2, True)
    fewer = text.replace('name = "a"', 'name = "c"')
    other = run("compare", "--study", written(tmp_path, fewer), "--out", tmp_path / "out")
    assert (other.exit_code, "it also has a" in other.stderr) == (2, True)
