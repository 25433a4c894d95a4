"""Studies of made-up learning curves, whose truth is known, say what is true as often as they promise.

``benchmarks/replication.py`` shows the same for training runs.
"""

import importlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binom

from optimlab.study import Contender, Problem, Study
from optimlab.study.compare import summarized
from optimlab.study.digests import key_of
from optimlab.study.results import Curves, Record

EPOCHS, TARGET, REPLICATES = 16, 0.9, 10
STUDY = Study(
    Problem(hidden=(4,), epochs=EPOCHS, target=TARGET),
    ("sgd",),
    rates=(0.003, 0.01, 0.03, 0.1, 0.3),
    replicates=REPLICATES,
    defaults=False,
    extensions=0,
)
# accuracy at the best rate, speed, and the best rate's logarithm
STRONG = (0.96, 0.5, -1.5)
MIXED = {
    "strong": STRONG,
    "twin": STRONG,
    "weak": (0.95, 0.5, -2.0),
    "brisk": (0.96, 0.42, -1.2),
    "slow": (0.96, 0.25, -1.5),
}
EQUAL = {f"copy {k}": STRONG for k in range(5)}
MANY = {f"rule {k}": STRONG for k in range(10)} | {"half": (0.96, 0.34, -1.5)}
"""Eleven rules, of which one takes 1.4 times the epochs of the others."""


class World:
    """Learning curves by contender, replicate, rate and epoch.

    All runs of a replicate share what its split does to the accuracy of validation and test, and to the speed. Every
    run has its own noise. The accuracy falls off to both sides of the best rate, and a rate far above it diverges.
    Validation counts 360 rows and test 1,000, so there are ties.
    """

    def __init__(self, contenders, rates, rng):
        top, speed, middle = (np.array(column)[:, None, None] for column in zip(*contenders.values(), strict=True))
        replicates, trials = rates.shape
        size = (len(contenders), replicates, trials)
        shared = rng.normal(size=(3, 1, replicates, 1))
        off = np.log10(rates) - middle
        quality = top - 0.006 * off**2 + rng.normal(0, 0.003, size)
        pace = speed * np.exp(0.15 * shared[2] + rng.normal(0, 0.15, size)) * 10 ** np.clip(0.4 * off, -1, 0)
        grown = 1 - np.exp(-pace[..., None] * np.arange(1, EPOCHS + 1))
        val = (quality + 0.006 * shared[0])[..., None] * grown + rng.normal(0, 0.003, (*size, EPOCHS))
        self.rates = rates
        self.val = np.clip(np.round(val * 360) / 360, 0, 1)
        self.loss = rng.random((*size, EPOCHS))
        tested = quality + 0.006 * shared[1] + rng.normal(0, 0.003, size)
        self.test = np.clip(np.round(tested * 1000) / 1000, 0, 1)
        self.diverged = off + rng.normal(0, 0.2, size) > 1

    def outcomes(self):
        """Test accuracy of the run chosen by validation, and epochs to the target, by contender and replicate.

        Written apart from the package: this is the truth that it is held against.
        """
        peak = np.where(self.diverged, -1, self.val.max(axis=3))
        loss = np.where(self.val == self.val.max(axis=3, keepdims=True), self.loss, 2).min(axis=3)
        chosen = (peak - 1e-6 * loss).argmax(axis=2)[..., None]
        test = np.take_along_axis(np.where(self.diverged, 0, self.test), chosen, 2)[..., 0]
        reached = (self.val >= TARGET) & ~self.diverged[..., None]
        first = np.where(reached.any(axis=3), reached.argmax(axis=3) + 1, EPOCHS + 1)
        return {"test_score": test, "epochs": first.min(axis=2).astype(float)}


def page(contenders, seed):
    """The summary of one made-up study."""
    study = Study(
        STUDY.problem,
        tuple(Contender("sgd", label=label) for label in contenders),
        STUDY.rates,
        REPLICATES,
        seed,
        extensions=0,
        defaults=False,
    )
    rates = np.array([study.rates_of(r) for r in range(REPLICATES)])
    world = World(contenders, rates, np.random.default_rng(seed))
    found, every = {"tuned": {}}, {}
    for k, contender in enumerate(study.contenders):
        trials = []
        for r in range(REPLICATES):
            own = [made({"contender": k, "replicate": r, "lr": lr}, world, (k, r, j)) for j, lr in enumerate(rates[r])]
            trials.append(own)
            every |= {record.key: record for record in own}
        found["tuned"][contender.label] = trials
    return summarized(study, found, every, {}, {"target": TARGET, "replicates": REPLICATES})


def made(run, world, place):
    run["hyperparameters"] = {}
    val, loss = world.val[place], world.loss[place]
    best = max(range(EPOCHS), key=lambda e: (val[e], -loss[e]))
    return Record(
        key_of(run),
        run,
        "diverged" if world.diverged[place] else "ok",
        best_epoch=best + 1,
        val_score=float(val[best]),
        val_loss=float(loss[best]),
        test_score=float(world.test[place]),
        curves=Curves(val_score=tuple(val.tolist())),
    )


@pytest.fixture(scope="module")
def truth():
    """Of 40,000 replicates."""
    shifts = np.random.default_rng(1).random((40_000, 1)) - 0.5
    rates = 10 ** (np.log10(STUDY.rates) + 0.5 * shifts)
    outcomes = World(MIXED, rates, np.random.default_rng(2)).outcomes()
    return {measure: dict(zip(MIXED, values, strict=True)) for measure, values in outcomes.items()}


@pytest.fixture(scope="module")
def pages():
    return [page(MIXED, seed) for seed in range(160)]


@pytest.mark.slow
def test_every_kind_of_interval_covers_the_truth(pages, truth):
    found = defaultdict(list)
    for summary in pages:
        for row in summary.rows:
            for measure in truth:
                found[f"mean {measure}"].append((getattr(row, measure), truth[measure][row.label].mean()))
        for pair in summary.pairs:
            one, other = (truth[pair.measure][label] for label in (pair.first, pair.second))
            found[f"difference in {pair.measure}"].append((pair.difference, (one - other).mean()))
            higher = one - other if pair.measure == "test_score" else other - one
            share = ((np.sign(higher) + 1) / 2).mean()
            where = "" if 0.05 < share < 0.95 else ", near 0 or 1"
            found[f"P(ahead) in {pair.measure}{where}"].append((pair.ahead, share))
    assert len(found) == 8
    covered = {kind: np.mean([i.low - 1e-12 <= t <= i.high + 1e-12 for i, t in made]) for kind, made in found.items()}
    # where ten replicates nearly always agree, no interval misses as often as one in twenty
    assert all(0.93 <= share <= (1 if "near" in kind else 0.985) for kind, share in covered.items()), covered


@pytest.mark.slow
def test_signs_are_right_and_planted_differences_are_told(pages, truth):
    claims = [claim for summary in pages for sentence in summary.verdict.sentences for claim in sentence.claims]
    assert len(claims) > 5 * len(pages)
    wrong = 0
    for claim in claims:
        better, worse = (truth[claim.measure][label].mean() for label in (claim.better, claim.worse))
        wrong += better <= worse if claim.measure == "test_score" else better >= worse
    assert wrong <= 0.01 * len(claims)

    def told(*claim):
        each = [{(c.better, c.worse, c.measure) for s in page.verdict.sentences for c in s.claims} for page in pages]
        return np.mean([claim in stated for stated in each])

    assert told("strong", "slow", "epochs") >= 0.95
    assert told("strong", "weak", "test_score") >= 0.9
    assert told("strong", "twin", "test_score") + told("twin", "strong", "test_score") <= 0.05
    assert told("strong", "twin", "epochs") + told("twin", "strong", "epochs") <= 0.05


@pytest.mark.slow
def test_a_slower_rule_is_told_from_each_of_many():
    """A page of eleven rules corrects for 110 tests; t-tests of each pair alone would tell 78% of these apart."""
    pages = [page(MANY, seed) for seed in range(2_000, 2_016)]
    told = [
        len(
            {
                c.better
                for s in summary.verdict.sentences
                for c in s.claims
                if (c.worse, c.measure) == ("half", "epochs")
            }
        )
        for summary in pages
    ]
    assert np.mean(told) >= 0.95 * 10


@pytest.mark.slow
def test_pages_of_equals_state_hardly_any_difference():
    count = 120
    false = sum(any(s.claims for s in page(EQUAL, seed).verdict.sentences) for seed in range(1_000, 1_000 + count))
    assert false <= binom.ppf(0.99, count, 0.05)


# --- the script


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    found = importlib.import_module("replication")
    monkeypatch.setattr(found, "REDRAWN", 20)
    monkeypatch.setattr(found, "EQUALS", 3)
    return found


@pytest.mark.slow
def test_the_script_goes_on_where_it_ended_and_measures_everything(script, tmp_path, monkeypatch):
    options = ["--quick", "--jobs", "1", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(script.main, options)
    assert first.exit_code == 0, first.output
    result = json.loads((tmp_path / "out" / "replication.json").read_text())
    assert set(result["coverage"]) == {"digits", "mnist"}
    assert set(result["equals"]) == {"sgd", "adam"}
    assert [of["rule"] for of in result["halves"]] == ["sgd", "adam"]
    assert len(result["studies"]["digits"]) == 2
    assert (tmp_path / "out" / "replication.png").stat().st_size > 10_000
    monkeypatch.setattr(script, "compare", None)  # no more runs are needed
    again = CliRunner().invoke(script.main, options)
    assert again.exit_code == 0, again.output
    assert again.output.splitlines()[-20:] == first.output.splitlines()[-20:]


def test_what_is_kept_of_a_study_makes_the_same_page(script, tmp_path):
    """The values that the replicates gave are enough for every interval and sentence about them."""
    experiment = script.experiments(True)[0]
    script.make(experiment, 0, tmp_path, 1)
    (summary,) = script.finished(experiment, tmp_path, {})
    kept = script.kept({"digits": [summary]})
    (again,) = script.finished(experiment, tmp_path / "nothing", json.loads(json.dumps(kept)))
    for pair, other in zip(summary.pairs, again.pairs, strict=True):
        assert (other.p, other.adjusted) == pytest.approx((pair.p, pair.adjusted), rel=1e-2, abs=1e-6)
    for row, other in zip(summary.rows, again.rows, strict=True):
        for measure in script.MEANS:
            assert getattr(other, measure) == pytest.approx(getattr(row, measure), abs=1e-4)
    assert script.claims_of(again) == script.claims_of(summary)


def test_copies_differ_in_weights_and_order_alone(script):
    study = next(e for e in script.experiments(False) if e.name == "equal-sgd").make(0)
    runs = [study.grid(c, 3)[2] for c in study.contenders]
    assert len({run.seed for run in runs}) == len(runs)
    assert len({(run.split, run.lr, run.contender.name) for run in runs}) == 1


@pytest.mark.parametrize(("half", "whole"), [("half_sgd", "sgd"), ("half_adam", "adam")])
def test_a_rule_at_half_speed_is_the_rule_at_every_second_step(script, half, whole):
    rng = np.random.default_rng(0)
    slow, fast = getattr(script, half), getattr(script, whole)
    state = 2 if whole == "adam" else 0
    one = other = (rng.normal(size=5), *[np.zeros(5)] * state)
    for t in range(1, 9):
        g = rng.normal(size=5)
        found = slow(one[0], g, *one[1:], lr=0.1, t=t)
        one = found if state else (found,)
        if t % 2 == 0:
            found = fast(other[0], g, *other[1:], lr=0.1, **({"t": t // 2} if state else {}))
            other = found if state else (found,)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
