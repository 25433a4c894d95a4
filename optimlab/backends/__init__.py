"""Where arrays live and kernels run: a small interface, implementations chosen by name.

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
from . import compiled, cupy
from .numpy import NotFinite, NumPyBackend

Array: TypeAlias = Any
"""An array of some backend."""


class Generator(Protocol):
    """Random numbers on the backend; ``state`` is plain data that can be stored and set."""

    state: dict[str, Any]

    def uniform(self, out: Array) -> None:
        """Fill ``out`` (float32 or float64) with numbers from [0, 1)."""


class Step(Protocol):
    """A rule bound to its arrays: each call is one update of all of them."""

    def __call__(self, scalars: tuple[float, ...]) -> None: ...


class Backend(Protocol):
    """What layers, optimizers and the training loop need of an array library.

    ``xp`` is its NumPy-like namespace. The named operations below are what a training step is made of. Their arrays lie
    in memory without gaps: matrices of ``(rows, columns)``, rows of ``(columns,)``, columns of ``(rows, 1)``, single
    numbers of ``(1,)``; replicas have one more axis in front of each, and rows then are ``(replicas, 1, columns)``.
    """

    @property
    def name(self) -> str: ...
    @property
    def asynchronous(self) -> bool:
        """Whether work is queued on a device, so that to look at a result is to wait for all of it."""

    @property
    def xp(self) -> ModuleType: ...
    @property
    def special(self) -> ModuleType:
        """:mod:`scipy.special`, or what stands for it."""

    def empty(self, shape: int | tuple[int, ...], dtype: str) -> Array: ...
    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Array: ...
    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """``values`` on the backend, C-contiguous; a copy only where one is needed."""

    def to_numpy(self, array: Array) -> Any:
        """A NumPy copy of ``array`` (or ``array`` itself where it is one)."""

    def owns(self, value: Any) -> bool:
        """Whether ``value`` is an array of this backend."""

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """The matrix product ``a @ b`` written to ``out``."""

    def map(self, formula: Formula, inputs: tuple[Array, ...], out: Any, **numbers: float) -> None:
        """Write the formula of ``inputs`` to ``out``, an array or a tuple of arrays, elementwise.

        ``out`` has the shape of the result; inputs may be rows, columns and single numbers beside it. It may be one of
        the inputs, the same object, but share memory with none of them otherwise.
        """

    def column_sums(self, x: Array, out: Array) -> None:
        """Write the sum over the rows to ``out``, a row; of an array of one axis its sum, a single number."""

    def row_sums(self, x: Array, out: Array) -> None:
        """Write the sum of each row to ``out``, a column."""

    def row_max(self, x: Array, out: Array) -> None:
        """Write the largest number of each row to ``out``, a column."""

    def row_argmax(self, x: Array, out: Array) -> None:
        """Write the place of the first largest number of each row, or of its first NaN, to ``out``, a column."""

    def take(self, rows: Array, indices: Array, out: Array) -> None:
        """``out[...] = rows[indices]`` without a temporary; indices must be in range."""

    def put(self, table: Array, index: Array, row: Array) -> None:
        """``table[index[0]] = row``."""

    def count(self, counter: Array) -> None:
        """Add one to ``counter``, of shape ``(1,)``."""

    def uniform(self, generator: Any, out: Array) -> None:
        """Fill ``out`` with numbers from [0, 1) by a generator of the backend."""

    def stop_unless_finite(self, value: Array) -> None:
        """End the work with :class:`NotFinite` if ``value``, a single number, is infinite or NaN. An asynchronous
        backend goes on."""

    def generator(self, seed: Any) -> Generator: ...
    def stacked(self, generators: Sequence[Any]) -> Any:
        """One that fills each part of an array, along its first axis, as one of ``generators`` would; they stay as they
        are. It has no state to store."""

    def bind(self, graph: Graph, arrays: list[dict[str, Array]]) -> Step:
        """Make the rule runnable on ``arrays``: one dictionary of flat, contiguous arrays of equal length
        and dtype per stretch, by the names of ``graph.inputs``."""

    def quiet(self) -> AbstractContextManager[Any]:
        """A context in which overflow and NaN pass without warnings, for callers that check for them; and in which a
        device that runs out of memory is an :class:`~optimlab.common.errors.InputError`."""


_BACKENDS: dict[str, Backend] = {
    "numpy": NumPyBackend(),
    "compiled": compiled.CompiledBackend(),
    "cupy": cupy.CuPyBackend(),
}


def names(*, everywhere: bool = False) -> list[str]:
    """List the backends that can be used here, or those of every machine.

    The compiled one needs llvmlite, CuPy's needs a GPU.

    >>> "numpy" in names()
    True
    >>> names(everywhere=True)
    ['numpy', 'compiled', 'cupy']
    """
    here = {} if everywhere else {"compiled": compiled.installed(), "cupy": not cupy.missing()}
    return [name for name in _BACKENDS if here.get(name, True)]


def get(name: Any) -> Backend:
    """Return the backend of that name, or the backend itself.

    ``"auto"`` is the compiled one where llvmlite is installed, otherwise NumPy's. ``"cupy"`` runs everything on an
    NVIDIA GPU. Rules give the same bits on all of them; :mod:`optimlab.backends.compiled` says where a network differs
    by rounding.

    Raises
    ------
    InputError: an unknown name; ``"compiled"`` where llvmlite is not installed; ``"cupy"`` where CuPy or a GPU is
        missing.

    >>> get("numpy").name
    'numpy'
    """
    if name == "auto":
        name = "compiled" if compiled.installed() else "numpy"
    if name == "compiled" and not compiled.installed():
        raise lacks("the backend 'compiled'", "llvmlite", "fast")
    if name == "cupy" and (lack := cupy.missing()):
        raise InputError(f"the backend 'cupy' {lack}")
    if isinstance(name, str):
        if name not in _BACKENDS:
            raise unknown("backend", name, ["auto", *names()])
        return _BACKENDS[name]
    return name if name in _BACKENDS.values() else lookup("backend", name, _BACKENDS)


def _by_name(backend: Backend) -> tuple[Any, ...]:
    """How a backend is pickled. A network goes on with NumPy where llvmlite is not installed."""
    return get, ("auto" if backend.name == "compiled" else backend.name,)


for _backend in _BACKENDS.values():
    copyreg.pickle(type(_backend), _by_name)


DTYPES = ("float32", "float64")
"""The dtypes of networks and rules."""


def dtype_name(dtype: Any) -> str:
    """One of :data:`DTYPES`, from its name or anything that NumPy takes for that dtype.

    >>> dtype_name("float32"), dtype_name(np.float32), dtype_name(np.dtype("float64")), dtype_name(float)
    ('float32', 'float32', 'float64', 'float64')
    """
    if dtype is not None:  # NumPy reads None as float64
        with suppress(TypeError, StopIteration):
            return next(name for name in DTYPES if name == np.dtype(dtype).name)
    raise unknown("dtype", dtype, DTYPES)


def given(backend: Backend, values: Any, what: str) -> Array:
    """Return the caller's ``values`` as an array of the backend, with the dtype and shape they have.

    Raises
    ------
    InputError: ``values`` is a sparse matrix or cannot become an array; the message calls it ``what``, such as "the
        inputs".
    """
    if backend.owns(values):
        return values
    rows(what, values)
    try:
        return backend.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} cannot be converted to an array: {one_line(error)}") from None


def of(array: Array) -> Backend:
    """The backend an array belongs to."""
    for backend in _BACKENDS.values():
        if backend.owns(array):
            return backend
    raise InputError(f"expected an array of one of {', '.join(_BACKENDS)}, got {type(array).__name__}")


__all__ = ["DTYPES", "Array", "Backend", "Generator", "NotFinite", "Step", "dtype_name", "get", "given", "names", "of"]
