"""A thousand kills: SIGKILL a training process at random moments, start it again, and compare where it ends.

    python tests/soak/kill_and_resume.py --kills 1000

Each training is one of several rules and schedules, with batch norm, dropout, an average of the weights and a log. It
saves itself every few steps; a watcher kills it after a random time, starting it again from its last checkpoint until
it gets to the end. Its weights, average and log must then be those of the same training left alone, bit for bit.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

CASES = [(rule, schedule) for rule in ("adam", "nadam", "momentum", "lamb") for schedule in ("one-cycle", "plateau")]
EPOCHS, BATCH, EVERY = 60, 100, 5

# the training, in a process of its own
TRAIN = """
import sys
from pathlib import Path

import numpy as np
import optimlab as ol

rule, schedule, name, epochs, batch, every = sys.argv[1:4] + [int(v) for v in sys.argv[4:7]]
path = Path(name + ".npz")
net = ol.MLP([64, 12, 10], batch_norm=True, dropout=0.3, seed=0)
steps = epochs * -(-1077 // batch)
lr = ol.schedules.OneCycle(0.02, total=steps) if schedule == "one-cycle" else 0.01
opt = ol.optimizers.get(rule)(net.parameters, lr=lr)
average = ol.AverageWeights(net, decay=0.99)
callbacks = [average, ol.JSONLogger(name + ".jsonl"), ol.Checkpoint(path, every=every)]
if schedule == "plateau":
    callbacks.append(ol.ReduceLROnPlateau("val_loss", factor=0.7, patience=1))
print("started", flush=True)
data = ol.datasets.load("digits")
ol.fit(net, opt, data, epochs=epochs, batch_size=batch, callbacks=callbacks, resume=path if path.exists() else None)
average.swap()
np.savez(name + ".end", average=net.parameters.data, lr=opt.lr, t=opt.t)
"""


def command(case: tuple[str, str], name: Path) -> list[str]:
    return [sys.executable, "-c", TRAIN, *case, str(name), *(str(n) for n in (EPOCHS, BATCH, EVERY))]


def outcome(name: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """What a training left: its arrays, and its log without the times."""
    with np.load(f"{name}.end.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    lines = Path(f"{name}.jsonl").read_text().splitlines()
    return arrays, [line.partition('"seconds"')[0] for line in lines]


def killed(case: tuple[str, str], name: Path, dice: random.Random, most: int) -> int:
    """Train to the end under kills; how many it took."""
    kills = 0
    while True:
        process = subprocess.Popen(command(case, name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        if kills < most:
            time.sleep(dice.uniform(0.0, 0.15))
            process.kill()
        _, error = process.communicate()
        if process.returncode == 0:
            return kills
        if process.returncode != -9:
            raise SystemExit(f"{case} failed by itself after {kills} kills:\n{error}")
        kills += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wholes = {}
        for k, case in enumerate(CASES):
            subprocess.run(command(case, Path(folder, f"whole{k}")), check=True, stdout=subprocess.DEVNULL)
            wholes[case] = outcome(Path(folder, f"whole{k}"))
        total, trainings = 0, 0

        def one(number: int) -> tuple[tuple[str, str], int, Path]:
            case, name = CASES[number % len(CASES)], Path(folder, f"killed{number}")
            return case, killed(case, name, random.Random(options.seed + number), options.kills), name

        with ThreadPoolExecutor(options.processes) as pool:
            number = 0
            while total < options.kills:
                batch = range(number, number + options.processes)
                number += options.processes
                for case, kills, name in pool.map(one, batch):
                    arrays, log = outcome(name)
                    whole, whole_log = wholes[case]
                    for key, values in whole.items():
                        np.testing.assert_array_equal(arrays[key], values, err_msg=f"{case}: {key}")
                    assert log == whole_log, f"{case}: the logs differ"
                    total += kills
                    trainings += 1
                    print(f"{total} kills, {trainings} trainings, all equal", flush=True)


if __name__ == "__main__":
    main()
