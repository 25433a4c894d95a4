"""What is measured, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import optimlab as ol

DTYPE = "float32"

START = 1_000
"""Step number that each timed epoch begins with."""


@dataclass(frozen=True)
class Job:
    """A network and how it is trained."""

    sizes: tuple[int, ...]
    batch: int
    rows: int
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.0
    rule: str = "adam"
    epochs: int = 1

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def steps(self) -> int:
        """Of one epoch."""
        return -(-self.rows // self.batch)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of each parameter: the weight matrices, then the biases, then scales and shifts of batch norm."""
        scales = 2 * self.sizes[1:-1] if self.batch_norm else ()
        return [*zip(self.sizes, self.sizes[1:], strict=False), *((n,) for n in (*self.sizes[1:], *scales))]

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def data(self) -> tuple[Any, Any]:
        """Rows from [0, 1) and random labels: speed does not depend on the values."""
        return random_rows(self.rows, self.sizes[0], self.sizes[-1])


@cache  # jobs of one shape share them
def random_rows(rows: int, features: int, classes: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.random((rows, features), dtype=DTYPE)
    return x, generator.integers(0, classes, rows)


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    repeats: int
    """Steps of a rule timed together, in each round, at the smallest size."""
    jobs: tuple[Job, ...]
    sizes: tuple[int, ...]
    """Numbers of parameters at which the rules are measured."""
    rules: tuple[str, ...]
    compiled: bool
    """Whether to wait for ``torch.compile``, and for the start of libraries that are long in starting."""

    @classmethod
    def full(cls, rounds: int) -> Effort:
        jobs = (Job((3072, 100, 100, 10), batch=32, rows=5_000), Job((784, 800, 10), batch=256, rows=20_000))
        rules = tuple(r for r in ol.rules.names("textbook") if not isinstance(ol.rules.find(r), ol.rules.LayerRule))
        return cls(rounds, 10, jobs, (300_000, 1_000_000, 10_000_000), rules, compiled=True)

    @classmethod
    def quick(cls, rounds: int) -> Effort:
        jobs = (Job((3072, 100, 100, 10), batch=32, rows=160), Job((784, 800, 10), batch=256, rows=512))
        return cls(rounds, 1, jobs, (10_000,), ("sgd", "adam"), compiled=False)


@cache
def engines() -> list[str]:
    """The CPU backends of optimlab that are here: the plain one, then that of a large network, where it is another."""
    large = ol.MLP([1000, 1000], initializer="zeros")
    return list(dict.fromkeys(("numpy", large.backend.name)))
