"""optimlab on a GPU: first whether it computes what NumPy does, then how long a training step takes.

    python benchmarks/gpu.py                    # with a GPU: checks, then the tables, a few minutes
    python benchmarks/gpu.py --json gpu.json    # the same numbers for a machine, too

Without a GPU it says so, and checks what can be checked: the kernels' texts, compiled for the CPU and run, and compiled
by NVIDIA's compiler for three generations of GPUs; and the backend's own code on a stand-in for the device.

With one, the checks are ``pytest -m gpu``: every rule bit for bit, whole networks, a CUDA graph against the loop. Then:

1. **A step of training with Adam**, microseconds, for both networks at batches of 32, 128 and 512. Every competitor
   gathers its batch on the device, goes forward and backward, updates, and keeps the losses there; optimlab counts the
   right answers, too. One reading an epoch. All take turns, and the medians over the rounds are printed.
2. **Where the GPU begins to pay**: networks 784-w-10 of growing width w at a batch of 128, on the fastest CPU backend
   and on the GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from timing.clock import Turn, conditions, interleave, optional, seconds
from timing.jobs import DTYPE, Job

import optimlab as ol
from optimlab.backends import cupy as engine
from optimlab.common.progress import progress_bar

ROOT = Path(__file__).parents[1]
NETWORKS = ((3072, 100, 100, 10), (784, 800, 10))
BATCHES = (32, 128, 512)
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
EAGER, GRAPH = "optimlab, cupy", "optimlab, CUDA graph"


# ---- checks ----


def check(arguments: list[str], console: Console) -> bool:
    """Run tests of the repository; whether they pass. What they print is shown."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines() if result.returncode else result.stdout.splitlines()[-1:]
    console.print("\n".join(lines) or result.stderr, markup=False, highlight=False)
    return result.returncode == 0


WITHOUT_GPU = {
    "every kernel, compiled for the CPU, equals NumPy bit for bit": ["-k", "cuda_text or philox_gives"],
    "NVIDIA's compiler takes every kernel (sm_80, sm_90, sm_100)": ["-k", "nvidias_compiler"],
    "layers, losses, optimizers and fit on the stand-in equal NumPy": ["-k", "numpys_arithmetic or every_optimizer"],
    "the recorded step, and its matrix products, on the stand-in": ["-k", "graph or row_major"],
    "the stand-in and CuPy refuse the same": ["-k", "refuse_the_same"],
}


# ---- a step ----


def optimlab(job: Job, backend: str, graph: bool = False) -> Turn:
    """``ol.fit`` by its own clock: the second epoch, after one that compiles, and records."""
    x, y = job.data()
    data = ol.Dataset(x, y)
    net = ol.MLP(job.sizes, seed=0, dtype=DTYPE, backend=backend)
    opt = ol.Adam(net.parameters)

    def turn(round_: int) -> float:
        history = ol.fit(net, opt, data, epochs=2, batch_size=job.batch, graph=graph, progress=False)
        return history.seconds[-1] / job.steps

    return turn


def pytorch(job: Job, how: str, device: str = "cuda") -> Turn:
    """The same work by PyTorch: ``how`` is "eager", "compiled" or "graph"; Adam is fused, TF32 off, as by default."""
    import torch

    x, y = (torch.from_numpy(values).to(device) for values in job.data())
    torch.manual_seed(0)
    layers: list[Any] = []
    for inputs, outputs in zip(job.sizes, job.sizes[1:], strict=False):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True, capturable=how == "graph")
    criterion = torch.nn.CrossEntropyLoss()
    chosen, total = torch.zeros(job.batch, dtype=torch.long, device=device), torch.zeros((), device=device)

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(x.index_select(0, chosen)), y.index_select(0, chosen))
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    step: Callable[[], Any] = torch.compile(work) if how == "compiled" else work
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    if how == "graph":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            work()
        step = recorded.replay

    def epoch() -> None:
        order = torch.randperm(job.rows, device=device)
        for start in range(0, job.rows - job.batch + 1, job.batch):
            chosen.copy_(order[start : start + job.batch])
            step()
        float(total)
        wait()

    epoch()
    return lambda round_: seconds(epoch) / (job.rows // job.batch)


def competitors(job: Job) -> dict[str, Turn | None]:
    torch = optional("torch")
    able = torch is not None and torch.cuda.is_available()
    turns: dict[str, Turn | None] = {EAGER: optimlab(job, "cupy"), GRAPH: optimlab(job, "cupy", graph=True)}
    for how in ("eager", "compiled", "graph"):
        turns[f"PyTorch, {how}"] = pytorch(job, how) if able else None
    return turns


def measured(turns: dict[str, Turn | None], rounds: int) -> dict[str, float | None]:
    """Median microseconds a step."""
    times = interleave(turns, rounds, 0.0, lambda name: None)
    return {name: float(np.median(values)) * 1e6 if values else None for name, values in times.items()}


def steps_table(found: list[dict[str, Any]]) -> Table:
    table = Table(title="a training step with Adam, microseconds", title_justify="left")
    names = list(found[0]["microseconds"])
    for name in ("network", "batch", *names):
        table.add_column(name, justify="left" if name == "network" else "right")
    for row in found:
        values = [row["microseconds"][name] for name in names]
        table.add_row(row["network"], str(row["batch"]), *("-" if v is None else f"{v:.1f}" for v in values))
    return table


def crossover(rounds: int, widths: tuple[int, ...], advance: Callable[[str], None]) -> list[dict[str, Any]]:
    cpu = [name for name in ol.backends.names() if name != "cupy"]
    found = []
    for width in widths:
        job = Job((784, width, 10), batch=128, rows=128 * 40)
        turns: dict[str, Turn | None] = {name: optimlab(job, name) for name in cpu}
        turns |= {EAGER: optimlab(job, "cupy"), GRAPH: optimlab(job, "cupy", graph=True)}
        found.append({"width": width, "parameters": job.parameters, "microseconds": measured(turns, rounds)})
        advance("")
    return found


def crossing(found: list[dict[str, Any]], name: str) -> str:
    """The first width from which ``name`` is faster than every CPU backend, as a sentence."""
    faster = [
        all(v > row["microseconds"][name] for n, v in row["microseconds"].items() if n not in (EAGER, GRAPH))
        for row in found
    ]
    first = next((k for k in range(len(found)) if all(faster[k:])), None)
    if first is None:
        return f"{name}: at no width measured is the GPU faster than the CPU"
    row = found[first]
    return f"{name}: the GPU is faster from width {row['width']} on ({row['parameters']:,} parameters)"


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1))
@click.option("--steps", default=200, show_default=True, type=click.IntRange(10), help="Steps of each timed epoch.")
@click.option("--json", "path", type=click.Path(dir_okay=False), help="Write all numbers to this file as well.")
def main(rounds: int, steps: int, path: str | None) -> None:
    console = Console()
    lack = engine.missing()
    found: dict[str, Any] = {"gpu": None, "checks": {}, "steps": [], "crossover": []}
    if lack:
        console.print(f"No GPU can be measured: the backend 'cupy' {lack}. Checked without one:\n", markup=False)
        for name, chosen in WITHOUT_GPU.items():
            console.print(name, end=": ", highlight=False)
            found["checks"][name] = check(["tests/test_cupy.py", "tests/test_kernels.py", *chosen], console)
    else:
        import cupy

        found["gpu"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        console.print(f"{found['gpu']}, CuPy {cupy.__version__}\n", highlight=False)
        found["checks"]["pytest -m gpu"] = check(["-m", "gpu", "tests/test_gpu.py"], console)
        with progress_bar("steps", len(NETWORKS) * len(BATCHES) + len(WIDTHS)) as advance:
            for sizes in NETWORKS:
                for batch in BATCHES:
                    job = Job(sizes, batch, batch * steps)
                    times = measured(competitors(job), rounds)
                    found["steps"].append({"network": job.name, "batch": batch, "microseconds": times})
                    advance("")
            found["crossover"] = crossover(rounds, WIDTHS, advance)
        console.print(steps_table(found["steps"]))
        for name in (EAGER, GRAPH):
            console.print(crossing(found["crossover"], name), highlight=False)
    if path:
        Path(path).write_text(json.dumps({**found, "conditions": conditions()}, indent=1))
    sys.exit(0 if all(found["checks"].values()) else 1)


if __name__ == "__main__":
    main()
