"""The README's numbers are those of the committed results."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ROWS = {  # in the README: in the page of results, and the heading it stands under
    "SGD 0.001": ("SGD 0.001", "Four optimizers"),
    "momentum 0.001": ("momentum 0.001", "Four optimizers"),
    "RMSProp 0.001": ("RMSProp 0.001", "Four optimizers"),
    "Adam 0.001": ("Adam 0.001", "Four optimizers"),
    "momentum, rate cut in steps": ("step", "Two schedules"),
    "momentum, cyclic rate": ("cyclic", "Two schedules"),
    "momentum, really normalised": ("really normalised", "Normalised inputs"),
    "momentum, batch norm": ("momentum + batch norm", "Batch norm"),
}
SPEEDS = {
    "matrix products and one copy of the update's bytes": "floor + copy of the update's bytes",
    "**optimlab, compiled**": "optimlab, numba",
    "JAX, the whole epoch in one jitted scan": "JAX, one scan an epoch",
    "**optimlab, plain NumPy**": "optimlab, numpy",
    "PyTorch, fused Adam": "PyTorch fused",
    "PyTorch, default Adam": "PyTorch default",
    "scikit-learn": "scikit-learn",
}


def cells(text, name, bar="|"):
    """What stands in the row of that name."""
    found = re.search(rf"^[{bar}] {re.escape(name)} +[{bar}](.*)[{bar}]", text, re.MULTILINE)
    assert found, name
    return [cell.strip().strip("*") for cell in found[1].split(bar)]


@pytest.mark.parametrize("name", ROWS)
def test_accuracies_on_cifar(name):
    row, heading = ROWS[name]
    page = (ROOT / "benchmarks" / "results" / "README.md").read_text()
    section = next(part for part in page.split("\n## ") if part.startswith(heading))
    ours, torch, document = cells(README, name)
    assert [ours, torch, document.replace("never run", "–")] == cells(section, row)[:3]


@pytest.mark.parametrize("name", SPEEDS)
def test_epochs_in_milliseconds(name):
    printed = (ROOT / "benchmarks" / "results" / "epyc-zen4-one-core.txt").read_text()
    networks = [part for part in re.split(r"\n(?=\S*-\S+, batch)", printed) if "training with Adam" in part[:80]]
    measured = [round(float(cells(part, SPEEDS[name], "│")[1].replace(",", ""))) for part in networks]
    assert [int(cell) for cell in cells(README, name)] == measured
