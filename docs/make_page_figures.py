"""Take the pictures of the playgrounds and of a report in the README: needs Chromium on the machine.

``python docs/make_page_figures.py FOLDER``, with the folder of a finished comparison.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browsing import chromium

from optimlab.playground.write import write_network_page
from optimlab.race.playground import write_playground

FIGURES = Path(__file__).parent / "figures"

with tempfile.TemporaryDirectory() as folder, chromium() as browser:
    playground, network = Path(folder) / "playground.html", Path(folder) / "network.html"
    write_playground(playground)
    write_network_page(network)
    for name, address, height in (
        ("playground", playground.as_uri(), 900),
        ("network-playground", f"{network.as_uri()}#scene=bend&t=300&play=0", 900),
        ("report", (Path(sys.argv[1]).resolve() / "report.html").as_uri(), 1150),
    ):
        page = browser.new_page(viewport={"width": 1440, "height": height}, color_scheme="light")
        page.goto(address)
        page.wait_for_timeout(3000)
        page.screenshot(path=FIGURES / f"{name}.png")
