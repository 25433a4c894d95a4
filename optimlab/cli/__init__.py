"""The command line: one module a command.

Imports common, rules, optim, datasets, study, tuning, race, playground, plotting, report, paper, lab and export.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import click

from ..common.errors import InputError, RuleError
from ..common.spelling import spell
from ..common.version import __version__
from .compare import compare
from .datasets import datasets
from .explain import explain
from .export import export
from .export_rule import export_rule
from .options import echo
from .paper import paper
from .playground import playground
from .race import race
from .report import report
from .study_schema import study_schema
from .tune import tune


class _Group(click.Group):
    """Report bad input in one line on standard error, with exit code 2; Ctrl-C gives exit code 130."""

    def main(self, *args: Any, **options: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            spell(stream)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _one_line
                return super().main(*args, **{**options, "standalone_mode": False})
        except (InputError, RuleError) as error:
            message, code = str(error), 2
        except OSError as error:  # files of ours are InputErrors: this is standard output, or a file of a user's rule
            message, code = f"cannot write {error.filename or 'the output'}: {error.strerror}", 2
        except MemoryError:
            message, code = "not enough memory for what was asked", 2
        except click.exceptions.NoArgsIsHelpError as error:
            echo(error.ctx.get_help() if error.ctx else "", err=True)
            sys.exit(2)
        except click.ClickException as error:
            message, code = error.format_message(), error.exit_code
        except click.Abort:
            message, code = "interrupted", 130
        echo(f"optimlab: {message}", err=True)
        sys.exit(code)


def _one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    echo(f"optimlab: warning: {message}", err=True)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="optimlab")
def main() -> None:
    """Train, compare and explain neural-network optimizers."""


for command in (compare, datasets, explain, export, export_rule, paper, playground, race, report, study_schema, tune):
    main.add_command(command)
