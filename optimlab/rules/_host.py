"""Functions of hyperparameters and ``t`` that a rule may call; computed once a step, in Python's float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

__all__ = ["decaying_beta", "decaying_beta_product", "host"]


def host(function: Callable[..., float]) -> Callable[..., float]:
    """Let a function of numbers be traced: called with the tracer's scalars, it is recorded, not run.

    >>> @host
    ... def warm(t, steps):
    ...     return min(1.0, t / steps)
    >>> warm(3, 10)
    0.3
    """

    @wraps(function)
    def call(*arguments: float) -> float:
        for value in arguments:
            if hasattr(value, "record_call"):
                recorded: float = value.record_call(call, arguments)
                return recorded
        return float(function(*arguments))

    return call


@host
def decaying_beta(t: int, beta1: float, momentum_decay: float) -> float:
    """Nadam's momentum coefficient at step t: ``mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)``.

    Reference: Dozat (2016), section 3.2.

    >>> decaying_beta(1, 0.9, 1.0)
    0.468
    """
    return float(beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)))


_products: dict[tuple[float, float], list[float]] = {}


@host
def decaying_beta_product(t: int, beta1: float, momentum_decay: float) -> float:
    """``mu_1 mu_2 ... mu_t``; every product is computed once and kept.

    >>> decaying_beta_product(2, 0.9, 1.0) == decaying_beta(1, 0.9, 1.0) * decaying_beta(2, 0.9, 1.0)
    True
    """
    known = _products.setdefault((beta1, momentum_decay), [1.0])
    while len(known) <= t:
        known.append(known[-1] * decaying_beta(len(known), beta1, momentum_decay))
    return known[t]
