"""The differences between rows: as the evidence of a sentence, and as a matrix of all pairs."""

from __future__ import annotations

from typing import NamedTuple

from ..common.tables import shortened
from ..study.results import Interval, Measure, Pair, Sentence, Summary
from .formats import p_value, plural, share, signed, with_ends

PLACES = {
    "target": ("training", "The validation curves"),
    "runs": ("table", "The table"),
    "rates": ("sensitivity", "The runs at every rate"),
    "pairs": ("pairs", "All pairs"),
}
"""Where the evidence of a sentence is that rests on no pair of its own: the part of the page, and what that is."""

NAME = 22
"""The most characters of a name in the matrix; a longer one loses its middle."""


class Line(NamedTuple):
    """A pair as a line of evidence: ``who`` minus ``reference``."""

    who: str
    reference: str
    difference: str
    p: str
    adjusted: str
    ahead: str
    probability: str
    rows_error: str


class Evidence(NamedTuple):
    """Evidence of a sentence: lines, or a place on the page with its name."""

    lines: list[Line]
    place: str
    name: str


def evidence(sentence: Sentence, summary: Summary) -> Evidence:
    """Return the pairs that a sentence claims; without claims, those of the leader or the fastest; else a place."""
    if sentence.claims:
        found = [(summary.pair(c.better, c.worse, c.measure), c.better) for c in sentence.claims]
    else:
        first: dict[str, tuple[str | None, Measure]] = {
            "test_score": (summary.verdict.leader, "test_score"),
            "epochs": (summary.verdict.fastest, "epochs"),
        }
        label, measure = first.get(sentence.about, (None, "epochs"))
        others = [] if label is None else [row.label for row in summary.tuned if row.label != label]
        found = [(summary.pair(label or "", other, measure), label or "") for other in others]
    lines = [line(pair, reference, summary) for pair, reference in found if pair is not None]
    return Evidence(lines, *PLACES.get(sentence.about, PLACES["runs"]))


def line(pair: Pair, reference: str, summary: Summary) -> Line:
    """Return the pair as the other row minus ``reference``."""
    who = pair.second if pair.first == reference else pair.first
    difference = minus(pair, reference)
    ahead = pair.ahead if pair.first == reference else Interval(*(1 - part for part in _turned(pair.ahead)))
    error = "" if pair.rows_error is None else f"{100 * pair.rows_error:.2f} points"
    return Line(
        who,
        reference,
        shown(difference, pair),
        p_value(pair.p),
        p_value(pair.adjusted),
        f"{ahead.mean * summary.replicates:g} of {summary.replicates}",
        share(ahead),
        error,
    )


def minus(pair: Pair, reference: str) -> Interval:
    """Return the difference of the other row minus ``reference``."""
    return pair.difference if pair.second == reference else Interval(*(-part for part in _turned(pair.difference)))


def _turned(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.high, interval.low


def shown(difference: Interval, pair: Pair) -> str:
    """Return a difference with its interval and unit.

    A difference of epochs with misses is that of the restricted means.
    """
    if pair.measure == "test_score":
        return f"{with_ends(difference, 100, 2)} points"
    return f"{with_ends(difference, 1, 1)} epochs" + (", with misses" if pair.misses else "")


class Cell(NamedTuple):
    """A place of the matrix: ``kind`` is better, worse, level, none (no such pair) or self (the diagonal)."""

    kind: str
    text: str
    title: str


MARKS = {"better": "▲", "worse": "▼", "level": "·", "none": "–", "self": ""}


class Matrix(NamedTuple):
    """All pairs: in test score below the diagonal, in epochs to the target above."""

    names: list[str]
    short: list[str]
    cells: list[list[Cell]]
    sentence: str


def matrix(summary: Summary) -> Matrix | None:
    """Return the matrix of the tuned rows, highest test score first; None if there is no pair."""
    rows = sorted(summary.tuned, key=lambda row: -row.test_score.mean)
    names = [row.label for row in rows]
    # a dictionary, because there are hundreds of pairs
    pairs = {(p.measure, frozenset((p.first, p.second))): p for p in summary.pairs}
    measures: tuple[Measure, Measure] = ("test_score", "epochs")
    cells = [
        [
            Cell("self", "", one)
            if i == j
            else _cell(one, other, pairs.get((measures[i < j], frozenset((one, other)))))
            for j, other in enumerate(names)
        ]
        for i, one in enumerate(names)
    ]
    inside = [p for p in summary.pairs if {p.first, p.second} <= set(names)]
    return Matrix(names, shortened(names, NAME), cells, _counted(inside, summary.measure)) if inside else None


def _cell(one: str, other: str, pair: Pair | None) -> Cell:
    if pair is None:
        return Cell("none", "", f"{one} against {other}: a run failed, so they are not compared")
    kind = "level" if not pair.told_apart else "better" if pair.better == one else "worse"
    difference = minus(pair, other)
    factor, digits = (100, 2) if pair.measure == "test_score" else (1, 1)
    mean = factor * difference.mean
    text = signed(mean, digits if abs(mean) < 10 else 1)
    return Cell(
        kind, text, f"{one} against {other}: {shown(difference, pair)}, p = {p_value(pair.adjusted)} after Holm"
    )


def _counted(pairs: list[Pair], score: str) -> str:
    """Say how many pairs are told apart."""
    quality, epochs = (sum(p.told_apart for p in pairs if p.measure == measure) for measure in ("test_score", "epochs"))
    total = sum(p.measure == "test_score" for p in pairs)
    return (
        f"Of {plural(total, 'pair')} of optimizers, {quality or 'none'} {'is' if quality == 1 else 'are'} told apart "
        f"in test {score} and {epochs or 'none'} in epochs to the target."
    )
