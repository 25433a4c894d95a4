"""Replicas in the shared memory of a GPU's thread blocks: NVIDIA's assembly of the kernel, run on the CPU (ptx.py)."""

import numpy as np
import pytest
from test_cupy import blas, folder, machine, require_cupy  # noqa: F401  # fixtures
from test_replicas import OTHER, RULES, SHARED, network

import optimlab as ol
from optimlab import rules
from optimlab.training.replicas import fit_replicas

EVERY = [parameter.values[0] for parameter in RULES]
"""The elementwise rules of every convention."""


def assert_as_fit(options, chosen, epochs=1, batch_size=32, rate=0.01, tolerance=1e-5, backend="numpy"):
    """One replica for each rule, all in one launch, against :func:`fit` one by one; data and seeds take turns."""
    seeds = [k % 2 for k in range(len(chosen))]
    data = [(SHARED, OTHER)[seed] for seed in seeds]
    settings = [{"lr": rate * (1 + k % 3)} for k in range(len(chosen))]
    kept, said = [], []
    histories = fit_replicas(
        [network(**{**options, "backend": "cupy"})(seed) for seed in seeds],
        chosen,
        settings,
        data,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        watch=lambda stacked, histories, before: kept.append(stacked),
        say=said.append,
    )
    assert said == [f"{len(chosen)} networks trained in shared memory, each by one thread block"]
    for r, (rule, own, one, seed) in enumerate(zip(chosen, settings, data, seeds, strict=True)):
        net = network(**{**options, "backend": backend})(seed)
        optimizer = ol.Optimizer(net.parameters, rule, **own)
        alone = ol.fit(net, optimizer, one, epochs=epochs, batch_size=batch_size, seed=seed, progress=False)
        for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr"):
            assert getattr(histories[r], name) == pytest.approx(getattr(alone, name), rel=tolerance), (rule, name)
        assert (histories[r].steps, histories[r].status) == (alone.steps, alone.status)
        for name, values in net.learned().items():
            expected = net.backend.to_numpy(values)
            found = kept[0].learned()[name].get()[r].reshape(expected.shape)
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * abs(expected).max(), err_msg=str(rule))
    return histories


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("sizes", [(5, 9, 3), (5, 7, 6, 3), (5, 40, 3)], ids=str)
def test_every_rule_trains_as_fit_does(sizes, batch_norm, machine):  # noqa: F811
    """A bias before batch norm has a gradient of rounding alone, from which the rules make anything."""
    assert_as_fit({"sizes": sizes, "batch_norm": batch_norm, "use_bias": not batch_norm}, EVERY)
    assert machine.launches.count("epoch") == 2
