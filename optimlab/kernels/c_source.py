"""Print a graph as one C loop, or as one CUDA kernel. Both share each element's text.

Compiled without fused multiply-adds (``-ffp-contract=off``, ``--fmad=false``), either is bitwise equal to NumPy:
every operation is correctly rounded, in the same order. (Which of several NaNs comes out is not defined by IEEE 754
and may differ; that one is a NaN does not.)
"""

from __future__ import annotations

from .graph import Graph, Node

C_TYPES = {"float32": "float", "float64": "double"}

_INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "greater": ">",
    "greater_equal": ">=",
    "less": "<",
    "less_equal": "<=",
    "equal": "==",
    "not_equal": "!=",
}


def c_source(graph: Graph, dtype: str) -> str:
    """A C function ``void <rule>(long long n, T *w, const T *g, T *<state>..., const T *hp)``.

    ``hp`` holds the host scalars, ``graph.scalars(...)``, cast to ``T``.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> print(c_source(trace(sgd), "float32"))
    #include <math.h>
    <BLANKLINE>
    void sgd(long long n, float *w, const float *g, const float *hp)
    {
        /* hp[0] = lr */
        for (long long i = 0; i < n; ++i) {
            const float w_ = w[i];
            const float g_ = g[i];
            const float v0 = hp[0] * g_;
            const float v1 = w_ - v0;
            w[i] = v1;
        }
    }
    """
    return (
        f"#include <math.h>\n\nvoid {_name(graph)}({_parameters(graph, C_TYPES[dtype])})\n{{\n"
        f"{_legend(graph)}"
        "    for (long long i = 0; i < n; ++i) {\n"
        f"{_element(graph, C_TYPES[dtype])}"
        "    }\n}"
    )


def cuda_source(graph: Graph, dtype: str) -> str:
    """A CUDA kernel of the same parameters as :func:`c_source`; any grid of any size covers all elements.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> print(cuda_source(trace(sgd), "float64").splitlines()[0])
    extern "C" __global__ void sgd(long long n, double *w, const double *g, const double *hp)
    """
    return (
        f'extern "C" __global__ void {_name(graph)}({_parameters(graph, C_TYPES[dtype])})\n{{\n'
        f"{_legend(graph)}"
        "    const long long stride = (long long)gridDim.x * blockDim.x;\n"
        "    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {\n"
        f"{_element(graph, C_TYPES[dtype])}"
        "    }\n}"
    )


def _name(graph: Graph) -> str:
    return graph.name if graph.name.isidentifier() else "rule"


def _parameters(graph: Graph, ctype: str) -> str:
    pointers = (f"{'' if name in graph.written else 'const '}{ctype} *{name}" for name in graph.inputs)
    return ", ".join(["long long n", *pointers, f"const {ctype} *hp"])


def _legend(graph: Graph) -> str:
    return "".join(f"    /* hp[{k}] = {slot} */\n" for k, slot in enumerate(graph.slots))


def _element(graph: Graph, ctype: str) -> str:
    names: dict[Node, str] = {}

    def text(node: Node) -> str:
        if node.op == "input":
            return f"{node.value}_"
        if node.op == "slot":
            return f"hp[{node.value}]"
        return names[node]

    lines = [f"const {ctype} {name}_ = {name}[i];" for name in graph.inputs]
    for k, node in enumerate(graph.nodes):
        kind = "int" if node.is_mask else ctype
        lines.append(f"const {kind} v{k} = {_expression(node, [text(a) for a in node.args], ctype)};")
        names[node] = f"v{k}"
    lines.extend(f"{name}[i] = {text(node)};" for name, node in zip(graph.written, graph.outputs, strict=True))
    return "".join(f"        {line}\n" for line in lines)


def _expression(node: Node, a: list[str], ctype: str) -> str:
    suffix = "f" if ctype == "float" else ""
    match node.op:
        case "negative":
            return f"-{a[0]}"
        case "square":
            return f"{a[0]} * {a[0]}"
        case "sqrt":
            return f"sqrt{suffix}({a[0]})"
        case "absolute":
            return f"fabs{suffix}({a[0]})"
        case "sign":  # zero for either zero, NaN for NaN
            return f"{a[0]} > 0 ? ({ctype})1 : {a[0]} < 0 ? ({ctype})-1 : {a[0]} == 0 ? ({ctype})0 : {a[0]}"
        case "maximum":  # a NaN on either side comes out, as in NumPy
            return f"{a[0]} >= {a[1]} || {a[0]} != {a[0]} ? {a[0]} : {a[1]}"
        case "minimum":
            return f"{a[0]} <= {a[1]} || {a[0]} != {a[0]} ? {a[0]} : {a[1]}"
        case "where":
            return f"{a[0]} ? {a[1]} : {a[2]}"
        case op:
            return f"{a[0]} {_INFIX[op]} {a[1]}"
