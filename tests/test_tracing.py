"""A rule is traced alike wherever it comes from and whatever watches it, and anew for each optimizer."""

from __future__ import annotations

import cProfile
import functools
import gc
import subprocess
import sys
import threading
import types
import weakref

import numpy as np
import pytest

import optimlab as ol
from optimlab import kernels, rules
from optimlab.backends import numpy as engine
from optimlab.lab.explanation import source
from optimlab.study.plan import Contender

SOURCE = """
def blend(old, new, share):
    kept = (1 - share) * new
    return kept + share * old

def rule(w, g, s, *, t, lr=0.1, beta=0.9):
    scale = (1 - beta**t) ** 0.5
    s = blend(s, g * g, beta)
    move = lr * scale * g / np.sqrt(s)
    return w - move, s
"""


def made(**scope):
    scope = {"np": np, **scope}
    exec(SOURCE, scope)
    return scope["rule"]


def shape(graph):
    """All of a graph that does not depend on where its objects lie."""
    place = {node: k for k, node in enumerate(graph.nodes)}
    names = {place[node]: name for node, name in graph.names.items()}
    return kernels.c_source(graph, "float64"), names, graph.scalar_names, kernels.numpy_source(graph)


PLAIN = shape(kernels.trace(made(__name__="somewhere")))


def test_local_names_are_those_of_the_rule_and_of_what_it_calls():
    _, names, scalar_names, _ = PLAIN
    assert [names[k] for k in sorted(names)] == ["new", "kept", "s", "move"]
    assert scalar_names == {"(1 - beta ** t) ** 0.5": "scale"}


# ---- what watches ----


def under_cprofile(function):
    with cProfile.Profile():
        return function()


def under_a_hook(install, remove):
    def run(function):
        seen = []

        def hook(frame, event, argument):
            seen.append(event)
            return hook

        before = (sys.getprofile(), sys.gettrace())
        install(hook)
        try:
            result = function()
            assert (sys.getprofile() or sys.gettrace()) is hook  # it is still there
        finally:
            remove(None)
            sys.setprofile(before[0])
            sys.settrace(before[1])
        assert "return" in seen
        return result

    return run


def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def deep_in_calls(function, depth=100):
    return deep_in_calls(function, depth - 1) if depth else function()


WATCHED = {
    "cProfile": under_cprofile,
    "sys.setprofile": under_a_hook(sys.setprofile, sys.setprofile),
    "sys.settrace": under_a_hook(sys.settrace, sys.settrace),
    "a thread": in_a_thread,
    "a hundred calls": deep_in_calls,
}


@pytest.mark.parametrize("watch", WATCHED.values(), ids=WATCHED)
def test_a_rule_is_traced_alike_whatever_watches(watch):
    assert watch(lambda: shape(kernels.trace(made(__name__="somewhere")))) == PLAIN
    optimizer = watch(lambda: ol.Optimizer(ol.MLP([1, 1]).parameters, rules.torch.nadam))
    assert optimizer.name == "nadam"


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring came with Python 3.12")
def test_a_rule_is_traced_alike_under_monitoring():
    monitoring = sys.monitoring
    monitoring.use_tool_id(3, "test")
    try:
        monitoring.register_callback(3, monitoring.events.PY_RETURN, lambda *_: None)
        monitoring.set_events(3, monitoring.events.PY_RETURN)
        assert shape(kernels.trace(made(__name__="somewhere"))) == PLAIN
    finally:
        monitoring.free_tool_id(3)


def test_threads_trace_at_once():
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(shape(kernels.trace(made(__name__="here"))) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one == PLAIN for one in found)
    assert len(found) == 80


OWN = """
import optimlab as ol

def own(w, g, m, *, t, lr=0.1):
    factor = 1 - lr**t
    m = factor * m + g
    return w - lr * m, m

print(ol.explain(own).formula)
print(ol.explain("adam").formula)
"""


@pytest.mark.quick("-OO")
@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_a_rule_is_traced_alike_without_asserts_and_docstrings(option):
    ran = subprocess.run(
        [sys.executable, option, "-c", OWN], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    own = "factor = 1 − ηᵗ\nmₜ = factor mₜ₋₁ + gₜ\nwₜ = wₜ₋₁ − η mₜ"
    assert ran.stdout.strip() == f"{own}\n{ol.explain('adam').formula}"


# ---- where it comes from ----


def from_a_notebook_cell():
    scope = {"__name__": "__main__", "np": np}
    exec(compile(SOURCE, "<ipython-input-1-abc>", "exec"), scope)
    return scope["rule"]


def from_a_file(folder):
    path = folder / "own_rules.py"
    path.write_text(f"import numpy as np\n{SOURCE}")
    module = types.ModuleType("own_rules")
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module.rule


def test_a_rule_is_traced_alike_wherever_it_comes_from(tmp_path):
    plain = made(__name__="somewhere")

    @functools.wraps(plain)
    def wrapped(*arrays, **scalars):
        return plain(*arrays, **scalars)

    class Rule:
        __name__ = "rule"
        __module__ = "somewhere"

        def __call__(self, w, g, s, *, t, lr=0.1, beta=0.9):
            return plain(w, g, s, t=t, lr=lr, beta=beta)

    partial = functools.partial(plain)
    partial.__name__, partial.__module__ = "rule", "somewhere"
    for rule in (made(), from_a_notebook_cell(), from_a_file(tmp_path), wrapped, Rule(), partial):
        assert shape(kernels.trace(rule)) == PLAIN, rule


def test_a_lambda_is_traced():
    graph = kernels.trace(lambda w, g, m, *, lr=0.1: (w - lr * (kept := 0.5 * m + g), kept))
    assert list(graph.names.values()) == ["kept"]
    assert ol.explain(lambda w, g, m, *, lr=0.1: (w - lr * m, 0.5 * m + g)).formula.splitlines() == [
        "wₜ = wₜ₋₁ − η mₜ₋₁",
        "mₜ = 0.5 mₜ₋₁ + gₜ",
    ]


def test_python_source_that_is_nowhere_is_refused_by_name():
    with pytest.raises(ol.InputError, match="the Python source of rule is not in a file"):
        source(made(), "python")


def test_two_variables_of_one_name_are_not_taken_for_one_another():
    def mean(old, new, share):
        average = share * old + (1 - share) * new
        return average * 1.0

    def rule(w, g, m, s, *, lr=0.1, beta=0.9):
        first = mean(m, g, beta)
        second = mean(s, g * g, beta)
        return w - lr * first / np.sqrt(second), first, second

    e = ol.explain(rule, gradients=0.5)
    left = [line.split(" = ")[0] for line in e.formula.splitlines()]
    assert len(set(left)) == len(left) == len(e.steps[0].terms)
    assert left.count("averageₜ") == 1
    assert e.term("average")[0] == pytest.approx(0.05)


def test_nothing_of_a_rule_lives_on_when_it_has_been_traced():
    class Thing:
        pass

    left = []

    def rule(w, g, *, lr=0.1):
        thing = Thing()
        left.append(weakref.ref(thing))
        return w - lr * g

    gc.disable()
    try:
        kernels.trace(rule)
        assert left.pop()() is None
    finally:
        gc.enable()


# ---- what it refers to ----

scale = 1.0


def scaled(w, g, *, lr=0.5):
    return w - lr * scale * g


def weight_after(rule, backend):
    net = ol.MLP([1, 1], use_bias=False, initializer="zeros", backend=backend)
    net.parameters.grad[...] = 1.0
    ol.Optimizer(net.parameters, rule).step()
    return float(net.parameters.data[0])


@pytest.fixture(params=["numpy", "compiled"])
def backend(request):
    if request.param not in ol.backends.names():
        pytest.skip("llvmlite is not installed")
    return request.param


def test_a_changed_global_is_honoured(backend, monkeypatch):
    assert weight_after(scaled, backend) == -0.5
    monkeypatch.setattr(sys.modules[__name__], "scale", 4.0)
    assert weight_after(scaled, backend) == -2.0
    assert ol.explain(scaled, steps=1, gradients=1.0, weight=0.0).steps[0].weight == -2.0
    assert "4" in source(scaled, "c")


def test_a_changed_variable_of_an_outer_function_is_honoured(backend):
    factor = 1.0

    def rule(w, g, *, lr=0.5):
        return w - lr * factor * g

    assert weight_after(rule, backend) == -0.5
    factor = 4.0
    assert weight_after(rule, backend) == -2.0


def test_a_changed_default_is_honoured(backend):
    def rule(w, g, *, lr=0.5):
        return w - lr * g

    assert weight_after(rule, backend) == -0.5
    rule.__kwdefaults__ = {"lr": 2.0}
    assert weight_after(rule, backend) == -2.0


def test_a_function_that_a_rule_calls_may_be_another_one(monkeypatch):
    rule = made()
    before = ol.explain(rule, steps=2).steps[-1].weight
    rule.__globals__["blend"] = lambda old, new, share: new
    assert ol.explain(rule, steps=2).steps[-1].weight != before


def test_an_optimizer_keeps_the_rule_it_was_made_with(monkeypatch):
    net = ol.MLP([1, 1], use_bias=False, initializer="zeros")
    optimizer = ol.Optimizer(net.parameters, scaled)
    monkeypatch.setattr(sys.modules[__name__], "scale", 4.0)
    net.parameters.grad[...] = 1.0
    optimizer.step()
    assert net.parameters.data[0] == -0.5
    assert optimizer.graph.slots != kernels.trace(scaled).slots


def test_a_study_knows_a_rule_by_the_functions_it_calls_too():
    def made(power):
        warm = rules.host(lambda t: t**power)
        return lambda w, g, *, t, lr=0.5: w - lr * warm(t) * g

    one, other, again = (Contender("own", rule=made(power)).config() for power in (1, 2, 1))
    assert one == again != other


def test_a_study_sees_a_changed_default():
    def rule(w, g, *, lr=0.5):
        return w - lr * g

    assert Contender("own", rule=rule).defaults() == {"lr": 0.5}
    rule.__kwdefaults__ = {"lr": 2.0}
    assert Contender("own", rule=rule).defaults() == {"lr": 2.0}


def test_an_equal_rule_is_compiled_once():
    compiled = engine._compiled
    weight_after(scaled, "numpy")
    before = compiled.cache_info()
    for _ in range(10):
        weight_after(scaled, "numpy")
    after = compiled.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 10)


def test_an_equal_rule_is_compiled_once_by_llvm(tmp_path, monkeypatch):
    pytest.importorskip("llvmlite")
    from optimlab.backends import llvm

    monkeypatch.setattr(llvm, "_folder", lambda: tmp_path)
    before = len(llvm.compilations)
    for _ in range(5):
        weight_after(made(), "compiled")
    assert len(llvm.compilations) - before <= 1


@pytest.mark.slow
def test_what_is_used_twice_in_every_line_is_looked_at_once():
    def rule(w, g, *, lr=0.1, eps=1e-8):
        for _ in range(100):
            g = g * g + g
        return w - lr * g / np.sqrt(g + eps)

    graph = kernels.trace(rule)
    assert [n.op for n in graph.nodes if kernels.mentions(graph, n, "eps")] == ["add", "sqrt", "divide", "subtract"]
    e = ol.explain(rule, gradients=0.01)
    assert max(map(len, e.formula.splitlines())) < 2000
    assert len(repr(graph)) < 20_000
    assert "part_2ₜ = " in e.formula
    assert len(e.steps[0].terms) == len(e.formula.splitlines())
