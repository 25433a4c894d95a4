"""Dozens of kills: SIGKILL a search at random moments, start it again, and compare what it leaves.

    python tests/soak/kill_tune.py --kills 40 --sampler tpe --trials 150

The search must end with the trials, the summary and the weights of the same search left alone, bit for bit.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_tuning import TINY, assert_left_the_same, finished_trials

from optimlab.tuning import Problem, tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--sampler", default="qmc")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    search = replace(TINY, sampler=options.sampler, trials=options.trials, problem=Problem(hidden=(16,), epochs=20))
    dice, kills = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder, "killed"), Path(folder, "whole")
        code = f"from optimlab.tuning import *; print(flush=True); tune({search!r}, {str(killed)!r})"
        while True:
            process = subprocess.Popen(
                [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            process.stdout.readline()
            if kills < options.kills:
                before, anywhere = finished_trials(killed), dice.random() < 0.2
                while not anywhere and process.poll() is None and finished_trials(killed) == before:
                    time.sleep(0.002)
                time.sleep(dice.uniform(0, 0.5))
                process.kill()
            _, error = process.communicate()
            if process.returncode == 0:
                break
            if process.returncode != -9:
                raise SystemExit(f"failed by itself after {kills} kills:\n{error}")
            kills += 1
            print(f"{kills} kills, {finished_trials(killed)} trials", flush=True)
        tune(search, whole)
        assert_left_the_same(killed, whole)
        print(f"{options.sampler}: {kills} kills, {finished_trials(killed)} trials, all equal")


if __name__ == "__main__":
    main()
