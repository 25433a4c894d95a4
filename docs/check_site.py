"""Check the pages of a built site: every link leads somewhere, and nothing is loaded from the network.

    python docs/check_site.py build/site

Links to other sites are allowed, since nothing follows them before a reader does; they are not visited.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href"), ("image", "href")}
"""Tags and attributes that a browser loads by itself."""


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, file):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.links += [(tag, name, values[name]) for name in ("href", "src") if values.get(name) is not None]


def problems(site):
    """Find the faults of the pages in a folder, one sentence each."""
    files = [file for file in sorted(site.rglob("*.html")) if "_static" not in file.parts]  # the theme's templates
    pages = {file: Page(file) for file in files}
    found = [] if pages else [f"{site} holds no page"]
    for file, page in pages.items():
        for tag, name, link in page.links:
            if wrong := _problem(site, file, tag, name, link, pages):
                found.append(f"{file.relative_to(site)}: {wrong}")
    for file in sorted(site.rglob("*.css")):
        text = file.read_text(encoding="utf-8")
        found += [f"{file.relative_to(site)} loads {url}" for url in re.findall(r"url\(['\"]?(https?:[^)'\"]+)", text)]
    return found


def _problem(site, file, tag, name, link, pages):
    parts = urlsplit(link)
    if parts.scheme in {"data", "mailto"}:
        return ""
    if parts.scheme or parts.netloc:
        return f"loads {link}" if (tag, name) in LOADED else ""
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if not target.is_relative_to(site) or not target.is_file():
        return f"{link} leads nowhere"
    scene = "=" in parts.fragment or not parts.fragment  # a scene of the playground, which its script reads
    if target in pages and not scene and unquote(parts.fragment) not in pages[target].anchors:
        return f"{link} leads to no place of that page"
    return ""


if __name__ == "__main__":
    site = Path(sys.argv[1]).resolve()
    found = problems(site)
    print("\n".join(found) or f"every link of {len(list(site.rglob('*.html')))} pages is good")
    sys.exit(bool(found))
