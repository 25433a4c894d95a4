"""Progress on a terminal, silence everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(task: str, total: int, *, shown: bool | None = None) -> Iterator[Callable[[str], None]]:
    """Yield ``advance(note)``, to be called after each of ``total`` parts.

    ``shown`` None means: where standard error is a terminal. rich is imported only if something is shown.

    >>> with progress_bar("nothing", 1, shown=False) as advance:
    ...     advance("done")
    """
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=True
    ) as progress:
        bar = progress.add_task(task, total=total, note="")
        yield lambda note: progress.update(bar, advance=1, note=note)


@contextmanager
def download_bar(task: str, *, shown: bool | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Yield ``show(done, total)``, to be called with the bytes that have come, of how many if known; shown as above.

    >>> with download_bar("nothing", shown=False) as show:
    ...     show(1, None)
    """
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
