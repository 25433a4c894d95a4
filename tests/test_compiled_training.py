"""Networks train on the compiled backend as on NumPy's, and everything that may change a step does so at once."""

from __future__ import annotations

import copy
import os
import random
import signal
import threading

import numpy as np
import pytest
from conftest import assert_same_bits, require
from loss_cases import case as loss_case
from loss_cases import outputs_of

import optimlab as ol
from optimlab.backends import compiled, llvm
from optimlab.nn.formulas import times
from optimlab.nn.layers import Activate, BatchNorm, Dense, Dropout, Layer, Standardized
from optimlab.training.engine import Plain, Recorded

require("llvmlite")
ROWS, FEATURES, HIDDEN, OUTPUTS = 22, 6, 7, 3
BATCHES = {"all alike": 11, "one row is left": 7, "two rows are left": 5}


@pytest.fixture(scope="module", autouse=True)
def nothing_kept():
    """Kernels are neither read from the disk nor written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llvm, "_read", lambda path: None)
        patch.setattr(llvm, "_keep", lambda path, code: None)
        yield


def dataset(loss="softmax_cross_entropy", rows=ROWS):
    x = np.random.default_rng(1).normal(size=(rows, FEATURES))
    _, y = loss_case(loss, rows, seed=1, outputs=outputs_of(loss, OUTPUTS))
    return ol.Dataset(x, y, x[:9] + 0.1, y[:9])


STRUCTURES = {
    "plain": lambda f: [Activate(HIDDEN, f)],
    "norm before": lambda f: [BatchNorm(HIDDEN), Activate(HIDDEN, f)],
    "norm after": lambda f: [Activate(HIDDEN, f), BatchNorm(HIDDEN, convention="torch")],
    "dropout": lambda f: [Activate(HIDDEN, f), Dropout(HIDDEN, 0.3)],
    "both": lambda f: [BatchNorm(HIDDEN, convention="keras"), Activate(HIDDEN, f), Dropout(HIDDEN, 0.2)],
    "standardized": lambda f: [Activate(HIDDEN, f)],
}
TERMS = {
    "nothing": lambda: {},
    "penalties": lambda: {"penalties": [ol.L2(0.01), ol.L1(0.02, "dense1.W")]},
    "a clipped norm": lambda: {"clip": ol.ClipGlobalNorm(0.3), "penalties": [ol.L2(0.1)]},
    "clipped norms": lambda: {"clip": ol.ClipNorm(0.1), "constraints": [ol.MaxNorm(0.7)]},
    "clipped values": lambda: {"clip": ol.ClipValue(0.02), "constraints": [ol.MaxNorm(0.9, "dense2")]},
}
FROZEN = ["", "dense1", "dense2.b", "dense1.W", "biases"]


def network(backend, dtype="float64", activation="tanh", structure="plain", frozen="", outputs=OUTPUTS):
    first = [Standardized(np.linspace(-1, 1, FEATURES), np.arange(FEATURES))] if structure == "standardized" else []
    hidden = STRUCTURES[structure](activation)
    layers = [*first, Dense(FEATURES, HIDDEN), *hidden, Dense(HIDDEN, outputs)]
    net = ol.Network(layers, seed=3, dtype=dtype, backend=backend)
    if frozen:
        net.parameters.freeze(frozen)
    return net


class Look:
    """Keeps the run that it belongs to."""

    def attach(self, run):
        self.run = run

    def __call__(self, *about):
        pass


def trained(net, data, epochs=3, batch_size=5, callbacks=(), optimizer=ol.Momentum, lr=0.01, **options):
    opt, look = optimizer(net.parameters, lr=lr), Look()
    history = ol.fit(net, opt, data, epochs=epochs, batch_size=batch_size, callbacks=[*callbacks, look], **options)
    engine = Recorded if net.backend.name == "compiled" else Plain
    assert isinstance(look.run.engine, engine)
    return history, opt


def assert_close(actual, expected, tolerance, what):
    scale = np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale, err_msg=what)


def measures(history):
    lists = vars(history)
    return {k: v for k, v in lists.items() if isinstance(v, list) and k != "seconds"}


def cases():
    """Each activation in several kinds of step, which are drawn."""
    draw = random.Random(5)
    for name, f in ol.activations.ACTIVATIONS.items():
        for dtype in ("float64", "float64", "float64", "float32"):
            structure, loss = draw.choice([*STRUCTURES]), draw.choice([*ol.losses.LOSSES])
            terms, frozen, batch = draw.choice([*TERMS]), draw.choice(FROZEN), draw.choice([*BATCHES])
            if structure in ("norm before", "norm after", "both") and batch == "one row is left":
                batch = "two rows are left"
            yield name, f, dtype, structure, loss, terms, frozen, batch


CASES = list(cases())


def test_every_kind_of_step_is_among_the_cases():
    found = [set(column) for column in zip(*(case[:1] + case[2:] for case in CASES), strict=True)]
    everything = [ol.activations.ACTIVATIONS, ("float32", "float64"), STRUCTURES, ol.losses.LOSSES, TERMS, FROZEN]
    assert found == [set(kinds) for kinds in [*everything, BATCHES]]


@pytest.mark.quick_each("case")
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[:1] + case[2:])))
def test_a_network_trains_as_on_numpy(case):
    """A first step, then epochs, up to rounding: in float32, functions differ by some units in the last place, which
    are large beside a gradient that batch norm makes small."""
    _, activation, dtype, structure, loss, terms, frozen, batch = case
    data, found = dataset(loss), []
    for backend in ("numpy", "compiled"):
        net = network(backend, dtype, activation, structure, frozen, outputs_of(loss, OUTPUTS))
        first, _ = trained(net, data, epochs=1, batch_size=ROWS, loss=loss, optimizer=ol.SGD, **TERMS[terms]())
        gradients = net.parameters.grad.copy()
        history, opt = trained(net, data, batch_size=BATCHES[batch], loss=loss, **TERMS[terms]())
        states = [values.copy() for layer in net.layers for values in layer.state().values()]
        arrays = {"gradients": gradients, "weights": net.parameters.data, "momentum": opt.state["m"]}
        found.append((first, history, arrays | {f"state {k}": values for k, values in enumerate(states)}))
    (theirs, their_history, their_arrays), (ours, our_history, our_arrays) = found
    tight, loose = (1e-12, 1e-10) if dtype == "float64" else (2e-5, 2e-4)
    for expected, actual, tolerance in ((theirs, ours, tight), (their_history, our_history, loose)):
        assert measures(expected).keys() == measures(actual).keys()
        for name, values in measures(expected).items():
            assert_close(np.array(measures(actual)[name]), np.array(values), tolerance, name)
    for name, values in their_arrays.items():
        assert_close(our_arrays[name], values, tight if name == "gradients" else loose, name)


# ---- divergence and Ctrl-C ----


class EachStep:
    """Looks at every step, so that each is a call of its own."""

    def __init__(self):
        self.before = []

    def on_step(self, net, opt):
        self.before.append((net.parameters.data.copy(), opt.t))


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("lr", [3.0, 30.0, 1000.0])
def test_a_step_that_diverges_is_named_exactly_and_changes_nothing(backend, lr):
    """Though many steps are taken in one call, and it is in the middle of them."""
    data, look = dataset("mean_squared_error", 200), EachStep()
    options = {"epochs": 50, "loss": "mean_squared_error", "optimizer": ol.SGD, "lr": lr, "batch_size": 8}
    nets = [ol.Network([Dense(FEATURES, OUTPUTS)], seed=0, backend=backend) for _ in range(2)]
    expected, opt = trained(nets[0], data, callbacks=[look], **options)
    assert expected.status == "diverged"
    assert expected.diverged_step == opt.t + 1 == len(look.before) + 1
    assert expected.steps > 6
    history, opt = trained(nets[1], data, **options)
    assert (history.status, history.diverged_step, history.steps) == (
        "diverged",
        expected.diverged_step,
        expected.steps,
    )
    assert measures(history) == measures(expected)
    weights, t = look.before[-1]
    assert opt.t == t
    assert_same_bits(nets[1].parameters.data, weights)


class Interrupt:
    """Sends Ctrl-C a moment after the second epoch."""

    def __call__(self, net, opt, history):
        if history.epochs == 2:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
            signal.setitimer(signal.ITIMER_REAL, 0.03)


class StopAfter:
    def __init__(self, steps):
        self.steps = steps

    def idle(self, steps):
        return max(0, self.steps - 1 - steps)

    def on_step(self, net, opt):
        if opt.t == self.steps:
            raise KeyboardInterrupt


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_ctrl_c_within_an_epoch_leaves_a_whole_history_and_counts_each_step(backend):
    data = dataset(rows=30_000 if backend == "compiled" else 1_500)
    net = network(backend, "float32", "relu")
    history, opt = trained(net, data, epochs=100_000, callbacks=[Interrupt()])
    assert history.status == "interrupted"
    assert {len(values) for values in measures(history).values() if values} == {history.epochs}
    assert history.epochs >= 2
    if backend == "numpy":
        return  # there Ctrl-C may come between two operations of a step
    assert history.steps == opt.t > 12_000
    other = network(backend, "float32", "relu")
    again, _ = trained(other, data, epochs=100_000, callbacks=[StopAfter(history.steps)])
    assert again.steps == history.steps
    assert_same_bits(other.parameters.data, net.parameters.data)


# ---- what a callback changes ----

PENALTY, CLIP = ol.L2(0.0), ol.ClipGlobalNorm(1e6)


def doubled(layer):
    forward = type(layer).forward

    def method(x, training):
        y = forward(layer, x, training)
        layer.backend.map(times, (y,), y, factor=2.0)
        return y

    layer.forward = method


def in_python(layer):
    forward = type(layer).forward
    layer.forward = lambda x, training: np.tanh(2 * forward(layer, x, training))


def put_first_of_the_hidden(layers, layer):
    layers.remove(layer)
    layers.insert(1, layer)


def set_attribute(name, value):
    return lambda net, opt, layers: setattr(layers[name[0]], name[1], value)


CHANGES = {
    "another rate": lambda net, opt, layers: opt.hyperparameters.update(lr=0.05),
    "frozen": lambda net, opt, layers: net.parameters.freeze("dense1"),
    "unfrozen": lambda net, opt, layers: net.parameters.unfreeze("dense2.W"),
    "a frozen norm": lambda net, opt, layers: net.parameters.freeze("norm1"),
    "another dropout": set_attribute(("dropout", "rate"), 0.6),
    "no dropout": set_attribute(("dropout", "rate"), 0.0),
    "a mask that is held": set_attribute(("dropout", "hold"), True),
    "another activation": set_attribute(("activate", "activation"), ol.activations.get("relu")),
    "other weights": lambda net, opt, layers: net.parameters.data.__imul__(0.5),
    "another momentum": set_attribute(("norm", "momentum"), 0.2),
    "another method": lambda net, opt, layers: doubled(layers["dense"]),
    "a method in Python": lambda net, opt, layers: in_python(layers["dense"]),
    "another penalty": lambda net, opt, layers: setattr(PENALTY, "rate", 0.3),
    "another clip": lambda net, opt, layers: setattr(CLIP, "limit", 0.01),
    "a training pass": lambda net, opt, layers: net.forward(np.ones((50, FEATURES)), training=True),
    "a layer left out": lambda net, opt, layers: net.layers.remove(layers["activate"]),
    "layers in another order": lambda net, opt, layers: put_first_of_the_hidden(net.layers, layers["activate"]),
    "an evaluation": lambda net, opt, layers: ol.evaluate(net, np.ones((50, FEATURES)), np.zeros(50, int)),
}


class Change:
    """Changes something after the sixth step, seen only every third step; or after the second epoch."""

    def __init__(self, change, on):
        self.change, self.at, self.seen = change, 3, []
        if on == "step":
            self.on_step = self._step
        else:
            self.end = self._end

    def idle(self, steps):
        return 2 - steps % 3

    def _step(self, net, opt):
        self.seen.append(opt.t)
        if opt.t == 6:
            self.apply(net, opt)

    def __call__(self, net, opt, history):
        if hasattr(self, "end") and history.epochs == 2:
            self.apply(net, opt)

    def _end(self):
        pass

    def apply(self, net, opt):
        kinds = {"dense": Dense, "norm": BatchNorm, "activate": Activate, "dropout": Dropout}
        layers = {name: next(layer for layer in net.layers if type(layer) is kind) for name, kind in kinds.items()}
        self.change(net, opt, layers)


@pytest.mark.quick_each("change", "on")
@pytest.mark.parametrize("on", ["step", "epoch"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_callback_changes_takes_effect_at_once(change, on):
    weights, histories = [], []
    for backend, apply in (
        ("numpy", CHANGES[change]),
        ("compiled", CHANGES[change]),
        ("compiled", lambda *about: None),
    ):
        PENALTY.rate, CLIP.limit = 0.0, 1e6
        net = network(backend, structure="both", frozen="dense2.W")
        callback = Change(apply, on)
        options = {"epochs": 3, "batch_size": 5, "callbacks": [callback], "penalties": [PENALTY], "clip": CLIP}
        history, _ = trained(net, dataset(), **options)
        weights.append(net.parameters.data.copy())
        histories.append(history)
        assert callback.seen == ([3, 6, 9, 12, 15] if on == "step" else [])
    assert_close(weights[1], weights[0], 1e-10, change)
    np.testing.assert_allclose(histories[1].val_loss, histories[0].val_loss, rtol=1e-9)
    if change != "an evaluation":
        changed = [weights[1] - weights[2], np.subtract(histories[1].val_loss, histories[2].val_loss)]
        assert max(np.abs(c).max() for c in changed) > 1e-4, "nothing was changed"


def test_what_nobody_changes_is_recorded_once(monkeypatch):
    made, record = [], compiled.CompiledBackend.record
    monkeypatch.setattr(compiled.CompiledBackend, "record", lambda *given: made.append(given) or record(*given))
    counts = []
    for epochs in (1, 4):
        terms = {"penalties": [ol.L2(0.1)], "clip": ol.ClipNorm(1.0), "constraints": [ol.MaxNorm(2.0)]}
        trained(network("compiled", structure="both"), dataset(), epochs=epochs, **terms)
        counts.append(len(made))
        made.clear()
    assert counts[0] == counts[1] > 0


def test_a_method_may_be_replaced_and_given_back_during_training():
    weights, seen = [], []

    def back_and_forth(net, opt, history):
        layer = net.layers[1]
        if history.epochs == 1:
            forward = layer.forward
            layer.forward = lambda x, training: [seen.append(training), forward(x, training)][1]
        elif history.epochs == 2:
            del layer.forward

    for callbacks in ([], [back_and_forth]):
        net, look = network("compiled"), Look()
        trained(net, dataset(), callbacks=[*callbacks, look])
        weights.append(net.parameters.data)
        assert look.run.engine._programs is not None  # recorded again
    assert seen.count(True) == 5  # each step of the second epoch
    np.testing.assert_allclose(*weights, rtol=1e-12)


# ---- parts that are Python code ----


class Scaled(Layer):
    """A layer of one's own."""

    prefix = "scaled"

    def __init__(self, features):
        self.inputs = self.outputs = features

    def forward(self, x, training):
        self._factor = 1 + 0.1 * float(x.mean())
        return x * self._factor

    def backward(self, dy, input_gradient=True):
        return dy * self._factor


class Own(Dense):
    """A class that inherits from one that can be recorded may do something else."""

    def forward(self, x, training):
        return super().forward(x, training) + 1.0


def squared(backend, outputs, targets, out, buffers):
    out[...] = 2 * (outputs - targets) / outputs.size
    return np.array([((outputs - targets) ** 2).mean()])


def mine(parameters):
    parameters.grad[...] += 0.1 * parameters.data
    return 0.05 * float((parameters.data**2).sum())


LOSS = ol.losses.Loss("own", squared, ol.losses.LOSSES["mean_squared_error"].check)
PARTS = {
    "layer": ([Scaled(HIDDEN)], {}),
    "class of a layer": ([Own(HIDDEN, HIDDEN)], {}),
    "loss": ([], {"loss": LOSS}),
    "penalty": ([], {"penalties": [mine]}),
    "clip": ([], {"clip": lambda parameters: np.clip(parameters.grad, -0.1, 0.1, out=parameters.grad)}),
    "constraint": ([], {"constraints": [lambda parameters: parameters.data.clip(-1, 1, out=parameters.data)]}),
}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_python_code_is_called_and_the_bits_are_numpys(part):
    weights = []
    for backend in ("numpy", "compiled"):
        layers, options = PARTS[part]
        layers = [Dense(FEATURES, HIDDEN), *copy.deepcopy(layers), Activate(HIDDEN, "mish"), Dense(HIDDEN, OUTPUTS)]
        net, look = ol.Network(layers, seed=3, backend=backend), Look()
        data = dataset("mean_squared_error" if part == "loss" else "softmax_cross_entropy")
        history = ol.fit(net, ol.Adam(net.parameters), data, epochs=2, batch_size=5, callbacks=[look], **options)
        assert isinstance(look.run.engine, Plain)
        assert history.status == "completed"
        weights.append(net.parameters.data)
    assert_same_bits(*weights)


def test_a_rule_on_several_threads_is_called_step_by_step(monkeypatch):
    monkeypatch.setattr(compiled, "_cores", lambda: 2)
    weights = []
    for size in (compiled.THREADS_FROM, 50):
        monkeypatch.setattr(compiled, "THREADS_FROM", size)
        net = network("compiled")
        trained(net, dataset())
        weights.append(net.parameters.data)
    np.testing.assert_allclose(*weights, rtol=1e-12)


@pytest.mark.parametrize("rule", ["lamb", "muon"])
def test_a_rule_of_whole_matrices_is_called_step_by_step(rule):
    weights = []
    for backend in ("numpy", "compiled"):
        net = network(backend)
        ol.fit(net, ol.optimizers.get(rule)(net.parameters), dataset(), epochs=2, batch_size=5)
        weights.append(net.parameters.data)
    assert_same_bits(*weights)


def test_data_may_be_a_file_mapped_into_memory_for_reading(tmp_path):
    np.save(tmp_path / "x.npy", dataset().x_train)
    y, weights = dataset().y_train, []
    for x in (np.load(tmp_path / "x.npy"), np.load(tmp_path / "x.npy", mmap_mode="r")):
        net = network("compiled")
        trained(net, ol.Dataset(x, y), epochs=2)
        weights.append(net.parameters.data)
    assert_same_bits(*weights)


# ---- threads ----


def test_two_threads_train_two_networks_at_once():
    data, alone, together = dataset(rows=400), [], {}

    def work(structure, into):
        net = network("compiled", "float32", "mish", structure)
        trained(net, data, epochs=10, penalties=[ol.L2(0.01)])
        into[structure] = net.parameters.data

    for structure in ("both", "norm after"):
        found = {}
        work(structure, found)
        alone.append(found[structure])
    threads = [threading.Thread(target=work, args=(s, together)) for s in ("both", "norm after")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for structure, expected in zip(("both", "norm after"), alone, strict=True):
        assert_same_bits(together[structure], expected)


def test_a_network_is_evaluated_in_another_thread_while_it_trains():
    data = dataset(rows=400)
    reference = network("compiled", "float32", "relu", "both")
    trained(reference, data, epochs=20)
    net, ended, losses = network("compiled", "float32", "relu", "both"), threading.Event(), []

    def look():
        while not ended.is_set():
            losses.append(ol.evaluate(net, data.x_val, data.y_val)[0])

    thread = threading.Thread(target=look)
    thread.start()
    trained(net, data, epochs=20)
    ended.set()
    thread.join()
    assert len(losses) > 1
    assert np.isfinite(losses).all()
    assert_same_bits(net.parameters.data, reference.parameters.data)


def test_one_penalty_may_serve_two_networks_in_turn():
    penalty, weights = ol.L2(0.1), []
    nets = [network("compiled"), network("compiled"), network("numpy")]
    for _ in range(2):
        for net in nets:
            ol.fit(net, ol.SGD(net.parameters, lr=0.1), dataset(), epochs=1, batch_size=5, penalties=[penalty])
    weights = [net.parameters.data for net in nets]
    assert_same_bits(weights[0], weights[1])
    np.testing.assert_allclose(weights[0], weights[2], rtol=1e-9)


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_a_method_of_ones_own_is_called_at_every_step(backend):
    """A step of an optimizer's own, a backward pass of a network's own, and a step that was replaced on the object."""
    data, calls = ol.datasets.load("digits"), []

    class Counting(ol.SGD):
        def step(self):
            calls.append("step")
            super().step()

    class Noisy(ol.MLP):
        def backward(self, gradient, input_gradient=False):
            calls.append("backward")
            return super().backward(gradient, input_gradient)

    net = Noisy([64, 4, 10], seed=0, backend=backend)
    steps = ol.fit(net, ol.SGD(net.parameters), data, epochs=1).steps
    assert calls == ["backward"] * steps
    calls.clear()
    net = ol.MLP([64, 4, 10], seed=0, backend=backend)
    ol.fit(net, Counting(net.parameters), data, epochs=1)
    assert calls == ["step"] * steps
    calls.clear()
    opt = ol.SGD(net.parameters)
    plain = opt.step

    def replace(network, optimizer, history):
        optimizer.step = lambda: (calls.append("replaced"), plain())

    history = ol.fit(net, opt, data, epochs=2, callbacks=[replace])
    assert calls == ["replaced"] * steps  # from the second epoch on
    assert opt.t == history.steps == 2 * steps
