"""Evaluations keep out of each other's way and of a training step's, and their answers are what users expect."""

import copy
import pickle
import threading

import numpy as np
import pytest
import scipy.sparse
from loss_cases import outputs_of

import optimlab as ol
from optimlab.lab.explanation import source
from optimlab.nn.activations import Activation, get, softmax, softmax_backward
from optimlab.nn.layers import Activate, BatchNorm, Dense, Dropout, Layer, Standardized
from optimlab.nn.losses import ACCURACY
from optimlab.training.replicas import stack

G = np.random.default_rng(0)
X = G.normal(size=(40, 6)).astype("float32")
Y = np.arange(40) % 3


def network(backend="numpy", **options):
    return ol.MLP([6, 32, 16, 3], **{"activation": "gelu", "dropout": 0.3, "backend": backend, "seed": 0, **options})


EVALUATIONS = {
    "predict": lambda net, x: net.predict(x),
    "predict_proba": lambda net, x: net.predict_proba(x),
    "logits": lambda net, x: net.logits(x, batch_size=7),
    "forward": lambda net, x: net.forward(x),
    "evaluate": lambda net, x: np.array(ol.evaluate(net, x, np.zeros(len(x), int))),
    "mc_predict": lambda net, x: ol.mc_predict(net, x, samples=2).mean,
    "ensemble": lambda net, x: ol.Ensemble([net, net]).predict_proba(x),
}


def in_threads(*work):
    """Run functions at once, each in a thread, and raise what one of them raises."""
    raised = []

    def guarded(call):
        try:
            call()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


@pytest.mark.parametrize("name", EVALUATIONS)
@pytest.mark.parametrize("backend", [b for b in ol.backends.names() if b != "cupy"])
def test_evaluations_in_several_threads_are_right_while_another_trains(backend, name):
    net, evaluated = network(backend, activation="relu"), EVALUATIONS[name]
    for layer in net.layers:
        layer.hold = True  # one dropout mask, so that the gradient is always the same; it is not recorded
    inputs = [G.normal(size=(rows, 6)).astype("float32") for rows in (40, 40, 33)]
    expected = [np.array(evaluated(net, x)) for x in inputs]
    _, gradient = ol.losses.softmax_cross_entropy(net.forward(X, training=True), Y)
    net.backward(gradient)
    right = net.parameters.grad.copy()

    def evaluations(k):
        for _ in range(15):
            np.testing.assert_array_equal(evaluated(net, inputs[k]), expected[k])

    def training():
        for _ in range(30):
            ol.losses.softmax_cross_entropy(net.forward(X, training=True), Y, out=gradient)
            net.backward(gradient)
            np.testing.assert_array_equal(net.parameters.grad, right)

    in_threads(training, *(lambda k=k: evaluations(k) for k in range(3)))


@pytest.mark.parametrize("name", [*EVALUATIONS, "statistics"])
@pytest.mark.parametrize("training", [True, False])
def test_an_evaluation_between_forward_and_backward_changes_nothing(name, training):
    net = network(batch_norm=True)
    for layer in net.layers:
        layer.hold = True
    _, gradient = ol.losses.softmax_cross_entropy(net.forward(X, training=training), Y)
    gradient = gradient.copy()
    net.backward(gradient)
    expected = net.parameters.grad.copy()
    net.parameters.grad[...] = 0
    other = 2 * X[::-1]
    if name == "statistics":
        ol.recompute_statistics(net, other)
    elif name == "forward":  # a forward pass of this thread is one that backward may follow
        in_threads(lambda: net.forward(other))
    else:
        EVALUATIONS[name](net, other)
    net.backward(gradient)
    np.testing.assert_array_equal(net.parameters.grad, expected)


def test_backward_follows_the_last_forward_of_its_thread_or_the_last_training():
    net, gradient = network(), np.ones((40, 3), "float32")
    net.forward(X, training=True)
    in_threads(lambda: net.backward(gradient))
    trained = net.parameters.grad.copy()
    net.backward(gradient)
    np.testing.assert_array_equal(net.parameters.grad, trained)
    net.forward(X[:5])
    with pytest.raises(ol.InputError, match=r"expected the gradient of outputs of shape \(5, 3\)"):
        net.backward(gradient)
    for wrong in ([[1.0] * 3] * 5, None, 1.0):
        with pytest.raises(ol.InputError, match="expected the gradient of outputs of shape"):
            net.backward(wrong)
    with pytest.raises(ol.InputError, match="backward needs a forward pass before it"):
        copy.deepcopy(net).backward(gradient)


PASS_THROUGH = {
    "dropout": lambda: [Dropout(6, 0.5)],
    "two": lambda: [Dropout(6, 0.5), Dropout(6, 0.1)],
    "identity": lambda: [Activate(6, "identity")],
    "own": lambda: [Own(6)],
}


class Own(Layer):
    """Gives back a part of what it is given, and holds private attributes of its own."""

    def __init__(self, features):
        self.inputs = self.outputs = features
        self._power, self._scratch = 1, None

    def forward(self, x, training):
        self._seen = x
        return x[:, :] if self._power == 1 else x**self._power

    def backward(self, dy, input_gradient=True):
        return dy


@pytest.mark.parametrize("kind", PASS_THROUGH)
def test_the_callers_inputs_stay_theirs(kind):
    net, x = ol.Network(PASS_THROUGH[kind]()), X.copy()
    ol.evaluate(net, x, np.zeros(40, int))
    ol.evaluate(net, x, np.zeros((40, 6)), loss="mean_squared_error")
    net.logits(x)[...] = 7
    net.predict_proba(x)[...] = 7
    if kind != "own":
        net.forward(x)[...] = 7
    np.testing.assert_array_equal(x, X)


def test_an_evaluation_sees_every_attribute_as_it_is_now():
    net = ol.Network([Own(6), BatchNorm(6)], seed=0)
    plain = net.logits(X)
    net.layers[0]._power = 2
    np.testing.assert_allclose(net.logits(X), plain * X, rtol=1e-5)
    net.layers[1].eps = 3.0
    np.testing.assert_allclose(net.logits(X), X**2 / 2, rtol=1e-5)
    assert copy.deepcopy(net).layers[0]._power == 2
    assert not hasattr(copy.deepcopy(net).layers[0], "_seen")


def other_activation(net):
    net.layers[1].activation = ol.activations.get("tanh")


def no_bias(net):
    net.layers[0].use_bias = False


SETTINGS = {
    "activation": (other_activation, lambda z, b: np.tanh(z + b)),
    "bias": (no_bias, lambda z, b: np.maximum(z, 0)),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("backend", [b for b in ol.backends.names() if b != "cupy"])
def test_layers_that_a_backend_joins_are_what_they_were_set_to_last(backend, name):
    change, function = SETTINGS[name]
    net = ol.Network([Dense(6, 8), Activate(8, "relu"), Dense(8, 3)], seed=0, dtype="float64", backend=backend)
    net.parameters["dense1.b"].data[...] = 0.5
    net.logits(X)
    net.forward(X, training=True)
    change(net)
    w1, w2, b1, b2 = (net.parameters[name].data for name in ("dense1.W", "dense2.W", "dense1.b", "dense2.b"))
    expected = function(X.astype("float64") @ w1, b1) @ w2 + b2
    np.testing.assert_allclose(net.logits(X), expected, atol=1e-12)
    np.testing.assert_allclose(net.forward(X, training=True), expected, atol=1e-12)
    ol.gradcheck(net, X, Y)


class Composed(Layer):
    """x + f(f(f(x))): holds three layers of its own, and a dictionary for the pass at hand."""

    def __init__(self, features):
        self.inputs = self.outputs = features
        self.first = Activate(features, "tanh")
        self.rest = {"others": [Activate(features, "gelu"), Activate(features, "softmax")]}
        self._saved = {}

    def inner(self):
        return self.first, *self.rest["others"]

    def build(self, name, dtype, backend, seed):
        super().build(name, dtype, backend, seed)
        for layer in self.inner():
            layer.build(name, dtype, backend, seed)

    def forward(self, x, training):
        self._saved["x"] = x
        y = x
        for layer in self.inner():
            y = layer.forward(y, training)
        return x + y

    def backward(self, dy, input_gradient=True):
        dx = dy
        for layer in reversed(self.inner()):
            dx = layer.backward(dx)
        return dy + dx + 0 * self._saved["x"]


def test_what_a_layer_holds_is_told_apart_as_the_layer_is():
    net = ol.Network([Dense(6, 5), Composed(5), Dense(5, 3)], seed=0, dtype="float64", backend="numpy")
    ol.gradcheck(net, X, Y)
    gradients = []
    for evaluated in (lambda: None, lambda: net.predict(2 * X[:7])):
        outputs = net.forward(X, training=True)
        evaluated()
        evaluated()
        net.backward(np.ones_like(outputs))
        gradients.append(net.parameters.grad.copy())
    np.testing.assert_array_equal(*gradients)
    np.testing.assert_array_equal(net.logits(X), net.forward(X, training=True))  # an evaluation has all of its layers
    for layer in copy.deepcopy(net).layers[1].inner():
        assert not hasattr(layer, "_x")
    with pytest.raises(ol.InputError, match="already belongs to a network"):
        ol.Network([net.layers[1].first])
    twins = [net.copy(), net.copy()]
    together = stack(twins)
    x = np.stack([X, 2 * X]).astype("float64")
    for training in (False, True):
        found = together.forward_unchecked(x, training)
        for k, twin in enumerate(twins):
            np.testing.assert_array_equal(found[k], twin.forward(x[k], training))
    together.backward(np.ones_like(found))
    for k, twin in enumerate(twins):
        twin.backward(np.ones_like(found[k]))
        np.testing.assert_array_equal(together.parameters.grad.reshape(2, -1)[k], twin.parameters.grad)


COUNTS = {
    "logits": lambda n: network().logits(X, batch_size=n),
    "mc_predict": lambda n: ol.mc_predict(network(), X, samples=n),
    "mc_predict by rows": lambda n: ol.mc_predict(network(), X, batch_size=n),
    "recompute_statistics": lambda n: ol.recompute_statistics(network(batch_norm=True), X, n),
    "gradcheck": lambda n: ol.gradcheck(network(), X, Y, directions=n),
    "fit": lambda n: ol.fit(net := network(), ol.SGD(net.parameters), ol.Dataset(X, Y), batch_size=n),
    "epochs": lambda n: ol.fit(net := network(), ol.SGD(net.parameters), ol.Dataset(X, Y), epochs=n),
    "diagnostics": lambda n: ol.Diagnostics(every=n),
    "snapshots": lambda n: ol.Snapshots(every=n),
}


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "3", None])
@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_whole_numbers_of_at_least_one(name, n):
    with pytest.raises(ol.InputError, match=f"must be a whole number of at least 1, got {n!r}"):
        COUNTS[name](n)


# ---- what predict and its siblings answer ----


def trained(outputs, loss, targets):
    net = ol.MLP([6, 8, outputs], dropout=0.2, seed=0)
    ol.fit(net, ol.SGD(net.parameters), ol.Dataset(X, targets), epochs=1, batch_size=40, loss=loss)
    return net


def own_loss(classifies):
    def call(backend, outputs, targets, out, buffers):
        out[...] = outputs
        return np.array([(outputs**2).mean()])

    return ol.losses.Loss(
        "own", call, lambda backend, targets, shape: np.asarray(targets), ACCURACY if classifies else None
    )


REGRESSIONS = {
    "one output": lambda: ol.MLP([6, 8, 1], dropout=0.2, seed=0),
    "one output, trained": lambda: trained(1, "mean_squared_error", np.ones((40, 1))),
    "three outputs, trained": lambda: trained(3, "mean_squared_error", np.ones((40, 3))),
    "own loss": lambda: trained(3, own_loss(False), np.ones((40, 3))),
    "a copy": lambda: copy.deepcopy(trained(3, "mean_squared_error", np.ones((40, 3)))),
}
CLASSES = {
    "new": lambda: ol.MLP([6, 8, 3], dropout=0.2, seed=0),
    "trained": lambda: trained(3, "softmax_cross_entropy", Y),
    "own loss": lambda: trained(3, own_loss(True), Y),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_regression_predicts_values_of_its_targets_shape(name):
    net = REGRESSIONS[name]()
    values = net.logits(X)
    np.testing.assert_array_equal(net.predict(X), values)
    np.testing.assert_array_equal(ol.Ensemble([net, net]).predict(X), values)
    for refused in (net.predict_proba, ol.Ensemble([net]).predict_proba):
        with pytest.raises(ol.InputError, match="returns class probabilities, but this network has no classes"):
            refused(X)
    passes = ol.mc_predict(net, X, samples=400)
    np.testing.assert_allclose(passes.mean, values, atol=12 * passes.std.max() / 20)
    assert (passes.std > 0).any()
    assert passes.entropy is passes.mutual_information is None


@pytest.mark.parametrize("name", CLASSES)
def test_a_classifier_predicts_classes(name):
    net = CLASSES[name]()
    e = np.exp(net.logits(X).astype("float64"))
    np.testing.assert_allclose(net.predict_proba(X), e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(net.predict(X), e.argmax(axis=1))
    np.testing.assert_array_equal(ol.Ensemble([net]).predict(X), e.argmax(axis=1))
    assert ol.mc_predict(net, X, samples=2).entropy.shape == (40,)


def test_what_the_last_loss_says_is_kept_in_a_file(tmp_path):
    net = trained(3, "mean_squared_error", np.ones((40, 3)))
    ol.save_checkpoint(tmp_path / "net.npz", net)
    fresh = ol.MLP([6, 8, 3], dropout=0.2, seed=1)
    ol.load_checkpoint(tmp_path / "net.npz", fresh)
    np.testing.assert_array_equal(fresh.predict(X), net.logits(X))


def test_an_ensemble_is_of_one_kind():
    with pytest.raises(ol.InputError, match="mixes classifiers and regressions"):
        ol.Ensemble([CLASSES["new"](), REGRESSIONS["three outputs, trained"]()])


ENDS = {
    "softmax": [Activate(3, "softmax")],
    "sigmoid": [Activate(3, "sigmoid")],
    "then dropout": [Activate(3, "softmax"), Dropout(3, 0.1)],
    "then nothing": [Activate(3, get("sigmoid")), Activate(3, "identity")],
    "one's own": [Activate(3, Activation("mine", softmax, softmax_backward, gives_probabilities=True))],
}


@pytest.mark.parametrize("end", ENDS)
def test_softmax_twice_is_refused(end):
    net = ol.Network([Dense(6, 3), *copy.deepcopy(ENDS[end])], seed=0)
    data = ol.Dataset(X, Y)
    for call in (
        lambda: ol.fit(net, ol.SGD(net.parameters), data, batch_size=40),
        lambda: ol.evaluate(net, X, Y),
        lambda: ol.gradcheck(net, X, Y),
        lambda: ol.find_lr(net, ol.SGD(net.parameters), data, batch_size=40),
    ):
        with pytest.raises(ol.InputError, match=r"takes logits.*leave out that last layer"):
            call()
    # under a loss of probabilities it is right, and its outputs are the probabilities
    ol.fit(net, ol.SGD(net.parameters), ol.Dataset(X, np.eye(3)[Y]), epochs=1, batch_size=40, loss="mean_squared_error")
    net.classifies = True
    np.testing.assert_array_equal(net.predict_proba(X), net.logits(X))


@pytest.mark.parametrize("layers", [[], [Activate(3, "softmax"), Dense(3, 3)], [Activate(3, "tanh")]])
def test_softmax_elsewhere_and_other_ends_are_fine(layers):
    assert ol.evaluate(ol.Network([Dense(6, 3), *copy.deepcopy(layers)], seed=0), X, Y)[0] > 0


def test_classes_need_an_output_each():
    net, loss = ol.MLP([6, 1]), "softmax_cross_entropy"
    for call in (
        lambda: ol.fit(net, ol.SGD(net.parameters), ol.Dataset(X, np.zeros(40, int)), batch_size=40, loss=loss),
        lambda: ol.evaluate(net, X, np.zeros(40, int), loss=loss),
    ):
        with pytest.raises(ol.InputError, match=r"needs one output per class.*use two outputs"):
            call()


# ---- what is given ----

GIVEN = {
    "sparse": (scipy.sparse.csr_matrix(X), "sparse matrix"),
    "sparse array": (scipy.sparse.coo_array(X), "sparse matrix"),
    "ragged": ([[1.0] * 6, [1.0]], "cannot be converted to an array"),
    "number": (1.0, "."),
    "nothing": (None, "."),
    "text": ("abc", "."),
    "generator": ((row for row in X), "."),
    "dictionary": ({"x": X}, "."),
}
TAKES_INPUTS = {
    "forward": lambda net, x: net.forward(x),
    "training": lambda net, x: net.forward(x, training=True),
    "logits": lambda net, x: net.logits(x),
    "predict": lambda net, x: net.predict(x),
    "predict_proba": lambda net, x: net.predict_proba(x),
    "evaluate": lambda net, x: ol.evaluate(net, x, Y),
    "mc_predict": lambda net, x: ol.mc_predict(net, x),
    "recompute_statistics": lambda net, x: ol.recompute_statistics(net, x),
    "gradcheck": lambda net, x: ol.gradcheck(net, x, Y),
    "Standardize.fit": lambda net, x: ol.Standardize.fit(x),
    "Standardize": lambda net, x: ol.Standardize.fit(X)(x),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", TAKES_INPUTS)
def test_inputs_that_are_no_array_are_one_clear_error(name, given):
    x, message = GIVEN[given]
    if (name, given) == ("evaluate", "ragged"):
        message = "rows of inputs"
    with pytest.raises(ol.InputError, match=message):
        TAKES_INPUTS[name](network(batch_norm=True), x)


@pytest.mark.parametrize("loss", ol.losses.LOSSES)
@pytest.mark.parametrize("given", GIVEN)
def test_targets_that_are_no_array_are_one_clear_error(loss, given):
    y, _ = GIVEN[given]
    with pytest.raises(ol.InputError):
        ol.evaluate(ol.MLP([6, outputs_of(loss)]), X, y, loss=loss)
    with pytest.raises(ol.InputError):
        ol.losses.LOSSES[loss].check(ol.backends.get("numpy"), y, (40, outputs_of(loss)))


FLOAT32 = ["float32", np.float32, np.dtype("float32"), "f4", ">f4", "single"]
FLOAT64 = ["float64", np.float64, np.dtype("float64"), "f8", float, "double"]


@pytest.mark.parametrize(("name", "dtype"), [*(("float32", d) for d in FLOAT32), *(("float64", d) for d in FLOAT64)])
def test_a_dtype_may_be_given_as_numpy_takes_it(name, dtype):
    def sgd(w, g, *, lr=0.1):
        return w - lr * g

    for net in (ol.MLP([6, 3], dtype=dtype), ol.Network([Dense(6, 3)], dtype=dtype), ol.MLP([6, 3]).copy(dtype)):
        assert net.dtype == net.parameters.dtype == net.layers[0].dtype == name
        assert net.parameters.data.dtype == net.logits(X).dtype == np.dtype(name)
    assert source("adam", "c", dtype=dtype) == source("adam", "c", dtype=name)
    ol.assert_rule_matches(sgd, sgd, steps=4, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float16", np.int32, "no such", 3, object(), complex, np.longdouble])
def test_other_dtypes_are_refused(dtype):
    for call in (lambda: ol.MLP([6, 3], dtype=dtype), lambda: ol.MLP([6, 3]).copy(dtype)):
        with pytest.raises(ol.InputError, match="unknown dtype"):
            call()


def test_an_activation_given_to_a_dense_layer_says_what_to_write():
    with pytest.raises(ol.InputError, match=r"put Activate\(32, 'relu'\) after Dense\(6, 32\)"):
        Dense(6, 32, activation="relu")


# ---- copies of single layers ----


def cubic(**options):
    layer = Own(3)
    layer._power = 3
    return layer


LAYERS = {
    "dense": lambda: Dense(3, 3),
    "norm": lambda: BatchNorm(3),
    "activation": lambda: Activate(3, "tanh"),
    "dropout": lambda: Dropout(3, 0.5),
    "standardized": lambda: Standardized([1, 2, 3], [4, 5, 6]),
    "own": cubic,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_copied_layer_works_in_another_network_with_what_it_has_learned(kind, dtype):
    net = ol.Network([Dense(6, 3), LAYERS[kind]()], seed=0)
    net.parameters.data[...] = G.normal(size=net.parameters.data.size)
    net.forward(X, training=True)
    hidden = net.layers[0].double().forward(X, False)
    for duplicate in (copy.deepcopy, copy.copy, lambda layer: pickle.loads(pickle.dumps(layer))):
        if kind == "own" and duplicate not in (copy.deepcopy, copy.copy):
            continue
        alone = ol.Network([duplicate(net.layers[1])], seed=5, dtype=dtype)
        np.testing.assert_allclose(alone.logits(hidden), net.logits(X), rtol=1e-4, atol=1e-5)
        before = net.logits(X)
        alone.forward(hidden, training=True)
        alone.backward(np.ones((40, 3), dtype))
        alone.parameters.data[...] = 0
        np.testing.assert_array_equal(net.logits(X), before)
        with pytest.raises(ol.InputError, match="already belongs to a network"):
            ol.Network([alone.layers[0]])


def test_a_layer_of_a_network_that_could_not_be_made_can_be_used_again():
    layer = Dense(6, 3)
    with pytest.raises(ol.InputError, match="gave shape"):
        ol.Network([layer, Dense(3, 2, initializer=lambda generator, shape: np.zeros(7))])
    assert ol.Network([layer], seed=0).parameters.data.any()


class Counted(Layer):
    """Adds the mean of all it has been trained on; holds it where its state's names do not say."""

    def __init__(self, features):
        self.inputs = self.outputs = features

    def build(self, name, dtype, backend, seed):
        super().build(name, dtype, backend, seed)
        self._memory = {"sums": [backend.zeros(self.inputs, dtype)], "steps": backend.zeros(1, "int64")}

    def state(self):
        return {"mean": self._memory["sums"][0], "count": self._memory["steps"]}

    def forward(self, x, training):
        if training:
            self._memory["steps"] += 1
            self._memory["sums"][0] += (x.mean(axis=-2) - self._memory["sums"][0]) / self._memory["steps"]
        return x + self._memory["sums"][0]

    def backward(self, dy, input_gradient=True):
        return dy


def test_a_copy_in_another_dtype_has_every_state_in_it_wherever_the_layer_holds_it():
    net = ol.Network([Dense(6, 6), Counted(6), BatchNorm(6)], seed=0)
    for _ in range(3):
        net.forward(X, training=True)
    twin = net.copy("float64")
    for mine, theirs in zip(net.layers, twin.layers, strict=True):
        for name, values in theirs.state().items():
            assert values.dtype == ("int64" if name == "count" else "float64")
            np.testing.assert_array_equal(values, mine.state()[name])
            assert not np.shares_memory(values, mine.state()[name])
    assert twin.logits(X).dtype == "float64"
    np.testing.assert_allclose(twin.logits(X), net.logits(X), rtol=1e-4, atol=1e-5)
    twin.forward(X, training=True)
    assert twin.layers[1].state()["count"] == net.layers[1].state()["count"] + 1


def test_replicas_have_every_state_wherever_the_layer_holds_it():
    nets = [ol.Network([Counted(6)], seed=seed) for seed in range(2)]
    for k, net in enumerate(nets):
        net.layers[0].state()["mean"][...] = k
    together = ol.training.replicas.stack(nets)
    np.testing.assert_array_equal(together.forward_unchecked(np.stack([X, X]), False)[1], X + 1)
