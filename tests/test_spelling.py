"""Characters that an output cannot encode are written in another way, by every command."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import optimlab as ol
from optimlab.cli import main
from optimlab.common.spelling import spelled
from optimlab.study import Problem, Study, compare

ENCODINGS = ["ascii", "latin-1", "cp1252", "koi8-r", "utf-8"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("√(1 − β₂ᵗ) + √ŝₜ", "sqrt(1 - beta_2^t) + sqrt s_hat_t"),
        ("m̂ₜ₋₁ · 10⁻³ ≤ λ′ ± ½", "m_hat_(t-1) * 10^(-3) <= lambda' +- 1/2"),
        ("97.5 ±0.3, µs × 2 … ──", "97.5 +-0.3, us x 2 .. --"),
        ("Göttingen 中 \udcff", "Gottingen \\u4e2d \\udcff"),
    ],
)
def test_ascii(text, expected):
    assert spelled(text, "ascii") == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_can_be_encoded_stays(encoding):
    kept = [chr(k) for k in range(32, 0x2300) if not 0xD800 <= k < 0xE000]
    for letter in kept:
        try:
            letter.encode(encoding)
        except UnicodeEncodeError:
            spelled(letter, encoding).encode(encoding)
        else:
            assert spelled(letter, encoding) == letter


def test_every_letter_of_every_formula_has_a_spelling():
    """None is escaped, and two variables of one rule do not become one."""
    for convention in ol.rules.CONVENTIONS:
        for name in ol.rules.names(convention):
            told = spelled(ol.explain(name, convention=convention, steps=1).formula, "ascii")
            assert told.isascii()
            assert "\\" not in told
            variables = [line.split(" = ")[0] for line in told.splitlines()]
            assert len(set(variables)) == len(variables)


# --- the commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs")
    contenders, rates = ("sgd", "adam"), (0.01, 0.03, 0.1)
    compare(Study(Problem(epochs=1), contenders, rates, replicates=2), made)
    return made


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """Figures take most of the time, and print nothing."""
    monkeypatch.setattr(sys.modules["optimlab.cli.compare"], "_write", lambda *_: ([], []))
    monkeypatch.setattr(sys.modules["optimlab.cli.race"], "_write", lambda *_: [])


COMPARE = ["compare", "--optimizers", "sgd,adam", "--epochs", "1", "--replicates", "2", "--rates", "0.01,0.03,0.1"]


def commands(folder, new):
    return {
        "compare": [*COMPARE, "--out", folder],
        "compare --dry-run": [*COMPARE, "--out", new / "√µ", "--dry-run"],
        "datasets": ["datasets", "--root", new / "données"],
        "datasets NAME": ["datasets", "digits"],
        "explain": ["explain", "adam", "--convention", "torch"],
        "explain --against": ["explain", "adam", "--convention", "torch", "--against", "keras"],
        "explain --json": ["explain", "adam", "--json"],
        "explain --source": ["explain", "adam", "--source", "python"],
        "explain --latex": ["explain", "adam", "--latex"],
        "export": ["export", folder, "--to", new / "Läufe ⁻¹.csv"],
        "race": ["race", "--optimizers", "sgd", "--steps", 3, "--no-gif", "--out", new / "vallée β"],
        "race --playground": ["race", "--playground", "--out", new / "Spielplatz ∇"],
        "playground": ["playground", "--out", new / "Netz ∂"],
        "report": ["report", folder],
        "tune --dry-run": ["tune", "--dry-run", "--out", new / "√"],
    }


@pytest.mark.quick_each("command", "encoding")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", commands(None, ol.common.files.Path()))
def test_every_command(command, encoding, folder, tmp_path):
    arguments = list(map(str, commands(folder, tmp_path)[command]))
    result = CliRunner(charset=encoding).invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.decode(encoding) == spelled(result.stdout, encoding)
    if "json" in command:
        assert json.loads(result.stdout) == json.loads(CliRunner().invoke(main, arguments).stdout)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_errors_and_help(encoding, tmp_path):
    for arguments in (["explain", "ådam√"], ["race", "--function", "βeale"], ["compare", "--optimizers", "中"]):
        result = CliRunner(charset=encoding).invoke(main, arguments)
        assert result.exit_code == 2
        result.stderr_bytes.decode(encoding)
        assert len(result.stderr.splitlines()) == 1
    for name in main.commands:  # click prints these itself, and an ASCII output as UTF-8
        assert CliRunner().invoke(main, [name, "--help"]).stdout.isascii()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_processes(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": ""}
    for command in (
        ["-m", "optimlab", "explain", "adam"],
        ["-c", "import optimlab as ol; print(ol.explain('adam'))"],
    ):
        ran = subprocess.run([sys.executable, *command], capture_output=True, env=environment, check=True)
        text = ran.stdout.decode(encoding)
        assert "sqrt(s_hat_t + epsilon)" in text
        assert ran.stderr == b""
