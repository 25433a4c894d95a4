"""Monte Carlo dropout: the uncertainty of a trained network, from many passes with dropout on."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from ..backends import Array
from ..common.errors import InputError, count
from .layers import Dropout, within
from .network import Network, seed_sequence


class MCPrediction(NamedTuple):
    """Predictions of ``samples`` stochastic passes, as float64 arrays of the network's backend."""

    mean: Array
    """Mean over the passes of the class probabilities, or of a regression's outputs, shape ``(rows, outputs)``."""
    std: Array
    """Standard deviation over the passes (divided by ``samples``, not ``samples - 1``), shape ``(rows, outputs)``."""
    entropy: Array
    """Entropy of ``mean`` in nats, shape ``(rows,)``: from 0 for a certain answer to ln(classes); None for a
    regression."""
    mutual_information: Array
    """``entropy`` minus the mean entropy of the single passes, in nats, shape ``(rows,)``; None for a regression.
    It measures how much the passes disagree. It is large if the network saw too little similar data, and small if the
    classes overlap."""


def mc_predict(network: Network, x: Any, samples: int = 50, seed: int = 0, *, batch_size: int = 1024) -> MCPrediction:
    """Predict class probabilities, or the outputs of a regression, with their uncertainty.

    In each pass, dropout is on and batch norm is in evaluation mode.

    ::

        mean    p = 1/S sum_s softmax(f_s(x))         f_s: the network with the s-th dropout masks
        std       = sqrt(1/S sum_s (softmax(f_s(x)) - p)^2)
        entropy   = -sum_c p_c ln p_c

    A regression (see :meth:`optimlab.Network.predict`) has no softmax and no entropy.
    ``seed`` decides the masks, which differ for every row and pass. The network does not change: its random streams,
    running averages and last forward pass stay as they are.

    Parameters
    ----------
    x: shape ``(rows, inputs)``.
    samples: number of passes.
    seed: an integer of at least 0.
    batch_size: number of rows computed at a time.

    Raises
    ------
    InputError: the network has no dropout; ``x`` does not fit it; or ``samples`` is not a positive whole number.

    Reference: Gal & Ghahramani (2016), section 4; Houlsby et al. (2011) for the mutual information.

    >>> import numpy as np
    >>> import optimlab as ol
    >>> net = ol.MLP([2, 50, 3], dropout=0.5, seed=0)
    >>> sure = mc_predict(net, np.zeros((1, 2)))  # nothing for the masks to change
    >>> sure.std.max(), sure.entropy.round(4)
    (np.float64(0.0), array([1.0986]))
    >>> unsure = mc_predict(net, np.ones((1, 2)))
    >>> bool((unsure.std > 0.01).all()), bool(unsure.mutual_information > 0)
    (True, True)
    """
    samples, batch_size = count("samples", samples), count("batch_size", batch_size)
    seeds = seed_sequence(seed)
    twin = network.copy()
    noisy = [layer for layer in within(twin.layers) if isinstance(layer, Dropout) and layer.rate > 0]
    if not noisy:
        raise InputError("the network has no dropout, so all passes would be equal: use predict_proba or predict")
    for layer, stream in zip(noisy, seeds.spawn(len(noisy)), strict=True):
        layer.hold, layer.generator = False, twin.backend.generator(stream)
        layer.forward = partial(_with_dropout, layer)  # type: ignore[method-assign]
    x = twin.check_inputs(x)
    try:
        with twin.backend.quiet():
            parts = [_predict(twin, x[start : start + batch_size], samples) for start in range(0, len(x), batch_size)]
    finally:
        for layer in noisy:
            del layer.forward  # a reference to the layer itself, which would keep its working arrays
    prediction = MCPrediction(*(twin.backend.xp.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return prediction if twin.of_classes else prediction._replace(entropy=None, mutual_information=None)


def _with_dropout(layer: Dropout, x: Array, training: bool) -> Array:
    """Drop units in evaluation mode, too."""
    return type(layer).forward(layer, x, True)


def _predict(network: Network, x: Array, samples: int) -> MCPrediction:
    """Return the prediction for one batch, by Welford's running mean and variance."""
    backend, layers = network.backend, network.layers
    xp, entropy_of = backend.xp, backend.special.entr
    columns = max(2, network.outputs) if network.of_classes else network.outputs
    mean = backend.zeros((len(x), columns), "float64")
    squares, single = backend.zeros(mean.shape, "float64"), backend.zeros(len(x), "float64")
    # the outputs below the first dropout are the same in every pass
    first = next(k for k, layer in enumerate(layers) if any(isinstance(one, Dropout) for one in within([layer])))
    for layer in layers[:first]:
        x = layer.forward(x, training=False)
    for k in range(1, samples + 1):
        y = x
        for layer in layers[first:]:
            y = layer.forward(y, training=False)
        p = network.probabilities(y.astype("float64")) if network.of_classes else y.astype("float64")
        change = p - mean
        mean += change / k
        squares += change * (p - mean)
        single += entropy_of(p).sum(axis=-1)
    entropy = entropy_of(mean).sum(axis=-1)
    return MCPrediction(mean, xp.sqrt(squares / samples), entropy, xp.maximum(entropy - single / samples, 0))


__all__ = ["MCPrediction", "mc_predict"]
