"""The comparison as a table in the terminal."""

from __future__ import annotations

from typing import Any

from ..errors import concise
from ..tables import Column, Table
from .compare import Comparison
from .statistics import Interval
from .summary import finished, in_percent, ranked, unfinished

_TITLES = {
    "default": "the same untuned, at the default rate",
    "searched": "the same at the best of the random settings of all searchable hyperparameters",
}


def tables(comparison: Comparison) -> list[Table]:
    """One row per contender, the fastest to the target first; then the same untuned, and searched."""
    study = comparison.study
    target, runs = study.problem.target, len(study.confirmation_seeds)
    made = []
    caption = f"mean ±95% confidence interval, {runs} fresh seeds, each at its best rate"
    if any(row["surely"]["test"] for row in comparison.rows):
        caption += "\n*: by an interval wide enough for all pairs, too (Bonferroni)"
    for kind in dict.fromkeys(row["kind"] for row in comparison.rows):
        tuned = kind == "tuned"
        goal = in_percent(target)
        names = ["lr", f"epochs\nto {goal}", "validation\naccuracy %", "test\naccuracy %", "against\nthe best"]
        if tuned:
            names += [f"decades\n≥{goal}", "µs a\nstep", "B per\nweight"]
        body = []
        for row in ranked([r for r in comparison.rows if r["kind"] == kind]):
            cells = [
                row["label"].removesuffix(f", {kind}"),
                concise(row["lr"]) + ("!" if row["at_edge"] else ""),
                _epochs(row),
                _percent(row, "val_accuracy"),
                _percent(row, "test_accuracy"),
                _against(row),
            ]
            if tuned:
                step = row["microseconds_per_step"]
                cells.append(f"{row['usable_decades']:.1f}")
                cells.append("-" if step is None else f"{step:.0f}")
                cells.append(f"{row['state_bytes_per_parameter']}")
            body.append(cells)
        title = f"{study.problem}, {study.protocol} protocol" if tuned else _TITLES[kind]
        columns = [Column("optimizer", "name"), *map(Column, names)]
        told = {"tuned": caption, "searched": "\n".join(study.not_searched())}.get(kind, "")
        made.append(Table(columns, body, title, told))
    return made


def profile_table(profile: dict[str, Any]) -> Table:
    """The share of problems that each optimizer solves within a factor of the best one's cost."""
    factors = (1.0, 1.5, 2.0, 3.0)
    rows = [
        [label, *(f"{max((s for f, s in stairs if f <= factor), default=0):.0%}" for factor in factors)]
        for label, stairs in profile["curves"].items()
    ]
    return Table(
        [Column("optimizer", "name"), *(Column(f"≤ {factor:g} ×\nbest") for factor in factors)],
        rows,
        f"performance profile over {len(profile['problems'])} problems",
        f"share of problems solved within a factor of the best {profile['cost']}",
    )


def _percent(row: dict[str, Any], name: str) -> str:
    """A mean with its interval, or a dash if no run finished."""
    return " ±".join(Interval(**row[name]).percents()) if finished(row) else "-"


def _epochs(row: dict[str, Any]) -> str:
    """The median, and how many runs got there if not all did."""
    text = "missed" if row["epochs_to_target"] is None else f"{row['epochs_to_target']:g}"
    return text if row["hits"] in (0, row["runs"]) else f"{text} ({row['hits']}/{row['runs']})"


def _against(row: dict[str, Any]) -> str:
    if not finished(row):
        return "failed" if unfinished(row, "error") else "diverged"
    if row["label"] == row["reference"]:
        return "best"
    text = f"{100 * row['test_difference']['mean']:+.2f}"
    return f"{text} tied" if row["tied"] else f"{text}*" if row["surely"]["test"] else text
