"""Would the tests notice a wrong rule? Change every rule in every small way, and count the changes they miss.

    python tests/mutation.py                    # all rules; a few minutes on two cores
    python tests/mutation.py --only torch.adam
    python tests/mutation.py --study            # mistakes planted in the protocol, the summary and the statistics
    python tests/mutation.py --network          # every small mistake in activations, losses, schedules, callbacks, ...

Each mutant is one rule with one change: a sign turned, a product made a quotient (and back), a power changed, an
epsilon left out or moved across a root, one variable in place of another, a constant off by one, a term dropped, a
library's default changed. It takes the rule's place, and the tests that compare the rule with its independent
reference run; a mutant is killed if one fails. Survivors are printed; those that compute the same thing as the rule are
listed below, with the reason.

With ``--study`` the mutants are mistakes planted in a comparison: see :mod:`planted`. With ``--network`` they are made
in the modules of the network and its training: see :mod:`mutants_of_network`, whose options go with it.
"""

from __future__ import annotations

import argparse
import ast
import copy
import doctest
import functools
import inspect
import multiprocessing
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import parity
import test_parity

from optimlab import rules

SIMILAR = {
    "beta1": "beta2",
    "beta2": "beta1",
    "beta": "eps",
    "m": "g",
    "g": "w",
    "s": "g",
    "lr": "eps",
    "m_hat": "m",
    "s_hat": "s",
}

OURS = ("textbook", "layer-wise")
"""Conventions whose defaults are nobody's but ours."""

EQUIVALENT: dict[str, str] = {}
"""Mutants, by their line, that compute the same as the rule."""


def mutants(function: ast.FunctionDef, chosen: set[str] | None) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every mutant of a rule, with what was changed. Defaults are changed too, but for those in ``chosen``, which are
    our choice and not a library's (None: all of them)."""
    nodes = [n for statement in body(function) for n in ast.walk(statement)]
    for k, node in enumerate(nodes):
        for what, change in changes(node):
            mutant = copy.deepcopy(function)
            twin = [n for statement in body(mutant) for n in ast.walk(statement)][k]
            change(mutant, twin)
            yield f"{what}: {ast.unparse(statement_of(mutant, twin)).splitlines()[-1].strip()}", mutant
    for k, default in enumerate(function.args.kw_defaults):
        argument = function.args.kwonlyargs[k].arg
        if chosen is not None and argument not in chosen and isinstance(default, ast.Constant):
            mutant = copy.deepcopy(function)
            mutant.args.kw_defaults[k] = ast.Constant(default.value * 2 if default.value else 0.1)
            yield f"default of {argument}", mutant


def body(function: ast.FunctionDef) -> list[ast.stmt]:
    """The statements, without the docstring."""
    return [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]


def statement_of(function: ast.FunctionDef, node: ast.AST) -> ast.AST:
    return next((s for s in body(function) if any(n is node for n in ast.walk(s))), function)


def changes(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """What can be done to one node: a name for it, and a function of (mutant, node) that does it."""
    swaps = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
    if isinstance(node, ast.BinOp):
        kind = type(node.op)
        if kind in swaps:
            yield "operator", lambda m, n: setattr(n, "op", swaps[kind]())
        if kind in (ast.Add, ast.Sub):
            yield "right term dropped", lambda m, n: replace(m, n, n.left)
        if kind in (ast.Mult, ast.Div):
            yield "right factor dropped", lambda m, n: replace(m, n, n.left)
            yield "left factor dropped", lambda m, n: replace(m, n, n.right)
        if kind is ast.Pow:
            yield "power dropped", lambda m, n: replace(m, n, n.left)
        if kind is ast.Add and is_root(node.left):
            yield "epsilon moved inside", into_the_root
    if is_root(node):
        yield "root dropped", lambda m, n: replace(m, n, n.args[0])
        if isinstance(node.args[0], ast.BinOp) and isinstance(node.args[0].op, ast.Add):
            yield "epsilon moved outside", out_of_the_root
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield "constant", lambda m, n: setattr(n, "value", n.value + 1)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in SIMILAR:
        yield "variable", lambda m, n: setattr(n, "id", SIMILAR[n.id])
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.maximum":
        yield "minimum", lambda m, n: setattr(n.func, "attr", "minimum")


def is_root(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "np.sqrt"


def into_the_root(mutant: ast.FunctionDef, node: ast.BinOp) -> None:
    root = node.left
    root.args[0] = ast.BinOp(root.args[0], ast.Add(), node.right)
    replace(mutant, node, root)


def out_of_the_root(mutant: ast.FunctionDef, node: ast.Call) -> None:
    inner = node.args[0]
    replace(mutant, node, ast.BinOp(ast.Call(node.func, [inner.left], []), ast.Add(), inner.right))


def replace(mutant: ast.FunctionDef, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(mutant):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list) and any(v is old for v in value):
                setattr(parent, field, [new if v is old else v for v in value])


def noticed(convention: str, module: Any, name: str, mutant: ast.FunctionDef) -> bool:
    """Whether a test fails while the mutant stands in the rule's place."""
    original = getattr(module, name)
    try:
        ast.fix_missing_locations(mutant)
        exec(compile(ast.Module([mutant], []), module.__file__, "exec"), vars(module))
        for check in checks(module, convention, name):
            check()
        return False
    except Exception:  # a failing assertion, or a mutant that cannot be traced or run
        return True
    finally:
        setattr(module, name, original)


def checks(module: Any, convention: str, name: str) -> Iterator[Any]:
    """The tests of one rule that compare it with something else, without arguments; the quickest first."""
    for measured in (parity.by_rule, parity.by_optimizer, parity.measure):
        measured.cache_clear()
    yield functools.partial(run_doctest, module, name)
    for row in parity.ROWS:
        if (row.convention, row.rule) == (convention, name):
            yield functools.partial(test_parity.test_float64, row)
            if convention not in OURS:
                yield functools.partial(test_parity.test_defaults_are_the_librarys_but_for_those_listed, row)
    if name == "muon":
        yield wide_muon


def wide_muon() -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_parity.test_muon_moves_matrices_with_more_outputs_than_inputs_further(patch)


def run_doctest(module: Any, name: str) -> None:
    """The example in a rule's docstring, which also shows the new state."""
    rule = getattr(module, name)
    found = doctest.DocTestFinder().find(getattr(rule, "function", rule), name, module, globs=dict(vars(module)))
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not sum(runner.run(test, out=lambda text: None).failed for test in found)


def outcome(job: int) -> tuple[str, bool]:
    convention, module, name, what, mutant = JOBS[job]
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        return f"{convention}.{name}: {what}", noticed(convention, module, name, mutant)


JOBS: list[tuple[Any, ...]] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", default="", help="convention.rule, or the beginning of it; a part of a mistake's name"
    )
    parser.add_argument("--study", action="store_true", help="Mistakes planted in protocol, summary and statistics.")
    parser.add_argument("--network", action="store_true", help="Every small mistake in the network and its training.")
    options, more = parser.parse_known_args()
    for script, asked in (("planted.py", options.study), ("mutants_of_network.py", options.network)):
        if asked:
            command = [sys.executable, Path(__file__).with_name(script), "--only", options.only, *more]
            sys.exit(subprocess.run(command, check=False).returncode)
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    places = [(c, m, name) for c, modules in rules.CONVENTIONS.items() for m in modules for name in m.__all__]
    places += [("layer-wise", rules.layerwise, name) for name in ("lars", "lamb", "muon")]
    for convention, module, name in places:
        if f"{convention}.{name}".startswith(options.only):
            rule = getattr(module, name)
            function = ast.parse(textwrap.dedent(inspect.getsource(getattr(rule, "function", rule)))).body[0]
            chosen = {name for row in parity.ROWS if row.rule == rule.__name__ for name in parity.exceptions(row)}
            made = mutants(function, None if convention in OURS else chosen)
            JOBS.extend((convention, module, name, what, mutant) for what, mutant in made)
    with multiprocessing.get_context("fork").Pool() as pool:
        results = pool.map(outcome, range(len(JOBS)), chunksize=8)
    survivors = [what for what, killed in results if not killed]
    missed = [what for what in survivors if what not in EQUIVALENT]
    for what in survivors:
        print(f"survived  {what}" + (f"   (equivalent: {EQUIVALENT[what]})" if what in EQUIVALENT else ""))
    killed = len(results) - len(survivors)
    print(f"{killed} of {len(results)} mutants killed, {len(survivors) - len(missed)} equivalent, {len(missed)} missed")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
