"""The verdict of a comparison, in sentences. They state a difference only if it is significant after correction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .results import Baseline, Claim, Measure, Pair, Row, Sentence, Target, Verdict
from .statistics import detectable, replicates_for
from .summary import in_percent, listed

MANY = 6
"""If more optimizers than this cannot be told apart from the first, and none can, they are counted, not named."""


def verdict(
    table: Sequence[Row],
    pairs: Sequence[Pair],
    target: Target,
    *,
    replicates: int,
    planned: int,
    epochs: int,
    deviation: float | None,
    prior: float = 0.0,
    baseline: Baseline | None = None,
    test_rows: int | None = None,
    score: str = "accuracy",
) -> Verdict:
    """Draw the conclusions from rows and pairs.

    Parameters
    ----------
    table, pairs: the rows, and the pairs of them that are compared.
    target: the target.
    replicates, planned: the number of replicates, and the number planned before the first run.
    epochs: the number of epochs of each run.
    deviation: the typical standard deviation of a paired difference in test score, see
        :func:`optimlab.study.summary.deviation`.
    prior: the degrees of freedom that the pairs add to one another's, see
        :func:`optimlab.study.statistics.pair_tests`.
    baseline: the scores of the most frequent class, if it is frequent.
    test_rows: the size of a test set that all replicates share.
    score: the score's name.
    """
    tuned = [row for row in table if row.kind == "tuned"]
    sound = [row for row in tuned if not row.failed]
    leader = max(sound, key=lambda row: row.test_score.mean, default=None)
    reached = [row for row in sound if row.hits]
    fastest = min(reached, key=lambda row: (row.epochs.mean, -row.hits), default=None)
    if not any(row.finished for row in tuned):
        run = "run at a tuned rate" if any(row.finished for row in table) else "run"
        sentences = [Sentence(f"No {run} finished: there is nothing to compare.", about="runs")]
        return Verdict((*sentences, *_failures(table, score)), None, (), None, (), 0, None, None)
    family, apart = len(pairs), [pair for pair in pairs if pair.told_apart]
    smallest = None if deviation is None or not family else detectable(deviation, replicates, family, prior)
    few = smallest is not None and smallest >= 1  # no two scores differ by so much
    smallest = None if few else smallest
    more = None if not smallest or not deviation else replicates_for(smallest / 2, deviation, family, prior)
    level_with = _level(leader, sound, apart, "test_score")
    fast_with = _level(fastest, sound, apart, "epochs")
    sentences = []
    if leader is not None and len(sound) > 1:
        sentences += _quality(leader, level_with, sound, apart, score)
        if smallest and level_with:
            sentences.append(_power(smallest, more, replicates))
        elif few and not any(pair.measure == "test_score" for pair in apart):
            text = f"{replicates} replicates are too few to tell these optimizers apart in test {score}."
            sentences.append(Sentence(text, about="test_score"))
    if sound:
        sentences += _speed(fastest, fast_with, sound, apart, target, epochs, score)
    sentences += _others(table, pairs, score)
    if apart:
        corrected = f" after Holm's correction for all {family} tests" if family > 1 else ""
        sentences.append(Sentence(f"Every difference stated here is significant at 5%{corrected}.", about="pairs"))
    sentences += _conditions(tuned, leader, baseline, test_rows, pairs, target, replicates, planned)
    sentences += _failures(table, score)
    names = tuple(row.label for row in level_with), tuple(row.label for row in fast_with)
    return Verdict(
        tuple(sentences),
        leader.label if leader else None,
        names[0],
        fastest.label if fastest else None,
        names[1],
        family,
        smallest,
        more,
    )


def _level(first: Row | None, rows: Iterable[Row], apart: Iterable[Pair], measure: Measure) -> list[Row]:
    """Return the other rows that cannot be told apart from ``first``."""
    if first is None:
        return []
    apart_labels = {
        name
        for pair in apart
        if pair.measure == measure
        for name in (pair.first, pair.second)
        if first.label in (pair.first, pair.second)
    }
    return [row for row in rows if row is not first and row.label not in apart_labels]


def _quality(
    leader: Row, level: Sequence[Row], rows: Sequence[Row], apart: Sequence[Pair], score: str
) -> list[Sentence]:
    mean, half = leader.test_score.percents()
    text = f"{leader.label} has the highest mean test {score}, {mean} ± {half}%"
    sentences = [_first(text, leader, level, rows, "test_score")]
    return sentences + _differences(rows, apart, "test_score", f"Lower in test {score}")


def _power(smallest: float, more: int | None, replicates: int) -> Sentence:
    text = f"{replicates} replicates can detect differences of about {_about(100 * smallest)} points"
    text += f"; half of that takes about {_about(more)} replicates" if more else ""
    return Sentence(f"{text}.", about="test_score")


def _about(number: float) -> str:
    """Format a number with two significant digits, as it is no more exact.

    >>> _about(0.351), _about(3.0), _about(1234)
    ('0.35', '3', '1,200')
    """
    return f"{float(f'{number:.2g}'):,.10g}"


def _speed(
    fastest: Row | None,
    level: Sequence[Row],
    rows: Sequence[Row],
    apart: Sequence[Pair],
    target: Target,
    epochs: int,
    score: str,
) -> list[Sentence]:
    goal = in_percent(target.value)
    if fastest is None:
        return [Sentence(f"No optimizer reached {goal} validation {score}.", about="epochs"), *_proposal(target)]
    sentences = []
    if not target.informative:
        text = (
            f"The target of {goal} validation {score} is uninformative: every optimizer reaches it within three epochs"
        )
        sentences += [Sentence(f"{text} on average.", about="target"), *_proposal(target)]
    mean = f"{fastest.epochs.mean:.1f} {fastest.epochs.ends()}"
    if len(rows) == 1:
        text = f"{fastest.label} reaches {goal} validation {score} after {mean} epochs on average."
        sentences.append(Sentence(text, about="epochs"))
    else:
        text = f"{fastest.label} needs the fewest epochs to {goal} validation {score}, {mean} on average"
        sentences.append(_first(text, fastest, level, rows, "epochs"))
    sentences += _differences(rows, apart, "epochs", "Slower")
    missed = [
        f"{row.label} reached it in {row.hits} of {len(row.replicates)}"
        for row in rows
        if row.hits < len(row.replicates)
    ]
    if missed:
        counted = f"A miss counts as {epochs + 1} epochs, so a mean with misses is a lower bound"
        text = f"Not every replicate reached {goal}: {listed(missed)}. {counted}."
        sentences.append(Sentence(text, about="epochs"))
    return sentences


def _proposal(target: Target) -> list[Sentence]:
    if target.proposed is None:
        return []
    text = f"By the stored curves, a target of {in_percent(target.proposed)} tells the most optimizers apart"
    return [Sentence(f"{text}. --target {target.proposed:g} applies it without new runs.", about="target")]


def _first(text: str, first: Row, level: Sequence[Row], rows: Sequence[Row], measure: Measure) -> Sentence:
    """Name the first, with the others that are behind it or cannot be told apart from it."""
    others = [row.label for row in rows if row is not first]
    if not level:
        ahead = others[0] if len(others) == 1 else f"all {len(others)} others"
        claims = tuple(Claim(first.label, other, measure) for other in others)
        return Sentence(f"{text}; it is ahead of {ahead}.", claims, measure)
    if len(level) == len(others) > MANY:
        return Sentence(f"{text}; none of the {len(others)} others can be told apart from it.", about=measure)
    names = listed(row.label for row in level)
    return Sentence(f"{text}; {names} cannot be told apart from it.", about=measure)


def _differences(rows: Sequence[Row], apart: Sequence[Pair], measure: Measure, heading: str) -> list[Sentence]:
    """Return one sentence for each row that is behind others; rows behind the same ones share a sentence."""
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
    sentences = []
    for better, worse in ahead_of.items():
        claims = tuple(Claim(one, other, measure) for other in worse for one in better)
        whom = listed(better)
        rest = [name for name in labels if name not in better and name not in worse]
        if not rest and len(better) > 2:
            whom = f"all {len(better)} others"
        numbers = ""
        if len(worse) == len(better) == 1:
            numbers = f" {_by(behind[worse[0]][0])}"
        sentences.append(Sentence(f"{heading} than {whom}: {listed(worse)}{numbers}.", claims, measure))
    return sentences


def _by(pair: Pair) -> str:
    """Return the size of a difference, with its interval."""
    mean, low, high = pair.difference
    if (pair.worse == pair.first and pair.measure == "test_score") or (
        pair.better == pair.first and pair.measure == "epochs"
    ):
        mean, low, high = -mean, -high, -low
    if pair.measure == "test_score":
        return f"by {100 * mean:.2f} points [{100 * low:.2f}, {100 * high:.2f}]"
    return f"by {mean:.1f} epochs [{low:.1f}, {high:.1f}]"


def _others(table: Sequence[Row], pairs: Sequence[Pair], score: str) -> list[Sentence]:
    """Return sentences on what tuning, and a search of more than the rate, is worth."""
    sentences = []
    more = any(row.searched for row in table)  # some tuned rows differ in more than the rate
    what, alone = ("setting", "") if more else ("rate", " alone")
    kinds: tuple[tuple[Literal["default", "searched"], str, str], ...] = (
        ("default", f"The default {what}", f"the tuned {what}"),
        ("searched", "A random search of all hyperparameters", f"the tuned {what}{alone}"),
    )
    for kind, this, that in kinds:
        contender_of = {row.label: row.contender for row in table if row.kind == kind}
        compared = [pair for pair in pairs if pair.first in contender_of]
        for sign, word in ((-1, "lower"), (1, "higher")):
            significant = [pair for pair in compared if pair.told_apart and sign * pair.difference.mean > 0]
            if significant:
                names = [contender_of[pair.first] for pair in significant]
                whom = f"all {len(names)} optimizers" if len(names) == len(contender_of) > 2 else listed(names)
                claims = tuple(Claim(pair.better, pair.worse, "test_score") for pair in significant)
                text = f"{this} gives a {word} test {score} than {that} for {whom}."
                sentences.append(Sentence(text, claims, "test_score"))
        if compared and not any(pair.told_apart for pair in compared):
            whom = "any optimizer" if len(compared) > 1 else contender_of[compared[0].first]
            text = f"{this} cannot be told apart from {that} in test {score} for {whom}."
            sentences.append(Sentence(text, about="test_score"))
    return sentences


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
    sentences = []
    errors = [
        pair.rows_error
        for pair in pairs
        if pair.rows_error is not None and leader and leader.label in (pair.first, pair.second)
    ]
    if test_rows and errors and leader is not None:
        rows = f"All replicates share one test set of {test_rows:,} rows. With other rows, the differences from"
        change = f"could change by about {100 * max(errors):.2f} points (one standard error)"
        text = f"{rows} {leader.label} {change}, which the intervals do not include."
        sentences.append(Sentence(text, about="test_score"))
    if baseline is not None:
        share = baseline.test_score.percents()[0]
        text = f"The classes are unequal: always answering {baseline.name} gives {share}% test accuracy."
        sentences.append(Sentence(text, about="test_score"))
    if target.value != target.planned:
        changed = f"The target was {in_percent(target.planned)} when the runs were made, and was changed to"
        text = f"{changed} {in_percent(target.value)} afterwards, so results that depend on it are exploratory."
        sentences.append(Sentence(text, about="target"))
    if replicates > planned:
        grown = f"The study was planned with {planned} replicates and grew to {replicates}"
        text = f"{grown}. Its intervals and tests assume that this number was fixed in advance."
        sentences.append(Sentence(text, about="runs"))
    edges = [f"{row.label} ({row.edges} of {len(row.replicates)})" for row in tuned if row.edges and row.finished]
    if edges:
        where = f"The chosen learning rate lies at the edge of the grid in some replicates: {listed(edges)}"
        sentences.append(Sentence(f"{where}. A better rate may lie beyond it.", about="rates"))
    return sentences


def _failures(table: Sequence[Row], score: str) -> list[Sentence]:
    texts = []
    names = {"tuned": "", "default": " at its default rate", "searched": " in the random search"}
    for row in table:
        name, count = f"{row.contender}{names[row.kind]}", len(row.replicates)
        gone = sum(one.status == "diverged" for one in row.replicates)
        if row.diverged_share == 1:
            texts.append(f"Every run of {name} diverged.")
        elif gone:
            texts.append(f"No run of {name} finished in {gone} of {count} replicates, which count as {score} 0.")
        if row.failed:
            runs = "A run" if row.failed == 1 else f"{row.failed} runs"
            texts.append(
                f"{runs} of {name} failed with an error, so this row is excluded from the verdict. Run the same "
                f"command again to repeat {'it' if row.failed == 1 else 'them'}."
            )
    return [Sentence(text, about="runs") for text in texts]
