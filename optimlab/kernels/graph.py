"""The expression graph of a rule: what is computed per element, and what once a step on the host."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from importlib import import_module
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRANSCENDENTAL: dict[str, int] = {
    "exp": 1,
    "expm1": 1,
    "log": 1,
    "log1p": 1,
    "tanh": 1,
    "erf": 1,
    "sin": 1,
    "cos": 1,
    "power": 2,
}
"""The operations that engines round differently, by a few units in the last place."""

OPERATIONS: dict[str, int] = {
    "add": 2,
    "subtract": 2,
    "multiply": 2,
    "divide": 2,
    "negative": 1,
    "absolute": 1,
    "square": 1,
    "sqrt": 1,
    "sign": 1,
    "maximum": 2,
    "minimum": 2,
    "where": 3,
    "greater": 2,
    "greater_equal": 2,
    "less": 2,
    "less_equal": 2,
    "equal": 2,
    "not_equal": 2,
    **TRANSCENDENTAL,
}
"""What a rule or a function may do to an array, by NumPy's names (``erf`` is SciPy's), with the number of operands.

Those before :data:`TRANSCENDENTAL` have one correctly rounded answer: every engine is bitwise equal to NumPy there. The
transcendental ones are the library's of each language, and the last bits differ from engine to engine.
"""

INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "greater": ">",
    "greater_equal": ">=",
    "less": "<",
    "less_equal": "<=",
    "equal": "==",
    "not_equal": "!=",
}
"""The operations that C, JavaScript and Python write with a sign between their operands."""

COMPARISONS = frozenset(["greater", "greater_equal", "less", "less_equal", "equal", "not_equal"])


@dataclass(frozen=True, eq=False)
class Node:
    """One value of the graph.

    ``op`` is ``"input"`` (``value`` is its name), ``"slot"`` (``value`` is its index among the host
    scalars) or a key of :data:`OPERATIONS`.
    """

    op: str
    args: tuple[Node, ...] = field(default=(), repr=False)  # a repr would repeat every shared value
    value: Any = None

    @property
    def is_leaf(self) -> bool:
        return self.op in ("input", "slot")

    @property
    def is_mask(self) -> bool:
        """True where the value is a boolean per element."""
        return self.op in COMPARISONS


@dataclass(frozen=True, eq=False)
class Graph:
    """A traced rule, or a traced function of arrays.

    Attributes
    ----------
    name: name of the rule.
    inputs: array arguments in order, ``("w", "g", *state)`` of a rule.
    written: the arrays that receive ``outputs``: ``("w", *state)`` of a rule; of a function ``("out",)``, or ``("out1",
        "out2", ...)``, which are none of its inputs.
    state: initial value of each state array by name.
    hyperparameters: default of each hyperparameter by name (``t`` is not among them).
    slots: the host scalars, constants included, as Python expressions of the hyperparameters and
        ``t``; slot ``k`` is computed once a step in float64 and reaches every element as ``hp[k]``, cast to
        the arrays' dtype.
    nodes: the operations each element goes through, in the order the rule states them.
    outputs: the new ``w`` and the new state; what a function returns.
    functions: functions of scalars that the slots call, by name.
    names: the local variables of the rule that are arrays, by the node that each ends up as.
    scalar_names: those that are scalars, by their expression.
    exact: whether the rule, called on NumPy's arrays, has the same bits as in the NumPy engine. A power that became
        multiplications is rounded differently by NumPy's ``**``, and the engine's erf is not SciPy's.
    """

    name: str
    inputs: tuple[str, ...]
    written: tuple[str, ...]
    state: dict[str, float]
    hyperparameters: dict[str, float]
    slots: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Node, ...]
    functions: dict[str, Callable[..., float]] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    scalar_names: dict[str, str] = field(default_factory=dict)
    exact: bool = True

    @property
    def is_rule(self) -> bool:
        """True for a rule, which writes into its own arguments; False for a function, which has outputs besides."""
        return self.inputs[:2] == ("w", "g") and self.written == ("w", *self.inputs[2:])

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays that a kernel of this graph is called with, by name: the inputs, then the outputs besides."""
        return (*self.inputs, *(name for name in self.written if name not in self.inputs))

    @cached_property
    def scalars(self) -> Callable[..., tuple[float, ...]]:
        """``scalars(t=..., lr=..., ...)``: every slot, in Python's float64."""
        parameters = ", ".join(["t", *self.hyperparameters])
        values = "".join(f"{slot}, " for slot in self.slots)
        scope: dict[str, Any] = dict(self.functions)
        text = f"lambda *, {parameters}: ({values})"
        # a Ctrl-C during eval of a string ends Python with SIGINT even where it is handled; code is compiled first
        function: Callable[..., tuple[float, ...]] = eval(_compiled(text), scope)
        return function

    def table(self, first: int, steps: int, values: Mapping[str, float]) -> NDArray[np.float64]:
        """Every slot of ``steps`` steps from ``t = first`` on, a row a step: the numbers of :attr:`scalars`.

        It is kept: runs of a sweep ask for the same numbers.

        >>> from optimlab.kernels import trace
        >>> from optimlab.rules.textbook import momentum
        >>> trace(momentum).table(1, 2, {"lr": 0.1, "beta": 0.9}).tolist()
        [[0.9, 0.1], [0.9, 0.1]]
        """
        return _table(self, first, steps, tuple(values.items()))

    def without_ones(self, ones: Iterable[int]) -> Graph:
        """The same rule where these slots are 1: multiplying and dividing by them is left out.

        Exact for every value, infinite and NaN included. It happens often: a weight decay of 0 makes the factor
        1 - lr 0, and in float32 Adam's 1 - 0.9^t is 1 from step 159 on.

        >>> from optimlab.kernels import trace
        >>> from optimlab.rules.textbook import adam
        >>> graph = trace(adam)
        >>> graph.slots[4]
        '1 - beta1 ** t'
        >>> len(graph.nodes), len(graph.without_ones([4]).nodes)
        (14, 13)
        """
        units = set(ones)
        if not units:
            return self
        new: dict[Node, Node] = {}

        def is_one(node: Node) -> bool:
            return node.op == "slot" and node.value in units

        for node in self.nodes:
            args = tuple(new.get(a, a) for a in node.args)
            if node.op in ("multiply", "divide") and is_one(args[1]):
                new[node] = args[0]
            elif node.op == "multiply" and is_one(args[0]):
                new[node] = args[1]
            else:
                new[node] = node if args == node.args else Node(node.op, args)
        nodes = tuple(dict.fromkeys(n for n in new.values() if not n.is_leaf))
        return replace(self, nodes=nodes, outputs=tuple(new.get(n, n) for n in self.outputs))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "scalars"}

    def values(self, arrays: Mapping[str, Any], scalars: tuple[float, ...]) -> dict[Node, Any]:
        """The value of every node, from arrays (or numbers) by input name: the rule worked out term by term.

        >>> from optimlab.kernels import trace
        >>> from optimlab.rules.textbook import sgd
        >>> graph = trace(sgd)
        >>> values = graph.values({"w": 1.0, "g": 3.0}, graph.scalars(t=1, lr=0.5))
        >>> [(node.op, float(values[node])) for node in graph.nodes]
        [('multiply', 1.5), ('subtract', -0.5)]
        """
        found: dict[Node, Any] = {}

        def value(node: Node) -> Any:
            if node not in found:
                if node.op == "input":
                    found[node] = arrays[node.value]
                elif node.op == "slot":
                    found[node] = scalars[node.value]
                else:
                    found[node] = array_function(node.op)(*map(value, node.args))
            return found[node]

        for node in (*self.nodes, *self.outputs):
            value(node)
        return found

    @property
    def arrays_moved(self) -> int:
        """Arrays read plus arrays written by one fused step: times the itemsize, bytes a parameter."""
        return len(self.inputs) + len(self.written)


@lru_cache(maxsize=1024)
def _table(graph: Graph, first: int, steps: int, values: tuple[tuple[str, float], ...]) -> NDArray[np.float64]:
    table, known = np.empty((steps, len(graph.slots))), dict(values)
    for k, slot in enumerate(graph.slots):
        function, names = _slot(slot, tuple(graph.functions.items()))
        given = {name: known[name] for name in names if name != "t"}
        if "t" in names:
            table[:, k] = [function(t=t, **given) for t in range(first, first + steps)]
        else:
            table[:, k] = function(**given)
    table.flags.writeable = False
    return table


@cache
def _slot(text: str, functions: tuple[tuple[str, Callable[..., float]], ...]) -> tuple[Callable[..., float], list[str]]:
    """One slot as a function of the numbers that it needs, and their names."""
    tree = ast.parse(text, mode="eval")
    known = {name for name, _ in functions}
    names = list(dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id not in known))
    arguments = f"*, {', '.join(names)}" if names else ""
    function: Callable[..., float] = eval(_compiled(f"lambda {arguments}: {text}"), dict(functions))
    return function, names


@cache
def array_function(op: str) -> Callable[..., Any]:
    """NumPy's function of this operation, or SciPy's.

    >>> array_function("exp")
    <ufunc 'exp'>
    """
    found: Callable[..., Any] = getattr(import_module("scipy.special") if op == "erf" else np, op)
    return found


@cache
def _compiled(text: str) -> CodeType:
    """Compile once per text: each optimizer traces its own graph, and those of one rule have the same text."""
    return compile(text, "<scalars of a rule>", "eval")
