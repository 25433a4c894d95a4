"""Where arrays live and kernels run: a small interface, implementations chosen by name."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..errors import InputError, lookup, one_line, rows, unknown
from ..kernels import Graph
from . import cupy, numba
from .numpy import NumPyBackend

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

    ``xp`` is its NumPy-like namespace and ``special`` its :mod:`scipy.special`: both follow the array API of
    NumPy, ``out=`` included, so that a formula is written once for every backend.
    """

    @property
    def name(self) -> str: ...
    @property
    def asynchronous(self) -> bool:
        """Whether work is queued on a device, so that to look at a result is to wait for all of it."""

    @property
    def xp(self) -> ModuleType: ...
    @property
    def special(self) -> ModuleType: ...
    @property
    def fused(self) -> Mapping[str, Any]:
        """Activations (forward and backward) and losses that the backend has in a form of its own, by their names,
        activations with a Dense layer's bias, as ``"dense relu"``, and :func:`optimlab.losses.correct`; each gives what
        the formulas give, bit for bit."""

    def empty(self, shape: int | tuple[int, ...], dtype: str) -> Array: ...
    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Array: ...
    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """``values`` on the backend, C-contiguous; a copy only where one is needed."""

    def to_numpy(self, array: Array) -> Any:
        """A NumPy copy of ``array`` (or ``array`` itself where it is one)."""

    def owns(self, value: Any) -> bool:
        """Whether ``value`` is an array of this backend."""

    def number(self, value: Array) -> Any:
        """One number, an array of no dimensions, to reckon with in float64: a Python float, or where the backend is
        asynchronous an array still, on which ``float`` would wait."""

    def dot(self, a: Array, b: Array) -> Any:
        """The sum of ``a * b`` over all entries, as :meth:`number` gives it."""

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """The matrix product ``a @ b`` written to ``out``."""

    def take(self, rows: Array, indices: Array, out: Array) -> None:
        """``out[...] = rows[indices]`` without a temporary; indices must be in range."""

    def generator(self, seed: Any) -> Generator: ...

    def bind(self, graph: Graph, arrays: list[dict[str, Array]]) -> Step:
        """Make the rule runnable on ``arrays``: one dictionary of flat, contiguous arrays of equal length
        and dtype per stretch, by the names of ``graph.inputs``."""

    def quiet(self) -> AbstractContextManager[Any]:
        """A context in which overflow and NaN pass without warnings, for callers that check for them; and in which a
        device that runs out of memory is an :class:`~optimlab.errors.InputError`."""


_BACKENDS: dict[str, Backend] = {"numpy": NumPyBackend(), "numba": numba.NumbaBackend(), "cupy": cupy.CuPyBackend()}

PAYS_FROM = 100_000
"""Parameters from which ``"auto"`` is Numba. Measured: importing it takes as long as some thousand steps of a network
of this size save."""


def names() -> list[str]:
    """The backends that can be used here: Numba's where it is installed, CuPy's where there is a GPU, too.

    >>> "numpy" in names()
    True
    """
    here = {"numba": numba.installed(), "cupy": not cupy.missing()}
    return [name for name in _BACKENDS if here.get(name, True)]


def get(name: Any, parameters: int = 0) -> Backend:
    """The backend of that name, or the backend itself.

    ``"auto"`` is Numba's for a network of at least :data:`PAYS_FROM` parameters where Numba is installed, otherwise
    NumPy's. Both give the same bits, but for large products by oneDNN, see :mod:`optimlab.backends.onednn`. ``"cupy"``
    runs everything on an NVIDIA GPU.

    Raises
    ------
    InputError: an unknown name; ``"numba"`` where Numba is not installed; ``"cupy"`` where CuPy or a GPU is missing.

    >>> get("numpy").name, get("auto").name
    ('numpy', 'numpy')
    """
    if name == "auto":
        name = "numba" if parameters >= PAYS_FROM and numba.installed() else "numpy"
    if name == "numba" and not numba.installed():
        raise InputError("the backend 'numba' needs Numba: pip install optimlab[fast]")
    if name == "cupy" and (lack := cupy.missing()):
        raise InputError(f"the backend 'cupy' {lack}")
    if isinstance(name, str):
        if name not in _BACKENDS:
            raise unknown("backend", name, ["auto", *names()])
        return _BACKENDS[name]
    return name if name in _BACKENDS.values() else lookup("backend", name, _BACKENDS)


def _by_name(backend: Backend) -> tuple[Any, ...]:
    """How a backend is pickled. A network goes on with NumPy where Numba is not installed."""
    return get, ("auto", PAYS_FROM) if backend.name == "numba" else (backend.name,)


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


__all__ = ["DTYPES", "Array", "Backend", "Generator", "Step", "dtype_name", "get", "given", "names", "of"]
