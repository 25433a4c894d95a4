"""Schedules composed of other schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from ..common.errors import InputError
from .checks import Rate, one_more
from .schedule import Schedule, line, momentum_at, require_unit, stated_unit, value_at


@dataclass(frozen=True)
class Warmup(Schedule):
    """A linear warm-up from ``start`` to the first value of ``schedule`` in ``steps``, followed by ``schedule``.

    ``schedule`` is any schedule, function or constant, and counts from the end of the warm-up. ``k`` counts steps, or
    epochs with ``per="epoch"``; ``schedule`` must have the same unit. With start = 0 the first update is zero.
    Goyal et al. (2017), section 2.2. Equal to the warm-up of Keras's ``CosineDecay`` and to PyTorch's ``LinearLR`` in
    a ``SequentialLR``.

    Raises
    ------
    InputError: ``schedule`` has another unit. :func:`per_epoch` turns a schedule of epochs into one of steps.

    >>> from optimlab.schedules import ExponentialLR
    >>> lr = Warmup(ExponentialLR(0.5, gamma=0.5, per="step"), steps=10)
    >>> lr(0), lr(5), lr(10), lr(11)
    (0.0, 0.25, 0.5, 0.25)
    """

    schedule: Rate
    steps: int
    start: float = 0.0
    _: KW_ONLY
    per: str = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_unit(self.schedule, self.per, "Warmup")

    def _lr(self, k: int) -> float:
        if k < self.steps:
            return line(self.start, value_at(self.schedule, 0), k / self.steps)
        return value_at(self.schedule, k - self.steps)

    def _momentum(self, k: int) -> float | None:
        return momentum_at(self.schedule, max(k - self.steps, 0))  # constant during the warm-up


@dataclass(frozen=True)
class Chain(Schedule):
    """A sequence of ``pieces``; at each milestone the next piece begins, counting from its own start.

    Pieces are schedules, functions or constants, one more than milestones. All pieces must have the same unit, which is
    also the unit of ``k``. If all pieces are functions and constants, ``per`` states the unit. Equal to
    ``torch.optim.lr_scheduler.SequentialLR``.

    Raises
    ------
    InputError: some pieces count epochs and others steps, or no unit is stated.

    >>> from optimlab.schedules import ExponentialLR
    >>> lr = Chain([0.5, ExponentialLR(0.25, gamma=0.5)], milestones=[10])
    >>> lr(9), lr(10), lr(11), lr.per
    (0.5, 0.25, 0.125, 'epoch')
    """

    pieces: Sequence[Rate]
    milestones: Sequence[int]
    _: KW_ONLY
    per: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more("pieces", self.pieces, self.milestones)
        for piece in self.pieces:
            require_unit(piece, str(self.per), "Chain")

    def _usual_unit(self) -> str:
        units = [unit for piece in self.pieces if (unit := stated_unit(piece))]
        if not units:
            raise InputError("no piece of the Chain states a unit: write per='epoch' or per='step'")
        return units[0]

    def _lr(self, k: int) -> float:
        return value_at(*self._piece(k))

    def _momentum(self, k: int) -> float | None:
        return momentum_at(*self._piece(k))

    def _piece(self, k: int) -> tuple[Rate, int]:
        place = bisect_right(self.milestones, k)
        return self.pieces[place], k - (self.milestones[place - 1] if place else 0)


@dataclass(frozen=True)
class PerEpoch(Schedule):
    """A schedule of epochs converted to steps, made by :func:`per_epoch`."""

    schedule: Rate
    steps_per_epoch: int
    per = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_unit(self.schedule, "epoch", "per_epoch")

    def _lr(self, k: int) -> float:
        return value_at(self.schedule, k // self.steps_per_epoch)

    def _momentum(self, k: int) -> float | None:
        return momentum_at(self.schedule, k // self.steps_per_epoch)


def per_epoch(schedule: Rate, steps_per_epoch: int) -> PerEpoch:
    """Convert a schedule of epochs to steps: all steps of epoch e have the rate ``schedule(e)``.

    An optimizer takes a schedule of epochs directly. Use this function for a function of the epoch, or for a
    :class:`Warmup` in steps before a schedule of epochs.

    Raises
    ------
    InputError: ``schedule`` counts steps.

    >>> from optimlab.schedules import StepLR
    >>> lr = per_epoch(StepLR(0.5, step_size=1, gamma=0.5), steps_per_epoch=100)
    >>> lr(99), lr(100)
    (0.5, 0.25)
    """
    return PerEpoch(schedule, steps_per_epoch)
