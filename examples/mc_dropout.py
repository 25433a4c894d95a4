"""A network that says when it does not know: Monte Carlo dropout on the bundled digits.

    python examples/mc_dropout.py

With dropout left on, each pass through a trained network answers a little differently. The entropy of the mean of many
passes is small where the network is right, larger where it is wrong, and larger on digits upside down and on noise. So
the images to check by hand are the most uncertain ones. But a low entropy proves nothing: digits turned by a quarter
are all taken for one class, with no doubt. Writes examples/figures/mc_dropout.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import optimlab as ol

DATA = ol.datasets.load("digits")
# nothing is chosen here, so that the validation rows are as fresh as the test rows
X, Y = np.concatenate([DATA.x_val, DATA.x_test]), np.concatenate([DATA.y_val, DATA.y_test])
KINDS = {
    "right": ("digits, answered right", "#0072B2"),  # Okabe & Ito (2008)
    "wrong": ("digits, answered wrong", "#D55E00"),
    "upside down": ("digits upside down", "#009E73"),
    "noise": ("uniform noise", "#CC79A7"),
    "quarter": ("digits turned by a quarter", "#737373"),
}
LOOKED_AT = 0.1


def strangers() -> dict[str, Any]:
    """Images unlike the training data: the held-out digits turned by half and by a quarter, and as many of noise."""
    turned = [np.rot90(X.reshape(-1, 8, 8), quarters, axes=(1, 2)).reshape(X.shape) for quarters in (2, 1)]
    noise = np.random.default_rng(0).uniform(size=X.shape).astype(X.dtype)
    return {"upside down": turned[0], "noise": noise, "quarter": turned[1]}


def run(seed: int, epochs: int, samples: int) -> dict[str, Any]:
    """Entropies of one network's answers by kind of image, and its errors from the most uncertain row on."""
    network = ol.MLP([64, 100, 10], dropout=0.5, seed=seed)
    ol.fit(network, ol.Adam(network.parameters, lr=0.003), DATA, epochs=epochs, seed=seed, progress=False)
    answer = ol.mc_predict(network, X, samples, seed)
    right = answer.mean.argmax(axis=1) == Y
    found = {"right": answer.entropy[right], "wrong": answer.entropy[~right]}
    for kind, images in strangers().items():
        strange = ol.mc_predict(network, images, samples, seed)
        found[kind] = strange.entropy
        if kind == "quarter":
            found["classes"] = strange.mean.argmax(axis=1)
    return found | {"errors": ~right[np.argsort(-answer.entropy, kind="stable")]}


def draw(found: dict[str, Any], caught: Any, commonest: str, networks: int) -> Figure:
    """Left: how entropy is distributed for each kind of image. Right: the errors among the most uncertain images."""
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    panels = left.subplots(len(KINDS), 1, sharex=True)
    highest = np.log(10)
    for axes, (kind, (name, colour)) in zip(panels, KINDS.items(), strict=True):
        values = found[kind]
        text = f"{name}\nmean {values.mean():.2f} nats" + (f"\n{commonest}" if kind == "quarter" else "")
        share = np.full(len(values), 100 / len(values))
        axes.hist(values, bins=np.linspace(0, highest, 25), weights=share, color=colour)
        axes.axvline(values.mean(), color="#333333", linewidth=1.2, linestyle=(0, (3, 2)))
        axes.text(1, 0.95, text, color=colour, fontsize=9, ha="right", va="top", transform=axes.transAxes)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel(f"entropy of the answer (nats; 0: sure, {highest:.2f}: no idea)")
    left.supylabel("share of the images (%)", fontsize=10)
    panels[0].set_title("How unsure the network is (dashed: mean)", fontsize=10, loc="left")
    axes = right.subplots()
    looked = 100 * np.arange(len(caught) + 1) / len(caught)
    axes.plot(looked, 100 * np.concatenate([[0], caught]), color=KINDS["wrong"][1], linewidth=2.4)
    axes.plot([0, 100], [0, 100], color="#737373", linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(55, 50, "in random order", color="#737373", fontsize=9)
    at = 100 * caught[round(LOOKED_AT * len(caught)) - 1]
    axes.plot([100 * LOOKED_AT], [at], "o", color=KINDS["wrong"][1])
    axes.annotate(
        f"the {LOOKED_AT:.0%} most uncertain hold\n{at:.0f}% of the errors",
        (100 * LOOKED_AT, at), xytext=(12, -14), textcoords="offset points", color=KINDS["wrong"][1], fontsize=9,
    )  # fmt: skip
    axes.set(xlabel="images checked, most uncertain first (%)", ylabel="errors found (%)", xlim=(0, 100), ylim=(0, 103))
    axes.set_title("What checking the unsure answers finds", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    figure.suptitle(
        f"Monte Carlo dropout on {len(X)} held-out digits: MLP 64-100-10, dropout 0.5, answers of {networks} networks",
        fontsize=10,
    )
    return figure


def commonest_class(classes: Any) -> str:
    """How often the most frequent answer was given."""
    counts = np.bincount(classes)
    return f"{counts.max() / counts.sum():.0%} taken for a {counts.argmax()}"


def show(found: dict[str, Any], caught: float, commonest: str) -> None:
    table = Table(title="Entropy of the answers (nats)")
    for column in ("images", "answers", "mean", "median"):
        table.add_column(column, justify="left" if column == "images" else "right")
    for kind, (name, _) in KINDS.items():
        values = found[kind]
        table.add_row(name, f"{len(values)}", f"{values.mean():.3f}", f"{np.median(values):.3f}")
    Console().print(table, f"The {LOOKED_AT:.0%} most uncertain digits hold {caught:.0%} of the errors.")
    Console().print(f"Digits turned by a quarter: {commonest}.")


def main(
    epochs: int = 40,
    seeds: Sequence[int] = range(5),
    samples: int = 50,
    folder: str | Path = Path(__file__).parent / "figures",
) -> dict[str, Any]:
    """Train, print, draw; returns the entropies by kind of image, and ``"caught"``: the share of all errors among the
    most uncertain tenth."""
    runs = [run(seed, epochs, samples) for seed in seeds]
    found = {kind: np.concatenate([r[kind] for r in runs]) for kind in KINDS}
    commonest = commonest_class(np.concatenate([r["classes"] for r in runs]))
    errors = np.sum([r["errors"] for r in runs], axis=0)
    caught = np.cumsum(errors) / max(errors.sum(), 1)
    tenth = float(caught[round(LOOKED_AT * len(caught)) - 1])
    show(found, tenth, commonest)
    path = Path(folder) / "mc_dropout.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    # without the version of Matplotlib in it the file is the same each time
    draw(found, caught, commonest, len(runs)).savefig(path, dpi=130, metadata={"Software": None})
    return found | {"caught": tenth}


if __name__ == "__main__":
    main()
