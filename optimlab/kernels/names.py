"""Names that are valid in every printed language, derived from the names in a rule.

The printers add a suffix to each name: ``m_`` is an array, ``m_i`` one element of it. No keyword, function or macro of
C, CUDA, JavaScript or Python has this form, nor does any temporary of the printers.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable

LONGEST = 60
"""The most characters in a printed name: compilers and file systems have limits."""


def identifiers(names: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return a distinct ASCII identifier for each name that begins with a letter and is not ``taken``.

    A name that is already such an identifier stays the same.

    >>> identifiers(["m", "_m", "β", "add"], taken=["add"])
    {'m': 'm', '_m': 'm_2', 'β': 'beta', 'add': 'add_2'}
    """
    plain = {name: _plain(name) for name in names}
    used = {*taken, *(name for name in plain if plain[name] == name)}
    made = {}
    for name, letters in plain.items():
        made[name] = name if letters == name and name not in taken else distinct(letters, used)
        used.add(made[name])
    return made


def distinct(name: str, used: Collection[str]) -> str:
    """Return the name, with the first number that makes it unique if it is already used.

    >>> distinct("warm", ["warm", "warm_2"])
    'warm_3'
    """
    made, count = name, 1
    while made in used:
        count += 1
        made = f"{name}_{count}"
    return made


def function_name(name: str) -> str:
    """Return a valid Python name for a function, "function" for a lambda.

    >>> function_name("warm"), function_name("<lambda>"), function_name("if")
    ('warm', 'function', 'function')
    """
    name = unicodedata.normalize("NFKC", name)
    return name if name.isidentifier() and not keyword.iskeyword(name) else "function"


def rule_name(name: str) -> str:
    """Return the stem for the names of a rule's printed functions.

    >>> rule_name("adam"), rule_name("<lambda>"), rule_name("_β2")
    ('adam', 'rule', 'beta2')
    """
    return _plain(name) if name.isidentifier() else "rule"


def _plain(name: str) -> str:
    letters = "".join(c if c.isascii() else _ascii(c) for c in unicodedata.normalize("NFKC", name))
    letters = letters.lstrip("_")[:LONGEST]
    return letters if re.match("[A-Za-z]", letters) else f"x{letters}"


def _ascii(letter: str) -> str:
    """Return ``beta`` for β, ``e`` for é, and the code point for other characters."""
    if name := greek(letter):
        return name
    base = unicodedata.normalize("NFKD", letter)[0]
    return base if base.isascii() and base.isalnum() else f"u{ord(letter):x}"


def greek(letter: str) -> str:
    """Return the English name of a Greek letter, an empty text for other characters.

    >>> greek("β"), greek("Λ"), greek("b")
    ('beta', 'Lambda', '')
    """
    words = unicodedata.name(letter, "").split()
    if words[:1] != ["GREEK"] or "LETTER" not in words:
        return ""
    name = words[-1] if "WITH" not in words else words[words.index("WITH") - 1]
    name = name.lower().replace("lamda", "lambda")
    return name.capitalize() if "CAPITAL" in words else name
