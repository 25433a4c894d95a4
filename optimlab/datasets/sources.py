"""Sources of data sets: files on this machine, or addresses to download them from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import InputError
from .dataset import Dataset
from .downloads import File, download

VARIABLE = "OPTIMLAB_DATA"


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes
    ----------
    name: its name for :func:`optimlab.datasets.load`.
    files: its files.
    mirrors: addresses of folders with the files, tried in this order.
    rows: the numbers of training, validation and test rows.
    features: the number of features.
    classes: the names of the classes.
    read: a function that makes the data set from the paths of the files.
    """

    name: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    rows: tuple[int, int, int]
    features: int
    classes: tuple[str, ...]
    read: Callable[[tuple[Path, ...]], Dataset]

    def load(self, root: str | Path | None = None, download: bool = True) -> Dataset:
        """Read the data set, after downloading missing files.

        Raises
        ------
        InputError: a file is not the published one, or it is missing and cannot be downloaded.
        """
        return self.read(tuple(self.find(file, root) or self._fetch(file, root, download) for file in self.files))

    def find(self, file: File, root: str | Path | None = None) -> Path | None:
        """Return the path of a file in the first folder that has it; subfolders named after the data set come first."""
        folders = (folder for place in places(root) for folder in (place / self.name, place))
        paths = (folder / name for folder in folders for name in file.names)
        return next((path for path in paths if path.is_file() or path.is_dir()), None)

    def _fetch(self, file: File, root: str | Path | None, allowed: bool) -> Path:
        folder = places(root)[0 if root else -1] / self.name
        if allowed:
            try:
                return download(folder / file.name, [mirror + file.name for mirror in self.mirrors], file)
            except InputError as error:
                reason = str(error)
        else:
            reason = "downloads are off"
        missing = [f.name for f in self.files if self.find(f, root) is None]
        raise InputError(
            f"{self.name}: {file.name} is in none of {', '.join(map(str, places(root)))}, and was not downloaded "
            f"({reason}). Get {', '.join(missing)} from {' or '.join(self.mirrors)} and put "
            f"{'it' if len(missing) == 1 else 'them'} into {folder}, or set root= or {VARIABLE} to their folder"
        )


def places(root: str | Path | None = None) -> list[Path]:
    """Return the folders searched for data sets: ``root``, the folder of OPTIMLAB_DATA, and the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = [Path(folder).expanduser() for folder in (root, os.environ.get(VARIABLE)) if folder]
    return [*chosen, user_cache_path("optimlab", appauthor=False)]


__all__ = ["VARIABLE", "File", "Source", "places"]
