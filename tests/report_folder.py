"""Finished comparisons of made-up records in folders, for the tests of the report: nothing is trained."""

import json
import math
import random
import shutil
from dataclasses import replace

import pytest
from run_files import executed_by, made

from optimlab.optim.optimizers import OPTIMIZERS
from optimlab.report import write_report
from optimlab.study import Contender, Problem, Study, compare

SMALL = Study(
    problem=Problem(hidden=(16,), epochs=4, target=0.7),
    optimizers=("sgd", "adam", "adagrad"),
    rates=(0.003, 0.03, 0.3, 3.0),
    replicates=4,
)
LONG = "a_rule_with_a_very_long_name_" * 5


def trained(run, fate="ok"):
    """A record whose numbers depend on the run alone: best near one rate, diverged far above, no two alike."""
    chance = random.Random(run.key)
    best = {"sgd": 0.5, "adam": 0.01}.get(run.contender.label, 0.05)
    if run.lr > 40 * best and fate == "ok":
        fate = chance.choice(["diverged", "diverged at once"])
    score = max(0.1, 0.95 - 0.1 * math.log10(run.lr / best) ** 2 - 0.02 * chance.random())
    record = made(run, fate, score, test=max(0.05, score - 0.03 * chance.random()))
    curves = record.curves
    if curves.train_loss:
        factor = 1 + chance.random()
        losses = tuple(factor * loss for loss in curves.train_loss)
        record = replace(record, curves=replace(curves, train_loss=losses), state_arrays=chance.choice([0, 1, 2]))
    return record


def compared(study, folder, execute=trained):
    """The folder of a comparison of made-up records, with its report."""
    with executed_by(execute):
        compare(study, folder, jobs=1)
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A comparison whose grid reaches into divergence, with its report."""
    return compared(SMALL, tmp_path_factory.mktemp("report"))


def labels(count):
    """Ordinary names, Adam with one setting or another, and names of 150 letters that end, begin or are alike."""
    few = [LONG, LONG + "x", "WWWWWWWW" * 20, "sgd"]
    settings = [f"adam (torch, beta1={0.5 + k / 100:g})" for k in range(40)]
    return [*few, *(name for name in OPTIMIZERS if name not in few), *settings][:count]


def fate_in_the_crowd(run):
    """Of the 30, some runs of two fail, half of two others diverge, and one never finishes any."""
    number, label = int(run.key[:4], 16), run.contender.label
    if label in ("adagrad", "nesterov"):
        return "error" if number % 5 == 0 else "ok"
    if label in ("rmsprop", "sgd"):
        return "diverged" if number % 2 == 0 else "ok"
    return "diverged at once" if label == "nadam" else "ok"


def crowded(run):
    """Hardly any of the 30 reaches the target; a few are told from the others."""
    fate = fate_in_the_crowd(run)
    record = trained(run, fate)
    if fate != "ok" or record.status != "ok":
        return record
    behind = 0.25 if run.contender.label.endswith("5)") else 0.0
    val = max(0.05, record.val_score - behind)
    curve = tuple(val * (k + 1) / run.problem.epochs for k in range(run.problem.epochs))
    curves = replace(record.curves, val_score=curve)
    return replace(record, val_score=val, test_score=max(0.0, record.test_score - behind), curves=curves)


CROWD = Study(
    problem=Problem(hidden=(16,), epochs=6, target=0.75),
    optimizers=tuple(
        Contender("adam", hyperparameters={"beta1": 0.5 + k / 100}, label=label) for k, label in enumerate(labels(30))
    ),
    rates=(0.003, 0.03, 0.3),
    replicates=5,
    extensions=1,
    search=3,
)


@pytest.fixture(scope="session")
def crowd(tmp_path_factory):
    """30 optimizers by the full protocol with diverged and failed runs; some records are missing afterwards."""
    folder = tmp_path_factory.mktemp("crowd")
    with executed_by(crowded):
        compare(CROWD, folder, jobs=1)
    chosen = {row["label"]: [one["key"] for one in row["replicates"]] for row in summary_of(folder)["rows"]}
    gone = {*chosen["adam"], chosen["momentum"][0]}
    lines = (folder / "runs.jsonl").read_text().splitlines(keepends=True)
    (folder / "runs.jsonl").write_text("".join(line for line in lines if json.loads(line)["key"] not in gone))
    write_report(folder)
    return folder


@pytest.fixture
def changed(finished, tmp_path):
    """``changed(edit)``: a copy of the folder whose summary went through ``edit``."""

    def made(edit=lambda summary: None, name="copy"):
        folder = tmp_path / name
        shutil.copytree(finished, folder)
        (folder / "report.html").unlink()
        summary = summary_of(folder)
        edit(summary)
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return made


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def records_of(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
