"""Schedules by name, without a peak and a length, such as ``cosine(warmup=0.1)``.

A comparison tunes the peak like any other learning rate, and each problem has its own number of steps. A
:class:`Shape` is a schedule without these two. Its lengths are shares of the run (below 1) or epochs (1 or more), and
its ends are shares of the peak:

=========================  =======================================================================================
name                       options, with their defaults
=========================  =======================================================================================
``constant``
``cosine``                 ``end=0``
``linear``                 ``end=0``
``polynomial``             ``power=1, end=0``
``exponential``            ``end=0.01``, or ``gamma``, the factor of an epoch
``step``                   ``step_size=0.3, gamma=0.1``
``multi_step``             ``milestones={0.5, 0.75}, gamma=0.1``
``inverse_time``           ``s=0.1``
``power``                  ``s=0.1, c=1``
``cosine_restarts``        ``period=0.25, factor=1, end=0``
``one_cycle``              ``pct_start=0.3, div_factor=25, final_div_factor=10000, anneal_strategy=cos,
                           three_phase=false``
``cyclic``                 ``up=0.1, base=0.1, mode=triangular``
``warmup_stable_decay``    ``warmup=0.1, decay=0.2, end=0``
``plateau``                ``factor=0.1, patience=0.1, threshold=0.0001, cooldown=0``
=========================  =======================================================================================

``warmup=0.1`` puts a linear warm-up from 0 to the peak before any of the first ten.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from ..common.calls import as_call, call, value, written
from ..common.errors import InputError, lookup, number, unknown
from .composed import Warmup, per_epoch
from .cycles import CosineWarmRestarts, CyclicLR, OneCycle, WarmupStableDecay
from .decays import (
    CosineAnnealing,
    ExponentialLR,
    InverseTime,
    LinearDecay,
    MultiStepLR,
    PolynomialDecay,
    PowerDecay,
    StepLR,
)
from .plateau import ReduceLROnPlateau
from .schedule import Schedule


class Length(NamedTuple):
    """The length of a run: its steps, and its steps per epoch (1 if there are no epochs)."""

    steps: int
    per_epoch: int = 1

    def of(self, name: str, part: Any) -> int:
        """Return the steps of a part of the run, given as a share below 1 or as epochs from 1 on."""
        checked = number(name, part, positive=True)
        return max(1, round(checked * (self.steps if checked < 1 else self.per_epoch)))


def _constant(peak: float, run: Length) -> Schedule:
    return PolynomialDecay(peak, run.steps, end=peak, per="step")


def _cosine(peak: float, run: Length, *, end: Any = 0.0) -> Schedule:
    return CosineAnnealing(peak, run.steps, _end(peak, end), per="step")


def _linear(peak: float, run: Length, *, end: Any = 0.0) -> Schedule:
    return LinearDecay(peak, _end(peak, end), run.steps, per="step")


def _polynomial(peak: float, run: Length, *, power: Any = 1.0, end: Any = 0.0) -> Schedule:
    return PolynomialDecay(peak, run.steps, power, _end(peak, end), per="step")


def _exponential(peak: float, run: Length, *, gamma: Any = None, end: Any = None) -> Schedule:
    if gamma is not None and end is not None:
        raise InputError(
            "exponential takes gamma, the factor per epoch, or end, the last share of the peak, but not both"
        )
    if gamma is not None:
        return per_epoch(ExponentialLR(peak, gamma), run.per_epoch)
    last = number("end", 0.01 if end is None else end, above=0, high=1)
    return ExponentialLR(peak, last ** (1 / run.steps), per="step")


def _step(peak: float, run: Length, *, step_size: Any = 0.3, gamma: Any = 0.1) -> Schedule:
    return StepLR(peak, run.of("step_size", step_size), gamma, per="step")


def _multi_step(peak: float, run: Length, *, milestones: Any = (0.5, 0.75), gamma: Any = 0.1) -> Schedule:
    if not isinstance(milestones, tuple):
        raise InputError(f"milestones are several lengths, such as {{0.5, 0.75}}, got {milestones!r}")
    places = [run.of("a milestone", part) for part in milestones]
    if places != sorted(set(places)):
        raise InputError(f"milestones must rise, got {written(milestones)} of a run of {run.steps:,} steps")
    return MultiStepLR(peak, places, gamma, per="step")


def _inverse_time(peak: float, run: Length, *, s: Any = 0.1) -> Schedule:
    return InverseTime(peak, run.of("s", s), per="step")


def _power(peak: float, run: Length, *, s: Any = 0.1, c: Any = 1.0) -> Schedule:
    return PowerDecay(peak, run.of("s", s), c, per="step")


def _cosine_restarts(peak: float, run: Length, *, period: Any = 0.25, factor: Any = 1.0, end: Any = 0.0) -> Schedule:
    return CosineWarmRestarts(peak, run.of("period", period), factor, _end(peak, end), per="step")


def _one_cycle(
    peak: float,
    run: Length,
    *,
    pct_start: Any = 0.3,
    div_factor: Any = 25.0,
    final_div_factor: Any = 1e4,
    anneal_strategy: Any = "cos",
    three_phase: Any = False,
) -> Schedule:
    options = {"anneal_strategy": anneal_strategy, "three_phase": three_phase}
    return OneCycle(peak, run.steps, pct_start, div_factor=div_factor, final_div_factor=final_div_factor, **options)


def _cyclic(peak: float, run: Length, *, up: Any = 0.1, base: Any = 0.1, mode: Any = "triangular") -> Schedule:
    return CyclicLR(peak * number("base", base, low=0, high=1), peak, run.of("up", up), mode=mode)


def _warmup_stable_decay(peak: float, run: Length, *, warmup: Any = 0.1, decay: Any = 0.2, end: Any = 0.0) -> Schedule:
    up, down = run.of("warmup", warmup), run.of("decay", decay)
    return WarmupStableDecay(peak, up, max(run.steps - up - down, 0), down, _end(peak, end))


def _plateau(
    peak: float,
    run: Length,
    *,
    factor: Any = 0.1,
    patience: Any = 0.1,
    threshold: Any = 1e-4,
    cooldown: Any = 0.0,
) -> Schedule:
    raise InputError("a plateau has no rates in advance: it follows the validation loss, see ReduceLROnPlateau")


Builder = Callable[..., Schedule]

_STARTED: tuple[Builder, ...] = (
    _constant,
    _cosine,
    _linear,
    _polynomial,
    _exponential,
    _step,
    _multi_step,
    _inverse_time,
    _power,
    _cosine_restarts,
)
"""The schedules that begin at the peak, so that a warm-up can precede them."""
_OTHERS: tuple[Builder, ...] = (_one_cycle, _cyclic, _warmup_stable_decay, _plateau)

SHAPES: dict[str, Builder] = {builder.__name__[1:]: builder for builder in (*_STARTED, *_OTHERS)}
"""The schedules by name."""

LONG = Length(10**9, 10**3)
"""A run long enough for every part of a schedule, to check options with."""


@dataclass(frozen=True)
class Shape:
    """A schedule without its peak and without its length.

    ``options`` is a mapping or pairs; missing options have the defaults above.

    Raises
    ------
    InputError: the name or an option is unknown, or a value is out of range.

    >>> shape = Shape("cosine", {"warmup": 0.1})
    >>> lr = shape.schedule(0.5, Length(steps=100))
    >>> lr(5), lr(10), lr(55), lr(100)
    (0.25, 0.5, 0.25, 0.0)
    >>> Shape("cosine", {"warmpu": 0.1})
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: unknown option of the schedule cosine 'warmpu'; did you mean 'warmup'? Known: ...
    """

    name: str
    options: Any = ()

    def __post_init__(self) -> None:
        builder = lookup("schedule", self.name, SHAPES)
        known = defaults(self.name)
        found = {}
        for name, given in dict(self.options).items():
            if name not in known:
                raise unknown(f"option of the schedule {self.name}", name, known)
            found[name] = _plain(name, given)
        kept = {
            name: given for name, given in found.items() if type(given) is not type(known[name]) or given != known[name]
        }
        object.__setattr__(self, "options", tuple(sorted(kept.items())))
        if builder is _plateau:
            ReduceLROnPlateau(1.0, **self.plateau(1000))
        else:
            self.schedule(1.0, LONG)

    @classmethod
    def of(cls, given: Any) -> Shape | None:
        """Read a text such as ``"cosine(warmup=0.1)"``, a table with a ``name``, or a shape; None is a constant rate.

        >>> Shape.of("constant") is None, Shape.of({"name": "step", "gamma": 0.5}).text
        (True, 'step(gamma=0.5)')
        """
        if isinstance(given, str):
            name, arguments = call(given)
            for key, text in arguments:
                if not key:
                    raise InputError(f"write the options of a schedule as {name}(name=value), got {text!r}")
            given = {"name": name, **{key: value(text) for key, text in arguments}}
        if isinstance(given, Mapping):
            if not isinstance(given.get("name"), str):
                raise InputError(f"a schedule has a name: one of {', '.join(SHAPES)}")
            given = cls(given["name"], {name: part for name, part in given.items() if name != "name"})
        if given is not None and not isinstance(given, cls):
            raise InputError(
                "a schedule is a name with options, such as 'cosine(warmup=0.1)', because its peak is tuned; "
                f"got {given!r}"
            )
        return None if given is None or given == cls("constant") else given

    @property
    def listens(self) -> bool:
        """True for the plateau, which follows the validation loss instead of a counter."""
        return self.name == "plateau"

    @property
    def text(self) -> str:
        """The text that :meth:`of` reads back."""
        return as_call(self.name, self.arguments())

    def arguments(self) -> list[str]:
        """Return the options as text."""
        return [f"{name}={written(given)}" for name, given in self.options]

    def schedule(self, peak: float, run: Length) -> Schedule:
        """Return the schedule of one run; it counts steps.

        Raises
        ------
        InputError: the warm-up is as long as the run, or the shape is the plateau.
        """
        options = dict(self.options)
        builder = SHAPES[self.name]
        if builder not in _STARTED:
            return builder(peak, run, **options)
        warmup = number("warmup", options.pop("warmup", 0.0), low=0)
        steps = run.of("warmup", warmup) if warmup else 0
        if not steps:
            return builder(peak, run, **options)
        if steps >= run.steps:
            raise InputError(f"the warm-up of {self.text}, {steps} steps, is as long as the run, {run.steps} steps")
        return Warmup(builder(peak, run._replace(steps=run.steps - steps), **options), steps)

    def plateau(self, epochs: int) -> dict[str, Any]:
        """Return the options of :class:`ReduceLROnPlateau` for a run of ``epochs`` epochs."""
        given = {**defaults(self.name), **dict(self.options)}
        lengths = {name: number(name, given[name], low=0) for name in ("patience", "cooldown")}
        return {**given, **{name: Length(epochs).of(name, part) if part else 0 for name, part in lengths.items()}}


@dataclass(frozen=True)
class Scheduled:
    """A hyperparameter that follows a schedule: a shape with its peak, written ``cosine(0.1, end=0.5)``.

    >>> Scheduled.of("linear(0.5, end=0.5)").schedule(Length(steps=10))(5)
    0.375
    """

    shape: Shape
    peak: float

    @classmethod
    def of(cls, given: Any) -> Scheduled:
        """Read a text such as ``"cosine(0.1)"``, or a table with a ``name`` and a ``peak``.

        Raises
        ------
        InputError: ``given`` is neither, has no peak, or is the plateau, which only cuts learning rates.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            name, arguments = call(given)
            places = [text for key, text in arguments if not key] + [t for key, t in arguments if key == "peak"]
            given = {"name": name, **{key: value(text) for key, text in arguments if key not in ("", "peak")}}
            given |= {"peak": value(places[0])} if len(places) == 1 else {}
        if not isinstance(given, Mapping) or "peak" not in given:
            raise InputError("a schedule of a hyperparameter needs its peak: cosine(0.1)")
        shape = Shape(given.get("name", ""), {k: v for k, v in given.items() if k not in ("name", "peak")})
        if shape.listens:
            raise InputError("a plateau cuts learning rates, not other hyperparameters")
        return cls(shape, number("the peak", given["peak"]))

    @property
    def text(self) -> str:
        """The text that :meth:`of` reads back."""
        return as_call(self.shape.name, [written(self.peak), *self.shape.arguments()])

    def schedule(self, run: Length) -> Schedule:
        """Return the schedule of one run; it counts steps."""
        return self.shape.schedule(self.peak, run)


@cache
def defaults(name: str) -> dict[str, Any]:
    """Return the options of a schedule with their defaults; None if a missing option means something else.

    >>> defaults("cosine")
    {'end': 0.0, 'warmup': 0.0}
    """
    builder = lookup("schedule", name, SHAPES)
    found = {p.name: p.default for p in inspect.signature(builder).parameters.values() if p.kind is p.KEYWORD_ONLY}
    return {**found, "warmup": 0.0} if builder in _STARTED else found


def _end(peak: float, end: Any) -> float:
    return peak * number("end", end, low=0, high=1)


def _plain(name: str, given: Any) -> Any:
    """Convert an option's value to a canonical form, the same for equal values."""
    if isinstance(given, bool | str):
        return given
    if isinstance(given, tuple | list):
        return tuple(_plain(name, part) for part in given)
    return number(name, given)
