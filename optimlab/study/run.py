"""Execute runs of a study, and time their steps."""

from __future__ import annotations

import math
import os
import platform
import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from ..backends import onednn
from ..backends.threads import one_thread
from ..common.errors import InputError
from ..common.version import __version__
from ..datasets import Dataset
from ..nn.network import Network
from ..optim.optimizers import Optimizer
from ..training import History, evaluate, fit
from ..training.diagnostics import update_ratios
from ..training.snapshot import restore, snapshot
from .plan import Contender, Problem, Run, Study
from .results import Curves, Record, Spread
from .rows_score import rows_score


def execute(run: Run) -> Record:
    """Train and measure one run.

    ``status`` is ``"ok"``, ``"diverged"`` or ``"error"`` (with the message in ``error``): no exception leaves this
    function but Ctrl-C. The split depends on ``run.split``, initial weights and the order of the rows on ``run.seed``
    alone, so the same seeds pair the runs of all optimizers. Scores are taken at the epoch with the best validation
    score; among several such, at that with the lowest validation loss. Test data are looked at once, at the end,
    with the weights of that epoch.
    """
    try:
        return _train(run)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # one run that fails must not end the study
        return run.failed(f"{type(error).__name__}: {error}")


def _train(run: Run) -> Record:
    problem, data = run.problem, run.problem.replicate(run.split)
    net = problem.network(run.seed)
    steps, per_epoch = problem.steps()
    opt = run.contender.make(net, run.lr, run.settings(), steps, per_epoch)
    best, kept = _Best(), dict[str, Any]()

    def watch(network: Network, optimizer: Optimizer, history: History) -> None:
        if best.improved(history):
            kept.update(snapshot(network))

    ratios = _Ratios(net, per_epoch)
    history = fit(
        net,
        opt,
        data,
        epochs=problem.epochs,
        batch_size=problem.batch_size,
        loss=problem.loss_function,
        seed=run.seed,
        callbacks=[watch, ratios, *run.contender.callbacks(problem.epochs)],
        progress=False,
    )
    if history.status == "interrupted":
        raise KeyboardInterrupt
    test: dict[str, Any] = {}
    if kept:
        restore(net, kept)
        loss, score = evaluate(net, data.x_test, data.y_test, problem.loss_function)
        test = {"test_loss": loss, "test_score": max(0.0, score or 0.0)}
        test["test_rows"] = rows_score(net, data) if problem.shares_test else ""
        if problem.score == "r2":
            error, _ = evaluate(net, data.x_test, data.y_test, "mean_absolute_error")
            test["test_error"] = error * (data.target_scale.std if data.target_scale else 1.0)
    return _record(run, history, best, ratios.found, test, len(opt.state), net.backend.name)


class _Ratios:
    """A callback of ``fit``: the update ratios of the last step of each finished epoch."""

    def __init__(self, network: Network, batches: int) -> None:
        self.found: list[dict[str, float]] = []
        self._batches = batches
        self._before = network.parameters.data.copy()

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        if (optimizer.t + 1) % self._batches == 0 and self._batches > 1:
            self._before[...] = network.parameters.data

    def idle(self, steps: int) -> float:
        return (-2 - steps) % self._batches if self._batches > 1 else math.inf

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self.found.append(update_ratios(network, self._before))
        if self._batches == 1:
            self._before[...] = network.parameters.data


class _Best:
    """The epoch with the best validation score so far; among equals, with the lowest validation loss."""

    def __init__(self) -> None:
        self.epoch, self.score, self.loss = 0, -1.0, math.inf

    def improved(self, history: History) -> bool:
        """Whether the last epoch is the best."""
        if history.epochs <= self.epoch:
            return False
        score, loss = scores(history, "val")[-1], history.val_loss[-1]
        if (score, -loss) <= (self.score, -self.loss):
            return False
        self.epoch, self.score, self.loss = history.epochs, score, loss
        return True


def scores(history: History, split: str) -> list[float]:
    """The accuracy after each epoch, or R², 0 where it is negative: see :class:`optimlab.study.results.Curves`."""
    return getattr(history, f"{split}_accuracy") or [max(0.0, r2) for r2 in getattr(history, f"{split}_r2")]


def _record(
    run: Run,
    history: History,
    best: _Best,
    ratios: list[dict[str, float]],
    test: dict[str, Any],
    state_arrays: int,
    engine: str,
) -> Record:
    names = ("train_loss", "val_loss", "lr", "seconds")
    layers = ratios[0] if ratios else ()
    curves = Curves(
        **{name: tuple(getattr(history, name)) for name in names},
        train_score=tuple(scores(history, "train")),
        val_score=tuple(scores(history, "val")),
        update_ratio={name: tuple(r.get(name) for r in ratios) for name in layers},
    )
    return Record(
        run.key,
        run.config(),
        "diverged" if history.status == "diverged" else "ok",
        best_epoch=best.epoch or None,
        val_score=best.score if best.epoch else None,
        val_loss=best.loss if best.epoch else None,
        **test,
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

    After a warm-up round there are five rounds. In each, every run trains an epoch that does not count, in which
    compiled steps are recorded, and then 60 steps of the problem: a machine that slows down slows all of them. The
    result is the median of the rounds, with the lowest and the highest. A run that diverges or fails has none. (The
    runs of the study may share the machine with other workers, which makes their own times wrong by a factor of two.)
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
                opt = run.contender.make(net, run.lr, run.settings(), (epochs + 1) * batches, batches)
                loss, size = problem.loss_function, problem.batch_size
                history = fit(net, opt, some, epochs=epochs + 1, batch_size=size, loss=loss, progress=False)
            except Exception:  # the records of its runs have the reason
                continue
            if history.status == "interrupted":
                raise KeyboardInterrupt
            timed = history.seconds[1:]
            seconds[label] += [sum(timed) / (len(timed) * batches)] if timed else []
    rounds = {label: values[1:] for label, values in seconds.items() if len(values) > 1}
    return {label: Spread(float(np.median(v)), min(v), max(v)) for label, v in rounds.items()}


def estimate(study: Study, jobs: int = 1) -> float:
    """About how many seconds the planned runs take, from a few epochs of each contender.

    Raises
    ------
    InputError: a problem on which no run can be made, a contender whose run fails.
    """
    study.problem.check()
    total = 0.0
    for contender in study.contenders:
        # at first the data are read, and code is compiled
        first, once = _seconds(study, contender, 1), _seconds(study, contender, 1)
        thrice = _seconds(study, contender, 3) if first < QUICK else 3 * once
        total += once + (thrice - once) / 2 * (study.problem.epochs - 1)
    return total / len(study.contenders) * study.planned() / jobs


QUICK = 0.5
"""Seconds of an epoch above which the fixed cost of a run is negligible."""


def _seconds(study: Study, contender: Contender, epochs: int) -> float:
    """Measure the seconds of one run of so many epochs."""
    # a warm-up may be longer than these few epochs
    unscheduled = replace(contender, schedule=None, hyperparameters=contender.fixed)
    run = Run(study.with_epochs(epochs).problem, unscheduled, contender.defaults()["lr"], 0)
    start = time.perf_counter()
    with one_thread():  # as in the study
        record = execute(run)
    if record.status == "error":
        raise InputError(f"{contender.label} cannot be run: {record.error}")
    return time.perf_counter() - start


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
