"""Rules beyond the textbook, as their papers print them, in the letters of :mod:`optimlab.rules.textbook`.

Epsilon stands where the paper has it: outside the root, unless stated otherwise. Each rule is tested against the
implementation it names. Sophia is missing because it needs an estimate of the Hessian besides the gradient.
"""

import numpy as np

from ._host import rectification
from .kinds import FIRST_MOMENT, LION_BETA1, LION_BETA2, SECOND_MOMENT, hyperparameters

# by the year of the paper, not alphabetical
__all__ = ["adadelta", "amsgrad", "radam", "adabelief", "adan", "lion", "schedule_free_adamw"]  # noqa: RUF022


def adadelta(w, g, s, d, *, lr=1.0, rho=0.95, eps=1e-6):
    """Adadelta: the size of past moves sets the rate.

    ::

        s     <- rho s + (1 - rho) g g
        delta  = sqrt(d + eps) / sqrt(s + eps) g
        d     <- rho d + (1 - rho) delta delta
        w     <- w - lr delta

    Epsilon stands inside both roots. Without it, the first step would be zero. The paper has no learning rate
    (``lr`` is 1). Equal to ``torch.optim.Adadelta`` and ``optax.adadelta``, whose ``rho`` is 0.9 by default.

    Reference: Zeiler (2012), Algorithm 1.

    >>> w, s, d = adadelta(*(np.array([v]) for v in (1.0, 2.0, 0.0, 1.0)), rho=0.75, eps=0.0)
    >>> w, s, d
    (array([-1.]), array([1.]), array([1.75]))
    """
    s = rho * s + (1 - rho) * g * g
    delta = np.sqrt(d + eps) / np.sqrt(s + eps) * g
    d = rho * d + (1 - rho) * delta * delta
    return w - lr * delta, s, d


def amsgrad(w, g, m, s, s_max, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """AMSGrad: Adam with a denominator that never shrinks.

    ::

        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = m / (1 - beta1^t)
        s_hat  = s / (1 - beta2^t)
        s_max <- max(s_max, s_hat)
        w     <- w - lr m_hat / (sqrt(s_max) + eps)

    The maximum is taken of the *corrected* moment, as in ``optax.amsgrad``; PyTorch and Keras take it of the
    uncorrected one. (The paper corrects neither.)

    Reference: Reddi, Kale & Kumar (2018), Algorithm 2.

    >>> w, *state = amsgrad(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0, 64.0)), t=1, lr=0.5, eps=0.0)
    >>> w.round(12)
    array([0.75])
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    s_max = np.maximum(s_max, s_hat)
    return w - lr * m_hat / (np.sqrt(s_max) + eps), m, s, s_max


def radam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """RAdam: Adam that moves by momentum alone until its second moment can be trusted.

    ::

        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = m / (1 - beta1^t)
        r      = rectification(t, beta2), 0 in the first steps (5 for beta2 = 0.999)
        scale  = r sqrt(1 - beta2^t) / (sqrt(s) + eps) if r > 0, else 1
        w     <- w - lr m_hat scale

    Equal to ``torch.optim.RAdam``. (In ``optax.radam`` epsilon meets the corrected second moment.)

    Reference: Liu et al. (2020), Algorithm 2.

    >>> w, m, s = radam(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5)
    >>> w.round(12)  # the first step is one of plain momentum
    array([-1.])
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    r = rectification(t, beta2)
    scale = r * (1 - beta2**t) ** 0.5 / (np.sqrt(s) + eps) + (r == 0)
    return w - lr * m_hat * scale, m, s


@hyperparameters(beta2=SECOND_MOMENT.means("decay rate of the variance of the gradients"))
def adabelief(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-16):
    """AdaBelief: Adam with the gradients' spread around their mean in the denominator, not their size.

    ::

        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) (g - m)^2 + eps
        m_hat  = m / (1 - beta1^t)
        s_hat  = s / (1 - beta2^t)
        w     <- w - lr m_hat / (sqrt(s_hat) + eps)

    Epsilon is added twice, once inside the running average. Equal to ``optax.adabelief`` with ``eps_root = eps``.

    Reference: Zhuang et al. (2020), Algorithm 2.

    >>> w, m, s = adabelief(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, beta1=0.5, eps=0.0)
    >>> w.round(12), m
    (array([0.]), array([2.]))
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(s_hat) + eps), m, s


@hyperparameters(beta2=SECOND_MOMENT.means("decay rate of the mean difference of gradients"))
def adan(w, g, m, v, n, p, *, t, lr=1e-3, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8, weight_decay=0.0):
    """Adan: Nesterov's acceleration by the difference of gradients; ``p`` keeps the previous gradient.

    ::

        d      = g - p (0 in the first step);  p <- g
        m     <- beta1 m + (1 - beta1) g
        v     <- beta2 v + (1 - beta2) d
        n     <- beta3 n + (1 - beta3) (g + (1 - beta2) d)^2
        move   = (m_hat + (1 - beta2) v_hat) / (sqrt(n_hat) + eps), each hat / (1 - beta^t)
        w     <- w - lr (move + weight_decay w)

    Equal to ``optax.adan(eps_root=0)``; Optax's default adds 1e-8 inside the root as well. (The paper divides the
    new weights by 1 + lr weight_decay instead, and writes 1 - beta for each beta.)

    Reference: Xie et al. (2022), Algorithm 1.

    >>> state = (np.array([v]) for v in (1.0, 4.0, 0.0, 0.0, 0.0, 0.0))
    >>> w, m, v, n, p = adan(*state, t=1, lr=0.5)
    >>> w.round(6), v, p
    (array([0.5]), array([0.]), array([4.]))
    """
    d = (g - p) * (t > 1)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * d
    n = beta3 * n + (1 - beta3) * (g + (1 - beta2) * d) ** 2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    n_hat = n / (1 - beta3**t)
    move = (m_hat + (1 - beta2) * v_hat) / (np.sqrt(n_hat) + eps)
    return w - lr * (move + weight_decay * w), m, v, n, g


@hyperparameters(beta1=LION_BETA1, beta2=LION_BETA2)
def lion(w, g, m, *, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """Lion: steps of the same length for every weight, in the direction of the momentum's sign.

    ::

        move  = sign(beta1 m + (1 - beta1) g)
        m    <- beta2 m + (1 - beta2) g
        w    <- w - lr (move + weight_decay w)

    The paper advises learning rates 3 to 10 times smaller than Adam's, and weight decays larger by the same factor.
    Equal to ``optax.lion``.

    Reference: Chen et al. (2023), Algorithm 2.

    >>> w, m = lion(np.array([1.0]), np.array([-3.0]), np.array([0.0]), lr=0.5, beta2=0.75)
    >>> w, m
    (array([1.5]), array([-0.75]))
    """
    move = np.sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return w - lr * (move + weight_decay * w), m


@hyperparameters(beta1=FIRST_MOMENT.means("place of the weights on the way from z, at 0, to x, at 1", "(0, 1)"))
def schedule_free_adamw(w, g, d, s, *, t, lr=2.5e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Schedule-Free AdamW: an average of the weights replaces a falling learning rate.

    ``z`` makes the steps, ``x`` is the running mean of ``z``, and gradients are taken between them, at
    ``w = (1 - beta1) z + beta1 x``. The state is ``d = z - w``, which starts at zero::

        s     <- beta2 s + (1 - beta2) g g
        s_hat  = s / (1 - beta2^t)
        z     <- z - lr (g / (sqrt(s_hat) + eps) + weight_decay w)
        x     <- (1 - 1/t) x + (1/t) z
        w     <- (1 - beta1) z + beta1 x

    The learning rate must not rise: the mean weights all steps equally. The authors' code weights them by the square
    of the largest rate so far, to discount a warm-up. Evaluate the network at ``x = w - (1 - beta1) / beta1 d``.
    Equal to ``optax.contrib.schedule_free_adamw`` without warm-up.

    Reference: Defazio et al. (2024), Algorithm 1.

    >>> w, d, s = schedule_free_adamw(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, eps=0.0)
    >>> w.round(12), d.round(12)
    (array([0.5]), array([0.]))
    """
    s = beta2 * s + (1 - beta2) * g * g
    s_hat = s / (1 - beta2**t)
    z = w + d
    x = (w - (1 - beta1) * z) / beta1
    z = z - lr * (g / (np.sqrt(s_hat) + eps) + weight_decay * w)
    x = (1 - 1 / t) * x + 1 / t * z
    w = (1 - beta1) * z + beta1 * x
    return w, z - w, s
