"""Mend what Sphinx writes and a screen reader would stumble over."""

import re


def setup(app):
    """Change each page before it is written."""
    app.connect("html-page-context", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mend(app, page, template, context, doctree):
    if "body" in context:
        context["body"] = _empty_cells(context["body"])
        if page == "_modules/index":
            context["body"] = _lists_inside_items(context["body"])


def _empty_cells(body):
    """Make an empty heading of a table an ordinary cell, since it names nothing."""
    return re.sub(r'<th class="(head[^"]*)"><p></p></th>', r'<td class="\1"></td>', body)


def _lists_inside_items(body):
    """Put a list of modules into the item that it belongs to, instead of behind it."""
    return re.sub(r"</ul>(?=<li>|</ul>)", "</ul></li>", body.replace("</li>\n<ul>", "\n<ul>"))
