"""Networks: a list of layers over one flat buffer of parameters."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Never

import numpy as np
from numpy.typing import DTypeLike

from .. import backends
from ..backends import Array, Backend, dtype_name, given
from ..common.errors import InputError, count, lookup, number, only
from ..common.tables import Column, Table
from ..common.views import view
from . import activations
from .activations import Activation
from .buffers import Buffers
from .initializers import Initializer
from .layers import Activate, BatchNorm, Dense, Dropout, Layer, Standardized, left_by_pass, within
from .losses import Loss
from .parameters import Parameter, Parameters, assign
from .passes import Evaluation, Pass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GLOROT = ("identity", "sigmoid", "tanh", "softmax")
"""Activations that ``initializer="auto"`` pairs with Glorot's variance, which assumes a slope of one at zero. The
others are zero or small on one side and are paired with He's variance."""


class Network:
    """Layers applied one after the other.

    Parameters
    ----------
    layers: at least one; each takes as many features as the one before it returns.
    seed: an integer, or a :class:`numpy.random.SeedSequence`; decides the initial weights and the dropout masks.
    dtype: ``"float32"`` or ``"float64"``, or NumPy's object for one of them.
    backend: a name of :func:`optimlab.backends.names`. ``"auto"`` is the compiled backend if llvmlite is installed,
        else NumPy's; see :func:`optimlab.backends.get`.

    Attributes
    ----------
    layers: the list of layers, each with a unique ``name`` such as ``dense1``.
    parameters: all weights and gradients, see :class:`optimlab.nn.parameters.Parameters`.
    classifies: True if the outputs are scores of classes. :func:`optimlab.fit` sets it to match its loss; set it
        yourself in your own training loop. While it is None, two or more outputs count as classes.
    recipe: arguments of :class:`MLP` that make a network like this one, as plain data; None if there are none.

    Raises
    ------
    InputError: there are no layers, features do not fit, the dtype or backend is unknown, or the seed is bad.

    >>> from optimlab.nn.layers import Dense, Activate
    >>> net = Network([Dense(2, 3), Activate(3, "tanh"), Dense(3, 1, use_bias=False)], seed=1)
    >>> net.forward(np.zeros((5, 2), "float32")).shape
    (5, 1)
    """

    classifies: bool | None = None

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        seed: int | np.random.SeedSequence = 0,
        dtype: DTypeLike = "float32",
        backend: str | Backend = "auto",
        **other: Never,
    ) -> None:
        only(Network, other)
        if not layers:
            raise InputError("a network needs at least one layer")
        for k, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise InputError(f"expected a list of layers, got {layer!r} in it")
            if hasattr(layer, "_home") or any(layer is other for other in layers[:k]):
                raise InputError(
                    f"a {layer.prefix} layer already belongs to a network: make a new one, or pass "
                    "copy.deepcopy(layer) to keep the same weights"
                )
        for before, after in itertools.pairwise(layers):
            if before.outputs != after.inputs:
                raise InputError(
                    f"a {after.prefix} layer of {after.inputs} inputs cannot follow one of {before.outputs} outputs"
                )
        self.dtype = dtype_name(dtype)
        self.layers = list(layers)
        self.backend = backends.get(backend)
        # two streams per layer, so that its draws do not depend on the other layers
        streams = seed_sequence(seed).spawn(2 * len(layers))
        counts: dict[str, int] = {}
        made: list[tuple[Parameter, Any]] = []
        for k, layer in enumerate(self.layers):
            counts[layer.prefix] = counts.get(layer.prefix, 0) + 1
            name = f"{layer.prefix}{counts[layer.prefix]}"
            # a copy of another network's layer keeps what it has learned
            states = dict(layer.state()) if hasattr(layer, "name") else {}
            layer.build(name, self.dtype, self.backend, streams[2 * k + 1])
            for key, values in states.items():
                layer.state()[key][...] = self.backend.asarray(backends.of(values).to_numpy(values))
            generator = np.random.default_rng(streams[2 * k])
            for attribute, kind, shape, initializer in layer.declare():
                parameter = Parameter(f"{name}.{attribute}", kind, name, shape)
                learned: Parameter | None = getattr(layer, attribute, None)
                setattr(layer, attribute, parameter)
                if learned is None or learned.data is None:
                    values = np.asarray(initializer(generator, shape))  # type: ignore[arg-type]
                else:
                    values, parameter.frozen = backends.of(learned.data).to_numpy(learned.data), learned.frozen
                if values.shape != shape:
                    raise InputError(f"the initializer of {parameter.name} gave shape {values.shape}, expected {shape}")
                made.append((parameter, values))
        self.parameters = Parameters([p for p, _ in made], self.dtype, self.backend)
        self._lowest = (-1, 0)
        self._forget_passes()
        self.recipe: dict[str, Any] | None = None
        for parameter, values in made:
            parameter.data[...] = self.backend.asarray(values, self.dtype)
        for layer in self.layers:
            layer.settle()

    @property
    def inputs(self) -> int:
        """Number of input features."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.layers[-1].outputs

    def forward(self, x: Any, training: bool = False) -> Array:
        """Return the outputs (logits) for ``x`` of shape ``(batch, inputs)``.

        With ``training=True``, dropout is on and batch norm uses the batch. Only one thread at a time can train. Any
        number of threads can call this in evaluation mode, even while another one trains; each uses the current
        weights. The next forward pass of this thread in the same mode overwrites the returned array. Copy it to keep
        it, or use :meth:`logits`, which returns a new array.

        Raises
        ------
        InputError: ``x`` is not a real array of this shape with at least one row.
        """
        x = self.check_inputs(x)
        outputs = self.forward_unchecked(x, training)
        # layers that change nothing return their input, which may be the caller's array
        return outputs.copy() if outputs is x else outputs

    def forward_unchecked(self, x: Array, training: bool) -> Array:
        """Run :meth:`forward` on an array that :meth:`check_inputs` returned; may return ``x`` itself."""
        mine = self._mine
        if training:
            mine.last = self._training
        else:
            if not hasattr(mine, "evaluation"):
                mine.evaluation = Evaluation()
            mine.last = mine.evaluation
        return mine.last.forward(self.layers, x, training)

    def training_pass_restorer(self) -> Callable[[], None]:
        """Return a function that restores the attributes of the last training pass.

        A recorded program computes the arrays, but sets no attribute of a layer. Call the function after each run of
        the program.
        """
        layers, batch, left = self._training.layers, self._training.batch, left_by_pass(self.layers)

        def again() -> None:
            done = self._mine.last = self._training
            done.layers, done.batch = layers, batch
            for layer, attributes in left:
                vars(layer).update(attributes)

        return again

    @property
    def last_pass(self) -> Pass:
        """The pass of this thread's last :meth:`forward`, or the last training pass if this thread made none."""
        return getattr(self._mine, "last", self._training)

    def backward(self, gradient: Array, input_gradient: bool = False) -> Array:
        """Fill ``parameters.grad`` from ``gradient = dL/d(outputs)`` of this thread's last :meth:`forward`.

        You may call :meth:`logits`, :meth:`predict` or :func:`optimlab.evaluate` in between.
        Return ``dL/dx`` if ``input_gradient`` is true, which costs one more matrix product, else None.

        Raises
        ------
        InputError: there was no forward pass, or its batch size was different.
        """
        done = self.last_pass
        if getattr(gradient, "shape", None) != (*done.batch, self.outputs):
            if not done.batch:
                raise InputError("backward needs a forward pass before it")
            found = getattr(gradient, "shape", type(gradient).__name__)
            raise InputError(f"expected the gradient of outputs of shape {(*done.batch, self.outputs)}, got {found}")
        gradient = done.backward(gradient, 0 if input_gradient else self._lowest_trained(), input_gradient)
        return gradient if input_gradient else None

    def evaluated(self, x: Array, rows: int = 1024) -> Iterator[tuple[slice, Array]]:
        """Yield slices of the rows of ``x`` with their outputs in evaluation mode.

        ``x`` is an array that :meth:`check_inputs` returned, or a stack of one such array per replica. The outputs may
        be a view of ``x``, and the next slice overwrites them. :meth:`backward` ignores this pass.
        """
        try:
            evaluation = self._idle.pop()
        except IndexError:  # all are in use by other callers
            evaluation = Evaluation()
        try:
            for start in range(0, x.shape[-2], rows):
                part = slice(start, start + rows)
                yield part, evaluation.forward(self.layers, x[..., part, :])
        finally:
            self._idle.append(evaluation)

    def _forget_passes(self) -> None:
        """Forget all forward passes and their working arrays."""
        self._training = Pass()
        self._mine = threading.local()
        self._idle: list[Evaluation] = []

    def _lowest_trained(self) -> int:
        """Return the index of the lowest layer with a parameter to train. No gradient is needed below it."""
        if self._lowest[0] != self.parameters.version:
            trained = {p.layer for p in self.parameters if not p.frozen}
            lowest = next((k for k, layer in enumerate(self.layers) if layer.name in trained), len(self.layers))
            self._lowest = (self.parameters.version, lowest)
        return self._lowest[1]

    def check_inputs(self, x: Any) -> Array:
        """``x`` as an array of the network's backend and dtype, or one clear error."""
        if not (self.backend.owns(x) and x.dtype == self.dtype):
            x = given(self.backend, x, "the inputs")
            if x.dtype.kind not in "fiub":
                raise InputError(f"the inputs must be real numbers, got dtype {x.dtype}")
            x = self.backend.asarray(x, self.dtype)
        if x.ndim != 2 or x.shape[1] != self.inputs or not x.shape[0]:
            raise InputError(f"expected inputs of shape (rows, {self.inputs}), got {tuple(x.shape)}")
        return x

    def logits(self, x: Any, batch_size: int = 1024) -> Array:
        """Return the outputs in evaluation mode, as a new array, computed ``batch_size`` rows at a time.

        Raises
        ------
        InputError: ``x`` does not fit the network; ``batch_size`` is not a whole number of at least 1.
        """
        x, rows = self.check_inputs(x), count("batch_size", batch_size)
        out = self.backend.empty((len(x), self.outputs), self.dtype)
        for part, outputs in self.evaluated(x, rows):
            out[part] = outputs
        return out

    def predict_proba(self, x: Any) -> Array:
        """Return class probabilities, shape ``(rows, classes)``: the softmax of the outputs.

        A single output is the logit of class 1 against class 0. If the network ends in softmax or sigmoid, the outputs
        are already probabilities.

        Raises
        ------
        InputError: the network is a regression, see :meth:`predict`; or ``x`` does not fit it.
        """
        self.check_classes("predict_proba")
        return self.probabilities(self.logits(x))

    def predict(self, x: Any) -> Array:
        """Return the most likely class of each row, ``(rows,)``, or the outputs of a regression, ``(rows, outputs)``.

        The loss it was last trained with decides if a network is a regression. An untrained network is a regression if
        it has one output. See the attribute ``classifies``.

        >>> MLP([3, 4], seed=0).predict(np.ones((2, 3))).shape, MLP([3, 1], seed=0).predict(np.ones((2, 3))).shape
        ((2,), (2, 1))
        """
        outputs = self.logits(x)
        if not self.of_classes:
            return outputs
        if self.outputs > 1:
            return outputs.argmax(axis=-1)
        middle = 0.5 if self._last_activation().gives_probabilities else 0
        return (outputs[:, 0] > middle).astype("int64")

    @property
    def of_classes(self) -> bool:
        """True for a classifier, False for a regression."""
        return self.outputs > 1 if self.classifies is None else self.classifies

    def check_classes(self, method: str) -> None:
        """Raise an error if the network is a regression, which has no class probabilities."""
        if not self.of_classes:
            raise InputError(
                f"{method} returns class probabilities, but this network has no classes: it has one output, or its "
                "loss has no classes. Use predict, which returns the outputs"
            )

    def probabilities(self, outputs: Array) -> Array:
        """Turn ``outputs`` of this network into class probabilities."""
        given = self._last_activation().gives_probabilities
        if outputs.shape[-1] > 1:
            return outputs if given else activations.get("softmax")(outputs)
        sigmoid = activations.get("sigmoid")
        pair = (1 - outputs, outputs) if given else (sigmoid(-outputs), sigmoid(outputs))
        return self.backend.xp.concatenate(pair, axis=-1)

    def check_targets(self, loss: Loss, targets: Any, rows: int) -> Array:
        """Check that there are ``rows`` targets that fit ``loss``, and return them in the form the loss takes.

        Raises
        ------
        InputError: the targets or the number of outputs do not fit; or the network ends in softmax or sigmoid and the
            loss would apply it again.
        """
        last = self._last_activation()
        if loss.takes_logits and last.gives_probabilities:
            raise InputError(
                f"{loss.name} takes logits, but this network ends in {last}: leave out that last layer; "
                "predict_proba returns the probabilities"
            )
        return loss.check(self.backend, targets, (rows, self.outputs))

    def _last_activation(self) -> Activation:
        """Return the activation function of the outputs; the identity if there is none."""
        identity = activations.get("identity")
        for layer in reversed(self.layers):
            f = layer.activation if isinstance(layer, Activate) else None
            if f != identity and not isinstance(layer, Dropout):
                return f or identity
        return identity

    def copy(self, dtype: DTypeLike | None = None) -> Network:
        """Return an independent network with the same weights, layer states and random streams.

        >>> net = MLP([2, 2], seed=0)
        >>> twin = net.copy("float64")
        >>> twin.parameters.data[...] = 0
        >>> bool(net.parameters.data.any()), twin.parameters.data.dtype
        (True, dtype('float64'))
        """
        name = self.dtype if dtype is None else dtype_name(dtype)
        if name == self.dtype:
            return copy.deepcopy(self)
        # convert every array of the layers' states to the new dtype, wherever the copy refers to it
        arrays = [a for layer in within(self.layers) for a in layer.state().values() if a.dtype.kind == "f"]
        twin = copy.deepcopy(self, {id(a): a.astype(name) for a in arrays})
        twin.dtype = twin.parameters.dtype = name
        twin.recipe = twin.recipe and {**twin.recipe, "dtype": name}
        flat = twin.parameters
        flat.data, flat.grad = flat.data.astype(name), flat.grad.astype(name)
        flat.rebind()
        for layer in within(twin.layers):
            layer.dtype = name
            layer._buffers = Buffers(self.backend, name)
        return twin

    def learned(self) -> dict[str, Array]:
        """Return the arrays that training changes, by name: all weights as one array, and each layer's state.

        A layer's state is, for example, batch norm's running statistics. The arrays are not copied.

        >>> list(MLP([4, 3, 2], batch_norm=True).learned())
        ['weights', 'layers/norm1/running_mean', 'layers/norm1/running_var']
        """
        states = {f"layers/{layer.name}/{name}": a for layer in self.layers for name, a in layer.state().items()}
        return {"weights": self.parameters.data, **states}

    def load(self, values: Any) -> None:
        """Set all weights from one flat array with the layout of ``parameters.data``."""
        assign(self.parameters, values)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy or pickle, without forward passes: the layers hold no activations."""
        return {k: v for k, v in self.__dict__.copy().items() if k not in ("_training", "_mine", "_idle")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_passes()
        for layer in self.layers:
            layer.settle()

    def summary(self) -> Table:
        """Return a table of the layers, with each layer's kind, settings, outputs and number of parameters.

        >>> print(MLP([64, 32, 10], dropout=0.2).summary())
        MLP 64-32-10, 2,410 parameters, float32
        layer        kind      settings              outputs  parameters
        ────────────────────────────────────────────────────────────────
        dense1       Dense     use_bias=True              32       2,080
        activation1  Activate  activation=relu            32           0
        dropout1     Dropout   rate=0.2, hold=False       32           0
        dense2       Dense     use_bias=True              10         330
        """
        names = ("layer", "kind", "settings")
        columns = [*(Column(name, "words") for name in names), Column("outputs"), Column("parameters")]
        rows = []
        for layer in self.layers:
            settings = {k: v for k, v in layer.settings().items() if k not in ("inputs", "outputs")}
            own = [p for p in self.parameters if p.layer == layer.name]
            frozen = ", frozen" if own and all(p.frozen for p in own) else ""
            told = ", ".join(f"{k}={v}" for k, v in settings.items())
            size = f"{sum(p.size for p in own):,}"
            rows.append([layer.name, type(layer).__name__, told + frozen, f"{layer.outputs:,}", size])
        return Table(columns, rows, self._title())

    def plot_weights(self, layer: str = "dense1", shape: Sequence[int] | None = None, most: int = 64) -> Figure:
        """Draw each unit's incoming weights in a Dense layer as an image.

        Parameters
        ----------
        layer: the name of a Dense layer; only the first Dense layer sees the inputs themselves.
        shape: rows and columns of an image, such as ``(28, 28)``; None for a square.
        most: the largest number of units to draw.

        Raises
        ------
        InputError: there is no such layer, or its inputs do not fill an image of this shape.

        >>> net = MLP([64, 32, 10], seed=0)
        >>> len(net.plot_weights().axes[0].images)
        1
        """
        dense = {one.name: one for one in self.layers if isinstance(one, Dense)}
        weights = self.backend.to_numpy(lookup("Dense layer", layer, dense).W.data)
        figure: Figure = view("weights figure", layer, weights, shape, most)
        return figure

    def _title(self) -> str:
        sizes = "-".join(str(n) for n in (self.inputs, *(d.outputs for d in self.layers if isinstance(d, Dense))))
        return f"{type(self).__name__} {sizes}, {self.parameters.data.size:,} parameters, {self.dtype}"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<{self._title()}>"


class MLP(Network):
    """A multilayer perceptron: hidden Dense layers, each with its activation, and a last Dense layer.

    Hidden layers also get batch norm and dropout on request.

    Parameters
    ----------
    sizes: numbers of features, inputs first, classes (or outputs) last.
    activation: a name of :data:`optimlab.nn.activations.ACTIVATIONS` or an ``Activation``.
    batch_norm: False, True or ``"before"`` (before the activation), or ``"after"`` (after it).
    dropout: rate after each hidden layer; 0 for none.
    initializer: a name of :data:`optimlab.nn.initializers.INITIALIZERS`, a function ``(generator, shape)``, or
        ``"auto"``: ``he_normal`` for ReLU and its relatives, ``glorot_normal`` for sigmoid, tanh, softmax, identity.
    bias_initializer: a name of :data:`optimlab.nn.initializers.BIASES`, a function ``(generator, shape)`` that returns
        the biases of a layer whose weights have this shape, or ``"auto"``: zeros, or the biases of the convention.
    use_bias: True for Dense layers with biases.
    standardize: an :class:`optimlab.Standardize` fitted on the training inputs. The network then takes raw inputs and
        stores the numbers, see :class:`optimlab.nn.layers.Standardized`. True makes an empty layer for a checkpoint to
        fill.
    convention: ``"textbook"``, ``"torch"`` or ``"keras"``; decides batch norm's defaults, see
        :class:`optimlab.nn.layers.BatchNorm`, and the initial values behind ``"auto"``, biases included, see
        :class:`optimlab.nn.layers.Dense`.
    seed, dtype, backend: see :class:`Network`.

    Raises
    ------
    InputError: there are fewer than two sizes, a size is not a positive integer, a name is unknown, or a rate is out
        of range.

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
        bias_initializer: str | Initializer = "auto",
        use_bias: bool = True,
        standardize: Any = None,
        convention: str = "textbook",
        seed: int | np.random.SeedSequence = 0,
        dtype: DTypeLike = "float32",
        backend: str | Backend = "auto",
        **other: Never,
    ) -> None:
        only(MLP, other)
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
            glorot = f in [activations.get(name) for name in GLOROT]
            chosen = None if convention != "textbook" else "glorot_normal" if glorot else "he_normal"
        biases = None if isinstance(bias_initializer, str) and bias_initializer == "auto" else bias_initializer
        layers: list[Layer] = []
        for inputs, outputs in itertools.pairwise(sizes):
            if layers:
                norm: list[Layer] = [BatchNorm(inputs, convention=convention)] if batch_norm else []
                act: list[Layer] = [Activate(inputs, f)]
                layers += act + norm if batch_norm == "after" else norm + act
                layers += [Dropout(inputs, dropout)] if rate else []
            layers.append(
                Dense(
                    inputs,
                    outputs,
                    use_bias=use_bias,
                    initializer=chosen,
                    bias_initializer=biases,
                    convention=convention,
                )
            )
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
            f"standardize was fitted on {len(scale.mean)} features or channels, but the network has {features}"
        )
    pixels = features // len(scale.mean)
    return Standardized(np.tile(scale.mean, pixels), np.tile(scale.std, pixels))


def seed_sequence(seed: int | np.random.SeedSequence) -> np.random.SeedSequence:
    """Return a fresh seed sequence.

    >>> seed_sequence(7).entropy
    7
    """
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"a seed must be an integer of at least 0, got {seed!r}")
    return np.random.SeedSequence(int(seed))
