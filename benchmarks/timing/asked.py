"""The tables that are asked for by name, all of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from optimlab.backends.threads import one_thread
from optimlab.common.progress import progress_bar

from . import activation_grid, cases, command, small_steps, sweep
from .clock import conditions, load_average
from .tables import show_all_conditions
from .workers import extend, worker

TABLES: dict[str, Any] = {"activations": activation_grid, "small": small_steps, "sweep": sweep}
"""Each module has ``cases(quick)`` and ``tables(found)``."""
COMMAND = "compare"
"""The one that starts processes of its own, on one core and on two."""


def work(names: list[str], rounds: int, quick: bool, only: str = "") -> dict[str, Any]:
    """Measure in this process what these tables need; ``only``: of the cases with that in their name."""
    before = load_average()
    asked = {name: [case for case in TABLES[name].cases(quick) if only in case.name] for name in names}
    total = sum(map(len, asked.values())) * (rounds + 1)
    with one_thread(), progress_bar(", ".join(names), total) as advance:
        found = {name: cases.measure(each, rounds, advance) for name, each in asked.items()}
    return {"tables": found, "conditions": told(before)}


def measure(
    script: Path, names: list[str], processes: int, options: list[str], rounds: int, quick: bool, beside: str
) -> Any:
    """Return what :func:`work` finds in each of so many processes, bound to one core, and what the command takes."""
    found: dict[str, Any] = {"tables": {}}
    in_processes = [name for name in names if name != COMMAND]
    for _ in range(processes if in_processes else 0):
        result = worker(script, ["--asked", ",".join(in_processes), *options], 1)
        for name, each in result["tables"].items():
            if name in found["tables"]:
                extend(found["tables"][name], each)
            else:
                found["tables"][name] = each
        found["conditions"] = result["conditions"]
    if COMMAND in names:
        before = load_average()
        found["tables"][COMMAND] = command.measure(rounds, quick, beside)
        found.setdefault("conditions", told(before))
    return found


def told(before: str) -> dict[str, Any]:
    return {"load average": f"{before} before, {load_average()} after", **conditions()}


def show(console: Console, report: dict[str, Any]) -> None:
    show_all_conditions(console, report, [report["conditions"]])
    for name, found in report["tables"].items():
        for table in {**TABLES, COMMAND: command}[name].tables(found) if found else ():
            console.print()
            console.print(table)
