"""Kinds of hyperparameters: meaning, range, letter, and the range of a random search.

This is the only place with these facts. The optimizers' checks, the full protocol of a comparison, ``optimlab tune``,
the printed formulas, and the documentation of the optimizer classes read them from here.

A hyperparameter has the kind of its name in :data:`KINDS`, unless its rule declares another with
:func:`hyperparameters`. If the name is not in the table, or the default lies outside the range of that kind, the kind
is :data:`OWN`: any finite number, not searched.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypedDict, TypeVar

from ..common.errors import InputError, RuleError, lookup, number

__all__ = ["KINDS", "OWN", "Kind", "Prior", "hyperparameters", "kinds_of"]

Function = TypeVar("Function", bound=Callable[..., Any])


SCALES = ("linear", "log", "complement")


@dataclass(frozen=True)
class Prior:
    """The range of a random search: uniform from ``low`` to ``high`` on a scale.

    ``scale`` is ``"linear"``, ``"log"``, or ``"complement"``: the logarithm of the distance from 1, on which 0.9, 0.99
    and 0.999 are evenly spaced. ``relative`` bounds are multiples of the rule's default.

    Raises
    ------
    InputError: the scale is unknown, the bounds do not rise, or they do not fit the scale.
    """

    low: float
    high: float
    scale: str = "log"
    relative: bool = False

    def __post_init__(self) -> None:
        lookup("scale", self.scale, dict.fromkeys(SCALES))
        number("the low end of a prior", self.low, positive=self.scale == "log")
        number("the high end of a prior", self.high, below=1 if self.scale == "complement" else math.inf)
        if not self.low < self.high:
            raise InputError(f"the low end of a prior must be below its high end, got {self.low!r} to {self.high!r}")

    def at(self, share: float, default: float = 1.0) -> float:
        """Return the quantile: the value below which a ``share`` in [0, 1] of the draws lies.

        >>> Prior(0.9, 0.999, "complement").at(0.5), Prior(0.5, 2.0, relative=True).at(0.5, default=3.0)
        (0.99, 3.0)
        """
        if self.scale == "linear":
            return self.low + share * (self.high - self.low)
        if self.scale == "complement":
            near, far = 1 - self.high, 1 - self.low
            return 1 - 10 ** (math.log10(far) + share * (math.log10(near) - math.log10(far)))
        value = 10 ** (math.log10(self.low) + share * (math.log10(self.high) - math.log10(self.low)))
        return value * default if self.relative else value


class Bounds(TypedDict, total=False):
    """The ends of an interval: ``low`` and ``high`` belong to it, ``above`` and ``below`` do not."""

    low: float
    above: float
    high: float
    below: float


@dataclass(frozen=True)
class Kind:
    """A kind of hyperparameter.

    Parameters
    ----------
    meaning: one line.
    within: the interval of its values, such as ``"[0, 1)"``; a round bracket excludes the end.
    prior: the range of a random search; None if it is not searched.
    symbol: its letter in printed formulas, for the names of :data:`KINDS`.

    Raises
    ------
    InputError: ``within`` is not an interval, or does not contain the prior.

    >>> Kind("shift of the gradient", "[-1, 1]", Prior(-0.5, 0.5, "linear")).check("shift", 2.0)
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: shift must lie in [-1, 1], got 2.0
    """

    meaning: str
    within: str = "(-inf, inf)"
    prior: Prior | None = None
    symbol: str = ""

    def __post_init__(self) -> None:
        _read(self.within)
        if self.prior is not None and not self.prior.relative:
            for end in (self.prior.low, self.prior.high):
                self.check(f"the prior of {self.meaning!r}", end)

    @property
    def bounds(self) -> Bounds:
        """The interval ``within`` as arguments of :func:`optimlab.common.errors.number`."""
        return _read(self.within)

    def check(self, name: str, value: Any, where: str = "") -> float:
        """Return ``value`` as a Python float.

        Raises
        ------
        InputError: the value is not a finite number, or it lies outside ``within``.
        """
        return number(name, value, **self.bounds, where=where)

    def accepts(self, value: float) -> bool:
        """Return True if ``value`` passes :meth:`check`."""
        try:
            self.check("", value)
        except InputError:
            return False
        return True

    def searched(self, default: float) -> bool:
        """Return True if a random search draws this kind. A relative prior needs a positive default."""
        return self.prior is not None and (default > 0 or not self.prior.relative)

    def means(self, meaning: str, within: str = "") -> Kind:
        """Return the same kind with another meaning, and another interval if given."""
        return replace(self, meaning=meaning, within=within or self.within)


@cache
def _read(interval: str) -> Bounds:
    read = re.fullmatch(r"([\[(])\s*([^\s,]+)\s*,\s*([^\s,]+)\s*([\])])", interval)
    try:
        left, low, high, right = read[1], float(read[2]), float(read[3]), read[4]  # type: ignore[index]
    except (TypeError, ValueError):
        raise InputError(f"write an interval as '[0, 1)' or '(0, inf)', got {interval!r}") from None
    if not low < high:
        raise InputError(f"an interval must go from low to high, got {interval!r}")
    found: Bounds = {"low": low} if left == "[" else {"above": low}
    return found | ({"high": high} if right == "]" else {"below": high})


RATE = Kind("learning rate, the scale of every step", "[0, inf)", Prior(1e-5, 100.0), "η")
MOMENTUM = Kind("share of the velocity that each step keeps", "[0, 1)", Prior(0.5, 0.999, "complement"), "β")
FIRST_MOMENT = MOMENTUM.means("decay rate of the first moment, the mean of the gradients")
SECOND_MOMENT = Kind(
    "decay rate of the second moment, the mean of the squared gradients",
    "[0, 1)",
    Prior(0.9, 0.9999, "complement"),
    "β",
)

LION_BETA1 = FIRST_MOMENT.means("share of the momentum in the direction of a step; the rest is the gradient's")
LION_BETA2 = SECOND_MOMENT.means("decay rate of the momentum")

OWN = Kind("the rule's own; see the rule")
"""The kind of a hyperparameter that nothing declares: any finite number, not searched."""

KINDS: dict[str, Kind] = {
    "lr": RATE,
    "beta": MOMENTUM,
    "momentum": replace(MOMENTUM, symbol="μ"),
    "beta1": FIRST_MOMENT,
    "beta2": SECOND_MOMENT,
    "beta3": SECOND_MOMENT,
    "rho": replace(SECOND_MOMENT, symbol="ρ"),
    "eps": Kind("keeps the denominator above zero", "[0, inf)", Prior(1e-4, 1e4, relative=True), "ε"),
    "weight_decay": Kind("strength of the pull of every weight to zero", "[0, inf)", Prior(1e-6, 0.1), "λ"),
    "dampening": Kind(
        "share of each gradient that is left out of the velocity", "[0, 1]", Prior(0.0, 0.9, "linear"), "τ"
    ),
    "lr_decay": Kind("fall of the learning rate, lr / (1 + (t - 1) lr_decay)", "[0, inf)", Prior(1e-6, 0.1), "κ"),
    "momentum_decay": Kind("speed at which the momentum warms up", "[0, inf)", Prior(1e-4, 1.0), "ψ"),
    "trust": Kind("norm of a step relative to the norm of the weights", "[0, inf)", Prior(1e-5, 0.1), "φ"),
    "adam_lr": replace(RATE.means("learning rate of AdamW, for the vectors"), symbol="α"),
}
"""The kind that each name implies."""


def hyperparameters(**own: Kind) -> Callable[[Function], Function]:
    """Declare the kinds of a rule's hyperparameters that their names do not imply.

    >>> @hyperparameters(shift=Kind("added to every gradient", "[-1, 1]", Prior(-0.5, 0.5, "linear")))
    ... def shifted(w, g, *, lr=0.1, shift=-0.1):
    ...     return w - lr * (g + shift)
    >>> {name: kind.within for name, kind in kinds_of(shifted).items()}
    {'lr': '[0, inf)', 'shift': '[-1, 1]'}

    Raises
    ------
    RuleError: the rule has no such hyperparameter, or the default lies outside the range.
    """

    def declare(rule: Function) -> Function:
        name, defaults = getattr(rule, "__name__", "rule"), _defaults(rule)
        for hyperparameter, kind in own.items():
            if hyperparameter not in defaults:
                raise RuleError(f"rule {name} has no hyperparameter {hyperparameter!r}, so it cannot declare its kind")
            if not kind.accepts(defaults[hyperparameter]):
                default = defaults[hyperparameter]
                raise RuleError(f"rule {name}: the default of {hyperparameter}, {default!r}, must lie in {kind.within}")
        rule.kinds = {**getattr(rule, "kinds", {}), **own}  # type: ignore[attr-defined]
        return rule

    return declare


def kinds_of(rule: Callable[..., Any]) -> dict[str, Kind]:
    """Return the kind of each hyperparameter of a rule.

    >>> def rule(w, g, *, lr=0.1, beta=-2.0, warmth=1.0):
    ...     return w - lr * g
    >>> {name: kind is OWN for name, kind in kinds_of(rule).items()}
    {'lr': False, 'beta': True, 'warmth': True}
    """
    own = getattr(rule, "kinds", {})

    def find(name: str, default: Any) -> Kind:
        if name in own:
            kind: Kind = own[name]
            return kind
        known = KINDS.get(name, OWN)
        return known if known.accepts(default) else OWN

    return {name: find(name, default) for name, default in _defaults(rule).items()}


def _defaults(rule: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(rule).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "t"}
