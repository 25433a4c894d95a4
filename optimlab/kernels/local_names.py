"""What the local variables of a rule are called, without a hook of the interpreter: profilers and debuggers have those.

A frame that something refers to when its function returns keeps its variables. So the operations of a rule note which
frames they are called from, and the variables are read when the rule has returned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Frames:
    """Frames of one rule's module, called from the function that makes this object."""

    def __init__(self, rule: Callable[..., Any]) -> None:
        self._module = getattr(rule, "__module__", None)
        self._caller = sys._getframe(1)
        self._depths: dict[FrameType, int] = {}

    def note(self) -> None:
        """Remember the frames that this call stands in."""
        chain: list[FrameType] = []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame is not self._caller:
            chain.append(frame)
            frame = frame.f_back
        for depth, frame in enumerate(reversed(chain)):
            if frame.f_globals.get("__name__") == self._module:
                self._depths.setdefault(frame, depth)

    def variables(self) -> Iterator[dict[str, Any]]:
        """The local variables of each frame, from the rule's own to those of the functions that it called."""
        for frame in sorted(self._depths, key=lambda frame: self._depths[frame]):
            yield {name: value for name, value in frame.f_locals.items() if name.isidentifier()}

    def forget(self) -> None:
        """Let go of the frames: with them, what they refer to would live on."""
        self._depths.clear()
