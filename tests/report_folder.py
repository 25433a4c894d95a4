"""A finished comparison in a folder, for the tests of its report."""

import json
import shutil

import pytest

from optimlab.report import write_report
from optimlab.study import Problem, Study, compare

SMALL = Study(
    problem=Problem(hidden=(16,), epochs=4, target=0.7),
    optimizers=("sgd", "adam", "adagrad"),
    rates=(0.001, 0.03, 1.0, 1e30),
    replicates=3,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A comparison whose grid reaches into divergence, with its report."""
    folder = tmp_path_factory.mktemp("report")
    compare(SMALL, folder)
    write_report(folder)
    return folder


@pytest.fixture
def changed(finished, tmp_path):
    """``changed(edit)``: a copy of the folder whose summary went through ``edit``."""

    def made(edit=lambda summary: None, name="copy"):
        folder = tmp_path / name
        shutil.copytree(finished, folder)
        (folder / "report.html").unlink()
        summary = json.loads((folder / "summary.json").read_text())
        edit(summary)
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return made


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())
