"""Training steps on a GPU: optimlab's, PyTorch's and JAX's, and a measurement that goes on where one of them fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import optimlab as ol
from optimlab.common.errors import one_line

from .jobs import DTYPE, Job

Turn = Callable[[int], float]
"""One competitor's part of a round: seconds of a step."""

Say = Callable[..., None]
"""``say(line, **numbers)``: print a line, and keep the numbers."""

EAGER, GRAPH = "optimlab", "optimlab, graph"


def optimlab(job: Job, backend: str, graph: bool = False) -> Turn:
    """``ol.fit`` by its own clock: the second epoch, after one that compiles, and records."""
    x, y = job.data()
    data = ol.Dataset(x, y)
    net = ol.MLP(job.sizes, seed=0, dtype=DTYPE, backend=backend)
    opt = ol.Adam(net.parameters)

    def turn(round_: int) -> float:
        history = ol.fit(net, opt, data, epochs=2, batch_size=job.batch, graph=graph, progress=False)
        return history.seconds[-1] / job.steps

    return turn


def pytorch(job: Job, how: str, device: str = "cuda") -> Turn:
    """The same work by PyTorch: ``how`` is "eager", "compiled" or "graph"; Adam is fused, TF32 off, as by default."""
    import torch

    x, y = (torch.from_numpy(values).to(device) for values in job.data())
    torch.manual_seed(0)
    layers: list[Any] = []
    for inputs, outputs in zip(job.sizes, job.sizes[1:], strict=False):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True, capturable=how == "graph")
    criterion = torch.nn.CrossEntropyLoss()
    chosen, total = torch.zeros(job.batch, dtype=torch.long, device=device), torch.zeros((), device=device)

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(x.index_select(0, chosen)), y.index_select(0, chosen))
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    step: Callable[[], Any] = torch.compile(work) if how == "compiled" else work
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    if how == "graph":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            work()
        step = recorded.replay

    def epoch(round_: int) -> float:
        start = time.perf_counter()
        order = torch.randperm(job.rows, device=device)
        for first in range(0, job.rows - job.batch + 1, job.batch):
            chosen.copy_(order[first : first + job.batch])
            step()
        float(total)
        wait()
        return (time.perf_counter() - start) / (job.rows // job.batch)

    return epoch


def jax(job: Job) -> Turn:
    """An epoch as one jitted scan."""
    import jax

    from .jax_training import jax_epoch

    turn = jax_epoch(jax, job, *job.data())
    return lambda round_: turn(round_) / job.steps


def competitors(job: Job, compiled: bool) -> dict[str, Callable[[], Turn]]:
    """Functions that make each competitor's turn. ``torch.compile`` takes long to begin."""
    makers: dict[str, Callable[[], Turn]] = {
        EAGER: lambda: optimlab(job, "cupy"),
        GRAPH: lambda: optimlab(job, "cupy", graph=True),
        "PyTorch": lambda: pytorch(job, "eager"),
        "PyTorch, graph": lambda: pytorch(job, "graph"),
        "JAX, scan": lambda: jax(job),
    }
    return makers | ({"PyTorch, compiled": lambda: pytorch(job, "compiled")} if compiled else {})


def fair(makers: dict[str, Callable[[], Turn]], rounds: int, say: Say) -> dict[str, float]:
    """Median microseconds by competitor. In each round each has its turn, another one first each time.

    A competitor that fails, by whatever error, is left out, with one line that says why.
    """
    turns: dict[str, Turn] = {}
    times: dict[str, list[float]] = {}

    def attempt(name: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            turns.pop(name, None)
            times.pop(name, None)
            say(f"  {name}: left out, {type(error).__name__}: {one_line(error)[:300]}")

    for name, make in makers.items():
        turn = attempt(name, make)
        if turn is not None and attempt(name, partial(turn, 0)) is not None:
            turns[name], times[name] = turn, []
    for round_ in range(1, rounds + 1):
        names = list(turns)
        first = round_ % max(1, len(names))
        for name in names[first:] + names[:first]:
            taken = attempt(name, partial(turns[name], round_))
            if taken is not None:
                times[name].append(taken)
    return {name: float(np.median(values)) * 1e6 for name, values in times.items() if values}
