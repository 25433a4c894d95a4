"""Print host scalars as JavaScript: arithmetic on Python numbers, and the functions of numbers that a rule calls."""

from __future__ import annotations

import ast
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..common.errors import RuleError
from ..rules._host import kept
from .c_source import function_name as c_name
from .graph import Graph
from .host_functions import called_functions, outside, source_tree
from .names import distinct, identifiers, rule_name

_WORDS = (  # reserved in JavaScript, or used by the printed code
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends "
    "false finally for function if implements import in instanceof interface let new null package private protected "
    "public return static super switch this throw true try typeof undefined var void while with yield "
    "Math Number NaN Infinity kept floor_divide"
)

_KEPT = """\
function kept(key) {
    return (kept.lists ??= {})[key] ??= [1.0];
}"""

_FLOOR_DIVIDE = """\
// Python's a // b; Math.floor(a / b) is 10 for 1 / 0.1, although 0.1 is more than a tenth
function floor_divide(a, b) {
    const rest = a % b;
    const quotient = (a - rest) / b - Number(rest !== 0 && rest < 0 !== b < 0);
    const floor = Math.floor(quotient);
    return quotient - floor > 0.5 ? floor + 1 : floor;
}"""

_OPERATORS: dict[type[ast.AST], tuple[str, int]] = {
    ast.Add: ("+", 1),
    ast.Sub: ("-", 1),
    ast.Mult: ("*", 2),
    ast.Div: ("/", 2),
    ast.Pow: ("**", 4),
    ast.Lt: ("<", 0),
    ast.LtE: ("<=", 0),
    ast.Gt: (">", 0),
    ast.GtE: (">=", 0),
    ast.Eq: ("===", 0),
    ast.NotEq: ("!==", 0),
}
_LENGTH, _RANGE = ".length", "for"
_BUILTINS: dict[Any, str] = {
    abs: "Math.abs",
    min: "Math.min",
    max: "Math.max",
    float: "Number",
    len: _LENGTH,
    range: _RANGE,
    kept: "kept",
}

Names = Mapping[str, str]
"""The JavaScript text of each Python name."""


def javascript_scalars(graph: Graph) -> str:
    """Print ``<rule>_scalars({t, <hyperparameters>})``, after the functions that it calls.

    Raises
    ------
    RuleError: a function uses something that cannot be printed in JavaScript, or its source is not found.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import adam
    >>> print(javascript_scalars(trace(adam)))
    function adam_scalars({t, lr, beta1, beta2, eps}) {
        return [beta1, 1 - beta1, beta2, 1 - beta2, 1 - beta1 ** t, 1 - beta2 ** t, lr, eps];
    }
    """
    own = {key: inspect.unwrap(function) for key, function in graph.functions.items()}
    given = ["t", *graph.hyperparameters]
    labels = called_functions(graph)
    stem = rule_name(graph.name)
    names = identifiers([*given, *labels.values()], [*_WORDS.split(), f"{stem}_scalars", c_name(graph)])
    called = {function: names[label] for function, label in labels.items()}
    texts = [_function(function, called) for function in labels]
    if any(kept in outside(function).values() for function in labels):
        texts.insert(0, _KEPT)
    scope = {**names, **{key: called[function] for key, function in own.items()}}
    values = ", ".join(_text(ast.parse(slot, mode="eval").body, scope) for slot in graph.slots)
    if any("floor_divide(" in text for text in (*texts, values)):
        texts.insert(0, _FLOOR_DIVIDE)
    taken = ", ".join(name if name == names[name] else f"{json.dumps(name)}: {names[name]}" for name in given)
    return "\n\n".join([*texts, f"function {stem}_scalars({{{taken}}}) {{\n    return [{values}];\n}}"])


# ---- expressions


def _text(e: ast.expr, names: Names, least: int = 0) -> str:
    """Print an expression, in parentheses if its precedence is below ``least``."""
    text, binds = _printed(e, names)
    return text if binds >= least else f"({text})"


def _printed(e: ast.expr, names: Names) -> tuple[str, int]:
    def text(part: ast.expr, least: int = 0) -> str:
        return _text(part, names, least)

    match e:
        case ast.Name(name) if name in names:
            return names[name], 5
        case ast.Constant(int() | float() as value):
            return _number(value), 5
        case ast.BinOp(left, ast.Pow(), right):
            return f"{text(left, 5)} ** {text(right, 4)}", 4
        case ast.BinOp(left, ast.FloorDiv(), right):
            return f"floor_divide({text(left)}, {text(right)})", 5
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            symbol, binds = _OPERATORS[type(operator)]
            return f"{text(left, binds)} {symbol} {text(right, binds + 1)}", binds
        case ast.UnaryOp(ast.USub(), operand):
            return f"-{text(operand, 5)}", 3
        case ast.Compare(left, [operator], [right]) if type(operator) in _OPERATORS:
            return f"Number({text(left, 1)} {_OPERATORS[type(operator)][0]} {text(right, 1)})", 5
        case ast.Subscript(value, index):
            return f"{text(value, 5)}[{text(index)}]", 5
        case ast.Call(ast.Attribute(value, "__abs__"), []):
            return f"Math.abs({text(value)})", 5
        case ast.Call(ast.Attribute(value, "append"), [argument]):
            return f"{text(value, 5)}.push({text(argument)})", 5
        case ast.Call(ast.Name(name), [argument]) if names.get(name) == _LENGTH:
            return f"{text(argument, 5)}.length", 5
        case ast.Call(ast.Name(name), arguments, []) if name in names:
            return f"{names[name]}({', '.join(map(text, arguments))})", 5
    raise RuleError(f"cannot print {ast.unparse(e)} in JavaScript; accepted: + - * / // **, comparisons, abs, min, max")


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "(-Infinity)"
    text = repr(float(value) if isinstance(value, float) else int(value))
    return f"({text})" if text.startswith("-") else text


# ---- functions


def _function(function: Callable[..., Any], called: Mapping[Callable[..., Any], str]) -> str:
    definition = source_tree(function)
    arguments = definition.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        raise RuleError(
            f"{definition.name}: cannot print *args, **kwargs or keyword-only arguments in JavaScript; use plain ones"
        )
    parameters = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    _Loops(definition).visit(definition)
    assigned = [n.id for n in ast.walk(definition) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    own = identifiers([*parameters, *assigned], [*_WORDS.split(), *called.values()])
    names: dict[str, str] = {}
    for name, value in outside(function).items():
        plain = inspect.unwrap(value) if callable(value) else value
        if isinstance(plain, bool | int | float):
            names[name] = _number(plain)
        elif callable(plain) and (text := called.get(plain, _BUILTINS.get(plain, ""))):
            names[name] = text
    names |= own
    loops = {n.target.id for n in ast.walk(definition) if isinstance(n, ast.For) and isinstance(n.target, ast.Name)}
    variables = dict.fromkeys(own[name] for name in assigned if name not in {*loops, *parameters})
    lines = [f"let {', '.join(variables)};"] if variables else []
    lines += [line for statement in definition.body for line in _statement(statement, names)]
    defaults = [_default(value, definition.name) for value in function.__defaults__ or ()]
    plain_count = len(parameters) - len(defaults)
    given = [own[name] for name in parameters[:plain_count]]
    given += [f"{own[name]} = {text}" for name, text in zip(parameters[plain_count:], defaults, strict=True)]
    return f"function {called[function]}({', '.join(given)}) {{\n" + "".join(f"    {line}\n" for line in lines) + "}"


class _Loops(ast.NodeTransformer):
    """Gives each loop of Python the meaning of JavaScript's, with two more variables where that makes a difference.

    In Python the range is computed once, and its variable stays after the loop; an assignment to it does not change the
    next round.
    """

    def __init__(self, function: ast.FunctionDef) -> None:
        self.function = function
        self.taken = {name.id for name in ast.walk(function) if isinstance(name, ast.Name)}
        self.taken |= {argument.arg for argument in ast.walk(function) if isinstance(argument, ast.arg)}

    def visit_For(self, loop: ast.For) -> ast.For | list[ast.stmt]:
        self.generic_visit(loop)
        match loop:
            case ast.For(ast.Name(variable), ast.Call(called, [start, stop]), body, []):
                within = [part for statement in body for part in ast.walk(statement)]
                if self._is_alike(variable, loop, stop, within):
                    return loop
                following, end = (self._new(f"{variable}_{part}") for part in ("next", "end"))
                now = ast.Assign([ast.Name(variable, ast.Store())], ast.Name(following, ast.Load()))
                counted = ast.Call(called, [start, ast.Name(end, ast.Load())], [])
                return [
                    ast.Assign([ast.Name(end, ast.Store())], stop),
                    ast.For(ast.Name(following, ast.Store()), counted, [now, *body], []),
                ]
        return loop

    def _is_alike(self, variable: str, loop: ast.For, stop: ast.expr, within: list[ast.AST]) -> bool:
        """Return True if JavaScript's loop is the same: nothing else uses the variable, and the end stays as it is."""
        stored = {part.id for part in within if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        used = {part.id for part in ast.walk(stop) if isinstance(part, ast.Name)}
        inside = {id(part) for part in ast.walk(loop)}
        everywhere = (part for part in ast.walk(self.function) if isinstance(part, ast.Name) and part.id == variable)
        parameters = (argument.arg for argument in ast.walk(self.function) if isinstance(argument, ast.arg))
        return (
            variable not in {*stored, *used, *parameters}
            and not used & stored
            and not any(isinstance(part, ast.Call) for part in ast.walk(stop))
            and all(id(part) in inside for part in everywhere)
        )

    def _new(self, name: str) -> str:
        self.taken.add(made := distinct(name, self.taken))
        return made


def _default(value: Any, function: str) -> str:
    if not isinstance(value, int | float):
        raise RuleError(f"{function}: the default {value!r} must be a number")
    return _number(value)


def _statement(s: ast.stmt, names: Names) -> list[str]:
    def text(e: ast.expr) -> str:
        return _text(e, names)

    def block(body: list[ast.stmt]) -> list[str]:
        return [f"    {line}" for inner in body for line in _statement(inner, names)]

    match s:
        case ast.Expr(ast.Constant(str())):  # the docstring
            return []
        case ast.Expr(value):
            return [f"{text(value)};"]
        case ast.Assign([ast.Name(name)], value):
            return [f"{names[name]} = {text(value)};"]
        case ast.Assign([ast.Subscript() as place], value):
            return [f"{text(place)} = {text(value)};"]
        case ast.Return(ast.expr() as value):
            return [f"return {text(value)};"]
        case ast.If(test, body, orelse):
            other = ["} else {", *block(orelse)] if orelse else []
            return [f"if ({text(test)}) {{", *block(body), *other, "}"]
        case ast.For(ast.Name(name), ast.Call(ast.Name(called), [start, stop]), body, []) if (
            names.get(called) == _RANGE
        ):
            k = names[name]
            return [f"for (let {k} = {text(start)}; {k} < {text(stop)}; {k}++) {{", *block(body), "}"]
    raise RuleError(f"cannot print {ast.unparse(s).splitlines()[0]!r} in JavaScript")
