"""Random splits of rows that keep the classes' shares."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def split_rows(labels: Any, sizes: Sequence[int], seed: int) -> list[NDArray[np.intp]]:
    """Draw disjoint sets of row numbers of these sizes, each with the classes' shares of the whole.

    The rows of each class lie at equal distances on the line from 0 to 1, in a random order and from a random start.
    Each set takes its part of the line, so that it holds of every class its share, give or take one row.

    >>> labels = np.array([0, 1] * 50)
    >>> train, test = split_rows(labels, (70, 30), seed=0)
    >>> len(train), labels[test].mean(), len(set(train) & set(test))
    (70, 0.5, 0)

    Raises
    ------
    InputError: there are fewer rows than the sets need together.
    """
    y = np.asarray(labels)
    if sum(sizes) > len(y):
        raise InputError(f"{len(y)} rows are too few for sets of {', '.join(map(str, sizes))} rows")
    rng = np.random.default_rng(np.random.SeedSequence((seed, 0x5917)))
    order = rng.permutation(len(y))
    _, classes, counts = np.unique(y[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(len(y))
    rank[by_class] = np.concatenate([np.arange(n) for n in counts])
    line = (rank + rng.random(len(counts))[classes]) / counts[classes]
    drawn = order[np.argsort(line, kind="stable")]
    ends = np.cumsum([0, *sizes])
    return [drawn[start:end] for start, end in pairwise(ends)]
