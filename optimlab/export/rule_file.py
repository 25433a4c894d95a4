"""Export of a rule as a source file, from the traced rule and a template."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import rules
from ..backends import dtype_name
from ..common.errors import InputError, RuleError, lookup
from ..common.version import __version__
from ..kernels import Graph, equations, trace, unicode
from ..kernels.names import rule_name
from ..lab.explanation import find_rule, reference
from ..optim.optimizers import OPTIMIZERS
from ..rules.kinds import OWN, Kind
from . import c_targets, python_targets
from .recording import GRADIENTS, WEIGHTS, recordings
from .statements import python_names, read
from .target import Parts, Target, literal

TARGETS: dict[str, Target] = {**python_targets.TARGETS, **c_targets.TARGETS}


def export_rule(
    rule: str | rules.Rule, to: str, *, convention: str = "textbook", dtype: DTypeLike | None = None
) -> str:
    """Print a rule as a source file that does not need optimlab, with a test that its steps are the same.

    Parameters
    ----------
    rule: a name (see :func:`optimlab.rules.names`) or an elementwise rule of your own.
    to: "torch" for a ``torch.optim.Optimizer``, "optax" for an ``optax.GradientTransformation``, "keras" for a
        ``keras.optimizers.Optimizer`` of Keras 3; "numpy", "c", "cuda" or "javascript" for functions of arrays.
    convention: the convention of a rule given by name.
    dtype: the dtype of the arrays in C and CUDA, "float32" (the default) or "float64"; the other targets accept any.

    Returns
    -------
    str: the text of the file.

    Raises
    ------
    InputError: the rule, convention, target or dtype is unknown, or the target does not take a dtype.
    RuleError: the rule is not elementwise, or it uses something that the target does not have.

    >>> text = export_rule("adam", "torch", convention="torch")
    >>> print(*text.splitlines()[4:10], sep="\\n")
        g′ₜ = gₜ + λ wₜ₋₁
        mₜ = β₁ mₜ₋₁ + (1 − β₁) g′ₜ
        sₜ = β₂ sₜ₋₁ + (1 − β₂) g′ₜ g′ₜ
        m̂ₜ = mₜ / (1 − β₁ᵗ)
        wₜ = wₜ₋₁ − η m̂ₜ / (√sₜ / √(1 − β₂ᵗ) + ε)
    <BLANKLINE>
    """
    target = lookup("target", to, TARGETS)
    if dtype is not None and to not in ("c", "cuda"):
        raise InputError(f"dtype is only for c and cuda; {to} takes weights of any dtype")
    if isinstance(rule, rules.LayerRule) or rule in rules.layerwise.__all__:
        name = rule if isinstance(rule, str) else rule.__name__
        raise RuleError(f"{name} is a rule of whole tensors; only elementwise rules can be exported")
    function = find_rule(rule, convention)
    graph = trace(function)
    words = {*target.words.split()}
    if "lr" not in graph.hyperparameters:
        words -= {"learning_rate"}  # the argument for lr
    names = python_names(graph, words)
    parts = {
        **_header(rule, function, graph, convention, to),
        **_declared(function, graph, names, target.number),
        **_recorded(function, graph, target.number),
        **target.made(graph, names, dtype_name(dtype or "float32")),
    }
    return str(_environment().get_template(target.template).render(parts))


# ---- the parts of all targets


def _header(rule: str | rules.Rule, function: rules.Rule, graph: Graph, convention: str, to: str) -> Parts:
    stem = rule_name(graph.name)
    class_name = "".join(part[:1].upper() + part[1:] for part in stem.split("_"))
    if isinstance(rule, str):
        class_name = OPTIMIZERS[rule].__name__ if rule in OPTIMIZERS else class_name
        source, named = f"from its rule {rule}, convention {convention}", f"{rule}:{convention}"
    else:
        source, named = f"from the rule {graph.name}", f"FILE.py:{graph.name}"
    target = TARGETS[to]
    origin = (
        f"Written by optimlab {__version__} {source} (optimlab export-rule {named} --to {to}). It needs {target.needs} "
        "alone. Its last part compares it with numbers that optimlab recorded."
    )
    return {
        "stem": stem,
        "class_name": class_name,
        "title": f"{target.what.format(class_name)}.",
        "formula": [" = ".join(equation.printed(unicode)) for equation in equations(graph)],
        "reference": _reference(function),
        "origin": origin,
        "test": target.test.format(stem),
    }


def _reference(function: rules.Rule) -> str:
    """Return the reference of a rule as text for a docstring."""
    text = reference(function)
    equal = (inspect.getdoc(function) or "").startswith("``")  # the rules of libraries begin with the class they equal
    text = f"Equal to {text}" if equal and not text.startswith("Reference") else text
    return quoted(text)


def quoted(text: str) -> str:
    """Escape a text for a docstring, or for a comment in C.

    >>> quoted('an "epsilon" */')
    "an 'epsilon' * /"
    """
    return text.replace("\\", "\\\\").replace('"', "'").replace("*/", "* /")


def _declared(function: rules.Rule, graph: Graph, names: Mapping[str, str], printed: Callable[[float], str]) -> Parts:
    kinds = rules.kinds_of(function)
    given = []
    for name, default in graph.hyperparameters.items():
        kind, here = kinds[name], names[name]
        meaning = "a hyperparameter of the rule" if kind is OWN else kind.meaning
        meaning += f", called {name} there" if here != name else ""
        within = "" if kind.within == OWN.within else kind.within
        argument = "learning_rate" if name == "lr" else here
        given.append(
            {
                "rule_name": name,
                "name": here,
                "argument": argument,
                "default": printed(default),
                "told": quoted(f"{meaning}; in {within}" if within else meaning),
                "within": within,
                "check": _check(here, kind),
            }
        )
    uses_t = any("t" in read(ast.parse(slot, mode="eval").body) for slot in graph.slots)
    return {
        "hyperparameters": given,
        "names": names,
        "arrays": [names[name] for name in graph.inputs],
        "scalars": [*(["t"] if uses_t else []), *(names[name] for name in graph.hyperparameters)],
        "states": [_state(names[name], value, printed) for name, value in graph.state.items()],
        "uses_t": uses_t,
        "has_lr": "lr" in graph.hyperparameters,
    }


def _state(name: str, value: float, printed: Callable[[float], str]) -> dict[str, str]:
    zeros = "zeros_like({0})" if value == 0 else f"full_like({{0}}, {literal(value)})"
    return {"name": name, "initial": printed(value), "torch": zeros.format("p")[:-1], "numpy": zeros.format("w")}


def _check(name: str, kind: Kind) -> str:
    """Return the condition that a hyperparameter lies in its range; empty if every number does."""
    bounds = kind.bounds
    left = f"{literal(bounds['low'])} <= " if "low" in bounds else f"{literal(bounds['above'])} < "
    right = f" <= {literal(bounds['high'])}" if "high" in bounds else f" < {literal(bounds['below'])}"
    left = "" if "-inf" in left else left
    right = "" if "inf" in right else right
    return f"{left}{name}{right}" if left or right else ""


def _recorded(function: rules.Rule, graph: Graph, printed: Callable[[float], str]) -> Parts:
    def row(numbers: Iterable[float]) -> list[str]:
        return [printed(number) for number in numbers]

    recorded = recordings(graph, rules.kinds_of(function))
    runs = [
        {
            "settings": {name: printed(value) for name, value in run.hyperparameters.items()},
            "rates": row(run.rates),
            "path": [row(weights) for weights in run.path],
        }
        for run in recorded
    ]
    return {
        "weights": row(WEIGHTS),
        "gradients": [row(g) for g in GRADIENTS],
        "recordings": runs,
        "overflows": not all(np.isfinite(run.path).all() for run in recorded),
    }


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
