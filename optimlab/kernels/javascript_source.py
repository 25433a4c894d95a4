"""Print a graph as JavaScript. Its numbers are float64, so results are equal to NumPy's, bit for bit.

Powers of host scalars (``beta1**t``) and the transcendental functions are exceptions: the standard does not specify
their last bits.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from textwrap import indent

from .c_source import element, function_name
from .formula import Equation, equations
from .graph import Graph, Node
from .javascript_scalars import javascript_scalars
from .names import identifiers

_CALLS = {"absolute": "Math.abs", "erf": "erf", "power": "power"} | {
    op: f"Math.{op}" for op in ("sqrt", "exp", "expm1", "log", "log1p", "tanh", "sin", "cos")
}

# All terms of this series have the same sign, so nothing cancels: 2 / sqrt(pi) e^(-x^2) (x + 2/3 x^3 + 4/15 x^5 + ...).
_ERF = """\
function erf(x) {
    if (!(Math.abs(x) < 6)) return x > 0 ? 1 : x < 0 ? -1 : x;
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
        term *= x * x / (n + 0.5);
        sum += term;
    }
    return Math.max(-1, Math.min(1, 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum));
}"""

# In C and NumPy 1 to any power is 1, and so is -1 to an infinite one; in JavaScript some of these are NaN.
_POWER = """\
function power(x, y) {
    return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : Math.pow(x, y);
}"""

_HELPERS = {"erf": _ERF, "power": _POWER}

_PLACES = {"row": "[i % columns]", "column": "[(i / columns) | 0]", "scalar": "[0]"}


def javascript_source(graph: Graph) -> str:
    """Print a rule as two functions.

    ``<rule>_scalars({t, <hyperparameters>})`` returns the host scalars of a step. ``<rule>_step(w, g, <state>, hp)``
    takes them as ``hp`` and writes into the arrays (``Float64Array``).

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import rmsprop
    >>> print(javascript_source(trace(rmsprop)))
    function rmsprop_scalars({t, lr, beta, eps}) {
        return [beta, 1 - beta, lr, eps];
    }
    <BLANKLINE>
    function rmsprop_step(w_, g_, s_, hp) {
        for (let i = 0; i < w_.length; i++) {
            const w_i = w_[i];
            const g_i = g_[i];
            const s_i = s_[i];
            const v0 = hp[0] * s_i;
            const v1 = hp[1] * g_i;
            const v2 = v1 * g_i;
            const v3 = v0 + v2;
            const v4 = hp[2] * g_i;
            const v5 = v3 + hp[3];
            const v6 = Math.sqrt(v5);
            const v7 = v4 / v6;
            const v8 = w_i - v7;
            w_[i] = v8;
            s_[i] = v3;
        }
    }
    """
    return f"{javascript_scalars(graph)}\n\n{javascript_step(graph)}"


def javascript_step(graph: Graph, shapes: Mapping[str, str] | None = None) -> str:
    """Print only ``<rule>_step``, or for a function ``<function>_map(<inputs>, out, hp)``.

    Parameters
    ----------
    shapes: ``"row"``, ``"column"`` or ``"scalar"`` for each input that is not a full array; the others are row-major
        matrices. If there are any, ``columns`` follows after ``hp``.

    >>> from optimlab.kernels import trace_function
    >>> def with_bias(x, b):
    ...     return x + b
    >>> print(javascript_step(trace_function(with_bias), {"b": "row"}))
    function with_bias_map(x_, b_, out_, hp, columns) {
        for (let i = 0; i < out_.length; i++) {
            const x_i = x_[i];
            const b_i = b_[i % columns];
            const v0 = x_i + b_i;
            out_[i] = v0;
        }
    }
    """
    shapes = shapes or {}
    names = identifiers(graph.arrays)
    inputs = {name: f"{called}_i" for name, called in names.items()}
    made, outputs = element(graph, _CALLS, inputs, _slots(graph))
    places = {name: _PLACES[shapes[name]] if name in shapes else "[i]" for name in graph.inputs}
    lines = [f"const {names[name]}_i = {names[name]}_{place};" for name, place in places.items()]
    lines += [f"const {name} = {text};" for name, text, _ in made]
    lines += [f"{names[name]}_[i] = {text};" for name, text in zip(graph.written, outputs, strict=True)]
    body = "".join(f"        {line}\n" for line in lines)
    parameters = ", ".join([*(f"{name}_" for name in names.values()), "hp", *(["columns"] if shapes else [])])
    loop = f"    for (let i = 0; i < {names[graph.written[0]]}_.length; i++) {{\n{body}    }}\n"
    return f"function {function_name(graph)}({parameters}) {{\n{_helpers(graph)}{loop}}}"


def javascript_function(graph: Graph, name: str) -> str:
    """Print the graph as a function of numbers, ``name(<inputs>, hp)``, that returns an array of its outputs.

    >>> from optimlab.kernels import trace_function
    >>> print(javascript_function(trace_function(lambda x, y: x * x - 2 * y), "height"))
    function height(x_, y_, hp) {
        const v0 = x_ * x_;
        const v1 = 2 * y_;
        const v2 = v0 - v1;
        return [v2];
    }
    """
    inputs = {name: f"{called}_" for name, called in identifiers(graph.inputs).items()}
    made, outputs = element(graph, _CALLS, inputs, _slots(graph))
    lines = "".join(f"    const {value} = {text};\n" for value, text, _ in made)
    parameters = ", ".join([*inputs.values(), "hp"])
    return f"function {name}({parameters}) {{\n{_helpers(graph)}{lines}    return [{', '.join(outputs)}];\n}}"


def _helpers(graph: Graph) -> str:
    """Print the functions that the graph uses and JavaScript lacks, nested so that the result stays one function."""
    used = {node.op for node in graph.nodes}
    return "".join(indent(f"{text}\n", "    ") for op, text in _HELPERS.items() if op in used)


def with_terms(graph: Graph) -> tuple[Graph, list[Equation]]:
    """Return the rule with every variable of its formula as an output, and the equations of these variables.

    Scalars with a name (Nadam's mu) become slots, and outputs that read them.
    """
    made = equations(graph)
    scalars = {e.name: ast.unparse(e.value) for e in made if e.node is None}
    slots = (*graph.slots, *(text for text in scalars.values() if text not in graph.slots))
    nodes = tuple(e.node or Node("slot", value=slots.index(scalars[e.name])) for e in made)
    return replace(graph, slots=slots, outputs=nodes), made


def _slots(graph: Graph) -> dict[int, str]:
    """Return the text of each slot: constants inline, other slots as entries of ``hp``."""

    def text(k: int, slot: str) -> str:
        constant = not any(isinstance(part, ast.Name | ast.BinOp) for part in ast.walk(ast.parse(slot)))
        return slot if constant else f"hp[{k}]"

    return {k: text(k, slot) for k, slot in enumerate(graph.slots)}
