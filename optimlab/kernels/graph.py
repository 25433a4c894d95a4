"""The expression graph of a rule: its computations per element, and its host scalars once per step."""

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

from ..common.errors import InputError, exact

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
"""The operations whose rounding differs between engines, by a few units in the last place."""

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
"""The operations on arrays in a rule or function, by NumPy's names (``erf`` is SciPy's), with the number of operands.

Operations before :data:`TRANSCENDENTAL` have one correctly rounded result, so every engine is bitwise equal to NumPy.
Transcendental ones come from each language's library, and their last bits differ between engines.
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
"""The operations that C, JavaScript and Python write with an infix operator."""

COMPARISONS = frozenset(["greater", "greater_equal", "less", "less_equal", "equal", "not_equal"])


class ScalarError(InputError, ArithmeticError):
    """An error for host scalars that cannot be computed for these hyperparameters and this ``t``."""


@dataclass(frozen=True, eq=False)
class Node:
    """One value of the graph.

    ``op`` is ``"input"`` (``value`` is its name), ``"slot"`` (``value`` is its index among the host
    scalars) or a key of :data:`OPERATIONS`.
    """

    op: str
    args: tuple[Node, ...] = field(default=(), repr=False)  # the repr would repeat every shared value
    value: Any = None

    @property
    def is_leaf(self) -> bool:
        return self.op in ("input", "slot")

    @property
    def is_mask(self) -> bool:
        """True if the value is a boolean per element."""
        return self.op in COMPARISONS


@dataclass(frozen=True, eq=False)
class Graph:
    """A traced rule, or a traced function of arrays.

    Attributes
    ----------
    name: name of the rule.
    inputs: array arguments in order, ``("w", "g", *state)`` for a rule.
    written: the arrays that receive ``outputs``: ``("w", *state)`` for a rule; for a function ``("out",)``, or
        ``("out1", "out2", ...)``, which are not among its inputs.
    state: initial value of each state array by name.
    hyperparameters: default of each hyperparameter by name (``t`` is not among them).
    slots: the host scalars, including constants, as Python expressions of the hyperparameters and ``t``; slot ``k`` is
        computed once per step in float64 and reaches every element as ``hp[k]``, cast to the arrays' dtype.
    nodes: the operations on each element, in the order of the rule.
    outputs: the new ``w`` and the new state of a rule; the results of a function.
    functions: functions of scalars that the slots call, by name.
    names: the rule's local array variables, by their final node.
    scalar_names: the rule's local scalar variables, by their expression.
    exact: True if the rule called on NumPy arrays gives the same bits as the NumPy engine. A power that became
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
        """True for a rule, which writes into its own arguments; False for a function, which has separate outputs."""
        return self.inputs[:2] == ("w", "g") and self.written == ("w", *self.inputs[2:])

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the arrays in a kernel's arguments: the inputs, then any separate outputs."""
        return (*self.inputs, *(name for name in self.written if name not in self.inputs))

    @cached_property
    def scalars(self) -> Callable[..., tuple[float, ...]]:
        """The function ``scalars(t=..., lr=..., ...)`` that computes every slot, in Python's float64.

        It raises a :class:`ScalarError` if a scalar has no value: after a division by zero, or if it is complex.
        """
        parameters = ", ".join(["t", *self.hyperparameters])
        values = "".join(f"{slot}, " for slot in self.slots)
        scope: dict[str, Any] = dict(self.functions)
        text = f"lambda *, {parameters}: ({values})"
        # compile first: a Ctrl-C during eval of a string ends Python with SIGINT even if it is handled
        compute: Callable[..., tuple[float, ...]] = eval(_compiled(text), scope)

        def scalars(**values: float) -> tuple[float, ...]:
            try:
                found = compute(**values)
                # the sum is complex if one of them is, and it overflows if an integer is too large for a float
                if isinstance(sum(found, 0.0), complex):
                    raise TypeError("complex")
                return found
            except (ArithmeticError, ValueError, TypeError) as error:
                reason = str(error)
                if isinstance(error, TypeError):
                    if "complex" not in reason:
                        raise
                    reason = "a scalar is complex, for example a fractional power of a negative number"
                given = ", ".join(f"{name}={exact(value)}" for name, value in values.items())
                raise ScalarError(f"{self.name} cannot be computed with {given}: {reason}") from error

        return scalars

    def table(self, first: int, steps: int, values: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the numbers of :attr:`scalars` for ``steps`` steps from ``t = first`` on, one row per step.

        The numbers are cached for many steps at a time, because the runs of a sweep need the same ones.

        >>> from optimlab.kernels import trace
        >>> from optimlab.rules.textbook import momentum
        >>> trace(momentum).table(1, 2, {"lr": 0.1, "beta": 0.9}).tolist()
        [[0.9, 0.1], [0.9, 0.1]]
        """
        given = tuple(values.items())
        block, start = divmod(first - 1, AHEAD)
        try:
            blocks = range(block, block + -(-(start + steps) // AHEAD))
            parts = [_table(self, k, given) for k in blocks]
        except (ArithmeticError, TypeError, ValueError):  # perhaps in a later step, which is never taken
            parts, start = [np.array([self.scalars(t=t, **values) for t in range(first, first + steps)])], 0
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty((0, len(self.slots)))])
        return whole[start : start + steps]

    def without_ones(self, ones: Iterable[int]) -> Graph:
        """Return the rule for slots that are 1, without multiplications and divisions by them.

        This is exact for every value, infinity and NaN included. It happens often: a weight decay of 0 makes the factor
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
        """Evaluate the rule term by term: return every node's value, from arrays (or numbers) by input name.

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
        """The number of arrays read plus arrays written by one fused step; times the itemsize, bytes per parameter."""
        return len(self.inputs) + len(self.written)


AHEAD = 256
"""The number of steps whose host scalars are computed together."""


@lru_cache(maxsize=1024)
def _table(graph: Graph, block: int, values: tuple[tuple[str, float], ...]) -> NDArray[np.float64]:
    """Return the host scalars of the steps from ``block * AHEAD + 1`` to ``(block + 1) * AHEAD``."""
    table, known, functions = np.empty((AHEAD, len(graph.slots))), dict(values), tuple(graph.functions.items())
    for k, slot in enumerate(graph.slots):
        function, names = _slot(slot, functions)
        given = {name: known[name] for name in names if name != "t"}
        if "t" in names:
            table[:, k] = _column(slot, functions, block, tuple(given.items()))
        else:
            table[:, k] = float(function(**given))
    table.flags.writeable = False
    return table


@lru_cache(maxsize=1024)
def _column(
    slot: str,
    functions: tuple[tuple[str, Callable[..., float]], ...],
    block: int,
    given: tuple[tuple[str, float], ...],
) -> list[float]:
    """Return a slot's numbers for each step. Runs that differ only in the rate share most of them."""
    function, known = _slot(slot, functions)[0], dict(given)
    return [float(function(t=t, **known)) for t in range(block * AHEAD + 1, (block + 1) * AHEAD + 1)]


@cache
def _slot(text: str, functions: tuple[tuple[str, Callable[..., float]], ...]) -> tuple[Callable[..., float], list[str]]:
    """Return a slot as a function of the numbers it needs, and their names."""
    tree = ast.parse(text, mode="eval")
    known = {name for name, _ in functions}
    names = list(dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id not in known))
    arguments = f"*, {', '.join(names)}" if names else ""
    function: Callable[..., float] = eval(_compiled(f"lambda {arguments}: {text}"), dict(functions))
    return function, names


@cache
def array_function(op: str) -> Callable[..., Any]:
    """Return NumPy's or SciPy's function for this operation.

    >>> array_function("exp")
    <ufunc 'exp'>
    """
    found: Callable[..., Any] = getattr(import_module("scipy.special") if op == "erf" else np, op)
    return found


@cache
def _compiled(text: str) -> CodeType:
    """Compile a text once: each optimizer traces its own graph, and graphs of the same rule have the same text."""
    return compile(text, "<scalars of a rule>", "eval")
