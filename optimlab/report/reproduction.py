"""How a study is run again: the command, the study file where options alone cannot say it, and what else it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import takewhile
from typing import Any, NamedTuple

from ..errors import concise
from ..study import PROBLEMS, Study
from ..study.study_file import FULL

FILE = "study.toml"
Settings = list[tuple[str, list[tuple[str, str]]]]


class Recipe(NamedTuple):
    """A command, and the content of the study file that it names, if it names one; ``note`` is what neither says."""

    command: str
    file: str
    note: str


def recipe(study: dict[str, Any]) -> Recipe:
    """From the ``study`` of a ``summary.json``."""
    problem = {name: value for name, value in study["problem"].items() if name != "data"}
    own = [c["optimizer"] for c in study["optimizers"] if "rule" in c]
    rules = "".join(f" --rule FILE.py:{name}" for name in own)
    notes = [f"{' and '.join(own)}: your own, from the file that holds it."] if own else []
    options = _options(study, problem)
    if options is not None:
        return Recipe(" ".join(["optimlab compare", *options]) + rules, "", " ".join(notes))
    if problem["dataset"] not in PROBLEMS:
        notes.append(f"{problem['dataset']} is a file of your own: give its path.")
    return Recipe(f"optimlab compare --study {FILE}{rules}", _toml(study, problem), " ".join(notes))


def _options(study: dict[str, Any], problem: dict[str, Any]) -> list[str] | None:
    """The options that make this study from the defaults; None where there are none for something."""
    usual = PROBLEMS.get(problem["dataset"])
    named = [_option(c) for c in study["optimizers"] if "rule" not in c]
    if usual is None or None in named or not named:
        return None
    default = json.loads(json.dumps(asdict(usual)))
    options = [f"--dataset {problem['dataset']}"] if problem["dataset"] != "digits" else []
    for name in ("epochs", "target"):
        if problem[name] != default[name]:
            options.append(f"--{name} {problem[name]}")
            default[name] = problem[name]
    base = Study(usual)
    start: dict[str, Any] = {name: getattr(base, name) for name in study if name not in ("problem", "optimizers")}
    if study["search"]:
        options.append("--full")
        start |= FULL
    if named != list(base.optimizers):
        options.append(f"--optimizers {','.join(map(str, named))}")
    if study["rates"] != list(start["rates"]):
        options.append(f"--rates {','.join(map(repr, study['rates']))}")
        start["rates"] = study["rates"]
    seeds = study["confirmation_seeds"]
    if seeds != list(start["confirmation_seeds"]) and seeds == list(range(100, 100 + len(seeds))):
        options.append(f"--seeds {len(seeds)}")
        start["confirmation_seeds"] = seeds
    said = all(study[name] == (list(v) if isinstance(v, tuple) else v) for name, v in start.items())
    return options if said and problem == default else None


def _option(contender: dict[str, Any]) -> str | None:
    """A contender as ``--optimizers`` takes it, if it does."""
    name, convention = contender["optimizer"], contender["convention"]
    plain, label = (name, name) if convention == "textbook" else (f"{name}:{convention}", f"{name} ({convention})")
    return plain if contender["label"] == label and not contender["hyperparameters"] else None


def _toml(study: dict[str, Any], problem: dict[str, Any]) -> str:
    """The study file; JSON's texts, numbers, lists and truth values are TOML's too."""
    contenders = [c for c in study["optimizers"] if "rule" not in c]
    named = list(takewhile(lambda option: option is not None, map(_option, contenders)))
    lines = [_line("optimizers", named)] if named else []
    lines += [_line(k, v) for k, v in study.items() if k not in ("problem", "optimizers")]
    lines += ["", "[problem]", *(_line(k, v) for k, v in problem.items())]
    for c in contenders[len(named) :]:
        fixed = ", ".join(_line(k, v) for k, v in c["hyperparameters"].items())
        lines += ["", "[[contenders]]", *(_line(k, c[v]) for k, v in _KEYS.items())]
        lines += [f"hyperparameters = {{ {fixed} }}"] if fixed else []
    return "\n".join(lines) + "\n"


_KEYS = {"name": "optimizer", "convention": "convention", "label": "label"}


def _line(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"


def settings(summary: dict[str, Any]) -> Settings:
    """What the results depend on, as headings with names and values."""
    study = summary["study"]
    protocol = {name: value for name, value in study.items() if name not in ("problem", "optimizers")}
    parts = {
        "Problem": study["problem"],
        "Protocol": {"protocol": summary["protocol"], **protocol},
        "Versions": summary["versions"],
        "Machine": summary["host"],
    }
    return [
        (heading, [(name.replace("_", " "), _shown(value)) for name, value in part.items()])
        for heading, part in parts.items()
    ]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, float):
        return concise(value, 6)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value)
