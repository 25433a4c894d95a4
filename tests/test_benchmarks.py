"""The benchmark scripts run; what they measure is never asserted."""

import importlib.util
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_speed_runs_and_names_every_competitor():
    command = [sys.executable, str(FOLDER / "speed.py"), "--quick", "--threads", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    names = ["optimlab, numpy", "PyTorch fused", "PyTorch default", "scikit-learn", "floor: matrix products", "adam"]
    names += ["memory of training", "how long it takes to begin"]
    names += ["optimlab, numba", "optimlab, numba, kept"] * (find_spec("numba") is not None)
    for name in names:
        assert name in result.stdout


def test_epsilon_runs(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("epsilon", FOLDER / "epsilon.py")
    epsilon = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(epsilon)
    monkeypatch.setattr(epsilon, "EPOCHS", 2)
    monkeypatch.setattr(epsilon, "SEEDS", 1)
    monkeypatch.setattr(epsilon, "EPSILONS", (1e-7, 1e-14))
    epsilon.main()
    printed = capsys.readouterr().out
    assert all(rule in printed for rule in epsilon.RULES)


def test_playground_prints_the_time_of_a_frame(browser):  # where there is one: the script finds it by itself
    command = [sys.executable, str(FOLDER / "playground.py"), "--seconds", "0.2"]
    own = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 5


def test_replicas_prints_runs_a_second():
    command = [sys.executable, str(FOLDER / "replicas.py"), "--rounds", "1", "--optimizers", "sgd", "--epochs", "1"]
    own = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    assert result.returncode == 0, result.stderr
    assert "the whole sweep: x" in result.stdout
