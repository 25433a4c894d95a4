"""Tiles: neighbouring elementwise operations and sums that one CUDA kernel can do, and the order of its threads.

A tile works on matrices of ``rows`` rows and ``columns`` columns. It sees each of its arrays in one way: ``full``,
``row``, ``column`` or ``scalar``, see :mod:`optimlab.kernels.sweep`. An operation has one of the same words as its
domain, the numbers that it computes or sums.

The threads of different blocks cannot wait for each other. So the operations of a tile decide which numbers belong to
one block:

===========  ===============================================================================================
``element``  each thread computes single numbers of the matrices
``row``      each thread computes whole rows, because there are sums or maxima of rows
``column``   each block computes whole columns, because there are sums of columns
``whole``    one block computes everything, because there are both, or a sum over everything
===========  ===============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .sweep import Map, Operation, Reduction, Seen

WHOLE = 1 << 15
"""The most numbers of a matrix that one block works on. Its threads pass over them several times."""
MOST_COLUMNS = 128
"""The most columns of a row that one thread works on."""
THREADS = 1024
"""The most threads of a block whose threads wait for each other."""
SUMS = 4
"""The most sums of columns at a time. Each takes shared memory."""

_KINDS = {
    "full": {"full": "full", "row": "row", "column": "column", "scalar": "scalar"},
    "row": {"full": "row", "scalar": "scalar"},
    "column": {"full": "column", "scalar": "scalar"},
    "scalar": {"full": "scalar", "scalar": "scalar"},
}
"""How a tile sees an array, by the domain of an operation and how the operation sees the array."""
_REDUCED = {"full": "row", "column": "scalar"}
"""How a tile sees the sums of the columns, by the domain of the operation."""


@dataclass(frozen=True)
class Placed:
    """An operation with its domain in a tile; its arrays are seen as the tile sees them."""

    operation: Operation
    domain: str

    @property
    def inputs(self) -> tuple[Seen, ...]:
        return self.operation.inputs

    @property
    def outputs(self) -> tuple[Seen, ...]:
        return self.operation.outputs

    @property
    def arrays(self) -> tuple[Seen, ...]:
        return (*self.inputs, *self.outputs)

    @property
    def sums_columns(self) -> bool:
        return isinstance(self.operation, Reduction) and not self.operation.of_rows

    @property
    def reduces_rows(self) -> bool:
        return isinstance(self.operation, Reduction) and self.operation.of_rows

    @property
    def owners(self) -> set[str]:
        """The parts of a matrix that belong to one block, or to one thread: ``row``, ``column``, both or neither."""
        if self.domain == "full":
            return ({"column"} if self.sums_columns else set()) | ({"row"} if self.reduces_rows else set())
        if self.domain == "scalar" or self.sums_columns:
            return {"row", "column"}
        return {"column" if self.domain == "row" else "row"}  # a row has one number for each column


@dataclass
class Segment:
    """Operations that follow each other without waiting for other threads.

    ===========  ========================================================================
    ``flat``     formulas of full matrices, each thread some columns
    ``tile``     the same, and sums of columns, which are complete in the next ``finish``
    ``row``      whole rows by each thread
    ``lanes``    sums of a column, by 32 threads, which are complete in the next ``finish``
    ``finish``   the sums of the segment before; formulas of rows and of scalars
    ===========  ========================================================================
    """

    kind: str
    operations: list[Placed] = field(default_factory=list)
    pending: list[Placed] = field(default_factory=list)
    """For ``finish``, the sums to complete."""

    @property
    def sums(self) -> list[Placed]:
        return [op for op in self.operations if op.sums_columns]

    def takes(self, op: Placed) -> bool:
        """Return True if ``op`` may follow in this segment."""
        if any(seen.array in (s.outputs[0].array for s in self.sums) for seen in op.arrays):
            return False
        if op.sums_columns:
            kinds = ("flat", "tile") if op.domain == "full" else ("lanes",)
            return self.kind in kinds and len(self.sums) < SUMS
        if op.domain == "full":
            return self.kind in (("flat", "row") if op.reduces_rows else ("flat", "tile", "row"))
        if op.domain == "column":
            return self.kind in ("flat", "row")
        return self.kind == "finish" and not any(_clash(old, op) for old in (*self.pending, *self.operations))

    def add(self, op: Placed) -> None:
        self.operations.append(op)
        if self.kind == "flat":
            self.kind = "tile" if op.sums_columns else "row" if op.reduces_rows or op.domain == "column" else "flat"


def _clash(old: Placed, new: Placed) -> bool:
    """Return True if the one needs a scalar that the other writes, on another thread."""
    domains = [{"full": "row", "column": "scalar"}[op.domain] if op.sums_columns else op.domain for op in (old, new)]
    written = {seen.array for op in (old, new) for seen in op.outputs}
    shared = {seen.array for seen in old.arrays} & {seen.array for seen in new.arrays}
    return domains[0] != domains[1] and bool(written & shared)


def segment_for(op: Placed) -> str:
    """Return the kind of a new segment that begins with ``op``."""
    if op.sums_columns:
        return "tile" if op.domain == "full" else "lanes"
    if op.domain == "full":
        return "row" if op.reduces_rows else "flat"
    return "row" if op.domain == "column" else "finish"


class Tile:
    """Operations over matrices of ``rows`` rows and ``columns`` columns, which one kernel does.

    Attributes
    ----------
    operations: the operations in order.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.operations: list[Placed] = []
        self._kinds: dict[int, str] = {}
        self._owners: set[str] = set()

    @property
    def owner(self) -> str:
        """The kind of the tile: ``element``, ``row``, ``column`` or ``whole``."""
        return "whole" if len(self._owners) == 2 else next(iter(self._owners), "element")

    @property
    def width(self) -> int:
        """The number of threads side by side, each with a column: a power of two, all columns of a ``whole`` tile."""
        return 1 << (self.columns - 1).bit_length() if self.owner == "whole" else 32

    def add(self, operation: Operation, rows: int) -> bool:
        """Add an operation over ``rows`` rows, and return True if the kernel can do it, too."""
        for domain in self._domains(operation, rows):
            placed = _placed(operation, domain)
            if placed is not None and self._fits(placed):
                self.operations.append(placed)
                self._kinds |= {seen.array: seen.kind for seen in placed.arrays}
                self._owners |= placed.owners
                return True
        return False

    def _domains(self, operation: Operation, rows: int) -> Iterator[str]:
        """Yield the domains of the right size."""
        if (rows, operation.columns) == (self.rows, self.columns):
            yield "full"
        elif operation.columns == 1:
            sizes = {"column": self.rows, "row": self.columns, "scalar": 1}
            yield from (domain for domain, size in sizes.items() if size == rows)

    def _fits(self, placed: Placed) -> bool:
        if any(self._kinds.get(seen.array, seen.kind) != seen.kind for seen in placed.arrays):
            return False
        owners = self._owners | placed.owners
        if "row" in owners and self.columns > MOST_COLUMNS:
            return False
        return len(owners) < 2 or self.rows * self.columns <= WHOLE

    def segments(self) -> list[Segment]:
        """Return the segments of a ``column`` or ``whole`` tile. Between two segments, all threads of a block wait."""
        found: list[Segment] = []
        for op in self.operations:
            if found and found[-1].takes(op):
                found[-1].add(op)
                continue
            kind = segment_for(op)
            pending = found[-1].sums if found else []
            if pending:
                found.append(Segment("finish", [], pending))
                if found[-1].takes(op):
                    found[-1].add(op)
                    continue
            found.append(Segment(kind, [op]))
        if found and found[-1].sums:
            found.append(Segment("finish", [], found[-1].sums))
        return found


def _placed(operation: Operation, domain: str) -> Placed | None:
    """Return the operation with its arrays as the tile sees them; None if it has no such form."""
    kinds = _KINDS[domain]
    if any(seen.kind not in kinds for seen in operation.inputs):
        return None
    inputs = tuple(replace(seen, kind=kinds[seen.kind]) for seen in operation.inputs)
    if isinstance(operation, Map):
        outputs = tuple(replace(seen, kind=kinds[seen.kind]) for seen in operation.outputs)
        return Placed(replace(operation, inputs=inputs, outputs=outputs), domain)
    if domain == "full":
        return Placed(operation, domain)
    if operation.of_rows or domain not in _REDUCED:
        return None
    out = replace(operation.out, kind=_REDUCED[domain])
    return Placed(replace(operation, x=inputs[0], out=out), domain)


__all__ = ["MOST_COLUMNS", "THREADS", "WHOLE", "Placed", "Segment", "Tile"]
