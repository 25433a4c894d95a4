"""Rows and summaries with any numbers, for the tests of tables and figures; nothing is run."""

from optimlab.study.results import Interval, Replicate, Row, Spread, Summary, Target, Trial, Verdict


def around(x):
    return Interval(x, x - 0.01, x + 0.01)


def row(name, kind="tuned", *, lr=0.1, epochs=12.5, hits=3, step=123456.0, test=0.5, decades=12.5):
    replicates = tuple(
        Replicate(number, "key", lr, {}, "ok", 1.0, test, None, None, None, False, (Trial(lr, 1.0, None),))
        for number in range(3)
    )
    return Row(
        label=name if kind == "tuned" else f"{name}, {kind}",
        contender=name,
        optimizer="sgd",
        convention="textbook",
        kind=kind,
        replicates=replicates,
        lr=Spread(lr, lr, lr),
        fast_lr=None,
        trials=(1, 1),
        val_score=around(1.0),
        test_score=around(test),
        epochs=Interval(epochs, epochs - 1, epochs + 1),
        hits=hits,
        finished=3,
        failed=0,
        diverged_share=0.0,
        microseconds_per_step=None if step is None else Spread(step, step, step),
        seconds_to_target=None,
        state_bytes_per_weight=12.0,
        usable_decades=decades,
        usable_at_least=True,
        best_after=(),
        errors=(),
        not_searched=(),
    )


def summary(rows, **values):
    labels = [row.label for row in rows if row.kind == "tuned"]
    start = {
        "version": 2,
        "study": {},
        "data": "digits, MLP 64-64-10",
        "protocol": "quick",
        "target": Target(0.95, 0.95, True, None),
        "replicates": 3,
        "planned_replicates": 3,
        "epochs": 20,
        "rows": tuple(rows),
        "pairs": (),
        "baseline": None,
        "verdict": Verdict((), labels[0], (), labels[0], (), 81, None, None),
        "left_out": (),
        "test_rows": None,
        "versions": {},
        "host": {},
        "made": "2026-11-29T00:00:00+00:00",
    }
    return Summary(**{**start, **values})
