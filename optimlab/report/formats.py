"""Numbers as they are shown."""

from __future__ import annotations

from ..study.statistics import Interval

MINUS = "−"


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage without its sign.

    >>> percent(0.98642)
    '98.64'
    """
    return f"{100 * share:.{digits}f}"


def with_half(interval: Interval) -> str:
    """A mean with half the width of its interval, in percent.

    >>> with_half(Interval(0.9, 0.891, 0.909))
    '90.00 ± 0.90'
    """
    return " ± ".join(interval.percents())


def signed(value: float, digits: int = 2) -> str:
    """With its sign, a real minus; nothing before a zero.

    >>> signed(-0.061), signed(0.061), signed(0.001)
    ('−0.06', '+0.06', '0.00')
    """
    text = f"{abs(value):.{digits}f}"
    return text if not float(text) else ("+" if value > 0 else MINUS) + text


def points(difference: float) -> str:
    """A difference of two shares, in percentage points."""
    return signed(100 * difference)


def significant(value: float, digits: int = 2) -> str:
    """So many significant digits, without an exponent where a reader needs none.

    >>> significant(0.31623), significant(100), significant(0.0000316)
    ('0.32', '100', '3.2e-05')
    """
    return f"{float(f'{value:.{digits}g}'):g}"


def plural(count: float, noun: str) -> str:
    """
    >>> plural(1, "epoch"), plural(3.5, "epoch")
    ('1 epoch', '3.5 epochs')
    """
    return f"{count:g} {noun}" + ("" if count == 1 else "s")
