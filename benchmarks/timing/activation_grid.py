"""The table of activations: an epoch of a network of two hidden layers, plain, with batch norm, dropout, and both."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
from rich.table import Table

from .cases import Case, first_of, seconds_of
from .clock import optional, ratio
from .epochs import optimlab_epoch
from .jax_training import jax_epoch
from .jobs import Job, engines
from .tables import new_table
from .torch_training import ACTIVATIONS, torch_epoch

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "dropout": {"dropout": 0.2},
    "both": {"batch_norm": True, "dropout": 0.2},
}

PEERS = ("PyTorch fused", "JAX, one scan")


def cases(quick: bool) -> list[Case]:
    sizes, batch, rows = ((16, 8, 8, 4), 8, 16) if quick else ((256, 256, 256, 10), 128, 4096)
    activations, variants = (["gelu"], ["plain", "both"]) if quick else (list(ACTIVATIONS), list(VARIANTS))
    return [
        Case(f"{name}, {variant}", competitors(Job(sizes, batch, rows, name, **VARIANTS[variant])))
        for name, variant in product(activations, variants)
    ]


def competitors(job: Job) -> dict[str, Any]:
    """Ours first, the fastest last of these."""
    x, y = job.data()
    torch, jax = optional("torch"), optional("jax")
    ours = {f"optimlab, {engine}": partial(optimlab_epoch, job, x, y, engine) for engine in engines()}
    peers = {
        PEERS[0]: lambda: torch and torch_epoch(torch, job, x, y, {"fused": True}),
        PEERS[1]: lambda: jax and jax_epoch(jax, job, x, y),
    }
    return {**ours, **peers}


def tables(found: list[dict[str, Any]]) -> list[Table]:
    names = list(seconds_of(found[0]))
    ours = [name for name in names if name not in PEERS]
    pairs = list(product(ours[::-1], PEERS))
    begun = {peer: [seconds for case in found if (seconds := first_of(case)[peer])] for peer in (*ours, *PEERS)}
    table = new_table(
        "an epoch with Adam, by activation: milliseconds, and theirs over ours",
        "medians over rounds; ratios: median of the ratios within a round. Not counted: making the network, compiling "
        "it, and the first epoch; seconds, in the median: "
        + ", ".join(f"{name} {np.median(values):.2f}" for name, values in begun.items() if values),
    )
    table.add_column("activation", no_wrap=True)
    for name in (*names, *(f"{peer} / {mine}" for mine, peer in pairs)):
        table.add_column(name, justify="right")
    columns: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    for case in found:
        times = seconds_of(case)
        cells = [f"{np.median(v) * 1e3:.1f}" if (v := times[name]) else "not installed" for name in names]
        for mine, peer in pairs:
            between = ratio(times[peer], times[mine])
            columns[mine, peer] += [between[1]] if between else []
            cells.append(f"{between[1]:.2f}" if between else "")
        table.add_row(case["name"], *cells)
    for name, of in (("least", min), ("median", np.median)):
        table.add_row(name, *("" for _ in names), *(f"{of(v):.2f}" if v else "" for v in columns.values()))
    return [table]
