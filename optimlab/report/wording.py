"""The sentences of the page. A difference between optimizers is stated only by the summary's own tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..common.tables import shortened
from ..study.curves import regret
from ..study.results import Row, Summary
from ..study.summary import in_percent, listed
from .formats import percent, plural, points, share, significant, with_ends, with_half
from .lines import Lines
from .pairs import minus

NAME, SHORT = 100, 60
"""In a sentence, a name of more than ``NAME`` characters is shortened to ``SHORT``."""
FEW = 6
"""Of more names a sentence gives the number."""
FACTOR = 3.0
"""By how much a rate misses the best one where a sentence says what that costs."""


def facts(summary: Summary) -> list[tuple[str, str, str]]:
    """Return who, by how much, how sure and how fast: each a heading, an answer and its basis."""
    said = summary.verdict
    if said.leader is None:
        return [(f"Highest test {summary.measure}", "none", "no optimizer finished all its runs")]
    leader = summary.row(said.leader)
    if not any(row.finished for row in summary.tuned):
        return [(f"Highest test {summary.measure}", "none", "no run finished")]
    others = [row for row in summary.tuned if row.label != leader.label and not row.failed]
    basis = f"{with_half(leader.test_score)}% on average"
    found = [(f"Highest test {summary.measure}", leader.label, f"{basis}{_level(said.level_with, len(others))}")]
    if others:
        found += [
            ("By how much", *_margin(summary, leader, others)),
            ("How sure", *_certainty(summary, leader, others)),
        ]
    goal = f"First to {in_percent(summary.target.value)}"
    if said.fastest is None:
        found.append((goal, "none", f"no optimizer reached this validation {summary.measure}"))
    else:
        first = summary.row(said.fastest)
        lower = "at least " if first.hits < len(first.replicates) else ""
        basis = f"after {lower}{first.epochs.mean:.1f} epochs on average {first.epochs.ends()}"
        found.append((goal, first.label, f"{basis}{_level(said.fast_with, len(others))}"))
    return found


def _level(names: Sequence[str], others: int) -> str:
    if not names:
        return ""
    if len(names) == others > 1:
        return f"; none of the {others} others can be told from it"
    who = listed(names) if len(names) <= FEW else f"{len(names)} of the {others} others"
    return f"; not to be told from it: {who}"


def _margin(summary: Summary, leader: Row, others: Sequence[Row]) -> tuple[str, str]:
    """Return the leader's differences to the next and to the last, with their intervals."""
    ordered = sorted(others, key=lambda row: -row.test_score.mean)
    ahead = {}
    for row in ordered:
        pair = summary.pair(leader.label, row.label, "test_score")
        if pair is not None:
            ahead[row.label] = minus(pair, row.label)
    if not ahead:
        return "–", "no other optimizer is compared with it"
    (second, least), *_, (last, most) = [*ahead.items(), *ahead.items()]
    next_one = f"{second}, the next" if len(ahead) > 1 else second
    text = f"of test {summary.measure} ahead of {next_one}: 95% interval {_ends(least)}"
    if len(ahead) > 1:
        text += f"; of {last}, the last, by {with_ends(most, 100)}"
    return f"{points(least.mean)} points", text


def _ends(interval: tuple[float, float, float]) -> str:
    return " to ".join(points(end) for end in interval[1:])


def _certainty(summary: Summary, leader: Row, others: Sequence[Row]) -> tuple[str, str]:
    """Say from how many the leader is told apart, and how often it is ahead of the next."""
    said = summary.verdict
    told = len(others) - len(said.level_with)
    text = f"told apart from it at 5%, after Holm’s correction for {plural(said.family, 'test')}"
    second = max(others, key=lambda row: row.test_score.mean)
    pair = summary.pair(leader.label, second.label, "test_score")
    if pair is not None:
        ahead = pair.ahead if pair.first == leader.label else type(pair.ahead)(*(1 - pair.ahead[k] for k in (0, 2, 1)))
        text += (
            f"; ahead of {second.label} in {ahead.mean * summary.replicates:g} of {summary.replicates} replicates, "
            f"P = {share(ahead)}"
        )
    return f"{told} of {plural(len(others), 'other')}", text


def gaps(summary: Summary, lines: Sequence[Lines]) -> list[str]:
    """Return sentences about rows whose records differ from the runs behind the summary."""
    said = [
        f"{row.label}: {plural(own.missing, 'run')} that the summary names {'is' if own.missing == 1 else 'are'} "
        "missing from runs.jsonl, so its curves show only the others; run the same comparison again to replace them."
        for row, own in zip(summary.rows, lines, strict=True)
        if own.missing
    ]
    changed = [row.label for row, own in zip(summary.rows, lines, strict=True) if own.changed]
    if changed:
        said.append(
            f"The runs of {listed(changed)} in runs.jsonl have other scores than summary.json: run the same comparison "
            "again."
        )
    return said


def not_searched(summary: Summary) -> list[str]:
    """Return sentences about hyperparameters that the random search left at their defaults, one per optimizer."""
    return [f"Not searched: {listed(row.not_searched)} of {row.contender}." for row in summary.rows if row.not_searched]


def brief(sentence: str, names: Sequence[str]) -> str:
    """Shorten very long names in a sentence; the table has them in full.

    Names that would become equal stay unchanged.
    """
    long = [name for name in sorted(names, key=len, reverse=True) if len(name) > NAME]
    for name, short in zip(long, shortened(long, SHORT), strict=True):
        if "#" not in short:
            sentence = sentence.replace(name, short)
    return sentence


def _few(names: Sequence[str]) -> str:
    """Return the names, or their number if there are many."""
    return listed(names) if len(names) <= FEW else f"{len(names)} optimizers"


def _tuned(summary: Summary, lines: Sequence[Lines]) -> list[tuple[Row, Lines]]:
    return [(row, own) for row, own in zip(summary.rows, lines, strict=True) if row.kind == "tuned"]


def loss_by_epochs(summary: Summary, lines: Sequence[Lines]) -> str:
    """Say what the loss curves show at their end."""
    ends = {row.label: own.curves["train_loss"].median for row, own in _tuned(summary, lines)}
    whole = {name: median[-1] for name, median in ends.items() if len(median) == summary.epochs}
    after = f"After {plural(summary.epochs, 'epoch')}"
    said = []
    if len(whole) > 1:
        low, high = min(whole, key=whole.__getitem__), max(whole, key=whole.__getitem__)
        said.append(
            f"{after} {low} had the lowest training loss, {significant(whole[low])} (median), {high} the highest, "
            f"{significant(whole[high])}."
        )
    elif whole:
        [(name, end)] = whole.items()
        said.append(f"{after} {name} had a training loss of {significant(end)} (median).")
    short = [name for name, median in ends.items() if len(median) < summary.epochs]
    if short:
        said.append(f"Not every run of {_few(short)} finished: a curve ends where the first of its runs diverged.")
    return " ".join(said)


def loss_by_seconds(summary: Summary, lines: Sequence[Lines]) -> str:
    """Say who was ahead when the quickest had finished."""
    found = [
        (row, own) for row, own in _tuned(summary, lines) if len(own.curves["train_loss"].median) == summary.epochs
    ]
    if not found:
        return loss_by_epochs(summary, lines)
    first, its = min(found, key=lambda one: one[1].seconds[-1])
    end = its.seconds[-1]

    def loss(own: Lines) -> float:
        done = [k for k, second in enumerate(own.seconds) if second <= end]
        return own.curves["train_loss"].median[done[-1]] if done else float("inf")

    ahead, best = min(found, key=lambda one: loss(one[1]))
    whole = plural(summary.epochs, "epoch")
    if len(found) == 1:
        return f"{first.label} completed its {whole} after {significant(end)} s of training."
    lead = "it" if ahead is first else ahead.label
    return (
        f"{first.label} completed its {whole} first, after {significant(end)} s of training; at that time {lead} had "
        f"the lowest training loss, {significant(loss(best))}."
    )


def accuracy_sentence(summary: Summary, lines: Sequence[Lines]) -> str:
    """Say who reached the target, and how far apart the ends lie."""
    rows = summary.tuned
    goal = in_percent(summary.target.value)
    always = [row for row in rows if row.hits == len(row.replicates)]
    never = [row for row in rows if row.hits == 0]
    said = []
    if len(always) == len(rows):
        said.append(f"Every optimizer reached {goal} in every replicate, each at its fastest rate.")
    else:
        said.append(
            f"{len(always)} of {plural(len(rows), 'optimizer')} reached {goal} in every replicate, each at its fastest "
            "rate."
        )
        if never:
            said.append(f"{_few([r.label for r in never])} never did.")
    ends = {row.label: own.curves["val_score"].median[-1:] for row, own in _tuned(summary, lines)}
    at = {name: end[0] for name, end in ends.items() if end}
    if len(at) > 1:
        low, high = min(at, key=at.__getitem__), max(at, key=at.__getitem__)
        said.append(f"The curves end {percent(at[high] - at[low])} points apart, {low} lowest, {high} highest.")
    return " ".join(said)


def sensitivity_sentence(summary: Summary) -> str:
    """Say whose range of usable rates is the widest, and where runs diverged."""
    goal = in_percent(summary.target.value)
    widths = {row.label: _width(row) for row in summary.tuned}
    ends = [choose(widths.values(), key=lambda width: float(width.removeprefix("at least "))) for choose in (max, min)]
    wide, narrow = ends
    if wide == narrow:
        said = [f"The rates that keep {goal} span {wide} decades{' with each' if len(widths) > 1 else ''}."]
    else:
        at_most, at_least = ([name for name, w in widths.items() if w == end] for end in (wide, narrow))
        said = [
            f"The rates that keep {goal} span most with {_few(at_most)}, {wide} decades on average, and least with "
            f"{_few(at_least)}, {narrow}."
        ]
    diverged = [f"{row.label} ({percent(row.diverged_share, 0)}%)" for row in summary.tuned if row.diverged_share]
    said.append(f"Runs diverged with {_few(diverged)}." if diverged else "No run diverged.")
    return " ".join(said)


def _width(row: Row) -> str:
    return f"{'at least ' if row.usable_at_least else ''}{row.usable_decades or 0.0:.1f}"


def regret_sentence(summary: Summary) -> str:
    """Say what a rate beside the best one costs."""
    found = {row.label: lost_beside(row) for row in summary.tuned if row.finished}
    lost = {name: value for name, value in found.items() if value is not None}
    factor = significant(FACTOR)
    if not lost:
        return ""
    if len(lost) == 1:
        [(name, value)] = lost.items()
        return f"A rate {factor} times too high or too low costs {name} {percent(value)} points, whichever is worse."
    low, high = min(lost, key=lost.__getitem__), max(lost, key=lost.__getitem__)
    return (
        f"A rate {factor} times too high or too low, whichever is worse, costs least with {low}, {percent(lost[low])} "
        f"points, and most with {high}, {percent(lost[high])} points."
    )


def lost_beside(row: Row) -> float | None:
    """Return the score lost at ``FACTOR`` times the best rate or at the best over ``FACTOR``, the larger of the two.

    None where the grid ends before.
    """
    import numpy as np

    factors, lost = regret(row)
    if not factors or factors[0] > 1 / FACTOR or factors[-1] < FACTOR:
        return None
    at = np.interp([-math.log10(FACTOR), math.log10(FACTOR)], np.log10(factors), lost)
    return float(at.max())


def ratio_sentence(summary: Summary, lines: Sequence[Lines]) -> str:
    """Say between which values the last epoch's update/weight ratios lie."""
    ends = {
        (row.label, layer): ratio.median[-1]
        for row, own in _tuned(summary, lines)
        for layer, ratio in own.ratios.items()
        if ratio.median and ratio.median[-1] > 0
    }
    if len(ends) < 2:
        return ""
    low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    return (
        f"At the end one step moves the weights by {significant(ends[low])} of their size ({low[0]}, {low[1]}) "
        f"to {significant(ends[high])} ({high[0]}, {high[1]})."
    )


def schedule_sentence(summary: Summary, lines: Sequence[Lines]) -> str:
    """Say if the learning rates moved."""
    moved = [row.label for row, own in _tuned(summary, lines) if len(set(own.curves["lr"].median)) > 1]
    return f"The learning rate changed during training: {listed(moved)}." if moved else "Every rate stays constant."


def budget_sentence(summary: Summary) -> str:
    """Say what the second half of the random trials still gave."""
    gains = {
        row.contender: row.best_after[-1] - row.best_after[(len(row.best_after) - 1) // 2]
        for row in summary.rows
        if len(row.best_after) > 1
    }
    if not gains:
        return ""
    high, low = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    if high == low:
        return f"The second half of the trials raises the expected best by {percent(gains[high])} points."
    return (
        f"The second half of the trials raises the expected best most with {high}, by {percent(gains[high])} points, "
        f"and least with {low}, by {percent(gains[low])}."
    )
