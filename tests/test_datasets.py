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
        (dict(x_train=np.zeros((3, 2)), y_train=[0, 1]), "x_train has 3 rows, y_train 2"),
        (dict(x_train=np.zeros((3, 2)), y_train=[0, 1, 0], x_val=np.zeros((1, 2))), "the val split needs both"),
        (dict(x_train=np.zeros((3, 2)), y_train=None), "the train split needs both"),
    ],
)
def test_splits_that_do_not_fit_are_refused(splits, message):
    with pytest.raises(ol.InputError, match=message):
        ol.Dataset(**splits)
