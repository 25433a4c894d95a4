"""The JSON Schema of a study file, with which editors complete keys and mark mistakes.

Keys, types, defaults and descriptions come from the dataclasses. Accepted names and bounds are found by trying values
on the dataclasses, so they always agree with :func:`~optimlab.study.study_file.read_study`.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, fields
from functools import partial
from typing import Any, Union, get_args, get_origin, get_type_hints

from .. import backends
from ..common.errors import InputError
from ..datasets import BUNDLED
from ..schedules import SHAPES
from .contender import Contender
from .plan import Study
from .problem import PROBLEMS, Problem

Schema = dict[str, Any]

TITLE = "Study file of optimlab"
DRAFT = "http://json-schema.org/draft-07/schema#"
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def schema() -> Schema:
    """Return the schema of a study file (JSON Schema, draft 7).

    >>> found = schema()["properties"]["problem"]["properties"]["batch_size"]
    >>> found["type"], found["minimum"], found["description"]
    ('integer', 1, 'number of rows per batch.')
    """
    problem = _table(Problem, Problem)
    variant = {"name": {"type": "string", "description": "name of the problem and of its folder."}, **problem}
    study = _table(Study, Study, leave=("problem", "optimizers"))
    contender = _table(Contender, lambda **given: Contender(**{"name": "adam", **given}), leave=("rule", "file"))
    names = contender["name"].pop("enum")
    contender["name"] |= _open(names)
    shape = {**_object({"name": {"enum": list(SHAPES)}}, required=["name"]), "additionalProperties": True}
    del contender["schedule"]["type"]
    contender["schedule"]["anyOf"] = [*_open(SHAPES)["anyOf"], shape]
    optimizers: Schema = {"description": "names such as `adam` or `adam:torch`; by default the nine classic rules."}
    optimizers |= {"type": "array", "items": _open(_with_conventions(names))}
    problem["dataset"] |= _open([*PROBLEMS, *BUNDLED.values()])
    problem["backend"]["enum"] = ["auto", *backends.names(everywhere=True)]
    return {
        "$schema": DRAFT,
        "title": TITLE,
        **_object(
            {
                "protocol": {
                    "enum": ["quick", "full"],
                    "default": "quick",
                    "description": "`quick` takes two minutes at most. `full` uses all rows and searches all "
                    "hyperparameters.",
                },
                "optimizers": optimizers,
                **study,
                "problem": {**_object(problem), "description": "the data set and what all contenders share."},
                "problems": {
                    "type": "array",
                    "items": _object(variant, required=["name"]),
                    "description": "variants of `[problem]`, each with a `name`. They are compared one after another "
                    "and get a joint answer.",
                },
                "contenders": {
                    "type": "array",
                    "items": _object(contender, required=["name"]),
                    "description": "optimizers that need more settings than a name.",
                },
            }
        ),
    }


def _open(names: Iterable[str]) -> Schema:
    """Return the schema of any text, with some known ones that an editor can propose."""
    return {"anyOf": [{"enum": list(names)}, {"type": "string"}]}


def _object(properties: Schema, required: Sequence[str] = ()) -> Schema:
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def _table(kind: Any, build: Callable[..., Any], leave: Sequence[str] = ()) -> Schema:
    """Return the properties of a table: one for each field of a dataclass, except those in ``leave``.

    ``build`` makes the dataclass from some of its fields, and raises an InputError for invalid ones.
    """
    hints, texts = get_type_hints(kind), described(kind)
    entries = {}
    for field in fields(kind):
        if field.name not in leave:
            entry = _entry(hints[field.name], partial(_error, build, field.name))
            entries[field.name] = {**entry, **_default(kind, field), "description": texts[field.name]}
    return entries


def _error(build: Callable[..., Any], name: str, value: Any) -> InputError | None:
    """Return the error that this value raises; None if it is valid."""
    try:
        build(**{name: value})
    except InputError as error:
        return error
    return None


def _entry(hint: Any, error_of: Callable[[Any], InputError | None]) -> Schema:
    """Return the schema of a field's values, from its type and the errors of some values."""
    plain = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) in (Union, types.UnionType) and len(plain) == 1:  # TOML has no null
        return _entry(plain[0], error_of)
    if get_origin(hint) is tuple:
        return _array(plain[0], error_of)
    if hint is str:
        error = error_of("?")
        if error is None or not error.known:
            return {"type": "string"}
        return {"enum": [*(["auto"] if not error_of("auto") and "auto" not in error.known else []), *error.known]}
    if hint in _TYPES:
        return {"type": _TYPES[hint], **_bounds(hint, error_of)}
    return {"type": "object"}


def _array(item: Any, error_of: Callable[[Any], InputError | None]) -> Schema:
    if item is str:
        return {"type": "array", "items": {"type": "string"}}
    values = [1, 2, 4] if item is int else [0.125, 0.25, 0.5]
    least = next(n for n in range(len(values) + 1) if not error_of(values[:n]))
    bounds = _bounds(item, lambda value: error_of([value, *values[1:]]), upper=False)
    schema = {"type": "array", "items": {"type": _TYPES[item], **bounds}}
    return {**schema, "minItems": least} if least else schema


def _bounds(kind: type, error_of: Callable[[Any], InputError | None], *, upper: bool = True) -> Schema:
    """Return the bounds of the accepted numbers, if they are small: 0, 1 or 2 for whole numbers, 0 and 1 for others."""
    if kind is bool:
        return {}
    bounds: Schema = {}
    if error_of(kind(-1)):
        if kind is int:
            bounds["minimum"] = next(value for value in (0, 1, 2) if not error_of(value))
        else:
            bounds["exclusiveMinimum" if error_of(0.0) else "minimum"] = 0
    if kind is float and upper and error_of(2.0):
        bounds["exclusiveMaximum" if error_of(1.0) else "maximum"] = 1
    return bounds


def _default(kind: Any, field: Field[Any]) -> Schema:
    """Return the field's default; nothing if it depends on the data set or the protocol."""
    if field.default in (MISSING, None, "", ()):
        return {}
    values = (
        [getattr(p, field.name) for problem in PROBLEMS.values() for p in (problem, problem.quick())]
        if kind is Problem
        else []
    )
    return {} if any(value != field.default for value in values) else {"default": _plain(field.default)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _with_conventions(optimizers: Iterable[str]) -> list[str]:
    """Return the name of every optimizer in each of its conventions."""
    names = []
    for name in optimizers:
        names.append(name)
        for convention in ("torch", "keras"):
            with suppress(InputError):
                names.append(f"{name}:{Contender(name, convention).convention}")
    return names


def described(kind: Any) -> dict[str, str]:
    """Return the description of each parameter in a dataclass's docstring, in Markdown.

    >>> described(Study)["seed"]
    'seed of the study. Two studies with different seeds share no random number.'
    """
    text = inspect.getdoc(kind) or ""
    part = re.split(r"\n(?=\w+\n---)", text.split("Parameters\n----------\n")[1])[0]
    descriptions = {}
    for names, description in re.findall(r"^(\w+(?:, \w+)*): (.*(?:\n {4}.*)*)", part, re.MULTILINE):
        for name in names.split(", "):
            descriptions[name] = markdown(" ".join(description.split()))
    return descriptions


def markdown(text: str) -> str:
    """Convert a docstring's text to Markdown.

    >>> markdown("see :func:`optimlab.datasets.load`, ``x`` and :class:`Contender`")
    'see `optimlab.datasets.load`, `x` and `Contender`'
    """
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`")
