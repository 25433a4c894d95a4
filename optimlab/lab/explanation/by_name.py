"""Explain whatever has a name: an update rule, an activation or a loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from numpy.typing import DTypeLike

from ... import rules
from ...backends import dtype_name
from ...common.errors import InputError, lookup, unknown
from ...kernels import Graph, c_source, cuda_source, graph_of, javascript_source, numpy_source, trace
from ...kernels.llvm_source import rule_source
from ...nn import activations, losses
from ...nn.activations import ACTIVATIONS, Activation
from ...nn.formulas import product
from ...nn.losses import LOSSES, Loss
from .of_activations import ActivationExplanation, explain_activation
from .of_losses import LossExplanation, explain_loss, formulas_of
from .of_rules import Explanation, explain_rule, find_rule

Function = Callable[..., Any]

SOURCES = ("python", "numpy", "llvm", "c", "cuda", "javascript")


def explain(
    name: str | rules.Rule | Activation | Loss,
    settings: Mapping[str, float] | None = None,
    *,
    convention: str = "textbook",
    steps: int = 3,
    ends: int | None = None,
    gradients: Sequence[float] | float = 0.1,
    weight: float = 1.0,
    at: Sequence[float] | None = None,
    **hyperparameters: float,
) -> Explanation | ActivationExplanation | LossExplanation:
    """Explain a rule term by term for one weight, an activation, or a loss.

    Parameters
    ----------
    name: a name (see :func:`optimlab.rules.names`, :data:`optimlab.nn.activations.ACTIVATIONS` and
        :data:`optimlab.nn.losses.LOSSES`), an elementwise rule of your own, or an ``Activation``.
    settings, hyperparameters: values of hyperparameters or parameters; those not given have their defaults. One that
        shares its name with an argument of this function, such as ``steps``, goes into ``settings``.
    convention, steps, ends, gradients, weight: for rules alone, see :func:`explain_rule`.
    at: for activations alone, see :func:`explain_activation`.

    Raises
    ------
    InputError: an unknown name, convention or hyperparameter, numbers that are not finite, or an argument that is not
        for what is explained.
    RuleError: ``name`` is a rule that is not elementwise.

    >>> print(explain("momentum").formula)
    mₜ = β mₜ₋₁ − η gₜ
    wₜ = wₜ₋₁ + mₜ
    >>> print(explain("tanh", at=[0, 1]).derivative)
    y′ = 1 − y²
    """
    kind, given = kind_of(name, convention), cast(Any, name)
    values = {**(settings or {}), **hyperparameters}
    of_rules: dict[str, Any] = {
        "convention": convention,
        "steps": steps,
        "ends": ends,
        "gradients": gradients,
        "weight": weight,
    }
    if kind == "rule":
        _refuse(name, kind, {"at": at})
        return explain_rule(given, values, **of_rules)
    _refuse(name, kind, of_rules)
    if kind == "activation":
        return explain_activation(given, values, at=at)
    _refuse(name, kind, {"at": at, **{key: values[key] for key in values}})
    return explain_loss(given)


def kind_of(name: object, convention: str = "textbook") -> str:
    """Return "rule", "activation" or "loss"; names in one of these lists are in no other.

    Raises
    ------
    InputError: no list has the name; the message has the nearest ones.

    >>> kind_of("adam"), kind_of("swish"), kind_of("mean_squared_error")
    ('rule', 'activation', 'loss')
    """
    lookup("convention", convention, rules.CONVENTIONS)
    if isinstance(name, Activation) or (isinstance(name, str) and name in ACTIVATIONS):
        return "activation"
    if isinstance(name, Loss) or (isinstance(name, str) and name in LOSSES):
        return "loss"
    known = {*rules.layerwise.__all__, *(rule for c in rules.CONVENTIONS for rule in rules.names(c))}
    if callable(name) or (isinstance(name, str) and name in known):
        return "rule"
    raise unknown("rule, activation or loss", name, [*rules.names(convention), *ACTIVATIONS, *LOSSES])


def _refuse(name: object, kind: str, given: Mapping[str, Any]) -> None:
    """Raise an error if an argument that is not for this kind has been given."""
    defaults = inspect.signature(explain).parameters
    for argument, value in given.items():
        default = defaults[argument].default if argument in defaults else ...
        if value is not default and not (isinstance(value, str | int | float) and value == default):
            raise InputError(f"{argument} does not apply to {getattr(name, 'name', name)}, which is {_A[kind]}")


_A = {"rule": "a rule", "activation": "an activation", "loss": "a loss"}


_COMMENT = {"numpy": "#", "llvm": ";"}


def source(
    name: str | rules.Rule | Activation | Loss,
    kind: str = "python",
    *,
    convention: str = "textbook",
    dtype: DTypeLike = "float32",
) -> str:
    """Return the code of a rule, activation or loss, as it was written or as it is generated.

    Parameters
    ----------
    name: the name of a rule, activation or loss, or the function itself.
    kind: ``"python"`` is the code as written; ``"numpy"``, ``"llvm"``, ``"c"``, ``"cuda"`` and ``"javascript"`` are
        generated from it. An activation has two functions, forward and backward. A loss and softmax have one for each
        elementwise part.
    convention: of a rule.
    dtype: of the generated code. JavaScript has only float64.

    Raises
    ------
    InputError: there is no such name or kind, or the code cannot be generated or found.

    >>> print(source("sgd", "numpy"))
    def step(w, g, _h0, _r0):
        multiply(_h0, g, _r0)
        subtract(w, _r0, w)
    >>> print(source("softsign"))
    def softsign(x: Array) -> Array:
        \"\"\"``x / (1 + |x|)``.  Reference: Bergstra, Desjardins, Lamblin & Bengio (2009).\"\"\"
        return x / (1 + np.abs(x))
    <BLANKLINE>
    <BLANKLINE>
    def softsign_backward(y: Array, dy: Array) -> Array:
        return dy * (1 - np.abs(y)) ** 2
    """
    what = kind_of(name, convention)
    if kind not in SOURCES:
        raise unknown("source", kind, SOURCES)
    if what != "rule":
        _refuse(name, what, {"convention": convention})
    functions, graphs = _parts(name, what, convention)
    if kind == "python":
        return "\n\n".join(_python(function) for function in functions).rstrip("\n")
    texts = [_printed(graph, kind, dtype_name(dtype)) for graph in graphs]
    if kind in _COMMENT and what != "rule":  # all functions have the same name there
        texts = [f"{_COMMENT[kind]} {graph.name}\n{text.strip()}" for graph, text in zip(graphs, texts, strict=True)]
    return "\n\n".join(texts)


def _parts(name: Any, kind: str, convention: str) -> tuple[list[Function], list[Graph]]:
    """Return the functions that are written in Python, and the graphs of their elementwise parts."""
    if kind == "rule":
        rule = find_rule(name, convention)
        return [rule], [trace(rule)]
    if kind == "loss":
        loss = losses.get(name)
        parts, functions = formulas_of(loss), [loss.function]
    else:
        f = activations.get(name)
        parts, functions = [f.forward, f.backward], []
        if not f.elementwise:
            parts = [activations.exponential, activations.share, product, activations.softmax_slope]
            functions = [f.forward, f.backward]
    return [*parts, *functions], [graph_of(part) for part in parts]


def _python(function: Function) -> str:
    try:
        return inspect.getsource(getattr(function, "function", function))
    except (OSError, TypeError):
        name = getattr(function, "__name__", repr(function))
        raise InputError(f"the Python source of {name} is not in a file: define it in one") from None


def _printed(graph: Graph, kind: str, dtype: str) -> str:
    if kind == "numpy":
        return numpy_source(graph).text
    if kind == "javascript":
        return javascript_source(graph)
    return {"llvm": rule_source, "c": c_source, "cuda": cuda_source}[kind](graph, dtype)
