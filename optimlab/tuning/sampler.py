"""The hyperparameters of the next trial: a pure function of the seed and the finished trials.

A sampler keeps no state between calls, so a killed search continues with the same trials, whatever the sampler.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from ..common.errors import InputError, lacks
from .plan import Search

Record = dict[str, Any]


def require(search: Search) -> None:
    """Check that the libraries of a search are installed.

    Raises
    ------
    InputError: a library is missing; the message says how to install it.
    """
    if importlib.util.find_spec("optuna") is None:
        raise lacks("the search", "Optuna", "tune")
    with warnings.catch_warnings():  # of Optuna's progress bar, which is not used, in a notebook without ipywidgets
        warnings.filterwarnings("ignore", "IProgress not found")
        importlib.import_module("optuna")
    if search.sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise InputError("the sampler 'gp' needs PyTorch: pip install torch; 'qmc' and 'tpe' do not")


def proposals(search: Search) -> Callable[[Sequence[Record]], dict[str, float]]:
    """Return a function that proposes the hyperparameters of the next trial, given the finished ones."""
    if search.sampler == "qmc":
        points = list(islice(_sequence(search), search.trials))
        return lambda finished: points[len(finished)]
    return lambda finished: _learned(search, finished)


def _sequence(search: Search) -> Iterator[dict[str, float]]:
    """Yield the points of the Sobol' sequence, which do not depend on results."""
    import optuna

    with quiet():
        sampler = optuna.samplers.QMCSampler(seed=search.seed, scramble=True, warn_independent_sampling=False)
        study = optuna.create_study(sampler=sampler)
    while True:
        with quiet():
            trial = study.ask(distributions(search))
            study.tell(trial, 0.0)
        yield decoded(search, trial.params)


def _learned(search: Search, finished: Sequence[Record]) -> dict[str, float]:
    """Return the proposal of TPE or a Gaussian process, given the finished trials.

    With a fixed seed, a sampler would repeat its first draws after every start. So the seed is derived from the seed of
    the search and the number of trials. (Their sum would give neighbouring searches nearly the same trials.)
    """
    import optuna

    seed = int(np.random.SeedSequence((search.seed, len(finished))).generate_state(1)[0])
    make = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}[search.sampler]
    with quiet():
        study = optuna.create_study(sampler=make(seed=seed), direction=direction(search))
        study.add_trials([frozen(search, record) for record in finished])
        return decoded(search, study.ask(distributions(search)).params)


def direction(search: Search) -> Any:
    """Return the direction of the optimization, for Optuna."""
    return "maximize" if search.objective == "val_score" else "minimize"


def distributions(search: Search) -> dict[str, Any]:
    """Return the spaces as distributions of Optuna."""
    return {space.key(name): space.distribution() for name, space in search.searched.items()}


def decoded(search: Search, raw: dict[str, Any]) -> dict[str, float]:
    """Return the hyperparameters for Optuna's values."""
    return {name: space.decode(raw[space.key(name)]) for name, space in search.searched.items()}


def frozen(search: Search, record: Record) -> Any:
    """Return a finished trial as a trial of Optuna, with our record."""
    import optuna

    values = record["hyperparameters"]
    return optuna.trial.create_trial(
        params={space.key(name): space.encode(values[name]) for name, space in search.searched.items()},
        distributions=distributions(search),
        value=score(search, record),
        user_attrs={"record": record},
    )


def score(search: Search, record: Record) -> float:
    """Return the score for the sampler. A diverged trial gets the worst possible one; R² has no lower bound."""
    if record["status"] == "ok":
        return float(record[search.objective])
    return -math.inf if search.objective == "val_score" else math.inf


@contextmanager
def quiet() -> Iterator[None]:
    """Silence messages of Optuna that do not concern the user.

    They tell of created studies, of experimental samplers, and of losses of diverged trials that are clipped before a
    Gaussian process is fitted.
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "Clip non-finite values", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
