"""The memory layout of a matrix, in the terms of a BLAS's ``gemm``; and how shapes broadcast."""

from __future__ import annotations

from collections.abc import Sequence
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


def broadcast(shape: Sequence[Any], domain: Sequence[Any]) -> str:
    """Return how a formula over ``domain`` sees an input of this shape; empty if it does not broadcast to it.

    The words are those of :data:`optimlab.kernels.c_source.SHAPES`, and ``"full"``.

    >>> [broadcast(shape, (7, 5)) for shape in ((7, 5), (5,), (1, 5), (7, 1), (1,), (7,))]
    ['full', 'row', 'row', 'column', 'scalar', '']
    >>> [broadcast(shape, (3, 7, 5)) for shape in ((3, 1, 5), (3, 1, 1))]
    ['rows', 'scalars']
    """
    shape, domain = tuple(shape), tuple(domain)
    if shape == domain:
        return "full"
    if all(n == 1 for n in shape):
        return "scalar"
    if shape[-1] == domain[-1] and all(n == 1 for n in shape[:-1]):
        return "row"
    if shape == (*domain[:-1], 1):
        return "column"
    if len(domain) == 3 and shape in ((domain[0], 1, 1), (domain[0], 1, domain[2])):
        return "scalars" if shape[2] == 1 else "rows"
    return ""
