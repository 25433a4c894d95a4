"""Does the verdict replicate? Repeat whole quick studies with fresh seeds, and count how often they were right.

    python benchmarks/replication.py                   # about two hours on two cores; a second start goes on
    python benchmarks/replication.py --only digits --studies 5
    python benchmarks/replication.py --only digits --first 89     # those that the committed results lack

A study repeats the whole procedure in ten replicates; its pages print intervals, and sentences such as "lower than".
Each experiment makes independent studies, which share no random number:

- ``digits``, ``mnist``: the nine classic rules. Is what a study prints true of the mean of all studies?
- ``half``: two more rules, SGD and Adam that make an update only every second step. Are they called slower?
- ``equal-sgd``, ``equal-adam``: one rule under nine names. Every copy draws its own initial weights and order of the
  rows (on the split that the replicate has for all), so that they differ by chance alone. Is any called different?

Runs are kept in ``build/replication``. Results are measured from them in a minute, with the statistics of today.
What the replicates of each study gave is committed with the results. It stands for the studies whose runs are not
there, so that ``--studies 0`` measures everything anew without any runs.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import common
import numpy as np
from common import INK, PALETTE, SOFT
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtr, stdtrit

from optimlab.backends.threads import one_thread
from optimlab.common.files import write_atomically
from optimlab.optim.optimizers import CLASSIC
from optimlab.rules.textbook import adam, sgd
from optimlab.study import PROBLEMS, Contender, Problem, Study, compare
from optimlab.study.compare import summarized
from optimlab.study.digests import key_of
from optimlab.study.folder import SUMMARY
from optimlab.study.plan import Run, Settings
from optimlab.study.results import LEVEL, Claim, Curves, Interval, Measure, Pair, Record, Row, Summary
from optimlab.study.statistics import epochs_interval, holm, pair_tests, paired_difference, share_ahead, t_interval
from optimlab.study.store import FILE, read
from optimlab.study.summary import Found, row_label

LOWEST, HIGHEST = 0.93, 0.985
"""What the coverage of a 95% interval has to lie between."""
WRONG, FALSE, POWER = 0.01, 0.05, 0.95
"""At most so many wrong signs, pages that tell equals apart; at least so many studies that call half speed slower."""
REDRAWN = 500
"""Studies redrawn from all replicates."""
EQUALS = 9
DRAWN = 40
"""Studies in the figure."""


# ---- the studies --------------------------------------------------------------------------------------------------


def half_sgd(w, g, *, t, lr=0.01):  # type: ignore[no-untyped-def]
    """SGD that makes an update only every second step."""
    on = (1 + (-1.0) ** t) / 2
    return w + on * (sgd(w, g, lr=lr) - w)


def half_adam(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):  # type: ignore[no-untyped-def]
    """Adam that makes an update only every second step."""
    on = (1 + (-1.0) ** t) / 2
    w1, m1, s1 = adam(w, g, m, s, t=(t + 1 - on) / 2, lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    return w + on * (w1 - w), m + on * (m1 - m), s + on * (s1 - s)


HALVES = {"half sgd": "sgd", "half adam": "adam"}
PLANTED = tuple(
    Contender(r.__name__, label=name, rule=r) for name, r in zip(HALVES, (half_sgd, half_adam), strict=True)
)


class Copies(Study):
    """A study whose contenders draw their own initial weights and order of the rows; the split stays that of all."""

    def run(self, contender: Contender, replicate: int, lr: float, hyperparameters: Settings = ()) -> Run:
        run = super().run(contender, replicate, lr, hyperparameters)
        number = [c.label for c in self.contenders].index(contender.label)
        return replace(run, seed=run.seed + (number + 1) * 10**10)


@dataclass(frozen=True)
class Experiment:
    """Independent studies of one kind; ``over`` names the experiment whose runs are a part of these."""

    name: str
    studies: int
    make: Callable[[int], Study]
    over: str = ""


def experiments(quick: bool) -> list[Experiment]:
    """All of them; the quick ones are too small to show anything."""
    digits, mnist = PROBLEMS["digits"], PROBLEMS["mnist"].quick()
    size: dict[str, Any] = {}
    rules, counts = CLASSIC, (240, 37, 20)
    if quick:
        digits = mnist = Problem(hidden=(8,), epochs=2, target=0.3)
        size, rules, counts = {"rates": (0.01, 0.1, 1.0), "replicates": 3, "extensions": 0}, ("sgd", "adam"), (2, 2, 2)
    made = [
        Experiment("digits", counts[0], lambda k: Study(digits, rules, seed=k, **size)),
        Experiment("mnist", counts[1], lambda k: Study(mnist, rules, seed=k, **size)),
        Experiment("half", counts[2], lambda k: Study(digits, (*rules, *PLANTED), seed=k, **size), over="digits"),
    ]

    def equal(rule: str) -> Experiment:
        copies = tuple(Contender(rule, label=f"{rule} {k + 1}") for k in range(EQUALS))
        seed = 1000 * (1 + CLASSIC.index(rule))
        return Experiment(
            f"equal-{rule}", counts[2], lambda k: Copies(digits, copies, seed=seed + k, defaults=False, **size)
        )

    return [*made, equal("sgd"), equal("adam")]


def make(experiment: Experiment, number: int, runs: Path, jobs: int | None) -> None:
    """Make a study's runs, as far as they are not there."""
    folder = runs / experiment.name / str(number)
    if (folder / SUMMARY).exists():
        return
    taken = runs / experiment.over / str(number) / FILE
    if experiment.over and taken.exists() and not (folder / FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(taken, folder / "copied")
        (folder / "copied").rename(folder / FILE)
    with warnings.catch_warnings(action="ignore"):  # a best at the grid's edge: the page says so
        compare(experiment.make(number), folder, jobs=jobs)
    click.echo(f"  {common.now()[11:19]} {experiment.name} {number}", err=True)


def finished(experiment: Experiment, runs: Path, kept: dict[str, Any]) -> list[Summary]:
    """The summaries of all studies, by the statistics of today: from their runs, or else from what was kept of them."""
    there = {int(path.parent.name): path.parent for path in (runs / experiment.name).glob(f"*/{SUMMARY}")}
    made = {}
    of_others = {study["seed"]: study["values"] for study in kept.get(experiment.over, [])}
    for study in kept.get(experiment.name, []):
        values = of_others.get(study["seed"], {}) | study["values"]
        made[study["seed"]] = rebuilt(experiment.make(study["seed"] - experiment.make(0).seed), values)
    for number, folder in there.items():
        if number < experiment.studies:
            study = experiment.make(number)
            made[study.seed] = summary_of(study, folder)
    return [made[seed] for seed in sorted(made)]


def rebuilt(study: Study, values: Values) -> Summary:
    """The summary of a study whose runs are gone. One made-up run stands for all trials of a replicate.

    Validation accuracies that were not kept are NaN. The untuned rows of the rules at half speed were not kept, either.
    Rows equal to the tuned ones take their place: the page has as many tests as it had, and these two find nothing.
    """
    found: Found = {"tuned": {}, "default": {}} if study.defaults else {"tuned": {}}
    records: dict[str, Record] = {}
    for kind, trials in found.items():
        for c in study.contenders:
            own = values.get(row_label(c.label, kind)) or values[c.label]
            trials[c.label] = [[made_up(study, f"{c.label}, {kind}", r, own)] for r in range(study.replicates)]
            records |= {record.key: record for (record,) in trials[c.label]}
    planned = {"target": study.problem.target, "replicates": study.replicates}
    return summarized(study, found, records, {}, planned)


def made_up(study: Study, label: str, replicate: int, values: dict[str, Any]) -> Record:
    """A run with these values of the replicate."""
    run = {"row": label, "replicate": replicate, "lr": 1.0, "hyperparameters": {}}
    epochs = int(values["epochs"][replicate])
    curve = [0.0] * (epochs - 1) + [study.problem.target] * (epochs <= study.problem.epochs)
    val_score = values["val_score"][replicate] if "val_score" in values else math.nan
    scores = {"val_score": val_score, "test_score": values["test_score"][replicate]}
    return Record(key_of(run), run, "ok", best_epoch=1, **scores, curves=Curves(val_score=tuple(curve)))


def summary_of(study: Study, folder: Path) -> Summary:
    """As :func:`optimlab.study.compare` makes it, without timing."""
    records = read(folder)
    of: dict[str, list[Record]] = defaultdict(list)
    for record in records.values():
        of[told({**record.run, "lr": None})].append(record)
    found: Found = {"tuned": {}, "default": {}} if study.defaults else {"tuned": {}}
    for c in study.contenders:
        for kind in found:
            found[kind][c.label] = []
        for r in range(study.replicates):
            own = of[told({**study.run(c, r, 1.0).config(), "lr": None})]
            default = {run.key for run in study.default(c, r)}
            found["tuned"][c.label].append([record for record in own if record.key not in default])
            if study.defaults:
                found["default"][c.label].append([record for record in own if record.key in default])
    planned = {"target": study.problem.target, "replicates": study.replicates}
    return summarized(study, found, records, {}, planned)


def told(config: dict[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


# ---- coverage -----------------------------------------------------------------------------------------------------

MEASURES: dict[Measure, str] = {"test_score": "test accuracy", "epochs": "epochs"}
MEANS = {"test_score": "mean test accuracy", "val_score": "mean validation accuracy", "epochs": "mean epochs"}
Values = dict[str, dict[str, Any]]
"""What the replicates of each row gave, by measure."""
Printed = dict[tuple[str, tuple[str, ...]], tuple[Interval, bool]]
"""Intervals by kind and by what they are of, and whether they are printed."""
UNSURE = (0.05, 0.95)
"""Outside of these, replicates agree so often about who is ahead that no interval misses as often as one in twenty."""


def values_of(summary: Summary) -> Values:
    """Test and validation accuracy, and epochs (a miss: one more than all), of each replicate of each row."""
    return {
        row.label: {
            "test_score": np.array([r.test_score for r in row.replicates]),
            "val_score": np.array([r.val_score for r in row.replicates]),
            "epochs": np.array([float(summary.epochs + 1 if r.epochs is None else r.epochs) for r in row.replicates]),
        }
        for row in summary.rows
    }


def pooled(summaries: Sequence[Summary]) -> Values:
    """The values of all replicates of all studies."""
    studies = [values_of(summary) for summary in summaries]
    return {
        label: {name: np.concatenate([study[label][name] for study in studies]) for name in values}
        for label, values in studies[0].items()
    }


def kind_of_mean(row: Row, measure: str) -> str:
    return MEANS[measure] + ("" if row.kind == "tuned" else f", {row.kind} rate")


def kinds_of_pair(pair: Pair, pool: Values) -> tuple[str, str]:
    """Kinds of its difference and of its share of replicates ahead."""
    what = f"{MEASURES[pair.measure]}{'' if ', default' not in pair.first else ', default minus tuned'}"
    low, high = UNSURE
    where = "" if low < truth_of(pair, pool)[1] < high else ", near 0 or 1"
    return f"difference in {what}", f"P(ahead) in {what}{where}"


def truth_of(pair: Pair, pool: Values) -> tuple[float, float]:
    """The mean difference and the share of replicates ahead, of all studies."""
    difference = pool[pair.first][pair.measure] - pool[pair.second][pair.measure]
    sign = 1 if pair.measure == "test_score" else -1
    return float(difference.mean()), float((np.sign(sign * difference).mean() + 1) / 2)


def printed(summary: Summary, pool: Values) -> Printed:
    """Every interval that the page prints; the mean epochs of a row that always missed are none."""
    made: Printed = {}
    for row in summary.rows:
        for measure in MEANS:
            there = measure != "epochs" or row.hits > 0
            made[kind_of_mean(row, measure), (row.label,)] = getattr(row, measure), there
    for pair in summary.pairs:
        difference, ahead = kinds_of_pair(pair, pool)
        made[difference, (pair.first, pair.second)] = pair.difference, True
        made[ahead, (pair.first, pair.second)] = pair.ahead, True
    return made


@dataclass(frozen=True)
class Coverage:
    """A record of how often intervals of one kind hold the truth.

    ``share``: of each study's interval and the mean of the *other* studies. That mean errs, too, so the interval is
    widened by ``sqrt(S / (S - 1))``, with S studies; of right 95% intervals, 95% then hold it. ``error`` is its
    standard error, from the spread over studies. ``plain``: of intervals as printed and the mean of all studies, its
    own included; ``others``: as printed, by the mean of the other studies. ``redrawn``: of 500 studies whose
    replicates are drawn from all replicates of all studies, whose mean is their truth. ``studies``: how many studies
    it is of, for the first ones did not keep their validation accuracies.
    """

    kind: str
    studies: int
    quantities: int
    share: float
    error: float
    plain: float
    others: float
    redrawn: float

    @property
    def met(self) -> bool:
        return LOWEST <= self.share <= (1 if "near 0 or 1" in self.kind else HIGHEST)


def coverages(summaries: Sequence[Summary]) -> list[Coverage]:
    """One for each kind of interval. A quantity that is the same in every replicate has none."""
    pool = pooled(summaries)
    studies = [printed(summary, pool) for summary in summaries]
    again = redrawn(summaries[0], pool)
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for item in studies[0]:
        known = [study[item] for study in studies if not math.isnan(study[item][0].mean)]
        if (count := len(known)) > 1 and np.ptp([interval.mean for interval, _ in known]) > 0:
            factor = math.sqrt(count / (count - 1))
            there = np.array([printed for _, printed in known])
            mean, low, high = np.array([interval for interval, _ in known]).T
            others = (mean.sum() - mean) / (count - 1)
            each = (
                held(others, mean - factor * (mean - low), mean + factor * (high - mean)),
                held(mean.mean(), low, high),
                held(others, low, high),
            )
            by_kind[item[0]].append(np.where(there, each, np.nan))
    made = []
    for kind, parts in by_kind.items():
        share, plain, others = np.moveaxis(np.array(parts, float), 1, 0)  # each: quantity, study
        of_studies = [np.nanmean(column) for column in share.T if not np.isnan(column).all()]
        error = float(np.std(of_studies, ddof=1) / math.sqrt(len(of_studies)))
        whole = (float(np.nanmean(part)) for part in (plain, others))
        known = share.shape[1], len(parts)
        made.append(Coverage(kind, *known, float(np.nanmean(share)), error, *whole, again.get(kind, math.nan)))
    return made


def held(truth: Any, low: Any, high: Any) -> Any:
    return (low - 1e-9 <= truth) & (truth <= high + 1e-9)


def expected(replicates: int, studies: int) -> tuple[float, float]:
    """Coverage of right t intervals as printed: by the mean of all studies, and by that of the others."""
    df = replicates - 1
    t = stdtrit(df, 0.975)
    of_all, of_others = (float(2 * stdtr(df, t / math.sqrt(1 + p)) - 1) for p in (-1 / studies, 1 / (studies - 1)))
    return of_all, of_others


def redrawn(summary: Summary, pool: Values) -> dict[str, float]:
    """Coverage of the intervals of studies whose replicates are drawn from all, by the mean of all."""
    rng = np.random.default_rng(0)
    total = len(next(iter(pool.values()))["epochs"])
    draws = rng.integers(0, total, (REDRAWN, summary.replicates))
    found: dict[str, list[Any]] = defaultdict(list)
    for row in summary.rows:
        for measure in MEANS:
            values = pool[row.label][measure]
            values, all_draws = values[~np.isnan(values)], draws
            if 0 < len(values) < total:
                all_draws = rng.integers(0, len(values), draws.shape)
            if len(values) and np.ptp(values) > 0:
                drawn = [d for d in all_draws if measure != "epochs" or values[d].min() <= summary.epochs]
                interval = partial(epochs_interval, budget=summary.epochs) if measure == "epochs" else t_interval
                made = np.array([interval(values[d]) for d in drawn])
                found[kind_of_mean(row, measure)].append(held(values.mean(), made[:, 1], made[:, 2]).mean())
    for pair in summary.pairs:
        values, others = (pool[label][pair.measure] for label in (pair.first, pair.second))
        if np.ptp(values - others) == 0:
            continue
        (difference, share), (of_difference, of_share) = truth_of(pair, pool), kinds_of_pair(pair, pool)
        sign, step = (1, 0) if pair.measure == "test_score" else (-1, 1)
        made = np.array([paired_difference(values[d], others[d], step)[0] for d in draws])
        found[of_difference].append(held(difference, made[:, 1], made[:, 2]).mean())
        made = np.array([share_ahead(sign * values[d], sign * others[d]) for d in draws])
        found[of_share].append(held(share, made[:, 1], made[:, 2]).mean())
    return {kind: float(np.mean(shares)) for kind, shares in found.items()}


# ---- sentences ----------------------------------------------------------------------------------------------------


def claims_of(summary: Summary) -> set[Claim]:
    """Every difference that a sentence of the page states."""
    return {claim for sentence in summary.verdict.sentences for claim in sentence.claims}


def reversed_(claim: Claim) -> Claim:
    return Claim(claim.worse, claim.better, claim.measure)


def signs(summaries: Sequence[Summary]) -> dict[str, int]:
    """Count how many "lower", "higher" and "slower" were printed, and how many the mean of all studies denies."""
    pool = pooled(summaries)
    claims = [claim for summary in summaries for claim in claims_of(summary)]

    def wrong(claim: Claim) -> bool:
        better, worse = (pool[label][claim.measure].mean() for label in (claim.better, claim.worse))
        return bool(better <= worse if claim.measure == "test_score" else better >= worse)

    return {"claims": len(claims), "wrong": sum(map(wrong, claims))}


def sentences(summaries: Sequence[Summary], number: int = 0) -> list[dict[str, Any]]:
    """Each sentence of one study that compares, with the share of the other studies that do not contradict it.

    A study contradicts "lower" and "slower" if it states the opposite of any of the differences; "has the highest" and
    "needs the fewest" if it states that another is better; "cannot be told apart" if it tells the two apart.
    ``repeated`` is the share of the differences, or of the pairs not told apart, that the others find as well.
    """
    one, rest = summaries[number], [s for k, s in enumerate(summaries) if k != number]
    stated = [claims_of(summary) for summary in rest]
    found = []
    for sentence in one.verdict.sentences:
        for measure, first, level in (
            ("test_score", one.verdict.leader, one.verdict.level_with),
            ("epochs", one.verdict.fastest, one.verdict.fast_with),
        ):
            if sentence.about == measure and sentence.text.startswith((f"{first} has the", f"{first} needs the")):
                beaten = [any((c.worse, c.measure) == (first, measure) for c in own) for own in stated]
                apart = [
                    {Claim(first, other, measure), Claim(other, first, measure)} & own  # type: ignore[arg-type]
                    for own in stated
                    for other in level
                ]
                found.append({
                    "sentence": sentence.text,
                    "not_contradicted": 1 - float(np.mean(beaten)),
                    "repeated": 1 - float(np.mean([bool(pair) for pair in apart])) if apart else None,
                })  # fmt: skip
                break
        else:
            if sentence.claims:
                own = set(sentence.claims)
                denied = [bool({reversed_(claim) for claim in own} & other) for other in stated]
                again = [len(own & other) / len(own) for other in stated]
                found.append({
                    "sentence": sentence.text,
                    "not_contradicted": 1 - float(np.mean(denied)),
                    "repeated": float(np.mean(again)),
                })  # fmt: skip
    return found


def printed_differences(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """The pairs of tuned rows, with their mean difference and the share of studies that print it, either way."""
    pool, stated = pooled(summaries), [claims_of(summary) for summary in summaries]
    made = []
    for pair in summaries[0].pairs:
        if ", default" not in pair.first:
            names, mean = (pair.first, pair.second), truth_of(pair, pool)[0]
            better, worse = names if (mean > 0) == (pair.measure == "test_score") else names[::-1]
            claim = Claim(better, worse, pair.measure)
            made.append({
                "better": better, "worse": worse, "measure": pair.measure, "difference": abs(mean),
                "printed": float(np.mean([claim in own for own in stated])),
                "opposite": float(np.mean([reversed_(claim) in own for own in stated])),
            })  # fmt: skip
    return sorted(made, key=lambda row: (row["measure"], -row["difference"]))


# ---- planted equals and halves ------------------------------------------------------------------------------------


def equals(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Count the pages of equals that state a difference.

    ``shuffled`` is the same share of pages made of the same runs: ten replicates drawn from all, the names dealt out
    anew in each, which changes nothing if the copies are equal.
    """
    false = sum(bool(claims_of(summary)) for summary in summaries)
    first, pool = summaries[0], pooled(summaries)
    labels = [row.label for row in first.rows]
    values = {m: np.array([pool[label][m] for label in labels]) for m in MEASURES}
    values["epochs"] = np.log(values["epochs"])  # as the page tests them
    rng = np.random.default_rng(0)
    pages = 2 * REDRAWN
    told = 0
    for _ in range(pages):
        chosen = rng.choice(values["epochs"].shape[1], first.replicates, replace=False)
        names = rng.permuted(np.tile(np.arange(len(labels))[:, None], len(chosen)), axis=0)
        dealt = [values[measure][:, chosen][names, np.arange(len(chosen))] for measure in MEASURES]
        p_values = [p for own in dealt for p in pair_tests(own).p_values]
        told += min(holm(p_values)) <= LEVEL
    return {"pages": len(summaries), "false": false, "shuffled": told / pages}


def alone(experiment: Experiment, summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    """Make studies of the same replicates that compare a rule with itself at half speed and with nothing else."""
    made: dict[str, list[Summary]] = {whole: [] for whole in HALVES.values()}
    for summary in summaries:
        study = experiment.make(summary.study["seed"])
        for planted, whole in zip(PLANTED, HALVES.values(), strict=True):
            made[whole].append(rebuilt(replace(study, optimizers=(whole, planted)), values_of(summary)))
    return made


def halves(summaries: Sequence[Summary], of_two: dict[str, list[Summary]]) -> list[dict[str, Any]]:
    """Return, for each rule planted at half speed, the share of studies that call it slower, and lower in accuracy.

    ``alone``: of the studies of these two; ``printed``: of those of all rules.
    """
    stated = [claims_of(summary) for summary in summaries]
    pool = pooled(summaries)
    found = []
    for half, whole in HALVES.items():
        if whole in pool:
            share = {m: float(np.mean([Claim(whole, half, m) in own for own in stated])) for m in MEASURES}
            denied = {m: float(np.mean([Claim(half, whole, m) in own for own in stated])) for m in MEASURES}
            means = {name: float(pool[name]["epochs"].mean()) for name in (whole, half)}
            slower = [Claim(whole, half, "epochs") in claims_of(summary) for summary in of_two[whole]]
            found.append({"rule": whole, "rows": len(summaries[0].tuned), "epochs": means, "printed": share,
                          "opposite": denied, "alone": float(np.mean(slower))})  # fmt: skip
    return found


# ---- what is reported ---------------------------------------------------------------------------------------------


def measured(studies: dict[str, list[Summary]], of_two: dict[str, list[Summary]]) -> dict[str, Any]:
    """Every figure, from the studies of each experiment that has at least two."""
    found: dict[str, Any] = {"coverage": {}, "signs": {}, "sentences": {}, "pairs": {}, "equals": {}, "halves": []}
    for name, summaries in studies.items():
        if len(summaries) < 2:
            continue
        if name.startswith("equal-"):
            found["equals"][name.removeprefix("equal-")] = equals(summaries)
            continue
        found["signs"][name] = signs(summaries)
        if name == "half":
            found["halves"] = halves(summaries, of_two)
            continue
        found["coverage"][name] = {
            "studies": len(summaries),
            "replicates": summaries[0].replicates,
            "data": summaries[0].data,
            "left_out": list(summaries[0].left_out),
            "expected": expected(summaries[0].replicates, len(summaries)),
            "kinds": [{**vars(c), "met": c.met} for c in coverages(summaries)],
        }
        found["sentences"][name] = sentences(summaries)
        found["pairs"][name] = printed_differences(summaries)
    return found


def kept(studies: dict[str, list[Summary]]) -> dict[str, Any]:
    """Return what the figures are made of, as small as can be: values by row and measure, and what each page states."""

    def of(summary: Summary, only: Iterable[str]) -> dict[str, Any]:
        values = values_of(summary)
        return {
            "seed": summary.study["seed"],
            "values": {
                label: {
                    m: [round(float(v), 5) for v in own] for m, own in values[label].items() if not np.isnan(own).any()
                }
                for label in only
            },
            "claims": sorted([c.better, c.worse, c.measure] for c in claims_of(summary)),
        }

    return {
        name: [of(s, HALVES if name == "half" else [row.label for row in s.rows]) for s in summaries]
        for name, summaries in studies.items()
    }


def earlier_results(folder: Path) -> dict[str, Any]:
    """The results that are there; empty if none are."""
    path = folder / "replication.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def carry(earlier: dict[str, Any], found: dict[str, Any]) -> None:
    """Add the coverage of validation accuracies as it was measured when they were there, if they are not now."""
    for name, of in found["coverage"].items():
        there = {k["kind"] for k in of["kinds"]}
        for k in earlier.get("coverage", {}).get(name, {"kinds": []})["kinds"]:
            if k["kind"] not in there and k["kind"].startswith(MEANS["val_score"]):
                of["kinds"].append({"as_of": earlier["made"][:10]} | k)


def verdicts(found: dict[str, Any]) -> list[str]:
    """One line for each requirement: what was asked, what was measured, and whether it is met."""
    said = []
    for name, of in found["coverage"].items():
        kinds = [k for k in of["kinds"] if "near 0 or 1" not in k["kind"]]
        low, high = min(kinds, key=lambda k: k["share"]), max(kinds, key=lambda k: k["share"])
        outside = [k for k in of["kinds"] if not k["met"]]
        said.append(
            f"{name}, {of['studies']} studies: coverage from {low['share']:.1%} ({low['kind']}) to {high['share']:.1%} "
            f"({high['kind']}); asked: {LOWEST:.0%} to {HIGHEST:.1%}; "
            + (f"outside: {'; '.join(map(with_error, outside))}" if outside else "met")
        )
        again = [k["redrawn"] for k in kinds]
        met = LOWEST <= min(again) <= max(again) <= HIGHEST
        said.append(
            f"{name}, {REDRAWN} studies redrawn from all replicates: coverage from {min(again):.1%} to "
            f"{max(again):.1%}; {'met' if met else 'NOT met'}"
        )
    for name, of in found["signs"].items():
        share = of["wrong"] / max(1, of["claims"])
        said.append(f"{name}: {of['wrong']} of {of['claims']} differences stated have the wrong sign ({share:.1%}); "
                    f"asked: at most {WRONG:.0%}; {'met' if share <= WRONG else 'NOT met'}")  # fmt: skip
    for rule, of in found["equals"].items():
        share = of["false"] / of["pages"]
        said.append(f"nine copies of {rule}: {of['false']} of {of['pages']} pages state a difference ({share:.1%}), "
                    f"{of['shuffled']:.1%} of {2 * REDRAWN:,} shuffled pages; asked: at most {FALSE:.0%}; "
                    f"{'met' if share <= FALSE else 'NOT met'}")  # fmt: skip
    for of in found["halves"]:
        whole, half = of["epochs"].values()
        said.append(
            f"{of['rule']} at half speed ({half:.1f} epochs instead of {whole:.1f}): {of['alone']:.0%} of studies of "
            f"the two call it slower; asked: at least {POWER:.0%}; {'met' if of['alone'] >= POWER else 'NOT met'}. "
            f"Among {of['rows']} rules {of['printed']['epochs']:.0%} do"
        )
    return said


def with_error(kind: dict[str, Any]) -> str:
    return f"{kind['kind']} ({kind['share']:.1%} ± {kind['error']:.1%})"


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The text of the results."""
    yield "Does the verdict replicate?"
    yield from ("", *(f"- {sentence}" for sentence in verdicts(found)))
    for name, of in found["coverage"].items():
        of_all, of_others = of["expected"]
        yield ""
        yield f"Coverage of printed 95% intervals: {name}, {of['data']}; {of['studies']} studies of {of['replicates']} replicates"  # noqa: E501
        yield f"{'kind':62}{'quantities':>11}{'coverage':>18}{'by all':>9}{'by others':>11}{'redrawn':>9}"
        for k in of["kinds"]:
            share = f"{k['share']:.1%} ± {k['error']:.1%}"
            met = ("" if k["met"] else "  outside") + (f"  as of {k['as_of']}" if "as_of" in k else "")
            met += f"  of {k['studies']} studies" if k.get("studies", of["studies"]) < of["studies"] else ""
            yield f"{k['kind']:62}{k['quantities']:11}{share:>18}{k['plain']:9.1%}{k['others']:11.1%}{k['redrawn']:9.1%}{met}"  # noqa: E501
        yield f"{'expected of right t intervals':62}{'':11}{'95.0%':>18}{of_all:9.1%}{of_others:11.1%}{'95.0%':>9}"
        yield ""
        yield f"Sentences of study 0, {name}: studies that do not contradict it; what the others find as well"
        for s in found["sentences"][name]:
            again = "" if s["repeated"] is None else f"{s['repeated']:.0%}"
            yield f"{s['not_contradicted']:5.0%}{again:>6}  {s['sentence']}"
        yield ""
        yield f"Differences of tuned rows, {name}: share of studies that state it, that state the opposite"
        for p in found["pairs"][name]:
            points = p["measure"] == "test_score"
            size = f"{100 * p['difference']:.2f} points" if points else f"{p['difference']:.2f} epochs"
            if p["printed"] or p["opposite"]:
                what = f"{p['better']} before {p['worse']}"
                yield f"{what:32}{size:>14}{p['printed']:7.0%}{p['opposite']:6.0%}"
    yield ""
    yield "coverage: of each study's interval and the mean of the other studies; the interval is widened by"
    yield "sqrt(S / (S - 1)) for the error of that mean; ±: one standard error, from the spread over the S studies."
    yield "by all: as printed, of the mean of all studies; by others: as printed. redrawn: 500 studies whose replicates"
    yield "are drawn from all replicates, of the mean of all. near 0 or 1: the true share is outside 5% to 95%, so ten"
    yield "replicates mostly agree, and no interval can miss as often as one in twenty. as of: measured that day from"
    yield "the runs of these studies; their validation accuracies are not kept."
    yield ""
    yield "Half speed among eleven rules: t-tests of each pair alone call it slower in 85 and 80% of these 20 studies."
    yield "The moderated test was chosen after that, so its share is optimistic. tests/test_replication.py has the same"
    yield "comparison on made-up learning curves."


# ---- the figure ---------------------------------------------------------------------------------------------------


def draw(found: dict[str, Any], studies: dict[str, list[Summary]]) -> Figure:
    """Left: coverage by kind. Right: one difference in every study, with what is known of it."""
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    draw_coverage(left, found)
    draw_studies(right, studies)
    return figure


def draw_coverage(axes: Axes, found: dict[str, Any]) -> None:
    kinds: dict[str, None] = {}
    for of in found["coverage"].values():
        kinds |= dict.fromkeys(k["kind"] for k in of["kinds"])
    place = {kind: -k for k, kind in enumerate(kinds)}
    axes.axvspan(100 * LOWEST, 100 * HIGHEST, color="#e8eef5", zorder=0)
    axes.axvline(95, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    for number, (name, of) in enumerate(found["coverage"].items()):
        colour, marker = PALETTE[number], "os"[number % 2]
        shift = 0.16 * (1 - 2 * number)
        for k in of["kinds"]:
            y = place[k["kind"]] + shift
            axes.errorbar(100 * k["share"], y, xerr=100 * k["error"], color=colour, marker=marker, markersize=6,
                          linewidth=1.4, capsize=2)  # fmt: skip
            axes.plot(100 * k["redrawn"], y, marker=marker, markersize=6, markerfacecolor="white", color=colour)
        first = of["kinds"][0]
        axes.annotate(f"{name}, {of['studies']} studies", (100 * first["share"], place[first["kind"]] + shift),
                      xytext=(0, 8 if shift > 0 else -14), textcoords="offset points", color=colour, fontsize=9,
                      ha="center")  # fmt: skip
    axes.set_yticks(list(place.values()), list(place), fontsize=9)
    axes.set_xlim(86, 100.6)
    axes.set_ylim(-len(place) + 0.4, 0.8)
    axes.set_xlabel("intervals that hold the truth (%)")
    axes.set_title(
        "Coverage of the printed 95% intervals\nfilled: independent studies ± one standard error\n"
        "hollow: studies redrawn from all replicates; shaded: asked",
        fontsize=9.5, loc="left", color=INK,
    )  # fmt: skip
    common.plain_axes(axes)


def draw_studies(axes: Axes, studies: dict[str, list[Summary]]) -> None:
    """The difference in epochs between the first rule and the fastest, study by study, in the first of them."""
    pool, count = pooled(studies["digits"]), len(studies["digits"])
    summaries = studies["digits"][:DRAWN]
    tuned = [row.label for row in summaries[0].tuned]
    slow = tuned[0]
    fast = min((label for label in tuned if label != slow), key=lambda label: pool[label]["epochs"].mean())
    truth = float((pool[slow]["epochs"] - pool[fast]["epochs"]).mean())
    axes.axvline(0, color=SOFT, linewidth=1)
    axes.axvline(truth, color=PALETTE[1], linewidth=1.5, linestyle=(0, (4, 3)))
    for k, summary in enumerate(summaries):
        pair = summary.pair(slow, fast, "epochs")
        if pair is None:
            continue
        sign = 1 if pair.first == slow else -1
        mean, low, high = (sign * value for value in pair.difference)
        inside = min(low, high) <= truth <= max(low, high)
        axes.plot([low, high], [-k, -k], color=INK if inside else PALETTE[1], linewidth=1.4 if inside else 3)
        axes.plot(mean, -k, marker="o", markersize=5, color=INK,
                  markerfacecolor=INK if pair.told_apart else "white")  # fmt: skip
    axes.annotate(f"mean of all: {truth:.1f}", (truth, 1), xytext=(4, 0), textcoords="offset points",
                  color=PALETTE[1], fontsize=9, va="center")  # fmt: skip
    axes.set_yticks([-k for k in range(len(summaries))], [str(k) for k in range(len(summaries))], fontsize=8)
    axes.set_ylim(-len(summaries) + 0.3, 1.6)
    axes.set_ylabel("study")
    axes.set_xlabel("difference in epochs to the target")
    axes.set_title(
        f"{slow} - {fast}: {len(summaries)} of {count} studies on digits\n"
        "filled point: the page says slower\nthick line: misses the mean of all studies",
        fontsize=9.5, loc="left", color=INK,
    )  # fmt: skip
    common.plain_axes(axes)


# ---- the command --------------------------------------------------------------------------------------------------


@click.command(name="replication", help="Repeat whole studies with fresh seeds, and count how often they were right.")
@click.option("--only", multiple=True, help="An experiment to make runs of; may be repeated.  [default: all]")
@click.option("--studies", type=click.IntRange(0), help="At most so many studies of each; 0 makes no runs.")
@click.option("--first", type=click.IntRange(0), default=0, help="The number of the first study to make runs of.")
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [default: as many as there are cores]")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("build/replication"), show_default=True,
              help="Folder of the runs.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results.  [default: results/ beside this]")
@click.option("--quick", is_flag=True, help="Studies too small to show anything: does it run?")
def main(
    only: tuple[str, ...], studies: int | None, first: int, jobs: int | None, runs: Path, out: Path | None, quick: bool
) -> None:
    made = experiments(quick)
    unknown = set(only) - {e.name for e in made}
    if unknown:
        raise click.UsageError(f"no experiment {unknown.pop()!r}; there are {', '.join(e.name for e in made)}")
    with one_thread(), common.until_interrupted():
        for experiment in made:
            for number in range(first, experiment.studies if studies is None else min(studies, experiment.studies)):
                if not only or experiment.name in only:
                    make(experiment, number, runs, jobs)
    folder = out or (Path("build/benchmarks") if quick else common.HERE / "results")
    earlier = earlier_results(folder)
    there = {e.name: finished(e, runs, earlier.get("studies", {})) for e in made}
    there = {name: summaries for name, summaries in there.items() if len(summaries) > 1}
    if "digits" not in there:
        raise click.UsageError(f"results need two studies of digits at least; the runs are in {runs}")
    found = measured(there, alone(next(e for e in made if e.name == "half"), there.get("half", [])))
    carry(earlier, found)
    text = "\n".join(lines(found)) + "\n"
    click.echo(text)
    folder.mkdir(parents=True, exist_ok=True)
    head = {"experiment": "replication", "made": common.now(), "versions": common.versions(), "quick": quick}
    head["says"] = verdicts(found)
    result = common.rounded(head | found)
    body = json.dumps(result, indent=1, ensure_ascii=False)
    values = ",\n".join(
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(study, separators=(",", ":")) for study in own) + "\n]"
        for name, own in kept(there).items()
    )
    write_atomically(folder / "replication.json", f'{body[:-2]},\n "studies": {{\n{values}\n}}\n}}\n')
    write_atomically(folder / "replication.txt", text)
    content = io.BytesIO()
    draw(found, there).savefig(content, format="png", dpi=130, metadata={"Software": None})
    write_atomically(folder / "replication.png", content.getvalue())


if __name__ == "__main__":
    main()
