"""Stop anywhere, go on as if nothing had happened: the whole state of a run, kept and put back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import datasets, optimizers, rules, schedules
from ..datasets import Dataset
from ..errors import InputError, count, lookup
from ..files import json_ready
from ..network import MLP, Network
from ..optimizers import Optimizer
from .checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from .history import History

if TYPE_CHECKING:
    from .loop import Run


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
        "recipe": _recipe(run),
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


class Resumed(NamedTuple):
    """What :func:`resume` gives back."""

    network: Network
    optimizer: Optimizer
    history: History


def resume(
    path: str | Path,
    *,
    data: Dataset | None = None,
    epochs: int | None = None,
    callbacks: Sequence[Any] | None = None,
    **options: Any,
) -> Resumed:
    """Go on with a run from its file alone: network, optimizer and data set are made anew as the file says.

    For what a file can say in plain data: an MLP with a named activation, an optimizer known by name with numbers or
    schedules of :mod:`optimlab.schedules`, a data set known by name. Otherwise give ``data``, ``callbacks`` (those of
    the run, in their order) and options such as ``penalties`` as they were, or make everything yourself and call
    ``fit(..., resume=path)``.

    Raises
    ------
    InputError: no such file, damaged, not of a run; or something of the run cannot be made from the file.

    >>> import tempfile, optimlab as ol
    >>> path = Path(tempfile.mkdtemp()) / "run.npz"
    >>> net = ol.MLP([64, 16, 10], batch_norm=True, seed=0)
    >>> opt = ol.Adam(net.parameters, lr=ol.schedules.StepLR(0.01, step_size=20))
    >>> history = ol.fit(net, opt, ol.datasets.load("digits"), epochs=3, callbacks=[Checkpoint(path, every=17)])
    >>> again = resume(path, epochs=5)
    >>> again.history.epochs, again.history.train_loss[:3] == history.train_loss
    (5, True)
    """
    from .loop import fit

    _, header = read_checkpoint(path)
    recipe = header["extra"].get("recipe")
    if recipe is None:
        raise InputError(f"{path} is a checkpoint of a network, not of a run")
    for part, advice in (("network", "an MLP with a named activation"), ("optimizer", "an optimizer known by name")):
        if recipe[part] is None:
            raise InputError(f"{path} cannot say how its {part} was made, since it is not {advice}; use fit(resume=)")
    if data is None:
        data = datasets.load(recipe["data"]) if recipe["data"] in datasets.DATASETS else None
        if data is None:
            raise InputError(f"{path} does not name a known data set; give the run's own as data=")
    if callbacks is None:
        kinds = [kind for kind, _ in header["extra"]["callbacks"]]
        if kinds != ["Checkpoint"]:
            raise InputError(f"give the run's callbacks, made as they were: {', '.join(kinds)}")
        callbacks = [Checkpoint(path, recipe["every"])]
    network = MLP(**recipe["network"])
    made = recipe["optimizer"]
    own = {name: {k: _schedule(v) for k, v in values.items()} for name, values in made["groups"].items()}
    values = {name: _schedule(value) for name, value in made["hyperparameters"].items()}
    for frozen in recipe["frozen"]:
        network.parameters.freeze(frozen)
    optimizer = optimizers.get(made["rule"])(network.parameters, groups=own, **made["options"], **values)
    config = header["extra"]["config"]
    history = fit(
        network,
        optimizer,
        data,
        epochs=epochs or recipe["epochs"],
        batch_size=config["batch_size"],
        loss=config["loss"],
        callbacks=callbacks,
        resume=path,
        **options,
    )
    return Resumed(network, optimizer, history)


def _recipe(run: Run) -> dict[str, Any]:
    """How to make the run's parts, as plain data; None for a part that cannot be told so."""
    every = next((callback.every for callback in run.callbacks if isinstance(callback, Checkpoint)), 1)
    return {
        "network": run.network.recipe,
        "optimizer": _optimizer_recipe(run.optimizer),
        "data": run.data,
        "epochs": run.epochs,
        "every": every,
        "frozen": [p.name for p in run.network.parameters if p.frozen],
    }


def _optimizer_recipe(optimizer: Optimizer) -> dict[str, Any] | None:
    convention = getattr(optimizer, "convention", None)
    known = rules.find(optimizer.name, convention) if convention else getattr(rules.layerwise, optimizer.name, None)
    if known is not optimizer.rule:
        return None
    try:
        return {
            "rule": optimizer.name,
            "options": {"convention": convention} if convention else {},
            "hyperparameters": {name: _told(value) for name, value in optimizer.hyperparameters.items()},
            "groups": {n: {k: _told(v) for k, v in own.items()} for n, own in optimizer.groups.items()},
        }
    except TypeError:  # a function that nobody else can know
        return None


def _told(value: Any) -> Any:
    """A number as it is, a schedule as its name and fields; a TypeError for anything else."""
    if isinstance(value, schedules.Schedule):
        told = {f.name: _told(getattr(value, f.name)) for f in fields(value)}  # type: ignore[arg-type]
        return {"schedule": type(value).__name__, "fields": told}
    if isinstance(value, list | tuple):
        return [_told(v) for v in value]
    if value is None or isinstance(value, int | float | str):
        return value
    raise TypeError(f"{value!r} is no plain data")


def _schedule(told: Any) -> Any:
    if isinstance(told, dict):
        made = lookup("schedule", told["schedule"], {k: v for k, v in vars(schedules).items() if isinstance(v, type)})
        return made(**{name: _schedule(value) for name, value in told["fields"].items()})
    return tuple(map(_schedule, told)) if isinstance(told, list) else told


def verify_resume(
    make: Callable[[], tuple[Network, Optimizer, Sequence[Any]]],
    data: Dataset,
    *,
    epochs: int = 3,
    stops: int = 3,
    seed: int = 0,
    **options: Any,
) -> list[int]:
    """Prove that a run of yours resumes bit for bit: stop it at random steps, go on, and compare.

    ``make()`` gives a new network, optimizer and list of callbacks, the same each time. Returns the steps it was
    stopped at. ``options`` are those of ``fit``.

    Raises
    ------
    AssertionError: naming the step and the array that differs.

    >>> import optimlab as ol
    >>> def make():
    ...     net = ol.MLP([64, 8, 10], batch_norm=True, dropout=0.2, seed=0)
    ...     return net, ol.Adam(net.parameters, lr=ol.schedules.OneCycle(0.01, total=51)), [ol.AverageWeights(net)]
    >>> len(verify_resume(make, ol.datasets.load("digits"), stops=2))
    2
    """
    from .loop import fit

    class Stop:
        def __init__(self, step: int) -> None:
            self.step = step

        def __call__(self, network: Network, optimizer: Optimizer, history: Any) -> None:
            pass

        def on_step(self, network: Network, optimizer: Optimizer) -> None:
            self.step -= 1
            if not self.step:
                raise KeyboardInterrupt

    def run(path: Path, stop: int = 0, resume: Path | None = None) -> tuple[Network, Optimizer, int]:
        network, optimizer, callbacks = make()
        extra = [*callbacks, Checkpoint(path, every=1), Stop(stop)]
        history = fit(network, optimizer, data, epochs=epochs, callbacks=extra, resume=resume, **options)
        return network, optimizer, history.steps

    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        whole, first, steps = run(path)
        chosen = [int(k) for k in generator.integers(1, steps + 1, stops)]
        for stop in chosen:
            path.unlink()
            run(path, stop)
            again, second, _ = run(path, resume=path)
            ours, theirs = {**again.learned(), **second.state}, {**whole.learned(), **first.state}
            for name in theirs:
                if not bool((ours[name] == theirs[name]).all()):
                    raise AssertionError(f"stopped at step {stop} of {steps} and resumed, {name} differs")
    return chosen


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
