"""What a study runs: a problem, the contenders and rates compared on it, and single runs by their key."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import backends, datasets, optimizers
from ..backends import dtype_name
from ..datasets import Dataset
from ..errors import InputError, concise, count, exact, lookup, number, unknown
from ..kernels import Graph, c_source, trace
from ..network import MLP, Network
from ..optimizers import Optimizer
from ..rules import CONVENTIONS, Kind, Prior, Rule
from ..training.checks import check_batches
from .record import digest as _digest
from .record import key_of

QUICK_RATES = tuple(10.0 ** (k / 2) for k in range(-6, 3))
"""Two a decade, 0.001 to 10."""
KINDS = ("tuned", "default", "searched")
"""What is done with a contender: the best rate of the grid, the rule's default one, the best random setting."""
FULL_RATES = tuple(10.0 ** (k / 2) for k in range(-10, 5))
"""Two a decade, 0.00001 to 100."""
LEAST_RATE, TOO_HIGH = 1e-300, 1e300
"""A learning rate lies in ``[LEAST_RATE, TOO_HIGH)``: there float64 has all its digits, and finite neighbours."""

MOST_UNITS, MOST_SEEDS = 1_000_000, 10_000
"""A study with more in a hidden layer, or with more fresh seeds, is a slip of the hand."""


@dataclass(frozen=True)
class Problem:
    """A data set and everything about training on it that is the same for all contenders.

    ``target`` is the validation accuracy whose first reaching is timed: fixed here, before anything is run.
    ``dataset`` is a name or the path of an ``.npz`` file, as for :func:`optimlab.datasets.load`; a relative path is
    made absolute, so that a worker in another folder finds the same file.

    Raises
    ------
    InputError: a value out of range.
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
    backend: str = "auto"

    def __post_init__(self) -> None:
        # equal problems are written alike, and so have equal keys
        for name in ("epochs", "batch_size"):
            object.__setattr__(self, name, count(name, getattr(self, name)))
        given: Any = self.hidden
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise InputError(f"hidden must be the sizes of the hidden layers, such as (64,), got {given!r}")
        hidden = tuple(count("each hidden layer's size", size) for size in given)
        if max(hidden, default=1) > MOST_UNITS:
            raise InputError(f"a hidden layer has at most {MOST_UNITS:,} units, got {max(hidden):,}")
        object.__setattr__(self, "hidden", hidden)
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        for name in ("target", "dropout"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        dataset = str(self.dataset)
        if dataset.endswith(".npz"):
            dataset = str(Path(dataset).expanduser().absolute())
        object.__setattr__(self, "dataset", dataset)
        if not self.name.isprintable():
            raise InputError(f"the file name {self.name!r} contains an unprintable character: rename the file")
        if not 0 < self.target <= 1:
            raise InputError(f"target is a validation accuracy in (0, 1], got {self.target}")
        lookup("backend", self.backend, dict.fromkeys(("auto", *backends.names())))
        for name in ("activation", "initializer"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} must be a name, got {getattr(self, name)!r}")
        self._network([1, 1, 1], 0, "numpy")  # refuses what no network can have

    def data(self) -> Dataset:
        """The data set, read once, and refused with the reason where nothing can be learned or measured on it."""
        return _load(self.dataset)

    def network(self, seed: int) -> Network:
        """A new network; its weights depend on the seed alone."""
        data = self.data()
        return self._network([data.x_train.shape[1], *self.hidden, len(data.classes)], seed, self.backend)

    def _network(self, sizes: list[int], seed: int, backend: str) -> Network:
        return MLP(
            sizes,
            activation=self.activation,
            initializer=self.initializer,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
            seed=seed,
            dtype=self.dtype,
            backend=backend,
        )

    def check(self) -> None:
        """Refuse a problem on which no run can be made, before anything is written.

        Raises
        ------
        InputError: data, network or batches that cannot be.
        """
        check_batches(self.network(0), len(self.data().x_train), self.batch_size)

    def config(self) -> dict[str, Any]:
        """Plain data, with a digest of the data set: results on changed data are never taken for those on the old."""
        return {**asdict(self), "hidden": list(self.hidden), "dataset": self.name, "data": _fingerprint(self.dataset)}

    @property
    def name(self) -> str:
        """The data set's name, or the file's with its ending, so that a file mnist.npz is not taken for MNIST."""
        return Path(self.dataset).name if self.dataset.endswith(".npz") else self.dataset

    def __str__(self) -> str:
        data = self.data()
        sizes = "-".join(map(str, [data.x_train.shape[1], *self.hidden, len(data.classes)]))
        return f"{self.name}, MLP {sizes}, batch {self.batch_size}, {self.epochs} epochs"


PROBLEMS: dict[str, Problem] = {
    "digits": Problem(),
    "mnist": Problem("mnist", (800,), batch_size=256, target=0.97),
    "fashion_mnist": Problem("fashion_mnist", (800,), batch_size=256, target=0.87),
    "cifar10": Problem("cifar10", (100, 100), batch_size=32, target=0.4),
}
"""The network and target for each data set that has a name."""


@dataclass(frozen=True)
class Contender:
    """An optimizer as it takes part: a rule in a convention, with what is fixed of its hyperparameters.

    Parameters
    ----------
    name: of an optimizer, as for :func:`optimlab.optimizers.get`; of your own ``rule``, any.
    convention: ``"textbook"``, ``"torch"`` or ``"keras"``.
    hyperparameters: fixed values, as a mapping or pairs; the learning rate is not among them, it is tuned.
    label: name in tables and figures, by default made from the other three.
    rule: your own function, as described in :mod:`optimlab.rules`.

    Raises
    ------
    InputError: the name, convention or a hyperparameter is unknown; the learning rate is fixed, or its default is not
        positive; or the label is not printable.

    >>> Contender("adam", "torch", {"beta2": 0.99}).label
    'adam (torch, beta2=0.99)'
    """

    name: str
    convention: str = "textbook"
    hyperparameters: Any = ()
    label: str = ""
    rule: Rule | None = None

    def __post_init__(self) -> None:
        try:
            fixed = dict(self.hyperparameters)
        except (TypeError, ValueError):
            raise InputError(
                f"{self.name}: hyperparameters are names with numbers, got {self.hyperparameters!r}"
            ) from None
        known = self.defaults()
        if "lr" not in known:
            raise InputError(f"{self.name} has no learning rate lr to tune")
        if not LEAST_RATE <= known["lr"] < TOO_HIGH:
            raise InputError(
                f"the default learning rate of {self.name} is {exact(known['lr'])}: give lr a positive default, "
                "such as lr=0.01"
            )
        for name, value in fixed.items():
            if name == "lr":
                raise InputError(f"{self.name}: the learning rate is tuned, it cannot be fixed; name the rates instead")
            if name not in known:
                raise unknown(f"hyperparameter of {self.name}", name, known)
            fixed[name] = self.kinds()[name].check(name, value)
        object.__setattr__(self, "hyperparameters", tuple(sorted(fixed.items())))
        said = [self.convention] if self.convention != "textbook" else []
        said += [f"{name}={exact(value)}" for name, value in self.hyperparameters]
        object.__setattr__(self, "label", self.label or (f"{self.name} ({', '.join(said)})" if said else self.name))
        if not isinstance(self.label, str) or not self.label.isprintable() or not self.label.strip():
            raise InputError(f"a label is text on one line, got {self.label!r}")
        if self.label.endswith(tuple(f", {kind}" for kind in KINDS)):
            raise InputError(f"a label cannot end as the rows of other kinds do ({', '.join(KINDS)}): {self.label!r}")

    @classmethod
    def parse(cls, text: str, convention: str = "textbook") -> Contender:
        """From ``"adam"`` or ``"adam:torch"``.

        >>> Contender.parse("adam:keras").convention
        'keras'
        """
        name, _, own = text.strip().partition(":")
        return cls(name, own or convention)

    def defaults(self) -> dict[str, float]:
        """Every hyperparameter with its default."""
        made = _probe(self.name, self.convention, self.rule).hyperparameters
        return {k: float(v) for k, v in made.items() if not callable(v)}

    def kinds(self) -> dict[str, Kind]:
        """The kind of every hyperparameter."""
        return _probe(self.name, self.convention, self.rule).kinds

    def unsearched(self) -> list[str]:
        """Hyperparameters that a random search leaves at their defaults, though not fixed: their kinds have no prior.

        >>> def mine(w, g, *, lr=0.1, beta=0.9, warmth=1.0):
        ...     return w - lr * (beta + warmth) * g
        >>> Contender("mine", rule=mine).unsearched()
        ['warmth']
        """
        defaults, kinds, fixed = self.defaults(), self.kinds(), {"lr", *dict(self.hyperparameters)}
        return [name for name in defaults if name not in fixed and not kinds[name].searched(defaults[name])]

    def make(self, network: Network, lr: float, hyperparameters: Mapping[str, Any]) -> Optimizer:
        """The optimizer of ``network`` with this learning rate."""
        if self.rule is not None:
            return Optimizer(network.parameters, self.rule, lr=lr, **hyperparameters)
        options: dict[str, Any] = {} if self.convention == "textbook" else {"convention": self.convention}
        return optimizers.get(self.name)(network.parameters, lr=lr, **options, **hyperparameters)

    def config(self) -> dict[str, Any]:
        """Plain data; your own rule is known by what it computes."""
        own = {} if self.rule is None else {"rule": _rule_digest(self.rule)}
        return {"optimizer": self.name, "convention": self.convention, **own}


def _rule_digest(rule: Rule) -> str:
    graph = trace(rule)
    values = {name: value for name, value in graph.hyperparameters.items() if name != "lr"}
    told: list[Any] = [c_source(graph, "float64"), graph.state, values]
    if graph.functions:  # identified by their values
        told.append([_scalars(graph, t, {**values, "lr": 1.0}) for t in (1, 2, 3, 10, 100, 1000)])
    return _digest(json.dumps(told, sort_keys=True))


def _scalars(graph: Graph, t: int, hyperparameters: dict[str, float]) -> list[float] | str:
    try:
        return [float(value) for value in graph.scalars(t=t, **hyperparameters)]
    except ArithmeticError as error:
        return str(error)


def _probe(name: str, convention: str, rule: Rule | None) -> Optimizer:
    """An optimizer made only to read its hyperparameters and kinds."""
    probe = MLP([1, 1])
    if rule is not None:
        return Optimizer(probe.parameters, rule)
    cls = optimizers.get(name)
    layerwise = issubclass(cls, optimizers._NamedLayerwise)
    if layerwise and convention != "textbook":
        if convention not in CONVENTIONS:
            raise unknown("convention", convention, CONVENTIONS)
        raise InputError(f"{name} is the same in every convention; name it without one")
    options: dict[str, Any] = {} if layerwise else {"convention": convention}
    return cls(probe.parameters, **options)


def fresh_seeds(number: int) -> tuple[int, ...]:
    """Return so many confirmation seeds, from 100 on.

    Raises
    ------
    InputError: fewer than two, of which there is no interval, or more than :data:`MOST_SEEDS`: says what is expected.
    """
    if not 2 <= number <= MOST_SEEDS:
        raise InputError(f"at least 2, for an interval, and at most {MOST_SEEDS:,}, got {number}")
    return tuple(range(100, 100 + number))


@dataclass(frozen=True)
class Run:
    """One training run, fully described: two runs with the same key give the same curve."""

    problem: Problem
    contender: Contender
    lr: float
    seed: int
    test: bool = False
    """Whether the test split is evaluated (never while anything is being chosen)."""
    hyperparameters: tuple[tuple[str, float], ...] = ()
    """What a random search chose, over the contender's fixed values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", float(self.lr))  # 1 and 1.0 are one run

    def settings(self) -> dict[str, float]:
        """The hyperparameters that differ from the defaults, the learning rate apart."""
        return {**dict(self.contender.hyperparameters), **dict(self.hyperparameters)}

    def config(self) -> dict[str, Any]:
        """Plain data from which the run can be repeated."""
        return {
            "problem": self.problem.config(),
            **self.contender.config(),
            "lr": self.lr,
            "hyperparameters": self.settings(),
            "seed": self.seed,
            "test": self.test,
        }

    @property
    def key(self) -> str:
        """SHA-256 of the canonical configuration.

        >>> a, b = (Run(Problem(), Contender("adam"), 0.01, seed) for seed in (0, 1))
        >>> a.key == Run(Problem(), Contender("adam"), 0.01, 0).key, a.key == b.key
        (True, False)
        """
        return key_of(self.config())

    def __str__(self) -> str:
        return f"{self.contender.label} lr {concise(self.lr)} seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """Tune every contender with the same budget, then measure the choice with fresh seeds.

    Parameters
    ----------
    optimizers: names such as ``"adam"`` or ``"adam:torch"``, or :class:`Contender`.
    rates: the learning rates that every contender is tuned on; at least three, rising.
    tuning_seeds, confirmation_seeds: no seed may be in both.
    extensions: how many rates may be added where the best lies at the edge of the grid.
    defaults: whether each rule also runs at its default learning rate, untuned, as a row of its own.
    search: how many random settings of all searchable hyperparameters are tried as well, each with every tuning seed
        (the full protocol); 0 for none. :meth:`Contender.unsearched` names those that cannot be searched.

    Raises
    ------
    InputError: no, unknown or equally labelled optimizers, rates that are not positive, seeds that overlap.
    """

    problem: Problem = field(default_factory=Problem)
    optimizers: tuple[str | Contender, ...] = optimizers.CLASSIC
    rates: tuple[float, ...] = QUICK_RATES
    tuning_seeds: tuple[int, ...] = (0, 1, 2)
    confirmation_seeds: tuple[int, ...] = tuple(range(100, 110))
    extensions: int = 4
    defaults: bool = True
    search: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Problem):
            raise InputError(f"problem must be a Problem, such as PROBLEMS['digits'], got {self.problem!r}")
        if not isinstance(self.defaults, bool):
            raise InputError(f"defaults must be True or False, got {self.defaults!r}")
        for name in ("optimizers", "rates", "tuning_seeds", "confirmation_seeds"):
            if isinstance(getattr(self, name), str) or not isinstance(getattr(self, name), Iterable):
                raise InputError(f"{name} must be several values, got {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.optimizers:
            raise InputError("name at least one optimizer")
        for optimizer in self.optimizers:
            if not isinstance(optimizer, str | Contender):
                raise InputError(f"an optimizer is named by text or is a Contender, got {optimizer!r}")
        try:
            object.__setattr__(self, "rates", tuple(map(float, self.rates)))
        except (TypeError, ValueError):
            raise InputError(f"rates must be positive learning rates, got {self.rates!r}") from None
        if isinstance(self.extensions, bool) or not isinstance(self.extensions, int) or self.extensions < 0:
            raise InputError(f"extensions must be a whole number of at least 0, got {self.extensions!r}")
        labels = [c.label for c in self.contenders]
        for label in labels:
            if labels.count(label) > 1:
                raise InputError(f"two optimizers are called {label!r}: give one a label of its own")
        if len(self.rates) < 3 or not all(math.isfinite(r) and r > 0 for r in self.rates):
            raise InputError("a grid needs at least three positive learning rates, so that one can lie inside")
        for rate in self.rates:
            if not LEAST_RATE <= rate < TOO_HIGH:
                raise InputError(
                    f"a learning rate is at least {LEAST_RATE:g} and below {TOO_HIGH:g}, got {exact(rate)}"
                )
        if list(self.rates) != sorted(set(self.rates)):
            raise InputError("the learning rates of a grid must rise")
        if not self.tuning_seeds or len(self.confirmation_seeds) < 2:
            raise InputError("a study needs at least one tuning seed and two confirmation seeds")
        for kind in ("tuning", "confirmation"):
            own = tuple(int(s) if isinstance(s, np.integer) else s for s in getattr(self, f"{kind}_seeds"))
            object.__setattr__(self, f"{kind}_seeds", own)
            for seed in own:
                if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
                    raise InputError(f"{kind} seeds are whole numbers of at least 0, got {seed!r}")
            if len(set(own)) < len(own):
                raise InputError(f"a {kind} seed is named twice: {', '.join(map(str, own))}")
        if set(self.tuning_seeds) & set(self.confirmation_seeds):
            raise InputError("the confirmation seeds must be fresh, not those a rate was chosen with")
        if self.search:
            count("search", self.search)

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The optimizers, each as a :class:`Contender`."""
        return tuple(o if isinstance(o, Contender) else Contender.parse(o) for o in self.optimizers)

    def not_searched(self) -> list[str]:
        """List what the random search of the full protocol leaves out, in one line per contender."""
        lines = [f"not searched: {', '.join(c.unsearched())} of {c.label}" for c in self.contenders if c.unsearched()]
        return lines if self.search else []

    @property
    def protocol(self) -> str:
        """``"full"`` with a random search of the hyperparameters, else ``"quick"``."""
        return "full" if self.search else "quick"

    def tuning_runs(self, contender: Contender, rates: Iterable[float]) -> list[Run]:
        """Every rate with every tuning seed."""
        return [Run(self.problem, contender, lr, seed) for lr in rates for seed in self.tuning_seeds]

    def search_runs(self, contender: Contender) -> list[Run]:
        """Every random setting with every tuning seed; the same settings whenever the contender is the same."""
        drawn = random_settings(contender, self.search)
        return [
            Run(self.problem, contender, lr, seed, hyperparameters=chosen)
            for lr, chosen in drawn
            for seed in self.tuning_seeds
        ]

    def confirmation_runs(
        self, contender: Contender, lr: float, hyperparameters: tuple[tuple[str, float], ...] = ()
    ) -> list[Run]:
        """The chosen setting with every fresh seed, tested."""
        return [Run(self.problem, contender, lr, seed, True, hyperparameters) for seed in self.confirmation_seeds]

    def planned(self) -> int:
        """How many runs there will be, extensions of the grid not counted."""
        tuning = (len(self.rates) + self.search) * len(self.tuning_seeds)
        rows = 1 + self.defaults + bool(self.search)
        return len(self.contenders) * (tuning + rows * len(self.confirmation_seeds))

    def config(self) -> dict[str, Any]:
        """Plain data, as it stands in ``summary.json``."""
        contenders = [
            {**c.config(), "hyperparameters": dict(c.hyperparameters), "label": c.label} for c in self.contenders
        ]
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("problem", "optimizers")}
        lists = {k: list(v) if isinstance(v, tuple) else v for k, v in rest.items()}
        return {"problem": self.problem.config(), "optimizers": contenders, **lists}

    def with_epochs(self, epochs: int) -> Study:
        """The same study, trained for another number of epochs."""
        return replace(self, problem=replace(self.problem, epochs=epochs))


def random_settings(contender: Contender, trials: int) -> list[tuple[float, tuple[tuple[str, float], ...]]]:
    """Draws of ``(lr, hyperparameters)`` for a random search, each from the prior of its kind.

    The learning rate comes from the range of the full grid; for the others see :data:`optimlab.rules.KINDS`. Fixed
    hyperparameters stay fixed, and those in :meth:`Contender.unsearched` keep their defaults. The seed comes from the
    contender's configuration, so that the order of the optimizers does not matter.

    >>> lr, rest = random_settings(Contender("momentum"), 1)[0]
    >>> 1e-5 < lr < 100, 0.5 < dict(rest)["beta"] < 0.999
    (True, True)
    """
    rng = np.random.default_rng(list(_digest(json.dumps(contender.config())).encode()))
    defaults, kinds = contender.defaults(), contender.kinds()
    rate = Prior(FULL_RATES[0], FULL_RATES[-1])
    still = {"lr", *dict(contender.hyperparameters), *contender.unsearched()}
    priors = {name: kind.prior for name, kind in kinds.items() if name not in still and kind.prior is not None}
    drawn = []
    for _ in range(trials):
        lr = rate.at(rng.random())
        drawn.append((lr, tuple((name, prior.at(rng.random(), defaults[name])) for name, prior in priors.items())))
    return drawn


@cache
def _load(name: str) -> Dataset:
    data = datasets.load(name)
    try:
        datasets.check_for_study(data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return data


@cache
def _fingerprint(name: str) -> str:
    data, digest = _load(name), hashlib.sha256()
    for split in ("train", "val", "test"):
        for part in ("x", "y"):
            array = getattr(data, f"{part}_{split}")
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]
