"""Records of runs as the store keeps them, made up: nothing is trained."""

import contextlib
import sys
import warnings
from unittest import mock

import numpy as np
from sketches import SCORES

from optimlab.study import Record
from optimlab.study import compare as compare_function
from optimlab.study.digests import key_of
from optimlab.study.execution import one_by_one
from optimlab.study.results import Curves, Spread
from optimlab.study.rows_score import packed

compare_module = sys.modules[compare_function.__module__]


def kept(name, status="ok", **values):
    """The record of a run that is known by ``name`` alone."""
    run = {"optimizer": name}
    return Record(key_of(run), run, status, **{**(SCORES if status == "ok" else {}), **values})


def names(store):
    """Return what the runs in a store are known by, in their order."""
    return [record.run["optimizer"] for record in store.records.values()]


FATES = ("ok", "diverged", "diverged at once", "error")


def made(run, fate="ok", score=0.9, *, test=None, curve=None, loss=None):
    """The record of ``run``, as if it had been trained: it may end in its second epoch, in its first, or fail.

    ``curve`` is the validation accuracy after each epoch, which by default rises evenly to ``score``; ``test`` is the
    test accuracy, by default ``score``; ``loss`` the validation loss at the best epoch.
    """
    if fate == "error":
        return run.failed("MemoryError: made up")
    epochs = {"ok": run.problem.epochs, "diverged": 1, "diverged at once": 0}[fate]
    falling = tuple(1.0 / (k + 1) for k in range(epochs))
    rising = tuple(curve or (score * (k + 1) / epochs for k in range(epochs)))[:epochs]
    best = max(range(epochs), key=lambda k: rising[k], default=-1)
    test, right = score if test is None else test, ""
    if run.problem.shares_test and epochs:
        rows = run.problem.sizes()[2]
        right = packed(np.arange(rows) < round(test * rows))
    return Record(
        run.key,
        run.config(),
        fate.split()[0],
        best_epoch=best + 1 if epochs else None,
        val_score=rising[best] if epochs else None,
        val_loss=(falling[best] if loss is None else loss) if epochs else None,
        test_score=test if epochs else None,
        test_loss=0.5 if epochs else None,
        test_rows=right,
        steps=17 * epochs,
        diverged_step=None if fate == "ok" else 17 * epochs + 1,
        seconds=0.01 * epochs,
        engine="numpy",
        curves=Curves(
            train_loss=falling,
            train_score=rising,
            val_loss=falling,
            val_score=rising,
            lr=(run.lr,) * epochs,
            seconds=(0.01,) * epochs,
            update_ratio=dict.fromkeys(("dense1.W", "dense2.W"), falling) if epochs else {},
        ),
    )


@contextlib.contextmanager
def executed_by(execute):
    """Let comparisons make the record of each run by ``execute``; nothing is trained, timed or waited for.

    Yields the list of the runs that were executed.
    """
    runs = []

    def noted(run):
        runs.append(run)
        return execute(run)

    with (
        mock.patch.object(compare_module, "side_by_side", one_by_one(noted)),
        mock.patch.object(compare_module, "time_steps", lambda problem, runs: dict.fromkeys(runs, Spread(*[1e-4] * 3))),
        mock.patch("os.fsync"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # that a rate lies at the edge, or none finished
        yield runs


def planted(fate, score=lambda run: 0.9):
    """Let the runs of comparisons end as ``fate`` says."""
    return executed_by(lambda run: made(run, fate(run), score(run)))
