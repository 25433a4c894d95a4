"""Splits of rows, and the data of each replicate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optimlab as ol
from optimlab.datasets import split_rows
from optimlab.study import PROBLEMS, Problem

LABELS = st.one_of(
    st.lists(st.sampled_from([-3, 7, 8, 10**12]), min_size=1, max_size=60),
    st.lists(st.sampled_from(["cat", "dog", "ünï"]), min_size=1, max_size=60),
    st.lists(st.integers(0, 25), min_size=1, max_size=120),
)


@settings(max_examples=80, deadline=None)
@given(LABELS, st.data())
def test_sets_are_disjoint_of_their_sizes_and_hold_the_share_of_each_class(labels, data):
    y, sizes = np.array(labels), []
    for _ in range(data.draw(st.integers(1, 4))):
        sizes.append(data.draw(st.integers(0, len(y) - sum(sizes))))
    seed = data.draw(st.integers(0, 2**70))
    parts = split_rows(y, sizes, seed)
    assert [len(part) for part in parts] == sizes
    rows = np.concatenate(parts)
    assert len(set(rows.tolist())) == len(rows)
    assert set(rows.tolist()) <= set(range(len(y)))
    for part, size in zip(parts, sizes, strict=True):
        for value in set(labels):
            share = labels.count(value) * size / len(y)
            assert abs((y[part] == value).sum() - share) < 1
    again = split_rows(y, sizes, seed)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


def test_every_row_is_drawn_as_often_as_any_other():
    """Three sets of six of eleven rows in unequal classes, 1,500 times: within 4.5 standard errors of the chance."""
    y, sizes, times = np.array([5] * 7 + [2] * 3 + [9]), (3, 2, 1), 1500
    counts = np.zeros((len(sizes), len(y)))
    pairs = np.zeros((7, 7))
    for seed in range(times):
        parts = split_rows(y, sizes, seed)
        for count, part in zip(counts, parts, strict=True):
            count[part] += 1
        first = parts[0][parts[0] < 7]
        pairs[np.ix_(first, first)] += 1
    for count, size in zip(counts, sizes, strict=True):
        chance = size / len(y)
        assert np.abs(count / times - chance).max() < 4.5 * (chance * (1 - chance) / times) ** 0.5
    # and so is every pair of rows of one class
    apart = pairs[~np.eye(7, dtype=bool)]
    assert np.abs(apart - apart.mean()).max() < 4.5 * apart.mean() ** 0.5


def test_another_seed_draws_other_rows():
    y = np.arange(200) % 4
    drawn = {tuple(sorted(split_rows(y, (50,), seed)[0].tolist())) for seed in range(100)}
    assert len(drawn) == 100


def test_too_few_rows():
    with pytest.raises(ol.InputError, match="5 rows are too few for sets of 3, 3 rows"):
        split_rows(np.zeros(5), (3, 3), 0)


# --- the data of a replicate


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Like MNIST, a test set apart; each row bears its number, from 0 in the training rows on."""
    ends = {"train": (0, 90), "val": (90, 120), "test": (120, 160)}
    arrays = {f"x_{part}": np.arange(*span, dtype="float32")[:, None] for part, span in ends.items()}
    arrays |= {f"y_{part}": np.arange(*span) % 3 for part, span in ends.items()}
    path = tmp_path_factory.mktemp("data") / "numbered.npz"
    np.savez(path, **arrays)
    return Problem(str(path), hidden=(2,), target=0.5)


def rows_of(data):
    """The row numbers of each split."""
    return {part: getattr(data, f"x_{part}")[:, 0].astype(int).tolist() for part in ("train", "val", "test")}


def check_labels(data):
    for part in ("train", "val", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert np.array_equal(x[:, 0] % 3, y)


def test_a_test_set_apart_is_kept_and_the_others_are_drawn_anew(numbered):
    assert numbered.shares_test
    drawn = [rows_of(numbered.replicate(split)) for split in range(20)]
    for rows in drawn:
        assert rows["test"] == list(range(120, 160))
        assert sorted(rows["train"] + rows["val"]) == list(range(120))
        assert [len(rows[part]) for part in ("train", "val")] == [90, 30]
    assert len({tuple(sorted(rows["val"])) for rows in drawn}) == 20
    check_labels(numbered.replicate(3))


def test_without_a_test_set_apart_all_three_are_drawn_anew(numbered):
    whole = replace(numbered, redraw="all")
    assert not whole.shares_test
    drawn = [rows_of(whole.replicate(split)) for split in range(20)]
    for rows in drawn:
        assert sorted([*rows["train"], *rows["val"], *rows["test"]]) == list(range(160))
        assert [len(rows[part]) for part in rows] == [90, 30, 40]
    for part in ("train", "val", "test"):
        assert len({tuple(sorted(rows[part])) for rows in drawn}) == 20
    check_labels(whole.replicate(3))
    digits = Problem()
    assert not digits.shares_test
    tested = [digits.replicate(split).x_test.sum() for split in range(5)]
    assert len(set(tested)) == 5
    assert replace(digits, redraw="train").shares_test
    fixed = replace(digits, redraw="train").replicate(4)
    assert np.array_equal(fixed.x_test, digits.data().x_test)


@pytest.mark.parametrize("redraw", ["train", "all"])
def test_limits_take_fewer_rows_and_a_shared_test_set_the_same_ones(numbered, redraw):
    few = replace(numbered, redraw=redraw, train_rows=20, val_rows=12, test_rows=15)
    assert few.sizes() == (20, 12, 15)
    drawn = [rows_of(few.replicate(split)) for split in range(30)]
    for rows in drawn:
        assert tuple(len(rows[part]) for part in ("train", "val", "test")) == (20, 12, 15)
        assert not set(rows["train"]) & set(rows["val"])
        assert not set(rows["test"]) & {*rows["train"], *rows["val"]}
        assert np.abs(np.bincount(np.array(rows["test"]) % 3) - 5).max() <= 1
    tests = {tuple(sorted(rows["test"])) for rows in drawn}
    assert len(tests) == (1 if redraw == "train" else 30)
    # rows beyond the limit take their turn in other replicates
    pool = 120 if redraw == "train" else 160
    assert len({row for rows in drawn for row in rows["train"]}) > 0.9 * pool


def test_a_limit_above_what_there_is_takes_all(numbered):
    assert replace(numbered, train_rows=1000, val_rows=1000, test_rows=1000).sizes() == numbered.sizes() == (90, 30, 40)


def test_what_is_left_out_is_told(numbered, monkeypatch):
    assert numbered.left_out() == []
    some = replace(numbered, train_rows=20, test_rows=10)
    assert some.left_out() == ["70 of 90 training rows", "30 of 40 test rows"]
    assert Problem().left_out() == []
    assert Problem(epochs=5).left_out() == []  # asked for
    mnist, digits = PROBLEMS["mnist"], Problem()
    data, sizes = digits.data(), digits.sizes()
    monkeypatch.setattr(Problem, "data", lambda self: data)  # MNIST's own needs a download
    monkeypatch.setattr(Problem, "sizes", lambda self: sizes)
    left = mnist.epochs - mnist.quick().epochs
    assert replace(mnist, epochs=mnist.quick().epochs).left_out() == [f"{left} of {mnist.epochs} epochs"]


def test_what_the_limits_leave_out_is_told():
    assert Problem(val_rows=60, epochs=21).left_out() == ["300 of 360 validation rows"]


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_quick_problem_has_fewer_rows_and_epochs_unless_it_is_small(name):
    whole, quick = PROBLEMS[name], PROBLEMS[name].quick()
    assert quick.dataset == whole.dataset
    if name == "digits":
        assert quick == whole
    else:
        assert all(getattr(quick, limit) for limit in ("train_rows", "val_rows", "test_rows"))
        assert (quick.epochs, quick.target) < (whole.epochs, whole.target)
        assert quick.shares_test
    assert quick.quick() == quick


@pytest.mark.parametrize("name", ["train_rows", "val_rows", "test_rows"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "all"])
def test_a_limit_that_is_no_count_is_refused(name, value):
    with pytest.raises(ol.InputError, match=f"{name} must be a whole number of at least 1"):
        Problem(**{name: value})


@pytest.mark.parametrize(("value", "message"), [("trian", "did you mean 'train'"), (None, "redraw"), (True, "redraw")])
def test_a_redraw_that_is_none_is_refused(value, message):
    with pytest.raises(ol.InputError, match=message):
        Problem(redraw=value)
