"""The comparison of optimizers: what to run, running it, keeping it, and what it says.

Imports common, rules, schedules, kernels, backends, nn, optim, datasets and training.
"""

from __future__ import annotations

from .compare import Comparison, compare, read_comparison
from .contender import Contender, contenders
from .plan import Run, Study
from .problem import PROBLEMS, Problem
from .results import Record
from .store import Store
from .study_file import read_study

__all__ = [
    "PROBLEMS",
    "Comparison",
    "Contender",
    "Problem",
    "Record",
    "Run",
    "Store",
    "Study",
    "compare",
    "contenders",
    "read_comparison",
    "read_study",
]
