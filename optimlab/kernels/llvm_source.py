"""Print a sweep as a function in LLVM's language, in vectors or in loops that LLVM can vectorize.

A row of a few columns is one vector, and all operations on it follow one another. Wider rows are loops that LLVM
vectorizes.

Arithmetic has no fast-math flag, and nothing is contracted: each operation is correctly rounded, in the formula's
order, so that rules are bitwise equal to NumPy. Sums along a row, and of a single column, are added in another order
than NumPy's; otherwise they could not be vectorized. For a row that is one vector the order is always the same; in a
loop it depends on the length of the processor's vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, product

from .graph import COMPARISONS, TRANSCENDENTAL, Graph, Node
from .llvm_functions import FORMULAS, functions, same_number, suffixed, vector
from .sweep import Map, Operation, Reduction, Seen, Sweep

TYPES = {"float32": "float", "float64": "double"}
SUFFIX = {"float32": "f32", "float64": "f64"}
BYTES = {"float32": 4, "float64": 8}
_ARITHMETIC = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "divide": "fdiv"}
_COMPARED = {
    "greater": "ogt",
    "greater_equal": "oge",
    "less": "olt",
    "less_equal": "ole",
    "equal": "oeq",
    "not_equal": "une",
}
MOST_UNITS = 2
"""The most divisors of a flat formula for which the loop is printed twice: with division, and for a divisor of 1."""
VECTORS = (8, 16)
"""Largest number of values in a vector register."""
WIDEST = 16
"""The most columns of a row that is one vector. In a loop over them, LLVM would process those left over one by one."""


def rule_source(graph: Graph, dtype: str) -> str:
    """Print a rule or function as one loop over its flat arrays.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> text = rule_source(trace(sgd), "float32")
    >>> print(*(line.strip() for line in text.splitlines() if "float %" in line), sep="\\n")
    %v11 = fmul float %v1, %v10
    %v14 = fsub float %v13, %v11
    store float %v14, ptr %v15, align 4
    """
    return llvm_source(rule_sweep(graph), dtype)


def rule_sweep(graph: Graph) -> Sweep:
    """Return the sweep of a single rule or function, with the graph's arrays in the same order."""
    inputs = tuple(Seen(k, "full") for k in range(len(graph.inputs)))
    outputs = tuple(Seen(graph.arrays.index(name), "full") for name in graph.written)
    return Sweep([Map(graph, inputs, outputs, 1, 0)], scalars=len(graph.slots))


def llvm_source(sweep: Sweep, dtype: str) -> str:
    """Print a sweep as a module with the function ``i64 @kernel(ptr %args)``, which returns 0.

    ``args`` is an array of 64-bit words: the number of rows, the address of the host scalars, the address of each
    array. Scalars and arrays have the dtype ``dtype``.
    """
    return _Printer(sweep, dtype).module()


LEAST, NAN = "0xFFF0000000000000", "0x7FF8000000000000"
"""Minus infinity and NaN of each type."""


def lanes_of(sweep: Sweep, dtype: str) -> int:
    """Return the number of columns if each row is printed as one vector, else 1.

    A function of the C library takes one number at a time.
    """
    columns = sweep.operations[0].columns
    called = {node.op for op in sweep.operations if isinstance(op, Map) for node in op.graph.nodes} & {*TRANSCENDENTAL}
    as_formulas = called <= (FORMULAS.keys() if dtype == "float32" else set())
    return columns if columns <= WIDEST and as_formulas else 1


def interleaved(times: int | None) -> int:
    """Return the number of vectors that a loop processes at a time: 4, or fewer to leave fewer numbers at its end.

    >>> [interleaved(times) for times in (None, 256, 100, 50, 10)]
    [4, 4, 2, 1, 1]
    """
    if times is None:  # the rows of a flat formula
        return 4
    return next(k for k in (4, 2, 1) if all(times % (k * width) == times % width for width in VECTORS))


@dataclass
class _Loop:
    index: str
    carried: list[str]
    """Names of the loop-carried numbers in the body; after the loop, their last values."""
    ends: list[str]
    """Names of their values at the end of an iteration."""


class _Printer:
    def __init__(self, sweep: Sweep, dtype: str) -> None:
        self.sweep, self.dtype, self.number, self.lanes = sweep, dtype, TYPES[dtype], lanes_of(sweep, dtype)
        self.type, self.mask = vector(self.number, self.lanes), vector("i1", self.lanes)
        self.arrays = 1 + max(seen.array for op in sweep.operations for seen in (*op.inputs, *op.outputs))
        self.lines: list[str] = []
        self.names = count()
        self.called: set[str] = set()
        self.innermost = self.calls = False
        """Properties of the loop being printed: it contains no other loop; it calls a function."""
        self.metadata: list[str] = []
        self.declared: set[str] = set()

    # ---- the module

    def module(self) -> str:
        loads = ["  %rows = load i64, ptr %args"]
        pointers = ["h", *(f"p{k}" for k in range(self.arrays))]
        for k, name in enumerate(pointers, 1):
            loads.append(f"  %a{k} = getelementptr i64, ptr %args, i64 {k}")
            loads.append(f"  %{name} = load ptr, ptr %a{k}")
        given = ", ".join(f"ptr %{name}" for name in pointers)
        taken = ", ".join(f"ptr noalias %{name}" for name in pointers)
        body = self.body()
        called = functions(self.dtype, sorted(self.called), self.lanes)
        declared = sorted(self.declared - set(called.splitlines()))
        return "\n".join(
            [
                *declared,
                called,
                f"define internal void @sweep(i64 %rows, {taken}) {{",
                *body,
                "}",
                "define i64 @kernel(ptr %args) {",
                *loads,
                f"  call void @sweep(i64 %rows, {given})",
                "  ret i64 0",
                "}",
                *self.metadata,
                "",
            ]
        )

    def body(self) -> list[str]:
        self.open("entry")
        numbers = [self.value(f"load {self.number}, ptr {self.at('%h', str(k))}") for k in range(self.sweep.scalars)]
        self.slots = [self.spread(number) for number in numbers]
        self.zero_column_sums()
        divisors = self.divisors()
        tests = [self.value(f"fcmp oeq {self.number} {numbers[k]}, 1.0") for k in divisors]
        for case in product((True, False), repeat=len(divisors)):
            held = "true"
            for test, one in zip(tests, case, strict=True):
                held = self.value(f"and i1 {held}, {test if one else self.value(f'xor i1 {test}, true')}")
            yes, no = self.label("case"), self.label("other")
            self.line(f"br i1 {held}, label %{yes}, label %{no}")
            self.open(yes)
            self.rows(tuple(k for k, one in zip(divisors, case, strict=True) if one))
            self.line("ret void")
            self.open(no)
        self.line("unreachable")
        return self.lines

    def divisors(self) -> list[int]:
        """Return the host scalars that a flat formula divides by.

        Divisions limit the speed of a loop with cached arrays, and Adam's 1 - beta^t is 1 after some hundred steps.
        """
        found = [
            op.first + node.args[1].value
            for op in self.sweep.operations
            if isinstance(op, Map) and op.columns == 1
            for node in op.graph.nodes
            if node.op == "divide" and node.args[1].op == "slot"
        ]
        distinct = list(dict.fromkeys(found))
        return distinct if len(distinct) <= MOST_UNITS else []

    # ---- loops

    def zero_column_sums(self) -> None:
        for op in self.sweep.operations:
            if isinstance(op, Reduction) and not op.of_rows and op.columns > 1:
                with self.loop(str(op.columns)) as loop:
                    self.line(f"store {self.number} 0.0, ptr {self.at(f'%p{op.out.array}', loop.index)}")

    def rows(self, ones: tuple[int, ...]) -> None:
        """Print the loop over the rows, assuming that the host scalars ``ones`` are 1."""
        self.ones = ones
        if self.lanes > 1:
            with self.loop("%rows") as loop:
                self.i, self.j, self.place = loop.index, "0", self.value(f"mul i64 {loop.index}, {self.lanes}")
                self.known: dict[Seen, str] = {}
                self.element(self.sweep.operations, set())
            return
        phases = list(self.sweep.phases())
        # the sum of a single column is kept in a register
        single = [
            op for op in self.sweep.operations if isinstance(op, Reduction) and not op.of_rows and op.columns == 1
        ]
        with self.loop("%rows", ["0.0"] * len(single)) as loop:
            self.i = loop.index
            self.totals = dict(zip(map(id, single), loop.carried, strict=True))
            for k, phase in enumerate(phases):
                self.phase(phase, {seen.array for rest in phases[k + 1 :] for op in rest for seen in op.inputs})
            loop.ends = [self.totals[id(op)] for op in single]
        for op, total in zip(single, loop.carried, strict=True):
            self.line(f"store {self.type} {total}, ptr {self.at(f'%p{op.out.array}', '0')}")

    def phase(self, operations: list[Operation], wanted: set[int]) -> None:
        """Print one loop over the columns. Later phases read the arrays ``wanted``."""
        columns = operations[0].columns
        self.known = {}
        if columns == 1:
            self.j, self.place = "0", self.i
            self.element(operations, wanted)
            return
        reductions = [op for op in operations if isinstance(op, Reduction) and op.of_rows]
        starts = [start for op in reductions for start in self.start(op.kind)]
        first = self.value(f"mul i64 {self.i}, {columns}")
        with self.loop(str(columns), starts) as loop:
            self.j, self.place = loop.index, self.value(f"add i64 {first}, {loop.index}")
            values = iter(loop.carried)
            self.reduced = {id(op): [next(values) for _ in self.start(op.kind)] for op in reductions}
            self.element(operations, wanted)
            loop.ends = [value for op in reductions for value in self.reduced[id(op)]]
        values = iter(loop.carried)
        for op in reductions:
            ended = [next(values) for _ in self.start(op.kind)]
            self.line(f"store {self.type} {ended[-1]}, ptr {self.at(f'%p{op.out.array}', self.i)}")

    @staticmethod
    def start(kind: str) -> list[str]:
        return {"sum": ["0.0"], "max": [LEAST], "argmax": [LEAST, "0.0"]}[kind]

    def element(self, operations: list[Operation], wanted: set[int]) -> None:
        for op in operations:
            self.operation(op)
        # results of this phase are stored if anything reads them later
        for seen in dict.fromkeys(seen for op in operations if isinstance(op, Map) for seen in op.outputs):
            if seen.array not in self.sweep.dead or seen.array in wanted:
                self.store(self.known[seen], self.address(seen))

    # ---- one element, or one row as a vector

    def operation(self, op: Operation) -> None:
        if isinstance(op, Map):
            self.map(op)
            return
        x = self.load(op.x, op.columns)
        if not op.of_rows:
            if op.columns == 1:
                self.totals[id(op)] = self.value(f"fadd reassoc {self.type} {self.totals[id(op)]}, {x}")
            else:
                place = self.at(f"%p{op.out.array}", self.j)
                self.store(self.value(f"fadd {self.type} {self.loaded(place)}, {x}"), place)
        elif self.lanes > 1:
            found = self.reduced_row(op.kind, x)
            self.known[op.out] = self.spread(found)
            if op.out.array not in self.sweep.dead:
                self.line(f"store {self.number} {found}, ptr {self.at(f'%p{op.out.array}', self.i)}")
        elif op.columns == 1:
            value = "0.0" if op.kind == "argmax" else x
            self.line(f"store {self.type} {value}, ptr {self.at(f'%p{op.out.array}', self.i)}")
        elif op.kind == "sum":
            self.reduced[id(op)] = [self.value(f"fadd reassoc {self.type} {self.reduced[id(op)][0]}, {x}")]
        elif op.kind == "max":
            top = self.intrinsic("maximum", self.reduced[id(op)][0], x)
            self.reduced[id(op)] = [top]
        else:  # the first of several largest, or the first NaN
            top, place = self.reduced[id(op)]
            more = self.value(f"fcmp ogt {self.type} {x}, {top}")
            first_nan = self.value(f"fcmp uno {self.type} {x}, {x}")
            held = self.value(f"fcmp ord {self.type} {top}, {top}")
            nan = self.value(f"and i1 {first_nan}, {held}")
            better = self.value(f"or i1 {more}, {nan}")
            number = self.value(f"sitofp i64 {self.j} to {self.type}")
            self.reduced[id(op)] = [
                self.value(f"select i1 {better}, {self.type} {x}, {self.type} {top}"),
                self.value(f"select i1 {better}, {self.type} {number}, {self.type} {place}"),
            ]

    def reduced_row(self, kind: str, x: str) -> str:
        """Return the sum, the maximum or its index of a row that is a vector."""
        if kind == "sum":
            return self.across(x, "0.0", self.sum_of)
        top = self.across(x, LEAST, self.larger_of)  # arbitrary for a row with NaN, which is handled below
        nan = self.value(f"fcmp uno {self.type} {x}, {x}")
        some = self.value(f"icmp ne i{self.lanes} {self.bits(nan)}, 0")
        if kind == "max":
            return self.value(f"select i1 {some}, {self.number} {NAN}, {self.number} {top}")
        largest = self.value(f"fcmp oeq {self.type} {x}, {self.spread(top)}")
        found = self.bits(self.value(f"select i1 {some}, {self.mask} {nan}, {self.mask} {largest}"))
        word = f"i{self.lanes}"
        self.declared.add(f"declare {word} @llvm.cttz.{word}({word}, i1)")
        place = self.value(f"call {word} @llvm.cttz.{word}({word} {found}, i1 true)")
        return self.value(f"uitofp {word} {place} to {self.number}")

    def bits(self, mask: str) -> str:
        """Return a mask as an integer whose lowest bit is the first lane."""
        return self.value(f"bitcast {self.mask} {mask} to i{self.lanes}")

    def across(self, x: str, neutral: str, of_two: Callable[[str, str, str], str]) -> str:
        """Reduce a row that is one vector: combine its halves, then the halves of the result, down to one number."""
        width = 1 << (self.lanes - 1).bit_length()
        x, kind = self.shuffled(x, self.type, range(width), same_number(self.number, neutral, self.lanes))
        while width > 1:
            width //= 2
            halves = range(width), range(width, 2 * width)
            (low, half), (high, _) = (self.shuffled(x, kind, lanes, "poison") for lanes in halves)
            x, kind = of_two(half, low, high), half
        return self.value(f"extractelement {kind} {x}, i32 0")

    def shuffled(self, x: str, kind: str, lanes: range, then: str) -> tuple[str, str]:
        """Return the vector of some lanes of ``x``, which the lanes of ``then`` follow, and its type."""
        mask = f"<{', '.join(f'i32 {lane}' for lane in lanes)}>"
        name = self.value(f"shufflevector {kind} {x}, {kind} {then}, <{len(lanes)} x i32> {mask}")
        return name, f"<{len(lanes)} x {self.number}>"

    def sum_of(self, kind: str, a: str, b: str) -> str:
        return self.value(f"fadd {kind} {a}, {b}")

    def larger_of(self, kind: str, a: str, b: str) -> str:
        larger, mask = self.value(f"fcmp ogt {kind} {a}, {b}"), kind.replace(self.number, "i1")
        return self.value(f"select {mask} {larger}, {kind} {a}, {kind} {b}")

    def map(self, op: Map) -> None:
        names: dict[Node, str] = {}
        inputs = dict(zip(op.graph.inputs, op.inputs, strict=True))

        def text(node: Node) -> str:
            if node.op == "input":
                return self.load(inputs[node.value], op.columns)
            if node.op == "slot":
                slot: int = node.value
                return self.slots[op.first + slot]
            return names[node]

        def is_one(node: Node) -> bool:
            return node.op == "slot" and op.first + node.value in self.ones

        for node in op.graph.nodes:
            if node.op in ("multiply", "divide") and is_one(node.args[1]):
                names[node] = text(node.args[0])
            elif node.op == "multiply" and is_one(node.args[0]):
                names[node] = text(node.args[1])
            else:
                names[node] = self.expression(node, [text(a) for a in node.args])
        made = [
            self.value(f"uitofp {self.mask} {names[node]} to {self.type}") if node.is_mask else text(node)
            for node in op.graph.outputs
        ]
        for seen, value in zip(op.outputs, made, strict=True):
            self.known[seen] = value

    def load(self, seen: Seen, columns: int) -> str:
        if columns == 1 and seen.kind == "column":
            seen = Seen(seen.array, "full")
        if seen not in self.known:
            place = self.address(seen)
            whole = seen.kind in ("full", "row")
            self.known[seen] = (
                self.loaded(place) if whole else self.spread(self.value(f"load {self.number}, ptr {place}"))
            )
        return self.known[seen]

    def loaded(self, place: str) -> str:
        return self.value(f"load {self.type}, ptr {place}, align {BYTES[self.dtype]}")

    def store(self, value: str, place: str) -> None:
        self.line(f"store {self.type} {value}, ptr {place}, align {BYTES[self.dtype]}")

    def spread(self, number: str) -> str:
        """Return a vector with the same number in each lane."""
        if self.lanes == 1:
            return number
        one = self.value(f"insertelement {self.type} poison, {self.number} {number}, i32 0")
        everywhere = f"{vector('i32', self.lanes)} zeroinitializer"
        return self.value(f"shufflevector {self.type} {one}, {self.type} poison, {everywhere}")

    def address(self, seen: Seen) -> str:
        place = {"full": self.place, "row": self.j, "column": self.i, "scalar": "0"}[seen.kind]
        return self.at(f"%p{seen.array}", place)

    def expression(self, node: Node, a: list[str]) -> str:
        t = self.type
        match node.op:
            case op if op in _ARITHMETIC:
                return self.value(f"{_ARITHMETIC[op]} {t} {a[0]}, {a[1]}")
            case op if op in COMPARISONS:
                return self.value(f"fcmp {_COMPARED[op]} {t} {a[0]}, {a[1]}")
            case "negative":
                return self.value(f"fneg {t} {a[0]}")
            case "square":
                return self.value(f"fmul {t} {a[0]}, {a[0]}")
            case "sqrt":
                return self.intrinsic("sqrt", a[0])
            case "absolute":
                return self.intrinsic("fabs", a[0])
            case "sign":  # zero for either zero, NaN for NaN
                none, one, less = (same_number(self.number, k, self.lanes) for k in ("0.0", "1.0", "-1.0"))
                above = self.value(f"fcmp ogt {t} {a[0]}, {none}")
                below = self.value(f"fcmp olt {t} {a[0]}, {none}")
                zero = self.value(f"fcmp oeq {t} {a[0]}, {none}")
                rest = self.value(f"select {self.mask} {zero}, {t} {none}, {t} {a[0]}")
                rest = self.value(f"select {self.mask} {below}, {t} {less}, {t} {rest}")
                return self.value(f"select {self.mask} {above}, {t} {one}, {t} {rest}")
            case "maximum" | "minimum":  # a NaN on either side propagates, as in NumPy
                chosen = self.value(f"fcmp {'ogt' if node.op == 'maximum' else 'olt'} {t} {a[0]}, {a[1]}")
                nan = self.value(f"fcmp uno {t} {a[0]}, {a[0]}")
                first = self.value(f"or {self.mask} {chosen}, {nan}")
                return self.value(f"select {self.mask} {first}, {t} {a[0]}, {t} {a[1]}")
            case "where":
                return self.value(f"select {self.mask} {a[0]}, {t} {a[1]}, {t} {a[2]}")
            case "power":
                return self.intrinsic("pow", a[0], a[1])
            case op if op in TRANSCENDENTAL:
                self.called.add(op)
                self.calls = True
                return self.value(f"call {t} @{op}_{suffixed(SUFFIX[self.dtype], self.lanes)}({t} {a[0]})")
        raise AssertionError(f"no instruction for {node.op}")

    # ---- text

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        name = f"%v{next(self.names)}"
        self.line(f"{name} = {text}")
        return name

    def at(self, pointer: str, index: str) -> str:
        return self.value(f"getelementptr {self.number}, ptr {pointer}, i64 {index}")

    def label(self, kind: str) -> str:
        return f"{kind}{next(self.names)}"

    def open(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    @contextmanager
    def loop(self, times: str, starts: Sequence[str] = ()) -> Iterator[_Loop]:
        """Print a loop over ``0 <= index < times`` with loop-carried numbers; the body sets ``ends``."""
        before, head, body, done = self.block, *(self.label(kind) for kind in ("head", "body", "done"))
        self.line(f"br label %{head}")
        self.open(head)
        loop = _Loop(f"%v{next(self.names)}", [f"%v{next(self.names)}" for _ in starts], list(starts))
        place = len(self.lines)
        more = self.value(f"icmp slt i64 {loop.index}, {times}")
        self.line(f"br i1 {more}, label %{body}, label %{done}")
        self.open(body)
        self.innermost, self.calls = True, False
        yield loop
        following = self.value(f"add nuw nsw i64 {loop.index}, 1")
        phis = [f"  {loop.index} = phi i64 [0, %{before}], [{following}, %{self.block}]"]
        for name, start, end in zip(loop.carried, starts, loop.ends, strict=True):
            phis.append(f"  {name} = phi {self.type} [{start}, %{before}], [{end}, %{self.block}]")
        self.lines[place:place] = phis
        self.line(f"br label %{head}{self.hint(times)}")
        self.open(done)

    def hint(self, times: str) -> str:
        """Return the metadata of a loop's closing branch: interleave several vectors if the loop calls functions.

        A function is a long chain of dependent operations. To save registers, LLVM by default would let the processor
        wait for each of them.
        """
        wanted = self.innermost and self.calls and self.lanes == 1
        together = interleaved(int(times) if times.isdigit() else None) if wanted else 1
        self.innermost = False  # as the loop around this one is not
        if together == 1:
            return ""
        name = f"!{len(self.metadata)}"
        self.metadata.append(f'{name} = distinct !{{{name}, !{{!"llvm.loop.interleave.count", i32 {together}}}}}')
        return f", !llvm.loop {name}"

    def intrinsic(self, name: str, *arguments: str) -> str:
        full = f"@llvm.{name}.{suffixed(SUFFIX[self.dtype], self.lanes)}"
        types = ", ".join([self.type] * len(arguments))
        self.declared.add(f"declare {self.type} {full}({types})")
        return self.value(f"call {self.type} {full}({', '.join(f'{self.type} {a}' for a in arguments)})")
