"""The weights of a layer as pictures, one for each unit."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isqrt, prod
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..common.errors import InputError, count
from .comparison import headline

COLOURS = "PuOr_r"
"""Purple for negative, white for 0, orange for positive: told apart by colour-blind readers."""


def weights_figure(name: str, weights: Any, shape: Sequence[int] | None = None, most: int = 64) -> Figure:
    """Draw the weights into each unit of a layer as an image of ``shape``, the first units first, row by row.

    Parameters
    ----------
    name: of the layer.
    weights: shape ``(inputs, units)``.
    shape: rows and columns of an image; None for a square.
    most: the most units that are drawn.

    Raises
    ------
    InputError: the inputs do not fill such an image.

    >>> figure = weights_figure("dense1", np.eye(6), (2, 3))
    >>> figure.axes[0].images[0].get_array().shape
    (8, 7)
    """
    inputs, units = weights.shape
    height, width = _checked(name, inputs, shape)
    shown = min(units, count("most", most))
    across = ceil((shown * height / width) ** 0.5)
    picture = _mosaic(weights.T[:shown].reshape(shown, height, width), across)
    limit = float(np.abs(picture[np.isfinite(picture)]).max(initial=0.0)) or 1.0
    inches = min(8.0, max(4.0, 0.9 * across))
    figure = Figure(figsize=(inches, 0.9 + 0.88 * inches * picture.shape[0] / picture.shape[1]), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(picture, cmap=COLOURS, vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
    figure.colorbar(image, ax=axes, shrink=0.8, label="weight")
    of = "" if shown == units else f" of {units}"
    headline(figure, f"{name}: weights into {shown}{of} units, {height} × {width} inputs each")
    return figure


def _checked(name: str, inputs: int, shape: Sequence[int] | None) -> tuple[int, int]:
    if shape is None:
        side = isqrt(inputs)
        if side * side != inputs:
            raise InputError(f"the {inputs} inputs of {name} make no square image: write shape=(rows, columns)")
        return side, side
    if len(shape) != 2 or prod(count("rows and columns", n) for n in shape) != inputs:
        raise InputError(f"shape must be two numbers whose product is {inputs}, the inputs of {name}; got {shape!r}")
    return int(shape[0]), int(shape[1])


def _mosaic(images: NDArray[Any], across: int) -> NDArray[np.float64]:
    """Join several images into one picture, with a gap of one pixel, NaN, between them."""
    units, height, width = images.shape
    down = ceil(units / across)
    picture = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for k, image in enumerate(images):
        row, column = divmod(k, across)
        picture[row * (height + 1) :, column * (width + 1) :][:height, :width] = image
    return picture
