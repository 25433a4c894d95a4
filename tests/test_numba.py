"""The compiled engine equals NumPy bit for bit, keeps what it compiled, and can be missing."""

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
from optimlab.backends import machine_code
from optimlab.backends import numba as engine

numba = require("numba")
SGD = kernels.trace(RULES["textbook.sgd"])


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder that nobody has written to before."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platformdirs.user_cache_path", lambda name, appauthor: folder)
        machine_code.compiled.cache_clear()
        engine._loop.cache_clear()
        yield
        machine_code.compiled.cache_clear()
        engine._loop.cache_clear()


def kept_in(folder, monkeypatch):
    """Loops are kept in that folder from now on, and those of this process are forgotten."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, appauthor: folder)
    monkeypatch.setattr(machine_code, "compiled", machine_code.cache(machine_code.compiled.__wrapped__))


# ---- rules ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_the_loop_equals_the_rule_and_is_vectorised(name, dtype, monkeypatch):
    """The code whose numbers are compared is the code that is looked at: each rule is compiled once."""
    rule, graph = RULES[name], kernels.trace(RULES[name])
    modules, lowered = [], machine_code.lowered

    def watched(text, dimensions, dtype):
        assert text == kernels.numba_source(graph, dtype)
        made = lowered(text, dimensions, dtype)
        modules.append(made[1])
        return made

    monkeypatch.setattr(machine_code, "lowered", watched)
    for n in (0, 1, 4099):
        arrays = specimens(rule, dtype, n, seed=n)
        expected = called(rule, arrays)
        step = engine.NumbaStep(graph, [arrays])
        with np.errstate(all="ignore"):
            step(host_scalars(rule))
        assert_same_as_numpy(rule, arrays, expected, f"{n} elements")
    (module,) = modules
    assembly = machine_code.machine().emit_assembly(module)
    assert not re.search(r"\b(vfn?m(add|sub)|fn?m(add|sub|l[as]))", assembly), "rounds once where NumPy rounds twice"
    if "sqrt" in {node.op for node in graph.nodes} and platform.machine() in ("x86_64", "AMD64"):
        assert re.search(r"\bv?sqrtp[sd]\b", assembly), "the loop is not vectorised"
    assert machine_code.stands_alone(module), "what is kept needs Numba"


@pytest.mark.parametrize("rule", [RULES["textbook.adam"], RULES["keras.nadam"], RULES["made_up.every_comparison"]])
def test_stretches_at_any_place_and_factors_that_become_one(rule):
    arrays = specimens(rule, "float32", 500)
    expected = {name: a.copy() for name, a in arrays.items()}
    stretches = [slice(3, 4), slice(11, 110), slice(110, 301), slice(477, 500)]
    parts = [[{name: a[part] for name, a in given.items()} for part in stretches] for given in (arrays, expected)]
    compiled = engine.NumbaStep(kernels.trace(rule), parts[0])
    plain = backends.get("numpy").bind(kernels.trace(rule), parts[1])
    with np.errstate(all="ignore"):
        for t in (T, 400, 10**6):  # Adam's corrections become 1 one after the other
            compiled(host_scalars(rule, t))
            plain(host_scalars(rule, t))
            assert_same_arrays(arrays, expected, f"step {t}")


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_several_threads_give_the_same_bits(threads, monkeypatch):
    others, wait = [], engine.wait
    monkeypatch.setattr(engine, "LONG", 50)
    monkeypatch.setattr(engine, "THREADS_FROM", 500)
    monkeypatch.setattr(engine, "_cores", lambda: threads)
    monkeypatch.setattr(engine, "wait", lambda parts: [others.append(len(parts)), wait(parts)])
    rule = RULES["textbook.adam"]
    for n in (49, 50, 1000):
        arrays = specimens(rule, "float32", n)
        expected = called(rule, arrays)
        with np.errstate(all="ignore"):
            engine.NumbaStep(kernels.trace(rule), [arrays])(host_scalars(rule))
        assert_same_arrays(arrays, expected, f"{n} elements")
    assert others == [0, threads - 1]


def test_a_call_counts_no_references():
    loop = engine.compiled(SGD, "float32")
    held = (loop.__self__, np.ones(3, "float32"), np.ones(3, "float32"), np.ones(1, "float32"))
    before = [sys.getrefcount(thing) for thing in held]
    for call in (loop, machine_code.unlocked(loop)):
        for _ in range(100):
            call(*held[1:])
    assert [sys.getrefcount(thing) for thing in held] == before
    assert held[1].tolist() == [-199.0] * 3


@pytest.mark.parametrize("held", [True, False])
def test_other_threads_run_beside_an_unlocked_loop(held):
    text = """from numpy import sqrt

def slow(x):
    for _k in range(200_000):
        for _i in range(len(x)):
            x[_i] = sqrt(x[_i] + x[_i])
"""
    loop = machine_code.compiled("slow", text, (1,), "float64")
    call = loop if held else machine_code.unlocked(loop)
    x, ran, took = np.ones(1000), [], []
    thread = threading.Thread(target=lambda: took.extend([time.perf_counter(), call(x), time.perf_counter()]))
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
        ran.append(time.perf_counter())
    beside = [at for at in ran if took[0] < at < took[2]]
    assert len(beside) <= 5 if held else len(beside) >= 10
    assert np.allclose(x, 2)


def test_a_rule_of_any_name_is_compiled():
    step = engine.NumbaStep(kernels.trace(lambda w, g, *, lr=0.5: w - lr * g), [{"w": np.ones(3), "g": np.ones(3)}])
    step((0.5,))


# ---- networks ----


def trained(backend, dtype="float32", epochs=3, batch_size=48, **options):
    data = ol.datasets.load("digits")
    data = ol.Dataset(data.x_train[:500], data.y_train[:500], data.x_val, data.y_val)
    net = ol.MLP(**{"sizes": [64, 50, 30, 10], "seed": 3, "dtype": dtype, "backend": backend, **options})
    history = ol.fit(net, ol.AdamW(net.parameters, lr=0.01), data, epochs=epochs, batch_size=batch_size)
    return net, history


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "gelu"}, {"batch_norm": True, "dropout": 0.3}, {"activation": "leaky_relu", "use_bias": False}],
    ids=str,
)
def test_training_gives_the_same_bits_as_numpy(options, dtype):
    ours, history = trained("numba", dtype, **options)
    theirs, reference = trained("numpy", dtype, **options)
    assert_same_bits(ours.parameters.data, theirs.parameters.data)
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert getattr(history, name) == getattr(reference, name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_and_the_loss_equal_their_formulas_on_every_kind_of_number(dtype):
    x, dy = specimens(RULES["textbook.sgd"], dtype, 3000).values()
    x, dy = x.reshape(300, 10), dy.reshape(300, 10)
    labels = np.random.default_rng(0).integers(0, 10, 300)
    loss = ol.losses.LOSSES["softmax_cross_entropy"]
    found = []
    for name in ("numpy", "numba"):
        backend = backends.get(name)
        layer = ol.layers.Activate(10, "relu")
        layer.build("a", dtype, backend, np.random.SeedSequence(0))
        with backend.quiet():
            gradient = x.copy()
            value, _ = loss(backend, gradient, labels, gradient)
            found.append([layer.forward(x, True).copy(), layer.backward(dy).copy(), gradient, np.array(value)])
    for ours, theirs in zip(*found, strict=True):
        assert_same_bits(ours, theirs)


def stack_of(names, dtype="float32", **options):
    sizes = {"sizes": [7, 9, 5], "seed": 1, "dtype": dtype, **options}
    return [ol.MLP(**sizes, backend=name) for name in names]


def passed(net, x, gradient):
    """Outputs, gradients, and the arrays of the layers after a pass forward and back."""
    with net.backend.quiet():
        outputs = net.forward_unchecked(x, training=True).copy()
        dx = net.backward(gradient.copy(), input_gradient=True).copy()
    hidden = [layer._y.copy() for layer in net.layers if isinstance(layer, ol.layers.Activate)]
    return [outputs, dx, net.parameters.grad.copy(), *hidden]


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_and_relu_as_one_equal_their_formulas_on_every_kind_of_number(dtype):
    ours, theirs = stack_of(["numba", "numpy"], dtype)
    assert [type(part).__name__ for _, part in ol.fusion.fused(ours.layers, ours.backend)] == [
        "DenseActivate",
        "Dense",
    ]
    x, gradient = (a.copy() for a in specimens(RULES["textbook.sgd"], dtype, 12_000).values())
    rows = 1000
    x, gradient = x[: 7 * rows].reshape(rows, 7), gradient[: 5 * rows].reshape(rows, 5)
    x[: rows // 2] = np.random.default_rng(0).standard_normal((rows // 2, 7))
    gradient[: rows // 2] = -0.0
    for net in (ours, theirs):
        net.parameters["dense1.b"].data[...] = np.linspace(-1, 1, 9)
    for mine, reference in zip(passed(ours, x, gradient), passed(theirs, x, gradient), strict=True):
        assert_same_bits(mine, reference)


@pytest.mark.parametrize(
    "options",
    [{"sizes": [7, 1, 5]}, {"sizes": [7, 2, 1]}, {"sizes": [7, 6, 6, 6, 2]}, {"use_bias": False}, {"dropout": 0.5}],
    ids=str,
)
def test_networks_of_every_shape_pass_alike(options):
    nets = stack_of(["numba", "numpy"], **options)
    generator = np.random.default_rng(0)
    for rows in (1, 2, 300):
        x = generator.standard_normal((rows, 7), "float32")
        gradient = generator.standard_normal((rows, nets[0].outputs), "float32")
        found = [passed(net, x, gradient) for net in nets]
        for mine, reference in zip(*found, strict=True):
            assert_same_bits(mine, reference)


@pytest.mark.parametrize("group", ["dense1.b", "dense1.W", "dense1", "dense2", "biases"])
def test_what_is_frozen_keeps_its_gradient_where_layers_pass_as_one(group):
    nets = stack_of(["numba", "numpy"])
    x, gradient = np.random.default_rng(0).standard_normal((2, 30, 7), "float32")
    for net in nets:
        net.parameters.freeze(group)
        net.parameters.grad[...] = 3.0
        net.forward(x, training=True)
        net.backward(gradient[:, :5].copy())
    assert_same_bits(*(net.parameters.grad for net in nets))


def test_a_gradient_that_is_given_is_not_written_to():
    from optimlab.layers import Activate, Dense, Dropout

    for last in ([Activate(4, "relu")], [Activate(4, "relu"), Dropout(4, 0.5)]):
        net = ol.Network([Dense(3, 4), *last], backend="numba")
        gradient = np.ones((2, 4), "float32")
        net.forward(np.array([[1, 2, 3], [-1, -2, -3]], "float32"))
        net.backward(gradient)
        assert (gradient == 1).all()


def test_a_method_that_was_replaced_on_a_layer_is_called():
    net, _ = stack_of(["numba", "numpy"])
    seen = []
    for layer in net.layers[:2]:
        forward = layer.forward
        layer.forward = lambda x, training, forward=forward: seen.append(x.shape) or forward(x, training)
    net.forward(np.ones((3, 7), "float32"))
    assert seen == [(3, 7), (3, 9)]


def test_a_method_may_be_replaced_and_given_back_between_passes():
    net, reference = stack_of(["numba", "numpy"])
    x, activate = np.ones((3, 7), "float32"), net.layers[1]
    assert_same_bits(net.forward(x), reference.forward(x))
    activate.forward = lambda x, training: 0 * x
    assert_same_bits(net.forward(x), np.tile(net.parameters["dense2.b"].data, (3, 1)))
    del activate.forward
    assert_same_bits(net.forward(x), reference.forward(x))


def test_gradients_are_checked_at_the_same_points_as_with_numpy():
    """Where every unit is at its kink, and the inputs of a ReLU that is computed in place are gone."""
    x, y = np.random.default_rng(0).standard_normal((6, 7)), np.arange(6) % 5
    reports = []
    for net in stack_of(["numba", "numpy"], initializer="zeros"):
        reports.append(ol.gradcheck(net, x, y))
    for net in stack_of(["numba", "numpy"]):
        reports.append(ol.gradcheck(net, x, y))
    assert reports[0] == reports[1]
    assert reports[2] == reports[3]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 10])
def test_right_answers_are_counted_as_numpy_counts_them(classes, dtype):
    generator = np.random.default_rng(classes)
    values = np.array([-np.inf, -1, -0.0, 0, 1, np.inf, np.nan], dtype)  # few: most rows have several largest
    outputs, labels = generator.choice(values, (500, classes)), generator.integers(0, classes, 500)
    expected = np.count_nonzero(outputs.argmax(axis=1) == labels)
    assert 0 < expected < 500 or classes == 1
    backend = backends.get("numba")
    for given in (outputs, np.asfortranarray(outputs), np.repeat(outputs, 2, axis=1)[:, ::2]):
        for of in (labels, labels.astype("int32"), np.repeat(labels, 2)[::2], labels.astype("float64")):
            assert ol.losses.correct(backend, given, of) == expected
    assert ol.losses.correct(backend, outputs[:0], labels[:0]) == 0


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 64])
def test_rows_are_gathered_wherever_they_lie(rows):
    backend = backends.get("numba")
    generator = np.random.default_rng(0)
    data = generator.standard_normal((50, 6), "float32")
    indices = generator.integers(0, 50, rows)
    sources = (data, np.asfortranarray(data), data[:, ::2], data.astype("float64"), data[:, 0], data.astype("int64"))
    for given in sources:
        out = backend.empty((rows, *given.shape[1:]), given.dtype)
        backend.take(given, indices, out)
        assert_same_bits(out, given[indices])


@pytest.mark.parametrize("indices", [np.arange(9, dtype="int32"), np.arange(18)[::2]], ids=["int32", "with gaps"])
def test_rows_are_gathered_by_indices_of_any_kind(indices):
    data = np.random.default_rng(0).standard_normal((50, 6), "float32")
    out = np.empty((9, 6), "float32")
    backends.get("numba").take(data, indices, out)
    assert_same_bits(out, data[indices])


@pytest.mark.parametrize("shape", [(8, 6), (9, 5), (10, 6)])
def test_rows_are_gathered_into_an_array_of_their_shape(shape):
    with pytest.raises(ValueError, match="output array"):
        backends.get("numba").take(np.ones((50, 6), "float32"), np.arange(9), np.empty(shape, "float32"))


def test_arrays_of_a_layer_of_ones_own_may_lie_in_any_way():
    logits = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    labels = np.arange(20) % 5
    gradient = np.empty((5, 20), "float32").T
    loss = ol.losses.LOSSES["softmax_cross_entropy"]
    value, _ = loss(backends.get("numba"), np.asfortranarray(logits), labels, gradient)
    expected, reference = ol.losses.softmax_cross_entropy(logits, labels)
    assert value == expected
    assert_same_bits(gradient, reference)


@pytest.mark.parametrize("shape", [(19, 5), (20, 4), (21, 5)])
def test_a_gradient_of_another_shape_than_the_logits_is_not_written_to(shape):
    loss, gradient = ol.losses.LOSSES["softmax_cross_entropy"], np.zeros(shape, "float32")
    with pytest.raises(ValueError, match="broadcast"):
        loss(backends.get("numba"), np.ones((20, 5), "float32"), np.arange(20) % 5, gradient)
    assert not gradient.any()


def test_data_may_be_a_file_mapped_into_memory_for_reading(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((50, 6), dtype="float32"))
    data = ol.Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(50) % 3)
    weights = []
    for name in ("numpy", "numba"):
        net = ol.MLP([6, 5, 3], seed=0, backend=name)
        ol.fit(net, ol.Adam(net.parameters), data, epochs=2, batch_size=16)
        weights.append(net.parameters.data)
    assert_same_bits(*weights)


def test_arrays_of_a_layer_of_ones_own_may_be_of_any_dtype():
    layer = ol.layers.Activate(4, "relu")
    layer.build("a", "float32", backends.get("numba"), np.random.SeedSequence(0))
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert_same_bits(layer.forward(x, True).copy(), np.maximum(x, 0).astype("float32"))
    assert_same_bits(layer.backward(np.asfortranarray(x)).copy(), (x * (x > 0)).astype("float32"))
    with pytest.raises(ValueError, match="broadcast"):
        layer.forward(x.T, True)


@pytest.mark.parametrize(
    "g",
    [np.ones(3), np.ones(4, "float32"), np.ones(6, "float32")[::2], np.ones((3, 1), "float32")],
    ids=["float64", "longer", "with gaps", "two axes"],
)
def test_a_compiled_rule_refuses_arrays_that_do_not_go_together(g):
    w = np.ones(3, "float32")
    for stretches in ([{"w": w, "g": g}], [{"w": g, "g": w}], [{"w": w, "g": w}, {"w": w, "g": g}]):
        with pytest.raises(ol.InputError, match="one axis, one size and one dtype, without gaps"):
            engine.NumbaStep(SGD, stretches)


def test_a_compiled_rule_refuses_a_stretch_of_another_dtype():
    stretches = [{"w": np.ones(3, dtype), "g": np.ones(3, dtype)} for dtype in DTYPES]
    with pytest.raises(ol.InputError, match="one dtype"):
        engine.NumbaStep(SGD, stretches)


def test_replicas_of_a_network_of_this_engine_train():
    from optimlab.replicas import stack

    x = np.random.default_rng(0).random((7, 6), dtype="float32")
    outputs = []
    for name in ("numpy", "numba"):
        together = stack([ol.MLP([6, 5, 3], seed=seed, backend=name) for seed in range(4)])
        logits = together.forward_unchecked(x, training=True)
        loss = ol.losses.LOSSES["softmax_cross_entropy"]
        with together.backend.quiet():
            _, gradient = loss(together.backend, logits, np.zeros((4, 7), int), np.empty_like(logits))
        for layer in reversed(together.layers):
            gradient = layer.backward(gradient)
        outputs.append((logits.copy(), together.parameters.grad.copy()))
    for ours, theirs in zip(*outputs, strict=True):
        assert_same_bits(ours, theirs)


def test_a_loss_and_an_activation_of_ones_own_are_not_replaced():
    def softmax_cross_entropy(backend, outputs, targets, out):
        out[...] = 0
        return 7.0, out

    loss = ol.losses.Loss("softmax_cross_entropy", softmax_cross_entropy, lambda b, y, shape: y, classifies=False)
    assert loss(backends.get("numba"), np.ones((2, 2)), None, np.ones((2, 2)))[0] == 7.0

    relu = ol.activations.Activation("relu", lambda x: np.abs(x), ol.activations.relu_backward)
    assert ol.layers.Activate(3, relu).known == ""


def test_the_name_auto_chooses_by_size(monkeypatch):
    small, large = ol.MLP([64, 10]), ol.MLP([784, 200, 10])
    assert (small.backend.name, large.backend.name) == ("numpy", "numba")
    assert large.recipe["backend"] == "auto"
    assert ol.MLP([784, 200, 10], backend="numpy").backend.name == "numpy"
    monkeypatch.setattr(engine, "installed", lambda: False)
    assert ol.MLP([784, 200, 10]).backend.name == "numpy"
    assert backends.names() == ["numpy"]
    with pytest.raises(ol.InputError, match=r"the backend 'numba' needs Numba: pip install optimlab\[fast\]"):
        ol.MLP([64, 10], backend="numba")
    assert pickle.loads(pickle.dumps(large)).backend.name == "numpy"


def test_numba_is_imported_only_to_compile(tmp_path):
    """A first process trains with what it compiles, a second one with what the first has kept."""
    code = textwrap.dedent("""
        import sys, hashlib, optimlab as ol
        data = ol.datasets.load("digits")
        nets = [ol.MLP([64, 30, 30, 10], seed=0, backend="numba", batch_norm=norm) for norm in (False, True)]
        optimizers = [ol.Adam(net.parameters) for net in nets]
        before = "llvmlite" in sys.modules
        for net, optimizer in zip(nets, optimizers):
            ol.fit(net, optimizer, data, epochs=1)
        weights = hashlib.sha256(b"".join(net.parameters.data.tobytes() for net in nets)).hexdigest()
        print(before, "llvmlite" in sys.modules, "numba" in sys.modules, weights)
    """)
    weights = []
    for compiles in ("True", "False"):
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
        command = [sys.executable, "-c", code]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert result.stdout.split()[:3] == ["False", "True", compiles]
        assert result.stderr == ""  # not a terminal
        weights.append(result.stdout.split()[3])
    assert weights[0] == weights[1]


def test_a_small_network_needs_neither_numba_nor_llvmlite():
    code = (
        "import sys, optimlab as ol; net = ol.MLP([4, 2]); ol.SGD(net.parameters).step(); ol.MLP([784, 200, 10]);"
        "print({'numba', 'llvmlite'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


# ---- the cache ----


def test_a_loop_is_compiled_once_and_read_the_next_time(tmp_path, monkeypatch):
    seen = []
    for _ in range(2):
        kept_in(tmp_path, monkeypatch)
        engine.compiled(SGD, "float64")
        seen.append(machine_code.compilations[-1])
    assert [(c.rule, c.dtype, c.cached) for c in seen] == [("sgd", "float64", False), ("sgd", "float64", True)]
    assert seen[1].seconds < min(0.2, seen[0].seconds)


@pytest.mark.parametrize("damage", [lambda code: b"", lambda code: b"damaged", lambda code: code[:-1]])
def test_a_damaged_file_is_made_anew(damage, tmp_path, monkeypatch):
    kept_in(tmp_path, monkeypatch)
    engine.compiled(SGD, "float32")
    (file,) = tmp_path.rglob("*.o")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    kept_in(tmp_path, monkeypatch)
    w = np.ones(3, "float32")
    engine.compiled(SGD, "float32")(w, w.copy(), np.array([0.5], "float32"))
    assert w.tolist() == [0.5, 0.5, 0.5]
    assert not machine_code.compilations[-1].cached
    kept_in(tmp_path, monkeypatch)
    engine.compiled(SGD, "float32")
    assert machine_code.compilations[-1].cached


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
def test_what_another_user_left_is_not_run(tmp_path, monkeypatch):
    kept_in(tmp_path, monkeypatch)
    engine.compiled(SGD, "float32")
    stat = os.fstat
    someone = os.getuid() + 1
    monkeypatch.setattr(os, "fstat", lambda file: SimpleNamespace(st_uid=someone, st_size=stat(file).st_size))
    kept_in(tmp_path, monkeypatch)
    engine.compiled(SGD, "float32")
    assert not machine_code.compilations[-1].cached


def test_what_is_kept_is_for_this_processor_and_these_versions(tmp_path, monkeypatch):
    for change in (
        lambda: None,
        lambda: monkeypatch.setenv("NUMBA_CPU_NAME", "generic"),
        lambda: monkeypatch.setattr(machine_code, "version", lambda name: "0"),
        lambda: monkeypatch.setattr(machine_code, "__version__", "0"),
    ):
        change()
        kept_in(tmp_path, monkeypatch)
        w = np.ones(3, "float32")
        engine.compiled(SGD, "float32")(w, w.copy(), np.array([0.5], "float32"))
        assert w.tolist() == [0.5, 0.5, 0.5]
        assert not machine_code.compilations[-1].cached
    assert len(list(tmp_path.rglob("*.o"))) == 4


def test_code_that_needs_numba_is_not_kept(tmp_path, monkeypatch):
    kept_in(tmp_path, monkeypatch)
    text = "def allocates(x):\n    x[0] = (x + x).sum()\n"
    x = np.ones(3)
    machine_code.compiled("allocates", text, (1,), "float64")(x)
    assert x.tolist() == [6, 1, 1]
    assert not list(tmp_path.rglob("*.o"))


def test_a_folder_that_cannot_be_written_to_costs_one_warning(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    kept_in(tmp_path / "file", monkeypatch)
    monkeypatch.setattr(machine_code, "_warn_once", machine_code.cache(machine_code._warn_once.__wrapped__))
    with pytest.warns(RuntimeWarning, match="compiled loops cannot be kept in"):
        engine.compiled(SGD, "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.compiled(SGD, "float64")
    assert not machine_code.compilations[-1].cached
