"""Would the tests notice a mistake in the network or its training? Make every small one, and count those they miss.

    python tests/mutation.py --network                      # all modules; several hours on two cores
    python tests/mutation.py --network --only schedules/
    python tests/mutation.py --network --only losses --part 2/8
    python tests/mutation.py --network --again earlier.txt       # what that output says was missed, and no reason why

The mistakes are those of :mod:`source_mutants`: a sign, a power, a comparison, a constant, a term, one at a time. Each
is made in a copy of the project; the module's doctests and the tests named beside it run there, and one must fail.
Survivors are printed as they are found; :mod:`equivalent_mutants` lists those that compute the same thing.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from equivalent_mutants import EQUIVALENT
from planted import BEFORE, ROOT, copied, said, tried
from source_mutants import mutants

SCHEDULES = ("tests/test_schedules.py",)
CALLBACKS = ("tests/test_callbacks.py", "tests/test_resume.py")
NETWORK = ("tests/test_gradcheck.py", "tests/test_network_parity.py")

REPLICAS = (
    "tests/test_replicas.py::test_every_shape_of_a_problem",
    "tests/test_replicas.py::test_every_loss",
    "tests/test_replicas.py::test_divergence_at_different_steps",
)
TRAINING = ("tests/test_training.py", "tests/test_resume.py")

RECORDED = (
    "tests/test_compiled_training.py::test_what_a_callback_changes_takes_effect_at_once",
    "tests/test_compiled_training.py::test_what_nobody_changes_is_recorded_once",
    "tests/test_compiled_training.py::test_what_is_python_code_is_called_and_the_bits_are_numpys",
    "tests/test_compiled_training.py::test_a_method_of_ones_own_is_called_at_every_step",
)

DIVERGED = "tests/test_cupy.py::test_a_graph_finds_the_step_that_diverged"

MODULES: dict[str, tuple[str, ...]] = {
    "optimlab/nn/activations.py": ("tests/test_activations.py", *NETWORK),
    "optimlab/nn/formulas.py": ("tests/test_regularization.py", *NETWORK),
    "optimlab/nn/losses.py": (*NETWORK, "tests/test_scores.py", "tests/test_own_losses.py", *REPLICAS),
    "optimlab/nn/layers.py": (
        *NETWORK,
        "tests/test_mc_dropout.py",
        "tests/test_passes.py",
        "tests/test_compiled_training.py",
        "tests/test_checkpoint.py",
        "tests/test_translation.py",
        *REPLICAS,
    ),
    "optimlab/datasets/normalization.py": ("tests/test_normalization.py", *NETWORK),
    "optimlab/nn/regularization.py": (
        "tests/test_regularization.py",
        "tests/test_gradcheck.py",
        "tests/test_compiled_training.py",
    ),
    "optimlab/schedules/checks.py": SCHEDULES,
    "optimlab/schedules/composed.py": SCHEDULES,
    "optimlab/schedules/cycles.py": SCHEDULES,
    "optimlab/schedules/decays.py": SCHEDULES,
    "optimlab/schedules/plateau.py": SCHEDULES,
    "optimlab/schedules/schedule.py": SCHEDULES,
    "optimlab/training/callbacks.py": CALLBACKS,
    "optimlab/training/checks.py": TRAINING,
    "optimlab/training/evaluation.py": (*TRAINING, *REPLICAS),
    "optimlab/training/lifecycle.py": (*CALLBACKS, *TRAINING),
    "optimlab/training/loop.py": (*TRAINING, "tests/test_notebooks.py", *CALLBACKS),
    # a GPU notices only at the end of an epoch that a loss was not finite
    "optimlab/training/run.py": (*TRAINING, "tests/test_regularization.py", DIVERGED),
    "optimlab/training/step.py": (
        *REPLICAS,
        "tests/test_range_finder.py::test_a_step_by_hand",
        *RECORDED,
        *TRAINING,
        *NETWORK,
    ),
}
"""The tests that must catch every mistake in a module, besides its doctests; the quickest first."""

PATIENCE = 30
"""Seconds beyond twice the time without a mistake, after which a mutant never ends. That is noticed, too."""


class Mutant(NamedTuple):
    path: str
    what: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.path}: {self.what}"

    @property
    def reason(self) -> str:
        """Why the tests need not notice it; empty if they must."""
        return EQUIVALENT.get(self.path, {}).get(self.what, "")


def all_mutants(only: str) -> Iterator[Mutant]:
    for path in MODULES:
        found = mutants((ROOT / path).read_text(encoding="utf-8"))
        yield from (Mutant(path, what, source) for what, source in found if only in f"{path}: {what}")


def outcome(project: Path, taken: dict[str, float], mutant: Mutant) -> str:
    seconds = PATIENCE + math.ceil(2 * taken[mutant.path])
    return tried(mutant.path, mutant.source, tests_of(mutant.path), seconds, project)


def without(project: Path, path: str) -> tuple[str, float]:
    """Return what a module's tests say of the project as it is, and the seconds that they take.

    Python keeps there what it has compiled, for the copies.
    """
    start = time.perf_counter()
    return said(project, tests_of(path)), time.perf_counter() - start


def tests_of(path: str) -> tuple[str, ...]:
    return path, *MODULES[path]


def parse_part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not 1 <= int(part) <= int(parts):
        raise ValueError
    return int(part), int(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="a part of a module's path, or of a mistake as it is printed")
    parser.add_argument("--part", type=parse_part, default=(1, 1), help="2/8: the second of every eight mistakes")
    parser.add_argument("--again", type=Path, help="the output of an earlier call: only the mistakes that it missed")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes  [default: 2]")
    options = parser.parse_args()
    part, parts = options.part
    chosen = list(all_mutants(options.only))[part - 1 :: parts]
    if options.again:
        lines = options.again.read_text(encoding="utf-8").splitlines()
        missed = {line.removeprefix("missed  ") for line in lines if line.startswith("missed  ")}
        chosen = [mutant for mutant in chosen if mutant.name in missed and not mutant.reason]
    for name in (*BEFORE, "torch", "scipy.special"):
        import_module(name)
    paths = list(dict.fromkeys(mutant.path for mutant in chosen))
    found = dict.fromkeys(("caught", "missed", "equivalent", "broken"), 0)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    pool = multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=1)
    with tempfile.TemporaryDirectory() as folder, pool:
        project = Path(folder)
        copied(ROOT, project)
        taken: dict[str, float] = {}
        found_without = pool.map(partial(without, project), paths, chunksize=1)
        for path, (verdict, taken[path]) in zip(paths, found_without, strict=True):
            if verdict != "missed":
                sys.exit(f"{path}: its tests fail without a mistake")
        outcomes = pool.imap(partial(outcome, project, taken), chosen, chunksize=1)
        for mutant, verdict in zip(chosen, outcomes, strict=True):
            kind = "equivalent" if mutant.reason and verdict == "missed" else verdict
            found[kind] += 1
            if kind != "caught" or mutant.reason:
                why = f"   (equivalent: {mutant.reason})" if mutant.reason else ""
                print(f"{kind}  {mutant.name}{why}", flush=True)
    counted = len(chosen) - found["equivalent"]
    share = 100 * (counted - found["missed"]) / max(counted, 1)
    print(f"{len(chosen)} mistakes: " + ", ".join(f"{n} {kind}" for kind, n in found.items()) + f"; {share:.1f}%")
    sys.exit(1 if found["missed"] else 0)


if __name__ == "__main__":
    main()
