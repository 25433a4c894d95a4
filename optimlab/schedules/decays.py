"""Schedules that fall, in steps or smoothly."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from .checks import one_more
from .schedule import Schedule, half_cosine, line


@dataclass(frozen=True)
class StepLR(Schedule):
    """A drop every ``step_size`` epochs: lr · gamma^⌊k/step_size⌋.

    ``k`` counts epochs, or steps with ``per="step"``. Equal to ``torch.optim.lr_scheduler.StepLR`` and to
    Keras's ``ExponentialDecay(lr, step_size, gamma, staircase=True)``.

    >>> lr = StepLR(0.5, step_size=30, gamma=0.5)
    >>> lr(29), lr(30)
    (0.5, 0.25)
    """

    lr: float
    step_size: int
    gamma: float = 0.1
    _: KW_ONLY
    per: str = "epoch"

    def _lr(self, k: int) -> float:
        return self.lr * self.gamma ** (k // self.step_size)


@dataclass(frozen=True)
class MultiStepLR(Schedule):
    """A drop at each milestone: lr · gamma^(milestones passed).

    ``k`` counts epochs, or steps in "keras"; ``per`` chooses the unit. In "textbook" and "torch"
    (``torch.optim.lr_scheduler.MultiStepLR``), a milestone m counts as passed at k = m. In "keras"
    (``PiecewiseConstantDecay``), it counts as passed only at k = m + 1.

    >>> lr = MultiStepLR(0.5, milestones=[30, 80], gamma=0.5)
    >>> lr(29), lr(30), lr(80)
    (0.5, 0.25, 0.125)
    >>> MultiStepLR(0.5, [30, 80], 0.5, convention="keras")(30)
    0.5
    """

    lr: float
    milestones: Sequence[int]
    gamma: float = 0.1
    convention: str = "textbook"
    _: KW_ONLY
    per: str | None = None

    def _lr(self, k: int) -> float:
        return self.lr * self.gamma ** _passed(self.milestones, k, self.convention)


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """Arbitrary constants: ``values[0]`` before the first milestone, then ``values[1]``, and so on.

    ``k`` counts epochs, or steps in "keras"; ``per`` chooses the unit. A milestone m counts as passed at k = m; in
    "keras" (``PiecewiseConstantDecay``) only at k = m + 1.

    >>> lr = PiecewiseConstant([10, 20], [0.1, 0.5, 0.01])
    >>> lr(9), lr(10), lr(20)
    (0.1, 0.5, 0.01)
    """

    milestones: Sequence[int]
    values: Sequence[float]
    convention: str = "textbook"
    _: KW_ONLY
    per: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more("values", self.values, self.milestones)

    def _lr(self, k: int) -> float:
        return self.values[_passed(self.milestones, k, self.convention)]


@dataclass(frozen=True)
class ExponentialLR(Schedule):
    """Exponential decay: lr · gamma^k.

    ``k`` counts epochs and gamma is the factor per epoch; with ``per="step"``, both refer to steps. Equal to
    ``torch.optim.lr_scheduler.ExponentialLR``. With ``per="step"`` and gamma = rate^(1/s), equal to Keras's
    ``ExponentialDecay(lr, s, rate)``.

    >>> ExponentialLR(0.5, gamma=0.5)(2)
    0.125
    """

    lr: float
    gamma: float
    _: KW_ONLY
    per: str = "epoch"

    def _lr(self, k: int) -> float:
        return self.lr * self.gamma**k


@dataclass(frozen=True)
class PowerDecay(Schedule):
    """Power decay: lr / (1 + k/s)^c.

    ``k`` counts epochs, or steps with ``per="step"``. At k = s the rate has fallen to lr/2^c. From there it falls ever
    more slowly.

    >>> PowerDecay(0.5, s=10, c=2)(10)
    0.125
    """

    lr: float
    s: float
    c: float = 1.0
    _: KW_ONLY
    per: str = "epoch"

    def _lr(self, k: int) -> float:
        return self.lr * float((1 + k / self.s) ** -self.c)  # a positive power may overflow


@dataclass(frozen=True)
class InverseTime(Schedule):
    """1/t decay: lr / (1 + k/s), power decay with c = 1.

    ``k`` counts epochs, or steps with ``per="step"``. Robbins and Monro (1951) require a decay of this kind: the sum
    of the rates diverges, and the sum of their squares converges. Keras's ``InverseTimeDecay(lr, steps, rate)`` has
    s = steps/rate; the ``decay`` of its old optimizers is 1/s. Both count steps.

    >>> InverseTime(0.5, s=10)(30)
    0.125
    """

    lr: float
    s: float
    _: KW_ONLY
    per: str = "epoch"

    def _lr(self, k: int) -> float:
        return self.lr / (1 + k / self.s)


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """A linear fall from lr at 0 to ``end`` at ``total``, then ``end``: lr + (end − lr) · min(k/total, 1).

    ``k`` counts epochs, or steps with ``per="step"``. Equal to Keras's ``PolynomialDecay(lr, total, end)`` (per step)
    and to ``torch.optim.lr_scheduler.LinearLR`` (which takes factors of lr).

    >>> lr = LinearDecay(0.5, end=0.25, total=10)
    >>> lr(0), lr(5), lr(10), lr(11)
    (0.5, 0.375, 0.25, 0.25)
    """

    lr: float
    end: float
    total: int
    _: KW_ONLY
    per: str = "epoch"

    def _lr(self, k: int) -> float:
        return line(self.lr, self.end, k / self.total)


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """Polynomial decay to ``end`` at ``total``: end + (lr − end) · (1 − min(k/total, 1))^power.

    ``k`` counts epochs, or steps with ``per="step"``. Equal to Keras's ``PolynomialDecay`` (``cycle=False``, per step)
    and, with end = 0, to ``torch.optim.lr_scheduler.PolynomialLR``.

    >>> PolynomialDecay(0.5, total=10, power=2)(5)
    0.125
    """

    lr: float
    total: int
    power: float = 1.0
    end: float = 0.0
    _: KW_ONLY
    per: str = "epoch"

    def _lr(self, k: int) -> float:
        return self.end + (self.lr - self.end) * float((1 - min(k / self.total, 1)) ** self.power)


@dataclass(frozen=True)
class CosineAnnealing(Schedule):
    """A half cosine from lr at 0 to ``end`` at ``total``: end + (lr − end) · (1 + cos(π k/total)) / 2.

    ``k`` counts epochs, or steps in "keras"; ``per`` chooses the unit. After ``total`` the rate stays at ``end`` in
    "textbook" and "keras" (``CosineDecay``). In "torch" (``CosineAnnealingLR``) the cosine continues, and the rate is
    back at lr at 2 total. Loshchilov and Hutter (2017), "SGDR", equation 5, without the restarts.

    >>> lr = CosineAnnealing(0.5, total=10)
    >>> lr(0), lr(5), lr(10), lr(20)
    (0.5, 0.25, 0.0, 0.0)
    >>> CosineAnnealing(0.5, total=10, convention="torch")(20)
    0.5
    """

    lr: float
    total: int
    end: float = 0.0
    convention: str = "textbook"
    _: KW_ONLY
    per: str | None = None

    def _lr(self, k: int) -> float:
        return half_cosine(self.lr, self.end, k / self.total if self.convention == "torch" else min(k / self.total, 1))


def _passed(milestones: Sequence[int], k: int, convention: str) -> int:
    return bisect_left(milestones, k) if convention == "keras" else bisect_right(milestones, k)
