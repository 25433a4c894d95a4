"""Contenders: the optimizers of a study, with hyperparameters that are fixed, searched or scheduled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from ..common.calls import as_call, call, split, value, written
from ..common.errors import InputError, exact, printable, unknown
from ..nn.network import MLP, Network
from ..nn.parameters import Parameters
from ..optim import optimizers
from ..optim.optimizers import Hyperparameter, Optimizer
from ..rules import CONVENTIONS, Kind, LayerRule, Rule
from ..rules.own import own_rule
from ..schedules import SHAPES, Length, Scheduled, Shape
from ..schedules.shapes import defaults as options_of
from ..training.callbacks import ReduceLROnPlateau
from .own_rules import rule_digest
from .spaces import Choice, Range, Space, parse, usual

KINDS = ("tuned", "default", "searched")
"""The rows of a contender: at the best rate of the grid, at the rule's default rate, and at the best random setting."""
FULL_RATES = tuple(10.0 ** (k / 2) for k in range(-10, 5))
"""Two rates per decade, from 0.00001 to 100."""
LEAST_RATE, TOO_HIGH = 1e-300, 1e300
"""A learning rate lies in ``[LEAST_RATE, TOO_HIGH)``, where float64 has full precision and finite neighbours."""
DRAWS = 4
"""Number of settings that a contender with a searched range gets at each rate, if the others need no more."""
MOST_SETTINGS = 1000
"""Limit of the settings at one rate; more are taken for a typing error."""

_OWN_FILE = re.compile(r"(.*?\.py:[^\s:()]*)\s*(?:\((.*)\))?", re.DOTALL)


@dataclass(frozen=True)
class Contender:
    """An optimizer in a study: a rule in a convention, its hyperparameters, and a schedule of its rate.

    Parameters
    ----------
    name: name of an optimizer, as for :func:`optimlab.optim.optimizers.get`; any name for your own ``rule``. In a study
        file also ``FILE.py:NAME``, relative to the folder of the file.
    convention: ``"textbook"``, ``"torch"`` or ``"keras"``.
    hyperparameters: values by name. A number is fixed. A list of numbers, or a range such as ``"1e-4:0.1:log"`` or
        ``"auto"`` (see :func:`optimlab.study.spaces.parse`), is searched in every replicate. A schedule with its peak,
        such as ``"cosine(0.1)"``, is followed. The learning rate is always tuned, so it cannot be given here.
    label: name in tables and figures; by default composed of the other arguments.
    rule: your own function or :class:`optimlab.rules.LayerRule`, as described in :mod:`optimlab.rules`.
    schedule: schedule of the learning rate, whose peak is tuned: a text such as ``"cosine(warmup=0.1)"``, or a table
        such as ``{name = "cosine", warmup = 0.1}``, see :class:`optimlab.schedules.Shape`. By default the rate is
        constant.
    file: the source of your own rule, ``FILE.py:NAME``.

    Raises
    ------
    InputError: the name, convention, schedule or a hyperparameter is unknown; the learning rate is given, or its
        default is not positive; or the label is not printable.

    >>> Contender("adam", "torch", {"beta2": 0.99}).label
    'adam (torch, beta2=0.99)'
    >>> Contender("adamw", hyperparameters={"weight_decay": [0, 0.1]}, schedule="cosine(warmup=0.1)").label
    'adamw (weight_decay={0, 0.1}, cosine(warmup=0.1))'
    """

    name: str
    convention: str = "textbook"
    hyperparameters: Any = ()
    label: str = ""
    rule: Rule | None = None
    schedule: Any = None
    file: str = ""

    def __post_init__(self) -> None:
        try:
            given = dict(self.hyperparameters)
        except (TypeError, ValueError):
            raise InputError(
                f"{self.name}: hyperparameters must map names to numbers, got {self.hyperparameters!r}"
            ) from None
        known = self.defaults()
        if "lr" not in known:
            raise InputError(f"{self.name} has no learning rate lr to tune")
        if not LEAST_RATE <= known["lr"] < TOO_HIGH:
            raise InputError(
                f"the default learning rate of {self.name} is {exact(known['lr'])}: give lr a positive default, "
                "such as lr=0.01"
            )
        kinds = self.kinds()
        for name, one in given.items():
            if name == "lr":
                raise InputError(f"{self.name}: the learning rate is always tuned; give the grid of rates instead")
            if name not in known:
                raise unknown(f"hyperparameter of {self.name}", name, known)
            given[name] = _read(name, one, kinds[name], known[name])
        object.__setattr__(self, "hyperparameters", tuple(sorted(given.items())))
        if self.settings > MOST_SETTINGS:
            raise InputError(f"{self.name}: the lists give {self.settings:,} settings at each rate; give fewer values")
        try:
            object.__setattr__(self, "schedule", Shape.of(self.schedule))
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
        object.__setattr__(self, "label", self.label or self._usual_label())
        printable("a label", self.label)
        endings = tuple(f", {kind}" for kind in KINDS)
        if self.label.endswith(endings):
            marks = " or ".join(map(repr, endings))
            raise InputError(f"a label cannot end in {marks}, which mark the rows of a table, got {self.label!r}")

    @classmethod
    def parse(cls, text: str, convention: str = "textbook", folder: str | Path = ".") -> Contender:
        """Read a contender from text such as ``"adam:torch(beta2=0.99)"`` or ``"my.py:rule(schedule=cosine)"``.

        The brackets hold hyperparameters, ``schedule`` with its options, and ``label``. The file of your own rule is
        executed.

        Parameters
        ----------
        text: the text.
        convention: convention of a rule that is named without one.
        folder: the folder from which a relative path starts.

        >>> Contender.parse("adam:keras").convention
        'keras'
        >>> found = Contender.parse("adamw(schedule=cosine, warmup=0.1, weight_decay={0, 0.01})")
        >>> found.text
        'adamw(weight_decay={0, 0.01}, schedule=cosine(warmup=0.1))'
        >>> Contender.parse(found.text) == found
        True

        Raises
        ------
        InputError: the text cannot be read, or it does not describe a valid contender.
        """
        head, arguments = parts(text)
        options = {}
        for key, part in arguments:
            if not key:
                raise InputError(f"in {text!r} write NAME=VALUE, such as weight_decay=0.01, instead of {part!r}")
            options[key] = value(part)
        chosen = named(head, convention, folder)
        for key in ("label", "schedule"):
            if key in options and key in cls(**chosen).defaults():
                raise InputError(
                    f"{chosen['name']} has a hyperparameter {key!r}, but here {key} means the {key} of the "
                    "contender: set it in a study file, or rename it"
                )
        base = {"label": str(options.pop("label", "")), **chosen}
        if "lr" in options:
            followed = str(options["lr"])
            advice = f"write schedule={followed}" if call(followed)[0] in SHAPES else "leave it out"
            raise InputError(f"{base['name']}: the learning rate is always tuned; {advice}")
        return cls(**base, **cls(**base)._with_schedule(options))

    def _with_schedule(self, options: dict[str, Any]) -> dict[str, Any]:
        """Separate the options of a schedule from the hyperparameters, which win if both have the same name."""
        schedule = options.pop("schedule", None)
        if schedule is None:
            self._expect_no_schedule(options)
            return {"hyperparameters": options}
        if not isinstance(schedule, str):
            raise InputError(f"{self.name}: write a schedule as schedule=cosine or schedule=cosine(warmup=0.1)")
        shape, defaults = schedule, self.defaults()
        name = call(shape)[0]
        known = options_of(name) if name in SHAPES else {}
        more = {key: part for key, part in options.items() if key in known and key not in defaults}
        if more and "(" in shape:
            raise InputError(f"{self.name}: write all options of the schedule in its brackets, {shape}")
        rest = {key: part for key, part in options.items() if key not in more}
        return {"schedule": {"name": name, **more} if more else shape, "hyperparameters": rest}

    def _expect_no_schedule(self, options: Iterable[str]) -> None:
        """Raise an InputError for an unknown option; say so if it is an option of a schedule."""
        known = self.defaults()
        for key in options:
            if key in known:
                continue
            having = [name for name in SHAPES if key in options_of(name)]
            if having:
                name = "cosine" if "cosine" in having else having[0]
                raise InputError(f"{self.name}: {key} belongs to a schedule: name one, such as schedule={name}")
            raise unknown(f"hyperparameter of {self.name}", key, [*known, "schedule", "label"])

    @property
    def text(self) -> str:
        """Return the text that :meth:`parse` reads back."""
        head = self.file or (self.name if self.convention == "textbook" else f"{self.name}:{self.convention}")
        arguments = [f"{name}={_written(one)}" for name, one in self.hyperparameters]
        arguments += [f"schedule={self.schedule.text}"] if self.schedule else []
        arguments += [f"label={_quoted(self.label)}"] if self.label != self._usual_label() else []
        return as_call(head, arguments)

    def _usual_label(self) -> str:
        parts = [self.convention] if self.convention != "textbook" else []
        parts += [f"{name}={_written(one)}" for name, one in self.hyperparameters]
        parts += [self.schedule.text] if self.schedule else []
        return f"{self.name} ({', '.join(parts)})" if parts else self.name

    @property
    def fixed(self) -> dict[str, float]:
        """Return the hyperparameters that have one value."""
        return {name: one for name, one in self.hyperparameters if isinstance(one, float)}

    @property
    def searched(self) -> dict[str, Space]:
        """Return the hyperparameters that every replicate searches, each with its values or its range."""
        return {name: one for name, one in self.hyperparameters if isinstance(one, Choice | Range)}

    @property
    def scheduled(self) -> dict[str, Scheduled]:
        """Return the hyperparameters that follow a schedule of their own."""
        return {name: one for name, one in self.hyperparameters if isinstance(one, Scheduled)}

    @property
    def settings(self) -> int:
        """Return the number of settings tried at each rate, if the other contenders need no more."""
        return len(self.choices()) * (DRAWS if self.draws else 1)

    @property
    def draws(self) -> bool:
        """Return True if a range is searched: its values are drawn at random."""
        return any(isinstance(space, Range) for space in self.searched.values())

    def choices(self) -> list[dict[str, float]]:
        """Return every combination of the listed values.

        >>> Contender("adam", hyperparameters={"beta1": [0.8, 0.9]}).choices()
        [{'beta1': 0.8}, {'beta1': 0.9}]
        """
        lists = {name: space.values() for name, space in self.searched.items() if isinstance(space, Choice)}
        if prod(map(len, lists.values())) > MOST_SETTINGS:
            raise InputError(f"{self.name}: the lists give more than {MOST_SETTINGS:,} settings at each rate")
        return [dict(zip(lists, map(float, values), strict=True)) for values in product(*lists.values())]

    def defaults(self) -> dict[str, float]:
        """Return every hyperparameter with its default."""
        hyperparameters = _probe(self.name, self.convention, self.rule).hyperparameters
        return {k: float(v) for k, v in hyperparameters.items() if not callable(v)}

    def kinds(self) -> dict[str, Kind]:
        """Return the kind of every hyperparameter."""
        return _probe(self.name, self.convention, self.rule).kinds

    @property
    def plain_rule(self) -> Rule | None:
        """Return the rule if it is elementwise and no hyperparameter follows a schedule, else None."""
        rule = _probe(self.name, self.convention, self.rule).rule
        scheduled = self.schedule is not None or bool(self.scheduled)
        return None if scheduled or isinstance(rule, LayerRule) else rule

    def unsearched(self) -> list[str]:
        """Return the free hyperparameters that a random search leaves at their defaults, as their kinds have no prior.

        >>> def mine(w, g, *, lr=0.1, beta=0.9, warmth=1.0):
        ...     return w - lr * (beta + warmth) * g
        >>> Contender("mine", rule=mine).unsearched()
        ['warmth']
        """
        defaults, kinds, given = self.defaults(), self.kinds(), {"lr", *dict(self.hyperparameters)}
        return [name for name in defaults if name not in given and not kinds[name].searched(defaults[name])]

    def make(
        self,
        network: Network,
        lr: float,
        hyperparameters: Mapping[str, Any],
        steps: int | None = None,
        per_epoch: int = 1,
    ) -> Optimizer:
        """Make the optimizer of a network, with a learning rate or the schedule that has its peak there.

        A schedule that watches the validation loss is one of :meth:`callbacks` instead.

        Parameters
        ----------
        network: the network whose parameters are trained.
        lr: the learning rate, or the peak of the schedule.
        hyperparameters: values by name.
        steps: number of steps of the run; a schedule needs it.
        per_epoch: number of steps of an epoch.

        Raises
        ------
        InputError: there is a schedule but no ``steps``, or a warm-up is as long as the run.
        """
        if steps is None and (self.schedule or self.scheduled):
            raise InputError(f"{self.label} follows a schedule: give the number of steps of the run")
        run = Length(steps or 1, per_epoch)
        return self.optimizer(network.parameters, run, lr=self.rate(lr, run), **hyperparameters)

    def rate(self, peak: float, run: Length) -> Hyperparameter:
        """Return the learning rate of a run: ``peak``, or the schedule that has its peak there."""
        return peak if self.schedule is None or self.schedule.listens else self.schedule.schedule(peak, run)

    def optimizer(self, parameters: Parameters, run: Length, **options: Any) -> Optimizer:
        """Make the optimizer of parameters with ``options``; scheduled hyperparameters follow their schedule."""
        options |= {name: one.schedule(run) for name, one in self.scheduled.items()}
        if self.rule is not None:
            return Optimizer(parameters, self.rule, **options)
        named: dict[str, Any] = {} if self.convention == "textbook" else {"convention": self.convention}
        return optimizers.get(self.name)(parameters, **named, **options)

    def callbacks(self, epochs: int) -> list[Any]:
        """Return the callbacks of a run of so many epochs: the one that cuts the rate on a plateau, if it is used."""
        if self.schedule is None or not self.schedule.listens:
            return []
        return [ReduceLROnPlateau("val_loss", **self.schedule.plateau(epochs))]

    def check(self, steps: int, per_epoch: int) -> None:
        """Check that the schedules fit into a run.

        Raises
        ------
        InputError: a warm-up is as long as the run.
        """
        run = Length(steps, per_epoch)
        try:
            for shape in [self.schedule, *(one.shape for one in self.scheduled.values())]:
                if shape and not shape.listens:
                    shape.schedule(1.0, run)
        except InputError as error:
            raise InputError(f"{self.label}: {error}") from None

    def config(self) -> dict[str, Any]:
        """Return plain data, without the numeric hyperparameters; your own rule is identified by what it computes."""
        rule = {} if self.rule is None else {"rule": rule_digest(self.rule)}
        shapes: dict[str, Any] = {"schedule": self.schedule.text} if self.schedule else {}
        shapes |= {"scheduled": {name: one.text for name, one in self.scheduled.items()}} if self.scheduled else {}
        return {"optimizer": self.name, "convention": self.convention, **rule, **shapes}


def parts(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Split a contender's text into its name and its arguments; the path of a file may contain brackets.

    >>> parts("a(1)/my.py:rule(k=2)")
    ('a(1)/my.py:rule', [('k', '2')])
    """
    match = _OWN_FILE.fullmatch(text.strip())
    return (match[1], call(f"rule({match[2] or ''})")[1]) if match else call(text)


def named(head: str, convention: str = "textbook", folder: str | Path = ".") -> dict[str, Any]:
    """Return the arguments of a :class:`Contender` that ``adam``, ``adam:torch`` or ``FILE.py:NAME`` stands for.

    >>> named("adam:torch"), named("adam", "keras")
    ({'name': 'adam', 'convention': 'torch'}, {'name': 'adam', 'convention': 'keras'})

    Raises
    ------
    InputError: the file does not exist or raises an error, or it has no such function.
    """
    if head.strip().endswith(".py") or _OWN_FILE.fullmatch(head.strip()):
        name, rule = own_rule(head, folder)
        path = Path(folder) / Path(head.strip().rpartition(":")[0]).expanduser()
        return {"name": name, "rule": rule, "file": f"{path.absolute()}:{name}"}
    name, _, given = (part.strip() for part in head.partition(":"))
    return {"name": name, "convention": given or convention}


def contenders(text: str, convention: str = "textbook", folder: str | Path = ".") -> list[Contender]:
    """Read contenders from text, separated by commas that are not within brackets.

    Parameters
    ----------
    text: the text, such as ``"sgd, adam:torch(beta2=0.99)"``.
    convention, folder: as for :meth:`Contender.parse`.

    >>> [c.label for c in contenders("sgd(schedule=one_cycle), adam:torch(beta2=0.99, eps={1e-8, 1e-6})")]
    ['sgd (one_cycle)', 'adam (torch, beta2=0.99, eps={1e-08, 1e-06})']

    Raises
    ------
    InputError: as :meth:`Contender.parse`.
    """
    return [Contender.parse(part, convention, folder) for part in split(text)]


def in_convention(contender: Contender, convention: str) -> Contender:
    """Return the contender in another convention, if it was named without one; a label of its own stays."""
    if contender.convention != "textbook" or contender.rule is not None:
        return contender
    label = contender.label if contender.label != contender._usual_label() else ""
    return replace(contender, convention=convention, label=label)


def _read(name: str, given: Any, kind: Kind, default: float) -> float | Space | Scheduled:
    """Read a hyperparameter, which is a number, values, a range, or a schedule, and check each of its values."""
    if isinstance(given, Scheduled | Mapping) or (isinstance(given, str) and call(given)[0] in SHAPES):
        try:
            followed = Scheduled.of(given)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        kind.check(name, followed.peak)
        return followed
    if isinstance(given, str) and given.strip() == "auto":
        return usual(name, kind, default)
    if isinstance(given, str) and ":" not in given and "," not in given:
        return kind.check(name, given)
    if isinstance(given, str | list | tuple | set | frozenset | Choice | Range):
        several = sorted(given) if isinstance(given, set | frozenset) else given
        if not isinstance(several, str | Choice | Range) and not several:
            raise InputError(f"{name}: give at least one value")
        if not isinstance(several, str | Choice | Range) and len(several) == 1:
            return kind.check(name, several[0])
        space = parse(name, several)
        for one in space.values():
            kind.check(name, one)
        return space
    return kind.check(name, given)


def _written(given: float | Space | Scheduled) -> str:
    return exact(given) if isinstance(given, float) else given.text


def _quoted(text: str) -> str:
    plain = written(text)
    return plain if plain.startswith('"') else f'"{plain}"'


def _probe(name: str, convention: str, rule: Rule | None) -> Optimizer:
    """Return an optimizer that is made only to read its hyperparameters and kinds."""
    if rule is not None:
        return Optimizer(MLP([1, 1]).parameters, rule)
    cls: Any = optimizers.get(name)
    layerwise = issubclass(cls, optimizers._NamedLayerwise)
    if convention not in CONVENTIONS:
        raise unknown("convention", convention, CONVENTIONS)
    if layerwise and convention != "textbook":
        raise InputError(f"{name} is the same in every convention; write it without one")
    return _named(cls, "" if layerwise else convention)


@cache
def _named(cls: Any, convention: str) -> Optimizer:
    """Return the cached probe of a named rule: a study of 30 contenders asks thousands of times."""
    options: dict[str, Any] = {"convention": convention} if convention else {}
    probe: Optimizer = cls(MLP([1, 1]).parameters, **options)
    return probe
