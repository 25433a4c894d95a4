"""The sections of our docstrings as Sphinx knows them.

A docstring of this project names its arguments one a line, ``name: what it is``, under a heading such as
``Parameters``. Sphinx gets a field with a definition list instead.
"""

import re

SECTIONS = ("Parameters", "Attributes", "Raises", "Warns", "Returns")
SIGNATURE = re.compile(r'<dl>\n((?:<dd><em class="sig-param">.*</dd>\n)+)</dl>')
ENTRY = re.compile(r"(\*{0,2}\w[\w.]*(?:, \*{0,2}\w[\w.]*)*): (.*)")


def setup(app):
    """Rewrite every docstring before Sphinx parses it, and leave out what says nothing."""
    app.connect("autodoc-process-docstring", lambda app, what, name, thing, options, lines: rewrite(lines))
    app.connect("autodoc-skip-member", _skip)
    app.connect("html-page-context", _signatures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def rewrite(lines):
    """Turn the sections of a docstring, a list of lines, into fields, in place.

    >>> lines = ["Parameters", "----------", "x, y: where", "    it is.", "", "More."]
    >>> rewrite(lines)
    >>> print("\\n".join(lines))
    :Parameters:
    <BLANKLINE>
      ``x``, ``y``
        where
        it is.
    <BLANKLINE>
    More.
    """
    new, inside = [], False
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        if line in SECTIONS and set(following) == {"-"}:
            new += ["", f":{line}:", ""] if new else [f":{line}:", ""]
            inside = True
        elif inside and set(line) == {"-"}:
            continue
        elif not inside:
            new.append(line)
        elif not line:
            inside = following.startswith(" ")
            new.append("")
        elif entry := ENTRY.fullmatch(line):
            names = ", ".join(f"``{name}``" for name in entry[1].split(", "))
            new += [f"  {names}", f"    {entry[2]}"]
        else:
            new.append(f"    {line.strip()}")
    lines[:] = new


def _skip(app, what, name, thing, skip, options):
    """Fields of a named tuple that have no text of their own."""
    return True if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") else None


def _signatures(app, page, template, context, doctree):
    """A signature of several lines as lines. Sphinx writes a definition list without terms, which no reader expects."""
    if "body" in context:
        context["body"] = SIGNATURE.sub(
            lambda found: (
                f'<span class="signature">{found[1].replace("<dd>", "<span>").replace("</dd>", "</span>")}</span>'
            ),
            context["body"],
        )
