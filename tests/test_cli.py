"""The command line: what it prints, what it leaves, and how it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from optimlab.cli import main

FAST = ["--optimizers", "sgd,adam", "--epochs", "2", "--replicates", "3"]


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    return folder, run("compare", *FAST, "--out", folder)


def test_compare_prints_a_table_that_fits_80_columns(finished):
    _, result = finished
    assert result.exit_code == 0, result.output
    assert "sgd" in result.stdout
    assert "±" in result.stdout
    rows = [line for line in result.stdout.splitlines() if "±" in line]
    assert max(map(len, rows)) <= 80
    assert result.stderr == ""


def test_compare_leaves_runs_summary_and_figures(finished):
    folder, _ = finished
    assert {p.name for p in folder.iterdir()} == {
        ".lock",
        "runs.jsonl",
        "report.html",
        "study.json",
        "summary.json",
        *(f"{name}.{kind}" for name in ("loss", "accuracy", "sensitivity") for kind in ("png", "svg")),
    }
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    summary = json.loads((folder / "summary.json").read_text())
    assert {row["optimizer"] for row in summary["rows"]} == {"sgd", "adam"}


def test_json_is_json_and_equals_the_summary(finished, without_figures):
    folder, _ = finished
    result = run("compare", *FAST, "--out", folder, "--json")
    assert json.loads(result.stdout) == json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizers", "sgd,adamm"], "unknown optimizer 'adamm'; did you mean 'adam',"),
        (["--optimizers", ""], "name at least one optimizer"),
        (["--optimizers", "sgd,sgd"], "two optimizers have the label 'sgd'"),
        (["--epochs", "0"], "--epochs must be a whole number of at least 1, got 0"),
        (["--batch-size", "0"], "--batch-size must be a whole number of at least 1, got 0"),
        (["--batch-size", "5000"], "batch_size 5000 is larger than the 1077 rows"),
        (["--hidden", "64,many"], "--hidden takes whole numbers separated by commas, got '64,many'"),
        (["--hidden", "64,0"], "--hidden: each hidden layer's size must be a whole number of at least 1, got 0"),
        (["--hidden", "2000000"], "--hidden: a hidden layer may have at most 1,000,000 units"),
        (["--label", "two\nlines"], "--label must be text on one line, got 'two\\nlines'"),
        (["--label", " "], "--label must be text on one line"),
        (["--replicates", "1"], "--replicates must be at least 2"),
        (["--replicates", "100000"], "--replicates must be at least 2, which an interval needs, and at most 10,000"),
        (["--seed", "-1"], "--seed must be a whole number of at least 0"),
        (["--rates", "0.1,1"], "at least three positive learning rates"),
        (["--rates", "0.1,-1,1"], "positive learning rates"),
        (["--rates", "0.1,fast"], "expected numbers separated by commas"),
        (["--epochs", "many"], "'many' is not a valid integer"),
        (["--color", "red"], "No such option"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, message, tmp_path):
    result = run("compare", "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        result = run("compare", *FAST, "--out", out)
        assert result.exit_code == 2
        assert result.stderr.startswith("optimlab: cannot write to the output folder")
    assert (tmp_path / "file").read_text() == "kept"


WITHOUT_FIGURES = """
import importlib
importlib.import_module("optimlab.cli.compare").save_figure = lambda figure, path: []
importlib.import_module("optimlab.cli").main()
"""


def in_a_shell(command, folder, module="optimlab"):
    program = f"{sys.executable} -m {module}"
    text = f"set -o pipefail; {command.replace('optimlab', program, 1)}"
    return subprocess.run(["bash", "-c", text], cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", " --json"])
def test_a_reader_that_goes_away_costs_no_file(finished, tmp_path, options):
    folder, _ = finished
    shutil.copytree(folder, tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    (tmp_path / "quick.py").write_text(WITHOUT_FIGURES)
    ran = in_a_shell(f"optimlab compare {' '.join(FAST)} --out out{options} | true", tmp_path, "quick")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's always-full device")  # noqa: PTH110
def test_an_output_that_takes_nothing_is_one_clear_line(tmp_path):
    ran = in_a_shell("optimlab explain adam > /dev/full", tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == "optimlab: cannot write the output: No space left on device\n"


def test_help_has_an_example():
    assert "Examples:" in run("compare", "--help").stdout
    assert "compare" in run("--help").stdout
    assert run("--version").stdout.startswith("optimlab, version ")


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    """A real process and a real SIGINT, once the first run is finished."""
    command = [sys.executable, "-m", "optimlab", "compare", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    path, deadline = tmp_path / "runs.jsonl", time.monotonic() + 60
    while not (path.exists() and path.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to continue" in error
    assert "Traceback" not in error
    assert all(json.loads(line)["key"] for line in path.read_text().splitlines())


@pytest.mark.slow
def test_figures_show_every_optimizer_and_survive_divergence(finished, tmp_path):
    """A study in which one optimizer never trains still gives figures, without a warning."""
    from optimlab import plotting
    from optimlab.study import Problem, Study, compare

    study = Study(
        problem=Problem(hidden=(8,), epochs=2),
        optimizers=("sgd", "momentum", "adam", "nadam"),
        rates=(1e-3, 1e-1, 1e29, 1e30),
        replicates=2,
    )
    result = compare(study, tmp_path)
    assert any(row.diverged_share for row in result.rows)
    for name in ("loss", "accuracy", "sensitivity"):
        figure = getattr(plotting, f"{name}_figure")(result)
        figure.savefig(tmp_path / f"{name}.png")
        texts = " ".join([t.get_text() for a in figure.axes for t in a.texts] + [a.get_title() for a in figure.axes])
        assert all(optimizer in texts for optimizer in study.optimizers)
        for axes in figure.axes:
            for line in axes.lines:
                assert np.isfinite(np.asarray(line.get_ydata(), float)).all()
