"""Formats of numbers."""

from __future__ import annotations

from ..study.results import Interval

MINUS = "−"


def percent(share: float, digits: int = 2) -> str:
    """Return a share as a percentage without its sign.

    >>> percent(0.98642)
    '98.64'
    """
    return f"{100 * share:.{digits}f}"


def with_half(interval: Interval) -> str:
    """Return a mean with half the width of its interval, in percent.

    >>> with_half(Interval(0.9, 0.891, 0.909))
    '90.00 ± 0.90'
    """
    return " ± ".join(interval.percents())


def with_ends(interval: Interval, factor: float = 1.0, digits: int = 2) -> str:
    """Return a difference with the ends of its interval.

    >>> with_ends(Interval(-0.0041, -0.007, -0.0012), factor=100)
    '−0.41 [−0.70, −0.12]'
    """
    mean, low, high = (factor * part for part in interval)
    ends = (
        f"{end:.{digits}f}".replace("-", MINUS) if float(f"{end:.{digits}f}") else f"{0:.{digits}f}"
        for end in (low, high)
    )
    return f"{signed(mean, digits)} [{', '.join(ends)}]"


def share(interval: Interval) -> str:
    """Return a probability with the ends of its interval.

    >>> share(Interval(0.8, 0.49, 0.943))
    '0.80 [0.49, 0.94]'
    """
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def p_value(p: float) -> str:
    """Return a p-value with two significant digits, but at most four decimals.

    >>> p_value(0.0312), p_value(0.00004), p_value(1.0)
    ('0.031', '<0.0001', '1')
    """
    return "<0.0001" if p < 0.0001 else significant(p)


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a real minus; zero has none.

    >>> signed(-0.061), signed(0.061), signed(0.001)
    ('−0.06', '+0.06', '0.00')
    """
    text = f"{abs(value):.{digits}f}"
    return text if not float(text) else ("+" if value > 0 else MINUS) + text


def points(difference: float) -> str:
    """Return a difference of two shares in percentage points."""
    return signed(100 * difference)


def significant(value: float, digits: int = 2) -> str:
    """Return a number with so many significant digits, without an exponent if a reader needs none.

    >>> significant(0.31623), significant(100), significant(0.0000316)
    ('0.32', '100', '3.2e-05')
    """
    return f"{float(f'{value:.{digits}g}'):g}"


def plural(count: float, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "epoch"), plural(3.5, "epoch")
    ('1 epoch', '3.5 epochs')
    """
    return f"{count:g} {noun}" + ("" if count == 1 else "s")
