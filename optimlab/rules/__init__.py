"""The update rules: one short pure function each, exactly as printed in a textbook.

A rule's signature is its declaration::

    def adam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7): ...
             ----  ----     -  ------------------------------------------
             |     |        |  hyperparameters and their defaults
             |     |        number of this step, counted from 1 (optional)
             |     state, one array each, zero before the first step (or its default value)
             weights and gradient

It returns the new weights, followed by the new state in the same order. Everything that runs a rule
(blocked NumPy, compiled C, CUDA) is made from this one function by :mod:`optimlab.kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import textbook

Rule = Callable[..., Any]

CONVENTIONS: dict[str, ModuleType] = {"textbook": textbook}
"""Name of a convention to the module that holds its rules."""


def names(convention: str = "textbook") -> list[str]:
    """The rules of a convention, from simple to involved.

    >>> names()[:3]
    ['sgd', 'momentum', 'nesterov']
    """
    return list(CONVENTIONS[convention].__all__)


__all__ = ["CONVENTIONS", "Rule", "names", "textbook"]
