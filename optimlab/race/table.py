"""The race as a table in the terminal."""

from __future__ import annotations

from typing import Any

from ..common.errors import concise, exact
from ..common.tables import Column, Table, fixed
from .run import TRIALS, Race


def table(race: Race) -> Table:
    """Return a table with one row per optimizer, the best score first."""
    landscape = race.landscape
    rows = race.rows()
    notes = [f"lr: each one's best of the same {len(race.rates)} rates, {TRIALS} trials each"]
    if landscape.noise:
        notes.append(f"medians of {len(race.racers[0].reached)} runs with fresh noise")
    notes += ["* given, not tuned"] * (not all(row["tuned"] for row in rows))
    notes += ["! at the edge of the grid"] * any(row["at_edge"] for row in rows)
    reaching = f"steps to\n{100 * race.tolerance:g}%" if landscape.minima else "steps\nto leave"
    names = ("lr", "score", reaching, "height\nleft", "ends at\nx, y", "usable\nrates")
    body = [
        [
            row["optimizer"],
            f"{concise(row['lr'])}{_mark(row)}",
            "diverged" if row["score"] is None else f"{row['score']:.2f}",
            _steps(row),
            "-" if row["final_gap"] is None else f"{row['final_gap']:.2g}",
            ", ".join(fixed(place, 2) for place in row["final_point"]),
            "-" if row["usable_rates"] is None else f"{row['usable_rates']}/{len(race.rates)}",
        ]
        for row in rows
    ]
    title = f"{landscape.title}, {race.steps} steps from ({exact(race.start[0])}, {exact(race.start[1])})"
    return Table([Column("optimizer", "name"), *map(Column, names)], body, title, "; ".join(notes))


def _mark(row: dict[str, Any]) -> str:
    """Return the mark of a rate that was given (*) or that lies at the edge of the grid (!)."""
    return "" if row["tuned"] and not row["at_edge"] else "!" if row["tuned"] else "*"


def _steps(row: dict[str, Any]) -> str:
    """Return the median, with the number of runs that arrived if not all did."""
    if row["steps_to_tolerance"] is None:
        return "missed"
    text = f"{row['steps_to_tolerance']:g}"
    return text if row["hits"] == row["runs"] else f"{text} ({row['hits']}/{row['runs']})"
