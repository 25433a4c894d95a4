"""The sentences that rows and pairs support. A difference is stated only if it survives the page's correction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .results import Baseline, Claim, Measure, Pair, Row, Sentence, Target, Verdict
from .statistics import detectable, replicates_for
from .summary import in_percent, listed

MANY = 6
"""Of more names a sentence gives the number, and "all" if these are all."""


def verdict(
    table: Sequence[Row],
    pairs: Sequence[Pair],
    target: Target,
    *,
    replicates: int,
    planned: int,
    epochs: int,
    deviation: float | None,
    baseline: Baseline | None = None,
    test_rows: int | None = None,
) -> Verdict:
    """What the rows and pairs say.

    ``deviation`` is the typical standard deviation of a paired difference in test accuracy, see
    :func:`optimlab.study.summary.deviation`.
    """
    tuned = [row for row in table if row.kind == "tuned"]
    sound = [row for row in tuned if not row.failed]
    leader = max(sound, key=lambda row: row.test_accuracy.mean, default=None)
    reached = [row for row in sound if row.hits]
    fastest = min(reached, key=lambda row: (row.epochs.mean, -row.hits), default=None)
    if not any(row.finished for row in tuned):
        said = [Sentence("No run finished: there is nothing to compare.", about="runs")]
        return Verdict((*said, *_failures(table)), None, (), None, (), 0, None, None)
    family, apart = len(pairs), [pair for pair in pairs if pair.told_apart]
    smallest = None if deviation is None or not family else detectable(deviation, replicates, family)
    more = None if not smallest or not deviation else replicates_for(smallest / 2, deviation, family)
    level_with = _level(leader, sound, apart, "test_accuracy")
    fast_with = _level(fastest, sound, apart, "epochs")
    said = []
    if leader is not None and len(sound) > 1:
        said += _accuracy(leader, level_with, sound, apart)
        if smallest and level_with:
            said.append(_power(smallest, more, replicates))
    said += _speed(fastest, fast_with, sound, apart, target, epochs)
    said += _others(table, pairs)
    if apart:
        said.append(
            Sentence(
                f"Every difference stated here is significant at 5% after Holm's correction for all {family} tests of "
                "this page.",
                about="pairs",
            )
        )
    said += _conditions(tuned, leader, baseline, test_rows, pairs, target, replicates, planned)
    said += _failures(table)
    names = tuple(row.label for row in level_with), tuple(row.label for row in fast_with)
    return Verdict(
        tuple(said),
        leader.label if leader else None,
        names[0],
        fastest.label if fastest else None,
        names[1],
        family,
        smallest,
        more,
    )


def _level(first: Row | None, rows: Iterable[Row], apart: Iterable[Pair], measure: Measure) -> list[Row]:
    """The other rows that cannot be told from ``first``."""
    if first is None:
        return []
    told = {
        name
        for pair in apart
        if pair.measure == measure
        for name in (pair.first, pair.second)
        if first.label in (pair.first, pair.second)
    }
    return [row for row in rows if row is not first and row.label not in told]


def _accuracy(leader: Row, level: Sequence[Row], rows: Sequence[Row], apart: Sequence[Pair]) -> list[Sentence]:
    mean, half = leader.test_accuracy.percents()
    text = f"{leader.label} has the highest mean test accuracy, {mean} ± {half}%"
    said = [Sentence(f"{text}; {_cannot_be_told(level, len(rows) - 1)}.", about="test_accuracy")]
    return said + _differences(rows, apart, "test_accuracy", "Lower in test accuracy")


def _power(smallest: float, more: int | None, replicates: int) -> Sentence:
    text = f"{replicates} replicates tell differences of about {100 * smallest:.2g} points apart"
    text += f"; to tell {100 * smallest / 2:.2g} points apart takes about {_about(more)} replicates" if more else ""
    return Sentence(f"{text}.", about="test_accuracy")


def _about(number: int) -> str:
    """Two significant digits, for a number that is no more exact."""
    return f"{int(float(f'{number:.2g}')):,}"


def _speed(
    fastest: Row | None, level: Sequence[Row], rows: Sequence[Row], apart: Sequence[Pair], target: Target, epochs: int
) -> list[Sentence]:
    goal = in_percent(target.value)
    if fastest is None:
        return [Sentence(f"No optimizer reached {goal} validation accuracy.", about="epochs"), *_proposal(target)]
    said = []
    if not target.informative:
        said.append(
            Sentence(
                f"The target of {goal} validation accuracy is uninformative: every optimizer reaches it within three "
                "epochs in the mean.",
                about="target",
            )
        )
        said += _proposal(target)
    text = f"needs the fewest epochs to {goal} validation accuracy" if len(rows) > 1 else f"needs some epochs to {goal}"
    mean = f"{fastest.epochs.mean:.1f} ± {fastest.epochs.half:.1f}"
    if len(rows) == 1:
        said.append(
            Sentence(
                f"{fastest.label} reaches {goal} validation accuracy after {mean} epochs in the mean.", about="epochs"
            )
        )
    else:
        said.append(
            Sentence(
                f"{fastest.label} {text}, {mean} in the mean; {_cannot_be_told(level, len(rows) - 1)}.", about="epochs"
            )
        )
    said += _differences(rows, apart, "epochs", "Slower, in epochs")
    missed = [f"{row.label} ({row.hits} of {len(row.replicates)})" for row in rows if row.hits < len(row.replicates)]
    if missed:
        said.append(
            Sentence(
                f"Not every replicate reached {goal}: {listed(missed)}. A miss counts as {epochs + 1} epochs, so a "
                "mean with misses is a lower bound.",
                about="epochs",
            )
        )
    return said


def _proposal(target: Target) -> list[Sentence]:
    if target.proposed is None:
        return []
    goal = in_percent(target.proposed)
    return [
        Sentence(
            f"By the stored curves, {goal} would tell most optimizers apart: --target {target.proposed:g} shows it "
            "without new runs.",
            about="target",
        )
    ]


def _cannot_be_told(level: Sequence[Row], others: int) -> str:
    if not level:
        return "it is ahead of the only other one" if others == 1 else f"it is ahead of all {others} others"
    if len(level) == others:
        names = listed([row.label for row in level])
        return (
            f"{names} cannot be told apart from it"
            if others <= MANY
            else f"none of the {others} others can be told apart from it"
        )
    return f"{listed([row.label for row in level])} cannot be told apart from it"


def _differences(rows: Sequence[Row], apart: Sequence[Pair], measure: Measure, heading: str) -> list[Sentence]:
    """One sentence for each row that is behind others; those that stand equally are told together."""
    labels = [row.label for row in rows]
    behind: dict[str, list[Pair]] = {}
    for pair in apart:
        if pair.measure == measure and pair.worse in labels and pair.better in labels:
            behind.setdefault(pair.worse, []).append(pair)
    ahead_of: dict[tuple[str, ...], list[str]] = {}
    for label in labels:
        if label in behind:
            ahead = {pair.better for pair in behind[label]}
            ahead_of.setdefault(tuple(name for name in labels if name in ahead), []).append(label)
    said = []
    for better, worse in ahead_of.items():
        claims = tuple(Claim(one, other, measure) for other in worse for one in better)
        whom = listed(better)
        rest = [name for name in labels if name not in better and name not in worse]
        if not rest and len(better) > 2:
            whom = f"all {len(better)} others"
        numbers = ""
        if len(worse) == len(better) == 1:
            numbers = f" {_by(behind[worse[0]][0])}"
        said.append(Sentence(f"{heading} than {whom}: {listed(worse)}{numbers}.", claims, measure))
    return said


def _by(pair: Pair) -> str:
    """By how much, and how often."""
    mean, low, high = pair.difference
    if (pair.worse == pair.first and pair.measure == "test_accuracy") or (
        pair.better == pair.first and pair.measure == "epochs"
    ):
        mean, low, high = -mean, -high, -low
    if pair.measure == "test_accuracy":
        return f"by {100 * mean:.2f} points [{100 * low:.2f}, {100 * high:.2f}]"
    at_least = "at least " if pair.misses else ""
    return f"by {at_least}{mean:.1f} [{low:.1f}, {high:.1f}]"


def _others(table: Sequence[Row], pairs: Sequence[Pair]) -> list[Sentence]:
    """What tuning, and searching more than the rate, is worth."""
    said = []
    kinds: tuple[tuple[Literal["default", "searched"], str], ...] = (
        ("default", "At the default rate, untuned,"),
        ("searched", "At the best of the random settings of all hyperparameters"),
    )
    for kind, heading in kinds:
        own = {row.label: row.contender for row in table if row.kind == kind}
        compared = [pair for pair in pairs if pair.first in own]
        if not compared:
            continue
        for sign, word in ((-1, "lower"), (1, "higher")):
            told = [pair for pair in compared if pair.told_apart and sign * pair.difference.mean > 0]
            if told:
                names = [own[pair.first] for pair in told]
                who = f"all {len(names)}" if len(names) == len(own) > 2 else listed(names)
                claims = tuple(Claim(pair.better, pair.worse, "test_accuracy") for pair in told)
                text = f"{heading} the test accuracy is {word} than at the tuned rate: {who}."
                said.append(Sentence(text, claims, "test_accuracy"))
        if not any(pair.told_apart for pair in compared):
            said.append(
                Sentence(f"{heading} no test accuracy can be told from that at the tuned rate.", about="test_accuracy")
            )
    return said


def _conditions(
    tuned: Sequence[Row],
    leader: Row | None,
    baseline: Baseline | None,
    test_rows: int | None,
    pairs: Sequence[Pair],
    target: Target,
    replicates: int,
    planned: int,
) -> list[Sentence]:
    said = []
    errors = [
        pair.rows_error
        for pair in pairs
        if pair.rows_error is not None and leader and leader.label in (pair.first, pair.second)
    ]
    if test_rows and errors:
        said.append(
            Sentence(
                f"All replicates share one test set: other test rows than these {test_rows:,} would change the "
                f"differences to {leader.label if leader else ''} by up to {100 * max(errors):.2f} points (one "
                "standard error), which the intervals do not hold.",
                about="test_accuracy",
            )
        )
    if baseline is not None:
        mean = baseline.test_accuracy.percents()[0]
        said.append(
            Sentence(
                f"Classes are unequal: to answer {baseline.name} always gives {mean}% test accuracy.",
                about="test_accuracy",
            )
        )
    if target.value != target.planned:
        said.append(
            Sentence(
                f"The target was {in_percent(target.planned)} when the runs were made, and changed to "
                f"{in_percent(target.value)} afterwards: what depends on it is exploratory.",
                about="target",
            )
        )
    if replicates > planned:
        said.append(
            Sentence(
                f"The study was planned with {planned} replicates and grew to {replicates}: its intervals and tests "
                "hold for a number that is fixed before.",
                about="runs",
            )
        )
    edges = [f"{row.label} ({row.edges} of {len(row.replicates)})" for row in tuned if row.edges and row.finished]
    if edges:
        said.append(
            Sentence(
                f"The best learning rate lies at the edge of the grid in some replicates: {listed(edges)}. There may "
                "be a better one.",
                about="rates",
            )
        )
    return said


def _failures(table: Sequence[Row]) -> list[Sentence]:
    said = []
    for row in table:
        count = len(row.replicates)
        gone = sum(one.status == "diverged" for one in row.replicates)
        if row.diverged_share == 1:
            said.append(f"Every run of {row.label} diverged.")
        elif gone:
            said.append(f"In {gone} of {count} replicates no run of {row.label} finished: these count as accuracy 0.")
        if row.failed:
            said.append(
                f"{row.failed} run{'s' if row.failed > 1 else ''} of {row.label} failed with an error, so it takes no "
                "part in the verdict; the same command tries them again."
            )
    return [Sentence(text, about="runs") for text in said]
