"""Build the release, and use it as a newcomer would, on every Python from 3.11 to 3.14 that this machine has.

    python tests/wheel.py [--every]

The source archive is built from the working tree, and the wheel from that archive, into ``dist/``. The wheel must hold
exactly the files of the package that git tracks. Then it is installed with its dependencies in an empty folder, where a
network trains, a small comparison runs, and pages and figures are written. With ``--every``, a missing Python is
an error.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

TRAINS = """
import optimlab as ol
assert "site-packages" in ol.__file__, ol.__file__
data = ol.datasets.load("digits")
net = ol.MLP([64, 32, 10], activation="relu", batch_norm=True, seed=0)
history = ol.fit(net, ol.Adam(net.parameters, lr=0.01), data, epochs=5)
assert history.val_accuracy[-1] > 0.9, history
print(history)
"""

COMMANDS = [
    ["optimlab", "--version"],
    ["optimlab", "explain", "adam", "--convention", "torch", "--against", "keras"],
    ["optimlab", "export-rule", "adam", "--to", "torch", "--out", "adam.py"],
    ["optimlab", "race", "--playground", "--out", "race"],
    ["optimlab", "playground", "--out", "race"],
    ["optimlab", "compare", "--optimizers", "sgd,adam", "--replicates", "3", "--epochs", "2", "--out", "two"],
    ["optimlab", "paper", "two"],
]


def run(command, folder=ROOT):
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    subprocess.run([str(part) for part in command], cwd=folder, env=environment, check=True)


def build():
    """Build the archive and the wheel into ``dist/``, and return the wheel."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", ROOT / "dist"])
    (wheel,) = (ROOT / "dist").glob("*.whl")
    return wheel


def check_files(wheel):
    """Compare the wheel with the tracked files of the package."""
    listed = subprocess.run(
        ["git", "ls-files", "optimlab"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("optimlab/")}
    if missing := sorted(set(listed) - held):
        sys.exit(f"the wheel lacks {', '.join(missing)}")
    if extra := sorted(held - set(listed)):
        sys.exit(f"the wheel has files that git does not track: {', '.join(extra)}")
    print(f"{wheel.name}: {len(held)} files, {wheel.stat().st_size / 1e6:.1f} MB")


def find(version):
    """Return the path of a Python that runs, or None."""
    python = shutil.which(f"python{version}")
    works = python and subprocess.run([python, "-m", "venv", "--help"], capture_output=True).returncode == 0
    return python if works else None


def use(wheel, python):
    """Install the wheel in a new environment, and use it in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        environment, folder = Path(name) / "environment", Path(name) / "work"
        folder.mkdir()
        run([python, "-m", "venv", environment])
        run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel])
        run([environment / "bin" / "python", "-W", "error", "-c", TRAINS], folder)
        for command, *arguments in COMMANDS:
            run([environment / "bin" / command, *arguments], folder)
        for made in ("adam.py", "race/playground.html", "race/network.html", "two/report.html", "two/paper/table.tex"):
            if not (folder / made).stat().st_size:
                sys.exit(f"{made} is empty")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", action="store_true", help="fail where one of the Pythons is missing")
    every = parser.parse_args().every
    wheel = build()
    check_files(wheel)
    found = {version: find(version) for version in PYTHONS}
    for version, python in found.items():
        if python:
            print(f"Python {version}", flush=True)
            use(wheel, python)
    if missing := [version for version, python in found.items() if not python]:
        print(f"not tried, because they are not on this machine: Python {', '.join(missing)}")
        sys.exit(every)
