"""The statistics of a comparison against SciPy, exact arithmetic, enumeration and simulation."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from optimlab.common.errors import InputError
from optimlab.study.digests import key_of
from optimlab.study.results import LEVEL, Curves, Interval, Record
from optimlab.study.rows_score import packed, rows_error, unpacked
from optimlab.study.statistics import (
    POWER,
    best_after,
    detectable,
    epochs_interval,
    holm,
    pair_tests,
    paired_difference,
    performance_profile,
    replicates_for,
    share_ahead,
    t_interval,
    usable_decades,
)
from optimlab.study.targets import proposed

scores = st.floats(-1e3, 1e3).map(lambda x: round(x, 6))
shares = st.floats(0, 1)
examples = settings(max_examples=50, deadline=None)


# --- intervals of a mean


@examples
@given(st.lists(scores, min_size=2, max_size=40))
def test_the_interval_of_a_mean_is_scipys(values):
    found = t_interval(values)
    mean, error = np.mean(values), scipy.stats.sem(values)
    low, high = (mean, mean) if error == 0 else scipy.stats.t.interval(0.95, len(values) - 1, mean, error)
    assert found == pytest.approx((mean, low, high), rel=1e-9, abs=1e-9)
    assert found.half == pytest.approx((high - low) / 2, rel=1e-9, abs=1e-9)


@pytest.mark.quick("5")
@pytest.mark.parametrize("count", [5, 10, 20])
def test_whole_numbers_are_covered_though_few_and_skewed(count):
    """Mean epochs of 4,000 studies, from those that are nearly all equal to those with a long tail."""
    rng = np.random.default_rng(count)
    for rate in (0.1, 0.3, 1.0, 3.0):
        drawn = 1 + rng.poisson(rate, (4_000, count))
        found = [t_interval(values, step=1) for values in drawn]
        assert np.mean([interval.low <= 1 + rate <= interval.high for interval in found]) > 0.92, rate


@examples
@given(st.lists(st.integers(1, 30).map(float), min_size=2, max_size=40))
def test_the_variance_of_rounding_is_added_for_values_on_a_grid(values):
    """A number rounded to whole ones is off by a uniform error, whose variance SciPy knows."""
    found = t_interval(values, step=1)
    variance = np.var(values, ddof=1) + scipy.stats.uniform.var()
    error = math.sqrt(variance / len(values))
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
    assert found == pytest.approx((np.mean(values), low, high))
    interval, p = paired_difference(values, [0.0] * len(values), step=1)
    assert interval == found
    if np.ptp(values) > 0:
        assert p == pytest.approx(2 * scipy.stats.t.sf(np.mean(values) / error, len(values) - 1))


BUDGET = 20


def epochs_of(kind, rng, size):
    """Epochs to a target whose mean is known: with a long tail upward, or heaped where most runs miss."""
    if kind == "tail":
        return np.minimum(2 + rng.negative_binomial(1.5, 0.4, size), BUDGET + 1)
    hit = rng.random(size) < {"half miss": 0.5, "most miss": 0.25, "nearly all miss": 0.12}[kind]
    return np.where(hit, rng.integers(8, BUDGET + 1, size), BUDGET + 1)


@pytest.mark.parametrize("count", [10, 20])
@pytest.mark.parametrize("kind", ["tail", "half miss", "most miss", "nearly all miss"])
def test_mean_epochs_are_covered_though_skewed_either_way(kind, count):
    """Of 2,000 studies each; Student's interval covers fewer, because it errs on the side of the tail."""
    rng = np.random.default_rng(count)
    truth = epochs_of(kind, rng, 1_000_000).mean()
    drawn = epochs_of(kind, rng, (2_000, count)).astype(float)
    drawn = drawn[(drawn <= BUDGET).any(axis=1)]  # the others have no mean

    def covered(intervals):
        return np.mean([interval.low <= truth <= interval.high for interval in intervals])

    found = covered([epochs_interval(values, BUDGET) for values in drawn])
    least = 0.9 if kind == "nearly all miss" else 0.915  # rare early hits are often not among them
    assert least <= found <= 0.985
    assert found >= covered([t_interval(values, step=1) for values in drawn]) + 0.005


@examples
@given(st.lists(st.integers(1, BUDGET + 1).map(float), min_size=2, max_size=40))
def test_the_interval_of_mean_epochs_is_symmetric_on_the_logit_scale(values):
    found = epochs_interval(values, BUDGET)
    assert 0.5 < found.low < found.mean < found.high < BUDGET + 1.5

    def scale(mean):
        return scipy.special.logit((mean - 0.5) / (BUDGET + 1))

    df, share = len(values) - 1, (found.mean - 0.5) / (BUDGET + 1)
    prior = (BUDGET + 1) ** 2 * scipy.stats.beta.var(2 * share, 2 - 2 * share)
    variance = (df * np.var(values, ddof=1) + 0.1 * prior) / (df + 0.1) + scipy.stats.uniform.var()
    error = math.sqrt(variance / len(values))
    slope = (scale(found.mean + 1e-6) - scale(found.mean - 1e-6)) / 2e-6
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * error * slope
    assert scale(found.high) - scale(found.mean) == pytest.approx(half, rel=1e-5)
    assert scale(found.mean) - scale(found.low) == pytest.approx(half, rel=1e-5)
    turned = epochs_interval([BUDGET + 2 - value for value in values], BUDGET)
    assert (turned.low, turned.high) == pytest.approx((BUDGET + 2 - found.high, BUDGET + 2 - found.low))


def test_more_replicates_make_an_interval_narrower():
    values = [0.1, 0.2, 0.3, 0.4]
    assert t_interval(values * 4).half < t_interval(values).half


@pytest.mark.quick_each("replicates", "shape")
@pytest.mark.parametrize("replicates", [3, 5, 10, 20])
@pytest.mark.parametrize("shape", ["normal", "whole numbers"])
def test_paired_intervals_and_tests_err_as_often_as_they_say(replicates, shape):
    """In 4,000 studies of equal contenders: continuous values as accuracies, or whole numbers as epochs."""
    rng = np.random.default_rng(replicates)
    shared = rng.normal(size=(4_000, replicates))
    a, b = (shared + rng.normal(scale=2.0, size=shared.shape) for _ in range(2))
    if shape == "whole numbers":
        a, b = np.round(a), np.round(b)
    step = 1 if shape == "whole numbers" else 0
    found = [paired_difference(x, y, step) for x, y in zip(a, b, strict=True)]
    assert 0.93 < np.mean([interval.low <= 0 <= interval.high for interval, _ in found]) < 0.97
    assert 0.03 < np.mean([p <= 0.05 for _, p in found]) < 0.07


# --- paired differences


def pairs_of(values):
    return st.integers(2, 30).flatmap(lambda n: st.tuples(*[st.lists(values, min_size=n, max_size=n)] * 2))


@examples
@given(pairs_of(scores))
def test_the_paired_difference_is_scipys(both):
    values, others = both
    interval, p = paired_difference(values, others)
    differences = np.subtract(values, others)
    if np.ptp(differences) <= 1e-9 * max(1, np.abs(differences).max()):
        return
    expected = scipy.stats.ttest_rel(values, others)
    assert p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    low, high = expected.confidence_interval(0.95)
    assert interval == pytest.approx((differences.mean(), low, high), rel=1e-6, abs=1e-6)


@examples
@given(pairs_of(scores), st.floats(-100, 100))
def test_what_replicates_share_cancels(both, shift):
    """A shift of each replicate, the same for both, changes nothing; the two exchanged turn the sign alone."""
    values, others = map(np.array, both)
    effect = shift * np.arange(len(values))
    (one, p), (other, q) = paired_difference(values, others), paired_difference(values + effect, others + effect)
    spread = np.ptp(values - others)
    if spread > 1e-6:
        assert other == pytest.approx(one, rel=1e-5, abs=1e-5 * max(1, spread))
        assert q == pytest.approx(p, rel=1e-3, abs=1e-6)
    turned, same = paired_difference(others, values)
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-one.mean, -one.high, -one.low))
    assert same == pytest.approx(p)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 30])
def test_equal_differences_have_the_p_value_of_the_sign_test(count):
    values = np.arange(count, dtype=float)
    for step in (1.0, -3.0, 0.1):
        interval, p = paired_difference(values + step, values)
        assert interval == pytest.approx((step, step, step))
        assert paired_difference(values + step, values, step=1)[1] == p
        assert p == pytest.approx(scipy.stats.binomtest(count, count, 0.5).pvalue)
    assert paired_difference(values, values) == (Interval(0.0, 0.0, 0.0), 1.0)


# --- tests of all pairs


def by_the_paper(values):
    """Smyth (2004), section 6.2, written apart: the prior by a search over its own equations."""
    d = len(values[0]) - 1
    both = list(itertools.combinations(values, 2))
    variances = np.array([np.var(np.subtract(*two), ddof=1) for two in both])
    e = np.log(variances) - scipy.special.psi(d / 2) + np.log(d / 2)
    sought = np.var(e, ddof=1) - scipy.special.polygamma(1, d / 2)
    most = (len(values) - 2) * d
    grid = np.geomspace(1e-3, most, 200_000)
    prior = grid[np.abs(scipy.special.polygamma(1, grid / 2) - sought).argmin()]
    expected = np.exp(e.mean() + scipy.special.psi(prior / 2) - np.log(prior / 2))
    moderated = (prior * expected + d * variances) / (prior + d)
    errors = np.sqrt(moderated / (d + 1))
    t = [np.mean(np.subtract(*two)) for two in both] / errors
    return prior, 2 * scipy.stats.t.sf(np.abs(t), prior + d), scipy.stats.t.ppf(0.975, prior + d) * errors


@pytest.mark.quick_each("contenders", "seed")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("contenders", [3, 5, 9])
def test_all_pairs_are_tested_as_the_paper_says(contenders, seed):
    rng = np.random.default_rng(seed)
    spreads = np.geomspace(1, 1 + seed, contenders)[:, None]
    values = rng.normal(size=(contenders, 10)) * spreads + rng.normal(size=(contenders, 1))
    prior, expected, halves = by_the_paper(values.tolist())
    found = pair_tests(values)
    assert found.prior == pytest.approx(prior, rel=1e-3)
    assert found.p_values == pytest.approx(expected, rel=1e-2, abs=1e-12)
    means = [np.mean(np.subtract(*two)) for two in itertools.combinations(values, 2)]
    assert [interval.mean for interval in found.differences] == pytest.approx(means, abs=1e-12)
    assert [interval.half for interval in found.differences] == pytest.approx(halves, rel=1e-3)
    for p, interval in zip(found.p_values, found.differences, strict=True):
        assert (p < 0.05) == (interval.low > 0 or interval.high < 0)


@examples
@given(pairs_of(scores))
def test_two_contenders_have_the_usual_paired_test(both):
    interval, p = paired_difference(*both)
    assert pair_tests(both) == ([p], [interval], 0.0)


def test_what_all_replicates_or_all_contenders_share_cancels():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 8))
    found = pair_tests(values)
    assert pair_tests(3 * values + rng.normal(size=8)).p_values == pytest.approx(found.p_values)
    order = rng.permutation(5)
    turned = dict(zip(itertools.combinations(order, 2), pair_tests(values[order]).p_values, strict=True))
    for two, p in zip(itertools.combinations(range(5), 2), found.p_values, strict=True):
        assert p == pytest.approx(turned.get(two, turned.get(two[::-1])))


def test_a_copy_has_no_difference_and_the_others_keep_theirs():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 10)) + 2 * np.arange(5)[:, None]
    without = dict(zip(itertools.combinations(range(5), 2), pair_tests(values).p_values, strict=True))
    more = dict(zip(itertools.combinations(range(6), 2), pair_tests([*values, values[0]]).p_values, strict=True))
    assert more[0, 5] == 1.0
    assert pair_tests([*values, values[0]]).differences[4] == Interval(0.0, 0.0, 0.0)
    assert all(more[two] == pytest.approx(p, abs=1e-3) for two, p in without.items())
    equal = pair_tests([values[0]] * 4)
    assert equal == ([1.0] * 6, [Interval(0.0, 0.0, 0.0)] * 6, 0.0)


@pytest.mark.quick("spreads0")
@pytest.mark.parametrize(
    "spreads", [np.ones(9), np.geomspace(1, 4, 9), np.r_[np.ones(7), 4, 4], np.r_[np.ones(8), 0.1], np.r_[1, 1, 4]]
)
def test_pages_of_equals_find_a_difference_as_rarely_as_holm_promises(spreads):
    """Of 800 pages, also if the contenders scatter differently, which the prior does not expect."""
    rng = np.random.default_rng(0)
    found = [min(holm(pair_tests(rng.normal(size=(len(spreads), 10)) * spreads[:, None]).p_values)) for _ in range(800)]
    assert np.mean(np.array(found) <= LEVEL) <= 0.065


def test_a_difference_that_one_pair_cannot_show_is_found_with_the_others():
    rng = np.random.default_rng(0)
    planted = np.r_[1.5, np.zeros(8)][:, None]
    pages = [rng.normal(size=(9, 10)) / math.sqrt(2) + planted for _ in range(100)]
    together = [holm(pair_tests(page).p_values)[0] <= LEVEL for page in pages]
    apart = [
        holm([paired_difference(*two)[1] for two in itertools.combinations(page, 2)])[0] <= LEVEL for page in pages
    ]
    assert np.mean(together) > np.mean(apart) + 0.3


# --- Holm's correction


def holm_by_the_paper(p_values):
    """Holm (1979), the smallest level at which each hypothesis is rejected, in exact arithmetic.

    At level a: reject the smallest p if it is at most a / n, then the next if it is at most a / (n - 1), and so on;
    stop at the first that is not.
    """
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    levels = sorted({min(Fraction(1), (len(order) - j) * p_values[k]) for j, k in enumerate(order)})

    def rejected(level):
        found = set()
        for j, k in enumerate(order):
            if p_values[k] > level / (len(order) - j):
                break
            found.add(k)
        return found

    return [next((a for a in levels if k in rejected(a)), Fraction(1)) for k in range(len(p_values))]


@examples
@given(st.lists(st.fractions(0, 1, max_denominator=1000), max_size=12))
def test_holm_is_the_step_down_procedure_of_the_paper(p_values):
    found = holm([float(p) for p in p_values])
    assert found == pytest.approx([float(p) for p in holm_by_the_paper(p_values)], rel=1e-12)


@examples
@given(st.lists(shares, min_size=1, max_size=30), st.randoms())
def test_holm_adjusts_upwards_keeps_the_order_and_ignores_the_order_given(p_values, random):
    found = holm(p_values)
    assert all(p <= q <= min(1, len(p_values) * p) or math.isclose(q, p) for p, q in zip(p_values, found, strict=True))
    for (p, q), (r, s) in itertools.combinations(zip(p_values, found, strict=True), 2):
        assert (p - r) * (q - s) >= 0
    places = list(range(len(p_values)))
    random.shuffle(places)
    assert holm([p_values[k] for k in places]) == [found[k] for k in places]
    assert holm([p_values[0]]) == [p_values[0]]


def test_a_page_of_equals_states_a_difference_once_in_twenty():
    """36 independent tests of nothing, 4,000 pages."""
    pages = np.random.default_rng(0).random((4_000, 36))
    share = np.mean([min(holm(page)) <= LEVEL for page in pages])
    assert 0.04 < share < 0.06


# --- P(ahead)


def exact_coverage(n, win, tie):
    """The chance that the interval holds the true share, over all outcomes of n replicates."""
    share, lose, covered = win + tie / 2, max(0.0, 1 - win - tie), 0.0
    for wins in range(n + 1):
        for ties in range(n + 1 - wins):
            losses = n - wins - ties
            chance = math.comb(n, wins) * math.comb(n - wins, ties) * win**wins * tie**ties * lose**losses
            values = [1.0] * wins + [0.0] * ties + [-1.0] * losses
            found = share_ahead(values, [0.0] * n)
            covered += chance * (found.low - 1e-12 <= share <= found.high + 1e-12)
    return covered


@pytest.mark.parametrize("ties", [0.0, 0.1, 0.3])
def test_the_interval_of_the_share_ahead_covers_as_often_as_it_says(ties):
    """Exactly, at ten replicates, for shares from one end to the other."""
    covered = [exact_coverage(10, win, ties) for win in np.linspace(0, 1 - ties, 21)]
    assert min(covered) > 0.92
    assert 0.945 < np.mean(covered) < 0.975


def test_ties_make_the_interval_of_the_share_narrower():
    half = [1.0, -1.0] * 5
    level = [0.0] * 10
    one, other = share_ahead(half, level), share_ahead(level, level)
    assert one.mean == other.mean == 0.5
    assert one.low < other.low < 0.5 < other.high < one.high


@examples
@given(st.integers(0, 40), st.integers(0, 40))
def test_without_ties_the_middle_of_the_interval_is_that_of_wilson(wins, losses):
    """Agresti and Coull's interval has the middle of Wilson's and is never narrower."""
    if not (n := wins + losses):
        return
    found = share_ahead([1.0] * wins + [0.0] * losses, [0.5] * n)
    wilson = scipy.stats.binomtest(wins, n).proportion_ci(0.95, method="wilson")
    assert found.mean == wins / n
    assert found.low <= wilson.low + 1e-12
    assert found.high >= wilson.high - 1e-12
    if found.low > 0 and found.high < 1:
        assert (found.low + found.high) / 2 == pytest.approx((wilson.low + wilson.high) / 2)
        k, m = wins + 1.959963984540054**2 / 2, n + 1.959963984540054**2
        assert found.half == pytest.approx(1.959963984540054 * math.sqrt(k / m * (1 - k / m) / m))


@pytest.mark.parametrize("count", range(2, 101))
def test_one_that_is_always_ahead_has_a_share_of_one_in_its_interval(count):
    ahead, behind = share_ahead([1.0] * count, [0.0] * count), share_ahead([0.0] * count, [1.0] * count)
    assert (ahead.mean, ahead.high, behind.mean, behind.low) == (1.0, 1.0, 0.0, 0.0)
    assert ahead.low == pytest.approx(1 - behind.high)
    assert 0 < ahead.low < 1


@examples
@given(pairs_of(st.integers(0, 5).map(float)))
def test_the_share_ahead_counts_an_equal_one_half(both):
    values, others = both
    found = share_ahead(values, others)
    expected = np.mean([scipy.stats.rankdata(pair)[0] - 1 for pair in zip(values, others, strict=True)])
    assert found.mean == pytest.approx(expected)
    turned = share_ahead(others, values)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))


# --- power


@pytest.mark.parametrize("tests", [1, 16, 81, 435])
@pytest.mark.parametrize(("replicates", "prior"), [(3, 0), (5, 0), (10, 0), (10, 31.5), (30, 0), (100, 0)])
def test_the_detectable_difference_has_the_power_it_says(replicates, prior, tests):
    """By the definition of the noncentral t distribution: a normal value over the root of a chi-squared one."""
    df = replicates - 1 + prior
    delta = detectable(2.0, replicates, tests, prior) / 2.0 * math.sqrt(replicates)
    critical = scipy.stats.t.isf(LEVEL / tests / 2, df)
    variances = scipy.stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, df) / df
    errors = np.sqrt(variances)
    power = scipy.stats.norm.cdf(delta - critical * errors) + scipy.stats.norm.cdf(-delta - critical * errors)
    assert power.mean() == pytest.approx(POWER, abs=1e-4)


@pytest.mark.parametrize(("replicates", "tests"), [(10, 1), (10, 81), (30, 81)])
def test_the_detectable_difference_is_told_apart_four_times_in_five(replicates, tests):
    rng = np.random.default_rng(1)
    values = rng.normal(detectable(1.0, replicates, tests), 1.0, (20_000, replicates))
    told = scipy.stats.ttest_1samp(values, 0, axis=1).pvalue <= LEVEL / tests
    assert told.mean() == pytest.approx(POWER, abs=0.01)


@pytest.mark.parametrize("tests", [1, 20, 81])
@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("prior", [0.0, 31.5])
def test_so_many_replicates_suffice_and_one_fewer_does_not(effect, tests, prior):
    n = replicates_for(effect, 1.0, tests, prior)

    def power(count):
        df = count - 1 + prior
        return scipy.stats.nct(df, effect * math.sqrt(count)).sf(scipy.stats.t.isf(LEVEL / tests / 2, df))

    assert power(n) >= POWER - 1e-6
    assert n == 2 or power(n - 1) < POWER


def test_no_number_of_replicates_tells_apart_what_is_equal_or_too_close():
    assert replicates_for(0.0, 1.0, 1) is None
    assert replicates_for(-1.0, 1.0, 1) is None
    assert replicates_for(1e-6, 1.0, 1) is None
    assert replicates_for(0.1, 1.0, 1, most=500) is None
    assert replicates_for(1e9, 1.0, 1) == 2


# --- the rows of a shared test set

rights = st.integers(2, 60).flatmap(lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2))


@examples
@given(rights)
def test_for_one_replicate_the_rows_bring_mcnemars_error(both):
    """From the table of the rows that both, only one, or none has right."""
    one, other = map(np.array, both)
    b, c, n = int((one & ~other).sum()), int((~one & other).sum()), len(one)
    variance = Fraction(b + c) - Fraction((b - c) ** 2, n)
    assert rows_error([one], [other]) == pytest.approx(math.sqrt(variance / (n * (n - 1))), abs=1e-12)


def test_the_error_of_the_rows_is_that_of_other_rows_drawn():
    """Ten replicates tested on 200 rows, drawn anew 2,000 times from many."""
    rng = np.random.default_rng(3)
    many = 100_000
    chance = rng.beta(8, 1, many)
    whole = [(rng.random((10, many)) < np.clip(chance + shift, 0, 1)) for shift in (0.0, 0.03)]
    errors, differences = [], []
    for _ in range(2_000):
        rows = rng.integers(0, many, 200)
        one, other = whole[0][:, rows], whole[1][:, rows]
        errors.append(rows_error(list(one), list(other)))
        differences.append(one.mean() - other.mean())
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(differences), rel=0.06)


@examples
@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_packed_rows_come_back(right):
    assert unpacked(packed(right)).tolist() == right


@examples
@given(st.text(max_size=20))
def test_a_text_that_is_no_packed_rows_is_refused(text):
    with pytest.raises(InputError, match="does not encode the contributions of test rows"):
        unpacked(text)


@pytest.mark.parametrize(
    "text", ["", "0:", "-3:eJw=", "3", "3:!!", "99999999999:eJwrAQAA", "9:eNr73wAAAg==", "17:eJz73wAAAoABgA=="]
)
def test_packed_rows_that_were_edited_are_refused(text):
    with pytest.raises(InputError, match="does not encode the contributions of test rows"):
        unpacked(text)


# --- usable decades


def test_usable_decades_stop_at_the_target_and_at_the_grid():
    grid = {0.01: 0.5, 0.1: 0.96, 1.0: 0.97, 10.0: 0.93, 100.0: 0.99}
    down, up = (0.96 - 0.95) / (0.96 - 0.5), (0.97 - 0.95) / (0.97 - 0.93)
    assert usable_decades(grid, 1.0, 0.95) == (pytest.approx(1 + down + up), False)
    assert usable_decades(grid, 100.0, 0.95) == (pytest.approx((0.99 - 0.95) / (0.99 - 0.93)), True)
    assert usable_decades(grid, 10.0, 0.95) == (0, False)
    assert usable_decades(grid, 1.0, 0.1) == (pytest.approx(4), True)


@examples
@given(st.lists(st.integers(0, 100).map(lambda k: k / 100), min_size=3, max_size=9), shares, st.data())
def test_usable_decades_by_walking_along_the_line(values, target, data):
    """The line through the scores is followed in small steps until it falls below the target."""
    place = np.arange(len(values), dtype=float)
    chosen = data.draw(st.integers(0, len(values) - 1))
    width, open_end = usable_decades({10.0**k: v for k, v in zip(place, values, strict=True)}, 10.0**chosen, target)
    step = 1 / 512
    fine = np.arange(0, len(values) - 1 + step / 2, step)
    holds = np.interp(fine, place, values) >= target
    start = round(chosen / step)
    if values[chosen] < target:
        assert (width, open_end) == (0, False)
        return
    up = next((k for k in range(start, len(fine)) if not holds[k]), None)
    down = next((k for k in range(start, -1, -1) if not holds[k]), None)
    assert open_end == (up is None or down is None)
    high = len(values) - 1 if up is None else up * step
    low = 0 if down is None else down * step
    assert width == pytest.approx(high - low, abs=2 * step + 1e-9)


# --- performance profiles


@examples
@given(st.integers(1, 4).flatmap(lambda problems: st.lists(
    st.lists(st.sampled_from([1.0, 1.5, 2.0, 3.0, 8.0, math.inf]), min_size=problems, max_size=problems),
    min_size=1, max_size=4)))  # fmt: skip
def test_the_performance_profile_is_the_share_within_a_factor_of_the_best(table):
    """Dolan and Moré's definition, counted directly."""
    costs = {f"solver {k}": row for k, row in enumerate(table)}
    profile = performance_profile(costs)

    def share(name, factor):
        best = [min(row[p] for row in table) for p in range(len(table[0]))]
        solved = sum(cost < math.inf and cost <= factor * least for cost, least in zip(costs[name], best, strict=True))
        return solved / len(best)

    for name in costs:
        assert profile[name][0][0] == 1.0
        for factor in (1.0, 1.4, 1.5, 2.0, 3.9, 4.0, 100.0):
            reached = [s for f, s in profile[name] if f <= factor]
            assert reached[-1] == share(name, factor)


# --- the best of so many trials


@examples
@given(st.lists(shares, min_size=1, max_size=5))
def test_best_after_k_trials_is_the_mean_over_all_draws(values):
    found = best_after(values)
    for k, expected in enumerate(found, 1):
        if len(values) ** k <= 700:
            assert np.mean([max(drawn) for drawn in itertools.product(values, repeat=k)]) == pytest.approx(expected)
    assert len(found) == len(values)
    assert np.diff(found).min(initial=0) > -1e-12


# --- targets


def record(*val_score, status="ok"):
    run = {"split": 0}
    best = max(val_score)
    more = {"error": "MemoryError"} if status == "error" else {}
    return Record(
        key_of(run), run, status, best_epoch=1, val_score=best, test_score=best,
        curves=Curves(val_score=val_score), **more,
    )  # fmt: skip


def rising(epochs, at, to):
    """A curve that is at ``at`` in the first epoch and reaches ``to`` evenly in the last."""
    return np.linspace(at, to, epochs).tolist()


def test_the_target_proposed_tells_apart_those_that_part_late():
    """All three pass 90% at once; from there to 99% one takes 4 epochs, one 10 and one 19."""
    epochs = 20
    curves = {4: [0.9, 0.93, 0.96] + [0.99] * 17, 10: rising(10, 0.9, 0.99) + [0.99] * 10, 19: rising(20, 0.9, 0.995)}
    rng = np.random.default_rng(0)

    def replicates(curve):
        made = [np.clip(np.array(curve) + shift, 0, 1) for shift in rng.normal(0, 0.002, 10)]
        return [[record(*values), record(*[0.5] * epochs)] for values in made]

    tuned = {f"reaches it after {k}": replicates(curve) for k, curve in curves.items()}
    assert 0.9 < proposed(tuned, epochs) < 0.99
    assert proposed({name: replicates(curves[4]) for name in "ab"}, epochs) is None


def test_a_run_that_diverged_or_failed_reaches_no_target():
    def tuned(status):
        good = [[record(*[0.9] * 20, status=status), record(*[0.5] * 20)] for _ in range(10)]
        return {"good": good, "bad": [[record(*[0.6] * 20)] for _ in range(10)]}

    assert 0.6 < proposed(tuned("ok"), 20) <= 0.9
    for status in ("diverged", "error"):
        assert 0.5 < proposed(tuned(status), 20) <= 0.6


@pytest.mark.slow
def test_no_target_is_proposed_for_what_differs_by_chance():
    """Ten equal contenders: some of the 45 pairs differ at 5% at one target or another, none after the corrections for
    the pairs and for the targets."""
    curve = np.array(rising(20, 0.5, 0.95))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        tuned = {f"{k}": [[record(*np.clip(curve + rng.normal(0, 0.05), 0, 1))] for _ in range(10)] for k in range(10)}
        assert proposed(tuned, 20) is None
