"""Sweeps: neighbouring elementwise operations and sums as one pass over the rows of a batch.

A sweep works on arrays of ``rows`` rows. Each of its operations has a number of columns of its own; it sees an array as

==========  ==================================================
``full``    one number for each row and column
``row``     one number a column, the same in each row
``column``  one number a row, the same in each column
``scalar``  one number
==========  ==================================================

An array of one axis counts as rows of one column. Printed, a sweep is a loop over the rows, and in it one loop over the
columns for each of its *phases*. Within a phase a number that one operation makes is at hand for the next: it need not
be stored unless somebody reads it later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, product

from .graph import Graph


@dataclass(frozen=True)
class Seen:
    """An array, by its number among those of the sweep, as an operation sees it."""

    array: int
    kind: str


@dataclass(frozen=True)
class Map:
    """``outputs`` become the formula of ``inputs``, elementwise. Its host scalars begin at ``first`` among those of the
    sweep."""

    graph: Graph
    inputs: tuple[Seen, ...]
    outputs: tuple[Seen, ...]
    columns: int
    first: int


@dataclass(frozen=True)
class Reduction:
    """``out`` becomes a sum or maximum of ``x``, by its kind.

    ===========  ===========================================================
    ``columns``  the sum of each column over all rows, a row
    ``sum``      the sum of each row, a column
    ``max``      the maximum of each row
    ``argmax``   the place of the maximum of each row
    ===========  ===========================================================
    """

    kind: str
    x: Seen
    out: Seen
    columns: int

    @property
    def inputs(self) -> tuple[Seen, ...]:
        return (self.x,)

    @property
    def outputs(self) -> tuple[Seen, ...]:
        return (self.out,)

    @property
    def of_rows(self) -> bool:
        """Whether it gives one number a row."""
        return self.kind != "columns"


Operation = Map | Reduction


@dataclass
class Sweep:
    """Operations over the same rows.

    Attributes
    ----------
    dead: arrays that nobody reads after the sweep: where they are not needed in between, they are not stored.
    scalars: how many host scalars its formulas have.
    """

    operations: list[Operation] = field(default_factory=list)
    dead: frozenset[int] = frozenset()
    scalars: int = 0

    def accepts(self, new: Operation) -> bool:
        """Return whether ``new``, over the same rows, may follow.

        A column by itself is one long loop, with vector instructions of its own.
        """
        return all(old.columns == new.columns and not _clash(old, new) for old in self.operations)

    def phases(self) -> Iterator[list[Operation]]:
        """The operations that share a loop over the columns: what a row is reduced to is known after the loop."""
        phase: list[Operation] = []
        reduced: set[int] = set()
        for op in self.operations:
            if any(seen.array in reduced for seen in op.inputs):
                yield phase
                phase, reduced = [], set()
            phase.append(op)
            if isinstance(op, Reduction) and op.of_rows:
                reduced.add(op.out.array)
        if phase:
            yield phase


def _clash(old: Operation, new: Operation) -> bool:
    """Return whether ``new`` reads what ``old`` has not finished, or writes what ``old`` still needs."""
    made = product(old.outputs, (*new.inputs, *new.outputs))
    needed = product(old.inputs, new.outputs)
    return any(
        before.array == after.array and (before.kind, after.kind) not in WITHIN_A_ROW
        for before, after in chain(made, needed)
    )


WITHIN_A_ROW = {("full", "full"), ("column", "column"), ("column", "full")}
"""How two operations may see an array that one of them writes: each row is finished before the next one. A row or a
single number is needed in every row. The maximum of a single column is stored before what the column itself becomes."""


__all__ = ["Map", "Operation", "Reduction", "Seen", "Sweep"]
