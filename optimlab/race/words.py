"""The results and conditions of a race in words."""

from __future__ import annotations

import numpy as np

from ..common.errors import exact
from .run import JITTER, TRIALS, Race, Racer
from .score import STRIDE


def outcome(race: Race, racer: Racer) -> str:
    """Describe a racer's outcome in a few words."""
    steps, gap = float(np.median(racer.reached)), float(np.median(racer.gaps[:, -1]))
    if np.isfinite(steps):
        left = bool(gap > race.tolerance * racer.gaps[0, 0]) and not race.landscape.noise
        return _steps(steps) + ", then away again" * left
    return f"gap {gap:.2g} left" if np.isfinite(gap) else "diverged"


def sentence(race: Race) -> str:
    """Describe what the figure shows, from its numbers."""
    steps = {racer.name: float(np.median(racer.reached)) for racer in race.racers}
    arrived = {name: n for name, n in steps.items() if np.isfinite(n)}
    title, share = race.landscape.title, f"{100 * race.tolerance:g}% of the start's gap"
    if not arrived:
        best = race.rows()[0]
        aim = f"within {share}" if race.landscape.minima else "away from the saddle"
        left = "diverged" if best["final_gap"] is None else f"ended {best['final_gap']:.2g} above the lowest point"
        return f"{title}: in {_steps(race.steps)} none came {aim}. {best['optimizer']}, best by score, {left}"
    fastest, slowest = min(arrived.values()), max(arrived.values())
    first = listed([name for name, n in arrived.items() if n == fastest])
    last = listed([name for name, n in arrived.items() if n == slowest])
    missed = [name for name in steps if name not in arrived]
    goal = f"to come within {share}" if race.landscape.minima else "to leave"
    told = f"{title}: {first} took {_steps(fastest)} {goal}"
    if slowest > fastest:
        told += f", {last} {slowest:.0f}"
    if missed:
        told += f"; {listed(missed)} did not in {race.steps}"
    return told


def _steps(n: float) -> str:
    return f"{n:.0f} step{'s' * (n != 1)}"


def listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def conditions(race: Race) -> str:
    """Describe the conditions of the race."""
    landscape, rates = race.landscape, race.rates
    above = "to the minimum" if landscape.minima else "to the lowest point of the map"
    named = any(":" in racer.name for racer in race.racers)
    convention = f"{race.convention} convention" + " where no other is named" * named
    parts = [f"All from ({exact(race.start[0])}, {exact(race.start[1])}), {convention}."]
    if any(racer.tuned for racer in race.racers):
        parts.append(
            f"Learning rate (lr): the best of the same {len(rates)}, {rates[0]:g} to {rates[-1]:g}, by the mean score "
            f"of {TRIALS} trials each from within {JITTER:.0%} of the start. Score: log10 of the share of the start's "
            f"gap {above} that is left, mean over {_steps(race.steps)}."
        )
        fault = f"makes a step longer than {STRIDE:.0%} of the map's diagonal"
        if landscape.minima:
            fault = "leaves x from {:g} to {:g}, y from {:g} to {:g}".format(*landscape.bounds[0], *landscape.bounds[1])
        parts.append(f"A trial that diverges or {fault} is the worst.")
    given = [racer.name for racer in race.racers if not racer.tuned]
    if given:
        parts.append(f"Given, not tuned: {listed(given)}.")
    if landscape.noise:
        parts.append(
            f"Gradients have Gaussian noise, standard deviation {landscape.noise:g}: medians of "
            f"{len(race.racers[0].reached)} fresh noise sequences, the same for all; paths are those of the median run."
        )
    return " ".join(parts)
