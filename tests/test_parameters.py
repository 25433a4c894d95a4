"""One flat buffer, views that stay views, groups that are slices."""

import copy
import pickle

import numpy as np
import pytest

import optimlab as ol
from optimlab.nn.parameters import stretches


@pytest.fixture
def net():
    return ol.MLP([4, 5, 3, 2], batch_norm=True, dropout=0.1, seed=0)


def is_view(parameter, flat):
    return np.shares_memory(parameter.data, flat.data) and np.shares_memory(parameter.grad, flat.grad)


def test_every_number_belongs_to_exactly_one_parameter(net):
    owners = np.zeros(net.parameters.data.size, int)
    for p in net.parameters:
        owners[p.start : p.stop] += 1
        assert p.data.shape == p.grad.shape == p.shape
    assert (owners == 1).all()


def test_weights_biases_and_scales_are_one_slice_each(net):
    for kind in ("weights", "biases", "scales"):
        assert len(stretches(net.parameters.select(kind))) == 1
    assert len(stretches(list(net.parameters))) == 1


def test_a_layer_is_one_slice_of_each_kind_it_has(net):
    assert {p.name for p in net.parameters.select("dense2")} == {"dense2.W", "dense2.b"}
    assert len(stretches(net.parameters.select("dense2"))) == 2


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n)), lambda n: n.copy()])
def test_copies_have_views_of_their_own_buffer(net, duplicate):
    twin = duplicate(net)
    for p in twin.parameters:
        assert is_view(p, twin.parameters)
        assert not np.shares_memory(p.data, net.parameters.data)
    for layer in twin.layers:
        for name in ("W", "b", "gamma", "beta"):
            if hasattr(layer, name):
                assert any(getattr(layer, name) is p for p in twin.parameters)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n)), lambda n: n.copy()])
def test_a_copy_computes_the_same_and_learns_alone(net, duplicate):
    data = ol.datasets.load("digits")
    net = ol.MLP([64, 8, 10], batch_norm=True, dropout=0.2, seed=1)
    ol.fit(net, ol.Adam(net.parameters), data, epochs=1)
    twin = duplicate(net)
    before = net.parameters.data.copy()
    np.testing.assert_array_equal(twin.logits(data.x_val), net.logits(data.x_val))
    ol.fit(twin, ol.Adam(twin.parameters), data, epochs=1)
    np.testing.assert_array_equal(net.parameters.data, before)
    ol.fit(net, ol.Adam(net.parameters), data, epochs=1)
    # the dropout stream was copied too
    np.testing.assert_array_equal(net.parameters.data, twin.parameters.data)


def test_a_shallow_copy_of_the_parameters_leaves_the_network_whole(net):
    twin = copy.copy(net.parameters)
    twin.data[...] = 7
    assert all(is_view(p, net.parameters) for p in net.parameters)
    assert all(is_view(p, twin) for p in twin)
    assert (net.parameters.data != 7).all()


def test_views_stay_views_through_training(net):
    opt = ol.Adam(net.parameters)
    x, y = np.random.default_rng(0).normal(size=(6, 4)), [0, 1, 0, 1, 0, 1]
    for _ in range(3):
        _, gradient = ol.losses.softmax_cross_entropy(net.forward(x, training=True), y)
        net.backward(gradient)
        opt.step()
        assert all(is_view(p, net.parameters) for p in net.parameters)


def test_a_view_cannot_be_replaced(net):
    p = net.parameters["dense1.W"]
    with pytest.raises(AttributeError):
        p.data = p.data - 1
    with pytest.raises(AttributeError):
        p.grad = p.grad * 0


def test_frozen_parameters_stay_and_the_rest_moves(net):
    opt = ol.SGD(net.parameters, lr=0.1)
    net.parameters.grad[...] = 1.0
    opt.step()
    for group in ("dense1", "biases"):
        net.parameters.freeze(group)
        before = net.parameters.data.copy()
        opt.step()
        for p in net.parameters:
            moved = (p.data != before[p.start : p.stop].reshape(p.shape)).all()
            assert moved != p.frozen, p.name
        net.parameters.unfreeze(group)
    before = net.parameters.data.copy()
    opt.step()
    assert (net.parameters.data != before).all()


def test_freezing_does_not_change_the_gradients_of_the_rest(net):
    x, y = np.random.default_rng(0).normal(size=(6, 4)), [0, 1, 0, 1, 0, 1]
    for layer in net.layers:
        layer.hold = True  # one dropout mask for both passes

    def gradients():
        _, gradient = ol.losses.softmax_cross_entropy(net.forward(x, training=True), y)
        net.backward(gradient)
        return net.parameters.grad.copy()

    full = gradients()
    net.parameters.freeze("dense1")
    net.parameters.freeze("norm1.gamma")  # frozen as a whole, a batch norm is in evaluation mode
    net.parameters.grad[...] = np.nan
    part = gradients()
    for p in net.parameters:
        if not p.frozen:
            np.testing.assert_array_equal(part[p.start : p.stop], full[p.start : p.stop])


def test_everything_frozen_is_allowed(net):
    for kind in ("weights", "biases", "scales"):
        net.parameters.freeze(kind)
    before = net.parameters.data.copy()
    x, y = np.zeros((2, 4)), [0, 1]
    _, gradient = ol.losses.softmax_cross_entropy(net.forward(x, training=True), y)
    net.backward(gradient)
    ol.Adam(net.parameters).step()
    np.testing.assert_array_equal(net.parameters.data, before)


def test_load_refuses_what_does_not_fit_and_changes_nothing(net):
    before = net.parameters.data.copy()
    for bad, message in (([1.0, 2.0], "flat array of"), (np.full(before.size, np.nan), "finite")):
        with pytest.raises(ol.InputError, match=message):
            net.load(bad)
        np.testing.assert_array_equal(net.parameters.data, before)
    net.load(before + 1)
    np.testing.assert_array_equal(net.parameters.data, before + 1)
