"""CIFAR-10's files: the official layouts, pickles that are never run, and every kind of damage and malice."""

import gzip
import hashlib
import os
import pickle
import struct
import tarfile
from pathlib import Path

import dataset_files as made
import numpy as np
import pytest
from dataset_files import MB, peak

import optimlab as ol
from optimlab.datasets import cifar
from optimlab.datasets.pickles import read_pickle

pytestmark = pytest.mark.usefixtures("nothing_of_the_user")


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
    with pytest.raises(ol.InputError, match=f"{len(content)} bytes, but the published archive has 170498071"):
        ol.datasets.load("cifar10", tmp_path)


def test_a_folder_other_than_the_published_is_used_with_a_warning(tmp_path):
    batches = made.cifar_batches()
    made.write(tmp_path / cifar.FOLDER, batches)
    digests = {name: hashlib.md5(content).hexdigest() for name, content in batches.items()}
    check_cifar(cifar.source((), None, batches=digests, rows=20, validation=20).load(tmp_path))
    with pytest.warns(UserWarning, match="used, but not as published: data_batch_3$"):
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
    "a type named by a list": (
        array_pickle(dtype=glob("numpy", "dtype") + b"]\x85R"),
        "something else in place of a name",
    ),
    "another codec": (b"\x80\2" + glob("_codecs", "encode") + b"X\1\0\0\0aX\4\0\0\0zlib\x86R.", "in another encoding"),
    "memory for a billion places": (b"\x80\2Nr\xff\xff\xff\x7f.", "built to exhaust the reader"),
    "text of four gigabytes": (b"\x80\2T\xff\xff\xff\x7fabc.", "not a pickle"),
    "bytes of an exabyte": (b"\x80\4\x8e" + struct.pack("<Q", 1 << 60) + b"abc.", "not a pickle"),
    "tuples in tuples as a key": (b"\x80\2})" + b"\x85" * 100_000 + b"Ns.", "built to exhaust the reader"),
    "integers that collide": (
        b"\x80\2}("
        + b"".join(b"\x8a\x09" + (k * (2**61 - 1)).to_bytes(9, "little") + b"N" for k in range(1000))
        + b"u.",
        "built to exhaust the reader",
    ),
    "a million of nothing": (b"\x80\2" + b"N" * 1_000_000 + b".", "built to exhaust the reader"),
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
    "a label over 9": (made.python3_batch(ROWS[0], [*ROWS[1][1:], 10]), "labels from 0 to 10, but they must be 0 to 9"),
    "a label below 0": (made.python3_batch(ROWS[0], [*ROWS[1][1:], -1]), "labels from -1 to 9"),
    "a huge label": (made.python3_batch(ROWS[0], [*ROWS[1][1:], 2**100]), "but they must be 0 to 9"),
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
    with pytest.raises(ol.InputError, match="data_batch_4: too long for a batch of CIFAR-10: more than 192416 bytes"):
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
    "a batch missing": (made.archive(GOOD[:-1]), "test_batch missing"),
    "all missing": (made.archive([("other/data_batch_1", b"")]), "data_batch_1, data_batch_2"),
    "a batch twice": (made.archive([*GOOD, GOOD[0]]), "data_batch_1 is not a file, or occurs twice"),
    "a folder for a batch": (
        made.archive([(member(f"{cifar.FOLDER}/data_batch_1", tarfile.DIRTYPE), b""), *GOOD]),
        "data_batch_1 is not a file",
    ),
    "a symbolic link": (
        made.archive([(member("a", tarfile.SYMTYPE, "/etc/passwd"), b""), *GOOD]),
        "not CIFAR-10: a is not a regular file",
    ),
    "a batch that is a link": (
        made.archive([(member(f"{cifar.FOLDER}/data_batch_1", tarfile.SYMTYPE, "/etc/passwd"), b"")]),
        "not CIFAR-10: cifar-10-batches-py/data_batch_1 is not a regular file",
    ),
    "a hard link": (
        made.archive([(member("a", tarfile.LNKTYPE, "../b"), b""), *GOOD]),
        "not CIFAR-10: a is not a regular file",
    ),
    "a device": (made.archive([(member("a", tarfile.CHRTYPE), b""), *GOOD]), "not CIFAR-10: a is not a regular file"),
    "a pipe": (made.archive([(member("a", tarfile.FIFOTYPE), b""), *GOOD]), "not CIFAR-10: a is not a regular file"),
    "an absolute name": (made.archive([("/etc/passwd", b""), *GOOD]), "/etc/passwd points outside its folder"),
    "a name that climbs": (made.archive([("a/../../b", b""), *GOOD]), "a/../../b points outside its folder"),
    "a batch that climbs": (made.archive([(f"{cifar.FOLDER}/../x", b""), *GOOD]), "points outside its folder"),
    "a Windows name that climbs": (made.archive([("..\\b", b""), *GOOD]), "points outside its folder"),
    "a thousand files": (made.archive([(f"a{k}", b"") for k in range(1000)]), "more than 100 files"),
    "a member of 8 GB": (lying_archive(8 << 30), f"claims to have {8 << 30} bytes"),
    "another member of 8 GB": (lying_archive(8 << 30, "readme"), f"claims to have {8 << 30} bytes"),
    "a member longer than the file": (lying_archive(100_000), "cannot be read as a .tar.gz"),
    "a member shorter than it is": (lying_archive(1000), "not a pickle of plain data"),
    "a negative size": (lying_archive(-512), "claims to have -512 bytes"),
    "a name of 8 GB": (
        gzip.compress(HUGE_NAME.tobuf(tarfile.GNU_FORMAT) + bytes(1024)),
        "moves back, or forward by 8589934592 bytes",
    ),
    "a batch too long": (
        made.archive([(GOOD[0][0], GOOD[0][1] + bytes(MB))]),
        "data_batch_1 claims to have 1110818 bytes",
    ),
    "a bomb": (made.archive([("readme", bytes(30 * MB)), *GOOD]), f"readme claims to have {30 * MB} bytes"),
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
