"""The errata page: each wrong form fails as the page says, each right one agrees with a value found another way."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import optimlab as ol

DOCS = Path(__file__).parent.parent / "docs"


sys.path.insert(0, str(DOCS))

import make_errata  # noqa: E402
from errata import initial_weights, layers, measures, schedules, section, update_rules  # noqa: E402


@pytest.fixture(scope="module")
def sections():
    return [make() for make in make_errata.ERRATA]


# --- the page

NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?(?:e-?\d+)?")


def test_the_committed_page_is_what_the_script_writes(sections):
    """Word for word; numbers within 2%, since the last digit printed may fall differently on another machine."""
    written, made = (DOCS / "errata.md").read_text(encoding="utf-8"), make_errata.page(sections)
    assert NUMBER.sub("#", written) == NUMBER.sub("#", made), "run python docs/make_errata.py"
    for old, new in zip(NUMBER.findall(written), NUMBER.findall(made), strict=True):
        assert float(old.replace(",", "")) == pytest.approx(float(new.replace(",", "")), rel=0.02), (old, new)


def test_every_section_is_linked_and_every_figure_is_there(sections):
    page = (DOCS / "errata.md").read_text(encoding="utf-8")
    assert len({s.key for s in sections}) == len(sections)
    for s in sections:
        assert page.count(f'<a id="{s.key}"></a>') == 1
        assert f"](#{s.key})" in page
        assert s.document in make_errata.DOCUMENTS
    assert set(re.findall(r"figures/[\w-]+\.png", page)) == {
        f"figures/errata-{s.key}.png" for s in sections if s.figure
    }
    assert all((DOCS / "figures" / f"errata-{s.key}.png").is_file() for s in sections if s.figure)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.0, "0.00"),
        (0.000999999999, "0.00100"),
        (-4.95, "−4.95"),
        (9.999, "10.0"),
        (31622.7, "31,600"),
        (3.4e-7, "3.40e-7"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_printed_to_three_digits(x, text):
    assert section.num(x) == text


# --- update rules


def test_adam_with_the_product_steps_with_the_square_of_the_gradient():
    scales = np.array([0.01, 1.0, 100.0])
    right, wrong = update_rules.first_steps(scales, lr=0.5)
    np.testing.assert_allclose(right, 0.5)
    np.testing.assert_allclose(wrong, 0.5 * scales**2)


def test_adam_with_the_product_learns_in_one_unit_of_the_loss_only():
    result = update_rules.adam_on_digits((0.1, 1.0, 10.0), epochs=6, rates=(0.01, 10.0))
    (right_lr, right), (wrong_lr, wrong) = result["right"], result["wrong"]
    assert (right_lr, wrong_lr) == (0.01, 10.0)
    assert min(right) > 0.9
    assert wrong[1] > 0.7 > 2 * max(wrong[0], wrong[2])


def test_adagrad_with_the_loss_takes_roots_of_negative_numbers():
    net = ol.MLP([64, 32, 10], seed=0, dtype="float64")
    logits = net.forward(section.DIGITS.x_train[:32], training=True)
    net.backward(ol.losses.softmax_cross_entropy(logits, section.DIGITS.y_train[:32])[1])
    negative = (net.parameters.grad < 0).mean()
    assert update_rules.adagrad_first_step(32) == (0.0, negative)
    assert negative > 0.2


def test_adagrad_with_the_loss_depends_on_its_zero_point():
    right, wrong = update_rules.adagrad_offsets([0.0, 6.0], w=2.0, lr=0.1)
    assert right == pytest.approx([0.1, 0.1])
    assert wrong == pytest.approx([0.1 * 2 / math.sqrt(2 * loss) for loss in (2.0, 8.0)])


def test_rmsprop_remembers_ten_times_longer_with_the_beta_that_was_run():
    for beta in (0.9, 0.99):
        lengths = update_rules.rmsprop_lengths(beta, fall=500, steps=1000)
        start, back = update_rules.settled(lengths, 500)
        assert lengths[0] == pytest.approx(1 / math.sqrt(1 - beta))
        # s = 1 - beta^k until the fall, then 0.01 + 0.99 beta^k
        assert start == math.ceil(math.log(1 - 1 / 1.05**2) / math.log(beta))
        assert back == math.ceil(math.log(0.03 / 0.99) / math.log(beta))


def test_clipping_on_one_side_lets_the_other_through():
    right, wrong = update_rules.clipped_paths(start=3.0, steps=100)
    np.testing.assert_array_equal(right[:, 0], wrong[:, 0])
    np.testing.assert_array_equal(right[:, 0], -right[:, 1])
    assert np.abs(np.diff(right[:, 1])).max() == pytest.approx(0.05)
    assert wrong[1, 1] == pytest.approx(-3 + 0.05 * 4 * 27)


# --- initial weights


def test_the_narrow_uniform_has_half_of_glorots_variance():
    shape = (300, 100)
    w = initial_weights.glorot_uniform_3(np.random.default_rng(0), shape)
    assert w.var() == pytest.approx(1 / sum(shape), rel=0.02)
    right = ol.initializers.get("glorot_uniform")(np.random.default_rng(0), shape)
    assert right.var() == pytest.approx(2 / sum(shape), rel=0.02)
    signals = [
        initial_weights.signal([64] * 9, "tanh", i, draws=3)[-1]
        for i in ("glorot_uniform", initial_weights.glorot_uniform_3)
    ]
    assert signals[0] > 20 * signals[1]


def test_hes_variance_keeps_the_signal_and_the_shared_one_does_not():
    widths = [128, 32] * 4 + [128]
    right, wrong = (
        initial_weights.signal(widths, "relu", i, draws=40) for i in ("he_normal", initial_weights.he_normal_both)
    )
    assert right[-1] == pytest.approx(1, rel=0.3)
    assert wrong[-1] == pytest.approx(0.64**4, rel=0.3)
    square = [
        initial_weights.signal([32] * 4, "relu", i, draws=2) for i in ("he_normal", initial_weights.he_normal_both)
    ]
    np.testing.assert_allclose(*square)


# --- schedules


def test_power_decay_with_the_inverse_scale_stands_still():
    assert schedules.power_decay(10_000, 10_000.0) == pytest.approx(0.005)
    assert schedules.power_decay(1, 1e-4) == pytest.approx(0.01 / 10_001)
    right, wrong = schedules.power_on_digits(epochs=8)
    assert right[1] - right[-1] > 0.2
    assert abs(wrong[1] - wrong[-1]) < 0.001


def test_the_old_decay_halves_the_rate_by_steps():
    assert [schedules.epochs_to_half(n) for n in (1, 157, 1875)] == [10_000, 64, 6]


def test_the_cyclic_rates_are_those_the_document_logged():
    assert [f"{schedules.triangular(e - 1):.5f}" for e in (10, 20, 30)] == ["0.00842", "0.00446", "0.00050"]
    assert [schedules.triangular(i) for i in (0, 5, 30)] == pytest.approx([1e-4, 1e-2, 1e-4])


def test_step_lr_by_the_step_size_ends_in_guessing():
    assert [schedules.step_rate(e, 0.1) for e in (0, 9, 10, 20)] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    right, wrong = schedules.step_on_digits()
    assert right[-1] < right[9]
    assert wrong[-1] > 2 > wrong[9]


def test_exponential_lr_is_step_lr_with_step_size_one():
    epochs = range(5)
    rates = [schedules.exponential_rate(e) for e in epochs]
    assert rates == pytest.approx([schedules.step_rate(e, 0.1, every=1) for e in epochs])
    assert rates[:2] == pytest.approx([0.1, 0.01])


# --- layers, data, losses


def test_batch_norm_without_the_square_normalizes_nothing():
    spreads = np.array([0.5, 2.0])
    right, wrong, variance = layers.batch_norm_outputs(spreads, eps=1e-4, rows=50)
    np.testing.assert_allclose(right, spreads / np.sqrt(spreads**2 + 1e-4))
    np.testing.assert_allclose(wrong, spreads * 100, rtol=1e-6)
    assert variance < 1e-12


def test_standardised_data_train_faster():
    data = layers.standardised(section.DIGITS)
    assert data.x_train.mean() == pytest.approx(0, abs=1e-5)
    assert data.x_train.std() == pytest.approx(1, abs=1e-5)
    raw, normal = layers.normalization_runs(seeds=(7,), epochs=20)
    assert normal[0, -1] < 0.6 * raw[0, -1]
    assert layers.epochs_to(np.array([[3.0, 2.0, 1.0]]), 2.0) == [2]


def test_plain_softmax_is_right_until_it_overflows():
    sizes = np.arange(-60, 121)
    right, wrong = layers.softmax_by_size(sizes)
    expected = special.softmax([0.0, -1.0, -2.0])[0]
    np.testing.assert_allclose(right, expected, rtol=1e-6)
    assert np.array_equal(np.isnan(wrong), sizes >= 89)
    np.testing.assert_allclose(wrong[sizes < 89], expected, rtol=1e-5)


def test_a_mean_of_batch_means_favours_a_short_last_batch():
    rows = np.array([1.0, 1.0, 1.0, 5.0])
    assert measures.mean_of_means(rows, 3) == 3.0
    assert measures.mean_of_means(rows, 2) == rows.mean() == 2.0


def test_the_printed_loss_is_the_loss_times_the_batch_size():
    rows = measures.row_losses(epochs=1)
    assert measures.sum_over_batches(rows[:64], 32) == pytest.approx(32 * rows[:64].mean())
    assert measures.sum_over_batches(rows, 32) == pytest.approx(rows.sum() / 34)
    assert measures.undefined_name() == "name 'test' is not defined"


def test_row_losses_are_the_losses_that_evaluate_averages():
    net, _ = section.train(ol.rules.textbook.adam, epochs=1, lr=0.01)
    loss, _ = ol.evaluate(net, section.DIGITS.x_train, section.DIGITS.y_train)
    assert measures.row_losses(epochs=1).mean() == pytest.approx(loss)


def test_the_best_of_many_looks_better_than_it_is():
    """Candidates of equal skill: all of the best one's lead is luck."""
    hits = (np.random.default_rng(1).random((50, 2000)) < 0.9).astype(float)
    chosen_on, fresh = measures.optimism(hits, 1, splits=100)
    assert chosen_on == pytest.approx(fresh)
    chosen_on, fresh = measures.optimism(hits, 50, splits=200)
    luck = 2.25 * math.sqrt(0.9 * 0.1 / 1000)  # the largest of 50 standard normals is 2.25 on average
    assert chosen_on - fresh == pytest.approx(luck, rel=0.3)
    assert fresh == pytest.approx(0.9, abs=0.01)


def test_candidates_are_checkpoints_judged_on_the_held_out_rows():
    hits = measures.candidates(100, seeds=2, epochs=3)
    assert hits.shape == (6, len(section.DIGITS.x_val) + len(section.DIGITS.x_test))
    assert set(np.unique(hits)) == {0.0, 1.0}
