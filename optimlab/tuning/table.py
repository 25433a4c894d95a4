"""A search in the terminal: what is looked for, and what was found."""

from __future__ import annotations

from itertools import islice
from typing import Any

from rich import box
from rich.table import Table

from .plan import Search
from .sampler import proposals
from .search import Tuned


def plan_table(search: Search) -> Table:
    """The spaces, and where the sampler begins; for ``--dry-run``."""
    made = _table(f"{search}, at most {search.problem.epochs} epochs a trial")
    made.add_column("hyperparameter", no_wrap=True)
    made.add_column("searched in")
    first = first_trials(search)
    for k in range(len(first)):
        made.add_column(f"trial {k}", justify="right", no_wrap=True)
    for name, space in search.searched.items():
        made.add_row(name, str(space), *(f"{values[name]:.3g}" for values in first))
    for name, value in search.fixed.items():
        made.add_row(name, f"fixed at {value:g}", *("" for _ in first))
    return made


def first_trials(search: Search, most: int = 3) -> list[dict[str, float]]:
    """The hyperparameters of the first trials: for samplers that learn, of the very first alone."""
    propose = proposals(search)
    known = most if search.sampler == "qmc" else 1
    return [propose([{}] * k) for k in islice(range(search.trials), known)]


def results_table(tuned: Tuned, rows: int = 5) -> Table:
    """The best trials, the best first."""
    search, names = tuned.search, list(tuned.search.searched)
    made = _table(f"{search}: the best of {len(tuned.records)} trials ({search.sampler}, seed {search.seed})")
    made.add_column("trial", justify="right")
    for name in (*names, "validation\naccuracy %", "validation\nloss", "best\nepoch"):
        made.add_column(name, justify="right", no_wrap=True)
    for record in tuned.ranked()[:rows]:
        values = [f"{record['hyperparameters'][name]:.3g}" for name in names]
        measures = [f"{100 * record['val_accuracy']:.2f}", f"{record['val_loss']:.4f}", str(record["best_epoch"])]
        made.add_row(str(record["number"]), *values, *measures)
    return made


def measures_table(summary: dict[str, Any]) -> Table:
    """The three numbers a search ends with."""
    best, rows = summary["best"], summary["rows"]
    made = _table("")
    for name in ("accuracy %", "95% interval", "of", "rows", "what it is"):
        made.add_column(name, justify="left" if name in ("of", "what it is") else "right", no_wrap=name != "what it is")
    made.add_row(
        f"{100 * best['val_accuracy']:.2f}", "", "validation", f"{rows['val']:,}", "chosen as the best: too good"
    )
    if summary["test"] is not None:
        again = summary["retrained"]
        made.add_row(*_measure(summary["test"]), "test", f"{rows['test']:,}", "the same network: what to expect")
        made.add_row(
            *_measure(again),
            "test",
            f"{rows['test']:,}",
            f"retrained on both, {again['epochs']} epochs",
        )
    return made


def _measure(measured: dict[str, Any]) -> tuple[str, str]:
    return f"{100 * measured['accuracy']:.2f}", f"{100 * measured['low']:.1f} to {100 * measured['high']:.1f}"


def _table(title: str) -> Table:
    return Table(title=title or None, box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False, title_justify="left")
