"""An estimate of the time that a study takes."""

from __future__ import annotations

import time
from dataclasses import replace

from ..backends.threads import one_thread
from ..common.errors import InputError
from .contender import Contender
from .plan import Run, Study
from .side_by_side import side_by_side

QUICK = 0.5
"""Seconds of an epoch above which the fixed cost of a run is negligible."""
TOGETHER = 8
"""Number of shorter runs that are measured together, as in the study."""


def estimate(study: Study, jobs: int = 1) -> float:
    """Estimate the seconds that the planned runs take, from a few epochs of each contender.

    Parameters
    ----------
    study: the plan.
    jobs: number of processes that run at once.

    Raises
    ------
    InputError: the problem cannot be run, or the run of a contender fails.
    """
    study.problem.check()
    total = 0.0
    for contender in study.contenders:
        first, once = _seconds(study, contender, 1), _seconds(study, contender, 1)  # the first also compiles
        thrice = 3 * once
        if first < QUICK:
            _seconds(study, contender, 1, TOGETHER)  # a warm-up: records the program that the next two share
            once, thrice = (_seconds(study, contender, epochs, TOGETHER) for epochs in (1, 3))
        total += once + max(0.0, thrice - once) / 2 * (study.problem.epochs - 1)
    return total / len(study.contenders) * study.planned() / jobs


def _seconds(study: Study, contender: Contender, epochs: int, count: int = 1) -> float:
    """Measure the seconds of a run of so many epochs, the mean of ``count`` runs."""
    # without a schedule: its warm-up may be longer than these few epochs
    unscheduled = replace(contender, schedule=None, hyperparameters=contender.fixed)
    problem, lr = study.with_epochs(epochs).problem, contender.defaults()["lr"]
    start = time.perf_counter()
    with one_thread():  # as in the study
        records = side_by_side([Run(problem, unscheduled, lr, seed) for seed in range(count)])
    for record in records:
        if record.status == "error":
            raise InputError(f"{contender.label} cannot be run: {record.error}")
    return (time.perf_counter() - start) / count


__all__ = ["estimate"]
