"""What a finished comparison says: a row for each contender, and the sentences they support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from statistics import mean, median
from typing import Any

from .curves import epoch_seconds
from .plan import Study
from .record import Record
from .statistics import best_after, paired_difference, t_interval, usable_decades


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
    of the best mean validation accuracy; epochs to the target with the row that needs the fewest. A row is ``surely``
    different where an interval wide enough for all pairs of contenders together (Bonferroni) leaves out zero.
    """
    tuned = confirmed["tuned"]
    reference = max(tuned, key=lambda label: mean(map(accuracy, tuned[label])))
    tested = [accuracy(r, "test") for r in tuned[reference]]
    hasty = min(tuned, key=lambda label: _haste(tuned[label]))
    # the references are the best of all in the same runs: any pair of contenders might be the one that is compared
    strict = 1 - 0.05 / max(1, len(tuned) * (len(tuned) - 1) // 2)
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
            scores, reached = [accuracy(r, "test") for r in records], [_reached(r) for r in records]
            difference = paired_difference(scores, tested)
            comparable = inf not in [*reached, *fastest]
            slower = paired_difference(reached, fastest) if comparable else None
            surely = {
                "test": not paired_difference(scores, tested, strict).holds_zero,
                "epochs": comparable and not paired_difference(reached, fastest, strict).holds_zero,
            }
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
                    "surely": surely,
                    "tied": name == reference or difference.holds_zero,
                    "epochs_to_target": None if target == inf else target,
                    "hits": sum(e < inf for e in reached),
                    "runs": len(records),
                    "speed_reference": hasty,
                    "epochs_difference": slower._asdict() if slower else None,
                    "speed": _speed(slower, name == hasty and target < inf),
                    "seconds_to_target": None if target == inf or epoch is None else target * epoch,
                    "microseconds_per_step": None if step is None else 1e6 * step,
                    "state_bytes_per_parameter": (records[0].get("state_arrays") or 0)
                    * (8 if study.problem.dtype == "float64" else 4),
                    "usable_rates": sum(m >= study.problem.target for m in medians.values()),
                    "usable_decades": usable_decades(medians, lr, study.problem.target) if kind == "tuned" else None,
                    "diverged_share": _share(tried or records, "diverged"),
                    "unfinished": {status: _share(records, status) for status in ("diverged", "error")},
                    "errors": [r["error"] for r in [*tried, *records] if r["status"] == "error"],
                    "not_searched": contender.unsearched() if kind == "searched" else [],
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


def _haste(records: Sequence[Record]) -> tuple[float, int, float]:
    """What the fastest has the least of: the median of the epochs, then misses, then the mean of the other runs."""
    epochs = [_reached(r) for r in records]
    return median(epochs), epochs.count(inf), mean([e for e in epochs if e < inf] or [inf])


def finished(row: Mapping[str, Any]) -> int:
    """Return how many of a row's fresh runs finished."""
    return int(row["runs"]) - unfinished(row, "diverged") - unfinished(row, "error")


def unfinished(row: Mapping[str, Any], status: str) -> int:
    """Return how many of a row's fresh runs have the status ``"diverged"`` or ``"error"``."""
    return round(float(row["unfinished"][status]) * int(row["runs"]))


def _share(records: Sequence[Record], status: str) -> float:
    return [r["status"] for r in records].count(status) / len(records)


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
    said = []
    if not any(map(finished, tuned)):
        said.append("No run at a chosen rate finished: there is nothing to compare.")
    else:
        # a failure is no result of the optimizer: what it makes of the means is not told as one
        sound = [r for r in tuned if not r["unfinished"]["error"]]
        said += _about_accuracy(tuned, sound)
        said += _about_speed(tuned, sound, study.problem.target)
        said += _about_chance(tuned, sound)
        said += _about_defaults(table, sound)
    edges = [r["label"] for r in tuned if r["at_edge"] and r["diverged_share"] < 1]
    if edges:
        said.append(
            f"The best learning rate of {listed(edges)} lies at the edge of the grid: there may be a better one."
        )
    return said + _about_failures(table)


def _about_accuracy(tuned: Sequence[dict[str, Any]], sound: Sequence[dict[str, Any]]) -> list[str]:
    reference = tuned[0]["reference"]
    if len(tuned) == 1:
        return []
    best = next(r for r in tuned if r["label"] == reference)["val_accuracy"]["mean"]
    equal = [r["label"] for r in tuned if r["val_accuracy"]["mean"] == best and r["label"] != reference]
    said = [
        f"{reference} has the best mean validation accuracy"
        + (f", the same as {listed(equal)}; it is the reference." if equal else ".")
    ]
    rest = [r for r in sound if r["label"] != reference]
    tied = [r["label"] for r in rest if r["tied"]]
    worse = [r["label"] for r in rest if r["test_difference"]["high"] < 0]
    better = [r["label"] for r in rest if r["test_difference"]["low"] > 0]
    if tied and len(tied) == len(tuned) - 1:
        said.append("In test accuracy all are tied with it: the 95% interval of every paired difference holds zero.")
    elif tied:
        said.append(
            f"In test accuracy {listed(tied)} {'is' if len(tied) == 1 else 'are'} tied with it: "
            "the 95% interval of the paired difference holds zero."
        )
    if worse:
        said.append(f"Lower in test accuracy than {reference}: {listed(worse)}.")
    if better:
        said.append(f"Higher in test accuracy than {reference}: {listed(better)}.")
    return said


def _about_speed(tuned: Sequence[dict[str, Any]], sound: Sequence[dict[str, Any]], target: float) -> list[str]:
    first, goal = next(r for r in tuned if r["label"] == r["speed_reference"]), in_percent(target)
    epochs = first["epochs_to_target"]
    if epochs is None:
        return [f"None reached {goal} validation accuracy in most of its runs."]
    rest = [r for r in sound if r is not first]
    tied = [r["label"] for r in rest if r["speed"] == "tied"]
    equal = [r["label"] for r in tuned if r is not first and r["epochs_to_target"] == epochs and r["speed"] != "tied"]
    said = [
        f"To {goal} validation accuracy {first['label']} needs "
        + (f"the fewest epochs (median {epochs:g}" if len(tuned) > 1 else f"{epochs:g} epochs (median")
        + (f", the same as {listed(equal)})" if equal else ")")
        + (f", tied with {listed(tied)}." if tied else ".")
    ]
    for speed, heading in (("slower", "Slower, in epochs"), ("faster", "Yet faster in the mean, in epochs")):
        found = [_by(r) for r in rest if r["speed"] == speed]
        if found:
            said.append(f"{heading}: {', '.join(found)}.")
    missed = [f"{r['label']} ({r['hits']} of {r['runs']})" for r in tuned if r["hits"] < r["runs"]]
    if missed:
        said.append(f"Not every run reached it: {listed(missed)}; where a run missed, no interval tells a difference.")
    return said


def _by(row: dict[str, Any]) -> str:
    mean, low, high = (row["epochs_difference"][name] for name in ("mean", "low", "high"))
    if row["speed"] == "faster":
        mean, low, high = -mean, -high, -low
    return f"{row['label']} by {mean:.1f} [{low:.1f}, {high:.1f}]"


def _about_chance(tuned: Sequence[dict[str, Any]], sound: Sequence[dict[str, Any]]) -> list[str]:
    """With many contenders some interval leaves zero out by chance: which differences are beyond that too."""
    told = {
        "test accuracy": ("test", [r for r in sound if not r["tied"]]),
        "epochs": ("epochs", [r for r in sound if r["speed"] in ("slower", "faster")]),
    }
    if len(tuned) < 3 or not any(found for _, found in told.values()):
        return []
    sure = {name: [r["label"] for r in found if r["surely"][key]] for name, (key, found) in told.items() if found}
    answers = [f"in {name} {listed(labels) if labels else 'none'}" for name, labels in sure.items()]
    return [
        "Each of these intervals is 95% by itself, and the best was picked in the same runs. Wide enough for all pairs "
        f"of the {len(tuned)} together (Bonferroni), what still differs is {'; '.join(answers)}."
    ]


def _about_defaults(table: Sequence[dict[str, Any]], tuned: Sequence[dict[str, Any]]) -> list[str]:
    """Where tuning the rate was worth it: intervals that do not even overlap."""
    chosen = {row_label(r["label"], "default"): r for r in tuned}
    lost = []
    for r in table:
        own = chosen.get(r["label"])
        if own and not r["unfinished"]["error"] and r["test_accuracy"]["high"] < own["test_accuracy"]["low"]:
            lost.append(own["label"])
    return [f"Untuned, at its default rate, clearly worse in test accuracy: {listed(lost)}."] if lost else []


def _about_failures(table: Sequence[dict[str, Any]]) -> list[str]:
    said = []
    for r in table:
        diverged, failed = (unfinished(r, status) for status in ("diverged", "error"))
        if diverged == r["runs"] and r["diverged_share"] == 1:
            said.append(f"Every run of {r['label']} diverged.")
        elif diverged:
            said.append(f"{diverged} of {r['runs']} fresh runs of {r['label']} diverged: they count as accuracy 0.")
        if failed:
            said.append(
                f"{failed} of {r['runs']} fresh runs of {r['label']} failed with an error, and its numbers, where they "
                "count as accuracy 0, say nothing of it; the same command tries them again."
            )
    return said


def in_percent(share: float) -> str:
    """
    >>> in_percent(0.95), in_percent(0.975), in_percent(0.57)
    ('95%', '97.5%', '57%')
    """
    return f"{100 * share:.4g}%"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
