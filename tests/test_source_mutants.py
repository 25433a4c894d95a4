"""The mutator of source text makes every small mistake, one at a time, and no other."""

import ast

from equivalent_mutants import EQUIVALENT
from mutants_of_network import MODULES
from mutants_of_statistics import MISTAKES
from mutants_of_study import STUDY
from planted import ROOT
from source_mutants import mutants

SOURCE = '''"""A module: 1 + 1."""
if TYPE_CHECKING:
    from typing import Any


class Line:
    """y = 2 x."""

    limit: int = 3  # a comment stays

    @property
    def at(self, x: "float", a=2.0) -> float:
        if x > 0:
            raise ValueError(f"{x + 1} is not {1}")
        elif not x:
            return -a * x**2
        return np.sqrt(x) + max(x, True)
'''

EXPECTED = [
    "Line: constant: limit: int = 4",
    "Line: constant: def at: 3.0",
    "Line.at: comparison: if x >= 0:",
    "Line.at: comparison: if x <= 0:",
    "Line.at: constant: if x > 1:",
    "Line.at: not: if x > 0:",
    "Line.at: operator: return -a / x ** 2",
    "Line.at: right factor dropped: return -a",
    "Line.at: left factor dropped: return x ** 2",
    "Line.at: sign: return a * x ** 2",
    "Line.at: power dropped: return -a * x",
    "Line.at: constant: return -a * x ** 3",
    "Line.at: operator: return np.sqrt(x) - max(x, True)",
    "Line.at: right term dropped: return np.sqrt(x)",
    "Line.at: root dropped: return x + max(x, True)",
    "Line.at: min: return np.sqrt(x) + min(x, True)",
    "Line.at: constant: return np.sqrt(x) + max(x, False)",
]


def test_every_mistake_once():
    found = dict(mutants(SOURCE))
    assert list(found) == EXPECTED
    plain = ast.dump(ast.parse(SOURCE))
    trees = {ast.dump(ast.parse(source)) for source in found.values()}
    assert len(trees) == len(EXPECTED)
    assert plain not in trees
    assert "elif x:" in found["Line.at: not: if x > 0:"].replace("else:\n            if x:", "elif x:")
    assert all("# a comment stays" in source for name, source in found.items() if "limit" not in name)


def test_the_text_of_every_planted_mistake_stands_once():
    planted = [(path, text) for path, text, *_ in MISTAKES] + [(path, text) for _, path, text, *_ in STUDY]
    assert [(path, text) for path, text in planted if (ROOT / path).read_text(encoding="utf-8").count(text) != 1] == []


def test_modules_and_their_tests_are_there():
    for module, tests in MODULES.items():
        for path, _, test in (place.partition("::") for place in (module, *tests)):
            assert f"def {test}(" * bool(test) in (ROOT / path).read_text(encoding="utf-8")
    for path, reasons in EQUIVALENT.items():
        gone = reasons.keys() - dict(mutants((ROOT / path).read_text(encoding="utf-8"))).keys()
        assert not gone, f"no longer mutants of {path}: {gone}"
