"""Would the tests notice a mistake in the network or its training? Make every small one, and count those they miss.

    python tests/mutation.py --network                      # all modules; several hours on two cores
    python tests/mutation.py --network --only schedules/
    python tests/mutation.py --network --only losses --part 2/8
    python tests/mutation.py --network --again earlier.txt       # what that output says was missed, and no reason why

The mistakes are those of :mod:`source_mutants`: a sign, a power, a comparison, a constant, a term, one at a time. Each
is made in a copy of the project; the module's doctests and the tests named beside it run there, and one must fail.
Survivors are printed as they are found; those that compute the same thing are listed below, with the reason.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from planted import BEFORE, ROOT, copied, said, tried
from source_mutants import mutants

SCHEDULES = ("tests/test_schedules.py",)
CALLBACKS = ("tests/test_callbacks.py", "tests/test_resume.py")
NETWORK = ("tests/test_gradcheck.py", "tests/test_network_parity.py")

TRAINING = ("tests/test_training.py", "tests/test_resume.py")

MODULES: dict[str, tuple[str, ...]] = {
    "optimlab/nn/activations.py": ("tests/test_activations.py", *NETWORK),
    "optimlab/nn/formulas.py": NETWORK,
    "optimlab/nn/losses.py": (*NETWORK, "tests/test_scores.py", "tests/test_own_losses.py", "tests/test_replicas.py"),
    "optimlab/nn/layers.py": (
        *NETWORK,
        "tests/test_mc_dropout.py",
        "tests/test_passes.py",
        "tests/test_compiled_training.py",
        "tests/test_checkpoint.py",
        "tests/test_translation.py",
        "tests/test_replicas.py",
    ),
    "optimlab/datasets/normalization.py": ("tests/test_normalization.py", *NETWORK),
    "optimlab/nn/regularization.py": ("tests/test_regularization.py",),
    "optimlab/schedules/checks.py": SCHEDULES,
    "optimlab/schedules/composed.py": SCHEDULES,
    "optimlab/schedules/cycles.py": SCHEDULES,
    "optimlab/schedules/decays.py": SCHEDULES,
    "optimlab/schedules/plateau.py": SCHEDULES,
    "optimlab/schedules/schedule.py": SCHEDULES,
    "optimlab/training/callbacks.py": CALLBACKS,
    "optimlab/training/checks.py": TRAINING,
    "optimlab/training/evaluation.py": (*TRAINING, "tests/test_replicas.py"),
    "optimlab/training/lifecycle.py": (*CALLBACKS, *TRAINING),
    "optimlab/training/loop.py": (*TRAINING, "tests/test_notebooks.py", *CALLBACKS),
    # a GPU notices at the end of an epoch that a loss was not finite
    "optimlab/training/run.py": (*TRAINING, "tests/test_regularization.py", "tests/test_cupy.py"),
    "optimlab/training/step.py": (*NETWORK, *TRAINING),
}
"""The tests that must catch every mistake in a module, besides its doctests; the quickest first."""

_LOOKS = "only the time between two looks at Ctrl-C depends on it"
_PYTHONS = "only CuPy needs the float: NumPy's own is one already"
_PEAK = "at the peak both are 1"
_TYPE = "only mypy needs the float: the power of two numbers is one"
_AT_ZERO = "at 0, both pieces are 0"
_FULL = "from there on, the quotient or the tangent is 1 to the last bit"
_BOTH_SIDES = "the same points, or the other side of a switch"
_FAR = "a jump is thousands of times as high, and what is smooth thousands of times lower"
_GRID = "only the cells in which it is looked for depend on it"
EQUIVALENT: dict[str, str] = {
    "optimlab/nn/activations.py: _kinks: operator: values = [f(switches - k * h) for k in (-2, -1, 1, 2)]": _BOTH_SIDES,
    "optimlab/nn/activations.py: _kinks: comparison: "
    "return tuple((float(x) for x in switches[jumps >= 100 * h]))": _FAR,
    "optimlab/nn/activations.py: _kinks: constant: return tuple((float(x) for x in switches[jumps > 101 * h]))": _FAR,
    "optimlab/nn/activations.py: _switches: constant: scalars = graph.scalars(t=2, **dict(f.parameters))": (
        "an activation does not depend on t"
    ),
    "optimlab/nn/activations.py: _switches.sides: comparison: return [np.broadcast_to(first >= (second[0] if second "
    "else 0), x.shape) for first, *second in operands]": _BOTH_SIDES,
    "optimlab/nn/activations.py: _switches.sides: comparison: return [np.broadcast_to(first <= (second[0] if second "
    "else 0), x.shape) for first, *second in operands]": _BOTH_SIDES,
    "optimlab/nn/activations.py: _switches: operator: "
    "grid = np.linspace(-100.0, 100.0, 20001) - 0.001 / math.pi": _BOTH_SIDES,
    "optimlab/nn/activations.py: _switches: operator: grid = np.linspace(-100.0, 100.0, 20001) + 0.001 * math.pi": _GRID,
    "optimlab/nn/activations.py: _switches: right factor dropped: grid = np.linspace(-100.0, 100.0, 20001) + 0.001": _GRID,
    "optimlab/nn/activations.py: _switches: left factor dropped: grid = np.linspace(-100.0, 100.0, 20001) + math.pi": _GRID,
    "optimlab/nn/activations.py: _switches: constant: grid = np.linspace(-100.0, 100.0, 20001) + 1.001 / math.pi": _GRID,
    "optimlab/nn/activations.py: _switches: constant: grid = np.linspace(-100.0, 100.0, 20002) + 0.001 / math.pi": _GRID,
    "optimlab/nn/activations.py: _switches: comparison: while high - low >= 1e-10:": _GRID,
    "optimlab/nn/activations.py: _switches: right term dropped: "
    "grid = np.linspace(-100.0, 100.0, 20001)": "a switch at a point of the grid is found in the interval before it",
    "optimlab/nn/activations.py: leaky_relu: comparison: return np.where(x >= 0, x, slope * x)": _AT_ZERO,
    "optimlab/nn/activations.py: elu: comparison: "
    "return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))": _AT_ZERO,
    "optimlab/nn/activations.py: elu: constant: "
    "return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 1)))": "above 0 it is not used",
    "optimlab/nn/activations.py: mish: constant: n = np.exp(np.minimum(x, 21))": _FULL,
    "optimlab/nn/activations.py: mish_backward: constant: n = np.exp(np.minimum(x, 21))": _FULL,
    "optimlab/nn/activations.py: gelu_tanh: constant: square = np.minimum(x ** 2, 10001.0)": _FULL,
    "optimlab/nn/activations.py: gelu_tanh_backward: constant: square = np.minimum(x ** 2, 10001.0)": _FULL,
    "optimlab/schedules/composed.py: Warmup._lr: comparison: if k <= self.steps:": "line() ends at what follows it",
    "optimlab/schedules/cycles.py: CyclicLR._height: comparison: "
    "height = at / self.up if at < self.up else (self.up + down - at) / down": _PEAK,
    "optimlab/schedules/decays.py: PowerDecay._lr: float dropped: "
    "return self.lr * (1 + k / self.s) ** (-self.c)": _TYPE,
    "optimlab/training/callbacks.py: ReduceLROnPlateau._listening: constant: "
    "return schedules.ReduceLROnPlateau(2.0, **self._options)": "its own rate is not used",
    "optimlab/training/callbacks.py: CSVLogger.state: constant: "
    "return {'header': self._header, 'lines': _lines(self.path) if self._header else 1}": (
        "without a header, the next epoch writes the file anew"
    ),
    "optimlab/training/checks.py: checked_data: float dropped: "
    "if not (math.isfinite(x.min()) and math.isfinite(float(x.max()))):": _PYTHONS,
    "optimlab/training/checks.py: checked_data: float dropped: "
    "if not (math.isfinite(float(x.min())) and math.isfinite(x.max())):": _PYTHONS,
    "optimlab/training/evaluation.py: : constant: ROWS = 1025": "only the speed depends on it",
    "optimlab/training/loop.py: fit: constant: whole = 1.0 if score is None else score.whole(y)": (
        "it is used only with a score"
    ),
    "optimlab/training/run.py: : constant: AWAY = 1.02": _LOOKS,
    "optimlab/training/run.py: Run.__init__: constant: self._graph, self._chunk = (graph, 2)": _LOOKS,
    "optimlab/training/run.py: Run.__init__: constant: self.epochs, self.data = (1, '')": "fit sets both",
    "optimlab/schedules/decays.py: PolynomialDecay._lr: float dropped: "
    "return self.end + (self.lr - self.end) * (1 - min(k / self.total, 1)) ** self.power": _TYPE,
}
"""Mistakes, as they are printed, that make no difference, and why."""

SECONDS = 120
"""A mutant that takes longer goes on for ever: that is noticed, too."""


class Mutant(NamedTuple):
    path: str
    what: str
    source: str


def all_mutants(only: str) -> Iterator[Mutant]:
    for path in MODULES:
        found = mutants((ROOT / path).read_text(encoding="utf-8"))
        yield from (Mutant(path, what, source) for what, source in found if only in f"{path}: {what}")


def outcome(project: Path, mutant: Mutant) -> str:
    return tried(mutant.path, mutant.source, tests_of(mutant.path), SECONDS, project)


def without(project: Path, path: str) -> str:
    """Return what a module's tests say of the project as it is.

    Python keeps there what it has compiled, for the copies.
    """
    return said(project, tests_of(path))


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
        missed = {line.removeprefix("missed  ") for line in lines if line.startswith("missed  ")} - EQUIVALENT.keys()
        chosen = [mutant for mutant in chosen if f"{mutant.path}: {mutant.what}" in missed]
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
        for path, verdict in zip(paths, pool.map(partial(without, project), paths, chunksize=1), strict=True):
            if verdict != "missed":
                sys.exit(f"{path}: its tests fail without a mistake")
        outcomes = pool.imap(partial(outcome, project), chosen, chunksize=1)
        for mutant, verdict in zip(chosen, outcomes, strict=True):
            name = f"{mutant.path}: {mutant.what}"
            reason = EQUIVALENT.get(name)
            kind = "equivalent" if reason and verdict == "missed" else verdict
            found[kind] += 1
            if kind != "caught" or reason:
                print(f"{kind}  {name}" + (f"   (equivalent: {reason})" if reason else ""), flush=True)
    counted = len(chosen) - found["equivalent"]
    share = 100 * (counted - found["missed"]) / max(counted, 1)
    print(f"{len(chosen)} mistakes: " + ", ".join(f"{n} {kind}" for kind, n in found.items()) + f"; {share:.1f}%")
    sys.exit(1 if found["missed"] else 0)


if __name__ == "__main__":
    main()
