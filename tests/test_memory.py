"""Training needs the memory it has to have, and no more of it after ten thousand steps than after a few."""

import tracemalloc

import numpy as np
import pytest

import optimlab as ol


def rows(n, features):
    generator = np.random.default_rng(0)
    return ol.Dataset(generator.random((n, features), dtype="float32"), generator.integers(0, 10, n))


@pytest.fixture(params=ol.backends.names())
def engine(request):
    """A backend that has compiled and imported what it needs."""
    net = ol.MLP([6, 5, 10], backend=request.param)
    ol.fit(net, ol.Adam(net.parameters), rows(8, 6), epochs=1, batch_size=4)
    return request.param


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.quick("compiled-sizes0-32")
@pytest.mark.parametrize(("sizes", "batch"), [([3072, 100, 100, 10], 32), ([784, 800, 10], 256)])
def test_the_peak_is_weights_gradients_states_and_activations(sizes, batch, engine, traced):
    data = rows(40 * batch, sizes[0])
    before = tracemalloc.get_traced_memory()[0]
    net = ol.MLP(sizes, initializer="zeros", backend=engine)
    opt = ol.Adam(net.parameters)
    tracemalloc.reset_peak()  # the first values of the weights are drawn in float64
    ol.fit(net, opt, data, epochs=1, batch_size=batch)
    peak = tracemalloc.get_traced_memory()[1] - before
    hidden = sum(sizes[1:-1])
    # the batch; each layer's outputs and gradients by its inputs
    activations = batch * (sizes[0] + 4 * hidden + 2 * sizes[-1])
    least = 4 * (net.parameters.data.size * (2 + len(opt.state)) + activations)
    assert least <= peak < 1.1 * least


@pytest.mark.slow
@pytest.mark.parametrize("engine", ol.backends.names()[-1:], indirect=True)
def test_memory_does_not_grow_over_ten_thousand_steps(engine, traced):
    data = rows(400, 8)
    net = ol.MLP([8, 6, 10], batch_norm=True, dropout=0.1, backend=engine)
    opt = ol.Adam(net.parameters, lr=ol.schedules.OneCycle(0.01, total=10_000))
    held = []

    def watch(network, optimizer, history):
        if history.epochs in (10, 100):
            held.append(tracemalloc.get_traced_memory()[0])

    history = ol.fit(net, opt, data, epochs=100, batch_size=4, clip=ol.ClipGlobalNorm(1.0), callbacks=[watch])
    assert history.steps == 10_000
    # the history of 90 epochs: six numbers each, and some room for the interpreter's own
    assert held[1] - held[0] < 90 * 6 * 60 + 10_000
