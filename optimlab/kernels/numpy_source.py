"""Print a graph as NumPy calls that write into given buffers, without allocating arrays."""

from __future__ import annotations

import keyword
from typing import NamedTuple

from .graph import OPERATIONS, Graph, Node
from .names import identifiers

_TAKEN = {*OPERATIONS, "copyto", "select", *keyword.kwlist}
"""Names that no array of a step may have. Temporaries are not listed, because they begin with an underscore."""


class NumpySource(NamedTuple):
    """The source of ``step(<inputs>, <outputs>, <slots>, <registers>, <masks>)``, and its arguments.

    Outputs are the written arrays that are not inputs.
    """

    text: str
    registers: int
    masks: int


def numpy_source(graph: Graph) -> NumpySource:
    """Print the graph with one line per operation.

    A result goes directly into its final buffer once the buffer's old value is no longer needed, and into a scratch
    register before. Working in place is faster, so intermediate values of a buffer's new value are stored there, too,
    after the last use of the old one. Each element goes through the same operations in the same order, regardless of
    the buffers' length. So running the text on blocks equals running it on whole arrays, bit for bit.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import momentum
    >>> print(numpy_source(trace(momentum)).text)
    def step(w, g, m, _h0, _h1, _r0):
        multiply(_h0, m, m)
        multiply(_h1, g, _r0)
        subtract(m, _r0, m)
        add(w, m, w)
    """
    called = identifiers(dict.fromkeys((*graph.inputs, *graph.written)), _TAKEN)
    written = [called[name] for name in graph.written]
    last_use: dict[Node, int] = {}
    for i, node in enumerate(graph.nodes):
        for arg in node.args:
            last_use[arg] = i
    never = len(graph.nodes)
    for node in graph.outputs:
        last_use[node] = never

    place: dict[Node, str] = {}  # the location of each live value
    inputs: dict[str, Node] = {}
    for node in {arg for n in graph.nodes for arg in n.args} | set(graph.outputs):
        if node.op == "input":
            place[node] = called[node.value]
            inputs[place[node]] = node
        elif node.op == "slot":
            place[node] = f"_h{node.value}"

    free: dict[str, list[str]] = {"_r": [], "_k": []}
    count = {"_r": 0, "_k": 0}
    target: dict[Node, str] = {}  # the buffer each output node may be written to directly
    for name, node in zip(written, graph.outputs, strict=True):
        target.setdefault(node, name)
    # until then, a buffer whose old value is dead may hold intermediate values of the new one
    written_at = {target[n]: i for i, n in enumerate(graph.nodes) if n in target}
    lines: list[str] = []

    def register(kind: str) -> str:
        if free[kind]:
            return free[kind].pop()
        count[kind] += 1
        return f"{kind}{count[kind] - 1}"

    for i, node in enumerate(graph.nodes):
        ending = [a for a in dict.fromkeys(node.args) if last_use[a] == i]
        dying = [a for a in ending if place[a][:2] in free and not a.is_leaf]
        lent = [place[a] for a in ending if last_use[node] <= written_at.get(place[a], -1)]
        kind = "_k" if node.is_mask else "_r"
        home = target.get(node)
        old = inputs.get(home) if home else None
        released = old is None or last_use.get(old, -1) <= i
        if home and released:
            where = home
        elif lent and kind == "_r":
            where = lent[0]
        else:
            _release(dying, place, free)
            dying = []
            where = register(kind)
        lines.extend(_call(node, [place[a] for a in node.args], where))
        _release(dying, place, free)
        place[node] = where

    # an output that could not be written to its buffer, or equals another output
    moves = [(n, place[o]) for n, o in zip(written, graph.outputs, strict=True) if place[o] != n]
    for _, source in moves:
        if source in inputs and any(source == other for other, _ in moves):
            saved = register("_r")
            lines.append(f"copyto({saved}, {source})")
            moves = [(n, saved if s == source else s) for n, s in moves]
    lines.extend(f"copyto({name}, {source})" for name, source in moves)

    parameters = [
        *called.values(),
        *(f"_h{k}" for k in range(len(graph.slots))),
        *(f"_r{k}" for k in range(count["_r"])),
        *(f"_k{k}" for k in range(count["_k"])),
    ]
    body = "\n".join(f"    {line}" for line in lines or ["pass"])
    text = f"def step({', '.join(parameters)}):\n{body}"
    return NumpySource(text, count["_r"], count["_k"])


def _release(nodes: list[Node], place: dict[Node, str], free: dict[str, list[str]]) -> None:
    for node in nodes:
        where = place[node]
        if where[:2] in free:
            free[where[:2]].append(where)


def _call(node: Node, operands: list[str], where: str) -> list[str]:
    if node.op == "where":
        return [f"select({', '.join([*operands, where])})"]
    if node.op in ("maximum", "minimum"):  # NumPy deprecates their third positional argument
        return [f"{node.op}({operands[0]}, {operands[1]}, out={where})"]
    return [f"{node.op}({', '.join([*operands, where])})"]
