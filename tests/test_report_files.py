"""The report of a comparison: how it says to make it again, and what it makes of the files in a folder."""

import json
import re
import shlex
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from report_folder import SMALL, compared, records_of, summary_of

import optimlab as ol
from optimlab.cli import main
from optimlab.report import page, write_report
from optimlab.report.reproduction import recipe
from optimlab.study import Comparison, Contender, Problem, Study, read_study
from optimlab.study.contender import contenders
from optimlab.study.plan import FULL
from optimlab.study.results import Record, Summary, decoded

# --- how to make it again


@pytest.mark.quick("study0")
@pytest.mark.parametrize(
    "study",
    [
        Study(
            problem=Problem(epochs=7, target=0.9),
            optimizers=("sgd", "adam:torch"),
            rates=(0.001, 0.1, 10.0),
            replicates=5,
        ),
        Study(optimizers=("sgd",), seed=3, **FULL),
        Study(replace(Problem("sklearn:diabetes").quick(), target=0.4), ("sgd", "adam")),
        Study(optimizers=("adam", "sgd"), seed=7, **{**FULL, "replicates": 4}),
    ],
)
def test_the_command_makes_the_same_study(study, tmp_path):
    assert recipe(json.loads(json.dumps(Study().config()))) == ("optimlab compare", "", "")
    command = recipe(json.loads(json.dumps(study.config())))
    assert command.file == ""
    arguments = command.command.split()[1:]
    planned = CliRunner().invoke(main, [*arguments, "--dry-run", "--json", "--out", str(tmp_path)])
    plan = json.loads(planned.stdout)
    assert plan["problem"] == str(study.problem)
    assert plan["optimizers"] == [c.label for c in study.contenders]
    assert plan["rates"] == list(study.rates)
    assert plan["runs"] == study.planned()
    assert plan["replicates"] == study.replicates
    assert ("--seed" in command.command) == (study.seed != 0)


@pytest.mark.parametrize(
    "study",
    [
        replace(SMALL, problem=replace(SMALL.problem, activation="tanh")),
        replace(SMALL, problem=replace(SMALL.problem, bias_initializer="torch_uniform")),
        replace(SMALL, optimizers=("sgd", Contender("adam", "keras", {"beta2": 0.99}, label='a "long" one'))),
        replace(SMALL, optimizers=(Contender("adam", label="mine"), "adam:torch")),
        replace(SMALL, seed=9, defaults=False, search=2, extensions=0),
        replace(SMALL, problem=replace(SMALL.problem, train_rows=500, redraw="train")),
    ],
)
def test_the_study_file_makes_the_same_study(study, tmp_path):
    made = recipe(json.loads(json.dumps(study.config())))
    assert made.command == "optimlab compare --study study.toml"
    (tmp_path / "study.toml").write_text(made.file)
    [again] = read_study(tmp_path / "study.toml").values()
    assert again.config() == study.config()


def test_a_rule_of_ones_own_is_asked_for():
    def mine(w, g, *, lr=0.1):
        return w - lr * g

    made = recipe(json.loads(json.dumps(Study(optimizers=("sgd", Contender("mine", rule=mine))).config())))
    assert made.command == "optimlab compare --optimizers sgd,FILE.py:mine"
    assert made.note == "mine is your own rule: give the path of its file in place of FILE.py."


RULES = """\
def plain(w, g, *, lr=0.1, beta=0.9, label=1.0):
    return w - lr * g

def weak(w, g, *, lr=0.01):
    return w - 0.1 * lr * g
"""


@pytest.mark.parametrize(
    "optimizers",
    [
        "{0}:weak",
        "{0}:plain, {0}:weak",
        "{0}:weak, sgd, adam:torch",
        "sgd, {0}:weak(label=W), {0}:weak(label=V)",
        "{0}:weak(label=W)",
        '{0}:weak(schedule=one_cycle, label="a \\"long\\" one"), sgd',
        "sgd, {0}:plain(beta={{0, 0.9}}), adamw(weight_decay=0.1), {0}:weak",
    ],
)
@pytest.mark.parametrize("changes", [{}, {"defaults": False}])
def test_the_printed_command_makes_the_same_study_with_own_rules(optimizers, changes, tmp_path, monkeypatch):
    """With all contenders, in their order, once the path of the file is given."""
    (tmp_path / "rules.py").write_text(RULES)
    study = replace(SMALL, optimizers=contenders(optimizers.format(tmp_path / "rules.py")), **changes)
    assert dry_run(recipe(json.loads(json.dumps(study.config()))), tmp_path, monkeypatch) == study.config()


def test_a_hyperparameter_named_label_is_kept(tmp_path, monkeypatch):
    (tmp_path / "rules.py").write_text(RULES)
    rule = contenders(f"{tmp_path / 'rules.py'}:plain")[0]
    study = replace(SMALL, optimizers=(replace(rule, hyperparameters={"label": 2.0}, label=""),))
    assert dry_run(recipe(json.loads(json.dumps(study.config()))), tmp_path, monkeypatch) == study.config()


@pytest.mark.parametrize("target", [0.93, 0.95])
def test_the_printed_command_keeps_the_target_of_data_with_a_usual_one(target, tmp_path, monkeypatch):
    """That of wine is 0.93, and 0.95 is that of a problem on the digits."""
    study = replace(SMALL, problem=replace(Problem("sklearn:wine").quick(), target=target))
    assert dry_run(recipe(json.loads(json.dumps(study.config()))), tmp_path, monkeypatch) == study.config()


def dry_run(made, folder, monkeypatch):
    """The description of the study that the recipe's command would run in a folder with rules.py."""
    (folder / "study.toml").write_text(made.file.replace("FILE.py", "rules.py"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys.modules["optimlab.cli.compare"], "_plan", lambda study, *_: study.config())
    arguments = shlex.split(made.command.replace("FILE.py", "rules.py"))[1:]
    result = CliRunner().invoke(main, [*arguments, "--dry-run", "--json", "--out", "out"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_command_line_makes_the_page_again(changed):
    folder = changed()
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert (result.exit_code, result.stdout) == (0, f"Written to {folder / 'report.html'}\n")
    assert "Example:" in CliRunner().invoke(main, ["report", "--help"]).stdout
    first = (folder / "report.html").read_bytes()
    assert write_report(folder).read_bytes() == first


# --- folders that hold no comparison


def refused(folder):
    """One line of error, exit code 2, and nothing written."""
    with pytest.raises(ol.InputError) as caught:
        write_report(folder)
    assert not (folder / "report.html").exists()
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("name", ["summary.json", "runs.jsonl"])
def test_a_missing_or_unreadable_file_is_one_clear_error(changed, name):
    folder = changed()
    (folder / name).unlink()
    message = refused(folder)
    assert name in message
    assert "No such file" in message
    (folder / name).write_bytes(b"\xff\xfe\x00")
    assert re.search(rf"{name}(: JSON is malformed|, line 1: not a record of a run)", refused(folder))
    (folder / name).write_text("no JSON\n")
    assert name in refused(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert name in refused(folder)


def test_a_folder_that_is_none(tmp_path):
    assert "cannot read" in refused(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "cannot read" in refused(tmp_path / "file")


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"run": {"test": true}, "status": "ok"}', "NaN", '{"run": 3, "status": "ok"}', "[" * 100_000]
)
def test_a_line_that_is_no_run_is_named(changed, line):
    folder = changed()
    with (folder / "runs.jsonl").open("a") as file:
        file.write(line + "\n")
    assert re.search(r"runs.jsonl, line \d+: not a record", refused(folder))


def test_a_last_line_that_was_cut_off_is_no_error(changed):
    folder = changed()
    with (folder / "runs.jsonl").open("a") as file:
        file.write('{"key": "ab')
    with pytest.warns(UserWarning, match="dropped an incomplete last line"):
        assert write_report(folder).exists()


def test_a_page_that_is_there_survives_a_refusal(finished, tmp_path):
    (tmp_path / "report.html").write_text("kept")
    with pytest.raises(ol.InputError):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "kept"


def test_a_number_beyond_float64_is_one_error(changed):
    """JSON may hold it, and other readers take it for infinity."""
    folder = changed()
    text = (folder / "summary.json").read_text()
    found = sorted({*re.findall(r": (\d[\d.e-]*)", text)})
    for number in found[:: max(1, len(found) // 25)]:
        (folder / "summary.json").write_text(text.replace(f": {number}", ": 1e999"))
        assert "out of range" in refused(folder)


@pytest.mark.slow
def test_whatever_stands_in_the_files_is_a_page_or_one_error(tmp_path):
    """Every value of a row, a run and the study, one after another, replaced by others; no other exception, ever."""
    folder = compared(replace(SMALL, optimizers=("sgd", "adam"), replicates=2, defaults=False), tmp_path)
    summary, runs = summary_of(folder), records_of(folder)
    row = summary["rows"][0]
    one = next(run for run in runs if run["key"] == row["replicates"][0]["key"])
    tables = [summary, summary["study"], summary["study"]["problem"], summary["study"]["optimizers"][0], row]
    tables += [row["replicates"][0], row["replicates"][0]["grid"][0], summary["pairs"][0], summary["target"]]
    tables += [summary["verdict"], summary["verdict"]["sentences"][0], one, one["run"], one["curves"]]
    places = [(table, key) for table in tables for key in table]
    places += [(row[name], k) for name in ("lr", "test_score", "epochs") for k in range(3)]
    outcomes = {"page": 0, "error": 0}
    kept_runs = {run["key"]: decoded(Record, run) for run in runs}
    for table, key in places:
        kept = table[key]
        for value in (None, "x", 1e308, -1, [[]]):
            table[key] = value
            try:
                record = decoded(Record, one)
                comparison = Comparison(decoded(Summary, summary), {**kept_runs, record.key: record})
                page.render(comparison)
                outcomes["page"] += 1
            except ol.InputError:
                outcomes["error"] += 1
        table[key] = kept
    assert min(outcomes.values()) > 50, outcomes
