"""Every experiment of the source documents runs, on data made here; what it measures is never asserted."""

import functools
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import require

import optimlab as ol

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """A benchmark script as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """An .npz file of random images, for each number of features."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)

    def make(features, rows=400):
        path = folder / f"{features}.npz"
        if not path.exists():
            x = generator.integers(0, 256, (rows + 100, features), dtype="uint8")
            y = generator.integers(0, 10, rows + 100)
            splits = {"train": slice(rows), "val": slice(rows, rows + 50), "test": slice(rows + 50, None)}
            np.savez(path, **{f"{k}_{name}": a[part] for name, part in splits.items() for k, a in (("x", x), ("y", y))})
        return str(path)

    return make


EXPERIMENTS = {
    "cifar10_optimizers": (3072, ["--torch"], ["SGD 0.001", "RMSProp 0.001", "33.65", "against PyTorch"]),
    "cifar10_schedules": (3072, [], ["cyclic", "42.67"]),
    "cifar10_normalization": (3072, [], ["as published", "really normalised"]),
    "cifar10_batchnorm": (3072, [], ["batch norm", "38.84"]),
    "cifar10_rmsprop": (3072, ["--torch"], ["dead units", "Welch", "same initial weights"]),
    "batchnorm_mnist": (784, [], ["with batch norm", "no figures"]),
    "dropout_mnist": (784, [], ["784-800-800-10 logistic", "max-norm", "1.06"]),
    "mnist_plateau": (784, ["--torch"], ["784-256-128-10", "PyTorch", "no figures"]),
    "mnist_tuning": (784, ["--search"], ["98.47", "search of rate", "search of factor"]),
    "fashion_tuning": (784, ["--torch"], ["89.60", "PyTorch", "not made here"]),
    "speed_quality": (None, [], ["nadam", "very good", "Kendall"]),
    "ensembles": (3072, [], ["exponential average", "initialisations"]),
    "initialisation": (None, [], ["document's He", "Glorot uniform"]),
    "activations": (None, [], ["gelu", "eight hidden layers"]),
}


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """Run an experiment once; return its folder, the arguments, and the result."""

    @functools.cache
    def run(name):
        features, options, _ = EXPERIMENTS[name]
        folder = tmp_path_factory.mktemp(name)
        arguments = ["--quick", *(["--data", images(features)] if features else []), "--out", str(folder), *options]
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(FOLDER))
            main = importlib.import_module(name).main
            return folder, arguments, CliRunner().invoke(main, arguments, catch_exceptions=False)

    return run


@pytest.mark.quick("cifar10_schedules")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_runs_and_names_the_document(finished, name):
    folder, _, result = finished(name)
    assert result.exit_code == 0, result.output
    assert all(word in result.output for word in EXPERIMENTS[name][2])
    summary = json.loads((folder / f"{name}.json").read_text())
    assert summary["quick"]
    assert summary["versions"]["optimlab"] == ol.__version__
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.quick("cifar10_schedules")
@pytest.mark.parametrize("name", ["cifar10_schedules", "speed_quality"])
def test_a_finished_run_is_not_made_again(script, finished, name):
    folder, arguments, first = finished(name)
    (kept,) = folder.rglob("runs.jsonl")
    before = kept.read_bytes()
    again = CliRunner().invoke(script(name).main, arguments, catch_exceptions=False)
    assert before
    assert kept.read_bytes() == before
    assert again.stdout == first.stdout  # what is under way is told elsewhere, after some seconds


def test_cifar10_takes_the_documents_rows_of_the_official_files_and_of_a_subset(script, monkeypatch):
    cifar10 = script("cifar10")
    monkeypatch.setattr(cifar10, "TRAIN", 5)
    monkeypatch.setattr(cifar10, "VALIDATION", 10)
    x, y = np.arange(50.0, dtype="float32").reshape(50, 1), np.zeros(50, int)
    official = ol.Dataset(x[:40], y[:40], x[40:], y[40:], x, y)
    for given in (official, ol.Dataset(x, y), ol.Dataset(x[35:], y[35:])):
        monkeypatch.setattr(ol.datasets, "load", lambda name, given=given: given)
        data = cifar10.load("cifar10")
        assert data.x_train.ravel().tolist() == given.x_train[:5].ravel().tolist()
        assert data.x_val.ravel().tolist() == x[40:].ravel().tolist()


def test_a_bad_data_set_is_one_clear_line(script, tmp_path):
    result = CliRunner().invoke(script("cifar10_schedules").main, ["--data", "cifar11", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "cifar11" in result.output
    assert "cifar10" in result.output


def test_one_more_run_lies_in_the_spread_nineteen_times_in_twenty(script):
    spread = script("common").spread
    draws = np.random.default_rng(0).normal(size=(4000, 4))
    inside = [low <= row[3] <= high for row in draws for _, low, high in [spread(row[:3].tolist())]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
def test_optimlab_and_pytorch_reach_the_same_on_an_easy_problem(script):
    require("torch")
    twins = script("twins")
    data = ol.datasets.load("digits")
    row = twins.Row("", "momentum", 0.05, sizes=(64, 32, 10), batch=32, batch_norm=True, plateau={"patience": 2})
    found = {name: run(row, data, 0, 8) for name, run in twins.ENGINES.items()}
    assert found["optimlab"].keys() == found["PyTorch"].keys()
    for run in found.values():
        assert run["val_accuracy"] > 0.95
        assert run["test_accuracy"] > 0.93
        assert run["val_accuracy"] == pytest.approx(run["curves"]["val_accuracy"][run["best_epoch"] - 1])


def test_the_page_shows_what_was_run_and_names_what_was_not(script, finished):
    folder, *_ = finished("cifar10_schedules")
    measured = json.loads((folder / "cifar10_schedules.json").read_text())["rows"][1]["optimlab"]["val_accuracy"]
    result = CliRunner().invoke(script("make_page").main, ["--folder", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    page = (folder / "README.md").read_text()
    assert f"| cyclic | {100 * measured['mean']:.2f} ±" in page
    assert "| – | 42.67 |" in page
    assert "Not run here: `python benchmarks/fashion_tuning.py`" in page


@pytest.mark.slow
def test_ctrl_c_reports_what_is_finished_and_the_same_command_goes_on(script, images, tmp_path, monkeypatch):
    twins, main = script("twins"), script("cifar10_schedules").main
    arguments = ["--quick", "--data", images(3072), "--out", str(tmp_path)]
    train, made = twins.ENGINES["optimlab"], []

    def interrupted(*given):
        made.append(given)
        if len(made) == 3:
            raise KeyboardInterrupt
        return train(*given)

    monkeypatch.setitem(twins.ENGINES, "optimlab", interrupted)
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "interrupted" in result.stderr
    rows = json.loads((tmp_path / "cifar10_schedules.json").read_text())["rows"]
    assert [row["name"] for row in rows if "optimlab" in row] == ["step"]
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0
    assert len(made) == 3 + 4
    rows = json.loads((tmp_path / "cifar10_schedules.json").read_text())["rows"]
    assert all("optimlab" in row for row in rows)
