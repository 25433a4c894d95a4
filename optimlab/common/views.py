"""How a result shows itself without knowing what draws it.

A history stands in a room that may not import figures, and a race in a module that its own table imports. So they ask
for a view by name, as in ``view("history figure", history)``. The package ``optimlab``, which imports every room, fills
the table of names; the module of a function is imported when the view is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import lookup

VIEWS: dict[str, str] = {}
"""Functions as ``"module:function"`` by the name of the view."""


def view(name: str, *arguments: Any, **options: Any) -> Any:
    """Return what the function of this name makes of the arguments.

    Raises
    ------
    InputError: there is no such view, or what its function raises.

    >>> VIEWS["longest word"] = "builtins:max"
    >>> view("longest word", ["a", "word"], key=len)
    'word'
    >>> del VIEWS["longest word"]
    """
    module, _, function = lookup("view", name, VIEWS).partition(":")
    return getattr(import_module(module), function)(*arguments, **options)
