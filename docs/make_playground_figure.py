"""Take the picture of the playground in the README: needs Chromium on the machine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from optimlab.race.playground import write_playground

OUT = Path(__file__).parent / "figures" / "playground.png"

with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
    page_file = Path(folder) / "playground.html"
    write_playground(page_file)
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page.goto(page_file.as_uri())
    page.wait_for_timeout(3000)
    page.screenshot(path=OUT)
    browser.close()
