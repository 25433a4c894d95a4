"""Run the command line and write how long each part of it took: ``command_parts.py CLOCK FILE compare ...``, where the
clock is a function of :mod:`time`.

A part inside another one counts for itself alone: an import within a figure is an import. Other threads and processes
count as far as the main thread waits for them.
"""

from __future__ import annotations

import builtins
import functools
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = {
    ("matplotlib.figure", "Figure.savefig"): "figures",
    ("optimlab.plotting", "loss_figure"): "figures",
    ("optimlab.plotting", "accuracy_figure"): "figures",
    ("optimlab.plotting", "sensitivity_figure"): "figures",
    ("optimlab.study", "compare"): "training",
}
"""What is counted as what, each from when its module has been imported by whoever needs it."""

OTHER = "other"


class Clock:
    """Seconds by part, of the innermost one that is entered."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.taken = dict.fromkeys(("imports", *PARTS.values(), OTHER), 0.0)
        self.inside = [OTHER]
        self.since = now()

    def count(self) -> None:
        now = self.now()
        self.taken[self.inside[-1]] += now - self.since
        self.since = now

    def counted(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its seconds added to that part."""

        @functools.wraps(function)
        def wrapped(*args: Any, **options: Any) -> Any:
            if self.inside[-1] == part or threading.current_thread() is not threading.main_thread():
                return function(*args, **options)
            self.count()
            self.inside.append(part)
            try:
                return function(*args, **options)
            finally:
                self.count()
                self.inside.pop()

        return wrapped


def counted_imports(clock: Clock) -> Callable[..., Any]:
    """Python's own ``__import__``, counted; it also takes hold of the functions that are to be counted."""
    waiting, plain = dict(PARTS), clock.counted("imports", builtins.__import__)

    def imported(*args: Any, **options: Any) -> Any:
        module = plain(*args, **options)
        if clock.inside[-1] != "imports":  # nothing is half imported
            for module_name, path in [place for place in waiting if place[0] in sys.modules]:
                *owners, name = path.split(".")
                owner = functools.reduce(getattr, owners, sys.modules[module_name])
                setattr(owner, name, clock.counted(waiting.pop((module_name, path)), getattr(owner, name)))
        return module

    return imported


def main() -> None:
    clock, file = Clock(getattr(time, sys.argv.pop(1))), Path(sys.argv.pop(1))
    builtins.__import__ = counted_imports(clock)
    try:
        from optimlab.cli import main as command

        command()
    finally:
        clock.count()
        file.write_text(json.dumps({part: seconds for part, seconds in clock.taken.items() if part != OTHER}))


if __name__ == "__main__":
    main()
