"""Read a study from a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError, lookup, unknown
from .plan import FULL_RATES, PROBLEMS, QUICK_RATES, Contender, Problem, Study

FULL = {"rates": FULL_RATES, "search": len(FULL_RATES), "confirmation_seeds": tuple(range(100, 120))}
"""What the full protocol changes of a :class:`Study`."""

Made = TypeVar("Made")

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_LISTS = ("hidden", "rates", "tuning_seeds", "confirmation_seeds")


def read_study(path: str | Path) -> dict[str, Study]:
    """The studies of a file, by the name of their problem: one for ``[problem]``, one for each of ``[[problems]]``.

    ::

        protocol = "quick"                          # or "full"
        optimizers = ["sgd", "adam", "adam:torch"]
        rates = [0.001, 0.01, 0.1, 1.0]
        confirmation_seeds = 10                     # how many, or which: [100, 101, 102]

        [problem]
        dataset = "digits"                          # or the path of an .npz, from the file's folder
        hidden = [64]
        epochs = 20
        target = 0.95

        [[contenders]]                              # optimizers of which more is to be said
        name = "adam"
        label = "adam, long memory"
        hyperparameters = { beta2 = 0.9999 }

    The other keys are those of :class:`Study` and :class:`Problem`; what is left out has their defaults, and
    ``[problem]`` those of the data set's own problem. ``[[problems]]``, each with a ``name``, are variants of
    ``[problem]``.

    Raises
    ------
    InputError: no such file, not TOML, or a key or value that is not accepted: with the line and the key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read the study file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    reader = _Reader(path, text)
    problem = reader.problem(content.pop("problem", {}), "problem")
    variants = content.pop("problems", [])
    study = reader.study(content, problem)
    if not variants:
        return {problem.name: study}
    reader.expect(isinstance(variants, list) and all(isinstance(v, dict) for v in variants), "problems", "[[problems]]")
    studies: dict[str, Study] = {}
    for table in variants:
        name = table.pop("name", "")
        reader.expect(
            isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) and name not in studies,
            "name",
            "a name of its own for each of [[problems]], of letters, digits, dots and dashes",
        )
        studies[name] = replace(study, problem=reader.problem(table, "problems", problem))
    return studies


class _Reader:
    """Turns tables into plans; each error names the line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines = path, text.splitlines()

    def at(self, key: str) -> str:
        """The file, with the line where ``key`` stands."""
        pattern = re.compile(rf"""\s*(\[+\s*)?["']?{re.escape(key)}["']?\s*[=\].]""")
        line = next((k for k, line in enumerate(self.lines, 1) if pattern.match(line)), None)
        return f"{self.path}, line {line}, key {key!r}" if line else f"{self.path}, key {key!r}"

    def expect(self, condition: Any, key: str, what: str) -> None:
        if not condition:
            raise InputError(f"{self.at(key)}: expected {what}")

    def problem(self, table: Any, section: str, base: Problem | None = None) -> Problem:
        self.expect(isinstance(table, dict), section, "a table of the problem's settings")
        known = {f.name: f for f in fields(Problem)}
        values = {k: self.value(k, v, known) for k, v in table.items()}
        dataset = values.get("dataset", base.dataset if base else "digits")
        if isinstance(dataset, str) and dataset.endswith(".npz"):
            if "dataset" in values:
                values["dataset"] = dataset = str((self.path.parent / dataset).resolve())
            self.expect(
                "target" in values or base, "dataset", "a target (a validation accuracy) beside a data set of your own"
            )
            start = base or Problem()
        else:
            try:
                start = base or lookup("data set", dataset, PROBLEMS)
            except InputError as error:
                raise InputError(f"{self.at('dataset')}: {error}") from None
        return self.make("problem", lambda: replace(start, **values), values)

    def study(self, table: dict[str, Any], problem: Problem) -> Study:
        protocol = table.pop("protocol", "quick")
        self.expect(protocol in ("quick", "full"), "protocol", '"quick" or "full"')
        own = table.pop("contenders", [])
        known = {f.name: f for f in fields(Study) if f.name != "problem"}
        values: dict[str, Any] = dict(FULL) if protocol == "full" else {"rates": QUICK_RATES}
        named = table.pop("optimizers", [] if own else None)
        seeds = table.get("confirmation_seeds")
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            self.expect(seeds >= 2, "confirmation_seeds", "at least 2, for an interval")
            table["confirmation_seeds"] = list(range(100, 100 + seeds))
        values |= {k: self.value(k, v, known) for k, v in table.items()}
        if named is not None:
            self.expect(
                isinstance(named, list) and all(isinstance(n, str) for n in named),
                "optimizers",
                'names such as ["adam"]',
            )
            self.expect(isinstance(own, list), "contenders", "[[contenders]], one table each")
            entries = [self.make("optimizers", partial(Contender.parse, n), ()) for n in named]
            values["optimizers"] = (*entries, *map(self.contender, own))
        return self.make("optimizers", lambda: Study(problem=problem, **values), values)

    def contender(self, table: Any) -> Contender:
        accepted = ("name", "convention", "hyperparameters", "label")
        self.expect(isinstance(table, dict) and "name" in table, "contenders", "a name for each of [[contenders]]")
        for key in table:
            if key not in accepted:
                raise InputError(f"{self.at(key)}: {unknown('key', key, accepted)}")
        self.expect(
            isinstance(table.get("hyperparameters", {}), Mapping), "hyperparameters", "a table such as {beta = 0.9}"
        )
        return self.make("name", lambda: Contender(**table), table)

    def value(self, key: str, value: Any, known: Mapping[str, Any]) -> Any:
        """A value of the kind that the plan's field has."""
        if key not in known:
            raise InputError(f"{self.at(key)}: {unknown('key', key, known)}")
        if key in _LISTS:
            self.expect(
                isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value),
                key,
                f"a list of numbers, got {value!r}",
            )
            return tuple(map(float, value)) if key == "rates" else tuple(value)
        kind = type(known[key].default)
        if kind is float and type(value) is int:
            return float(value)
        self.expect(type(value) is kind, key, f"{_KINDS[kind]}, got {value!r}")
        return value

    def make(self, key: str, make: Callable[[], Made], values: Iterable[Any]) -> Made:
        """``make()``; an error of the plan is told with the line of the key it speaks of, where that can be seen."""
        try:
            return make()
        except InputError as error:
            spoken = next(
                (k for k in values if isinstance(k, str) and re.search(rf"\b{re.escape(k)}\b", str(error))), key
            )
            raise InputError(f"{self.at(spoken)}: {error}") from None
