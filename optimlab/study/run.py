"""Execute runs of a study, alone or as replicas of one network, and time their steps."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
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
from ..replicas import evaluate_replicas, fit_replicas, right_of_replicas
from ..rules import LayerRule
from ..training import History, evaluate, fit
from ..training.snapshot import restore, snapshot
from ..version import __version__
from .plan import Contender, Problem, Run, Study
from .results import Curves, Record, Spread
from .rows_right import packed, rows_right


def execute(run: Run) -> Record:
    """Train and measure one run.

    ``status`` is ``"ok"``, ``"diverged"`` or ``"error"`` (with the message in ``error``): no exception leaves this
    function but Ctrl-C. The split depends on ``run.split``, initial weights and the order of the rows on ``run.seed``
    alone, so the same seeds pair the runs of all optimizers. Scores are taken at the epoch with the best validation
    accuracy; among several such, at that with the lowest validation loss. Test data are looked at once, at the end,
    with the weights of that epoch.
    """
    try:
        return _train(run)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # one run that fails must not end the study
        return run.failed(f"{type(error).__name__}: {error}")


def execute_together(runs: Sequence[Run]) -> list[Record]:
    """The records of runs that :func:`together` put in one group: as :func:`execute` gives them, bit for bit, but for
    the times."""
    try:
        found = _train_together(runs) if len(runs) > 1 else []
    except KeyboardInterrupt:
        raise
    except Exception:  # told by the one run that has it
        found = []
    return found or [execute(run) for run in runs]


TOGETHER, SMALL = 30, 20_000
"""Most runs in a group, and parameters of a network up to which replicas train faster than one after the other: with
Adam twice as fast at 5,000 parameters, 1.45 times at 10,000, 1.1 at 19,000, no faster at 26,000."""


def together(runs: Sequence[Run], jobs: int = 1) -> list[list[Run]]:
    """Groups of runs that may be trained as replicas of one network: equal but for split, seed and hyperparameters.

    A network that is large, or has dropout, and a rule that looks at whole tensors are trained alone. Groups of one
    kind are of about the same size, so that the cores end together.
    """
    alike: dict[Any, list[Run]] = {}
    for k, run in enumerate(runs):
        alike.setdefault((run.problem, run.contender) if _replicable(run.problem, run.contender) else k, []).append(run)
    made = []
    for group in alike.values():
        parts = max(-(-len(group) // TOGETHER), min(jobs, len(group)) if len(alike) < jobs else 1)
        ends = [len(group) * part // parts for part in range(parts + 1)]
        made += [group[start:end] for start, end in pairwise(ends)]
    return made


@cache
def _replicable(problem: Problem, contender: Contender) -> bool:
    net = problem.network(0)
    rule = contender.make(net, 0.1, {}).rule
    small = net.parameters.data.size <= SMALL and net.backend.name == "numpy"
    return small and not problem.dropout and not isinstance(rule, LayerRule)


def _train(run: Run) -> Record:
    problem, data = run.problem, run.problem.replicate(run.split)
    net = problem.network(run.seed)
    opt = run.contender.make(net, run.lr, run.settings())
    best, kept = _Best(), dict[str, Any]()

    def watch(network: Network, optimizer: Optimizer, history: History) -> None:
        if best.improved(history):
            kept.update(snapshot(network))

    ratios = _Ratios(net, -(-len(data.x_train) // problem.batch_size))
    history = fit(
        net,
        opt,
        data,
        epochs=problem.epochs,
        batch_size=problem.batch_size,
        seed=run.seed,
        callbacks=[watch, ratios],
        progress=False,
    )
    if history.status == "interrupted":
        raise KeyboardInterrupt
    test: Tested = None, None, ""
    if kept:
        restore(net, kept)
        loss, accuracy = evaluate(net, data.x_test, data.y_test)
        test = loss, accuracy, rows_right(net, data) if problem.shares_test else ""
    return _record(run, history, best, ratios.found, test, len(opt.state), net.backend.name)


def _train_together(runs: Sequence[Run]) -> list[Record]:
    problem = runs[0].problem
    splits = {run.split: problem.replicate(run.split) for run in runs}
    data = [splits[run.split] for run in runs]
    by_seed = {run.seed: problem.network(run.seed) for run in runs}
    nets = [by_seed[run.seed] for run in runs]
    rule = runs[0].contender.make(nets[0], runs[0].lr, runs[0].settings()).rule
    bests = [_Best() for _ in runs]
    ratios: list[list[dict[str, float]]] = [[] for _ in runs]
    kept: dict[str, Any] = {}
    stacked: list[Network] = []

    def watch(network: Network, histories: list[History], before: Any) -> None:
        better = [r for r, history in enumerate(histories) if bests[r].improved(history)]
        if not kept:
            kept.update(snapshot(network))
            stacked.append(network)
        for name, array in network.learned().items():
            kept[name][better] = array[better]
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
    restore(stacked[0], kept)
    test = [(one.x_test, one.y_test) for one in data]
    losses, accuracies = evaluate_replicas(stacked[0], test)
    rows = map(packed, right_of_replicas(stacked[0], test)) if problem.shares_test else [""] * len(runs)
    tested = [
        (loss, accuracy, right) if best.epoch else (None, None, "")
        for best, loss, accuracy, right in zip(bests, losses, accuracies, rows, strict=True)
    ]
    state = len(trace(rule).state)
    found = zip(runs, histories, bests, ratios, tested, strict=True)
    return [_record(run, history, best, ratio, test, state, "numpy") for run, history, best, ratio, test in found]


class _Ratios:
    """A callback of ``fit``: the update ratios of the last step of each finished epoch."""

    def __init__(self, network: Network, batches: int) -> None:
        self.found: list[dict[str, float]] = []
        self._batches = batches
        self._before = network.parameters.data.copy()

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        if (optimizer.t + 1) % self._batches == 0 and self._batches > 1:
            self._before[...] = network.parameters.data

    def idle(self, steps: int) -> int:
        return (-2 - steps) % self._batches if self._batches > 1 else self._batches

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self.found.append(update_ratios(network, self._before))
        if self._batches == 1:
            self._before[...] = network.parameters.data


class _Best:
    """The epoch with the best validation accuracy so far; among equals, with the lowest validation loss."""

    def __init__(self) -> None:
        self.epoch, self.accuracy, self.loss = 0, -1.0, math.inf

    def improved(self, history: History) -> bool:
        """Whether the last epoch is the best."""
        if history.epochs <= self.epoch:
            return False
        accuracy, loss = history.val_accuracy[-1], history.val_loss[-1]
        if (accuracy, -loss) <= (self.accuracy, -self.loss):
            return False
        self.epoch, self.accuracy, self.loss = history.epochs, accuracy, loss
        return True


Tested = tuple[float | None, float | None, str]
"""Loss, accuracy and the rows that are right, on the test data."""


def _record(
    run: Run,
    history: History,
    best: _Best,
    ratios: list[dict[str, float]],
    test: Tested,
    state_arrays: int,
    engine: str,
) -> Record:
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds")
    layers = ratios[0] if ratios else ()
    curves = Curves(
        **{name: tuple(getattr(history, name)) for name in names},
        update_ratio={name: tuple(r.get(name) for r in ratios) for name in layers},
    )
    test_loss, test_accuracy, test_rows = test
    return Record(
        run.key,
        run.config(),
        "diverged" if history.status == "diverged" else "ok",
        best_epoch=best.epoch or None,
        val_accuracy=best.accuracy if best.epoch else None,
        val_loss=best.loss if best.epoch else None,
        test_accuracy=test_accuracy,
        test_loss=test_loss,
        test_rows=test_rows,
        steps=history.steps,
        diverged_step=history.diverged_step,
        seconds=sum(history.seconds),
        state_arrays=state_arrays,
        engine=engine,
        curves=curves,
        versions=versions(),
        host=host(),
    )


TIMED_STEPS, TIMING_ROUNDS = 60, 5


def time_steps(problem: Problem, runs: dict[str, Run]) -> dict[str, Spread]:
    """Measure the seconds per training step, by label, one run after another in this process; evaluation is excluded.

    After a warm-up round there are five rounds. In each, every run trains 60 steps of the problem, so that a machine
    that slows down slows all of them. The result is the median of the rounds, with the lowest and the highest. A run
    that diverges or fails has none. (The runs of the study may share the machine with other workers, which makes their
    own times wrong by a factor of two.)
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
    rounds = {label: values[1:] for label, values in seconds.items() if len(values) > 1}
    return {label: Spread(float(np.median(v)), min(v), max(v)) for label, v in rounds.items()}


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
        if record.status == "error":
            raise InputError(f"{contender.label} cannot be run: {record.error}")
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
