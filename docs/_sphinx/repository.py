"""Links that work in the repository, on the site.

The Markdown pages link to each other and to files of the repository. Here a link to a file that is no page of the site
leads to a page with the file's text, a link to a folder to a list of its files, and a link to ``playground.md#SCENE``
or ``network-playground.md#SCENE`` to the live page.
"""

import os.path
import re
from html import escape
from pathlib import Path

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

ROOT = Path(__file__).parents[2]
RESULTS = "benchmarks/results/README.md"
PAGES = {"README.md": "docs/index.md", "docs/README.md": "docs/index.md", RESULTS: "docs/results.md"}
"""Files of the repository that are pages of the site under another name."""

LIVE = {"docs/playground.md": "live/playground.html", "docs/network-playground.md": "live/network.html"}
"""Pages that have scenes, and where the live page is on the site."""

LINK = re.compile(r"(!?)(\[(?:[^][]|\[[^]]*\])*\])\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
"""An exclamation mark, if it is an image; the text in brackets; the path; the fragment."""

SCHEME = "repository:"


def setup(app):
    """Rewrite links when a page is read; write the pages of the files that were linked."""
    app.connect("source-read", _read)
    app.connect("doctree-resolved", _resolve)
    app.connect("html-collect-pages", _pages)
    app.connect("html-page-context", _source)
    return {"parallel_read_safe": False, "parallel_write_safe": False}


def _read(app, page, source):
    text, folder = source[0], Path("docs", page).parent
    if page == "results":  # which the scripts write into another folder
        text, folder = (ROOT / RESULTS).read_text(encoding="utf-8"), Path(RESULTS).parent
    text = re.sub(r'<a id="([\w-]+)"></a>', r"(\1)=", text)
    source[0] = LINK.sub(lambda link: _link(folder, Path("docs", page).parent, *link.groups("")), text)


def _link(folder, here, mark, text, path, fragment):
    """The link or image of a text from one folder, as a page of the site in the folder ``here`` needs it."""
    path = os.path.normpath(folder / path)
    target = os.path.relpath(path, here) if mark else _target(path, fragment, here)
    return f"{mark}{text}({target})"


def _target(path, fragment, here):
    if path in LIVE and "=" in fragment:
        return f"{SCHEME}{LIVE[path]}{fragment}"
    path = PAGES.get(path, path)
    if (ROOT / path).exists() and not (path.startswith("docs/") and path.endswith(".md")):
        return f"{SCHEME}{path}"
    return os.path.relpath(path, here) + fragment


def _resolve(app, tree, page):
    """Links to files lead to their pages, relative to this one."""
    for link in tree.findall(nodes.reference):
        path = link.get("refuri", "")
        if path.startswith(SCHEME):
            path, hash_, fragment = path.removeprefix(SCHEME).partition("#")
            target = path if path.endswith(".html") else f"{_wanted(app, path)}.html"
            start = Path(app.builder.get_target_uri(page)).parent
            link["refuri"] = os.path.relpath(target, start) + hash_ + fragment
            link["internal"] = True


def _source(app, page, template, context, doctree):
    """Leave out the way back from a module's source: Sphinx gets it wrong for names that are documented elsewhere."""
    if page.startswith("_modules/"):
        context["body"] = re.sub(r'<a class="viewcode-back" [^>]*>.*?</a>', "", context["body"])


def _wanted(app, path):
    """The name of the page of a file or folder, which is to be written."""
    if not hasattr(app, "linked_files"):
        app.linked_files = {}
    return app.linked_files.setdefault(path, f"files/{path}")


def _pages(app):
    waiting = list(getattr(app, "linked_files", ()))
    while waiting:
        path = waiting.pop()
        name, file = app.linked_files[path], ROOT / path
        if file.is_dir():
            inside = sorted(p for p in file.iterdir() if p.suffix in {".py", ".md", ".toml", ".csv", ".txt", ".json"})
            inside = [p for p in inside if p.stat().st_size < 200_000]
            waiting += [p for p in (str(p.relative_to(ROOT)) for p in inside) if p not in app.linked_files]
            items = [f'<li><a href="{Path(path).name}/{p.name}.html">{escape(p.name)}</a></li>' for p in inside]
            for p in inside:
                _wanted(app, str(p.relative_to(ROOT)))
            body = f"<ul>{''.join(items)}</ul>"
        else:
            body = _printed(file)
        yield name, {"title": path, "body": f"<h1>{escape(path)}</h1>\n{body}"}, "page.html"


def _printed(file):
    try:
        lexer = get_lexer_for_filename(file.name)
    except ClassNotFound:
        lexer = TextLexer()
    text = file.read_text(encoding="utf-8")
    return f'<div class="highlight-default">{highlight(text, lexer, HtmlFormatter(cssclass="highlight"))}</div>'
