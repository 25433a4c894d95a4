"""Views: figures and tables of results, looked up by name.

A history is in a room that may not import figures, and a race is in a module that its own table imports. So they
request a view by name, as in ``view("history figure", history)``. The package ``optimlab``, which imports every room,
fills the table of names. The module of a view's function is imported on request.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import lookup

VIEWS: dict[str, str] = {}
"""Functions as ``"module:function"``, by the name of the view."""


def view(name: str, *arguments: Any, **options: Any) -> Any:
    """Return the result of the view's function for these arguments.

    Raises
    ------
    InputError: there is no view of this name, or its function raises one.

    >>> VIEWS["longest word"] = "builtins:max"
    >>> view("longest word", ["a", "word"], key=len)
    'word'
    >>> del VIEWS["longest word"]
    """
    module, _, function = lookup("view", name, VIEWS).partition(":")
    return getattr(import_module(module), function)(*arguments, **options)
