"""Rows and pairs from the records of a study, beside loops that say the same once more, whatever became of the runs."""

import math
import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_files import FATES, made
from scipy import stats

from optimlab.study import Contender, Problem, Study
from optimlab.study.results import Spread
from optimlab.study.statistics import epochs_interval, pair_tests
from optimlab.study.summary import deviation, pairs, rows

STUDY = Study(
    problem=Problem(hidden=(2,), epochs=3, target=0.5),
    optimizers=("sgd", "adam", "adagrad"),
    rates=(0.01, 0.1, 1.0),
    replicates=4,
    search=2,
)
STEP = Spread(1e-4, 0.9e-4, 1.5e-4)


def found_by(study, record_of):
    """The trials of every row, made by ``record_of(run)``."""
    makers = {"tuned": study.grid, "default": study.default, "searched": study.random}
    return {
        kind: {
            c.label: [[record_of(run) for run in make(c, r)] for r in range(study.replicates)] for c in study.contenders
        }
        for kind, make in makers.items()
    }


def records_of(found):
    return {r.key: r for own in found.values() for trials in own.values() for part in trials for r in part}


def chosen_by_hand(trials):
    """The highest validation accuracy, 0 for a run that did not finish; then the lowest loss; then the first."""
    best = None
    for record in trials:
        accuracy = record.val_score if record.status == "ok" else 0.0
        loss = record.val_loss if record.status == "ok" else math.inf
        if best is None or accuracy > best[0] or (accuracy == best[0] and loss < best[1]):
            best = accuracy, loss, record
    return best[2], best[0]


def fastest_by_hand(trials, target):
    """The fewest epochs to the target of a run that finished; then as the choice goes."""
    best = None
    for record in trials:
        if record.status != "ok":
            continue
        epochs = next((k + 1 for k, value in enumerate(record.curves.val_score) if value >= target), None)
        if epochs is None:
            continue
        order = epochs, -record.val_score, record.val_loss
        if best is None or order < best[0]:
            best = order, record
    return (None, None) if best is None else (best[1], best[0][0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([FATES, ("ok",), ("ok", "ok", "diverged"), ("ok", "error")]))
def test_a_row_is_what_its_records_say(seed, fates):
    chance = random.Random(seed)
    levels = (0.2, 0.5, 0.7)

    def record_of(run):
        return made(
            run,
            chance.choice(fates),
            test=chance.random(),
            curve=[chance.choice(levels) for _ in range(3)],
            loss=chance.choice([0.1, 0.2]),
        )

    found = found_by(STUDY, record_of)
    table = rows(STUDY, found, {"sgd": STEP})
    assert [row.label for row in table] == [
        *("sgd", "adam", "adagrad"),
        *("sgd, default", "adam, default", "adagrad, default"),
        *("sgd, searched", "adam, searched", "adagrad, searched"),
    ]
    for row in table:
        trials = found[row.kind][row.contender]
        tested, validated, epochs = [], [], []
        for r, own in enumerate(trials):
            one = row.replicates[r]
            chosen, accuracy = chosen_by_hand(own)
            fast, reached = fastest_by_hand(own, 0.5)
            rates = [record.run["lr"] for record in own]
            finished = chosen.status == "ok"
            assert (one.number, one.key, one.lr, one.status) == (r, chosen.key, chosen.run["lr"], chosen.status)
            assert one.hyperparameters == chosen.run["hyperparameters"]
            assert one.val_score == accuracy
            assert one.test_score == (chosen.test_score if finished else 0.0)
            assert (one.fast_key, one.fast_lr, one.epochs) == (
                (fast.key, fast.run["lr"], reached) if fast else (None, None, None)
            )
            edge = one.lr in (min(rates), max(rates))
            assert one.at_edge == (row.kind == "tuned" and finished and edge)
            assert [(t.lr, t.val_score, t.epochs) for t in one.grid] == sorted(
                (
                    record.run["lr"],
                    record.val_score if record.status == "ok" else None,
                    fastest_by_hand([record], 0.5)[1],
                )
                for record in own
            )
            tested.append(one.test_score)
            validated.append(accuracy)
            epochs.append(4 if reached is None else reached)  # a miss: the budget of 3, and one
        for interval, values in (
            (row.test_score, tested),
            (row.val_score, validated),
            (row.epochs, epochs),
        ):
            assert interval.mean == pytest.approx(np.mean(values), abs=1e-12)
            half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
            if values is epochs:  # with the budget of 3; tested apart
                expected = epochs_interval(values, 3)[1:]
            else:
                expected = interval.mean - half, interval.mean + half
            assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)
        everything = [record for own in trials for record in own]
        assert row.hits == sum(one.epochs is not None for one in row.replicates)
        assert row.finished == sum(one.status == "ok" for one in row.replicates)
        assert row.failed == len(row.errors) == sum(record.status == "error" for record in everything)
        assert row.diverged_share == sum(record.status == "diverged" for record in everything) / len(everything)
        assert row.trials == (len(trials[0]),) * 2
        assert row.edges == sum(one.at_edge for one in row.replicates)
        lrs = [one.lr for one in row.replicates]
        middle = 10 ** float(np.median(np.log10(lrs)))
        assert tuple(row.lr) == pytest.approx((middle, min(lrs), max(lrs)))
        fast = [one.fast_lr for one in row.replicates if one.fast_lr is not None]
        assert (row.fast_lr is None) == (not fast)
        assert not fast or (row.fast_lr.low, row.fast_lr.high) == (min(fast), max(fast))
        timed = row.label == "sgd"
        assert (row.microseconds_per_step is None) != timed
        assert not timed or tuple(row.microseconds_per_step) == pytest.approx((100, 90, 150))
        if timed and row.hits:  # 1,077 rows in batches of 64 are 17 steps
            assert row.seconds_to_target == pytest.approx(np.mean(epochs) * 17 * 1e-4)
        else:
            assert row.seconds_to_target is None
        assert (row.usable_decades is None) == (row.kind != "tuned")
        assert len(row.best_after) == (2 if row.kind == "searched" else 0)
        if row.best_after:  # of one draw the mean over trials and replicates
            assert row.best_after[0] == pytest.approx(np.mean([record.val_counted for record in everything]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 30), st.booleans())
def test_pairs_are_paired_and_corrected_together(seed, failing):
    chance = random.Random(seed)

    def record_of(run):
        fate = chance.choice(["ok"] * 20 + ["diverged"] + ["error"] * failing)
        return made(run, fate, test=chance.random(), curve=[chance.choice([0.2, 0.6]) for _ in range(3)])

    found = found_by(STUDY, record_of)
    table = rows(STUDY, found, {})
    compared = pairs(STUDY, table, records_of(found))
    sound = [
        row for row in table if not any(r.status == "error" for own in found[row.kind][row.contender] for r in own)
    ]
    tuned = [row for row in sound if row.kind == "tuned"]
    expected = {
        (one.label, other.label, measure)
        for k, one in enumerate(tuned)
        for other in tuned[k + 1 :]
        for measure in ("test_score", "epochs")
    }
    expected |= {
        (row.label, row.contender, "test_score")
        for row in sound
        if row.kind != "tuned" and row.contender in [one.label for one in tuned]
    }
    assert {(p.first, p.second, p.measure) for p in compared} == expected
    assert len(compared) == len(expected)
    by_label = {row.label: row for row in table}
    together = {}  # of the tuned rows; the test itself is tested apart
    for measure in ("test_score", "epochs"):
        values = [
            [r.test_score if measure == "test_score" else math.log(r.epochs or 4) for r in row.replicates]
            for row in tuned
        ]
        names = combinations([row.label for row in tuned], 2)
        if len(tuned) > 1:
            tests = pair_tests(values)
            found = zip(tests.p_values, tests.differences, strict=True)
            together |= {(*two, measure): one for two, one in zip(names, found, strict=True)}
    for pair in compared:
        one, other = by_label[pair.first], by_label[pair.second]
        if pair.measure == "test_score":
            first, second = ([r.test_score for r in row.replicates] for row in (one, other))
        else:
            first, second = ([4 if r.epochs is None else r.epochs for r in row.replicates] for row in (one, other))
        differences = [a - b for a, b in zip(first, second, strict=True)]
        assert pair.difference.mean == pytest.approx(np.mean(differences), abs=1e-12)
        error = math.sqrt(np.var(differences, ddof=1) + (1 / 12 if pair.measure == "epochs" else 0)) / 2
        test = together.get((pair.first, pair.second, pair.measure))
        half = test[1].half if test and pair.measure == "test_score" else stats.t.ppf(0.975, 3) * error
        assert pair.difference.half == pytest.approx(half, abs=1e-12)
        tested = (first, second) if pair.measure == "test_score" else (np.log(first), np.log(second))
        apart = np.subtract(*tested)
        if pair.measure == "epochs" and np.mean(apart) * np.mean(differences) <= 0:
            assert pair.p == 1.0
        elif test:
            assert pair.p == pytest.approx(test[0], rel=1e-6)
        elif np.std(apart) > 1e-12:
            assert pair.p == pytest.approx(stats.ttest_rel(*tested).pvalue, rel=1e-9)
        else:
            assert pair.p == (0.125 if abs(apart[0]) > 1e-12 else 1.0)
        ahead = [(d > 0) + 0.5 * (d == 0) for d in differences]
        share = np.mean(ahead) if pair.measure == "test_score" else 1 - np.mean(ahead)
        assert pair.ahead.mean == pytest.approx(share)
        missed = any(r.epochs is None for row in (one, other) for r in row.replicates)
        assert pair.misses == (pair.measure == "epochs" and missed)
        assert pair.rows_error is None
        if abs(pair.difference.mean) > 1e-12:
            lower = one if np.mean(differences) < 0 else other
            fewer_or_higher = lower if pair.measure == "epochs" else (other if lower is one else one)
            assert pair.better == fewer_or_higher.label
            assert {pair.better, pair.worse} == {pair.first, pair.second}
        assert pair.told_apart == (pair.adjusted <= 0.05)
    # Holm, read as its step-down procedure: at each level the smallest p-values are rejected until one is too large
    order = sorted(compared, key=lambda pair: pair.p)
    for level in (0.01, 0.05, 0.2, 0.5, 0.9):
        rejected = 0
        while rejected < len(order) and order[rejected].p <= level / (len(order) - rejected):
            rejected += 1
        assert sum(pair.adjusted <= level for pair in compared) == rejected


def test_a_difference_that_pairing_alone_can_see():
    """The replicates differ by far more than the optimizers, which differ by the same in each but for a little."""
    study = replace(STUDY, optimizers=("sgd", "adam"), replicates=6, search=0, defaults=False)

    def record_of(run):
        replicate = run.seed % 10_000
        test = 0.4 + 0.1 * replicate - (0.01 + 0.0001 * (replicate % 3)) * (run.contender.name == "sgd")
        return made(run, test=test)

    found = {"tuned": found_by(study, record_of)["tuned"]}
    table = rows(study, found, {})
    (pair,) = [p for p in pairs(study, table, records_of(found)) if p.measure == "test_score"]
    assert pair.told_apart
    assert (pair.better, pair.worse) == ("adam", "sgd")
    assert stats.ttest_ind(*([r.test_score for r in row.replicates] for row in table)).pvalue > 0.9


def test_the_typical_deviation_is_the_median_over_all_pairs():
    rng = np.random.default_rng(0)
    values = {run: float(v) for run, v in zip(("sgd", "adam", "adagrad"), rng.random(3), strict=True)}
    found = {"tuned": found_by(STUDY, lambda run: made(run, test=rng.random() * values[run.contender.name]))["tuned"]}
    table = rows(STUDY, found, {})
    tested = [[r.test_score for r in row.replicates] for row in table]
    spreads = [np.std(np.subtract(tested[i], tested[j]), ddof=1) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert deviation(table, "test_score", 3) == pytest.approx(np.median(spreads))
    assert deviation(table[:1], "test_score", 3) is None


def test_the_error_of_test_rows_that_all_replicates_share():
    """Rows are drawn anew many times: the difference varies by about the stated standard error."""
    shared = replace(STUDY.problem, redraw="train", test_rows=400)
    study = replace(STUDY, problem=shared, optimizers=("sgd", "adam"), search=0, defaults=False)
    level = {"sgd": 0.6, "adam": 0.9}
    found = {"tuned": found_by(study, lambda run: made(run, test=level[run.contender.name]))["tuned"]}
    records, table = records_of(found), rows(study, found, {})
    (pair,) = [p for p in pairs(study, table, records) if p.measure == "test_score"]
    right = {name: np.arange(400) < round(share * 400) for name, share in level.items()}  # as made() has it
    drawn = np.random.default_rng(0).integers(0, 400, (4000, 400))
    differences = right["adam"][drawn].mean(1) - right["sgd"][drawn].mean(1)
    assert pair.rows_error == pytest.approx(differences.std(), rel=0.05)
    missing = {key: record for key, record in records.items() if key != table[0].replicates[0].key}
    assert [p.rows_error for p in pairs(study, table, missing) if p.measure == "test_score"] == [None]


def test_labels_name_rows_and_not_what_they_compute():
    """One rule under two labels is two rows of the same runs."""
    study = replace(STUDY, optimizers=("sgd", Contender("sgd", label="twin")), search=0, defaults=False, replicates=3)
    found = {"tuned": found_by(study, made)["tuned"]}
    one, other = rows(study, found, {})
    assert (one.label, other.label) == ("sgd", "twin")
    assert one.replicates == other.replicates
    assert all(pair.p == 1 for pair in pairs(study, (one, other), records_of(found)))
