"""Search spaces of hyperparameters: ranges and choices, as text and in Optuna."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..common.errors import InputError, exact, number
from ..rules import Kind

ACCEPTED = (
    "LOW:HIGH, LOW:HIGH:log, LOW:HIGH:complement (log of the distance from 1), LOW:HIGH:pow2 (powers of two), "
    "auto (the usual range) or values separated by commas"
)
SCALES = ("linear", "log", "pow2", "complement")


@dataclass(frozen=True)
class Range:
    """A range of values, evenly distributed on a scale.

    Parameters
    ----------
    low, high: the bounds, both included.
    scale: ``"linear"``, ``"log"``, ``"complement"`` (the logarithm of the distance from 1), or ``"pow2"`` (only powers
        of two).
    whole: True for whole numbers only.

    Raises
    ------
    InputError: the bounds are not numbers or do not rise; a log scale begins at 0 or below, or a complement scale ends
        at 1 or above; or there is no power of two between the bounds.

    >>> Range(1, 1e-3, "log")
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: a range must rise, got 1:0.001
    """

    low: float
    high: float
    scale: str = "linear"
    whole: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = number(name, getattr(self, name))
            if self.whole and value != int(value):
                raise InputError(f"expected whole numbers, got {value:g}")
            object.__setattr__(self, name, int(value) if self.whole else value)
        if self.scale not in SCALES:
            raise InputError(f"unknown scale {self.scale!r}; accepted: {', '.join(SCALES)}")
        if not self.low < self.high:
            raise InputError(f"a range must rise, got {exact(self.low)}:{exact(self.high)}")
        if self.scale == "complement" and self.high >= 1:
            raise InputError(f"a complement range must end below 1, got {exact(self.low)}:{exact(self.high)}")
        if self.scale in ("log", "pow2") and self.low <= 0:
            raise InputError(f"a {self.scale} range must begin above 0, got {exact(self.low)}:{exact(self.high)}")
        if self.scale == "pow2" and self._exponents()[0] > self._exponents()[1]:
            raise InputError(f"there is no power of two in {exact(self.low)}:{exact(self.high)}")

    def _exponents(self) -> tuple[int, int]:
        return math.ceil(math.log2(self.low)), math.floor(math.log2(self.high))

    def key(self, name: str) -> str:
        """Return the parameter's name in Optuna.

        Optuna searches the exponents of powers of two, and distances from 1 on the complement scale.
        """
        return {"pow2": f"log2_{name}", "complement": f"1-{name}"}.get(self.scale, name)

    def distribution(self) -> Any:
        """Return the distribution in Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.scale == "pow2":
            return IntDistribution(*self._exponents())
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.scale == "log")
        if self.scale == "complement":
            return FloatDistribution(1 - self.high, 1 - self.low, log=True)
        return FloatDistribution(self.low, self.high, log=self.scale == "log")

    def decode(self, raw: Any) -> float:
        """Convert Optuna's value to the hyperparameter's."""
        if self.scale == "complement":
            return float(1 - raw)
        value = 2.0 ** int(raw) if self.scale == "pow2" else raw
        return int(value) if self.whole else float(value)

    def encode(self, value: float) -> float:
        """Convert the hyperparameter's value to Optuna's."""
        if self.scale == "complement":
            return 1 - value
        return round(math.log2(value)) if self.scale == "pow2" else value

    def values(self) -> list[float]:
        """Return all values if they can be counted, else both bounds: if these are valid, all values are."""
        if self.scale == "pow2":
            low, high = self._exponents()
            return [self.decode(k) for k in range(low, high + 1)]
        return list(range(int(self.low), int(self.high) + 1)) if self.whole else [self.low, self.high]

    def at(self, share: float) -> float:
        """Return the value at a ``share`` in [0, 1) of the scale: the inverse of :meth:`place`.

        >>> Range(1e-4, 1.0, "log").at(0.5), Range(16, 128, "pow2").at(0.99)
        (0.01, 128.0)
        """
        if self.scale == "pow2":
            powers = self.values()
            return powers[int(share * len(powers))]
        if self.whole:
            return int(self.low + share * (self.high - self.low + 1))
        if self.scale == "linear":
            return self.low + share * (self.high - self.low)
        low, high = (math.log10(1 - end if self.scale == "complement" else end) for end in (self.low, self.high))
        value = 10 ** (low + share * (high - low))
        return min(max(1 - value if self.scale == "complement" else value, self.low), self.high)

    def place(self, value: float) -> float:
        """Return the position of ``value`` on the scale, from 0 at ``low`` to 1 at ``high``."""
        low, high, at = map(self._on_scale, (self.low, self.high, value))
        return (at - low) / (high - low)

    def _on_scale(self, value: float) -> float:
        if self.scale == "linear":
            return value
        return -math.log(1 - value) if self.scale == "complement" else math.log(value)

    @property
    def text(self) -> str:
        """Return the text that :func:`parse` reads back."""
        return ":".join([exact(self.low), exact(self.high)] + ([self.scale] if self.scale != "linear" else []))

    def __str__(self) -> str:
        notes = {
            "linear": ", whole numbers" if self.whole else "",
            "log": ", log scale",
            "complement": ", log scale of the distance from 1",
            "pow2": ", powers of two",
        }
        return f"{exact(self.low)} to {exact(self.high)}{notes[self.scale]}"


@dataclass(frozen=True)
class Choice:
    """A choice between values, in no order.

    Raises
    ------
    InputError: there are fewer than two values, two are equal, or one is not a number.

    >>> print(Choice((0.8, 0.9, 0.99)))
    0.8, 0.9 or 0.99
    """

    choices: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(_plain(number("value", v)) for v in self.choices))
        if len(self.choices) < 2 or len(set(self.choices)) < len(self.choices):
            raise InputError(f"a choice needs two or more different values, got {', '.join(map(str, self.choices))}")

    def key(self, name: str) -> str:
        """Return the parameter's name in Optuna."""
        return name

    def distribution(self) -> Any:
        """Return the distribution in Optuna."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)

    def decode(self, raw: Any) -> float:
        """Return Optuna's value, which is the hyperparameter's."""
        return _plain(raw)

    encode = decode

    def values(self) -> list[float]:
        """Return all values."""
        return list(self.choices)

    @property
    def text(self) -> str:
        """Return the values in braces; :func:`parse` reads the text between the braces."""
        return "{" + ", ".join(map(exact, self.choices)) + "}"

    def __str__(self) -> str:
        return f"{', '.join(map(exact, self.choices[:-1]))} or {exact(self.choices[-1])}"


Space: TypeAlias = Range | Choice


def usual(name: str, kind: Kind, default: float) -> Range:
    """Return the usual range of a hyperparameter, which ``"auto"`` stands for, by its kind.

    Raises
    ------
    InputError: the kind has no prior.

    >>> from optimlab.rules import KINDS
    >>> str(usual("beta2", KINDS["beta2"], 0.999)), str(usual("eps", KINDS["eps"], 1e-8))
    ('0.9 to 0.9999, log scale of the distance from 1', '1e-12 to 0.0001, log scale')
    """
    if kind.prior is None or not kind.searched(default):
        raise InputError(
            f"{name} has no usual range, so 'auto' is not possible; write a range LOW:HIGH or LOW:HIGH:log, or values"
        )
    factor = default if kind.prior.relative else 1.0
    low, high = (float(f"{end * factor:.12g}") for end in (kind.prior.low, kind.prior.high))  # 1e-12, not 1.0...2e-12
    return Range(low, high, kind.prior.scale)


def parse(name: str, text: str | Sequence[float] | Space, *, whole: bool = False) -> Space:
    """Read the space of a hyperparameter.

    Parameters
    ----------
    name: the hyperparameter, for messages.
    text: text such as ``"1e-4:1:log"`` or ``"2,5,10"``; a sequence of values; or a space.
    whole: True to accept whole numbers only.

    Raises
    ------
    InputError: the text cannot be read, or the space is impossible; the message names the hyperparameter.

    >>> str(parse("lr", "1e-4:1:log")), str(parse("patience", "2,5,10")), parse("batch_size", "60:256:pow2").values()
    ('0.0001 to 1, log scale', '2, 5 or 10', [64.0, 128.0, 256.0])
    >>> parse("eps", "0:1e-4:log")
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: eps: a log range must begin above 0, got 0:0.0001
    """
    try:
        if isinstance(text, Range):
            space: Space = Range(text.low, text.high, text.scale, whole or text.whole)
        elif isinstance(text, Choice):
            space = text
        elif not isinstance(text, str):
            space = Choice(tuple(text))
        elif ":" in text:
            low, high, *scale = text.split(":")
            space = Range(_read(low), _read(high), ":".join(scale) or "linear", whole)
        else:
            space = Choice(tuple(map(_read, text.split(","))))
        if whole and any(value != int(value) for value in space.values()):
            raise InputError(f"expected whole numbers, got {space}")
    except _Unreadable:
        raise InputError(f"{name}: expected {ACCEPTED}, got {text!r}") from None
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return space


def read_back(text: str) -> Space:
    """Return the space with this ``text``.

    >>> read_back(Choice((0, 0.1)).text), read_back("0.001:1:log").at(0)
    (Choice(choices=(0, 0.1)), 0.001)
    """
    return parse("space", text.strip("{}"))


class _Unreadable(Exception):
    pass


def _read(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _Unreadable from None


def _plain(value: float) -> float:
    """Return a whole number as an int, so that it is printed as one."""
    return int(value) if value == int(value) else float(value)
