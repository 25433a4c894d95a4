"""The table of small networks: a step on digits, beside its matrix products alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from .activation_grid import competitors
from .cases import Case, first_of, seconds_of
from .jobs import Job
from .products_alone import products_turn
from .tables import new_table, ratios

FLOOR = "the products alone, compiled"


def cases(quick: bool) -> list[Case]:
    """Digits have 1,077 rows for training; 1,024 are whole batches, so that all steps are alike."""
    rows, epochs = (128, 2) if quick else (1024, 20)
    jobs = [Job((64, 64, 10), 64, rows, rule=rule, epochs=epochs) for rule in ("sgd", "adam")]
    return [Case(job.rule, all_of(job)) for job in jobs]


def all_of(job: Job) -> dict[str, Any]:
    """The trainings, by the seconds of one step, and the products of one."""

    def per_step(make: Any) -> Any:
        def made() -> Any:
            turn = make()
            return turn and (lambda round_: turn(round_) / job.steps / job.epochs)

        return made

    return {**{name: per_step(make) for name, make in competitors(job).items()}, FLOOR: lambda: products_turn(job)}


def tables(found: list[dict[str, Any]]) -> list[Table]:
    table = new_table(
        "64-64-10, batch 64: one step, microseconds, and how many times the products alone",
        "a step is its share of 20 epochs by the clock of each epoch, ours without the epoch that records the step; "
        "median (quartiles) of the ratios within a round. "
        "first: seconds of making the network, compiling it, and 20 epochs",
    )
    ours = [name for name in seconds_of(found[0]) if name.startswith("optimlab")]
    for column in ("rule", "", "step, us", "/ products alone", f"/ {ours[-1]}", "first, s"):
        table.add_column(column, justify="left" if column in ("rule", "") else "right", no_wrap=True)
    for case in found:
        times, first = seconds_of(case), first_of(case)
        for name, values in times.items():
            if values is None:
                table.add_row(case["name"], name, "not installed")
                continue
            against = [ratios(values, times[reference]) for reference in (FLOOR, ours[-1])]
            table.add_row(case["name"], name, f"{np.median(values) * 1e6:.1f}", *against, f"{first[name]:.2f}")
    return [table]
