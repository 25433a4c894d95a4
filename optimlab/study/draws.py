"""Settings of a contender in one replicate: of its searched hyperparameters, and random ones of all."""

from __future__ import annotations

import json

import numpy as np

from ..rules import Prior
from .contender import FULL_RATES, Contender
from .digests import digest
from .spaces import Choice, Range

Settings = tuple[tuple[str, float], ...]


def searched_settings(contender: Contender, rates: int, each: int, seed: int) -> list[list[Settings]]:
    """Return the settings of the searched hyperparameters that are tried at each of so many rates.

    Every combination of listed values is tried at every rate. If a range is searched, each combination is repeated with
    new draws, so that the number of settings per rate comes as close as possible to ``each``.

    >>> searched_settings(Contender("adam", hyperparameters={"beta1": [0.8, 0.9]}), rates=1, each=2, seed=0)
    [[(('beta1', 0.8),), (('beta1', 0.9),)]]
    """
    choices = contender.choices()
    ranges = {name: space for name, space in contender.searched.items() if isinstance(space, Range)}
    if not ranges:
        return [[tuple(choice.items()) for choice in choices]] * rates
    rng = _generator(contender, seed, 1)
    draws = max(1, round(each / len(choices)))

    def setting(choice: dict[str, float]) -> Settings:
        drawn = {name: float(space.at(rng.random())) for name, space in ranges.items()}
        return tuple(sorted({**choice, **drawn}.items()))

    return [[setting(choice) for choice in choices for _ in range(draws)] for _ in range(rates)]


def random_settings(contender: Contender, trials: int, seed: int = 0) -> list[tuple[float, Settings]]:
    """Draw ``(lr, hyperparameters)`` for a random search, each from the prior of its kind.

    The learning rate is drawn from the range of the full grid; for the others see :data:`optimlab.rules.KINDS`.
    Searched hyperparameters are drawn from their own lists and ranges. Fixed and scheduled ones stay, and those in
    :meth:`Contender.unsearched` keep their defaults. The draws depend only on ``seed`` and the contender's
    configuration, so the order of the optimizers does not matter.

    >>> lr, rest = random_settings(Contender("momentum"), 1)[0]
    >>> 1e-5 < lr < 100, 0.5 < dict(rest)["beta"] < 0.999
    (True, True)
    """
    rng = _generator(contender, seed)
    defaults, kinds, searched = contender.defaults(), contender.kinds(), contender.searched
    rate = Prior(FULL_RATES[0], FULL_RATES[-1])
    still = {"lr", *contender.fixed, *contender.scheduled, *contender.unsearched()}

    def drawn(name: str, share: float) -> float:
        space, prior = searched.get(name), kinds[name].prior
        if isinstance(space, Choice):
            return float(space.choices[int(share * len(space.choices))])
        if space is not None:
            return float(space.at(share))
        assert prior is not None
        return prior.at(share, defaults[name])

    names = [name for name in kinds if name not in still]
    return [(rate.at(rng.random()), tuple((name, drawn(name, rng.random())) for name in names)) for _ in range(trials)]


def _generator(contender: Contender, seed: int, *more: int) -> np.random.Generator:
    return np.random.default_rng([seed, *more, *digest(json.dumps(contender.config())).encode()])
