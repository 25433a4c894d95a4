"""Measurements in processes of their own, put together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from .pinning import environment, pinned


def worker(script: Path, options: list[str], threads: int) -> dict[str, Any]:
    """The JSON that the script prints last, run on as many cores and threads."""
    command = [sys.executable, str(script), *options]
    with pinned(threads):
        process = subprocess.run(command, env=environment(threads), stdout=subprocess.PIPE, text=True)
    if process.returncode:
        raise click.ClickException(f"the measurements on {threads} threads ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return found


def extend(results: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Put the rounds of another process after these: of each competitor of each result."""
    for mine, its in zip(results, others, strict=True):
        for competitor, more in zip(mine["competitors"], its["competitors"], strict=True):
            if competitor["seconds"] is not None:
                competitor["seconds"] += more["seconds"]
