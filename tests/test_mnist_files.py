"""MNIST's files: the official layout, and every kind of damage and malice."""

import gzip
import os
import struct

import dataset_files as made
import numpy as np
import pytest
from dataset_files import MB, peak

import optimlab as ol
from optimlab.datasets import idx, mnist

pytestmark = pytest.mark.usefixtures("nothing_of_the_user")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("subfolder", ["", "mnist"])
def test_mnist_is_read_plain_and_packed_in_the_folder_or_in_its_own(tmp_path, packed, subfolder):
    made.write(tmp_path / subfolder, made.mnist_files(packed=packed))
    x, y, x_test, y_test = made.mnist_arrays()
    data = made.mnist_source().load(tmp_path)
    np.testing.assert_array_equal(data.x_train, x[:20].reshape(20, 784) / np.float32(255))
    np.testing.assert_array_equal(data.x_val, x[20:].reshape(10, 784) / np.float32(255))
    np.testing.assert_array_equal(data.x_test, x_test.reshape(12, 784) / np.float32(255))
    np.testing.assert_array_equal(np.concatenate([data.y_train, data.y_val]), y)
    np.testing.assert_array_equal(data.y_test, y_test)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.int64)
    assert data.x_train.flags.c_contiguous


def test_places_are_searched_in_order(tmp_path, monkeypatch):
    """The argument, the variable, the cache folder; a file that is missing in one is taken from the next."""
    source = made.mnist_source()
    files = made.mnist_files()
    root, variable, cache = tmp_path / "root", tmp_path / "variable", tmp_path / "cache"
    monkeypatch.setenv("OPTIMLAB_DATA", str(variable))
    made.write(cache / "mnist", files)
    assert {source.find(f, root).parent for f in source.files} == {cache / "mnist"}
    made.write(variable, files)
    assert {source.find(f, root).parent for f in source.files} == {variable}
    made.write(root / "mnist", dict(list(files.items())[:2]))
    assert [source.find(f, root).parent for f in source.files] == 2 * [root / "mnist"] + 2 * [variable]
    assert len(source.load(root).y_train) == 20


@pytest.fixture(scope="module")
def full_fashion(tmp_path_factory):
    """Fashion-MNIST's layout in full size, nearly all zeros."""
    arrays = [np.zeros((60_000, 28, 28), "uint8"), np.arange(60_000) % 10]
    arrays += [np.zeros((10_000, 28, 28), "uint8"), np.arange(10_000) % 10]
    arrays[0][:, 5, 5] = np.arange(60_000) % 256
    folder = tmp_path_factory.mktemp("fashion")
    made.write(folder, made.mnist_files(arrays))
    return folder


@pytest.mark.slow
def test_a_full_size_load_holds_less_than_twice_what_it_returns(full_fashion):
    source = mnist.source("fashion_mnist", mnist.FASHION.classes, (), (None,) * 4)
    most, data = peak(source.load, full_fashion)
    returned = sum(a.nbytes for a in (data.x_train, data.x_val, data.x_test, data.y_train, data.y_val, data.y_test))
    assert most < 1.05 * returned
    assert repr(data) == "<Dataset fashion_mnist: 50000 training, 10000 validation, 10000 test rows of 784 features>"
    np.testing.assert_array_equal(data.x_train[:256, 5 * 28 + 5], np.arange(256, dtype="float32") / 255)
    assert data.classes[9] == "Ankle boot"
    with pytest.raises(
        ol.InputError, match=r"labels-idx1-ubyte.gz: not the published file: SHA-256 \w+, expected bad35"
    ):
        ol.datasets.load("fashion_mnist", full_fashion)


@pytest.mark.slow
@pytest.mark.skipif("OPTIMLAB_DATA" not in os.environ, reason="OPTIMLAB_DATA does not name a folder with real data")
def test_the_real_mnist(monkeypatch):
    monkeypatch.undo()
    try:
        data = ol.datasets.load("mnist", download=False)
    except ol.InputError as error:
        pytest.skip(str(error))
    assert np.bincount(np.concatenate([data.y_train, data.y_val]))[:3].tolist() == [5923, 6742, 5958]
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_allclose([data.x_test.mean(), data.x_test.std()], [0.1325, 0.3105], atol=1e-4)
    # the mean and deviation that everyone standardises MNIST with are those of its 60,000 training rows
    x = np.concatenate([data.x_train, data.x_val])
    np.testing.assert_allclose([x.mean(dtype="float64"), x.std(dtype="float64")], [0.1307, 0.3081], atol=5e-5)


def header(*dims, magic=None):
    return (magic or struct.pack(">HBB", 0, 8, len(dims))) + struct.pack(f">{len(dims)}I", *dims)


IMAGES = made.idx_bytes(made.mnist_arrays()[0])
LABELS = made.idx_bytes(made.mnist_arrays()[1])
BOMB = gzip.compress(header(30, 28, 28) + bytes(20 * MB), 9)

BAD_IDX = {
    "empty": (0, b"", "not an IDX file of bytes with 3 axes: it begins with b''"),
    "wrong magic": (0, b"PK\3\4" + IMAGES[4:], "not an IDX file"),
    "floats": (0, b"\0\0\x0d\3" + IMAGES[4:], "not an IDX file of bytes"),
    "other axes": (0, LABELS, "not an IDX file of bytes with 3 axes"),
    "cut off in the header": (0, IMAGES[:9], "ends within its header"),
    "huge dimensions": (0, header(2**32 - 1, 2**32 - 1, 2**32 - 1), "its header says 4294967295 x 4294967295 x"),
    "other length": (
        0,
        made.idx_bytes(np.zeros((29, 28, 28))),
        "expected 30 x 28 x 28 values, but its header says 29 x",
    ),
    "cut off": (0, IMAGES[:-1], "ends after 23519 of 23520 values"),
    "header alone": (0, IMAGES[:16], "ends after 0 of 23520"),
    "trailing bytes": (0, IMAGES + b"\0", "continues after its last value"),
    "far too long": (0, IMAGES + bytes(MB), "too long for an IDX file of 30 x 28 x 28"),
    "one pixel changed": (0, IMAGES[:-1] + b"\0", "not the published file: SHA-256"),
    "truncated gzip": (0, gzip.compress(IMAGES)[:-300], "cannot be read: Compressed file ended before"),
    "gzip without its end": (0, gzip.compress(IMAGES)[:-4], "cannot be read: Compressed file ended before"),
    "gzip header alone": (0, b"\x1f\x8b", "cannot be read"),
    "damaged gzip": (0, gzip.compress(IMAGES)[:40] + b"\xff" * 40 + gzip.compress(IMAGES)[80:], "cannot be read"),
    "wrong checksum": (0, gzip.compress(IMAGES)[:-8] + bytes(8), "cannot be read: CRC check failed"),
    "gzip with junk behind": (0, gzip.compress(IMAGES) + b"junk", "cannot be read: Not a gzipped file"),
    "two gzips": (0, gzip.compress(IMAGES) + gzip.compress(b"more"), "continues after its last value"),
    "gzip bomb": (0, BOMB, "continues after its last value"),
    "label over 9": (1, LABELS[:-1] + b"\x0a", "label 10, but labels must be 0 to 9"),
    "fewer labels than images": (1, made.idx_bytes(np.zeros(29)), "expected 30 values, but its header says 29"),
    "more labels": (1, made.idx_bytes(np.zeros(31)), "expected 30 values, but its header says 31"),
}


@pytest.mark.parametrize("case", BAD_IDX)
@pytest.mark.parametrize("checked", [True, False])
def test_a_bad_idx_file_is_refused_with_the_reason(tmp_path, case, checked):
    """With the digest known and, but for what only the digest shows, without."""
    which, content, message = BAD_IDX[case]
    if not checked and "published" in message:
        return
    name = list(made.mnist_files())[which]
    folder = made.write(tmp_path, made.mnist_files() | {name: content})
    source = made.mnist_source() if checked else mnist.source("m", tuple("0123456789"), (), (None,) * 4, (30, 12), 10)
    most, error = peak(source.load, folder)
    assert isinstance(error, ol.InputError)
    assert str(error).startswith(f"{folder / name}: ")
    assert message in str(error)
    assert most < 4 * MB


def test_a_folder_where_a_file_was_due_is_refused(tmp_path):
    (tmp_path / "train-labels-idx1-ubyte").mkdir()
    made.write(tmp_path, made.mnist_files())
    with pytest.raises(ol.InputError, match="train-labels-idx1-ubyte: cannot be read: Is a directory"):
        made.mnist_source().load(tmp_path)


def test_check_idx_keeps_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(IMAGES))
    idx.check_idx(path, idx.Idx((30, 28, 28)))
    with pytest.raises(ol.InputError, match="not the published file"):
        idx.check_idx(path, idx.Idx((30, 28, 28), "0" * 64))
