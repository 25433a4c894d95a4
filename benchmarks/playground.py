"""How long the playground's script works for each frame: nine optimizers playing, in a headless Chromium.

    python benchmarks/playground.py [--chromium PATH]

At 60 frames a second there are 16.7 ms for everything; prints the script's share of each frame (stepping, both
pictures, all numbers), and the frames a second that were reached.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from optimlab import rules
from optimlab.race import write_playground

SECONDS = 4
NAMES = ("chromium", "chromium-browser", "google-chrome")
WATCH = """
seconds => new Promise(done => {
    spent = [];
    const times = [];
    const began = performance.now();
    const tick = now => {
        times.push(now);
        if (now - began < 1000 * seconds) requestAnimationFrame(tick);
        else done({spent, rate: (1000 * (times.length - 1)) / (times.at(-1) - times[0])});
    };
    requestAnimationFrame(tick);
})
"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", default=next(filter(None, map(shutil.which, NAMES)), None))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    runs = "&".join(f"run={name},textbook,on" for name in rules.textbook.__all__)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "playground.html"
        write_playground(path)
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=options.chromium, args=quiet)
        print(f"{'nine optimizers, steps':24} {'frames/s':>9} {'script, ms a frame: median':>27} {'99%':>7}")
        for steps, size in ((150, (1440, 900)), (600, (1440, 900)), (2000, (1440, 900)), (600, (390, 844))):
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(f"{path.as_uri()}#on=himmelblau&steps={steps}&speed={min(steps // 3, 600)}&t=0&play=1&{runs}")
            page.wait_for_function("spent.length > 5")
            found = page.evaluate(WATCH, options.seconds)
            times = sorted(found["spent"])
            median, late = times[len(times) // 2], times[int(len(times) * 0.99)]
            print(f"{f'{steps} on {size[0]}x{size[1]}':24} {found['rate']:9.0f} {median:27.2f} {late:7.2f}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
