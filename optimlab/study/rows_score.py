"""The contribution of each row of a shared test set to a score, packed as text, and the error due to these rows."""

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
"""Limit of the rows of a packed text: the unpacked array must fit into memory."""


def contributions(network: Network, x: Any, y: Any) -> NDArray[Any]:
    """Return the contribution of each row to the score, which is the mean of the contributions.

    For a classifier they are booleans, True for the rows that it classifies correctly. For a regression, row i
    contributes ``1 - n e_i / sum_j v_j``, where ``e_i`` is its squared error and ``v_j`` is the squared deviation of
    target j from the mean of the targets.
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
    """Return the packed contributions of the test rows; empty if they are not finite."""
    values = contributions(network, data.x_test, data.y_test)
    return packed(values) if np.isfinite(values.astype("float32")).all() else ""


def packed(contributions: Any) -> str:
    """Pack booleans (eight per byte) or numbers (as float32) into text: their count, then deflated base 64.

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
    """Return the booleans or numbers that :func:`packed` encoded.

    Raises
    ------
    InputError: the text was not made by ``packed``.
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
        raise InputError(f"{text!r:.40} does not encode the contributions of test rows to a score") from None


def rows_error(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> float:
    """Return the standard error of a difference in score due to the choice of rows in a shared test set.

    Let ``d_i`` be the difference of the two mean contributions of row i (for classes, of the shares of replicates that
    classify it correctly). The standard error is the standard deviation of the ``d_i`` over the square root of their
    number. For one replicate of a classifier its square is McNemar's ``(b + c - (b - c)^2 / n) / (n (n - 1))``, where b
    and c are the numbers of rows that only one of the two classifies correctly.

    Parameters
    ----------
    first, second: the contributions of the rows, one array per replicate.

    >>> one, other = np.array([True, True, False, True]), np.array([True, False, False, False])
    >>> round(rows_error([one], [other]), 4)  # b = 2, c = 0: sqrt((2 - 4 / 4) / 12)
    0.2887
    """
    difference = np.mean(first, axis=0, dtype=float) - np.mean(second, axis=0, dtype=float)
    return float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else 0.0
