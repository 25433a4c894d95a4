"""Finished runs on disk: one line of JSON each, written once and never changed."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import InputError
from ..files import flush_folder, json_ready

FILE = "runs.jsonl"
GRACE = 1.0
"""Seconds that a writer waits for another one to end."""


class Store:
    """The runs in ``folder/runs.jsonl``, by key.

    A record is one line, flushed to the disk before :meth:`append` returns, so that whatever ends the program,
    finished runs stay. A line that was cut off by it is dropped with a warning at the next start. Of several records
    with one key, such as a run that failed and was tried again, the last counts.

    ``with store:`` keeps all other writers out until the block ends, or the process does, however that happens;
    outside of it each :meth:`append` does so for itself. Reading is always possible.

    Raises
    ------
    InputError: the folder cannot be made or written to, or the file holds something else.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with Store(folder) as store:
    ...     store.append({"key": "a", "loss": float("nan")})
    >>> Store(folder).records
    {'a': {'key': 'a', 'loss': None}}
    """

    def __init__(self, folder: str | Path) -> None:
        from filelock import FileLock

        self.folder = Path(folder)
        self.path = self.folder / FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch()
                flush_folder(self.folder)
            with self.path.open("ab"):
                pass
        except OSError as error:
            raise InputError(f"cannot write to the output folder {self.folder}: {error.strerror}") from None
        self.records = read(self.folder)
        self._lock = FileLock(self.folder / ".lock", thread_local=False)

    def __enter__(self) -> Store:
        """Keep other writers out, and take in what they wrote before.

        Raises
        ------
        InputError: another process writes here.
        """
        from filelock import Timeout

        try:
            self._lock.acquire(timeout=GRACE, poll_interval=0.02)
        except Timeout:
            raise InputError(f"another process is writing to {self.folder}: wait, or name a new folder") from None
        except OSError as error:
            raise InputError(f"cannot write to the output folder {self.folder}: {error.strerror}") from None
        try:
            content = self.path.read_bytes()
            self.records = _parse(self.path, content)
            if _whole(content) < len(content):
                os.truncate(self.path, _whole(content))
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def append(self, record: dict[str, Any]) -> None:
        """Keep one finished run. NaN and infinity become null.

        Raises
        ------
        InputError: another process writes here, the disk is full or the file can no longer be written; earlier
            records are whole.
        """
        if not self._lock.is_locked:
            with self:
                return self.append(record)
        record = json_ready(record)
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        whole = None
        try:
            with self.path.open("ab") as file:
                whole = file.tell()
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if whole is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, whole)
            raise InputError(f"cannot write {self.path}: {error.strerror}") from None
        self.records[record["key"]] = record

    def finished(self, key: str) -> bool:
        """Whether the run need not be run again; one that ended in an error is tried anew."""
        return key in self.records and self.records[key]["status"] in ("ok", "diverged")


def read(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The records in ``folder``, by key, without changing anything there; others may be writing.

    Raises
    ------
    InputError: there are none, or the file holds something else.
    """
    path = Path(folder) / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if _whole(content) < len(content):
        warnings.warn(f"{path}: dropped a last line that was cut off", stacklevel=3)
    return _parse(path, content)


def _whole(content: bytes) -> int:
    """The length of what was written to its end."""
    return content.rfind(b"\n") + 1


def _parse(path: Path, content: bytes) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(content[: _whole(content)].splitlines(), 1):
        try:
            record = json.loads(line)
            records[record["key"]] = record
        except (ValueError, TypeError, KeyError):
            raise InputError(f"{path}, line {number}: not a record of a run") from None
    return records
