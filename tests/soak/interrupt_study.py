"""Ctrl-C at random moments: press it on a study with two workers, again and again, and count what is printed.

    python tests/soak/interrupt_study.py --times 200

The study says that it was interrupted and its workers say nothing. What joblib says of itself is counted apart.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_execution import OF_JOBLIB, PROGRAM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--within", type=float, default=1.0, help="Seconds from the first moment of the study.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, found = random.Random(options.seed), Counter()
    for _ in range(options.times):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", PROGRAM, folder]
            pipe = subprocess.PIPE
            study = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
            while study.poll() is None and not Path(folder, "runs.jsonl").exists():  # before, Python is importing
                time.sleep(0.002)
            time.sleep(dice.uniform(0, options.within))
            os.killpg(study.pid, signal.SIGINT)
            output, error = study.communicate(timeout=60)
        said = "silent" if not error else "joblib" if not OF_JOBLIB.sub("", error) else "more"
        found[output.strip(), said] += 1
        if said == "more":
            print(error, flush=True)
    for (output, said), times in found.most_common():
        print(f"{times:4} times {output or 'nothing'!r}, standard error: {said}")


if __name__ == "__main__":
    main()
