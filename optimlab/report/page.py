"""The page: figures, table and sentences set into one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..files import write_atomically
from . import figures, table, wording
from .reading import KINDS, Results, read_results
from .reproduction import recipe

FILE = "report.html"
GROUPS = {
    "tuned": "Each at its best learning rate",
    "default": "The same untuned, at the default rate",
    "searched": "The same at the best of the random settings of all hyperparameters",
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
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("optimlab.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {"significant": wording.significant, "percent": wording.percent, "plural": wording.plural}
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        results=results, css=_asset("report.css"), script=script, digest=digest, **_parts(results)
    )


def _asset(name: str) -> str:
    return (files("optimlab.report") / name).read_text(encoding="utf-8")


def _parts(results: Results) -> dict[str, Any]:
    """What the template lays out: panels in their order on the page, and for the script the points of each."""
    axes = figures.times(results)
    accuracy, behind_accuracy = figures.accuracy_panels(results, axes)
    sensitivity, behind_sensitivity = figures.sensitivity_panels(results)
    ratios, layers = figures.ratio_panels(results, axes)
    loss, profile = figures.loss_panel(results, axes), figures.profile_panel(results)
    budget = figures.budget_panel(results)
    panels = [loss, *accuracy, *(panel for pair in ratios for panel in pair), *sensitivity]
    panels += [panel for panel in (budget, profile) if panel is not None]
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
        "say": wording,
        "loss": loss,
        "accuracy": accuracy,
        "sensitivity": sensitivity,
        "behind": {"accuracy": behind_accuracy, "sensitivity": behind_sensitivity},
        "ratios": ratios,
        "layers": [(name, *figures.style(k)) for k, name in enumerate(layers)],
        "budget": budget,
        "profile": profile,
        "points": {
            "names": [row.label for row in results.rows],
            "panels": [[asdict(series) for series in panel.series] for panel in panels],
        },
        "quantile": _quantile(results.seeds),
        "settings": _settings(results.summary),
        "recipe": recipe(results.summary["study"]),
        "exact": json.dumps(results.summary["study"], indent=1, ensure_ascii=False),
    }


def _styles(results: Results) -> dict[int, tuple[int, str]]:
    """Colour and dashes of each row that has a line of its own."""
    return {k: figures.style(k) for k, row in enumerate(results.rows) if row.kind == "tuned"}


def _quantile(seeds: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(1, seeds - 1), 0.975))


def _settings(summary: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the results depend on, as headings with names and values."""
    study = summary["study"]
    protocol = {name: value for name, value in study.items() if name not in ("problem", "optimizers")}
    parts = {
        "Problem": study["problem"],
        "Protocol": {"protocol": summary["protocol"], **protocol},
        "Versions": summary["versions"],
        "Machine": summary["host"],
    }
    return [
        (heading, [(name.replace("_", " "), _shown(value)) for name, value in part.items()])
        for heading, part in parts.items()
    ]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, float):
        return wording.significant(value, 6)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value)
