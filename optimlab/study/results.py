"""The results of a comparison: runs, rows, pairs and sentences, as frozen dataclasses with one codec.

Tables, report, LaTeX and JSON files are all made from a :class:`Summary` and the :class:`Record` of each run. The file
``summary.json`` and the lines of ``runs.jsonl`` are these classes as JSON, and :func:`decoded` checks every value.
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
"""The version of the files. Version 1, which has no number, was another protocol: its numbers have another meaning.
Version 2 had accuracies where version 3 has scores."""

EARLIER = (
    "it was made by an earlier protocol, whose numbers have another meaning: name another folder (--out FOLDER), or "
    "delete this one to start over"
)

OTHER = EARLIER.replace("an earlier protocol, whose numbers have another meaning", "another version of optimlab")

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
"""The name of a score in sentences and headings."""
Curve = tuple[float | None, ...]


class Interval(NamedTuple):
    """A mean with its 95% confidence interval."""

    mean: Number
    low: Number
    high: Number

    @property
    def half(self) -> float:
        """Return half the interval's width: the number after the plus-minus sign."""
        return (self.high - self.low) / 2

    def ends(self) -> str:
        """Return both ends with one decimal, for an interval that is longer on one side.

        >>> Interval(5.0, 1.83, 11.22).ends()
        '[1.8, 11.2]'
        """
        return f"[{self.low:.1f}, {self.high:.1f}]"

    def percents(self) -> tuple[str, str]:
        """Return the mean and half the width in percent, with as many decimals as the width justifies.

        >>> Interval(0.9, 0.891, 0.909).percents(), Interval(0.9, 0.88, 0.92).percents()
        (('90.00', '0.90'), ('90.0', '2.0'))
        """
        digits = 2 if self.half < 0.01 else 1
        return f"{100 * self.mean:.{digits}f}", f"{100 * self.half:.{digits}f}"


class Sizes(NamedTuple):
    """The numbers of training, validation and test rows in each replicate."""

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
    """The measurements of a run after each epoch; ``update_ratio`` is by layer, at the epoch's last step.

    A score is the accuracy, or R² for a regression (:data:`optimlab.losses.R2`). A negative R² is set to 0: such a
    network is worse than one that always predicts the mean.
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
    """The result of one finished run.

    Attributes
    ----------
    key, run: the configuration of the run, and its digest.
    status: ``"ok"``, ``"diverged"`` or ``"error"``.
    error: the message of an error.
    best_epoch: the epoch with the best validation score, from 1; ties go to the lowest validation loss. For a diverged
        run it is the best of the epochs before. None if there is none.
    val_score, val_loss, test_score, test_loss: the scores and losses at the best epoch.
    test_error: mean absolute error of a regression, in the unit of its target.
    test_rows: the contribution of each row of a test set that all replicates share, see
        :func:`optimlab.study.rows_score.packed`.
    steps, diverged_step: the number of steps made, and the step at which the loss diverged.
    seconds: seconds of training.
    state_arrays: the number of arrays in the optimizer's state.
    engine: the backend that ran it.
    curves: the measurements of each epoch.
    versions, host: the versions of the software, and the machine.

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
        """Return the validation score; 0 for a run that diverged or failed."""
        return self.val_score or 0.0 if self.status == "ok" else 0.0

    @property
    def test_counted(self) -> float:
        """Return the test score; 0 for a run that diverged or failed."""
        return self.test_score or 0.0 if self.status == "ok" else 0.0

    def epochs_to(self, target: float) -> int | None:
        """Return the first epoch with this validation score; None if the run missed it, diverged or failed."""
        reached = (k for k, value in enumerate(self.curves.val_score, 1) if value is not None and value >= target)
        return next(reached, None) if self.status == "ok" else None


@dataclass(frozen=True)
class Trial:
    """One run of a replicate's grid: its rate, and its validation score (None if it diverged or failed)."""

    lr: Positive
    val_score: Share | None
    epochs: Count | None
    """Epochs to the target; None if it missed."""
    hyperparameters: dict[str, float] = field(default_factory=dict)
    """The searched hyperparameters."""


@dataclass(frozen=True)
class Replicate:
    """The result of one replicate of the whole procedure for one row.

    ``key`` is that of the chosen run, which has the best validation score, at the rate ``lr``; its test score counts.
    ``fast_key`` is that of the run that reached the target first, at the rate ``fast_lr``; None if every trial missed.
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
        """Return the best trial at each rate; a rate has several if other hyperparameters are searched too."""
        best: dict[float, Trial] = {}
        for trial in self.grid:
            if trial.lr not in best or (trial.val_score or 0.0) > (best[trial.lr].val_score or 0.0):
                best[trial.lr] = trial
        return list(best.values())


@dataclass(frozen=True)
class Row:
    """One row of the table: a contender tuned, at its default rate, or at its best random setting.

    Attributes
    ----------
    label, contender: the labels of the row and of its contender; they differ unless the row is tuned.
    optimizer, convention, schedule: the rule, its convention, and the schedule of its rate.
    kind: ``"tuned"``, ``"default"`` or ``"searched"``.
    replicates: the result of each replicate.
    lr, fast_lr: the chosen rates, and those of the runs that reached the target first.
    trials: the fewest and the most trials of a replicate.
    val_score, test_score, test_error: means over the replicates.
    epochs: epochs to the target. A miss counts as one epoch more than the budget, so the mean is a lower bound.
    hits: number of replicates that reached the target.
    finished: number of replicates in which a run finished.
    failed: number of runs that ended with an error; ``errors`` has their messages.
    diverged_share: share of all runs that diverged.
    microseconds_per_step, seconds_to_target: the time of a training step, and of the mean epochs to the target.
    state_bytes_per_weight: memory of the optimizer's state.
    usable_decades: mean width, in decades, of the range of rates around the chosen one that reach the target. It is a
        lower bound if a grid ended first (``usable_at_least``).
    best_after: the expected best score after 1, 2, ... random settings.
    not_searched: the hyperparameters that the random search left out.
    searched: the values or the range of each hyperparameter that a tuned row searches besides the rate.
    grid: the rates before each replicate shifts them.
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
        """Return the number of replicates whose best rate lies at the edge of the grid."""
        return sum(one.at_edge for one in self.replicates)


@dataclass(frozen=True)
class Pair:
    """The paired comparison of two rows.

    Attributes
    ----------
    first, second: the labels of the rows.
    measure: ``"test_score"`` or ``"epochs"``.
    difference: ``first`` minus ``second``, with its interval.
    p, adjusted: the p-value of the test (for epochs, of their logarithms), see
        :func:`optimlab.study.summary.pairs`, and the same after Holm's correction for all tests of the comparison.
    ahead: the share of replicates in which ``first`` is better, with its interval; a tie counts half.
    rows_error: the standard error due to the choice of rows in a shared test set; None if each replicate draws its own.
    misses: True if a run missed the target. The difference in epochs is then that of the restricted means.
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
        """Return True if the difference is significant after the correction for all tests."""
        return self.adjusted <= LEVEL

    @property
    def better(self) -> str:
        """Return the label of the row with the better mean."""
        higher = self.difference.mean > 0
        return self.first if higher == (self.measure == "test_score") else self.second

    @property
    def worse(self) -> str:
        """Return the label of the other row."""
        return self.second if self.better == self.first else self.first


LEVEL = 0.05
"""The significance level: the chance that a comparison states any difference where there is none."""


@dataclass(frozen=True)
class Claim:
    """A difference that a sentence states. The pair of the same rows and measure is its evidence."""

    better: str
    worse: str
    measure: Measure


@dataclass(frozen=True)
class Sentence:
    """A sentence of the verdict, with the differences that it states."""

    text: str
    claims: tuple[Claim, ...] = ()
    about: str = ""
    """The part of the report with the evidence: a measure, ``"pairs"``, ``"target"``, ``"rates"`` or ``"runs"``."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Verdict:
    """The conclusions of a comparison.

    Attributes
    ----------
    sentences: the conclusions in words.
    leader, level_with: the row with the highest mean test score, and those that cannot be told apart from it.
    fastest, fast_with: the row with the fewest epochs to the target, and those that cannot be told apart from it.
    family: the number of tests that Holm's correction covers.
    detectable: the difference in test score that this number of replicates detects with a probability of 80%; None if
        no two scores can differ by so much.
    replicates_for_half: the number of replicates that detects half of it.
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
    """The target: a validation score; the comparison counts the epochs until a run first reaches it.

    ``planned`` is the target of the study before its first run; a different ``value`` was chosen afterwards.
    ``informative`` is False if every contender reaches it in every replicate, within three epochs on average, or if
    none does in any. ``proposed`` is then a target that would tell them apart. Contenders with a failed run do not
    count.
    """

    value: Share
    planned: Share
    informative: bool
    proposed: Share | None


@dataclass(frozen=True)
class Baseline:
    """The scores of always predicting the most frequent class of the training rows."""

    name: str
    val_score: Interval
    test_score: Interval


@dataclass(frozen=True)
class Summary:
    """The whole comparison, as stored in ``summary.json``.

    ``planned_replicates`` is the number of the study before its first run. ``left_out`` says what the quick protocol
    leaves out, and ``decided`` how your own data were read. ``unused`` lists the columns of a table that
    were dropped then. ``score`` names the score. ``test_rows`` is the size of a test set that all replicates share, or
    None if each draws its own.

    Raises
    ------
    InputError: a label is not that of a row, or two rows have the same; there is no tuned row; or a row does not have
        as many replicates as the comparison, each with at least one run.
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
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = [row.label for row in self.rows]
        said = self.verdict
        named = {said.leader, *said.level_with, said.fastest, *said.fast_with} - {None}
        named |= {name for pair in self.pairs for name in (pair.first, pair.second)}
        named |= {name for sentence in said.sentences for c in sentence.claims for name in (c.better, c.worse)}
        if not self.tuned or len({*labels}) < len(labels) or not named <= {*labels}:
            raise InputError("rows need different labels, one must be tuned, and each name must be that of a row")
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
        """Return the label of the comparison, if it has one, then its data, network and budget."""
        return f"{self.label}: {self.data}" if self.label else self.data

    @property
    def loss(self) -> str:
        """Return the loss's name and unit, such as ``"cross-entropy, nats"``."""
        return described(str(self.study["problem"].get("loss", "")))

    @property
    def measure(self) -> str:
        """Return the score's name in sentences and headings, such as ``"accuracy"``."""
        return SCORES[self.score]

    @property
    def limits(self) -> str:
        """Return a phrase on the part of the problem that was left out; empty if nothing was."""
        more = "; --full takes all" if self.protocol == "quick" else ""
        return f"left out: {', '.join(self.left_out)}{more}" if self.left_out else ""

    @property
    def tuned(self) -> tuple[Row, ...]:
        """Return the tuned rows, one for each contender."""
        return tuple(row for row in self.rows if row.kind == "tuned")

    def row(self, label: str) -> Row:
        """Return the row with this label."""
        return next(row for row in self.rows if row.label == label)

    def pair(self, one: str, other: str, measure: Measure) -> Pair | None:
        """Return the pair of two rows, in either order; None if they are not compared."""
        return next((p for p in self.pairs if p.measure == measure and {p.first, p.second} == {one, other}), None)


@dataclass(frozen=True)
class Standing:
    """The result of one contender on one problem, from the problem's own summary.

    ``leading`` is True for the leader in test score, and for those that cannot be told apart from it. ``fast`` is the
    same for epochs to the target.
    """

    test_score: Interval
    epochs: Interval
    hits: Count
    finished: Count
    leading: bool
    fast: bool


@dataclass(frozen=True)
class JointProblem:
    """One of several problems.

    A contender with a failed run is in ``failed`` and has no standing. One that is in neither was not compared here.
    """

    name: str
    data: str
    target: Share
    epochs: Count
    replicates: Count
    standings: dict[str, Standing]
    score: Score = "accuracy"
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """The ranks of the contenders on each problem, by their mean over replicates; 1 is the best, and ties share a rank.

    ``p`` is that of Friedman's test. If it is at most ``level``, mean ranks that differ by ``critical_difference`` or
    more differ significantly: ``apart`` has these pairs, the better one first. ``fewest`` is the least number of
    problems that can tell two of so many contenders apart. ``ties`` counts the problems with ties.
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
        """Return the contenders with the best mean rank: one, or several if they are tied."""
        lowest = min(self.mean_ranks.values())
        return tuple(name for name, rank in self.mean_ranks.items() if rank <= lowest + 1e-9)


def measure_of(problems: Sequence[JointProblem]) -> str:
    """Return the name of the problems' score, or ``"score"`` if they have different ones."""
    names = {SCORES[problem.score] for problem in problems}
    return names.pop() if len(names) == 1 else "score"


@dataclass(frozen=True)
class Joint:
    """The joint answer of several problems, as stored in ``joint.json``.

    ``contenders`` are those compared on every ranked problem; ``excluded`` has the reasons for the others. ``rankings``
    is empty if fewer than two contenders or problems are left. ``profile`` is the performance profile of the mean
    epochs to the target: for each contender, the points ``(factor, share)`` at which its share of problems rises.
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
        """Return the name of the problems' score, or ``"score"`` if they have different ones."""
        return measure_of(self.problems)

    def _repr_html_(self) -> str:
        table = view("joint table", self)._repr_html_()
        return together(Html(table), bullets([sentence.text for sentence in self.sentences]))

    def __repr__(self) -> str:
        return f"<Joint of {len(self.problems)} problems, {len(self.contenders)} optimizers\n  {self.paragraph}>"

    @property
    def paragraph(self) -> str:
        """Return all sentences as one text."""
        return " ".join(sentence.text for sentence in self.sentences)

    def ranking(self, measure: Measure) -> Ranking | None:
        """Return the ranking by this measure; None if there is none."""
        return next((ranking for ranking in self.rankings if ranking.measure == measure), None)


def described(loss: str) -> str:
    """Return the name of a loss, with its unit if it has one.

    >>> described("softmax_cross_entropy"), described("mean_squared_error")
    ('cross-entropy, nats', 'mean squared error')
    """
    return "cross-entropy, nats" if loss.endswith("cross_entropy") else loss.replace("_", " ")


Result = TypeVar("Result", Record, Summary, Joint)


def encoded(result: Record | Summary | Joint) -> bytes:
    """Encode a result as JSON; infinity and NaN become null.

    >>> run = {"optimizer": "sgd"}
    >>> record = Record(key_of(run), run, "diverged", val_loss=float("nan"))
    >>> decoded(Record, encoded(record)).val_loss is None
    True
    """
    return msgspec.json.encode(result)


def builtins(result: Any) -> Any:
    """Convert a result to plain dictionaries, lists and numbers, as JSON has them."""
    return msgspec.json.decode(msgspec.json.encode(result))


def decoded(kind: type[Result], content: bytes | Mapping[str, Any]) -> Result:
    """Decode a result, and check every value.

    Parameters
    ----------
    kind: the class of the result.
    content: JSON, or plain data.

    Raises
    ------
    InputError: it is not JSON, a value is missing or invalid, or it comes from an earlier protocol.

    >>> decoded(Record, b'{"key": "a", "run": {}, "status": "good"}')
    Traceback (most recent call last):
    ...
    optimlab.common.errors.InputError: Invalid enum value 'good' - at `$.status`
    """
    try:
        plain = msgspec.json.decode(content) if isinstance(content, bytes) else content
        if kind is not Record and isinstance(plain, Mapping):
            check_version(plain)
        return msgspec.convert(plain, kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise InputError(str(error)) from None


def check_version(found: Mapping[str, Any]) -> None:
    """Check that the description or summary of a study has the present version.

    Raises
    ------
    InputError: it has another version.
    """
    version = found.get("version", 1)
    if version != VERSION:
        raise InputError(EARLIER if version == 1 else OTHER)
