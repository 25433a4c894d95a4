"""Print a graph as one C loop, or as one CUDA kernel. Both share the text of each element.

Compiled without fused multiply-adds (``-ffp-contract=off``, ``--fmad=false``), both are bitwise equal to NumPy except
for the transcendental functions: every operation is correctly rounded, in the same order. (IEEE 754 does not define
which of several NaNs is the result, or whether 0 or -0 is larger; NumPy itself differs there between processors.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..common.errors import InputError, lookup, unknown
from .graph import INFIX, Graph, Node
from .names import identifiers, rule_name

C_TYPES = {"float32": "float", "float64": "double"}

_CALLS = {"absolute": "fabs", "power": "pow"} | {
    op: op for op in ("sqrt", "exp", "expm1", "log", "log1p", "tanh", "erf", "sin", "cos")
}

SHAPES = {
    "row": "[i % columns]",
    "column": "[i / columns]",
    "scalar": "[0]",
    "rows": "[i / size * columns + i % columns]",
    "scalars": "[i / size]",
}
"""Indices for inputs with one number per column, one per row, or a single number; and, for several matrices, with one
row or a single number per matrix."""
STACKED = ("rows", "scalars")


def c_source(graph: Graph, dtype: str, shapes: Mapping[str, str] | None = None) -> str:
    """Print a graph as a C function.

    For a rule it is ``void <rule>_step(long long n, T *w_, const T *g_, T *<state>_..., const T *hp)``, for a function
    ``void <function>_map(long long n, const T *<input>_..., T *out_, const T *hp)``. ``hp`` has the host scalars,
    ``graph.scalars(...)``, cast to ``T``. Each element is read before it is written, so an output may be the same
    array as an input of full shape.

    Parameters
    ----------
    dtype: ``"float32"`` or ``"float64"``, for ``T``.
    shapes: ``"row"``, ``"column"`` or ``"scalar"`` for each input that is not a full array; the others are row-major
        matrices. If there are any, ``long long columns`` follows after ``n``, the number of elements of a matrix. For
        several matrices, one after the other, an input may also be ``"rows"`` or ``"scalars"``, one per matrix. Then
        ``long long size`` follows, the number of elements per matrix.

    Raises
    ------
    InputError: an input or shape is unknown, or a shape is given for an array that is written.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> print(c_source(trace(sgd), "float32"))
    #include <math.h>
    <BLANKLINE>
    void sgd_step(long long n, float *w_, const float *g_, const float *hp)
    {
        /* hp[0] = lr */
        for (long long i = 0; i < n; ++i) {
            const float w_i = w_[i];
            const float g_i = g_[i];
            const float v0 = hp[0] * g_i;
            const float v1 = w_i - v0;
            w_[i] = v1;
        }
    }

    >>> import numpy as np
    >>> from optimlab.kernels import trace_function
    >>> def biased(x, b):
    ...     return np.tanh(x + b)
    >>> print(c_source(trace_function(biased), "float32", {"b": "row"}))
    #include <math.h>
    <BLANKLINE>
    void biased_map(long long n, long long columns, const float *x_, const float *b_, float *out_, const float *hp)
    {
        for (long long i = 0; i < n; ++i) {
            const float x_i = x_[i];
            const float b_i = b_[i % columns];
            const float v0 = x_i + b_i;
            const float v1 = tanhf(v0);
            out_[i] = v1;
        }
    }
    """
    shapes = _checked(graph, shapes)
    return (
        f"#include <math.h>\n\nvoid {function_name(graph)}({_parameters(graph, C_TYPES[dtype], shapes)})\n{{\n"
        f"{_legend(graph)}"
        "    for (long long i = 0; i < n; ++i) {\n"
        f"{loop_body(graph, C_TYPES[dtype], shapes)}"
        "    }\n}"
    )


def cuda_source(
    graph: Graph, dtype: str, shapes: Mapping[str, str] | None = None, *, slots_by_row: bool = False
) -> str:
    """Print a graph as a CUDA kernel with the parameters of :func:`c_source`; a grid of any size covers all elements.

    With ``slots_by_row``, ``hp`` has host scalars for each row of a matrix, and ``long long columns`` follows after
    ``n``. Arrays must not overlap: the pointers are ``__restrict__``, so that a thread loads the scalars only once. The
    loop is not unrolled: a thread seldom has a second element, and NVRTC takes 2.5 times as long for an unrolled loop.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> print(cuda_source(trace(sgd), "float32").splitlines()[0])
    extern "C" __global__ void sgd_step(long long n, float *__restrict__ w_, const float *__restrict__ g_,
                                        const float *__restrict__ hp)
    """
    shapes = _checked(graph, shapes)
    first = f"i / columns * {len(graph.slots)} + " if slots_by_row else ""
    slots = [f"hp[{first}{k}]" for k in range(len(graph.slots))]
    parameters = _parameters(graph, C_TYPES[dtype], shapes, slots_by_row, "*__restrict__ ")
    return (
        f'extern "C" __global__ void {function_name(graph)}({parameters})\n{{\n'
        f"{_legend(graph)}"
        "    const long long stride = (long long)gridDim.x * blockDim.x;\n"
        "    #pragma unroll 1\n"
        "    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {\n"
        f"{loop_body(graph, C_TYPES[dtype], shapes, slots)}"
        "    }\n}"
    )


def function_name(graph: Graph) -> str:
    """Return the name of a graph's C function or CUDA kernel: ``<rule>_step`` or ``<function>_map``."""
    return f"{rule_name(graph.name)}_{'step' if graph.is_rule else 'map'}"


def _checked(graph: Graph, shapes: Mapping[str, str] | None) -> Mapping[str, str]:
    for name, shape in (shapes or {}).items():
        if name not in graph.inputs:
            raise unknown(f"input of {graph.name}", name, graph.inputs)
        lookup("shape", shape, SHAPES)
        if name in graph.written:
            raise InputError(f"{graph.name} writes {name}, which must be a whole array, not a {shape}")
    return shapes or {}


def _parameters(graph: Graph, ctype: str, shapes: Mapping[str, str], rows: bool = False, pointer: str = "*") -> str:
    names = identifiers(graph.arrays)
    sizes = ["long long n", *(["long long columns"] if shapes or rows else [])]
    sizes += ["long long size"] if any(shape in STACKED for shape in shapes.values()) else []
    pointers = (f"{'' if name in graph.written else 'const '}{ctype} {pointer}{names[name]}_" for name in graph.arrays)
    return ", ".join([*sizes, *pointers, f"const {ctype} {pointer}hp"])


def _legend(graph: Graph) -> str:
    return "".join(f"    /* hp[{k}] = {slot} */\n" for k, slot in enumerate(graph.slots))


def loop_body(
    graph: Graph, ctype: str, shapes: Mapping[str, str] | None = None, slots: Sequence[str] | None = None
) -> str:
    """Return the text of what a loop does for element ``i``; ``slots`` has the text of each host scalar."""
    shapes = shapes or {}
    scalars = [f"hp[{k}]" for k in range(len(graph.slots))] if slots is None else slots
    calls = functions_of("float32" if ctype == "float" else "float64")
    names = identifiers(graph.arrays)
    places = {name: SHAPES[shapes[name]] if name in shapes else "[i]" for name in graph.inputs}
    lines = [f"const {ctype} {names[name]}_i = {names[name]}_{place};" for name, place in places.items()]
    inputs = {name: f"{called}_i" for name, called in names.items()}
    made, outputs = element(graph, calls, inputs, dict(enumerate(scalars)))
    lines += [f"const {'int' if mask else ctype} {name} = {text};" for name, text, mask in made]
    lines += [f"{names[name]}_[i] = {text};" for name, text in zip(graph.written, outputs, strict=True)]
    return "".join(f"        {line}\n" for line in lines)


def functions_of(dtype: str) -> Mapping[str, str]:
    """Return the functions of C and CUDA by operation."""
    return {op: f"{name}f" for op, name in _CALLS.items()} if dtype == "float32" else _CALLS


def element(
    graph: Graph, calls: Mapping[str, str], inputs: Mapping[str, str], slots: Mapping[int, str], prefix: str = "v"
) -> tuple[list[tuple[str, str, bool]], list[str]]:
    """Print the arithmetic of one element, in a language with C's expressions.

    ``calls`` names the functions of the language; ``inputs`` and ``slots`` have the text of each input's element
    and of each host scalar. Return the values to compute, each ``(name, expression, is_boolean)``, and the texts of
    the outputs. The names begin with ``prefix``.
    """
    names: dict[Node, str] = {}

    def text(node: Node) -> str:
        if node.op == "input":
            return inputs[node.value]
        if node.op == "slot":
            return slots[node.value]
        return names[node]

    made = []
    for k, node in enumerate(graph.nodes):
        names[node] = f"{prefix}{k}"
        made.append((names[node], _expression(node, [text(a) for a in node.args], calls), node.is_mask))
    return made, [text(node) for node in graph.outputs]


def _expression(node: Node, a: list[str], calls: Mapping[str, str]) -> str:
    match node.op:
        case "negative":
            return f"-{a[0]}"
        case "square":
            return f"{a[0]} * {a[0]}"
        case "sign":  # zero for either zero, NaN for NaN
            return f"{a[0]} > 0 ? 1 : {a[0]} < 0 ? -1 : {a[0]} == 0 ? 0 : {a[0]}"
        case "maximum":  # a NaN on either side propagates, as in NumPy
            return f"{a[0]} > {a[1]} || {a[0]} != {a[0]} ? {a[0]} : {a[1]}"
        case "minimum":
            return f"{a[0]} < {a[1]} || {a[0]} != {a[0]} ? {a[0]} : {a[1]}"
        case "where":
            return f"{a[0]} ? {a[1]} : {a[2]}"
        case op if op in calls:
            return f"{calls[op]}({', '.join(a)})"
        case op:
            return f"{a[0]} {INFIX[op]} {a[1]}"
