"""Recorded runs for the test in an exported file: a few weights, their gradients, and their path."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ..kernels import Graph
from ..rules import Kind

WEIGHTS = (0.5, -1.25, 2.0, -0.0625)
GRADIENTS = (
    (0.75, -0.5, 1.5, 0.0625),
    (0.5, 1.0, -0.25, 0.125),
    (-1.25, 0.75, 0.5, -0.25),
    (0.25, 0.375, -1.0, 0.5),
    (1.0, -2.0, 0.125, 0.0625),
    (-0.5, 0.25, 0.75, -1.5),
    (0.125, -0.75, 0.25, 0.5),
    (0.375, 0.5, -1.25, -0.125),
)
RATES = (1.0, 1.0, 0.5, 0.25, 2.0, 1.0, 1.0, 0.5)
"""The learning rate of each step, as a multiple of the first."""


class Recording(NamedTuple):
    """A run in float64: hyperparameters without ``lr``, and the learning rate and the weights of each step."""

    hyperparameters: dict[str, float]
    rates: tuple[float, ...]
    path: list[list[float]]


def recordings(graph: Graph, kinds: Mapping[str, Kind]) -> list[Recording]:
    """Record two runs: one with the default hyperparameters, and one with others, so that each of them matters.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules import kinds_of
    >>> from optimlab.rules.torch import sgd
    >>> for run in recordings(trace(sgd), kinds_of(sgd)):
    ...     print(run.hyperparameters, run.rates[:3], run.path[0])
    {'weight_decay': 0.0} (0.001, 0.001, 0.0005) [0.49925, -1.2495, 1.9985, -0.0625625]
    {'weight_decay': 0.25} (0.05, 0.05, 0.025) [0.45625, -1.209375, 1.9, -0.06484375]
    """
    defaults = graph.hyperparameters
    others = {name: _other(graph, name, default, kinds[name]) for name, default in defaults.items()}
    return [_run(graph, defaults), _run(graph, {**others, **({"lr": 0.05} if "lr" in others else {})})]


def _other(graph: Graph, name: str, default: float, kind: Kind) -> float:
    """Return another value of a hyperparameter for which the weights stay finite; the default if there is none."""
    near_zero = (0.25, 0.0625) if abs(default) < 1e-3 else (0.75 * default, 0.5 * default)
    for value in near_zero:
        with suppress(ArithmeticError, ValueError, TypeError, LookupError):  # errors of the rule's own functions
            if kind.accepts(value) and np.isfinite(_run(graph, {**graph.hyperparameters, name: value}).path).all():
                return value
    return default


def _run(graph: Graph, values: Mapping[str, float]) -> Recording:
    arrays = {"w": np.array(WEIGHTS), **{name: np.full(len(WEIGHTS), value) for name, value in graph.state.items()}}
    rates = tuple(values.get("lr", 0.0) * factor for factor in RATES)
    path = []
    with np.errstate(all="ignore"):
        for t, (lr, g) in enumerate(zip(rates, GRADIENTS, strict=True), 1):
            now = {**values, **({"lr": lr} if "lr" in values else {})}
            values_by_node = graph.values({**arrays, "g": np.array(g)}, graph.scalars(t=t, **now))
            arrays = {name: values_by_node[node] for name, node in zip(graph.written, graph.outputs, strict=True)}
            path.append(arrays["w"].tolist())
    return Recording({name: value for name, value in values.items() if name != "lr"}, rates, path)
