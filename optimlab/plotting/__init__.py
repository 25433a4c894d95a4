"""Figures, with Matplotlib; paper, lab and the command line alone import it.

Imports common, nn, training, study, tuning and race.
"""

from __future__ import annotations

from . import notebooks
from .comparison import accuracy_figure, loss_figure, sensitivity_figure
from .maps import map_figure
from .profile import profile_figure
from .schedules import schedule_figure

__all__ = ["accuracy_figure", "loss_figure", "map_figure", "profile_figure", "schedule_figure", "sensitivity_figure"]

notebooks.show_figures()
