"""Resuming a stopped run, with the same result as without the stop."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import InputError
from ..datasets import Dataset
from ..nn.losses import LOSSES, Loss
from ..nn.network import Network
from ..nn.own_losses import LossFunction
from ..optim.optimizers import Optimizer
from .checkpoint import read_checkpoint
from .history import History
from .lifecycle import named
from .loop import fit
from .recipe import made, named_data
from .saved import Checkpoint


class Resumed(NamedTuple):
    """The result of :func:`resume`."""

    network: Network
    optimizer: Optimizer
    history: History


def resume(
    path: str | Path,
    *,
    data: Dataset | None = None,
    epochs: int | None = None,
    callbacks: Sequence[Any] | None = None,
    loss: str | Loss | LossFunction | None = None,
    **options: Any,
) -> Resumed:
    """Continue a run from its file, which describes network, optimizer and data set.

    The file can describe an MLP with a named activation, an optimizer known by name with numbers or schedules of
    :mod:`optimlab.schedules`, and a data set known by name. Otherwise pass ``data``, ``callbacks`` (those of the run,
    in their order), ``loss``, and options such as ``penalties`` as they were. Or make everything yourself and call
    ``fit(..., resume=path)``.

    Raises
    ------
    InputError: the file does not exist, is damaged or does not contain a run; or a part of the run cannot be made from
        the file.

    >>> import tempfile, optimlab as ol
    >>> path = Path(tempfile.mkdtemp()) / "run.npz"
    >>> net = ol.MLP([64, 16, 10], batch_norm=True, seed=0)
    >>> opt = ol.Adam(net.parameters, lr=ol.schedules.StepLR(0.01, step_size=20))
    >>> history = ol.fit(net, opt, ol.datasets.load("digits"), epochs=3, callbacks=[Checkpoint(path, every=17)])
    >>> again = resume(path, epochs=5)
    >>> again.history.epochs, again.history.train_loss[:3] == history.train_loss
    (5, True)
    """
    _, header = read_checkpoint(path)
    extra = header["extra"]
    if "recipe" not in extra:
        raise InputError(f"{path} contains a network, not a run")
    recipe, config = extra["recipe"], extra["config"]
    network, optimizer = made(recipe, path)
    if data is None:
        data = named_data(recipe, path)
    if callbacks is None:
        kinds = [kind for kind, _ in extra["callbacks"]]
        if kinds != ["Checkpoint"]:
            raise InputError(f"pass the run's callbacks, made with the same arguments: {', '.join(kinds)}")
        callbacks = [Checkpoint(path, recipe["every"])]
    if loss is None:
        loss = config["loss"]
        if loss not in LOSSES:
            raise InputError(f"{path} is from a run with the custom loss {loss}: pass it as loss=")
    history = fit(
        network,
        optimizer,
        data,
        epochs=epochs or recipe["epochs"],
        batch_size=config["batch_size"],
        loss=loss,
        callbacks=callbacks,
        resume=path,
        **options,
    )
    return Resumed(network, optimizer, history)


def verify_resume(
    make: Callable[[], tuple[Network, Optimizer, Sequence[Any]]],
    data: Dataset,
    *,
    epochs: int = 3,
    stops: int = 3,
    seed: int = 0,
    **options: Any,
) -> list[int]:
    """Verify that your run resumes bit for bit: stop it at random steps, resume, and compare.

    The comparison covers the weights and statistics of the network, the optimizer's state, the history except its
    times, and the ``state()`` of every callback. Entries of a state that differ between two uninterrupted runs are
    skipped, such as the length of a growing log.

    ``make()`` returns a new network, optimizer and list of callbacks, the same each time. ``options`` are those of
    ``fit``. Return the steps at which the run was stopped.

    Raises
    ------
    AssertionError: the runs differ; the message names the step and the first difference.

    >>> import optimlab as ol
    >>> def make():
    ...     net = ol.MLP([64, 8, 10], batch_norm=True, dropout=0.2, seed=0)
    ...     return net, ol.Adam(net.parameters, lr=ol.schedules.OneCycle(0.01, total=51)), [ol.AverageWeights(net)]
    >>> len(verify_resume(make, ol.datasets.load("digits"), stops=2))
    2
    """

    class Stop:
        last = True  # called after the checkpoint, which precedes it in the list

        def __init__(self, step: int) -> None:
            self.step = step

        def on_step(self, network: Network, optimizer: Optimizer) -> None:
            self.step -= 1
            if not self.step:
                raise KeyboardInterrupt

    def run(path: Path, stop: int = 0, resume: Path | None = None) -> tuple[dict[str, Any], dict[str, Any], int]:
        network, optimizer, callbacks = make()
        # the checkpoint is first in the list: called first, it would miss the other callbacks' changes
        extra = [Checkpoint(path, every=1), *callbacks, Stop(stop)]
        history = fit(network, optimizer, data, epochs=epochs, callbacks=extra, resume=resume, **options)
        return _outcome(network, optimizer, history), _remembered(callbacks), history.steps

    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        whole, remembered, steps = run(path)
        twin, remembered_again, _ = run(path)
        if unequal := _unequal(whole, twin):
            raise AssertionError(f"two uninterrupted runs of {steps} steps differ in {unequal[0]}")
        for name in _unequal(remembered, remembered_again):
            del remembered[name]
        chosen = [int(k) for k in generator.integers(1, steps + 1, stops)]
        for stop in chosen:
            path.unlink()
            run(path, stop)
            again, remembered_again, _ = run(path, resume=path)
            if unequal := _unequal(whole, again) + _unequal(remembered, remembered_again):
                raise AssertionError(f"stopped at step {stop} of {steps} and resumed, {unequal[0]} differs")
    return chosen


def _outcome(network: Network, optimizer: Optimizer, history: History) -> dict[str, Any]:
    """Return the results of a run, by name."""
    left = {**network.learned(), **optimizer.state, "t of the optimizer": optimizer.t}
    measured = {name: value for name, value in history.to_dict().items() if name != "seconds"}
    return {**left, **{f"{name} of the history": value for name, value in measured.items()}}


def _remembered(callbacks: Sequence[Any]) -> dict[str, Any]:
    """Return copies of the states of the callbacks, by name."""
    return {
        f"{name} of {named(callback)}": copy.deepcopy(value)
        for callback in callbacks
        if hasattr(callback, "state")
        for name, value in callback.state().items()
    }


def _unequal(whole: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names whose values differ, or that only the first has."""

    def same(a: Any, b: Any) -> bool:
        if hasattr(a, "shape") and hasattr(b, "shape"):
            return bool(a.shape == b.shape and (a == b).all())
        return type(a) is type(b) and repr(a) == repr(b)  # plain data, with NaN equal to NaN

    return [name for name, value in whole.items() if name not in other or not same(value, other[name])]
