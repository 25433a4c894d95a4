"""Print a graph as JavaScript. Its numbers are float64, so arrays come out as NumPy's, bit for bit.

Powers of host scalars (``beta1**t``) are the exception: the standard leaves their last bit to the engine.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import replace

from ..errors import RuleError
from ..rules._host import kept
from .c_source import element
from .formula import Equation, equations
from .graph import Graph, Node

_CALLS = {"sqrt": "Math.sqrt", "absolute": "Math.abs", "sin": "Math.sin", "cos": "Math.cos", "exp": "Math.exp"}

_RESERVED = (  # of JavaScript's words, those that Python leaves free
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends "
    "false finally for function if implements import in instanceof interface let new null package private protected "
    "public return static super switch this throw true try typeof var void while with yield Math"
)


def javascript_source(graph: Graph) -> str:
    """Two functions: ``<rule>_scalars({t, <hyperparameters>})``, the host scalars of a step, once each; and
    ``<rule>_step(w, g, <state>, hp)``, which takes them as ``hp`` and writes into the arrays (``Float64Array``).

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import rmsprop
    >>> print(javascript_source(trace(rmsprop)))
    function rmsprop_scalars({t, lr, beta, eps}) {
        return [beta, 1 - beta, lr, eps];
    }
    <BLANKLINE>
    function rmsprop_step(w_, g_, s_, hp) {
        for (let i = 0; i < w_.length; i++) {
            const _w = w_[i];
            const _g = g_[i];
            const _s = s_[i];
            const __v0 = hp[0] * _s;
            const __v1 = hp[1] * _g;
            const __v2 = __v1 * _g;
            const __v3 = __v0 + __v2;
            const __v4 = hp[2] * _g;
            const __v5 = __v3 + hp[3];
            const __v6 = Math.sqrt(__v5);
            const __v7 = __v4 / __v6;
            const __v8 = _w - __v7;
            w_[i] = __v8;
            s_[i] = __v3;
        }
    }
    """
    return f"{javascript_scalars(graph)}\n\n{javascript_step(graph)}"


def javascript_step(graph: Graph) -> str:
    """``<rule>_step`` alone."""
    made, outputs = element(graph, _CALLS, _slots(graph))
    lines = [f"const _{name} = {name}_[i];" for name in graph.inputs]
    lines += [f"const {name} = {text};" for name, text, _ in made]
    lines += [f"{name}_[i] = {text};" for name, text in zip(graph.written, outputs, strict=True)]
    body = "".join(f"        {line}\n" for line in lines)
    parameters = ", ".join([*(f"{name}_" for name in graph.inputs), "hp"])
    return (
        f"function {_name(graph)}_step({parameters}) {{\n    for (let i = 0; i < w_.length; i++) {{\n{body}    }}\n}}"
    )


def javascript_scalars(graph: Graph) -> str:
    """``<rule>_scalars({t, <hyperparameters>})`` alone, after the functions it calls.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import adam
    >>> print(javascript_scalars(trace(adam)))
    function adam_scalars({t, lr, beta1, beta2, eps}) {
        return [beta1, 1 - beta1, beta2, 1 - beta2, 1 - beta1 ** t, 1 - beta2 ** t, lr, eps];
    }
    """
    values = ", ".join(_text(ast.parse(slot, mode="eval").body) for slot in graph.slots)
    given = ", ".join(
        name if _identifier(name) == name else f"{name}: {_identifier(name)}" for name in ("t", *graph.hyperparameters)
    )
    functions = "".join(f"{text}\n\n" for text in _functions(list(graph.functions.values())).values())
    return f"{functions}function {_name(graph)}_scalars({{{given}}}) {{\n    return [{values}];\n}}"


def javascript_function(graph: Graph, name: str) -> str:
    """The graph as a function of numbers, ``name(<inputs>, hp)``, that returns the array of its outputs.

    >>> from optimlab.kernels import trace_function
    >>> print(javascript_function(trace_function(lambda x, y: x * x - 2 * y), "height"))
    function height(_x, _y, hp) {
        const __v0 = _x * _x;
        const __v1 = 2 * _y;
        const __v2 = __v0 - __v1;
        return [__v2];
    }
    """
    made, outputs = element(graph, _CALLS, _slots(graph))
    lines = "".join(f"    const {value} = {text};\n" for value, text, _ in made)
    parameters = ", ".join([*(f"_{name}" for name in graph.inputs), "hp"])
    return f"function {name}({parameters}) {{\n{lines}    return [{', '.join(outputs)}];\n}}"


def with_terms(graph: Graph) -> tuple[Graph, list[Equation]]:
    """The same rule, returning every variable that its formula names, and what each stands for in the formula.

    Scalars with a name (Nadam's mu) become slots, and outputs that read them.
    """
    made = equations(graph)
    scalars = {e.name: ast.unparse(e.value) for e in made if e.node is None}
    slots = (*graph.slots, *(text for text in scalars.values() if text not in graph.slots))
    nodes = tuple(e.node or Node("slot", value=slots.index(scalars[e.name])) for e in made)
    return replace(graph, slots=slots, outputs=nodes), made


def _name(graph: Graph) -> str:
    return graph.name if graph.name.isidentifier() and graph.name.isascii() else "rule"


def _slots(graph: Graph) -> dict[int, str]:
    """Constants are written where they stand; the rest is reached by its place in ``hp``."""

    def text(k: int, slot: str) -> str:
        constant = not any(isinstance(part, ast.Name | ast.BinOp) for part in ast.walk(ast.parse(slot)))
        return slot if constant else f"hp[{k}]"

    return {k: text(k, slot) for k, slot in enumerate(graph.slots)}


def _identifier(name: str) -> str:
    return f"{name}_" if name in _RESERVED.split() else name


# --- host scalars: Python's arithmetic of numbers

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
_BUILTINS = {"abs": "Math.abs", "min": "Math.min", "max": "Math.max", "kept": "kept"}


def _text(e: ast.expr, least: int = 0) -> str:
    """An expression; in parentheses where it binds less tightly than ``least``."""
    text, binds = _printed(e)
    return text if binds >= least else f"({text})"


def _printed(e: ast.expr) -> tuple[str, int]:
    match e:
        case ast.Name(name):
            return _identifier(name), 5
        case ast.Constant(int() | float() as value):
            return repr(value), 5
        case ast.BinOp(left, ast.Pow(), right):
            return f"{_text(left, 5)} ** {_text(right, 4)}", 4
        case ast.BinOp(left, ast.FloorDiv(), right):
            return f"Math.floor({_text(left, 2)} / {_text(right, 3)})", 5
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            symbol, binds = _OPERATORS[type(operator)]
            return f"{_text(left, binds)} {symbol} {_text(right, binds + 1)}", binds
        case ast.UnaryOp(ast.USub(), operand):
            return f"-{_text(operand, 5)}", 3
        case ast.Compare(left, [operator], [right]) if type(operator) in _OPERATORS:
            return f"Number({_text(left, 1)} {_OPERATORS[type(operator)][0]} {_text(right, 1)})", 5
        case ast.Subscript(value, index):
            return f"{_text(value, 5)}[{_text(index)}]", 5
        case ast.Call(ast.Name("len"), [argument]):
            return f"{_text(argument, 5)}.length", 5
        case ast.Call(ast.Attribute(value, "append"), [argument]):
            return f"{_text(value, 5)}.push({_text(argument)})", 5
        case ast.Call(ast.Name("float"), [argument]):
            return _printed(argument)
        case ast.Call(ast.Name(name), arguments, []):
            return f"{_BUILTINS.get(name, name)}({', '.join(map(_text, arguments))})", 5
    raise RuleError(f"{ast.unparse(e)} has no JavaScript here; accepted: + - * / // **, comparisons, abs, min, max")


def _functions(functions: list[Callable[..., float]]) -> dict[str, str]:
    """The text of functions marked with :func:`optimlab.rules.host`, after that of those they call."""
    texts: dict[str, str] = {}
    for function in functions:
        plain = inspect.unwrap(function)
        definition = ast.parse(textwrap.dedent(inspect.getsource(plain))).body[0]
        if not isinstance(definition, ast.FunctionDef):
            raise RuleError(f"{plain.__name__} is no function with a name and a body: it cannot be printed")
        for call in ast.walk(definition):
            match call:
                case ast.Call(ast.Name("kept")) if plain.__globals__.get("kept") is kept:
                    texts["kept"] = "function kept(key) {\n    return (kept.lists ??= {})[key] ??= [1.0];\n}"
                case ast.Call(ast.Name(name)) if callable(other := plain.__globals__.get(name)):
                    texts |= _functions([other])
        texts[plain.__name__] = _function(definition)
    return texts


def _function(definition: ast.FunctionDef) -> str:
    assigned = [
        _identifier(target.id)
        for node in ast.walk(definition)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    names = dict.fromkeys(assigned)
    lines = [f"let {', '.join(names)};"] if names else []
    lines += [line for statement in definition.body for line in _statement(statement)]
    parameters = ", ".join(_identifier(a.arg) for a in definition.args.args)
    return f"function {definition.name}({parameters}) {{\n" + "".join(f"    {line}\n" for line in lines) + "}"


def _statement(s: ast.stmt) -> list[str]:
    def block(body: list[ast.stmt]) -> list[str]:
        return [f"    {line}" for inner in body for line in _statement(inner)]

    match s:
        case ast.Expr(ast.Constant(str())):  # the docstring
            return []
        case ast.Expr(value):
            return [f"{_text(value)};"]
        case ast.Assign([ast.Name(name)], value):
            return [f"{_identifier(name)} = {_text(value)};"]
        case ast.Return(ast.expr() as value):
            return [f"return {_text(value)};"]
        case ast.If(test, body, orelse):
            other = ["} else {", *block(orelse)] if orelse else []
            return [f"if ({_text(test)}) {{", *block(body), *other, "}"]
        case ast.For(ast.Name(name), ast.Call(ast.Name("range"), [start, stop]), body):
            return [f"for (let {name} = {_text(start)}; {name} < {_text(stop)}; {name}++) {{", *block(body), "}"]
    raise RuleError(f"{ast.unparse(s).splitlines()[0]!r} has no JavaScript here")
