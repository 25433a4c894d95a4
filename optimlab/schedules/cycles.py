"""Schedules that rise and fall, once or repeatedly."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from ..common.errors import InputError
from .checks import in_order
from .schedule import Schedule, half_cosine, line


@dataclass(frozen=True)
class CosineWarmRestarts(Schedule):
    """A repeated half cosine. The first lasts ``period``, and each is ``factor`` times as long as the one before.

    end + (lr − end) · (1 + cos(π t/T)) / 2, where t counts from the last restart and T is the current length. At a
    restart the rate is lr; ``end`` is never quite reached. ``k`` counts epochs, or steps with ``per="step"``.
    Loshchilov and Hutter (2017), "SGDR", equation 5. Equal to
    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`` and, per step, to Keras's ``CosineDecayRestarts`` (whose
    factor ``t_mul`` is 2 by default).

    >>> lr = CosineWarmRestarts(0.5, period=10, factor=2)
    >>> [round(lr(k), 3) for k in (0, 5, 9, 10, 20, 29, 30)]
    [0.5, 0.25, 0.012, 0.5, 0.25, 0.003, 0.5]
    """

    lr: float
    period: int
    factor: float = 1.0
    end: float = 0.0
    _: KW_ONLY
    per: str = "epoch"

    def _lr(self, k: int) -> float:
        since: float = k
        length: float = self.period
        if self.factor == 1:
            since %= length
        while since >= length:
            since -= length
            length *= self.factor
        return half_cosine(self.lr, self.end, since / length)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """A single cycle: the rate rises to ``max_lr`` and falls almost to zero, while momentum falls and rises.

    The rate rises from max_lr/div_factor to max_lr during the first ``pct_start`` of ``total``. Then it falls to
    max_lr/(div_factor · final_div_factor) at the last count, total − 1. With ``three_phase`` it first falls back to
    its initial value, as fast as it rose, and then to the end. Momentum falls from ``max_momentum`` to
    ``base_momentum`` and rises again. ``anneal_strategy`` is "cos" or "linear".

    ``k`` counts steps, because the cycle is meant to change with every batch (``per="epoch"`` chooses epochs). Smith
    and Topin (2018), "Super-convergence"; equal to ``torch.optim.lr_scheduler.OneCycleLR``, with its defaults. PyTorch
    takes one more step after the last count, and then raises; here the last value stays.

    >>> lr = OneCycle(0.5, total=100)
    >>> [round(lr(k), 4) for k in (0, 29, 99)], [round(lr.momentum(k), 2) for k in (0, 29, 99)]
    ([0.02, 0.5, 0.0], [0.95, 0.85, 0.95])
    """

    max_lr: float
    total: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
    _: KW_ONLY
    per: str = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_order("momentum", self.base_momentum, self.max_momentum)
        if self.three_phase and self.pct_start > 0.5:
            raise InputError(f"pct_start must be at most 0.5 with three_phase, got {self.pct_start}")

    def _lr(self, k: int) -> float:
        low = self.max_lr / self.div_factor
        return self._anneal(k, low, self.max_lr, low, low / self.final_div_factor)

    def _momentum(self, k: int) -> float:
        return self._anneal(k, self.max_momentum, self.base_momentum, self.max_momentum, self.max_momentum)

    def _anneal(self, k: int, start: float, peak: float, back: float, end: float) -> float:
        """Interpolate at ``k`` between the values at the ends of the phases."""
        rise, last = self.pct_start * self.total - 1, self.total - 1
        phases = [(0.0, rise, start, peak), (rise, last, peak, end)]
        if self.three_phase:
            phases[1:] = [(rise, 2 * rise, peak, back), (2 * rise, last, back, end)]
        k = min(k, last)
        begin, stop, a, b = next(phase for phase in phases if k <= phase[1])
        between = half_cosine if self.anneal_strategy == "cos" else line
        return between(a, b, (k - begin) / (stop - begin) if stop > begin else 1.0)


@dataclass(frozen=True)
class CyclicLR(Schedule):
    """A repeated linear rise from ``base_lr`` to ``max_lr`` in ``up`` steps and fall in ``down`` (``up`` if None).

    base_lr + (max_lr − base_lr) · height · scale, where height goes 0, 1, 0 in each cycle c = 1, 2, ..., and scale is
    1 (mode "triangular"), 2^(1−c) ("triangular2") or gamma^k ("exp_range"). Momentum goes the other way:
    max_momentum − (max_momentum − base_momentum) · height · scale.

    ``k`` counts steps, or epochs with ``per="epoch"``. Smith (2017), "Cyclical learning rates"; equal to
    ``torch.optim.lr_scheduler.CyclicLR``, with its defaults. PyTorch also sets the momentum (Adam's beta1) by default.
    Here only ``momentum=schedule.momentum`` sets it.

    >>> lr = CyclicLR(0.25, 0.75, up=10, mode="triangular2")
    >>> lr(0), lr(10), lr(20), lr(30)
    (0.25, 0.75, 0.25, 0.5)
    >>> round(lr.momentum(10), 3)
    0.8
    """

    base_lr: float
    max_lr: float
    up: int = 2000
    down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0
    base_momentum: float = 0.8
    max_momentum: float = 0.9
    _: KW_ONLY
    per: str = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_order("lr", self.base_lr, self.max_lr)
        in_order("momentum", self.base_momentum, self.max_momentum)

    def _lr(self, k: int) -> float:
        return self.base_lr + (self.max_lr - self.base_lr) * self._height(k)

    def _momentum(self, k: int) -> float:
        return self.max_momentum - (self.max_momentum - self.base_momentum) * self._height(k)

    def _height(self, k: int) -> float:
        down = self.down or self.up
        cycle, at = divmod(k, self.up + down)
        height = at / self.up if at <= self.up else (self.up + down - at) / down
        if self.mode == "triangular2":
            return height * 0.5**cycle
        return height * self.gamma**k if self.mode == "exp_range" else height


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """A linear rise from 0 to lr in ``warmup``, lr for ``stable``, and a linear fall to ``end`` in ``decay``.

    ``k`` counts steps, or epochs with ``per="epoch"``. Hu et al. (2024), "MiniCPM", section 4, with the
    linear decay of Hägele et al. (2024), "Scaling laws and compute-optimal training beyond fixed training durations".

    >>> lr = WarmupStableDecay(0.5, warmup=10, stable=80, decay=10)
    >>> lr(5), lr(10), lr(90), lr(95), lr(100)
    (0.25, 0.5, 0.5, 0.25, 0.0)
    """

    lr: float
    warmup: int
    stable: int
    decay: int
    end: float = 0.0
    _: KW_ONLY
    per: str = "step"

    def _lr(self, k: int) -> float:
        if k < self.warmup:
            return self.lr * k / self.warmup
        return line(self.lr, self.end, max(k - self.warmup - self.stable, 0) / self.decay)
