"""The page: one HTML file that works offline."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ..common.files import write_atomically
from ..race.playground import PAGE as SHARED_PAGE
from ..race.playground import SHARED, joined
from .scenes import OPENING, SCENES
from .source import network_source

PAGE = Path(__file__).parent / "page"

SCRIPTS = (
    "network.js", "training.js", "address.js", "view_surface.js", "view_network.js", "view_charts.js", "controls.js"
)  # fmt: skip


def network_page() -> str:
    """Return the page as HTML.

    >>> page = network_page()
    >>> page.startswith("<!doctype html>"), len(page.encode()) < 1_000_000, "https:" in page
    (True, True, False)
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    scenes = json.dumps([asdict(scene) for scene in SCENES], ensure_ascii=False).replace("</", "<\\/")
    constants = f"const SCENES = {scenes};\nconst OPENING = {json.dumps('#' + OPENING)};"
    parts = (network_source(), constants, joined(SHARED_PAGE, *SHARED), joined(PAGE, *SCRIPTS))
    return environment.get_template("page.html").render(
        style=Markup(joined(SHARED_PAGE, "base.css") + "\n" + joined(PAGE, "page.css")),
        script=Markup("\n".join(parts)),
        scenes=SCENES,
    )


def write_network_page(path: str | Path) -> None:
    """Write the page to a file.

    Raises
    ------
    InputError: the file cannot be written.
    """
    write_atomically(Path(path), network_page().encode())
