"""Write results/README.md from the results beside it: every figure of the source documents next to the measured one.

    python benchmarks/make_page.py

No number on the page is typed in. An experiment whose JSON file is not there is left out, and named.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import common

from optimlab.common.files import write_atomically

Row = Sequence[str]


def cifar10(result: dict[str, Any]) -> list[str]:
    rows = []
    for row in result["rows"]:
        ours, theirs, document = row.get("optimlab"), row.get("PyTorch"), row["document"]
        rows.append(
            (row["name"], percent(ours, len(result["seeds"])), percent(theirs, len(result["seeds"])),
             f"{100 * document['best']:.2f}" if document else "–",
             common.plus_minus(ours["final_train_loss"]) if ours else "–",
             common.plus_minus(theirs["final_train_loss"]) if theirs else "–",
             f"{document['train_loss'][-1]:.3f}" if document else "–")
        )  # fmt: skip
    head = ("", "best validation accuracy %: optimlab", "PyTorch", "document", "training loss at the end: optimlab",
            "PyTorch", "document")  # fmt: skip
    return table(head, rows)


def percent(engine: dict[str, Any] | None, seeds: int) -> str:
    of = engine and engine["val_accuracy"]
    return common.percent(of) + common.of_fewer(of, seeds) if of else "–"


def plateau(result: dict[str, Any]) -> list[str]:
    return table(
        ("", "", "best validation accuracy %", "its test accuracy %", "validation loss at the end"),
        [
            (f["name"], f["engine"], common.percent(f["val_accuracy"]), common.percent(f["test_accuracy"]),
             common.plus_minus(f["final_val_loss"], digits=4))
            for f in result["rows"]
        ],
    )  # fmt: skip


def wide_mlp(result: dict[str, Any]) -> list[str]:
    rows = []
    for f in result["rows"]:
        cells = [f["name"], f["engine"]]
        for quantity, short in (("val_accuracy", "val"), ("test_accuracy", "test"), ("again_accuracy", "again")):
            found = f.get(quantity)
            text = "–" if found is None else f"{100 * found['mean']:.2f}"
            cells.append(common.percent(found) if found and "low" in found else text)
            cells.append(f"{100 * f['document'][short]:.2f}" if f["document"] else "–")
        rows.append(cells)
    head = ("", "", "validation %", "document", "test %", "document", "trained on all but test: test %", "document")
    return table(head, rows)


def rmsprop(result: dict[str, Any]) -> list[str]:
    rows = []
    for f in result["rows"]:
        cells = [f["name"]]
        for engine in ("optimlab", "PyTorch"):
            of = f.get(engine)
            cells += [common.plus_minus(of), f"{of['median']:.3f}"] if of else ["–", "–"]
        rows.append(cells)
    return table(("", "optimlab: mean", "median", "PyTorch: mean", "median"), rows)


def batchnorm(result: dict[str, Any]) -> list[str]:
    return table(
        ("", "test accuracy % at the end", "one unit's inputs: range of the median, by seed",
         "largest spread / smallest, by seed"),
        [
            (f["name"], common.percent(f["test_accuracy"]),
             *(", ".join(f"{value:.1f}" for value in f[quantity]) for quantity in ("median_range", "spread_ratio")))
            for f in result["rows"]
        ],
    )  # fmt: skip


def dropout(result: dict[str, Any]) -> list[str]:
    return table(
        ("", "test error %", "95% interval", "paper", "updates", "share of the paper's updates"),
        [
            (f["name"], f"{100 * f['test_error']['mean']:.2f}",
             f"{100 * f['test_error']['low']:.2f} to {100 * f['test_error']['high']:.2f}", f"{100 * f['paper']:.2f}",
             f"{f['updates']:,}", f"{f['updates'] / 1e6:.1%}")
            for f in result["rows"]
        ],
    )  # fmt: skip


def speed_quality(result: dict[str, Any]) -> list[str]:
    return table(
        ("", "document: speed", "epochs to 95%", "document: quality", "test accuracy %", "learning rate (median)"),
        [
            (f["optimizer"], f["words"][0],
             common.plus_minus(f["epochs_to_target"], digits=1), f["words"][1], common.percent(f["test_accuracy"]),
             f"{f['lr']['median']:.2g}")
            for f in result["rows"]
        ],
    )  # fmt: skip


def ensembles(result: dict[str, Any]) -> list[str]:
    rows = [(f["name"], common.percent(f["accuracy"]), common.plus_minus(f["gain"], 100, 2)) for f in result["rows"]]
    return table(("", "accuracy %", "gain, points"), rows)


def initialisation(result: dict[str, Any]) -> list[str]:
    return table(
        ("", "", "signal: factor a layer", "digits, 10 hidden layers: validation %"),
        [
            (f["panel"], f["name"], common.plus_minus(f["factor_per_layer"]), common.percent(f["val_accuracy"]))
            for f in result["rows"]
        ],
    )


def activations(result: dict[str, Any]) -> list[str]:
    return table(
        ("", "", "validation %", "test %", "epochs to 95% (mean)", "learning rate (median)"),
        [
            (network, r["activation"], common.percent(r["val_accuracy"]), common.percent(r["test_accuracy"]),
             f"{'≥ ' if r['hits'] < r['replicates'] else ''}{r['epochs_to_target']['mean']:.1f}",
             f"{r['lr']['median']:.2g}")
            for network, rows in result["networks"].items()
            for r in rows
        ],
    )  # fmt: skip


REPEATS = {"speed_quality": "replicates of the whole procedure", "activations": "replicates of the whole procedure"}

SECTIONS = {
    "cifar10_optimizers": ("Four optimizers on CIFAR-10 (document 000)", cifar10),
    "cifar10_rmsprop": ("RMSProp's training loss against PyTorch's", rmsprop),
    "cifar10_schedules": ("Two schedules on CIFAR-10 (document 000)", cifar10),
    "cifar10_normalization": ("Normalised inputs, as published and as meant (document 000)", cifar10),
    "cifar10_batchnorm": ("Batch norm on CIFAR-10 (document 000)", cifar10),
    "mnist_plateau": ("A rate cut on plateaus, MNIST (document 001)", plateau),
    "speed_quality": ("Speed and quality of nine optimizers, digits (document 002)", speed_quality),
    "initialisation": ("Initial weights (document 002)", initialisation),
    "activations": ("Activation functions (document 002)", activations),
    "ensembles": ("Ensembles on CIFAR-10 (document 003)", ensembles),
    "mnist_tuning": ("Adam and plateau on MNIST (document 004)", wide_mlp),
    "fashion_tuning": ("Adam and plateau on Fashion-MNIST (document 004)", wide_mlp),
    "batchnorm_mnist": ("Batch norm on MNIST (Ioffe & Szegedy, 2015)", batchnorm),
    "dropout_mnist": ("Dropout and max-norm on MNIST (Srivastava et al., 2014)", dropout),
}


def replication(folder: Path) -> list[str]:
    """Say how often intervals and sentences of whole studies were right."""
    path = folder / "replication.json"
    lines = ["## Replication", ""]
    if not path.exists():
        return [*lines, "Not run here: `python benchmarks/replication.py` does.", ""]
    result = json.loads(path.read_text())
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines += [
        "`replication.py` repeats whole quick studies with fresh seeds, and counts how often what they print is right; "
        f"{result['made'][:10]}, {versions}. [All of it](replication.txt), with how each figure is defined.",
        "",
        *(f"- {sentence}" for sentence in result["says"]),
        "",
    ]
    for name, of in result["coverage"].items():
        lines += [f"{of['data']}: {of['studies']} studies of {of['replicates']} replicates.", ""]
        lines += table(
            ("printed 95% interval", "coverage %", "of redrawn studies %"),
            [(k["kind"] + (f" (as of {k['as_of']})" if "as_of" in k else "")
              + (f" (of {k['studies']} studies)" if k.get("studies", of["studies"]) < of["studies"] else ""),
              f"{100 * k['share']:.1f} ± {100 * k['error']:.1f}", f"{100 * k['redrawn']:.1f}")
             for k in of["kinds"]],
        )  # fmt: skip
        lines += ["", "The sentences of the first study, and how many of the others do not contradict them:", ""]
        lines += [f"- {s['not_contradicted']:.0%}: {s['sentence']}" for s in result["sentences"][name]]
        lines += [""]
    return [*lines, "![Coverage of printed intervals](replication.png)", ""]


def regression(folder: Path) -> list[str]:
    """Regression beside scikit-learn's."""
    path = folder / "regression.json"
    lines = ["## Regression beside scikit-learn", ""]
    if not path.exists():
        return [*lines, "Not run here: `python benchmarks/regression.py` does.", ""]
    result = json.loads(path.read_text())
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines += [
        f"`regression.py`, {result['seeds']} seeds, {result['replicates']} replicates of the comparison; "
        f"{result['made'][:10]}, {versions}. [All of it](regression.txt).",
        "",
        *table(
            ("R² of the held-out rows", "epochs", "optimlab", "scikit-learn", "difference", "spread of its seeds"),
            [
                (f"{f['problem']}: {f['way']}", f"{f['epochs']}", f"{f['optimlab']:.3f}", f"{f['scikit_learn']:.3f}",
                 f"{f['difference']:+.3f} ±{f['half']:.3f}", f"{f['spread']:.3f}")
                for f in result["rows"]
            ],
        ),
        "",
        *(f"- {'holds' if held else 'MISSED'}: {text}" for text, held in result["conditions"].items()),
    ]  # fmt: skip
    return [*lines, ""]


def table(head: Row, rows: Sequence[Row]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(line)} |" for line in (head, rule, *rows)]


def page(folder: Path) -> str:
    lines = ["# The experiments of the source documents and of two papers, run again", ""]
    lines += [
        "Made by `python benchmarks/make_page.py` from the JSON files of this folder, which the scripts of the same",
        "names in [`benchmarks/`](..) leave. ± is half of the 95% interval of the mean (Student's t) over the seeds or",
        "replicates; a document's number is that of its single run.",
        "",
    ]
    for name, (title, make) in SECTIONS.items():
        path = folder / f"{name}.json"
        lines += [f"## {title}", ""]
        if not path.exists():
            lines += [f"Not run here: `python benchmarks/{name}.py` does, where the data are.", ""]
            continue
        result = json.loads(path.read_text())
        versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
        data, seeds = result["data"], len(result["seeds"])
        rows = ", ".join(f"{count:,} {split}" for split, count in data["rows"].items())
        lines += [
            f"`{name}.py`, {result['epochs']} epochs, {seeds} {REPEATS.get(name, 'seeds')}; {data['name']}, "
            f"rows: {rows}; {result['made'][:10]}, {versions}.",
            "",
        ]
        lines += [*make(result), "", *(f"- {sentence}" for sentence in result["says"]), ""]
        lines += [f"![{title}]({name}.png)", ""]
    lines += replication(folder) + regression(folder)
    return "\n".join(lines).rstrip() + "\n"


@click.command(help="Write results/README.md from the results beside it.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=common.HERE / "results", help="Where the results are."
)
def main(folder: Path) -> None:
    write_atomically(folder / "README.md", page(folder))


if __name__ == "__main__":
    main()
