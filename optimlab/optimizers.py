"""Optimizers: a rule, its state, and its hyperparameters, over the flat buffers of a network.

Each class below is a name for one rule of :mod:`optimlab.rules`; its keyword arguments are that rule's
hyperparameters, with that rule's defaults. A hyperparameter is a number, or a function of the step that gives one
(``step`` counts the updates made so far: 0 for the first).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from . import rules
from .backends import Array
from .errors import InputError, lookup, number, unknown
from .kernels import Graph, trace
from .parameters import Parameter, Parameters, stretches

Hyperparameter: TypeAlias = float | Callable[[int], float]

_FRACTIONS = ("beta", "beta1", "beta2")


class Optimizer:
    """Updates parameters by a rule.

    Parameters
    ----------
    parameters: ``net.parameters``.
    rule: a function as described in :mod:`optimlab.rules`; yours is as good as any.
    groups: hyperparameters that differ for some parameters: ``{"biases": {"weight_decay": 0.0}}``. Keys are kinds
        ("weights", "biases", "scales"), layers ("dense2") or single parameters ("dense2.W"); no parameter may be
        in two groups, and those in none have the hyperparameters given to the optimizer.
    hyperparameters: by the rule's names; numbers, or functions of the step.

    Attributes
    ----------
    t: updates made so far.
    state: one flat array per state of the rule, laid out as ``parameters.data``.
    used: the values of the hyperparameters in the last step (of the parameters in no group).

    Raises
    ------
    InputError: unknown hyperparameter or group, a value out of range, a parameter in two groups.
    RuleError: ``rule`` is not an elementwise rule.

    >>> import numpy as np
    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> def signed(w, g, *, lr=0.1):
    ...     return w - lr * np.sign(g)
    >>> opt = ol.Optimizer(net.parameters, signed, lr=lambda step: 0.5 / (1 + step))
    >>> net.parameters.data[...], net.parameters.grad[...] = 0.0, 3.0
    >>> opt.step()
    >>> opt.step()
    >>> net.parameters.data
    array([-0.75, -0.75, -0.75], dtype=float32)
    """

    def __init__(
        self,
        parameters: Parameters,
        rule: rules.Rule,
        *,
        groups: Mapping[str, Mapping[str, Hyperparameter]] | None = None,
        **hyperparameters: Hyperparameter,
    ) -> None:
        if not isinstance(parameters, Parameters):
            raise InputError(f"expected net.parameters, got {type(parameters).__name__}")
        self.rule = rule
        self.graph: Graph = trace(rule)
        self.parameters = parameters
        self.t = 0
        self.used: dict[str, float] = {}
        self.hyperparameters: dict[str, Hyperparameter] = {
            **self.graph.hyperparameters,
            **self._checked(hyperparameters),
        }
        self.groups = {name: self._checked(values) for name, values in (groups or {}).items()}
        self._members = self._make_groups()
        backend = parameters.backend
        self.state: dict[str, Array] = {
            name: backend.zeros(parameters.data.size, parameters.dtype) for name in self.graph.state
        }
        for name, value in self.graph.state.items():
            self.state[name] += value
        self._version = -1

    @property
    def lr(self) -> float:
        """The learning rate of the next step (of the parameters in no group); may be set."""
        return self._value("lr", lookup(f"hyperparameter of {self.graph.name}", "lr", self.hyperparameters))

    @lr.setter
    def lr(self, value: Hyperparameter) -> None:
        self.hyperparameters |= self._checked({"lr": value})

    def step(self) -> None:
        """One update of every unfrozen parameter from ``parameters.grad``: one kernel call a group.

        Raises
        ------
        InputError: a function of the step gave a value out of range; nothing is changed.
        """
        if self._version != self.parameters.version:
            self._bind()
        used = self._values(self.hyperparameters)
        scalars = [self._scalars(used)]
        scalars += [self._scalars(self._values({**self.hyperparameters, **own})) for own in self.groups.values()]
        self.used = used
        self.t += 1
        for run, slots in zip(self._runs, scalars, strict=True):
            run(slots)

    def _values(self, hyperparameters: dict[str, Hyperparameter]) -> dict[str, float]:
        return {name: self._value(name, value) for name, value in hyperparameters.items()}

    def _scalars(self, values: dict[str, float]) -> tuple[float, ...]:
        try:
            return self.graph.scalars(t=self.t + 1, **values)
        except ArithmeticError as error:
            raise InputError(f"{self.graph.name} cannot be computed at step {self.t} with {values}: {error}") from None

    def _value(self, name: str, value: Hyperparameter) -> float:
        if not callable(value):
            return value
        return check_hyperparameter(name, value(self.t), f" at step {self.t}")

    def _bind(self) -> None:
        """Look up the slices of each group, again after a change of what is frozen."""
        arrays = {"w": self.parameters.data, "g": self.parameters.grad, **self.state}
        self._runs = [
            self.parameters.backend.bind(
                self.graph, [{name: a[part] for name, a in arrays.items()} for part in stretches(members)]
            )
            for members in self._members
        ]
        self._version = self.parameters.version

    def _make_groups(self) -> list[list[Parameter]]:
        """The parameters in no group, then those of each group."""
        owner: dict[Parameter, str] = {}
        made = []
        for name in self.groups:
            members = self.parameters.select(name)
            for p in members:
                if p in owner:
                    raise InputError(f"parameter {p.name} is in two groups, {owner[p]!r} and {name!r}")
                owner[p] = name
            made.append(members)
        return [[p for p in self.parameters if p not in owner], *made]

    def _checked(self, values: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
        for name in values:
            if name not in self.graph.hyperparameters:
                raise unknown(f"hyperparameter of {self.graph.name}", name, self.graph.hyperparameters)
        return {k: v if callable(v) else check_hyperparameter(k, v) for k, v in values.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes from step to step, as copies: rule, t, state, and the numbers among the
        hyperparameters (functions are not stored).

        >>> import optimlab as ol
        >>> opt = ol.Momentum(ol.MLP([1, 1]).parameters, lr=0.5)
        >>> opt.step()
        >>> opt.state_dict()["t"], opt.state_dict()["hyperparameters"]
        (1, {'lr': 0.5, 'beta': 0.9})
        """

        def numbers(values: dict[str, Hyperparameter]) -> dict[str, Hyperparameter]:
            return {k: v for k, v in values.items() if not callable(v)}

        return {
            "rule": self.graph.name,
            "t": self.t,
            "hyperparameters": numbers(self.hyperparameters),
            "groups": {name: numbers(own) for name, own in self.groups.items()},
            "layout": [(p.name, p.shape) for p in self.parameters],
            "state": {k: self.parameters.backend.to_numpy(v).copy() for k, v in self.state.items()},
        }

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`. Hyperparameters given as functions stay as they are.

        Raises
        ------
        InputError: stored by another rule or for other parameters, or not a state at all; nothing is changed.
        """
        missing = {"rule", "t", "hyperparameters", "groups", "layout", "state"} - set(stored)
        if missing:
            raise InputError(f"not an optimizer's state: it lacks {', '.join(sorted(missing))}")
        if stored["rule"] != self.graph.name:
            raise InputError(f"this state is of the rule {stored['rule']!r}, the optimizer's is {self.graph.name!r}")
        layout = [(p.name, tuple(p.shape)) for p in self.parameters]
        if [(name, tuple(shape)) for name, shape in stored["layout"]] != layout:
            raise InputError("this state is of a network with other parameters")
        if isinstance(stored["t"], bool) or not isinstance(stored["t"], int) or stored["t"] < 0:
            raise InputError(f"t must be an integer of at least 0, got {stored['t']!r}")
        backend = self.parameters.backend
        arrays = {}
        for name, mine in self.state.items():
            if name not in stored["state"]:
                raise InputError(f"this state lacks the array {name!r}")
            arrays[name] = backend.asarray(stored["state"][name], self.parameters.dtype)
            if arrays[name].shape != mine.shape:
                raise InputError(f"the array {name!r} has shape {arrays[name].shape}, expected {mine.shape}")
        if set(stored["groups"]) != set(self.groups):
            raise InputError(f"this state has the groups {list(stored['groups'])}, the optimizer {list(self.groups)}")
        changes = [(self.hyperparameters, self._checked(stored["hyperparameters"]))]
        changes += [(own, self._checked(stored["groups"][name])) for name, own in self.groups.items()]
        for name, values in arrays.items():
            self.state[name][...] = values
        self.t = stored["t"]
        for mine, numbers in changes:
            mine.update({k: v for k, v in numbers.items() if not callable(mine.get(k))})

    def __getstate__(self) -> dict[str, Any]:
        """Without what is bound to this very object's arrays: a copy binds its own."""
        return {**self.__dict__, "_runs": [], "_version": -1}

    def __repr__(self) -> str:
        values = (f"{k}={'<function>' if callable(v) else f'{v:g}'}" for k, v in self.hyperparameters.items())
        return f"<{type(self).__name__} {', '.join(values)}, t={self.t}>"


def check_hyperparameter(name: str, value: Any, where: str = "") -> float:
    """``value`` as a Python float, if it lies where ``name`` may lie: [0, 1) for the betas, else [0, inf)."""
    return number(name, value, low=0, below=1 if name in _FRACTIONS else math.inf, where=where)


class _Named(Optimizer):
    """An optimizer whose rule is known by name, in each convention that has it."""

    rule_name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """Show the rule's hyperparameters where Python shows a signature."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        own = [p for p in inspect.signature(_Named.__init__).parameters.values() if p.name != "hyperparameters"][1:]
        hyper = trace(getattr(rules.textbook, cls.rule_name)).hyperparameters.items()
        own += [inspect.Parameter(name, keyword, default=value, annotation=Hyperparameter) for name, value in hyper]
        cls.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]

    def __init__(
        self,
        parameters: Parameters,
        *,
        convention: str = "textbook",
        groups: Mapping[str, Mapping[str, Hyperparameter]] | None = None,
        **hyperparameters: Hyperparameter,
    ) -> None:
        rule = getattr(lookup("convention", convention, rules.CONVENTIONS), self.rule_name)
        self.convention = convention
        super().__init__(parameters, rule, groups=groups, **hyperparameters)


class SGD(_Named):
    """Stochastic gradient descent, :func:`optimlab.rules.textbook.sgd`."""

    rule_name = "sgd"


class Momentum(_Named):
    """Gradient descent with momentum, :func:`optimlab.rules.textbook.momentum`."""

    rule_name = "momentum"


class Nesterov(_Named):
    """Nesterov's accelerated gradient, :func:`optimlab.rules.textbook.nesterov`."""

    rule_name = "nesterov"


class AdaGrad(_Named):
    """AdaGrad, :func:`optimlab.rules.textbook.adagrad`."""

    rule_name = "adagrad"


class RMSProp(_Named):
    """RMSProp, :func:`optimlab.rules.textbook.rmsprop`."""

    rule_name = "rmsprop"


class Adam(_Named):
    """Adam, :func:`optimlab.rules.textbook.adam`."""

    rule_name = "adam"


class AdaMax(_Named):
    """AdaMax, :func:`optimlab.rules.textbook.adamax`."""

    rule_name = "adamax"


class Nadam(_Named):
    """Nadam, :func:`optimlab.rules.textbook.nadam`."""

    rule_name = "nadam"


class AdamW(_Named):
    """AdamW, :func:`optimlab.rules.textbook.adamw`."""

    rule_name = "adamw"


OPTIMIZERS: dict[str, type[_Named]] = {
    cls.rule_name: cls for cls in (SGD, Momentum, Nesterov, AdaGrad, RMSProp, Adam, AdaMax, Nadam, AdamW)
}
"""Optimizer classes by the name of their rule, from simple to involved."""


def get(name: str) -> type[_Named]:
    """The optimizer class for a rule's name.

    >>> get("adam")
    <class 'optimlab.optimizers.Adam'>
    """
    return lookup("optimizer", name, OPTIMIZERS)
