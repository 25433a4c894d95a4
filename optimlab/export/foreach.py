"""Rules as PyTorch's foreach calls, which update many tensors at once, most of them in place.

A call costs a pass over memory and the time to launch it. So factors are passed to the call that needs them:
``w - lr * m / c / d`` is one call, ``_foreach_addcdiv_(w, m, d, value=-lr / c)``, and a running mean is one
``_foreach_lerp_``. The results round like those of ``torch.optim``, not like NumPy's.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..kernels import Graph, Node, equations, scalar_expression
from ..kernels.names import distinct
from .statements import Body, Printer, renamed

_UNARY = ("sqrt", "exp", "expm1", "log", "log1p", "tanh", "erf", "sin", "cos", "sign")
_NAMES = {"absolute": "abs", "negative": "neg", "power": "pow"} | {op: op for op in (*_UNARY, "maximum", "minimum")}
_COMMUTE = ("maximum", "minimum", "mul")
_COMPARE = {"greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!="}


class Scale(NamedTuple):
    """A scalar factor: a sign, and scalars to multiply and to divide by."""

    negative: bool = False
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()

    def times(self, other: Scale) -> Scale:
        return Scale(self.negative != other.negative, self.up + other.up, self.down + other.down)

    def over(self, other: Scale) -> Scale:
        return Scale(self.negative != other.negative, self.up + other.down, self.down + other.up)

    @staticmethod
    def of(text: str) -> Scale:
        """Split a scalar into its factors.

        >>> str(Scale.of("lr / (1 - beta1 ** t)").times(Scale(negative=True)))
        '-lr / (1 - beta1 ** t)'
        """
        match ast.parse(text, mode="eval").body:
            case ast.BinOp(left, ast.Mult(), right):
                return Scale.of(ast.unparse(left)).times(Scale.of(ast.unparse(right)))
            case ast.BinOp(left, ast.Div(), right):
                return Scale.of(ast.unparse(left)).over(Scale.of(ast.unparse(right)))
            case ast.UnaryOp(ast.USub(), operand):
                return Scale(negative=True).times(Scale.of(ast.unparse(operand)))
            case ast.Constant(1):
                return Scale()
        return Scale(up=(text,))

    @property
    def is_one(self) -> bool:
        return self == Scale()

    def __str__(self) -> str:
        parts = [_inside(text) for text in self.up] or ["1"]
        single = len(self.up) + len(self.down) == 1 and not self.negative
        text = self.up[0] if single and self.up else " * ".join(parts)
        text += "".join(f" / {_inside(part)}" for part in self.down)
        return f"-{text}" if self.negative else text


def _inside(text: str) -> str:
    """Return a scalar as a factor or divisor, in parentheses if it needs them."""
    tree = ast.parse(text, mode="eval").body
    plain = isinstance(tree, ast.Name | ast.Constant | ast.Call) or (
        isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Pow)
    )
    return text if plain else f"({text})"


@dataclass(eq=False)
class Call:
    """A list of tensors: an input (``op`` is its name), or the result of a call.

    Attributes
    ----------
    op: the name after ``_foreach_``; "where" and comparisons have no foreach form.
    args: lists of tensors, and scalars as text.
    keyword: ``alpha=...`` or ``value=...``.
    guard: a scalar; if it is 0, the call changes nothing and is skipped.
    node: the operation of the rule to which the call belongs.
    """

    op: str
    args: tuple[Call | str, ...] = ()
    keyword: str = ""
    guard: str = ""
    node: Node | None = None

    @property
    def is_input(self) -> bool:
        return not self.args

    @property
    def lists(self) -> list[Call]:
        return [a for a in self.args if isinstance(a, Call)]


class Term(NamedTuple):
    """A value that is not computed yet: a scalar times a value, a product or quotient of two values, or a sum.

    A sum has two ``parts``, each a scalar times a value, and may be divided by a value, ``values[0]``. It is added to
    the weights part by part, which needs no extra memory.
    """

    scale: Scale
    kind: str  # "", "mul", "div" or "sum"
    values: tuple[Call, ...]
    parts: tuple[Term, ...] = ()

    @property
    def addends(self) -> list[Term]:
        """Return the terms of a sum, or the term itself."""
        if self.kind != "sum":
            return [self]
        kind = "div" if self.values else ""
        return [Term(self.scale.times(part.scale), kind, part.values + self.values) for part in self.parts]


def foreach_lines(
    graph: Graph, made: Body, names: Mapping[str, str], scalars: Printer, comments: Mapping[str, str] | None = None
) -> list[str]:
    """Print the lines of a function that updates lists of tensors by a rule.

    Parameters
    ----------
    graph: the traced rule.
    made: the same rule as assignments.
    names: identifiers of the rule's names; those of arrays stand for lists of tensors.
    scalars: prints an expression of scalars.
    comments: a comment to print above the calls of each equation, by the equation's name.

    >>> from optimlab.export.statements import body, python_names
    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import adam
    >>> graph = trace(adam)
    >>> names = python_names(graph)
    >>> print(*foreach_lines(graph, body(graph, names, ast.unparse, ast.unparse), names, ast.unparse), sep="\\n")
    torch._foreach_lerp_(m, g, 1 - beta1)
    torch._foreach_mul_(s, beta2)
    torch._foreach_addcmul_(s, g, g, value=1 - beta2)
    denominator = torch._foreach_div(s, 1 - beta2 ** t)
    torch._foreach_add_(denominator, eps)
    torch._foreach_sqrt_(denominator)
    torch._foreach_addcdiv_(w, m, denominator, value=-lr / (1 - beta1 ** t))
    """
    expressions = [renamed(scalar_expression(graph, k), made.variables) for k in range(len(graph.slots))]
    slots = [f"float({scalars(e)})" if isinstance(e, ast.Compare) else scalars(e) for e in expressions]
    zeros = {names[name] for name, default in graph.hyperparameters.items() if default == 0}
    given = {names[name] for name in (*graph.inputs, "t", *graph.hyperparameters, *graph.functions)}
    taken = {"torch", *given, *(statement.name for statement in made.scalars)}
    variables: dict[Node | None, str] = {
        e.node: made.variables[e.name] for e in equations(graph) if e.node in graph.names
    }
    return _Lines(graph, _Calls(graph, slots, zeros), names, variables, taken).printed(comments or {})


class _Calls:
    """The calls that compute a rule, in order, without the variables of their results.

    Attributes
    ----------
    calls: the calls.
    outputs: the value of each new array, by the name in ``graph.written``.
    """

    def __init__(self, graph: Graph, slots: Sequence[str], zeros: Collection[str]) -> None:
        self.calls: list[Call] = []
        self._slots = slots
        self._zeros = zeros
        self._node: Node | None = None
        self._terms: dict[Node, Term] = {}
        inputs = {name: Call(name) for name in graph.inputs}
        for node in {arg for n in graph.nodes for arg in n.args} | {*graph.outputs}:
            if node.op == "input":
                self._terms[node] = _whole(inputs[node.value])
        uses = Counter([*(arg for node in graph.nodes for arg in node.args), *graph.outputs])
        self._uses, self._nodes, self._outputs = uses, graph.nodes, graph.outputs
        for node in graph.nodes:
            self._node = node
            term = self._lowered(node)
            once = uses[node] == 1 and node not in graph.outputs
            self._terms[node] = term if once else _whole(self._value(term))
        self.outputs = {
            name: self._value(self._terms[node]) for name, node in zip(graph.written, graph.outputs, strict=True)
        }

    def _make(self, op: str, *args: Call | str, keyword: str = "", guard: str = "") -> Call:
        self.calls.append(Call(op, args, keyword, guard, self._node))
        return self.calls[-1]

    def _value(self, term: Term) -> Call:
        """Return the value of a term, computed by new calls."""
        value = self._factor(term).values[0]
        if term.scale.is_one:
            return value
        if term.scale == Scale(negative=True):
            return self._make("neg", value)
        if not term.scale.up and not term.scale.negative and len(term.scale.down) == 1:
            return self._make("div", value, term.scale.down[0])
        return self._make("mul", value, str(term.scale))

    def _factor(self, term: Term) -> Term:
        """Return a term as a scalar times one value."""
        if term.kind == "sum":
            value = self._sum(*term.parts)
            return Term(term.scale, "", (self._make("div", value, *term.values) if term.values else value,))
        return Term(term.scale, "", (self._make(term.kind, *term.values),)) if term.kind else term

    def _lowered(self, node: Node) -> Term:
        slots = [self._slots[a.value] if a.op == "slot" else "" for a in node.args]
        terms = [self._terms.get(a, _NONE) for a in node.args]
        match node.op:
            case "multiply" if any(slots):
                k = 0 if slots[0] else 1
                return _scaled(terms[1 - k], Scale.of(slots[k]))
            case "divide" if slots[1]:
                return _scaled(terms[0], Scale().over(Scale.of(slots[1])))
            case "divide" if slots[0]:
                below = self._factor(terms[1])
                return Term(Scale.of(slots[0]).over(below.scale), "", (self._make("reciprocal", *below.values),))
            case "negative":
                return _scaled(terms[0], Scale(negative=True))
            case "square":
                factor = self._factor(terms[0])
                return Term(factor.scale.times(factor.scale), "mul", factor.values * 2)
            case "divide" if terms[0].kind == "sum" and not terms[0].values:
                below = self._factor(terms[1])
                return terms[0]._replace(scale=terms[0].scale.over(below.scale), values=below.values)
            case "multiply" | "divide":
                a, b = map(self._factor, terms)
                scale = a.scale.times(b.scale) if node.op == "multiply" else a.scale.over(b.scale)
                return Term(scale, "mul" if node.op == "multiply" else "div", a.values + b.values)
            case "add" if any(slots):
                return _whole(self._make("add", self._value(terms[1 if slots[0] else 0]), *filter(None, slots)))
            case "subtract" if slots[1]:
                return _whole(self._make("sub", self._value(terms[0]), slots[1]))
            case "subtract" if slots[0]:
                return _whole(self._make("add", self._value(_scaled(terms[1], Scale(negative=True))), slots[0]))
            case "add" if not any(t.kind for t in terms) and self._is_used_in_a_sum(node):
                mean = self._running_mean(*terms)
                return Term(Scale(), "sum", (), tuple(terms)) if mean is None else _whole(mean)
            case "add":
                return _whole(self._sum(*terms))
            case "subtract":
                return _whole(self._sum(terms[0], _scaled(terms[1], Scale(negative=True))))
        operands = [slot or self._value(term) for slot, term in zip(slots, terms, strict=True)]
        if node.op in ("maximum", "minimum") and slots[0]:
            operands.reverse()
        return _whole(self._make(_NAMES.get(node.op, node.op), *operands))

    def _is_used_in_a_sum(self, node: Node) -> bool:
        """Return True if a value is only scaled and divided before it is added to the weights."""
        while self._uses[node] == 1 and node not in self._outputs:
            user = next(n for n in self._nodes if node in n.args)
            if user.op in ("add", "subtract"):
                return user is self._outputs[0]
            if user.op not in ("multiply", "divide") or not (
                any(a.op == "slot" for a in user.args) or (user.op == "divide" and user.args[0] is node)
            ):
                return False
            node = user
        return False

    def _running_mean(self, a: Term, b: Term) -> Call | None:
        return self._mean(a, b) or self._mean(b, a) or self._step_towards(a, b) or self._step_towards(b, a)

    def _sum(self, a: Term, b: Term) -> Call:
        mean = self._running_mean(a, b)
        if mean is not None:
            return mean
        start, added = (a, b) if _cost(a) <= _cost(b) or _cost(a) == 1 else (b, a)
        value = self._value(start)
        of_itself_first = sorted(added.addends, key=lambda term: value not in term.values)
        for term in of_itself_first:  # w + c w can be computed in place only while w is old
            value = self._added(value, term)
        return value

    def _added(self, value: Call, term: Term) -> Call:
        guard = next((name for name in self._zeros if name in term.scale.up), "")
        if term.kind:
            keyword = "" if term.scale.is_one else f"value={term.scale}"
            return self._make(f"addc{term.kind}", value, *term.values, keyword=keyword, guard=guard)
        if term.scale == Scale(negative=True):
            return self._make("sub", value, *term.values)
        keyword = "" if term.scale.is_one else f"alpha={term.scale}"
        return self._make("add", value, *term.values, keyword=keyword, guard=guard)

    def _mean(self, a: Term, b: Term) -> Call | None:
        """Return the call for ``beta a + (1 - beta) b``; None for other terms."""
        single = all(len(t.scale.up) == 1 and not t.scale.down and not t.scale.negative and not t.kind for t in (a, b))
        if not single or ast.unparse(ast.parse(f"1 - ({a.scale.up[0]})")) != b.scale.up[0]:
            return None
        return self._make("lerp", *a.values, *b.values, b.scale.up[0])

    def _step_towards(self, a: Term, b: Term) -> Call | None:
        """Return the call for ``a + share (b - a)``, another form of a mean; None for other terms."""
        if a.kind or b.kind or not a.scale.is_one or b.scale.is_one or self.calls[-1:] != [*b.values]:
            return None
        difference = b.values[0]
        if difference.op != "sub" or difference.args[1] is not a.values[0] or not isinstance(difference.args[0], Call):
            return None
        if any(difference in term.values and self._uses[node] > 1 for node, term in self._terms.items()):
            return None  # the difference is used again
        self.calls.pop()
        return self._make("lerp", *a.values, difference.args[0], str(b.scale))


_NONE = Term(Scale(), "", ())


def _whole(value: Call) -> Term:
    return Term(Scale(), "", (value,))


def _scaled(term: Term, scale: Scale) -> Term:
    return term._replace(scale=scale.times(term.scale))


def _cost(term: Term) -> int:
    """Return the number of calls that compute the value of a term."""
    if term.kind == "sum":
        return 3
    return (not term.scale.is_one) + bool(term.kind)


class _Lines:
    """The calls as lines: decides which of them write in place, and names their results."""

    def __init__(
        self,
        graph: Graph,
        made: _Calls,
        names: Mapping[str, str],
        variable_names: Mapping[Node | None, str],
        taken: Collection[str],
    ) -> None:
        self.graph, self.calls, self.outputs, self.names, self.taken = graph, made.calls, made.outputs, names, taken
        self.variable_names = variable_names  # the rule's variables, as the comments name them
        self.place = {call: k for k, call in enumerate(self.calls)}
        self.last: dict[Call, float] = {arg: k for k, call in enumerate(self.calls) for arg in call.lists}
        self.last |= dict.fromkeys(self.outputs.values(), math.inf)
        self.variable = {call: names[call.op] for call in [*self.last, *self.outputs.values()] if call.is_input}
        self.in_place: set[Call] = set()
        for name, value in self.outputs.items():
            for call in self._way_home(name, value):
                self.in_place.add(call)
                self.variable[call] = names[name]
        self._name_temporaries()

    def _way_home(self, name: str, value: Call) -> list[Call]:
        """Return the calls that can write into the old array, last first; none if the old array is read later."""
        calls: list[Call] = []
        while not value.is_input and value not in self.variable and value.op in _IN_PLACE:
            calls.append(value)
            for start in self._starts(value):
                if start.is_input and start.op == name:
                    return calls
                if not start.is_input and start not in self.outputs.values():
                    value = start
                    break
            else:
                return []
        return []

    def _starts(self, call: Call) -> list[Call]:
        """Return the operands that a call may overwrite: the first, or either if it commutes, unless read later."""
        first = call.args[:2] if call.op in _COMMUTE or (call.op == "add" and not call.keyword) else call.args[:1]
        return [arg for arg in first if isinstance(arg, Call) and self.last[arg] <= self.place[call]]

    def _name_temporaries(self) -> None:
        """Name temporary results; each overwrites an operand that is no longer needed, if it can."""
        taken = {*self.taken}
        groups: dict[Call, list[Call]] = {}
        for call in self.calls:
            if call in self.variable:
                continue
            over = [a for a in self._starts(call) if a in groups and not a.guard and a not in self.outputs.values()]
            if over and call.op in _IN_PLACE:
                groups[call] = groups[over[0]]
                self.in_place.add(call)
            else:
                groups[call] = []
                if call.lists[0].op != "g":  # otherwise it could be the same list as one written later
                    call.guard = ""
            groups[call].append(call)
        for group in {id(group): group for group in groups.values()}.values():
            name = self._name(group)
            if name != self.names["g"] or self._is_read_after(name, group[0]):
                name = distinct(name, taken)
            taken.add(name)
            self.variable |= dict.fromkeys(group, name)

    def _is_read_after(self, name: str, call: Call) -> bool:
        """Return True if a value that a variable holds before a call is still read after it."""
        held = [value for value, variable in self.variable.items() if variable == name]
        return any(self.last[value] > self.place[call] for value in held)

    def _name(self, group: list[Call]) -> str:
        known = [self.variable_names[c.node] for c in group if c.node in self.variable_names and self._finishes(c)]
        if known:
            return known[-1]
        divisors = {c.args[2] for c in self.calls if c.op == "addcdiv"} | {
            c.args[1] for c in self.calls if c.op == "div"
        }
        return "denominator" if group[-1] in divisors else "part"

    def _finishes(self, call: Call) -> bool:
        """Return True for the last call of an operation."""
        return all(
            other is call or other.node is not call.node or self.place[other] < self.place[call] for other in self.calls
        )

    def printed(self, comments: Mapping[str, str]) -> list[str]:
        lines: list[str] = []
        pending = [(e.name, e.node) for e in equations(self.graph) if e.node is not None]
        of = _equation_of(self.graph)
        for call in self.calls:
            position = next((k for k, (name, _) in enumerate(pending) if name == of.get(call.node)), -1)
            lines += [f"# {comments[name]}" for name, _ in pending[: position + 1] if name in comments]
            pending = pending[position + 1 :]
            lines += self._line(call)
        return lines + self._moves()

    def _line(self, call: Call) -> list[str]:
        if call in self.in_place:
            target = self.variable[call]
            args = list(call.args)
            first = next(a for a in args if isinstance(a, Call) and self.variable[a] == target)
            args.remove(first)
            return _guarded(call, f"torch._foreach_{call.op}_({self._listed([target, *args], call.keyword)})")
        if call.op in ("where", *_COMPARE):
            return [f"{self.variable[call]} = {self._each(call)}"]
        text = f"torch._foreach_{call.op}({self._listed(call.args, call.keyword)})"
        target, unchanged = self.variable[call], self._text(call.args[0])
        if call.guard and target != unchanged:
            return [f"{target} = {text} if {call.guard} else {unchanged}"]
        return _guarded(call, f"{target} = {text}")

    def _listed(self, args: Sequence[Call | str], keyword: str) -> str:
        return ", ".join([*map(self._text, args), *filter(None, [keyword])])

    def _text(self, arg: Call | str) -> str:
        return self.variable[arg] if isinstance(arg, Call) else arg

    def _each(self, call: Call) -> str:
        """Print an operation without a foreach form, tensor by tensor."""
        taken = {*self.taken, *self.variable.values()}
        lists = list(dict.fromkeys(call.lists))
        letters = {a: distinct(letter, taken) for a, letter in zip(lists, "xyz", strict=False)}
        args = [letters[a] if isinstance(a, Call) else a for a in call.args]
        text = f"torch.where({', '.join(args)})" if call.op == "where" else f" {_COMPARE[call.op]} ".join(args)
        if len(lists) == 1:
            return f"[{text} for {letters[lists[0]]} in {self.variable[lists[0]]}]"
        pairs = ", ".join(self.variable[a] for a in lists)
        return f"[{text} for {', '.join(letters.values())} in zip({pairs}, strict=True)]"

    def _moves(self) -> list[str]:
        """Print copies of new arrays into the old ones, unless they were written in place."""
        moves = [
            (self.names[n], self.variable[v]) for n, v in self.outputs.items() if self.variable[v] != self.names[n]
        ]
        written = {home for home, _ in moves}
        taken = {*self.taken, *self.variable.values()}
        kept = {source: distinct(f"{source}_old", taken) for _, source in moves if source in written}
        lines = [f"{copy} = torch._foreach_mul({source}, 1)" for source, copy in kept.items()]
        return lines + [f"torch._foreach_copy_({home}, {kept.get(source, source)})" for home, source in moves]


def _guarded(call: Call, line: str) -> list[str]:
    return [f"if {call.guard}:", f"    {line}"] if call.guard else [line]


_IN_PLACE = {*_NAMES.values(), "add", "sub", "mul", "div", "neg", "reciprocal", "lerp", "addcmul", "addcdiv"}


def _equation_of(graph: Graph) -> dict[Node | None, str]:
    """Return the name of the equation of each operation."""
    lines = [(e.name, e.node) for e in equations(graph) if e.node is not None]
    ends = {node for _, node in lines}
    names: dict[Node | None, str] = {}
    for name, node in lines:
        ahead = [node]
        while ahead:
            here = ahead.pop()
            if here not in names:
                names[here] = name
                ahead += [a for a in here.args if a not in ends]
    return names
