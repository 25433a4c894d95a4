"""optimlab study-schema."""

from __future__ import annotations

import click

from ..common.files import json_text
from .options import echo


@click.command("study-schema")
def study_schema() -> None:
    """Print the JSON Schema of a study file, for editors that complete its keys.

    \b
    The first line of a study file names the schema's file:
      #:schema study.schema.json

    \b
    Example:
      optimlab study-schema > study.schema.json
    """
    from ..study.schema import schema

    echo(json_text(schema()))
