"""Checks of the data and batches that a network is trained on."""

from __future__ import annotations

import math
from typing import Any

from ..backends import Array
from ..common.errors import InputError, rows
from ..datasets import Dataset
from ..nn.layers import BatchNorm, within
from ..nn.losses import Loss
from ..nn.network import Network


def check_batches(network: Network, rows: int, batch_size: int) -> None:
    """Check that ``network`` can be trained on batches of this size.

    Raises
    ------
    InputError: a batch is larger than the data, or the last batch has one row and the network has batch norm.
    """
    if batch_size > rows:
        raise InputError(f"batch_size {batch_size} is larger than the {rows} rows of training data")
    if 1 in (batch_size, rows % batch_size) and any(
        isinstance(layer, BatchNorm) and not layer.frozen for layer in within(network.layers)
    ):
        raise InputError(
            f"batch norm cannot train on a batch of one row: {rows} rows in batches of {batch_size} leave one; "
            "choose another batch_size"
        )


def check_dataset(data: Any) -> None:
    """Check that ``data`` is a data set.

    Raises
    ------
    InputError: it is something else; the message says how to make a data set.
    """
    if not isinstance(data, Dataset):
        raise InputError(
            f"data must be a Dataset, got {type(data).__name__}; write ol.Dataset(x, y), or "
            "ol.Dataset(x_train, y_train, x_val, y_val)"
        )


def checked_data(network: Network, x: Any, y: Any, loss: Loss, split: str) -> tuple[Array, Array]:
    """Check the arrays of one split, and return them on the backend.

    Raises
    ------
    InputError: the split is empty, its inputs and targets differ in length, or they do not fit network and loss.
    """
    if x is None or y is None or not rows(f"the {split} inputs", x):
        raise InputError(f"the {split} data are empty")
    if len(x) != rows(f"the {split} targets", y):
        raise InputError(f"the {split} data have {len(x)} rows of inputs but {len(y)} targets")
    x = network.check_inputs(x)
    # min and max of an array with NaN are NaN; a mask of all numbers could take more memory than the training
    if not (math.isfinite(float(x.min())) and math.isfinite(float(x.max()))):
        raise InputError(f"the {split} inputs hold NaN or infinite values")
    y = network.check_targets(loss, y, len(x))
    return x, network.backend.asarray(y, None if loss.classifies else network.dtype)
