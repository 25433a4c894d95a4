"""Runs on a GPU: a pool that trains many small networks at once, as replicas.

A single small network leaves a GPU mostly idle. So the runs of all contenders with elementwise rules are trained
together, see :func:`optimlab.training.replicas.fit_replicas`; the others are executed one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..backends import Array
from ..common.errors import one_line
from ..kernels import trace
from ..nn.network import Network
from ..training import History
from ..training.diagnostics import update_ratios_of_replicas
from ..training.evaluation import ROWS
from ..training.replicas import evaluate_replicas, fit_replicas, right_of_replicas
from ..training.snapshot import restore, snapshot
from .execution import Execute, Outcomes, here
from .plan import Problem, Run
from .results import Record
from .rows_score import packed
from .run import Best, record_of

MOST, BYTES = 2048, 1 << 32
"""Most runs at once, and bytes that a layer's outputs may take when all of them are evaluated."""


def side_by_side(execute: Execute, runs: Mapping[str, Run]) -> Outcomes:
    """Execute the runs that can be replicas together, the others one after another; a pool as in ``execution``."""
    together: dict[Problem, list[str]] = {}
    alone: dict[str, Run] = {}
    for key, run in runs.items():
        if run.problem.loss_function.classifies and run.contender.plain_rule is not None:
            together.setdefault(run.problem, []).append(key)
        else:
            alone[key] = run
    for problem, keys in together.items():
        keys.sort(key=lambda key: runs[key].contender.label)  # equal rules are best next to each other
        size = _at_once(problem)
        for start in range(0, len(keys), size):
            part = keys[start : start + size]
            yield from zip(part, _executed(execute, [runs[key] for key in part]), strict=True)
    yield from here(execute, alone)


def told(records: Iterable[Record]) -> list[str]:
    """Return one sentence for each way in which a GPU has trained runs."""
    ways = dict.fromkeys(way for record in records if (way := record.engine.partition(": ")[2]))
    return [f"On the GPU, {way}." for way in ways]


def _at_once(problem: Problem) -> int:
    """Return how many runs fit into a GPU's memory at once."""
    widest: int = max(problem.data().x_train.shape[1], *problem.hidden, problem.outputs)
    return max(1, min(MOST, BYTES // (8 * ROWS * widest)))


def _executed(execute: Execute, runs: Sequence[Run]) -> list[Record]:
    try:
        return _trained(runs)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # the run that has it tells it
        warnings.warn(f"{len(runs)} runs are trained one by one: {one_line(error)}", RuntimeWarning, stacklevel=2)
        return [execute(run) for run in runs]


def _trained(runs: Sequence[Run]) -> list[Record]:
    problem = runs[0].problem
    splits = {run.split: problem.replicate(run.split) for run in runs}
    data = [splits[run.split] for run in runs]
    by_seed = {run.seed: problem.network(run.seed) for run in runs}
    rules: list[Any] = [run.contender.plain_rule for run in runs]
    bests = [Best() for _ in runs]
    ratios: list[list[dict[str, float]]] = [[] for _ in runs]
    kept: dict[str, Array] = {}
    stacked: list[Network] = []
    ways: list[str] = []

    def watch(network: Network, histories: list[History], before: Array) -> None:
        better = [r for r, history in enumerate(histories) if bests[r].improved(history)]
        if not kept:
            kept.update(snapshot(network))
            stacked.append(network)
        rows = network.backend.asarray(better, "int64")
        for name, array in network.learned().items():
            if better:
                kept[name][rows] = array[rows]
        for r, found in enumerate(update_ratios_of_replicas(network, before)):
            if len(ratios[r]) < histories[r].epochs:
                ratios[r].append(found)

    histories = fit_replicas(
        [by_seed[run.seed] for run in runs],
        rules,
        [{**run.contender.defaults(), "lr": run.lr, **run.settings()} for run in runs],
        data,
        seeds=[run.seed for run in runs],
        epochs=problem.epochs,
        batch_size=problem.batch_size,
        loss=problem.loss_function,
        watch=watch,
        graph=True,
        say=ways.append,
    )
    restore(stacked[0], kept)
    test = [(one.x_test, one.y_test) for one in data]
    measured = evaluate_replicas(stacked[0], test, problem.loss_function)
    right = right_of_replicas(stacked[0], test) if problem.shares_test else None
    engine = ": ".join([stacked[0].backend.name, *ways])
    states = {rule: len(trace(rule).state) for rule in dict.fromkeys(rules)}
    records = []
    for r, (run, rule, loss, accuracy) in enumerate(zip(runs, rules, *measured, strict=True)):
        tested: dict[str, Any] = {"test_loss": loss, "test_score": accuracy}
        tested["test_rows"] = "" if right is None else packed(right[r])
        tested = tested if bests[r].epoch else {}
        records.append(record_of(run, histories[r], bests[r], ratios[r], tested, states[rule], engine))
    return records
