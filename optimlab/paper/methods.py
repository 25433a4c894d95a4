"""The methods paragraph: what was run, how often, and how it was tested, from a comparison's summary alone.

A sentence is a list of plain texts and citations, so that the same paragraph is printed as text and in LaTeX.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from ..common.calls import call
from ..common.errors import InputError, concise, exact
from ..datasets import is_table
from ..report.formats import plural, significant
from ..study.latex import escaped
from ..study.results import LEVEL, Joint, Row, Summary
from ..study.summary import in_percent, listed
from .references import OPTIMIZERS, short

CITED = re.compile(r" ?\[@([\w,]+)\]")
ENGINES = {"numpy": "plain NumPy", "compiled": "the compiled engine", "cupy": "a GPU (CuPy)"}
CONVENTIONS = {"torch": "PyTorch's convention", "keras": "Keras's convention"}


def methods(summaries: Mapping[str, Summary], joint: Joint | None = None, *, latex: bool = False) -> str:
    """Write the methods paragraph of one problem, or of several problems with their joint answer.

    Parameters
    ----------
    summaries: the summary of each problem, by the problem's name.
    joint: the joint answer of several problems.
    latex: write LaTeX, with ``\\cite`` for each work; otherwise plain text, with authors and years in brackets.

    Raises
    ------
    InputError: a summary does not describe its study as :func:`optimlab.study.compare` does.
    """
    text = " ".join(_sentences(summaries, joint))
    if latex:
        parts = CITED.split(text)
        return "".join(f"~\\cite{{{part}}}" if k % 2 else escaped(part) for k, part in enumerate(parts)) + "\n"
    return CITED.sub(lambda found: f" ({'; '.join(map(short, found[1].split(',')))})", text) + "\n"


def cited(summaries: Mapping[str, Summary], joint: Joint | None = None) -> list[str]:
    """Return the keys of the works that the paragraph cites, each once."""
    found = CITED.findall(" ".join(_sentences(summaries, joint)))
    return list(dict.fromkeys(key for keys in found for key in keys.split(",")))


def _sentences(summaries: Mapping[str, Summary], joint: Joint | None) -> list[str]:
    every = list(summaries.values())
    try:
        said = [*_contenders(every[0]), *_problems(summaries), *_replicates(summaries), *_trials(every)]
        said += [*_choice(every), *_speed(summaries), *_tests(every)]
        return [*said, *_ranks(joint), *_software(every[0])]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"the study is not described as optimlab compare describes one: {error!r:.200}") from None


def _contenders(summary: Summary) -> list[str]:
    described = [_contender(one) for one in summary.study["optimizers"]]
    number = plural(len(described), "optimizer")
    *others, last = described
    said = [
        f"We compared {number}: {'; '.join(others)}; and {last}."
        if len(described) > 1
        else f"We trained {described[0]}."
    ]
    if any(one["convention"] == "textbook" and "rule" not in one for one in summary.study["optimizers"]):
        said.append("Where no convention is named, an update rule is that of the work cited.")
    if any("schedule" in one or "scheduled" in one for one in summary.study["optimizers"]):
        said += [
            "The tuned learning rate is the peak of its schedule, if there is one.",
            "Lengths within a schedule are shares of the run, or epochs from one upwards; ends are shares of the peak.",
        ]
    return said


def _contender(described: Mapping[str, Any]) -> str:
    """Describe a contender: its label, what the label does not say, and the work that its rule comes from."""
    name, label = described["optimizer"], described["label"]
    plain = f"{name} (a rule of our own)" if "rule" in described else name
    said = [f"{key} = {exact(value)}" for key, value in described["hyperparameters"].items()]
    said += [f"{key} searched in {space}" for key, space in described.get("searched", {}).items()]
    followed = {"the learning rate": described.get("schedule"), **described.get("scheduled", {})}
    said += [f"{key} following {_schedule(shape)}" for key, shape in followed.items() if shape]
    convention = CONVENTIONS.get(described["convention"])
    more = (f" in {convention}" if convention else "") + (f" with {listed(said)}" if said else "")
    work = f" [@{OPTIMIZERS[name]}]" if "rule" not in described and name in OPTIMIZERS else ""
    usual = label == name or label.startswith(f"{name} (")
    head = plain if usual else f"\N{LEFT DOUBLE QUOTATION MARK}{label}\N{RIGHT DOUBLE QUOTATION MARK}, that is {plain}"
    return f"{head}{work}{more}"


def _schedule(shape: str) -> str:
    """Describe a schedule in words.

    >>> _schedule("cosine(0.9, warmup=0.1)"), _schedule("one_cycle")
    ('a cosine schedule (peak = 0.9, warmup = 0.1)', 'a one-cycle schedule')
    """
    name, options = call(shape)
    told = ", ".join(f"{key or 'peak'} = {value}" for key, value in options)
    return f"a {name.replace('_', '-')} schedule{f' ({told})' if told else ''}"


def _problems(summaries: Mapping[str, Summary]) -> list[str]:
    if len(summaries) == 1:
        (summary,) = summaries.values()
        data = [f"The data were {_data(summary)}.", *_table(summary)]
        return [*data, f"The model was {_model(summary)}.", *_left_out(summary)]
    said = [f"There were {len(summaries)} problems."]
    for name, summary in summaries.items():
        said += [f"Problem {name} was {_data(summary)} and {_model(summary)}."]
        said += [*_table(summary), *_left_out(summary)]
    return said


def _data(summary: Summary) -> str:
    """Describe the data set with the sizes of its splits."""
    problem = summary.study["problem"]
    said = str(problem["dataset"])
    if summary.sizes is not None:
        train, validation, test = (f"{rows:,}" for rows in summary.sizes)
        said += f" ({train} training, {validation} validation and {test} test rows)"
    return said + (f", of which the column {problem['target_column']} is predicted" if problem["target_column"] else "")


def _table(summary: Summary) -> list[str]:
    """Describe how the columns of a table were used."""
    problem = summary.study["problem"]
    if not is_table(problem["dataset"]):
        return []
    numbers = "Numbers and the target" if summary.score == "r2" else "Numbers"
    said = [f"{numbers} were standardized by the training rows of each replicate; categories were one-hot encoded."]
    missing = {
        "mean": "Missing numbers were replaced by the mean of the training rows; missing texts are a category.",
        "drop": "Rows with missing values were left out.",
    }
    said += [missing[problem["missing"]]] if problem["missing"] in missing else []
    columns = [*problem["leave_out"], *_unused(summary.decided)]
    kept = f"{listed(columns)} {'was' if len(columns) == 1 else 'were'}" if columns else ""
    return [*said, *([f"Of the other columns, {kept} not used."] if columns else [])]


def _unused(notes: Iterable[str]) -> list[str]:
    """Return the columns that were left out when the table was read.

    >>> _unused(["columns are separated by semicolons", "column 'no' is left out: an identifier"])
    ['no']
    """
    found = (re.match(r"column '(.+)' is left out: ", note) for note in notes)
    return [column[1] for column in found if column]


def _model(summary: Summary) -> str:
    """Describe the network and the training that all optimizers share on this problem."""
    problem = summary.study["problem"]
    sizes = [f"{units:,}" for units in problem["hidden"]]
    layers = (
        f"hidden layers of {listed(sizes)} units" if len(sizes) > 1 else f"a hidden layer of {''.join(sizes)} units"
    )
    network = f"a multilayer perceptron with {layers} ({problem['activation']})" if sizes else "a linear model"
    more = ["batch normalization"] if problem["batch_norm"] else []
    more += [f"a dropout rate of {exact(problem['dropout'])}"] if problem["dropout"] else []
    network += f", with {listed(more)}" if more else ""
    start = [f"initial weights by {problem['initializer']}"]
    start += [f"biases by {problem['bias_initializer']}"] if "bias_initializer" in problem else []
    start += [f"the {_words(problem['loss'])} as loss"] if problem.get("loss") else []
    trained = f"trained for {plural(summary.epochs, 'epoch')} with batches of {problem['batch_size']:,}"
    return f"{network}, {listed(start)}, {trained} in {problem['dtype']}"


def _words(loss: str) -> str:
    return loss.replace("_", " ").replace("cross entropy", "cross-entropy")


def _left_out(summary: Summary) -> list[str]:
    return [f"Left out were {listed(summary.left_out)}."] if summary.left_out else []


def _replicates(summaries: Mapping[str, Summary]) -> list[str]:
    every = list(summaries.values())
    counts = _range(summary.replicates for summary in every)
    shared = [summary for summary in every if summary.test_rows]
    own = "its own training and validation rows" if len(shared) == len(every) else "its own split of the rows"
    own += ", stratified by class" if all(summary.score == "accuracy" for summary in every) else ""
    said = [
        f"The whole procedure was repeated in {counts} replicates [@bouthillier2021].",
        f"Each replicate drew {own}; its own seed of initial weights, order of rows and dropout; and its own shift of "
        "the grid of learning rates. These are the same for all optimizers, so differences are paired "
        f"(seed of the study: {every[0].study['seed']}).",
    ]
    if shared:
        rows = _by_problem({name: f"{s.test_rows:,}" for name, s in summaries.items() if s.test_rows}, len(every))
        said.append(f"All replicates share one set of test rows: {rows}.")
    grown = {_range([s.planned_replicates]): s for s in every if s.replicates > s.planned_replicates}
    said += [f"The study was planned with {planned} replicates and grew." for planned in grown]
    return said


def _range(numbers: Iterable[int]) -> str:
    """Return ``5``, or ``5 to 7`` if the numbers differ."""
    found = sorted(set(numbers))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _trials(every: list[Summary]) -> list[str]:
    """Describe the budget: how many runs each optimizer had, and at which settings."""
    study, rows = every[0].study, [row for summary in every for row in summary.rows]
    rates = study["rates"]
    tuned = _range(number for row in rows if row.kind == "tuned" for number in row.trials)
    number = _range(len(row.grid) for row in rows if row.kind == "tuned")
    said = [
        f"In each replicate, each optimizer was tuned in {tuned} runs at {number} learning rates from "
        f"{concise(rates[0])} to {concise(rates[-1])}, evenly spaced on a logarithmic scale"
        if _even(rates)
        else f"In each replicate, each optimizer was tuned in {tuned} runs at {number} learning rates, "
        f"spaced as {listed(map(concise, rates))}",
    ]
    said[0] += (
        f"; the grid grew by up to {plural(study['extensions'], 'rate')} where the best lay at its edge."
        if study["extensions"]
        else "."
    )
    if any("searched" in one for one in study["optimizers"]):
        said.append(
            "The values of a searched hyperparameter were tried at every learning rate; optimizers with fewer settings "
            "had a finer grid of rates instead."
        )
    if study["defaults"]:
        said.append("Each optimizer also ran once at its default learning rate, untuned.")
    if study["search"]:
        settings = plural(study["search"], "random setting")
        said.append(f"Apart from that, each replicate tried {settings} of all searchable hyperparameters.")
    return [*said, _runs(rows)]


def _even(rates: list[float]) -> bool:
    """Return True for a geometric sequence."""
    steps = [high / low for low, high in pairwise(rates)]
    return max(steps) < 1.001 * min(steps)


def _runs(rows: list[Row]) -> str:
    """Say how many runs there were, and how many of them ended early."""
    counts = {row.label: sum(len(one.grid) for one in row.replicates) for row in rows}
    runs = sum(sum(len(one.grid) for one in row.replicates) for row in rows)
    diverged = sum(round(row.diverged_share * counts[row.label]) for row in rows)
    failed = sum(row.failed for row in rows)
    ended = [f"{diverged:,} diverged"] * (diverged > 0) + [f"{failed:,} failed with an error"] * (failed > 0)
    return f"These are {runs:,} training runs{f', of which {listed(ended)}' if ended else ''}."


def _choice(every: list[Summary]) -> list[str]:
    measure = _measure(every)
    return [
        f"In each replicate, the run with the best validation {measure} counts, with its test {measure} at the epoch "
        "of that best; test rows choose nothing.",
        f"A diverged run counts as {measure} 0.",
    ]


def _by_problem(values: Mapping[str, str], problems: int) -> str:
    """List the values of all problems; name the problems if there are several and they differ.

    >>> _by_problem({"a": "95%", "b": "95%", "c": "90%"}, 3), _by_problem({"a": "95%", "b": "95%"}, 2)
    ('95% (a and b) and 90% (c)', '95%')
    """
    named: dict[str, list[str]] = {}
    for name, value in values.items():
        named.setdefault(value, []).append(name)
    if len(named) == 1 and len(values) == problems:
        return next(iter(named))
    return listed(f"{value} ({listed(names)})" for value, names in named.items())


def _speed(summaries: Mapping[str, Summary]) -> list[str]:
    every = list(summaries.values())
    goal = _by_problem({name: in_percent(summary.target.value) for name, summary in summaries.items()}, len(every))
    misses = _by_problem({name: f"{summary.epochs + 1:,}" for name, summary in summaries.items()}, len(every))
    said = [
        f"Speed is the number of epochs to a validation {_measure(every)} of {goal}, by the fastest run of each "
        f"replicate; a replicate that never reaches it counts as {misses} epochs."
    ]
    changed = {
        name: in_percent(s.target.planned) for name, s in summaries.items() if s.target.value != s.target.planned
    }
    if not changed:
        targets = len({summary.target.value for summary in every})
        return [*said, f"{'This target was' if targets == 1 else 'These targets were'} fixed before the first run."]
    planned = _by_problem(changed, len(every))
    return [*said, f"The target was {planned} when the first run was made, so what depends on it is exploratory."]


def _tests(every: list[Summary]) -> list[str]:
    said = [
        "We report means over replicates with 95% confidence intervals by Student's t, those of epochs on the logit "
        "scale between their bounds."
    ]
    families = [summary.verdict.family for summary in every if summary.verdict.family]
    if not families:
        return said
    each = "" if len(every) == 1 else " of each problem"
    moderated = any(len(summary.tuned) > 2 for summary in every)
    said.append(
        "Optimizers are compared by paired t-tests over the replicates, for epochs by those of their logarithms"
        f"{', with moderated variances of the tuned optimizers [@smyth2004]' if moderated else ''}. "
        f"Differences are called significant at {100 * LEVEL:g}% after Holm's correction [@holm1979] for all "
        f"{_range(families)} tests{each}."
    )
    detectable = [s.verdict.detectable for s in every if s.verdict.detectable]
    if len(every) == 1 and detectable:
        points = significant(100 * detectable[0])
        said.append(
            f"With a power of 80%, these tests detect a difference of {points} points in test {every[0].measure}."
        )
    return said


def _measure(every: list[Summary]) -> str:
    """Return the name of the score, or all names if the problems have different scores."""
    return " or ".join(dict.fromkeys(summary.measure for summary in every))


def _ranks(joint: Joint | None) -> list[str]:
    if joint is None or not joint.rankings:
        return []
    first = joint.rankings[0]
    number, problems = len(first.mean_ranks), len(first.problems)
    test = f"the sign test on {problems} problems"
    if number > 2:
        critical = f"{first.critical_difference:.2f} for {number} optimizers on {problems} problems"
        test = f"Friedman's test and Nemenyi's critical difference ({critical})"
    return [
        f"Over the problems, optimizers are ranked by mean test {joint.measure} and by mean epochs to the target. The "
        f"mean ranks are compared by {test}, at {100 * first.level:g}% for each of the two rankings [@demsar2006]."
    ]


def _software(summary: Summary) -> list[str]:
    versions, host = summary.versions, summary.host
    engine = ENGINES.get(summary.study["problem"]["backend"], summary.study["problem"]["backend"])
    names = {"optimlab": "optimlab", "numpy": "NumPy", "python": "Python"}
    works = {"optimlab": " [@optimlab]", "numpy": " [@harris2020]"}
    used = [f"{names[key]} {versions[key]}{works.get(key, '')}" for key in names if key in versions]
    said = [f"All runs were made with {listed(used)}, by {engine}"] if used else [f"All runs were made by {engine}"]
    if "processor" in host:
        cores = f" ({plural(host['cores'], 'core')})" if host.get("cores") else ""
        said[0] += f", on {host['processor']}{cores}"
    return [f"{said[0]}."]
