"""The report and the playground under axe-core: light and dark, on a wide screen and on a phone.

``docs/check_accessibility.py`` asks the same of every page of a built site.
"""

import sys
from pathlib import Path

import pytest
from conftest import require
from made_comparisons import made_comparison

from optimlab.race.playground import write_playground
from optimlab.report.joint import write_joint_report
from optimlab.study import Problem, Study
from optimlab.study.joint import joint

require("axe_playwright_python")
pytestmark = pytest.mark.slow
sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
import check_accessibility  # noqa: E402


@pytest.fixture
def tab(browser):
    """A tab of its own, since the check leaves little of a page."""
    context = browser.new_context(offline=True)
    yield context.new_page()
    context.close()


def test_the_report(finished, tab):
    tab.goto((finished / "report.html").as_uri())
    assert check_accessibility.findings(tab) == []


def test_the_report_of_several_problems(tmp_path, tab):
    names = ("sgd", "momentum", "adam")
    parts = {
        f"p{k}": made_comparison(
            Study(
                Problem(hidden=(4 + k,), epochs=6, target=0.5),
                names,
                rates=(0.01, 0.1, 1.0),
                replicates=2,
                defaults=False,
            ),
            lambda label, kind, replicate, trial: {"test": 0.7 + 0.1 * names.index(label) + 0.01 * replicate},
        )
        for k in range(6)
    }
    tab.goto(write_joint_report(joint(parts), parts, tmp_path).as_uri())
    assert tab.locator("table.ranks").count() == 2
    assert check_accessibility.findings(tab) == []


def test_the_playground(tmp_path, tab):
    """The first lesson: some optimizers are on, some are off, and the formula is wider than a phone."""
    write_playground(tmp_path / "playground.html")
    tab.goto((tmp_path / "playground.html").as_uri())
    assert check_accessibility.findings(tab) == []


PAGE = """<!doctype html><html lang="en"><head><title>A page</title><style>
    body { color: black; background: white; } b { color: #333; } @media (prefers-color-scheme: dark) { STYLE }
    </style></head><body><main><h1>Words</h1><p>BODY</p></main></body></html>"""


@pytest.mark.parametrize(
    ("style", "body", "found"),
    [
        ("", "<b>one</b> <b>two</b>", []),
        (
            "i { color: #ccc; }",
            "<b>one</b> <i>two</i>",
            ["1440 px, dark: color-contrast", "390 px, dark: color-contrast"],
        ),
        (
            "b + b { color: #ccc; }",
            "<b>one</b><b>two</b>",
            ["1440 px, dark: color-contrast", "390 px, dark: color-contrast"],
        ),
        ("", '<img src="data:," width="5">', ["1440 px, light: image-alt", "390 px, dark: image-alt"]),
    ],
)
def test_what_is_wrong_is_found_once_in_each_setting(style, body, found, tab):
    tab.set_content(PAGE.replace("STYLE", style).replace("BODY", body))
    assert [":".join(line.split(":")[:2]) for line in check_accessibility.findings(tab)] == found


INSIDE = """scheme => new Promise(done => {
    const frame = document.querySelector("iframe");
    frame.contentWindow.postMessage({scheme}, "*");
    setTimeout(done, 100);
})"""


@pytest.mark.parametrize("name", ["report", "playground"])
def test_a_page_inside_another_follows_its_switch(name, finished, tmp_path, tab):
    page = finished / "report.html" if name == "report" else tmp_path / "playground.html"
    write_playground(tmp_path / "playground.html")
    (tmp_path / "outer.html").write_text(f'<iframe src="{page.as_uri()}"></iframe>')
    tab.emulate_media(color_scheme="light")
    tab.goto((tmp_path / "outer.html").as_uri())
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark, unknown = (tab.evaluate(INSIDE, s) or tab.frames[1].evaluate(ground) for s in ("light", "dark", "x"))
    assert light != dark == unknown
    tab.emulate_media(color_scheme="dark")
    assert [tab.evaluate(INSIDE, s) or tab.frames[1].evaluate(ground) for s in ("light", "dark")] == [light, dark]
