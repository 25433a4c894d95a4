"""The study file's schema and page: made from the code, never stricter than the reader, and the samples run."""

import importlib
import importlib.util
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import require
from test_study_file import FILE, MANY, written

import optimlab as ol
from optimlab.cli import main
from optimlab.study import compare, read_study
from optimlab.study.schema import schema

jsonschema = require("jsonschema")

ROOT = Path(__file__).parents[1]
DOCS, SAMPLES = ROOT / "docs", sorted((ROOT / "examples" / "studies").glob("*.toml"))
SCHEMA = schema()


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_study_file", DOCS / "make_study_file.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_and_schema_are_those_of_the_code(generator):
    told = "run python docs/make_study_file.py"
    assert (DOCS / "study-file.md").read_text(encoding="utf-8") == generator.page(), told
    assert json.loads((DOCS / generator.SCHEMA).read_text(encoding="utf-8")) == SCHEMA, told


def test_the_schema_is_a_schema_and_the_command_prints_it():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert json.loads(CliRunner().invoke(main, ["study-schema"]).stdout) == SCHEMA


def mistakes(text):
    """What the schema says against a study file, as the path of the key and the keyword that is broken."""
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(tomllib.loads(text))
    return [("/".join(map(str, error.absolute_path)), error.validator) for error in found]


def entries(node):
    """The schema of every key, in every table."""
    for entry in node.get("properties", {}).values():
        yield entry
        yield from entries(entry)
        yield from entries(entry.get("items", {}))


# ---- samples ----


def test_there_are_three_samples():
    assert len(SAMPLES) >= 3


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_names_the_schema_and_obeys_it(path):
    text = path.read_text(encoding="utf-8")
    named = text.splitlines()[0].removeprefix("#:schema ")
    assert (path.parent / named).resolve() == DOCS / "study.schema.json"
    assert mistakes(text) == []
    assert f"optimlab compare --study examples/studies/{path.name} " in text


@pytest.mark.quick("own-rule")
@pytest.mark.filterwarnings("ignore:.*at the edge of the grid")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_runs(path, tmp_path, monkeypatch):
    """With three rates, two replicates and one epoch of its own; its steps are not timed."""
    monkeypatch.setattr(importlib.import_module("optimlab.study.compare"), "time_steps", lambda *_: {})
    for name, study in read_study(path).items():
        problem = replace(study.problem, epochs=1, train_rows=100, val_rows=50, test_rows=50, backend="numpy")
        tiny = replace(study, problem=problem, rates=study.rates[:3], replicates=2, extensions=0, defaults=False)
        found = compare(tiny, tmp_path / name, jobs=1)
        assert [row.label for row in found.summary.tuned] == [c.label for c in study.contenders]
        assert all(row.finished == 2 for row in found.summary.tuned)


# ---- the schema and the reader ----

VALUES = """-1; 0; 1; 2; 3; 1.5; -0.5; 0.5; ""; "?"; "adam"; "digits"; "auto"; "cosine"; true; []; [1]; [0];
[0.1, 0.2, 0.3]; [1, 2, 3]; [-0.1, 0.2, 0.3]; ["adam", "sgd"]; ["?"]; [[1]]; {}; {beta2 = 0.9}""".replace(
    "\n", " "
).split("; ")


def keys():
    """Every key of every table, with a file in which its value is the place held open."""
    found = SCHEMA["properties"]
    for key in found:
        if key not in ("problem", "problems", "contenders"):
            yield f"{key} = VALUE\n"
    for key in found["problem"]["properties"]:
        yield f"[problem]\n{key} = VALUE\n"
    for key in found["contenders"]["items"]["properties"]:
        yield "[[contenders]]\n" + 'name = "adam"\n' * (key != "name") + f"{key} = VALUE\n"


FILES = {text.replace("\n", " "): text for text in keys()}


def refused(tmp_path, text):
    try:
        read_study(written(tmp_path, text))
    except ol.InputError as error:
        return str(error)
    return ""


@pytest.mark.quick("label = VALUE ", "rates = VALUE ", "protocol = VALUE ")
@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_what_the_reader_accepts_the_schema_accepts_and_it_marks_what_it_can(tmp_path, text):
    """No value that works is marked as a mistake, and a value of another type or an unknown name is."""
    names = [name for entry in entries(SCHEMA) for name in entry.get("enum", [])[:2]]
    values = [*VALUES, *map(json.dumps, names)]
    seen = set()
    for value in values:
        said, marked = refused(tmp_path, text.replace("VALUE", value)), mistakes(text.replace("VALUE", value))
        seen.add((bool(said), bool(marked)))
        if not said:
            assert not marked, (value, marked)
        elif not marked:  # a schema cannot know all of this
            assert "expected" not in said or "target" in said or "names such as" in said, (value, said)
    assert (True, True) in seen  # some value is refused by both
    assert (False, False) in seen  # and some is accepted


@pytest.mark.parametrize("text", [FILE, MANY, "", 'protocol = "full"\n[problem]\ndataset = "mine.npz"\ntarget = 0.9\n'])
def test_good_files_obey_the_schema(text):
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("rates =", "rate =", ("", "additionalProperties")),
        ("0.001, 0.1, 1]", "0.1, 1]", ("rates", "minItems")),
        ("0.001, 0.1, 1]", "0, 0.1, 1]", ("rates/0", "exclusiveMinimum")),
        ("0.001, 0.1, 1]", "'x', 0.1, 1]", ("rates/0", "type")),
        ("replicates = 3", "replicates = 1", ("replicates", "minimum")),
        ("replicates = 3", "seed = true", ("seed", "type")),
        ("replicates = 3", 'protocol = "fast"', ("protocol", "enum")),
        ("hidden = [32, 16]", "hiden = [32, 16]", ("problem", "additionalProperties")),
        ("hidden = [32, 16]", "hidden = [32, 0]", ("problem/hidden/1", "minimum")),
        ("hidden = [32, 16]", "dropout = 1.0", ("problem/dropout", "exclusiveMaximum")),
        ("hidden = [32, 16]", "target = 0.0", ("problem/target", "exclusiveMinimum")),
        ("hidden = [32, 16]", 'activation = "rellu"', ("problem/activation", "enum")),
        ("hidden = [32, 16]", "batch_norm2 = true", ("problem", "additionalProperties")),
        ("epochs = 7", "epochs = 1.5", ("problems/2/epochs", "type")),
        ('name = "third"', "", ("problems/2", "required")),
        ('name = "nadam"', 'name = "nadam"\nconvention = "jax"', ("contenders/1/convention", "enum")),
        ('label = "long memory"', 'lable = "long memory"', ("contenders/0", "additionalProperties")),
        ('name = "nadam"', "", ("contenders/1", "required")),
    ],
)
def test_an_editor_marks_the_mistake_that_the_reader_refuses(tmp_path, old, new, mistake):
    assert MANY.count(old) == 1
    text = MANY.replace(old, new)
    assert mistakes(text) == [mistake]
    assert refused(tmp_path, text)


def test_every_key_is_described():
    described = [entry.get("description") for entry in entries(SCHEMA)]
    assert len(described) > 40
    assert all(text and text.endswith(".") for text in described)
