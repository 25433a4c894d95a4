"""The two errors that users of optimlab can meet, and the common checks of names and numbers."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from .familiar import advice

T = TypeVar("T")


class InputError(ValueError):
    """An error for invalid input; the message says what was wrong and what is accepted."""

    known: tuple[str, ...] = ()
    """The accepted names, if a name was unknown."""


class RuleError(TypeError):
    """An error for a function that is not an elementwise rule; the message names the operation that breaks it."""


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with suggestions of the nearest known ones.

    For a name from another library, the error says what to write here, see :mod:`optimlab.common.familiar`.

    >>> raise unknown("optimizer", "adamm", ["adam", "adamw", "sgd"])
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: unknown optimizer 'adamm'; did you mean 'adam', 'adamw'? Known: adam, adamw, sgd
    """
    names = list(known)
    told = advice(kind, name, names)
    lower = {n.lower(): n for n in names}
    near = [lower[n] for n in difflib.get_close_matches(str(name).lower(), list(lower))]
    hint = f"; {told}." if told else f"; did you mean {', '.join(map(repr, near))}?" if near else "."
    listed = ", ".join(n if n.isprintable() else repr(n) for n in names)
    error = InputError(f"unknown {kind} {name!r}{hint} Known: {listed}")
    error.known = tuple(names)
    return error


def only(function: Callable[..., Any], other: Iterable[str], *hidden: str) -> None:
    """Raise an error for the unknown keywords ``other`` of a function or class; do not list ``hidden`` parameters.

    With a signature that ends in ``**other: Never``, the error can say what to write, and type checkers still find the
    mistake.

    >>> def grow(height, *, width=1.0, **other):
    ...     only(grow, other)
    >>> grow(2.0, widht=3.0)
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: unknown argument of grow 'widht'; did you mean 'width'? Known: height, width
    """
    for name in other:
        parameters = inspect.signature(function).parameters.values()
        known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in hidden]
        raise unknown(f"argument of {function.__name__}", name, known)


def lookup(kind: str, name: object, table: Mapping[str, T]) -> T:
    """Return ``table[name]``, or raise the error that suggests the nearest names.

    >>> lookup("letter", "b", {"a": 1, "b": 2})
    2
    """
    if isinstance(name, str) and name in table:
        return table[name]
    raise unknown(kind, name, table)


def number(
    name: str,
    value: Any,
    low: float = -math.inf,
    below: float = math.inf,
    *,
    above: float = -math.inf,
    high: float = math.inf,
    positive: bool = False,
    where: str = "",
) -> float:
    """Return ``value`` as a finite Python float within the bounds.

    ``low`` and ``high`` are inclusive bounds, ``above`` and ``below`` exclusive ones; ``positive`` means above 0.

    >>> number("rate", 0.5, low=0, below=1)
    0.5
    >>> number("rate", 1.0, low=0, below=1)
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: rate must lie in [0, 1), got 1.0
    """
    checked = math.nan
    if not isinstance(value, bool | str | bytes):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            checked = float(value)
    above = max(above, 0.0) if positive else above
    if math.isfinite(checked) and low <= checked < below and above < checked <= high:
        return checked
    if max(low, above) == -math.inf and min(below, high) == math.inf:
        accepted = "be a finite number"
    elif min(below, high) < math.inf:
        left = f"({above:g}" if above >= low else f"[{low:g}"
        accepted = f"lie in {left}, " + (f"{below:g})" if below <= high else f"{high:g}]")
    elif above >= low:
        accepted = "be a positive number" if above == 0 else f"be a finite number above {above:g}"
    else:
        accepted = f"be a finite number of at least {low:g}"
    raise InputError(f"{name} must {accepted}, got {value!r}{where}")


def exact(value: float) -> str:
    """Return the shortest text that reads back as this number.

    >>> exact(0.5), exact(1e-08), exact(0.9999999), exact(128.0)
    ('0.5', '1e-08', '0.9999999', '128')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def concise(value: float, digits: int = 2) -> str:
    """Return a number as text: exact if it has at most six digits, else rounded to ``digits`` digits.

    For a number just below 1, only the digits of its distance from 1 count. Rounding errors of float64, from the 13th
    digit on, do not count.

    >>> concise(0.125), concise(10**-0.5), concise(0.1 * 3), concise(1e-300), concise(1234567.0)
    ('0.125', '0.32', '0.3', '1e-300', '1.2e+06')
    >>> concise(0.9999999), concise(0.99987654321), concise(0.9123456789, 3)
    ('0.9999999', '0.99988', '0.9123')
    """
    value = float(f"{value:.12g}")
    if float(f"{value:.6g}") == value:
        return exact(value)
    if 0.9 <= value < 1:
        return exact(round(value, digits - 1 - math.floor(math.log10(1 - value))))
    return f"{value:.{digits}g}"


def count(name: str, value: Any) -> int:
    """Return ``value`` as a Python integer of at least 1.

    >>> count("epochs", 0)
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: epochs must be a whole number of at least 1, got 0
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def whole(name: str, value: Any) -> int:
    """Return ``value`` as a Python integer of at least 0.

    >>> whole("epoch", -1)
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: epoch must be a whole number of at least 0, got -1
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
        raise InputError(f"{name} must be a whole number of at least 0, got {value!r}")
    return int(value)


def printable(name: str, value: Any) -> str:
    """Return ``value`` as non-empty text on one line.

    >>> printable("label", "two\\nlines")
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: label must be text on one line, got 'two\\nlines'
    """
    if not isinstance(value, str) or not value.isprintable() or not value.strip():
        raise InputError(f"{name} must be text on one line, got {value!r}")
    return value


def rows(name: str, values: Any) -> int:
    """Return the number of rows of an array.

    Raises
    ------
    InputError: ``values`` has no rows, like a number, or it is a sparse matrix.

    >>> rows("x_train", [[0.0], [1.0]])
    2
    """
    if hasattr(values, "toarray"):  # NumPy would wrap a sparse matrix as a single object
        raise InputError(f"{name} must be a dense array, got a sparse matrix; convert it with its method toarray()")
    try:
        return len(values)
    except TypeError:
        raise InputError(f"{name} must be an array of rows, got {values!r}") from None


def one_line(error: object) -> str:
    """Return a library's error message on one line, short enough for an error of our own.

    >>> one_line(ValueError("bad   magic"))
    'bad magic'
    """
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def lacks(what: str, package: str, extra: str) -> InputError:
    """Return the error for a missing package, with the command that installs it. optimlab is not on a package index.

    >>> lacks("the search", "Optuna", "tune")
    InputError("the search needs Optuna: in a checkout of optimlab, run pip install '.[tune]'")
    """
    return InputError(f"{what} needs {package}: {install(extra)}")


def install(extra: str) -> str:
    """Return instructions for installing an extra."""
    return f"in a checkout of optimlab, run pip install '.[{extra}]'"
