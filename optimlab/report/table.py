"""The table: its columns, and a row's cell in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..common.errors import concise
from ..common.tables import shortened
from ..study.results import Interval, Pair, Row, Spread, Summary
from ..study.summary import in_percent
from ..study.table import rate
from .formats import percent, plural, points, significant, with_half
from .pairs import minus

NAME = 22
"""The most characters of a name in a heading; a longer one loses its middle."""


class Cell(NamedTuple):
    """Text of a cell, a smaller remark, and the value for sorting (None comes last)."""

    text: str
    value: float | None
    note: str = ""


class Column(NamedTuple):
    """Heading, unit and meaning of a column, and a function that gives the cell of a row."""

    key: str
    heading: str
    unit: str
    meaning: str
    cell: Callable[[Row], Cell]


NOTHING = Cell("–", None)


def reference(row: Row, summary: Summary) -> str | None:
    """Return the row that a row's test score is compared with: the leader, or the same optimizer tuned."""
    return summary.verdict.leader if row.kind == "tuned" else row.contender


def difference(row: Row, summary: Summary) -> tuple[Interval, Pair] | None:
    """Return a row's difference in test score to its reference; None if they are not compared."""
    whom = reference(row, summary)
    pair = None if whom is None or whom == row.label else summary.pair(row.label, whom, "test_score")
    return None if pair is None or whom is None else (minus(pair, whom), pair)


def standing(row: Row, summary: Summary) -> str:
    """Return ``"leader"``, ``"lower"``, ``"higher"``, ``"not told apart"``, or why a row has no comparison."""
    if row.failed:
        return "failed"
    if not row.finished:
        return "diverged"
    if row.label == reference(row, summary):
        return "leader"
    found = difference(row, summary)
    if found is None:
        return "not compared"
    interval, pair = found
    return "not told apart" if not pair.told_apart else "lower" if interval.mean < 0 else "higher"


def columns(summary: Summary) -> list[Column]:
    """Return every column but the first, the optimizer's name."""
    goal = in_percent(summary.target.value)
    slow = max((row.microseconds_per_step.median for row in summary.rows if row.microseconds_per_step), default=0.0)
    scale, unit = (1e-3, "ms") if slow >= 1000 else (1.0, "µs")
    long = max((row.seconds_to_target or 0.0 for row in summary.rows), default=0.0) >= 1
    brief, brief_unit = (1.0, "s") if long else (1e3, "ms")
    leader, fastest = summary.verdict.leader, summary.verdict.fastest

    def learning_rate(row: Row) -> Cell:
        edges = f"at the edge in {row.edges}" if row.edges else ""
        return Cell(rate(row.lr), row.lr.median, " ".join(part for part in (_range(row.lr), edges) if part))

    def trials(row: Row) -> Cell:
        low, high = row.trials
        return Cell(f"{low}" if low == high else f"{low}–{high}", high)

    def quality(row: Row) -> Cell:
        lost = len(row.replicates) - row.finished
        note = f"{lost} of {len(row.replicates)} not finished" if lost and row.finished else ""
        return Cell(with_half(row.test_score), row.test_score.mean, note) if row.finished else NOTHING

    def error(row: Row) -> Cell:
        found = row.test_error
        return (
            NOTHING
            if found is None
            else Cell(f"{significant(found.mean, 3)} ± {significant(found.half, 2)}", found.mean)
        )

    def against(row: Row) -> Cell:
        found, word = difference(row, summary), standing(row, summary)
        if word == "leader":
            return Cell("0", 0.0, word)
        return Cell("–", None, word) if found is None else Cell(points(found[0].mean), found[0].mean, word)

    def epochs(row: Row) -> Cell:
        hits = f"{row.hits} of {len(row.replicates)}"
        if not row.hits:
            return Cell("missed", None, hits)
        pair = None if fastest is None else summary.pair(row.label, fastest, "epochs")
        slower = ", slower" if pair is not None and pair.told_apart and row.kind == "tuned" else ""
        first = ", fastest" if row.label == fastest else ""
        return Cell(
            f"{_at_least(row)}{row.epochs.mean:.1f} {row.epochs.ends()}", row.epochs.mean, f"{hits}{slower}{first}"
        )

    def seconds(row: Row) -> Cell:
        if row.seconds_to_target is None:
            return NOTHING
        return Cell(_at_least(row) + significant(brief * row.seconds_to_target, 3), row.seconds_to_target)

    def step(row: Row) -> Cell:
        took = row.microseconds_per_step
        if took is None:
            return NOTHING
        low, high = (significant(scale * value, 3) for value in (took.low, took.high))
        return Cell(significant(scale * took.median, 3), took.median, "" if low == high else f"{low}–{high}")

    def usable(row: Row) -> Cell:
        if row.usable_decades is None:
            return NOTHING
        return Cell(f"{'≥ ' if row.usable_at_least else ''}{row.usable_decades:.1f}", row.usable_decades)

    def diverged(row: Row) -> Cell:
        return Cell(percent(row.diverged_share, 0), row.diverged_share, f"{row.failed} failed" if row.failed else "")

    many, family = plural(summary.replicates, "replicate"), summary.verdict.family
    corrected = f" after Holm’s correction for all {family} tests of this page" if family > 1 else ""
    short = "the leader" if leader is None else shortened([leader], NAME)[0]
    column = Column(
        "test_error",
        "mean absolute test error",
        "",
        f"of the chosen run, in the unit of the target; mean over {many} with its 95% interval",
        error,
    )
    errors = [column] if any(row.test_error for row in summary.rows) else []
    return [
        Column(
            "lr",
            "learning rate",
            "",
            f"chosen by each replicate, for validation {summary.measure}: median and range; untuned: the default; at "
            "the edge: in so many replicates the best rate is the first or last of the grid",
            learning_rate,
        ),
        Column("trials", "trials", "", "training runs in each replicate, of which one is chosen", trials),
        Column(
            "test_score",
            f"test {summary.measure}",
            "%",
            f"of the chosen run, at its epoch with the best validation {summary.measure}; mean over {many} with its "
            "95% interval",
            quality,
        ),
        Column(
            "difference",
            f"difference to {short}",
            "points",
            f"in test {summary.measure}: mean of the differences replicate by replicate, with its 95% interval; of the "
            f"rows untuned and searched: to the same optimizer tuned; higher or lower: significant at 5%{corrected}",
            against,
        ),
        *errors,
        Column(
            "epochs",
            f"epochs to {goal}",
            "",
            f"until the validation {summary.measure} is {goal}, at the rate that gets there first: mean over {many} "
            f"with its 95% interval, and how many got there; a miss counts as {summary.epochs + 1}, so that a mean "
            "with misses is a lower bound (≥)" + (f"; slower: than {fastest}, significant as above" if fastest else ""),
            epochs,
        ),
        Column(
            "seconds_to_target",
            f"time to {goal}",
            brief_unit,
            "these epochs times the time of their steps; evaluation is excluded",
            seconds,
        ),
        Column(
            "microseconds_per_step",
            "time per step",
            unit,
            "of one training step, measured apart, one optimizer at a time: median and range of the rounds",
            step,
        ),
        Column(
            "state_bytes_per_weight",
            "memory per weight",
            "bytes",
            "what the optimizer keeps for each weight, besides the weight and its gradient",
            lambda r: Cell(significant(r.state_bytes_per_weight, 3), r.state_bytes_per_weight),
        ),
        Column(
            "usable_decades",
            "usable range of rates",
            "decades",
            f"width of the range of learning rates around the best that keep {goal} validation {summary.measure}: mean "
            f"over {many}; one decade is a factor of ten; ≥: a grid ended first",
            usable,
        ),
        Column(
            "diverged_share",
            "diverged",
            "%",
            "share of all training runs that ended in infinity or NaN; failed: ended with an error",
            diverged,
        ),
    ]


def _at_least(row: Row) -> str:
    return "≥ " if row.hits < len(row.replicates) else ""


def _range(spread: Spread) -> str:
    """Return the lowest and the highest of several rates."""
    return "" if spread.low == spread.high else "–".join(concise(float(f"{v:.2g}")) for v in (spread.low, spread.high))
