"""The competitors that train a network: those of the first table."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np

import optimlab as ol

from .clock import Turn, optional, seconds
from .floors import copier, floor_epoch
from .jax_training import jax_epoch
from .jobs import DTYPE, START, Job, engines
from .torch_training import torch_epoch

FLOOR = "floor: matrix products"
UPDATE_FLOOR = "floor + copy of the update's bytes"


def epoch_turns(job: Job, threads: int, compiled: bool) -> dict[str, Turn | None]:
    """Every competitor by name; None for one that is not installed."""
    x, y = job.data()
    torch, sklearn, jax = optional("torch"), optional("sklearn.neural_network"), optional("jax")
    turns: dict[str, Turn | None] = {f"optimlab, {engine}": optimlab_epoch(job, x, y, engine) for engine in engines()}
    if torch:
        torch.set_num_threads(threads)
    turns["PyTorch fused"] = torch and torch_epoch(torch, job, x, y, {"fused": True})
    turns["PyTorch default"] = torch and torch_epoch(torch, job, x, y, {})
    if compiled and torch:
        turns["PyTorch compiled, fused"] = working(torch_epoch(torch, job, x, y, {"fused": True}, compiled=True))
    turns["JAX, one scan an epoch"] = jax and jax_epoch(jax, job, x, y)
    turns["scikit-learn"] = sklearn and sklearn_epoch(sklearn, job, x, y)
    adam = ol.kernels.trace(ol.rules.textbook.adam)
    turns[FLOOR] = floor_epoch(job, x, update=lambda: None)
    turns[UPDATE_FLOOR] = floor_epoch(job, x, update=copier(adam, job.parameters))
    return turns


def working(turn: Turn) -> Turn | None:
    """The turn, taken once; None where it fails: ``torch.compile`` needs a C++ compiler that suits it."""
    try:
        turn(0)
    except Exception as error:
        print(f"torch.compile: {error}", file=sys.stderr)
        return None
    return turn


def optimlab_epoch(job: Job, x: Any, y: Any, engine: str) -> Turn:
    data = ol.Dataset(x_train=x, y_train=y)
    network = ol.MLP(
        job.sizes,
        activation=job.activation,
        batch_norm=job.batch_norm,
        dropout=job.dropout,
        seed=0,
        dtype=DTYPE,
        backend=engine,
    )
    optimizer = ol.optimizers.get(job.rule)(network.parameters)
    weights = network.backend.to_numpy(network.parameters.data).copy()
    state = {**optimizer.state_dict(), "t": START}

    def turn(round_: int) -> float:
        network.load(weights)
        optimizer.load_state_dict(state)
        options = {"epochs": 1 + job.epochs, "batch_size": job.batch, "seed": round_, "progress": False}
        return sum(ol.fit(network, optimizer, data, **options).seconds[1:])  # the first records the step

    return turn


def sklearn_epoch(sklearn: Any, job: Job, x: Any, y: Any) -> Turn:
    fresh = sklearn.MLPClassifier(job.sizes[1:-1], solver="adam", batch_size=job.batch, alpha=0.0, random_state=0)
    # partial_fit never warns about convergence: it is meant to be called again
    fresh.partial_fit(x[: job.batch], y[: job.batch], classes=np.arange(job.sizes[-1]))

    def turn(round_: int) -> float:
        model = copy.deepcopy(fresh)
        return seconds(lambda: model.partial_fit(x, y))

    return turn
