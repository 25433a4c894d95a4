"""Print a tile as one CUDA kernel, see :mod:`optimlab.kernels.tile`.

The text of each formula is that of :mod:`optimlab.kernels.c_source`, so a formula has the same bits as alone. A result
goes from one operation to the next in a register where both are computed by the same thread at the same time. It is
stored only if it is read later. No register keeps its value where threads wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count

from .c_source import C_TYPES, element, functions_of
from .sweep import Map, Reduction, Seen
from .tile import SUMS, THREADS, Placed, Segment, Tile

WAIT = "__syncthreads();"

_PLACES = {"full": "r * {columns} + c", "row": "c", "column": "r", "scalar": "0"}
ACCUMULATED = {
    "sum": "{total} += {x};",
    "max": "if (c == 0 || {x} > {total} || {x} != {x}) {total} = {x};",
    # the first of several largest, or the first NaN
    "argmax": "if (c == 0 || {x} > {top} || ({x} != {x} && {top} == {top})) {{ {top} = {x}; {total} = c; }}",
}
"""A row's sum, maximum, and place of its maximum: what number ``x`` of column ``c`` changes."""


def cuda_tile(tile: Tile, dtype: str, name: str, dead: Iterable[int] = ()) -> str:
    """Print a tile as the kernel ``name(long long rows, T *p0, T *p1, ..., const T *hp)``.

    The arrays of the tile are numbered from 0, without gaps. ``hp`` has the host scalars of all formulas. Results in
    ``dead`` arrays are not needed after the kernel.

    >>> from optimlab.kernels import trace_function
    >>> def biased(x, b):
    ...     return x + b
    >>> tile = Tile(128, 10)
    >>> tile.add(Map(trace_function(biased), (Seen(0, "full"), Seen(1, "row")), (Seen(0, "full"),), 10, 0), 128)
    True
    >>> print(cuda_tile(tile, "float32", "biased"))
    extern "C" __global__ void biased(long long rows, float *__restrict__ p0, const float *__restrict__ p1,
                                      const float *__restrict__ hp)
    {
        const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
        const long long stride = (long long)gridDim.x * blockDim.x;
        for (long long i = first; i < rows * 10; i += stride) {
            const long long r = i / 10;
            const int c = i % 10;
            const float x0 = p0[r * 10 + c];
            const float x1 = p1[c];
            const float f0_0 = x0 + x1;
            p0[r * 10 + c] = f0_0;
        }
    }
    """
    return _Printer(tile, dtype, frozenset(dead)).kernel(name)


class _Printer:
    def __init__(self, tile: Tile, dtype: str, dead: frozenset[int]) -> None:
        self.tile, self.type, self.dead = tile, C_TYPES[dtype], dead
        self.calls = functions_of(dtype)
        self.lines: list[str] = []
        self.indent = 1
        self.loaded, self.formulas, self.totals = count(), count(), count()
        self.known: dict[Seen, str] = {}
        """The registers that hold numbers of arrays."""

    def kernel(self, name: str) -> str:
        ops = self.tile.operations
        arrays = sorted({seen.array for op in ops for seen in op.arrays})
        written = {seen.array for op in ops for seen in op.outputs}
        pointers = [f"{'' if k in written else 'const '}{self.type} *__restrict__ p{k}" for k in arrays]
        waits = self.tile.owner in ("column", "whole")
        bounds = f"__launch_bounds__({THREADS}) " if waits else ""
        parameters = ["long long rows", *pointers, f"const {self.type} *__restrict__ hp"]
        {"element": self.elements, "row": self.rows}.get(self.tile.owner, self.block)()
        head = f'extern "C" __global__ void {bounds}{name}('
        return "\n".join([f"{head}{', '.join(parameters)})", "{", *self.lines, "}"])

    # ---- the four kinds of tiles

    def elements(self) -> None:
        columns = self.tile.columns
        self.grid()
        with self.braces(f"for (long long i = first; i < rows * {columns}; i += stride)"):
            self.line(f"const long long r = i / {columns};")
            self.line(f"const int c = i % {columns};")
            self.formulas_of(self.tile.operations)
            self.store(self.tile.operations, "full", ())

    def rows(self) -> None:
        self.grid()
        with self.braces("for (long long r = first; r < rows; r += stride)"):
            self.row(self.tile.operations, ())

    def grid(self) -> None:
        self.line("const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;")
        self.line("const long long stride = (long long)gridDim.x * blockDim.x;")

    def block(self) -> None:
        """Print the segments. ``c`` is a thread's column, ``y`` its first row, ``lines`` the distance of its rows."""
        width, segments = self.tile.width, self.tile.segments()
        if any(segment.sums for segment in segments):
            self.line(f"__shared__ {self.type} sums[{SUMS}][{THREADS}];")
        self.line("const int t = threadIdx.x;")
        self.line(f"const int c = blockIdx.x * {width} + t % {width}, y = t / {width};")
        self.line(f"const int lines = blockDim.x < {32 * width} ? blockDim.x / {width} : 32;")
        for k, segment in enumerate(segments):
            if k:
                self.line(WAIT)
            later = [op for rest in segments[k + 1 :] for op in rest.operations]
            self.known = {}
            self.segment(segment, later)

    def segment(self, segment: Segment, later: list[Placed]) -> None:
        ops, columns = segment.operations, self.tile.columns
        if segment.kind == "finish":
            for domain, threads in (("row", f"y == 0 && c < {columns}"), ("scalar", "t == 0")):
                mine = [op for op in ops if op.domain == domain]
                sums = [(k, op) for k, op in enumerate(segment.pending) if op.outputs[0].kind == domain]
                if mine or sums:
                    self.known = {}
                    with self.braces(f"if ({threads})"):
                        self.complete(sums, domain)
                        self.formulas_of(mine)
                        self.store([*(op for _, op in sums), *mine], domain, later)
        elif segment.kind == "row":
            with self.braces("for (long long r = t; r < rows; r += blockDim.x)"):
                self.row(ops, later)
        elif segment.kind == "lanes":
            with self.braces("if (t < 32)"):
                self.sum(ops, "for (long long r = t; r < rows; r += 32)", ops, later)
        else:
            with self.braces(f"if (c < {columns} && y < lines)"):
                self.sum(ops, "for (long long r = y; r < rows; r += lines)", segment.sums, later)

    # ---- loops

    def sum(self, ops: list[Placed], loop: str, sums: list[Placed], later: list[Placed]) -> None:
        """Print a loop over rows, and keep each thread's part of the sums in shared memory."""
        totals = {id(op): self.zero() for op in sums}
        with self.braces(loop):
            for op in ops:
                if op.sums_columns:
                    self.line(f"{totals[id(op)]} += {self.load(op.inputs[0])};")
                else:
                    self.formulas_of([op])
            self.store(ops, "full", later)
        for k, op in enumerate(sums):
            self.line(f"sums[{k}][t] = {totals[id(op)]};")

    def complete(self, sums: list[tuple[int, Placed]], domain: str) -> None:
        parts, place = ("lines", f"j * {self.tile.width} + t") if domain == "row" else ("32", "j")
        for k, op in sums:
            total = self.zero()
            self.line(f"for (int j = 0; j < {parts}; ++j) {total} += sums[{k}][{place}];")
            self.known[op.outputs[0]] = total

    def row(self, ops: list[Placed], later: Iterable[Placed]) -> None:
        """Print the operations on row ``r``, with one loop over the columns for those that can share it."""
        rest, later = list(ops), list(later)
        while rest:
            if rest[0].domain == "column":
                self.formulas_of([rest.pop(0)])
                continue
            assert rest[0].domain == "full"
            loop: list[Placed] = []
            reduced: set[int] = set()
            while rest and rest[0].domain == "full" and not reduced & {seen.array for seen in rest[0].arrays}:
                loop.append(rest.pop(0))
                reduced |= {seen.array for seen in loop[-1].outputs if loop[-1].reduces_rows}
            self.columns(loop, [*rest, *later])
        self.store(ops, "column", later)

    def columns(self, ops: list[Placed], later: list[Placed]) -> None:
        reductions = [op.operation for op in ops if isinstance(op.operation, Reduction)]
        totals = {id(op): self.zero() for op in reductions}
        tops = {id(op): self.zero() for op in reductions if op.kind == "argmax"}
        outside = dict(self.known)
        with self.braces(f"for (int c = 0; c < {self.tile.columns}; ++c)"):
            for placed in ops:
                op = placed.operation
                if isinstance(op, Reduction):
                    words = {"total": totals[id(op)], "top": tops.get(id(op)), "x": self.load(op.x)}
                    self.line(ACCUMULATED[op.kind].format(**words))
                else:
                    self.formulas_of([placed])
            self.store(ops, "full", later)
        self.known = outside | {op.out: totals[id(op)] for op in reductions}

    # ---- single numbers

    def formulas_of(self, ops: Iterable[Placed]) -> None:
        for placed in ops:
            op = placed.operation
            assert isinstance(op, Map)
            inputs = {name: self.load(seen) for name, seen in zip(op.graph.inputs, op.inputs, strict=True)}
            slots = {k: f"hp[{op.first + k}]" for k in range(len(op.graph.slots))}
            made, outputs = element(op.graph, self.calls, inputs, slots, f"f{next(self.formulas)}_")
            for name, text, is_mask in made:
                self.line(f"const {'int' if is_mask else self.type} {name} = {text};")
            for seen, text in zip(op.outputs, outputs, strict=True):
                self.known[seen] = text

    def load(self, seen: Seen) -> str:
        if seen not in self.known:
            self.known[seen] = name = f"x{next(self.loaded)}"
            self.line(f"const {self.type} {name} = {self.place(seen)};")
        return self.known[seen]

    def store(self, ops: Iterable[Placed], kind: str, later: Iterable[Placed]) -> None:
        """Store the results of this kind that are read later, or after the kernel."""
        wanted = {seen.array for op in later for seen in op.inputs}
        for seen in dict.fromkeys(seen for op in ops for seen in op.outputs):
            if seen.kind == kind and seen in self.known and (seen.array not in self.dead or seen.array in wanted):
                self.line(f"{self.place(seen)} = {self.known[seen]};")

    def place(self, seen: Seen) -> str:
        return f"p{seen.array}[{_PLACES[seen.kind].format(columns=self.tile.columns)}]"

    def zero(self) -> str:
        name = f"s{next(self.totals)}"
        self.line(f"{self.type} {name} = 0;")
        return name

    def line(self, text: str) -> None:
        self.lines.append(f"{'    ' * self.indent}{text}")

    @contextmanager
    def braces(self, head: str) -> Iterator[None]:
        self.line(f"{head} {{")
        self.indent += 1
        yield
        self.indent -= 1
        self.line("}")


__all__ = ["ACCUMULATED", "WAIT", "cuda_tile"]
