"""Contenders: their texts, schedules, searched hyperparameters, rules of whole tensors, budgets and maps."""

import importlib
import itertools
import json
import math
import pickle

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_files import planted
from test_study_file import written

import optimlab as ol
from optimlab.common import calls
from optimlab.rules import LayerRule
from optimlab.schedules import SHAPES, Length, Shape
from optimlab.study import Contender, Problem, Run, Study, compare, contenders, read_study
from optimlab.study.draws import random_settings, searched_settings
from optimlab.study.maps import maps_of
from optimlab.study.own_rules import rule_digest
from optimlab.study.run import execute

TINY = Problem(hidden=(4,), epochs=6, train_rows=200, val_rows=60, test_rows=60, backend="numpy")
STEPS, PER_EPOCH = TINY.steps()

RULES = """
import numpy as np
import optimlab as ol

def tweaked(w, g, *, lr=0.01, k=1.0):
    return w - lr * np.sign(g) * k

def capped(w, g, *, lr=0.01, cap=1e30):
    return w - lr * np.minimum(g, cap)

def warmed(w, g, *, lr=0.01, warmup=0.5):
    return w - lr * warmup * g

def size(g):
    return np.linalg.norm(g)

@ol.rules.LayerRule
def normed(w, g, *, lr=0.01):
    return w - lr * g / np.maximum(size(g), 1e-12)

def no_rate(w, g, *, lr=0.0):
    return w - lr * g
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    path = tmp_path_factory.mktemp("rules (mine)") / "rules.py"
    path.write_text(RULES)
    return path


# ---- texts ----

NUMBERS = st.floats(1e-9, 0.99).map(float)
OPTIONS = {
    "end": st.floats(0, 1),
    "warmup": st.floats(0.01, 0.9),
    "gamma": st.floats(0.01, 1),
    "milestones": st.just((0.25, 0.5)),
    "anneal_strategy": st.sampled_from(["cos", "linear"]),
    "mode": st.sampled_from(["triangular", "triangular2"]),
    "three_phase": st.booleans(),
    "factor": st.just(0.5),
}


@st.composite
def schedules(draw):
    name = draw(st.sampled_from(sorted(SHAPES)))
    known = ol.schedules.shapes.defaults(name)
    chosen = {k: draw(OPTIONS[k]) for k in sorted(known) if k in OPTIONS and draw(st.booleans())}
    if (name == "exponential" and {"gamma", "end"} <= {*chosen}) or chosen.get("end") == 0:
        chosen.pop("end")
    if name == "cosine_restarts":
        chosen.pop("factor", None)
    return Shape(name, chosen)


@st.composite
def hyperparameter(draw):
    kind = draw(st.sampled_from(["number", "list", "range", "schedule"]))
    if kind == "number":
        return draw(NUMBERS)
    if kind == "list":
        return draw(st.lists(NUMBERS, min_size=2, max_size=4, unique=True))
    if kind == "range":
        low, high = sorted(draw(st.tuples(NUMBERS, NUMBERS).filter(lambda ends: ends[0] != ends[1])))
        return f"{low!r}:{high!r}" + draw(st.sampled_from(["", ":log", ":complement"]))
    shape = draw(schedules().filter(lambda shape: not shape.listens))
    return ol.schedules.Scheduled(shape, draw(NUMBERS)).text


@st.composite
def any_contender(draw):
    name, convention = draw(st.sampled_from([("adamw", "textbook"), ("adam", "torch"), ("nadam", "keras")]))
    names = [n for n in ("beta1", "beta2", "weight_decay") if n in Contender(name, convention).defaults()]
    chosen = {n: draw(hyperparameter()) for n in names if draw(st.booleans())}
    label = draw(st.sampled_from(["", "mine", 'a "b", (c', "0.1", "true", "back\\slash"]))
    schedule = draw(st.none() | schedules())
    return Contender(name, convention, chosen, label, schedule=schedule)


@pytest.mark.slow
@given(any_contender())
def test_a_contender_is_read_back_from_its_text(contender):
    assert Contender.parse(contender.text) == contender
    assert contenders(f"sgd, {contender.text} ,adam:torch")[1] == contender
    assert Contender.parse(contender.text).config() == contender.config()


@pytest.mark.slow
@given(any_contender())
def test_a_contender_is_read_back_from_a_study_file(tmp_path_factory, contender):
    lines = [f"name = {json.dumps(contender.name)}", f"convention = {json.dumps(contender.convention)}"]
    lines += [f"label = {json.dumps(contender.label)}"]
    if contender.schedule:
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in contender.schedule.options}
        inside = {"name": contender.schedule.name, **options}
        lines += ["schedule = {" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in inside.items()) + "}"]
    given_values = {
        name: list(one.choices) if hasattr(one, "choices") else one if isinstance(one, float) else one.text
        for name, one in contender.hyperparameters
    }
    lines += ["hyperparameters = {" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in given_values.items()) + "}"]
    text = "[[contenders]]\n" + "\n".join(lines) + "\n"
    (study,) = read_study(written(tmp_path_factory.mktemp("study"), text)).values()
    assert study.contenders == (contender,)


@given(st.text('ab,()[]{}"=\\ ', max_size=12))
def test_any_text_is_split_without_loss_or_refused(text):
    """The parts are those of the text, in their order, each with closed brackets of its own."""
    try:
        found = calls.split(text)
    except ol.InputError:
        return
    assert "".join(found).replace(" ", "") == text.replace(" ", "") or "," in text
    for part in found:
        assert calls.split(part, "\0") == [part]


def test_the_one_line_of_a_researcher(rules):
    line = (
        f"adamw(schedule=cosine, warmup=0.1, weight_decay={{0, 0.01, 0.1}}), {rules}:tweaked, sgd(schedule=one_cycle)"
    )
    first, mine, last = contenders(line)
    assert first == Contender("adamw", hyperparameters={"weight_decay": [0, 0.01, 0.1]}, schedule="cosine(warmup=0.1)")
    assert (mine.name, mine.file, mine.label) == ("tweaked", f"{rules}:tweaked", "tweaked")
    assert last.label == "sgd (one_cycle)"
    assert Contender.parse("adamw(lr=cosine)".replace("lr", "schedule")) == Contender("adamw", schedule="cosine")


def test_a_hyperparameter_comes_before_an_option_of_the_schedule_of_the_same_name(rules):
    both = Contender.parse(f"{rules}:warmed(schedule=cosine, warmup=0.25)")
    assert (both.fixed, both.schedule) == ({"warmup": 0.25}, Shape("cosine"))
    apart = Contender.parse(f"{rules}:warmed(schedule=cosine(warmup=0.1), warmup=0.25)")
    assert (apart.fixed, apart.schedule) == ({"warmup": 0.25}, Shape("cosine", {"warmup": 0.1}))


def test_a_hyperparameter_called_schedule_is_given_in_a_study_file(rules):
    path = rules.with_name("names.py")
    path.write_text("def odd(w, g, *, lr=0.1, schedule=1.0):\n    return w - lr * schedule * g\n")
    with pytest.raises(ol.InputError, match=r"odd has a hyperparameter 'schedule', .* set it in a study file"):
        Contender.parse(f"{path}:odd(schedule=0.5)")
    study = rules.with_name("odd.toml")
    study.write_text('[[contenders]]\nname = "names.py:odd"\nhyperparameters = { schedule = 0.5 }\n')
    (found,) = read_study(study).values()
    assert found.contenders[0].fixed == {"schedule": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adam(beta1=0.5", r"the \( is never closed"),
        ("adam(beta1=0.5) x", "nothing may follow the closing bracket"),
        ("adam(0.5)", "write NAME=VALUE"),
        ("adam(beta1=0.5, beta1=0.6)", "beta1 is given twice"),
        ("adam(beta3=0.5)", "unknown hyperparameter of adam 'beta3'; did you mean 'beta"),
        ("adam(warmup=0.1)", "warmup belongs to a schedule: name one, such as schedule=cosine"),
        ("adam(beta1=2)", r"beta1 must lie in \[0, 1\)"),
        ("adam(beta1={0.5, 2})", r"beta1 must lie in \[0, 1\)"),
        ("adam(beta1=0.5:2)", r"beta1 must lie in \[0, 1\)"),
        ("adam(beta1=0.9:0.5)", "beta1: a range must rise"),
        ("adam(beta1={0.5, 0.5})", "beta1: a choice needs two or more different values"),
        ("adam(beta1=much)", "beta1 must"),
        ("adam(beta1=cosine)", r"beta1: a schedule of a hyperparameter needs its peak: cosine\(0.1\)"),
        ("adam(beta1=cosine(2))", r"beta1 must lie in \[0, 1\)"),
        ("adam(beta1=plateau(0.5))", "beta1: a plateau cuts learning rates"),
        ("adam(lr=0.1)", "the learning rate is always tuned; leave it out"),
        ("adam(lr=cosine)", "the learning rate is always tuned; write schedule=cosine"),
        ("adam(schedule=cosin)", "unknown schedule 'cosin'; did you mean 'cosine'"),
        ("adam(schedule=cosine, warmpu=0.1)", "unknown hyperparameter of adam 'warmpu'"),
        ("adam(schedule=cosine(warmpu=0.1))", "unknown option of the schedule cosine 'warmpu'; did you mean 'warmup'"),
        ("adam(schedule=cosine(0.1))", r"as cosine\(name=value\)"),
        ("adam(schedule=cosine(end=0), warmup=0.1)", "write all options of the schedule in its brackets"),
        ("adam(schedule=cosine, warmup=-1)", "warmup must be"),
        ("adam(schedule=one_cycle, warmup=0.1)", "unknown hyperparameter of adam 'warmup'"),
        ("adam(schedule=exponential(gamma=0.9, end=0.1))", "not both"),
        ("adam(schedule=0.1)", "write a schedule as schedule=cosine"),
        ("adam(schedule={cosine})", "write a schedule as schedule=cosine"),
        ("adam(schedule=)", "unknown schedule ''"),
        ("adam(schedule=multi_step(milestones={0.7, 0.3}))", r"milestones must rise, got \{0.7, 0.3\}"),
        ("adam(beta1=)", "beta1 must lie in"),
        ("adam(beta1={})", "beta1: give at least one value"),
        ("adam(schedule=plateau(factor=2))", "factor must lie in"),
        ("lars:torch", "lars is the same in every convention"),
        ("nowhere.py:mine", "there is no file nowhere.py"),
        ("mine.py", "write your own rule as FILE.py:NAME"),
    ],
)
def test_what_cannot_take_part_is_refused_with_one_clear_line(text, message):
    with pytest.raises(ol.InputError, match=message) as caught:
        Contender.parse(text)
    assert "\n" not in str(caught.value)


def test_what_says_nothing_is_nothing():
    for text in ("adam()", "adam( )", " adam ", "adam(label=)", "adam(schedule=constant)", "adam(,)"):
        assert Contender.parse(text) == Contender("adam")


def test_a_schedule_that_is_no_name_is_refused():
    for wrong in (3, ol.schedules.CosineAnnealing(0.1, 10), {"warmup": 0.1}):
        with pytest.raises(ol.InputError, match=r"a schedule (is a name with options|has a name)"):
            Contender("adam", schedule=wrong)


# ---- schedules ----

BY_HAND = {
    "cosine(warmup=0.1)": lambda lr: ol.schedules.Warmup(
        ol.schedules.CosineAnnealing(lr, STEPS - round(0.1 * STEPS), per="step"), round(0.1 * STEPS)
    ),
    "cosine": lambda lr: ol.schedules.CosineAnnealing(lr, STEPS, per="step"),
    "cosine(warmup=2, end=0.1)": lambda lr: ol.schedules.Warmup(
        ol.schedules.CosineAnnealing(lr, STEPS - 2 * PER_EPOCH, 0.1 * lr, per="step"), 2 * PER_EPOCH
    ),
    "linear": lambda lr: ol.schedules.LinearDecay(lr, 0.0, STEPS, per="step"),
    "one_cycle": lambda lr: ol.schedules.OneCycle(lr, STEPS),
    "step(step_size=2, gamma=0.5)": lambda lr: ol.schedules.StepLR(lr, 2, 0.5),
    "multi_step(milestones={2, 4})": lambda lr: ol.schedules.MultiStepLR(lr, [2, 4]),
    "exponential(gamma=0.8)": lambda lr: ol.schedules.ExponentialLR(lr, 0.8),
    "inverse_time(s=1)": lambda lr: ol.schedules.InverseTime(lr, PER_EPOCH, per="step"),
    "power(s=1, c=2)": lambda lr: ol.schedules.PowerDecay(lr, PER_EPOCH, 2, per="step"),
    "polynomial(power=2)": lambda lr: ol.schedules.PolynomialDecay(lr, STEPS, 2, per="step"),
    "cosine_restarts(period=2)": lambda lr: ol.schedules.CosineWarmRestarts(lr, 2 * PER_EPOCH, per="step"),
    "cyclic(up=1, base=0.1)": lambda lr: ol.schedules.CyclicLR(0.1 * lr, lr, PER_EPOCH),
    "warmup_stable_decay(warmup=1, decay=2)": lambda lr: ol.schedules.WarmupStableDecay(
        lr, PER_EPOCH, STEPS - 3 * PER_EPOCH, 2 * PER_EPOCH
    ),
    "constant": lambda lr: lr,
    "constant(warmup=1)": lambda lr: ol.schedules.Warmup(lr, PER_EPOCH),
}


def by_hand(lr, callbacks=()):
    """The curve of a run of :data:`TINY` that is fitted without a study."""
    net, data = TINY.network(5), TINY.replicate(7)
    opt = ol.Adam(net.parameters, lr=lr)
    return ol.fit(net, opt, data, epochs=TINY.epochs, batch_size=TINY.batch_size, seed=5, callbacks=callbacks)


def test_every_schedule_is_tried_by_hand():
    assert {text.partition("(")[0] for text in BY_HAND} == {*SHAPES} - {"plateau"}


@pytest.mark.parametrize("text", BY_HAND)
def test_a_schedules_contender_trains_exactly_as_fit_with_that_schedule(text):
    record = execute(Run(TINY, Contender("adam", schedule=text), 0.02, seed=5, split=7))
    history = by_hand(BY_HAND[text](0.02))
    assert record.curves.train_loss == tuple(history.train_loss)
    assert record.curves.lr == tuple(history.lr)


def test_a_plateau_trains_exactly_as_fit_with_the_callback():
    record = execute(Run(TINY, Contender("adam", schedule="plateau(factor=0.5, patience=1)"), 0.5, seed=5, split=7))
    history = by_hand(0.5, [ol.ReduceLROnPlateau("val_loss", factor=0.5, patience=1)])
    assert record.curves.train_loss == tuple(history.train_loss)
    assert record.curves.lr == tuple(history.lr)
    assert record.curves.lr[-1] < 0.5


def test_a_scheduled_hyperparameter_trains_exactly_as_fit_with_that_schedule():
    record = execute(Run(TINY, Contender("adam", hyperparameters={"beta1": "linear(0.9, end=0.5)"}), 0.02, 5, 7))
    net, data = TINY.network(5), TINY.replicate(7)
    opt = ol.Adam(net.parameters, lr=0.02, beta1=ol.schedules.LinearDecay(0.9, 0.45, STEPS, per="step"))
    history = ol.fit(net, opt, data, epochs=TINY.epochs, batch_size=TINY.batch_size, seed=5)
    assert record.curves.train_loss == tuple(history.train_loss)


@pytest.mark.slow
@given(schedules().filter(lambda shape: not shape.listens), st.integers(20, 400), st.floats(1e-6, 10))
def test_no_schedule_leaves_zero_to_its_peak_and_most_reach_it(shape, steps, peak):
    rates = [shape.schedule(peak, Length(steps))(k) for k in range(steps)]
    assert all(0 <= rate <= peak * (1 + 1e-12) for rate in rates)
    assert max(rates) >= 0.8 * peak


def test_a_warm_up_as_long_as_the_run_is_refused_before_any_run(tmp_path):
    study = Study(TINY, (Contender("adam", schedule="cosine(warmup=6)"),), replicates=2)
    with pytest.raises(ol.InputError, match=r"adam \(cosine\(warmup=6\)\): the warm-up .* is as long as the run"):
        compare(study, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ol.InputError, match="give the number of steps of the run"):
        Contender("adam", schedule="cosine").make(TINY.network(0), 0.1, {})


# ---- keys ----


def key(text, lr=0.1, chosen=(), **problem):
    return Run(Problem(**problem), Contender.parse(text), lr, 0, hyperparameters=chosen).key


def test_equal_runs_have_equal_keys_and_others_have_others():
    same = [
        ("adam", "adam(schedule=constant)"),
        ("adam(schedule=cosine)", "adam(schedule=cosine, warmup=0, end=0)"),
        ("adam(schedule=cosine, warmup=0.1)", "adam(schedule=cosine(warmup=0.10))"),
        ("adam(beta1=0.5)", "adam(beta1=0.50, label=other)"),
    ]
    for one, other in same:
        assert key(one) == key(other)
    several = [
        *(text for text, _ in same),
        "adam(schedule=cosine(warmup=0.2))",
        "adam(schedule=linear)",
        "adam(schedule=plateau)",
        "adam(beta1=linear(0.5))",
        "adam(beta1=linear(0.6))",
        "adam(beta1=0.6)",
    ]
    assert len({key(text) for text in several}) == len(several)


def test_a_searched_values_run_is_that_of_the_fixed_value():
    """So that a list may grow, and a fixed value be searched later, without a run made twice."""
    fixed, chosen = key("adamw(weight_decay=0.1)"), (("weight_decay", 0.1),)
    assert key("adamw(weight_decay={0, 0.1})", chosen=chosen) == fixed
    assert key("adamw(weight_decay=0.01:1:log)", chosen=chosen) == fixed
    assert key("adamw(weight_decay={0, 0.1})", chosen=(("weight_decay", 0.0),)) != fixed


def test_without_schedule_and_search_a_runs_description_is_that_of_earlier_versions():
    assert {*Run(TINY, Contender("adam"), 0.1, 0).config()} == {
        *("problem", "optimizer", "convention", "lr", "hyperparameters", "split", "seed")
    }
    assert {*Contender("adam", hyperparameters={"beta1": 0.5}).config()} == {"optimizer", "convention"}


# ---- rules of one's own ----


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*at the edge of the grid")
def test_every_rule_of_a_file_takes_part_but_one_without_a_rate(rules, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("optimlab.study.compare"), "time_steps", lambda *_: {})
    names = ("tweaked(k={0.5, 1})", "capped", "warmed", "normed(schedule=one_cycle)")
    several = contenders(",".join(f"{rules}:{name}" for name in names))
    study = Study(TINY, several, (0.003, 0.03, 0.3), replicates=2, extensions=0)
    with pytest.raises(ol.InputError, match="the default learning rate of no_rate is 0: give lr a positive default"):
        Contender.parse(f"{rules}:no_rate")
    found = compare(study, tmp_path, jobs=1)
    assert [row.finished for row in found.rows] == [2] * 8
    json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    lines = (tmp_path / "runs.jsonl").read_bytes()
    compare(study, tmp_path, jobs=1)
    assert (tmp_path / "runs.jsonl").read_bytes() == lines


def test_a_rule_of_whole_tensors_is_known_by_what_it_computes(rules):
    def digest_of(text):
        path = rules.with_name("other.py")
        path.write_text(text)
        return Contender.parse(f"{path}:normed").config()["rule"]

    same = RULES.replace("def size(g):", "# how large\n\n\ndef size(g):")
    helper, default, formula = (
        RULES.replace(*change)
        for change in (
            ("norm(g)", "norm(g, 1)"),
            ("normed(w, g, *, lr=0.01)", "normed(w, g, *, lr=0.01, k=1.0)"),
            ("1e-12", "1e-3"),
        )
    )
    own = digest_of(RULES)
    assert digest_of(same) == own
    assert len({own, digest_of(helper), digest_of(default), digest_of(formula)}) == 4


def test_a_rule_of_whole_tensors_travels_to_a_worker_and_stays_itself(rules):
    """The file need not be on the machine of the worker."""
    path = rules.with_name("sent.py")
    path.write_text(RULES)
    rule = Contender.parse(f"{path}:normed").rule
    sent = pickle.loads(cloudpickle.dumps(rule))
    path.unlink()
    assert isinstance(sent, LayerRule)
    assert rule_digest(sent) == rule_digest(rule)
    assert pickle.loads(pickle.dumps(ol.rules.layerwise.lars)) is ol.rules.layerwise.lars


def test_a_study_file_names_a_rule_from_its_own_folder(rules):
    path = rules.with_name("study.toml")
    path.write_text('optimizers = ["adam", "rules.py:capped(cap={1, 2})"]\n[[contenders]]\nname = "rules.py:normed"\n')
    (study,) = read_study(path).values()
    assert [c.name for c in study.contenders] == ["adam", "capped", "normed"]
    assert study.contenders[2].file == f"{rules}:normed"
    path.write_text('[[contenders]]\nname = "rules.py:gone"\n')
    with pytest.raises(ol.InputError, match=r"line 2, key 'name': rules.py:gone: .* has no function 'gone'"):
        read_study(path)
    path.write_text('[[contenders]]\nname = "rules.py:normed"\nconvention = "torch"\n')
    with pytest.raises(ol.InputError, match="a rule of your own, so it has no convention"):
        read_study(path)


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("schedule = 3", "schedule", 'expected a text such as "cosine", or a table'),
        ('schedule = "cosin"', "schedule", "did you mean 'cosine'"),
        ("schedule = { warmup = 0.1 }", "schedule", "a schedule has a name"),
        ('schedule = { name = "cosine", warmpu = 0.1 }', "schedule", "did you mean 'warmup'"),
        ("hyperparameters = { weight_decay = [0, -1] }", "hyperparameters", "weight_decay must be a finite number"),
        ('hyperparameters = { weight_decay = "1:0" }', "hyperparameters", "a range must rise"),
    ],
)
def test_a_mistake_in_a_study_file_is_told_with_its_line(tmp_path, line, key, message):
    with pytest.raises(ol.InputError, match=message) as caught:
        read_study(written(tmp_path, f'[[contenders]]\nname = "adamw"\n{line}\n'))
    assert f"line 3, key '{key}'" in str(caught.value)


# ---- searches and budgets ----


@pytest.mark.parametrize(
    "texts",
    [
        ["sgd"],
        ["sgd", "adamw(weight_decay={0, 0.1, 0.2})"],
        ["sgd", "adam:torch(beta1={0.8, 0.9}, beta2={0.9, 0.99, 0.999})", "adamw(weight_decay=1e-4:1:log)"],
        ["adam(beta1=0.5:0.9)", "adamw(weight_decay={0, 0.1}, beta1=0.5:0.9)"],
    ],
)
def test_all_contenders_have_the_same_number_of_trials(texts):
    study = Study(TINY, [Contender.parse(text) for text in texts], replicates=3, defaults=False)
    for r in range(3):
        counts = [len(study.grid(contender, r)) for contender in study.contenders]
        assert len({*counts}) == 1
        assert counts[0] == study.budget * len(study.rates)
        for contender in study.contenders:
            assert len({run.key for run in study.grid(contender, r)}) == counts[0]
    assert study.planned() == 3 * len(texts) * study.budget * len(study.rates)


def test_with_rates_alone_the_grid_is_that_of_every_study():
    study = Study(TINY, ("sgd", Contender("adam", hyperparameters={"beta1": 0.5})))
    for contender in study.contenders:
        assert [run.lr for run in study.grid(contender, 3)] == [*study.rates_of(3)]
        assert study.planned_rates(contender) == study.rates


def test_a_list_is_tried_at_every_rate_and_a_range_is_drawn_anew():
    listed, ranged = map(Contender.parse, ("adamw(weight_decay={0, 0.1, 0.2})", "adamw(weight_decay=1e-4:1:log)"))
    study = Study(TINY, (listed,), defaults=False)
    runs = study.grid(listed, 1)
    assert [(run.lr, dict(run.hyperparameters)["weight_decay"]) for run in runs] == [
        *itertools.product(study.rates_of(1), (0.0, 0.1, 0.2))
    ]
    study = Study(TINY, (ranged,), defaults=False)
    drawn = [dict(run.hyperparameters)["weight_decay"] for run in study.grid(ranged, 1)]
    assert len({*drawn}) == len(drawn) == 4 * 9
    assert drawn != [dict(run.hyperparameters)["weight_decay"] for run in study.grid(ranged, 2)]


@pytest.mark.parametrize(
    ("space", "quartiles"),
    [
        ("1e-4:1:log", (1e-3, 1e-2, 1e-1)),
        ("0:0.8", (0.2, 0.4, 0.6)),
        ("0.9:0.9999:complement", (0.98222, 0.99684, 0.99944)),
    ],
)
def test_a_range_is_drawn_evenly_on_its_scale(space, quartiles):
    name = "weight_decay" if space != "0.9:0.9999:complement" else "beta2"
    contender = Contender("adamw", hyperparameters={name: space})
    found = [dict(one)[name] for one in itertools.chain(*searched_settings(contender, 500, 4, 0))]
    at = [np.mean(np.array(found) < quartile) for quartile in quartiles]
    assert at == pytest.approx([0.25, 0.5, 0.75], abs=0.04)
    also = [dict(rest)[name] for _, rest in random_settings(contender, 2000)]
    assert [np.mean(np.array(also) < quartile) for quartile in quartiles] == pytest.approx([0.25, 0.5, 0.75], abs=0.04)


def test_the_full_protocol_draws_from_the_contenders_own_list():
    contender = Contender("adamw", hyperparameters={"weight_decay": [0.1, 0.2], "beta1": "linear(0.9)", "beta2": 0.5})
    drawn = [dict(rest) for _, rest in random_settings(contender, 100)]
    assert {one["weight_decay"] for one in drawn} == {0.1, 0.2}
    assert all({*one} == {"weight_decay", "eps"} for one in drawn)


def test_too_many_combinations_are_refused():
    values = [k / 200 for k in range(200)]
    with pytest.raises(ol.InputError, match="more than 1,000 settings at each rate"):
        Contender("adam", hyperparameters={"beta1": values, "beta2": values})


# ---- what a comparison says ----


def parabola(run):
    """Best at rate 0.1 and weight decay 0.01, worse on both sides."""
    decay = run.settings().get("weight_decay", 0.01)
    return 0.95 - 0.02 * abs(math.log10(run.lr) + 1) - 0.03 * abs(decay - 0.01) / 0.01


def planned(*texts, replicates=4, **rest):
    return Study(TINY, [Contender.parse(t) for t in texts], replicates=replicates, **{"defaults": False, **rest})


def test_the_choice_is_by_validation_in_each_replicate_and_the_row_says_what_was_chosen(tmp_path):
    with planted(lambda run: "ok", parabola):
        found = compare(planned("sgd", "adamw(weight_decay={0, 0.01, 0.1})"), tmp_path, jobs=1)
    row = found.summary.row("adamw (weight_decay={0, 0.01, 0.1})")
    assert (row.searched, row.trials) == ({"weight_decay": "{0, 0.01, 0.1}"}, (27, 27))
    assert found.summary.row("sgd").trials == (27, 27)
    assert all(one.hyperparameters["weight_decay"] == 0.01 for one in row.replicates)
    for one in row.replicates:
        assert one.val_score == max(trial.val_score for trial in one.grid)
        assert len(one.grid) == 27
        assert [trial.val_score for trial in one.by_rate] == [
            max(t.val_score for t in one.grid if t.lr == lr) for lr in sorted({t.lr for t in one.grid})
        ]


def test_the_map_has_the_mean_of_each_cell_and_its_best_where_it_was_planted(tmp_path):
    with planted(lambda run: "ok", parabola):
        found = compare(planned("adamw(weight_decay={0, 0.01, 0.1})"), tmp_path, jobs=1)
    (one,) = maps_of(found.summary)
    row = found.summary.tuned[0]
    assert one.values == ["0", "0.01", "0.1"]
    assert one.rates == pytest.approx(found.summary.study["rates"])
    assert (one.values[one.best[0]], one.rates[one.best[1]]) == ("0.01", pytest.approx(0.1))
    for k, value in enumerate((0.0, 0.01, 0.1)):
        for j in range(9):
            cell = [
                [t for t in r.grid if t.hyperparameters["weight_decay"] == value][j].val_score for r in row.replicates
            ]
            assert one.scores[k][j] == pytest.approx(np.mean(cell))
    assert sum(map(sum, one.chosen)) == 4
    assert one.chosen[1][one.best[1]] >= 3


@pytest.mark.parametrize("rates", [(0.001, 0.01, 0.1, 1.0), (0.001, 0.1, 1.0)])
def test_rates_beyond_the_grid_do_not_shift_the_map(tmp_path, rates):
    """The best lies at the upper edge, so every replicate adds rates."""
    with (
        planted(lambda run: "ok", lambda run: 0.5 + 0.02 * math.log10(run.lr)),
        pytest.warns(UserWarning, match="edge"),
    ):
        found = compare(planned("adamw(weight_decay={0, 0.1})", rates=rates), tmp_path, jobs=1)
    (one,) = maps_of(found.summary)
    assert min(found.summary.tuned[0].trials) > 2 * len(rates)
    for line in one.scores:
        assert line == pytest.approx([0.5 + 0.02 * math.log10(rate) for rate in one.rates], abs=0.016)


def test_a_diverged_setting_counts_as_nothing_and_a_failed_one_is_told(tmp_path):
    def fate(run):
        return "diverged" if run.settings().get("weight_decay") == 0.1 else "ok"

    with planted(fate, parabola):
        found = compare(planned("adamw(weight_decay={0.01, 0.1})"), tmp_path, jobs=1)
    (one,) = maps_of(found.summary)
    assert one.scores[1] == [0.0] * 9
    assert found.summary.tuned[0].diverged_share == 0.5


def test_a_finished_study_with_a_search_needs_no_new_run(tmp_path):
    study = planned("adamw(weight_decay={0, 0.1}, schedule=cosine)", replicates=2)
    with planted(lambda run: "ok", parabola):
        first = compare(study, tmp_path, jobs=1)
        lines = (tmp_path / "runs.jsonl").read_bytes()
        second = compare(study, tmp_path, jobs=1)
    assert (tmp_path / "runs.jsonl").read_bytes() == lines
    assert second.summary.rows == first.summary.rows
    assert first.summary.tuned[0].schedule == "cosine"


def test_the_page_says_how_to_make_the_study_again(tmp_path, rules):
    from optimlab.report.reproduction import recipe

    texts = ["adamw(weight_decay={0, 0.01}, beta1=linear(0.9, end=0.5), beta2=0.99, schedule=cosine(warmup=0.1))"]
    texts += ["adam:torch(beta1=0.5:0.9)", "sgd(label=plain)", "momentum(schedule=plateau(factor=0.5))"]
    study = Study(Problem(epochs=7), [Contender.parse(text) for text in texts])
    made = recipe(json.loads(json.dumps(study.config())))
    (again,) = read_study(written(tmp_path, made.file)).values()
    assert again.config() == study.config()
    own = Study(optimizers=contenders(f"sgd, {rules}:normed(schedule=one_cycle)"))
    made = recipe(json.loads(json.dumps(own.config())))
    (again,) = read_study(written(tmp_path, made.file.replace("FILE.py", str(rules)))).values()
    assert again.config() == own.config()


def test_a_map_is_in_the_report_and_a_figure_and_a_label_harms_neither(tmp_path):
    from optimlab.plotting import map_figure
    from optimlab.report import write_report

    with planted(lambda run: "ok", parabola):
        found = compare(planned('adamw(weight_decay={0, 0.01}, label="<b>$x_{y")', "sgd"), tmp_path, jobs=1)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "&lt;b&gt;$x_{y" in page
    assert "<b>$x" not in page
    assert page.count('<table class="heat">') == 1
    assert page.count('class="best"') == 1
    figure = found.plot("map")
    figure.canvas.draw()
    assert any("★" in text.get_text() for text in figure.axes[0].texts)
    with planted(lambda run: "ok", parabola):
        plain = compare(planned("sgd"), tmp_path / "plain", jobs=1)
    with pytest.raises(ol.InputError, match="only the learning rate was searched"):
        map_figure(plain)


def test_a_dry_run_needs_no_room_for_a_warm_up(tmp_path):
    """Its few epochs are fewer than the warm-up has."""
    from optimlab.study.estimate import estimate

    text = "adam(schedule=cosine(warmup=4), beta1=linear(0.9, warmup=4))"
    assert 0 < estimate(Study(TINY, (Contender.parse(text),), replicates=2)) < 600


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("adam(shedule=cosine)", "did you mean 'schedule'"),
        ("sgd(step_size=3)", "such as schedule=step"),
    ],
)
def test_a_schedule_that_is_missing_or_misspelt_is_named(text, told):
    with pytest.raises(ol.InputError, match=told):
        Contender.parse(text)


def test_a_rule_that_draws_random_numbers_is_refused():
    rng = np.random.default_rng(0)

    def random(w, g, *, lr=0.1):
        return w - lr * g * rng.random()

    with pytest.raises(ol.RuleError, match=r"rule random computes a different formula at each call"):
        rule_digest(random)
