"""The tables of whole processes: ``optimlab compare`` from Enter to prompt and what it takes time for, and one that
trains a small network. Another installation, such as an earlier version, may take its turns beside this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import optimlab

from .clock import process_seconds
from .pinning import available_cores, pinned
from .tables import new_table, ratios

OPTIONS = {False: (), True: ("--optimizers", "sgd", "--rates", "0.1,0.3,1", "--epochs", "1", "--replicates", "2")}
"""Of the command: none, as the README has it; and those that show that this runs."""

WHOLE = "from Enter to prompt"
BESIDE = "the other, from Enter to prompt"

COMMAND = "from optimlab.cli import main; main()"
SMALL = """
import optimlab as ol
net = ol.MLP([64, 64, 10], seed=0)
ol.fit(net, ol.Adam(net.parameters), ol.datasets.load("digits"), epochs=1)
"""


def measure(rounds: int, quick: bool, beside: str = "") -> list[dict[str, Any]]:
    """By number of cores: seconds of each part in each round. A short comparison goes before, where it matters, so that
    nothing is read from the disk for the first time. Where CPU time is counted, on one core only: on two, other
    processes train. ``beside`` is the Python of another installation."""
    by_cpu = time.perf_counter is time.process_time
    cores = [count for count in ((1,) if by_cpu else (1, 2)) if count <= available_cores()]
    parts: dict[int, list[dict[str, float]]] = {count: [] for count in cores}
    if not quick:
        one(1, OPTIONS[True])
    for _ in range(rounds):
        for count in cores:
            other = {BESIDE: process_of(beside, count, ["-c", COMMAND, "compare", *OPTIONS[quick]])} if beside else {}
            parts[count].append(one(count, OPTIONS[quick]) | other)
    found = [
        {"name": f"{count} core{'s' * (count > 1)}", "parts": {part: [f[part] for f in found] for part in found[0]}}
        for count, found in parts.items()
    ]
    return [*found, {"name": "small", "parts": small(rounds if quick else 5 * rounds, beside)}]


def small(rounds: int, beside: str) -> dict[str, list[float]]:
    """Seconds of a process that imports optimlab and trains a small network: the first, which has no kernels kept from
    before, and a later one."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, python in {"": sys.executable, "the other, ": beside}.items():
            with tempfile.TemporaryDirectory() as cache:
                for turn in ("first", "later") if python else ():
                    taken = process_of(python, 1, ["-c", SMALL], XDG_CACHE_HOME=cache)
                    found.setdefault(f"{name}{turn}", []).append(taken)
    return found


def process_of(python: str, cores: int, arguments: list[str], **variables: str) -> float:
    """Return the seconds of a process of that Python in a new folder; another Python uses its own optimlab."""
    with tempfile.TemporaryDirectory() as folder, pinned(cores):
        environment = without_paths() | variables
        if python == sys.executable:
            environment["PYTHONPATH"] = our_paths()
        command = [python, *arguments]
        return process_seconds(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def without_paths() -> dict[str, str]:
    """The environment, without the folders in which Python would look for this optimlab."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def our_paths() -> str:
    return os.pathsep.join([str(Path(optimlab.__file__).parents[1]), *filter(None, [os.getenv("PYTHONPATH")])])


def one(cores: int, options: tuple[str, ...]) -> dict[str, float]:
    """One comparison into a new folder, with the environment that this process has."""
    script = Path(__file__).with_name("command_parts.py")
    with tempfile.TemporaryDirectory() as folder, pinned(cores):
        told = Path(folder) / "parts.json"
        command = [sys.executable, str(script), time.perf_counter.__name__, str(told), "compare", *options]
        environment = os.environ | {"PYTHONPATH": our_paths()}
        whole = process_seconds(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        parts: dict[str, float] = json.loads(told.read_text())
    return {WHOLE: whole, **parts, "the rest": whole - sum(parts.values())}


def tables(found: list[dict[str, Any]]) -> list[Table]:
    *compared, small = found
    table = new_table(
        "optimlab compare, quick, as the README runs it: seconds",
        "medians over rounds. imports: of all modules, wherever they happen; training: optimlab.study.compare, the "
        "statistics and the timing of the steps included; figures: making and saving them; the rest: Python's start "
        "and end, tables, the report",
    )
    table.add_column("")
    for part in compared[0]["parts"]:
        table.add_column(part, justify="right")
    if BESIDE in compared[0]["parts"]:
        table.add_column("ours / the other", justify="right")
    for case in compared:
        values = case["parts"]
        whole = np.median(values[WHOLE])
        medians = {name: float(np.median(taken)) for name, taken in values.items()}
        cells = [f"{m:.2f}" + f" ({100 * m / whole:.0f}%)" * (name != BESIDE) for name, m in medians.items()]
        table.add_row(case["name"], *cells, *([ratios(values[WHOLE], values[BESIDE])] if BESIDE in values else []))
    process = new_table(
        "a process that imports optimlab and trains 64-64-10 on the digits for an epoch: seconds",
        "on one core, Python's start included; first: without compiled kernels from before",
    )
    for column in ("", "median", "least"):
        process.add_column(column, justify="right" if column else "left")
    for name, taken in small["parts"].items():
        process.add_row(name, f"{np.median(taken):.2f}", f"{min(taken):.2f}")
    return [table, process]
