"""Keep what a network has learned in memory, and put it back."""

from __future__ import annotations

from ..backends import Array
from ..nn.network import Network


def snapshot(network: Network) -> dict[str, Array]:
    """Copies of :meth:`Network.learned`."""
    return {name: array.copy() for name, array in network.learned().items()}


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
    for name, array in network.learned().items():
        array[...] = arrays[name]
