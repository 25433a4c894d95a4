"""The comparison as a table in the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from .compare import Comparison


def table(comparison: Comparison) -> Table:
    """One row per optimizer, the fastest to the target first."""
    study = comparison.study
    target, runs = study.problem.target, len(study.confirmation_seeds)
    made = Table(
        title=str(study.problem),
        caption=f"mean ±95% confidence interval, {runs} fresh seeds, each at its best rate",
        box=box.SIMPLE_HEAD,
        padding=(0, 0),
        pad_edge=False,
    )
    made.add_column("optimizer", no_wrap=True)
    for name in (
        "\nlr",
        f"epochs\nto {target:.0%}",
        "validation\naccuracy %",
        "test\naccuracy %",
        "against\nthe best",
        f"rates\n≥{target:.0%}",
        "µs a\nstep",
        "B per\nweight",
    ):
        made.add_column(name, justify="right", no_wrap=True)
    for row in ranked(comparison):
        made.add_row(
            row["optimizer"],
            f"{row['lr']:.2g}" + ("!" if row["at_edge"] else ""),
            _epochs(row),
            _percent(row["val_accuracy"]),
            _percent(row["test_accuracy"]),
            _against(row),
            f"{row['usable_rates']}/{row['trials'] // len(study.tuning_seeds)}",
            "-" if row["microseconds_per_step"] is None else f"{row['microseconds_per_step']:.0f}",
            f"{row['state_bytes_per_parameter']}",
        )
    return made


def ranked(comparison: Comparison) -> list[dict[str, Any]]:
    """The rows, fewest epochs to the target first; a miss comes last."""
    return sorted(
        comparison.rows,
        key=lambda r: (r["epochs_to_target"] is None, r["epochs_to_target"] or 0, -r["test_accuracy"]["mean"]),
    )


def verdict(comparison: Comparison) -> str:
    """What the table says, and how sure it is."""
    rows = ranked(comparison)
    reference = rows[0]["reference"]
    tied = [r["optimizer"] for r in rows if r["tied"] and r["optimizer"] != reference]
    worse = [r["optimizer"] for r in rows if not r["tied"] and r["test_difference"]["high"] < 0]
    better = [r["optimizer"] for r in rows if not r["tied"] and r["test_difference"]["low"] > 0]
    parts = [f"{reference} has the best mean validation accuracy."]
    if tied:
        parts.append(
            f"In test accuracy it is tied with {_listed(tied)}: the interval of the paired difference holds zero."
        )
    if worse:
        parts.append(f"Lower in test accuracy: {_listed(worse)}.")
    if better:
        parts.append(f"Higher in test accuracy: {_listed(better)}.")
    quick = [r for r in rows if r["epochs_to_target"] is not None]
    if len(quick) > 1 and quick[0]["epochs_to_target"] < quick[-1]["epochs_to_target"]:
        first = [r["optimizer"] for r in quick if r["epochs_to_target"] == quick[0]["epochs_to_target"]]
        last = [r["optimizer"] for r in quick if r["epochs_to_target"] == quick[-1]["epochs_to_target"]]
        parts.append(
            f"To {comparison.study.problem.target:.0%} validation accuracy {_listed(first)} took "
            f"{quick[0]['epochs_to_target']:g} epochs (median), {_listed(last)} {quick[-1]['epochs_to_target']:g}."
        )
    return " ".join(parts)


def _percent(interval: dict[str, float]) -> str:
    return f"{100 * interval['mean']:.2f} ±{50 * (interval['high'] - interval['low']):.2f}"


def _epochs(row: dict[str, Any]) -> str:
    """The median, and how many runs got there if not all did."""
    if row["epochs_to_target"] is None:
        return "missed"
    text = f"{row['epochs_to_target']:g}"
    return text if row["hits"] == row["runs"] else f"{text} ({row['hits']}/{row['runs']})"


def _against(row: dict[str, Any]) -> str:
    if row["optimizer"] == row["reference"]:
        return "best"
    text = f"{100 * row['test_difference']['mean']:+.2f}"
    return f"{text} tied" if row["tied"] else text


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
