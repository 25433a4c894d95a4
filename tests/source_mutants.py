"""Every small mistake that can be made in a module: a sign, a power, a comparison, a constant, one at a time.

A mutant is the whole source with one change, in one statement. Text is left alone: docstrings, annotations, messages,
``__all__``, and what a ``raise`` says; so are assertions.
"""

from __future__ import annotations

import ast
import copy
import textwrap
from collections.abc import Callable, Iterator

Change = Callable[[ast.AST, ast.AST], None]
"""Makes the change in a tree, at one node of it."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}

COMPARISONS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
}
"""What stands in place of each: with the other bound, and turned round."""

CALLS = {"maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max", "any": "all", "all": "any"}
DROPPED = ("sqrt", "exp", "expm1", "log", "log1p", "tanh", "abs", "float")
"""Functions of one number without which a formula still runs."""


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Every mutant of a module: where, what was changed and the changed line; and its source."""
    lines, seen = source.splitlines(keepends=True), set()
    for scope, statement in statements(ast.parse(source), source):
        plain = ast.unparse(statement)
        first, last = statement.lineno - 1, statement.end_lineno
        for k, node in enumerate(own_nodes(statement)):
            for what, change in changes(node):
                mutant = copy.deepcopy(statement)
                mutant.decorator_list = []  # they stand above
                change(mutant, list(own_nodes(mutant))[k])
                text = ast.unparse(ast.fix_missing_locations(mutant))
                if text != plain and (first, text) not in seen:
                    seen.add((first, text))
                    block = textwrap.indent(text, " " * statement.col_offset) + "\n"
                    yield f"{scope}: {what}: {headline(mutant)}", "".join([*lines[:first], block, *lines[last:]])


def statements(tree: ast.AST, source: str, scope: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Each statement that may be changed, with the name of what it stands in."""
    for child in ast.iter_child_nodes(tree):
        if is_text(child):
            continue
        inside = scope
        if isinstance(child, ast.stmt) and not is_elif(child, source):
            yield scope, child
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{scope}.{child.name}".strip(".")
        yield from statements(child, source, inside)


def is_elif(statement: ast.stmt, source: str) -> bool:
    return isinstance(statement, ast.If) and (ast.get_source_segment(source, statement) or "").startswith("elif")


def own_nodes(statement: ast.AST) -> Iterator[ast.AST]:
    """The statement and what it consists of, in one fixed order; not the statements inside it, but for an ``elif``."""
    yield statement
    for name, value in ast.iter_fields(statement):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            alternative = isinstance(child, ast.If) and name == "orelse" and value == [child]
            if isinstance(child, ast.AST) and not is_text(child) and (alternative or not isinstance(child, ast.stmt)):
                yield from own_nodes(child)


def is_text(node: ast.AST) -> bool:
    """Whether it says something to a person, or to a type checker."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    return isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"


def headline(statement: ast.stmt) -> str:
    """The statement in one line; of a block its head, of a function its name and defaults."""
    if isinstance(statement, ast.FunctionDef):
        given = [ast.unparse(value) for value in (*statement.args.defaults, *statement.args.kw_defaults) if value]
        return f"def {statement.name}: {', '.join(given)}"
    lines = ast.unparse(statement).splitlines()
    return lines[0] if isinstance(statement, ast.If | ast.For | ast.While | ast.With) else " ".join(lines)


def changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be done to one node: a name for it, and what does it."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        kind = type(node.op)
        if kind in SWAPS:
            yield "operator", lambda m, n: setattr(n, "op", SWAPS[kind]())
    if isinstance(node, ast.BinOp):
        if kind in (ast.Add, ast.Sub):
            yield "right term dropped", lambda m, n: replace(m, n, n.left)
        if kind in (ast.Mult, ast.Div):
            yield "right factor dropped", lambda m, n: replace(m, n, n.left)
            yield "left factor dropped", lambda m, n: replace(m, n, n.right)
        if kind is ast.Pow:
            yield "power dropped", lambda m, n: replace(m, n, n.left)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield "sign" if isinstance(node.op, ast.USub) else "not", lambda m, n: replace(m, n, n.operand)
    if isinstance(node, ast.BoolOp):
        yield "operator", lambda m, n: setattr(n, "op", SWAPS[type(n.op)]())
    if isinstance(node, ast.Compare):
        for k, operator in enumerate(node.ops):
            for other in COMPARISONS.get(type(operator), (SWAPS.get(type(operator), ast.Eq),)):
                yield "comparison", lambda m, n, k=k, other=other: n.ops.__setitem__(k, other())  # type: ignore[misc]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        if isinstance(node.value, bool):
            yield "constant", lambda m, n: setattr(n, "value", not n.value)
        else:
            yield "constant", lambda m, n: setattr(n, "value", n.value + 1)
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in CALLS:
            yield CALLS[name], lambda m, n: rename(n.func, CALLS[name])
        if name in DROPPED and len(node.args) == 1 and not node.keywords:
            yield f"{'root' if name == 'sqrt' else name} dropped", lambda m, n: replace(m, n, n.args[0])


def rename(function: ast.AST, name: str) -> None:
    setattr(function, "attr" if isinstance(function, ast.Attribute) else "id", name)


def replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list) and any(v is old for v in value):
                setattr(parent, field, [new if v is old else v for v in value])
