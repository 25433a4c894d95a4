"""Runs side by side: small networks trained together as replicas, see :mod:`optimlab.training.replicas`.

Small networks spend most of their time in Python and in the overhead of calls, which replicas share. On a GPU, which a
single one leaves mostly idle, thousands are trained at once. Each run gets the record that it gets alone; on a GPU, up
to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import backends
from ..backends import Array
from ..common.errors import one_line
from ..kernels import trace
from ..nn.network import Network
from ..training import History
from ..training.diagnostics import update_ratios_of_replicas
from ..training.evaluation import ROWS
from ..training.replicas import evaluate_replicas, fit_replicas
from ..training.snapshot import restore, snapshot
from ..training.turns import replica
from .execution import Execute, Outcomes, one_by_one
from .plan import Problem, Run
from .results import Record
from .rows_score import rows_score
from .run import Best, execute, record_of

MOST, BYTES = 2048, 1 << 32
"""Most runs at once on a GPU, and bytes that a layer's outputs may take when all of them are evaluated."""

alone = one_by_one(execute)


def side_by_side(runs: Sequence[Run]) -> list[Record]:
    """Execute runs, as :func:`optimlab.study.run.execute` would each of them, and return their records in order.

    Runs of one problem with elementwise rules are trained as replicas if that pays, the others one after another.
    """
    together: dict[Problem, list[int]] = {}
    for k, run in enumerate(runs):
        if run.contender.plain_rule is not None:
            together.setdefault(run.problem, []).append(k)
    records: dict[int, Record] = {}
    for problem, places in together.items():
        if _pays(problem, len(places)):
            places.sort(key=lambda k: runs[k].contender.label)  # equal rules are best next to each other
            records |= zip(places, _trained_or_alone([runs[k] for k in places]), strict=True)
    rest = [k for k in range(len(runs)) if k not in records]
    records |= zip(rest, alone([runs[k] for k in rest]), strict=True)
    return [records[k] for k in range(len(runs))]


def at_once(execute: Execute, runs: Mapping[str, Run]) -> Outcomes:
    """Execute as many runs at once as fit into a GPU's memory: a pool as in :mod:`optimlab.study.execution`."""
    problems: dict[Problem, list[str]] = {}
    for key, run in runs.items():
        problems.setdefault(run.problem, []).append(key)
    for problem, keys in problems.items():
        keys.sort(key=lambda key: (runs[key].contender.plain_rule is None, runs[key].contender.label))
        size = _most(problem)
        for start in range(0, len(keys), size):
            part = keys[start : start + size]
            yield from zip(part, execute([runs[key] for key in part]), strict=True)


def _pays(problem: Problem, count: int) -> bool:
    """Return True if it pays to train so many runs of a problem together."""
    return count > 1 or backends.get(problem.backend).asynchronous


def told(records: Iterable[Record]) -> list[str]:
    """Return one sentence for each way in which a GPU has trained runs."""
    ways = dict.fromkeys(way for record in records if (way := record.engine.partition(": ")[2]))
    return [f"On the GPU, {way}." for way in ways]


def _most(problem: Problem) -> int:
    """Return how many runs fit into a GPU's memory at once."""
    widest: int = max(problem.data().x_train.shape[1], *problem.hidden, problem.outputs)
    return max(1, min(MOST, BYTES // (8 * ROWS * widest)))


def _trained_or_alone(runs: Sequence[Run]) -> Sequence[Record]:
    try:
        return _trained(runs)
    except Exception as error:  # the run that has it tells it
        if backends.get(runs[0].problem.backend).asynchronous:  # on a GPU, alone takes much longer
            warnings.warn(f"{len(runs)} runs are trained one by one: {one_line(error)}", RuntimeWarning, stacklevel=2)
        return alone(runs)


def _trained(runs: Sequence[Run]) -> list[Record]:
    problem = runs[0].problem
    splits = {split: problem.replicate(split) for split in {run.split for run in runs}}
    data = [splits[run.split] for run in runs]
    by_seed = {seed: problem.network(seed) for seed in {run.seed for run in runs}}
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

    on_gpu = backends.get(problem.backend).asynchronous
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
        graph=on_gpu,
        say=ways.append,
    )
    restore(stacked[0], kept)
    test = [(one.x_test, one.y_test) for one in data]
    losses, scores = evaluate_replicas(stacked[0], test, problem.loss_function)
    tested = {"test_loss": losses, "test_score": scores}
    if problem.score == "r2":
        tested["test_error"], _ = evaluate_replicas(stacked[0], test, "mean_absolute_error")
    engine = ": ".join([stacked[0].backend.name, *ways])
    states = {rule: len(trace(rule).state) for rule in dict.fromkeys(rules)}
    records = []
    for r, (run, rule, best) in enumerate(zip(runs, rules, bests, strict=True)):
        own: dict[str, Any] = {name: values[r] for name, values in tested.items()} if best.epoch else {}
        if own:
            own["test_rows"] = rows_score(replica(stacked[0], r), data[r]) if problem.shares_test else ""
            own["test_score"] = max(0.0, own["test_score"])
        if "test_error" in own:
            scale = data[r].target_scale
            own["test_error"] *= scale.std if scale else 1.0
        records.append(record_of(run, histories[r], best, ratios[r], own, states[rule], engine))
    return records
