"""What a network has learned, as named arrays: to keep in memory, or in a file."""

from __future__ import annotations

from ..backends import Array
from ..network import Network


def learned(network: Network) -> dict[str, Array]:
    """The arrays themselves, by name: all weights as one, and each layer's state, such as running statistics.

    >>> import optimlab as ol
    >>> list(learned(ol.MLP([4, 3, 2], batch_norm=True)))
    ['weights', 'layers/norm1/running_mean', 'layers/norm1/running_var']
    """
    states = {f"layers/{layer.name}/{name}": a for layer in network.layers for name, a in layer.state().items()}
    return {"weights": network.parameters.data, **states}


def snapshot(network: Network) -> dict[str, Array]:
    """Copies of :func:`learned`."""
    return {name: array.copy() for name, array in learned(network).items()}


def restore(network: Network, arrays: dict[str, Array]) -> None:
    """Put a :func:`snapshot` of the same network back.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 1], seed=0)
    >>> before = snapshot(net)
    >>> net.parameters.data[...] = 0
    >>> restore(net, before)
    >>> bool((net.parameters.data == before["weights"]).all())
    True
    """
    for name, array in learned(network).items():
        array[...] = arrays[name]
