"""The reproduction of a study: its command, a study file if options are not enough, and all settings."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, fields
from itertools import takewhile
from typing import Any, NamedTuple

from .. import backends
from ..common.errors import InputError, concise
from ..study import PROBLEMS, Problem, Study
from ..study.plan import FULL
from ..study.problem import LATER, LIMITS, QUICK, QUICK_ROWS, usual_problem
from ..study.results import Summary
from ..study.summary import listed
from ..study.usual_target import suited

FILE = "study.toml"
RULES = "FILE.py"
"""The file of your own rules, in place of its path."""
Settings = list[tuple[str, list[tuple[str, str]]]]


class Recipe(NamedTuple):
    """Command, the content of the study file that it names, if any, and a ``note`` on what neither says."""

    command: str
    file: str
    note: str


def recipe(study: dict[str, Any]) -> Recipe:
    """Make the recipe from the ``study`` of a :class:`~optimlab.study.results.Summary`.

    Raises
    ------
    InputError: it is not the description of a study.
    """
    try:
        return _recipe(study)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the study is not described as optimlab compare describes one: {error!r:.200}") from None


def _recipe(study: dict[str, Any]) -> Recipe:
    problem = {f.name: {**LATER, **study["problem"]}[f.name] for f in fields(Problem)}
    own = dict.fromkeys(c["optimizer"] for c in study["optimizers"] if "rule" in c)
    notes = []
    if own:
        are, their = ("is your own rule", "its") if len(own) == 1 else ("are your own rules", "their")
        notes.append(f"{listed(own)} {are}: give the path of {their} file in place of {RULES}.")
    options = _options(study, problem)
    if options is not None:
        return Recipe(" ".join(["optimlab compare", *options]), "", " ".join(notes))
    if not _has_name(problem["dataset"]):
        notes.append(f"{problem['dataset']} is a file of your own: give its path.")
    return Recipe(f"optimlab compare --study {FILE}", _toml(study, problem), " ".join(notes))


def _options(study: dict[str, Any], problem: dict[str, Any]) -> list[str] | None:
    """Return the options that make this study from the defaults; None if something in it has no option."""
    named = [_option(c) for c in study["optimizers"]]
    if not _has_name(problem["dataset"]) or None in named:
        return None
    usual = usual_problem(problem["dataset"])
    base = Study(suited(usual), **FULL) if study["search"] else Study(suited(usual.quick()))
    start = _plain({f.name: getattr(base, f.name) for f in fields(base) if f.name not in ("problem", "optimizers")})
    resolved = {"backend": backends.get(base.problem.backend).name, "loss": base.problem.loss_function.name}
    default = _plain({**asdict(base.problem), **resolved})
    options = [f"--dataset {problem['dataset']}"] if problem["dataset"] != "digits" else []
    options += ["--full"] if study["search"] else []
    for name in ("epochs", "target", "batch_size", "hidden"):
        if problem[name] != default[name]:
            options.append(f"--{name.replace('_', '-')} {_value(problem[name])}")
            default[name] = problem[name]
    if named != list(base.optimizers):
        options.append(f"--optimizers {_value(named)}")
    if study["rates"] != start["rates"]:
        options.append(f"--rates {','.join(map(repr, study['rates']))}")
        start["rates"] = study["rates"]
    for name in ("replicates", "seed", "label"):
        if study.get(name, "") != start[name]:
            options.append(f"--{name} {_value(study[name])}")
            start[name] = study[name]
    said = all(study.get(name, value) == value for name, value in start.items())
    return options if said and problem == default else None


def _has_name(dataset: str) -> bool:
    """Return True if the data are found by name; a description has the name of a file, but not its path."""
    return dataset in PROBLEMS or dataset.startswith("sklearn:")


def _value(value: Any) -> str:
    """Return the value of an option, quoted for a shell."""
    return shlex.quote(",".join(map(str, value)) if isinstance(value, list) else str(value))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as JSON gives them back: lists for tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _option(contender: dict[str, Any]) -> str | None:
    """Return a contender as ``--optimizers`` takes it; None if it does not."""
    name, convention = contender["optimizer"], contender["convention"]
    plain, label = _name(contender), name
    if convention != "textbook":
        plain, label = f"{name}:{convention}", f"{name} ({convention})"
    more = contender["hyperparameters"] or any(name in contender for name in ("searched", "scheduled", "schedule"))
    return plain if contender["label"] == label and not more else None


def _name(contender: dict[str, Any]) -> str:
    """Return the optimizer's name; for your own rule with a file, whose path the description does not have."""
    return f"{RULES}:{contender['optimizer']}" if "rule" in contender else str(contender["optimizer"])


def _toml(study: dict[str, Any], problem: dict[str, Any]) -> str:
    """Return the study file. JSON's texts, numbers, lists and truth values are TOML's too.

    TOML has no null. A problem without limits on its rows is made from the full protocol's, which has none either.
    """
    named = list(takewhile(lambda option: option is not None, map(_option, study["optimizers"])))
    quick = QUICK.get(problem["dataset"], QUICK_ROWS)
    whole = any(problem[limit] is None and limit in quick for limit in LIMITS)
    lines = [_line("protocol", "full" if whole or study["search"] else "quick")]
    lines += [_line("optimizers", named)] if named else []
    lines += [_line(k, v) for k, v in study.items() if k not in ("version", "problem", "optimizers")]
    lines += ["", "[problem]", *(_line(k, v) for k, v in problem.items() if v is not None)]
    for c in study["optimizers"][len(named) :]:
        lists = {k: _listed(v) for k, v in c.get("searched", {}).items()}
        values = {**c["hyperparameters"], **lists, **c.get("scheduled", {})}
        inside = ", ".join(_line(k, v) for k, v in values.items())
        convention = [] if "rule" in c else ["convention"]
        given = [key for key in (*convention, "label", "schedule") if key in c]
        lines += ["", "[[contenders]]", _line("name", _name(c)), *(_line(key, c[key]) for key in given)]
        lines += [f"hyperparameters = {{ {inside} }}"] if inside else []
    return "\n".join(lines) + "\n"


def _listed(space: str) -> Any:
    """Return a list of values as TOML writes it; a range stays a text."""
    return json.loads(f"[{space[1:-1]}]") if space.startswith("{") else space


def _line(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"


def settings(summary: Summary) -> Settings:
    """Return the versions and settings that affect the results, as headings with names and values."""
    study = summary.study
    protocol = {name: value for name, value in study.items() if name not in ("version", "problem", "optimizers")}
    parts = {
        "Problem": study["problem"],
        "Protocol": {"protocol": summary.protocol, **protocol},
        "Versions": summary.versions,
        "Machine": summary.host,
    }
    return [
        (heading, [(name.replace("_", " "), _shown(_all(name, value))) for name, value in part.items()])
        for heading, part in parts.items()
    ]


def _all(name: str, value: Any) -> Any:
    """Return the value, or "all" for a limit on the rows that is None."""
    return "all" if name in LIMITS and value is None else value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, float):
        return concise(value, 6)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value)
