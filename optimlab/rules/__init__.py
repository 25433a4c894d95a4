"""The update rules: one short pure function each, exactly as printed in a textbook.

A rule's signature is its declaration::

    def adam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14): ...
             ----  ----     -  -------------------------------------------
             |     |        |  hyperparameters and their defaults
             |     |        number of this step, counted from 1 (optional)
             |     state, one array each, zero before the first step (or its default value)
             weights and gradient

It returns the new weights, followed by the new state in the same order. :mod:`optimlab.kernels` makes all code that
runs a rule (blocked NumPy, compiled C, CUDA) from this one function.

Every hyperparameter has a kind: its range, its meaning, and the range a search draws from. Names such as ``lr``,
``beta1`` or ``eps`` imply a kind (:data:`KINDS`). For other names, the rule declares the kind with
:func:`hyperparameters`. An undeclared hyperparameter accepts any finite number and is not searched::

    @hyperparameters(shift=Kind("added to every gradient", "[-1, 1]", Prior(-0.5, 0.5, "linear")))
    def shifted(w, g, *, lr=0.1, shift=-0.1): ...

The same name stands for different arithmetic in different libraries. A *convention* is one of these definitions:
``"textbook"`` (:mod:`~optimlab.rules.textbook`, and :mod:`~optimlab.rules.modern` for rules too new for textbooks),
``"torch"`` (equal to ``torch.optim``) and ``"keras"`` (equal to ``keras.optimizers``).

Imports common.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from types import ModuleType
from typing import Any

from . import keras, layerwise, modern, textbook, torch
from ._host import host
from .kinds import KINDS, Kind, Prior, hyperparameters, kinds_of
from .layerwise import LayerRule

Rule = Callable[..., Any]

CONVENTIONS: dict[str, tuple[ModuleType, ...]] = {
    "textbook": (textbook, modern),
    "torch": (torch,),
    "keras": (keras,),
}
"""The modules with the elementwise rules of each convention."""


def find(name: str, convention: str = "textbook") -> Rule | None:
    """Return the rule with this name in a convention, or None.

    >>> find("adam", "torch").__module__
    'optimlab.rules.torch'
    """
    for module in CONVENTIONS[convention]:
        if name in module.__all__:
            rule: Rule = getattr(module, name)
            return rule
    return None


def counts_each_parameter(rule: Rule) -> bool:
    """Return True if the rule's ``t`` counts the steps of each parameter, as in PyTorch, not the optimizer's steps.

    >>> [counts_each_parameter(rule) for rule in (torch.adam, partial(torch.adam, beta1=0.5), torch.sgd, keras.adam)]
    [True, True, False, False]
    """
    while isinstance(rule, partial):
        rule = rule.func
    return getattr(rule, "__module__", None) == torch.__name__ and "t" in signature(rule).parameters


def names(convention: str = "textbook") -> list[str]:
    """Return the names of a convention's rules, from simple to involved.

    >>> names("keras")[:3]
    ['sgd', 'momentum', 'nesterov']
    """
    return [name for module in CONVENTIONS[convention] for name in module.__all__]


__all__ = [
    "CONVENTIONS",
    "KINDS",
    "Kind",
    "LayerRule",
    "Prior",
    "Rule",
    "counts_each_parameter",
    "find",
    "host",
    "hyperparameters",
    "keras",
    "kinds_of",
    "layerwise",
    "modern",
    "names",
    "textbook",
    "torch",
]
