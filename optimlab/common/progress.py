"""Progress bars in terminals and notebooks, and silence everywhere else.

In a notebook, Jupyter's ``display`` updates a single line, so nothing has to be installed. IPython is used only if it
is already running.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .markup import tag

AFTER, BETWEEN = 0.5, 0.1
"""Seconds before a notebook shows progress, so that short runs show nothing; seconds between two updates."""


def in_notebook() -> bool:
    """Return True if the code runs in a Jupyter kernel.

    >>> in_notebook()
    False
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


@contextmanager
def progress_bar(task: str, total: int, *, shown: bool | None = None) -> Iterator[Callable[[str], None]]:
    """Yield ``advance(note)``, to call after each of ``total`` parts.

    With ``shown=None``, the bar appears in notebooks and if standard error is a terminal. rich is imported only for a
    terminal.

    >>> with progress_bar("nothing", 1, shown=False) as advance:
    ...     advance("done")
    """
    if in_notebook() and shown is not False:
        with _notebook_line(task) as show:
            done = 0

            def advance(note: str) -> None:
                nonlocal done
                done += 1
                show(done, total, f"{done} of {total}", note)

            yield advance
        return
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
        # lines printed during the work appear above the bar, unless standard output is a file or a pipe
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
    ) as progress:
        bar = progress.add_task(task, total=total, note="")
        yield lambda note: progress.update(bar, advance=1, note=note)


@contextmanager
def download_bar(task: str, *, shown: bool | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Yield ``show(done, total)``, to call with the bytes received so far and the total, or None if it is unknown.

    ``shown`` is as for :func:`progress_bar`.

    >>> with download_bar("nothing", shown=False) as show:
    ...     show(1, None)
    """
    if in_notebook() and shown is not False:
        with _notebook_line(task) as show:

            def megabytes(done: int, total: int | None) -> None:
                of = "" if total is None else f" of {total / 1e6:.1f}"
                show(done, total, f"{done / 1e6:.1f}{of} MB", "")

            yield megabytes
        return
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


@contextmanager
def _notebook_line(task: str) -> Iterator[Callable[[int, int | None, str, str], None]]:
    """Yield ``show(done, total, counted, note)``; at the end, the line shows the elapsed time."""
    display = import_module("IPython.display").display
    begin = time.monotonic()
    latest: tuple[Any, ...] = ()
    handle: Any = None
    shown = begin - BETWEEN

    def draw(bar: str, text: str) -> None:
        nonlocal handle
        content = {"text/plain": text, "text/html": tag("div", bar, " ", tag("span", text), data_progress=task)}
        if handle is None:
            handle = display(content, raw=True, display_id=True)
        else:
            handle.update(content, raw=True)

    def show(done: int, total: int | None, counted: str, note: str) -> None:
        nonlocal latest, shown
        latest, now = (counted, note), time.monotonic()
        if now - begin >= AFTER and now - shown >= BETWEEN:
            shown = now
            # without a value, the bar only shows that work is in progress
            value = {} if total is None else {"value": str(done), "max": str(total)}
            draw(tag("progress", **value, aria_label=task), f"{task}: {counted}  {note}".rstrip())

    try:
        yield show
    finally:
        if handle is not None:
            counted, note = latest
            ending = f"{task}: {counted} in {time.monotonic() - begin:.1f} s"
            draw("", f"{ending}  {note}".rstrip())
