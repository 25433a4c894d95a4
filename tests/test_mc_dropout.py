"""Monte Carlo dropout: what is averaged, what is on and off, and that the network stays as it was."""

import math

import numpy as np
import pytest
from conftest import assert_same_bits, require

import optimlab as ol
from optimlab.nn.layers import Activate, BatchNorm, Dense, Dropout

torch = require("torch")


def trained(seed=0, **options):
    options = {"batch_norm": True, "dropout": 0.3, **options}
    net = ol.MLP([4, 16, 16, 3], activation="tanh", seed=seed, **options)
    g = np.random.default_rng(seed)
    x = g.normal(size=(60, 4))
    ol.fit(net, ol.Adam(net.parameters, lr=0.01), ol.Dataset(x, g.integers(0, 3, 60)), epochs=3, batch_size=20)
    return net, x


def everything(net):
    states = [values.copy() for layer in net.layers for values in layer.state().values()]
    streams = [layer.generator.state for layer in net.layers if isinstance(layer, Dropout)]
    return [net.parameters.data.copy(), net.parameters.grad.copy(), *states], streams


def test_the_network_is_left_exactly_as_it_was():
    net, x = trained()
    logits = net.forward(x, training=True)
    expected = logits.copy()
    arrays, streams = everything(net)
    ol.mc_predict(net, x[:7], samples=5)
    after, streams_after = everything(net)
    for a, b in zip(arrays, after, strict=True):
        assert_same_bits(a, b)
    assert streams == streams_after
    np.testing.assert_array_equal(logits, expected)
    net.backward(np.ones_like(logits))  # its last forward pass is still there
    assert not any(layer.hold for layer in net.layers if isinstance(layer, Dropout))


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    net, x = trained()
    first, again, other = (ol.mc_predict(net, x, samples=5, seed=s) for s in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        assert_same_bits(a, b)
    assert (first.mean != other.mean).any()


def test_mean_std_entropy_and_mutual_information_are_those_of_the_passes():
    """Recomputed from the passes themselves, with the masks that one dropout layer of this seed draws."""
    net = ol.Network([Dense(4, 8), BatchNorm(8), Activate(8, "relu"), Dropout(8, 0.5), Dense(8, 3)], seed=3)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    for _ in range(5):
        net.forward(x, training=True)
    result = ol.mc_predict(net, x, samples=9, seed=4)
    generator = np.random.default_rng(np.random.SeedSequence(4).spawn(1)[0])
    below, passes = x, []
    for layer in net.layers[:3]:
        below = layer.forward(below, training=False).copy()
    for _ in range(9):
        mask = (generator.random((6, 8), "float32") >= 0.5) / 0.5
        logits = torch.tensor(net.layers[4].forward((below * mask).astype("float32"), False)).double()
        passes.append(torch.softmax(logits, dim=1))
    p = torch.stack(passes)
    mean = p.mean(dim=0)
    entropy = torch.distributions.Categorical(mean).entropy()
    single = torch.distributions.Categorical(p).entropy().mean(dim=0)
    np.testing.assert_allclose(result.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(result.std, p.std(dim=0, unbiased=False), rtol=1e-5)
    np.testing.assert_allclose(result.entropy, entropy, rtol=1e-6)
    np.testing.assert_allclose(result.mutual_information, entropy - single, rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_batch_norm_is_in_evaluation_mode():
    """A row's result does not depend on the other rows, nor need there be any."""
    net = ol.Network([Dense(4, 8), Dropout(8, 0.5), BatchNorm(8), Dense(8, 3)], seed=0)
    g = np.random.default_rng(0)
    net.forward(g.normal(size=(50, 4)), training=True)
    x = g.normal(size=(1, 4))
    many = np.concatenate([x, 100 + g.normal(size=(99, 4))])
    alone, among = ol.mc_predict(net, x, samples=4000), ol.mc_predict(net, many, samples=4000)
    np.testing.assert_allclose(alone.mean[0], among.mean[0], atol=0.02)
    np.testing.assert_allclose(alone.std[0], among.std[0], atol=0.02)


@pytest.mark.slow
def test_the_mean_of_a_linear_network_is_near_its_expectation():
    """One weight each way: the passes have two possible outcomes, of known probabilities."""
    net = ol.Network([Dropout(1, 0.25), Dense(1, 2, use_bias=False)], seed=0)
    net.parameters.data[...] = [1.5, 0.0]
    result = ol.mc_predict(net, [[1.0]], samples=20_000)
    kept, dropped = 1 / (1 + math.exp(-2.0)), 0.5  # 1.5 / (1 - 0.25) = 2
    mean = 0.75 * kept + 0.25 * dropped
    assert result.mean[0, 0] == pytest.approx(mean, abs=0.01)
    assert result.std[0, 0] == pytest.approx(math.sqrt(0.75 * 0.25) * (kept - dropped), abs=0.01)
    assert result.entropy[0] == pytest.approx(-mean * math.log(mean) - (1 - mean) * math.log(1 - mean), abs=0.01)


def test_shapes_ranges_and_one_sample():
    net, x = trained()
    result = ol.mc_predict(net, x, samples=20, batch_size=16)
    assert [a.shape for a in result] == [(60, 3), (60, 3), (60,), (60,)]
    np.testing.assert_allclose(result.mean.sum(axis=1), 1.0, rtol=1e-12)
    assert (result.std > 0).all()
    assert ((result.entropy > 0) & (result.entropy <= math.log(3) + 1e-12)).all()
    assert ((result.mutual_information >= 0) & (result.mutual_information <= result.entropy)).all()
    one = ol.mc_predict(net, x, samples=1)
    assert not one.std.any()
    assert not one.mutual_information.any()


def test_held_masks_are_drawn_afresh():
    net, x = trained()
    for layer in net.layers:
        if isinstance(layer, Dropout):
            layer.hold = True
    net.forward(x, training=True)
    assert (ol.mc_predict(net, x, samples=3).std > 0).all()


def test_huge_logits_are_sure_answers_without_nan():
    net = ol.Network([Dropout(1, 0.1), Dense(1, 2)], seed=0)
    net.parameters.data[...] = [1e30, -1e30, 0.0, 0.0]
    result = ol.mc_predict(net, [[1.0]], samples=3)
    assert all(np.isfinite(a).all() for a in result)


@pytest.mark.parametrize(
    ("net", "arguments", "message"),
    [
        (ol.MLP([4, 5, 3]), {}, "the network has no dropout"),
        (ol.Network([Dense(4, 5), Dropout(5, 0.0)]), {}, "the network has no dropout"),
        (ol.MLP([4, 5, 3], dropout=0.5), {"samples": 0}, "samples must be a whole number of at least 1, got 0"),
        (ol.MLP([4, 5, 3], dropout=0.5), {"seed": -1}, "a seed must be an integer of at least 0"),
        (ol.MLP([4, 5, 3], dropout=0.5), {"x": np.zeros((2, 5))}, r"expected inputs of shape \(rows, 4\)"),
    ],
)
def test_bad_input(net, arguments, message):
    with pytest.raises(ol.InputError, match=message):
        ol.mc_predict(net, **{"x": np.zeros((2, 4)), **arguments})
