"""Exported rules, run by the libraries that they are exported to."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import io
import math
import os
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
from compiling import built
from conftest import assert_same_bits, require
from test_kernels import RULES as MADE_UP

import optimlab as ol
from optimlab import kernels, rules

torch = require("torch")

EVERY_RULE = [(convention, name) for convention in rules.CONVENTIONS for name in rules.names(convention)]
every_rule = pytest.mark.parametrize(("convention", "name"), EVERY_RULE)
of_few_rules = pytest.mark.quick("textbook-adam", "torch-nadam", "keras-rmsprop_centered")

STEPS = 200
RATES = [0.03 * 0.98**step * (1.5 + math.sin(step)) for step in range(STEPS)]
OTHERS = {
    **{"beta": 0.5, "beta1": 0.7, "beta2": 0.95, "beta3": 0.8, "rho": 0.8, "momentum": 0.6, "dampening": 0.3},
    **{"lr_decay": 0.02, "momentum_decay": 0.1, "eps": 1e-3, "weight_decay": 0.3},
}
BOUND = 1e-12
PYTHON = ("torch", "optax", "keras", "numpy")


@functools.cache
def problem():
    """Weights, and 200 gradients for each, of a scale of its own; some are zero."""
    generator = np.random.default_rng(0)
    scales = 10.0 ** np.arange(-6, 5)
    gradients = generator.normal(size=(STEPS, len(scales))) * scales
    gradients[generator.random(gradients.shape) < 0.1] = 0.0
    gradients[:, 3] = 0.0
    gradients[50:100] *= -1e-3
    return generator.normal(size=len(scales)), gradients


def variants(rule):
    defaults = kernels.declaration(rule)[2]
    return {}, {name: value for name, value in OTHERS.items() if name in defaults}


@functools.cache
def ours(convention, name, variant, steps=STEPS):
    """The weights after each step, by the rule itself, called on NumPy's arrays."""
    rule = rules.find(name, convention)
    counts = "t" in inspect.signature(rule).parameters
    w, gradients = problem()
    state = [np.full_like(w, value) for value in kernels.declaration(rule)[1].values()]
    path = []
    for step in range(steps):
        given = {**variants(rule)[variant], "lr": RATES[step], **({"t": step + 1} if counts else {})}
        made = rule(w, gradients[step], *state, **given)
        w, *state = made if isinstance(made, tuple) else (made,)
        path.append(w)
    return np.array(path)


@functools.cache
def source(rule, to, convention="textbook"):
    return ol.export_rule(rule, to, convention=convention)


def module(text):
    """A file's text as a module."""
    made = types.ModuleType("exported")
    exec(compile(text, "exported.py", "exec"), made.__dict__)
    return made


def exported(rule, to, convention="textbook"):
    """The optimizer in an exported file: a class of PyTorch or Keras, or a function."""
    made = module(source(rule, to, convention))
    bases = {"torch": torch.optim.Optimizer}
    if to == "keras":
        bases["keras"] = sys.modules["keras"].optimizers.Optimizer
    if to in bases:
        return next(v for v in vars(made).values() if isinstance(v, type) and issubclass(v, bases[to]))
    name = rule if isinstance(rule, str) else rule.__name__
    return made, getattr(made, kernels.names.rule_name(name))


def assert_close(path, expected, bound=BOUND):
    """Relative to the largest value of each weight: at a crossing of zero a relative error says nothing."""
    assert np.isfinite(path).all()
    error = (abs(path - expected).max(axis=0) / abs(expected).max(axis=0)).max()
    assert error < bound, error


# ---- every rule, 200 steps, in float64 ----


def torch_path(optimizer, weights, gradients, rates=RATES):
    path = []
    for gradient, rate in zip(gradients, rates, strict=False):
        optimizer.param_groups[0]["lr"] = rate
        for w, g in zip(weights, np.split(gradient, [4]), strict=True):
            w.grad = torch.tensor(g)
        optimizer.step()
        path.append(torch.cat([w.detach() for w in weights]).numpy())
    return np.array(path)


def torch_weights():
    return [torch.tensor(w, requires_grad=True) for w in np.split(problem()[0], [4])]


@of_few_rules
@every_rule
def test_torch_makes_our_steps(convention, name):
    made = exported(name, "torch", convention)
    for k, hyperparameters in enumerate(variants(rules.find(name, convention))):
        weights = torch_weights()
        path = torch_path(made(weights, **hyperparameters), weights, problem()[1])
        assert_close(path, ours(convention, name, k))


@every_rule
def test_numpy_makes_our_steps_bit_for_bit(convention, name):
    made, function = exported(name, "numpy", convention)
    for k, hyperparameters in enumerate(variants(rules.find(name, convention))):
        w, gradients = problem()
        state = made.initial_state(w)
        counts = "t" in inspect.signature(function).parameters
        path = []
        for step in range(STEPS):
            given = {**hyperparameters, "lr": RATES[step], **({"t": step + 1} if counts else {})}
            new = function(w, gradients[step], *state, **given)
            w, *state = new if isinstance(new, tuple) else (new,)
            path.append(w)
        assert_same_bits(np.array(path), ours(convention, name, k))


@pytest.fixture
def jax():
    """JAX in float64."""
    found = require("jax")
    with found.enable_x64(True):
        yield found


@pytest.fixture
def keras(jax):
    """Keras on JAX, in float64."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = require("keras")
    before = found.config.floatx()
    found.config.set_floatx("float64")
    yield found
    found.config.set_floatx(before)


@of_few_rules
@every_rule
def test_optax_makes_our_steps(convention, name, jax):
    optax = require("optax")
    _, make = exported(name, "optax", convention)
    rates = jax.numpy.array(RATES)
    optimizer = make(lambda count: rates[count], **variants(rules.find(name, convention))[1])

    @jax.jit
    def step(weights, state, gradient):
        moves, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, moves), state

    weights, gradients = problem()
    state = optimizer.init(weights)
    path = []
    for gradient in gradients:
        weights, state = step(weights, state, gradient)
        path.append(weights)
    assert_close(np.array(path), ours(convention, name, 1))


@of_few_rules
@every_rule
def test_keras_makes_our_steps(convention, name, keras, jax):
    weights, gradients = problem()
    rates = jax.numpy.array(RATES)

    class Rates(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return rates[keras.ops.convert_to_tensor(step)]

    optimizer = exported(name, "keras", convention)(Rates(), **variants(rules.find(name, convention))[1])
    optimizer.build([keras.Variable(weights, dtype="float64")])

    @jax.jit
    def step(weights, variables, gradient):
        (weights,), variables = optimizer.stateless_apply(variables, [gradient], [weights])
        return weights, variables

    variables = [v.value for v in optimizer.variables]
    path = []
    for gradient in gradients:
        weights, variables = step(weights, variables, gradient)
        path.append(weights)
    assert_close(np.array(path), ours(convention, name, 1))


@of_few_rules
@every_rule
def test_the_defaults_are_the_rules(convention, name, keras):
    _, _, defaults = kernels.declaration(rules.find(name, convention))
    for to in PYTHON:
        made = exported(name, to, convention)
        function = made[1] if isinstance(made, tuple) else made.__init__
        there = {k: p.default for k, p in inspect.signature(function).parameters.items() if k != "name"}
        there = {"lr" if k == "learning_rate" else k: v for k, v in there.items() if isinstance(v, float)}
        assert there == defaults


# ---- every file has a test of its own ----


def flipped(text):
    """The file with one sign turned at a time, and the line with it; the test and its numbers are left alone."""
    tree = ast.parse(text)
    operators = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.USub: ast.UAdd}
    calls = {"_foreach_add": "_foreach_sub", "_foreach_sub": "_foreach_add"}
    calls |= {f"{name}_": f"{other}_" for name, other in calls.items()}
    for part in tree.body:
        if isinstance(part, ast.Assign) or getattr(part, "name", "").startswith("test_"):
            continue
        for node in ast.walk(part):
            if isinstance(node, ast.BinOp | ast.UnaryOp) and type(node.op) in operators:
                before, node.op = node.op, operators[type(node.op)]()
                yield ast.unparse(node), ast.unparse(tree)
                node.op = before
            elif isinstance(node, ast.Attribute) and node.attr in calls:
                before, node.attr = node.attr, calls[node.attr]
                yield ast.unparse(node), ast.unparse(tree)
                node.attr = before


def own_test(text):
    """Run the test in a file."""
    made = module(text)
    next(value for name, value in vars(made).items() if name.startswith("test_"))()


EQUAL = {"rmsprop_centered": {"beta * m - (1 - beta) * g"}, "rmsprop_centered_momentum": {"beta * m - (1 - beta) * g"}}
"""What gives the same weights: ``m`` starts at zero and is only squared, so its sign does not matter."""


def passes(text):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            own_test(text)
        except (AssertionError, ArithmeticError, LookupError, TypeError):
            return False
    return True


@of_few_rules
@every_rule
def test_the_files_own_test_sees_every_sign(convention, name):
    for to in ("numpy", "torch"):
        text = source(name, to, convention)
        own_test(text)
        mutants = dict(flipped(text))
        assert mutants
        assert {change for change, mutant in mutants.items() if passes(mutant)} <= EQUAL.get(name, set())


@pytest.mark.slow
@pytest.mark.parametrize("to", ["optax", "keras"])
def test_the_files_of_jax_and_keras_test_themselves(to, keras, jax):
    own_test(source("nadam", to, "keras"))
    mutants = dict(flipped(source("sgd", to, "keras")))
    assert mutants
    assert not any(map(passes, mutants.values()))


@pytest.mark.slow
def test_files_run_without_optimlab(tmp_path):
    """In the settings that the libraries have by themselves; on PyTorch, Keras computes a maximum in float32."""
    targets = ("torch", "numpy", "keras")
    paths = [tmp_path / f"amsgrad_{to}.py" for to in targets]
    for path, to in zip(paths, targets, strict=True):
        path.write_text(source("amsgrad", to, "torch"), encoding="utf-8")
    code = (
        "import runpy, sys\n"
        "for path in sys.argv[1:]: runpy.run_path(path, run_name='__main__')\n"
        "assert not any(name.partition('.')[0] == 'optimlab' for name in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-W", "ignore", "-c", code, *map(str, paths)]
    ended = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("makes the recorded steps.") == len(targets)


@of_few_rules
@every_rule
def test_files_are_readable(convention, name):
    for to in PYTHON:
        text = source(name, to, convention)
        formula = ol.explain(name, convention=convention).formula.splitlines()
        head = ast.get_docstring(ast.parse(text))
        assert [line for line in formula if line not in head] == []
        assert f"rule {name}, convention {convention}" in head.replace("\n", " ")
        assert ol.__version__ in head
        assert max(map(len, text.splitlines())) <= 120
        assert not any(line != line.rstrip() for line in text.splitlines())


# ---- C, CUDA and JavaScript ----


def run_program(compiler, folder, text, *language):
    """Compile a file with its test, and run it."""
    flags = [
        *(language or ("-x", "c++")),
        "-Wall",
        "-Wextra",
        "-Wno-unknown-pragmas",  # those of CUDA's text are for NVIDIA's compiler
        "-Werror",
        "-ffp-contract=off",
        "-DTEST",
    ]
    program = built(text, compiler, flags, ".out", folder)
    return subprocess.run([program], capture_output=True, text=True, check=False).stdout


@of_few_rules
@every_rule
def test_c_makes_the_recorded_steps(convention, name, compiler, tmp_path):
    for dtype in ("float64", "float32") if name == "nadam" else ("float64",):
        text = ol.export_rule(name, "c", convention=convention, dtype=dtype)
        language = () if name == "nadam" and dtype == "float32" else ("-x", "c", "-std=c11")
        assert run_program(compiler, tmp_path, text, *language) == f"{name} makes the recorded steps.\n"


@rules.host
def late(t, start=3):
    return abs(t - start) + max(t, 2) ** 0.5


def of_a_host_function(w, g, *, t, lr=0.1):
    return w - lr * late(t) * g


def test_c_calls_functions_with_default_arguments(compiler, tmp_path):
    text = ol.export_rule(of_a_host_function, "c", dtype="float64")
    assert run_program(compiler, tmp_path, text, "-x", "c") == "of_a_host_function makes the recorded steps.\n"


@rules.host
def modulo(a, b):
    return a % b


def floored(w, g, *, t, lr=0.01, p=0.1, floor_divide=-0.7):
    """Most quotients of whole numbers and 0.1 are a little below the whole number that floor(a / b) gives."""
    return w - lr * (t // p + t % floor_divide + -t // p + modulo(t, 0.3)) * g


@pytest.mark.parametrize("to", ["c", "cuda"])
def test_c_divides_and_rounds_down_as_python_does(to, compiler, tmp_path):
    text = ol.export_rule(floored, to, dtype="float64")
    launch, loop = "floored_step<<<1, 32>>>(", "for (threadIdx.x = 0; threadIdx.x < 32; ++threadIdx.x) floored_step("
    if to == "cuda":
        text = ON_A_CPU + text.replace(launch, loop)
    language = ("-x", "c") if to == "c" else ("-x", "c++", "-Wno-unused-variable")
    assert run_program(compiler, tmp_path, text, *language) == "floored makes the recorded steps.\n"


def test_c_sees_a_turned_sign(compiler, tmp_path):
    text = ol.export_rule("adamw", "c", convention="torch", dtype="float64")
    for plus, minus in (("1.0 + beta1", "1.0 - beta1"), ("1.0 + pow(beta2", "1.0 - pow(beta2"), ("+ hp[", "- hp[")):
        assert minus in text or plus in text
        turned = text.replace(minus, plus, 1) if minus in text else text.replace(plus, minus, 1)
        assert "instead of" in run_program(compiler, tmp_path, turned, "-x", "c")


ON_A_CPU = """
#include <stdlib.h>
#define __global__
#define cudaMallocManaged(place, size) (*(place) = malloc(size))
#define cudaDeviceSynchronize()
static struct Index { unsigned x, y, z; } blockIdx, threadIdx, blockDim = {32, 1, 1}, gridDim = {1, 1, 1};
"""


@pytest.mark.quick("torch-nadam")
@pytest.mark.parametrize(("convention", "name"), [("torch", "nadam"), ("textbook", "radam"), ("keras", "sgd")])
def test_cuda_makes_the_recorded_steps_on_a_cpu(convention, name, compiler, tmp_path):
    """The whole file, thread after thread; what it does on a GPU was not tried."""
    text = ol.export_rule(name, "cuda", convention=convention, dtype="float64")
    launch = f"{name}_step<<<1, 32>>>("
    assert launch in text
    loop = f"for (threadIdx.x = 0; threadIdx.x < 32; ++threadIdx.x) {name}_step("
    ended = run_program(compiler, tmp_path, ON_A_CPU + text.replace(launch, loop), "-x", "c++", "-Wno-unused-variable")
    assert ended == f"{name} makes the recorded steps.\n"


def test_javascript_makes_the_recorded_steps(browser):
    page = browser.new_page()
    for convention, name in EVERY_RULE:
        text = source(name, "javascript", convention)
        page.evaluate(f"(() => {{ {text}\ntest_{name}(); }})()")
    turned = source("sgd", "javascript", "torch").replace("const v1 = g_i + v0", "const v1 = g_i - v0")
    assert "instead of" in page.evaluate(
        f"(() => {{ {turned}\ntry {{ test_sgd(); }} catch (e) {{ return e.message; }} }})()"
    )
    page.close()


# ---- the PyTorch optimizer, as it is used ----


@of_few_rules
@every_rule
def test_torch_goes_on_from_a_saved_state_bit_for_bit(convention, name):
    make = exported(name, "torch", convention)
    gradients = problem()[1]
    weights = torch_weights()
    path = torch_path(make(weights), weights, gradients[:10])
    weights = torch_weights()
    first = make(weights)
    torch_path(first, weights, gradients[:5])
    file = io.BytesIO()
    torch.save({"optimizer": first.state_dict(), "weights": [w.detach() for w in weights]}, file)
    file.seek(0)
    stored = torch.load(file, weights_only=True)
    weights = [w.clone().requires_grad_() for w in stored["weights"]]
    second = make(weights, lr=123.0)
    second.load_state_dict(stored["optimizer"])
    assert second.param_groups[0]["lr"] == RATES[4]
    assert_same_bits(torch_path(second, weights, gradients[5:10], RATES[5:]), path[5:])


@of_few_rules
@every_rule
def test_torch_tensor_by_tensor_is_the_same(convention, name):
    make = exported(name, "torch", convention)
    paths = []
    for foreach in (True, False):
        weights = torch_weights()
        paths.append(torch_path(make(weights, foreach=foreach), weights, problem()[1][:20]))
    assert_same_bits(*paths)


def test_torch_trains_a_network_as_we_do():
    """Real layers, batches, a loss and a scheduler of PyTorch; the bound is what 60 steps of float64 leave."""
    data = ol.datasets.load("digits")
    x, y = data.x_train[:640].astype("float64"), data.y_train[:640]
    for convention, name in [("torch", "adamw"), ("keras", "adam"), ("textbook", "lion"), ("textbook", "adabelief")]:
        rule = rules.find(name, convention)
        net = ol.MLP([64, 24, 10], activation="tanh", dtype="float64", seed=0)
        model = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.Tanh(), torch.nn.Linear(24, 10)).double()
        for k, layer in ((1, model[0]), (2, model[2])):
            layer.weight.data = torch.tensor(net.parameters[f"dense{k}.W"].data.T.copy())
            layer.bias.data = torch.tensor(net.parameters[f"dense{k}.b"].data.copy())
        ours = ol.Optimizer(net.parameters, rule, lr=lambda step: 0.01 * 0.97**step)
        theirs = exported(name, "torch", convention)(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(theirs, 0.97)
        for step in range(60):
            rows = slice(64 * (step % 10), 64 * (step % 10 + 1))
            logits = net.forward(x[rows], training=True)
            net.backward(ol.losses.softmax_cross_entropy(logits, y[rows])[1])
            ours.step()
            theirs.zero_grad()
            torch.nn.functional.cross_entropy(model(torch.tensor(x[rows])), torch.tensor(y[rows]).long()).backward()
            theirs.step()
            scheduler.step()
        for k, layer in ((1, model[0]), (2, model[2])):
            expected = net.parameters[f"dense{k}.W"].data.T
            assert abs(layer.weight.detach().numpy() - expected).max() / abs(expected).max() < 1e-11


def weight(value=1.0, gradient=None):
    made = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    made.grad = None if gradient is None else torch.tensor([gradient], dtype=torch.float64)
    return made


def test_torch_groups_have_their_own_hyperparameters():
    make = exported("momentum", "torch", "torch")
    a, b = weight(gradient=2.0), weight(gradient=2.0)
    optimizer = make([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    optimizer.step()
    assert (a.item(), b.item()) == (0.8, 0.0)
    optimizer.add_param_group({"params": [late := weight(gradient=1.0)], "beta": 0.0})
    optimizer.param_groups[1]["lr"] = 0.0
    optimizer.step()
    assert b.item() == 0.0
    assert late.item() == 0.9


def test_torch_counts_the_steps_of_each_parameter():
    a, b = weight(gradient=1.0), weight()
    optimizer = exported("adam", "torch", "torch")([a, b], lr=0.1)
    optimizer.step()
    b.grad = torch.ones_like(b)
    optimizer.step()
    assert [optimizer.state[p]["t"] for p in (a, b)] == [2, 1]
    assert b.item() == pytest.approx(0.9, abs=1e-8)  # a first step of Adam has the length lr


def test_torch_calls_a_closure_with_gradients_on():
    w = weight(3.0)
    optimizer = exported("sgd", "torch")([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert w.item() == 1.5
    assert optimizer.step() is None


def test_torch_maximizes():
    w = weight(gradient=2.0)
    exported("sgd", "torch")([w], lr=0.5, maximize=True).step()
    assert w.item() == 2.0
    assert w.grad.item() == 2.0


@of_few_rules
@every_rule
def test_torch_leaves_gradients_alone(convention, name):
    defaults = kernels.declaration(rules.find(name, convention))[2]
    w = weight(gradient=2.0)
    optimizer = exported(name, "torch", convention)([w], **{k: v for k, v in OTHERS.items() if k in defaults})
    optimizer.step()
    optimizer.step()
    assert w.grad.item() == 2.0


def test_torch_refuses_what_it_cannot_do_and_changes_nothing():
    make = exported("adam", "torch", "torch")
    with pytest.raises(ValueError, match=r"beta1 must lie in \[0, 1\), got 1.0"):
        make([weight()], beta1=1.0)
    with pytest.raises(ValueError, match="lr must lie in"):
        make([weight()], lr=float("nan"))
    a, sparse = weight(gradient=1.0), weight()
    sparse.grad = torch.sparse_coo_tensor([[0]], [1.0], (1,), dtype=torch.float64, check_invariants=True)
    optimizer = make([a, sparse])
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()
    assert a.item() == 1.0
    assert not optimizer.state
    z = torch.ones(1, dtype=torch.complex64, requires_grad=True)
    z.grad = torch.ones_like(z)
    optimizer = make([z])
    with pytest.raises(RuntimeError, match="complex"):
        optimizer.step()


def test_torch_in_float32_and_on_strided_tensors():
    rule = rules.find("adamw", "torch")
    w = torch.linspace(-1, 1, 12).reshape(3, 4).T.clone().requires_grad_()
    w.grad = torch.linspace(-2, 3, 12).reshape(4, 3).flip(0)
    expected = rule(w.detach().numpy(), w.grad.numpy(), np.zeros((4, 3), "f"), np.zeros((4, 3), "f"), t=1)[0]
    exported("adamw", "torch", "torch")([w]).step()
    assert w.dtype == torch.float32
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-6)


def test_torch_copies_and_scalar_tensors():
    w = weight(gradient=2.0)
    optimizer = copy.deepcopy(exported("sgd", "torch")([w], lr=torch.tensor(0.5)))
    optimizer.step()
    assert optimizer.param_groups[0]["params"][0].item() == 0.0
    assert w.item() == 1.0


# ---- Optax, as it is used ----


@pytest.mark.slow
def test_optax_within_chains_masks_and_injected_hyperparameters():
    jax, optax = require("jax"), require("optax")
    _, make = exported("adam", "optax", "torch")
    weights = {"a": jax.numpy.ones(3), "b": (jax.numpy.ones(2), jax.numpy.ones(()))}
    gradients = jax.tree.map(lambda w: 2 * w, weights)
    chained = optax.chain(optax.clip_by_global_norm(1.0), make(0.1))
    moves, _ = chained.update(gradients, chained.init(weights), weights)
    np.testing.assert_allclose(moves["b"][0], -0.1, rtol=1e-4)
    injected = optax.inject_hyperparams(make)(learning_rate=optax.linear_schedule(0.2, 0.0, 2), beta1=0.8)
    state = injected.init(weights)
    for rate in (0.2, 0.1, 0.0):
        moves, state = injected.update(gradients, state, weights)
        np.testing.assert_allclose(moves["a"], -rate, rtol=1e-4)
        assert state.hyperparams["learning_rate"] == pytest.approx(rate)
    masked = optax.masked(make(0.1), {"a": True, "b": False})
    moves, _ = masked.update(gradients, masked.init(weights), weights)
    np.testing.assert_allclose(moves["a"], -0.1, rtol=1e-4)
    with pytest.raises(ValueError, match="needs the weights"):
        make(0.1).update(gradients, make(0.1).init(weights))


@pytest.mark.slow
def test_optax_keeps_dtypes():
    jax, optax = require("jax"), require("optax")
    _, make = exported("adagrad", "optax", "keras")
    weights = jax.numpy.ones(3, "bfloat16")
    for rate in (0.1, jax.numpy.float32(0.1)):
        optimizer = optax.inject_hyperparams(make)(rate)
        state = optimizer.init(weights)
        moves, new = optimizer.update(weights, state, weights)
        assert moves.dtype == weights.dtype
        assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(lambda x: x.dtype, state)


# ---- Keras, as it is used ----


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras 3.15 with NumPy 2
def test_keras_fits_saves_and_loads(keras, jax, tmp_path):
    make = exported("adam", "keras", "torch")
    keras.utils.set_random_seed(0)
    x, y = np.random.default_rng(0).normal(size=(2, 64, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)])
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.9)
    model.compile(make(schedule, beta1=0.8, weight_decay=0.01, global_clipnorm=1.0), "mse")
    losses = model.fit(x, y, epochs=3, batch_size=16, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"Adam": make})
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.optimizer.hyperparameters["weight_decay"] == 0.01
    for a, b in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        assert_same_bits(np.asarray(a.value), np.asarray(b.value))


# ---- rules of one's own ----


def host_with_a_branch(t, warm):
    if t < warm:
        return min(1.0, t / warm)
    return 1.0


warmed = rules.host(host_with_a_branch)


@rules.host
def summed(t):
    total = 0.0
    for k in range(t):
        total += k
    return total


def every_word_is_taken(w, g, params, β, update, *, t, lr=0.1, self=0.5, state=0.25, torch=0.125, jnp=2.0, count=0.75):
    params = self * params + state * g
    β = np.where(g > 0, β + torch * g, β - jnp * np.tanh(g))
    return w - lr * params / (np.abs(β) + count) + update / t, params, β, update - lr * g


def of_functions(w, g, m=0.5, *, t, lr=0.1, warm=4.0, cap=1e30):
    m = np.exp(-np.abs(m)) + scipy_erf(np.minimum(g, cap)) - np.log1p(w * w) + np.clip(g, -1.0, 0.5) ** 3
    return w - lr * warmed(t, warm) * np.cos(m) * abs(lr - 1), m


def scipy_erf(x):
    return kernels.erf(x)


def no_rate(w, g, m, *, power=0.5):
    m = m + g * g
    return w - 0.01 * g / (1 + m) ** power, m


OWN = {
    **{rule.__name__: rule for rule in (every_word_is_taken, of_functions, no_rate)},
    **{name: rule for name, rule in MADE_UP.items() if name.startswith("made_up")},
}


def steps_of(rule, steps=4):
    graph = kernels.trace(rule)
    generator = np.random.default_rng(1)
    w, gradients = generator.normal(size=6), generator.normal(size=(steps, 6))
    arrays = {"w": w, **{name: np.full(6, value) for name, value in graph.state.items()}}
    path = []
    for t in range(1, steps + 1):
        found = graph.values({**arrays, "g": gradients[t - 1]}, graph.scalars(t=t, **graph.hyperparameters))
        arrays = {name: found[node] for name, node in zip(graph.written, graph.outputs, strict=True)}
        path.append(arrays)
    return w, gradients, path


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", OWN)
def test_a_rule_of_ones_own_in_torch_and_numpy(name):
    """The state, too, which these rules swap, copy and keep."""
    rule = OWN[name]
    w, gradients, path = steps_of(rule)
    weights = [torch.tensor(w, requires_grad=True)]
    optimizer = exported(rule, "torch")(weights)
    made, function = exported(rule, "numpy")
    arrays = [w, *made.initial_state(w)]
    names = list(path[0])[1:]
    for t, (gradient, expected) in enumerate(zip(gradients, path, strict=True), 1):
        weights[0].grad = torch.tensor(gradient)
        optimizer.step()
        state = [value.numpy() for key, value in optimizer.state[weights[0]].items() if key != "t"]
        new = function(
            arrays[0], gradient, *arrays[1:], **({"t": t} if "t" in inspect.signature(function).parameters else {})
        )
        arrays = list(new) if isinstance(new, tuple) else [new]
        for found in ([weights[0].detach().numpy(), *state], arrays):
            for key, value in zip(["w", *names], found, strict=True):
                np.testing.assert_allclose(value, expected[key], rtol=1e-12, atol=1e-12, err_msg=key)


OWN_FUNCTIONS = (every_word_is_taken, of_functions)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("rule", [*OWN_FUNCTIONS, MADE_UP["made_up.decay_where_same_sign"]])
def test_a_rule_of_ones_own_in_optax_and_keras(rule, keras, jax):
    optax = require("optax")
    w, gradients, path = steps_of(rule)
    optimizer = exported(rule, "optax")[1]()
    theirs = exported(rule, "keras")()
    weights, variable = jax.numpy.array(w), keras.Variable(w, dtype="float64")
    state = optimizer.init(weights)
    theirs.build([variable])
    for gradient, expected in zip(gradients, path, strict=True):
        moves, state = optimizer.update(jax.numpy.array(gradient), state, weights)
        weights = optax.apply_updates(weights, moves)
        theirs.apply([keras.ops.convert_to_tensor(gradient)])
        np.testing.assert_allclose(weights, expected["w"], rtol=1e-12, atol=1e-12)
        found = keras.ops.convert_to_numpy(variable.value)  # Keras computes tanh and cos of float64 in float32
        np.testing.assert_allclose(found, expected["w"], rtol=1e-7 if rule in OWN_FUNCTIONS else 1e-12, atol=1e-12)
        for found, key in zip(state[1:], list(expected)[1:], strict=True):
            np.testing.assert_allclose(found, expected[key], rtol=1e-12, atol=1e-12)


def test_what_cannot_be_exported_is_refused():
    with pytest.raises(ol.InputError, match=r"unknown target 'jax'.*torch, optax"):
        ol.export_rule("adam", "jax")
    with pytest.raises(ol.InputError, match="did you mean 'adam'"):
        ol.export_rule("adamm", "torch")
    for rule in ("muon", rules.layerwise.lars):
        with pytest.raises(ol.RuleError, match="is a rule of whole tensors; only elementwise rules can be exported"):
            ol.export_rule(rule, "torch")
    with pytest.raises(ol.InputError, match="dtype is only for c and cuda; torch takes"):
        ol.export_rule("adam", "torch", dtype="float32")
    with pytest.raises(ol.InputError, match="int8"):
        ol.export_rule("adam", "c", dtype="int8")
    with pytest.raises(ol.RuleError, match=r"not elementwise: it uses \.sum"):
        ol.export_rule(lambda w, g: w - g / g.sum(), "torch")
    with pytest.raises(ol.RuleError, match="no hyperparameter lr"):
        ol.export_rule(no_rate, "keras")
    looped = lambda w, g, *, t, lr=0.1: w - lr * summed(t) * g  # noqa: E731
    assert "for k in range(t)" in ol.export_rule(looped, "torch")
    for to in ("optax", "keras", "c", "cuda"):
        with pytest.raises(ol.RuleError, match="summed cannot be written for traced scalars: it has 'for k in range"):
            ol.export_rule(looped, to)


# ---- the command ----


def command(*arguments):
    from click.testing import CliRunner

    from optimlab.cli import main

    return CliRunner().invoke(main, ["export-rule", *arguments])


def test_the_command_prints_or_writes(tmp_path):
    printed = command("adam:torch", "--to", "numpy")
    assert printed.stdout == source("adam", "numpy", "torch")
    assert command("adam", "--convention", "torch", "--to", "numpy").stdout == printed.stdout
    path = tmp_path / "adam.py"
    path.write_text(source("lion", "torch"), encoding="utf-8")
    written = command("adam:torch", "--to", "torch", "--out", str(path))
    assert written.stdout == f"Written: {path}\n"
    assert path.read_text(encoding="utf-8") == source("adam", "torch", "torch")
    mine = tmp_path / "mine.py"
    mine.write_text("def half(w, g, *, lr=0.5):\n    return w - lr * g\n")
    own_test(command(f"{mine}:half", "--to", "torch").stdout)


def test_the_command_replaces_no_file_that_it_did_not_write(tmp_path):
    mine = tmp_path / "mine.py"
    text = "def half(w, g, *, lr=0.5):\n    return w - lr * g\n"
    mine.write_text(text)
    ended = command(f"{mine}:half", "--to", "torch", "--out", str(mine))
    assert ended.exit_code == 2
    assert "mine.py exists and was not written by export-rule" in ended.stderr
    assert mine.read_text() == text


def test_the_test_of_a_keras_file_knows_what_keras_computes_in_float32():
    def squashed(w, g, *, lr=0.01):
        return w - lr * np.tanh(g)

    assert "1e-6 if dtype" in ol.export_rule(squashed, "keras")
    assert "1e-10 if dtype" in source("lion", "keras")


def test_the_command_says_what_is_wrong(tmp_path):
    for arguments, said in [
        (["adam", "--to", "jax"], "unknown target 'jax'"),
        (["muon", "--to", "torch"], "muon is a rule of whole tensors; only elementwise rules can be exported"),
        (["adam:keras:", "--to", "torch"], "unknown"),
        (["adam", "--to", "torch", "--out", str(tmp_path / "no" / "adam.py")], "cannot write"),
    ]:
        ended = command(*arguments)
        assert ended.exit_code == 2
        assert said in ended.stderr
        assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []
