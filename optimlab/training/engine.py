"""Three ways to take the steps of an epoch: operation by operation, as a recorded program, as a CUDA graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from ..backends.operations import CannotRecord, Deferred
from ..common.errors import InputError, one_line
from ..nn.buffers import Buffers
from ..nn.losses import Loss
from ..nn.network import Network
from ..nn.regularization import Clip, Constraint, Penalty
from ..optim.optimizers import Optimizer
from .history import History
from .lifecycle import Lifecycle
from .step import Epoch, Step, unchanged

WARM_UP = 2
"""Number of warm-up steps without a graph, see :meth:`optimlab.backends.recording.Recorder.record`."""


class Run(Protocol):
    """The part of a training run that an engine uses, see :class:`optimlab.training.run.Run`."""

    network: Network
    optimizer: Optimizer
    loss: Loss
    penalties: Sequence[Penalty]
    clip: Clip | None
    constraints: Sequence[Constraint]
    life: Lifecycle
    history: History
    now: Epoch
    epochs: int


class Engine(Protocol):
    """The interface of an engine, which takes the steps of a run."""

    def begin(self, steps: int) -> None:
        """Prepare for the ``steps`` that remain in the epoch.

        The run calls this before the first of them, and again whenever a callback may have changed something.
        """

    def take(self, times: int, *, rest: bool) -> int:
        """Take the next ``times`` steps, or the last, smaller one. Return the number of steps taken."""


class Plain:
    """An engine that executes the step operation by operation."""

    def __init__(self, run: Run) -> None:
        self._optimizer = optimizer = run.optimizer
        self._steps = _steps(run, lambda: optimizer.step())  # looked up late: a callback may replace it

    def begin(self, steps: int) -> None:
        pass

    def take(self, times: int, *, rest: bool) -> int:
        counted = self._optimizer.t
        try:
            for _ in range(times):
                self._steps[rest]()
        finally:
            self._optimizer.t = counted  # the run counts
        return times


class Tabled:
    """Steps whose updates read their host scalars from tables, one row per step, so that they repeat without Python.

    They refer neither to the run nor to this object. Without a cycle, all memory of a GPU is free when the run ends.
    """

    def __init__(self, run: Run) -> None:
        self._network, self._optimizer, self._now = run.network, run.optimizer, run.now
        self._life, self._history = run.life, run.history
        self.steps = _steps(run, _tabled_update(run.network, run.optimizer, run.now))
        self._version = -1
        self._restore: list[Callable[[], None]] = [_nothing, _nothing]
        """For each of the two steps, a function that restores the attributes that its program does not set."""

    def begin(self, steps: int) -> None:
        backend, now, optimizer = self._network.backend, self._now, self._optimizer
        updates = optimizer.bound()
        if self._version != self._network.parameters.version:
            self._version = self._network.parameters.version
            now.tables[:] = [backend.zeros((now.steps, update.hp.size), update.hp.dtype.name) for update in updates]
        first = now.steps - steps
        ahead = int(min(steps, self._life.idle(self._history.steps) + 1))
        for table, rows in zip(now.tables, optimizer.tables(ahead), strict=True):
            if rows.size:
                table[first : first + len(rows)] = backend.asarray(rows, table.dtype)

    def programs(self) -> list[Any] | None:
        """Record the two steps, and return their programs; None if the step has code that cannot be recorded."""
        self._restore = [_nothing, _nothing]  # those of an older recording restore an older pass
        if (
            not isinstance(self._network.backend, Deferred)
            or not self.steps[0].recordable()
            or not self._optimizer.by_table
        ):
            return None
        try:
            # buffers of the smaller batch are the front of the larger batch's buffers
            return [self._program(rest) if self.steps[rest].rows else None for rest in (False, True)]
        except CannotRecord:
            return None

    def _program(self, rest: bool) -> Any:
        backend: Any = self._network.backend
        step, observed = self.steps[rest], bool(self._life.on_step)
        program = backend.record(step, self._network.dtype, partial(step.working, observed))
        self._restore[rest] = self._network.training_pass_restorer()
        return program

    def take(self, times: int, *, rest: bool) -> int:
        for _ in range(times):
            self.steps[rest]()
        return times


class Recorded(Tabled):
    """An engine with a recorded program of the backend for each of the two batch sizes.

    A callback may put Python code into the step, such as another method of a layer. From then on, the steps are taken
    operation by operation, until the code is removed.

    Raises
    ------
    CannotRecord: a part of the step does not consist of named operations.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        if not self.steps[0].recordable() or not run.optimizer.by_table:
            raise CannotRecord("a part of the step is custom Python code")
        self._settings: list[Any] | None = None
        self._programs: list[Any] | None = None

    def begin(self, steps: int) -> None:
        super().begin(steps)
        settings = [*self.steps[0].settings(), self._optimizer.by_table]
        if self._settings is None or not unchanged(self._settings, settings):
            self._settings, self._programs = settings, self.programs()

    def take(self, times: int, *, rest: bool) -> int:
        if self._programs is None:
            counted = self._optimizer.t
            try:
                return super().take(times, rest=rest)
            finally:
                self._optimizer.t = counted  # the run counts
        done: int = self._programs[rest].run(times)
        self._restore[rest]()
        return done


class Graphed(Tabled):
    """An engine with a CUDA graph of the step on full batches.

    On a GPU, small networks are limited by kernel launches, and a graph is a single launch.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        if not run.network.backend.asynchronous:
            raise InputError(f"a CUDA graph needs the backend 'cupy', not {run.network.backend.name!r}")
        if run.life.on_step:
            raise InputError("a callback runs after every step")
        if not run.optimizer.by_table:
            raise InputError(f"{run.optimizer.name} is a rule of whole matrices")
        if run.now.full * run.epochs <= WARM_UP:
            raise InputError(f"the run has too few full batches: the graph is recorded after {WARM_UP}")
        from ..backends.recording import Recorder

        self._recorder = Recorder(run.network.backend)  # type: ignore[arg-type]
        self._launch: Callable[[], None] | None = None
        self._work: list[Callable[[], Any]] = []
        """The work of a step on a full batch, and on the rest."""
        self._settings: list[Any] = []
        self._warm = 0

    def begin(self, steps: int) -> None:
        super().begin(steps)
        settings = self.steps[0].settings()
        if not unchanged(self._settings, settings):
            self._settings, self._launch, self._warm = settings, None, 0
            programs = self.programs() or [None, None]
            self._work = [
                step if program is None else program.run for step, program in zip(self.steps, programs, strict=True)
            ]

    def take(self, times: int, *, rest: bool) -> int:
        with self._recorder.working():
            for _ in range(times):
                if rest:
                    self._work[True]()
                    continue
                if self._launch is None and self._warm >= WARM_UP:
                    self._launch = self._recorded()
                    if self._restore[False] is _nothing:
                        self._restore[False] = self._network.training_pass_restorer()
                (self._launch or self._work[False])()
                self._warm += 1
        self._restore[rest]()
        return times

    def _recorded(self) -> Callable[[], None]:
        try:
            return self._recorder.record(self._work[False])
        except Exception as error:  # CUDA or CuPy reports anything that cannot be recorded
            fall_back(error)
            return self._work[False]


def engine_of(run: Run, graph: bool) -> Engine:
    """Return the fastest engine for a run.

    ``graph`` asks for a CUDA graph. If none can be made, a warning says why.
    """
    if graph:
        try:
            return Graphed(run)
        except Exception as error:
            fall_back(error)
    if isinstance(run.network.backend, Deferred):
        try:
            return Recorded(run)
        except CannotRecord:
            pass
    return Plain(run)


def fall_back(reason: object) -> None:
    warnings.warn(f"training continues without a CUDA graph: {one_line(reason)}", RuntimeWarning, stacklevel=2)


def _nothing() -> None:
    pass


def _tabled_update(network: Network, optimizer: Optimizer, now: Epoch) -> Callable[[], None]:
    """Return the update of a step that reads its host scalars from the tables of ``now``."""

    def update() -> None:
        if not optimizer.by_table:  # a callback has replaced the step
            optimizer.step()
            return
        for table, bound in zip(now.tables, optimizer.bound(), strict=True):
            network.backend.take(table, now.at, bound.hp.reshape(1, -1))
            bound.launch()

    return update


def _steps(run: Run, update: Callable[[], None]) -> list[Step]:
    """Return the step on full batches, and the step on the rest if there is one."""
    buffers = Buffers(run.network.backend, run.network.dtype)

    def made(rest: bool) -> Step:
        terms = run.penalties, run.clip, run.constraints
        return Step(run.network, run.loss, run.now, update, buffers, *terms, rest=rest)

    return [made(False), made(True)]


__all__ = ["Engine", "Graphed", "Plain", "Recorded", "engine_of"]
