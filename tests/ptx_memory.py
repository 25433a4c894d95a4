"""The memory of a launch that ptx.py runs: it refuses what a GPU need not do as meant."""

from __future__ import annotations

from typing import Any

import numpy as np


class Wrong(AssertionError):
    """A kernel does what a GPU need not do as meant."""


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
