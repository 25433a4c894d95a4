"""From a rule to something that runs: record its expression graph once, then print it for each engine."""

from __future__ import annotations

from .c_source import c_source, cuda_source
from .formula import Equation, equations, latex, mentions, text_of, unicode
from .graph import OPERATIONS, Graph, Node
from .numba_source import numba_source
from .numpy_source import NumpySource, numpy_source
from .trace import declaration, trace

__all__ = [
    "OPERATIONS",
    "Equation",
    "Graph",
    "Node",
    "NumpySource",
    "c_source",
    "cuda_source",
    "declaration",
    "equations",
    "latex",
    "mentions",
    "numba_source",
    "numpy_source",
    "text_of",
    "trace",
    "unicode",
]
