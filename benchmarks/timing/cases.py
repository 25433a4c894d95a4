"""Competitors that take turns on one case, and the times of all cases as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .clock import Turn, interleave

Make = Callable[[], Turn | None]
"""Prepares a competitor; None where it cannot run here."""


@dataclass(frozen=True)
class Case:
    """One row of a table: what is timed, and who competes."""

    name: str
    competitors: dict[str, Make]


def measure(cases: Iterable[Case], rounds: int, advance: Callable[[str], None]) -> list[dict[str, Any]]:
    """Plain data: for each case and competitor the seconds of each round, and those of its beginning.

    The beginning is whatever is prepared and compiled, and the first turn, which belongs to no round.
    """
    return [measure_case(case, rounds, advance) for case in cases]


def measure_case(case: Case, rounds: int, advance: Callable[[str], None]) -> dict[str, Any]:
    turns: dict[str, Turn | None] = {}
    first: dict[str, float] = {}
    for name, make in case.competitors.items():
        start = time.perf_counter()
        turns[name] = begun(make())
        first[name] = time.perf_counter() - start
    times = interleave(turns, rounds, 0.0, advance)
    found = [{"name": name, "first": first[name], "seconds": values} for name, values in times.items()]
    return {"name": case.name, "competitors": found}


def begun(turn: Turn | None) -> Turn | None:
    if turn is not None:
        turn(0)
    return turn


def seconds_of(case: dict[str, Any]) -> dict[str, list[float] | None]:
    return {c["name"]: c["seconds"] for c in case["competitors"]}


def first_of(case: dict[str, Any]) -> dict[str, float | None]:
    """Seconds of each competitor's beginning; None for one that is not here."""
    return {c["name"]: c["first"] if c["seconds"] is not None else None for c in case["competitors"]}
