"""Names that each printed language accepts, made from the names that a rule's author chose.

Printers write around these names what keeps them apart from words and temporaries of their own: ``m_`` for an array,
``m_i`` for one element of it. No keyword, function or macro of C, CUDA, JavaScript or Python has that form.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable

LONGEST = 60
"""Letters of a printed name: compilers, and the names of files, have limits."""


def identifiers(names: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """A different ASCII identifier for each name, none of ``taken``, none with an underscore or a digit in front.

    A name that is such an identifier already keeps it.

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
    """The name, or with the first number that makes it one of its own.

    >>> distinct("warm", ["warm", "warm_2"])
    'warm_3'
    """
    made, count = name, 1
    while made in used:
        count += 1
        made = f"{name}_{count}"
    return made


def function_name(name: str) -> str:
    """What a function, such as a lambda, may be called in Python.

    >>> function_name("warm"), function_name("<lambda>"), function_name("if")
    ('warm', 'function', 'function')
    """
    name = unicodedata.normalize("NFKC", name)
    return name if name.isidentifier() and not keyword.iskeyword(name) else "function"


def rule_name(name: str) -> str:
    """What the functions printed for a rule begin with.

    >>> rule_name("adam"), rule_name("<lambda>"), rule_name("_β2")
    ('adam', 'rule', 'beta2')
    """
    return _plain(name) if name.isidentifier() else "rule"


def _plain(name: str) -> str:
    letters = "".join(c if c.isascii() else _ascii(c) for c in unicodedata.normalize("NFKC", name))
    letters = letters.lstrip("_")[:LONGEST]
    return letters if re.match("[A-Za-z]", letters) else f"x{letters}"


def _ascii(letter: str) -> str:
    """``beta`` for β, ``e`` for é, the number of the character for others."""
    if name := greek(letter):
        return name
    base = unicodedata.normalize("NFKD", letter)[0]
    return base if base.isascii() and base.isalnum() else f"u{ord(letter):x}"


def greek(letter: str) -> str:
    """The English name of a Greek letter, empty for others.

    >>> greek("β"), greek("Λ"), greek("b")
    ('beta', 'Lambda', '')
    """
    words = unicodedata.name(letter, "").split()
    if words[:1] != ["GREEK"] or "LETTER" not in words:
        return ""
    name = words[-1] if "WITH" not in words else words[words.index("WITH") - 1]
    name = name.lower().replace("lamda", "lambda")
    return name.capitalize() if "CAPITAL" in words else name
