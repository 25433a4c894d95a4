"""What a comparison gives to a paper: a table, figures at the width of a column, a methods paragraph, references.

Imports common, datasets, study, plotting and report.
"""

from __future__ import annotations

from .methods import methods
from .write import write_paper

__all__ = ["methods", "write_paper"]
