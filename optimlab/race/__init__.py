"""Optimizers side by side on functions of two variables, where every step can be seen."""

from __future__ import annotations

from .functions import FUNCTIONS, Landscape, get
from .playground import playground_page, write_playground

__all__ = ["FUNCTIONS", "Landscape", "get", "playground_page", "write_playground"]
