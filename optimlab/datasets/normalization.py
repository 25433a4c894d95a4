"""Scaling of inputs, by statistics of the training split alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import get, given
from ..common.errors import InputError, count
from .dataset import Dataset

_ROWS = 4096
"""Rows converted at a time, so that large data need no complete float64 copy."""


@dataclass(frozen=True, eq=False)
class Standardize:
    """Standardization ``(x - mean) / std`` per feature, or per channel of images; see :meth:`fit`.

    Parameters
    ----------
    mean, std: shape ``(features,)`` or ``(channels,)``; ``std`` divides by the number of values. If it is 0, because
        the training inputs are constant, the result is 0 for any input, not NaN.
    channels: None, or the number of channels C of images flattened as height x width x C.

    Raises
    ------
    InputError: ``mean`` and ``std`` are not finite, differ in shape, or ``std`` is negative.

    >>> import numpy as np
    >>> scale = Standardize.fit(np.array([[1.0, 7.0], [3.0, 7.0]]))
    >>> scale(np.array([[1.0, 7.0], [5.0, 8.0]]))
    array([[-1.,  0.],
           [ 3.,  0.]])

    To scale all three splits of a data set by the training split:

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> scaled = ol.Standardize.fit(data.x_train).dataset(data)
    >>> abs(float(scaled.x_train.mean())) < 1e-6, abs(float(scaled.x_val.mean())) < 1e-6
    (True, False)
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    channels: int | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, np.array(getattr(self, name), "float64"))
        if self.channels is not None:
            count("channels", self.channels)
        shape = self.mean.shape if self.channels is None else (self.channels,)
        if self.mean.ndim != 1 or self.mean.shape != shape or self.std.shape != shape:
            raise InputError(f"mean and std must have one number per feature, got {self.mean.shape}, {self.std.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std >= 0).all()):
            raise InputError("mean and std must be finite, and std at least 0")

    @classmethod
    def fit(cls, x_train: Any, channels: int | None = None) -> Standardize:
        """Compute the means and standard deviations of the training inputs.

        Use the training split alone: statistics that include validation or test data make their scores optimistic.

        Parameters
        ----------
        x_train: inputs of shape ``(rows, features)``.
        channels: None, or the number of channels of images.

        Raises
        ------
        InputError: ``x_train`` is not a real, finite array of that shape with at least one row, or the number of
            features is not a multiple of the channels.
        """
        x = _checked(x_train)
        if channels is not None and x.shape[1] % count("channels", channels):
            raise InputError(f"{x.shape[1]} features are not a whole number of pixels with {channels} channels")
        width = channels or x.shape[1]
        low, high = x.min(axis=0).reshape(-1, width).min(axis=0), x.max(axis=0).reshape(-1, width).max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise InputError("the training inputs hold NaN or infinite values")
        size = x.size // width
        mean = sum(part.sum(axis=0) for part in _blocks(x, width)) / size
        variance = sum(((part - mean) ** 2).sum(axis=0) for part in _blocks(x, width)) / size
        # rounding makes the mean of equal values a little different from them
        constant = low == high
        return cls(np.where(constant, low, mean), np.where(constant, 0.0, np.sqrt(variance)), channels)

    def __call__(self, x: Any) -> NDArray[Any]:
        """Standardize ``x`` of shape ``(rows, features)``: return a new array, float64 if ``x`` is, else float32.

        Raises
        ------
        InputError: ``x`` is not a real array of that shape.
        """
        x, width = _checked(x), len(self.mean)
        if x.shape[1] % width or (self.channels is None and x.shape[1] != width):
            expected = f"{width}" if self.channels is None else f"a multiple of {width}"
            raise InputError(f"expected inputs of {expected} features, got {x.shape[1]}")
        out = np.empty(x.shape, "float64" if x.dtype == "float64" else "float32")
        constant = self.std == 0
        inverse = np.where(constant, 0.0, 1 / np.where(constant, 1.0, self.std))
        for part, target in zip(_blocks(x, width), np.split(out, range(_ROWS, len(out), _ROWS)), strict=True):
            target[...] = ((part - self.mean) * inverse).reshape(target.shape)
        return out

    def dataset(self, data: Dataset) -> Dataset:
        """Return ``data`` with the inputs of every split standardized."""
        x_train, x_val, x_test = (None if x is None else self(x) for x in (data.x_train, data.x_val, data.x_test))
        return replace(data, x_train=x_train, x_val=x_val, x_test=x_test)

    def state(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON; ``Standardize(**state)`` restores the object.

        >>> Standardize.fit([[1.0], [3.0]]).state()
        {'mean': [2.0], 'std': [1.0], 'channels': None}
        """
        return {"mean": self.mean.tolist(), "std": self.std.tolist(), "channels": self.channels}


def scale_255(x: Any) -> NDArray[Any]:
    """Scale pixels from 0 to 255 to [0, 1]: ``x / 255``, float64 if ``x`` is, else float32.

    Parameters
    ----------
    x: inputs of shape ``(rows, features)``.

    Raises
    ------
    InputError: ``x`` is not a real array of that shape, or a value is out of that range.

    >>> scale_255(np.array([[0, 51, 255]], "uint8"))
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    x = _checked(x)
    low, high = x.min(), x.max()
    if not (low >= 0 and high <= 255):
        raise InputError(f"expected values from 0 to 255, got {low:g} to {high:g}")
    scaled: NDArray[Any] = np.divide(x, 255, dtype="float64" if x.dtype == "float64" else "float32")
    return scaled


def _checked(x: Any) -> NDArray[Any]:
    values: NDArray[Any] = given(get("numpy"), x, "the inputs")
    if values.dtype.kind not in "fiub" or values.ndim != 2 or not values.size:
        got = f"shape {values.shape}, dtype {values.dtype}"
        raise InputError(f"expected real inputs of shape (rows, features), got {got}")
    return values


def _blocks(x: NDArray[Any], width: int) -> Iterator[NDArray[np.float64]]:
    """Yield the values of ``x`` as float64 in blocks, reshaped to ``width`` columns."""
    for start in range(0, len(x), _ROWS):
        yield x[start : start + _ROWS].astype("float64").reshape(-1, width)


__all__ = ["Standardize", "scale_255"]
