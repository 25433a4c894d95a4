"""Finished runs on disk: one line of JSON each, written once and never changed."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import json_ready

FILE = "runs.jsonl"


class Store:
    """The runs in ``folder/runs.jsonl``, by key.

    A record is one line, flushed to the disk before :meth:`append` returns, so that whatever ends the program,
    finished runs stay. A line that was cut off by it is dropped with a warning at the next start.

    Raises
    ------
    InputError: the folder cannot be made or written to, or the file holds something else.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> store = Store(folder)
    >>> store.append({"key": "a", "loss": float("nan")})
    >>> Store(folder).records
    {'a': {'key': 'a', 'loss': None}}
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE
        self.records: dict[str, dict[str, Any]] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab"):
                pass
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot write to the output folder {self.folder}: {error.strerror}") from None
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            warnings.warn(f"{self.path}: dropped a last line that was cut off", stacklevel=2)
            os.truncate(self.path, whole)
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                record = json.loads(line)
                self.records[record["key"]] = record
            except (ValueError, TypeError, KeyError):
                raise InputError(f"{self.path}, line {number}: not a record of a run") from None

    def append(self, record: dict[str, Any]) -> None:
        """Keep one finished run. NaN and infinity become null.

        Raises
        ------
        InputError: the disk is full or the file can no longer be written; earlier records are whole.
        """
        record = json_ready(record)
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}") from None
        self.records[record["key"]] = record

    def finished(self, key: str) -> bool:
        """Whether the run need not be run again; one that ended in an error is tried anew."""
        return key in self.records and self.records[key]["status"] in ("ok", "diverged")
