"""Problems: a data set, its split in each replicate, and everything about training that contenders share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import backends, datasets
from ..backends import dtype_name
from ..common.errors import InputError, count, lookup, number
from ..datasets import Dataset, Table, split_rows
from ..nn import initializers, losses
from ..nn.losses import Loss
from ..nn.network import MLP, Network
from ..training.checks import check_batches
from .results import SCORES

MOST_UNITS = 1_000_000
"""Limit of the units of a hidden layer; more are taken for a typing error."""

LIMITS = ("train_rows", "val_rows", "test_rows")

LATER = {"bias_initializer": "zeros"}
"""Settings that a description leaves out at these values, so that runs keep the keys they had before the settings."""


@dataclass(frozen=True)
class Problem:
    """A data set and everything about training on it that is the same for all contenders.

    Parameters
    ----------
    dataset: a name or the path of a file, as for :func:`optimlab.datasets.load`. A relative path is made absolute, so
        that a worker in another folder finds the same file.
    hidden: sizes of the hidden layers, none for a linear model.
    activation: activation of the hidden layers, a name of :data:`optimlab.nn.activations.ACTIVATIONS`.
    initializer: initializer of the weights, a name of :data:`optimlab.nn.initializers.INITIALIZERS`, or ``"auto"`` for
        the one that suits the activation.
    bias_initializer: initializer of the biases, a name of :data:`optimlab.nn.initializers.BIASES`.
    batch_norm: whether each hidden layer has batch norm.
    dropout: share of the hidden units that are dropped, in [0, 1).
    batch_size: number of rows per batch.
    epochs: number of epochs of every run.
    target: a validation score (the accuracy, or R² of a regression). A comparison counts the epochs until a run first
        reaches it. It is fixed here, before any run.
    dtype: ``"float32"`` or ``"float64"``.
    backend: the engine; ``"auto"`` is the compiled one if llvmlite is installed. Engines differ by rounding (see
        :mod:`optimlab.backends.compiled`), and so do their curves: a folder holds the runs of one engine.
    train_rows: limit of the training rows; by default all are used.
    val_rows: limit of the validation rows.
    test_rows: limit of the test rows.
    loss: a name of :data:`optimlab.nn.losses.LOSSES`. ``"auto"`` is the mean squared error for a regression and a
        cross-entropy for classes: with one logit if there are two, else softmax.
    redraw: the rows that each replicate of a study draws anew: ``"all"``, or ``"train"`` (training and validation rows;
        the test set stays as published). ``"auto"`` is ``"all"`` for digits and tables, which have no official test
        set. Each replicate scales a table by its own training rows.
    target_column: the column of a table to predict.
    missing: how to treat the missing values of a table: refuse them, fill them with the mean of the training rows, or
        drop their rows.
    task: the task of a table; ``"auto"`` decides by the target column.
    leave_out: columns of a table that are not inputs.

    Raises
    ------
    InputError: a value is out of range, or a name is unknown.

    >>> print(Problem(hidden=(32, 16), epochs=5))
    digits, MLP 64-32-16-10, batch 64, 5 epochs
    """

    dataset: str = "digits"
    hidden: tuple[int, ...] = (64,)
    activation: str = "relu"
    initializer: str = "he_normal"
    bias_initializer: str = "zeros"
    batch_norm: bool = False
    dropout: float = 0.0
    batch_size: int = 64
    epochs: int = 20
    target: float = 0.95
    dtype: str = "float32"
    backend: str = "auto"
    train_rows: int | None = None
    val_rows: int | None = None
    test_rows: int | None = None
    redraw: str = "auto"
    target_column: str = ""
    missing: str = "refuse"
    task: str = "auto"
    leave_out: tuple[str, ...] = ()
    loss: str = "auto"

    def __post_init__(self) -> None:
        # normalize, so that equal problems have equal keys
        for name in ("epochs", "batch_size"):
            object.__setattr__(self, name, count(name, getattr(self, name)))
        for name in LIMITS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, count(name, getattr(self, name)))
        lookup("loss", self.loss, dict.fromkeys(("auto", *losses.LOSSES)))
        lookup("initializer of biases", self.bias_initializer, initializers.BIASES)
        lookup("redraw", self.redraw, dict.fromkeys(("auto", "all", "train")))
        given: Any = self.hidden
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise InputError(f"hidden must be the sizes of the hidden layers, such as (64,), got {given!r}")
        hidden = tuple(count("each hidden layer's size", size) for size in given)
        if max(hidden, default=1) > MOST_UNITS:
            raise InputError(f"a hidden layer may have at most {MOST_UNITS:,} units, got {max(hidden):,}")
        object.__setattr__(self, "hidden", hidden)
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        for name in ("target", "dropout"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        dataset = str(self.dataset)
        if datasets.is_file(dataset):
            dataset = str(Path(dataset).expanduser().absolute())
        object.__setattr__(self, "dataset", dataset)
        self._check_table()
        if not self.name.isprintable():
            raise InputError(f"the file name {self.name!r} contains an unprintable character: rename the file")
        if not 0 < self.target <= 1:
            raise InputError(f"target must be a validation score in (0, 1], got {self.target}")
        if self.backend != "auto":  # to list the backends imports CuPy, which takes a while
            lookup("backend", self.backend, dict.fromkeys(("auto", *backends.names())))
        for name in ("activation", "initializer"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} must be a name, got {getattr(self, name)!r}")
        self._network([1, 1, 1], 0, "numpy")  # checks the settings of the network

    def data(self) -> Dataset:
        """Return the data set, which is read once.

        Raises
        ------
        InputError: the data cannot be read, or nothing can be learned or measured on them.
        """
        return _load(self._source()).data

    def notes(self) -> tuple[str, ...]:
        """Return sentences on the decisions made when the data were read."""
        return _load(self._source()).notes

    def unused(self) -> tuple[str, ...]:
        """Return the columns of a table that were left out when it was read, without those of ``leave_out``."""
        table = _load(self._source()).table
        columns = () if table is None else table.columns
        return tuple(c.name for c in columns if c.kind == "left out" and c.name not in self.leave_out)

    def _source(self) -> _Source:
        return _Source(self.dataset, self.target_column, self.missing, self.task, self.leave_out)

    def _check_table(self) -> None:
        names: Any = self.leave_out
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise InputError(f"leave_out takes a list of columns, got {names!r}")
        object.__setattr__(self, "leave_out", tuple(names))
        lookup("way to treat missing values", self.missing, dict.fromkeys(datasets.MISSING))
        lookup("task", self.task, dict.fromkeys(datasets.TASKS))

    @property
    def loss_function(self) -> Loss:
        """Return the loss that the networks are trained on.

        Raises
        ------
        InputError: the loss does not suit the targets of the data.
        """
        data = self.data()
        task, classes = data.task, len(data.classes)
        if self.loss == "auto":
            return losses.get(LOSSES[task])
        loss = losses.get(self.loss)
        if loss.classifies != (task != "regression") or (loss.name == LOSSES["binary"] and task != "binary"):
            has = f"{classes} classes" if classes else "numeric targets"
            raise InputError(f"the loss {loss.name} does not suit {self.name}, which has {has}: use {LOSSES[task]}")
        return loss

    @property
    def score(self) -> Literal["accuracy", "r2"]:
        """Return the name of the score: the accuracy, or R² for a regression."""
        return "r2" if self.data().task == "regression" else "accuracy"

    @property
    def measure(self) -> str:
        """Return the score's name in sentences and headings."""
        return SCORES[self.score]

    @property
    def outputs(self) -> int:
        """Return the number of outputs of the networks."""
        data = self.data()
        if self.loss_function.name == LOSSES["binary"]:
            return 1
        return len(data.classes) or np.asarray(data.y_train).reshape(len(data.y_train), -1).shape[1]

    @property
    def shares_test(self) -> bool:
        """Return True if all replicates are tested on the same rows."""
        published = self.dataset != "digits" and not datasets.is_table(self.dataset)
        return self.redraw == "train" or (self.redraw == "auto" and published)

    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of training, validation and test rows of each replicate."""
        data = self.data()
        whole = (len(data.x_train), len(data.x_val), 0 if data.x_test is None else len(data.x_test))
        limits = (getattr(self, name) for name in LIMITS)
        train, val, test = (min(rows, limit or rows) for rows, limit in zip(whole, limits, strict=True))
        return train, val, test

    def replicate(self, split: int) -> Dataset:
        """Return the data of one replicate: rows drawn with the seed ``split``, stratified by class.

        The splits have the sizes of the data set, or the limits if they are lower. The targets of a regression are not
        stratified. If all replicates share the test set, they use the same rows of it, also with a limit.

        >>> Problem().replicate(0)
        <Dataset digits: 1077 training, 360 validation, 360 test rows of 64 features>
        """
        return _replicate(self, split)

    def network(self, seed: int) -> Network:
        """Make a new network; its weights depend on the seed alone."""
        data = self.data()
        return self._network([data.x_train.shape[1], *self.hidden, self.outputs], seed, self.backend)

    def _network(self, sizes: list[int], seed: int, backend: str) -> Network:
        return MLP(
            sizes,
            activation=self.activation,
            initializer=self.initializer,
            bias_initializer=self.bias_initializer,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
            seed=seed,
            dtype=self.dtype,
            backend=backend,
        )

    def check(self) -> None:
        """Check that runs are possible, before anything is written.

        Raises
        ------
        InputError: the data, the network or the batches are invalid.
        """
        check_batches(self.network(0), self.sizes()[0], self.batch_size)

    def steps(self) -> tuple[int, int]:
        """Return the number of steps of a run, and of an epoch.

        >>> Problem(epochs=10).steps()
        (170, 17)
        """
        per_epoch = -(-self.sizes()[0] // self.batch_size)
        return self.epochs * per_epoch, per_epoch

    def expected_seconds(self) -> float:
        """Return roughly how long a run takes on one core of an ordinary computer.

        It counts the operations of the matrix products, and something for each step.

        >>> Problem(hidden=(512, 512)).expected_seconds() > 5 * Problem().expected_seconds()
        True
        """
        data = self.data()
        sizes = [data.x_train.shape[1], *self.hidden, self.outputs]
        operations: float = 6 * self.epochs * self.sizes()[0] * sum(a * b for a, b in pairwise(sizes))
        return operations / 4e10 + 5e-5 * self.steps()[0]

    def quick(self) -> Problem:
        """Return the problem with the rows and epochs of the quick protocol; digits is small enough as it is."""
        return replace(self, **QUICK.get(self.dataset, QUICK_ROWS))

    def left_out(self) -> list[str]:
        """Return phrases on what is left out, such as ``"48,000 of 50,000 training rows"``.

        Other epochs or hidden units than those of the quick protocol were asked for, so nothing is said of them.
        """
        data = self.data()
        whole = {"training": len(data.x_train), "validation": len(data.x_val), "test": len(data.x_test)}
        used = dict(zip(whole, self.sizes(), strict=True))
        phrases = [f"{n - used[name]:,} of {n:,} {name} rows" for name, n in whole.items() if used[name] < n]
        usual = PROBLEMS.get(self.dataset)
        if usual is not None and self.epochs == usual.quick().epochs < usual.epochs:
            phrases.append(f"{usual.epochs - self.epochs} of {usual.epochs} epochs")
        if usual is not None and self.hidden == usual.quick().hidden != usual.hidden:
            units = ("-".join(map(str, hidden)) for hidden in (usual.hidden, self.hidden))
            phrases.append("the {} hidden units, for {}".format(*units))
        return phrases

    def config(self) -> dict[str, Any]:
        """Return plain data, with a digest of the data set and the name of the engine.

        So results on other data, or of an engine that rounds differently, are never confused with these.
        """
        values = {"hidden": list(self.hidden), "leave_out": list(self.leave_out), "dataset": self.name}
        values |= {"data": _fingerprint(self._source()), "loss": self.loss_function.name}
        every = {**vars(self), **values, "backend": backends.get(self.backend).name}
        return {name: value for name, value in every.items() if (name, value) not in LATER.items()}

    @property
    def name(self) -> str:
        """Return the data set's name, or the file's with its ending: a file ``mnist.npz`` is not MNIST."""
        return Path(self.dataset).name if datasets.is_file(self.dataset) else self.dataset

    def __str__(self) -> str:
        data = self.data()
        sizes = "-".join(map(str, [data.x_train.shape[1], *self.hidden, self.outputs]))
        return f"{self.name}, MLP {sizes}, batch {self.batch_size}, {self.epochs} epochs"


LOSSES = {
    "binary": "binary_cross_entropy",
    "classification": "softmax_cross_entropy",
    "regression": "mean_squared_error",
}
"""The usual loss of each task."""

PROBLEMS: dict[str, Problem] = {
    "digits": Problem(),
    "mnist": Problem("mnist", (800,), batch_size=256, target=0.97),
    "fashion_mnist": Problem("fashion_mnist", (800,), batch_size=256, target=0.87),
    "cifar10": Problem("cifar10", (100, 100), batch_size=32, target=0.4),
}
"""The network and target for each data set that has a name."""


def usual_problem(dataset: str) -> Problem:
    """Return the usual problem on a data set; on your own data, the default network and a provisional target.

    Raises
    ------
    InputError: there is no data set of this name.
    """
    if datasets.is_own(dataset):
        return Problem(dataset)
    if dataset in PROBLEMS:
        return PROBLEMS[dataset]
    raise datasets.unknown_data(dataset)


QUICK_ROWS = {"train_rows": 2000, "val_rows": 1000, "test_rows": 2000}
QUICK: dict[str, dict[str, Any]] = {
    "digits": {},
    "mnist": {**QUICK_ROWS, "hidden": (64,), "batch_size": 64, "epochs": 10, "target": 0.89},
    "fashion_mnist": {**QUICK_ROWS, "hidden": (64,), "batch_size": 64, "epochs": 10, "target": 0.8},
    "cifar10": {**QUICK_ROWS, "train_rows": 1000, "hidden": (64,), "batch_size": 64, "epochs": 8, "target": 0.27},
}
"""What the quick protocol sets of a problem, so that a comparison takes two minutes at most on two cores."""


@lru_cache(maxsize=1)
def _replicate(problem: Problem, split: int) -> Dataset:
    """Return the data of a replicate. The last one is cached, since the runs of a replicate are consecutive."""
    data, (train, val, test) = problem.data(), problem.sizes()
    table = _load(problem._source()).table
    if table is not None:
        return table.dataset(*_rows_of_table(table, problem.shares_test, (train, val, test), split))
    pool = _pool(problem)
    x, y = ([getattr(data, f"{part}_{name}") for name in pool] for part in "xy")
    drawn = _drawn(problem, split)
    arrays: dict[str, Any] = {f"x_{name}": _rows_of(x, rows) for name, rows in zip(pool, drawn, strict=True)}
    arrays |= {f"y_{name}": _rows_of(y, rows) for name, rows in zip(pool, drawn, strict=True)}
    if problem.shares_test:
        shared = slice(None) if test == len(data.x_test) else split_rows(_strata(data, data.y_test), (test,), 0)[0]
        arrays |= {"x_test": data.x_test[shared], "y_test": data.y_test[shared]}
    return replace(data, **arrays)


def _pool(problem: Problem) -> tuple[str, ...]:
    """Return the parts of the data from which a replicate draws its rows."""
    return ("train", "val") if problem.shares_test else ("train", "val", "test")


@lru_cache(maxsize=16)
def _drawn(problem: Problem, split: int) -> list[NDArray[np.intp]]:
    """Return the rows of a replicate: they take little memory, and long to draw."""
    data, pool = problem.data(), _pool(problem)
    targets = np.concatenate([getattr(data, f"y_{name}") for name in pool])
    return split_rows(_strata(data, targets), problem.sizes()[: len(pool)], split)


def _strata(data: Dataset, targets: Any) -> Any:
    """Return the strata of a split: the classes, or a single stratum for a regression."""
    return np.zeros(len(targets), int) if data.task == "regression" else targets


def _rows_of(parts: Sequence[Any], rows: NDArray[np.intp]) -> Any:
    """Return rows of arrays, numbered as if the arrays were concatenated; only the result is copied."""
    result = np.empty((len(rows), *parts[0].shape[1:]), parts[0].dtype)
    start = 0
    for part in parts:
        here = (rows >= start) & (rows < start + len(part))
        result[here] = part[rows[here] - start]
        start += len(part)
    return result


def _rows_of_table(table: Table, shares_test: bool, sizes: tuple[int, int, int], split: int) -> list[NDArray[np.intp]]:
    if not shares_test:
        return split_rows(table.labels(), sizes, split)
    *pool, test = table.split()
    both, labels = np.concatenate(pool), table.labels()
    drawn = split_rows(labels[both], sizes[:2], split)
    shared = test if sizes[2] == len(test) else test[split_rows(labels[test], sizes[2:], 0)[0]]
    return [*(both[rows] for rows in drawn), shared]


class _Source(NamedTuple):
    """The source of data; equal sources are read once."""

    dataset: str
    target_column: str
    missing: str
    task: str
    leave_out: tuple[str, ...]


class _Loaded(NamedTuple):
    """Data, the table they come from (or None), and notes on the decisions made when they were read."""

    data: Dataset
    table: Table | None
    notes: tuple[str, ...]


@cache
def _load(source: _Source) -> _Loaded:
    name, column, missing, task, leave_out = source
    table, notes = None, list[str]()
    if datasets.is_table(name):
        table = datasets.load_table(name, column, missing=missing, task=task, leave_out=leave_out)
        data, notes = table.dataset(*table.split()), [*table.notes, *table.warnings]
    else:
        data = datasets.load(name, target_column=column, missing=missing, task=task, leave_out=leave_out)
    if data.x_val is None:
        data, rows = datasets.drawn_validation(data), len(data.x_train)
        notes.append(
            f"the data have no validation rows, so {len(data.x_val):,} of {rows:,} training rows were drawn for "
            "validation"
        )
    try:
        datasets.check_for_study(data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return _Loaded(data, table, tuple(notes))


@cache
def _fingerprint(source: _Source) -> str:
    data, table, _ = _load(source)
    splits = [f"{part}_{split}" for split in ("train", "val", "test") for part in ("x", "y")]
    arrays = [getattr(data, name) for name in splits] if table is None else table.arrays()
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            continue
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
