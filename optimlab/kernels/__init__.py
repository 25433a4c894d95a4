"""Compilation of rules: record a rule's expression graph once, then print it for each engine.

Imports common and rules.
"""

from __future__ import annotations

from .c_source import c_source, cuda_source
from .formula import Equation, equations, latex, mathml, mentions, scalar_expression, text_of, unicode
from .functions import erf
from .graph import OPERATIONS, TRANSCENDENTAL, Graph, Node, ScalarError, array_function
from .javascript_scalars import javascript_scalars
from .javascript_source import javascript_function, javascript_source, javascript_step, with_terms
from .numpy_source import NumpySource, numpy_source
from .trace import declaration, trace, trace_function
from .traced import Formula, graph_of, scalars_of

__all__ = [
    "OPERATIONS",
    "TRANSCENDENTAL",
    "Equation",
    "Formula",
    "Graph",
    "Node",
    "NumpySource",
    "ScalarError",
    "array_function",
    "c_source",
    "cuda_source",
    "declaration",
    "equations",
    "erf",
    "graph_of",
    "javascript_function",
    "javascript_scalars",
    "javascript_source",
    "javascript_step",
    "latex",
    "mathml",
    "mentions",
    "numpy_source",
    "scalar_expression",
    "scalars_of",
    "text_of",
    "trace",
    "trace_function",
    "unicode",
    "with_terms",
]
