"""Search, then measure what was found on data that chose nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.threads import one_thread
from ..common.errors import InputError, concise, exact, one_line
from ..common.files import json_text, write_atomically
from ..common.markup import Html, bullets, together
from ..common.progress import progress_bar
from ..common.views import view
from ..nn.network import Network
from ..study.rows_score import contributions
from ..study.run import host, versions
from ..training import load_checkpoint, save_checkpoint
from . import evidence, sampler
from .plan import Search
from .storage import BEST, RETRAINED, SUMMARY, Journal, locked
from .trial import best_of, rank, retrain, run_trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = dict[str, Any]


@dataclass(frozen=True)
class Tuned:
    """The outcome of a search.

    Attributes
    ----------
    records: one dictionary per trial, as in ``trials.jsonl``.
    best: that of the best trial.
    summary: as written to ``summary.json``.
    """

    search: Search
    records: list[Record]
    best: Record
    summary: dict[str, Any]

    def plot(self) -> Figure:
        """Draw the objective of each trial in the order they were made, and the best so far."""
        figure: Figure = view("search figure", self)
        return figure

    def _repr_html_(self) -> str:
        shown = view("search table", self), view("search measures", self.summary)
        return together(*(Html(table._repr_html_()) for table in shown), bullets(self.summary["verdict"]))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={concise(value, 3)}" for name, value in self.best["hyperparameters"].items())
        score = f"{self.search.objective} {self.best[self.search.objective]:.4g}"
        trials = f"{len(self.records)} trials"
        return f"<Tuned {self.search}: trial {self.best['number']} is the best of {trials}, {score} with {values}>"

    def ranked(self) -> list[Record]:
        """The trials, the best first, without those that diverged."""
        whole = [record for record in self.records if record["status"] == "ok"]
        return sorted(whole, key=lambda record: rank(self.search, record), reverse=True)


def tune(search: Search, folder: str | Path, *, progress: bool | None = None) -> Tuned:
    """Run ``search``, keeping every finished trial in ``folder``; trials found there are not run again.

    1. Each trial trains the network with one set of hyperparameters until early stopping ends it. Its score is the
       objective at its best epoch; a diverged trial has the worst score there is.
    2. The best trial's network, as it was at its best epoch, is measured on the test data and kept in ``best.npz``.
    3. A network is trained from scratch on training and validation data together, for as many epochs as the best
       trial's best one, at the rates that its epochs had; measured on the test data and kept in ``retrained.npz``.
       (Training the best network on, with the test data watched, would choose the epoch by them.)

    Killed at any moment, the same call goes on: finished trials stay, the one that was running is run again with the
    same hyperparameters, and the outcome is that of a search never killed, bit for bit, for every sampler. A call
    with more trials goes on too. BLAS runs on one thread.

    Writes ``journal.log`` (Optuna's, to be opened with its tools), ``trials.jsonl``, ``summary.json`` and both
    networks, see :func:`optimlab.load_checkpoint`.

    Raises
    ------
    InputError: Optuna is missing; ``folder`` cannot be written, is in use, or holds another search or something else;
        all trials diverged, or one failed.
    """
    sampler.require(search)
    folder = Path(folder)
    with locked(folder), one_thread(), progress_bar("tuning", search.trials + 1, shown=progress) as advance:
        journal = Journal(folder, search)
        propose = sampler.proposals(search)
        for _ in journal.records:
            advance("found finished")
        while len(journal.records) < search.trials:
            _run_next(search, journal, propose(journal.records))
            advance(_note(search, journal.records))
        best = best_of(search, journal.records)
        if best is None:
            raise InputError(f"all {len(journal.records)} trials diverged: search lower learning rates")
        summary = _summary(search, journal, best)
        write_atomically(folder / SUMMARY, json_text(summary) + "\n")
        advance("measured")
    return Tuned(search, journal.records, best, summary)


def _run_next(search: Search, journal: Journal, values: dict[str, float]) -> None:
    """Train, keep the network if it is the best so far, then the record: a kill in between repeats the trial."""
    number = len(journal.records)
    try:
        network, record = run_trial(search, number, values)
    except Exception as error:
        chosen = ", ".join(f"{name}={exact(value)}" for name, value in values.items())
        why = one_line(error if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
        raise InputError(f"trial {number} ({chosen}) failed: {why}; finished trials are kept") from error
    before = best_of(search, journal.records)
    if network is not None and (before is None or rank(search, record) > rank(search, before)):
        save_checkpoint(journal.folder / BEST, network, extra=_label(search, record))
    journal.append(record)


def _note(search: Search, records: list[Record]) -> str:
    best = best_of(search, records)
    return "" if best is None else f"best {search.objective} {best[search.objective]:.4g}"


def _label(search: Search, record: Record) -> dict[str, Any]:
    """What a kept network says of itself; one that says something else is not the one looked for."""
    named = {name: record[name] for name in ("number", "hyperparameters", "best_seed", "best_epoch")}
    return {"search": json.loads(json.dumps(search.config())), **named}


def _kept(path: Path, search: Search, best: Record, make: Callable[[], Network]) -> Network:
    """The network in the file; where it is missing, damaged or another, it is made again, which gives the same."""
    network: Network = search.problem.network(best["best_seed"])
    try:
        if load_checkpoint(path, network) == _label(search, best):
            return network
    except InputError:
        pass
    network = make()
    save_checkpoint(path, network, extra=_label(search, best))
    return network


def _summary(search: Search, journal: Journal, best: Record) -> dict[str, Any]:
    import optuna

    data = search.problem.data()
    parts = len(data.x_train), len(data.x_val), 0 if data.x_test is None else len(data.x_test)
    summary: dict[str, Any] = {
        "search": {**search.config(), "trials": len(journal.records)},
        "title": str(search),
        "measure": search.problem.measure,
        "rows": dict(zip(("train", "val", "test"), parts, strict=True)),
        "versions": {**versions(), "optuna": optuna.__version__},
        "host": host(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "diverged": sum(record["status"] == "diverged" for record in journal.records),
        "seconds": sum(record["seconds"] for record in journal.records),
        "best": {name: value for name, value in best.items() if name != "runs"},
        "at_edge": evidence.at_edge(search, best),
        "effects": evidence.effects(search, journal.records),
        "test": None,
        "retrained": None,
    }
    model = _kept(journal.folder / BEST, search, best, lambda: _again(search, best))
    model_again = _kept(journal.folder / RETRAINED, search, best, lambda: retrain(search, best)[0])
    if data.x_test is not None:
        rows, rows_again = (contributions(net, data.x_test, data.y_test) for net in (model, model_again))
        summary["test"] = evidence.measured(model, data.x_test, data.y_test, rows)
        summary["retrained"] = {
            "epochs": best["best_epoch"],
            "rows": parts[0] + parts[1],
            **evidence.measured(model_again, data.x_test, data.y_test, rows_again),
            "gained": int(np.count_nonzero(rows_again > rows)),
            "lost": int(np.count_nonzero(rows > rows_again)),
            "p": evidence.same(rows, rows_again),
        }
    summary["verdict"] = evidence.verdict(search, summary)
    return summary


def _again(search: Search, best: Record) -> Network:
    network, _ = run_trial(search, best["number"], best["hyperparameters"])
    assert network is not None  # it has not diverged the first time
    return network
