"""The methods paragraph: what was run, how often, and how it was tested, from a comparison's summary alone.

A sentence is a text, or a list of texts and citations. So the same paragraph is printed as text and in LaTeX, and no
label or name of a column can be mistaken for a citation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from ..common.calls import call
from ..common.errors import InputError, concise, exact
from ..datasets import is_table
from ..report.formats import plural, significant
from ..study.latex import escaped
from ..study.results import LEVEL, Joint, Row, Summary
from ..study.summary import in_percent, listed
from .references import OPTIMIZERS, short

ENGINES = {"numpy": "plain NumPy", "compiled": "the compiled engine", "cupy": "a GPU (CuPy)"}
CONVENTIONS = {"torch": "PyTorch's convention", "keras": "Keras's convention"}


class Work(NamedTuple):
    """The citation of a work, by its key."""

    key: str


Part = str | Work
Sentence = str | list[Part]


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
    printed = _latex if latex else _plain
    sentences = ("".join(map(printed, _parts(sentence))) for sentence in _sentences(summaries, joint))
    return " ".join(sentences) + "\n"


def cited(summaries: Mapping[str, Summary], joint: Joint | None = None) -> list[str]:
    """Return the keys of the works that the paragraph cites, each once."""
    found = (part for sentence in _sentences(summaries, joint) for part in _parts(sentence))
    return list(dict.fromkeys(part.key for part in found if isinstance(part, Work)))


def _parts(sentence: Sentence) -> list[Part]:
    return [sentence] if isinstance(sentence, str) else sentence


def _plain(part: Part) -> str:
    return f" ({short(part.key)})" if isinstance(part, Work) else part


def _latex(part: Part) -> str:
    return f"~\\cite{{{part.key}}}" if isinstance(part, Work) else escaped(part)


def _series(items: Iterable[Iterable[Part]], comma: str, last: str) -> list[Part]:
    """Join items by ``comma``, but the last two by ``last``.

    >>> _series([["a"], ["b", Work("holm1979")], ["c"]], ", ", " and ")
    ['a', ', ', 'b', Work(key='holm1979'), ' and ', 'c']
    """
    *first, end = items
    parts = [part for item in first for part in (*item, comma)]
    return [*parts[:-1], *([last] if first else []), *end]


def _sentences(summaries: Mapping[str, Summary], joint: Joint | None) -> list[Sentence]:
    every = list(summaries.values())
    try:
        said = [*_contenders(summaries), *_problems(summaries), *_replicates(summaries), *_trials(summaries)]
        said += [*_choice(every), *_speed(summaries), *_tests(every)]
        return [*said, *_ranks(joint), *_software(summaries)]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"the study is not described as optimlab compare describes one: {error!r:.200}") from None


def _contenders(summaries: Mapping[str, Summary]) -> list[Sentence]:
    every = [(name, one) for name, summary in summaries.items() for one in summary.study["optimizers"]]
    found: dict[tuple[str, tuple[Part, ...]], list[str]] = {}
    for name, one in every:
        found.setdefault((one["label"], _contender(one)), []).append(name)
    described = [
        parts if len(names) == len(summaries) else (*parts, f" (on {listed(names)} only)")
        for (_, parts), names in found.items()
    ]
    labels = {label for label, _ in found}
    start = "We trained " if len(labels) == 1 else f"We compared {plural(len(labels), 'optimizer')}: "
    said: list[Sentence] = [[start, *_series(described, "; ", "; and "), "."]]
    if any(one["convention"] == "textbook" and "rule" not in one for _, one in every):
        said.append("Where no convention is named, an update rule is that of the work cited.")
    if any("schedule" in one or "scheduled" in one for _, one in every):
        said += [
            "The tuned learning rate is the peak of its schedule, if there is one.",
            "Lengths within a schedule are shares of the run, or epochs from one upwards; ends are shares of the peak.",
        ]
    return said


def _contender(described: Mapping[str, Any]) -> tuple[Part, ...]:
    """Describe a contender: its label, what the label does not say, and the work that its rule comes from."""
    name, label = described["optimizer"], described["label"]
    plain = f"{name} (a rule of our own)" if "rule" in described else name
    said = [f"{key} = {exact(value)}" for key, value in described["hyperparameters"].items()]
    said += [f"{key} searched in {space}" for key, space in described.get("searched", {}).items()]
    followed = {"the learning rate": described.get("schedule"), **described.get("scheduled", {})}
    said += [f"{key} following {_schedule(shape)}" for key, shape in followed.items() if shape]
    convention = CONVENTIONS.get(described["convention"])
    more = (f" in {convention}" if convention else "") + (f" with {listed(said)}" if said else "")
    work = [Work(OPTIMIZERS[name])] if "rule" not in described and name in OPTIMIZERS else []
    usual = label == name or label.startswith(f"{name} (")
    head = plain if usual else f"\N{LEFT DOUBLE QUOTATION MARK}{label}\N{RIGHT DOUBLE QUOTATION MARK}, that is {plain}"
    return head, *work, more


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
    columns = [*problem["leave_out"], *summary.unused]
    kept = f"{listed(columns)} {'was' if len(columns) == 1 else 'were'}" if columns else ""
    return [*said, *([f"Of the other columns, {kept} not used."] if columns else [])]


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


def _replicates(summaries: Mapping[str, Summary]) -> list[Sentence]:
    every = list(summaries.values())
    counts = _range(summary.replicates for summary in every)
    shared = [summary for summary in every if summary.test_rows]
    own = "its own training and validation rows" if len(shared) == len(every) else "its own split of the rows"
    own += ", stratified by class" if all(summary.score == "accuracy" for summary in every) else ""
    seeds = _by_problem({name: str(summary.study["seed"]) for name, summary in summaries.items()}, len(every))
    said: list[Sentence] = [
        [f"The whole procedure was repeated in {counts} replicates", Work("bouthillier2021"), "."],
        f"Each replicate drew {own}; its own seed of initial weights, order of rows and dropout; and its own shift of "
        "the grid of learning rates. These are the same for all optimizers, so differences are paired "
        f"(seed of the study: {seeds}).",
    ]
    if shared:
        rows = _by_problem({name: f"{s.test_rows:,}" for name, s in summaries.items() if s.test_rows}, len(every))
        said.append(f"All replicates share one set of test rows: {rows}.")
    for where, (summary, *_) in _alike(
        summaries, lambda s: s.replicates > s.planned_replicates and s.planned_replicates
    ):
        if summary.replicates > summary.planned_replicates:
            said.append(f"The study{where} was planned with {summary.planned_replicates:,} replicates and grew.")
    return said


def _range(numbers: Iterable[int]) -> str:
    """Return ``5``, or ``5 to 7`` if the numbers differ."""
    found = sorted(set(numbers))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _alike(summaries: Mapping[str, Summary], setting: Callable[[Summary], Any]) -> list[tuple[str, list[Summary]]]:
    """Group the problems by a setting. Each group has a phrase that names its problems, empty if there is one group."""
    groups: dict[Any, list[str]] = {}
    for name, summary in summaries.items():
        groups.setdefault(setting(summary), []).append(name)
    return [
        (
            f" on problem{'s' * (len(names) > 1)} {listed(names)}" if len(groups) > 1 else "",
            [summaries[name] for name in names],
        )
        for names in groups.values()
    ]


def _trials(summaries: Mapping[str, Summary]) -> list[str]:
    """Describe the budget: how many runs each optimizer had, and at which settings."""
    every = list(summaries.values())
    grids = _alike(summaries, lambda summary: (*summary.study["rates"], summary.study["extensions"]))
    said = [_grid(where, alike) for where, alike in grids]
    if any("searched" in one for summary in every for one in summary.study["optimizers"]):
        said.append(
            "The values of a searched hyperparameter were tried at every learning rate; optimizers with fewer settings "
            "had a finer grid of rates instead."
        )
    for where, (summary, *_) in _alike(summaries, lambda summary: summary.study["defaults"]):
        if summary.study["defaults"]:
            said.append(f"Each optimizer{where} also ran once at its default learning rate, untuned.")
    for where, (summary, *_) in _alike(summaries, lambda summary: summary.study["search"]):
        if summary.study["search"]:
            settings = plural(summary.study["search"], "random setting")
            said.append(f"Apart from that, each replicate{where} tried {settings} of all searchable hyperparameters.")
    return [*said, _runs([row for summary in every for row in summary.rows])]


def _grid(where: str, alike: list[Summary]) -> str:
    """Describe the learning rates of problems that have the same."""
    rates, extensions = alike[0].study["rates"], alike[0].study["extensions"]
    rows = [row for summary in alike for row in summary.tuned]
    tuned = _range(number for row in rows for number in row.trials)
    spaced = (
        f" from {concise(rates[0])} to {concise(rates[-1])}, evenly spaced on a logarithmic scale"
        if _even(rates)
        else f", spaced as {listed(map(concise, rates))}"
    )
    grew = f"; the grid grew by up to {plural(extensions, 'rate')} where the best lay at its edge" if extensions else ""
    number = _range(len(row.grid) for row in rows)
    return (
        f"In each replicate{where}, each optimizer was tuned in {tuned} runs at {number} learning rates{spaced}{grew}."
    )


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


def _tests(every: list[Summary]) -> list[Sentence]:
    said: list[Sentence] = [
        "We report means over replicates with 95% confidence intervals by Student's t, those of epochs on the logit "
        "scale between their bounds."
    ]
    families = [summary.verdict.family for summary in every if summary.verdict.family]
    if not families:
        return said
    each = "" if len(every) == 1 else " of each problem"
    with_variances: list[Part] = [", with moderated variances of the tuned optimizers", Work("smyth2004")]
    said += [
        [
            "Optimizers are compared by paired t-tests over the replicates, for epochs by those of their logarithms",
            *(with_variances if any(len(summary.tuned) > 2 for summary in every) else []),
            ".",
        ],
        [
            f"Differences are called significant at {100 * LEVEL:g}% after Holm's correction",
            Work("holm1979"),
            f" for all {_range(families)} tests{each}.",
        ],
    ]
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


def _ranks(joint: Joint | None) -> list[Sentence]:
    if joint is None or not joint.rankings:
        return []
    first = joint.rankings[0]
    number, problems = len(first.mean_ranks), len(first.problems)
    test = f"the sign test on {problems} problems"
    if number > 2:
        critical = f"{first.critical_difference:.2f} for {number} optimizers on {problems} problems"
        test = f"Friedman's test and Nemenyi's critical difference ({critical})"
    return [
        f"Over the problems, optimizers are ranked by mean test {joint.measure} and by mean epochs to the target.",
        *(f"{label} is not ranked: {why}." for label, why in joint.excluded.items()),
        [
            f"The mean ranks are compared by {test}, at {100 * first.level:g}% for each of the two rankings",
            Work("demsar2006"),
            ".",
        ],
    ]


def _software(summaries: Mapping[str, Summary]) -> list[Sentence]:
    return [[f"All runs{where} were made ", *_made_by(alike[0]), "."] for where, alike in _alike(summaries, _made_by)]


def _made_by(summary: Summary) -> tuple[Part, ...]:
    """Describe the software and the machine."""
    versions, host = summary.versions, summary.host
    engine = ENGINES.get(summary.study["problem"]["backend"], summary.study["problem"]["backend"])
    names = {"optimlab": "optimlab", "numpy": "NumPy", "python": "Python"}
    works = {"optimlab": [Work("optimlab")], "numpy": [Work("harris2020")]}
    used: list[list[Part]] = [
        [f"{names[key]} {versions[key]}", *works.get(key, [])] for key in names if key in versions
    ]
    tools = ["with ", *_series(used, ", ", " and "), ", "] if used else []
    cores = f" ({plural(host['cores'], 'core')})" if host.get("cores") else ""
    return *tools, f"by {engine}", f", on {host['processor']}{cores}" if "processor" in host else ""
