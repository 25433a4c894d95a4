"""The competitors of the first table: an epoch of training with Adam."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import optimlab as ol

from .clock import Turn, optional, seconds
from .jobs import DTYPE, START, Job, engines

FLOOR = "floor: matrix products"
UPDATE_FLOOR = "floor + copy of the update's bytes"


def epoch_turns(job: Job, threads: int, compiled: bool) -> dict[str, Turn | None]:
    """Every competitor by name; None for one that is not installed."""
    x, y = job.data()
    torch, sklearn, optax = optional("torch"), optional("sklearn.neural_network"), optional("optax")
    turns: dict[str, Turn | None] = {f"optimlab, {engine}": optimlab_epoch(job, x, y, engine) for engine in engines()}
    if torch:
        torch.set_num_threads(threads)
    turns["PyTorch fused"] = torch and torch_epoch(torch, job, x, y, {"fused": True})
    turns["PyTorch default"] = torch and torch_epoch(torch, job, x, y, {})
    if compiled and torch:
        turns["PyTorch compiled, fused"] = working(torch_epoch(torch, job, x, y, {"fused": True}, compiled=True))
    turns["JAX, one scan an epoch"] = optax and jax_epoch(optax, job, x, y)
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
    network = ol.MLP(job.sizes, seed=0, dtype=DTYPE, backend=engine)
    optimizer = ol.Adam(network.parameters)
    weights = network.backend.to_numpy(network.parameters.data).copy()
    state = {**optimizer.state_dict(), "t": START}

    def turn(round_: int) -> float:
        network.load(weights)
        optimizer.load_state_dict(state)
        history = ol.fit(network, optimizer, data, epochs=1, batch_size=job.batch, seed=round_, progress=False)
        return history.seconds[0]

    return turn


def torch_epoch(torch: Any, job: Job, x: Any, y: Any, settings: dict[str, Any], compiled: bool = False) -> Turn:
    layers: list[Any] = []
    for inputs, outputs in zip(job.sizes, job.sizes[1:], strict=False):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), **settings)
    weights = copy.deepcopy(network.state_dict())
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def forward(inputs: Any, labels: Any) -> tuple[Any, Any]:
        logits = network(inputs)
        return torch.nn.functional.cross_entropy(logits, labels), (logits.argmax(dim=1) == labels).sum()

    if compiled:
        forward = torch.compile(forward)

    def epoch() -> tuple[float, int]:
        total, correct = 0.0, 0
        order = torch.randperm(len(x))
        for start in range(0, len(x), job.batch):
            index = order[start : start + job.batch]
            loss, right = forward(x.index_select(0, index), y.index_select(0, index))
            total, correct = total + loss.item() * len(index), correct + int(right)
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


def jax_epoch(optax: Any, job: Job, x: Any, y: Any) -> Turn:
    """All full batches in one compiled ``lax.scan``, then the rest; the order of the rows comes from NumPy."""
    import jax
    import jax.numpy as jnp

    optimizer = optax.adam(1e-3)
    rows, labels = jnp.asarray(x), jnp.asarray(y)
    generator = np.random.default_rng(0)
    start: Any = [
        (jnp.asarray(generator.standard_normal((a, b), DTYPE) / a**0.5), jnp.zeros(b))
        for a, b in zip(job.sizes, job.sizes[1:], strict=False)
    ]
    full = len(x) // job.batch * job.batch

    def loss(parameters: Any, inputs: Any, targets: Any) -> Any:
        for k, (w, b) in enumerate(parameters):
            inputs = inputs @ w + b
            inputs = inputs if k == len(parameters) - 1 else jax.nn.relu(inputs)
        value = optax.softmax_cross_entropy_with_integer_labels(inputs, targets).mean()
        return value, (inputs.argmax(axis=1) == targets).sum()

    def step(carry: Any, index: Any) -> Any:
        parameters, state = carry
        (value, right), gradient = jax.value_and_grad(loss, has_aux=True)(parameters, rows[index], labels[index])
        updates, state = optimizer.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), (value * len(index), right)

    @jax.jit
    def epoch(carry: Any, batches: Any, rest: Any) -> Any:
        carry, (values, rights) = jax.lax.scan(step, carry, batches)
        value, right = 0.0, 0
        if len(rest):
            carry, (value, right) = step(carry, rest)
        return carry, values.sum() + value, rights.sum() + right

    def turn(round_: int) -> float:
        state = optimizer.init(start)
        carry = (start, (state[0]._replace(count=jnp.asarray(START, "int32")), *state[1:]))
        shuffle = np.random.default_rng(round_)

        def run() -> None:
            order = shuffle.permutation(len(x))
            _, value, right = epoch(carry, order[:full].reshape(-1, job.batch), order[full:])
            float(value), int(right)

        return seconds(run)

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
    """The products of every step, forward and backward, but for the gradient of the inputs, which nobody needs; by the
    library that the fastest engine has for each."""
    generator = np.random.default_rng(0)
    backend = ol.backends.get(engines()[-1])
    empty = backend.empty
    weights = [generator.standard_normal(shape, dtype=DTYPE) / shape[0] ** 0.5 for shape in job.shapes if shape[1:]]
    weight_gradients = [empty(w.shape, DTYPE) for w in weights]
    outputs = [empty((job.batch, n), DTYPE) for n in job.sizes[1:]]
    gradients = [generator.standard_normal(y.shape, dtype=DTYPE) for y in outputs]

    def step(inputs: Any) -> None:
        n = len(inputs)
        values = [inputs, *(y[:n] for y in outputs)]
        for k, w in enumerate(weights):
            backend.matmul(values[k], w, values[k + 1])
        for k in range(len(weights) - 1, -1, -1):
            backend.matmul(values[k].T, gradients[k][:n], weight_gradients[k])
            if k:
                backend.matmul(gradients[k][:n], weights[k].T, gradients[k - 1][:n])
        update()

    def epoch() -> None:
        for start in range(0, len(x), job.batch):
            step(x[start : start + job.batch])

    return lambda round_: seconds(epoch)


def copier(graph: ol.kernels.Graph, size: int) -> Callable[[], None]:
    """A function that reads and writes as many bytes as one fused step of the rule, within as many arrays."""
    ring = [ol.backends.get("numpy").zeros(size, DTYPE) for _ in graph.inputs]
    for array in ring:
        array += 1
    whole, half = divmod(graph.arrays_moved, 2)  # a copy moves two arrays: one read, one written
    pairs = [(ring[k % len(ring)], ring[(k + 1) % len(ring)]) for k in range(whole + half)]
    if half:
        pairs[-1] = (pairs[-1][0][: size // 2], pairs[-1][1][: size // 2])

    def run() -> None:
        for target, source in pairs:
            np.copyto(target, source)

    return run
