"""All weights of a network in one flat buffer, all gradients in another; layers hold views into them.

The buffer holds every weight matrix first, then every bias, then every batch-norm scale, each in the order of the
layers. So "weights", "biases" and "scales" are one slice each, and one layer is one slice of each kind.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ..backends import Array, Backend
from ..common.errors import InputError, unknown

KINDS = ("weights", "biases", "scales")


@dataclass(eq=False)
class Parameter:
    """One named tensor: a view of the flat buffers.

    Write to it in place (``p.data[...] = values``). The views themselves cannot be replaced, because a layer with a
    separate array would no longer be trained.
    """

    name: str
    kind: str
    layer: str
    shape: tuple[int, ...]
    start: int = 0
    stop: int = 0
    frozen: bool = False
    _data: Array = field(default=None, repr=False)
    _grad: Array = field(default=None, repr=False)

    @property
    def data(self) -> Array:
        """The values, of shape ``shape``, as a view of ``parameters.data``."""
        return self._data

    @property
    def grad(self) -> Array:
        """The gradient of the loss, of shape ``shape``, as a view of ``parameters.grad``."""
        return self._grad

    @property
    def size(self) -> int:
        return self.stop - self.start

    def view(self, flat: Array) -> Array:
        """Return this parameter's part of a flat array with the layout of ``parameters.data``, in its shape.

        With replicas, ``flat`` has a leading axis, which the view keeps. A vector then becomes a row, so that it
        broadcasts against ``(replicas, batch, features)``.
        """
        if flat.ndim == 1:
            return flat[self.start : self.stop].reshape(self.shape)
        shape = self.shape if len(self.shape) > 1 else (1, *self.shape)
        return flat[:, self.start : self.stop].reshape(-1, *shape)


class Parameters:
    """The parameters of a network.

    Attributes
    ----------
    data, grad: flat arrays of the backend, of one dtype; parameter ``p`` is ``data[p.start:p.stop]``.
    version: counts changes of the views and of the frozen parameters, so that optimizers know when to bind again.

    >>> import optimlab as ol
    >>> net = ol.MLP([4, 3, 2], batch_norm=True, seed=0)
    >>> [(p.name, p.shape) for p in net.parameters]
    [('dense1.W', (4, 3)), ('dense2.W', (3, 2)), ('dense1.b', (3,)), ('norm1.beta', (3,)), ('dense2.b', (2,)), \
('norm1.gamma', (3,))]
    >>> net.parameters["dense1.b"].data[...] = 1.0
    >>> net.parameters.data[18:21]
    array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, parameters: list[Parameter], dtype: str, backend: Backend) -> None:
        self._items = sorted(parameters, key=lambda p: KINDS.index(p.kind))
        self.dtype = dtype
        self.backend = backend
        self.version = 0
        position = 0
        for p in self._items:
            p.start, p.stop = position, position + _size(p.shape)
            position = p.stop
        self.data = backend.zeros(position, dtype)
        self.grad = backend.zeros(position, dtype)
        self.rebind()

    def rebind(self) -> None:
        """Make every parameter a view of ``data`` and ``grad`` again after these were replaced."""
        self.version += 1
        for p in self._items:
            p._data, p._grad = p.view(self.data), p.view(self.grad)

    def of_replica(self, r: int) -> Parameters:
        """Return the parameters of one of several replicas, as views."""
        own = object.__new__(Parameters)
        own.__dict__.update(self.__dict__)
        own._items = [replace(p) for p in self._items]
        own.data, own.grad = self.data[r], self.grad[r]
        own.rebind()
        return own

    def __getstate__(self) -> dict[str, Any]:
        # store each number once: parameters hold them too, because a parameter or layer may be pickled alone
        shape = self.data.shape
        return {k: v for k, v in self.__dict__.items() if k not in ("data", "grad")} | {"_shape": shape}

    def __setstate__(self, state: dict[str, Any]) -> None:
        shape = state.pop("_shape")
        self.__dict__.update(state)
        self.data, self.grad = (self.backend.empty(shape, self.dtype) for _ in range(2))
        for p in self._items:
            p.view(self.data)[...], p.view(self.grad)[...] = p.data, p.grad
        self.rebind()

    def __copy__(self) -> Parameters:
        # the parameters are views of one buffer, so two objects cannot share them
        return copy.deepcopy(self)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._items)

    def __len__(self) -> int:
        """Return the number of tensors; ``data.size`` is the number of scalars."""
        return len(self._items)

    def __getitem__(self, name: str) -> Parameter:
        for p in self._items:
            if p.name == name:
                return p
        raise unknown("parameter", name, [p.name for p in self._items])

    def __repr__(self) -> str:
        return f"<{len(self)} parameters, {self.data.size:,} {self.dtype} numbers>"

    def select(self, group: str) -> list[Parameter]:
        """Return the parameters of a group: a kind ("weights", "biases", "scales"), a layer ("dense1"), or one name.

        Raises
        ------
        InputError: there is no group ``group``.
        """
        found = [p for p in self._items if group in (p.kind, p.layer, p.name)]
        if not found and group not in KINDS:
            known = [*KINDS, *dict.fromkeys(p.layer for p in self._items), *(p.name for p in self._items)]
            raise unknown("parameter group", group, known)
        return found

    def freeze(self, group: str) -> None:
        """Keep every optimizer from changing the parameters of ``group`` from now on."""
        self._set_frozen(group, True)

    def unfreeze(self, group: str) -> None:
        """Let the parameters of ``group`` be trained again."""
        self._set_frozen(group, False)

    def _set_frozen(self, group: str, frozen: bool) -> None:
        for p in self.select(group):
            p.frozen = frozen
        self.version += 1


def stretches(parameters: list[Parameter]) -> list[slice]:
    """Return the slices of the flat buffer that hold the unfrozen ``parameters``, neighbours merged."""
    merged: list[slice] = []
    for p in sorted((p for p in parameters if not p.frozen), key=lambda p: p.start):
        if merged and merged[-1].stop == p.start:
            merged[-1] = slice(merged[-1].start, p.stop)
        else:
            merged.append(slice(p.start, p.stop))
    return merged


def assign(parameters: Parameters, values: Any) -> None:
    """Set every parameter from one flat array of the same length.

    Raises
    ------
    InputError: the length is wrong or a value is not finite; nothing is changed.
    """
    backend = parameters.backend
    flat = backend.asarray(values, parameters.dtype)
    if flat.shape != parameters.data.shape:
        raise InputError(f"expected a flat array of {parameters.data.size} numbers, got shape {tuple(flat.shape)}")
    if not bool(backend.xp.isfinite(flat).all()):
        raise InputError("the values for the parameters must be finite")
    parameters.data[...] = flat


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


__all__ = ["KINDS", "Parameter", "Parameters", "assign", "stretches"]
