"""Runs per second of the digits sweep: one after another, as replicas of one network, and by JAX's vmap.

``python benchmarks/replicas.py [--rounds 5] [--optimizers sgd,adam] [--epochs 20]``

The sweep is three replicates of the quick comparison: nine rates each, every run with its validation after each epoch
and its test at the end. One core, one thread; in each round all three take their turn. JAX trains the 27 copies with
``vmap`` in one jitted scan over all steps, compiled beforehand, on the same weights, for SGD and Adam, where it is
installed; all its copies share one split, and it keeps no records. Ratios are of medians; times are CPU times of this
process with ``--cpu-time``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

from timing.pinning import environment, pinned

os.environ.update(environment(1))

import numpy as np
from timing.clock import optional

from optimlab.backends.threads import one_thread
from optimlab.study import Contender, Run, Study
from optimlab.study.run import execute, execute_together, together

REPLICATES = 3


def jax_sweep(runs: list[Run]) -> Callable[[], Any] | None:
    """The runs as one vmapped program; None without JAX, or for a rule not written here."""
    jax = optional("jax")
    name = runs[0].contender.name
    if jax is None or name not in ("sgd", "adam"):
        return None
    jnp, problem = jax.numpy, runs[0].problem
    data = problem.data()
    x, y, xv, yv = (jnp.asarray(a) for a in (data.x_train, data.y_train, data.x_val, data.y_val))  # one split for all
    weights = [[np.array(p.data) for p in problem.network(run.seed).parameters] for run in runs]
    start = [jnp.stack(parts) for parts in zip(*weights, strict=True)]
    rates = jnp.asarray([run.lr for run in runs], "float32")
    batches = len(x) // problem.batch_size  # the last short batch is left out: JAX wants one shape
    orders = [np.random.default_rng(np.random.SeedSequence(run.seed)) for run in runs]
    used = batches * problem.batch_size
    shape = (problem.epochs, batches, problem.batch_size)
    order = jnp.asarray(
        np.stack(
            [np.stack([o.permutation(len(x))[:used] for _ in range(problem.epochs)]).reshape(shape) for o in orders]
        )
    )

    def logits(w: Any, inputs: Any) -> Any:
        return jax.nn.relu(inputs @ w[0] + w[2]) @ w[1] + w[3]

    def loss(w: Any, inputs: Any, labels: Any) -> Any:
        log_p = jax.nn.log_softmax(logits(w, inputs))
        return -log_p[jnp.arange(len(labels)), labels].mean()

    def train(w: Any, lr: Any, batches_of: Any) -> Any:
        zero = [jnp.zeros_like(p) for p in w]

        def step(state: Any, rows: Any) -> Any:
            w, m, s, t = state
            value, g = jax.value_and_grad(loss)(w, x[rows], y[rows])
            t = t + 1
            if name == "sgd":
                w = [p - lr * d for p, d in zip(w, g, strict=True)]
            else:
                m = [0.9 * a + 0.1 * d for a, d in zip(m, g, strict=True)]
                s = [0.999 * a + 0.001 * d * d for a, d in zip(s, g, strict=True)]
                c, v = 1 - 0.9**t, 1 - 0.999**t
                w = [p - lr * (a / c) / jnp.sqrt(b / v + 1e-14) for p, a, b in zip(w, m, s, strict=True)]
            return (w, m, s, t), value

        def epoch(state: Any, rows: Any) -> Any:
            state, values = jax.lax.scan(step, state, rows)
            right = (logits(state[0], xv).argmax(-1) == yv).mean()
            return state, (values.mean(), right)

        return jax.lax.scan(epoch, (w, zero, zero, 0.0), batches_of)[1]

    sweep = jax.jit(jax.vmap(train))
    return lambda: jax.block_until_ready(sweep(start, rates, order))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--optimizers", default="sgd,momentum,nesterov,adagrad,rmsprop,adam,adamax,nadam,adamw")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--cpu-time", action="store_true", help="of this process, for a machine that others use")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    study = Study().with_epochs(options.epochs)
    study = replace(study, optimizers=tuple(options.optimizers.split(",")))
    print(f"{study.problem}: {len(study.rates)} rates x {REPLICATES} replicates, {options.rounds} rounds")
    print(f"load average {os.getloadavg()[0]:.1f}, {'CPU' if options.cpu_time else 'wall'} time, one core")
    print(f"{'':10} {'alone':>10} {'replicas':>10} {'JAX vmap':>10}   runs a second")
    total = {"alone": 0.0, "replicas": 0.0}
    with pinned(1), one_thread():
        for name in study.optimizers:
            runs = [run for r in range(REPLICATES) for run in study.grid(Contender.parse(str(name)), r)]
            turns: dict[str, Callable[[], Any]] = {
                "alone": lambda runs=runs: [execute(run) for run in runs],
                "replicas": lambda runs=runs: [execute_together(group) for group in together(runs)],
            }
            jax = jax_sweep(runs)
            if jax is not None:
                turns["jax"] = jax
            times: dict[str, list[float]] = {turn: [] for turn in turns}
            for _ in range(options.rounds + 1):
                for turn, work in turns.items():
                    start = clock()
                    work()
                    times[turn].append(clock() - start)
            middle = {turn: median(values[1:]) for turn, values in times.items()}
            speed = {turn: len(runs) / seconds for turn, seconds in middle.items()}
            for turn in total:
                total[turn] += middle[turn]
            other = f"{speed['jax']:10.1f}" if "jax" in speed else f"{'-':>10}"
            ratio = speed["replicas"] / speed["alone"]
            print(f"{name!s:10} {speed['alone']:10.1f} {speed['replicas']:10.1f} {other}   x {ratio:.2f}", flush=True)
    print(f"the whole sweep: x {total['alone'] / total['replicas']:.2f}")


if __name__ == "__main__":
    main()
