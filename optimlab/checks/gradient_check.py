"""Comparison of hand-written derivatives with finite differences, in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends import Array, Backend
from ..common.errors import InputError, count, number
from ..nn import regularization
from ..nn.activations import Activation
from ..nn.buffers import Buffers
from ..nn.layers import Activate, Dropout, Layer, within
from ..nn.losses import Loss
from ..nn.network import Network, seed_sequence
from ..nn.own_losses import LossFunction, chosen, own
from ..nn.parameters import stretches
from ..nn.regularization import Penalty

Floats = NDArray[np.float64]

STEP = 1e-5
"""Step of a finite difference. With the two step lengths below, the error is of order STEP^4 plus rounding / STEP."""

SMALL = 2000
"""Largest size of an array whose entries are all checked individually."""


class GradientError(AssertionError):
    """An error for a gradient that disagrees with finite differences; the message names the worst entry."""


class GradientReport(NamedTuple):
    """The result of a gradient check that passed."""

    worst: str
    """The name of the entry or direction with the largest relative error."""
    relative_error: float
    directions: int
    entries: int
    """Number of entries checked individually."""
    skipped: int
    """Number of differences skipped because they crossed a kink even at the shortest step."""


def gradcheck(
    checked: Network | Layer | Activation | Loss | LossFunction,
    x: Any,
    y: Any = None,
    *,
    loss: str | Loss | LossFunction | None = None,
    penalties: Sequence[Penalty] = (),
    training: bool = True,
    directions: int = 10,
    every_entry: bool | None = None,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradientReport:
    """Compare hand-written derivatives with central differences.

    ::

        gradcheck(net, x, y)                 backward of a network, from the loss of its outputs and y
        gradcheck(layer, x)                  backward of a layer: gradients of its parameters and inputs
        gradcheck(activation, x)             backward of an activation
        gradcheck(loss, outputs, targets)    gradient of a loss: a Loss, or f(outputs, targets) -> (loss, gradient)

    The check works on a float64 copy in which nothing is frozen; the arguments do not change. Without ``y``, the loss
    is a random linear function of the outputs. A layer that belongs to a network is checked at its present weights. A
    new layer is checked near its initial weights, because exact zeros and ones would hide a missing term.

    The check covers random directions in the space of all parameters and of the inputs. It also covers each parameter
    individually, if there are at most 2,000 (or with ``every_entry=True``), and each input, unless a whole network is
    checked. Dropout masks are drawn once and kept. If an activation has a kink (ReLU), a difference that would cross it
    is shortened, and a point on the kink is moved slightly. Keep away from the kinks of your own layers and losses
    yourself.

    The relative error of a derivative ``g`` against a difference ``d`` is
    ``|d - g| / (max(|d|, |g|) + 1e-3 (1 + |loss|))``. The last term keeps rounding errors from counting when both are
    close to zero. The relative error must not exceed ``tolerance``.

    Parameters
    ----------
    x: inputs, shape ``(batch, features)``; for a loss, its outputs argument; for an activation also ``(features,)``.
    y: targets, as the loss takes them.
    loss: the loss of a network's outputs; None for the usual one, see :func:`optimlab.fit`.
    penalties: such as ``[ol.L1(1e-3)]``; their values and gradients are added to those of the loss.
    training: True for dropout on and batch norm on the batch; False for evaluation mode.

    Raises
    ------
    GradientError: a derivative is wrong; the message names the worst entry, such as ``dense1.W[3, 7]``.
    InputError: ``x`` or ``y`` does not fit; or the checked function draws random numbers, so that it is not fixed.

    >>> import optimlab as ol
    >>> net = ol.MLP([4, 5, 3], activation="tanh", batch_norm=True, dropout=0.2, seed=0)
    >>> x = np.random.default_rng(0).normal(size=(8, 4))
    >>> report = ol.gradcheck(net, x, [0, 1, 2, 0, 1, 2, 0, 1])
    >>> report.relative_error < 1e-6, report.entries, report.skipped
    (True, 53, 0)

    >>> def halved(outputs, targets):
    ...     error = outputs - targets
    ...     return (error**2).mean(), error / error.size
    >>> ol.gradcheck(halved, [[1.0, 3.0]], np.zeros((1, 2)))
    Traceback (most recent call last):
    ...
    optimlab.checks.gradient_check.GradientError: entry [0, 1] of the outputs: halved gives 1.5, finite differences ...
    """
    __tracebackhide__ = True  # pytest shows the line that called
    directions, tolerance = count("directions", directions), number("tolerance", tolerance, low=0)
    generator = np.random.default_rng(seed_sequence(seed))
    given, source = "inputs", "backward"
    if isinstance(checked, Network):
        network = checked
    elif isinstance(checked, Layer):
        network = _alone(checked, generator)
    elif isinstance(checked, Activation):
        x = np.atleast_2d(x)
        network = Network([Activate(x.shape[-1], checked)])
    elif callable(checked) and not isinstance(checked, type):
        # a loss or an activation is checked as an empty network under this loss
        network = Network([Activate(np.atleast_2d(x).shape[-1], "identity")])
        given, source = "outputs", str(getattr(checked, "name", getattr(checked, "__name__", "loss")))
        if y is None:
            raise InputError(f"{source} needs targets: gradcheck({source}, outputs, targets)")
        loss = checked if isinstance(checked, Loss) else own(checked, network, y)
    else:
        raise InputError(f"expected a network, a layer, an activation, or a loss, got {checked!r}")
    if network.backend.asynchronous:
        raise InputError("gradients are checked on a CPU, in float64; make the network with backend='numpy'")
    found = _linear(generator) if y is None else chosen(network, loss, y)
    check = _Check(network, x, y, found, penalties, training, generator)
    parameters = _Variable(check.twin.parameters.data, check.gradient, "the parameters", check.parameter_name)
    inputs = _Variable(check.x, check.input_gradient, f"the {given}", lambda at: f"entry {list(at)} of the {given}")

    results = []
    for k in range(directions):
        for variable in (parameters, inputs):
            if variable.values.size:
                results.append(check.direction(f"random direction {k + 1} of {variable.name}", variable))
    failed = any(r.error > tolerance for r in results)
    entries = check.entries(parameters, every_entry, failed)
    # the gradient of a network's inputs depends on every layer: search it only for errors that no parameter shows
    if network is not checked or (failed and not any(r.error > tolerance for r in entries)):
        entries += check.entries(inputs, every_entry, failed)
    done = [r for r in results + entries if not r.skipped]
    if not done:
        raise GradientError("every finite difference crosses a kink of the activations; use other inputs")
    wrong = [r for r in entries if r.error > tolerance]
    worst = max(wrong or done, key=lambda r: r.error)
    if worst.error > tolerance:
        raise GradientError(
            f"{worst.name}: {source} gives {worst.derivative:.9g}, finite differences {worst.difference:.9g} "
            f"(relative error {worst.error:.2g})"
            + (f"; {len(wrong)} of the {len(entries)} entries checked are wrong" if wrong else "")
        )
    skipped = len(results) + len(entries) - len(done)
    return GradientReport(worst.name, worst.error, len(results), len(entries), skipped)


def _alone(layer: Layer, generator: np.random.Generator) -> Network:
    """Return a network that consists of a copy of ``layer``."""
    twin = copy.deepcopy(layer)
    backend = getattr(layer, "backend", "numpy")
    network = Network([twin], seed=int(generator.integers(2**32)), dtype="float64", backend=backend)
    if hasattr(layer, "name"):
        for p in network.parameters:
            p.name = getattr(layer, p.name.rpartition(".")[2]).name
    else:
        network.parameters.data += 0.1 * generator.standard_normal(network.parameters.data.size)
    return network


def _linear(generator: np.random.Generator) -> Loss:
    """Return the loss sum c y with random c: a backward pass that is correct for this loss is correct for any loss."""

    def call(backend: Backend, y: Array, c: Array, out: Array, buffers: Buffers) -> Array:
        out[...] = c
        return (c * y).sum(keepdims=True).reshape(1)

    def draw(backend: Backend, targets: Any, shape: tuple[int, ...]) -> Array:
        return backend.asarray(generator.standard_normal(shape))

    return Loss("linear", call, draw)


class _Variable(NamedTuple):
    """An array that the loss depends on."""

    values: Floats
    gradient: Floats
    name: str
    entry_name: Callable[[tuple[int, ...]], str]


class _Result(NamedTuple):
    name: str
    derivative: float
    difference: float
    error: float
    skipped: bool = False


class _Check:
    """A float64 copy of the network at one point, its loss as a function, and its gradients there."""

    def __init__(
        self,
        network: Network,
        x: Any,
        y: Any,
        loss: Loss,
        penalties: Sequence[Penalty],
        training: bool,
        generator: np.random.Generator,
    ) -> None:
        self.twin = network.copy("float64")
        self.generator = generator
        twin, backend = self.twin, network.backend
        for p in twin.parameters:
            p.frozen = False
        for layer in within(twin.layers):
            if isinstance(layer, Dropout):
                layer.hold = True
        # copies, which do not keep the twin's arrays alive
        self.penalties = [copy.copy(p) for p in regularization.checked("penalties", penalties, twin.parameters)]
        bent = [p for p in self.penalties if getattr(p, "has_kink", False)]
        groups = [twin.parameters.select(getattr(p, "group", "weights")) for p in bent]
        self.bent = [twin.parameters.data[part] for members in groups for part in stretches(members)]
        self.x = twin.check_inputs(x).copy()
        shape = (len(self.x), twin.outputs)
        targets = loss.prepared(backend, twin.check_targets(loss, y, len(self.x)), "float64")
        gradient, buffers = backend.empty(shape, "float64"), Buffers(backend, "float64")

        def value_and_gradient() -> tuple[float, Any]:
            with backend.quiet():
                outputs = twin.forward(self.x, training)
                if outputs.shape != shape:
                    raise InputError(f"forward returns outputs of shape {outputs.shape}, expected {shape}")
                value = float(loss(backend, outputs, targets, gradient, buffers)[0])
                return value + self._penalise(add_gradient=False), gradient

        self._loss = value_and_gradient
        self._move_off_kinks()
        # run twice, to detect a gradient that is added to the previous one instead of replacing it
        values = [self._forward_and_backward() for _ in range(2)]
        self.value = values[0]
        if not math.isfinite(self.value):
            raise InputError("the loss is not finite for these inputs and weights")
        if abs(values[0] - values[1]) > 1e-9 * (1 + abs(values[0])):
            raise InputError(f"not a fixed function: a second pass changes the loss {values[0]:.9g} to {values[1]:.9g}")
        self.gradient: Floats = twin.parameters.grad.copy()
        self.pattern = self._pattern()

    def _forward_and_backward(self) -> float:
        value, gradient = self._loss()
        dx = self.twin.backward(gradient, input_gradient=True)
        if np.shape(dx) != self.x.shape:
            raise InputError(f"backward returns an input gradient of shape {np.shape(dx)}, expected {self.x.shape}")
        self.input_gradient: Floats = dx.copy()
        self._penalise(add_gradient=True)
        return value

    def _penalise(self, add_gradient: bool) -> float:
        """Return the sum of the penalties; add their gradients to the twin's if ``add_gradient``."""
        if not self.penalties:
            return 0.0
        parameters = self.twin.parameters
        before = parameters.grad.copy()
        value = sum(float(regularization.value_of(penalty, parameters)) for penalty in self.penalties)
        if not add_gradient:
            parameters.grad[...] = before
        return value

    def _at_kinks(self) -> list[Array]:
        """Return the arrays whose zeros are kinks."""
        layers = [layer for layer in within(self.twin.last_pass.layers) if isinstance(layer, Activate)]
        return [*(layer._x - kink for layer in layers for kink in layer.activation.switches), *self.bent]

    def _pattern(self) -> list[Any]:
        """Return the side of its kink for each unit, and for each weight under a penalty with a kink."""
        return [values > 0 for values in self._at_kinks()]

    def _move_off_kinks(self) -> None:
        for _ in range(10):
            self._loss()
            if not any(bool((abs(values) < STEP / 1000).any()) for values in self._at_kinks()):
                return
            for values in (self.x, self.twin.parameters.data):
                values += 1e-2 * self.generator.standard_normal(values.shape)

    def direction(self, name: str, variable: _Variable) -> _Result:
        """Check the derivative along a random direction of an array."""
        values, origin = variable.values, variable.values.copy()
        for _ in range(5):
            signs = self.generator.choice([-1.0, 1.0], values.shape)

            def move(h: float, signs: Floats = signs) -> None:
                values[...] = origin + h * signs

            result = self._compare(name, float((variable.gradient * signs).sum()), move)
            if not result.skipped:
                break
        values[...] = origin
        return result

    def entries(self, variable: _Variable, every_entry: bool | None, failed: bool) -> list[_Result]:
        """Check the derivatives by the entries of an array, if requested or needed."""
        size = variable.values.size
        if not failed and not (size <= SMALL if every_entry is None else every_entry):
            return []
        indices: Any = range(size)
        if size > SMALL and not every_entry:
            # find the wrong entry: in a large array, check the largest gradients and a random sample
            largest = np.argsort(-abs(variable.gradient), axis=None)[: SMALL // 2]
            indices = np.union1d(largest, self.generator.choice(size, SMALL // 2, replace=False))
        return [self.entry(variable, int(i)) for i in indices]

    def entry(self, variable: _Variable, i: int) -> _Result:
        """Check the derivative by one entry of an array."""
        values = variable.values
        at = tuple(int(k) for k in np.unravel_index(i, values.shape))
        origin = float(values[at])

        def move(h: float) -> None:
            values[at] = origin + h

        result = self._compare(variable.entry_name(at), float(variable.gradient[at]), move)
        values[at] = origin
        return result

    def parameter_name(self, at: tuple[int, ...]) -> str:
        """Return the name of the number at this index of the flat buffer, such as ``dense1.W[3, 7]``."""
        flat, (i,) = self.twin.parameters, at
        p = next(p for p in flat if p.start <= i < p.stop)
        index = ", ".join(str(int(k)) for k in np.argwhere(p.view(np.arange(flat.data.size)) == i)[0])
        return f"{p.name}[{index}]"

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
        """Return the central difference of step h, or None if it crosses a kink."""
        values = []
        for sign in (1, -1):
            move(sign * h)
            values.append(self._loss()[0])
            if any(bool((a != b).any()) for a, b in zip(self._pattern(), self.pattern, strict=True)):
                return None
        return (values[0] - values[1]) / (2 * h)
