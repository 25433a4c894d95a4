"""The layers and their formulas, forward and backward side by side.

``x`` and ``y`` have shape ``(batch, features)``. ``forward(x, training)`` returns ``y``. ``backward(dy)`` takes
``dL/dy``, writes the gradient of each parameter into its view of the flat buffer (replacing the old one), and
returns ``dL/dx``. Both return arrays that the layer owns and overwrites at the next call: copy what you keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple, Never

import numpy as np

from ..backends import Array, Backend
from ..common.errors import InputError, count, lookup, number, only
from . import activations, initializers
from .activations import Activation, exponential, share, softmax_slope
from .buffers import Buffers
from .formulas import product
from .initializers import Constant, Initializer, Uniform
from .parameters import Parameter

BATCH_NORM = {"textbook": (0.9, 1e-5), "torch": (0.1, 1e-5), "keras": (0.99, 1e-3)}
"""Batch norm's default momentum and epsilon in each convention."""


class Declared(NamedTuple):
    """A parameter that a layer needs: attribute name, kind of group, shape, initial values."""

    attribute: str
    kind: str
    shape: tuple[int, ...]
    initializer: Initializer


class Layer:
    """The base of all layers: a name, a backend, and output arrays that are allocated once.

    A new layer sets ``inputs`` and ``outputs`` (numbers of features), lists its parameters in ``declare``, and
    defines ``forward`` and ``backward``. Attributes that these two set and whose names begin with an underscore
    belong to one pass. Copies and pickles leave them out. An evaluation has its own set of them and changes no other
    attribute. It also works on doubles of the layers, dictionaries and lists that the layer holds.
    """

    inputs: int
    outputs: int
    prefix = "layer"
    """The prefix of the layer's name in a network."""
    recordable = False
    """True if both passes consist only of named operations of the backend, so that they can be recorded. Each class
    sets it itself; an inherited value does not count."""
    _kept: frozenset[str] | None = None
    """Names of the attributes that the layer had when its network was made. They persist between passes."""
    _holders: tuple[str, ...] = ()
    """Names of the kept attributes that are layers, dictionaries or lists, which a pass may change."""

    edits: ClassVar[int] = 0
    """Number of times a public attribute of any layer was set or deleted. A change invalidates older recordings."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name[0] != "_":
            Layer.edits += 1

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        Layer.edits += 1

    def declare(self) -> list[Declared]:
        """List the parameters this layer needs. The network sets each as an attribute of the layer."""
        return []

    def build(self, name: str, dtype: str, backend: Backend, seed: np.random.SeedSequence) -> None:
        """Set name, dtype and backend. The network calls this once, before it makes the parameters."""
        self.name, self.dtype, self.backend = name, dtype, backend
        self._buffers = Buffers(backend, dtype)

    def state(self) -> dict[str, Array]:
        """Return the arrays that belong to the trained layer but are not parameters.

        By default these are the states of the layers that it holds.
        """
        return {f"{k}.{name}": array for k, layer in self._held() for name, array in layer.state().items()}

    def settings(self) -> dict[str, str]:
        """Return the settings of the layer, as text by name. A checkpoint fits only a layer with the same settings.

        By default the settings are all attributes without a leading underscore that are a number, a string, None, an
        activation, or a tuple or list of these; and the settings of the layers that it holds.
        """
        given = {name: value for name, value in vars(self).items() if name[0] != "_" and name not in ("name", "dtype")}
        own = {name: _told(value) for name, value in given.items() if _is_setting(value)}
        return own | {f"{k}.{name}": text for k, layer in self._held() for name, text in layer.settings().items()}

    def _held(self) -> Iterator[tuple[int, Layer]]:
        """Yield the layers that this one holds, with their numbers from 1 on."""
        return enumerate(directly_within(getattr(self, name) for name in self._holders), 1)

    def forward(self, x: Array, training: bool) -> Array:
        raise NotImplementedError

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        raise NotImplementedError

    def _buffer(self, key: str, like: Array, features: int) -> Array:
        """Return this layer's working array with ``features`` columns and the rows of ``like``.

        Memory is allocated only if the batch is larger than any before.
        """
        return self._buffers.get(key, (*like.shape[:-1], features))

    def double(self) -> Layer:
        """Return a layer that shares everything with this one except the working arrays."""
        twin = object.__new__(type(self))
        twin._buffers = Buffers(self.backend, self.dtype)
        twin.follow(self)
        return twin

    def follow(self, layer: Layer) -> None:
        """Become a double of ``layer`` as it is now, but keep the working arrays."""
        lasting = layer._lasting()
        for name in layer._holders:
            lasting[name] = _double(lasting[name], self.__dict__.get(name))
        lasting["_buffers"] = self._buffers
        self.__dict__ = lasting

    def _lasting(self) -> dict[str, Any]:
        """Return the attributes that belong in a copy."""
        lasting = self.__dict__.copy()  # one atomic copy: another thread may be training and setting attributes
        for name in _working(tuple(lasting), self._kept):
            del lasting[name]
        return lasting

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or pickle holds: everything the layer has learned, without its working arrays."""
        lasting = self._lasting()
        return lasting | {"_buffers": Buffers(self.backend, self.dtype)} if hasattr(self, "_buffers") else lasting

    def settle(self) -> None:
        """Note which attributes to keep. The network calls this once the layer has all of its attributes."""
        held = {name: value for name, value in vars(self).items() if name != "_buffers"}
        self._holders = tuple(name for name, value in held.items() if isinstance(value, Layer | dict | list))
        self._kept = frozenset({*held, "_kept", "_holders"} - {"_home"})
        self._home = True
        for layer in within(held[name] for name in self._holders):
            layer.settle()


def _double(value: Any, mine: Any) -> Any:
    """Return an attribute's ``value`` for a double whose attribute was ``mine``."""
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
    """Yield the layers among ``values``, also inside lists, dictionaries and other layers."""
    for layer in directly_within(values):
        yield layer
        yield from within(getattr(layer, name) for name in layer._holders)


def directly_within(values: Iterable[Any]) -> Iterator[Layer]:
    """Yield the layers among ``values``, also inside lists and dictionaries."""
    for value in values:
        if isinstance(value, Layer):
            yield value
        elif isinstance(value, dict | list):
            yield from directly_within(value.values() if isinstance(value, dict) else value)


def named(layers: Iterable[Layer]) -> Iterator[tuple[str, Layer]]:
    """Yield the layers of a network with their names, and those that they hold: the second in ``a`` is ``a/2``."""
    for layer in layers:
        yield from _named(layer.name, layer)


def _named(name: str, layer: Layer) -> Iterator[tuple[str, Layer]]:
    yield name, layer
    for k, held in layer._held():
        yield from _named(f"{name}/{k}", held)


def left_by_pass(layers: Iterable[Layer]) -> list[tuple[Layer, dict[str, Any]]]:
    """Return what the last pass left in each layer: its attributes that belong to one pass."""
    return [
        (layer, {name: vars(layer)[name] for name in _working(tuple(vars(layer)), layer._kept)})
        for layer in within(layers)
    ]


@cache
def _working(names: tuple[str, ...], kept: frozenset[str] | None) -> list[str]:
    """Return the names of the attributes that belong to one pass."""
    return [] if kept is None else [name for name in names if name.startswith("_") and name not in kept]


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_setting, value))
    scalar = getattr(value, "shape", None) == ()
    return value is None or scalar or isinstance(value, bool | int | float | str | Activation)


def _told(value: Any) -> str:
    """Return a setting as text that is the same in every process."""
    if isinstance(value, Activation):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_told, value))}]"
    return repr(value.item() if hasattr(value, "item") else value)


def softmax(b: Backend, x: Array, y: Array, buffers: Buffers) -> None:
    """Write the softmax of each row of ``x`` into ``y``."""
    top, total = (buffers.get(key, (*x.shape[:-1], 1)) for key in ("top", "total"))
    b.row_max(x, top)
    b.map(exponential, (x, top), y)
    b.row_sums(y, total)
    b.map(share, (y, total), y)


def softmax_backward(b: Backend, y: Array, dy: Array, dx: Array, buffers: Buffers) -> None:
    total = buffers.get("total", (*y.shape[:-1], 1))
    b.map(product, (y, dy), dx)
    b.row_sums(dx, total)
    b.map(softmax_slope, (y, dy, total), dx)


def with_bias(z: Array, b: Array) -> Array:
    """z + b, the second half of a Dense layer."""
    return z + b


class Dense(Layer):
    """y = x W + b;  dW = x^T dy,  db = sum over the batch of dy,  dx = dy W^T.

    ``W`` has shape ``(inputs, outputs)``, ``b`` has shape ``(outputs,)``. By default ``W`` is initialized Glorot
    uniform and ``b`` to zero, as in Keras. With ``convention="torch"`` both are uniform on +-1 / sqrt(inputs), as in
    ``torch.nn.Linear``. ``initializer`` is for ``W`` and ``bias_initializer`` for ``b``, each a name of
    :mod:`optimlab.nn.initializers` or a function. The activation function is a separate layer, :class:`Activate`.
    """

    prefix = "dense"
    recordable = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        use_bias: bool = True,
        initializer: str | Initializer | None = None,
        bias_initializer: str | Initializer | None = None,
        convention: str = "textbook",
        activation: None = None,
        **other: Never,
    ) -> None:
        only(Dense, other, "activation")
        if activation is not None:
            raise InputError(
                f"an activation is a separate layer: put Activate({outputs}, {activation!r}) after Dense({inputs}, "
                f"{outputs})"
            )
        self.inputs, self.outputs = count("the number of inputs", inputs), count("the number of outputs", outputs)
        self.use_bias = use_bias
        lookup("convention", convention, BATCH_NORM)
        if bias_initializer is not None and not use_bias:
            raise InputError("bias_initializer needs biases: leave it out, or use_bias=False")
        start = Uniform(self.inputs**-0.5) if convention == "torch" else None
        self.initializer = initializers.get((start or "glorot_uniform") if initializer is None else initializer)
        self.bias_initializer = initializers.get_biases(
            (start or "zeros") if bias_initializer is None else bias_initializer
        )
        self.W: Parameter
        self.b: Parameter

    def declare(self) -> list[Declared]:
        shape = (self.inputs, self.outputs)
        weights = Declared("W", "weights", shape, self.initializer)
        biases = Declared("b", "biases", (self.outputs,), lambda generator, _: self.bias_initializer(generator, shape))
        return [weights, biases] if self.use_bias else [weights]

    def forward(self, x: Array, training: bool) -> Array:
        self._x, y = x, self._buffer("y", x, self.outputs)
        self.backend.matmul(x, self.W.data, y)
        if self.use_bias:
            self.backend.map(with_bias, (y, self.b.data), y)
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        if self.use_bias and not self.b.frozen:
            self.backend.column_sums(dy, self.b.grad)
        if not self.W.frozen:
            self.backend.matmul(self._x.swapaxes(-1, -2), dy, self.W.grad)
        if not input_gradient:
            return None
        return self.backend.matmul(dy, self.W.data.swapaxes(-1, -2), self._buffer("dx", dy, self.inputs))


class Activate(Layer):
    """y = f(x);  dx = dy f'(x), for an activation function f."""

    prefix = "activation"
    recordable = True

    def __init__(self, features: int, activation: str | Activation) -> None:
        self.inputs = self.outputs = count("the number of features", features)
        self.activation = activations.get(activation)

    def forward(self, x: Array, training: bool) -> Array:
        self._x, self._y = x, self._buffer("y", x, self.outputs)
        f = self.activation
        if f.elementwise:
            self.backend.map(f.forward, (x,), self._y, **dict(f.parameters))
        else:
            softmax(self.backend, x, self._y, self._buffers)
        return self._y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        f, dx = self.activation, self._buffer("dx", dy, self.inputs)
        if f.elementwise:
            known = {"x": self._x, "y": self._y, "dy": dy}
            self.backend.map(f.backward, tuple([known[name] for name in f.needs]), dx, **dict(f.parameters))
        else:
            softmax_backward(self.backend, self._y, dy, dx, self._buffers)
        return dx


def squared_deviation(x: Array, mean: Array) -> Array:
    deviation = x - mean
    return deviation * deviation


def moving_average(running: Array, batch: Array, *, share: float) -> Array:
    return (1 - share) * running + share * batch


def inverse_deviation(var: Array, *, eps: float) -> Array:
    return 1 / np.sqrt(var + eps)


def mean_of_batch(total: Array, running: Array, *, share: float, n: float) -> tuple[Array, Array]:
    """Return the mean and its running average."""
    mean = 1 / n * total
    return mean, moving_average(running, mean, share=share)


def variance_of_batch(
    total: Array, running: Array, *, share: float, n: float, degrees: float, eps: float
) -> tuple[Array, Array]:
    """1 / sqrt(var + eps), and the variance's running average; ``total`` is the sum of squared deviations."""
    return inverse_deviation(1 / n * total, eps=eps), moving_average(running, 1 / degrees * total, share=share)


def normalised(x: Array, mean: Array, inverse: Array) -> Array:
    return (x - mean) * inverse


def scaled_and_shifted(x_hat: Array, gamma: Array, beta: Array) -> Array:
    return x_hat * gamma + beta


def of_features(gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, *, n: float) -> tuple[Array, Array, Array]:
    """gamma / sqrt(var + eps), the mean of dz x_hat, and the mean of dz."""
    return gamma * inverse, 1 / n * dgamma, 1 / n * dbeta


def batch_norm_backward(dz: Array, x_hat: Array, scale: Array, mean_of_product: Array, mean: Array) -> Array:
    """scale (dz - mean - x_hat mean_of_product), with the three results of :func:`of_features` after ``x_hat``."""
    return scale * (dz - mean - x_hat * mean_of_product)


class BatchNorm(Layer):
    """z = gamma x_hat + beta with x_hat = (x - mu) / sqrt(var + eps), per feature.

    In training ``mu`` and ``var`` are the batch's mean and (biased) variance, and running averages of both are kept::

        running <- momentum running + (1 - momentum) batch

    In evaluation the running averages are used. The backward pass in training, with sums over the batch of n rows, is::

        dbeta = sum dz        dgamma = sum dz x_hat
        dx = gamma / sqrt(var + eps) (dz - dbeta / n - x_hat dgamma / n)

    and in evaluation, where ``mu`` and ``var`` are constants, ``dx = gamma / sqrt(var + eps) dz``.

    A frozen layer (``net.parameters.freeze("norm1")``, both ``gamma`` and ``beta``) stays in evaluation mode. Even in
    training it uses its running averages and does not change them. Keras does the same with ``trainable = False``.
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
    InputError: a training batch has one row, so that its variance is zero; a frozen layer accepts one row.
    """

    prefix = "norm"
    recordable = True

    def __init__(
        self,
        features: int,
        *,
        momentum: float | None = None,
        eps: float | None = None,
        convention: str = "textbook",
        **other: Never,
    ) -> None:
        only(BatchNorm, other)
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
        """True if neither parameter is trained. The layer then stays in evaluation mode."""
        return self.gamma.frozen and self.beta.frozen

    @property
    def share(self) -> float:
        """The batch's share in the running averages, independent of the convention's momentum; may be set."""
        return self.momentum if self.convention == "torch" else 1 - self.momentum

    @share.setter
    def share(self, value: float) -> None:
        self.momentum = value if self.convention == "torch" else 1 - value

    def state(self) -> dict[str, Array]:
        return {"running_mean": self.running_mean, "running_var": self.running_var}

    def forward(self, x: Array, training: bool) -> Array:
        b, n, row = self.backend, x.shape[-2], self._row
        x_hat, z = self._buffer("x_hat", x, self.outputs), self._buffer("z", x, self.outputs)
        mean, inverse, share = self.running_mean, row("inverse"), self.share
        self._training = training and not self.frozen
        if self._training:
            if n < 2:
                raise InputError("batch norm cannot train on a batch of one row: its variance is zero")
            mean, total = row("mean"), row("total")
            degrees = n - 1 if self.convention == "torch" else n
            b.column_sums(x, total)
            b.map(mean_of_batch, (total, self.running_mean), (mean, self.running_mean), share=share, n=n)
            b.map(squared_deviation, (x, mean), z)
            b.column_sums(z, total)
            known = {"share": share, "n": n, "degrees": degrees, "eps": self.eps}
            b.map(variance_of_batch, (total, self.running_var), (inverse, self.running_var), **known)
        else:
            b.map(inverse_deviation, (self.running_var,), inverse, eps=self.eps)
        b.map(normalised, (x, mean, inverse), x_hat)
        b.map(scaled_and_shifted, (x_hat, self.gamma.data, self.beta.data), z)
        self._x_hat, self._inverse = x_hat, inverse
        return z

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        b, n, row, x_hat = self.backend, dy.shape[-2], self._row, self._x_hat
        dx = self._buffer("dx", dy, self.inputs)
        dgamma = row("dgamma") if self.gamma.frozen else self.gamma.grad
        dbeta = row("dbeta") if self.beta.frozen else self.beta.grad
        b.map(product, (dy, x_hat), dx)
        b.column_sums(dx, dgamma)
        b.column_sums(dy, dbeta)
        features = row("scale"), row("mean of dz x_hat"), row("mean of dz")
        b.map(of_features, (self.gamma.data, self._inverse, dgamma, dbeta), features, n=n)
        if self._training:
            b.map(batch_norm_backward, (dy, x_hat, *features), dx)
        else:
            b.map(product, (dy, features[0]), dx)
        return dx

    def _row(self, key: str) -> Array:
        """Return a working array with one number per feature."""
        return self._buffers.get(key, self.gamma.data.shape)


class Standardized(Layer):
    """y = (x - mean) / std per feature, with fixed numbers: input normalisation stored with the network.

    Features with ``std`` 0 become 0. The numbers are the layer's state: checkpoints hold them, training leaves them
    unchanged.

    Parameters
    ----------
    mean, std: of the training inputs, shape ``(features,)``; see :class:`optimlab.Standardize`.

    Raises
    ------
    InputError: shapes differ, a number is not finite, or ``std`` is negative.

    >>> import optimlab as ol
    >>> ol.Network([Standardized([1, 5], [2, 0])]).logits([[3, 9]]).tolist()
    [[1.0, 0.0]]
    """

    prefix = "standardized"
    recordable = True

    def __init__(self, mean: Iterable[float], std: Iterable[float]) -> None:
        # plain numbers until the network chooses the backend
        self.mean: Array = [number("mean", v) for v in mean]
        spread = [number("std", v, low=0) for v in std]
        if len(self.mean) != len(spread):
            raise InputError(f"mean and std must have one number per feature, got {len(self.mean)} and {len(spread)}")
        self.factor: Array = [1 / v if v else 0.0 for v in spread]
        self.inputs = self.outputs = count("the number of features", len(spread))

    def build(self, name: str, dtype: str, backend: Backend, seed: np.random.SeedSequence) -> None:
        super().build(name, dtype, backend, seed)
        self.mean, self.factor = backend.asarray(self.mean, dtype), backend.asarray(self.factor, dtype)

    def state(self) -> dict[str, Array]:
        return {"mean": self.mean, "factor": self.factor}

    def forward(self, x: Array, training: bool) -> Array:
        y = self._buffer("y", x, self.outputs)
        self.backend.map(normalised, (x, self.mean, self.factor), y)
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        dx = self._buffer("dx", dy, self.inputs)
        self.backend.map(product, (dy, self.factor), dx)
        return dx


def dropped(x: Array, u: Array, *, rate: float) -> Array:
    """0 with probability ``rate``, else x / (1 - rate); ``u`` is uniform on [0, 1)."""
    return np.where(u >= rate, 1 / (1 - rate) * x, 0)


class Dropout(Layer):
    """Inverted dropout: in training each entry is zero with probability ``rate``, else divided by 1 - rate.

    In evaluation y = x. ``hold = True`` reuses the mask of the last training pass while the batch size stays the same.
    The network is then a fixed function, as a gradient check needs.

    Reference: Srivastava et al. (2014).
    """

    prefix = "dropout"
    _u: Array = ()

    def __init__(self, features: int, rate: float) -> None:
        self.inputs = self.outputs = count("the number of features", features)
        self.rate, self.hold = number("the dropout rate", rate, low=0, below=1), False

    @property
    def recordable(self) -> bool:  # type: ignore[override]
        """True if each pass draws a new mask. Holding a mask depends on the previous batch size."""
        return not self.hold

    def build(self, name: str, dtype: str, backend: Backend, seed: np.random.SeedSequence) -> None:
        super().build(name, dtype, backend, seed)
        self.generator = backend.generator(seed)

    def forward(self, x: Array, training: bool) -> Array:
        self._training = training
        if not training:
            return x
        y, held = self._buffer("y", x, self.outputs), self.hold and len(self._u) == len(x)
        if not held:
            self._u = self._buffer("u", x, self.outputs)
            self.backend.uniform(self.generator, self._u)
        self.backend.map(dropped, (x, self._u), y, rate=self.rate)
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        if not self._training:
            return dy
        dx = self._buffer("dx", dy, self.inputs)
        self.backend.map(dropped, (dy, self._u), dx, rate=self.rate)
        return dx
