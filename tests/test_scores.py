"""Binary classes and numbers to predict: losses, scores and predictions, by scikit-learn and PyTorch."""

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from loss_cases import by_torch, case

import optimlab as ol
from optimlab.nn.losses import usual

G = np.random.default_rng(0)
X = G.normal(size=(90, 5)).astype("float32")
SIDES = (X[:, 0] + X[:, 1] ** 2 > 1).astype("int64")
NUMBERS = (3 * X[:, 0] - X[:, 1] + 10 + 0.1 * G.normal(size=90)).astype("float32")
PAIRS = np.column_stack([NUMBERS, 100 * X[:, 2]])
ENGINES = ["numpy", "compiled"]


def data(targets):
    return ol.Dataset(X[:60], targets[:60], X[60:], targets[60:])


def trained(targets, engine="numpy", epochs=3, outputs=1, **options):
    net = ol.MLP([5, 8, outputs], seed=0, backend=engine, dropout=options.pop("dropout", 0.0))
    history = ol.fit(net, ol.Adam(net.parameters, lr=0.05), data(targets), epochs=epochs, batch_size=16, **options)
    return net, history


@pytest.mark.parametrize("z", [0.0, 30.0, -30.0, 700.0, -700.0, 1e300, -1e300])
@pytest.mark.parametrize("label", [0, 1])
def test_binary_cross_entropy_is_exact_however_large_the_logit(z, label):
    value, gradient = ol.losses.binary_cross_entropy(np.array([[z]]), [label])
    away = -z if label else z  # ln(1 + e^away)
    assert value == pytest.approx(np.logaddexp(0, away), rel=1e-13, abs=0)
    assert gradient[0, 0] == pytest.approx((1 - 2 * label) * scipy.special.expit(away), rel=1e-13, abs=0)


def test_binary_cross_entropy_is_the_softmax_one_of_zero_and_the_logit():
    z, labels = case("binary_cross_entropy", 20)
    value, gradient = ol.losses.binary_cross_entropy(z, labels)
    other, pair = ol.losses.softmax_cross_entropy(np.column_stack([np.zeros(20), z]), labels)
    assert value == pytest.approx(other, rel=1e-14)
    np.testing.assert_allclose(gradient[:, 0], pair[:, 1], rtol=1e-12)


def test_the_mean_absolute_error_has_pytorchs_slope_of_zero_where_it_vanishes():
    outputs = np.array([[1.0, 2.0, 3.0]])
    value, gradient = ol.losses.mean_absolute_error(outputs, outputs)
    assert (value, gradient.tolist()) == (0.0, by_torch("mean_absolute_error", outputs, outputs)[1].tolist())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_logit_of_zero_is_the_first_class_and_a_larger_one_the_second(engine):
    net = ol.MLP([5, 1], initializer="zeros", backend=engine)
    assert ol.evaluate(net, X, SIDES)[1] == np.mean(SIDES == 0) != 0.5
    net.parameters["dense1.b"].data[...] = 0.5
    assert ol.evaluate(net, X, SIDES)[1] == np.mean(SIDES == 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_single_logit_is_trained_scored_and_predicted(engine):
    net, history = trained(SIDES, engine, epochs=20)
    assert history.val_loss[-1] < history.val_loss[0]
    z = net.logits(X[60:])[:, 0].astype("float64")
    loss, accuracy = ol.evaluate(net, X[60:], SIDES[60:])
    assert loss == pytest.approx(sklearn.metrics.log_loss(SIDES[60:], scipy.special.expit(z)), rel=1e-5)
    assert accuracy == history.val_accuracy[-1] == sklearn.metrics.accuracy_score(SIDES[60:], z > 0)
    assert net.predict(X[60:]).tolist() == (z > 0).astype(int).tolist()
    p = net.predict_proba(X[60:])
    np.testing.assert_allclose(p, np.column_stack([scipy.special.expit(-z), scipy.special.expit(z)]), rtol=1e-5)


def test_a_network_that_ends_in_sigmoid_gives_its_outputs_as_probabilities():
    net = ol.Network([ol.layers.Dense(5, 1), ol.layers.Activate(1, "sigmoid")], seed=0)
    with pytest.raises(ol.InputError, match="binary_cross_entropy takes logits, but this network ends in sigmoid"):
        ol.evaluate(net, X, SIDES)
    net.classifies = True
    p = net.logits(X)
    np.testing.assert_array_equal(net.predict_proba(X), np.column_stack([1 - p, p]))
    assert net.predict(X).tolist() == (p[:, 0] > 0.5).astype(int).tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error"])
@pytest.mark.parametrize("targets", [NUMBERS, NUMBERS[:, None], PAIRS], ids=["numbers", "column", "pairs"])
def test_r2_is_scikit_learns(engine, loss, targets):
    outputs = 2 if targets is PAIRS else 1
    net, history = trained(targets, engine, outputs=outputs, loss=loss)
    expected = sklearn.metrics.r2_score(targets[60:], net.predict(X[60:]), multioutput="variance_weighted")
    value, score = ol.evaluate(net, X[60:], targets[60:], loss)
    peer = getattr(sklearn.metrics, loss)(targets[60:].reshape(30, -1), net.predict(X[60:]))
    assert (value, score) == pytest.approx((peer, expected), rel=1e-4)
    assert history.val_r2[-1] == score
    assert len(history.train_r2) == 3
    assert history.train_accuracy == history.val_accuracy == []


def test_r2_of_training_is_that_of_the_losses_of_its_batches():
    _, history = trained(NUMBERS)
    variance = NUMBERS[:60].astype("float64").var()
    assert history.train_r2 == pytest.approx([1 - loss / variance for loss in history.train_loss], rel=1e-6)


def test_r2_of_equal_targets_is_one_if_they_are_met_and_zero_if_not():
    net, zeros = ol.MLP([5, 1], initializer="zeros"), np.zeros(90)
    assert ol.evaluate(net, X, zeros)[1] == sklearn.metrics.r2_score(zeros, zeros) == 1
    assert ol.evaluate(net, X, zeros + 1)[1] == sklearn.metrics.r2_score(zeros + 1, zeros) == 0


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "mean_absolute_error"])
def test_engines_take_the_same_steps(loss):
    targets = SIDES if loss == "binary_cross_entropy" else NUMBERS
    curves = [trained(targets, engine, loss=loss, dropout=0.2)[1] for engine in ENGINES]
    for name in ("train_loss", "val_loss", "train_accuracy", "val_r2"):
        np.testing.assert_allclose(*(getattr(history, name) for history in curves), rtol=2e-4)


def test_a_callback_can_watch_r2_and_takes_the_highest():
    best = ol.BestCheckpoint("val_r2")
    net, history = trained(NUMBERS, epochs=8, callbacks=[best, ol.ReduceLROnPlateau("val_r2", patience=1)])
    assert ol.evaluate(net, X[60:], NUMBERS[60:])[1] == max(history.val_r2)
    with pytest.raises(ol.InputError, match=r"no val_accuracy .*choose one of train_loss, train_r2, val_loss, val_r2"):
        trained(NUMBERS, callbacks=[ol.EarlyStopping("val_accuracy")])


def test_a_run_with_r2_goes_on_bit_for_bit(tmp_path):
    path, whole = tmp_path / "run.npz", trained(NUMBERS, epochs=4)
    trained(NUMBERS, epochs=2, callbacks=[ol.Checkpoint(path, every=3)])
    again = trained(NUMBERS, epochs=4, resume=path, callbacks=[ol.Checkpoint(tmp_path / "other.npz", every=3)])
    assert again[1].train_r2 == whole[1].train_r2
    assert again[1].val_r2 == whole[1].val_r2


def test_averages_of_binary_networks_are_of_their_probabilities():
    nets = [trained(SIDES, dropout=0.3)[0] for _ in range(2)]
    both = ol.Ensemble(nets).predict_proba(X)
    np.testing.assert_allclose(both, (nets[0].predict_proba(X) + nets[1].predict_proba(X)) / 2, rtol=1e-6)
    mean = ol.mc_predict(nets[0], X, samples=40).mean
    assert mean.shape == (90, 2)
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("targets", "outputs", "name"),
    [
        (SIDES, 1, "binary_cross_entropy"),
        (SIDES, 2, "softmax_cross_entropy"),
        (NUMBERS, 1, "mean_squared_error"),
        (NUMBERS[:, None].tolist(), 1, "mean_squared_error"),
        ([True, False], 1, "binary_cross_entropy"),
    ],
)
def test_the_usual_loss(targets, outputs, name):
    assert usual(targets, outputs).name == name


@pytest.mark.parametrize(
    ("targets", "outputs", "message"),
    [
        (SIDES + 1, 1, r"integer labels 0 and 1; to predict numbers, use loss='mean_squared_error'"),
        (NUMBERS, 3, r"labels must be integers from 0 to 2.*to predict numbers"),
        (PAIRS, 1, r"expected targets of the outputs' shape \(90, 1\), got \(90, 2\)"),
        (np.where(X[:, 0] > 0, np.nan, NUMBERS), 1, "targets must be finite real numbers"),
    ],
)
def test_targets_that_do_not_fit_say_what_to_write(targets, outputs, message):
    with pytest.raises(ol.InputError, match=message):
        ol.evaluate(ol.MLP([5, outputs]), X, targets)


def test_binary_cross_entropy_needs_one_output():
    with pytest.raises(ol.InputError, match="takes one output, a logit, but there are 2"):
        ol.evaluate(ol.MLP([5, 2]), X, SIDES, "binary_cross_entropy")


def test_a_learning_rate_is_found_and_gradients_are_checked_with_the_usual_loss():
    net = ol.MLP([5, 8, 1], seed=0)
    assert ol.find_lr(net, ol.SGD(net.parameters), data(NUMBERS), batch_size=16, steps=40).suggestion
    for targets in (SIDES, NUMBERS):
        assert ol.gradcheck(net, X[:9], targets[:9]).relative_error < 1e-6


@pytest.mark.parametrize(
    ("dataset", "task"),
    [
        (ol.Dataset(X, SIDES), "classification"),
        (ol.Dataset(X, SIDES, classes=("no", "yes")), "binary"),
        (ol.Dataset(X, SIDES, classes=("a", "b", "c")), "classification"),
        (ol.Dataset(X, NUMBERS), "regression"),
        (ol.Dataset(X, PAIRS), "regression"),
    ],
)
def test_the_task_of_a_data_set(dataset, task):
    assert dataset.task == task
