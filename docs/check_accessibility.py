"""Check the pages of a built site with axe-core: light and dark, on a wide screen and on a phone.

    python docs/check_accessibility.py build/site [PAGE ...]

It prints what axe-core finds, one line for each element, and exits with 1 if there is anything. Colours are checked in
all four settings, on one text of each look: two texts have the same look if they and everything behind them are styled
alike in all settings. So a page with ten thousand coloured words is checked in seconds. All other rules see the whole
page, wide and light, then narrow and dark.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from browsing import chromium

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SETTINGS = [(window, scheme) for window in (DESK, PHONE) for scheme in ("light", "dark")]
SETTLED = 400
"""Milliseconds after which the scripts of a page have followed a change of its width."""

COMMON = "resultTypes: ['violations'], iframes: false"  # pages inside a page are checked by themselves
RULES = "{'color-contrast': {enabled: false}, 'label-content-name-mismatch': {enabled: true}}"
WHOLE = f"{{{COMMON}, rules: {RULES}}}"
COLOURS = f"{{{COMMON}, runOnly: ['color-contrast']}}"

NOTE_LOOKS = """() => {
    const looks = globalThis.looks ??= new Map();
    const behind = new Map();
    const chain = element => {  // whatever decides how a text in this element looks
        if (!element) return "";
        if (!behind.has(element)) {
            const {backgroundColor, backgroundImage, opacity, filter, position} = getComputedStyle(element);
            const own = [backgroundColor, backgroundImage, opacity, filter, position].join();
            behind.set(element, own + "/" + chain(element.parentElement));
        }
        return behind.get(element);
    };
    for (const element of document.body.querySelectorAll("*")) {
        if (![...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim())) continue;
        const {color, fontSize, fontWeight, textShadow, visibility} = getComputedStyle(element);
        const shown = element.getClientRects().length > 0;
        const look = [color, fontSize, fontWeight, textShadow, visibility, shown, chain(element)].join();
        looks.set(element, (looks.get(element) ?? "") + "\\n" + look);
    }
}"""
KEEP_ONE_TEXT_OF_EACH_LOOK = """() => {
    const seen = new Set(), kept = new Set();
    for (const [element, look] of looks) {
        if (seen.has(look)) continue;
        seen.add(look);
        for (let part = element; part; part = part.parentElement) kept.add(part);
    }
    for (const element of looks.keys()) if (!kept.has(element)) element.remove();
}"""


def findings(page):
    """List what axe-core finds on a page that a Playwright tab shows, one line for each element and setting."""
    page.evaluate(AXE_SCRIPT)
    page.evaluate("() => document.querySelectorAll('details').forEach(details => (details.open = true))")
    found = []
    for number, (window, scheme) in enumerate(SETTINGS):
        _set(page, window, scheme)
        page.evaluate(NOTE_LOOKS)
        if number in {0, len(SETTINGS) - 1}:
            page.wait_for_timeout(SETTLED)
            found += _run(page, WHOLE, window, scheme)
    page.evaluate(KEEP_ONE_TEXT_OF_EACH_LOOK)
    for window, scheme in SETTINGS:
        _set(page, window, scheme)
        found += _run(page, COLOURS, window, scheme)
    return found


def _set(page, window, scheme):
    page.set_viewport_size(window)
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _run(page, options, window, scheme):
    results = page.evaluate(f"axe.run({options})")
    return [
        f"{window['width']} px, {scheme}: {violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in results["violations"]
        for node in violation["nodes"]
    ]


def print_findings(site, files):
    """Print the findings of several pages as they are found, and return their number."""
    count = 0
    with chromium() as browser:
        page = browser.new_context(offline=True).new_page()
        page.set_default_timeout(0)  # a slow machine is no finding
        for file in files:
            page.goto(file.as_uri())
            for line in findings(page):
                print(f"{file.relative_to(site)}: {' '.join(line.split())}", flush=True)
                count += 1
    return count


if __name__ == "__main__":
    site = Path(sys.argv[1]).resolve()
    files = [site / name for name in sys.argv[2:]] or [
        file for file in sorted(site.rglob("*.html")) if "_static" not in file.relative_to(site).parts
    ]
    with ProcessPoolExecutor(2) as pool:
        count = sum(pool.map(print_findings, (site, site), (files[0::2], files[1::2])))
    print(f"{count} findings on {len(files)} pages")
    sys.exit(bool(count) or not files)
