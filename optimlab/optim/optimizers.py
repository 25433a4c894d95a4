"""Optimizers: a rule, its state, and its hyperparameters, over the flat buffers of a network.

Each class below is named after a rule of :mod:`optimlab.rules`. Its keyword arguments are the rule's hyperparameters,
with the rule's defaults. A hyperparameter is a number, a function of the step, or a schedule of
:mod:`optimlab.schedules`. A function's step counts the updates made so far: it is 0 for the first update. A schedule
states its own unit, steps or epochs.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from itertools import dropwhile, islice, takewhile
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from .. import rules
from ..backends import Array
from ..common.errors import InputError, RuleError, count, exact, lookup, unknown, whole
from ..common.tables import Column, Table
from ..kernels import Graph, declaration, trace
from ..nn.parameters import Parameter, Parameters, stretches
from ..schedules import Schedule, checked_schedule, unit

Hyperparameter: TypeAlias = float | Callable[[int], float]


class Optimizer:
    """An optimizer: it updates parameters by a rule.

    Parameters
    ----------
    parameters: ``net.parameters``.
    rule: a function as described in :mod:`optimlab.rules`, one of the library's or your own.
    groups: hyperparameters that differ for some parameters: ``{"biases": {"weight_decay": 0.0}}``. Keys are kinds
        ("weights", "biases", "scales"), layers ("dense2") or single parameters ("dense2.W"). No parameter may be in
        two groups. Parameters in no group use the hyperparameters of the optimizer.
    hyperparameters: by the rule's names; numbers, functions of the step, or schedules of steps or epochs.

    Attributes
    ----------
    t: number of updates so far. Rules of the torch convention count the updates of each parameter, see :meth:`steps`.
    epoch: the number of the present epoch, from 0; None before the first. :func:`optimlab.fit` sets it. In your own
        loop, set it at the start of each epoch. Only schedules that count epochs use it.
    state: one flat array per state of the rule, with the layout of ``parameters.data``.
    used: the hyperparameters' values in the last step, for parameters in no group.
    kinds: the meaning and range of each hyperparameter, see :mod:`optimlab.rules.kinds`.

    Raises
    ------
    InputError: a hyperparameter or group is unknown, a value is out of range, or a parameter is in two groups.
    RuleError: ``rule`` is neither elementwise nor a :class:`optimlab.rules.LayerRule`.

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

    own_arguments: ClassVar[dict[str, str]] = {}
    """Documentation of the arguments that are not hyperparameters of the rule."""

    def __init__(
        self,
        /,
        parameters: Parameters,
        rule: rules.Rule,
        *,
        groups: Mapping[str, Mapping[str, Hyperparameter]] | None = None,
        **hyperparameters: Hyperparameter,
    ) -> None:
        if not isinstance(parameters, Parameters):
            raise InputError(f"expected net.parameters, got {type(parameters).__name__}")
        self.rule = rule
        self.name: str = getattr(rule, "__name__", "rule")
        self._kernel: Kernel = _LayerKernel(rule) if isinstance(rule, rules.LayerRule) else _ElementKernel(rule)
        self.kinds = rules.kinds_of(rule)
        self.parameters = parameters
        self.t = 0
        self._epoch: int | None = None
        self.used: dict[str, float] = {}
        self.hyperparameters: dict[str, Hyperparameter] = {
            **self._kernel.hyperparameters,
            **self._checked(hyperparameters),
        }
        self.groups = {name: self._checked(values) for name, values in (groups or {}).items()}
        self._members = self._make_groups()
        backend = parameters.backend
        self.state: dict[str, Array] = {
            name: backend.zeros(parameters.data.size, parameters.dtype) for name in self._kernel.state
        }
        for name, value in self._kernel.state.items():
            self.state[name] += value
        self._own_steps = rules.counts_each_parameter(rule)
        self._missed: dict[str, int] = {}
        self._resting: tuple[list[str], int] = [], 0
        self._version = -1

    @property
    def graph(self) -> Graph | None:
        """The rule's graph, traced when the optimizer was made; None for a rule of whole tensors."""
        return self._kernel.graph

    @property
    def lr(self) -> float:
        """The learning rate of the next step in the present epoch, for parameters in no group; may be set.

        Before the first epoch, a schedule of epochs returns the rate of epoch 0.
        """
        value = lookup(f"hyperparameter of {self.name}", "lr", self.hyperparameters)
        return self._value("lr", value, self.epoch or 0)

    @lr.setter
    def lr(self, value: Hyperparameter) -> None:
        self.hyperparameters |= self._checked({"lr": value})

    @property
    def epoch(self) -> int | None:
        """The number of the present epoch, from 0; None before the first; may be set."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch = whole("epoch", value)

    def begin_epoch(self) -> None:
        """Count one more epoch; the first is 0."""
        self._epoch = 0 if self._epoch is None else self._epoch + 1

    def step(self) -> None:
        """Update every unfrozen parameter from ``parameters.grad``.

        There is one kernel call per group; in the torch convention, one for all members of a group with the same
        number of steps.

        Raises
        ------
        InputError: a function of the step returned a value out of range, a scalar of the rule cannot be computed, or a
            schedule counts epochs but ``epoch`` was never set; nothing is changed.
        RuleError: a rule of whole tensors returned something other than its weights and states; nothing is changed.
        """
        scalars = self.advance()
        try:
            pending = [run(slots) for run, slots in zip(self._runs, scalars, strict=True)]
        except Exception:  # from a rule of whole tensors, which writes nothing until all groups are computed
            self.t -= 1
            raise
        for write in pending:
            if write is not None:
                write()

    def advance(self) -> list[Any]:
        """Count a step, and return the scalars that each update of :meth:`bound` needs.

        Raises
        ------
        InputError: as :meth:`step`.
        """
        values = [self._values(self.hyperparameters)]
        values += [self._values({**self.hyperparameters, **own}) for own in self.groups.values()]
        if self._version != self.parameters.version:
            self._bind()
        scalars = [self._kernel.scalars(t=self.t + 1 - missed, **values[group]) for group, missed in self._counters]
        self.used = values[0]
        self.t += 1
        return scalars

    def tables(self, steps: int) -> list[Any]:
        """Return the host scalars of the next ``steps`` updates, one row per step, for each update of :meth:`bound`.

        The step counter does not advance, see :meth:`count`.

        Raises
        ------
        InputError: as :meth:`step`.
        """
        self.bound()
        groups = [self.hyperparameters, *({**self.hyperparameters, **own} for own in self.groups.values())]
        fixed = [not any(callable(v) and unit(v) == "step" for v in values.values()) for values in groups]
        tables: list[Any] = []
        first = self.t
        try:
            for group, missed in self._counters:
                if fixed[group]:
                    values = self._values(groups[group])
                    tables.append(self._kernel.table(first + 1 - missed, steps, values))
                    continue
                rows = []
                for k in range(steps):
                    self.t = first + k
                    rows.append(self._kernel.scalars(t=self.t + 1 - missed, **self._values(groups[group])))
                tables.append(np.array(rows))
        finally:
            self.t = first
        return tables

    def count(self, steps: int) -> None:
        """Count updates that were made with :meth:`tables`."""
        if steps:
            self.t += steps - 1
            self.used = self._values(self.hyperparameters)
            self.t += 1

    @property
    def by_table(self) -> bool:
        """Return True if updates can be made from :meth:`tables` instead of by :meth:`step`.

        A rule of whole matrices cannot, nor can an optimizer whose ``step`` a subclass or the object overrides.
        """
        own = "step" in vars(self) or type(self).step is not Optimizer.step
        return not own and all(hasattr(update, "hp") for update in self.bound())

    def bound(self) -> list[Any]:
        """Return the updates of a step. Call each with its scalars from :meth:`advance`."""
        if self._version != self.parameters.version:
            self._bind()
        return self._runs

    def _values(self, hyperparameters: dict[str, Hyperparameter]) -> dict[str, float]:
        return {
            name: self._value(name, value, self._epoch) if callable(value) else value
            for name, value in hyperparameters.items()
        }

    def _value(self, name: str, value: Hyperparameter, epoch: int | None) -> float:
        if not callable(value):
            return value
        if unit(value) == "step":
            return self.kinds[name].check(name, value(self.t), f" at step {self.t}")
        if epoch is None:
            raise InputError(
                f"{name} is a schedule of epochs, but the optimizer does not know the epoch: write `opt.epoch = "
                "epoch` at the start of each epoch (fit does so), or give the schedule per='step'"
            )
        return self.kinds[name].check(name, value(epoch), f" at epoch {epoch}")

    def _bind(self) -> None:
        """Look up the slices of each group, again whenever parameters are frozen or unfrozen."""
        self._missed = self._missed_so_far()
        self._resting = [p.name for p in self.parameters if p.frozen], self.t
        arrays = {"w": self.parameters.data, "g": self.parameters.grad, **self.state}
        parts = [
            (group, missed, members)
            for group, all_members in enumerate(self._members)
            for missed, members in self._by_counter(all_members).items()
        ]
        self._counters = [(group, missed) for group, missed, _ in parts]
        self._runs = [self._kernel.bind(self.parameters, members, arrays) for _, _, members in parts]
        self._version = self.parameters.version

    def steps(self, parameter: Parameter) -> int:
        """Return the number of updates of one parameter, as its rule counts them.

        This is ``t``, except that updates while the parameter was frozen do not count in the torch convention.

        >>> import optimlab as ol
        >>> net = ol.MLP([2, 2, 1])
        >>> opt = ol.Adam(net.parameters, convention="torch")
        >>> net.parameters.freeze("dense1")
        >>> opt.step()
        >>> opt.steps(net.parameters["dense1.W"]), opt.steps(net.parameters["dense2.W"])
        (0, 1)
        """
        return self.t - (self._missed_so_far().get(parameter.name, 0) if self._own_steps else 0)

    def _missed_so_far(self) -> dict[str, int]:
        """Return the number of updates that each parameter missed while frozen, without those that missed none."""
        names, since = self._resting
        missed = dict(self._missed)
        for name in names if self.t > since else ():
            missed[name] = missed.get(name, 0) + self.t - since
        return missed

    def _by_counter(self, members: list[Parameter]) -> dict[int, list[Parameter]]:
        """Split a group's members by the number of missed updates; one part if the rule has one counter."""
        if not self._own_steps:
            return {0: members}
        parts: dict[int, list[Parameter]] = {}
        for p in members:
            if not p.frozen:
                parts.setdefault(self._missed.get(p.name, 0), []).append(p)
        return parts or {0: members}

    def _make_groups(self) -> list[list[Parameter]]:
        """Return the parameters in no group, then the parameters of each group."""
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
            if name not in self._kernel.hyperparameters:
                raise unknown(f"hyperparameter of {self.name}", name, self._kernel.hyperparameters)
        return {k: checked_schedule(k, v) if callable(v) else self.kinds[k].check(k, v) for k, v in values.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return copies of everything that changes from step to step.

        This is the rule, t, epoch, state, and the numbers among the hyperparameters. Functions and schedules are not
        stored.

        >>> import optimlab as ol
        >>> opt = ol.Momentum(ol.MLP([1, 1]).parameters, lr=0.5)
        >>> opt.step()
        >>> opt.state_dict()["t"], opt.state_dict()["hyperparameters"]
        (1, {'lr': 0.5, 'beta': 0.9})
        """

        def numbers(values: dict[str, Hyperparameter]) -> dict[str, Hyperparameter]:
            return {k: v for k, v in values.items() if not callable(v)}

        return {
            "rule": self.name,
            "t": self.t,
            "epoch": self.epoch,
            "missed": self._missed_so_far(),
            "hyperparameters": numbers(self.hyperparameters),
            "groups": {name: numbers(own) for name, own in self.groups.items()},
            "layout": [(p.name, p.shape) for p in self.parameters],
            "state": {k: self.parameters.backend.to_numpy(v).copy() for k, v in self.state.items()},
        }

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`. Hyperparameters that are functions stay as they are.

        Raises
        ------
        InputError: the state belongs to another rule or network, or is not a state at all; nothing is changed.
        """
        missing = {"rule", "t", "hyperparameters", "groups", "layout", "state"} - set(stored)
        if missing:
            raise InputError(f"not an optimizer's state: it lacks {', '.join(sorted(missing))}")
        if stored["rule"] != self.name:
            raise InputError(f"this state belongs to the rule {stored['rule']!r}, but the optimizer's is {self.name!r}")
        layout = [(p.name, tuple(p.shape)) for p in self.parameters]
        if [(name, tuple(shape)) for name, shape in stored["layout"]] != layout:
            raise InputError("this state belongs to a network with other parameters")
        if isinstance(stored["t"], bool) or not isinstance(stored["t"], int) or stored["t"] < 0:
            raise InputError(f"t must be an integer of at least 0, got {stored['t']!r}")
        epoch = stored.get("epoch")
        epoch = None if epoch is None else whole("epoch", epoch)
        missed = {str(name): count(f"missed updates of {name}", n) for name, n in stored.get("missed", {}).items()}
        if not set(missed) <= {name for name, _ in layout} or max(missed.values(), default=0) > stored["t"]:
            raise InputError(f"missed updates must name this network's parameters and be at most t, got {missed}")
        backend = self.parameters.backend
        arrays = {}
        for name, mine in self.state.items():
            if name not in stored["state"]:
                raise InputError(f"this state lacks the array {name!r}")
            arrays[name] = backend.asarray(stored["state"][name], self.parameters.dtype)
            if arrays[name].shape != mine.shape:
                raise InputError(f"the array {name!r} has shape {arrays[name].shape}, expected {mine.shape}")
        if set(stored["groups"]) != set(self.groups):
            raise InputError(f"this state has groups {list(stored['groups'])}, the optimizer has {list(self.groups)}")
        changes = [(self.hyperparameters, self._checked(stored["hyperparameters"]))]
        changes += [(own, self._checked(stored["groups"][name])) for name, own in self.groups.items()]
        for name, values in arrays.items():
            self.state[name][...] = values
        if missed != self._missed_so_far():
            self.parameters.version += 1  # the counters differ, so the updates must be bound again
        # parameters that are frozen now miss updates from here on
        self.t, self._epoch, self._missed = stored["t"], epoch, missed
        self._resting = [p.name for p in self.parameters if p.frozen], self.t
        for mine, numbers in changes:
            mine.update({k: v for k, v in numbers.items() if not callable(mine.get(k))})

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, without updates bound to this object's arrays: the copy binds its own."""
        return {**self.__dict__, "_runs": [], "_version": -1}

    def _repr_html_(self) -> str:
        names = ["value", *(f"of {group}" for group in self.groups)]
        columns = [Column("hyperparameter", "name"), *(Column(name) for name in names), Column("meaning", "words")]
        rows = []
        for name, value in self.hyperparameters.items():
            own = [_shown(group[name]) if name in group else "" for group in self.groups.values()]
            rows.append([name, _shown(value), *own, f"{self.kinds[name].meaning}, in {self.kinds[name].within}"])
        made = f"{self.t:,} updates made of {self.parameters.data.size:,} parameters"
        return Table(columns, rows, f"{type(self).__name__}: {made}")._repr_html_()

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_shown(value)}" for name, value in self.hyperparameters.items())
        return f"<{type(self).__name__} {values}, t={self.t}{'' if self.epoch is None else f', epoch={self.epoch}'}>"


def _shown(value: Hyperparameter) -> str:
    if isinstance(value, Schedule):
        return repr(value)
    return "<function>" if callable(value) else exact(value)


class Kernel(Protocol):
    """The interface of a rule as the optimizer runs it."""

    state: dict[str, float]
    hyperparameters: dict[str, float]

    @property
    def graph(self) -> Graph | None: ...

    def scalars(self, /, **values: float) -> Any:
        """Return the numbers that a step derives from ``t`` and the hyperparameters."""

    def table(self, first: int, steps: int, values: dict[str, float]) -> Any:
        """Return the same numbers for several steps, one row per step."""

    def bind(self, parameters: Parameters, members: list[Parameter], arrays: dict[str, Array]) -> Callable[[Any], Any]:
        """Return one update of ``members``, a function of the scalars.

        An update that may fail writes nothing; it returns a function that writes the result.
        """


class _ElementKernel:
    """An elementwise rule, traced and run by the backend on slices of the flat buffers."""

    def __init__(self, rule: rules.Rule) -> None:
        home = getattr(rule, "__module__", None) or ""
        self.graph = _traced(rule) if home.startswith(rules.__name__) else trace(rule)
        self.state, self.hyperparameters = self.graph.state, self.graph.hyperparameters

    def scalars(self, /, **values: float) -> tuple[float, ...]:
        return self.graph.scalars(**values)

    def table(self, first: int, steps: int, values: dict[str, float]) -> Any:
        return self.graph.table(first, steps, values)

    def bind(self, parameters: Parameters, members: list[Parameter], arrays: dict[str, Array]) -> Callable[[Any], None]:
        parts = [{name: a[part] for name, a in arrays.items()} for part in stretches(members)]
        return parameters.backend.bind(self.graph, parts)


_traced = cache(trace)
"""For the library's own rules, which have no outer variables that could change."""


class _LayerKernel:
    """A rule of whole tensors, called directly, once per parameter."""

    graph = None

    def __init__(self, rule: rules.LayerRule) -> None:
        self._rule, self._name = rule, getattr(rule, "__name__", "the rule")
        inputs, self.state, self.hyperparameters = declaration(rule)
        self._counts = "t" in inspect.signature(rule).parameters
        self._written = ("w", *inputs[2:])

    def scalars(self, /, **values: float) -> dict[str, float]:
        return {name: value for name, value in values.items() if name != "t" or self._counts}

    def table(self, first: int, steps: int, values: dict[str, float]) -> Any:
        raise NotImplementedError  # such a rule is called step by step

    def bind(
        self, parameters: Parameters, members: list[Parameter], arrays: dict[str, Array]
    ) -> Callable[[Any], Callable[[], None]]:
        views = [(p.name, {name: p.view(a) for name, a in arrays.items()}) for p in members if not p.frozen]

        def run(scalars: dict[str, float]) -> Callable[[], None]:
            computed = [(v, self._checked(name, v, self._rule(*v.values(), **scalars))) for name, v in views]

            def write() -> None:
                for view, new in computed:
                    for name, values in zip(self._written, new, strict=True):
                        view[name][...] = values

            return write

        return run

    def _checked(self, parameter: str, view: dict[str, Array], returned: Any) -> list[Array]:
        """Return the new weights and states of one parameter, checked.

        Views are copied, because an array may be written before another array that shares its memory is read.

        Raises
        ------
        RuleError: the rule returned anything else.
        """
        new = returned if isinstance(returned, tuple | list) else [returned]
        expected = ", ".join(self._written)
        if len(new) != len(self._written):
            raise RuleError(f"{self._name} must return {expected}: it returned {len(new)} values for {parameter}")
        for name, values in zip(self._written, new, strict=True):
            shape, dtype = getattr(values, "shape", None), getattr(values, "dtype", None)
            if shape is None or dtype is None:
                raise RuleError(
                    f"{self._name} must return {expected}: {name} of {parameter} is a {type(values).__name__}"
                )
            if shape != view[name].shape or dtype.kind not in "fiu":
                raise RuleError(
                    f"{self._name} must return {expected} in their shapes: {name} of {parameter} is {dtype} of shape "
                    f"{tuple(shape)}, expected {view[name].dtype} of shape {tuple(view[name].shape)}"
                )
        return [values if values.base is None else values.copy() for values in new]


def _document(cls: type[Optimizer], readings: Mapping[str, rules.Rule]) -> None:
    """Complete a class's signature and documentation from its rules, given by convention.

    Editors show the signature. The documentation gets the recurrence of each rule and every argument.
    """
    defaults = {convention: declaration(rule)[2] for convention, rule in readings.items()}
    kinds = {convention: rules.kinds_of(rule) for convention, rule in readings.items()}
    first = next(iter(readings))
    own = [p for p in inspect.signature(cls.__init__).parameters.values() if p.name != "hyperparameters"][1:]
    names = {name: None for values in defaults.values() for name in values if name not in {p.name for p in own}}
    keyword = inspect.Parameter.KEYWORD_ONLY
    own += [
        inspect.Parameter(name, keyword, default=value, annotation=Hyperparameter)
        for name, value in defaults[first].items()
        if name in names
    ]
    cls.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]

    def line(name: str) -> str:
        having: dict[str, list[str]] = {}
        for convention, values in defaults.items():
            if name in values:
                having.setdefault(exact(values[name]), []).append(convention)
        kind = next(own[name] for own in kinds.values() if name in own)
        told = ", ".join(f"{value} ({', '.join(conventions)})" for value, conventions in having.items())
        if list(having.values()) == [list(readings)]:
            told = next(iter(having))
        text = f"{name}: {kind.meaning}; in {kind.within}. Default: {told}."
        return textwrap.fill(text, 116, subsequent_indent="    ", break_on_hyphens=False)

    several = len(readings) > 1
    recurrences = [
        (f"In the convention {convention!r}::\n\n" if several else "::\n\n") + _recurrence(rule)
        for convention, rule in readings.items()
        if _recurrence(rule)
    ]
    arguments = ["parameters: ``net.parameters``."]
    if "" not in readings:
        by_default = "; 'textbook' by default" if "textbook" in readings else ""
        arguments.append(f"convention: {', '.join(map(repr, readings))}{by_default}.")
    arguments += [f"{name}: {text}" for name, text in cls.own_arguments.items()]
    arguments += [*map(line, names), "groups: hyperparameters that differ for some parameters, see :class:`Optimizer`."]
    summary, _, rest = inspect.cleandoc(cls.__doc__ or cls.__name__).partition("\n\n")
    note = "A hyperparameter is a number, a function of the step, or a schedule."
    parts = [summary, *recurrences, note, "Parameters\n----------\n" + "\n".join(arguments), rest]
    cls.__doc__ = "\n\n".join(part for part in parts if part)


def _recurrence(rule: rules.Rule) -> str:
    """Return the first block of formulas in a rule's docstring; empty if there is none."""
    lines = inspect.cleandoc(rule.__doc__ or "").splitlines()
    rest = dropwhile(lambda text: not text.endswith("::"), lines)
    block = takewhile(lambda text: not text or text.startswith(" "), islice(rest, 1, None))
    return "\n".join(block).strip("\n")


class _Named(Optimizer):
    """An optimizer for a rule by name, in each convention that has it."""

    rule_name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        _document(cls, {c: rule for c in rules.CONVENTIONS if (rule := rules.find(cls.rule_name, c))})

    def __init__(
        self,
        parameters: Parameters,
        *,
        convention: str = "textbook",
        groups: Mapping[str, Mapping[str, Hyperparameter]] | None = None,
        **hyperparameters: Hyperparameter,
    ) -> None:
        self.convention = convention
        super().__init__(parameters, self._find(convention), groups=groups, **hyperparameters)

    @classmethod
    def _find(cls, convention: str, name: str = "") -> rules.Rule:
        lookup("convention", convention, rules.CONVENTIONS)
        name = name or cls.rule_name
        rule = rules.find(name, convention)
        if rule is None:
            having = [c for c in rules.CONVENTIONS if rules.find(name, c)]
            raise InputError(f"the convention {convention!r} has no rule {name!r}; these have it: {', '.join(having)}")
        return rule


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
    """RMSProp, :func:`optimlab.rules.textbook.rmsprop`.

    ``centered`` and ``momentum`` choose a variant, such as :func:`optimlab.rules.torch.rmsprop_centered_momentum`, in
    the conventions that have one.

    >>> import optimlab as ol
    >>> ol.RMSProp(ol.MLP([1, 1]).parameters, convention="torch", centered=True, momentum=0.5).name
    'rmsprop_centered_momentum'
    """

    rule_name = "rmsprop"
    own_arguments: ClassVar = {
        "centered": "True divides by the standard deviation of the gradients; False by default.",
        "momentum": f"{rules.KINDS['momentum'].meaning}; in {rules.KINDS['momentum'].within}. None, the default, is "
        "RMSProp without momentum.",
    }

    def __init__(
        self,
        parameters: Parameters,
        *,
        convention: str = "textbook",
        centered: bool = False,
        momentum: Hyperparameter | None = None,
        groups: Mapping[str, Mapping[str, Hyperparameter]] | None = None,
        **hyperparameters: Hyperparameter,
    ) -> None:
        name = self.rule_name + "_centered" * bool(centered)
        if momentum is not None:
            name, hyperparameters = f"{name}_momentum", {**hyperparameters, "momentum": momentum}
        self.convention = convention
        Optimizer.__init__(self, parameters, self._find(convention, name), groups=groups, **hyperparameters)


class Adadelta(_Named):
    """Adadelta, :func:`optimlab.rules.modern.adadelta`."""

    rule_name = "adadelta"


class Adam(_Named):
    """Adam, :func:`optimlab.rules.textbook.adam`."""

    rule_name = "adam"


class AMSGrad(_Named):
    """AMSGrad, :func:`optimlab.rules.modern.amsgrad`."""

    rule_name = "amsgrad"


class AdaMax(_Named):
    """AdaMax, :func:`optimlab.rules.textbook.adamax`."""

    rule_name = "adamax"


class Nadam(_Named):
    """Nadam, :func:`optimlab.rules.textbook.nadam`."""

    rule_name = "nadam"


class AdamW(_Named):
    """AdamW, :func:`optimlab.rules.textbook.adamw`."""

    rule_name = "adamw"


class RAdam(_Named):
    """RAdam, :func:`optimlab.rules.modern.radam`."""

    rule_name = "radam"


class AdaBelief(_Named):
    """AdaBelief, :func:`optimlab.rules.modern.adabelief`."""

    rule_name = "adabelief"


class Adan(_Named):
    """Adan, :func:`optimlab.rules.modern.adan`."""

    rule_name = "adan"


class Lion(_Named):
    """Lion, :func:`optimlab.rules.modern.lion`."""

    rule_name = "lion"


class ScheduleFreeAdamW(_Named):
    """Schedule-Free AdamW, :func:`optimlab.rules.modern.schedule_free_adamw`."""

    rule_name = "schedule_free_adamw"


class _NamedLayerwise(Optimizer):
    """An optimizer whose rule works on whole tensors."""

    layer_rule: ClassVar[rules.LayerRule]

    def __init_subclass__(cls) -> None:
        _document(cls, {"": cls.layer_rule})

    def __init__(
        self,
        parameters: Parameters,
        *,
        groups: Mapping[str, Mapping[str, Hyperparameter]] | None = None,
        **hyperparameters: Hyperparameter,
    ) -> None:
        super().__init__(parameters, self.layer_rule, groups=groups, **hyperparameters)


class LARS(_NamedLayerwise):
    """LARS, :func:`optimlab.rules.layerwise.lars`."""

    layer_rule = rules.layerwise.lars


class LAMB(_NamedLayerwise):
    """LAMB, :func:`optimlab.rules.layerwise.lamb`."""

    layer_rule = rules.layerwise.lamb


class Muon(_NamedLayerwise):
    """Muon for weight matrices and AdamW for the rest, :func:`optimlab.rules.layerwise.muon`."""

    layer_rule = rules.layerwise.muon


CLASSIC = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamax", "nadam", "adamw")
"""The nine rules of the source documents, from simple to involved."""

OPTIMIZERS: dict[str, type[Optimizer]] = {cls.rule_name: cls for cls in _Named.__subclasses__()}
OPTIMIZERS |= {cls.layer_rule.__name__: cls for cls in _NamedLayerwise.__subclasses__()}
"""Optimizer classes by the name of their rule."""


def get(name: str) -> type[Optimizer]:
    """Return the optimizer class for a rule's name. It is made on demand for a rule without a class.

    >>> get("adam")
    <class 'optimlab.optim.optimizers.Adam'>
    >>> get("rmsprop_centered").rule_name
    'rmsprop_centered'
    """
    known = [*OPTIMIZERS, *(n for c in rules.CONVENTIONS for n in rules.names(c))]
    found = lookup("optimizer", name, {n: n for n in known})
    return OPTIMIZERS[found] if found in OPTIMIZERS else _class_for(found)


@cache
def _class_for(name: str) -> type[Optimizer]:
    doc = f"The optimizer of the rule {name}, see :mod:`optimlab.rules`."
    return type(name, (_Named,), {"rule_name": name, "__doc__": doc, "__module__": __name__})
