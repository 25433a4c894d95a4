"""The report of a comparison, in a real browser without a network: what it shows equals summary.json."""

import json
import math
import re
import statistics
from dataclasses import replace
from itertools import pairwise

import pytest
from report_folder import CROWD, SMALL, compared, records_of, summary_of, trained

from optimlab.report import write_report
from optimlab.report.page import render
from optimlab.study import Comparison, read_comparison
from optimlab.study.digests import key_of

EVIL = """</script><script>window.hit=1</script><img src=x onerror="window.hit=1"> {{ 7*7 }} '&amp;"""


@pytest.fixture(scope="module")
def opened(browser):
    """``opened(folder)``: its report in an offline page, which must stay silent and ask for nothing else."""
    contexts, heard, asked = {}, [], []

    def made(folder, width=1440, **options):
        kind = tuple(sorted(options.items()))
        if kind not in contexts:
            contexts[kind] = browser.new_context(offline=True, **options)
            contexts[kind].on("console", lambda message: heard.append(message.text))
            contexts[kind].on("weberror", lambda error: heard.append(str(error.error)))
            contexts[kind].on("request", lambda request: asked.append(request.url))
        page = contexts[kind].new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.goto((folder / "report.html").as_uri())
        return page

    yield made
    for context in contexts.values():
        context.close()
    assert heard == []
    assert {url for url in asked if not url.endswith("/report.html")} == set()


@pytest.fixture(scope="module")
def page(finished, opened):
    """The report of ``finished``; a test that changes it uses ``fresh``."""
    return opened(finished)


@pytest.fixture
def fresh(page):
    """The same page as just loaded."""
    page.reload()
    yield page
    page.mouse.move(1, 1)


@pytest.fixture(scope="module", params=["finished", pytest.param("crowd", marks=pytest.mark.slow)])
def shown(request, opened):
    """A report with its summary: a small one, and one of 30 optimizers with diverged, failed and missing runs."""
    folder = request.getfixturevalue(request.param)
    return opened(folder), summary_of(folder)


CELLS = """key => [...document.querySelectorAll(`.sortable tr[data-row] td[data-key=${key}]`)].map(cell => [
    cell.parentElement.cells[0].textContent.trim(), cell.querySelector('.value').textContent,
    cell.querySelector('small')?.textContent ?? '', cell.dataset.value])"""


def cells(page, key):
    """(label, shown value, remark, value sorted by) of a column, from top to bottom."""
    return page.evaluate(CELLS, key)


def numbers(text):
    """The numbers in a text, each with half a unit of its last decimal."""
    found = re.findall(r"(?<![\w.])[-−+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?", text)
    clean = [number.replace("−", "-").replace(",", "") for number in found]
    return [(float(n), 0.5 * 10.0 ** -len(n.partition(".")[2])) if "e" not in n else (float(n), 0.0) for n in clean]


def assert_numbers(text, expected, relative=0.0):
    """The numbers in the text are these, as far as their decimals go."""
    found = numbers(text)
    assert len(found) == len(expected), (text, expected)
    for (number, half), right in zip(found, expected, strict=True):
        assert abs(number - right) <= max(half, relative * abs(right)) + 1e-9, (text, expected)


def names(text, label):
    """Return True if a text is a label, which has lost its middle if it is long."""
    start, _, end = text.partition("…") if len(label) > 100 else (label, "", "")
    return text == label or (bool(end) and label.startswith(start) and label.endswith(end))


# --- every number is that of the summary


def test_every_cell_of_the_table(shown):
    page, summary = shown
    rows = {row["label"]: row for row in summary["rows"]}
    units = {
        key: page.locator(f"th[data-key={key}] small").first.inner_text()
        for key in ("seconds_to_target", "microseconds_per_step")
    }
    seconds = {"s": 1, "ms": 1e3}[units["seconds_to_target"]]
    steps = {"ms": 1e-3, "µs": 1}[units["microseconds_per_step"]]
    keys = page.evaluate("[...document.querySelectorAll('.sortable thead th[data-key]')].map(th => th.dataset.key)")
    found = {key: cells(page, key) for key in keys}
    assert all({label for label, *_ in column} == set(rows) for column in found.values())

    def check(key, values, relative=0.0):
        """``values(row)``: what the cell shows, and what it is sorted by."""
        for label, text, _, by in found.pop(key):
            expected, exact = values(rows[label])
            assert (float(by) if by else None) == exact, (key, label)
            assert_numbers(text, expected, relative)

    def accuracy(row):
        mean, low, high = row["test_score"]
        return ([100 * mean, 50 * (high - low)], mean) if row["finished"] else ([], None)

    def epochs(row):
        mean, low, high = row["epochs"]
        return ([mean, low, high], mean) if row["hits"] else ([], None)

    def step(row):
        took = row["microseconds_per_step"]
        return ([steps * took[0]], took[0]) if took else ([], None)

    def optional(name, factor=1.0):
        return lambda row: ([], None) if row[name] is None else ([factor * row[name]], row[name])

    check("lr", lambda row: ([row["lr"][0]], row["lr"][0]), 0.05)
    check("trials", lambda row: (sorted({*row["trials"]}), row["trials"][1]))
    check("test_score", accuracy)
    check("epochs", epochs)
    check("seconds_to_target", optional("seconds_to_target", seconds), 0.005)
    check("microseconds_per_step", step, 0.005)
    check("state_bytes_per_weight", optional("state_bytes_per_weight"), 0.005)
    check("usable_decades", optional("usable_decades"))
    check("diverged_share", optional("diverged_share", 100))
    differences = found.pop("difference")
    assert found == {}
    leader, pairs = summary["verdict"]["leader"], pairs_of(summary)
    for label, text, remark, by in differences:
        row = rows[label]
        whom = leader if row["kind"] == "tuned" else row["contender"]
        if label == leader:
            assert (text, remark, by) == ("0", "leader", "0.0")
            continue
        pair = pairs.get(("test_score", label, whom))
        if pair is None:
            assert (text, by, bool(row["failed"]) or rows[whom]["failed"] > 0) == ("–", "", True)
            continue
        assert float(by) == pair["difference"][0]
        assert_numbers(text, [100 * pair["difference"][0]])
        told = pair["adjusted"] <= 0.05
        word = ("lower" if pair["difference"][0] < 0 else "higher") if told else "not told apart"
        assert remark == (word if row["finished"] else "diverged")


def pairs_of(summary):
    """Every pair in both directions: the difference of the first minus the second, and how often the first is ahead."""
    found = {}
    for pair in summary["pairs"]:
        mean, low, high = pair["difference"]
        ahead, least, most = pair["ahead"]
        turned = {**pair, "difference": [-mean, -high, -low], "ahead": [1 - ahead, 1 - most, 1 - least]}
        found[pair["measure"], pair["first"], pair["second"]] = pair
        found[pair["measure"], pair["second"], pair["first"]] = turned
    return found


def test_remarks_tell_ranges_hits_and_failures(shown):
    page, summary = shown
    rows = {row["label"]: row for row in summary["rows"]}
    pairs, said = pairs_of(summary), summary["verdict"]
    for label, text, remark, _ in cells(page, "epochs"):
        row = rows[label]
        hits, n = row["hits"], summary["replicates"]
        pair = pairs.get(("epochs", label, said["fastest"]))
        slower = ", slower" if hits and pair and pair["adjusted"] <= 0.05 else ""
        assert remark == f"{hits} of {n}{slower}{', fastest' if label == said['fastest'] else ''}"
        assert text.startswith("≥") == (0 < hits < n)
        assert (text == "missed") == (hits == 0)
    for label, _, remark, _ in cells(page, "lr"):
        _, low, high = rows[label]["lr"]
        edges = sum(one["at_edge"] for one in rows[label]["replicates"])
        assert_numbers(remark, ([] if low == high else [low, high]) + [edges] * (edges > 0), 0.05)
    for label, text, _, _ in cells(page, "usable_decades"):
        assert text.startswith("≥") == rows[label]["usable_at_least"]
    for label, _, remark, _ in cells(page, "diverged_share"):
        failed = rows[label]["failed"]
        assert remark == (f"{failed} failed" if failed else "")
    for label, _, remark, _ in cells(page, "test_score"):
        lost = sum(one["status"] != "ok" for one in rows[label]["replicates"])
        whole = rows[label]["finished"]
        assert remark == (f"{lost} of {summary['replicates']} not finished" if lost and whole else "")


def test_every_sentence_has_its_evidence_one_click_away(shown):
    page, summary = shown
    told = page.evaluate(
        """() => [...document.querySelectorAll('.verdict > li')].map(li => ({
            text: li.querySelector('p').textContent, link: li.querySelector('a')?.getAttribute('href') ?? '',
            lines: [...li.querySelectorAll('tbody tr')].map(tr => [...tr.cells].map(c => c.textContent.trim()))}))"""
    )
    sentences, pairs, said = summary["verdict"]["sentences"], pairs_of(summary), summary["verdict"]
    assert len(told) == len(sentences)
    claimed = 0
    for found, sentence in zip(told, sentences, strict=True):
        if max(map(len, sentence["text"].split())) <= 100:  # longer names are shortened there
            assert found["text"] == sentence["text"]
        if sentence["claims"]:
            expected = [(c["measure"], c["worse"], c["better"]) for c in sentence["claims"]]
            claimed += len(expected)
        else:
            first = {"test_score": said["leader"], "epochs": said["fastest"]}.get(sentence["about"])
            expected = [
                (sentence["about"], row["label"], first)
                for row in summary["rows"]
                if (sentence["about"], row["label"], first) in pairs and row["kind"] == "tuned"
            ]
        assert [line[0] for line in found["lines"]] == [f"{one} against {other}" for _, one, other in expected]
        for (_, difference, p, adjusted, ahead, probability, *_), key in zip(found["lines"], expected, strict=True):
            pair, factor = pairs[key], 100 if key[0] == "test_score" else 1
            assert_numbers(difference, [factor * part for part in pair["difference"]])
            assert ("misses" in difference) == pair["misses"]
            for text, right in ((p, pair["p"]), (adjusted, pair["adjusted"])):
                if text == "<0.0001":
                    assert right < 0.0001
                else:
                    assert_numbers(text, [right], 0.05)
            share, low, high = pair["ahead"]
            assert_numbers(ahead, [summary["replicates"] * (1 - share), summary["replicates"]])
            assert_numbers(probability, [1 - share, 1 - high, 1 - low])
        if not found["lines"]:
            assert page.locator(found["link"]).count() == 1
    assert claimed > 0
    closed = page.locator("details.evidence").first
    assert not closed.locator("table").is_visible()
    closed.locator("summary").click()
    assert closed.locator("table").is_visible()
    closed.locator("summary").click()


def test_the_answers_stand_first(shown):
    page, summary = shown
    said, rows = summary["verdict"], {row["label"]: row for row in summary["rows"]}
    answers = page.locator(".facts strong").all_inner_texts()
    reasons = page.locator(".facts dd").all_inner_texts()
    leader, fastest = rows[said["leader"]], rows[said["fastest"]]
    assert names(answers[0], said["leader"])
    score = re.search(r"[\d.]+(?= ± )", reasons[0])[0]
    assert float(score) == pytest.approx(100 * leader["test_score"][0], abs=0.051)
    others = [r for r in rows.values() if r["kind"] == "tuned" and not r["failed"] and r is not leader]
    told = len(others) - len(said["level_with"])
    assert answers[2] == f"{told} of {len(others)} others"
    second = max(others, key=lambda row: row["test_score"][0])
    pair = pairs_of(summary)["test_score", leader["label"], second["label"]]
    assert_numbers(answers[1], [100 * pair["difference"][0]])
    assert f"P = {pair['ahead'][0]:.2f} [{pair['ahead'][1]:.2f}, {pair['ahead'][2]:.2f}]" in reasons[2]
    assert f"for {said['family']} tests" in reasons[2]
    assert names(answers[3], fastest["label"])
    assert f"{fastest['epochs'][0]:.1f}" in reasons[3]
    assert page.locator(".facts").bounding_box()["y"] < 300


def test_the_matrix_shows_every_pair(shown):
    page, summary = shown
    found = page.evaluate(
        """() => [...document.querySelectorAll('.matrix tbody tr')].map(tr => [...tr.cells].map(
            c => [c.title, c.className, c.textContent.trim()]))"""
    )
    names, pairs = [row[0][0] for row in found], pairs_of(summary)
    tuned = {row["label"]: row["test_score"][0] for row in summary["rows"] if row["kind"] == "tuned"}
    assert sorted(names) == sorted(tuned)
    assert [tuned[name] for name in names] == sorted(tuned.values(), reverse=True)
    seen = 0
    for i, (one, row) in enumerate(zip(names, found, strict=True)):
        for j, (other, (title, kind, text)) in enumerate(zip(names, row[1:], strict=True)):
            measure = "epochs" if i < j else "test_score"
            pair = pairs.get((measure, one, other))
            if pair is None:
                assert (kind, text) == (("self", "") if i == j else ("none", "–"))
                continue
            seen += 1
            better = (pair["difference"][0] > 0) == (measure == "test_score")
            assert kind == ("level" if pair["adjusted"] > 0.05 else "better" if better else "worse")
            assert text[0] == {"level": "·", "better": "▲", "worse": "▼"}[kind]  # without colour
            factor = 1 if measure == "epochs" else 100
            assert_numbers(text, [factor * pair["difference"][0]])
            assert title.startswith(f"{one} against {other}: ")
    assert seen == sum({p["first"], p["second"]} <= set(names) for p in summary["pairs"])
    apart = {
        m: sum(
            p["adjusted"] <= 0.05
            for p in summary["pairs"]
            if p["measure"] == m and p["second"] in names and p["first"] in names
        )
        for m in ("test_score", "epochs")
    }
    sentence = page.inner_text("section[aria-labelledby=pairs] figcaption p")
    assert [int(n) for n in re.findall(r"\d+", sentence)][1:] == [n for n in apart.values() if n]


def test_the_summary_is_in_the_page_but_for_the_single_replicates(shown):
    page, summary = shown
    for row in summary["rows"]:
        del row["replicates"]
    assert page.evaluate("JSON.parse(document.getElementById('summary').textContent)") == summary


def test_the_forest_draws_the_intervals(page, finished):
    """Each interval's ends, back from their places on the screen."""
    summary = summary_of(finished)
    leader, pairs = summary["verdict"]["leader"], pairs_of(summary)
    tuned = [row["label"] for row in summary["rows"] if row["kind"] == "tuned" and row["label"] != leader]
    places = page.evaluate(
        """labels => labels.map(label => {
            const rows = [...document.querySelectorAll('.sortable tbody tr')];
            const row = rows.find(r => r.cells[0].textContent.trim() === label);
            const d = name => row.querySelector(`.forest .${name}`).getAttribute('d');
            return [d('zero'), d('interval'), d('mean')]; })""",
        tuned,
    )
    points = []
    for label, (zero, interval, mean) in zip(tuned, places, strict=True):
        low, high = map(float, re.fullmatch(r"M([-\d.]+) 50H([-\d.]+)", interval).groups())
        middle, nothing = (float(re.match(r"M([-\d.]+)", d)[1]) for d in (mean, zero))
        difference = pairs["test_score", label, leader]["difference"]
        points += [*zip(difference, (middle, low, high), strict=True), (0.0, nothing)]
    (a, x), (b, y) = min(points), max(points)
    assert a < b
    for value, place in points:
        assert place == pytest.approx(x + (y - x) * (value - a) / (b - a), abs=0.02)


def power(text):
    """The decimal logarithm of a tick, such as ``0.1`` or ``10⁻¹``."""
    raised = text.removeprefix("10").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(raised) if not text.isascii() else math.log10(float(text))


def test_every_run_of_the_grids_is_a_dot(page, finished):
    """Dots back from their places on the screen to rates and accuracies."""
    rows = [row for row in summary_of(finished)["rows"] if row["kind"] == "tuned"]
    found = page.evaluate(
        """() => [...document.querySelectorAll('#sensitivity + figure .panel')].map(panel => {
            const d = name => panel.querySelector(`path.${name}`)?.getAttribute('d') ?? '';
            const ticks = [...panel.querySelectorAll('.x')].map(t => [t.textContent, parseFloat(t.style.left)]);
            return [d('dots'), d('chosen'), d('diverged'), ticks]; })"""
    )
    for row, (dots, chosen, diverged, ticks) in zip(rows, found, strict=True):
        (a, start), (b, end) = ((power(text), at) for text, at in (ticks[0], ticks[-1]))

        def place(lr, accuracy, a=a, b=b, start=start, end=end):
            return start + (end - start) * (math.log10(lr) - a) / (b - a), 100 - 100 * accuracy / 1.04

        trials = [trial for one in row["replicates"] for trial in one["grid"]]
        whole = [place(t["lr"], t["val_score"]) for t in trials if t["val_score"] is not None]
        best = [place(one["lr"], one["val_score"]) for one in row["replicates"]]
        for path, expected in ((dots, whole), (chosen, best)):
            at = [tuple(map(float, pair)) for pair in re.findall(r"M([-\d.]+) ([-\d.]+)h", path)]
            assert len(at) == len(expected)
            for one, other in zip(at, expected, strict=True):
                assert one == pytest.approx(other, abs=0.11)
        assert diverged.count("M") == len(trials) - len(whole)


def test_what_a_rate_beside_the_best_costs(page, finished):
    """At the best rate itself nothing; the sentence agrees with the points of the figure."""
    panels = page.evaluate(
        """() => { const {panels} = JSON.parse(document.getElementById('points').textContent);
            const boxes = [...document.querySelectorAll('#sensitivity ~ figure:nth-of-type(2) .box')];
            return boxes.map(box => [box.closest('.panel').querySelector('h3').textContent.trim(),
                panels[box.dataset.points][0].text]); }"""
    )
    assert len(panels) == 3
    cost = {}
    for name, texts in panels:
        points = [[number for number, _ in numbers(text)] for text in texts]
        assert dict(points)[1.0] == 0.0
        near = [lost for factor, lost in points if 1 / 3.3 < factor < 3.3]
        cost[name] = max(near)
    sentence = page.inner_text("#sensitivity ~ figure:nth-of-type(2) figcaption p")
    low, high = re.search(r"least with (\w+), .* most with (\w+),", sentence).groups()
    assert (low, high) == (min(cost, key=cost.get), max(cost, key=cost.get))


# --- what can be done with it


def test_every_column_sorts_by_its_numbers_both_ways(fresh):
    """Nothing is sorted by its text; what has no number comes last both ways; a row stays in its group."""
    states = fresh.evaluate(
        """() => {
            const table = document.querySelector('.sortable'), headings = [...table.tHead.rows[0].cells];
            const state = column => [headings.map(h => h.getAttribute('aria-sort')),
                [...table.tBodies].map(body => [...body.querySelectorAll('tr[data-row]')].map(
                    row => [row.cells[0].textContent.trim(), row.cells[column].dataset.value]))];
            const made = [state(0)];
            headings.forEach((heading, column) => { for (const _ of [1, 2]) {
                heading.querySelector('button').click(); made.push([column, ...state(column)]); } });
            return made; }"""
    )
    (first, groups), *states = states
    members = [sorted(label for label, _ in group) for group in groups]
    assert len(states) == 2 * len(first)
    for column, sorts, groups in states:
        [(at, way)] = [(k, s) for k, s in enumerate(sorts) if s]
        assert at == column
        for group, own in zip(groups, members, strict=True):
            labels = [label for label, _ in group]
            assert sorted(labels) == own
            if column == 0:
                assert labels == sorted(labels, reverse=way == "descending")
                continue
            values = [float(value or "nan") for _, value in group]
            numbers = [v for v in values if not math.isnan(v)]
            assert values[: len(numbers)] == numbers
            assert numbers == sorted(numbers, reverse=way == "descending")
    assert {way for _, sorts, _ in states for way in sorts if way} == {"ascending", "descending"}


def test_the_switch_shows_seconds_for_epochs(fresh):
    axes = fresh.locator("p.axis > span:visible")
    assert set(axes.all_inner_texts()) == {"epochs"}
    drawn = fresh.locator(".box.labelled svg.by-epochs path.line")
    assert drawn.first.is_visible()
    before = fresh.locator(".box.labelled").first.inner_text()
    fresh.get_by_label("seconds", exact=True).check(force=True)
    assert not drawn.first.is_visible()
    assert fresh.locator(".box.labelled svg.by-seconds path.line").first.is_visible()
    assert set(axes.all_inner_texts()) == {"seconds of training"}
    assert fresh.locator(".box.labelled").first.inner_text() != before


@pytest.mark.quick("epochs")
@pytest.mark.parametrize("axis", ["epochs", "seconds"])
def test_hovering_shows_the_values_of_the_nearest_point(finished, fresh, axis):
    """The pointer goes to where the axes say that a median lies; what appears there are the values of that point."""
    rows, records = summary_of(finished)["rows"], {r["key"]: r for r in records_of(finished)}
    if axis == "seconds":
        fresh.get_by_label("seconds", exact=True).check(force=True)
    box = fresh.locator(".box.labelled").first
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    x_ticks, y_ticks = fresh.evaluate(
        """axis => { const box = document.querySelector('.box.labelled');
            const read = (which, side) => [...box.querySelectorAll(which)].map(
                t => [parseFloat(t.textContent), parseFloat(t.style[side])]);
            return [read(`.x.by-${axis}`, 'left'), read('.y', 'bottom')]; }""",
        axis,
    )
    y_ticks = [(math.log(value), at) for value, at in y_ticks]

    def along(ticks, value):
        (a, start), (b, end) = ticks[0], ticks[-1]
        return (start + (end - start) * (value - a) / (b - a)) / 100

    for row in rows[:3]:
        chosen = [records[one["key"]] for one in row["replicates"]]
        for epoch in (2, 3):
            losses = [record["curves"]["train_loss"][epoch - 1] for record in chosen]
            passed = epoch * 17 * row["microseconds_per_step"][0] / 1e6
            x = place["x"] + place["width"] * along(x_ticks, epoch if axis == "epochs" else passed)
            y = place["y"] + place["height"] * (1 - along(y_ticks, math.log(statistics.median(losses))))
            fresh.mouse.move(x, y)
            label, at, second, middle, low, high = re.fullmatch(
                r"(\w+), epoch (\d+), ([\d.e-]+) s: ([\d.e-]+) \(([\d.e-]+) to ([\d.e-]+)\)",
                fresh.locator("#tip").inner_text(),
            ).groups()
            assert (label, int(at)) == (row["label"], epoch)
            expected = (passed, statistics.median(losses), min(losses), max(losses))
            assert [float(v) for v in (second, middle, low, high)] == pytest.approx(expected, rel=0.005)
            marker = fresh.locator(".marker").bounding_box()
            assert marker["x"] + marker["width"] / 2 == pytest.approx(x, abs=1)
            assert marker["y"] + marker["height"] / 2 == pytest.approx(y, abs=1)
    fresh.mouse.move(1, 1)
    assert fresh.locator("#tip").is_hidden()


@pytest.mark.slow
def test_a_finger_and_the_arrow_keys_show_values_too(finished, opened, fresh):
    phone = opened(finished, width=390, has_touch=True, is_mobile=True)
    box = phone.locator(".panels .box").first
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    phone.touchscreen.tap(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    assert "epoch" in phone.locator("#tip").inner_text()
    tip = phone.locator("#tip").bounding_box()
    assert tip["x"] >= 0
    assert tip["x"] + tip["width"] <= 390
    fresh.locator(".box.labelled").first.focus()
    fresh.keyboard.press("ArrowLeft")
    first = fresh.locator("#tip").inner_text()
    assert "epoch 3" in first
    fresh.keyboard.press("ArrowRight")
    assert "epoch 4" in fresh.locator("#tip").inner_text()
    fresh.keyboard.press("ArrowDown")
    assert fresh.locator("#tip").inner_text().split(",")[0] != first.split(",")[0]
    fresh.keyboard.press("Escape")
    assert fresh.locator("#tip").is_hidden()


def test_an_optimizer_is_marked_in_every_figure(fresh):
    row = fresh.locator(".sortable tbody tr[data-row]").first
    name, key = row.locator("th").inner_text(), row.get_attribute("data-row")
    button = row.locator("button")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    fresh.mouse.move(1, 1)
    assert fresh.locator(".label.lit").all_inner_texts()[0].startswith(name)
    assert fresh.locator(".panel.lit").count() == fresh.locator(f".panel[data-row='{key}']").count() == 4
    assert fresh.locator(".lit:not([data-row])").count() == 0
    button.click()
    fresh.mouse.move(1, 1)
    assert fresh.locator(".lit").count() == 0


@pytest.mark.slow
def test_without_javascript_everything_is_there(finished, opened):
    page = opened(finished, java_script_enabled=False)
    assert page.locator(".sortable tbody tr[data-row]").count() == 6
    assert page.locator(".box.labelled svg.by-epochs").first.is_visible()
    assert page.locator(".panel").count() == 12
    page.locator("label[for=by-seconds]").click()
    assert page.locator(".box.labelled svg.by-seconds").first.is_visible()
    assert not page.locator(".box.labelled svg.by-epochs").first.is_visible()
    page.locator("details.evidence summary").first.click()
    assert page.locator("details.evidence table").first.is_visible()


# --- how it is made


@pytest.mark.quick("finished")
@pytest.mark.parametrize("name", ["finished", "crowd"])
def test_one_file_that_asks_for_nothing(name, request):
    text = (request.getfixturevalue(name) / "report.html").read_text()
    assert len(text.encode()) < 2_000_000
    for attribute in re.findall(r"""\b(?:src|href|srcset|action|data|poster)\s*=\s*["']([^"']*)""", text):
        assert attribute.startswith("#")
    assert not re.search(r"@import|url\(|https?://|\bfetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text
    assert not re.search(r"(?i)bonferroni|\btied\b|fresh seed|tuning seed|confirmation", text)  # another protocol's


@pytest.mark.quick("dark")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_desk_in_light_and_dark(finished, opened, scheme):
    page = opened(finished, color_scheme=scheme)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        scroll = "document.querySelector('.sortable').parentElement"
        if width == 1440:  # every column is in sight
            assert page.evaluate(f"{scroll}.scrollWidth") <= 1280
        page.evaluate(f"{scroll}.scrollLeft = 10000")
        name = page.locator(".sortable tbody tr[data-row] th").first.bounding_box()
        assert 0 <= name["x"] < 0.2 * width  # it stays in sight
    names = ("ink", "quiet", "accent", "warm", "paper", "raised", "mark")
    colour = {name: page.evaluate(COLOUR, name) for name in names}
    assert (luminance(colour["paper"]) < 0.5) == (scheme == "dark")
    texts = [(text, "paper") for text in ("ink", "quiet", "accent", "warm")]
    for text, paper in [*texts, ("quiet", "raised"), ("ink", "raised"), ("ink", "mark")]:
        dark, light = sorted((luminance(colour[text]), luminance(colour[paper])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, text


COLOUR = """name => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(--${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
}"""


def luminance(colour):
    """Return the relative luminance as in WCAG 2, of ``rgb(r, g, b)``."""
    parts = [int(digits) / 255 for digits in re.findall(r"\d+", colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_its_tables_are_tables_to_a_screen_reader(page):
    assert page.locator("thead th:not([scope=col])").count() == 0
    assert page.locator("tbody th:not([scope=row]):not([scope=rowgroup])").count() == 0
    assert page.locator(".sortable tbody tr[data-row] th[scope=row]").count() == 6
    assert page.locator("html[lang=en]").count() == 1
    assert page.locator("h1").count() == 1
    levels = [int(tag[1]) for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert (
        page.locator("[data-points]").count() == page.locator("[data-points][aria-label]:not([aria-label=''])").count()
    )


@pytest.mark.slow
def test_it_prints(finished, opened):
    page = opened(finished, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".switch").is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


# --- other comparisons


def test_names_are_text_and_nothing_else(changed, opened):
    def edit(summary):
        old = summary["rows"][1]["label"]
        text = json.dumps(summary).replace(json.dumps(old), json.dumps(EVIL))
        text = text.replace(json.dumps(f"{old}, default"), json.dumps(f"{EVIL}, default"))
        summary.update(json.loads(text))
        summary["verdict"]["sentences"].append({"text": EVIL, "claims": [], "about": "runs"})
        summary["data"] = summary["host"]["processor"] = summary["left_out"] = EVIL
        summary["left_out"] = [EVIL]
        summary["baseline"] = {"name": EVIL, "val_score": [0.5] * 3, "test_score": [0.5] * 3}
        summary["rows"][1]["errors"] = [EVIL]

    folder = changed(edit)
    runs = (folder / "runs.jsonl").read_text().replace('"dense1.W"', json.dumps(EVIL))
    (folder / "runs.jsonl").write_text(runs)
    write_report(folder)
    page = opened(folder)
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0
    assert page.locator(".sortable tbody th", has_text="onerror").first.inner_text() == EVIL
    assert page.locator(".verdict li p").last.text_content() == EVIL
    assert page.locator(".layer").first.text_content().strip() == EVIL
    assert page.evaluate("JSON.parse(document.getElementById('summary').textContent).data") == EVIL
    assert page.locator(".panels").count() == 4


def test_an_optimizer_that_only_diverges_alone(tmp_path, opened):
    study = replace(SMALL, optimizers=("sgd",), rates=(1e28, 1e29, 1e30), extensions=0, defaults=False)
    page = opened(compared(study, tmp_path))
    assert cells(page, "diverged_share")[0][1] == "100"
    assert cells(page, "epochs")[0][1:3] == ["missed", "0 of 4"]
    assert cells(page, "difference")[0][1:3] == ["–", "diverged"]
    assert page.locator(".facts strong").all_inner_texts() == ["none"]
    assert page.locator("path.diverged").first.get_attribute("d").count("M") == 12
    assert "sgd (100%)" in page.inner_text("#sensitivity + figure")
    assert page.locator("#pairs").count() == 0


def test_all_runs_fail(tmp_path, opened):
    study = replace(SMALL, optimizers=("sgd", "adam"), extensions=0)
    page = opened(compared(study, tmp_path, lambda run: trained(run, "error")))
    assert page.locator(".facts strong").all_inner_texts() == ["none"]
    assert {remark for *_, remark, _ in cells(page, "difference")} == {"failed"}
    assert page.locator("p.error").count() == 4
    assert "MemoryError: made up" in page.locator("p.error").first.inner_text()


def test_a_single_contender_without_default_rows(tmp_path, opened):
    page = opened(compared(replace(SMALL, optimizers=("adam",), defaults=False), tmp_path))
    assert page.locator(".facts strong").all_inner_texts() == ["adam", "adam"]
    assert page.locator(".group").count() == page.locator("#pairs").count() == page.locator("path.default").count() == 0
    assert page.locator(".sortable tbody tr").count() == 1
    assert page.locator(".verdict a.evidence").count() == page.locator(".verdict li").count()


def test_missing_and_changed_records_are_told(changed, opened):
    folder = changed()
    rows = {row["label"]: row for row in summary_of(folder)["rows"]}
    gone, other = rows["sgd"]["replicates"][0], rows["adam"]["replicates"][1]
    kept = [record for record in records_of(folder) if record["key"] != gone["key"]]
    next(record for record in kept if record["key"] == other["key"])["test_score"] = 0.5
    (folder / "runs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
    write_report(folder)
    said = opened(folder).locator("p.error").all_inner_texts()
    assert any(re.match(r"sgd: 1 run that the summary names is missing", text) for text in said)
    assert any("The runs of adam in runs.jsonl have other scores" in text for text in said)


def test_the_majority_class_has_a_row_of_its_own(changed, opened):
    baseline = {"name": "healthy", "val_score": [0.61, 0.6, 0.62], "test_score": [0.6, 0.585, 0.615]}
    folder = changed(lambda s: s.update(baseline=baseline))
    write_report(folder)
    page = opened(folder)
    row = page.locator("tbody.baseline tr")
    assert row.locator("th").inner_text() == "always healthy"
    assert row.locator("td[data-key=test_score] .value").inner_text() == "60.0 ± 1.5"
    page.locator("th[data-key=test_score] button").click()
    assert row.count() == 1


def test_the_error_of_shared_test_rows_is_in_the_evidence(changed, opened):
    def edit(summary):
        summary["test_rows"] = 1234
        for pair in summary["pairs"]:
            pair["rows_error"] = 0.0042 if pair["measure"] == "test_score" else None

    folder = changed(edit)
    write_report(folder)
    page = opened(folder)
    line = page.locator("details.evidence tbody tr").first
    assert line.locator("td").last.text_content() == "0.42 points"
    assert "1,234 test rows" in page.inner_text("section[aria-labelledby=statistics]")


def test_a_target_chosen_afterwards_and_a_study_that_grew(changed, opened):
    folder = changed(lambda s: (s["target"].update(planned=0.8), s.update(planned_replicates=2)))
    write_report(folder)
    text = opened(folder).inner_text("section[aria-labelledby=statistics]")
    assert "It was 80% when the first run was made" in text
    assert "It was planned with 2 replicates." in text


def test_what_the_quick_protocol_left_out_is_told(changed, opened):
    folder = changed(lambda s: s.update(left_out=["48,000 of 50,000 training rows", "10 of 20 epochs"]))
    write_report(folder)
    text = opened(folder).inner_text("section[aria-labelledby=verdict]")
    assert "Left out: 48,000 of 50,000 training rows, 10 of 20 epochs; --full takes all." in text


def test_a_row_has_its_own_runs_and_no_others(changed, opened):
    """Runs of another study in the same file are in no figure."""
    folder = changed()
    page = opened(write_report(folder).parent)
    read = "JSON.parse(document.getElementById('points').textContent)"
    before = page.evaluate(read)
    records = records_of(folder)
    with (folder / "runs.jsonl").open("a") as file:
        for record in records:
            record["run"]["problem"]["epochs"] = 9
            record["key"] = key_of(record["run"])
            record["curves"]["train_loss"] = [100.0] * 4
            record["steps"] = 10**6
            file.write(json.dumps(record) + "\n")
    write_report(folder)
    page.reload()
    assert page.evaluate(read) == before


@pytest.mark.slow
def test_thirty_looks_and_names(crowd, opened):
    """No two lines look alike, no label lies over another, no number beside a name is cut off, at any width."""
    page = opened(crowd)
    cut = """[...document.querySelectorAll('.label span, .panel small, .sortable td .value')].filter(e => {
        const own = e.getBoundingClientRect(), box = e.closest('.label, .panel, td').getBoundingClientRect();
        return own.width && (own.right > box.right + 1 || own.left < box.left - 1); }).map(e => e.textContent)"""
    for width, media in ((1440, "screen"), (800, "screen"), (390, "screen"), (1040, "print")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(media=media)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(cut) == []
        tops = page.evaluate(
            """[...document.querySelector('.box.labelled').querySelectorAll('.label')].map(
                l => l.getBoundingClientRect().top)"""
        )
        assert len(tops) >= 25
        assert min(b - a for a, b in pairwise(sorted(tops))) >= 12
    page.emulate_media(media="screen")
    looks = page.evaluate(
        """[...document.querySelector('.box.labelled').querySelectorAll('.leaders path')].map(
            p => getComputedStyle(p).stroke + p.getAttribute('stroke-dasharray'))"""
    )
    assert len(set(looks)) >= min(27, len(looks) - 3)  # of the 30, some have no line
    sentences = page.locator(".verdict li p, .facts dd, figcaption p").all_inner_texts()
    assert max(len(word) for sentence in sentences for word in sentence.split()) <= 100
    said = page.locator("p.error").all_inner_texts()
    assert any(text.startswith(f"adam: {CROWD.replicates} runs that the summary names are missing") for text in said)
    assert any(text.startswith("nesterov: ") and "failed: MemoryError: made up" in text for text in said)


@pytest.mark.slow
def test_a_long_run_is_thinned_and_stays_small(changed, opened):
    """2,000 epochs, of which at most 101 are drawn."""
    folder = changed(lambda s: s.update(epochs=2000))
    lines = []
    for record in records_of(folder):
        for name, curve in record["curves"].items():
            if isinstance(curve, list):
                record["curves"][name] = (curve * 2000)[:2000]
        lines.append(json.dumps(record))
    (folder / "runs.jsonl").write_text("\n".join(lines) + "\n")
    write_report(folder)
    assert (folder / "report.html").stat().st_size < 2_000_000
    page = opened(folder)
    page.locator(".box.labelled").first.focus()
    page.keyboard.press("ArrowRight")
    assert "epoch 2000," in page.locator("#tip").inner_text()
    points = page.evaluate("JSON.parse(document.getElementById('points').textContent).panels[0][0].y.length")
    assert 50 < points <= 101


@pytest.mark.slow
def test_thirty_long_runs_stay_small(crowd):
    """Many rows share the points that are drawn."""
    found = read_comparison(crowd)
    records = {}
    for row in found.rows:
        for record in found.chosen(row):
            long = {
                name: tuple(curve * 300)[:300]
                for name, curve in vars(record.curves).items()
                if isinstance(curve, tuple)
            }
            ratios = {layer: tuple(curve * 300)[:300] for layer, curve in record.curves.update_ratio.items()}
            curves = replace(record.curves, **long, update_ratio=ratios)
            records[record.key] = replace(record, curves=curves)
    assert len(render(Comparison(replace(found.summary, epochs=300), records)).encode()) < 2_000_000


def test_the_full_protocol_shows_the_search(tmp_path, opened):
    study = replace(SMALL, optimizers=("sgd", "adam"), search=3)
    folder = compared(study, tmp_path)
    page = opened(folder)
    assert page.locator(".sortable tbody").count() == 3
    assert "best of the random settings" in page.locator("tr.group").last.inner_text()
    budget = page.locator("section[aria-labelledby=budget]")
    assert budget.locator(".label").count() == 2
    assert page.locator("svg.by-epochs path.searched").count() == 2
    assert "Not searched" not in page.inner_text("body")
    shown = page.evaluate("JSON.parse(document.getElementById('points').textContent).panels.at(-1)")
    rows = [row for row in summary_of(folder)["rows"] if row["kind"] == "searched"]
    for row, series in zip(rows, shown, strict=True):
        for k, (text, value) in enumerate(zip(series["text"], row["best_after"], strict=True), 1):
            assert_numbers(text, [k, 100 * value])


def test_what_a_search_left_out_is_told(changed, opened):
    folder = changed(lambda s: s["rows"][-1].update(not_searched=["warmth", "<b>"]))
    write_report(folder)
    contender = summary_of(folder)["rows"][-1]["contender"]
    assert f"Not searched: warmth and <b> of {contender}." in opened(folder).inner_text(
        "section[aria-labelledby=table]"
    )
