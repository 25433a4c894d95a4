"""The comparison of optimizers: what to run, running it, keeping it, and what it says."""

from __future__ import annotations

from .compare import Comparison, compare
from .plan import PROBLEMS, Contender, Problem, Run, Study
from .store import Store
from .study_file import read_study

__all__ = ["PROBLEMS", "Comparison", "Contender", "Problem", "Run", "Store", "Study", "compare", "read_study"]
