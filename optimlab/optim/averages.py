"""Combinations of networks: averages of the weights along a run, and ensembles that average predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..backends import Array
from ..common.errors import InputError, count, number
from ..nn.layers import BatchNorm, within
from ..nn.network import Network
from .optimizers import Optimizer


class AverageWeights:
    """A running average of a network's weights and batch-norm statistics, stored separately from them.

    The average is exponential with ``decay``, and the plain mean of all updates (Polyak) without::

        average <- decay average + (1 - decay) w        or        average <- average + (w - average) / n

    Batch norm's running statistics are averaged like the weights. :meth:`recompute_statistics` can compute them anew
    for the averaged network.

    As a callback of ``fit``, the average restarts with each run and is updated after every step. In your own loop,
    call :meth:`update`. :meth:`applied` puts the average into the network temporarily.

    Reference: Polyak & Juditsky (1992); Izmailov et al. (2018) for the recomputed statistics.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], use_bias=False, initializer="zeros")
    >>> mean = AverageWeights(net)
    >>> for value in (1.0, 2.0, 6.0):
    ...     net.parameters.data[...] = value
    ...     mean.update()
    >>> with mean.applied():
    ...     net.parameters.data.tolist()
    [3.0, 3.0]
    >>> net.parameters.data.tolist()
    [6.0, 6.0]
    """

    def __init__(self, network: Network, decay: float | None = None) -> None:
        self.network = network
        self.decay = None if decay is None else number("decay", decay, low=0, below=1)
        self.updates = 0
        self._average = {name: array.copy() for name, array in network.learned().items()}
        self._scratch = {name: array.copy() for name, array in self._average.items()}

    def update(self) -> None:
        """Add the network's present weights to the average."""
        self.updates += 1
        # either kind of average begins as the weights of its first update
        share = 1 / self.updates if self.decay is None or self.updates == 1 else 1 - self.decay
        xp = self.network.backend.xp
        for name, array in self.network.learned().items():
            difference = self._scratch[name]
            xp.subtract(array, self._average[name], out=difference)
            difference *= share
            self._average[name] += difference

    def on_begin(self, network: Network, optimizer: Optimizer, history: Any) -> None:
        """Forget earlier updates. ``fit`` calls this before the first step."""
        self._check(network)
        self.updates = 0
        for name, array in network.learned().items():  # otherwise a NaN of an earlier run would stay in the average
            self._average[name][...] = array

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        """Update the average. ``fit`` calls this after each step."""
        self._check(network)
        self.update()

    def _check(self, network: Network) -> None:
        if network is not self.network:
            raise InputError("this average belongs to another network: make an AverageWeights of the one you train")

    def state(self) -> dict[str, Any]:
        """Return the state that :class:`optimlab.Checkpoint` stores."""
        return {"updates": self.updates, **self._average}

    def load(self, state: dict[str, Any], network: Network) -> None:
        """Continue from :meth:`state`."""
        self.updates = state["updates"]
        for name, array in self._average.items():
            array[...] = state[name]

    def swap(self) -> None:
        """Exchange the network's weights and the average."""
        if not self.updates:
            raise InputError("nothing has been averaged yet")
        for name, array in self.network.learned().items():
            self._scratch[name][...] = array
            array[...] = self._average[name]
            self._average[name][...] = self._scratch[name]

    @contextmanager
    def applied(self) -> Iterator[Network]:
        """Put the average into the network until the ``with`` block ends."""
        self.swap()
        try:
            yield self.network
        finally:
            self.swap()

    def recompute_statistics(self, x: Any, batch_size: int = 256) -> None:
        """Set the averaged network's batch-norm statistics to the mean over the batches of ``x``."""
        with self.applied():
            recompute_statistics(self.network, x, batch_size)


def recompute_statistics(network: Network, x: Any, batch_size: int = 256) -> None:
    """Set each batch norm's running mean and variance to the mean over the batches of ``x``.

    Call it after averaging, loading or editing weights: the old statistics belong to other weights and are discarded.
    Nothing else changes, neither dropout's random numbers nor a pending backward pass. If the call is interrupted,
    nothing changes at all. A frozen batch norm keeps its statistics.

    Raises
    ------
    InputError: there are fewer than two rows, or every batch norm is frozen, or there is none.

    >>> import numpy as np, optimlab as ol
    >>> net = ol.Network([ol.layers.BatchNorm(1)], dtype="float64")
    >>> recompute_statistics(net, [[1.0], [3.0], [5.0], [9.0]], batch_size=2)
    >>> net.layers[0].running_mean, net.layers[0].running_var
    (array([4.5]), array([2.5]))
    """
    twin = network.copy()
    both = zip(within(network.layers), within(twin.layers), strict=True)
    norms = [(own, norm) for own, norm in both if isinstance(norm, BatchNorm) and not norm.frozen]
    if not norms:
        raise InputError("there are no statistics to compute: the network has no batch norm, or only frozen ones")
    x = network.check_inputs(x)
    size = count("batch_size", batch_size)
    # skip a last batch of one row, which has no variance
    batches = [x[start : start + size] for start in range(0, len(x), size) if len(x) - start > 1]
    if not batches or size < 2:
        raise InputError("batch-norm statistics need batches of at least two rows")
    for _, norm in norms:
        for statistic in norm.state().values():
            statistic[...] = 0  # an old NaN would survive multiplication by zero
    for n, batch in enumerate(batches, 1):
        for _, norm in norms:
            norm.share = 1 / n
        twin.forward(batch, training=True)
    for own, norm in norms:
        for name, statistic in own.state().items():
            statistic[...] = norm.state()[name]


class Ensemble:
    """Networks whose predictions are averaged: class probabilities, or the outputs of a regression.

    The networks may be one model from several seeds, the best of a search, or snapshots along one run.

    Raises
    ------
    InputError: there are no networks, their inputs or outputs differ in number, or classifiers and regressions are
        mixed.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> nets = [ol.MLP([64, 10], seed=seed) for seed in range(3)]
    >>> both = Ensemble(nets)
    >>> both.predict_proba(data.x_test[:2]).shape, both.predict(data.x_test[:2]).shape
    ((2, 10), (2,))
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        if not networks:
            raise InputError("an ensemble needs at least one network")
        first = networks[0]
        for network in networks:
            if (network.inputs, network.outputs) != (first.inputs, first.outputs):
                raise InputError(
                    f"the networks of an ensemble must have the same inputs and classes: {first.inputs} and "
                    f"{first.outputs} in one, {network.inputs} and {network.outputs} in another"
                )
            if network.of_classes != first.of_classes:
                raise InputError("the ensemble mixes classifiers and regressions; its networks must all be of one kind")
        self.networks = list(networks)

    def predict_proba(self, x: Any) -> Array:
        """Return the networks' mean probabilities, shape ``(rows, classes)``; see :meth:`Network.predict_proba`."""
        return self._mean([network.predict_proba(x) for network in self.networks])

    def predict(self, x: Any) -> Array:
        """Return the most likely class of each row; for a regression, the mean output. See :meth:`Network.predict`."""
        if self.networks[0].of_classes:
            return self.predict_proba(x).argmax(axis=-1)
        return self._mean([network.predict(x) for network in self.networks])

    def _mean(self, answers: list[Array]) -> Array:
        return sum(answers[1:], answers[0]) / len(answers)


class Snapshots:
    """A callback that keeps a copy of the network every ``every`` epochs, for an :class:`Ensemble`.

    It suits a learning rate that rises and falls: take each copy at the minimum.

    Reference: Huang et al. (2017), "Snapshot ensembles: train 1, get M for free".

    >>> import optimlab as ol
    >>> net = ol.MLP([64, 10], seed=0)
    >>> keep = Snapshots(every=2)
    >>> history = ol.fit(net, ol.SGD(net.parameters), ol.datasets.load("digits"), epochs=6, callbacks=[keep])
    >>> len(keep.networks)
    3
    """

    def __init__(self, every: int) -> None:
        self.every = count("every", every)
        self.networks: list[Network] = []

    def on_begin(self, network: Network, optimizer: Optimizer, history: Any) -> None:
        """Begin a new list. ``fit`` calls this before the first step."""
        self.networks = []

    def __call__(self, network: Network, optimizer: Optimizer, history: Any) -> None:
        if history.epochs % self.every == 0:
            self.networks.append(network.copy())

    def state(self) -> dict[str, Any]:
        """Return the state that :class:`optimlab.Checkpoint` stores."""
        kept = {f"{k}/{name}": a for k, net in enumerate(self.networks) for name, a in net.learned().items()}
        return {"count": len(self.networks), **kept}

    def load(self, state: dict[str, Any], network: Network) -> None:
        """Continue from :meth:`state`."""
        self.networks = [network.copy() for _ in range(state["count"])]
        for k, net in enumerate(self.networks):
            for name, array in net.learned().items():
                array[...] = state[f"{k}/{name}"]

    def ensemble(self) -> Ensemble:
        """Return the ensemble of the kept networks."""
        return Ensemble(self.networks)
