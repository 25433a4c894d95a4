"""Finite differences against the hand-written backward pass, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import losses
from .errors import InputError
from .layers import Activate, Dropout
from .losses import Loss
from .network import Network, seed_sequence

Floats = NDArray[np.float64]

STEP = 1e-5
"""Length of a finite difference. With the two step lengths below, its error is of order STEP^4 plus rounding / STEP."""

SMALL = 2000
"""Networks of at most this many numbers have every one checked by itself."""


class GradientError(AssertionError):
    """The backward pass disagrees with finite differences; the message names the worst entry."""


class GradientReport(NamedTuple):
    """What a gradient check that passed has looked at."""

    worst: str
    """The entry or direction with the largest relative error."""
    relative_error: float
    directions: int
    entries: int
    """Numbers checked one by one."""
    skipped: int
    """Differences given up since they crossed a kink however short they were made."""


def gradcheck(
    network: Network,
    x: Any,
    y: Any,
    *,
    loss: str | Loss = "softmax_cross_entropy",
    training: bool = True,
    directions: int = 10,
    every_entry: bool | None = None,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradientReport:
    """Compare ``network.backward`` with central differences of the loss.

    Works on a float64 copy; the network stays as it is. Checked are random directions in the space of all
    parameters and of the inputs, and each parameter by itself where there are at most 2,000 (or
    ``every_entry=True``). Dropout masks are drawn once and kept. Where an activation has a kink (ReLU), a difference
    that would cross it is shortened, and a point that sits on one is moved a little.

    The relative error of a derivative ``g`` against a difference ``d`` is
    ``|d - g| / (max(|d|, |g|) + 1e-3 (1 + |loss|))``, where the last term keeps rounding from counting when both are
    next to zero; it must not exceed ``tolerance``.

    Parameters
    ----------
    training: True for dropout on and batch norm on the batch; False for evaluation mode.

    Raises
    ------
    GradientError: naming the entry that is furthest off, such as ``dense1.W[3, 7]``.
    InputError: ``x`` or ``y`` does not fit the network.

    >>> import optimlab as ol
    >>> net = ol.MLP([4, 5, 3], activation="tanh", batch_norm=True, dropout=0.2, seed=0)
    >>> report = ol.gradcheck(net, np.random.default_rng(0).normal(size=(8, 4)), [0, 1, 2, 0, 1, 2, 0, 1])
    >>> report.relative_error < 1e-6, report.entries, report.skipped
    (True, 53, 0)
    """
    if directions < 1:
        raise InputError(f"directions must be at least 1, got {directions!r}")
    check = _Check(network, x, y, losses.get(loss), training, np.random.default_rng(seed_sequence(seed)))
    parameters = check.twin.parameters
    if every_entry is None:
        every_entry = parameters.data.size <= SMALL

    results = []
    for k in range(directions):
        results.append(check.direction(f"random direction {k + 1} of the parameters", parameters.data, check.gradient))
        results.append(check.direction(f"random direction {k + 1} of the inputs", check.x, check.input_gradient))
    failed = any(r.error > tolerance for r in results)
    entries = []
    if every_entry or failed:
        # name the culprit: in a large network, look where the gradient is largest and at random
        indices: Any = range(parameters.data.size)
        if not every_entry and len(indices) > SMALL:
            largest = np.argsort(-abs(check.gradient))[: SMALL // 2]
            indices = np.union1d(largest, check.generator.choice(parameters.data.size, SMALL // 2, replace=False))
        entries = [check.entry(int(i)) for i in indices]
    done = [r for r in results + entries if not r.skipped]
    if not done:
        raise GradientError("every finite difference crosses a kink of the activations; use other inputs")
    wrong = [r for r in entries if r.error > tolerance]
    worst = max(wrong or done, key=lambda r: r.error)
    if worst.error > tolerance:
        raise GradientError(
            f"{worst.name}: backward gives {worst.derivative:.9g}, finite differences {worst.difference:.9g} "
            f"(relative error {worst.error:.2g})"
            + (f"; {len(wrong)} of the {len(entries)} entries checked are wrong" if wrong else "")
        )
    skipped = len(results) + len(entries) - len(done)
    return GradientReport(worst.name, worst.error, len(results), len(entries), skipped)


class _Result(NamedTuple):
    name: str
    derivative: float
    difference: float
    error: float
    skipped: bool = False


class _Check:
    """A float64 copy of the network at one point, its loss as a function, and its gradient there."""

    def __init__(
        self,
        network: Network,
        x: Any,
        y: Any,
        loss: Loss,
        training: bool,
        generator: np.random.Generator,
    ) -> None:
        self.twin = network.copy("float64")
        self.generator = generator
        twin, backend = self.twin, network.backend
        for p in twin.parameters:
            p.frozen = False
        for layer in twin.layers:
            if isinstance(layer, Dropout):
                layer.hold = True
        self.x = twin.check_inputs(x).copy()
        targets = loss.check(backend, y, (len(self.x), twin.outputs))
        buffer = backend.empty((len(self.x), twin.outputs), "float64")

        def value_and_gradient() -> tuple[float, Any]:
            with backend.quiet():
                return loss(backend, twin.forward(self.x, training), targets, buffer)

        self._loss = value_and_gradient
        self._move_off_kinks()
        self.value, gradient = self._loss()
        if not math.isfinite(self.value):
            raise InputError("the loss is not finite for these inputs and weights")
        self.input_gradient: Floats = twin.backward(gradient, input_gradient=True).copy()
        self.gradient: Floats = twin.parameters.grad.copy()
        self.pattern = self._pattern()

    def _kinked(self) -> list[Activate]:
        return [layer for layer in self.twin.layers if isinstance(layer, Activate) and layer.activation.has_kink]

    def _pattern(self) -> list[Any]:
        """On which side of its kink each unit is."""
        return [layer._x > 0 for layer in self._kinked()]

    def _move_off_kinks(self) -> None:
        for _ in range(10):
            self._loss()
            if not any(bool((abs(layer._x) < STEP / 1000).any()) for layer in self._kinked()):
                return
            for values in (self.x, self.twin.parameters.data):
                values += 1e-2 * self.generator.standard_normal(values.shape)

    def direction(self, name: str, values: Any, gradient: Floats) -> _Result:
        """The derivative along a random direction of ``values``, an array the loss depends on."""
        origin = values.copy()
        for _ in range(5):
            signs = self.generator.choice([-1.0, 1.0], values.shape)

            def move(h: float, signs: Floats = signs) -> None:
                values[...] = origin + h * signs

            result = self._compare(name, float((gradient * signs).sum()), move)
            if not result.skipped:
                break
        values[...] = origin
        return result

    def entry(self, i: int) -> _Result:
        """The derivative by one parameter."""
        data = self.twin.parameters.data
        origin = float(data[i])

        def move(h: float) -> None:
            data[i] = origin + h

        p = next(p for p in self.twin.parameters if p.start <= i < p.stop)
        index = ", ".join(str(int(k)) for k in np.argwhere(p.view(np.arange(data.size)) == i)[0])
        result = self._compare(f"{p.name}[{index}]", float(self.gradient[i]), move)
        data[i] = origin
        return result

    def _compare(self, name: str, derivative: float, move: Callable[[float], None]) -> _Result:
        for h in (STEP, STEP / 10, STEP / 100):
            slopes = [self._slope(move, length) for length in (h, h / 2)]
            if None not in slopes:
                break
        else:
            return _Result(name, derivative, math.nan, 0.0, skipped=True)
        wide, narrow = slopes
        difference = (4 * narrow - wide) / 3  # type: ignore[operator]  # Richardson: the h^2 terms cancel
        # the shorter the difference, the larger its rounding error
        floor = 1e-3 * (1 + abs(self.value)) * (STEP / h)
        error = abs(derivative - difference) / (max(abs(derivative), abs(difference)) + floor)
        # a NaN must fail, not pass
        return _Result(name, derivative, difference, error if math.isfinite(error) else math.inf)

    def _slope(self, move: Callable[[float], None], h: float) -> float | None:
        """The central difference of length h, or None if it crosses a kink."""
        values = []
        for sign in (1, -1):
            move(sign * h)
            values.append(self._loss()[0])
            if any(bool((a != b).any()) for a, b in zip(self._pattern(), self.pattern, strict=True)):
                return None
        return (values[0] - values[1]) / (2 * h)
