"""The page in which a network trains, in a real browser, offline: what a visitor does, and what is drawn."""

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


REST = "() => { setPlaying(false); document.activeElement?.blur(); scrollTo(0, 0); }"
FOLLOW = """fragment => {
    history.replaceState(null, "", fragment || "#");
    known = location.hash;
    restore(known || OPENING);
}"""


@pytest.fixture
def visit(browser, address, tabs):
    """``visit("#...")`` goes there; at the end nothing may have gone wrong, nor been asked of the network. A tab that
    already has the page follows the address as after a click on a link; a ``fresh`` visit loads the page."""
    wrong, used = [], {}
    watched = listeners(wrong)

    def go(fragment="", viewport=DESK, *, fresh=False, **options):
        window = {"viewport": viewport, "offline": True, "reduced_motion": "reduce", **options}
        page = tabs.get(repr(window))
        loaded = page is not None and not fresh
        page = page or tabs.setdefault(repr(window), browser.new_context(**window).new_page())
        if repr(window) not in used:
            used[repr(window)] = page
            for event, listener in watched.items():
                page.on(event, listener)
        if loaded:
            page.evaluate(FOLLOW, fragment)
        else:
            page.goto("about:blank")
            page.goto(address + fragment)
        return page

    yield go
    for page in used.values():
        page.evaluate(REST)
        for event, listener in watched.items():
            page.remove_listener(event, listener)
    assert wrong == []


def state(page):
    return page.evaluate("({...state, address: addressOf(state)})")


def weights(page):
    return page.evaluate("sides.map(({training}) => [training.t, ...training.network.data])")


# --- what a visitor does


def test_it_opens_on_a_network_that_trains(visit):
    page = visit(reduced_motion="no-preference", fresh=True)
    page.wait_for_function("state.t > 5")
    assert state(page)["playing"]
    assert page.locator("#sight-title").text_content() == SCENES[0].title
    still = visit(fresh=True)
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_address_holds_the_whole_state(visit):
    page = visit(
        "#data=circles&noise=0.25&scale=3&seed=12&widths=5,2&activation=mish&initializer=he_uniform&norm=after"
        "&dropout=0.1&l1=0.001&l2=0.01&batch=32&optimizer=adam,keras,lr:0.02,beta1:0.8&schedule=linear"
        "&versus=optimizer:momentum,torch,lr:0.1&t=37&speed=55&weight=1,4,1&play=0"
    )
    assert page.locator("#notice").is_hidden()
    expected, numbers = state(page), weights(page)
    page.wait_for_function("location.hash === addressOf(state)")
    again = visit(page.evaluate("location.hash"), fresh=True)
    assert state(again) == expected
    assert weights(again) == numbers
    again.evaluate("location.hash = '#scene=momentum&t=3&play=0'")
    again.wait_for_function("state.lesson === 'momentum' && state.t === 3")


@pytest.mark.quick("#%", "#scene=bent")
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


WRITTEN = """
id => {
    const found = [], old = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        if (this.canvas.id === id) found.push([text, x, y]);
    };
    draw();
    CanvasRenderingContext2D.prototype.fillText = old;
    return found;
}
"""
"""The texts in a picture, each with its place."""


def test_divergence_is_said_plainly(visit):
    page = visit("#data=wave&optimizer=sgd,textbook,lr:1e6&activation=relu&t=50&play=0&weight=0,0,0")
    step = page.evaluate("sides[0].training.diverged")
    assert 0 < step < 50
    assert f"Diverged at step {step}." in page.locator("#caption-A").text_content()
    assert f"diverged at step {step}" in page.locator("#status").text_content()
    assert f"Diverged at step {step}" in [text for text, *_ in page.evaluate(WRITTEN, "surface-A")]
    assert not any("dead" in text for text, *_ in page.evaluate(WRITTEN, "layers-A"))
    names = {text: y for text, _, y in page.evaluate(WRITTEN, "loss") if text in ("✕ diverged", "train", "validation")}
    heights = sorted(names.values())
    assert len(heights) == 3
    assert min(np.diff(heights)) >= 13
    page.evaluate(f"pauseAt({step - 1})")
    assert not any("Diverged" in text for text, *_ in page.evaluate(WRITTEN, "surface-A"))


# --- the pictures


@pytest.mark.slow
def test_the_legend_names_the_colours_of_the_lines(visit):
    for scheme in ("light", "dark"):
        page = visit(QUIET + "&versus=activation:relu", color_scheme=scheme)
        for name in "AB":
            legend = page.locator(f"#legend-{name}")
            assert legend.text_content().startswith(" weight above 0,  weight below 0. Thick lines")
            shown = legend.locator("i").evaluate_all("all => all.map(i => getComputedStyle(i).backgroundColor)")
            drawn = page.evaluate("hues().lines.toReversed().map(c => { const i = document.createElement('i'); "
                                  "i.style.color = c; return i.style.color; })")  # fmt: skip
            assert shown == drawn
        assert "dashed line is 10⁻³" in page.locator("#side-A .layers").text_content()


def test_digits_have_their_label_and_outputs_their_number(visit):
    page = visit("#data=digits&widths=9&t=20&play=0")
    texts = page.evaluate(WRITTEN, "surface-A")
    known, read = ([int(text) for text, *_ in texts[k::2]] for k in (0, 1))
    assert known == page.evaluate("Array.from(sides[0].training.data.val.t.subarray(0, 64))")
    scores = page.evaluate("Array.from(sides[0].training.network.outputs(sides[0].training.data.val.x, 64))")
    assert read == np.reshape(scores[:640], (64, 10)).argmax(axis=1).tolist()
    numbers = [(text, x, y) for text, x, y in page.evaluate(WRITTEN, "network-A") if text.isdigit()]
    assert [text for text, *_ in numbers] == list("0123456789")
    for j, (_, x, y) in enumerate(numbers):  # above each number lie the pixels of its unit
        assert page.evaluate("([x, y]) => weightAt(sides[0].places, x, y - 4)", [x, y])[::2] == [1, j]


@pytest.mark.slow
@pytest.mark.parametrize(("viewport", "least"), [(DESK, 14), (PHONE, 9)])
def test_units_of_wide_layers_can_be_seen(visit, viewport, least):
    page = visit("#data=moons&widths=32,32&t=1&play=0", viewport)
    columns = page.evaluate("sides[0].places.columns")
    width, height = page.evaluate("[$('network-A').clientWidth, $('network-A').clientHeight]")
    assert [len(boxes) for boxes in columns] == [2, 32, 32, 1]
    boxes = [box for boxes in columns for box in boxes]
    assert min(box["size"] for box in boxes) >= least
    for a in boxes:
        assert a["left"] >= 0 <= a["top"] - 20
        assert a["left"] + a["size"] <= width
        assert a["top"] + a["size"] <= height
    corners = np.array([[box["left"], box["top"], box["size"]] for box in boxes])
    for k, (left, top, size) in enumerate(corners):
        others = np.delete(corners, k, axis=0)
        apart = np.maximum(np.abs(others[:, 0] - left), np.abs(others[:, 1] - top))
        assert (apart > np.minimum(size, others[:, 2])).all()


def test_the_learning_rate_has_a_top_tick_and_its_name_beside_the_curve(visit):
    page = visit(QUIET + "&versus=optimizer:adam,textbook,lr:0.005")
    texts = page.evaluate(WRITTEN, "rate")
    assert [text for text, x, _ in texts if x < 40] == ["0", "0.01", "0.02"]
    end = max(x for text, x, _ in texts if text == "100")
    assert {text: x > end for text, x, _ in texts if text.startswith(("A", "B"))} == {"A 0.02": True, "B 0.005": True}


def test_no_text_of_a_select_is_cut_off(visit):
    page = visit(QUIET + "&versus=optimizer:sgd,textbook,lr:0.1")
    cut = """() => {
        const context = document.createElement("canvas").getContext("2d");
        return [...document.querySelectorAll("#list select")].flatMap(select => {
            const style = getComputedStyle(select);
            const arrow = 16;
            const room = select.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - arrow;
            context.font = style.font;
            return [...select.options].map(o => o.text).filter(text => context.measureText(text).width > room);
        });
    }"""
    assert page.evaluate(cut) == []


def test_the_controls_of_two_networks_have_their_names(visit):
    page = visit(QUIET + "&versus=optimizer:sgd,textbook,lr:0.1")
    for name, k, lr in (("A", 0, 0.03), ("B", 1, 0.3)):
        box = page.get_by_label(f"{name} η learning rate, number")
        assert box.count() == page.get_by_label(f"{name} optimizer").count() == 1
        box.fill(str(lr))
        assert page.evaluate("sides.map(({training}) => training.scene.hyper.lr)")[k] == lr
    page.locator("#versus-fields select").first.select_option("")
    assert page.get_by_label("η learning rate, number").get_attribute("aria-label") == "η learning rate, number"


def test_a_weight_that_differs_in_kind_is_named_for_each(visit):
    page = visit(QUIET + "&versus=widths:4&weight=1,2,0")
    titles = [
        page.locator(f"#{name}").text_content() for name in ("weight-title", "formula-title-A", "formula-title-B")
    ]
    assert titles == ["One weight of each network", "A: unit 3 to unit 1, adam", "B: unit 3 to the output, adam"]
    page.locator("#weight-layer").fill("1")
    page.keyboard.press("Enter")
    titles = [
        page.locator(f"#{name}").text_content() for name in ("weight-title", "formula-title-A", "formula-title-B")
    ]
    assert titles == ["One weight: x₂ to unit 1", "A: adam", "B: adam"]


@pytest.mark.slow
def test_while_it_plays_one_picture_is_drawn_in_a_frame_and_none_out_of_sight(visit):
    page = visit(
        QUIET + "&weight=0,0,0&speed=600", PHONE, has_touch=True, is_mobile=True, reduced_motion="no-preference"
    )
    page.evaluate(
        """() => {
            window.drawn = [];
            const old = drawNext;
            drawNext = now => {
                const before = pictures.map(({drawn}) => drawn);
                old(now);
                drawn.push(pictures.filter(({drawn}, k) => drawn !== before[k]).map(({id}) => id));
            };
            setPlaying(true);
        }"""
    )
    page.wait_for_function("state.t > 30 && new Set(drawn.flat()).has('surface-A')")
    assert page.evaluate("Math.max(...drawn.map(ids => ids.length))") == 1
    assert page.evaluate("!drawn.flat().includes('layers-A') && pictures[0].stale")
    life = page.locator("#equations-A .result").first
    life.scroll_into_view_if_needed()
    page.evaluate("drawn = []")
    page.wait_for_function("drawn.flat().filter(id => id === 'life').length > 1")
    earlier = life.text_content()
    page.wait_for_function("text => document.querySelector('#equations-A .result').textContent !== text", arg=earlier)
    page.evaluate("setPlaying(false)")
    assert not page.evaluate("pictures.some(({stale}) => stale)")


# --- the page


@pytest.mark.slow
@pytest.mark.parametrize("fragment", ["", "&versus=activation:relu&weight=0,0,0", "&data=digits&widths=16,16"])
def test_it_fits_a_phone_without_scrolling_sideways(visit, fragment):
    page = visit(QUIET + fragment, PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.documentElement.dataset.scheme") == "dark"
    assert page.evaluate("[...document.querySelectorAll('canvas')].filter(c => c.getBoundingClientRect().width > 0)"
                         ".every(c => c.width > 0)")  # fmt: skip
    page.locator("#step").tap()
    assert state(page)["t"] == 21


@pytest.mark.slow
def test_on_a_phone_accuracy_and_settings_are_at_hand(visit):
    page = visit(QUIET, PHONE, has_touch=True, is_mobile=True)
    box = {name: page.locator(f"#{name}").bounding_box() for name in ("caption-A", "surface-A", "transport")}
    assert "Accuracy: train" in page.locator("#caption-A").text_content()
    assert box["caption-A"]["y"] + box["caption-A"]["height"] <= box["surface-A"]["y"]
    assert page.locator("#list").is_hidden()
    page.locator("#settings").tap()
    assert page.locator("#settings").get_attribute("aria-expanded") == "true"
    sheet, bar = (page.locator(f"#{name}").bounding_box() for name in ("list", "transport"))
    assert sheet["y"] + sheet["height"] == pytest.approx(bar["y"], abs=1)
    shown = page.locator("#caption-A").bounding_box()
    assert 0 <= shown["y"] < shown["y"] + shown["height"] < sheet["y"] - 200  # and most of the picture
    page.get_by_label("activation", exact=True).select_option("relu")
    assert state(page)["scene"]["activation"] == "relu"
    page.locator("#settings").tap()
    assert page.locator("#list").is_hidden()


@pytest.mark.slow
def test_light_and_dark_are_drawn_differently(visit):
    corner = "Array.from($('surface-A').getContext('2d').getImageData(3, 3, 1, 1).data)"
    light, dark = (visit(QUIET, color_scheme=scheme).evaluate(corner) for scheme in ("light", "dark"))
    assert sum(light) > sum(dark) + 100


@pytest.mark.slow
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


@pytest.mark.slow
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


# --- scenes


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
