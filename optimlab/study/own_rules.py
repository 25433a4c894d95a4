"""Digests of your own rules: a rule is identified by what it computes, not by its file."""

from __future__ import annotations

import inspect
import json
from types import CodeType
from typing import Any

import numpy as np

from ..kernels import Graph, ScalarError, c_source, declaration, trace
from ..rules import LayerRule, Rule
from .digests import digest

SHAPES = ((4, 3), (2, 5), (3,))
"""Shapes of the weights on which a rule of whole tensors is evaluated."""


def rule_digest(rule: Rule) -> str:
    """Return a digest of what a rule computes, with its state and its defaults.

    An elementwise rule is identified by its traced arithmetic. A rule of whole tensors cannot be traced. It is
    identified by its code, and by its results for a few tensors to six digits, which covers the functions it calls.

    >>> def plain(w, g, *, lr=0.1):
    ...     return w - lr * g
    >>> def other(w, g, *, lr=0.1):
    ...     return w - g * lr * 2
    >>> rule_digest(plain) == rule_digest(plain), rule_digest(plain) == rule_digest(other)
    (True, False)

    Raises
    ------
    RuleError: the rule is not elementwise, or two calls compute different formulas.
    """
    if isinstance(rule, LayerRule):
        return digest(json.dumps(_of_tensors(rule), sort_keys=True))
    graph = trace(rule)
    values = {name: value for name, value in graph.hyperparameters.items() if name != "lr"}
    parts: list[Any] = [c_source(graph, "float64"), graph.state, values]
    if graph.functions:  # identified by their values
        parts.append([_scalars(graph, t, {**values, "lr": 1.0}) for t in (1, 2, 3, 10, 100, 1000)])
    return digest(json.dumps(parts, sort_keys=True))


def _scalars(graph: Graph, t: int, hyperparameters: dict[str, float]) -> list[float] | str:
    try:
        return [float(value) for value in graph.scalars(t=t, **hyperparameters)]
    except ScalarError as error:
        return str(error.__cause__)  # without the name of the rule


def _of_tensors(rule: LayerRule) -> list[Any]:
    _, state, values = declaration(rule)
    options = {name: value for name, value in values.items() if name != "lr"}
    return [_code(rule.function.__code__), state, options, [_computed(rule, shape, state, options) for shape in SHAPES]]


def _code(code: CodeType) -> list[Any]:
    """Return a function's instructions, names and constants, without its comments and position in the file."""
    constants = [_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, constants]


def _computed(rule: LayerRule, shape: tuple[int, ...], state: dict[str, float], options: dict[str, float]) -> Any:
    """Return the weights of three steps as text, or the error."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape), *(np.full(shape, value) for value in state.values())]
    counts = "t" in inspect.signature(rule).parameters
    steps = []
    try:
        with np.errstate(all="ignore"):
            for t in (1, 2, 3):
                more = {"t": t} if counts else {}
                new = rule(arrays[0], rng.standard_normal(shape), *arrays[1:], lr=0.1, **options, **more)
                arrays = list(new) if isinstance(new, tuple | list) else [new]
                steps.append([f"{value:.6g}" for array in arrays for value in np.ravel(array)])
    except Exception as error:  # the run itself reports it
        return f"{type(error).__name__}: {error}"
    return steps
