"""What docs/data.md shows is what happens: its commands and its Python are run."""

import doctest
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from optimlab.cli import main
from optimlab.study import Problem

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "data.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [
    (content.strip(), after[1] if after[0] == "text" else None)
    for (kind, content), after in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    if kind == "sh" and content.startswith("optimlab")
]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), COMMANDS)
def test_commands(command, shown, monkeypatch, tmp_path):
    """Run the commands whose output is shown, and plan the others."""
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(command)[1:]
    if shown is None:
        at = arguments.index("--out") + 1
        arguments[at] = str(tmp_path / arguments[at])
        arguments.append("--dry-run")
    result = CliRunner().invoke(main, arguments)
    if shown is None:
        assert result.exit_code == 0, result.stderr
    else:
        said = "\n".join(line.rstrip() for line in (result.stdout + result.stderr).splitlines())
        assert said == shown.rstrip("\n")


def test_python(monkeypatch):
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert (failed, tried > 10) == (0, True)


def test_the_file_begins_as_shown_and_the_study_file_has_keys_of_a_problem():
    shown = next(content for kind, content in BLOCKS if kind == "text")
    assert (ROOT / "examples" / "houses.csv").read_text().startswith(shown)
    table = tomllib.loads(next(content for kind, content in BLOCKS if kind == "toml"))
    assert Problem(**table["problem"]).leave_out == ("price",)
