"""Arrays to work in, allocated once."""

from __future__ import annotations

import math
from typing import Any

from ..backends import Array, Backend


class Buffers:
    """Working arrays by key. The one of a smaller shape is the front of the larger one's memory."""

    def __init__(self, backend: Backend, dtype: str) -> None:
        self._backend, self._dtype = backend, dtype
        self._flat: dict[str, Array] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Array] = {}

    def get(self, key: str, shape: tuple[int, ...]) -> Array:
        """The array of that key and shape; what it holds is what was last written to it under this key.

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
            if len(self._views) > 1000:  # batches of ever new sizes
                self._views.clear()
            view = self._views[key, shape] = flat[:size].reshape(shape)
        return view

    def row(self, key: str, columns: Any) -> Array:
        """A row that begins with these values."""
        known = self._flat.get(key)
        if known is None:
            known = self._flat[key] = self._backend.asarray(columns, self._dtype)
        return known

    def arrays(self) -> list[Array]:
        """All of them."""
        return list(self._flat.values())


__all__ = ["Buffers"]
