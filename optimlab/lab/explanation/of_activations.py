"""An activation's formula and derivative, made from its own code, and the shape of its curve."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError, number
from ...common.spelling import encoding_of_stdout, spelled
from ...common.tables import Column, Table, width
from ...kernels import Equation, Graph, Node, equations, graph_of, unicode
from ...nn import activations
from ...nn.activations import Activation
from ...nn.formulas import product
from .of_rules import aligned, reference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

AT = (-5.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 5.0)
"""Where the table shows an elementwise activation."""

ROW = (0.0, 1.0, 3.0)
"""The row that the table of softmax shows."""

FLAT = 0.01
"""An activation is saturated where its derivative is below this part of its largest."""

FARTHEST, WAVE = 1000.0, 100.0
"""The largest |x| that is looked at: what holds there is taken to hold beyond. Turning points and ranges with two ends
are looked for nearer to 0, where the numbers looked at are dense."""

FEW = 4
"""How many turning points and ranges are told of those of a wave, those next to 0."""


@dataclass(frozen=True)
class ActivationExplanation:
    """Result of :func:`explain_activation`; prints itself in a terminal and renders in a notebook.

    Attributes
    ----------
    x, y: a few numbers and their values.
    slopes: dy/dx at each of them; of softmax, for each output its derivative by each input.
    steepest: the largest ``|dy/dx|``; None for softmax, like all that follows.
    saturated: the ranges of x in which ``|dy/dx|`` is below 1% of that, ends included if infinite.
    turns: where y turns from falling to rising or back, as (x, y).
    """

    activation: Activation
    x: tuple[float, ...]
    y: tuple[float, ...]
    slopes: tuple[float, ...] | tuple[tuple[float, ...], ...]
    steepest: float | None = None
    saturated: tuple[tuple[float, float], ...] = ()
    turns: tuple[tuple[float, float], ...] = ()

    @property
    def equations(self) -> tuple[list[Equation], list[Equation]]:
        """Lines of the formula and of the derivative."""
        f = self.activation
        if f.elementwise:
            forward, backward = (_without_arguments(graph) for graph in f.graphs)
            return equations(replace(forward, written=("y",))), equations(_derivative(backward))
        return [_row_line(*line) for line in _SOFTMAX], [_row_line(*line) for line in _SOFTMAX_BACKWARD]

    @property
    def formula(self) -> str:
        """The formula in Unicode, one line per variable."""
        return _lines(self.equations[0])

    @property
    def derivative(self) -> str:
        """The derivative in Unicode: y′, which uses x and y; of softmax dx, dL/dx from dL/dy."""
        return _lines(self.equations[1])

    @property
    def latex(self) -> str:
        """The formula and the derivative as a LaTeX ``aligned`` block."""
        value, derivative = self.equations
        return aligned([*value, *derivative])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; an infinite end of a range is None."""
        f = self.activation
        ranges = [[end if math.isfinite(end) else None for end in ends] for ends in self.saturated]
        return {
            "activation": f.name,
            "parameters": dict(f.parameters),
            "reference": reference(f.forward),
            "formula": self.formula.splitlines(),
            "derivative": self.derivative.splitlines(),
            "latex": self.latex,
            "backward_needs": list(f.needs),
            "x": list(self.x),
            "y": list(self.y),
            "slopes": list(self.slopes),
            "steepest": self.steepest,
            "saturated": ranges,
            "turns": [{"x": x, "y": y} for x, y in self.turns],
            "kinks": list(f.kinks),
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        encoding = encoding_of_stdout()
        header, *rows = _table(self)
        table = Table([*map(Column, header)], rows).text(width() - 2, encoding)
        blocks = [
            f"{self.activation!r}: {_summary(self.activation.forward)}",
            _indented(self.formula),
            _indented(self.derivative),
            _indented(table),
            _indented("\n".join(fill(remark, width() - 2) for remark in self.remarks)),
        ]
        return spelled("\n\n".join(block for block in blocks if block.strip()), encoding)

    @property
    def remarks(self) -> list[str]:
        """Sentences about the curve, each from numbers that were computed."""
        f = self.activation
        told = [*_about_slopes(self), *_about_kinks(f), *_about_turns(self.turns)]
        kept = " and ".join(name for name in f.needs if name != "dy") or "neither x nor y"
        told.append(f"For the backward pass a layer keeps {kept}.")
        return [*told, *([cited] if "Reference" in (cited := reference(f.forward)) else [])]

    def _repr_markdown_(self) -> str:
        header, *rows = _table(self)
        table = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
        told = "\n".join(f"- {remark}" for remark in self.remarks)
        return f"**{self.activation!r}**\n\n$$\n{self.latex}\n$$\n\n" + "\n".join(table) + f"\n\n{told}"

    def figure(self) -> Figure:
        """Plot the activation and its derivative over x, with kinks and saturated ranges marked. Needs Matplotlib.

        Raises
        ------
        InputError: the activation is not elementwise.
        """
        from ...plotting.activations import activation_figure

        if not self.activation.elementwise:
            raise InputError(f"{self.activation.name} has no figure: each output depends on the whole row")
        return activation_figure(self.activation, self.saturated)

    plot = figure


def explain_activation(
    activation: str | Activation,
    settings: Mapping[str, float] | None = None,
    *,
    at: Sequence[float] | None = None,
    **parameters: float,
) -> ActivationExplanation:
    """Explain an activation: formula, derivative, a few values, where it saturates, turns and has kinks.

    Parameters
    ----------
    activation: a name of :data:`optimlab.nn.activations.ACTIVATIONS`, or an ``Activation``.
    settings, parameters: parameters such as ``slope``, by name.
    at: the numbers in the table; of softmax, one row.

    Raises
    ------
    InputError: unknown activation or parameter, or a number out of range.

    >>> swish = explain_activation("swish", at=[-1, 0, 1])
    >>> [[round(x, 2) for x in ends] for ends in (*swish.saturated, *swish.turns)]
    [[-inf, -6.14], [-1.28, -0.28]]
    """
    f = activations.get(activation).given(**{**(settings or {}), **parameters})
    x = np.array([number("x", v) for v in (AT if f.elementwise else ROW) if at is None] or _numbers(at))
    if not f.elementwise:
        with np.errstate(all="ignore"):
            slopes = f.backward(f(x), np.eye(len(x)))
        return ActivationExplanation(f, _plain(x), _plain(f(x)), tuple(map(_plain, slopes)))
    steepest, saturated, turns = _shape(f)
    return ActivationExplanation(f, _plain(x), _plain(f(x)), _plain(f.derivative(x)), steepest, saturated, turns)


def _numbers(at: Sequence[float] | None) -> list[float]:
    if not at:
        raise InputError("give at least one x")
    return [number("x", v) for v in at]


def _plain(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) + 0.0 for v in values)  # no negative zero


# --- the formulas


def _without_arguments(graph: Graph) -> Graph:
    """Drop the names of arguments from other arrays: a function that the formula calls may have an ``x`` of its own."""
    return replace(graph, names={node: name for node, name in graph.names.items() if name not in graph.inputs})


def _derivative(graph: Graph) -> Graph:
    """Derive the graph of y′ from that of ``backward``: put 1 for dy, and drop the products by it."""
    slots = (*graph.slots, "1")
    one = Node("slot", value=len(graph.slots))
    new: dict[Node, Node] = {}

    def renewed(node: Node) -> Node:
        if node.op == "input":
            return one if node.value == "dy" else node
        return new.get(node, node)

    for node in graph.nodes:
        args = tuple(map(renewed, node.args))
        if node.op == "multiply" and one in args:
            new[node] = args[0] if args[1] is one else args[1]
        else:
            new[node] = node if args == node.args else Node(node.op, args)
    nodes = tuple(dict.fromkeys(n for n in new.values() if not n.is_leaf))
    names = {renewed(n): name for n, name in graph.names.items() if not renewed(n).is_leaf}
    outputs = tuple(map(renewed, graph.outputs))
    return replace(graph, written=("y@changed",), slots=slots, nodes=nodes, outputs=outputs, names=names)


_SOFTMAX: tuple[tuple[str, str, Callable[..., Any], tuple[str, ...]], ...] = (
    ("top", "max", activations.identity, ("x",)),
    ("e", "", activations.exponential, ("x", "top")),
    ("total", "sum", activations.identity, ("e",)),
    ("y", "", activations.share, ("e", "total")),
)
_SOFTMAX_BACKWARD: tuple[tuple[str, str, Callable[..., Any], tuple[str, ...]], ...] = (
    ("total", "sum", product, ("y", "dy")),
    ("dx", "", activations.softmax_slope, ("y", "dy", "total")),
)
"""The lines of softmax: a name, what reduces the row, if anything, a formula, and what it is called with."""


def _row_line(name: str, reduction: str, formula: Callable[..., Any], arguments: tuple[str, ...]) -> Equation:
    graph = graph_of(formula)
    called = dict(zip(graph.inputs, arguments, strict=True))

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.Name(called.get(node.id, node.id))

    value: ast.expr = Rename().visit(equations(graph)[-1].value)
    return Equation(name, ast.Call(ast.Name(reduction), [value], []) if reduction else value, None)


def _lines(lines: Sequence[Equation]) -> str:
    return "\n".join(" = ".join(e.printed(unicode)) for e in lines)


# --- the curve


def _shape(f: Activation) -> tuple[float, tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """Find the largest |y′|, the ranges where |y′| is below 1% of that, and the turning points."""
    # dense around 0, up to FARTHEST on either side; no round number lies on it
    grid = np.sinh(np.linspace(-math.asinh(FARTHEST), math.asinh(FARTHEST), 20001) + 1e-5 / math.pi)
    grid = np.sort(np.concatenate([grid, [0.0], *(np.array(f.kinks) + side for side in (-1e-9, 1e-9))]))
    slopes = f.derivative(grid)
    steepest = float(abs(slopes).max())

    def flat(x: Floats) -> NDArray[np.bool_]:
        return np.asarray(abs(f.derivative(x)) < FLAT * steepest)

    def falls(x: Floats) -> NDArray[np.bool_]:
        return np.asarray(f.derivative(x) < 0)

    near = grid[(slopes != 0) & (abs(grid) < WAVE)]
    turns = tuple((x, float(f(np.array([x]))[0])) for x in _changes(falls, near))
    ends = _changes(flat, grid)
    if flat(grid[:1])[0]:
        ends.insert(0, -math.inf)
    if flat(grid[-1:])[0]:
        ends.append(math.inf)
    ranges = zip(ends[::2], ends[1::2], strict=True)
    return steepest, tuple(r for r in ranges if _counts(r, turns)), turns


def _counts(ends: tuple[float, float], turns: Sequence[tuple[float, float]]) -> bool:
    """Return True if a range of small slopes is saturated; around a turning point the slope is small, too."""
    low, high = ends
    return math.inf in (-low, high) or (max(-low, high) < WAVE and not any(low < x < high for x, _ in turns))


def _changes(test: Callable[[Floats], NDArray[np.bool_]], grid: Floats) -> list[float]:
    """Find by bisection where the answer changes from one number of the grid to the next."""
    answers, found = test(grid), []
    for k in np.flatnonzero(np.diff(answers)):
        low, high = float(grid[k]), float(grid[k + 1])
        while low < (middle := (low + high) / 2) < high:
            low, high = (middle, high) if test(np.array([middle]))[0] == answers[k] else (low, middle)
        found.append(0.0 if abs(high) < 1e-12 else high)
    return found


# --- words


def _about_slopes(e: ActivationExplanation) -> list[str]:
    if e.steepest is None:
        return ["max and sum are over the row, and dy, dx stand for dL/dy, dL/dx."]
    if not e.saturated:
        return [f"Does not saturate: |y′| is nowhere below {FLAT:.0%} of its maximum, {_short(e.steepest)}."]
    ranges = " and ".join(_range(*ends) for ends in _nearest(e.saturated))
    return [f"Saturates, with |y′| below {FLAT:.0%} of its maximum {_short(e.steepest)}, for {ranges}."]


def _range(low: float, high: float) -> str:
    if low == -math.inf:
        return f"x < {_short(high)}"
    return f"x > {_short(low)}" if high == math.inf else f"{_short(low)} < x < {_short(high)}"


def _about_kinks(f: Activation) -> list[str]:
    told = []
    for kink in f.kinks:
        left, right = f.derivative(np.array([kink - 1e-6, kink + 1e-6]))
        told.append(f"Has a kink at x = {_short(kink)}: y′ jumps from {_short(left)} to {_short(right)}.")
    return told


def _about_turns(turns: Sequence[tuple[float, float]]) -> list[str]:
    return [f"Turns at x = {_short(x)}, where y = {_short(y)}." for x, y in _nearest(turns)]


def _nearest(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the few ranges that begin or end next to 0, in their order."""
    return sorted(sorted(pairs, key=lambda pair: min(map(abs, pair)))[:FEW])


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _summary(function: Callable[..., Any]) -> str:
    """Return the docstring without its reference."""
    text = " ".join((inspect.getdoc(function) or "an activation of your own.").split())
    return re.split(r"\s*Reference:", text)[0]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _table(e: ActivationExplanation) -> list[list[str]]:
    """Return a header and a row for each x; softmax has a derivative by each x of the row."""
    if e.activation.elementwise:
        header, columns = ["x", "y", "y′"], [e.x, e.y, e.slopes]
    else:
        header = ["x", "y", *(f"dy/dx{k}" for k in range(1, len(e.x) + 1))]
        columns = [e.x, e.y, *zip(*e.slopes, strict=True)]
    return [header, *([f"{value:.6g}" for value in row] for row in zip(*columns, strict=True))]
