"""A loss of one's own is a plain function: in fit, evaluate, find_lr and gradcheck, and in checkpoints."""

import numpy as np
import pytest
from conftest import assert_same_bits

import optimlab as ol
from optimlab.nn.own_losses import chosen
from optimlab.training.engine import Plain

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 3))
LABELS = X[:, 0].argsort().argsort() * 4 // len(X)  # 0 to 3
NUMBERS = np.stack([X[:, 0] * X[:, 1], X[:, 2]], axis=1)


def huber(outputs, targets):
    error = outputs - targets
    small = np.abs(error) < 1
    return np.where(small, error**2 / 2, np.abs(error) - 0.5).mean(), np.clip(error, -1, 1) / error.size


def cross_entropy(outputs, targets):
    """Of the softmax, with integers as indices."""
    rows = np.arange(len(outputs))
    p = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    gradient = p.copy()
    gradient[rows, targets] -= 1
    return -np.log(p[rows, targets]).mean(), gradient / len(outputs)


def squares(outputs, targets):
    error = outputs - targets.reshape(outputs.shape)
    return (error**2).mean(), 2 * error / error.size


def logistic(outputs, targets):
    z, t = outputs[:, 0], targets
    return (np.logaddexp(0, z) - t * z).mean(), ((1 / (1 + np.exp(-z)) - t) / len(z))[:, None]


PAIRS = {
    "classes": (cross_entropy, "softmax_cross_entropy", LABELS, 4),
    "two classes": (logistic, "binary_cross_entropy", LABELS % 2, 1),
    "numbers": (squares, "mean_squared_error", NUMBERS, 2),
    "a number a row": (squares, "mean_squared_error", NUMBERS[:, 0], 1),
}


def train(loss, targets, outputs, backend="auto", dtype="float64", **options):
    net = ol.MLP([3, 6, outputs], activation="tanh", seed=0, dtype=dtype, backend=backend)
    data = ol.Dataset(X[:50], targets[:50], X[50:], targets[50:])
    history = ol.fit(net, ol.Adam(net.parameters, lr=0.02), data, loss=loss, epochs=3, batch_size=16, **options)
    return net, history


@pytest.mark.quick_each("case", "backend")
@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("case", PAIRS)
def test_it_trains_as_the_named_loss_that_it_is(case, backend):
    """The weights, the history, and what the network predicts after; the last batch is smaller."""
    own, name, targets, outputs = PAIRS[case]
    ours, history = train(own, targets, outputs, backend)
    theirs, expected = train(name, targets, outputs, backend)
    np.testing.assert_allclose(ours.parameters.data, theirs.parameters.data, rtol=1e-9, atol=1e-12)
    labels = name.endswith("cross_entropy")
    for measure in ["train_loss", "val_loss"] + ["train_accuracy", "val_accuracy"] * labels:
        np.testing.assert_allclose(getattr(history, measure), getattr(expected, measure), rtol=1e-9)
    assert not history.train_r2  # nobody says that R² suits it
    assert bool(history.train_accuracy) == labels
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    value, score = ol.evaluate(ours, X, targets, own)
    assert value == pytest.approx(ol.evaluate(theirs, X, targets, name)[0])
    assert (score is None) != labels
    assert ol.gradcheck(own, ours.logits(X), targets).relative_error < 1e-6
    assert ol.gradcheck(ours, X, targets, loss=own).relative_error < 1e-6


def test_on_the_compiled_engine_it_is_called_at_every_step():
    class Look:
        def attach(self, run):
            self.run = run

        def on_begin(self, *_):
            pass

    weights = []
    for backend in ("numpy", "compiled"):
        look = Look()
        net, _ = train(huber, NUMBERS, 2, backend, callbacks=[look])
        assert isinstance(look.run.engine, Plain)
        weights.append(net.parameters.data)
    np.testing.assert_allclose(*weights, rtol=1e-12)


def test_a_loss_may_be_named_by_its_function():
    one, other = (train(loss, LABELS, 4)[0] for loss in ("softmax_cross_entropy", ol.losses.softmax_cross_entropy))
    assert_same_bits(one.parameters.data, other.parameters.data)


@pytest.mark.parametrize(
    ("targets", "kind", "shape"),
    [
        (LABELS, "int64", (16,)),
        (LABELS.astype("int8")[:, None], "int64", (16, 1)),
        (LABELS * 1000 - 1, "int64", (16,)),
        (NUMBERS[:, 0], "float32", (16,)),
        (NUMBERS > 0, "float32", (16, 2)),
        (RNG.normal(size=(70, 2, 3)), "float32", (16, 2, 3)),
        (NUMBERS.tolist(), "float32", (16, 2)),
    ],
)
def test_the_targets_of_a_batch_are_as_they_were_given(targets, kind, shape):
    """Any shape, integers as integers, each row beside its outputs; they and the outputs may be written to."""
    net = ol.MLP([3, 2], seed=0)
    lookup = {tuple(row): np.asarray(t) for row, t in zip(net.logits(X).tolist(), targets, strict=True)}
    seen = []

    def look(outputs, targets):
        assert (targets.dtype, outputs.dtype) == (kind, "float32")
        if len(outputs) == 16:
            assert targets.shape == shape
        if not seen:
            for row, t in zip(outputs.tolist(), targets, strict=True):
                np.testing.assert_allclose(t, lookup[tuple(row)], rtol=1e-6)
        seen.append(len(outputs))
        outputs[...], targets[...] = 0, 0
        return 0.0, np.zeros(outputs.shape)

    ol.fit(net, ol.SGD(net.parameters), ol.Dataset(X, targets, X[:9], targets[:9]), loss=look, epochs=2, batch_size=16)
    assert seen == [16, 16, 16, 16, 6, 9] * 2


@pytest.mark.parametrize(
    ("targets", "outputs", "counts"),
    [
        (LABELS, 4, True),
        (LABELS, 3, False),  # label 3 has no output
        (LABELS - 1, 4, False),
        (LABELS % 2, 1, True),
        (LABELS, 1, False),  # a count, say
        (LABELS.astype(float), 4, False),
        (LABELS[:, None], 4, False),
        (np.eye(4)[LABELS], 4, False),
        (LABELS > 1, 1, False),
    ],
)
def test_integers_that_name_outputs_are_class_labels(targets, outputs, counts):
    assert chosen(ol.MLP([3, outputs]), huber, targets).classifies == counts


def test_a_gradient_of_any_dtype_is_cast():
    def thirds(outputs, targets):
        return np.float64(1), np.full(outputs.shape, 1 / 3)

    net = ol.MLP([3, 1], seed=0)
    before = net.parameters.data.copy()
    ol.fit(
        net,
        ol.SGD(net.parameters, lr=1.0),
        ol.Dataset(np.ones((4, 3)), np.zeros(4)),
        loss=thirds,
        epochs=1,
        batch_size=4,
    )
    assert net.parameters.data.dtype == "float32"
    np.testing.assert_allclose(net.parameters.data, before - 4 / 3, rtol=1e-6)


WRONG = {
    "no pair": (lambda y, t: y.mean(), r"must return \(value, gradient\), got float64"),
    "nothing": (lambda y, t: None, r"must return \(value, gradient\), got NoneType"),
    "a value for each row": (
        lambda y, t: ((y - t) ** 2, y),
        r"the mean over the batch, one real number, .* got an array of shape",
    ),
    "no value": (lambda y, t: (None, y), r"one real number, as its value; got None"),
    "text": (lambda y, t: ("0.5", y), r"one real number, as its value; got '0.5'"),
    "complex": (lambda y, t: (1j, y), r"one real number, as its value; got 1j"),
    "another shape": (
        lambda y, t: (0.0, y[0]),
        r"expected the gradient of outputs of shape \(16, 2\), got float64 of shape \(2,\)",
    ),
    "a transpose": (
        lambda y, t: (0.0, y.T),
        r"expected the gradient of outputs of shape \(16, 2\), got float64 of shape \(2, 16\)",
    ),
    "no gradient": (lambda y, t: (0.0, None), r"the gradient of <lambda> must be an array of rows, got None"),
    "a complex gradient": (lambda y, t: (0.0, 1j * y), r"got complex128"),
    "NaN in the gradient": (
        lambda y, t: (0.0, y / 0),
        r"a gradient with NaN or infinite entries, though its value is finite",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_it_returns_wrong_is_said_in_one_line(name):
    loss, message = WRONG[name]
    with pytest.raises(ol.InputError, match=message) as caught:
        train(loss, NUMBERS, 2)
    assert "\n" not in str(caught.value)
    assert "<lambda>" in str(caught.value)
    message = message.replace("16", "3")
    with pytest.raises(ol.InputError, match=message):
        ol.gradcheck(loss, np.ones((3, 2)), np.zeros((3, 2)))


def test_a_value_that_is_not_finite_is_divergence():
    _, history = train(lambda y, t: (np.nan, y), NUMBERS, 2)
    assert (history.status, history.diverged_step) == ("diverged", 1)


def test_bad_targets_are_refused_before_the_first_step():
    for targets, message in (
        (np.array(["a"] * 70), "targets must be real numbers, got dtype <U1"),
        (LABELS + 2**24, "integer targets must lie from -16,777,216 to 16,777,216"),
    ):
        with pytest.raises(ol.InputError, match=message):
            train(huber, targets, 2)
    net = ol.MLP([3, 2])
    with pytest.raises(
        ol.InputError, match=r"all targets of huber must be alike: .* int64 of shape \(rows\), .* float64"
    ):
        ol.fit(net, ol.SGD(net.parameters), ol.Dataset(X, LABELS, X, NUMBERS), loss=huber)
    for loss in ("hubert", 3, dict):
        with pytest.raises(ol.InputError, match="unknown loss"):
            train(loss, NUMBERS, 2)


def test_find_lr_takes_it():
    net = ol.MLP([3, 8, 2], seed=0)
    data = ol.Dataset(X, NUMBERS)
    found = [
        ol.find_lr(net, ol.SGD(net.parameters), data, loss=loss, batch_size=16)
        for loss in (squares, "mean_squared_error")
    ]
    np.testing.assert_allclose(found[0].losses, found[1].losses, rtol=1e-4)


def scaled(factor):
    def own(outputs, targets):
        value, gradient = huber(outputs, targets)
        return factor * value, factor * gradient

    return own


def test_a_checkpoint_tells_losses_of_one_name_apart(tmp_path):
    path = tmp_path / "run.npz"
    whole, _ = train(scaled(2.0), NUMBERS, 2)
    train(scaled(2.0), NUMBERS, 2, callbacks=[ol.Checkpoint(path, every=5)])
    again, _ = train(scaled(2.0), NUMBERS, 2, callbacks=[ol.Checkpoint(path, every=5)], resume=path)
    assert_same_bits(again.parameters.data, whole.parameters.data)
    with pytest.raises(ol.InputError, match=r"another run: loss own \(.*\), now own \("):
        train(scaled(3.0), NUMBERS, 2, callbacks=[ol.Checkpoint(path, every=5)], resume=path)
    with pytest.raises(ol.InputError, match=r"another run: loss own \(.*\), now mean_squared_error"):
        train("mean_squared_error", NUMBERS, 2, callbacks=[ol.Checkpoint(path, every=5)], resume=path)
    data = ol.Dataset(X[:50], NUMBERS[:50], X[50:], NUMBERS[50:])
    with pytest.raises(ol.InputError, match=r"from a run with the custom loss own \(.*\): pass it as loss="):
        ol.resume(path, data=data)
    assert_same_bits(ol.resume(path, data=data, loss=scaled(2.0)).network.parameters.data, whole.parameters.data)


def test_a_loss_that_refuses_made_up_outputs_can_be_resumed_all_the_same(tmp_path):
    def picky(outputs, targets):
        if len(outputs) < 10:
            raise ZeroDivisionError
        return huber(outputs, targets)

    path, data = tmp_path / "run.npz", ol.Dataset(X[:48], NUMBERS[:48])
    for resume in (None, path):
        net = ol.MLP([3, 2], seed=0)
        options = {"loss": picky, "batch_size": 16, "epochs": 4, "callbacks": [ol.Checkpoint(path, every=5)]}
        assert ol.fit(net, ol.SGD(net.parameters), data, resume=resume, **options).epochs == 4
