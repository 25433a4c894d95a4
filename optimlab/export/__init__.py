"""Export of rules as source files for other libraries and languages, each with its own test.

Imports common, rules, kernels, backends, optim and lab.
"""

from __future__ import annotations

from .rule_file import TARGETS, export_rule

__all__ = ["TARGETS", "export_rule"]
