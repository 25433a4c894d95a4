"""Recipes for the parts of a run, as plain data that a file can store."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .. import datasets, rules, schedules
from ..common.errors import InputError, lookup
from ..datasets import Dataset
from ..nn.network import MLP, Network
from ..optim import optimizers
from ..optim.optimizers import Optimizer
from .run import Run


def recipe(run: Run) -> dict[str, Any]:
    """Return a recipe for each of the run's parts, as plain data; None for a part that is not serializable."""
    return {
        "network": run.network.recipe,
        "optimizer": _optimizer_recipe(run.optimizer),
        "data": run.data,
        "epochs": run.epochs,
        "frozen": [p.name for p in run.network.parameters if p.frozen],
    }


def made(recipe: dict[str, Any], path: object) -> tuple[Network, Optimizer]:
    """Make network and optimizer from the recipe of the file at ``path``.

    Raises
    ------
    InputError: one of them cannot be made from plain data.
    """
    for part, advice in (("network", "an MLP with a named activation"), ("optimizer", "an optimizer known by name")):
        if recipe[part] is None:
            raise InputError(f"{path} cannot recreate its {part}, because it is not {advice}; use fit(resume=)")
    network = MLP(**recipe["network"])
    told = recipe["optimizer"]
    own = {name: {k: _schedule(v) for k, v in values.items()} for name, values in told["groups"].items()}
    values = {name: _schedule(value) for name, value in told["hyperparameters"].items()}
    for frozen in recipe["frozen"]:
        network.parameters.freeze(frozen)
    optimizer = optimizers.get(told["rule"])(network.parameters, groups=own, **told["options"], **values)
    return network, optimizer


def named_data(recipe: dict[str, Any], path: object) -> Dataset:
    """Load the data set that the recipe names.

    Raises
    ------
    InputError: there is no data set of this name.
    """
    if recipe["data"] not in datasets.DATASETS:
        raise InputError(f"{path} does not name a known data set; pass the run's data as data=")
    return datasets.load(recipe["data"])


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
    except TypeError:  # a custom function, which is not serializable
        return None


def _told(value: Any) -> Any:
    """Return a number unchanged and a schedule as its name and fields; raise TypeError for anything else."""
    if isinstance(value, schedules.Schedule):
        told = {f.name: _told(getattr(value, f.name)) for f in fields(value)}  # type: ignore[arg-type]
        return {"schedule": type(value).__name__, "fields": told}
    if isinstance(value, list | tuple):
        return [_told(v) for v in value]
    if value is None or isinstance(value, int | float | str):
        return value
    raise TypeError(f"{value!r} is not plain data")


def _schedule(told: Any) -> Any:
    if isinstance(told, dict):
        made = lookup("schedule", told["schedule"], {k: v for k, v in vars(schedules).items() if isinstance(v, type)})
        return made(**{name: _schedule(value) for name, value in told["fields"].items()})
    return tuple(map(_schedule, told)) if isinstance(told, list) else told
