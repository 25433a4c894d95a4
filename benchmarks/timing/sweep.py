"""The table of the digits sweep: how many runs a second one core trains."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rich.table import Table

import optimlab as ol
from optimlab.study import Problem, Study, compare

from .cases import Case, first_of, seconds_of
from .clock import Turn, optional, seconds
from .jax_training import cross_entropy, update, zero_moments
from .tables import new_table, ratios

RULES = ("sgd", "adam")
SEEDS = (3, 12)
"""Number of seeds of each learning rate."""
ALONE, STUDY, JAX = "ol.fit, one by one", "as a study executes them", "JAX, vmap over the runs"
BATCH = 64


@dataclass(frozen=True)
class Sweep:
    """A rule at several learning rates, each with several seeds."""

    rule: str
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int

    @property
    def runs(self) -> list[tuple[float, int]]:
        return [(lr, seed) for seed in self.seeds for lr in self.rates]

    @property
    def name(self) -> str:
        return f"{self.rule}, {len(self.runs)} runs"


def cases(quick: bool) -> list[Case]:
    return [Case(sweep.name, competitors(sweep)) for sweep in sweeps(quick)]


def sweeps(quick: bool) -> list[Sweep]:
    if quick:
        return [Sweep(rule, (0.03, 0.1, 0.3), (0, 1), epochs=1) for rule in RULES]
    rates = tuple(10 ** np.linspace(-3, 0, 9))
    return [Sweep(rule, rates, tuple(range(seeds)), epochs=20) for seeds in SEEDS for rule in RULES]


def competitors(sweep: Sweep) -> dict[str, Callable[[], Turn | None]]:
    """Each gives the seconds of one run, the mean over the sweep."""
    return {
        ALONE: partial(one_by_one, sweep),
        STUDY: partial(by_study, sweep),
        JAX: partial(by_vmap, sweep),
    }


def one_by_one(sweep: Sweep) -> Turn:
    """Each run a call of ``ol.fit``, validated after each epoch, and one of ``ol.evaluate`` on the test rows."""
    data = ol.datasets.load("digits")

    def train() -> None:
        for lr, seed in sweep.runs:
            network = ol.MLP([64, 64, 10], seed=seed)
            optimizer = ol.optimizers.get(sweep.rule)(network.parameters, lr=lr)
            ol.fit(network, optimizer, data, epochs=sweep.epochs, batch_size=BATCH, seed=seed, progress=False)
            ol.evaluate(network, data.x_test, data.y_test)

    return lambda round_: seconds(train) / len(sweep.runs)


def by_study(sweep: Sweep) -> Turn:
    """The same grid as replicates of a study, in this process: from its start until its last run is kept on the disk.
    Each replicate has its own split of the data, each run is tested with the weights of its best epoch."""
    study = Study(
        Problem(hidden=(64,), batch_size=BATCH, epochs=sweep.epochs),
        (sweep.rule,),
        rates=sweep.rates,
        replicates=len(sweep.seeds),
        extensions=0,
        defaults=False,
    )

    def turn(round_: int) -> float:
        finished = []
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            with warnings.catch_warnings(action="ignore"):  # a best rate may lie at the edge of this grid
                compare(study, folder, jobs=1, on_run=lambda *_: finished.append(time.perf_counter()))
        return (finished[-1] - start) / len(finished)

    return turn


def by_vmap(sweep: Sweep) -> Turn | None:
    """All runs as one compiled program, each validated after each epoch and tested at the end. The rows beyond the
    last full batch are left out, for JAX wants one shape; the orders of the rows come from NumPy."""
    jax = optional("jax")
    if jax is None:
        return None
    jnp, data = jax.numpy, ol.datasets.load("digits")
    x, y, xv, yv, xt, yt = (
        jnp.asarray(getattr(data, f"{kind}_{split}")) for split in ("train", "val", "test") for kind in ("x", "y")
    )
    batches = len(x) // BATCH
    rates = jnp.asarray([lr for lr, _ in sweep.runs], "float32")
    start = [jnp.stack(parts) for parts in zip(*(weights(seed) for _, seed in sweep.runs), strict=True)]

    def orders() -> Any:
        shuffles = {seed: np.random.default_rng(seed) for seed in sweep.seeds}
        drawn = {
            seed: np.stack([shuffle.permutation(len(x))[: batches * BATCH] for _ in range(sweep.epochs)])
            for seed, shuffle in shuffles.items()
        }
        shape = (len(sweep.runs), sweep.epochs, batches, BATCH)
        return np.stack([drawn[seed] for _, seed in sweep.runs]).reshape(shape)

    def loss(w: Any, inputs: Any, labels: Any) -> Any:
        return cross_entropy(jax, jax.nn.relu(inputs @ w[0] + w[1]) @ w[2] + w[3], labels)

    def train(w: Any, lr: Any, order: Any) -> Any:
        def step(carry: Any, index: Any) -> Any:
            w, moments, t = carry
            (value, right), g = jax.value_and_grad(loss, has_aux=True)(w, x[index], y[index])
            w, moments = update(jax, sweep.rule, w, moments, g, t + 1, lr)
            return (w, moments, t + 1), (value, right)

        def epoch(carry: Any, order: Any) -> Any:
            carry, (values, rights) = jax.lax.scan(step, carry, order)
            return carry, (values.mean(), rights.sum(), *loss(carry[0], xv, yv))

        carry, curves = jax.lax.scan(epoch, (w, zero_moments(jax, sweep.rule, w), 0.0), order)
        return curves, loss(carry[0], xt, yt)

    program = jax.jit(jax.vmap(train))
    return lambda round_: seconds(lambda: jax.device_get(program(start, rates, orders()))) / len(sweep.runs)


def weights(seed: int) -> list[Any]:
    """Return those of optimlab's network: W, b, W, b."""
    parameters = ol.MLP([64, 64, 10], seed=seed).parameters
    return [np.array(parameters[f"dense{k}.{part}"].data) for k in (1, 2) for part in "Wb"]


def tables(found: list[dict[str, Any]]) -> list[Table]:
    table = new_table(
        "digits, 64-64-10, batch 64: runs a second on one core",
        f"runs a second: higher is better; / {STUDY}: median (quartiles) of the ratios within a round. first: seconds "
        "of the first sweep, with what is compiled for it",
    )
    for column in ("sweep", "", "runs a second", f"/ {STUDY}", "first, s"):
        table.add_column(column, justify="left" if column in ("sweep", "") else "right", no_wrap=True)
    for case in found:
        times, first = seconds_of(case), first_of(case)
        for name, values in times.items():
            if values is None:
                table.add_row(case["name"], name, "not installed")
                continue
            # of speeds: the study's seconds over theirs
            cells = f"{1 / np.median(values):.1f}", ratios(times[STUDY], values), f"{first[name]:.2f}"
            table.add_row(case["name"], name, *cells)
    return [table]
