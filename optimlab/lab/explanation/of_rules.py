"""A rule's formula, made from its own code, and every term with its numbers for one weight."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np

from ... import rules
from ...common.errors import InputError, RuleError, count, exact, lookup, number, unknown
from ...common.progress import progress_bar
from ...common.spelling import encoding_of_stdout, spelled
from ...common.tables import Column, Table, width
from ...kernels import (
    Equation,
    Graph,
    Node,
    array_function,
    equations,
    latex,
    mentions,
    text_of,
    trace,
    unicode,
)
from ...kernels.graph import INFIX

KEPT, MOST_STEPS = 100_000, 10_000_000
"""The most steps that an explanation keeps, and the most that it computes."""

LONG = 200_000
"""The number of steps from which a progress bar is shown."""

PARTED = 1e-9
"""Two conventions have parted at a step whose moves differ by more than this, relatively."""


@dataclass(frozen=True)
class Step:
    """One step of one weight.

    Attributes
    ----------
    t: number of the step, from 1.
    gradient: of the loss at the old weight.
    terms: value of each variable of the formula, by the name it is printed with.
    weight: the new weight.
    move: new weight minus old.
    eps_share: how much of the denominators is epsilon's doing, 0 to 1: one minus the denominator without epsilon
        over the denominator (the largest where there are several); None for a rule without epsilon in a denominator.
    """

    t: int
    gradient: float
    terms: dict[str, float]
    weight: float
    move: float
    eps_share: float | None


@dataclass(frozen=True)
class Explanation:
    """Result of :func:`explain_rule`; prints itself in a terminal and renders in a notebook."""

    rule: str
    convention: str
    graph: Graph
    hyperparameters: dict[str, float]
    reference: str
    steps: list[Step]

    @property
    def formula(self) -> str:
        """The formula in Unicode, one line per variable."""
        return "\n".join(" = ".join(e.printed(unicode)) for e in equations(self.graph))

    @property
    def latex(self) -> str:
        """The formula as a LaTeX ``aligned`` block."""
        return aligned(equations(self.graph))

    @property
    def cost(self) -> dict[str, Any]:
        """State arrays, bytes of state and bytes moved per parameter (float32), operations per parameter."""
        operations: dict[str, int] = {}
        for node in self.graph.nodes:
            operations[node.op] = operations.get(node.op, 0) + 1
        return {
            "state arrays": len(self.graph.state),
            "state bytes": 4 * len(self.graph.state),
            "bytes moved": 4 * self.graph.arrays_moved,
            "operations": len(self.graph.nodes),
            "by kind": operations,
        }

    def term(self, name: str) -> list[float]:
        """One variable's value at each step, by its name in the rule's code.

        Raises
        ------
        InputError: the rule has no variable of that name; the message lists those it has.

        >>> explain_rule("adam", steps=2, gradients=0.5).term("m_hat")
        [0.5, 0.5]
        """
        printed = {e.name.partition("@")[0]: _symbol(e) for e in equations(self.graph)}
        return [step.terms[lookup(f"term of {self.rule}", name, printed)] for step in self.steps]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {
            "rule": self.rule,
            "convention": self.convention,
            "hyperparameters": self.hyperparameters,
            "reference": self.reference,
            "formula": self.formula.splitlines(),
            "latex": self.latex,
            "cost": self.cost,
            "steps": [
                {"t": s.t, "gradient": s.gradient, "terms": s.terms, "move": s.move, "eps_share": s.eps_share}
                for s in self.steps
            ],
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        (corner, *steps), *body = _table(self)
        encoding = encoding_of_stdout()
        table = Table([Column(corner, "name"), *map(Column, steps)], body).text(width() - 2, encoding)
        cost = self.cost
        kinds = ", ".join(f"{n} {op}" for op, n in cost["by kind"].items())
        told = "\n".join(
            [
                f"{self.rule} ({self.convention}), "
                + ", ".join(f"{k}={exact(v)}" for k, v in self.hyperparameters.items()),
                "",
                *(f"  {line}" for line in self.formula.splitlines()),
                "",
                *(f"  {line}".rstrip() for line in table.splitlines()),
                "",
                f"  State: {_plural(cost['state arrays'], 'array')}, {cost['state bytes']} bytes a weight in float32.",
                f"  A step moves {cost['bytes moved']} bytes a weight and makes {cost['operations']} operations:"
                f" {kinds}.",
                *([f"  {self.reference}"] if self.reference else []),
            ]
        )
        return spelled(told, encoding)

    def _repr_markdown_(self) -> str:
        header, *body = _table(self)
        rows = [f"| {' | '.join(row)} |" for row in ([*header], ["---"] * len(header), *body)]
        return f"**{self.rule}** ({self.convention})\n\n$$\n{self.latex}\n$$\n\n" + "\n".join(rows)


def explain_rule(
    rule: str | rules.Rule,
    settings: Mapping[str, float] | None = None,
    *,
    convention: str = "textbook",
    steps: int = 3,
    ends: int | None = None,
    gradients: Sequence[float] | float = 0.1,
    weight: float = 1.0,
    **hyperparameters: float,
) -> Explanation:
    """Work a rule out term by term for one weight, in float64.

    Parameters
    ----------
    rule: a name (see :func:`optimlab.rules.names`) or an elementwise rule of your own.
    settings, hyperparameters: values of hyperparameters; those not given have the rule's defaults. One that shares its
        name with an argument of this function, such as ``steps``, goes into ``settings``.
    steps: the number of steps, up to 10,000,000.
    ends: how many of the first and of the last steps to keep. With None all are kept, up to 100,000.
    gradients: one number for every step, or a sequence whose last number is repeated.
    weight: where the weight starts.

    Raises
    ------
    InputError: unknown rule, convention or hyperparameter, or numbers that are not finite.
    RuleError: ``rule`` is not elementwise.

    >>> e = explain_rule("momentum", steps=2, lr=0.5, beta=0.5, gradients=[1.0, 0.0])
    >>> print(e.formula)
    mₜ = β mₜ₋₁ − η gₜ
    wₜ = wₜ₋₁ + mₜ
    >>> [(s.terms["mₜ"], s.terms["wₜ"], s.move) for s in e.steps]
    [(-0.5, 0.5, -0.5), (-0.25, 0.25, -0.25)]
    """
    function = find_rule(rule, convention)
    graph = trace(function)
    values = _hyperparameters(function, graph, {**(settings or {}), **hyperparameters})
    steps, kept = count("steps", steps), _kept(steps, ends)
    made = _worked_out(_Setting(graph, values, _gradients(gradients, steps), number("weight", weight)), kept)
    given = convention if isinstance(rule, str) else "your own"
    return Explanation(graph.name, given, graph, values, reference(function), made)


@dataclass(frozen=True)
class Parting:
    """Place at which two conventions part.

    Attributes
    ----------
    step: the first step whose weights differ, or None.
    cause: what makes them part, in words.
    terms: per convention, the smallest term of the formula that shows it.
    weights: per convention, the weight after that step.
    difference: of that step's moves, relative to the larger.
    gradient: the gradient of that step.
    """

    rule: str
    conventions: tuple[str, str]
    hyperparameters: dict[str, float]
    step: int | None
    cause: str
    terms: tuple[str, str]
    weights: tuple[float, float]
    difference: float
    gradient: float = 0.0

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        a, b = self.conventions
        values = ", ".join(f"{k}={exact(v)}" for k, v in self.hyperparameters.items())
        if self.step is None:
            return (
                f"{self.rule}: the moves of {a} and {b} do not part by more than {PARTED:g} of their size ({values})."
            )
        width = max(len(a), len(b))
        lines = [
            f"{self.rule}: {a} and {b} part at step {self.step}: {self.cause}.",
            *(
                f"  {name:<{width}}  {term}   w = {w:.12g}"
                for name, term, w in zip(self.conventions, self.terms, self.weights, strict=True)
            ),
            f"  With the gradient {self.gradient:g}, the moves differ by {self.difference:.2g} of their size. "
            f"Both ran with {values}.",
        ]
        return "\n".join(lines)


def first_parting(
    rule: str,
    convention: str,
    against: str,
    settings: Mapping[str, float] | None = None,
    *,
    steps: int = 100,
    gradients: Sequence[float] | float | None = None,
    **hyperparameters: float,
) -> Parting:
    """Run a rule of two conventions in lockstep, with the same hyperparameters, and say where and why they part.

    The hyperparameters are the first convention's defaults, as far as the second knows them. If the two agree under
    a constant learning rate, it is lowered half-way: where the rate stands in a formula shows only then. The causes
    are found by taking candidates away (epsilon, weight decay, the start of the state): one counts if the two part
    with it alone, and agree up to that step without any.

    Parameters
    ----------
    settings, hyperparameters: hyperparameters, by name.
    gradients: one number for every step, or a sequence whose last number is repeated; by default six sizes from
        1e-6 to 0.1 in turn, and again with the other sign.

    >>> print(first_parting("adam", "torch", "keras"))
    adam: torch and keras part at step 1: epsilon stands in another place.
      torch  √sₜ / √(1 − β₂ᵗ) + ε   w = 0.99900990099
      keras  √sₜ + ε   w = 0.999240253073
      With the gradient 1e-06, the moves differ by 0.23 of their size. Both ran with lr=0.001, beta1=0.9, beta2=0.999, \
eps=1e-08, weight_decay=0.
    """
    functions = [find_rule(rule, convention), find_rule(rule, against)]
    graphs = (trace(functions[0]), trace(functions[1]))
    given = {**(settings or {}), **hyperparameters}
    for name in given:
        if not any(name in g.hyperparameters for g in graphs):
            raise unknown(f"hyperparameter of {rule}", name, graphs[0].hyperparameters)
    values = {**graphs[0].hyperparameters, **given}
    both = [
        _hyperparameters(function, graph, {k: v for k, v in values.items() if k in graph.hyperparameters})
        for function, graph in zip(functions, graphs, strict=True)
    ]
    rising = [10.0 ** (k % 6 - 6) * (-1) ** (k // 6) for k in range(count("steps", steps))]
    _kept(steps, None)
    sequence = _gradients(rising if gradients is None else gradients, steps)

    def pair(keep: Collection[str], lowered: bool) -> Iterator[_Setting]:
        for graph, own in zip(graphs, both, strict=True):
            zeroed = {k: 0.0 if k in _CAUSES and k not in keep else v for k, v in own.items()}
            start = graph.state if "start" in keep else {k: graphs[0].state.get(k, v) for k, v in graph.state.items()}
            rates = [zeroed["lr"] * (0.1 if lowered and 2 * t > steps else 1.0) for t in range(1, steps + 1)]
            yield _Setting(graph, zeroed, sequence, 1.0, rates, start)

    def paths(keep: Collection[str] = tuple(_CAUSES), lowered: bool = False) -> list[list[float]]:
        return [_weights(setting) for setting in pair(keep, lowered)]

    lowered = False
    runs = paths()
    at = _parted(runs, steps)
    if at is None:
        lowered = True
        runs = paths(lowered=True)
        at = _parted(runs, steps)
    shared = {k: v for k, v in both[0].items() if k in both[1]}
    names = (convention, against)
    if at is None:
        return Parting(rule, names, shared, None, "", ("", ""), (runs[0][-1], runs[1][-1]), 0.0)
    causes: list[str] = []
    if lowered:
        causes = ["lr"]
    elif _parted(paths(keep=()), at) is None:
        alone = {c: _difference(paths(keep=(c,)), at) for c in _CAUSES}
        causes = sorted((c for c in _CAUSES if _parted(paths(keep=(c,)), at)), key=lambda c: -alone[c])
    told = " and ".join(_TOLD[c] for c in causes) if causes else "the formulas differ"
    if causes:
        terms = [_term(g, causes[0]) for g in graphs]
    else:
        shown = [_worked_out(setting, range(at, at + 1))[0].terms for setting in pair(_CAUSES, lowered)]
        terms = [_first_other(g, ours, theirs) for g, ours, theirs in zip(graphs, shown, shown[::-1], strict=True)]
    weights = (runs[0][at], runs[1][at])
    difference = _difference(runs, at)
    return Parting(rule, names, shared, at, told, (terms[0], terms[1]), weights, difference, sequence[at - 1])


_TOLD = {
    "eps": "epsilon stands in another place",
    "weight_decay": "weight decay acts in another place",
    "start": "the state starts at another value",
    "lr": "the learning rate stands in another place, which shows when it changes",
}
_CAUSES = ("eps", "weight_decay", "start")


def _difference(runs: list[list[float]], t: int) -> float:
    """Return the difference of the moves at step t, relative to the larger."""
    a, b = (run[t] - run[t - 1] for run in runs)
    return abs(a - b) / max(abs(a), abs(b), 1e-300)


def _parted(runs: list[list[float]], until: int) -> int | None:
    """Find the first step, up to ``until``, at which the moves differ by more than rounding."""
    for t in range(1, until + 1):
        rounding = 1e-15 * max(abs(run[t]) for run in runs)
        a, b = (run[t] - run[t - 1] for run in runs)
        if not abs(a - b) <= PARTED * max(abs(a), abs(b)) + rounding:
            return t
    return None


def _term(graph: Graph, cause: str) -> str:
    """Return the smallest part of the formula in which the cause meets an array."""
    if cause == "start":
        return ", ".join(f"{name} starts at {exact(value)}" for name, value in graph.state.items())
    for node in graph.nodes:
        slots = [a for a in node.args if a.op == "slot" and mentions(graph, a, cause)]
        if slots and not (cause == "lr" and mentions(graph, slots[0], "weight_decay")):
            return text_of(graph, node)
    return f"no {cause}"


def _first_other(graph: Graph, ours: dict[str, float], theirs: dict[str, float]) -> str:
    """Return the first variable that both formulas name and define differently, as ``graph`` defines it."""
    for e in equations(graph):
        name, value = e.printed(unicode)
        if name in theirs and not math.isclose(ours[name], theirs[name], rel_tol=PARTED):
            return f"{name} = {value} = {ours[name]:.6g}"
    return "no variable of the same name differs"


def find_rule(rule: str | rules.Rule, convention: str) -> rules.Rule:
    """Return the rule of that name in a convention, or the function itself."""
    lookup("convention", convention, rules.CONVENTIONS)
    if not isinstance(rule, str):
        return rule
    found = rules.find(rule, convention)
    if found is not None:
        return found
    if rule in rules.layerwise.__all__:
        raise RuleError(f"{rule} looks at whole tensors, so there is no formula for one weight")
    elsewhere = [c for c in rules.CONVENTIONS if rules.find(rule, c)]
    if elsewhere:
        raise InputError(f"the convention {convention!r} has no rule {rule!r}; these have: {', '.join(elsewhere)}")
    raise unknown("rule", rule, rules.names(convention))


def _hyperparameters(function: rules.Rule, graph: Graph, given: dict[str, float]) -> dict[str, float]:
    for name in given:
        if name not in graph.hyperparameters:
            raise unknown(f"hyperparameter of {graph.name}", name, graph.hyperparameters)
    kinds = rules.kinds_of(function)
    return {**graph.hyperparameters, **{k: kinds[k].check(k, v) for k, v in given.items()}}


def _gradients(given: Sequence[float] | float, steps: int) -> list[float]:
    numbers = [given] if isinstance(given, int | float) else list(given)
    if not numbers:
        raise InputError("give at least one gradient")
    checked = [number("a gradient", g) for g in numbers]
    return [checked[min(k, len(checked) - 1)] for k in range(steps)]


def _kept(steps: int, ends: int | None) -> Collection[int]:
    """Return the numbers of the steps to keep."""
    if steps > MOST_STEPS:
        raise InputError(f"steps must be at most {MOST_STEPS:,}, got {steps:,}")
    if ends is not None and 2 * count("ends", ends) < steps:
        return {*range(1, ends + 1), *range(steps - ends + 1, steps + 1)}
    if steps > KEPT:
        raise InputError(f"steps must be at most {KEPT:,} if all of them are kept, got {steps:,}")
    return range(1, steps + 1)


@dataclass(frozen=True)
class _Setting:
    """Everything that determines the steps; ``rates`` and ``start`` replace the rate and the initial state."""

    graph: Graph
    hyperparameters: dict[str, float]
    gradients: list[float]
    weight: float
    rates: list[float] | None = None
    start: dict[str, float] | None = None

    def own(self, t: int) -> dict[str, float]:
        """Return the hyperparameters at step ``t``."""
        return {**self.hyperparameters, "lr": self.rates[t - 1]} if self.rates else self.hyperparameters

    def states(self) -> Iterator[tuple[np.float64, ...]]:
        """Yield the weight and state before the first step and after each; the caller silences NumPy's warnings."""
        advance, state = _advance(self.graph), self.start or self.graph.state
        now = tuple(np.float64(v) for v in (self.weight, *state.values()))
        yield now
        for t, gradient in enumerate(self.gradients, 1):
            now = advance(now[0], np.float64(gradient), *now[1:], *self.graph.scalars(t=t, **self.own(t)))
            yield now


def _weights(setting: _Setting) -> list[float]:
    """Return the weight before the first step and after each step."""
    with np.errstate(all="ignore"):
        return [float(now[0]) for now in setting.states()]


def _worked_out(setting: _Setting, kept: Collection[int]) -> list[Step]:
    """Work out the steps in ``kept``, term by term."""
    steps = len(setting.gradients)
    shown = None if steps >= LONG else False
    made: list[Step] = []
    graph = setting.graph
    # this code was traced from the rule itself
    terms = [(_symbol(e), e.node or compile(ast.unparse(e.value), "<scalar>", "eval")) for e in equations(graph)]
    with progress_bar("working out", 100, shown=shown) as advance, np.errstate(all="ignore"):
        for t, before in enumerate(setting.states(), 1):
            if t in kept:
                made.append(_step(setting, terms, t, before))
            if t % (1 + steps // 100) == 0:
                advance(f"step {t:,}")
    return made


def _step(
    setting: _Setting, terms: Sequence[tuple[str, Node | CodeType]], t: int, before: Sequence[np.float64]
) -> Step:
    """Work out step ``t`` term by term, from the weight and the state before it."""
    graph, own = setting.graph, setting.own(t)
    arrays: dict[str, Any] = dict(zip(graph.written, before, strict=True))
    arrays["g"] = np.float64(setting.gradients[t - 1])
    values, share = graph.values(arrays, graph.scalars(t=t, **own)), None
    if "eps" in own:
        share = _eps_share(graph, values, graph.values(arrays, graph.scalars(t=t, **{**own, "eps": 0.0})))
    scope = {**graph.functions, **own, "t": t}
    named = {
        symbol: float(values[origin] if isinstance(origin, Node) else eval(origin, {**scope}))
        for symbol, origin in terms
    }
    weight = float(values[graph.outputs[0]])
    return Step(t, float(arrays["g"]), named, weight, weight - float(before[0]), share)


def _advance(graph: Graph) -> Callable[..., tuple[np.float64, ...]]:
    """Make ``advance(w, g, *state, *scalars)``, which gives new weight and state; a statement for each operation.

    On ``np.float64`` numbers Python's operators compute what NumPy's functions do, in a tenth of the time.
    """
    names: dict[tuple[str, str | int], str] = {("input", name): f"x{k}" for k, name in enumerate(graph.inputs)}
    names |= {("slot", k): f"h{k}" for k in range(len(graph.slots))}
    known: dict[Node, str] = {}

    def name(node: Node) -> str:
        return names[node.op, node.value] if node.is_leaf else known[node]

    lines = []
    for k, node in enumerate(graph.nodes):
        args = [name(a) for a in node.args]
        if node.op in INFIX:
            text = f" {INFIX[node.op]} ".join(args)
        elif node.op == "where":
            text = "{1} if {0} else {2}".format(*args)
        else:
            text = f"{node.op}({', '.join(args)})"
        known[node] = f"v{k}"
        lines.append(f"    v{k} = {text}\n")
    outputs = "".join(f"{name(n)}, " for n in graph.outputs)
    scope: dict[str, Any] = {node.op: array_function(node.op) for node in graph.nodes}
    exec(f"def advance({', '.join(names.values())}):\n{''.join(lines)}    return ({outputs})", scope)
    function: Callable[..., tuple[np.float64, ...]] = scope["advance"]
    return function


def _symbol(e: Equation) -> str:
    return unicode(ast.Name(e.name), e.plain)


def _eps_share(graph: Graph, values: dict[Node, Any], without: dict[Node, Any]) -> float | None:
    shares = []
    for node in graph.nodes:
        if node.op == "divide" and mentions(graph, node.args[1], "eps"):
            whole, rest = float(values[node.args[1]]), float(without[node.args[1]])
            shares.append(1 - rest / whole if whole else math.nan)
    return max(shares) if shares else None


def aligned(lines: Sequence[Equation]) -> str:
    """Return equations as a LaTeX ``aligned`` block."""
    texts = (" &= ".join(e.printed(latex)) for e in lines)
    return "\\begin{aligned}\n" + " \\\\\n".join(texts) + "\n\\end{aligned}"


def reference(function: Callable[..., Any]) -> str:
    """Return the reference in a docstring, or else its first line."""
    text = inspect.getdoc(function) or ""
    match = re.search(r"Reference: .*?(?=\n\n|\Z)", text, re.DOTALL)
    return " ".join(match[0].split()) if match else text.split("\n")[0].replace("``", "")


def _table(e: Explanation) -> list[list[str]]:
    """Return a header, then a row for each term with a column for each step."""
    rows = [["t", *(str(s.t) for s in e.steps)], ["gₜ", *(_short(s.gradient) for s in e.steps)]]
    rows += [[name, *(_short(s.terms[name]) for s in e.steps)] for name in e.steps[0].terms]
    rows.append(["move", *(_short(s.move) for s in e.steps)])
    if e.steps[0].eps_share is not None:
        rows.append(["ε's share", *(f"{s.eps_share:.2%}" for s in e.steps)])
    return rows


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _short(value: float) -> str:
    return f"{value:.6g}"
