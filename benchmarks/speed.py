"""Training speed of optimlab beside PyTorch, scikit-learn and the hardware's floor.

    python benchmarks/speed.py                        # everything, a few minutes
    python benchmarks/speed.py --quick                # does it run? a few seconds, on a part of the rows
    python benchmarks/speed.py --rounds 30 --threads 1 --json speed.json

Two tables for each network and each number of threads:

1. **An epoch of training with Adam**, and its share a step. Each competitor draws an order of the rows, gathers each
   batch, goes forward and backward and updates; optimlab and "equal work" also read each batch's loss and count its
   correct answers. Weights and optimizer state are set back before each epoch, outside the timing, so that every
   epoch costs the same and no state decays into subnormal numbers. Steps are counted from 1,000, as in the middle of
   training: Adam's first correction is then 1 in float32, and a division by 1 need not be made (the NumPy engine
   leaves it out; in the first 158 steps it is 3% slower on the first network).

   - optimlab: ``ol.fit``, by its own clock (``history.seconds``), one row for each backend on the CPU.
   - PyTorch: eager, gathering with ``index_select`` (twice as fast as ``x[index]``); ``fused`` is ``Adam(fused=True)``,
     ``default`` is ``Adam()``, a loop over the tensors on a CPU. "loss only" leaves the correct answers out.
   - scikit-learn: ``MLPClassifier.partial_fit`` on all rows, which is one epoch in batches of ``batch_size`` in one
     call; ``fit(max_iter=1)`` would also make new weights. It reads the losses but does not count correct answers.
   - the floor: the matrix products that a step needs, and nothing else, on NumPy's BLAS; and these with one copy of as
     many bytes as the update moves.

2. **One step of each rule**, beside a copy of the same bytes (``graph.arrays_moved`` arrays, within as many arrays as
   the rule touches) and beside PyTorch's optimizer of that name. (Formulas differ in detail; see each rule.) The
   arrays are as warm as in training: a step that is not timed goes before.

All competitors take turns: each round runs each once, and what is compared is the median over the rounds of the
ratio within one round, so that a slow spell of the machine meets all alike. ``np.copyto`` runs on one thread always:
on two, an update may be faster than its "floor".

Each number of threads is a process of its own, bound to as many cores, since BLAS libraries read their environment
when they are loaded. Variables such as ``OPENBLAS_CORETYPE`` reach it unchanged, and the tables name the kernels that
the BLAS has chosen.
"""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import threadpoolctl
from rich.console import Console
from rich.table import Table

import optimlab as ol
from optimlab.progress import progress_bar

DTYPE = "float32"
REFERENCE = "optimlab"
FLOOR = "floor: matrix products"
UPDATE_FLOOR = "floor + copy of the update's bytes"
COPY = "copy"

START = 1_000
"""Step number that each timed epoch begins with."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

PAUSE = 0.06
"""Seconds of rest before each timed epoch on several threads: idle threads of a BLAS spin for up to 30 ms before they
sleep, and would take a core from the competitor whose turn is next."""

Turn = Callable[[int], float]
"""One competitor's part of a round, given the round's number: seconds of one epoch, or of one step."""


@dataclass(frozen=True)
class Job:
    """A network and how it is trained."""

    sizes: tuple[int, ...]
    batch: int
    rows: int

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of each parameter: the weight matrices, then the biases."""
        return [*zip(self.sizes, self.sizes[1:], strict=False), *((n,) for n in self.sizes[1:])]

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    repeats: int
    """Steps of a rule timed together, in each round."""
    jobs: tuple[Job, ...]


FULL_JOBS = (Job((3072, 100, 100, 10), batch=32, rows=5_000), Job((784, 800, 10), batch=256, rows=20_000))
QUICK_JOBS = (Job((3072, 100, 100, 10), batch=32, rows=320), Job((784, 800, 10), batch=256, rows=1_024))


# ---- the competitors: one epoch -----------------------------------------------------------------------------------


def epoch_turns(job: Job, threads: int) -> dict[str, Turn | None]:
    """Every competitor of the first table by name; None for one that is not installed."""
    x, y = make_data(job)
    torch, sklearn = optional("torch"), optional("sklearn.neural_network")
    if torch:
        torch.set_num_threads(threads)
    turns: dict[str, Turn | None] = {engine: optimlab_epoch(job, x, y, engine) for engine in engines()}
    for name, settings, accuracy in (
        ("PyTorch fused, equal work", {"fused": True}, True),
        ("PyTorch default, equal work", {}, True),
        ("PyTorch fused, loss only", {"fused": True}, False),
    ):
        turns[name] = torch and torch_epoch(torch, job, x, y, settings, accuracy)
    turns["scikit-learn"] = sklearn and sklearn_epoch(sklearn, job, x, y)
    adam = ol.kernels.trace(ol.rules.textbook.adam)
    turns[FLOOR] = floor_epoch(job, x, update=lambda: None)
    turns[UPDATE_FLOOR] = floor_epoch(job, x, update=copier(adam, job.parameters))
    return turns


def make_data(job: Job) -> tuple[Any, Any]:
    """Rows from [0, 1) and random labels: speed does not depend on the values."""
    generator = np.random.default_rng(0)
    x = generator.random((job.rows, job.sizes[0]), dtype=DTYPE)
    return x, generator.integers(0, job.sizes[-1], job.rows)


def engines() -> dict[str, str]:
    """The CPU backends of optimlab by the name of their row, the default one first."""
    return {REFERENCE if b == "numpy" else f"{REFERENCE}, {b}": b for b in ol.backends.names() if b != "cupy"}


def optimlab_epoch(job: Job, x: Any, y: Any, engine: str) -> Turn:
    data = ol.Dataset(x_train=x, y_train=y)
    network = ol.MLP(job.sizes, seed=0, dtype=DTYPE, backend=engines()[engine])
    optimizer = ol.Adam(network.parameters)
    weights = network.backend.to_numpy(network.parameters.data).copy()
    state = {**optimizer.state_dict(), "t": START}

    def turn(round_: int) -> float:
        network.load(weights)
        optimizer.load_state_dict(state)
        history = ol.fit(network, optimizer, data, epochs=1, batch_size=job.batch, seed=round_, progress=False)
        return history.seconds[0]

    return turn


def torch_epoch(torch: Any, job: Job, x: Any, y: Any, settings: dict[str, Any], accuracy: bool) -> Turn:
    layers: list[Any] = []
    for inputs, outputs in zip(job.sizes, job.sizes[1:], strict=False):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), **settings)
    weights = copy.deepcopy(network.state_dict())
    cross_entropy = torch.nn.functional.cross_entropy
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def epoch() -> tuple[float, int]:
        total, correct = 0.0, 0
        order = torch.randperm(len(x))
        for start in range(0, len(x), job.batch):
            index = order[start : start + job.batch]
            inputs, labels = x.index_select(0, index), y.index_select(0, index)
            logits = network(inputs)
            loss = cross_entropy(logits, labels)
            if accuracy:
                correct += int((logits.argmax(dim=1) == labels).sum())
            total += loss.item() * len(index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return total / len(x), correct

    def turn(round_: int) -> float:
        torch.manual_seed(round_)
        network.load_state_dict(weights)
        for state in optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()
            state["step"].fill_(START)
        return seconds(epoch)

    return turn


def sklearn_epoch(sklearn: Any, job: Job, x: Any, y: Any) -> Turn:
    fresh = sklearn.MLPClassifier(job.sizes[1:-1], solver="adam", batch_size=job.batch, alpha=0.0, random_state=0)
    # partial_fit never warns about convergence: it is meant to be called again
    fresh.partial_fit(x[: job.batch], y[: job.batch], classes=np.arange(job.sizes[-1]))

    def turn(round_: int) -> float:
        model = copy.deepcopy(fresh)
        return seconds(lambda: model.partial_fit(x, y))

    return turn


def floor_epoch(job: Job, x: Any, update: Callable[[], None]) -> Turn:
    """The products of every step, forward and backward, but for the gradient of the inputs, which nobody needs."""
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal(shape, dtype=DTYPE) / shape[0] ** 0.5 for shape in job.shapes if shape[1:]]
    weight_gradients = [np.empty_like(w) for w in weights]
    outputs = [np.empty((job.batch, n), DTYPE) for n in job.sizes[1:]]
    gradients = [generator.standard_normal(y.shape, dtype=DTYPE) for y in outputs]

    def step(inputs: Any) -> None:
        n = len(inputs)
        values = [inputs, *(y[:n] for y in outputs)]
        for k, w in enumerate(weights):
            np.matmul(values[k], w, out=values[k + 1])
        for k in range(len(weights) - 1, -1, -1):
            np.matmul(values[k].T, gradients[k][:n], out=weight_gradients[k])
            if k:
                np.matmul(gradients[k][:n], weights[k].T, out=gradients[k - 1][:n])
        update()

    def epoch() -> None:
        for start in range(0, len(x), job.batch):
            step(x[start : start + job.batch])

    return lambda round_: seconds(epoch)


def copier(graph: ol.kernels.Graph, size: int) -> Callable[[], None]:
    """A function that reads and writes as many bytes as one fused step of the rule, within as many arrays."""
    ring = [np.ones(size, DTYPE) for _ in graph.inputs]
    whole, half = divmod(graph.arrays_moved, 2)  # a copy moves two arrays: one read, one written
    pairs = [(ring[k % len(ring)], ring[(k + 1) % len(ring)]) for k in range(whole + half)]
    if half:
        pairs[-1] = (pairs[-1][0][: size // 2], pairs[-1][1][: size // 2])

    def run() -> None:
        for target, source in pairs:
            np.copyto(target, source)

    return run


# ---- the competitors: one step of a rule --------------------------------------------------------------------------

TORCH_OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
    "adamw": ("AdamW", {}),
}


def step_turns(job: Job, repeats: int) -> dict[tuple[str, str], Turn | None]:
    """Every competitor of the second table by rule and engine; None for one that is not installed."""
    torch = optional("torch")
    turns: dict[tuple[str, str], Turn | None] = {}
    for rule in ol.optimizers.CLASSIC:
        graph = ol.kernels.trace(getattr(ol.rules.textbook, rule))
        for engine in engines():
            turns[rule, engine] = optimlab_step(job, rule, engine, repeats)
        turns[rule, COPY] = functools.partial(steps, copier(graph, job.parameters), repeats)
        if rule in TORCH_OPTIMIZERS:
            turns[rule, "PyTorch default"] = torch and torch_step(torch, job, rule, False, repeats)
            if torch is None or has_fused(torch, rule):
                turns[rule, "PyTorch fused"] = torch and torch_step(torch, job, rule, True, repeats)
    return turns


def optimlab_step(job: Job, rule: str, engine: str, repeats: int) -> Turn:
    network = ol.MLP(job.sizes, seed=0, dtype=DTYPE, backend=engines()[engine])
    optimizer = ol.optimizers.get(rule)(network.parameters)
    optimizer.t = START

    def turn(round_: int) -> float:
        network.parameters.grad[...] = network.backend.asarray(random_gradient(job.parameters, round_))
        return steps(optimizer.step, repeats)

    return turn


def torch_step(torch: Any, job: Job, rule: str, fused: bool, repeats: int) -> Turn:
    """PyTorch's optimizer over one tensor for each of the network's parameters."""
    tensors = [torch.nn.Parameter(torch.zeros(shape)) for shape in job.shapes]
    for tensor in tensors:
        tensor.grad = torch.zeros_like(tensor)
    name, settings = TORCH_OPTIMIZERS[rule]
    settings = settings | {"lr": 0.001} | ({"fused": True} if fused else {})
    optimizer = getattr(torch.optim, name)(tensors, **settings)

    def turn(round_: int) -> float:
        values = torch.from_numpy(random_gradient(job.parameters, round_))
        for tensor, part in zip(tensors, values.split([t.numel() for t in tensors]), strict=True):
            tensor.grad.copy_(part.view_as(tensor))
        return steps(optimizer.step, repeats)

    return turn


def has_fused(torch: Any, rule: str) -> bool:
    return "fused" in inspect.signature(getattr(torch.optim, TORCH_OPTIMIZERS[rule][0])).parameters


@functools.lru_cache(maxsize=1)  # all competitors of one round share it
def random_gradient(size: int, round_: int) -> Any:
    """New in each round: under one and the same gradient, or none, moments end among the subnormal numbers."""
    return np.random.default_rng(round_).standard_normal(size, dtype=DTYPE)


def steps(step: Callable[[], Any], repeats: int, round_: int = 0) -> float:
    """Seconds of one step, the mean of ``repeats`` after one that brings its arrays into the cache."""
    step()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


# ---- measuring ----------------------------------------------------------------------------------------------------


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def optional(module: str) -> Any:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def interleave(
    turns: dict[Any, Turn | None], rounds: int, pause: float, advance: Callable[[str], None]
) -> dict[Any, list[float] | None]:
    """Seconds by competitor and round: in each round each has its turn, another one first each time."""
    present = {name: turn for name, turn in turns.items() if turn is not None}
    times: dict[Any, list[float] | None] = {name: [] if name in present else None for name in turns}
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


def work(threads: int, effort: Effort) -> dict[str, Any]:
    """All measurements on one number of threads; runs in a process of its own."""
    before = load_average()
    result: dict[str, Any] = {"threads": threads, "epochs": [], "steps": []}
    pause = PAUSE if threads > 1 else 0.0
    total = 2 * len(effort.jobs) * (effort.rounds + 1)
    with progress_bar(f"{threads} thread{'s' * (threads > 1)}", total) as advance:
        for job in effort.jobs:
            times = interleave(epoch_turns(job, threads), effort.rounds, pause, advance)
            competitors = [{"name": name, "seconds": values} for name, values in times.items()]
            result["epochs"].append({**describe_job(job), "competitors": competitors})
            times = interleave(step_turns(job, effort.repeats), effort.rounds, 0.0, advance)
            competitors = [{"rule": rule, "engine": e, "seconds": values} for (rule, e), values in times.items()]
            result["steps"].append({**describe_job(job), "competitors": competitors})
    # last, when every library has been loaded
    result["conditions"] = {
        "threads": threads,
        "load average": f"{before} before, {load_average()} after",
        **conditions(),
    }
    return result


def describe_job(job: Job) -> dict[str, Any]:
    return {
        "network": job.name,
        "parameters": job.parameters,
        "batch": job.batch,
        "rows": job.rows,
        "steps": job.steps,
    }


def conditions() -> dict[str, Any]:
    """What the numbers depend on, as far as it can be found out."""
    torch, sklearn = optional("torch"), optional("sklearn")
    pinned = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    names = {" ".join(filter(None, (p["internal_api"], p["version"], p.get("architecture")))) for p in pools}
    return {
        "CPU": cpu_model(),
        "system": f"{platform.system()} {platform.machine()}",
        "bound to cores": pinned,
        "Python": platform.python_version(),
        "optimlab": ol.__version__,
        "NumPy": np.__version__,
        "BLAS of NumPy and SciPy": ", ".join(sorted(names)) or "unknown",
        "PyTorch": torch.__version__ if torch else "not installed",
        "PyTorch's threads": torch and torch.get_num_threads(),
        "scikit-learn": sklearn.__version__ if sklearn else "not installed",
        "dtype": DTYPE,
    }


def load_average() -> str:
    """How many processes wanted to run, over the last minute: more than the threads means company."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


# ---- one process for each number of threads -----------------------------------------------------------------------


def measure(threads: int, options: list[str]) -> dict[str, Any]:
    """Run this file once more, as the worker for that many threads, and read what it prints."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    command = [sys.executable, __file__, "--worker", str(threads), *options]
    with pinned(threads):
        process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if process.returncode:
        raise click.ClickException(f"the measurements on {threads} threads ended with status {process.returncode}")
    return json.loads(process.stdout.splitlines()[-1])


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """Bind this thread, and the processes it starts, to that many cores; does nothing where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, separate_cores(sorted(before))[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def separate_cores(processors: list[int]) -> list[int]:
    """The processors, one of each physical core first."""
    seen: set[str] = set()
    first, others = [], []
    for k in processors:
        siblings = str(k)
        with suppress(OSError):
            siblings = Path(f"/sys/devices/system/cpu/cpu{k}/topology/thread_siblings_list").read_text()
        (others if siblings in seen else first).append(k)
        seen.add(siblings)
    return first + others


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- the tables ---------------------------------------------------------------------------------------------------


def ratios(values: list[float] | None, reference: list[float] | None) -> str:
    """Median and quartiles of the ratio within each round."""
    if not (values and reference):
        return ""
    low, middle, high = np.quantile(np.array(values) / np.array(reference), [0.25, 0.5, 0.75])
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def epoch_table(result: dict[str, Any], threads: int) -> Table:
    times = {c["name"]: c["seconds"] for c in result["competitors"]}
    title = (
        f"{result['network']}, batch {result['batch']}, {result['rows']:,} rows, "
        f"{threads} thread{'s' * (threads > 1)}: training with Adam"
    )
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.caption = "medians over rounds; ratios: median (quartiles) of the ratios within a round"
    table.add_column("", min_width=34, no_wrap=True)
    for column in ("step, us", "epoch, ms", "time / optimlab's", "time / (floor + copy)"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, values in times.items():
        if values is None:
            table.add_row(name, "not installed", "", "", "")
            continue
        median = float(np.median(values))
        cells = f"{median / result['steps'] * 1e6:,.0f}", f"{median * 1e3:,.1f}"
        table.add_row(name, *cells, ratios(values, times[REFERENCE]), ratios(values, times[UPDATE_FLOOR]))
    return table


def step_table(result: dict[str, Any], threads: int) -> Table:
    times: dict[str, dict[str, list[float] | None]] = {}
    for c in result["competitors"]:
        times.setdefault(c["rule"], {})[c["engine"]] = c["seconds"]
    names = list(dict.fromkeys(c["engine"] for c in result["competitors"]))
    title = f"{result['parameters']:,} parameters, {threads} thread{'s' * (threads > 1)}: one step of each rule, ms"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.caption = 'copy: of the bytes the rule moves, on one thread; ratios as above; "-": no such optimizer'
    table.add_column("rule", no_wrap=True)
    table.add_column("arrays", justify="right")
    for column in (*names, "optimlab / copy", "optimlab / fused"):
        table.add_column(column, justify="right")
    for rule, by in times.items():
        moved = ol.kernels.trace(getattr(ol.rules.textbook, rule)).arrays_moved
        cells = [milliseconds(by.get(name, [])) for name in names]
        mine = by[REFERENCE]
        table.add_row(rule, str(moved), *cells, ratios(mine, by[COPY]), ratios(mine, by.get("PyTorch fused")))
    return table


def milliseconds(values: list[float] | None) -> str:
    if values is None:
        return "not installed"
    return f"{np.median(values) * 1e3:.3f}" if values else "-"


def show(console: Console, report: dict[str, Any]) -> None:
    console.print(f"\nmeasured {report['date']}, {report['rounds']} rounds", highlight=False)
    all_conditions = [run["conditions"] for run in report["runs"]]
    for name in all_conditions[0] if all_conditions else ():
        values = dict.fromkeys("none" if c[name] is None else str(c[name]) for c in all_conditions)
        console.print(f"{name:>24}: {' | '.join(values)}", highlight=False, markup=False)
    for run in report["runs"]:
        for epochs, rule_steps in zip(run["epochs"], run["steps"], strict=True):
            console.print()
            console.print(epoch_table(epochs, run["threads"]))
            console.print()
            console.print(step_table(rule_steps, run["threads"]))


def write_json(report: dict[str, Any], path: Path) -> None:
    """Write beside ``path`` first, so that ``path`` is never half written."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


# ---- the command --------------------------------------------------------------------------------------------------


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


@click.command(help="Measure the training speed of optimlab beside PyTorch, scikit-learn and the hardware's floor.")
@click.option("--rounds", type=click.IntRange(1), help="Turns of each competitor.  [default: 15; with --quick 1]")
@click.option("--quick", is_flag=True, help="Few rounds on a part of the rows: shows that it runs, not how fast.")
@click.option("--threads", default="1,2", show_default=True, callback=parse_threads, help="Numbers of threads.")
@click.option(
    "--json",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=check_folder,
    help="Write all times there.",
)
@click.option("--worker", type=int, hidden=True)
def main(rounds: int | None, quick: bool, threads: list[int], path: Path | None, worker: int | None) -> None:
    rounds = rounds or (1 if quick else 15)
    if worker:
        effort = Effort(rounds, repeats=1 if quick else 10, jobs=QUICK_JOBS if quick else FULL_JOBS)
        print(json.dumps(work(worker, effort)))
        return
    # wide enough for the tables where the output goes to a file
    console = Console() if sys.stdout.isatty() else Console(width=124)
    if not hasattr(os, "sched_setaffinity"):
        console.print("This system cannot bind a process to cores: the threads go where it puts them.")
    options = ["--rounds", str(rounds), *(["--quick"] if quick else [])]
    report: dict[str, Any] = {"date": datetime.now().astimezone().isoformat(timespec="seconds"), "rounds": rounds}
    report |= {"quick": quick, "runs": []}
    for count in threads:
        if count > available_cores():
            console.print(f"No measurements on {count} threads: this machine lends {available_cores()} core(s).")
            continue
        report["runs"].append(measure(count, options))
    if path:
        write_json(report, path)
    show(console, report)


if __name__ == "__main__":
    main()
