"""The network of the page in a real browser, against the network in Python: float64, step by step."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

import optimlab as ol
from optimlab.nn import activations, initializers, losses
from optimlab.playground import recorded
from optimlab.playground.source import network_source
from optimlab.schedules.shapes import SHAPES, Length, Shape

RULES = {
    "sgd": {"lr": 0.05},
    "momentum": {"lr": 0.01},
    "rmsprop": {"lr": 0.003},
    "adam": {"lr": 0.003},
    "adamw": {"lr": 0.003, "weight_decay": 0.1},
}
NORMS = {"none": False, "before": True, "after": "after"}
STEPS, ROWS, LAST = 200, 12, 7

RUN = """
text => {
    const {spec, start, batches, rule, convention, hyper, drawn} = JSON.parse(text);
    const draws = drawn.values();
    const network = new Network({...spec, generator: () => draws.next().value});
    network.data.set(start);
    const optimizer = new Optimizer(RULES[convention][rule], hyper, network);
    const history = [];
    for (const {x, t} of batches) {
        const rows = x.length / spec.sizes[0];
        const found = network.differentiate(Float64Array.from(x), Float64Array.from(t), rows);
        history.push(found.value, found.score, found.penalty);
        optimizer.step();
    }
    const all = Float64Array.from(batches[0].x);
    const outputs = network.outputs(all, all.length / spec.sizes[0]);
    const state = network.layers.flatMap(l => Object.keys(l.code.state ?? {}).flatMap(name => Array.from(l[name])));
    return {weights: Array.from(network.data), history, outputs: Array.from(outputs), state};
}
"""


def script():
    """Everything that the page computes with."""
    folder = Path(ol.__file__).parent / "playground" / "page"
    files = [(folder / name).read_text(encoding="utf-8") for name in ("network.js", "training.js")]
    return "\n".join([network_source(), *files])


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.add_script_tag(content=script())
    yield page
    page.close()


class FirefoxPage:
    """A page in Firefox, with Playwright's ``evaluate``."""

    def __init__(self, firefox, path):
        self._firefox = firefox
        path.write_text(f"<!doctype html><meta charset='utf-8'><script>{script()}</script>", encoding="utf-8")
        firefox.navigate(path.as_uri())

    def evaluate(self, function, argument):
        text = f"JSON.stringify(({function})({json.dumps(argument)}))"
        return json.loads(self._firefox.execute_script("return window.wrappedJSObject.eval(arguments[0])", [text]))


@pytest.fixture(scope="module")
def firefox_page(firefox, tmp_path_factory):
    return FirefoxPage(firefox, tmp_path_factory.mktemp("firefox") / "page.html")


def batches(loss, outputs, steps, rng):
    """Batches of two features; the last of each four is smaller."""
    for k in range(steps):
        x = rng.normal(size=(LAST if k % 4 == 3 else ROWS, 2))
        if losses.get(loss).classifies:
            t = np.digitize(x[:, :1] * x[:, 1:], np.linspace(-0.5, 0.5, max(outputs, 2) - 1)).astype(float)
        else:
            t = np.sin(x @ rng.normal(size=(2, outputs)))
        yield x, t


def python_run(net, opt, loss, given, penalties=()):
    loss, history, drawn = losses.get(loss), [], []
    buffers = ol.nn.buffers.Buffers(net.backend, "float64")
    for x, t in given:
        y = net.forward(x, training=True)
        gradient = np.empty_like(y)
        value = loss(net.backend, y, t, gradient, buffers)[0]
        score = loss.score.summed(net.backend, y, t, buffers)[0]
        drawn += [u for layer in net.layers for u in getattr(layer, "_u", np.empty(0)).ravel().tolist()]
        net.backward(gradient)
        history += [value, score, sum(penalty(net.parameters) for penalty in penalties)]
        opt.step()
    return history, drawn


@functools.cache
def batch_list(loss, outputs, steps):
    """The batches of a run, and as the page gets them."""
    given = list(batches(loss, outputs, steps, np.random.default_rng(1)))
    return given, json.dumps([{"x": x.ravel().tolist(), "t": t.ravel().tolist()} for x, t in given])


@functools.cache
def expectation(activation, norm, rule, convention, loss, outputs, hyper, penalties, dropout, steps):
    """Return what the page is asked, and what Python finds; browsers share it."""
    sizes, hyper, penalties = [2, 8, 6, outputs], dict(hyper), dict(penalties)
    options = {"dropout": dropout, "seed": 3, "dtype": "float64", "backend": "numpy"}
    net = ol.MLP(sizes, activation=activation, batch_norm=NORMS[norm], **options)
    start = net.parameters.data.copy()
    opt = ol.optimizers.get(rule)(net.parameters, convention=convention, **hyper)
    given, sent = batch_list(loss, outputs, steps)
    terms = [{"l1": ol.L1, "l2": ol.L2}[name](rate) for name, rate in penalties.items()]
    history, drawn = python_run(net, opt, loss, given, terms)
    outcome = net.forward(given[0][0]).ravel()
    state = [values for layer in net.layers for values in layer.state().values()]
    spec = {"sizes": sizes, "activation": activation, "batchNorm": norm, "dropout": dropout, "loss": loss}
    request = {"spec": {**spec, "penalties": penalties}, "start": start.tolist(), "drawn": drawn}
    text = json.dumps({**request, "rule": rule, "convention": convention, "hyper": hyper, "batches": 0})
    found = {
        "weights": net.parameters.data.copy(),
        "history": history,
        "outputs": outcome,
        "state": np.concatenate([np.empty(0), *state]),
    }
    biases = [net.parameters[p] for p in ("dense1.b", "dense2.b")]

    def outputs_of(weights, values):
        """Return the outputs of a network with these weights and this state."""
        net.parameters.data[...] = weights
        for array, part in zip(state, np.split(values, np.cumsum([a.size for a in state])[:-1]), strict=True):
            array[...] = part.reshape(array.shape)
        return net.forward(given[0][0]).ravel()

    return text.replace('"batches": 0', f'"batches": {sent}'), found, biases, start, outputs_of


def compare(page, *, activation="tanh", norm="none", rule="adam", convention="textbook", loss="softmax_cross_entropy",
            outputs=3, hyper=None, penalties=None, dropout=0.0, steps=STEPS):  # fmt: skip
    settings = [tuple(given.items()) for given in (hyper or RULES[rule], penalties or {})]
    text, expected, biases, start, outputs_of = expectation(
        activation, norm, rule, convention, loss, outputs, *settings, dropout, steps
    )
    found = page.evaluate(RUN, text)
    for name, values in expected.items():
        there, here = np.array(found[name]), np.asarray(values)
        assert there.shape == here.shape
        off = np.abs(there - here)
        bound = 1e-9 * max(1.0, np.abs(here).max(initial=0.0))
        if norm == "before":
            # batch norm takes the bias in front of it out again: that bias moves by rounding alone, which a rule that
            # divides by the gradient's size makes larger, and the running means follow it; the outputs follow both, so
            # they are compared with those of the weights and the means that the page has found
            if name == "weights":
                for bias in biases:
                    off[bias.start : bias.stop] = 0
            if name == "outputs":
                off = np.abs(there - outputs_of(np.array(found["weights"]), np.array(found["state"])))
            bound *= 10 if name == "state" else 1
        assert off.max(initial=0.0) < bound, name
    assert not np.array_equal(expected["weights"], start)


@pytest.mark.quick_each("activation", "rule", "norm")
@pytest.mark.parametrize("norm", ["none", "before"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
def test_every_activation_trains_as_in_python(page, activation, rule, norm):
    compare(page, activation=activation, norm=norm, rule=rule)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "before"])
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
def test_every_activation_trains_as_in_python_in_firefox(firefox_page, activation, norm):
    compare(firefox_page, activation=activation, norm=norm)


@pytest.mark.parametrize(("loss", "outputs"), [("binary_cross_entropy", 1), ("mean_squared_error", 2),
                                               ("mean_absolute_error", 1), ("softmax_cross_entropy", 4)])  # fmt: skip
def test_every_loss_and_its_score(page, loss, outputs):
    compare(page, loss=loss, outputs=outputs)


@pytest.mark.parametrize("convention", ol.rules.CONVENTIONS)
def test_every_rule_updates_the_whole_network(page, convention):
    for rule in ol.rules.names(convention):
        compare(page, rule=rule, convention=convention, hyper={"lr": 0.003}, steps=10)


@pytest.mark.parametrize("penalties", [{"l1": 0.01}, {"l2": 0.01}, {"l1": 0.001, "l2": 0.1}], ids=str)
def test_penalties(page, penalties):
    compare(page, penalties=penalties)


@pytest.mark.parametrize("norm", NORMS)
def test_dropout_and_the_place_of_batch_norm(page, norm):
    compare(page, norm=norm, dropout=0.3, activation="relu")


def test_the_largest_output_is_the_first_and_nan_counts_as_the_largest(page):
    rows = [[1, 3, 3], [2, "NaN", 5], ["NaN", 1, "NaN"], [-1, -2, -3]]
    found = page.evaluate(
        "rows => { const out = new Float64Array(rows.length); "
        "row_argmax(Float64Array.from(rows.flat().map(Number)), out, rows.length, 3); return Array.from(out); }",
        rows,
    )
    assert found == np.argmax(np.array(rows, float), axis=1).tolist() == [1, 1, 0, 0]


# --- a scene and its training

SCENES = [
    {},
    {"data": "spiral", "dropout": 0.2, "rule": "nadam", "convention": "keras", "hyper": {"lr": 0.02}},
    {"data": "wave", "norm": "before", "l2": 0.01, "schedule": "cosine", "activation": "relu", "batch": 8},
    {"data": "digits", "widths": [16], "norm": "after", "rule": "schedule_free_adamw", "hyper": {"lr": 0.01}},
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.get("data", "moons"))
def test_training_learns_and_goes_back_exactly(page, scene):
    """Back and on again: the same bits, in the weights, the optimizer's state, and the history."""
    found = page.evaluate(
        """scene => {
            const training = new Training(checkedScene({...DEFAULT_SCENE, ...scene}));
            const look = () => JSON.stringify([training.t, Array.from(training.network.data), training.history,
                training.optimizer.state.map(a => Array.from(a)), training.layers().map(l => Array.from(l.updates))]);
            training.goto(33);
            const early = look();
            training.goto(120);
            const late = look();
            training.back(87);
            const again = look();
            training.goto(0);
            training.goto(120);
            const {train, val} = training.history;
            return [early === again, late === look(), train[0], train.at(-1), val[0], val.at(-1)];
        }""",
        scene,
    )
    assert found[:2] == [True, True]
    assert found[3] < found[2]
    assert found[5] < found[4]


def test_few_snapshots_are_kept_and_lead_back_to_the_same_bits(page):
    found = page.evaluate(
        """() => {
            const scene = {...DEFAULT_SCENE, dropout: 0.2, widths: [4], rule: "momentum", hyper: {lr: 0.01}};
            const training = new Training(checkedScene(scene));
            const look = () => Array.from(training.network.data).concat(training.optimizer.state.flatMap(a => [...a]));
            const seen = {}, counts = [], ways = [];
            for (let t = 1; t <= 3000; t++) {
                training.step();
                counts.push(training.snapshots.length);
                ways.push(t - training.snapshots.at(-1).t);
                if (t % 487 === 0) seen[t] = look();
            }
            const gaps = training.snapshots.slice(1).map(({t}, k, all) => [t - (all[k - 1]?.t ?? t), 3000 - t]);
            const far = gaps.filter(([, age]) => age >= 200).map(([gap, age]) => gap / age);
            const same = Object.keys(seen).map(Number).reverse().map(t => {
                training.goto(t);
                return JSON.stringify(look()) === JSON.stringify(seen[t]);
            });
            return {most: Math.max(...counts), way: Math.max(...ways), far: Math.max(...far), same};
        }"""
    )
    assert found["most"] <= 45  # 121 without thinning
    assert found["way"] < 25
    assert found["far"] <= 0.25  # the steps to be made again are a small part of the way back
    assert found["same"] == [True] * 6


@pytest.mark.parametrize("convention", ol.rules.CONVENTIONS)
def test_the_terms_of_a_weight_end_in_its_new_value(page, convention):
    for rule in ol.rules.names(convention):
        life = page.evaluate(
            """([rule, convention]) => {
                const training = new Training(checkedScene({...DEFAULT_SCENE, rule, convention, hyper: {lr: 0.01}}));
                training.goto(7);
                training.watch(1, 2, 3);
                return {...training.weight(), there: training.dense[1].W.data[2 * training.dense[1].outputs + 3]};
            }""",
            [rule, convention],
        )
        assert life["w"] == life["there"] == life["path"][-1][1]
        assert [t for t, _ in life["path"]] == list(range(8))
        assert life["terms"]["w@new"] == pytest.approx(life["w"], rel=1e-12), rule
        assert life["terms"]["w@old"] == life["path"][-2][1]
        assert set(life["state"]) == set(ol.kernels.trace(ol.rules.find(rule, convention)).state)


def test_schedules_are_pythons(page):
    found = page.evaluate("() => SCHEDULES")
    run = Length(steps=1000)
    assert set(found) == {name for name in SHAPES if name != "plateau"}
    for name, shares in found.items():
        schedule = Shape(name).schedule(1.0, run)
        np.testing.assert_allclose(shares, [schedule(k) for k in range(1000)], rtol=1e-8, atol=1e-12)


@pytest.mark.slow
def test_the_digits_are_the_bundled_ones(page):
    found = page.evaluate("() => [Array.from(DIGITS.pixels), Array.from(DIGITS.labels), DIGITS.training]")
    data = ol.datasets.load("digits")
    pixels = np.concatenate([data.x_train, data.x_val])
    assert np.array_equal(np.reshape(found[0], (-1, 64)) / 16, pixels)
    assert found[1] == [*data.y_train, *data.y_val]
    assert found[2] == len(data.x_train)


@pytest.mark.parametrize(
    "name", ["he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "zeros"]
)
def test_initial_weights_have_the_initializers_moments(page, name):
    weights = np.array(
        page.evaluate(
            """name => {
                const weights = new Float64Array(60 * 40);
                initialize(weights, 60, 40, name, stream(1, 2));
                return Array.from(weights);
            }""",
            name,
        )
    )
    expected = initializers.get(name)(np.random.default_rng(0), (600, 400))
    scale = expected.std() * (60 / 600) ** -0.5
    assert abs(weights.mean()) <= 4 * scale / len(weights) ** 0.5
    assert weights.std() == pytest.approx(scale, rel=0.06)
    if name.endswith("uniform"):
        assert abs(weights).max() == pytest.approx(3**0.5 * scale, rel=0.01)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"data": "cats", "widths": [8, 1e9], "noise": "x", "batch": 7, "seed": -1}, {}),
        ({"rule": "sgd", "hyper": {"lr": 0.5, "beta1": 0.1}}, {"rule": "sgd", "hyper": {"lr": 0.5}}),
        ({"rule": "__proto__", "activation": "constructor", "schedule": "toString"}, {"hyper": {}}),
        ({"batch": 1, "norm": "before"}, {"batch": 2, "norm": "before"}),
        ({"rule": "lion", "convention": "torch"}, {"rule": "adam", "convention": "torch", "hyper": {}}),
        ({"widths": []}, {"widths": []}),
    ],
)
def test_what_an_address_may_say(page, given, expected):
    found, default = page.evaluate("given => [checkedScene(given), DEFAULT_SCENE]", given)
    assert found == {**default, **expected}


def test_a_run_that_diverges_keeps_its_last_weights_and_can_go_back(page):
    found = page.evaluate(
        """() => {
            const scene = {...DEFAULT_SCENE, data: "wave", rule: "sgd", hyper: {lr: 1e6}, activation: "relu"};
            const training = new Training(checkedScene(scene));
            training.goto(100);
            const {diverged, t} = training;
            const finite = training.network.data.every(Number.isFinite);
            training.back(1);
            return [diverged === t && t < 100, finite, training.t === t - 1, training.diverged];
        }"""
    )
    assert found == [True, True, True, None]


def plus(x, y):
    return x + y


def other_plus(x, y):
    return y + x


other_plus.__name__ = "plus"
STAND = recorded.Stand("x", (recorded.ROWS, recorded.OUTPUTS), "made")
REFUSED = {
    "shapes that do not broadcast": lambda r: r.map(plus, (STAND, recorded.Stand("b", (recorded.INPUTS,))), STAND),
    "x is both made and made otherwise": lambda r: r.column_sums(
        STAND, recorded.Stand("x", STAND.shape, "made otherwise")
    ),
    "two formulas are called plus": lambda r: [r.map(f, (STAND, STAND), STAND) for f in (plus, other_plus)],
}


@pytest.mark.parametrize(("reason", "record"), REFUSED.items(), ids=REFUSED)
def test_what_the_page_would_do_wrongly_is_not_printed(reason, record):
    with pytest.raises(NotImplementedError, match="of arrays of shapes" if "broadcast" in reason else reason):
        record(recorded.Recorder({}))
