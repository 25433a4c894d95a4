"""What schedules share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import fields

from ..errors import number
from .checks import CHECKS, Rate


class Schedule(ABC):
    """What schedules share: fields are checked by their names, see :mod:`optimlab.schedules.checks`, and so is the
    counter."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            object.__setattr__(self, field.name, CHECKS[field.name](field.name, getattr(self, field.name)))

    def __call__(self, k: int) -> float:
        """The learning rate at ``k``, counted from 0; a fraction of an epoch is as good.

        Raises
        ------
        InputError: ``k`` is negative or no number.
        """
        number("k", k, low=0)
        return self._lr(k)

    @abstractmethod
    def _lr(self, k: int) -> float:
        """The definition."""

    def momentum(self, k: int) -> float | None:
        """The momentum at ``k``, for a schedule that sets it too; else None."""
        return None


def value_at(rate: Rate, k: int) -> float:
    """The value of a schedule, function or constant at ``k``.

    >>> value_at(0.1, 7), value_at(lambda k: 1 / (1 + k), 1)
    (0.1, 0.5)
    """
    return rate(k) if callable(rate) else rate


def momentum_at(rate: Rate, k: int) -> float | None:
    """The momentum that goes with a schedule at ``k``; None where it sets none.

    >>> from optimlab.schedules import OneCycle
    >>> momentum_at(OneCycle(0.1, total=10), 0), momentum_at(0.1, 0)
    (0.95, None)
    """
    return rate.momentum(k) if isinstance(rate, Schedule) else None


def line(a: float, b: float, fraction: float) -> float:
    """From ``a`` to ``b`` in a straight line, ``b`` itself from 1 on."""
    return b if fraction >= 1 else a + (b - a) * fraction


def half_cosine(a: float, b: float, fraction: float) -> float:
    """From ``a`` to ``b`` in half a cosine."""
    return b + (a - b) * (1 + math.cos(math.pi * fraction)) / 2
