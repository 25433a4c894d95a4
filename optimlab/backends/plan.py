"""Planning of a program's kernels from its structure.

Programs with the same structure, such as the runs of a sweep, differ only in the addresses of their arrays, and share
one plan.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.llvm_source import llvm_source
from ..kernels.sweep import Map, Operation, Sweep
from . import llvm
from .operations import Part, operation_of, read_later


class Address(NamedTuple):
    """A word of a kernel with the address of an array of the program."""

    array: int


class Alone(NamedTuple):
    """A kernel that is not fused with others."""

    name: str
    text: str
    words: tuple[int | Address, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]


class Structure(NamedTuple):
    """The structure of a program: everything except its addresses.

    ``overlapping`` has pairs of different arrays that share memory; ``working`` has arrays that only the program uses.
    """

    dtype: str
    items: tuple[Alone | Part, ...]
    overlapping: frozenset[tuple[int, int]]
    working: frozenset[int]


class Plan(NamedTuple):
    """Kernels in order, with the words of each; ``words[places] = addresses[arrays]`` completes the words."""

    functions: NDArray[np.int64]
    words: NDArray[np.int64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    arrays: NDArray[np.int64]
    scalars: list[Any]
    """Host scalars that the words refer to."""


@lru_cache(maxsize=256)
def plan(structure: Structure) -> Plan:
    """Fuse operations into sweeps, and compile the kernels."""
    kernels: list[Alone] = []
    words: list[int] = []
    starts: list[int] = []
    places: list[int] = []
    arrays: list[int] = []
    scalars: list[Any] = []
    groups = _groups(structure)
    alive = read_later([[group] if isinstance(group, Alone) else group for group in groups])
    for group, later in zip(groups, alive, strict=True):
        kernel = group if isinstance(group, Alone) else _sweep(group, structure, later, scalars)
        kernels.append(kernel)
        starts.append(len(words))
        for word in kernel.words:
            if isinstance(word, Address):
                places.append(len(words))
                arrays.append(word.array)
                words.append(0)
            else:
                words.append(word)
    llvm.load((kernel.text, kernel.name) for kernel in kernels)
    functions = [llvm.address(kernel.text, kernel.name) for kernel in kernels]
    made = [np.array(a, np.int64) for a in (functions, words, starts, places, arrays)]
    return Plan(made[0], made[1], made[2], made[3], made[4], scalars)


def _groups(structure: Structure) -> list[Alone | list[Part]]:
    """Group neighbouring operations that fit into one sweep."""
    groups: list[Alone | list[Part]] = []
    sweep, here = Sweep(), set[int]()
    for item in structure.items:
        if isinstance(item, Alone):
            groups.append(item)
            continue
        operation, own = operation_of(item), {array for array, _ in item.arrays}
        last = groups[-1] if groups else None
        if isinstance(last, list) and last[0].rows == item.rows and sweep.accepts(operation):
            together = here | own
            if not any(a in together and b in together for a, b in structure.overlapping):
                sweep.operations.append(operation)
                here = together
                last.append(item)
                continue
        sweep, here = Sweep([operation]), own
        groups.append([item])
    return groups


def _sweep(parts: list[Part], structure: Structure, later: set[int], scalars: list[Any]) -> Alone:
    """Make one kernel from a group; arrays that are not read later are not stored."""
    numbers = list(dict.fromkeys(array for part in parts for array, _ in part.arrays))
    place = {array: k for k, array in enumerate(numbers)}
    operations: list[Operation] = []
    values: list[float] = []
    for part in parts:
        operation = operation_of(part, place)
        if isinstance(operation, Map):
            operation = replace(operation, first=len(values))
            values += part.numbers
        operations.append(operation)
    dead = frozenset(place[array] for array in numbers if array in structure.working and array not in later)
    shared = {array for pair in structure.overlapping for array in pair}
    sweep = Sweep(operations, dead - {place[a] for a in shared if a in place}, len(values))
    given = np.array(values or [0.0], structure.dtype)
    scalars.append(given)
    words: tuple[int | Address, ...] = (parts[0].rows, int(given.ctypes.data), *map(Address, numbers))
    return Alone(_name(parts), llvm_source(sweep, structure.dtype), words, (), ())


def _name(parts: list[Part]) -> str:
    """Return the name of a sweep, which is its first formula's."""
    names = [part.formula.__name__ for part in parts if part.formula is not None]
    return next((name for name in names if name.isidentifier()), "sums")


__all__ = ["Address", "Alone", "Plan", "Structure", "plan"]
