"""The usual target and batch size for your own data, from the data alone and before any run."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import exact
from ..datasets import Dataset, is_own
from ..datasets.normalization import Standardize
from .problem import PROBLEMS, QUICK_ROWS, Problem

REPLICATES, SHARE, PENALTY = 5, 0.9, 0.01
"""Number of splits averaged, the share of a linear model's advantage, and the ridge penalty per training row."""


class UsualTarget(NamedTuple):
    """A target, and a phrase on how it was found."""

    value: float
    reason: str


def usual_target(problem: Problem) -> UsualTarget:
    """Return the target for a problem on your own data: nine tenths of the advantage of a linear model.

    A linear model is fitted to the training rows of the first replicates, by least squares with a small penalty, and
    scored on their validation rows, as the networks will be. The target lies nine tenths of the way from the trivial
    answer to the linear model's score. The trivial answer is the most frequent class, or for a regression the mean,
    whose R² is 0. Networks at a sensible rate usually reach this target, but not at once. If the linear model gains
    nothing, the target lies halfway from the trivial answer to 1. It has two digits, or as many more as it takes to lie
    between the two scores. No optimizer is involved, so none is favoured.

    >>> usual_target(Problem("sklearn:wine"))
    UsualTarget(value=0.93, reason='nine tenths of the way from always answering class_1 (39%) to a linear model (99%)')
    """
    limits: dict[str, Any] = QUICK_ROWS
    return _found(replace(problem, target=1.0, **limits))


def with_usual_target(problem: Problem) -> Problem:
    """Return the problem with its usual target."""
    return replace(problem, target=usual_target(problem).value)


def with_usual_batch(problem: Problem) -> Problem:
    """Return the problem with a batch size that its training rows fill: a smaller power of two if they are few.

    >>> with_usual_batch(Problem("sklearn:iris", train_rows=50)).batch_size
    32
    """
    rows = problem.sizes()[0]
    return problem if problem.batch_size <= rows else replace(problem, batch_size=1 << (rows.bit_length() - 1))


def suited(problem: Problem, given: Container[str] = ()) -> Problem:
    """Return the problem with the usual batch size and target if the data are your own, except those in ``given``.

    >>> suited(Problem("sklearn:wine"), given=["batch_size"]).target
    0.93
    """
    if not is_own(problem.dataset):
        return problem
    problem = problem if "batch_size" in given else with_usual_batch(problem)
    return problem if "target" in given else with_usual_target(problem)


def decided(problem: Problem) -> tuple[str, ...]:
    """Return sentences on how your own data were read, and on the target if it is the usual one.

    >>> decided(Problem())
    ()
    """
    if problem.name in PROBLEMS:
        return ()
    usual = usual_target(problem)
    sentence = f"the target is {exact(usual.value)}, {usual.reason} (--target sets another)"
    return (*problem.notes(), *([sentence] if problem.target == usual.value else []))


@cache
def _found(problem: Problem) -> UsualTarget:
    scores = [_scores(problem.replicate(split)) for split in range(REPLICATES)]
    trivial, linear = np.mean(scores, axis=0)
    data = problem.data()
    gains = linear - trivial > 0.01
    share, end = (SHARE, linear) if gains else (0.5, 1.0)
    target, digits = between(float(trivial), float(end), share)
    if data.task == "regression":
        what, high = "always answering the mean (R² 0)", f"a linear model (R² {linear:.{digits}f})"
    else:
        most = data.classes[int(np.bincount(data.y_train).argmax())]
        percent = f".{digits - 2}%"
        what, high = f"always answering {most} ({trivial:{percent}})", f"a linear model ({linear:{percent}})"
    if gains:
        return UsualTarget(target, f"nine tenths of the way from {what} to {high}")
    return UsualTarget(target, f"halfway from {what} to 1; a linear model gains nothing")


def between(low: float, high: float, share: float) -> tuple[float, int]:
    """Return the value at this share of the way from low to high with the fewest digits, at least two, between both.

    >>> between(0.39, 0.99, 0.9), between(0.9944, 1.0, 0.5), between(1.0, 1.0, 0.5)
    ((0.93, 2), (0.997, 3), (1.0, 2))
    """
    value = low + share * (high - low)
    digits = next((digits for digits in range(2, 16) if low < round(value, digits) < high), 2)
    return round(value, digits), digits


def _scores(data: Dataset) -> tuple[float, float]:
    """Return the validation scores (accuracy or R²) of the trivial answer and of a linear model."""
    regression = data.task == "regression"
    y = data.y_train.reshape(len(data.y_train), -1) if regression else np.eye(len(data.classes))[data.y_train]
    scale, mean = Standardize.fit(data.x_train), y.mean(axis=0)
    x = scale(data.x_train).astype("float64")
    penalty = PENALTY * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(x.T @ x + penalty, x.T @ (y - mean))
    predicted = scale(data.x_val).astype("float64") @ weights + mean
    if regression:
        truth = data.y_val.reshape(len(predicted), -1)
        rest = ((truth - predicted) ** 2).sum() / max(((truth - truth.mean(axis=0)) ** 2).sum(), 1e-30)
        return 0.0, float(1 - rest)
    trivial = (data.y_val == mean.argmax()).mean()
    return float(trivial), float((predicted.argmax(axis=1) == data.y_val).mean())


__all__ = ["UsualTarget", "between", "decided", "suited", "usual_target", "with_usual_batch", "with_usual_target"]
