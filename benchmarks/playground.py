"""Measure how long each playground works for a frame, while it plays in a headless Chromium.

    python benchmarks/playground.py [--chromium PATH]

At 60 frames a second there are 16.7 ms for everything. The script prints the frames a second that were reached, the CPU
time of the page's process for each frame, and how long the drawing of a frame took.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from optimlab import rules
from optimlab.playground.write import write_network_page
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
        else done({spent, frames: times.length - 1, rate: (1000 * (times.length - 1)) / (times.at(-1) - times[0])});
    };
    requestAnimationFrame(tick);
})
"""


def scenes_of(page: str) -> list[tuple[str, str]]:
    """Return what plays in the playground of rules: nine optimizers, with more and more steps."""
    runs = "&".join(f"run={name},textbook,on" for name in rules.textbook.__all__)
    cases = ((150, ""), (600, ""), (2000, ""), (600, ", 390 px"))
    return [
        (
            f"nine optimizers, {steps} steps{phone}",
            f"{page}#on=himmelblau&steps={steps}&speed={min(steps // 3, 600)}&t=0&play=1&{runs}",
        )
        for steps, phone in cases
    ]


def networks_of(page: str) -> list[tuple[str, str]]:
    """Return what plays in the playground of networks."""
    moons, digits = "data=moons&widths=8,8", "data=digits&widths=64&activation=relu"
    cases = {
        "network 2-8-8-1": moons,
        "network 2-8-8-1, 390 px": moons,
        "two networks 2-8-8-1": f"{moons}&versus=activation:relu",
        "digits 64-64-10": digits,
        "two networks, digits 64-64-10": f"{digits}&versus=activation:tanh",
    }
    return [(name, f"{page}#{scene}&speed=60&play=1") for name, scene in cases.items()]


def cpu_seconds(devtools: Any) -> float:
    """Return the CPU seconds that the page's process has used."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "ProcessTime")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", default=next(filter(None, map(shutil.which, NAMES)), None))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        race, network = Path(folder) / "playground.html", Path(folder) / "network.html"
        write_playground(race)
        write_network_page(network)
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=options.chromium, args=quiet)
        print(
            f"{'what plays':34} {'frames/s':>9} {'CPU, ms a frame':>16} {'drawing, ms a frame: median':>28} {'99%':>7}"
        )
        for name, address in [*scenes_of(race.as_uri()), *networks_of(network.as_uri())]:
            width, height = (390, 844) if "390" in name else (1440, 900)
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(address)
            page.wait_for_function("spent.length > 5")
            devtools = page.context.new_cdp_session(page)
            devtools.send("Performance.enable")
            began = cpu_seconds(devtools)
            found = page.evaluate(WATCH, options.seconds)
            cpu = 1000 * (cpu_seconds(devtools) - began) / found["frames"]
            times = sorted(found["spent"])
            median, late = times[len(times) // 2], times[int(len(times) * 0.99)]
            print(f"{name:34} {found['rate']:9.0f} {cpu:16.2f} {median:28.2f} {late:7.2f}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
