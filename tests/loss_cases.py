"""Outputs and targets that suit each loss, and PyTorch's function of the same meaning."""

import numpy as np
import torch
from torch.nn import functional as F

from optimlab.nn.losses import LOSSES

TORCH = {
    "softmax_cross_entropy": F.cross_entropy,
    "binary_cross_entropy": lambda z, t: F.binary_cross_entropy_with_logits(z, t[:, None].to(z.dtype)),
    "mean_squared_error": F.mse_loss,
    "mean_absolute_error": F.l1_loss,
}
assert {*TORCH} == {*LOSSES}


def outputs_of(loss, usual=3):
    """How many outputs a network may have for it, where ``usual`` would be taken."""
    return 1 if loss == "binary_cross_entropy" else usual


def case(loss, rows, seed=0, dtype="float64", outputs=None):
    """Outputs and targets."""
    g, width = np.random.default_rng(seed), outputs or outputs_of(loss)
    outputs = g.normal(size=(rows, width)).astype(dtype)
    if LOSSES[loss].classifies:
        return outputs, g.integers(0, max(2, width), rows)
    return outputs, g.normal(size=(rows, width))


def by_torch(loss, outputs, targets):
    """The value and the gradient in float64."""
    z = torch.tensor(np.asarray(outputs, "float64"), requires_grad=True)
    value = TORCH[loss](z, torch.as_tensor(targets))
    value.backward()
    return value.item(), z.grad.numpy()
