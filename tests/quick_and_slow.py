"""Which tests ``make test`` runs: all but the slow ones. ``make check``, and pytest by itself, run those, too.

A test is slow by the mark ``slow``. Of a parametrised test, a few cases can stand for the others while one works:
``quick`` names them by their ids, and ``quick_each`` takes a few in which each value of the named parameters occurs (of
a tuple, each of its parts). What is not among them is slow.
"""

from collections import Counter, defaultdict

import pytest

COUNTED = pytest.StashKey()
"""How many tests of each file are quick, and how many slow, as ``(file, is_slow)``."""

UNKNOWN = pytest.StashKey()
"""Ids that a mark ``quick`` names and no test has."""


def covering(cases):
    """Return the indices of a few cases in which each value occurs.

    >>> covering([("relu", "sgd"), ("relu", "adam"), ("tanh", "sgd"), ("tanh", "adam")])
    [0, 3]
    """
    shown = [set(enumerate(case)) for case in cases]
    missing, chosen = set().union(*shown), []
    while missing:
        chosen.append(max(range(len(cases)), key=lambda k: len(missing & shown[k])))
        missing -= shown[chosen[-1]]
    return chosen


def quick_ones(tests):
    """Return those of the tests of one function that its mark leaves quick, and the ids it names in vain."""
    if named := tests[0].get_closest_marker("quick"):
        quick = [test for test in tests if test.callspec.id in named.args]
        return quick, set(named.args) - {test.callspec.id for test in quick}
    mark = tests[0].get_closest_marker("quick_each")
    cases = []
    for test in tests:
        given = [test.callspec.params[name] for name in mark.args]
        parts = (part for value in given for part in (value if isinstance(value, tuple) else [value]))
        cases.append([repr(part) for part in parts])
    return [tests[k] for k in covering(cases)], set()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark slow what ``quick`` and ``quick_each`` leave out, before ``-m`` looks at the marks."""
    functions, unknown = defaultdict(list), set()
    for item in items:
        if item.get_closest_marker("quick") or item.get_closest_marker("quick_each"):
            functions[item.nodeid.partition("[")[0]].append(item)
    for name, tests in functions.items():
        quick, vain = quick_ones(tests)
        unknown |= {f"{name}[{one}]" for one in vain}
        for test in set(tests) - set(quick):
            test.add_marker("slow")
    config.stash[UNKNOWN] = unknown
    config.stash[COUNTED] = Counter((i.nodeid.partition("::")[0], "slow" in i.keywords) for i in items)
