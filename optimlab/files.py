"""Files that are whole or not there."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from .errors import InputError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it.

    Raises
    ------
    InputError: it cannot be written; a file of that name is left as it was, and no other is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make the new name itself outlive a power cut, where the system allows folders to be flushed."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def json_ready(value: Any) -> Any:
    """``value`` with null for each number that is not finite: JSON has no NaN and no infinity.

    >>> json_ready({"loss": [0.5, float("nan")]})
    {'loss': [0.5, None]}
    """
    if isinstance(value, dict):
        return {k: json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
