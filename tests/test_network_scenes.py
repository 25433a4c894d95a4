"""The scenes of the page in which a network trains: their words, and the numbers behind their claims and answers."""

import numpy as np
import pytest
from conftest import listeners

from optimlab.playground.scenes import SCENES
from optimlab.playground.write import write_network_page


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The page, offline and standing still; nothing may go wrong in it."""
    path = tmp_path_factory.mktemp("playground") / "network.html"
    write_network_page(path)
    wrong = []
    page = browser.new_context(offline=True, reduced_motion="reduce").new_page()
    for event, listener in listeners(wrong).items():
        page.on(event, listener)
    page.goto(f"{path.as_uri()}#play=0")
    yield page
    page.context.close()
    assert wrong == []


@pytest.mark.slow
def test_a_scene_stands_there_with_its_words(page):
    for scene in SCENES:
        page.select_option("#scenes", scene.name)
        page.wait_for_function("name => state.lesson === name", arg=scene.name)
        assert page.locator("#notice").is_hidden()
        assert page.locator("#sight-title").text_content() == scene.title
        assert page.locator("#lesson").text_content() == scene.text
        assert page.locator("#question").text_content() == scene.question
        answer = page.locator("#answer p")
        assert answer.text_content() == scene.answer
        assert not answer.is_visible()  # until it is asked for
        page.locator("#answer summary").click()
        assert answer.is_visible()
        assert scene.question.rstrip().endswith(("?", "."))
        assert "?" in scene.question or "Guess" in scene.question


@pytest.mark.slow
def test_a_scene_that_is_chosen_while_the_address_is_written_is_not_lost(page):
    """The page writes its address a moment after each change."""
    for scene in SCENES[:2]:
        page.evaluate("name => { location.hash = `scene=${name}`; writeAddress(); }", scene.name)
        page.wait_for_function("name => state.lesson === name", arg=scene.name)


RUN = """
([name, changes, marks, every, seed]) => {
    const {state, complaints} = stateOf(`#scene=${name}`);
    if (complaints.length) throw new Error(complaints);
    const scenes = {A: state.scene, B: state.versus && otherScene(state)};
    const readings = ({network, data: {train}}) => [...network.outputs(train.x, train.rows)];
    const size = a => Math.sqrt(a.reduce((sum, v) => sum + v * v, 0) / a.length);
    return changes.map(([side, change]) => {
        const scene = {...scenes[side], ...change, seed};
        if (different(checkedScene(scene), scene).length) throw new Error(JSON.stringify(change));
        const training = new Training(scene);
        training.every = every; // steps from one look at all rows to the next, which take longer than a step
        return marks.map(t => {
            training.goto(t);
            const {history, data, dense} = training;
            const layers = training.layers();
            const shown = data.bounds ? Array.from(training.surface(24).values) : [];
            return {
                train: [...history.train], val: [...history.val], accuracy: history.trainScore.at(-1),
                dead: layers.map(l => l.dead), ratio: layers.map(l => l.ratio),
                gradient: layers.map(l => size(l.gradients)), outputs: layers.map(l => Array.from(l.activations)),
                weights: layers.map(l => Array.from(l.weights)), sizes: [data.inputs, ...dense.map(l => l.outputs)],
                surface: shown, units: name === "bend" ? training.units(1, 24).map(unit => [...unit]) : [],
                data: data.bounds ? null : {x: [...data.train.x], t: [...data.train.t], y: readings(training)},
            };
        });
    });
}
"""


def bent(one):
    """The share of the plane where the network decides otherwise than the straight line that fits it best."""
    p = np.array(one["surface"])
    x, y = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(1, -1, 24))
    plane = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    fitted = plane @ np.linalg.lstsq(plane, 2 * p - 1, rcond=None)[0]
    return np.mean((fitted > 0) != (p > 0.5))


def bend(a):
    early, late = a
    assert 0.85 < early["accuracy"] < 0.95
    assert bent(early) < 0.06
    assert late["accuracy"] > 0.96
    assert bent(late) > 2 * bent(early)


def dead_units(a, b):
    assert a[0]["dead"][1] >= 0.85
    assert max(b[0]["dead"]) == 0
    assert max(a[0]["gradient"][:2]) < 1e-6
    assert b[0]["accuracy"] > a[0]["accuracy"] + 0.2


def vanishing(a, b):
    early, late = a
    ratios = [early["gradient"][-1] / early["gradient"][0], late["gradient"][-1] / late["gradient"][0]]
    assert 1e3 < np.sqrt(np.prod(ratios)) < 1e5
    assert late["accuracy"] <= 0.6
    assert b[-1]["accuracy"] == 1


def too_high(a, b):
    outputs = np.abs(np.concatenate([np.ravel(o) for o in b[0]["outputs"][:2]]))
    assert np.mean(outputs > 0.95) > 0.9
    assert max(b[0]["gradient"][:2]) < 1e-3 < b[0]["gradient"][2]
    assert max(b[0]["train"][1:]) > b[0]["train"][0]
    assert a[-1]["accuracy"] > 0.98 > b[-1]["accuracy"]


def too_low(a, b):
    assert max(b[0]["ratio"]) < 1e-3
    assert b[0]["train"][-1] > b[1]["train"][-1]
    assert bent(b[-1]) < 0.03 < bent(a[-1])


def batch_norm(a, b):
    assert a[-1]["accuracy"] <= 0.6
    assert b[-1]["accuracy"] > 0.98
    gradients = b[0]["gradient"]
    assert max(gradients) / min(gradients) < 10 < 100 < max(a[0]["gradient"]) / min(a[0]["gradient"])


def overfitting(a, b):
    assert sum(n * m + m for n, m in zip(a[0]["sizes"], a[0]["sizes"][1:], strict=False)) > 1000
    half = len(a[-1]["val"]) // 2
    assert a[-1]["val"][-1] > min(a[-1]["val"][:half]) + 0.1
    assert a[-1]["train"][-1] < a[0]["train"][-1]
    assert b[-1]["val"][-1] < a[-1]["val"][-1] - 0.1


def dropout(a, b):
    assert b[-1]["train"][-1] > a[-1]["train"][-1]
    rise = [one[-1]["val"][-1] - min(one[-1]["val"]) for one in (a, b)]
    assert rise[1] < rise[0]


def scaling(a, b):
    assert a[-1]["accuracy"] < 0.9
    assert b[-1]["accuracy"] > 0.95


def zeros(a, b):
    assert a[-1]["gradient"] == [0, 0, 0]
    assert not np.any([w for layer in a[-1]["weights"] for w in layer])
    assert b[-1]["accuracy"] > 0.96
    units = np.reshape(b[-1]["outputs"][0], (-1, 8))
    assert all(not np.allclose(units[:, i], units[:, j]) for i in range(8) for j in range(i))


def momentum(a, b):
    assert bent(a[0]) < 0.04
    assert bent(b[0]) > bent(a[0]) + 0.02
    assert b[0]["train"][-1] < 0.5 * a[0]["train"][-1]


def schedule(a, b):
    """The losses of A are averaged: it jumps, so they depend on the last digit of the browser's exponentials."""
    late = [np.array(one[-1]["train"][-100:]) for one in (a, b)]
    assert late[1][-1] < 0.5 * late[0].mean()
    assert np.ptp(late[1][-25:]) < 0.05 * np.ptp(late[0][-25:])


def digits(a, b):
    assert a[-1]["accuracy"] > b[-1]["accuracy"]
    x, t = np.reshape(b[-1]["data"]["x"], (-1, 64)), np.array(b[-1]["data"]["t"])
    w = np.reshape(b[-1]["weights"][0], (64, 10))
    alike = [np.corrcoef(w[:, k], x[t == k].mean(axis=0) - x.mean(axis=0))[0, 1] for k in range(10)]
    assert min(alike) > 0.85


CLAIMS = {
    "bend": (bend, [200, 500], 100), "dead-units": (dead_units, [50], 50), "vanishing": (vanishing, [500, 1000], 500),
    "too-high": (too_high, [100, 1000], 2), "too-low": (too_low, [100, 1000], 100),
    "batch-norm": (batch_norm, [200, 1000], 200), "overfitting": (overfitting, [200, 1000], 20),
    "dropout": (dropout, [1000], 20), "scaling": (scaling, [1000], 1000), "zeros": (zeros, [500], 500),
    "momentum": (momentum, [200], 200), "schedule": (schedule, [1000], 2), "digits": (digits, [1000], 1000),
}  # fmt: skip
"""For each scene the test of its text, the steps at which it looks, and those between two values of the losses."""

SURE = {"overfitting": [0, 1], "dropout": [0, 1]}
"""Seeds with which the validation points show it: there are a hundred of them. All other scenes show it with three."""


@pytest.mark.quick("bend")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_shows_what_it_says(page, scene):
    claim, marks, every = CLAIMS[scene.name]
    sides = [["A", {}], ["B", {}]] if "&versus=" in scene.address else [["A", {}]]
    for seed in SURE.get(scene.name, [0, 1, 2]):
        claim(*page.evaluate(RUN, [scene.name, sides, marks, every, seed]))


# --- what the answers claim


def answer_bend(a):
    (one,) = a
    shown = np.array(one["surface"])
    logit = np.log(shown / (1 - shown))
    alike = np.array([np.corrcoef(unit, logit)[0, 1] for unit in one["units"]])
    lines = np.array(one["weights"][2])
    follow = np.abs(alike) > 0.95
    assert follow.sum() == 7
    assert (np.sign(alike) == np.sign(lines))[follow].all()
    assert (lines[follow] < 0).any()
    assert np.abs(alike).argmax() != np.abs(lines).argmax()


def answer_dead_units(at_3, at_2, at_1):
    assert at_3[0]["dead"][1] == 1
    assert at_2[0]["dead"][1] <= 0.5
    assert at_1[0]["dead"][1] <= 1 / 8
    assert at_1[0]["accuracy"] >= 0.99


def answer_vanishing(one, two, three):
    assert one[0]["accuracy"] == 1
    assert two[0]["accuracy"] < 0.7
    assert three[0]["accuracy"] == 0.5


def answer_too_high(at_4, at_6):
    assert at_4[0]["accuracy"] >= 0.99
    assert at_6[0]["accuracy"] < 0.9


def answer_too_low(a, b):
    assert abs(a[0]["train"][-1] - b[1]["train"][-1]) < 0.015
    assert b[0]["train"][-1] - b[1]["train"][-1] > 0.015  # it was still higher 1,000 steps before
    assert b[2]["accuracy"] < 0.9


def answer_batch_norm(before, after):
    assert after[0]["train"][-1] < before[0]["train"][-1]
    assert after[1]["accuracy"] == before[1]["accuracy"] == 1


def answer_overfitting(without, *others):
    low, right, high, last = (one[0] for one in others)
    assert max(low["val"][-1], right["val"][-1]) < without[0]["val"][-1]
    assert high["val"][-1] > max(low["val"][-1], right["val"][-1])
    assert np.ptp(last["surface"]) < 0.02


def answer_dropout(without, *others):
    *middle, last = [one[0]["val"][-1] for one in others]
    assert max(middle) < without[0]["val"][-1]
    assert np.ptp(middle) < 0.05
    assert last > max(middle)


def answer_scaling(a, b, a_1, b_1):
    assert a[0]["accuracy"] < 0.9
    assert a_1[0]["accuracy"] > 0.98
    assert abs(b_1[0]["accuracy"] - b[0]["accuracy"]) < 0.02


def answer_zeros(a):
    weights = [
        np.reshape(w, (m, n)) for w, m, n in zip(a[0]["weights"], a[0]["sizes"], a[0]["sizes"][1:], strict=False)
    ]
    assert all((w == w[:, :1]).all() for w in weights)
    assert not (weights[0] == 1).any()
    assert a[0]["accuracy"] < 0.8


def answer_momentum(at_half, at_seven, b):
    loss_half, loss_seven, loss_b = (one[0]["train"][-1] for one in (at_half, at_seven, b))
    assert abs(loss_seven - loss_b) < 0.1 * loss_b
    assert loss_half > 1.1 * loss_b


def answer_schedule(a, low, b):
    jumps = [np.ptp(one[0]["train"][-25:]) for one in (a, low)]
    assert jumps[1] < 0.1 * jumps[0]
    assert low[0]["train"][-1] > 4 * b[0]["train"][-1]


def answer_digits(b):
    known = np.array(b[0]["data"]["t"], dtype=int)
    read = np.reshape(b[0]["data"]["y"], (-1, 10)).argmax(axis=1)
    wrong = np.zeros((10, 10))
    np.add.at(wrong, (known, read), known != read)
    assert wrong[[1, 8, 9]].sum() > wrong.sum() / 2
    assert min(wrong[1, 9], wrong[8, 1]) >= 4
    assert wrong[0].sum() <= 1


def sgd(rate):
    return {"rule": "sgd", "convention": "textbook", "hyper": {"lr": rate}}


ANSWERS = {
    "bend": (answer_bend, [["A", {}]], [500]),
    "dead-units": (answer_dead_units, [["A", sgd(rate)] for rate in (3, 2, 1)], [1000]),
    "vanishing": (answer_vanishing, [["A", {"widths": [8] * n}] for n in (1, 2, 3)], [5000]),
    "too-high": (answer_too_high, [["B", sgd(rate)] for rate in (4, 6)], [1000]),
    "batch-norm": (answer_batch_norm, [["B", {}], ["B", {"norm": "after"}]], [200, 1000]),
    "overfitting": (answer_overfitting, [["A", {"l2": rate}] for rate in (0, 0.003, 0.01, 0.1, 0.3)], [1000]),
    "dropout": (answer_dropout, [["A", {"dropout": rate}] for rate in (0, 0.4, 0.5, 0.6, 0.7, 0.9)], [1000]),
    "scaling": (answer_scaling, [[side, {"scale": scale}] for scale in (100, 1) for side in "AB"], [1000]),
    "zeros": (answer_zeros, [["A", {"initializer": "ones"}]], [500]),
    "momentum": (answer_momentum, [["A", sgd(0.5)], ["A", sgd(0.7)], ["B", {}]], [200]),
    "schedule": (answer_schedule, [["A", {}], ["A", sgd(0.03)], ["B", {}]], [1000]),
    "digits": (answer_digits, [["B", {}]], [1000]),
}
"""For each scene the test of its answer, the networks that it compares, and the steps at which it looks."""


@pytest.mark.quick("bend")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_the_answer_of_a_scene_is_right(page, scene):
    for seed in (0, 1, 2):
        if scene.name == "too-low":
            (a,) = page.evaluate(RUN, [scene.name, [["A", {}]], [30], 10, seed])
            (b,) = page.evaluate(RUN, [scene.name, [["B", {}]], [2000, 3000, 5000], 1000, seed])
            answer_too_low(a, b)
            continue
        answer, networks, marks = ANSWERS[scene.name]
        every = 2 if scene.name == "schedule" else min(marks)
        answer(*page.evaluate(RUN, [scene.name, networks, marks, every, seed]))
