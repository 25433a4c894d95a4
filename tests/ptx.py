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

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any
from unittest import mock

import compiling
import numpy as np
import pytest
from ptx_arithmetic import COMPARISONS, LOGIC, arithmetic, conversion, finished
from ptx_memory import Memory, Wrong
from ptx_text import BITS, DTYPES, TYPES, Function, Instruction, Program, constant, program

from optimlab.backends import cupy as engine

try:
    from cupy import __version__ as version_of_cupy
    from cupy.cuda import compiler, nvrtc

    nvrtc.getVersion()  # loads it: when a stand-in is in CuPy's place, it is too late
except (ImportError, RuntimeError):
    compiler = None


def require_compiler() -> None:
    """Skip a test where CuPy, whose wheel brings NVIDIA's compiler, is not installed; in CI, fail it."""
    if compiler is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("CuPy is not installed")


def compiled(text: str, architecture: str, options: tuple[str, ...] = engine.OPTIONS, kind: str = "ptx") -> bytes:
    """Compile a CUDA text as the backend does, to PTX or "cubin", for an architecture, which CuPy asks the device."""
    name = architecture if kind == "cubin" else architecture.replace("sm", "compute")
    with mock.patch.object(compiler, "_get_arch_for_options_for_nvrtc", return_value=(f"-arch={name}", kind)):
        return compiler.compile_using_nvrtc(text, options)[0]


@cache
def assembly(text: str, architecture: str = "sm_90", options: tuple[str, ...] = engine.OPTIONS) -> str:
    """Return the PTX of a CUDA text."""
    if not compiling.kept:
        return compiled(text, architecture, options).decode()
    given = [_compiler(), architecture, *options, text]
    path = compiling.once("", ".ptx", given, lambda path: path.write_bytes(compiled(text, architecture, options)))
    return path.read_bytes().decode()


@cache
def _compiler() -> str:
    """Return what tells one compiler from another: the build's number stands at the top of all that it makes."""
    return version_of_cupy + compiled("", "sm_90").decode()


@cache
def kernel(ptx: str, name: str) -> Kernel:
    """Return a kernel of an assembly, to be called as CuPy's: ``kernel(grid, block, arguments, shared_mem=0)``.

    The arguments are NumPy's scalars and contiguous arrays, which the kernel writes into.
    """
    return Kernel(program(ptx), name)


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
        put, act = _put(function, i.operands[0], result), arithmetic(i)
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
        act = conversion(i)
        return lambda f, at: put(f, at, act(get(f, at)))

    def _mul(self, function: Function, i: Instruction) -> Step:
        """Products of integers that are twice as wide."""
        wide = "wide" in i.modifiers
        to = f"{i.type[0]}{2 * int(i.type[1:])}" if wide else i.type
        kinds = [i.type, i.type, to]
        get = [_get(function, text, kind) for text, kind in zip(i.operands[1:], kinds, strict=False)]
        put, act = _put(function, i.operands[0], to), arithmetic(i)
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
        act = finished(i, COMPARISONS[comparison])

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
        number = constant(text, kind).view(dtype)
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
