"""The command line."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import InputError, RuleError


class _Group(click.Group):
    """Bad input is one line on standard error and exit code 2; Ctrl-C is exit code 130."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **{**options, "standalone_mode": False})
        except (InputError, RuleError) as error:
            message, code = str(error), 2
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help() if error.ctx else "", err=True)
            sys.exit(2)
        except click.ClickException as error:
            message, code = error.format_message(), error.exit_code
        except click.Abort:
            message, code = "interrupted", 130
        click.echo(f"optimlab: {message}", err=True)
        sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="optimlab")
def main() -> None:
    """A laboratory for neural-network optimizers."""


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers separated by commas, got {value!r}") from None


@main.command()
@click.option(
    "--optimizers",
    metavar="NAMES",
    help="Which to compare, separated by commas.  [default: the nine classic rules]",
)
@click.option(
    "--rates",
    metavar="NUMBERS",
    callback=_numbers,
    help="The learning-rate grid.  [default: 0.001 to 10, two a decade]",
)
@click.option("--epochs", type=int, default=20, show_default=True, help="Epochs of each run.")
@click.option(
    "--seeds", type=int, default=10, show_default=True, help="Fresh seeds the chosen rates are confirmed with."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("optimlab-compare"), show_default=True, help="Output folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead of a table.")
def compare(
    optimizers: str | None, rates: tuple[float, ...] | None, epochs: int, seeds: int, out: Path, as_json: bool
) -> None:
    """Compare optimizers on handwritten digits, each at its own best learning rate.

    \b
    Tunes every optimizer on the same grid of learning rates (3 seeds, chosen by
    validation accuracy), then measures the choice with fresh seeds. Leaves in the
    output folder: runs.jsonl (every run; finished runs are never run again),
    summary.json, and the figures loss, accuracy and sensitivity (PNG and SVG).

    \b
    Example:
      optimlab compare --optimizers sgd,momentum,adam --epochs 10
    """
    from .study import Study
    from .study import compare as run_study

    if epochs < 1:
        raise InputError(f"--epochs must be at least 1, got {epochs}")
    if seeds < 2:
        raise InputError(f"--seeds must be at least 2 for an interval, got {seeds}")
    study = Study(confirmation_seeds=tuple(range(100, 100 + seeds))).with_epochs(epochs)
    if optimizers is not None:
        study = replace(study, optimizers=tuple(name.strip() for name in optimizers.split(",") if name.strip()))
    if rates is not None:
        study = replace(study, rates=rates)
    start = time.perf_counter()
    try:
        comparison = run_study(study, out)
    except KeyboardInterrupt:
        click.echo(f"\noptimlab: interrupted; finished runs are kept in {out}, the same command goes on", err=True)
        sys.exit(130)
    figures = _save_figures(comparison, out)
    if as_json:
        click.echo(json.dumps({"optimizers": comparison.rows}, indent=2))
        return
    _print(comparison, out, figures, time.perf_counter() - start)


@main.command()
@click.argument("rule")
@click.option("--convention", default="textbook", show_default=True, help="textbook, torch or keras.")
@click.option("--against", metavar="CONVENTION", help="Say at which step and term this convention parts from it.")
@click.option("--step", "steps", type=int, default=3, show_default=True, help="How many steps to work out.")
@click.option(
    "--gradients",
    metavar="NUMBERS",
    callback=_numbers,
    help="The weight's gradients, separated by commas; the last is repeated.  [default: 0.1]",
)
@click.option("--term", metavar="NAME", help="Print one variable alone, such as m_hat, a line a step.")
@click.option("--set", "settings", multiple=True, metavar="NAME=NUMBER", help="A hyperparameter; may be repeated.")
@click.option("--source", metavar="KIND", help="Print the rule's code instead: python, numpy, c or cuda.")
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

    \b
    Examples:
      optimlab explain adam --step 5 --gradients 0.1,0.01,0.001
      optimlab explain adam --convention torch --against keras
      optimlab explain nadam --convention keras --source cuda
    """
    from . import explanation

    hyperparameters = dict(_setting(text) for text in settings)
    if source is not None:
        click.echo(explanation.source(rule, source, convention=convention).rstrip())
    elif against is not None:
        parting = explanation.first_parting(
            rule, convention, against, gradients=gradients, steps=max(steps, 100), **hyperparameters
        )
        click.echo(json.dumps(asdict(parting), indent=2) if as_json else str(parting))
    else:
        explained = explanation.explain(
            rule, convention=convention, steps=steps, gradients=gradients or 0.1, **hyperparameters
        )
        if term is not None:
            click.echo("\n".join(map(repr, explained.term(term))))
        elif as_json:
            click.echo(json.dumps(explained.to_dict(), indent=2, ensure_ascii=False))
        else:
            click.echo(explained.latex if as_latex else str(explained))


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise InputError(f"--set takes NAME=NUMBER, such as eps=1e-8; got {text!r}") from None


def _save_figures(comparison: Any, folder: Path) -> list[str]:
    import io

    from . import plotting
    from .files import write_atomically

    written = []
    for name in ("loss", "accuracy", "sensitivity"):
        figure = getattr(plotting, f"{name}_figure")(comparison)
        for kind in ("png", "svg"):
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=150)
            write_atomically(folder / f"{name}.{kind}", content.getvalue())
            written.append(f"{name}.{kind}")
    return written


def _print(comparison: Any, folder: Path, figures: list[str], seconds: float) -> None:
    from rich.console import Console

    from .study.table import table, verdict

    # piped output has no width of its own: leave room for the table
    console = Console() if sys.stdout.isatty() else Console(width=100)
    console.print(table(comparison))
    console.print(verdict(comparison), highlight=False)
    for row in comparison.rows:
        for error in row["errors"]:
            console.print(f"{row['optimizer']}: a run failed: {error}", highlight=False, markup=False)
    console.print(
        f"\nWritten to {folder}: runs.jsonl, summary.json, {', '.join(figures)} ({seconds:.0f} s)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
