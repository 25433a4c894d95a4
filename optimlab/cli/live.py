"""A live view of a comparison: a table that fills in, and the time that remains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean, median

from ..common.errors import concise
from ..common.tables import Column, Table
from ..study import Run, Study
from ..study.compare import OnRun
from ..study.results import Record
from ..study.summary import best


@contextmanager
def watching(study: Study, *, title: str = "comparing") -> Iterator[OnRun | None]:
    """Yield the function that :func:`optimlab.study.compare` calls after each run; None if there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left")
    )
    task = progress.add_task(title, total=study.planned())
    seen: dict[str, _Seen] = {c.label: _Seen() for c in study.contenders}
    live = Live(
        get_renderable=lambda: Group(_table(study, seen), progress),
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=5,
    )

    def on_run(run: Run, record: Record, done: int, total: int) -> None:
        seen[run.contender.label].add(run, record)
        progress.update(task, completed=done, total=total)

    with live:
        yield on_run


class _Seen:
    """Records of one contender so far, by replicate."""

    def __init__(self) -> None:
        self.trials: dict[int, list[Record]] = {}

    def add(self, run: Run, record: Record) -> None:
        self.trials.setdefault(run.seed, []).append(record)


def _table(study: Study, seen: dict[str, _Seen]) -> Table:
    each = len(study.rates) + study.search + study.defaults
    rows = []
    for label, so_far in seen.items():
        whole = [best(trials) for trials in so_far.trials.values() if len(trials) >= each]
        cells = [str(sum(map(len, so_far.trials.values()))), str(len(whole)), "", "", ""]
        if whole:
            cells[2] = concise(median(record.run["lr"] for record in whole), 2)
            cells[3] = f"{100 * fmean(record.val_counted for record in whole):.2f}"
            cells[4] = f"{100 * fmean(record.test_counted for record in whole):.2f}"
        rows.append([label, *cells])
    columns = map(Column, ("runs", "replicates", "best rate", "validation %", "test %"))
    return Table([Column("optimizer", "name"), *columns], rows, str(study.problem))
