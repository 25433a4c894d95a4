"""Studies of two classes and of numbers to predict."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics

import optimlab as ol
from optimlab.report import write_report
from optimlab.study import Contender, Problem, Run, Study, compare
from optimlab.study.latex import latex
from optimlab.study.rows_score import packed, unpacked
from optimlab.study.run import execute
from optimlab.study.table import tables


def regression(tmp_path, name="numbers.npz", noise=0.5):
    g = np.random.default_rng(0)
    x = g.normal(size=(400, 3)).astype("float32")
    y = (x @ [2.0, -1.0, 0.5] + 3 + noise * g.normal(size=400)).astype("float32")
    parts = {"train": slice(0, 200), "val": slice(200, 300), "test": slice(300, 400)}
    arrays = {f"{axis}_{part}": a[rows] for part, rows in parts.items() for axis, a in (("x", x), ("y", y))}
    np.savez(tmp_path / name, **arrays)
    return Problem(str(tmp_path / name), hidden=(8,), epochs=8, batch_size=50, target=0.8)


BINARY = Problem("sklearn:breast_cancer", hidden=(8,), epochs=4)


def test_two_classes_are_one_logit_and_can_be_two():
    assert (BINARY.outputs, BINARY.loss_function.name, BINARY.score) == (1, "binary_cross_entropy", "accuracy")
    two = replace(BINARY, loss="softmax_cross_entropy")
    assert (two.network(0).outputs, two.loss_function.name) == (2, "softmax_cross_entropy")
    keys = {Run(problem, Contender("sgd"), 0.1, 0).key for problem in (BINARY, two)}
    assert len(keys) == 2
    same = replace(BINARY, loss="binary_cross_entropy")
    assert Run(same, Contender("sgd"), 0.1, 0).key == Run(BINARY, Contender("sgd"), 0.1, 0).key


def test_a_run_on_two_classes_is_measured_as_evaluate_measures():
    record = execute(Run(BINARY, Contender("adam"), 0.01, 3, 3))
    data, net = BINARY.replicate(3), BINARY.network(3)
    history = ol.fit(net, ol.Adam(net.parameters, lr=0.01), data, epochs=4, batch_size=64, seed=3)
    assert record.curves.val_score == tuple(history.val_accuracy)
    assert record.val_score == max(history.val_accuracy)


def test_a_run_on_numbers_scores_r2_that_is_at_least_zero(tmp_path):
    problem = regression(tmp_path)
    record = execute(Run(problem, Contender("adam"), 0.003, 1, 1))
    data, net = problem.replicate(1), problem.network(1)
    history = ol.fit(net, ol.Adam(net.parameters, lr=0.003), data, epochs=8, batch_size=50, seed=1)
    assert min(history.val_r2) < 0
    assert record.curves.val_score == tuple(max(0.0, r2) for r2 in history.val_r2)
    assert record.best_epoch == 1 + int(np.argmax(history.val_r2))
    assert record.test_score == pytest.approx(
        max(0.0, sklearn.metrics.r2_score(data.y_test, net.predict(data.x_test))), abs=1e-6
    )
    rows = unpacked(record.test_rows)  # all replicates share the test set of a file
    errors = (net.predict(data.x_test)[:, 0] - data.y_test) ** 2
    np.testing.assert_allclose(rows, 1 - errors / data.y_test.astype(float).var(), rtol=1e-4, atol=1e-4)


def test_a_comparison_on_numbers_speaks_of_r2_everywhere(tmp_path):
    study = Study(regression(tmp_path), ("sgd", "adam"), rates=(0.001, 0.01, 0.1, 1.0), replicates=3, extensions=0)
    folder = tmp_path / "out"
    comparison = compare(study, folder)
    summary = comparison.summary
    assert (summary.score, summary.measure, summary.loss) == ("r2", "R²", "mean squared error")
    assert summary.baseline is None
    assert summary.row("sgd").test_score.mean > 0.8
    assert any(pair.rows_error for pair in summary.pairs)
    for row in summary.tuned:
        for one in row.replicates:
            data, net = study.problem.replicate(one.number), study.problem.network(one.number)
            opt = ol.optimizers.get(row.contender)(net.parameters, lr=one.lr)
            best = ol.BestCheckpoint("val_r2")
            ol.fit(net, opt, data, epochs=8, batch_size=50, seed=one.number, callbacks=[best])
            expected = sklearn.metrics.mean_absolute_error(data.y_test, net.predict(data.x_test))
            assert one.test_error == pytest.approx(expected, rel=1e-4)
        assert row.test_error.mean == pytest.approx(np.mean([one.test_error for one in row.replicates]))
    write_report(folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    said = " ".join(map(str, comparison.verdict))
    for text in (page, said, latex(summary), str([t.text(200, "utf-8") for t in tables(summary)])):
        assert "R²" in text.replace(r"R\ensuremath{^2}", "R²")
        assert not re.search(r"(test|validation)\s+accuracy", text, re.IGNORECASE)
    assert "Loss: mean squared error" in page
    assert json.loads((folder / "summary.json").read_text())["score"] == "r2"


def test_the_error_of_a_table_is_in_the_unit_of_its_target():
    problem = Problem("sklearn:diabetes", hidden=(4,), epochs=3)
    record = execute(Run(problem, Contender("adam"), 0.01, 0))
    data = problem.replicate(0)
    net = problem.network(0)
    ol.fit(net, ol.Adam(net.parameters, lr=0.01), data, epochs=3, callbacks=[ol.BestCheckpoint("val_r2")])
    away = data.in_units(net.predict(data.x_test).ravel()) - data.in_units(np.ravel(data.y_test))
    assert record.test_error == pytest.approx(np.abs(away).mean(), rel=1e-4)
    assert 40 < record.test_error < 90  # the targets are between 25 and 346


@pytest.mark.parametrize(
    ("dataset", "loss", "message"),
    [
        ("digits", "mean_squared_error", "does not suit digits, which has 10 classes: use softmax_cross_entropy"),
        ("digits", "binary_cross_entropy", "does not suit digits, which has 10 classes"),
        ("sklearn:diabetes", "softmax_cross_entropy", "numeric targets: use mean_squared_error"),
        ("digits", "hinge", "unknown loss 'hinge'"),
    ],
)
def test_a_loss_must_suit_the_data(dataset, loss, message):
    with pytest.raises(ol.InputError, match=message):
        Problem(dataset, loss=loss).check()


@pytest.mark.parametrize("values", [[1.0, -2.5, 0.0], [0.25] * 9])
def test_contributions_are_kept_as_float32(values):
    assert unpacked(packed(np.array(values))).tolist() == values


@pytest.mark.parametrize("text", ["2x", "0x", "3xAAAA", packed(np.array([np.nan])), packed(np.array([1.0]))[:-4]])
def test_what_is_no_text_of_contributions_is_refused(text):
    with pytest.raises(ol.InputError, match="does not encode the contributions of test rows"):
        unpacked(text)


def test_targets_that_cannot_be_learned_are_refused_in_one_line(tmp_path):
    problem = regression(tmp_path)
    with np.load(problem.dataset) as stored:
        arrays = dict(stored)
    for change, message in (
        ({"y_train": np.full(200, 2.0)}, "nothing to tell apart"),
        ({"y_val": np.full(100, np.nan)}, "y_val holds NaN or infinite values"),
    ):
        path = tmp_path / f"{message[:5].strip()}.npz"
        np.savez(path, **{**arrays, **change})
        with pytest.raises(ol.InputError, match=message):
            Problem(str(path)).check()
