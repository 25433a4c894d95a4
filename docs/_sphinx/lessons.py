"""Lessons are executed in kernels of their own; each is also a notebook, which its page offers for download."""

import os
import re
from pathlib import Path

import nbformat
from jupyter_client.connect import ConnectionFileMixin
from myst_nb.core.read import read_myst_markdown_notebook

LESSON = re.compile(r"lessons/\d\d-(?!.*-solutions$)")


def setup(app):
    """Write the notebook of a lesson beside its page, tell the page's template its name, and keep kernels private."""
    app.connect("html-page-context", _offer)
    if os.name == "posix":  # sockets that are files: over TCP, the default, anyone on the machine can listen
        ConnectionFileMixin.transport.default_value = "ipc"
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
