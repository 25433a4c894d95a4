"""The joint answer of several problems as a table in the terminal."""

from __future__ import annotations

from ..common.tables import Column, Table
from .results import Interval, Joint, JointProblem


def joint_table(joint: Joint) -> Table:
    """Return one row per contender, sorted by mean rank in test score: its test score on each problem, and its ranks.

    A star marks the leader on a problem, and the contenders that cannot be told apart from it.
    """
    quality, epochs = joint.ranking("test_score"), joint.ranking("epochs")
    columns = [Column("optimizer", "name"), *(Column(problem.name) for problem in joint.problems)]
    if quality is not None and epochs is not None:
        columns += [Column(f"mean rank\n{joint.measure}"), Column("mean rank\nepochs")]
    rows = []
    for label in order(joint):
        cells = [label, *(_cell(problem, label) for problem in joint.problems)]
        for ranking in joint.rankings:
            rank = ranking.mean_ranks.get(label)
            cells.append("-" if rank is None else f"{rank:.1f}")
        rows.append(cells)
    caption = (
        f"test {joint.measure} in percent, mean ±95% confidence interval\n*: the leader, or not told apart from it"
    )
    if quality is not None and epochs is not None:
        differences = f"{quality.critical_difference:.1f}"
        caption += f"\nNemenyi's critical difference of mean ranks: {differences}"
    return Table(columns, rows, f"{len(joint.problems)} problems", caption)


def order(joint: Joint) -> list[str]:
    """Return all contenders, sorted by mean rank in test score; those without a rank come last."""
    ranking = joint.ranking("test_score")
    ranked = joint.contenders if ranking is None else sorted(joint.contenders, key=ranking.mean_ranks.__getitem__)
    return [*ranked, *joint.excluded]


def _cell(problem: JointProblem, label: str) -> str:
    standing = problem.standings.get(label)
    if standing is None:
        return "-"
    if not standing.finished:
        return "diverged"
    return " ±".join(Interval(*standing.test_score).percents()) + ("*" if standing.leading else " ")
