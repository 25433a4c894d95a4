"""What only a GPU can show: run by hand where there is one (``pytest -m gpu``), skipped elsewhere, on CI too."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import assert_same_bits
from test_cupy import DETERMINED, OPTIONS, assert_alike, assert_close_training, trained
from test_kernels import RULES, T, host_scalars, specimens

import optimlab as ol
from optimlab import backends, kernels
from optimlab.backends import cupy as engine
from optimlab.training.replicas import fit_replicas

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(engine.missing()), reason=f"the backend 'cupy' {engine.missing()}"),
]

DTYPES = ["float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_equals_numpy_bit_for_bit(rule, dtype):
    graph, b = kernels.trace(rule), backends.get("cupy")
    for n in (1, 1000, 3_000_001):
        arrays = specimens(rule, dtype, n)
        there = {name: b.asarray(values.copy()) for name, values in arrays.items()}
        steps = b.bind(graph, [there]), backends.get("numpy").bind(graph, [arrays])
        with np.errstate(all="ignore"):
            for t in (T, T + 1):
                for step in steps:
                    step(host_scalars(rule, t))
        for name, expected in arrays.items():
            assert_same_bits(b.to_numpy(there[name]), expected, f"{n} elements: {name}")


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_networks_train_as_on_numpy_to_rounding(options):
    assert_close_training(epochs=1, **options)


@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "dropout": 0.2}, {"activation": "gelu"}], ids=str)
def test_a_graph_trains_as_the_loop_does(options):
    # a warning would be an error
    assert_alike(*(trained("cupy", fitted={"graph": graph}, **DETERMINED | options) for graph in (True, False)))


@pytest.mark.parametrize("graph", [False, True])
def test_replicas_train_as_each_alone(graph):
    data = ol.datasets.load("digits")

    def network(seed):
        return ol.MLP([64, 30, 10], batch_norm=True, dropout=0.2, seed=seed, backend="cupy")

    rates = [0.1, 0.03, 0.01]
    settings = [{"lr": rate} for rate in rates]
    nets = [network(seed) for seed in range(3)]
    found = fit_replicas(nets, ol.rules.textbook.sgd, settings, data, seeds=range(3), epochs=2, graph=graph)
    for seed, (history, rate) in enumerate(zip(found, rates, strict=True)):
        net = network(seed)
        alone = ol.fit(net, ol.SGD(net.parameters, lr=rate), data, epochs=2, seed=seed)
        np.testing.assert_allclose(history.train_loss, alone.train_loss, rtol=1e-3)
        np.testing.assert_allclose(history.val_loss, alone.val_loss, rtol=1e-2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 8, 1001, 10**6 + 1])
def test_philox_gives_numpys_numbers(dtype, size):
    b = backends.get("cupy")
    out = b.empty(size, dtype)
    b.generator(5).uniform(out)
    reference = np.random.Generator(np.random.Philox(5)).random(size, dtype=dtype)
    assert_same_bits(b.to_numpy(out), reference)


def test_a_full_memory_is_one_clear_error():
    with pytest.raises(ol.InputError, match="the GPU's memory is full"):
        backends.get("cupy").empty(1 << 45, "float32")
