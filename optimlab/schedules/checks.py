"""Checks for the fields of schedules, by the field's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from ..common.errors import InputError, count, lookup, number, whole

Rate: TypeAlias = float | Callable[[int], float]
"""A constant, a schedule, or any function of the step."""

CONVENTIONS = ("textbook", "torch", "keras")


def from_zero(name: str, value: Any) -> float:
    return number(name, value, low=0)


def _from_one(name: str, value: Any) -> float:
    return number(name, value, low=1)


def above_zero(name: str, value: Any) -> float:
    return number(name, value, positive=True)


def _momentum(name: str, value: Any) -> float:
    return number(name, value, low=0, below=1)


def _share(name: str, value: Any) -> float:
    checked = from_zero(name, value)
    if checked > 1:
        raise InputError(f"{name} must lie in [0, 1], got {value!r}")
    return checked


def _gamma(name: str, value: Any) -> float:
    checked = above_zero(name, value)
    if checked > 1:
        raise InputError(f"{name} must lie in (0, 1], got {value!r}; for a growing rate, use a function")
    return checked


def _length(name: str, value: Any) -> int | None:
    return None if value is None else count(name, value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {value!r}")
    return value


def checked_schedule(name: str, function: Callable[..., float]) -> Callable[..., float]:
    """Check that a function takes a step or an epoch, and return it.

    Raises
    ------
    InputError: the function is a class, or it follows a metric and would take the counter for one.
    """
    if isinstance(function, type):
        kind = function.__name__
        raise InputError(f"{name} must be a number or a function, not the class {kind}: write {kind}(...)")
    owner = getattr(function, "__self__", function)
    if getattr(owner, "follows_metric", False):
        kind = type(owner).__name__
        raise InputError(
            f"{name} must be a function of the step or epoch, but {kind} follows a metric: give the optimizer a number "
            f"as lr, and pass callbacks=[ol.{kind}(...)] to fit"
        )
    return function


def _rate(name: str, value: Any) -> Rate:
    return checked_schedule(name, value) if callable(value) else from_zero(name, value)


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


def _unit(name: str, value: Any) -> str | None:
    return None if value is None else lookup("unit", value, {"epoch": "epoch", "step": "step"})


def _one_of(kind: str, *names: str) -> Callable[[str, Any], str]:
    return lambda name, value: lookup(kind, value, {n: n for n in names})


def in_order(what: str, low: float, high: float) -> None:
    if low > high:
        raise InputError(f"base_{what} must be at most max_{what}, got {low:g} and {high:g}")


def one_more(name: str, values: Sequence[Any], milestones: Sequence[int]) -> None:
    if len(values) != len(milestones) + 1:
        raise InputError(f"{name} must be one more than milestones, got {len(values)} for {len(milestones)}")


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(["lr", "base_lr", "max_lr", "start", "end", "c", "power"], from_zero),
    **dict.fromkeys(["step_size", "total", "period", "steps", "up", "decay", "steps_per_epoch"], count),
    **dict.fromkeys(["warmup", "stable"], whole),
    **dict.fromkeys(["factor", "div_factor", "final_div_factor"], _from_one),
    **dict.fromkeys(["base_momentum", "max_momentum"], _momentum),
    "down": _length,
    "gamma": _gamma,
    "s": above_zero,
    "pct_start": _share,
    "three_phase": _flag,
    "milestones": _milestones,
    "values": _each(from_zero),
    "pieces": _each(_rate),
    "schedule": _rate,
    "per": _unit,
    "convention": _one_of("convention", *CONVENTIONS),
    "mode": _one_of("mode", "triangular", "triangular2", "exp_range"),
    "anneal_strategy": _one_of("anneal_strategy", "cos", "linear"),
}
