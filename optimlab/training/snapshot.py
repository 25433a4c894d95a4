"""Snapshots of a network's learned arrays in memory."""

from __future__ import annotations

from ..backends import Array
from ..nn.network import Network


def snapshot(network: Network) -> dict[str, Array]:
    """Return copies of the arrays of :meth:`Network.learned`."""
    return {name: array.copy() for name, array in network.learned().items()}


def restore(network: Network, arrays: dict[str, Array]) -> None:
    """Restore a :func:`snapshot` of the same network.

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
