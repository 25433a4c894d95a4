"""The gradient check passes what is right, fails what is wrong, and names the culprit."""

import numpy as np
import pytest

import optimlab as ol
from optimlab.activations import ACTIVATIONS, ReLU, Sigmoid
from optimlab.layers import Activate, BatchNorm, Dense, Dropout


def data(rows=7, features=5, classes=3, seed=0):
    g = np.random.default_rng(seed)
    return g.normal(size=(rows, features)), g.integers(0, classes, rows)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [False, "before", "after"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_with_batch_norm_and_dropout(activation, norm, training):
    net = ol.MLP([5, 6, 4, 3], activation=activation, batch_norm=norm, dropout=0.25, seed=1)
    report = ol.gradcheck(net, *data(), training=training)
    assert report.relative_error < 1e-6
    assert report.entries == net.parameters.data.size
    assert report.skipped == 0


def test_without_bias_and_with_squared_error():
    net = ol.MLP([5, 6, 2], activation="tanh", use_bias=False, seed=0)
    x, _ = data()
    report = ol.gradcheck(net, x, np.random.default_rng(1).normal(size=(7, 2)), loss="mean_squared_error")
    assert report.entries == 5 * 6 + 6 * 2


def test_the_network_is_left_as_it_was():
    net = ol.MLP([5, 6, 3], batch_norm=True, dropout=0.5, seed=0)
    net.parameters.freeze("dense1")
    weights, grad = net.parameters.data.copy(), net.parameters.grad.copy()
    states = [{k: v.copy() for k, v in layer.state().items()} for layer in net.layers]
    stream = [layer.generator.state for layer in net.layers if isinstance(layer, Dropout)]
    ol.gradcheck(net, *data())
    np.testing.assert_array_equal(net.parameters.data, weights)
    np.testing.assert_array_equal(net.parameters.grad, grad)
    for layer, state in zip(net.layers, states, strict=True):
        for name, values in layer.state().items():
            np.testing.assert_array_equal(values, state[name])
    assert [layer.generator.state for layer in net.layers if isinstance(layer, Dropout)] == stream
    assert net.parameters["dense1.W"].frozen


def test_large_networks_are_checked_along_directions_only():
    net = ol.MLP([50, 60, 10], seed=0)
    report = ol.gradcheck(net, *data(20, 50, 10), directions=4)
    assert (report.entries, report.directions) == (0, 8)


# --- gradients that are wrong, each in one place


class WrongBias(Dense):
    def backward(self, dy, input_gradient=True):
        dx = super().backward(dy, input_gradient)
        self.b.grad[1] *= 2
        return dx


class WrongWeight(Dense):
    def backward(self, dy, input_gradient=True):
        dx = super().backward(dy, input_gradient)
        self.W.grad[2, 0] += 1e-4
        return dx


class WrongInput(Dense):
    def backward(self, dy, input_gradient=True):
        dx = super().backward(dy, input_gradient)
        return dx if dx is None else -dx


class ForgetsTheMean(BatchNorm):
    def backward(self, dy, input_gradient=True):
        return dy * self.gamma.data * self._inverse  # as if mu and var were constants


class WrongSlope(Sigmoid):
    def backward(self, b, x, y, dy, out, tmp):
        out[...] = dy * y * (1 + y)


class NaNGradient(Dense):
    def backward(self, dy, input_gradient=True):
        dx = super().backward(dy, input_gradient)
        self.W.grad[0, 1] = np.nan
        return dx


@pytest.mark.parametrize(
    ("layers", "culprit"),
    [
        ([WrongBias(5, 3)], r"^dense1\.b\[1\]: backward gives .*, finite differences .*; 1 of the 18 entries"),
        ([WrongWeight(5, 3)], r"^dense1\.W\[2, 0\]"),
        ([Dense(5, 4), WrongInput(4, 3)], r"^dense1\."),
        ([Dense(5, 4), ForgetsTheMean(4), Activate(4, "tanh"), Dense(4, 3)], r"^dense1\.W"),
        ([Dense(5, 4), Activate(4, WrongSlope()), Dense(4, 3)], r"^dense1\."),
        ([NaNGradient(5, 3)], r"^dense1\.W\[0, 1\]: backward gives nan"),
        ([WrongInput(5, 3)], r"of the inputs: backward gives"),
    ],
)
def test_a_wrong_gradient_is_found_and_named(layers, culprit):
    with pytest.raises(ol.GradientError, match=culprit):
        ol.gradcheck(ol.Network(layers, seed=0), *data())


def test_a_wrong_entry_of_a_large_network_is_named_too():
    net = ol.Network([Dense(50, 60), Activate(60, "tanh"), WrongBias(60, 10)], seed=0)
    with pytest.raises(ol.GradientError, match=r"^dense2\.b\[1\]"):
        ol.gradcheck(net, *data(20, 50, 10))


class Absolute(ReLU):
    """|x|, with the derivative of ReLU: right on one side of the kink only."""

    def forward(self, b, x, out, tmp):
        b.xp.abs(x, out=out)


def test_a_kink_is_no_excuse_for_a_wrong_derivative():
    with pytest.raises(ol.GradientError):
        ol.gradcheck(ol.Network([Dense(5, 4), Activate(4, Absolute()), Dense(4, 3)]), *data())


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_point_on_a_kink_is_moved_off_it(activation):
    """All weights and inputs zero: every unit sits exactly on its kink."""
    net = ol.MLP([5, 6, 3], activation=activation, initializer="zeros", seed=0)
    x, y = np.zeros((4, 5)), [0, 1, 2, 0]
    assert ol.gradcheck(net, x, y).relative_error < 1e-6


def test_differences_that_would_cross_a_kink_are_shortened():
    """A unit 2e-6 from its kink, closer than the usual step of 1e-5."""
    net = ol.Network([Dense(1, 1), Activate(1, "relu"), Dense(1, 2)], seed=0)
    net.parameters["dense1.W"].data[...] = 1.0
    net.parameters["dense1.b"].data[...] = 0.0
    report = ol.gradcheck(net, [[2e-6], [1.0]], [0, 1])
    assert report.relative_error < 1e-6
    assert report.skipped == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 6)), [0, 1, 2, 0]), "expected inputs of shape"),
        ((np.zeros((4, 5)), [0, 1, 2]), "expected 4 labels"),
        ((np.zeros((4, 5)), [0, 1, 2, 3]), "labels must lie from 0 to 2"),
        ((np.full((4, 5), np.nan), [0, 1, 2, 0]), "the loss is not finite"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ol.InputError, match=message):
        ol.gradcheck(ol.MLP([5, 3]), *arguments)
    with pytest.raises(ol.InputError, match="directions"):
        ol.gradcheck(ol.MLP([5, 3]), *data(), directions=0)
