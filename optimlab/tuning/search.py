"""The search, and the measurement of its result on held-out data."""

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
    """The result of a search.

    Attributes
    ----------
    search: the plan.
    records: one dictionary per trial, as in ``trials.jsonl``.
    best: the record of the best trial.
    summary: the summary, as in ``summary.json``.
    """

    search: Search
    records: list[Record]
    best: Record
    summary: dict[str, Any]

    def plot(self) -> Figure:
        """Draw the objective of each trial, in order, and the best so far."""
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
        """Return the trials that did not diverge, best first."""
        whole = [record for record in self.records if record["status"] == "ok"]
        return sorted(whole, key=lambda record: rank(self.search, record), reverse=True)


def tune(search: Search, folder: str | Path, *, progress: bool | None = None) -> Tuned:
    """Run a hyperparameter search.

    1. Each trial trains the network with one set of hyperparameters until early stopping ends it. Its score is the
       objective at its best epoch; a diverged trial has the worst possible score.
    2. The network of the best trial, at its best epoch, is measured on the test data and saved in ``best.npz``.
    3. A new network is trained on training and validation data together, for as many epochs as the best trial needed
       to its best one, at the same rates. It is measured on the test data and saved in ``retrained.npz``. (To train the
       best network further while watching the test data would choose the epoch by them.)

    Every finished trial is stored in ``folder``, and trials found there are not repeated. You can kill the search at
    any time: the same call continues it, and the result is the same as without the interruption, bit for bit, with
    every sampler. A call with more trials also continues it. BLAS runs on one thread.

    The folder gets ``journal.log`` (a journal of Optuna, for use with its tools), ``trials.jsonl``, ``summary.json``
    and both networks, see :func:`optimlab.load_checkpoint`.

    Parameters
    ----------
    search: the plan.
    folder: the folder of the results; created if it does not exist.
    progress: True or False to show or hide the progress bar, as for :func:`optimlab.fit`.

    Returns
    -------
    Tuned: the records of the trials, the best one, and the summary.

    Raises
    ------
    InputError: Optuna is missing; ``folder`` cannot be written, is in use, or holds another search or something else;
        all trials diverged, or one failed.

    >>> import tempfile
    >>> from optimlab.tuning import Problem
    >>> plan = Search(Problem(hidden=(16,), epochs=3), "sgd", spaces={"lr": "0.01:1:log"}, trials=2)
    >>> tuned = tune(plan, tempfile.mkdtemp(), progress=False)
    >>> [record["number"] for record in tuned.records]
    [0, 1]
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
    """Train, save the network if it is the best so far, then store the record: a kill in between repeats the trial."""
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
    """Return the description of a saved network, by which it is recognized."""
    named = {name: record[name] for name in ("number", "hyperparameters", "best_seed", "best_epoch")}
    return {"search": json.loads(json.dumps(search.config())), **named}


def _kept(path: Path, search: Search, best: Record, make: Callable[[], Network]) -> Network:
    """Load a network from its file, or train it again, with the same result, if the file is missing or unusable."""
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
        loss = search.problem.loss_function
        rows, rows_again = (contributions(net, data.x_test, data.y_test) for net in (model, model_again))
        summary["test"] = evidence.measured(model, data.x_test, data.y_test, rows, loss)
        summary["retrained"] = {
            "epochs": best["best_epoch"],
            "rows": parts[0] + parts[1],
            **evidence.measured(model_again, data.x_test, data.y_test, rows_again, loss),
            "gained": int(np.count_nonzero(rows_again > rows)),
            "lost": int(np.count_nonzero(rows > rows_again)),
            "p": evidence.same(rows, rows_again),
        }
    summary["verdict"] = evidence.verdict(search, summary)
    return summary


def _again(search: Search, best: Record) -> Network:
    network, _ = run_trial(search, best["number"], best["hyperparameters"])
    assert network is not None  # it did not diverge the first time
    return network
