"""The parts of ``benchmarks/gpu.py``: each tells one thing about optimlab on a GPU, and returns whether it is right."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import optimlab as ol
from optimlab.backends.recording import Recorder
from optimlab.training import engine

from .gpu_competitors import EAGER, GRAPH, Say, competitors, fair, optimlab
from .jobs import Job

ROOT = Path(__file__).parents[2]
NETWORKS = ((784, 800, 10), (3072, 100, 100, 10), (64, 64, 10))
BATCHES = (32, 128, 512)
PRODUCTS = ((1, 128, 784, 800), (1, 784, 128, 800), (132, 64, 64, 64), (1056, 64, 64, 64), (64, 128, 784, 800))
"""Count, rows, inner size, columns."""
SIZES = (4_810, 636_010, 50_000_000)
"""Of flat arrays for the rule."""
WIDTHS = (16, 64, 256, 1024, 4096)
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "nvidia-cublas", "nvidia-cuda-nvrtc", "numpy", "llvmlite", "torch", "jax")
STEP = {"plain": {}, "batch norm": {"batch_norm": True}, "dropout": {"dropout": 0.2}}


def process(command: list[str], say: Say, most: int = 0) -> bool:
    """Run a command, and say what it prints, or its last ``most`` lines; whether it succeeded."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (result.stdout + (result.stderr if result.returncode else "")).splitlines()
    for line in lines if result.returncode else lines[-most:]:
        say(f"  {line}")
    return result.returncode == 0


def machine(say: Say) -> bool:
    """The card, its driver and the versions."""
    import cupy

    card = cupy.cuda.runtime.getDeviceProperties(0)
    say(f"{card['name'].decode()}, {card['multiProcessorCount']} multiprocessors, {card['totalGlobalMem'] >> 30} GiB")
    say(f"driver {cupy.cuda.runtime.driverGetVersion()}, runtime {cupy.cuda.runtime.runtimeGetVersion()}")
    for name in PACKAGES:
        try:
            say(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            say(f"{name} is not installed")
    return True


def smoke(say: Say) -> bool:
    """An upload, subnormal numbers, and short runs against NumPy."""
    b, right = ol.backends.get("cupy"), True

    def told(what: str, good: bool) -> None:
        nonlocal right
        right &= good
        say(f"{what}: {'as on NumPy' if good else 'WRONG'}", good=good)

    values = np.arange(6.0).reshape(2, 3)
    told("an upload", bool((b.to_numpy(b.asarray(values)) == values).all()))
    for dtype in ("float32", "float64"):
        tiny = np.full(4, np.finfo(dtype).smallest_subnormal * 5, dtype)
        w, g = b.asarray(tiny), b.zeros(4, dtype)
        b.bind(ol.kernels.trace(ol.rules.textbook.sgd), [{"w": w, "g": g}])((0.1,))
        told(f"subnormal numbers of {dtype}", bool((b.to_numpy(w) == tiny).all()))
    data = ol.datasets.load("digits")
    for graph in (False, True):
        for options in ({}, {"batch_norm": True, "activation": "gelu"}):
            losses = []
            for backend in ("cupy", "numpy"):
                net = ol.MLP([64, 64, 10], seed=0, backend=backend, **options)
                opt = ol.SGD(net.parameters, lr=0.01)
                on_graph = graph and backend == "cupy"
                losses.append(ol.fit(net, opt, data, epochs=2, graph=on_graph, progress=False).train_loss)
            gap = float(np.max(abs(np.array(losses[0]) / losses[1] - 1)))
            told(f"losses {'with a graph' if graph else 'without a graph'}, {options}, differ by {gap:.0e}", gap < 1e-3)
    return right


def tests(say: Say) -> bool:
    """The tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/test_gpu.py", "-q", "--no-header", "--tb=short"]
    return process([*command, "-p", "no:cacheprovider"], say, most=1)


@contextmanager
def recorded(sizes: tuple[int, ...], batch: int, graph: bool, **options: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Train for an epoch, and give the program of its step, and the graphs that were made."""
    programs: list[Any] = []
    graphs: list[Any] = []
    record, program = Recorder.record, engine.Tabled.programs

    def graph_of(self: Recorder, work: Callable[[], None]) -> Any:
        launch = record(self, work)
        graphs.append(launch.__closure__[0].cell_contents)  # type: ignore[attr-defined, index]
        return launch

    def program_of(self: Any) -> Any:
        programs.append(program(self))
        return programs[-1]

    Recorder.record, engine.Tabled.programs = graph_of, program_of  # type: ignore[method-assign]
    try:
        x, y = Job(sizes, batch, 4 * batch).data()
        net = ol.MLP(sizes, seed=0, backend="cupy", **options)
        ol.fit(net, ol.Adam(net.parameters), ol.Dataset(x, y), epochs=1, batch_size=batch, graph=graph, progress=False)
    finally:
        Recorder.record, engine.Tabled.programs = record, program  # type: ignore[method-assign]
    yield programs[-1][0], graphs


def nodes(say: Say) -> bool:
    """The nodes of a step's graph: at most 20 for two layers, as optimlab queues them."""
    right = True
    for name, options in STEP.items():
        with recorded(NETWORKS[0], 128, True, **options) as (program, graphs):
            queued = len(program.calls) + sum(call.name == "uniform" for call in program.calls)
            right &= queued <= 20
            try:
                dot = graphs[0].debug_dot_str(0)
                within = f"{sum('label=' in line and '->' not in line for line in dot.splitlines())} in the graph"
            except Exception as error:
                within = f"the graph cannot be counted: {type(error).__name__}: {str(error)[:100]}"
            say(f"{'-'.join(map(str, NETWORKS[0]))}, {name}: {queued} nodes queued, {within}", queued=queued)
    return right


def microseconds(recorder: Recorder, work: Callable[[], Any], times: int, launches: int = 20) -> float:
    """Time of ``work`` within a graph that repeats it."""
    with recorder.working():
        for _ in range(2):
            work()
        launch = recorder.record(lambda: [work() for _ in range(times)] and None)
        launch()
        recorder._stream.synchronize()
        start = time.perf_counter()
        for _ in range(launches):
            launch()
        recorder._stream.synchronize()
        taken = time.perf_counter() - start
    return taken / launches / times * 1e6


def kernels(say: Say, times: int = 50) -> bool:
    """Time each node of a step, one small node, the rule at several sizes, and batched products."""
    b = ol.backends.get("cupy")
    recorder = Recorder(b)  # type: ignore[arg-type]
    small = b.zeros(1, "int64")
    cost = microseconds(recorder, lambda: b.count(small), times)
    say(f"one small node: {cost:.2f} us", node=cost)
    for sizes in NETWORKS[:2]:
        batch = 128
        with recorded(sizes, batch, False, batch_norm=True) as (program, _):
            whole = microseconds(recorder, _at_zero(program), 1)
            say(f"a step of {'-'.join(map(str, sizes))} with batch norm, batch {batch}: {whole:.1f} us", step=whole)
            for call in program.calls:
                if call.name != "count":  # counting would lead out of the tables
                    cost = microseconds(recorder, call.run, times)
                    say(f"  {cost:7.2f} us  {call.name}", call=call.name, us=cost)
    graph = ol.kernels.trace(ol.rules.textbook.adam)
    for size in SIZES:
        step = b.bind(graph, [{name: b.zeros(size, "float32") for name in graph.inputs}])
        cost = microseconds(recorder, step.launch, times)  # type: ignore[attr-defined]
        say(f"adam, {size:,} numbers: {cost:.2f} us, {28 * size / cost / 1e6:.2f} TB/s", adam=size, us=cost)
    for count, m, k, n in PRODUCTS:
        x, y, out = (b.zeros((count, *shape), "float32") for shape in ((m, k), (k, n), (m, n)))
        cost = microseconds(recorder, partial(b.matmul, *((x[0], y[0], out[0]) if count == 1 else (x, y, out))), times)
        speed = 2 * count * m * k * n / cost / 1e6
        say(f"{count} products {m} x {k} x {n}: {cost:.2f} us, {speed:.1f} TFLOP/s", products=count, us=cost)
    return True


def _at_zero(program: Any) -> Callable[[], Any]:
    """Return the step, which begins at the epoch's first row each time."""
    count = next(call for call in program.calls if call.name == "count")
    counter = program._arrays[count.writes[0]]
    counter.fill(0)  # the epoch before has ended

    def work() -> None:
        program.run()
        counter.fill(0)

    return work


def steps(say: Say, rounds: int = 3, length: int = 100) -> bool:
    """A training step with Adam against PyTorch and JAX."""
    for sizes in NETWORKS:
        for batch in BATCHES:
            job = Job(sizes, batch, batch * length)
            found = fair(competitors(job, compiled=(sizes, batch) == (NETWORKS[0], 128)), rounds, say)
            for name, cost in found.items():
                say(
                    f"{job.name}, batch {batch}: {cost:8.1f} us  {name}", step=job.name, batch=batch, name=name, us=cost
                )
    return True


def crossover(say: Say, rounds: int = 3) -> bool:
    """The width from which the GPU is faster than every CPU backend."""
    cpu, found = [name for name in ol.backends.names() if name != "cupy"], []
    for width in WIDTHS:
        job = Job((784, width, 10), 128, 128 * 20)
        makers: dict[str, Callable[[], Any]] = {name: partial(optimlab, job, name) for name in cpu}
        makers |= {EAGER: partial(optimlab, job, "cupy"), GRAPH: partial(optimlab, job, "cupy", graph=True)}
        times = fair(makers, rounds, say)
        found.append({"width": width, "parameters": job.parameters, "microseconds": times})
        say(f"784-{width}-10: " + ", ".join(f"{name} {cost:.1f} us" for name, cost in times.items()), **found[-1])
    for name in (EAGER, GRAPH):
        say(crossing(found, name))
    return True


def crossing(found: list[dict[str, Any]], name: str) -> str:
    """The first width from which ``name`` is faster than every CPU backend, as a sentence."""
    faster = [
        name in row["microseconds"]
        and all(v > row["microseconds"][name] for n, v in row["microseconds"].items() if n not in (EAGER, GRAPH))
        for row in found
    ]
    first = next((k for k in range(len(found)) if all(faster[k:])), None)
    if first is None:
        return f"{name}: at no width measured is the GPU faster than the CPU"
    row = found[first]
    return f"{name}: the GPU is faster from width {row['width']} on ({row['parameters']:,} parameters)"


SWEEP = """
dataset = "digits"
optimizers = ["sgd", "momentum", "adam"]
backend = "{backend}"
epochs = 5
replicates = 4
"""


def sweeps(say: Say) -> bool:
    """A comparison on the digits, on the GPU and on one core."""
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in ("cupy", "auto"):
            study, out = Path(folder, f"{backend}.toml"), Path(folder, backend)
            study.write_text(SWEEP.format(backend=backend))
            command = [sys.executable, "-m", "optimlab", "compare", "--study", str(study), "--out", str(out)]
            start = time.perf_counter()
            if not process([*command, "--jobs", "1"], say, most=12):
                return False
            taken[backend] = time.perf_counter() - start
            runs = len(Path(out, "runs.jsonl").read_text().splitlines())
            say(f"{backend}: {runs} runs in {taken[backend]:.1f} s", backend=backend, runs=runs, seconds=taken[backend])
    say(f"one core takes {taken['auto'] / taken['cupy']:.1f} times as long", ratio=taken["auto"] / taken["cupy"])
    return True


def memory(say: Say) -> bool:
    """Check that runs give back the device's memory, and all accesses by NVIDIA's own tool, where it is installed."""
    import cupy

    data, used = ol.datasets.load("digits"), []
    for _ in range(4):
        net = ol.MLP([64, 64, 10], seed=0, backend="cupy", dropout=0.1)
        ol.fit(net, ol.Adam(net.parameters), data, epochs=1, graph=True, progress=False)
        del net
        gc.collect()
        used.append(cupy.get_default_memory_pool().used_bytes())
    right = used[-1] == used[1]
    say(f"bytes in use after each of four runs: {used}", used=used)
    checker = shutil.which("compute-sanitizer")
    if checker is None:
        say("compute-sanitizer is not installed")
        return right
    short = (
        "import optimlab as ol; d = ol.datasets.load('digits'); d = ol.Dataset(d.x_train[:200], d.y_train[:200]); "
        "net = ol.MLP([64, 32, 10], backend='cupy', dropout=0.1, batch_norm=True); "
        "print(ol.fit(net, ol.Adam(net.parameters), d, epochs=2, graph=True, progress=False).status)"
    )
    return process([checker, "--error-exitcode", "9", sys.executable, "-c", short], say, most=2) and right


PARTS: dict[str, tuple[Callable[[Say], bool], int]] = {
    "machine": (machine, 20),
    "smoke": (smoke, 90),
    "tests": (tests, 120),
    "nodes": (nodes, 40),
    "kernels": (kernels, 60),
    "sweeps": (sweeps, 90),
    "steps": (steps, 150),
    "crossover": (crossover, 60),
    "memory": (memory, 60),
}
"""Each part with the most seconds that it may take."""
