"""The report of a finished comparison: one page that needs only a browser, and no network.

Imports common, backends, training and study.
"""

from __future__ import annotations

from .page import write_report

__all__ = ["write_report"]
