"""Replacements for characters that an output cannot encode: √ as sqrt, β as beta, mₜ₋₁ as m_(t-1)."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from io import TextIOWrapper
from typing import TextIO

ERRORS = "optimlab-spelled"
"""Name of the error handler: ``"√β".encode("ascii", ERRORS)`` returns ``b"sqrtbeta"``."""

_SPELLED = {
    "√": "sqrt",
    "µ": "u",
    "λ": "lambda",
    "±": "+-",
    "−": "-",
    "–": "-",
    "—": "-",
    "─": "-",
    "━": "-",
    "·": "*",
    "•": "*",
    "×": "x",
    "÷": "/",
    "⁄": "/",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "∞": "inf",
    "∇": "grad",
    "′": "'",
    "…": "..",
    "→": "->",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "\u0302": "_hat",
}
_SCRIPTS = {"<sub>": "_", "<super>": "^"}


def spelled(text: str, encoding: str | None) -> str:
    """Return ``text`` in characters that ``encoding`` has; None stands for an encoding with all characters.

    >>> spelled("√ŝₜ = β₂ sₜ₋₁ ± 10⁻³", "ascii")
    'sqrt s_hat_t = beta_2 s_(t-1) +- 10^(-3)'
    >>> spelled("±0.1 µs", "latin-1"), spelled("√ŝ", "utf-8")
    ('±0.1 µs', '√ŝ')
    """
    if encoding is None or text.isascii():
        return text
    return text.encode(encoding, ERRORS).decode(encoding)


def spell(stream: TextIO | None) -> None:
    """Make a stream replace what it cannot encode, unless its user chose another error handler."""
    if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape", "backslashreplace"):
        stream.reconfigure(errors=ERRORS)


def encoding_of_stdout() -> str | None:
    """Return the encoding of standard output, or None if it has none, as in a notebook."""
    return getattr(sys.stdout, "encoding", None)


def _handler(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that cannot be encoded, and the sub- or superscripts that follow them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text, end = error.object, error.end
    while end < len(text) and _script(text[end]) and _script(text[end]) == _script(text[end - 1]):
        end += 1
    written, at = "", error.start
    while at < end:
        script, last = _script(text[at]), at + 1
        while script and last < end and _script(text[last]) == script:
            last += 1
        part = "".join(map(_letter, text[at:last]))
        if script:
            part = _SCRIPTS[script] + (f"({part})" if _is_sum(part) else part)
        elif part == "sqrt" and text[last : last + 1].isalnum():
            part += " "
        written += part
        at = last
    return written, end


def _script(letter: str) -> str:
    """Return ``"<sub>"`` or ``"<super>"`` for a subscript or superscript character, else an empty text."""
    kind = unicodedata.decomposition(letter).partition(" ")[0]
    return kind if kind in _SCRIPTS else ""


def _is_sum(text: str) -> bool:
    return "-" in text or "+" in text


def _letter(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter in _SPELLED:
        return _SPELLED[letter]
    if unicodedata.combining(letter):
        return ""
    parts = unicodedata.normalize("NFKD", letter)
    if parts != letter:
        return "".join(map(_letter, parts))
    kind, _, name = unicodedata.name(letter, "").partition(" LETTER ")
    if kind in ("GREEK SMALL", "GREEK CAPITAL"):
        return name.lower() if kind == "GREEK SMALL" else name.capitalize()
    return letter.encode("ascii", "backslashreplace").decode()


codecs.register_error(ERRORS, _handler)
