"""Kill a study of ten problems at random moments, again and again, and look whether it ends as if nothing had been.

    python tests/soak/ten_problems.py --kills 30

The command is started in a folder and killed (SIGKILL, with its workers) after a random time, until it has been killed
so often. Each time that it ends by itself, its folder is compared with that of a study that was left alone, and it
starts afresh. Times are not compared: they differ from run to run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

OF_TIME = {"seconds", "microseconds_per_step", "seconds_to_target", "made"}
"""What differs between two runs of one study."""


def study_file(problems: int, epochs: int = 3) -> str:
    """A study of small variants of digits; one rate of the grid diverges."""
    variants = (f'[[problems]]\nname = "p{k}"\nhidden = [{4 + k}]\n' for k in range(problems))
    return (
        'optimizers = ["sgd", "adam", "adagrad"]\nrates = [0.01, 0.3, 1e30]\nreplicates = 2\nextensions = 1\n'
        f'[problem]\ndataset = "digits"\nepochs = {epochs}\ntarget = 0.5\n' + "".join(variants)
    )


def timeless(value: Any) -> Any:
    """A value of JSON without what depends on the time."""
    if isinstance(value, dict):
        return {name: timeless(part) for name, part in value.items() if name not in OF_TIME}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def contents(folder: Path) -> dict[str, Any]:
    """Return what a folder says: JSON without times, runs by their key (each once), the names of its other files."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            found[name] = timeless(json.loads(path.read_bytes()))
        elif path.name == "runs.jsonl":
            records = [timeless(json.loads(line)) for line in path.read_bytes().splitlines()]
            found[name] = {record["key"]: record for record in records}
            assert len(found[name]) == len(records), f"{name}: a run is kept twice"
        elif path.is_file() and path.name != ".lock":
            found[name] = "a file"
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of the files that differ."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--problems", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, killed, ended = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "study.toml")
        file.write_text(study_file(options.problems))

        def start(out: Path) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "optimlab", "compare", "--study", str(file), "--out", str(out)]
            command += ["--jobs", str(options.jobs)]
            quiet = subprocess.DEVNULL
            return subprocess.Popen(command, stdout=quiet, stderr=subprocess.PIPE, start_new_session=True)

        def finish(out: Path, study: subprocess.Popen[bytes]) -> None:
            _, error = study.communicate()
            assert study.returncode == 0, error.decode()
            different = differences(alone, contents(out)) if alone else []
            print(f"ended after {killed} kills; different: {', '.join(different) or 'nothing'}", flush=True)
            if different:
                sys.exit(1)

        alone: dict[str, Any] = {}
        began = time.perf_counter()
        finish(Path(place, "alone"), start(Path(place, "alone")))
        whole = time.perf_counter() - began
        alone = contents(Path(place, "alone"))
        print(f"left alone: {len(alone)} files, {whole:.0f} s", flush=True)
        while killed < options.kills:
            out = Path(place, f"killed{ended}")
            study = start(out)
            try:
                # up to a third of the whole, so that a study is killed several times on its way to the end
                study.wait(timeout=whole * dice.random() / 3)
            except subprocess.TimeoutExpired:
                os.killpg(study.pid, signal.SIGKILL)
                study.communicate()
                killed += 1
                runs = sum(len(path.read_bytes().splitlines()) for path in out.rglob("runs.jsonl"))
                reports = len(list(out.rglob("report.html")))
                print(f"kill {killed}: {runs} runs, {reports} reports", flush=True)
            else:
                finish(out, study)
                ended += 1
        out = Path(place, f"killed{ended}")
        finish(out, start(out))


if __name__ == "__main__":
    main()
