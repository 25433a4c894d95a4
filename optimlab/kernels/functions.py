"""Functions of arrays, or of a tracer's stand-ins for them, that NumPy does not have."""

from __future__ import annotations

from typing import Any


def erf(x: Any) -> Any:
    """Return the error function of ``x``, elementwise."""
    if hasattr(x, "record"):
        return x.record("erf")
    from scipy import special  # where it is used alone: importing it takes as long as all the rest

    return special.erf(x)
