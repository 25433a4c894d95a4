"""Which rows of a shared test set a run has right, packed into a short text, and the error that these rows bring."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..datasets import Dataset
from ..nn.network import Network

MOST_ROWS = 10_000_000
"""A packed text of more is refused: what it unpacks to must fit into memory."""


def rows_right(network: Network, data: Dataset) -> str:
    """The test rows that the network classifies rightly, packed."""
    x = network.check_inputs(data.x_test)
    backend = network.backend
    right = [backend.to_numpy(outputs).argmax(-1) == data.y_test[part] for part, outputs in network.evaluated(x)]
    return packed(np.concatenate(right))


def packed(right: Any) -> str:
    """Booleans as a text: eight a byte, deflated, base 64, with their number in front.

    >>> unpacked(packed(np.array([True, False, True]))).tolist()
    [True, False, True]
    """
    bits = np.packbits(np.asarray(right, bool)).tobytes()
    return f"{len(right)}:{base64.b64encode(zlib.compress(bits, 9)).decode()}"


def unpacked(text: str) -> NDArray[np.bool_]:
    """The booleans of :func:`packed`.

    Raises
    ------
    InputError: the text is not one that ``packed`` made.
    """
    try:
        number, _, content = text.partition(":")
        rows = int(number)
        if not 0 < rows <= MOST_ROWS:
            raise ValueError
        stream, size = zlib.decompressobj(), -(-rows // 8)
        bits = stream.decompress(base64.b64decode(content, validate=True), size + 1)
        if len(bits) != size or not stream.eof:
            raise ValueError
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=rows).astype(bool)
    except (ValueError, zlib.error):
        raise InputError(f"{text!r:.40} does not name the test rows that a run has right") from None


def rows_error(first: Sequence[NDArray[np.bool_]], second: Sequence[NDArray[np.bool_]]) -> float:
    """The standard error that the rows of one test set, shared by all replicates, bring to a difference in accuracy.

    With ``d_i`` the difference of the two shares of replicates that have row i right, it is the standard deviation of
    the ``d_i`` over the square root of their number. For one replicate its square is McNemar's
    ``(b + c - (b - c)^2 / n) / (n (n - 1))``, with b and c the rows that only one of the two has right.

    >>> one, other = np.array([True, True, False, True]), np.array([True, False, False, False])
    >>> round(rows_error([one], [other]), 4)  # b = 2, c = 0: sqrt((2 - 4 / 4) / 12)
    0.2887
    """
    difference = np.mean(first, axis=0, dtype=float) - np.mean(second, axis=0, dtype=float)
    return float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else 0.0
