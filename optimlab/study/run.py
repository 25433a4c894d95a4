"""Execute one run of a study."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from .. import optimizers
from ..network import MLP, Network
from ..optimizers import Optimizer
from ..training import History, evaluate, fit
from .plan import Run


def execute(run: Run) -> dict[str, Any]:
    """Train and report, as plain data ready for JSON.

    ``status`` is ``"ok"``, ``"diverged"`` or ``"error"`` (with the message in ``error``): no exception leaves this
    function but Ctrl-C. Initial weights and the order of the data depend on the seed alone, so the same seed pairs
    the runs of all optimizers. Scores are taken at the epoch with the best validation accuracy; among several such,
    at that with the lowest validation loss.
    """
    record: dict[str, Any] = {
        "key": run.key,
        "run": run.config(),
        "status": "error",
        "versions": {"optimlab": _version(), "numpy": np.__version__, "python": platform.python_version()},
    }
    try:
        record |= _train(run)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # one run that fails must not end the study
        record["error"] = f"{type(error).__name__}: {error}"
    return record


def _train(run: Run) -> dict[str, Any]:
    problem, data = run.problem, run.problem.data()
    net = MLP(
        problem.sizes(),
        activation=problem.activation,
        initializer=problem.initializer,
        batch_norm=problem.batch_norm,
        dropout=problem.dropout,
        seed=run.seed,
        dtype=problem.dtype,
        backend=problem.backend,
    )
    opt = make_optimizer(run, net)
    best: dict[str, Any] = {"best_epoch": None, "val_accuracy": -1.0, "val_loss": None}

    def watch(network: Network, optimizer: Optimizer, history: History) -> None:
        accuracy, loss = history.val_accuracy[-1], history.val_loss[-1]
        if accuracy > best["val_accuracy"] or (accuracy == best["val_accuracy"] and loss < best["val_loss"]):
            best.update(best_epoch=history.epochs, val_accuracy=accuracy, val_loss=loss)
            if run.test:
                best["test_loss"], best["test_accuracy"] = evaluate(network, data.x_test, data.y_test)

    history = fit(
        net,
        opt,
        data,
        epochs=problem.epochs,
        batch_size=problem.batch_size,
        seed=run.seed,
        callbacks=[watch],
        progress=False,
    )
    if history.status == "interrupted":
        raise KeyboardInterrupt
    if best["best_epoch"] is None:
        best["val_accuracy"] = None
    reached = [k for k, accuracy in enumerate(history.val_accuracy, 1) if accuracy >= problem.target]
    return {
        "status": "diverged" if history.status == "diverged" else "ok",
        **best,
        "epochs_to_target": reached[0] if reached else None,
        "steps": history.steps,
        "diverged_step": history.diverged_step,
        "seconds": sum(history.seconds),
        "state_arrays": len(opt.state),
        "engine": net.backend.name,
        "curves": {
            name: getattr(history, name) for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        },
    }


def make_optimizer(run: Run, net: Network) -> Optimizer:
    """The run's optimizer; rules of whole tensors have no conventions."""
    options: dict[str, Any] = {} if run.convention == "textbook" else {"convention": run.convention}
    return optimizers.get(run.optimizer)(net.parameters, lr=run.lr, **options)


def _version() -> str:
    from .. import __version__

    return __version__
