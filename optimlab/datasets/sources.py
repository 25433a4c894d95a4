"""Where the files of a data set are: on this machine, or at an address they are fetched from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .dataset import Dataset

VARIABLE = "OPTIMLAB_DATA"


@dataclass(frozen=True)
class File:
    """One file: its name at the mirrors, the names it may have here (first come first), its greatest size."""

    name: str
    names: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Source:
    """A published data set: its files, the addresses of folders that hold them, how they are read."""

    name: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    read: Callable[[tuple[Path, ...]], Dataset]

    def load(self, root: str | Path | None = None) -> Dataset:
        """Read it from where it is.

        Raises
        ------
        InputError: a file is nowhere, or not what it should be.
        """
        paths = []
        for file in self.files:
            path = self.find(file, root)
            if path is None:
                where = ", ".join(map(str, places(root)))
                raise InputError(f"{self.name}: no {file.name} in {where}; get it from {self.mirrors[0]}")
            paths.append(path)
        return self.read(tuple(paths))

    def find(self, file: File, root: str | Path | None = None) -> Path | None:
        """The file in the first place that has it, directly or in a folder named after the data set."""
        for place in places(root):
            for folder in (place / self.name, place):
                for name in file.names:
                    if (folder / name).exists():
                        return folder / name
        return None


def places(root: str | Path | None = None) -> Iterator[Path]:
    """Where data sets are looked for: ``root``, the folder that OPTIMLAB_DATA names, the user's cache folder."""
    if root is not None:
        yield Path(root)
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
    yield cache_folder()


def cache_folder() -> Path:
    """The user's own cache folder for optimlab."""
    from platformdirs import user_cache_path

    return user_cache_path("optimlab", appauthor=False)
