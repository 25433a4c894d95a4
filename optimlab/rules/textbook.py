"""The textbook rules, from simple to involved.

Letters: ``w`` weights, ``g`` gradient of the loss, ``m`` and ``s`` running first and second moments,
``u`` running maximum, ``t`` number of the step from 1, ``lr`` the learning rate. All arrays have one
shape and one floating dtype; hyperparameters are Python floats. ``t`` counts the updates of the optimizer: one
counter for all parameters, frozen ones included.

Two choices define this convention, and libraries differ in both: **epsilon stands inside the root**, and
**the learning rate stands inside the velocity** of momentum.

Epsilon has a stronger effect inside the root: for a vanishing gradient the denominator becomes ``sqrt(eps)``, so the
1e-7 that is often printed acts like 3.2e-4 outside. In a trained network most gradients are smaller than that, and the
rule turns into plain gradient descent for them. After 100 epochs on the digits, RMSProp with 1e-7 has epsilon above
the second moment for 97% of its weights, and five times the training loss that it has with a small epsilon. Below
1e-12 nothing changes any more (``python benchmarks/epsilon.py``). The default here is 1e-14, which acts like 1e-7
outside.
"""

import numpy as np

from .kinds import SECOND_MOMENT, hyperparameters

# from simple to involved, not alphabetical
__all__ = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamax", "nadam", "adamw"]  # noqa: RUF022


def sgd(w, g, *, lr=0.01):
    """Stochastic gradient descent.

    ::

        w <- w - lr g

    Reference: Robbins & Monro (1951), "A stochastic approximation method".

    >>> sgd(np.array([1.0, 2.0]), np.array([10.0, -10.0]), lr=0.1)
    array([0., 3.])
    """
    return w - lr * g


def momentum(w, g, m, *, lr=0.01, beta=0.9):
    """Gradient descent with momentum (the heavy ball).

    ::

        m <- beta m - lr g
        w <- w + m

    The learning rate stands inside the velocity ``m``: after ``lr`` changes, old gradients keep their old rate.

    Reference: Polyak (1964), "Some methods of speeding up the convergence of iteration methods".

    >>> w, m = momentum(np.array([1.0]), np.array([10.0]), np.array([0.5]), lr=0.1, beta=0.9)
    >>> w, m
    (array([0.45]), array([-0.55]))
    """
    m = beta * m - lr * g
    return w + m, m


def nesterov(w, g, m, *, lr=0.01, beta=0.9):
    """Nesterov's accelerated gradient, held at the look-ahead point.

    The literal form evaluates the gradient ahead of the weights, ``g = grad L(theta + beta m)``, then
    moves ``m <- beta m - lr g; theta <- theta + m``. Here ``w`` *is* the look-ahead point
    ``theta + beta m``, where the gradient is taken anyway, and the rule becomes elementwise::

        m <- beta m - lr g
        w <- w + beta m - lr g

    The two agree step by step (with ``w = theta + beta m``, both starting from ``m = 0``).

    Reference: Nesterov (1983); this form: Sutskever et al. (2013), "On the importance of
    initialization and momentum in deep learning", equations 3-4, and Bengio et al. (2012).

    >>> w, m = nesterov(np.array([1.0]), np.array([10.0]), np.array([0.0]), lr=0.1, beta=0.5)
    >>> w, m
    (array([-0.5]), array([-1.]))
    """
    m = beta * m - lr * g
    return w + beta * m - lr * g, m


def adagrad(w, g, s, *, lr=0.01, eps=1e-14):
    """AdaGrad: each weight's rate falls with the root of the sum of its squared gradients.

    ::

        s <- s + g g
        w <- w - lr g / sqrt(s + eps)

    Epsilon stands inside the root.

    Reference: Duchi, Hazan & Singer (2011), "Adaptive subgradient methods", Figure 1 (diagonal form).

    >>> w, s = adagrad(np.array([1.0]), np.array([3.0]), np.array([16.0]), lr=0.5, eps=0.0)
    >>> w, s
    (array([0.7]), array([25.]))
    """
    s = s + g * g
    return w - lr * g / np.sqrt(s + eps), s


@hyperparameters(beta=SECOND_MOMENT)
def rmsprop(w, g, s, *, lr=1e-3, beta=0.9, eps=1e-14):
    """RMSProp: AdaGrad with an exponential average in place of the sum.

    ::

        s <- beta s + (1 - beta) g g
        w <- w - lr g / sqrt(s + eps)

    Epsilon stands inside the root. ``s`` starts at zero without a correction, so the first steps are longer than later
    ones by a factor of up to ``1 / sqrt(1 - beta)``.

    Reference: Tieleman & Hinton (2012), Coursera "Neural networks for machine learning", lecture 6.5.

    >>> w, s = rmsprop(np.array([1.0]), np.array([2.0]), np.array([0.0]), lr=0.5, beta=0.75, eps=0.0)
    >>> w, s
    (array([0.]), array([1.]))
    """
    s = beta * s + (1 - beta) * g * g
    return w - lr * g / np.sqrt(s + eps), s


def adam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    """Adam: momentum and RMSProp, both corrected for their start at zero.

    ::

        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = m / (1 - beta1^t)
        s_hat  = s / (1 - beta2^t)
        w     <- w - lr m_hat / sqrt(s_hat + eps)

    Epsilon stands inside the root and meets the corrected ``s_hat`` (the paper adds it outside).

    Reference: Kingma & Ba (2015), "Adam: a method for stochastic optimization", Algorithm 1.

    >>> w, m, s = adam(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, eps=0.0)
    >>> w.round(12)  # the first step has length lr, whatever the gradient
    array([0.5])
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / np.sqrt(s_hat + eps), m, s


@hyperparameters(beta2=SECOND_MOMENT.means("decay rate of the maximum"))
def adamax(w, g, m, u, *, t, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-7):
    """AdaMax: Adam with the infinity norm, a decaying maximum, in place of the second moment.

    ::

        m <- beta1 m + (1 - beta1) g
        u <- max(beta2 u, |g|)
        w <- w - lr / (1 - beta1^t) m / (u + eps)

    There is no root, and epsilon is added to ``u`` itself. ``u`` needs no correction.

    Reference: Kingma & Ba (2015), Algorithm 2 (which has no epsilon).

    >>> w, m, u = adamax(*(np.array([v]) for v in (1.0, -4.0, 0.0, 2.0)), t=1, lr=0.5, eps=0.0)
    >>> w.round(12), u
    (array([1.5]), array([4.]))
    """
    m = beta1 * m + (1 - beta1) * g
    u = np.maximum(beta2 * u, np.abs(g))
    return w - lr / (1 - beta1**t) * m / (u + eps), m, u


def nadam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    """Nadam: Adam with Nesterov's look-ahead of one step in the momentum.

    ::

        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        m_hat  = beta1 m / (1 - beta1^t) + (1 - beta1) g / (1 - beta1^t)
        s_hat  = s / (1 - beta2^t)
        w     <- w - lr m_hat / sqrt(s_hat + eps)

    Epsilon stands inside the root. The momentum coefficient is constant; libraries warm it up.

    Reference: Dozat (2016), "Incorporating Nesterov momentum into Adam", Algorithm 2, with a constant
    coefficient and one correction for both terms.

    >>> w, m, s = nadam(*(np.array([v]) for v in (1.0, 4.0, 0.0, 0.0)), t=1, lr=0.5, eps=0.0)
    >>> w.round(12)  # 0.9 + 1.0 times the length of Adam's first step
    array([0.05])
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = beta1 * (m / (1 - beta1**t)) + (1 - beta1) * g / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / np.sqrt(s_hat + eps), m, s


def adamw(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14, weight_decay=0.01):
    """AdamW: Adam with decoupled weight decay, kept out of the moments.

    ::

        m, s, m_hat, s_hat as in Adam
        w <- w - lr m_hat / sqrt(s_hat + eps) - lr weight_decay w

    Decay shrinks each weight by the same share, ``lr * weight_decay`` a step, whatever its gradients were.
    Epsilon stands inside the root.

    Reference: Loshchilov & Hutter (2019), "Decoupled weight decay regularization", Algorithm 2.

    >>> w, m, s = adamw(*(np.array([v]) for v in (1.0, 0.0, 0.0, 0.0)), t=1, lr=0.5, weight_decay=0.1)
    >>> w  # no gradient: decay alone
    array([0.95])
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / np.sqrt(s_hat + eps) - lr * weight_decay * w, m, s
