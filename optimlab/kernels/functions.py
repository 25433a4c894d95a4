"""Functions of arrays, or of a tracer's stand-ins for them, that NumPy does not have."""

from __future__ import annotations

from typing import Any


def erf(x: Any) -> Any:
    """SciPy's error function, elementwise: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to ``x``.

    >>> erf(0.5).round(4)
    np.float64(0.5205)
    """
    if hasattr(x, "record"):
        return x.record("erf")
    from scipy import special  # imported on use: it takes as long as everything else together

    return special.erf(x)
