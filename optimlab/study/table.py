"""The comparison as a table in the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from .compare import Comparison
from .statistics import Interval
from .summary import in_percent, ranked

_TITLES = {
    "default": "the same untuned, at the default rate",
    "searched": "the same at the best of the random settings of all hyperparameters",
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
        table = Table(
            title=escape(f"{study.problem}, {study.protocol} protocol") if tuned else _TITLES[kind],
            caption=caption if tuned else None,
            box=box.SIMPLE_HEAD,
            padding=(0, 0),
            pad_edge=False,
        )
        table.add_column("optimizer", no_wrap=True)
        goal = in_percent(target)
        names = ["\nlr", f"epochs\nto {goal}", "validation\naccuracy %", "test\naccuracy %", "against\nthe best"]
        if tuned:
            names += [f"decades\n≥{goal}", "µs a\nstep", "B per\nweight"]
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for row in ranked([r for r in comparison.rows if r["kind"] == kind]):
            cells = [
                escape(row["label"].removesuffix(f", {kind}")),
                f"{row['lr']:.2g}" + ("!" if row["at_edge"] else ""),
                _epochs(row),
                _percent(row["val_accuracy"]),
                _percent(row["test_accuracy"]),
                _against(row),
            ]
            if tuned:
                step = row["microseconds_per_step"]
                cells.append(f"{row['usable_decades']:.1f}")
                cells.append("-" if step is None else f"{step:.0f}")
                cells.append(f"{row['state_bytes_per_parameter']}")
            table.add_row(*cells)
        made.append(table)
    return made


def _percent(interval: dict[str, float]) -> str:
    return " ±".join(Interval(**interval).percents())


def _epochs(row: dict[str, Any]) -> str:
    """The median, and how many runs got there if not all did."""
    text = "missed" if row["epochs_to_target"] is None else f"{row['epochs_to_target']:g}"
    return text if row["hits"] in (0, row["runs"]) else f"{text} ({row['hits']}/{row['runs']})"


def _against(row: dict[str, Any]) -> str:
    if row["label"] == row["reference"]:
        return "best"
    text = f"{100 * row['test_difference']['mean']:+.2f}"
    return f"{text} tied" if row["tied"] else f"{text}*" if row["surely"]["test"] else text
