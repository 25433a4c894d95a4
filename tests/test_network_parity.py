"""Whole networks, their layers and losses, against PyTorch and its autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import assert_same_bits, require
from loss_cases import by_torch, case
from test_activations import TORCH as TORCH_ACTIVATIONS

import optimlab as ol
from optimlab import InputError
from optimlab.nn import losses
from optimlab.nn.activations import ACTIVATIONS
from optimlab.nn.layers import Activate, BatchNorm, Dense, Dropout, dropped

torch = require("torch")
F = torch.nn.functional

DTYPES = ["float32", "float64"]
SIZES = [6, 9, 7, 4]
STEPS = 50
BATCH = 16

# ---- the same network in PyTorch: the same weights under the same names, autograd, updates written out ----


def tensors_of(net):
    return {p.name: torch.tensor(p.data.copy(), requires_grad=True) for p in net.parameters}


def torch_logits(tensors, x, activation, batch_norm, masks=None):
    h = torch.tensor(x)
    hidden = len(SIZES) - 2
    for k in range(1, hidden + 2):
        h = h @ tensors[f"dense{k}.W"]
        if f"dense{k}.b" in tensors:
            h = h + tensors[f"dense{k}.b"]
        if k <= hidden:
            f = TORCH_ACTIVATIONS[activation]
            h = f(h) if batch_norm == "after" else h
            if batch_norm:
                gamma, beta = tensors[f"norm{k}.gamma"], tensors[f"norm{k}.beta"]
                h = F.batch_norm(h, None, None, gamma, beta, training=True, eps=1e-5)
            h = f(h) if batch_norm != "after" else h
            h = h if masks is None else h * torch.tensor(masks[k - 1])
    return h


class TorchSGD:
    def __init__(self, tensors):
        self.tensors = tensors.values()

    @torch.no_grad()
    def step(self, t, lr):
        for w in self.tensors:
            w.sub_(w.grad, alpha=lr)


class TorchAdam:
    """Textbook Adam: epsilon inside the root."""

    def __init__(self, tensors):
        self.moments = [(w, torch.zeros_like(w), torch.zeros_like(w)) for w in tensors.values()]

    @torch.no_grad()
    def step(self, t, lr, beta1=0.9, beta2=0.999, eps=1e-7):
        for w, m, s in self.moments:
            m.lerp_(w.grad, 1 - beta1)
            s.mul_(beta2).addcmul_(w.grad, w.grad, value=1 - beta2)
            w.sub_(m / (1 - beta1**t) / torch.sqrt(s / (1 - beta2**t) + eps), alpha=lr)


UPDATES = {
    "sgd": (TorchSGD, lambda p, lr: ol.SGD(p, lr=lr)),
    "adam": (TorchAdam, lambda p, lr: ol.Adam(p, lr=lr, eps=1e-7)),
}


def drift(net, tensors):
    """The largest difference of two weights, relative to the larger of 1 and the weight."""
    differences = []
    for p in net.parameters:
        theirs = tensors[p.name].detach().numpy()
        differences.append((abs(p.data - theirs) / np.maximum(1, abs(theirs))).max())
    return max(differences)


def rounding_alone(activation, batch_norm, use_bias):
    """Return True if some gradient is exactly zero but for rounding, which Adam would blow up to steps of its own:
    that of a shift (a bias, or a batch norm's beta) which the next batch norm takes out again."""
    return batch_norm and (use_bias or activation == "identity")


CASES = [
    (update, use_bias, batch_norm, activation)
    for update in UPDATES
    for use_bias in (True, False)
    for batch_norm in (False, "before", "after")
    for activation in ACTIVATIONS
    if update == "sgd" or not rounding_alone(activation, batch_norm, use_bias)
]


@pytest.mark.quick_each("update", "use_bias", "batch_norm", "activation", "dtype")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("update", "use_bias", "batch_norm", "activation"), CASES)
def test_fifty_training_steps_agree_with_torch(update, use_bias, batch_norm, activation, dtype):
    def rate(step):
        return (0.1 if update == "sgd" else 0.02) * 0.98**step

    net = ol.MLP(SIZES, activation=activation, batch_norm=batch_norm, use_bias=use_bias, seed=1, dtype=dtype)
    tensors = tensors_of(net)
    start = net.parameters.data.copy()
    make_theirs, make_ours = UPDATES[update]
    theirs, ours = make_theirs(tensors), make_ours(net.parameters, rate)
    generator = np.random.default_rng(2)
    for step in range(STEPS):
        x = generator.normal(size=(BATCH, SIZES[0])).astype(dtype)
        y = generator.integers(SIZES[-1], size=BATCH)
        loss, gradient = losses.softmax_cross_entropy(net.forward(x, training=True), y)
        net.backward(gradient)
        ours.step()
        for w in tensors.values():
            w.grad = None
        their_loss = F.cross_entropy(torch_logits(tensors, x, activation, batch_norm), torch.tensor(y))
        their_loss.backward()
        theirs.step(step + 1, rate(step))
        assert loss == pytest.approx(their_loss.item(), rel=1e-5 if dtype == "float32" else 1e-10)
        assert drift(net, tensors) < (1e-5 if dtype == "float32" else 1e-10), step
    assert abs(net.parameters.data - start).max() > 1e-2  # it has learned something


def test_a_regression_agrees_with_torch():
    net = ol.MLP(SIZES, activation="tanh", seed=1, dtype="float64")
    tensors = tensors_of(net)
    x, targets = np.random.default_rng(3).normal(size=(10, 6)), np.random.default_rng(4).normal(size=(10, 4))
    loss, gradient = losses.mean_squared_error(net.forward(x, training=True), targets)
    net.backward(gradient)
    their_loss = F.mse_loss(torch_logits(tensors, x, "tanh", False), torch.tensor(targets))
    their_loss.backward()
    assert loss == pytest.approx(their_loss.item(), rel=1e-13)
    for p in net.parameters:
        np.testing.assert_allclose(p.grad, tensors[p.name].grad.numpy(), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("batch_norm", [False, "before"])
def test_the_gradient_of_the_inputs_agrees_with_torch(batch_norm):
    net = ol.MLP(SIZES, activation="gelu", batch_norm=batch_norm, seed=1, dtype="float64")
    x, dy = np.random.default_rng(3).normal(size=(10, 6)), np.random.default_rng(4).normal(size=(10, 4))
    net.forward(x, training=True)
    dx = net.backward(dy, input_gradient=True)
    tensors = tensors_of(net)
    tensors["x"] = torch.tensor(x, requires_grad=True)

    def logits(inputs):
        h = inputs @ tensors["dense1.W"] + tensors["dense1.b"]
        for k in (1, 2):
            h = F.batch_norm(h, None, None, training=True, eps=1e-5) if batch_norm else h
            h = F.gelu(h) @ tensors[f"dense{k + 1}.W"] + tensors[f"dense{k + 1}.b"]
        return h

    logits(tensors["x"]).backward(torch.tensor(dy))
    np.testing.assert_allclose(dx, tensors["x"].grad.numpy(), rtol=1e-10, atol=1e-13)


# ---- batch norm ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_agrees_with_torch_in_training_and_in_evaluation(dtype):
    net = ol.Network([BatchNorm(5, momentum=0.8, eps=1e-3)], dtype=dtype)
    theirs = torch.nn.BatchNorm1d(5, momentum=0.2, eps=1e-3, dtype=getattr(torch, dtype))
    generator = np.random.default_rng(0)
    for name, values in (("gamma", theirs.weight), ("beta", theirs.bias)):
        net.parameters[f"norm1.{name}"].data[...] = generator.normal(size=5)
        values.data[...] = torch.tensor(net.parameters[f"norm1.{name}"].data)
    close = {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}
    running_var = np.ones(5)
    for rows in (8, 3, 20, 2, 8):
        x, dy = generator.normal(3.0, 2.0, size=(2, rows, 5)).astype(dtype)
        tensor = torch.tensor(x, requires_grad=True)
        theirs.zero_grad()
        y = theirs(tensor)
        y.backward(torch.tensor(dy))
        np.testing.assert_allclose(net.forward(x, training=True), y.detach().numpy(), **close)
        np.testing.assert_allclose(net.backward(dy, input_gradient=True), tensor.grad.numpy(), **close)
        np.testing.assert_allclose(net.parameters["norm1.gamma"].grad, theirs.weight.grad.numpy(), **close)
        np.testing.assert_allclose(net.parameters["norm1.beta"].grad, theirs.bias.grad.numpy(), **close)
        # PyTorch keeps a running average of the unbiased variance, we of the biased one
        running_var = 0.8 * running_var + 0.2 * x.astype(float).var(axis=0)
        np.testing.assert_allclose(net.layers[0].running_mean, theirs.running_mean.numpy(), **close)
        np.testing.assert_allclose(net.layers[0].running_var, running_var, **close)

    theirs.running_var[...] = torch.tensor(running_var)
    theirs.eval()
    tensor = torch.tensor(x, requires_grad=True)
    y = theirs(tensor)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(net.forward(x), y.detach().numpy(), **close)
    np.testing.assert_allclose(net.backward(dy, input_gradient=True), tensor.grad.numpy(), **close)
    np.testing.assert_allclose(net.layers[0].running_var, running_var, **close)  # evaluation leaves it alone


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_in_torchs_convention_is_torchs(dtype):
    """With PyTorch's defaults and its unbiased variance, and with another share of the batch."""
    net = ol.Network([BatchNorm(5, convention="torch")], dtype=dtype)
    theirs = torch.nn.BatchNorm1d(5, dtype=getattr(torch, dtype))
    close = {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}
    generator = np.random.default_rng(0)
    for rows, share in ((8, 0.1), (3, 0.1), (2, 0.3), (20, 0.3)):
        net.layers[0].share = theirs.momentum = share
        x = generator.normal(0.03, 0.01, size=(rows, 5)).astype(dtype)
        np.testing.assert_allclose(net.forward(x, training=True), theirs(torch.tensor(x)).detach().numpy(), **close)
        np.testing.assert_allclose(net.layers[0].running_mean, theirs.running_mean.numpy(), **close)
        np.testing.assert_allclose(net.layers[0].running_var, theirs.running_var.numpy(), **close)
    theirs.eval()
    np.testing.assert_allclose(net.forward(x), theirs(torch.tensor(x)).detach().numpy(), **close)


def test_the_share_of_a_batch_is_what_momentum_leaves_except_in_torchs_convention():
    for convention, momentum in (("textbook", 0.75), ("keras", 0.75), ("torch", 0.25)):
        layer = BatchNorm(5, convention=convention)
        layer.share = 0.25
        assert (layer.momentum, layer.share) == (momentum, 0.25)


@pytest.mark.parametrize(("name", "value"), [("momentum", 1.0), ("momentum", 1.5), ("eps", 0.0)])
def test_what_batch_norm_cannot_work_with_is_refused(name, value):
    with pytest.raises(InputError, match=f"batch norm's {name}"):
        BatchNorm(5, **{name: value})


def test_batch_norm_cannot_train_on_one_row():
    net = ol.Network([BatchNorm(5)])
    with pytest.raises(InputError, match="batch of one"):
        net.forward(np.zeros((1, 5)), training=True)
    assert net.forward(np.zeros((1, 5))).shape == (1, 5)


# ---- losses ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4, 1e30])
def test_cross_entropy_and_its_gradient_agree_with_torch(scale, dtype):
    generator = np.random.default_rng(0)
    logits = (scale * generator.normal(size=(40, 7))).astype(dtype)
    labels = generator.integers(7, size=40)
    tensor = torch.tensor(logits.astype(np.float64), requires_grad=True)
    theirs = F.cross_entropy(tensor, torch.tensor(labels))
    theirs.backward()
    loss, gradient = losses.softmax_cross_entropy(logits, labels)
    assert type(loss) is float
    assert loss == pytest.approx(theirs.item(), rel=1e-6 if dtype == "float32" else 1e-13)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=0, atol=1e-7 if dtype == "float32" else 1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_at_the_largest_numbers_is_what_it_must_be(dtype):
    top = np.finfo(dtype).max
    logits = np.array([[top, -top], [top, top], [-top, -top]], dtype)
    loss, gradient = losses.softmax_cross_entropy(logits, [0, 1, 0])
    assert loss == pytest.approx(2 * math.log(2) / 3, rel=1e-6)
    np.testing.assert_allclose(3 * gradient, [[0, 0], [0.5, -0.5], [-0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("kind", "bBhHiIlLqQ")
def test_labels_may_be_integers_of_any_kind(kind):
    logits = np.random.default_rng(0).normal(size=(4, 3))
    expected = losses.softmax_cross_entropy(logits, [0, 2, 1, 2])
    loss, gradient = losses.softmax_cross_entropy(logits, np.array([0, 2, 1, 2], kind))
    assert loss == expected[0]
    assert_same_bits(gradient, expected[1])


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("layout", ["columns first", "every other row", "reversed"])
def test_outputs_may_lie_in_memory_in_any_way(loss, layout):
    outputs, targets = case(loss, 6)
    expected = getattr(losses, loss)(outputs, targets)
    same = {
        "columns first": np.asfortranarray(outputs),
        "every other row": np.repeat(outputs, 2, axis=0)[::2],
        "reversed": outputs[::-1].copy()[::-1],
    }[layout]
    value, gradient = getattr(losses, loss)(same, targets)
    assert value == pytest.approx(expected[0], rel=1e-14)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_squared_error_and_its_gradient_agree_with_torch(dtype):
    outputs, targets = np.random.default_rng(0).normal(size=(2, 9, 5)).astype(dtype)
    tensor = torch.tensor(outputs, requires_grad=True)
    theirs = F.mse_loss(tensor, torch.tensor(targets))
    theirs.backward()
    loss, gradient = losses.mean_squared_error(outputs, targets)
    few_ulps = 4 * float(np.finfo(dtype).eps)
    assert loss == pytest.approx(theirs.item(), rel=few_ulps)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=few_ulps)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_the_gradient_may_be_written_over_the_outputs(loss):
    outputs, targets = case(loss, 4)
    function = getattr(losses, loss)
    before = outputs.copy()
    value, gradient = function(outputs, targets)
    assert_same_bits(outputs, before)
    same_value, written = function(outputs, targets, out=outputs)
    assert written is outputs
    assert same_value == value
    assert_same_bits(outputs, gradient)


@pytest.mark.parametrize(
    "labels", [[0, 1], [[0], [1], [2]], [0.0, 1.0, 2.0], [0, 1, 3], [0, -1, 2], ["a", "b", "c"], [True, False, True]]
)
def test_labels_that_fit_no_class_are_refused(labels):
    with pytest.raises(InputError, match="label"):
        losses.softmax_cross_entropy(np.zeros((3, 3)), labels)


@pytest.mark.parametrize("targets", [np.zeros((3, 2)), np.zeros(3), np.full((3, 3), math.nan), np.full((3, 3), "a")])
def test_targets_that_fit_no_output_are_refused(targets):
    with pytest.raises(InputError, match="targets"):
        losses.mean_squared_error(np.zeros((3, 3)), targets)


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.zeros(3), np.zeros(3)),
        (np.zeros((2, 2, 3)), np.zeros((2, 2, 3))),
        (np.zeros((2, 3), int), np.zeros((2, 3))),
    ],
    ids=["no rows", "one axis", "three axes", "integers"],
)
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_outputs_that_are_no_floats_of_shape_batch_by_features_are_refused(loss, outputs, targets):
    if losses.LOSSES[loss].classifies:
        targets = np.zeros(len(outputs), int)
    with pytest.raises(InputError):
        getattr(losses, loss)(outputs, targets)


# ---- dropout ----


def kept(rate, rows=2000, features=50, seed=0, dtype="float32"):
    """The mask of one training pass: what becomes of ones."""
    return ol.Network([Dropout(features, rate)], seed=seed, dtype=dtype).forward(np.ones((rows, features)), True).copy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_zeroes_its_share_and_scales_the_rest(rate, dtype):
    mask = kept(rate, dtype=dtype)
    assert set(np.unique(mask)) == {0, np.dtype(dtype).type(1) / np.dtype(dtype).type(1 - rate)}
    error = math.sqrt(rate * (1 - rate) / mask.size)
    assert abs((mask == 0).mean() - rate) < 4 * error
    # no row and no column is treated differently: the shares scatter as they should
    for axis in (0, 1):
        spread = (mask == 0).mean(axis=axis).std() / math.sqrt(rate * (1 - rate) / mask.shape[axis])
        assert 0.7 < spread < 1.3


def test_a_draw_that_equals_the_rate_is_kept():
    """Draws lie in [0, 1), so a share of 1 - rate of them is at least the rate."""
    np.testing.assert_array_equal(dropped(np.ones(3), np.array([0.25, 0.5, 0.75]), rate=0.5), [0, 2, 2])


def test_dropout_draws_a_new_mask_each_time_from_its_seed():
    net = ol.Network([Dropout(50, 0.5)], seed=3)
    first, second = (net.forward(np.ones((10, 50)), True).copy() for _ in range(2))
    assert (first != second).any()
    assert_same_bits(first, kept(0.5, rows=10, seed=3))
    assert (first != kept(0.5, rows=10, seed=4)).any()


def test_two_dropout_layers_draw_different_masks():
    net = ol.Network([Dropout(200, 0.5), Activate(200, "identity"), Dropout(200, 0.5)])
    assert 0.1 < (net.forward(np.ones((20, 200)), True) != 0).mean() < 0.4  # a quarter; one mask would leave half


def test_dropout_is_off_in_evaluation_and_at_rate_zero():
    x = np.random.default_rng(0).normal(size=(4, 50)).astype("float32")
    net = ol.Network([Dropout(50, 0.5)])
    assert_same_bits(net.forward(x), x)
    assert_same_bits(net.backward(x, input_gradient=True), x)
    assert_same_bits(ol.Network([Dropout(50, 0.0)]).forward(x, training=True), x)


def test_a_held_mask_stays_and_backward_uses_it():
    net = ol.Network([Dropout(50, 0.5)], dtype="float64")
    net.layers[0].hold = True
    mask = net.forward(np.ones((10, 50)), training=True).copy()
    x, dy = np.random.default_rng(0).normal(size=(2, 10, 50))
    np.testing.assert_array_equal(net.forward(x, training=True), x * mask)
    np.testing.assert_array_equal(net.backward(dy, input_gradient=True), dy * mask)


@pytest.mark.parametrize("rate", [-0.1, 1.0, math.nan])
def test_a_dropout_rate_out_of_range_is_refused(rate):
    with pytest.raises(InputError, match="rate"):
        Dropout(3, rate)


def test_a_network_with_dropout_has_torchs_gradient_under_the_same_masks():
    net = ol.MLP(SIZES, activation="swish", batch_norm="before", dropout=0.4, seed=1, dtype="float64")
    tensors = tensors_of(net)
    x, y = np.random.default_rng(3).normal(size=(12, 6)), np.random.default_rng(4).integers(4, size=12)
    dropouts = [layer for layer in net.layers if isinstance(layer, Dropout)]
    for layer in dropouts:
        layer.hold = True
    masks = [layer.forward(np.ones((12, layer.inputs)), True).copy() for layer in dropouts]
    loss, gradient = losses.softmax_cross_entropy(net.forward(x, training=True), y)
    net.backward(gradient)
    theirs = F.cross_entropy(torch_logits(tensors, x, "swish", "before", masks), torch.tensor(y))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    for p in net.parameters:
        np.testing.assert_allclose(p.grad, tensors[p.name].grad.numpy(), rtol=1e-10, atol=1e-13)


# ---- what backward leaves alone ----


def test_frozen_parameters_keep_their_gradients_until_they_are_trained_again():
    net = ol.MLP(SIZES, activation="tanh", batch_norm=True, seed=1, dtype="float64")
    x, dy = np.random.default_rng(3).normal(size=(10, 6)), np.random.default_rng(4).normal(size=(10, 4))
    net.forward(x, training=True)
    net.backward(dy)
    full = {p.name: p.grad.copy() for p in net.parameters}
    for group in ("dense1", "norm1.gamma", "dense2.b"):  # the whole batch norm frozen, it would evaluate
        net.parameters.freeze(group)
    net.parameters.grad[...] = 7.0
    net.forward(x, training=True)
    net.backward(dy)
    for p in net.parameters:
        assert_same_bits(p.grad, np.full(p.shape, 7.0) if p.frozen else full[p.name], p.name)
    for group in ("dense1", "norm1.gamma", "dense2.b"):  # the whole batch norm frozen, it would evaluate
        net.parameters.unfreeze(group)
    net.forward(x, training=True)
    net.backward(dy)
    for p in net.parameters:
        assert_same_bits(p.grad, full[p.name], p.name)


def test_a_dense_layer_is_torchs_linear():
    net = ol.Network([Dense(4, 3)], seed=2, dtype="float64")
    net.parameters["dense1.b"].data[...] = [1, -2, 3]
    x = np.random.default_rng(0).normal(size=(5, 4))
    tensors = tensors_of(net)
    theirs = F.linear(torch.tensor(x), tensors["dense1.W"].T, tensors["dense1.b"])
    np.testing.assert_allclose(net.forward(x), theirs.detach().numpy(), rtol=1e-13, atol=1e-14)
    net.forward(x, training=True)
    dy = np.ones((5, 3))
    np.testing.assert_allclose(net.layers[0].backward(dy), dy @ tensors["dense1.W"].detach().numpy().T, rtol=1e-13)


# ---- a frozen batch norm: PyTorch's module in eval mode ----


@pytest.mark.parametrize("convention", ["textbook", "torch", "keras"])
@pytest.mark.parametrize("position", ["before", "after"])
def test_a_frozen_batch_norm_is_pytorchs_in_eval_mode(convention, position):
    g = np.random.default_rng(0)
    x, y = g.normal(2.0, 3.0, (12, 4)), np.arange(12) % 3
    net = ol.MLP([4, 5, 3], activation="tanh", batch_norm=position, convention=convention, dtype="float64", seed=0)
    norm = next(layer for layer in net.layers if isinstance(layer, ol.layers.BatchNorm))
    for values in (norm.running_mean, norm.running_var, norm.gamma.data, norm.beta.data):
        values[...] = g.uniform(0.5, 2.0, 5)
    net.parameters.freeze("norm1")
    statistics = [values.copy() for values in norm.state().values()]

    first, last = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)
    theirs = torch.nn.BatchNorm1d(5, eps=norm.eps)
    between = [theirs, torch.nn.Tanh()] if position == "before" else [torch.nn.Tanh(), theirs]
    reference = torch.nn.Sequential(first, *between, last).double()
    with torch.no_grad():
        for module, name in ((first, "dense1"), (last, "dense2")):
            module.weight.copy_(torch.from_numpy(net.parameters[f"{name}.W"].data.T.copy()))
            module.bias.copy_(torch.from_numpy(net.parameters[f"{name}.b"].data.copy()))
        theirs.weight.copy_(torch.from_numpy(norm.gamma.data.copy()))
        theirs.bias.copy_(torch.from_numpy(norm.beta.data.copy()))
        theirs.running_mean.copy_(torch.from_numpy(statistics[0]))
        theirs.running_var.copy_(torch.from_numpy(statistics[1]))
    theirs.requires_grad_(False)
    theirs.eval()
    ours, torchs = ol.SGD(net.parameters, lr=0.1), torch.optim.SGD([*first.parameters(), *last.parameters()], lr=0.1)
    for _ in range(5):
        loss, gradient = losses.softmax_cross_entropy(net.forward(x, training=True), y)
        net.backward(gradient)
        ours.step()
        torchs.zero_grad()
        expected = torch.nn.functional.cross_entropy(reference(torch.from_numpy(x)), torch.from_numpy(y))
        expected.backward()
        torchs.step()
        assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(net.parameters["dense1.W"].data, first.weight.detach().numpy().T, rtol=1e-10)
    for before, after in zip(statistics, norm.state().values(), strict=True):
        np.testing.assert_array_equal(after, before)
    assert net.forward(x[:1], training=True).shape == (1, 3)  # one row has no variance, and needs none

    net.parameters.unfreeze("norm1.beta")  # in part it is not frozen
    net.forward(x, training=True)
    assert (norm.running_mean != statistics[0]).all()


# ---- every loss on every kind of number, by hand ----

KINDS = ["float16", "float32", "float64", "longdouble", ">f4", ">f8", ">f2"]
ROWS = {"few": 5, "many": 70_000}


@pytest.mark.quick_each("loss", "kind", "rows")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_losses_are_pytorchs_in_float64_on_every_kind_of_float(loss, kind, rows):
    outputs, targets = case(loss, ROWS[rows], dtype=kind)
    expected, slope = by_torch(loss, outputs, targets)
    value, gradient = getattr(losses, loss)(outputs, targets)
    stated = np.dtype("float32") if outputs.dtype.itemsize == 2 else outputs.dtype
    assert (type(value), gradient.dtype) == (float, stated)
    single = np.dtype(stated).itemsize == 4
    assert value == pytest.approx(expected, rel=1e-5 if single else 1e-12)
    scale = abs(slope).max()
    np.testing.assert_allclose(
        gradient.astype("float64"), slope, rtol=1e-4 if single else 1e-11, atol=scale * (1e-6 if single else 0)
    )
    out = np.empty(outputs.shape, stated)
    again, same = getattr(losses, loss)(outputs, targets, out=out)
    assert same is out
    assert again == value
    np.testing.assert_array_equal(out, gradient)


@pytest.mark.parametrize("kind", ["int64", "uint8", "bool", "complex128", "object", "U3", "datetime64[s]"])
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_losses_refuse_other_kinds_of_outputs(loss, kind):
    targets = np.zeros(4, int) if losses.LOSSES[loss].classifies else np.zeros((4, 3))
    with pytest.raises(ol.InputError, match="expected floating-point outputs"):
        getattr(losses, loss)(np.zeros((4, 3), "int64").astype(kind), targets)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "longdouble", "int8", "uint64", ">i4", ">f4"])
def test_the_squared_error_takes_targets_of_every_real_kind(kind):
    outputs, targets = np.full((4, 3), 0.5, "float32"), np.arange(12).reshape(4, 3).astype(kind)
    value, gradient = losses.mean_squared_error(outputs, targets)
    assert value == pytest.approx(((np.arange(12) - 0.5) ** 2).mean(), rel=1e-6)
    assert gradient.dtype == "float32"
    np.testing.assert_allclose(gradient.ravel(), 2 * (0.5 - np.arange(12)) / 12, rtol=1e-6)


@pytest.mark.parametrize("kind", ["complex64", "bool", "U1", "object"])
def test_the_squared_error_refuses_other_targets(kind):
    with pytest.raises(ol.InputError, match="targets must be finite real numbers"):
        losses.mean_squared_error(np.zeros((4, 3)), np.zeros((4, 3), int).astype(kind))


def test_the_gradients_place_must_fit():
    frozen = np.empty((4, 3))
    frozen.flags.writeable = False
    for out in (np.empty((4, 2)), np.empty((4, 3), "float32"), frozen, [[0.0] * 3] * 4):
        with pytest.raises(ol.InputError, match="out must be a writeable array of shape"):
            losses.mean_squared_error(np.zeros((4, 3)), np.zeros((4, 3)), out=out)
