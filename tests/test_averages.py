"""Averages of weights and of predictions: against formulas worked out independently, and doing what they are for."""

import numpy as np
import pytest
from conftest import require

import optimlab as ol
from optimlab.optim.averages import AverageWeights, Ensemble, Snapshots, recompute_statistics

torch = require("torch")
DATA = ol.datasets.load("digits")


def walk(net, average, steps=20, seed=0):
    """The network's weights at each step of a random walk, with the average updated."""
    g = np.random.default_rng(seed)
    path = []
    for _ in range(steps):
        net.parameters.data += g.normal(size=net.parameters.data.size)
        average.update()
        path.append(net.parameters.data.copy())
    return np.array(path)


def test_the_plain_average_is_the_mean_of_all_updates():
    net = ol.MLP([3, 2], dtype="float64", seed=0)
    average = AverageWeights(net)
    path = walk(net, average)
    with average.applied():
        np.testing.assert_allclose(net.parameters.data, path.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(net.parameters.data, path[-1])


def test_the_exponential_average_is_that_of_pytorch():
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    net = ol.MLP([3, 2], use_bias=False, dtype="float64", seed=0)
    theirs = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)
    reference = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average = AverageWeights(net, decay=0.9)
    for weights in walk(net, average):
        with torch.no_grad():
            theirs.weight.copy_(torch.from_numpy(weights.reshape(3, 2).T))
        reference.update_parameters(theirs)
    with average.applied():
        ours = net.parameters["dense1.W"].data.T.copy()
    np.testing.assert_allclose(ours, reference.module.weight.detach().numpy(), rtol=1e-12)


def test_fit_updates_it_after_every_step_and_training_is_not_disturbed():
    def run(callbacks):
        net = ol.MLP([64, 16, 10], batch_norm=True, seed=0)
        history = ol.fit(net, ol.Adam(net.parameters), DATA, epochs=3, callbacks=callbacks(net))
        return net, history

    made = []

    def with_average(net):
        made.append(AverageWeights(net, decay=0.99))
        return made

    plain, _ = run(lambda net: [])
    averaged, history = run(with_average)
    np.testing.assert_array_equal(plain.parameters.data, averaged.parameters.data)
    assert made[0].updates == history.steps


def test_batch_norm_statistics_are_averaged_with_the_weights():
    net = ol.MLP([64, 16, 10], batch_norm=True, seed=0)
    average = AverageWeights(net)
    seen = []

    def watch(network, optimizer, history):
        pass

    watch.on_step = lambda network, optimizer: seen.append(network.layers[1].running_mean.copy())
    ol.fit(net, ol.Adam(net.parameters), DATA, epochs=2, callbacks=[average, watch])
    with average.applied():
        np.testing.assert_allclose(net.layers[1].running_mean, np.mean(seen, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("convention", ["textbook", "torch", "keras"])
def test_recomputed_statistics_are_the_mean_over_the_batches(convention):
    net = ol.Network([ol.layers.BatchNorm(5, convention=convention)], dtype="float64")
    x = np.random.default_rng(0).normal(3.0, 2.0, (60, 5))
    momentum = net.layers[0].momentum
    recompute_statistics(net, x, batch_size=20)
    batches = x.reshape(3, 20, 5)
    np.testing.assert_allclose(net.layers[0].running_mean, x.mean(axis=0), rtol=1e-12)
    variance = batches.var(axis=1, ddof=1 if convention == "torch" else 0).mean(axis=0)
    np.testing.assert_allclose(net.layers[0].running_var, variance, rtol=1e-12)
    assert net.layers[0].momentum == momentum


def test_the_average_of_a_noisy_run_is_better_than_its_end():
    """A learning rate too high to settle: the mean of the last epochs is where it circles around."""
    net = ol.MLP([64, 32, 10], batch_norm=True, seed=0)
    opt = ol.SGD(net.parameters, lr=1.0)
    ol.fit(net, opt, DATA, epochs=3, batch_size=8)
    average = AverageWeights(net)
    ol.fit(net, opt, DATA, epochs=4, batch_size=8, seed=1, callbacks=[average])
    last, _ = ol.evaluate(net, DATA.x_val, DATA.y_val)
    average.recompute_statistics(DATA.x_train)
    with average.applied():
        mean, _ = ol.evaluate(net, DATA.x_val, DATA.y_val)
    assert mean < last / 2


def test_an_ensemble_averages_probabilities_and_beats_its_members_on_average():
    nets = []
    for seed in range(5):
        net = ol.MLP([64, 24, 10], seed=seed)
        ol.fit(net, ol.Adam(net.parameters, lr=0.01), DATA, epochs=6, seed=seed)
        nets.append(net)
    ensemble = Ensemble(nets)
    x, y = DATA.x_test, DATA.y_test
    expected = np.mean([net.predict_proba(x) for net in nets], axis=0)
    np.testing.assert_allclose(ensemble.predict_proba(x), expected, rtol=1e-5)
    np.testing.assert_allclose(ensemble.predict_proba(x).sum(axis=1), 1.0, rtol=1e-5)

    def loss(p):
        return -np.log(p[np.arange(len(y)), y]).mean()

    # the loss is convex: that of the mean is below the mean of the losses
    assert loss(ensemble.predict_proba(x)) < np.mean([loss(net.predict_proba(x)) for net in nets])
    single = np.mean([(net.predict(x) == y).mean() for net in nets])
    assert (ensemble.predict(x) == y).mean() > single


def test_snapshots_are_copies_taken_every_so_many_epochs():
    net = ol.MLP([64, 10], seed=0)
    keep = Snapshots(every=3)
    ol.fit(net, ol.SGD(net.parameters, lr=0.5), DATA, epochs=7, callbacks=[keep])
    assert len(keep.networks) == 2
    assert not np.array_equal(keep.networks[0].parameters.data, keep.networks[1].parameters.data)
    assert keep.ensemble().predict(DATA.x_test).shape == (360,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AverageWeights(ol.MLP([2, 2]), decay=1.0), r"decay must lie in \[0, 1\)"),
        (lambda: AverageWeights(ol.MLP([2, 2])).swap(), "nothing has been averaged yet"),
        (lambda: AverageWeights(ol.MLP([2, 2])).on_step(ol.MLP([2, 2]), None), "belongs to another network"),
        (lambda: recompute_statistics(ol.MLP([2, 2]), np.zeros((4, 2))), "no batch norm"),
        (lambda: recompute_statistics(ol.MLP([2, 2, 2], batch_norm=True), np.zeros((1, 2))), "at least two rows"),
        (lambda: Ensemble([]), "at least one network"),
        (lambda: Ensemble([ol.MLP([2, 2]), ol.MLP([2, 3])]), "the same inputs and classes"),
        (lambda: Snapshots(0), "every must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ol.InputError, match=message):
        call()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_recomputed_statistics_forget_whatever_was_there(bad):
    net = ol.Network([ol.layers.Dense(5, 4), ol.layers.BatchNorm(4)], seed=0)
    twin, x = net.copy(), np.random.default_rng(0).normal(size=(60, 5))
    for statistic in net.layers[1].state().values():
        statistic[:2] = bad
    for each in (net, twin):
        recompute_statistics(each, x, batch_size=20)
    for name, statistic in net.layers[1].state().items():
        np.testing.assert_array_equal(statistic, twin.layers[1].state()[name])
        assert np.isfinite(statistic).all()


@pytest.mark.parametrize("end", [KeyboardInterrupt, ZeroDivisionError])
def test_recomputing_statistics_changes_these_alone_and_nothing_if_it_is_interrupted(end):
    passed = []

    class Interrupting(ol.layers.Dense):
        def forward(self, x, training):
            passed.append(training)
            if len(passed) == 3:
                raise end
            return super().forward(x, training)

    net = ol.Network([ol.layers.BatchNorm(5), ol.layers.Dropout(5, 0.5), Interrupting(5, 2)], seed=0)
    x, norm = np.random.default_rng(0).normal(size=(60, 5)), net.layers[0]
    before, momentum, stream = norm.running_mean.copy(), norm.momentum, net.layers[1].generator.state
    with pytest.raises(end):
        recompute_statistics(net, x, batch_size=20)
    np.testing.assert_array_equal(norm.running_mean, before)
    recompute_statistics(net, x, batch_size=20)
    assert (norm.running_mean != before).all()
    assert norm.momentum == momentum
    assert net.layers[1].generator.state == stream


def test_frozen_statistics_stay():
    net = ol.MLP([5, 4, 3, 2], batch_norm=True, seed=0)
    x = np.random.default_rng(0).normal(size=(60, 5))
    net.parameters.freeze("norm1")
    recompute_statistics(net, x)
    assert not net.layers[1].running_mean.any()
    assert net.layers[4].running_mean.any()
    net.parameters.freeze("norm2")
    with pytest.raises(ol.InputError, match="only frozen ones"):
        recompute_statistics(net, x)
