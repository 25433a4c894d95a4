"""A rule as one source file of another library or language, made from the traced rule and a template."""

from __future__ import annotations

import ast
import inspect
import json
import keyword
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from .. import rules
from ..common.errors import RuleError, lookup
from ..common.version import __version__
from ..kernels import Graph, equations, trace, unicode
from ..kernels.names import distinct, rule_name
from ..lab.explanation import find_rule, reference
from ..optim.optimizers import OPTIMIZERS
from ..rules.kinds import OWN, Kind
from .foreach import foreach_lines
from .host_code import host_code
from .recording import GRADIENTS, WEIGHTS, recordings
from .statements import array_printer, body, python_names, read, with_step

Parts = dict[str, Any]

_USED = {
    "torch": "torch group state states parameters gradients self params closure foreach maximize defaults param_names "
    "differentiable capturable fused initial_lr step update zip super float ValueError",
    "optax": "jax jnp np optax rule step count index given init update updates state params NamedTuple",
    "keras": "keras ops np rule self name kwargs super gradient variable variables",
    "numpy": "np erf",
}
"""Words that the template of a target uses where a name of the rule could stand."""

_TITLES = {
    "torch": "{0} as a torch.optim.Optimizer",
    "optax": "{0} as an optax.GradientTransformation",
    "keras": "{0} as a keras.optimizers.Optimizer of Keras 3",
    "numpy": "{0} as a function of NumPy arrays",
}
_NEEDS = {"torch": "PyTorch", "optax": "JAX and Optax", "keras": "Keras", "numpy": "NumPy"}


def export_rule(rule: str | rules.Rule, to: str, *, convention: str = "textbook") -> str:
    """Print a rule as a source file that needs nothing of optimlab, with a test that it makes the same steps.

    Parameters
    ----------
    rule: a name (see :func:`optimlab.rules.names`) or an elementwise rule of your own.
    to: "torch" for a ``torch.optim.Optimizer``, "optax" for an ``optax.GradientTransformation``, "keras" for a
        ``keras.optimizers.Optimizer`` of Keras 3, "numpy" for a function of arrays.
    convention: of a rule's name.

    Raises
    ------
    InputError: an unknown rule, convention or target.
    RuleError: the rule is not elementwise, or uses something that the target does not have.

    >>> text = export_rule("adam", "torch", convention="torch")
    >>> print(*text.splitlines()[4:10], sep="\\n")
        g′ₜ = gₜ + λ wₜ₋₁
        mₜ = β₁ mₜ₋₁ + (1 − β₁) g′ₜ
        sₜ = β₂ sₜ₋₁ + (1 − β₂) g′ₜ g′ₜ
        m̂ₜ = mₜ / (1 − β₁ᵗ)
        wₜ = wₜ₋₁ − η m̂ₜ / (√sₜ / √(1 − β₂ᵗ) + ε)
    <BLANKLINE>
    """
    lookup("target", to, TARGETS)
    if isinstance(rule, rules.LayerRule) or rule in rules.layerwise.__all__:
        name = rule if isinstance(rule, str) else rule.__name__
        raise RuleError(f"{name} looks at whole tensors; only elementwise rules can be exported")
    function = find_rule(rule, convention)
    graph = trace(function)
    names = python_names(graph, [*keyword.kwlist, *_USED[to].split(), "abs"])
    parts = {
        **_header(rule, function, graph, convention, to),
        **_declared(function, graph, names),
        **_recorded(function, graph, names),
        **TARGETS[to](graph, names),
    }
    return str(_environment().get_template(f"{to}.py.j2").render(parts))


# ---- what all targets have


def _header(rule: str | rules.Rule, function: rules.Rule, graph: Graph, convention: str, to: str) -> Parts:
    stem = rule_name(graph.name)
    class_name = "".join(part[:1].upper() + part[1:] for part in stem.split("_"))
    if isinstance(rule, str):
        class_name = OPTIMIZERS[rule].__name__ if rule in OPTIMIZERS else class_name
        source, named = f"from its rule {rule}, convention {convention}", f"{rule}:{convention}"
    else:
        source, named = f"from the rule {graph.name}", f"FILE.py:{graph.name}"
    origin = (
        f"Written by optimlab {__version__} {source} (optimlab export-rule {named} --to {to}). It needs {_NEEDS[to]} "
        "alone. Its last part compares it with numbers that optimlab recorded: run the file, or let pytest run it."
    )
    return {
        "stem": stem,
        "class_name": class_name,
        "title": f"{_TITLES[to].format(class_name)}.",
        "formula": [" = ".join(equation.printed(unicode)) for equation in equations(graph)],
        "reference": _reference(function),
        "origin": origin,
    }


def _reference(function: rules.Rule) -> str:
    """The reference of a rule as text of a docstring."""
    told = reference(function)
    equal = (inspect.getdoc(function) or "").startswith("``")  # the rules of libraries begin with the class they equal
    told = f"Equal to {told}" if equal and not told.startswith("Reference") else told
    return told.replace("\\", "\\\\").replace('"', "'")


def _declared(function: rules.Rule, graph: Graph, names: Mapping[str, str]) -> Parts:
    kinds = rules.kinds_of(function)
    given = []
    for name, default in graph.hyperparameters.items():
        kind, here = kinds[name], names[name]
        told = "a hyperparameter of the rule" if kind is OWN else kind.meaning
        told += f", called {name} there" if here != name else ""
        within = "" if kind.within == OWN.within else kind.within
        argument = "learning_rate" if name == "lr" else here
        given.append(
            {
                "name": here,
                "argument": argument,
                "default": literal(default),
                "told": f"{told}; in {within}" if within else told,
                "within": within,
                "check": _check(here, kind),
            }
        )
    uses_t = any("t" in read(ast.parse(slot, mode="eval").body) for slot in graph.slots)
    return {
        "hyperparameters": given,
        "arrays": [names[name] for name in graph.inputs],
        "scalars": [*(["t"] if uses_t else []), *(names[name] for name in graph.hyperparameters)],
        "states": [_state(names[name], value) for name, value in graph.state.items()],
        "uses_t": uses_t,
        "has_lr": "lr" in graph.hyperparameters,
    }


def _state(name: str, value: float) -> dict[str, str]:
    zeros = "zeros_like({0})" if value == 0 else f"full_like({{0}}, {literal(value)})"
    return {"name": name, "initial": literal(value), "torch": zeros.format("p")[:-1], "numpy": zeros.format("w")}


def _check(name: str, kind: Kind) -> str:
    """The condition that a hyperparameter lies in its range; empty if every number does."""
    bounds = kind.bounds
    left = f"{literal(bounds['low'])} <= " if "low" in bounds else f"{literal(bounds['above'])} < "
    right = f" <= {literal(bounds['high'])}" if "high" in bounds else f" < {literal(bounds['below'])}"
    left = "" if "-inf" in left else left
    right = "" if "inf" in right else right
    return f"{left}{name}{right}" if left or right else ""


def _recorded(function: rules.Rule, graph: Graph, names: Mapping[str, str]) -> Parts:
    def row(numbers: Iterable[float]) -> str:
        return f"[{', '.join(map(literal, numbers))}]"

    def settings(values: Mapping[str, float]) -> str:
        return f"{{{', '.join(f'{json.dumps(names[k])}: {literal(v)}' for k, v in values.items())}}}"

    runs = [
        {"settings": settings(run.hyperparameters), "rates": row(run.rates), "path": [row(w) for w in run.path]}
        for run in recordings(graph, rules.kinds_of(function))
    ]
    return {"weights": row(WEIGHTS), "gradients": [row(g) for g in GRADIENTS], "recordings": runs}


def literal(value: float) -> str:
    """A number as Python source.

    >>> literal(0.5), literal(-math.inf), literal(2.0)
    ('0.5', 'float("-inf")', '2.0')
    """
    return repr(float(value)) if math.isfinite(value) else f'float("{value}")'


# ---- the targets


def _torch(graph: Graph, names: Mapping[str, str]) -> Parts:
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


def _numpy(graph: Graph, names: Mapping[str, str]) -> Parts:
    made = body(graph, names, array_printer("np", {"erf": "erf"}, python), python)
    functions = host_code(graph, names)
    return {
        "function": distinct(rule_name(graph.name), _words("numpy")),
        "imports": functions.imports,
        "more_imports": ["from scipy.special import erf"] if _has(graph, "erf") else [],
        "functions": functions.texts,
        "lines": [str(statement) for statement in made.statements],
        "results": list(made.results.values()),
    }


def _optax(graph: Graph, names: Mapping[str, str]) -> Parts:
    lines = with_step(graph, "step")
    made = body(graph, {**names, "step": "step"}, array_printer("jnp", {"erf": "erf"}, python), python, lines)
    return {
        "function": distinct(rule_name(graph.name), _words("optax")),
        "more_imports": ["from jax.scipy.special import erf"] if _has(graph, "erf") else [],
        "functions": host_code(graph, names, "jnp").texts,
        "lines": [str(statement) for statement in made.statements],
        "results": [made.variables["step@new"], *list(made.results.values())[1:]],
    }


def _keras(graph: Graph, names: Mapping[str, str]) -> Parts:
    if "lr" not in graph.hyperparameters:
        raise RuleError(f"{graph.name} has no hyperparameter lr, and every Keras optimizer has a learning rate")
    arrays = {names[name] for name in graph.inputs}
    arrays |= {names[e.name.partition("@")[0]] for e in equations(graph) if e.node is not None}
    fixed = {names[name] for name in graph.hyperparameters if name != "lr"}

    def scalars(expression: ast.expr) -> str:
        return python(_cast_comparisons(expression, arrays, fixed, names["w"]))

    made = body(graph, names, array_printer("ops", scalars=scalars), scalars)
    return {
        "functions": host_code(graph, names, "ops").texts,
        "lines": [str(statement) for statement in made.statements],
        "results": list(made.results.values()),
    }


TARGETS: dict[str, Callable[[Graph, Mapping[str, str]], Parts]] = {
    "torch": _torch,
    "optax": _optax,
    "keras": _keras,
    "numpy": _numpy,
}


def _words(to: str) -> list[str]:
    return _USED[to].split()


def _has(graph: Graph, operation: str) -> bool:
    return any(node.op == operation for node in graph.nodes)


def python(expression: ast.expr) -> str:
    """An expression of Python's numbers.

    >>> python(ast.parse("x.__abs__() ** 2", mode="eval").body)
    'abs(x) ** 2'
    """
    copied = deepcopy(expression)
    for node in ast.walk(copied):
        match node:
            case ast.Call(ast.Attribute(value, "__abs__"), []):
                node.func, node.args = ast.Name("abs"), [value]
    return ast.unparse(copied)


def _cast_comparisons(expression: ast.expr, arrays: Collection[str], fixed: Collection[str], like: str) -> ast.expr:
    """Comparisons of traced scalars as numbers: PyTorch would take 0.3 times a boolean for float32."""

    class Cast(ast.NodeTransformer):
        def visit_Compare(self, node: ast.Compare) -> ast.expr:
            names = read(node)
            if names & {*arrays} or names <= {*fixed}:
                return node
            return ast.parse(f"ops.cast({ast.unparse(node)}, {like}.dtype)", mode="eval").body

    cast = Cast().visit(deepcopy(expression))
    assert isinstance(cast, ast.expr)
    return cast


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("optimlab.export", ""),
        autoescape=False,  # what is printed is source text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
