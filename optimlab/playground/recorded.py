"""Layers, losses and penalties as JavaScript.

The Python code of each runs once on a backend that computes nothing. Its arrays and numbers are stand-ins that know
their JavaScript text, and each operation writes down a call. So the JavaScript does what the Python does, in the same
order, with the same formulas. Only products and sums are written by hand, in ``page/network.js``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ..backends.layout import broadcast
from ..kernels import Formula, graph_of, javascript_scalars, javascript_step
from ..kernels.c_source import function_name
from ..nn.layers import Layer
from ..nn.losses import Loss


class Quantity:
    """A number with its JavaScript text. Arithmetic gives the text of the result.

    >>> rows = Quantity("rows", 7)
    >>> 1 / (rows - 1)
    Quantity('1 / (rows - 1)', 0.16666666666666666)
    """

    def __init__(self, text: str, value: float) -> None:
        self.text, self.value = text, value

    def __repr__(self) -> str:
        return f"Quantity({self.text!r}, {self.value})"

    def __eq__(self, other: object) -> bool:
        return bool(self.value == _value(other))

    def __hash__(self) -> int:
        return hash(self.value)

    def __index__(self) -> int:
        return int(self.value)

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _value(other))

    def __sub__(self, other: Any) -> Quantity:
        return _combined("-", self, other)

    def __rsub__(self, other: Any) -> Quantity:
        return _combined("-", other, self)

    def __mul__(self, other: Any) -> Quantity:
        return _combined("*", self, other)

    def __rmul__(self, other: Any) -> Quantity:
        return _combined("*", other, self)

    def __rtruediv__(self, other: Any) -> Quantity:
        return _combined("/", other, self)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"-": operator.sub, "*": operator.mul, "/": operator.truediv}


def _combined(symbol: str, a: Any, b: Any) -> Quantity:
    return Quantity(f"{_operand(a)} {symbol} {_operand(b)}", _OPERATORS[symbol](_value(a), _value(b)))


def _value(number: Any) -> Any:
    return number.value if isinstance(number, Quantity) else number


def _text(number: Any) -> str:
    return number.text if isinstance(number, Quantity) else repr(number)


def _operand(number: Any) -> str:
    text = _text(number)
    return f"({text})" if " " in text else text


ROWS, INPUTS, OUTPUTS = Quantity("rows", 7), Quantity("layer.inputs", 3), Quantity("layer.outputs", 5)
"""The sizes of what is recorded: different primes, so that no two shapes are equal by accident."""


class Stand:
    """A stand-in for an array, with its JavaScript text and its shape.

    ``made`` is the expression that returns it, for a working array. It is declared in each function that uses it.
    """

    def __init__(self, text: str, shape: Sequence[Any], made: str = "", *, transposed: bool = False) -> None:
        self.text, self.shape, self.made, self.transposed = text, tuple(shape), made, transposed

    def swapaxes(self, _first: int, _second: int) -> Stand:
        return Stand(self.text, self.shape[::-1], self.made, transposed=not self.transposed)


class _Slot:
    """A parameter of a layer, with stand-ins for its values and its gradient."""

    frozen = False

    def __init__(self, name: str, shape: Sequence[Quantity]) -> None:
        self.data, self.grad = Stand(f"layer.{name}.data", shape), Stand(f"layer.{name}.grad", shape)


class _Buffers:
    """Working arrays, as :class:`optimlab.nn.buffers.Buffers` has them."""

    def get(self, key: str, shape: Sequence[Any]) -> Stand:
        size = " * ".join(_operand(n) for n in shape if n != 1) or "1"
        return Stand(key.replace(" ", "_"), shape, f'layer.array("{key}", {size})')

    def row(self, key: str, columns: range) -> Stand:
        (size,) = [size for size in (ROWS, INPUTS, OUTPUTS) if size == len(columns)]
        return Stand(key, (size,), f"layer.range({_text(size)})")


class Recorder:
    """A backend that writes each operation down as JavaScript.

    ``maps`` collects the loops of the formulas, by name. Recorders share it.
    """

    def __init__(self, maps: dict[str, str]) -> None:
        self._maps = maps
        self._lines: list[str] = []
        self._declared: dict[str, str] = {}

    def function(self, parameters: str, returned: Stand | None = None) -> str:
        """Print what was recorded as a function, and begin anew."""
        last = [f"return {self._name(returned)};"] if returned else []
        body = "".join(f"    {line}\n" for line in [*self._lines, *last])
        self._lines, self._declared = [], {}
        return f"function ({parameters}) {{\n{body}}}"

    def matmul(self, a: Stand, b: Stand, out: Stand) -> Stand:
        (m, k), n = a.shape, b.shape[1]
        steps = [*((1, m) if a.transposed else (k, 1)), *((1, k) if b.transposed else (n, 1))]
        self._call("matmul", (a, b, out), m, k, n, *steps)
        return out

    def map(self, formula: Formula, inputs: Sequence[Stand], out: Any, **numbers: Any) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        graph, domain = graph_of(formula), outs[0].shape
        kinds = {name: broadcast(a.shape, domain) for name, a in zip(graph.inputs, inputs, strict=True)}
        if not all(kinds.values()):
            raise NotImplementedError(f"{graph.name} of arrays of shapes {[a.shape for a in inputs]}")
        shapes = {name: kind for name, kind in kinds.items() if kind != "full"}
        plain = function_name(graph)
        name = "_".join([plain, *(f"{array}_{kind}" for array, kind in shapes.items())])
        self._keep(name, javascript_step(graph, shapes).replace(f"function {plain}(", f"function {name}(", 1))
        scalars = "[]"
        if graph.hyperparameters:
            called = f"{plain.removesuffix('_map')}_scalars"
            self._keep(called, javascript_scalars(graph))
            given = ", ".join(f"{key}: {_text(value)}" for key, value in {**graph.hyperparameters, **numbers}.items())
            scalars = f"{called}({{{given}}})"
        columns = [domain[1] if len(domain) > 1 else 1] if shapes else []
        self._call(name, [*inputs, *outs], Quantity(scalars, 0), *columns)

    def column_sums(self, x: Stand, out: Stand) -> None:
        self._call("column_sums", (x, out), x.shape[0], x.shape[1] if len(x.shape) > 1 else 1)

    def row_sums(self, x: Stand, out: Stand) -> None:
        self._call("row_sums", (x, out), *x.shape)

    def row_max(self, x: Stand, out: Stand) -> None:
        self._call("row_max", (x, out), *x.shape)

    def row_argmax(self, x: Stand, out: Stand) -> None:
        self._call("row_argmax", (x, out), *x.shape)

    def uniform(self, generator: Stand, out: Stand) -> None:
        self._call("uniform", (generator, out))

    def _call(self, function: str, arrays: Sequence[Stand], *numbers: Any) -> None:
        arguments = ", ".join([*map(self._name, arrays), *map(_text, numbers)])
        self._lines.append(f"{function}({arguments});")

    def _name(self, a: Stand) -> str:
        """Return the text of an array, which is declared if it is a working array that is new to the function."""
        if a.made and self._declared.get(a.text) != a.made:
            if a.text in self._declared:
                raise NotImplementedError(f"{a.text} is both {self._declared[a.text]} and {a.made}")
            self._declared[a.text] = a.made
            self._lines.append(f"const {a.text} = {a.made};")
        return a.text

    def _keep(self, name: str, text: str) -> None:
        if self._maps.setdefault(name, text) != text:
            raise NotImplementedError(f"two formulas are called {name}")


def layer_source(layer: Layer, maps: dict[str, str], **arrays: str) -> str:
    """Print a layer as an object of four functions.

    ``forward(layer, x, rows)`` and ``evaluate(layer, x, rows)`` return the outputs, and ``backward(layer, dy, rows)``
    returns the gradient of the inputs. ``first(layer, dy, rows)`` is the backward pass of a network's first layer,
    whose inputs need no gradient. Each number that the layer was made with, such as a rate, is read from ``layer``.

    Parameters
    ----------
    layer: with 3 inputs and 5 outputs, or 5 of both; it is used up.
    maps: where to add the loops that the functions call, by name.
    arrays: the layer's other arrays, each ``"row"`` or ``"generator"``.
    """
    recorder, given = Recorder(maps), layer  # type: Recorder, Any
    sizes = {3: INPUTS, 5: OUTPUTS}
    for name, value in list(vars(layer).items()):
        if isinstance(value, float):
            setattr(given, name, Quantity(f"layer.{name}", value))
    for declared in layer.declare():
        setattr(given, declared.attribute, _Slot(declared.attribute, [sizes[n] for n in declared.shape]))
    for name, kind in arrays.items():
        setattr(given, name, Stand(f"layer.{name}", (OUTPUTS,) if kind == "row" else ()))
    given.backend, given._buffers = recorder, _Buffers()
    given.inputs, given.outputs = sizes[layer.inputs], OUTPUTS
    x = Stand("x", (ROWS, given.inputs), "layer.x")
    printed = {}
    for name, training in (("evaluate", False), ("forward", True)):
        printed[name] = recorder.function("layer, _, rows", given.forward(x, training))
    for name, wanted in (("first", False), ("backward", True)):
        dx = given.backward(Stand("dy", (ROWS, OUTPUTS)), input_gradient=wanted)
        printed[name] = recorder.function("layer, dy, rows", dx)
    return _object(printed)


def loss_source(loss: Loss, maps: dict[str, str]) -> str:
    """Print a loss as an object of two functions.

    ``mean(layer, y, t, gradient, rows)`` writes the gradient and returns an array with the mean over the batch.
    ``score(layer, y, t, gradient, rows)`` returns an array with the score's sum over the rows. ``layer`` has
    ``outputs`` and the working arrays.
    """
    recorder: Any = Recorder(maps)
    shape = (ROWS, 1 if loss.name == "binary_cross_entropy" else OUTPUTS)
    y, out = Stand("y", shape), Stand("gradient", shape)
    t = Stand("t", (ROWS, 1) if loss.classifies else shape)
    parameters, buffers = "layer, y, t, gradient, rows", _Buffers()
    mean = recorder.function(parameters, loss.function(recorder, y, t, out, buffers))  # type: ignore[arg-type]
    assert loss.score is not None
    score = recorder.function(parameters, loss.score.summed(recorder, y, t, buffers))  # type: ignore[arg-type]
    return _object({"mean": mean, "score": score})


def penalty_source(penalty: Any, maps: dict[str, str]) -> str:
    """Print a penalty as ``function (layer, w, g)``.

    It adds to the gradient ``g`` of the weights ``w``, and returns an array with the penalty. ``layer`` has the rate
    and the working arrays.
    """
    recorder = Recorder(maps)
    w, g = Stand("w", (INPUTS,)), Stand("g", (INPUTS,))
    penalty.rate = Quantity("layer.rate", penalty.rate)
    penalty._found, penalty._buffers = lambda _: [(w, g)], _Buffers()
    value = penalty.add(_Holder(recorder))
    return recorder.function("layer, w, g", value).replace("layer.inputs", "w.length")


class _Holder:
    """The part of a network's parameters that a penalty reads: the backend."""

    def __init__(self, backend: Recorder) -> None:
        self.backend = backend


def _object(functions: dict[str, str]) -> str:
    return "{\n" + "".join(f"{name}: {text},\n" for name, text in functions.items()) + "}"
