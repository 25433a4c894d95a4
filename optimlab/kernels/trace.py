"""Record a rule's expression graph by calling it once with stand-ins for arrays and scalars.

Expressions of only hyperparameters (``1 - beta1**t``) are kept as Python expressions and computed once per step on the
host in float64. They reach the arrays as slots, just as NumPy treats a Python float. Operations on arrays form a graph
of elementwise operations, with equal subexpressions merged. Anything else, such as a sum, a branch on an array, or a
global array, raises an error that names it.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import numpy as np

from ..common.errors import InputError, RuleError
from ..rules import LayerRule
from .graph import INFIX, OPERATIONS, Graph, Node
from .local_names import Frames
from .names import distinct, function_name

T = TypeVar("T")

_NAMED = [*(op for op in OPERATIONS if op not in {*INFIX, "negative", "power", "erf"}), "reciprocal", "clip"]
_ACCEPTED = f"accepted on arrays: + - * / **, comparisons, np.{', np.'.join(_NAMED)}, scipy.special.erf"

MOST_MULTIPLIED = 32
"""The largest whole exponent that becomes multiplications: rounding may change x^n by n - 1 units in the last place.
A larger exponent is left to the function pow."""

_SCALAR_OPERATORS: dict[str, ast.operator | ast.cmpop] = {
    "add": ast.Add(),
    "sub": ast.Sub(),
    "mul": ast.Mult(),
    "truediv": ast.Div(),
    "floordiv": ast.FloorDiv(),
    "mod": ast.Mod(),
    "pow": ast.Pow(),
    "lt": ast.Lt(),
    "le": ast.LtE(),
    "gt": ast.Gt(),
    "ge": ast.GtE(),
    "eq": ast.Eq(),
    "ne": ast.NotEq(),
}
_ARGUMENTS = ("parameters", "rule", "groups")
"""Arguments of Optimizer: a hyperparameter of the same name would be ambiguous."""

_UFUNC_ALIASES = {"true_divide": "divide", "abs": "absolute", "fabs": "absolute"}


def declaration(rule: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, float], dict[str, float]]:
    """Read a rule's signature: ``(array inputs, initial state, hyperparameter defaults)``.

    >>> from optimlab.rules.textbook import momentum
    >>> declaration(momentum)
    (('w', 'g', 'm'), {'m': 0.0}, {'lr': 0.01, 'beta': 0.9})
    """
    name = getattr(rule, "__name__", repr(rule))
    try:
        parameters = inspect.signature(rule).parameters.values()
    except (TypeError, ValueError):
        raise RuleError(f"{rule!r} is not a rule: a rule is a Python function of (w, g, *state)") from None
    inputs: list[str] = []
    state: dict[str, float] = {}
    hyperparameters: dict[str, float] = {}
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise RuleError(f"rule {name}: its signature has *{p.name}; name every state and hyperparameter")
        given = p.default is not p.empty
        if given and not _is_number(p.default):
            raise RuleError(f"rule {name}: the default of {p.name} is {p.default!r}; it must be a Python float")
        if p.kind is p.KEYWORD_ONLY:
            if p.name == "t":
                continue
            if p.name in _ARGUMENTS:
                raise RuleError(
                    f"rule {name}: rename the hyperparameter {p.name}: Optimizer has an argument of that name"
                )
            if not given:
                raise RuleError(f"rule {name}: hyperparameter {p.name} needs a default value")
            if math.isinf(p.default):  # no check of a value and no checkpoint accepts it
                raise RuleError(
                    f"rule {name}: the default of {p.name} is {p.default!r}, but a hyperparameter must be finite: "
                    f"use a large number, such as {math.copysign(1e30, p.default)!r}"
                )
            hyperparameters[p.name] = float(p.default)
        else:
            inputs.append(p.name)
            if p.name == "t":
                raise RuleError(f"rule {name}: t, the number of the step, must come after *: (w, g, *, t, lr=0.1)")
            if len(inputs) > 2:
                state[p.name] = float(p.default) if given else 0.0
    if inputs[:2] != ["w", "g"]:
        raise RuleError(f"rule {name}: its signature must begin with (w, g), then state, then * and hyperparameters")
    return tuple(inputs), state, hyperparameters


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    except OverflowError:  # an integer too large for a float
        return False


def trace(rule: Callable[..., Any]) -> Graph:
    """Return the expression graph of ``rule``, with the present values of its global and outer variables.

    Raises
    ------
    RuleError: the rule is not elementwise, or would change the arrays' dtype; the message names the offending
        operation. Or two calls of the rule compute different formulas.

    >>> def adagrad(w, g, s, *, lr=0.01, eps=1e-10):
    ...     s = s + g * g
    ...     return w - lr * g / np.sqrt(s + eps), s
    >>> graph = trace(adagrad)
    >>> graph.slots
    ('lr', 'eps')
    >>> [node.op for node in graph.nodes]
    ['multiply', 'add', 'multiply', 'add', 'sqrt', 'divide', 'subtract']

    >>> trace(lambda w, g, *, lr=0.1: w - lr * g / g.sum())
    Traceback (most recent call last):
    ...
    optimlab.common.errors.RuleError: rule <lambda> is not elementwise: it uses .sum; accepted on arrays: ...
    """
    if isinstance(rule, LayerRule):
        raise RuleError(f"{rule.__name__} looks at whole tensors: it is called per parameter, never elementwise")
    if not callable(rule):
        raise RuleError(f"{rule!r} is not a rule: a rule is a Python function of (w, g, *state)")
    return _recorded_twice("rule", _record_rule, rule)


def _record_rule(rule: Callable[..., Any]) -> Graph:
    inputs, state, hyperparameters = declaration(rule)
    frames = Frames(rule)
    recorder = _Recorder(getattr(rule, "__name__", "rule"), hyperparameters, note=frames.note)
    arrays = [_Array(recorder, recorder.node("input", value=name)) for name in inputs]
    scalars = {name: _Scalar(recorder, ast.Name(name)) for name in hyperparameters}
    if "t" in inspect.signature(rule).parameters:
        scalars["t"] = _Scalar(recorder, ast.Name("t"))
    try:
        returned = rule(*arrays, **scalars)
        names, scalar_names = _local_names(frames)
    except (RuleError, InputError):
        raise
    except Exception as error:
        raise RuleError(f"rule {recorder.name} raises {type(error).__name__}: {error}") from error
    finally:
        frames.forget()
    outputs = returned if isinstance(returned, tuple) else (returned,)
    expected = 1 + len(state)
    if len(outputs) != expected:
        wanted = ", ".join(f"new {name}" for name in ("w", *state))
        number = "1 value" if len(outputs) == 1 else f"{len(outputs)} values"
        advice = "; hyperparameters such as lr stand after *" if "lr" in state else ""
        raise RuleError(f"rule {recorder.name} returns {number}; it must return ({wanted}){advice}")
    for value in outputs:
        if not isinstance(value, _Array) or value.node.is_mask:
            kind = "a boolean" if isinstance(value, _Array) else type(value).__name__.lstrip("_").lower()
            kind = "None" if value is None else kind
            raise RuleError(f"rule {recorder.name} returns {kind} in place of an array of weights or state")
    written = ("w", *inputs[2:])
    graph = recorder.graph(inputs, written, state, hyperparameters, tuple(v.node for v in outputs))
    return replace(graph, names=names, scalar_names=scalar_names)


def trace_function(function: Callable[..., Any]) -> Graph:
    """Return the expression graph of a plain function of arrays, such as ``f(x, y, *, slope=0.1)``.

    Its keyword-only arguments are numbers, the graph's ``hyperparameters``; without a default they are NaN.

    Raises
    ------
    RuleError: the function is not elementwise, and the message names the offending operation; or two calls compute
        different formulas.

    >>> graph = trace_function(lambda x, y: (x * x + 3 * y, np.sin(y)))
    >>> graph.inputs, graph.slots, [node.op for node in graph.outputs]
    (('x', 'y'), ('3',), ['add', 'sin'])
    """
    return _recorded_twice("function", _record_function, function)


def _record_function(function: Callable[..., Any]) -> Graph:
    parameters = inspect.signature(function).parameters.values()
    inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
    numbers = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    frames = Frames(function)
    recorder = _Recorder(function.__name__, numbers, "function", frames.note)
    arrays = [_Array(recorder, recorder.node("input", value=name)) for name in inputs]
    try:
        returned = function(*arrays, **{name: _Scalar(recorder, ast.Name(name)) for name in numbers})
        names, scalar_names = _local_names(frames)
    finally:
        frames.forget()
    outputs = returned if isinstance(returned, tuple) else (returned,)
    written = tuple(f"out{k + 1}" for k in range(len(outputs))) if len(outputs) > 1 else ("out",)
    for name in written:
        if name in inputs:
            raise RuleError(f"function {recorder.name}: rename its argument {name}: an output has that name")
    defaults = {name: math.nan if value is inspect.Parameter.empty else value for name, value in numbers.items()}
    graph = recorder.graph(inputs, written, {}, defaults, tuple(map(recorder.operand, outputs)))
    return replace(graph, names=names, scalar_names=scalar_names)


def _recorded_twice(kind: str, record: Callable[[Callable[..., Any]], Graph], function: Callable[..., Any]) -> Graph:
    """Record a graph, and compare it with that of a second call: a random number would become a constant."""
    graph = record(function)
    if _formula(record(function)) != _formula(graph):
        raise RuleError(
            f"{kind} {graph.name} computes a different formula at each call, for example with a random number; "
            f"a {kind} may depend on its arguments alone"
        )
    return graph


def _formula(graph: Graph) -> list[Any]:
    """Return what a graph computes, as plain data."""
    places = {node: k for k, node in enumerate(graph.nodes)}

    def key(node: Node) -> Any:
        return places.get(node, (node.op, node.value))

    return [graph.slots, [(node.op, *map(key, node.args)) for node in graph.nodes], *map(key, graph.outputs)]


def _local_names(frames: Frames) -> tuple[dict[Node, str], dict[str, str]]:
    """Return the names of arrays, by node, and of scalars, by text, in the rule and the functions it calls.

    All names are distinct; the rule's names come first.
    """
    names: dict[Node, str] = {}
    scalar_names: dict[str, str] = {}
    for variables in frames.variables():
        arrays = {v.node: name for name, v in variables.items() if isinstance(v, _Array) and not v.node.is_leaf}
        scalars = {v.text: name for name, v in variables.items() if isinstance(v, _Scalar) and not v.is_name}
        _add(arrays, names)
        _add(scalars, scalar_names)
    return names, scalar_names


def _add(new: dict[T, str], known: dict[T, str]) -> None:
    taken = set(known.values())
    known.update({thing: name for thing, name in new.items() if name not in taken and thing not in known})


class _Recorder:
    """The nodes recorded so far; equal subexpressions are one node."""

    def __init__(
        self,
        name: str,
        hyperparameters: Iterable[str],
        kind: str = "rule",
        note: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.note = note
        self.hyperparameters = {*hyperparameters, "t"}
        self._nodes: dict[tuple[Any, ...], Node] = {}
        self._slots: list[str] = []
        self.functions: dict[str, Callable[..., float]] = {}
        self.exact = True

    def refuse(self, operation: str, advice: str = "") -> NoReturn:
        raise RuleError(f"{self.kind} {self.name} is not elementwise: it uses {operation}; {advice or _ACCEPTED}")

    def node(self, op: str, args: tuple[Node, ...] = (), value: Any = None) -> Node:
        key = (op, *map(id, args), value)
        return self._nodes.setdefault(key, Node(op, args, value))

    def operand(self, value: Any) -> Node:
        if isinstance(value, _Array):
            return value.node
        if isinstance(value, _Scalar):
            return self.slot(value.text)
        if isinstance(value, bool | np.generic | np.ndarray) or not isinstance(value, int | float):
            kind = f"a NumPy {value.dtype} value" if hasattr(value, "dtype") else f"a {type(value).__name__}"
            self.refuse(
                f"{kind} from outside the rule",
                "everything a rule needs must come through its signature; constants are Python floats",
            )
        return self.slot(ast.unparse(self.constant(value)))

    def constant(self, value: float) -> ast.expr:
        try:
            if math.isfinite(value):
                plain = float(value) if isinstance(value, float) else int(value)
                negative = math.copysign(1, plain) < 0  # the minus sign is part of the number, in a power too
                return ast.UnaryOp(ast.USub(), ast.Constant(-plain)) if negative else ast.Constant(plain)
        except OverflowError:  # an integer too large for a float
            pass
        name = repr(value) if isinstance(value, float) else "an integer too large for a float"
        self.refuse(f"the constant {name}", "constants must be finite")

    def function(self, function: Callable[..., float]) -> str:
        """Return the name of a function of scalars in the slots."""
        for name, known in self.functions.items():
            if known is function:
                return name
        name = distinct(function_name(function.__name__), {*self.functions, *self.hyperparameters})
        self.functions[name] = function
        return name

    def slot(self, text: str) -> Node:
        if text not in self._slots:
            self._slots.append(text)
        return self.node("slot", value=self._slots.index(text))

    def apply(self, op: str, *values: Any) -> _Array:
        self.note()
        self.exact &= op != "erf"
        operands = tuple(map(self.operand, values))
        if op != "where" and any(o.is_mask for o in operands):
            self.refuse(f"np.{op} on a comparison's result", "write np.where(g > 0, a, b)")
        if op == "where":
            if not operands[0].is_mask or operands[1].is_mask or operands[2].is_mask:
                self.refuse("np.where without a comparison as its first argument", "write np.where(g > 0, a, b)")
            if operands[1].op == operands[2].op == "slot" and self.kind == "rule":
                self.refuse("np.where between two scalars", "NumPy makes that float64; let one branch be an array")
        return _Array(self, self.node(op, operands))

    def power(self, base: Any, exponent: Any) -> _Array:
        """Record ``base ** exponent``, by roots and multiplications if the exponent allows it."""
        plain = isinstance(exponent, int | float) and not isinstance(exponent, bool | np.generic)
        if not plain or not isinstance(base, _Array):
            self.exact &= not isinstance(exponent, _Scalar)  # NumPy's ** depends on the number: with 2 it squares
            return self.apply("power", base, exponent)
        if exponent == 0.5:
            return self.apply("sqrt", base)
        if exponent == 0 or (exponent % 1 and exponent != -0.5) or abs(exponent) > MOST_MULTIPLIED:
            return self.apply("power", base, exponent)
        self.exact &= exponent in (-1, 1, 2)
        if exponent == -0.5:
            return self.inverse(self.apply("sqrt", base))
        made = self.multiplied(base, abs(int(exponent)))
        return made if exponent > 0 else self.inverse(made)

    def multiplied(self, base: _Array, exponent: int) -> _Array:
        """Record ``base`` to a whole power of at least 1, by repeated squaring."""
        if exponent == 1:
            if base.node.is_mask:
                self.refuse("np.power on a comparison's result", "write np.where(g > 0, a, b)")
            return base
        half = self.apply("square", self.multiplied(base, exponent // 2))
        return self.apply("multiply", half, base) if exponent % 2 else half

    def inverse(self, value: Any) -> _Array:
        return self.apply("divide", 1, value)

    def clipped(self, x: Any, low: Any, high: Any) -> Any:
        """Record a clip, with the lower bound first, as in NumPy: if the bounds are crossed, the upper one wins."""
        if not isinstance(x, _Array):
            self.refuse("np.clip of a scalar", "NumPy makes that float64; write np.minimum and np.maximum")
        if low is not None:
            x = self.apply("maximum", x, low)
        return x if high is None else self.apply("minimum", x, high)

    def graph(
        self,
        inputs: tuple[str, ...],
        written: tuple[str, ...],
        state: dict[str, float],
        hyperparameters: dict[str, float],
        outputs: tuple[Node, ...],
    ) -> Graph:
        live = set(outputs)
        ordered = list(self._nodes.values())
        for node in reversed(ordered):
            if node in live:
                live.update(node.args)
        nodes = tuple(n for n in ordered if n in live and not n.is_leaf)
        slots = tuple(self._slots)
        return Graph(
            self.name,
            inputs,
            written,
            state,
            hyperparameters,
            slots,
            nodes,
            outputs,
            functions=self.functions,
            exact=self.exact,
        )


class _Array(np.lib.mixins.NDArrayOperatorsMixin):
    """A stand-in for an array of any shape."""

    def __init__(self, recorder: _Recorder, node: Node) -> None:
        self._recorder = recorder
        self.node = node

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> _Array:
        name = _UFUNC_ALIASES.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__":
            self._recorder.refuse(f"np.{ufunc.__name__}.{method}")
        if kwargs:
            self._recorder.refuse(
                f"np.{name} with {', '.join(kwargs)}=",
                "an in-place form (w -= ..., out=) would change the caller's arrays; write w = w - ...",
            )
        if name == "power":
            return self._recorder.power(*inputs)
        if name == "reciprocal":
            return self._recorder.inverse(*inputs)
        if name == "positive":
            return self
        if name not in OPERATIONS:
            self._recorder.refuse(f"np.{ufunc.__name__}")
        return self._recorder.apply(name, *inputs)

    def record(self, operation: str) -> _Array:
        """Record an operation that NumPy has no function for."""
        return self._recorder.apply(operation, self)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.where and len(args) == 3 and not kwargs:
            return self._recorder.apply("where", *args)
        if function is np.clip:
            try:
                bounded = _clip_arguments(*args, **kwargs)
            except TypeError:
                self._recorder.refuse(f"np.clip with {', '.join(kwargs) or 'out'}=", "write np.clip(g, low, high)")
            return self._recorder.clipped(*bounded)
        module = function.__module__.replace("numpy", "np", 1)
        self._recorder.refuse(f"{module}.{function.__name__}")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._recorder.refuse(f".{name}")

    def record_call(self, function: Callable[..., float], arguments: tuple[Any, ...]) -> NoReturn:
        self._recorder.refuse(f"{function.__name__}() on an array", "a function marked with host takes only scalars")

    def __bool__(self) -> bool:
        self._recorder.refuse("a branch on an array (if, and, or, not, max(), min())", "use np.where, np.maximum")

    def __float__(self) -> float:
        self._recorder.refuse("float() or a math function on an array", "use the np. function")

    def __int__(self) -> int:
        self._recorder.refuse("int() or an index made of an array")

    __index__ = __int__
    __complex__ = __float__

    def __contains__(self, value: Any) -> bool:
        self._recorder.refuse("a search in an array (in)")

    def __getitem__(self, index: Any) -> NoReturn:
        self._recorder.refuse("indexing [...]")

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        self._recorder.refuse("assignment into an array [...] = ...")

    def __iter__(self) -> NoReturn:
        self._recorder.refuse("iteration over an array")

    def __len__(self) -> int:
        self._recorder.refuse("len() of an array")

    def __matmul__(self, other: Any) -> NoReturn:
        self._recorder.refuse("the matrix product @")

    __rmatmul__ = __matmul__


def _clip_arguments(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> tuple[Any, Any, Any]:
    """Sort the arguments of np.clip, by NumPy's names."""
    return a, a_min if min is None else min, a_max if max is None else max


class _Scalar:
    """A hyperparameter, ``t``, or an expression of them, stored as a Python syntax tree."""

    def __init__(self, recorder: _Recorder, tree: ast.expr) -> None:
        self._recorder = recorder
        self.tree = tree
        recorder.note()

    @cached_property
    def text(self) -> str:
        try:
            return ast.unparse(self.tree)
        except RecursionError:
            self._recorder.refuse(
                "hundreds of nested operations on scalars",
                "put them into a function marked with optimlab.rules.host",
            )

    @property
    def is_name(self) -> bool:
        return isinstance(self.tree, ast.Name)

    def _combine(self, operator: ast.operator | ast.cmpop, left: Any, right: Any) -> Any:
        trees = []
        for value in (left, right):
            if isinstance(value, _Scalar):
                trees.append(value.tree)
            elif isinstance(value, int | float) and not isinstance(value, bool | np.generic):
                trees.append(self._recorder.constant(value))
            elif isinstance(value, _Array):
                return NotImplemented  # the array's own operator takes over
            else:
                self._recorder.refuse(
                    f"a {type(value).__name__} from outside the rule",
                    "everything a rule needs must come through its signature; constants are Python floats",
                )
        if isinstance(operator, ast.cmpop):
            return _Scalar(self._recorder, ast.Compare(trees[0], [operator], [trees[1]]))
        return _Scalar(self._recorder, ast.BinOp(trees[0], operator, trees[1]))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, _Array) for value in inputs):
            return NotImplemented
        self._recorder.refuse(
            f"np.{ufunc.__name__} on a hyperparameter",
            "it returns a NumPy float64, which would turn float32 weights into float64; "
            "write plain Python, such as (1 - beta2**t) ** 0.5",
        )

    def record_call(self, function: Callable[..., float], arguments: tuple[Any, ...]) -> _Scalar:
        """Record a call of a function marked with :func:`optimlab.rules.host`, which runs once per step."""
        for value in arguments:
            if isinstance(value, _Array):
                value.record_call(function, arguments)
            if not isinstance(value, _Scalar | int | float):
                self._recorder.refuse(
                    f"{function.__name__}() of a {type(value).__name__}", "a function marked with host takes numbers"
                )
        trees = [value.tree if isinstance(value, _Scalar) else self._recorder.constant(value) for value in arguments]
        return _Scalar(self._recorder, ast.Call(ast.Name(self._recorder.function(function)), trees, []))

    def __neg__(self) -> _Scalar:
        return _Scalar(self._recorder, ast.UnaryOp(ast.USub(), self.tree))

    def __pos__(self) -> _Scalar:
        return self

    def __abs__(self) -> _Scalar:
        # not abs(...): a hyperparameter may have that name
        return _Scalar(self._recorder, ast.Call(ast.Attribute(self.tree, "__abs__"), [], []))

    def __float__(self) -> float:
        self._recorder.refuse(
            "float(), round() or a math function on a hyperparameter",
            "write it with operators, such as x ** 0.5, or mark your function with optimlab.rules.host",
        )

    def __bool__(self) -> bool:
        self._recorder.refuse(
            "a branch on a hyperparameter (if, and, or, not, max(), min())",
            "a comparison is a number, 0 or 1: write (1 - dampening * (t > 1))",
        )

    def __round__(self, digits: int = 0) -> NoReturn:
        self.__float__()
        raise AssertionError

    __int__ = __index__ = __trunc__ = __floor__ = __ceil__ = __float__
    __hash__ = None  # type: ignore[assignment]


def _scalar_operator(operator: ast.operator | ast.cmpop, reflected: bool) -> Callable[[_Scalar, Any], Any]:
    def method(self: _Scalar, other: Any) -> Any:
        return self._combine(operator, *((other, self) if reflected else (self, other)))

    return method


for _name, _operator in _SCALAR_OPERATORS.items():
    setattr(_Scalar, f"__{_name}__", _scalar_operator(_operator, reflected=False))
    setattr(_Scalar, f"__r{_name}__", _scalar_operator(_operator, reflected=True))


def _refused_operator(symbol: str) -> Callable[..., NoReturn]:
    def method(self: _Scalar, *others: Any) -> NoReturn:
        self._recorder.refuse(f"{symbol} on a hyperparameter", "to combine two comparisons, multiply them")

    return method


for _name, _symbol in {"and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>", "matmul": "@"}.items():
    setattr(_Scalar, f"__{_name}__", _refused_operator(_symbol))
    setattr(_Scalar, f"__r{_name}__", _refused_operator(_symbol))
for _name, _symbol in {"invert": "~", "divmod": "divmod()", "rdivmod": "divmod()", "getitem": "indexing [...]"}.items():
    setattr(_Scalar, f"__{_name}__", _refused_operator(_symbol))
