"""Look at a schedule before training: rate and momentum at each step or epoch, and exactly where they change abruptly.

The changes are found in the values themselves. So you see what an optimizer will see, off-by-one errors included, for a
function of your own as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ..common.errors import count, number
from ..common.spelling import encoding_of_stdout, spelled
from ..common.tables import Column, Table
from ..schedules import Rate, checked_schedule, momentum_at, unit, value_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABRUPT = 3.0
"""A change is abrupt if it is more than this many times as large as its neighbours."""

SHOWN = 30
"""Rows with a change that a printed preview shows; ``boundaries`` holds all."""


@dataclass(frozen=True)
class Row:
    """The values at one step or epoch, whichever the schedule counts, and at the one before.

    Attributes
    ----------
    k: its number, from 0.
    what: "jump", "bend", "turn" (from rising to falling or back), or "" for a mere sample.
    lr_before, lr: the rate at k - 1 (None at 0) and at k.
    momentum_before, momentum: the same; None where the schedule sets none.
    """

    k: int
    what: str
    lr_before: float | None
    lr: float
    momentum_before: float | None
    momentum: float | None


@dataclass(frozen=True)
class Preview:
    """The result of :func:`preview`; prints itself as a table.

    Attributes
    ----------
    schedule: what was looked at.
    per: the unit that it counts, "epoch" or "step"; a function or a constant counts steps.
    lr: the rate at each step or epoch.
    momentum: the momentum at each, None where the schedule sets none.
    boundaries: a row for each abrupt change of rate or momentum.
    table: these, and some samples between them.
    """

    schedule: Rate
    per: str
    lr: tuple[float, ...]
    momentum: tuple[float | None, ...]
    boundaries: tuple[Row, ...]
    table: tuple[Row, ...]

    def figure(self) -> Figure:
        """Draw rate and, if the schedule sets it, momentum, with the boundaries marked. Needs Matplotlib."""
        from ..plotting.schedules import schedule_figure

        marks = [row.k for row in self.boundaries]
        return schedule_figure(_title(self.schedule), self.per, self.lr, self.momentum, marks)

    plot = figure

    def __repr__(self) -> str:
        rates = f"lr from {self.lr[0]:.3g} to {self.lr[-1]:.3g}"
        if min(self.lr) < min(self.lr[0], self.lr[-1]) or max(self.lr) > max(self.lr[0], self.lr[-1]):
            rates += f", lowest {min(self.lr):.3g}, highest {max(self.lr):.3g}"
        changes = f"{len(self.boundaries)} abrupt change{'s' * (len(self.boundaries) != 1)}"
        return f"<Preview of {_title(self.schedule)}: {len(self.lr)} {self.per}s, {rates}, {changes}>"

    def _repr_html_(self) -> str:
        return self._table(_title(self.schedule))._repr_html_()

    def __str__(self) -> str:
        return f"{spelled(_title(self.schedule), encoding_of_stdout())}\n\n{self._table()}"

    def _table(self, title: str = "") -> Table:
        cycles = any(m is not None for m in self.momentum)
        names = [self.per, "lr before", "lr", *(["momentum before", "momentum"] if cycles else [])]
        cells = []
        hidden = {row.k for row in self.boundaries[SHOWN:]}
        for row in self.table:
            if row.k not in hidden:
                values = (row.lr_before, row.lr, row.momentum_before, row.momentum)[: 4 if cycles else 2]
                cells.append([str(row.k), *("-" if v is None else f"{v:.6g}" for v in values), row.what])
        more = f"and {len(hidden)} more changes, the last at {max(hidden)}" if hidden else ""
        columns = [*map(Column, names), Column("change", "words")]
        return Table(columns, cells, title, more)


def preview(schedule: Rate, length: int) -> Preview:
    """Evaluate a schedule, function or constant at 0, 1, ..., ``length`` - 1, in epochs or steps, whichever it counts.

    Raises
    ------
    InputError: the schedule follows a metric, or a rate is negative or not finite; the message names the step or epoch.

    >>> from optimlab.schedules import MultiStepLR
    >>> print(preview(MultiStepLR(0.1, [30, 80]), 100))
    MultiStepLR(lr=0.1, milestones=(30, 80), gamma=0.1, convention='textbook', per='epoch')
    <BLANKLINE>
    epoch  lr before     lr  change
    ───────────────────────────────
        0          -    0.1
       25        0.1    0.1
       30        0.1   0.01  jump
       50       0.01   0.01
       74       0.01   0.01
       80       0.01  0.001  jump
       99      0.001  0.001
    """
    if callable(schedule):
        checked_schedule("schedule", schedule)
    else:
        number("schedule", schedule, low=0)
    per = unit(schedule)
    ks = range(count("length", length))
    lr = [number("lr", value_at(schedule, k), low=0, where=f" at {per} {k}") for k in ks]
    momentum = [momentum_at(schedule, k) for k in ks]
    changes = _changes(momentum) | _changes(lr)

    def row(k: int) -> Row:
        before = (lr[k - 1], momentum[k - 1]) if k else (None, None)
        return Row(k, changes.get(k, ""), before[0], lr[k], before[1], momentum[k])

    samples = {round(quarter * (length - 1) / 4) for quarter in range(5)}
    return Preview(
        schedule,
        per,
        tuple(lr),
        tuple(momentum),
        tuple(row(k) for k in sorted(changes)),
        tuple(row(k) for k in sorted(samples | changes.keys())),
    )


def _changes(values: Sequence[float | None]) -> dict[int, str]:
    """Find the places at which a curve jumps, bends or turns.

    A jump is at the first place with the new value, a bend or a turn at the corner.
    """
    found: dict[int, str] = {}
    known = [0.0 if v is None else v for v in values]
    rounding = 1e-13 * max(map(abs, known))
    slope = [0.0, *(b - a for a, b in pairwise(known)), 0.0]  # slope[k]: from k - 1 to k
    slope = [0.0 if abs(d) <= rounding else d for d in slope]
    last = len(known) - 1
    for k in range(1, last + 1):
        nearest = [abs(slope[j]) for j in (k - 1, k + 1) if 1 <= j <= last]
        if nearest and abs(slope[k]) > ABRUPT * max(nearest):
            found[k] = "jump"
    turning = [0.0, *(b - a for a, b in pairwise(slope[1:-1])), 0.0]  # turning[k]: at step k
    for k in range(1, last):
        if found.get(k) == "jump" or found.get(k + 1) == "jump":
            continue
        if slope[k] * slope[k + 1] < 0:
            found[k] = "turn"
        elif 1 < k < last - 1 and abs(turning[k]) > ABRUPT * max(abs(turning[k - 1]), abs(turning[k + 1])) + rounding:
            found[k] = "bend"
    return found


def _title(schedule: Rate) -> str:
    name = getattr(schedule, "__qualname__", None)
    return name if isinstance(name, str) else repr(schedule)
