"""The report of a comparison, in a real browser without a network."""

import json
import math
import re
import statistics
from dataclasses import replace
from itertools import pairwise

import pytest
from optimlab.study.record import key_of
from report_folder import SMALL, summary_of
from test_any_runs import planted
from test_figures import labels

from optimlab.optimizers import OPTIMIZERS
from optimlab.report import write_report
from optimlab.report.reading import read_results
from optimlab.study import Contender, Run, compare
from optimlab.study.statistics import performance_profile

EVIL = """</script><script>window.hit=1</script><img src=x onerror="window.hit=1"> {{ 7*7 }} '&amp;"""


@pytest.fixture
def opened(browser):
    """``opened(folder)``: its report in a new offline page, which must stay silent and ask for nothing else."""
    pages, heard, asked = [], [], []

    def made(folder, width=1440, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((folder / "report.html").as_uri())
        pages.append(context)
        return page

    yield made
    for context in pages:
        context.close()
    assert heard == []
    assert len(asked) == len(pages)


def cells(page, key):
    """(label, shown value, remark, value sorted by) of a column, from top to bottom."""
    return page.evaluate(
        """key => [...document.querySelectorAll(`td[data-key=${key}]`)].map(cell => [
            cell.parentElement.cells[0].textContent.trim(), cell.querySelector('.value').textContent,
            cell.querySelector('small')?.textContent ?? '', cell.dataset.value])""",
        key,
    )


# --- what is shown


def test_every_cell_equals_the_summary(finished, opened):
    page, summary = opened(finished), summary_of(finished)
    rows = {row["label"]: row for row in summary["optimizers"]}
    assert len(rows) == 6
    units = {
        key: page.locator(f"th[data-key={key}] small").first.inner_text()
        for key in ("seconds_to_target", "microseconds_per_step")
    }
    factor = {
        "lr": 1,
        "trials": 1,
        "epochs_to_target": 1,
        "seconds_to_target": {"s": 1, "ms": 1e3}[units["seconds_to_target"]],
        "microseconds_per_step": {"ms": 1e-3, "µs": 1}[units["microseconds_per_step"]],
        "state_bytes_per_parameter": 1,
        "usable_decades": 1,
        "diverged_share": 100,
        "val_accuracy": 100,
        "test_accuracy": 100,
        "test_difference": 100,
    }
    keys = page.evaluate("[...document.querySelectorAll('thead th[data-key]')].map(th => th.dataset.key)")
    assert sorted(keys) == sorted(factor)
    for key in keys:
        shown = cells(page, key)
        assert {label for label, *_ in shown} == set(rows)
        for label, text, _, sorted_by in shown:
            value = rows[label][key]
            exact = value["mean"] if isinstance(value, dict) else value
            assert (float(sorted_by) if sorted_by else None) == exact, (label, key)
            if exact is None:
                assert text in ("–", "missed")
                continue
            numbers = re.findall(r"[-−+]?[\d.]+(?:e-?\d+)?", text)
            expected = [factor[key] * exact]
            if "±" in text:
                expected.append(factor[key] * (value["high"] - value["low"]) / 2)
            for number, right in zip(numbers, expected, strict=True):
                number = number.replace("−", "-")
                decimals = len(number.partition(".")[2]) if "e" not in number else 0
                rounding = 0.05 * abs(right) if key == "lr" else max(0.5 * 10.0**-decimals, 0.005 * abs(right))
                assert abs(float(number) - right) <= rounding + 1e-12, (label, key, text)


def test_remarks_tell_ties_hits_and_speed_as_the_summary_does(finished, opened):
    page = opened(finished)
    rows = {row["label"]: row for row in summary_of(finished)["optimizers"]}
    for label, _, remark, _ in cells(page, "test_difference"):
        row = rows[label]
        if label == row["reference"]:
            assert remark == "reference"
        else:
            assert (remark == "tied") == row["tied"]
            assert remark.endswith(" *") == (row["surely"]["test"] and not row["tied"])
            assert remark.startswith("lower") == (row["test_difference"]["high"] < 0)
            assert remark.startswith("higher") == (row["test_difference"]["low"] > 0)
    for label, _, remark, _ in cells(page, "epochs_to_target"):
        row = rows[label]
        star = " *" if row["surely"]["epochs"] and row["speed"] in ("slower", "faster") else ""
        speed = f" {row['speed']}{star}" if row["speed"] and row["hits"] else ""
        assert remark == f"({row['hits']}/{row['runs']}){speed}"
    assert page.locator("tr.beside").count() == 3


def test_the_verdict_and_the_answers_stand_first(finished, opened):
    page, summary = opened(finished), summary_of(finished)
    assert page.locator(".verdict li").all_inner_texts() == summary["verdict"]
    answers = page.locator(".facts strong").all_inner_texts()
    assert answers[0] == summary["reference"]
    tuned = [row for row in summary["optimizers"] if row["kind"] == "tuned" and row["label"] != summary["reference"]]
    counted = {word: int(n) for word, n in re.findall(r"(ahead of|tied with|behind) (\d+)", answers[2])}
    assert counted.get("tied with", 0) == sum(row["tied"] for row in tuned)
    assert counted.get("ahead of", 0) == sum(row["test_difference"]["high"] < 0 for row in tuned)
    assert sum(counted.values()) == len(tuned)
    assert page.locator(".facts").bounding_box()["y"] < 300
    assert page.locator("table").bounding_box()["y"] < 900


def test_the_summary_is_in_the_page_whole(finished, opened):
    page = opened(finished)
    assert page.evaluate("JSON.parse(document.getElementById('summary').textContent)") == summary_of(finished)


def test_the_forest_draws_the_intervals(finished, opened):
    """Each interval's ends, back from their places on the screen."""
    page = opened(finished)
    tuned = [row for row in summary_of(finished)["optimizers"] if row["kind"] == "tuned"]
    places = page.evaluate(
        """labels => labels.map(label => {
            const row = [...document.querySelectorAll('tbody tr')].find(r => r.cells[0].textContent.trim() === label);
            const d = name => row.querySelector(`.forest .${name}`).getAttribute('d');
            return [d('zero'), d('interval'), d('mean')]; })""",
        [row["label"] for row in tuned],
    )
    points = []
    for row, (zero, interval, mean) in zip(tuned, places, strict=True):
        low, high = map(float, re.fullmatch(r"M([-\d.]+) 50H([-\d.]+)", interval).groups())
        middle, nothing = (float(re.match(r"M([-\d.]+)", d)[1]) for d in (mean, zero))
        assert (low <= nothing <= high) == row["tied"]
        points += [(row["test_difference"]["low"], low), (row["test_difference"]["mean"], middle), (0.0, nothing)]
    (a, x), (b, y) = min(points), max(points)
    for value, place in points:
        assert place == pytest.approx(x + (y - x) * (value - a) / (b - a), abs=0.02)


# --- what can be done with it


def test_every_column_sorts_by_its_numbers_both_ways(finished, opened):
    page = opened(finished)
    state = """column => [
        [...document.querySelectorAll('thead th')].map(heading => heading.getAttribute('aria-sort')),
        [...document.querySelectorAll('tbody')].map(body => [...body.querySelectorAll('tr[data-row]')].map(
            row => [row.cells[0].textContent.trim(), row.cells[column].dataset.value]))]"""
    sorts, groups = page.evaluate(state, 0)
    members = [sorted(label for label, _ in group) for group in groups]
    for column, heading in enumerate(page.locator("thead th").all()):
        for way in ("descending", "ascending") if sorts[column] == "ascending" else ("ascending", "descending"):
            heading.locator("button").click()
            sorts, groups = page.evaluate(state, column)
            assert [(k, s) for k, s in enumerate(sorts) if s] == [(column, way)]
            for group, own in zip(groups, members, strict=True):
                labels = [label for label, _ in group]
                assert sorted(labels) == own  # a row stays in its group
                if column == 0:
                    assert labels == sorted(labels, reverse=way == "descending")
                    continue
                values = [float(value or "nan") for _, value in group]
                numbers = [v for v in values if not math.isnan(v)]
                assert values[: len(numbers)] == numbers  # those without come last
                assert numbers == sorted(numbers, reverse=way == "descending")


def test_sorting_is_not_by_text(changed, opened):
    """9 before 10, and a miss last both ways."""

    def edit(summary):
        for row, epochs in zip(summary["optimizers"], (None, 10.0, 9.0), strict=False):
            row["epochs_to_target"] = epochs

    folder = changed(edit)
    write_report(folder)
    page = opened(folder)
    assert [text for _, text, _, _ in cells(page, "epochs_to_target")][:3] == ["9", "10", "missed"]
    for way in (["9", "10", "missed"], ["10", "9", "missed"]):
        page.locator("thead th.name button").click(click_count=2)
        assert cells(page, "epochs_to_target")[0][1] == "missed"  # by name downwards
        page.locator("th[data-key=epochs_to_target] button").click(click_count=1 if way[0] == "9" else 2)
        assert [text for _, text, _, _ in cells(page, "epochs_to_target")][:3] == way


def test_the_switch_shows_seconds_for_epochs(finished, opened):
    page = opened(finished)
    axes = page.locator("p.axis > span:visible")
    assert set(axes.all_inner_texts()) == {"epochs"}
    drawn = page.locator(".box.labelled svg.by-epochs path.line")
    assert drawn.first.is_visible()
    before = page.locator(".box.labelled").first.inner_text()
    page.get_by_label("seconds", exact=True).check(force=True)
    assert not drawn.first.is_visible()
    assert page.locator(".box.labelled svg.by-seconds path.line").first.is_visible()
    assert set(axes.all_inner_texts()) == {"seconds of training"}
    assert page.locator(".box.labelled").first.inner_text() != before


@pytest.mark.parametrize("axis", ["epochs", "seconds"])
def test_hovering_shows_the_values_of_the_nearest_point(finished, opened, axis):
    """The pointer goes to where the axes say that a median lies; what appears there are the values of that point."""
    page, rows = opened(finished), summary_of(finished)["optimizers"]
    if axis == "seconds":
        page.get_by_label("seconds", exact=True).check(force=True)
    box = page.locator(".box.labelled").first
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    x_ticks, y_ticks = (
        [(float(text), float(at)) for text, at in page.evaluate(script, f".box.labelled .{which}")]
        for which, script in (
            (
                f"x.by-{axis}",
                "s => [...document.querySelectorAll(s)].map(t => [t.textContent, parseFloat(t.style.left)])",
            ),
            ("y", "s => [...document.querySelectorAll(s)].map(t => [t.textContent, parseFloat(t.style.bottom)])"),
        )
    )
    y_ticks = [(math.log(value), at) for value, at in y_ticks]

    def along(ticks, value):
        (a, start), (b, end) = ticks[0], ticks[-1]
        return (start + (end - start) * (value - a) / (b - a)) / 100

    assert page.locator("#tip").is_hidden()
    for row in rows[:3]:
        for epoch in (2, 3):
            losses = losses_of(finished, row, epoch)
            passed = epoch * steps_an_epoch(finished) * row["microseconds_per_step"] / 1e6
            x = place["x"] + place["width"] * along(x_ticks, epoch if axis == "epochs" else passed)
            y = place["y"] + place["height"] * (1 - along(y_ticks, math.log(statistics.median(losses))))
            page.mouse.move(x, y)
            label, at, second, middle, low, high = re.fullmatch(
                r"(\w+), epoch (\d+), ([\d.e-]+) s: ([\d.e-]+) \(([\d.e-]+) to ([\d.e-]+)\)",
                page.locator("#tip").inner_text(),
            ).groups()
            assert (label, int(at)) == (row["label"], epoch)
            expected = (passed, statistics.median(losses), min(losses), max(losses))
            assert [float(v) for v in (second, middle, low, high)] == pytest.approx(expected, rel=0.005)
            marker = page.locator(".marker").bounding_box()
            assert marker["x"] + marker["width"] / 2 == pytest.approx(x, abs=1)
            assert marker["y"] + marker["height"] / 2 == pytest.approx(y, abs=1)
    page.mouse.move(1, 1)
    assert page.locator("#tip").is_hidden()


def records_of(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def losses_of(folder, row, epoch):
    """The training loss of each of the row's confirmation runs, from the file."""
    losses = [
        r["curves"]["train_loss"][epoch - 1]
        for r in records_of(folder)
        if r["run"]["test"] and r["run"]["optimizer"] == row["optimizer"] and r["run"]["lr"] == row["lr"]
    ]
    assert len(losses) == row["runs"]
    return losses


def steps_an_epoch(folder):
    return max(r["steps"] for r in records_of(folder)) / SMALL.problem.epochs


def test_a_row_has_its_own_runs_and_no_others(tmp_path):
    """The same rule twice, at the same rate; runs of another study in the same file."""
    pair = ("adam", Contender("adam", hyperparameters={"beta1": 0.0}, label="no memory"))
    study = replace(SMALL, optimizers=pair, rates=(0.001, 0.03, 1.0), extensions=0, defaults=False)
    compare(study, tmp_path)
    path = tmp_path / "runs.jsonl"
    for record in records_of(tmp_path):
        record["run"]["problem"]["epochs"] = 9
        record["key"] = key_of(record["run"])
        record["curves"]["train_loss"] = [100.0] * 4
        path.write_text(path.read_text() + json.dumps(record) + "\n")
    results = read_results(tmp_path)
    assert results.rows[0].lr == results.rows[1].lr
    records = {r["key"]: r for r in records_of(tmp_path)[: study.planned()]}
    for row, contender in zip(results.rows, study.contenders, strict=True):
        runs = [Run(study.problem, contender, row.lr, seed, test=True) for seed in study.confirmation_seeds]
        curves = [records[run.key]["curves"]["train_loss"] for run in runs]
        expected = [statistics.median(losses) for losses in zip(*curves, strict=True)]
        assert row.curves["train_loss"].median == pytest.approx(expected)


def test_a_finger_and_the_arrow_keys_show_values_too(finished, opened):
    page = opened(finished, width=390, has_touch=True, is_mobile=True)
    box = page.locator(".panels .box").first
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    page.touchscreen.tap(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    assert "epoch" in page.locator("#tip").inner_text()
    tip = page.locator("#tip").bounding_box()
    assert tip["x"] >= 0
    assert tip["x"] + tip["width"] <= 390
    page = opened(finished)
    box = page.locator(".box.labelled").first
    box.focus()
    page.keyboard.press("ArrowLeft")
    first = page.locator("#tip").inner_text()
    assert "epoch 3" in first
    page.keyboard.press("ArrowRight")
    assert "epoch 4" in page.locator("#tip").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator("#tip").inner_text().split(",")[0] != first.split(",")[0]
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_an_optimizer_is_marked_in_every_figure(finished, opened):
    page = opened(finished)
    row = page.locator("tbody tr[data-row]").first
    name, key = row.locator("th").inner_text(), row.get_attribute("data-row")
    button = row.locator("button")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    page.mouse.move(1, 1)
    assert page.locator(".label.lit").all_inner_texts()[0].startswith(name)
    assert page.locator(".panel.lit").count() == page.locator(f".panel[data-row='{key}']").count() == 3
    assert page.locator(".lit:not([data-row])").count() == 0
    button.click()
    page.mouse.move(1, 1)
    assert page.locator(".lit").count() == 0


def test_without_javascript_the_table_and_the_figures_are_there(finished, opened):
    page = opened(finished, java_script_enabled=False)
    assert page.locator("tbody tr[data-row]").count() == 6
    assert page.locator(".box.labelled svg.by-epochs").first.is_visible()
    assert page.locator(".panel").count() == 9
    page.locator("label[for=by-seconds]").click()
    assert page.locator(".box.labelled svg.by-seconds").first.is_visible()
    assert not page.locator(".box.labelled svg.by-epochs").first.is_visible()


# --- how it is made


def test_one_file_that_asks_for_nothing(finished):
    text = (finished / "report.html").read_text()
    assert len(text.encode()) < 2_000_000
    for attribute in re.findall(r"""\b(?:src|href|srcset|action|data|poster)\s*=\s*["']([^"']*)""", text):
        assert attribute.startswith("#")
    assert not re.search(r"@import|url\(|https?://|\bfetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_desk_in_light_and_dark(finished, opened, scheme):
    page = opened(finished, color_scheme=scheme)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        if width == 1440:  # every column is in sight
            assert page.evaluate("document.querySelector('.scroll').scrollWidth") <= 1280
        page.evaluate("document.querySelector('.scroll').scrollLeft = 10000")
        name = page.locator("tbody tr[data-row] th").first.bounding_box()
        assert 0 <= name["x"] < 0.2 * width  # it stays in sight
    names = ("ink", "quiet", "accent", "warm", "paper", "raised", "mark")
    colours = page.evaluate(
        "names => names.map(n => getComputedStyle(document.documentElement).getPropertyValue(`--${n}`).trim())", names
    )
    colour = dict(zip(names, colours, strict=True))
    assert (luminance(colour["paper"]) < 0.5) == (scheme == "dark")
    for text in ("ink", "quiet", "accent", "warm"):
        dark, light = sorted((luminance(colour[text]), luminance(colour["paper"])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, text
    for text, paper in (("quiet", "raised"), ("ink", "mark")):
        dark, light = sorted((luminance(colour[text]), luminance(colour[paper])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, text


def luminance(colour):
    """Relative luminance as in WCAG 2, of ``#rgb`` or ``#rrggbb``."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_table_is_a_table_to_a_screen_reader(finished, opened):
    page = opened(finished)
    assert page.locator("thead th:not([scope=col])").count() == 0
    assert page.locator("tbody tr[data-row] th[scope=row]").count() == 6
    assert page.locator("html[lang=en]").count() == 1
    assert page.locator("h1").count() == 1
    levels = [int(tag[1]) for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    for box in page.locator("[data-points]").all():
        assert box.get_attribute("aria-label")


def test_it_prints(finished, opened):
    page = opened(finished, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".switch").is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


# --- other comparisons


def test_names_are_text_and_nothing_else(changed, opened):
    def edit(summary):
        old = summary["optimizers"][1]["label"]
        text = json.dumps(summary).replace(json.dumps(old), json.dumps(EVIL))
        text = text.replace(json.dumps(f"{old}, default"), json.dumps(f"{EVIL}, default"))
        summary.update(json.loads(text))
        for raw, row in zip(summary["study"]["optimizers"], summary["optimizers"], strict=False):
            raw["optimizer"] = row["optimizer"] = "adam" if row["label"] == EVIL else raw["optimizer"]
        for row in summary["optimizers"]:
            row["optimizer"] = "adam" if EVIL in row["label"] else row["optimizer"]
        summary["verdict"].append(EVIL)
        summary["data"] = summary["host"]["processor"] = EVIL
        summary["optimizers"][1]["errors"] = [EVIL]

    folder = changed(edit)
    runs = (folder / "runs.jsonl").read_text().replace('"dense1.W"', json.dumps(EVIL))
    (folder / "runs.jsonl").write_text(runs)
    write_report(folder)
    page = opened(folder)
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0
    assert page.locator("tbody th", has_text="onerror").first.inner_text() == EVIL
    assert page.locator(".verdict li").last.text_content() == EVIL
    assert page.locator(".layer").first.text_content() == EVIL
    assert page.evaluate("JSON.parse(document.getElementById('summary').textContent).data") == EVIL
    assert page.locator(".panels").count() == 3


def test_an_optimizer_that_only_diverges_alone(tmp_path, opened):
    study = replace(
        SMALL, optimizers=("sgd",), rates=(1e28, 1e29, 1e30), extensions=0, defaults=False, tuning_seeds=(0,)
    )
    with pytest.warns(UserWarning, match="no run finished at any learning rate"):
        compare(study, tmp_path)
    write_report(tmp_path)
    page = opened(tmp_path)
    assert cells(page, "diverged_share")[0][1] == "100"
    assert cells(page, "epochs_to_target")[0][1:3] == ["missed", "(0/3)"]
    assert page.locator(".facts strong").all_inner_texts() == ["none"]
    assert page.locator("path.diverged").first.get_attribute("d").count("M") == 3
    assert "sgd (100%)" in page.inner_text("#sensitivity + figure")


def test_nineteen_optimizers(tmp_path, opened):
    """Every name there is and Adam in other conventions; some miss the target, some labels are long."""
    names = [*OPTIMIZERS, "adam:torch", "adam:keras", "sgd:torch"]
    contenders = [*names[:18], Contender("adam", "torch", {"beta2": 0.9999}, label="adam (torch), with a long memory")]
    assert len(contenders) == 19
    study = replace(
        SMALL,
        problem=replace(SMALL.problem, epochs=2, target=0.9),
        optimizers=tuple(contenders),
        rates=(0.003, 0.03, 0.3),
        tuning_seeds=(0,),
        confirmation_seeds=(100, 101),
        extensions=0,
        defaults=False,
    )
    with pytest.warns(UserWarning, match="edge of the grid"):
        compare(study, tmp_path)
    write_report(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    for width in (390, 1440):
        page = opened(tmp_path, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert "missed" in {text for _, text, _, _ in cells(page, "epochs_to_target")}
        tops = page.evaluate(
            "[...document.querySelectorAll('.box.labelled .label')].map(l => l.getBoundingClientRect().top)"
        )
        assert len(tops) == 19
        assert min(b - a for a, b in pairwise(sorted(tops))) >= 12  # none over another
        looks = page.evaluate(
            """[...document.querySelectorAll('.leaders path')].map(
                p => getComputedStyle(p).stroke + p.getAttribute('stroke-dasharray'))"""
        )
        assert len(set(looks)) == 19


@pytest.mark.parametrize(("width", "media"), [(1440, "screen"), (800, "screen"), (390, "screen"), (1040, "print")])
def test_thirty_optimizers_with_long_names(wide_folder, opened, width, media):
    """Nothing is wider than the page, and no number beside a name is cut off."""
    page = opened(wide_folder, width=width)
    page.emulate_media(media=media)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut = """[...document.querySelectorAll('.label span, .panel small, td .value')].filter(e => {
        const own = e.getBoundingClientRect(), box = e.closest('.label, .panel, td').getBoundingClientRect();
        return own.width && (own.right > box.right + 1 || own.left < box.left - 1); }).map(e => e.textContent)"""
    assert page.evaluate(cut) == []
    sentences = page.locator(".verdict li, .facts dd, figcaption p").all_inner_texts()
    assert max(len(word) for sentence in sentences for word in sentence.split()) <= 100


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    contenders = tuple(Contender("adam", label=label) for label in labels(30))
    study = replace(SMALL, optimizers=contenders, rates=(1e-300, 1e-5, 0.0123456), defaults=False, extensions=0)
    with planted(lambda run: "ok", lambda run: 0.8 + 0.001 * (len(run.contender.label) % 100)):
        compare(study, folder)
    write_report(folder)
    return folder


def test_a_long_run_is_thinned_and_stays_small(changed, opened):
    """2,000 epochs, of which at most 101 are drawn."""
    folder = changed(lambda s: s["study"]["problem"].update(epochs=2000))
    lines = []
    for line in (folder / "runs.jsonl").read_text().splitlines():
        record = json.loads(line)
        record["run"]["problem"]["epochs"] = 2000
        record["key"] = key_of(record["run"])
        for name, curve in record["curves"].items():
            if isinstance(curve, list):
                record["curves"][name] = (curve * 2000)[:2000]
        lines.append(json.dumps(record))
    (folder / "runs.jsonl").write_text("\n".join(lines) + "\n")
    write_report(folder)
    assert (folder / "report.html").stat().st_size < 2_000_000
    page = opened(folder)
    box = page.locator(".box.labelled").first
    box.focus()
    page.keyboard.press("ArrowRight")
    assert "epoch 2000," in page.locator("#tip").inner_text()


def test_a_performance_profile_is_drawn_where_there_is_one(changed, opened):
    curves = performance_profile({"sgd": [1.0, 4.0, 2.0], "adam": [2.0, 2.0, math.inf], "adagrad": [3.0, 2.0, 2.0]})
    profile = {"problems": ["a", "b", "c"], "cost": "median epochs to the target", "curves": curves}
    folder = changed(lambda s: s.update(profile=profile))
    write_report(folder)
    page = opened(folder)
    section = page.locator("section[aria-labelledby=profile]")
    assert "3 problems (a, b, c)" in section.inner_text()
    titles = [" ".join(title.split()) for title in section.locator(".panel h3").all_inner_texts()]
    assert titles == ["sgd best on 67%", "adam best on 33%", "adagrad best on 67%"]
    section.locator(".box").nth(1).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "adam, within a factor 2 of the best: 67%" in " ".join(page.locator("#tip").inner_text().split())


def test_the_full_protocol_shows_the_search(tmp_path, opened):
    study = replace(
        SMALL, optimizers=("sgd", "adam"), search=3, rates=(0.003, 0.03, 0.3, 3.0), confirmation_seeds=(100, 101)
    )
    compare(study, tmp_path)
    write_report(tmp_path)
    page = opened(tmp_path)
    assert page.locator("tbody").count() == 3
    assert "best of the random settings" in page.locator("tr.group").last.inner_text()
    assert page.locator("section[aria-labelledby=budget] .label").count() == 2
    assert page.locator("svg.by-epochs path.searched").count() == 2
    assert "Not searched" not in page.inner_text("body")


def test_what_a_search_left_out_is_told(changed, opened):
    folder = changed(lambda s: s["optimizers"][-1].update(not_searched=["warmth", "<b>"]))
    write_report(folder)
    label = json.loads((folder / "summary.json").read_text())["optimizers"][-1]["label"].removesuffix(", default")
    assert f"Not searched: warmth and <b> of {label}." in opened(folder).inner_text("section[aria-labelledby=table]")
