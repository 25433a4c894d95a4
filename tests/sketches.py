"""Stand-ins for ``execute`` that take no time; a worker imports this module and nothing else of the tests."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from optimlab.study.results import Record

SCORES = {"best_epoch": 1, "val_score": 0.9, "val_loss": 0.3, "test_score": 0.9, "test_loss": 0.3}


def sketch(run):
    """A finished run; the record names the process that made it."""
    return Record(run.key, run.config(), "ok", **SCORES, host={"pid": os.getpid()})


def slow(run):
    time.sleep(0.05)
    return sketch(run)


def failing(run):
    if run.seed == 3:
        raise ZeroDivisionError("bad luck")
    return sketch(run)


def blas_threads(run):
    from threadpoolctl import threadpool_info

    return replace(sketch(run), host={"threads": [pool["num_threads"] for pool in threadpool_info()]})


def ctrl_c_held(run):
    """Whether the process holds Ctrl-C back."""
    held = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return replace(sketch(run), host={"pid": os.getpid(), "held": held})


class Killing:
    """The run of seed 5 kills its own process, the first time or each time."""

    def __init__(self, marker, *, always=False):
        self.marker, self.always = Path(marker), always

    def __call__(self, run):
        time.sleep(0.01)
        if run.seed == 5 and (self.always or not self.marker.exists()):
            with self.marker.open("a") as file:
                file.write("killed\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return sketch(run)
