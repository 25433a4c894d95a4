"""Checkpoints: the learned state of a network and its optimizer, in one file that is written atomically.

The file is a NumPy ``.npz`` archive of plain arrays. One array holds a JSON header, another a SHA-256 of everything
else. Nothing in the file is ever unpickled or executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Array
from ..common.errors import InputError, lookup
from ..common.files import write_atomically
from ..common.version import __version__
from ..nn.layers import Dropout, named
from ..nn.network import Network
from ..optim.optimizers import Optimizer

FORMAT = 3

Arrays = dict[str, NDArray[Any]]


def save_checkpoint(
    path: str | Path,
    network: Network,
    optimizer: Optimizer | None = None,
    *,
    extra: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Array] | None = None,
) -> None:
    """Write a network and, if given, an optimizer to a file.

    The file has the weights, batch-norm statistics, dropout streams and settings of the layers, the optimizer's state,
    ``extra`` plain data, and ``arrays`` by name, which :func:`read_checkpoint` returns as ``"extra/<name>"``.

    The file is written under a temporary name, flushed and renamed. An older checkpoint of this name stays intact until
    the new one is complete.

    Raises
    ------
    InputError: ``extra`` is not plain data (JSON), or the file cannot be written; an older file stays as it was.

    >>> import tempfile, optimlab as ol
    >>> net = ol.MLP([4, 3], seed=0)
    >>> path = Path(tempfile.mkdtemp()) / "net.npz"
    >>> save_checkpoint(path, net, extra={"epoch": 3})
    >>> twin = ol.MLP([4, 3], seed=1)
    >>> load_checkpoint(path, twin)
    {'epoch': 3}
    >>> bool((twin.parameters.data == net.parameters.data).all())
    True
    """
    to_numpy = network.backend.to_numpy
    stored: Arrays = {name: to_numpy(values) for name, values in network.learned().items()}
    stored |= {f"extra/{name}": to_numpy(values) for name, values in (arrays or {}).items()}
    header: dict[str, Any] = {
        "format": FORMAT,
        "versions": {"optimlab": __version__, "numpy": np.__version__},
        "network": _describe(network),
        "classifies": network.classifies,
        "generators": {name: layer.generator.state for name, layer in _random_layers(network)},
        "extra": dict(extra or {}),
        "optimizer": None,
    }
    if optimizer is not None:
        state = optimizer.state_dict()
        stored |= {f"optimizer/{name}": values for name, values in state.pop("state").items()}
        header["optimizer"] = state
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"extra must be plain data that JSON can hold: {error}") from None
    stored["header"] = np.frombuffer(text.encode(), np.uint8)
    stored["checksum"] = np.frombuffer(_digest(stored), np.uint8)
    content = io.BytesIO()
    np.savez(content, **stored)  # type: ignore[arg-type]
    write_atomically(Path(path), content.getvalue())


def load_checkpoint(path: str | Path, network: Network, optimizer: Optimizer | None = None) -> dict[str, Any]:
    """Load a checkpoint into a network, and an optimizer, of the same kind, and return its ``extra``.

    Everything is checked before anything is changed.

    Raises
    ------
    InputError: the file does not exist, is damaged, has another format, or is not a checkpoint; its architecture,
        rule, dtype or layer settings differ; or it lacks the optimizer's state.
    """
    arrays, header = read_checkpoint(path)
    differing = differences(_entries(header["network"]), _entries(_describe(network)))
    if differing:
        advice = "Make the network with the same layers and settings; load_layers takes weights from another network"
        raise InputError(f"{path} is from another network: {differing}. {advice}")
    if optimizer is not None:
        if header["optimizer"] is None:
            raise InputError(f"{path} has no optimizer state")
        if optimizer.parameters is not network.parameters:
            raise InputError("the optimizer was made for another network's parameters")
    wanted = network.learned()
    for name, values in wanted.items():
        if name not in arrays or arrays[name].shape != tuple(values.shape):
            raise InputError(f"{path} lacks the array {name!r} in the shape {tuple(values.shape)}")
    streams = [(layer.generator, header["generators"].get(name)) for name, layer in _random_layers(network)]
    for generator, state in streams:
        if type(state) is not type(generator.state):
            raise InputError(f"{path} lacks the state of a dropout layer's random numbers")
        if state.get("bit_generator") != (kind := generator.state["bit_generator"]):
            raise InputError(
                f"{path} has dropout's random state for {state.get('bit_generator')}, but this backend draws from "
                f"{kind}: continue with the backend that the run began with"
            )
    if optimizer is not None:  # the last step that can raise an error
        state = {name.partition("/")[2]: a for name, a in arrays.items() if name.startswith("optimizer/")}
        optimizer.load_state_dict({**header["optimizer"], "state": state})
    for name, values in wanted.items():
        values[...] = network.backend.asarray(arrays[name], network.dtype)
    for generator, state in streams:
        generator.state = state
    network.classifies = header.get("classifies")
    extra: dict[str, Any] = header["extra"]
    return extra


def read_checkpoint(path: str | Path) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the header of a checkpoint, after verifying its checksum.

    Raises
    ------
    InputError: the file does not exist, is damaged, has another format, or is not a checkpoint.
    """
    try:
        arrays = _read_arrays(Path(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} is damaged, or not a checkpoint: {error}") from None
    checksum = arrays.pop("checksum", None)
    if checksum is None or "header" not in arrays or checksum.tobytes() != _digest(arrays):
        raise InputError(f"{path} is damaged, or not a checkpoint: its checksum does not match")
    header: dict[str, Any] = json.loads(arrays.pop("header").tobytes())
    if header.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {header.get('format')}, but this version reads {FORMAT}: read it with the version "
            f"that wrote it, optimlab {header.get('versions', {}).get('optimlab')}"
        )
    return arrays, header


def _read_arrays(path: Path) -> Arrays:
    """Read every array of the archive. Reject anything that :func:`numpy.load` would unpickle or blindly allocate."""
    arrays: Arrays = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            content = io.BytesIO(archive.read(entry))  # verifies the entry's CRC
            version = np.lib.format.read_magic(content)
            if version != (1, 0):
                raise ValueError(f"array format {version}")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(content)
            if dtype.hasobject:
                raise ValueError("it holds Python objects, which are never loaded")
            rest = content.read()
            if len(rest) != dtype.itemsize * int(np.prod(shape, dtype=object)):
                raise ValueError(f"the size of the array {entry.filename} does not match its header")
            array = np.frombuffer(rest, dtype)
            arrays[entry.filename.removesuffix(".npy")] = array.reshape(shape, order="F" if fortran else "C")
    return arrays


def _digest(arrays: Arrays) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.digest()


def _describe(network: Network) -> dict[str, Any]:
    """Return everything that has to be equal for a checkpoint to fit."""
    return {
        "layers": [[type(layer).__name__, layer.name, layer.inputs, layer.outputs] for layer in network.layers],
        "settings": {layer.name: layer.settings() for layer in network.layers},
        "parameters": [[p.name, list(p.shape)] for p in network.parameters],
        "dtype": network.dtype,
    }


def _entries(described: dict[str, Any]) -> dict[str, str]:
    """Flatten the entries of :func:`_describe` into one table of texts."""
    entries = {
        "dtype": described["dtype"],
        "the order of the layers": ", ".join(name for _, name, _, _ in described["layers"]),
    }
    entries |= {name: f"{kind} {inputs} x {outputs}" for kind, name, inputs, outputs in described["layers"]}
    entries |= {name: f"of shape {tuple(shape)}" for name, shape in described["parameters"]}
    settings = described["settings"].items()
    return entries | {f"{layer}.{name}": value for layer, own in settings for name, value in own.items()}


def differences(there: Mapping[str, Any], here: Mapping[str, Any], at_most: int = 5) -> str:
    """Describe the differences between a file and its target, with both values; empty if there are none.

    >>> differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 4, "d": 5})
    'b 2, now 4; c 3, now none; d none, now 5'
    """
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    told = [f"{name} {there.get(name, 'none')}, now {here.get(name, 'none')}" for name in names[:at_most]]
    return "; ".join(told + ["..."] * (len(names) > at_most))


def fingerprint(array: NDArray[Any]) -> str:
    """Return the dtype and shape of an array and the SHA-256 of its bytes.

    >>> fingerprint(np.zeros((2, 3)))
    'float64 (2, 3) 17b0761f87b081d5cf10757ccc89f12be355c70e2e29df288b65b30710dcbcd1'
    """
    digest = hashlib.sha256()
    for start in range(0, len(array), 4096):  # some rows at a time, because strided rows are copied
        digest.update(np.ascontiguousarray(array[start : start + 4096]).data)
    return f"{array.dtype} {array.shape} {digest.hexdigest()}"


def _random_layers(network: Network) -> list[tuple[str, Dropout]]:
    return [(name, layer) for name, layer in named(network.layers) if isinstance(layer, Dropout)]


def load_layers(path: str | Path, network: Network, layers: Sequence[str]) -> None:
    """Load the named layers' weights and states from another network's checkpoint, for transfer learning.

    A layer must have the same name and shapes in both networks. Freeze layers, or give them a smaller learning rate::

        load_layers("large.npz", net, ["dense1", "norm1"])
        net.parameters.freeze("dense1")
        opt = ol.Adam(net.parameters, lr=1e-3, groups={"norm1": {"lr": 1e-4}})

    Raises
    ------
    InputError: as :func:`read_checkpoint`; or a layer is missing in one of the two networks, or has another shape.
        Nothing is changed.

    >>> import tempfile, optimlab as ol
    >>> path = Path(tempfile.mkdtemp()) / "net.npz"
    >>> save_checkpoint(path, ol.MLP([4, 3, 2], seed=0))
    >>> net = ol.MLP([4, 3, 5], seed=1)
    >>> load_layers(path, net, ["dense1"])
    >>> bool((net.parameters["dense1.W"].data == ol.MLP([4, 3, 2], seed=0).parameters["dense1.W"].data).all())
    True
    """
    arrays, header = read_checkpoint(path)
    if isinstance(layers, str):
        raise InputError(f"layers must be a list of names, such as [{layers!r}]")
    if header["network"]["dtype"] != network.dtype:
        raise InputError(f"{path} has dtype {header['network']['dtype']}, but the network has {network.dtype}")
    stored = {entry[1]: entry[0] for entry in header["network"]["layers"]}
    parameters: dict[str, Any] = {}
    position = 0
    for name, shape in header["network"]["parameters"]:
        size = int(np.prod(shape))
        # laid out as in parameters.data, see Parameter.view
        parameters[name] = arrays["weights"][position : position + size].reshape(shape)
        position += size
    changes: list[tuple[Any, Any]] = []
    here = {layer.name: layer for layer in network.layers}
    for name in layers:
        lookup("layer of the network", name, here)
        lookup("layer of the checkpoint", name, stored)
        ours = {p.name: p.data for p in network.parameters if p.layer == name}
        ours |= {f"layers/{name}/{key}": values for key, values in here[name].state().items()}
        theirs = {p: values for p, values in parameters.items() if p.startswith(f"{name}.")}
        theirs |= {key: values for key, values in arrays.items() if key.startswith(f"layers/{name}/")}
        if {k: v.shape for k, v in theirs.items()} != {k: tuple(v.shape) for k, v in ours.items()}:
            shapes = ", ".join(f"{k} {v.shape}" for k, v in theirs.items())
            raise InputError(f"layer {name} has other arrays in the checkpoint: {shapes or 'none'}")
        changes += [(ours[key], theirs[key]) for key in ours]
    for array, values in changes:
        array[...] = network.backend.asarray(values, network.dtype)
