"""The CuPy backend as far as it goes without a GPU: its own code on a stand-in for the device (see device.py), its
kernels' texts compiled for the CPU and, by NVIDIA's compiler, for GPUs. What needs a GPU is in test_gpu.py."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import re
import subprocess
import sys
from contextlib import contextmanager
from unittest import mock

import device
import numpy as np
import ptx
import pytest
from conftest import assert_same_bits, require

import optimlab as ol
from optimlab import backends, kernels
from optimlab.backends import cublas, cuda, recording
from optimlab.backends import cupy as engine
from optimlab.backends.cuda_program import CudaProgram
from optimlab.backends.operations import CannotRecord

DTYPES = ["float32", "float64"]
ARCHITECTURES = ["sm_80", "sm_90", "sm_100"]


@contextmanager
def one_by_one():
    """Operations that are not fused: a sum of columns is then added in NumPy's order."""
    with mock.patch.object(CudaProgram, "map", side_effect=CannotRecord("not in this test")):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cuda")


@pytest.fixture
def machine(compiler, folder, monkeypatch):
    """The stand-in in place of CuPy; gives the :class:`device.Machine`.

    At the end, the installed CuPy must accept every call that the test made.
    """
    modules, machine = device.stand_in(compiler, folder)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(backends._BACKENDS, "cupy", engine.CuPyBackend())
    cuda._loaded.cache_clear()
    yield machine
    cuda._loaded.cache_clear()
    monkeypatch.undo()
    assert device.refused_by_cupy(machine) == []


# ---- the texts ----


def require_cupy():
    """Skip the test unless CuPy is installed on a machine without a GPU; in CI, a missing CuPy fails it."""
    if not device.can_be_asked():
        (pytest.fail if os.environ.get("CI") and not device.cupy else pytest.skip)("this needs CuPy, and no GPU")


def assembly_of(machine):
    """NVIDIA's assembly of the kernel that was compiled last."""
    ptx.require_compiler()
    text, options = machine.compiled[-1]
    return ptx.assembly(text, options=options)


def test_a_thread_loads_the_scalars_of_a_rule_once(machine):
    b, graph = backends.get("cupy"), kernels.trace(ol.rules.textbook.adam)
    b.bind(graph, [{name: b.zeros(2, "float32") for name in graph.inputs}])
    before, *loops = [part.count("ld.global") for part in re.split(r"^\$L__BB0_\d+:", assembly_of(machine), flags=re.M)]
    assert before == len(graph.slots) == 8
    assert min(filter(None, loops)) == len(graph.inputs) == 4


def test_nvidias_compiler_refuses_what_is_no_kernel():
    ptx.require_compiler()
    with pytest.raises(ptx.compiler.CompileException, match='identifier "undeclared" is undefined'):
        ptx.assembly("__global__ void k(float *x) { *x = undeclared; }")


# ---- the backend ----


def trained(
    backend, epochs=3, batch_size=48, rate=0.01, make=ol.AdamW, fitted=None, frozen=(), loss=None, rows=500, **options
):
    data = ol.datasets.load("digits")
    data = ol.Dataset(
        data.x_train[:rows], data.y_train[:rows], data.x_val[: rows * 2 // 5], data.y_val[: rows * 2 // 5]
    )
    if loss not in (None, "softmax_cross_entropy"):
        wanted = (lambda y: y % 2) if loss == "binary_cross_entropy" else (lambda y: np.eye(10)[y])
        data = ol.Dataset(data.x_train, wanted(data.y_train), data.x_val, wanted(data.y_val))
    net = ol.MLP(**{"sizes": [64, 30, 20, 10], "seed": 3, "backend": backend, **options})
    for group in frozen:
        net.parameters.freeze(group)
    opt = make(net.parameters, lr=rate)
    fitted = {k: v() if callable(v) and not v.__code__.co_argcount else v for k, v in (fitted or {}).items()}
    loss = loss or "softmax_cross_entropy"
    history = ol.fit(net, opt, data, epochs=epochs, batch_size=batch_size, loss=loss, **fitted)
    return net, opt, history


CLIPPED = {"fitted": {"clip": lambda: ol.ClipGlobalNorm(0.1)}}


EXACT = ["identity", "relu", "relu6", "leaky_relu", "softsign", "hard_swish"]
"""Activations without a transcendental function, which the C library and NumPy round differently."""


def assert_same_training(**options):
    """With a loss and activations of basic arithmetic, bit for bit, but for losses, which are sums of rows."""
    options = {"loss": "mean_squared_error", **options}
    with one_by_one():
        (ours, ours_opt, history), (theirs, theirs_opt, reference) = (trained(b, **options) for b in ("cupy", "numpy"))
    assert isinstance(ours.parameters.data, device.Array)
    assert_same_bits(ours.parameters.data.get(), theirs.parameters.data)
    for name, values in theirs_opt.state.items():
        assert_same_bits(ours_opt.state[name].get(), values, name)
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert getattr(history, name) == pytest.approx(getattr(reference, name), rel=1e-5)
    for name in ("steps", "status", "lr"):
        assert getattr(history, name) == getattr(reference, name)
    return history, reference


OPTIONS = {
    "relu": {},
    "float64": {"dtype": "float64"},
    "batch norm": {"batch_norm": True},
    "batch norm, torch": {"batch_norm": "after", "convention": "torch", "use_bias": False},
    "standardized": {"standardize": ol.Standardize(np.full(64, 8.0), np.full(64, 4.0))},
    "frozen": {"frozen": ["dense2", "biases"]},
    "schedule": {"rate": ol.schedules.OneCycle(0.01, total=33)},
    "schedule of epochs": {"rate": ol.schedules.ExponentialLR(0.01, 0.5)},
    "groups": {"make": lambda p, lr: ol.AdamW(p, lr=lr, groups={"biases": {"weight_decay": 0.0}})},
    "lamb": {"make": ol.optimizers.LAMB},
    "penalties": {"fitted": {"penalties": lambda: [ol.L2(1e-3), ol.L1(1e-4)]}},
    "clip by value": {"fitted": {"clip": lambda: ol.ClipValue(0.01)}},
    "max norm": {"fitted": {"constraints": lambda: [ol.MaxNorm(1.0)]}},
    **{name: {"activation": name} for name in ol.activations.ACTIVATIONS if name != "relu"},
}


def assert_close_training(backend="cupy", **options):
    assert_alike(*(trained(b, **DETERMINED | options) for b in (backend, "numpy")), options.get("dtype"))


DETERMINED = {"make": ol.SGD}
"""A rule for comparing backends: Adam makes as much of a gradient that is rounding alone as of any other. Batch norm
makes the gradient of a bias before it such."""


def assert_alike(one, other, dtype=None):
    """Two runs of :func:`trained` that differ by rounding alone."""
    (ours, _, history), (theirs, _, reference) = one, other
    tolerance = 1e-12 if dtype == "float64" else 1e-3
    assert history.train_accuracy == pytest.approx(reference.train_accuracy, abs=3e-3)
    np.testing.assert_allclose(
        history.train_loss + history.val_loss, reference.train_loss + reference.val_loss, tolerance
    )
    actual, expected = (net.backend.to_numpy(net.parameters.data) for net in (ours, theirs))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * abs(expected).max())


def test_rounding_does_not_part_two_backends_with_a_bias_before_batch_norm():
    require("llvmlite")
    options = OPTIONS["batch norm"]
    assert_close_training("compiled", **options)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close_training("compiled", make=ol.AdamW, **options)


@pytest.mark.parametrize("name", sorted(ol.optimizers.OPTIMIZERS))
def test_every_optimizer_runs_and_equals_numpy(name, machine):
    make = ol.optimizers.get(name)
    assert_same_training(make=make, epochs=1, rate=0.003)
    if not isinstance(make(ol.MLP([2, 2]).parameters).rule, ol.rules.LayerRule):
        steps = [name for name in machine.launches if name.endswith("_step")]
        assert len(steps) == 11  # one a step: all parameters are one stretch


@one_by_one()
def test_regression_runs_and_equals_numpy(machine):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 5)).astype("float32")
    data = ol.Dataset(x, x[:, :2] * 2, x, x[:, :2] * 2)
    found = []
    for backend in ("cupy", "numpy"):
        net = ol.MLP([5, 8, 2], seed=1, backend=backend)
        history = ol.fit(net, ol.SGD(net.parameters, lr=0.01), data, epochs=2, loss="mean_squared_error")
        found.append((history.train_loss + history.val_loss, backends.get(backend).to_numpy(net.parameters.data)))
    assert_same_bits(found[0][1], found[1][1])
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)  # the device adds squares in float64


@pytest.mark.slow
def test_clipping_by_norm_does_not_wait_and_clips_as_on_the_host(machine):
    for clip in (ol.ClipGlobalNorm, ol.ClipNorm):
        for gradient in ([3.0, 4.0, 0.5], [0.3, 0.4, 0.0], [1e30, -1e30, 1.0], [np.nan, 1.0, 9.0], [np.inf, 1.0, 9.0]):
            found = []
            for backend in ("cupy", "numpy"):
                net = ol.MLP([2, 1], backend=backend)
                net.parameters.grad[...] = net.backend.asarray(gradient, "float32")
                before = machine.waits
                with np.errstate(all="ignore"):
                    clip(1.0)(net.parameters)
                assert machine.waits == before
                found.append(net.backend.to_numpy(net.parameters.grad))
            np.testing.assert_allclose(*found, rtol=1e-6)
    ours, theirs = (trained(b, **CLIPPED)[0] for b in ("cupy", "numpy"))
    np.testing.assert_allclose(ours.parameters.data.get(), theirs.parameters.data, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_epoch_waits_for_the_device_at_its_end_only(machine):
    waits = {}
    for epochs, batch_size in [(1, 250), (1, 10), (2, 10)]:
        before = machine.waits
        trained("cupy", epochs=epochs, batch_size=batch_size, batch_norm=True, dropout=0.1)
        waits[epochs, batch_size] = machine.waits - before
    assert waits[1, 250] == waits[1, 10]  # 2 steps and 50
    assert waits[2, 10] - waits[1, 10] == 2  # losses and counts; those of validation


@pytest.mark.slow
def test_a_rate_that_diverges_is_named_by_the_same_step(machine):
    history, reference = (trained(b, make=ol.SGD, rate=1e12, epochs=3)[2] for b in ("cupy", "numpy"))
    assert reference.status == "diverged"
    assert 1 < reference.diverged_step < 11  # amid an epoch
    assert (history.status, history.diverged_step, history.steps) == ("diverged", reference.steps, reference.steps)
    assert history.train_loss == reference.train_loss == []


def test_dropout_draws_numpys_philox_and_new_numbers_each_time(machine):
    seed = np.random.SeedSequence(5)
    layer = ol.layers.Dropout(10, 0.25)
    layer.build("dropout1", "float32", backends.get("cupy"), seed)
    x = backends.get("cupy").asarray(np.ones((12, 10), "float32"))
    masks = [layer.forward(x, True).get() for _ in range(3)]
    # 120 numbers of float32 are 15 counters of 8: the next draw begins where NumPy's stream goes on
    reference = np.random.Generator(np.random.Philox(seed))
    for mask in masks:
        expected = (reference.random((12, 10), dtype="float32") >= 0.25) / np.float32(0.75)
        assert_same_bits(mask, expected.astype("float32"))
    assert 0.6 < (masks[0] > 0).mean() < 0.9


@pytest.mark.parametrize(("dtype", "each"), [("float32", 8), ("float64", 4)])
def test_a_thread_draws_all_numbers_of_a_counter(dtype, each, machine):
    b = backends.get("cupy")
    b.generator(1).uniform(b.empty(100_000, dtype))
    [blocks] = [args[1] for path, args, _ in machine.calls.values() if path == "cupy.cuda.Function.__call__"]
    assert blocks == (-(-100_000 // each // cuda.THREADS),)


def test_a_generator_goes_on_from_its_state(machine):
    b = backends.get("cupy")
    generator, other = b.generator(1), b.generator(2)
    out = b.empty(7, "float64")
    generator.uniform(out)
    state = generator.state
    assert state == pickle.loads(pickle.dumps(state))
    other.state = state
    generator.uniform(out)
    expected = out.get()
    other.uniform(out)
    assert_same_bits(out.get(), expected)


@pytest.mark.slow
def test_a_run_is_stopped_and_goes_on_bit_for_bit(machine):
    def make():
        net = ol.MLP([64, 8, 10], batch_norm=True, dropout=0.2, seed=0, backend="cupy")
        return net, ol.Adam(net.parameters, lr=0.01), []

    ol.training.verify_resume(make, ol.datasets.load("digits"), epochs=2, stops=2, batch_size=256)


def test_dropout_of_another_backend_cannot_go_on(machine, tmp_path):
    ours, theirs = (ol.MLP([4, 3, 2], dropout=0.5, backend=b) for b in ("cupy", "numpy"))
    ol.save_checkpoint(tmp_path / "net.npz", theirs)
    before = ours.parameters.data.get()
    with pytest.raises(ol.InputError, match="random state for PCG64, but this backend draws from Philox"):
        ol.load_checkpoint(tmp_path / "net.npz", ours)
    assert_same_bits(ours.parameters.data.get(), before)


@pytest.mark.slow
def test_without_dropout_a_checkpoint_moves_between_backends(machine, tmp_path):
    ours, opt, _ = trained("cupy", batch_norm=True)
    ol.save_checkpoint(tmp_path / "net.npz", ours, opt)
    net = ol.MLP([64, 30, 20, 10], batch_norm=True, backend="numpy")
    ol.load_checkpoint(tmp_path / "net.npz", net, ol.AdamW(net.parameters))
    x = ol.datasets.load("digits").x_test
    assert_same_bits(net.logits(x), ours.logits(x).get())
    twin = ours.copy()
    twin.parameters.data[...] = 0
    assert float(abs(ours.parameters.data).sum()) > 0
    assert_same_bits(copy.deepcopy(ours).logits(x).get(), ours.logits(x).get())


def test_predictions_and_losses_by_hand(machine):
    net = ol.MLP([4, 3], seed=0, backend="cupy")
    loss, gradient = ol.losses.softmax_cross_entropy(net.forward(np.ones((2, 4)), training=True), [0, 1])
    assert type(loss) is float
    net.backward(gradient)
    ol.SGD(net.parameters).step()
    assert net.predict_proba(np.ones((2, 4))).get().sum() == pytest.approx(2)


@one_by_one()
def test_callbacks_that_keep_arrays_and_the_range_of_rates_run_and_equal_numpy(machine):
    data, found = ol.datasets.load("digits"), []
    data = ol.Dataset(data.x_train[:300], np.eye(10)[data.y_train[:300]], data.x_val[:99], np.eye(10)[data.y_val[:99]])
    loss = "mean_squared_error"
    for backend in ("cupy", "numpy"):
        net = ol.MLP([64, 8, 10], seed=1, backend=backend)
        average = ol.AverageWeights(net)
        callbacks = [average, ol.Diagnostics(), ol.EarlyStopping(patience=1)]
        history = ol.fit(net, ol.Adam(net.parameters, lr=0.01), data, epochs=3, callbacks=callbacks, loss=loss)
        weights = net.backend.to_numpy(average.network.parameters.data)
        rates = ol.find_lr(net, ol.SGD(net.parameters), data, steps=20, loss=loss)
        found.append((history.train_loss, list(rates.smoothed), weights))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-3)
    assert_same_bits(found[0][2], found[1][2])


def test_a_loss_of_ones_own_gets_arrays_of_the_device_and_does_not_wait(machine):
    data, found = ol.datasets.load("digits"), []
    for labels in (False, True):
        waits = {}
        for backend, batch_size in (("cupy", 100), ("cupy", 20), ("numpy", 20)):
            xp = backends.get(backend).xp

            def own(outputs, targets, xp=xp, labels=labels):
                wanted = targets[:, None] == xp.arange(10) if labels else targets
                error = outputs - wanted.astype(outputs.dtype)
                return (error * error).sum() / error.size, error * (2 / error.size)

            targets = data.y_train[:100] if labels else np.eye(10, dtype="float32")[data.y_train[:100]]
            net, before = ol.MLP([64, 8, 10], seed=1, backend=backend), machine.waits
            given = ol.Dataset(data.x_train[:100], targets)
            history = ol.fit(net, ol.SGD(net.parameters), given, epochs=1, batch_size=batch_size, loss=own)
            waits[backend, batch_size] = machine.waits - before
            found.append((history, net.backend.to_numpy(net.parameters.data)))
        assert waits["cupy", 100] == waits["cupy", 20]
        (ours, weights), (theirs, expected) = found[-2:]
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            ours.train_loss + ours.train_accuracy, theirs.train_loss + theirs.train_accuracy, rtol=1e-6
        )
        assert bool(ours.train_accuracy) == labels


def test_tensorboard_is_written(machine, tmp_path):
    reader = require("tensorboard.backend.event_processing.event_accumulator")
    data, shown = ol.datasets.load("digits"), []
    for backend in ("cupy", "numpy"):
        net, folder = ol.MLP([64, 8, 10], seed=1, backend=backend), tmp_path / backend
        ol.fit(net, ol.SGD(net.parameters), data, epochs=2, batch_size=400, callbacks=[ol.TensorBoard(folder)])
        found = reader.EventAccumulator(str(folder), size_guidance={reader.HISTOGRAMS: 0}).Reload()
        events = [found.Histograms(tag) for tag in found.Tags()["histograms"]]
        shown.append([[event.step, event.histogram_value.max] for part in events for event in part])
    np.testing.assert_allclose(*shown, rtol=1e-4)
    assert len(shown[0]) == 2 * 3 * 4


@pytest.mark.slow
def test_an_estimator_trains_and_predicts_on_the_device(machine):
    classifier = require("optimlab.sklearn").MLPClassifier
    data, found = ol.datasets.load("digits"), []
    for backend in ("cupy", "numpy"):
        given = {"batch_size": 32, "learning_rate_init": 0.01, "max_iter": 5, "tol": None, "early_stopping": True}
        model = classifier((16,), backend=backend, dtype="float32", random_state=0, **given)
        model.fit(data.x_train[:300], data.y_train[:300])
        found.append(model.predict_proba(data.x_val))
        assert model.score(data.x_val, data.y_val) > 0.5
    assert type(found[0]) is np.ndarray
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-5)


def test_what_runs_on_a_cpu_only_says_so(machine):
    net = ol.MLP([2, 2], backend="cupy")
    with pytest.raises(ol.InputError, match=r"gradients are checked on a CPU"):
        ol.gradcheck(net, np.ones((3, 2)), [0, 1, 0])


def test_a_rule_runs_on_contiguous_arrays_only(machine):
    b, graph = backends.get("cupy"), kernels.trace(ol.rules.textbook.sgd)
    whole = b.zeros((4, 2), "float32")
    for w, g in [(whole[:, 0], whole[:, 1]), (b.zeros(3, "float32"), b.zeros(3, "float64"))]:
        with pytest.raises(ol.InputError, match="contiguous float32 arrays of one length"):
            b.bind(graph, [{"w": w, "g": g}])
    b.bind(graph, [])((0.1,))
    b.bind(graph, [{"w": b.zeros(0, "float32"), "g": b.zeros(0, "float32")}])((0.1,))
    assert machine.launches == []


# ---- a step as a CUDA graph ----


@pytest.fixture
def blas(machine, monkeypatch):
    """cuBLAS's functions, computed by a CPU's BLAS."""
    made = device.CpuBLAS(machine)
    monkeypatch.setattr(cublas, "library", lambda: made)
    for kept in (recording._stream, cublas.on_device):
        kept.cache_clear()
    yield made
    for kept in (recording._stream, cublas.on_device):
        kept.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(3, 5, 7), (1, 5, 7), (3, 1, 7), (3, 5, 1), (1, 1, 1), (32, 64, 10)])
@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
def test_a_row_major_product_is_put_to_a_blas_rightly(a_transposed, b_transposed, sizes, dtype, machine, blas):
    rows, inner, columns = sizes
    generator, b = np.random.default_rng(0), backends.get("cupy")
    a_values = generator.normal(size=(inner, rows) if a_transposed else (rows, inner)).astype(dtype)
    b_values = generator.normal(size=(columns, inner) if b_transposed else (inner, columns)).astype(dtype)
    left, right, out = b.asarray(a_values), b.asarray(b_values), b.asarray(np.full((rows, columns), np.nan, dtype))
    left, right = left.T if a_transposed else left, right.T if b_transposed else right
    cublas.CuBLAS(device.Stream(machine)).matmul(left, right, out)
    expected = (a_values.T if a_transposed else a_values) @ (b_values.T if b_transposed else b_values)
    np.testing.assert_allclose(out.get(), expected, rtol=100 * np.finfo(dtype).eps, atol=1e-6)
    part = b.asarray(np.zeros((rows + 3, inner), dtype))[2 : rows + 2]
    part[...] = left
    cublas.CuBLAS(device.Stream(machine)).matmul(part, right, out)
    np.testing.assert_allclose(out.get(), expected, rtol=100 * np.finfo(dtype).eps, atol=1e-6)


def test_cublas_refuses_what_it_cannot_multiply(machine, blas):
    x, square = (backends.get("cupy").zeros((4, n), "float32") for n in (6, 4))
    for a, b, out in [(x[:, ::2], x[:3], x[:, :6]), (x, x, x), (x, x.T, x.T[:4, :4]), (x[::-1], x.T, square)]:
        with pytest.raises(ol.InputError, match=r"cannot multiply|by rows or by columns"):
            cublas.gemm(a, b, out)
    blas.__dict__["cublasSgemm_v2"] = lambda *arguments: 13
    with pytest.raises(ol.InputError, match="cublasSgemm_v2 of cuBLAS failed with status 13"):
        cublas.CuBLAS(device.Stream(machine)).matmul(x, x.T, square)


def test_a_graphs_products_are_in_tf32_where_cupys_are(machine, blas):
    b = backends.get("cupy")
    multiply = cublas.CuBLAS(device.Stream(machine)).matmul
    x, y = b.zeros((4, 4), "float32"), b.zeros((4, 4), "float64")
    for tf32, array, modes in ((0, x, []), (1, y, []), (1, x, [3]), (1, x, [3]), (0, y, [3]), (0, x, [3, 0])):
        machine.tf32 = tf32
        multiply(array, array, b.zeros((4, 4), array.dtype.name))
        assert blas.modes == modes


@pytest.mark.slow
def test_cupy_says_whether_it_computes_in_tf32():
    """The numbers of the installed CuPy; with ``CUPY_TF32=1`` it asks the device."""
    require_cupy()
    ask = "from optimlab.backends.cublas import math_mode; print(math_mode())"
    answers = [
        subprocess.run(
            [sys.executable, "-c", ask],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CUPY_TF32": tf32},
        )
        for tf32 in "01"
    ]
    assert answers[0].stdout.strip() == "0", answers[0].stderr
    assert "in cupy.cuda.device.get_compute_capability" in answers[1].stderr
    from cupy._core import _routines_linalg as linalg

    assert (linalg.COMPUTE_TYPE_DEFAULT, linalg.COMPUTE_TYPE_TF32) == (1, 7)


GRAPHABLE = {name: options for name, options in OPTIONS.items() if name not in ("lamb", "softmax")} | {
    "clip by norm": CLIPPED,
    "clip each by norm": {"fitted": {"clip": lambda: ol.ClipNorm(0.1)}},
    "regression": {"loss": "mean_squared_error"},
    "softmax": {"activation": "softmax", "loss": "mean_squared_error"},
}


@pytest.mark.quick("schedule", "clip by norm")
@pytest.mark.parametrize("options", GRAPHABLE.values(), ids=GRAPHABLE)
def test_a_graph_trains_as_the_loop_does(options, machine, blas):
    fitted = {**options.get("fitted", {}), "graph": True}
    ours, ours_opt, history = trained("cupy", dropout=0.1, **{**options, "fitted": fitted})
    theirs, theirs_opt, reference = trained("cupy", dropout=0.1, **options)
    assert machine.graphs == 1
    if options is OPTIONS["penalties"]:
        np.testing.assert_allclose(history.penalty, reference.penalty, rtol=2e-5)
    assert (history.steps, ours_opt.t, ours_opt.used) == (33, theirs_opt.t, theirs_opt.used)
    tolerance = 1e-12 if options.get("dtype") == "float64" else 2e-5  # SciPy's BLAS may be another than NumPy's
    np.testing.assert_allclose(history.train_loss, reference.train_loss, rtol=tolerance)
    np.testing.assert_allclose(history.val_loss, reference.val_loss, rtol=tolerance)
    weights = theirs.parameters.data.get()
    np.testing.assert_allclose(ours.parameters.data.get(), weights, rtol=0, atol=tolerance * abs(weights).max())


def test_a_graph_waits_once_an_epoch_and_takes_each_step_by_one_launch(machine, blas, monkeypatch):
    launched = []
    launch = device.Graph.launch
    monkeypatch.setattr(device.Graph, "launch", lambda *args: (launched.append(1), launch(*args)))
    waits = {}
    for epochs in (1, 2):
        before = machine.waits
        trained("cupy", epochs=epochs, fitted={"graph": True})
        waits[epochs] = machine.waits - before
    assert waits[2] - waits[1] == 2
    assert len(launched) == 3 * 10 - 2 * 2  # full batches, but for two to warm up in each run; the 11th is short


@pytest.mark.slow
def test_a_run_leaves_no_graph_behind_and_all_share_one_handle(machine, blas):
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            trained("cupy", epochs=1, batch_size=125, fitted={"graph": True})
            assert not machine.alive
    finally:
        gc.enable()
    assert (machine.graphs, blas.handles) == (2, 1)


def test_a_graph_finds_the_step_that_diverged(machine, blas):
    plain = trained("numpy", make=ol.SGD, rate=1e12)[2]
    assert 0 < plain.diverged_step < 11  # within the first epoch, at whose end the GPU's losses are read
    for graph in (False, True):
        found = trained("cupy", make=ol.SGD, rate=1e12, fitted={"graph": graph})[2]
        assert found.diverged_step == found.steps == plain.diverged_step


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["textbook", "torch"])
def test_layers_that_are_frozen_between_epochs_are_recorded_anew(convention, machine, blas):
    """In the torch convention one group becomes two updates: its members have made unequally many steps."""

    def make(parameters, **options):
        return ol.AdamW(parameters, convention=convention, **options)

    class Freeze:
        def __call__(self, network, optimizer, history):
            (network.parameters.freeze if history.epochs == 1 else network.parameters.unfreeze)("dense1")

    fitted = {"callbacks": lambda: [Freeze()]}
    runs = [trained("cupy", make=make, fitted={**fitted, "graph": graph}) for graph in (True, False)]
    (ours, optimizer, _), (theirs, _, _) = runs
    assert machine.graphs == 3
    assert len(optimizer.bound()) == (2 if convention == "torch" else 1)
    np.testing.assert_allclose(ours.parameters.data.get(), theirs.parameters.data.get(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"fitted": {"clip": lambda parameters: float(parameters.grad.max())}},
            "waiting for the device during a capture",
        ),
        ({"make": ol.optimizers.LAMB}, "lamb is a rule of whole matrices"),
        ({"fitted": {"callbacks": lambda: [ol.Checkpoint("unused.npz", every=10**9)]}}, "runs after every step"),
        ({"epochs": 1, "batch_size": 250}, "the run has too few full batches: the graph is recorded after 2"),
    ],
    ids=["a wait", "layerwise", "hook", "two batches"],
)
def test_what_cannot_be_recorded_is_trained_without_after_one_warning(options, reason, machine, blas):
    plain, _, reference = trained("cupy", **options)
    with pytest.warns(RuntimeWarning, match=reason) as warned:
        ours, _, history = trained("cupy", **{**options, "fitted": {**options.get("fitted", {}), "graph": True}})
    assert len(warned) == 1
    np.testing.assert_allclose(history.train_loss, reference.train_loss, rtol=2e-5)
    np.testing.assert_allclose(ours.parameters.data.get(), plain.parameters.data.get(), rtol=1e-4, atol=1e-5)


def test_a_graph_on_the_cpu_is_a_warning(machine):
    with pytest.warns(RuntimeWarning, match="without a CUDA graph: a CUDA graph needs the backend 'cupy', not 'numpy'"):
        trained("numpy", epochs=1, fitted={"graph": True})


# ---- what goes wrong ----


def test_a_full_memory_is_one_clear_error(machine, monkeypatch):
    class Greedy:
        def __call__(self, network, optimizer, history):
            machine.full = True

    message = r"^the GPU's memory is full: Out of memory allocating 4,096 bytes .*; use a smaller batch_size"
    with pytest.raises(ol.InputError, match=message):
        trained("cupy", fitted={"callbacks": [Greedy()]})
    for make in (lambda: ol.MLP([4, 3], backend="cupy"), lambda: backends.get("cupy").asarray([1.0])):
        with pytest.raises(ol.InputError, match=message):
            make()


def test_what_is_no_number_is_refused_before_it_is_uploaded(machine):
    net = ol.MLP([2, 2], backend="cupy")
    for wrong in (["ab"], [[None, 1]], [[1j, 0]]):
        with pytest.raises(ol.InputError, match="a GPU holds real numbers, got dtype"):
            net.forward(wrong)


def test_without_a_gpu_the_error_says_so(machine, monkeypatch):
    monkeypatch.setattr(sys.modules["cupy"].cuda, "is_available", lambda: False)
    with pytest.raises(ol.InputError, match=r"^the backend 'cupy' needs an NVIDIA GPU and its driver; CuPy is inst"):
        ol.MLP([2, 2], backend="cupy")
    assert "cupy" not in backends.names()


def test_with_cupy_and_without_a_gpu_the_error_is_one_line():
    require_cupy()
    with pytest.raises(ol.InputError, match=r"^the backend 'cupy' needs an NVIDIA GPU and its driver; .*$") as raised:
        ol.MLP([2, 2], backend="cupy")
    assert "\n" not in str(raised.value)


def test_without_cupy_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(ol.InputError, match=r"^the backend 'cupy' needs CuPy: .* run pip install '\.\[cuda13\]'"):
        ol.MLP([2, 2], backend="cupy")
    assert "cupy" not in backends.names()


def test_an_installation_that_is_broken_is_told(monkeypatch):
    def broken(name):
        raise ImportError("libcuda.so.1:\ncannot open shared object file")

    monkeypatch.setattr(engine, "find_spec", lambda name: object())
    monkeypatch.setattr(engine, "import_module", broken)
    with pytest.raises(ol.InputError, match=r"cannot be imported here: libcuda.so.1: cannot open shared object file$"):
        backends.get("cupy")


# ---- the stand-in itself ----


MISTAKES = {
    "an upload": lambda cupy, x, there: cupy.ascontiguousarray(there),
    "a sum with the host": lambda cupy, x, there: cupy.matmul(x, there),
    "a copy from the host": lambda cupy, x, there: x.__setitem__(slice(None), there),
    "a copy of another type": lambda cupy, x, there: x.set(there.astype("float64")),
    "a copy of another shape": lambda cupy, x, there: x.set(there[1:]),
    "a copy of a list": lambda cupy, x, there: x.set(there.tolist()),
    "a conversion": lambda cupy, x, there: np.asarray(x),
    "a program as text": lambda cupy, x, there: cupy.cuda.Module().load("text"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_stand_in_and_cupy_refuse_the_same(mistake, machine, monkeypatch):
    x, there = backends.get("cupy").zeros((3, 3), "float32"), np.ones((3, 3), "float32")
    with pytest.raises((TypeError, ValueError)):
        mistake(sys.modules["cupy"], x, there)
    require_cupy()
    monkeypatch.undo()
    with pytest.raises((TypeError, ValueError)):
        mistake(device.cupy, device.real(device.described(x)), there)


def test_what_cupy_refuses_is_told(machine):
    require_cupy()
    x = backends.get("cupy").zeros(3, "float32")
    machine.note("cupy.ascontiguousarray", np.ones(3))
    machine.note("cupy.sum", x, axes=0)
    machine.note("cupy.bincounts", x)
    refused = device.refused_by_cupy(machine)
    machine.calls.clear()
    for told, reason in zip(refused, ["got numpy.ndarray", "keyword argument 'axes'", "'bincounts'"], strict=True):
        assert reason in told


def test_the_stand_in_mixes_with_nothing_of_the_host(machine):
    x = backends.get("cupy").zeros(3, "float32")
    with pytest.raises(TypeError):
        x + np.ones(3)
    assert type(np.sqrt(x)) is device.Array
