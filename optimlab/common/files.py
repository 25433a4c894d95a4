"""Atomic writing of files: a file is complete or absent."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InputError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it.

    Raises
    ------
    InputError: the file cannot be written; an existing file stays as it was, and no temporary file remains.
    """
    try:
        with whole_or_absent(path) as file:
            # a file name that is not valid UTF-8 is written with escapes
            file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def whole_or_absent(path: Path) -> Iterator[BinaryIO]:
    """Yield a file under a temporary name, renamed if the block succeeds and removed otherwise.

    Raises
    ------
    OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def check_folder_name(name: str, taken: Iterable[str] = ()) -> None:
    """Check that a new folder can have this name on every system, next to the names ``taken``.

    Raises
    ------
    InputError: the name is a path, reserved, or too long, or it differs from a taken name only in case.

    >>> check_folder_name("..")
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: '..' cannot be the name of a folder: it must neither begin nor end with a dot ...
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    same = next((other for other in taken if unicodedata.normalize("NFKC", other).casefold() == folded), None)
    if same is not None:
        why = "it is taken" if same == name else f"on some systems it is the same as {same!r}"
    elif not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        why = "it contains a character that some systems do not allow"
    elif not name or name != name.strip(". "):
        why = "it must neither begin nor end with a dot or a space"
    elif folded.partition(".")[0] in _RESERVED:
        why = "it is reserved"
    elif len(name.encode("utf-8", "replace")) > 100:
        why = f"it is too long: {len(name.encode())} bytes, and 100 are allowed"
    else:
        return
    raise InputError(f"{name!r} cannot be the name of a folder: {why}")


def check_writable(folder: Path, *names: str) -> None:
    """Check that a folder can be created and written, and that no file of these names is read-only; change nothing.

    Raises
    ------
    InputError: the folder or a file cannot be written; the message says why.
    """
    try:
        place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not all(os.access(p, os.W_OK) for p in (place, *(folder / name for name in names)) if p.exists()):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"cannot write to the output folder {folder}: {error.strerror}") from None


def flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that new names survive a power cut, if the system supports it."""
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


def json_text(value: Any, *, indent: int | None = 2, ascii_only: bool = True) -> str:
    """Return ``value`` as JSON that every parser reads; non-finite numbers become null.

    >>> json_text({"cap": float("inf")}, indent=None)
    '{"cap": null}'
    """
    return json.dumps(json_ready(value), indent=indent, allow_nan=False, ensure_ascii=ascii_only)


def json_ready(value: Any) -> Any:
    """Return ``value`` with None for each non-finite number, because JSON has no NaN and no infinity.

    >>> json_ready({"loss": [0.5, float("nan")]})
    {'loss': [0.5, None]}
    """
    if isinstance(value, dict):
        return {k: json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
