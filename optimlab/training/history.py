"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MEASURES = ("train_loss", "train_accuracy", "train_r2", "val_loss", "val_accuracy", "val_r2")
"""The lists that measure the network."""


@dataclass
class History:
    """One entry per completed epoch in each list; empty lists where there was nothing to measure.

    Attributes
    ----------
    train_loss, train_accuracy: means over the epoch's samples, each sample weighing the same, measured on each
        batch before its update, as training goes on (dropout on, batch norm on the batch).
    train_r2: for a regression in place of the accuracy, the coefficient of determination (:data:`optimlab.losses.R2`).
    val_loss, val_accuracy, val_r2: on the validation split at the end of the epoch.
    lr: learning rate of the epoch's last step.
    penalty: sum of the penalties, averaged as ``train_loss``, which does not hold them; None where there are none.
    seconds: training time of the epoch, evaluation excluded.
    status: ``"completed"``, ``"stopped"`` (by a callback), ``"diverged"`` (the loss became infinite or NaN),
        ``"interrupted"`` (Ctrl-C), or ``"failed"`` (an exception; only callbacks see this status).
    steps: updates made, over all epochs.
    diverged_step: the step, counted from 1, whose loss was not finite; None unless diverged.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    status: str = "completed"
    steps: int = 0
    diverged_step: int | None = None
    penalty: list[float] | None = None
    train_r2: list[float] = field(default_factory=list)
    val_r2: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return len(self.train_loss)

    def append(self, **values: float) -> None:
        """Add one epoch's entries."""
        for name, value in values.items():
            getattr(self, name).append(value)

    def last(self) -> dict[str, float]:
        """The entries of the last epoch, by name.

        >>> History(train_loss=[0.5, 0.25], lr=[0.1, 0.1]).last()
        {'train_loss': 0.25, 'lr': 0.1}
        """
        return {name: values[-1] for name, values in self.to_dict().items() if isinstance(values, list) and values}

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return asdict(self)

    def __repr__(self) -> str:
        last = "".join(f", {name} {getattr(self, name)[-1]:.4g}" for name in MEASURES if getattr(self, name))
        where = f" at step {self.diverged_step}" if self.diverged_step else ""
        return f"<History {self.status}{where}, {self.epochs} epochs{last}>"
