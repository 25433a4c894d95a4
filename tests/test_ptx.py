"""Every kernel of the package as NVIDIA's compiler makes it for three architectures, run on the CPU by :mod:`ptx`; and
that machine itself."""

from __future__ import annotations

import functools
import os
import re
import sys
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import device
import numpy as np
import ptx
import pytest
from conftest import assert_same_bits
from test_cupy import CLIPPED, EXACT, OPTIONS, assert_close_training, assert_same_training, blas, folder, machine  # noqa: F401
from test_functions import CASES, assert_close, numbers, traced
from test_functions import host_scalars as slots
from test_kernels import RULES, T, assert_same_as_numpy, called, host_scalars, specimens

import optimlab as ol
from optimlab import backends, kernels
from optimlab.backends import cupy as engine
from optimlab.training.replicas import fit_replicas

if ptx.compiler is None:
    if os.environ.get("CI"):
        raise ImportError("these tests need CuPy, whose wheel brings NVIDIA's compiler")
    pytest.skip("CuPy is not installed", allow_module_level=True)

DTYPES = ["float32", "float64"]
ARCHITECTURES = ["sm_80", "sm_90", "sm_100"]
GRIDS = [(1, 1, 1), (5, 4, 3), (300, 3, 7)]
"""Numbers of elements, of blocks and of threads: fewer elements than threads, and many for each thread."""


@functools.cache
def assemblies(text, options=engine.OPTIONS):
    """A text's assembly for every architecture; once, where it is the same but for the architecture's name."""
    found = {}
    for architecture in ARCHITECTURES:
        assembly = ptx.assembly(text, architecture, options)
        assert f".target {architecture}\n" in assembly
        found.setdefault(assembly.replace(architecture, ""), assembly)
    return list(found.values())


def test_a_thread_loads_the_scalars_of_a_rule_once():
    graph = kernels.trace(ol.rules.textbook.adam)
    for assembly in assemblies(kernels.cuda_source(graph, "float32")):
        before, *loops = [part.count("ld.global") for part in re.split(r"^\$L__BB0_\d+:", assembly, flags=re.M)]
        assert before == len(graph.slots) == 8
        assert min(filter(None, loops)) == len(graph.inputs) == 4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvidias_assembler_takes_a_kernel(architecture):
    text = kernels.cuda_source(kernels.trace(ol.rules.textbook.adam), "float32")
    binary = ptx.compiled(text + engine.philox_source("float64"), architecture, kind="cubin")
    assert binary.startswith(b"\x7fELF")
    assert b"adam_step\0" in binary
    assert b"philox_double\0" in binary


def test_cupys_own_kernels_would_flush_subnormal_numbers(on_assembly):
    text, found = kernels.cuda_source(kernels.trace(ol.rules.textbook.sgd), "float32"), []
    for make in (sys.modules["cupy"].RawKernel, engine.kernel):
        arrays = [device.Array(on_assembly, np.array(a, "float32")) for a in ([1e-40, 3.0], [0.0, 1.0], [1.0])]
        make(text, "sgd_step")((1,), (2,), (np.int64(2), *arrays))
        found.append(arrays[0].get()[0])
    assert found == [0, np.float32(1e-40)]


# ---- rules ----


@functools.cache
def texts_of_rules(dtype):
    """The texts of all rules as one, for one network and for replicas."""
    texts = []
    for name, rule in RULES.items():
        graph = kernels.trace(rule)
        for suffix, by_row in (("", False), ("_rows", True)):
            if not (by_row and name.startswith("made_up")):
                graph = replace(graph, name=name.replace(".", "_") + suffix)
                texts.append(kernels.cuda_source(graph, dtype, slots_by_row=by_row))
    return "\n".join(texts)


def rule_kernels(name, dtype, suffix=""):
    function = engine.function_name(replace(kernels.trace(RULES[name]), name=name.replace(".", "_") + suffix))
    return [ptx.kernel(assembly, function) for assembly in assemblies(texts_of_rules(dtype))]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_equals_numpy_bit_for_bit_on_any_grid(name, dtype):
    """Subnormal numbers, infinities and NaN included."""
    rule, scalars = RULES[name], np.array([*host_scalars(RULES[name]), 0], dtype)
    for n, blocks, threads in GRIDS:
        before = specimens(rule, dtype, n, seed=n)
        expected = called(rule, before)
        for kernel in rule_kernels(name, dtype):
            arrays = {name: a.copy() for name, a in before.items()}
            kernel((blocks,), (threads,), (np.int64(n), *arrays.values(), scalars))
            assert_same_as_numpy(rule, arrays, expected, f"{n} elements on {blocks} x {threads}")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in RULES if not name.startswith("made_up")])
def test_every_rule_of_replicas_takes_the_scalars_of_the_row(name, dtype):
    rule, steps = RULES[name], (1, T, 90)
    scalars = np.array([host_scalars(rule, t) or (0,) for t in steps], dtype)
    before = specimens(rule, dtype, 3 * 40)
    rows = [called(rule, {k: a[40 * r : 40 * r + 40] for k, a in before.items()}, t) for r, t in enumerate(steps)]
    expected = {name: np.concatenate([row[name] for row in rows]) for name in before}
    for kernel in rule_kernels(name, dtype, "_rows"):
        arrays = {name: a.copy() for name, a in before.items()}
        kernel((2,), (16,), (np.int64(120), np.int64(40), *arrays.values(), scalars))
        assert_same_as_numpy(rule, arrays, expected, "rows")


# ---- functions ----


@functools.cache
def text_of_functions(dtype):
    return "\n".join(kernels.cuda_source(traced(name), dtype) for name in CASES)


UNITS = {
    "exp": (1, 1),
    "expm1": (1, 1),
    "log": (1, 1),
    "log1p": (1, 1),
    "tanh": (2, 1),
    "erf": (1, 3),
    "thirteenth_power": (9, 9),
    "sigmoid": (2, 2),
}
"""Units in the last place, for float32 and float64, where they are fewer than on the CPU (:data:`CASES`)."""


@pytest.mark.quick("exp-float32", "tanh-float32")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_every_function_over_the_whole_range(name, dtype):
    count = 10_000
    x = numbers(dtype, count)
    allowed = UNITS[name][DTYPES.index(dtype)] if name in UNITS else getattr(CASES[name], dtype)
    for assembly in assemblies(text_of_functions(dtype)):
        out = np.empty_like(x)
        engine.launch(ptx.kernel(assembly, f"{name}_map"), len(x), x, out, slots(traced(name), dtype))
        assert_close(name, out, allowed, count)


# ---- random numbers ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "blocks", "threads"), [(1, 1, 1), (8, 1, 4), (1001, 3, 7), (1001, 200, 2)])
def test_philox_gives_numpys_numbers_on_any_grid(dtype, size, blocks, threads):
    keys, counter = np.array([[2**63 + 5, 77], [3, 4], [5, 2**64 - 1]], "uint64"), 2**40
    parts = -(-size // (8 if dtype == "float32" else 4))
    for assembly in assemblies(engine.philox_source(dtype)):
        for streams in (1, 3):
            out = np.full(streams * size, -1, dtype)
            given = np.int64(streams * parts), np.int64(size), out, keys, np.array([counter], "uint64")
            ptx.kernel(assembly, f"philox_{engine.C_TYPES[dtype]}")((blocks,), (threads,), given)
            for key, found in zip(keys, out.reshape(streams, size), strict=False):
                reference = np.random.Generator(np.random.Philox(key=key, counter=counter))
                assert_same_bits(found, reference.random(size, dtype=dtype))


# ---- networks ----


class OnAssembly(device.Function):
    """A kernel of the stand-in for a device that runs from its assembly. The first launch of each is kept."""

    launched: ClassVar = {}

    def __init__(self, stand_in, text, name):
        self._machine, self._name = stand_in, name
        text_compiled, options = stand_in.compiled[-1]
        assert text_compiled == text
        self._kernel, self._key = ptx.kernel(ptx.assembly(text, options=options), name), (text, name, options)

    def _launch(self, grid, block, arguments, shared_mem=0):
        arguments = [a.value if isinstance(a, device.Scalar) else a for a in arguments]
        arguments = [a._array if isinstance(a, device.Array) else a for a in arguments]
        before = [a.copy() for a in arguments]
        self._kernel(grid, block, arguments, shared_mem)
        self._machine.launches.append(self._name)
        launch = grid, block, before, [a.copy() for a in arguments], shared_mem
        self.launched.setdefault(self._key, launch)


@pytest.fixture
def on_assembly(machine, monkeypatch):  # noqa: F811
    """At the end, each kernel that was new is launched once more as every architecture has it, on another grid."""
    monkeypatch.setattr(device, "Function", OnAssembly)
    known = set(OnAssembly.launched)
    yield machine
    new = {key: launch for key, launch in OnAssembly.launched.items() if key not in known}
    for options in {options for _, _, options in new}:
        these = [(text, name, launch) for (text, name, given), launch in new.items() if given == options]
        texts = {f"{one[1]}_{k}": one for k, one in enumerate(these)}
        joined = "\n".join(text.replace(f" {name}(", f" {renamed}(") for renamed, (text, name, _) in texts.items())
        for assembly in assemblies(joined, options):
            for renamed, (text, _, (grid, block, before, after, shared_mem)) in texts.items():
                again = [a.copy() for a in before]
                grid, block = (grid, block) if "__syncthreads" in text else ((3,), (7,))
                ptx.kernel(assembly, renamed)(grid, block, again, shared_mem)
                for actual, expected in zip(again, after, strict=True):
                    assert_same_bits(actual, expected, renamed)


INEXACT = [
    {"loss": "softmax_cross_entropy"},
    {"loss": "binary_cross_entropy", "sizes": [64, 9, 1]},
    {"fitted": {"clip": lambda: ol.ClipNorm(0.1)}},
    CLIPPED,
]
TRAINED = [*OPTIONS.values(), {"loss": "mean_absolute_error"}, *INEXACT]


@pytest.mark.quick("relu-float32", "penalties-float32")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", TRAINED, ids=[*OPTIONS, "error", "entropy", "logits", "norms", "norm"])
def test_a_network_trains_as_on_numpy(options, dtype, on_assembly):
    """Bit for bit, where all is arithmetic; for a norm, a GPU adds in another order."""
    exact = options.get("activation", "relu") in EXACT and options not in INEXACT
    options = {"sizes": [64, 9, 7, 10], "rows": 35, "batch_size": 25, "epochs": 1, "dtype": dtype, **options}
    (assert_same_training if exact else assert_close_training)(**options)


def test_every_activation_loss_and_limit_is_trained():
    seen = {"relu", "mean_squared_error"} | {o.get(key) for o in TRAINED for key in ("activation", "loss")}
    assert seen >= {*ol.activations.ACTIVATIONS, *ol.losses.LOSSES}
    made = [call() for o in TRAINED for call in o.get("fitted", {}).values()]
    kinds = {type(one) for some in made for one in (some if isinstance(some, list) else [some])}
    assert kinds == {ol.L1, ol.L2, ol.ClipGlobalNorm, ol.ClipNorm, ol.ClipValue, ol.MaxNorm}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_replicas_train_as_on_numpy(dtype, on_assembly, blas):  # noqa: F811
    on_assembly.shared = 0  # in shared memory, see test_blocks.py
    rng, found = np.random.default_rng(0), []
    x, y = rng.normal(size=(20, 4)).astype(dtype), rng.integers(0, 2, 20)
    for backend in ("cupy", "numpy"):
        options, kept = {"batch_norm": True, "use_bias": False, "dtype": dtype, "backend": backend}, []
        fit_replicas(
            [ol.MLP([4, 5, 2], seed=seed, **options) for seed in (0, 1)],
            ol.rules.textbook.momentum,
            [{"lr": 0.1}, {"lr": 0.01}],
            ol.Dataset(x, y, x, y),
            seeds=[0, 1],
            epochs=1,
            batch_size=12,
            watch=lambda network, *_, kept=kept: kept.append(network),
        )
        found.append(kept[0].backend.to_numpy(kept[0].parameters.data))
    np.testing.assert_allclose(*found, rtol=0, atol=10 * np.finfo(dtype).eps * abs(found[1]).max())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_input_is_read_by_its_shape(dtype, on_assembly):
    """Matrices, rows, columns and single numbers, of one matrix and of several; arrays with gaps, too."""
    b, rng = backends.get("cupy"), np.random.default_rng(0)

    def formula(x, a, c, *, k):
        return x * a + k * c, x - c

    shapes = {
        (5,): [(5,), (1,)],
        (4, 3): [(4, 3), (3,), (1, 3), (4, 1), (1,), (1, 1)],
        (2, 4, 3): [(2, 4, 3), (2, 1, 3), (2, 4, 1), (2, 1, 1), (3,), (1,), (1, 1, 3)],
        (2, 4, 1): [(2, 4, 1), (2, 1, 1), (1,)],
        (2, 1, 3): [(2, 1, 3), (2, 1, 1), (3,), (1,)],
    }
    for domain, others in shapes.items():
        for first, second in zip(others, [*others[1:], others[0]], strict=True):
            x, a, c = (rng.normal(size=shape).astype(dtype) for shape in (domain, first, second))
            gaps = np.concatenate([a, a], axis=-1)
            for there in (b.asarray(a), b.asarray(gaps)[..., : a.shape[-1]]):
                out = b.asarray(x), b.empty(domain, dtype)
                b.map(formula, (out[0], there, b.asarray(c)), out, k=0.25)
                assert_same_bits(out[0].get(), x * a + np.dtype(dtype).type(0.25) * c)
                assert_same_bits(out[1].get(), x - c)
    with pytest.raises(ol.InputError, match=r"shapes \(4,\) and \(4, 3\) in one formula"):
        b.map(formula, (b.zeros((4, 3), dtype), b.zeros(4, dtype), b.zeros(1, dtype)), b.zeros((4, 3), dtype), k=1.0)
    with pytest.raises(ol.InputError, match="written to contiguous arrays"):
        b.map(formula, (b.zeros(2, dtype),) * 3, b.zeros(4, dtype)[::2], k=1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_drops_by_numpys_philox(dtype, on_assembly):
    seed, b = np.random.SeedSequence(5), backends.get("cupy")
    layer = ol.layers.Dropout(10, 0.25)
    layer.build("dropout1", dtype, b, seed)
    mask = layer.forward(b.asarray(np.ones((12, 10), dtype)), True).get()
    drawn = np.random.Generator(np.random.Philox(seed)).random((12, 10), dtype=dtype)
    assert_same_bits(mask, ((drawn >= 0.25) / np.dtype(dtype).type(0.75)).astype(dtype))
    assert_same_bits(layer.backward(b.asarray(np.ones((12, 10), dtype))).get(), mask)


# ---- the machine itself ----

EACH = """
extern "C" __global__ void each_{k}(long long n, {parameters})
{{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {{
        {inputs}
        out[i] = {expression};
    }}
}}
"""
INTEGERS = {"int32": "int", "uint32": "unsigned", "int64": "long long", "uint64": "unsigned long long"}
C_TYPES = engine.C_TYPES | INTEGERS | {"bool": "bool"}


def computed(expressions, *arrays, dtypes=None, options=engine.OPTIONS):
    """The values of C expressions of the numbers ``a``, ``b`` and ``c``; in other types, where those are given."""
    types = {name: C_TYPES[x.dtype.name] for name, x in zip("abc", arrays, strict=False)}
    dtypes = dtypes or [arrays[0].dtype.name] * len(expressions)
    inputs = " ".join(f"const {kind} {name} = {name}_[i];" for name, kind in types.items())
    texts = []
    for k, (expression, dtype) in enumerate(zip(expressions, dtypes, strict=True)):
        parameters = ", ".join([*(f"const {kind} *{n}_" for n, kind in types.items()), f"{C_TYPES[dtype]} *out"])
        texts.append(EACH.format(k=k, parameters=parameters, inputs=inputs, expression=expression))
    found, ptx_text = [], ptx.assembly("".join(texts), options=options)
    for k, dtype in enumerate(dtypes):
        found.append(np.zeros(len(arrays[0]), dtype))
        engine.launch(ptx.kernel(ptx_text, f"each_{k}"), len(arrays[0]), *arrays, found[-1])
    return found


def drawn(dtype, count=300, arrays=2):
    """Numbers of every size."""
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return [(rng.normal(size=count) * 10.0 ** rng.integers(-9, 9, count)).astype(dtype) for _ in range(arrays)]
    info = np.iinfo(dtype)
    numbers = [rng.integers(info.min, info.max, count, dtype, endpoint=True) for _ in range(arrays)]
    return [np.where(rng.random(count) < 0.5, x, x % 50).astype(dtype) for x in numbers]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_of_a_product_rounds_once_if_it_is_fused_and_that_is_seen(dtype):
    a, b, c = drawn(dtype, arrays=3)
    c = (-a * b + c * 2.0**-20).astype(dtype)
    (plain,) = computed(["a * b + c"], a, b, c)
    assert_same_bits(plain, a * b + c)
    (fused,) = computed(["a * b + c"], a, b, c, options=("--fmad=true", "--ftz=false"))
    assert (fused != plain).mean() > 0.5
    ends = np.array([[-np.inf], [np.inf]], dtype)
    for x, y, z, found, others in zip(a, b, c, fused, np.nextafter(fused, ends).T, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        distance, *more = (abs(Fraction(float(v)) - exact) for v in (found, *others))
        assert distance <= min(more)


def test_subnormal_numbers_that_are_flushed_are_seen():
    x = np.array([1e-40, -1e-40, 3e-38, 1e-45, 1.5], "float32")
    (kept,) = computed(["a * 0.5f + a"], x)
    assert_same_bits(kept, x * np.float32(0.5) + x)
    (flushed,) = computed(["a * 0.5f + a"], x, options=("--fmad=false", "--ftz=true"))
    assert_same_bits(flushed, np.where(abs(x) > 1e-38, kept, np.copysign(np.float32(0), x)))


def test_approximate_divisions_and_roots_are_seen():
    a, b = (abs(x) for x in drawn("float32"))
    quotient, root = computed(["a / b", "sqrtf(a)"], a, b, options=(*engine.OPTIONS, "--use_fast_math"))
    assert (quotient != a / b).all()
    assert (root != np.sqrt(a)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_minima_and_maxima(dtype):
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 0.5, -2.5, 1e-42], dtype)
    a, b = (x.ravel() for x in np.meshgrid(special, special))
    least, largest = computed(["fmin(a, b)", "fmax(a, b)"], a, b)
    zeros = (a == 0) & (b == 0)
    assert_same_bits(least, np.where(zeros & np.signbit(a), a, np.where(zeros, b, np.fmin(a, b))))
    assert_same_bits(largest, np.where(zeros & np.signbit(a), b, np.where(zeros, a, np.fmax(a, b))))


@pytest.mark.parametrize("dtype", DTYPES)
def test_conversions(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, 0.5, 1.5, 2.5, -0.5, -2.5, 1e30, -1e30, 1e-42], dtype)
    x = np.concatenate([x, *drawn(dtype)])
    other = "float64" if dtype == "float32" else "float32"
    whole = {"rint": np.rint, "trunc": np.trunc, "floor": np.floor, "ceil": np.ceil}
    expressions = [*(f"{name}(a)" for name in whole), f"({C_TYPES[other]})a", *(f"({INTEGERS[k]})a" for k in INTEGERS)]
    found = computed(expressions, x, dtypes=[dtype] * 4 + [other, *INTEGERS])
    with np.errstate(all="ignore"):
        for actual, function in zip(found, whole.values(), strict=False):
            assert_same_bits(actual, function(x))
        assert_same_bits(found[4], x.astype(other))
        for actual, kind in zip(found[5:], INTEGERS, strict=True):  # beyond its range, its ends
            info = np.iinfo(kind)
            near = np.where(abs(x) < 2.0**62, x, 0).astype(object)
            wanted = [min(max(int(n), info.min), info.max) for n in near]
            wanted = [
                w if abs(n) < 2.0**62 else info.max if n > 0 else info.min for w, n in zip(wanted, x, strict=True)
            ]
            assert actual.tolist() == wanted
    for kind in INTEGERS:
        (n,) = drawn(kind, arrays=1)
        assert_same_bits(computed([f"({C_TYPES[dtype]})a"], n, dtypes=[dtype])[0], n.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_modes_of_rounding(dtype):
    a, b = drawn(dtype)
    letter, operations = "f" if dtype == "float32" else "d", {"add": Fraction.__add__, "mul": Fraction.__mul__}
    modes = {"rd": [-np.inf] * len(a), "ru": [np.inf] * len(a), "rz": None}
    cases = [(mode, name) for mode in modes for name in operations]
    for found, (mode, name) in zip(
        computed([f"__{letter}{name}_{mode}(a, b)" for mode, name in cases], a, b), cases, strict=True
    ):
        # on the other side of the exact number there is the next
        beyond = np.nextafter(found, -np.array(modes[mode] or -np.copysign(np.inf, found), dtype))
        for x, y, given, other in zip(a, b, found, beyond, strict=True):
            exact = operations[name](Fraction(float(x)), Fraction(float(y)))
            low, high = sorted((Fraction(float(given)), Fraction(float(other))))
            assert exact == Fraction(float(given)) or low < exact < high


@pytest.mark.slow
@pytest.mark.parametrize("kind", INTEGERS)
def test_integers(kind):
    a, b = drawn(kind)
    b[b == 0] = 7
    bits, long = np.iinfo(kind).bits, "ll" if "64" in kind else ""

    def divided(x, y):
        return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)

    cases = {
        "a + b": lambda x, y: x + y,
        "a - b": lambda x, y: x - y,
        "a * b": lambda x, y: x * y,
        "a / b": divided,
        "a % b": lambda x, y: x - divided(x, y) * y,
        "a / 10": lambda x, y: divided(x, 10),
        "a << (b & 31)": lambda x, y: x << (y & 31),
        "a >> (b & 31)": lambda x, y: x >> (y & 31),
        "(a & b) ^ ~(a | 5)": lambda x, y: (x & y) ^ ~(x | 5),
        "a < b ? a : b": min,
        "abs((long long)a)": lambda x, y: abs(x if x < 2**63 else x - 2**64),
        f"__clz{long}(a)": lambda x, y: bits - (x % 2**bits).bit_length(),
        f"__popc{long}(a)": lambda x, y: (x % 2**bits).bit_count(),
        "(signed char)a": lambda x, y: (x + 128) % 256 - 128,
        f"__{'u' * (kind[0] == 'u')}mul{long and '64'}hi(a, b)": lambda x, y: x * y >> bits,
    }
    for found, (expression, function) in zip(computed(list(cases), a, b), cases.items(), strict=True):
        wanted = [function(x, y) % 2**bits for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        assert_same_bits(found, np.array(wanted, f"uint{bits}").view(kind), expression)


def test_threads_that_part_meet_again():
    def steps(n):
        return 0 if n == 1 else 1 + steps(n // 2 if n % 2 == 0 else 3 * n + 1)

    n = np.arange(1, 500, dtype="int64")
    loop = "[=] { int k = 0; for (long long m = a; m != 1; ++k) m = m % 2 ? 3 * m + 1 : m / 2; return k; }()"
    assert computed([loop], n)[0].tolist() == [steps(k) for k in n.tolist()]


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_are_called_and_use_memory_of_their_own(dtype):
    x = np.concatenate([drawn(dtype)[0], np.array([1e5, 3e22, -1e30], dtype)])
    sine, cube = computed(["sin(a)", "pow((double)a, b)"], x, np.full(len(x), 3.0), dtypes=[dtype, "float64"])
    np.testing.assert_allclose(sine, np.sin(x.astype("float64")), rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_allclose(cube, x.astype("float64") ** 3, rtol=1e-15)


def test_the_indices_of_a_grid():
    text = """extern "C" __global__ void where(int *out)
    {
        const unsigned in_block = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        out[block * blockDim.x * blockDim.y * blockDim.z + in_block] += threadIdx.y + 10 * blockIdx.z;
    }"""
    out = np.zeros((2, 3, 2, 4, 5, 7), "int32")
    ptx.kernel(ptx.assembly(text), "where")((2, 3, 2), (7, 5, 4), (out,))
    block, *_, thread, _ = np.indices(out.shape)
    assert_same_bits(out, (10 * block + thread).astype("int32"))


# ---- threads of a block ----

TURNED = """extern "C" __global__ void turned_{k}(const float *x, float *out, int half)
{{
    extern __shared__ float more[];
    __shared__ float tile[64];
    const int t = threadIdx.x, i = blockIdx.x * 64 + t;
    tile[t] = x[i];
    {first}
    more[t] = tile[63 - t] + 1;
    {second}
    out[i] = more[t ^ 32] * 2;
    {end}
}}"""

RIGHT = {"first": "__syncthreads();", "second": "__syncthreads();", "end": ""}
WRONG = {
    ("no barrier", "without a barrier"): {"first": ""},
    ("no second barrier", "without a barrier"): {"second": ""},
    ("a barrier of the warp", "without a barrier"): {"first": "__syncwarp();"},
    ("a barrier in a branch", "not reached by every thread"): {"end": "if (t < half) __syncthreads();"},
    ("a thread ends", "not reached by every thread"): {"first": "if (t == 5) return; __syncthreads();"},
    ("shared memory too small", "outside of the shared memory"): {"end": "out[i] = more[t + 1];"},
    ("written twice", "write the same memory at once"): {"end": "__syncthreads(); tile[t / 2] = t;"},
    ("written twice, in turn", "without a barrier"): {"end": "if (t < half) more[t] = 1; else more[t - 20] = 1;"},
    ("two blocks", "without a barrier"): {"end": "out[t] = 1;"},
    ("read by another", "without a barrier"): {"end": "if (t < half) out[i] = out[i + 1];"},
    ("beyond the end", "outside of all arrays"): {"end": "out[i + 192] = 1;"},
    ("before the beginning", "outside of all arrays"): {"end": "out[i] = x[i - 1];"},
    ("across two numbers", "not aligned"): {"end": "if (t == half) *(double *)(out + i + 1) = 1;"},
    ("a shuffle in a branch", "is absent"): {"end": "if (t < half) out[i] = __shfl_down_sync(~0u, x[i], 1);"},
}


def turned(k):
    text = "\n".join(TURNED.format(k=n, **RIGHT | mistake) for n, mistake in enumerate([{}, *WRONG.values()]))
    x, out = np.arange(192, dtype="float32"), np.zeros(192, "float32")
    ptx.kernel(ptx.assembly(text), f"turned_{k}")((3,), (64,), (x, out, np.int32(20)), shared_mem=4 * 64)
    return out


def test_a_block_shares_memory():
    each = 2 * (np.arange(192).reshape(3, 64)[:, ::-1] + 1)
    assert_same_bits(turned(0), np.roll(each, 32, axis=1).ravel().astype("float32"))


@pytest.mark.parametrize(("k", "mistake"), list(enumerate(WRONG, 1)), ids=[name for name, _ in WRONG])
def test_what_a_gpu_need_not_do_as_meant_is_refused(k, mistake):
    with pytest.raises(ptx.Wrong, match=mistake[1]):
        turned(k)


def test_shared_memory_that_was_not_written_is_nan():
    text = """extern "C" __global__ void unwritten(float *out)
    {
        __shared__ volatile float x[8];
        out[threadIdx.x] = x[threadIdx.x];
    }"""
    found = np.zeros(8, "float32")
    ptx.kernel(ptx.assembly(text), "unwritten")((1,), (8,), (found,))
    assert np.isnan(found).all()


def test_threads_of_a_warp_exchange_numbers():
    text = """extern "C" __global__ void warps(const float *x, float *out, unsigned *bits, int *total)
    {
        const int t = threadIdx.x;
        float sum = x[t];
        for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
        out[t] = sum;
        out[64 + t] = __shfl_down_sync(~0u, x[t], 3, 8);
        out[128 + t] = __shfl_up_sync(~0u, x[t], 3);
        out[192 + t] = __shfl_sync(~0u, x[t], t + 5);
        bits[t] = __ballot_sync(~0u, x[t] > 10) + (__any_sync(~0u, x[t] > 40) ? 1 : 0) + __all_sync(~0u, t < 40);
        __shared__ float part[2][32];
        part[t / 32][t % 32] = x[t];
        __syncwarp();
        out[256 + t] = part[t / 32][31 - t % 32];
        atomicAdd(total, t);
        atomicMax(total + 1, t);
    }"""
    x, out, bits, total = (
        np.arange(64, dtype="float32"),
        np.zeros((5, 64), "float32"),
        np.zeros(64, "uint32"),
        np.zeros(2, "int32"),
    )
    ptx.kernel(ptx.assembly(text), "warps")((1,), (64,), (x, out, bits, total))
    lane, warp = np.arange(64) % 32, np.arange(64) // 32 * 32
    assert_same_bits(out[0], np.repeat(x.reshape(2, 32).sum(1), 32))
    assert_same_bits(out[1], np.where(lane % 8 < 5, x + 3, x))
    assert_same_bits(out[2], np.where(lane < 3, x, x - 3))
    assert_same_bits(out[3], (warp + (lane + 5) % 32).astype("float32"))
    assert bits.tolist() == [2**32 - 2**11 + 1] * 32 + [(2**32 - 1 + 1) % 2**32] * 32
    assert_same_bits(out[4], (warp + 31 - lane).astype("float32"))
    assert total.tolist() == [64 * 63 // 2, 63]
