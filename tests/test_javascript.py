"""The JavaScript made from the rules, run in a real browser, against NumPy in float64."""

import json

import numpy as np
import pytest
from conftest import assert_same_bits

from optimlab import kernels, rules
from optimlab.common.errors import RuleError

EVERY = [(convention, name) for convention in rules.CONVENTIONS for name in rules.names(convention)]
STEPS = 500

RUN = """
bytes => {
    const [text, gradients, start, state, given] = eval(bytes);
    const {step, scalars} = eval(text);
    const arrays = [start, ...state.map(value => start.map(() => value))].map(a => Float64Array.from(a));
    const path = [];
    gradients.forEach((g, k) => {
        const hp = Array.isArray(given) ? given[k] : scalars({...given, t: k + 1});
        step(arrays[0], Float64Array.from(g), ...arrays.slice(1), hp);
        for (const a of arrays) path.push(...a);
    });
    return Array.from(new Uint8Array(Float64Array.from(path).buffer), b => String.fromCharCode(b)).join("");
}
"""


def run(page, *arguments):
    """The path, a row per array and step. Numbers travel as text, the path as its bytes: infinity and NaN survive."""
    text = json.dumps(arguments)
    found = np.frombuffer(page.evaluate(RUN, text).encode("latin-1"), float)
    return found.reshape(-1, len(arguments[2]))


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    yield page
    page.close()


def closure(graph):
    text = kernels.javascript_source(graph)
    return f"(() => {{ {text}\nreturn {{step: {graph.name}_step, scalars: {graph.name}_scalars}}; }})()"


def numpy_path(graph, gradients, start, given):
    arrays = {"w": start, **{name: np.full_like(start, value) for name, value in graph.state.items()}}
    path = []
    with np.errstate(all="ignore"):
        for g, hp in zip(gradients, given, strict=True):
            values = graph.values({**arrays, "g": g}, hp)
            arrays = dict(zip(graph.written, (values[n] for n in graph.outputs), strict=True))
            path += arrays.values()
    return np.array(path)


@pytest.mark.parametrize(("convention", "name"), EVERY)
def test_every_rule_equals_numpy(page, convention, name):
    """With the same host scalars bit for bit, whatever the numbers; with its own, but for the last bits of powers."""
    graph = kernels.trace(rules.find(name, convention))
    rng = np.random.default_rng(0)
    start = rng.normal(size=3)
    gradients = rng.normal(size=(STEPS, 3)) * 10.0 ** rng.integers(-6, 3, (STEPS, 3))
    gradients[rng.uniform(size=gradients.shape) < 0.05] = 0
    hyper = {**graph.hyperparameters, "weight_decay": 0.01} if "weight_decay" in graph.hyperparameters else {}
    hyper = {**graph.hyperparameters, **hyper}
    hp = [graph.scalars(t=t, **hyper) for t in range(1, STEPS + 1)]
    expected = numpy_path(graph, gradients, start, hp)
    common = [closure(graph), gradients.tolist(), start.tolist(), list(graph.state.values())]

    same = run(page, *common, hp)
    assert_same_bits(same, expected, name)

    own = run(page, *common, hyper)
    assert np.max(np.abs(own - expected) / np.maximum(np.abs(expected), 1e-3 * np.abs(expected).max())) < 1e-12

    wild = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-320, 1e308, -1.0], size=(40, 3))
    expected = numpy_path(graph, wild, start, hp[:40])
    same = run(page, common[0], wild.tolist(), *common[2:], hp[:40])
    assert_same_bits(same, expected, name)


def test_a_function_of_numbers(page):
    def f(x, y):
        return np.where(x > y, np.sin(x) * np.exp(-y), np.cos(y) / 3), -2 * np.maximum(x, y) ** 2 - abs(x), x

    text = kernels.javascript_function(kernels.trace_function(f), "f")
    for x, y in [(0.3, -1.5), (-2.0, 0.25), (1.0, 1.0)]:
        assert page.evaluate(f"({text})({x}, {y})") == pytest.approx([float(v) for v in f(x, y)], rel=1e-15)


def test_the_terms_are_those_of_the_formula(page):
    """Nadam's mu, a scalar with a name, is among them."""
    graph, made = kernels.with_terms(kernels.trace(rules.torch.nadam))
    text = kernels.javascript_scalars(graph) + "\n" + kernels.javascript_function(graph, "terms")
    hyper = graph.hyperparameters
    call = f"terms(1.0, 0.5, 0.2, 0.3, nadam_scalars({json.dumps({**hyper, 't': 3})}))"
    found = dict(zip((e.name for e in made), page.evaluate(f"(() => {{ {text}\nreturn {call}; }})()"), strict=True))
    mu = hyper["beta1"] * (1 - 0.5 * 0.96 ** (3 * hyper["momentum_decay"]))
    assert found["mu"] == pytest.approx(mu, rel=1e-14)
    w, m, s = rules.torch.nadam(*map(np.float64, (1.0, 0.5, 0.2, 0.3)), t=3)
    assert (found["w@new"], found["m@new"], found["s@new"]) == pytest.approx((w, m, s), rel=1e-14)


def test_host_scalars_of_many_kinds(page):
    @rules.host
    def warm(t, steps):
        low = 0.5
        if t // 2 > 3:
            low = -abs(low) + 1
        else:
            for _ in range(0, 2):
                low = low / 2
        return max(low, min(1.0, t / steps) ** 2)

    def rule(w, g, *, t, lr=0.1, var=2.0):
        return w - lr * warm(t, 10) * (-var) ** 2 * (t > 1) * (t % 2 if False else 1) * g

    graph = kernels.trace(rule)
    text = f"(() => {{ {kernels.javascript_scalars(graph)}\nreturn rule_scalars; }})()"
    for t in (1, 2, 7, 9, 12):
        assert page.evaluate(f"{text}({{t: {t}, lr: 0.1, var: 2}})") == pytest.approx(graph.scalars(t=t, lr=0.1, var=2))


@rules.host
def shadow(t):
    t = t + 1
    return t


@rules.host
def after_the_loop(t):
    total = 0
    for k in range(1, t + 1):
        total = total + k
    return total + 100 * k


@rules.host
def changed_within(t):
    total = 0
    for k in range(0, t):
        t = t - 1
        k = 2 * k
        total = total + 10 * k + t
    return total


@rules.host
def two_loops(t):
    k_next = 5
    for k in range(0, t):
        for j in range(0, k):
            k_next = k_next + j
    for k in range(0, abs(t)):
        k_next = 2 * k_next + k
    return k_next


@rules.host
def loop_over_its_own_parameter(t):
    total = 0
    for t in range(t, 2 * t):  # noqa: B020
        total = total + t
    return total + t / 2


@pytest.mark.parametrize("function", [shadow, after_the_loop, changed_within, two_loops, loop_over_its_own_parameter])
def test_variables_of_host_functions_have_the_scope_of_python(page, function):
    graph = kernels.trace(lambda w, g, *, t, lr=0.1: w - lr * function(t) * g)
    text = f"(() => {{ {kernels.javascript_scalars(graph)}\nreturn rule_scalars; }})()"
    for t in (1, 2, 3, 6):
        assert page.evaluate(f"{text}({{t: {t}, lr: 1}})") == [function(t)]


def test_a_quotient_is_rounded_down_as_in_python(page):
    def floored(w, g, *, t, lr=0.01, p=0.1):
        return w - lr * (t // p) * g

    graph = kernels.trace(floored)
    text = f"(() => {{ {kernels.javascript_scalars(graph)}\nreturn floored_scalars; }})()"
    for p in (0.1, -0.1, 0.3, 0.7, -3.0, 1e-3, 1e-17, 4.0):
        for t in (1, 2, 3, 7, 12, 100):
            found = page.evaluate(f"{text}({{t: {t}, lr: 1, p: {p}}})")
            assert found == [t // p], (t, p)


def test_what_has_no_javascript_is_refused_by_name():
    @rules.host
    def odd(t):
        return sum([t, 1])

    with pytest.raises(RuleError, match=r"cannot print sum\(\[t, 1\]\) in JavaScript"):
        kernels.javascript_source(kernels.trace(lambda w, g, *, t, lr=0.1: w - odd(t) * g))

    @rules.host
    def with_else(t):
        total = 0
        for k in range(0, t):
            total = total + k
        else:
            total = total + 1
        return total

    with pytest.raises(RuleError, match=r"cannot print 'for k in range\(0, t\):' in JavaScript"):
        kernels.javascript_source(kernels.trace(lambda w, g, *, t, lr=0.1: w - with_else(t) * g))
    with pytest.raises(RuleError, match=r"np.arctan"):
        kernels.trace(lambda w, g, *, lr=0.1: w - lr * np.arctan(g))
    with pytest.raises(RuleError, match=r"function <lambda> is not elementwise: it uses .sum"):
        kernels.trace_function(lambda x: x.sum())
