"""The site holds everything: public names, pages, commands. ``make site`` builds it and checks its links."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs

import pytest
from conftest import require

import optimlab as ol
from optimlab import rules
from optimlab.playground.scenes import SCENES
from optimlab.race.functions import FUNCTIONS
from optimlab.race.lessons import LESSONS

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob("*.md")))
DOCUMENTED = set(re.findall(r"^\.\. auto(?:class|function|exception|module):: ([\w.]+)$", REFERENCE, re.MULTILINE))
ROOMS = ("study", "tuning", "race", "report", "paper", "plotting", "sklearn", "export", "lab.explanation")

sys.path.insert(0, str(DOCS))

require("sphinx")
import check_site  # noqa: E402
from _sphinx import accessible, docstrings, repository  # noqa: E402


@pytest.mark.parametrize("name", ol.__all__)
def test_every_public_name_is_in_the_reference(name):
    thing = getattr(ol, name)
    documented = thing.__name__ if isinstance(thing, ModuleType) else f"optimlab.{name}"
    assert documented in DOCUMENTED


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_with_public_names_is_in_the_reference(room):
    assert f"optimlab.{room}" in DOCUMENTED


def test_the_reference_names_nothing_else():
    for name in DOCUMENTED:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def pages_of(page):
    """The pages in the tables of contents of a page, and of those."""
    text = page.read_text(encoding="utf-8")
    for entries in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for entry in re.findall(r"^(?:.*<(.+)>|([^:\s].*))$", entries, re.MULTILINE):
            for child in sorted(page.parent.glob(f"{entry[0] or entry[1]}.md")):
                yield child.resolve()
                yield from pages_of(child)


def test_every_page_is_in_the_table_of_contents():
    found = list(pages_of(DOCS / "index.md"))
    assert len(found) == len(set(found))
    every = {page for page in DOCS.rglob("*.md") if page.parent.name in {"docs", "lessons", "reference"}}
    assert set(found) == every - {DOCS / "index.md", DOCS / "README.md"}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_links_between_the_pages_are_good_in_the_repository(page):
    for path in re.findall(r"\]\((?!\w+:|#)([^)\s#]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / path).exists(), path


def test_links_to_scenes_of_the_playground_name_scenes_and_rules():
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    networks = re.findall(r"network-playground\.md#scene=([^)\s]*)", text)
    assert networks
    assert set(networks) <= {scene.name for scene in SCENES}
    scenes = re.findall(r"(?<![-\w])playground\.md#([^)\s]*)", text)
    assert scenes
    for scene in scenes:
        values = parse_qs(scene)
        assert set(values) <= {"lesson", "on", "start", "steps", "t", "look", "axis", "speed", "noise", "play", "run"}
        assert set(values.get("lesson", [])) <= {lesson.name for lesson in LESSONS}
        assert set(values.get("on", [])) <= set(FUNCTIONS)
        for run in values.get("run", []):
            name, convention, *_ = run.split(",")
            assert rules.find(name, convention), run


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("rules", "[a](conventions.md#adam)", "[a](conventions.md#adam)"),
        ("rules", "[`[a]`](../optimlab/fit.py)", "[`[a]`](optimlab/fit.py)"),
        ("rules", "[a](../optimlab/nn/layers.py)", "[a](repository:optimlab/nn/layers.py)"),
        ("rules", "[a](../README.md)", "[a](index.md)"),
        ("lessons/01", "[a](../../benchmarks/results/README.md#replication)", "[a](../results.md#replication)"),
        ("lessons/01", "[a](../playground.md#lesson=bend)", "[a](repository:live/playground.html#lesson=bend)"),
        ("rules", "[a](network-playground.md#scene=bend)", "[a](repository:live/network.html#scene=bend)"),
        ("lessons/01", "![a](../figures/loss.png)", "![a](../figures/loss.png)"),
        ("rules", "[a](https://a.org/b) [b](#c)", "[a](https://a.org/b) [b](#c)"),
        ("errata", '<a id="adam"></a>', "(adam)="),
    ],
)
def test_links_of_the_repository_on_the_site(page, link, expected):
    source = [link]
    repository._read(None, page, source)
    if "fit.py" not in link:  # there is no such file: Sphinx warns of it
        assert source == [expected]
    else:
        assert "repository:" not in source[0]


def test_sections_of_a_docstring():
    lines = ["One line.", "", "Parameters", "----------", "a, b: of", "    two lines.", "", "Raises", "------"]
    lines += ["InputError: so.", "", ">>> 1", "1"]
    docstrings.rewrite(lines)
    assert lines == [
        *["One line.", "", "", ":Parameters:", "", "  ``a``, ``b``", "    of", "    two lines.", ""],
        *["", ":Raises:", "", "  ``InputError``", "    so.", "", ">>> 1", "1"],
    ]


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ('<a href="b.html#here">', ""),
        ('<a href="https://a.org">', ""),
        ('<a href="b.html#lesson=x">', ""),
        ('<a href="b.html#there">', "leads to no place of that page"),
        ('<a href="c.html">', "leads nowhere"),
        ('<a href="../b.html">', "leads nowhere"),
        ('<img src="https://a.org/a.png">', "loads https://a.org/a.png"),
        ('<script src="//a.org/a.js">', "loads //a.org/a.js"),
        ('<link rel="stylesheet" href="https://a.org/a.css">', "loads https://a.org/a.css"),
    ],
)
def test_the_check_of_links_finds(tmp_path, link, wrong):
    (tmp_path / "a.html").write_text(link)
    (tmp_path / "b.html").write_text('<p id="here">')
    found = check_site.problems(tmp_path)
    assert [problem.endswith(wrong) for problem in found] == [True] * bool(wrong)


def test_fonts_from_the_network_are_found(tmp_path):
    (tmp_path / "a.html").write_text("")
    (tmp_path / "a.css").write_text("@font-face { src: url('https://a.org/f.woff2') }")
    assert check_site.problems(tmp_path) == ["a.css loads https://a.org/f.woff2"]
    assert check_site.problems(tmp_path / "none") == [f"{tmp_path / 'none'} holds no page"]


def test_a_signature_of_several_lines_is_no_definition_list():
    context = {"body": '<dl>\n<dd><em class="sig-param">a</em>,</dd>\n<dd><em class="sig-param">b</em>,</dd>\n</dl>'}
    docstrings._signatures(None, "page", "", context, None)
    lines = '<span><em class="sig-param">a</em>,</span>\n<span><em class="sig-param">b</em>,</span>\n'
    assert context["body"] == f'<span class="signature">{lines}</span>'


def test_an_empty_heading_of_a_table_is_a_cell():
    body = '<th class="head"><p></p></th><th class="head text-right"><p></p></th><th class="head"><p>a</p></th>'
    mended = '<td class="head"></td><td class="head text-right"></td><th class="head"><p>a</p></th>'
    assert accessible._empty_cells(body) == mended


def test_lists_of_modules_lie_in_the_items_they_belong_to():
    body = "<ul><li>a</li>\n<ul><li>b</li>\n<ul><li>c</li>\n</ul></ul><li>d</li>\n</ul>"
    mended = "<ul><li>a\n<ul><li>b\n<ul><li>c</li>\n</ul></li></ul></li><li>d</li>\n</ul>"
    assert accessible._lists_inside_items(body) == mended
