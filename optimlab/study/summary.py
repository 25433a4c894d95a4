"""What a finished comparison says: a row for each contender, and the sentences they support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from statistics import mean, median
from typing import Any

from .curves import epoch_seconds
from .plan import Study
from .statistics import best_after, paired_difference, t_interval, usable_decades

Record = dict[str, Any]


def accuracy(record: Record, split: str = "val") -> float:
    """A run's score: a diverged or failed run has the worst there is."""
    return float(record[f"{split}_accuracy"]) if record["status"] == "ok" else 0.0


def score(records: Sequence[Record]) -> tuple[float, float]:
    """What a setting is chosen by: the highest median validation accuracy, then the lowest median validation loss."""
    losses = [r["val_loss"] if r["status"] == "ok" else inf for r in records]
    return median(map(accuracy, records)), -median(losses)


def row_label(label: str, kind: str) -> str:
    """Name of a contender's row: its own where it is tuned, else with what was done instead."""
    return label if kind == "tuned" else f"{label}, {kind}"


def rows(
    study: Study,
    tuning: Mapping[str, Mapping[float, Sequence[Record]]],
    searched: Mapping[str, Sequence[Sequence[Record]]],
    confirmed: Mapping[str, Mapping[str, Sequence[Record]]],
    step_seconds: Mapping[str, float],
) -> list[dict[str, Any]]:
    """The rows of ``summary.json``.

    ``confirmed[kind][label]`` are the records with fresh seeds at the tuned rate (kind ``"tuned"``), at the default one
    (``"default"``) and at the best random setting (``"searched"``). Test accuracy is compared with the tuned contender
    of the best mean validation accuracy; epochs to the target with the row that needs the fewest.
    """
    tuned = confirmed["tuned"]
    reference = max(tuned, key=lambda label: mean(map(accuracy, tuned[label])))
    tested = [accuracy(r, "test") for r in tuned[reference]]
    hasty = min(tuned, key=lambda label: (_epochs(tuned[label]), mean(map(_reached, tuned[label]))))
    fastest = [_reached(r) for r in tuned[hasty]]
    made = []
    for kind, runs in confirmed.items():
        for contender in study.contenders:
            if contender.label not in runs:
                continue
            records, label = runs[contender.label], contender.label
            name = row_label(label, kind)
            grid = {lr: list(found) for lr, found in tuning[label].items()}
            medians = {lr: median(map(accuracy, found)) for lr, found in grid.items()}
            tried = {
                "tuned": [r for found in grid.values() for r in found],
                "searched": [r for found in searched.get(label, ()) for r in found],
                "default": [],
            }[kind]
            run = records[0]["run"]
            lr = run["lr"]
            difference = paired_difference([accuracy(r, "test") for r in records], tested)
            reached = [_reached(r) for r in records]
            slower = paired_difference(reached, fastest) if inf not in [*reached, *fastest] else None
            step, target = step_seconds.get(name), _epochs(records)
            everyone = (r for found in tuned.values() for r in found)
            epoch = None if step is None else epoch_seconds(everyone, study.problem.epochs, 1e6 * step)
            made.append(
                {
                    "label": name,
                    "optimizer": contender.name,
                    "convention": contender.convention,
                    "tuned": kind != "default",
                    "kind": kind,
                    "lr": lr,
                    "hyperparameters": {**contender.defaults(), **run["hyperparameters"], "lr": lr},
                    "trials": len(tried),
                    "at_edge": kind == "tuned" and lr in (min(grid), max(grid)),
                    "val_accuracy": t_interval([accuracy(r) for r in records])._asdict(),
                    "val_accuracy_median": median(map(accuracy, records)),
                    "test_accuracy": t_interval([accuracy(r, "test") for r in records])._asdict(),
                    "reference": reference,
                    "test_difference": difference._asdict(),
                    "tied": name == reference or difference.holds_zero,
                    "epochs_to_target": None if target == inf else target,
                    "hits": sum(e < inf for e in reached),
                    "runs": len(records),
                    "speed_reference": hasty,
                    "epochs_difference": slower._asdict() if slower else None,
                    "speed": _speed(slower, name == hasty),
                    "seconds_to_target": None if target == inf or epoch is None else target * epoch,
                    "microseconds_per_step": None if step is None else 1e6 * step,
                    "state_bytes_per_parameter": records[0].get("state_arrays", 0)
                    * (8 if study.problem.dtype == "float64" else 4),
                    "usable_rates": sum(m >= study.problem.target for m in medians.values()),
                    "usable_decades": usable_decades(medians, lr, study.problem.target) if kind == "tuned" else None,
                    "diverged_share": _share_diverged(tried or records),
                    "errors": [r["error"] for r in [*tried, *records] if r["status"] == "error"],
                    "sensitivity": [
                        {
                            "lr": rate,
                            "val_accuracy": [accuracy(r) if r["status"] == "ok" else None for r in found],
                            "median": medians[rate],
                        }
                        for rate, found in grid.items()
                    ]
                    if kind == "tuned"
                    else [],
                    "best_after": best_after([score(found)[0] for found in searched[label]])
                    if kind == "searched"
                    else None,
                }
            )
    return made


def _reached(record: Record) -> float:
    """Epochs to the target; a miss is infinity."""
    return float(record.get("epochs_to_target") or inf) if record["status"] == "ok" else inf


def _epochs(records: Sequence[Record]) -> float:
    return median(map(_reached, records))


def _share_diverged(records: Sequence[Record]) -> float:
    return [r["status"] for r in records].count("diverged") / len(records)


def _speed(difference: Any, is_fastest: bool) -> str | None:
    if is_fastest:
        return "fastest"
    if difference is None:
        return None
    return "tied" if difference.holds_zero else "slower" if difference.low > 0 else "faster"


def ranked(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, fewest epochs to the target first; a miss comes last."""
    return sorted(
        table,
        key=lambda r: (r["epochs_to_target"] is None, r["epochs_to_target"] or 0, -r["test_accuracy"]["mean"]),
    )


def verdict(study: Study, table: Sequence[dict[str, Any]]) -> list[str]:
    """What the rows say, and how sure it is: a list of sentences, each true of the numbers it stands beside."""
    tuned = ranked([r for r in table if r["kind"] == "tuned"])
    reference, target = tuned[0]["reference"], study.problem.target
    said = []
    rest = [r for r in tuned if r["label"] != reference]
    if rest:
        said.append(f"{reference} has the best mean validation accuracy.")
    tied = [r["label"] for r in rest if r["tied"]]
    worse = [r["label"] for r in rest if r["test_difference"]["high"] < 0]
    better = [r["label"] for r in rest if r["test_difference"]["low"] > 0]
    if rest and len(tied) == len(rest):
        said.append("In test accuracy all are tied: the 95% interval of every paired difference holds zero.")
    elif tied:
        said.append(
            f"In test accuracy {listed(tied)} {'is' if len(tied) == 1 else 'are'} tied with it: "
            "the 95% interval of the paired difference holds zero."
        )
    if worse:
        said.append(f"Lower in test accuracy than {reference}: {listed(worse)}.")
    if better:
        said.append(f"Higher in test accuracy than {reference}: {listed(better)}.")
    said += _about_speed(tuned, target)
    said += _about_defaults(table, tuned)
    edges = [r["label"] for r in tuned if r["at_edge"]]
    if edges:
        said.append(
            f"The best learning rate of {listed(edges)} lies at the edge of the grid: there may be a better one."
        )
    for r in table:
        if r["diverged_share"] == 1:
            said.append(f"Every run of {r['label']} diverged.")
    return said


def _about_speed(tuned: Sequence[dict[str, Any]], target: float) -> list[str]:
    first = next(r for r in tuned if r["label"] == r["speed_reference"])
    if first["epochs_to_target"] is None:
        return [f"None reached {target:.0%} validation accuracy in most of its runs."]
    said = []
    slower = [r for r in tuned if r["speed"] == "slower"]
    tied = [r["label"] for r in tuned if r["speed"] == "tied"]
    if len(tuned) > 1:
        said.append(
            f"To {target:.0%} validation accuracy {first['label']} needs the fewest epochs (median "
            f"{first['epochs_to_target']:g})" + (f", tied with {listed(tied)}." if tied else ".")
        )
    if slower:
        told = (
            f"{r['label']} by {r['epochs_difference']['mean']:.1f} "
            f"[{r['epochs_difference']['low']:.1f}, {r['epochs_difference']['high']:.1f}]"
            for r in slower
        )
        said.append(f"Slower, in epochs: {', '.join(told)}.")
    missed = [f"{r['label']} ({r['hits']} of {r['runs']})" for r in tuned if r["hits"] < r["runs"]]
    if missed:
        said.append(f"Not every run reached it: {listed(missed)}.")
    return said


def _about_defaults(table: Sequence[dict[str, Any]], tuned: Sequence[dict[str, Any]]) -> list[str]:
    """How many epochs tuning the rate was worth."""
    chosen = {r["label"]: r for r in tuned}
    lost = []
    for r in table:
        if r["kind"] == "default":
            own = chosen[r["label"].removesuffix(", default")]
            if r["test_accuracy"]["high"] < own["test_accuracy"]["low"]:
                lost.append(own["label"])
    return [f"Untuned, at its default rate, clearly worse in test accuracy: {listed(lost)}."] if lost else []


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
