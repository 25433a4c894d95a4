"""The estimators in scikit-learn's own hands, and beside scikit-learn's own perceptron."""

import doctest
import os
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import numpy as np
import pytest
from conftest import require
from scipy import stats

import optimlab as ol

clone = require("sklearn.base").clone
datasets = require("sklearn.datasets")
neural_network = require("sklearn.neural_network")
model_selection = require("sklearn.model_selection")
make_pipeline = require("sklearn.pipeline").make_pipeline
preprocessing = require("sklearn.preprocessing")
exceptions = require("sklearn.exceptions")
estimator_checks_generator = require("sklearn.utils.estimator_checks").estimator_checks_generator
MLPClassifier, MLPRegressor = (getattr(require("optimlab.sklearn"), name) for name in ("MLPClassifier", "MLPRegressor"))

ENDLESS = {"tol": 0.0, "n_iter_no_change": 10**6}
"""For scikit-learn's perceptron: nothing but max_iter ends training."""


def standardized(load):
    x, y = load(return_X_y=True)
    return preprocessing.scale(x), y


IRIS, CANCER, DIABETES = map(standardized, (datasets.load_iris, datasets.load_breast_cancer, datasets.load_diabetes))


def checks_of(*estimators):
    """Every check of scikit-learn's check_estimator; those of the array API are the next test's."""
    for estimator in estimators:
        for one, check in estimator_checks_generator(estimator):
            if "array_api" not in getattr(check, "func", check).__name__:
                name = re.sub(r"functools.partial\(<function (\w+) at \w+>", r"\1(", repr(check))
                yield pytest.param(one, check, id=f"{type(one).__name__} {name}")


@pytest.mark.parametrize("rows", [1, 2, 3, 201, 39_801])
def test_batch_norm_has_no_last_batch_of_one_row(rows):
    size = MLPRegressor(batch_norm=True)._batch_size(rows)
    assert rows % size != 1 or rows < 4
    assert 198 <= size <= 200 or size == rows


@pytest.mark.quick_each("estimator")
@pytest.mark.parametrize(("estimator", "check"), [*checks_of(MLPClassifier(), MLPRegressor())])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_scikit_learns_own_checks_of_the_array_api():
    """They are on only where SciPy was imported with this setting."""
    code = """
        import warnings
        warnings.simplefilter("ignore")
        from sklearn.utils.estimator_checks import estimator_checks_generator
        from optimlab.sklearn import MLPClassifier, MLPRegressor
        for estimator in (MLPClassifier(max_iter=5), MLPRegressor(max_iter=5)):
            for one, check in estimator_checks_generator(estimator):
                if "array_api" in getattr(check, "func", check).__name__:
                    check(one)
                    print("checked")
    """
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True, env=environment
    )
    assert set(told.stdout.split()) <= {"checked"}  # scikit-learn 1.6 has none for estimators such as these


@pytest.mark.slow
def test_the_page():
    page = Path(ol.__file__).parents[1] / "docs" / "estimator.md"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testfile(str(page), module_relative=False, optionflags=flags).failed == 0


class Start:
    """A callback that begins with the weights of scikit-learn's perceptron."""

    def __init__(self, other):
        values = {"W": other.coefs_, "b": other.intercepts_}
        self.weights = {f"dense{k}.{name}": w.copy() for name in values for k, w in enumerate(values[name], 1)}

    def on_begin(self, network, optimizer, history):
        for parameter in network.parameters:
            parameter.data[...] = self.weights[parameter.name]


@pytest.mark.parametrize(
    ("data", "factor", "activation"),
    [
        (IRIS, 1, "relu"),
        (CANCER, 1, "logistic"),
        ((DIABETES[0], preprocessing.scale(DIABETES[1])), 2, "tanh"),
        ((DIABETES[0], DIABETES[0][:, :3] ** 2), 2 / 3, "relu"),
    ],
    ids=["classes", "two classes", "a number", "numbers"],
)
def test_from_equal_weights_it_trains_as_scikit_learns_perceptron(data, factor, activation):
    """On whole batches, to rounding. Our mean squared error is ``factor`` times theirs; alpha and epsilon follow it."""
    kind = "Classifier" if factor == 1 else "Regressor"
    x, y = data
    given = {"hidden_layer_sizes": (12, 5), "activation": activation, "batch_size": len(x), "learning_rate_init": 0.01}
    theirs = getattr(neural_network, f"MLP{kind}")(
        **given, **ENDLESS, alpha=0.3, max_iter=1, warm_start=True, shuffle=False, random_state=0
    )
    with pytest.warns(exceptions.ConvergenceWarning):
        theirs.fit(x, y)
    start = Start(theirs)
    with pytest.warns(exceptions.ConvergenceWarning):
        theirs.set_params(max_iter=50).fit(x, y)
    ours = {"Classifier": MLPClassifier, "Regressor": MLPRegressor}[kind](
        **given,
        optimizer="adam:keras",
        optimizer_options={"eps": 1e-8 * factor},
        alpha=0.3 * factor,
        max_iter=50,
        tol=None,
        callbacks=[start],
    ).fit(x, y)
    method = "predict_proba" if factor == 1 else "predict"
    np.testing.assert_allclose(getattr(ours, method)(x), getattr(theirs, method)(x), rtol=1e-9, atol=1e-12)


def noisy():
    """A function plus noise of variance 0.25."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 4))
    return x, np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * rng.standard_normal(600)


def halved(outputs, targets):
    """Half of the mean squared error, which is scikit-learn's loss."""
    error = outputs - targets.reshape(outputs.shape)
    return (error**2).mean() / 2, error / error.size


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
def test_from_equal_weights_and_rows_it_trains_alike_over_epochs_with_a_smaller_last_batch(activation):
    """To rounding: five epochs of three batches of 32 rows and one of 4, in the order that ``ol.fit`` draws.

    The penalty is off: in a smaller batch scikit-learn's alpha weighs more.
    """
    x, y = DIABETES[0][:100], preprocessing.scale(DIABETES[1][:100])
    seen = []

    def recording(outputs, targets):
        seen.extend(targets.tolist())
        return halved(outputs, targets)

    given = {"hidden_layer_sizes": (12, 5), "activation": activation, "batch_size": 32, "learning_rate_init": 0.01}
    given |= {"alpha": 0.0, "random_state": 0}
    ours = {"optimizer": "adam:keras", "max_iter": 5, "tol": None}
    # steps of 1e-300 leave the weights as they were drawn
    with pytest.warns(exceptions.ConvergenceWarning):
        start = Start(neural_network.MLPRegressor(**{**given, "learning_rate_init": 1e-300}, max_iter=1).fit(x, y))
    rows = np.arange(100.0)
    MLPRegressor(**given, **ours, loss=recording).fit(x, rows)
    orders = np.array(seen[-500:], int).reshape(5, 100)
    assert all(sorted(order) == [*rows] for order in orders)
    theirs = neural_network.MLPRegressor(**given, shuffle=False)
    for order in orders:
        theirs.partial_fit(x[order], y[order])
    for loss, eps in ((None, 2e-8), (halved, 1e-8)):
        model = MLPRegressor(**given, **ours, loss=loss, optimizer_options={"eps": eps}, callbacks=[start]).fit(x, y)
        np.testing.assert_allclose(model.predict(x), theirs.predict(x), rtol=1e-9, atol=1e-12)
    other = theirs.partial_fit(x[orders[0]], y[orders[0]])
    assert abs(model.predict(x) - other.predict(x)).max() > 1e-3


@pytest.mark.quick_each("model", "activation")
@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic", ol.activations.get("sigmoid")])
@pytest.mark.parametrize("model", [MLPClassifier, MLPRegressor])
def test_initial_weights_and_biases_have_scikit_learns_distribution(model, activation):
    """Uniform within scikit-learn's bound, which its own draws fill, too."""
    given = {"hidden_layer_sizes": (400, 300), "learning_rate_init": 1e-300, "max_iter": 1, "random_state": 0}
    x, y = np.eye(8)[:, :3], np.arange(8) % 3
    kind = {MLPClassifier: "MLPClassifier", MLPRegressor: "MLPRegressor"}[model]
    named = activation if isinstance(activation, str) else "logistic"
    with pytest.warns(exceptions.ConvergenceWarning):
        theirs = getattr(neural_network, kind)(**given, activation=named).fit(x, y)
    ours = model(**given, activation=activation, tol=None).fit(x, y).network_
    for k, (weights, biases) in enumerate(zip(theirs.coefs_, theirs.intercepts_, strict=True), 1):
        bound = ((2 if named == "logistic" else 6) / sum(weights.shape)) ** 0.5
        for name, other in (("W", weights), ("b", biases)):
            values = ours.parameters[f"dense{k}.{name}"].data.ravel()
            assert values.size == other.size
            for drawn in (values, other.ravel()):
                assert abs(drawn).max() <= bound
                assert stats.kstest(drawn / bound, stats.uniform(-1, 2).cdf).pvalue > 0.001


def test_initializers_can_be_chosen():
    model = MLPRegressor((30,), initializer="he_normal", bias_initializer="zeros", max_iter=1, tol=None, random_state=0)
    given = {"learning_rate_init": 1e-300, "dtype": "float32"}
    network = model.set_params(**given).fit(*DIABETES).network_
    np.testing.assert_array_equal(network.parameters["dense1.b"].data, np.zeros(30))
    assert abs(network.parameters["dense1.W"].data).max() > (6 / 40) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "epochs", "seeds", "wrong"),
    [
        (DIABETES, 40, 10, {"learning_rate_init": 1e-4, "max_iter": 2}),
        (noisy(), 40, 10, {"learning_rate_init": 1e-4, "max_iter": 2}),
        (noisy(), 15, 24, {"initializer": "he_normal", "bias_initializer": "zeros"}),
    ],
    ids=["diabetes", "known noise", "known noise, early"],
)
def test_a_regression_reaches_scikit_learns_within_the_spread_of_its_seeds(data, epochs, seeds, wrong):
    """Equal settings; ``benchmarks/regression.py`` measures the same more precisely, and through ``ol.compare``.

    The mean R² on rows held out differs from scikit-learn's by less than one standard deviation of its seeds. Another
    training is told apart: one that has hardly begun, and early in training one from other initial weights.
    """
    x_train, x_test, y_train, y_test = model_selection.train_test_split(*data, test_size=0.3, random_state=0)
    x_test, x_train = (preprocessing.StandardScaler().fit(x_train).transform(x) for x in (x_test, x_train))
    y_test, y_train = ((y - y_train.mean()) / y_train.std() for y in (y_test, y_train))
    given = {"hidden_layer_sizes": (32,), "batch_size": 32, "learning_rate_init": 0.01, "max_iter": epochs}
    adam = {"optimizer": "adam:keras", "optimizer_options": {"eps": 2e-8}, "tol": None, "alpha": 0.2}

    def scores(model):
        return np.array(
            [model.set_params(random_state=k).fit(x_train, y_train).score(x_test, y_test) for k in range(seeds)]
        )

    ours, others = scores(MLPRegressor(**given, **adam)), scores(MLPRegressor(**{**given, **adam, **wrong}))
    with pytest.warns(exceptions.ConvergenceWarning):
        theirs = scores(neural_network.MLPRegressor(**given, **ENDLESS, alpha=0.1))
    spread = theirs.std(ddof=1)
    assert spread < 0.05
    assert abs(ours.mean() - theirs.mean()) < spread
    assert abs(others.mean() - theirs.mean()) > spread


def own_rule(w, g, m, *, lr=0.05, beta=0.9):
    m = beta * m + (1 - beta) * g
    return w - lr * np.sign(m), m


OPTIMIZERS = {
    "name": "nadam",
    "convention": "adam:torch",
    "class": ol.AdamW,
    "own rule": own_rule,
    "of whole tensors": "muon",
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_any_optimizer(optimizer):
    model = MLPClassifier((16,), optimizer=optimizer, batch_size=8, max_iter=30, tol=None, random_state=0)
    copied = clone(model)
    assert copied.get_params()["optimizer"] == optimizer
    assert copied.fit(*IRIS).score(*IRIS) > 0.9
    twin = pickle.loads(pickle.dumps(copied))
    np.testing.assert_array_equal(twin.predict_proba(IRIS[0]), copied.predict_proba(IRIS[0]))


def test_an_optimizers_options():
    model = MLPClassifier(
        optimizer="adam:torch",
        optimizer_options={"beta1": 0.8, "groups": {"biases": {"weight_decay": 0.0}}},
        learning_rate_init=0.02,
        max_iter=1,
        tol=None,
    ).fit(*IRIS)
    made = model.optimizer_
    assert (made.convention, made.lr, made.hyperparameters["beta1"]) == ("torch", 0.02, 0.8)
    assert made.groups == {"biases": {"weight_decay": 0.0}}


def test_schedules_and_callbacks_survive_a_clone():
    schedule = ol.schedules.Warmup(ol.schedules.CosineAnnealing(0.05, total=90, per="step"), steps=10)
    watch = ol.Diagnostics(every=5)
    model = MLPClassifier((16,), schedule=schedule, callbacks=(watch,), batch_size=30, max_iter=20, random_state=0)
    copied = clone(model).fit(*IRIS)
    assert copied.schedule == schedule
    assert copied.history_.lr[-1] == schedule(99)
    assert copied.n_iter_ == 20  # a schedule is followed to its end, without a warning
    assert not watch.measurements
    assert copied.callbacks[0].measurements  # the copy's own
    model.fit(*IRIS)
    assert len(watch.measurements) == 20


def test_a_schedule_by_name_is_as_long_as_the_training():
    given = {"batch_size": 40, "max_iter": 5}  # 4 steps an epoch
    model = MLPClassifier(schedule="cosine(warmup=0.25)", learning_rate_init=0.1, **given).fit(*IRIS)
    rate = model.optimizer_.hyperparameters["lr"]
    assert [rate(0), rate(5), rate(20)] == [0.0, 0.1, 0.0]
    model = MLPClassifier(schedule="linear", optimizer="momentum", **given).fit(*IRIS)
    assert model.optimizer_.hyperparameters["lr"](0) == 0.01  # the default of the rule
    model = MLPClassifier(
        schedule="plateau(patience=0, factor=0.5)", learning_rate_init=1e-6, max_iter=40, random_state=0
    )
    assert model.fit(*IRIS).history_.lr[-1] < 1e-6
    assert model.set_params(early_stopping=True).fit(*IRIS).history_.lr[-1] < 1e-6


@pytest.mark.slow
def test_in_a_pipeline_a_search_and_two_processes(tmp_path):
    x, y = datasets.load_iris(return_X_y=True)
    model = MLPClassifier((16,), batch_size=16, max_iter=15, tol=None, random_state=0)
    grid = {"mlpclassifier__optimizer": ["adam", "sgd:torch"], "mlpclassifier__learning_rate_init": [0.01, 1e-4]}
    search = model_selection.GridSearchCV(
        make_pipeline(preprocessing.StandardScaler(), model), grid, cv=2, n_jobs=2
    ).fit(x, y)
    assert search.best_params_ == {"mlpclassifier__optimizer": "adam", "mlpclassifier__learning_rate_init": 0.01}
    assert model_selection.cross_val_score(search.best_estimator_, x, y, cv=3).min() > 0.85
    joblib.dump(search.best_estimator_, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(x), search.predict(x))


def test_two_classes_have_one_logit():
    labels = np.array(["no", "yes"])[CANCER[1]]
    model = MLPClassifier((16,), batch_size=64, learning_rate_init=0.01, max_iter=20, tol=None, random_state=0)
    model.fit(CANCER[0], labels)
    assert model.network_.outputs == 1
    assert model.score(CANCER[0], labels) > 0.97
    both = model.predict_proba(CANCER[0])
    np.testing.assert_array_equal(model.classes_[(both[:, 1] > 0.5).astype(int)], model.predict(CANCER[0]))
    np.testing.assert_allclose(both.sum(axis=1), 1)
    two = clone(model).set_params(loss="softmax_cross_entropy").fit(CANCER[0], labels)
    assert two.network_.outputs == 2
    assert two.score(CANCER[0], labels) > 0.97


def test_losses_and_sizes_may_be_objects():
    for loss in ("softmax_cross_entropy", ol.losses.softmax_cross_entropy, ol.losses.LOSSES["softmax_cross_entropy"]):
        model = MLPClassifier(np.array([8, 4]), loss=loss, max_iter=1, tol=None, random_state=0).fit(*IRIS)
        assert repr(model.network_) == "<MLP 4-8-4-3, 91 parameters, float64>"


def margin(outputs, targets):
    """Weston and Watkins's hinge loss of several classes."""
    rows = np.arange(len(outputs))
    over = np.maximum(outputs - outputs[rows, targets][:, None] + 1, 0)
    over[rows, targets] = 0
    gradient = np.sign(over)
    gradient[rows, targets] = -gradient.sum(axis=1)
    return over.sum(axis=1).mean(), gradient / len(outputs)


def absolute(outputs, targets):
    error = outputs - targets.reshape(outputs.shape)
    return np.abs(error).mean(), np.sign(error) / error.size


def test_a_loss_of_ones_own_is_scored_as_the_estimator_is():
    given = {"batch_size": 16, "learning_rate_init": 0.01, "early_stopping": True, "random_state": 0}
    for x, y in (IRIS, CANCER):
        model = pickle.loads(pickle.dumps(clone(MLPClassifier((16,), loss=margin, **given)).fit(x, y)))
        assert model.score(x, y) > 0.9
        assert model.history_.val_accuracy
        assert model.network_.outputs == len(model.classes_)
    y = preprocessing.scale(DIABETES[1])
    ours, named = (
        MLPRegressor((16,), loss=loss, **given).fit(DIABETES[0], y) for loss in (absolute, "mean_absolute_error")
    )
    np.testing.assert_allclose(ours.history_.val_r2, named.history_.val_r2, rtol=1e-6)
    assert ours.score(DIABETES[0], y) > 0.4


@pytest.mark.parametrize("model", [MLPClassifier, MLPRegressor])
def test_early_stopping_returns_to_the_best_epoch(model):
    data = IRIS if model is MLPClassifier else (DIABETES[0], preprocessing.scale(DIABETES[1]))
    kept = {}

    class Keep:
        def __call__(self, network, optimizer, history):
            kept[history.epochs] = network.parameters.data.copy()

    fitted = model(
        (32,), learning_rate_init=0.05, early_stopping=True, batch_size=32, callbacks=[Keep()], random_state=1
    ).fit(*data)
    name = "val_accuracy" if model is MLPClassifier else "val_r2"
    values = getattr(fitted.history_, name)
    assert fitted.history_.status == "stopped"
    assert fitted.n_iter_ == len(values)
    # the first of those that no later one exceeds by more than tol
    best = 0
    for k, value in enumerate(values):
        best = k if value > values[best] + 1e-4 else best
    assert fitted.n_iter_ == best + 1 + 10
    np.testing.assert_array_equal(fitted.network_.parameters.data, kept[best + 1])


def test_the_training_loss_ends_training():
    model = MLPClassifier((16,), batch_size=32, learning_rate_init=0.05, tol=0.01, n_iter_no_change=3, random_state=0)
    model.fit(*IRIS)
    losses = model.history_.train_loss
    assert model.history_.status == "stopped"
    assert min(losses[-3:]) > min(losses[:-3]) - 0.01
    with pytest.warns(exceptions.ConvergenceWarning, match="ended after max_iter=3 epochs while it still improved"):
        model.set_params(max_iter=3).fit(*IRIS)


def test_dtypes_follow_the_inputs():
    for given, dtype in (("float32", "float32"), ("float64", "float64"), ("int64", "float64")):
        x = (10 * IRIS[0]).astype(given)
        model = MLPRegressor(max_iter=1, tol=None).fit(x, IRIS[1])
        assert model.network_.dtype == model.predict(x).dtype == dtype
    assert MLPRegressor(max_iter=1, tol=None, dtype="float32").fit(*IRIS).predict(IRIS[0]).dtype == "float32"


def test_batches_leave_no_single_row_to_batch_norm():
    x, y = np.random.default_rng(0).normal(size=(201, 3)), np.arange(201) % 2
    assert MLPClassifier(batch_norm=True, dropout=0.1, max_iter=1, tol=None).fit(x, y).n_iter_ == 1


def test_targets_keep_their_shape():
    for y in (DIABETES[1], DIABETES[1][:, None], np.stack([DIABETES[1]] * 2, axis=1)):
        assert MLPRegressor(max_iter=1, tol=None).fit(DIABETES[0], y).predict(DIABETES[0]).shape == y.shape


BAD = {
    "hidden_layer_sizes": ([8, 0], r"a size in hidden_layer_sizes must be a whole number of at least 1, got 0"),
    "hidden_layer_sizes ": (None, r"a size in hidden_layer_sizes must be a whole number of at least 1, got None"),
    "activation": ("rellu", r"unknown activation 'rellu'; did you mean 'relu'"),
    "optimizer": ("adamm", r"unknown optimizer 'adamm'; did you mean 'adam'"),
    "optimizer ": ("adam:tensorflow", r"unknown convention 'tensorflow'"),
    "optimizer  ": (3, r"optimizer takes a name such as 'adam:torch', a class such as ol.Adam, or a rule .* got 3"),
    "optimizer_options": ({"beta": 0.5}, r"unknown hyperparameter of adam 'beta'"),
    "optimizer_options ": ({"lr": 0.5}, r"give the learning rate as learning_rate_init"),
    "optimizer_options  ": (0.5, r"optimizer_options are hyperparameters by name, .* got 0.5"),
    "learning_rate_init": ("fast", r"learning_rate_init must be a finite number of at least 0, got 'fast'"),
    "schedule": ("cosinus", r"unknown schedule 'cosinus'; did you mean 'cosine'"),
    "schedule ": (0.1, r"a schedule is a name with options"),
    "loss ": (
        ol.losses.mean_absolute_error,
        r"MLPClassifier needs a loss for classes, and mean_absolute_error has none",
    ),
    "loss  ": (3, r"unknown loss 3"),
    "loss": ("mean_squared_error", r"MLPClassifier needs a loss for classes, and mean_squared_error has none"),
    "initializer": ("he", r"unknown initializer 'he'"),
    "bias_initializer": ("zero", r"unknown initializer of biases 'zero'; did you mean"),
    "alpha": (-1, r"alpha must be a finite number of at least 0, got -1"),
    "dropout": (1, r"the dropout rate must lie in \[0, 1\), got 1"),
    "batch_size": (0, r"batch_size must be a whole number of at least 1, got 0"),
    "max_iter": (0.5, r"max_iter must be a whole number of at least 1, got 0.5"),
    "tol": (-1, r"tol must be a finite number of at least 0, got -1"),
    "n_iter_no_change": (0, r"n_iter_no_change must be a whole number of at least 1, got 0"),
    "callbacks": ([ol.EarlyStopping], r"write EarlyStopping\(...\)"),
    "callbacks ": (ol.Diagnostics(), r"callbacks must be a list"),
    "dtype": ("float16", r"float16"),
    "random_state": ("seed", r"seed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_parameters(name):
    value, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**{name.strip(): value}).fit(*IRIS)


def test_bad_input():
    with pytest.raises(ol.InputError, match=r"y has one class, 1: a classifier needs two or more"):
        MLPClassifier().fit(IRIS[0], np.ones(150, int))
    with pytest.raises(ol.InputError, match=r"softmax_cross_entropy is a loss for classes: use MLPClassifier"):
        MLPRegressor(loss="softmax_cross_entropy").fit(*IRIS)
    with pytest.raises(ol.InputError, match=r"has its own rate: leave out learning_rate_init"):
        MLPRegressor(schedule=lambda step: 0.1, learning_rate_init=0.1).fit(*IRIS)
    with pytest.raises(ol.InputError, match=r"validation_fraction must lie in \(0, 1\), got 1"):
        MLPRegressor(early_stopping=True, validation_fraction=1).fit(*IRIS)
    with pytest.raises(exceptions.NotFittedError):
        MLPRegressor().predict(IRIS[0])


def test_divergence_is_an_error_and_so_a_missing_score_in_a_search():
    model = MLPRegressor(optimizer="sgd", learning_rate_init=1e6, max_iter=50)
    with pytest.raises(ol.InputError, match=r"training diverged at step \d+, .* lower learning_rate_init, or scale"):
        model.fit(*DIABETES)


def test_ctrl_c_keeps_what_was_learned():
    def stop(network, optimizer, history):
        if history.epochs == 2:
            raise KeyboardInterrupt

    with pytest.warns(exceptions.ConvergenceWarning, match="training was interrupted"):
        model = MLPClassifier(callbacks=[stop]).fit(*IRIS)
    assert model.predict(IRIS[0]).shape == (150,)


def test_what_to_install_is_said():
    code = """
        import sys
        sys.modules["sklearn"] = None
        try:
            import optimlab.sklearn
        except ValueError as error:
            print(error)
    """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert (
        told.stdout == "optimlab.sklearn needs scikit-learn: in a checkout of optimlab, run pip install '.[sklearn]'\n"
    )
