"""Several networks know more than one: ensembles on the bundled digits.

    python examples/ensembles.py

The probabilities of several networks are averaged. Two ways to get them: training from five initialisations, which
costs five times as much, and snapshots along one run of the same length as a single one, whose learning rate falls to
zero and rises again five times (Huang et al. 2017). Both are compared with a single network whose rate falls once.
Writes examples/figures/ensembles.png.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, cos, pi
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy import special

import optimlab as ol

DATA = ol.datasets.load("digits")
MEMBERS, BATCH, HIGHEST = 5, 32, 0.2
WAYS = {  # name, training it costs, colour of Okabe & Ito (2008)
    "initialisations": (f"{MEMBERS} initialisations", f"{MEMBERS} runs", "#0072B2"),
    "snapshots": ("snapshots of one run", "1 run", "#D55E00"),
}


def cosine(epochs: int) -> Callable[[int], float]:
    """A rate that falls from the highest to zero along half a cosine, every so many epochs anew."""
    cycle = epochs * ceil(len(DATA.x_train) / BATCH)
    return lambda step: HIGHEST * (1 + cos(pi * (step % cycle) / cycle)) / 2


def train(seed: int, epochs: int, cycle: int, callbacks: Sequence[Any] = ()) -> ol.Network:
    network = ol.MLP([64, 32, 10], seed=seed)
    optimizer = ol.Momentum(network.parameters, lr=cosine(cycle))
    options = dict(epochs=epochs, batch_size=BATCH, seed=seed, callbacks=callbacks, progress=False)
    ol.fit(network, optimizer, DATA, **options)
    return network


def score(networks: Sequence[ol.Network]) -> tuple[float, float]:
    """Test cross-entropy (nats) and accuracy (%) of an ensemble."""
    p = ol.Ensemble(networks).predict_proba(DATA.x_test).astype("float64")
    loss = -np.log(np.maximum(p[np.arange(len(p)), DATA.y_test], 1e-12)).mean()
    return float(loss), 100 * float((p.argmax(axis=1) == DATA.y_test).mean())


def run(repeat: int, epochs: int) -> dict[str, Any]:
    """Scores by number of members, shape ``(members, 2)``; snapshots are taken from the last one back."""
    networks = [train(MEMBERS * repeat + k, epochs, epochs) for k in range(MEMBERS)]
    cycle = epochs // MEMBERS
    keep = ol.Snapshots(every=cycle)
    train(MEMBERS * repeat, cycle * MEMBERS, cycle, [keep])
    return {
        "single": np.array([score([network]) for network in networks]),
        "initialisations": np.array([score(networks[:n]) for n in range(1, MEMBERS + 1)]),
        "snapshots": np.array([score(keep.networks[-n:]) for n in range(1, MEMBERS + 1)]),
    }


def interval(values: Any) -> Any:
    """Half of the 95% interval of the mean over the repeats, by Student's t."""
    n = len(values)
    return special.stdtrit(n - 1, 0.975) * values.std(axis=0, ddof=1) / n**0.5


def draw(scores: dict[str, Any], epochs: int) -> Figure:
    """Loss and accuracy against the number of members: mean over the repeats, and its 95% interval as bars."""
    repeats = len(scores["snapshots"])
    figure = Figure(figsize=(9.6, 4.3), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    members = np.arange(1, MEMBERS + 1)
    panels = figure.subplots(1, 2)
    for k, (axes, quantity) in enumerate(zip(panels, ("cross-entropy (nats)", "accuracy (%)"), strict=True)):
        single = scores["single"][..., k].mean()
        axes.axhline(single, color="#737373", linewidth=1.2, linestyle=(0, (4, 3)))
        ends = {}
        for way, (_, _, colour) in WAYS.items():
            values = scores[way][..., k]
            bar = interval(values)
            shift = 0.04 if way == "snapshots" else -0.04  # so that bars do not cover one another
            axes.errorbar(members + shift, values.mean(axis=0), bar, color=colour, marker="o", linewidth=2, capsize=3)
            ends[way] = values.mean(axis=0)[-1]
        axes.set(xlabel="networks in the ensemble", ylabel=f"test {quantity}", xlim=(0.7, MEMBERS + 0.3))
        axes.set_xticks(members)
        axes.set_title(quantity.partition(" (")[0].capitalize() + (": lower is better", ": higher is better")[k],
                       fontsize=10, loc="left")  # fmt: skip
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E6E6E6", linewidth=0.6)
        axes.set_axisbelow(True)
        for (name, cost, colour), value in zip(WAYS.values(), ends.values(), strict=True):
            axes.annotate(f"{name}\n({cost})", (MEMBERS + 0.15, value), xytext=(4, 0), textcoords="offset points",
                          color=colour, fontsize=9, va="center", annotation_clip=False)  # fmt: skip
        axes.annotate("a single network", (MEMBERS + 0.3, single), xytext=(-2, 3), textcoords="offset points",
                      color="#737373", fontsize=9, ha="right")  # fmt: skip
    figure.suptitle(
        f"Ensembles on {len(DATA.x_test)} test digits: MLP 64-32-10, a run is {epochs} epochs; "
        f"mean of {repeats} repeats, bars: its 95% interval",
        fontsize=10,
    )
    return figure


def show(scores: dict[str, Any]) -> None:
    table = Table(title=f"Test set: mean ± standard deviation over {len(scores['snapshots'])} repeats")
    for column in ("", "training", "accuracy %", "cross-entropy (nats)"):
        table.add_column(column, justify="left" if column in ("", "training") else "right")
    rows = [("one network", "1 run", scores["single"].reshape(-1, 2))]
    rows.append(("last snapshot alone", "1 run", scores["snapshots"][:, 0]))
    rows += [(name, cost, scores[way][:, -1]) for way, (name, cost, _) in WAYS.items()]
    for name, cost, values in rows:
        (loss, accuracy), (loss_std, accuracy_std) = values.mean(axis=0), values.std(axis=0)
        table.add_row(name, cost, f"{accuracy:.2f} ±{accuracy_std:.2f}", f"{loss:.3f} ±{loss_std:.3f}")
    Console().print(table)


def main(epochs: int = 40, repeats: int = 10, folder: str | Path = Path(__file__).parent / "figures") -> dict[str, Any]:
    """Train, print, draw; returns the scores: shape ``(repeats, members, 2)``, of loss and accuracy."""
    runs = [run(repeat, epochs) for repeat in range(repeats)]
    scores = {way: np.array([r[way] for r in runs]) for way in runs[0]}
    show(scores)
    path = Path(folder) / "ensembles.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    # without the version of Matplotlib in it the file is the same each time
    draw(scores, epochs).savefig(path, dpi=130, metadata={"Software": None})
    return scores


if __name__ == "__main__":
    main()
