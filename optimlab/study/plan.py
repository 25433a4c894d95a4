"""What a study runs: a problem, the optimizers and rates compared on it, and single runs by their key."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from .. import datasets, optimizers
from ..datasets import Dataset
from ..errors import InputError


@dataclass(frozen=True)
class Problem:
    """A data set and everything about training on it that is the same for all optimizers.

    ``target`` is the validation accuracy whose first reaching is timed; fixed here, before anything is run.
    """

    dataset: str = "digits"
    hidden: tuple[int, ...] = (64,)
    activation: str = "relu"
    initializer: str = "he_normal"
    batch_norm: bool = False
    dropout: float = 0.0
    batch_size: int = 64
    epochs: int = 20
    target: float = 0.95
    dtype: str = "float32"
    backend: str = "numpy"

    def data(self) -> Dataset:
        """The data set; read once."""
        return _load(self.dataset)

    def sizes(self) -> list[int]:
        """Layer sizes of the network, from the data's features to its classes."""
        data = self.data()
        return [data.x_train.shape[1], *self.hidden, len(data.classes)]

    def fingerprint(self) -> str:
        """A digest of the data, so that results of changed data are never taken for those of the old."""
        return _fingerprint(self.dataset)

    def __str__(self) -> str:
        sizes = "-".join(map(str, self.sizes()))
        return f"{self.dataset}, MLP {sizes}, batch {self.batch_size}, {self.epochs} epochs"


@dataclass(frozen=True)
class Run:
    """One training run, fully described: two runs with the same key give the same curve."""

    problem: Problem
    optimizer: str
    lr: float
    seed: int
    test: bool = False
    """Whether the test split is evaluated (never while a learning rate is being chosen)."""
    convention: str = "textbook"

    def config(self) -> dict[str, Any]:
        """Plain data from which the run can be repeated."""
        return {**asdict(self), "data": _fingerprint(self.problem.dataset)}

    @property
    def key(self) -> str:
        """SHA-256 of the canonical configuration.

        >>> a = Run(Problem(), "adam", 0.01, seed=0)
        >>> a.key == Run(Problem(), "adam", 0.01, seed=0).key, a.key == Run(Problem(), "adam", 0.01, seed=1).key
        (True, False)
        """
        text = json.dumps(self.config(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Study:
    """The quick protocol: one grid of rates for every optimizer, then fresh seeds at the chosen rate.

    Raises
    ------
    InputError: no or unknown optimizers, rates that are not positive, seeds that overlap.
    """

    problem: Problem = field(default_factory=Problem)
    optimizers: tuple[str, ...] = optimizers.CLASSIC
    rates: tuple[float, ...] = tuple(10.0 ** (k / 2) for k in range(-6, 3))
    """Two a decade, 0.001 to 10."""
    tuning_seeds: tuple[int, ...] = (0, 1, 2)
    confirmation_seeds: tuple[int, ...] = tuple(range(100, 110))
    extensions: int = 4
    """How many rates may be added where the best lies at the edge of the grid."""

    def __post_init__(self) -> None:
        if not self.optimizers:
            raise InputError("name at least one optimizer")
        for name in self.optimizers:
            optimizers.get(name)
        if len(set(self.optimizers)) < len(self.optimizers):
            raise InputError(f"an optimizer is named twice: {', '.join(self.optimizers)}")
        if len(self.rates) < 3 or not all(math.isfinite(r) and r > 0 for r in self.rates):
            raise InputError("a grid needs at least three positive learning rates, so that one can lie inside")
        if list(self.rates) != sorted(set(self.rates)):
            raise InputError("the learning rates of a grid must rise")
        if not self.tuning_seeds or len(self.confirmation_seeds) < 2:
            raise InputError("a study needs at least one tuning seed and two confirmation seeds")
        if set(self.tuning_seeds) & set(self.confirmation_seeds):
            raise InputError("the confirmation seeds must be fresh, not those a rate was chosen with")

    def tuning_runs(self, optimizer: str, rates: Sequence[float]) -> list[Run]:
        """Every rate with every tuning seed."""
        return [Run(self.problem, optimizer, lr, seed) for lr in rates for seed in self.tuning_seeds]

    def confirmation_runs(self, optimizer: str, lr: float) -> list[Run]:
        """The chosen rate with every fresh seed, tested."""
        return [Run(self.problem, optimizer, lr, seed, test=True) for seed in self.confirmation_seeds]

    def with_epochs(self, epochs: int) -> Study:
        """The same study, trained for another number of epochs."""
        return replace(self, problem=replace(self.problem, epochs=epochs))


@cache
def _load(name: str) -> Dataset:
    return datasets.load(name)


@cache
def _fingerprint(name: str) -> str:
    """A digest of the arrays, so that results of changed data are never taken for those of the old."""
    data, digest = _load(name), hashlib.sha256()
    for split in ("train", "val", "test"):
        for part in ("x", "y"):
            array = getattr(data, f"{part}_{split}")
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]
