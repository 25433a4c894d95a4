"""Keras's rules: the arithmetic of ``keras.optimizers``, in the letters of :mod:`optimlab.rules.textbook`.

In this convention, epsilon stands **inside the root** in AdaGrad, RMSprop and Adadelta. In Adam it stands **outside**
the root and beside the *uncorrected* second moment. The learning rate stands **inside the velocity**. ``weight_decay``
is decoupled in every rule: ``w <- w - lr weight_decay w`` before the step. Defaults are Keras's (version 3.15).

Keras's names for the hyperparameters: ``eps`` is ``epsilon``, ``beta`` is ``momentum`` in SGD and ``rho`` in RMSprop,
``beta1`` and ``beta2`` are ``beta_1`` and ``beta_2``. Keras computes powers such as ``beta1^t`` in the dtype of the
variables; here they are computed in float64. In float32, Keras's ``1 - beta2^t`` has a relative error of 1.3e-5 at
first.

``t`` counts the steps of the optimizer, as Keras's ``iterations`` does: a layer that is unfrozen late starts with the
``t`` of all other layers.
"""

import numpy as np

from ._host import decaying_beta, decaying_beta_product
from .kinds import LION_BETA1, LION_BETA2, SECOND_MOMENT, hyperparameters

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
    "lion",
]


def sgd(w, g, *, lr=0.01, weight_decay=0.0):
    """``keras.optimizers.SGD``.

    ::

        w <- w - lr weight_decay w
        w <- w - lr g

    >>> sgd(np.array([1.0]), np.array([10.0]), lr=0.1, weight_decay=0.5)
    array([-0.05])
    """
    w = w - lr * weight_decay * w
    return w - lr * g


def momentum(w, g, m, *, lr=0.01, beta=0.9, weight_decay=0.0):
    """``keras.optimizers.SGD(momentum=beta)``; Keras's own default for ``beta`` is 0, no momentum.

    ::

        w <- w - lr weight_decay w
        m <- beta m - lr g
        w <- w + m

    >>> w, m = momentum(np.array([1.0]), np.array([10.0]), np.array([0.5]), lr=0.1, beta=0.9)
    >>> w, m
    (array([0.45]), array([-0.55]))
    """
    w = w - lr * weight_decay * w
    m = beta * m - lr * g
    return w + m, m


def nesterov(w, g, m, *, lr=0.01, beta=0.9, weight_decay=0.0):
    """``keras.optimizers.SGD(momentum=beta, nesterov=True)``.

    ::

        w <- w - lr weight_decay w
        m <- beta m - lr g
        w <- w + (beta m - lr g)

    >>> w, m = nesterov(np.array([1.0]), np.array([10.0]), np.array([0.0]), lr=0.1, beta=0.5)
    >>> w, m
    (array([-0.5]), array([-1.]))
    """
    w = w - lr * weight_decay * w
    m = beta * m - lr * g
    return w + (beta * m - lr * g), m


def adagrad(w, g, s=0.1, *, lr=1e-3, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.Adagrad``; the accumulator starts at 0.1.

    ::

        w <- w - lr weight_decay w
        s <- s + g g
        w <- w - lr g / sqrt(s + eps)

    >>> w, s = adagrad(np.array([1.0]), np.array([3.0]), np.array([16.0]), lr=0.5, eps=0.0)
    >>> w, s
    (array([0.7]), array([25.]))
    """
    w = w - lr * weight_decay * w
    s = s + g * g
    return w - lr * g / np.sqrt(s + eps), s


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop(w, g, s, *, lr=1e-3, beta=0.9, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.RMSprop``.

    ::

        w <- w - lr weight_decay w
        s <- beta s + (1 - beta) g g
        w <- w - lr g / sqrt(s + eps)

    >>> w, s = rmsprop(np.array([1.0]), np.array([2.0]), np.array([0.0]), lr=0.5, beta=0.75, eps=0.0)
    >>> w, s
    (array([0.]), array([1.]))
    """
    w = w - lr * weight_decay * w
    s = beta * s + (1 - beta) * g * g
    return w - lr * g / np.sqrt(s + eps), s


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop_momentum(w, g, s, b, *, lr=1e-3, beta=0.9, momentum=0.9, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.RMSprop(momentum=momentum)``; Keras's own default for ``momentum`` is 0.

    ::

        w <- w - lr weight_decay w
        s <- beta s + (1 - beta) g g
        b <- momentum b + lr g / sqrt(s + eps)
        w <- w - b

    The learning rate stands inside the velocity, where PyTorch has it outside.

    >>> state = (np.array([v]) for v in (1.0, 2.0, 0.0, 3.0))
    >>> w, s, b = rmsprop_momentum(*state, lr=0.5, beta=0.75, momentum=0.5, eps=0.0)
    >>> w, s, b
    (array([-1.5]), array([1.]), array([2.5]))
    """
    w = w - lr * weight_decay * w
    s = beta * s + (1 - beta) * g * g
    b = momentum * b + lr * g / np.sqrt(s + eps)
    return w - b, s, b


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop_centered(w, g, s, m, *, lr=1e-3, beta=0.9, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.RMSprop(centered=True)``.

    ::

        w <- w - lr weight_decay w
        s <- beta s + (1 - beta) g g
        m <- beta m + (1 - beta) g
        w <- w - lr g / sqrt(s - m m + eps)

    For ``beta = 0`` the difference ``s - m m`` is exactly zero, and the move is ``lr g / sqrt(eps)``. Keras agrees when
    it runs eagerly. A step compiled by XLA does not round ``m m`` before the subtraction, so the difference is a
    rounding error there.

    >>> w, s, m = rmsprop_centered(*(np.array([v]) for v in (1.0, 2.0, 0.0, 0.0)), lr=0.5, beta=0.5, eps=0.0)
    >>> w, s, m
    (array([0.]), array([2.]), array([1.]))
    """
    w = w - lr * weight_decay * w
    s = beta * s + (1 - beta) * g * g
    m = beta * m + (1 - beta) * g
    return w - lr * g / np.sqrt(s - m * m + eps), s, m


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop_centered_momentum(w, g, s, m, b, *, lr=1e-3, beta=0.9, momentum=0.9, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.RMSprop(centered=True, momentum=momentum)``: both variants combined.

    ::

        w <- w - lr weight_decay w
        s <- beta s + (1 - beta) g g
        m <- beta m + (1 - beta) g
        b <- momentum b + lr g / sqrt(s - m m + eps)
        w <- w - b

    >>> state = (np.array([v]) for v in (1.0, 2.0, 0.0, 0.0, 4.0))
    >>> w, s, m, b = rmsprop_centered_momentum(*state, lr=0.5, beta=0.5, momentum=0.5, eps=0.0)
    >>> w, m
    (array([-2.]), array([1.]))
    """
    w = w - lr * weight_decay * w
    s = beta * s + (1 - beta) * g * g
    m = beta * m + (1 - beta) * g
    b = momentum * b + lr * g / np.sqrt(s - m * m + eps)
    return w - b, s, m, b


def adadelta(w, g, s, d, *, lr=1e-3, rho=0.95, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.Adadelta``; the paper, and PyTorch, have a learning rate of 1.

    ::

        w     <- w - lr weight_decay w
        s     <- rho s + (1 - rho) g g
        delta  = sqrt(d + eps) g / sqrt(s + eps)
        d     <- rho d + (1 - rho) delta delta
        w     <- w - lr delta

    Reference: Zeiler (2012), Algorithm 1.

    >>> w, s, d = adadelta(*(np.array([v]) for v in (1.0, 2.0, 0.0, 1.0)), lr=1.0, rho=0.75, eps=0.0)
    >>> w, s, d
    (array([-1.]), array([1.]), array([1.75]))
    """
    w = w - lr * weight_decay * w
    s = rho * s + (1 - rho) * g * g
    delta = np.sqrt(d + eps) * g / np.sqrt(s + eps)
    d = rho * d + (1 - rho) * delta * delta
    return w - lr * delta, s, d


def adam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.Adam``.

    ::

        w <- w - lr weight_decay w
        m <- beta1 m + (1 - beta1) g
        s <- beta2 s + (1 - beta2) g g
        w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(s) + eps)

    Both corrections are folded into the learning rate, so epsilon meets the *uncorrected* second moment: it is the
    paper's epsilon-hat, stronger than PyTorch's by ``1 / sqrt(1 - beta2^t)``, 32 times in the first step.

    Reference: Kingma & Ba (2015), section 2, the more efficient order of computation.

    >>> w, m, s = adam(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, beta2=0.75, eps=2.0)
    >>> w.round(12)  # the root of the uncorrected s is 2, so epsilon halves the step
    array([0.75])
    """
    w = w - lr * weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    return w - lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (np.sqrt(s) + eps), m, s


def amsgrad(w, g, m, s, s_max, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.Adam(amsgrad=True)``.

    ::

        w     <- w - lr weight_decay w
        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        s_max <- max(s_max, s)
        w     <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(s_max) + eps)

    Reference: Reddi, Kale & Kumar (2018), Algorithm 2.

    >>> w, *state = amsgrad(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0, 0.064)), t=1, lr=0.5, eps=0.0)
    >>> w.round(12)
    array([0.75])
    """
    w = w - lr * weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    s_max = np.maximum(s_max, s)
    return w - lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (np.sqrt(s_max) + eps), m, s, s_max


@hyperparameters(beta2=SECOND_MOMENT.means("decay rate of the maximum"))
def adamax(w, g, m, u, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.Adamax``.

    ::

        w <- w - lr weight_decay w
        m <- beta1 m + (1 - beta1) g
        u <- max(beta2 u, |g|)
        w <- w - lr m / ((1 - beta1^t) (u + eps))

    >>> w, m, u = adamax(*(np.array([v]) for v in (1.0, -4.0, 0.0, 2.0)), t=1, lr=0.5, eps=4.0)
    >>> w.round(12), u
    (array([1.25]), array([4.]))
    """
    w = w - lr * weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    u = np.maximum(beta2 * u, np.abs(g))
    return w - lr * m / ((1 - beta1**t) * (u + eps)), m, u


def nadam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=0.0):
    """``keras.optimizers.Nadam``.

    ::

        mu_t   = beta1 (1 - 0.96^t / 2)
        w     <- w - lr weight_decay w
        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t)
        s_hat  = s / (1 - beta2^t)
        w     <- w - lr m_hat / (sqrt(s_hat) + eps)

    The momentum coefficient reaches beta1 within a hundred steps; PyTorch's takes 250 times as long.

    >>> w, m, s = nadam(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, eps=0.0)
    >>> w.round(3)
    array([0.469])
    """
    w = w - lr * weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    mu, mu_next = decaying_beta(t, beta1, 1.0), decaying_beta(t + 1, beta1, 1.0)
    product = decaying_beta_product(t, beta1, 1.0)
    m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(s_hat) + eps), m, s


def adamw(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=0.004):
    """``keras.optimizers.AdamW``: the same arithmetic as this convention's Adam, with a decay by default.

    ::

        w <- w - lr weight_decay w
        m <- beta1 m + (1 - beta1) g
        s <- beta2 s + (1 - beta2) g g
        w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(s) + eps)

    >>> w, m, s = adamw(*(np.array([v]) for v in (1.0, 0.0, 0.0, 0.0)), t=1, lr=0.5, weight_decay=0.1)
    >>> w
    array([0.95])
    """
    return adam(w, g, m, s, t=t, lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)


@hyperparameters(beta1=LION_BETA1, beta2=LION_BETA2)
def lion(w, g, m, *, lr=1e-3, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """``keras.optimizers.Lion``: moves every weight by the same length, ``lr``.

    ::

        w <- w - lr weight_decay w
        w <- w - lr sign(beta1 m + (1 - beta1) g)
        m <- beta2 m + (1 - beta2) g

    Reference: Chen et al. (2023), Algorithm 2.

    >>> w, m = lion(np.array([1.0]), np.array([-3.0]), np.array([0.0]), lr=0.5, beta2=0.75)
    >>> w, m
    (array([1.5]), array([-0.75]))
    """
    w = w - lr * weight_decay * w
    update = np.sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return w - lr * update, m
