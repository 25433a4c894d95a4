"""A rule leaves the laboratory: as one source file for another library or language, with a test of its own.

Imports common, rules, kernels, backends, optim and lab.
"""

from __future__ import annotations

from .rule_file import TARGETS, export_rule

__all__ = ["TARGETS", "export_rule"]
