"""The comparison of optimizers: what to run, running it, keeping it, and what it says."""

from __future__ import annotations

from .compare import Comparison, compare
from .plan import Problem, Run, Study
from .store import Store

__all__ = ["Comparison", "Problem", "Run", "Store", "Study", "compare"]
