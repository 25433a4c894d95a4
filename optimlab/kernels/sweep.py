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
class RowReduction:
    """``out``, a column, becomes the sum, the maximum or the place of the maximum of each row of ``x``."""

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


@dataclass(frozen=True)
class ColumnSums:
    """``out``, a row, becomes the sum of each column of ``x`` over all rows."""

    x: Seen
    out: Seen
    columns: int

    @property
    def inputs(self) -> tuple[Seen, ...]:
        return (self.x,)

    @property
    def outputs(self) -> tuple[Seen, ...]:
        return (self.out,)


Operation = Map | RowReduction | ColumnSums


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
        """Whether ``new``, over the same rows, may follow: nothing it reads or writes is between two states."""
        if any(old.columns != new.columns for old in self.operations):
            return False  # a column by itself is one long loop, with vector instructions of its own
        for old in self.operations:
            for seen in new.inputs:
                for made in old.outputs:
                    if made.array == seen.array and not _follows(old, made, new, seen):
                        return False
            for made in new.outputs:
                for other in (*old.inputs, *old.outputs):
                    if made.array == other.array and not _overwrites(old, other, new, made):
                        return False
        return True

    def phases(self) -> Iterator[list[Operation]]:
        """The operations that share a loop over the columns."""
        phase: list[Operation] = []
        for op in self.operations:
            reduced = {o.out.array for o in phase if isinstance(o, RowReduction)}
            columns_of = {made.array: o.columns for o in phase for made in o.outputs}
            late = any(seen.array in reduced for seen in (*op.inputs, *op.outputs))
            if phase and (
                late
                or op.columns != phase[0].columns
                or any(seen.kind == "column" and seen.array in columns_of for seen in op.inputs)
            ):
                yield phase
                phase = []
            phase.append(op)
        if phase:
            yield phase


def _follows(old: Operation, made: Seen, new: Operation, seen: Seen) -> bool:
    """Whether ``new`` may read what ``old`` made in the same sweep: only within its own row."""
    if isinstance(old, ColumnSums) or seen.kind in ("row", "scalar") or made.kind in ("row", "scalar"):
        return False
    if isinstance(old, RowReduction):
        return seen.kind == "column" or new.columns == 1
    return (seen.kind == "full" and new.columns == old.columns) or (seen.kind == "column" and old.columns == 1)


def _overwrites(old: Operation, other: Seen, new: Operation, made: Seen) -> bool:
    """Whether ``new`` may write what ``old`` has read or written in the same sweep."""
    if isinstance(new, ColumnSums) or (isinstance(old, ColumnSums) and other is old.out):
        return False
    if isinstance(old, RowReduction) and other is old.out:
        return isinstance(new, RowReduction) or new.columns == 1
    if other.kind == "column":
        return isinstance(new, RowReduction) or new.columns == 1
    return other.kind == "full" and made.kind == "full" and new.columns == old.columns


__all__ = ["ColumnSums", "Map", "Operation", "RowReduction", "Seen", "Sweep"]
