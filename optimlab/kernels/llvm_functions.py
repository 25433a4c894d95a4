"""Print the elementary functions as LLVM IR, in a form that LLVM's loop vectorizer turns into SIMD code.

In float32 a function is a polynomial between selections, without branches, calls or tables. Every operation is
correctly rounded (no fast-math flag, no fused multiply-add), so that every machine returns the same bits. The functions
below read like formulas; a :class:`Value` records each operation applied to it. Largest errors in units in the last
place, over all exponents, as ``python tests/test_elementary.py`` prints them:

====== ===== =================================================================================
exp    0.9   2^k e^r with x = k ln 2 + r, where |r| <= ln 2 / 2
expm1  1.6   2^k (e^r - 1) + (2^k - 1)
log    0.9   e ln 2 + log(1 + f) with x = 2^e (1 + f), where 1 + f is between 1/sqrt 2 and sqrt 2
log1p  1.4   the logarithm of 1 + x, where f takes back what that sum rounded away
tanh   1.4   an odd polynomial below 9/16, 1 - 2 / (e^2x + 1) above
erf    1.8   an odd polynomial below 9/8, 1 - polynomial^4 above
====== ===== =================================================================================

In float64, and for sin and cos, a function is a call of the C library. Everywhere NaN gives NaN; infinities, signed
zeros, overflow and subnormal results are as in C.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

FLOAT, INTEGER, BOOLEAN = "float", "i32", "i1"


def vector(kind: str, lanes: int) -> str:
    """Return the type of ``lanes`` numbers of a kind; of one, the kind itself."""
    return kind if lanes == 1 else f"<{lanes} x {kind}>"


def suffixed(suffix: str, lanes: int) -> str:
    """Return the end of the name of a function of so many numbers.

    >>> suffixed("f32", 1), suffixed("f32", 10)
    ('f32', 'v10f32')
    """
    return suffix if lanes == 1 else f"v{lanes}{suffix}"


def same_number(kind: str, number: str, lanes: int) -> str:
    """Return a constant with the same number in each lane."""
    return number if lanes == 1 else f"<{', '.join([f'{kind} {number}'] * lanes)}>"


@dataclass
class _Body:
    """The lines of a function, in static single assignment: each line gives one value its name."""

    lanes: int = 1
    lines: list[str] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)

    def value(self, kind: str, operation: str) -> Value:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {operation}")
        return Value(self, kind, name)

    def type(self, kind: str) -> str:
        return vector(kind, self.lanes)

    def written(self, operand: Value | float, kind: str) -> str:
        if isinstance(operand, Value):
            return operand.name
        return same_number(kind, constant(operand) if kind == FLOAT else str(operand), self.lanes)

    def converted(self, kind: str, operation: str, x: Value) -> Value:
        return self.value(kind, f"{operation} {self.type(x.kind)} {x.name} to {self.type(kind)}")

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        kind, full = self.type(FLOAT), f"@llvm.{name}.{suffixed('f32', self.lanes)}"
        self.declared.add(f"declare {kind} {full}({', '.join([kind] * len(arguments))})")
        return self.value(FLOAT, f"call {kind} {full}({', '.join(f'{kind} {a.name}' for a in arguments)})")


@dataclass(frozen=True, eq=False)
class Value:
    """A number in a loop, or a vector of numbers.

    Arithmetic with it emits the instructions. A Python number becomes a constant.
    """

    body: _Body
    kind: str
    name: str

    def _binary(self, operation: str, other: Value | float, swapped: bool = False) -> Value:
        operands = [self.name, self.body.written(other, self.kind)]
        left, right = reversed(operands) if swapped else operands
        prefix = "f" if self.kind == FLOAT and operation in ("add", "sub", "mul", "div") else ""
        return self.body.value(self.kind, f"{prefix}{operation} {self.body.type(self.kind)} {left}, {right}")

    def _compare(self, relation: str, other: Value | float) -> Value:
        kind, right = self.body.type(FLOAT), self.body.written(other, self.kind)
        return self.body.value(BOOLEAN, f"fcmp o{relation} {kind} {self.name}, {right}")

    def __add__(self, other: Value | float) -> Value:
        return self._binary("add", other)

    def __radd__(self, other: float) -> Value:
        return self._binary("add", other, swapped=True)

    def __sub__(self, other: Value | float) -> Value:
        return self._binary("sub", other)

    def __rsub__(self, other: float) -> Value:
        return self._binary("sub", other, swapped=True)

    def __mul__(self, other: Value | float) -> Value:
        return self._binary("mul", other)

    def __rmul__(self, other: float) -> Value:
        return self._binary("mul", other, swapped=True)

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary("div", other)

    def __rtruediv__(self, other: float) -> Value:
        return self._binary("div", other, swapped=True)

    def __lt__(self, other: Value | float) -> Value:
        return self._compare("lt", other)

    def __gt__(self, other: Value | float) -> Value:
        return self._compare("gt", other)

    def equals(self, other: Value | float) -> Value:
        return self._compare("eq", other)

    def __lshift__(self, places: int) -> Value:
        return self._binary("shl", places)

    def __rshift__(self, places: int) -> Value:
        return self._binary("ashr", places)

    def __and__(self, mask: int) -> Value:
        return self._binary("and", mask)

    def __abs__(self) -> Value:
        return self.body.intrinsic("fabs", self)


def constant(number: float) -> str:
    """Return a float32 number as LLVM writes it: the bits of the float64 number of the same value.

    >>> constant(0.5)
    '0x3FE0000000000000'
    """
    return f"0x{struct.pack('>d', float(np.float32(number))).hex().upper()}"


def where(condition: Value, yes: Value | float, no: Value | float) -> Value:
    """Return ``yes`` if the condition holds, else ``no``, without a branch. Two integers give an integer."""
    kinds = [INTEGER if isinstance(v, int) else v.kind if isinstance(v, Value) else FLOAT for v in (yes, no)]
    kind = FLOAT if FLOAT in kinds else INTEGER
    body = condition.body
    written = [f"{body.type(kind)} {body.written(v, kind)}" for v in (yes, no)]
    return body.value(kind, f"select {body.type(BOOLEAN)} {condition.name}, {', '.join(written)}")


def copysign(size: Value, sign: Value) -> Value:
    return size.body.intrinsic("copysign", size, sign)


def bits(x: Value) -> Value:
    """Return the bits of a float32 number as an integer."""
    return x.body.converted(INTEGER, "bitcast", x)


def from_bits(i: Value) -> Value:
    return i.body.converted(FLOAT, "bitcast", i)


def to_float(i: Value) -> Value:
    return i.body.converted(FLOAT, "sitofp", i)


def polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Return c0 + c1 x + c2 x^2 + ..., in an order with few dependent operations.

    Neighbours combine to c1 + c2 x, these again with x^2, then with x^4 (Estrin's scheme). Only c0 is added at the end:
    it is the largest term, so its rounding matters most.
    """
    first, *rest = coefficients
    terms: list[Value | float] = [*rest]
    power = x
    while len(terms) > 1:
        pairs = zip_longest(terms[::2], terms[1::2])
        terms = [low if high is None else high * power + low for low, high in pairs]
        power = power * power
    return x * terms[0] + first


# Fitted by tests/fit_elementary.py.
EXPM1 = (0.49999997, 0.16666543, 0.0416672, 0.008366579, 0.0013882505)
LOG1P = (0.3333333, -0.25000823, 0.20001227, -0.16623355, 0.14201769, -0.13160215, 0.12761511, -0.07634328)
TANH = (-0.33333313, 0.13332471, -0.053839244, 0.021014264, -0.0061886213)
ERF = (0.12837917, -0.37612596, 0.11283231, -0.02683889, 0.0051601836, -0.0007767187, 0.000070706345)
ERFC_ROOT = (
    0.57799953,
    -0.41205966,
    0.022954194,
    0.047966268,
    -0.006374219,
    -0.0051533626,
    0.0018207214,
    -0.00017950757,
)

LN2_HIGH, LN2_LOW = 0.693145751953125, 1.4286067653e-6
"""ln 2 in two parts. The first has 15 bits: an exponent times it is exact."""
ROUNDING = 12582912.0
"""1.5 2^23. Adding it to a float32 number leaves the nearest integer in the sum's last bits."""
SMALLEST_NORMAL = 2.0**-126


def power_of_two(k: Value) -> Value:
    """Return 2^k for an integer k from -126 to 127. Only the last 9 bits of k count."""
    return from_bits((k + 127) << 23)


def reduced(x: Value) -> tuple[Value, Value]:
    """Return the integer k nearest to x / ln 2, in its last 22 bits, and e^r - 1 with r = x - k ln 2."""
    shifted = x * (1 / 0.6931471805599453) + ROUNDING
    k = shifted - ROUNDING
    high, low = x - k * LN2_HIGH, k * LN2_LOW  # r = high - low, and high is exact
    r = high - low
    return bits(shifted), high + (r * r * polynomial(r, EXPM1) - low)


def exp(x: Value) -> Value:
    x = where(x < -104.0, -104.0, x)  # e^-104 rounds to 0, e^89 to infinity
    x = where(x > 89.0, 89.0, x)
    k, grown = reduced(x)
    half = k >> 1  # 2^k itself may be out of range
    return (1.0 + grown) * power_of_two(half) * power_of_two(k - half)


def expm1(x: Value) -> Value:
    inner = where(x < -20.0, -20.0, x)
    inner = where(inner > 89.0, 89.0, inner)
    k, grown = reduced(inner)
    half = power_of_two(k - 1)  # 2^128 is out of range
    value = 2.0 * (half * grown + (half - 0.5))
    return where(abs(x) < 2.0**-24, x, value)


def split(x: Value) -> tuple[Value, Value]:
    """Return e and f with x = 2^e (1 + f), for a normal positive x, and 1 + f between 1/sqrt 2 and sqrt 2."""
    root = int(np.float32(0.5**0.5).view(np.int32))
    offset = bits(x) - root
    return offset >> 23, from_bits((offset & 0x007FFFFF) + root) - 1.0


def joined(e: Value, f: Value) -> Value:
    """Return e ln 2 + log(1 + f)."""
    square = f * f
    e = to_float(e)
    return e * LN2_HIGH + (f - (0.5 * square - (f * square * polynomial(f, LOG1P) + e * LN2_LOW)))


def logarithm_or_limit(u: Value, value: Value, same: Value) -> Value:
    """Return ``value`` for a finite u > 0, ``same`` for an infinite one, else -infinity for 0, and NaN."""
    limit = where(u.equals(0.0), -np.inf, np.nan)
    return where(u > 0.0, where(u < np.inf, value, same), limit)


def log(x: Value) -> Value:
    small = x < SMALLEST_NORMAL
    e, f = split(where(small, x * 2.0**23, x))
    return logarithm_or_limit(x, joined(e - where(small, 23, 0), f), x)


def log1p(x: Value) -> Value:
    u = 1.0 + x
    e, f = split(u)
    lost = x - (u - 1.0)  # the sum's rounding error; 0 for large u
    f = f + 0.5 * lost * from_bits((128 - e) << 23)  # twice 2^-e, because 2^-e is out of range for the largest e
    return where(abs(x) < 2.0**-24, x, logarithm_or_limit(u, joined(e, f), x))


def tanh(x: Value) -> Value:
    a = abs(x)
    square = a * a
    near = a + a * square * polynomial(square, TANH)
    k, grown = reduced(where(a > 10.0, 20.0, a + a))  # tanh 10 rounds to 1
    far = 1.0 - 2.0 / ((1.0 + grown) * power_of_two(k) + 1.0)
    return copysign(where(a < 0.5625, near, far), x)


def erf(x: Value) -> Value:
    a = abs(x)
    near = a + a * polynomial(a * a, ERF)
    root = polynomial(where(a > 4.0625, 4.0625, a) - 1.125, ERFC_ROOT)  # erf 4 rounds to 1
    root = root * root
    far = 1.0 - root * root
    return copysign(where(a < 1.125, near, far), x)


FORMULAS: dict[str, Callable[[Value], Value]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "erf": erf,
}
"""The functions that are printed as formulas in float32."""

LIBRARY = {"float32": ("float", "f32", "f"), "float64": ("double", "f64", "")}
"""LLVM's type, optimlab's suffix, and the C library's suffix."""


def functions(dtype: str, names: Iterable[str], lanes: int = 1) -> str:
    """Return the definition of ``@<name>_f32`` or ``@<name>_f64``, from a number to a number, for each name.

    With ``lanes``, a function of :data:`FORMULAS` in float32 is one of so many numbers, ``@<name>_v<lanes>f32``.

    >>> print(functions("float64", ["exp"]))
    declare double @exp(double)
    define internal double @exp_f64(double %x) alwaysinline {
      %v0 = call double @exp(double %x)
      ret double %v0
    }
    """
    number, end, c_suffix = LIBRARY[dtype]
    kind, suffix = vector(number, lanes), suffixed(end, lanes)
    declared: set[str] = set()
    definitions = []
    for name in sorted(set(names)):
        body = _Body(lanes)
        if dtype == "float32" and name in FORMULAS:
            result = FORMULAS[name](Value(body, FLOAT, "%x"))
            declared |= body.declared
        else:
            declared.add(f"declare {kind} @{name}{c_suffix}({kind})")
            result = body.value(kind, f"call {kind} @{name}{c_suffix}({kind} %x)")
        head = f"define internal {kind} @{name}_{suffix}({kind} %x) alwaysinline {{"
        definitions.append("\n".join([head, *body.lines, f"  ret {kind} {result.name}", "}"]))
    return "\n".join([*sorted(declared), *definitions])
