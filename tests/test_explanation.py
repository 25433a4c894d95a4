"""explain: formulas made from the code, numbers that are right, and where conventions part."""

import ast
import inspect
import json
import random
import re

import numpy as np
import pytest
from click.testing import CliRunner

import optimlab as ol
from optimlab import rules
from optimlab.cli import main
from optimlab.kernels import equations, latex, trace, unicode
from optimlab.lab.explanation import explain, first_parting, source

EVERY_RULE = [(name, convention) for convention in rules.CONVENTIONS for name in rules.names(convention)]


@pytest.mark.parametrize(("name", "convention"), EVERY_RULE)
def test_the_terms_lead_where_the_rule_leads(name, convention):
    """The last weight explained is that of the plain function, called step by step."""
    gradients = [0.3, -1e-4, 0.0, 2.0, -0.5]
    explained = explain(name, convention=convention, steps=5, gradients=gradients)
    rule = rules.find(name, convention)
    graph = trace(rule)
    arrays = [np.array(1.0), *(np.array(v) for v in graph.state.values())]
    counted = "t" in __import__("inspect").signature(rule).parameters
    for t, (g, step) in enumerate(zip(gradients, explained.steps, strict=True), 1):
        before = float(arrays[0])
        new = rule(arrays[0], np.array(g), *arrays[1:], **({"t": t} if counted else {}))
        arrays = list(new) if isinstance(new, tuple) else [new]
        assert step.weight == pytest.approx(float(arrays[0]), rel=1e-14)
        assert step.move == pytest.approx(float(arrays[0]) - before, rel=1e-9, abs=1e-15)
        assert step.gradient == g


@pytest.mark.parametrize(("name", "convention"), EVERY_RULE)
def test_every_formula_evaluates_to_its_own_number(name, convention):
    """Each printed equation, worked out again from the numbers of the others, gives the number beside it."""
    explained = explain(name, convention=convention, steps=3, gradients=[0.3, -0.2, 0.1])
    graph = explained.graph
    old = {"w": 1.0, **graph.state}
    functions = {**graph.functions, "np": np}
    for step in explained.steps:
        scope = {**functions, **explained.hyperparameters, "t": step.t}
        values = {f"{k}@old": v for k, v in old.items()} | {"g@new": step.gradient}
        for e in equations(graph):
            names = {n: v for n, v in values.items() if "@" in n}
            text = __import__("ast").unparse(e.value)
            # names with a time mark are no identifiers: put their numbers in, the longest first
            for n in sorted(names, key=len, reverse=True):
                text = text.replace(n, f"({names[n]!r})")
            value = float(eval(text, {}, scope))
            printed = step.terms[unicode(__import__("ast").Name(e.name))]
            assert value == pytest.approx(printed, rel=1e-9, abs=1e-300), e.name
            values[e.name] = printed
            if "@" not in e.name:
                scope[e.name] = printed
        old = {k: values.get(f"{k}@new", values[f"{k}@old"]) for k in old}


def test_the_formula_of_adam_in_unicode_and_latex():
    adam = explain("adam")
    assert adam.formula.splitlines() == [
        "mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ",
        "sₜ = β₂ sₜ₋₁ + (1 − β₂) gₜ gₜ",
        "m̂ₜ = mₜ / (1 − β₁ᵗ)",
        "ŝₜ = sₜ / (1 − β₂ᵗ)",
        "wₜ = wₜ₋₁ − η m̂ₜ / √(ŝₜ + ε)",
    ]
    assert r"w_{t} &= w_{t-1} - \frac{\eta \, \hat{m}_{t}}{\sqrt{\hat{s}_{t} + \varepsilon}}" in adam.latex


@pytest.mark.quick_each("convention")
@pytest.mark.parametrize(("name", "convention"), EVERY_RULE)
def test_latex_is_well_formed_and_drawn_by_matplotlib(name, convention):
    """mathtext refuses unbalanced braces and unknown commands."""
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    for e in equations(trace(rules.find(name, convention))):
        text = latex(e.value).replace(r"\left(", "(").replace(r"\right)", ")").replace(r"\,", r"\/")
        parser.parse(f"${text}$")


def test_parentheses_stand_where_they_must():
    def odd(w, g, m, *, lr=0.1, beta=0.9):
        m = beta * (m - (g - w))
        return w - lr * (m / (g * w)) / (m / g) - (-g) ** 2, m

    lines = explain(odd).formula.splitlines()
    assert lines == ["mₜ = β (mₜ₋₁ − (gₜ − wₜ₋₁))", "wₜ = wₜ₋₁ − η (mₜ / (gₜ wₜ₋₁)) / (mₜ / gₜ) − (−gₜ)²"]


NESTED = {
    "w - lr * -g": ("w − η (−g)", r"w - \eta \, \left(-g\right)"),
    "w + lr * -1.0 * g": ("w + η (−1) g", r"w + \eta \, \left(-1\right) \, g"),
    "w - -lr * g": ("w − (−η g)", r"w - \left(-\eta \, g\right)"),
    "w + -g": ("w + (−g)", r"w + \left(-g\right)"),
    "--g": ("−(−g)", r"-\left(-g\right)"),
    "t % 3 * lr * g": ("(t mod 3) η g", r"\left(t \bmod 3\right) \, \eta \, g"),
    "2 * t % 3 + 1": ("((2 t) mod 3) + 1", r"\left(\left(2 \, t\right) \bmod 3\right) + 1"),
    "(t % 2 == 0) * g": ("(t mod 2 = 0) g", r"\left(t \bmod 2 = 0\right) \, g"),
    "-(t % 3)": ("−(t mod 3)", r"-\left(t \bmod 3\right)"),
    "(g / m) ** 2": ("(g / m)²", r"\left(\frac{g}{m}\right)^{2}"),
    "np.sqrt(g) ** 2": ("(√g)²", r"\sqrt{g}^{2}"),
    "0.123456789 * g": ("0.123456789 g", r"0.123456789 \, g"),
    "0.30000000000000004 * g": ("0.30000000000000004 g", r"0.30000000000000004 \, g"),
    "0.5 * g + 1.0": ("0.5 g + 1", r"0.5 \, g + 1"),
    "1e-08 + g": ("1e-08 + g", r"10^{-8} + g"),
    "2.5e-08 ** g": ("2.5e-08^g", r"\left(2.5 \cdot 10^{-8}\right)^{g}"),
    "np.where(g > 0, g, m) ** 2": (
        "(g where g > 0, else m)²",
        r"\left(\begin{cases} g & g > 0 \\ m & \text{else} \end{cases}\right)^{2}",
    ),
}


@pytest.mark.parametrize("code", NESTED)
def test_the_printed_formula_means_what_the_code_means(code):
    expression = ast.parse(code, mode="eval").body
    assert (unicode(expression), latex(expression)) == NESTED[code]


def test_a_printed_formula_read_again_has_the_same_value():
    """SymPy's parser reads what is printed, with products without a sign; Python evaluates the expression itself."""
    from sympy import Float, Symbol
    from sympy.parsing import sympy_parser as parsing

    draw = random.Random(0)
    operators = [ast.Add, ast.Sub, ast.Mult, ast.Mult, ast.Div, ast.Pow, ast.Mod]
    values = {"a": 1.7321, "b": 0.6457, "c": 2.8914}

    def some(depth):
        if depth == 0 or draw.random() < 0.15:
            return draw.choice([*map(ast.Name, values), ast.Constant(0.123456789), ast.Constant(3)])
        if draw.random() < 0.25:
            return ast.UnaryOp(ast.USub(), some(depth - 1))
        operator = draw.choice(operators)
        exponent = draw.choice([ast.Constant(2), ast.Constant(3), ast.UnaryOp(ast.USub(), ast.Constant(1))])
        return ast.BinOp(some(depth - 1), operator(), exponent if operator is ast.Pow else some(depth - 1))

    reading = (*parsing.standard_transformations, parsing.implicit_multiplication, parsing.convert_xor)
    plain = str.maketrans({"−": "-", "·": "*", "¹": "**1", "²": "**2", "³": "**3"})
    for _ in range(300):
        expression = some(4)
        try:
            expected = eval(ast.unparse(ast.fix_missing_locations(expression)), {}, values)
        except ZeroDivisionError:
            continue
        text = unicode(expression)
        assert not re.search(r"[−+·/] −|−−", text), text
        # SymPy has no operator mod; the printed one stands alone in its parentheses, so % has no neighbours
        code = text.translate(plain).replace(" mod ", " % ")
        read = parsing.parse_expr(code, local_dict={k: Symbol(k) for k in values}, transformations=reading)
        found = read.subs({k: Float(v, 30) for k, v in values.items()}).evalf(30)
        assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9), text


def test_the_share_of_epsilon():
    """Adam, textbook: eps = s_hat makes the root sqrt(2) larger, so epsilon's share is 1 - 1/sqrt(2)."""
    step = explain("adam", steps=1, gradients=0.1, eps=0.01).steps[0]
    assert step.eps_share == pytest.approx(1 - 0.5**0.5)
    step = explain("adam", convention="torch", steps=1, gradients=0.1, eps=0.1).steps[0]
    assert step.eps_share == pytest.approx(0.5)
    assert explain("momentum").steps[0].eps_share is None


def test_the_cost():
    cost = explain("adam").cost
    assert (cost["state arrays"], cost["state bytes"], cost["bytes moved"], cost["operations"]) == (2, 8, 28, 14)


def test_a_rule_of_ones_own_is_explained_too():
    def signed(w, g, *, lr=0.1):
        direction = np.sign(g)
        return w - lr * direction

    explained = explain(signed, steps=1, gradients=-3.0)
    assert explained.formula == "directionₜ = sign(gₜ)\nwₜ = wₜ₋₁ − η directionₜ"
    assert explained.steps[0].weight == 1.1


def test_notebooks_get_latex_and_a_table():
    text = explain("adam")._repr_markdown_()
    assert text.count("$$") == 2
    assert "| t | 1 | 2 | 3 |" in text


def test_to_dict_is_json():
    data = json.loads(json.dumps(explain("nadam", convention="keras").to_dict()))
    assert [s["t"] for s in data["steps"]] == [1, 2, 3]
    assert data["steps"][0]["terms"]["μ"] == pytest.approx(0.9 * (1 - 0.5 * 0.96))


# --- where conventions part


def test_adam_of_torch_and_keras_part_by_epsilon():
    parting = first_parting("adam", "torch", "keras")
    assert parting.step == 1
    assert "epsilon" in parting.cause
    assert parting.terms == ("√sₜ / √(1 − β₂ᵗ) + ε", "√sₜ + ε")


def test_without_epsilon_they_do_not_part():
    assert first_parting("adam", "torch", "keras", eps=0.0).step is None


def test_momentum_parts_when_the_learning_rate_changes_and_not_before():
    parting = first_parting("momentum", "torch", "keras", steps=40)
    assert parting.step == 21
    assert "learning rate" in parting.cause
    assert parting.terms == ("η bₜ", "η gₜ")
    assert first_parting("momentum", "textbook", "keras").step is None


def test_several_causes_are_all_named_the_larger_first():
    parting = first_parting("adagrad", "torch", "keras", gradients=0.1)
    assert parting.cause == "the state starts at another value and epsilon stands in another place"
    assert parting.terms == ("s starts at 0", "s starts at 0.1")
    assert "weight decay" in first_parting("adam", "torch", "keras", weight_decay=0.5).cause


def test_formulas_that_are_not_the_same_name_the_first_variable():
    parting = first_parting("nadam", "textbook", "torch")
    assert parting.step == 1
    assert parting.terms[0].startswith("m̂ₜ = ")


def test_nadam_of_torch_with_a_decay_of_one_is_that_of_keras_but_for_nothing():
    assert first_parting("nadam", "torch", "keras", momentum_decay=1.0).step is None


def test_planted_differences_are_found(monkeypatch):
    """A copy of a rule with one constant changed parts from it at the first step that can show it."""

    def planted(w, g, m, *, lr=0.01, beta=0.9, weight_decay=0.0):
        m = beta * m - lr * g
        return w + 1.000001 * m, m

    monkeypatch.setattr(rules.keras, "momentum", planted)
    parting = first_parting("momentum", "textbook", "keras")
    assert parting.step == 1
    assert parting.difference == pytest.approx(1e-6, rel=1e-3)


# --- sources and bad input


def test_the_sources():
    assert source("adam").startswith("def adam(w, g, m, s, *, t, ")
    assert "__global__ void adam_step" in source("adam", "cuda", convention="torch")
    assert "double" in source("adam", "c", dtype="float64")
    assert source("nadam", "javascript").startswith("function nadam_scalars({t, lr, beta1, beta2, eps})")
    assert "define i64 @kernel(ptr %args)" in source("adam", "llvm")
    assert "fdiv double" in source("adam", "llvm", dtype="float64")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain("adamm"), "unknown rule, activation or loss 'adamm'; did you mean 'adam'"),
        (lambda: explain("adam", convention="tensorflow"), "unknown convention 'tensorflow'"),
        (lambda: explain("rmsprop_centered"), "the convention 'textbook' has no rule 'rmsprop_centered'; these have"),
        (lambda: explain("adam", steps=0), "steps must be a whole number of at least 1"),
        (lambda: explain("adam", gradients=[]), "at least one gradient"),
        (lambda: explain("adam", gradients=float("nan")), "a gradient must be a finite number"),
        (lambda: explain("adam", weight=float("inf")), "weight must be a finite number"),
        (lambda: explain("adam", rate=0.1), "unknown hyperparameter of adam 'rate'"),
        (lambda: explain("adam", lr=-1.0), "lr must be"),
        (lambda: source("adam", "fortran"), "unknown source 'fortran'"),
        (lambda: first_parting("adam", "torch", "torchh"), "unknown convention"),
        (lambda: first_parting("adam", "torch", "keras", rate=1.0), "unknown hyperparameter"),
    ],
)
def test_bad_input_lists_what_exists(call, message):
    with pytest.raises(ol.InputError, match=message):
        call()


def test_rules_of_whole_tensors_have_no_formula_for_one_weight():
    with pytest.raises(ol.RuleError, match="looks at whole tensors"):
        explain("muon")
    with pytest.raises(ol.RuleError, match="looks at whole tensors"):
        trace(rules.layerwise.lamb)


def run(*arguments):
    return CliRunner().invoke(main, ["explain", *arguments])


def test_the_command_names_epsilon_as_what_parts_torch_from_keras():
    result = run("adam", "--convention", "torch", "--against", "keras")
    assert result.exit_code == 0
    assert "part at step 1: epsilon stands in another place" in result.stdout


def test_the_command_prints_formula_numbers_and_cost():
    result = run("adam", "--step", "2", "--gradients", "0.5,0.1", "--set", "lr=0.5")
    assert result.exit_code == 0
    assert "wₜ = wₜ₋₁ − η m̂ₜ / √(ŝₜ + ε)" in result.stdout
    assert "lr=0.5" in result.stdout
    assert "28 bytes" in result.stdout
    assert json.loads(run("adam", "--json").stdout)["rule"] == "adam"
    assert run("adam", "--term", "m_hat", "--gradients", "0.5").stdout == "0.5\n0.5\n0.5\n"
    assert run("adam", "--latex").stdout.startswith(r"\begin{aligned}")
    assert run("adam", "--source", "cuda").stdout.startswith('extern "C"')


def test_rules_are_named_as_for_a_comparison(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def mine(w, g, *, lr=0.1):\n    return w - lr * g\n")
    assert run("adam:torch").stdout == run("adam", "--convention", "torch").stdout
    assert run("adam:torch", "--against", "keras").stdout.startswith("adam: torch and keras part at step 1")
    assert run("nadam:keras", "--source", "c").stdout == run("nadam", "--convention", "keras", "--source", "c").stdout
    assert "wₜ = wₜ₋₁ − η gₜ" in run(f"{path}:mine").stdout
    assert run(f"{path}:mine", "--source", "python").stdout == path.read_text()
    path.write_text("1 / 0")
    assert "failed: ZeroDivisionError" in run(f"{path}:mine").stderr


def test_a_hyperparameter_may_be_called_as_an_argument_of_explain(tmp_path):
    path = tmp_path / "mine.py"
    names = [n for n in inspect.signature(explain).parameters if n not in ("name", "hyperparameters")]
    text = ", ".join(f"{name}=1.0" for name in names)
    path.write_text(f"def mine(w, g, *, lr=1.0, {text}):\n    return w - lr * g * {' * '.join(names)}\n")
    for name in names:
        printed = run(f"{path}:mine", "--set", f"{name}=0.5", "--gradients", "1", "--term", "w", "--step", "1").stdout
        assert float(printed) == 0.5, name
        for arguments in (["adam"], ["adam", "--against", "torch"]):
            result = run(*arguments, "--set", f"{name}=0.5")
            assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
            assert f"unknown hyperparameter of adam '{name}'" in result.stderr


# --- many steps


def far(name, convention, steps, **options):
    return explain(name, convention=convention, steps=steps, gradients=[0.1, -0.03, 0.0, 1e-9, 7.0], **options)


@pytest.mark.quick("torch")
@pytest.mark.parametrize("convention", rules.CONVENTIONS)
def test_the_steps_left_out_are_those_of_the_graph(convention):
    """Bit for bit: each rule, by statements for numbers and node by node."""
    for name in rules.names(convention):
        graph = trace(rules.find(name, convention))
        arrays = {"w": np.float64(1.0), **{k: np.float64(v) for k, v in graph.state.items()}}
        with np.errstate(all="ignore"):
            for t in range(1, 31):
                arrays["g"] = np.float64([0.1, -0.03, 0.0, 1e-9, 7.0][min(t - 1, 4)])
                values = graph.values(arrays, graph.scalars(t=t, **graph.hyperparameters))
                arrays |= dict(zip(graph.written, (values[n] for n in graph.outputs), strict=True))
        last = far(name, convention, 30, ends=1).steps[-1]
        assert (last.t, last.weight) == (30, arrays["w"]) or np.isnan([last.weight, arrays["w"]]).all(), name
        assert last == far(name, convention, 30).steps[-1], name


def test_only_the_ends_of_many_steps_are_kept():
    explained = far("adam", "torch", 500, ends=2)
    assert [step.t for step in explained.steps] == [1, 2, 499, 500]
    assert explained.steps == [s for s in far("adam", "torch", 500).steps if s.t in (1, 2, 499, 500)]
    assert len(far("adam", "torch", 4, ends=2).steps) == 4
    with pytest.raises(ol.InputError, match="at most 100,000 if all of them are kept, got 100,001"):
        explain("adam", steps=100_001)
    with pytest.raises(ol.InputError, match="at most 10,000,000, got 10,000,001"):
        explain("adam", steps=10_000_001, ends=1)
    printed = CliRunner().invoke(main, ["explain", "adam", "--step", "3000"], env={"COLUMNS": "200"}).stdout
    heading = next(line for line in printed.splitlines() if line.startswith("  t "))
    assert heading.split() == ["t", "1", "2", "3", "4", "2997", "2998", "2999", "3000"]
    assert len(run("adam", "--step", "40", "--term", "m").stdout.splitlines()) == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adamm"], "unknown rule, activation or loss 'adamm'"),
        (["none.py:mine"], "there is no file none.py"),
        ([f"{__file__}:run", "--against", "keras"], "is a rule of your own"),
        (["adam", "--step", "1000000", "--json"], "at most 100,000"),
        (["adam", "--step", "1000000", "--against", "keras"], "at most 100,000"),
        (["adam", "--convention", "x"], "unknown convention 'x'"),
        (["adam", "--step", "0"], "steps must be"),
        (["adam", "--set", "lr"], "--set takes NAME=NUMBER"),
        (["adam", "--set", "lr=fast"], "--set takes NAME=NUMBER"),
        (["adam", "--source", "x"], "unknown source"),
        (["adam", "--term", "m_hatt"], "unknown term of adam 'm_hatt'; did you mean 'm_hat'"),
        (["lamb"], "looks at whole tensors"),
        ([], "Missing argument 'NAME'"),
    ],
)
def test_the_command_refuses_bad_input_in_one_line(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
