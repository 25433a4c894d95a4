"""A recorded program does what its operations do one after the other, whatever is fused and whatever is not stored."""

from __future__ import annotations

import math
import random

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from conftest import assert_same_bits, require

from optimlab import backends
from optimlab.backends import llvm
from optimlab.backends.program import CannotRecord
from optimlab.kernels import erf
from optimlab.nn.formulas import square

require("llvmlite")
NUMPY, COMPILED = backends.get("numpy"), backends.get("compiled")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Kernels are neither read from the disk nor written to it."""
    monkeypatch.setattr(llvm, "_read", lambda path: None)
    monkeypatch.setattr(llvm, "_keep", lambda path, code: None)


# ---- random lists of operations on random arrays of one stretch of memory ----


def bounded(x, y, z, *, p=1.0):
    return np.minimum(np.maximum(x - p * y + z, -9), 9)


def chosen(x, y, z, *, p=1.0):
    return np.where(x > y, np.minimum(z, 9), np.where(y == z, -p, np.maximum(z, -9)))


def exchanged(x, y, z, *, p=1.0):
    return np.minimum(np.maximum(y, -9), 9), np.maximum(np.minimum(x + p, 9), -9)


def quotient(x, y, z, *, p=1.0):
    return np.minimum(np.abs(x) + 1, 9) / p - np.sign(y) * np.sqrt(np.square(np.sign(z)))


def decaying(x, y, z, *, p=1.0):
    return np.exp(-x * x) + np.tanh(y) * np.log1p(np.abs(z) / p)


def bump(x, y, z, *, p=1.0):
    return erf(x) + np.expm1(-np.abs(y)) * p, np.sqrt(1 + np.tanh(z) ** 2)


# each with the number of its outputs
BOUNDED = {bounded: 1, chosen: 1, exchanged: 2, quotient: 1}
SMOOTH = {decaying: 1, bump: 2}


class Memory:
    """Arrays at drawn places of one stretch of memory, so that some are parts of others; the same object for the same
    place and shape."""

    def __init__(self, start, places, backend=NUMPY):
        self.flat = backend.asarray(start.copy())
        self.arrays = [self.flat[at : at + size].reshape(shape) for at, size, shape in places]
        self.index, self.counter = backend.zeros(1, "int64"), backend.zeros(1, "int64")


def drawn_places(draw):
    """Draw where arrays lie: of shapes that go together, most of them apart, and some over others."""
    rows, columns = draw.randint(1, 5), draw.choice([1, 2, 3, 4, 8, 17])
    always = [(rows, columns), (rows, columns), (rows, 1), (columns,)]
    others = [(rows, columns), (rows, columns), (rows, 1), (rows, 1), (columns,), (1,), (1, columns), (rows,), (rows,)]
    others += [(rows, draw.choice([1, 2])), (1, 1), (columns, 2), (rows * columns,)]
    places, end, overlaps = [], 0, draw.choice([0, 0.1, 0.5])
    for shape in always + draw.choices(others, k=draw.randrange(9)):
        at = draw.randint(0, end) if draw.random() < overlaps else end
        size = math.prod(shape)
        if (at, size, shape) not in places:
            places.append((at, size, shape))
        end = max(end, at + size)
    return places, end


def drawn_operation(draw, places, formulas, sums, recent):
    """A named operation and the numbers of its arrays; None where there are no such arrays. Those used ``recent``ly are
    often used again."""
    kinds = {"map": 6, "column_sums": 2, "row_max": 1, "take": 1, "put": 1, "count": 1}
    kinds |= {"row_sums": 2, "matmul": 1} if sums else {}
    kinds |= {"row_argmax": 1} if formulas is BOUNDED else {}
    (kind,) = draw.choices([*kinds], [*kinds.values()])

    def one(fits):
        found = [k for k, (_, _, shape) in enumerate(places) if fits(shape)]
        again = [k for k in found if k in recent]
        return draw.choice(again if again and draw.random() < 0.6 else found) if found else None

    def like(shape):
        return one(lambda s: s == shape)

    x = one(lambda s: draw.random() < 0.2 or s == places[0][2])
    shape = places[x][2]
    if kind == "count":
        return (kind,)
    if kind == "map":

        def goes(s):
            if len(shape) == 1:
                return s in (shape, (1,))
            return s in (shape, (shape[0], 1), (shape[1],), (1, shape[1]), (1,), (1, 1))

        formula, outputs = draw.choice([*formulas.items()])
        outs = (x,) if outputs == 1 else (x, like(shape))
        # a value that has just been made is often used
        inputs = [draw.choice([x, one(goes), one(goes)]) for _ in range(3)]
        return kind, formula, tuple(inputs), outs, draw.choice([1.0, 2.0])
    if kind == "column_sums":
        if not sums and (len(shape) == 1 or shape[1] == 1):
            return None
        found = kind, x, one(lambda s: s in ([shape[-1:], (1, shape[-1])] if len(shape) == 2 else [(1,)]))
    elif len(shape) != 2:
        return None
    elif kind == "matmul":
        inner = one(lambda s: len(s) == 2 and s[0] == shape[1])
        found = kind, x, inner, None if inner is None else like((shape[0], places[inner][2][1]))
    else:
        found = kind, x, like({"take": (1, shape[1]), "put": shape[1:]}.get(kind, (shape[0], 1)))
    return None if None in found else found


def done(backend, operation, memory):
    kind, *given = operation
    a = memory.arrays
    if kind == "map":
        formula, inputs, outs, p = given
        out = a[outs[0]] if len(outs) == 1 else tuple(a[k] for k in outs)
        backend.map(formula, tuple(a[k] for k in inputs), out, p=p)
    elif kind == "count":
        backend.count(memory.counter)
    elif kind == "take":
        backend.take(a[given[0]], memory.index, a[given[1]])
    elif kind == "put":
        backend.put(a[given[0]], memory.index, a[given[1]])
    else:
        getattr(backend, kind)(*(a[k] for k in given))


def check(seed, formulas, sums=True, whole=False, rounding=0.0, backend=COMPILED, moved=False):
    """Record a random list of operations, run it, and compare every array that is not working with NumPy's.

    ``moved``: run it on arrays elsewhere.
    """
    there = backend.to_numpy
    draw = random.Random(seed)  # Hypothesis itself would choose small lists of few kinds
    places, size = drawn_places(draw)
    operations, recent = [], []
    for _ in range(draw.randrange(1, 15)):
        operation = drawn_operation(draw, places, formulas, sums, recent[-4:])
        operations.append(operation)
        recent += [
            a for part in operation or () for a in (part if isinstance(part, tuple) else [part]) if type(a) is int
        ]
    working = [k for k in range(len(places)) if draw.random() < 0.4]
    dtype, generator = draw.choice(["float32", "float64"]), np.random.default_rng(draw.randrange(1000))
    start = (generator.integers(-9, 10, size) if whole else generator.normal(size=size)).astype(dtype)
    memory, expected = Memory(start, places, backend), Memory(start, places)
    recorded = []
    with backend.recording(dtype) as program:
        for operation in filter(None, operations):
            try:
                done(backend, operation, memory)
                recorded.append(operation)
            except CannotRecord:  # arrays that overlap
                pass
    assert_same_bits(there(memory.flat), start, "something was done while it was recorded")
    program.finish([memory.arrays[k] for k in working])
    if moved:
        first, memory = memory, Memory(start, places, backend)
        olds, news = ([one.flat, one.index, one.counter] for one in (first, memory))
        (program,) = program.moved(olds, [news])
    kept = np.ones(size, bool)
    for k in working:
        kept[places[k][0] : places[k][0] + places[k][1]] = False
    with np.errstate(all="ignore"):
        for times in (1, 2):
            assert program.run(times) == times
            for operation in recorded * times:
                done(NUMPY, operation, expected)
            largest = np.abs(expected.flat).max(initial=1)
            if not largest < 2 ** (20 if dtype == "float32" else 50):  # sums of whole numbers are no longer exact
                break
            actual, right = there(memory.flat)[kept], expected.flat[kept]
            about = f"after {times} of {recorded} on {places}, {working} working"
            if rounding:
                allowed = rounding * np.finfo(dtype).eps * largest
                np.testing.assert_allclose(actual, right, rtol=0, atol=allowed, err_msg=about)
            else:  # 0.0 + removes the sign of zeros, of which a maximum may be either
                assert_same_bits(0.0 + actual, 0.0 + right, about)
            assert there(memory.counter) == expected.counter
    if moved:
        assert_same_bits(first.flat, start, "the recorded arrays were written")
    return program


@pytest.mark.slow
@hypothesis.given(seed=st.integers(0, 2**40))
@hypothesis.settings(deadline=None, max_examples=40)
def test_any_list_of_operations_is_what_numpy_does_one_by_one(seed):
    """Check with whole numbers, so that sums in any order are the same."""
    check(seed, BOUNDED, whole=True)


@pytest.mark.slow
@hypothesis.given(seed=st.integers(0, 2**40))
@hypothesis.settings(deadline=None, max_examples=20)
def test_a_program_moved_to_other_arrays_does_the_same_there(seed):
    check(seed, BOUNDED, whole=True, moved=True)


def test_an_array_that_lies_only_partly_within_one_that_is_replaced_cannot_be_moved():
    flat, out = np.arange(6.0), np.zeros(4)
    program = COMPILED.record(lambda: COMPILED.map(square, (flat[1:5],), out), "float64", list)
    (elsewhere,) = program.moved([flat], [[10 * flat]])
    elsewhere.run()
    np.testing.assert_array_equal(out, [100, 400, 900, 1600])
    with pytest.raises(CannotRecord, match="partly within one that is replaced"):
        program.moved([flat[:3]], [[flat[3:]]])


@hypothesis.given(seed=st.integers(0, 2**40))
@hypothesis.settings(deadline=None, max_examples=20)
def test_correctly_rounded_operations_on_any_numbers_have_the_same_bits(seed):
    check(seed, BOUNDED, sums=False)


@pytest.mark.slow
@hypothesis.given(seed=st.integers(0, 2**40))
@hypothesis.settings(deadline=None, max_examples=20)
def test_smooth_operations_differ_by_rounding_alone(seed):
    check(seed, SMOOTH, rounding=200)


# ---- what lists of random operations seldom show ----


def recorded(*operations, working=(), dtype="float64"):
    """A program of these functions of a backend."""
    with COMPILED.recording(dtype) as program:
        for operation in operations:
            operation(COMPILED)
    program.finish(working)
    return program


def test_a_comparison_is_written_as_zeros_and_ones():
    x, out = np.array([1.0, np.nan, 3.0]), np.empty((2, 3))
    for backend, row in ((NUMPY, out[0]), (COMPILED, out[1])):
        backend.map(lambda x, *, p: x > p, (x,), row, p=2.0)
    recorded(lambda b: b.map(lambda x, *, p: x > p, (x,), out[1], p=2.0)).run()
    assert out.tolist() == [[0, 0, 1]] * 2


def test_a_working_array_is_stored_for_whoever_reads_a_part_of_it():
    whole, part, rest, x = np.zeros((2, 3)), np.zeros(3), np.zeros((2, 3)), np.ones((2, 3))
    first = whole[0]
    program = recorded(
        lambda b: b.map(lambda x: x + 1, (x,), whole),
        lambda b: b.map(lambda x: x + 0, (whole[1],), part),
        lambda b: b.map(lambda x: x * 5, (first,), first),  # leaves the other row
        lambda b: b.matmul(np.eye(2), whole, rest),
        working=[whole],
    )
    program.run()
    assert part.tolist() == [2, 2, 2]
    assert rest.tolist() == [[10, 10, 10], [2, 2, 2]]


@pytest.mark.parametrize("write", ["all of it", "each half"])
def test_a_working_array_is_stored_though_nobody_reads_it_by_itself(write):
    whole, x, out = np.zeros(8), np.arange(8.0), np.zeros(4)
    halves = {"all of it": [(x, whole)], "each half": [(x[:4], whole[:4]), (x[4:], whole[4:])]}
    middle = whole[2:6]

    def work(backend):
        for source, target in halves[write]:
            backend.map(lambda x: x + 1, (source,), target)
        backend.map(lambda m: m * 10, (middle,), out)

    recorded(work, working=[whole]).run()
    assert out.tolist() == [30, 40, 50, 60]


def test_a_working_array_that_the_next_turn_reads_first_is_stored():
    held, x, out = np.zeros(4), np.ones(4), np.zeros(4)
    program = recorded(
        lambda b: b.map(lambda h: h * 2, (held,), out),
        lambda b: b.map(lambda x, h: x + h, (x, held), held),
        working=[held],
    )
    assert program.run(3) == 3
    assert out.tolist() == [4] * 4


def test_sums_over_a_single_row_are_written_where_a_formula_wrote():
    """The row of sums then is an array of the formula's shape, and is set to zero before anything else is done."""
    x, out, other = np.array([[1.0, 2.0]]), np.zeros((1, 2)), np.zeros((1, 2))
    recorded(
        lambda b: b.map(lambda x: x * 7, (x,), out),
        lambda b: b.map(lambda x, o: x + o, (x, out), other),
        lambda b: b.column_sums(x, out),
    ).run()
    assert out.tolist() == [[1, 2]]
    assert other.tolist() == [[8, 16]]


@pytest.mark.parametrize("columns", [1, 2, 9])
def test_what_a_row_is_reduced_to_is_used_in_the_same_sweep(columns):
    """As in a softmax; the arrays in between are not stored."""
    x = np.random.default_rng(0).integers(-9, 9, (4, columns)).astype(float)
    found = []
    for backend in (NUMPY, COMPILED):
        top, y, total, place, sums = (np.zeros(s) for s in [(4, 1), (4, columns), (4, 1), (4, 1), (columns,)])

        def work(b, top=top, y=y, total=total, place=place, sums=sums):
            b.row_max(x, top)
            b.map(lambda x, t: x - t, (x, top), y)
            b.row_sums(y, total)
            b.row_argmax(y, place)
            b.map(lambda y, t, p: y * 2 - t + p, (y, total, place), y)
            b.row_max(y, top)
            b.map(lambda y, t: y + t, (y, top), y)
            b.column_sums(y, sums)

        if backend is NUMPY:
            work(NUMPY)
        else:
            program = recorded(work, working=[y, top, total, place])
            assert len(program._plan.functions) == 1 or columns == 1
            program.run()
        found.append(sums)
    assert found[0].tolist() == found[1].tolist()


def test_rows_put_into_a_table_leave_the_others():
    table, index, row, out = np.zeros((3, 2)), np.array([1]), np.ones(2), np.zeros((3, 2))
    program = recorded(
        lambda b: b.map(lambda t, o: o + 0, (table, out), table),
        lambda b: b.put(table, index, row),
        lambda b: b.map(lambda t: t + 0, (table,), out),
        lambda b: b.count(index),
        working=[table],
    )
    assert program.run(2) == 2
    assert out.tolist() == [[0, 0], [1, 1], [1, 1]]


def test_a_number_that_is_not_finite_ends_its_turn():
    x, value, counter = np.array([[1e200]]), np.ones(1), np.zeros(1, "int64")
    program = recorded(
        lambda b: b.map(lambda v: v * 1e100, (value,), value),
        lambda b: b.stop_unless_finite(value),
        lambda b: b.count(counter),
    )
    assert program.run(10) == 3  # 1e100, 1e200, 1e300
    assert (counter[0], value[0]) == (3, np.inf)
    assert program.run(10) == 0
    assert x == 1e200


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_are_numpys_and_the_generator_goes_on(dtype):
    generators = [backend.generator(5) for backend in (NUMPY, COMPILED)]
    ours, theirs = np.empty((3, 7), dtype), np.empty((3, 7), dtype)
    program = recorded(lambda b: b.uniform(generators[1], ours), dtype=dtype)
    for k in range(4):
        NUMPY.uniform(generators[0], theirs)
        program.run()
        assert_same_bits(ours, theirs, f"turn {k}")
    assert generators[0].state == generators[1].state
    generators[1].state = NUMPY.generator(9).state
    program.run()
    NUMPY.uniform(NUMPY.generator(9), theirs)
    assert_same_bits(ours, theirs, "another state")


SPECIAL = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 1e-310, np.finfo(float).max]


@pytest.mark.parametrize("columns", [1, 2, 7, 33])
@pytest.mark.parametrize("kind", ["row_max", "row_argmax", "column_sums", "row_sums"])
def test_reductions_of_every_kind_of_number_are_numpys(kind, columns):
    x = np.random.default_rng(columns).choice(SPECIAL, (300, columns))
    x[:50] = np.where(np.isnan(x[:50]), 0, x[:50])
    if kind == "row_sums":  # in some orders, the sum of two of the largest numbers and -inf is NaN
        x[(x == -np.inf).any(axis=1, keepdims=True) & (x == SPECIAL[-1])] = 1.0
    ours, theirs = (np.zeros(columns if kind == "column_sums" else (300, 1)) for _ in range(2))
    with NUMPY.quiet():
        getattr(NUMPY, kind)(x, theirs)
    recorded(lambda b: getattr(b, kind)(x, ours)).run()
    assert_same_bits(0.0 + ours, 0.0 + theirs)


@pytest.mark.quick_each("rows", "columns")
@pytest.mark.parametrize("columns", [2, 3, 8, 10, 16, 17])
@pytest.mark.parametrize("rows", [1, 7, 8, 29])
def test_a_softmax_of_few_columns(rows, columns):
    """Few columns fill no vector register, and leave numbers at the end of each row."""
    x = np.random.default_rng(columns).choice([*SPECIAL[:4], 88.5, -90.0, *SPECIAL[4:7]], (rows, columns))
    x[rows // 2 :] = np.random.default_rng(rows).standard_normal((rows - rows // 2, columns))
    x = x.astype("float32")
    top, place, total = (np.zeros((rows, 1), "float32") for _ in range(3))
    grown, parts = np.zeros_like(x), np.zeros_like(x)

    def work(b):
        b.row_max(x, top)
        b.row_argmax(x, place)
        b.map(lambda x, top: np.exp(x - top), (x, top), grown)
        b.row_sums(grown, total)
        b.map(lambda x, total: x / total, (grown, total), parts)

    program = recorded(work, dtype="float32")
    assert len(program._plan.functions) == 1 or rows == 1
    program.run()
    with NUMPY.quiet():
        exact = np.exp((x - x.max(axis=1, keepdims=True)).astype(float))
        assert_same_bits(0.0 + top, 0.0 + x.max(axis=1, keepdims=True))
        assert place[:, 0].tolist() == x.argmax(axis=1).tolist()
        np.testing.assert_allclose(grown, exact.astype("float32"), rtol=2.5e-7, atol=1e-45)
        np.testing.assert_allclose(parts, exact / exact.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-45)


ONE, ROWS, COLUMN, INTEGERS = np.ones(1), np.ones((4, 3)), np.ones((4, 1)), np.arange(3)
FIXED = np.ones((4, 3))
FIXED.flags.writeable = False
REFUSED = {
    "another dtype": lambda b: b.map(square, (ROWS.astype("float32"),), ROWS),
    "gaps": lambda b: b.map(square, (np.ones((4, 6))[:, ::2],), ROWS),
    "transposed": lambda b: b.map(square, (np.ones((3, 4)).T,), ROWS),
    "not aligned": lambda b: b.map(square, (np.ones(33, "u1")[1:].view("f8"),), np.ones(4)),
    "read-only": lambda b: b.map(square, (ROWS,), FIXED),
    "three axes": lambda b: b.map(square, (np.ones((2, 2, 2)),), np.ones((2, 2, 2))),
    "shapes that do not go together": lambda b: b.map(square, (np.ones((4, 2)),), ROWS),
    "a smaller output": lambda b: b.map(square, (ROWS,), COLUMN),
    "more inputs": lambda b: b.map(square, (ROWS, ROWS), ROWS),
    "a part of its input": lambda b: b.map(lambda x, y: x + y, (ROWS, ROWS[0]), ROWS),
    "two outputs in one place": lambda b: b.map(lambda x: (x, x + 1), (COLUMN,), (ROWS, ROWS)),
    "sums of another shape": lambda b: b.column_sums(ROWS, np.ones(4)),
    "sums over themselves": lambda b: b.column_sums(ROWS, ROWS[0]),
    "maxima of a row": lambda b: b.row_max(np.ones(3), ONE),
    "maxima of another shape": lambda b: b.row_max(ROWS, np.ones((3, 1))),
    "maxima over themselves": lambda b: b.row_max(ROWS, ROWS.reshape(-1)[:4].reshape(4, 1)),
    "a product of shapes that do not go together": lambda b: b.matmul(ROWS, ROWS, np.ones((4, 4))),
    "a product into another shape": lambda b: b.matmul(ROWS, np.ones((3, 2)), np.ones((3, 4))),
    "a product over its factor": lambda b: b.matmul(np.ones((4, 4)), ROWS, ROWS),
    "a product of rows with gaps": lambda b: b.matmul(np.ones((4, 6))[:, ::2], np.ones((3, 2)), np.ones((4, 2))),
    "a product of a vector": lambda b: b.matmul(np.ones(3), np.ones((3, 2)), np.ones(2)),
    "indices of 32 bits": lambda b: b.take(ROWS, INTEGERS.astype("int32"), np.ones((3, 3))),
    "rows of another length": lambda b: b.take(ROWS, INTEGERS, np.ones((3, 2))),
    "rows of another dtype": lambda b: b.take(ROWS, INTEGERS, np.ones((3, 3), "float32")),
    "fewer rows than indices": lambda b: b.take(ROWS, INTEGERS, np.ones((2, 3))),
    "a row of another length": lambda b: b.put(ROWS, INTEGERS, np.ones(2)),
    "a place of 32 bits": lambda b: b.put(ROWS, INTEGERS.astype("int32"), np.ones(3)),
    "a counter of 32 bits": lambda b: b.count(np.zeros(1, "int32")),
    "several numbers that are to be finite": lambda b: b.stop_unless_finite(COLUMN),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_program_cannot_do_is_refused_and_nothing_is_recorded(name):
    """Compiled code would look at nothing, and write where it should not."""
    with COMPILED.recording("float64") as program, pytest.raises(CannotRecord):
        REFUSED[name](COMPILED)
    assert not program._items


def test_an_input_may_be_the_output_in_several_places():
    for backend in (NUMPY, COMPILED):
        x = np.array([1.0, 2.0, 3.0])

        def work(b, x=x):
            b.map(lambda a, b, c: a - b * c, (x, x, x), x)

        work(NUMPY) if backend is NUMPY else recorded(work).run()
        assert x.tolist() == [0, -2, -6]
