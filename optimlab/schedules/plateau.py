"""The schedule that follows a metric."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..common.errors import InputError, lookup, number, unknown, whole
from .checks import CHECKS, above_zero, from_zero


class ReduceLROnPlateau:
    """A learning rate that is cut when a metric stops improving; ``plateau(metric)`` returns the next epoch's rate.

    An epoch is bad if the metric does not beat the best so far by ``threshold``. After more than ``patience`` bad
    epochs in a row the rate becomes max(lr · factor, min_lr), and the next ``cooldown`` epochs are not counted.

    Equal to ``torch.optim.lr_scheduler.ReduceLROnPlateau`` ("textbook" and "torch") or to Keras's callback ("keras").
    These differ: PyTorch's threshold is relative, Keras's absolute. PyTorch cuts if bad epochs > patience, Keras if
    bad epochs >= patience. The last epoch of a cool-down may count as bad in Keras only. At the lowest rate Keras
    continues to count.

    Parameters
    ----------
    lr: the initial rate.
    mode: "min" for a loss, "max" for an accuracy.
    threshold_mode: "rel" or "abs"; None means the convention's.
    eps: cuts of at most this size are skipped; None means the convention's value, 1e-8 in PyTorch and 0 in Keras.

    Attributes
    ----------
    lr: the present rate.
    best: the best metric so far, infinite before the first.
    bad: number of bad epochs in a row.
    cooling: remaining epochs of the cool-down.

    A NaN metric counts as bad; Keras would keep it as the best if it came first.

    >>> plateau = ReduceLROnPlateau(0.5, factor=0.5, patience=2)
    >>> [plateau(loss) for loss in (1.0, 0.8, 0.8, 0.8, 0.8, 0.7)]
    [0.5, 0.5, 0.5, 0.5, 0.25, 0.25]

    In a loop of epochs: ``opt.lr = plateau(validation_loss)``. To resume a run, keep :meth:`state`:

    >>> again = ReduceLROnPlateau(0.5, factor=0.5, patience=2)
    >>> again.load(plateau.state())
    >>> again.lr, again.best
    (0.25, 0.7)
    """

    follows_metric: ClassVar[bool] = True

    def __init__(
        self,
        lr: float,
        *,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str | None = None,
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float | None = None,
        convention: str = "textbook",
        **other: Any,
    ) -> None:
        for name in other:
            known = inspect.signature(ReduceLROnPlateau).parameters
            raise unknown("option of ReduceLROnPlateau", name, [n for n in known if n not in ("lr", "other")])
        self.lr = above_zero("lr", lr)
        self._sign: float = lookup("mode", mode, {"min": 1.0, "max": -1.0})
        self._factor = number("factor", factor, low=0, below=1)
        self._patience = whole("patience", patience)
        self._threshold = from_zero("threshold", threshold)
        self._keras = CHECKS["convention"]("convention", convention) == "keras"
        default = "abs" if self._keras else "rel"
        self._relative: bool = lookup("threshold_mode", threshold_mode or default, {"rel": True, "abs": False})
        self._cooldown = whole("cooldown", cooldown)
        self._min_lr = from_zero("min_lr", min_lr)
        self._eps = (0.0 if self._keras else 1e-8) if eps is None else from_zero("eps", eps)
        self.best = self._sign * math.inf
        self.bad = 0
        self.cooling = 0

    def __call__(self, metric: float) -> float:
        """Record the metric of the epoch that has just ended, and return the rate of the next epoch.

        Raises
        ------
        InputError: ``metric`` is not a number.
        """
        if self.hear(metric, self.lr):
            self.lr = self.cut(self.lr)
        return self.lr

    def hear(self, metric: float, lr: float) -> bool:
        """Record the metric of an epoch with the rate ``lr``, and return True if the rate should be cut.

        Use it if other code sets the rate too: ``if plateau.hear(loss, opt.lr): opt.lr = plateau.cut(opt.lr)``.
        """
        if not hasattr(metric, "__float__"):
            raise InputError(f"metric must be a number, got {metric!r}")
        metric = float(metric)
        better = self._improves(metric)
        if better:
            self.best = metric
        self.bad = 0 if better else self.bad + 1
        due = self._due_keras(better, lr) if self._keras else self._due_torch()
        if due:
            self.bad, self.cooling = 0, self._cooldown
        return due

    def cut(self, lr: float) -> float:
        """Return max(lr · factor, min_lr), or ``lr`` if the cut would be at most ``eps``."""
        new = max(lr * self._factor, self._min_lr)
        return new if lr - new > self._eps else lr

    def state(self) -> dict[str, float]:
        """Return everything that changes from epoch to epoch, as plain data."""
        return {name: getattr(self, name) for name in _PLATEAU_STATE}

    def load(self, state: Mapping[str, float]) -> None:
        """Continue from a :meth:`state`.

        Raises
        ------
        InputError: a key is missing or unknown, or a value is out of range; nothing is changed.
        """
        for name in state:
            if name not in _PLATEAU_STATE:
                raise unknown("state of ReduceLROnPlateau", name, _PLATEAU_STATE)
        missing = [name for name in _PLATEAU_STATE if name not in state]
        if missing:
            raise InputError(f"state of ReduceLROnPlateau lacks {', '.join(missing)}")
        checked = {name: check(name, state[name]) for name, check in _PLATEAU_STATE.items()}
        self.__dict__.update(checked)

    def _due_torch(self) -> bool:
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        return self.bad > self._patience

    def _due_keras(self, better: bool, lr: float) -> bool:
        if self.cooling:
            self.cooling -= 1
            self.bad = 0 if better or self.cooling else 1
        # the count continues at the lowest rate: if other code raises the rate, it is cut at once
        return not better and not self.cooling and self.bad >= self._patience and lr > self._min_lr

    def _improves(self, metric: float) -> bool:
        new, best = self._sign * metric, self._sign * self.best
        if self._relative:
            return new < self._sign * (self.best * (1 - self._sign * self._threshold))
        # the two forms differ only in rounding, which decides if a metric falls by exactly the threshold
        return new + self._threshold < best if self._keras else new < best - self._threshold


def _best(name: str, value: Any) -> float:
    return float(value) if isinstance(value, float) and math.isinf(value) else number(name, value)


_PLATEAU_STATE: dict[str, Callable[[str, Any], Any]] = {
    "lr": from_zero,
    "best": _best,
    "bad": whole,
    "cooling": whole,
}
