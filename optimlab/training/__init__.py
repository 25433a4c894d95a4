"""Training a network: the loop, and the history it leaves."""

from __future__ import annotations

from .history import History
from .loop import evaluate, fit

__all__ = ["History", "evaluate", "fit"]
