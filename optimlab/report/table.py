"""The table: what each column is, and a row's cell in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..errors import concise
from ..study.statistics import Interval
from ..study.summary import in_percent
from ..tables import shortened
from .formats import percent, plural, points, significant, with_half
from .reading import Results, Row
from .wording import standing

NAME = 22
"""The most characters of a name in a heading; a longer one loses its middle."""


class Cell(NamedTuple):
    """What is shown, a smaller remark, and the value it is sorted by (None comes last)."""

    text: str
    value: float | None
    note: str = ""


class Column(NamedTuple):
    """A heading, its unit, what it means, and the cell of a row."""

    key: str
    heading: str
    unit: str
    meaning: str
    cell: Callable[[Row], Cell]


def columns(results: Results) -> list[Column]:
    """Every column but the first, the optimizer's name."""
    goal = in_percent(results.target)
    slow = max((row.microseconds_per_step or 0.0 for row in results.rows), default=0.0) >= 1000
    scale, unit = (1e-3, "ms") if slow else (1.0, "µs")
    long = max((row.seconds_to_target or 0.0 for row in results.rows), default=0.0) >= 1
    brief, brief_unit = (1.0, "s") if long else (1e3, "ms")

    def accuracy(row: Row, interval: Interval) -> Cell:
        return Cell(with_half(interval), interval.mean) if row.finished else Cell("–", None)

    def difference(row: Row) -> Cell:
        if not row.finished:
            return Cell("–", None, "failed" if row.failed else "diverged")
        shown = "0" if row.label == results.reference else points(row.test_difference.mean)
        return Cell(shown, row.test_difference.mean, standing(row, results))

    def target(row: Row) -> Cell:
        shown = "missed" if row.epochs_to_target is None else f"{row.epochs_to_target:g}"
        star = " *" if row.speed in ("slower", "faster") and row.surely["epochs"] else ""
        speed = f" {row.speed}{star}" if row.speed and row.hits else ""
        return Cell(shown, row.epochs_to_target, f"({row.hits}/{row.runs}){speed}")

    def step(row: Row) -> Cell:
        if row.microseconds_per_step is None:
            return Cell("–", None)
        return Cell(significant(scale * row.microseconds_per_step, 3), row.microseconds_per_step)

    def seconds(row: Row) -> Cell:
        if row.seconds_to_target is None:
            return Cell("–", None)
        return Cell(significant(brief * row.seconds_to_target, 3), row.seconds_to_target)

    def rate(row: Row) -> Cell:
        return Cell(concise(row.lr), row.lr, "at the edge" if row.at_edge else "")

    def usable(row: Row) -> Cell:
        return Cell("–", None) if row.usable_decades is None else Cell(f"{row.usable_decades:.1f}", row.usable_decades)

    def failed(row: Row) -> Cell:
        errors = len(row.errors)
        return Cell(percent(row.diverged_share, 0), row.diverged_share, plural(errors, "error") if errors else "")

    seeds = plural(results.seeds, "fresh seed")
    return [
        Column(
            "lr",
            "learning rate",
            "",
            "the rate with the best median validation accuracy of the tuning seeds; untuned: the default",
            rate,
        ),
        Column("trials", "trials", "", "runs the rate was chosen with", lambda r: Cell(str(r.trials), r.trials)),
        Column(
            "val_accuracy",
            "validation accuracy",
            "%",
            f"mean over {seeds} with its 95% interval",
            lambda r: accuracy(r, r.val_accuracy),
        ),
        Column(
            "test_accuracy",
            "test accuracy",
            "%",
            f"at the epoch with the best validation accuracy; mean over {seeds} with its 95% interval",
            lambda r: accuracy(r, r.test_accuracy),
        ),
        Column(
            "test_difference",
            f"test against {shortened([results.reference], NAME)[0]}",
            "points",
            "mean of the differences seed by seed, and its 95% interval; tied if the interval contains zero; * if an "
            "interval wide enough for all pairs of optimizers (Bonferroni) does not contain it",
            difference,
        ),
        Column(
            "epochs_to_target",
            f"epochs to {goal}",
            "",
            f"median of the first epoch with {goal} validation accuracy (how many runs got there); slower if the "
            f"95% interval of the paired difference to {results.fastest} lies above zero; tied if it contains zero; "
            "neither if a run missed; * as for the test accuracy",
            target,
        ),
        Column("seconds_to_target", f"time to {goal}", brief_unit, "median time, evaluation excluded", seconds),
        Column("microseconds_per_step", "a step", unit, "time of one training step, evaluation excluded", step),
        Column(
            "state_bytes_per_parameter",
            "state",
            "B/weight",
            "bytes the optimizer keeps for each weight, besides the weight and its gradient",
            lambda r: _number(r.state_bytes_per_parameter),
        ),
        Column(
            "usable_decades",
            "usable rates",
            "decades",
            f"width of the range of rates around the best that keep {goal}",
            usable,
        ),
        Column(
            "diverged_share",
            "diverged",
            "%",
            "share of the runs while tuning; untuned: of its own runs",
            failed,
        ),
    ]


def _number(value: float) -> Cell:
    return Cell(significant(value, 3), value)
