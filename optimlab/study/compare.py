"""The quick protocol: tune every optimizer on one grid, confirm the choice with fresh seeds, summarise."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from threadpoolctl import threadpool_limits

from ..files import write_atomically
from ..progress import progress_bar
from .plan import Run, Study
from .run import execute
from .statistics import paired_difference, t_interval
from .store import Store

Record = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The outcome of a study.

    Attributes
    ----------
    rows: one dictionary per optimizer, as written to ``summary.json``, in the study's order.
    tuning: per optimizer, the records of its grid, by rate.
    confirmation: per optimizer, the records at its chosen rate, in the order of the seeds.
    """

    study: Study
    rows: list[dict[str, Any]]
    tuning: dict[str, dict[float, list[Record]]]
    confirmation: dict[str, list[Record]]


def compare(study: Study, folder: str | Path, *, progress: bool | None = None) -> Comparison:
    """Run ``study``, keeping every finished run in ``folder/runs.jsonl``; runs found there are not run again.

    1. Tuning: each rate of the grid with each tuning seed. The chosen rate has the highest median validation
       accuracy; ties go to the lower median validation loss. A diverged run counts as accuracy 0. Where the choice
       lies at the edge, the grid is extended.
    2. Confirmation: the chosen rate with fresh seeds, the same for all optimizers. The test accuracy is that of the
       epoch with the best validation accuracy.

    Writes ``summary.json``. BLAS runs on one thread: on small matrices two are slower.

    Raises
    ------
    InputError: ``folder`` cannot be written, or holds something else.
    """
    store = Store(folder)
    tuning: dict[str, dict[float, list[Record]]] = {}
    confirmation: dict[str, list[Record]] = {}
    tuned_runs = len(study.rates) * len(study.tuning_seeds)
    total = len(study.optimizers) * (tuned_runs + len(study.confirmation_seeds))
    with threadpool_limits(1), progress_bar("comparing", total, shown=progress) as advance:
        for name in study.optimizers:
            tuning[name] = _tune(study, name, store, advance)
            chosen = _best_rate(tuning[name])
            confirmation[name] = _records(study.confirmation_runs(name, chosen), store, advance)
    rows = _rows(study, tuning, confirmation)
    summary = {"study": asdict(study), "data": str(study.problem), "optimizers": rows}
    write_atomically(store.folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return Comparison(study, rows, tuning, confirmation)


def _records(runs: Iterable[Run], store: Store, advance: Callable[[str], None]) -> list[Record]:
    """The record of each run: from the store, or run now and stored."""
    records = []
    for run in runs:
        key = run.key
        if not store.finished(key):
            store.append(execute(run))
        records.append(store.records[key])
        advance(f"{run.optimizer} lr {run.lr:.2g}")
    return records


def _tune(study: Study, name: str, store: Store, advance: Callable[[str], None]) -> dict[float, list[Record]]:
    grid = list(study.rates)
    results: dict[float, list[Record]] = {}
    for _ in range(study.extensions + 1):
        for lr in grid:
            if lr not in results:
                results[lr] = _records(study.tuning_runs(name, [lr]), store, advance)
        best = _best_rate(results)
        if best == max(results):
            grid = [best * study.rates[-1] / study.rates[-2]]
        elif best == min(results):
            grid = [best * study.rates[0] / study.rates[1]]
        else:
            break
    else:
        warnings.warn(
            f"{name}: the best learning rate found, {best:.2g}, is still at the edge of the grid", stacklevel=3
        )
    return dict(sorted(results.items()))


def accuracy(record: Record, split: str = "val") -> float:
    """A run's score: a diverged or failed run has the worst there is."""
    return float(record[f"{split}_accuracy"]) if record["status"] == "ok" else 0.0


def _best_rate(results: dict[float, list[Record]]) -> float:
    def score(lr: float) -> tuple[float, float]:
        records = results[lr]
        losses = [r["val_loss"] if r["status"] == "ok" else float("inf") for r in records]
        return median(map(accuracy, records)), -median(losses)

    return max(results, key=score)


def _rows(
    study: Study, tuning: dict[str, dict[float, list[Record]]], confirmation: dict[str, list[Record]]
) -> list[dict[str, Any]]:
    tested = {name: [accuracy(r, "test") for r in records] for name, records in confirmation.items()}
    reference = max(study.optimizers, key=lambda name: sum(map(accuracy, confirmation[name])))
    rows = []
    for name in study.optimizers:
        records, grid = confirmation[name], tuning[name]
        chosen = records[0]["run"]["lr"]
        validated = t_interval([accuracy(r) for r in records])
        test = t_interval(tested[name])
        difference = paired_difference(tested[name], tested[reference])
        reached = [r["epochs_to_target"] for r in records if r.get("epochs_to_target")]
        misses = len(records) - len(reached)
        epochs = sorted([*map(float, reached), *[float("inf")] * misses])
        medians = {lr: median(map(accuracy, runs)) for lr, runs in grid.items()}
        all_runs = [r for runs in grid.values() for r in runs]
        steps = sum(r.get("steps", 0) for r in records)
        rows.append(
            {
                "optimizer": name,
                "lr": chosen,
                "trials": len(all_runs),
                "at_edge": chosen in (min(grid), max(grid)),
                "tuning_val_accuracy_median": medians[chosen],
                "val_accuracy": validated._asdict(),
                "val_accuracy_median": median(map(accuracy, records)),
                "test_accuracy": test._asdict(),
                "reference": reference,
                "test_difference": difference._asdict(),
                "tied": name == reference or difference.low <= 0 <= difference.high,
                "epochs_to_target": median(epochs) if median(epochs) != float("inf") else None,
                "hits": len(reached),
                "runs": len(records),
                "usable_rates": sum(m >= study.problem.target for m in medians.values()),
                "microseconds_per_step": 1e6 * sum(r.get("seconds", 0.0) for r in records) / steps if steps else None,
                "state_bytes_per_parameter": records[0].get("state_arrays", 0)
                * (8 if study.problem.dtype == "float64" else 4),
                "errors": [r["error"] for r in [*all_runs, *records] if r["status"] == "error"],
                "diverged_share": sum(r["status"] == "diverged" for r in all_runs) / len(all_runs),
            }
        )
    return rows
