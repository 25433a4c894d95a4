"""Penalties, clipping and constraints, against PyTorch, hand-computed values and finite differences."""

import copy
import itertools
import math
import pickle
import tracemalloc

import numpy as np
import pytest
from conftest import assert_same_bits, require
from hypothesis import given, settings
from hypothesis import strategies as st

import optimlab as ol
from optimlab.nn.layers import Activate, BatchNorm, Dense, Dropout

torch = require("torch")
GROUPS = ["weights", "biases", "scales", "dense1", "dense2.W"]


def network(dtype="float64", seed=0, **options):
    """A network with random weights and gradients."""
    net = ol.MLP([5, 6, 4, 3], activation="tanh", batch_norm=True, dtype=dtype, seed=seed, **options)
    g = np.random.default_rng(seed)
    net.parameters.data[...] = g.normal(size=net.parameters.data.size)
    net.parameters.grad[...] = g.normal(size=net.parameters.data.size)
    return net


def tensors(net):
    """The parameters and their gradients as PyTorch's, copies."""
    made = {p.name: torch.tensor(np.array(p.data), requires_grad=True) for p in net.parameters}
    for p in net.parameters:
        made[p.name].grad = torch.tensor(np.array(p.grad))
    return made


def data(rows=8, features=5, classes=3):
    g = np.random.default_rng(1)
    return g.normal(size=(rows, features)), g.integers(0, classes, rows)


def small(rows=40):
    x, y = data(rows)
    return ol.Dataset(x, y, x[:8], y[:8])


# --- penalties


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", ["L1", "L2"])
def test_value_and_gradient_are_those_of_autograd(name, group):
    net = network()
    net.parameters["dense1.W"].data[0] = 0.0  # where |w| has its kink
    theirs = tensors(net)
    members = [theirs[p.name] for p in net.parameters.select(group)]
    value = sum(0.3 * w.abs().sum() if name == "L1" else 0.15 * (w**2).sum() for w in members)
    value.backward()
    assert getattr(ol, name)(0.3, group)(net.parameters) == pytest.approx(value.item(), rel=1e-12)
    for p in net.parameters:
        np.testing.assert_allclose(p.grad, theirs[p.name].grad, rtol=1e-13, atol=1e-15, err_msg=p.name)


def test_l2_is_the_weight_decay_of_pytorch():
    net = network()
    theirs = tensors(net)
    for make, ours in (
        (torch.optim.Adam, ol.Adam(net.parameters, lr=0.01, convention="torch")),
        (torch.optim.SGD, ol.SGD(net.parameters, lr=0.01, convention="torch")),
    ):
        other = make(
            [{"params": [theirs[p.name]], "weight_decay": 0.1 * (p.kind == "weights")} for p in net.parameters], lr=0.01
        )
        penalty, gradient = ol.L2(0.1), net.parameters.grad.copy()
        for p in net.parameters:
            theirs[p.name].grad[...] = torch.tensor(np.array(p.grad))
        for _ in range(20):
            net.parameters.grad[...] = gradient
            penalty(net.parameters)
            ours.step()
            other.step()
        net.parameters.grad[...] = gradient
        for p in net.parameters:
            np.testing.assert_allclose(p.data, theirs[p.name].detach(), rtol=1e-12, atol=1e-14, err_msg=p.name)


def test_penalties_by_hand():
    net = ol.MLP([2, 2], seed=0, dtype="float64")
    net.parameters["dense1.W"].data[...] = [[1.0, -2.0], [3.0, 0.0]]
    net.parameters["dense1.b"].data[...] = [5.0, -5.0]
    net.parameters.grad[...] = 1.0
    assert ol.L2(0.1)(net.parameters) == pytest.approx(0.05 * 14)
    np.testing.assert_allclose(net.parameters["dense1.W"].grad, [[1.1, 0.8], [1.3, 1.0]])
    assert ol.L1(0.5)(net.parameters) == pytest.approx(3.0)
    np.testing.assert_allclose(net.parameters["dense1.W"].grad, [[1.6, 0.3], [1.8, 1.0]])
    np.testing.assert_array_equal(net.parameters["dense1.b"].grad, 1.0)
    assert ol.L1(0.5, "dense1")(net.parameters) == pytest.approx(8.0)


@pytest.mark.quick_each("penalties", "norm", "dropout", "training")
@pytest.mark.parametrize(
    "penalties",
    [
        [ol.L2(0.3)],
        [ol.L1(0.3)],
        [ol.L1(0.1), ol.L2(0.2)],
        [ol.L1(0.1, "dense2.W"), ol.L2(0.2, "biases"), ol.L2(0.4, "scales")],
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("norm", [False, "before", "after"])
def test_gradcheck(penalties, norm, dropout, training):
    net = ol.MLP([5, 6, 4, 3], activation="tanh", batch_norm=norm, dropout=dropout, seed=1)
    if not norm:
        penalties = [p for p in penalties if p.group != "scales"]
    report = ol.gradcheck(net, *data(), penalties=penalties, training=training)
    assert report.relative_error < 1e-6
    assert (report.entries, report.skipped) == (net.parameters.data.size, 0)


def test_gradcheck_where_weights_sit_on_the_kink_of_l1():
    net = ol.MLP([5, 4, 3], activation="tanh", seed=0)  # biases of zero
    weights = net.parameters.data.copy()
    assert ol.gradcheck(net, *data(), penalties=[ol.L1(0.1, "biases")]).relative_error < 1e-6
    np.testing.assert_array_equal(net.parameters.data, weights)


@pytest.mark.parametrize("layer", [Dense(5, 3), BatchNorm(5), Dropout(5, 0.5), Activate(5, "gelu")])
def test_gradcheck_of_a_layer_with_penalties(layer):
    ol.gradcheck(layer, data()[0], penalties=[ol.L2(0.3), ol.L1(0.2, "scales"), ol.L2(0.3, "biases")])


class Forgetful(ol.L2):
    def __call__(self, parameters):
        return super().__call__(parameters) / 2  # the gradient is twice what it should be


def elastic(parameters):
    """A penalty of one's own."""
    return ol.L1(0.1)(parameters) + ol.L2(0.2)(parameters)


def test_gradcheck_finds_a_wrong_penalty_and_passes_ones_own():
    net = ol.MLP([5, 4, 3], activation="tanh", seed=0)
    ol.gradcheck(net, *data(), penalties=[elastic])
    with pytest.raises(ol.GradientError, match=r"^dense\d\.W\[\d, \d\]: .* of the 39 entries"):
        ol.gradcheck(net, *data(), penalties=[Forgetful(0.5)])


# --- clipping


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("limit", [1e-3, 0.5, 2.0, 1e3])
def test_clipping_is_that_of_pytorch(limit, dtype):
    """But for the 1e-6 that PyTorch adds to the norm it divides by."""
    clip = torch.nn.utils

    def each(values):
        for w in values:
            clip.clip_grad_norm_([w], limit)

    same = {
        ol.ClipValue: lambda values: clip.clip_grad_value_(values, limit),
        ol.ClipGlobalNorm: lambda values: clip.clip_grad_norm_(values, limit),
        ol.ClipNorm: each,
    }
    for ours, theirs in same.items():
        net = network(dtype)
        reference = tensors(net)
        norm = theirs(list(reference.values()))
        result = ours(limit)(net.parameters)
        if ours is ol.ClipGlobalNorm:
            assert result == pytest.approx(norm.item(), rel=1e-6)
        tolerance = 1e-15 if ours is ol.ClipValue else 3e-6
        for p in net.parameters:
            np.testing.assert_allclose(p.grad, reference[p.name].grad, rtol=tolerance, atol=1e-12, err_msg=p.name)


def test_clipping_is_that_of_keras():
    """Its formulas: g c / max(||g||, c), and g c min(1 / ||all||, 1 / c)."""
    for limit in (0.5, 2.0, 100.0):
        net = network()
        g = {p.name: np.array(p.grad) for p in net.parameters}
        whole = math.sqrt(sum((v**2).sum() for v in g.values()))
        ol.ClipNorm(limit)(net.parameters)
        for p in net.parameters:
            expected = g[p.name] * limit / max(np.sqrt((g[p.name] ** 2).sum()), limit)
            np.testing.assert_allclose(p.grad, expected, rtol=1e-14)
            p.grad[...] = g[p.name]
        ol.ClipGlobalNorm(limit)(net.parameters)
        for p in net.parameters:
            np.testing.assert_allclose(p.grad, g[p.name] * limit * min(1 / whole, 1 / limit), rtol=1e-14)


entries = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3)


@settings(max_examples=150, deadline=None)
@given(entries, st.floats(1e-3, 1e6), st.sampled_from([ol.ClipGlobalNorm, ol.ClipNorm, ol.ClipValue]))
def test_no_norm_above_the_limit_and_the_direction_kept(values, limit, clip):
    net = ol.MLP([2, 1], seed=0)
    grad = net.parameters.grad
    grad[...] = values
    before = grad.astype("float64")
    clip(limit)(net.parameters)
    after = grad.astype("float64")
    parts = {ol.ClipGlobalNorm: [slice(0, 3)], ol.ClipNorm: [slice(0, 2), slice(2, 3)]}.get(clip, [])
    for part in parts:
        norm = np.linalg.norm(before[part])
        assert np.linalg.norm(after[part]) <= limit * (1 + 1e-5)
        scale = min(1.0, limit / norm) if norm else 1.0
        np.testing.assert_allclose(after[part], before[part] * scale, rtol=1e-5, atol=1e-6 * min(limit, norm) + 1e-37)
    if not parts:
        np.testing.assert_array_equal(grad, np.clip(np.float32(values), -np.float32(limit), np.float32(limit)))


@pytest.mark.parametrize("clip", [ol.ClipGlobalNorm(100.0), ol.ClipNorm(100.0), ol.ClipValue(100.0)])
def test_a_gradient_within_the_limit_keeps_its_bits(clip):
    net = network("float32")
    before = net.parameters.grad.copy()
    clip(net.parameters)
    assert_same_bits(net.parameters.grad, before)


def test_a_norm_whose_square_overflows_is_clipped_all_the_same():
    net = ol.MLP([2, 1], seed=0)
    net.parameters.grad[...] = [3e30, 4e30, 0.0]
    with np.errstate(over="ignore"):
        assert ol.ClipGlobalNorm(1.0)(net.parameters) == pytest.approx(5e30, rel=1e-6)
        np.testing.assert_allclose(net.parameters.grad, [0.6, 0.8, 0.0], rtol=1e-6)
        net.parameters.grad[...] = [3e30, 4e30, 0.0]
        ol.ClipNorm(1e31)(net.parameters)
    np.testing.assert_allclose(net.parameters.grad, [3e30, 4e30, 0.0], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_left_alone(bad):
    net = ol.MLP([2, 1], seed=0)
    for clip in (ol.ClipGlobalNorm(1.0), ol.ClipNorm(1.0)):
        net.parameters.grad[...] = [bad, 4.0, 0.5]
        clip(net.parameters)
        np.testing.assert_array_equal(net.parameters.grad, np.float32([bad, 4.0, 0.5]))


# --- max norm


def test_max_norm_of_each_units_incoming_weights():
    net = network()
    before = {p.name: np.array(p.data) for p in net.parameters}
    ol.MaxNorm(1.5)(net.parameters)
    shrunk = 0
    for p in net.parameters:
        expected = before[p.name].copy()
        if p.kind == "weights":
            for column in expected.T:
                norm = math.sqrt(sum(v * v for v in column))
                if norm > 1.5:
                    column *= 1.5 / norm
                    shrunk += 1
        np.testing.assert_allclose(p.data, expected, rtol=1e-14, err_msg=p.name)
    assert 0 < shrunk < 13  # both cases have been seen
    # PyTorch's renorm, over the rows of its (outputs, inputs) matrices, but for its 1e-7
    p = net.parameters["dense1.W"]
    ol.MaxNorm(0.5, "dense1")(net.parameters)
    theirs = torch.renorm(torch.tensor(before[p.name].T.copy()), p=2, dim=0, maxnorm=0.5).numpy().T
    np.testing.assert_allclose(p.data, theirs, rtol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_max_norm_makes_no_zeros_of_weights_whose_squares_overflow(backend):
    net = ol.MLP([2, 2], seed=0, use_bias=False, backend=backend)
    net.parameters.data[...] = [3e20, 3.0, 4e20, 4.0]
    with net.backend.quiet():
        ol.MaxNorm(1.0)(net.parameters)
    np.testing.assert_array_equal(net.parameters.data, np.float32([3e20, 0.6, 4e20, 0.8]))


def test_weights_within_max_norm_keep_their_bits():
    net = network("float32")
    before = net.parameters.data.copy()
    ol.MaxNorm(100.0)(net.parameters)
    assert_same_bits(net.parameters.data, before)


# --- frozen parameters, copies, allocation


def test_frozen_parameters_are_left_out_and_come_back():
    net = network()
    penalty, clip, limit = ol.L2(0.1), ol.ClipGlobalNorm(0.1), ol.MaxNorm(0.1)

    def apply():
        value = penalty(net.parameters)
        norm = clip(net.parameters)
        limit(net.parameters)
        return value, norm

    twin = net.copy()
    assert penalty(twin.parameters) > 0
    frozen = net.parameters["dense1.W"]
    net.parameters.freeze("dense1")
    weights, grad = np.array(frozen.data), np.array(frozen.grad)
    others = sum(float((p.data**2).sum()) for p in net.parameters if p.kind == "weights" and not p.frozen)
    value, _ = apply()
    assert value == pytest.approx(0.05 * others)
    trained = [np.linalg.norm(p.grad) for p in net.parameters if not p.frozen]
    assert np.linalg.norm(trained) == pytest.approx(0.1)  # of these alone
    np.testing.assert_array_equal(frozen.data, weights)
    np.testing.assert_array_equal(frozen.grad, grad)
    net.parameters.unfreeze("dense1")
    apply()
    assert np.linalg.norm(net.parameters.grad) == pytest.approx(0.1)
    assert np.linalg.norm(frozen.data, axis=0).max() == pytest.approx(0.1)


def test_another_group_takes_effect_at_once():
    net, penalty = ol.MLP([3, 2, 1], seed=0), ol.L2(0.5)
    penalty(net.parameters)
    net.parameters.data[...], net.parameters.grad[...] = 1.0, 0.0
    penalty.group = "biases"
    penalty(net.parameters)
    assert net.parameters.grad.tolist() == [0.0] * 8 + [0.5] * 3


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "None"),
        (np.ones(3), r"an array of shape \(3,\)"),
        ("1", "'1'"),
        (1j, "1j"),
        (np.complex64(1), r"np.complex64\(1\+0j\)"),
        (np.array(["a"]), r"array\(\['a'\]"),
    ],
)
def test_a_penalty_of_ones_own_returns_one_number(value, told):
    def decay(parameters):
        return value

    net = ol.MLP([2, 2], seed=0)
    data = ol.Dataset(np.ones((4, 2)), [0, 1, 0, 1])
    for call in (
        lambda: ol.fit(net, ol.SGD(net.parameters), data, epochs=1, batch_size=2, penalties=[decay]),
        lambda: ol.gradcheck(net, data.x_train, data.y_train, penalties=[decay]),
    ):
        with pytest.raises(ol.InputError, match=f"decay must add its gradient .* one real number; it returned {told}"):
            call()


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0), np.array([2.0])])
def test_the_number_of_a_penalty_of_ones_own_may_be_of_any_kind(value):
    net = ol.MLP([2, 2], seed=0)
    data = ol.Dataset(np.ones((4, 2)), [0, 1, 0, 1])
    history = ol.fit(net, ol.SGD(net.parameters), data, epochs=1, batch_size=2, penalties=[lambda p: value])
    assert history.penalty == [2.0]
    ol.gradcheck(net, data.x_train, data.y_train, penalties=[lambda p: value])


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e-40), ("float64", 1e-40), ("float64", 1e-310)])
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_norms_of_the_smallest_gradients(dtype, size, backend):
    net = ol.MLP([2, 1], seed=0, use_bias=False, dtype=dtype, backend=backend)
    net.parameters.grad[...] = [3 * size, 4 * size]
    norm = ol.ClipGlobalNorm(size)(net.parameters)
    np.testing.assert_allclose(norm, [5 * size], rtol=1e-4)
    np.testing.assert_allclose(net.parameters.grad, [0.6 * size, 0.8 * size], rtol=1e-4)


def test_copies_and_pickles_work_on_their_own_network():
    for term in (ol.L1(0.1), ol.L2(0.1, "biases"), ol.ClipValue(1.0), ol.ClipNorm(1.0), ol.MaxNorm(2.0)):
        net, other = network(), network()
        term(net.parameters)
        for twin in (copy.deepcopy(term), pickle.loads(pickle.dumps(term))):
            assert repr(twin) == repr(term)
            assert len(pickle.dumps(twin)) < 300
            other.parameters.data[...] = 2 * network().parameters.data
            term(other.parameters)  # the same object on another network
        fresh = network()
        twin(fresh.parameters)
        assert_same_bits(fresh.parameters.data, net.parameters.data)
        assert_same_bits(fresh.parameters.grad, net.parameters.grad)


def test_nothing_of_parameter_size_is_allocated_after_the_first_call():
    net = ol.MLP([1000, 500, 10], seed=0)
    net.parameters.grad[...] = 1.0
    terms = [ol.L1(0.1), ol.L2(0.1), ol.ClipValue(0.5), ol.ClipNorm(0.5), ol.ClipGlobalNorm(0.1), ol.MaxNorm(0.1)]
    for term in terms:
        term(net.parameters)
        peaks = []
        for _ in range(3):  # other threads, such as those of the test runner, may allocate meanwhile
            tracemalloc.start()
            term(net.parameters)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert min(peaks) < net.parameters.data.nbytes / 20, f"{term}: {peaks} bytes"


# --- in fit


def test_fit_is_backward_penalties_clip_update_constraints():
    d = small(40)
    net = ol.MLP([5, 6, 3], seed=0, dtype="float64")
    twin = net.copy()
    terms = dict(penalties=[ol.L1(0.01), ol.L2(0.1)], clip=ol.ClipGlobalNorm(0.3), constraints=[ol.MaxNorm(0.8)])
    history = ol.fit(net, ol.Momentum(net.parameters, lr=0.1), d, epochs=3, batch_size=16, **terms, seed=4)

    opt, order, losses, values = ol.Momentum(twin.parameters, lr=0.1), np.random.default_rng(4), [], []
    for _ in range(3):
        rows = order.permutation(40)
        loss = value = 0.0
        for batch in (rows[:16], rows[16:32], rows[32:]):
            mean, gradient = ol.losses.softmax_cross_entropy(twin.forward(d.x_train[batch], True), d.y_train[batch])
            twin.backward(gradient)
            w = [p for p in twin.parameters if p.kind == "weights"]
            loss += mean * len(batch)
            value += len(batch) * sum(0.01 * abs(p.data).sum() + 0.05 * (p.data**2).sum() for p in w)
            for p in w:
                p.grad[...] += 0.01 * np.sign(p.data) + 0.1 * p.data
            twin.parameters.grad[...] *= min(1.0, 0.3 / np.linalg.norm(twin.parameters.grad))
            opt.step()
            for p in w:
                p.data[...] *= np.minimum(1.0, 0.8 / np.linalg.norm(p.data, axis=0))
        losses.append(loss / 40)
        values.append(value / 40)
    np.testing.assert_allclose(net.parameters.data, twin.parameters.data, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(history.train_loss, losses, rtol=1e-12)  # of the data alone
    np.testing.assert_allclose(history.penalty, values, rtol=1e-12)
    assert history.to_dict()["penalty"] == history.penalty


def test_fit_without_them_has_no_list_of_penalties():
    net = ol.MLP([5, 3], seed=0)
    history = ol.fit(net, ol.SGD(net.parameters), small(), epochs=1, batch_size=20, clip=ol.ClipValue(1.0))
    assert history.penalty is None


def test_penalties_and_constraints_hold_the_weights_down():
    d = ol.datasets.load("digits")
    norms = {}
    for name, terms in {
        "plain": {},
        "l2": {"penalties": [ol.L2(1e-2)]},
        "max_norm": {"constraints": [ol.MaxNorm(1.0)]},
        "l1": {"penalties": [ol.L1(3e-3)]},
    }.items():
        net = ol.MLP([64, 32, 10], seed=0)
        history = ol.fit(net, ol.Adam(net.parameters, lr=0.01), d, epochs=5, **terms)
        assert history.val_accuracy[-1] > 0.85
        norms[name] = np.linalg.norm(net.parameters["dense1.W"].data)
    assert all(norms[name] < norms["plain"] for name in ("l1", "l2", "max_norm"))


def test_a_penalty_that_is_not_finite_ends_the_run():
    net = ol.MLP([5, 3], seed=0)
    history = ol.fit(net, ol.SGD(net.parameters), small(), epochs=2, batch_size=20, penalties=[lambda p: math.inf])
    assert (history.status, history.penalty) == ("diverged", [])


# --- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *(
            (lambda t=t, v=v: t(v), f"the rate of {t.__name__} must be a finite number of at least 0, got")
            for t, v in itertools.product((ol.L1, ol.L2), (-0.1, math.nan, math.inf, "0.1", None))
        ),
        *(
            (lambda t=t, v=v: t(v), f"the limit of {t.__name__} must be a positive number, got")
            for t, v in itertools.product((ol.ClipValue, ol.ClipNorm, ol.ClipGlobalNorm, ol.MaxNorm), (0, -1, math.inf))
        ),
    ],
)
def test_bad_rates_and_limits(make, message):
    with pytest.raises(ol.InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"penalties": [ol.L2(0.1, "wieghts")]}, "unknown parameter group 'wieghts'; did you mean 'weights'"),
        ({"penalties": [ol.L1(0.1, "dense9")]}, "unknown parameter group 'dense9'; did you mean 'dense1'"),
        ({"constraints": [ol.MaxNorm(1.0, "dense1.w")]}, "did you mean 'dense1.W'"),
        (
            {"constraints": [ol.MaxNorm(1.0, "biases")]},
            "MaxNorm constrains weight matrices, but the group 'biases' has none",
        ),
        ({"penalties": ol.L2(0.1)}, r"penalties must be a list, got L2\(rate=0.1, group='weights'\)"),
        ({"penalties": [0.1]}, "expected functions of net.parameters in penalties, got 0.1"),
        ({"penalties": [ol.L2]}, "expected functions of net.parameters in penalties, got <class"),
        ({"penalties": [ol.MaxNorm(1.0)]}, r"MaxNorm\(.*\) belongs in constraints, not in penalties"),
        ({"clip": 1.0}, "expected functions of net.parameters in clip, got 1.0"),
        ({"clip": ol.L2(1.0)}, r"L2\(.*\) belongs in penalties, not in clip"),
        ({"constraints": [ol.ClipNorm(1.0)]}, r"ClipNorm\(limit=1.0\) belongs in clip, not in constraints"),
    ],
)
def test_terms_that_cannot_be_used_are_refused_before_the_first_step(terms, message):
    net = ol.MLP([5, 3], seed=0)
    opt, before = ol.SGD(net.parameters), net.parameters.data.copy()
    with pytest.raises(ol.InputError, match=message):
        ol.fit(net, opt, small(), batch_size=20, **terms)
    assert opt.t == 0
    np.testing.assert_array_equal(net.parameters.data, before)
    if "penalties" in terms:
        with pytest.raises(ol.InputError, match=message):
            ol.gradcheck(net, *data(), **terms)


@pytest.mark.parametrize("backend", [name for name in ol.backends.names() if name != "cupy"])
def test_a_subclass_that_is_called_otherwise_is_called(backend):
    """A penalty of one's own that inherits from L2: training takes its value and gradient, not its parent's."""

    class Twice(ol.L2):
        def __call__(self, parameters):
            return 2 * super().__call__(parameters) + 1

    def trained(penalty):
        net = ol.MLP([64, 8, 10], seed=0, backend=backend)
        data = ol.datasets.load("digits")
        return ol.fit(net, ol.SGD(net.parameters, lr=0.0), data, epochs=1, penalties=[penalty]).penalty[0]

    assert trained(Twice(0.1)) == pytest.approx(2 * trained(ol.L2(0.1)) + 1, rel=1e-5)


def test_a_network_that_is_frozen_has_no_penalty_and_nothing_to_clip():
    net = ol.MLP([3, 2], seed=0)
    net.parameters.grad[...] = 5.0
    for group in ("weights", "biases"):
        net.parameters.freeze(group)
    assert ol.L2(0.1)(net.parameters) == 0
    assert ol.ClipGlobalNorm(1.0)(net.parameters) == 0


def test_a_global_norm_takes_small_and_large_gradients_together():
    """Their squares are relative to the largest entry of all: relative to that of one part, they would overflow. A
    frozen parameter between them makes two parts."""
    net = ol.MLP([3, 2, 2], seed=0)
    net.parameters.freeze("dense1.b")
    first, last = net.parameters["dense1.W"], net.parameters["dense2.W"]
    for small, large in ((first, last), (last, first)):
        net.parameters.grad[...] = 0.0
        small.grad[...], large.grad.flat[0] = 1e-25, 1e15
        assert ol.ClipGlobalNorm(2.0)(net.parameters) == pytest.approx(1e15)
        assert large.grad.flat[0] == pytest.approx(2.0)


def test_only_l1_has_a_kink():
    assert {term: term.has_kink for term in (ol.L1, ol.L2)} == {ol.L1: True, ol.L2: False}
