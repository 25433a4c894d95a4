"""Read a study from a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .. import datasets
from ..common.errors import InputError, unknown
from ..common.files import check_folder_name
from .contender import Contender, named
from .plan import FULL, QUICK_RATES, Study
from .problem import Problem, usual_problem
from .usual_target import suited

Made = TypeVar("Made")

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_LISTS = ("hidden", "rates")
_TEXTS = ("leave_out",)

_CONTENDER: dict[str, tuple[Any, str]] = {
    "hyperparameters": (Mapping, "a table such as {beta = 0.9}"),
    "schedule": (str | Mapping, 'a text such as "cosine", or a table such as {name = "cosine", warmup = 0.1}'),
}

_BESIDE = ("joint.json", "report.html", "profile.png", "profile.svg")
"""Files that a comparison writes next to the folders of its problems."""

Place = tuple[str, int]
"""A table of the file: its name, and the number of tables of that name before it."""
TOP: Place = ("", 0)


def read_study(path: str | Path, *, full: bool = False, **options: Any) -> dict[str, Study]:
    """Read the studies of a TOML file: one for ``[problem]``, or one for each of ``[[problems]]``.

    ::

        protocol = "quick"                          # or "full"
        optimizers = ["sgd", "adam", "adam:torch"]
        rates = [0.001, 0.01, 0.1, 1.0]
        replicates = 10                             # of the whole procedure, each with its own split

        [problem]
        dataset = "digits"                          # or the path of an .npz, .csv or .parquet, from the file's folder
        hidden = [64]
        epochs = 20
        target = 0.95

        [[contenders]]                              # optimizers that need more settings than a name
        name = "adamw"                              # or "my.py:rule", from the file's folder
        label = "adamw, cosine"
        schedule = { name = "cosine", warmup = 0.1 }
        hyperparameters = { beta2 = 0.9999, weight_decay = [0, 0.01, 0.1] }

    The other keys are those of :class:`Study` and :class:`Problem`, with the same defaults. Keys missing in
    ``[problem]`` are those of the data set's usual problem, which has fewer rows and epochs in the quick protocol.
    Without a target, your own data get that of :func:`~optimlab.study.usual_target.usual_target`. ``[[problems]]`` are
    variants of ``[problem]``: each adds its keys to those of ``[problem]``. Each has a ``name``, which becomes the name
    of its folder. Rates, replicates and ``search`` in the file take precedence over those of the protocol.

    Parameters
    ----------
    path: the file.
    full: True for the full protocol, whatever the file says.
    options: settings of the problem, such as ``dataset`` or ``target``, that take precedence over the file.

    Returns
    -------
    dict: the studies by the name of their problem.

    Raises
    ------
    InputError: the file cannot be read, is not TOML, or has a key or value that is not accepted; the message has the
        line and the key.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "study.toml"
    >>> _ = path.write_text('optimizers = ["sgd", "adam"]\\n\\n[problem]\\nepochs = 5\\n')
    >>> study = read_study(path)["digits"]
    >>> study.optimizers, study.problem.epochs
    ((Contender(...), Contender(...)), 5)
    >>> read_study(path, dataset="sklearn:wine")["sklearn:wine"].problem.target
    0.93
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read the study file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    reader = _Reader(path, text, options)
    protocol = content.pop("protocol", "quick")
    reader.expect(protocol in ("quick", "full"), "protocol", '"quick" or "full"')
    reader.quick = protocol == "quick" and not full
    shared = reader.settings(content.pop("problem", {}), ("problem", 0))
    problem = reader.problem({}, shared, ("problem", 0))
    variants = content.pop("problems", [])
    study = reader.study(content, problem, dict(FULL) if full or protocol == "full" else {"rates": QUICK_RATES})
    if not variants:
        return {problem.name: study}
    reader.expect(isinstance(variants, list) and all(isinstance(v, dict) for v in variants), "problems", "[[problems]]")
    studies: dict[str, Study] = {}
    for k, table in enumerate(variants):
        name = reader.folder(table.pop("name", ""), studies, ("problems", k))
        own = reader.settings(table, ("problems", k))
        studies[name] = replace(study, problem=reader.problem(shared, own, ("problems", k)))
    return studies


def _ignoring(parse: Callable[[str], Contender], name: str, _: dict[str, Any]) -> Contender:
    return parse(name)


class _Reader:
    """A reader that turns tables into plans; each error names the line."""

    def __init__(self, path: Path, text: str, options: Mapping[str, Any]) -> None:
        self.path, self.lines, self.quick, self.options = path, text.splitlines(), False, options
        self.places: list[Place] = []
        """The table to which each line belongs; a header belongs to the table that it begins."""
        place, counted = TOP, Counter[str]()
        for line in self.lines:
            if header := re.fullmatch(r"""\s*(\[\[?)\s*["']?([\w-]+)["']?[^\[\]=]*\]\]?\s*(#.*)?""", line):
                name = header[2]
                counted[name] += header[1] == "[["
                place = name, max(0, counted[name] - 1)
            self.places.append(place)

    def at(self, key: str, place: Place = TOP) -> str:
        """Return the file with the line of ``key``, or of its table's header if the key is not found."""
        begins, within = rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", rf"""(?<![\w.-])["']?{re.escape(key)}["']?\s*="""
        table = re.escape(place[0])
        ways = [
            (place, re.compile(begins).match),
            (place, re.compile(within).search),
            (TOP, re.compile(rf"\s*{table}\b.*\b{re.escape(key)}\s*=").match),  # dotted keys, inline tables
            (place, re.compile(rf"\s*\[.*\b{re.escape(key)}\b.*\]").match),
            (place, re.compile(r"\s*\[").match),
            (TOP, re.compile(rf"\s*{table}\s*=").match),
        ]
        numbers = (
            number
            for where, matches in ways
            for number, (line, place_of_line) in enumerate(zip(self.lines, self.places, strict=True), 1)
            if place_of_line == where and matches(line)
        )
        line = next(numbers, None)
        return f"{self.path}, line {line}, key {key!r}" if line else f"{self.path}, key {key!r}"

    def expect(self, condition: Any, key: str, what: str, place: Place = TOP) -> None:
        if not condition:
            raise InputError(f"{self.at(key, place)}: expected {what}")

    def folder(self, name: Any, taken: Iterable[str], place: Place) -> str:
        """Return the checked name of one of ``[[problems]]``, which becomes a folder beside the others."""
        self.expect(
            isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name),
            "name",
            "a unique name for each of [[problems]], of letters, digits, dots and dashes, that begins with a letter or "
            f"digit; got {name!r}",
            place,
        )
        try:
            check_folder_name(name, [*taken, *_BESIDE])
        except InputError as error:
            raise InputError(f"{self.at('name', place)}: {error}") from None
        return str(name)

    def settings(self, table: Any, place: Place) -> dict[str, Any]:
        """Return the settings of a problem, checked one by one."""
        self.expect(isinstance(table, dict), place[0], "a table of the problem's settings")
        known = {f.name: f for f in fields(Problem)}
        values = {k: self.value(k, v, known, place) for k, v in table.items()}
        if datasets.is_file(values.get("dataset", "")):
            values["dataset"] = str((self.path.parent / values["dataset"]).resolve())
        return values

    def problem(self, shared: Mapping[str, Any], own: dict[str, Any], place: Place) -> Problem:
        """Return the problem with its own settings and those that it shares; what neither sets is the data set's."""
        given = {**shared, **own, **self.options}
        with self.naming_data(place):
            usual = usual_problem(given.get("dataset", "digits"))
        start = usual.quick() if self.quick else usual
        problem = self.make(lambda some: replace(start, **{**shared, **some, **self.options}), own, place, "dataset")
        with self.naming_data(place):
            return suited(problem, given)

    @contextmanager
    def naming_data(self, place: Place) -> Iterator[None]:
        """Name the line of the data set in an error, unless an option names the data set."""
        try:
            yield
        except InputError as error:
            raise error if "dataset" in self.options else InputError(f"{self.at('dataset', place)}: {error}") from None

    def study(self, table: dict[str, Any], problem: Problem, base: dict[str, Any]) -> Study:
        tables = table.pop("contenders", [])
        known = {f.name: f for f in fields(Study) if f.name != "problem"}
        named = table.pop("optimizers", [] if tables else None)
        values = {k: self.value(k, v, known, TOP) for k, v in table.items()}
        if named is not None:
            self.expect(
                isinstance(named, list) and all(isinstance(n, str) for n in named),
                "optimizers",
                'names such as ["adam"]',
            )
            self.expect(isinstance(tables, list), "contenders", "[[contenders]], one table each")
            parse = partial(Contender.parse, folder=self.path.parent)
            entries = [self.make(partial(_ignoring, parse, name), {}, TOP, "optimizers") for name in named]
            more = [self.contender(one, ("contenders", k)) for k, one in enumerate(tables)]
            values["optimizers"] = (*entries, *more)
        return self.make(lambda some: Study(problem=problem, **{**base, **some}), values, TOP, "optimizers")

    def contender(self, table: Any, place: Place) -> Contender:
        accepted = ("name", "convention", "hyperparameters", "label", "schedule")
        expected = "a name for each of [[contenders]]"
        self.expect(isinstance(table, dict) and "name" in table, "contenders", expected, place)
        for key, value in table.items():
            if key not in accepted:
                raise InputError(f"{self.at(key, place)}: {unknown('key', key, accepted)}")
            kind, what = _CONTENDER.get(key, (str, "a text"))
            self.expect(isinstance(value, kind), key, what, place)

        def build(some: dict[str, Any]) -> Contender:
            chosen = named(table["name"], some.get("convention", "textbook"), self.path.parent)
            if "rule" in chosen and "convention" in some:
                raise InputError(f"{table['name']} is a rule of your own, so it has no convention")
            return Contender(**chosen, **{k: v for k, v in some.items() if k not in ("name", "convention")})

        return self.make(build, table, place, "name")

    def value(self, key: str, value: Any, known: Mapping[str, Any], place: Place) -> Any:
        """Return a value, checked and converted to the type of the field."""
        if key not in known:
            raise InputError(f"{self.at(key, place)}: {unknown('key', key, known)}")
        if key in _LISTS:
            self.expect(
                isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value),
                key,
                f"a list of numbers, got {value!r}",
                place,
            )
            return tuple(map(float, value)) if key == "rates" else tuple(value)
        if key in _TEXTS:
            texts = isinstance(value, list) and all(isinstance(v, str) for v in value)
            self.expect(texts, key, f"a list of texts, got {value!r}", place)
            return tuple(value)
        kind = int if known[key].default is None else type(known[key].default)  # limits of the rows
        if kind is float and type(value) is int:
            return float(value)
        self.expect(type(value) is kind, key, f"{_KINDS[kind]}, got {value!r}", place)
        return value

    def make(self, build: Callable[[dict[str, Any]], Made], values: dict[str, Any], place: Place, key: str) -> Made:
        """Return ``build(values)``; an error names the line of the value that causes it.

        This is a value that causes the same error on its own, or one without which there is no error.
        """

        def error_of(some: dict[str, Any]) -> str | None:
            try:
                build(some)
            except InputError as error:
                return str(error)
            return None

        try:
            return build(values)
        except InputError as error:
            guilty = [k for k, value in values.items() if error_of({k: value}) == str(error)]
            guilty += [k for k in values if error_of({n: v for n, v in values.items() if n != k}) is None]
            raise InputError(f"{self.at([*guilty, key][0], place)}: {error}") from None
