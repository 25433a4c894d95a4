"""The race itself: every optimizer on one function of two variables, with the same start and tuning budget.

The two coordinates are weights like any others: the points of all learning rates and seeds lie in one
:class:`~optimlab.nn.parameters.Parameters` buffer in float64. The same :class:`~optimlab.optim.optimizers.Optimizer`
that trains networks steps them, with a parameter group for each rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends, rules
from ..common.errors import InputError, concise, count, number, unknown
from ..common.files import json_ready
from ..common.markup import Html, together
from ..common.progress import progress_bar
from ..common.views import view
from ..nn.parameters import Parameter, Parameters
from ..optim import optimizers
from ..optim.optimizers import Optimizer
from ..schedules import Length
from ..study.contender import Contender
from .functions import Landscape, get
from .score import Floats, first_within, gaps_along, lowest, on_course, score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES: tuple[float, ...] = tuple(10.0 ** (k / 4) for k in range(-20, 9))
"""The grid that every optimizer is tuned on: four rates per decade, 0.00001 to 100."""

TRIALS, RUNS, MOST_STEPS = 9, 9, 20_000
"""Number of trials per rate; of runs in the race, with fresh noise (one without noise); of steps in a run."""

JITTER = 0.02
"""Largest distance of a trial's start from the race's start, as a share of the bounds' width and height."""


@dataclass(frozen=True)
class Racer:
    """One optimizer's outcome.

    Attributes
    ----------
    lr: the rate of its race, chosen from the grid if ``tuned``, else given.
    scores: its score at each rate of the grid, the mean over the trials; empty if not tuned.
    usable: the number of rates at which the median trial reached the tolerance.
    paths: the points after 0, 1, ..., steps updates, per seed, shape ``(seeds, steps + 1, 2)``, float64.
    gaps: the gap at each of these points, shape ``(seeds, steps + 1)``; see :func:`~optimlab.race.score.gaps_along`.
    reached: per seed, the first step within the tolerance; infinite if there is none.
    """

    name: str
    lr: float
    tuned: bool
    scores: tuple[float, ...]
    usable: int
    paths: Floats
    gaps: Floats
    reached: tuple[float, ...]

    def __repr__(self) -> str:
        return f"<Racer {self.name}, lr {concise(self.lr)}, {len(self.paths)} runs of {self.paths.shape[1] - 1} steps>"

    @property
    def shown(self) -> int:
        """The seed with the median score, which is drawn."""
        return int(np.argsort(score(self.gaps), kind="stable")[len(self.gaps) // 2])

    @property
    def path(self) -> Floats:
        """The path of the drawn seed, shape ``(steps made + 1, 2)``.

        It ends where it left the landscape, or at the last point before it diverged.
        """
        gap = self.gaps[self.shown]
        made = int(np.isfinite(gap).sum())
        arrived = np.flatnonzero(gap == 0)
        return (
            self.paths[self.shown, : min(made, *(arrived[:1] + 1))] if len(arrived) else self.paths[self.shown, :made]
        )


@dataclass(frozen=True)
class Race:
    """The result of a race; ``racers`` are in the order in which they were named."""

    landscape: Landscape
    convention: str
    start: tuple[float, float]
    steps: int
    seed: int
    tolerance: float
    rates: tuple[float, ...]
    racers: tuple[Racer, ...]

    def plot(self) -> Figure:
        """Draw the path of each optimizer on a map of the function, and the gaps over the steps beside the maps."""
        figure: Figure = view("race figure", self)
        return figure

    def _repr_html_(self) -> str:
        return together(f"{view('race sentence', self)}.", Html(view("race table", self)._repr_html_()))

    def __repr__(self) -> str:
        return f"<Race of {len(self.racers)}: {view('race sentence', self)}>"

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per optimizer, sorted by steps to the tolerance, then by final gap.

        Numbers are medians over the seeds. A run that missed or diverged counts as infinity, which is shown as None.
        """
        made = [self._row(racer) for racer in self.racers]
        made.sort(key=lambda row: row["score"])
        ready: list[dict[str, Any]] = json_ready(made)
        return ready

    def _row(self, racer: Racer) -> dict[str, Any]:
        gap = float(np.median(racer.gaps[:, -1]))
        return {
            "optimizer": racer.name,
            "lr": racer.lr,
            "tuned": racer.tuned,
            "at_edge": racer.tuned and racer.lr in (self.rates[0], self.rates[-1]),
            "trials": len(racer.scores) * TRIALS,
            "usable_rates": racer.usable if racer.tuned else None,
            "steps_to_tolerance": float(np.median(racer.reached)),
            "hits": int(np.isfinite(racer.reached).sum()),
            "runs": len(racer.reached),
            "diverged": int(np.isinf(racer.gaps[:, -1]).sum()),
            "final_gap": gap,
            "final_value": lowest(self.landscape) + gap,
            "final_point": racer.path[-1].tolist(),
            "score": float(np.median(score(racer.gaps))),
        }

    def summary(self) -> dict[str, Any]:
        """Return everything except the paths, as plain data for JSON."""
        return {
            "function": self.landscape.name,
            "convention": self.convention,
            "start": list(self.start),
            "steps": self.steps,
            "seed": self.seed,
            "tolerance": self.tolerance,
            "rates": list(self.rates),
            "optimizers": self.rows(),
        }

    def record(self) -> dict[str, Any]:
        """Return the summary, and per optimizer the tuning scores, the drawn path and its gaps."""
        details = {
            racer.name: {
                "scores": list(racer.scores),
                "path": racer.path.tolist(),
                "gaps": racer.gaps[racer.shown][: len(racer.path)].tolist(),
            }
            for racer in self.racers
        }
        ready: dict[str, Any] = json_ready({**self.summary(), "runs": details})
        return ready


def race(
    function: str | Landscape = "rosenbrock",
    names: Sequence[str | rules.Rule | Contender] = optimizers.CLASSIC,
    *,
    convention: str = "textbook",
    steps: int = 200,
    start: Sequence[float] | None = None,
    lr: Mapping[str, float] | None = None,
    rates: Sequence[float] = RATES,
    tolerance: float = 1e-3,
    seed: int = 0,
    progress: bool | None = None,
) -> Race:
    """Race optimizers on a function of two variables, from the same start, each at its best rate of the same grid.

    1. Tuning: nine trials at every rate of ``rates``, so that the choice does not depend on one lucky leap. The trials
       start near the race's start (within 2% of the bounds' width and height), at the same points for all. The chosen
       rate has the lowest mean score. A trial that diverges or leaves the course counts as infinity
       (:mod:`optimlab.race.score` defines score, divergence and course). Between equal scores the lower rate wins.
    2. The race, at the chosen rate, from the start itself, which was not used for tuning. With noisy gradients there
       are nine runs with fresh noise, the same for all; without noise there is one.

    The race follows the point at which the gradient is taken. For Nesterov's rule this is the look-ahead point, for
    Schedule-Free AdamW the point between its two sequences.

    Parameters
    ----------
    function: the name of a landscape, or a :class:`Landscape`.
    names: optimizers such as ``"adam"``, ``"adam:torch"`` or ``"sgd(schedule=cosine)"``, your own rules with a rate
        ``lr``, or contenders (:class:`optimlab.study.Contender`). A schedule's peak is tuned; its lengths are shares of
        the steps, or steps.
    convention: the convention of names without one.
    start: a point within the bounds of the function; the function's start by default.
    lr: rates for optimizers, by name, that should not be tuned.
    tolerance: the share of the start's gap that counts as arrival.
    seed: the seed of the trials' starts and of the noise.

    Raises
    ------
    InputError: a name is unknown, the start is outside the bounds or on a minimum, or a number is out of range.

    >>> outcome = race("quadratic", ["sgd", "momentum"], steps=100)
    >>> [(row["optimizer"], row["steps_to_tolerance"]) for row in outcome.rows()]
    [('momentum', 23.0), ('sgd', 64.0)]
    """
    landscape = get(function) if isinstance(function, str) else function
    if count("steps", steps) > MOST_STEPS:
        raise InputError(f"steps must be at most {MOST_STEPS:,}, so that every step can be shown; got {steps:,}")
    tolerance, seed = number("tolerance", tolerance, low=1e-12, below=1), int(number("seed", seed, low=0))
    origin = _checked_start(landscape, landscape.start if start is None else start)
    grid = _checked_rates(rates)
    named = _checked_names(names, convention)
    given = {name: number(f"the learning rate of {name}", value, positive=True) for name, value in (lr or {}).items()}
    for name in given:
        if name not in named:
            raise unknown("optimizer in the race", name, named)
    for one in named.values():
        _optimizer(one, _points(1, 1), [1.0], steps)
    nearby, tried_noise = _nearby(landscape, origin, seed), _noise(landscape, seed, 0, TRIALS, steps)
    fresh_noise = _noise(landscape, seed, 1, RUNS if landscape.noise else 1, steps)
    racers = []
    with progress_bar("racing", len(named), shown=progress) as advance:
        for name, one in named.items():
            scores: list[float] = []
            usable = 0
            if name not in given:
                tried = trajectories(landscape, one, grid, nearby, tried_noise)
                scores, usable = _judged(landscape, tried, tolerance)
            rate = given[name] if name in given else grid[int(np.argmin(scores))]
            paths = trajectories(landscape, one, [rate], origin, fresh_noise)[0]
            gaps = gaps_along(landscape, paths)
            reached = tuple(first_within(gaps, tolerance).tolist())
            racers.append(Racer(name, rate, name not in given, tuple(scores), usable, paths, gaps, reached))
            advance(name)
    return Race(landscape, convention, origin, steps, seed, tolerance, tuple(grid), tuple(racers))


def _judged(landscape: Landscape, tried: Floats, tolerance: float) -> tuple[list[float], int]:
    """Return the score of each rate from the paths of its trials, and the number of usable rates."""
    gaps = gaps_along(landscape, tried)
    kept = on_course(landscape, tried, gaps)
    scores = np.where(kept, score(gaps), math.inf).mean(axis=-1)
    arrived = np.median(np.where(kept, first_within(gaps, tolerance), math.inf), axis=-1)
    return scores.tolist(), int(np.isfinite(arrived).sum())


def trajectories(
    landscape: Landscape,
    optimizer: str | rules.Rule | Contender,
    rates: Sequence[float],
    start: Sequence[float] | Floats,
    noise: Floats,
    *,
    convention: str = "textbook",
) -> Floats:
    """Return an optimizer's path at each rate with each noise sequence, shape ``(rates, seeds, steps + 1, 2)``.

    ``noise`` is added to the gradients, shape ``(seeds, steps, 2)``. Overflows become infinite or NaN.

    >>> from optimlab.race import get
    >>> trajectories(get("quadratic"), "sgd", [0.01, 0.02], (1.0, 1.0), np.zeros((1, 1, 2)))[:, 0, 1]
    array([[0.99, 0.5 ],
           [0.98, 0.  ]])
    """
    seeds, steps, _ = noise.shape
    points = _points(len(rates), seeds)
    opt = _optimizer(_contender(optimizer, convention), points, rates, steps)
    w, g = (flat.reshape(len(rates), seeds, 2) for flat in (points.data, points.grad))
    w[...] = start
    paths = np.empty((len(rates), seeds, steps + 1, 2))
    paths[:, :, 0] = w
    with points.backend.quiet():
        for k in range(steps):
            g[..., 0], g[..., 1] = landscape.gradient(w[..., 0], w[..., 1])
            g += noise[:, k]
            opt.step()
            paths[:, :, k + 1] = w
    return paths


def _points(rates: int, seeds: int) -> Parameters:
    """Make a buffer of points, with a layer, and so a group, for each rate.

    Each point is a matrix of one column, because rules of whole tensors treat vectors as biases.
    """
    made = [Parameter(f"rate{k}.{s}", "weights", f"rate{k}", (2, 1)) for k in range(rates) for s in range(seeds)]
    return Parameters(made, "float64", backends.get("numpy"))


def _contender(one: str | rules.Rule | Contender, convention: str) -> Contender:
    """Return an optimizer as a contender of the race.

    Raises
    ------
    InputError: ``one`` cannot be read; or something other than the rate is searched, or needs a validation loss.
    """
    if isinstance(one, str):
        one = Contender.parse(one, convention)
    elif not isinstance(one, Contender):
        one = Contender(getattr(one, "__name__", "rule"), rule=one)
    if one.searched:
        told = ", ".join(one.searched)
        raise InputError(f"{one.label}: a race tunes only the learning rate; give {told} one value, or use compare")
    if one.schedule and one.schedule.listens:
        raise InputError(f"{one.label}: a plateau follows the validation loss, but a race has none; use compare")
    return one


def _optimizer(one: Contender, points: Parameters, rates: Sequence[float], steps: int) -> Optimizer:
    run = Length(steps)
    groups = {f"rate{k}": {"lr": one.rate(lr, run)} for k, lr in enumerate(rates)}
    return one.optimizer(points, run, groups=groups, **one.fixed)


def _noise(landscape: Landscape, seed: int, kind: int, runs: int, steps: int) -> Floats:
    """Return the noise for the gradients of each run, shape ``(runs, steps, 2)``; it differs between kinds."""
    if not landscape.noise:
        return np.zeros((runs, steps, 2))
    each = [np.random.default_rng([seed, kind, run]).standard_normal((steps, 2)) for run in range(runs)]
    return landscape.noise * np.array(each)


def _nearby(landscape: Landscape, start: tuple[float, float], seed: int) -> Floats:
    """Return the starts of the trials, shape ``(TRIALS, 2)``."""
    low, high = np.transpose(landscape.bounds)
    shifts = np.random.default_rng([seed, 2]).uniform(-JITTER, JITTER, (TRIALS, 2)) * (high - low)
    return np.asarray(np.clip(start + shifts, low, high))


def _checked_start(landscape: Landscape, start: Sequence[float]) -> tuple[float, float]:
    if len(start) != 2:
        raise InputError(f"a start has two coordinates, got {len(start)}")
    x, y = (number(f"the start's {axis}", value) for axis, value in zip("xy", start, strict=True))
    (x0, x1), (y0, y1) = landscape.bounds
    if not (x0 <= x <= x1 and y0 <= y <= y1):
        raise InputError(
            f"the start ({x:g}, {y:g}) lies outside the bounds of {landscape.name}: "
            f"x from {x0:g} to {x1:g}, y from {y0:g} to {y1:g}"
        )
    if float(landscape.value(x, y)) <= lowest(landscape):
        raise InputError(f"the start ({x:g}, {y:g}) is already a minimum of {landscape.name}; choose another start")
    return x, y


def _checked_rates(rates: Sequence[float]) -> list[float]:
    grid = [number("a learning rate of the grid", lr, positive=True) for lr in rates]
    if not grid or grid != sorted(set(grid)):
        raise InputError("the learning rates of the grid must rise, and there must be at least one")
    return grid


def _checked_names(names: Sequence[str | rules.Rule | Contender], convention: str) -> dict[str, Contender]:
    """Return the optimizers by their names in the race: the given name, or the label of one with settings."""
    made = [_contender(one, convention) for one in names]
    known = [
        given if isinstance(given, str) and "(" not in given else one.label
        for given, one in zip(names, made, strict=True)
    ]
    named = dict(zip(known, made, strict=True))
    if not named:
        raise InputError("name at least one optimizer")
    if len(named) < len(names):
        raise InputError(f"an optimizer is named twice: {', '.join(known)}")
    return named
