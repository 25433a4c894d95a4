"""Numbers as they are shown, and the sentences that the data support."""

from __future__ import annotations

from collections.abc import Sequence

from ..study.statistics import Interval
from .reading import Results, Row

MINUS = "−"


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage without its sign.

    >>> percent(0.98642)
    '98.64'
    """
    return f"{100 * share:.{digits}f}"


def with_half(interval: Interval) -> str:
    """A mean with half the width of its interval, in percent.

    >>> with_half(Interval(0.9, 0.88, 0.92))
    '90.00 ± 2.00'
    """
    return f"{percent(interval.mean)} ± {percent(interval.half)}"


def signed(value: float, digits: int = 2) -> str:
    """With its sign, a real minus; nothing before a zero.

    >>> signed(-0.061), signed(0.061), signed(0.001)
    ('−0.06', '+0.06', '0.00')
    """
    text = f"{abs(value):.{digits}f}"
    return text if not float(text) else ("+" if value > 0 else MINUS) + text


def points(difference: float) -> str:
    """A difference of two shares, in percentage points."""
    return signed(100 * difference)


def significant(value: float, digits: int = 2) -> str:
    """So many significant digits, without an exponent where a reader needs none.

    >>> significant(0.31623), significant(100), significant(0.0000316)
    ('0.32', '100', '3.2e-05')
    """
    return f"{float(f'{value:.{digits}g}'):g}"


def plural(count: float, noun: str) -> str:
    """
    >>> plural(1, "epoch"), plural(3.5, "epoch")
    ('1 epoch', '3.5 epochs')
    """
    return f"{count:g} {noun}" + ("" if count == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def standing(row: Row, results: Results) -> str:
    """How a row stands to the reference in test accuracy."""
    if row.label == results.reference:
        return "reference"
    if row.tied:
        return "tied"
    return "lower" if row.test_difference.mean < 0 else "higher"


def facts(results: Results) -> list[tuple[str, str, str]]:
    """Who, by how much, how sure, how fast: each a heading, an answer and what it rests on."""
    rows = results.tuned or results.rows
    best = next(row for row in results.rows if row.label == results.reference)
    found = [("Best", best.label, f"highest mean validation accuracy: {with_half(best.val_accuracy)} %")]
    others = [row for row in rows if row is not best]
    if others:
        low = min(others, key=lambda r: r.test_difference.mean)
        high = max(others, key=lambda r: r.test_difference.mean)
        gaps = [points(r.test_difference.mean) for r in ((low, high) if low is not high else (low,))]
        found.append(
            (
                "By how much",
                f"{' to '.join(gaps)} points",
                "the other's test accuracy against it"
                if low is high
                else f"the others' test accuracy against it, from {low.label} to {high.label}",
            )
        )
        ties = [row for row in others if row.tied]
        found.append(
            (
                "How sure",
                f"{len(ties)} of {len(others)} tied with it",
                f"95 % intervals of the paired difference, {plural(results.seeds, 'seed')}",
            )
        )
    reached = [row for row in rows if row.epochs_to_target is not None]
    goal = f"{percent(results.target, 0)} % validation accuracy"
    if reached:
        first = min(row.epochs_to_target or 0.0 for row in reached)
        names = [row.label for row in reached if row.epochs_to_target == first]
        found.append((f"First to {percent(results.target, 0)} %", listed(names), f"{plural(first, 'epoch')}, median"))
    else:
        found.append(("First to the target", "none", f"no optimizer reached {goal} in most of its runs"))
    return found


def loss_by_epochs(results: Results) -> str:
    """What the loss curves show at their end."""
    ends = {row.label: row.curves["train_loss"].median for row in results.tuned or results.rows}
    whole = {name: median[-1] for name, median in ends.items() if len(median) == results.epochs}
    said = []
    if len(whole) > 1:
        low, high = min(whole, key=whole.__getitem__), max(whole, key=whole.__getitem__)
        said.append(
            f"After {plural(results.epochs, 'epoch')} {low} had the lowest training loss, {significant(whole[low])} "
            f"(median), {high} the highest, {significant(whole[high])}."
        )
    elif whole:
        [(name, end)] = whole.items()
        said.append(f"After {plural(results.epochs, 'epoch')} {name} had a training loss of {significant(end)} (median).")
    short = [name for name, median in ends.items() if len(median) < results.epochs]
    if short:
        said.append(f"Not every run of {listed(short)} finished: a curve ends where the first of its runs diverged.")
    return " ".join(said)


def loss_by_seconds(results: Results) -> str:
    """Who was ahead when the quickest had finished."""
    rows = [row for row in results.tuned or results.rows if len(row.curves["train_loss"].median) == results.epochs]
    if not rows:
        return loss_by_epochs(results)
    first = min(rows, key=lambda row: row.curves["seconds"].median[-1])
    end = first.curves["seconds"].median[-1]

    def loss(row: Row) -> float:
        done = [k for k, second in enumerate(row.curves["seconds"].median) if second <= end]
        return row.curves["train_loss"].median[done[-1]] if done else float("inf")

    ahead = min(rows, key=loss)
    said = f"{first.label} was through its {plural(results.epochs, 'epoch')} first, after {significant(end)} s of training"
    if len(rows) == 1:
        return said.replace(" first,", "") + "."
    lead = "it" if ahead is first else ahead.label
    return f"{said}; at that time {lead} had the lowest training loss, {significant(loss(ahead))}."


def accuracy_sentence(results: Results) -> str:
    """Who reached the target, and how far apart the ends lie."""
    rows = results.tuned or results.rows
    goal = f"{percent(results.target, 0)} %"
    always = [row for row in rows if row.hits == row.runs]
    never = [row for row in rows if row.hits == 0]
    said = []
    if len(always) == len(rows):
        said.append(f"Every run reached {goal}." if len(rows) > 1 else f"Every run of {rows[0].label} reached {goal}.")
    else:
        said.append(f"{len(always)} of {len(rows)} reached {goal} in every run.")
        if never:
            said.append(f"{listed([r.label for r in never])} never did.")
    ends = {r.label: r.curves["val_accuracy"].median[-1] for r in rows if r.curves["val_accuracy"].median}
    if len(ends) > 1:
        low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
        gap = ends[high] - ends[low]
        said.append(f"The curves end {percent(gap)} points apart, {low} lowest, {high} highest.")
    return " ".join(said)


def sensitivity_sentence(results: Results) -> str:
    """Whose rate may be missed by most, and where runs diverged."""
    rows = [row for row in results.tuned if row.sensitivity]
    goal = f"{percent(results.target, 0)} %"
    wide = max(rows, key=lambda row: row.usable_decades)
    narrow = min(rows, key=lambda row: row.usable_decades)
    if not wide.usable_decades:
        said = [f"No rate reached {goal} in the median of its seeds, or only one alone did."]
    elif wide.usable_decades == narrow.usable_decades:
        said = [f"Rates over {wide.usable_decades:.1f} decades keep {goal}, with every optimizer alike."]
    else:
        said = [
            f"{wide.label} forgives most: rates over {wide.usable_decades:.1f} decades keep {goal}; "
            f"{narrow.label} forgives least, {narrow.usable_decades:.1f}."
        ]
    diverged = [f"{row.label} ({percent(row.diverged_share, 0)} %)" for row in rows if row.diverged_share]
    said.append(f"Runs diverged with {listed(diverged)}." if diverged else "No run diverged while tuning.")
    return " ".join(said)


def ratio_sentence(results: Results) -> str:
    """The span of the last epoch's update/weight ratios."""
    ends = {
        (row.label, layer): ratio.median[-1]
        for row in results.tuned or results.rows
        for layer, ratio in row.ratios.items()
        if ratio.median and ratio.median[-1] > 0
    }
    if len(ends) < 2:
        return ""
    low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    return (
        f"At the end one step moves the weights by {significant(ends[low])} of their size ({low[0]}, {low[1]}) "
        f"to {significant(ends[high])} ({high[0]}, {high[1]})."
    )


def schedule_sentence(results: Results) -> str:
    """Whether the learning rates moved."""
    moved = [
        row.label
        for row in results.tuned or results.rows
        if len(set(row.curves["lr"].median)) > 1 and row.curves["lr"].median
    ]
    return f"The learning rate changed during training: {listed(moved)}." if moved else "The learning rates were constant."
