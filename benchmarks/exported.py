"""A step of the exported PyTorch optimizers beside ``torch.optim``'s foreach form, for each rule that both have.

``python benchmarks/exported.py [--threads 1] [--rounds 40] [--rule adam]``

The two take turns on the same tensors in float32. Printed is the median ratio of a turn, exported over ``torch.optim``,
with its quartiles: below 1 the exported optimizer is faster. On one thread, the process is pinned to one core and its
CPU time counts, so that other processes disturb less. The networks: a small one, one of two million weights, and one of
48 tensors.
"""

from __future__ import annotations

import os
import time
from statistics import median, quantiles
from types import ModuleType
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

import optimlab as ol
from optimlab import rules

NETWORKS = {
    "64-64-64-10": [(64, 64), (64,), (64, 64), (64,), (10, 64), (10,)],
    "784-1024-1024-10": [(1024, 784), (1024,), (1024, 1024), (1024,), (10, 1024), (10,)],
    "24 layers of 128": [(128, 128), (128,)] * 24,
}
SECONDS = 0.004
"""About how long a turn takes."""

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_momentum": ("RMSprop", {"momentum": 0.9}),
    "rmsprop_centered": ("RMSprop", {"centered": True}),
    "rmsprop_centered_momentum": ("RMSprop", {"centered": True, "momentum": 0.9}),
    "adadelta": ("Adadelta", {}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
    "adamw": ("AdamW", {}),
}


def exported(rule: str) -> type[torch.optim.Optimizer]:
    """The class in the exported file."""
    file = ModuleType(rule)
    exec(ol.export_rule(rule, "torch", convention="torch"), file.__dict__)
    return next(v for v in vars(file).values() if isinstance(v, type) and issubclass(v, torch.optim.Optimizer))


def parameters(shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    for p in made:
        p.grad = torch.randn(p.shape, generator=generator)
    return made


def turn(optimizer: torch.optim.Optimizer, steps: int) -> float:
    """Seconds a step."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(steps):
        optimizer.step()
    return (clock() - start) / steps


def compared(rule: str, shapes: list[tuple[int, ...]], rounds: int) -> tuple[float, float, list[float]]:
    """Seconds a step of the exported optimizer and of PyTorch's, the medians, and the ratio of each round."""
    name, options = OPTIONS[rule]
    ours = exported(rule)(parameters(shapes))
    theirs = getattr(torch.optim, name)(parameters(shapes), foreach=True, **options)
    steps = max(1, round(SECONDS / turn(theirs, 3)))
    turn(ours, steps)
    pairs = []
    for k in range(rounds):
        first, second = (ours, theirs) if k % 2 else (theirs, ours)
        times = {first: turn(first, steps), second: turn(second, steps)}
        pairs.append((times[ours], times[theirs]))
    a, b = (median(times) for times in zip(*pairs, strict=True))
    return a, b, [x / y for x, y in pairs]


@click.command()
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(4), default=40, show_default=True)
@click.option("--rule", "chosen", type=click.Choice([*OPTIONS]), multiple=True, help="Only this rule; may be repeated.")
def main(threads: int, rounds: int, chosen: tuple[str, ...]) -> None:
    """Print a table for each network."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(threads)
    console = Console()
    for network, shapes in NETWORKS.items():
        table = Table(
            "rule", "exported, µs", "torch.optim, µs", "ratio", "quartiles", title=f"{network}, threads: {threads}"
        )
        for rule in chosen or rules.names("torch"):
            ours, theirs, ratios = compared(rule, shapes, rounds)
            low, middle, high = quantiles(ratios, n=4)
            cells = (f"{1e6 * ours:.0f}", f"{1e6 * theirs:.0f}", f"{middle:.2f}", f"{low:.2f}–{high:.2f}")
            table.add_row(rule, *cells)
        console.print(table)


if __name__ == "__main__":
    main()
