"""Where the time of a training step goes: into each matrix product, and into all that lies between two of them.

``python benchmarks/anatomy.py [--rounds 5]``

Both networks of ``speed.py``, with Adam, on plain NumPy, on one pinned core; the compiled backend takes a whole epoch
in one call, beside which ``speed.py --small`` puts the products alone. Every product is timed where it is
called, within training itself, so that the caches are as training leaves them: after a large product nothing of Python
is there, and what comes next takes longer than in a loop of its own. Printed are microseconds: medians over the steps
with a full batch, then over rounds, each of which is a process of its own.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from statistics import median
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table
from timing.clock import conditions
from timing.epochs import optimlab_epoch
from timing.jobs import Effort, Job
from timing.pinning import environment, pinned
from timing.tables import new_table, show_conditions

import optimlab as ol

EPOCHS = 3
ENGINES = ("numpy",)


class Part(NamedTuple):
    """A product, or what comes before one; ``flop`` is 0 there."""

    name: str
    flop: int


def anatomy(job: Job) -> list[Part]:
    """A step in its order, beginning behind the last product of the step before."""
    layers = list(enumerate(itertools.pairwise(job.sizes), 1))
    found = []
    for k, (inputs, outputs) in layers:
        before = "bias, activation" if k > 1 else "update, next batch, start"
        found += [Part(before, 0), Part(f"layer {k}: x W", 2 * job.batch * inputs * outputs)]
    for k, (inputs, outputs) in reversed(layers):
        flop = 2 * job.batch * inputs * outputs
        last = "bias, loss, right answers, gradient of the bias"
        found += [
            Part("activation, gradient of the bias" if k < len(layers) else last, 0),
            Part(f"layer {k}: x^T dy", flop),
        ]
        if k > 1:
            found += [Part("nothing but calls", 0), Part(f"layer {k}: dy W^T", flop)]
    return found


def microseconds(job: Job, engine: str) -> list[float]:
    """Of each part, the median over steps."""
    backend: Any = ol.backends.get(engine)
    plain, seen = backend.matmul, []

    def timed(a: Any, b: Any, out: Any) -> Any:
        begin = time.perf_counter_ns()
        result = plain(a, b, out)
        seen.append((begin, time.perf_counter_ns()))
        return result

    turn = optimlab_epoch(job, *job.data(), engine)
    turn(0)
    backend.matmul = timed
    products = len(anatomy(job)) // 2
    steps = []
    for epoch in range(EPOCHS):
        seen.clear()
        turn(epoch)
        for k in range(products, job.rows // job.batch * products, products):
            pairs = itertools.pairwise(seen[k - 1 : k + products])
            steps.append([ns for before, now in pairs for ns in (now[0] - before[1], now[1] - now[0])])
    del backend.matmul
    return [median(column) / 1e3 for column in zip(*steps, strict=True)]


def measured() -> dict[str, list[float]]:
    """By job and engine, from a process of its own."""
    with pinned(1):
        command = [sys.executable, __file__, "--worker"]
        process = subprocess.run(command, env=environment(1), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[float]] = json.loads(process.stdout.splitlines()[-1])
    return found


def shown(job: Job, times: dict[str, list[float]]) -> Table:
    table = new_table(f"{job.name}, batch {job.batch}: a step of training with Adam, us", "medians; GFLOP a second")
    table.add_column("", no_wrap=True)
    for engine in times:
        table.add_column(f"optimlab, {engine}", justify="right", no_wrap=True)
    for k, part in enumerate(anatomy(job)):
        table.add_row(part.name, *(cell(us[k], part.flop) for us in times.values()))
    table.add_section()
    table.add_row("all products", *(cell(sum(us[1::2])) for us in times.values()))
    table.add_row("all between them", *(cell(sum(us[::2])) for us in times.values()))
    table.add_row("the step", *(cell(sum(us)) for us in times.values()))
    return table


def cell(us: float, flop: int = 0) -> str:
    speed = f" ({flop / us / 1e3:3.0f})" if flop else ""
    return f"{us:.1f}{speed:6}"


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--worker", is_flag=True, hidden=True)
def main(rounds: int, worker: bool) -> None:
    jobs = Effort.full(1).jobs
    if worker:
        print(json.dumps({f"{job.name} {engine}": microseconds(job, engine) for job in jobs for engine in ENGINES}))
        return
    taken = [measured() for _ in range(rounds)]
    console = Console() if sys.stdout.isatty() else Console(width=140)
    libraries = "NumPy", "BLAS of NumPy and SciPy", "large ones, one thread", "llvmlite"
    show_conditions(console, conditions(), "CPU", "system", *libraries)
    for job in jobs:
        columns = {engine: zip(*(each[f"{job.name} {engine}"] for each in taken), strict=True) for engine in ENGINES}
        console.print(shown(job, {engine: [median(c) for c in column] for engine, column in columns.items()}))


if __name__ == "__main__":
    main()
