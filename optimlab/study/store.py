"""Finished runs on disk: one line of JSON each, written once and never changed."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from ..common.errors import InputError, one_line
from ..common.files import flush_folder
from .results import Record, decoded, encoded

BOM = b"\xef\xbb\xbf"
FILE, LOCK = "runs.jsonl", ".lock"
GRACE = 1.0
"""Seconds that a writer waits for another one to end."""


class Finished(Protocol):
    """What a store needs to know of a record."""

    @property
    def key(self) -> str:
        """Digest of the run's configuration."""

    @property
    def status(self) -> str:
        """``"ok"``, ``"diverged"`` or ``"error"``."""


Kept = TypeVar("Kept", bound=Finished)


@dataclass(frozen=True)
class Codec(Generic[Kept]):
    """How a record is written as one line of JSON, and read and checked again."""

    encode: Callable[[Kept], bytes]
    decode: Callable[[bytes], Kept]


RUNS: Codec[Record] = Codec(encoded, partial(decoded, Record))


class Store(Generic[Kept]):
    """The runs in ``folder/runs.jsonl``, by key.

    A record is one line, flushed to the disk before :meth:`append` returns, so that whatever ends the program,
    finished runs stay. A last line that was cut off is dropped with a warning at the next start. If several
    records have one key, because a failed run was tried again, the last counts. Empty lines are skipped.

    ``with store:`` keeps all other writers out until the block ends, or the process does, however that happens;
    outside of it each :meth:`append` does so for itself. Reading is always possible.

    Parameters
    ----------
    codec: writes a record, and reads it back or raises InputError.

    Raises
    ------
    InputError: the folder cannot be created or written, or a line is not a valid record.

    >>> import tempfile
    >>> from optimlab.study import Contender, Problem, Record, Run
    >>> folder, run = tempfile.mkdtemp(), Run(Problem(), Contender("sgd"), 1e30, seed=0)
    >>> with Store(folder) as store:
    ...     store.append([Record(run.key, run.config(), "diverged", val_loss=float("nan"))])
    >>> Store(folder).records[run.key].val_loss is None
    True
    """

    def __init__(self, folder: str | Path, codec: Codec[Kept] = RUNS) -> None:  # type: ignore[assignment]
        self.folder, self._codec = Path(folder), codec
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
        self.records = read(self.folder, codec)
        self._lock: Any = None

    def __enter__(self) -> Store[Kept]:
        """Keep other writers out, and take in what they wrote before.

        Raises
        ------
        InputError: another process writes here.
        """
        lock = _acquired(self.folder)
        try:
            content = self.path.read_bytes()
            self.records, whole = _parse(self.path, content, self._codec)
            if whole < len(content):
                os.truncate(self.path, whole)
            elif content and not content.endswith(b"\n"):  # an editor removed the last newline
                with self.path.open("ab") as file:
                    file.write(b"\n")
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()
        self._lock = None

    def append(self, records: Iterable[Kept]) -> None:
        """Keep runs that have finished together. NaN and infinity become null.

        Raises
        ------
        InputError: another process writes here, the disk is full or the file can no longer be written; earlier
            records are whole.
        """
        if self._lock is None:
            with self:
                return self.append(records)
        lines = [self._codec.encode(record) for record in records]
        whole = None
        try:
            with self.path.open("ab") as file:
                whole = file.tell()
                file.write(b"".join(line + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if whole is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, whole)
            raise InputError(f"cannot write {self.path}: {error.strerror}") from None
        # as they will be read again: NaN has become null
        self.records |= {record.key: record for record in map(self._codec.decode, lines)}

    def finished(self, key: str) -> bool:
        """Whether the run need not be run again; one that ended in an error is tried anew."""
        return key in self.records and self.records[key].status in ("ok", "diverged")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other writers out of an existing folder until the block ends.

    Raises
    ------
    InputError: another process writes there, or the folder cannot be written.
    """
    lock = _acquired(folder)
    try:
        yield
    finally:
        lock.release()


def _acquired(folder: Path) -> Any:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=GRACE, poll_interval=0.02)
    except Timeout:
        raise InputError(f"another process is writing to {folder}: wait, or name another folder (--out)") from None
    except OSError as error:
        raise InputError(f"cannot write to the output folder {folder}: {error.strerror}") from None
    return lock


def read(folder: str | Path, codec: Codec[Kept] = RUNS) -> dict[str, Kept]:  # type: ignore[assignment]
    """The records in ``folder``, by key, without changing anything there; others may be writing.

    Raises
    ------
    InputError: there is no such file, or a line is not a valid record; the message has its number.
    """
    path = Path(folder) / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    records, whole = _parse(path, content, codec)
    if whole < len(content):
        warnings.warn(f"{path}: dropped a last line that was cut off", stacklevel=3)
    return records


def _parse(path: Path, content: bytes, codec: Codec[Kept]) -> tuple[dict[str, Kept], int]:
    """Return the records by key, and the length in bytes of the complete lines."""
    records: dict[str, Kept] = {}
    *lines, last = content.split(b"\n")
    whole = len(content)
    if _is_cut_off(last):
        whole -= len(last)
    else:
        lines.append(last)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = codec.decode(line.removeprefix(BOM))
        except InputError as error:
            raise InputError(f"{path}, line {number}: not a record of a run: {one_line(error)}") from None
        records[record.key] = record
    return records, whole


def _is_cut_off(line: bytes) -> bool:
    """Return True if a last line without a newline is only a part of a record: a part is never valid JSON."""
    if not line.startswith(b"{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False
