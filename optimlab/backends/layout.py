"""The memory layout of a matrix, in the terms of a BLAS's ``gemm``."""

from __future__ import annotations

from typing import Any, NamedTuple


class Layout(NamedTuple):
    transposed: bool
    """True if the matrix is stored by columns."""
    leading: int
    """The distance between two rows, or two columns if transposed, in numbers."""


def layout(x: Any) -> Layout | None:
    """Return the layout of a NumPy or CuPy matrix; None if its rows are strided, overlapping or reversed.

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
