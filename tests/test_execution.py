"""Execution of runs: where, what happens when a worker dies, and what is left of it."""

import contextlib
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import pytest
from conftest import require
from run_files import kept, names
from sketches import Killing, blas_threads, ctrl_c_held, failing, sketch, slow
from threadpoolctl import threadpool_limits

import optimlab as ol
from optimlab.study import Contender, Problem, Run, Store, execution
from optimlab.study.digests import key_of
from optimlab.study.execution import one_by_one, run_all, workers
from optimlab.study.results import encoded
from optimlab.study.run import execute

distributed = require("distributed")

PROBLEM = Problem(hidden=(4,), epochs=2, redraw="train", test_rows=50)
OWN_RULE = """
import numpy as np

def signed(w, g, m, *, t, lr=1e-3, beta=0.9):
    m = beta * m + (1 - beta) * g
    return w - lr * m / np.sqrt(m * m + 1e-8), m
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two optimizers, and a rule that is in no module a worker could import."""
    path = tmp_path_factory.mktemp("rule") / "rule.py"
    path.write_text(OWN_RULE)
    signed = Contender("signed", rule=runpy.run_path(path)["signed"])
    contenders = Contender("sgd"), Contender("adam", "torch"), signed
    return [
        Run(PROBLEM, contender, lr, seed, split)
        for contender in contenders
        for lr in (0.01, 1e30)
        for seed, split in ((0, 3), (1, 4))
    ]


def seeds(number):
    return [Run(PROBLEM, Contender("sgd"), 0.1, seed) for seed in range(number)]


@pytest.fixture(scope="module")
def cluster():
    """Two workers, each a process; a worker that dies takes what it ran with it at once."""
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def two_processes():
    with workers(jobs=2) as pool:
        yield pool


# --- results


@pytest.mark.slow
def test_curves_are_the_same_wherever_they_are_computed(runs, tmp_path, two_processes, cluster):
    """One process, two, a Dask cluster, and in reverse: the same bits, in the order asked."""

    def curves(name, runs=runs, **options):
        records = run_all(runs, Store(tmp_path / name), execute=one_by_one(execute), **options)
        assert [record.key for record in records] == [run.key for run in runs]
        return [replace(r, seconds=0.0, curves=replace(r.curves, seconds=())) for r in records]

    alone = curves("alone")
    assert {record.status for record in alone} == {"ok", "diverged"}
    assert any(record.test_rows for record in alone)
    assert curves("reversed", runs[::-1])[::-1] == alone
    assert curves("two", pool=two_processes) == alone
    with distributed.Client(cluster, set_as_default=False) as client, workers(dask=client) as pool:
        assert curves("dask", pool=pool) == alone


@pytest.mark.quick("here")
@pytest.mark.parametrize("kind", ["here", "processes", "dask"])
def test_each_run_is_executed_once_and_kept_when_it_is_finished(kind, tmp_path, two_processes, request):
    runs, notes = seeds(30), []
    with contextlib.ExitStack() as stack:
        if kind == "dask":
            pool = stack.enter_context(workers(dask=request.getfixturevalue("cluster").scheduler_address))
        else:
            pool = two_processes if kind == "processes" else execution.here
        store = stack.enter_context(Store(tmp_path))
        for run in runs[:5]:
            store.append([replace(sketch(run), host={"pid": "from before"})])

        def done(run, record):
            notes.append(record.key)
            assert record.key == run.key
            assert run.key.encode() in (tmp_path / "runs.jsonl").read_bytes()

        records = run_all([*runs, runs[7]], store, execute=one_by_one(sketch), pool=pool, done=done)
    assert [record.key for record in records] == [run.key for run in [*runs, runs[7]]]
    assert [record.host["pid"] for record in records[:5]] == ["from before"] * 5
    assert (os.getpid() in {record.host["pid"] for record in records}) == (kind == "here")
    assert sorted(notes) == sorted(run.key for run in runs)
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["key"] for line in lines) == sorted(run.key for run in runs)


def test_a_chunk_that_has_finished_waits_for_its_place_on_the_disk_no_longer_than_said(tmp_path, monkeypatch):
    """Short runs share a chunk and a write. All chunks that have ended are there when Ctrl-C ends the study, and after
    a long run the next one is smaller."""
    path, writes, now = tmp_path / "runs.jsonl", [], [0.0]
    lasts = [0.1, 0.1, 0.1, 0.1, 9.0, 0.1]
    monkeypatch.setattr(execution, "CHUNK", 0.25)
    monkeypatch.setattr(Problem, "expected_seconds", lambda problem: 0.15)
    for clock in ("monotonic", "perf_counter"):
        monkeypatch.setattr(f"optimlab.study.execution.time.{clock}", lambda: now[0])

    def timed(run):
        writes.append(len(path.read_bytes().splitlines()))
        if run.seed == len(lasts):
            raise KeyboardInterrupt
        now[0] += lasts[run.seed]
        return sketch(run)

    with pytest.raises(KeyboardInterrupt), Store(tmp_path) as store:
        run_all(seeds(9), store, execute=one_by_one(timed))
    assert writes == [0, 0, 0, 2, 2, 4, 4], "chunks of 1, 2, 2, 1, 2"
    assert len(path.read_bytes().splitlines()) == 6


@pytest.mark.slow
def test_a_run_costs_a_pool_less_than_its_steps(tmp_path, two_processes, monkeypatch):
    """A run on digits takes more than ten milliseconds. The best of three, since the machine has other work."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    runs = seeds(600)
    for run in runs:
        assert run.key
    seconds = {"here": [], "processes": []}
    for k in range(3):
        for name, pool in (("here", execution.here), ("processes", two_processes)):
            with Store(tmp_path / f"{name}{k}") as store:
                start = time.process_time()
                run_all(runs, store, execute=one_by_one(sketch), pool=pool)
                seconds[name].append(time.process_time() - start)
    assert {name: min(found) / len(runs) < 1e-3 for name, found in seconds.items()} == {"here": True, "processes": True}


@pytest.mark.slow
def test_a_dask_worker_is_given_several_short_runs_in_one_message_and_long_ones_singly(tmp_path, cluster, monkeypatch):
    sizes, submit = [], distributed.Client.submit

    def noted(client, function, execute, chunk, **options):
        sizes.append(len(chunk))
        return submit(client, function, execute, chunk, **options)

    monkeypatch.setattr(distributed.Client, "submit", noted)
    with workers(dask=cluster.scheduler_address) as pool:
        run_all(seeds(300), Store(tmp_path / "short"), execute=one_by_one(sketch), pool=pool)
        assert sum(sizes) == 300
        assert max(sizes) >= 8
        sizes.clear()
        monkeypatch.setattr(execution, "CHUNK", 0.04)
        monkeypatch.setattr(Problem, "expected_seconds", lambda problem: 2.0)
        run_all(seeds(10), Store(tmp_path / "long"), execute=one_by_one(slow), pool=pool)
        assert sizes == [1] * 10


@pytest.mark.slow
def test_blas_has_one_thread_wherever_it_had_two_before(tmp_path, two_processes, cluster):
    def two_threads():
        threadpool_limits(2)

    with distributed.Client(cluster, set_as_default=False) as client, workers(dask=client) as on_dask:
        for worker in client.nthreads():
            client.submit(two_threads, workers=[worker], pure=False).result()
        for name, pool in (("here", execution.here), ("processes", two_processes), ("dask", on_dask)):
            with threadpool_limits(2):
                records = run_all(seeds(3), Store(tmp_path / name), execute=one_by_one(blas_threads), pool=pool)
            assert [set(record.host["threads"]) for record in records] == [{1}] * 3, name


# --- failures


def test_an_exception_is_a_record_and_the_other_runs_go_on(tmp_path, two_processes, cluster):
    with workers(dask=cluster.scheduler_address) as on_dask:
        for name, pool in (("here", execution.here), ("processes", two_processes), ("dask", on_dask)):
            records = run_all(seeds(8), Store(tmp_path / name), execute=one_by_one(failing), pool=pool)
            assert [record.status for record in records] == ["ok"] * 3 + ["error"] + ["ok"] * 4
            assert records[3].error == "ZeroDivisionError: bad luck"
            assert records[3].run == seeds(4)[3].config()


def test_a_worker_with_other_data_is_found_out(tmp_path):
    def elsewhere(run):
        other = {**run.config(), "data": "other"}
        return replace(sketch(run), key=key_of(other), run=other)

    (record,) = run_all(seeds(1), Store(tmp_path), execute=one_by_one(elsewhere))
    assert (record.key, record.status) == (seeds(1)[0].key, "error")
    assert "other data, another engine" in record.error


@pytest.mark.quick("processes")
@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_a_killed_worker_loses_nothing(kind, tmp_path, two_processes, request):
    """A real SIGKILL in the middle; the user is told, the runs are made again, and none is missing or twice there."""
    runs, marker = seeds(40), tmp_path / "marker"
    with contextlib.ExitStack() as stack:
        pool = two_processes
        if kind == "dask":
            pool = stack.enter_context(workers(dask=request.getfixturevalue("cluster").scheduler_address))
        store = stack.enter_context(Store(tmp_path))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            records = run_all(runs, store, execute=one_by_one(Killing(marker)), pool=pool)
    told = [str(w.message) for w in caught]
    assert sum(bool(re.search(r"died .* during .*repeating these runs one at a time", t)) for t in told) == 1
    assert len(told) == 1 + any(t.startswith("Dask lost the worker") for t in told)
    assert kind == "dask" or "SIGKILL" in told[0]
    assert marker.read_text() == "killed\n"
    assert [record.status for record in records] == ["ok"] * 40
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["key"] for line in lines) == sorted(run.key for run in runs)


@pytest.mark.slow
def test_a_run_that_always_kills_its_worker_is_an_error_that_names_it(tmp_path, two_processes, monkeypatch):
    monkeypatch.setattr(execution, "ALONE", 1)
    runs, marker = seeds(12), tmp_path / "marker"
    with pytest.warns(UserWarning, match="repeating these runs one at a time"):
        records = run_all(runs, Store(tmp_path), execute=one_by_one(Killing(marker, always=True)), pool=two_processes)
    assert [record.status for record in records] == ["ok"] * 5 + ["error"] + ["ok"] * 6
    assert "SIGKILL" in records[5].error
    assert "each time it executed this run" in records[5].error
    assert len(marker.read_text().splitlines()) == 2
    assert not Store(tmp_path).finished(runs[5].key)


@pytest.mark.slow
def test_a_dask_worker_killed_from_outside_is_named_and_its_runs_are_made_again(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(execution, "CHUNK", 0.1)
    monkeypatch.setattr(Problem, "expected_seconds", lambda problem: 2.0)
    runs = seeds(60)  # three seconds: it looks for its workers once a second
    with workers(dask=cluster.scheduler_address) as pool, Store(tmp_path) as store:
        pids = []

        def kill_one(run, record):
            pids.append(record.host["pid"])
            if len(pids) == 4:
                os.kill(pids[0], signal.SIGKILL)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            records = run_all(runs, store, execute=one_by_one(slow), pool=pool, done=kill_one)
    told = [str(w.message) for w in caught]
    assert any(re.match(r"Dask lost the worker tcp://127.0.0.1:\d+: its runs are repeated", t) for t in told)
    assert len(told) <= 2  # the other names the runs, where the scheduler was told to give them back
    assert [record.status for record in records] == ["ok"] * 60
    assert len({record.host["pid"] for record in records}) >= 2
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 60


@pytest.mark.slow
def test_the_crash_of_joblib_1788_costs_nothing(tmp_path, two_processes, monkeypatch):
    """Its error can no longer be provoked in current versions: here it is raised after three results."""
    import joblib

    crashes = []

    class Crashing(joblib.Parallel):
        def __call__(self, tasks):
            return crash(super().__call__(tasks))

    def crash(results):
        for number, result in enumerate(results):
            if number == 3 and not crashes:
                crashes.append(1)
                results.throw(RuntimeError("Set changed size during iteration"))
            yield result

    monkeypatch.setattr(joblib, "Parallel", Crashing)
    records = run_all(seeds(20), Store(tmp_path), execute=one_by_one(sketch), pool=two_processes)
    assert crashes == [1]
    assert len({record.key for record in records}) == 20
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 20


def gone(group):
    """Return True if no process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


PROGRAM = """
import sys, time
from optimlab.study import Contender, Problem, Record, Run, Store
from optimlab.study.execution import one_by_one, run_all, workers

def slow(run):
    time.sleep(0.05)
    return Record(run.key, run.config(), "diverged")

runs = [Run(Problem(), Contender("sgd"), 0.1, seed) for seed in range(500)]
try:
    with Store(sys.argv[1]) as store, workers(jobs=2) as pool:
        run_all(runs, store, execute=one_by_one(slow), pool=pool)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


OF_JOBLIB = re.compile(
    r"^\S*resource_tracker\.py:\d+: UserWarning: resource_tracker: .*\n  warnings\.warn\(.*\n"
    r"|^Exception in thread ExecutorManagerThread:\nTraceback.*\n(?:  .*\n)+KeyError: \d+\n",
    re.MULTILINE,
)
"""What joblib, stopped in the midst, says of its own semaphores and threads, once in some hundred times."""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_when_the_study_is_interrupted_or_killed(number, tmp_path):
    """Ctrl-C goes to the whole group of processes, as a terminal sends it; SIGKILL to the study alone, early, so that
    some workers have had no run yet."""
    path = tmp_path / "runs.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n"))
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
            output, error = process.communicate(timeout=60)
            assert output == "interrupted\n"
            assert OF_JOBLIB.sub("", error) == ""
        else:
            process.kill()
            process.wait()
        wait_until(lambda: gone(process.pid))
    with Store(tmp_path) as store:
        assert 1 <= len(store.records) < 500


@pytest.mark.slow
def test_ctrl_c_is_for_the_study_and_not_for_its_workers(tmp_path):
    """They would each print a traceback: from the first moment, in the midst of their imports, they hold it back."""

    with workers(jobs=2) as pool:
        records = run_all(seeds(20), Store(tmp_path), execute=one_by_one(ctrl_c_held), pool=pool)
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert all(record.host["held"] and record.host["pid"] != os.getpid() for record in records)


# --- what cannot be used


def test_a_cluster_that_does_not_answer_is_one_clear_error_soon(monkeypatch):
    monkeypatch.setattr(execution, "PATIENCE", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for address in ("tcp://127.0.0.1:1", f"127.0.0.1:{silent.getsockname()[1]}", "nonsense", "http://x:1", ""):
            start = time.monotonic()
            with pytest.raises(ol.InputError, match="no Dask scheduler at"), workers(dask=address):
                pass
            assert time.monotonic() - start < 3


@pytest.mark.slow
def test_a_scheduler_without_workers_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(execution, "PATIENCE", 1.0)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(ol.InputError, match="has no worker; start one: dask worker tcp:"),
        workers(dask=empty.scheduler_address),
    ):
        pass


def test_jobs_and_dask_that_make_no_sense_are_refused():
    for options, message in (
        ({"jobs": 0}, "jobs must be a whole number of at least 1, got 0"),
        ({"jobs": 1.5}, "jobs must be a whole number"),
        ({"jobs": 2, "dask": "tcp://127.0.0.1:8786"}, "give jobs or dask, not both"),
    ):
        with pytest.raises(ol.InputError, match=message), workers(**options):
            pass


CLUSTER = """
import time
from distributed import LocalCluster

if __name__ == "__main__":
    options = dict(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0")
    with LocalCluster(**options) as cluster:
        print(cluster.scheduler_address, flush=True)
        time.sleep(60)
"""


@pytest.mark.slow
def test_a_cluster_that_is_killed_is_one_clear_error_and_finished_runs_are_kept(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(Problem, "expected_seconds", lambda problem: 2.0)
    path = tmp_path / "cluster.py"
    path.write_text(CLUSTER)
    with subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True) as cluster:
        address = cluster.stdout.readline().strip()
        lost = pytest.raises(ol.InputError, match="connection to the Dask scheduler was lost; finished runs are kept")
        with Store(tmp_path) as store, workers(dask=address) as pool, lost:
            run_all(seeds(50), store, execute=one_by_one(slow), pool=pool, done=lambda run, record: cluster.kill())
    assert 1 <= len(Store(tmp_path).records) < 50
    assert "Traceback" not in capfd.readouterr().err


def test_dask_workers_with_another_optimlab_are_refused(cluster, monkeypatch):
    monkeypatch.setattr(execution, "__version__", "0.0.0")
    refused = pytest.raises(ol.InputError, match=r"the workers of tcp://.* have optimlab \S+, not 0\.0\.0 as here")
    with refused, workers(dask=cluster.scheduler_address):
        pass


def test_inside_a_worker_the_runs_are_made_in_it(tmp_path):
    """Run where joblib starts no processes of its own; the calling process must survive it."""
    import joblib

    def nested():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Loky-backed parallel loops cannot be nested below threads")
            with workers(jobs=2) as pool:
                return run_all(seeds(3), Store(tmp_path), execute=one_by_one(sketch), pool=pool)

    (records, _) = joblib.Parallel(2, backend="threading")([joblib.delayed(nested)(), joblib.delayed(int)()])
    assert {record.host["pid"] for record in records} == {os.getpid()}


# --- one writer at a time


HOLDER = """
import sys, time
from optimlab.study import Record, Store
from optimlab.study.results import decoded
with Store(sys.argv[1]) as store:
    store.append([decoded(Record, sys.argv[2].encode())])
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_ends_even_by_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("optimlab.study.store.GRACE", 0.1)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), encoded(kept("a")).decode()], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        before = (tmp_path / "runs.jsonl").read_bytes()
        reader = Store(tmp_path)
        assert names(reader) == ["a"]
        for write in (reader.__enter__, lambda: reader.append([kept("b")])):
            with pytest.raises(ol.InputError, match=f"another process is writing to {tmp_path}"):
                write()
        assert (tmp_path / "runs.jsonl").read_bytes() == before
        holder.kill()
    with reader as store:
        store.append([kept("b")])
    assert names(Store(tmp_path)) == ["a", "b"]


def test_a_writer_takes_in_what_was_written_since_it_read(tmp_path):
    early = Store(tmp_path)
    Store(tmp_path).append([kept("a")])
    with early:
        assert early.finished(kept("a").key)


def test_a_line_in_the_middle_of_being_written_is_left_to_its_writer(tmp_path):
    with Store(tmp_path) as writer:
        writer.append([kept("a")])
        line = encoded(kept("b")) + b"\n"
        with writer.path.open("ab") as file:
            file.write(line[:20])
        with pytest.warns(UserWarning, match="dropped an incomplete last line"):
            assert names(Store(tmp_path)) == ["a"]
        with writer.path.open("ab") as file:
            file.write(line[20:])
    assert names(Store(tmp_path)) == ["a", "b"]


def test_a_line_that_did_not_fit_is_taken_back(tmp_path):
    """The system lets ten bytes of it through, as a disk does that fills up."""
    resource = require("resource")
    with Store(tmp_path) as store:
        store.append([kept("a")])
        whole, limits = store.path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, limits[1]))
        try:
            with pytest.raises(ol.InputError, match=r"cannot write .*: File too large"):
                store.append([kept("b")])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.path.read_bytes() == whole
        store.append([kept("c")])
    assert names(Store(tmp_path)) == ["a", "c"]


@pytest.mark.slow
def test_the_last_record_of_a_key_counts(tmp_path):
    with Store(tmp_path) as store:
        store.append([kept("a", "error", error="bad luck")])
        store.append([kept("a")])
    assert Store(tmp_path).records == {kept("a").key: kept("a")}
