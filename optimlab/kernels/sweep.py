"""Sweeps: neighbouring elementwise operations and sums, fused into one pass over the rows of a batch.

A sweep works on arrays of ``rows`` rows. Each operation has its own number of columns. It sees an array as

==========  ==================================================
``full``    one number for each row and column
``row``     one number per column, the same in each row
``column``  one number per row, the same in each column
``scalar``  one number
==========  ==================================================

A one-dimensional array counts as rows of one column. A printed sweep is a loop over the rows with one inner loop over
the columns for each of its *phases*. Within a phase, an operation's result is passed to the next one in a register. It
is stored only if it is read later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, product

from .graph import Graph


@dataclass(frozen=True)
class Seen:
    """An array as an operation sees it, with its number in the sweep."""

    array: int
    kind: str


@dataclass(frozen=True)
class Map:
    """An elementwise formula from ``inputs`` to ``outputs``; its host scalars begin at ``first`` in the sweep's."""

    graph: Graph
    inputs: tuple[Seen, ...]
    outputs: tuple[Seen, ...]
    columns: int
    first: int


@dataclass(frozen=True)
class Reduction:
    """A sum or maximum of ``x``, by its kind, written to ``out``.

    ===========  ===========================================================
    ``columns``  the sum of each column over all rows, a row
    ``sum``      the sum of each row, a column
    ``max``      the maximum of each row
    ``argmax``   the index of the maximum of each row
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
        """True if the result has one number per row."""
        return self.kind != "columns"


Operation = Map | Reduction


@dataclass
class Sweep:
    """Operations over the same rows.

    Attributes
    ----------
    dead: arrays that are not read after the sweep; they are stored only if the sweep itself needs them.
    scalars: number of host scalars of its formulas.
    """

    operations: list[Operation] = field(default_factory=list)
    dead: frozenset[int] = frozenset()
    scalars: int = 0

    def accepts(self, new: Operation) -> bool:
        """Return True if ``new``, over the same rows, may follow.

        A single column is one long loop, which is vectorized separately.
        """
        return all(old.columns == new.columns and not _clash(old, new) for old in self.operations)

    def phases(self) -> Iterator[list[Operation]]:
        """Yield the operations that share a loop over the columns; a row's reductions are known only after it."""
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
    """Return True if ``new`` reads a value that ``old`` has not finished, or overwrites one it still needs."""
    made = product(old.outputs, (*new.inputs, *new.outputs))
    needed = product(old.inputs, new.outputs)
    return any(
        before.array == after.array and (before.kind, after.kind) not in WITHIN_A_ROW
        for before, after in chain(made, needed)
    )


WITHIN_A_ROW = {("full", "full"), ("column", "column"), ("column", "full")}
"""The ways in which two operations may see an array that one of them writes. Each row is finished before the next one,
but a row vector or a single number is needed in every row. The maximum of a single column is stored before the column's
new values."""


__all__ = ["Map", "Operation", "Reduction", "Seen", "Sweep"]
