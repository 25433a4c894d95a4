"""A study under kills: `optimlab compare` ended at random moments, started again, and compared with one left alone.

    python tests/soak/kill_and_resume_study.py --kills 30
    python tests/soak/kill_and_resume_study.py --kills 30 --signal INT --jobs 2
    python tests/soak/kill_and_resume_study.py --kills 30 --dask

The study must end with exactly the runs of the undisturbed one, none missing and none twice, each with the same curves
bit for bit, and with the same summary but for what was timed; and no worker process may outlive its study by more than
a few seconds. SIGINT goes to the study and its workers, as Ctrl-C in a terminal sends it; SIGKILL to the study alone.
With --dask it runs on a cluster of two worker processes; in every third life of the study one of them is killed, too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STUDY = ["compare", "--optimizers", "sgd,momentum,nesterov,adam,nadam", "--epochs", "8", "--replicates", "5", "--json"]
PATIENCE = 10


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "optimlab", *STUDY, "--out", str(folder), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def lines(folder: Path) -> list[str]:
    path = folder / "runs.jsonl"
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        timed = {"made", "versions", "host"} | {name for name in value if "seconds" in name}
        return {name: without_times(v) for name, v in value.items() if name not in timed}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def outcome(folder: Path) -> tuple[dict[str, Any], int, Any]:
    """Every run by its key, the number of lines they take, and the summary."""
    records = [json.loads(line) for line in lines(folder)]
    summary = json.loads((folder / "summary.json").read_text())
    return {r["key"]: without_times(r) for r in records}, len(records), without_times(summary)


def wait_for_workers_to_end(group: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"processes of the study {group} are still there {PATIENCE} s after its end")
        time.sleep(0.05)


class Cluster:
    """A Dask scheduler and two workers, each a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self._start("dask_scheduler", "--port", str(port), "--dashboard-address", ":0")
        self.workers = [self._worker(), self._worker()]
        self.killed = 0

    def kill_one(self) -> None:
        """Kill a worker, and start another one in its place."""
        victim = self.workers.pop(0)
        victim.kill()
        victim.wait()
        self.killed += 1
        self.workers.append(self._worker())

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{name}", *options]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interrupted(
    folder: Path, kills: int, number: int, dice: random.Random, options: list[str], cluster: Cluster | None
) -> tuple[int, int]:
    """Run the study to its end under kills; how many it took, and how many of them came once it was computing."""
    taken, computing = 0, 0
    while True:
        before = len(lines(folder))
        process = start(folder, *options)
        if taken < kills:
            if dice.random() < 0.7:  # most kills come once it computes, the others while it starts
                while process.poll() is None and len(lines(folder)) == before:
                    time.sleep(0.01)
            if cluster is not None and taken % 3 == 1:
                time.sleep(dice.uniform(0, 0.3))
                cluster.kill_one()
            try:
                process.wait(dice.uniform(0, 0.7))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, number) if number == signal.SIGINT else process.kill()
        error = process.communicate()[1]
        wait_for_workers_to_end(process.pid)
        if process.returncode == 0:
            return taken, computing
        if process.returncode not in (-number, 130) and not (number == signal.SIGINT and "KeyboardInterrupt" in error):
            raise SystemExit(f"failed by itself after {taken} kills, exit code {process.returncode}:\n{error}")
        taken += 1
        computing += len(lines(folder)) > before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--signal", choices=["KILL", "INT"], default="KILL")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--dask", action="store_true", help="on a cluster of two workers, killed now and then")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cluster = Cluster() if arguments.dask else None
    options = ["--dask", cluster.address] if cluster else ["--jobs", str(arguments.jobs)]
    dice = random.Random(arguments.seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            whole = start(Path(folder, "whole"))
            error = whole.communicate()[1]
            if whole.returncode:
                raise SystemExit(f"the undisturbed study failed:\n{error}")
            records, count, summary = outcome(Path(folder, "whole"))
            print(f"undisturbed: {count} runs in {time.monotonic() - began:.1f} s", flush=True)
            number, total, studies = getattr(signal, f"SIG{arguments.signal}"), 0, 0
            while total < arguments.kills:
                studies += 1
                path = Path(folder, f"killed{studies}")
                kills, computing = interrupted(path, arguments.kills - total, number, dice, options, cluster)
                total += kills
                ended, written, said = outcome(path)
                assert written == len(ended), f"{written - len(ended)} runs are there twice"
                assert ended.keys() == records.keys(), "other runs than planned"
                different = [key for key in records if records[key] != ended[key]]
                assert not different, f"{len(different)} runs differ, such as {ended[different[0]]['run']}"
                assert said == summary, "the summaries differ"
                lost = f", {cluster.killed} Dask workers killed" if cluster else ""
                print(
                    f"study {studies}: {kills} kills ({computing} of them after new runs){lost}; {written} runs, none "
                    f"missing, none twice, all equal; same summary ({total} kills in all)",
                    flush=True,
                )
    finally:
        if cluster is not None:
            cluster.close()


if __name__ == "__main__":
    main()
