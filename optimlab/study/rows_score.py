"""The contribution of each row of a shared test set to a score, packed into a text, and the error that rows bring."""

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


def contributions(network: Network, x: Any, y: Any) -> NDArray[Any]:
    """What each row contributes to the score, which is their mean.

    Of a classifier these are booleans: the rows that it has right. Of a regression, row i contributes
    ``1 - n e_i / sum_j v_j``, with ``e_i`` its squared error and ``v_j`` the squared difference of a target from their
    mean.
    """
    answers = network.backend.to_numpy(network.predict(x))
    if network.of_classes:
        right: NDArray[np.bool_] = answers == np.asarray(y)
        return right
    targets = np.asarray(y, "float64").reshape(len(answers), -1)
    errors = ((answers - targets) ** 2).sum(axis=1)
    variation = ((targets - targets.mean(axis=0)) ** 2).sum()
    shares: NDArray[Any] = 1 - len(errors) * errors / variation if variation else np.full(len(errors), np.nan)
    return shares


def rows_score(network: Network, data: Dataset) -> str:
    """The contributions of the test rows, packed; empty if they are not finite."""
    found = contributions(network, data.x_test, data.y_test)
    return packed(found) if np.isfinite(found.astype("float32")).all() else ""


def packed(contributions: Any) -> str:
    """Booleans, eight a byte, or numbers as float32, as a text: deflated, base 64, with their number in front.

    >>> unpacked(packed(np.array([True, False, True]))).tolist()
    [True, False, True]
    >>> unpacked(packed(np.array([0.5, -2.0]))).tolist()
    [0.5, -2.0]
    """
    values = np.asarray(contributions)
    whole = values.dtype == bool
    content = np.packbits(values).tobytes() if whole else values.astype("<f4").tobytes()
    return f"{len(values)}{':' if whole else 'x'}{base64.b64encode(zlib.compress(content, 9)).decode()}"


def unpacked(text: str) -> NDArray[Any]:
    """The booleans or numbers of :func:`packed`.

    Raises
    ------
    InputError: the text is not one that ``packed`` made.
    """
    try:
        whole = ":" in text
        number, _, packed_text = text.partition(":" if whole else "x")
        rows = int(number)
        if not 0 < rows <= MOST_ROWS:
            raise ValueError
        stream, size = zlib.decompressobj(), -(-rows // 8) if whole else 4 * rows
        content = stream.decompress(base64.b64decode(packed_text, validate=True), size + 1)
        if len(content) != size or not stream.eof:
            raise ValueError
        if whole:
            return np.unpackbits(np.frombuffer(content, np.uint8), count=rows).astype(bool)
        values: NDArray[Any] = np.frombuffer(content, "<f4").astype("float64")
        if not np.isfinite(values).all():
            raise ValueError
        return values
    except (ValueError, zlib.error):
        raise InputError(f"{text!r:.40} does not say what each test row contributes to a score") from None


def rows_error(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> float:
    """The standard error that the rows of one test set, shared by all replicates, bring to a difference in score.

    With ``d_i`` the difference of the two mean contributions of row i (for classes, the shares of replicates that have
    it right), it is the standard deviation of the ``d_i`` over the square root of their number. For one replicate of a
    classifier its square is McNemar's
    ``(b + c - (b - c)^2 / n) / (n (n - 1))``, with b and c the rows that only one of the two has right.

    >>> one, other = np.array([True, True, False, True]), np.array([True, False, False, False])
    >>> round(rows_error([one], [other]), 4)  # b = 2, c = 0: sqrt((2 - 4 / 4) / 12)
    0.2887
    """
    difference = np.mean(first, axis=0, dtype=float) - np.mean(second, axis=0, dtype=float)
    return float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else 0.0
