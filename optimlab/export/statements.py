"""Rules as lines of Python: the formula, with one variable for each array, and names that are valid everywhere."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

from ..kernels import Equation, Graph, equations
from ..kernels.host_functions import called_functions
from ..kernels.names import distinct, identifiers

Printer = Callable[[ast.expr], str]


@dataclass(frozen=True)
class Statement:
    """An assignment, ``name = text``. A scalar is computed once per step, other values once per element."""

    name: str
    text: str
    is_scalar: bool

    def __str__(self) -> str:
        return f"{self.name} = {self.text}"


@dataclass(frozen=True)
class Body:
    """The assignments of a rule, in order.

    Attributes
    ----------
    results: the variable that holds each new array at the end, by the name in ``graph.written``.
    variables: the variable of each value in :func:`optimlab.kernels.equations`.
    """

    statements: tuple[Statement, ...]
    results: dict[str, str]
    variables: dict[str, str]

    @property
    def scalars(self) -> list[Statement]:
        return [s for s in self.statements if s.is_scalar]

    @property
    def arrays(self) -> list[Statement]:
        return [s for s in self.statements if not s.is_scalar]


def python_names(graph: Graph, taken: Collection[str] = ()) -> dict[str, str]:
    """Return the identifier of each array, hyperparameter, function and variable of a rule, and of ``t``.

    This is the rule's own name, unless it is taken or not ASCII.

    >>> from optimlab.kernels import trace
    >>> python_names(trace(lambda w, g, *, β=0.1: w - β * g), taken=["g"])
    {'w': 'w', 'g': 'g_2', 't': 't', 'β': 'beta'}
    """
    given = [*graph.inputs, "t", *graph.hyperparameters, *called_functions(graph).values()]
    local = [e.name.partition("@")[0] for e in equations(graph)]
    return identifiers(dict.fromkeys([*given, *local]), taken)


def body(
    graph: Graph,
    names: Mapping[str, str],
    arrays: Printer,
    scalars: Printer,
    lines: Sequence[Equation] | None = None,
) -> Body:
    """Print a rule's equations as assignments. A variable is reused once its old value is no longer read.

    A scalar that the results do not depend on is left out.

    Parameters
    ----------
    graph: the traced rule.
    names: identifiers of the rule's names.
    arrays, scalars: functions that print the right-hand sides; operations on arrays are NumPy's, as ``np.sqrt(...)``.
    lines: equations to print instead of the rule's own.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.torch import nesterov
    >>> graph = trace(nesterov)
    >>> print(*body(graph, python_names(graph), ast.unparse, ast.unparse).statements, sep="; ")
    g = g + weight_decay * w; b = beta * b + g; w = w - lr * (g + beta * b)
    >>> graph = trace(lambda w, g, m: (w - m, w))
    >>> print(*body(graph, python_names(graph), ast.unparse, ast.unparse).statements, sep="; ")
    w_new = w - m; m = w
    """
    lines = _without_unused_scalars(equations(graph) if lines is None else lines)
    assigned = {e.name for e in lines}
    ends = {name: f"{name}@new" if f"{name}@new" in assigned else f"{name}@old" for name in graph.written}
    scalar_names = ["t", *graph.hyperparameters, *graph.functions]
    # the variable of each value, and the value in each variable at this point
    variables = {name: names[name] for name in scalar_names}
    variables |= {f"{name}@{'new' if name == 'g' else 'old'}": names[name] for name in graph.inputs}
    holds = {variable: value for value, variable in variables.items()}
    taken = {*names.values()}
    statements = []
    for k, (name, expression, node, _) in enumerate(lines):
        text = (scalars if node is None else arrays)(renamed(expression, variables))
        variable = names[name.partition("@")[0]]
        later = {*ends.values()}.union(*(read(e.value) for e in lines[k + 1 :]))
        if holds.get(variable) in later:
            variable = distinct(f"{variable}_new", taken)
            taken.add(variable)
        variables[name], holds[variable] = variable, name
        if text != variable:
            statements.append(Statement(variable, text, node is None))
    return Body(tuple(statements), {name: variables[end] for name, end in ends.items()}, variables)


def _without_unused_scalars(lines: Sequence[Equation]) -> list[Equation]:
    wanted: set[str] = set()
    kept = []
    for line in reversed(lines):
        if line.node is not None or line.name in wanted:
            kept.append(line)
            wanted |= read(line.value)
    return kept[::-1]


def with_step(graph: Graph, name: str) -> list[Equation]:
    """Return the equations of a rule with ``name@new``, the step from old to new weights, instead of the new weights.

    If the rule ends in ``w = w - ...``, the step is the subtracted term, with all its digits. Otherwise it is the
    rounded difference of the weights.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.keras import sgd
    >>> [f"{e.name} = {ast.unparse(e.value)}" for e in with_step(trace(sgd), "step")]
    ['step@new = -lr * weight_decay * w@old - lr * g@new']
    """
    lines = equations(graph)
    known = {e.name: e.value for e in lines}
    step = _step(ast.Name("w@new"), known)
    if step is None:
        end = "w@new" if "w@new" in known else "w@old"
        step = ast.BinOp(ast.Name(end), ast.Sub(), ast.Name("w@old"))
    lines.append(Equation(f"{name}@new", step, graph.outputs[0]))
    wanted = {f"{name}@new", *(f"{other}@new" for other in graph.written[1:])}
    kept = []
    for line in reversed(lines):
        if line.node is None or line.name in wanted:
            kept.append(line)
            wanted |= read(line.value)
    return kept[::-1]


def _step(e: ast.expr, known: Mapping[str, ast.expr]) -> ast.expr | None:
    """Return ``e`` minus the old weights, if this only removes a term; otherwise None."""
    match e:
        case ast.BinOp(ast.Name("w@old"), ast.Sub(), moved):
            return _negative(moved)
        case ast.BinOp(ast.Name("w@old"), ast.Add(), moved) | ast.BinOp(moved, ast.Add(), ast.Name("w@old")):
            return moved
        case ast.BinOp(ast.BinOp(ast.Constant(1), ast.Sub(), share), ast.Mult(), ast.Name("w@old") as w):
            return _negative(ast.BinOp(share, ast.Mult(), w))
        case ast.BinOp(start, (ast.Add() | ast.Sub()) as operator, moved):
            step = _step(start, known)
            return None if step is None else ast.BinOp(step, operator, moved)
        case ast.Name(name) if name in known and name.partition("@")[0] == "w":
            return _step(known[name], known)
    return None


def _negative(e: ast.expr) -> ast.expr:
    match e:
        case ast.BinOp(first, (ast.Mult() | ast.Div()) as operator, second):
            return ast.BinOp(_negative(first), operator, second)
    return ast.UnaryOp(ast.USub(), e)


def read(expression: ast.expr) -> set[str]:
    """Return the values that an expression of :func:`optimlab.kernels.equations` reads, including functions."""
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)} - {"np"}


def comparisons_as_numbers(expression: ast.expr, number: str, untraced: Collection[str] = ()) -> ast.expr:
    """Replace comparisons of scalars by ``number``, with {} for the comparison; keep the condition of a ``where``.

    A traced boolean is no number: it has no minus sign, a sum of two is a boolean, and in PyTorch its product with a
    Python float is float32. Comparisons of ``untraced`` names alone are Python's booleans, and stay.

    >>> e = ast.parse("np.where(g > (t > 5) * lr, g, w) - (t > 5) * (lr > 0)", mode="eval").body
    >>> ast.unparse(comparisons_as_numbers(e, "1.0 * ({})", {"lr"}))
    'np.where(g > 1.0 * (t > 5) * lr, g, w) - 1.0 * (t > 5) * (lr > 0)'
    """

    class Replace(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.expr:
            match node:
                case ast.Call(ast.Attribute(attr="where"), [ast.Compare() as condition, *others]):
                    kept = self.generic_visit(condition)
                    assert isinstance(kept, ast.expr)
                    node.args = [kept, *map(self.visit, others)]
                    return node
            visited = self.generic_visit(node)
            assert isinstance(visited, ast.expr)
            return visited

        def visit_Compare(self, node: ast.Compare) -> ast.expr:
            visited = self.generic_visit(node)
            assert isinstance(visited, ast.Compare)
            if read(visited) <= {*untraced}:
                return visited
            return ast.parse(number.format(ast.unparse(visited)), mode="eval").body

    replaced = Replace().visit(deepcopy(expression))
    assert isinstance(replaced, ast.expr)
    return replaced


def renamed(expression: ast.expr, names: Mapping[str, str]) -> ast.expr:
    """Return a copy of an expression with renamed variables; names not in ``names`` are kept."""
    copied = deepcopy(expression)
    for node in ast.walk(copied):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return copied


def array_printer(module: str, functions: Mapping[str, str] | None = None, scalars: Printer = ast.unparse) -> Printer:
    """Return a printer of expressions with a module's functions instead of NumPy's; ``functions`` lists exceptions.

    >>> array_printer("jnp", {"erf": "erf"})(ast.parse("np.sqrt(np.erf(w)) * abs(w)", mode="eval").body)
    'jnp.sqrt(erf(w)) * abs(w)'
    """
    named = functions or {}

    def printed(expression: ast.expr) -> str:
        copied = deepcopy(expression)
        for node in ast.walk(copied):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_numpy(node.func):
                function = named.get(node.func.attr, f"{module}.{node.func.attr}")
                node.func = ast.parse(function, mode="eval").body
        return scalars(copied)

    return printed


def _is_numpy(function: ast.Attribute) -> bool:
    return isinstance(function.value, ast.Name) and function.value.id == "np"
