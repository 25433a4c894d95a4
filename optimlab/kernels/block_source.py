"""Print a CUDA kernel in which each thread block trains one small network for many steps, in shared memory.

A training step is a list of operations on arrays in shared memory. Here are the texts of the operations, of the step
and of the kernel. Places of arrays are bytes from the start of the shared memory. :mod:`optimlab.backends.blocks`
chooses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..common.errors import InputError
from .c_source import C_TYPES, loop_body
from .cuda_sweep import ACCUMULATED, WAIT
from .graph import Graph
from .names import identifiers

_PRELUDE = """\
typedef {type} T;
typedef long long Index;
extern __shared__ __align__(16) unsigned char memory[];
#define EACH(i, n) _Pragma("unroll 1") for (int i = threadIdx.x; i < (n); i += blockDim.x)

template <class U>
__device__ __forceinline__ U *at(int place) {{ return (U *)(memory + place); }}

/* out = a b for row-major out, with the strides of rows and columns of a and b. A thread computes P x Q numbers that
   lie far apart, so that neighbouring threads read neighbouring numbers. If the columns of b are not neighbours, each
   thread starts its sum elsewhere: otherwise all would read the same memory bank at once. */
template <int ROWS, int COLUMNS, int INNER, int AR, int AC, int BR, int BC, int P, int Q>
__device__ __forceinline__ void product(const T *a, const T *b, T *out)
{{
    constexpr int down = (ROWS + P - 1) / P, across = (COLUMNS + Q - 1) / Q;
    EACH(tile, down * across) {{
        const int i = tile / across, j = tile % across;
        T sum[P][Q] = {{}};
        int k = BC == 1 ? 0 : j % INNER;
        #pragma unroll 4
        for (int term = 0; term < INNER; ++term) {{
            T left[P], right[Q];
            #pragma unroll
            for (int p = 0; p < P; ++p) left[p] = a[min(i + p * down, ROWS - 1) * AR + k * AC];
            #pragma unroll
            for (int q = 0; q < Q; ++q) right[q] = b[k * BR + min(j + q * across, COLUMNS - 1) * BC];
            #pragma unroll
            for (int p = 0; p < P; ++p)
                #pragma unroll
                for (int q = 0; q < Q; ++q) sum[p][q] = fma(left[p], right[q], sum[p][q]);
            k = k + 1 < INNER ? k + 1 : 0;
        }}
        for (int p = 0; p < P; ++p)
            for (int q = 0; q < Q; ++q)
                if (i + p * down < ROWS && j + q * across < COLUMNS)
                    out[(i + p * down) * COLUMNS + j + q * across] = sum[p][q];
    }}
}}

template <int ROWS, int COLUMNS>
__device__ __forceinline__ void column_sums(const T *x, T *out)
{{
    EACH(j, COLUMNS) {{
        T sum = 0;
        #pragma unroll 4
        for (int i = 0; i < ROWS; ++i) sum += x[i * COLUMNS + j];
        out[j] = sum;
    }}
}}

{reductions}
template <int WIDTH, class U>
__device__ __forceinline__ void take(const U *rows, const Index *indices, U *out, int count)
{{
    EACH(i, count * WIDTH) out[i] = rows[indices[i / WIDTH] * WIDTH + i % WIDTH];
}}

template <class U>
__device__ __forceinline__ void copy(const U *from, U *to, int count)
{{
    EACH(i, count) to[i] = from[i];
}}
"""

_REDUCTION = """\
template <int ROWS, int COLUMNS>
__device__ __forceinline__ void row_{kind}(const T *x, T *out)
{{
    EACH(i, ROWS) {{
        T total = 0{top};
        #pragma unroll {times}
        for (int c = 0; c < COLUMNS; ++c) {{
            const T value = x[i * COLUMNS + c];
            {line}
        }}
        out[i] = total;
    }}
}}
"""


def prelude(dtype: str) -> str:
    """Return the text of the functions that all threads of a block call."""
    words = {"x": "value", "total": "total", "top": "top"}
    reductions = [
        _REDUCTION.format(
            kind=kind,
            line=line.format(**words),
            top=", top = 0" if "{top}" in line else "",
            times=4 if kind == "sum" else 1,
        )
        for kind, line in ACCUMULATED.items()
    ]
    return _PRELUDE.format(type=C_TYPES[dtype], reductions="\n".join(reductions))


THREADS = 256


def product(a: str, b: str, out: str, sizes: tuple[int, int, int], strides: tuple[int, ...]) -> str:
    """Return the text of a product; ``sizes`` are rows, columns and terms, ``strides`` those of ``a`` and ``b``.

    >>> product("a", "b", "c", (64, 10, 64), (64, 1, 10, 1))
    'product<64, 10, 64, 64, 1, 10, 1, 2, 1>(a, b, c);'
    """
    numbers = ", ".join(map(str, (*sizes, *strides, *_tile(*sizes[:2]))))
    return f"product<{numbers}>({a}, {b}, {out});"


def _tile(rows: int, columns: int) -> tuple[int, int]:
    """Return the numbers of rows and columns that a thread computes: as many as leave no thread idle."""
    for tile in ((4, 4), (4, 2), (2, 2), (2, 1)):
        if -(-rows // tile[0]) * -(-columns // tile[1]) >= THREADS:
            return tile
    return (1, 1)


def elementwise(
    graph: Graph,
    dtype: str,
    arrays: Mapping[str, str],
    shapes: Mapping[str, str],
    size: tuple[int, int],
    numbers: Sequence[float],
) -> str:
    """Return the text of a formula over a matrix of ``size``, rows and columns.

    ``arrays`` has the text of each array's pointer, ``shapes`` the names of :data:`optimlab.kernels.c_source.SHAPES`
    for inputs that are not whole matrices, and ``numbers`` the host scalars.
    """
    names, ctype = identifiers(graph.arrays), C_TYPES[dtype]
    pointers = [f"const {ctype} *{names[n]}_ = {arrays[n]};" for n in graph.inputs]
    pointers += [f"{ctype} *{names[n]}_ = {arrays[n]};" for n in graph.written]
    lines = [*pointers, *([f"const int columns = {size[1]};"] if shapes else [])]
    body = loop_body(graph, ctype, shapes, [number_text(value, dtype) for value in numbers])
    return _block([*lines, f"EACH(i, {size[0] * size[1]}) {{", *body.splitlines(), "}"])


def uniform(out: str, size: int, each: int, key: str, used: str) -> str:
    """Return the text that fills an array with random numbers, of which a counter gives ``each``."""
    loop = f"for (int first = {each} * threadIdx.x; first < {size}; first += {each} * blockDim.x)"
    return f"{loop}\n    uniform_part(first, {size}, {out}, {key}, {used});"


def number_text(value: float, dtype: str) -> str:
    """Return a number, rounded to ``dtype``, as C writes it.

    >>> number_text(0.1, "float32"), number_text(-3, "float64")
    ('0.1f', '(-3.0)')
    """
    rounded = np.dtype(dtype).type(value)
    if not np.isfinite(rounded):
        raise InputError(f"{value} cannot be a number of a kernel's text")
    text = f"{rounded!s}{'f' if dtype == 'float32' else ''}"
    return f"({text})" if rounded < 0 else text


def constant(name: str, values: Sequence[float], dtype: str) -> str:
    """Return the declaration of an array of constants."""
    return f"__device__ const T {name}[{len(values)}] = {{{', '.join(number_text(v, dtype) for v in values)}}};"


def step_source(name: str, operations: Sequence[str], generators: int) -> str:
    """Return the text of a step, a function of the rows, the targets, the places of the batch's rows, and the result.

    For each of ``generators`` of random numbers it also has a key and the number of counters used.
    """
    draws = "".join(f", const unsigned long long *key{g}, unsigned long long used{g}" for g in range(generators))
    lines = [line for operation in operations for line in operation.splitlines()]
    return (
        f"__device__ __noinline__ void {name}(const T *x, const T *y, const Index *places, T *result{draws})\n"
        f"{_block(lines)}\n"
    )


class Resident(NamedTuple):
    """An array of each network that stays in shared memory for the whole kernel."""

    name: str
    place: int
    size: int


class Draw(NamedTuple):
    """The counters that one draw of a generator uses, in the step of full batches and in that of the rest."""

    full: int
    rest: int


def epoch_source(
    graphs: Sequence[Graph],
    dtype: str,
    weights: Resident,
    gradient: Resident,
    others: Sequence[Resident],
    draws: Sequence[Draw],
    batches: tuple[int, int],
    end: int,
) -> str:
    """Return the text of the kernel ``epoch``, in which block ``r`` trains network ``r`` for several steps.

    Its parameters are pointers to all rows, all targets, the places of the rows of each batch, the number of the first
    step, the results, the table of host scalars, the number of each network's rule, and the rules' state; then to each
    of ``others``, to keys and counter of each generator, and to the weights; and last the number of steps, and 1 if
    they are on the last, smaller batch. Each step has one row of places, results and scalars for each network. State
    and scalars have room for the rule with the most.

    Parameters
    ----------
    graphs: the rules.
    weights, gradient, others: the arrays that stay; ``others`` are those of layers, such as running averages.
    batches: the rows of a full batch and of the last one.
    end: the first free byte of the shared memory, from which on the state is stored.
    """
    size, states, slots = weights.size, most_states(graphs), most_slots(graphs)
    residents = [Resident("w", weights.place, size), Resident("state", end, states * size), *others]
    pointers = ["T *state", *(f"T *{one.name}" for one in others)]
    pointers += [f"const unsigned long long *keys{g}, const unsigned long long *counter{g}" for g in range(len(draws))]
    drawn = [
        "".join(f", keys{g} + 2 * replica, counter{g}[0] + k * {count}" for g, count in enumerate(counts))
        for counts in ([draw.full for draw in draws], [draw.rest for draw in draws])
    ]
    width = np.dtype(dtype).itemsize
    updates = [
        line
        for k, graph in enumerate(graphs)
        for line in (
            f"case {k}:",
            *_update(graph, dtype, weights, gradient, range(end, end + 1 + states * size * width, size * width)),
        )
    ]
    step = [
        "const Index row = first[0] + k;",
        "T *result = results + (row * replicas + replica) * 3;",
        f"const Index *mine = places + ((rest ? 0 : row) * replicas + replica) * (rest ? {batches[1]} : {batches[0]});",
        f"if (rest) step_1(x, y, mine, result{drawn[1]});",
        f"else step_0(x, y, mine, result{drawn[0]});",
        f"const T *hp = table + (row * replicas + replica) * {slots};",
        WAIT,
        "switch (rules[replica]) {",
        *updates,
        "}",
        WAIT,
    ]
    body = [
        "const Index replica = blockIdx.x, replicas = gridDim.x;",
        *(f"copy({one.name} + replica * {one.size}, at<T>({one.place}), {one.size});" for one in residents),
        WAIT,
        "for (Index k = 0; k < steps; ++k)",
        *_block(step).splitlines(),
        *(f"copy(at<T>({one.place}), {one.name} + replica * {one.size}, {one.size});" for one in residents),
    ]
    return (
        f'extern "C" __global__ void __launch_bounds__({THREADS}) epoch(\n'
        "    const T *x, const T *y, const Index *places, const Index *first, T *results, const T *table,\n"
        f"    const Index *rules, {', '.join(pointers)}, T *w, Index steps, Index rest)\n{_block(body)}\n"
    )


def most_states(graphs: Sequence[Graph]) -> int:
    """Return the number of state arrays of the rule with the most."""
    return max(len(graph.state) for graph in graphs)


def most_slots(graphs: Sequence[Graph]) -> int:
    """Return the number of host scalars of the rule with the most, at least one."""
    return max(1, *(len(graph.slots) for graph in graphs))


def _update(graph: Graph, dtype: str, weights: Resident, gradient: Resident, state: Sequence[int]) -> list[str]:
    """Return the lines of a rule's case; ``state`` has the places of its arrays."""
    names = identifiers(graph.inputs)
    places = [weights.place, gradient.place, *state]
    lines = [
        *(f"const T hp_{k} = hp[{k}];" for k in range(len(graph.slots))),
        *(f"T *{name}_ = at<T>({place});" for name, place in zip(names.values(), places, strict=False)),
        f"EACH(i, {weights.size}) {{",
        *loop_body(graph, C_TYPES[dtype], None, [f"hp_{k}" for k in range(len(graph.slots))]).splitlines(),
        "}",
        "break;",
    ]
    return _block(lines).splitlines()


def _block(lines: Sequence[str]) -> str:
    return "{\n" + "".join(f"    {line}\n" for line in lines) + "}"
