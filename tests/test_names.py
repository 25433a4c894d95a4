"""A rule, its state and its hyperparameters may have any name: no printer mistakes one for a word of its own."""

from __future__ import annotations

import builtins
import ctypes
import inspect
import json
import keyword
import math
import random
import re
import subprocess
from unicodedata import normalize

import hypothesis
import hypothesis.strategies as st
import numpy as np
import ptx
import pytest
from conftest import assert_same_bits

import optimlab as ol
from optimlab import RuleError, backends, kernels, rules
from optimlab.backends import llvm
from optimlab.backends.numpy import NumPyStep
from optimlab.kernels.names import identifiers
from optimlab.kernels.trace import _ARGUMENTS

WORDS = {
    "temporaries": "v1 v0 h0 h1 i n hp _r0 _k0 _h0 _v0 __v0 __hp __i _i _w w_ g_ _g w_i g_i v1_ stride _stride r0 k0 x "
    "x1",
    "underscores": "_ __ ___ a a_ a__ _a __a _a_ a_2 a_i a_i_i _1 __1 self cls __name__ __LINE_ __LINE__ _LP64 LP64",
    "c": "auto char const double enum extern float goto inline int long register restrict short signed sizeof static "
    "struct switch typedef union unsigned void volatile Bool Complex Imaginary Atomic Generic NULL NAN INFINITY M_PI "
    "linux unix errno main sqrtf fabsf sqrt fabs exp log pow isnan signbit asm typeof bool true false template this "
    "new delete operator namespace private public virtual friend mutable explicit export using throw catch",
    "cuda": "threadIdx blockDim blockIdx gridDim warpSize half float4 dim3 shared global device host kernel",
    "javascript": "var let function Math Number NaN Infinity undefined null eval arguments await enum implements "
    "interface package protected super typeof instanceof debugger default do case kept length constructor toString "
    "Float64Array scalars step terms prototype __proto__ of get async",
    "python": "abs min max len range sum float32 float64 print type id input list dict object match case np numpy ast",
    "numpy": "add subtract multiply divide negative absolute square sign maximum minimum where greater greater_equal "
    "less less_equal equal not_equal copyto out",
    "letters": "β βeta beta beta1 beta_1 beta_hat β_hat μ µ mu é e ŝ s s_hat _hat 变量 ж ϕ α alpha Α A lr eta η m m1 "
    + f"m_1 m_t {'long' * 40} {'long' * 40}er v_max vmax v_next eps epsilon ε",
}
# as Python reads them: it takes µ, the sign, for μ, the letter
POOL = sorted({normalize("NFKC", name) for words in WORDS.values() for name in words.split()} - set(keyword.kwlist))

TEXT = """
def {rule}(w, g, {states}, *, t, {hyperparameters}):
    {x} = {h[0]} * {s[0]} + (1 - {h[1]}) * g
    {y} = {called}(t, {h[1]}) * abs_of({h[2]} - {h[3]})
    {z} = g * {s[1]} - {x} * {h[4]}
    return (w - {h[5]} * {x} / {y} + choose(g > 0, {s[2]}, {s[3]}),
            {x} * {z}, {s[1]} * {h[2]} + {z}, {s[0]} - {s[1]}, {s[2]} * g, {s[5]} * {h[3]}, {s[4]} + {s[3]})
"""


def made_up(rule, states, hyperparameters, variables, called):
    """A rule of these names; it calls functions by names that are not in the pool, but for one of its own."""

    def function(t, y):
        return 1 - y / (t + 1)

    function.__name__ = called
    scope = {"choose": np.where, "abs_of": abs, called: rules.host(function)}
    defaults = ", ".join(f"{name}=0.{k}" for k, name in enumerate(hyperparameters, 1))
    names = dict(zip("xyz", variables, strict=True), s=states, h=hyperparameters)
    exec(TEXT.format(rule=rule, called=called, states=", ".join(states), hyperparameters=defaults, **names), scope)
    return scope[rule]


def drawn():
    """Each name of the pool twice as a state, twice as a hyperparameter."""
    draw, made = random.Random(0), []
    for _ in range(2):
        orders = [draw.sample(POOL, len(POOL)) for _ in range(2)]
        for k in range(0, len(POOL), 6):
            states = (orders[0] * 2)[k : k + 6]
            rest = [name for name in (*orders[1][k:], *orders[1][:k]) if name not in states]
            hyperparameters, variables, (rule, called) = rest[:6], rest[6:9], rest[9:11]
            made.append(made_up(rule, states, hyperparameters, variables, called))
    return made


RULES = drawn()


def arrays_of(rule, dtype, n=20):
    generator = np.random.default_rng(len(rule.__name__))
    return {name: generator.normal(size=n).astype(dtype) for name in kernels.declaration(rule)[0]}


def expected(rule, arrays, t=3):
    returned = rule(*arrays.values(), t=t)
    return dict(zip([name for name in arrays if name != "g"], returned, strict=True))


def scalars(graph, t=3):
    return graph.scalars(t=t, **graph.hyperparameters)


def what(rule):
    return f"{rule.__name__}{kernels.declaration(rule)}"


def test_every_name_of_the_pool_is_one():
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in POOL)
    assert {"w", "g", "t"}.isdisjoint(POOL)
    declared = [kernels.declaration(rule) for rule in RULES]
    assert {name for _, state, _ in declared for name in state} == set(POOL)
    assert len({name for _, _, hyperparameters in declared for name in hyperparameters}) > 0.8 * len(POOL)


def test_numpy_equals_the_rule():
    for rule in RULES:
        arrays = arrays_of(rule, "float32")
        after = expected(rule, arrays)
        graph = kernels.trace(rule)
        NumPyStep(graph, [arrays], 7 * 4)(scalars(graph))
        for name in after:
            assert_same_bits(arrays[name], after[name], f"{name} of {what(rule)}")


@pytest.fixture(scope="module")
def different():
    """The rules whose functions in C have different names: in use each is compiled alone."""
    return list({kernels.c_source(kernels.trace(rule), "float32").split("(")[0]: rule for rule in RULES}.values())


@pytest.mark.slow
def test_the_compiled_loops_equal_the_rule(different, tmp_path, monkeypatch):
    """States and hyperparameters have numbers in LLVM's text, whatever they are called."""
    pytest.importorskip("llvmlite")
    monkeypatch.setattr(llvm, "_folder", lambda: tmp_path)
    for rule in different:
        arrays = arrays_of(rule, "float32", 3)
        after = expected(rule, arrays)
        graph = kernels.trace(rule)
        backends.get("compiled").bind(graph, [arrays])(scalars(graph))
        for name in after:
            assert_same_bits(arrays[name], after[name], f"{name} of {what(rule)}")


def test_names_of_every_kind_are_compiled(tmp_path, monkeypatch):
    pytest.importorskip("llvmlite")
    monkeypatch.setattr(llvm, "_folder", lambda: tmp_path)
    text = "v1 v2 h0 h1 i hp rows args entry p0 a1 range len sqrt float32 abs β __x 变量 step w_"
    words = text.split()
    name = "long_" * 60 + "β"
    sums = ", ".join(f"0.5 * {s} + g" for s in words)
    scope = {}
    product = " * ".join(words)
    exec(f"def {name}(w, g, {', '.join(words)}, *, self=0.1):\n    return w - self * {product}, {sums}", scope)
    rule = scope[name]
    net = ol.MLP([3, 2], seed=0, backend="compiled")
    optimizer = ol.Optimizer(net.parameters, rule, self=0.25)
    net.parameters.grad[...] = 0.5
    start = [net.parameters.data.copy(), net.parameters.grad.copy(), *(a.copy() for a in optimizer.state.values())]
    after = rule(*start, self=0.25)
    optimizer.step()
    for new, actual in zip(after, [net.parameters.data, *optimizer.state.values()], strict=True):
        assert_same_bits(actual, new)
    assert len(list(tmp_path.rglob("*.o"))) == 1  # kept, however long the name


def test_the_c_text_equals_the_rule(different, compiler, tmp_path):
    texts = [kernels.c_source(kernels.trace(rule), "float32") for rule in different]
    source, library = tmp_path / "rules.c", tmp_path / "rules.so"
    source.write_text("\n".join(texts), encoding="utf-8")
    flags = ["-x", "c", "-O0", "-ffp-contract=off", "-shared", "-fPIC"]
    command = [compiler, *flags, source, "-o", library, "-lm"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    loaded = ctypes.CDLL(str(library))
    for rule, text in zip(different, texts, strict=True):
        arrays = arrays_of(rule, "float32")
        after = expected(rule, arrays)
        hp = np.array(scalars(kernels.trace(rule)), "float32")
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays.values(), hp)]
        loaded[re.search(r"void (\w+)\(", text)[1]](ctypes.c_longlong(20), *pointers)
        for name in after:
            assert_same_bits(arrays[name], after[name], f"{name} of {what(rule)}")


def test_the_cuda_text_compiles(different):
    ptx.require_compiler()
    text = "\n".join(kernels.cuda_source(kernels.trace(rule), "float32") for rule in different)
    ptx.compiled(text, "sm_90", ("--fdevice-syntax-only",))


def test_a_rule_may_have_any_name(compiler):
    texts = {}
    for name in [*POOL, "<lambda>", "a rule", "1st"]:

        def rule(w, g, *, lr=0.1):
            return w - lr * g

        rule.__name__ = name
        text = kernels.c_source(kernels.trace(rule), "float32")
        texts[re.search(r"void (\w+)\(", text)[1]] = text
        assert re.match(r"function [A-Za-z]\w*_scalars\(", kernels.javascript_source(kernels.trace(rule)), re.ASCII)
    command = [compiler, "-x", "c", "-fsyntax-only", "-"]
    built = subprocess.run(command, input="\n".join(texts.values()), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


def test_javascript_equals_the_rule(browser):
    calls, texts = [], []
    for rule in RULES:
        graph = kernels.trace(rule)
        text = kernels.javascript_source(graph)
        step, given = re.findall(r"function (\w+_(?:step|scalars))\(", text)[::-1]
        arrays = arrays_of(rule, "float64", 3)
        texts.append(f"(() => {{ {text}\nreturn [{step}, {given}]; }})()")
        calls.append([[a.tolist() for a in arrays.values()], {**graph.hyperparameters, "t": 3}])
    page = browser.new_page()
    found = page.evaluate(
        "([text, given]) => { const calls = JSON.parse(given); return eval(text).map(([step, scalars], k) => {"
        " const arrays = calls[k][0].map(a => Float64Array.from(a));"
        " step(...arrays, scalars(calls[k][1])); return arrays.map(a => [...a]); }); }",
        [f"[{', '.join(texts)}]", json.dumps(calls)],
    )
    page.close()
    for rule, lists in zip(RULES, found, strict=True):
        arrays = arrays_of(rule, "float64", 3)
        after, given = expected(rule, arrays), dict(zip(arrays, lists, strict=True))
        for name in after:
            assert_same_bits(np.array(given[name]), after[name], f"{name} of {what(rule)}")


def test_formulas_tell_all_names_apart():
    for rule in RULES[::2]:
        e = ol.explain(rule, steps=2, gradients=[0.5, -0.25])
        made = kernels.equations(e.graph)
        for style in (kernels.unicode, kernels.latex, kernels.mathml):
            left = [equation.printed(style)[0] for equation in made]
            assert len(set(left)) == len(left), what(rule)
        assert len(e.steps[0].terms) == len(made)
        state = {name: np.float64(0.0) for name in e.graph.inputs}
        after = rule(*{**state, "w": np.float64(1.0), "g": np.float64(0.5)}.values(), t=1)
        for name, value in zip(e.graph.written, after, strict=True):
            symbol = next(x.printed(kernels.unicode)[0] for x in made if x.name == f"{name}@new")
            assert e.steps[0].terms[symbol] == value, f"{name} of {what(rule)}"
        assert str(e)
        json.dumps(e.to_dict())


@pytest.mark.slow
def test_latex_is_what_tex_reads():
    from matplotlib.mathtext import MathTextParser

    made = [kernels.equations(kernels.trace(rule)) for rule in RULES[::4]]
    names = {equation.printed(kernels.latex)[0] for equations in made for equation in equations}
    for text in names:
        assert re.fullmatch(r"(?:[^\\_]|\\[A-Za-z]+|\\_|_\{)+", text), text
    MathTextParser("agg").parse(f"${' + '.join(names)}$")
    for equations in made[:3]:
        for equation in equations[:3]:  # mathtext has no cases
            MathTextParser("agg").parse(f"${equation.printed(kernels.latex)[1]}$")


def squares_what_it_changed(w, g, m, *, lr=0.1):
    g = g + 0.1 * w
    lr = lr * 0.5
    return w - lr * g**2, m + lr * g


def test_a_power_of_a_changed_gradient_is_no_double_superscript():
    from matplotlib.mathtext import MathTextParser

    e = ol.explain(squares_what_it_changed)
    assert e.formula.splitlines()[0] == "η′ = η · 0.5"  # not η = η · 0.5
    assert "{g'_{t}}^{2}" in e.latex
    for line in e.latex.splitlines()[1:-1]:
        MathTextParser("agg").parse(f"${line.replace('&', '').removesuffix(' ' + chr(92) * 2)}$")


@pytest.mark.parametrize("pair", ["beta1 beta_1", "β beta", "s_hat ŝ", "lr η", "v1 v_1", "alpha α"], ids=str)
def test_names_that_one_letter_stands_for_are_written_out(pair):
    first, second = pair.split()
    scope = {}
    exec(f"def rule(w, g, *, {first}=0.1, {second}=0.2):\n    return w - {first} * g - {second} * w", scope)
    e = ol.explain(scope["rule"])
    assert {first, second} <= set(re.findall(r"\w+", e.formula)), e.formula
    assert len(set(re.findall(r"\\?\w+", e.latex.split("=")[1]))) >= 4, e.latex


IDENTIFIERS = st.lists(
    st.one_of(st.sampled_from(POOL), st.text("aAéβΣжǅ变_2", min_size=1, max_size=4).filter(str.isidentifier)),
    unique=True,
    max_size=12,
)


@hypothesis.given(names=IDENTIFIERS, taken=st.sets(st.sampled_from(POOL), max_size=5))
@hypothesis.settings(deadline=None, max_examples=100)
def test_identifiers_are_different_whatever_the_names(names, taken):
    made = identifiers(names, taken)
    assert list(made) == names
    assert len(set(made.values())) == len(names)
    assert taken.isdisjoint(made.values())
    assert all(re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII) for text in made.values())
    for name, text in made.items():
        ordinary = re.fullmatch(r"[A-Za-z]\w{0,59}", name, re.ASCII)
        assert (text == name) == bool(ordinary and name not in taken)


# ---- what cannot have a name ----


def test_a_state_called_t_is_refused_by_name():
    for text in ("def rule(w, g, t): return w", "def rule(w, g, t, *, lr=0.1): return w - lr * g, t"):
        scope = {}
        exec(text, scope)
        with pytest.raises(RuleError, match=r"rule rule: t, the number of the step, must come after \*"):
            kernels.trace(scope["rule"])
        with pytest.raises(RuleError, match="must come after"):
            ol.Optimizer(ol.MLP([1, 1]).parameters, scope["rule"])


@pytest.mark.parametrize("name", ["parameters", "rule", "groups"])
def test_a_hyperparameter_called_as_an_optimizers_argument_is_refused_by_name(name):
    scope = {}
    exec(f"def own(w, g, *, {name}=0.1): return w - {name} * g", scope)
    with pytest.raises(RuleError, match=f"rule own: rename the hyperparameter {name}"):
        ol.Optimizer(ol.MLP([1, 1]).parameters, scope["own"])


def test_these_are_all_arguments_of_an_optimizer():
    arguments = inspect.signature(ol.Optimizer.__init__).parameters
    assert set(_ARGUMENTS) == set(arguments) - {"self", "hyperparameters"}


# ---- functions of scalars ----


def test_two_functions_of_one_name_are_two(browser):
    def made(power):
        @rules.host
        def warm(t, scale=2.0):
            return scale * power / t

        return warm

    first, second = made(1.0), made(3.0)

    def rule(w, g, *, t, warm=0.1, sqrt=0.5):
        return w - warm * first(t) * g - sqrt * second(t) * abs(warm - sqrt) * w

    graph = kernels.trace(rule)
    expected = rule(np.float64(1.0), np.float64(2.0), t=2)
    (found,) = (graph.values({"w": 1.0, "g": 2.0}, scalars(graph, 2))[node] for node in graph.outputs)
    assert found == expected
    text = kernels.javascript_source(graph)
    page = browser.new_page()
    call = "rule_step(w, [2.0], rule_scalars({t: 2, warm: 0.1, sqrt: 0.5})); return w;"
    assert page.evaluate(f"(() => {{ {text}\nconst w = [1.0]; {call} }})()") == [expected]
    page.close()
    assert "warm_2(t)" in ol.explain(rule).formula


FLOOR = 0.25


@rules.host
def bounded(Math, Number, length):
    var = min(Math, FLOOR)
    function = Number * (length > 1)
    return max(var, function)


def test_a_function_printed_as_javascript_keeps_its_names_apart(browser):
    def rule(w, g, *, t, Math=0.5, let=0.1):
        return w - bounded(let, Math, t) * g

    graph = kernels.trace(rule)
    text = f"(() => {{ {kernels.javascript_scalars(graph)}\nreturn rule_scalars; }})()"
    page = browser.new_page()
    for t in (1, 2):
        assert tuple(page.evaluate(f"{text}({{t: {t}, Math: 0.5, let: 0.1}})")) == scalars(graph, t)
    page.close()


def test_a_function_takes_its_arguments_by_name_too():
    @rules.host
    def warm(t, steps=10.0):
        return t / steps

    assert warm(3, steps=4) == 0.75
    graph = kernels.trace(lambda w, g, *, t, lr=0.1: w - lr * warm(steps=4, t=t) * g)
    assert scalars(graph) == (0.1 * 0.75,)

    with pytest.raises(TypeError, match=r"only: a host function takes no keyword-only arguments"):
        kernels.trace(lambda w, g, *, t, lr=0.1: w - lr * only(t, floor=0.5) * g)


@rules.host
def only(t, *, floor=0.0):
    return max(t, floor)


@pytest.mark.parametrize(
    ("function", "said"),
    [(rules.host(lambda t: t + 1), "its source"), (rules.host(math.sqrt), "must be a function defined with def")],
)
def test_a_function_without_a_definition_has_no_javascript(function, said):
    graph = kernels.trace(lambda w, g, *, t, lr=0.1: w - lr * function(t) * g)
    assert scalars(graph) == (0.1 * function(3),)
    with pytest.raises(RuleError, match=said):
        kernels.javascript_scalars(graph)


def test_what_python_has_built_in_may_name_a_hyperparameter():
    for name in dir(builtins):
        if name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__":
            scope = {"size": abs}
            exec(f"def rule(w, g, *, {name}=0.5): return w - size(0.2 - {name}) * g", scope)
            graph = kernels.trace(scope["rule"])
            assert graph.scalars(t=1, **{name: 0.75}) == (0.55,)
