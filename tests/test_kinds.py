"""Kinds of hyperparameters: every rule's, their ranges at the borders, their priors, and who reads them."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import require
from hypothesis import given, settings
from hypothesis import strategies as st

import optimlab as ol
from optimlab import rules
from optimlab.common.errors import number
from optimlab.kernels import declaration
from optimlab.optim.optimizers import OPTIMIZERS
from optimlab.rules.kinds import KINDS, OWN, Kind, Prior, hyperparameters, kinds_of
from optimlab.study.plan import Contender, Study, random_settings
from optimlab.study.spaces import parse, usual

LAYERWISE = [value for value in vars(rules.layerwise).values() if isinstance(value, rules.LayerRule)]
RULES = {f"{c} {name}": rules.find(name, c) for c in rules.CONVENTIONS for name in rules.names(c)}
RULES |= {f"layer-wise {rule.__name__}": rule for rule in LAYERWISE}
EVERY = [
    pytest.param(rule, name, kind, id=f"{label} {name}")
    for label, rule in RULES.items()
    for name, kind in kinds_of(rule).items()
]
every_hyperparameter = pytest.mark.parametrize(("rule", "name", "kind"), EVERY)


def contender(label):
    convention, name = label.split()
    return Contender(name, "textbook" if convention == "layer-wise" else convention)


def default_of(rule, name):
    return declaration(rule)[2][name]


def borders(kind):
    """(ends that belong to the range, numbers just outside)"""
    inside, outside = [], []
    for end, out in (("low", -math.inf), ("high", math.inf)):
        if abs(value := kind.bounds.get(end, math.inf)) < math.inf:
            inside.append(value)
            outside.append(math.nextafter(value, out))
    for end, into in (("above", math.inf), ("below", -math.inf)):
        if abs(value := kind.bounds.get(end, math.inf)) < math.inf:
            inside.append(math.nextafter(value, into))
            outside.append(value)
    return inside, [*outside, math.nan, math.inf, -math.inf]


# ---- every hyperparameter of every rule


@pytest.mark.quick_each("rule", "name")
@every_hyperparameter
def test_it_has_a_kind_a_meaning_a_letter_and_a_prior_within_its_range(rule, name, kind):
    assert kind is not OWN
    assert kind.meaning
    assert "\n" not in kind.meaning
    assert len(kind.symbol) == 1
    default = default_of(rule, name)
    assert kind.check(name, default) == default
    assert kind.searched(default)
    drawn = [kind.prior.at(share, default) for share in np.linspace(0, 1, 11)]
    assert all(kind.accepts(value) for value in drawn)
    assert drawn == sorted(drawn)
    scale = default if kind.prior.relative else 1.0
    assert drawn[0] == pytest.approx(kind.prior.low * scale)
    assert drawn[-1] == pytest.approx(kind.prior.high * scale)


@pytest.mark.quick_each("rule", "name")
@every_hyperparameter
def test_its_borders(rule, name, kind):
    inside, outside = borders(kind)
    assert inside
    parameters = ol.MLP([2, 2, 1]).parameters
    for value in inside:
        assert ol.Optimizer(parameters, rule, **{name: value}).hyperparameters[name] == value
    for value in outside:
        with pytest.raises(ol.InputError, match=f"^{name} must .*, got {re.escape(repr(value))}$"):
            ol.Optimizer(parameters, rule, **{name: value})


@pytest.mark.quick_each("rule", "name")
@every_hyperparameter
def test_nothing_out_of_range_comes_in_by_another_door(rule, name, kind):
    parameters = ol.MLP([2, 2, 1]).parameters
    made = ol.Optimizer(parameters, rule)
    bad = borders(kind)[1][0]
    message = f"^{name}.* must "
    with pytest.raises(ol.InputError, match=message):
        ol.Optimizer(parameters, rule, groups={"biases": {name: bad}})
    with pytest.raises(ol.InputError, match=message):
        made.load_state_dict({**made.state_dict(), "hyperparameters": {name: bad}})
    with pytest.raises(ol.InputError, match=f"{message}.* at step 0"):
        ol.Optimizer(parameters, rule, **{name: lambda step: bad}).step()
    if not isinstance(rule, rules.LayerRule):
        with pytest.raises(ol.InputError, match=message):
            ol.explain(rule, **{name: bad})
        with pytest.raises(ol.InputError, match=message):
            ol.assert_rule_matches(rule, rule, **{name: bad})


@pytest.mark.parametrize("label", RULES)
def test_a_study_reads_the_kinds(label):
    made = contender(label)
    kinds = made.kinds()
    assert made.unsearched() == []
    for name, kind in kinds.items():
        if name != "lr":
            with pytest.raises(ol.InputError, match=f"^{name} must "):
                Contender(made.name, made.convention, {name: borders(kind)[1][0]})


@pytest.mark.parametrize("label", [label for label in RULES if not label.startswith("layer-wise")])
def test_translate_reads_the_kinds(label):
    convention, name = label.split()
    for hyperparameter, kind in kinds_of(RULES[label]).items():
        with pytest.raises(ol.InputError, match=f"^{hyperparameter} must "):
            ol.translate({"rule": name, hyperparameter: borders(kind)[1][0]}, to=convention, convention=convention)


# ---- PyTorch's constructors, live

TRIED = (-1.0, -1e-9, 0.0, 0.5, 1.0, 1.5)
STRICTER_HERE = {
    "beta": {1.0, 1.5},  # SGD's momentum and RMSprop's alpha are checked for their sign alone
    "momentum": {1.0, 1.5},  # so is RMSprop's momentum
    "rho": {1.0},  # with which Adadelta would never see a gradient
    "dampening": {-1.0, -1e-9, 1.5},  # is not checked
}
"""By hyperparameter, what PyTorch lets pass and optimlab refuses; nothing passes here that PyTorch refuses."""


@pytest.mark.parametrize("name", rules.names("torch"))
def test_the_ranges_beside_pytorchs(name):
    torch = require("torch")
    rule = rules.find(name, "torch")
    for hyperparameter, kind in kinds_of(rule).items():
        passed_there = set()
        for value in TRIED:
            values = {**declaration(rule)[2], hyperparameter: value}
            if name == "nesterov" and not value and hyperparameter == "beta":
                continue  # SGD refuses Nesterov without momentum; translate() prints plain SGD
            code = ol.optim.translation.Translation(name, "torch", values, ()).code
            try:
                eval(code, {"torch": torch, "parameters": [torch.zeros(1, requires_grad=True)]})
                passed_there.add(value)
            except ValueError:
                assert not kind.accepts(value), f"{hyperparameter}={value} passes here"
        stricter = {value for value in passed_there if not kind.accepts(value)}
        assert stricter == STRICTER_HERE.get(hyperparameter, set()), hyperparameter


# ---- rules of one's own


def shifted(w, g, *, lr=0.1, shift=-0.5):
    return w - lr * (g + shift)


@hyperparameters(shift=Kind("added to every gradient", "[-1, 1]", Prior(-0.9, 0.9, "linear")))
def declared(w, g, *, lr=0.1, shift=-0.5):
    return w - lr * (g + shift)


def test_what_a_rule_declares_can_be_loaded():
    parameters = ol.MLP([2, 1]).parameters
    made = ol.Optimizer(parameters, shifted)
    made.load_state_dict(made.state_dict())
    assert made.hyperparameters == {"lr": 0.1, "shift": -0.5}
    assert made.kinds["shift"] is OWN


NAMES = st.sampled_from([*KINDS, "shift", "k", "warmth"])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_storing_and_loading_is_the_identity_whatever_the_defaults(defaults):
    def rule(w, g):
        return w - g

    keyword = inspect.Parameter.KEYWORD_ONLY
    arrays = list(inspect.signature(rule).parameters.values())
    rule.__signature__ = inspect.Signature(
        [*arrays, *(inspect.Parameter(name, keyword, default=value) for name, value in defaults.items())]
    )
    rule_of_arrays = rules.LayerRule(rule)
    made = ol.Optimizer(ol.MLP([2, 1]).parameters, rule_of_arrays)
    before = made.state_dict()
    made.load_state_dict(before)
    assert made.state_dict()["hyperparameters"] == before["hyperparameters"] == defaults


@pytest.mark.parametrize("label", RULES)
def test_so_it_is_for_every_rule(label):
    made = ol.Optimizer(ol.MLP([2, 1]).parameters, RULES[label])
    before = made.state_dict()
    made.load_state_dict(before)
    after = made.state_dict()
    assert {k: v for k, v in after.items() if k != "state"} == {k: v for k, v in before.items() if k != "state"}
    assert all(np.array_equal(after["state"][k], v) for k, v in before["state"].items())


def test_a_declared_kind_is_checked_searched_and_tuned():
    with pytest.raises(ol.InputError, match=r"^shift must lie in \[-1, 1\], got 1.5$"):
        ol.Optimizer(ol.MLP([2, 1]).parameters, declared, shift=1.5)
    made = Contender("declared", rule=declared)
    assert made.unsearched() == []
    drawn = [dict(chosen)["shift"] for _, chosen in random_settings(made, 200)]
    assert -0.9 <= min(drawn) < -0.8 < 0.8 < max(drawn) <= 0.9
    assert str(usual("shift", made.kinds()["shift"], -0.5)) == "-0.9 to 0.9"


def test_what_is_not_searched_is_said():
    made = Contender("shifted", rule=shifted)
    assert made.unsearched() == ["shift"]
    assert all(chosen == () for _, chosen in random_settings(made, 3))
    assert Contender("shifted", rule=shifted, hyperparameters={"shift": 0.1}).unsearched() == []
    with pytest.raises(ol.InputError, match="shift has no usual range"):
        usual("shift", OWN, -0.5)


def test_the_plan_of_a_full_comparison_says_so(capsys):
    from optimlab.cli.compare import _plan, _say_plan

    study = Study(optimizers=("adam", Contender("mine", rule=shifted)), search=3)
    plan = _plan(study, Path("out"), 1)
    _say_plan(study, plan)
    assert "\nnot searched: shift of mine\n" in capsys.readouterr().out
    assert plan["not_searched"] == {"mine": ["shift"]}
    assert Study(optimizers=study.optimizers).not_searched() == []


def test_a_layer_rule_declares_its_kinds_too():
    for order in (
        lambda f: rules.LayerRule(hyperparameters(trust=Kind("of mine", "[0, 2]"))(f)),
        lambda f: hyperparameters(trust=Kind("of mine", "[0, 2]"))(rules.LayerRule(f)),
    ):

        def mine(w, g, *, lr=0.1, trust=2.0):
            return w - lr * trust * g

        assert kinds_of(order(mine))["trust"].within == "[0, 2]"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: hyperparameters(sift=OWN)(shifted), ol.RuleError, "rule shifted has no hyperparameter 'sift'"),
        (
            lambda: hyperparameters(shift=Kind("positive", "[0, 1)"))(shifted),
            ol.RuleError,
            r"the default of shift, -0.5, must lie in \[0, 1\)",
        ),
        (lambda: Kind("", "0 to 1"), ol.InputError, "write an interval as"),
        (lambda: Kind("", "[1, 0]"), ol.InputError, "an interval must go from low to high"),
        (lambda: Kind("share", "[0, 1)", Prior(0.5, 1.0)), ol.InputError, r"the prior of 'share' must lie in \[0, 1\)"),
        (lambda: Prior(0.0, 1.0), ol.InputError, "the low end of a prior must be a positive number"),
        (lambda: Prior(0.5, 1.0, "complement"), ol.InputError, "the high end of a prior must"),
        (lambda: Prior(2.0, 1.0), ol.InputError, "the low end of a prior must be below its high end"),
        (lambda: Prior(1.0, 2.0, "logarithmic"), ol.InputError, "unknown scale 'logarithmic'"),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- who reads the table


@pytest.mark.parametrize("label", RULES)
def test_the_random_search_draws_every_hyperparameter_from_its_prior(label):
    made = contender(label)
    drawn = random_settings(made, 400)
    kinds, defaults = made.kinds(), made.defaults()
    assert {name for _, chosen in drawn for name, _ in chosen} == set(defaults) - {"lr"}
    for name in set(defaults) - {"lr"}:
        low, high = (kinds[name].prior.at(share, defaults[name]) for share in (0.02, 0.98))
        values = [dict(chosen)[name] for _, chosen in drawn]
        assert min(values) < low < high < max(values)
        assert all(kinds[name].accepts(value) for value in values)


def test_second_moments_by_any_name_and_in_any_rule_are_drawn_alike():
    for made, name in ((Contender("rmsprop"), "beta"), (Contender("adadelta"), "rho"), (Contender("adan"), "beta3")):
        values = [dict(chosen)[name] for _, chosen in random_settings(made, 200)]
        assert 0.9 <= min(values) < 0.92
        assert 0.9995 < max(values) <= 0.9999


@pytest.mark.parametrize("cls", OPTIMIZERS.values())
def test_help_documents_every_argument(cls):
    text = " ".join(cls.__doc__.split())
    readings = {c: rules.find(cls.rule_name, c) for c in rules.CONVENTIONS} if hasattr(cls, "rule_name") else {}
    for convention, rule in (readings or {"": cls.layer_rule}).items():
        if rule is None:
            continue
        for name, value in declaration(rule)[2].items():
            line = re.search(rf" {name}: (.*?)\. Default: (.*?)\.(?= \w+: |$)", text)
            assert line, name
            assert kinds_of(rule)[name].within in line[1]
            assert re.search(rf"(^|[ ,]){re.escape(f'{value:g}')}( \([^)]*{convention}|$)", line[2]), (name, line[2])
        recurrence = re.search(r"::\n\n((?:    .*\n|\n)+)", inspect.getdoc(rule))[1]
        assert " ".join(recurrence.split()) in text
    for name in inspect.signature(cls.__init__).parameters:
        assert name in ("self", "hyperparameters") or f" {name}: " in text


def test_formulas_have_the_letters():
    formula = ol.explain("adagrad", convention="torch").formula
    assert "κ" in formula
    assert "lr_decay" not in formula
    assert "τ" in ol.explain("momentum", convention="torch").formula
    assert r"\kappa" in ol.explain("adagrad", convention="torch").latex


@pytest.mark.quick_each("rule", "name")
@every_hyperparameter
def test_auto_is_where_a_search_of_optuna_looks(rule, name, kind):
    require("optuna")
    default = default_of(rule, name)
    space = usual(name, kind, default)
    assert parse(name, space) == space
    low, high = space.distribution().low, space.distribution().high
    for raw in (low, high, (low * high) ** 0.5 if low > 0 else 0.5 * (low + high)):
        value = space.decode(raw)
        assert space.encode(value) == pytest.approx(raw)
        assert kind.accepts(value)
    assert space.place(space.low) == 0
    assert space.place(space.high) == 1


def test_a_complement_range_is_even_in_the_distance_from_one():
    space = parse("beta2", "0.9:0.999:complement")
    assert space.place(0.99) == pytest.approx(0.5)
    for text, message in (("0.9:1:complement", "must end below 1"), ("0.99:0.9:complement", "must rise")):
        with pytest.raises(ol.InputError, match=message):
            parse("beta2", text)


# ---- numbers in intervals


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "accepted"),
    [
        ({"low": 0, "below": 1}, (0, 0.5), (-1e-9, 1), r"lie in \[0, 1\)"),
        ({"above": 0, "below": 1}, (1e-9, 0.5), (0, 1), r"lie in \(0, 1\)"),
        ({"low": -1, "high": 1}, (-1, 1), (-1.1, 1.1), r"lie in \[-1, 1\]"),
        ({"above": 0, "high": 1}, (1,), (0, 1.1), r"lie in \(0, 1\]"),
        ({"above": 0}, (1e-9, 1e300), (0, -1, math.inf), "be a positive number"),
        ({"above": 2}, (2.1,), (2,), "be a finite number above 2"),
        ({"low": 2}, (2,), (1.9, math.nan), "be a finite number of at least 2"),
        ({"high": 2}, (2, -1e300), (2.1,), r"lie in \(-inf, 2\]"),
        ({}, (-1e300, 0), (math.inf, math.nan, "1", None, True), "be a finite number"),
    ],
)
def test_numbers(bounds, inside, outside, accepted):
    for value in inside:
        assert number("x", value, **bounds) == value
    for value in outside:
        with pytest.raises(ol.InputError, match=f"^x must {accepted}, got "):
            number("x", value, **bounds)
