"""The elementary functions as the engines compute them, against float64.

``python tests/test_elementary.py`` prints their largest errors, and what a number costs, beside NumPy's.
"""

import re
import sys
import time

import numpy as np
import pytest
import scipy.special
from conftest import assert_same_bits, require
from fit_elementary import cases, fit

from optimlab.backends import llvm as backend
from optimlab.kernels import llvm_functions, numpy_functions, trace_function
from optimlab.kernels.llvm_source import llvm_source
from optimlab.kernels.sweep import Map, Reduction, Seen, Sweep

llvm = require("llvmlite.binding")

NAMES = ("exp", "expm1", "log", "log1p", "tanh", "erf", "sin", "cos")
ULPS = {"exp": 1, "expm1": 2, "log": 1, "log1p": 2, "tanh": 2, "erf": 2, "sin": 1, "cos": 1}
REFERENCE = {name: getattr(np, name, scipy.special.erf) for name in NAMES}

LOOP = """
define i64 @kernel(ptr %args) {{
entry:
  %at_x = getelementptr i64, ptr %args, i64 1
  %at_y = getelementptr i64, ptr %args, i64 2
  %n = load i64, ptr %args
  %x = load ptr, ptr %at_x
  %y = load ptr, ptr %at_y
  %any = icmp sgt i64 %n, 0
  br i1 %any, label %body, label %end
body:
  %i = phi i64 [0, %entry], [%next, %body]
  %from = getelementptr {kind}, ptr %x, i64 %i
  %number = load {kind}, ptr %from
  %value = call {kind} @{name}_{suffix}({kind} %number)
  %to = getelementptr {kind}, ptr %y, i64 %i
  store {kind} %value, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %body, label %end
end:
  ret i64 0
}}
"""
"""The number of elements and the addresses of two arrays are the words at ``args``."""


def loop_text(name, dtype="float32"):
    kind, suffix = {"float32": ("float", "f32"), "float64": ("double", "f64")}[dtype]
    return llvm_functions.functions(dtype, [name]) + LOOP.format(kind=kind, suffix=suffix, name=name)


class Loop:
    """One function over an array, compiled as the backend compiles a kernel."""

    def __init__(self, name, dtype="float32"):
        self.dtype = dtype
        self.run = backend.KERNEL(backend.address(loop_text(name, dtype), name))

    def __call__(self, x):
        x = np.ascontiguousarray(x, self.dtype)
        y = np.empty_like(x)
        arguments = self.arguments(x, y)
        self.run(arguments.ctypes.data)
        return y

    @staticmethod
    def arguments(x, y):
        return np.array([x.size, x.ctypes.data, y.ctypes.data], np.int64)


class PlainLoop(Loop):
    """The same for the plainest processor of the kind: on x86, four numbers at a time instead of eight or sixteen."""

    def __init__(self, name):
        self.dtype = "float32"
        module = llvm.parse_assembly(loop_text(name))
        target = llvm.Target.from_triple(llvm.get_process_triple())
        machine = target.create_target_machine(cpu="generic", opt=3, jit=True)
        passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
        passes.getModulePassManager().run(module, passes)
        self.engine = llvm.create_mcjit_compiler(module, machine)
        self.engine.finalize_object()
        self.run = backend.KERNEL(self.engine.get_function_address("kernel"))


def whole_range(mantissas):
    """Numbers of every exponent and both signs, subnormal, infinite and NaN, and a dense net where things happen."""
    rng = np.random.default_rng(0)
    low = np.unique(np.concatenate([[0, 1, 2, 2**22, 2**23 - 2, 2**23 - 1], rng.integers(0, 2**23, mantissas)]))
    high = np.arange(512) << 23
    numbers = (high[:, None] | low).astype(np.uint32).view(np.float32).ravel()
    numbers[np.isnan(numbers)] = np.nan  # no signaling ones, at which NumPy warns
    dense = [rng.uniform(-bound, bound, 100 * mantissas).astype(np.float32) for bound in (1.5, 12, 110)]
    return np.concatenate([numbers, *dense])


def ulps(found, exact):
    """Distance from ``exact``, float64, in units in the last place of float32; infinite where a limit, NaN or the sign
    of a number differs."""
    with np.errstate(over="ignore"):
        nearest = exact.astype(np.float32)
    same = (found == nearest) | (np.isnan(found) & np.isnan(nearest))
    same &= np.isnan(nearest) | (np.signbit(found) == np.signbit(nearest))
    finite = np.isfinite(found) & np.isfinite(exact) & (np.signbit(found) == np.signbit(exact))
    unit = np.spacing(np.minimum(np.abs(nearest), np.float32(2.0**127))).astype(float)
    with np.errstate(invalid="ignore"):
        distance = np.abs(found.astype(float) - exact) / unit
    return np.where(finite, distance, np.where(same, 0, np.inf))


def exact(name, x):
    with np.errstate(all="ignore"):
        return REFERENCE[name](x.astype(float))


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_within_its_units_in_the_last_place_over_the_whole_range(name):
    x = whole_range(500)
    error = ulps(Loop(name)(x), exact(name, x))
    worst = error.argmax()
    assert error[worst] <= ULPS[name], f"{name}({x[worst]!r}) is {error[worst]:.2f} units off"


@pytest.mark.parametrize("name", NAMES)
def test_float32_has_the_values_of_c_at_the_special_numbers(name):
    tiny, huge = np.float32(2.0**-149), np.finfo(np.float32).max
    x = np.array([0.0, tiny, 2.0**-126, 1.0, huge, np.inf, np.nan], np.float32)
    x = np.concatenate([x, -x])
    found, wanted = Loop(name)(x), exact(name, x).astype(np.float32)
    limits = np.isin(wanted, [0, 1, -1, np.inf, -np.inf, np.nan]) | np.isnan(wanted)
    assert not ulps(found, wanted.astype(float))[limits].any()
    odd = name in ("expm1", "log1p", "tanh", "erf", "sin")
    if odd:  # the signs of zeros, too
        zeros = x == 0
        np.testing.assert_array_equal(found[zeros].view(np.int32), x[zeros].view(np.int32))


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("exp", 88.72283, 3.4027985e38),  # the largest that is finite
        ("exp", 88.72284, np.inf),
        ("exp", -103.97208, 1e-45),  # the smallest that is not 0
        ("exp", -103.97209, 0.0),
        ("expm1", 88.72283, 3.4027985e38),
        ("expm1", 88.72284, np.inf),
        ("expm1", -104.0, -1.0),
        ("log", 1e-45, -103.27893),
        ("log", -1e-45, np.nan),
        ("log1p", -1.0, -np.inf),
        ("log1p", -1.0000001, np.nan),
        ("tanh", 9.1, 1.0),
        ("erf", 4.0, 1.0),
        ("erf", -4.0, -1.0),
    ],
)
def test_float32_ends_where_its_range_ends(name, x, y):
    np.testing.assert_array_equal(Loop(name)([x])[0], np.float32(y))


@pytest.mark.parametrize("name", sorted(llvm_functions.FORMULAS))
def test_loops_are_vectorized_and_neither_branch_nor_fuse_nor_call(name):
    module = llvm.parse_assembly(loop_text(name))
    backend.optimise(module)
    text, assembly = str(module), backend.machine().emit_assembly(module)
    assert re.search(r"fmul <\d+ x float>", text)
    assert not re.search(r"call float @(?!llvm\.)", text)
    assert not re.search(r"\bfmul (fast|contract|reassoc)|llvm\.fma|llvm\.fmuladd", text)
    assert not re.search(r"\bv?fn?m(add|sub|la|ls)", assembly)


@pytest.mark.parametrize("name", sorted(llvm_functions.FORMULAS))
def test_bits_do_not_depend_on_the_processor_nor_on_the_place_in_the_array(name):
    x = whole_range(20)
    here, plain = Loop(name), PlainLoop(name)
    wanted = here(x)
    np.testing.assert_array_equal(plain(x), wanted)
    alone = np.concatenate([here(x[i : i + 1]) for i in range(0, x.size, 7)])
    np.testing.assert_array_equal(alone, wanted[::7])


def test_the_innermost_loops_that_call_functions_work_on_several_vectors_at_a_time():
    def grown(x):
        return np.exp(x)

    def doubled(x):
        return x + x

    wide = [Map(trace_function(f), (Seen(0, "full"),), (Seen(1, "full"),), 256, 0) for f in (grown, doubled)]
    sums = Reduction("sum", Seen(1, "full"), Seen(2, "column"), 256)
    narrow = Map(trace_function(grown), (Seen(2, "column"),), (Seen(3, "column"),), 1, 0)
    assert hints([wide[0]]) == ["4"]
    assert hints([wide[1]]) == []
    assert hints([wide[0], sums, narrow]) == ["4"]  # the last stands in the loop over the rows, around the first
    assert hints([narrow]) == ["4"]


def hints(operations):
    """The numbers of vectors of the loops that are told one."""
    text = llvm_source(Sweep(operations, scalars=0), "float32")
    llvm.parse_assembly(text).verify()
    numbers = dict(re.findall(r"(!\d+) = distinct .*interleave.count\", i32 (\d+)", text))
    return [numbers[name] for name in re.findall(r"!llvm.loop (!\d+)", text)]


@pytest.mark.parametrize("columns", [2, 10, 16])
@pytest.mark.parametrize("name", llvm_functions.FORMULAS)
def test_a_row_that_is_a_vector_has_the_bits_of_its_numbers(name, columns):
    bits = np.random.default_rng(columns).integers(0, 2**32, (300, columns), dtype=np.uint32)  # of every exponent
    x = np.concatenate([bits.view("float32"), np.resize(np.float32([0, -0.0, np.inf, -np.inf, np.nan]), (5, columns))])
    y, none = np.empty_like(x), np.zeros(1, "float32")
    text = llvm_source(Sweep([of_rows(name, columns)], scalars=0), "float32")
    assert f"@{name}_v{columns}f32(<{columns} x float>" in text
    arguments = np.array([len(x), none.ctypes.data, x.ctypes.data, y.ctypes.data], np.int64)
    backend.KERNEL(backend.address(text, name))(arguments.ctypes.data)
    assert_same_bits(y, Loop(name)(x), name)


def test_rows_that_are_loops():
    """Wide rows, and functions of the C library, which take one number."""
    for name, columns, dtype in (("exp", 17, "float32"), ("exp", 10, "float64"), ("sin", 10, "float32")):
        assert " x " not in llvm_source(Sweep([of_rows(name, columns)], scalars=0), dtype)


def of_rows(name, columns):
    function = scipy.special.erf if name == "erf" else getattr(np, name)
    return Map(trace_function(lambda x: function(x)), (Seen(0, "full"),), (Seen(1, "full"),), columns, 0)


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_the_c_librarys(name):
    x = np.concatenate(
        [np.random.default_rng(1).uniform(-30, 30, 2000), [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]]
    )
    if name in ("log", "log1p"):
        x = np.abs(x)
    with np.errstate(all="ignore"):
        wanted = REFERENCE[name](x)
    np.testing.assert_array_max_ulp(Loop(name, "float64")(x), wanted, 2)


def test_a_text_has_each_function_once_and_no_other():
    text = llvm_functions.functions("float32", ["exp", "tanh", "exp", "sin"])
    assert re.findall(r"define internal float @(\w+)", text) == ["exp_f32", "sin_f32", "tanh_f32"]
    declared = re.findall(r"declare .*", text)
    assert len(declared) == len(set(declared))
    llvm.parse_assembly(text).verify()
    assert llvm_functions.functions("float32", []) == ""


OF_NUMPY = {"erf": 3.1, "expm1": 4, "log1p": 4}
"""Units in the last place; of these, NumPy's exp has 2.5 and its log 3.6."""


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (numpy_functions.BLOCK + 3,)])
@pytest.mark.parametrize("name", OF_NUMPY)
def test_numpys_functions_take_any_shape_and_may_write_where_they_read(name, shape):
    function = getattr(numpy_functions, name)
    x = np.random.default_rng(2).normal(0, 2, shape).astype(np.float32).reshape(shape)
    x = np.asarray(np.abs(x)) if name == "log1p" else x
    out = np.empty_like(x)
    assert function(x, out) is out
    assert ulps(out, exact(name, x)).max(initial=0) <= OF_NUMPY[name]
    turned = np.empty((*shape, 2), np.float32)[..., 0]
    np.testing.assert_array_equal(function(x, turned), out)
    repeated = np.empty((2, *shape), np.float32)
    np.testing.assert_array_equal(function(x, repeated), np.stack([out, out]))
    function(x, x)
    np.testing.assert_array_equal(x, out)


@pytest.mark.parametrize("name", OF_NUMPY)
def test_numpys_functions_stay_within_their_units_over_the_whole_range(name):
    """With the signs of zeros, limits, and NaN where there is no value."""
    x = whole_range(500)
    found = getattr(numpy_functions, name)(x, np.empty_like(x))
    assert ulps(found, exact(name, x)).max() <= OF_NUMPY[name]


def test_numpys_erf_has_its_limits():
    x = whole_range(50)
    found = numpy_functions.erf(x, np.empty_like(x))
    assert np.nanmax(np.abs(found)) == 1
    assert (found[np.abs(x) > 4.25] == np.sign(x[np.abs(x) > 4.25])).all()


@pytest.mark.parametrize("name", OF_NUMPY)
def test_numpys_functions_in_float64_are_those_of_the_library(name):
    x = np.linspace(-0.9, 4, 17)
    np.testing.assert_array_equal(getattr(numpy_functions, name)(x, np.empty_like(x)), REFERENCE[name](x))


def test_the_coefficients_are_those_of_the_fits():
    """To a rounding of the last digits: the fits solve least squares, which libraries round differently."""
    for name, function, lower, upper, *rest in cases():
        coefficients, _ = fit(function, lower, upper, *rest)
        x = np.linspace(float(lower), float(upper), 101)
        wanted = np.polynomial.Polynomial(coefficients)(x)
        module = numpy_functions if hasattr(numpy_functions, name) else llvm_functions
        written = np.polynomial.Polynomial(getattr(module, name))(x)
        np.testing.assert_allclose(written, wanted, rtol=2e-7, atol=2e-7, err_msg=name)


def _nanoseconds(call, count):
    best = np.inf
    for _ in range(200):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best / count * 1e9


def _print_table():
    x = whole_range(20000)
    some = np.random.default_rng(3).uniform(0.1, 6, 32768).astype(np.float32)
    out = np.empty_like(some)
    print("          largest error in units in the last place, and ns a number of 32,768")
    for name in NAMES:
        loop, numpy = Loop(name), REFERENCE[name]
        found = loop(x)
        with np.errstate(all="ignore"):
            theirs = ulps(numpy(x), exact(name, x)).max()
        error = ulps(found, exact(name, x)).max()
        arguments = loop.arguments(some, out)
        cost = _nanoseconds(lambda run=loop.run, at=arguments.ctypes.data: run(at), some.size)
        cost_numpy = _nanoseconds(lambda numpy=numpy: numpy(some, out=out), some.size)
        print(f"{name:8}{error:6.2f} (NumPy, SciPy {theirs:5.2f})   {cost:6.2f} ({cost_numpy:6.2f})")
    for name in OF_NUMPY:
        function = getattr(numpy_functions, name)
        error = ulps(function(x, np.empty_like(x)), exact(name, x)).max()
        cost = _nanoseconds(lambda function=function: function(some, out), some.size)
        print(f"of NumPy calls: {name:8}{error:6.2f} {cost:16.2f}")


if __name__ == "__main__":
    sys.exit(_print_table())
