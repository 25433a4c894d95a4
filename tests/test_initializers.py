"""Every initializer has the variance, bounds and shape of its definition, and draws the same from the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import assert_same_bits, require
from scipy import stats

import optimlab as ol
from optimlab import InputError, Network
from optimlab.nn import initializers
from optimlab.nn.initializers import INITIALIZERS, Constant, Orthogonal, VarianceScaling
from optimlab.nn.layers import Activate, Dense

torch = require("torch")

INPUTS, OUTPUTS = 400, 250
VARIANCE = {"glorot": 2 / (INPUTS + OUTPUTS), "he": 2 / INPUTS, "lecun": 1 / INPUTS, "torch": 1 / (3 * INPUTS)}
DISTRIBUTIONS = {  # of unit variance
    "normal": stats.norm(),
    "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
    "truncated": stats.truncnorm(-2, 2, scale=1 / stats.truncnorm(-2, 2).std()),
}
RANDOM = [f"{name}_{distribution}" for name in ("glorot", "he", "lecun") for distribution in DISTRIBUTIONS]
RANDOM += ["torch_uniform"]


def draw(initializer, shape=(INPUTS, OUTPUTS), seed=0):
    return initializers.get(initializer)(np.random.default_rng(seed), shape)


def expected(name):
    """Distribution and standard deviation that the name stands for."""
    scheme, distribution = name.split("_")
    return DISTRIBUTIONS[distribution], math.sqrt(VARIANCE[scheme])


def test_every_named_initializer_is_tested():
    assert set(INITIALIZERS) == {*RANDOM, "orthogonal", "zeros", "ones"}


@pytest.mark.parametrize("name", RANDOM)
def test_mean_and_variance_are_those_of_the_definition(name):
    w, (distribution, sigma) = draw(name), expected(name)
    kurtosis = float(distribution.stats("k")) + 3
    # four standard errors of a sample's mean and variance
    assert abs(w.mean()) < 4 * sigma / math.sqrt(w.size)
    assert abs(w.var() / sigma**2 - 1) < 4 * math.sqrt((kurtosis - 1) / w.size)


@pytest.mark.quick("glorot_uniform", "he_normal", "lecun_truncated")
@pytest.mark.parametrize("name", RANDOM)
def test_the_distribution_is_the_one_it_is_named_after(name):
    w, (distribution, sigma) = draw(name), expected(name)
    assert stats.kstest(w.ravel() / sigma, distribution.cdf).pvalue > 0.001
    for other in set(DISTRIBUTIONS.values()) - {distribution}:
        assert stats.kstest(w.ravel() / sigma, other.cdf).pvalue < 1e-6


@pytest.mark.parametrize(
    ("scheme", "bound"),
    [
        ("glorot", math.sqrt(6 / (INPUTS + OUTPUTS))),
        ("he", math.sqrt(6 / INPUTS)),
        ("lecun", math.sqrt(3 / INPUTS)),
        ("torch", 1 / math.sqrt(INPUTS)),
    ],
)
def test_uniform_weights_fill_their_bounds(scheme, bound):
    w = draw(f"{scheme}_uniform")
    assert 0.999 * bound < abs(w).max() <= bound


@pytest.mark.parametrize("scheme", ["glorot", "he", "lecun"])
def test_truncated_weights_are_cut_at_two_sigma_of_the_widened_normal(scheme):
    widened = math.sqrt(VARIANCE[scheme]) / 0.87962566103423978  # standard deviation of a normal cut at +-2
    w = draw(f"{scheme}_truncated")
    assert 1.99 * widened < abs(w).max() <= 2 * widened


@pytest.mark.parametrize(
    ("mode", "variance"), [("fan_in", 3 / INPUTS), ("fan_out", 3 / OUTPUTS), ("fan_avg", 6 / (INPUTS + OUTPUTS))]
)
def test_a_mode_divides_by_its_fan(mode, variance):
    w = draw(VarianceScaling(3.0, mode, "normal"))
    assert abs(w.var() / variance - 1) < 4 * math.sqrt(2 / w.size)


TORCH = {
    "glorot_normal": (torch.nn.init.xavier_normal_, {}),
    "glorot_uniform": (torch.nn.init.xavier_uniform_, {}),
    "he_normal": (torch.nn.init.kaiming_normal_, {"nonlinearity": "relu"}),
    "he_uniform": (torch.nn.init.kaiming_uniform_, {"nonlinearity": "relu"}),
    "lecun_normal": (torch.nn.init.kaiming_normal_, {"nonlinearity": "linear"}),
    "lecun_uniform": (torch.nn.init.kaiming_uniform_, {"nonlinearity": "linear"}),
}


@pytest.mark.parametrize("name", TORCH)
def test_inputs_and_outputs_are_those_of_torch(name):
    # torch.nn.Linear's weight is the transpose of ours; exchanged fans would be off by a factor of 1.6
    w = torch.empty(OUTPUTS, INPUTS, dtype=torch.float64)
    fill, keywords = TORCH[name]
    fill(w, generator=torch.Generator().manual_seed(0), **keywords)
    theirs, ours = w.numpy(), draw(name)
    assert abs(ours.var() / theirs.var() - 1) < 4 * math.sqrt(2 * 2 / ours.size)
    assert stats.ks_2samp(ours.ravel(), theirs.ravel()).pvalue > 0.001


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 6), (6, 1), (64, 32)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(shape, gain):
    w = draw(Orthogonal(gain), shape) / gain
    assert w.shape == shape
    product = w.T @ w if shape[0] >= shape[1] else w @ w.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_matrices_are_uniform_whatever_signs_the_qr_decomposition_prefers():
    generator = np.random.default_rng(0)
    w = np.array([Orthogonal()(generator, (3, 3)) for _ in range(2000)])
    # each entry has mean 0 and variance 1/3; without Mezzadri's correction the first diagonal entry is biased
    assert abs(w.mean(axis=0)).max() < 4.5 * math.sqrt(1 / 3 / len(w))
    assert abs((w**2).mean(axis=0) - 1 / 3).max() < 4.5 * math.sqrt(w[:, 0, 0].var() / len(w))


def test_zeros_and_ones_are_what_they_say():
    np.testing.assert_array_equal(draw("zeros", (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(draw("ones", (2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(draw(Constant(-0.5), (1, 2)), [[-0.5, -0.5]])


# ---- biases ----


def drawn_biases(initializer, shape=(5, 40_000), seed=0):
    return initializers.get_biases(initializer)(np.random.default_rng(seed), shape)


def test_every_distribution_of_weights_can_draw_biases():
    assert {*initializers.BIASES} == {*INITIALIZERS} - {"orthogonal"}


@pytest.mark.parametrize("name", RANDOM)
def test_biases_have_the_distribution_of_the_weights_of_their_layer(name):
    """A layer of few inputs and many outputs, so that exchanged fans would show."""
    inputs, outputs = shape = 5, 40_000
    b, (scheme, distribution) = drawn_biases(name), name.split("_")
    n = {"glorot": (inputs + outputs) / 2, "he": inputs / 2, "lecun": inputs, "torch": 3 * inputs}[scheme]
    assert b.shape == (outputs,)
    assert stats.kstest(b * math.sqrt(n), DISTRIBUTIONS[distribution].cdf).pvalue > 0.001
    assert stats.ks_2samp(b, draw(name, shape, seed=1).ravel()).pvalue > 0.001


def test_biases_are_constant_where_they_are_not_random():
    np.testing.assert_array_equal(drawn_biases("zeros", (3, 2)), [0, 0])
    np.testing.assert_array_equal(drawn_biases(Constant(0.1), (3, 2)), [0.1, 0.1])
    assert 0.999 * 0.3 < abs(drawn_biases(initializers.Uniform(0.3))).max() <= 0.3


def test_a_network_draws_the_biases_of_every_layer_and_the_same_weights_as_without():
    zero, drawn = (ol.MLP([4, 30, 20], bias_initializer=name, seed=3) for name in ("auto", "glorot_uniform"))
    for parameter in zero.parameters:
        twin = drawn.parameters[parameter.name].data
        if parameter.kind == "weights":
            assert_same_bits(parameter.data, twin)
        else:
            assert not parameter.data.any()
            inputs, outputs = zero.parameters[parameter.name.replace(".b", ".W")].shape
            bound = math.sqrt(6 / (inputs + outputs))
            assert 0.8 * bound < abs(twin).max() <= bound
            assert len({*twin.tolist()}) == outputs


def test_pytorchs_convention_draws_as_torch_uniform():
    given = {"seed": 1, "dtype": "float64"}
    convention = ol.MLP([4, 30, 20], convention="torch", **given).parameters.data
    named = ol.MLP([4, 30, 20], initializer="torch_uniform", bias_initializer="torch_uniform", **given).parameters.data
    np.testing.assert_allclose(named, convention, rtol=1e-14)
    without = ol.MLP([4, 30, 20], convention="torch", bias_initializer="zeros", **given).parameters
    assert not without["dense1.b"].data.any()
    assert_same_bits(without["dense1.W"].data, ol.MLP([4, 30], convention="torch", **given).parameters["dense1.W"].data)


def test_biases_by_a_function_of_ones_own():
    """Such as the logarithms of the classes' shares, for the last layer."""
    shares = np.array([0.9, 0.1])
    asked = []

    def log_shares(generator, shape):
        asked.append(shape)
        return np.log(shares)

    net = Network([Dense(3, 2, initializer="zeros", bias_initializer=log_shares)], dtype="float64")
    np.testing.assert_allclose(net.predict_proba(np.ones((1, 3))), [shares])
    assert asked == [(3, 2)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bias_initializer": "glorot_unifrom"}, "unknown initializer of biases 'glorot_unifrom'; did you mean"),
        ({"bias_initializer": "orthogonal"}, "unknown initializer of biases 'orthogonal'. Known: glorot_normal"),
        ({"bias_initializer": 0.1}, "unknown initializer of biases 0.1"),
        ({"bias_initializer": Orthogonal()}, r"the initializer of dense1.b gave shape \(2, 3\), expected \(3,\)"),
        ({"bias_initializer": "zeros", "use_bias": False}, "bias_initializer needs biases: leave it out"),
    ],
)
def test_what_cannot_draw_biases_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        Network([Dense(2, 3, **given)])
    with pytest.raises(InputError, match=message):
        ol.MLP([2, 3], **given)


# ---- seeds ----


@pytest.mark.parametrize("name", INITIALIZERS)
def test_draws_are_float64_and_depend_on_the_seed_alone(name):
    assert draw(name).dtype == np.float64
    assert_same_bits(draw(name, seed=7), draw(name, seed=7))
    if name not in ("zeros", "ones"):
        assert (draw(name, seed=7) != draw(name, seed=8)).any()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_a_seed_gives_the_same_network_in_either_dtype_up_to_rounding(name):
    single, double = (ol.MLP([5, 7, 3], initializer=name, seed=3, dtype=d).parameters.data for d in ol.backends.DTYPES)
    assert_same_bits(single, double.astype("float32"))


def test_the_draws_of_a_layer_do_not_depend_on_the_sizes_of_the_others():
    def weights(sizes, k):
        return ol.MLP(sizes, seed=5).parameters[f"dense{k}.W"].data

    assert_same_bits(weights([4, 5, 6, 3], 1), weights([4, 5, 9, 2], 1))
    assert_same_bits(weights([4, 5, 6, 3], 2), weights([8, 5, 6, 7], 2))
    assert_same_bits(weights([4, 5, 6, 3], 3), weights([9, 8, 6, 3], 3))
    assert_same_bits(weights([4, 5, 6, 3], 1), weights([4, 5], 1))


def test_layers_of_one_shape_draw_different_weights():
    net = ol.MLP([4, 4, 4], seed=0)
    assert (net.parameters["dense1.W"].data != net.parameters["dense2.W"].data).any()


def test_a_layer_may_have_any_function_as_initializer():
    def checkerboard(generator, shape):
        return np.indices(shape).sum(axis=0) % 2 * 1.0

    net = Network([Dense(3, 2, initializer=checkerboard), Activate(2, "tanh"), Dense(2, 2, initializer="ones")])
    np.testing.assert_array_equal(net.parameters["dense1.W"].data, [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(net.parameters["dense1.b"].data, [0, 0])
    np.testing.assert_array_equal(net.parameters["dense2.W"].data, np.ones((2, 2)))


@pytest.mark.parametrize(
    ("activation", "scheme"),
    [("relu", "he_normal"), ("gelu", "he_normal"), ("tanh", "glorot_normal"), ("identity", "glorot_normal")],
)
def test_auto_pairs_an_activation_with_its_scheme(activation, scheme):
    auto, named = (ol.MLP([6, 5, 4], activation=activation, initializer=i, seed=1) for i in ("auto", scheme))
    assert_same_bits(auto.parameters.data, named.parameters.data)


# ---- bad input ----


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(InputError, match="scale must be a positive number"):
        VarianceScaling(scale)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "fanin"}, "unknown mode 'fanin'; did you mean 'fan_in'"),
        ({"distribution": "gaussian"}, "unknown distribution 'gaussian'.* Known: normal, truncated, uniform"),
        ({"distribution": "uniforn"}, "did you mean 'uniform'"),
    ],
)
def test_an_unknown_mode_or_distribution_is_answered_with_the_known(arguments, message):
    with pytest.raises(InputError, match=message):
        VarianceScaling(**arguments)


@pytest.mark.parametrize(
    ("name", "nearest"), [("he_norml", "he_normal"), ("Orthogonal", "orthogonal"), ("0nes", "ones")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(InputError, match=f"unknown initializer '{name}'; did you mean .*'{nearest}'"):
        initializers.get(name)


@pytest.mark.parametrize("thing", [None, 3, []], ids=repr)
def test_what_is_no_initializer_is_refused(thing):
    with pytest.raises(InputError, match="unknown initializer"):
        initializers.get(thing)


@pytest.mark.parametrize("shape", [(2,), (2, 3, 1), (3, 2), (3,), (1, 3), ()])  # the last three could be broadcast
def test_weights_of_another_shape_than_the_layer_are_refused(shape):
    with pytest.raises(InputError):
        Network([Dense(2, 3, initializer=lambda generator, asked: np.ones(shape))])
