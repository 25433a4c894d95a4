"""The range test: what it measures, where it stops, what it suggests, and that it leaves no trace."""

import copy

import numpy as np
import pytest

import optimlab as ol
from optimlab.lab.range_finder import _highest, _steepest, find_lr

DIGITS = ol.datasets.load("digits")


def make(rule=ol.SGD, **options):
    network = ol.MLP([64, 32, 10], **options)
    return network, rule(network.parameters)


def test_rates_rise_by_one_factor():
    found = find_lr(*make(), DIGITS, low=1e-3, high=1e-1, steps=21)
    np.testing.assert_allclose(found.rates, 10 ** np.linspace(-3, -1, 21), rtol=1e-12)
    assert found.diverged_at is None
    assert len(found.losses) == len(found.smoothed) == 21


def test_a_step_by_hand():
    """One full batch, so that the order of the rows does not matter: gradient descent at rising rates."""
    x, y = DIGITS.x_train[:40], DIGITS.y_train[:40]
    network, optimizer = make(dtype="float64")
    found = find_lr(network, optimizer, ol.Dataset(x, y), low=0.01, high=0.5, steps=20, batch_size=40)
    losses = []
    for rate in found.rates:
        loss, gradient = ol.losses.softmax_cross_entropy(network.forward(x, training=True), y)
        network.backward(gradient)
        network.parameters.data -= rate * network.parameters.grad
        losses.append(loss)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-9)


def test_smoothing_is_a_weighted_mean():
    found = find_lr(*make(), DIGITS, steps=30)
    for k in range(len(found.losses)):
        weights = 0.8 ** np.arange(k, -1, -1)
        assert found.smoothed[k] == pytest.approx(np.average(found.losses[: k + 1], weights=weights), rel=1e-12)


@pytest.mark.parametrize("rule", [ol.SGD, ol.Momentum, ol.Adam])
def test_the_originals_stay_as_they_were(rule):
    network, optimizer = make(rule, batch_norm=True, dropout=0.3)
    ol.fit(network, optimizer, DIGITS, epochs=1)
    twin, same = copy.deepcopy((network, optimizer))
    found = find_lr(network, optimizer, DIGITS, high=100.0)
    assert len(found.losses) > 20
    for name, array in network.learned().items():
        np.testing.assert_array_equal(array, twin.learned()[name])
    assert (optimizer.t, optimizer.lr) == (same.t, same.lr)
    for options in ((network, optimizer), (twin, same)):  # dropout streams and the rule's state included
        ol.fit(*options, DIGITS, epochs=1, seed=1)
    np.testing.assert_array_equal(network.parameters.data, twin.parameters.data)


def test_seeds():
    first, again, other = (find_lr(*make(), DIGITS, steps=30, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.losses != other.losses


@pytest.mark.parametrize(("rule", "low", "high"), [(ol.SGD, 0.05, 2), (ol.Momentum, 0.02, 1.5), (ol.Adam, 0.003, 0.2)])
def test_the_suggestion_trains(rule, low, high):
    network, optimizer = make(rule)
    found = find_lr(network, optimizer, DIGITS)
    assert low < found.suggestion < high
    optimizer.lr = found.suggestion / 3  # the cautious share of it
    assert ol.fit(network, optimizer, DIGITS, epochs=5).val_accuracy[-1] > 0.9


def test_it_stops_where_the_loss_bursts():
    found = find_lr(*make(ol.Momentum), DIGITS, high=1e4)
    assert found.diverged_at == found.rates[-1] < 1e4
    assert found.smoothed[-1] > 4 * min(found.smoothed)
    assert all(s <= 4 * min(found.smoothed[: k + 1]) for k, s in enumerate(found.smoothed[:-1]))
    assert found.suggestion < found.diverged_at


def test_a_loss_that_is_not_finite_is_left_out():
    found = find_lr(*make(), DIGITS, low=1e30, high=1e38, steps=20)
    assert np.isfinite(found.losses).all()
    assert found.diverged_at is not None
    assert found.suggestion is None
    found.figure()  # of a single step


def test_steepest():
    rates = list(range(1, 13))
    smoothed = [9.0, 5, 5, 5, 5, 4.9, 4.5, 3.5, 3.4, 3.3, 5, 1e9]  # the first fall is noise, the last comes too late
    assert _steepest(rates, smoothed) == 7
    assert _steepest(rates, sorted(smoothed)) is None
    assert _steepest([], []) is None


def test_regression():
    network = ol.MLP([64, 1], seed=0)
    data = ol.Dataset(DIGITS.x_train, DIGITS.y_train[:, None].astype("float32"))
    found = find_lr(network, ol.SGD(network.parameters), data, loss="mean_squared_error")
    assert found.suggestion is not None


@pytest.mark.parametrize("constant", [8.0, 50.0, 1e6])
def test_a_constant_below_the_loss_changes_only_where_it_stops(constant):
    """The gradient is that of the mean squared error, so the steps are too."""

    def shifted(outputs, targets):
        error = outputs - targets
        return (error**2).mean() - constant, 2 * error / error.size

    def found(loss):
        network = ol.MLP([64, 1], seed=0, dtype="float64")
        data = ol.Dataset(DIGITS.x_train, DIGITS.y_train[:, None].astype("float64"))
        return find_lr(network, ol.SGD(network.parameters), data, low=1e-3, high=1e4, loss=loss)

    ours, plain = found(shifted), found("mean_squared_error")
    assert min(ours.smoothed) < 0
    assert plain.diverged_at is not None
    assert ours.diverged_at >= plain.diverged_at
    both = len(plain.rates) - 1
    np.testing.assert_allclose(np.add(ours.losses, constant)[:both], plain.losses[:both], rtol=1e-6)
    assert ours.suggestion == plain.suggestion
    assert ours.losses[-1] < 1e3 * constant  # it did not go on until the loss overflowed
    assert "smoothed loss" in ours._repr_html_()
    assert "logarithm" not in ours._repr_html_()


def test_a_loss_that_falls_through_zero_has_not_diverged():
    smoothed = [2.0, 1.0, 0.1, 0.001, 0.01, -0.5]
    losses = [2.0, 0.5, -0.1, -0.1, 0.02, -2.0]
    assert all(s <= _highest(losses[:k], smoothed[:k]) for k, s in enumerate(smoothed, 1) if k > 2)
    assert _highest([-1.0, 1.0], [-1.0, -0.2]) == 2.0  # 3 times the size of the lowest above it
    assert _highest([1.0, 0.5], [1.0, 0.75]) == 3.0  # 4 times the lowest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0}, "low must be a positive number"),
        ({"high": float("nan")}, "high must be a positive number"),
        ({"low": 1.0, "high": 1.0}, "low must be less than high"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps": 19}, "steps must be at least 20"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"batch_size": 5000}, "batch_size 5000 is larger"),
        ({"batch_size": 1}, "batch of one row"),
        ({"loss": "msee"}, "unknown loss"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ol.InputError, match=message):
        find_lr(*make(batch_norm=True), DIGITS, **options)


def test_bad_data_and_optimizers():
    network, optimizer = make()
    with pytest.raises(ol.InputError, match="another network"):
        find_lr(network, make()[1], DIGITS)
    with pytest.raises(ol.InputError, match="NaN"):
        find_lr(network, optimizer, ol.Dataset(np.full((64, 64), np.nan), np.zeros(64, int)))
    with pytest.raises(ol.InputError, match="labels"):
        find_lr(network, optimizer, ol.Dataset(DIGITS.x_train, DIGITS.y_train + 1))

    def rateless(w, g, *, step_size=0.1):
        return w - step_size * g

    with pytest.raises(ol.InputError, match="'lr'"):
        find_lr(network, ol.Optimizer(network.parameters, rateless), DIGITS)


def test_figure(tmp_path):
    pytest.importorskip("matplotlib")
    figure = find_lr(*make(), DIGITS, high=100.0).figure()
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert "suggestion" in " ".join(text.get_text() for text in axes.texts)
    assert "learning rate" in axes.get_xlabel()
    figure.savefig(tmp_path / "range.png")
