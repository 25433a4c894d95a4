"""Working arrays that are allocated once."""

from __future__ import annotations

import math
from typing import Any

from ..backends import Array, Backend


class Buffers:
    """Working arrays by key. Shapes of one key share memory: a smaller array is the front of a larger one."""

    def __init__(self, backend: Backend, dtype: str) -> None:
        self._backend, self._dtype = backend, dtype
        self._flat: dict[str, Array] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Array] = {}

    def get(self, key: str, shape: tuple[int, ...]) -> Array:
        """Return the array with this key and shape, holding whatever was last written under the key.

        >>> from optimlab import backends
        >>> buffers = Buffers(backends.get("numpy"), "float32")
        >>> buffers.get("y", (2, 3)) is buffers.get("y", (2, 3))
        True
        """
        view = self._views.get((key, shape))
        if view is None:
            size, flat = math.prod(shape), self._flat.get(key)
            if flat is None or flat.size < size:
                flat = self._flat[key] = self._backend.empty(size, self._dtype)
                self._views = {k: v for k, v in self._views.items() if k[0] != key}
            if len(self._views) > 1000:  # batch sizes keep changing
                self._views.clear()
            view = self._views[key, shape] = flat[:size].reshape(shape)
        return view

    def row(self, key: str, columns: Any) -> Array:
        """Return the row with this key; at the first call it is filled with ``columns``."""
        known = self._flat.get(key)
        if known is None:
            known = self._flat[key] = self._backend.asarray(columns, self._dtype)
        return known

    def arrays(self) -> list[Array]:
        """Return all working arrays, flat."""
        return list(self._flat.values())


__all__ = ["Buffers"]
