"""A comparison as it goes on: a table that fills in, and the time that remains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any

from ..errors import concise
from ..study import Run, Study
from ..study.compare import OnRun
from ..study.record import Record
from ..study.summary import accuracy, score
from ..tables import Column, Table


@contextmanager
def watching(study: Study, *, title: str = "comparing") -> Iterator[OnRun | None]:
    """Yield what :func:`optimlab.study.compare` is to call after each run; None, and silence, off a terminal."""
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
    """What is known of one contender so far."""

    def __init__(self) -> None:
        self.grid: dict[tuple[Any, ...], list[Record]] = {}
        self.confirmed: dict[tuple[Any, ...], list[float]] = {}

    def add(self, run: Run, record: Record) -> None:
        setting = (run.lr, run.hyperparameters)
        if run.test:
            self.confirmed.setdefault(setting, []).append(accuracy(record, "test"))
        else:
            self.grid.setdefault(setting, []).append(record)


def _table(study: Study, seen: dict[str, _Seen]) -> Table:
    rows = []
    for label, so_far in seen.items():
        cells = ["", "", "", "", ""]
        if so_far.grid:
            cells[0] = str(sum(map(len, so_far.grid.values())))
            whole = {k: v for k, v in so_far.grid.items() if len(v) == len(study.tuning_seeds)}
            if whole:
                best = max(whole, key=lambda k: score(whole[k]))
                cells[1], cells[2] = concise(best[0]), f"{100 * score(whole[best])[0]:.2f}"
        if so_far.confirmed:
            first = next(iter(so_far.confirmed.values()))
            cells[3] = f"{len(first)}/{len(study.confirmation_seeds)}"
            cells[4] = f"{100 * mean(first):.2f}"
        rows.append([label, *cells])
    columns = map(Column, ("tuning runs", "best rate", "validation %", "fresh seeds", "test %"))
    return Table([Column("optimizer", "name"), *columns], rows, str(study.problem))
