"""The bundled digits, and data sets of one's own."""

import numpy as np
import pytest
from conftest import require

import optimlab as ol


@pytest.fixture(scope="module")
def digits():
    return ol.datasets.load("digits")


def test_digits_are_the_published_ones():
    """Compared with scikit-learn's copy: the same images with the same labels, each in exactly one split."""
    bunch = require("sklearn.datasets").load_digits()
    data = ol.datasets.load("digits")
    x = np.concatenate([data.x_train, data.x_val, data.x_test]) * 16
    y = np.concatenate([data.y_train, data.y_val, data.y_test])
    ours = sorted((*row, label) for row, label in zip(x.astype(int).tolist(), y.tolist(), strict=True))
    theirs = sorted((*row, label) for row, label in zip(bunch.data.astype(int).tolist(), bunch.target, strict=True))
    assert ours == theirs


def test_the_split_is_stratified_and_fixed(digits):
    assert [len(digits.y_train), len(digits.y_val), len(digits.y_test)] == [1077, 360, 360]
    total = np.bincount(np.concatenate([digits.y_train, digits.y_val, digits.y_test]))
    for y in (digits.y_train, digits.y_val, digits.y_test):
        assert (abs(np.bincount(y) - total * len(y) / total.sum()) < 1).all()
    # the split is data, not a matter of today's random numbers
    assert digits.y_train[:12].tolist() == ol.datasets.load("digits").y_train[:12].tolist()


def test_values_lie_between_zero_and_one_in_float32(digits):
    assert digits.x_train.dtype == np.float32
    assert (digits.x_train.min(), digits.x_train.max()) == (0.0, 1.0)
    assert digits.classes == tuple("0123456789")


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ol.InputError, match="unknown data set 'digit'; did you mean 'digits'"):
        ol.datasets.load("digit")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (dict(x_train=np.zeros((3, 2)), y_train=[0, 1]), "x_train has 3 rows, but y_train has 2"),
        (dict(x_train=np.zeros((3, 2)), y_train=[0, 1, 0], x_val=np.zeros((1, 2))), "the val split needs both"),
        (dict(x_train=np.zeros((3, 2)), y_train=None), "the train split needs both"),
        (
            dict(x_train=np.arange(3.0), y_train=[0, 1, 0]),
            r"x_train must be .* \(rows, features\), got the shape \(3,\); for .*, use x_train.reshape\(-1, 1\)$",
        ),
        (dict(x_train=np.zeros((3, 2, 2)), y_train=[0, 1, 0]), r"got the shape \(3, 2, 2\)$"),
        (dict(x_train=[[1, 2], [3]], y_train=[0, 1]), "x_train has rows of different lengths"),
        (dict(x_train={"a": [1, 2]}, y_train=[0]), r"x_train must be .*, got \{'a': \[1, 2\]\}$"),
        (dict(x_train="ab", y_train=[0, 1]), "x_train must be .*, got 'ab'$"),
    ],
)
def test_splits_that_do_not_fit_are_refused(splits, message):
    with pytest.raises(ol.InputError, match=message):
        ol.Dataset(**splits)


def test_the_last_training_rows_validate():
    data = ol.Dataset(x_train=np.arange(20.0).reshape(10, 2), y_train=np.arange(10))
    split = data.with_validation(3)
    assert (split.y_train.tolist(), split.y_val.tolist()) == (list(range(7)), [7, 8, 9])
    split = data.with_validation(3, train_rows=2)
    assert (split.x_train.tolist(), split.y_val.tolist()) == ([[0, 1], [2, 3]], [7, 8, 9])
    assert data.with_validation(9).y_train.tolist() == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10,), "the 10 training rows are too few for 10 validation rows"),
        ((3, 8), "too few for 3 validation and 8 training rows"),
        ((0,), "rows must be a whole number of at least 1, got 0"),
        ((3, 0), "train_rows must be a whole number of at least 1, got 0"),
        ((2.5,), "rows must be a whole number"),
    ],
)
def test_a_validation_split_that_cannot_be_is_refused(arguments, message):
    data = ol.Dataset(x_train=np.zeros((10, 2)), y_train=np.arange(10))
    with pytest.raises(ol.InputError, match=message):
        data.with_validation(*arguments)


def test_a_second_validation_split_is_refused(digits):
    with pytest.raises(ol.InputError, match="there already is a validation split, of 360 rows"):
        digits.with_validation(10)


def small(**changes):
    """Two classes in three splits."""
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
    parts = dict(x_train=x, y_train=y, x_val=x[:2], y_val=y[:2], x_test=x[:3], y_test=y[:3], classes=("a", "b"))
    return ol.Dataset(**parts | changes)


def test_data_fit_for_a_study_pass(digits):
    ol.datasets.check_for_study(digits)
    ol.datasets.check_for_study(small())
    # a feature may be constant, as the corners of images are
    ol.datasets.check_for_study(small(x_train=np.array([[0.0, k] for k in range(6)])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(x_val=None, y_val=None), "a study needs a validation split"),
        (dict(x_test=None, y_test=None), "a study needs a test split"),
        (dict(classes=()), "the classes have no names"),
        (dict(y_train=np.ones(6, int)), "y_train holds only class 1: nothing to tell apart"),
        (dict(x_train=np.tile([1.0, 2.0], (6, 1))), "x_train holds the same values in every row"),
        (dict(x_val=np.array([[1.0, np.nan], [0, 0]])), "x_val holds NaN or infinite values"),
        (dict(x_test=np.full((3, 2), -np.inf)), "x_test holds NaN or infinite values"),
        (dict(x_test=np.zeros((3, 5))), "x_test has 5 features, but x_train has 2"),
        (dict(x_train=np.full((6, 2), "a")), "x_train must be real numbers"),
        (dict(y_val=np.array([0.0, 1.0])), "y_val must be one integer per row, got float64"),
        (dict(y_train=np.zeros((6, 1), int)), "y_train must be one integer per row"),
        (dict(y_test=np.array([0, 1, 2])), "y_test holds labels from 0 to 2, but they must be 0 to 1"),
        (dict(y_test=np.array([0, 1, -1])), "y_test holds labels from -1 to 1"),
        (dict(x_test=np.zeros((0, 2)), y_test=np.zeros(0, int)), "x_test must be real numbers"),
    ],
)
def test_data_unfit_for_a_study_are_refused_with_the_reason(changes, message):
    with pytest.raises(ol.InputError, match=message):
        ol.datasets.check_for_study(small(**changes))


@pytest.mark.parametrize("name", ["digit", "", "mine.npy", None, 3, ["digits"]])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ol.InputError, match=r"marks.xlsx is a spreadsheet: save its sheet as a CSV file"):
        ol.datasets.load("marks.xlsx")
    with pytest.raises(ol.InputError, match=r"unknown data set .* Known: digits, mnist, fashion_mnist, cifar10"):
        ol.datasets.load(name)
