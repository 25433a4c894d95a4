"""C and C++ texts as shared libraries; what a worker or an earlier session has compiled is not compiled again."""

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


def shared_library(text, compiler, flags, folder):
    """The library's path; its name is made of all that the compiler is given. ``folder`` is for when none is kept."""
    name = hashlib.sha256("\0".join([version(compiler), *flags, text]).encode()).hexdigest()[:32]
    library = Path(kept[0] if kept else folder) / f"{name}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")  # other workers may be at it
        command = [compiler, *flags, "-shared", "-fPIC", "-", "-o", str(part), "-lm"]
        result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        part.replace(library)
    return library
