"""The life cycle of callbacks: when, and in which order, :func:`optimlab.fit` calls them.

==================  ================================  ==========================================================
method              called with                       when
==================  ================================  ==========================================================
``on_begin``        ``network, optimizer, history``   once, before the first step, after a resumed run is loaded
``on_epoch_begin``  ``network, optimizer, history``   before the first step of each epoch
``on_step``         ``network, optimizer``            after each update
``__call__``        ``network, optimizer, history``   after each epoch; True ends training
``on_end``          ``network, optimizer, history``   once, however training ended
==================  ================================  ==========================================================

Each method is optional, so a plain function is a callback, too. A callback with ``on_step`` may have the method
``idle(steps)``. It returns how many more steps may pass after ``steps`` steps before ``on_step`` has to be called.
Without ``idle``, compiled code returns to Python after each step. ``on_begin`` makes a callback forget earlier runs. A
callback that can be resumed has two more methods. ``state()`` returns plain data and arrays by name.
``load(state, network)`` restores them after ``on_begin`` of the resumed run. With a checkpoint, a callback that has
only one of the two is an error. A callback that saves the work of the others sets the attribute ``last`` to True. It
is then called after all others. The attribute ``monitor`` names a list of the history; it is an error if the run will
not have this list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..common.errors import InputError
from ..nn.network import Network
from ..optim.optimizers import Optimizer
from .history import MEASURES, History


class Diverged(Exception):
    """A loss that is not finite.

    ``late`` is the number of steps counted after the diverging one when it was found; -1 if the diverging step itself
    was not counted.
    """

    def __init__(self, late: int) -> None:
        self.late = late


HOOKS = ("on_begin", "on_epoch_begin", "on_step", "on_end")


class Lifecycle:
    """The callbacks of one run, and their calls in the right order.

    Attributes
    ----------
    callbacks: in the order given, which is also the order of their states in a checkpoint.
    on_step: the methods to call after each update.

    Raises
    ------
    InputError: something in ``callbacks`` is not a callback.
    """

    def __init__(self, callbacks: Sequence[Any], network: Network, optimizer: Optimizer, history: History) -> None:
        self.callbacks = checked(callbacks)
        self._ordered = sorted(self.callbacks, key=lambda callback: bool(getattr(callback, "last", False)))
        self._begun: list[Any] = []
        self._about = network, optimizer, history
        self._steppers = [callback for callback in self._ordered if hasattr(callback, "on_step")]
        self.on_step = [callback.on_step for callback in self._steppers]

    def begin(self, states: Sequence[dict[str, Any]] | None = None, measured: Sequence[str] = MEASURES) -> None:
        """Begin every callback; ``states`` has the states of ``callbacks`` in a resumed run.

        Raises
        ------
        InputError: a callback monitors something that is not ``measured``; no callback has begun.
        """
        for callback in self.callbacks:
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and monitor in MEASURES and monitor not in measured:
                raise InputError(
                    f"there is no {monitor} for {named(callback)} to watch: the data have no such split, or the loss "
                    f"has no such score; choose one of {', '.join(measured)}"
                )
        remembered = {id(callback): state for callback, state in zip(self.callbacks, states or (), strict=False)}
        for callback in self._ordered:
            if hasattr(callback, "on_begin"):
                callback.on_begin(*self._about)
            self._begun.append(callback)
            if states is not None and callable(getattr(callback, "load", None)):
                callback.load(remembered[id(callback)], self._about[0])

    def idle(self, steps: int) -> float:
        """Return how many more steps may pass after ``steps`` before a callback has to be called."""
        return min(
            (callback.idle(steps) if hasattr(callback, "idle") else 0 for callback in self._steppers), default=math.inf
        )

    def begin_epoch(self) -> None:
        for callback in self._ordered:
            if hasattr(callback, "on_epoch_begin"):
                callback.on_epoch_begin(*self._about)

    def end_epoch(self) -> bool:
        """Call every callback after an epoch; return True if one of them ends training.

        Raises
        ------
        InputError: a callback returned something other than True, False or None.
        """
        answers = [_truth(callback, callback(*self._about)) for callback in self._ordered if callable(callback)]
        return any(answers)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Set the status of the history when the block ends, and end every callback that began.

        Divergence and Ctrl-C raise nothing. Of several exceptions the first is raised, with the others as its notes.
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
    """Return the name of a callback in messages and checkpoints."""
    return type(callback).__name__


def checked(callbacks: Any) -> list[Any]:
    """Check the callbacks and return them as a list.

    Raises
    ------
    InputError: ``callbacks`` is not a list, or something in it is not a callback; the message says what to write.

    >>> import optimlab as ol
    >>> checked([ol.EarlyStopping])
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: callbacks holds the class EarlyStopping; write EarlyStopping(...)
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
                f"{wrong or f'{callback!r} is not a callback'}. A callback is a function "
                "(network, optimizer, history), called after each epoch, or an object with any of on_begin, "
                "on_epoch_begin, on_step, __call__ (after each epoch) and on_end; see optimlab.training.lifecycle"
            )
    return list(callbacks)


def _truth(callback: Any, answer: Any) -> bool:
    """Turn an answer into a bool; booleans of NumPy and CuPy are accepted."""
    if answer is None or isinstance(answer, bool):
        return bool(answer)
    if getattr(answer, "shape", None) == () and answer.dtype.kind == "b":
        return bool(answer)
    raise InputError(
        f"{named(callback)} returned {answer!r} after an epoch: True ends training, False or None does not"
    )
