"""The description of a library or language to which rules are exported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..kernels import Graph

Parts = dict[str, Any]
"""The values that a template prints, by name."""


@dataclass(frozen=True)
class Target:
    """A library or language to export to.

    Attributes
    ----------
    what: the title of the file, with {} for the name of the optimizer.
    needs: the requirements of the file.
    test: how to run its test, with {} for the name of the rule.
    made: a function that makes the parts specific to this template.
    words: names that the rule must not use, because the template or the language does.
    template: the file name of the template.
    number: a function that prints a number in the language.
    """

    what: str
    needs: str
    test: str
    made: Callable[[Graph, Mapping[str, str], str], Parts]
    words: str
    template: str
    number: Callable[[float], str]


def literal(value: float) -> str:
    """Print a number as Python source.

    >>> literal(0.5), literal(-math.inf), literal(2.0)
    ('0.5', 'float("-inf")', '2.0')
    """
    return repr(float(value)) if math.isfinite(value) else f'float("{value}")'
