"""The base of all schedules: the counter and its unit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any

from ..common.errors import InputError, number
from .checks import CHECKS, Rate


class Schedule(ABC):
    """The base of all schedules: a frozen dataclass with fields checked by :mod:`optimlab.schedules.checks`.

    Attributes
    ----------
    per: the unit of the counter, "epoch" or "step".
    """

    per: str | None

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            object.__setattr__(self, field.name, CHECKS[field.name](field.name, getattr(self, field.name)))
        if self.per is None:
            object.__setattr__(self, "per", self._usual_unit())

    def __call__(self, k: int) -> float:
        """Return the learning rate at ``k``, counted from 0; fractions are accepted.

        Raises
        ------
        InputError: ``k`` is negative or not a number.
        """
        return self._lr(_counter(k))

    def momentum(self, k: int) -> float | None:
        """Return the momentum at ``k``, or None if the schedule does not set it.

        Raises
        ------
        InputError: ``k`` is negative or not a number.
        """
        return self._momentum(_counter(k))

    @abstractmethod
    def _lr(self, k: int) -> float:
        """Compute the rate at ``k``, a valid counter."""

    def _momentum(self, k: int) -> float | None:
        return None

    def _usual_unit(self) -> str:
        """Return the unit for ``per=None``. Keras's schedules count steps."""
        return "step" if getattr(self, "convention", None) == "keras" else "epoch"


def _counter(k: Any) -> Any:
    """Return ``k`` as a Python number; an integer stays one."""
    if hasattr(k, "__len__"):
        raise InputError(f"k must be one number, got {k!r}")
    checked = number("k", k, low=0)
    return int(k) if hasattr(k, "__index__") else checked


def stated_unit(rate: Rate) -> str | None:
    """Return the unit of a schedule or of a schedule's ``momentum`` method; None for a function or a constant."""
    schedule = getattr(rate, "__self__", rate)
    return schedule.per if isinstance(schedule, Schedule) else None


def unit(rate: Rate) -> str:
    """Return the unit of a rate, "epoch" or "step"; a function counts steps.

    >>> from optimlab.schedules import OneCycle, StepLR
    >>> unit(StepLR(0.1, 10)), unit(StepLR(0.1, 10, per="step")), unit(OneCycle(0.1, 100).momentum)
    ('epoch', 'step', 'step')
    >>> unit(lambda step: 0.1 / (1 + step))
    'step'
    """
    return stated_unit(rate) or "step"


def require_unit(rate: Rate, per: str, caller: str) -> None:
    """Check that a schedule has the unit of its caller.

    Raises
    ------
    InputError: the schedule has the other unit; the message says what to write.
    """
    other = stated_unit(rate)
    if other in (None, per):
        return
    name = type(getattr(rate, "__self__", rate)).__name__
    raise InputError(f"{caller} counts {per}s, but its {name} counts {other}s: write {name}(..., per={per!r})")


def value_at(rate: Rate, k: int) -> float:
    """Return the value of a schedule, function or constant at ``k``.

    >>> value_at(0.1, 7), value_at(lambda k: 1 / (1 + k), 1)
    (0.1, 0.5)
    """
    return rate(k) if callable(rate) else rate


def momentum_at(rate: Rate, k: int) -> float | None:
    """Return the momentum that a schedule sets at ``k``, or None.

    >>> from optimlab.schedules import OneCycle
    >>> momentum_at(OneCycle(0.1, total=10), 0), momentum_at(0.1, 0)
    (0.95, None)
    """
    return rate.momentum(k) if isinstance(rate, Schedule) else None


def line(a: float, b: float, fraction: float) -> float:
    """Interpolate linearly from ``a`` to ``b``; from fraction 1 on, return ``b`` exactly."""
    return b if fraction >= 1 else a + (b - a) * fraction


def half_cosine(a: float, b: float, fraction: float) -> float:
    """Interpolate from ``a`` to ``b`` by a half cosine."""
    return b + (a - b) * (1 + math.cos(math.pi * fraction)) / 2
