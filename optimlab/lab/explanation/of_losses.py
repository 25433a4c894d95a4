"""A loss's formula and gradient, and a small example worked out by its own code."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np

from ...backends.numpy import NumPyBackend
from ...common.errors import InputError
from ...common.spelling import encoding_of_stdout, spelled
from ...common.tables import Column, Table, width
from ...kernels import Equation, Formula, unicode
from ...nn import activations, losses
from ...nn.buffers import Buffers
from ...nn.losses import Loss
from .of_rules import aligned

FORMULAS: dict[str, tuple[tuple[tuple[str, str], tuple[str, str]], str]] = {
    "softmax_cross_entropy": (
        (("L", "mean(np.log(sum(np.exp(z))) - sum(t * z))"), ("dz", "(softmax(z) - t) / n")),
        "z has a row of logits for each of n examples, and t is 1 at the right class of a row, 0 elsewhere. sum is "
        "over a row, mean over the rows. dz is the gradient of L.",
    ),
    "binary_cross_entropy": (
        (("L", "mean(np.log(1 + np.exp(z)) - t * z)"), ("dz", "(sigmoid(z) - t) / n")),
        "z is the logit of each of n examples, and t its label, 0 or 1. mean is over the rows. dz is the gradient of "
        "L.",
    ),
    "mean_squared_error": (
        (("L", "mean((y - t)**2)"), ("dy", "2 * (y - t) / n")),
        "y has a row of outputs for each example, and t its targets; mean is over all n entries of all rows. dy is the "
        "gradient of L.",
    ),
    "mean_absolute_error": (
        (("L", "mean(np.abs(y - t))"), ("dy", "np.sign(y - t) / n")),
        "y has a row of outputs for each example, and t its targets; mean is over all n entries of all rows. dy is the "
        "gradient of L, 0 where y = t.",
    ),
}
"""Of each loss its value and its gradient, as Python expressions that a test evaluates, and what their names mean."""

LOGIT, SIDES = np.array([[2.0], [-0.5]]), np.array([1, 1])
LOGITS, LABELS = np.array([[2.0, 1.0, 0.0], [0.0, 0.5, 3.0]]), np.array([0, 1])
OUTPUTS, TARGETS = np.array([[1.0, 3.0], [-0.5, 2.0]]), np.array([[1.5, 3.0], [0.5, -1.0]])


@dataclass(frozen=True)
class LossExplanation:
    """Result of :func:`explain_loss`; prints itself in a terminal and renders in a notebook.

    Attributes
    ----------
    example: one dictionary for each entry of the example's outputs, by the headings of the table.
    losses: the loss of each row of the example by itself.
    value: the loss of the example, the mean of these.
    """

    loss: str
    example: tuple[dict[str, float], ...]
    losses: tuple[float, ...]
    value: float

    @property
    def equations(self) -> list[Equation]:
        """The value and the gradient."""
        lines = FORMULAS[self.loss][0]
        return [Equation(name, ast.parse(text, mode="eval").body, None) for name, text in lines]

    @property
    def formula(self) -> str:
        """The value and the gradient in Unicode, a line each."""
        return "\n".join(" = ".join(e.printed(unicode)) for e in self.equations)

    @property
    def latex(self) -> str:
        """The value and the gradient as a LaTeX ``aligned`` block."""
        return aligned(self.equations)

    @property
    def legend(self) -> str:
        """Meaning of the names in the formula."""
        return FORMULAS[self.loss][1]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {
            "loss": self.loss,
            "formula": self.formula.splitlines(),
            "latex": self.latex,
            "legend": self.legend,
            "example": list(self.example),
            "losses": list(self.losses),
            "value": self.value,
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        encoding = encoding_of_stdout()
        columns = [Column(name) for name in self.example[0]]
        rows = [[f"{value:.6g}" for value in entry.values()] for entry in self.example]
        table = Table(columns, rows).text(width() - 2, encoding)
        blocks = [self.formula, fill(self.legend, width() - 2), table, fill(self.sentence, width() - 2)]
        lines = ["", *"\n\n".join(blocks).splitlines()]
        return spelled("\n".join([self.loss, *(f"  {line}".rstrip() for line in lines)]), encoding)

    @property
    def sentence(self) -> str:
        """Sentence that says how the losses of the rows make the loss of the batch."""
        parts = " and ".join(f"{value:.6g}" for value in self.losses)
        return f"The rows by themselves have the losses {parts}; L is their mean, {self.value:.6g}."

    def _repr_markdown_(self) -> str:
        header = list(self.example[0])
        rows = [header, ["---"] * len(header), *([f"{v:.6g}" for v in entry.values()] for entry in self.example)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"**{self.loss}**\n\n$$\n{self.latex}\n$$\n\n{self.legend}\n\n{table}\n\n{self.sentence}"


def formulas_of(loss: Loss) -> list[Formula]:
    """Return the elementwise formulas of a loss, in the order in which it calls the backend with them."""
    called: list[Formula] = []

    class Noting(NumPyBackend):
        def map(self, formula: Formula, inputs: tuple[Any, ...], out: Any, **numbers: float) -> None:
            called.append(formula)
            super().map(formula, inputs, out, **numbers)

    b, (outputs, targets) = Noting(), _example(loss)
    targets = loss.prepared(b, loss.check(b, targets, outputs.shape), "float64")
    loss(b, outputs, targets, np.empty_like(outputs), Buffers(b, "float64"))
    return list(dict.fromkeys(called))


def _example(loss: Loss) -> tuple[Any, Any]:
    if not loss.classifies:
        return OUTPUTS, TARGETS
    return (LOGIT, SIDES) if loss.name == "binary_cross_entropy" else (LOGITS, LABELS)


def explain_loss(loss: str | Loss) -> LossExplanation:
    """Explain a loss: formula, gradient, and an example of two rows.

    Raises
    ------
    InputError: an unknown loss, or one of your own.

    >>> print(explain_loss("mean_squared_error").formula)
    L = mean((y − t)²)
    dy = 2 (y − t) / n
    """
    found = losses.get(loss)
    if losses.LOSSES.get(found.name) is not found:
        raise InputError(f"{found.name} is a loss of your own: only {' and '.join(FORMULAS)} can be explained")
    outputs, targets = _example(found)
    function = getattr(losses, found.name)
    value, gradient = function(outputs, targets)
    alone = tuple(function(outputs[k : k + 1], targets[k : k + 1])[0] for k in range(len(outputs)))
    entries = []
    for (row, column), output in np.ndenumerate(outputs):
        entry = {"row": row + 1}
        if found.name == "binary_cross_entropy":
            share = activations.ACTIVATIONS["sigmoid"](outputs)[row, column]
            entry |= {"z": output, "sigmoid(z)": share, "t": targets[row], "dz": gradient[row, column]}
        elif found.classifies:
            share = activations.ACTIVATIONS["softmax"](outputs)[row, column]
            entry |= {"class": column, "z": output, "softmax(z)": share, "t": column == targets[row]}
            entry["dz"] = gradient[row, column]
        else:
            target = targets[row, column]
            away = output - target
            each = {"(y - t)^2": away**2} if found.name == "mean_squared_error" else {"|y - t|": abs(away)}
            entry |= {"output": column + 1, "y": output, "t": target, **each}
            entry["dy"] = gradient[row, column]
        entries.append({name: float(number) for name, number in entry.items()})
    return LossExplanation(found.name, tuple(entries), alone, value)
