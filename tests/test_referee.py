"""Every command of the referee's checklist runs, and shows what the checklist says."""

import importlib
import math
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner
from run_files import planted

from optimlab.cli import main
from optimlab.study import read_comparison
from optimlab.study.joint import read_joint

COMMAND = importlib.import_module("optimlab.cli.compare")
PAGE = Path(__file__).parents[1] / "docs" / "referee.md"
TEXT = PAGE.read_text(encoding="utf-8")
SMALL = ["--optimizers", "sgd,adam", "--epochs", "3", "--rates", "0.01,0.1,1", "--replicates", "3"]
STUDY_FILE = """
optimizers = ["sgd", "adam"]
rates = [0.01, 0.1, 1.0]
replicates = 2
[problem]
epochs = 2
[[problems]]
name = "one"
[[problems]]
name = "two"
hidden = [8]
"""


def shown():
    """The commands and expressions of the table's last column."""
    rows = [line[1:-1].split("|") for line in TEXT.splitlines() if line.startswith("|")][2:]
    assert {len(row) for row in rows} == {3}
    found = [re.fullmatch(r"\s*`([^`]+)`\s*", row[2]) for row in rows]
    assert all(found), rows
    return [match[1] for match in found]


COMMANDS = [text for text in shown() if text.startswith("optimlab ")]
EXPRESSIONS = [text for text in shown() if not text.startswith("optimlab ")]


def run(command):
    """A documented command as it is written; a comparison is made small, and its runs made up."""
    _, *arguments = shlex.split(command)
    if arguments[0] == "compare" and "--study" not in arguments:
        arguments += SMALL
    with (
        planted(lambda run: "diverged" if run.lr > 0.7 else "ok", lambda run: 0.9 - 0.02 * abs(math.log10(run.lr) + 1)),
        mock.patch.object(COMMAND, "_write", return_value=([], [])),
        mock.patch.object(COMMAND, "_write_joint", written_joint),
    ):
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, (command, result.output)
    return result.output


def written_joint(joint, comparisons, out):
    from optimlab.study.joint import write_joint

    return write_joint(joint, out), []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the checklist's commands have been run, from top to bottom; and what each printed."""
    place = tmp_path_factory.mktemp("referee")
    (place / "problems.toml").write_text(STUDY_FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run("optimlab compare")
        yield place, {command: run(command) for command in COMMANDS}


def value(expression, place, patch):
    patch.chdir(place)
    names = {}
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], names)
    return eval(expression, names)


def test_every_command_shows_something(folder):
    place, printed = folder
    assert len(COMMANDS) == 7
    assert all(printed.values())
    plan = printed["optimlab compare --dry-run"]
    assert "3 replicates, each with its own rows (1,077 training, 360 validation, 360 test), shift of the grid" in plan
    assert {"runs.csv", "curves.csv", "table.tex", "again", "several"} <= {path.name for path in place.iterdir()}
    assert read_comparison(place / "optimlab-compare").summary.target.value == 0.9  # without new runs
    one, again = (read_comparison(place / name).records for name in ("optimlab-compare", "again"))
    assert not {r.run["seed"] for r in one.values()} & {r.run["seed"] for r in again.values()}
    assert [problem.name for problem in read_joint(place / "several").problems] == ["one", "two"]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_has_a_value(expression, folder, monkeypatch):
    found = value(expression, folder[0], monkeypatch)
    if expression in ("summary.left_out", "summary.baseline"):
        assert found == (() if expression.endswith("left_out") else None)
    else:
        assert found


def test_what_the_page_says_is_so(folder, monkeypatch):
    def of(start):
        expression = next(text for text in EXPRESSIONS if text.startswith(start))
        return value(expression, folder[0], monkeypatch)

    shared = of('{r.run["optimizer"]')
    assert shared["sgd"] == shared["adam"] == [(seed, seed) for seed in range(3)]  # paired, and none shared
    trials = of("{row.label: row.trials")
    assert trials["sgd"] == trials["adam"] == (3, 3)
    chosen = of("{row.label: [one.lr")
    assert chosen["sgd"] == chosen["adam"]  # the grids of a replicate are those of all
    assert len(set(chosen["sgd"])) == 3  # and shifted in each
    family, tests = of("summary.verdict.family")
    assert family == len(tests) == 2 + 2  # two measures of one pair, two untuned
    target = of("summary.target")
    assert (target.value, target.planned) == (0.9, 0.95)
    assert of("summary.planned_replicates") == (3, 3)
    assert of("summary.test_rows")[0] is None  # digits are split anew


def test_it_is_one_page():
    assert len(TEXT.splitlines()) <= 50
