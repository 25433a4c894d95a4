"""The folder of a search, from which it can continue.

``journal.log``, a journal of Optuna, is the source of truth. A trial is added when it is finished, as one line with
our whole record. So no trial is ever half stored: one that was running is missing, and is proposed again with the same
hyperparameters (see :mod:`optimlab.tuning.sampler`). ``trials.jsonl`` is derived from the journal.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..common.errors import InputError, exact
from ..common.files import check_writable, json_ready, write_atomically
from ..study import store
from .plan import Search
from .sampler import direction, frozen, quiet

JOURNAL, TRIALS, SUMMARY = "journal.log", "trials.jsonl", "summary.json"
BEST, RETRAINED = "best.npz", "retrained.npz"
STUDY = "optimlab tune"

Record = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the folder, and lock out all other writers until the block or the process ends.

    Raises
    ------
    InputError: another process is writing there, or the folder cannot be written.
    """
    check_writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the output folder {folder}: {error.strerror}") from None
    with store.locked(folder):
        yield


class Journal:
    """The finished trials of a search, in order. Use it only within :func:`locked`.

    Raises
    ------
    InputError: the folder holds another search or something else; nothing is changed.
    """

    def __init__(self, folder: Path, search: Search) -> None:
        self.folder, self.search = folder, search
        self._study, self.records = _opened(folder, search)
        write_atomically(folder / TRIALS, "".join(map(_line, self.records)))

    def append(self, record: Record) -> None:
        """Store a finished trial. It is on disk when this returns.

        Raises
        ------
        InputError: the disk is full, or the folder can no longer be written. Earlier trials stay intact.
        """
        record = json_ready(record)
        try:
            with quiet():
                self._study.add_trial(frozen(self.search, record))
            with (self.folder / TRIALS).open("a") as file:
                file.write(_line(record))
        except OSError as error:
            raise InputError(f"cannot write to {self.folder}: {error.strerror}") from None
        self.records.append(record)


def _line(record: Record) -> str:
    return json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"


def check_folder(folder: Path, search: Search) -> None:
    """Check that ``search`` can run in a folder, without writing there.

    Raises
    ------
    InputError: as :func:`locked` and :class:`Journal`.
    """
    check_writable(folder)
    if (folder / store.LOCK).exists():
        with locked(folder):
            pass
    _refuse_others(folder)
    if (folder / JOURNAL).exists():
        with TemporaryDirectory() as copy:
            shutil.copy(folder / JOURNAL, copy)
            try:
                _opened(Path(copy), search)
            except InputError as error:
                raise InputError(str(error).replace(copy, str(folder))) from None


def _refuse_others(folder: Path) -> None:
    if not (folder / JOURNAL).exists():
        for name in (TRIALS, SUMMARY, BEST, "runs.jsonl"):
            if (folder / name).exists():
                raise InputError(f"{folder} holds something other than a search: {name}; name another folder (--out)")


def _opened(folder: Path, search: Search) -> tuple[Any, list[Record]]:
    """Return Optuna's study in the folder, created if there is none, and its records."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    path = folder / JOURNAL
    _refuse_others(folder)
    config = json.loads(json.dumps(search.config()))
    _drop_torn_line(path)
    try:
        with quiet():
            lock: Any = _HeldLock()
            backend = JournalFileBackend(str(path), lock_obj=lock)
            storage = optuna.storages.JournalStorage(backend)
            names = [study.study_name for study in optuna.get_all_study_summaries(storage)]
            if names not in ([], [STUDY]):
                raise InputError(
                    f"{path} holds other studies of Optuna: {', '.join(names)}; name another folder (--out)"
                )
            if names:  # create_study(load_if_exists=True) would write to a journal that may be rejected below
                study = optuna.load_study(storage=storage, study_name=STUDY)
            else:
                study = optuna.create_study(storage=storage, study_name=STUDY, direction=direction(search))
            if "search" not in study.user_attrs and not study.trials:  # new, or killed before this line
                study.set_user_attr("search", config)
            there = {**study.user_attrs["search"]}
            records = [_checked(search, k, trial) for k, trial in enumerate(study.trials)]
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    except InputError:
        raise
    except Exception as error:  # Optuna has no error of its own for a journal it cannot read
        raise InputError(f"{path} is not the journal of a search: {type(error).__name__}: {error}") from None
    differing = [f"{name} {_told(there, name)}, now {_told(config, name)}" for name in _differing(there, config)]
    if differing:
        raise InputError(f"{folder} holds another search: {'; '.join(differing)}; name another folder (--out)")
    return study, records


def _checked(search: Search, number: int, trial: Any) -> Record:
    """Return a trial's record if the trial finished."""
    record: Record = trial.user_attrs["record"]
    scores = [record[name] for name in ("val_score", "val_loss")]
    whole = record["status"] == "diverged" or all(isinstance(value, int | float) for value in scores)
    if record["number"] != number or record["status"] not in ("ok", "diverged") or not whole:
        raise ValueError(f"trial {number} has no complete record")
    return record


def _differing(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return the names whose values differ, with spaces and fixed values compared one by one."""

    def flat(config: dict[str, Any]) -> dict[str, Any]:
        whole = {name: value for name, value in config.items() if name not in ("spaces", "fixed")}
        for part in ("spaces", "fixed"):
            whole |= {f"{part}.{name}": value for name, value in config.get(part, {}).items()}
        return whole

    a, b = flat(there), flat(here)
    return [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]


def _told(config: dict[str, Any], name: str) -> str:
    part, _, inner = name.partition(".")
    value = config.get(part, {}).get(inner) if inner else config.get(name)
    if isinstance(value, dict):
        if "choices" in value:
            return ",".join(map(exact, value["choices"]))
        return f"{exact(value['low'])}:{exact(value['high'])}:{value['scale']}"
    return "absent" if value is None else repr(value)


def _drop_torn_line(path: Path) -> None:
    """Drop an incomplete last line, left by a kill: lines after it could not be read."""
    try:
        with path.open("ab"):
            pass
        content = path.read_bytes()
        if not content.startswith(_FIRST[: len(content)]):
            raise InputError(f"{path} is not the journal of a search; name another folder (--out)")
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.truncate(path, end)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


_FIRST = b'{"op_code"'
"""The first bytes of a journal of Optuna."""


class _HeldLock:
    """A lock that does nothing. The folder is already locked, and Optuna's own lock would outlive a kill."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
