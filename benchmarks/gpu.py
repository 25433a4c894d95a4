"""optimlab on a GPU: everything that a first run must tell, in less than eight minutes and without a network.

    python benchmarks/gpu.py                        # all parts, one after the other
    python benchmarks/gpu.py --parts smoke,nodes    # some of them
    python benchmarks/gpu.py --out FOLDER           # where to save the results; by default gpu-results

machine     the card, its driver, the versions
smoke       an upload, subnormal numbers, short runs against NumPy; the rest is left out if this is wrong
tests       pytest -m gpu: every rule bit for bit, whole networks, graphs against the loop
nodes       how many nodes the graph of a step has
kernels     what each node costs; the rule at several sizes; products one by one and batched
sweeps      a comparison on the digits, by the command line, on the GPU and on one core
steps       a training step with Adam: optimlab, PyTorch eager, compiled and as a graph, JAX's scan
crossover   the width of a network from which the GPU is faster than the CPU
memory      what runs leave behind; NVIDIA's check of all accesses

Each part is a process of its own with a time limit, so that nothing that fails there ends the others. Each line is
printed and saved as soon as it is known: log.txt, and results.jsonl with the numbers.

Without a GPU each part says so in one line. Then it checks what can be checked: the kernels' texts, compiled for the
CPU and run, compiled by NVIDIA's compiler, and run from its assembly; and the backend's own code on a stand-in for the
device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from timing.gpu_parts import PARTS, ROOT

from optimlab.backends import cupy as engine
from optimlab.common.errors import one_line

BUDGET = 465
"""Seconds for all parts."""

WITHOUT_GPU = {
    "every kernel, compiled for the CPU, equals NumPy bit for bit": ["-k", "cuda_text or philox_gives"],
    "NVIDIA's compiler takes every kernel (sm_80, sm_90, sm_100)": ["-k", "nvidias_compiler"],
    "fused kernels, run from NVIDIA's assembly, equal NumPy": ["-k", "nvidias_assembly or any_list or one_kernel"],
    "layers, losses, optimizers and fit on the stand-in equal NumPy": ["-k", "numpys_arithmetic or every_optimizer"],
    "the recorded step, its nodes and its products, on the stand-in": ["-k", "graph or row_major or nodes"],
    "the stand-in and CuPy refuse the same": ["-k", "refuse_the_same"],
}
TESTS = ["tests/test_cupy.py", "tests/test_kernels.py", "tests/test_cuda_program.py"]


class Journal:
    """Lines that are printed and saved as they come; they begin with the seconds since the start."""

    def __init__(self, folder: Path, part: str, start: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.part, self.start = folder, part, start

    def __call__(self, line: str, **numbers: Any) -> None:
        text = f"[{time.time() - self.start:6.1f} s] {self.part}: {line}"
        print(text, flush=True)
        with (self.folder / "log.txt").open("a") as log:
            log.write(f"{text}\n")
        if numbers:
            with (self.folder / "results.jsonl").open("a") as results:
                results.write(json.dumps({"part": self.part, **numbers}) + "\n")


def check(arguments: list[str], say: Journal) -> bool:
    """Run tests of the repository; whether they pass. What they print is shown."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines() if result.returncode else result.stdout.splitlines()[-1:]
    for line in lines or result.stderr.splitlines():
        say(line)
    return result.returncode == 0


def without_gpu(names: list[str], lack: str, folder: Path, start: float) -> bool:
    """Say that no part can be measured, and check what can be checked; whether that is right."""
    for name in names:
        Journal(folder, name, start)(f"left out, the backend 'cupy' {lack}")
    right = True
    for name, chosen in WITHOUT_GPU.items():
        right &= check([*TESTS, *chosen], Journal(folder, name, start))
    return right


def run(names: list[str], folder: Path, start: float) -> bool:
    """Run each part in a process of its own; whether all are right."""
    outcomes = {}
    environment = {
        **os.environ,
        "CUPY_CACHE_DIR": str(folder / "cupy"),
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    for name in names:
        say, left = Journal(folder, name, start), start + BUDGET - time.time()
        if left < 10:
            outcomes[name] = "no time was left"
            continue
        command = [sys.executable, __file__, "--inside", name, "--out", str(folder), "--start", str(start)]
        try:
            code = subprocess.run(command, env=environment, check=False, timeout=min(left, PARTS[name][1])).returncode
            outcomes[name] = {0: "right", 1: "WRONG", 2: "ended by an error"}.get(code, f"ended with code {code}")
        except subprocess.TimeoutExpired:
            outcomes[name] = f"ended after {min(left, PARTS[name][1]):.0f} s, its time limit"
        say(outcomes[name], outcome=outcomes[name])
        if name == "smoke" and outcomes[name] != "right":
            say("the other parts are left out")
            break
    Journal(folder, "summary", start)("; ".join(f"{name} {outcome}" for name, outcome in outcomes.items()))
    return all(outcome == "right" for outcome in outcomes.values())


def inside(name: str, folder: Path, start: float) -> int:
    """Run one part in this process; 0 if all is right, 1 if not, 2 after an error."""
    say = Journal(folder, name, start)
    try:
        return 0 if PARTS[name][0](say) else 1
    except Exception as error:
        say(f"{type(error).__name__}: {one_line(error)}")
        return 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="names, separated by commas")
    parser.add_argument("--out", default="gpu-results", type=Path, help="folder for log.txt and results.jsonl")
    parser.add_argument("--inside", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--start", default=time.time(), type=float, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    names = [name for name in given.parts.split(",") if name]
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    if given.inside:
        return inside(given.inside, given.out, given.start)
    lack = engine.missing()
    right = without_gpu(names, lack, given.out, given.start) if lack else run(names, given.out, given.start)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
