"""Target and batch size for data that come without them, from the data alone and before anything is run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..datasets import Dataset
from ..datasets.normalization import Standardize
from .problem import PROBLEMS, QUICK_ROWS, Problem

REPLICATES, SHARE, PENALTY = 5, 0.9, 0.01
"""How many splits are averaged, the share of a linear model's advantage, and the ridge penalty per training row."""


class UsualTarget(NamedTuple):
    """A target, and how it was found in words for people."""

    value: float
    reason: str


def usual_target(problem: Problem) -> UsualTarget:
    """The target for a problem on data of one's own: nine tenths of what a linear model gains.

    A linear model is fitted to the training rows of the first replicates by least squares with a small penalty, and
    scored on their validation rows, as the networks will be. The target lies at nine tenths of the way from the trivial
    answer (the most frequent class; for a regression the mean, whose R² is 0) to its score. Networks at a sensible rate
    usually reach that, and do not reach it at once. Where a linear model gains nothing, the target lies halfway from
    the trivial answer to 1. No optimizer is involved, so none is favoured.

    >>> usual_target(Problem("sklearn:wine"))
    UsualTarget(value=0.93, reason='nine tenths of the way from always answering class_1 (39%) to a linear model (99%)')
    """
    limits: dict[str, Any] = QUICK_ROWS
    return _found(replace(problem, target=1.0, **limits))


def with_usual_target(problem: Problem) -> Problem:
    """The problem with its usual target."""
    return replace(problem, target=usual_target(problem).value)


def with_usual_batch(problem: Problem) -> Problem:
    """The problem with batches that its training rows fill: smaller ones, a power of two, where there are few rows.

    >>> with_usual_batch(Problem("sklearn:iris", train_rows=50)).batch_size
    32
    """
    rows = problem.sizes()[0]
    return problem if problem.batch_size <= rows else replace(problem, batch_size=1 << (rows.bit_length() - 1))


def decided(problem: Problem) -> tuple[str, ...]:
    """What was decided about data of one's own, in sentences: how they were read, and the target if it is the usual.

    >>> decided(Problem())
    ()
    """
    if problem.name in PROBLEMS:
        return ()
    found = usual_target(problem)
    said = f"the target is {found.value:g}, {found.reason} (--target sets another)"
    return (*problem.notes(), *([said] if problem.target == found.value else []))


@cache
def _found(problem: Problem) -> UsualTarget:
    scores = [_scores(problem.replicate(split)) for split in range(REPLICATES)]
    trivial, linear = np.mean(scores, axis=0)
    data = problem.data()
    if data.task == "regression":
        what, high = "always answering the mean (R² 0)", f"a linear model (R² {linear:.2f})"
    else:
        most = data.classes[int(np.bincount(data.y_train).argmax())]
        what, high = f"always answering {most} ({100 * trivial:.0f}%)", f"a linear model ({100 * linear:.0f}%)"
    if linear - trivial > 0.01:
        target, way = trivial + SHARE * (linear - trivial), f"nine tenths of the way from {what} to {high}"
    else:
        target, way = trivial + (1 - trivial) / 2, f"halfway from {what} to 1; a linear model gains nothing"
    return UsualTarget(min(0.99, max(0.01, round(float(target), 2))), way)


def _scores(data: Dataset) -> tuple[float, float]:
    """The validation scores of the trivial answer and of a linear model: accuracies, or R²."""
    regression = data.task == "regression"
    y = data.y_train.reshape(len(data.y_train), -1) if regression else np.eye(len(data.classes))[data.y_train]
    scale, mean = Standardize.fit(data.x_train), y.mean(axis=0)
    x = scale(data.x_train).astype("float64")
    penalty = PENALTY * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(x.T @ x + penalty, x.T @ (y - mean))
    found = scale(data.x_val).astype("float64") @ weights + mean
    if regression:
        truth = data.y_val.reshape(len(found), -1)
        rest = ((truth - found) ** 2).sum() / max(((truth - truth.mean(axis=0)) ** 2).sum(), 1e-30)
        return 0.0, float(1 - rest)
    trivial = (data.y_val == mean.argmax()).mean()
    return float(trivial), float((found.argmax(axis=1) == data.y_val).mean())


__all__ = ["UsualTarget", "decided", "usual_target", "with_usual_batch", "with_usual_target"]
