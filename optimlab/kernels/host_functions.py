"""Host functions: the functions of numbers that a rule calls once per step, and their source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from ..common.errors import RuleError
from ..rules._host import kept
from .graph import Graph
from .names import distinct, function_name


def called_functions(graph: Graph) -> dict[Callable[..., Any], str]:
    """Return all functions that the host scalars of a rule call, directly or not, each after its own callees.

    The values are distinct names: the names in the graph's slots, or else the functions' own names.

    Raises
    ------
    RuleError: a function is not written in Python.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.torch import nadam
    >>> list(called_functions(trace(nadam)).values())
    ['decaying_beta', 'decaying_beta_product']
    """
    labels = {inspect.unwrap(function): key for key, function in graph.functions.items()}
    taken = {"t", *graph.hyperparameters, *labels.values()}
    made = {}
    for function in reached(labels):
        made[function] = labels.get(function) or distinct(function_name(function.__name__), taken)
        taken.add(made[function])
    return made


def outside(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the values of the names that a function uses but does not define."""
    if not isinstance(function, FunctionType):
        raise RuleError(f"{function!r} cannot be printed: it must be a function defined with def in a file")
    found = inspect.getclosurevars(function)
    return {**found.builtins, **found.globals, **found.nonlocals}


def reached(functions: Iterable[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """Return these functions and all functions they call, each after its own callees."""
    found: list[Callable[..., Any]] = []
    entered: list[Callable[..., Any]] = []

    def visit(function: Callable[..., Any]) -> None:
        if function in entered:
            return
        entered.append(function)
        for value in outside(function).values():
            other = inspect.unwrap(value) if callable(value) else None
            if isinstance(other, FunctionType) and other is not kept:
                visit(other)
        found.append(function)

    for function in functions:
        visit(function)
    return found


def source_tree(function: Callable[..., Any]) -> ast.FunctionDef:
    """Return the parsed definition of a function."""
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, SyntaxError):
        parsed = None
    if not isinstance(parsed, ast.FunctionDef):
        raise RuleError(f"{function.__name__} cannot be printed without its source: define it with def in a file")
    return parsed
