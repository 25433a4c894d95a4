"""Targets PyTorch, Optax, Keras and NumPy: the parts that their templates print."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping
from copy import deepcopy

from ..common.errors import RuleError
from ..kernels import Graph, equations
from ..kernels.names import distinct, rule_name
from .foreach import foreach_lines
from .host_code import host_code
from .statements import array_printer, body, comparisons_as_numbers, with_step
from .target import Parts, Target, literal

_WORDS = " ".join([*keyword.kwlist, "abs zip super float ValueError"])
_PYTEST = "Run the file, or let pytest run it."
_NUMPY = f"{_WORDS} np erf"
_OPTAX = (
    f"{_WORDS} jax jnp np optax rule step count index given init update updates state params NamedTuple learning_rate"
)
_TORCH = (
    f"{_WORDS} torch group state states parameters gradients self params closure foreach maximize defaults step "
    "param_names differentiable capturable fused initial_lr update"
)


def _torch(graph: Graph, names: Mapping[str, str], dtype: str) -> Parts:
    made = body(graph, names, array_printer("torch", scalars=python), python)
    timed = [e.name for e in equations(graph) if e.node is not None]
    comments = {name: str(statement) for name, statement in zip(timed, made.arrays, strict=False)}
    functions = host_code(graph, names)
    return {
        "imports": functions.imports,
        "functions": functions.texts,
        "scalar_lines": [str(statement) for statement in made.scalars],
        "foreach_lines": foreach_lines(graph, made, names, python, comments),
    }


def _numpy(graph: Graph, names: Mapping[str, str], dtype: str) -> Parts:
    made = body(graph, names, array_printer("np", {"erf": "erf"}, python), python)
    functions = host_code(graph, names)
    return {
        "function": distinct(rule_name(graph.name), _NUMPY.split()),
        "imports": functions.imports,
        "more_imports": ["from scipy.special import erf"] if _has(graph, "erf") else [],
        "functions": functions.texts,
        "lines": [str(statement) for statement in made.statements],
        "results": list(made.results.values()),
    }


def _optax(graph: Graph, names: Mapping[str, str], dtype: str) -> Parts:
    def scalars(expression: ast.expr) -> str:
        return python(comparisons_as_numbers(expression, "1.0 * ({})"))

    printer = array_printer("jnp", {"erf": "erf"}, scalars)
    made = body(graph, {**names, "step": "step"}, printer, scalars, with_step(graph, "step"))
    return {
        "function": distinct(rule_name(graph.name), _OPTAX.split()),
        "more_imports": ["from jax.scipy.special import erf"] if _has(graph, "erf") else [],
        "functions": host_code(graph, names, "jnp").texts,
        "lines": [str(statement) for statement in made.statements],
        "results": [made.variables["step@new"], *list(made.results.values())[1:]],
    }


IN_FLOAT32 = {"tanh", "sin", "cos", "maximum", "minimum"}
"""Operations that Keras computes in float32, on some of its backends, even if the arrays are float64."""


def _keras(graph: Graph, names: Mapping[str, str], dtype: str) -> Parts:
    if "lr" not in graph.hyperparameters:
        raise RuleError(f"{graph.name} has no hyperparameter lr, but every Keras optimizer has a learning rate")
    fixed = {names[name] for name in graph.hyperparameters if name != "lr"}

    def scalars(expression: ast.expr) -> str:
        return python(comparisons_as_numbers(expression, f"ops.cast({{}}, {names['w']}.dtype)", fixed))

    made = body(graph, names, array_printer("ops", scalars=scalars), scalars)
    return {
        "functions": host_code(graph, names, "ops").texts,
        "rounded": sorted({node.op for node in graph.nodes} & IN_FLOAT32),
        "lines": [str(statement) for statement in made.statements],
        "results": list(made.results.values()),
    }


def _has(graph: Graph, operation: str) -> bool:
    return any(node.op == operation for node in graph.nodes)


def python(expression: ast.expr) -> str:
    """Print an expression of Python's numbers.

    >>> python(ast.parse("x.__abs__() ** 2", mode="eval").body)
    'abs(x) ** 2'
    """
    copied = deepcopy(expression)
    for node in ast.walk(copied):
        match node:
            case ast.Call(ast.Attribute(value, "__abs__"), []):
                node.func, node.args = ast.Name("abs"), [value]
    return ast.unparse(copied)


TARGETS: dict[str, Target] = {
    "torch": Target(
        "{} as a torch.optim.Optimizer",
        "PyTorch",
        _PYTEST,
        _torch,
        _TORCH,
        "torch.py.j2",
        literal,
    ),
    "optax": Target(
        "{} as an optax.GradientTransformation",
        "JAX and Optax",
        _PYTEST,
        _optax,
        _OPTAX,
        "optax.py.j2",
        literal,
    ),
    "keras": Target(
        "{} as a keras.optimizers.Optimizer of Keras 3",
        "Keras",
        _PYTEST,
        _keras,
        f"{_WORDS} keras ops np rule self name kwargs gradient variable variables learning_rate",
        "keras.py.j2",
        literal,
    ),
    "numpy": Target(
        "{} as a function of NumPy arrays",
        "NumPy",
        _PYTEST,
        _numpy,
        _NUMPY,
        "numpy.py.j2",
        literal,
    ),
}
