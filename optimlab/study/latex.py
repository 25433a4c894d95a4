"""The table of a comparison in LaTeX, for a paper. It needs the package booktabs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from .joint_table import order
from .results import LEVEL, Interval, Joint, Kind, Row, Summary
from .summary import in_percent
from .table import ranked, rate

_SPECIAL = {
    **{letter: f"\\{letter}" for letter in "_%$#&{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "`": "\\textasciigrave{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\char34{}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{MINUS SIGN}": "\\ensuremath{-}",
    "±": "\\ensuremath{\\pm}",
    "²": "\\ensuremath{^2}",
    "×": "\\ensuremath{\\times}",
    "≥": "\\ensuremath{\\geq}",
    "≤": "\\ensuremath{\\leq}",
    "µ": "\\ensuremath{\\mu}",
    "…": "\\dots{}",
    "–": "\\textendash{}",
    "—": "\\textemdash{}",
}
LONGEST = 32
"""Number of letters of a name that fit on one line."""
_LATIN = 0x17F
"""The last letter that pdfLaTeX can typeset without a command."""
_TITLES: dict[Kind, str] = {
    "tuned": "At the best learning rate of each replicate",
    "default": "Untuned, at the default learning rate",
    "searched": "At the best of the random settings of all searchable hyperparameters",
}


def latex(summary: Summary) -> str:
    """Return the table of a comparison: a LaTeX ``table*`` with rates, epochs to the target and test scores.

    In each column the best, and those that cannot be told apart from it, are bold.
    """
    verdict = summary.verdict
    lines = []
    kinds = list(dict.fromkeys(row.kind for row in summary.rows))
    for kind in kinds:
        if len(kinds) > 1:
            lines.append(f"\\multicolumn{{6}}{{l}}{{\\emph{{{_TITLES[kind]}}}}} \\\\")
        lines += [_row(row, summary) for row in ranked(row for row in summary.rows if row.kind == kind)]
        lines.append("\\midrule")
    if summary.baseline is not None:
        share = _percent(summary.baseline.test_score)
        lines += [_line([f"always {escaped(summary.baseline.name)}", "--", "--", share, "--", "--"]), "\\midrule"]
    goal = escaped(in_percent(summary.target.value))
    head = [
        "Optimizer",
        "Learning rate",
        f"Epochs to {goal}",
        f"Test {escaped(summary.measure)}, \\%",
        "Difference, points",
        "$p$",
    ]
    drawn = "training and validation rows" if summary.test_rows else "rows"
    caption = [
        f"{summary.heading}, {summary.protocol} protocol: {summary.replicates} replicates of the whole procedure, each "
        f"with its own {drawn}, shift of the grid, and seed.",
        "Mean ± half the 95% confidence interval over replicates; of epochs [low, high]; learning rate: median.",
        f"Bold: the best tuned optimizer, and those that cannot be told apart from it at {100 * LEVEL:g}% after Holm's "
        f"correction for a family of {verdict.family} tests.",
        f"Difference: from {verdict.leader} if tuned, else from the same optimizer tuned; p after Holm's correction."
        if verdict.leader
        else "",
        f"A miss of the target counts as {summary.epochs + 1} epochs; ≥: a lower bound, with the number of hits.",
        f"Left out: {'; '.join(summary.left_out)}." if summary.left_out else "",
    ]
    return _table(_name_column(row.contender for row in summary.rows) + "rrrrr", head, lines[:-1], caption)


def joint_latex(joint: Joint) -> str:
    """Return the table of several problems: a LaTeX ``table*`` of test scores and mean ranks.

    For each problem the leader, and those that cannot be told apart from it, are bold.
    """
    head = ["Optimizer", *(escaped(problem.name) for problem in joint.problems)]
    head += [f"Rank, {escaped(joint.measure)}", "Rank, epochs"] if joint.rankings else []
    lines = []
    for label in order(joint):
        cells = [escaped(label)]
        for problem in joint.problems:
            standing = problem.standings.get(label)
            if standing is None:
                cells.append("failed" if label in problem.failed else "--")
            else:
                cells.append(
                    _bold(_percent(standing.test_score), standing.leading) if standing.finished else "diverged"
                )
        cells += [
            _bold(f"{ranking.mean_ranks[label]:.1f}", label in ranking.best) if label in ranking.mean_ranks else "--"
            for ranking in joint.rankings
        ]
        lines.append(_line(cells))
    replicates = sorted({problem.replicates for problem in joint.problems})
    caption = [
        f"Test {joint.measure} in percent on {len(joint.problems)} problems: mean ± half the 95% confidence interval "
        f"over {' to '.join(map(str, dict.fromkeys((replicates[0], replicates[-1]))))} replicates of the whole "
        "procedure.",
        f"Bold: the best, and those that cannot be told apart from it at {100 * LEVEL:g}% after Holm's correction for "
        "the family of tests of that problem.",
    ]
    for ranking, what in zip(joint.rankings, (f"test {joint.measure}", "epochs to the target"), strict=False):
        test = "Friedman's test" if len(joint.contenders) > 2 else "sign test"
        caption.append(f"Mean ranks by {what}: {test}, p = {_p(ranking.p)}.")
    if joint.rankings:
        first = joint.rankings[0]
        caption.append(
            f"Nemenyi's critical difference at {100 * first.level:g}% for each ranking is "
            f"{first.critical_difference:.1f}."
        )
    return _table(_name_column(order(joint)) + "r" * (len(head) - 1), head, lines, caption)


def _name_column(names: Iterable[str]) -> str:
    """Return the type of the column of names: as wide as the longest, or with line breaks."""
    return "l" if max(map(len, names), default=0) <= LONGEST else "p{0.3\\textwidth}"


def _row(row: Row, summary: Summary) -> str:
    verdict, tuned = summary.verdict, row.kind == "tuned"
    cells = [escaped(row.contender), escaped(rate(row.lr))]
    if row.hits:
        text = f"{row.epochs.mean:.1f} {row.epochs.ends()}"
        level = tuned and row.label in (verdict.fastest, *verdict.fast_with)
        whole = row.hits == len(row.replicates)
        cells.append(_bold(text if whole else f"$\\geq$ {text}", level))
        cells[-1] += "" if whole else f" ({row.hits}/{len(row.replicates)})"
    else:
        cells.append("missed")
    if not row.finished:
        return _line([*cells, "failed" if row.failed else "diverged", "--", "--"])
    leading = tuned and row.label in (verdict.leader, *verdict.level_with)
    return _line([*cells, _bold(_percent(row.test_score), leading), *_difference(row, summary)])


def _difference(row: Row, summary: Summary) -> tuple[str, str]:
    """Return the difference from the leader, or from the tuned row, and its p-value after Holm's correction."""
    other = summary.verdict.leader if row.kind == "tuned" else row.contender
    pair = None if other is None else summary.pair(row.label, other, "test_score")
    if pair is None:
        return "--", "--"
    mean = pair.difference.mean if pair.first == row.label else -pair.difference.mean
    shown = f"{100 * mean:+.2f}" if abs(mean) >= 5e-5 else "0.00"
    return f"${shown}$ $\\pm$ {100 * pair.difference.half:.2f}", _p(pair.adjusted, math=True)


def _p(p: float, *, math: bool = False) -> str:
    if p >= 0.001:
        return f"{p:.3f}"
    return "$<$ 0.001" if math else "below 0.001"


def _percent(interval: Interval) -> str:
    return " $\\pm$ ".join(interval.percents())


def _bold(text: str, bold: bool) -> str:
    return f"\\textbf{{\\boldmath {text}}}" if bold else text


def _line(cells: Iterable[str]) -> str:
    line = " & ".join(cells) + " \\\\"
    return f"{{}}{line}" if line.startswith(("[", "*")) else line  # LaTeX reads these as an option of the line before


def _table(columns: str, head: Sequence[str], lines: Sequence[str], caption: Sequence[str]) -> str:
    text = escaped(" ".join(sentence for sentence in caption if sentence))
    source = [
        "% \\usepackage{booktabs}",
        "\\begin{table*}",
        "\\centering",
        f"\\caption{{{text}}}",
        "\\small",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _line(head),
        "\\midrule",
        *lines,
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table*}",
    ]
    if any(ord(letter) > _LATIN for line in source for letter in line):
        source.insert(1, "% contains letters unknown to pdfLaTeX: use LuaLaTeX or XeLaTeX, with a font that has them")
    return "\n".join(source) + "\n"


def escaped(text: str) -> str:
    r"""Escape a text for LaTeX; Greek letters become mathematical symbols.

    >>> print(escaped("my_rule {50%} β"))
    my\_rule \{50\%\} \ensuremath{\beta}
    """
    letters = "".join(_SPECIAL.get(letter) or _greek(letter) or letter for letter in text)
    return re.sub("-(?=-)", "-{}", letters)  # LaTeX joins two into a dash


def _greek(letter: str) -> str:
    """Return the command for a Greek letter, or the Latin letter that looks the same; empty for other letters."""
    words = unicodedata.name(letter, "").split()
    if words[:1] != ["GREEK"] or words[2:3] != ["LETTER"] or len(words) != 4:
        return ""
    name = words[3].lower().replace("lamda", "lambda")
    if words[1] == "SMALL":
        return "o" if name == "omicron" else f"\\ensuremath{{\\{name}}}"
    if name in _CAPITALS:
        return f"\\ensuremath{{\\{name.capitalize()}}}"
    return _ALIKE.get(name, "")


_CAPITALS = ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega")
_ALIKE = {
    **{"alpha": "A", "beta": "B", "epsilon": "E", "zeta": "Z", "eta": "H", "iota": "I", "kappa": "K"},
    **{"mu": "M", "nu": "N", "omicron": "O", "rho": "P", "tau": "T", "chi": "X"},
}
