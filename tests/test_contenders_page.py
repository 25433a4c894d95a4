"""docs/contenders.md: every command of the page is run, with fewer epochs, and its Python as it stands."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import require

from optimlab.cli import main
from optimlab.schedules import SHAPES
from optimlab.schedules.shapes import defaults

PAGE = (Path(__file__).parents[1] / "docs" / "contenders.md").read_text(encoding="utf-8")
FEWER = {
    "compare": "--epochs 3 --replicates 2 --rates 0.01,0.1,1 --jobs 1 --out out",
    "race": "--steps 20 --no-gif --out out",
    "tune": "--epochs 3 --trials 2 --out out",
    "explain": "",
}
RULE, PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(STUDY,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^optimlab .*", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the page speaks of; figures are drawn and steps timed elsewhere."""
    (tmp_path / "my.py").write_text(RULE)
    (tmp_path / "study.toml").write_text(STUDY)
    rows = [f"{k % 7},{k % 5 - 2},{'yes' if k % 7 > 3 else 'no'}" for k in range(120)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    for name in ("compare", "race", "tune"):
        module = importlib.import_module(f"optimlab.cli.{name}")
        monkeypatch.setattr(module, "save_figure", lambda figure, path: [path.name])
    monkeypatch.setattr(importlib.import_module("optimlab.study.compare"), "time_steps", lambda *_: {})
    monkeypatch.setattr("optimlab.study.estimate.estimate", lambda study, jobs=1: 1.0)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*(edge of the grid|no run finished)")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(folder, command):
    _, verb, *arguments = shlex.split(command)
    if "mine.csv" in arguments:
        require("pandas")
    if verb == "tune":
        require("optuna")
    result = CliRunner().invoke(main, [verb, *arguments, *FEWER[verb].split()])
    assert result.exit_code == 0, result.output
    if verb == "compare" and "--dry-run" not in arguments:
        assert (folder / "out" / "summary.json").exists()
        said = "trials of each optimizer" in " ".join(result.stdout.split())
        assert said == ("={" in command or "study" in command)


def test_the_page_has_a_command_for_each_place():
    assert {shlex.split(command)[1] for command in COMMANDS} == {*FEWER}


def test_the_python_of_the_page_runs():
    exec(compile(PYTHON, "contenders.md", "exec"), {})


def test_the_page_has_every_schedule_with_its_defaults():
    part = PAGE.partition("## Schedules")[2].partition("## Rules")[0]
    lines = re.findall(r"^\| (`\w+`.*?) \| (.*) \|$", part, re.MULTILINE)
    told = {name: options for names, options in lines for name in re.findall(r"`(\w+)`", names)}
    assert {*told} == {*SHAPES}
    for name, options in told.items():
        for option, default in defaults(name).items():
            assert f"`{option}" in options or option == "warmup"
            if isinstance(default, float) and default and name != "power":
                assert f"`{option}={default:g}`" in options
