"""The whole state of a run, kept in a checkpoint and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError, count
from ..files import json_ready
from ..network import Network
from ..optimizers import Optimizer
from .checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from .recipe import recipe
from .run import Run


class Checkpoint:
    """A callback that saves the whole run every ``every`` steps: ``fit(..., resume=path)`` then goes on from there.

    Kept are weights, batch-norm statistics, the optimizer's state, every random stream, the place within the shuffled
    epoch, the history, and the state of every callback that has one. What is a function of the step, such as a
    schedule, needs no keeping.

    Raises
    ------
    InputError: the file cannot be written; the one before is left whole.

    >>> import tempfile, optimlab as ol
    >>> path, data = Path(tempfile.mkdtemp()) / "run.npz", ol.datasets.load("digits")
    >>> def train(epochs, **options):
    ...     net = ol.MLP([64, 16, 10], dropout=0.2, seed=0)
    ...     opt = ol.Adam(net.parameters)
    ...     ol.fit(net, opt, data, epochs=epochs, callbacks=[Checkpoint(path, every=20)], **options)
    ...     return net.parameters.data
    >>> whole = train(3)         # 51 steps: the last checkpoint is of step 40
    >>> again = train(3, resume=path)
    >>> bool((whole == again).all())
    True
    """

    def __init__(self, path: str | Path, every: int = 100) -> None:
        self.path = Path(path)
        self.every = count("every", every)
        self._run: Run | None = None

    def attach(self, run: Run) -> None:
        """Called by ``fit`` before it begins."""
        self._run = run

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        """Called by ``fit`` after each step."""
        if self._run is not None and self._run.history.steps % self.every == 0:
            save_run(self.path, self._run)

    def __call__(self, network: Network, optimizer: Optimizer, history: Any) -> None:
        """Nothing to do after an epoch."""


def save_run(path: str | Path, run: Run) -> None:
    """Write a run as it stands between two steps."""
    every = next((callback.every for callback in run.callbacks if isinstance(callback, Checkpoint)), 1)
    plain: list[Any] = []
    arrays: dict[str, Any] = {}
    for k, callback in enumerate(run.callbacks):
        state = callback.state() if hasattr(callback, "state") else {}
        own = {name: value for name, value in state.items() if run.network.backend.owns(value)}
        arrays |= {f"{k}/{name}": value for name, value in own.items()}
        plain.append([_kind(callback), {n: json_ready(value) for n, value in state.items() if n not in own}])
    extra = {
        "config": _config(run),
        "history": run.history.to_dict(),
        "order": run.order_state,
        "position": run.position,
        "sums": list(run.sums),
        "used": run.optimizer.used,
        "recipe": {**recipe(run), "every": every},
        "callbacks": plain,
    }
    save_checkpoint(path, run.network, run.optimizer, extra=extra, arrays=arrays)


def load_run(path: str | Path, run: Run) -> None:
    """Put a run back to where it was saved.

    Raises
    ------
    InputError: no such file, damaged, not of a run, or of another network, rule, data, options or callbacks; nothing
        is changed.
    """
    arrays, header = read_checkpoint(path)
    extra = header["extra"]
    if not {"config", "history", "order", "position", "sums", "used", "callbacks"} <= set(extra):
        raise InputError(f"{path} is a checkpoint of a network, not of a run")
    here = _config(run)
    there = extra["config"]
    differing = [f"{name} {there.get(name)!r}, now {here[name]!r}" for name in here if there.get(name) != here[name]]
    if differing:
        raise InputError(f"{path} is of another run: {'; '.join(differing)}")
    kinds = [kind for kind, _ in extra["callbacks"]]
    if kinds != [_kind(callback) for callback in run.callbacks]:
        raise InputError(f"{path} is of a run with other callbacks: {', '.join(kinds) or 'none'}")
    load_checkpoint(path, run.network, run.optimizer)
    for k, (callback, (_, plain)) in enumerate(zip(run.callbacks, extra["callbacks"], strict=True)):
        if hasattr(callback, "load"):
            begin = f"extra/{k}/"
            own = {name.removeprefix(begin): a for name, a in arrays.items() if name.startswith(begin)}
            callback.load({**plain, **own}, run.network)
    for name, value in extra["history"].items():
        setattr(run.history, name, value)
    run.history.status, run.history.diverged_step = "completed", None
    run.order.bit_generator.state = extra["order"]
    run.position, run.sums, run.optimizer.used = extra["position"], tuple(extra["sums"]), extra["used"]


def _config(run: Run) -> dict[str, Any]:
    """What decides the steps to come, and has to be the same."""
    return {
        "rows": len(run.x),
        "batch_size": run.batch_size,
        "loss": run.loss.name,
        "penalties": [repr(penalty) for penalty in run.penalties],
        "clip": repr(run.clip),
        "constraints": [repr(constraint) for constraint in run.constraints],
    }


def _kind(callback: Any) -> str:
    return type(callback).__name__
