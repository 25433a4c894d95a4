"""What there is to say of a library or language that rules are exported to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..kernels import Graph

Parts = dict[str, Any]
"""What a template prints, by the names in it."""


@dataclass(frozen=True)
class Target:
    """A library or language to export to.

    Attributes
    ----------
    what: the title of the file, with {} for the name of the optimizer.
    needs: what the file needs.
    test: how its test is run, with {} for the name of the rule.
    made: the parts of its template that no other has.
    words: names that the template uses where a name of the rule could stand.
    template: its file's name.
    number: prints a number in its language.
    """

    what: str
    needs: str
    test: str
    made: Callable[[Graph, Mapping[str, str], str], Parts]
    words: str
    template: str
    number: Callable[[float], str]


def literal(value: float) -> str:
    """A number as Python source.

    >>> literal(0.5), literal(-math.inf), literal(2.0)
    ('0.5', 'float("-inf")', '2.0')
    """
    return repr(float(value)) if math.isfinite(value) else f'float("{value}")'
