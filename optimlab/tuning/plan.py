"""The plan of a search: its problem, spaces and budget, all checked before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..common.errors import InputError, count, lookup, number, printable, unknown
from ..common.version import __version__
from ..rules import Kind
from ..study.plan import Contender, Problem
from ..study.spaces import Space, parse, usual
from ..training.checks import check_batches

DEFAULT_SPACES = {
    "lr": "1e-4:1:log",
    "batch_size": "32:256:pow2",
    "factor": "0.1:0.5",
    "patience": "2,5,10",
}
"""The spaces that are searched by default."""
LARGEST_BATCH = 256
"""The largest batch size of the default space; it is smaller if there are fewer training rows."""

SAMPLERS = ("qmc", "tpe", "gp")
OBJECTIVES = ("val_score", "val_loss")
WHOLE = ("batch_size", "patience")


@dataclass(frozen=True)
class Search:
    """The plan of a hyperparameter search.

    Parameters
    ----------
    problem: data, network, and the limit of a trial's epochs. Its batch size is used unless ``batch_size`` is searched
        or fixed.
    optimizer: a name, such as ``"adam"`` or ``"adam:torch(beta2=0.99)"``, or an :class:`optimlab.study.Contender`.
        Hyperparameters that it searches are searched too. If it has a schedule, that is as long as ``epochs``, and
        replaces the plateau.
    convention: convention of an optimizer named without one. It also decides the meaning of the plateau's patience and
        threshold, see :class:`optimlab.schedules.ReduceLROnPlateau`.
    spaces: space of each searched hyperparameter, as :func:`optimlab.tuning.parse` reads it, or ``"auto"`` for the
        usual range of its kind (:data:`optimlab.rules.KINDS`). The names are those of the rule's hyperparameters, such
        as ``lr``, and ``batch_size`` and the plateau's ``factor`` and ``patience``. None stands for
        :data:`DEFAULT_SPACES`, without fixed ones, and with smaller batches if there are few training rows.
    fixed: value of each fixed hyperparameter.
    trials: number of sets of hyperparameters to try.
    sampler: ``"qmc"`` (a scrambled Sobol' sequence, spread evenly whatever the results), ``"tpe"`` or ``"gp"``, which
        learn from the trials before (``"gp"`` needs PyTorch).
    seed: seed of the sampler.
    seeds: seeds of the initial weights and the order of the rows. A trial is trained with each, and its score is the
        mean.
    objective: ``"val_score"`` (the accuracy, or R² of a regression) or ``"val_loss"``, at the trial's best epoch.
        Plateau and early stopping monitor it.
    early_patience, early_min_delta: early stopping, see :class:`optimlab.EarlyStopping`. With a plateau (``factor`` or
        ``patience`` searched or fixed), training ends after twice the plateau's patience instead.
    min_delta, min_lr: the plateau's ``threshold`` and its lowest learning rate.
    label: name of the search in tables and figures; it does not affect the trials.

    Raises
    ------
    InputError: a value, name or space is invalid; this is found before the first trial.

    >>> Search(spaces={"lr": "0.1:1e-4:log"})
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: lr: a range must rise, got 0.1:0.0001
    >>> Search(spaces={"beta": "0.8:0.99"})
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: unknown hyperparameter 'beta'; did you mean 'beta2', 'beta1'? Known: ...
    """

    problem: Problem = field(default_factory=lambda: Problem(epochs=100))
    optimizer: str | Contender = "adam"
    convention: str = "textbook"
    spaces: Mapping[str, Space] | Mapping[str, str | Sequence[float] | Space] | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    trials: int = 20
    sampler: str = "qmc"
    seed: int = 0
    seeds: tuple[int, ...] = (0,)
    objective: str = "val_score"
    early_patience: int = 10
    early_min_delta: float = 1e-5
    min_delta: float = 1e-4
    min_lr: float = 1e-5
    label: str = ""

    def __post_init__(self) -> None:
        count("trials", self.trials)
        count("epochs", self.problem.epochs)
        count("early_patience", self.early_patience)
        for name in ("early_min_delta", "min_delta", "min_lr"):
            number(name, getattr(self, name), low=0)
        lookup("sampler", self.sampler, dict.fromkeys(SAMPLERS))
        lookup("objective", self.objective, dict.fromkeys(OBJECTIVES))
        if self.label != "":
            printable("label", self.label)
        if not self.seeds:
            raise InputError("seeds must hold at least one seed")
        for seed in (self.seed, *self.seeds):
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
                raise InputError(f"a seed must be a whole number of at least 0, got {seed!r}")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"the seeds must differ, got {', '.join(map(str, self.seeds))}")
        contender = self.contender
        object.__setattr__(self, "fixed", {**contender.fixed, **self.fixed})
        known = [*contender.defaults(), "batch_size", "factor", "patience"]
        schedule = contender.schedule
        if schedule and schedule.listens:
            raise InputError(f"{contender.label}: a search has its own plateau; search or fix factor and patience")
        plateau = ("factor", "patience")
        default = self._default_spaces() if self.spaces is None else self.spaces
        given: dict[str, Any] = {**contender.searched, **default}
        taken = [name for name in ("batch_size", "factor", "patience") if name in contender.defaults()]
        if taken:
            reason = f"{contender.name} has a hyperparameter {taken[0]}, but this is also a setting of the search"
            raise InputError(f"{reason}: rename the hyperparameter")
        for name in [*given, *self.fixed]:
            if name not in known:
                raise unknown("hyperparameter", name, known)
        if schedule and {*plateau} & {*given, *self.fixed}:
            raise InputError(f"{contender.label}: the rate follows a schedule, so no plateau can cut it")
        followed = [name for name in (*given, *self.fixed) if name in contender.scheduled]
        if followed:
            raise InputError(f"{contender.label}: {followed[0]} follows a schedule, so it cannot be searched or fixed")
        both = [name for name in given if name in self.fixed]
        if both:
            raise InputError(f"{both[0]} is both searched and fixed")
        if not given:
            raise InputError("there is nothing to search: every hyperparameter is fixed")
        kinds, defaults = contender.kinds(), contender.defaults()
        spaces = {
            name: usual(name, kinds[name], defaults[name])
            if isinstance(text, str) and text == "auto" and name in kinds
            else parse(name, text, whole=name in WHOLE)
            for name, text in given.items()
        }
        object.__setattr__(self, "spaces", spaces)
        for name, space in spaces.items():
            for value in space.values():
                _checked(name, value, kinds)
        # converted to the types in use: a batch_size of 5.0 becomes 5
        object.__setattr__(self, "fixed", {name: _checked(name, value, kinds) for name, value in self.fixed.items()})
        self._check_problem()

    @property
    def contender(self) -> Contender:
        """Return the optimizer as a contender, without the spaces and values of this search."""
        given = self.optimizer
        return given if isinstance(given, Contender) else Contender.parse(given, self.convention)

    @property
    def monitor(self) -> str:
        """Return the name of the history's list that is the objective."""
        return f"val_{self.problem.score}" if self.objective == "val_score" else self.objective

    @property
    def searched(self) -> dict[str, Space]:
        """Return the spaces by hyperparameter."""
        return dict(self.spaces or {})  # type: ignore[arg-type]  # made so by __post_init__

    @property
    def plateau(self) -> bool:
        """Return True if the learning rate is cut on plateaus."""
        return bool({"factor", "patience"} & {*self.searched, *self.fixed})

    def config(self) -> dict[str, Any]:
        """Return plain data that two searches must share, for one to continue the other: all but label and trials."""
        problem, contender = self.problem.config(), self.contender
        del problem["target"]
        apart = ("problem", "optimizer", "trials", "label")
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        return {
            "optimlab": __version__,
            **problem,
            **rest,
            **contender.config(),
            "seeds": list(self.seeds),
            "spaces": {name: asdict(space) for name, space in self.searched.items()},
            "fixed": dict(self.fixed),
        }

    def _default_spaces(self) -> dict[str, str]:
        spaces = dict(DEFAULT_SPACES)
        rows = len(self.problem.data().x_train)
        if rows < LARGEST_BATCH:
            largest = 1 << (rows.bit_length() - 1)
            spaces["batch_size"] = f"{max(1, largest // 8)}:{largest}:pow2"
        plateau = ("factor", "patience") if self.contender.schedule else ()
        without = {*self.fixed, *self.contender.scheduled, *plateau}
        return {name: text for name, text in spaces.items() if name not in without}

    def _check_problem(self) -> None:
        data = self.problem.data()
        self.contender.check(*self.problem.steps())
        network, rows = self.problem.network(self.seeds[0]), len(data.x_train)
        space = self.searched.get("batch_size")
        sizes = space.values() if space else [self.fixed.get("batch_size", self.problem.batch_size)]
        for size in sorted(map(int, sizes), reverse=True):
            for n in (rows, rows + len(data.x_val)):  # the best is also trained on both together
                check_batches(network, n, size)

    def __str__(self) -> str:
        plain = f"{str(self.problem).rsplit(', batch', 1)[0]}, {self.contender.label}"
        return f"{self.label}: {plain}" if self.label else plain


def _checked(name: str, value: Any, kinds: Mapping[str, Kind]) -> float:
    """Return ``value`` checked for hyperparameter ``name``."""
    return (_CHECKS.get(name) or kinds[name].check)(name, value)


def _whole(name: str, value: Any) -> float:
    is_whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    return count(name, int(value) if is_whole else value)


_CHECKS: dict[str, Callable[[str, Any], float]] = {
    "lr": lambda name, value: number(name, value, positive=True),
    "factor": lambda name, value: number(name, value, low=0, below=1),
    "batch_size": _whole,
    "patience": _whole,
}
