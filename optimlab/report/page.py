"""The page: figures, table and sentences set into one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..files import write_atomically
from ..study.plan import KINDS
from . import figures, formats, table, wording
from .reading import Results, read_results

FILE = "report.html"
GROUPS = {
    "tuned": "Each at its best learning rate",
    "default": "The same untuned, at the default rate",
    "searched": "The same at the best of the random settings of all searchable hyperparameters",
}


def write_report(folder: str | Path) -> Path:
    """Write ``folder/report.html`` from the ``summary.json`` and ``runs.jsonl`` there, and return its path.

    Nothing in the two files is trusted: values are checked, text is escaped, and the page's own policy lets a browser
    run the page's one script, known by its digest, and load nothing.

    Raises
    ------
    InputError: a file is missing or not what :func:`optimlab.study.compare` writes, or the page cannot be written; a
        page that is there stays as it was.
    """
    path = Path(folder) / FILE
    write_atomically(path, render(read_results(folder)))
    return path


def render(results: Results) -> str:
    """The whole page as text."""
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return str(
        _template().render(
            results=results,
            css=_asset("report.css"),
            script=script,
            digest=digest,
            say=wording,
            brief=partial(wording.brief, results=results),
            **_parts(results),
        )
    )


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("optimlab.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {f.__name__: f for f in (formats.significant, formats.percent, formats.plural)}
    return environment.get_template("report.html.j2")


def _asset(name: str) -> str:
    return (files("optimlab.report") / name).read_text(encoding="utf-8")


def _parts(results: Results) -> dict[str, Any]:
    """What the template lays out: panels in their order on the page, and for the script the points of each."""
    axes = figures.times(results)
    accuracy, behind_accuracy = figures.accuracy_panels(results, axes)
    sensitivity, behind_sensitivity = figures.sensitivity_panels(results)
    ratios, layers = figures.ratio_panels(results, axes)
    profile, behind_profile = figures.profile_panels(results)
    loss, budget = figures.loss_panel(results, axes), figures.budget_panel(results)
    panels = [loss, *accuracy, *(panel for pair in ratios for panel in pair), *sensitivity, *profile]
    panels += [] if budget is None else [budget]
    for key, panel in enumerate(panels):
        panel.key = key
    return {
        "columns": table.columns(results),
        "groups": [
            (GROUPS[kind], [(k, results.rows[k]) for k in results.order if results.rows[k].kind == kind])
            for kind in KINDS
            if any(row.kind == kind for row in results.rows)
        ],
        "kinds": {row.kind for row in results.rows},
        "style": _styles(results),
        "forest": figures.forest(results),
        "facts": wording.facts(results),
        "loss": loss,
        "accuracy": accuracy,
        "sensitivity": sensitivity,
        "behind": {"accuracy": behind_accuracy, "sensitivity": behind_sensitivity, "profile": behind_profile},
        "ratios": ratios,
        "layers": [(name, *figures.style(k)) for k, name in enumerate(layers)],
        "budget": budget,
        "profile": profile,
        "points": {
            "names": [row.label for row in results.rows],
            "panels": [[asdict(series) for series in panel.series] for panel in panels],
        },
        "quantile": _quantile(results.seeds),
        "exact": json.dumps(results.summary["study"], indent=1, ensure_ascii=False),
    }


def _styles(results: Results) -> dict[int, tuple[int, str]]:
    """Colour and dashes of each row that has a line of its own."""
    return {k: figures.style(k) for k, row in enumerate(results.rows) if row.kind == "tuned"}


def _quantile(seeds: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(1, seeds - 1), 0.975))
