"""optimlab export-rule."""

from __future__ import annotations

from pathlib import Path

import click

from ..common.errors import InputError
from .options import chosen, echo

MARK = "(optimlab export-rule "
"""Stands at the head of every exported file."""


@click.command(name="export-rule")
@click.argument("name")
@click.option(
    "--convention", default="textbook", show_default=True, help="Convention of a rule: textbook, torch or keras."
)
@click.option("--to", required=True, metavar="TARGET", help="torch, optax, keras, numpy, c, cuda or javascript.")
@click.option("--dtype", help="Type of the arrays in C and CUDA: float32 or float64.  [default: float32]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file, and replace an earlier export.",
)
def export_rule(name: str, convention: str, to: str, dtype: str | None, out: Path | None) -> None:
    """Print an update rule as one source file for another library or language.

    NAME is an elementwise rule such as adam, adam:torch with a convention, or
    FILE.py:NAME, a rule of your own. The file does not need optimlab. It holds
    the formula, the rule's own names, and a test: run the file, and it compares
    itself with recorded numbers.

    \b
    torch       a torch.optim.Optimizer, with foreach calls
    optax       an optax.GradientTransformation
    keras       a keras.optimizers.Optimizer of Keras 3
    numpy       a function of arrays
    c           functions, compiled with -DTEST also a test
    cuda        a kernel, and host functions as in C
    javascript  functions, for browsers and Node.js

    \b
    Examples:
      optimlab export-rule adamw:torch --to optax
      optimlab export-rule lion --to torch --out lion.py && python lion.py
      optimlab export-rule my_rules.py:my_rule --to keras --out my_rule.py
    """
    from ..common.files import write_atomically
    from ..export import export_rule as exported

    if out is not None and out.exists() and MARK not in out.read_text("utf-8", errors="replace"):
        raise InputError(f"{out} exists and was not written by export-rule: choose another --out, or remove the file")
    named = chosen(name, convention)
    text = exported(named.name if named.rule is None else named.rule, to, convention=named.convention, dtype=dtype)
    if out is None:
        echo(text.rstrip("\n"))
    else:
        write_atomically(out, text)
        echo(f"Written: {out}")
