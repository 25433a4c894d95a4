"""Formulas of a network: pure functions of arrays, traced once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from .graph import Graph
from .trace import trace_function

Formula = Callable[..., Any]
"""A pure function of arrays, elementwise; its keyword-only arguments are numbers."""


@cache
def graph_of(formula: Formula, aliases: tuple[int, ...] = ()) -> Graph:
    """Return the graph of a formula.

    ``aliases`` has, for each output, the index of the input whose memory it is written to; -1 for none.

    >>> graph_of(lambda x, b: x + b, (0,)).written
    ('x',)
    """
    graph = trace_function(formula)
    written = [graph.inputs[k] if k >= 0 else name for k, name in zip(aliases, graph.written, strict=False)]
    return replace(graph, written=(*written, *graph.written[len(written) :]))


@cache
def scalars_of(formula: Formula, numbers: tuple[tuple[str, float], ...]) -> tuple[float, ...]:
    """Return the host scalars of a formula for these values of its keyword-only arguments."""
    graph = graph_of(formula)
    return graph.scalars(t=1, **{**graph.hyperparameters, **dict(numbers)})
