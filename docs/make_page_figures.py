"""Take the pictures of the playground and of a report in the README: needs Chromium on the machine.

``python docs/make_page_figures.py FOLDER``, with the folder of a finished comparison.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browsing import chromium

from optimlab.race.playground import write_playground

FIGURES = Path(__file__).parent / "figures"

with tempfile.TemporaryDirectory() as folder, chromium() as browser:
    playground = Path(folder) / "playground.html"
    write_playground(playground)
    for name, file, height in (
        ("playground", playground, 900),
        ("report", Path(sys.argv[1]).resolve() / "report.html", 1150),
    ):
        page = browser.new_page(viewport={"width": 1440, "height": height}, color_scheme="light")
        page.goto(file.as_uri())
        page.wait_for_timeout(3000)
        page.screenshot(path=FIGURES / f"{name}.png")
