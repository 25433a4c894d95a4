"""What a comparison found: runs, rows, pairs and sentences, as frozen dataclasses with one codec.

Terminal, report, JSON, LaTeX and README are all made from a :class:`Summary` and the :class:`Record` of each run.
``summary.json`` and the lines of ``runs.jsonl`` are these classes as JSON; :func:`decoded` checks every value that it
reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from ..common.errors import InputError
from ..common.markup import Html, bullets, together
from ..common.views import view
from .digests import key_of

VERSION = 3
"""Of the files. Version 1, without a number, was another protocol: its numbers do not mean the same. Version 2 had
accuracies where version 3 has scores."""

EARLIER = (
    "it was made by an earlier protocol, whose numbers mean something else: name another folder (--out FOLDER), or "
    "delete this one to start afresh"
)

OTHER = EARLIER.replace("an earlier protocol, whose numbers mean something else", "another version of optimlab")

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e300)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Number = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
Scale = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]
Status = Literal["ok", "diverged", "error"]
Kind = Literal["tuned", "default", "searched"]
Measure = Literal["test_score", "epochs"]
Score = Literal["accuracy", "r2"]
SCORES: dict[Score, str] = {"accuracy": "accuracy", "r2": "R²"}
"""What a score is called in sentences and headings."""
Curve = tuple[float | None, ...]


class Interval(NamedTuple):
    """A mean with its 95% confidence interval."""

    mean: Number
    low: Number
    high: Number

    @property
    def half(self) -> float:
        """Half the interval's width: the number after the plus-minus sign."""
        return (self.high - self.low) / 2

    def percents(self) -> tuple[str, str]:
        """Mean and half the width in percent, with as many decimals as the width leaves a meaning to.

        >>> Interval(0.9, 0.891, 0.909).percents(), Interval(0.9, 0.88, 0.92).percents()
        (('90.00', '0.90'), ('90.0', '2.0'))
        """
        digits = 2 if self.half < 0.01 else 1
        return f"{100 * self.mean:.{digits}f}", f"{100 * self.half:.{digits}f}"


class Sizes(NamedTuple):
    """How many rows train, validate and test in each replicate."""

    train: Count
    validation: Count
    test: Count


class Spread(NamedTuple):
    """A median with the lowest and the highest value."""

    median: Scale
    low: Scale
    high: Scale


@dataclass(frozen=True)
class Curves:
    """What a run measured after each epoch; ``update_ratio`` by layer, at the epoch's last step.

    A score is the accuracy, or for a regression R² (:data:`optimlab.losses.R2`), 0 where it is negative: such a network
    is worse than one that always answers the mean.
    """

    train_loss: Curve = ()
    train_score: Curve = ()
    val_loss: Curve = ()
    val_score: Curve = ()
    lr: Curve = ()
    seconds: Curve = ()
    update_ratio: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One finished run; ``run`` is its configuration, and ``key`` the digest of that.

    The scores are those of the epoch with the best validation score; of several such epochs, of the one with the
    lowest validation loss. A run that diverged keeps those of the epochs before. ``test_error`` is the mean absolute
    error of a regression, in the unit of its target. ``test_rows`` has the contributions of the rows of a test set that
    all replicates share: see :func:`optimlab.study.rows_score.packed`.

    Raises
    ------
    InputError: ``key`` is not the digest of ``run``, or a finished run lacks its scores.
    """

    key: str
    run: dict[str, Any]
    status: Status
    error: str = ""
    best_epoch: Count | None = None
    val_score: Share | None = None
    val_loss: float | None = None
    test_score: Share | None = None
    test_loss: float | None = None
    test_error: Scale | None = None
    test_rows: str = ""
    steps: Count = 0
    diverged_step: Count | None = None
    seconds: Duration = 0.0
    state_arrays: Count = 0
    engine: str = ""
    curves: Curves = field(default_factory=Curves)
    versions: dict[str, str] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "test" in self.run and "split" not in self.run:
            raise InputError(EARLIER)
        if self.key != key_of(self.run):
            raise InputError("key is not the digest of run, so one of them was edited")
        if self.status == "error" and not self.error:
            raise InputError("a failed run needs the text of its error")
        if self.status == "ok" and None in (self.val_score, self.test_score, self.best_epoch):
            raise InputError("a finished run needs val_score, test_score and best_epoch")

    def __repr__(self) -> str:
        scores = [f"{name} {value:.4f}" for name in ("val_score", "test_score") if (value := getattr(self, name))]
        return f"<Record {self.key[:8]}: {', '.join([self.status, *scores])}>"

    @property
    def val_counted(self) -> float:
        """The validation score; 0 for a run that diverged or failed."""
        return self.val_score or 0.0 if self.status == "ok" else 0.0

    @property
    def test_counted(self) -> float:
        """The test score; 0 for a run that diverged or failed."""
        return self.test_score or 0.0 if self.status == "ok" else 0.0

    def epochs_to(self, target: float) -> int | None:
        """The first epoch with this validation score; None if the run missed it, diverged or failed."""
        reached = (k for k, value in enumerate(self.curves.val_score, 1) if value is not None and value >= target)
        return next(reached, None) if self.status == "ok" else None


@dataclass(frozen=True)
class Trial:
    """One run of a replicate's grid: its rate, and what it scored (None if it diverged or failed)."""

    lr: Positive
    val_score: Share | None
    epochs: Count | None
    """To the target; None if it missed."""
    hyperparameters: dict[str, float] = field(default_factory=dict)
    """Those that are searched."""


@dataclass(frozen=True)
class Replicate:
    """What one replicate of the whole procedure gave for one row.

    ``key`` names the run with the best validation score, at the rate ``lr``, whose test score counts.
    ``fast_key`` names the run that reached the target first, at the rate ``fast_lr``; None if every trial missed.
    """

    number: Count
    key: str
    lr: Positive
    hyperparameters: dict[str, float]
    status: Status
    val_score: Share
    test_score: Share
    fast_key: str | None
    fast_lr: Positive | None
    epochs: Count | None
    at_edge: bool
    grid: tuple[Trial, ...]
    test_error: Scale | None = None

    @property
    def by_rate(self) -> list[Trial]:
        """The best trial at each rate: several have one where other hyperparameters are searched too."""
        best: dict[float, Trial] = {}
        for trial in self.grid:
            if trial.lr not in best or (trial.val_score or 0.0) > (best[trial.lr].val_score or 0.0):
                best[trial.lr] = trial
        return list(best.values())


@dataclass(frozen=True)
class Row:
    """A contender as it took part: tuned, at its default rate, or at the best of random settings.

    ``epochs`` counts a miss as one epoch more than the budget, so that its mean is finite and a lower bound; ``hits``
    says how many replicates reached the target. ``usable_decades`` is the mean width of the range of rates around the
    best that keep the target, at least that where a grid ended first (``usable_at_least``). ``searched`` has the values
    or the range of each hyperparameter that a tuned row searches beside the rate, and ``grid`` the rates before each
    replicate shifts them.
    """

    label: str
    contender: str
    optimizer: str
    convention: str
    kind: Kind
    replicates: tuple[Replicate, ...]
    lr: Spread
    fast_lr: Spread | None
    trials: tuple[Count, Count]
    val_score: Interval
    test_score: Interval
    epochs: Interval
    hits: Count
    finished: Count
    failed: Count
    diverged_share: Share
    microseconds_per_step: Spread | None
    seconds_to_target: Duration | None
    state_bytes_per_weight: Duration
    usable_decades: float | None
    usable_at_least: bool
    best_after: tuple[Share, ...]
    errors: tuple[str, ...]
    not_searched: tuple[str, ...]
    schedule: str = ""
    searched: dict[str, str] = field(default_factory=dict)
    grid: tuple[Positive, ...] = ()

    def __repr__(self) -> str:
        score = "±".join(self.test_score.percents())
        return f"<Row {self.label}: test score {score}%, {self.epochs.mean:.1f} epochs, lr {self.lr.median:.2g}>"

    test_error: Interval | None = None
    """Mean absolute error of a regression, in the unit of its target; None where a replicate did not finish."""

    @property
    def edges(self) -> int:
        """In how many replicates the best rate lies at the edge of the grid."""
        return sum(one.at_edge for one in self.replicates)


@dataclass(frozen=True)
class Pair:
    """Two rows compared replicate by replicate: ``first`` minus ``second``.

    ``p`` is that of the paired t-test (for epochs, of their logarithms), ``adjusted`` the same after Holm's correction
    for all tests of the page.
    ``ahead`` is the share of replicates in which ``first`` is better (an equal one counts half), with its interval.
    ``rows_error`` is the standard error that the rows of one shared test set bring.
    ``misses`` is True if a run missed the target: then the difference in epochs is that of the restricted means.
    """

    first: str
    second: str
    measure: Measure
    difference: Interval
    p: Share
    adjusted: Share
    ahead: Interval
    rows_error: float | None = None
    misses: bool = False

    @property
    def told_apart(self) -> bool:
        """True if the difference survives the correction for all tests of the page."""
        return self.adjusted <= LEVEL

    @property
    def better(self) -> str:
        """The label of the better row, by the mean."""
        higher = self.difference.mean > 0
        return self.first if higher == (self.measure == "test_score") else self.second

    @property
    def worse(self) -> str:
        """The label of the other row."""
        return self.second if self.better == self.first else self.first


LEVEL = 0.05
"""The chance that a page prints any difference where there is none."""


@dataclass(frozen=True)
class Claim:
    """A difference that a sentence states; the pair of the same names and measure is its evidence."""

    better: str
    worse: str
    measure: Measure


@dataclass(frozen=True)
class Sentence:
    """One sentence of the verdict, and the differences that it states."""

    text: str
    claims: tuple[Claim, ...] = ()
    about: str = ""
    """Which part of the page has the evidence: a measure, ``"pairs"``, ``"target"``, ``"rates"`` or ``"runs"``."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Verdict:
    """What can be said.

    ``leader`` has the highest mean test score, ``fastest`` the fewest epochs; ``level_with`` and ``fast_with`` are
    those who cannot be told from it. ``family`` is the number of tests that Holm's correction takes in.
    ``detectable`` is the difference in test score that this many replicates tell apart four times in five (None if
    no two scores can differ by so much), and ``replicates_for_half`` is how many would do so for half of it.
    """

    sentences: tuple[Sentence, ...]
    leader: str | None
    level_with: tuple[str, ...]
    fastest: str | None
    fast_with: tuple[str, ...]
    family: Count
    detectable: float | None
    replicates_for_half: Count | None


@dataclass(frozen=True)
class Target:
    """The validation score whose first reaching is timed.

    ``planned`` is the target that the study had when its first run was made; another ``value`` was chosen afterwards.
    ``informative`` is False if every contender meets it within three epochs, or none does; ``proposed`` then is one
    that would tell them apart.
    """

    value: Share
    planned: Share
    informative: bool
    proposed: Share | None


@dataclass(frozen=True)
class Baseline:
    """The most frequent class of the training rows, always predicted."""

    name: str
    val_score: Interval
    test_score: Interval


@dataclass(frozen=True)
class Summary:
    """The whole comparison, as ``summary.json`` holds it.

    ``planned_replicates`` is the number that the study had when its first run was made. ``left_out`` says what the
    quick protocol left out, ``decided`` what was decided about data of one's own. ``score`` says what the scores are.
    ``test_rows`` is the size of a test set that all replicates share, None if each draws its own.

    Raises
    ------
    InputError: it names a row that is none, or one twice; or a row has not as many replicates, with at least one run
        each, as the comparison.
    """

    version: int
    study: dict[str, Any]
    data: str
    protocol: str
    target: Target
    replicates: Count
    planned_replicates: Count
    epochs: Count
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    baseline: Baseline | None
    verdict: Verdict
    left_out: tuple[str, ...]
    test_rows: Count | None
    versions: dict[str, str]
    host: dict[str, Any]
    made: str
    label: str = ""
    score: Score = "accuracy"
    decided: tuple[str, ...] = ()
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        labels = [row.label for row in self.rows]
        said = self.verdict
        named = {said.leader, *said.level_with, said.fastest, *said.fast_with} - {None}
        named |= {name for pair in self.pairs for name in (pair.first, pair.second)}
        named |= {name for sentence in said.sentences for c in sentence.claims for name in (c.better, c.worse)}
        if not self.tuned or len({*labels}) < len(labels) or not named <= {*labels}:
            raise InputError("the rows must have at least one tuned and no equal label, and nothing else be named")
        if self.epochs < 1 or self.replicates < 1:
            raise InputError("there must be at least one epoch and one replicate")
        for row in self.rows:
            if len(row.replicates) != self.replicates or not all(one.grid for one in row.replicates):
                raise InputError(f"{row.label} must have {self.replicates} replicates, each with a run")

    def __repr__(self) -> str:
        many = f"{len(self.rows)} rows, {self.replicates} replicates, {len(self.pairs)} pairs"
        return f"<Summary of {self.heading}: {many}>"

    @property
    def heading(self) -> str:
        """The label of the comparison, if it has one, before its data, network and budget."""
        return f"{self.label}: {self.data}" if self.label else self.data

    @property
    def loss(self) -> str:
        """The loss's name and unit, such as ``"cross-entropy, nats"``."""
        return described(str(self.study["problem"].get("loss", "")))

    @property
    def measure(self) -> str:
        """The score's name in sentences and headings, such as ``"accuracy"``."""
        return SCORES[self.score]

    @property
    def limits(self) -> str:
        """What was left out of the whole problem, in words; empty if nothing was."""
        more = "; --full takes all" if self.protocol == "quick" else ""
        return f"left out: {', '.join(self.left_out)}{more}" if self.left_out else ""

    @property
    def tuned(self) -> tuple[Row, ...]:
        """One row for each contender."""
        return tuple(row for row in self.rows if row.kind == "tuned")

    def row(self, label: str) -> Row:
        """The row of this label."""
        return next(row for row in self.rows if row.label == label)

    def pair(self, one: str, other: str, measure: Measure) -> Pair | None:
        """The pair of two rows, in either order; None if they are not compared."""
        return next((p for p in self.pairs if p.measure == measure and {p.first, p.second} == {one, other}), None)


@dataclass(frozen=True)
class Standing:
    """One contender on one problem, as the problem's own summary has it.

    ``leading`` is True for the leader in test score and for those who cannot be told from it; ``fast`` is the same
    for epochs to the target.
    """

    test_score: Interval
    epochs: Interval
    hits: Count
    finished: Count
    leading: bool
    fast: bool


@dataclass(frozen=True)
class JointProblem:
    """One of several problems; a contender of which a run failed has no standing."""

    name: str
    data: str
    target: Share
    epochs: Count
    replicates: Count
    standings: dict[str, Standing]
    score: Score = "accuracy"


@dataclass(frozen=True)
class Ranking:
    """Contenders ranked on each problem by their mean over replicates; rank 1 is the best, equals share a rank.

    ``p`` is that of Friedman's test. Mean ranks that differ by ``critical_difference`` or more are told apart, if ``p``
    is at most ``level``: ``apart`` has these pairs, the better one first. ``fewest`` is how many problems it takes at
    least to tell any two of so many contenders apart. ``ties`` counts the problems on which some are equal.
    """

    measure: Measure
    problems: tuple[str, ...]
    ranks: dict[str, tuple[Positive, ...]]
    mean_ranks: dict[str, Positive]
    p: Share
    level: Share
    critical_difference: Positive
    fewest: Count
    apart: tuple[tuple[str, str], ...]
    ties: Count

    @property
    def best(self) -> tuple[str, ...]:
        """The contenders with the best mean rank: one, or several if they are equal."""
        lowest = min(self.mean_ranks.values())
        return tuple(name for name, rank in self.mean_ranks.items() if rank <= lowest + 1e-9)


def measure_of(problems: Sequence[JointProblem]) -> str:
    """The name of the problems' score; of different ones, ``"score"``."""
    found = {SCORES[problem.score] for problem in problems}
    return found.pop() if len(found) == 1 else "score"


@dataclass(frozen=True)
class Joint:
    """What several problems say together, as ``joint.json`` holds it.

    ``contenders`` are those who take part on every problem that is ranked; ``excluded`` says why others do not.
    ``rankings`` is empty if fewer than two contenders or problems are left. ``profile`` is the performance profile of
    the mean epochs to the target: for each contender where its share of problems rises, as ``(factor, share)``.
    """

    version: int
    problems: tuple[JointProblem, ...]
    contenders: tuple[str, ...]
    excluded: dict[str, str]
    rankings: tuple[Ranking, ...]
    profile: dict[str, tuple[tuple[float, Share], ...]]
    sentences: tuple[Sentence, ...]
    made: str

    @property
    def measure(self) -> str:
        """The name of the problems' score; of different ones, ``"score"``."""
        return measure_of(self.problems)

    def _repr_html_(self) -> str:
        table = view("joint table", self)._repr_html_()
        return together(Html(table), bullets([sentence.text for sentence in self.sentences]))

    def __repr__(self) -> str:
        return f"<Joint of {len(self.problems)} problems, {len(self.contenders)} optimizers\n  {self.paragraph}>"

    @property
    def paragraph(self) -> str:
        """All sentences as one text."""
        return " ".join(sentence.text for sentence in self.sentences)

    def ranking(self, measure: Measure) -> Ranking | None:
        """The ranking by this measure; None if there is none."""
        return next((ranking for ranking in self.rankings if ranking.measure == measure), None)


def described(loss: str) -> str:
    """The name of a loss, with its unit if it has one.

    >>> described("softmax_cross_entropy"), described("mean_squared_error")
    ('cross-entropy, nats', 'mean squared error')
    """
    return "cross-entropy, nats" if loss.endswith("cross_entropy") else loss.replace("_", " ")


Result = TypeVar("Result", Record, Summary, Joint)


def encoded(result: Record | Summary | Joint) -> bytes:
    """A result as JSON; infinity and NaN become null.

    >>> run = {"optimizer": "sgd"}
    >>> record = Record(key_of(run), run, "diverged", val_loss=float("nan"))
    >>> decoded(Record, encoded(record)).val_loss is None
    True
    """
    return msgspec.json.encode(result)


def builtins(result: Any) -> Any:
    """A result as plain dictionaries, lists and numbers: what JSON holds."""
    return msgspec.json.decode(msgspec.json.encode(result))


def decoded(kind: type[Result], content: bytes | Mapping[str, Any]) -> Result:
    """Read a result back, and check every value.

    Raises
    ------
    InputError: it is not JSON, a value is missing or impossible; or an earlier protocol made it.

    >>> decoded(Record, b'{"key": "a", "run": {}, "status": "good"}')
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: Invalid enum value 'good' - at `$.status`
    """
    try:
        found = msgspec.json.decode(content) if isinstance(content, bytes) else content
        if kind is not Record and isinstance(found, Mapping):
            check_version(found)
        return msgspec.convert(found, kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise InputError(str(error)) from None


def check_version(found: Mapping[str, Any]) -> None:
    """Refuse the description or the summary of a study by an earlier or a later protocol.

    Raises
    ------
    InputError: it has another version.
    """
    version = found.get("version", 1)
    if version != VERSION:
        raise InputError(EARLIER if version == 1 else OTHER)
