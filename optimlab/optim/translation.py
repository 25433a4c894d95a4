"""Translation of hyperparameters from one convention to another, and to calls of PyTorch and Keras."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .. import rules
from ..common.errors import InputError, exact, lookup, unknown
from ..kernels import declaration, mentions, trace
from .optimizers import Hyperparameter, Optimizer

_ADAMS = ("adam", "amsgrad", "adamw")
_VELOCITIES = ("momentum", "nesterov", "rmsprop_momentum", "rmsprop_centered_momentum")

_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {}),
    "nesterov": ("SGD", {"nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_momentum": ("RMSprop", {}),
    "rmsprop_centered": ("RMSprop", {"centered": True}),
    "rmsprop_centered_momentum": ("RMSprop", {"centered": True}),
    "adadelta": ("Adadelta", {}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamax": ("Adamax", {}),
    "nadam": ("Nadam", {}),
    "adamw": ("AdamW", {}),
    "lion": ("Lion", {}),
}
"""The libraries' class of each rule, and the arguments that make it that rule."""

_LIBRARIES: dict[str, tuple[str, dict[str, tuple[str, dict[str, Any]]], dict[str, str]]] = {
    "torch": ("torch.optim", _CLASSES | {"nadam": ("NAdam", {})}, {}),
    "keras": (
        "keras.optimizers",
        _CLASSES,
        {"lr": "learning_rate", "eps": "epsilon", "beta1": "beta_1", "beta2": "beta_2"},
    ),
}
"""Module, classes, and the names of hyperparameters that differ from optimlab's."""


@dataclass(frozen=True)
class Translation:
    """The outcome of :func:`translate`.

    Attributes
    ----------
    hyperparameters: for ``convention``, by optimlab's names.
    groups: the hyperparameters of each parameter group that differ from these.
    inexact: one sentence for each thing that has no exact equivalent; empty if both give the same weights.
    """

    rule: str
    convention: str
    hyperparameters: dict[str, float]
    inexact: tuple[str, ...]
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Return the call that makes this optimizer: the library's for "torch" and "keras", optimlab's for "textbook".

        In PyTorch's call, ``parameters`` are the parameters in no group; each group's have the name of the group.

        >>> Translation("adam", "keras", {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-7}, ()).code
        'keras.optimizers.Adam(learning_rate=0.01, beta_1=0.9, beta_2=0.99, epsilon=1e-07)'
        >>> Translation("adam", "torch", {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}, ()).code
        'torch.optim.Adam(parameters, lr=0.01, betas=(0.9, 0.99), eps=1e-08)'
        """
        shared = self._arguments({})
        own = {name: self._arguments(values) for name, values in self.groups.items()}
        different = {
            name: {k: v for k, v in arguments.items() if k not in shared or shared[k] != v}
            for name, arguments in own.items()
        }
        keywords = [f"{k}={v!r}" for k, v in shared.items()]
        if self.convention == "textbook":
            keywords += [f"groups={different!r}"] if different else []
            return f"ol.optimizers.get({self.rule!r})({', '.join(['net.parameters', *keywords])})"
        module, classes, _ = _LIBRARIES[self.convention]
        if self.convention == "torch":
            parts = ["{'params': parameters}", *(_torch_group(*group) for group in different.items())]
            keywords.insert(0, f"[{', '.join(parts)}]" if different else "parameters")
        return f"{module}.{classes[self.rule][0]}({', '.join(keywords)})"

    def _arguments(self, own: Mapping[str, float]) -> dict[str, Any]:
        """Return the keyword arguments of the call for a group with the hyperparameters ``own``, by their names there.

        >>> Translation("adam", "torch", {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}, ())._arguments({"beta1": 0.5})
        {'lr': 0.01, 'betas': (0.5, 0.99)}
        """
        values: dict[str, Any] = {**self.hyperparameters, **own}
        if self.convention == "textbook":
            return values
        _, classes, names = _LIBRARIES[self.convention]
        name, fixed = classes[self.rule]
        if self.rule == "nesterov" and not values["beta"]:
            fixed = {}  # plain SGD: PyTorch rejects nesterov=True without momentum
        if "beta" in values:
            average = "alpha" if self.convention == "torch" else "rho"
            values["momentum" if name == "SGD" else average] = values.pop("beta")
        if self.convention == "torch" and "beta1" in values:
            betas = values["beta1"], values["beta2"]
            values = {("betas" if k == "beta1" else k): v for k, v in values.items() if k != "beta2"}
            values["betas"] = betas
        return {names.get(k, k): v for k, v in values.items()} | fixed

    def __str__(self) -> str:
        return "\n".join([self.code, *(f"  inexact: {sentence}" for sentence in self.inexact)])


def _torch_group(name: str, values: Mapping[str, Any]) -> str:
    """Return a parameter group of PyTorch as code.

    >>> _torch_group("dense2.W", {"lr": 0.1})
    "{'params': dense2_W, 'lr': 0.1}"
    """
    members = name.replace(".", "_")
    parts = [f"'params': {members}", *(f"{k!r}: {v!r}" for k, v in values.items())]
    return f"{{{', '.join(parts)}}}"


def translate(optimizer: Optimizer | Mapping[str, Any], *, to: str, convention: str | None = None) -> Translation:
    """Translate an optimizer's hyperparameters into the closest ones of another convention.

    Parameter groups are translated too. Keras has none, so there ``inexact`` names what is left out.

    Parameters
    ----------
    optimizer: an optimizer, or a mapping with ``"rule"`` and hyperparameters; missing hyperparameters have the
        defaults of their convention.
    to: ``"textbook"``, ``"torch"`` or ``"keras"``.
    convention: the convention of the mapping, ``"textbook"`` by default.

    Warns
    -----
    UserWarning: one sentence for each thing that has no exact equivalent, also in ``inexact``.

    Raises
    ------
    InputError: the rule, convention or hyperparameter is unknown; the other convention lacks the rule; or a
        hyperparameter is a function of the step.

    >>> print(translate({"rule": "sgd", "lr": 0.1}, to="torch"))
    torch.optim.SGD(parameters, lr=0.1, weight_decay=0.0)
    >>> with warnings.catch_warnings(action="ignore"):
    ...     print(translate({"rule": "adam", "eps": 1e-14}, to="torch"))
    torch.optim.Adam(parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-07, weight_decay=0.0)
      inexact: epsilon stands inside the root in textbook and outside in torch: eps=1e-07 has the same effect \
for vanishing gradients
    """
    rule, source, values, groups = _read(optimizer, convention)
    lookup("convention", to, rules.CONVENTIONS)
    inexact: list[str] = []
    made = _translated(rule, source, to, values, inexact)
    others = {}
    for name, own in groups.items():
        sentences: list[str] = []
        found = _translated(rule, source, to, {**values, **own}, sentences)
        if to != "keras":
            inexact += [f"group {name!r}: {sentence}" for sentence in sentences if sentence not in inexact]
        others[name] = {k: v for k, v in found.items() if v != made[k]}
    others = {name: own for name, own in others.items() if own}
    if to == "keras":
        for name, own in others.items():
            listed = ", ".join(f"{k}={exact(v)}" for k, v in own.items())
            inexact.append(f"Keras has no parameter groups, so the settings of group {name!r} are left out: {listed}")
        others = {}
    for sentence in inexact:
        warnings.warn(sentence, stacklevel=2)
    return Translation(rule, to, made, tuple(inexact), others)


def _translated(rule: str, source: str, to: str, values: dict[str, float], inexact: list[str]) -> dict[str, float]:
    """Return hyperparameters in another convention, and add to ``inexact`` what has no equivalent."""
    target = rules.find(rule, to)
    if target is None:
        having = [c for c in rules.CONVENTIONS if rules.find(rule, c)]
        raise InputError(f"the convention {to!r} has no rule {rule!r}; these have it: {', '.join(having)}")
    accepted = declaration(target)[2]
    # hyperparameters that only the other convention has are switched off, not left at that library's default
    made = {k: values.get(k, 0.0 if k in ("weight_decay", "dampening", "lr_decay") else v) for k, v in accepted.items()}
    if source != to:
        _translate_epsilon(rule, source, to, values, made, inexact)
        _translate_rest(rule, source, to, values, made, inexact)
    return made


_Groups: TypeAlias = Mapping[str, Mapping[str, float]]


def _read(
    optimizer: Optimizer | Mapping[str, Any], convention: str | None
) -> tuple[str, str, dict[str, float], _Groups]:
    """Return the rule, its convention, the hyperparameters, and those of each group."""
    if isinstance(optimizer, Optimizer):
        source = getattr(optimizer, "convention", None)
        if source is None:
            raise InputError(f"{optimizer.name} belongs to no convention, so it cannot be translated")
        groups = {name: _numbers(own, f" of the group {name!r}") for name, own in optimizer.groups.items()}
        return optimizer.name, source, _numbers(optimizer.hyperparameters), groups
    if "rule" not in optimizer:
        raise InputError("a configuration needs a 'rule', such as {'rule': 'adam', 'lr': 0.001}")
    source = convention or "textbook"
    lookup("convention", source, rules.CONVENTIONS)
    rule = rules.find(optimizer["rule"], source)
    if rule is None:
        raise unknown("rule", optimizer["rule"], rules.names(source))
    values, kinds = dict(declaration(rule)[2]), rules.kinds_of(rule)
    for name, value in optimizer.items():
        if name != "rule":
            if name not in values:
                raise unknown(f"hyperparameter of {optimizer['rule']}", name, values)
            values[name] = kinds[name].check(name, value)
    return optimizer["rule"], source, values, {}


def _numbers(values: Mapping[str, Hyperparameter], where: str = "") -> dict[str, float]:
    found = {}
    for name, value in values.items():
        if callable(value):
            raise InputError(f"{name}{where} is a function of the step; only numbers can be translated")
        found[name] = float(value)
    return found


def _epsilon_is_inside(rule: str, convention: str) -> bool:
    """Return True if the rule's graph takes the root of a sum with epsilon."""
    function = rules.find(rule, convention)
    assert function is not None
    graph = trace(function)
    return any(node.op == "sqrt" and mentions(graph, node, "eps") for node in graph.nodes)


def _translate_epsilon(
    rule: str, source: str, to: str, values: dict[str, float], made: dict[str, float], inexact: list[str]
) -> None:
    if "eps" not in values or "eps" not in made or not values["eps"]:
        return
    was_inside, will_be_inside = _epsilon_is_inside(rule, source), _epsilon_is_inside(rule, to)
    if was_inside != will_be_inside:
        made["eps"] = values["eps"] ** (0.5 if was_inside else 2)
        here, there = ("inside", "outside") if was_inside else ("outside", "inside")
        inexact.append(
            f"epsilon stands {here} the root in {source} and {there} in {to}: "
            f"eps={made['eps']:g} has the same effect for vanishing gradients"
        )
    if rule in _ADAMS and "keras" in (source, to):
        inexact.append(
            "Keras adds epsilon to the uncorrected moment (epsilon-hat): in step t it has the effect of "
            f"eps / sqrt(1 - beta2^t), {(1 - values['beta2']) ** -0.5:.3g} times as strong in step 1, the same later"
        )
    if rule == "adamax" and "torch" in (source, to):
        inexact.append("PyTorch adds epsilon inside AdaMax's maximum, where it persists; the others outside")


def _translate_rest(
    rule: str, source: str, to: str, values: dict[str, float], made: dict[str, float], inexact: list[str]
) -> None:
    if rule in _VELOCITIES and "torch" in (source, to):
        inexact.append(
            "the learning rate stands outside the velocity in torch and inside it elsewhere: "
            "equal as long as the rate does not change"
        )
    for name in ("dampening", "lr_decay"):
        if values.get(name) and name not in made:
            inexact.append(f"{name}={exact(values[name])} has no equivalent in {to} and is left out")
    decay = values.get("weight_decay", 0.0)
    if decay and "weight_decay" not in made:
        inexact.append(f"weight_decay={exact(decay)} has no equivalent in {to}'s {rule} and is left out")
    elif decay and rule not in ("sgd", "adamw") and {source, to} == {"torch", "keras"}:
        inexact.append("weight decay is added to the gradient in torch and acts only on the weights in keras")
    if rule == "adagrad" and "keras" in (source, to):
        inexact.append(
            "Keras starts the sum of squares at 0.1, the others at 0: pass initial_accumulator_value to the library"
        )
    if rule == "amsgrad" and "textbook" in (source, to):
        inexact.append(
            "the libraries take the maximum of the uncorrected second moment, the textbook of the corrected one"
        )
    if rule == "nadam":
        if source == "keras" and to == "torch":
            made["momentum_decay"] = 1.0
        elif "textbook" in (source, to):
            inexact.append("the libraries warm up Nadam's momentum; the textbook's is constant")
        elif values.get("momentum_decay") != 1.0:
            inexact.append(
                f"Keras warms up the momentum as momentum_decay=1 does, not {exact(values['momentum_decay'])}"
            )
