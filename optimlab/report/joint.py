"""The page of several problems: their joint answer, with a link to the report of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from ..common.files import write_atomically
from ..study.compare import Comparison
from ..study.joint_table import order
from ..study.results import Joint, JointProblem, Measure, Ranking, builtins
from ..study.summary import in_percent, listed
from .figures import Axis, Panel, Series, View
from .figures import Path as Line
from .formats import percent, significant, with_half
from .page import FILE, date, rendered
from .table import Cell

PLACES = {"test_score": "ranks", "epochs": "ranks", "ranks": "ranks", "profile": "profile", "runs": "table"}
"""Where on the page the evidence of a sentence is."""
NAMES = {"ranks": "mean ranks", "profile": "performance profile", "table": "problem by problem"}


def write_joint_report(joint: Joint, comparisons: Mapping[str, Comparison], folder: Path) -> Path:
    """Write ``report.html`` into the folder above those of the problems, and return its path.

    ``comparisons`` are those of the problems, by name; their reports lie in the folders of these names.

    Raises
    ------
    InputError: the page cannot be written; a page that is there stays as it was.
    """
    path = folder / FILE
    write_atomically(path, rendered("joint.html.j2", **_parts(joint, comparisons)))
    return path


class Bars(NamedTuple):
    """The mean ranks of one measure on one axis, each with a bar of one critical difference around it."""

    ticks: list[tuple[float, str]]
    marks: dict[str, tuple[float, float, float]]


def _parts(joint: Joint, comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    names = order(joint)
    panels, behind = _profile_panels(joint, names)
    for key, panel in enumerate(panels):
        panel.key = key
    return {
        "joint": joint,
        "made": date(joint.made),
        "names": names,
        "facts": [_fact(ranking, joint.measure) for ranking in joint.rankings],
        "sentences": [(sentence.text, PLACES[sentence.about]) for sentence in joint.sentences],
        "evidence": NAMES,
        "accuracies": _cells(joint, names, "test_score"),
        "epochs": _cells(joint, names, "epochs"),
        "goals": {problem.name: in_percent(problem.target) for problem in joint.problems},
        "bars": [(ranking, _bars(ranking)) for ranking in joint.rankings],
        "verdicts": {name: comparison.verdict for name, comparison in comparisons.items()},
        "panels": panels,
        "behind": {"profile": behind},
        "numbers": builtins(joint),
        "points": {"names": names, "panels": [[asdict(series) for series in panel.series] for panel in panels]},
    }


def _fact(ranking: Ranking, measure: str) -> tuple[str, str, str]:
    """Return a heading, an answer, and the evidence in short."""
    what = f"test {measure}" if ranking.measure == "test_score" else "epochs to the target"
    heading = f"Best mean rank by {what}"
    count, best = len(ranking.mean_ranks), ranking.best
    behind = {worse for better, worse in ranking.apart if better == best[0]}
    basis = f"{min(ranking.mean_ranks.values()):.1f} of {count}; "
    if len(best) == count:
        return heading, "none", "all have the same mean rank"
    if not behind:
        return heading, listed(best), f"{basis}no other can be told from it"
    return heading, listed(best), f"{basis}{len(behind)} of {count - 1} others are told from it"


def _cells(joint: Joint, names: list[str], measure: Measure) -> dict[tuple[str, str], Cell]:
    """Return the cell of each contender on each problem."""
    return {(name, problem.name): _cell(problem, name, measure) for name in names for problem in joint.problems}


def _cell(problem: JointProblem, name: str, measure: Measure) -> Cell:
    standing = problem.standings.get(name)
    if standing is None:
        return Cell("–", None, "failed" if name in problem.failed else "not compared")
    if measure == "test_score":
        if not standing.finished:
            return Cell("–", None, "diverged")
        return Cell(with_half(standing.test_score), standing.test_score.mean, "leader" * standing.leading)
    if not standing.hits:
        return Cell("missed", None)
    text = f"{standing.epochs.mean:.1f} {standing.epochs.ends()}"
    whole = standing.hits == problem.replicates
    return Cell(text if whole else f"≥ {text}", standing.epochs.mean, "leader" * standing.fast)


def _bars(ranking: Ranking) -> Bars:
    """Return bars that overlap unless the mean ranks differ by the critical difference or more."""
    half, means = ranking.critical_difference / 2, ranking.mean_ranks
    axis = Axis(min(means.values()) - half, max(means.values()) + half)
    whole = [value for value in axis.ticks(6) if value == int(value) and 1 <= value <= len(means)]
    marks = {name: (axis.place(mean - half), axis.place(mean), axis.place(mean + half)) for name, mean in means.items()}
    return Bars([(axis.place(value), f"{value:g}") for value in whole], marks)


def _profile_panels(joint: Joint, names: list[str]) -> tuple[list[Panel], dict[str, list[Line]]]:
    """Return Dolan and Moré's performance profile: a panel for each contender, the others in grey behind it."""
    stairs = {name: joint.profile[name] for name in names if name in joint.profile}
    x = Axis(1.0, 1.05 * max([2.0, *(factor for steps in stairs.values() for factor, _ in steps)]), log=True)
    y = Axis(0.0, 1.04)
    ticks = [(x.place(value), f"{value:g}×") for value in x.ticks()]
    drawn, panels = {}, []
    for name, steps in stairs.items():
        row, at = names.index(name), [(x.place(factor), y.place(share)) for factor, share in steps]
        first, *rest = at
        drawn[row] = f"M{first[0]:g} {100 - first[1]:g}" + "".join(f"H{a:g}V{100 - b:g}" for a, b in rest) + "H100"
        panels.append(
            Panel(
                title=name,
                note=f"fewest on {percent(steps[0][1], 0)}%",
                height=130,
                y_ticks=[(y.place(share), f"{percent(share, 0)}%") for share in (0.0, 0.5, 1.0)],
                views=[View("factors", ticks, [Line("line", drawn[row], row)])],
                series=[
                    Series(
                        row,
                        {"factors": [a for a, _ in at]},
                        [b for _, b in at],
                        [f"at most {significant(f, 3)} times the fewest: {percent(share, 0)}%" for f, share in steps],
                    )
                ],
                row=row,
            )
        )
    return panels, {"factors": [Line("other", d, row) for row, d in drawn.items()]}
