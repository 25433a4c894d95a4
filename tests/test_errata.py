"""The errata page: each wrong form fails as the page says, each right one agrees with a value found another way."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import require
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


@pytest.mark.slow
def test_the_committed_page_is_what_the_script_writes(sections):
    """Word for word; numbers within 2%, since the last digit printed may fall differently on another machine."""
    written, made = (DOCS / "errata.md").read_text(encoding="utf-8"), make_errata.page(sections)
    assert NUMBER.sub("#", written) == NUMBER.sub("#", made), "run python docs/make_errata.py"
    for old, new in zip(NUMBER.findall(written), NUMBER.findall(made), strict=True):
        assert float(old.replace(",", "")) == pytest.approx(float(new.replace(",", "")), rel=0.02), (old, new)


@pytest.mark.slow
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


@pytest.mark.parametrize("curvature", [1.0, 2.0, 2.03, 50.0])
def test_momentum_times_the_rate_is_stable_up_to_a_curvature_of_twice_one_plus_the_rate(curvature):
    right, wrong = update_rules.momentum_down(curvature, steps=3000)
    assert abs(right) < 1e-6
    # the roots of x^2 - (1 + lr - h) x + lr, of which the recurrence is made
    radius = max(abs(np.roots([1.0, -(1 + 0.01 - curvature), 0.01])))
    assert (radius < 1) == (curvature < 2 * (1 + 0.01)) == (abs(wrong) < 1)


def test_the_ratio_of_update_to_weights_does_not_follow_the_rate():
    book = ol.rules.textbook
    accuracy, sgd = update_rules.update_ratios(book.sgd, 0.3, epochs=4)
    assert accuracy > 0.85
    accuracy, adam = update_rules.update_ratios(book.adam, 0.003, epochs=4)
    assert accuracy > 0.85
    assert 10 * sgd / 0.3 < adam / 0.003
    assert update_rules.update_ratios(book.sgd, 0.0, epochs=1)[1] == 0.0


def test_each_optimizer_needs_a_rate_of_its_own():
    found = update_rules.rates_on_digits((0.001, 0.1), epochs=4)
    assert found["SGD"][1] > 2 * max(found["SGD"][0], 0.1)
    assert found["Adam"][0] > 2 * found["SGD"][0]  # at the one rate, Adam is far ahead
    assert found["SGD"][1] > found["Adam"][0]
    page = section.measured("cifar10_optimizers", "SGD 0.01")["val_accuracy"]
    assert page["mean"] == pytest.approx(np.mean(page["runs"]), abs=1e-6)
    assert page["mean"] > section.measured("cifar10_optimizers", "SGD 0.001")["val_accuracy"]["mean"] + 0.05


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


@pytest.mark.slow
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


def test_the_variance_as_a_deviation_shrinks_the_signal_by_the_width():
    w = initial_weights.normal_by_variance(np.random.default_rng(0), (100, 300))
    assert w.std() == pytest.approx(1 / 200, rel=0.02)
    right, wrong = (
        initial_weights.signal([64] * 3, "tanh", i, draws=3)
        for i in ("glorot_normal", initial_weights.normal_by_variance)
    )
    assert wrong[1] == pytest.approx(1 / 64, rel=0.1)  # so small a tanh is the identity
    assert wrong[2] == pytest.approx(1 / 64**2, rel=0.2)
    assert right[2] > 0.2


def test_units_that_begin_alike_stay_alike():
    accuracy, units = initial_weights.trained_from(initial_weights.constant, epochs=3)
    assert units == 1
    assert accuracy < 0.4
    accuracy, units = initial_weights.trained_from("he_normal", epochs=3)
    assert units == 32
    assert accuracy > 0.85


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


def test_the_three_decays_meet_in_epoch_10_and_part():
    rates = schedules.decays(101)
    assert [values[10] for values in rates.values()] == pytest.approx([0.01] * 3)
    assert [len(set(values[:30])) for values in rates.values()] == [3, 30, 30]
    e = np.arange(101)
    expected = (0.1 * 0.1 ** (e // 10), 0.1 * 0.1 ** (e / 10), 0.1 / (1 + 0.9 * e))
    np.testing.assert_allclose(list(rates.values()), expected, rtol=1e-12)


def test_the_schedule_of_the_slides_ends_in_a_name_error():
    assert schedules.name_error() == "name 'epoch' is not defined"


@pytest.mark.slow
def test_the_momentum_that_pytorchs_cyclic_schedule_sets():
    torch = require("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.0001, 0.01, step_size_up=5, step_size_down=25)
    for lr, momentum in schedules.cycled(30):
        group = optimizer.param_groups[0]
        assert (group["lr"], group["momentum"]) == pytest.approx((lr, momentum))
        optimizer.step()
        scheduler.step()
    was, named = schedules.cycled_on_digits(epochs=6)
    assert was[0] == pytest.approx(named[0], rel=0.02)
    assert was[-1] > 1.05 * named[-1]


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


def test_only_some_activation_functions_are_bounded():
    ranges = layers.activation_ranges(50.0)
    bounded = {name for name, (low, high) in ranges.items() if low >= -1 and high <= 1}
    assert bounded == {"tanh", "sigmoid"}
    assert ranges["relu"] == (0.0, 50.0)
    largest, above = layers.relu_on_digits(epochs=3)
    assert largest > 2
    assert 0.1 < above < 0.9


def test_passes_in_training_mode_change_what_batch_norm_has_learned():
    net = layers.dropout_network(epochs=4)
    before = net.learned()
    kept = {name: values.copy() for name, values in before.items()}
    assert layers.after_passes(net, 0) == ol.evaluate(net, section.DIGITS.x_val, section.DIGITS.y_val)[1]
    assert layers.after_passes(net, 100) < layers.after_passes(net, 0) - 0.1
    ol.mc_predict(net, section.DIGITS.x_val, samples=3)
    for name, values in net.learned().items():
        np.testing.assert_array_equal(values, kept[name])


def test_plain_softmax_is_right_until_it_overflows():
    sizes = np.arange(-60, 121)
    right, wrong = layers.softmax_by_size(sizes)
    expected = special.softmax([0.0, -1.0, -2.0])[0]
    np.testing.assert_allclose(right, expected, rtol=1e-6)
    assert np.array_equal(np.isnan(wrong), sizes >= 89)
    np.testing.assert_allclose(wrong[sizes < 89], expected, rtol=1e-5)


@pytest.mark.slow
def test_a_mean_of_batch_means_favours_a_short_last_batch():
    rows = np.array([1.0, 1.0, 1.0, 5.0])
    assert measures.mean_of_means(rows, 3) == 3.0
    assert measures.mean_of_means(rows, 2) == rows.mean() == 2.0
    assert measures.typical_error(np.array([1.0, 3.0]), count=64, draws=10) == pytest.approx(0, abs=1e-15)
    # 157 batches, the last of 8 rows: its share is 1/157 instead of 8/5000
    noise = np.random.default_rng(0).normal(10.0, 1.0, 50_000)
    expected = 0.6745 * (1 / 157 - 8 / 5000) * math.sqrt(1 / 8 + 1 / 4992) / 10
    assert measures.typical_error(noise, draws=2000) == pytest.approx(expected, rel=0.1)


def test_three_images_are_within_the_noise():
    assert measures.standard_error(0.9845, 10_000) == pytest.approx(0.00123526, rel=1e-4)
    draws = np.random.default_rng(0).integers(0, 2, (20_000, 30)).sum(axis=1)
    assert measures.chance_of_a_gap(30, 3) == pytest.approx((abs(2 * draws - 30) >= 3).mean(), abs=0.01)
    assert measures.chance_of_a_gap(2, 3) == 0.0


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
