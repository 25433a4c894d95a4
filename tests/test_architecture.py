"""The house keeps its shape: imports run one way, and importing optimlab stays light."""

import ast
import functools
import graphlib
import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import quick_and_slow

import optimlab as ol
from optimlab import kernels

PACKAGE = Path(ol.__file__).parent

# a room may import those named before it, and itself; a room's own docstring says the same
ORDER = [
    "common",
    "rules",
    "schedules",
    "kernels",
    "backends",
    "nn",
    "optim",
    "checks",
    "datasets",
    "training",
    "sklearn",
    "study",
    "tuning",
    "race",
    "playground",
    "plotting",
    "report",
    "paper",
    "lab",
    "export",
    "cli",
    "pytest_plugin",
    "__main__",
]


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


@functools.cache
def imports(path):
    """The first-level modules of optimlab, and the other top-level packages, that a file imports."""
    own, others = set(), set()
    depth = len(module_name(path)) + (path.name == "__init__.py")
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level < depth:  # from within the file's own package
                continue
            own.update([node.module.split(".")[0]] if node.module else [alias.name for alias in node.names])
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            others.update(alias.name.split(".")[0] for alias in node.names)
    return own, others


def files():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def test_every_module_has_its_place():
    assert {module_name(p)[0] for p in files()} == set(ORDER)


def test_imports_run_one_way():
    for path in files():
        place = ORDER.index(module_name(path)[0])
        own, _ = imports(path)
        for name in own:
            assert ORDER.index(name) < place, f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("room", ORDER[:-2])
def test_a_room_says_what_it_imports(room):
    """In the last sentence of its docstring, such as "Imports common and rules."."""
    said = ast.get_docstring(parsed(PACKAGE / room / "__init__.py"))
    listed = re.search(r"Imports ([\w,\s]+)\.$", said)[1].replace(" and ", ", ").split(", ")
    found = {name for path in (PACKAGE / room).rglob("*.py") for name in imports(path)[0]} - {room}
    assert listed == ([name for name in ORDER if name in found] or ["nothing of optimlab"])


def test_no_module_imports_itself_by_a_detour():
    """Within a package, too, and in functions and for type checkers alone."""
    names = {module_name(path) for path in files()}
    graph = {}
    for path in files():
        found = graph.setdefault(".".join(module_name(path)), set())
        folder = path.relative_to(PACKAGE).parent.parts
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = (*folder[: len(folder) - node.level + 1], *(node.module.split(".") if node.module else ()))
                found.update(".".join((*base, a.name) if (*base, a.name) in names else base) for a in node.names)
    assert [*graphlib.TopologicalSorter(graph).static_order()]


def test_rules_know_only_numpy():
    for path in (PACKAGE / "rules").glob("*.py"):
        own, others = imports(path)
        assert own <= {"common"}
        assert others <= {"numpy", *sys.stdlib_module_names}


def test_only_backends_make_device_arrays():
    """Layers, losses and optimizers reach arrays through a backend: they call no function of NumPy on them. Formulas,
    functions of their modules, do; they are traced."""
    allowed = {"random", "isfinite", "integer", "pi"}  # seeds, and checks of Python numbers
    names = ("layers", "losses", "parameters", "regularization", "mc_dropout")
    for path in (*(PACKAGE / "nn" / f"{name}.py" for name in names), PACKAGE / "optim" / "optimizers.py"):
        name = path.stem
        for part in parsed(path).body:
            named = [n for n in ast.walk(part) if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == "np"]
            here = allowed | ({"array"} if name == "optimizers" else set())  # tables of host scalars
            here |= {*kernels.OPERATIONS, "abs"} if isinstance(part, ast.FunctionDef) else set()
            used = {n.attr for n in named}
            assert used <= here, f"{name}.py uses np.{used - here}"


@pytest.mark.parametrize(
    ("module", "needed"),
    [("optimlab", set()), ("optimlab.study", {"jinja2", "threadpoolctl"})],
    ids=["optimlab", "a study"],
)
def test_import_is_light(module, needed):
    code = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"matplotlib", "rich", "click", "joblib", "cupy", "torch", "llvmlite", "sklearn", "scipy", "threadpoolctl"}
    heavy |= {
        "numba",
        "jinja2",
        "optuna",
        "distributed",
        "dask",
        "pooch",
        "filelock",
        "pyarrow",
        "pandas",
        "tensorboardX",
    }
    assert "optimlab" in loaded
    assert not (heavy - needed) & set(loaded)


def test_a_silent_fit_imports_neither_a_progress_bar_nor_tools_for_lessons():
    code = (
        "import sys, optimlab as ol; d = ol.datasets.load('digits'); n = ol.MLP([64, 10]);"
        "ol.fit(n, ol.SGD(n.parameters), d, epochs=1); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"rich", "matplotlib", "click", "optimlab.lab", "optimlab.checks", "optimlab.export"} & set(loaded)


def test_every_public_name_can_be_asked_for():
    assert set(ol.__all__) <= set(dir(ol))
    assert all(getattr(ol, name) is not None for name in dir(ol))
    with pytest.raises(AttributeError, match="has no attribute 'adam'"):
        _ = ol.adam


# --- docstrings; ruff's D rules check the rest of their form

NO_SUMMARY = {"Of", "What", "Whether", "That", "Which", "How", "If", "Where", "When", "This", "These", "Those"}
"""A summary line is an imperative or a noun phrase, so it begins with none of these words."""


def described(path):
    """Yield the name, the node and the docstring of a module, and of its functions and classes."""
    for node in ast.walk(parsed(path)):
        kept = isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        if kept and (text := ast.get_docstring(node)):
            yield f"{path.relative_to(PACKAGE)}: {getattr(node, 'name', 'module')}", node, text


def first_word(text):
    return text.split()[0].strip("`:,.'’")


def accepted_names(node, classes):
    """Return the parameters of a function, or of a class by its fields and its own or inherited ``__init__``."""
    if isinstance(node, ast.ClassDef):
        fields = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}
        parts = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        parts = parts or [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
        return fields.union(*(accepted_names(part, classes) for part in parts))
    given = node.args
    return {a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if a}


def documented_names(text):
    """Return the names in the section Parameters of a docstring.

    >>> documented_names("Add.\\n\\nParameters\\n----------\\nx, y: numbers, such as\\n    z: 1.\\n")
    ['x', 'y']
    """
    section = re.search(r"^Parameters\n-+\n(.*?)(?:^\w+\n-+\n|\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    entries = re.findall(r"^([\w*]+(?:, [\w*]+)*):", section[1], re.MULTILINE) if section else []
    return [name.strip("* ") for entry in entries for name in entry.split(",")]


def test_summaries_are_imperatives_or_noun_phrases():
    texts = [(name, text) for path in files() for name, _, text in described(path)]
    texts += [(name, getattr(ol, name).__doc__ or "Missing") for name in ol.__all__ if callable(getattr(ol, name))]
    assert [name for name, text in texts if first_word(text) in NO_SUMMARY] == []


def test_documented_parameters_exist():
    wrong, checked = [], 0
    for path in files():
        texts = list(described(path))
        classes = {node.name: node for _, node, _ in texts if isinstance(node, ast.ClassDef)}
        for name, node, text in texts:
            if documented := documented_names(text):
                checked += len(documented)
                wrong += [f"{name}: {parameter}" for parameter in {*documented} - accepted_names(node, classes)]
    assert wrong == []
    assert checked > 100  # the sections were found


@pytest.mark.parametrize("text", ["What it is.", "``If`` so.", "Whether it is."])
def test_the_check_of_summaries_finds_mistakes(text):
    assert first_word(text) in NO_SUMMARY


def test_the_code_map_has_every_room_in_the_order_of_imports():
    text = (PACKAGE.parent / "docs" / "code-map.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[`(\w+)`\]\(\.\./optimlab/\1\) \|", text, re.MULTILINE) == [
        room for room in ORDER if (PACKAGE / room).is_dir()
    ]


# --- quick and slow tests

SLOW_BY_NATURE = {"tests/test_accessibility.py", "tests/test_examples.py"}
"""Files without a quick test: axe-core looks at whole pages, and scripts are run to their end."""


def recipe(target, lines):
    """Return the commands under a target of the Makefile, those of the targets it needs first."""
    found = []
    for line in lines:
        if needed := re.fullmatch(rf"{re.escape(target)}: ([^=]*)", line):
            for other in needed[1].split():
                found += recipe(other, lines)
            rest = itertools.takewhile(lambda after: after.startswith("\t"), lines[lines.index(line) + 1 :])
            found += [command.strip() for command in rest]
    return found


def test_every_test_is_run_before_a_push_and_on_ci():
    root = PACKAGE.parent
    lines = (root / "Makefile").read_text().splitlines()
    quick, every = (next(c for c in recipe(t, lines) if "PYTEST" in c) for t in ("test", "check"))
    assert (quick, every) == ('$(PYTEST) -m "not slow"', "$(PYTEST)")
    assert re.findall(r"PYTEST := (.*)", "\n".join(lines)) == [
        "$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder"
    ]
    assert set(recipe("lint", lines)) < set(recipe("check", lines))
    assert "make check" in (root / ".ci" / "run").read_text().splitlines()
    options = (root / "setup.cfg").read_text().split("[tool:pytest]")[1]
    assert " -m " not in options


def test_every_file_keeps_a_quick_test(request):
    count = request.config.stash[quick_and_slow.COUNTED]
    files = {file for file, _ in count}
    assert {file for file in files if not count[file, False]} == SLOW_BY_NATURE & files


def test_the_cases_named_quick_exist(request):
    if any("::" in argument for argument in request.config.args):
        pytest.skip("some tests alone were asked for")
    assert request.config.stash[quick_and_slow.UNKNOWN] == set()


def test_every_module_that_a_script_starts_can_be_started():
    root = PACKAGE.parent
    scripts = [
        path for room in ("benchmarks", "docs", "examples", "optimlab", "tests") for path in (root / room).rglob("*.py")
    ]
    named = {name for path in scripts for name in re.findall(r'"-m", "(optimlab[a-z_.]*)"', path.read_text())}
    assert named == {"optimlab"}
    assert importlib.util.find_spec("optimlab.__main__")
