"""Functions of arrays, or of a tracer's stand-ins for them, that NumPy does not have."""

from __future__ import annotations

from typing import Any


def erf(x: Any) -> Any:
    """The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to ``x``, elementwise; SciPy's.

    >>> erf(0.5).round(4)
    np.float64(0.5205)
    """
    if hasattr(x, "record"):
        return x.record("erf")
    from scipy import special  # where it is used alone: importing it takes as long as all the rest

    return special.erf(x)
