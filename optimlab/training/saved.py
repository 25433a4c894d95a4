"""Saving the whole state of a run in a checkpoint, and restoring it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import InputError, count
from ..nn.network import Network
from ..nn.own_losses import identity
from ..optim.optimizers import Optimizer
from .checkpoint import differences, load_checkpoint, read_checkpoint, save_checkpoint
from .history import History
from .lifecycle import named
from .recipe import recipe
from .run import Run


class Checkpoint:
    """A callback that saves the whole run every ``every`` steps; ``fit(..., resume=path)`` continues from there.

    The file has the weights, batch-norm statistics, the optimizer's state, the names of the frozen parameters, every
    random stream, the position within the shuffled epoch, the history, and the states of the callbacks after the step.
    It does not have the data, only their fingerprints. It also has the settings of the layers and the schedules.
    Resuming with different ones is an error.

    Raises
    ------
    InputError: the file cannot be written; the previous file stays intact.

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

    last = True

    def __init__(self, path: str | Path, every: int = 100) -> None:
        self.path = Path(path)
        self.every = count("every", every)
        self._run: Run | None = None

    def attach(self, run: Run) -> None:
        """Attach this checkpoint to a run. ``fit`` calls this before it begins.

        Raises
        ------
        InputError: another callback has only one of ``state()`` and ``load(state, network)``.
        """
        for callback in run.life.callbacks:
            has = [name for name in ("state", "load") if callable(getattr(callback, name, None))]
            if len(has) == 1:
                raise InputError(
                    f"{named(callback)} has only the method {has[0]}: resuming from a checkpoint needs both state() "
                    "and load(state, network)"
                )
        self._run = run

    def on_step(self, network: Network, optimizer: Optimizer) -> None:
        """Save the run if it is due. ``fit`` calls this after each step."""
        if self._run is not None and self._run.history.steps % self.every == 0:
            save_run(self.path, self._run)

    def idle(self, steps: int) -> int:
        """Return the number of steps that may pass after step ``steps`` before the next save."""
        return self.every - 1 - steps % self.every

    def on_end(self, network: Network, optimizer: Optimizer, history: History) -> None:
        """Forget the run. ``fit`` calls this when training has ended."""
        self._run = None


def save_run(path: str | Path, run: Run) -> None:
    """Write the present state of a run, between two steps."""
    every = next((callback.every for callback in run.life.callbacks if isinstance(callback, Checkpoint)), 1)
    plain: list[Any] = []
    arrays: dict[str, Any] = {}
    for k, callback in enumerate(run.life.callbacks):
        state = callback.state() if callable(getattr(callback, "state", None)) else {}
        own = {name: value for name, value in state.items() if run.network.backend.owns(value)}
        arrays |= {f"{k}/{name}": value for name, value in own.items()}
        plain.append([named(callback), _plain(callback, {n: v for n, v in state.items() if n not in own})])
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


def load_run(path: str | Path, run: Run) -> list[dict[str, Any]]:
    """Restore a saved run except its callbacks; return the state of each callback, in their order.

    Raises
    ------
    InputError: the file does not exist, is damaged or does not contain a run; the network, rule, data, options or
        callbacks differ; or the run already has all of its epochs. Nothing is changed.
    """
    arrays, header = read_checkpoint(path)
    extra = header["extra"]
    if not {"config", "history", "order", "position", "sums", "used", "callbacks"} <= set(extra):
        raise InputError(f"{path} contains a network, not a run")
    here, there = _config(run), extra["config"]
    if there["data"] != here["data"]:
        raise InputError(
            f"{path} is from a run on other data: {differences(_short(there['data']), _short(here['data']))}. Pass the "
            "same data, split and scaled in the same way: fit(network, optimizer, data, ..., resume=path), or "
            "resume(path, data=data)"
        )
    differing = differences({**there, **there.pop("schedules")}, {**here, **here.pop("schedules")})
    if differing:
        raise InputError(f"{path} is from another run: {differing}")
    places = _matched([kind for kind, _ in extra["callbacks"]], [named(callback) for callback in run.life.callbacks])
    if places is None:
        told = ", ".join(kind for kind, _ in extra["callbacks"]) or "none"
        ours = ", ".join(map(named, run.life.callbacks)) or "none"
        raise InputError(f"{path} is from a run with other callbacks: {told}, now {ours}")
    done = len(extra["history"]["train_loss"])
    if done >= run.epochs:
        raise InputError(f"{path} is from a run of {done} epochs: ask for more than {done}")
    load_checkpoint(path, run.network, run.optimizer)
    for p in run.network.parameters:
        p.frozen = p.name in extra["recipe"]["frozen"]
    run.network.parameters.version += 1
    for name, value in extra["history"].items():
        setattr(run.history, name, value)
    run.history.status, run.history.diverged_step = "completed", None
    run.order.bit_generator.state = extra["order"]
    run.position, run.sums, run.optimizer.used = extra["position"], tuple(extra["sums"]), extra["used"]
    backend, states = run.network.backend, []
    for k in places:
        begin, plain = f"extra/{k}/", extra["callbacks"][k][1]
        own = {name.removeprefix(begin): a for name, a in arrays.items() if name.startswith(begin)}
        # copies, because arrays read from a file are read-only
        states.append({**_decoded(plain), **{name: backend.asarray(a.copy()) for name, a in own.items()}})
    return states


def _matched(there: list[str], here: list[str]) -> list[int] | None:
    """Return the index in ``there`` of each kind in ``here``, in any order; None unless the kinds are the same.

    >>> _matched(["A", "B", "A"], ["B", "A", "A"])
    [1, 0, 2]
    """
    if sorted(there) != sorted(here):
        return None
    places = {kind: [k for k, other in enumerate(there) if other == kind] for kind in there}
    return [places[kind].pop(0) for kind in here]


def _config(run: Run) -> dict[str, Any]:
    """Return everything that determines the next steps and must be the same."""
    optimizer = run.optimizer
    places = {"": optimizer.hyperparameters, **{f"{name}: ": own for name, own in optimizer.groups.items()}}
    return {
        "data": run.fingerprints,
        "batch_size": run.batch_size,
        "loss": identity(run.loss, run.network, run.y),
        "penalties": _told(run.penalties),
        "clip": _told(run.clip),
        "constraints": _told(run.constraints),
        "schedules": {
            f"the schedule of {place}{name}": _told(value)
            for place, values in places.items()
            for name, value in values.items()
            if callable(value)
        },
    }


def _told(value: Any) -> str:
    """Return the repr of an object, without its address in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _short(fingerprints: dict[str, str]) -> dict[str, str]:
    """Shorten the digests for messages; the first digits show the difference."""
    return {name: f"{text[:-64]}{text[-64:-52]}" for name, text in fingerprints.items()}


def _plain(callback: Any, state: dict[str, Any]) -> Any:
    """Return the part of a callback's state that is not an array, checked to be plain data."""
    coded = _coded(state)
    try:
        json.dumps(coded, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{named(callback)}.state() must return plain data, and arrays by name: {error}") from None
    return coded


def _coded(value: Any) -> Any:
    """Encode NaN and infinity, which JSON lacks, in plain data for :func:`_decoded`."""
    if isinstance(value, dict):
        return {k: _coded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_coded(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return {_FLOAT: repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value[_FLOAT]) if list(value) == [_FLOAT] else {k: _decoded(v) for k, v in value.items()}
    return [_decoded(v) for v in value] if isinstance(value, list) else value


_FLOAT = "not finite"
