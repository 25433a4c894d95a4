"""Maps of searched hyperparameters: the mean validation score at each learning rate and each value."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..common.errors import concise, exact
from .results import Row, Summary, Trial
from .spaces import Choice, Range, read_back

BANDS = 4
"""Number of bands into which a range is divided, of equal width on its scale."""


class Map(NamedTuple):
    """The map of one searched hyperparameter of a contender.

    Attributes
    ----------
    contender, name: the labels of the contender and the hyperparameter.
    rates: the rates of the grid, before each replicate shifts it.
    values: the values, or bands of the range, in words.
    scores: ``scores[k][j]`` is the mean score at value k and rate j, of the best trial of each replicate in the cell.
        A trial that diverged or failed counts as 0. None if fewer than half of the replicates have a trial there.
    chosen: the number of replicates whose chosen run lies in the cell.
    best: the indices of the highest score.
    """

    contender: str
    name: str
    rates: list[float]
    values: list[str]
    scores: list[list[float | None]]
    chosen: list[list[int]]
    best: tuple[int, int]

    @property
    def best_score(self) -> float:
        """Return the highest score."""
        return self.scores[self.best[0]][self.best[1]] or 0.0

    def sentence(self) -> str:
        """Describe the map in a sentence."""
        value, rate = self.values[self.best[0]], concise(float(f"{self.rates[self.best[1]]:.2g}"))
        chosen = sum(self.chosen[self.best[0]])
        return (
            f"The highest mean validation score, {100 * self.best_score:.1f}%, is at {self.name} {value} and a rate of "
            f"{rate}; {chosen} of {sum(map(sum, self.chosen))} replicates chose this {self.name}."
        )


def maps_of(summary: Summary) -> list[Map]:
    """Return one map for each hyperparameter that a tuned contender searched, in the order of the rows."""
    return [_map(row, name, text) for row in summary.tuned for name, text in row.searched.items() if row.grid]


def _map(row: Row, name: str, text: str) -> Map:
    space = read_back(text)
    values = _labels(space)
    shape = len(values), len(row.grid)
    sums, counts, chosen = np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
    for one in row.replicates:
        places = _columns([t.lr for t in one.grid], row.grid)
        best: dict[tuple[int, int], float] = {}
        for trial in one.grid:
            cell = _place(space, trial.hyperparameters[name]), places[trial.lr]
            if 0 <= cell[1] < shape[1]:
                best[cell] = max(best.get(cell, 0.0), trial.val_score or 0.0)
                chosen[cell] += _is_chosen(trial, one.lr, one.hyperparameters)
        for cell, score in best.items():
            sums[cell] += score
            counts[cell] += 1
    enough = 2 * counts >= len(row.replicates)
    means = np.where(enough, sums / np.maximum(counts, 1), -1.0)
    k, j = np.unravel_index(int(means.argmax()), shape)
    scores = [[float(v) if v >= 0 else None for v in line] for line in means]
    return Map(row.label, name, list(row.grid), values, scores, chosen.tolist(), (int(k), int(j)))


def _is_chosen(trial: Trial, lr: float, hyperparameters: dict[str, float]) -> bool:
    return trial.lr == lr and all(hyperparameters[name] == value for name, value in trial.hyperparameters.items())


def _columns(rates: list[float], grid: tuple[float, ...]) -> dict[float, int]:
    """Return the index in the grid of each rate of a replicate; indices of rates that extend the grid lie beyond."""
    distinct = sorted(set(rates))
    logs, base = np.log10(distinct), np.log10(grid)

    def misfit(first: int) -> tuple[float, float]:
        """Return how unequal the shifts are, and their mean: all rates shift alike, by half a step at most."""
        shifts = logs[first : first + len(grid)] - base[: len(distinct)]
        return round(float(np.ptp(shifts)), 6), abs(float(shifts.mean()))

    first = min(range(max(1, len(distinct) - len(grid) + 1)), key=misfit)
    return {rate: k - first for k, rate in enumerate(distinct)}


def _labels(space: Choice | Range) -> list[str]:
    if isinstance(space, Choice):
        return [exact(value) for value in sorted(space.choices)]
    ends = [concise(float(f"{space.at(k / BANDS):.2g}")) for k in range(BANDS + 1)]
    return [f"{low} to {high}" for low, high in pairwise(ends)]


def _place(space: Choice | Range, value: float) -> int:
    if isinstance(space, Choice):
        return sorted(space.choices).index(value)
    return min(int(space.place(value) * BANDS), BANDS - 1)


def in_words(row: Row) -> list[str]:
    """Return one sentence per searched hyperparameter, on the values that the replicates chose."""
    sentences = []
    for name in row.searched:
        values = [one.hyperparameters[name] for one in row.replicates]
        if isinstance(read_back(row.searched[name]), Choice):
            counts = sorted(((values.count(value), value) for value in set(values)), key=lambda one: (-one[0], one[1]))
            counted = ", ".join(f"{exact(value)} in {count}" for count, value in counts)
            sentences.append(f"{row.contender}: {name} chosen: {counted} of {len(values)} replicates")
        else:
            low, middle, high = (concise(float(f"{v:.2g}")) for v in np.quantile(values, (0, 0.5, 1)))
            sentences.append(f"{row.contender}: {name} chosen: median {middle}, {low} to {high}")
    return sentences


def colour_range(maps: list[Map], span: float = 0.15) -> tuple[float, float]:
    """Return the scores at the ends of the colour scale: the lowest within ``span`` of the highest, and the highest.

    With the scores of rates at which nothing is learned, all scores that matter would have one colour.
    """
    scores = [score for one in maps for line in one.scores for score in line if score is not None]
    high = max(scores, default=1.0)
    low = min((score for score in scores if score >= high - span), default=0.0)
    return (low, high) if low < high else (high - span, high)
