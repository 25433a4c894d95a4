"""Where the files of a data set are: on this machine, or at an address they are fetched from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .dataset import Dataset
from .downloads import download

VARIABLE = "OPTIMLAB_DATA"


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes
    ----------
    name: its name at the mirrors.
    names: the names it may have on this machine, the preferred first.
    limit: its greatest size in bytes.
    check: raises InputError if a file is not the published one.
    """

    name: str
    names: tuple[str, ...]
    limit: int
    check: Callable[[Path], None]


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes
    ----------
    name: the name it is loaded by.
    files: what it is made of.
    mirrors: addresses of folders that hold them, tried in this order.
    read: makes the data set from the paths of the files.
    """

    name: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    read: Callable[[tuple[Path, ...]], Dataset]

    def load(self, root: str | Path | None = None, download: bool = True) -> Dataset:
        """Read it from where it is, having fetched what is nowhere.

        Raises
        ------
        InputError: a file is not what it should be, or is nowhere and cannot be fetched.
        """
        return self.read(tuple(self.find(file, root) or self._fetch(file, root, download) for file in self.files))

    def find(self, file: File, root: str | Path | None = None) -> Path | None:
        """The file in the first place that has it, in a subfolder named after the data set or directly."""
        folders = (folder for place in places(root) for folder in (place / self.name, place))
        paths = (folder / name for folder in folders for name in file.names)
        return next((path for path in paths if path.exists()), None)

    def _fetch(self, file: File, root: str | Path | None, allowed: bool) -> Path:
        from filelock import FileLock

        reason = "downloads are off"
        if allowed:
            place = _writable(root, self.name)
            path = place / self.name / file.name
            addresses = [mirror + file.name for mirror in self.mirrors]
            try:
                with FileLock(place / f".{self.name}.lock"):
                    if path.exists():  # another process was quicker
                        return path
                    for left in path.parent.glob(f".{file.name}.*"):  # by a process that was killed
                        left.unlink()
                    download(path, addresses, file.limit, file.check)
                    return path
            except InputError as error:
                reason = str(error)
                with contextlib.suppress(OSError):  # unless it holds other files
                    path.parent.rmdir()
        missing = [f for f in self.files if self.find(f, root) is None]
        raise InputError(
            f"{self.name}: {file.name} is in none of {', '.join(map(str, places(root)))}, and was not downloaded "
            f"({reason}). Get {', '.join(f.name for f in missing)} from {' or '.join(self.mirrors)} and put "
            f"{'it' if len(missing) == 1 else 'them'} into {places(root)[0] / self.name}, or say where "
            f"{'it is' if len(missing) == 1 else 'they are'} by root= or {VARIABLE}"
        )


def places(root: str | Path | None = None) -> list[Path]:
    """Where data sets are looked for: ``root``, the folder that OPTIMLAB_DATA names, the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = [Path(folder).expanduser() for folder in (root, os.environ.get(VARIABLE)) if folder]
    return [*chosen, user_cache_path("optimlab", appauthor=False)]


def _writable(root: str | Path | None, name: str) -> Path:
    """The first place in which the data set can have a folder."""
    for place in places(root):
        with contextlib.suppress(OSError):
            (place / name).mkdir(parents=True, exist_ok=True)
            if os.access(place, os.W_OK) and os.access(place / name, os.W_OK):
                return place
    raise InputError(f"{name}: none of {', '.join(map(str, places(root)))} can be written to")


__all__ = ["VARIABLE", "File", "Source", "places"]
