"""Execute runs of a study, alone or as replicas of one network, and time their steps."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from ..backends import onednn
from ..backends.threads import one_thread
from ..datasets import Dataset
from ..diagnostics import update_ratios
from ..errors import InputError
from ..kernels import trace
from ..network import Network
from ..optimizers import Optimizer
from ..replicas import evaluate_replicas, fit_replicas
from ..rules import LayerRule
from ..training import History, evaluate, fit
from ..version import __version__
from .plan import Contender, Problem, Run, Study
from .record import Record


def execute(run: Run) -> Record:
    """Train and report, as plain data ready for JSON.

    ``status`` is ``"ok"``, ``"diverged"`` or ``"error"`` (with the message in ``error``): no exception leaves this
    function but Ctrl-C. Initial weights and the order of the data depend on the seed alone, so the same seed pairs
    the runs of all optimizers. Scores are taken at the epoch with the best validation accuracy; among several such,
    at that with the lowest validation loss.
    """
    record: Record = {"key": run.key, "run": run.config(), "status": "error", "versions": versions(), "host": host()}
    try:
        record |= _train(run)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # one run that fails must not end the study
        record["error"] = f"{type(error).__name__}: {error}"
    return record


def execute_together(runs: Sequence[Run]) -> list[Record]:
    """The records of runs that :func:`together` put in one group: as :func:`execute` gives them, bit for bit, but for
    the times."""
    try:
        found = _train_together(runs) if len(runs) > 1 else []
    except KeyboardInterrupt:
        raise
    except Exception:  # told by the one run that has it
        found = []
    if not found:
        return [execute(run) for run in runs]
    same = {"versions": versions(), "host": host()}
    return [{"key": run.key, "run": run.config(), **same, **own} for run, own in zip(runs, found, strict=True)]


TOGETHER, SMALL = 30, 20_000
"""Runs in a group, and parameters of a network up to which replicas train faster than one after the other: with Adam
twice as fast at 5,000 parameters, 1.45 times at 10,000, 1.1 at 19,000, no faster at 26,000."""


def together(runs: Sequence[Run], jobs: int = 1) -> list[list[Run]]:
    """Groups of runs that may be trained as replicas of one network: equal but for seed and hyperparameters.

    A network that is large, or has dropout, and a rule that looks at whole tensors are trained alone.
    """
    groups: dict[Any, list[Run]] = {}
    for k, run in enumerate(runs):
        alike = (run.problem, run.contender, run.test) if _replicable(run.problem, run.contender) else k
        groups.setdefault(alike, []).append(run)
    made = []
    for group in groups.values():
        size = min(TOGETHER, max(1, -(-len(group) // jobs)))
        made += [group[start : start + size] for start in range(0, len(group), size)]
    return made


@cache
def _replicable(problem: Problem, contender: Contender) -> bool:
    net = problem.network(0)
    rule = contender.make(net, 0.1, {}).rule
    small = net.parameters.data.size <= SMALL and net.backend.name == "numpy"
    return small and not problem.dropout and not isinstance(rule, LayerRule)


def _train(run: Run) -> Record:
    problem, data = run.problem, run.problem.data()
    net = problem.network(run.seed)
    opt = run.contender.make(net, run.lr, run.settings())
    best = _Best()

    def watch(network: Network, optimizer: Optimizer, history: History) -> None:
        if best.improved(history) and run.test:
            best.test = evaluate(network, data.x_test, data.y_test)

    looks = _Ratios(net, -(-len(data.x_train) // problem.batch_size)) if run.test else None
    history = fit(
        net,
        opt,
        data,
        epochs=problem.epochs,
        batch_size=problem.batch_size,
        seed=run.seed,
        callbacks=[watch, *([looks] if looks else [])],
        progress=False,
    )
    if history.status == "interrupted":
        raise KeyboardInterrupt
    return _result(
        run, history, best, looks.found if looks else [], {"state_arrays": len(opt.state), "engine": net.backend.name}
    )


def _train_together(runs: Sequence[Run]) -> list[Record]:
    problem, data = runs[0].problem, runs[0].problem.data()
    by_seed = {run.seed: problem.network(run.seed) for run in runs}
    nets = [by_seed[run.seed] for run in runs]
    rule = runs[0].contender.make(nets[0], runs[0].lr, runs[0].settings()).rule
    bests = [_Best() for _ in runs]
    ratios: list[list[dict[str, float]]] = [[] for _ in runs]

    def watch(network: Network, histories: list[History], before: Any) -> None:
        better = [r for r, history in enumerate(histories) if bests[r].improved(history)]
        if runs[0].test:
            if better:
                losses, accuracies = evaluate_replicas(network, data.x_test, data.y_test)
                for r in better:
                    bests[r].test = losses[r], accuracies[r]
            for r, history in enumerate(histories):
                if len(ratios[r]) < history.epochs:
                    ratios[r].append(update_ratios(network, before, r))

    histories = fit_replicas(
        nets,
        rule,
        [{"lr": run.lr, **run.settings()} for run in runs],
        data,
        seeds=[run.seed for run in runs],
        epochs=problem.epochs,
        batch_size=problem.batch_size,
        watch=watch,
    )
    same = {"state_arrays": len(trace(rule).state), "engine": "numpy"}
    found = zip(runs, histories, bests, ratios, strict=True)
    return [_result(run, history, best, ratio, same) for run, history, best, ratio in found]


class _Ratios:
    """A callback of ``fit``: the update ratios of the last step of each finished epoch."""

    def __init__(self, network: Network, batches: int) -> None:
        self.found: list[dict[str, float]] = []
        self._batches, self._steps = batches, 0
        self._before = network.parameters.data.copy()

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        self._steps += 1
        if (self._steps + 1) % self._batches == 0 and self._batches > 1:
            self._before[...] = network.parameters.data

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self.found.append(update_ratios(network, self._before))
        if self._batches == 1:
            self._before[...] = network.parameters.data


class _Best:
    """The epoch with the best validation accuracy so far; among equals, with the lowest validation loss."""

    def __init__(self) -> None:
        self.epoch, self.accuracy, self.loss = 0, -1.0, math.inf
        self.test: tuple[float, float | None] | None = None

    def improved(self, history: History) -> bool:
        """Whether the last epoch is the best."""
        if not history.epochs:
            return False
        accuracy, loss = history.val_accuracy[-1], history.val_loss[-1]
        if (accuracy, -loss) <= (self.accuracy, -self.loss):
            return False
        self.epoch, self.accuracy, self.loss = history.epochs, accuracy, loss
        return True


def _result(run: Run, history: History, best: _Best, ratios: list[dict[str, float]], rest: Record) -> Record:
    reached = [k for k, accuracy in enumerate(history.val_accuracy, 1) if accuracy >= run.problem.target]
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds")
    curves: Record = {name: getattr(history, name) for name in names}
    if run.test:
        curves["update_ratio"] = {name: [r.get(name) for r in ratios] for name in (ratios[0] if ratios else ())}
    found = {"best_epoch": best.epoch, "val_accuracy": best.accuracy, "val_loss": best.loss} if best.epoch else {}
    return {
        "status": "diverged" if history.status == "diverged" else "ok",
        **(found or dict.fromkeys(("best_epoch", "val_accuracy", "val_loss"))),
        **(dict(zip(("test_loss", "test_accuracy"), best.test, strict=True)) if best.test else {}),
        "epochs_to_target": reached[0] if reached else None,
        "steps": history.steps,
        "diverged_step": history.diverged_step,
        "seconds": sum(history.seconds),
        **rest,
        "curves": curves,
    }


TIMED_STEPS, TIMING_ROUNDS = 60, 5


def time_steps(problem: Problem, runs: dict[str, Run]) -> dict[str, float]:
    """Measure the seconds per training step, by label, one run after another in this process; evaluation is excluded.

    After a warm-up round there are five rounds. In each, every run trains 60 steps of the problem, so that a machine
    that slows down slows all of them. The result is the median. A run that diverges or fails has none. (The runs of the
    study may share the machine with other workers, which makes their own times wrong by a factor of two.)
    """
    data = problem.data()
    rows = min(len(data.x_train), TIMED_STEPS * problem.batch_size)
    batches = -(-rows // problem.batch_size)
    epochs = max(1, TIMED_STEPS // batches)
    some = Dataset(data.x_train[:rows], data.y_train[:rows], classes=data.classes)
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(TIMING_ROUNDS + 1):
        for label, run in runs.items():
            try:
                net = problem.network(0)
                opt = run.contender.make(net, run.lr, run.settings())
                history = fit(net, opt, some, epochs=epochs, batch_size=problem.batch_size, progress=False)
            except Exception:  # the records of its runs have the reason
                continue
            if history.status == "interrupted":
                raise KeyboardInterrupt
            seconds[label] += [sum(history.seconds) / history.steps] if history.seconds else []
    return {label: float(np.median(values[1:])) for label, values in seconds.items() if len(values) > 1}


def estimate(study: Study, jobs: int = 1) -> float:
    """About how many seconds the planned runs take, from a few epochs of each contender, as replicas where it trains
    so.

    Raises
    ------
    InputError: a problem on which no run can be made, a contender whose run fails.
    """
    study.problem.check()
    total = 0.0
    for contender in study.contenders:
        first, once = _seconds(study, contender, 1), _seconds(study, contender, 1)  # at first the data are read, too
        thrice = _seconds(study, contender, 3) if first < QUICK else 3 * once
        total += once + (thrice - once) / 2 * (study.problem.epochs - 1)
    return total / len(study.contenders) * study.planned() / jobs


QUICK = 0.5
"""Seconds of an epoch above which the fixed cost of a run is negligible."""


def _seconds(study: Study, contender: Contender, epochs: int) -> float:
    """Measure the seconds of one run of so many epochs; in a group of replicas, its share."""
    problem = study.with_epochs(epochs).problem
    lr = contender.defaults()["lr"]
    group = together([Run(problem, contender, lr, seed) for seed in range(TOGETHER)])[0]
    start = time.perf_counter()
    with one_thread():  # as in the study
        records = execute_together(group)
    for record in records:
        if record["status"] == "error":
            raise InputError(f"{contender.label} cannot be run: {record['error']}")
    return (time.perf_counter() - start) / len(group)


@cache
def versions() -> dict[str, str]:
    """The versions that affect the results."""
    return {"optimlab": __version__, "numpy": np.__version__, "python": platform.python_version()}


@cache
def host() -> dict[str, Any]:
    """The machine, by what its times depend on."""
    model = ""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    # NumPy's own: what else is loaded differs from process to process
    pools = [p for p in threadpool_info() if p["user_api"] == "blas"]
    pools = [p for p in pools if "numpy" in p["filepath"]] or pools
    blas = {" ".join(str(p[k]) for k in ("internal_api", "version", "architecture") if p.get(k)) for p in pools}
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "blas": sorted(blas) + onednn.used(),
    }
