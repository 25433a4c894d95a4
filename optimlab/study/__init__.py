"""Comparisons of optimizers: plan a study, run it, store its runs, and say what they show.

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
