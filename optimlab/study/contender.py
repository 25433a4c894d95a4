"""Contenders: the optimizers of a study, each with its fixed hyperparameters, and random settings of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..common.errors import InputError, exact, printable, unknown
from ..kernels import Graph, c_source, trace
from ..nn.network import MLP, Network
from ..optim import optimizers
from ..optim.optimizers import Optimizer
from ..rules import CONVENTIONS, Kind, Prior, Rule
from .digests import digest

KINDS = ("tuned", "default", "searched")
"""What is done with a contender: the best rate of the grid, the rule's default one, the best random setting."""
FULL_RATES = tuple(10.0 ** (k / 2) for k in range(-10, 5))
"""Two a decade, 0.00001 to 100."""
LEAST_RATE, TOO_HIGH = 1e-300, 1e300
"""A learning rate lies in ``[LEAST_RATE, TOO_HIGH)``: there float64 has all its digits, and finite neighbours."""


@dataclass(frozen=True)
class Contender:
    """An optimizer as it takes part: a rule in a convention, with what is fixed of its hyperparameters.

    Parameters
    ----------
    name: of an optimizer, as for :func:`optimlab.optim.optimizers.get`; of your own ``rule``, any.
    convention: ``"textbook"``, ``"torch"`` or ``"keras"``.
    hyperparameters: fixed values, as a mapping or pairs; the learning rate is not among them, it is tuned.
    label: name in tables and figures, by default made from the other three.
    rule: your own function, as described in :mod:`optimlab.rules`.

    Raises
    ------
    InputError: the name, convention or a hyperparameter is unknown; the learning rate is fixed, or its default is not
        positive; or the label is not printable.

    >>> Contender("adam", "torch", {"beta2": 0.99}).label
    'adam (torch, beta2=0.99)'
    """

    name: str
    convention: str = "textbook"
    hyperparameters: Any = ()
    label: str = ""
    rule: Rule | None = None

    def __post_init__(self) -> None:
        try:
            fixed = dict(self.hyperparameters)
        except (TypeError, ValueError):
            raise InputError(
                f"{self.name}: hyperparameters are names with numbers, got {self.hyperparameters!r}"
            ) from None
        known = self.defaults()
        if "lr" not in known:
            raise InputError(f"{self.name} has no learning rate lr to tune")
        if not LEAST_RATE <= known["lr"] < TOO_HIGH:
            raise InputError(
                f"the default learning rate of {self.name} is {exact(known['lr'])}: give lr a positive default, "
                "such as lr=0.01"
            )
        for name, value in fixed.items():
            if name == "lr":
                raise InputError(f"{self.name}: the learning rate is tuned, it cannot be fixed; name the rates instead")
            if name not in known:
                raise unknown(f"hyperparameter of {self.name}", name, known)
            fixed[name] = self.kinds()[name].check(name, value)
        object.__setattr__(self, "hyperparameters", tuple(sorted(fixed.items())))
        said = [self.convention] if self.convention != "textbook" else []
        said += [f"{name}={exact(value)}" for name, value in self.hyperparameters]
        object.__setattr__(self, "label", self.label or (f"{self.name} ({', '.join(said)})" if said else self.name))
        printable("a label", self.label)
        if self.label.endswith(tuple(f", {kind}" for kind in KINDS)):
            raise InputError(f"a label cannot end as the rows of other kinds do ({', '.join(KINDS)}): {self.label!r}")

    @classmethod
    def parse(cls, text: str, convention: str = "textbook") -> Contender:
        """From ``"adam"`` or ``"adam:torch"``.

        >>> Contender.parse("adam:keras").convention
        'keras'
        """
        name, _, own = text.strip().partition(":")
        return cls(name, own or convention)

    def defaults(self) -> dict[str, float]:
        """Every hyperparameter with its default."""
        made = _probe(self.name, self.convention, self.rule).hyperparameters
        return {k: float(v) for k, v in made.items() if not callable(v)}

    def kinds(self) -> dict[str, Kind]:
        """The kind of every hyperparameter."""
        return _probe(self.name, self.convention, self.rule).kinds

    def unsearched(self) -> list[str]:
        """Hyperparameters that a random search leaves at their defaults, though not fixed: their kinds have no prior.

        >>> def mine(w, g, *, lr=0.1, beta=0.9, warmth=1.0):
        ...     return w - lr * (beta + warmth) * g
        >>> Contender("mine", rule=mine).unsearched()
        ['warmth']
        """
        defaults, kinds, fixed = self.defaults(), self.kinds(), {"lr", *dict(self.hyperparameters)}
        return [name for name in defaults if name not in fixed and not kinds[name].searched(defaults[name])]

    def make(self, network: Network, lr: float, hyperparameters: Mapping[str, Any]) -> Optimizer:
        """The optimizer of ``network`` with this learning rate."""
        if self.rule is not None:
            return Optimizer(network.parameters, self.rule, lr=lr, **hyperparameters)
        options: dict[str, Any] = {} if self.convention == "textbook" else {"convention": self.convention}
        return optimizers.get(self.name)(network.parameters, lr=lr, **options, **hyperparameters)

    def config(self) -> dict[str, Any]:
        """Plain data; your own rule is known by what it computes."""
        own = {} if self.rule is None else {"rule": _rule_digest(self.rule)}
        return {"optimizer": self.name, "convention": self.convention, **own}


def _rule_digest(rule: Rule) -> str:
    graph = trace(rule)
    values = {name: value for name, value in graph.hyperparameters.items() if name != "lr"}
    told: list[Any] = [c_source(graph, "float64"), graph.state, values]
    if graph.functions:  # identified by their values
        told.append([_scalars(graph, t, {**values, "lr": 1.0}) for t in (1, 2, 3, 10, 100, 1000)])
    return digest(json.dumps(told, sort_keys=True))


def _scalars(graph: Graph, t: int, hyperparameters: dict[str, float]) -> list[float] | str:
    try:
        return [float(value) for value in graph.scalars(t=t, **hyperparameters)]
    except ArithmeticError as error:
        return str(error)


def _probe(name: str, convention: str, rule: Rule | None) -> Optimizer:
    """An optimizer made only to read its hyperparameters and kinds."""
    if rule is not None:
        return Optimizer(MLP([1, 1]).parameters, rule)
    cls: Any = optimizers.get(name)
    layerwise = issubclass(cls, optimizers._NamedLayerwise)
    if convention not in CONVENTIONS:
        raise unknown("convention", convention, CONVENTIONS)
    if layerwise and convention != "textbook":
        raise InputError(f"{name} is the same in every convention; name it without one")
    return _named(cls, "" if layerwise else convention)


@cache
def _named(cls: Any, convention: str) -> Optimizer:
    """The probe of a named rule, traced once: a study of 30 contenders asks thousands of times."""
    options: dict[str, Any] = {"convention": convention} if convention else {}
    probe: Optimizer = cls(MLP([1, 1]).parameters, **options)
    return probe


def random_settings(
    contender: Contender, trials: int, seed: int = 0
) -> list[tuple[float, tuple[tuple[str, float], ...]]]:
    """Draws of ``(lr, hyperparameters)`` for a random search, each from the prior of its kind.

    The learning rate comes from the range of the full grid; for the others see :data:`optimlab.rules.KINDS`. Fixed
    hyperparameters stay fixed, and those in :meth:`Contender.unsearched` keep their defaults. The draws depend on
    ``seed`` and on the contender's configuration, so that the order of the optimizers does not matter.

    >>> lr, rest = random_settings(Contender("momentum"), 1)[0]
    >>> 1e-5 < lr < 100, 0.5 < dict(rest)["beta"] < 0.999
    (True, True)
    """
    rng = np.random.default_rng([seed, *digest(json.dumps(contender.config())).encode()])
    defaults, kinds = contender.defaults(), contender.kinds()
    rate = Prior(FULL_RATES[0], FULL_RATES[-1])
    still = {"lr", *dict(contender.hyperparameters), *contender.unsearched()}
    priors = {name: kind.prior for name, kind in kinds.items() if name not in still and kind.prior is not None}
    drawn = []
    for _ in range(trials):
        lr = rate.at(rng.random())
        drawn.append((lr, tuple((name, prior.at(rng.random(), defaults[name])) for name, prior in priors.items())))
    return drawn
