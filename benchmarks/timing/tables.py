"""The report as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import optimlab as ol

from .clock import ratio
from .epochs import UPDATE_FLOOR
from .rule_steps import COPY


def show(console: Console, report: dict[str, Any]) -> None:
    show_all_conditions(console, report, [run["conditions"] for run in report["runs"]])
    for run in report["runs"]:
        threads = f"{run['threads']} thread{'s' * (run['threads'] > 1)}"
        for table in [
            *(epoch_table(result, threads) for result in run["epochs"]),
            *(step_table(result, threads) for result in run["steps"]),
            *(memory_table(result) for result in run.get("memory", [])),
            *(begin_table(result) for result in run.get("begin", [])),
        ]:
            console.print()
            console.print(table)


def show_all_conditions(console: Console, report: dict[str, Any], all_conditions: list[dict[str, Any]]) -> None:
    """How the report was made, and the conditions of each of its runs."""
    turns = f"{report['rounds']} rounds in each of {report['processes']} processes"
    console.print(f"\nmeasured {report['date']}, {turns}, {report['clock']}", highlight=False)
    for name in all_conditions[0] if all_conditions else ():
        values = dict.fromkeys("none" if c[name] is None else str(c[name]) for c in all_conditions)
        console.print(f"{name:>24}: {' | '.join(values)}", highlight=False, markup=False)


def show_conditions(console: Console, found: dict[str, Any], *names: str) -> None:
    """Those of these names, in their order, as :func:`show_all_conditions` prints all."""
    for name, value in found.items():
        if name in names:
            console.print(f"{name:>24}: {value}", highlight=False, markup=False)


def new_table(title: str, caption: str) -> Table:
    return Table(title=title, caption=caption, title_justify="left", caption_justify="left")


def ratios(values: list[float] | None, reference: list[float] | None) -> str:
    found = ratio(values, reference)
    return f"{found[1]:.2f} ({found[0]:.2f}-{found[2]:.2f})" if found else ""


def epoch_table(result: dict[str, Any], threads: str) -> Table:
    times = {c["name"]: c["seconds"] for c in result["competitors"]}
    table = new_table(
        f"{result['network']}, batch {result['batch']}, {result['rows']:,} rows, {threads}: training with Adam",
        "medians over rounds; ratios: median (quartiles) of the ratios within a round",
    )
    table.add_column("", min_width=34, no_wrap=True)
    references = [name for name in times if name.startswith("optimlab")]
    for column in ("step, us", "epoch, ms", *(f"/ {name}" for name in references), "/ (floor + copy)"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, values in times.items():
        if values is None:
            table.add_row(name, "not installed")
            continue
        median = float(np.median(values))
        cells = f"{median / result['steps'] * 1e6:,.0f}", f"{median * 1e3:,.1f}"
        table.add_row(name, *cells, *(ratios(values, times[r]) for r in [*references, UPDATE_FLOOR]))
    return table


def step_table(result: dict[str, Any], threads: str) -> Table:
    times: dict[str, dict[str, list[float] | None]] = {}
    for c in result["competitors"]:
        times.setdefault(c["rule"], {})[c["engine"]] = c["seconds"]
    names = list(dict.fromkeys(c["engine"] for c in result["competitors"]))
    best = names[names.index(COPY) - 1]  # our engines come first, the fastest last
    table = new_table(
        f"{result['parameters']:,} parameters, {threads}: one step of each rule, ms",
        'copy: of the bytes the rule moves, on one thread; ratios as above; "-": no such optimizer',
    )
    table.add_column("rule", no_wrap=True)
    table.add_column("arrays", justify="right")
    for column in (*names, f"{best} / copy", f"{best} / PyTorch fused", f"{best} / Optax"):
        table.add_column(column, justify="right")
    for rule, by in times.items():
        moved = ol.kernels.trace(ol.rules.find(rule)).arrays_moved
        cells = [milliseconds(by.get(name, [])) for name in names]
        others = [ratios(by[best], by.get(name)) for name in (COPY, "PyTorch fused", "Optax jitted")]
        table.add_row(rule, str(moved), *cells, *others)
    return table


def milliseconds(values: list[float] | None) -> str:
    if values is None:
        return "not installed"
    return f"{np.median(values) * 1e3:.3f}" if values else "-"


def memory_table(result: dict[str, Any]) -> Table:
    table = new_table(
        f"{result['network']}, batch {result['batch']}: memory of training with Adam, MB",
        "textbook: weights, gradients, two states, activations and their gradients; the data are not counted",
    )
    for column in ("", "peak", "textbook", "peak / textbook"):
        table.add_column(column, justify="right" if column else "left")
    for c in result["competitors"]:
        table.add_row(
            c["name"], f"{c['peak'] / 1e6:.2f}", f"{c['textbook'] / 1e6:.2f}", f"{c['peak'] / c['textbook']:.3f}"
        )
    return table


def begin_table(result: dict[str, Any]) -> Table:
    table = new_table(
        f"{result['network']}: how long it takes to begin, s", "medians of fresh processes, beyond Python's own start"
    )
    for column in ("", "import", "network and first step"):
        table.add_column(column, justify="right" if column else "left")
    for c in result["competitors"]:
        table.add_row(c["name"], f"{c['import']:.2f}", f"{c['first']:.2f}")
    return table
