"""The script for a first run on a GPU, as far as it goes without one."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from test_cupy import blas, folder, machine, require_cupy  # noqa: F401  # fixtures

import optimlab as ol

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "gpu", raising=False)
    import gpu

    return gpu


@pytest.fixture
def parts(gpu):
    from timing import gpu_parts

    return gpu_parts


class Said:
    def __init__(self):
        self.lines, self.numbers = [], []

    def __call__(self, line, **numbers):
        self.lines.append(line)
        self.numbers.append(numbers)


@pytest.mark.slow
def test_without_a_gpu_each_part_says_so_and_what_can_be_checked_is_checked(gpu, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu.engine, "missing", lambda: "needs an NVIDIA GPU")
    monkeypatch.setattr(gpu, "WITHOUT_GPU", {"the stand-in": ["-k", "mixes_with_nothing_of_the_host"]})
    assert gpu.main(["--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "log.txt").read_text()
    lines = printed.splitlines()
    for name, line in zip(gpu.PARTS, lines, strict=False):
        assert line.endswith(f"{name}: left out, the backend 'cupy' needs an NVIDIA GPU")
    assert "the stand-in: 1 passed" in lines[-1]
    monkeypatch.setattr(gpu, "WITHOUT_GPU", {"nothing at all": ["-k", "no_test_is_called_so"]})
    assert gpu.main(["--out", str(tmp_path)]) == 1


@pytest.mark.slow
def test_a_part_that_fails_ends_no_other(gpu, tmp_path, capsys):
    require_cupy()
    assert not gpu.run(["machine", "kernels"], tmp_path, time.time())
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].endswith("summary: machine ended by an error; kernels ended by an error")
    said = (tmp_path / "log.txt").read_text()
    assert said.count("CUDARuntimeError: cudaErrorInsufficientDriver") + said.count("InputError: the backend") == 2
    outcomes = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [found["outcome"] for found in outcomes] == ["ended by an error"] * 2


def test_what_takes_too_long_is_ended_and_nothing_follows_a_wrong_beginning(gpu, monkeypatch, tmp_path):
    monkeypatch.setitem(gpu.PARTS, "nodes", (gpu.PARTS["nodes"][0], 0.01))
    assert not gpu.run(["nodes"], tmp_path, time.time())
    assert "nodes: ended after 0 s, its time limit" in (tmp_path / "log.txt").read_text()
    monkeypatch.setitem(gpu.PARTS, "smoke", (gpu.PARTS["smoke"][0], 0.01))
    assert not gpu.run(["smoke", "tests"], tmp_path, time.time())
    assert "smoke: the other parts are left out" in (tmp_path / "log.txt").read_text()
    assert not gpu.run(["tests"], tmp_path, time.time() - gpu.BUDGET)
    assert (tmp_path / "log.txt").read_text().endswith("summary: tests no time was left\n")


def test_an_unknown_part_is_named(gpu, capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--parts", "smoke,smock"])
    assert "there is no part 'smock'; the parts are machine, smoke" in capsys.readouterr().err


@pytest.mark.slow
def test_a_competitor_that_fails_is_left_out_with_one_line(gpu, monkeypatch):
    from timing import gpu_competitors as peers
    from timing.jobs import Job

    job, say = Job((8, 4, 3), batch=5, rows=20), Said()
    turns = iter([1.0, 1.0])
    makers = {
        "numpy": lambda: peers.optimlab(job, "numpy"),
        "PyTorch": lambda: peers.pytorch(job, "eager", device="cpu"),
        "absent": lambda: __import__("no_such_library"),
        "late": lambda: lambda round_: next(turns),
    }
    times = peers.fair(makers, 3, say)
    assert set(times) == {"numpy"} | ({"PyTorch"} if "torch" in sys.modules else set())
    assert all(0 < value < 1e6 for value in times.values())
    assert "  absent: left out, ModuleNotFoundError: No module named 'no_such_library'" in say.lines
    assert "  late: left out, StopIteration: " in say.lines


def test_the_width_from_which_a_gpu_pays_is_told(parts):
    found = [
        {"width": w, "parameters": 10 * w, "microseconds": {"numpy": c, parts.EAGER: 90.0, parts.GRAPH: 999.0}}
        for w, c in [(1, 99.0), (2, 50.0), (4, 100.0), (8, 500.0)]
    ]
    assert parts.crossing(found, parts.EAGER).endswith("faster from width 4 on (40 parameters)")
    assert "at no width" in parts.crossing(found, parts.GRAPH)
    assert "at no width" in parts.crossing(found, "absent")


@pytest.mark.slow
def test_smoke_nodes_and_kernels_on_the_stand_in(parts, machine, blas, monkeypatch):  # noqa: F811
    data = ol.datasets.load("digits")
    small = ol.Dataset(data.x_train[:200], data.y_train[:200], data.x_val[:50], data.y_val[:50])
    monkeypatch.setattr(ol.datasets, "load", lambda name: small)
    monkeypatch.setattr(parts, "NETWORKS", ((6, 8, 3),) * 2)
    monkeypatch.setattr(parts, "SIZES", (10,))
    monkeypatch.setattr(parts, "PRODUCTS", ((1, 2, 3, 4), (2, 3, 4, 5)))
    say = Said()
    assert parts.smoke(say)
    assert sum("as on NumPy" in line for line in say.lines) == 7
    assert parts.nodes(say)
    assert [found["queued"] for found in say.numbers if "queued" in found] == [16, 16, 19]
    assert parts.kernels(say, times=2)
    assert any(line.endswith("us  take") for line in say.lines)
    assert any(line.startswith("2 products 3 x 4 x 5") for line in say.lines)


@pytest.mark.slow
def test_a_smoke_test_sees_numbers_that_are_flushed(parts, machine, blas, monkeypatch):  # noqa: F811
    bind = ol.backends.get("cupy").bind

    def flushing(graph, arrays):
        arrays[0]["w"] *= 0
        return bind(graph, arrays)

    data = ol.datasets.load("digits")
    small = ol.Dataset(data.x_train[:200], data.y_train[:200])
    monkeypatch.setattr(ol.datasets, "load", lambda name: small)
    monkeypatch.setattr(type(ol.backends.get("cupy")), "bind", lambda self, graph, arrays: flushing(graph, arrays))
    say = Said()
    assert not parts.smoke(say)
    assert "subnormal numbers of float32: WRONG" in say.lines
