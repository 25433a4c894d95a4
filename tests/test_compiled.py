"""Rules on the compiled backend equal NumPy bit for bit; what was compiled is kept, and llvmlite can be missing."""

from __future__ import annotations

import os
import pickle
import platform
import re
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import assert_same_bits, require
from test_kernels import DTYPES, RULES, T, assert_same_arrays, assert_same_as_numpy, called, host_scalars, specimens

import optimlab as ol
from optimlab import backends, kernels
from optimlab.backends import compiled as engine
from optimlab.backends import llvm
from optimlab.backends.compiled import CompiledStep
from optimlab.kernels.graph import TRANSCENDENTAL
from optimlab.kernels.llvm_source import rule_source

require("llvmlite")
COMPILED = backends.get("compiled")
SGD = kernels.trace(RULES["textbook.sgd"])


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder that nobody has written to before."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        kept_in(folder, patch)
        yield


def kept_in(folder, monkeypatch):
    """Keep kernels in that folder from now on, and forget those of this process."""
    monkeypatch.setattr(llvm, "_folder", lambda: folder)
    monkeypatch.setattr(llvm, "_addresses", {})


def bound(graph, stretches):
    return CompiledStep(COMPILED, graph, stretches)


def updated(dtype="float32"):
    """Take a step of SGD by a kernel that is compiled or read now, and say whether it was read."""
    w = np.ones(3, dtype)
    bound(SGD, [{"w": w, "g": w.copy()}])((0.5,))
    assert w.tolist() == [0.5, 0.5, 0.5]
    return llvm.compilations[-1].cached


# ---- rules ----


@pytest.mark.quick_each("name", "dtype")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_the_loop_equals_the_rule_and_is_vectorised(name, dtype, tmp_path, monkeypatch):
    """The code whose numbers are compared is the code that is looked at: each rule is compiled once."""
    rule, graph = RULES[name], kernels.trace(RULES[name])
    texts, modules, optimise, parsed = [], [], llvm.optimise, llvm._llvm().parse_assembly
    kept_in(tmp_path, monkeypatch)
    monkeypatch.setattr(llvm._llvm(), "parse_assembly", lambda text: [texts.append(text), parsed(text)][1])
    monkeypatch.setattr(llvm, "optimise", lambda module: [modules.append(module), optimise(module)])
    for n in (0, 1, 4099):
        arrays = specimens(rule, dtype, n, seed=n)
        expected = called(rule, arrays)
        with np.errstate(all="ignore"):
            bound(graph, [arrays])(host_scalars(rule))
        assert_same_as_numpy(rule, arrays, expected, f"{n} elements")
    (module,) = modules
    assert texts[0] == rule_source(graph, dtype)
    assembly = llvm.machine().emit_assembly(module)
    assert not re.search(r"\b(vfn?m(add|sub)|fn?m(add|sub|l[as]))", assembly), "rounds once where NumPy rounds twice"
    operations = {node.op for node in graph.nodes}
    if platform.machine() in ("x86_64", "AMD64"):
        if "sqrt" in operations:
            assert re.search(r"\bv?sqrtp[sd]\b", assembly), "the loop is not vectorised"
        if not operations & set(TRANSCENDENTAL):
            assert not re.search(r"\bcallq?\b", assembly), "what is kept needs a function from outside"


@pytest.mark.parametrize("rule", [RULES["textbook.adam"], RULES["keras.nadam"], RULES["made_up.every_comparison"]])
def test_stretches_at_any_place_and_factors_that_become_one(rule):
    arrays = specimens(rule, "float32", 500)
    expected = {name: a.copy() for name, a in arrays.items()}
    stretches = [slice(3, 4), slice(11, 110), slice(110, 301), slice(477, 500)]
    parts = [[{name: a[part] for name, a in given.items()} for part in stretches] for given in (arrays, expected)]
    ours = bound(kernels.trace(rule), parts[0])
    plain = backends.get("numpy").bind(kernels.trace(rule), parts[1])
    with np.errstate(all="ignore"):
        for t in (T, 400, 10**6):  # Adam's corrections become 1 one after the other
            ours(host_scalars(rule, t))
            plain(host_scalars(rule, t))
            assert_same_arrays(arrays, expected, f"step {t}")


def test_a_rule_of_any_name_is_compiled():
    bound(kernels.trace(lambda w, g, *, lr=0.5: w - lr * g), [{"w": np.ones(3), "g": np.ones(3)}])((0.5,))


@pytest.mark.parametrize(
    "g",
    [np.ones(3), np.ones(4, "float32"), np.ones(6, "float32")[::2], np.ones((3, 1), "float32")],
    ids=["float64", "longer", "with gaps", "two axes"],
)
def test_a_compiled_rule_refuses_arrays_that_do_not_go_together(g):
    w = np.ones(3, "float32")
    for stretches in ([{"w": w, "g": g}], [{"w": g, "g": w}], [{"w": w, "g": w}, {"w": w, "g": g}]):
        with pytest.raises(ol.InputError, match="one-dimensional contiguous arrays of one size and dtype"):
            bound(SGD, stretches)


def test_a_compiled_rule_refuses_a_stretch_of_another_dtype():
    stretches = [{"w": np.ones(3, dtype), "g": np.ones(3, dtype)} for dtype in DTYPES]
    with pytest.raises(ol.InputError, match="one size and dtype"):
        bound(SGD, stretches)


# ---- threads and processes ----


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_several_threads_give_the_same_bits(threads, monkeypatch):
    others, wait = [], engine.wait
    monkeypatch.setattr(engine, "THREADS_FROM", 500)
    monkeypatch.setattr(engine, "_cores", lambda: threads)
    monkeypatch.setattr(engine, "wait", lambda parts: [others.append(len(parts)), wait(parts)])
    rule = RULES["textbook.adam"]
    for n in (499, 1000):
        arrays = specimens(rule, "float32", n)
        expected = called(rule, arrays)
        with np.errstate(all="ignore"):
            bound(kernels.trace(rule), [arrays])(host_scalars(rule))
        assert_same_arrays(arrays, expected, f"{n} elements")
    assert others == ([threads - 1] if threads > 1 else [])  # a short array, or one thread, waits for nobody


def test_the_number_of_threads_follows_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert engine._cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert engine._cores() >= 1


def test_ctrl_c_leaves_no_thread_at_work(monkeypatch):
    monkeypatch.setattr(engine, "THREADS_FROM", 500)
    monkeypatch.setattr(engine, "_cores", lambda: 3)
    w = np.ones(1000, "float32")
    step, finished = bound(SGD, [{"w": w, "g": w.copy()}]), []

    def kernel(words):
        if words == step._words[0][0].ctypes.data:
            raise KeyboardInterrupt
        time.sleep(0.05)
        finished.append(words)

    step._kernel = kernel
    with pytest.raises(KeyboardInterrupt):
        step((0.5,))
    assert len(finished) == 2


def test_other_threads_run_beside_a_program():
    """Python's lock is not held meanwhile."""
    x = np.ones(1000)
    with COMPILED.recording("float64") as program:
        COMPILED.map(lambda x: np.sqrt(x + x), (x,), x)
    program.finish([])
    ran, took = [], []
    thread = threading.Thread(
        target=lambda: took.extend([time.perf_counter(), program.run(200_000), time.perf_counter()])
    )
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
        ran.append(time.perf_counter())
    assert sum(took[0] < at < took[2] for at in ran) >= 10
    assert took[1] == 200_000
    assert np.allclose(x, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_and_kernels_of_its_own(tmp_path):
    code = textwrap.dedent("""
        import os, numpy as np, optimlab as ol
        from optimlab.backends import compiled
        compiled.THREADS_FROM, compiled._cores = 500, lambda: 2
        def trained():
            net = ol.MLP([40, 30, 10], seed=0, backend="compiled")
            net.parameters.grad[...] = 1
            opt = ol.Adam(net.parameters)
            opt.step()
            x = np.random.default_rng(0).random((50, 40))
            ol.fit(net, opt, ol.Dataset(x, np.arange(50) % 10), epochs=2, batch_size=16)
            return net.parameters.data
        before = trained()
        child = os.fork()
        same = (trained() == before).all()
        os._exit(not same) if child == 0 else print(same, os.waitpid(child, 0)[1])
    """)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", code]  # Python warns of forks beside threads
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert result.stdout.split() == ["True", "0"]


# ---- which backend a network has ----


def test_the_name_auto_is_the_compiled_backend_where_llvmlite_is_installed(monkeypatch):
    net = ol.MLP([64, 10])
    assert net.backend.name == "compiled"
    assert net.recipe["backend"] == "auto"
    assert ol.MLP([64, 10], backend="numpy").backend.name == "numpy"
    monkeypatch.setattr(engine, "installed", lambda: False)
    assert ol.MLP([64, 10]).backend.name == "numpy"
    assert "compiled" not in backends.names()
    message = r"the backend 'compiled' needs llvmlite 0\.45 or newer: .* run pip install '\.\[fast\]'"
    with pytest.raises(ol.InputError, match=message):
        ol.MLP([64, 10], backend="compiled")
    assert pickle.loads(pickle.dumps(net)).backend.name == "numpy"


@pytest.mark.parametrize(
    ("version", "new_enough"),
    [("0.43.0", False), ("0.44.0", False), ("0.45.0rc1", True), ("0.50.0", True), ("1.0", True)],
)
def test_an_llvmlite_that_is_too_old_counts_as_none(version, new_enough, monkeypatch):
    """Numba requires one version of llvmlite exactly, which may be older."""
    monkeypatch.setattr("llvmlite.__version__", version)
    assert llvm.installed.__wrapped__() is new_enough


def test_a_network_that_was_pickled_goes_on_training():
    data = ol.Dataset(np.random.default_rng(0).random((50, 6)), np.arange(50) % 3)
    net = ol.MLP([6, 5, 3], seed=0, dropout=0.2, batch_norm=True)
    optimizer = ol.Adam(net.parameters)
    ol.fit(net, optimizer, data, epochs=2, batch_size=16)
    other, twin = pickle.loads(pickle.dumps((net, optimizer)))
    assert (other.backend.name, other.backend) == ("compiled", net.backend)
    for network, opt in ((net, optimizer), (other, twin)):
        ol.fit(network, opt, data, epochs=2, batch_size=16)
    assert_same_bits(other.parameters.data, net.parameters.data)


@pytest.mark.slow
def test_llvmlite_is_imported_to_train_and_compiles_once(tmp_path):
    """A first process trains with what it compiles, a second one with what the first has kept."""
    code = textwrap.dedent("""
        import sys, hashlib, optimlab as ol
        data = ol.datasets.load("digits")
        net = ol.MLP([64, 30, 10], seed=0, backend="compiled", batch_norm=True)
        optimizer = ol.Adam(net.parameters)
        before = "llvmlite.binding" in sys.modules
        ol.fit(net, optimizer, data, epochs=1)
        weights = hashlib.sha256(net.parameters.data.tobytes()).hexdigest()
        from optimlab.backends.llvm import compilations
        made = sum(not c.cached for c in compilations)
        print(before, "llvmlite.binding" in sys.modules, "numba" in sys.modules, made > 10, made, weights)
    """)
    weights = []
    for compiles in ("True", "False"):
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
        command = [sys.executable, "-c", code]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found = result.stdout.split()
        assert found[:4] == ["False", "True", "False", compiles]
        assert compiles == "True" or found[4] == "0"
        assert result.stderr == ""  # not a terminal
        weights.append(found[5])
    assert weights[0] == weights[1]


# ---- the cache ----


def test_a_kernel_is_compiled_once_and_read_the_next_time(tmp_path, monkeypatch):
    seen = []
    for _ in range(2):
        kept_in(tmp_path, monkeypatch)
        updated("float64")
        seen.append(llvm.compilations[-1])
    assert [(c.name, c.cached) for c in seen] == [("sgd_float64", False), ("sgd_float64", True)]
    assert seen[1].seconds < min(0.2, seen[0].seconds)


@pytest.mark.parametrize("damage", [lambda code: b"", lambda code: b"damaged", lambda code: code[:-1]])
def test_a_damaged_file_is_made_anew(damage, tmp_path, monkeypatch):
    kept_in(tmp_path, monkeypatch)
    updated()
    (file,) = tmp_path.rglob("*.o")
    file.write_bytes(damage(file.read_bytes()))
    for cached in (False, True):
        kept_in(tmp_path, monkeypatch)
        assert updated() is cached


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
def test_what_another_user_left_is_not_run(tmp_path, monkeypatch):
    kept_in(tmp_path, monkeypatch)
    updated()
    stat, someone = os.fstat, os.getuid() + 1
    monkeypatch.setattr(os, "fstat", lambda file: SimpleNamespace(st_uid=someone, st_size=stat(file).st_size))
    kept_in(tmp_path, monkeypatch)
    assert not updated()


def test_what_is_kept_is_for_this_processor_and_these_versions(tmp_path, monkeypatch):
    changes = [
        lambda: None,
        lambda: monkeypatch.setattr(llvm, "_processor", lambda: ("generic", "")),
        lambda: monkeypatch.setattr("llvmlite.__version__", "0.45.0"),
        lambda: monkeypatch.setattr(llvm, "__version__", "0"),
    ]
    for change in changes:
        change()
        monkeypatch.setattr(llvm, "_origin", llvm.cache(llvm._origin.__wrapped__))
        kept_in(tmp_path, monkeypatch)
        assert not updated()
    assert len(list(tmp_path.rglob("*.o"))) == len(changes)


def test_a_folder_that_cannot_be_written_to_costs_one_warning(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    kept_in(tmp_path / "file", monkeypatch)
    monkeypatch.setattr(llvm, "_warn_once", llvm.cache(llvm._warn_once.__wrapped__))
    with pytest.warns(RuntimeWarning, match="compiled kernels cannot be kept in"):
        updated("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updated("float64")
    assert not llvm.compilations[-1].cached
