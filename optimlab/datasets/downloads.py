"""Fetching a file from the first of several addresses that gives the right one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError, one_line
from ..files import whole_or_absent
from ..progress import download_bar

TIMEOUT = 30
"""Seconds to wait for a connection, and for each part of a file."""
_PARTS = 5
"""How often a download that was cut off is taken up again."""


def download(path: Path, addresses: Sequence[str], limit: int, check: Callable[[Path], None]) -> None:
    """Fetch the file ``path`` of at most ``limit`` bytes; it appears when it is whole and has passed ``check``.

    What is cut off is gone on with where it was cut, if the server can, else begun again.

    Raises
    ------
    InputError: no address gives the file, with the reason of each; or it cannot be written. Nothing is left behind.
    """
    from requests import RequestException

    reasons = []
    for address in addresses:
        try:
            with whole_or_absent(path) as file:
                with download_bar(path.name, limit) as show:
                    _receive(address, _Limited(file, limit, show))
                file.flush()
                check(Path(file.name))
            return
        except InputError as error:
            reasons.append(f"{address}: {str(error).replace(f'{file.name}: ', '')}")
        except RequestException as error:
            reasons.append(f"{address}: {_reason(error)}")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from None
    raise InputError("; ".join(reasons))


class _Limited:
    """A file that takes at most ``limit`` bytes."""

    def __init__(self, file: BinaryIO, limit: int, show: Callable[[int], None]) -> None:
        self.file, self.limit, self.show = file, limit, show

    def write(self, chunk: bytes) -> None:
        if self.file.tell() + len(chunk) > self.limit:
            raise InputError(f"sends more than the {self.limit} bytes this file can have")
        self.file.write(chunk)
        self.show(self.file.tell())

    def flush(self) -> None:
        """Not after each chunk."""

    def restart(self) -> None:
        """Forget what has come."""
        self.file.seek(0)
        self.file.truncate()


def _receive(address: str, out: _Limited) -> None:
    from pooch import HTTPDownloader
    from requests.exceptions import ChunkedEncodingError, ConnectionError

    for part in range(_PARTS):
        done = out.file.tell()

        def begin(response: Any, *_: Any, done: int = done, **__: Any) -> None:
            goes_on = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
                f"bytes {done}-"
            )
            if response.ok and not response.is_redirect and not goes_on:
                if response.status_code != 200:
                    raise InputError(f"answers {response.status_code} where a file was asked for")
                out.restart()

        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        try:
            HTTPDownloader(chunk_size=1 << 16, headers=headers, hooks={"response": begin}, timeout=TIMEOUT)(
                address, out, None
            )
            return
        except (ChunkedEncodingError, ConnectionError):
            if part == _PARTS - 1 or out.file.tell() == done:
                raise


def _reason(error: Exception) -> str:
    """Few words for what the network's libraries say at length."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"answers {error.response.status_code} {error.response.reason}".rstrip()
    for kind, words in (
        (exceptions.Timeout, "no answer"),
        (exceptions.ChunkedEncodingError, "was cut off"),
        (exceptions.ConnectionError, "no connection"),
    ):
        if isinstance(error, kind):
            return words
    return one_line(error)


__all__ = ["download"]
