"""Races of optimizers on functions of two variables, where every step is visible.

Imports common, rules, schedules, kernels, backends, nn, optim and study.
"""

from __future__ import annotations

from .functions import FUNCTIONS, Landscape, get
from .playground import playground_page, write_playground
from .run import Race, Racer, race, trajectories

__all__ = [
    "FUNCTIONS",
    "Landscape",
    "Race",
    "Racer",
    "get",
    "playground_page",
    "race",
    "trajectories",
    "write_playground",
]
