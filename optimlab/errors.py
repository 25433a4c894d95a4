"""The two errors a user of optimlab can meet, and the one way an unknown name is reported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something passed in cannot be used; the message says what was wrong and what is accepted."""


class RuleError(TypeError):
    """A function is not an elementwise update rule; the message names the operation that breaks it."""


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest ones that do.

    >>> raise unknown("optimizer", "adamm", ["adam", "adamw", "sgd"])
    Traceback (most recent call last):
    ...
    optimlab.errors.InputError: unknown optimizer 'adamm'; did you mean 'adam', 'adamw'? Known: adam, adamw, sgd
    """
    names = list(known)
    lower = {n.lower(): n for n in names}
    near = [lower[n] for n in difflib.get_close_matches(str(name).lower(), list(lower))]
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else "."
    return InputError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")
