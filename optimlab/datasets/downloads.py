"""Download of a file from the first of several addresses that serves the right one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ..common.errors import InputError, one_line
from ..common.files import whole_or_absent
from ..common.progress import download_bar

TIMEOUT = 30
"""Seconds to wait for a connection, and for each part of a file."""
_PARTS = 5
"""Number of attempts to resume an interrupted download."""
_CHUNK = 8192
"""Bytes written at a time; as many may be lost if a download is interrupted."""
_HOUR = 3600


@dataclass(frozen=True)
class File:
    """A file of a data set.

    Attributes
    ----------
    name: its name at the mirrors.
    names: the names that it may have on this machine, the preferred one first.
    limit: its largest size in bytes.
    check: a function that raises InputError if a file is not the published one.
    """

    name: str
    names: tuple[str, ...]
    limit: int
    check: Callable[[Path], None]


def download(path: Path, addresses: Sequence[str], file: File) -> Path:
    """Download ``file`` to ``path``, which appears only when the file is complete and has passed its check.

    An interrupted download is resumed if the server supports it, else started again.

    Parameters
    ----------
    path: the path to write.
    addresses: the addresses to try, in order.
    file: the file, with its limit and its check.

    Raises
    ------
    InputError: no address serves the file (the message has the reason for each), or it cannot be written. Nothing is
        left behind.
    """
    created = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        return _first(path, addresses, file)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        if created and not path.exists():
            with contextlib.suppress(OSError):  # the folder is not empty any more
                path.parent.rmdir()


def _first(path: Path, addresses: Sequence[str], file: File) -> Path:
    from requests import RequestException

    reasons = []
    for address in addresses:
        try:
            with whole_or_absent(path) as out:
                with download_bar(path.name) as show:
                    _receive(address, _Limited(out, file.limit, show))
                out.flush()
                file.check(Path(out.name))
            return path
        except InputError as error:
            reasons.append(f"{address}: {str(error).removeprefix(f'{out.name}: ')}")
        except RequestException as error:
            reasons.append(f"{address}: {_reason(error)}")
    raise InputError("; ".join(reasons))


def _sweep(path: Path) -> None:
    """Remove parts of the file that a killed process left at least an hour ago."""
    for left in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):  # another process removed it first
            if time.time() - left.stat().st_mtime > _HOUR:
                left.unlink()


class _Limited:
    """A file of at most ``limit`` bytes that shows how many of ``total`` it has."""

    def __init__(self, file: BinaryIO, limit: int, show: Callable[[int, int | None], None]) -> None:
        self.file, self.limit, self.show = file, limit, show
        self.total: int | None = None

    def write(self, chunk: bytes) -> None:
        if self.file.tell() + len(chunk) > self.limit:
            raise InputError(f"sends more than the {self.limit} bytes that this file can have")
        self.file.write(chunk)
        self.show(self.file.tell(), self.total)

    def flush(self) -> None:
        """Do nothing: the file is flushed only at the end, not after each chunk."""

    def restart(self) -> None:
        """Discard what has been received."""
        self.file.seek(0)
        self.file.truncate()


def _receive(address: str, out: _Limited) -> None:
    from pooch import HTTPDownloader
    from requests.exceptions import ChunkedEncodingError, ConnectionError

    for part in range(_PARTS):
        done = out.file.tell()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        hooks = {"response": partial(_begin, out, done)}
        try:
            HTTPDownloader(chunk_size=_CHUNK, headers=headers, hooks=hooks, timeout=TIMEOUT)(address, out, None)
            return
        except (ChunkedEncodingError, ConnectionError) as error:
            begun = isinstance(error, ChunkedEncodingError) or out.file.tell() > done
            if not begun or part == _PARTS - 1:
                raise


def _begin(out: _Limited, done: int, response: Any, **_: Any) -> None:
    """Check a response before its content is written: it must continue where the last one was interrupted."""
    if response.status_code == 200:
        out.restart()
    elif response.status_code == 206:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise InputError("sends another part than requested")
    elif response.ok and not response.is_redirect:
        raise InputError(f"answers {response.status_code} instead of a file")
    length = response.headers.get("Content-Length", "")
    out.total = out.file.tell() + int(length) if length.isdecimal() else None


def _reason(error: Exception) -> str:
    """Return a short description of a network error."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"answers {error.response.status_code} {error.response.reason}".rstrip()
    for kind, words in (
        (exceptions.Timeout, "no answer"),
        (exceptions.ChunkedEncodingError, "was interrupted"),
        (exceptions.ConnectionError, "no connection"),
    ):
        if isinstance(error, kind):
            return words
    return one_line(error)


__all__ = ["File", "download"]
