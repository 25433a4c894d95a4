"""Learning-rate schedules: pure functions of a counter.

A schedule is a frozen dataclass; ``schedule(k)`` is the rate at ``k`` = 0, 1, 2, ... What ``k`` counts is up to who
calls: an optimizer given ``lr=schedule`` calls it with the updates made so far, so there ``k`` counts steps and every
length below is in steps; ``per_epoch(schedule, steps_per_epoch)`` lets it count epochs instead. Nothing is remembered
between calls: a resumed run needs the counter alone, and a schedule can be looked at before training
(:func:`optimlab.preview`).

A schedule with a given end keeps its last value after it. Where PyTorch and Keras differ, ``convention`` chooses;
"textbook" is the definition printed in the docstring.

The one schedule that is no function of a counter, :class:`ReduceLROnPlateau`, stands apart in
:mod:`optimlab.schedules.plateau`.

>>> from optimlab.schedules import CosineAnnealing, Warmup
>>> lr = Warmup(CosineAnnealing(0.1, total=100), steps=10)
>>> [lr(0), lr(5), lr(10), lr(60), lr(110), lr(1000)]
[0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
"""

from __future__ import annotations

from .checks import CONVENTIONS, Rate
from .composed import Chain, PerEpoch, Warmup, per_epoch
from .cycles import CosineWarmRestarts, CyclicLR, OneCycle, WarmupStableDecay
from .decays import (
    CosineAnnealing,
    ExponentialLR,
    InverseTime,
    LinearDecay,
    MultiStepLR,
    PiecewiseConstant,
    PolynomialDecay,
    PowerDecay,
    StepLR,
)
from .plateau import ReduceLROnPlateau
from .schedule import Schedule, momentum_at, value_at

__all__ = [
    "CONVENTIONS",
    "Chain",
    "CosineAnnealing",
    "CosineWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InverseTime",
    "LinearDecay",
    "MultiStepLR",
    "OneCycle",
    "PerEpoch",
    "PiecewiseConstant",
    "PolynomialDecay",
    "PowerDecay",
    "Rate",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
    "Warmup",
    "WarmupStableDecay",
    "momentum_at",
    "per_epoch",
    "value_at",
]
