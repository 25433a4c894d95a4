"""Custom rules, loaded from a file."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..common.errors import InputError, one_line

FILE = re.compile(r"(?P<path>.*\.py):(?P<name>[^:()]*)", re.DOTALL)
"""The form ``FILE.py:NAME``."""


def own_rule(text: str, folder: str | Path = ".") -> tuple[str, Callable[..., Any]]:
    """Run the file in the text ``FILE.py:NAME``, and return the name with the rule of that name.

    The file's code is executed, so load only files you trust. A relative path starts at ``folder``.

    Raises
    ------
    InputError: there is no such file, it does not run, or it has no such function.

    >>> own_rule("nowhere.py:mine")
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: nowhere.py:mine: there is no file nowhere.py
    """
    found = FILE.fullmatch(text.strip())
    if found is None:
        raise InputError(f"write your own rule as FILE.py:NAME, the file and the function's name; got {text!r}")
    path, name = found["path"].strip(), found["name"].strip()
    file = Path(folder) / Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"{text}: there is no file {path}")
    try:
        rule = runpy.run_path(str(file)).get(name)
    except Exception as error:
        raise InputError(f"{text}: running {path} failed: {type(error).__name__}: {one_line(error)}") from None
    if not callable(rule):
        raise InputError(f"{text}: {path} has no function {name!r}")
    return name, rule
