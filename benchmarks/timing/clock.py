"""Taking turns, and what the numbers depend on."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import optimlab as ol
from optimlab.backends import onednn

from .jobs import DTYPE

Turn = Callable[[int], float]
"""One competitor's part of a round, given the round's number: seconds of one epoch, or of one step."""

PAUSE = 0.06
"""Seconds of rest before each timed epoch on several threads: idle threads of a BLAS spin for up to 30 ms before they
sleep, and would take a core from the competitor whose turn is next."""


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def process_seconds(command: list[str], **options: Any) -> float:
    """Seconds of a process, by the CPU time that it and its children took where that is what is counted."""
    before = children_seconds()
    taken = seconds(lambda: subprocess.run(command, check=True, **options))
    return children_seconds() - before if time.perf_counter is time.process_time else taken


def children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def steps(step: Callable[[], Any], repeats: int, round_: int = 0) -> float:
    """Seconds of one step, the mean of ``repeats`` after one that brings its arrays into the cache."""
    step()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def optional(module: str) -> Any:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def interleave(
    turns: dict[str, Turn | None], rounds: int, pause: float, advance: Callable[[str], None]
) -> dict[str, list[float] | None]:
    """Seconds by competitor and round: in each round each has its turn, another one first each time."""
    present = {name: turn for name, turn in turns.items() if turn is not None}
    times: dict[str, list[float] | None] = {name: [] if name in present else None for name in turns}
    names = list(present)
    for round_ in range(rounds + 1):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(pause)
            taken = present[name](round_)
            if round_:  # round 0 warms up
                times[name].append(taken)
        advance("")
    return times


def ratio(values: list[float] | None, reference: list[float] | None) -> tuple[float, float, float] | None:
    """Quartiles of the ratio within each round: low, median, high."""
    if not (values and reference):
        return None
    low, middle, high = np.quantile(np.array(values) / np.array(reference), [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def conditions() -> dict[str, Any]:
    """Return what the numbers depend on, as far as it can be found out."""
    import threadpoolctl  # a machine with a GPU may lack it

    torch = optional("torch")
    pinned = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    names = {" ".join(filter(None, (p["internal_api"], p["version"], p.get("architecture")))) for p in pools}
    versions = {name: getattr(optional(name), "__version__", "not installed") for name in ("llvmlite", "jax", "optax")}
    return {
        "CPU": cpu_model(),
        "system": f"{platform.system()} {platform.machine()}",
        "bound to cores": pinned,
        "Python": platform.python_version(),
        "optimlab": ol.__version__,
        "NumPy": np.__version__,
        "BLAS of NumPy and SciPy": ", ".join(sorted(names)) or "unknown",
        "large ones, one thread": ", ".join(onednn.used()) or "the same",
        "llvmlite": versions["llvmlite"],
        "PyTorch": torch.__version__ if torch else "not installed",
        "PyTorch's threads": torch and torch.get_num_threads(),
        "JAX, Optax": f"{versions['jax']}, {versions['optax']}",
        "scikit-learn": getattr(optional("sklearn"), "__version__", "not installed"),
        "dtype": DTYPE,
    }


def load_average() -> str:
    """Return how many processes wanted to run, over the last minute: more than the threads means company."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
