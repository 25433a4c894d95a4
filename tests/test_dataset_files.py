"""Reading MNIST's, CIFAR-10's and NumPy's files: official layouts, and every kind of damage and malice."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import dataset_files as made
import numpy as np
import pytest

import optimlab as ol
from optimlab.datasets import cifar, idx, mnist
from optimlab.datasets.pickles import read_pickle

MB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("OPTIMLAB_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")


def peak(function, *arguments):
    """The most bytes the call held at once, and its result or the error it raised."""
    tracemalloc.start()
    try:
        result = function(*arguments)
    except ol.InputError as error:
        result = error
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most, result


# ------------------------------------------------------------------------------------------------ MNIST


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
    "cut off in the header": (0, IMAGES[:9], "cut off within its header"),
    "huge dimensions": (0, header(2**32 - 1, 2**32 - 1, 2**32 - 1), "the file says 4294967295 x 4294967295 x"),
    "other length": (0, made.idx_bytes(np.zeros((29, 28, 28))), "expected 30 x 28 x 28 values, the file says 29 x"),
    "cut off": (0, IMAGES[:-1], "cut off after 23519 of 23520 values"),
    "header alone": (0, IMAGES[:16], "cut off after 0 of 23520"),
    "trailing bytes": (0, IMAGES + b"\0", "goes on after its last value"),
    "far too long": (0, IMAGES + bytes(MB), "too long for an IDX file of 30 x 28 x 28"),
    "one pixel changed": (0, IMAGES[:-1] + b"\0", "not the published file: SHA-256"),
    "truncated gzip": (0, gzip.compress(IMAGES)[:-300], "cannot be read: Compressed file ended before"),
    "gzip without its end": (0, gzip.compress(IMAGES)[:-4], "cannot be read: Compressed file ended before"),
    "gzip header alone": (0, b"\x1f\x8b", "cannot be read"),
    "damaged gzip": (0, gzip.compress(IMAGES)[:40] + b"\xff" * 40 + gzip.compress(IMAGES)[80:], "cannot be read"),
    "wrong checksum": (0, gzip.compress(IMAGES)[:-8] + bytes(8), "cannot be read: CRC check failed"),
    "gzip with junk behind": (0, gzip.compress(IMAGES) + b"junk", "cannot be read: Not a gzipped file"),
    "two gzips": (0, gzip.compress(IMAGES) + gzip.compress(b"more"), "goes on after its last value"),
    "gzip bomb": (0, BOMB, "goes on after its last value"),
    "label over 9": (1, LABELS[:-1] + b"\x0a", "label 10, where 0 to 9 are accepted"),
    "fewer labels than images": (1, made.idx_bytes(np.zeros(29)), "expected 30 values, the file says 29"),
    "more labels": (1, made.idx_bytes(np.zeros(31)), "expected 30 values, the file says 31"),
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


# ------------------------------------------------------------------------------------------------ CIFAR-10

FORMS = {
    "python 2": made.python2_batch,
    **{
        f"protocol {p}, numpy.{'core' if old else '_core'}": (
            lambda data, labels, p=p, old=old: made.python3_batch(data, labels, p, old)
        )
        for p in (2, 3, 4, 5)
        for old in (True, False)
    },
    "labels in an array": lambda data, labels: made.python3_batch(data, np.array(labels), 4),
    "Fortran order": lambda data, labels: made.python3_batch(np.asfortranarray(data), labels, 4),
    "Fortran order, protocol 5": lambda data, labels: made.python3_batch(np.asfortranarray(data), labels, 5),
    "a view, protocol 5": lambda data, labels: made.python3_batch(np.repeat(data, 2, axis=0)[::2], labels, 5),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_read_in_every_form(tmp_path, form):
    made.write(tmp_path / cifar.FOLDER, made.cifar_batches(FORMS[form]))
    check_cifar(made.cifar_source().load(tmp_path))


def check_cifar(data):
    planes = np.concatenate([made.cifar_arrays(k)[0] for k in range(6)]).reshape(120, 3, 32, 32)
    pixels = planes.transpose(0, 2, 3, 1).reshape(120, 3072) / np.float32(255)
    np.testing.assert_array_equal(np.concatenate([data.x_train, data.x_val, data.x_test]), pixels)
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [80, 20, 20]
    assert data.y_train.tolist() == 4 * made.cifar_arrays()[1]
    assert data.classes[6] == "frog"


def test_the_forms_are_what_they_claim():
    """The old names are in the old forms alone, and pickle itself reads the Python 2 form as the same arrays."""
    for form, make in FORMS.items():
        content = make(*made.cifar_arrays())
        assert (b"numpy.core" in content) == ("python 2" in form or "numpy.core" in form)
    data, labels = made.cifar_arrays()
    plain = pickle.loads(made.python2_batch(data, labels), encoding="bytes")
    np.testing.assert_array_equal(plain[b"data"], data)
    assert plain[b"labels"] == labels


def test_the_archive_is_read_without_unpacking(tmp_path):
    content = made.cifar_archive()
    made.write(tmp_path, {cifar.ARCHIVE: content})
    check_cifar(made.cifar_source().load(tmp_path))
    digest = hashlib.md5(content).hexdigest()
    check_cifar(made.cifar_source(digest, len(content)).load(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == [cifar.ARCHIVE]


def test_an_archive_other_than_the_published_is_refused(tmp_path):
    content = made.cifar_archive()
    made.write(tmp_path, {cifar.ARCHIVE: content})
    with pytest.raises(ol.InputError, match=r"not the published archive: MD5 \w+, expected 000"):
        made.cifar_source("0" * 32, len(content)).load(tmp_path)
    with pytest.raises(ol.InputError, match=f"{len(content)} bytes, the published archive has 170498071"):
        ol.datasets.load("cifar10", tmp_path)


def test_a_folder_other_than_the_published_is_used_with_a_warning(tmp_path):
    batches = made.cifar_batches()
    made.write(tmp_path / cifar.FOLDER, batches)
    digests = {name: hashlib.md5(content).hexdigest() for name, content in batches.items()}
    check_cifar(cifar.source((), None, batches=digests, rows=20, validation=20).load(tmp_path))
    with pytest.warns(UserWarning, match="used, though not as published: data_batch_3$"):
        cifar.source((), None, batches=digests | {"data_batch_3": ""}, rows=20, validation=20).load(tmp_path)


class Runs:
    """Whoever unpickles this creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_run(tmp_path):
    """A pickle that creates a file when it is loaded, put where each loader looks, creates none."""
    path = tmp_path / "was run"
    evil = pickle.dumps(Runs(path))
    pickle.loads(evil)
    assert path.exists(), "the pickle does what it is meant to"
    path.unlink()
    data, labels = made.cifar_arrays()
    batches = made.cifar_batches()
    for content in (evil, pickle.dumps({"data": data, "labels": labels, "more": Runs(path)})):
        folder = made.write(tmp_path / "a" / cifar.FOLDER, batches | {"data_batch_2": content}).parent
        with pytest.raises(ol.InputError, match="data_batch_2: not a pickle of plain data: it asks for pathlib"):
            made.cifar_source().load(folder)
        packed = made.write(tmp_path / "b", {cifar.ARCHIVE: made.cifar_archive(batches | {"test_batch": content})})
        with pytest.raises(ol.InputError, match="test_batch: not a pickle of plain data: it asks for pathlib"):
            made.cifar_source().load(packed)
    objects = np.array([Runs(path)] * 30, object)
    for name in ("x_train", "y_train", "classes"):
        file = made.write(tmp_path, {"objects.npz": made.npz_bytes(**made.npz_arrays() | {name: objects})})
        with pytest.raises(ol.InputError, match=f"{name}.npy holds Python objects, which are not read"):
            ol.datasets.load(file / "objects.npz")
    assert not path.exists()


def glob(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


RECONSTRUCT = glob("numpy.core.multiarray", "_reconstruct") + glob("numpy", "ndarray") + b"K\0\x85U\1b\x87R"


BYTES = glob("numpy", "dtype") + b"U\2u1K\0K\1\x87R"


def array_pickle(shape=b"K\2\x85", dtype=BYTES, content=b"U\2ab"):
    return b"\x80\2" + RECONSTRUCT + b"(K\1" + shape + dtype + b"\x89" + content + b"tb."


BAD_PICKLES = {
    "empty": (b"", "pickle exhausted before seeing STOP"),
    "cut off": (made.python2_batch(*made.cifar_arrays())[:5000], "not a pickle"),
    "no pickle": (b"<html>not found</html>", "not a pickle"),
    "a function": (pickle.dumps(os.system), "it asks for posix.system"),
    "eval": (b"\x80\2" + glob("builtins", "eval") + b"U\0011\x85R.", "it asks for builtins.eval"),
    "eval, of Python 2": (glob("__builtin__", "eval") + b"U\0011\x85R.", "it asks for __builtin__.eval"),
    "eval, named on the stack": (pickle.dumps(eval, 4), "it asks for builtins.eval"),
    "another of NumPy's": (pickle.dumps(np.float64(1)), "it asks for numpy._core.multiarray.scalar"),
    "NumPy's runstring": (b"\x80\2" + glob("numpy.testing", "runstring") + b".", "it asks for numpy.testing.runstring"),
    "through a dot": (b"\x80\4\x8c\5numpy\x8c\x0bndarray.sum\x93.", "it asks for numpy.ndarray.sum"),
    "an old instance": (b"(ios\nsystem\n.", "it uses INST"),
    "an object": (b"(" + glob("os", "system") + b"o.", "it uses OBJ"),
    "a new object": (b"\x80\2" + glob("numpy", "ndarray") + b")\x81.", "it uses NEWOBJ"),
    "protocol 0": (pickle.dumps({"data": 1}, 0), "it uses DICT"),
    "a registered extension": (b"\x80\2\x82\1.", "it uses EXT1"),
    "a persistent id": (b"Pid\n.", "it uses PERSID"),
    "a buffer from outside": (b"\x80\5\x97.", "it uses NEXT_BUFFER"),
    "a set": (pickle.dumps({1, 2}, 4), "it uses EMPTY_SET"),
    "a name altered": (b"\x80\2" + glob("numpy", "ndarray") + b"}U\1xK\1sb.", "it alters what it names"),
    "a name's attribute altered": (b"\x80\2" + glob("numpy", "dtype") + b"N}U\1xK\1s\x86b.", "it alters what it names"),
    "an array of objects": (pickle.dumps(np.array([None])), "an array of O8"),
    "an array of records": (pickle.dumps(np.zeros(2, "i4,i4")), "an array of V8"),
    "an array of dates": (pickle.dumps(np.zeros(2, "M8[s]")), "an array of M8"),
    "an array of text": (pickle.dumps(np.array(["a"])), "an array of U1"),
    "a subclass": (pickle.dumps(np.ma.array([1])), "it asks for numpy.ma"),
    "a huge array": (array_pickle(b"\x8a\x07" + b"\xff" * 6 + b"\x7f\x85"), "of another shape than its 2 bytes"),
    "a huge shape of zero": (array_pickle(b"K\0J\xff\xff\xff\x7f\x86"), "of another shape than its 2 bytes"),
    "a negative shape": (array_pickle(b"J\xff\xff\xff\xff\x85"), "of another shape than its 2 bytes"),
    "a shape of text": (array_pickle(b"U\1a\x85"), "of another shape than its 2 bytes"),
    "a shape of nothing": (array_pickle(b"N"), "of another shape than its 2 bytes"),
    "content that is no bytes": (array_pickle(content=b"]"), "of something other than numbers"),
    "a type that is none": (array_pickle(dtype=b"N"), "of something other than numbers"),
    "a type named by a list": (array_pickle(dtype=glob("numpy", "dtype") + b"]\x85R"), "where a name was due"),
    "another codec": (b"\x80\2" + glob("_codecs", "encode") + b"X\1\0\0\0aX\4\0\0\0zlib\x86R.", "in another encoding"),
    "memory for a billion places": (b"\x80\2Nr\xff\xff\xff\x7f.", "made to exhaust the reader"),
    "text of four gigabytes": (b"\x80\2T\xff\xff\xff\x7fabc.", "not a pickle"),
    "bytes of an exabyte": (b"\x80\4\x8e" + struct.pack("<Q", 1 << 60) + b"abc.", "not a pickle"),
    "tuples in tuples as a key": (b"\x80\2})" + b"\x85" * 100_000 + b"Ns.", "made to exhaust the reader"),
    "integers that collide": (
        b"\x80\2}("
        + b"".join(b"\x8a\x09" + (k * (2**61 - 1)).to_bytes(9, "little") + b"N" for k in range(1000))
        + b"u.",
        "made to exhaust the reader",
    ),
    "a million of nothing": (b"\x80\2" + b"N" * 1_000_000 + b".", "made to exhaust the reader"),
    "an unhashable key": (b"\x80\2}]Ns.", "unhashable type"),
    "two values at once": (b"\x80\2K\1a.", "not a pickle"),
}


@pytest.mark.parametrize("case", BAD_PICKLES)
def test_a_bad_pickle_is_refused_with_the_reason(case):
    content, message = BAD_PICKLES[case]
    most, error = peak(read_pickle, content)
    assert isinstance(error, ol.InputError)
    assert str(error).startswith("not a pickle of plain data: ")
    assert message in str(error)
    assert len(str(error)) < 300
    assert most < 4 * MB


def test_a_refused_pickle_alters_nothing():
    """After all of these the arrays of others are still read."""
    for content, _ in BAD_PICKLES.values():
        with pytest.raises(ol.InputError):
            read_pickle(content)
    for kind in ("u1", "<i2", ">i4", "u8", "<f2", ">f4", "f8"):
        array = np.arange(6).reshape(2, 3).astype(kind)
        again = read_pickle(pickle.dumps(array))
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype


ROWS = made.cifar_arrays()
BAD_BATCHES = {
    "no dictionary": (pickle.dumps([1, 2]), "not a batch of CIFAR-10, but a list"),
    "no data": (pickle.dumps({"labels": ROWS[1]}), "expected data of 20 x 3072 bytes, got NoneType"),
    "other rows": (made.python3_batch(ROWS[0][:19], ROWS[1]), "expected data of 20 x 3072 bytes, got (19, 3072) uint8"),
    "other numbers": (made.python3_batch(ROWS[0].astype("i2"), ROWS[1]), "got (20, 3072) int16"),
    "no labels": (pickle.dumps({"data": ROWS[0]}), "expected 20 labels, a list of integers"),
    "fewer labels": (made.python3_batch(ROWS[0], ROWS[1][1:]), "expected 20 labels"),
    "a label of text": (made.python3_batch(ROWS[0], [*ROWS[1][1:], "cat"]), "expected 20 labels"),
    "a label that is true": (made.python3_batch(ROWS[0], [*ROWS[1][1:], True]), "expected 20 labels"),
    "labels of fractions": (made.python3_batch(ROWS[0], np.ones(20)), "expected 20 labels"),
    "a label over 9": (made.python3_batch(ROWS[0], [*ROWS[1][1:], 10]), "labels from 0 to 10, where 0 to 9"),
    "a label below 0": (made.python3_batch(ROWS[0], [*ROWS[1][1:], -1]), "labels from -1 to 9"),
    "a huge label": (made.python3_batch(ROWS[0], [*ROWS[1][1:], 2**100]), "where 0 to 9 are accepted"),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
@pytest.mark.parametrize("packed", [True, False])
def test_a_bad_batch_is_refused_with_the_reason(tmp_path, case, packed):
    content, message = BAD_BATCHES[case]
    batches = made.cifar_batches() | {"data_batch_4": content}
    if packed:
        made.write(tmp_path, {cifar.ARCHIVE: made.cifar_archive(batches)})
    else:
        made.write(tmp_path / cifar.FOLDER, batches)
    where = tmp_path / (cifar.ARCHIVE if packed else cifar.FOLDER) / "data_batch_4"
    with pytest.raises(ol.InputError) as caught:
        made.cifar_source().load(tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{where}: ")


def test_a_batch_that_is_too_long_is_not_read(tmp_path):
    long = made.python2_batch(*ROWS) + bytes(MB)
    made.write(tmp_path / cifar.FOLDER, made.cifar_batches() | {"data_batch_4": long})
    with pytest.raises(ol.InputError, match="data_batch_4: more than 192416 bytes, too long for a batch of CIFAR-10"):
        made.cifar_source().load(tmp_path)


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def lying_archive(size, name="cifar-10-batches-py/data_batch_1"):
    """One member whose header says another size than it has."""
    info = tarfile.TarInfo(name)
    info.size = size
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + made.python2_batch(*made.cifar_arrays()) + bytes(1024), 1)


GOOD = [(f"{cifar.FOLDER}/{name}", content) for name, content in made.cifar_batches().items()]
HUGE_NAME = member("a" * 100, tarfile.GNUTYPE_LONGNAME)
HUGE_NAME.size = 1 << 33
BAD_ARCHIVES = {
    "empty": (b"", "cannot be read as a .tar.gz"),
    "no gzip": (b"not found", "cannot be read as a .tar.gz: Not a gzipped file"),
    "gzip of something else": (gzip.compress(b"a" * 5000), "cannot be read as a .tar.gz"),
    "cut off": (made.archive(GOOD)[:-20_000], "cannot be read as a .tar.gz: Compressed file ended"),
    "a batch missing": (made.archive(GOOD[:-1]), "holds no test_batch"),
    "all missing": (made.archive([("other/data_batch_1", b"")]), "holds no data_batch_1, data_batch_2"),
    "a batch twice": (made.archive([*GOOD, GOOD[0]]), "data_batch_1 is no file, or is there twice"),
    "a folder for a batch": (
        made.archive([(member(f"{cifar.FOLDER}/data_batch_1", tarfile.DIRTYPE), b""), *GOOD]),
        "data_batch_1 is no file",
    ),
    "a symbolic link": (made.archive([(member("a", tarfile.SYMTYPE, "/etc/passwd"), b""), *GOOD]), "a is a link"),
    "a batch that is a link": (
        made.archive([(member(f"{cifar.FOLDER}/data_batch_1", tarfile.SYMTYPE, "/etc/passwd"), b"")]),
        "data_batch_1 is a link",
    ),
    "a hard link": (made.archive([(member("a", tarfile.LNKTYPE, "../b"), b""), *GOOD]), "a is a link"),
    "a device": (made.archive([(member("a", tarfile.CHRTYPE), b""), *GOOD]), "a is a link, a device"),
    "a pipe": (made.archive([(member("a", tarfile.FIFOTYPE), b""), *GOOD]), "a is a link, a device"),
    "an absolute name": (made.archive([("/etc/passwd", b""), *GOOD]), "/etc/passwd points out of its folder"),
    "a name that climbs": (made.archive([("a/../../b", b""), *GOOD]), "a/../../b points out of its folder"),
    "a batch that climbs": (made.archive([(f"{cifar.FOLDER}/../x", b""), *GOOD]), "points out of its folder"),
    "a Windows name that climbs": (made.archive([("..\\b", b""), *GOOD]), "points out of its folder"),
    "a thousand files": (made.archive([(f"a{k}", b"") for k in range(1000)]), "more than 100 files"),
    "a member of 8 GB": (lying_archive(8 << 30), f"says that it has {8 << 30} bytes"),
    "another member of 8 GB": (lying_archive(8 << 30, "readme"), f"says that it has {8 << 30} bytes"),
    "a member longer than the file": (lying_archive(100_000), "cannot be read as a .tar.gz"),
    "a member shorter than it is": (lying_archive(1000), "not a pickle of plain data"),
    "a negative size": (lying_archive(-512), "says that it has -512 bytes"),
    "a name of 8 GB": (
        gzip.compress(HUGE_NAME.tobuf(tarfile.GNU_FORMAT) + bytes(1024)),
        "goes back, or on by 8589934592 bytes",
    ),
    "a batch too long": (
        made.archive([(GOOD[0][0], GOOD[0][1] + bytes(MB))]),
        "data_batch_1 says that it has 1110818 bytes",
    ),
    "a bomb": (made.archive([("readme", bytes(30 * MB)), *GOOD]), f"readme says that it has {30 * MB} bytes"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_is_refused_with_the_reason(tmp_path, case):
    content, message = BAD_ARCHIVES[case]
    folder = made.write(tmp_path, {cifar.ARCHIVE: content})
    most, error = peak(made.cifar_source().load, folder)
    assert isinstance(error, ol.InputError), error
    assert str(error).startswith(f"{folder / cifar.ARCHIVE}")
    assert message in str(error)
    assert most < 4 * MB
    assert [p.name for p in tmp_path.iterdir()] == [cifar.ARCHIVE]


# ------------------------------------------------------------------------------------------------ .npz


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
    assert ol.datasets.load(npz(tmp_path, x_train=np.ones((30, 48)) * np.arange(30)[:, None])).x_train.max() == 29


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
    "another zip": (zip_with("readme", b""), "holds no x_train; expected x_train, y_train"),
    "one array alone": (made.npz_bytes(x_train=X), "holds no y_train"),
    "no array": (zip_with("x_train.npy", b"not an array"), "damaged"),
    "a huge shape": (zip_with("x_train.npy", npy(described((1 << 40, 784)), b"ab")), "says that it is of shape"),
    "a negative shape": (zip_with("x_train.npy", npy(described((-1, 2)), b"ab")), "says that it is of shape"),
    "too few bytes": (zip_with("x_train.npy", npy(described((3,)), b"ab")), "of shape (3,), but has 2 bytes"),
    "too many bytes": (zip_with("x_train.npy", npy(described((1,)), b"ab")), "of shape (1,), but has 2 bytes"),
    "a shape that is code": (zip_with("x_train.npy", npy("{'shape': open('x')}", b"ab")), "damaged"),
    "records": (zip_with("x_train.npy", npy(described((1,), [("a", "<i4")]), b"abcd")), "where numbers are expected"),
    "version 3": (zip_with("x_train.npy", npy(described((2,)), b"ab", 3)), "of version (3, 0)"),
    "a member of 8 GB": (
        zip_with("x_train.npy", npy(described((8 << 30,)), b"ab"), file_size=8 << 30),
        f"says that it has {8 << 30} bytes",
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
    "fractions as labels": (dict(y_train=Y / 2), "y_train must be one integer a row, got float64"),
    "text as labels": (dict(y_train=Y.astype(str)), "y_train must be one integer a row"),
    "truths as labels": (dict(y_test=np.ones(9, bool)), "y_test must be one integer a row, got bool"),
    "several columns of labels": (dict(y_train=np.eye(3, dtype=int)[Y]), "y_train must be one integer a row"),
    "a label of test alone": (dict(y_test=np.arange(9)), "y_test holds labels from 0 to 8, where 0 to 2 are accepted"),
    "a negative label": (dict(y_train=Y - 1), "y_train holds labels from -1 to 1"),
    "a huge label": (dict(y_train=Y + 10**9), "y_train holds label 1000000002, but only 30 rows"),
    "the largest label": (
        dict(y_test=np.full(9, 2**64 - 1, "uint64")),
        "y_test holds labels from 18446744073709551615",
    ),
    "lengths differ": (dict(y_train=Y[:29]), "x_train has 30 rows, y_train 29"),
    "no rows": (dict(x_train=X[:0], y_train=Y[:0]), "y_train must be one integer a row, got int64 of shape (0,)"),
    "no test rows": (dict(x_test=X[:0], y_test=Y[:0]), "x_test must be real numbers of shape (rows, ...)"),
    "no features": (dict(x_train=np.ones((30, 0))), "x_train must be real numbers"),
    "one axis": (
        dict(x_train=np.arange(30)),
        "x_train must be real numbers of shape (rows, ...), got int64 of shape (30,)",
    ),
    "complex": (dict(x_train=X.reshape(30, 48) * 1j), "x_train.npy holds complex128, where numbers are expected"),
    "text": (dict(x_train=X.reshape(30, 48).astype(str)), "x_train must be real numbers"),
    "dates": (dict(x_train=np.zeros((30, 2), "M8[s]")), "holds datetime64[s], where numbers are expected"),
    "other features in test": (dict(x_test=np.zeros((9, 47))), "x_test has 47 features, x_train 48"),
    "half a validation split": (dict(x_val=X), "the val split needs both x_val and y_val"),
    "half a test split": (dict(x_test=None), "the test split needs both"),
    "fewer names than classes": (dict(classes=np.array(["a", "b"])), "labels from 0 to 2, where 0 to 1 are accepted"),
    "names that are numbers": (dict(classes=np.arange(3)), "classes must be a list of names"),
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
