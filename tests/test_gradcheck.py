"""The gradient check passes what is right, fails what is wrong, and names the culprit."""

import numpy as np
import pytest
from loss_cases import case

import optimlab as ol
from optimlab.nn.activations import ACTIVATIONS, Activation, sigmoid
from optimlab.nn.layers import Activate, BatchNorm, Declared, Dense, Dropout, Layer
from optimlab.nn.losses import LOSSES


def data(rows=7, features=5, classes=3, seed=0):
    g = np.random.default_rng(seed)
    return g.normal(size=(rows, features)), g.integers(0, classes, rows)


@pytest.mark.quick_each("activation", "norm", "training")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [False, "before", "after"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_with_batch_norm_and_dropout(activation, norm, training):
    net = ol.MLP([5, 4, 3, 3], activation=activation, batch_norm=norm, dropout=0.25, seed=1)
    report = ol.gradcheck(net, *data(), training=training, directions=2)  # each weight is checked by itself, too
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


WRONG_SLOPE = Activation("wrong_slope", sigmoid, lambda y, dy: dy * y * (1 + y))


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
        ([Dense(5, 4), Activate(4, WRONG_SLOPE), Dense(4, 3)], r"^dense1\."),
        ([NaNGradient(5, 3)], r"^dense1\.W\[0, 1\]: backward gives nan"),
        ([WrongInput(5, 3)], r"of the inputs: backward gives"),
    ],
)
def test_a_wrong_gradient_is_found_and_named(layers, culprit):
    with pytest.raises(ol.GradientError, match=culprit):
        ol.gradcheck(ol.Network(layers, seed=0), *data())


@pytest.mark.slow
def test_a_wrong_entry_of_a_large_network_is_named_too():
    net = ol.Network([Dense(50, 60), Activate(60, "tanh"), WrongBias(60, 10)], seed=0)
    with pytest.raises(ol.GradientError, match=r"^dense2\.b\[1\]"):
        ol.gradcheck(net, *data(20, 50, 10))


ABSOLUTE = Activation("absolute", lambda x: np.abs(x), lambda x, dy: np.where(x > 0, dy, 0))
"""|x|, with the derivative of ReLU: right on one side of the kink only."""


def test_a_kink_is_no_excuse_for_a_wrong_derivative():
    with pytest.raises(ol.GradientError):
        ol.gradcheck(ol.Network([Dense(5, 4), Activate(4, ABSOLUTE), Dense(4, 3)]), *data())


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


# --- a layer, an activation or a loss by itself


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("layer", "parameters"),
    [(Dense(5, 4), 24), (Dense(5, 4, use_bias=False), 20), (BatchNorm(5), 10), (Dropout(5, 0.5), 0)],
)
def test_a_new_layer(layer, parameters, training):
    before = dict(vars(layer))
    report = ol.gradcheck(layer, data()[0], training=training)
    assert report.relative_error < 1e-6
    assert report.entries == parameters + 7 * 5
    assert vars(layer) == before
    assert not hasattr(layer, "name")  # it can still go into a network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_layers_of_a_network_stay_as_they_are(dtype):
    net = ol.MLP([5, 6, 3], activation="gelu", batch_norm=True, dropout=0.5, seed=0, dtype=dtype)
    x, _ = data()
    outputs = net.forward(x, training=True)
    expected, twin = outputs.copy(), net.copy()
    for layer in net.layers:
        report = ol.gradcheck(layer, np.random.default_rng(1).normal(size=(9, layer.inputs)))
        assert report.relative_error < 1e-6
    np.testing.assert_array_equal(outputs, expected)  # no layer has gone through another forward pass
    for training in (False, True):  # same weights, running averages and random streams
        np.testing.assert_array_equal(net.forward(x, training), twin.forward(x, training))


class SlopeOfEvaluation(BatchNorm):
    """Right for the initial statistics, of variance 1."""

    def backward(self, dy, input_gradient=True):
        dx = super().backward(dy, input_gradient)
        return dx if self._training else dy * self.gamma.data / (1 + self.eps) ** 0.5


def test_a_layer_of_a_network_is_checked_in_its_state_there():
    x, _ = data()
    ol.gradcheck(SlopeOfEvaluation(5), x, training=False)
    net = ol.Network([Dense(5, 4), Dense(4, 5), SlopeOfEvaluation(5)], seed=0)
    net.forward(10 * x, training=True)
    with pytest.raises(ol.GradientError, match="of the inputs: backward gives"):
        ol.gradcheck(net.layers[2], x, training=False)
    # at the weights it has there, and under its own name
    net.layers[1].W.data[...] = np.arange(20).reshape(4, 5)
    spoiled = WrongWeight(4, 5)
    ol.Network([Dense(5, 4), spoiled], seed=0).parameters["dense2.W"].data[...] = np.arange(20).reshape(4, 5)
    with pytest.raises(ol.GradientError, match=r"^dense2\.W\[2, 0\]: "):
        ol.gradcheck(spoiled, x[:, :4])


class ForgetsGamma(BatchNorm):
    def backward(self, dy, input_gradient=True):
        self.gamma.data[...], gamma = 1, self.gamma.data.copy()
        dx = super().backward(dy, input_gradient)
        self.gamma.data[...] = gamma
        return dx


class AddsUp(Dense):
    def backward(self, dy, input_gradient=True):
        before = self.b.grad.copy()
        dx = super().backward(dy, input_gradient)
        self.b.grad[...] += before
        return dx


class ForgetsToWrite(Dense):
    def backward(self, dy, input_gradient=True):
        self.b.frozen = True
        return super().backward(dy, input_gradient)


class Cube(Layer):
    """y = c x^3, written as a user would, without the buffers."""

    power = 3

    def __init__(self, features):
        self.inputs = self.outputs = features

    def declare(self):
        return [Declared("c", "scales", (self.outputs,), lambda generator, shape: np.ones(shape))]

    def forward(self, x, training):
        self._x = x
        return self.c.data * x**3

    def backward(self, dy, input_gradient=True):
        self.c.grad[...] = (dy * self._x**3).sum(axis=0)
        return dy * self.power * self.c.data * self._x**2


class WrongPower(Cube):
    power = 2


@pytest.mark.parametrize(
    ("layer", "culprit"),
    [
        (WrongBias(5, 3), r"^dense1\.b\[1\]: backward gives .*; 1 of the 53 entries checked are wrong"),
        (WrongWeight(5, 3), r"^dense1\.W\[2, 0\]: .*; 1 of the 53"),
        (NaNGradient(5, 3), r"^dense1\.W\[0, 1\]: backward gives nan"),
        (WrongInput(5, 3), r"^entry \[\d, \d\] of the inputs: .*; 35 of the 53"),
        (ForgetsGamma(5), r"^entry \[\d, \d\] of the inputs: .*; 35 of the 45"),
        (ForgetsTheMean(5), r"^norm1\.gamma\[\d\]: |^entry \[\d, \d\] of the inputs: "),
        (AddsUp(5, 3), r"^dense1\.b\[\d\]: .*\(relative error 0\.\d+\); 3 of the 53"),
        (ForgetsToWrite(5, 3), r"^dense1\.b\[\d\]: backward gives 0, .*; 3 of the 53"),
        (WrongPower(5), r"^entry \[\d, \d\] of the inputs: .*; 35 of the 40"),
    ],
)
def test_a_wrong_layer_is_found_and_named(layer, culprit):
    with pytest.raises(ol.GradientError, match=culprit):
        ol.gradcheck(layer, data()[0])


def test_a_layer_under_a_loss():
    x, y = data()
    assert ol.gradcheck(Cube(5), x, y).relative_error < 1e-6
    assert ol.gradcheck(Cube(5), x, x, loss="mean_squared_error").relative_error < 1e-6


def test_a_network_without_targets():
    report = ol.gradcheck(ol.MLP([5, 4, 3], seed=0), data()[0])
    assert (report.relative_error < 1e-6, report.entries) == (True, 39)


@pytest.mark.parametrize("x", [data()[0], np.linspace(-3, 3, 7), [0.5]], ids=["batch", "row", "list"])
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_an_activation(activation, x):
    report = ol.gradcheck(activation, x)
    assert report.relative_error < 1e-6
    assert report.entries == np.size(x)


@pytest.mark.parametrize("activation", [WRONG_SLOPE, ABSOLUTE])
def test_a_wrong_activation_is_found_and_named(activation):
    with pytest.raises(ol.GradientError, match=r"^entry \[0, \d\] of the inputs: backward gives"):
        ol.gradcheck(activation, np.linspace(-3, 3, 8))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss(name):
    outputs, targets = case(name, 7)
    for loss in (LOSSES[name], getattr(ol.losses, name)):
        report = ol.gradcheck(loss, outputs, targets)
        assert report.relative_error < 1e-6
        assert report.entries == outputs.size


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("change", [lambda g: -g, lambda g: len(g) * g, lambda g: g - g.mean(axis=0)])
def test_a_wrong_loss_is_found_and_named(name, change):
    def spoiled(outputs, targets):
        value, gradient = getattr(ol.losses, name)(outputs, targets)
        return value, change(gradient)

    outputs, targets = case(name, 7)
    wrong = rf"^entry \[\d, \d\] of the outputs: spoiled gives .*; \d+ of the {outputs.size} entries"
    with pytest.raises(ol.GradientError, match=wrong):
        ol.gradcheck(spoiled, outputs, targets)


@pytest.mark.slow
def test_a_wrong_entry_of_a_large_loss_is_named_too():
    def spoiled(outputs, targets):
        value, gradient = ol.losses.mean_squared_error(outputs, targets)
        gradient[17, 5] *= -1
        return value, gradient

    outputs = np.random.default_rng(0).normal(size=(50, 60))
    outputs[17, 5] = 10.0
    with pytest.raises(ol.GradientError, match=r"^entry \[17, 5\] of the outputs"):
        ol.gradcheck(spoiled, outputs, np.zeros_like(outputs))


class Noise(Cube):
    def forward(self, x, training):
        return super().forward(x, training) + np.random.default_rng().normal(size=x.shape)


class WrongShape(Cube):
    def forward(self, x, training):
        return super().forward(x, training)[:, :-1]


class NoInputGradient(Cube):
    def backward(self, dy, input_gradient=True):
        super().backward(dy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Noise(5), data()[0]), "not a fixed function: a second pass changes the loss"),
        ((WrongShape(5), data()[0]), r"forward returns outputs of shape \(7, 4\), expected \(7, 5\)"),
        ((NoInputGradient(5), data()[0]), r"backward returns an input gradient of shape \(\), expected \(7, 5\)"),
        ((Cube(4), data()[0]), "expected inputs of shape"),
        ((LOSSES["mean_squared_error"], data()[0]), "mean_squared_error needs targets"),
        (
            (lambda outputs, targets: (0.0, outputs[0]), data()[0], np.zeros(7)),
            "expected the gradient of outputs of shape",
        ),
        ((Cube, data()[0]), "expected a network, a layer, an activation, or a loss, got <class"),
        (("relu", data()[0]), "expected a network, a layer, an activation, or a loss, got 'relu'"),
    ],
)
def test_what_cannot_be_checked(arguments, message):
    with pytest.raises(ol.InputError, match=message):
        ol.gradcheck(*arguments)
