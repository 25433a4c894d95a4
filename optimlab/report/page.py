"""The page: figures, table and sentences set into one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from ..common.files import write_atomically
from ..study.compare import Comparison, read_comparison
from ..study.contender import KINDS
from ..study.maps import in_words, maps_of
from ..study.results import Summary, builtins
from ..study.summary import in_percent
from ..study.table import ranked
from . import figures, formats, pairs, table, wording
from .heat import heats
from .lines import lines_of
from .reproduction import recipe, settings

FILE = "report.html"
GROUPS = {
    "tuned": "Each at its best learning rate",
    "default": "The same untuned, at the default rate; the difference is to the same optimizer tuned",
    "searched": "The same at the best of the random settings of all searchable hyperparameters; the difference is to "
    "the same optimizer tuned",
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
    write_atomically(path, render(read_comparison(folder)))
    return path


def render(comparison: Comparison) -> str:
    """Return the whole page as HTML."""
    return rendered("report.html.j2", **_parts(comparison))


def rendered(template: str, **parts: Any) -> str:
    """Return a page as HTML from a template that extends ``frame.html.j2``, with its style, script and policy.

    ``points`` are those that the script shows under the pointer: ``names`` of the rows, and the series of each panel.
    """
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {"points": {"names": [], "panels": []}, **parts}
    made = _environment().get_template(template)
    return str(made.render(css=_asset("report.css"), script=script, digest=digest, **parts))


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("optimlab.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {f.__name__: f for f in (formats.significant, formats.percent, formats.plural, in_percent)}
    return environment


def _asset(name: str) -> str:
    return (files("optimlab.report") / name).read_text(encoding="utf-8")


def _parts(comparison: Comparison) -> dict[str, Any]:
    """Return the parts of the template: panels in their order on the page, and the points of each for the script."""
    summary = comparison.summary
    lines = lines_of(comparison)
    axes = figures.times(summary, lines)
    accuracy, behind_accuracy = figures.accuracy_panels(summary, lines, axes)
    sensitivity, behind_sensitivity = figures.sensitivity_panels(summary)
    regret, behind_regret = figures.regret_panels(summary)
    ratios, layers = figures.ratio_panels(summary, lines, axes)
    loss, budget = figures.loss_panel(summary, lines, axes), figures.budget_panel(summary)
    panels = [loss, *accuracy, *(panel for pair in ratios for panel in pair), *sensitivity, *regret]
    panels += [] if budget is None else [budget]
    for key, panel in enumerate(panels):
        panel.key = key
    places = {row.label: k for k, row in enumerate(summary.rows)}
    return {
        "summary": summary,
        "made": date(summary.made),
        "columns": table.columns(summary),
        "groups": [
            (
                kind,
                GROUPS[kind],
                [(places[row.label], row) for row in ranked(r for r in summary.rows if r.kind == kind)],
            )
            for kind in KINDS
            if any(row.kind == kind for row in summary.rows)
        ],
        "kinds": {row.kind for row in summary.rows},
        "style": {k: figures.style(k) for k, row in enumerate(summary.rows) if row.kind == "tuned"},
        "forest": figures.forest(summary),
        "standing": partial(table.standing, summary=summary),
        "facts": wording.facts(summary),
        "sentences": [(sentence.text, pairs.evidence(sentence, summary)) for sentence in summary.verdict.sentences],
        "matrix": pairs.matrix(summary),
        "marks": pairs.MARKS,
        "loss": loss,
        "accuracy": accuracy,
        "sensitivity": sensitivity,
        "regret": regret,
        "behind": {"accuracy": behind_accuracy, "sensitivity": behind_sensitivity, "regret": behind_regret},
        "ratios": ratios,
        "layers": [(name, *figures.style(k)) for k, name in enumerate(layers)],
        "budget": budget,
        "heats": heats(maps_of(summary)),
        "say": _sentences(summary, lines),
        "brief": partial(wording.brief, names=[row.label for row in summary.tuned]),
        "recipe": recipe(summary.study),
        "settings": settings(summary),
        "numbers": _numbers(summary),
        "points": {
            "names": [row.label for row in summary.rows],
            "panels": [[vars(series) for series in panel.series] for panel in panels],
        },
        "quantile": _quantile(summary.replicates),
        "exact": json.dumps(summary.study, indent=1, ensure_ascii=False),
    }


def _sentences(summary: Summary, lines: list[Any]) -> dict[str, Any]:
    """Return what the figures show, in words."""
    return {
        "loss_by_epochs": wording.loss_by_epochs(summary, lines),
        "loss_by_seconds": wording.loss_by_seconds(summary, lines),
        "accuracy": wording.accuracy_sentence(summary, lines),
        "ratio": wording.ratio_sentence(summary, lines),
        "schedule": wording.schedule_sentence(summary, lines),
        "sensitivity": wording.sensitivity_sentence(summary),
        "regret": wording.regret_sentence(summary),
        "budget": wording.budget_sentence(summary),
        "gaps": wording.gaps(summary, lines),
        "not_searched": wording.not_searched(summary),
        "chosen": [f"{words}." for row in summary.tuned for words in in_words(row)],
    }


def _numbers(summary: Summary) -> dict[str, Any]:
    """Return the summary without the single replicates, which only ``summary.json`` has."""
    found: dict[str, Any] = builtins(summary)
    for row in found["rows"]:
        del row["replicates"]
    return found


def date(text: str) -> datetime:
    """Return the time at which a summary was made.

    Raises
    ------
    InputError: the text is no date.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"{text!r:.40} is not the date of a comparison") from None


def _quantile(replicates: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(1, replicates - 1), 0.975))
