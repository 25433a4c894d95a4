"""Execution of a study's runs, and the timing of their steps."""

from __future__ import annotations

import math
import os
import platform
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from ..backends import onednn
from ..common.version import __version__
from ..datasets import Dataset
from ..nn.network import Network
from ..optim.optimizers import Optimizer
from ..training import History, evaluate, fit
from ..training.diagnostics import update_ratios
from ..training.snapshot import restore, snapshot
from .plan import Problem, Run
from .results import Curves, Record, Spread
from .rows_score import rows_score


def execute(run: Run) -> Record:
    """Train and measure one run.

    The record's ``status`` is ``"ok"``, ``"diverged"`` or ``"error"``, with the message in ``error``. This function
    raises nothing but KeyboardInterrupt. The split depends only on ``run.split``, and the initial weights and the order
    of the rows only on ``run.seed``, so the same seeds pair the runs of all optimizers. Scores are those of the epoch
    with the best validation score; ties go to the lowest validation loss. The test data are used once, at the end, with
    the weights of that epoch.
    """
    try:
        return _train(run)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # a failed run must not end the study
        return run.failed(f"{type(error).__name__}: {error}")


def _train(run: Run) -> Record:
    problem, data = run.problem, run.problem.replicate(run.split)
    net = problem.network(run.seed)
    steps, per_epoch = problem.steps()
    opt = run.contender.make(net, run.lr, run.settings(), steps, per_epoch)
    best, kept = Best(), dict[str, Any]()

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
    return record_of(run, history, best, ratios.found, test, len(opt.state), net.backend.name)


class _Ratios:
    """A callback of ``fit`` that collects the update ratios of the last step of each finished epoch."""

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


class Best:
    """The epoch with the best validation score so far; ties go to the lowest validation loss."""

    def __init__(self) -> None:
        self.epoch, self.score, self.loss = 0, -1.0, math.inf

    def improved(self, history: History) -> bool:
        """Return True if the last epoch is the best, and remember it."""
        if history.epochs <= self.epoch:
            return False
        score, loss = scores(history, "val")[-1], history.val_loss[-1]
        if (score, -loss) <= (self.score, -self.loss):
            return False
        self.epoch, self.score, self.loss = history.epochs, score, loss
        return True


def scores(history: History, split: str) -> list[float]:
    """Return the score after each epoch, see :class:`optimlab.study.results.Curves`."""
    return getattr(history, f"{split}_accuracy") or [max(0.0, r2) for r2 in getattr(history, f"{split}_r2")]


def record_of(
    run: Run,
    history: History,
    best: Best,
    ratios: list[dict[str, float]],
    test: dict[str, Any],
    state_arrays: int,
    engine: str,
) -> Record:
    """Return the record of a run from what was measured; ``test`` has the fields about the test data."""
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
    """Measure the seconds per training step of runs, by label, without evaluation.

    The runs train one after another in this process, in a warm-up round and five more. In each round, every run trains
    an epoch that does not count, in which compiled steps are recorded, and then 60 steps. So a machine that slows down
    slows all runs. The result is the median of the rounds, with the lowest and the highest. Runs that diverge or fail
    are left out. (The times recorded during the study can be wrong by a factor of two, because workers share the
    machine.)
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
            except Exception:  # the reason is in the records of its runs
                continue
            if history.status == "interrupted":
                raise KeyboardInterrupt
            timed = history.seconds[1:]
            seconds[label] += [sum(timed) / (len(timed) * batches)] if timed else []
    rounds = {label: values[1:] for label, values in seconds.items() if len(values) > 1}
    return {label: Spread(float(np.median(v)), min(v), max(v)) for label, v in rounds.items()}


@cache
def versions() -> dict[str, str]:
    """Return the versions that affect the results."""
    return {"optimlab": __version__, "numpy": np.__version__, "python": platform.python_version()}


@cache
def host() -> dict[str, Any]:
    """Describe the machine, as far as times depend on it."""
    model = ""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    # only NumPy's: the other loaded libraries differ between processes
    pools = [p for p in threadpool_info() if p["user_api"] == "blas"]
    pools = [p for p in pools if "numpy" in p["filepath"]] or pools
    blas = {" ".join(str(p[k]) for k in ("internal_api", "version", "architecture") if p.get(k)) for p in pools}
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "blas": sorted(blas) + onednn.used(),
    }
