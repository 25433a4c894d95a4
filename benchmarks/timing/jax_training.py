"""JAX as a competitor: the whole training in one jitted scan, with nothing but JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .clock import Turn, seconds
from .jobs import DTYPE, START, Job

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
RUNNING, VARIANCE_EPSILON = 0.9, 1e-5


def activations(jax: Any) -> dict[str, Any]:
    """JAX's functions by optimlab's names; GELU is the exact one."""
    jnn = jax.nn
    named = {name: getattr(jnn, name) for name in ("relu", "leaky_relu", "elu", "mish", "tanh", "sigmoid", "softplus")}
    return {**named, "swish": jnn.silu, "gelu": partial(jnn.gelu, approximate=False)}


def start(jax: Any, job: Job) -> tuple[Any, Any]:
    """New parameters of each layer, and the running means and variances of those with batch norm."""
    jnp, generator = jax.numpy, np.random.default_rng(0)
    parameters, running = [], []
    for k, (inputs, outputs) in enumerate(zip(job.sizes, job.sizes[1:], strict=False)):
        layer = {
            "w": jnp.asarray(generator.standard_normal((inputs, outputs), DTYPE) / inputs**0.5),
            "b": jnp.zeros(outputs),
        }
        if job.batch_norm and k < len(job.sizes) - 2:
            layer |= {"gamma": jnp.ones(outputs), "beta": jnp.zeros(outputs)}
            running.append((jnp.zeros(outputs), jnp.ones(outputs)))
        parameters.append(layer)
    return parameters, running


def logits(jax: Any, job: Job, parameters: Any, running: Any, x: Any, key: Any) -> tuple[Any, Any]:
    """Outputs in training mode, and the running means and variances after this batch."""
    jnp, activation, moved = jax.numpy, activations(jax)[job.activation], []
    for k, layer in enumerate(parameters[:-1]):
        x = x @ layer["w"] + layer["b"]
        if job.batch_norm:
            mean, variance = x.mean(0), x.var(0)
            old = running[k]
            moved.append(tuple(RUNNING * o + (1 - RUNNING) * n for o, n in zip(old, (mean, variance), strict=True)))
            x = (x - mean) * jax.lax.rsqrt(variance + VARIANCE_EPSILON) * layer["gamma"] + layer["beta"]
        x = activation(x)
        if job.dropout:
            kept = jax.random.bernoulli(jax.random.fold_in(key, k), 1 - job.dropout, x.shape)
            x = jnp.where(kept, x / (1 - job.dropout), 0.0)
    return x @ parameters[-1]["w"] + parameters[-1]["b"], moved


def cross_entropy(jax: Any, outputs: Any, labels: Any) -> tuple[Any, Any]:
    """Mean loss, and how many rows are right."""
    jnp = jax.numpy
    log_p = jax.nn.log_softmax(outputs)
    value = -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()
    return value, (outputs.argmax(axis=1) == labels).sum()


def update(jax: Any, rule: str, parameters: Any, moments: Any, gradient: Any, t: Any, lr: Any) -> tuple[Any, Any]:
    """One step of SGD or Adam, as Optax makes it; ``moments`` is None for SGD."""
    each = jax.tree_util.tree_map
    if rule == "sgd":
        return each(lambda w, g: w - lr * g, parameters, gradient), moments
    m = each(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], gradient)
    s = each(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, moments[1], gradient)
    c1, c2 = 1 - BETA1**t, 1 - BETA2**t

    def moved(w: Any, m: Any, s: Any) -> Any:
        return w - lr * (m / c1) / (jax.numpy.sqrt(s / c2) + EPSILON)

    return each(moved, parameters, m, s), (m, s)


def zero_moments(jax: Any, rule: str, parameters: Any) -> Any:
    zeros = partial(jax.tree_util.tree_map, jax.numpy.zeros_like, parameters)
    return None if rule == "sgd" else (zeros(), zeros())


def jax_epoch(jax: Any, job: Job, x: Any, y: Any) -> Turn:
    """All full batches in one compiled ``lax.scan``, then the rest, for each epoch; arguments are donated. The order
    of the rows comes from NumPy, each step gathers its batch."""
    jnp = jax.numpy
    rows, labels = jnp.asarray(x), jnp.asarray(y)
    full = len(x) // job.batch * job.batch

    def loss(parameters: Any, running: Any, index: Any, key: Any) -> Any:
        outputs, running = logits(jax, job, parameters, running, rows[index], key)
        value, right = cross_entropy(jax, outputs, labels[index])
        return value, (running, right)

    def step(carry: Any, index: Any) -> Any:
        parameters, moments, running, t, key = carry
        t, (key, own) = t + 1, jax.random.split(key) if job.dropout else (key, key)
        (value, (running, right)), g = jax.value_and_grad(loss, has_aux=True)(parameters, running, index, own)
        parameters, moments = update(jax, job.rule, parameters, moments, g, t, 1e-3)
        return (parameters, moments, running, t, key), (value * len(index), right)

    def epoch(carry: Any, orders: Any) -> Any:
        batches, rest = orders
        carry, (values, rights) = jax.lax.scan(step, carry, batches)
        value, right = 0.0, 0
        if rest.size:
            carry, (value, right) = step(carry, rest)
        return carry, (values.sum() + value, rights.sum() + right)

    @partial(jax.jit, donate_argnums=0)
    def epochs(carry: Any, batches: Any, rest: Any) -> Any:
        if job.epochs == 1:
            return epoch(carry, (batches[0], rest[0]))
        return jax.lax.scan(epoch, carry, (batches, rest))

    def turn(round_: int) -> float:
        parameters, running = start(jax, job)
        moments = zero_moments(jax, job.rule, parameters)
        carry = (parameters, moments, running, jnp.float32(START), jax.random.PRNGKey(round_))
        jax.block_until_ready(carry)
        shuffle = np.random.default_rng(round_)

        def run() -> None:
            orders = np.stack([shuffle.permutation(len(x)) for _ in range(job.epochs)])
            batches = orders[:, :full].reshape(job.epochs, -1, job.batch)
            _, (value, right) = epochs(carry, batches, orders[:, full:])
            np.asarray(value), np.asarray(right)

        return seconds(run)

    return turn
