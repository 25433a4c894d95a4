"""The plan of a study: contenders on a problem, in replicates of the whole procedure; and its single runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..common.errors import InputError, concise, count, exact, printable
from ..optim import optimizers
from .contender import FULL_RATES, KINDS, LEAST_RATE, TOO_HIGH, Contender
from .digests import key_of
from .draws import Settings, random_settings, searched_settings
from .problem import PROBLEMS, Problem
from .results import VERSION, Record

__all__ = ["FULL", "FULL_RATES", "KINDS", "PROBLEMS", "QUICK_RATES", "Contender", "Problem", "Run", "Study"]

QUICK_RATES = tuple(10.0 ** (k / 2) for k in range(-6, 3))
"""Two rates per decade, from 0.001 to 10."""
MOST_REPLICATES = 10_000
"""Limit of the replicates of a study. It keeps the seeds of two studies with different ``seed`` apart."""


@dataclass(frozen=True)
class Run:
    """The full description of one training run: two runs with the same key give the same curve.

    Parameters
    ----------
    problem, contender: what is trained on what.
    lr: the learning rate, or the peak of its schedule.
    seed: seed of the initial weights, the order of the rows, and dropout.
    split: seed of the split of the data.
    hyperparameters: the searched ones, as ``(name, value)``; the contender has the fixed ones.
    """

    problem: Problem
    contender: Contender
    lr: float
    seed: int
    split: int = 0
    hyperparameters: Settings = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", float(self.lr))  # 1 and 1.0 are one run

    def settings(self) -> dict[str, float]:
        """Return the hyperparameters that are fixed or searched, without the learning rate."""
        return {**self.contender.fixed, **dict(self.hyperparameters)}

    def config(self) -> dict[str, Any]:
        """Return plain data from which the run can be repeated, without the target, which does not affect the run."""
        problem = {name: value for name, value in self.problem.config().items() if name != "target"}
        return {
            "problem": problem,
            **self.contender.config(),
            "lr": self.lr,
            "hyperparameters": self.settings(),
            "split": self.split,
            "seed": self.seed,
        }

    @cached_property
    def key(self) -> str:
        """Return the SHA-256 of the canonical configuration.

        >>> a, b = (Run(Problem(), Contender("adam"), 0.01, seed) for seed in (0, 1))
        >>> a.key == Run(Problem(), Contender("adam"), 0.01, 0).key, a.key == b.key
        (True, False)
        """
        return key_of(self.config())

    def failed(self, error: str) -> Record:
        """Return the record of this run if it ended with an error."""
        return Record(self.key, self.config(), "error", error=error or "unknown")

    def __str__(self) -> str:
        return f"{self.contender.label} lr {concise(self.lr)} seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """The plan of a comparison: the whole procedure is repeated in every replicate, for every contender.

    Parameters
    ----------
    problem: the data set, and everything about training on it that the contenders share.
    optimizers: names such as ``"adam"`` or ``"adam:torch"``, or :class:`Contender`.
    rates: the grid of learning rates: at least three, in ascending order. Each replicate shifts it by its own fraction
        of a step. A contender that searches hyperparameters tries them at every rate. The others get more rates over
        the same range, so that all have the same number of trials.
    replicates: number of replicates, at least two. Each has its own split of the data, initial weights, order of the
        rows and dropout, the same for all contenders.
    seed: seed of the study. Two studies with different seeds share no random number.
    extensions: number of rates that a replicate may add if the best rate lies at the edge of its grid.
    defaults: whether each rule also runs untuned, at its default learning rate, in a row of its own.
    search: number of random settings of all searchable hyperparameters that each replicate also tries; 0 for none. The
        full protocol tries one per rate. :meth:`Contender.unsearched` names those that cannot be searched.
    label: name of the comparison in tables, figures and the report; it does not affect the runs.

    Raises
    ------
    InputError: there are no optimizers, or an unknown one, or two with the same label; the rates are not positive or
        not ascending; there are fewer than two replicates; or the label is not text on one line.

    >>> study = Study(Problem(epochs=5), ("sgd", "adam:torch"), replicates=3)
    >>> study.planned()  # 3 replicates of 2 optimizers at 9 rates and the default rate
    60
    """

    problem: Problem = field(default_factory=Problem)
    optimizers: tuple[str | Contender, ...] = optimizers.CLASSIC
    rates: tuple[float, ...] = QUICK_RATES
    replicates: int = 10
    seed: int = 0
    extensions: int = 4
    defaults: bool = True
    search: int = 0
    label: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Problem):
            raise InputError(f"problem must be a Problem, such as PROBLEMS['digits'], got {self.problem!r}")
        if not isinstance(self.defaults, bool):
            raise InputError(f"defaults must be True or False, got {self.defaults!r}")
        for name in ("optimizers", "rates"):
            if isinstance(getattr(self, name), str) or not isinstance(getattr(self, name), Iterable):
                raise InputError(f"{name} must be a list, got {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.optimizers:
            raise InputError("name at least one optimizer")
        for optimizer in self.optimizers:
            if not isinstance(optimizer, str | Contender):
                raise InputError(f"an optimizer must be a name or a Contender, got {optimizer!r}")
        try:
            object.__setattr__(self, "rates", tuple(map(float, self.rates)))
        except (TypeError, ValueError):
            raise InputError(f"rates must be positive learning rates, got {self.rates!r}") from None
        for name in ("extensions", "seed", "search"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise InputError(f"{name} must be a whole number of at least 0, got {value!r}")
            object.__setattr__(self, name, int(value))
        if self.label != "":
            printable("label", self.label)
        labels = [c.label for c in self.contenders]
        for label in labels:
            if labels.count(label) > 1:
                raise InputError(f"two optimizers have the label {label!r}: give one of them another label")
        if len(self.rates) < 3 or not all(math.isfinite(r) and r > 0 for r in self.rates):
            raise InputError("a grid needs at least three positive learning rates, so that one is not at its edge")
        for rate in self.rates:
            if not LEAST_RATE <= rate < TOO_HIGH:
                raise InputError(
                    f"a learning rate must be at least {LEAST_RATE:g} and below {TOO_HIGH:g}, got {exact(rate)}"
                )
        if list(self.rates) != sorted(set(self.rates)):
            raise InputError("the learning rates of a grid must rise")
        object.__setattr__(self, "replicates", count("replicates", self.replicates))
        if not 2 <= self.replicates <= MOST_REPLICATES:
            raise InputError(
                f"replicates must be at least 2, which an interval needs, and at most {MOST_REPLICATES:,}, "
                f"got {self.replicates}"
            )

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Return the optimizers, each as a :class:`Contender`."""
        return tuple(o if isinstance(o, Contender) else Contender.parse(o) for o in self.optimizers)

    def not_searched(self) -> list[str]:
        """Return one line per contender on the hyperparameters that the random search leaves out."""
        lines = [f"not searched: {', '.join(c.unsearched())} of {c.label}" for c in self.contenders if c.unsearched()]
        return lines if self.search else []

    @property
    def protocol(self) -> str:
        """Return ``"full"`` with a random search of the hyperparameters, else ``"quick"``."""
        return "full" if self.search else "quick"

    def seed_of(self, replicate: int) -> int:
        """Return the seed of a replicate, of its split and its runs.

        >>> Study(seed=3).seed_of(7)
        30007
        """
        return self.seed * MOST_REPLICATES + replicate

    def rates_of(self, replicate: int) -> tuple[float, ...]:
        """Return the grid of a replicate: ``rates`` times ``step ** u``, with u uniform from -1/2 to 1/2.

        ``step`` is the geometric mean of the ratios of neighbouring rates. The shift keeps any contender from profiting
        from the position of the grid.
        """
        return self._shifted(self.rates, replicate)

    def planned_rates(self, contender: Contender) -> tuple[float, ...]:
        """Return the rates of a contender before the shift: ``rates``, or more of them over the same range."""
        number = len(self.rates)
        if not contender.draws:
            number = max(number, round(number * self.budget / contender.settings))
        if number == len(self.rates):
            return self.rates
        places = np.linspace(0, len(self.rates) - 1, number)
        return tuple(float(10**at) for at in np.interp(places, np.arange(len(self.rates)), np.log10(self.rates)))

    def _shifted(self, rates: tuple[float, ...], replicate: int) -> tuple[float, ...]:
        step = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1))
        drawn = np.random.default_rng(np.random.SeedSequence((self.seed_of(replicate), 0x0FF5E7))).random()
        shift = step ** (drawn - 0.5)
        return tuple(float(min(max(rate * shift, LEAST_RATE), TOO_HIGH / 2)) for rate in rates)

    def run(self, contender: Contender, replicate: int, lr: float, hyperparameters: Settings = ()) -> Run:
        """Return the run of a replicate at one setting."""
        seed = self.seed_of(replicate)
        return Run(self.problem, contender, lr, seed, seed, hyperparameters)

    @cached_property
    def budget(self) -> int:
        """Return the number of settings per rate of the grid: that of the contender with the most.

        A contender with fewer settings gets a finer grid of rates, so that all have the same number of trials.
        """
        return max(contender.settings for contender in self.contenders)

    def grid(self, contender: Contender, replicate: int) -> list[Run]:
        """Return the trials of a contender in a replicate: rates times settings of its searched hyperparameters.

        >>> study = Study(optimizers=("sgd", Contender("adamw", hyperparameters={"weight_decay": [0, 0.01, 0.1]})))
        >>> [len(study.grid(contender, 0)) for contender in study.contenders]
        [27, 27]
        """
        rates = self._shifted(self.planned_rates(contender), replicate)
        settings = searched_settings(contender, len(rates), self.budget, self.seed_of(replicate))
        return [
            self.run(contender, replicate, lr, chosen)
            for lr, several in zip(rates, settings, strict=True)
            for chosen in several
        ]

    def random(self, contender: Contender, replicate: int) -> list[Run]:
        """Return the runs of a replicate's random search; they depend only on the contender and the seed."""
        drawn = random_settings(contender, self.search, self.seed_of(replicate))
        return [self.run(contender, replicate, lr, chosen) for lr, chosen in drawn]

    def default(self, contender: Contender, replicate: int) -> list[Run]:
        """Return the run of the rule at its default rate, if the study has these rows."""
        return [self.run(contender, replicate, contender.defaults()["lr"])] if self.defaults else []

    def check(self) -> None:
        """Check that the study can be run, before anything is written.

        Raises
        ------
        InputError: the problem cannot be run, see :meth:`Problem.check`; or a schedule does not fit into its runs.
        """
        self.problem.check()
        for contender in self.contenders:
            contender.check(*self.problem.steps())

    def planned(self) -> int:
        """Return the number of runs, without extensions of the grid."""
        trials = sum(len(self.grid(contender, 0)) for contender in self.contenders)
        return self.replicates * (trials + len(self.contenders) * (self.search + self.defaults))

    def config(self) -> dict[str, Any]:
        """Return plain data, as ``study.json`` and ``summary.json`` store it."""
        contenders = [
            {**c.config(), "hyperparameters": c.fixed, **_beside(c), "label": c.label} for c in self.contenders
        ]
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("problem", "optimizers")}
        lists = {k: list(v) if isinstance(v, tuple) else v for k, v in rest.items()}
        return {"version": VERSION, "problem": self.problem.config(), "optimizers": contenders, **lists}

    def with_epochs(self, epochs: int) -> Study:
        """Return the same study with another number of epochs."""
        return replace(self, problem=replace(self.problem, epochs=epochs))


def _beside(contender: Contender) -> dict[str, Any]:
    """Return the part of a contender's description that is left out if empty."""
    searched = {name: space.text for name, space in contender.searched.items()}
    return {"searched": searched} if searched else {}


FULL: dict[str, Any] = {"rates": FULL_RATES, "search": len(FULL_RATES), "replicates": 30}
"""The arguments of a :class:`Study` that the full protocol sets."""
