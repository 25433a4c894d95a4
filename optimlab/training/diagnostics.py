"""Diagnostics of training health, measured on a few steps of each epoch and summarized in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import InputError, count
from ..common.markup import Html, bullets, together
from ..common.tables import Column, Table
from ..common.views import view
from ..kernels import mentions
from ..nn.layers import Activate
from ..nn.network import Network
from ..optim.optimizers import Optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEALTHY = 1e-3
"""The usual range of the ratio of a step's length to the weights' norm."""

TOO_FAST, TOO_SLOW = 0.05, 1e-6
DEAD, GAP, RULED = 0.5, 0.1, 0.5

SAMPLE = 1000
"""Number of weights sampled to estimate epsilon's share."""


@dataclass(frozen=True)
class Measurement:
    """Measurements of one step.

    Attributes
    ----------
    step: number of the update, from 1.
    update_ratio: per weight matrix, ``||w_new - w_old|| / ||w_old||``.
    gradient_norm: per parameter.
    dead: per elementwise activation layer, the share of units whose derivative was 0 for every row of the batch. No
        gradient passes through them. For ReLU these are the units that output 0 for every row. A unit of LeakyReLU or
        ELU with only negative outputs is not dead.
    activation: per activation layer, mean and standard deviation of its outputs.
    eps_ruled: in a sample of the weights, the share for which epsilon exceeds the second moment in the denominator;
        None for a rule without epsilon in a denominator.
    """

    step: int
    update_ratio: dict[str, float]
    gradient_norm: dict[str, float]
    dead: dict[str, float]
    activation: dict[str, tuple[float, float]]
    eps_ruled: float | None


@dataclass
class Diagnostics:
    """A callback of ``fit`` that measures one step in ``every``.

    It measures step ``every`` first. At the step before each measurement it copies the weights, to measure their
    change.

    Attributes
    ----------
    measurements: one per measured step.
    gaps: training minus validation accuracy, for each epoch; empty without accuracies.

    Raises
    ------
    InputError: ``every`` is not a whole number of at least 2.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> watch = Diagnostics(every=10)
    >>> history = ol.fit(net, ol.SGD(net.parameters, lr=3.0), data, epochs=2, callbacks=[watch])
    >>> [m.step for m in watch.measurements]
    [10, 20, 30]
    >>> print(watch.verdict())
    9...% of the units of activation1 are dead: their derivative is zero for every row of a batch
    """

    every: int = 50
    measurements: list[Measurement] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    _steps: int = 0
    _before: Any = None

    def __post_init__(self) -> None:
        if count("every", self.every) < 2:
            raise InputError(f"every must be at least 2, to copy the weights before a measured step; got {self.every}")

    @property
    def gap(self) -> float | None:
        """The last of ``gaps``; None if there are none."""
        return self.gaps[-1] if self.gaps else None

    def on_begin(self, network: Network, optimizer: Optimizer, history: Any) -> None:
        """Forget earlier runs. ``fit`` calls this before the first step."""
        self.measurements, self.gaps = [], []
        self._steps, self._before = 0, None

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        """Measure the step if it is due. ``fit`` calls this after each update."""
        self._steps += 1
        if (self._steps + 1) % self.every == 0:
            if self._before is None:
                self._before = network.parameters.data.copy()
            else:
                self._before[...] = network.parameters.data
        elif self._steps % self.every == 0:
            self.measurements.append(measure(network, optimizer, self._before, self._steps))

    def state(self) -> dict[str, Any]:
        """Return the state that :class:`optimlab.Checkpoint` stores."""
        measured = [asdict(m) for m in self.measurements]
        before = {} if self._before is None else {"before": self._before}
        return {"steps": self._steps, "gaps": self.gaps, "measurements": measured, **before}

    def load(self, state: dict[str, Any], network: Network) -> None:
        """Continue from :meth:`state`."""
        self._steps, self.gaps = state["steps"], list(state["gaps"])
        self.measurements = [
            Measurement(**{**m, "activation": {k: tuple(v) for k, v in m["activation"].items()}})
            for m in state["measurements"]
        ]
        self._before = state["before"].copy() if "before" in state else None

    def __call__(self, network: Network, optimizer: Optimizer, history: Any) -> None:
        if history.train_accuracy and history.val_accuracy:
            self.gaps.append(history.train_accuracy[-1] - history.val_accuracy[-1])

    def plot(self) -> Figure:
        """Draw the measured update ratios, dead units, and the gap between training and validation accuracy.

        Raises
        ------
        InputError: nothing was measured, because the run was shorter than ``every`` steps.
        """
        figure: Figure = view("diagnostics figure", self)
        return figure

    def __repr__(self) -> str:
        looked = f"{len(self.measurements)} steps measured, one in {self.every}"
        return "\n  ".join([f"<Diagnostics: {looked}", *self.verdict().splitlines()]) + ">"

    def _repr_html_(self) -> str:
        last = self.measurements[-1] if self.measurements else None
        columns = [Column("layer", "name"), Column("update ratio"), Column("gradient, norm"), Column("dead units")]
        rows = []
        if last is not None:
            layers = dict.fromkeys(name.partition(".")[0] for name in last.gradient_norm) | dict.fromkeys(last.dead)
            for layer in layers:
                weights = f"{layer}.W"
                ratio, gradient, dead = (
                    table.get(key)
                    for table, key in ((last.update_ratio, weights), (last.gradient_norm, weights), (last.dead, layer))
                )
                numbers = ["" if value is None else f"{value:.2g}" for value in (ratio, gradient)]
                rows.append([layer, *numbers, "" if dead is None else f"{dead:.0%}"])
        title = f"Step {last.step}, the last of {len(self.measurements)} measured" if last else ""
        table = Table(columns, [row for row in rows if any(row[1:])], title)
        return together(bullets(self.verdict().splitlines()), Html(table._repr_html_()) if rows else "")

    def verdict(self) -> str:
        """Return the findings of the second half of the measurements, one per line, or "nothing stands out"."""
        recent = self.measurements[len(self.measurements) // 2 :]
        lines = [line for finding in _FINDINGS for line in finding(recent)]
        if self.gap is not None and self.gap > GAP:
            lines.append(
                f"training accuracy is {100 * self.gap:.0f} points above validation: "
                "the network overfits; more data, dropout or weight decay would help"
            )
        return "\n".join(lines) or ("nothing stands out" if recent else "nothing was measured")


def measure(network: Network, optimizer: Optimizer, before: Any, step: int) -> Measurement:
    """Measure the last step; ``before`` is the flat array of weights before it."""
    xp = network.backend.xp
    ratio = update_ratios(network, before)
    gradient = {p.name: norm(xp, p.grad) for p in network.parameters if not p.frozen}
    dead, activation = {}, {}
    for layer in network.layers:
        if isinstance(layer, Activate):
            y = layer._y
            activation[layer.name] = (float(y.mean()), float(y.std()))
            if layer.activation.elementwise:
                dead[layer.name] = float((_slopes(layer) == 0).all(axis=0).mean())
    return Measurement(step, ratio, gradient, dead, activation, _eps_ruled(network, optimizer, before))


def _slopes(layer: Activate) -> Any:
    """Return the derivative of the activation for each row and unit of the last training pass."""
    f, b, slopes = layer.activation, layer.backend, layer.backend.xp.ones_like(layer._y)
    arrays = {"x": layer._x, "y": layer._y, "dy": slopes}
    with b.quiet():
        b.map(f.backward, tuple(arrays[name] for name in f.needs), slopes, **dict(f.parameters))
    return slopes


def update_ratios(network: Network, before: Any, replica: Any = ...) -> dict[str, float]:
    """Return ``||w_new - w_old|| / ||w_old||`` of every weight matrix that is trained and was not zero.

    ``before`` is the flat array of the old weights. ``replica`` is the index of one network in a stack made by
    :func:`optimlab.training.replicas.stack`.
    """
    xp, found = network.backend.xp, {}
    for p in network.parameters:
        if p.kind == "weights" and not p.frozen:
            old = p.view(before)[replica]
            if (size := norm(xp, old)) > 0:
                found[p.name] = norm(xp, p.data[replica] - old) / size
    return found


def update_ratios_of_replicas(network: Network, before: Any) -> list[dict[str, float]]:
    """Return :func:`update_ratios` of each replica of a stack, measured together."""
    backend, found = network.backend, [dict[str, float]() for _ in before]
    for p in network.parameters:
        if p.kind == "weights":
            old = p.view(before)
            sizes, steps = (backend.to_numpy(norms(backend.xp, a)) for a in (old, p.data - old))
            for ratios, size, step in zip(found, sizes.tolist(), steps.tolist(), strict=True):
                if size > 0:
                    ratios[p.name] = step / size
    return found


def norm(xp: Any, array: Any) -> float:
    """Return the Euclidean norm of all entries."""
    flat = array.reshape(-1)
    return float(xp.sqrt(xp.vdot(flat, flat)))


def norms(xp: Any, arrays: Any) -> Any:
    """Return :func:`norm` of each array of a stack, on the CPU with the same bits."""
    flat = arrays.reshape(len(arrays), 1, -1)
    return xp.sqrt(xp.matmul(flat, flat.swapaxes(1, 2)))[:, 0, 0]


def _eps_ruled(network: Network, optimizer: Optimizer, before: Any) -> float | None:
    """Return epsilon's share, from the rule's graph evaluated on a sample with and without epsilon.

    The state is from after the step, one step newer than the state the step used. This hardly affects a share.
    """
    graph = optimizer.graph
    if graph is None or "eps" not in optimizer.used:
        return None
    divisions = [n for n in graph.nodes if n.op == "divide" and mentions(graph, n.args[1], "eps")]
    if not divisions:
        return None
    size = network.parameters.data.size
    some = slice(None, None, max(1, size // SAMPLE))
    to_numpy = network.backend.to_numpy
    arrays = {"w": before, "g": network.parameters.grad, **optimizer.state}
    arrays = {name: to_numpy(a[some]).astype("float64") for name, a in arrays.items()}
    # skip frozen parameters; parameters frozen earlier may have made fewer steps than the others
    made = np.repeat(
        [0 if p.frozen else optimizer.steps(p) for p in network.parameters], [p.size for p in network.parameters]
    )[some]
    ruled = np.zeros(len(divisions))
    for t in np.unique(made[made > 0]):
        part = {name: a[made == t] for name, a in arrays.items()}
        with np.errstate(all="ignore"):
            whole = graph.values(part, graph.scalars(t=int(t), **optimizer.used))
            rest = graph.values(part, graph.scalars(t=int(t), **{**optimizer.used, "eps": 0.0}))
            ruled += [len(part["w"]) * np.mean(rest[n.args[1]] < 0.5 * whole[n.args[1]]) for n in divisions]
    return float(ruled.max() / max(1, (made > 0).sum()))


def _speed(recent: list[Measurement]) -> list[str]:
    lines = []
    for name in recent[-1].update_ratio if recent else []:
        ratio = median(m.update_ratio[name] for m in recent if name in m.update_ratio)
        layer = name.partition(".")[0]
        if ratio > TOO_FAST:
            told = "the learning rate is too high"
        elif ratio < TOO_SLOW:
            told = "the learning rate is too low, or the gradient does not reach it"
        else:
            continue
        lines.append(f"{layer} moves {100 * ratio:.2g}% of its norm per step: {told}; {100 * HEALTHY:g}% is healthy")
    return lines


def _deaths(recent: list[Measurement]) -> list[str]:
    shares = {name: median(m.dead[name] for m in recent) for name in (recent[-1].dead if recent else {})}
    return [
        f"{100 * share:.0f}% of the units of {name} are dead: their derivative is zero for every row of a batch"
        for name, share in shares.items()
        if share > DEAD
    ]


def _epsilon(recent: list[Measurement]) -> list[str]:
    shares = [m.eps_ruled for m in recent if m.eps_ruled is not None]
    if not shares or median(shares) <= RULED:
        return []
    share = f"{100 * median(shares):.0f}%"
    return [f"epsilon dominates the steps of {share} of the weights: it is larger than their gradients"]


_FINDINGS = (_speed, _deaths, _epsilon)

__all__ = ["Diagnostics", "Measurement", "measure"]
