"""The playground: one HTML page that works offline, in which the rules run live in the browser.

All computations on the page are generated from the rules and landscapes themselves: steps, host scalars and terms as
JavaScript, formulas as MathML. The hand-written code in ``page/`` draws and handles input.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import rules
from ..common.errors import InputError
from ..common.files import write_atomically
from ..kernels import (
    javascript_function,
    javascript_scalars,
    javascript_step,
    mathml,
    trace,
    trace_function,
    with_terms,
)
from ..study.contender import Contender
from .functions import FUNCTIONS, Landscape
from .lessons import LESSONS, OPENING, TEXTS

YOURS = "yours"
"""The group of the user's rules, next to the conventions."""

PAGE = Path(__file__).parent / "page"

SHARED = ("shell.js", "canvas.js", "formula.js", "sliders.js")
"""Scripts that a page of another kind has too."""


def playground_page(own: Sequence[Contender] = ()) -> str:
    """Return the page as HTML. Your ``own`` rules appear among the others, in the group ``yours``.

    Raises
    ------
    InputError: one of your rules works on whole tensors, or has a searched or scheduled hyperparameter. The page has a
        slider for each hyperparameter, and runs only code generated from a traced rule.

    >>> page = playground_page()
    >>> page.startswith("<!doctype html>"), len(page.encode()) < 500_000, "http" in page.replace("www.w3.org", "")
    (True, True, True)
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    rules_of = {contender.name: _own(contender) for contender in own}
    scripts = (*SHARED, "model.js", "address.js", "pictures.js", "controls.js")
    return environment.get_template("page.html").render(
        style=Markup(joined(PAGE, "base.css", "page.css")),
        script=Markup(_data(rules_of) + "\n" + joined(PAGE, *scripts)),
        landscapes=list(FUNCTIONS.values()),
        lessons=LESSONS,
        conventions={convention: rules.names(convention) for convention in rules.CONVENTIONS}
        | ({YOURS: list(rules_of)} if rules_of else {}),
    )


def write_playground(path: str | Path, own: Sequence[Contender] = ()) -> None:
    """Write the page to a file.

    Raises
    ------
    InputError: the file cannot be written; or as :func:`playground_page`.
    """
    write_atomically(Path(path), playground_page(own).encode())


def joined(folder: Path, *names: str) -> str:
    """Return the text of files in a folder, one after the other."""
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _own(contender: Contender) -> str:
    if isinstance(contender.rule, rules.LayerRule):
        raise InputError(
            f"{contender.name} works on whole tensors, but the playground runs only elementwise rules; race it without "
            "--playground"
        )
    if contender.rule is None or contender.hyperparameters or contender.schedule:
        raise InputError(f"{contender.label}: the playground takes only FILE.py:NAME; it has sliders for the rest")
    return rule_source(contender.rule)


def _data(own: dict[str, str]) -> str:
    """Return the data of the page's scripts, as constants."""
    every = dict.fromkeys(name for convention in rules.CONVENTIONS for name in rules.names(convention))
    every |= dict.fromkeys(own)
    printed = {
        convention: {name: rule_source(rules.find(name, convention)) for name in rules.names(convention)}
        for convention in rules.CONVENTIONS
    }
    groups = [
        f"{group}: {{\n" + "".join(f"{name}: {rule},\n" for name, rule in members.items()) + "}"
        for group, members in (printed | ({YOURS: own} if own else {})).items()
    ]
    classic = rules.textbook.__all__
    opening = OPENING
    if own:  # the address of a scene with runs has all of them
        runs = [f"{name},textbook,{'on' if name in ('sgd', 'adam') else 'off'}" for name in classic]
        runs += [f"{name},{YOURS},on" for name in own]
        opening += f"&look={len(classic)}" + "".join(f"&run={run}" for run in runs)
    return "\n".join(
        [
            "const RULES = {" + ",\n".join(groups) + "};",
            "const LANDSCAPES = {" + ",\n".join(f"{_json(f.name)}: {_landscape(f)}" for f in FUNCTIONS.values()) + "};",
            f"const EVERY_RULE = {_json(list(every))};",
            f"const CLASSIC = {_json(rules.textbook.__all__)};",
            f"const LESSONS = {_json([vars(lesson) for lesson in LESSONS])};",
            f"const OPENING = {_json('#' + opening)};",
            f"const GRADIENT = {_json(mathml(ast.Name('g@new')))};",
        ]
    )


def rule_source(rule: rules.Rule | None) -> str:
    """Print a rule as a JavaScript object: its step, host scalars and terms, and its formula as MathML."""
    assert rule is not None
    graph = trace(rule)
    explained, made = with_terms(graph)
    lines = [dict(zip(("name", "symbol", "formula"), (e.name, *e.printed(mathml)), strict=True)) for e in made]
    functions = [javascript_scalars(explained), javascript_step(graph), javascript_function(explained, "terms")]
    facts = {"state": graph.state, "hyperparameters": graph.hyperparameters, "equations": lines}
    made_of = f"scalars: {graph.name}_scalars, step: {graph.name}_step, terms"
    return "(() => {\n" + "\n".join(functions) + f"\nreturn {{{made_of}, ...{_json(facts)}}};\n}})()"


def _landscape(f: Landscape) -> str:
    functions = [
        javascript_function(trace_function(f.value), "value"),
        javascript_function(trace_function(f.gradient), "gradient"),
    ]
    facts = {
        "title": f.title,
        "formula": _formula(f),
        "text": TEXTS[f.name],
        "bounds": f.bounds,
        "start": f.start,
        "minima": f.minima,
        "lowest": _lowest(f),
        "floor": float(f.value(*f.minima[0])) if f.minima else None,
        "noise": f.noise,
    }
    return "(() => {\n" + "\n".join(functions) + f"\nreturn {{value, gradient, ...{_json(facts)}}};\n}})()"


def _lowest(f: Landscape) -> float:
    """Return the lowest height in the picture."""
    (x0, x1), (y0, y1) = f.bounds
    x, y = np.meshgrid(np.linspace(x0, x1, 101), np.linspace(y0, y1, 101))
    return float(f.value(x, y).min())


def _formula(f: Landscape) -> str:
    """Return the formula at the beginning of the function's docstring, with superscript digits."""
    _, _, rest = (f.value.__doc__ or "").partition("``")  # python -OO leaves no docstrings
    text = rest.partition("``")[0]
    for digit, raised in zip("234", "²³⁴", strict=True):
        text = text.replace(f"^{digit}", raised)
    return text.replace("-", "−").replace("pi", "π")


def _json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
