"""Python code for the functions that a rule calls once per step, for Python's floats or for traced scalars."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, NoReturn

from ..common.errors import RuleError
from ..kernels import Graph
from ..kernels.host_functions import called_functions, outside, source_tree
from ..kernels.names import distinct
from ..rules._host import decaying_beta_product, kept
from .statements import comparisons_as_numbers

_KEPT = '''\
@lru_cache(maxsize=16)
def kept(key):
    """The table of a key, to be filled in order."""
    return {0: 1.0}'''

_PRODUCT = '''\
def {name}(t, beta1, momentum_decay):
    """mu_1 mu_2 ... mu_t with mu_k = beta1 (1 - 0.96^(k momentum_decay) / 2), in closed form.

    The logarithm of each factor is a power series; summed over k, its terms are geometric series.
    """
    pace = momentum_decay * {log:.17g}  # the logarithm of 0.96
    j = {arange}
    sums = {m}.where(j * pace < 0, {m}.exp(j * pace) * {m}.expm1(j * t * pace) / {m}.expm1(j * pace), 1.0 * t)
    return beta1**t * {m}.exp(-{m}.sum(0.5**j / j * sums))'''

_ARANGE = {
    "jnp": "jnp.arange(1.0, 65.0)",
    "ops": "ops.arange(1.0, 65.0, dtype=keras.backend.standardize_dtype(t.dtype))",
}
_OF_MATH = ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh")
_IN_MODULE = {min: "minimum", max: "maximum", abs: "abs"} | {getattr(math, name): name for name in _OF_MATH}

_NUMBER = {"jnp": "1.0 * ({})", "ops": "ops.cast({}, keras.config.floatx())"}
"""A comparison as a number."""

Function = Callable[..., Any]


class HostCode(NamedTuple):
    """The texts of functions, and the lines that import what they need."""

    texts: list[str]
    imports: list[str]


def host_code(graph: Graph, names: Mapping[str, str], module: str = "") -> HostCode:
    """Print the functions that the scalars of a rule call.

    Without ``module`` the functions compute with Python's floats and keep their source. With ``"jnp"`` or ``"ops"``
    they compute with traced scalars of that module: a branch that returns becomes ``where``, and a loop is an error.

    Parameters
    ----------
    graph: the traced rule.
    names: identifiers of the functions in ``graph.functions``.
    module: ``""``, ``"jnp"`` or ``"ops"``.

    Raises
    ------
    RuleError: a function cannot be written in this form, or its source is not available.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules import host
    >>> from optimlab.rules.modern import radam
    >>> print(host_code(trace(radam), {}, "jnp").texts[0].rpartition("    return ")[2])
    jnp.where(rho <= 5, 0.0, ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5)
    """
    labels = {function: names.get(label, label) for function, label in called_functions(graph).items()}
    texts: list[str] = []
    imports: list[str] = []
    for function, label in labels.items():
        if module and function is inspect.unwrap(decaying_beta_product):
            texts.append(_PRODUCT.format(name=label, m=module, log=math.log(0.96), arange=_ARANGE[module]))
            continue
        used = [inspect.unwrap(value) if callable(value) else value for value in outside(function).values()]
        if kept in used and not module:
            texts.append(_KEPT)
            imports.append("from functools import lru_cache")
        if math in used and not module:
            imports.append("import math")
        texts.append(ast.unparse(function_tree(function, labels, module)))
    return HostCode(list(dict.fromkeys(texts)), list(dict.fromkeys(imports)))


def function_tree(
    function: Function, labels: Mapping[Function, str], module: str, words: Collection[str] = ()
) -> ast.FunctionDef:
    """Return the definition of a function under its printed name, with the printed names of functions that it calls.

    With a module, its functions replace Python's, there are no branches, and no variable is called like the module,
    a function or one of ``words``.
    """
    tree = source_tree(function)
    tree.name, tree.decorator_list, tree.returns = labels[function], [], None
    for argument in parameters(tree):
        argument.annotation = None
    _insert_defaults(tree.args, function)
    if module:
        _rename_variables(tree, {*({module, "keras"} - {"c"}), *words, *labels.values(), *outside(function)})
        tree.body = _straight(tree, module)
    _Names(function, labels, module).visit(tree)
    if module in _NUMBER:
        for node in ast.walk(tree):
            match node:
                case ast.Assign(_, value) | ast.Return(ast.expr() as value):
                    node.value = comparisons_as_numbers(value, _NUMBER[module])
    if ast.get_docstring(tree, clean=False) is not None:
        first = tree.body[0]
        assert isinstance(first, ast.Expr)
        docstring = (ast.get_docstring(tree) or "").partition(">>>")[0].rstrip()
        first.value = ast.Constant(
            docstring.replace("\n", "\n    ").replace("\n    \n", "\n\n") + "\n    " * ("\n" in docstring)
        )
    return ast.fix_missing_locations(tree)


def parameters(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _rename_variables(function: ast.FunctionDef, taken: Collection[str]) -> None:
    """Rename the parameters and variables of a function whose names are taken."""
    nodes = list(ast.walk(function))
    variables = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    own = {argument.arg for argument in parameters(function)} | {*variables}
    new = {name: distinct(name, {*taken, *own}) for name in own if name in taken}
    for node in nodes:
        if isinstance(node, ast.Name):
            node.id = new.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = new.get(node.arg, node.arg)


def _insert_defaults(arguments: ast.arguments, function: Function) -> None:
    """Replace the default arguments by their values: they may be names from outside the function."""
    declared = inspect.signature(function).parameters

    def value(argument: ast.arg) -> ast.expr:
        default = declared[argument.arg].default
        if not isinstance(default, bool | int | float):
            raise RuleError(f"{function.__name__}: the default {default!r} must be a number")
        return _constant(default)

    plain = [*arguments.posonlyargs, *arguments.args]
    arguments.defaults = [value(argument) for argument in plain[len(plain) - len(arguments.defaults) :]]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    arguments.kw_defaults = [default and value(argument) for argument, default in named]


def _constant(value: float) -> ast.expr:
    """Return a number as an expression: NumPy's floats as Python's, and NaN, which has no literal, as a difference."""
    plain = float(value) if isinstance(value, float) else value
    if plain != plain:
        return ast.BinOp(ast.Constant(math.inf), ast.Sub(), ast.Constant(math.inf))
    return ast.Constant(plain)


class _Names(ast.NodeTransformer):
    """Inserts numbers from outside a function where it reads them, and the printed names of functions that it calls."""

    def __init__(self, function: Function, labels: Mapping[Function, str], module: str) -> None:
        self.name = function.__name__
        self.outside = outside(function)
        self.labels = labels
        self.module = module

    def refuse(self, what: str) -> NoReturn:
        raise RuleError(f"{self.name} cannot be exported: it uses {what}, which is neither a number nor a function")

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.outside:
            return node
        value = self.outside[node.id]
        plain = inspect.unwrap(value) if callable(value) else value
        if isinstance(plain, bool | int | float):
            return _constant(plain)
        if callable(plain) and plain in self.labels:
            return ast.Name(self.labels[plain])
        if plain is math and not self.module:
            return ast.Name("math")
        if callable(plain) and self.module and plain in _IN_MODULE:
            return ast.Attribute(ast.Name(self.module), _IN_MODULE[plain])
        if plain in (kept, float) or (getattr(plain, "__module__", "") == "builtins" and not self.module):
            return ast.Name("kept" if plain is kept else node.id)
        self.refuse(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and self.outside.get(node.value.id) is math:
            value = getattr(math, node.attr, None)
            if isinstance(value, float):
                return _constant(value)
            if self.module and value in _IN_MODULE:
                return ast.Attribute(ast.Name(self.module), _IN_MODULE[value])
            if not self.module and callable(value):
                return ast.Attribute(ast.Name("math"), node.attr)
            self.refuse(f"math.{node.attr}")
        visited = self.generic_visit(node)
        assert isinstance(visited, ast.expr)
        return visited

    def visit_Call(self, node: ast.Call) -> ast.expr:
        visited = self.generic_visit(node)
        assert isinstance(visited, ast.Call)
        called = visited.func
        match called, visited.args:
            case ast.Name("float"), [argument] if self.module:
                return argument
            case ast.Attribute(ast.Name(self.module), "minimum" | "maximum"), arguments:
                return self._of_two(visited, arguments)
            case ast.Attribute(ast.Name(self.module), "log"), [argument, base]:
                return ast.BinOp(ast.Call(called, [argument], []), ast.Div(), ast.Call(called, [base], []))
        return visited

    def _of_two(self, call: ast.Call, arguments: Sequence[ast.expr]) -> ast.expr:
        """Return a minimum or maximum of any number of arguments by functions of two."""
        if len(arguments) < 2 or call.keywords or any(isinstance(a, ast.Starred) for a in arguments):
            raise RuleError(f"{self.name} cannot be exported: min and max need two or more numbers as arguments")
        return reduce(lambda a, b: ast.Call(call.func, [a, b], []), arguments)


def _straight(function: ast.FunctionDef, module: str) -> list[ast.stmt]:
    """Return the body of a function without branches: assignments, then one return."""

    def refuse(what: ast.AST) -> NoReturn:
        raise RuleError(
            f"{function.name} cannot be written for traced scalars: it has {ast.unparse(what).splitlines()[0]!r}; "
            "accepted: arithmetic, assignments to a new name, and an if with a return in it"
        )

    assignments: list[ast.stmt] = []
    if function.args.vararg or function.args.kwarg:
        refuse(function)
    known = {argument.arg for argument in parameters(function)}

    def value(statements: Sequence[ast.stmt]) -> ast.expr:
        for k, statement in enumerate(statements):
            match statement:
                case ast.Expr(ast.Constant(str())):
                    assignments.append(statement)
                case ast.Assign([ast.Name(name)]) if name not in known:
                    known.add(name)
                    assignments.append(statement)
                case ast.Return(ast.expr() as found):
                    return found
                case ast.If(test, [ast.Return(ast.expr() as found)], orelse):
                    rest = value([*orelse, *statements[k + 1 :]])
                    return ast.Call(ast.Attribute(ast.Name(module), "where"), [test, found, rest], [])
                case _:
                    refuse(statement)
        refuse(ast.Return())

    returned = ast.Return(value(function.body))
    for node in (node for statement in (*assignments, returned) for node in ast.walk(statement)):
        if isinstance(node, ast.IfExp | ast.BoolOp | ast.NamedExpr | ast.Lambda | ast.ListComp):
            refuse(node)
    return [*assignments, returned]
