"""Backends: a small interface for arrays and kernels, with implementations chosen by name.

Imports common and kernels.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..common.errors import InputError, lacks, lookup, one_line, rows, unknown
from ..kernels import Formula, Graph
from . import compiled, cupy, llvm
from .numpy import NotFinite, NumPyBackend

Array: TypeAlias = Any
"""An array of any backend."""


class Generator(Protocol):
    """A generator of random numbers on the backend; ``state`` is plain data that can be stored and set."""

    state: dict[str, Any]

    def uniform(self, out: Array) -> None:
        """Fill ``out`` (float32 or float64) with numbers from [0, 1)."""


class Step(Protocol):
    """A rule bound to its arrays; each call updates all of them once."""

    def __call__(self, scalars: tuple[float, ...]) -> None: ...


class Backend(Protocol):
    """The interface of an array library for layers, optimizers and the training loop.

    ``xp`` is its NumPy-like namespace. A training step consists of the named operations below. Their arrays are
    contiguous: matrices of ``(rows, columns)``, rows of ``(columns,)``, columns of ``(rows, 1)``, single numbers of
    ``(1,)``. With replicas, each has one more leading axis, and rows are ``(replicas, 1, columns)``.
    """

    @property
    def name(self) -> str: ...
    @property
    def asynchronous(self) -> bool:
        """True if work is queued on a device, so that reading a result synchronizes it."""

    @property
    def xp(self) -> ModuleType: ...
    @property
    def special(self) -> ModuleType:
        """The module :mod:`scipy.special`, or its equivalent."""

    def empty(self, shape: int | tuple[int, ...], dtype: str) -> Array: ...
    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Array: ...
    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """Return ``values`` as a C-contiguous array of the backend, copied only if necessary."""

    def to_numpy(self, array: Array) -> Any:
        """Return a NumPy copy of ``array``, or ``array`` itself if it is a NumPy array."""

    def owns(self, value: Any) -> bool:
        """Return True if ``value`` is an array of this backend."""

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """Write the matrix product ``a @ b`` to ``out``, and return it."""

    def map(self, formula: Formula, inputs: tuple[Array, ...], out: Any, **numbers: float) -> None:
        """Write the formula of ``inputs`` to ``out``, an array or a tuple of arrays, elementwise.

        ``out`` has the shape of the result; inputs may be rows, columns and single numbers that broadcast to it. It may
        be the same object as an input, but must not share memory with any input otherwise.
        """

    def column_sums(self, x: Array, out: Array) -> None:
        """Write the sum over the rows to ``out``, a row; for a one-dimensional array its sum, a single number."""

    def row_sums(self, x: Array, out: Array) -> None:
        """Write the sum of each row to ``out``, a column."""

    def row_max(self, x: Array, out: Array) -> None:
        """Write the largest number of each row to ``out``, a column."""

    def row_argmax(self, x: Array, out: Array) -> None:
        """Write the index of the first largest number of each row, or of its first NaN, to ``out``, a column."""

    def take(self, rows: Array, indices: Array, out: Array) -> None:
        """Set ``out[...] = rows[indices]`` without a temporary; indices must be in range."""

    def put(self, table: Array, index: Array, row: Array) -> None:
        """Set ``table[index[0]] = row``."""

    def count(self, counter: Array) -> None:
        """Add one to ``counter``, of shape ``(1,)``."""

    def uniform(self, generator: Any, out: Array) -> None:
        """Fill ``out`` with numbers from [0, 1), drawn by a generator of the backend."""

    def stop_unless_finite(self, value: Array) -> None:
        """Raise :class:`NotFinite` if ``value``, a single number, is infinite or NaN.

        An asynchronous backend does not check.
        """

    def generator(self, seed: Any) -> Generator: ...
    def stacked(self, generators: Sequence[Any]) -> Any:
        """Return a generator that fills each part of an array, along its first axis, as one of ``generators`` would.

        ``generators`` do not change. The result has no state to store.
        """

    def bind(self, graph: Graph, arrays: list[dict[str, Array]]) -> Step:
        """Bind the rule to ``arrays``, one dictionary per slice of the flat buffers.

        Each has flat, contiguous arrays of equal length and dtype, by the names of ``graph.inputs``.
        """

    def quiet(self) -> AbstractContextManager[Any]:
        """Return a context without warnings for overflow and NaN, for callers that check for them.

        In it, a device that runs out of memory raises an :class:`~optimlab.common.errors.InputError`.
        """


_BACKENDS: dict[str, Backend] = {
    "numpy": NumPyBackend(),
    "compiled": compiled.CompiledBackend(),
    "cupy": cupy.CuPyBackend(),
}


def names(*, everywhere: bool = False) -> list[str]:
    """List the backends that are available here, or with ``everywhere`` all backends.

    The compiled backend needs llvmlite; CuPy's needs a GPU.

    >>> "numpy" in names()
    True
    >>> names(everywhere=True)
    ['numpy', 'compiled', 'cupy']
    """
    here = {} if everywhere else {"compiled": compiled.installed(), "cupy": not cupy.missing()}
    return [name for name in _BACKENDS if here.get(name, True)]


def get(name: Any) -> Backend:
    """Return the backend with this name, or ``name`` itself if it is a backend.

    ``"auto"`` is the compiled backend if llvmlite is installed, otherwise NumPy's. ``"cupy"`` runs everything on an
    NVIDIA GPU. Every rule of optimlab gives the same bits on all backends. Networks, and your own rules
    with exponentials or powers, may differ by rounding; see :mod:`optimlab.backends.compiled`.

    Raises
    ------
    InputError: the name is unknown; or it is ``"compiled"`` and llvmlite is not installed; or it is ``"cupy"`` and CuPy
        or a GPU is missing.

    >>> get("numpy").name
    'numpy'
    """
    if name == "auto":
        name = "compiled" if compiled.installed() else "numpy"
    if name == "compiled" and not compiled.installed():
        raise lacks("the backend 'compiled'", "llvmlite {}.{} or newer".format(*llvm.OLDEST), "fast")
    if name == "cupy" and (lack := cupy.missing()):
        raise InputError(f"the backend 'cupy' {lack}")
    if isinstance(name, str):
        if name not in _BACKENDS:
            raise unknown("backend", name, ["auto", *names()])
        return _BACKENDS[name]
    return name if name in _BACKENDS.values() else lookup("backend", name, _BACKENDS)


def _by_name(backend: Backend) -> tuple[Any, ...]:
    """Pickle a backend by its name. A network continues with NumPy if llvmlite is not installed."""
    return get, ("auto" if backend.name == "compiled" else backend.name,)


for _backend in _BACKENDS.values():
    copyreg.pickle(type(_backend), _by_name)


DTYPES = ("float32", "float64")
"""The dtypes of networks and rules."""


def dtype_name(dtype: Any) -> str:
    """Return one of :data:`DTYPES`, from its name or anything that NumPy accepts for it.

    >>> dtype_name("float32"), dtype_name(np.float32), dtype_name(np.dtype("float64")), dtype_name(float)
    ('float32', 'float32', 'float64', 'float64')
    """
    if dtype is not None:  # NumPy reads None as float64
        with suppress(TypeError, StopIteration):
            return next(name for name in DTYPES if name == np.dtype(dtype).name)
    raise unknown("dtype", dtype, DTYPES)


def given(backend: Backend, values: Any, what: str) -> Array:
    """Return the caller's ``values`` as an array of the backend, with unchanged dtype and shape.

    Raises
    ------
    InputError: ``values`` is a sparse matrix or cannot become an array. The message calls it ``what``, for example
        "the inputs".
    """
    if backend.owns(values):
        return values
    rows(what, values)
    try:
        return backend.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} cannot be converted to an array: {one_line(error)}") from None


def of(array: Array) -> Backend:
    """Return the backend that an array belongs to."""
    for backend in _BACKENDS.values():
        if backend.owns(array):
            return backend
    raise InputError(f"expected an array of one of {', '.join(_BACKENDS)}, got {type(array).__name__}")


__all__ = ["DTYPES", "Array", "Backend", "Generator", "NotFinite", "Step", "dtype_name", "get", "given", "names", "of"]
