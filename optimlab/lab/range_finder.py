"""Find a learning rate before training: raise it step by step and watch where the loss falls, and where it bursts."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..backends import Array, NotFinite
from ..common.errors import InputError, concise, count, number
from ..common.markup import sparkline, together
from ..datasets import Dataset
from ..nn.buffers import Buffers
from ..nn.layers import BatchNorm, within
from ..nn.losses import Loss
from ..nn.network import Network, seed_sequence
from ..nn.own_losses import LossFunction, chosen
from ..optim.optimizers import Optimizer
from ..training.checks import check_dataset
from ..training.step import Epoch, Step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING = 0.8
"""Decay of the exponential average of the loss: it lags four steps behind, and forgets most within ten."""

BURST = 4.0
"""A loss that is never negative has diverged once its average is more than this many times the lowest."""


@dataclass(frozen=True)
class LearningRateRange:
    """Result of :func:`find_lr`.

    Attributes
    ----------
    rates: the rate of each step made.
    losses: the loss of each step's batch, before the update at that rate.
    smoothed: their exponential average, corrected for its start at zero.
    suggestion: the rate at which ``smoothed`` falls fastest; None where it does not fall.
    diverged_at: the rate at which the loss had diverged; None where it did not.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    diverged_at: float | None

    def figure(self) -> Figure:
        """Draw loss against rate, with the suggestion marked. Needs Matplotlib."""
        from ..plotting.range_finder import range_figure

        return range_figure(self.rates, self.losses, self.smoothed, self.suggestion, self.diverged_at)

    plot = figure

    def __repr__(self) -> str:
        return f"<LearningRateRange: {self._told()}>"

    def _repr_html_(self) -> str:
        positive = all(v > 0 for v in self.smoothed)
        shown = "logarithm of the smoothed loss" if positive else "smoothed loss"
        curve = sparkline([math.log(v) if positive else v for v in self.smoothed], shown)
        return together(f"Learning rates: {self._told()}. The {shown}:", curve)

    def _told(self) -> str:
        tried = f" from {concise(self.rates[0])} to {concise(self.rates[-1])}" if self.rates else ""
        found = "no suggestion" if self.suggestion is None else f"suggestion {concise(self.suggestion)}"
        end = "" if self.diverged_at is None else f", diverged at {concise(self.diverged_at)}"
        return f"{len(self.rates)} steps{tried}, {found}{end}"


def find_lr(
    network: Network,
    optimizer: Optimizer,
    data: Dataset,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 64,
    loss: str | Loss | LossFunction | None = None,
    seed: int | np.random.SeedSequence = 0,
) -> LearningRateRange:
    """Train copies of ``network`` and ``optimizer`` at a rate that rises by the same factor each step.

    ::

        rate_k     = low (high / low)^(k / (steps - 1))            k = 0, ..., steps - 1
        average_k  = 0.8 average_(k-1) + 0.2 loss_k                average_(-1) = 0
        smoothed_k = average_k / (1 - 0.8^(k + 1))
        suggestion = rate_k of the lowest (smoothed_(k+1) - smoothed_(k-1)) / 2

    The suggestion is thus where the smoothed loss falls fastest against the logarithm of the rate, looked for from
    the fifth step on (an average of fewer losses is noise) to the lowest smoothed loss. It is a place to start from,
    not the best rate, and errs on the high side, since the average lags: a third of it is the cautious choice. (Smith
    reads off the range in which the loss falls at all.)

    The run ends early when a loss is not finite, which is left out, or ``smoothed`` is more than 4 times its lowest.
    If a loss was negative, a multiple of the lowest means nothing. Then the run ends when ``smoothed`` has risen above
    its lowest by more than 3 times the larger of two numbers: the size of the lowest, and its distance from the first.
    The network and the optimizer do not change. A group with a rate of its own keeps it. A schedule of epochs keeps the
    value of the optimizer's present epoch, or of epoch 0 before the first.

    Parameters
    ----------
    steps: at least 20, one batch each; all batches are full, in an order drawn from ``seed``.
    loss: as for :func:`optimlab.fit`.

    Raises
    ------
    InputError: rates, steps, a batch size, data, or an optimizer that cannot be used.

    Reference: Smith (2017), "Cyclical learning rates for training neural networks", section 3.3.

    >>> import optimlab as ol
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> found = find_lr(net, ol.SGD(net.parameters), ol.datasets.load("digits"), high=100)
    >>> 0.01 < found.suggestion < 1 < found.diverged_at
    True
    """
    rates = _rates(low, high, steps)
    if optimizer.parameters is not network.parameters:
        raise InputError("the optimizer was made for another network's parameters")
    check_dataset(data)
    loss = chosen(network, loss, data.y_train)
    size = count("batch_size", batch_size)
    x, targets, order = _checked(network, data, loss, size, seed)
    network, optimizer = copy.deepcopy((network, optimizer))  # together: one trains the other's parameters
    optimizer.epoch = optimizer.epoch or 0
    epoch = Epoch(network, x, targets, size)
    step = Step(network, loss, epoch, optimizer.step, Buffers(network.backend, network.dtype))
    measured: list[float] = []
    smoothed: list[float] = []
    average, diverged_at = 0.0, None
    with network.backend.quiet():
        for k, rate in enumerate(rates):
            if k % epoch.full == 0:
                epoch.arrange(order.permutation(len(x)))
                epoch.at[0] = 0
            optimizer.lr = rate
            try:
                step()
                value = float(epoch.results[k % epoch.full, 0])
            except NotFinite:
                value = math.nan
            if not math.isfinite(value):
                diverged_at = rate
                break
            measured.append(value)
            average = SMOOTHING * average + (1 - SMOOTHING) * value
            smoothed.append(average / (1 - SMOOTHING ** len(measured)))
            if smoothed[-1] > _highest(measured, smoothed):
                diverged_at = rate
                break
    made = tuple(rates[: len(measured)])
    return LearningRateRange(made, tuple(measured), tuple(smoothed), _steepest(made, smoothed), diverged_at)


def _highest(losses: Sequence[float], smoothed: Sequence[float]) -> float:
    """Return the smoothed loss above which the loss has diverged."""
    lowest = min(smoothed)
    if min(losses) >= 0:
        return BURST * lowest
    return lowest + (BURST - 1) * max(abs(lowest), smoothed[0] - lowest)


def _rates(low: float, high: float, steps: int) -> list[float]:
    low, high = number("low", low, positive=True), number("high", high, positive=True)
    if not low < high:
        raise InputError(f"low must be less than high, got {low:g} and {high:g}")
    if count("steps", steps) < 20:
        raise InputError(f"steps must be at least 20 to show a curve, got {steps}")
    return [float(rate) for rate in np.geomspace(low, high, steps)]


def _checked(
    network: Network, data: Dataset, loss: Loss, size: int, seed: int | np.random.SeedSequence
) -> tuple[Array, Array, np.random.Generator]:
    """Return inputs, prepared targets and the generator that draws the order of the rows; all batches are full."""
    backend, x = network.backend, network.check_inputs(data.x_train)
    rows = len(x)
    if size > rows:
        raise InputError(f"batch_size {size} is larger than the {rows} rows of training data")
    if size == 1 and any(isinstance(layer, BatchNorm) and not layer.frozen for layer in within(network.layers)):
        raise InputError("batch norm cannot train on a batch of one row; choose another batch_size")
    if not bool(backend.xp.isfinite(x).all()):
        raise InputError("the training inputs hold NaN or infinite values")
    y = network.check_targets(loss, data.y_train, rows)
    return x, loss.prepared(backend, y, network.dtype), np.random.default_rng(seed_sequence(seed))


def _steepest(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """Find the rate where ``smoothed`` falls fastest before its lowest value. Rates rise by one factor a step."""
    begin, lowest = round(1 / (1 - SMOOTHING)) - 1, int(np.argmin(smoothed)) if smoothed else 0
    if lowest <= begin:
        return None
    slope = np.gradient(smoothed)[begin : lowest + 1]
    return rates[begin + int(slope.argmin())] if slope.min() < 0 else None
