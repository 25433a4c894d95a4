"""The layers, forward and backward side by side.

``x`` and ``y`` have shape ``(batch, features)``. ``forward(x, training)`` returns ``y``; ``backward(dy)`` takes
``dL/dy``, writes the gradient of each parameter into its view of the flat buffer (replacing what was there), and
returns ``dL/dx``. Both return arrays that the layer owns and fills again at the next call: copy what you keep.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import activations, initializers
from .activations import Activation
from .backends import Array, Backend
from .errors import InputError, count, lookup, number
from .initializers import Constant, Initializer, Uniform
from .parameters import Parameter

BATCH_NORM = {"textbook": (0.9, 1e-5), "torch": (0.1, 1e-5), "keras": (0.99, 1e-3)}
"""Batch norm's default momentum and epsilon in each convention."""


class Declared(NamedTuple):
    """A parameter that a layer asks for: attribute name, kind of group, shape, initial values."""

    attribute: str
    kind: str
    shape: tuple[int, ...]
    initializer: Initializer


class Layer:
    """The base of all layers: a name, a backend, and output arrays that are allocated once.

    A new layer sets ``inputs`` and ``outputs`` (numbers of features), lists its parameters in ``declare``, and
    writes ``forward`` and ``backward``. Attributes that these two set and whose names begin with an underscore
    belong to one pass: copies and pickles leave them out, and an evaluation has its own. An evaluation changes no other
    attribute. An evaluation also has doubles of the layers, dictionaries and lists that the layer holds.
    """

    inputs: int
    outputs: int
    prefix = "layer"
    """The beginning of the layer's name in a network."""
    _kept: frozenset[str] | None = None
    """Names of the attributes that the layer had when its network was made: they are kept between passes."""
    _holders: tuple[str, ...] = ()
    """Names of those whose values are layers, dictionaries or lists, which a pass may change."""
    lead: tuple[int, ...] = ()
    """What stands before ``(batch, features)`` in every shape: ``(R,)`` in a network of R replicas, see
    :mod:`optimlab.replicas`."""

    def declare(self) -> list[Declared]:
        """The parameters this layer needs; the network makes each an attribute of it."""
        return []

    def build(self, name: str, dtype: str, backend: Backend, seed: np.random.SeedSequence) -> None:
        """Called once by the network, before parameters are made."""
        self.name, self.dtype, self.backend = name, dtype, backend
        self._buffers: dict[str, Array] = {}
        self._views: dict[tuple[str, int], Array] = {}

    def state(self) -> dict[str, Array]:
        """Arrays that are not parameters but belong to the trained layer."""
        return {}

    def settings(self) -> dict[str, str]:
        """The settings of the layer, as text by name; a checkpoint fits only a layer with the same settings.

        By default these are all attributes without a leading underscore that are a number, a string, None, an
        activation, or a tuple or list of these.
        """
        given = {name: value for name, value in vars(self).items() if name[0] != "_" and name not in ("name", "dtype")}
        return {name: _told(value) for name, value in given.items() if _is_setting(value)}

    def forward(self, x: Array, training: bool) -> Array:
        raise NotImplementedError

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        raise NotImplementedError

    def _buffer(self, key: str, rows: int, features: int) -> Array:
        """An array of shape ``(rows, features)`` that is this layer's own, new only for a larger batch than before."""
        view = self._views.get((key, rows))
        if view is None:
            shape = (*self.lead, rows, features)
            size, flat = math.prod(shape), self._buffers.get(key)
            if flat is None or flat.size < size:
                flat = self._buffers[key] = self.backend.empty(size, self.dtype)
                self._views = {k: v for k, v in self._views.items() if k[0] != key}
            if len(self._views) > 100:  # batches of ever new sizes
                self._views.clear()
            view = self._views[key, rows] = flat[:size].reshape(shape)
        return view

    def double(self) -> Layer:
        """Return a layer that shares everything with this one except its working arrays."""
        twin = object.__new__(type(self))
        twin._buffers, twin._views = {}, {}
        twin.follow(self)
        return twin

    def follow(self, layer: Layer) -> None:
        """Become a double of ``layer`` as it is now, but keep the working arrays."""
        lasting = layer._lasting()
        for name in layer._holders:
            lasting[name] = _double(lasting[name], self.__dict__.get(name))
        lasting["_buffers"], lasting["_views"] = self._buffers, self._views
        self.__dict__ = lasting

    def _lasting(self) -> dict[str, Any]:
        """The attributes that belong in a copy."""
        lasting = self.__dict__.copy()  # copied in one operation: another thread may be training and setting attributes
        for name in _working(tuple(lasting), self._kept):
            del lasting[name]
        return lasting

    def __getstate__(self) -> dict[str, Any]:
        """A copy or pickle holds what the layer has learned, not the arrays it works in."""
        return {**self._lasting(), "_buffers": {}, "_views": {}}

    def settle(self) -> None:
        """Called by the network once the layer has all of its attributes."""
        held = {name: value for name, value in vars(self).items() if name not in ("_buffers", "_views")}
        self._holders = tuple(name for name, value in held.items() if isinstance(value, Layer | dict | list))
        self._kept = frozenset({*held, "_kept", "_holders"} - {"_home"})
        self._home = True
        for layer in within(held[name] for name in self._holders):
            layer.settle()


def _double(value: Any, mine: Any) -> Any:
    """``value`` of a layer's attribute for the double whose attribute was ``mine``."""
    if isinstance(value, Layer):
        if type(mine) is not type(value):
            return value.double()
        mine.follow(value)
        return mine
    if isinstance(value, dict):
        known = mine if isinstance(mine, dict) else {}
        return {key: _double(v, known.get(key)) for key, v in value.copy().items()}
    if isinstance(value, list):
        own = mine if isinstance(mine, list) and len(mine) == len(value) else [None] * len(value)
        return [_double(v, m) for v, m in zip(value, own, strict=False)]
    return value


def within(values: Iterable[Any]) -> Iterator[Layer]:
    """The layers among ``values``, in lists and dictionaries, too, and those that these layers hold."""
    for value in values:
        if isinstance(value, Layer):
            yield value
            yield from within(getattr(value, name) for name in value._holders)
        elif isinstance(value, dict | list):
            yield from within(value.values() if isinstance(value, dict) else value)


@cache
def _working(names: tuple[str, ...], kept: frozenset[str] | None) -> list[str]:
    """The attributes of a layer that belong to one pass."""
    return [] if kept is None else [name for name in names if name.startswith("_") and name not in kept]


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_setting, value))
    scalar = getattr(value, "shape", None) == ()
    return value is None or scalar or isinstance(value, bool | int | float | str | Activation)


def _told(value: Any) -> str:
    """A setting as text, the same in every process."""
    if isinstance(value, Activation):
        return f"{type(value).__name__}({', '.join(f'{k}={_told(v)}' for k, v in vars(value).items())})"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_told, value))}]"
    return repr(value.item() if hasattr(value, "item") else value)


class Dense(Layer):
    """y = x W + b;  dW = x^T dy,  db = sum over the batch of dy,  dx = dy W^T.

    ``W`` has shape ``(inputs, outputs)``, ``b`` shape ``(outputs,)``. Initial values are Glorot's uniform ones and
    zero, as in Keras; ``convention="torch"`` draws both from +-1 / sqrt(inputs), as ``torch.nn.Linear`` does.
    ``initializer`` is for ``W`` alone. The activation function is a layer of its own, :class:`Activate`.
    """

    prefix = "dense"

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        use_bias: bool = True,
        initializer: str | Initializer | None = None,
        convention: str = "textbook",
        activation: None = None,
    ) -> None:
        if activation is not None:
            raise InputError(
                f"an activation is a layer of its own: put Activate({outputs}, {activation!r}) after Dense({inputs}, "
                f"{outputs})"
            )
        self.inputs, self.outputs = count("the number of inputs", inputs), count("the number of outputs", outputs)
        self.use_bias = use_bias
        lookup("convention", convention, BATCH_NORM)
        start = Uniform(self.inputs**-0.5) if convention == "torch" else None
        self.initializer = initializers.get((start or "glorot_uniform") if initializer is None else initializer)
        self.bias_initializer = start or Constant(0.0)
        self.W: Parameter
        self.b: Parameter

    def declare(self) -> list[Declared]:
        weights = Declared("W", "weights", (self.inputs, self.outputs), self.initializer)
        biases = Declared("b", "biases", (self.outputs,), self.bias_initializer)
        return [weights, biases] if self.use_bias else [weights]

    def forward(self, x: Array, training: bool) -> Array:
        y = self.product(x)
        if self.use_bias:
            y += self.b.data
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        if self.use_bias and not self.b.frozen:
            self.backend.xp.add.reduce(dy, axis=-2, out=self.b.grad, keepdims=bool(self.lead))
        return self.product_backward(dy, input_gradient)

    def product(self, x: Array) -> Array:
        """x W."""
        self._x = x
        return self.backend.matmul(x, self.W.data, self._buffer("y", x.shape[-2], self.outputs))

    def product_backward(self, dy: Array, input_gradient: bool) -> Array:
        """dW and dx."""
        if not self.W.frozen:
            self.backend.matmul(self._x.swapaxes(-1, -2), dy, self.W.grad)
        if not input_gradient:
            return None
        dx = self._buffer("dx", dy.shape[-2], self.inputs)
        return self.backend.matmul(dy, self.W.data.swapaxes(-1, -2), dx)


class Activate(Layer):
    """y = f(x);  dx = dy f'(x), for an activation function f."""

    prefix = "activation"
    keeps_inputs = False
    """Whether x has to outlive the forward pass as it is, so that no backend may compute y in its place."""

    def __init__(self, features: int, activation: str | Activation) -> None:
        self.inputs = self.outputs = count("the number of features", features)
        self.activation = activations.get(activation)
        self._named: tuple[Activation | None, str] = (None, "")

    def forward(self, x: Array, training: bool) -> Array:
        rows = x.shape[-2]
        self._x, self._y = x, self._buffer("y", rows, self.outputs)
        self._functions()[0](self.backend, x, self._y, self._scratch(rows))
        return self._y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        rows = dy.shape[-2]
        dx = self._buffer("dx", rows, self.inputs)
        self._functions()[1](self.backend, self._x, self._y, dy, dx, self._scratch(rows))
        return dx

    @property
    def known(self) -> str:
        """The name of the activation in :data:`optimlab.activations.ACTIVATIONS`, empty if it has none there."""
        f = self.activation
        if self._named[0] is not f:
            self._named = f, next((name for name, known in activations.ACTIVATIONS.items() if known == f), "")
        return self._named[1]

    def _functions(self) -> Any:
        """Forward and backward: as the activation writes them, unless the backend has them in one loop."""
        return self.backend.fused.get(self.known) or (self.activation.forward, self.activation.backward)

    def _scratch(self, rows: int) -> list[Array]:
        return [self._buffer(f"tmp{k}", rows, self.outputs) for k in range(self.activation.scratch)]


class BatchNorm(Layer):
    """z = gamma x_hat + beta with x_hat = (x - mu) / sqrt(var + eps), per feature.

    In training ``mu`` and ``var`` are the batch's mean and (biased) variance, and running averages of both are kept::

        running <- momentum running + (1 - momentum) batch

    In evaluation the running averages are used. Backward, in training, with sums over the batch of n rows::

        dbeta = sum dz        dgamma = sum dz x_hat
        dx = gamma / sqrt(var + eps) (dz - dbeta / n - x_hat dgamma / n)

    and in evaluation, where ``mu`` and ``var`` are constants, ``dx = gamma / sqrt(var + eps) dz``.

    A frozen layer (``net.parameters.freeze("norm1")``, both ``gamma`` and ``beta``) stays in evaluation mode: in
    training, too, it uses its running averages and does not change them. So does Keras with ``trainable = False``.
    PyTorch needs ``module.eval()``: with ``requires_grad_(False)`` alone the averages still move.

    ==========  =================  =====  =====================================================
    convention  default momentum   eps    what differs
    ==========  =================  =====  =====================================================
    textbook    0.9                1e-5
    torch       0.1                1e-5   momentum is the share of the *batch*; the running
                                          variance is the unbiased one, n / (n - 1) larger
    keras       0.99               1e-3
    ==========  =================  =====  =====================================================

    Reference: Ioffe & Szegedy (2015), Algorithm 1 (training) and 2 (evaluation).

    Raises
    ------
    InputError: a batch of one row in training, whose variance is zero; a frozen layer accepts it.
    """

    prefix = "norm"

    def __init__(
        self,
        features: int,
        *,
        momentum: float | None = None,
        eps: float | None = None,
        convention: str = "textbook",
    ) -> None:
        self.inputs = self.outputs = count("the number of features", features)
        self.convention = convention
        default_momentum, default_eps = lookup("convention", convention, BATCH_NORM)
        self.momentum = number(
            "batch norm's momentum", default_momentum if momentum is None else momentum, low=0, below=1
        )
        self.eps = number("batch norm's eps", default_eps if eps is None else eps, positive=True)
        self.gamma: Parameter
        self.beta: Parameter

    def declare(self) -> list[Declared]:
        return [
            Declared("gamma", "scales", (self.outputs,), Constant(1.0)),
            Declared("beta", "biases", (self.outputs,), Constant(0.0)),
        ]

    def build(self, name: str, dtype: str, backend: Backend, seed: np.random.SeedSequence) -> None:
        super().build(name, dtype, backend, seed)
        self.running_mean = backend.zeros(self.outputs, dtype)
        self.running_var = backend.zeros(self.outputs, dtype) + 1

    @property
    def frozen(self) -> bool:
        """True if neither parameter is trained; the layer then works as in evaluation."""
        return self.gamma.frozen and self.beta.frozen

    @property
    def share(self) -> float:
        """The batch's share in a running average, whatever the convention calls momentum; may be set."""
        return self.momentum if self.convention == "torch" else 1 - self.momentum

    @share.setter
    def share(self, value: float) -> None:
        self.momentum = value if self.convention == "torch" else 1 - value

    def state(self) -> dict[str, Array]:
        return {"running_mean": self.running_mean, "running_var": self.running_var}

    def forward(self, x: Array, training: bool) -> Array:
        n, keep = x.shape[-2], bool(self.lead)
        x_hat, z = self._buffer("x_hat", n, self.outputs), self._buffer("z", n, self.outputs)
        xp, training = self.backend.xp, training and not self.frozen
        if training:
            if n < 2:
                raise InputError("batch norm cannot train on a batch of one row: its variance is zero")
            mean = x.mean(axis=-2, keepdims=keep)
            xp.subtract(x, mean, out=x_hat)
            xp.multiply(x_hat, x_hat, out=z)
            var = z.mean(axis=-2, keepdims=keep)
            torch, new = self.convention == "torch", self.share
            for running, batch in (
                (self.running_mean, mean),
                (self.running_var, var * (n / (n - 1)) if torch else var),
            ):
                running *= 1 - new
                running += new * batch
        else:
            var = self.running_var
            xp.subtract(x, self.running_mean, out=x_hat)
        inverse = 1 / xp.sqrt(var + self.eps)
        x_hat *= inverse
        xp.multiply(x_hat, self.gamma.data, out=z)
        z += self.beta.data
        self._x_hat, self._inverse, self._training = x_hat, inverse, training
        return z

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        n, xp, x_hat, keep = dy.shape[-2], self.backend.xp, self._x_hat, bool(self.lead)
        dx = self._buffer("dx", n, self.inputs)
        xp.multiply(dy, x_hat, out=dx)
        dgamma, dbeta = dx.sum(axis=-2, keepdims=keep), dy.sum(axis=-2, keepdims=keep)
        if not self.gamma.frozen:
            self.gamma.grad[...] = dgamma
        if not self.beta.frozen:
            self.beta.grad[...] = dbeta
        scale = self.gamma.data * self._inverse
        if self._training:
            xp.multiply(x_hat, dgamma / -n, out=dx)
            dx += dy
            dx -= dbeta / n
            dx *= scale
        else:
            xp.multiply(dy, scale, out=dx)
        return dx


class Standardized(Layer):
    """y = (x - mean) / std per feature, with fixed numbers: input normalisation that is kept with the network.

    Where ``std`` is 0, y is 0. The numbers are the layer's state: a checkpoint holds them, training leaves them.

    Parameters
    ----------
    mean, std: of the training inputs, shape ``(features,)``; see :class:`optimlab.Standardize`.

    Raises
    ------
    InputError: shapes that differ, numbers that are not finite, a negative ``std``.
    """

    prefix = "standardized"

    def __init__(self, mean: Iterable[float], std: Iterable[float]) -> None:
        # plain numbers until the network says where arrays live
        self.mean: Array = [number("mean", v) for v in mean]
        spread = [number("std", v, low=0) for v in std]
        if len(self.mean) != len(spread):
            raise InputError(f"mean and std must be of one number a feature, got {len(self.mean)} and {len(spread)}")
        self.factor: Array = [1 / v if v else 0.0 for v in spread]
        self.inputs = self.outputs = count("the number of features", len(spread))

    def build(self, name: str, dtype: str, backend: Backend, seed: np.random.SeedSequence) -> None:
        super().build(name, dtype, backend, seed)
        self.mean, self.factor = backend.asarray(self.mean, dtype), backend.asarray(self.factor, dtype)

    def state(self) -> dict[str, Array]:
        return {"mean": self.mean, "factor": self.factor}

    def forward(self, x: Array, training: bool) -> Array:
        y = self._buffer("y", x.shape[-2], self.outputs)
        self.backend.xp.subtract(x, self.mean, out=y)
        y *= self.factor
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        return self.backend.xp.multiply(dy, self.factor, out=self._buffer("dx", dy.shape[-2], self.inputs))


class Dropout(Layer):
    """Inverted dropout: in training each entry is zero with probability ``rate``, else divided by 1 - rate.

    In evaluation y = x. ``hold = True`` keeps the mask of the last training pass for the next ones of the same batch
    size, which makes the network a fixed function: a gradient check needs it.

    Reference: Srivastava et al. (2014).
    """

    prefix = "dropout"
    _mask: Array = ()

    def __init__(self, features: int, rate: float) -> None:
        self.inputs = self.outputs = count("the number of features", features)
        self.rate, self.hold = number("the dropout rate", rate, low=0, below=1), False

    def build(self, name: str, dtype: str, backend: Backend, seed: np.random.SeedSequence) -> None:
        super().build(name, dtype, backend, seed)
        self.generator = backend.generator(seed)

    def forward(self, x: Array, training: bool) -> Array:
        self._training = training
        if not training:
            return x
        n, xp = len(x), self.backend.xp
        held = self.hold and len(self._mask) == n
        mask, y = self._buffer("mask", n, self.outputs), self._buffer("y", n, self.outputs)
        if not held:
            self.generator.uniform(mask)
            xp.greater_equal(mask, self.rate, out=mask)
            mask /= 1 - self.rate
            self._mask = mask
        return xp.multiply(x, mask, out=y)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        if not self._training:
            return dy
        n = len(dy)
        dx = self._buffer("dx", n, self.inputs)
        return self.backend.xp.multiply(dy, self._mask, out=dx)
