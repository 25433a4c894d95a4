"""Any name that a file may have: in tables, figures, pages and commands it is text and nothing else."""

import json
import os
import re
import tomllib

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import require

import optimlab as ol
from optimlab.cli import main
from optimlab.report.reproduction import recipe
from optimlab.study import Contender, Problem, Run, Study, read_study

NAMES = [r"$\frac$ 100%_a^b [red] [bold]", r"$x {b} a&b<c>' <script> \begin{x}", "ünï 数据 🙂 #;"]


def data_file(folder, name):
    """A small data set in a file of that name."""
    x, y = np.random.default_rng(0).normal(size=(120, 4)).astype("float32"), np.arange(120) % 3
    parts = {"train": slice(80), "val": slice(80, 100), "test": slice(100, 120)}
    path = folder / f"{name}.npz"
    arrays = {"x": x, "y": y}
    np.savez(path, **{f"{kind}_{part}": arrays[kind][rows] for part, rows in parts.items() for kind in arrays})
    return path


@pytest.fixture
def little(monkeypatch):
    """Figures are drawn, which reads their texts, at a size that takes no time."""
    from matplotlib.figure import Figure

    real = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: real(self, file, **{**options, "dpi": 20}))


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_search_and_a_comparison_of_a_file_of_any_name(tmp_path, name, little):
    require("optuna")
    path = data_file(tmp_path, name)
    common, searched = ("--dataset", path, "--epochs", 1), ("--search", "lr=0.1:1", "--set", "batch_size=20")
    tuned = run("tune", *common, "--hidden", 2, "--trials", 2, "--out", tmp_path / "tune", *searched)
    assert tuned.exit_code == 0, tuned.output
    assert path.name in re.sub(r"\s+", " ", tuned.stdout)
    rates = ("--rates", "0.01,0.1,1", "--replicates", 2, "--optimizers", "sgd", "--target", 0.1)
    compared = run("compare", *common, *rates, "--out", tmp_path / "out")
    assert compared.exit_code == 0, compared.output
    assert path.name in re.sub(r"\s+", " ", compared.stdout)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<red>" not in page
    embedded = re.search(r'<script type="application/json" id="summary">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(embedded)["study"]["problem"]["dataset"] == path.name


def test_a_name_that_cannot_be_shown_is_refused(tmp_path):
    for name in ("two\nlines", "bell\a", os.fsdecode(b"\xff")):
        with pytest.raises(ol.InputError, match="contains an unprintable character: rename the file"):
            Problem(f"{tmp_path}/{name}.npz")


# --- whose data they are


@pytest.mark.parametrize("name", ["mnist", "digits", "cifar10"])
def test_an_own_file_is_never_named_as_the_known_data(tmp_path, name):
    path = data_file(tmp_path, name)
    study = Study(Problem(str(path), hidden=(2,), target=0.5), ("sgd",))
    assert study.problem.config()["dataset"] == str(study.problem).partition(",")[0] == f"{name}.npz"
    made = recipe(json.loads(json.dumps(study.config())))
    assert f"{name}.npz is a file of your own" in made.note
    assert f"--dataset {name}" not in made.command
    assert tomllib.loads(made.file)["problem"]["dataset"] == f"{name}.npz"
    (tmp_path / "study.toml").write_text(made.file)  # beside the file: the same study
    (again,) = read_study(tmp_path / "study.toml").values()
    assert again.config() == study.config()


@pytest.mark.slow
def test_a_relative_path_is_the_same_file_wherever_a_worker_stands(tmp_path, monkeypatch):
    """A real cluster, whose worker stands in another folder."""
    distributed = require("distributed")
    from optimlab.study import Store
    from optimlab.study.execution import one_by_one, run_all, workers
    from optimlab.study.run import execute

    data_file(tmp_path, "mine")
    (tmp_path / "elsewhere").mkdir()
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        client.run(os.chdir, str(tmp_path / "elsewhere"))
        monkeypatch.chdir(tmp_path)
        runs = [Run(Problem("mine.npz", hidden=(2,), epochs=1), Contender("sgd"), 0.1, 0)]
        with workers(dask=client) as pool:
            (record,) = run_all(runs, Store(tmp_path / "out"), execute=one_by_one(execute), pool=pool)
    assert record.status == "ok", record.error
    assert Problem("mine.npz").dataset == str(tmp_path / "mine.npz")
    assert Problem("~/mine.npz").dataset == os.path.expanduser("~/mine.npz")  # noqa: PTH111
