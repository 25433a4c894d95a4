"""Training speed of optimlab beside PyTorch, JAX, scikit-learn and the hardware's floor.

    python benchmarks/speed.py                        # everything, a quarter of an hour
    python benchmarks/speed.py --quick                # does it run? on a part of the rows, two rules, one round
    python benchmarks/speed.py --rounds 6 --processes 5 --threads 1 --json speed.json
    python benchmarks/speed.py --threads 1 --cpu-time # on a machine that others use, too
    taskset -c 1 python benchmarks/speed.py --activations --small --sweep --compare --rounds 5

For each number of threads, and each of the engines of optimlab (plain NumPy, and the compiled one where llvmlite is
installed):

1. **An epoch of training with Adam**, and its share a step, for two networks. Each competitor draws an order of the
   rows, gathers each batch, goes forward and backward, updates, reads each batch's loss and counts its right answers
   (scikit-learn does not count). Weights and optimizer state are set back before each epoch, outside the timing, so
   that every epoch costs the same and no state decays into subnormal numbers. Steps are counted from 1,000, as in the
   middle of training: Adam's first correction is then 1 in float32, and a division by 1 need not be made.

   - optimlab: ``ol.fit``, by its own clock (``history.seconds``), without the first epoch of the run, in which the
     compiled engine records the step, one or two milliseconds.
   - PyTorch: eager, gathering with ``index_select`` (twice as fast as ``x[index]``); ``fused`` is ``Adam(fused=True)``,
     ``default`` is ``Adam()``, a loop over the tensors on a CPU; ``compiled`` has forward and backward compiled.
   - JAX: the whole epoch is one jitted ``lax.scan``, its arguments donated; what it compiles is not counted.
   - scikit-learn: ``MLPClassifier.partial_fit`` on all rows, which is one epoch in batches of ``batch_size`` in one
     call; ``fit(max_iter=1)`` would also make new weights.
   - the floor: the matrix products that a step needs, and nothing else, by the libraries of the compiled engine; and
     these with one copy of as many bytes as the update moves.

2. **One step of each rule**, beside a copy of the same bytes (``graph.arrays_moved`` arrays, within as many arrays as
   the rule touches) and beside PyTorch's and Optax's optimizer of that name. (Formulas differ in detail; see each
   rule.) The arrays are as warm as in training: a step that is not timed goes before.

3. **Memory**: the most that training needs at once, beside what it cannot do without.

4. **How long it takes to begin**: import and first step, with what is compiled then.

Or, instead of these, any of four tables on one core and one BLAS thread, the last of the cores this process may use
(``taskset`` chooses it). Without JAX or PyTorch their columns say so.

- ``--activations``: an epoch with Adam of 256-256-256-10, batch 128, for each activation, plain, with batch norm, with
  dropout, and with both. All do the same work as above; GELU is the exact one, JAX keeps batch norm's running averages
  and draws dropout by its own generator.
- ``--small``: one step on 64-64-10, batch 64, of SGD and Adam, beside its five matrix products called from compiled
  code, by NumPy's BLAS.
- ``--sweep``: runs a second on digits, one by one, as a study executes them, and as one program of JAX's ``vmap``;
  9 learning rates with 3 seeds each, and with 12.
- ``--compare``: the command ``optimlab compare`` from Enter to prompt, and its parts, on one core and on two, with the
  threads that the environment says; with ``--cpu-time`` on one. And a process that trains a small network. ``--beside
  PYTHON`` names another installation, such as an earlier version, which takes its turns.

All competitors take turns: each round runs each once, and what is compared is the median over the rounds of the
ratio within one round, so that a slow spell of the machine meets all alike. ``np.copyto`` runs on one thread always:
on two, an update may be faster than its "floor".

Each number of threads has processes of its own, bound to as many cores, since BLAS libraries read their environment
when they are loaded. There are several, one after the other, for a ratio may be off by some hundredths in all rounds of
one process and not in the next. The file that ``--json`` names has the rounds of each, in order. Variables such as
``OPENBLAS_CORETYPE`` reach them unchanged, and the report names the kernels that the BLAS has chosen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from timing import asked
from timing.clock import PAUSE, conditions, interleave, load_average
from timing.command import without_paths
from timing.epochs import epoch_turns
from timing.footprint import begin, first_step, peak_memory
from timing.jobs import Effort, Job
from timing.pinning import available_cores
from timing.rule_steps import step_turns
from timing.tables import show
from timing.workers import extend, worker

from optimlab.common.files import write_atomically
from optimlab.common.progress import progress_bar


def work(threads: int, effort: Effort, others: bool) -> dict[str, Any]:
    """The measurements of one process; ``others``: memory and beginnings, too."""
    before = load_average()
    result: dict[str, Any] = {"threads": threads, "epochs": [], "steps": [], "memory": [], "begin": []}
    total = (len(effort.jobs) + len(effort.sizes) * len(effort.rules)) * (effort.rounds + 1)
    with progress_bar(f"{threads} thread{'s' * (threads > 1)}", total) as advance:
        for job in effort.jobs:
            turns = epoch_turns(job, threads, effort.compiled)
            times = interleave(turns, effort.rounds, PAUSE if threads > 1 else 0.0, advance)
            competitors = [{"name": name, "seconds": values} for name, values in times.items()]
            result["epochs"].append({**describe(job), "competitors": competitors})
        for size in effort.sizes:
            competitors = []
            repeats = max(1, effort.repeats * 300_000 // size)
            for rule in effort.rules:  # one after the other: all arrays of all rules would not fit
                times = interleave(step_turns(rule, size, repeats), effort.rounds, 0.0, advance)
                competitors += [{"rule": rule, "engine": name, "seconds": values} for name, values in times.items()]
            result["steps"].append({"parameters": size, "competitors": competitors})
    if others:
        for job in effort.jobs:
            result["memory"].append({**describe(job), "competitors": peak_memory(job)})
        job = effort.jobs[0]
        result["begin"].append({**describe(job), "competitors": begin(job, min(effort.rounds, 5), effort.compiled)})
    # last, when every library has been loaded
    load = f"{before} before, {load_average()} after"
    result["conditions"] = {"threads": threads, "load average": load, **conditions()}
    return result


def describe(job: Job) -> dict[str, Any]:
    return {
        "network": job.name,
        "parameters": job.parameters,
        "batch": job.batch,
        "rows": job.rows,
        "steps": job.steps,
    }


def measure(threads: int, processes: int, options: list[str]) -> dict[str, Any]:
    """Run this file as a worker for that many threads, once for each process, and put together what they print."""
    results: list[dict[str, Any]] = []
    for k in range(processes):
        others = ["--others"] if threads == 1 and not k else []  # neither depends on the threads
        results.append(worker(Path(__file__), ["--worker", str(threads), *options, *others], threads))
    whole, *rest = results
    for result in rest:
        for kind in ("epochs", "steps"):
            extend(whole[kind], result[kind])
    return whole


def parse_threads(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        counts = [int(part) for part in value.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise click.BadParameter(f"expected whole numbers of at least 1, such as 1,2; got {value!r}")
    return list(dict.fromkeys(counts))


def check_folder(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Fail now rather than after all the measurements."""
    if path and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise click.BadParameter(f"{path.parent} is not a folder that can be written to")
    return path


def check_other(context: click.Context, parameter: click.Parameter, python: str) -> str:
    """Fail now if that Python has no optimlab."""
    if python:
        try:
            subprocess.run(
                [python, "-c", "import optimlab"], check=True, cwd=tempfile.gettempdir(), env=without_paths()
            )
        except (OSError, subprocess.CalledProcessError):
            raise click.BadParameter(f"{python} is not a Python with optimlab") from None
    return python


@click.command(help="Measure optimlab's training speed beside PyTorch, JAX, scikit-learn and the hardware's floor.")
@click.option("--rounds", type=click.IntRange(1), help="Turns in each process.  [default: 3; with --quick 1]")
@click.option("--processes", type=click.IntRange(1), help="How many, after each other.  [default: 5; with --quick 1]")
@click.option("--quick", is_flag=True, help="One round on a part of the rows: shows that it runs, not how fast.")
@click.option("--threads", default="1,2", show_default=True, callback=parse_threads, help="Numbers of threads.")
@click.option(
    "--json",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=check_folder,
    help="Write all times there.",
)
@click.option("--cpu-time", is_flag=True, help="Count the process's own time, on one thread: for a machine in use.")
@click.option("--activations", is_flag=True, help="Only an epoch for each activation, in four variants.")
@click.option("--small", is_flag=True, help="Only the steps of a small network, beside their products alone.")
@click.option("--sweep", is_flag=True, help="Only the runs a second of the digits sweep.")
@click.option(
    "--compare", is_flag=True, help="Only whole processes: the command optimlab compare, and one of a small network."
)
@click.option(
    "--beside",
    default="",
    metavar="PYTHON",
    callback=check_other,
    help="With --compare: the Python of another installation, such as an earlier version, which takes its turns.",
)
@click.option("--only", default="", metavar="TEXT", help="Of these tables, the cases with this in their name: mish.")
@click.option("--worker", "threads_here", type=int, hidden=True)
@click.option("--asked", "asked_here", default="", hidden=True)
@click.option("--others", is_flag=True, hidden=True)
@click.option("--first", hidden=True)
@click.option("--sizes", hidden=True)
def main(
    rounds: int | None,
    processes: int | None,
    quick: bool,
    threads: list[int],
    path: Path | None,
    cpu_time: bool,
    beside: str,
    only: str,
    threads_here: int | None,
    asked_here: str,
    others: bool,
    first: str | None,
    sizes: str | None,
    **tables: bool,
) -> None:
    names = [name for name, wanted in tables.items() if wanted]
    rounds, processes = rounds or (1 if quick else 3), processes or (1 if quick or names else 5)
    if cpu_time:
        if threads != [1] and not (threads_here or asked_here or names):
            raise click.UsageError("--cpu-time goes with --threads 1: time of several threads would be added up")
        time.perf_counter = time.process_time  # what optimlab's own clock reads, too
    if first:
        print(first_step(tuple(json.loads(sizes or "")), first))
        return
    if asked_here:
        print(json.dumps(asked.work(asked_here.split(","), rounds, quick, only)))
        return
    if threads_here:
        print(json.dumps(work(threads_here, Effort.quick(rounds) if quick else Effort.full(rounds), others)))
        return
    # wide enough for the tables where the output goes to a file
    console = Console() if sys.stdout.isatty() else Console(width=170)
    if not hasattr(os, "sched_setaffinity"):
        console.print("This system cannot bind a process to cores: the threads go where it puts them.")
    options = ["--rounds", str(rounds), *(["--quick"] if quick else []), *(["--cpu-time"] if cpu_time else [])]
    report: dict[str, Any] = {"date": datetime.now().astimezone().isoformat(timespec="seconds"), "rounds": rounds}
    report |= {"processes": processes, "quick": quick, "clock": "CPU time" if cpu_time else "wall time", "runs": []}
    if names:
        options += ["--only", only]
        report |= asked.measure(Path(__file__), names, processes, options, rounds, quick, beside)
    for count in () if names else threads:
        if count > available_cores():
            console.print(f"No measurements on {count} threads: this machine lends {available_cores()} core(s).")
            continue
        report["runs"].append(measure(count, processes, options))
    if path:
        write_atomically(path, json.dumps(report))
    (asked.show if names else show)(console, report)


if __name__ == "__main__":
    main()
