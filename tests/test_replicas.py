"""Replicas of one network trained at once: on a CPU, each has what it has alone, bit for bit."""

import inspect
from dataclasses import replace

import device
import numpy as np
import pytest
from test_cupy import blas, folder, machine  # noqa: F401  # fixtures

import optimlab as ol
from optimlab import rules
from optimlab.nn.activations import ACTIVATIONS
from optimlab.training import replicas
from optimlab.training.diagnostics import update_ratios
from optimlab.training.replicas import evaluate_replicas, fit_replicas, stack
from optimlab.training.snapshot import snapshot
from optimlab.training.turns import replica

ROWS = {"train": 70, "val": 33, "test": 29}


def noisy(seed=1):
    """Three noisy classes, of which a short last batch is left."""
    rng, parts = np.random.default_rng(seed), {}
    for split, rows in ROWS.items():
        y = np.arange(rows) % 3
        parts |= {f"x_{split}": rng.normal(y[:, None], 1.5, (rows, 5)).astype("float32"), f"y_{split}": y}
    return ol.Dataset(**parts)


SHARED, OTHER = noisy(), noisy(2)


class Alone:
    """Networks trained one after the other, as :func:`fit` does."""

    def __init__(self, make, rule, settings, data, seeds, epochs=3, batch_size=16, loss="softmax_cross_entropy"):
        self.networks, self.histories, self.ratios = [], [], []
        for own, one, seed in zip(settings, data, seeds, strict=True):
            net, before, found = make(seed), [], []

            class Ratios:
                def on_step(self, network, optimizer, before=before):
                    before[:] = [*before[-1:], network.parameters.data.copy()]

                def __call__(self, network, optimizer, history, before=before, found=found):
                    found.append(update_ratios(network, before[0]))

            before.append(net.parameters.data.copy())
            optimizer = ol.Optimizer(net.parameters, rule, **own)
            options = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "callbacks": [Ratios()], "loss": loss}
            self.histories.append(ol.fit(net, optimizer, one, progress=False, **options))
            self.networks.append(net)
            self.ratios.append(found)


def compared(history):
    """All of a history but the times; as text, so that NaN equals NaN and 0 is not -0."""
    return repr(replace(history, seconds=[]).to_dict())


def assert_as_alone(make=None, rule=rules.textbook.adam, settings=None, data=None, seeds=None, **options):
    """By default two seeds with data of their own, at three rates."""
    settings = [{"lr": lr} for lr in (0.0, 0.003, 0.1) for _ in range(2)] if settings is None else settings
    seeds = [k % 2 for k in range(len(settings))] if seeds is None else seeds
    data = [(SHARED, OTHER)[seed % 2] for seed in seeds] if data is None else data
    make = make or network()
    alone = Alone(make, rule, settings, data, seeds, **options)
    kept, ratios = [], [[] for _ in seeds]

    def watch(network, histories, before):
        kept[:] = [network]
        for r, history in enumerate(histories):
            if len(ratios[r]) < history.epochs:
                ratios[r].append(update_ratios(network, before, r))

    nets = [make(seed) for seed in seeds]
    options = {"epochs": 3, "batch_size": 16, **options}
    histories = fit_replicas(nets, rule, settings, data, seeds=seeds, watch=watch, **options)
    assert list(map(compared, histories)) == list(map(compared, alone.histories))
    for r, history in enumerate(histories):
        assert len(history.seconds) == history.epochs
        if history.status == "completed":
            for name, values in alone.networks[r].learned().items():
                np.testing.assert_array_equal(snapshot(kept[0])[name][r].reshape(values.shape), values)
            assert ratios[r] == alone.ratios[r]
    return histories


BACKENDS = sorted({"numpy", ol.backends.get("auto").name})


def network(sizes=(5, 7, 6, 3), **options):
    return lambda seed: ol.MLP(list(sizes), **{"seed": seed, "backend": "numpy", **options})


RULES = [
    pytest.param(rules.find(name, convention), id=f"{convention}.{name}")
    for convention in rules.CONVENTIONS
    for name in rules.names(convention)
]


@pytest.mark.quick("textbook.adam-numpy", "torch.nadam-compiled", "keras.adamw-compiled")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_in_every_convention(rule, backend):
    assert_as_alone(network(backend=backend), rule=rule, epochs=2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_replicas_with_different_rules(backend):
    chosen = [rules.textbook.sgd] * 2 + [rules.torch.adamw] * 3 + [rules.textbook.sgd]
    settings = [{"lr": 0.1 * (k + 1)} for k in range(6)]
    nets = [network(backend=backend, dropout=0.2)(seed) for seed in range(6)]
    found = fit_replicas(nets, chosen, settings, OTHER, seeds=range(6), epochs=2, batch_size=16)
    for k, (rule, history) in enumerate(zip(chosen, found, strict=True)):
        alone = Alone(network(backend=backend, dropout=0.2), rule, settings[k : k + 1], [OTHER], [k], epochs=2)
        assert compared(history) == compared(alone.histories[0])


@pytest.mark.quick("relu-numpy", "tanh-compiled", "gelu-compiled")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"softmax"}))
def test_every_activation(activation, backend):
    assert_as_alone(network(activation=activation, backend=backend), rule=rules.textbook.momentum)


@pytest.mark.quick_each("network_options", "options", "backend")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("network_options", "options"),
    [
        ({"batch_norm": True}, {}),
        ({"batch_norm": "after", "convention": "torch"}, {}),
        ({"batch_norm": True, "dtype": "float64"}, {}),
        ({"dropout": 0.3}, {}),
        ({"dropout": 0.3, "batch_norm": True, "dtype": "float64"}, {}),
        ({"standardize": ol.Standardize(np.full(5, 0.5), np.arange(5.0))}, {}),
        ({"dtype": "float64"}, {}),
        ({"sizes": (5, 3)}, {}),
        ({"use_bias": False}, {}),
        ({}, {"batch_size": 70}),
        ({}, {"batch_size": 35}),
        ({}, {"batch_size": 69}),
        ({}, {"batch_size": 1}),
        ({}, {"batch_size": 64, "epochs": 1}),
        ({}, {"data": [SHARED] * 6}),
    ],
)
def test_every_shape_of_a_problem(network_options, options, backend):
    assert_as_alone(network(**network_options, backend=backend), **options)


def of_targets(data, target):
    """The same inputs with other targets, made of the classes."""
    targets = {f"y_{split}": target(getattr(data, f"y_{split}")) for split in ROWS}
    return replace(data, **targets, classes=())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("loss", "outputs", "target"),
    [
        ("mean_squared_error", 2, lambda y: np.stack([y + 0.5, y**2], axis=1).astype("float32")),
        ("mean_absolute_error", 1, lambda y: y[:, None].astype("float32")),
        ("binary_cross_entropy", 1, lambda y: (y > 0).astype("int64")),
    ],
    ids=["squared error", "absolute error", "two classes"],
)
def test_every_loss(loss, outputs, target, backend):
    data = [of_targets((SHARED, OTHER)[k % 2], target) for k in range(6)]
    assert_as_alone(network((5, 6, outputs), backend=backend), data=data, loss=loss)


@pytest.mark.skipif(len(BACKENDS) < 2, reason="Numba is not installed")
def test_on_the_compiled_backend_replicas_take_turns_unless_a_layer_is_custom_code(monkeypatch):
    class Own(ol.nn.layers.Dense):
        def forward(self, x, training):
            return super().forward(x, training)

    def own(seed):
        net = network(backend="compiled")(seed)
        net.layers[0].__class__ = Own
        return net

    made = []
    for name in ("InTurns", "EvaluatedInTurns"):
        real = getattr(replicas, name)
        monkeypatch.setattr(replicas, name, lambda *args, real=real: made.append(real(*args)) or made[-1])
    assert_as_alone(network(backend="compiled"))
    assert [type(one).__name__ for one in made] == ["InTurns", "EvaluatedInTurns"]
    made.clear()
    assert_as_alone(own)
    assert not made


@pytest.mark.slow
def test_more_rows_than_go_through_the_network_at_a_time_and_updates_longer_than_a_block():
    """Digits, all of which validate; the update of thirty replicas works in several blocks."""
    digits = ol.datasets.load("digits")
    data = ol.Dataset(digits.x_train, digits.y_train, digits.x_train, digits.y_train)
    settings = [{"lr": lr} for lr in (0.001, 0.03, 1.0) for _ in range(10)]
    for backend in BACKENDS:
        make = network((64, 64, 10), backend=backend)
        assert_as_alone(make, settings=settings, data=[data] * 30, seeds=[*range(10)] * 3, epochs=1)


@pytest.mark.quick_each("batch_size", "dtype", "backend")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_size", [16, 35, 69, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_at_different_steps(batch_size, dtype, backend):
    """In the middle of an epoch or at its end, where the validation loss is the first that is not finite."""
    found = assert_as_alone(
        network(activation="identity", dtype=dtype, backend=backend),
        rules.textbook.momentum,
        [{"lr": lr} for lr in np.geomspace(0.1, 3e3, 10).tolist()],
        [SHARED] * 10,
        [0] * 10,
        batch_size=batch_size,
        epochs=6,
    )
    assert len({history.diverged_step for history in found}) >= 3


def test_replicas_that_differ_in_every_hyperparameter():
    """One with a factor that is exactly 1."""
    chosen = [{"beta1": 0.0, "eps": 1e-3}, {"beta1": 0.5, "beta2": 0.9}, {}]
    settings = [{"lr": lr, "weight_decay": 0.1, **own} for lr, own in zip((0.01, 1.0, 0.1), chosen, strict=True)]
    assert_as_alone(rule=rules.torch.adamw, settings=settings)


def test_a_history_does_not_depend_on_its_company():
    def histories(rates, seeds):
        nets, settings = [network()(seed) for seed in seeds], [{"lr": lr} for lr in rates]
        found = fit_replicas(nets, rules.textbook.adam, settings, SHARED, seeds=seeds, epochs=2, batch_size=16)
        return list(map(compared, found))

    rates, seeds = [0.01, 1e30, 0.1, 0.01], [0, 1, 2, 3]
    assert histories(rates, seeds) == histories(rates[:2], seeds[:2]) + histories(rates[2:], seeds[2:])


# --- on a GPU


@pytest.mark.slow
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, rules.textbook.sgd),
        ({"activation": "tanh", "batch_norm": True}, rules.textbook.momentum),
        ({"dropout": 0.3, "activation": "mish"}, rules.textbook.sgd),
        ({"dtype": "float64", "batch_norm": "after"}, rules.textbook.nadam),
        ({"standardize": ol.Standardize(np.full(5, 0.5), np.ones(5))}, rules.torch.adamw),
    ],
    ids=["plain", "tanh and batch norm", "mish and dropout", "float64", "standardized"],
)
def test_on_a_gpu_each_replica_trains_as_alone(options, rule, graph, machine, blas):  # noqa: F811
    """Data, seeds and hyperparameters of their own; the same stream of dropout's numbers."""
    machine.shared = 0  # see test_blocks.py for shared memory
    seeds, rates = [0, 1, 2, 3], [0.01, 0.03, 0.003, 0.02]
    beta = {name: 0.5 for name in ("beta1", "beta") if name in inspect.signature(rule).parameters}
    settings = [{"lr": lr, **{name: value + lr for name, value in beta.items()}} for lr in rates]
    data = [SHARED, OTHER, OTHER, SHARED]
    make = network(**{**options, "backend": "cupy"})
    kept = []
    histories = fit_replicas(
        [make(seed) for seed in seeds],
        rule,
        settings,
        data,
        seeds=seeds,
        epochs=3,
        batch_size=16,
        graph=graph,
        watch=lambda network, histories, before: kept.append(network),
    )
    assert machine.graphs == graph
    tolerance = 1e-10 if options.get("dtype") == "float64" else 2e-4
    for r, seed in enumerate(seeds):
        net = make(seed)
        optimizer = ol.Optimizer(net.parameters, rule, **settings[r])
        history = ol.fit(net, optimizer, data[r], epochs=3, batch_size=16, seed=seed)
        for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy"):
            assert getattr(histories[r], name) == pytest.approx(getattr(history, name), rel=tolerance, abs=tolerance)
        for name, values in net.learned().items():
            found = kept[0].learned()[name].get()[r].reshape(values.shape)
            np.testing.assert_allclose(found, values.get(), rtol=tolerance, atol=tolerance)


def test_on_a_gpu_a_step_of_many_replicas_is_as_many_launches_as_one_of_few(machine, blas):  # noqa: F811
    machine.shared = 0  # see test_blocks.py for shared memory

    def launches(count):
        before = len(machine.launches)
        nets = [network(dropout=0.1, backend="cupy")(seed) for seed in range(count)]
        rates = [{"lr": 0.01 * (k + 1)} for k in range(count)]
        fit_replicas(nets, rules.textbook.adam, rates, SHARED, seeds=range(count), epochs=1, batch_size=35)
        return len(machine.launches) - before

    assert launches(2) == launches(7) < 120


@pytest.mark.slow
def test_on_a_gpu_those_that_diverge_are_named_at_their_step(machine, blas):  # noqa: F811
    machine.shared = 0  # see test_blocks.py for shared memory
    rates, make = [0.01, 1e3, 1e12, 30.0], network(activation="identity", backend="cupy")
    settings = [{"lr": lr} for lr in rates]
    nets = [make(0) for _ in rates]
    histories = fit_replicas(nets, rules.textbook.momentum, settings, SHARED, seeds=[0] * 4, epochs=6, batch_size=16)
    for own, history in zip(settings, histories, strict=True):
        net = make(0)
        optimizer = ol.Optimizer(net.parameters, rules.textbook.momentum, **own)
        alone = ol.fit(net, optimizer, SHARED, epochs=6, batch_size=16)
        assert (history.status, history.diverged_step, history.steps, history.epochs) == (
            alone.status,
            alone.diverged_step,
            alone.steps,
            alone.epochs,
        )
    assert len({history.diverged_step for history in histories}) >= 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cublas_multiplies_stacks_of_matrices(dtype, machine, blas):  # noqa: F811
    from optimlab.backends import cublas

    rng, b = np.random.default_rng(0), ol.backends.get("cupy")
    a, c = rng.normal(size=(3, 4, 5)).astype(dtype), rng.normal(size=(3, 5, 6)).astype(dtype)
    cases = [(a, c, False, False), (a.swapaxes(1, 2), c, True, False), (a, c.swapaxes(1, 2), False, True)]
    for first, second, turned, also in cases:
        left, right = (b.asarray(np.ascontiguousarray(values)) for values in (first, second))
        left, right = left.swapaxes(1, 2) if turned else left, right.swapaxes(1, 2) if also else right
        out = b.asarray(np.full((3, 4, 6), np.nan, dtype))
        cublas.CuBLAS(device.Stream(machine)).matmul(left, right, out)
        np.testing.assert_allclose(out.get(), a @ c, rtol=1e-5)
    with pytest.raises(ol.InputError, match="cannot multiply shapes"):
        cublas.CuBLAS(device.Stream(machine)).matmul(left[:2], right, out)


# --- by hand


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([], "at least one network"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 4, 1])], "same layers, shapes and dtype"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 3, 1], dtype="float64")], "same layers, shapes and dtype"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 3, 1], activation="tanh")], "same layers, shapes and dtype"),
        ([ol.MLP([2, 3, 1]), ol.MLP([2, 3, 1], dropout=0.1)], "same layers"),
        ([ol.MLP([2, 3, 1], dropout=0.2), ol.MLP([2, 3, 1], dropout=0.1)], "same layers"),
    ],
)
def test_networks_that_are_not_alike_are_refused(networks, message):
    with pytest.raises(ol.InputError, match=message):
        stack(networks)


class Scaled(ol.layers.Layer):
    """A layer of one's own, with a number and an array of its own."""

    prefix = "scaled"

    def __init__(self, features, factor, shift=0.0):
        self.inputs = self.outputs = features
        self.factor, self.shift = factor, np.full(features, shift, "float32")

    def forward(self, x, training):
        return self.factor * x + self.shift

    def backward(self, dy, input_gradient=True):
        return self.factor * dy


@pytest.mark.parametrize("others", [{"factor": 5.0}, {"factor": 2.0, "shift": 1.0}])
def test_layers_of_ones_own_must_have_the_same_numbers(others):
    made = [ol.Network([ol.layers.Dense(4, 3), Scaled(3, **own)]) for own in ({"factor": 2.0}, others)]
    stack([made[0], made[0].copy()])
    with pytest.raises(ol.InputError, match="the same layers"):
        stack(made)


@pytest.mark.parametrize("backend", BACKENDS)
def test_data_sets_may_share_their_inputs_or_their_targets(backend):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 60, 4)).astype("float32"), random.integers(0, 3, (2, 60))
    each = [ol.Dataset(x[i], y[j], x[i][:20], y[j][:20]) for i, j in ((0, 0), (0, 1), (1, 1), (0, 0))]

    def networks():
        return [ol.MLP([4, 5, 3], seed=0, backend=backend) for _ in each]

    options = {"epochs": 2, "batch_size": 16}
    settings = [{"lr": 0.1}] * 4
    found = fit_replicas(networks(), rules.textbook.sgd, settings, each, seeds=[0] * 4, **options)
    for net, data, history in zip(networks(), each, found, strict=True):
        alone = ol.fit(net, ol.SGD(net.parameters, lr=0.1), data, seed=0, **options)
        assert (history.train_loss, history.val_accuracy) == (alone.train_loss, alone.val_accuracy)
    assert found[0].train_loss != found[1].train_loss


def test_a_rule_without_a_learning_rate():
    def fixed(w, g, *, step=0.1):
        return w - step * g

    nets = [ol.MLP([64, 10], seed=seed) for seed in (0, 1)]
    found = fit_replicas(nets, fixed, [{}, {"step": 0.2}], ol.datasets.load("digits"), seeds=[0, 1], epochs=1)
    assert [history.status for history in found] == ["completed"] * 2


def test_frozen_parameters_are_refused():
    nets = [ol.MLP([2, 3, 1], seed=seed) for seed in (0, 1)]
    nets[1].parameters.freeze("weights")
    with pytest.raises(ol.InputError, match="frozen"):
        stack(nets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": [{}]}, "2 networks need as many settings, seeds and data sets, got 1, 2, 2"),
        ({"seeds": [0]}, "2 networks need as many settings, seeds and data sets, got 2, 1, 2"),
        ({"loss": "mean_squared_error"}, "targets"),
        ({"batch_size": 5000}, "larger than the 1077 rows"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"settings": [{"lr": 0.1}, {"beta": 0.9}]}, "unknown hyperparameter of sgd 'beta'"),
        ({"settings": [{}, {"lr": ol.schedules.StepLR(0.1, 10)}]}, "lr must be.*replicas take only numbers"),
        ({"settings": [{}, {"lr": -0.1}]}, "lr must be a finite number of at least 0, got -0.1$"),
    ],
)
def test_what_replicas_cannot_be_trained_with(options, message):
    nets = [ol.MLP([64, 10], seed=seed) for seed in (0, 1)]
    options = {"settings": [{}, {}], "seeds": [0, 1], **options}
    with pytest.raises(ol.InputError, match=message):
        fit_replicas(nets, rules.textbook.sgd, data=ol.datasets.load("digits"), **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_networks_given_stay_as_they_are_and_the_stack_is_evaluated_as_they_are(backend):
    data = ol.datasets.load("digits")
    nets = [ol.MLP([64, 12, 10], seed=seed, batch_norm=True, dropout=0.5, backend=backend) for seed in (0, 1, 2)]
    before = [net.parameters.data.copy() for net in nets]
    streams = [net.layers[3].generator.state for net in nets]
    test = [(data.x_test, data.y_test), (data.x_val, data.y_val), (data.x_test, data.y_test)]
    for given in ([test[0]] * 3, test):
        losses, accuracies = evaluate_replicas(stack(nets), given)
        expected = [ol.evaluate(net, x, y) for net, (x, y) in zip(nets, given, strict=True)]
        assert list(zip(losses, accuracies, strict=True)) == expected
        for r, (net, (x, _)) in enumerate(zip(nets, given, strict=True)):
            np.testing.assert_array_equal(replica(stack(nets), r).predict(x), net.predict(x))
    fit_replicas(nets, rules.textbook.adam, [{}] * 3, data, seeds=[0, 1, 2], epochs=1)
    for net, weights in zip(nets, before, strict=True):
        np.testing.assert_array_equal(net.parameters.data, weights)
    assert [net.layers[3].generator.state for net in nets] == streams


def test_a_rule_of_whole_matrices_is_refused():
    net = network()(0)
    with pytest.raises(ol.InputError, match="this one works on whole matrices: use fit"):
        fit_replicas([net], ol.LAMB(net.parameters).rule, [{}], SHARED, seeds=[0])
