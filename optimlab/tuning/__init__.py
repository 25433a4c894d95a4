"""Hyperparameter search: learning rate, batch size, plateau, and any other hyperparameter of the rule.

>>> import tempfile, optimlab as ol
>>> search = ol.tuning.Search(
...     problem=ol.tuning.Problem(hidden=(16,), epochs=4),
...     optimizer="adam",
...     spaces={"lr": "1e-3:0.1:log", "beta1": "0.8:0.99"},
...     trials=3,
... )
>>> found = ol.tuning.tune(search, tempfile.mkdtemp())
>>> sorted(found.best["hyperparameters"]), len(found.records)
(['beta1', 'lr'], 3)

It needs Optuna, which the extra ``tune`` installs.

Imports common, rules, backends, nn, datasets, training and study.
"""

from __future__ import annotations

from ..study.plan import PROBLEMS, Contender, Problem
from ..study.spaces import Choice, Range, parse
from .plan import DEFAULT_SPACES, SAMPLERS, Search
from .search import Tuned, tune

__all__ = [
    "DEFAULT_SPACES",
    "PROBLEMS",
    "SAMPLERS",
    "Choice",
    "Contender",
    "Problem",
    "Range",
    "Search",
    "Tuned",
    "parse",
    "tune",
]
