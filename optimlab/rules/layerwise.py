"""Rules that use a whole weight matrix at once: its norm, or its singular values.

They have a separate class, :class:`LayerRule`. It is called once per parameter, with arrays of the parameter's shape,
and never on the flat buffer, whose norm is that of the whole network. Signatures read like those of elementwise rules.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

__all__ = ["LayerRule", "lamb", "lars", "muon", "orthogonalized"]


class LayerRule:
    """A rule that is called once per parameter; ``@LayerRule`` makes one from a function.

    The function returns the new weights and the new states as a tuple, or only the new weights if it has no state.
    Each must be an array of the parameter's shape. Anything else raises :class:`~optimlab.RuleError`, and the step
    changes nothing.
    """

    __name__: str

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        update_wrapper(self, function)

    def __call__(self, *arrays: Any, **scalars: float) -> Any:
        return self.function(*arrays, **scalars)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle the rule by its name if a module has it under this name, else by its function, as in a script."""
        name = self.function.__qualname__
        if getattr(sys.modules.get(self.function.__module__), name, None) is self:
            return name
        rest = {key: value for key, value in vars(self).items() if key not in ("function", "__wrapped__")}
        return LayerRule, (self.function,), rest


def _trust_ratio(w: Any, update: Any, trust: float = 1.0) -> float:
    """trust ||w|| / ||update||, or 1 if either norm is zero."""
    ours, theirs = float(np.linalg.norm(w)), float(np.linalg.norm(update))
    return trust * ours / theirs if ours > 0 and theirs > 0 else 1.0


@LayerRule
def lars(w, g, m, *, lr=1.0, beta=0.9, trust=0.001, weight_decay=0.0):
    """LARS: momentum with a gradient that is scaled, layer by layer, to a fixed share of the weights' norm.

    ::

        u  = g + weight_decay w
        u <- trust ||w|| / ||u|| u        (u itself if either norm is zero)
        m <- beta m - lr u
        w <- w + m

    Equal to ``optax.lars``.

    Reference: You, Gitman & Ginsburg (2017), Algorithm 1.

    >>> w, m = lars(np.array([3.0, 4.0]), np.array([0.0, 10.0]), np.zeros(2), lr=0.5, trust=0.1)
    >>> w  # moved by lr * trust * ||w||
    array([3.  , 3.75])
    """
    u = g + weight_decay * w
    m = beta * m - lr * _trust_ratio(w, u, trust) * u
    return w + m, m


@LayerRule
def lamb(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
    """LAMB: Adam with an update that is scaled, layer by layer, to the weights' norm.

    ::

        m     <- beta1 m + (1 - beta1) g
        s     <- beta2 s + (1 - beta2) g g
        u      = m_hat / (sqrt(s_hat) + eps) + weight_decay w
        w     <- w - lr ||w|| / ||u|| u        (ratio 1 if either norm is zero)

    Equal to ``optax.lamb``.

    Reference: You et al. (2020), Algorithm 2.

    >>> w, m, s = lamb(np.array([3.0, 4.0]), np.array([0.0, 10.0]), np.zeros(2), np.zeros(2), t=1, lr=0.1)
    >>> w.round(6)  # moved by lr * ||w||
    array([3. , 3.5])
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    u = m_hat / (np.sqrt(s_hat) + eps) + weight_decay * w
    return w - lr * _trust_ratio(w, u) * u, m, s


@LayerRule
def muon(w, g, m, s, *, t, lr=0.02, beta=0.95, weight_decay=0.0, adam_lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Muon for matrices, AdamW for everything else.

    For a matrix with r rows (outputs) and c columns (inputs), with Nesterov's look-ahead::

        m <- beta m + (1 - beta) g
        u  = orthogonalized(beta m + (1 - beta) g)
        w <- (1 - lr weight_decay) w - lr sqrt(max(1, r / c)) u

    Vectors follow AdamW with ``adam_lr``, ``beta1``, ``beta2`` and ``eps``. (optimlab's weight matrices have shape
    (inputs, outputs), so rows and columns are swapped.) Equal to ``torch.optim.Muon``, except that PyTorch
    orthogonalizes in bfloat16 and optimlab in the arrays' dtype.

    Reference: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks".

    >>> w, m, s = muon(np.zeros((2, 2)), np.diag([3.0, 1.0]), np.zeros((2, 2)), np.zeros((2, 2)), t=1, lr=1.0)
    >>> bool(abs(np.linalg.svd(w)[1] - 1).max() < 0.35)  # all singular values are near one
    True
    """
    if w.ndim == 2:
        m = beta * m + (1 - beta) * g
        u = orthogonalized(beta * m + (1 - beta) * g)
        inputs, outputs = w.shape
        return (1 - lr * weight_decay) * w - lr * max(1, outputs / inputs) ** 0.5 * u, m, s
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return (1 - adam_lr * weight_decay) * w - adam_lr * m_hat / (np.sqrt(s_hat) + eps), m, s


def orthogonalized(x, steps=5):
    """Return a matrix with the singular vectors of ``x`` and singular values between about 0.7 and 1.2.

    Divide by the norm, then iterate Newton-Schulz: ``X <- a X + (b A + c A A) X`` with ``A = X X^T``. The values
    a, b, c = 3.4445, -4.7750, 2.0315 make small singular values grow fast, but do not converge exactly to 1.

    >>> u = orthogonalized(np.array([[2.0, 0.0], [0.0, 0.5], [0.0, 0.0]]))
    >>> u.shape, bool(abs(np.linalg.svd(u)[1] - 1).max() < 0.35)
    ((3, 2), True)
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    if x.shape[0] > x.shape[1]:
        return orthogonalized(x.T, steps).T
    x = x / max(float(np.linalg.norm(x)), 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
