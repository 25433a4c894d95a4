"""A layer that holds other layers is copied, saved, checked and trained with them."""

import numpy as np
import pytest

import optimlab as ol
from optimlab.nn.layers import Activate, BatchNorm, Dense, Dropout, Layer, Standardized, named
from optimlab.training.checkpoint import load_checkpoint, save_checkpoint
from optimlab.training.replicas import fit_replicas, stack

X = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
DATA = ol.Dataset(X, np.arange(60) % 3, X[:20] + 0.1, np.arange(20) % 3)


class Residual(Layer):
    """x + f(x), where f is a chain of layers: some as attributes, some in a list, some in a dictionary."""

    prefix = "residual"

    def __init__(self, features, rate=0.3, std=2.0):
        self.inputs = self.outputs = features
        self.first = Standardized(np.linspace(-1, 1, features), np.full(features, std))
        self.rest = [Activate(features, "tanh"), {"noise": Dropout(features, rate)}]

    def parts(self):
        return self.first, self.rest[0], self.rest[1]["noise"]

    def build(self, name, dtype, backend, seed):
        super().build(name, dtype, backend, seed)
        for part, own in zip(self.parts(), seed.spawn(3), strict=True):
            part.build(name, dtype, backend, own)

    def forward(self, x, training):
        y = x
        for part in self.parts():
            y = part.forward(y, training)
        return x + y

    def backward(self, dy, input_gradient=True):
        dx = dy
        for part in reversed(self.parts()):
            dx = part.backward(dx)
        return dy + dx


def network(seed=0, dtype="float32", **options):
    layers = [Dense(4, 5), Residual(5, **options), Activate(5, "gelu"), Residual(5), Dense(5, 3)]
    return ol.Network(layers, seed=seed, dtype=dtype)


def made():
    net = network()
    return net, ol.Adam(net.parameters, lr=0.01), []


def test_names():
    assert [name for name, _ in named(network().layers)] == [
        "dense1",
        *("residual1", "residual1/1", "residual1/2", "residual1/3"),
        "activation1",
        *("residual2", "residual2/1", "residual2/2", "residual2/3"),
        "dense2",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_is_checked_in_float64(dtype, training):
    ol.gradcheck(network(dtype=dtype), X[:8], DATA.y_train[:8], training=training)


def test_a_copy_in_another_dtype_has_it_everywhere():
    net = network()
    twin = net.copy("float64")
    outputs = twin.forward(X, training=True)
    assert outputs.dtype == "float64"
    assert {layer.dtype for _, layer in named(twin.layers)} == {"float64"}
    assert {array.dtype.name for _, layer in named(twin.layers) for array in layer.state().values()} == {"float64"}
    np.testing.assert_allclose(twin.logits(X), net.logits(X), rtol=1e-5, atol=1e-6)


def test_resuming_draws_the_masks_of_the_run():
    ol.verify_resume(made, DATA, epochs=2, batch_size=16, stops=3)


def test_a_file_has_their_states_and_fits_only_their_settings(tmp_path):
    net = network(std=3.0)
    ol.fit(net, ol.SGD(net.parameters), DATA, epochs=1, batch_size=20)
    save_checkpoint(tmp_path / "net.npz", net)
    twin = network(seed=1)
    load_checkpoint(tmp_path / "net.npz", twin)
    np.testing.assert_array_equal(twin.logits(X), net.logits(X))
    with pytest.raises(ol.InputError, match=r"residual1\.3\.rate 0\.3, now 0\.5"):
        load_checkpoint(tmp_path / "net.npz", network(rate=0.5))


def test_mc_dropout_drops_within_them():
    net = ol.Network([Dense(4, 5), Residual(5), Dense(5, 3)], seed=0)
    found = ol.mc_predict(net, X, samples=20)
    assert (found.std > 0).all()
    net.layers[1].rest[1]["noise"].rate = 0.0
    with pytest.raises(ol.InputError, match="no dropout"):
        ol.mc_predict(net, X)


def test_replicas_have_the_bits_that_each_has_alone():
    nets, alone = ([network(seed) for seed in (1, 2)] for _ in range(2))
    found = fit_replicas(nets, ol.rules.textbook.sgd, [{"lr": 0.1}] * 2, DATA, seeds=[3, 4], epochs=2, batch_size=16)
    for net, seed, history in zip(alone, (3, 4), found, strict=True):
        expected = ol.fit(net, ol.SGD(net.parameters, lr=0.1), DATA, epochs=2, batch_size=16, seed=seed)
        assert (history.train_loss, history.val_loss) == (expected.train_loss, expected.val_loss)
    with pytest.raises(ol.InputError, match="the same layers"):
        stack([network(), network(rate=0.5)])


def test_a_batch_of_one_row_has_no_variance_within_them_either():
    class Normed(Residual):
        def __init__(self, features):
            super().__init__(features)
            self.first = BatchNorm(features)

        def declare(self):
            return self.first.declare()

        def parts(self):
            self.first.gamma, self.first.beta = self.gamma, self.beta
            return super().parts()

        def build(self, name, dtype, backend, seed):
            Layer.build(self, name, dtype, backend, seed)
            for part in super().parts():
                part.build(name, dtype, backend, seed)

    net = ol.Network([Dense(4, 5), Normed(5), Dense(5, 3)], seed=0)
    net.layers[1].parts()
    opt = ol.SGD(net.parameters)
    with pytest.raises(ol.InputError, match="batch norm cannot train on a batch of one row"):
        ol.fit(net, opt, DATA, epochs=1, batch_size=59)
    assert ol.fit(net, opt, DATA, epochs=1, batch_size=20).status == "completed"
    assert np.abs(net.learned()["layers/residual1/1.running_mean"]).min() > 0
