"""The sentences that the data support."""

from __future__ import annotations

from ..study.summary import in_percent, listed
from ..tables import shortened
from .formats import percent, plural, points, significant, with_half
from .reading import Results, Row

NAME, SHORT = 100, 60
"""In a sentence, a name of more than ``NAME`` characters is shortened to ``SHORT``."""


def standing(row: Row, results: Results) -> str:
    """How a row stands to the reference in test accuracy."""
    if row.label == results.reference:
        return "reference"
    if row.tied:
        return "tied"
    word = "lower" if row.test_difference.mean < 0 else "higher"
    return f"{word} *" if row.surely["test"] else word


def facts(results: Results) -> list[tuple[str, str, str]]:
    """Who, by how much, how sure, how fast: each a heading, an answer and what it rests on."""
    rows = results.tuned
    if not any(row.finished for row in rows):
        return [("Best", "none", "no run at a chosen rate finished")]
    best = next(row for row in results.rows if row.label == results.reference)
    found = [("Best", best.label, f"highest mean validation accuracy, {with_half(best.val_accuracy)}%")]
    others = [row for row in rows if row is not best and not row.failed]  # a failed run says nothing of the rule
    if others:
        found += [("By how much", *_margin(others)), ("How sure", *_certainty(results, others))]
    fastest = next(row for row in results.rows if row.label == results.fastest)
    goal = f"First to {in_percent(results.target)}"
    if fastest.epochs_to_target is None:
        found.append((goal, "none", "no optimizer reached this validation accuracy in most of its runs"))
    else:
        tied = [row.label for row in rows if row.speed == "tied"]
        basis = f"{plural(fastest.epochs_to_target, 'epoch')} in the median"
        if tied:
            basis += f"; tied with it: {_few(tied)}"
        found.append((goal, fastest.label, basis))
    return found


def gaps(results: Results) -> list[str]:
    """Sentences about rows whose records differ from the runs behind the summary."""
    said = [
        f"{row.label}: {row.missing} of {plural(row.runs, 'fresh run')} {'is' if row.missing == 1 else 'are'} missing "
        "from runs.jsonl, so its curves show only the others; run the same comparison again to replace them."
        for row in results.rows
        if row.missing
    ]
    changed = [row.label for row in results.rows if row.changed]
    if changed:
        said.append(
            f"The runs of {listed(changed)} in runs.jsonl have other scores than summary.json: run the same comparison "
            "again."
        )
    return said


def not_searched(results: Results) -> list[str]:
    """Sentences about the hyperparameters that the random search left at their defaults, one per optimizer."""
    return [f"Not searched: {listed(row.not_searched)} of {row.contender}." for row in results.rows if row.not_searched]


def brief(sentence: str, results: Results) -> str:
    """Shorten very long names in a sentence; the table has them in full.

    Names that would become equal stay unchanged.
    """
    long = [row.label for row in sorted(results.tuned, key=lambda row: -len(row.label)) if len(row.label) > NAME]
    for name, short in zip(long, shortened(long, SHORT), strict=True):
        if "#" not in short:
            sentence = sentence.replace(name, short)
    return sentence


def _few(names: list[str]) -> str:
    """The names, or how many where they are many."""
    return listed(names) if len(names) <= 5 else f"{len(names)} optimizers"


def _margin(others: list[Row]) -> tuple[str, str]:
    """How far the others' test accuracy lies from the reference's."""
    low = min(others, key=lambda row: row.test_difference.mean)
    high = max(others, key=lambda row: row.test_difference.mean)
    worst, next_best = low.test_difference.mean, high.test_difference.mean
    if next_best <= 0:
        ahead = list(dict.fromkeys(f"{-100 * gap:.2f}" for gap in (next_best, worst)))
        whom = f"of {low.label}" if low is high else f"of the others: least of {high.label}, most of {low.label}"
        return f"{' to '.join(ahead)} points", f"of test accuracy ahead {whom}"
    return (
        f"{points(worst)} to {points(next_best)} points" if low is not high else f"{points(worst)} points",
        "test accuracy of " + (low.label if low is high else f"the others against it, {low.label} to {high.label}"),
    )


def _certainty(results: Results, others: list[Row]) -> tuple[str, str]:
    """How many of the differences in test accuracy are beyond chance."""
    counts = {
        word: [row for row in others if standing(row, results).removesuffix(" *") == name]
        for word, name in (("ahead of", "lower"), ("tied with", "tied"), ("behind", "higher"))
    }
    said = ", ".join(f"{word} {len(found)}" for word, found in counts.items() if found)
    basis = f"in test accuracy, by the 95% interval of the paired difference over {plural(results.seeds, 'seed')}"
    if len(others) > 1 and len(counts["tied with"]) < len(others):
        sure = sum(row.surely["test"] for row in others)
        basis += f"; {sure or 'none'} by one wide enough for all pairs, too (*)"
    return said, basis


def loss_by_epochs(results: Results) -> str:
    """What the loss curves show at their end."""
    ends = {row.label: row.curves["train_loss"].median for row in results.tuned}
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
        said.append(
            f"After {plural(results.epochs, 'epoch')} {name} had a training loss of {significant(end)} (median)."
        )
    short = [name for name, median in ends.items() if len(median) < results.epochs]
    if short:
        said.append(f"Not every run of {_few(short)} finished: a curve ends where the first of its runs diverged.")
    return " ".join(said)


def loss_by_seconds(results: Results) -> str:
    """Who was ahead when the quickest had finished."""
    rows = [row for row in results.tuned if len(row.curves["train_loss"].median) == results.epochs]
    if not rows:
        return loss_by_epochs(results)
    first = min(rows, key=lambda row: row.seconds[-1])
    end = first.seconds[-1]

    def loss(row: Row) -> float:
        done = [k for k, second in enumerate(row.seconds) if second <= end]
        return row.curves["train_loss"].median[done[-1]] if done else float("inf")

    ahead = min(rows, key=loss)
    said = (
        f"{first.label} was through its {plural(results.epochs, 'epoch')} first, after {significant(end)} s of training"
    )
    if len(rows) == 1:
        return said.replace(" first,", "") + "."
    lead = "it" if ahead is first else ahead.label
    return f"{said}; at that time {lead} had the lowest training loss, {significant(loss(ahead))}."


def accuracy_sentence(results: Results) -> str:
    """Who reached the target, and how far apart the ends lie."""
    rows = results.tuned
    goal = in_percent(results.target)
    always = [row for row in rows if row.hits == row.runs]
    never = [row for row in rows if row.hits == 0]
    said = []
    if len(always) == len(rows):
        said.append(f"Every run at a tuned rate reached {goal}.")
    else:
        said.append(f"{len(always)} of {plural(len(rows), 'optimizer')} reached {goal} in every run at the tuned rate.")
        if never:
            said.append(f"{_few([r.label for r in never])} never did.")
    ends = {r.label: r.curves["val_accuracy"].median[-1] for r in rows if r.curves["val_accuracy"].median}
    if len(ends) > 1:
        low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
        gap = ends[high] - ends[low]
        said.append(f"The curves end {percent(gap)} points apart, {low} lowest, {high} highest.")
    return " ".join(said)


def sensitivity_sentence(results: Results) -> str:
    """Whose rate may be missed by most, and where runs diverged."""
    goal = in_percent(results.target)
    widths = {row.label: f"{row.usable_decades or 0.0:.1f}" for row in results.tuned}
    wide, narrow = (choose(widths.values(), key=float) for choose in (max, min))
    if wide == narrow:
        said = [f"The rates that keep {goal} span {wide} decades{' with each' if len(widths) > 1 else ''}."]
    else:
        at_most, at_least = ([name for name, w in widths.items() if w == end] for end in (wide, narrow))
        said = [
            f"The rates that keep {goal} span most with {listed(at_most)}, {wide} decades, "
            f"and least with {listed(at_least)}, {narrow}."
        ]
    diverged = [f"{row.label} ({percent(row.diverged_share, 0)}%)" for row in results.tuned if row.diverged_share]
    said.append(f"Runs diverged with {_few(diverged)}." if diverged else "No run diverged while tuning.")
    return " ".join(said)


def ratio_sentence(results: Results) -> str:
    """The span of the last epoch's update/weight ratios."""
    ends = {
        (row.label, layer): ratio.median[-1]
        for row in results.tuned
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
    moved = [row.label for row in results.tuned if len(set(row.curves["lr"].median)) > 1 and row.curves["lr"].median]
    return (
        f"The learning rate changed during training: {listed(moved)}." if moved else "The learning rates were constant."
    )
