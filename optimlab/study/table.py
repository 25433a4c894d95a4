"""Tables of a comparison for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from ..common.errors import concise
from ..common.tables import Column, Table
from .maps import in_words
from .results import Interval, Row, Spread, Summary
from .summary import in_percent

_TITLES = {
    "default": "untuned, at the default rate",
    "searched": "at the best random setting of all searchable hyperparameters",
}


def tables(summary: Summary) -> list[Table]:
    """Make one table for each kind of row, with one row per contender and the fastest to the target first."""
    result = []
    goal = in_percent(summary.target.value)
    for kind in dict.fromkeys(row.kind for row in summary.rows):
        tuned = kind == "tuned"
        against = "against\nthe leader" if tuned else "against\ntuned"
        errors = any(row.test_error for row in summary.rows)
        names = ["learning\nrate", f"epochs\nto {goal}", f"test\n{summary.measure} %", against]
        names += ["mean absolute\ntest error"] if errors else []
        if tuned:
            names += ["usable range\nof rates", "time per\nstep, µs", "memory per\nweight, B"]
        body = []
        for row in ranked(row for row in summary.rows if row.kind == kind):
            cells = [row.contender, rate(row.lr), epochs(row), percent(row, row.test_score), standing(row, summary)]
            cells += [error(row)] if errors else []
            if tuned:
                cells += [usable(row), step(row), f"{row.state_bytes_per_weight:g}"]
            body.append(cells)
        if tuned and summary.baseline is not None:
            share = summary.baseline.test_score
            cells = [f"always {summary.baseline.name}", "-", "-", " ±".join(share.percents())]
            body.append(cells + [""] * (len(names) + 1 - len(cells)))
        title = f"{summary.heading}, {summary.protocol} protocol" if tuned else _TITLES[kind]
        result.append(Table([Column("optimizer", "name"), *map(Column, names)], body, title, _caption(summary, kind)))
    return result


def _caption(summary: Summary, kind: str) -> str:
    if kind == "searched":
        return "\n".join(
            f"not searched: {', '.join(row.not_searched)} of {row.contender}"
            for row in summary.rows
            if row.kind == kind and row.not_searched
        )
    if kind != "tuned":
        return ""
    lines = [
        f"mean ±95% confidence interval over {summary.replicates} replicates; of epochs [low, high]; "
        "learning rate: median" + ("; the peak of a schedule" if any(row.schedule for row in summary.rows) else ""),
        f"against: difference in test {summary.measure}, in points; *: significant at 5% after Holm's correction for "
        f"{summary.verdict.family} tests",
        f"usable range: decades of rates around the best that reach {in_percent(summary.target.value)}",
        *searches(summary),
    ]
    return "\n".join([*lines, summary.limits] if summary.limits else lines)


def searches(summary: Summary) -> list[str]:
    """Return lines on the trials of each optimizer and the chosen values, if more than the rate is searched."""
    if not any(row.searched for row in summary.tuned):
        return []
    counts = [row.trials[0] for row in summary.tuned]
    low, high = min(counts), max(counts)
    many = f"{low}" if low == high else f"{low} to {high}"
    trials = f"{many} trials of each optimizer in every replicate: searched values times rates, with more rates where"
    return [f"{trials} fewer values are searched", *(words for row in summary.tuned for words in in_words(row))]


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Sort the rows by epochs to the target, then by test score; rows without a finished run come last."""
    return sorted(rows, key=lambda row: (not row.finished, row.epochs.mean, -row.test_score.mean))


def rate(spread: Spread) -> str:
    """Format a learning rate, or the median of several with two digits."""
    return concise(spread.median) if spread.low == spread.high else concise(float(f"{spread.median:.2g}"))


def percent(row: Row, interval: Interval) -> str:
    """Format a mean with its interval, or a dash if no run finished."""
    return " ±".join(interval.percents()) if row.finished else "-"


def error(row: Row) -> str:
    """Format the mean absolute error with its interval, in the target's unit; a dash if a replicate did not finish."""
    if row.test_error is None:
        return "-"
    return f"{concise(row.test_error.mean, 3)} ±{concise(row.test_error.half)}"


def epochs(row: Row) -> str:
    """Format the mean with its interval, and the number of replicates that reached the target if not all did."""
    if not row.hits:
        return "missed"
    text = f"{row.epochs.mean:.1f} {row.epochs.ends()}"
    return text if row.hits == len(row.replicates) else f"≥{text} ({row.hits}/{len(row.replicates)})"


def usable(row: Row) -> str:
    """Format the usable decades, with ≥ if the grid ended before the range did."""
    if row.usable_decades is None:
        return "-"
    return f"{'≥' if row.usable_at_least else ''}{row.usable_decades:.1f}"


def step(row: Row) -> str:
    """Format the microseconds per step: the median of the rounds."""
    return "-" if row.microseconds_per_step is None else f"{row.microseconds_per_step.median:.0f}"


def standing(row: Row, summary: Summary) -> str:
    """Format the difference in test score from the leader, or from the tuned row; with a star if significant."""
    leader = summary.verdict.leader if row.kind == "tuned" else row.contender
    if not row.finished:
        return "failed" if row.failed else "diverged"
    if row.label == leader:
        return "leader"
    if leader is None or row.failed:
        return "-"
    mean = row.test_score.mean - summary.row(leader).test_score.mean
    pair = summary.pair(row.label, leader, "test_score")
    return f"{round(100 * mean, 2) + 0.0:+.2f}{'*' if pair is not None and pair.told_apart else ''}"
