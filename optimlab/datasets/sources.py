"""Where the files of a data set are: on this machine, or at an address they are fetched from."""

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
    name: the name it is loaded by.
    files: what it is made of.
    mirrors: addresses of folders that hold them, tried in this order.
    rows: of the training, validation and test split.
    features: of a row.
    classes: their names.
    read: makes the data set from the paths of the files.
    """

    name: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    rows: tuple[int, int, int]
    features: int
    classes: tuple[str, ...]
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
            f"{'it' if len(missing) == 1 else 'them'} into {folder}, or say by root= or {VARIABLE} where to look"
        )


def places(root: str | Path | None = None) -> list[Path]:
    """Where data sets are looked for: ``root``, the folder that OPTIMLAB_DATA names, the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = [Path(folder).expanduser() for folder in (root, os.environ.get(VARIABLE)) if folder]
    return [*chosen, user_cache_path("optimlab", appauthor=False)]


__all__ = ["VARIABLE", "File", "Source", "places"]
