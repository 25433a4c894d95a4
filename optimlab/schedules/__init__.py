"""Learning-rate schedules: pure functions of a counter.

A schedule is a frozen dataclass. ``schedule(k)`` is the rate at ``k`` = 0, 1, 2, ... ``schedule.per`` is the unit of
``k`` and of every length:

- "epoch" for schedules that PyTorch's users step once per epoch: ``StepLR``, ``MultiStepLR``, ``PiecewiseConstant``,
  ``ExponentialLR``, ``PowerDecay``, ``InverseTime``, ``LinearDecay``, ``PolynomialDecay``, ``CosineAnnealing``,
  ``CosineWarmRestarts``;
- "step" for schedules that change with every batch: ``CyclicLR``, ``OneCycle``, ``Warmup``, ``WarmupStableDecay``; and
  for all with ``convention="keras"``, since Keras's schedules count steps;
- for ``Chain``, the unit of its pieces.

You can choose the other unit: ``StepLR(0.1, 500, per="step")``, ``CyclicLR(0.001, 0.01, up=5, per="epoch")``. Your own
functions count steps.

An optimizer with ``lr=schedule`` reads the step from ``opt.t`` and the epoch from ``opt.epoch``. :func:`optimlab.fit`
sets ``opt.epoch``. In your own loop, write ``opt.epoch = epoch`` at the start of each epoch. Schedules have no state:
a resumed run needs only the counters, and you can plot a schedule before training (:func:`optimlab.preview`).

A schedule with an end keeps its last value from there on. If PyTorch and Keras differ, ``convention`` chooses;
"textbook" is the definition in the docstring.

:class:`ReduceLROnPlateau` is the only schedule that is not a function of a counter. See
:mod:`optimlab.schedules.plateau`.

A :class:`~optimlab.schedules.shapes.Shape` is a schedule by name whose peak and length are not known yet.

>>> from optimlab.schedules import CosineAnnealing, Warmup
>>> lr = Warmup(CosineAnnealing(0.1, total=100, per="step"), steps=10)
>>> [lr(0), lr(5), lr(10), lr(60), lr(110), lr(1000)]
[0.0, 0.05, 0.1, 0.05, 0.0, 0.0]

Imports common.
"""

from __future__ import annotations

from .checks import CONVENTIONS, Rate, checked_schedule
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
from .schedule import Schedule, momentum_at, require_unit, unit, value_at
from .shapes import SHAPES, Length, Scheduled, Shape

__all__ = [
    "CONVENTIONS",
    "SHAPES",
    "Chain",
    "CosineAnnealing",
    "CosineWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InverseTime",
    "Length",
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
    "Scheduled",
    "Shape",
    "StepLR",
    "Warmup",
    "WarmupStableDecay",
    "checked_schedule",
    "momentum_at",
    "per_epoch",
    "require_unit",
    "unit",
    "value_at",
]
