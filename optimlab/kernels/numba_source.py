"""Print a graph as one loop in Python that Numba compiles.

Compiled without ``fastmath`` it is bitwise equal to NumPy: every operation is correctly rounded, in the same order, and
none is contracted with the next. ``error_model="numpy"`` is needed for speed: a check for a division by zero in each
element would keep the loop from being vectorised.
"""

from __future__ import annotations

from .graph import INFIX, Graph, Node
from .names import identifiers


def numba_source(graph: Graph, dtype: str) -> str:
    """A Python function ``step(w_, g_, <state>_..., hp)`` of flat arrays; ``hp`` holds the host scalars.

    Whole elements are read before any is written, and no element sees another: the loop may be cut anywhere.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> print(numba_source(trace(sgd), "float32"))
    from numpy import float32, sqrt
    <BLANKLINE>
    def step(w_, g_, hp):
        h0 = hp[0]  # lr
        for i in range(len(w_)):
            w_i = w_[i]
            g_i = g_[i]
            v0 = h0 * g_i
            v1 = w_i - v0
            w_[i] = v1
    """
    called = identifiers(graph.inputs)
    names: dict[Node, str] = {}

    def text(node: Node) -> str:
        if node.op == "input":
            return f"{called[node.value]}_i"
        if node.op == "slot":
            return f"h{node.value}"
        return names[node]

    body = [f"{name}_i = {name}_[i]" for name in called.values()]
    for k, node in enumerate(graph.nodes):
        body.append(f"v{k} = {_expression(node, [text(a) for a in node.args], dtype)}")
        names[node] = f"v{k}"
    body += [f"{called[name]}_[i] = {text(node)}" for name, node in zip(graph.written, graph.outputs, strict=True)]
    return "\n".join(
        [
            f"from numpy import {dtype}, sqrt",
            "",
            f"def step({', '.join(f'{name}_' for name in called.values())}, hp):",
            *(f"    h{k} = hp[{k}]  # {slot}" for k, slot in enumerate(graph.slots)),
            "    for i in range(len(w_)):",
            *(f"        {line}" for line in body),
        ]
    )


def _expression(node: Node, a: list[str], dtype: str) -> str:
    match node.op:
        case "negative":
            return f"-{a[0]}"
        case "square":
            return f"{a[0]} * {a[0]}"
        case "sqrt":
            return f"sqrt({a[0]})"
        case "absolute":
            return f"abs({a[0]})"
        case "sign":  # zero for either zero, NaN for NaN
            one, minus, zero = f"{dtype}(1)", f"{dtype}(-1)", f"{dtype}(0)"
            return f"{one} if {a[0]} > 0 else ({minus} if {a[0]} < 0 else ({zero} if {a[0]} == 0 else {a[0]}))"
        case "maximum":  # a NaN on either side comes out, as in NumPy
            return f"{a[0]} if ({a[0]} > {a[1]}) | ({a[0]} != {a[0]}) else {a[1]}"
        case "minimum":
            return f"{a[0]} if ({a[0]} < {a[1]}) | ({a[0]} != {a[0]}) else {a[1]}"
        case "where":
            return f"{a[1]} if {a[0]} else {a[2]}"
        case op:
            return f"{a[0]} {INFIX[op]} {a[1]}"
