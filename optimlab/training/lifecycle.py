"""The life of the callbacks of a run: where, and in which order, :func:`optimlab.fit` calls them.

==================  ================================  ==========================================================
method              called with                       when
==================  ================================  ==========================================================
``on_begin``        ``network, optimizer, history``   once, before the first step; after a resumed run was put back
``on_epoch_begin``  ``network, optimizer, history``   before the first step of each epoch
``on_step``         ``network, optimizer``            after each update
``__call__``        ``network, optimizer, history``   after each epoch; True ends training
``on_end``          ``network, optimizer, history``   once, however training ended
==================  ================================  ==========================================================

Each is optional, so that a plain function is a callback. ``on_begin`` makes a callback forget earlier runs. One that
remembers things has ``state()``, plain data and arrays by name, and ``load(state, network)``, which in a resumed run
follows ``on_begin``. A callback with a true attribute ``last`` is called after all others at each of these points: one
that saves what the others have done. One whose attribute ``monitor`` names a list of the history is refused in a run
that will not have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import InputError
from ..network import Network
from ..optimizers import Optimizer
from .history import MEASURES, History
from .tally import Diverged

HOOKS = ("on_begin", "on_epoch_begin", "on_step", "on_end")


class Lifecycle:
    """Calls the callbacks of one run.

    Attributes
    ----------
    callbacks: in the order given, which is that of their states in a checkpoint.
    on_step: what is called after each update.

    Raises
    ------
    InputError: something in ``callbacks`` is not a callback.
    """

    def __init__(self, callbacks: Sequence[Any], network: Network, optimizer: Optimizer, history: History) -> None:
        self.callbacks = checked(callbacks)
        self._ordered = sorted(self.callbacks, key=lambda callback: bool(getattr(callback, "last", False)))
        self._begun: list[Any] = []
        self._about = network, optimizer, history
        self.on_step = [callback.on_step for callback in self._ordered if hasattr(callback, "on_step")]

    def begin(self, states: Sequence[dict[str, Any]] | None = None, measured: Sequence[str] = MEASURES) -> None:
        """Begin every callback; ``states``, of a resumed run, has what each of ``callbacks`` remembered.

        Raises
        ------
        InputError: one of them monitors what is not ``measured``; none has begun.
        """
        for callback in self.callbacks:
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and monitor in MEASURES and monitor not in measured:
                raise InputError(
                    f"there is no {monitor} for {named(callback)} to watch: the data have no such split, or the loss "
                    f"no classes; measured are {', '.join(measured)}"
                )
        remembered = {id(callback): state for callback, state in zip(self.callbacks, states or (), strict=False)}
        for callback in self._ordered:
            if hasattr(callback, "on_begin"):
                callback.on_begin(*self._about)
            self._begun.append(callback)
            if states is not None and hasattr(callback, "load"):
                callback.load(remembered[id(callback)], self._about[0])

    def begin_epoch(self) -> None:
        for callback in self._ordered:
            if hasattr(callback, "on_epoch_begin"):
                callback.on_epoch_begin(*self._about)

    def end_epoch(self) -> bool:
        """Call every callback after an epoch; whether one of them ends training.

        Raises
        ------
        InputError: one returned something that is neither true or false nor None.
        """
        answers = [_truth(callback, callback(*self._about)) for callback in self._ordered if callable(callback)]
        return any(answers)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Give the history its status when the block ends, and end every callback that began.

        Divergence and Ctrl-C end the block quietly. Of several exceptions the first is raised, the others are its
        notes.
        """
        history, first = self._about[2], None
        try:
            yield
        except Diverged as end:
            history.steps -= end.late
            history.status, history.diverged_step = "diverged", history.steps
        except KeyboardInterrupt:
            history.status = "interrupted"
        except BaseException as error:
            history.status, first = "failed", error
        for callback in self._begun:
            try:
                if hasattr(callback, "on_end"):
                    callback.on_end(*self._about)
            except BaseException as error:
                if first is None:
                    first = error
                else:
                    first.add_note(f"then {named(callback)} failed at its end: {type(error).__name__}: {error}")
        if first is not None:
            raise first


def named(callback: Any) -> str:
    """What a callback is called in messages and in checkpoints."""
    return type(callback).__name__


def checked(callbacks: Any) -> list[Any]:
    """The callbacks as a list.

    Raises
    ------
    InputError: not a list, or something in it is not a callback; the message says what to write.

    >>> import optimlab as ol
    >>> checked([ol.EarlyStopping])
    Traceback (most recent call last):
    ...
    optimlab.errors.InputError: callbacks holds the class EarlyStopping; write EarlyStopping(...)
    """
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        raise InputError(f"callbacks must be a list, such as [ol.EarlyStopping()]; got {callbacks!r}")
    for k, callback in enumerate(callbacks):
        if isinstance(callback, type):
            raise InputError(f"callbacks holds the class {callback.__name__}; write {callback.__name__}(...)")
        if any(callback is other for other in callbacks[:k]):
            raise InputError(f"callbacks holds the same {named(callback)} twice")
        methods = [name for name in dir(callback) if name.startswith("on_") and callable(getattr(callback, name))]
        unknown = [name for name in methods if name not in HOOKS]
        if unknown or not (methods or callable(callback)):
            wrong = f"{named(callback)} has the method {unknown[0]}, which fit never calls" if unknown else ""
            raise InputError(
                f"{wrong or f'{callback!r} is no callback'}. A callback is a function "
                "(network, optimizer, history), called after each epoch, or an object with any of on_begin, "
                "on_epoch_begin, on_step, __call__ (after each epoch) and on_end; see optimlab.training.lifecycle"
            )
    return list(callbacks)


def _truth(callback: Any, answer: Any) -> bool:
    """An answer as a bool: those of NumPy and CuPy are as good as Python's."""
    if answer is None or isinstance(answer, bool):
        return bool(answer)
    if getattr(answer, "shape", None) == () and answer.dtype.kind == "b":
        return bool(answer)
    raise InputError(
        f"{named(callback)} returned {answer!r} after an epoch: True ends training, False or None does not"
    )
