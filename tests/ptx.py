"""NVIDIA's compiler without a GPU: CUDA text to NVIDIA's assembly (PTX), and the assembly run on the CPU.

All threads of a launch go in step: an instruction is one operation of NumPy on the registers of all threads. Threads
that part at a branch go on in groups, always the group that is furthest behind, so that they meet again.

It is stricter than a GPU. Each of these is an error: access outside of the arrays, two threads that use the same memory
without a barrier in between, a barrier that not every thread of a block reaches, and a shuffle with an absent thread.
Shared memory begins as NaN.

What this cannot show is speed, and the last bits of the instructions that NVIDIA calls approximate. Powers of two and
reciprocals, of which NVIDIA makes its functions, round correctly here; the others are a unit too large, to be seen.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest

from optimlab.backends import cupy as engine

try:
    from cupy.cuda import compiler, nvrtc

    nvrtc.getVersion()  # loads it: when a stand-in is in CuPy's place, it is too late
except (ImportError, RuntimeError):
    compiler = None

TYPES = {f"{kind}{8 * size}": f"{code}{size}" for kind, code in zip("bus", "uui", strict=True) for size in (1, 2, 4, 8)}
TYPES |= {"f32": "f4", "f64": "f8", "pred": "?"}
"""NumPy's names of the types of PTX."""

DTYPES = {name: np.dtype(code) for name, code in TYPES.items()}
BITS = {name: np.dtype(code.replace("i", "u").replace("f", "u")) for name, code in TYPES.items()}


def require_compiler() -> None:
    """Skip a test where CuPy, whose wheel brings NVIDIA's compiler, is not installed; in CI, fail it."""
    if compiler is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("CuPy is not installed")


class Wrong(AssertionError):
    """A kernel does what a GPU need not do as meant."""


def compiled(text: str, architecture: str, options: tuple[str, ...] = engine.OPTIONS, kind: str = "ptx") -> bytes:
    """Compile a CUDA text as the backend does, to PTX or "cubin", for an architecture, which CuPy asks the device."""
    name = architecture if kind == "cubin" else architecture.replace("sm", "compute")
    with mock.patch.object(compiler, "_get_arch_for_options_for_nvrtc", return_value=(f"-arch={name}", kind)):
        return compiler.compile_using_nvrtc(text, options)[0]


@cache
def assembly(text: str, architecture: str = "sm_90", options: tuple[str, ...] = engine.OPTIONS) -> str:
    """Return the PTX of a CUDA text."""
    return compiled(text, architecture, options).decode()


@cache
def kernel(ptx: str, name: str) -> Kernel:
    """Return a kernel of an assembly, to be called as CuPy's: ``kernel(grid, block, arguments, shared_mem=0)``.

    The arguments are NumPy's scalars and contiguous arrays, which the kernel writes into.
    """
    return Kernel(program(ptx), name)


# ---- reading ----


class Instruction(NamedTuple):
    guard: str  # "%p1", "!%p1" or ""
    name: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]

    @property
    def type(self) -> str:
        return next((m for m in reversed(self.modifiers) if m in TYPES), "")


class Function(NamedTuple):
    """A kernel, or a function that a kernel calls."""

    parameters: tuple[tuple[str, str], ...]  # (name, type)
    results: tuple[tuple[str, str], ...]
    registers: dict[str, str]  # the type of each, and of a range such as "%f<9>" by its prefix
    variables: dict[str, tuple[str, int, int, Any]]
    code: tuple[Instruction, ...]
    labels: dict[str, int]


class Program(NamedTuple):
    functions: dict[str, Function]
    variables: dict[str, tuple[str, int, int, Any]]  # name: (space, bytes, alignment, values or None)


HEADER = re.compile(r"\.(?:entry|func)\s*(?:\(([^)]*)\))?\s*([\w$]+)\s*\(([^)]*)\)[^{;]*([{;])")
PARAMETER = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s[^,]*?([\w$]+)(?:\[\d+\])?\s*(?:,|$)")
VARIABLE = re.compile(
    r"\.(shared|global|const|local)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)((?:\[\d*\])*)(?:\s*=\s*(.*))?", re.S
)
STATEMENT = re.compile(r"(?:@(!?%\w+)\s+)?([a-z]\w*)((?:[.:]\w+)*)\s*(.*)", re.S)


@cache
def program(ptx: str) -> Program:
    text = re.sub(r"//[^\n]*|\.(?:version|target|address_size|loc|file|pragma)\b[^\n]*", "", ptx)
    functions, outside, at = {}, "", 0
    while found := HEADER.search(text, at):
        outside, at = outside + text[at : found.start()], found.end()
        if found[4] == "{":
            end, depth = at, 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            functions[found[2]] = _function(found[1] or "", found[3], text[at : end - 1])
            at = end
    variables: dict[str, Any] = {}
    for statement in (outside + text[at:]).split(";"):
        _declare(statement, variables)
    return Program(functions, variables)


def _declare(statement: str, variables: dict[str, Any]) -> None:
    if found := VARIABLE.search(statement):
        space, alignment, kind, name, counts, values = found.groups()
        size = DTYPES[kind].itemsize
        count = int(np.prod([int(n or 0) for n in re.findall(r"\[(\d*)\]", counts)]))
        if values:
            values = np.array([_constant(v.strip(), kind) for v in values.strip(" {}\n").split(",")])
        variables[name] = space, size * count, int(alignment or size), values


def _function(results: str, parameters: str, body: str) -> Function:
    registers, variables, code, labels = {}, {}, [], {}
    body = re.sub(r"\{([^{};]*)\}", r"<\1>", body)  # the braces of operands; the others are blocks
    hidden: list[dict[str, str]] = [{}]  # for each block that is open, new names of the registers it declares
    for statement in (part.strip() for part in re.split(r"([{}])|;|(?<=:)\n", body) if part):
        statement = re.sub(r"%\w+", lambda found: hidden[-1].get(found[0], found[0]), statement)
        if statement == "{":
            hidden.append(dict(hidden[-1]))
        elif statement == "}":
            hidden.pop()
        elif statement.endswith(":"):
            labels[statement[:-1]] = len(code)
        elif statement.startswith(".reg"):
            _, kind, names = statement.split(None, 2)
            for name in (part.strip().split("<")[0] for part in names.split(",")):
                if len(hidden) > 1:
                    hidden[-1][name] = f"{name}_{len(registers)}_"
                registers[hidden[-1].get(name, name)] = kind[1:]
        elif statement.startswith("."):
            _declare(statement, variables)
        elif statement:
            guard, name, modifiers, operands = STATEMENT.fullmatch(statement).groups()
            operands = re.findall(r"(?:<[^>]*>|\([^)]*\)|\[[^]]*\]|[^,\s])+", operands)
            code.append(Instruction(guard or "", name, tuple(re.split("[.:]+", modifiers)[1:]), tuple(operands)))
    pairs = [tuple((name, kind) for kind, name in PARAMETER.findall(given)) for given in (parameters, results)]
    return Function(*pairs, registers, variables, tuple(code), labels)


def _constant(text: str, kind: str) -> Any:
    """Return the bits of a number."""
    if text[:2].lower() in ("0f", "0d"):
        return np.array(int(text[2:], 16), BITS[kind])
    return np.array(int(text.rstrip("U"), 0) & (256 ** BITS[kind].itemsize - 1), BITS[kind])


# ---- memory ----

GAP = 256
"""Bytes between arrays that belong to none."""


class Memory:
    """All arrays of a launch, one after the other, and who used which word last.

    That is a number: -1 for nobody, otherwise ``when * names + who``. ``when`` is unique to a block and to the barriers
    that it has passed; ``who`` is a thread, several threads, or a warp.
    """

    def __init__(self) -> None:
        self.bytes = np.zeros(GAP, "u1")
        self.used = np.zeros(GAP, bool)

    def allocate(self, *arrays: Any) -> list[int]:
        """Copy arrays; return their addresses."""
        parts, used, addresses, end = [self.bytes], [self.used], [], len(self.bytes)
        for array in arrays:
            content = np.ascontiguousarray(array).reshape(-1).view("u1")
            gap = GAP - len(content) % GAP + GAP
            parts += content, np.zeros(gap, "u1")
            used += np.ones(len(content), bool), np.zeros(gap, bool)
            addresses.append(end)
            end += len(content) + gap
        self.bytes, self.used = np.concatenate(parts), np.concatenate(used)
        return addresses

    def begin(self, threads: int, blocks: int) -> None:
        size, words = threads // blocks, len(self.bytes) // 4
        warps = -(-size // 32)
        thread = np.arange(threads)
        self.writer, self.reader = np.full(words, -1), np.full(words, -1)
        self.blocks, self.several, self.names = blocks, threads, threads + 1 + blocks * warps
        self.warp = threads + 1 + thread // size * warps + thread % size // 32
        self.who = thread // size * self.names + thread

    def pass_barrier(self) -> None:
        self.who += self.blocks * self.names

    def pass_barrier_of_warps(self, present: Any) -> None:
        """From here on, what a thread did before counts as done by its whole warp."""
        for users in (self.writer, self.reader):
            who = users % self.names
            done = (users >= 0) & (who < self.several) & present[np.minimum(who, self.several - 1)]
            users[done] += self.warp[who[done]] - who[done]

    def places(self, address: Any, dtype: Any) -> Any:
        """The indices of numbers of a type."""
        if (address % dtype.itemsize).any():
            raise Wrong("an address is not aligned")
        if address.max() >= len(self.bytes) or address.min() < 0 or not self.used[address].all():
            raise Wrong("an address is outside of all arrays")
        return address // dtype.itemsize

    def watch(self, address: Any, size: int, threads: Any, write: bool) -> None:
        """Refuse an access that may come before or after another thread's."""
        own, warp = self.who[threads], self.warp[threads]
        for offset in range(0, size, 4):
            word = (address + offset) // 4
            self._ordered(self.writer[word], own, warp)
            last = self.reader[word]
            users = self.writer if write else self.reader
            users[word] = own
            others = users[word] != own
            if write:
                self._ordered(last, own, warp)
                if others.any() and size >= 4:
                    raise Wrong("two threads write the same memory at once")
            elif others.any() or not ((last == own) | (last < 0)).all():
                others |= (last >= 0) & (last != own) & (last // self.names == own // self.names)
                users[word[others]] = (own // self.names * self.names + self.several)[others]

    def _ordered(self, last: Any, own: Any, warp: Any) -> None:
        if ((last == own) | (last < 0)).all():
            return
        (when, who), (now, thread) = np.divmod(last, self.names), np.divmod(own, self.names)
        apart = (last >= 0) & (who != thread) & (who != warp)
        if (apart & ((when == now) | (when % self.blocks != now % self.blocks))).any():
            raise Wrong("two threads use the same memory, and one writes, without a barrier in between")


# ---- arithmetic ----

FMA = """
#include <fenv.h>
#include <math.h>
void fma_f4(long n, const float *a, const float *b, const float *c, float *out)
{ for (long i = 0; i < n; ++i) out[i] = fmaf(a[i], b[i], c[i]); }
void fma_f8(long n, const double *a, const double *b, const double *c, double *out)
{ for (long i = 0; i < n; ++i) out[i] = fma(a[i], b[i], c[i]); }
int round_to(int how)
{ const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD}; return fesetround(modes[how]); }
"""
"""What NumPy lacks: a multiplication and an addition that round once, and the modes of rounding."""


@cache
def _c() -> Any:
    compiler = shutil.which("g++") or shutil.which("c++") or "g++"
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "fma.c"), Path(folder, "fma.so")
        source.write_text(FMA)
        flags = ["-O2", "-frounding-math", "-shared", "-fPIC", "-lm"]
        subprocess.run([compiler, "-x", "c", source, *flags, "-o", library], check=True)
        return ctypes.CDLL(str(library))


def _fma(a: Any, b: Any, c: Any) -> Any:
    a, b, c = (np.ascontiguousarray(x) for x in np.broadcast_arrays(a, b, c))
    out = np.empty_like(a)
    _c()[f"fma_{a.dtype.str[1:]}"](ctypes.c_long(a.size), *(ctypes.c_void_p(x.ctypes.data) for x in (a, b, c, out)))
    return out


def _rounded(how: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        _c().round_to(how)
        try:
            return function(*values)
        finally:
            _c().round_to(0)

    return call


def _flush(x: Any) -> Any:
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, np.copysign(x.dtype.type(0), x), x)


def _saturated(x: Any) -> Any:
    return np.where(x > 0, np.minimum(x, x.dtype.type(1)), x.dtype.type(0))


def _bits(x: Any) -> Any:
    return x.view(f"u{x.dtype.itemsize}")


def _minimum(a: Any, b: Any) -> Any:
    return np.where((a == 0) & (b == 0), (_bits(a) | _bits(b)).view(a.dtype), np.fmin(a, b))


def _maximum(a: Any, b: Any) -> Any:
    return np.where((a == 0) & (b == 0), (_bits(a) & _bits(b)).view(a.dtype), np.fmax(a, b))


def _quotient(a: Any, b: Any) -> Any:
    """Rounded towards zero, where NumPy rounds down."""
    with np.errstate(all="ignore"):
        return np.where((a < 0) != (b < 0), -(np.abs(a) // np.abs(b)), np.abs(a) // np.abs(b)).astype(a.dtype)


def _high(a: Any, b: Any) -> Any:
    """The upper half of a product."""
    if a.dtype.itemsize == 4:
        wide = a.dtype.str.replace("4", "8")
        return (a.astype(wide) * b.astype(wide) >> np.array(32, wide)).astype(a.dtype)
    half, low = np.uint64(32), np.uint64(2**32 - 1)
    x, y = a.astype("u8"), b.astype("u8")
    x1, x0, y1, y0 = x >> half, x & low, y >> half, y & low
    middle = x1 * y0 + (x0 * y0 >> half)
    high = x1 * y1 + (middle >> half) + ((middle & low) + x0 * y1 >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, np.uint64(0)) - np.where(b < 0, x, np.uint64(0))
    return high.astype(a.dtype)


def _given(x: Any) -> Any:
    """Return a result as the device gives it: of a float64 the upper half, and zeros."""
    return x if x.dtype == np.float32 else (_bits(x) & np.uint64(0xFFFFFFFF00000000)).view(x.dtype)


FLOATS: dict[str, Callable[..., Any]] = {
    "rcp": np.reciprocal,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "fma": _fma,
    "mad": _fma,
    "min": _minimum,
    "max": _maximum,
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "copysign": lambda a, b: np.copysign(b, a),
}
APPROXIMATE: dict[str, Callable[..., Any]] = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "rcp": np.reciprocal,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sqrt": np.sqrt,
    "div": np.divide,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}
INTEGERS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "mad": lambda a, b, c: a * b + c,
    "div": _quotient,
    "rem": lambda a, b: a - _quotient(a, b) * b,
    "min": np.minimum,
    "max": np.maximum,
    "neg": np.negative,
    "abs": np.abs,
    "not": np.invert,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "popc": np.bitwise_count,
    "clz": lambda a: sum(a < a.dtype.type(2**k) for k in range(8 * a.dtype.itemsize)),
    "bfi": lambda a, b, start, length: (
        (b & ~_ones(a, start, length)) | (np.left_shift(a, start.astype(a.dtype)) & _ones(a, start, length))
    ),
}
COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": np.equal,
    "ne": lambda a, b: (a < b) | (a > b),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
    # true for a NaN
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: (a == a) & (b == b),
    "nan": lambda a, b: (a != a) | (b != b),
}
LOGIC: dict[str, Callable[..., Any]] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
MODES = {"rn": 0, "rz": 1, "rm": 2, "rp": 3}
WHOLE = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def _ones(a: Any, start: Any, length: Any) -> Any:
    return np.left_shift(np.left_shift(a.dtype.type(1), length.astype(a.dtype)) - 1, start.astype(a.dtype))


def _arithmetic(i: Instruction) -> Callable[..., Any]:
    """Return the function of an instruction with one type."""
    if i.type not in ("f32", "f64"):
        if i.name not in INTEGERS:
            raise NotImplementedError(f"{'.'.join((i.name, *i.modifiers))} is not taken over from PTX yet")
        return _high if "hi" in i.modifiers and i.name == "mul" else INTEGERS[i.name]
    if "approx" in i.modifiers or "full" in i.modifiers:
        wide, dtype, exact = "f8", DTYPES[i.type], APPROXIMATE[i.name]

        def function(*values: Any) -> Any:
            out = _given(exact(*(v.astype(wide) for v in values)).astype(dtype))
            return out if i.name in ("ex2", "rcp") else np.nextafter(out, dtype.type(np.inf))
    else:
        function = FLOATS[i.name]
        mode = next((MODES[m] for m in i.modifiers if m in MODES), 0)
        function = _rounded(mode, function) if mode else function
    return _finished(i, function)


def _finished(i: Instruction, function: Callable[..., Any]) -> Callable[..., Any]:
    saturate, flush = "sat" in i.modifiers, "ftz" in i.modifiers and i.type == "f32"

    def call(*values: Any) -> Any:
        out = function(*map(_flush, values)) if flush else function(*values)
        out = _saturated(out) if saturate else out
        return _flush(out) if flush and out.dtype == np.float32 else out

    return call if saturate or flush else function


def _conversion(i: Instruction) -> Callable[..., Any]:
    to, source = (m for m in i.modifiers if m in TYPES)
    dtype = DTYPES[to]
    whole = next((WHOLE[m] for m in i.modifiers if m in WHOLE), None)
    mode = next((MODES[m] for m in i.modifiers if m in MODES), 0)

    def convert(x: Any) -> Any:
        if source[0] != "f" or to[0] == "f":
            return (whole(x) if whole else x).astype(dtype)
        info = np.iinfo(dtype)
        x = (whole or np.trunc)(x.astype("f8"))
        inside = (x > info.min) & (x < info.max)
        ends = np.where(x >= info.max, info.max, np.where(x <= info.min, info.min, 0)).astype(dtype)
        return np.where(inside, np.where(inside, x, 0).astype(dtype), ends)

    return _finished(i._replace(modifiers=(*i.modifiers, source)), _rounded(mode, convert) if mode else convert)


# ---- running ----


class Frame(dict):
    """The registers of a function under way, as bits, for all threads. A register that was not written is zero."""

    def __init__(self, launch: Launch, function: Function) -> None:
        self.launch, self.function, self.carry = launch, function, 0
        self.parameters: dict[tuple[str, int], Any] = {}
        self.locals = {
            name: launch.memory.allocate(np.zeros(launch.threads * size, "u1"))[0] + size * launch.thread
            for name, (space, size, _, _) in function.variables.items()
            if space == "local"
        }

    def __missing__(self, name: str) -> Any:
        if name in self.launch.special:
            return self.launch.special[name]
        kind = self.function.registers.get(name) or self.function.registers[name.rstrip("0123456789")]
        made = self[name] = np.zeros(self.launch.threads, BITS[kind])
        return made

    def address(self, name: str) -> Any:
        return self.locals[name] if name in self.locals else self.launch.addresses[name]


class Launch:
    """One launch under way."""

    def __init__(self, made: Program, grid: Any, block: Any, shared: int) -> None:
        grid, block = ((*size, 1, 1)[:3] for size in (grid, block))
        self.block_size, self.blocks = int(np.prod(block)), int(np.prod(grid))
        self.threads = self.block_size * self.blocks
        self.thread = np.arange(self.threads)
        self.block, self.in_block = np.divmod(self.thread, self.block_size)
        self.warp_begin = self.thread - self.in_block % 32
        self.special = {"%laneid": (self.in_block % 32).astype("u4"), "%warpid": (self.in_block // 32).astype("u4")}
        for name, size, place in (("tid", block, self.in_block), ("ctaid", grid, self.block)):
            for axis in "xyz":
                n = size["xyz".index(axis)]
                self.special[f"%{name}.{axis}"], place = (place % n).astype("u4"), place // n
                self.special[f"%n{name}.{axis}"] = np.full(self.threads, n, "u4")
        self.memory, self.addresses, at = Memory(), {}, 0
        variables = {**made.variables, **{k: v for f in made.functions.values() for k, v in f.variables.items()}}
        for name, (space, size, alignment, values) in sorted(variables.items(), key=lambda item: item[1][1] == 0):
            if space == "shared":  # last that whose size the launch gives
                at = -(-at // alignment) * alignment
                self.addresses[name], at = at, at + size
            elif space != "local":
                self.addresses[name] = self.memory.allocate(np.zeros(size, "u1") if values is None else values)[0]
        self.shared_size = at + shared
        blocks = [np.full(self.shared_size, 255, "u1")] * self.blocks
        self.shared = np.array(self.memory.allocate(*blocks))[self.block] if self.shared_size else 0 * self.thread


Step = Callable[[Frame, Any], None]
"""An instruction of the threads at some indices, or of all at ``slice(None)``."""


class Kernel:
    """A kernel to be called as CuPy's."""

    def __init__(self, made: Program, name: str) -> None:
        self.program, self.name = made, name
        self.steps: dict[int, list[Step | None]] = {}

    def __call__(self, grid: Any, block: Any, arguments: Any, shared_mem: int = 0) -> None:
        function = self.program.functions[self.name]
        launch = Launch(self.program, grid, block, shared_mem)
        arrays = [a for a in arguments if isinstance(a, np.ndarray) and a.ndim]
        given = iter(launch.memory.allocate(*arrays))
        places = [next(given) if any(a is x for x in arrays) else None for a in arguments]
        launch.memory.begin(launch.threads, launch.blocks)
        frame = Frame(launch, function)
        if len(arguments) != len(function.parameters):
            raise Wrong(f"{self.name} takes {len(function.parameters)} arguments, got {len(arguments)}")
        for (name, kind), argument, place in zip(function.parameters, arguments, places, strict=True):
            value = np.array(place, "u8") if place else np.asarray(argument)
            if value.dtype.itemsize != DTYPES[kind].itemsize:
                raise Wrong(f"{name} is {kind}, got {value.dtype}")
            frame.parameters[name, 0] = np.full(launch.threads, value.view(BITS[kind]))
        with np.errstate(all="ignore"):
            self.run(function, frame, launch.thread)
        for argument, place in zip(arguments, places, strict=True):
            if place:
                after = launch.memory.bytes[place : place + argument.nbytes].view(argument.dtype)
                argument[...] = after.reshape(argument.shape)

    def run(self, function: Function, frame: Frame, threads: Any) -> None:
        """Run a function to its end, by the threads at some indices."""
        steps = self.steps.setdefault(id(function), [None] * len(function.code))
        groups: dict[int, Any] = {0: threads}  # the threads that are about to make the step of that number
        parked: dict[int, Any] = {}  # those at a barrier

        def go(step: int, who: Any) -> None:
            if len(who):
                groups[step] = np.sort(np.concatenate([groups[step], who])) if step in groups else who

        while groups or parked:
            if not groups:
                self._pass_barrier(frame.launch, parked, len(threads))
                groups, parked = parked, {}
            k = min(groups)
            who, behind = groups.pop(k), min(groups, default=len(function.code))
            while True:
                i = function.code[k]
                ready = who
                if i.guard:
                    true = frame[i.guard.lstrip("!")][who] != i.guard.startswith("!")
                    ready = who[true]
                if i.name == "bra":
                    go(function.labels[i.operands[0]], ready)
                    go(k + 1, who[~true] if i.guard else who[:0])
                    break
                if i.name in ("ret", "exit"):
                    go(k + 1, who[~true] if i.guard else who[:0])
                    break
                if i.name in ("bar", "barrier") and "warp" not in i.modifiers:
                    parked[k + 1] = who
                    break
                if len(ready):
                    step = steps[k]
                    if step is None:
                        step = steps[k] = self._step(function, i)
                    step(frame, slice(None) if len(ready) == frame.launch.threads else ready)
                k += 1
                if k >= behind:
                    go(k, who)
                    break

    @staticmethod
    def _pass_barrier(launch: Launch, parked: dict[int, Any], threads: int) -> None:
        if threads != launch.threads or any(
            np.isin(np.bincount(launch.block[who], minlength=launch.blocks), (0, launch.block_size), invert=True).any()
            for who in parked.values()
        ):
            raise Wrong("a barrier is not reached by every thread of the block")
        launch.memory.pass_barrier()

    # ---- from an instruction to a step ----

    def _step(self, function: Function, i: Instruction) -> Step:
        special = getattr(self, f"_{i.name}", None)
        if special:
            return special(function, i)
        kind = i.type
        if kind == "pred":
            get, put = [_get(function, text, kind) for text in i.operands[1:]], _put(function, i.operands[0], kind)
            act = {"mov": lambda a: a, "not": np.logical_not, **LOGIC}[i.name]
            return lambda f, at: put(f, at, act(*(g(f, at) for g in get)))
        if "cc" in i.modifiers or i.name in ("addc", "subc", "madc"):
            return self._with_carry(function, i)
        result = {"popc": "u32", "clz": "u32"}.get(i.name, kind)
        get = [_get(function, text, kind) for text in i.operands[1:]]
        if i.name == "bfi":
            get[-2:] = [_get(function, text, "u32") for text in i.operands[-2:]]
        put, act = _put(function, i.operands[0], result), _arithmetic(i)
        return lambda f, at: put(f, at, act(*(g(f, at) for g in get)))

    def _with_carry(self, function: Function, i: Instruction) -> Step:
        get, put = [_get(function, text, "u32") for text in i.operands[1:]], _put(function, i.operands[0], "u32")
        takes, high, name = i.name.endswith("c"), "hi" in i.modifiers, i.name[:3]

        def step(f: Frame, at: Any) -> None:
            *values, last = (np.asarray(g(f, at)).astype("u8") for g in get)
            carry = np.broadcast_to(f.carry, f.launch.threads)[at] if takes else 0
            if name == "sub":
                out = values[0] - last - carry
            else:
                product = values[0] * (values[1] if name == "mad" else 1)
                out = (product >> np.uint64(32) if high else product & np.uint64(2**32 - 1)) + last + carry
            put(f, at, out.astype("u4"))
            f.carry = np.zeros(f.launch.threads, "u8")
            f.carry[at] = out >> np.uint64(32) & np.uint64(1)

        return step

    def _mov(self, function: Function, i: Instruction) -> Step:
        to, source = i.operands
        if "<" in to + source:  # parts of a register
            whole, parts = (source, to) if to[0] == "<" else (to, source)
            parts = [part.strip() for part in parts.strip("<>").split(",")]
            part = f"b{8 * DTYPES[i.type].itemsize // len(parts)}"
            if to[0] == "<":
                get, puts = _get(function, whole, i.type), [_put(function, name, part) for name in parts]

                def split(f: Frame, at: Any) -> None:
                    values = np.ascontiguousarray(get(f, at)).view(BITS[part]).reshape(-1, len(parts))
                    for k, put in enumerate(puts):
                        put(f, at, values[:, k])

                return split
            gets, put = [_get(function, name, part) for name in parts], _put(function, whole, i.type)

            def join(f: Frame, at: Any) -> None:
                values = np.stack(np.broadcast_arrays(*(g(f, at) for g in gets)), axis=-1)
                put(f, at, np.ascontiguousarray(values).view(BITS[i.type])[..., 0])

            return join
        get, put = _get(function, source, i.type), _put(function, to, i.type)
        return lambda f, at: put(f, at, get(f, at))

    def _cvta(self, function: Function, i: Instruction) -> Step:
        get, put = _get(function, i.operands[1], i.type), _put(function, i.operands[0], i.type)
        sign = 0 if "shared" not in i.modifiers else -1 if "to" in i.modifiers else 1
        return lambda f, at: put(f, at, get(f, at) + (sign * f.launch.shared[at]).astype(DTYPES[i.type]))

    def _cvt(self, function: Function, i: Instruction) -> Step:
        to, source = (m for m in i.modifiers if m in TYPES)
        get, put = _get(function, i.operands[1], source), _put(function, i.operands[0], to)
        act = _conversion(i)
        return lambda f, at: put(f, at, act(get(f, at)))

    def _mul(self, function: Function, i: Instruction) -> Step:
        """Products of integers that are twice as wide."""
        wide = "wide" in i.modifiers
        to = f"{i.type[0]}{2 * int(i.type[1:])}" if wide else i.type
        kinds = [i.type, i.type, to]
        get = [_get(function, text, kind) for text, kind in zip(i.operands[1:], kinds, strict=False)]
        put, act = _put(function, i.operands[0], to), _arithmetic(i)
        dtype = DTYPES[to]
        if wide:
            return lambda f, at: put(f, at, act(*(g(f, at).astype(dtype) for g in get)))
        return lambda f, at: put(f, at, act(*(g(f, at) for g in get)))

    def _mad(self, function: Function, i: Instruction) -> Step:
        return self._with_carry(function, i) if "cc" in i.modifiers else self._mul(function, i)

    def _shl(self, function: Function, i: Instruction) -> Step:
        get, put = _get(function, i.operands[1], i.type), _put(function, i.operands[0], i.type)
        by, shift = _get(function, i.operands[2], "u32"), np.left_shift if i.name == "shl" else np.right_shift
        dtype = DTYPES[i.type]  # NumPy, too, shifts everything out
        return lambda f, at: put(f, at, shift(get(f, at), by(f, at).astype(dtype)))

    _shr = _shl

    def _shf(self, function: Function, i: Instruction) -> Step:
        low, high, by = (_get(function, text, "u32") for text in i.operands[1:])
        put, left, wrap = _put(function, i.operands[0], "u32"), "l" in i.modifiers, "wrap" in i.modifiers

        def step(f: Frame, at: Any) -> None:
            n = by(f, at).astype("u8")
            n = n & np.uint64(31) if wrap else np.minimum(n, np.uint64(32))
            both = high(f, at).astype("u8") << np.uint64(32) | low(f, at)
            put(f, at, (both << n >> np.uint64(32) if left else both >> n).astype("u4"))

        return step

    def _prmt(self, function: Function, i: Instruction) -> Step:
        get, put = [_get(function, text, "u32") for text in i.operands[1:]], _put(function, i.operands[0], "u32")

        def step(f: Frame, at: Any) -> None:
            low, high, chosen = (g(f, at).astype("u8") for g in get)
            both, out = high << np.uint64(32) | low, np.uint64(0)
            for k in range(4):
                nibble = chosen >> np.uint64(4 * k) & np.uint64(15)
                byte = both >> np.uint64(8) * (nibble & np.uint64(7)) & np.uint64(255)
                byte = np.where(nibble >= 8, np.where(byte >= 128, np.uint64(255), np.uint64(0)), byte)
                out = out | byte << np.uint64(8 * k)
            put(f, at, out.astype("u4"))

        return step

    def _lop3(self, function: Function, i: Instruction) -> Step:
        a, b, c = (_get(function, text, "u32") for text in i.operands[1:4])
        put, table = _put(function, i.operands[0], "u32"), int(i.operands[4], 0)

        def step(f: Frame, at: Any) -> None:
            x, y, z = a(f, at), b(f, at), c(f, at)
            terms = [(x if k & 4 else ~x) & (y if k & 2 else ~y) & (z if k & 1 else ~z) for k in range(8)]
            chosen = [term for k, term in enumerate(terms) if table >> k & 1]
            put(f, at, np.bitwise_or.reduce(np.broadcast_arrays(*chosen)) if chosen else np.zeros_like(x))

        return step

    def _setp(self, function: Function, i: Instruction) -> Step:
        comparison, *rest = i.modifiers
        combine = next((LOGIC[m] for m in rest if m in LOGIC), None)
        a, b = (_get(function, text, i.type) for text in i.operands[1:3])
        third = _get(function, i.operands[3], "pred") if combine else None
        puts = [_put(function, name, "pred") for name in i.operands[0].split("|")]
        act = _finished(i, COMPARISONS[comparison])

        def step(f: Frame, at: Any) -> None:
            found = act(a(f, at), b(f, at))
            for put, value in zip(puts, (found, ~found), strict=False):
                put(f, at, combine(value, third(f, at)) if combine else value)

        return step

    def _selp(self, function: Function, i: Instruction) -> Step:
        a, b = (_get(function, text, i.type) for text in i.operands[1:3])
        condition, put = _get(function, i.operands[3], "pred"), _put(function, i.operands[0], i.type)
        return lambda f, at: put(f, at, np.where(condition(f, at), a(f, at), b(f, at)))

    def _ld(self, function: Function, i: Instruction) -> Step:
        to, kind, dtype = _parts(i.operands[0]), i.type, BITS[i.type]
        puts, (base, offset) = [_put(function, name, kind) for name in to], _address(i.operands[1])
        if "param" in i.modifiers:
            return lambda f, at: [
                put(f, at, f.parameters[base, offset + k * dtype.itemsize][at].view(DTYPES[kind]))
                for k, put in enumerate(puts)
            ]
        locate, watched = _place(function, i, base, offset), "local" not in i.modifiers and "const" not in i.modifiers

        def step(f: Frame, at: Any) -> None:
            address, memory = locate(f, at), f.launch.memory
            for k, put in enumerate(puts):
                there = address + np.int64(k * dtype.itemsize)
                places = memory.places(there, dtype)
                if watched:
                    memory.watch(there, dtype.itemsize, at, write=False)
                put(f, at, memory.bytes.view(dtype)[places].view(DTYPES[kind]))

        return step

    _ldu = _ld

    def _st(self, function: Function, i: Instruction) -> Step:
        gets, dtype = [_get(function, name, i.type) for name in _parts(i.operands[1])], BITS[i.type]
        base, offset = _address(i.operands[0])
        if "param" in i.modifiers:

            def give(f: Frame, at: Any) -> None:
                for k, get in enumerate(gets):
                    place = base, offset + k * dtype.itemsize
                    if place not in f.parameters:
                        f.parameters[place] = np.zeros(f.launch.threads, dtype)
                    f.parameters[place][at] = get(f, at).view(dtype)

            return give
        locate, watched = _place(function, i, base, offset), "local" not in i.modifiers

        def step(f: Frame, at: Any) -> None:
            address, memory = locate(f, at), f.launch.memory
            for k, get in enumerate(gets):
                there = address + np.int64(k * dtype.itemsize)
                places = memory.places(there, dtype)
                if watched:
                    memory.watch(there, dtype.itemsize, at, write=True)
                memory.bytes.view(dtype)[places] = get(f, at).view(dtype)

        return step

    def _atom(self, function: Function, i: Instruction) -> Step:
        """Return a step in which one thread after the other changes the memory."""
        to, where, *values = i.operands if i.name == "atom" else ("_", *i.operands)
        dtype, what = DTYPES[i.type], next(m for m in i.modifiers if m in ATOMIC)
        gets, put, locate = [_get(function, v, i.type) for v in values], _put(function, to, i.type), None
        locate = _place(function, i, *_address(where))

        def step(f: Frame, at: Any) -> None:
            memory = f.launch.memory
            places = np.broadcast_to(memory.places(locate(f, at), dtype), f.launch.thread[at].shape)
            given = [np.broadcast_to(g(f, at), places.shape) for g in gets]
            numbers, old = memory.bytes.view(dtype), np.empty(places.shape, dtype)
            for k, place in enumerate(places):
                old[k] = numbers[place]
                numbers[place] = ATOMIC[what](old[k], *(g[k] for g in given))
            put(f, at, old)

        return step

    _red = _atom

    def _shfl(self, function: Function, i: Instruction) -> Step:
        names, way = i.operands[0].split("|"), next(m for m in i.modifiers if m in ("up", "down", "bfly", "idx"))
        puts = [_put(function, name, kind) for name, kind in zip(names, ("b32", "pred"), strict=False)]
        value, by, limits, members = (_get(function, text, "u32") for text in i.operands[1:5])

        def step(f: Frame, at: Any) -> None:
            launch = f.launch
            present = _present(launch, at, members(f, at))
            lane = launch.special["%laneid"][at].astype("i8")
            b, c = by(f, at).astype("i8") & 31, limits(f, at).astype("i8")
            segment, clamp = c >> 8 & 31, c & 31
            last = (lane & segment) | (clamp & ~segment & 31)
            source = {"up": lane - b, "down": lane + b, "bfly": lane ^ b, "idx": (lane & segment) | (b & ~segment)}[way]
            inside = source >= last if way == "up" else source <= last
            source = launch.warp_begin[at] + np.where(inside, source, lane)
            if not present[source].all():
                raise Wrong("a shuffle reads from a thread that is absent")
            whole = np.zeros(launch.threads, "u4")
            whole[at] = value(f, at)
            for put, out in zip(puts, (whole[source], inside), strict=False):
                put(f, at, out)

        return step

    def _vote(self, function: Function, i: Instruction) -> Step:
        way = next(m for m in i.modifiers if m in ("ballot", "any", "all"))
        condition, members = _get(function, i.operands[1], "pred"), _get(function, i.operands[2], "u32")
        put = _put(function, i.operands[0], "b32" if way == "ballot" else "pred")

        def step(f: Frame, at: Any) -> None:
            launch = f.launch
            _present(launch, at, members(f, at))
            true = np.broadcast_to(condition(f, at), launch.thread[at].shape)
            who = launch.thread[at][~true if way == "all" else true]
            found = np.zeros(launch.threads + 32, "u4")
            np.bitwise_or.at(found, launch.warp_begin[who], np.uint32(1) << launch.special["%laneid"][who])
            found = found[launch.warp_begin[at]]
            put(f, at, found if way == "ballot" else found == 0 if way == "all" else found != 0)

        return step

    def _call(self, function: Function, i: Instruction) -> Step:
        *results, name, given = i.operands if i.operands[-1][0] == "(" else (*i.operands, "()")
        called = self.program.functions[name]
        results, given = (
            [n.strip() for n in text.strip("() ").split(",") if n.strip()]
            for text in (results[0] if results else "", given)
        )

        def step(f: Frame, at: Any) -> None:
            frame = Frame(f.launch, called)
            for (parameter, _), argument in zip(called.parameters, given, strict=True):
                frame.parameters |= {(parameter, k): v for (n, k), v in f.parameters.items() if n == argument}
            self.run(called, frame, f.launch.thread[at])
            for (parameter, _), result in zip(called.results, results, strict=True):
                f.parameters |= {(result, k): v for (n, k), v in frame.parameters.items() if n == parameter}

        return step

    def _nothing(self, function: Function, i: Instruction) -> Step:
        return lambda f, at: None

    _membar = _fence = _nothing

    def _bar(self, function: Function, i: Instruction) -> Step:
        """``bar.warp.sync``: the other barrier is no step."""
        members = _get(function, i.operands[0], "u32")
        return lambda f, at: f.launch.memory.pass_barrier_of_warps(_present(f.launch, at, members(f, at)))


ATOMIC: dict[str, Callable[..., Any]] = {
    "add": lambda old, x: old + x,
    "min": min,
    "max": max,
    "exch": lambda old, x: x,
    "and": lambda old, x: old & x,
    "or": lambda old, x: old | x,
    "cas": lambda old, wanted, x: x if old == wanted else old,
}


def _present(launch: Launch, at: Any, members: Any) -> Any:
    """Return the threads that are there; all that are named must be."""
    present = np.zeros(launch.threads, bool)
    present[at] = True
    for lane in range(32):
        named = (np.broadcast_to(members, launch.thread[at].shape) >> np.uint32(lane) & 1).astype(bool)
        place = launch.warp_begin[at][named] + lane
        there = launch.in_block[at][named] // 32 * 32 + lane < launch.block_size
        if not present[place[there]].all():
            raise Wrong("a thread named in the mask of a shuffle is absent")
    return present


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.strip("<>").split(",")]


def _address(text: str) -> tuple[str, int]:
    """Return the register or variable, and the offset."""
    base, sign, offset = re.fullmatch(r"\[\s*([%\w$]+)\s*(?:([+-]+)\s*(\d+))?\s*\]", text).groups()
    return base, int(offset or 0) * (-1 if "-" in (sign or "") else 1)


def _place(function: Function, i: Instruction, base: str, offset: int) -> Callable[[Frame, Any], Any]:
    """Return what gives the address in the memory of a launch."""
    register, shared, size = base.startswith("%"), "shared" in i.modifiers, DTYPES[i.type].itemsize

    def locate(f: Frame, at: Any) -> Any:
        address = f[base][at].astype("i8") if register else f.address(base)
        address = address + offset if register or np.ndim(address) == 0 else address[at] + offset
        if shared:
            if (np.min(address) < 0) or (np.max(address) + size > f.launch.shared_size):
                raise Wrong("an address is outside of the shared memory")
            address = address + f.launch.shared[at]
        return np.broadcast_to(address, f.launch.thread[at].shape)

    return locate


def _get(function: Function, text: str, kind: str) -> Callable[[Frame, Any], Any]:
    """Return what reads an operand, as numbers of a type."""
    dtype, bits = DTYPES[kind], BITS[kind]
    if kind == "pred":
        name, wrong = text.lstrip("!"), text.startswith("!")
        if not name.startswith("%"):
            return lambda f, at: np.array(int(name) != 0)
        return lambda f, at: f[name][at] != wrong
    if text.startswith("%"):

        def get(f: Frame, at: Any) -> Any:
            value = f[text][at]
            return (value if value.dtype == bits else value.astype(bits)).view(dtype)

        return get
    if re.fullmatch(r"-?\d\w*", text):
        number = _constant(text, kind).view(dtype)
        return lambda f, at: number

    def locate(f: Frame, at: Any) -> Any:
        address = f.address(text)
        return np.asarray(address if np.ndim(address) == 0 else address[at]).astype(dtype)

    return locate


def _put(function: Function, name: str, kind: str) -> Callable[[Frame, Any, Any], None]:
    """Return what writes numbers of a type into a register, which may be wider."""
    dtype = DTYPES[kind]

    def put(f: Frame, at: Any, value: Any) -> None:
        if name == "_":
            return
        register, value = f[name], np.asarray(value).astype(dtype, copy=False)
        if register.dtype.itemsize != dtype.itemsize:
            value = value.astype(f"{dtype.kind}{register.dtype.itemsize}")
        register[at] = value.view(register.dtype)

    return put
