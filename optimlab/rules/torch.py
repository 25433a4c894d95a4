"""PyTorch's rules: the arithmetic of ``torch.optim``, in the letters of :mod:`optimlab.rules.textbook`.

Read both files side by side. In this convention, **epsilon stands outside the root** and the learning rate stands
**outside the velocity**. ``weight_decay`` is an L2 penalty that is added to the gradient, except in AdamW. Defaults
are PyTorch's (version 2.13).

``t`` counts the steps of each parameter. Frozen parameters do not count, so a parameter that is unfrozen late starts
at t = 1. The other conventions have one counter for all parameters.

PyTorch's names for the hyperparameters: ``beta`` is ``momentum`` in SGD and ``alpha`` in RMSprop, and ``beta1`` and
``beta2`` are ``betas``. ``rho``, and ``momentum`` in the variants of RMSprop, have the same names in PyTorch.
"""

import numpy as np

from ._host import decaying_beta, decaying_beta_product
from .kinds import SECOND_MOMENT, hyperparameters

# from simple to involved, not alphabetical
__all__ = [  # noqa: RUF022
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "rmsprop_momentum",
    "rmsprop_centered",
    "rmsprop_centered_momentum",
    "adadelta",
    "adam",
    "amsgrad",
    "adamax",
    "nadam",
    "adamw",
]


def sgd(w, g, *, lr=1e-3, weight_decay=0.0):
    """``torch.optim.SGD``.

    ::

        g <- g + weight_decay w
        w <- w - lr g

    >>> sgd(np.array([1.0]), np.array([10.0]), lr=0.1, weight_decay=0.5)
    array([-0.05])
    """
    g = g + weight_decay * w
    return w - lr * g


def momentum(w, g, b, *, t, lr=1e-3, beta=0.9, dampening=0.0, weight_decay=0.0):
    """``torch.optim.SGD(momentum=beta)``; PyTorch's own default for ``beta`` is 0, no momentum.

    ::

        g <- g + weight_decay w
        b <- beta b + (1 - dampening) g        (without dampening in the first step, and for beta = 0)
        w <- w - lr b

    The learning rate stands outside the velocity: after ``lr`` changes, old gradients move at the new rate too.
    PyTorch leaves ``b`` unchanged while ``beta`` is 0. The difference shows only if ``beta`` rises again later.

    >>> w, b = momentum(np.array([1.0]), np.array([10.0]), np.array([5.0]), t=2, lr=0.1, beta=0.5)
    >>> w, b
    (array([-0.25]), array([12.5]))
    """
    g = g + weight_decay * w
    b = beta * b + (1 - dampening * (t > 1) * (beta > 0)) * g
    return w - lr * b, b


def nesterov(w, g, b, *, lr=1e-3, beta=0.9, weight_decay=0.0):
    """``torch.optim.SGD(momentum=beta, nesterov=True)``.

    ::

        g <- g + weight_decay w
        b <- beta b + g
        w <- w - lr (g + beta b)

    >>> w, b = nesterov(np.array([1.0]), np.array([10.0]), np.array([0.0]), lr=0.1, beta=0.5)
    >>> w, b
    (array([-0.5]), array([10.]))
    """
    g = g + weight_decay * w
    b = beta * b + g
    return w - lr * (g + beta * b), b


def adagrad(w, g, s, *, t, lr=0.01, eps=1e-10, lr_decay=0.0, weight_decay=0.0):
    """``torch.optim.Adagrad``.

    ::

        g <- g + weight_decay w
        s <- s + g g
        w <- w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    >>> w, s = adagrad(np.array([1.0]), np.array([3.0]), np.array([16.0]), t=1, lr=0.5, eps=0.0)
    >>> w, s
    (array([0.7]), array([25.]))
    """
    g = g + weight_decay * w
    s = s + g * g
    return w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps), s


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop(w, g, s, *, lr=0.01, beta=0.99, eps=1e-8, weight_decay=0.0):
    """``torch.optim.RMSprop``.

    ::

        g <- g + weight_decay w
        s <- beta s + (1 - beta) g g
        w <- w - lr g / (sqrt(s) + eps)

    >>> w, s = rmsprop(np.array([1.0]), np.array([2.0]), np.array([0.0]), lr=0.5, beta=0.75, eps=1.0)
    >>> w, s
    (array([0.5]), array([1.]))
    """
    g = g + weight_decay * w
    s = beta * s + (1 - beta) * g * g
    return w - lr * g / (np.sqrt(s) + eps), s


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop_momentum(w, g, s, b, *, lr=0.01, beta=0.99, momentum=0.9, eps=1e-8, weight_decay=0.0):
    """``torch.optim.RMSprop(momentum=momentum)``; PyTorch's own default for ``momentum`` is 0.

    ::

        g <- g + weight_decay w
        s <- beta s + (1 - beta) g g
        b <- momentum b + g / (sqrt(s) + eps)
        w <- w - lr b

    >>> state = (np.array([v]) for v in (1.0, 2.0, 0.0, 3.0))
    >>> w, s, b = rmsprop_momentum(*state, lr=0.5, beta=0.75, momentum=0.5, eps=1.0)
    >>> w, s, b
    (array([-0.25]), array([1.]), array([2.5]))
    """
    g = g + weight_decay * w
    s = beta * s + (1 - beta) * g * g
    b = momentum * b + g / (np.sqrt(s) + eps)
    return w - lr * b, s, b


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop_centered(w, g, s, m, *, lr=0.01, beta=0.99, eps=1e-8, weight_decay=0.0):
    """``torch.optim.RMSprop(centered=True)``: division by the standard deviation instead.

    ::

        g <- g + weight_decay w
        s <- beta s + (1 - beta) g g
        m <- m + (1 - beta) (g - m)
        w <- w - lr g / (sqrt(s - m m) + eps)

    ``m`` is written as PyTorch computes it. For a constant gradient, ``s - m m`` tends to zero and may round to a
    negative number, whose root is NaN. With ``beta m + (1 - beta) g`` this happens eight times as often. For
    ``beta = 0``, ``s - m m`` is only rounding error, in PyTorch too.

    >>> w, s, m = rmsprop_centered(*(np.array([v]) for v in (1.0, 2.0, 0.0, 0.0)), lr=0.5, beta=0.5, eps=0.0)
    >>> w, s, m
    (array([0.]), array([2.]), array([1.]))
    """
    g = g + weight_decay * w
    s = beta * s + (1 - beta) * g * g
    m = m + (1 - beta) * (g - m)
    return w - lr * g / (np.sqrt(s - m * m) + eps), s, m


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop_centered_momentum(w, g, s, m, b, *, lr=0.01, beta=0.99, momentum=0.9, eps=1e-8, weight_decay=0.0):
    """``torch.optim.RMSprop(centered=True, momentum=momentum)``: both variants combined.

    ::

        g <- g + weight_decay w
        s <- beta s + (1 - beta) g g
        m <- m + (1 - beta) (g - m)
        b <- momentum b + g / (sqrt(s - m m) + eps)
        w <- w - lr b

    >>> state = (np.array([v]) for v in (1.0, 2.0, 0.0, 0.0, 4.0))
    >>> w, s, m, b = rmsprop_centered_momentum(*state, lr=0.5, beta=0.5, momentum=0.5, eps=0.0)
    >>> w, m
    (array([-1.]), array([1.]))
    """
    g = g + weight_decay * w
    s = beta * s + (1 - beta) * g * g
    m = m + (1 - beta) * (g - m)
    b = momentum * b + g / (np.sqrt(s - m * m) + eps)
    return w - lr * b, s, m, b


def adadelta(w, g, s, d, *, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    """``torch.optim.Adadelta``: the size of past moves sets the rate.

    ::

        g     <- g + weight_decay w
        s     <- rho s + (1 - rho) g g
        delta  = sqrt(d + eps) / sqrt(s + eps) g
        d     <- rho d + (1 - rho) delta delta
        w     <- w - lr delta

    Here epsilon stands inside both roots. Without it, the first step would be zero.

    Reference: Zeiler (2012), Algorithm 1.

    >>> w, s, d = adadelta(*(np.array([v]) for v in (1.0, 2.0, 0.0, 1.0)), rho=0.75, eps=0.0)
    >>> w, s, d
    (array([-1.]), array([1.]), array([1.75]))
    """
    g = g + weight_decay * w
    s = rho * s + (1 - rho) * g * g
    delta = np.sqrt(d + eps) / np.sqrt(s + eps) * g
    d = rho * d + (1 - rho) * delta * delta
    return w - lr * delta, s, d


def adam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """``torch.optim.Adam``.

    ::

        g     <- g + weight_decay w
        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = m / (1 - beta1^t)
        w     <- w - lr m_hat / (sqrt(s) / sqrt(1 - beta2^t) + eps)

    Epsilon stands outside the root and meets the corrected second moment, as in the paper's Algorithm 1.

    >>> w, m, s = adam(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, eps=4.0)
    >>> w.round(12)  # epsilon as large as the gradient halves the step
    array([0.75])
    """
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    return w - lr * m_hat / (np.sqrt(s) / (1 - beta2**t) ** 0.5 + eps), m, s


def amsgrad(w, g, m, s, s_max, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """``torch.optim.Adam(amsgrad=True)``: the denominator never shrinks.

    ::

        g     <- g + weight_decay w
        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        s_max <- max(s_max, s)
        m_hat  = m / (1 - beta1^t)
        w     <- w - lr m_hat / (sqrt(s_max) / sqrt(1 - beta2^t) + eps)

    The maximum is taken of the uncorrected ``s``; the correction follows.

    Reference: Reddi, Kale & Kumar (2018), Algorithm 2.

    >>> w, *state = amsgrad(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0, 0.064)), t=1, lr=0.5, eps=0.0)
    >>> w.round(12)
    array([0.75])
    """
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    s_max = np.maximum(s_max, s)
    m_hat = m / (1 - beta1**t)
    return w - lr * m_hat / (np.sqrt(s_max) / (1 - beta2**t) ** 0.5 + eps), m, s, s_max


@hyperparameters(beta2=SECOND_MOMENT.means("decay rate of the maximum"))
def adamax(w, g, m, u, *, t, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """``torch.optim.Adamax``.

    ::

        g <- g + weight_decay w
        m <- beta1 m + (1 - beta1) g
        u <- max(beta2 u, |g| + eps)
        w <- w - lr / (1 - beta1^t) m / u

    Epsilon is added inside the maximum, so it stays in ``u``.

    >>> w, m, u = adamax(*(np.array([v]) for v in (1.0, -4.0, 0.0, 2.0)), t=1, lr=0.5, eps=4.0)
    >>> w.round(12), u
    (array([1.25]), array([8.]))
    """
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    u = np.maximum(beta2 * u, np.abs(g) + eps)
    return w - lr / (1 - beta1**t) * m / u, m, u


def nadam(w, g, m, s, *, t, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=0.004, weight_decay=0.0):
    """``torch.optim.NAdam``.

    ::

        mu_t   = beta1 (1 - 0.96^(t momentum_decay) / 2)
        g     <- g + weight_decay w
        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t)
        s_hat  = s / (1 - beta2^t)
        w     <- w - lr m_hat / (sqrt(s_hat) + eps)

    The momentum coefficient warms up from about beta1 / 2, very slowly with ``momentum_decay=0.004``.

    >>> w, m, s = nadam(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, eps=0.0)
    >>> w.round(3)  # (1 - mu_1) g / (1 - mu_1) alone has length lr; m adds a little
    array([0.472])
    """
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    mu, mu_next = decaying_beta(t, beta1, momentum_decay), decaying_beta(t + 1, beta1, momentum_decay)
    product = decaying_beta_product(t, beta1, momentum_decay)
    m_hat = mu_next / (1 - product * mu_next) * m + (1 - mu) / (1 - product) * g
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(s_hat) + eps), m, s


def adamw(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """``torch.optim.AdamW``: decoupled decay, before the step.

    ::

        w     <- (1 - lr weight_decay) w
        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = m / (1 - beta1^t)
        w     <- w - lr m_hat / (sqrt(s) / sqrt(1 - beta2^t) + eps)

    >>> w, m, s = adamw(*(np.array([v]) for v in (1.0, 0.0, 0.0, 0.0)), t=1, lr=0.5, weight_decay=0.1)
    >>> w
    array([0.95])
    """
    w = (1 - lr * weight_decay) * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    return w - lr * m_hat / (np.sqrt(s) / (1 - beta2**t) ** 0.5 + eps), m, s
