"""Execute one run of a study, and time a contender's steps."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ..datasets import Dataset
from ..diagnostics import Diagnostics
from ..network import Network
from ..optimizers import Optimizer
from ..training import History, evaluate, fit
from .plan import Problem, Run, Study


def execute(run: Run) -> dict[str, Any]:
    """Train and report, as plain data ready for JSON.

    ``status`` is ``"ok"``, ``"diverged"`` or ``"error"`` (with the message in ``error``): no exception leaves this
    function but Ctrl-C. Initial weights and the order of the data depend on the seed alone, so the same seed pairs
    the runs of all optimizers. Scores are taken at the epoch with the best validation accuracy; among several such,
    at that with the lowest validation loss.
    """
    record: dict[str, Any] = {"key": run.key, "run": run.config(), "status": "error", "versions": versions()}
    record["host"] = host()
    try:
        record |= _train(run)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # one run that fails must not end the study
        record["error"] = f"{type(error).__name__}: {error}"
    return record


def _train(run: Run) -> dict[str, Any]:
    problem, data = run.problem, run.problem.data()
    net = problem.network(run.seed)
    opt = run.contender.make(net, run.lr, run.settings())
    best: dict[str, Any] = {"best_epoch": None, "val_accuracy": -1.0, "val_loss": None}

    def watch(network: Network, optimizer: Optimizer, history: History) -> None:
        accuracy, loss = history.val_accuracy[-1], history.val_loss[-1]
        if accuracy > best["val_accuracy"] or (accuracy == best["val_accuracy"] and loss < best["val_loss"]):
            best.update(best_epoch=history.epochs, val_accuracy=accuracy, val_loss=loss)
            if run.test:
                best["test_loss"], best["test_accuracy"] = evaluate(network, data.x_test, data.y_test)

    batches = -(-len(data.x_train) // problem.batch_size)
    looks = Diagnostics(every=batches) if run.test and batches > 1 else None  # the last step of each epoch
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
    if best["best_epoch"] is None:
        best["val_accuracy"] = None
    reached = [k for k, accuracy in enumerate(history.val_accuracy, 1) if accuracy >= problem.target]
    curves = {
        name: getattr(history, name)
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds")
    }
    if looks is not None:
        names = looks.measurements[0].update_ratio if looks.measurements else {}
        curves["update_ratio"] = {name: [m.update_ratio.get(name) for m in looks.measurements] for name in names}
    return {
        "status": "diverged" if history.status == "diverged" else "ok",
        **best,
        "epochs_to_target": reached[0] if reached else None,
        "steps": history.steps,
        "diverged_step": history.diverged_step,
        "seconds": sum(history.seconds),
        "state_arrays": len(opt.state),
        "curves": curves,
    }


TIMED_STEPS, TIMING_ROUNDS = 60, 5


def time_steps(problem: Problem, runs: dict[str, Run]) -> dict[str, float]:
    """Seconds a training step takes, by label: one after another in this process, evaluation excluded.

    In each of five rounds every run trains 60 steps of the problem, after one round that is not counted; the
    answer is the median; one that diverges has none. Interleaved, so that a machine that slows down slows all of
    them. (Under parallel workers, where the runs themselves may be, times are wrong by a factor of two.)
    """
    data = problem.data()
    rows = min(len(data.x_train), TIMED_STEPS * problem.batch_size)
    batches = -(-rows // problem.batch_size)
    epochs = max(1, TIMED_STEPS // batches)
    some = Dataset(data.x_train[:rows], data.y_train[:rows], classes=data.classes)
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(TIMING_ROUNDS + 1):
        for label, run in runs.items():
            net = problem.network(0)
            opt = run.contender.make(net, run.lr, run.settings())
            history = fit(net, opt, some, epochs=epochs, batch_size=problem.batch_size, progress=False)
            seconds[label] += [sum(history.seconds) / history.steps] if history.seconds else []
    return {label: float(np.median(values[1:])) for label, values in seconds.items() if len(values) > 1}


def estimate(study: Study) -> float:
    """About how many seconds the planned runs take one after another, from one epoch of each contender."""
    one = replace(study.problem, epochs=1)
    total = 0.0
    for contender in study.contenders:
        run = Run(one, contender, contender.defaults()["lr"], 0, test=True)
        execute(run)  # reads the data, and whatever else is done once
        start = time.perf_counter()
        execute(run)
        total += time.perf_counter() - start
    return total / len(study.contenders) * study.problem.epochs * study.planned()


@cache
def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    from .. import __version__

    return {"optimlab": __version__, "numpy": np.__version__, "python": platform.python_version()}


@cache
def host() -> dict[str, Any]:
    """The machine, by what its times depend on."""
    from threadpoolctl import threadpool_info

    model = ""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    blas = {
        f"{b['internal_api']} {b.get('version') or ''} {b.get('architecture', '')}".strip() for b in threadpool_info()
    }
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "blas": sorted(blas),
    }
