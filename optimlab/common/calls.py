"""Parsing and writing of texts in the form of calls, such as ``adamw(schedule=cosine, weight_decay={0, 0.01})``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .errors import InputError, exact

_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_WORD = re.compile(r"[\w.-]+")


def split(text: str, mark: str = ",") -> list[str]:
    """Split at each ``mark`` outside brackets and quotes, and skip blank parts.

    Raises
    ------
    InputError: a bracket or a quote is not closed, or a closing bracket has no opening one.

    >>> split("sgd, adamw(weight_decay={0, 0.1}), adam:torch")
    ['sgd', 'adamw(weight_decay={0, 0.1})', 'adam:torch']
    >>> split("adam(beta1=0.9")
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: the ( is never closed in 'adam(beta1=0.9'
    """
    parts, start, opened, quote = [], 0, "", ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[place - 1] != "\\" else quote
        elif letter == '"':
            quote = letter
        elif letter in _BRACKETS:
            opened += letter
        elif letter in _BRACKETS.values():
            if not opened or _BRACKETS[opened[-1]] != letter:
                raise InputError(f"the {letter} closes nothing in {text!r}")
            opened = opened[:-1]
        elif letter == mark and not opened:
            parts.append(text[start:place])
            start = place + 1
    if opened or quote:
        raise InputError(f"the {quote or opened[-1]} is never closed in {text!r}")
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def call(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the name and the arguments as ``(key, value)`` pairs; the key of a positional argument is empty.

    Raises
    ------
    InputError: something follows the closing bracket, or an argument is given twice.

    >>> call("cosine(0.1, warmup=0.2)")
    ('cosine', [('', '0.1'), ('warmup', '0.2')])
    >>> call("adam:torch")
    ('adam:torch', [])
    """
    text = text.strip()
    split(text)  # raises an error for unclosed brackets
    head, bracket, rest = text.partition("(")
    if not bracket:
        return head, []
    if not rest.endswith(")"):
        raise InputError(f"nothing may follow the closing bracket in {text!r}")
    found: list[tuple[str, str]] = []
    for part in split(rest[:-1]):
        named = re.match(r"\s*([\w-]+)\s*=\s*", part)
        key, worth = (named[1], part[named.end() :].strip()) if named else ("", part)
        if key and key in dict(found):
            raise InputError(f"{key} is given twice in {text!r}")
        found.append((key, worth))
    return head.strip(), found


def value(text: str) -> Any:
    """Parse a text: a number, ``true`` or ``false``, a list in brackets, a text in quotes; else return it unchanged.

    >>> value("0.10"), value("{0, 1e-3}"), value("true"), value("val_loss"), value('"two words"')
    (0.1, (0.0, 0.001), True, 'val_loss', 'two words')
    """
    text = text.strip()
    if text[:1] in ("{", "[") and text[-1:] == _BRACKETS[text[:1]]:
        return tuple(value(part) for part in split(text[1:-1]))
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def written(content: Any) -> str:
    """Return the text that :func:`value` reads back.

    >>> written((0.0, 0.001)), written(True), written("two words"), written(0.1)
    ('{0, 0.001}', 'true', '"two words"', '0.1')
    """
    if isinstance(content, bool):
        return str(content).lower()
    if isinstance(content, tuple | list):
        return "{" + ", ".join(map(written, content)) + "}"
    if isinstance(content, str):
        plain = _WORD.fullmatch(content) and value(content) == content
        return content if plain else '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return exact(content)


def as_call(name: str, arguments: Iterable[str]) -> str:
    """Return ``name(a, b)``, or only the name if there are no arguments.

    >>> as_call("cosine", ["0.1", "end=0.5"]), as_call("adam", [])
    ('cosine(0.1, end=0.5)', 'adam')
    """
    inside = ", ".join(arguments)
    return f"{name}({inside})" if inside else name
