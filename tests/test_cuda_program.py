"""Programs of the CuPy backend: they do what their operations do one after the other, and a step takes few launches.

Their kernels are run from NVIDIA's assembly, see ptx.py, on NumPy's arrays; whole steps also on the stand-in.
"""

from __future__ import annotations

import gc
import os
import weakref

import numpy as np
import ptx
import pytest
import test_program as lists
from conftest import assert_same_bits
from test_cupy import blas, folder, machine, trained  # noqa: F401  # fixtures

import optimlab as ol
from optimlab import backends, kernels
from optimlab.backends import cuda, cuda_program
from optimlab.backends.operations import Deferred
from optimlab.kernels.c_source import function_name
from optimlab.kernels.cuda_sweep import cuda_tile
from optimlab.kernels.sweep import Map, Reduction, Seen
from optimlab.kernels.tile import MOST_COLUMNS, WHOLE, Tile
from optimlab.training import engine

if ptx.compiler is None:
    if os.environ.get("CI"):
        raise ImportError("these tests need CuPy, whose wheel brings NVIDIA's compiler")
    pytest.skip("CuPy is not installed", allow_module_level=True)


class Rule:
    """A rule bound to arrays, which is only recorded."""

    def __init__(self, backend, graph, arrays):
        dtype = arrays[0]["w"].dtype.name
        self._backend, self._kernel = backend, cuda.kernel(kernels.cuda_source(graph, dtype), function_name(graph))
        self._parts = [tuple(part[name] for name in graph.inputs) for part in arrays]
        self.hp = np.zeros(max(1, len(graph.slots)), dtype)

    def launch(self):
        for arrays in self._parts:
            self._backend._program.rule(self._kernel, arrays, self.hp)


class Assembled(Deferred, backends.NumPyBackend):
    """NumPy's arrays, with recorded operations fused as for a GPU."""

    program = cuda_program.CudaProgram

    def __init__(self):
        super().__init__()
        self.program = lambda dtype: cuda_program.CudaProgram(self, dtype)

    def bind(self, graph, arrays):
        return Rule(self, graph, arrays)


@pytest.fixture
def assembled(monkeypatch):
    """The backend, and a list of the texts of its kernels."""
    texts = []

    def kernel(text, name):
        texts.append(text)
        return ptx.kernel(ptx.assembly(text), name)

    monkeypatch.setattr(cuda, "kernel", kernel)
    backend = Assembled()
    monkeypatch.setitem(backends._BACKENDS, "assembled", backend)
    return backend, texts


# ---- any operations ----


@pytest.mark.quick("0", "1")
@pytest.mark.parametrize("seed", range(8))
def test_any_list_of_operations_is_what_numpy_does_one_by_one(seed, assembled):
    """Draw whole numbers, so that sums in any order are the same."""
    lists.check(seed, lists.BOUNDED, whole=True, backend=assembled[0])


@pytest.mark.quick("0")
@pytest.mark.parametrize("seed", range(4))
def test_correctly_rounded_operations_have_the_same_bits(seed, assembled):
    lists.check(seed, lists.BOUNDED, sums=False, backend=assembled[0])


@pytest.mark.parametrize("seed", range(4))
def test_smooth_operations_differ_by_rounding_alone(seed, assembled):
    lists.check(seed, lists.SMOOTH, rounding=200, backend=assembled[0])


def centred(x, mean):
    return x - mean


def doubled(x):
    return 2 * x


def run(backend, dtype, *operations, working=()):
    """Record functions of a backend, run the program once, and return the names of its calls."""
    with backend.recording(dtype) as program:
        for operation in operations:
            operation(backend)
    program.finish(working)
    program.run()
    return [call.name for call in program.calls]


@pytest.mark.quick("shape4-float32", "shape5-float64")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 7), (33, 10), (100, 33), (3, 100), (70, 128)])
def test_sums_and_extremes_of_any_shape_are_one_kernel(shape, dtype, assembled):
    """Sums over rows, over columns and over everything, and what follows from them."""
    x = np.random.default_rng(0).integers(-9, 10, shape).astype(dtype)
    rows, columns = shape
    top, place, total = (np.zeros((rows, 1), dtype) for _ in range(3))
    sums, twice, every, out = np.zeros(columns, dtype), np.zeros(columns, dtype), np.zeros(1, dtype), np.zeros_like(x)
    names = run(
        assembled[0],
        dtype,
        lambda b: b.row_max(x, top),
        lambda b: b.map(centred, (x, top), out),
        lambda b: b.row_argmax(x, place),
        lambda b: b.row_sums(out, total),
        lambda b: b.column_sums(total, every),
        lambda b: b.column_sums(out, sums),
        lambda b: b.map(doubled, (sums,), twice),
        lambda b: b.map(centred, (out, twice), out),
    )
    if rows > 1 and columns > 1:
        assert len(names) == 1
    shifted = x - x.max(axis=1, keepdims=True)
    assert_same_bits(place[:, 0], x.argmax(axis=1).astype(dtype))
    assert_same_bits(every, shifted.sum().reshape(1))
    assert_same_bits(out, shifted - 2 * shifted.sum(axis=0))


@pytest.mark.parametrize("begin", ["row", "column"])
def test_formulas_of_rows_and_of_columns_join_those_of_matrices(begin, assembled):
    """A vector that a matrix needs is complete before it is read."""
    x = np.arange(40.0 * 7).reshape(40, 7)
    row, column, out = np.arange(7.0), np.arange(40.0).reshape(40, 1), np.zeros_like(x)
    vector = row if begin == "row" else column
    expected = 2 * x - 2 * vector
    names = run(
        assembled[0],
        "float64",
        lambda b: b.map(doubled, (x,), x),
        lambda b: b.map(doubled, (vector,), vector),
        lambda b: b.map(centred, (x, vector), out),
    )
    assert names == ["doubled + doubled + centred"]
    assert_same_bits(out, expected)


@pytest.mark.parametrize(
    "row", [[np.nan, 1, 5], [1, np.nan, np.nan], [-np.inf, -np.inf, -np.inf], [2, 7, 7], [-0.0, 0.0, -1]]
)
def test_the_largest_of_a_row_is_numpys(row, assembled):
    x, top, place = np.array([row] * 2, "float32"), np.zeros((2, 1), "float32"), np.zeros((2, 1), "float32")
    run(assembled[0], "float32", lambda b: b.row_max(x, top), lambda b: b.row_argmax(x, place))
    np.testing.assert_array_equal(top[:, 0], x.max(axis=1))
    np.testing.assert_array_equal(place[:, 0], x.argmax(axis=1))


def test_matrices_that_are_too_large_for_one_block_or_thread_are_not_fused(assembled):
    many, wide = np.ones((WHOLE // 8 + 1, 8), "float32"), np.ones((3, MOST_COLUMNS + 1), "float32")
    long = np.ones(WHOLE + 1, "float32")
    total, sums, top, one = (np.zeros(s, "float32") for s in ((len(many), 1), 8, (3, 1), 1))
    names = run(
        assembled[0],
        "float32",
        lambda b: b.row_sums(many, total),
        lambda b: b.column_sums(many, sums),
        lambda b: b.row_max(wide, top),
        lambda b: b.column_sums(long, one),
    )
    assert names == ["sum", "columns", "row_max", "column_sums"]
    assert (total.sum(), sums[0], top.sum(), one[0]) == (many.size, len(many), 3, long.size)


def test_a_wait_that_is_missing_is_found(assembled):
    """The machine that runs the kernels sees threads that do not wait for each other."""
    tile = Tile(64, 10)
    assert tile.add(Reduction("columns", Seen(0, "full"), Seen(1, "row"), 10), 64)
    assert tile.add(Map(kernels.graph_of(centred), (Seen(0, "full"), Seen(1, "row")), (Seen(2, "full"),), 10, 0), 64)
    text = cuda_tile(tile, "float32", "centre")
    assert text.count("__syncthreads();") == 2
    x, sums, out, hp = (np.ones(s, "float32") for s in ((64, 10), 10, (64, 10), 1))
    for wrong in (text.replace("__syncthreads();", "", 1), text[::-1].replace(";)(sdaerhtcnys__", "", 1)[::-1]):
        with pytest.raises(ptx.Wrong):
            ptx.kernel(ptx.assembly(wrong), "centre")((1,), (1024,), (np.int64(64), x, sums, out, hp))


def test_the_memory_of_a_program_is_free_as_soon_as_the_program_is(assembled):
    backend, _ = assembled
    x, out, wide = np.ones((3, 4), "float32"), np.ones((3, 3), "float32"), np.ones((3, 200), "float32")
    with backend.recording("float32") as program:
        backend.map(doubled, (x,), x)
        backend.matmul(x, x.T, out)
        backend.row_max(wide, out[:, :1].copy())
        backend.count(np.zeros(1, "int64"))
    program.finish([])
    seen = weakref.ref(program)
    gc.disable()
    try:
        del program
        assert seen() is None
    finally:
        gc.enable()


# ---- a training step ----


STEPS = {
    "plain": {},
    "gelu, float64": {"activation": "gelu", "dtype": "float64"},
    "batch norm and dropout": {"batch_norm": True, "dropout": 0.2},
    "softmax inside": {"activation": "softmax"},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", STEPS.values(), ids=STEPS)
def test_training_from_nvidias_assembly_equals_numpy(options, assembled, monkeypatch):
    _, texts = assembled
    generator = np.random.default_rng(0)
    x, y = generator.random((40, 12), dtype="float32"), generator.integers(0, 5, 40)
    data, found = ol.Dataset(x, y, x[:7], y[:7]), []
    for name in ("assembled", "numpy"):
        monkeypatch.setattr(Assembled, "name", name)
        net = ol.MLP([12, 20, 5], seed=0, backend=backends._BACKENDS[name], **options)
        history = ol.fit(net, ol.SGD(net.parameters, lr=0.1), data, epochs=1, batch_size=18)
        found.append((history.train_loss + history.val_loss, history.val_accuracy, net.parameters.data))
    (loss, accuracy, weights), (expected, right, reference) = found
    tolerance = 1e-12 if options.get("dtype") == "float64" else 1e-5
    assert loss == pytest.approx(expected, rel=tolerance)
    assert accuracy == right
    np.testing.assert_allclose(weights, reference, rtol=0, atol=tolerance * abs(reference).max())
    for text in set(texts):
        for architecture in ("sm_80", "sm_100"):
            assert f".target {architecture}" in ptx.assembly(text, architecture)


FORWARD = "with_bias + relu"
LOSS = (
    "with_bias + max + picked + sum + exponential + sum + entropy + columns + times + cross_entropy_gradient "
    "+ argmax + matching + columns + columns"
)
NORM = (
    "with_bias + columns + mean_of_batch + squared_deviation + columns + variance_of_batch + normalised "
    "+ scaled_and_shifted + relu"
)
NORM_BACKWARD = "relu_backward + product + columns + columns + of_features + batch_norm_backward + columns"
CALLS = {
    "plain": ({}, [FORWARD], "relu_backward + columns"),
    "batch norm": ({"batch_norm": True}, [NORM], NORM_BACKWARD),
    "dropout": ({"dropout": 0.2}, [FORWARD, "uniform", "dropped"], "dropped + relu_backward + columns"),
    "both": ({"batch_norm": True, "dropout": 0.2}, [NORM, "uniform", "dropped"], f"dropped + {NORM_BACKWARD}"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("options", "forward", "backward"), CALLS.values(), ids=CALLS)
def test_a_step_of_two_layers_is_at_most_twenty_nodes(options, forward, backward, machine, blas, monkeypatch):  # noqa: F811
    programs, recorded = [], engine.Tabled.programs
    monkeypatch.setattr(engine.Tabled, "programs", lambda self: programs.append(recorded(self)) or programs[-1])
    trained("cupy", epochs=1, sizes=[64, 30, 10], fitted={"graph": True}, **options)
    [(step, _)] = programs
    expected = [
        *["take", "take", "take"],  # the batch's places, its rows, its labels
        *["product", *forward, "product", LOSS, "product", "product", backward, "product"],
        *["take", "rule"],  # the step's scalars
        *["same + same + same", "put", "count"],
    ]
    assert [call.name for call in step.calls] == expected
    # a generator's counter is a node of its own
    assert machine.nodes == [len(expected) + ("uniform" in forward)]
    assert machine.nodes[0] <= 20


def test_a_step_without_a_graph_launches_the_same_kernels(machine, monkeypatch):  # noqa: F811
    launched = []
    for steps in (2, 3):
        machine.launches.clear()
        generator = np.random.default_rng(0)
        data = ol.Dataset(generator.random((48 * steps, 6), dtype="float32"), generator.integers(0, 3, 48 * steps))
        net = ol.MLP([6, 8, 3], seed=0, backend="cupy")
        ol.fit(net, ol.Adam(net.parameters), data, epochs=1, batch_size=48)
        launched.append(list(machine.launches))
    took = len(launched[1]) - len(launched[0])
    assert took == 10  # 16 nodes, of which five are products and one is CuPy's sum of counter and 1


def test_code_of_ones_own_is_not_recorded(machine):  # noqa: F811
    class Twice(ol.layers.Activate):
        def forward(self, x, training):
            return super().forward(x, training) * 2

    generator = np.random.default_rng(0)
    data, found = ol.Dataset(generator.random((20, 6), dtype="float32"), generator.integers(0, 3, 20)), []
    for backend in ("cupy", "numpy"):
        net = ol.Network([ol.layers.Dense(6, 4), Twice(4, "relu"), ol.layers.Dense(4, 3)], backend=backend)
        found.append(ol.fit(net, ol.SGD(net.parameters), data, epochs=1, batch_size=10).train_loss)
    np.testing.assert_allclose(*found, rtol=1e-5)
