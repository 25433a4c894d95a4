"""The store of finished runs: one line of JSON each, written once and never changed."""

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
"""Seconds that a writer waits for another writer to finish."""


class Finished(Protocol):
    """The attributes of a record that a store needs."""

    @property
    def key(self) -> str:
        """Return the digest of the run's configuration."""

    @property
    def status(self) -> str:
        """Return ``"ok"``, ``"diverged"`` or ``"error"``."""


Kept = TypeVar("Kept", bound=Finished)


@dataclass(frozen=True)
class Codec(Generic[Kept]):
    """The functions that write a record as one line of JSON, and read and check it."""

    encode: Callable[[Kept], bytes]
    decode: Callable[[bytes], Kept]


RUNS: Codec[Record] = Codec(encoded, partial(decoded, Record))


class Store(Generic[Kept]):
    """The runs in ``folder/runs.jsonl``, by key.

    A record is one line, and it is flushed to disk before :meth:`append` returns. So finished runs are kept, however
    the program ends. If the last line is incomplete, the next start drops it with a warning. If several records have
    the same key, because a failed run was tried again, the last one counts. Empty lines are skipped.

    ``with store:`` locks out all other writers until the block or the process ends. Outside such a block, each
    :meth:`append` takes the lock. Reading is always possible.

    Parameters
    ----------
    folder: the folder; created if it does not exist.
    codec: writes a record, and reads it back or raises InputError.

    Attributes
    ----------
    records: the records by key.

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
        """Lock out other writers, and read what they have written.

        Raises
        ------
        InputError: another process is writing here.
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
        """Store the records of finished runs. NaN and infinity become null.

        Raises
        ------
        InputError: another process is writing here, or the file cannot be written, for example because the disk is
            full. Earlier records stay intact.
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
        # decoded, as a later reader will see them: NaN has become null
        self.records |= {record.key: record for record in map(self._codec.decode, lines)}

    def finished(self, key: str) -> bool:
        """Return True if a run finished or diverged. A run that ended with an error has to be repeated."""
        return key in self.records and self.records[key].status in ("ok", "diverged")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock other writers out of an existing folder until the block ends.

    Raises
    ------
    InputError: another process is writing there, or the folder cannot be written.
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
    """Read the records in ``folder``, by key. Nothing is changed there, and other processes may be writing.

    Raises
    ------
    InputError: the file cannot be read, or a line is not a valid record; the message has its number.
    """
    path = Path(folder) / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    records, whole = _parse(path, content, codec)
    if whole < len(content):
        warnings.warn(f"{path}: dropped an incomplete last line", stacklevel=3)
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
    """Return True if a last line without a newline is only part of a record: a part is never valid JSON."""
    if not line.startswith(b"{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False
