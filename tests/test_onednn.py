"""Large matrix products by oneDNN: as exact as NumPy's, and made only where they are meant to be."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import assert_same_bits
from threadpoolctl import threadpool_limits

import optimlab as ol
from optimlab.backends import onednn
from optimlab.backends.threads import one_thread
from optimlab.study import Problem, Store, Study, compare
from optimlab.study.run import host

COMPILED = ol.backends.get("compiled") if "compiled" in ol.backends.names() else None

needs_library = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="oneDNN's package is for Linux on x86-64"
)


@pytest.fixture
def fresh(monkeypatch):
    """The library is looked for anew, before the test and after it."""
    onednn.library.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    onednn.library.cache_clear()


@pytest.fixture
def library(fresh):
    """oneDNN on one thread, whatever processor this is."""
    try:
        importlib.metadata.version(onednn.DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{onednn.DISTRIBUTION} is not installed")
    fresh.setattr(onednn, "AVX512", 0)
    with one_thread():
        yield onednn.library()


def matrices(rows, inner, columns, order="CC", dtype="float32"):
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((rows, inner)), generator.standard_normal((inner, columns))
    return np.asarray(a, dtype, order[0]), np.asarray(b, dtype, order[1]), np.full((rows, columns), np.nan, dtype)


# --- what it gives


@pytest.mark.quick_each("shape", "order")
@needs_library
@pytest.mark.parametrize("order", ["CC", "CF", "FC", "FF"])
@pytest.mark.parametrize("shape", [(256, 784, 800), (784, 256, 800), (32, 3072, 128), (211, 331, 129), (1, 3001, 3001)])
def test_a_product_is_that_of_float64_up_to_rounding(library, shape, order):
    a, b, out = matrices(*shape, order)
    assert onednn.multiply(a, b, out)
    exact, terms = a.astype(float) @ b.astype(float), abs(a.astype(float)) @ abs(b.astype(float))
    # the bound of any order of summation: Higham (2002), section 3.5
    assert (abs(out - exact) <= shape[1] * 2.0**-24 * terms * 1.01).all()


@needs_library
def test_infinities_and_nans_go_through(library):
    a, b, out = matrices(256, 200, 300)
    a[3, 5], a[7, 0], b[9, 11] = np.inf, np.nan, -np.inf
    assert onednn.multiply(a, b, out)
    with np.errstate(invalid="ignore"):
        expected = a @ b
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(out), kind(expected))


@needs_library
def test_parts_of_larger_matrices_are_multiplied_where_they_lie(library):
    a, b, out = matrices(256, 784, 800)
    wide, tall = np.full((256, 800), np.nan, "float32"), np.full((900, 784), np.nan, "float32")
    wide[:, 3:787], tall[:800] = a, b.T
    assert onednn.multiply(wide[:, 3:787], tall[:800].T, out)
    expected = np.empty_like(out)
    assert onednn.multiply(a, b.T.copy().T, expected)
    np.testing.assert_array_equal(out, expected)


@needs_library
def test_what_is_multiplied_may_be_read_only(library):
    a, b, out = matrices(256, 200, 300)
    a.flags.writeable = b.flags.writeable = False
    assert onednn.multiply(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-4, atol=1e-4)


@needs_library
def test_memory_does_not_grow(library):
    given = matrices(256, 256, 256)
    onednn.multiply(*given)
    before = resident()
    assert all(onednn.multiply(*given) for _ in range(300))
    assert resident() - before < 1 << 20


def resident():
    """Bytes of this process that lie in memory, those of libraries included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- where it is made


@needs_library
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(matrices(200, 200, 199), id="small"),
        pytest.param(matrices(784, 256, 127), id="narrow"),
        pytest.param(matrices(256, 784, 800, dtype="float64"), id="float64"),
        pytest.param(matrices(256, 784, 800, dtype=">f4"), id="swapped bytes"),
        pytest.param([x[None] for x in matrices(256, 784, 800)], id="replicas"),
        pytest.param([np.repeat(x, 2, axis=1)[:, ::2] for x in matrices(256, 784, 800)], id="gaps"),
        pytest.param([matrices(256, 784, 800)[0][::-1], *matrices(256, 784, 800)[1:]], id="backwards"),
    ],
)
def test_other_products_are_left_to_numpy(library, given):
    assert not onednn.multiply(*given)
    assert np.isnan(given[-1]).all()


@needs_library
def test_products_on_several_threads_are_left_to_numpy(library):
    given = matrices(256, 784, 800)
    with threadpool_limits(2):
        assert not onednn.multiply(*given)
    assert onednn.multiply(*given)


@needs_library
@pytest.mark.skipif(COMPILED is None, reason="llvmlite is not installed")
def test_shapes_that_do_not_go_together_are_numpys_error(library):
    a, b, out = matrices(256, 784, 800)
    for given in ((a, b[:-1], out), (a, b, out[:-1])):
        with pytest.raises(ValueError, match="matmul"):
            COMPILED.matmul(*given)


def trained(backend):
    """A network large enough for oneDNN, after an epoch on one thread."""
    generator = np.random.default_rng(1)
    x, y = generator.standard_normal((600, 300), "float32"), generator.integers(0, 10, 600)
    network = ol.MLP([300, 400, 10], seed=0, backend=backend)
    with one_thread():
        ol.fit(network, ol.Adam(network.parameters), ol.Dataset(x, y), epochs=2, batch_size=200, progress=False)
    return network.parameters.data


@needs_library
@pytest.mark.skipif(COMPILED is None, reason="llvmlite is not installed")
def test_a_large_network_trains_alike_and_the_same_seed_gives_the_same_bits(library, monkeypatch):
    made, plain = [], onednn.fits
    monkeypatch.setattr(onednn, "fits", lambda *given: made.append(plain(*given)) or made[-1])
    first = trained("compiled")
    # of the step that is recorded, x W and x^T dy of the first layer; the rest is small
    assert (len(made), sum(made)) == (5, 2)
    assert_same_bits(trained("compiled"), first)
    made.clear()
    np.testing.assert_allclose(first, trained("numpy"), rtol=1e-3, atol=1e-4)
    assert not made


@needs_library
@pytest.mark.skipif(COMPILED is None, reason="llvmlite is not installed")
@pytest.mark.parametrize("order", ["CC", "CF", "FC", "FF"])
def test_a_product_of_a_program_has_the_bits_of_one_outside(order, library):
    for shape in ((256, 784, 800), (100, 700, 130)):
        a, b, out = matrices(*shape, order)
        direct = np.full_like(out, np.nan)
        assert onednn.multiply(a, b, direct)
        with COMPILED.recording("float32") as program:
            COMPILED.matmul(a, b, out)
        assert np.isnan(out).all()
        program.finish([])
        program.run()
        assert_same_bits(out, direct)


@needs_library
@pytest.mark.skipif(COMPILED is None, reason="llvmlite is not installed")
def test_a_study_of_wide_networks_is_the_same_in_several_processes(fresh, tmp_path):
    if not onednn.library():
        pytest.skip("oneDNN is not installed, or not for this processor")
    made, plain = [], onednn.fits
    fresh.setattr(onednn, "fits", lambda *given: made.append(plain(*given)) or made[-1])
    wide = Problem(hidden=(512, 512), epochs=1)
    study = Study(wide, ("sgd",), (0.01, 0.1, 1.0, 10.0), replicates=2, extensions=0, defaults=False)
    runs = []
    for jobs in (1, 2):
        compare(study, tmp_path / f"{jobs}", jobs=jobs)
        records = Store(tmp_path / f"{jobs}").records
        runs.append({key: (r.val_loss, r.val_score, r.test_loss) for key, r in records.items()})
    assert any(made)
    assert runs[0]
    assert runs[0] == runs[1]


# --- where it is not


@pytest.mark.skipif(COMPILED is None, reason="llvmlite is not installed")
def test_without_the_package_every_product_is_of_numpys_blas(fresh):
    fresh.setattr(onednn, "DISTRIBUTION", "of-no-such-name")
    assert onednn.library() is None
    assert onednn.used() == []
    np.testing.assert_allclose(trained("compiled"), trained("numpy"), rtol=1e-3, atol=1e-5)


def package(library):
    """Return what is known of a package with that file as its library."""
    return SimpleNamespace(files=[SimpleNamespace(name="libdnnl.so.3", locate=lambda: library)])


def test_a_library_that_cannot_be_loaded_is_one_warning(fresh, tmp_path):
    path = tmp_path / "libdnnl.so.3"
    path.write_bytes(b"not a library")
    fresh.setattr("importlib.metadata.distribution", lambda name: package(path))
    with pytest.warns(RuntimeWarning, match=r"onednn-cpu-gomp is installed but cannot be used: .*libdnnl\.so"):
        assert onednn.library() is None
    assert onednn.library() is None  # a second warning would be an error


@needs_library
def test_a_library_of_another_kind_is_one_warning(fresh):
    fresh.setattr("importlib.metadata.distribution", lambda name: package("libc.so.6"))
    with pytest.warns(RuntimeWarning, match=r"cannot be used: .*dnnl_get_effective_cpu_isa"):
        assert onednn.library() is None


@needs_library
def test_a_processor_without_avx512_has_none(fresh):
    fresh.setattr(onednn, "AVX512", 1 << 30)
    assert onednn.library() is None


# --- threads and processes


def output(code, **variables):
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60)
    assert not run.returncode, run.stderr
    return run.stdout.split()


START = """
import os, numpy as np
from optimlab.backends import onednn
from optimlab.backends.threads import one_thread
onednn.AVX512 = 0
a, b, out = np.ones((256, 784), "f"), np.ones((784, 800), "f"), np.zeros((256, 800), "f")
"""


@pytest.mark.slow
@needs_library
def test_the_threads_of_a_library_loaded_within_the_limit_are_limited(library):
    code = START + (
        "with one_thread(): print(onednn.library().omp_get_max_threads(), onednn.multiply(a, b, out))\n"
        "print(onednn.library().omp_get_max_threads(), onednn.multiply(a, b, out))"
    )
    assert output(code, OMP_NUM_THREADS="2") == ["1", "True", "2", "False"]


@pytest.mark.slow
@needs_library
def test_a_forked_process_multiplies_too(library):
    code = START + (
        "with one_thread():\n"
        "    assert onednn.multiply(a, b, out)\n"
        "    child = os.fork()\n"
        "    out[...] = 0\n"
        "    done = onednn.multiply(a, b, out) and (out == 784).all()\n"
        "    os._exit(not done) if child == 0 else print(done, os.waitpid(child, 0)[1])\n"
    )
    assert output(code, OMP_NUM_THREADS="2") == ["True", "0"]


@needs_library
def test_a_study_names_it_among_what_times_depend_on(library):
    host.cache_clear()
    try:
        assert host()["blas"][-1].startswith(f"{onednn.DISTRIBUTION} 20")
    finally:
        host.cache_clear()
