"""The benchmark scripts run; what they measure is never asserted."""

import ctypes
import importlib.util
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import optimlab as ol
from optimlab import backends
from optimlab.backends.threads import one_thread

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_speed_runs_and_names_every_competitor(monkeypatch):
    """On one network, and in this process; a worker of its own has the next test but one."""
    speed = script("speed", monkeypatch)
    quick = speed.Effort.quick(1)
    monkeypatch.setattr(speed.Effort, "quick", lambda rounds: replace(quick, jobs=quick.jobs[1:]))
    monkeypatch.setattr(sys, "argv", [str(FOLDER / "speed.py")])  # which processes are to begin

    def here(path, options, threads):
        assert (path, threads) == (FOLDER / "speed.py", 1)
        return json.loads(CliRunner().invoke(speed.main, options, catch_exceptions=False).stdout.splitlines()[-1])

    monkeypatch.setattr(speed, "worker", here)
    result = CliRunner().invoke(speed.main, ["--quick", "--threads", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    names = ["optimlab, numpy", "PyTorch fused", "PyTorch default", "scikit-learn", "floor: matrix products", "adam"]
    names += ["memory of training", "how long it takes to begin"]
    fastest = ol.MLP([1000, 1000]).backend.name
    names += [f"optimlab, {fastest}", f"optimlab, {fastest}, kept"] * (fastest != "numpy")
    for name in names:
        assert name in result.stdout


def test_epsilon_runs(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("epsilon", FOLDER / "epsilon.py")
    epsilon = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(epsilon)
    monkeypatch.setattr(epsilon, "EPOCHS", 2)
    monkeypatch.setattr(epsilon, "SEEDS", 1)
    monkeypatch.setattr(epsilon, "EPSILONS", (1e-7, 1e-14))
    epsilon.main()
    printed = capsys.readouterr().out
    assert all(rule in printed for rule in epsilon.RULES)


def script(name, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_exported_times_both_optimizers(monkeypatch):
    exported = script("exported", monkeypatch)
    assert set(exported.OPTIONS) == set(ol.rules.names("torch"))
    monkeypatch.setattr(exported, "NETWORKS", {"tiny": [(3, 2), (2,)]})
    monkeypatch.setattr(exported, "SECONDS", 1e-5)
    monkeypatch.setattr(exported.os, "sched_setaffinity", lambda *_: None)
    result = CliRunner().invoke(exported.main, ["--rounds", "4"])
    assert result.exit_code == 0, result.output
    assert all(rule[:8] in result.output for rule in exported.OPTIONS)


@pytest.mark.slow
def test_playground_prints_the_time_of_a_frame(browser):  # where there is one: the script finds it by itself
    command = [sys.executable, str(FOLDER / "playground.py"), "--seconds", "0.2"]
    own = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 10


@pytest.fixture
def timing(monkeypatch):
    """The modules that benchmarks/speed.py is made of, by name."""
    monkeypatch.syspath_prepend(FOLDER)
    return lambda name: importlib.import_module(f"timing.{name}")


def without_peers(timing, monkeypatch):
    """As where neither JAX, PyTorch nor llvmlite is installed."""
    for module in ("activation_grid", "sweep", "products_alone"):
        monkeypatch.setattr(timing(module), "optional", lambda name: None)


@pytest.mark.slow
@pytest.mark.parametrize("peers", [True, False])
def test_tables_that_are_asked_for(timing, monkeypatch, capsys, peers):
    asked = timing("asked")
    if not peers:
        without_peers(timing, monkeypatch)
    names = ["activations", "small", "sweep"]
    found = asked.work(names, rounds=1, quick=True, only="" if not peers else "a")
    assert list(found["tables"]) == names
    for case in itertools.chain(*found["tables"].values()):
        for competitor in case["competitors"]:
            here = competitor["seconds"] is not None
            assert not here or (len(competitor["seconds"]) == 1 and competitor["seconds"][0] > 0)
            if competitor["name"].startswith(("optimlab", "ol.fit", "as a study")):
                assert here
            elif not peers or (competitor["name"].startswith("JAX") and find_spec("jax") is None):
                assert not here
    report = {"date": "", "rounds": 1, "processes": 1, "clock": "wall time", **found}
    asked.show(Console(width=200), report)
    printed = capsys.readouterr().out
    for title in ("by activation", "the products alone", "runs a second on one core"):
        assert title in printed
    assert ("not installed" in printed.partition("dtype")[2]) == (not peers or find_spec("jax") is None)


@pytest.mark.slow
def test_speed_prints_the_tables_that_are_asked_for(tmp_path):
    """Print them from processes that find no peers; those that train beside them have tests above."""
    for peer in ("torch", "jax", "sklearn"):
        (tmp_path / f"{peer}.py").write_text("raise ModuleNotFoundError\n")
    command = [sys.executable, str(FOLDER / "speed.py"), "--small", "--compare", "--quick", "--only", "sgd"]
    own = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(FOLDER.parent)])}
    options = {"capture_output": True, "text": True, "check": False, "cwd": tmp_path, "env": own}
    result = subprocess.run([*command, "--cpu-time", "--json", "x.json"], **options)
    assert result.returncode == 0, result.stderr
    assert "adam" not in result.stdout
    tables = json.loads((tmp_path / "x.json").read_text())["tables"]
    case, small = tables["compare"]  # by CPU time on one core only
    whole, *parts = (seconds for (seconds,) in case["parts"].values())
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(whole)
    assert min(small["parts"]["later"]) > 0
    names = [competitor["name"] for competitor in tables["small"][0]["competitors"]]
    assert names[-1] == "the products alone, compiled"


@pytest.mark.slow
def test_the_command_is_timed_on_one_core_and_on_two(timing, monkeypatch):
    """The command's help, which takes no time."""
    command = timing("command")
    monkeypatch.setitem(command.OPTIONS, True, ("--help",))
    *cases, small = command.measure(rounds=2, quick=True, beside=sys.executable)
    assert [case["name"] for case in cases] == ["1 core", "2 cores"][: command.available_cores()]
    for case in cases:
        whole, *parts, other = map(np.array, case["parts"].values())
        assert whole.shape == other.shape == (2,)
        assert sum(parts) == pytest.approx(whole)
    assert {name: len(taken) for name, taken in small["parts"].items()} == {
        "first": 2,
        "later": 2,
        "the other, first": 2,
        "the other, later": 2,
    }
    compared, process = command.tables([*cases, small])
    assert compared.row_count == len(cases)
    assert process.row_count == 4


def test_the_products_alone_are_those_of_a_step(timing):
    alone = timing("products_alone")
    job = timing("jobs").Job((6, 5, 3), batch=4, rows=4)
    if find_spec("llvmlite") is None or alone.product() is None:
        pytest.skip("needs llvmlite and the BLAS of NumPy")
    arrays, calls = alone.step_products(job)
    multiply = alone.compiled(alone.optional("llvmlite.binding"), alone.source(*alone.product(), calls))
    before = [array.copy() for array in arrays]
    values, gradients, weights = before[:3], before[3:6], before[6:8]
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(multiply.get_function_address("run"))(1)
    values[1] = values[0] @ weights[0]
    values[2] = values[1] @ weights[1]
    gradients[1] = gradients[2] @ weights[1].T
    expected = [*values, *gradients, *weights, values[0].T @ gradients[1], values[1].T @ gradients[2]]
    for mine, its in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)


ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "swish", "mish", "tanh", "sigmoid", "softplus")


@pytest.mark.quick("relu", "gelu")
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_peers_have_our_activations(timing, name):
    torch, x = pytest.importorskip("torch"), np.linspace(-6, 6, 101, dtype="float32")
    ours = ol.activations.get(name)(x)
    theirs = getattr(torch.nn, timing("torch_training").ACTIVATIONS[name])()(torch.from_numpy(x))
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-5, atol=1e-6)
    if find_spec("jax") is not None:
        import jax

        np.testing.assert_allclose(timing("jax_training").activations(jax)[name](x), ours, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_jax_makes_our_step(timing, rule):
    """One step on one batch, with batch norm: the same weights, and the same running averages but for the variance's
    n - 1."""
    jax = pytest.importorskip("jax")
    training, job = timing("jax_training"), timing("jobs").Job((6, 5, 3), 8, 8, "tanh", batch_norm=True, rule=rule)
    (x, y), (parameters, running) = job.data(), training.start(jax, job)
    names = {"w": "dense{}.W", "b": "dense{}.b", "gamma": "norm{}.gamma", "beta": "norm{}.beta"}
    places = [(k, part, names[part].format(k + 1)) for k, own in enumerate(parameters) for part in own]
    network = ol.MLP(job.sizes, activation="tanh", batch_norm=True, seed=0)
    for k, part, name in places:
        network.parameters[name].data[...] = np.asarray(parameters[k][part])
    optimizer = ol.optimizers.get(rule)(network.parameters, lr=1e-3, convention="torch")
    ol.fit(network, optimizer, ol.Dataset(x, y), epochs=1, batch_size=8, progress=False)

    def loss(parameters):
        outputs, moved = training.logits(jax, job, parameters, running, x, None)
        return training.cross_entropy(jax, outputs, y)[0], moved

    gradient, ((mean, variance),) = jax.grad(loss, has_aux=True)(parameters)
    moments = training.zero_moments(jax, rule, parameters)
    theirs, _ = training.update(jax, rule, parameters, moments, gradient, 1, 1e-3)
    for k, part, name in places:
        if (k, part) != (0, "b"):  # its gradient is zero but for rounding, which Adam makes a whole step of
            np.testing.assert_allclose(network.parameters[name].data, theirs[k][part], rtol=1e-4, atol=2e-6)
    learned = network.learned()
    np.testing.assert_allclose(learned["layers/norm1/running_mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(learned["layers/norm1/running_var"], variance, rtol=0.02)


def test_anatomy_times_every_product_and_all_between(monkeypatch):
    anatomy = script("anatomy", monkeypatch)
    quick = anatomy.Effort.quick(1)
    names = anatomy.ENGINES
    times = {f"{job.name} {name}": anatomy.microseconds(job, name) for job in quick.jobs for name in names}
    assert not any("matmul" in vars(backends.get(name)) for name in names)
    for job in quick.jobs:
        parts = anatomy.anatomy(job)
        forward = 2 * job.batch * sum(a * b for a, b in itertools.pairwise(job.sizes))
        assert sum(part.flop for part in parts) == 3 * forward - 2 * job.batch * job.sizes[0] * job.sizes[1]
        assert all(len(times[f"{job.name} {name}"]) == len(parts) for name in names)
        assert all(value > 0 for name in names for value in times[f"{job.name} {name}"])
    monkeypatch.setattr(anatomy.Effort, "full", anatomy.Effort.quick)
    monkeypatch.setattr(anatomy, "measured", lambda: times)
    result = CliRunner().invoke(anatomy.main, ["--rounds", "2"])
    assert result.exit_code == 0, result.output
    assert result.output.count("layer 1: x^T dy") == 2
    assert f"{sum(times[f'784-800-10 {names[0]}']):.1f}" in result.output


def test_products_holds_onednn_against_numpy_by_shape(monkeypatch):
    products = script("products", monkeypatch)
    if not products.onednn.library():
        pytest.skip("oneDNN is not installed, or not for this processor")
    for name, values in {"BATCHES": (32,), "INPUTS": (64,), "OUTPUTS": (50, 128)}.items():
        monkeypatch.setattr(products, name, values)
    for name in ("LARGE", "WIDE"):
        monkeypatch.setattr(products.onednn, name, 0)
    with one_thread():
        found = products.shape_ratios()
    assert all(len(ratios) == 3 and min(ratios) > 0 for ratios in found.values())
    monkeypatch.setattr(products, "measured", lambda choice: found)
    result = CliRunner().invoke(products.main, ["--shapes"])
    assert result.exit_code == 0, result.output
    assert result.output.count("32 x 64 x") == 2


@pytest.mark.slow
def test_products_names_the_kernels_taken(monkeypatch):
    """Choose NumPy's in processes of their own, because they are chosen when it is loaded; the others here."""
    products = script("products", monkeypatch)
    monkeypatch.setattr(products, "CALLS", 1)
    apart, asked = products.measured, []

    def measured(choice):
        asked.append(choice)
        return apart(choice) if choice in ("", "Haswell") else products.work(choice if choice != "SkylakeX" else "")

    monkeypatch.setattr(products, "measured", measured)
    result = CliRunner().invoke(products.main, ["--rounds", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    others = ["oneDNN"] * bool(products.onednn.library()) + ["JAX"] * (find_spec("jax") is not None)
    assert asked == ["", "Haswell", "SkylakeX", *others]
    assert "not set" in result.stdout
    assert all(name in result.stdout for name in asked)
    assert result.stdout.count("784-800-10, x") == 2
