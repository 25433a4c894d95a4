"""A comparison's material for a paper: table, figures at the width of a column, methods paragraph, references.

Imports common, datasets, study, plotting and report.
"""

from __future__ import annotations

from .methods import methods
from .write import write_paper

__all__ = ["methods", "write_paper"]
