"""What holds of every network, whatever its sizes, its parts and the numbers it is given."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from conftest import assert_same_bits, require

import optimlab as ol
from optimlab import InputError
from optimlab.nn import losses
from optimlab.nn.activations import ACTIVATIONS
from optimlab.nn.initializers import INITIALIZERS
from optimlab.optim.optimizers import OPTIMIZERS

hypothesis = require("hypothesis")
st = hypothesis.strategies

examples = hypothesis.settings(deadline=None, max_examples=60)

networks = st.builds(
    ol.MLP,
    st.lists(st.integers(1, 6), min_size=2, max_size=4),
    activation=st.sampled_from(list(ACTIVATIONS)),
    batch_norm=st.sampled_from([False, "before", "after"]),
    dropout=st.sampled_from([0.0, 0.5]),
    initializer=st.sampled_from(["auto", *INITIALIZERS]),
    use_bias=st.booleans(),
    seed=st.integers(0, 2**64),
    dtype=st.sampled_from(ol.backends.DTYPES),
)
rows = st.integers(1, 9)
sizes_of_numbers = st.sampled_from([0.0, 1e-30, 1.0, 1e4, 1e30])


def numbers(net, n, size, seed=0):
    return (size * np.random.default_rng(seed).normal(size=(n, net.inputs))).astype(net.dtype)


def has_batch_norm(net):
    return any(isinstance(layer, ol.layers.BatchNorm) for layer in net.layers)


def train(net, optimizer, n=4, steps=2):
    """A few steps on made-up numbers."""
    for seed in range(steps):
        outputs = net.forward(numbers(net, n, 1.0, seed), training=True)
        net.backward(losses.mean_squared_error(outputs, np.zeros_like(outputs))[1])
        optimizer.step()


def assert_whole(net):
    """Every parameter is a view of the flat buffers, and together they tile them."""
    data, grad = net.parameters.data, net.parameters.grad
    assert (data.dtype, grad.dtype) == (net.dtype, net.dtype)
    assert data.shape == grad.shape == (sum(p.size for p in net.parameters),)
    marks = np.arange(data.size, dtype=data.dtype)
    kept, kept_grad = data.copy(), grad.copy()
    data[...], grad[...] = marks, -marks
    for p in net.parameters:
        for view, buffer in ((p.data, data), (p.grad, grad)):
            assert view.shape == p.shape
            assert np.shares_memory(view, buffer)
        assert_same_bits(np.sort(p.data, axis=None), marks[p.start : p.stop], p.name)  # in whatever order
        assert_same_bits(p.grad, -p.data, p.name)
    data[...], grad[...] = kept, kept_grad
    # the layers compute with these very parameters
    for layer in net.layers:
        for declared in layer.declare():
            assert getattr(layer, declared.attribute) is net.parameters[f"{layer.name}.{declared.attribute}"]


def assert_alike(a, b):
    """The same function now, and under the same training."""
    assert_same_bits(a.parameters.data, b.parameters.data)
    x = numbers(a, 5, 1.0)
    assert_same_bits(a.forward(x).copy(), b.forward(x))
    assert_same_bits(a.forward(x, training=True).copy(), b.forward(x, training=True))  # dropout's masks too
    for mine, theirs in zip(a.layers, b.layers, strict=True):
        assert mine.state().keys() == theirs.state().keys()
        for name in mine.state():
            assert_same_bits(mine.state()[name], theirs.state()[name], name)


# ---- shapes, dtypes, extremes ----


@pytest.mark.slow
@examples
@hypothesis.given(networks, rows, sizes_of_numbers, st.booleans())
def test_forward_and_backward_have_the_right_shapes_and_dtypes_whatever_the_numbers(net, n, size, training):
    x = numbers(net, n, size)
    before = x.copy()
    with np.errstate(all="ignore"):  # 1e30 may overflow on the way, which is no error
        if n == 1 and training and has_batch_norm(net):
            with pytest.raises(InputError, match="batch of one"):
                net.forward(x, training=True)
            return
        outputs = net.forward(x, training=training)
        assert (outputs.shape, outputs.dtype) == ((n, net.outputs), net.dtype)
        classes = losses.softmax_cross_entropy if net.outputs > 1 else losses.binary_cross_entropy
        loss, gradient = classes(outputs, np.arange(n) % max(2, net.outputs))
        assert type(loss) is float
        assert (gradient.shape, gradient.dtype) == (outputs.shape, net.dtype)
        dx = net.backward(gradient, input_gradient=True)
    assert (dx.shape, dx.dtype) == (x.shape, net.dtype)
    assert_same_bits(x, before)
    assert_whole(net)
    if size <= 1:
        assert np.isfinite(outputs).all()
        assert np.isfinite(dx).all()
        assert np.isfinite(net.parameters.grad).all()


@examples
@hypothesis.given(networks, rows)
def test_a_row_is_evaluated_the_same_whatever_stands_beside_it(net, n):
    x = numbers(net, n, 1.0)
    together = net.forward(x).copy()
    one_by_one = np.concatenate([net.forward(x[k : k + 1]).copy() for k in range(n)])
    tolerance = 1e-4 if net.dtype == "float32" else 1e-12
    np.testing.assert_allclose(together, one_by_one, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(net.logits(x, batch_size=2), one_by_one, rtol=tolerance, atol=tolerance)
    if net.outputs > 1:
        np.testing.assert_allclose(net.predict_proba(x).sum(axis=1), 1, rtol=1e-5)
    assert net.predict(x).shape == ((n,) if net.outputs > 1 else (n, 1))


@pytest.mark.slow
@examples
@hypothesis.given(networks, st.lists(rows, min_size=2, max_size=5))
def test_batches_of_changing_size_give_what_a_fresh_network_gives(net, counts):
    used = net.copy()
    for n in counts:
        hypothesis.assume(n > 1)
        x = numbers(net, n, 1.0, seed=n)
        fresh = used.copy()
        for each in (used, fresh):
            each.forward(x, training=True)
            each.backward(np.ones((n, net.outputs), net.dtype))
        assert_same_bits(used.parameters.grad, fresh.parameters.grad)


@examples
@hypothesis.given(networks, st.sampled_from(["float32", "float64", "int32", "uint8", "bool"]))
def test_inputs_of_any_real_kind_are_taken_as_the_networks_numbers(net, kind):
    x = np.random.default_rng(0).integers(0, 2, size=(4, net.inputs))
    expected = net.forward(x.astype(net.dtype)).copy()
    assert_same_bits(net.forward(x.astype(kind)), expected)
    assert_same_bits(net.forward(x.tolist()), expected)
    np.testing.assert_allclose(net.forward(np.asfortranarray(x.astype(net.dtype))), expected, rtol=1e-4, atol=1e-4)


@examples
@hypothesis.given(networks, st.data())
def test_inputs_of_a_wrong_shape_or_kind_are_refused(net, data):
    wrong = data.draw(
        st.sampled_from(
            [
                np.zeros((3, net.inputs + 1)),
                np.zeros((3, net.inputs - 1)),
                np.zeros((0, net.inputs)),
                np.zeros(net.inputs),
                np.zeros((2, 3, net.inputs)),
                np.zeros((3, net.inputs), complex),
                np.full((3, net.inputs), "a"),
                np.full((3, net.inputs), None),
                None,
                1.0,
            ]
        )
    )
    with pytest.raises(InputError):
        net.forward(wrong)


BAD_SIZES = [[], [3], [3, 0], [3, -1], [3, 2.5], [3, True], [3.0, 2.0], ["3", 2], [3, None], [3, float("nan")], 3, None]


@pytest.mark.parametrize("sizes", BAD_SIZES, ids=repr)
def test_sizes_that_are_no_positive_integers_are_refused(sizes):
    # [3.0, 2.0] may be taken as whole numbers instead
    try:
        net = ol.MLP(sizes)
    except InputError:
        return
    assert (sizes, net.inputs, net.outputs) == ([3.0, 2.0], 3, 2)
    assert net.forward(np.zeros((1, 3))).shape == (1, 2)


def test_a_layer_belongs_to_one_place_of_one_network():
    # its parameters are those of the network built last: an earlier one would go on training weights it does not use
    layer = ol.layers.Dense(2, 2)
    with pytest.raises(InputError):
        ol.Network([layer, layer])
    layer = ol.layers.Dense(2, 2)
    ol.Network([layer])
    with pytest.raises(InputError):
        ol.Network([layer])


# ---- views and copies ----


@examples
@hypothesis.given(networks, st.sampled_from(list(OPTIMIZERS)))
def test_parameters_stay_views_after_every_step(net, name):
    optimizer = ol.optimizers.get(name)(net.parameters)
    for _ in range(3):
        train(net, optimizer, steps=1)
        assert_whole(net)


@pytest.mark.slow
@examples
@hypothesis.given(networks, st.sampled_from(list(OPTIMIZERS)), st.sampled_from([1e-3, 1e3, 1e30]))
def test_parameters_stay_views_after_fit_whatever_becomes_of_the_loss(net, name, lr):
    generator = np.random.default_rng(0)
    # classes need an output each: a network of one is trained on values
    loss, shape = ("softmax_cross_entropy", 10) if net.outputs > 1 else ("mean_squared_error", (10, 1))
    data = ol.Dataset(generator.normal(size=(10, net.inputs)), generator.integers(net.outputs, size=shape))
    optimizer = ol.optimizers.get(name)(net.parameters, lr=lr)
    history = ol.fit(net, optimizer, data, epochs=2, batch_size=5, progress=False, loss=loss)
    assert (history.status, history.steps) == ("completed", 4) or history.status == "diverged"
    assert_whole(net)


COPIES = {
    "copy": lambda net: net.copy(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "deepcopy of a pickle": lambda net: copy.deepcopy(pickle.loads(pickle.dumps(net))),
}


@pytest.mark.quick("copy-trained", "deepcopy of a pickle-trained")
@pytest.mark.parametrize("trained", [False, True], ids=["new", "trained"])
@pytest.mark.parametrize("how", COPIES)
@examples
@hypothesis.given(net=networks)
def test_a_copy_is_the_same_network_and_independent(net, how, trained):
    if trained:
        train(net, ol.Adam(net.parameters))
    net.parameters.freeze("dense1")
    twin = COPIES[how](net)
    assert [(p.name, p.frozen) for p in twin.parameters] == [(p.name, p.frozen) for p in net.parameters]
    assert (type(twin), repr(twin)) == (type(net), repr(net))
    assert twin.backend is net.backend
    assert_whole(twin)
    assert_alike(twin, net)

    net.parameters.unfreeze("dense1")
    assert twin.parameters["dense1.W"].frozen
    kept = net.parameters.data.copy(), [{k: v.copy() for k, v in layer.state().items()} for layer in net.layers]
    twin.parameters.unfreeze("dense1")
    train(twin, ol.SGD(twin.parameters, lr=0.5))
    twin.parameters.data[...] = 7
    assert_whole(twin)
    assert_whole(net)
    assert_same_bits(net.parameters.data, kept[0])
    for layer, state in zip(net.layers, kept[1], strict=True):
        for name, values in layer.state().items():
            assert_same_bits(values, state[name], name)


@examples
@hypothesis.given(networks, st.sampled_from(ol.backends.DTYPES))
def test_a_copy_of_another_dtype_has_the_same_weights_up_to_rounding(net, dtype):
    train(net, ol.Adam(net.parameters))
    twin = net.copy(dtype)
    assert (twin.dtype, {layer.dtype for layer in twin.layers}) == (dtype, {dtype})
    assert_same_bits(twin.parameters.data, net.parameters.data.astype(dtype))
    assert_whole(twin)
    x = numbers(net, 5, 1.0)
    outputs = twin.forward(x)
    assert {a.dtype for layer in twin.layers for a in layer.state().values()} <= {np.dtype(dtype)}
    assert outputs.dtype == dtype
    np.testing.assert_allclose(outputs, net.forward(x), rtol=2e-3, atol=2e-3)  # a batch norm may magnify rounding
    train(twin, ol.Adam(twin.parameters))
    assert_whole(twin)


@pytest.mark.quick("deepcopy")
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
@examples
@hypothesis.given(net=networks, name=st.sampled_from(list(OPTIMIZERS)))
def test_a_network_and_its_optimizer_copied_together_train_on_as_the_originals(net, name, how):
    optimizer = ol.optimizers.get(name)(net.parameters)
    train(net, optimizer)
    twin, twins = COPIES[how]((net, optimizer))
    assert twins.parameters is twin.parameters
    train(net, optimizer)
    train(twin, twins)
    assert_whole(twin)
    assert_same_bits(twin.parameters.data, net.parameters.data)


@examples
@hypothesis.given(networks, st.sampled_from(list(OPTIMIZERS)))
def test_a_stored_state_continues_where_it_was_left(net, name):
    optimizer = ol.optimizers.get(name)(net.parameters)
    train(net, optimizer)
    twin = net.copy()
    continued = ol.optimizers.get(name)(twin.parameters)
    continued.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    train(net, optimizer)
    train(twin, continued)
    assert_same_bits(twin.parameters.data, net.parameters.data)


@examples
@hypothesis.given(networks, st.data())
def test_frozen_parameters_are_left_bit_for_bit_and_the_others_move_as_without(net, data):
    train(net, optimizer := ol.AdamW(net.parameters, lr=0.1))  # the optimizer has to notice what is frozen later
    start = net.copy()
    twin, twins = copy.deepcopy((net, optimizer))
    for name in data.draw(st.lists(st.sampled_from([p.name for p in net.parameters]), unique=True)):
        net.parameters.freeze(name)
    for each, its_optimizer in ((net, optimizer), (twin, twins)):
        each.parameters.grad[...] = 1 + np.random.default_rng(0).random(each.parameters.grad.size)
        its_optimizer.step()
    assert (twin.parameters.data != start.parameters.data).all()
    for p in net.parameters:
        assert_same_bits(p.data, (start if p.frozen else twin).parameters[p.name].data, p.name)


def test_a_generator_continues_from_its_stored_state():
    generator, other = (ol.backends.get("numpy").generator(seed) for seed in (1, 2))
    first, second = np.empty((2, 7, 3), "float32")
    generator.uniform(np.empty(5))
    stored = pickle.loads(pickle.dumps(generator.state))
    generator.uniform(first)
    other.state = stored
    other.uniform(second)
    assert_same_bits(first, second)
    assert first.min() >= 0
    assert first.max() < 1
