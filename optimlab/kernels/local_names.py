"""Names of a rule's local variables, without sys.settrace or sys.setprofile, which debuggers and profilers use.

A frame keeps its variables after its function has returned, as long as something refers to the frame. So each
operation of a rule remembers its calling frames, and the variables are read after the rule has returned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Frames:
    """The frames of the rule's module between an operation and the function that created this object."""

    def __init__(self, rule: Callable[..., Any]) -> None:
        self._module = getattr(rule, "__module__", None)
        self._caller: FrameType | None = sys._getframe(1)
        self._depths: dict[FrameType, int] = {}

    def note(self) -> None:
        """Remember the frames of this call."""
        chain: list[FrameType] = []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame is not self._caller:
            chain.append(frame)
            frame = frame.f_back
        for depth, frame in enumerate(reversed(chain)):
            if frame.f_globals.get("__name__") == self._module:
                self._depths.setdefault(frame, depth)

    def variables(self) -> Iterator[dict[str, Any]]:
        """Yield the local variables of each frame: first the rule's, then those of the functions it called."""
        for frame in sorted(self._depths, key=lambda frame: self._depths[frame]):
            yield {name: value for name, value in frame.f_locals.items() if name.isidentifier()}

    def forget(self) -> None:
        """Release the frames, which keep alive everything they refer to, their callers included."""
        self._depths.clear()
        self._caller = None
