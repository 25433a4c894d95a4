"""The matrix products of training, by each set of kernels that OpenBLAS has for this processor, oneDNN and JAX.

``python benchmarks/products.py [--rounds 5] [--shapes]``

Nine tenths of the time of a large network's training are matrix products, and OpenBLAS does not always choose the
fastest of its kernels: ``OPENBLAS_CORETYPE=Haswell``, say, set before Python starts, makes it take others. Printed are
GFLOP a second of the first layer's two products, x W and x^T dy, in float32 on one pinned core: medians over rounds, in
each of which every choice has a process of its own, for OpenBLAS chooses when it is loaded. Where oneDNN is installed
and the processor has AVX-512, it is measured, too: the compiled engine uses it. So is JAX where that is installed; each
of its products is a call that makes a new array: within one jitted scan they cost less.

``--shapes`` prints what decides, in ``optimlab/backends/onednn.py``, which products are oneDNN's: the time of NumPy's
BLAS over oneDNN's, by layer, of all three products of each; medians of turns, 6 MB being written before each. As
without AVX-512, on a processor that has it: ``ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell``, set before.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import click
import numpy as np
import threadpoolctl
from rich.console import Console
from timing.clock import conditions, optional
from timing.jobs import DTYPE, Effort
from timing.pinning import environment, pinned
from timing.tables import new_table, show_conditions

import optimlab as ol
from optimlab.backends import onednn

KERNELS = ("", "Haswell", "SkylakeX")
"""Values of the variable: not set, and two that NumPy's wheels have kernels for, AVX2's and AVX-512's."""

ONEDNN, JAX, SHAPES = "oneDNN", "JAX", "shapes"
CALLS = 30
BATCHES, INPUTS, OUTPUTS = (32, 64, 256), (784, 3072), (50, 100, 128, 200, 400, 800)


def speeds(array: Callable[[Any], Any], forward: Callable[..., Any], backward: Callable[..., Any]) -> dict[str, float]:
    """GFLOP a second of ``forward(x, W)`` and ``backward(x, dy)``, which return when they have finished."""
    found = {}
    for job in Effort.full(1).jobs:
        n, inputs, outputs = job.batch, *job.sizes[:2]
        generator = np.random.default_rng(0)
        x, w, dy = (array(generator.random(shape, DTYPE)) for shape in ((n, inputs), (inputs, outputs), (n, outputs)))
        for name, product, second in (("x W", forward, w), ("x^T dy", backward, dy)):
            times = []
            for _ in range(CALLS):
                start = time.perf_counter()
                product(x, second)
                times.append(time.perf_counter() - start)
            found[f"{job.name}, {name}"] = 2 * n * inputs * outputs / median(times) / 1e9
    return found


def numpy_speeds(matmul: Callable[..., Any]) -> dict[str, float]:
    """Return the speeds of a function that writes the product of two arrays of NumPy to a third."""
    backend = ol.backends.get("numpy")
    results: dict[tuple[int, int], Any] = {}

    def array(values: Any) -> Any:
        own = backend.empty(values.shape, DTYPE)
        own[...] = values
        return own

    def product(a: Any, b: Any) -> None:
        shape = (a.shape[0], b.shape[1])
        if shape not in results:
            results[shape] = backend.empty(shape, DTYPE)
        matmul(a, b, results[shape])

    return speeds(array, product, lambda x, dy: product(x.T, dy))


def jax_speeds() -> dict[str, float]:
    import jax

    forward, backward = jax.jit(lambda x, w: x @ w), jax.jit(lambda x, dy: x.T @ dy)
    wait = jax.block_until_ready
    return speeds(jax.numpy.asarray, lambda *a: wait(forward(*a)), lambda *a: wait(backward(*a)))


def onednn_product(a: Any, b: Any, out: Any) -> None:
    if not onednn.product(a, b, out):
        raise RuntimeError("oneDNN failed")


def shape_ratios() -> dict[str, list[float]]:
    """By layer, of its three products: how many times as long NumPy's BLAS takes as oneDNN."""
    empty = ol.backends.get("numpy").empty
    others = np.zeros(1_500_000, DTYPE)
    found = {}
    for n, inputs, outputs in itertools.product(BATCHES, INPUTS, OUTPUTS):
        shapes = (n, inputs), (inputs, outputs), (n, outputs)
        (x, w, dy), (dx, dw, y) = ([empty(shape, DTYPE) for shape in shapes] for _ in range(2))
        for array in (x, w, dy):
            array[...] = np.random.default_rng(0).standard_normal(array.shape, DTYPE)
        ratios = []
        for a, b, out in ((x, w, y), (x.T, dy, dw), (dy, w.T, dx)):
            turns = []
            for _ in range(CALLS):
                times = []
                for matmul in (np.matmul, onednn_product):
                    others += 1
                    start = time.perf_counter()
                    matmul(a, b, out)
                    times.append(time.perf_counter() - start)
                turns.append(times[0] / times[1])
            ratios.append(median(turns))
        found[f"{n} x {inputs} x {outputs}"] = ratios
    return found


def show_shapes(console: Console) -> None:
    found = measured(SHAPES)
    if found is None:
        raise click.ClickException(f"{onednn.DISTRIBUTION} is not installed, or cannot be used")
    table = new_table("time of NumPy's BLAS over oneDNN's, float32, one core", "medians of turns")
    for column in ("batch x inputs x outputs", "x W", "x^T dy", "dy W^T"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, ratios in found.items():
        table.add_row(name, *(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)


def work(choice: str) -> dict[str, Any]:
    if choice == SHAPES:
        onednn.LARGE = onednn.WIDE = onednn.AVX512 = 0  # what is looked for
        return shape_ratios()
    if choice == JAX:
        return {"taken": "its own", "speeds": jax_speeds()}
    if choice == ONEDNN:
        return {"taken": "AVX-512", "speeds": numpy_speeds(onednn_product)}
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    taken = next((pool.get("architecture") for pool in pools), None) or "unknown"
    return {"taken": taken, "speeds": numpy_speeds(np.matmul)}


def measured(choice: str) -> dict[str, Any] | None:
    """Return what a process of its own prints; None where it fails, as kernels for another processor do."""
    variables = environment(1) | ({"OPENBLAS_CORETYPE": choice} if choice in KERNELS[1:] else {})
    with pinned(1):
        command = [sys.executable, __file__, "--worker", choice]
        process = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True)
    return None if process.returncode else json.loads(process.stdout.splitlines()[-1])


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--shapes", is_flag=True, help="oneDNN beside NumPy's BLAS, by the shape of the layer.")
@click.option("--worker", hidden=True)
def main(rounds: int, shapes: bool, worker: str | None) -> None:
    if worker is not None:
        print(json.dumps(work(worker)))
        return
    console = Console() if sys.stdout.isatty() else Console(width=140)
    libraries = "NumPy", "BLAS of NumPy and SciPy", "large ones, one thread", "JAX, Optax"
    if shapes:
        show_conditions(console, conditions(), "CPU", "system", *libraries[:2])
        show_shapes(console)
        return
    choices = [*KERNELS, *([ONEDNN] if onednn.library() else []), *([JAX] if optional("jax") else [])]
    taken = [{choice: measured(choice) for choice in choices} for _ in range(rounds)]
    show_conditions(console, conditions(), "CPU", "system", *libraries)
    table = new_table("GFLOP a second on one core, float32", "medians over rounds; in brackets lowest and highest")
    for column in ("OPENBLAS_CORETYPE", "kernels taken"):
        table.add_column(column, no_wrap=True)
    first = next(result for result in taken[0].values() if result)
    for column in first["speeds"]:
        table.add_column(column, justify="right", no_wrap=True)
    for choice in choices:
        results = [r for r in (each[choice] for each in taken) if r]
        if not results:
            table.add_row(choice, "did not run")
            continue
        columns = [[r["speeds"][name] for r in results] for name in first["speeds"]]
        cells = [f"{median(values):.0f} ({min(values):.0f}-{max(values):.0f})" for values in columns]
        table.add_row(choice or "not set", results[0]["taken"], *cells)
    console.print(table)


if __name__ == "__main__":
    main()
