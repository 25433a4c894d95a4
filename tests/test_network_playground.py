"""The page in which a network trains, in a real browser, offline: what a visitor does, and what its scenes claim."""

import json
import time

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import listeners, require

from optimlab.cli import main
from optimlab.common.errors import InputError
from optimlab.playground.scenes import SCENES
from optimlab.playground.write import network_page, write_network_page

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
QUIET = "#data=moons&widths=4,3&optimizer=adam,textbook,lr:0.02&t=20&play=0"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("playground") / "network.html"
    write_network_page(path)
    return path.as_uri()


@pytest.fixture(scope="module")
def tabs(browser):
    """One tab for each kind of window: to open one takes longer than to load the page."""
    return {}


@pytest.fixture
def visit(browser, address, tabs):
    """``visit("#...")`` loads the page there; at the end nothing may have gone wrong, nor been asked of the network."""
    wrong, used = [], {}
    watched = listeners(wrong)

    def go(fragment="", viewport=DESK, **options):
        window = {"viewport": viewport, "offline": True, "reduced_motion": "reduce", **options}
        page = tabs.get(repr(window)) or tabs.setdefault(repr(window), browser.new_context(**window).new_page())
        if repr(window) not in used:
            used[repr(window)] = page
            for event, listener in watched.items():
                page.on(event, listener)
        page.goto("about:blank")
        page.goto(address + fragment)
        return page

    yield go
    for page in used.values():
        page.goto("about:blank")  # ends all that the page was doing
        for event, listener in watched.items():
            page.remove_listener(event, listener)
    assert wrong == []


def state(page):
    return page.evaluate("({...state, address: addressOf(state)})")


def weights(page):
    return page.evaluate("sides.map(({training}) => [training.t, ...training.network.data])")


# --- what a visitor does


def test_it_opens_on_a_network_that_trains(visit):
    page = visit(reduced_motion="no-preference")
    page.wait_for_function("state.t > 5")
    assert state(page)["playing"]
    assert page.locator("#sight-title").text_content() == SCENES[0].title
    still = visit()
    assert (state(still)["playing"], state(still)["t"]) == (False, 0)


def test_steps_forwards_and_back_give_the_same_numbers(visit):
    page = visit(QUIET + "&dropout=0.2&norm=before&versus=schedule:cosine&weight=1,2,0")
    seen = {20: (weights(page), page.locator("#equations-A .result").all_text_contents())}
    for t in (21, 22, 23):
        page.locator("#step").click()
        seen[t] = (weights(page), page.locator("#equations-A .result").all_text_contents())
    assert len({json.dumps(numbers) for numbers, _ in seen.values()}) == 4
    for t in (22, 21, 20):
        page.locator("#back").click()
        assert (weights(page), page.locator("#equations-A .result").all_text_contents()) == seen[t]
    page.locator("#t").fill("23")
    assert weights(page) == seen[23][0]
    page.locator("#reset").click()
    assert state(page)["t"] == 0
    page.locator("#play").click()
    page.wait_for_function("state.t >= 23")
    page.locator("#play").click()
    page.evaluate("pauseAt(23)")
    assert weights(page) == seen[23][0]


def test_the_formula_of_a_weight_ends_at_the_weight(visit):
    for rule in ("sgd,textbook,lr:0.1", "adam,torch,lr:0.02", "nadam,keras,lr:0.01", "adan,textbook,lr:0.01"):
        page = visit(f"#widths=4,3&t=30&play=0&optimizer={rule}&weight=1,2,1")
        life = page.evaluate("sides[0].training.weight()")
        assert life["terms"]["w@new"] == pytest.approx(life["w"], rel=1e-12)
        assert life["path"][-1] == [30, life["w"]]
        assert len(life["path"]) == 31
        assert not page.locator("#equations-A mn:text-is('·')").count()  # every name has its number


def test_a_click_on_a_line_follows_its_weight(visit):
    page = visit(QUIET)
    page.locator("#network-A").scroll_into_view_if_needed()
    box = page.locator("#network-A").bounding_box()
    x, y = page.evaluate("""() => {
        const [x0, y0, x1, y1] = endsOf(sides[0].places.columns[2][1], sides[0].places.columns[3][0]);
        return [x0 + (x1 - x0) * 0.1, y0 + (y1 - y0) * 0.02];
    }""")
    page.mouse.click(box["x"] + x, box["y"] + y)
    assert state(page)["weight"] == [2, 1, 0]
    assert page.locator("#weight-title").text_content() == "One weight: unit 2 to the output"
    page.locator("#weight-layer").fill("1")
    page.keyboard.press("Enter")
    assert state(page)["weight"] == [0, 1, 0]
    page.locator("#weight-to").fill("99")
    page.keyboard.press("Enter")
    assert state(page)["weight"] == [0, 1, 3]
    page.locator("#unwatch").click()
    assert state(page)["weight"] is None
    page.locator("#watch").click()
    assert state(page)["weight"] == [0, 0, 0]


def test_a_click_on_a_pixel_follows_its_weight(visit):
    page = visit("#data=digits&widths=9&t=0&play=0")
    box = page.locator("#network-A").bounding_box()
    x, y = page.evaluate("""() => {
        const {left, top, scale} = sides[0].places.blocks[0];
        return [left + (9 + 3.5) * scale, top + 2.5 * scale];
    }""")
    page.mouse.click(box["x"] + x, box["y"] + y)
    assert state(page)["weight"] == [0, 2 * 8 + 3, 1]


CHANGE_LAST = """() => {
    const controls = [...document.querySelectorAll("#versus-fields select, #versus-fields input[type=number]")];
    const last = controls.at(-1);
    if (last.matches("select")) last.selectedIndex += last.selectedIndex + 1 < last.length ? 1 : -1;
    else last.value = last.max ? 7 : Number(last.value) + 0.25;
    for (const kind of ["input", "change"]) last.dispatchEvent(new Event(kind, {bubbles: true}));
}"""


def test_two_networks_differ_in_one_thing_and_share_the_rest(visit):
    page = visit(QUIET)
    for thing in page.evaluate("Object.keys(THINGS)"):
        page.locator("#versus-fields select").first.select_option(thing)
        page.evaluate(CHANGE_LAST)
        a, b, keys = page.evaluate("[state.scene, otherScene(state), THINGS[state.versus[0]]]")
        assert {key for key in a if a[key] != b[key]} <= set(keys), thing
        assert a != b, thing
        same = page.evaluate("JSON.stringify(sides[0].training.data) === JSON.stringify(sides[1].training.data)")
        assert same
        page.locator("#step").click()
        assert page.evaluate("sides.map(({training}) => training.t)") == [1, 1]
    assert page.locator("#side-B").is_visible()
    page.locator("#versus-fields select").first.select_option("")
    assert page.locator("#side-B").is_hidden()


def test_every_control_changes_the_training(visit):
    page = visit(QUIET + "&versus=l2:0.1")
    page.select_option("#data-fields select", "wave")
    page.locator("#network-fields .widths input").first.fill("6")
    page.locator("#network-fields .widths input").first.press("Enter")
    for text, value in (
        ("activation", "gelu"),
        ("batch norm", "after"),
        ("schedule", "one_cycle"),
        ("batch size", "64"),
    ):
        page.get_by_label(text, exact=True).first.select_option(value)
    page.get_by_label("optimizer").first.select_option("lion,keras")
    page.get_by_label("η learning rate, number").first.fill("0.003")
    page.get_by_label("dropout, number").fill("0.25")
    page.locator("#seed").fill("7")
    page.locator("#seed").press("Enter")
    scene = state(page)["scene"]
    expected = {
        "data": "wave", "widths": [6, 3], "activation": "gelu", "norm": "after", "schedule": "one_cycle", "batch": 64,
        "rule": "lion", "convention": "keras", "dropout": 0.25, "seed": 7,
    }  # fmt: skip
    assert {key: scene[key] for key in expected} == expected
    assert scene["hyper"]["lr"] == 0.003
    assert page.evaluate("sides[0].training.scene") == scene
    before = weights(page)
    page.locator("#reseed").click()
    assert weights(page) != before


def test_keys(visit):
    page = visit(QUIET)
    for pressed, t in ((".", 21), (",", 20), ("r", 0)):
        page.keyboard.press(pressed)
        assert state(page)["t"] == t
    page.keyboard.press("s")
    assert state(page)["scene"]["seed"] == 1
    page.keyboard.press(" ")
    page.wait_for_function("state.t > 2")
    page.keyboard.press(" ")
    assert not state(page)["playing"]
    reached = set()
    for _ in range(50):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"scenes", "link", "play", "back", "step", "reset", "t", "speed", "watch", "seed", "reseed"} <= reached


# --- the address


def test_the_address_holds_the_whole_state(visit):
    page = visit(
        "#data=circles&noise=0.25&scale=3&seed=12&widths=5,2&activation=mish&initializer=he_uniform&norm=after"
        "&dropout=0.1&l1=0.001&l2=0.01&batch=32&optimizer=adam,keras,lr:0.02,beta1:0.8&schedule=linear"
        "&versus=optimizer:momentum,torch,lr:0.1&t=37&speed=55&weight=1,4,1&play=0"
    )
    assert page.locator("#notice").is_hidden()
    expected, numbers = state(page), weights(page)
    page.wait_for_function("location.hash === addressOf(state)")
    again = visit(page.evaluate("location.hash"))
    assert state(again) == expected
    assert weights(again) == numbers
    again.evaluate("location.hash = '#scene=momentum&t=3&play=0'")
    again.wait_for_function("state.lesson === 'momentum' && state.t === 3")


@pytest.mark.parametrize(
    "fragment",
    [
        "#%",
        "#&&&=&=1&data",
        "#data=__proto__&activation=constructor&initializer=toString&t=-3&speed=1e9",
        "#optimizer=adam,torch,lr:1e999,nonsense:2&noise=NaN",
        "#optimizer=sgd,__proto__,lr:1",
        "#widths=1,2,3,4,5,6,7",
        "#widths=1e9",
        "#versus=hasOwnProperty:1",
        "#versus=dropout:5",
        "#weight=0,2,0",
        "#weight=0,0,0,0",
        "#scene=bent",
        "#<script>alert(1)</script>",
    ],
)
def test_a_bad_address_is_answered(visit, fragment):
    page = visit(fragment + "&play=0")
    assert page.locator("#notice").text_content().startswith("Not understood in the address")
    page.locator("#dismiss").click()
    assert page.locator("#notice").is_hidden()
    page.locator("#step").click()
    assert page.evaluate("sides[0].training.t") == 1
    assert all(np.isfinite(weights(page)[0]))


def test_divergence_is_said_plainly(visit):
    page = visit("#data=wave&optimizer=sgd,textbook,lr:1e6&activation=relu&t=50&play=0&weight=0,0,0")
    step = page.evaluate("sides[0].training.diverged")
    assert 0 < step < 50
    assert f"Diverged at step {step}." in page.locator("#caption-A").text_content()
    assert f"diverged at step {step}" in page.locator("#status").text_content()


# --- the page


@pytest.mark.parametrize("fragment", ["", "&versus=activation:relu&weight=0,0,0", "&data=digits&widths=16,16"])
def test_it_fits_a_phone_without_scrolling_sideways(visit, fragment):
    page = visit(QUIET + fragment, PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.documentElement.dataset.scheme") == "dark"
    assert page.evaluate("[...document.querySelectorAll('canvas')].filter(c => c.getBoundingClientRect().width > 0)"
                         ".every(c => c.width > 0)")  # fmt: skip
    page.locator("#step").tap()
    assert state(page)["t"] == 21


def test_light_and_dark_are_drawn_differently(visit):
    corner = "Array.from($('surface-A').getContext('2d').getImageData(3, 3, 1, 1).data)"
    light, dark = (visit(QUIET, color_scheme=scheme).evaluate(corner) for scheme in ("light", "dark"))
    assert sum(light) > sum(dark) + 100


@pytest.mark.parametrize("fragment", ["#scene=dead-units&t=50&weight=0,0,0", "#scene=digits&t=10", QUIET + "&t=no"])
def test_axe_finds_nothing(browser, address, fragment):
    require("axe_playwright_python")
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
    from check_accessibility import findings

    context = browser.new_context(offline=True, reduced_motion="reduce")
    page = context.new_page()
    page.goto(address + fragment)
    assert findings(page) == []
    context.close()


def test_the_file(tmp_path):
    text = network_page()
    assert len(text.encode()) < 1_000_000
    assert not any(word in text for word in ("https://", "import(", "fetch(", "localStorage", '<link rel="stylesheet'))
    with pytest.raises(InputError, match="cannot write"):
        write_network_page(tmp_path / "missing" / "page.html")
    told = CliRunner().invoke(main, ["playground", "--out", str(tmp_path / "lesson")])
    assert told.exit_code == 0
    assert (tmp_path / "lesson" / "network.html").read_text(encoding="utf-8") == text
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        main(["playground", "--out", str(tmp_path / "file")])


# --- what the scenes claim

RUN = """
([name, seed, marks]) => {
    const {state, complaints} = stateOf(`#scene=${name}`);
    if (complaints.length) throw new Error(complaints);
    const scenes = state.versus ? [state.scene, otherScene(state)] : [state.scene];
    const size = a => Math.sqrt(a.reduce((sum, v) => sum + v * v, 0) / a.length);
    return scenes.map(scene => {
        const training = new Training({...scene, seed});
        return marks.map(t => {
            training.goto(t);
            const {history, data, dense} = training;
            const layers = training.layers();
            return {
                train: [...history.train], val: [...history.val], accuracy: history.trainScore.at(-1),
                dead: layers.map(l => l.dead), ratio: layers.map(l => l.ratio),
                gradient: layers.map(l => size(l.gradients)), outputs: layers.map(l => Array.from(l.activations)),
                weights: layers.map(l => Array.from(l.weights)), sizes: [data.inputs, ...dense.map(l => l.outputs)],
                surface: data.bounds ? Array.from(training.surface(24).values) : [],
                data: data.bounds ? null : {x: Array.from(data.train.x), t: Array.from(data.train.t)},
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
    "bend": (bend, [200, 500]), "dead-units": (dead_units, [50]), "vanishing": (vanishing, [500, 1000]),
    "too-high": (too_high, [100, 1000]), "too-low": (too_low, [100, 1000]), "batch-norm": (batch_norm, [200, 1000]),
    "overfitting": (overfitting, [200, 1000]), "dropout": (dropout, [1000]), "scaling": (scaling, [1000]),
    "zeros": (zeros, [500]), "momentum": (momentum, [200]), "schedule": (schedule, [1000]), "digits": (digits, [1000]),
}  # fmt: skip
SURE = {"overfitting": [0, 1], "dropout": [0, 1]}
"""Seeds with which the validation points show it: there are a hundred of them. All other scenes show it with three."""


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_shows_what_it_says(visit, scene):
    page = visit(f"#scene={scene.name}&play=0&t=2")
    assert page.locator("#notice").is_hidden()
    assert page.locator("#sight-title").text_content() == scene.title
    assert page.locator("#lesson").text_content() == scene.text
    assert page.locator("#question").text_content() == scene.question
    assert scene.question.rstrip().endswith(("?", "."))
    assert "?" in scene.question or "Guess" in scene.question
    claim, marks = CLAIMS[scene.name]
    for seed in SURE.get(scene.name, [0, 1, 2]):
        claim(*page.evaluate(RUN, [scene.name, seed, marks]))


def test_a_change_keeps_the_question_of_the_scene_and_the_way_back(visit):
    scene = SCENES[1]
    page = visit(f"#scene={scene.name}&play=0")
    assert page.locator("#again").is_hidden()
    page.locator("#reseed").click()
    assert page.locator("#sight-title").text_content() == scene.title
    page.locator("#network-fields select").first.select_option("tanh")
    assert state(page)["lesson"] == page.locator("#scenes").input_value() == scene.name
    assert page.locator("#sight-title").text_content() == f"{scene.title} (changed)"
    assert page.locator("#question").text_content() == scene.question
    again = visit(page.evaluate("addressOf(state)"))
    assert again.locator("#sight-title").text_content() == f"{scene.title} (changed)"
    again.locator("#again").click()
    again.wait_for_function("state.scene.activation === 'relu'")
    assert again.locator("#sight-title").text_content() == scene.title


def test_other_data_leave_the_scene(visit):
    page = visit(f"#scene={SCENES[1].name}&play=0")
    page.locator("#data-fields select").select_option("circles")
    assert state(page)["lesson"] == page.locator("#scenes").input_value() == ""
    page.select_option("#scenes", SCENES[2].name)
    page.wait_for_function(f"state.lesson === '{SCENES[2].name}'")
    assert page.locator("#lesson").text_content() == SCENES[2].text


def test_a_second_network_differs_at_once(visit):
    page = visit(QUIET)
    for thing in page.evaluate("Object.keys(THINGS)"):
        page.locator("#versus-fields select").first.select_option(thing)
        found = page.evaluate("different(sides[0].training.scene, sides[1].training.scene)")
        assert found
        assert set(found) <= set(page.evaluate(f"THINGS.{thing}"))


def test_the_slider_follows_beyond_the_schedule(visit):
    page = visit(QUIET.replace("t=20", "t=1200"))
    assert page.locator("#t").input_value() == "1200"


# --- in another browser


def test_firefox_plays_steps_back_and_shows_a_weight(firefox, tmp_path):
    """The same page, with its errors noted from the first line of script on."""
    path = tmp_path / "network.html"
    noted = "<script>window.wrong = []; onerror = message => { wrong.push(message); };</script>"
    path.write_text(network_page().replace("<head>", f"<head>{noted}", 1), encoding="utf-8")

    def value(text):
        return json.loads(firefox.execute_script(f"return window.wrappedJSObject.eval('JSON.stringify({text})')"))

    firefox.navigate(path.as_uri() + QUIET + "&weight=1,2,0&versus=activation:relu")
    assert value("[state.t, sides.length, wrong]") == [20, 2, []]
    at = value("Array.from(sides[0].training.network.data)")
    shown = value('document.querySelector("#equations-A").textContent')
    for button in ("step", "step", "back", "back"):
        value(f'document.getElementById("{button}").click() ?? null')
    assert value("Array.from(sides[0].training.network.data)") == at
    assert value('document.querySelector("#equations-A").textContent') == shown
    value('document.getElementById("play").click() ?? null')
    for _ in range(200):
        time.sleep(0.1)
        if value("state.t") > 25:
            break
    assert value("state.t") > 25
    assert value("document.documentElement.scrollWidth <= innerWidth")
    assert value("wrong") == []
