"""A reader of pickles of plain data and numeric arrays that executes nothing.

A pickle is a program. This reader follows only the instructions that make dictionaries, lists, numbers and text. The
few names by which NumPy writes an array stand for functions of this module, which check their arguments. NumPy itself
receives nothing of the file but the bytes of an array.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError, one_line

_INSTRUCTIONS = """
    PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 BINSTRING SHORT_BINSTRING
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_TUPLE
"""
"""The instructions of protocols 2 to 5 that plain data need."""
_RARE_INSTRUCTIONS = "TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL STACK_GLOBAL REDUCE BUILD LONG1 LONG4"
_RARE = frozenset(_RARE_INSTRUCTIONS.split())
_ADMITTED = _RARE.union(_INSTRUCTIONS.split())
_MANY = 200
"""Limit of the rare instructions; an array needs a few of each. Thousands of tuples can nest until Python's stack
overflows when they are hashed, and a dictionary of thousands of chosen long integers can take hours."""


def read_pickle(content: bytes) -> Any:
    """Read a pickle of dictionaries, lists, numbers, text and numeric arrays; text of Python 2 is returned as bytes.

    Raises
    ------
    InputError: it is damaged, or holds or does anything else; nothing in it was executed.

    >>> read_pickle(pickle.dumps({"labels": [1, 2], "data": np.eye(2)}))["data"]
    array([[1., 0.],
           [0., 1.]])
    >>> read_pickle(pickle.dumps(print))
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: not a pickle of plain data: it asks for builtins.print
    """
    try:
        _check_instructions(content)
        return _plain(_Unpickler(io.BytesIO(content), encoding="bytes").load())
    except InputError:
        raise
    except Exception as error:
        # a damaged program may raise anything in the reader
        raise InputError(f"not a pickle of plain data: {one_line(error)}") from None


def _check_instructions(content: bytes) -> None:
    rare, most = 0, 10_000 + len(content) // 100  # a row of CIFAR-10 has 3,072 bytes and takes four or five
    argument: Any
    for position, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        if instruction.name not in _ADMITTED:
            raise InputError(f"not a pickle of plain data: it uses {instruction.name}")
        rare += instruction.name in _RARE
        # memory would be allocated for all places up to the one that a PUT names
        if position > most or rare > _MANY or ("PUT" in instruction.name and argument > position + 1):
            raise InputError("not a pickle of plain data: it is built to exhaust the reader")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[f"{module}.{name}"]
        except KeyError:
            raise InputError(f"not a pickle of plain data: it asks for {one_line(f'{module}.{name}')}") from None


class _Name:
    """The object that a name in the file stands for. It can be called, but not altered."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise InputError("not a pickle of plain data: it alters what it names")


class _Dtype:
    """A number type: one character for the kind and the bytes of one number, then the byte order as state."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = _text(code), "="
        if self.code not in _NUMBERS:
            raise InputError(f"not a pickle of plain data: an array of {one_line(self.code)}")

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])
        if self.order not in ("<", ">", "|", "="):
            raise InputError("not a pickle of plain data: a number type without a byte order")


class _Array:
    """An array under construction; its parts arrive as state."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self.value = _array(content, dtype, shape, "F" if fortran is True else "C")


def _array(content: Any, dtype: Any, shape: Any, order: str) -> NDArray[Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray):
        raise InputError("not a pickle of plain data: an array of something other than numbers")
    kind = np.dtype(dtype.order.replace("|", "=") + dtype.code)
    # check each axis first: the product of very large numbers would take forever
    whole = isinstance(shape, tuple) and all(type(n) is int and 0 <= n <= len(content) for n in shape)
    if not whole or math.prod(shape) * kind.itemsize != len(content):
        raise InputError(f"not a pickle of plain data: an array of another shape than its {len(content)} bytes")
    return np.frombuffer(content, kind).reshape(shape, order="F" if order == "F" else "C")


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise InputError("not a pickle of plain data: something else in place of a name")
    return value if isinstance(value, str) else value.decode("latin-1")


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _array(content, dtype, shape, _text(order))
    return array


def _encode(text: Any, encoding: Any) -> bytes:
    """Encode text as bytes, which is how Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise InputError("not a pickle of plain data: text in another encoding")
    return text.encode("latin-1")


def _plain(value: Any) -> Any:
    """Return ``value`` with its arrays in place, at most one level down."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {k: v.value if isinstance(v, _Array) else v for k, v in value.items()}
    return value


_NUMBERS = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
_NAMES: dict[str, _Name] = {
    "numpy.ndarray": _Name(lambda *_: None),
    "numpy.dtype": _Name(_Dtype),
    "_codecs.encode": _Name(_encode),
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray._reconstruct"] = _Name(lambda *_: _Array())
    _NAMES[f"{_core}.numeric._frombuffer"] = _Name(_frombuffer)

__all__ = ["read_pickle"]
