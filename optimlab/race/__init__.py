"""Optimizers side by side on functions of two variables, where every step can be seen."""

from __future__ import annotations

from .functions import FUNCTIONS, Landscape, get
from .run import Race, Racer, race, trajectories

__all__ = ["FUNCTIONS", "Landscape", "Race", "Racer", "get", "race", "trajectories"]
