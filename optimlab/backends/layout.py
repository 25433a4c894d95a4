"""How a matrix lies in memory, as a ``gemm`` of any BLAS is told."""

from __future__ import annotations

from typing import Any, NamedTuple


class Layout(NamedTuple):
    transposed: bool
    """Whether the lines that it lies in are its columns."""
    leading: int
    """The distance between two lines, in numbers."""


def layout(x: Any) -> Layout | None:
    """Of a matrix of NumPy or CuPy; None where the numbers of a line do not follow each other, or lines overlap or run
    backwards.

    >>> import numpy as np
    >>> x = np.zeros((2, 3))
    >>> layout(x), layout(x.T), layout(x[:, :2]), layout(x[:, ::2])
    (Layout(transposed=False, leading=3), Layout(transposed=True, leading=3), Layout(transposed=False, leading=3), None)
    """
    rows, columns = zip(x.shape, x.strides, strict=True)
    for transposed, (lines, apart), (length, step) in ((False, rows, columns), (True, columns, rows)):
        following = length == 1 or step == x.itemsize
        if following and lines == 1:
            return Layout(transposed, length)
        if following and apart >= length * x.itemsize and apart % x.itemsize == 0:
            return Layout(transposed, apart // x.itemsize)
    return None
