"""The expression graph of a rule: what is computed per element, and what once a step on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
}
"""What a rule may do to an array, by NumPy's names, with the number of operands. Each of these has one
correctly rounded answer, which is why every engine can be bitwise equal to NumPy."""

COMPARISONS = frozenset(["greater", "greater_equal", "less", "less_equal", "equal", "not_equal"])


@dataclass(frozen=True, eq=False)
class Node:
    """One value of the graph.

    ``op`` is ``"input"`` (``value`` is its name), ``"slot"`` (``value`` is its index among the host
    scalars) or a key of :data:`OPERATIONS`.
    """

    op: str
    args: tuple[Node, ...] = ()
    value: Any = None

    @property
    def is_leaf(self) -> bool:
        return self.op in ("input", "slot")

    @property
    def is_mask(self) -> bool:
        """True where the value is a boolean per element."""
        return self.op in COMPARISONS


@dataclass(frozen=True)
class Graph:
    """A traced rule.

    Attributes
    ----------
    name: name of the rule.
    inputs: array arguments in order, ``("w", "g", *state)``.
    state: initial value of each state array by name.
    hyperparameters: default of each hyperparameter by name (``t`` is not among them).
    slots: the host scalars, constants included, as Python expressions of the hyperparameters and
        ``t``; slot ``k`` is computed once a step in float64 and reaches every element as ``hp[k]``, cast to
        the arrays' dtype.
    nodes: the operations each element goes through, in the order the rule states them.
    outputs: the new ``w`` and the new state.
    """

    name: str
    inputs: tuple[str, ...]
    state: dict[str, float]
    hyperparameters: dict[str, float]
    slots: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Node, ...]

    @cached_property
    def scalars(self) -> Callable[..., tuple[float, ...]]:
        """``scalars(t=..., lr=..., ...)``: every slot, in Python's float64."""
        parameters = ", ".join(["t", *self.hyperparameters])
        values = "".join(f"{slot}, " for slot in self.slots)
        scope: dict[str, Any] = {}
        text = f"def scalars(*, {parameters}):\n    return ({values})"
        exec(compile(text, "<scalars of a rule>", "exec"), scope)
        function: Callable[..., tuple[float, ...]] = scope["scalars"]
        return function

    @property
    def written(self) -> tuple[str, ...]:
        """The arrays a step writes: ``w`` and the state."""
        return (self.inputs[0], *self.inputs[2:])

    @property
    def arrays_moved(self) -> int:
        """Arrays read plus arrays written by one fused step: times the itemsize, bytes a parameter."""
        return len(self.inputs) + len(self.written)
