"""NumPy's files of one's own: what is accepted, and every kind of damage and malice."""

import io
import os
import struct
import zipfile
from pathlib import Path

import dataset_files as made
import numpy as np
import pytest
from dataset_files import MB, peak

import optimlab as ol

pytestmark = pytest.mark.usefixtures("nothing_of_the_user")


def npz(folder, **changes):
    arrays = {name: a for name, a in (made.npz_arrays() | changes).items() if a is not None}
    return made.write(folder, {"mine.npz": made.npz_bytes(**arrays)}) / "mine.npz"


def test_images_become_rows_and_bytes_are_scaled(tmp_path):
    data = ol.datasets.load(npz(tmp_path))
    assert repr(data) == "<Dataset mine: 30 training, 9 test rows of 48 features>"
    np.testing.assert_array_equal(data.x_train, made.npz_arrays()["x_train"].reshape(30, 48) / np.float32(255))
    assert (data.x_train.dtype, data.y_train.dtype, data.classes) == (np.float32, np.int64, ("0", "1", "2"))
    assert data.x_val is None
    split = data.with_validation(10, train_rows=5)
    assert repr(split) == "<Dataset mine: 5 training, 10 validation, 9 test rows of 48 features>"
    np.testing.assert_array_equal(split.x_train, data.x_train[:5])
    np.testing.assert_array_equal(split.y_val, data.y_train[20:])
    assert np.shares_memory(split.x_val, data.x_train)


def test_other_numbers_are_taken_as_they_are(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 5))
    y = made.npz_arrays()["y_train"]
    path = npz(tmp_path, x_train=np.asfortranarray(x), x_test=x[:9], x_val=x[:3], y_val=y[:3].reshape(3, 1))
    data = ol.datasets.load(str(path))
    np.testing.assert_array_equal(data.x_train, x.astype("float32"))
    assert (data.x_val.shape, data.y_val.shape) == ((3, 5), (3,))
    names = np.array(["a", "b", "c", "d"])
    assert ol.datasets.load(npz(tmp_path, classes=names, y_train=y.astype("uint8"))).classes == ("a", "b", "c", "d")
    steps = np.ones((30, 48)) * np.arange(30)[:, None]
    assert ol.datasets.load(npz(tmp_path, x_train=steps, x_test=steps[:9])).x_train.max() == 29


def zip_with(name, content, **changes):
    """A zip archive of one member, what the archive says of it changed afterwards."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(name, content)
        info = file.infolist()[0]
        for key, value in changes.items():
            setattr(info, key, value)
    return out.getvalue()


def npy(header, content=b"", version=1):
    text = (repr(header) if isinstance(header, dict) else header).encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + content


def described(shape, descr="|u1", order=False):
    return {"descr": descr, "fortran_order": order, "shape": shape}


X = made.npz_arrays()["x_train"]
Y = made.npz_arrays()["y_train"]
BAD_NPZ = {
    "no zip": (b"not found", "not an .npz file, or a damaged one: File is not a zip file"),
    "empty": (b"", "not an .npz file"),
    "an .npy": (npy(described((2,)), b"ab"), "not an .npz file"),
    "cut off": (made.npz_bytes(**made.npz_arrays())[:-30], "not an .npz file, or a damaged one"),
    "another zip": (zip_with("readme", b""), "x_train is missing; expected x_train, y_train"),
    "one array alone": (made.npz_bytes(x_train=X), "y_train is missing"),
    "no array": (zip_with("x_train.npy", b"not an array"), "damaged"),
    "a huge shape": (zip_with("x_train.npy", npy(described((1 << 40, 784)), b"ab")), "claims the shape"),
    "a negative shape": (zip_with("x_train.npy", npy(described((-1, 2)), b"ab")), "claims the shape"),
    "too few bytes": (zip_with("x_train.npy", npy(described((3,)), b"ab")), "claims the shape (3,), but has 2 bytes"),
    "too many bytes": (zip_with("x_train.npy", npy(described((1,)), b"ab")), "claims the shape (1,), but has 2 bytes"),
    "a shape that is code": (zip_with("x_train.npy", npy("{'shape': open('x')}", b"ab")), "damaged"),
    "records": (zip_with("x_train.npy", npy(described((1,), [("a", "<i4")]), b"abcd")), "not numbers"),
    "version 3": (zip_with("x_train.npy", npy(described((2,)), b"ab", 3)), "has version (3, 0)"),
    "a member of 8 GB": (
        zip_with("x_train.npy", npy(described((8 << 30,)), b"ab"), file_size=8 << 30),
        f"claims to have {8 << 30} bytes",
    ),
    "another compression": (zip_with("x_train.npy", b"", compress_type=12), "in a way that NumPy does not write"),
    "encrypted": (zip_with("x_train.npy", npy(described((2,)), b"ab"), flag_bits=1), "damaged"),
    "objects": (made.npz_bytes(x_train=np.array([None]), y_train=Y), "holds Python objects, which are not read"),
}
REFUSED = {
    "one class": (dict(y_train=np.zeros(30, int), y_test=np.zeros(9, int)), "y_train holds only class 0"),
    "all alike": (dict(x_train=np.ones((30, 48))), "x_train holds the same values in every row"),
    "NaN": (dict(x_train=np.where(np.arange(48) == 7, np.nan, X.reshape(30, 48))), "x_train holds NaN or infinite"),
    "infinite": (dict(x_test=np.full((9, 48), np.inf)), "x_test holds NaN or infinite values"),
    "too large for float32": (dict(x_test=np.full((9, 48), 1e300)), "x_test holds NaN or infinite values"),
    "text as labels": (dict(y_train=Y.astype(str)), "y_train must be one integer per row"),
    "truths as labels": (dict(y_test=np.ones(9, bool)), "y_test must be one integer per row, got bool"),
    "several columns of labels": (
        dict(y_train=np.eye(3, dtype=int)[Y]),
        "for one-hot rows write y_train.argmax(axis=1)",
    ),
    "several columns of test labels": (dict(y_test=np.eye(3)[Y[:9]]), "for one-hot rows write y_test.argmax(axis=1)"),
    "a label of test alone": (dict(y_test=np.arange(9)), "y_test holds labels from 0 to 8, but they must be 0 to 2"),
    "a negative label": (dict(y_train=Y - 1), "y_train holds labels from -1 to 1"),
    "a huge label": (dict(y_train=Y + 10**9), "y_train holds label 1000000002, but only 30 rows"),
    "the largest label": (
        dict(y_test=np.full(9, 2**64 - 1, "uint64")),
        "y_test holds labels from 18446744073709551615",
    ),
    "lengths differ": (dict(y_train=Y[:29]), "x_train has 30 rows, but y_train has 29"),
    "no rows": (dict(x_train=X[:0], y_train=Y[:0]), "y_train must be one integer per row, got int64 of shape (0,)"),
    "no test rows": (dict(x_test=X[:0], y_test=Y[:0]), "x_test must be real numbers of shape (rows, ...)"),
    "no features": (dict(x_train=np.ones((30, 0))), "x_train must be real numbers"),
    "one axis": (
        dict(x_train=np.arange(30)),
        "x_train must be real numbers of shape (rows, ...), got int64 of shape (30,)",
    ),
    "complex": (dict(x_train=X.reshape(30, 48) * 1j), "x_train.npy holds complex128, not numbers"),
    "text": (dict(x_train=X.reshape(30, 48).astype(str)), "x_train must be real numbers"),
    "dates": (dict(x_train=np.zeros((30, 2), "M8[s]")), "holds datetime64[s], not numbers"),
    "other features in test": (dict(x_test=np.zeros((9, 47))), "x_test has 47 features, but x_train has 48"),
    "half a validation split": (dict(x_val=X), "the val split needs both x_val and y_val"),
    "half a test split": (dict(x_test=None), "the test split needs both"),
    "fewer names than classes": (dict(classes=np.array(["a", "b"])), "labels from 0 to 2, but they must be 0 to 1"),
    "names that are numbers": (dict(classes=np.arange(3)), "classes must be a list of names"),
    "bytes beside other numbers": (
        dict(x_train=X, x_test=X[:9].astype(int)),
        "x_train is uint8, x_test is int64: only bytes are scaled to the range from 0 to 1, so give all splits the",
    ),
    "no names": (dict(classes=np.array([], str)), "classes must be a list of names"),
}


@pytest.mark.parametrize("case", [*BAD_NPZ, *REFUSED])
def test_a_bad_npz_is_refused_with_the_reason(tmp_path, case):
    if case in BAD_NPZ:
        content, message = BAD_NPZ[case]
        path = made.write(tmp_path, {"mine.npz": content}) / "mine.npz"
    else:
        changes, message = REFUSED[case]
        path = npz(tmp_path, **changes)
    most, error = peak(ol.datasets.load, path)
    assert isinstance(error, ol.InputError), error
    assert str(error).startswith(f"{path}: ")
    assert message in str(error)
    assert most < 4 * MB


def test_an_npz_that_is_not_there(tmp_path):
    with pytest.raises(ol.InputError, match=r"none.npz: cannot be read: No such file or directory"):
        ol.datasets.load(tmp_path / "none.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ol.InputError, match=r"folder.npz: cannot be read: Is a directory"):
        ol.datasets.load(tmp_path / "folder.npz")


@pytest.mark.slow
@pytest.mark.skipif("OPTIMLAB_DATA" not in os.environ, reason="OPTIMLAB_DATA does not name a folder with real data")
def test_the_real_cifar_subset(monkeypatch):
    monkeypatch.undo()
    path = Path(os.environ["OPTIMLAB_DATA"], "cifar10_subset.npz")
    if not path.exists():
        pytest.skip(f"no {path}")
    data = ol.datasets.load(path).with_validation(10_000, train_rows=5_000)
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [5_000, 10_000, 4_000]
    counts = np.bincount(data.y_train)
    assert (counts.min(), counts.max()) == (437, 536)
    assert data.x_train.shape == (5_000, 3072)
    ol.datasets.check_for_study(data)
