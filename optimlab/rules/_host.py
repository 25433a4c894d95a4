"""Functions of hyperparameters and ``t`` that a rule may call. They run once per step, in Python's float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature

__all__ = ["decaying_beta", "decaying_beta_product", "host", "rectification"]


def host(function: Callable[..., float]) -> Callable[..., float]:
    """Make a function of numbers traceable: with the tracer's scalars, a call is recorded, not run.

    >>> @host
    ... def warm(t, steps):
    ...     return min(1.0, t / steps)
    >>> warm(3, 10)
    0.3
    """

    @wraps(function)
    def call(*arguments: float, **named: float) -> float:
        if named:
            bound = signature(function).bind(*arguments, **named)
            if bound.kwargs:
                raise TypeError(
                    f"{function.__name__}: a host function takes no keyword-only arguments; remove the * before them"
                )
            arguments = bound.args
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


_kept: dict[float, dict[int, float]] = {}


def kept(key: float) -> dict[int, float]:
    """Return the table of a key, ``{0: 1.0}`` at first, for the caller to fill in order.

    Threads may fill one table at the same time: an entry depends only on its index, so all write the same number.
    """
    if key not in _kept and len(_kept) >= 16:  # a key that changes with every step
        _kept.clear()
    return _kept.setdefault(key, {0: 1.0})


@host
def decaying_beta_product(t: int, beta1: float, momentum_decay: float) -> float:
    """``mu_1 mu_2 ... mu_t``, as ``beta1^t`` times a cached product that depends only on ``momentum_decay``.

    If ``beta1`` changes from step to step, the result is as if the present ``beta1`` had applied from the start;
    libraries multiply the values that were actually used.

    >>> both = decaying_beta(1, 0.9, 1.0) * decaying_beta(2, 0.9, 1.0)
    >>> abs(decaying_beta_product(2, 0.9, 1.0) - both) < 1e-15
    True
    """
    power = float(beta1**t)
    if power == 0:  # the product is 0 too, so the table need not grow after thousands of steps
        return 0.0
    known = kept(momentum_decay)
    for k in range(len(known), t + 1):
        known[k] = known[k - 1] * decaying_beta(k, 1.0, momentum_decay)
    return power * known[t]


@host
def rectification(t: int, beta2: float) -> float:
    """RAdam's correction of the adaptive rate's variance at step t; 0 while it cannot be computed yet.

    ::

        rho_inf = 2 / (1 - beta2) - 1        rho = rho_inf - 2 t beta2^t / (1 - beta2^t)
        r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)) where rho > 5

    Reference: Liu et al. (2020), Algorithm 2 (which tests for rho > 4; implementations test for 5).

    >>> [round(rectification(t, 0.999), 4) for t in (5, 6, 1000)]
    [0.0, 0.0258, 0.6453]
    """
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 5:
        return 0.0
    return float(((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5)
