"""Random splits of rows, stratified by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from .dataset import Dataset


def split_rows(labels: Any, sizes: Sequence[int], seed: int) -> list[NDArray[np.intp]]:
    """Draw disjoint sets of row numbers, stratified by class.

    The number of rows of each class in a set is its share of the whole, rounded up or down at random. Every row has
    the same chance to be drawn.

    Parameters
    ----------
    labels: the class of each row.
    sizes: the number of rows of each set.
    seed: seed of the draw.

    >>> labels = np.array([0, 1] * 50)
    >>> train, test = split_rows(labels, (70, 30), seed=0)
    >>> len(train), float(labels[test].mean()), len(set(train) & set(test))
    (70, 0.5, 0)

    Raises
    ------
    InputError: there are fewer rows than the sets need.
    """
    y = np.asarray(labels)
    rest = len(y) - sum(sizes)
    if rest < 0:
        raise InputError(f"{len(y)} rows are too few for sets of {', '.join(map(str, sizes))} rows")
    rng = np.random.default_rng(np.random.SeedSequence((seed, 0x5917)))
    _, classes, totals = np.unique(y, return_inverse=True, return_counts=True)
    taken = rounded(np.outer(totals, [*sizes, rest]).tolist(), max(1, len(y)), rng)
    parts: list[list[Any]] = [[] for _ in sizes]
    for number, counts in enumerate(taken):
        rows = rng.permutation(np.flatnonzero(classes == number))
        for part, (start, end) in zip(parts, pairwise(np.cumsum([0, *counts])), strict=False):
            part.append(rows[start:end])
    return [rng.permutation(np.concatenate([np.empty(0, np.intp), *part])) for part in parts]


def drawn_validation(data: Dataset, share: float = 0.2, seed: int = 0) -> Dataset:
    """Return the data with a random share of the training rows as the validation split, stratified by class.

    >>> drawn_validation(Dataset(np.zeros((10, 2)), [0, 1] * 5, classes=("a", "b")))
    <Dataset: 8 training, 2 validation rows of 2 features>
    """
    y = np.asarray(data.y_train)
    part = max(1, round(len(y) * share))
    train, val = split_rows(y if data.classes else np.zeros(len(y)), (len(y) - part, part), seed)
    x = np.asarray(data.x_train)
    return replace(data, x_train=x[train], y_train=y[train], x_val=x[val], y_val=y[val])


def rounded(table: Sequence[Sequence[int]], unit: int, rng: np.random.Generator) -> list[list[int]]:
    """Divide a table of whole numbers by ``unit``, and round each quotient up or down so that all sums are kept.

    The sums of rows and columns must be multiples of ``unit``. The expected value of every entry is its quotient. While
    some entries are not multiples, a walk through such entries, along rows and columns in turn, ends in a cycle. The
    entries of the cycle are raised and lowered in turn until one of them is a multiple; the direction is drawn.

    Cox (1987), A constructive procedure for unbiased controlled rounding.
    """
    part = [[value % unit for value in row] for row in table]
    for first, row in enumerate(part):
        while any(0 < value < unit for value in row):
            walk = [first]  # a column c is written ~c
            while walk.count(walk[-1]) == 1:
                here, before = walk[-1], walk[-2:-1]
                line = enumerate(part[here]) if here >= 0 else ((r, part[r][~here]) for r in range(first, len(part)))
                ways = (~k if here >= 0 else k for k, value in line if 0 < value < unit)
                walk.append(next(way for way in ways if [way] != before))
            cycle = [(a, ~b) if a >= 0 else (b, ~a) for a, b in pairwise(walk[walk.index(walk[-1]) :])]
            up, down = cycle[::2], cycle[1::2]
            rise = min(*(unit - part[r][c] for r, c in up), *(part[r][c] for r, c in down))
            fall = min(*(part[r][c] for r, c in up), *(unit - part[r][c] for r, c in down))
            change = rise if rng.random() * (rise + fall) < fall else -fall
            for r, c in up:
                part[r][c] += change
            for r, c in down:
                part[r][c] -= change
    return [
        [value // unit + left // unit for value, left in zip(*both, strict=True)]
        for both in zip(table, part, strict=True)
    ]
