"""Comparisons of made-up records: nothing is trained."""

from optimlab.study.compare import Comparison, summarized
from optimlab.study.plan import KINDS
from optimlab.study.results import Curves, Record, Spread

OK = "ok"


def made_record(run, status=OK, test=0.9, val=None, epochs=None):
    """A record that reached every target up to its validation accuracy at epoch ``epochs``, by default the last."""
    if status == "error":
        return run.failed("MemoryError: made up")
    if status == "diverged":
        return Record(run.key, run.config(), "diverged", steps=3, diverged_step=3)
    val, last = test if val is None else val, run.problem.epochs
    reached = epochs or last
    accuracies = tuple(0.0 if k < reached else val for k in range(1, last + 1))
    losses = tuple(2.0 / k for k in range(1, last + 1))
    return Record(
        run.key,
        run.config(),
        "ok",
        best_epoch=reached,
        val_accuracy=val,
        val_loss=losses[-1],
        test_accuracy=test,
        test_loss=0.5,
        steps=10 * last,
        seconds=0.1,
        state_arrays=1,
        curves=Curves(losses, accuracies, losses, accuracies, (run.lr,) * last, (0.01,) * last),
        versions={"optimlab": "1"},
    )


def made_comparison(study, outcome, timed=True):
    """``outcome(label, kind, replicate, number of the trial)`` gives the arguments of :func:`made_record`."""
    makers = {"tuned": study.grid, "default": study.default, "searched": study.random}
    found = {
        kind: {
            c.label: [
                [made_record(run, **outcome(c.label, kind, r, k)) for k, run in enumerate(makers[kind](c, r))]
                for r in range(study.replicates)
            ]
            for c in study.contenders
        }
        for kind in KINDS
        if (kind != "default" or study.defaults) and (kind != "searched" or study.search)
    }
    records = {
        record.key: record for own in found.values() for trials in own.values() for some in trials for record in some
    }
    times = {c.label: Spread(1e-4, 0.9e-4, 1.2e-4) for c in study.contenders} if timed else {}
    planned = {"target": study.problem.target, "replicates": study.replicates}
    return Comparison(summarized(study, found, records, times, planned), records)
