"""Inputs on a common scale: by the training split alone, and never NaN."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_same_bits, require
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import optimlab as ol
from optimlab.datasets import normalization
from optimlab.datasets.normalization import Standardize, scale_255

torch = require("torch")


def images(rows=50, pixels=16, channels=3, dtype="float32"):
    g = np.random.default_rng(0)
    x = g.normal(loc=[1.0, -2.0, 300.0], scale=[0.5, 3.0, 20.0], size=(rows, pixels, channels))
    return x.reshape(rows, -1).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_per_feature_is_pytorchs_mean_and_std(dtype):
    x = images(dtype=dtype)
    scale = Standardize.fit(x)
    std, mean = torch.std_mean(torch.tensor(x).double(), dim=0, unbiased=False)
    np.testing.assert_allclose(scale.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(scale.std, std, rtol=1e-12)
    out = scale(x)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, (torch.tensor(x).double() - mean) / std, rtol=1e-5, atol=1e-6)


def test_per_feature_is_scikit_learns_scaler():
    preprocessing = require("sklearn.preprocessing")
    x = images(dtype="float64")
    x[:, 3] = 0.1
    np.testing.assert_allclose(Standardize.fit(x)(x), preprocessing.StandardScaler().fit_transform(x), atol=1e-10)


def test_per_channel_of_images_flattened_row_by_row():
    x = images()
    scale = Standardize.fit(x, channels=3)
    pictures = torch.tensor(x).double().reshape(50, 4, 4, 3)
    std, mean = torch.std_mean(pictures, dim=(0, 1, 2), unbiased=False)
    np.testing.assert_allclose(scale.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(scale.std, std, rtol=1e-12)
    expected = ((pictures - mean) / std).reshape(50, -1)
    np.testing.assert_allclose(scale(x), expected, rtol=1e-5, atol=1e-6)


def test_validation_and_test_data_do_not_influence_it():
    data = ol.datasets.load("digits")
    spoiled = replace(data, x_val=data.x_val * 1000 + 7, x_test=np.full_like(data.x_test, 5.0))
    ours, theirs = (Standardize.fit(d.x_train).dataset(d) for d in (data, spoiled))
    assert_same_bits(ours.x_train, theirs.x_train)
    assert not np.array_equal(ours.x_val, theirs.x_val)
    # one and the same map for every split, row by row
    scale = Standardize.fit(data.x_train)
    np.testing.assert_array_equal(scale(data.x_val[3:4]), ours.x_val[3:4])
    np.testing.assert_array_equal(scale(data.x_test), ours.x_test)
    assert (ours.classes, ours.name) == (data.classes, data.name)
    np.testing.assert_array_equal(ours.y_val, data.y_val)


def test_constant_features_become_zero_in_every_split():
    data = ol.datasets.load("digits")
    constant = data.x_train.min(axis=0) == data.x_train.max(axis=0)
    assert constant.any()
    scaled = Standardize.fit(data.x_train).dataset(replace(data, x_val=data.x_val + 1))
    for x in (scaled.x_train, scaled.x_val, scaled.x_test):
        assert np.isfinite(x).all()
        assert not x[:, constant].any()
    # a constant that rounding would give a spread of its own
    assert not Standardize.fit(np.full((1000, 2), 0.1)).std.any()


def test_a_dataset_without_validation():
    data = ol.Dataset([[1.0], [3.0]], [0, 1])
    scaled = Standardize.fit(data.x_train).dataset(data)
    np.testing.assert_array_equal(scaled.x_train, [[-1.0], [1.0]])
    assert scaled.x_val is scaled.x_test is None


def test_many_rows_go_through_in_blocks(monkeypatch):
    x = images(50)
    whole, out = Standardize.fit(x, 3), Standardize.fit(x)(x)
    monkeypatch.setattr(normalization, "_ROWS", 7)
    blocks = Standardize.fit(x, 3)
    np.testing.assert_allclose(blocks.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(blocks.std, whole.std, rtol=1e-13)
    np.testing.assert_allclose(Standardize.fit(x)(x), out, rtol=1e-5, atol=1e-6)


def test_state_is_plain_data_and_gives_the_same_again():
    x = images()
    for channels in (None, 3):
        scale = Standardize.fit(x, channels)
        again = Standardize(**json.loads(json.dumps(scale.state())))
        assert_same_bits(again(x), scale(x))
        assert again.state() == scale.state()


@settings(max_examples=60, deadline=None)
@given(arrays("float32", st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(-1e6, 1e6, width=32)))
def test_never_nan_and_of_unit_scale(x):
    before = x.copy()
    out = Standardize.fit(x)(x)
    np.testing.assert_array_equal(x, before)
    assert np.isfinite(out).all()
    varies = x.min(axis=0) != x.max(axis=0)
    np.testing.assert_allclose(out.std(axis=0, dtype="float64"), varies, atol=1e-3)


def test_pixels():
    pixels = np.arange(256, dtype="uint8").reshape(16, 16)
    assert_same_bits(scale_255(pixels), pixels.astype("float32") / np.float32(255))
    assert scale_255(pixels.astype("float64")).dtype == "float64"
    assert Standardize.fit(pixels)(pixels).dtype == "float32"
    with pytest.raises(ol.InputError, match="expected values from 0 to 255, got 0 to 256"):
        scale_255([[0, 256]])
    with pytest.raises(ol.InputError, match="from 0 to 255"):
        scale_255([[0.0, np.nan]])


def test_pixels_that_never_change_may_differ_from_each_other():
    """A channel is constant only if all of its pixels have one value."""
    for one, other in ((0.0, 4.0), (4.0, 0.0)):
        scale = Standardize.fit(np.array([[one, other]] * 3), channels=1)
        np.testing.assert_array_equal([scale.mean, scale.std], [[2.0], [2.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardize.fit(np.zeros(4)), r"expected real inputs of shape \(rows, features\), got shape \(4,\)"),
        (lambda: Standardize.fit(np.zeros((0, 4))), "expected real inputs"),
        (lambda: Standardize.fit([["a"]]), "expected real inputs"),
        (lambda: Standardize.fit([[np.nan, 1.0]]), "the training inputs hold NaN"),
        (lambda: Standardize.fit([[np.inf, 1.0]]), "the training inputs hold NaN or infinite"),
        (lambda: Standardize.fit([[np.inf, 1.0], [0.0, 0.0]]), "the training inputs hold NaN or infinite"),
        (lambda: Standardize.fit([[-np.inf, 1.0], [0.0, 0.0]]), "the training inputs hold NaN or infinite"),
        (lambda: Standardize([0.0, np.nan], [1.0, 1.0]), "mean and std must be finite"),
        (lambda: Standardize([0.0, 0.0], [1.0, np.inf]), "mean and std must be finite"),
        (lambda: Standardize([0.0, 0.0], [1.0, -1.0]), "std at least 0"),
        (lambda: Standardize([0.0, 0.0], [-1.0, 1.0]), "std at least 0"),
        (lambda: Standardize.fit(np.zeros((2, 4)), channels=3), "4 features are not a whole number of pixels with 3"),
        (lambda: Standardize.fit(np.zeros((2, 4)), channels=0), "channels must be a whole number of at least 1"),
        (lambda: Standardize.fit(np.zeros((2, 4)))(np.zeros((2, 8))), "expected inputs of 4 features, got 8"),
        (lambda: Standardize.fit(np.zeros((2, 6)), 3)(np.zeros((2, 8))), "a multiple of 3 features, got 8"),
        (lambda: Standardize([0.0], [-1.0]), "std at least 0"),
        (lambda: Standardize([0.0], [1.0, 2.0]), "one number (a|per) feature"),
        (lambda: Standardize([0.0], [1.0], channels=3), "one number (a|per) feature"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ol.InputError, match=message):
        call()


# ---- kept with the network ----


def test_a_network_keeps_its_standardization(tmp_path):
    """Raw inputs in, the same answers as from standardized ones; a checkpoint brings the numbers along."""
    data = ol.datasets.load("digits")
    raw = ol.Dataset(data.x_train * 16, data.y_train, data.x_val * 16, data.y_val)
    scale = ol.Standardize.fit(raw.x_train)
    inside = ol.MLP([64, 16, 10], standardize=scale, seed=0)
    outside = ol.Network([type(layer)(*arguments(layer)) for layer in inside.layers[1:]], seed=1)
    outside.parameters.data[...] = inside.parameters.data
    np.testing.assert_allclose(inside.logits(raw.x_val), outside.logits(scale(raw.x_val)), rtol=1e-4, atol=1e-5)
    ol.fit(inside, ol.Adam(inside.parameters, lr=0.01), raw, epochs=5)
    np.testing.assert_allclose(inside.layers[0].mean, scale.mean, rtol=1e-6)
    ol.save_checkpoint(tmp_path / "c.npz", inside)
    again = ol.MLP([64, 16, 10], standardize=True, seed=3)
    ol.load_checkpoint(tmp_path / "c.npz", again)
    np.testing.assert_array_equal(again.logits(raw.x_val), inside.logits(raw.x_val))
    assert ol.evaluate(again, raw.x_val, raw.y_val)[1] > 0.9


def arguments(layer):
    return (layer.inputs, layer.outputs) if hasattr(layer, "W") else (layer.outputs, layer.activation)


def test_its_gradients_are_right_and_channels_are_repeated():
    g = np.random.default_rng(0)
    x = g.normal(5.0, 3.0, (9, 6))
    net = ol.MLP([6, 4, 3], activation="tanh", standardize=ol.Standardize.fit(x, channels=3), seed=0)
    assert ol.gradcheck(net, x, g.integers(0, 3, 9)).relative_error < 1e-6
    np.testing.assert_allclose(net.layers[0].mean[:3], net.layers[0].mean[3:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ol.MLP([5, 2], standardize=ol.Standardize.fit(np.ones((4, 6)))), "fitted on 6 features"),
        (lambda: ol.MLP([5, 2], standardize="yes"), "standardize takes an ol.Standardize"),
        (lambda: ol.layers.Standardized([0.0], [-1.0]), "std must be a finite number of at least 0"),
        (lambda: ol.layers.Standardized([0.0, 1.0], [1.0]), "one number (a|per) feature"),
    ],
)
def test_a_standardization_that_does_not_fit(make, message):
    with pytest.raises(ol.InputError, match=message):
        make()
