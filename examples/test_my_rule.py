"""Tests of a rule, a layer and a loss of your own: copy this file, put yours in their place, and run pytest.

The fixtures ``gradcheck`` and ``assert_rule_matches`` come with optimlab; there is nothing to import or configure.
"""

import math

import numpy as np
import pytest
from scipy import special

import optimlab as ol
from optimlab.nn.initializers import Constant
from optimlab.nn.layers import Declared, Dense, Layer

# ---- a rule, as the optimizers take it, and its formula a second time, for one weight in Python floats ----


def yogi(w, g, m, s=1e-6, *, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-3):
    """Yogi: Adam whose second moment moves toward g^2 by steps of that size (Zaheer et al. 2018, Algorithm 2)."""
    m = beta1 * m + (1 - beta1) * g
    s = s - (1 - beta2) * np.sign(s - g * g) * (g * g)
    return w - lr * m / (np.sqrt(s) + eps), m, s


def yogi_for_one_weight(w, g, m, s, *, lr, beta1, beta2, eps):
    m += (1 - beta1) * (g - m)
    if g**2 > s:
        s += (1 - beta2) * g**2
    else:
        s -= (1 - beta2) * g**2
    return w - lr * (m / (math.sqrt(s) + eps)), m, s


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rule(assert_rule_matches, dtype):
    assert_rule_matches(yogi, yogi_for_one_weight, dtype=dtype)


def test_rule_with_other_hyperparameters(assert_rule_matches):
    assert_rule_matches(yogi, yogi_for_one_weight, lr=0.5, beta1=0.5, beta2=0.9, eps=1e-8)


# ---- a layer: alone, and in a network ----


class LearnedSwish(Layer):
    """y = x p with p = sigmoid(beta x);  dx = dy (p + beta x p (1 - p)),  dbeta = sum of dy x^2 p (1 - p)."""

    prefix = "swish"

    def __init__(self, features):
        self.inputs = self.outputs = features

    def declare(self):
        return [Declared("beta", "scales", (self.outputs,), Constant(1.0))]

    def forward(self, x, training):
        self._x, self._p = x, special.expit(self.beta.data * x)
        return x * self._p

    def backward(self, dy, input_gradient=True):
        x, p = self._x, self._p
        slope = p * (1 - p)
        self.beta.grad[...] = (dy * x**2 * slope).sum(axis=0)
        return dy * (p + self.beta.data * x * slope)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(8, 5))


def test_layer(gradcheck, x):
    gradcheck(LearnedSwish(5), x)


def test_network(gradcheck, x):
    net = ol.Network([Dense(5, 6), LearnedSwish(6), Dense(6, 3)], seed=0)
    gradcheck(net, x, y=[0, 1, 2, 0, 1, 2, 0, 1])


# ---- a loss: (value, gradient), both of the mean ----


def log_cosh(outputs, targets):
    """L = mean of ln cosh(y - target): the squared error of small differences, the absolute one of large ones."""
    error = outputs - targets
    return (np.logaddexp(error, -error) - math.log(2)).mean(), np.tanh(error) / error.size


def test_loss(gradcheck, x):
    gradcheck(log_cosh, outputs := 3 * x, targets := x[::-1])
    value, gradient = log_cosh(outputs, targets)
    assert value > 0
    assert gradient.shape == outputs.shape
