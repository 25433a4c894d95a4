"""The playground in a real browser, without network: its numbers against NumPy, its controls, its address."""

import math

import numpy as np
import pytest
from conftest import listeners

from optimlab import kernels, rules
from optimlab.common.errors import InputError
from optimlab.race import FUNCTIONS, trajectories
from optimlab.race.lessons import LESSONS, TEXTS
from optimlab.race.playground import playground_page, write_playground
from optimlab.study import Contender

EVERY = [(name, convention) for convention in rules.CONVENTIONS for name in rules.names(convention)]
DESK, PHONE = {"width": 1200, "height": 700}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    write_playground(path)
    return path.as_uri()


@pytest.fixture(scope="module")
def tabs(browser):
    """Free tabs by what kind of window they are in: to open one takes longer than to load the page."""
    return {}


@pytest.fixture
def visit(browser, address, tabs):
    """``visit("#...")`` loads the page there, in a tab that no other visit of the test has; at the end nothing may have
    gone wrong, nor been asked of the network."""
    used, wrong = [], []
    watched = listeners(wrong)

    def go(fragment="", viewport=DESK, **options):
        window = {"viewport": viewport, "offline": True, **options}
        free = tabs.setdefault(repr(window), [])
        page = free.pop() if free else browser.new_context(**window).new_page()
        used.append((page, window))
        for event, listener in watched.items():
            page.on(event, listener)
        page.goto(address + fragment)
        return page

    yield go
    for page, window in used:
        if not page.is_closed():
            page.goto("about:blank")  # ends all that the page was doing
            for event, listener in watched.items():
                page.remove_listener(event, listener)
            tabs[repr(window)].append(page)
    assert wrong == []


def state(page):
    return page.evaluate("({...scene, address: addressOf(scene)})")


def path_of(page, k=0):
    return page.evaluate(f"[tracks[{k}].path.x, tracks[{k}].path.y]")


QUIET = "#on=quadratic&play=0&t=20&run=sgd,textbook,on,lr:0.03&run=adam,torch,on,lr:0.1"


# --- numbers


def test_every_rule_walks_as_in_numpy(visit):
    """500 steps of every rule and convention on every polynomial landscape, the whole path to 1e-9."""
    lands = [f for f in FUNCTIONS.values() if f.polynomial]
    scaled = {"sgd", "momentum", "nesterov", "radam"}  # their steps grow with the gradient
    rates = [2e-4 if name in scaled else 1.0 if name == "adadelta" else 5e-3 for name, _ in EVERY]
    page = visit(QUIET)
    found = page.evaluate(
        """([every, rates, names]) => {
            const all = every.flatMap(([rule, convention], k) => names.map(name => {
                const scene = {...defaultScene(name), noise: 0};
                const path = newPath(scene, {rule, convention, on: true, given: {lr: rates[k]}});
                extend(path, 500);
                return [...path.x, ...path.y];
            })).flat();
            return Array.from(new Uint8Array(Float64Array.from(all).buffer), b => String.fromCharCode(b)).join("");
        }""",
        [EVERY, rates, [f.name for f in lands]],
    )
    paths = np.frombuffer(found.encode("latin-1")).reshape(len(EVERY), len(lands), 2, 501)
    for (name, convention), lr, path in zip(EVERY, rates, paths, strict=True):
        graph = kernels.trace(rules.find(name, convention))
        w = np.array([f.start for f in lands])
        arrays = {"w": w, **{s: np.full_like(w, v) for s, v in graph.state.items()}}
        expected = [w]
        for t in range(1, 501):
            arrays["g"] = np.array([f.gradient(*p) for f, p in zip(lands, arrays["w"], strict=True)])
            values = graph.values(arrays, graph.scalars(t=t, **{**graph.hyperparameters, "lr": lr}))
            arrays = dict(zip(graph.written, (values[n] for n in graph.outputs), strict=True))
            expected.append(arrays["w"])
        expected = np.moveaxis(expected, 0, -1)
        far = np.abs(expected - expected[..., :1]).max(axis=(1, 2))
        assert far.min() > 1e-3, name  # it went somewhere
        worst = np.max(np.abs(path - expected) / np.maximum(np.abs(expected), 1e-3))
        assert worst < 1e-9, f"{name} ({convention})"


def test_landscapes_are_those_of_python(visit):
    page = visit(QUIET)
    for f in FUNCTIONS.values():
        for x, y in [f.start, (0.37, -1.21)]:
            value, gradient = page.evaluate(
                "([name, x, y]) => [LANDSCAPES[name].value(x, y), LANDSCAPES[name].gradient(x, y)]", [f.name, x, y]
            )
            assert value == pytest.approx([f.value(x, y)], rel=1e-14)
            assert gradient == pytest.approx(list(map(float, f.gradient(x, y))), rel=1e-13)


@pytest.mark.parametrize(("name", "convention"), [("adam", "keras"), ("nadam", "torch"), ("radam", "textbook")])
def test_the_numbers_shown_are_those_of_the_formula(visit, name, convention):
    page = visit(f"#on=quadratic&play=0&t=7&axis=y&run={name},{convention},on,lr:0.1")
    graph = kernels.trace(rules.find(name, convention))
    arrays = {"w": 2.0, **graph.state}
    for t in range(1, 8):
        arrays["g"] = 50 * arrays["w"]
        values = graph.values(arrays, graph.scalars(t=t, **{**graph.hyperparameters, "lr": 0.1}))
        arrays = dict(zip(graph.written, (values[n] for n in graph.outputs), strict=True))
    shown = [text.strip(" =").replace("\u2212", "-") for text in page.locator("#equations .result").all_text_contents()]
    named = {e.name: float(text) for e, text in zip(kernels.equations(graph), shown, strict=True)}
    for written, value in arrays.items():
        assert named[f"{written}@new"] == pytest.approx(float(value), rel=2e-3)
    assert not page.locator("#equations mn:text-is('·')").count()  # every name has its number
    assert page.locator("#callout td").last.text_content() == page.evaluate(
        f"shortNumber(termsOf(tracks[0].path, 7, 1)['{kernels.equations(graph)[-1].name}'])"
    )


@pytest.mark.slow
def test_noise_is_gaussian_and_the_same_for_the_same_seed(visit):
    page = visit(QUIET)
    draws = np.array(page.evaluate("Array.from({length: 20000}, (_, t) => [noiseAt(1, t, 0), noiseAt(1, t, 1)])"))
    assert np.abs(draws.mean(axis=0)).max() < 4 / math.sqrt(20000)
    assert draws.std(axis=0) == pytest.approx([1, 1], abs=0.02)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.03
    assert abs(np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]) < 0.03
    noisy = QUIET + "&noise=3&seed=5"
    first, again, other = (path_of(visit(a)) for a in (noisy, noisy, QUIET + "&noise=3&seed=6"))
    assert first == again != other


# --- what a visitor does


def test_it_opens_on_a_scene_that_shows_something(visit):
    page = visit()
    found = state(page)
    assert [r["rule"] for r in found["runners"] if r["on"]] == ["sgd", "momentum", "rmsprop", "adam"]
    assert found["playing"]
    assert found["t"] >= 24
    page.wait_for_function("scene.t > 30")
    assert page.locator("#lesson").text_content() == LESSONS[0].text
    still = visit(reduced_motion="reduce")
    assert not state(still)["playing"]
    assert state(still)["t"] == 24


@pytest.mark.slow
def test_every_rule_and_convention_can_be_added(visit):
    page = visit(QUIET)
    offered = page.locator("#add option").evaluate_all("all => all.map(o => o.value).filter(Boolean)")
    assert offered == [f"{name},{convention}" for name, convention in EVERY]
    page.select_option("#add", "lion,keras")
    assert state(page)["runners"][-1]["rule"] == "lion"
    assert page.locator("#look option:checked").text_content() == "lion (keras)"
    for _ in range(3):
        page.locator("#runners .remove").first.click()
    assert state(page)["runners"] == []
    empty = visit(state(page)["address"])
    assert state(empty)["runners"] == []
    empty.close()
    page.select_option("#add", "adan,textbook")
    assert page.locator("#equations .equation").count() == 10


def test_pointer_and_keys_move_the_start(visit):
    page = visit(QUIET)
    box = page.locator("#contour").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    x, y = state(page)["start"]
    assert abs(x) < 0.05
    assert y == pytest.approx(box["height"] / 4 / page.evaluate("view.scale"), abs=0.05)
    assert [c[0] for c in path_of(page)] == [x, y]
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    dragged = state(page)["start"]
    assert dragged[0] < -0.5
    assert abs(dragged[1]) < 0.05
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert state(page)["start"] == pytest.approx([dragged[0] + 0.1, dragged[1] + 0.5])


def test_a_press_right_after_another_drags_too(visit):
    """Before the browser had time for anything between the two."""
    page = visit(QUIET)
    page.evaluate(
        """() => {
            const canvas = $("contour"), box = canvas.getBoundingClientRect();
            canvas.setPointerCapture = () => {}; // there is no such pointer
            const send = (kind, x) => canvas.dispatchEvent(new PointerEvent(kind, {
                pointerId: 1, pointerType: "mouse", button: 0,
                clientX: box.left + x * box.width, clientY: box.top + box.height / 2,
            }));
            send("pointerdown", 0.5);
            send("pointerup", 0.5);
            send("pointerdown", 0.5);
            setTimeout(() => { send("pointermove", 0.25); send("pointerup", 0.25); window.sent = true; }, 50);
        }"""
    )
    page.wait_for_function("window.sent")
    assert state(page)["start"][0] < -0.5


@pytest.mark.slow
def test_a_tap_sets_the_start_on_a_phone(visit):
    page = visit(QUIET, PHONE, has_touch=True, is_mobile=True)
    box = page.locator("#contour").bounding_box()
    page.touchscreen.tap(box["x"] + 200, box["y"] + 60)
    page.wait_for_function("scene.start[0] !== -3.5")
    assert page.evaluate("view.plane(200, 60)") == pytest.approx(state(page)["start"], abs=0.02)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
def test_sliders_boxes_and_switches(visit):
    page = visit(QUIET)
    before = path_of(page)
    page.locator("#set-lr").focus()
    page.keyboard.press("ArrowRight")
    lr = state(page)["runners"][0]["given"]["lr"]
    assert 0.03 < lr < 0.033
    assert state(page)["start"] == [-3.5, 2]  # the arrow was the slider's
    after = path_of(page)
    assert after != before
    assert after[0][1] == -3.5 + 3.5 * lr
    page.locator("#runners .name").nth(1).click()
    page.locator("#hyper .slider:nth-child(2) input[type=number]").fill("0.5")
    assert state(page)["runners"][1]["given"]["beta1"] == 0.5
    page.locator("#set-eps").evaluate("e => { e.value = -4; e.dispatchEvent(new Event('input')); }")
    assert state(page)["runners"][1]["given"]["eps"] == 1e-4
    page.select_option("#convention", "keras")
    changed = state(page)["runners"][1]
    assert (changed["convention"], changed["given"]) == ("keras", {"lr": 0.1, "beta1": 0.5, "eps": 1e-4})
    page.locator("#runners input").nth(1).uncheck()
    assert [r["on"] for r in state(page)["runners"]] == [True, False]
    page.locator("#noise-number").fill("2")
    page.locator("#noise-number").press("Enter")
    assert state(page)["noise"] == 2
    noisy = path_of(page)
    page.locator("#reseed").click()
    assert path_of(page) != noisy


def test_step_play_loop_reset(visit):
    page = visit(QUIET + "&steps=25&speed=200")
    for control, t in [("#step", 21), ("#step", 22), ("#back", 21), ("#reset", 0)]:
        page.locator(control).click()
        assert state(page)["t"] == t
    page.locator("#loop").click()
    page.locator("#play").click()
    page.wait_for_function("!scene.playing")
    assert state(page)["t"] == 25
    page.locator("#loop").click()
    page.locator("#play").click()
    page.evaluate("window.seen = []; setInterval(() => seen.push(scene.t), 5)")
    page.wait_for_function("seen.includes(25) && seen.indexOf(25) < seen.length - 1 && seen.at(-1) < 20")
    page.locator("#play").click()
    assert not state(page)["playing"]
    page.locator("#t").fill("7")
    assert state(page)["t"] == 7
    assert page.locator("#status").text_content().startswith("Step 7. sgd: loss")


@pytest.mark.slow
def test_keys(visit):
    page = visit(QUIET)
    for pressed, t in [(".", 21), (",", 20), ("r", 0)]:
        page.keyboard.press(pressed)
        assert state(page)["t"] == t
    page.keyboard.press(" ")
    assert state(page)["playing"]
    page.wait_for_function("scene.t > 2")
    page.keyboard.press(" ")
    assert not state(page)["playing"]
    page.keyboard.press("l")
    assert not state(page)["loop"]
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    ids = (
        "landscape lessons link contour play back step reset loop t steps speed add tune same noise set-lr look numbers"
    )
    assert set(ids.split()) <= reached


@pytest.mark.slow
def test_the_address_holds_the_whole_state(visit):
    page = visit(QUIET)
    page.select_option("#landscape", "himmelblau")
    page.select_option("#add", "adam,keras")
    page.locator("#noise-number").fill("0.75")
    page.locator("#noise-number").press("Enter")
    page.locator("#runners input").nth(1).uncheck()
    box = page.locator("#contour").bounding_box()
    page.mouse.click(box["x"] + 100, box["y"] + 130)
    page.locator("#steps").fill("90")
    page.locator("#steps").press("Enter")
    page.locator("#t").fill("33")
    page.locator("#axis-y").click()
    page.locator("#loop").click()
    expected, path = state(page), path_of(page, 2)
    page.wait_for_function("location.hash === addressOf(scene)")
    again = visit(page.evaluate("location.hash"))
    assert state(again) == expected
    assert path_of(again, 2) == path
    assert again.locator("#notice").is_hidden()
    again.evaluate("location.hash = '#on=saddle&play=0&t=3'")
    again.wait_for_function("scene.landscape === 'saddle' && scene.t === 3")


FACTS = {
    "zigzag": ("quadratic", (-3.5, 2), "fifty times steeper across than along"),
    "too-fast": ("quadratic", (-3.5, 0.3), "stable up to a rate of 2/50"),
    "bend": ("rosenbrock", (-1.2, 1.0), "bent, nearly flat floor"),
    "conventions": ("quadratic", (-3.5, 2), "epsilon = 0.5"),
    "diagonal": ("noisy-valley", (-3.5, -1), "only twenty times steeper across"),
    "noise": ("noisy-valley", (-3.5, -1), "Each gradient is noisy"),
    "saddle": ("saddle", (-1.5, 0.01), "0.01 away from it"),
    "luck": ("rastrigin", (-3.3, 2.6), "There are minima everywhere"),
}
"""What each lesson's text speaks of: its landscape, where all start, and words that hold there alone."""


@pytest.mark.quick("zigzag")
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_lesson_shows_what_it_speaks_of(visit, lesson):
    """By its name alone, by its whole address, from the list; not on another landscape."""
    landscape, start, words = FACTS[lesson.name]
    page = visit(f"#lesson={lesson.name}&play=0")

    def at(fragment):
        page.evaluate("fragment => restore(fragment)", fragment)
        return state(page)

    found = state(page)
    assert (found["landscape"], found["start"], found["lesson"]) == (landscape, list(start), lesson.name)
    assert words in page.locator("#lesson").text_content() == lesson.text
    assert page.locator("#sight-title").text_content() == lesson.title
    assert page.locator("#landscape").input_value() == landscape
    assert at(f"#{lesson.address}&lesson={lesson.name}&play=0") == found
    without = at(f"#{lesson.address}&play=0")
    assert {**without, "lesson": lesson.name, "address": found["address"]} == found
    moved = at(f"#lesson={lesson.name}&start=1,1&play=0")
    free = {"start", "address", "runners"}  # rates that the lesson does not give are tuned from the start
    assert {k: v for k, v in moved.items() if k not in free} == {k: v for k, v in found.items() if k not in free}
    assert moved["start"] == [1, 1]
    other = next(name for name in FUNCTIONS if name != landscape)
    elsewhere = at(f"#lesson={lesson.name}&on={other}&play=0")
    assert (elsewhere["landscape"], elsewhere["lesson"]) == (other, "")
    assert page.locator("#lesson").text_content() == TEXTS[other]


def test_the_numbers_in_the_lessons_are_those_of_the_landscapes():
    def curvatures(name):
        f, (x, y), h = FUNCTIONS[name], FUNCTIONS[name].minima[0], 1e-4
        columns = [np.subtract(f.gradient(x + a, y + b), f.gradient(x - a, y - b)) for a, b in ((h, 0), (0, h))]
        return sorted(np.linalg.eigvalsh(np.array(columns) / (2 * h)))

    low, high = curvatures("quadratic")
    assert (low, high) == pytest.approx((1, 50))
    low, high = curvatures("noisy-valley")
    assert high / low == pytest.approx(20)
    assert min(map(abs, FUNCTIONS["saddle"].start)) == 0.01


@pytest.mark.slow
def test_every_lesson_and_landscape(visit):
    assert set(TEXTS) == set(FUNCTIONS)
    page = visit(QUIET)
    for lesson in LESSONS:
        page.select_option("#lessons", lesson.name)
        page.wait_for_function(f"scene.lesson === '{lesson.name}'")
        assert page.locator("#lesson").text_content() == lesson.text
        assert page.locator("#notice").is_hidden()
    for name in FUNCTIONS:
        page.select_option("#landscape", name)
        assert page.locator("#lesson").text_content() == TEXTS[name]
        assert page.evaluate("tracks.every(({path}) => path.diverged === null || !landscapeOf(scene).minima.length)")
    page.locator("#tune").click()
    page.locator("#same").click()
    assert len({r["given"]["lr"] for r in state(page)["runners"]}) == 1


@pytest.mark.slow
def test_the_formula_of_every_classic_rule_fits_its_panel(visit):
    page = visit(QUIET, {"width": 1440, "height": 900})
    assert page.locator("label:has(#lessons)").text_content().strip().startswith("Scene")
    wide = page.evaluate(
        """() => CLASSIC.filter(rule => {
            const runner = {rule, convention: "textbook", on: true, given: {lr: 0.0123}};
            const path = newPath({...scene}, runner);
            extend(path, 7);
            $("equations").replaceChildren(...equationRows(path.rule));
            fillEquations($("equations"), path.rule, termsOf(path, 7, 0));
            return $("equations").scrollWidth > $("equations").clientWidth;
        })"""
    )
    assert wide == []


# --- what may go wrong


@pytest.mark.slow
def test_divergence_is_said_plainly(visit):
    page = visit("#on=rosenbrock&play=0&t=100&run=sgd,textbook,on,lr:1&run=adam,textbook,on,lr:0.1")
    step = page.evaluate("tracks[0].path.diverged")
    assert 1 < step < 10
    assert page.locator("#runners small").first.text_content() == f"diverged at step {step}"
    assert f"sgd diverged at step {step}" in page.locator("#status").text_content()
    page.keyboard.press(".")
    assert state(page)["t"] == 101  # the others go on


@pytest.mark.quick("#%")
@pytest.mark.parametrize(
    "fragment",
    [
        "#%",
        "#&&&=&=1&on",
        "#on=__proto__&run=constructor,toString,on&start=NaN,1e999&steps=1e9&speed=-1&t=-3&look=99",
        "#on=quadratic&run=sgd&run=,,,,&run=adam,torch,on,lr:1e9,nonsense:2,beta1&start=1",
        "#run=sgd,__proto__,on,lr:1",
        "#<script>alert(1)</script>",
        "#lesson=sadle",
        "#" + "run=adam,torch,on,lr:0.1&" * 300,
    ],
)
def test_a_broken_address_is_answered(visit, fragment):
    page = visit(fragment + "&play=0")
    assert page.locator("#contour").is_visible()
    found = state(page)
    assert found["landscape"] in FUNCTIONS
    assert len(found["runners"]) <= 24
    if len(fragment) < 1000:
        assert page.locator("#notice").text_content().startswith("Not understood in the address")
        page.locator("#dismiss").click()
        assert page.locator("#notice").is_hidden()
    page.locator("#step").click()
    assert state(page)["t"] == found["t"] + 1


@pytest.mark.quick("1e6")
@pytest.mark.parametrize("lr", ["0", "1e6", "-0.1", "1e-300"])
def test_extreme_rates(visit, lr):
    runs = "&".join(f"run={name},{convention},on,lr:{lr}" for name, convention in EVERY[:20])
    page = visit(f"#on=beale&play=0&t=60&{runs}")
    assert page.evaluate("tracks.every(({path}) => path.x.every(Number.isFinite) && path.y.every(Number.isFinite))")
    if lr == "0":
        # textbook rules without a rate stand still
        assert page.evaluate("new Set(tracks[0].path.x).size") == 1


@pytest.mark.slow
def test_extreme_settings_by_hand(visit):
    page = visit(QUIET)
    for typed in ("", "1e9", "-2e7", "0", "5"):
        page.locator("#hyper input[type=number]").first.evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); }",
            typed,
        )
    assert state(page)["runners"][0]["given"]["lr"] == 5
    page.locator("#runners .name").nth(1).click()
    for name, value in [("beta1", "1"), ("eps", "0"), ("beta2", "2")]:
        page.locator(f"#set-{name} + input").fill(value)
    assert page.evaluate("tracks[1].path.diverged") == 1  # 1 - beta1^t is zero
    page.locator("#steps").fill("")
    page.locator("#steps").press("Enter")
    assert 10 <= state(page)["steps"] <= 2000


@pytest.mark.slow
def test_all_off_and_resized(visit):
    page = visit(QUIET, color_scheme="light")  # a kind of window that no other test has: this one changes it
    for k in range(2):
        page.locator("#runners input").nth(k).uncheck()
    page.locator("#play").click()
    page.wait_for_function("scene.t > 22")
    for width, height in [(320, 480), (1, 1), (2560, 1300), (844, 390), (1440, 900)]:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(30)
        if width >= 320:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    page.emulate_media(color_scheme="dark")
    page.locator("#play").click()
    page.locator("#runners input").first.check()
    assert page.evaluate("view.labels.length") == 1


@pytest.mark.slow
def test_a_frame_leaves_time_to_spare(visit):
    """Nine optimizers, 500 steps drawn; a bound with room for a slow machine (see benchmarks/playground.py)."""
    runs = "&".join(f"run={name},textbook,on" for name in rules.textbook.__all__)
    page = visit(f"#on=himmelblau&steps=600&speed=600&t=400&play=1&{runs}")
    page.wait_for_function("spent.length > 20")
    assert float(np.median(page.evaluate("spent"))) < 100


@pytest.mark.slow
def test_rules_of_your_own_are_on_the_page_and_walk_as_in_numpy(browser, tmp_path):
    def cubed(w, g, m, *, lr=0.01, beta=0.5):
        m = beta * m + g**3
        return w - lr * np.tanh(m), m

    write_playground(tmp_path / "own.html", [Contender("cubed", rule=cubed)])
    page = browser.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((tmp_path / "own.html").as_uri())
    assert page.locator("#notice").is_hidden()
    assert len(state(page)["runners"]) == len(rules.textbook.__all__) + 1
    assert len(path_of(page, len(rules.textbook.__all__))[0]) > 1
    assert "cubed" in page.locator("main").inner_text()
    assert [runner["rule"] for runner in state(page)["runners"] if runner["convention"] == "yours"] == ["cubed"]
    page.goto("about:blank")
    page.goto((tmp_path / "own.html").as_uri() + "#on=quadratic&play=0&t=20&run=cubed,yours,on,lr:0.02")
    walked = np.transpose(path_of(page))[:21]
    page.close()
    assert wrong == []
    landscape = FUNCTIONS["quadratic"]
    made = trajectories(landscape, cubed, [0.02], landscape.start, np.zeros((1, 20, 2)))[0, 0]
    np.testing.assert_allclose(walked, made, rtol=1e-12)


@pytest.mark.parametrize(
    ("contender", "message"),
    [
        (Contender("lars", rule=rules.layerwise.lars), "lars works on whole tensors"),
        (Contender("mine", rule=rules.textbook.sgd, schedule="cosine"), "has sliders for the rest"),
        (Contender("adam"), "takes only FILE.py:NAME"),
    ],
)
def test_what_the_playground_cannot_run_is_refused(contender, message):
    with pytest.raises(InputError, match=message):
        playground_page([contender])


def test_the_file(tmp_path):
    text = playground_page()
    assert len(text.encode()) < 500_000
    assert not any(word in text for word in ("https://", "import(", "fetch(", '<link rel="stylesheet'))
    with pytest.raises(InputError, match="cannot write"):
        write_playground(tmp_path / "missing" / "page.html")
