"""The joint answer of several problems: mean ranks with their tests, a performance profile, and a paragraph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import numpy as np

from ..common.errors import InputError
from ..common.files import check_folder_name, write_atomically
from .compare import Comparison, read_summary
from .folder import ELSEWHERE, JOINT, SUMMARY
from .ranks import average_ranks, critical_difference, fewest_problems, friedman
from .results import (
    LEVEL,
    VERSION,
    Claim,
    Joint,
    JointProblem,
    Measure,
    Ranking,
    Sentence,
    Standing,
    Summary,
    decoded,
    encoded,
    measure_of,
)
from .statistics import performance_profile
from .summary import MEASURES, listed

Words = dict[Measure, str]
"""The name of each measure in sentences."""
FACTOR = 2.0
"""The paragraph names the optimizers that stay within this factor of the fewest epochs."""


def joint(comparisons: Mapping[str, Comparison]) -> Joint:
    """Combine the comparisons of several problems into one answer.

    On each problem, the contenders are ranked by their mean over replicates: by test score, and by epochs to the
    target. Friedman's test decides whether the mean ranks differ at all, and Nemenyi's critical difference decides
    which ones do. Each of the two rankings is tested at half of :data:`LEVEL`, so that :data:`LEVEL` holds for both
    together. The unit of these tests is the problem.

    A problem is not ranked if every contender has a failed run there. A contender is excluded from ranks and profile
    if one of its runs failed on a ranked problem, or if it was not compared there.

    Parameters
    ----------
    comparisons: the finished comparison of each problem, by name.

    Raises
    ------
    InputError: there are fewer than two problems.
    """
    return joint_of({name: comparison.summary for name, comparison in comparisons.items()})


def joint_of(summaries: Mapping[str, Summary]) -> Joint:
    """Combine the summaries of several problems, by name; see :func:`joint`."""
    if len(summaries) < 2:
        raise InputError("a joint answer needs the comparisons of at least two problems")
    problems = tuple(_problem(name, summary) for name, summary in summaries.items())
    ranked = [problem for problem in problems if problem.standings]
    labels = list(dict.fromkeys(row.contender for summary in summaries.values() for row in summary.tuned))
    excluded = {label: why for label in labels if (why := _missing(label, ranked))}
    contenders = tuple(label for label in labels if label not in excluded)
    enough = len(contenders) > 1 and len(ranked) > 1
    rankings = tuple(_ranking(measure, contenders, ranked) for measure in MEASURES) if enough else ()
    costs = {label: [_cost(problem.standings[label]) for problem in ranked] for label in contenders}
    stairs = performance_profile(costs) if enough else {}
    profile = {label: tuple(steps) for label, steps in stairs.items()}
    data = [summary.study["problem"].get("dataset") for summary in summaries.values()]
    words: Words = {"test_score": f"test {measure_of(problems)}", "epochs": "epochs to the target"}
    sentences = [
        *_excluded(problems, contenders, excluded),
        *(sentence for ranking in rankings for sentence in _ranks(ranking, words)),
        *_profile(profile, ranked),
        *_conditions(rankings, len(data), len(set(data)), words),
    ]
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Joint(VERSION, problems, contenders, excluded, rankings, profile, tuple(sentences), made)


def write_joint(joint: Joint, folder: Path) -> list[str]:
    """Write ``joint.json`` into ``folder``; return the names of the files written."""
    write_atomically(folder / JOINT, encoded(joint) + b"\n")
    return [JOINT]


def read_joint(folder: str | Path) -> Joint:
    """Read ``joint.json`` of a folder.

    Raises
    ------
    InputError: there is none, or it is not what :func:`write_joint` writes.
    """
    path = Path(folder) / JOINT
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    try:
        return decoded(Joint, content)
    except InputError as error:
        raise InputError(f"{path} is not the joint answer of several problems: {error}") from None


def problem_names(folder: str | Path) -> list[str]:
    """Return the names of the problems in ``joint.json`` of a folder; each is the name of a folder in it.

    Raises
    ------
    InputError: as :func:`read_joint`, or a name leads to another place.
    """
    names = [problem.name for problem in read_joint(folder).problems]
    for name in names:
        check_folder_name(name)
    return names


def present_joint(folder: str | Path) -> tuple[Joint, dict[str, Summary]]:
    """Return the joint answer of a folder and the summary of each problem in it.

    The answer is computed from these summaries. That of ``joint.json`` is older than a problem whose comparison has
    grown on its own, or in a study that was stopped before its last problem.

    Raises
    ------
    InputError: as :func:`problem_names`, or a problem has no finished comparison.
    """
    summaries = {name: read_summary(Path(folder) / name) for name in problem_names(folder)}
    return joint_of(summaries), summaries


def check_joint_folder(names: Iterable[str], folder: str | Path) -> None:
    """Check that problems of these names would not overwrite the page or joint answer of a folder, without writing.

    Raises
    ------
    InputError: the folder holds the comparison of a single problem, or a joint answer that also has other problems.
    """
    folder, given = Path(folder), list(names)
    if (folder / SUMMARY).exists():
        raise InputError(
            f"the folder {folder} holds a comparison on one problem, but this study has several; {ELSEWHERE}"
        )
    if (folder / JOINT).exists():
        lost = [problem.name for problem in read_joint(folder).problems if problem.name not in given]
        if lost:
            raise InputError(
                f"the folder {folder} holds a joint answer that this study would overwrite: it also has "
                f"{listed(lost)}; {ELSEWHERE}, or include these as well"
            )


def _problem(name: str, summary: Summary) -> JointProblem:
    verdict = summary.verdict
    leading, fast = {verdict.leader, *verdict.level_with}, {verdict.fastest, *verdict.fast_with}
    standings = {
        row.contender: Standing(
            row.test_score, row.epochs, row.hits, row.finished, row.label in leading, row.label in fast
        )
        for row in summary.tuned
        if not row.failed
    }
    return JointProblem(
        name,
        summary.heading,
        summary.target.value,
        summary.epochs,
        summary.replicates,
        standings,
        summary.score,
        tuple(row.contender for row in summary.tuned if row.failed),
    )


def _missing(label: str, ranked: Sequence[JointProblem]) -> str:
    """Return the reason why a contender cannot be ranked; empty if it can."""
    failed = [problem.name for problem in ranked if label in problem.failed]
    absent = [problem.name for problem in ranked if label not in {*problem.standings, *problem.failed}]
    reasons = [f"runs failed on {listed(failed)}"] if failed else []
    reasons += [f"it is not compared on {listed(absent)}"] if absent else []
    return "; ".join(reasons)


def _cost(standing: Standing) -> float:
    return standing.epochs.mean if standing.hits else inf


def _ranking(measure: Measure, contenders: Sequence[str], problems: Sequence[JointProblem]) -> Ranking:
    values = [[getattr(problem.standings[label], measure).mean for label in contenders] for problem in problems]
    ranks = average_ranks(values, highest_first=measure == "test_score")
    level = LEVEL / len(MEASURES)
    p, difference = friedman(ranks), critical_difference(len(contenders), len(problems), level)
    means = dict(zip(contenders, ranks.mean(axis=0).tolist(), strict=True))
    apart = tuple(
        (one, other)
        for one in contenders
        for other in contenders
        if p <= level and means[other] - means[one] >= difference - 1e-9
    )
    return Ranking(
        measure=measure,
        problems=tuple(problem.name for problem in problems),
        ranks=dict(zip(contenders, map(tuple, ranks.T.tolist()), strict=True)),
        mean_ranks=means,
        p=p,
        level=level,
        critical_difference=difference,
        fewest=fewest_problems(len(contenders), level),
        apart=apart,
        ties=sum(len(np.unique(row)) < len(row) for row in ranks),
    )


def _ranks(ranking: Ranking, words: Words) -> list[Sentence]:
    """Return sentences on the best mean rank, and on the ranks that differ significantly."""
    measure, problems, count = ranking.measure, len(ranking.problems), len(ranking.mean_ranks)
    best, mean = ranking.best, min(ranking.mean_ranks.values())
    if len(best) == count:
        text = f"By {words[measure]}, all {count} optimizers have the same mean rank on these {problems} problems."
    else:
        who = f"{listed(best)} {'has' if len(best) == 1 else 'share'}"
        text = f"By {words[measure]}, {who} the best mean rank on {problems} problems: {mean:.1f} of {count}."
    sentences = [Sentence(text, about=measure)]
    if problems < ranking.fewest:
        return sentences
    test = "Friedman's test" if count > 2 else "the sign test"
    if not ranking.apart:
        text = (
            f"No two mean ranks differ by Nemenyi's critical difference, {ranking.critical_difference:.1f}"
            if ranking.p <= ranking.level
            else "These ranks may be due to chance"
        )
        text += f" ({test}: p = {_p(ranking.p)}): no two optimizers can be told apart."
        return [*sentences, Sentence(text, about=measure)]
    sentences += _behind(ranking, words)
    text = (
        f"These mean ranks differ by at least Nemenyi's critical difference, {ranking.critical_difference:.1f} "
        f"({test}: p = {_p(ranking.p)}); no other two can be told apart."
    )
    return [*sentences, Sentence(text, about=measure)]


def _behind(ranking: Ranking, words: Words) -> list[Sentence]:
    """Return one sentence for all optimizers that are behind the same others."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for label in ranking.mean_ranks:
        better = tuple(one for one, other in ranking.apart if other == label)
        if better:
            groups.setdefault(better, []).append(label)
    return [
        Sentence(
            f"Ranked below {listed(better)} by {words[ranking.measure]}: {listed(worse)}.",
            tuple(Claim(one, other, ranking.measure) for other in worse for one in better),
            ranking.measure,
        )
        for better, worse in groups.items()
    ]


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "below 0.001"


def _profile(profile: Mapping[str, Sequence[tuple[float, float]]], problems: Sequence[JointProblem]) -> list[Sentence]:
    """Say who is fastest most often, and who most often needs at most twice the fewest epochs."""

    def solved(label: str, factor: float) -> int:
        return round(len(problems) * max(share for f, share in profile[label] if f <= factor))

    first = {label: solved(label, 1.0) for label in profile}
    most = max(first.values(), default=0)
    if not most:
        return [Sentence("No optimizer reached the target on any problem.", about="profile")] if profile else []
    near = {label: solved(label, FACTOR) for label in profile}
    widest = max(near.values())
    text = (
        f"Averaged over replicates, {_needs(first, most)} the fewest epochs to the target on "
        f"{_of(most, len(problems))}, and {_needs(near, widest)} at most {FACTOR:g} times the fewest on "
        f"{_of(widest, len(problems))}."
    )
    return [Sentence(text, about="profile")]


def _needs(counts: Mapping[str, int], number: int) -> str:
    names = [label for label, count in counts.items() if count == number]
    if len(names) == 1:
        return f"{names[0]} needs"
    return f"{f'all {len(names)} optimizers' if len(names) == len(counts) > 2 else listed(names)} each need"


def _of(number: int, problems: int) -> str:
    return f"all {problems} problems" if number == problems > 2 else f"{number} of {problems} problems"


def _excluded(
    problems: Sequence[JointProblem], contenders: Sequence[str], excluded: Mapping[str, str]
) -> list[Sentence]:
    texts = []
    lost = [problem.name for problem in problems if not problem.standings]
    if lost:
        texts.append(f"Not ranked, because every optimizer has a failed run there: {listed(lost)}.")
    texts += [f"{label} is excluded from ranks and profile: {why}." for label, why in excluded.items()]
    if len(problems) - len(lost) < 2:
        texts.append("Fewer than two problems are left: there is no joint answer.")
    elif not contenders:
        texts.append("No optimizer was compared on every problem: there is nothing to rank.")
    elif len(contenders) == 1:
        texts.append(f"Only {contenders[0]} was compared on every problem: there is nothing to rank.")
    return [Sentence(text, about="runs") for text in texts]


def _conditions(rankings: Sequence[Ranking], problems: int, data: int, words: Words) -> list[Sentence]:
    """Return the assumptions of the tests, in sentences."""
    if not rankings:
        return []
    texts, first = [], rankings[0]
    if len(first.problems) < first.fewest:
        texts.append(
            f"Ranks on {len(first.problems)} problems cannot tell {len(first.mean_ranks)} optimizers apart, even if "
            f"all agree: this takes at least {first.fewest} problems."
        )
    if any(ranking.apart for ranking in rankings):
        texts.append(
            f"Both rankings together are tested at {100 * LEVEL:g}%, as if these problems were a random sample of all "
            "possible problems."
        )
        if data < problems:
            sets = "one data set" if data == 1 else f"{data} data sets"
            texts.append(f"The {problems} problems use {sets}. They are dependent, so these tests are optimistic.")
        tied = [f"{words[r.measure]} (on {r.ties} of {len(r.problems)})" for r in rankings if r.ties and r.apart]
        if tied:
            texts.append(f"Some ranks are tied, by {listed(tied)}, which makes Nemenyi's test conservative.")
    return [Sentence(text, about="ranks") for text in texts]
