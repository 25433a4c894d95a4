"""Learning-rate schedules: pure functions of a counter.

A schedule is a frozen dataclass; ``schedule(k)`` is the rate at ``k`` = 0, 1, 2, ... What ``k`` counts is up to who
calls: an optimizer given ``lr=schedule`` calls it with the updates made so far, so there ``k`` counts steps and every
length below is in steps; ``per_epoch(schedule, steps_per_epoch)`` lets it count epochs instead. Nothing is remembered
between calls: a resumed run needs the counter alone, and a schedule can be looked at before training
(:func:`optimlab.preview`).

A schedule with a given end keeps its last value after it. Where PyTorch and Keras differ, ``convention`` chooses;
"textbook" is the definition printed in the docstring.

The one schedule that is no function of a counter, :class:`ReduceLROnPlateau`, stands at the end.

>>> from optimlab.schedules import CosineAnnealing, Warmup
>>> lr = Warmup(CosineAnnealing(0.1, total=100), steps=10)
>>> [lr(0), lr(5), lr(10), lr(60), lr(110), lr(1000)]
[0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeAlias

from .errors import InputError, count, lookup, number, unknown

Rate: TypeAlias = float | Callable[[int], float]
"""A constant, a schedule, or any function of the counter."""

CONVENTIONS = ("textbook", "torch", "keras")


class Schedule(ABC):
    """What schedules share: fields are checked by their names (see ``_CHECKS`` below), and so is the counter."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            object.__setattr__(self, field.name, _CHECKS[field.name](field.name, getattr(self, field.name)))

    def __call__(self, k: int) -> float:
        """The learning rate at ``k``, counted from 0; a fraction of an epoch is as good.

        Raises
        ------
        InputError: ``k`` is negative or no number.
        """
        number("k", k, low=0)
        return self._lr(k)

    @abstractmethod
    def _lr(self, k: int) -> float:
        """The definition."""

    def momentum(self, k: int) -> float | None:
        """The momentum at ``k``, for a schedule that sets it too; else None."""
        return None


@dataclass(frozen=True)
class StepLR(Schedule):
    """A drop every ``step_size`` epochs: lr · gamma^⌊k/step_size⌋.

    ``k`` counts what ``step_size`` is given in, by custom epochs. Equal to ``torch.optim.lr_scheduler.StepLR`` and to
    Keras's ``ExponentialDecay(lr, step_size, gamma, staircase=True)``.

    >>> lr = StepLR(0.5, step_size=30, gamma=0.5)
    >>> lr(29), lr(30)
    (0.5, 0.25)
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def _lr(self, k: int) -> float:
        return self.lr * self.gamma ** (k // self.step_size)


@dataclass(frozen=True)
class MultiStepLR(Schedule):
    """A drop at each milestone: lr · gamma^(milestones passed).

    ``k`` counts what the milestones are given in, by custom epochs. A milestone m counts as passed at k = m
    ("textbook", and "torch": ``torch.optim.lr_scheduler.MultiStepLR``); in "keras" (``PiecewiseConstantDecay``) only
    at k = m + 1.

    >>> lr = MultiStepLR(0.5, milestones=[30, 80], gamma=0.5)
    >>> lr(29), lr(30), lr(80)
    (0.5, 0.25, 0.125)
    >>> MultiStepLR(0.5, [30, 80], 0.5, convention="keras")(30)
    0.5
    """

    lr: float
    milestones: Sequence[int]
    gamma: float = 0.1
    convention: str = "textbook"

    def _lr(self, k: int) -> float:
        return self.lr * self.gamma ** _passed(self.milestones, k, self.convention)


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """Any constants: ``values[0]`` before the first milestone, then ``values[1]``, ...

    ``k`` counts what the milestones are given in; a milestone m counts as passed at k = m, in "keras"
    (``PiecewiseConstantDecay``) only at k = m + 1.

    >>> lr = PiecewiseConstant([10, 20], [0.1, 0.5, 0.01])
    >>> lr(9), lr(10), lr(20)
    (0.1, 0.5, 0.01)
    """

    milestones: Sequence[int]
    values: Sequence[float]
    convention: str = "textbook"

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_more("values", self.values, self.milestones)

    def _lr(self, k: int) -> float:
        return self.values[_passed(self.milestones, k, self.convention)]


@dataclass(frozen=True)
class ExponentialLR(Schedule):
    """The same factor every time: lr · gamma^k.

    ``k`` counts epochs or steps; gamma is per epoch or per step accordingly. Equal to
    ``torch.optim.lr_scheduler.ExponentialLR`` and, with gamma = rate^(1/s), to Keras's
    ``ExponentialDecay(lr, s, rate)``.

    >>> ExponentialLR(0.5, gamma=0.5)(2)
    0.125
    """

    lr: float
    gamma: float

    def _lr(self, k: int) -> float:
        return self.lr * self.gamma**k


@dataclass(frozen=True)
class PowerDecay(Schedule):
    """Power decay: lr / (1 + k/s)^c.

    ``k`` counts what ``s`` is given in. After s the rate is down to 1/2^c, and then falls ever more slowly.

    >>> PowerDecay(0.5, s=10, c=2)(10)
    0.125
    """

    lr: float
    s: float
    c: float = 1.0

    def _lr(self, k: int) -> float:
        return self.lr / float((1 + k / self.s) ** self.c)


@dataclass(frozen=True)
class InverseTime(Schedule):
    """1/t decay: lr / (1 + k/s), power decay with c = 1.

    ``k`` counts what ``s`` is given in. Robbins and Monro (1951) ask for a decay of this kind: the sum of the rates
    grows without bound, that of their squares does not. Keras's ``InverseTimeDecay(lr, steps, rate)`` has
    s = steps/rate; the ``decay`` of its old optimizers is 1/s, with k counting steps.

    >>> InverseTime(0.5, s=10)(30)
    0.125
    """

    lr: float
    s: float

    def _lr(self, k: int) -> float:
        return self.lr / (1 + k / self.s)


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """A straight line from lr at 0 to ``end`` at ``total``, then ``end``: lr + (end − lr) · min(k/total, 1).

    ``k`` counts what ``total`` is given in. Equal to Keras's ``PolynomialDecay(lr, total, end)`` and to
    ``torch.optim.lr_scheduler.LinearLR`` (which takes factors of lr).

    >>> lr = LinearDecay(0.5, end=0.25, total=10)
    >>> lr(0), lr(5), lr(10), lr(11)
    (0.5, 0.375, 0.25, 0.25)
    """

    lr: float
    end: float
    total: int

    def _lr(self, k: int) -> float:
        return _line(self.lr, self.end, k / self.total)


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """A power of what is left, then ``end``: end + (lr − end) · (1 − min(k/total, 1))^power.

    ``k`` counts what ``total`` is given in. Equal to Keras's ``PolynomialDecay`` (``cycle=False``) and, with end = 0,
    to ``torch.optim.lr_scheduler.PolynomialLR``.

    >>> PolynomialDecay(0.5, total=10, power=2)(5)
    0.125
    """

    lr: float
    total: int
    power: float = 1.0
    end: float = 0.0

    def _lr(self, k: int) -> float:
        return self.end + (self.lr - self.end) * float((1 - min(k / self.total, 1)) ** self.power)


@dataclass(frozen=True)
class CosineAnnealing(Schedule):
    """Half a cosine from lr at 0 to ``end`` at ``total``: end + (lr − end) · (1 + cos(π k/total)) / 2.

    ``k`` counts what ``total`` is given in. After ``total`` the rate stays at ``end`` ("textbook", and "keras":
    ``CosineDecay``); in "torch" (``CosineAnnealingLR``) the cosine goes on, and the rate is back at lr at 2 total.
    Loshchilov and Hutter (2017), "SGDR", equation 5, without the restarts.

    >>> lr = CosineAnnealing(0.5, total=10)
    >>> lr(0), lr(5), lr(10), lr(20)
    (0.5, 0.25, 0.0, 0.0)
    >>> CosineAnnealing(0.5, total=10, convention="torch")(20)
    0.5
    """

    lr: float
    total: int
    end: float = 0.0
    convention: str = "textbook"

    def _lr(self, k: int) -> float:
        return _cosine(self.lr, self.end, k / self.total if self.convention == "torch" else min(k / self.total, 1))


@dataclass(frozen=True)
class CosineWarmRestarts(Schedule):
    """Half a cosine again and again, each ``factor`` times as long as the one before, the first one ``period`` long.

    end + (lr − end) · (1 + cos(π t/T)) / 2, where t counts from the last restart and T is the current length; at the
    restart itself the rate is lr, and ``end`` is never quite reached. ``k`` counts what ``period`` is given in.
    Loshchilov and Hutter (2017), "SGDR", equation 5. Equal to ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``
    and Keras's ``CosineDecayRestarts`` (whose ``t_mul``, the factor, is 2 if not given).

    >>> lr = CosineWarmRestarts(0.5, period=10, factor=2)
    >>> [round(lr(k), 3) for k in (0, 5, 9, 10, 20, 29, 30)]
    [0.5, 0.25, 0.012, 0.5, 0.25, 0.003, 0.5]
    """

    lr: float
    period: int
    factor: float = 1.0
    end: float = 0.0

    def _lr(self, k: int) -> float:
        since, length = float(k), float(self.period)
        if self.factor == 1:
            since %= length
        while since >= length:
            since -= length
            length *= self.factor
        return _cosine(self.lr, self.end, since / length)


@dataclass(frozen=True)
class Warmup(Schedule):
    """A straight line from ``start`` at 0 up to where ``schedule`` begins, at ``steps``; then ``schedule``.

    ``schedule`` is any schedule, function or constant, and counts from the end of the warm-up. ``k`` counts what
    ``steps`` is given in, and ``schedule`` the same. With start = 0 the first update moves nothing. Goyal et al.
    (2017), section 2.2. Equal to the warm-up of Keras's ``CosineDecay`` and to PyTorch's ``LinearLR`` in a
    ``SequentialLR``.

    >>> lr = Warmup(ExponentialLR(0.5, gamma=0.5), steps=10)
    >>> lr(0), lr(5), lr(10), lr(11)
    (0.0, 0.25, 0.5, 0.25)
    """

    schedule: Rate
    steps: int
    start: float = 0.0

    def _lr(self, k: int) -> float:
        if k < self.steps:
            return _line(self.start, value_at(self.schedule, 0), k / self.steps)
        return value_at(self.schedule, k - self.steps)

    def momentum(self, k: int) -> float | None:
        """That of ``schedule``; during the warm-up where it begins."""
        return momentum_at(self.schedule, max(k - self.steps, 0))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to ``max_lr`` and down to almost nothing in one cycle, momentum the other way round.

    From max_lr/div_factor up to max_lr during the first ``pct_start`` of ``total``, then down to
    max_lr/(div_factor · final_div_factor) at the last count, total − 1; with ``three_phase`` first back to where it
    began, as fast as it rose, and then down to the end. Momentum goes from ``max_momentum`` down to ``base_momentum``
    and back. ``anneal_strategy``: "cos" or "linear".

    ``k`` counts steps: the cycle is meant to be followed batch by batch. Smith and Topin (2018), "Super-convergence";
    equal to ``torch.optim.lr_scheduler.OneCycleLR``, with its defaults. After the last count PyTorch takes one more
    step beyond the end, and then raises; here the last value stays.

    >>> lr = OneCycle(0.5, total=100)
    >>> [round(lr(k), 4) for k in (0, 29, 99)], [round(lr.momentum(k), 2) for k in (0, 29, 99)]
    ([0.02, 0.5, 0.0], [0.95, 0.85, 0.95])
    """

    max_lr: float
    total: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _in_order("momentum", self.base_momentum, self.max_momentum)
        if self.three_phase and self.pct_start > 0.5:
            raise InputError(f"pct_start must be at most 0.5 with three_phase, got {self.pct_start}")

    def _lr(self, k: int) -> float:
        low = self.max_lr / self.div_factor
        return self._anneal(k, low, self.max_lr, low, low / self.final_div_factor)

    def momentum(self, k: int) -> float:
        """The momentum at ``k``."""
        return self._anneal(k, self.max_momentum, self.base_momentum, self.max_momentum, self.max_momentum)

    def _anneal(self, k: int, start: float, peak: float, back: float, end: float) -> float:
        """Where ``k`` stands between the values at the ends of the phases."""
        rise, last = self.pct_start * self.total - 1, self.total - 1
        phases = [(0.0, rise, start, peak), (rise, last, peak, end)]
        if self.three_phase:
            phases[1:] = [(rise, 2 * rise, peak, back), (2 * rise, last, back, end)]
        k = min(k, last)
        begin, stop, a, b = next(phase for phase in phases if k <= phase[1])
        between = _cosine if self.anneal_strategy == "cos" else _line
        return between(a, b, (k - begin) / (stop - begin) if stop > begin else 1.0)


@dataclass(frozen=True)
class CyclicLR(Schedule):
    """Straight up from ``base_lr`` to ``max_lr`` in ``up`` steps, down again in ``down`` (``up`` if None), and so on.

    base_lr + (max_lr − base_lr) · height · scale, where height goes 0, 1, 0 in each cycle c = 1, 2, ..., and scale is
    1 (mode "triangular"), 2^(1−c) ("triangular2") or gamma^k ("exp_range"). Momentum goes the other way:
    max_momentum − (max_momentum − base_momentum) · height · scale.

    ``k`` counts steps, not epochs. Smith (2017), "Cyclical learning rates"; equal to
    ``torch.optim.lr_scheduler.CyclicLR``, with its defaults. PyTorch also sets the momentum (Adam's beta1) unless told
    not to; here it is set by ``momentum=schedule.momentum`` or not at all.

    >>> lr = CyclicLR(0.25, 0.75, up=10, mode="triangular2")
    >>> lr(0), lr(10), lr(20), lr(30)
    (0.25, 0.75, 0.25, 0.5)
    >>> round(lr.momentum(10), 3)
    0.8
    """

    base_lr: float
    max_lr: float
    up: int = 2000
    down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0
    base_momentum: float = 0.8
    max_momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _in_order("lr", self.base_lr, self.max_lr)
        _in_order("momentum", self.base_momentum, self.max_momentum)

    def _lr(self, k: int) -> float:
        return self.base_lr + (self.max_lr - self.base_lr) * self._height(k)

    def momentum(self, k: int) -> float:
        """The momentum at ``k``."""
        return self.max_momentum - (self.max_momentum - self.base_momentum) * self._height(k)

    def _height(self, k: int) -> float:
        down = self.down or self.up
        cycle, at = divmod(k, self.up + down)
        height = at / self.up if at <= self.up else (self.up + down - at) / down
        if self.mode == "triangular2":
            return height * 0.5**cycle
        return height * self.gamma**k if self.mode == "exp_range" else height


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """From 0 straight up to lr in ``warmup``, lr for ``stable``, straight down to ``end`` in ``decay``; then ``end``.

    ``k`` counts what the three lengths are given in, by custom steps. Hu et al. (2024), "MiniCPM", section 4, with the
    linear decay of Hägele et al. (2024), "Scaling laws and compute-optimal training beyond fixed training durations".

    >>> lr = WarmupStableDecay(0.5, warmup=10, stable=80, decay=10)
    >>> lr(5), lr(10), lr(90), lr(95), lr(100)
    (0.25, 0.5, 0.5, 0.25, 0.0)
    """

    lr: float
    warmup: int
    stable: int
    decay: int
    end: float = 0.0

    def _lr(self, k: int) -> float:
        if k < self.warmup:
            return self.lr * k / self.warmup
        return _line(self.lr, self.end, max(k - self.warmup - self.stable, 0) / self.decay)


@dataclass(frozen=True)
class Chain(Schedule):
    """``pieces`` one after the other, each counting from its own start: the next takes over at each milestone.

    Pieces are schedules, functions or constants, one more than milestones. ``k`` counts what the milestones are given
    in, and the pieces the same. Equal to ``torch.optim.lr_scheduler.SequentialLR``.

    >>> lr = Chain([0.5, ExponentialLR(0.25, gamma=0.5)], milestones=[10])
    >>> lr(9), lr(10), lr(11)
    (0.5, 0.25, 0.125)
    """

    pieces: Sequence[Rate]
    milestones: Sequence[int]

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_more("pieces", self.pieces, self.milestones)

    def _lr(self, k: int) -> float:
        return value_at(*self._piece(k))

    def momentum(self, k: int) -> float | None:
        """That of the piece at ``k``, or None if it has none."""
        return momentum_at(*self._piece(k))

    def _piece(self, k: int) -> tuple[Rate, int]:
        place = bisect_right(self.milestones, k)
        return self.pieces[place], k - (self.milestones[place - 1] if place else 0)


@dataclass(frozen=True)
class PerEpoch(Schedule):
    """What :func:`per_epoch` makes."""

    schedule: Rate
    steps_per_epoch: int

    def _lr(self, k: int) -> float:
        return value_at(self.schedule, k // self.steps_per_epoch)

    def momentum(self, k: int) -> float | None:
        """That of ``schedule``, in the epoch of step ``k``."""
        return momentum_at(self.schedule, k // self.steps_per_epoch)


def per_epoch(schedule: Rate, steps_per_epoch: int) -> PerEpoch:
    """A schedule of epochs as one of steps: all steps of epoch e have the rate ``schedule(e)``.

    >>> lr = per_epoch(StepLR(0.5, step_size=1, gamma=0.5), steps_per_epoch=100)
    >>> lr(99), lr(100)
    (0.5, 0.25)
    """
    return PerEpoch(schedule, steps_per_epoch)


def value_at(rate: Rate, k: int) -> float:
    """The value of a schedule, function or constant at ``k``.

    >>> value_at(0.1, 7), value_at(lambda k: 1 / (1 + k), 1)
    (0.1, 0.5)
    """
    return rate(k) if callable(rate) else rate


def momentum_at(rate: Rate, k: int) -> float | None:
    """The momentum that goes with a schedule at ``k``; None where it sets none.

    >>> momentum_at(OneCycle(0.1, total=10), 0), momentum_at(0.1, 0)
    (0.95, None)
    """
    return rate.momentum(k) if isinstance(rate, Schedule) else None


def _line(a: float, b: float, fraction: float) -> float:
    """From ``a`` to ``b`` in a straight line, ``b`` itself from 1 on."""
    return b if fraction >= 1 else a + (b - a) * fraction


def _cosine(a: float, b: float, fraction: float) -> float:
    """From ``a`` to ``b`` in half a cosine."""
    return b + (a - b) * (1 + math.cos(math.pi * fraction)) / 2


def _passed(milestones: Sequence[int], k: int, convention: str) -> int:
    return bisect_left(milestones, k) if convention == "keras" else bisect_right(milestones, k)


# --- what each field may be ----------------------------------------------------------------------------------------


def _from_zero(name: str, value: Any) -> float:
    return number(name, value, low=0)


def _from_one(name: str, value: Any) -> float:
    return number(name, value, low=1)


def _positive(name: str, value: Any) -> float:
    return number(name, value, positive=True)


def _momentum(name: str, value: Any) -> float:
    return number(name, value, low=0, below=1)


def _share(name: str, value: Any) -> float:
    checked = _from_zero(name, value)
    if checked > 1:
        raise InputError(f"{name} must lie in [0, 1], got {value!r}")
    return checked


def _gamma(name: str, value: Any) -> float:
    checked = _positive(name, value)
    if checked > 1:
        raise InputError(f"{name} must lie in (0, 1], got {value!r}; for a rate that grows, give a function")
    return checked


def _whole(name: str, value: Any) -> int:
    """A whole number of at least 0."""
    return 0 if not isinstance(value, bool) and hasattr(value, "__index__") and value == 0 else count(name, value)


def _length(name: str, value: Any) -> int | None:
    return None if value is None else count(name, value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {value!r}")
    return value


def _rate(name: str, value: Any) -> Rate:
    return value if callable(value) else _from_zero(name, value)


def _each(check: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    def checked(name: str, values: Any) -> tuple[Any, ...]:
        if isinstance(values, str) or not hasattr(values, "__iter__"):
            raise InputError(f"{name} must be a sequence, got {values!r}")
        return tuple(check(f"{name}[{place}]", value) for place, value in enumerate(values))

    return checked


def _milestones(name: str, values: Any) -> tuple[int, ...]:
    checked: tuple[int, ...] = _each(count)(name, values)
    for before, after in pairwise(checked):
        if after <= before:
            raise InputError(f"{name} must rise, got {after} after {before}")
    return checked


def _one_of(kind: str, *names: str) -> Callable[[str, Any], str]:
    return lambda name, value: lookup(kind, value, {n: n for n in names})


def _in_order(what: str, low: float, high: float) -> None:
    if low > high:
        raise InputError(f"base_{what} must be at most max_{what}, got {low:g} and {high:g}")


def _one_more(name: str, values: Sequence[Any], milestones: Sequence[int]) -> None:
    if len(values) != len(milestones) + 1:
        raise InputError(f"{name} must be one more than milestones, got {len(values)} for {len(milestones)}")


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(["lr", "base_lr", "max_lr", "start", "end", "c", "power"], _from_zero),
    **dict.fromkeys(["step_size", "total", "period", "steps", "up", "decay", "steps_per_epoch"], count),
    **dict.fromkeys(["warmup", "stable"], _whole),
    **dict.fromkeys(["factor", "div_factor", "final_div_factor"], _from_one),
    **dict.fromkeys(["base_momentum", "max_momentum"], _momentum),
    "down": _length,
    "gamma": _gamma,
    "s": _positive,
    "pct_start": _share,
    "three_phase": _flag,
    "milestones": _milestones,
    "values": _each(_from_zero),
    "pieces": _each(_rate),
    "schedule": _rate,
    "convention": _one_of("convention", *CONVENTIONS),
    "mode": _one_of("mode", "triangular", "triangular2", "exp_range"),
    "anneal_strategy": _one_of("anneal_strategy", "cos", "linear"),
}


# --- the schedule that listens -------------------------------------------------------------------------------------


class ReduceLROnPlateau:
    """Cuts the rate when a metric no longer improves: ``plateau(metric)`` once an epoch gives the next epoch's rate.

    An epoch is bad if the metric does not beat the best so far by ``threshold``. After more than ``patience`` bad
    epochs in a row the rate becomes max(lr · factor, min_lr), and the next ``cooldown`` epochs are not counted.

    Equal to ``torch.optim.lr_scheduler.ReduceLROnPlateau`` ("textbook" and "torch") or to Keras's callback ("keras").
    These differ: PyTorch's threshold is relative, Keras's absolute; PyTorch cuts when bad epochs > patience, Keras
    when they are >= patience; the last epoch of a cool-down may count as bad in Keras only.

    Parameters
    ----------
    lr: the rate to begin with.
    mode: "min" for a loss, "max" for an accuracy.
    threshold_mode: "rel" or "abs"; None means that of the convention.
    eps: a cut by no more than this is not made; None means that of the convention, 1e-8 in PyTorch and 0 in Keras.

    Attributes
    ----------
    lr: the rate now.
    best: the best metric so far, infinite before the first.
    bad: bad epochs in a row.
    cooling: epochs of the cool-down still to come.

    A metric that is NaN counts as bad; Keras would keep it as the best if it came first.

    >>> plateau = ReduceLROnPlateau(0.5, factor=0.5, patience=2)
    >>> [plateau(loss) for loss in (1.0, 0.8, 0.8, 0.8, 0.8, 0.7)]
    [0.5, 0.5, 0.5, 0.5, 0.25, 0.25]

    In a loop of epochs: ``opt.lr = plateau(validation_loss)``. To resume a run, keep :meth:`state`:

    >>> again = ReduceLROnPlateau(0.5, factor=0.5, patience=2)
    >>> again.load(plateau.state())
    >>> again.lr, again.best
    (0.25, 0.7)
    """

    def __init__(
        self,
        lr: float,
        *,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str | None = None,
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float | None = None,
        convention: str = "textbook",
    ) -> None:
        self.lr = _positive("lr", lr)
        self._sign: float = lookup("mode", mode, {"min": 1.0, "max": -1.0})
        self._factor = number("factor", factor, low=0, below=1)
        self._patience = _whole("patience", patience)
        self._threshold = _from_zero("threshold", threshold)
        self._keras = _CHECKS["convention"]("convention", convention) == "keras"
        default = "abs" if self._keras else "rel"
        self._relative: bool = lookup("threshold_mode", threshold_mode or default, {"rel": True, "abs": False})
        self._cooldown = _whole("cooldown", cooldown)
        self._min_lr = _from_zero("min_lr", min_lr)
        self._eps = (0.0 if self._keras else 1e-8) if eps is None else _from_zero("eps", eps)
        self.best = self._sign * math.inf
        self.bad = 0
        self.cooling = 0

    def __call__(self, metric: float) -> float:
        """Hear the metric of the epoch that has just ended; the rate for the next one.

        Raises
        ------
        InputError: ``metric`` is no number.
        """
        if not hasattr(metric, "__float__"):
            raise InputError(f"metric must be a number, got {metric!r}")
        metric = float(metric)
        better = self._improves(metric)
        if better:
            self.best = metric
        self.bad = 0 if better else self.bad + 1
        if self._keras:
            self._step_keras(better)
        else:
            self._step_torch()
        return self.lr

    def state(self) -> dict[str, float]:
        """What changes from epoch to epoch, as plain data."""
        return {name: getattr(self, name) for name in _PLATEAU_STATE}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from a :meth:`state`.

        Raises
        ------
        InputError: something is missing or unknown, or a value is out of range; nothing is changed.
        """
        for name in state:
            if name not in _PLATEAU_STATE:
                raise unknown("state of ReduceLROnPlateau", name, _PLATEAU_STATE)
        missing = [name for name in _PLATEAU_STATE if name not in state]
        if missing:
            raise InputError(f"state of ReduceLROnPlateau lacks {', '.join(missing)}")
        checked = {name: check(name, state[name]) for name, check in _PLATEAU_STATE.items()}
        self.__dict__.update(checked)

    def _step_torch(self) -> None:
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > self._patience:
            self._cut()
            self.bad, self.cooling = 0, self._cooldown

    def _step_keras(self, better: bool) -> None:
        if self.cooling:
            self.cooling -= 1
            self.bad = 0 if better or self.cooling else 1
        if not better and not self.cooling and self.bad >= self._patience:
            self._cut()
            self.bad, self.cooling = 0, self._cooldown

    def _cut(self) -> None:
        new = max(self.lr * self._factor, self._min_lr)
        if self.lr - new > self._eps:
            self.lr = new

    def _improves(self, metric: float) -> bool:
        new, best = self._sign * metric, self._sign * self.best
        if self._relative:
            return new < self._sign * (self.best * (1 - self._sign * self._threshold))
        # the same but for rounding, which decides when a metric falls by exactly the threshold
        return new + self._threshold < best if self._keras else new < best - self._threshold


def _best(name: str, value: Any) -> float:
    return float(value) if isinstance(value, float) and math.isinf(value) else number(name, value)


_PLATEAU_STATE: dict[str, Callable[[str, Any], Any]] = {
    "lr": _from_zero,
    "best": _best,
    "bad": _whole,
    "cooling": _whole,
}
