"""Show figures in a notebook: ours are made without pyplot, but Jupyter draws only pyplot's."""

from __future__ import annotations

import sys
from io import BytesIO

from matplotlib.figure import Figure

from ..common.progress import in_notebook

PER_INCH, SHARPNESS = 80, 2
"""Pixels for each inch of a figure, and pixels of the picture for each pixel of the page."""


def show_figures() -> None:
    """Let a notebook draw a figure that ends a cell, if it would not do so by itself."""
    if in_notebook():
        formatter = sys.modules["IPython"].get_ipython().display_formatter.formatters["image/png"]
        if Figure not in formatter.type_printers:
            formatter.for_type(Figure, png)


def png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a picture of the figure, and its width and height on the page.

    >>> content, size = png(Figure(figsize=(2, 1)))
    >>> content[1:4], size
    (b'PNG', {'width': 160, 'height': 80})
    """
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=SHARPNESS * PER_INCH)
    width, height = figure.get_size_inches()
    return buffer.getvalue(), {"width": round(PER_INCH * width), "height": round(PER_INCH * height)}
