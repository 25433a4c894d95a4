"""Diagnostics: the numbers are those of the step, and the verdict names what was planted."""

import numpy as np
import pytest

import optimlab as ol
from optimlab.training.diagnostics import Diagnostics, measure

DATA = ol.datasets.load("digits")


def run(optimizer=ol.Adam, epochs=6, every=10, net=None, data=DATA, **options):
    net = net or ol.MLP([64, 32, 10], seed=0)
    watch = Diagnostics(every=every)
    history = ol.fit(net, optimizer(net.parameters, **options), data, epochs=epochs, callbacks=[watch])
    return watch, history


def test_the_ratio_is_that_of_the_step_itself():
    """SGD moves by lr times the gradient: the ratio follows from the gradient alone."""
    seen = []

    def note(network, optimizer, history):
        pass

    def on_step(network, optimizer):
        old = network.parameters["dense1.W"].data + 0.1 * network.parameters["dense1.W"].grad
        moved = 0.1 * np.linalg.norm(network.parameters["dense1.W"].grad)
        seen.append((moved / np.linalg.norm(old), np.linalg.norm(network.parameters["dense1.b"].grad)))

    note.on_step = on_step
    net = ol.MLP([64, 16, 10], seed=0)
    watch = Diagnostics(every=5)
    ol.fit(net, ol.SGD(net.parameters, lr=0.1), DATA, epochs=2, callbacks=[watch, note])
    assert [m.step for m in watch.measurements] == [5, 10, 15, 20, 25, 30]
    for m in watch.measurements:
        ratio, gradient = seen[m.step - 1]
        assert m.update_ratio["dense1.W"] == pytest.approx(ratio, rel=1e-4)
        assert m.gradient_norm["dense1.b"] == pytest.approx(gradient, rel=1e-4)


def test_dead_units_and_activation_statistics_are_counted():
    net = ol.MLP([64, 8, 10], seed=0, dtype="float64")
    net.parameters["dense1.b"].data[:3] = -1e3  # three of eight units never fire
    opt = ol.SGD(net.parameters, lr=0.0)
    x = DATA.x_train[:50]
    _, gradient = ol.losses.softmax_cross_entropy(net.forward(x, training=True), DATA.y_train[:50])
    net.backward(gradient)
    before = net.parameters.data.copy()
    opt.step()
    m = measure(net, opt, before, 1)
    y = np.maximum(x @ net.parameters["dense1.W"].data + net.parameters["dense1.b"].data, 0)
    assert m.dead["activation1"] == (y.max(axis=0) == 0).mean() >= 3 / 8
    assert m.activation["activation1"] == pytest.approx((y.mean(), y.std()))
    assert m.update_ratio == {"dense1.W": 0.0, "dense2.W": 0.0}


def test_the_share_that_epsilon_rules():
    """Adam in the textbook's form: epsilon rules where s_hat < eps / 3 (half the root is a quarter of the sum)."""
    net = ol.MLP([2000, 1], use_bias=False, dtype="float64")
    opt = ol.Adam(net.parameters, eps=1e-6)
    net.parameters.grad[:500], net.parameters.grad[500:] = 1e-9, 1.0
    before = net.parameters.data.copy()
    opt.step()
    net.layers[0].forward(np.zeros((1, 2000)), True)
    assert measure(net, opt, before, 1).eps_ruled == pytest.approx(0.25)
    plain = ol.SGD(net.parameters)
    plain.step()
    assert measure(net, plain, before, 1).eps_ruled is None


def test_the_share_that_epsilon_rules_of_a_layer_that_was_frozen():
    """In its first step s_hat is g^2, though the others are at t = 101: the root of 2e-8 is above epsilon's 1e-8."""
    net = ol.MLP([30, 20, 1], use_bias=False, dtype="float64")
    opt = ol.Adam(net.parameters, convention="torch", eps=1e-8)
    net.parameters.freeze("dense1")
    net.parameters.grad[:] = 2e-8
    for _ in range(100):
        opt.step()
    net.forward(np.zeros((1, 30)), training=True)
    before = net.parameters.data.copy()
    assert measure(net, opt, before, 100).eps_ruled == 0
    net.parameters.unfreeze("dense1")
    opt.step()
    assert measure(net, opt, before, 101).eps_ruled == 0
    net.parameters["dense1.W"].grad[...] = opt.state["s"][...] = 0.0
    assert measure(net, opt, before, 101).eps_ruled == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": 0.003}, "nothing stands out"),
        ({"lr": 1e-8}, "the learning rate is too low"),
        ({"lr": 0.1, "epochs": 1, "every": 5}, "of its norm per step: the learning rate is too high; 0.1% is healthy"),
        ({"lr": 0.001, "eps": 1e-2}, "epsilon dominates the steps of"),
        ({"optimizer": ol.SGD, "lr": 5.0}, "of the units of activation1 are dead"),
    ],
)
def test_the_verdict_names_what_was_planted(options, sentence):
    watch, _ = run(**options)
    assert sentence in watch.verdict()


def test_overfitting_is_named():
    few = ol.Dataset(DATA.x_train[:64], DATA.y_train[:64], DATA.x_val, DATA.y_val)
    watch, history = run(data=few, epochs=100, lr=0.01)
    assert watch.gap == history.train_accuracy[-1] - history.val_accuracy[-1] > 0.1
    assert f"training accuracy is {100 * watch.gap:.0f} points above validation" in watch.verdict()


def test_nothing_measured_says_so():
    assert Diagnostics().verdict() == "nothing was measured"


def test_training_is_not_disturbed():
    def train(callbacks):
        net = ol.MLP([64, 16, 10], seed=0)
        ol.fit(net, ol.Adam(net.parameters), DATA, epochs=2, callbacks=callbacks)
        return net.parameters.data

    np.testing.assert_array_equal(train([]), train([Diagnostics(every=3)]))


def test_rules_of_whole_tensors_and_frozen_layers_are_measured_too():
    net = ol.MLP([64, 16, 10], seed=0)
    net.parameters.freeze("dense1")
    watch, _ = run(ol.LAMB, net=net)
    assert set(watch.measurements[-1].update_ratio) == {"dense2.W"}
    assert watch.measurements[-1].eps_ruled is None


@pytest.mark.parametrize("every", [0, 1, 2.5])
def test_bad_sampling(every):
    with pytest.raises((ol.InputError, TypeError)):
        Diagnostics(every=every)


def slope_in_torch(name, x):
    from conftest import require

    torch = require("torch")
    f = torch.nn.functional
    functions = {
        "identity": lambda v: v,
        "gelu_tanh": lambda v: f.gelu(v, approximate="tanh"),
        "swish": f.silu,
        "hard_swish": f.hardswish,
        # in place they take their slope from y, as ours do: rounding has flattened y where x < -17
        "elu": lambda v: f.elu(v * 1, inplace=True),
        "selu": lambda v: f.selu(v * 1, inplace=True),
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
    }
    v = torch.tensor(x, requires_grad=True)
    functions.get(name, getattr(f, name, None))(v).sum().backward()
    return v.grad.numpy()


@pytest.mark.parametrize("backend", [b for b in ol.backends.names() if b != "cupy"])
@pytest.mark.parametrize("bias", [-1000.0, -20.0, -3.0, 0.0, 20.0])
@pytest.mark.parametrize("name", [n for n, f in ol.activations.ACTIVATIONS.items() if f.elementwise])
def test_dead_is_a_unit_whose_slope_is_zero_for_every_row(name, bias, backend):
    """As PyTorch's slopes say: leaky units live however negative they are, and all die where rounding flattens them."""
    net = ol.MLP([64, 8, 10], activation=name, seed=0, backend=backend)
    net.parameters["dense1.b"].data[:4] = bias
    x = DATA.x_train[:50].astype("float32")
    _, gradient = ol.losses.softmax_cross_entropy(net.forward(x, training=True), DATA.y_train[:50])
    net.backward(gradient)
    m = measure(net, ol.SGD(net.parameters), net.parameters.data.copy(), 1)
    inputs = x @ net.parameters["dense1.W"].data + net.parameters["dense1.b"].data
    dead = (slope_in_torch(name, inputs) == 0).all(axis=0)
    assert m.dead == {"activation1": dead.mean()}
    if name == "relu" and bias <= -20:
        assert dead[:4].all()
    if name in ("identity", "leaky_relu") or (name in ("elu", "selu", "softplus", "softsign") and bias > -15):
        assert not dead.any()


def test_softmax_has_no_dead_units():
    net = ol.Network([ol.layers.Activate(64, "softmax")])
    net.forward(DATA.x_train[:5], training=True)
    assert measure(net, ol.SGD(net.parameters), net.parameters.data.copy(), 1).dead == {}


def test_leaky_units_are_not_called_dead():
    net = ol.MLP([64, 32, 10], activation="leaky_relu", seed=0)
    net.parameters["dense1.b"].data[...] = -20.0
    watch, _ = run(ol.SGD, net=net, lr=1e-3)
    assert "dead" not in watch.verdict()
    assert net.layers[1]._y.max() < 0


@pytest.mark.parametrize("rows", [60, 64])
def test_every_engine_measures_the_step_that_was_taken(rows):
    """A program keeps in registers what only passes from one operation to the next, and the last batch is smaller."""
    data = ol.datasets.load("digits")
    data = ol.Dataset(data.x_train[:rows], data.y_train[:rows])
    names = ("softplus", "gelu", "relu")

    def measured(backend):
        hidden = [ol.layers.Activate(16, name) for name in names]
        net = ol.Network(
            [ol.layers.Dense(64, 16), *hidden, ol.layers.Dense(16, 10)], seed=0, dtype="float64", backend=backend
        )
        watch = Diagnostics(every=2)
        ol.fit(net, ol.SGD(net.parameters, lr=0.1), data, epochs=2, batch_size=16, callbacks=[watch])
        return watch.measurements

    ours, theirs = measured("compiled"), measured("numpy")
    assert [m.step for m in ours] == [m.step for m in theirs] == [2, 4, 6, 8]  # two of them of the last batch
    for one, other in zip(ours, theirs, strict=True):
        assert one.dead == other.dead
        for name, numbers in one.activation.items():
            np.testing.assert_allclose(numbers, other.activation[name], rtol=1e-9)


@pytest.mark.parametrize("rows", [60, 64])
def test_a_callback_may_go_back_through_the_last_batch(rows):
    """Every engine leaves in the layers what the last step left there."""
    data = ol.datasets.load("digits")
    data = ol.Dataset(data.x_train[:rows], data.y_train[:rows])
    norms = {}

    for backend in ("compiled", "numpy"):
        net = ol.MLP([64, 16, 10], seed=0, dtype="float64", backend=backend)
        found = norms[backend] = []

        class Look:
            def on_step(self, network, optimizer, found=found):
                gradient = network.parameters.grad.copy()
                (size,) = network.last_pass.batch
                network.backward(np.ones((size, 10)))
                found.append((size, float(np.abs(network.parameters.grad).sum())))
                network.parameters.grad[...] = gradient

        ol.fit(net, ol.SGD(net.parameters, lr=0.1), data, epochs=2, batch_size=16, callbacks=[Look()])
    assert [size for size, _ in norms["numpy"]] == [16, 16, 16, rows - 48] * 2
    np.testing.assert_allclose(norms["compiled"], norms["numpy"], rtol=1e-9)
