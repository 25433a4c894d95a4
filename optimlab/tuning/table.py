"""Tables of a search for the terminal: its plan, its best trials, and its final measurements."""

from __future__ import annotations

from itertools import islice
from typing import Any

from ..common.errors import concise, exact
from ..common.tables import Column, Table, fixed
from .plan import Search
from .sampler import proposals
from .search import Tuned


def plan_table(search: Search) -> Table:
    """Make a table of the spaces and the first trials, for ``--dry-run``."""
    first = first_trials(search)
    columns = [Column("hyperparameter", "name"), Column("searched in", "words")]
    columns += [Column(f"trial {k}") for k in range(len(first))]
    rows = [
        [name, str(space), *(concise(values[name], 3) for values in first)] for name, space in search.searched.items()
    ]
    rows += [[name, f"fixed at {exact(value)}", *("" for _ in first)] for name, value in search.fixed.items()]
    return Table(columns, rows, f"{search}, at most {search.problem.epochs} epochs per trial")


def first_trials(search: Search, most: int = 3) -> list[dict[str, float]]:
    """Return the hyperparameters of the first trials; only the very first for samplers that learn."""
    propose = proposals(search)
    known = most if search.sampler == "qmc" else 1
    return [propose([{}] * k) for k in islice(range(search.trials), known)]


def results_table(tuned: Tuned, rows: int = 5) -> Table:
    """Make a table of the best trials, best first."""
    search, names = tuned.search, list(tuned.search.searched)
    body = []
    for record in tuned.ranked()[:rows]:
        values = [concise(record["hyperparameters"][name], 3) for name in names]
        measures = [f"{100 * record['val_score']:.2f}", fixed(record["val_loss"], 4), str(record["best_epoch"])]
        body.append([str(record["number"]), *values, *measures])
    return Table(
        [
            Column(name)
            for name in ("trial", *names, f"validation\n{search.problem.measure} %", "validation\nloss", "best\nepoch")
        ],
        body,
        f"{search}: the best of {len(tuned.records)} trials ({search.sampler}, seed {search.seed})",
    )


def measures_table(summary: dict[str, Any]) -> Table:
    """Make a table of the three scores at the end of a search."""
    best, rows = summary["best"], summary["rows"]
    columns = [Column(f"{summary['measure']} %"), Column("95% interval"), Column("of", "name"), Column("rows")]
    columns += [Column("what it is", "words")]
    body = [[f"{100 * best['val_score']:.2f}", "", "validation", f"{rows['val']:,}", "the best trial: optimistic"]]
    if summary["test"] is not None:
        again, tested = summary["retrained"], f"{rows['test']:,}"
        body.append([*_measure(summary["test"]), "test", tested, "the same network: what to expect"])
        body.append([*_measure(again), "test", tested, f"retrained on both, {again['epochs']} epochs"])
    return Table(columns, body)


def _measure(measured: dict[str, Any]) -> tuple[str, str]:
    return f"{100 * measured['score']:.2f}", f"{100 * measured['low']:.1f} to {100 * measured['high']:.1f}"
