"""Print a graph as one loop in Python that Numba compiles.

Compiled without ``fastmath`` it is bitwise equal to NumPy: every operation is correctly rounded, in the same order, and
none is contracted with the next. ``error_model="numpy"`` is needed for speed: a check for a division by zero in each
element would keep the loop from being vectorised.
"""

from __future__ import annotations

from collections.abc import Container

from .graph import INFIX, Graph, Node


def numba_source(graph: Graph, dtype: str, below_one: Container[int] = ()) -> str:
    """A Python function ``step(w_, g_, <state>_..., hp_)`` of flat arrays; ``hp_`` holds the host scalars.

    Whole elements are read before any is written, and no element sees another: the loop may be cut anywhere.

    ``below_one`` are slots known to be less than 1 in absolute value. In float32 a division x / c by one of them is
    printed as a multiplication by 1 / c in float64, which takes a fraction of the time and gives the same bits:

    - The product is within 2^-51 of x / c, relatively, so it rounds to another float32 only if there is a midpoint m
      of two neighbouring float32 numbers as near to x / c as that.
    - With x = X 2^i, m = M 2^k and c = C 2^-j, all capitals whole, M and C odd, X and C below 2^24, M below 2^25:
      abs(x / c - m) / abs(x / c) = abs(x - m c) / abs(x), where x and m c are multiples of 2^i and 2^(k - j). If they
      differ, then by at least the smaller of these, which is more than 2^-50 of x.
    - They differ: m c = M C 2^(k - j) with M C odd is no float32. Where m is normal, M C has 25 bits or more; where it
      is subnormal, k is -150, and j >= 1 puts the last bit of m c below that of any float32.

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
    scaled = {
        node: node.args[1].value
        for node in graph.nodes
        if dtype == "float32" and node.op == "divide" and node.args[1].op == "slot" and node.args[1].value in below_one
    }

    def text(node: Node) -> str:
        if node.op == "input":
            return f"_{node.value}"
        if node.op == "slot":
            return f"_h{node.value}"
        return names[node]

    body = [f"_{name} = {name}_[_i]" for name in graph.inputs]
    for k, node in enumerate(graph.nodes):
        operands = [text(a) for a in node.args]
        if node in scaled:
            body.append(f"_v{k} = float32(float64({operands[0]}) * _r{scaled[node]})")
        else:
            body.append(f"_v{k} = {_expression(node, operands, dtype)}")
        names[node] = f"_v{k}"
    body += [f"{name}_[_i] = {text(node)}" for name, node in zip(graph.written, graph.outputs, strict=True)]
    return "\n".join(
        [
            f"from numpy import {dtype}, {'float64, ' if scaled else ''}sqrt",
            "",
            f"def step({', '.join(f'{name}_' for name in graph.inputs)}, hp_):",
            *(f"    _h{k} = hp_[{k}]  # {slot}" for k, slot in enumerate(graph.slots)),
            *(f"    _r{k} = float64(1) / float64(_h{k})" for k in sorted({*scaled.values()})),
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
