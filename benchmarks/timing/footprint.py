"""How long it takes to begin, and how much memory training needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

import optimlab as ol

from .clock import optional, process_seconds, seconds
from .epochs import optimlab_epoch
from .jax_training import jax_epoch
from .jobs import DTYPE, Job, engines
from .torch_training import torch_epoch

ITEM = np.dtype(DTYPE).itemsize


def begin(job: Job, rounds: int, others: bool) -> list[dict[str, Any]]:
    """For each library: seconds of its import and of the first step of training (what is compiled then, included), each
    the median of fresh processes. The compiled engine is run twice: with nothing kept from before, and with what the
    first left."""
    libraries: dict[str, tuple[str, str]] = {f"optimlab, {engine}": ("optimlab", engine) for engine in engines()}
    if others:
        libraries |= {"PyTorch fused": ("torch", "torch")} if optional("torch") else {}
        libraries |= {"JAX": ("jax", "jax")} if optional("jax") else {}
    found: dict[str, tuple[list[float], list[float]]] = {}
    nothing = min(run_python("pass") for _ in range(rounds + 1))
    for _ in range(rounds):
        for name, (modules, which) in libraries.items():
            with tempfile.TemporaryDirectory() as folder:
                again = [name] if which not in engines()[1:] else [f"{name}, first time", f"{name}, kept"]
                for label in again:
                    imports, first = found.setdefault(label, ([], []))
                    imports.append(run_python(f"import {modules}") - nothing)
                    first.append(first_step_in_a_process(job, which, folder))
    return [{"name": k, "import": float(np.median(a)), "first": float(np.median(b))} for k, (a, b) in found.items()]


def run_python(code: str) -> float:
    return process_seconds([sys.executable, "-c", code])


def first_step_in_a_process(job: Job, which: str, cache: str) -> float:
    command = [sys.executable, str(Path(sys.argv[0]).resolve()), "--first", which, "--sizes", json.dumps(job.sizes)]
    command += ["--cpu-time", "--threads", "1"] if time.perf_counter is time.process_time else []
    environment = os.environ | {"XDG_CACHE_HOME": cache}
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(process.stdout.splitlines()[-1])


def first_step(sizes: tuple[int, ...], which: str) -> float:
    """Seconds of one step, from the making of the network on; the library is imported already."""
    job = Job(sizes, batch=32, rows=32)
    x, y = job.data()
    if which == "torch":
        torch = optional("torch")
        return seconds(lambda: torch_epoch(torch, job, x, y, {"fused": True})(0))
    if which == "jax":
        jax = optional("jax")
        return seconds(lambda: jax_epoch(jax, job, x, y)(0))
    return seconds(lambda: optimlab_epoch(job, x, y, which)(0))


def peak_memory(job: Job) -> list[dict[str, Any]]:
    """Most bytes of arrays at once while Adam trains, data aside, for each engine; and what the textbook's formulas
    fill: weights, gradients, two states, and the activations."""
    x, y = job.data()
    data = ol.Dataset(x_train=x, y_train=y)
    result = []
    for engine in engines():
        optimlab_epoch(Job(job.sizes, 32, 64), x[:64], y[:64], engine)(0)  # whatever is imported and compiled once
        tracemalloc.start()
        network = ol.MLP(job.sizes, initializer="zeros", dtype=DTYPE, backend=engine)
        optimizer = ol.Adam(network.parameters)
        tracemalloc.reset_peak()
        ol.fit(network, optimizer, data, epochs=1, batch_size=job.batch, progress=False)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        result.append({"name": f"optimlab, {engine}", "peak": peak, "textbook": textbook_memory(job, states=2)})
    return result


def textbook_memory(job: Job, states: int) -> int:
    """Bytes: parameters x (2 + states), the batch, and each layer's outputs and the gradients by its inputs: of a
    hidden layer z, f(z) and the gradients by both; the compiled engine has one array for either two."""
    hidden = sum(job.sizes[1:-1])
    return ITEM * (job.parameters * (2 + states) + job.batch * (job.sizes[0] + 4 * hidden + 2 * job.sizes[-1]))
