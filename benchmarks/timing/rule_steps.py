"""The competitors of the second table: one step of each rule."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

import optimlab as ol

from .clock import Turn, optional, steps
from .floors import copier
from .jobs import DTYPE, START, engines

COPY = "copy"

TORCH: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "adadelta": ("Adadelta", {}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
    "radam": ("RAdam", {}),
    "adamw": ("AdamW", {}),
}

OPTAX: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("sgd", {}),
    "momentum": ("sgd", {"momentum": 0.9}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("adagrad", {}),
    "rmsprop": ("rmsprop", {}),
    "adadelta": ("adadelta", {}),
    "adam": ("adam", {}),
    "amsgrad": ("amsgrad", {}),
    "adamax": ("adamax", {}),
    "nadam": ("nadam", {}),
    "radam": ("radam", {}),
    "adabelief": ("adabelief", {}),
    "adan": ("adan", {}),
    "lion": ("lion", {}),
    "adamw": ("adamw", {}),
}


def step_turns(rule: str, size: int, repeats: int) -> dict[str, Turn | None]:
    """Every competitor by engine; None for one that is not installed, absent where it has no such optimizer."""
    torch, optax = optional("torch"), optional("optax")
    graph = ol.kernels.trace(ol.rules.find(rule))
    turns: dict[str, Turn | None] = {engine: optimlab_step(rule, size, engine, repeats) for engine in engines()}
    turns[COPY] = functools.partial(steps, copier(graph, size), repeats)
    if rule in TORCH:
        turns["PyTorch default"] = torch and torch_step(torch, size, rule, False, repeats)
        if torch and "fused" in inspect.signature(getattr(torch.optim, TORCH[rule][0])).parameters:
            turns["PyTorch fused"] = torch_step(torch, size, rule, True, repeats)
    if rule in OPTAX:
        turns["Optax jitted"] = optax and optax_step(optax, size, rule, repeats)
    return turns


def optimlab_step(rule: str, size: int, engine: str, repeats: int) -> Turn:
    network = ol.MLP([size // 100 - 1, 100], initializer="zeros", dtype=DTYPE, backend=engine)
    optimizer = ol.optimizers.get(rule)(network.parameters)
    optimizer.t = START

    def turn(round_: int) -> float:
        network.parameters.grad[...] = random_gradient(network.parameters.data.size, round_)
        with network.backend.quiet():
            return steps(optimizer.step, repeats)

    return turn


def torch_step(torch: Any, size: int, rule: str, fused: bool, repeats: int) -> Turn:
    """PyTorch's optimizer over the same two tensors."""
    tensors = [torch.nn.Parameter(torch.zeros(n)) for n in (size - 100, 100)]
    for tensor in tensors:
        tensor.grad = torch.zeros_like(tensor)
    name, settings = TORCH[rule]
    settings = settings | {"lr": 0.001} | ({"fused": True} if fused else {})
    optimizer = getattr(torch.optim, name)(tensors, **settings)

    def turn(round_: int) -> float:
        values = torch.from_numpy(random_gradient(size, round_))
        for tensor, part in zip(tensors, values.split([t.numel() for t in tensors]), strict=True):
            tensor.grad.copy_(part)
        return steps(optimizer.step, repeats)

    return turn


def optax_step(optax: Any, size: int, rule: str, repeats: int) -> Turn:
    """One compiled update that may overwrite its arguments."""
    import jax
    import jax.numpy as jnp

    name, settings = OPTAX[rule]
    optimizer = getattr(optax, name)(0.001, **settings)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(parameters: Any, state: Any, gradient: Any) -> Any:
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state

    parameters = [jnp.zeros(n) for n in (size - 100, 100)]
    carry = [parameters, optimizer.init(parameters)]

    def turn(round_: int) -> float:
        values = random_gradient(size, round_)
        gradient = [jnp.asarray(values[:-100]), jnp.asarray(values[-100:])]

        def step() -> None:
            carry[:] = jax.block_until_ready(update(*carry, gradient))

        return steps(step, repeats)

    return turn


@functools.lru_cache(maxsize=1)  # all competitors of one round share it
def random_gradient(size: int, round_: int) -> Any:
    """New in each round: under one and the same gradient, or none, moments end among the subnormal numbers."""
    return np.random.default_rng(round_).standard_normal(size, dtype=DTYPE)
