"""The history of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..common.errors import InputError, lookup
from ..common.markup import Html, sparkline, together
from ..common.tables import Column, Table
from ..common.views import view

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("train_loss", "train_accuracy", "train_r2", "val_loss", "val_accuracy", "val_r2")
"""The lists of losses and scores."""


@dataclass
class History:
    """The history of a run: in each list one entry per completed epoch, or none if there was nothing to measure.

    Attributes
    ----------
    train_loss, train_accuracy: means over the rows of the epoch. Each batch is measured before its update, in training
        mode (with dropout, and batch norm on the batch).
    train_r2: the coefficient of determination (:data:`optimlab.losses.R2`), instead of the accuracy for a regression.
    val_loss, val_accuracy, val_r2: the same on the validation split, at the end of the epoch in evaluation mode.
    lr: the learning rate of the epoch's last step.
    penalty: the sum of the penalties, averaged like ``train_loss``, which does not include them; None if unused.
    seconds: the training time of the epoch, without evaluation.
    status: ``"completed"``, ``"stopped"`` (by a callback), ``"diverged"`` (the loss became infinite or NaN),
        ``"interrupted"`` (Ctrl-C), or ``"failed"`` (an exception; only callbacks see this status).
    steps: the number of updates, over all epochs.
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
        """Return the number of completed epochs."""
        return len(self.train_loss)

    def append(self, **values: float) -> None:
        """Add one epoch's entries."""
        for name, value in values.items():
            getattr(self, name).append(value)

    def last(self) -> dict[str, float]:
        """Return the entries of the last epoch, by name.

        >>> History(train_loss=[0.5, 0.25], lr=[0.1, 0.1]).last()
        {'train_loss': 0.25, 'lr': 0.1}
        """
        return {name: values[-1] for name, values in self.to_dict().items() if isinstance(values, list) and values}

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return asdict(self)

    def best(self, name: str) -> tuple[float, int]:
        """Return the best value of a measure, and its epoch, from 1: the lowest loss, or the highest accuracy or R².

        Raises
        ------
        InputError: the measure is unknown, or the run does not have it.

        >>> History(val_loss=[0.9, 0.4, 0.5]).best("val_loss")
        (0.4, 2)
        """
        values: list[float] = getattr(self, lookup("measure", name, {known: known for known in MEASURES}))
        if not values:
            raise InputError(f"this run has no {name}")
        value = min(values) if name.endswith("loss") else max(values)
        return value, 1 + values.index(value)

    def line(self, epochs: int | None = None) -> str:
        """Return the last epoch as one line, as ``fit(..., print_every=1)`` prints it.

        A name without ``val_`` is measured on the training rows.

        Parameters
        ----------
        epochs: the total number of epochs, to print after the present one.

        >>> History(train_loss=[0.5, 0.25], val_accuracy=[0.8, 0.9], lr=[0.1, 0.05]).line(20)
        'epoch  2/20  loss 0.2500  val_acc 0.9000  lr 0.05'
        """
        total = "" if epochs is None else f"/{epochs}"
        last = self.last()
        # short names, so that a line fits 80 characters
        short = {name: name.removeprefix("train_").replace("accuracy", "acc") for name in (*MEASURES, "penalty")}
        numbers = [f"{written} {_decimals(last[name])}" for name, written in short.items() if name in last]
        rate = [f"lr {last['lr']:.3g}"] if "lr" in last else []
        return "  ".join([f"epoch {self.epochs:{max(len(total) - 1, 0)}}{total}", *numbers, *rate])

    def plot(self) -> Figure:
        """Draw loss, score and learning rate against epochs.

        The curves are labelled directly, and a ring marks the best epoch on the validation split. A notebook shows the
        figure; elsewhere write ``history.plot().savefig("run.png")``.

        Raises
        ------
        InputError: no epoch was completed.

        >>> import optimlab as ol
        >>> net = ol.MLP([64, 10], seed=0)
        >>> history = ol.fit(net, ol.SGD(net.parameters, lr=0.1), ol.datasets.load("digits"), epochs=3)
        >>> [axes.get_ylabel() for axes in history.plot().axes]
        ['loss, mean of the rows', 'accuracy', 'learning rate']
        """
        figure: Figure = view("history figure", self)
        return figure

    def _repr_html_(self) -> str:
        rows = []
        for name in (*MEASURES, "lr", "penalty"):
            values = getattr(self, name)
            if values:
                best = [f"{v:.4g}" for v in self.best(name)] if name in MEASURES else ["", ""]
                curve = sparkline(values, f"{name} from {values[0]:.3g} to {values[-1]:.3g}")
                rows.append([name, f"{values[-1]:.4g}", *best, curve])
        columns = [Column("", "name"), Column("last"), Column("best"), Column("best epoch"), Column("curve", "words")]
        seconds = f"{sum(self.seconds):.3g} s of training" if self.seconds else ""
        summary = ", ".join(part for part in (self.ending(), f"{self.steps} steps", seconds) if part)
        return together(f"Run {summary}.", Html(Table(columns, rows)._repr_html_()) if rows else "")

    def ending(self) -> str:
        """Describe in a few words how the run ended.

        >>> History(train_loss=[0.5, 0.4], status="diverged", steps=130, diverged_step=130).ending()
        'diverged at step 130, after 2 epochs'
        """
        where = f" at step {self.diverged_step}," if self.diverged_step else ""
        return f"{self.status}{where} after {self.epochs} epoch{'s' * (self.epochs != 1)}"

    def __repr__(self) -> str:
        last = "".join(f", {name} {getattr(self, name)[-1]:.4g}" for name in MEASURES if getattr(self, name))
        where = f" at step {self.diverged_step}" if self.diverged_step else ""
        return f"<History {self.status}{where}, {self.epochs} epochs{last}>"


def _decimals(value: float) -> str:
    """Format with four decimals, so that lines align, or with three digits if the number is very small or large."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"
