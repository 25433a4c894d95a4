"""fit: what it averages, what it remembers, how it ends."""

import signal
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import optimlab as ol
from optimlab.training.evaluation import Evaluator


@pytest.fixture(scope="module")
def digits():
    return ol.datasets.load("digits")


def small(rows=50, features=4, classes=3, seed=0, val=True):
    g = np.random.default_rng(seed)
    x, y = g.normal(size=(rows, features)), g.integers(0, classes, rows)
    return ol.Dataset(x, y, x[:7], y[:7]) if val else ol.Dataset(x, y)


def test_the_same_seed_gives_the_same_curve_and_another_does_not():
    def run(net_seed, order_seed):
        net = ol.MLP([4, 8, 3], dropout=0.3, seed=net_seed)
        return ol.fit(net, ol.Adam(net.parameters), small(), epochs=3, batch_size=16, seed=order_seed).train_loss

    assert run(0, 0) == run(0, 0)
    assert run(0, 0) != run(1, 0)
    assert run(0, 0) != run(0, 1)


def test_every_row_weighs_the_same_also_in_a_short_last_batch():
    """With lr 0 the network never changes, so the epoch's loss must be the loss of the whole training set."""
    data = small(rows=50)
    net = ol.MLP([4, 8, 3], seed=0, dtype="float64")
    history = ol.fit(net, ol.SGD(net.parameters, lr=0.0), data, epochs=1, batch_size=16)
    loss, accuracy = ol.evaluate(net, data.x_train, data.y_train)
    assert history.train_loss[0] == pytest.approx(loss, rel=1e-12)
    assert history.train_accuracy[0] == pytest.approx(accuracy, rel=1e-12)
    loss, accuracy = ol.evaluate(net, data.x_val, data.y_val)
    assert (history.val_loss[0], history.val_accuracy[0]) == (loss, accuracy)
    assert history.steps == 4


@pytest.mark.filterwarnings("error")
def test_what_fit_does_if_it_is_told_nothing(digits):
    """Twenty epochs in batches of 64 rows, in the order of seed 0, without a CUDA graph; their time is the user's."""
    start = time.perf_counter()
    found = []
    for options in ({}, {"epochs": 20, "batch_size": 64, "seed": 0}):
        net = ol.MLP([64, 5, 10], seed=0)
        history = ol.fit(net, ol.SGD(net.parameters, lr=0.1), digits, **options)
        found.append((history.train_loss, history.epochs, history.steps))
    assert found[0] == found[1]
    assert 0 < sum(history.seconds) < time.perf_counter() - start


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_an_evaluator_notices_what_has_changed_since_the_last_time(backend):
    """It records the network once, and again, or no longer, after a change."""
    data = ol.datasets.load("digits")
    net = ol.MLP([64, 5, 10], seed=0, backend=backend)
    loss = ol.losses.get("softmax_cross_entropy")
    evaluate = Evaluator(net, data.x_val, data.y_val, loss)
    found = [evaluate(), evaluate()]
    net.layers[1].activation = ol.activations.get("tanh")
    found += [evaluate(), evaluate(), ol.evaluate(net, data.x_val, data.y_val)]
    net.layers[0].forward = lambda x, training: np.zeros((len(x), 5), "float32") + net.parameters.data[0]
    found += [evaluate()]
    net.parameters.data[...] = 0
    found += [evaluate()]
    assert found[0] == found[1] != found[2] == found[3] == found[4]
    assert found[4] != found[5] != found[6]
    assert found[6][0] == pytest.approx(np.log(10), rel=1e-6)


def test_many_rows_are_evaluated_in_parts_with_one_result():
    net, data = ol.MLP([64, 5, 10], seed=0, dtype="float64"), ol.datasets.load("digits")
    x, y = (np.concatenate([getattr(data, f"{k}_{s}") for s in ("train", "val", "test")]) for k in ("x", "y"))
    assert len(x) > 1024
    each = [ol.evaluate(net, x[k : k + 1], y[k : k + 1]) for k in range(len(x))]
    assert ol.evaluate(net, x, y) == pytest.approx(np.mean(each, axis=0), rel=1e-12)


def test_one_epoch_uses_every_row_once():
    """On a linear model with squared error and lr small, the summed gradient tells which rows were seen."""
    x = np.eye(10)
    data = ol.Dataset(x, np.ones((10, 1)))
    net = ol.Network([ol.layers.Dense(10, 1, use_bias=False, initializer="zeros")], dtype="float64")
    ol.fit(net, ol.SGD(net.parameters, lr=0.5), data, epochs=1, batch_size=3, loss="mean_squared_error", seed=3)
    # row i moves weight i alone, once, by lr * 2 / rows in its batch: three batches of 3 and one of 1
    moved = np.sort(net.parameters.data)
    np.testing.assert_allclose(moved, [1 / 3] * 9 + [1.0])


def test_the_order_of_rows_differs_from_epoch_to_epoch():
    seen = []

    class Spy(ol.layers.Dense):
        def forward(self, x, training):
            if training:
                seen.append(x.copy())
            return super().forward(x, training)

    data = ol.Dataset(np.arange(8.0)[:, None], np.zeros((8, 1)))
    net = ol.Network([Spy(1, 1)])
    ol.fit(net, ol.SGD(net.parameters, lr=0.0), data, epochs=2, batch_size=4, loss="mean_squared_error")
    first, second = np.concatenate(seen[:2]).ravel(), np.concatenate(seen[2:]).ravel()
    assert sorted(first) == sorted(second) == list(range(8))
    assert list(first) != list(second)


def test_divergence_ends_the_run_with_its_step_and_no_nan(digits):
    net = ol.MLP([64, 32, 10], seed=0)
    history = ol.fit(net, ol.SGD(net.parameters, lr=1e30), digits, epochs=5)
    assert history.status == "diverged"
    assert history.diverged_step == history.steps
    assert 1 < history.diverged_step < 20
    for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy"):
        assert all(map(np.isfinite, getattr(history, name)))
    assert "diverged at step" in repr(history)


def test_divergence_between_the_last_step_and_validation_is_seen():
    """One step, whose loss is still finite, ruins the weights: the validation loss tells."""
    data = small(rows=16)
    net = ol.MLP([4, 8, 3], seed=0)
    history = ol.fit(net, ol.SGD(net.parameters, lr=1e38), data, epochs=1, batch_size=16)
    assert (history.status, history.diverged_step, history.epochs) == ("diverged", 1, 0)


def test_ctrl_c_leaves_the_epochs_before():
    net = ol.MLP([4, 8, 3], seed=0)

    def interrupt(network, optimizer, history):
        if history.epochs == 2:
            signal.raise_signal(signal.SIGINT)

    history = ol.fit(net, ol.Adam(net.parameters), small(), epochs=50, batch_size=10, callbacks=[interrupt])
    assert history.status == "interrupted"
    assert history.epochs == len(history.val_loss) == 2


def test_a_callback_can_stop_the_training():
    net = ol.MLP([4, 8, 3], seed=0)
    seen = []
    history = ol.fit(
        net,
        ol.Adam(net.parameters),
        small(),
        epochs=50,
        batch_size=10,
        callbacks=[lambda n, o, h: h.epochs == 3, lambda n, o, h: seen.append(h.epochs)],
    )
    assert (history.status, history.epochs, seen) == ("stopped", 3, [1, 2, 3])


def test_history_goes_to_json_and_lists_have_one_entry_an_epoch():
    import json

    net = ol.MLP([4, 8, 3], seed=0)
    schedule = [0.1, 0.1, 0.1, 0.2, 0.2, 0.2]
    history = ol.fit(net, ol.SGD(net.parameters, lr=lambda step: schedule[step]), small(30), epochs=2, batch_size=10)
    stored = json.loads(json.dumps(history.to_dict()))
    assert stored["lr"] == [0.1, 0.2]
    assert all(len(v) == 2 for name, v in stored.items() if isinstance(v, list) and not name.endswith("r2"))
    assert stored["train_r2"] == stored["val_r2"] == []


def test_regression_has_no_accuracy():
    data = replace(small(20), y_train=np.zeros((20, 2)), y_val=np.zeros((7, 2)))
    net = ol.MLP([4, 8, 2], seed=0)
    history = ol.fit(net, ol.Adam(net.parameters), data, epochs=2, batch_size=5, loss="mean_squared_error")
    assert history.train_accuracy == history.val_accuracy == []
    assert len(history.val_loss) == 2


def test_training_without_validation():
    net = ol.MLP([4, 8, 3], seed=0)
    history = ol.fit(net, ol.Adam(net.parameters), small(val=False), epochs=2, batch_size=10)
    assert history.val_loss == history.val_accuracy == []


@pytest.mark.slow
def test_no_array_of_layer_size_is_allocated_after_the_first_step():
    g = np.random.default_rng(0)
    rows, width = 256, 300
    for activation in ol.activations.ACTIVATIONS:
        net = ol.MLP([50, width, width, 10], activation=activation, batch_norm=True, dropout=0.1, seed=0)
        opt = ol.Adam(net.parameters)
        x = g.normal(size=(rows, 50)).astype("float32")
        y = g.integers(0, 10, rows)
        gradient = np.empty((rows, 10), "float32")

        def step(net=net, opt=opt, x=x, y=y, gradient=gradient):
            ol.losses.softmax_cross_entropy(net.forward(x, training=True), y, out=gradient)
            net.backward(gradient)
            opt.step()

        step()
        step()
        tracemalloc.start()
        for _ in range(3):
            step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < rows * width * 4 / 4, f"{activation}: {peak} bytes"  # a boolean mask would be just that


def test_a_smaller_batch_reuses_the_larger_ones_buffers():
    net = ol.MLP([4, 8, 3], seed=0)
    a = net.forward(np.ones((10, 4)), training=True)
    b = net.forward(np.ones((4, 4)), training=True)
    assert np.shares_memory(a, b)


@pytest.mark.parametrize(
    "kind", [int, bool, "float32", "uint8", lambda rows: rows.tolist()], ids=["int", "bool", "float32", "uint8", "list"]
)
def test_one_hot_labels_are_as_good_as_integers(kind):
    """Bit for bit, in training and in evaluation."""
    data = small()
    rows = [np.eye(3)[y] for y in (data.y_train, data.y_val)]
    y_train, y_val = [kind(y) if kind not in (int, bool) and callable(kind) else y.astype(kind) for y in rows]
    nets = [ol.MLP([4, 8, 3], seed=0) for _ in range(2)]
    made = [data, replace(data, y_train=y_train, y_val=y_val)]
    ours, theirs = (
        ol.fit(net, ol.Adam(net.parameters), d, epochs=2, batch_size=16) for net, d in zip(nets, made, strict=True)
    )
    np.testing.assert_array_equal(nets[0].parameters.data, nets[1].parameters.data)
    assert (ours.train_accuracy, ours.val_loss) == (theirs.train_accuracy, theirs.val_loss)
    assert ol.evaluate(nets[0], data.x_val, y_val) == ol.evaluate(nets[0], data.x_val, data.y_val)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.zeros((10, 4)), np.zeros(10, int)), r"data must be a Dataset, got tuple; write ol.Dataset\(x, y\)"),
        (np.zeros((10, 4)), "data must be a Dataset, got ndarray"),
        (None, "data must be a Dataset, got NoneType"),
        ({"x_train": 1}, "data must be a Dataset, got dict"),
    ],
)
def test_what_is_no_data_set_is_refused(data, message):
    net = ol.MLP([4, 3])
    for call in (
        lambda: ol.fit(net, ol.SGD(net.parameters), data),
        lambda: ol.find_lr(net, ol.SGD(net.parameters), data),
    ):
        with pytest.raises(ol.InputError, match=message):
            call()


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "coo_array"])
def test_sparse_matrices_are_refused_wherever_inputs_go(kind):
    x = getattr(sparse, kind)(np.eye(4))
    net = ol.MLP([4, 3])
    for call in (
        lambda: ol.Dataset(x, [0, 1, 2, 0]),
        lambda: ol.Dataset(np.eye(4), [0, 1, 2, 0], x, [0, 1, 2, 0]),
        lambda: ol.Dataset(np.eye(4), x),
        lambda: ol.evaluate(net, x, [0, 1, 2, 0]),
        lambda: ol.evaluate(net, np.eye(4), x),
        lambda: net.forward(x),
        lambda: net.predict(x),
        lambda: ol.gradcheck(net, x, [0, 1, 2, 0]),
        lambda: ol.Standardize.fit(x),
    ):
        with pytest.raises(
            ol.InputError, match=r"must be a dense array, got a sparse matrix; convert it with its method toarray\(\)"
        ):
            call()
    for wrong in (3, 2.5, np.array(1.0)):
        with pytest.raises(ol.InputError, match="must be an array of rows, got"):
            ol.Dataset(wrong, wrong)


BAD_DATA = [
    (dict(x_train=np.zeros((10, 5))), r"expected inputs of shape \(rows, 4\), got \(10, 5\)"),
    (dict(x_train=np.full((10, 4), "a")), "real numbers"),
    (dict(x_train=np.zeros((10, 4), complex)), "real numbers"),
    (dict(x_train=np.full((10, 4), np.nan)), "the training inputs hold NaN"),
    (dict(x_train=np.full((10, 4), np.inf)), "the training inputs hold NaN or infinite"),
    (dict(x_train=np.where(np.eye(10, 4), np.inf, 0)), "the training inputs hold NaN or infinite"),
    (dict(x_train=np.where(np.eye(10, 4), -np.inf, 0)), "the training inputs hold NaN or infinite"),
    (dict(x_val=np.full((10, 4), np.nan), y_val=np.zeros(10, int)), "the validation inputs hold NaN"),
    (dict(x_train=np.zeros((0, 4)), y_train=np.zeros(0, int)), "the training data are empty"),
    (dict(y_train=np.full(10, 3)), "labels must lie from 0 to 2, the network's outputs; got 3 to 3"),
    (dict(y_train=np.full(10, -1)), "labels must lie from 0 to 2"),
    (dict(y_train=np.zeros(10)), "labels must be integers from 0 to 2, got dtype float64"),
    (
        dict(y_train=np.zeros((10, 2), int)),
        r"expected 10 labels, one per row, or one-hot .* \(10, 3\), got shape \(10, 2\)",
    ),
    (dict(y_train=np.zeros((10, 3), int)), "must be one-hot: a single 1 in each row"),
    (dict(y_train=np.full((10, 3), 1 / 3)), "must be one-hot.*probabilities are not accepted"),
    (dict(y_train=np.ones((10, 3), bool)), "must be one-hot"),
    (dict(y_train=np.full((10, 3), np.nan)), "must be one-hot"),
]


@pytest.mark.parametrize(("change", "message"), BAD_DATA)
def test_data_that_cannot_be_trained_on_are_refused_before_the_first_step(change, message):
    net = ol.MLP([4, 3], seed=0)
    opt = ol.SGD(net.parameters)
    before = net.parameters.data.copy()
    data = replace(ol.Dataset(np.zeros((10, 4)), np.zeros(10, int)), **change)
    with pytest.raises(ol.InputError, match=message):
        ol.fit(net, opt, data, batch_size=5)
    np.testing.assert_array_equal(net.parameters.data, before)
    assert opt.t == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 51}, "batch_size 51 is larger than the 50 rows"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"epochs": "3"}, "epochs must be"),
        ({"seed": -1}, "a seed must be an integer of at least 0, got -1"),
        ({"seed": 1.5}, "a seed must be"),
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"loss": "mean_square_error"}, "did you mean 'mean_squared_error'"),
    ],
)
def test_bad_options_are_refused(options, message):
    net = ol.MLP([4, 3], seed=0)
    with pytest.raises(ol.InputError, match=message):
        ol.fit(net, ol.SGD(net.parameters), small(50), **{"batch_size": 10, **options})


def test_batch_norm_with_a_batch_of_one_is_refused_before_training():
    net = ol.MLP([4, 5, 3], batch_norm=True, seed=0)
    opt = ol.SGD(net.parameters)
    with pytest.raises(ol.InputError, match="50 rows in batches of 7 leave one"):
        ol.fit(net, opt, small(50), batch_size=7)
    assert opt.t == 0
    with pytest.raises(ol.InputError, match="batch of one row"):
        net.forward(np.zeros((1, 4)), training=True)
    assert net.forward(np.zeros((1, 4))).shape == (1, 3)


def test_another_networks_optimizer_is_refused():
    net, other = ol.MLP([4, 3]), ol.MLP([4, 3])
    with pytest.raises(ol.InputError, match="another network"):
        ol.fit(net, ol.SGD(other.parameters), small())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(sizes=[4]), "two or more positive integers"),
        (dict(sizes=[4, 0]), "positive integers"),
        (dict(sizes=[4, 2.5]), "positive integers"),
        (dict(sizes=[4, 3, 2], activation="rely"), "unknown activation 'rely'; did you mean 'relu'"),
        (dict(sizes=[4, 2], initializer="he_norml"), "did you mean 'he_normal'"),
        (dict(sizes=[4, 2], backend="numpi"), "unknown backend 'numpi'; did you mean 'numpy'"),
        (dict(sizes=[4, 2], dtype="float16"), "unknown dtype 'float16'; did you mean 'float64'"),
        (dict(sizes=[4, 3, 2], dropout=1.0), r"dropout rate must lie in \[0, 1\), got 1.0"),
        (dict(sizes=[4, 3, 2], dropout=-0.1), "dropout rate"),
        (dict(sizes=[4, 3, 2], batch_norm="middle"), "batch_norm must be"),
        (dict(sizes=[4, 2], seed="x"), "a seed must be"),
    ],
)
def test_networks_that_cannot_be_made_are_refused(arguments, message):
    with pytest.raises(ol.InputError, match=message):
        ol.MLP(**arguments)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ol.InputError, match="a dense layer of 4 inputs cannot follow one of 3 outputs"):
        ol.Network([ol.layers.Dense(2, 3), ol.layers.Dense(4, 1)])
    with pytest.raises(ol.InputError, match="at least one layer"):
        ol.Network([])


def test_progress_is_silent_off_a_terminal_and_there_when_asked_for(capfd):
    net = ol.MLP([4, 3], seed=0)
    ol.fit(net, ol.SGD(net.parameters), small(), epochs=2, batch_size=10)
    assert capfd.readouterr() == ("", "")
    ol.fit(net, ol.SGD(net.parameters), small(), epochs=2, batch_size=10, progress=True)
    assert capfd.readouterr().out == ""  # standard output stays free for results


def test_backward_needs_its_forward_pass():
    net = ol.MLP([4, 3], seed=0)
    with pytest.raises(ol.InputError, match="needs a forward pass"):
        net.backward(np.zeros((5, 3), "float32"))
    net.forward(np.zeros((5, 4)), training=True)
    with pytest.raises(ol.InputError, match=r"of shape \(5, 3\), got \(4, 3\)"):
        net.backward(np.zeros((4, 3), "float32"))
    with pytest.raises(ol.InputError, match="needs a forward pass"):
        net.copy().backward(np.zeros((5, 3), "float32"))
