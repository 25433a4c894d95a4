"""Fetching data sets, from a server of our own that gives whole, wrong and broken files."""

import hashlib
import json
import os
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dataset_files as made
import numpy as np
import pytest
from click.testing import CliRunner

import optimlab as ol
from optimlab.cli import main
from optimlab.datasets import downloads
from optimlab.study.plan import Problem

FILES = made.mnist_files()
IMAGES = "train-images-idx3-ubyte.gz"


class Server(ThreadingHTTPServer):
    """Folders of files, each spoilt in its own way; ``asked`` are the requests in their order."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.files = dict(FILES)

    def address(self, folder):
        return f"http://127.0.0.1:{self.server_port}/{folder}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, way, name = self.path.split("/")
        asked = self.headers.get("Range")
        self.server.asked.append((way, name, asked))
        content = self.server.files.get(name)
        if way == "gone" or content is None:
            self.send_error(404)
            return
        if way == "moved":
            self.send_response(302)
            self.send_header("Location", f"/whole/{name}")
            self.end_headers()
            return
        if way in ("other", "page"):
            content = content[:-9] + b"\0" + content[-8:] if way == "other" else b"<html>please log in</html>"
        if way == "endless":
            content = content + bytes(10_000_000)
        start = 0
        if asked and way in ("cut", "stubborn"):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start or way == "part" else 200)
        if start or way == "part":
            self.send_header("Content-Range", f"bytes {start or 5}-{len(content) - 1}/{len(content)}")
        if way == "silent":
            self.send_response(204)
        self.send_header("Content-Length", len(content) - start)
        self.end_headers()
        first = len([a for a in self.server.asked if a[:2] == (way, name)]) == 1
        if way == "dead" or (way in ("cut", "cut, no ranges") and first) or way == "stubborn":
            half = content[start : start + max(1, (len(content) - start) // 2)]
            self.wfile.write(half if way != "dead" else b"")
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    started = Server()
    thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield started
    started.shutdown()
    thread.join()
    started.server_close()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.delenv("OPTIMLAB_DATA", raising=False)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "cache"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: folder)
    return folder


def source(server, *ways):
    return made.mnist_source(mirrors=tuple(map(server.address, ways)))


def left(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_what_is_nowhere_is_fetched_once(server, cache):
    data = source(server, "whole").load()
    assert len(data.y_train) == 20
    assert {p.name: p.read_bytes() for p in (cache / "mnist").iterdir()} == FILES
    assert server.asked == [("whole", name, None) for name in FILES]
    source(server, "whole").load()
    assert len(server.asked) == 4


def test_it_goes_where_root_says(server, tmp_path, cache):
    source(server, "whole").load(tmp_path / "here")
    assert left(tmp_path / "here" / "mnist") == sorted(FILES)
    assert not cache.exists()


def test_only_what_is_missing_is_fetched(server, tmp_path, monkeypatch, cache):
    """What the folder of the variable holds is used; the rest goes to the cache folder, not there."""
    made.write(tmp_path / "mine", {name: FILES[name] for name in list(FILES)[:3]})
    monkeypatch.setenv("OPTIMLAB_DATA", str(tmp_path / "mine"))
    source(server, "whole").load()
    assert [name for _, name, _ in server.asked] == list(FILES)[3:] == left(cache)


def test_the_second_mirror_helps(server, cache):
    for ways in (("gone", "whole"), ("other", "whole"), ("page", "whole"), ("dead", "whole"), ("endless", "whole")):
        server.asked.clear()
        assert source(server, *ways).load(cache / ways[0]).x_test.shape == (12, 784)
        assert [way for way, name, _ in server.asked if name == IMAGES][-1] == "whole"
        assert left(cache / ways[0]) == sorted(FILES)


def test_a_file_that_has_moved_is_followed(server, cache):
    source(server, "moved").load()
    assert left(cache) == sorted(FILES)


def test_a_download_that_was_cut_off_goes_on_there(server, cache):
    source(server, "cut").load()
    half = len(FILES[IMAGES]) // 2 // downloads._CHUNK * downloads._CHUNK
    assert server.asked[:2] == [("cut", IMAGES, None), ("cut", IMAGES, f"bytes={half}-")]
    assert {p.name: p.read_bytes() for p in (cache / "mnist").iterdir()} == FILES


def test_it_begins_again_where_the_server_cannot_go_on(server, cache):
    source(server, "cut, no ranges").load()
    assert {p.name: p.read_bytes() for p in (cache / "mnist").iterdir()} == FILES


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("gone", "answers 404 Not Found"),
        ("other", "cannot be read: CRC check failed"),
        ("page", "not an IDX file of bytes with 3 axes"),
        ("dead", "was interrupted"),
        ("stubborn", "was interrupted"),
        ("part", "sends another part than requested"),
        ("endless", "sends more than the"),
    ],
)
def test_a_mirror_that_fails_is_named_with_the_reason_and_nothing_is_left(server, cache, monkeypatch, way, reason):
    monkeypatch.setattr(downloads, "_CHUNK", 512)
    with pytest.raises(ol.InputError) as caught:
        source(server, way).load()
    message = str(caught.value)
    assert f"({server.address(way)}{IMAGES}: {reason}" in message
    assert list(cache.rglob("*")) == []
    assert len(server.asked) == (downloads._PARTS if reason == "was interrupted" else 1)


def test_a_wrong_digest_is_refused(server, cache):
    server.files = made.mnist_files(made.mnist_arrays(seed=1))
    with pytest.raises(
        ol.InputError, match=r"train-images-idx3-ubyte.gz: not the published file: SHA-256 \w{64}, expec"
    ):
        source(server, "whole").load()
    assert list(cache.rglob("*")) == []


def test_cifar_is_compared_with_its_digest(server, cache):
    content = made.cifar_archive()
    server.files[made.cifar.ARCHIVE] = content
    digest = hashlib.md5(content).hexdigest()
    data = made.cifar_source(digest, len(content), (server.address("cut"),)).load()
    assert data.x_train.shape == (80, 3072)
    assert left(cache) == [made.cifar.ARCHIVE]
    with pytest.raises(ol.InputError, match="not the published archive: MD5"):
        made.cifar_source("0" * 32, len(content), (server.address("whole"),)).load(cache / "other")
    assert left(cache) == [made.cifar.ARCHIVE]


def test_all_mirrors_failing_is_one_line_that_says_what_to_do(server, cache):
    refused = "http://127.0.0.1:9/nobody/"
    failing = made.mnist_source(mirrors=(server.address("gone"), refused))
    with pytest.raises(ol.InputError) as caught:
        failing.load()
    message = str(caught.value)
    assert "\n" not in message
    assert f"{server.address('gone')}{IMAGES}: answers 404 Not Found; {refused}{IMAGES}: no connection" in message
    assert f"Get {', '.join(FILES)} from {server.address('gone')} or {refused}" in message
    assert f"put them into {cache / 'mnist'}, or set root= or OPTIMLAB_DATA to their folder" in message
    assert list(cache.rglob("*")) == []


def test_downloads_can_be_off(cache):
    with pytest.raises(ol.InputError, match=r"cifar10: cifar-10-python.tar.gz is in none of .*\(downloads are off\)"):
        ol.datasets.load("cifar10", download=False)
    assert not cache.exists()


def test_a_silent_server_is_given_up(server, cache, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.1)
    monkeypatch.setattr(Handler, "do_GET", lambda self: time.sleep(0.4))
    with pytest.raises(ol.InputError, match="no answer"):
        source(server, "whole").load()
    assert list(cache.rglob("*")) == []


def test_a_place_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ol.InputError, match=r"cannot write .*file/mnist/train-images-idx3-ubyte.gz: Not a directory"):
        source(server, "whole").load(tmp_path / "file")


def test_ctrl_c_leaves_nothing(server, cache, monkeypatch):
    def interrupt(self, chunk):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads._Limited, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        source(server, "whole").load()
    assert list(cache.rglob("*")) == []


def test_what_a_killed_process_left_is_swept(server, cache):
    old, new = (cache / "mnist" / f".{IMAGES}.{k}-1" for k in (1, 2))
    made.write(cache / "mnist", {old.name: b"old", new.name: b"still being written"})
    os.utime(old, (0, 0))
    source(server, "whole").load()
    assert left(cache) == sorted([*FILES, new.name])


def test_two_at_once_do_not_disturb_each_other(server, cache):
    results = []
    threads = [threading.Thread(target=lambda: results.append(source(server, "whole").load())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(data.y_train) for data in results] == [20] * 4
    assert left(cache) == sorted(FILES)


# ------------------------------------------------------------------------------------------------ command line


def run(*arguments):
    return CliRunner().invoke(main, ["datasets", *map(str, arguments)])


def test_the_command_gets_and_describes(server, cache, monkeypatch):
    monkeypatch.setitem(ol.datasets.SOURCES, "mnist", source(server, "whole"))
    listed = json.loads(run("--json").stdout)["datasets"]
    assert [d["name"] for d in listed] == ["digits", "mnist", "fashion_mnist", "cifar10"]
    assert {d["name"]: d["rows"] for d in listed}["cifar10"] == [40_000, 10_000, 10_000]
    assert [d["found"] for d in listed] == ["bundled", None, None, None]
    assert run("mnist", "--offline").exit_code == 2
    result = run("mnist")
    assert result.exit_code == 0, result.output
    assert "train          20 rows, 2 to 2 a class" in result.stdout
    again = {d["name"]: d for d in json.loads(run("--json").stdout)["datasets"]}["mnist"]
    assert again["found"] == str(cache / "mnist")
    assert again["bytes"] == sum(map(len, FILES.values()))
    table = run().stdout
    assert "50000 / 10000 / 10000" in table
    assert f"Looked in {cache}" in table


def test_the_command_checks_files_of_ones_own(tmp_path):
    path = made.write(tmp_path, {"mine.npz": made.npz_bytes(**made.npz_arrays())}) / "mine.npz"
    described = json.loads(run(path, "--json").stdout)
    assert described["splits"]["test"] == {"rows": 9, "rows_per_class": [3, 3, 3]}
    path.write_bytes(b"not found")
    result = run(path)
    assert result.exit_code == 2
    assert result.stderr == f"optimlab: {path}: not an .npz file, or a damaged one: File is not a zip file\n"
    result = run("mnits")
    assert result.exit_code == 2
    assert result.stderr.startswith("optimlab: unknown data set 'mnits'; did you mean 'mnist'")


def test_a_comparison_on_data_without_validation_splits_it_off_and_says_so(tmp_path):
    path = made.write(tmp_path, {"mine.npz": made.npz_bytes(**made.npz_arrays())}) / "mine.npz"
    problem = replace(Problem(), dataset=str(path))
    assert problem.notes() == ("the data have no validation rows, so 6 of 30 training rows were drawn for validation",)
    assert problem.sizes() == (24, 6, 9)
    assert problem.data().y_val.tolist() != problem.data().y_train[-6:].tolist()
    assert np.bincount(problem.data().y_val).tolist() == [2, 2, 2]
