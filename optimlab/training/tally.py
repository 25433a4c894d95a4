"""What the steps of an epoch add up to, on the host or on a device that must not be waited for."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from ..backends import Array, Backend

Sums: TypeAlias = tuple[float, int, float]
"""Loss, right answers and penalties, each over the rows so far."""


class Diverged(Exception):
    """A loss that is not finite. ``late``: how many steps after that one had been counted when it was found; -1 where
    it itself had not."""

    def __init__(self, late: int) -> None:
        self.late = late


class Tally:
    """Sums of Python numbers; a loss that is not finite is found at once."""

    def __init__(self, sums: Sums) -> None:
        self._loss, self._correct, self._penalty = sums

    def add(self, rows: int, loss: float, correct: int) -> None:
        """Before a step's update.

        Raises
        ------
        Diverged: ``loss`` is not finite.
        """
        if not math.isfinite(loss):
            raise Diverged(late=-1)
        self._loss += loss * rows
        self._correct += int(correct)

    def penalise(self, rows: int, penalty: float) -> None:
        self._penalty += penalty * rows

    def sums(self) -> Sums:
        return self._loss, self._correct, self._penalty


class DeviceTally:
    """One row a step of numbers that stay where they are computed, until :meth:`sums` waits for them all.

    The sums are made on the host, in the order of the steps, as :class:`Tally` makes them. A loss that is not finite is
    found then: the steps after it have been taken.
    """

    def __init__(self, sums: Sums, backend: Backend, steps: int) -> None:
        self._start, self._backend = sums, backend
        self.table: Array = backend.zeros((max(1, steps), 3), "float64")
        self._rows: list[int] = []

    def add(self, rows: int, loss: Any, correct: Any) -> None:
        row = self.table[len(self._rows)]
        row[0], row[1] = loss, correct
        self._rows.append(rows)

    def penalise(self, rows: int, penalty: Any) -> None:
        self.table[len(self._rows) - 1][2] += penalty

    def counted(self, rows: int, steps: int) -> None:
        """``steps`` more steps, of ``rows`` rows each, have written their row of ``table`` themselves."""
        self._rows += [rows] * steps

    def sums(self) -> Sums:
        """
        Raises
        ------
        Diverged: one of the losses is not finite.
        """
        loss, correct, penalty = self._start
        found = self._backend.to_numpy(self.table).tolist()
        for k, rows in enumerate(self._rows):
            if not math.isfinite(found[k][0]):
                raise Diverged(late=len(self._rows) - 1 - k)
            loss += found[k][0] * rows
            correct += int(found[k][1])
            penalty += found[k][2] * rows
        return loss, correct, penalty
