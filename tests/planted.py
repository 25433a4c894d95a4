"""Would the tests notice a mistake in a comparison? Plant one after the other, and count those that they miss.

    python tests/mutation.py --study
    python tests/planted.py --only seed         # those with this in their name

The mistakes are those of :mod:`mutants_of_study` and :mod:`mutants_of_statistics`. Each is planted in a copy of the
project. The tests that it names must pass in a copy without it, and fail with it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mutants_of_statistics import MISTAKES
from mutants_of_study import STUDY, Mutant

ROOT = Path(__file__).parents[1]
PASSED, FAILED = 0, 1
"""Exit codes of pytest; any other says that the tests could not be run."""
BEFORE = ("numpy", "scipy.stats", "hypothesis.strategies", "pytest", "msgspec", "click.testing", "matplotlib.figure")
"""What each process needs and is imported once, before it is forked; of the project nothing is."""


def outcome(mutant: Mutant) -> str:
    """``"caught"`` or ``"missed"``; ``"stale"`` if the text is not there once, ``"broken"`` if no test could be run."""
    _, path, text, mistake, tests = mutant
    content = (ROOT / path).read_text(encoding="utf-8")
    if content.count(text) != 1:
        return "stale"
    return tried(path, content.replace(text, mistake), [tests])


def tried(path: str, content: str, tests: Sequence[str], seconds: int = 0, project: Path = ROOT) -> str:
    """Return what the tests say of a copy of the project with that file in it; a test that takes longer fails.

    This process has not imported the project. A project that is a copy itself is linked to.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(project, folder, shutil.copy2 if project == ROOT else os.link)
        (folder / path).unlink()  # the file of the project, by a link
        (folder / path).write_text(content, encoding="utf-8")
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(seconds)
        return said(folder, tests)


def copied(project: Path, folder: Path, copy: Callable[..., Any] = shutil.copy2) -> None:
    """Copy the project, or link to its files."""
    for part in ("optimlab", "tests", "benchmarks", "docs"):
        shutil.copytree(project / part, folder / part, copy_function=copy)
    for part in ("pyproject.toml", "setup.cfg"):
        shutil.copy(project / part, folder)


def said(folder: Path, tests: Sequence[str]) -> str:
    return {PASSED: "missed", FAILED: "caught"}.get(_tested(folder, tests), "broken")


def _too_long(*_: Any) -> None:
    raise TimeoutError("a loop that does not end")


def _tested(folder: Path, tests: Sequence[str]) -> int:
    """Pytest's exit code, in this process, which imports the project from ``folder``."""
    import hypothesis
    import pytest

    assert "optimlab" not in sys.modules
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # an example that fails is enough
    hypothesis.settings.register_profile("planted", phases=phases)
    hypothesis.settings.load_profile("planted")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    imported_before = "ignore::pytest.PytestAssertRewriteWarning"
    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-W", imported_before]
    return int(pytest.main([*options, *tests]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="a part of a mistake's name")
    options = parser.parse_args()
    more = [(mistake.strip(), path, text, mistake, tests) for path, text, mistake, tests in MISTAKES]
    chosen = [mutant for mutant in [*STUDY, *more] if options.only in mutant[0]]
    for name in BEFORE:
        import_module(name)
    none = [("no mistake", "pyproject.toml", "[tool.mypy]", "[tool.mypy]", tests) for tests in {m[4] for m in chosen}]
    wrong = 0
    with multiprocessing.get_context("fork").Pool(maxtasksperchild=1) as pool:
        for (what, path, *_, tests), found in zip(
            [*chosen, *none], pool.imap(outcome, [*chosen, *none], chunksize=1), strict=True
        ):
            if what != "no mistake":
                wrong += found != "caught"
                print(f"{found}  {path}: {what}", flush=True)
            elif found != "missed":
                wrong += 1
                print(f"{found} without a mistake: {tests}", flush=True)
    print(f"{len(chosen)} planted mistakes, {wrong} missed or wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
