"""Write docs/study-file.md and docs/study.schema.json: every key of a study file, and the schema for editors.

    python docs/make_study_file.py

Both are made from the dataclasses of a study (see optimlab/study/schema.py) and from examples/studies.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optimlab.common.errors import InputError, concise
from optimlab.common.files import json_text
from optimlab.study import PROBLEMS, read_study
from optimlab.study.plan import FULL
from optimlab.study.schema import Schema, schema

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "examples" / "studies"
SCHEMA = "study.schema.json"

PAGE = """\
# The study file

<!-- Written by docs/make_study_file.py; do not edit. -->

A study file is a TOML file that describes a comparison: its optimizers, its problems and how often it is repeated.

```sh
optimlab compare --study study.toml --dry-run   # checks the file, and says how many runs there are
optimlab compare --study study.toml --out mine
```

In Python, `optimlab.study.read_study("study.toml")` returns the studies by the name of their problem. Options of the
command line take precedence over the file. Every key has a default, so an empty file is a study, too.

## An example

[`{first}`](../examples/studies/{first}):

```toml
{example}```

More samples are in [examples/studies](../examples/studies):

{samples}

## Keys at the top

They stand above the first table.

{top}

## `[problem]`

{problem}

A missing key takes the default of the data set, including one that `--dataset` names. The quick protocol also limits
the rows of large data sets.

{datasets}

Without a `target`, data of your own have one that the data give: nine tenths of what a linear model gains over the
most frequent class. `compare` says which. [data.md](data.md) shows how tables are read.

## `[[problems]]`

Each is a variant of `[problem]`: it has the keys of `[problem]`, and a `name`, which becomes the name of a folder. A
key that is in neither takes the default of the variant's data set. The problems are compared one after another.
Together they get mean ranks, Friedman's and Nemenyi's tests, and a performance profile.

## `[[contenders]]`

Optimizers that need more settings than a name. They are compared together with those of `optimizers`.
[Contenders](contenders.md) shows schedules and searches by example.

{contenders}

## Errors

A mistake is told with its line, its key and what is accepted. Nothing is run or written.

```text
{errors}
```

## Completion in an editor

[`{schema}`](study.schema.json) is a JSON Schema of the study file. Editors with Taplo complete keys and names
from it, show what a key means, and mark mistakes; in Visual Studio Code this is the extension Even Better TOML. Name
the schema in the first line of the study file, by a path or an address:

```toml
#:schema study.schema.json
```

`optimlab study-schema > study.schema.json` writes the schema of the version that is installed.
"""

MISTAKES = (
    'optimizers = ["sgd", "adamm"]',
    "replicate = 20",
    "rates = [0.1, 1.0]",
    "[problem]\nepochs = 0",
    '[problem]\nactivation = "rellu"',
)


def page() -> str:
    """The page, from the code and the samples as they are."""
    found = schema()["properties"]
    tables = {name: found[name] for name in ("problem", "problems", "contenders")}
    top = {name: entry for name, entry in found.items() if name not in tables}
    full = {name: _value(list(value) if isinstance(value, tuple) else value) for name, value in FULL.items()}
    contenders = found["contenders"]["items"]
    first, *others = sorted(SAMPLES.glob("*.toml"))
    return PAGE.format(
        first=first.name,
        example=first.read_text(encoding="utf-8"),
        samples="\n".join(f"- [`{path.name}`](../examples/studies/{path.name}): {_about(path)}" for path in others),
        top=_keys(top, full=full),
        problem=_keys(found["problem"]["properties"]),
        datasets=_datasets(),
        contenders=_keys(contenders["properties"], required=contenders["required"]),
        errors="\n".join(map(_error, MISTAKES)),
        schema=SCHEMA,
    )


def _about(sample: Path) -> str:
    """Return the comment of a sample: its second line."""
    return sample.read_text(encoding="utf-8").splitlines()[1].removeprefix("# ")


def _keys(entries: dict[str, Schema], required: list[str] = [], full: dict[str, str] = {}) -> str:  # noqa: B006
    """A table of keys: what a value may be, the default, and what it means."""
    rows = []
    for name, entry in entries.items():
        default = "required" if name in required else _value(entry["default"]) if "default" in entry else ""
        default += f"; full: {full[name]}" if name in full else ""
        rows.append([f"`{name}`", _kind(entry), default, _sentence(entry["description"])])
    return _table(["key", "value", "default", "meaning"], rows)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _value(value: Any) -> str:
    if isinstance(value, list) and len(value) > 4:
        return f"{_value(value[0])}, {_value(value[1])}, ... {_value(value[-1])}"
    if isinstance(value, float):
        return concise(value)
    return f"`{json_text(value, indent=None)}`"


def _kind(entry: Schema) -> str:
    """In words, what a value may be."""
    if "enum" in entry:
        return "one of " + ", ".join(f'`"{name}"`' for name in entry["enum"])
    if "anyOf" in entry:
        return "a text or a table" if any(one.get("type") == "object" for one in entry["anyOf"]) else "a text"
    if entry["type"] == "array":
        least = f" of at least {entry['minItems']}" if "minItems" in entry else ""
        return f"a list{least}, each {_kind(entry['items'])}"
    words = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "string": "a text"}
    bounds = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    told = " and ".join(f"{word} {entry[name]}" for name, word in bounds.items() if name in entry)
    return f"{words.get(entry['type'], 'a table')} {told}".rstrip()


def _datasets() -> str:
    """List the settings of the data sets' own problems, in both protocols."""
    rows = []
    for name, full in PROBLEMS.items():
        for protocol, own in (("quick", full.quick()), ("full", full)):
            rows_of = (own.train_rows, own.val_rows, own.test_rows)
            limits = "all" if rows_of == (None,) * 3 else ", ".join(f"{n:,}" if n else "all" for n in rows_of)
            hidden, numbers = _value(list(own.hidden)), map(str, (own.batch_size, own.epochs, own.target))
            rows.append([f"`{name}`", protocol, hidden, *numbers, limits])
    head = ["data set", "protocol", "`hidden`", "`batch_size`", "`epochs`", "`target`"]
    return _table([*head, "rows: training, validation, test"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _error(text: str) -> str:
    """Return the error that refuses a study file of this text."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.toml"
        path.write_text(text, encoding="utf-8")
        try:
            read_study(path)
        except InputError as error:
            return textwrap.shorten(str(error).replace(f"{folder}/", ""), 118, placeholder=" ...")
    raise SystemExit(f"this is no mistake: {text}")


if __name__ == "__main__":
    (HERE / "study-file.md").write_text(page(), encoding="utf-8")
    (HERE / SCHEMA).write_text(json_text(schema()) + "\n", encoding="utf-8")
