"""Each sentence of the verdict is true of the numbers it stands beside, whatever they are."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_files import made
from scipy import stats

from optimlab.study import Contender, Problem, Study
from optimlab.study.compare import summarized
from optimlab.study.results import Baseline, Interval, Spread, decoded, encoded
from optimlab.study.statistics import pair_tests
from optimlab.study.summary import tuned_tests
from optimlab.study.verdict import verdict

REPLICATES = 10
RATES = (0.01, 0.1, 1.0)


def scores(test=0.9, epochs=5, status="ok", at=1):
    """What a contender's runs scored: one value for all replicates, or one each; ``at`` is the place of the rate."""
    return test, epochs, status, at


def spread(value, number):
    return value if isinstance(value, list) else [value] * number


def trials(study, contender, kind, told):
    """The made-up records of each replicate: the one at place ``at`` of the grid is the best."""
    test, epochs, status, at = (spread(value, study.replicates) for value in told)
    found = []
    for r in range(study.replicates):
        runs = study.grid(contender, r) if kind == "tuned" else [study.run(contender, r, 0.1)]
        budget = study.problem.epochs
        reached = budget + 1 if epochs[r] is None else epochs[r]
        curve = [0.5] * (reached - 1) + [0.96] * (budget - reached + 1)
        bad = "ok" if status[r] == "ok" else "diverged at once" if status[r] == "diverged" else "error"
        chosen = made(runs[at[r] if kind == "tuned" else 0], bad, test=test[r], curve=curve)
        others = [made(run, "ok" if bad == "ok" else bad, 0.1) for run in runs if run.key != chosen.key]
        found.append(sorted([chosen, *others], key=lambda record: record.run["lr"]))
    return found


def summary_of(
    *, target=0.95, planned=None, grown=None, defaults=None, searched=None, problem=None, betas=(), **contenders
):
    """The summary of contenders with these scores; those of their default rates and random settings by label, too.

    ``betas`` has the values of beta that a contender searches, by label.
    """
    replicates = max((len(v) for told in contenders.values() for v in told if isinstance(v, list)), default=REPLICATES)
    study = Study(
        problem or Problem(hidden=(2,), target=target),
        tuple(
            Contender("momentum", "textbook", {"beta": dict(betas).get(name, k / 64)}, name)
            for k, name in enumerate(contenders)
        ),
        RATES,
        replicates,
    )
    by_label = {c.label: c for c in study.contenders}
    found = {"tuned": {label: trials(study, by_label[label], "tuned", told) for label, told in contenders.items()}}
    for kind, given_scores in (("default", defaults), ("searched", searched)):
        if given_scores:
            found[kind] = {label: trials(study, by_label[label], kind, told) for label, told in given_scores.items()}
    records = {r.key: r for own in found.values() for parts in own.values() for part in parts for r in part}
    before = {"target": planned or study.problem.target, "replicates": grown or replicates}
    summary = summarized(study, found, records, dict.fromkeys(contenders, Spread(1e-4, 1e-4, 1e-4)), before)
    assert decoded(type(summary), encoded(summary)) == summary
    return summary


def said(**options):
    return [str(sentence) for sentence in summary_of(**options).verdict.sentences]


def claims(summary, text):
    """The claims of the one sentence that begins so."""
    (sentence,) = [s for s in summary.verdict.sentences if str(s).startswith(text)]
    return [(claim.better, claim.worse, claim.measure) for claim in sentence.claims]


def noisy(middle, step=1):
    return [middle + step * d for d in (-2, -1, -1, 0, 0, 0, 0, 1, 1, 2)]


HOLM = "Every difference stated here is significant at 5% after Holm's correction for all {} tests."
EQUALLY_FAST = (
    "{} needs the fewest epochs to 95% validation accuracy, 5.0 [4.6, 5.4] on average; {} cannot be told apart from it."
)


# --- test accuracy


def test_a_leader_who_is_ahead_of_the_only_other():
    summary = summary_of(a=scores(0.97), b=scores(0.95))
    assert [str(s) for s in summary.verdict.sentences] == [
        "a has the highest mean test accuracy, 97.00 ± 0.00%; it is ahead of b.",
        "Lower in test accuracy than a: b by 2.00 points [2.00, 2.00].",
        EQUALLY_FAST.format("a", "b"),
        HOLM.format(2),
    ]
    assert claims(summary, "a has the highest") == [("a", "b", "test_score")]
    assert claims(summary, "Lower") == [("a", "b", "test_score")]
    assert claims(summary, "a needs") == []
    said_too = summary.verdict
    assert (said_too.leader, said_too.level_with, said_too.fastest, said_too.fast_with) == ("a", (), "a", ("b",))
    assert said_too.family == 2


def test_a_leader_who_is_ahead_of_all_others():
    summary = summary_of(b=scores(0.94), a=scores(0.97), c=scores(0.95))
    assert [str(s) for s in summary.verdict.sentences] == [
        "a has the highest mean test accuracy, 97.00 ± 0.00%; it is ahead of all 2 others.",
        "Lower in test accuracy than a and c: b.",
        "Lower in test accuracy than a: c by 2.00 points [2.00, 2.00].",
        EQUALLY_FAST.format("b", "a and c"),
        HOLM.format(6),
    ]
    assert claims(summary, "a has") == [("a", "b", "test_score"), ("a", "c", "test_score")]
    assert claims(summary, "Lower in test accuracy than a and c") == [
        ("a", "b", "test_score"),
        ("c", "b", "test_score"),
    ]


ALIKE = {name: scores(np.roll(noisy(0.9 + 0.001 * k, 0.01), 3 * k).tolist()) for k, name in enumerate("abc")}


def test_too_few_replicates_for_any_difference_say_so():
    wild = {name: scores([0.1, 0.9] if name == "a" else [0.9, 0.1]) for name in "ab"}
    summary = summary_of(**wild)
    assert summary.verdict.detectable is summary.verdict.replicates_for_half is None
    told = [str(s) for s in summary.verdict.sentences]
    assert "2 replicates are too few to tell these optimizers apart in test accuracy." in told


def test_none_can_be_told_apart():
    sentences = said(**ALIKE)
    assert sentences[0] == "c has the highest mean test accuracy, 90.20 ± 0.83%; a and b cannot be told apart from it."
    assert re.fullmatch(
        r"10 replicates can detect differences of about \d\.\d points; half of that takes about \d\d replicates\.",
        sentences[1],
    )
    assert sentences[2:] == [EQUALLY_FAST.format("a", "b and c")]
    many = said(**{f"o{k}": scores(noisy(0.9, 0.01 * (-1) ** k)) for k in range(8)})
    assert many[0].endswith("; none of the 7 others can be told apart from it.")


def test_the_interval_is_students():
    values = noisy(0.9, 0.013)
    half = stats.ttest_1samp(values, 0).confidence_interval(0.95).high - np.mean(values)
    assert said(a=scores(values), b=scores(0.1))[0].startswith(
        f"a has the highest mean test accuracy, {100 * np.mean(values):.1f} ± {100 * half:.1f}%"
    )


def test_some_can_be_told_apart():
    """b is level with the leader a; c is lower than both, d lower than a alone."""
    summary = summary_of(
        a=scores(noisy(0.95, 0.002)),
        b=scores(noisy(0.949, -0.004)),
        c=scores(noisy(0.90, 0.001)),
        d=scores(noisy(0.943, 0.0015)),
    )
    sentences = [str(s) for s in summary.verdict.sentences]
    assert sentences[0] == "a has the highest mean test accuracy, 95.00 ± 0.17%; b cannot be told apart from it."
    assert "Lower in test accuracy than all 3 others: c." in sentences
    values = [noisy(mean, spread) for mean, spread in ((0.95, 0.002), (0.949, -0.004), (0.90, 0.001), (0.943, 0.0015))]
    _, low, high = pair_tests(values).differences[2]  # of a and d, with what all pairs say about the variance
    assert f"Lower in test accuracy than a: d by 0.70 points [{100 * low:.2f}, {100 * high:.2f}]." in sentences
    assert claims(summary, "Lower in test accuracy than all") == [(o, "c", "test_score") for o in "abd"]
    assert summary.verdict.level_with == ("b",)


def test_rows_behind_the_same_are_told_together():
    summary = summary_of(a=scores(0.97), b=scores(0.97), c=scores(0.95), d=scores(0.95))
    assert "Lower in test accuracy than a and b: c and d." in [str(s) for s in summary.verdict.sentences]
    found = claims(summary, "Lower in test accuracy than a and b")
    assert sorted(found) == [(one, other, "test_score") for one in "ab" for other in "cd"]


@pytest.mark.parametrize(("test", "text"), [(0.97, "97.00 ± 0.00%"), (1.0, "100.00 ± 0.00%")])
def test_a_single_contender_is_compared_with_nobody(test, text):
    assert said(a=scores(test)) == ["a reaches 95% validation accuracy after 5.0 [4.6, 5.4] epochs on average."]


# --- speed


def test_one_is_slower():
    summary = summary_of(a=scores(epochs=noisy(9, 1)), b=scores(epochs=noisy(5, 1)))
    sentences = [str(s) for s in summary.verdict.sentences]
    assert sentences[1:] == [
        "b needs the fewest epochs to 95% validation accuracy, 5.0 [4.1, 6.0] on average; it is ahead of a.",
        "Slower than b: a by 4.0 epochs [3.8, 4.2].",
        HOLM.format(2),
    ]
    assert claims(summary, "b needs") == claims(summary, "Slower") == [("b", "a", "epochs")]
    assert sentences[0].endswith("b cannot be told apart from it.")


def test_misses_are_told_and_counted():
    a, b = scores(epochs=[4, 5, 6, 5, 4, 5, 6, 5, 4, 5]), scores(epochs=[None] * 4 + [15, 16, 17, 18, 19, 20])
    summary = summary_of(a=a, b=b)
    difference = np.subtract([21] * 4 + [15, 16, 17, 18, 19, 20], a[1])
    half = stats.t.ppf(0.975, 9) * ((np.var(difference, ddof=1) + 1 / 12) / 10) ** 0.5  # 1/12: of rounding to epochs
    low, high = difference.mean() - half, difference.mean() + half
    sentences = [str(s) for s in summary.verdict.sentences]
    assert f"Slower than a: b by {difference.mean():.1f} epochs [{low:.1f}, {high:.1f}]." in sentences
    assert (
        "Not every replicate reached 95%: b reached it in 6 of 10. A miss counts as 21 epochs, so a mean with misses "
        "is a lower bound." in sentences
    )
    assert summary.pair("a", "b", "epochs").misses
    three = said(a=a, b=b, c=scores(epochs=None))
    assert any("95%: b reached it in 6 of 10 and c reached it in 0 of 10. A miss" in text for text in three)


def test_one_that_missed_in_every_replicate_is_not_the_fastest():
    summary = summary_of(a=scores(epochs=None), b=scores(epochs=[None] * 9 + [20]))
    assert (summary.verdict.fastest, summary.verdict.fast_with) == ("b", ("a",))
    assert "No optimizer reached 95% validation accuracy." in said(a=scores(epochs=None), b=scores(epochs=None))
    assert said(a=scores(epochs=None)) == ["No optimizer reached 95% validation accuracy."]


def test_of_equal_means_the_one_with_more_hits_is_named_first():
    """A miss counts as the budget and one, so that a mean of 21 is that of misses alone."""
    summary = summary_of(a=scores(epochs=[19] * 5 + [21] * 0 + [20] * 5), b=scores(epochs=[18] * 5 + [None] * 5))
    assert summary.row("a").epochs.mean == summary.row("b").epochs.mean == 19.5
    assert summary.verdict.fastest == "a"
    assert (
        summary_of(b=scores(epochs=[18] * 5 + [None] * 5), a=scores(epochs=[19] * 5 + [20] * 5)).verdict.fastest == "a"
    )


# --- the target


def proposing(a, b):
    """Contenders that reach 60% at once, and 80% after a and b epochs."""
    study = Study(Problem(hidden=(2,), target=0.6), tuple(Contender("sgd", label=n) for n in "ab"), RATES, 6)
    found = {"tuned": {}}
    for contender, late in zip(study.contenders, (a, b), strict=True):
        own = [
            [made(run, curve=[0.6] * (late - 1) + [0.8] * (21 - late)) for run in study.grid(contender, r)]
            for r in range(6)
        ]
        found["tuned"][contender.label] = own
    records = {r.key: r for own in found["tuned"].values() for part in own for r in part}
    return summarized(study, found, records, {}, {"target": 0.6, "replicates": 6})


def test_a_target_that_everyone_meets_at_once_is_called_so_and_another_is_proposed():
    summary = proposing(5, 9)
    sentences = [str(s) for s in summary.verdict.sentences]
    assert (
        "The target of 60% validation accuracy is uninformative: every optimizer reaches it within three epochs on "
        "average." in sentences
    )
    proposal = [text for text in sentences if "By the stored curves" in text]
    assert proposal == [
        f"By the stored curves, a target of {100 * summary.target.proposed:g}% tells the most optimizers apart. "
        f"--target {summary.target.proposed:g} applies it without new runs."
    ]
    assert 0.6 < summary.target.proposed <= 0.8
    again = [str(s) for s in proposing(5, 5).verdict.sentences]
    assert any("uninformative" in text for text in again)
    assert not any("By the stored curves" in text for text in again)


def test_a_target_that_nobody_meets_is_told_with_one_that_tells_apart():
    summary = proposing(5, 9)
    study = Study(Problem(hidden=(2,), target=0.99), tuple(Contender("sgd", label=n) for n in "ab"), RATES, 6)
    assert summary.target.informative is False
    found = {"tuned": {}}
    for contender, late in zip(study.contenders, (5, 9), strict=True):
        found["tuned"][contender.label] = [
            [made(run, curve=[0.6] * (late - 1) + [0.8] * (21 - late)) for run in study.grid(contender, r)]
            for r in range(6)
        ]
    records = {r.key: r for own in found["tuned"].values() for part in own for r in part}
    sentences = [
        str(s) for s in summarized(study, found, records, {}, {"target": 0.99, "replicates": 6}).verdict.sentences
    ]
    assert sentences[1] == "No optimizer reached 99% validation accuracy."
    assert sentences[2].startswith("By the stored curves, a target of ")


@pytest.mark.parametrize(
    ("epochs", "informative"), [((3, 3), False), ((3, [3] * 9 + [4]), True), ((1, 4), True), ((None, None), False)]
)
def test_informative_is_a_target_that_someone_meets_and_someone_late(epochs, informative):
    summary = summary_of(a=scores(epochs=epochs[0]), b=scores(epochs=epochs[1]))
    assert summary.target.informative == informative
    assert any("uninformative" in str(s) for s in summary.verdict.sentences) == (
        not informative and epochs[0] is not None
    )


def test_a_miss_in_a_short_run_is_not_reached_within_three_epochs():
    """Two epochs: a miss counts as three, and so does the mean of nothing but misses."""
    short = Problem(hidden=(2,), epochs=2, target=0.95)
    missed = summary_of(problem=short, a=scores(epochs=1), b=scores(epochs=[1] * 9 + [None]))
    assert missed.target.informative
    assert not any("uninformative" in str(s) for s in missed.verdict.sentences)
    met = summary_of(problem=short, a=scores(epochs=1), b=scores(epochs=2))
    assert not met.target.informative


def test_a_contender_that_is_excluded_decides_nothing_about_the_target():
    """c is excluded for a failed run: neither are its late epochs informative, nor does a proposal tell it apart."""
    late, failed = scores(epochs=15), scores(epochs=15, status=["error"] + ["ok"] * 9)
    assert not summary_of(a=scores(epochs=2), b=scores(epochs=2), c=failed).target.informative
    assert not summary_of(a=scores(epochs=None), b=scores(epochs=None), c=failed).target.informative
    assert summary_of(a=scores(epochs=2), b=scores(epochs=2), c=late).target.informative
    never = {"target": 0.99, "a": scores(epochs=5), "b": scores(epochs=5)}
    assert summary_of(c=late, **never).target.proposed is not None
    excluded = summary_of(c=failed, **never)
    assert excluded.target.proposed is None
    assert not any("By the stored curves" in str(s) for s in excluded.verdict.sentences)
    other = summary_of(target=0.99, a=scores(epochs=5), b=late, c=failed)
    assert other.target.proposed == summary_of(target=0.99, a=scores(epochs=5), b=late).target.proposed is not None


@pytest.mark.parametrize(
    ("target", "told"), [(0.955, "95.5%"), (0.57, "57%"), (0.9512, "95.12%"), (0.96, "96%"), (0.123456, "12.35%")]
)
def test_the_target_is_not_rounded_to_whole_percents(target, told):
    assert f"to {told} validation accuracy" in " ".join(said(target=target, a=scores(), b=scores()))


def test_a_target_changed_after_the_runs_is_exploratory():
    text = (
        "The target was 95% when the runs were made, and was changed to 96% afterwards, so results that depend on it "
        "are exploratory."
    )
    assert text in said(target=0.96, planned=0.95, a=scores(), b=scores())
    assert not any("exploratory" in s for s in said(target=0.96, planned=0.96, a=scores(), b=scores()))


# --- other rows


def test_what_tuning_is_worth():
    tuned = {"a": scores(0.97), "b": scores(0.95), "c": scores(0.96)}
    summary = summary_of(**tuned, defaults={"a": scores(0.90), "b": scores(0.91), "c": scores(0.92)})
    texts = [str(s) for s in summary.verdict.sentences]
    assert "The default rate gives a lower test accuracy than the tuned rate for all 3 optimizers." in texts
    assert claims(summary, "The default rate") == [(n, f"{n}, default", "test_score") for n in "abc"]
    assert HOLM.format(9) in texts
    some = summary_of(**tuned, defaults={"a": scores(0.90), "b": scores(0.95), "c": scores(0.98)})
    texts = [str(s) for s in some.verdict.sentences]
    assert "The default rate gives a lower test accuracy than the tuned rate for a." in texts
    assert "The default rate gives a higher test accuracy than the tuned rate for c." in texts
    assert claims(some, "The default rate gives a higher") == [("c, default", "c", "test_score")]
    none = said(**tuned, defaults=tuned)
    assert "The default rate cannot be told apart from the tuned rate in test accuracy for any optimizer." in none
    assert "The default rate cannot be told apart from the tuned rate in test accuracy for a." in said(
        a=scores(), defaults={"a": scores()}
    )


def test_what_searching_more_than_the_rate_is_worth():
    summary = summary_of(a=scores(0.9), b=scores(0.9), searched={"a": scores(0.95), "b": scores(0.95)})
    text = "A random search of all hyperparameters gives a higher test accuracy than the tuned rate alone for a and b."
    assert text in [str(s) for s in summary.verdict.sentences]
    assert claims(summary, "A random search") == [(f"{n}, searched", n, "test_score") for n in "ab"]


def test_a_tuned_row_that_searches_more_than_the_rate_is_tuned_in_its_setting():
    """a searches two values of beta at each rate, and b the rate alone."""
    tuned = {"a": scores(0.97), "b": scores(0.95)}
    texts = said(betas={"a": [0.5, 0.9]}, **tuned, defaults={"a": scores(0.9), "b": scores(0.9)}, searched=dict(tuned))
    assert "The default setting gives a lower test accuracy than the tuned setting for a and b." in texts
    random_search = "A random search of all hyperparameters cannot be told apart from the tuned setting"
    assert f"{random_search} in test accuracy for any optimizer." in texts
    assert not any("tuned rate" in text or "default rate" in text for text in texts)


def test_a_family_of_one_test_needs_no_correction():
    sentences = said(a=scores(0.9), defaults={"a": scores(0.5)})
    assert sentences[-1] == "Every difference stated here is significant at 5%."


# --- conditions


def test_a_study_that_grew_says_so():
    text = (
        "The study was planned with 5 replicates and grew to 10. Its intervals and tests assume that this number was "
        "fixed in advance."
    )
    assert text in said(grown=5, a=scores(), b=scores())
    assert not any("grew" in s for s in said(grown=10, a=scores(), b=scores()))


def test_rates_at_the_edge_are_told():
    sentences = said(a=scores(at=[2] * 3 + [1] * 7), b=scores(at=0), c=scores())
    text = "The chosen learning rate lies at the edge of the grid in some replicates: a (3 of 10) and b (10 of 10)."
    assert f"{text} A better rate may lie beyond it." in sentences


def test_the_error_of_shared_test_rows_is_told():
    shared = Problem(hidden=(2,), redraw="train", test_rows=200)
    a, b = scores(0.95), scores([0.90] * 5 + [0.85] * 5)
    summary = summary_of(problem=shared, a=a, b=b)
    share = np.mean([np.arange(200) < round(200 * t) for t in b[0]], axis=0)
    error = np.std((np.arange(200) < 190) - share, ddof=1) / 200**0.5
    text = (
        "All replicates share one test set of 200 rows. With other rows, the differences from a could change by about "
        f"{100 * error:.2f} points (one standard error), which the intervals do not include."
    )
    assert text in [str(s) for s in summary.verdict.sentences]
    assert not any("share one test set" in s for s in said(a=a, b=b))


def test_unequal_classes_are_told():
    summary = summary_of(a=scores(), b=scores())
    baseline = Baseline("cat", Interval(0.6, 0.59, 0.61), Interval(0.601, 0.6, 0.602))
    options = {"replicates": 10, "planned": 10, "epochs": 20, "deviation": None}
    made = verdict(summary.rows, summary.pairs, summary.target, baseline=baseline, **options)
    text = "The classes are unequal: always answering cat gives 60.10% test accuracy."
    assert text in [str(s) for s in made.sentences]


# --- what did not finish


def test_every_run_diverged():
    gone = scores(epochs=None, status="diverged")
    summary = summary_of(a=gone, b=gone)
    assert [str(s) for s in summary.verdict.sentences] == [
        "No run finished: there is nothing to compare.",
        "Every run of a diverged.",
        "Every run of b diverged.",
    ]
    assert (summary.verdict.leader, summary.verdict.fastest, summary.verdict.family) == (None, None, 0)
    assert said(a=gone, defaults={"a": scores()})[0] == "No run at a tuned rate finished: there is nothing to compare."


def test_diverged_replicates_count_as_accuracy_zero():
    summary = summary_of(a=scores(0.9), b=scores(0.9, status=["diverged"] * 3 + ["ok"] * 7))
    assert summary.row("b").test_score.mean == pytest.approx(0.63)
    text = "No run of b finished in 3 of 10 replicates, which count as accuracy 0."
    assert [str(s) for s in summary.verdict.sentences][-1] == text
    default = said(a=scores(), defaults={"a": scores(status="diverged")}, searched={"a": scores(status="diverged")})
    assert default[-2:] == [
        "Every run of a at its default rate diverged.",
        "Every run of a in the random search diverged.",
    ]


def test_an_error_is_no_result_of_the_optimizer():
    """b would be lower and slower by its numbers, but some of them are the machine's."""
    failed = scores(0.5, 15, status=["error"] + ["ok"] * 9)
    summary = summary_of(
        a=scores(0.9), b=failed, c=scores(0.9), defaults={"a": failed, "b": scores(0.9), "c": scores(0.9)}
    )
    sentences = [str(s) for s in summary.verdict.sentences]
    assert sentences[0] == "a has the highest mean test accuracy, 90.00 ± 0.00%; c cannot be told apart from it."
    told = [text for text in sentences if "failed" in text]
    again = "failed with an error, so this row is excluded from the verdict. Run the same command again to repeat them."
    assert told == [f"3 runs of b {again}", f"A run of a at its default rate {again[:-5]}it."]
    assert not any(text.startswith(("Lower", "Slower")) for text in sentences)
    assert not {"b", "a, default"} & {name for pair in summary.pairs for name in (pair.first, pair.second)}
    assert summary.verdict.family == len(summary.pairs) == 3


def test_where_every_row_has_a_failed_run_nothing_is_said_of_the_target():
    failed = scores(0.5, 15, status=["error"] + ["ok"] * 9)
    sentences = said(a=failed, b=failed)
    assert len(sentences) == 2
    assert all("failed with an error" in text for text in sentences)


# --- how many replicates it takes


def test_what_can_be_told_apart_is_what_a_simulation_tells_apart():
    """Of 4,000 made-up pairs with the detectable difference, four in five survive the strictest level of Holm."""
    summary = summary_of(**ALIKE)
    found, prior = summary.verdict, tuned_tests(summary.rows, "test_score", summary.epochs).prior
    assert prior > 1
    deviation = np.median([np.std(np.subtract(ALIKE[p][0], ALIKE[q][0]), ddof=1) for p, q in ("ab", "bc", "ac")])
    rng = np.random.default_rng(0)
    for difference, n in ((found.detectable, 10), (found.detectable / 2, found.replicates_for_half)):
        drawn = rng.normal(difference, deviation, size=(4000, n))
        variance = (prior * deviation**2 + (n - 1) * drawn.var(axis=1, ddof=1)) / (prior + n - 1)
        p = 2 * stats.t.sf(np.abs(drawn.mean(axis=1)) / np.sqrt(variance / n), prior + n - 1)
        assert np.mean(p <= 0.05 / found.family) == pytest.approx(0.8, abs=0.06)


# --- any numbers


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(3, 6), st.integers(0, 1 << 30))
def test_every_claim_is_a_pair_that_is_told_apart_and_every_such_pair_is_claimed(contenders, replicates, seed):
    chance = random.Random(seed)
    failing = chance.choice([0, 0, 0.05])

    def drawn(level):
        noise = chance.choice([0.0, 0.001, 0.02])
        return scores(
            [min(1.0, max(0.0, level + chance.gauss(0, noise))) for _ in range(replicates)],
            [chance.choice([2, 3, 8, 9, None]) for _ in range(replicates)],
            ["error" if chance.random() < failing else "ok" for _ in range(replicates)],
        )

    values = {f"o{k}": drawn(chance.choice([0.5, 0.9, 0.92])) for k in range(contenders)}
    defaults = {name: drawn(chance.choice([0.5, 0.9])) for name in values}
    summary = summary_of(defaults=defaults, **values)
    verdict, apart = summary.verdict, [pair for pair in summary.pairs if pair.told_apart]
    claimed = {(c.better, c.worse, c.measure) for s in verdict.sentences for c in s.claims}
    assert claimed == {(pair.better, pair.worse, pair.measure) for pair in apart}
    for better, worse, measure in claimed:
        one, other = summary.row(better), summary.row(worse)
        if measure == "test_score":
            assert one.test_score.mean > other.test_score.mean
        else:
            assert one.epochs.mean < other.epochs.mean
    for sentence in verdict.sentences:
        assert re.fullmatch(r"(\S+ )+\S+\.", str(sentence)), sentence
        assert "best" not in str(sentence)
        assert all(c.better.split(",")[0] in str(sentence) or "all" in str(sentence) for c in sentence.claims)
    for first, level, measure in (
        (verdict.leader, verdict.level_with, "test_score"),
        (verdict.fastest, verdict.fast_with, "epochs"),
    ):
        others = {row.label for row in summary.tuned if not row.failed} - {first}
        behind = {pair.worse for pair in apart if pair.measure == measure and pair.better == first}
        assert first is None or set(level) == others - behind
