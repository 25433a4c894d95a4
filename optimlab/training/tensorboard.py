"""Export of a run to TensorBoard: curves, histograms, and the graph of layers."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..backends import Array
from ..common.errors import InputError, count, lacks
from ..nn.layers import Activate, Layer
from ..nn.network import Network
from ..optim.optimizers import Optimizer
from .history import History
from .run import Run

LARGEST = 1e20
"""Larger numbers are counted in the last bucket of a histogram."""


class TensorBoard:
    """A callback that logs a run for TensorBoard: ``tensorboard --logdir FOLDER`` shows it, also during training.

    ==========  =============================================================================================
    Scalars     ``loss/train``, ``loss/val``, the same of the accuracy or R², ``learning_rate``, ``seconds``
    Histograms  ``weights/dense1.W``, ``gradients/dense1.W``, ``updates/dense1.W``, and so on
    Graphs      the layers with their settings, and the loss
    ==========  =============================================================================================

    The steps in TensorBoard are epochs, from 1. Gradients and updates are those of the epoch's last step, for
    parameters that are trained. Give each run its own folder, such as ``runs/adam`` and ``runs/sgd``, and compare them
    with ``--logdir runs``. A new run in the same folder hides the one before, but keeps its files. A resumed run
    continues at its checkpoint. The entries of an epoch are in the file when the next one begins.

    It needs the package tensorboardX. The extra ``tensorboard`` installs it, and TensorBoard.

    Parameters
    ----------
    folder: the folder of the files; created if it does not exist.
    histograms: number of epochs between histograms; None for no histograms.

    Raises
    ------
    InputError: tensorboardX is not installed; ``histograms`` is not a whole number of at least 1; when training begins,
        the folder cannot be written.

    >>> import tempfile, optimlab as ol
    >>> folder, data = Path(tempfile.mkdtemp()) / "adam", ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> history = ol.fit(net, ol.Adam(net.parameters), data, epochs=2, callbacks=[TensorBoard(folder)])
    >>> [file.name.partition(".")[0] for file in folder.iterdir()]
    ['events']
    """

    def __init__(self, folder: str | Path, *, histograms: int | None = 1) -> None:
        self.folder = Path(folder)
        self.histograms = None if histograms is None else count("histograms", histograms)
        self._run: Run | None = None
        self._file: Any = None
        self._before: Array = None
        _event()

    def attach(self, run: Run) -> None:
        """Remember the run. ``fit`` calls this before it begins."""
        self._run = run

    def on_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self._before = None
        event = _event()
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # the library names files by the second: a run resumed within the same one would overwrite the file
            self._file = EventsWriter(str(self.folder / "events"), f".{time.time_ns()}")
        except OSError as error:
            raise InputError(f"cannot write to {self.folder}: {error.strerror or error}") from None
        # TensorBoard then ignores entries of this step and later ones in earlier files
        self._write(event(step=history.epochs + 1, session_log=SessionLog(status=SessionLog.START)))
        if self._run is not None:
            self._write(event(graph_def=graph(network, self._run.loss.name).SerializeToString()))
        self._file.flush()

    def on_epoch_begin(self, network: Network, optimizer: Optimizer, history: History) -> None:
        if self._steps == 1:
            self._keep(network, history)

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        if self._run is not None and self.idle(self._run.history.steps) == self._steps - 1:
            self._keep(network, self._run.history)

    def idle(self, steps: int) -> float:
        """Return how many steps may follow the first ``steps`` before a call of :meth:`on_step` is needed."""
        if self.histograms is None or self._steps == 1:
            return math.inf
        return (-2 - steps) % self._steps

    def __call__(self, network: Network, optimizer: Optimizer, history: History) -> None:
        from tensorboardX.summary import histogram, scalar

        epoch, event = history.epochs, _event()
        summaries = [scalar(_tag(name), value) for name, value in history.last().items()]
        if self._due(epoch):
            buckets = np.geomspace(1e-12, LARGEST, 700)
            buckets = np.concatenate([-buckets[::-1], [0.0], buckets])
            for tag, values in self._arrays(network):
                values = np.clip(values[np.isfinite(values)].astype("float64"), -LARGEST, LARGEST)
                summaries += [histogram(tag, values, buckets)] if values.size else []
        for summary in summaries:
            self._write(event(step=epoch, summary=summary))
        self._file.flush()
        self._before = None

    def on_end(self, network: Network, optimizer: Optimizer, history: History) -> None:
        self._file.close()
        self._run = self._file = self._before = None

    def state(self) -> dict[str, Any]:
        """Return the state for :class:`optimlab.Checkpoint`: the old weights, and the gradient after an epoch."""
        if self._before is None or self._run is None:
            return {}
        ended = self._run.history.steps % self._steps == 0
        return {"before": self._before, **({"gradient": self._run.network.parameters.grad} if ended else {})}

    def load(self, state: dict[str, Any], network: Network) -> None:
        """Continue from :meth:`state`."""
        self._before = state["before"].copy() if "before" in state else None
        if "gradient" in state:
            network.parameters.grad[...] = state["gradient"]

    @property
    def _steps(self) -> int:
        """Return the number of steps per epoch."""
        return 1 if self._run is None else self._run.now.steps

    def _due(self, epoch: int) -> bool:
        return self.histograms is not None and epoch % self.histograms == 0

    def _keep(self, network: Network, history: History) -> None:
        if self._due(history.epochs + 1):
            self._before = network.parameters.data.copy()

    def _arrays(self, network: Network) -> list[tuple[str, Any]]:
        to_numpy, arrays = network.backend.to_numpy, []
        for p in network.parameters:
            arrays.append((f"weights/{p.name}", to_numpy(p.data)))
            if not p.frozen:
                arrays.append((f"gradients/{p.name}", to_numpy(p.grad)))
                if self._before is not None:
                    arrays.append((f"updates/{p.name}", to_numpy(p.data - p.view(self._before))))
        return arrays

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._file.write_event(event)


def _event() -> Any:
    """Import the class of the entries of an event file."""
    try:
        from tensorboardX.proto.event_pb2 import Event
    except ImportError:
        raise lacks("the callback TensorBoard", "the package tensorboardX", "tensorboard") from None
    return Event


def _tag(name: str) -> str:
    """Return the tag under which TensorBoard groups a measure of the history.

    >>> _tag("train_loss"), _tag("lr"), _tag("seconds")
    ('loss/train', 'learning_rate', 'seconds')
    """
    split, _, kind = name.partition("_")
    return f"{kind}/{split}" if kind else {"lr": "learning_rate"}.get(name, name)


def graph(network: Network, loss: str) -> Any:
    """Return the layers of a network as a ``GraphDef``: a node for each layer, connected to one for each parameter.

    A node has the name of its layer; the node of an activation has the name of the function, such as ``relu1``.
    """
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.node_def_pb2 import NodeDef
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboardX.proto.versions_pb2 import VersionDef

    def node(name: str, op: str, inputs: list[str], shape: tuple[int, ...], settings: dict[str, str]) -> str:
        size = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in shape])
        attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=[size]))}
        attributes |= {key: AttrValue(s=value.encode()) for key, value in settings.items()}
        nodes.append(NodeDef(name=name, op=op, input=inputs, attr=attributes))
        return name

    nodes: list[Any] = []
    last, rows = node("input", "Placeholder", [], (-1, network.inputs), {}), -1
    for layer in network.layers:
        parameters = [p for p in network.parameters if p.layer == layer.name]
        held = [
            node(p.name.replace(".", "/"), "Variable", [], tuple(p.shape), {"kind": p.kind, "frozen": str(p.frozen)})
            for p in parameters
        ]
        name, op = _names(layer)
        last = node(name, op, [last, *held], (rows, layer.outputs), {"layer": layer.name, **layer.settings()})
    targets = node("targets", "Placeholder", [], (rows,), {})
    node(loss, "Loss", [last, targets], (), {})
    return GraphDef(node=nodes, versions=VersionDef(producer=22))


def _names(layer: Layer) -> tuple[str, str]:
    """Return the name of a layer's node, which TensorBoard cuts after ten letters, and of its operation."""
    if isinstance(layer, Activate):
        function = layer.activation.name
        return f"{function}{layer.name.removeprefix(layer.prefix)}", function
    return layer.name, type(layer).__name__


__all__ = ["TensorBoard", "graph"]
