"""Each lesson also as a notebook, which its page offers for download."""

import re
from pathlib import Path

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook

LESSON = re.compile(r"lessons/\d\d-(?!.*-solutions$)")


def setup(app):
    """Write the notebook of a lesson beside its page, and tell the page's template its name."""
    app.connect("html-page-context", _offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _offer(app, page, template, context, doctree):
    if not LESSON.match(page):
        return
    text = Path(app.srcdir, f"{page}.md").read_text(encoding="utf-8")
    notebook = read_myst_markdown_notebook(text)
    file = Path(app.outdir, f"{page}.ipynb")
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, file)
    context["notebook"] = f"{Path(page).name}.ipynb"
