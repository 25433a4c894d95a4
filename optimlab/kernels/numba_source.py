"""Print a graph as one loop in Python that Numba compiles.

Compiled without ``fastmath`` it is bitwise equal to NumPy: every operation is correctly rounded, in the same order, and
none is contracted with the next. ``error_model="numpy"`` is needed for speed: a check for a division by zero in each
element would keep the loop from being vectorised.
"""

from __future__ import annotations

from .graph import INFIX, Graph, Node


def numba_source(graph: Graph, dtype: str) -> str:
    """A Python function ``step(w_, g_, <state>_..., hp_)`` of flat arrays; ``hp_`` holds the host scalars.

    Whole elements are read before any is written, and no element sees another: the loop may be cut anywhere.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> print(numba_source(trace(sgd), "float32"))
    from numpy import float32, sqrt
    <BLANKLINE>
    def step(w_, g_, hp_):
        _h0 = hp_[0]  # lr
        for _i in range(len(w_)):
            _w = w_[_i]
            _g = g_[_i]
            _v0 = _h0 * _g
            _v1 = _w - _v0
            w_[_i] = _v1
    """
    names: dict[Node, str] = {}

    def text(node: Node) -> str:
        if node.op == "input":
            return f"_{node.value}"
        if node.op == "slot":
            return f"_h{node.value}"
        return names[node]

    body = [f"_{name} = {name}_[_i]" for name in graph.inputs]
    for k, node in enumerate(graph.nodes):
        body.append(f"_v{k} = {_expression(node, [text(a) for a in node.args], dtype)}")
        names[node] = f"_v{k}"
    body += [f"{name}_[_i] = {text(node)}" for name, node in zip(graph.written, graph.outputs, strict=True)]
    return "\n".join(
        [
            f"from numpy import {dtype}, sqrt",
            "",
            f"def step({', '.join(f'{name}_' for name in graph.inputs)}, hp_):",
            *(f"    _h{k} = hp_[{k}]  # {slot}" for k, slot in enumerate(graph.slots)),
            "    for _i in range(len(w_)):",
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
