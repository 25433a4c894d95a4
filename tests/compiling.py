"""What a worker or an earlier session has compiled is not compiled again; C and C++ texts as shared libraries."""

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

kept: list[Path] = []
"""The folder for all sessions, in pytest's cache, where that is in use."""

C_HEADERS = ["-D_GLIBCXX_INCLUDE_NEXT_C_HEADERS"]
"""C's <math.h> in C++, too: kernels name each function for its dtype, and reading C++'s takes longer than the rest."""


@cache
def version(compiler):
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout


def once(folder, suffix, given, make):
    """The path of a file that ``make(path)`` writes; its name is made of all that is given to a compiler."""
    name = hashlib.sha256("\0".join(given).encode()).hexdigest()[:32]
    path = Path(kept[0] if kept else folder) / f"{name}{suffix}"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}")  # other workers may be at it
        make(part)
        part.replace(path)
    return path


def built(text, compiler, flags, suffix, folder):
    """The path of a program, or of what the flags ask for. ``folder`` is for when none is kept."""

    def make(path):
        command = [compiler, *flags, "-", "-o", str(path), "-lm"]
        result = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
        assert result.returncode == 0, result.stderr

    return once(folder, suffix, [version(compiler), *flags, text], make)


def shared_library(text, compiler, flags, folder):
    """The library's path."""
    return built(text, compiler, [*flags, "-shared", "-fPIC"], ".so", folder)
