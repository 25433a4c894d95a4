"""The report of a comparison: how it says to make it again, and what it makes of the files in a folder."""

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from report_folder import SMALL, summary_of

import optimlab as ol
from optimlab.cli import main
from optimlab.report import write_report
from optimlab.report.reproduction import recipe
from optimlab.study import Contender, Problem, Study, read_study
from optimlab.study.study_file import FULL

# --- how to make it again


@pytest.mark.parametrize(
    "study",
    [
        Study(
            problem=Problem(epochs=7, target=0.9),
            optimizers=("sgd", "adam:torch"),
            rates=(0.001, 0.1, 10.0),
            confirmation_seeds=tuple(range(100, 105)),
        ),
        Study(optimizers=("sgd",), **FULL),
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


@pytest.mark.parametrize(
    "study",
    [
        SMALL,
        replace(SMALL, optimizers=("sgd", Contender("adam", "keras", {"beta2": 0.99}, label='a "long" one'))),
        replace(SMALL, optimizers=(Contender("adam", label="mine"), "adam:torch")),
        replace(SMALL, confirmation_seeds=(7, 8, 9), defaults=False, search=2, extensions=0),
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
    assert made.command == "optimlab compare --optimizers sgd --rule FILE.py:mine"
    assert "your own" in made.note


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
    assert re.search(rf"{name}( is not text|, line 1: not a record of a run)", refused(folder))
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
    with pytest.warns(UserWarning, match="dropped a last line that was cut off"):
        assert write_report(folder).exists()


def test_a_page_that_is_there_survives_a_refusal(finished, tmp_path):
    (tmp_path / "report.html").write_text("kept")
    with pytest.raises(ol.InputError):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "kept"


def test_a_number_beyond_float64_is_one_error_or_none(changed):
    """JSON may hold it, and Python reads it as infinity."""
    folder, outcomes = changed(), set()
    text = (folder / "summary.json").read_text()
    for number in {*re.findall(r": (\d[\d.e-]*)", text)}:
        (folder / "summary.json").write_text(text.replace(f": {number}", ": 1e999"))
        try:
            page = write_report(folder).read_text()
            assert "Infinity" not in page
            outcomes.add("page")
        except ol.InputError:
            outcomes.add("error")
    assert outcomes == {"page", "error"}


def test_whatever_stands_in_the_files_is_a_page_or_one_error(changed, monkeypatch):
    """Every value of a row, a run and the study, one after another, replaced by others; no other exception, ever."""
    folder = changed()
    summary = summary_of(folder)
    places = [(summary, k) for k in summary] + [(summary["study"], k) for k in summary["study"]]
    places += [(summary["study"]["problem"], k) for k in summary["study"]["problem"]]
    row = summary["optimizers"][0]
    places += [(row, k) for k in row] + [(row["sensitivity"][0], k) for k in row["sensitivity"][0]]
    places += [(row["test_difference"], "low"), (summary["study"]["optimizers"][0], "label")]
    outcomes = {"page": 0, "error": 0}
    from optimlab.report import page, reading

    runs = reading._runs(folder)
    monkeypatch.setattr(reading, "_runs", lambda folder: runs)
    places += [(table, k) for table in (runs[0], runs[0]["run"], runs[0]["curves"]) for k in table]
    for table, key in places:
        kept = table[key]
        for value in (None, "x", 1e308, [[]]):
            table[key] = value
            (folder / "summary.json").write_text(json.dumps(summary))
            try:
                page.render(reading.read_results(folder))
                outcomes["page"] += 1
            except ol.InputError:
                outcomes["error"] += 1
        table[key] = kept
    assert min(outcomes.values()) > 50, outcomes
