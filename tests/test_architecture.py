"""The house keeps its shape: imports run one way, and importing optimlab stays light."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    "plotting",
    "report",
    "paper",
    "lab",
    "export",
    "cli",
    "pytest_plugin",
]


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path):
    """The first-level modules of optimlab, and the other top-level packages, that a file imports."""
    own, others = set(), set()
    depth = len(module_name(path)) + (path.name == "__init__.py")
    for node in ast.walk(ast.parse(path.read_text())):
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


@pytest.mark.parametrize("room", ORDER[:-1])
def test_a_room_says_what_it_imports(room):
    """In the last sentence of its docstring, such as "Imports common and rules."."""
    said = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
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
        for node in ast.walk(ast.parse(path.read_text())):
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
        for part in ast.parse(path.read_text()).body:
            named = [n for n in ast.walk(part) if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == "np"]
            here = allowed | ({"array"} if name == "optimizers" else set())  # tables of host scalars
            here |= {*kernels.OPERATIONS, "abs"} if isinstance(part, ast.FunctionDef) else set()
            used = {n.attr for n in named}
            assert used <= here, f"{name}.py uses np.{used - here}"


def test_import_is_light():
    code = "import sys, optimlab; print(*{m.split('.')[0] for m in sys.modules})"
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
    assert not heavy & set(loaded)


def test_a_silent_fit_imports_no_progress_bar():
    code = (
        "import sys, optimlab as ol; d = ol.datasets.load('digits'); n = ol.MLP([64, 10]);"
        "ol.fit(n, ol.SGD(n.parameters), d, epochs=1); print(*{m.split('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"rich", "matplotlib", "click"} & set(loaded)
