"""Networks: a list of layers over one flat buffer of parameters."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import activations, backends
from .activations import Activation
from .backends import Array, Backend
from .errors import InputError, number, rows, unknown
from .fusion import DenseActivate, fused
from .initializers import Initializer
from .layers import Activate, BatchNorm, Dense, Dropout, Layer, Standardized
from .parameters import Parameter, Parameters, assign

DTYPES = ("float32", "float64")

_GLOROT = ("identity", "sigmoid", "tanh", "softmax")
"""Activations that ``initializer="auto"`` pairs with Glorot's variance, made for a slope of one at zero; the
others, zero or small on one side, are paired with He's."""


class Network:
    """Layers applied one after the other.

    Parameters
    ----------
    layers: at least one; each takes as many features as the one before gives.
    seed: an integer, or a :class:`numpy.random.SeedSequence`; decides the initial weights and the dropout masks.
    dtype: ``"float32"`` or ``"float64"``.
    backend: ``"auto"``, or a name of :func:`optimlab.backends.names`; ``"auto"`` is Numba's for a large network where
        Numba is installed, else NumPy's, see :func:`optimlab.backends.get`.

    Attributes
    ----------
    layers: the list of layers, each with a unique ``name`` such as ``dense1``.
    parameters: all weights and gradients, see :class:`optimlab.parameters.Parameters`.
    recipe: arguments of :class:`MLP` that make a network like this one, as plain data; None where there are none.

    Raises
    ------
    InputError: no layers, features that do not fit, unknown dtype or backend, a bad seed.

    >>> from optimlab.layers import Dense, Activate
    >>> net = Network([Dense(2, 3), Activate(3, "tanh"), Dense(3, 1, use_bias=False)], seed=1)
    >>> net.forward(np.zeros((5, 2), "float32")).shape
    (5, 1)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        seed: int | np.random.SeedSequence = 0,
        dtype: str = "float32",
        backend: str | Backend = "auto",
    ) -> None:
        if not layers:
            raise InputError("a network needs at least one layer")
        for k, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise InputError(f"expected a list of layers, got {layer!r} in it")
            if hasattr(layer, "name") or any(layer is other for other in layers[:k]):
                raise InputError(f"a {layer.prefix} layer belongs to a network already; make a new one, or copy it")
        for before, after in itertools.pairwise(layers):
            if before.outputs != after.inputs:
                raise InputError(
                    f"a {after.prefix} layer of {after.inputs} inputs cannot follow one of {before.outputs} outputs"
                )
        if str(dtype) not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        self.layers = list(layers)
        self.dtype = str(dtype)
        self.backend = backends.get(backend, sum(math.prod(d.shape) for layer in layers for d in layer.declare()))
        # two streams a layer, so that its draws do not depend on the other layers
        streams = seed_sequence(seed).spawn(2 * len(layers))
        counts: dict[str, int] = {}
        made: list[tuple[Parameter, Any]] = []
        for k, layer in enumerate(self.layers):
            counts[layer.prefix] = counts.get(layer.prefix, 0) + 1
            name = f"{layer.prefix}{counts[layer.prefix]}"
            layer.build(name, self.dtype, self.backend, streams[2 * k + 1])
            generator = np.random.default_rng(streams[2 * k])
            for attribute, kind, shape, initializer in layer.declare():
                parameter = Parameter(f"{name}.{attribute}", kind, name, shape)
                setattr(layer, attribute, parameter)
                values = np.asarray(initializer(generator, shape))  # type: ignore[arg-type]
                if values.shape != shape:
                    raise InputError(f"the initializer of {parameter.name} gave shape {values.shape}, expected {shape}")
                made.append((parameter, values))
        self.parameters = Parameters([p for p, _ in made], self.dtype, self.backend)
        self._lowest = (-1, 0)
        self._rows = 0
        self._parts: list[tuple[int, Layer | DenseActivate]] = []
        self._parts_of: list[Any] = []
        self.recipe: dict[str, Any] | None = None
        for parameter, values in made:
            parameter.data[...] = self.backend.asarray(values, self.dtype)

    @property
    def inputs(self) -> int:
        """Number of input features."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.layers[-1].outputs

    def forward(self, x: Any, training: bool = False) -> Array:
        """The outputs (logits) for ``x`` of shape ``(batch, inputs)``.

        With ``training=True`` dropout is on and batch norm uses the batch. The array returned is the last layer's
        own: it is filled again at the next call.

        Raises
        ------
        InputError: ``x`` is not a real array of that shape with at least one row.
        """
        return self.forward_unchecked(self.check_inputs(x), training)

    def forward_unchecked(self, x: Array, training: bool) -> Array:
        """:meth:`forward` for an array that :meth:`check_inputs` has seen."""
        self._rows = len(x)
        # a layer with one attribute more may have a method that was replaced
        layers = [*self.layers, *[len(vars(layer)) for layer in self.layers]]
        if layers != self._parts_of:
            self._parts_of, self._parts = layers, fused(self.layers, self.backend)
        for _, part in self._parts:
            x = part.forward(x, training)
        return x

    def backward(self, gradient: Array, input_gradient: bool = False) -> Array:
        """Fill ``parameters.grad`` from ``gradient = dL/d(outputs)`` of the last :meth:`forward`.

        Returns ``dL/dx`` if ``input_gradient``, which costs one more matrix product, else None.

        Raises
        ------
        InputError: there was no forward pass, or one of another batch size.
        """
        if gradient.shape != (self._rows, self.outputs):
            if not self._rows:
                raise InputError("backward needs a forward pass before it")
            expected = (self._rows, self.outputs)
            raise InputError(f"expected the gradient of outputs of shape {expected}, got {tuple(gradient.shape)}")
        lowest = 0 if input_gradient else self._lowest_trained()
        for k, part in reversed(self._parts):
            if k >= lowest:
                gradient = part.backward(gradient, input_gradient or k > lowest)
        return gradient if input_gradient else None

    def _lowest_trained(self) -> int:
        """Index of the lowest layer with a parameter to train: no gradient is needed below it."""
        if self._lowest[0] != self.parameters.version:
            trained = {p.layer for p in self.parameters if not p.frozen}
            lowest = next((k for k, layer in enumerate(self.layers) if layer.name in trained), len(self.layers))
            self._lowest = (self.parameters.version, lowest)
        return self._lowest[1]

    def check_inputs(self, x: Any) -> Array:
        """``x`` as an array of the network's backend and dtype, or one clear error."""
        if not (self.backend.owns(x) and x.dtype == self.dtype):
            rows("the inputs", x)
            x = self.backend.asarray(x)
            if x.dtype.kind not in "fiub":
                raise InputError(f"the inputs must be real numbers, got dtype {x.dtype}")
            x = self.backend.asarray(x, self.dtype)
        if x.ndim != 2 or x.shape[1] != self.inputs or not x.shape[0]:
            raise InputError(f"expected inputs of shape (rows, {self.inputs}), got {tuple(x.shape)}")
        return x

    def logits(self, x: Any, batch_size: int = 1024) -> Array:
        """The outputs in evaluation mode, as a new array; worked out ``batch_size`` rows at a time."""
        x = self.check_inputs(x)
        out = self.backend.empty((len(x), self.outputs), self.dtype)
        for start in range(0, len(x), batch_size):
            out[start : start + batch_size] = self.forward(x[start : start + batch_size])
        return out

    def predict_proba(self, x: Any) -> Array:
        """Softmax of the outputs, shape ``(rows, classes)``."""
        return activations.get("softmax")(self.logits(x))

    def predict(self, x: Any) -> Array:
        """The most likely class of each row, shape ``(rows,)``."""
        return self.logits(x).argmax(axis=-1)

    def copy(self, dtype: str | None = None) -> Network:
        """An independent network with the same weights, layer states and random streams.

        >>> net = MLP([2, 2], seed=0)
        >>> twin = net.copy("float64")
        >>> twin.parameters.data[...] = 0
        >>> bool(net.parameters.data.any()), twin.parameters.data.dtype
        (True, dtype('float64'))
        """
        twin = copy.deepcopy(self)
        if dtype is not None and dtype != self.dtype:
            if dtype not in DTYPES:
                raise unknown("dtype", dtype, DTYPES)
            twin.dtype = twin.parameters.dtype = dtype
            twin.recipe = twin.recipe and {**twin.recipe, "dtype": dtype}
            flat = twin.parameters
            flat.data, flat.grad = flat.data.astype(dtype), flat.grad.astype(dtype)
            flat.rebind()
            for layer in twin.layers:
                layer.dtype = dtype
                for name, values in layer.state().items():
                    setattr(layer, name, values.astype(dtype))
        return twin

    def learned(self) -> dict[str, Array]:
        """What training changes, by name: all weights as one array, and each layer's state, such as running
        statistics. The arrays themselves, not copies.

        >>> list(MLP([4, 3, 2], batch_norm=True).learned())
        ['weights', 'layers/norm1/running_mean', 'layers/norm1/running_var']
        """
        states = {f"layers/{layer.name}/{name}": a for layer in self.layers for name, a in layer.state().items()}
        return {"weights": self.parameters.data, **states}

    def load(self, values: Any) -> None:
        """Set all weights from one flat array laid out as ``parameters.data``."""
        assign(self.parameters, values)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has not been through the forward pass: its layers hold no activations."""
        return {**self.__dict__, "_rows": 0, "_parts": [], "_parts_of": []}

    def __repr__(self) -> str:
        sizes = "-".join(str(n) for n in (self.inputs, *(d.outputs for d in self.layers if isinstance(d, Dense))))
        return f"<{type(self).__name__} {sizes}, {self.parameters.data.size:,} parameters, {self.dtype}>"


class MLP(Network):
    """A multilayer perceptron: Dense, then batch norm, activation and dropout where asked for; a Dense last.

    Parameters
    ----------
    sizes: numbers of features, inputs first, classes (or outputs) last.
    activation: a name of :data:`optimlab.activations.ACTIVATIONS` or an ``Activation``.
    batch_norm: False, True or ``"before"`` (before the activation), or ``"after"`` (after it).
    dropout: rate after each hidden layer; 0 for none.
    initializer: a name of :data:`optimlab.initializers.INITIALIZERS`, a function ``(generator, shape)``, or
        ``"auto"``: ``he_normal`` for ReLU and its relatives, ``glorot_normal`` for sigmoid, tanh, softmax, identity.
    use_bias: whether the Dense layers have one.
    standardize: an :class:`optimlab.Standardize` fitted on the training inputs: raw inputs then go in, and the numbers
        are kept with the network, see :class:`optimlab.layers.Standardized`. True leaves them to a checkpoint.
    convention: ``"textbook"``, ``"torch"`` or ``"keras"``: decides what batch norm means by its defaults, see
        :class:`optimlab.layers.BatchNorm`, and what ``"auto"`` initial weights (and biases) are, see
        :class:`optimlab.layers.Dense`.
    seed, dtype, backend: see :class:`Network`.

    Raises
    ------
    InputError: fewer than two sizes, sizes that are not positive integers, unknown names, rates out of range.

    >>> net = MLP([64, 100, 10], batch_norm=True, dropout=0.2, seed=0)
    >>> [layer.name for layer in net.layers]
    ['dense1', 'norm1', 'activation1', 'dropout1', 'dense2']
    >>> net
    <MLP 64-100-10, 7,710 parameters, float32>
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str | Activation = "relu",
        batch_norm: bool | str = False,
        dropout: float = 0.0,
        initializer: str | Initializer = "auto",
        use_bias: bool = True,
        standardize: Any = None,
        convention: str = "textbook",
        seed: int | np.random.SeedSequence = 0,
        dtype: str = "float32",
        backend: str | Backend = "auto",
    ) -> None:
        whole = isinstance(sizes, Sequence | np.ndarray) and all(
            isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1 for n in sizes
        )
        if not whole or len(sizes) < 2:
            raise InputError(f"sizes must be two or more positive integers, such as [64, 100, 10]; got {sizes!r}")
        sizes = [int(n) for n in sizes]
        if batch_norm not in (False, True, "before", "after"):
            raise InputError(f"batch_norm must be False, True, 'before' or 'after', got {batch_norm!r}")
        f = activations.get(activation)
        rate = number("the dropout rate", dropout, low=0, below=1)
        chosen: str | Initializer | None = initializer
        if isinstance(initializer, str) and initializer == "auto":
            glorot = f in [activations.get(name) for name in _GLOROT]
            chosen = None if convention != "textbook" else "glorot_normal" if glorot else "he_normal"
        layers: list[Layer] = []
        for inputs, outputs in itertools.pairwise(sizes):
            if layers:
                norm: list[Layer] = [BatchNorm(inputs, convention=convention)] if batch_norm else []
                act: list[Layer] = [Activate(inputs, f)]
                layers += act + norm if batch_norm == "after" else norm + act
                layers += [Dropout(inputs, dropout)] if rate else []
            layers.append(Dense(inputs, outputs, use_bias=use_bias, initializer=chosen, convention=convention))
        if standardize is not None and standardize is not False:
            layers.insert(0, _standardized(standardize, sizes[0]))
        super().__init__(layers, seed=seed, dtype=dtype, backend=backend)
        named = [name for name, known in activations.ACTIVATIONS.items() if known == f]
        if named:
            self.recipe = {
                "sizes": sizes,
                "activation": named[0],
                "batch_norm": batch_norm,
                "dropout": rate,
                "use_bias": use_bias,
                "standardize": standardize is not None and standardize is not False,
                "convention": convention,
                "dtype": self.dtype,
                "backend": backend if isinstance(backend, str) else self.backend.name,
            }


def _standardized(scale: Any, features: int) -> Standardized:
    if scale is True:
        return Standardized(np.zeros(features), np.ones(features))
    if not (hasattr(scale, "mean") and hasattr(scale, "std")):
        raise InputError(f"standardize takes an ol.Standardize, got {scale!r}")
    if features % len(scale.mean) or (scale.channels is None and features != len(scale.mean)):
        raise InputError(
            f"standardize was fitted on {len(scale.mean)} features or channels, the network has {features}"
        )
    pixels = features // len(scale.mean)
    return Standardized(np.tile(scale.mean, pixels), np.tile(scale.std, pixels))


def seed_sequence(seed: int | np.random.SeedSequence) -> np.random.SeedSequence:
    """A fresh seed sequence, or one clear error.

    >>> seed_sequence(7).entropy
    7
    """
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"a seed must be an integer of at least 0, got {seed!r}")
    return np.random.SeedSequence(int(seed))
