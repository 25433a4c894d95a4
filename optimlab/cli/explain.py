"""optimlab explain."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..common.errors import InputError
from ..common.files import json_text
from ..common.spelling import encoding_of_stdout, spelled
from .options import Chosen, chosen, draw, echo, numbers

if TYPE_CHECKING:
    from ..lab.explanation import ActivationExplanation, Explanation, LossExplanation

SHOWN, ENDS = 24, 4
"""A table of more than ``SHOWN`` steps shows only the first and the last ``ENDS``."""

_ONLY = {
    **dict.fromkeys(["convention", "against", "steps", "gradients", "term"], "rule"),
    **dict.fromkeys(["at", "figure"], "activation"),
}
"""What some options are for; the others are for everything."""

_ONE = {"rule": "a rule", "activation": "an activation", "loss": "a loss"}
_PLURAL = {"rule": "rules", "activation": "activations"}


@click.command()
@click.argument("name")
@click.option(
    "--convention", default="textbook", show_default=True, help="Convention of a rule: textbook, torch or keras."
)
@click.option("--against", metavar="CONVENTION", help="Another convention; say at which step and term the two part.")
@click.option("--step", "steps", type=int, default=3, show_default=True, help="Number of steps to work out.")
@click.option(
    "--gradients",
    metavar="NUMBERS",
    callback=numbers,
    help="The weight's gradients, separated by commas; the last is repeated.  [default: 0.1; with "
    "--against, sizes from 1e-6 to 0.1 in turn]",
)
@click.option("--term", metavar="NAME", help="Print only one variable of a rule, such as m_hat, one line per step.")
@click.option("--at", metavar="NUMBERS", callback=numbers, help="Inputs of an activation to show, separated by commas.")
@click.option(
    "--figure", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Draw an activation and its derivative as .png, .svg or .pdf.",
)  # fmt: skip
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=NUMBER", help="A hyperparameter, or an activation's parameter."
)
@click.option("--source", metavar="KIND", help="Print the code: python, numpy, llvm, c, cuda or javascript.")
@click.option("--latex", "as_latex", is_flag=True, help="Print the formula in LaTeX instead.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead.")
@click.pass_context
def explain(
    context: click.Context,
    name: str,
    convention: str,
    against: str | None,
    steps: int,
    gradients: tuple[float, ...] | None,
    term: str | None,
    at: tuple[float, ...] | None,
    figure: Path | None,
    settings: tuple[str, ...],
    source: str | None,
    as_latex: bool,
    as_json: bool,
) -> None:
    """Explain NAME: an update rule, an activation or a loss.

    For a rule such as adam, or adam:torch with a convention, you see the formula,
    and each term with its numbers for one weight; of many steps, only the first
    and the last. For an activation such as swish you see formula and derivative,
    where it saturates, and its kinks. For a loss such as softmax_cross_entropy
    you see formula and gradient, and a small example. FILE.py:NAME is a rule or
    an Activation of your own.

    \b
    Examples:
      optimlab explain adam --step 5 --gradients 0.1,0.01,0.001
      optimlab explain adam --convention torch --against keras
      optimlab explain "adam:torch(beta2=0.9, lr=0.1)"
      optimlab explain nadam:keras --source cuda
      optimlab explain my_rules.py:my_rule --step 1000
      optimlab explain swish --figure swish.png
      optimlab explain leaky_relu --set slope=0.2 --source c
    """
    from ..lab import explanation
    from ..study.contender import parts

    head, arguments = parts(name)
    named = chosen(head, convention)
    settings = (*(f"{key}={value}" for key, value in arguments), *settings)
    found: Any = named.name if named.rule is None else named.rule
    kind = explanation.kind_of(found, named.convention)
    _check_options(context, named, kind)
    hyperparameters = dict(_setting(text) for text in settings)
    if source is not None:
        echo(explanation.source(found, source, convention=named.convention).rstrip())
    elif against is not None:
        if named.rule is not None:
            raise InputError(f"--against compares the conventions of one rule; {name} is a rule of your own")
        parting = explanation.first_parting(
            named.name, named.convention, against, hyperparameters, gradients=gradients, steps=max(steps, 100)
        )
        echo(json_text(asdict(parting)) if as_json else str(parting))
    elif kind == "rule":
        table = term is None and not as_json
        explained = explanation.explain_rule(
            found,
            hyperparameters,
            convention=named.convention,
            steps=steps,
            ends=ENDS if table and steps > SHOWN else None,
            gradients=gradients or 0.1,
        )
        if term is not None:
            echo("\n".join(map(repr, explained.term(term))))
        else:
            _print(explained, as_latex, as_json)
    elif kind == "activation":
        told = explanation.explain_activation(found, hyperparameters, at=at)
        if figure is not None:
            draw(told.figure(), figure)
        _print(told, as_latex, as_json)
        if figure is not None:
            echo(f"\nWritten {figure}", err=as_json or as_latex)
    else:
        _print(explanation.explain(found, hyperparameters), as_latex, as_json)


def _check_options(context: click.Context, named: Chosen, kind: str) -> None:
    """Refuse options that are not for this kind of thing."""
    given = {
        option.name: option.opts[0]
        for option in context.command.params
        if context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
    }
    for option, kinds in _ONLY.items():
        if option in given and kind != kinds:
            raise InputError(f"{given[option]} is for {_PLURAL[kinds]}; {named.name} is {_ONE[kind]}")
    if kind != "rule" and named.convention != "textbook":
        raise InputError(f"only rules have conventions; {named.name} is {_ONE[kind]}")


def _print(explained: Explanation | ActivationExplanation | LossExplanation, as_latex: bool, as_json: bool) -> None:
    if as_json:
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
        if name == "schedule" or value[:1] == "{":
            raise InputError(f"a rule is worked out with one value of each hyperparameter; got {text}") from None
        raise InputError(f"--set takes NAME=NUMBER, such as eps=1e-8; got {text!r}") from None
