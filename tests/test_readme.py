"""Sentences in two places are the same: the numbers of the pages and the committed results, the lowest versions."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.version import Version

from optimlab.cli import main

ROOT = Path(__file__).parents[1]
SPEED = (ROOT / "docs" / "speed.md").read_text()
DOCUMENTS = (ROOT / "docs" / "documents.md").read_text()
ROWS = {  # in docs/documents.md: in the page of results, and the heading it stands under
    "SGD 0.001": ("SGD 0.001", "Four optimizers"),
    "momentum 0.001": ("momentum 0.001", "Four optimizers"),
    "RMSProp 0.001": ("RMSProp 0.001", "Four optimizers"),
    "Adam 0.001": ("Adam 0.001", "Four optimizers"),
    "momentum, rate cut in steps": ("step", "Two schedules"),
    "momentum, cyclic rate": ("cyclic", "Two schedules"),
    "momentum, really normalized": ("really normalised", "Normalised inputs"),
    "momentum, batch norm": ("momentum + batch norm", "Batch norm"),
}
SPEEDS = {
    "matrix products and one copy of the update's bytes": "floor + copy of the update's bytes",
    "**optimlab, compiled**": "optimlab, compiled",
    "JAX, the whole epoch in one jitted scan": "JAX, one scan an epoch",
    "**optimlab, plain NumPy**": "optimlab, numpy",
    "PyTorch, fused Adam": "PyTorch fused",
    "PyTorch, default Adam": "PyTorch default",
    "scikit-learn": "scikit-learn",
}


def test_the_lowest_versions_are_those_that_setup_cfg_accepts():
    """``make lowest`` runs all tests with them."""
    required = re.sub(r"^docs =\n(    .*\n)+", "", (ROOT / "setup.cfg").read_text(), flags=re.MULTILINE)
    accepted = re.findall(r"^    ([\w-]+)>=([\d.]+)(?:;.*)?$", required, re.MULTILINE)
    tested = re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests" / "lowest.txt").read_text(), re.MULTILINE)
    others = {"ruff", "mypy", "build", "pyparsing"}  # of no test; of matplotlib
    versions = [{name: Version(v) for name, v in found if name not in others} for found in (accepted, tested)]
    assert versions[0] == versions[1]


def cells(text, name, bar="|"):
    """Return the cells in the row of that name."""
    found = re.search(rf"^[{bar}] {re.escape(name)} +[{bar}](.*)[{bar}]", text, re.MULTILINE)
    assert found, name
    return [cell.strip().strip("*") for cell in found[1].split(bar)]


@pytest.mark.parametrize("name", ROWS)
def test_accuracies_on_cifar(name):
    row, heading = ROWS[name]
    page = (ROOT / "benchmarks" / "results" / "README.md").read_text()
    section = next(part for part in page.split("\n## ") if part.startswith(heading))
    ours, torch, document = cells(DOCUMENTS, name)
    assert [ours, torch, document.replace("never run", "–")] == cells(section, row)[:3]


@pytest.mark.parametrize(
    ("name", "row"),
    [("after 10 epochs", "Adam 0.00015, 10 epochs"),
     ("early stopping", "Adam 0.00015, early stopping"),
     ("plateau and early stopping", "plateau x0.317, patience 5, early stopping")],
)  # fmt: skip
def test_accuracies_on_fashion_mnist(name, row):
    page = (ROOT / "benchmarks" / "results" / "README.md").read_text()
    section = next(part for part in page.split("\n## ") if "Fashion-MNIST" in part.split("\n")[0])
    measured = [cells(section, f"{row} | {engine}")[2] for engine in ("optimlab", "PyTorch")]
    assert cells(DOCUMENTS, name)[:2] == measured


def epochs(threads):
    """The table of each network in the printed report of ``benchmarks/speed.py``."""
    printed = (ROOT / "benchmarks" / "results" / "epyc-zen3.txt").read_text()
    parts = re.split(r"\n(?=\S*-\S+, batch)", printed)
    return [part for part in parts if re.search(rf"{threads} threads?: training with Adam", part[:80])]


@pytest.mark.parametrize("name", SPEEDS)
def test_epochs_in_milliseconds(name):
    rows = [cells(network, SPEEDS[name], "│") for network in epochs(1)]
    assert [int(cell) for cell in cells(SPEED, name)] == [round(float(row[1].replace(",", ""))) for row in rows]


def ratios(threads, engine, name):
    """Its time as a share of ours, on each network: median and quartiles, as they are printed."""
    column = 2 if engine == "numpy" else 3
    return [cells(network, name, "│")[column] for network in epochs(threads)]


def said(pattern):
    pattern = pattern.replace("RATIO", r"([0-9.]+ \([0-9.]+-[0-9.]+\))").replace("NUMBER", r"([0-9.]*[0-9])")
    return [" ".join(found.split()) for found in re.search(pattern.replace(" ", r"\s+"), SPEED).groups()]


def test_how_near_the_others_are_on_one_core():
    jax = ratios(1, "compiled", "JAX, one scan an epoch")
    assert said("JAX takes RATIO and RATIO of the compiled engine's time") == jax
    torch = ratios(1, "numpy", "PyTorch fused")
    assert said("PyTorch with fused Adam takes RATIO and RATIO of the time") == torch


def test_how_near_jax_is_on_two_cores():
    assert said("JAX takes RATIO and RATIO of our time") == ratios(2, "compiled", "JAX, one scan an epoch")


def small():
    """The printed tables of activations and small steps."""
    return (ROOT / "benchmarks" / "results" / "xeon-small.txt").read_text()


def test_how_near_the_others_are_for_every_activation():
    least, median = (cells(small(), name, "│") for name in ("least", "median"))
    text = "JAX takes at least NUMBER and in the median NUMBER of the compiled engine's time, PyTorch NUMBER and NUMBER"
    assert said(text) == [least[5], median[5], least[4], median[4]]
    rows = [float(row) for row in re.findall(r"^│ \w+, [\w ]+ +│(?:[^│]*│){6} +([0-9.]+) │", small(), re.MULTILINE)]
    assert said("PyTorch takes NUMBER to NUMBER, in the median NUMBER") == [least[6], f"{max(rows):.2f}", median[6]]


def test_small_steps_and_the_sweep():
    sweep = (ROOT / "benchmarks" / "results" / "xeon-sweep.txt").read_text()
    steps = {(r, n): v for r, n, v in re.findall(r"^│ (sgd|adam) +│ ([\w, ]+?) +│[^│]*│ +([0-9.]+) \(", small(), re.M)}
    ours, jax = ([steps[rule, name] for rule in ("sgd", "adam")] for name in ("optimlab, compiled", "JAX, one scan"))
    assert said("step takes NUMBER \\(SGD\\) and NUMBER \\(Adam\\) times") == ours
    assert said("JAX takes NUMBER and NUMBER times as long") == jax
    shares = dict(re.findall(r"^│ (\w+, \d+ runs) +│ JAX[^│]+│[^│]+│ +([0-9.]+) \(", sweep, re.M))
    text = "trains NUMBER \\(SGD\\) and NUMBER \\(Adam\\) in a sweep of 27 runs, and NUMBER and NUMBER in one of 108"
    assert said(text) == [shares[f"{rule}, {runs} runs"] for runs in (27, 108) for rule in ("sgd", "adam")]


def test_whole_processes():
    found = (ROOT / "benchmarks" / "results" / "xeon-compare.txt").read_text()
    cores = {n: cells(found, name, "│") for n, name in ((1, "1 core"), (2, "2 cores"))}
    ours = {n: f"{float(found[0].split()[0]):.1f}" for n, found in cores.items()}
    ratio = {n: found[-1].split()[0] for n, found in cores.items()}
    text = "takes NUMBER s on one core and NUMBER s on two, NUMBER and NUMBER of the time of commit"
    assert said(text) == [ours[1], ours[2], ratio[1], ratio[2]]
    later, first = (cells(found, name, "│")[0] for name in ("later", "first"))
    assert said("for an epoch takes NUMBER s, and NUMBER s where no kernels") == [later, first]


def test_how_long_it_takes_to_begin():
    """Both columns of the table are rounded: their sum may be off by one hundredth."""
    printed = (ROOT / "benchmarks" / "results" / "epyc-zen3.txt").read_text()
    names = ["optimlab, compiled, kept", "PyTorch fused", "JAX", "optimlab, compiled, first time"]
    table = printed[printed.index("how long it takes to begin") :]
    measured = [sum(map(float, cells(table, name, "│"))) for name in names]
    pattern = "first step after NUMBER s \\(PyTorch: NUMBER, JAX: NUMBER\\), only the very first after NUMBER\\."
    assert [float(number) for number in said(pattern)] == pytest.approx(measured, abs=0.011)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_an_empty_folder(tmp_path, monkeypatch):
    """In their order, as they stand; ``make compare`` runs the first of all in CI's script."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.partition("#")[0].split() for block in blocks for line in block.splitlines()]
    commands = [words[1:] for words in lines if words[:1] == ["optimlab"]]
    monkeypatch.chdir(tmp_path)
    for arguments in commands:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, (arguments, result.output)
    assert {path.name for path in tmp_path.iterdir()} == {"four", "swish.png"}


def without_times(printed):
    """Lines of the printed comparison, without the time per step: the number before the bytes at the end of a row."""
    return [re.sub(r" +\d+( +\d+)$", r"\1", line.rstrip()) for line in printed.splitlines() if line.strip()]


@pytest.mark.slow
def test_the_comparison_prints_the_numbers_of_the_pages(tmp_path):
    """With OpenBLAS's kernels for Haswell, as ``make docs``: others round differently."""
    settings = os.environ | {"OPENBLAS_CORETYPE": "Haswell", "COLUMNS": "80"}
    command = [sys.executable, "-m", "optimlab", "compare", "--out", str(tmp_path / "comparison")]
    result = subprocess.run(command, env=settings, capture_output=True, text=True, cwd=tmp_path, check=True)
    summary = json.loads((tmp_path / "comparison" / "summary.json").read_text())
    (blas,) = (name for name in summary["host"]["blas"] if "onednn" not in name)
    if not re.fullmatch(r"openblas 0\.3\.31\.\S+ Haswell", blas):
        pytest.skip(f"the pages were made with OpenBLAS 0.3.31 and its kernels for Haswell; this is {blas}")
    page = (ROOT / "docs" / "comparison.md").read_text()
    expected = re.search(r"```text\n(digits, .*?)```", page, re.DOTALL)[1]
    assert without_times(result.stdout.partition("\nWritten to")[0]) == without_times(expected)
