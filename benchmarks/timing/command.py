"""The table of the main job: how long ``optimlab compare`` takes from Enter to prompt, and what for."""

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
from .tables import new_table

OPTIONS = {False: (), True: ("--optimizers", "sgd", "--rates", "0.1,0.3,1", "--epochs", "1", "--replicates", "2")}
"""Of the command: none, as the README has it; and those that show that this runs."""

WHOLE = "from Enter to prompt"


def measure(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """By number of cores: seconds of each part in each round. A short comparison goes before, where it matters, so that
    nothing is read from the disk for the first time. Where CPU time is counted, on one core only: on two, other
    processes train."""
    by_cpu = time.perf_counter is time.process_time
    cores = [count for count in ((1,) if by_cpu else (1, 2)) if count <= available_cores()]
    parts: dict[int, list[dict[str, float]]] = {count: [] for count in cores}
    if not quick:
        one(1, OPTIONS[True])
    for _ in range(rounds):
        for count in cores:
            parts[count].append(one(count, OPTIONS[quick]))
    return [
        {"name": f"{count} core{'s' * (count > 1)}", "parts": {part: [f[part] for f in found] for part in found[0]}}
        for count, found in parts.items()
    ]


def one(cores: int, options: tuple[str, ...]) -> dict[str, float]:
    """One comparison into a new folder, with the environment that this process has."""
    script = Path(__file__).with_name("command_parts.py")
    with tempfile.TemporaryDirectory() as folder, pinned(cores):
        told = Path(folder) / "parts.json"
        command = [sys.executable, str(script), time.perf_counter.__name__, str(told), "compare", *options]
        paths = os.pathsep.join([str(Path(optimlab.__file__).parents[1]), *filter(None, [os.getenv("PYTHONPATH")])])
        environment = os.environ | {"PYTHONPATH": paths}

        whole = process_seconds(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        parts: dict[str, float] = json.loads(told.read_text())
    return {WHOLE: whole, **parts, "the rest": whole - sum(parts.values())}


def tables(found: list[dict[str, Any]]) -> list[Table]:
    table = new_table(
        "optimlab compare, quick, as the README runs it: seconds",
        "medians over rounds. imports: of all modules, wherever they happen; training: optimlab.study.compare, the "
        "statistics and the timing of the steps included; figures: making and saving them; the rest: Python's start "
        "and end, tables, the report",
    )
    table.add_column("")
    for part in found[0]["parts"]:
        table.add_column(part, justify="right")
    for case in found:
        whole = np.median(case["parts"][WHOLE])
        medians = [float(np.median(values)) for values in case["parts"].values()]
        table.add_row(case["name"], *(f"{m:.2f} ({100 * m / whole:.0f}%)" for m in medians))
    return [table]
