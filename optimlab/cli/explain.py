"""optimlab explain."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..errors import InputError
from ..files import json_text
from ..spelling import encoding_of_stdout, spelled
from .options import chosen, echo, numbers

SHOWN, ENDS = 24, 4
"""A table of more than ``SHOWN`` steps shows only the first and the last ``ENDS``."""


@click.command()
@click.argument("rule")
@click.option("--convention", default="textbook", show_default=True, help="textbook, torch or keras.")
@click.option("--against", metavar="CONVENTION", help="Say at which step and term this convention parts from it.")
@click.option("--step", "steps", type=int, default=3, show_default=True, help="How many steps to work out.")
@click.option(
    "--gradients",
    metavar="NUMBERS",
    callback=numbers,
    help="The weight's gradients, separated by commas; the last is repeated.  [default: 0.1]",
)
@click.option("--term", metavar="NAME", help="Print one variable alone, such as m_hat, a line a step.")
@click.option("--set", "settings", multiple=True, metavar="NAME=NUMBER", help="A hyperparameter; may be repeated.")
@click.option("--source", metavar="KIND", help="Print the rule's code: python, numpy, numba, c, cuda or javascript.")
@click.option("--latex", "as_latex", is_flag=True, help="Print the formula in LaTeX instead.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead.")
def explain(
    rule: str,
    convention: str,
    against: str | None,
    steps: int,
    gradients: tuple[float, ...] | None,
    term: str | None,
    settings: tuple[str, ...],
    source: str | None,
    as_latex: bool,
    as_json: bool,
) -> None:
    """Explain RULE: its formula, and each term with its numbers for one weight.

    RULE is a name such as adam, a name with a convention such as adam:torch, or
    FILE.py:NAME for a rule of your own. Of many steps only the first and the last
    are printed.

    \b
    Examples:
      optimlab explain adam --step 5 --gradients 0.1,0.01,0.001
      optimlab explain adam --convention torch --against keras
      optimlab explain nadam:keras --source cuda
      optimlab explain my_rules.py:my_rule --step 1000
    """
    from .. import explanation

    named = chosen(rule, convention)
    found = named.name if named.rule is None else named.rule
    hyperparameters = dict(_setting(text) for text in settings)
    if source is not None:
        echo(explanation.source(found, source, convention=named.convention).rstrip())
    elif against is not None:
        if named.rule is not None:
            raise InputError(f"--against compares the conventions of one rule; {rule} is a rule of your own")
        parting = explanation.first_parting(
            named.name, named.convention, against, hyperparameters, gradients=gradients, steps=max(steps, 100)
        )
        echo(json_text(asdict(parting)) if as_json else str(parting))
    else:
        table = term is None and not as_json
        explained = explanation.explain(
            found,
            hyperparameters,
            convention=named.convention,
            steps=steps,
            ends=ENDS if table and steps > SHOWN else None,
            gradients=gradients or 0.1,
        )
        if term is not None:
            echo("\n".join(map(repr, explained.term(term))))
        elif as_json:
            text = json_text(explained.to_dict(), ascii_only=False)
            # variable names are JSON keys: they are escaped where they cannot be encoded, so that they stay the same
            plain = spelled(text, encoding_of_stdout()) == text
            echo(text if plain else json_text(explained.to_dict()))
        else:
            echo(explained.latex if as_latex else str(explained))


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise InputError(f"--set takes NAME=NUMBER, such as eps=1e-8; got {text!r}") from None
