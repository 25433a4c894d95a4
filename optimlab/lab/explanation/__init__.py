"""Explain a rule, an activation or a loss by name: its formula, made from its own code, with numbers.

This package knows the formulas of the whole package, and how :mod:`optimlab.kernels` prints them.
"""

from __future__ import annotations

from .by_name import explain, kind_of, source
from .of_activations import ActivationExplanation, explain_activation
from .of_losses import LossExplanation, explain_loss
from .of_rules import Explanation, Parting, Step, explain_rule, find_rule, first_parting, reference

__all__ = [
    "ActivationExplanation",
    "Explanation",
    "LossExplanation",
    "Parting",
    "Step",
    "explain",
    "explain_activation",
    "explain_loss",
    "explain_rule",
    "find_rule",
    "first_parting",
    "kind_of",
    "reference",
    "source",
]
