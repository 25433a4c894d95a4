"""A rule of one's own, for the study own-rule.toml: momentum whose steps are bounded, like those of a sign."""

import numpy as np


def soft_sign(w, g, m, *, lr=0.01, beta=0.9, width=0.01):
    """A sign with a soft edge: where the mean gradient is small beside ``width``, the step is proportional to it."""
    m = beta * m + (1 - beta) * g
    return w - lr * np.tanh(m / width), m
