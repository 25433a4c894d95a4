"""The benchmark scripts run; what they measure is never asserted."""

import importlib.util
import itertools
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from optimlab import backends
from optimlab.backends.threads import one_thread

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


def test_gpu_without_one_says_so_and_checks_what_it_can(monkeypatch):
    gpu = script("gpu", monkeypatch)
    monkeypatch.setattr(gpu.engine, "missing", lambda: "needs an NVIDIA GPU")
    monkeypatch.setattr(gpu, "WITHOUT_GPU", {"the stand-in": ["-k", "as_strict_as_cupy"]})
    result = CliRunner().invoke(gpu.main)
    assert result.exit_code == 0, result.output
    assert "No GPU can be measured: the backend 'cupy' needs an NVIDIA GPU." in result.output
    assert "the stand-in: 1 passed" in result.output
    monkeypatch.setattr(gpu, "WITHOUT_GPU", {"nothing at all": ["-k", "no_test_is_called_so"]})
    assert CliRunner().invoke(gpu.main).exit_code == 1


def test_gpu_times_competitors_as_far_as_a_cpu_can(monkeypatch):
    gpu = script("gpu", monkeypatch)
    job = gpu.Job((8, 4, 3), batch=5, rows=20)
    turns = {
        gpu.EAGER: gpu.optimlab(job, "numpy"),
        "PyTorch, eager": gpu.pytorch(job, "eager", device="cpu"),
        "x": None,
    }
    times = gpu.measured(turns, rounds=2)
    assert times["x"] is None
    assert all(0 < times[name] < 1e6 for name in (gpu.EAGER, "PyTorch, eager"))
    assert gpu.steps_table([{"network": job.name, "batch": 5, "microseconds": times}]).row_count == 1
    found = [
        {"width": w, "parameters": 10 * w, "microseconds": {"numpy": c, gpu.EAGER: 90.0, gpu.GRAPH: 999.0}}
        for w, c in [(1, 99.0), (2, 50.0), (4, 100.0), (8, 500.0)]
    ]
    assert gpu.crossing(found, gpu.EAGER).endswith("faster from width 4 on (40 parameters)")
    assert "at no width" in gpu.crossing(found, gpu.GRAPH)


def script(name, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_anatomy_times_every_product_and_all_between(monkeypatch):
    anatomy = script("anatomy", monkeypatch)
    quick = anatomy.Effort.quick(1)
    names = anatomy.engines()
    times = {f"{job.name} {name}": anatomy.microseconds(job, name) for job in quick.jobs for name in names}
    assert not any("matmul" in vars(backends.get(name)) for name in names)
    for job in quick.jobs:
        parts = anatomy.anatomy(job)
        forward = 2 * job.batch * sum(a * b for a, b in itertools.pairwise(job.sizes))
        assert sum(part.flop for part in parts) == 3 * forward - 2 * job.batch * job.sizes[0] * job.sizes[1]
        assert all(len(times[f"{job.name} {name}"]) == len(parts) for name in names)
        assert all(value > 0 for name in names for value in times[f"{job.name} {name}"])
    monkeypatch.setattr(anatomy.Effort, "full", anatomy.Effort.quick)
    monkeypatch.setattr(anatomy, "measured", lambda: times)
    result = CliRunner().invoke(anatomy.main, ["--rounds", "2"])
    assert result.exit_code == 0, result.output
    assert result.output.count("layer 1: x^T dy") == 2
    assert f"{sum(times[f'784-800-10 {names[0]}']):.1f}" in result.output


def test_products_holds_onednn_against_numpy_by_shape(monkeypatch):
    products = script("products", monkeypatch)
    if not products.onednn.library():
        pytest.skip("oneDNN is not installed, or not for this processor")
    for name, values in {"BATCHES": (32,), "INPUTS": (64,), "OUTPUTS": (50, 128)}.items():
        monkeypatch.setattr(products, name, values)
    for name in ("LARGE", "WIDE"):
        monkeypatch.setattr(products.onednn, name, 0)
    with one_thread():
        found = products.shape_ratios()
    assert all(len(ratios) == 3 and min(ratios) > 0 for ratios in found.values())
    monkeypatch.setattr(products, "measured", lambda choice: found)
    result = CliRunner().invoke(products.main, ["--shapes"])
    assert result.exit_code == 0, result.output
    assert result.output.count("32 x 64 x") == 2


def test_products_names_the_kernels_taken():
    command = [sys.executable, str(FOLDER / "products.py"), "--rounds", "1"]
    own = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    assert result.returncode == 0, result.stderr
    assert "not set" in result.stdout
    assert result.stdout.count("784-800-10, x") == 2
